//! What every home must do. Each scenario has its own parties and numbers, so that all can run on one store.

use crate::model::{
    AgencyCode, Application, AuditHead, DeliveryState, Digest, Direction, DocumentCode, KeptHead, PartyKey,
    Purged, Realm, Sequence, SequenceNumber, SignedHead, StoredMessage, TimelineEntry, Timestamp, Tree,
    TreeHead,
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

/// A batch that makes a delivery.
pub(in crate::store) fn makes(delivery: crate::model::Delivery) -> Batch {
    let named = TimelineEntry {
        delivery: Some(delivery.id.clone()),
        party: Some(delivery.destination.clone()),
        ..entry("delivery.created")
    };
    let write = DeliveryWrite { delivery, based_on: None, sealed: None, receipt: None };
    Batch { deliveries: vec![write], audit: vec![named], ..Batch::default() }
}

fn opens(number: u32, correlations: Vec<CorrelationKey>) -> Batch {
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

fn what_is_committed_is_loaded(store: &dyn Store) {
    let mut first = delivery(100, "loaded");
    first.case = Some(case_id(100));
    first.sealed = true;
    let mut batch = opens(100, vec![CorrelationKey::Declaration("declaration-100".into())]);
    batch.message = Some(new_message("broker", 100, "body 100"));
    let octets = sealed("octets 100");
    batch.deliveries = vec![DeliveryWrite {
        delivery: first.clone(),
        based_on: None,
        sealed: Some(octets.clone()),
        receipt: None,
    }];
    assert_eq!(commit(store, batch), Ok(()));

    let sent = DeliveryLocator::Sent { destination: party("loaded"), message_id: message_id("out-100") };
    for locator in [DeliveryLocator::Id(delivery_id(100)), sent] {
        let needs = Needs {
            message: Some(message_key("broker", 100)),
            case: vec![CorrelationKey::Declaration("no such".into())],
            delivery: Some(locator.clone()),
            case_of_delivery: true,
            versions: true,
            sealed: true,
            parts_of_delivery: true,
            refusal: Some(delivery_id(100)),
            acknowledged: Some(locator.clone()),
            wanted: Some(locator),
            named: Some("declaration-100".into()),
            statistics: None,
            approvals_of_case: true,
            ..Needs::default()
        };
        let view = store.load(&needs).expect("readable");
        let message = view.message.expect("the message");
        assert_eq!(message.record, new_message("broker", 100, "").record);
        assert_eq!(message.response.expect("its answer"), sealed("answer to 100"));
        let found = view.delivery.expect("the delivery");
        assert_eq!((&found.value, found.version), (&first, 1));
        assert_eq!(
            view.acknowledged,
            Some(Acknowledged { delivery: found.clone(), sealed: Some(octets.clone()) })
        );
        assert_eq!(view.wanted, Some(found.clone()));
        assert_eq!(
            view.named.iter().map(|(case, timeline)| (&case.id, timeline.len())).collect::<Vec<_>>(),
            [(&case_id(100), 1)]
        );
        assert_eq!(view.refusal, Some(found));
        assert_eq!(view.sealed.as_ref(), Some(&octets));
        assert_eq!(view.case.expect("the case of the delivery").value, case(100));
        assert_eq!(view.found_by, Some(CorrelationKey::Case(case_id(100))));
        let body = view.bodies.get(&message_key("broker", 100)).expect("the body that its part comes from");
        assert_eq!(
            (&**body.body.held(), &*body.content_type),
            (&b"body 100"[..], &*message.record.content_type)
        );
    }
}

fn a_duplicate_changes_nothing_and_finds_the_first_answer(store: &dyn Store) {
    let batch = |body: &'static str, number| Batch {
        message: Some(new_message("sender-200", 200, body)),
        ..makes(delivery(number, "duplicates"))
    };
    assert_eq!(commit(store, batch("first", 200)), Ok(()));
    assert_eq!(commit(store, batch("second", 201)), Err(CommitError::Duplicate), "P3");
    assert!(store.load(&by_id(201)).expect("readable").delivery.is_none(), "no second delivery (P3)");
    let body = store.body(&message_key("sender-200", 200)).expect("readable").expect("there");
    assert_eq!(&**body.body.held(), b"first");
    let elsewhere = Batch { message: Some(new_message("sender-201", 200, "x")), ..Batch::default() };
    assert_eq!(commit(store, elsewhere), Ok(()), "the key has the sender in it (P3)");
}

fn a_case_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let write = |round: u32, based_on| {
        let mut changed = case(300);
        changed.round = round;
        let write = CaseWrite { case: changed, based_on, correlations: vec![] };
        commit(store, Batch { case: Some(write), ..Batch::default() })
    };
    let conflict = |found| Err(CommitError::Conflict(Conflict::Case { id: case_id(300), found }));
    assert_eq!(write(1, Some(1)), conflict(None));
    assert_eq!(write(1, None), Ok(()));
    assert_eq!(write(9, None), conflict(Some(1)));
    assert_eq!(write(2, Some(1)), Ok(()));
    assert_eq!(write(9, Some(1)), conflict(Some(2)));
    let found =
        store.case(Realm::Production, &CorrelationKey::Case(case_id(300))).expect("readable").expect("there");
    assert_eq!((found.value.round, found.version), (2, 2));
}

