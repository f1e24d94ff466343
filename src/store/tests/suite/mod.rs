//! What every home must do. Each scenario has its own parties and numbers, so that all can run on one store.

mod cases;
mod messages;
mod record;
mod sequences;

use std::collections::BTreeSet;

use crate::model::{
    AgencyCode, Application, ApplicationState, AuditHead, Delivery, DeliveryState, Digest, Direction,
    DocumentCode, KeptHead, Outcome, PartyKey, Purged, Realm, Sequence, SequenceNumber, SignedHead,
    StoredMessage, TimelineEntry, Timestamp, Tree, TreeHead,
};
use crate::store::{
    Acknowledged, ApprovalWrite, AuditVerdict, Batch, CaseFilter, CaseWrite, CommitError, Conflict,
    CorrelationKey, DeliveryFilter, DeliveryLocator, DeliveryWrite, Forgotten, MessageFilter, MessageWrite,
    Needs, Opened, Reference, SequenceWrite, Store, Unchanged,
};

use super::commit;
use super::sample::{
    self, approval, at, case, case_id, charge, delivery, delivery_id, entry, message_id, message_key,
    new_message, party, sealed,
};

use cases::{
    a_case_is_written_only_over_the_version_that_was_read,
    an_approval_is_written_only_over_the_version_that_was_read,
    approvals_come_due_with_the_next_case_that_rests_on_them,
    cases_are_named_by_any_key_and_gone_through_by_time,
    cases_that_an_agency_has_not_decided_are_found_behind_many_that_it_has,
    cases_that_are_scheduled_come_in_order, correlations_lead_to_one_case,
    payments_that_are_under_way_come_in_order, what_is_practice_is_found_in_practice_alone,
};
use messages::{
    a_delivery_is_written_only_over_the_version_that_was_read,
    a_duplicate_changes_nothing_and_finds_the_first_answer,
    a_message_that_was_held_changes_and_keeps_its_octets_and_its_answer,
    large_octets_are_kept_like_small_ones, what_is_committed_is_loaded,
    what_is_due_comes_in_order_and_leaves_when_it_ends, what_is_purged_is_known_and_has_no_octets,
};
pub(in crate::store) use record::kept_head;
use record::{
    everything_is_accounted_for, receipts_and_entries_are_found, signed_heads_are_kept_as_they_were_signed,
    the_audit_record_is_one_chain,
};
use sequences::{
    a_sequence_is_written_only_over_the_version_that_was_read,
    a_sequence_that_is_forgotten_is_gone_and_begins_anew,
};

/// Runs every scenario.
pub(in crate::store) fn suite(store: &dyn Store) {
    nothing_is_found_in_a_new_store(store);
    what_is_committed_is_loaded(store);
    a_duplicate_changes_nothing_and_finds_the_first_answer(store);
    a_case_is_written_only_over_the_version_that_was_read(store);
    correlations_lead_to_one_case(store);
    a_delivery_is_written_only_over_the_version_that_was_read(store);
    a_batch_that_conflicts_anywhere_leaves_nothing(store);
    what_is_due_comes_in_order_and_leaves_when_it_ends(store);
    cases_that_are_scheduled_come_in_order(store);
    payments_that_are_under_way_come_in_order(store);
    an_approval_is_written_only_over_the_version_that_was_read(store);
    approvals_come_due_with_the_next_case_that_rests_on_them(store);
    a_sequence_is_written_only_over_the_version_that_was_read(store);
    a_sequence_that_is_forgotten_is_gone_and_begins_anew(store);
    a_message_that_was_held_changes_and_keeps_its_octets_and_its_answer(store);
    cases_are_named_by_any_key_and_gone_through_by_time(store);
    cases_that_an_agency_has_not_decided_are_found_behind_many_that_it_has(store);
    what_is_practice_is_found_in_practice_alone(store);
    large_octets_are_kept_like_small_ones(store);
    operators_find_everything(store);
    everything_is_accounted_for(store);
    the_audit_record_is_one_chain(store);
    signed_heads_are_kept_as_they_were_signed(store);
    receipts_and_entries_are_found(store);
    what_is_purged_is_known_and_has_no_octets(store);
    assert_eq!(store.scrub().expect("readable"), [], "nothing is damaged (P12)");
    assert_eq!(store.health().failed, None);
}

