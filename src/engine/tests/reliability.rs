//! The combinations of reliable messaging (ebMS 2.0, 6.6): what each brings where we receive, and where we send.

use std::collections::BTreeMap;

use super::super::*;
use super::cases::lodging;
use super::world::*;
use crate::model::*;
use crate::store::Store as _;

//= ebms2 6.6 MUST: in each of the eight combinations every acknowledgment that was asked for is given, and no other
//= ebms2 6.6 MUST: with DuplicateElimination a repeat is answered as it was first and not delivered once more
//= ebms2 6.6 MAY: a repeat without DuplicateElimination is not delivered once more either
#[test]
fn each_combination_brings_the_receipts_it_asks_for_and_one_case_p3() {
    fn check(duplicate_elimination: bool, to_party: bool, next_msh: bool, expected: &[Actor]) {
        let row = (duplicate_elimination, to_party, next_msh);
        let mut world = World::new();
        world.agree(BROKER, |agreement| {
            agreement.reliability.duplicate_elimination = Presence::PerMessage;
            agreement.reliability.ack_requested = Presence::PerMessage;
        });
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|message| {
            message.header.duplicate_elimination = duplicate_elimination;
            let asked = AckRequested { actor: Actor::ToPartyMsh, signed: true };
            message.ack_requested = to_party.then_some(asked).into_iter().collect();
        });
        let mut arrival = posted.arrival(world.now);
        if next_msh {
            arrival.verified = arrival.verified.asking_next_msh(false);
        }
        let event = Event::Arrived(Box::new(arrival));
        let first = world.drive(&event);
        let given: Vec<Actor> = match &first {
            Some(Reply::Message(sealed)) => {
                read(sealed).acknowledgments.iter().map(|ack| ack.actor).collect()
            }
            Some(Reply::Empty) => Vec::new(),
            other => panic!("{row:?}: {other:?}"),
        };
        assert_eq!(given, expected, "{row:?}");
        let owed = world.owed();
        assert!(owed.iter().any(|(to, _)| to == AGENCIES[0].1), "{row:?}: it was delivered");
        world.pass(61);
        assert_eq!(world.drive(&event), first, "{row:?}: a repeat gets the same octets");
        assert_eq!((world.owed(), world.cases()), (owed, 1), "{row:?}: nothing happens twice");
        world.check_laws();
    }
    use Actor::{NextMsh, ToPartyMsh};
    check(true, true, true, &[ToPartyMsh, NextMsh]);
    check(true, true, false, &[ToPartyMsh]);
    check(true, false, true, &[NextMsh]);
    check(true, false, false, &[]);
    check(false, true, true, &[ToPartyMsh, NextMsh]);
    check(false, true, false, &[ToPartyMsh]);
    check(false, false, true, &[NextMsh]);
    check(false, false, false, &[]);
}

//= ebms2 6.5.6 MUST: a duplicate gets the first response, however many come (S18)
#[test]
fn repeats_in_any_number_get_the_stored_answer_and_change_nothing_s18() {
    for repeats in [1, 2, 500] {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
        let first = world.post(&posted);
        world.deliver();
        let owed = world.deliveries();
        for _ in 0..repeats {
            assert_eq!(world.post(&posted), first, "{repeats}");
        }
        assert_eq!((world.stored_messages(), world.cases(), world.deliveries()), (1, 1, owed), "{repeats}");
        world.check_laws();
    }
}

/// An id is the text that it is: one that differs in case or form names another message, which is judged by what it
/// brings and never answered as the first.
#[test]
fn an_id_that_differs_in_case_or_form_is_another_one_s18() {
    for id in ["LODGING@", "<lodging@", "lodging.@", "lodging%40@"] {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
        let first = world.post(&posted);
        let other = posted.with(|message| {
            message.header.data.message_id = MessageId::new(format!("{id}{BROKER}")).expect("a MessageId");
        });
        let answer = world.post(&other);
        assert_ne!(answer, first, "{id}");
        let Some(Reply::Message(sealed)) = &answer else { panic!("{answer:?}") };
        let about = read(sealed).header.data.ref_to_message_id;
        assert_eq!(about.as_ref(), Some(&other.message.header.data.message_id));
        assert_eq!(world.cases(), 1, "{id}: the same declaration again is no second case");
        world.check_laws();
    }
}