fn correlations_lead_to_one_case(store: &dyn Store) {
    let keys = vec![
        CorrelationKey::Declaration("400".into()),
        CorrelationKey::Application("A400".into()),
        CorrelationKey::Sent(message_id("out-400")),
        CorrelationKey::Result(party("kfda"), "R400".into()),
        CorrelationKey::Received(message_key("broker", 400)),
        CorrelationKey::Conversation(party("broker"), case(400).conversation_id),
    ];
    assert_eq!(commit(store, opens(400, keys.clone())), Ok(()));
    for key in &keys {
        let needs = Needs { case: vec![key.clone()], ..Needs::default() };
        let view = store.load(&needs).expect("readable");
        assert_eq!(view.case.expect("a case").value.id, case_id(400), "{key}");
        assert_eq!(view.found_by.as_ref(), Some(key));
    }
    let other = CorrelationKey::Result(party("other"), "R400".into());
    assert!(
        store.case(Realm::Production, &other).expect("readable").is_none(),
        "a result number belongs to its agency"
    );

    for key in keys.iter().take(5) {
        let conflict = Conflict::Correlation { key: key.clone(), owner: case_id(400) };
        assert_eq!(commit(store, opens(401, vec![key.clone()])), Err(CommitError::Conflict(conflict)));
    }
    let new = CorrelationKey::Declaration("401".into());
    assert_eq!(
        commit(store, opens(401, vec![new.clone(), keys[5].clone()])),
        Ok(()),
        "a conversation moves on"
    );
    let needs = Needs { case: vec![keys[5].clone(), keys[0].clone()], ..Needs::default() };
    let view = store.load(&needs).expect("readable");
    assert_eq!(view.case.expect("a case").value.id, case_id(401), "the first key decides");
    assert_eq!(view.found_by.as_ref(), Some(&keys[5]));
    assert_eq!(view.taken.get(&keys[0]), Some(&case_id(400)), "where the others lead is told");
}

fn a_delivery_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let write = |number: u32, attempts: u32, based_on, octets: Option<&'static str>| {
        let mut changed = delivery(number, "versions");
        changed.attempts = attempts;
        changed.sealed = octets.is_some();
        if number == 502 {
            changed.message_id = message_id("out-500");
        }
        let write = DeliveryWrite { delivery: changed, based_on, sealed: octets.map(sealed), receipt: None };
        commit(store, Batch { deliveries: vec![write], ..Batch::default() })
    };
    let conflict = |conflict| Err(CommitError::Conflict(conflict));
    let stale = |found| conflict(Conflict::Delivery { id: delivery_id(500), found });
    let taken = || conflict(Conflict::MessageId { owner: delivery_id(500) });
    assert_eq!(write(500, 1, Some(1), None), stale(None));
    assert_eq!(write(500, 0, None, None), Ok(()));
    assert_eq!(write(500, 9, None, None), stale(Some(1)));
    assert_eq!(write(500, 1, Some(1), Some("sealed once")), Ok(()));
    assert_eq!(write(500, 2, Some(1), None), stale(Some(2)));
    assert_eq!(write(500, 2, Some(2), Some("again")), conflict(Conflict::Sealed { id: delivery_id(500) }));
    assert_eq!(write(502, 0, None, None), taken(), "one message to one destination");
    assert_eq!(write(501, 3, None, None), Ok(()));

    let mut moved = delivery(501, "versions");
    moved.message_id = message_id("out-500");
    let write = DeliveryWrite { delivery: moved, based_on: Some(1), sealed: None, receipt: None };
    assert_eq!(commit(store, Batch { deliveries: vec![write], ..Batch::default() }), taken());

    let view = store.load(&Needs { sealed: true, ..by_id(500) }).expect("readable");
    assert_eq!(view.delivery.expect("there").value.attempts, 1);
    assert_eq!(&**view.sealed.expect("sealed").body.held(), b"sealed once");
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

fn what_is_due_comes_in_order_and_leaves_when_it_ends(store: &dyn Store) {
    let due = |now, limit| -> Vec<_> {
        let due = store.due(&party("due"), now, limit).expect("readable");
        due.into_iter().map(|due| due.id).collect()
    };
    for (number, seconds) in [(700, 30), (701, 10), (702, 20), (703, 20)] {
        let mut made = delivery(number, "due");
        made.due = at(seconds);
        assert_eq!(commit(store, makes(made)), Ok(()));
    }
    assert_eq!(store.next_due(&party("due")).expect("readable"), Some(at(10)));
    assert_eq!(due(at(9), 10), []);
    assert_eq!(due(at(20), 10), [701, 702, 703].map(delivery_id));
    assert_eq!(due(at(99), 2), [701, 702].map(delivery_id));

    let states = [
        (701, DeliveryState::AwaitingAcknowledgment, 40),
        (702, DeliveryState::Held, 20),
        (703, DeliveryState::Delivered, 20),
        (700, DeliveryState::Pending, 31),
    ];
    for (number, state, seconds) in states {
        let mut changed = delivery(number, "due");
        (changed.state, changed.due, changed.attempts) = (state, at(seconds), 1);
        let write = DeliveryWrite { delivery: changed, based_on: Some(1), sealed: None, receipt: None };
        assert_eq!(commit(store, Batch { deliveries: vec![write], ..Batch::default() }), Ok(()));
    }
    assert_eq!(due(at(99), 10), [700, 701].map(delivery_id));
    let first = store.due(&party("due"), at(99), 1).expect("readable").remove(0);
    assert_eq!((first.due, first.attempts), (at(31), 1));
    assert_eq!(due(Timestamp::EPOCH, 10), []);

    let stalled = |beyond, limit| -> Vec<_> {
        let stalled = store.stalled(&party("due"), at(beyond), limit).expect("readable");
        stalled.into_iter().map(|due| due.id).collect()
    };
    let mut kept = delivery(704, "due");
    (kept.due, kept.mailbox) = (at(9_000), true);
    assert_eq!(commit(store, makes(kept)), Ok(()));
    assert_eq!(stalled(30, 10), [701, 700].map(delivery_id), "latest first, and nothing out of a mailbox");
    assert_eq!(stalled(30, 1), [delivery_id(701)]);
    assert_eq!(stalled(40, 10), []);
    assert_eq!(store.due(&party("somebody else"), at(99), 10).expect("readable"), []);
}