/// What the audit record says of a delivery that stands so.
pub(in crate::store) fn told(delivery: &Delivery) -> TimelineEntry {
    let event = match delivery.state {
        DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment => "delivery.created",
        DeliveryState::Held => "delivery.withheld",
        DeliveryState::Delivered => "delivery.delivered",
        DeliveryState::Rejected => "delivery.rejected",
        DeliveryState::Expired => "delivery.expired",
        DeliveryState::Quarantined => "delivery.quarantined",
    };
    let (named, party) = (Some(delivery.id.clone()), Some(delivery.destination.clone()));
    TimelineEntry { delivery: named, party, ..entry(event) }
}

/// A batch that makes a delivery.
pub(in crate::store) fn makes(delivery: Delivery) -> Batch {
    let named = told(&delivery);
    let write = DeliveryWrite { delivery, based_on: None, sealed: None, receipt: None };
    Batch { deliveries: vec![write], audit: vec![named], ..Batch::default() }
}

fn opens(number: u32, correlations: Vec<CorrelationKey>) -> Batch {
    let correlations = sample::keys(&case(number)).into_iter().chain(correlations);
    let correlations = correlations.collect::<BTreeSet<_>>().into_iter().collect();
    let write = CaseWrite { case: case(number), based_on: None, correlations };
    let named = TimelineEntry { case: Some(case_id(number)), ..entry("case.opened") };
    Batch { case: Some(write), audit: vec![named], ..Batch::default() }
}

fn by_id(number: u32) -> Needs {
    Needs { delivery: Some(DeliveryLocator::Id(delivery_id(number))), ..Needs::default() }
}

fn nothing_is_found_in_a_new_store(store: &dyn Store) {
    let needs = Needs {
        message: Some(message_key("broker", 1)),
        case: vec![CorrelationKey::Case(case_id(1)), CorrelationKey::Declaration("1".into())],
        case_of_delivery: true,
        versions: true,
        sealed: true,
        parts_of_delivery: true,
        ..by_id(1)
    };
    let view = store.load(&needs).expect("readable");
    assert!(view.message.is_none() && view.case.is_none() && view.delivery.is_none());
    assert!(view.taken.is_empty() && view.bodies.is_empty() && view.sealed.is_none());
    assert_eq!(store.next_due(&party("kfda")).expect("readable"), None);
    assert_eq!(commit(store, Batch::default()), Ok(()), "nothing can be committed");
}

fn a_batch_that_conflicts_anywhere_leaves_nothing(store: &dyn Store) {
    let before = store.audit(1, usize::MAX).expect("readable").items.len();
    assert_eq!(commit(store, makes(delivery(600, "whole"))), Ok(()));
    let mut batch = opens(600, vec![CorrelationKey::Declaration("600".into())]);
    batch.message = Some(new_message("broker", 600, "body"));
    batch.deliveries = [601, 600]
        .map(|number| DeliveryWrite {
            delivery: delivery(number, "whole"),
            based_on: None,
            sealed: None,
            receipt: None,
        })
        .into();
    let conflict = Conflict::Delivery { id: delivery_id(600), found: Some(1) };
    assert_eq!(commit(store, batch), Err(CommitError::Conflict(conflict)));
    let needs = Needs {
        message: Some(message_key("broker", 600)),
        case: vec![CorrelationKey::Declaration("600".into()), CorrelationKey::Case(case_id(600))],
        ..by_id(601)
    };
    let view = store.load(&needs).expect("readable");
    assert!(view.message.is_none() && view.case.is_none() && view.delivery.is_none(), "P1: all or nothing");
    assert_eq!(store.audit(1, usize::MAX).expect("readable").items.len(), before + 1);
}