//= ebms2 6.4.1 MUST: DuplicateElimination is sent unless the CPA says never
//= ebms2 6.3.1 MUST: AckRequested is sent unless the CPA says never
//= ebms2 6.5.1 MUST: without AckRequested one transmission that was taken ends the job, with it only a receipt does
//= ebms2 6.5.4 MUST: a communication error is treated as a missing acknowledgment
#[test]
fn what_is_sent_asks_for_what_the_agreement_has_and_ends_by_it_p4() {
    fn check(duplicate_elimination: Presence, ack_requested: Presence, expected: DeliveryState) {
        let row = (duplicate_elimination, ack_requested);
        let mut world = World::new();
        world.agree(AGENCIES[0].1, |agreement| {
            agreement.reliability.duplicate_elimination = duplicate_elimination;
            agreement.reliability.ack_requested = ack_requested;
        });
        world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
        let due = world.store.due(&party(AGENCIES[0].1), world.now, 1).expect("the store reads");
        let id = due[0].id.clone();
        world.drive(&Event::Due(id.clone()));
        let first = world.sent.last().expect("it was sent").clone();
        let message = read(&first.sealed);
        assert_eq!(message.header.duplicate_elimination, duplicate_elimination != Presence::Never, "{row:?}");
        let asked = AckRequested { actor: Actor::ToPartyMsh, signed: true };
        let asked: Vec<_> = (ack_requested != Presence::Never).then_some(asked).into_iter().collect();
        assert_eq!(message.ack_requested, asked, "{row:?}");
        let came = |outcome, sent: &Transmission| Event::Attempted {
            delivery: id.clone(),
            attempt: sent.attempt,
            awaits_receipt: sent.awaits_receipt,
            outcome,
        };
        let error =
            AttemptOutcome::Again { reason: "connection reset".to_owned(), alarm: false, unsent: false };
        world.drive(&came(error, &first));
        assert_eq!(world.delivery(&id).state, DeliveryState::AwaitingAcknowledgment, "{row:?}");
        world.pass(70);
        world.drive(&Event::Due(id.clone()));
        let second = world.sent.last().expect("it was sent again").clone();
        assert_eq!((second.attempt, &second.sealed), (2, &first.sealed), "{row:?}: the identical message");
        world.drive(&came(AttemptOutcome::Taken, &second));
        assert_eq!(world.delivery(&id).state, expected, "{row:?}");
        world.check_laws();
    }
    use Presence::{Always, Never, PerMessage};
    for duplicate_elimination in [Always, PerMessage, Never] {
        check(duplicate_elimination, Always, DeliveryState::AwaitingAcknowledgment);
        check(duplicate_elimination, PerMessage, DeliveryState::AwaitingAcknowledgment);
        check(duplicate_elimination, Never, DeliveryState::Delivered);
    }
}

//= ebms2 B.2.2 MUST: what a peer took and answered with what is no message ends by it where no receipt is awaited
#[test]
fn an_answer_that_is_no_message_ends_what_awaits_no_receipt_and_nothing_else_p4() {
    fn check(mode: SyncReplyMode, ack_requested: Presence, expected: DeliveryState, told: &str) {
        let row = (mode, ack_requested);
        let mut world = World::new();
        world.agree(AGENCIES[0].1, |agreement| {
            agreement.sync_reply_mode = mode;
            agreement.reliability.ack_requested = ack_requested;
        });
        world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
        let due = world.store.due(&party(AGENCIES[0].1), world.now, 1).expect("the store reads");
        world.drive(&Event::Due(due[0].id.clone()));
        let Transmission { delivery, attempt, awaits_receipt, .. } =
            world.sent.last().expect("it was sent").clone();
        let next = world.delivery(&delivery).due;
        let outcome = AttemptOutcome::Unclear { reason: "HTTP 200 with a web page".to_owned() };
        assert_eq!(outcome.is_taken(awaits_receipt), ack_requested == Presence::Never, "{row:?}");
        world.drive(&Event::Attempted { delivery: delivery.clone(), attempt, awaits_receipt, outcome });
        let record = world.delivery(&delivery);
        assert_eq!((record.state, record.due), (expected, next), "{row:?}");
        assert!(world.logged(told).is_some(), "{row:?}");
        world.check_laws();
    }
    use DeliveryState::{AwaitingAcknowledgment, Delivered};
    for mode in [SyncReplyMode::None, SyncReplyMode::MshSignalsOnly] {
        check(mode, Presence::Always, AwaitingAcknowledgment, "delivery.failed-attempt");
        check(mode, Presence::Never, Delivered, "delivery.delivered");
    }
}