fn cases_that_are_scheduled_come_in_order(store: &dyn Store) {
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_cases(limit).expect("readable");
        scheduled.into_iter().map(|case| (case.id, case.due)).collect()
    };
    let write = |number: u32, due: Option<u64>, based_on| {
        let mut changed = case(number);
        changed.due = due.map(at);
        let write = CaseWrite { case: changed, based_on, correlations: vec![] };
        assert_eq!(commit(store, Batch { case: Some(write), ..Batch::default() }), Ok(()));
    };
    for (number, due) in [(750, Some(30)), (751, Some(10)), (752, None), (753, Some(30))] {
        write(number, due, None);
    }
    let all = [(751, 10), (750, 30), (753, 30)].map(|(number, due)| (case_id(number), at(due)));
    assert_eq!(scheduled(10), all);
    assert_eq!(scheduled(1), all[..1]);
    for (number, due) in [(751, None), (752, Some(5)), (753, Some(20))] {
        write(number, due, Some(1));
    }
    assert_eq!(
        scheduled(10),
        [(752, 5), (753, 20), (750, 30)].map(|(number, due)| (case_id(number), at(due)))
    );
    for number in [750, 752, 753] {
        write(number, None, Some(if number == 750 { 1 } else { 2 }));
    }
    assert_eq!(scheduled(10), []);
}

fn payments_that_are_under_way_come_in_order(store: &dyn Store) {
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_payments(limit).expect("readable");
        scheduled.into_iter().map(|case| (case.id, case.due)).collect()
    };
    let write = |number: u32, due: Option<u64>, based_on| {
        let mut changed = case(number);
        changed.payment_due = due.map(at);
        let write = CaseWrite { case: changed, based_on, correlations: vec![] };
        assert_eq!(commit(store, Batch { case: Some(write), ..Batch::default() }), Ok(()));
    };
    for (number, due) in [(755, Some(30)), (756, Some(10)), (757, None)] {
        write(number, due, None);
    }
    assert_eq!(scheduled(10), [(756, 10), (755, 30)].map(|(number, due)| (case_id(number), at(due))));
    assert_eq!(scheduled(1), [(case_id(756), at(10))]);
    write(756, None, Some(1));
    write(757, Some(50), Some(1));
    assert_eq!(scheduled(10), [(755, 30), (757, 50)].map(|(number, due)| (case_id(number), at(due))));
    let stalled = |beyond, limit| -> Vec<_> {
        let stalled = store.stalled_payments(at(beyond), limit).expect("readable");
        stalled.into_iter().map(|case| (case.id, case.due)).collect()
    };
    assert_eq!(stalled(29, 10), [(757, 50), (755, 30)].map(|(number, due)| (case_id(number), at(due))));
    assert_eq!(stalled(29, 1), [(case_id(757), at(50))], "the one that is furthest ahead");
    assert_eq!(stalled(30, 10), [(case_id(757), at(50))], "later than, and not at");
    assert_eq!(stalled(50, 10), []);
    write(755, None, Some(1));
    write(757, None, Some(2));
    assert_eq!(scheduled(10), []);
    assert_eq!(stalled(0, 10), []);
}

fn keeps(approval: crate::model::Approval, based_on: Option<u64>) -> Batch {
    Batch { approvals: vec![ApprovalWrite { approval, based_on }], ..Batch::default() }
}