fn operators_find_everything(store: &dyn Store) {
    let mut refused = new_message("operators", 900, "refused");
    (refused.record.accepted, refused.record.case) = (false, Some(case_id(900)));
    let mut quarantined = new_message("operators", 901, "quarantined");
    quarantined.record.quarantined = true;
    for message in [refused, quarantined] {
        assert_eq!(commit(store, Batch { message: Some(message), ..Batch::default() }), Ok(()));
    }
    let mut made = opens(900, vec![]);
    if let Some(write) = &mut made.case {
        write.case.submitter = Some(party("operators"));
    }
    let mut owed = delivery(900, "operators");
    owed.case = Some(case_id(900));
    made.audit.push(told(&owed));
    made.deliveries = makes(owed).deliveries;
    assert_eq!(commit(store, made), Ok(()));

    let messages = |filter: MessageFilter| -> Vec<_> {
        let filter = MessageFilter { sender: Some(party("operators")), ..filter };
        let listing = store.messages(&filter, 10).expect("readable");
        listing.items.into_iter().map(|message| message.key).collect()
    };
    let [first, second] = [900, 901].map(|number| message_key("operators", number));
    assert_eq!(messages(MessageFilter::default()), [second.clone(), first.clone()], "newest first");
    assert_eq!(
        messages(MessageFilter { accepted: Some(false), ..Default::default() }),
        std::slice::from_ref(&first)
    );
    assert_eq!(messages(MessageFilter { quarantined: Some(true), ..Default::default() }), [second]);
    assert_eq!(messages(MessageFilter { case: Some(case_id(900)), ..Default::default() }), [first]);

    let filter = CaseFilter { submitter: Some(party("operators")), ..CaseFilter::default() };
    let cases = store.cases(&filter, 10).expect("readable").items;
    assert_eq!(cases.iter().map(|case| &case.id).collect::<Vec<_>>(), [&case_id(900)]);
    assert_eq!(store.cases(&CaseFilter::default(), 1).expect("readable").items, cases, "newest first");

    let deliveries = |filter: DeliveryFilter| store.deliveries(&filter, 10).expect("readable").items;
    let of_case = deliveries(DeliveryFilter { case: Some(case_id(900)), ..Default::default() });
    let to = DeliveryFilter {
        destination: Some(party("operators")),
        state: Some(DeliveryState::Pending),
        ..Default::default()
    };
    assert_eq!(of_case, deliveries(to));
    assert_eq!(of_case.len(), 1);
    let all = store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("readable").items;
    let after = |after| DeliveryFilter { after, ..DeliveryFilter::default() };
    let next = |filter| store.deliveries(&filter, 1).expect("readable").items.pop();
    let one_by_one = std::iter::successors(next(after(None)), |one| next(after(Some(one.id.clone()))));
    assert_eq!(one_by_one.collect::<Vec<_>>(), all, "P20: whoever goes on behind the last one misses none");
    assert_eq!(next(after(Some(delivery_id(999_999)))), None, "after what is not there");

    let timeline = store.timeline(&case_id(900)).expect("readable").items;
    let events: Vec<_> = timeline.iter().map(|entry| &*entry.entry.event).collect();
    assert_eq!(events, ["case.opened"]);
}

/// Everything that can be read of a store, to compare what two homes, or one before and after, know.
pub(in crate::store) fn everything(store: &dyn Store, destinations: &[PartyKey]) -> String {
    let cases = store.cases(&CaseFilter::default(), usize::MAX).expect("readable");
    let messages = store.messages(&MessageFilter::default(), usize::MAX).expect("readable");
    let deliveries = store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("readable");
    let entries = store.audit(0, usize::MAX).expect("readable");
    let due: Vec<_> = destinations
        .iter()
        .map(|party| store.due(party, at(1_000_000), usize::MAX).expect("readable"))
        .collect();
    let next: Vec<_> = destinations.iter().map(|party| store.next_due(party).expect("readable")).collect();
    let (queues, law) = (store.queues().expect("readable"), store.conservation().expect("readable"));
    let views: Vec<_> = deliveries
        .items
        .iter()
        .map(|delivery| {
            let needs = Needs {
                delivery: Some(DeliveryLocator::Id(delivery.id.clone())),
                case_of_delivery: true,
                sealed: true,
                ..Needs::default()
            };
            store.load(&needs).expect("readable")
        })
        .collect();
    let sequences = store.sequences(false, usize::MAX).expect("readable");
    let sequences = (sequences, store.scheduled_sequences(usize::MAX).expect("readable"));
    format!(
        "{sequences:#?}{cases:#?}{messages:#?}{deliveries:#?}{entries:#?}{due:#?}{next:#?}{queues:#?}{law:#?}{views:#?}"
    )
}