//= ebms2 B.2.4 MUST: a configuration fault of the peer is tried again with an alarm where somebody counts on the message, and ends what is sent once
#[test]
fn a_server_that_has_no_place_for_messages_ends_what_nobody_counts_on_and_nothing_else_p9() {
    use DeliveryState::{AwaitingAcknowledgment, Rejected};
    fn check(partner: &str, change: impl Fn(&mut Agreement), expected: DeliveryState, told: &str) {
        let mut world = World::new();
        world.agree(partner, change);
        let submitter = if partner == ASYNC_BROKER { ASYNC_BROKER } else { BROKER };
        world.post(&lodging(&world, submitter, "lodging", DECLARATION, &[0]));
        let due = world.store.due(&party(partner), world.now, 10).expect("the store reads");
        let is_signal = |id: &DeliveryId| world.delivery(id).purpose == DeliveryPurpose::Signal;
        let mut due = due.into_iter().map(|due| due.id);
        let id = due.find(|id| is_signal(id) == (partner == ASYNC_BROKER)).expect("is owed");
        world.drive(&Event::Due(id.clone()));
        let Transmission { attempt, awaits_receipt, .. } = *world.sent.last().expect("it was sent");
        let next = world.delivery(&id).due;
        let outcome = AttemptOutcome::Unserved { reason: "HTTP 404".to_owned() };
        assert!(!outcome.is_taken(awaits_receipt));
        world.drive(&Event::Attempted { delivery: id.clone(), attempt, awaits_receipt, outcome });
        let record = world.delivery(&id);
        assert_eq!((record.state, record.due), (expected, next), "{partner}");
        assert_eq!(world.logged(told), Some(true), "{partner}: with an alarm");
        let failures = world.count(BROKER, "MessageError");
        assert_eq!(failures, usize::from(expected == Rejected), "{partner}: the submitter hears of an end");
        world.check_laws();
    }
    let agency = AGENCIES[0].1;
    for presence in [Presence::Always, Presence::PerMessage] {
        let asks = |agreement: &mut Agreement| agreement.reliability.ack_requested = presence;
        check(agency, asks, AwaitingAcknowledgment, "delivery.failed-attempt");
    }
    let never = |agreement: &mut Agreement| agreement.reliability.ack_requested = Presence::Never;
    check(agency, never, Rejected, "delivery.rejected");
    // The acknowledgment of a lodging, which its sender waits for.
    check(ASYNC_BROKER, |_| {}, AwaitingAcknowledgment, "delivery.failed-attempt");
}

/// Gives one Action of a partner's agreement terms of its own.
pub(super) fn override_terms(
    world: &mut World,
    partner: &str,
    direction: Direction,
    (service, action): (&str, &str),
    change: impl Fn(&mut Agreement),
) {
    world.agree(partner, |agreement| {
        let mut terms = agreement.clone();
        change(&mut terms);
        let actions = vec![(direction, service.into(), action.into())];
        agreement.overrides = vec![Override { actions, agreement: terms }];
    });
}