fn an_approval_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let conflict =
        |number, found| Err(CommitError::Conflict(Conflict::Approval { key: approval(number).key, found }));
    assert_eq!(commit(store, keeps(approval(770), Some(1))), conflict(770, None));
    assert_eq!(commit(store, keeps(approval(770), None)), Ok(()));
    assert_eq!(commit(store, keeps(approval(770), None)), conflict(770, Some(1)));
    let mut charged = approval(770);
    charged.charges.push(charge(770, false));
    assert_eq!(commit(store, keeps(charged.clone(), Some(1))), Ok(()));
    // Two that were decided on the same rest: the second one is told, with all that stands beside it in its batch.
    let late = Batch { approvals: keeps(charged.clone(), Some(1)).approvals, ..opens(770, vec![]) };
    assert_eq!(commit(store, late), conflict(770, Some(2)));
    assert!(store.case(Realm::Production, &CorrelationKey::Case(case_id(770))).expect("readable").is_none());

    // The same number of another agency is another approval.
    let mut other = approval(770);
    other.key.agency = party("npqs");
    assert_eq!(commit(store, keeps(other.clone(), None)), Ok(()));
    let needs = Needs { approvals: ["approval-770".into(), "no such".into()].into(), ..Needs::default() };
    let found = store.load(&needs).expect("readable").approvals;
    let found: Vec<_> = found.into_values().map(|found| (found.value, found.version)).collect();
    assert_eq!(found, [(charged.clone(), 2), (other, 1)]);

    // So is that of practice, which production never sees.
    let mut played = approval(770);
    played.key.realm = Realm::Practice;
    assert_eq!(commit(store, keeps(played.clone(), None)), Ok(()));
    let practice =
        store.load(&Needs { realm: Realm::Practice, ..needs.clone() }).expect("readable").approvals;
    assert_eq!(practice.into_values().map(|found| found.value).collect::<Vec<_>>(), [played]);
    let production = store.load(&needs).expect("readable").approvals;
    assert!(production.keys().all(|key| key.realm == Realm::Production));
}

fn orders(sequence: Sequence, based_on: Option<u64>) -> Batch {
    Batch { sequences: vec![SequenceWrite { sequence, based_on }], ..Batch::default() }
}

fn a_sequence_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let new = |direction, number| sample::sequence(direction, number);
    let conflict = |sequence: Sequence, found| {
        Err(CommitError::Conflict(Conflict::Sequence { key: sequence.key, found }))
    };
    let (sent, received) = (new(Direction::Send, 790), new(Direction::Receive, 790));
    assert_eq!(commit(store, orders(sent.clone(), Some(1))), conflict(sent.clone(), None));
    assert_eq!(commit(store, orders(sent.clone(), None)), Ok(()));
    assert_eq!(commit(store, orders(sent.clone(), None)), conflict(sent.clone(), Some(1)));
    assert_eq!(commit(store, orders(received.clone(), None)), Ok(()), "each direction counts for itself");
    let mut early = received.clone();
    early.early.insert(SequenceNumber::LAST, sample::early(790));
    early.due = Some(at(30));
    assert_eq!(commit(store, orders(early.clone(), Some(1))), Ok(()));
    let due = Sequence { due: Some(at(10)), ..new(Direction::Receive, 791) };
    assert_eq!(commit(store, orders(due.clone(), None)), Ok(()));
    // What was decided on an older look takes nothing with it.
    let late = Batch { sequences: orders(received, Some(1)).sequences, ..opens(790, vec![]) };
    assert_eq!(commit(store, late), conflict(early.clone(), Some(2)));
    assert!(store.case(Realm::Production, &CorrelationKey::Case(case_id(790))).expect("readable").is_none());

    let keys = [&sent, &early].map(|sequence| sequence.key.clone());
    let needs = Needs { sequences: keys.into(), ..Needs::default() };
    let found = store.load(&needs).expect("readable").sequences;
    let found: Vec<_> = found.into_values().map(|found| (found.value, found.version)).collect();
    assert_eq!(found, [(sent.clone(), 1), (early.clone(), 2)]);
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_sequences(limit).expect("readable");
        scheduled.into_iter().map(|due| (due.key, due.due)).collect()
    };
    let all = [(due.key.clone(), at(10)), (early.key.clone(), at(30))];
    assert_eq!((scheduled(9), scheduled(1)), (all.to_vec(), all[..1].to_vec()));
    assert_eq!(store.sequences(true, 9).expect("readable").items, [early.clone()]);
    assert_eq!(store.sequences(false, 9).expect("readable").items, [sent, early, due.clone()]);
    assert_eq!(commit(store, orders(Sequence { due: None, ..due }, Some(1))), Ok(()));
    assert_eq!(scheduled(9), all[1..]);
}

