//! What leaves with the commit that makes it is what would have left a moment later.

use super::super::*;
use super::cases::{answer, lodging};
use super::world::*;
use crate::model::*;
use crate::store::Store as _;

/// A world with a case of three applications, lodged while every destination has so many places.
fn lodged_with_room(room: u32) -> World {
    let mut world = World::new();
    world.room = room;
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    assert!(matches!(world.post(&posted), Some(Reply::Message(_))));
    world
}

/// Everything that was transmitted: to whom, which attempt, under which MessageId, and the digests in its signature.
fn transmissions(world: &World) -> Vec<(String, u32, String, usize)> {
    let told = world.sent.iter().map(|sent| {
        let record = world.delivery(&sent.delivery);
        let references = sent.sealed.references.len();
        (sent.destination.to_string(), sent.attempt, record.message_id.to_string(), references)
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

#[test]
fn with_room_everything_leaves_at_once_and_is_the_same_that_waits_without_p4_p6() {
    let mut waiting = lodged_with_room(0);
    assert!(waiting.sent.is_empty());
    waiting.deliver();
    let prompt = lodged_with_room(1);
    assert_eq!(transmissions(&prompt), transmissions(&waiting));
    for sent in &prompt.sent {
        let record = prompt.delivery(&sent.delivery);
        assert_eq!((record.state, record.attempts), (DeliveryState::AwaitingAcknowledgment, 1));
        assert!(
            record.sealed && record.due > prompt.now,
            "it comes due again unless a receipt is there first"
        );
        let kept =
            waiting.sent.iter().find(|other| other.delivery == sent.delivery).expect("it is the same one");
        assert_eq!(kept.sealed.references, sent.sealed.references, "the same digests of the same parts");
    }
    prompt.check_laws();
}

#[test]
fn a_whole_case_ends_in_the_same_deliveries_however_much_room_there_is() {
    let mut ends = Vec::new();
    for room in [0, 1, 8] {
        let mut world = lodged_with_room(room);
        for agency in 0..3 {
            let posted = answer(&world, agency, &format!("result-{agency}"), Outcome::Approved);
            world.post(&posted);
        }
        for sent in world.sent.clone() {
            world.answer_to(sent);
        }
        world.deliver();
        let deliveries = world.deliveries();
        let end = |d: &Delivery| (d.id.clone(), d.state, d.attempts, d.message_id.clone());
        let mut told: Vec<_> = deliveries.iter().map(end).collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(
            told.iter().all(|(_, state, attempts, _)| (*state, *attempts) == (DeliveryState::Delivered, 1))
        );
        ends.push(told);
        world.check_laws();
    }
    assert!(ends.iter().all(|end| *end == ends[0]));
}

//= ebms2 6.5.4 MUST: no acknowledgment in time is a communication error like any other
#[test]
fn what_left_at_once_and_got_no_receipt_is_repeated_octet_for_octet_p4() {
    let mut world = lodged_with_room(1);
    let first = world.sent.clone();
    world.pass(70);
    world.deliver();
    for sent in first {
        let mut again = world.sent.iter().filter(|other| other.delivery == sent.delivery).skip(1);
        let again = again.next().expect("it came due again");
        assert_eq!((again.attempt, &again.sealed), (2, &sent.sealed));
    }
    world.check_laws();
}

#[test]
fn a_receipt_is_waited_for_without_a_look_at_the_records() {
    let world = lodged_with_room(1);
    let Transmission { delivery, attempt, awaits_receipt, .. } = world.sent[0].clone();
    assert!(awaits_receipt);
    let outcome = AttemptOutcome::Taken;
    let event = Event::Attempted { delivery, attempt, awaits_receipt, outcome };
    assert!(needs(&event, &world.context()).delivery.is_none());
}

/// The case, and the message that opened it, are for him who hears that a delivery ended badly.
#[test]
fn an_attempt_that_ends_nothing_badly_leaves_the_case_alone() {
    let mut world = lodged_with_room(1);
    let Transmission { delivery, attempt, .. } = world.sent[0].clone();
    let reason = || "503".to_owned();
    let mut check = |outcome: AttemptOutcome, awaits_receipt: bool, looks: bool| {
        let shown = format!("{outcome:?}");
        let event = Event::Attempted { delivery: delivery.clone(), attempt, awaits_receipt, outcome };
        let view = world.store.load(&needs(&event, &world.context())).expect("the store loads");
        assert!(view.delivery.is_some(), "{shown}");
        assert_eq!((view.case.is_some(), view.cause.is_some()), (looks, looks), "{shown}");
        world.drive(&event);
        world.check_laws();
    };
    check(AttemptOutcome::Again { reason: reason(), alarm: false, unsent: false }, true, false);
    check(AttemptOutcome::Unclear { reason: reason() }, true, false);
    // Whether this one ends it, the agreement says.
    check(AttemptOutcome::Unserved { reason: reason() }, true, true);
    check(AttemptOutcome::Taken, false, false);
    check(AttemptOutcome::GiveUp { reason: reason() }, true, true);
    assert_eq!(world.count(BROKER, "MessageError"), 1);
}