/// A channel of its own for an Action (CPPA 2.0, DeliveryChannel): P4.
#[test]
fn an_action_with_terms_of_its_own_is_sent_and_judged_by_them() {
    let agency = AGENCIES[0].1;
    let mut world = World::new();
    override_terms(&mut world, agency, Direction::Send, ("RequirementVerification", "GOVCBRX01"), |terms| {
        terms.endpoint = Some("https://second.example/ebms".into());
        terms.reliability.ack_signed = false;
        terms.reliability.retries = 0;
    });
    world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
    let owed = |world: &World, to: &str| {
        let due = world.store.due(&party(to), world.now, 1).expect("the store reads");
        Event::Due(due[0].id.clone())
    };
    let sent = |world: &World, event: &Event| {
        let transmitted = world.actions(event).into_iter().find_map(|action| match action {
            Action::Transmit { endpoint, sealed, .. } => {
                Some((endpoint, read(&sealed).ack_requested[0].signed))
            }
            _ => None,
        });
        transmitted.expect("it is sent")
    };
    let application = owed(&world, agency);
    assert_eq!(sent(&world, &application), (Some("https://second.example/ebms".into()), false));
    let usual = world.registry.agreement(&cpa(CUSTOMS)).expect("there is one").endpoint.clone();
    assert_eq!(sent(&world, &owed(&world, CUSTOMS)), (usual, true), "nobody else is concerned");
    world.pass(70);
    world.drive(&application);
    let Event::Due(id) = application else { unreachable!() };
    assert_eq!(world.delivery(&id).state, DeliveryState::Expired, "no transmission was left");
    world.check_laws();
}

/// Endpoints of type `response` and `error`, and OverrideMshActionBinding (CPPA 2.0).
#[test]
fn answers_and_signals_go_to_endpoints_of_their_own() {
    let mut world = World::new();
    world.agree(BROKER, |agreement| {
        agreement.sync_reply_mode = SyncReplyMode::None;
        agreement.response_endpoint = Some("https://answers.example/ebms".into());
        let elsewhere = Agreement {
            endpoint: Some("https://signals.example/ebms".into()),
            response_endpoint: None,
            ..agreement.clone()
        };
        let actions = vec![(Direction::Send, Service::MSH.into(), "Acknowledgment".into())];
        agreement.overrides = vec![Override { actions, agreement: elsewhere }];
    });
    let posted =
        lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|message| message.sync_reply = false);
    assert_eq!(world.post(&posted), Some(Reply::Empty));
    let mut sent = BTreeMap::new();
    for stored in world.store.due(&party(BROKER), world.now, 9).expect("the store reads") {
        let (answers, action) = {
            let delivery = world.delivery(&stored.id);
            (delivery.ref_to_message_id.is_some(), delivery.action.to_string())
        };
        for done in world.actions(&Event::Due(stored.id.clone())) {
            if let Action::Transmit { endpoint, .. } = done {
                sent.insert((action.clone(), answers), endpoint);
            }
        }
    }
    let signals = sent.remove(&("Acknowledgment".to_owned(), true));
    assert_eq!(signals, Some(Some("https://signals.example/ebms".into())));
    assert!(!sent.is_empty(), "the status of what was lodged goes to its declarant");
    for ((action, answers), endpoint) in sent {
        let expected = if answers { "answers" } else { "partner" };
        assert_eq!(endpoint, Some(format!("https://{expected}.example/ebms").into()), "{action}");
    }
    world.check_laws();
}

#[test]
fn an_action_with_terms_of_its_own_is_answered_by_them() {
    let mut world = World::new();
    override_terms(&mut world, BROKER, Direction::Receive, ("ImportClearance", "GOVCBR929"), |terms| {
        terms.sync_reply_mode = SyncReplyMode::None;
    });
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    let refused = world.post(&posted);
    assert!(matches!(refused, Some(Reply::Empty)), "{refused:?}");
    assert!(
        world.owed().contains(&(BROKER.to_owned(), "MessageError".to_owned())),
        "SyncReply is not agreed for it"
    );
    let mut world = World::new();
    override_terms(&mut world, BROKER, Direction::Receive, ("ImportClearance", "GOVCBR929"), |terms| {
        terms.sync_reply_mode = SyncReplyMode::None;
    });
    let posted =
        lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|message| message.sync_reply = false);
    assert_eq!(world.post(&posted), Some(Reply::Empty));
    assert!(world.owed().contains(&(BROKER.to_owned(), "Acknowledgment".to_owned())), "it travels by itself");
    world.check_laws();
}