fn a_sequence_that_is_forgotten_is_gone_and_begins_anew(store: &dyn Store) {
    let begins = |time| sample::sequence(Direction::Receive, 792).beginning(at(time));
    let version = |time| at(time).as_millis().cast_unsigned();
    let first = begins(20);
    let key = first.key.clone();
    let forgets = |based_on| {
        let forgotten = Some(Forgotten { key: key.clone(), based_on });
        commit(store, Batch { forgotten, audit: vec![entry("conversation.forgotten")], ..Batch::default() })
    };
    let conflict = |found| Err(CommitError::Conflict(Conflict::Sequence { key: key.clone(), found }));
    let known = || {
        let needs = Needs { sequences: [key.clone()].into(), ..Needs::default() };
        store.load(&needs).expect("readable").sequences.remove(&key).map(|found| found.version)
    };
    let kept = || {
        let kept = store.kept_sequences(0, 99).expect("readable");
        kept.into_iter().filter(|(_, kept)| *kept == key).map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(forgets(1), conflict(None));
    assert_eq!(commit(store, orders(first.clone(), None)), Ok(()));
    assert_eq!(known(), Some(version(20)), "its first version is when it began");
    let due = Sequence { due: Some(at(30)), ..first.clone() };
    assert_eq!(commit(store, orders(due.clone(), Some(version(20)))), Ok(()));
    assert_eq!(forgets(version(20)), conflict(Some(version(20) + 1)), "something came meanwhile");
    let [number] = kept()[..] else { panic!("it is kept once") };
    let after = store.kept_sequences(number, 99).expect("readable");
    assert!(after.iter().all(|(place, kept)| *place > number && *kept != key));

    assert_eq!(forgets(version(20) + 1), Ok(()));
    assert_eq!((known(), kept()), (None, vec![]));
    assert!(store.sequences(false, 99).expect("readable").items.iter().all(|found| found.key != key));
    assert!(store.scheduled_sequences(99).expect("readable").iter().all(|due| due.key != key));
    assert_eq!(forgets(version(20) + 1), conflict(None), "once");
    // What was decided before that does not bring it back, nor write over what has begun anew.
    assert_eq!(commit(store, orders(due.clone(), Some(version(20) + 1))), conflict(None));
    assert_eq!(commit(store, orders(begins(40), None)), Ok(()));
    assert_eq!(known(), Some(version(40)));
    assert_eq!(commit(store, orders(due, Some(version(20) + 1))), conflict(Some(version(40))));
    assert_eq!(kept().len(), 1);
}

fn a_message_that_was_held_changes_and_keeps_its_octets_and_its_answer(store: &dyn Store) {
    let mut held = new_message("held", 795, "as it came");
    held.record.held = true;
    let (key, before) = (held.record.key.clone(), held.record.clone());
    let answer = held.response.clone();
    assert_eq!(commit(store, Batch { message: Some(held), ..Batch::default() }), Ok(()));
    let record = StoredMessage { held: false, case: Some(case_id(795)), ..before };
    let change = |based_on| {
        let changed = Some(MessageWrite { record: record.clone(), based_on });
        commit(store, Batch { changed, ..Batch::default() })
    };
    let conflict =
        |found| Err(CommitError::Conflict(Conflict::Message { key: key.clone(), found: Some(found) }));
    assert_eq!(change(2), conflict(1));
    assert_eq!(change(1), Ok(()));
    assert_eq!(change(1), conflict(2));
    let needs = Needs { message: Some(key.clone()), ..Needs::default() };
    let known = store.load(&needs).expect("readable").message.expect("is there");
    assert_eq!((&known.record, known.version, known.response), (&record, 2, answer));
    assert_eq!(store.body(&key).expect("readable").expect("is there").body, "as it came".into());
    let of_case = MessageFilter { case: Some(case_id(795)), ..MessageFilter::default() };
    assert_eq!(store.messages(&of_case, 9).expect("readable").items, [record]);
}

fn approvals_come_due_with_the_next_case_that_rests_on_them(store: &dyn Store) {
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_approvals(limit).expect("readable");
        scheduled.into_iter().map(|due| (due.key, due.due)).collect()
    };
    for (number, due) in [(780, Some(30)), (781, Some(10)), (782, None)] {
        let mut made = approval(number);
        made.due = due.map(at);
        assert_eq!(commit(store, keeps(made, None)), Ok(()));
    }
    let all = [(781, 10), (780, 30)].map(|(number, due)| (approval(number).key, at(due)));
    assert_eq!(scheduled(9), all);
    assert_eq!(scheduled(1), all[..1]);
    for number in [783, 784] {
        assert_eq!(commit(store, opens(number, vec![])), Ok(()));
    }
    let mut marked = approval(780);
    marked.charges = vec![charge(783, false), charge(784, true)];
    assert_eq!(commit(store, keeps(marked.clone(), Some(1))), Ok(()));
    assert_eq!(commit(store, keeps(approval(781), Some(1))), Ok(()));
    assert_eq!(scheduled(9), []);
    let needs = |number| Needs { approval_due: Some(approval(number).key), ..Needs::default() };
    let view = store.load(&needs(780)).expect("readable");
    assert_eq!(view.case.map(|case| case.value), Some(case(784)));
    assert_eq!(view.approvals.get(&marked.key).map(|found| &found.value), Some(&marked));
    let view = store.load(&needs(781)).expect("readable");
    assert!(view.case.is_none() && view.approvals.len() == 1);
}

fn cases_are_named_by_any_key_and_gone_through_by_time(store: &dyn Store) {
    let bill = |number: u32| CorrelationKey::Bill(party(&format!("broker-{number}")), "BILL-760".into());
    for number in [760, 761, 762] {
        let mut made =
            opens(number, vec![bill(number % 2), CorrelationKey::Declaration(format!("N{number}").into())]);
        if let Some(write) = &mut made.case {
            write.case.opened_at = at(1_000_000 + u64::from(number));
            write.case.submitter = Some(party(if number == 761 { "other" } else { "goer" }));
        }
        assert_eq!(commit(store, made), Ok(()));
    }
    let named = |text: &str, limit| store.named_cases(Realm::Production, text, limit).expect("readable");
    assert_eq!(named("BILL-760", 9), [762, 761].map(case_id), "a bill leads to the case that it named last");
    assert_eq!(named("BILL-760", 1), [case_id(762)]);
    assert_eq!(named("N760", 9), [case_id(760)]);
    assert_eq!(named(case_id(760).as_str(), 9), [case_id(760)]);
    assert_eq!(named("N76", 9), []);
    let through = |from: u32, until: u32, submitter: Option<&str>| {
        let at = |number| at(1_000_000 + u64::from(number));
        let opened = Opened {
            realm: Realm::Production,
            from: at(from),
            until: at(until),
            submitter: submitter.map(party),
        };
        let mut found = Vec::new();
        store.each_case(&opened, &mut |case| found.push(case.id)).expect("readable");
        found.sort_unstable();
        found
    };
    assert_eq!(through(760, 763, None), [760, 761, 762].map(case_id));
    assert_eq!(through(761, 762, None), [case_id(761)], "the end is not in it");
    assert_eq!(through(760, 763, Some("goer")), [760, 762].map(case_id));
    assert_eq!(through(763, 999, None), []);
}

fn what_is_practice_is_found_in_practice_alone(store: &dyn Store) {
    let keys = |number: u32| {
        vec![
            CorrelationKey::Declaration("780".into()),
            CorrelationKey::Application("A780".into()),
            CorrelationKey::Conversation(party("kfda-780"), case(780).conversation_id),
            CorrelationKey::Sent(message_id(format!("sent-{number}"))),
            CorrelationKey::Received(message_key("realms", number)),
        ]
    };
    let realms = [(Realm::Production, 780), (Realm::Practice, 781)];
    for (realm, number) in realms {
        let mut made = opens(number, keys(number));
        if let Some(write) = &mut made.case {
            write.case.realm = realm;
            write.case.opened_at = at(2_000_000);
            write.case.submitter = Some(party("realms"));
            let code = || DocumentCode::new("GOVCBRX01").expect("a code");
            let agency = AgencyCode::new("KFDA").expect("an agency");
            let application = Application::new(agency, party("kfda-780"), code(), code());
            write.case.applications = vec![Application { number: Some("A780".into()), ..application }];
        }
        let mut owed = delivery(number, "realms");
        (owed.realm, owed.case) = (realm, Some(case_id(number)));
        made.deliveries = makes(owed).deliveries;
        assert_eq!(commit(store, made), Ok(()), "the same numbers in {realm}");
    }
    for (realm, number) in realms {
        let own = [case_id(number)];
        for key in keys(number) {
            let found = store.case(realm, &key).expect("readable").expect("there");
            assert_eq!((found.value.id, found.value.realm), (case_id(number), realm), "{key}");
            let view = store.load(&Needs { realm, case: vec![key.clone()], ..Needs::default() });
            assert_eq!(view.expect("readable").taken.get(&key), Some(&case_id(number)), "{key}");
        }
        assert_eq!(store.named_cases(realm, "780", 9).expect("readable"), own);
        assert_eq!(store.named_cases(realm.other(), case_id(number).as_str(), 9).expect("readable"), []);
        let agency = Some(party("kfda-780"));
        let filter = CaseFilter { realm, agency, ..CaseFilter::default() };
        let listed = store.cases(&filter, 9).expect("readable").items;
        assert_eq!(listed.into_iter().map(|case| case.id).collect::<Vec<_>>(), own);
        let opened = Opened { realm, from: at(2_000_000), until: at(2_000_001), submitter: None };
        let mut through = Vec::new();
        store.each_case(&opened, &mut |case| through.push(case.id)).expect("readable");
        assert_eq!(through, own);

        // What is named is what it is, whatever realm was asked in.
        let by_name = store.load(&Needs { case_of_delivery: true, ..by_id(number) }).expect("readable");
        assert_eq!((by_name.realm, by_name.case.map(|case| case.value.id)), (realm, Some(case_id(number))));
        let conflict = Conflict::Correlation { key: keys(number)[0].clone(), owner: case_id(number) };
        let mut taken = opens(782, vec![keys(number)[0].clone()]);
        if let Some(write) = &mut taken.case {
            write.case.realm = realm;
        }
        assert_eq!(commit(store, taken), Err(CommitError::Conflict(conflict)), "within {realm}");
    }
    let refers = |realm, text: &str, leads| {
        let reference = Reference { by: party("realms"), message_id: message_id(text), leads };
        let case = vec![CorrelationKey::Declaration("780".into())];
        let needs = Needs { realm, refers_to: Some(reference), case, ..Needs::default() };
        let view = store.load(&needs).expect("readable");
        (view.realm, view.strays, view.case.map(|case| case.value.id))
    };
    let (production, practice) = (Some(case_id(780)), Some(case_id(781)));
    for practised in ["sent-781", "781@realms"] {
        let led = (Realm::Practice, false, practice.clone());
        assert_eq!(refers(Realm::Production, practised, true), led);
        assert_eq!(
            refers(Realm::Production, practised, false),
            (Realm::Production, true, production.clone())
        );
        assert_eq!(refers(Realm::Practice, practised, true), led);
    }
    assert_eq!(refers(Realm::Practice, "sent-780", true), (Realm::Practice, true, practice));
    assert_eq!(refers(Realm::Production, "sent-780", true), (Realm::Production, false, production.clone()));
    assert_eq!(refers(Realm::Production, "unheard-of", true), (Realm::Production, false, production));
}

fn large_octets_are_kept_like_small_ones(store: &dyn Store) {
    for (number, length) in [(800, 256 * 1024), (801, 256 * 1024 + 1), (802, 3 << 20), (803, 0)] {
        let octets = |fill: u8| vec![fill; length];
        let mut made = delivery(number, "large");
        made.sealed = true;
        let mut batch = makes(made.clone());
        batch.message = Some(new_message("broker", number, octets(1)));
        batch.deliveries[0].sealed = Some(sealed(octets(2)));
        assert_eq!(commit(store, batch), Ok(()));
        let needs = Needs { sealed: true, parts_of_delivery: true, ..by_id(number) };
        let view = store.load(&needs).expect("readable");
        assert_eq!(view.sealed.expect("sealed").body, octets(2).into(), "{length} octets (P6)");
        assert_eq!(view.bodies[&message_key("broker", number)].body, octets(1).into());
    }
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

    let timeline = store.timeline(&case_id(900)).expect("readable").items;
    let events: Vec<_> = timeline.iter().map(|entry| &*entry.entry.event).collect();
    assert_eq!(events, ["case.opened"]);
}

fn everything_is_accounted_for(store: &dyn Store) {
    for (number, state) in (1000..).zip(DeliveryState::ALL) {
        let mut made = delivery(number, "accounts");
        made.state = state;
        assert_eq!(commit(store, makes(made)), Ok(()));
    }
    let law = store.conservation().expect("readable");
    assert!(law.holds(), "P2: {law:?}");
    let account = law.destinations[&party("accounts")];
    assert_eq!(account.created, 7);
    assert_eq!((account.delivered, account.held, account.awaiting, account.expired), (1, 1, 1, 1));

    let queue = store.queues().expect("readable").remove(&party("accounts")).expect("a queue");
    assert_eq!(queue.open, DeliveryState::OPEN.map(|state| (state, 1)).into());
    assert_eq!(queue.oldest, Some(at(1000)), "the oldest that is not terminal");
}

fn the_audit_record_is_one_chain(store: &dyn Store) {
    let entries = store.audit(1, usize::MAX).expect("readable").items;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>(), "P18: no gaps");
    let last = entries.last().expect("entries");
    match store.verify_audit().expect("readable") {
        AuditVerdict::Intact(head) => assert_eq!((head.sequence, head.hash), (last.sequence, last.hash)),
        broken @ AuditVerdict::Broken { .. } => panic!("{broken:?} (P18)"),
    }
    let some = store.audit(2, 3).expect("readable").items;
    assert_eq!(some, entries[1..4]);
}

fn signed_heads_are_kept_as_they_were_signed(store: &dyn Store) {
    let height = store.audit_height().expect("readable");
    let chain = store.chain(1, usize::MAX).expect("readable");
    let (mut head, mut tree, mut made) = (AuditHead::EMPTY, Tree::default(), Vec::new());
    for entry in &chain {
        head = head.then(&entry.text);
        tree.push(head.hash);
        assert_eq!((entry.number, &entry.hash), (head.sequence, &head.hash.to_string()), "P18");
        if entry.number % 2 == 0 {
            made.push(kept_head(head, &tree, "signature"));
        }
    }
    assert_eq!(head.sequence, height);
    assert_eq!(store.head_before(u64::MAX).expect("readable"), None);
    for head in &made {
        assert_eq!(commit(store, Batch { head: Some(head.clone()), ..Batch::default() }), Ok(()));
    }
    let mut again = made[0].clone();
    again.signed.signature = "another".to_owned();
    assert_eq!(commit(store, Batch { head: Some(again), ..Batch::default() }), Ok(()), "it changes nothing");
    assert_eq!(store.heads(0, usize::MAX).expect("readable"), made, "P18");
    assert_eq!(store.heads(2, 1).expect("readable"), made[1..2]);
    assert_eq!(store.head_before(u64::MAX).expect("readable").as_ref(), made.last());
    assert_eq!(store.audit_height().expect("readable"), height, "a head is no entry");
}

pub(in crate::store) fn kept_head(head: AuditHead, tree: &Tree, signature: &str) -> KeptHead {
    let said = TreeHead {
        gateway: party("hub"),
        entries: head.sequence,
        root: tree.root(),
        chain: head.hash,
        at: Timestamp::from_millis(1),
    };
    let signed = SignedHead { head: said, key: Digest([1; 32]), signature: signature.to_owned() };
    KeptHead { signed, peaks: tree.peaks().to_vec() }
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

/// What ended a delivery is kept as it came, the newest of several; and entries are found by the message that they name.
fn receipts_and_entries_are_found(store: &dyn Store) {
    let ended = delivery(930, "receipts");
    let write = |based_on, receipt: Option<&str>| DeliveryWrite {
        delivery: ended.clone(),
        based_on: Some(based_on),
        sealed: None,
        receipt: receipt.map(|receipt| sealed(receipt.to_owned())),
    };
    assert_eq!(commit(store, makes(ended.clone())), Ok(()));
    assert_eq!(store.receipt(&ended.id).expect("readable"), None);
    for (version, receipt) in [(1, "one"), (2, "two")] {
        let batch = Batch { deliveries: vec![write(version, Some(receipt))], ..Batch::default() };
        assert_eq!(commit(store, batch), Ok(()));
        assert_eq!(store.receipt(&ended.id).expect("readable"), Some(sealed(receipt.to_owned())), "P18");
    }
    assert_eq!(commit(store, Batch { deliveries: vec![write(3, None)], ..Batch::default() }), Ok(()));
    assert_eq!(store.receipt(&ended.id).expect("readable"), Some(sealed("two")), "it stays");

    let before = store.audit_height().expect("readable");
    let about = |case: Option<u32>, message: &str| {
        let (case, message_id) = (case.map(case_id), Some(message_id(message)));
        TimelineEntry { case, message_id, ..entry("message.accepted") }
    };
    let audit = vec![
        about(Some(901), "about-a"),
        about(None, "about-a"),
        about(Some(902), "about-a"),
        about(None, "about-b"),
        entry("keys.in-force"),
        entry("keys.in-force"),
    ];
    assert_eq!(commit(store, Batch { audit, ..Batch::default() }), Ok(()));
    let numbers = |case: Option<u32>, message: &str| {
        let found = store.entries_about(case.map(case_id).as_ref(), &message_id(message)).expect("readable");
        found.into_iter().map(|entry| entry.number - before).collect::<Vec<_>>()
    };
    assert_eq!(numbers(Some(901), "about-a"), [1, 2]);
    assert_eq!(numbers(None, "about-a"), [2]);
    assert_eq!(numbers(Some(901), "about-b"), [4]);
    assert_eq!(numbers(None, "about-c"), [0; 0]);
    let last = |up_to| {
        let found = store.last_of_event("keys.in-force", before + up_to).expect("readable");
        found.map(|entry| entry.number - before)
    };
    assert_eq!([last(4), last(5), last(6), last(99)], [None, Some(5), Some(6), Some(6)]);
}

/// What says that it was purged has no octets any more, and is known all the same; nothing else loses any.
fn what_is_purged_is_known_and_has_no_octets(store: &dyn Store) {
    let purged = Some(Purged { at: at(9), archive: Digest([9; 32]), bytes: 12 });
    let large = vec![7; 300_000];
    let [one, other] = [951, 952].map(|number| new_message("purged", number, large.clone()));
    for message in [&one, &other] {
        assert_eq!(commit(store, Batch { message: Some(message.clone()), ..Batch::default() }), Ok(()));
    }
    let sent = DeliveryWrite {
        delivery: crate::model::Delivery { sealed: true, ..delivery(953, "purged") },
        based_on: None,
        sealed: Some(sealed("sent")),
        receipt: Some(sealed("receipt")),
    };
    let id = sent.delivery.id.clone();
    let made = makes(sent.delivery.clone());
    assert_eq!(commit(store, Batch { deliveries: vec![sent.clone()], ..made }), Ok(()));

    let key = one.record.key.clone();
    let record = crate::model::StoredMessage { purged: purged.clone(), ..one.record.clone() };
    let write = |based_on| MessageWrite { record: record.clone(), based_on };
    let stale = commit(store, Batch { changed: Some(write(7)), ..Batch::default() });
    let conflict = Conflict::Message { key: key.clone(), found: Some(1) };
    assert_eq!(stale, Err(CommitError::Conflict(conflict)));
    let beside = other.record.key.clone();
    for (unchanged, conflict) in [
        (Unchanged::Case(case_id(999), 1), Conflict::Case { id: case_id(999), found: None }),
        (Unchanged::Message(beside.clone(), 7), Conflict::Message { key: beside.clone(), found: Some(1) }),
    ] {
        let rests = Batch { changed: Some(write(1)), unchanged: vec![unchanged], ..Batch::default() };
        assert_eq!(commit(store, rests), Err(CommitError::Conflict(conflict)), "what it rests on is another");
    }
    assert!(store.body(&key).expect("readable").is_some(), "nothing of it is written");

    let rests = vec![Unchanged::Message(beside, 1)];
    assert_eq!(
        commit(store, Batch { changed: Some(write(1)), unchanged: rests, ..Batch::default() }),
        Ok(())
    );
    let gone = crate::model::Delivery { purged: purged.clone(), ..sent.delivery.clone() };
    let gone = DeliveryWrite { delivery: gone, based_on: Some(1), sealed: None, receipt: None };
    assert_eq!(commit(store, Batch { deliveries: vec![gone], ..Batch::default() }), Ok(()));
    store.sweep().expect("swept");

    assert_eq!(store.body(&key).expect("readable"), None);
    assert_eq!(store.receipt(&id).expect("readable"), None);
    let needs = Needs {
        message: Some(key.clone()),
        delivery: Some(DeliveryLocator::Id(id.clone())),
        sealed: true,
        ..Needs::default()
    };
    let view = store.load(&needs).expect("readable");
    let known = view.message.expect("it is known for ever (P3)");
    assert_eq!((known.record.purged, known.response, known.version), (purged, None, 2));
    assert_eq!(view.sealed, None);
    let again = commit(store, Batch { message: Some(one.clone()), ..Batch::default() });
    assert_eq!(again, Err(CommitError::Duplicate), "the duplicate memory outlives the octets (P3)");
    // Another message has the same octets: they are its own.
    let body = store.body(&other.record.key).expect("readable").expect("there");
    assert_eq!(body.body, large.into(), "P12");
    let kept = store.kept_messages(0, usize::MAX).expect("readable");
    assert!(
        kept.iter().all(|(_, found)| *found != key)
            && kept.iter().any(|(_, found)| *found == other.record.key)
    );
    assert!(kept.windows(2).all(|two| two[0].0 < two[1].0), "in their order");
    let (second, _) = kept[1];
    assert_eq!(store.kept_messages(kept[0].0, 1).expect("readable")[0].0, second);
    assert!(store.kept_deliveries(0, usize::MAX).expect("readable").iter().all(|(_, found)| *found != id));
    assert_eq!(store.scrub().expect("readable"), [], "what is gone is no damage");
}
