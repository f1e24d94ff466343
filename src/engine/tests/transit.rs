//! What is for another party is passed on as it came (ebMS 2.0, 10; digest, 15).

use super::super::*;
use super::cases::lodging;
use super::world::*;
use crate::model::*;
use crate::security::Transit;
use crate::store::Store as _;

/// A world in which messages between the asynchronous broker and KFDA are passed on.
fn forwarding() -> World {
    let mut world = World::new();
    for party in [ASYNC_BROKER, AGENCIES[0].1] {
        world.agree(party, |agreement| agreement.forwards = true);
    }
    world
}

/// A message of the broker for KFDA, under an agreement that is none of ours.
fn message(world: &World, change: impl FnOnce(&mut Message)) -> Posted {
    lodging(world, ASYNC_BROKER, "transit", DECLARATION, &[]).with(|message| {
        message.header.cpa_id = CpaId::new("broker-and-kfda").expect("plain");
        change(message);
    })
}

fn in_transit(world: &World, posted: &Posted, asked: Option<bool>) -> Event {
    let Arrival { content_type, body, received_at, waiting, .. } = posted.arrival(world.now);
    let asked = asked.map(|signed| AckRequested { actor: Actor::NextMsh, signed });
    let (from, to) = (posted.sender.clone(), party(AGENCIES[0].1));
    Event::InTransit(Box::new(InTransit {
        transit: Transit::for_tests(posted.message.clone(), from, to, asked),
        octets: Sealed { content_type, body, references: Vec::new() },
        received_at,
        waiting,
    }))
}

//= ebms2 10 MUST: an intermediary changes no octet of what it passes on, and opens no case
//= ebms2 10.1.3 MUST: an intermediary eliminates no duplicates: what comes again is passed on again
//= ebms2 10.1.4 MUST: a hop is acknowledged once the message is stored, by an Acknowledgment of actor nextMSH
#[test]
fn what_is_for_another_party_goes_on_octet_for_octet_p6() {
    let mut world = forwarding();
    let posted = message(&world, |_| {});
    let event = in_transit(&world, &posted, Some(false));
    assert_eq!(world.drive(&event), Some(Reply::Empty));
    assert_eq!((world.cases(), world.stored_messages()), (0, 0));
    world.deliver();
    let body = posted.arrival(world.now).body;
    let onward = |world: &World| {
        let sent = world.sent.iter().filter(|sent| sent.destination.as_str() == AGENCIES[0].1);
        sent.map(|sent| (sent.sealed.body == body, sent.awaits_receipt)).collect::<Vec<_>>()
    };
    assert_eq!(onward(&world), [(true, false)], "the hop ends when it is taken");
    let back = world.sent.iter().find(|sent| sent.destination.as_str() == ASYNC_BROKER).expect("the hop");
    let given = read(&back.sealed);
    let [hop] = &given.acknowledgments[..] else { panic!("one Acknowledgment: {given:?}") };
    assert_eq!((hop.actor, hop.from.is_empty()), (Actor::NextMsh, false));
    assert_eq!(hop.ref_to_message_id, posted.message.header.data.message_id);

    world.pass(61);
    assert_eq!(world.drive(&event), Some(Reply::Empty));
    world.deliver();
    assert_eq!(onward(&world), [(true, false), (true, false)]);
    assert_eq!(world.count(AGENCIES[0].1, "GOVCBR929"), 1, "as one delivery");
    world.check_laws();
}

#[test]
fn what_was_passed_on_and_purged_is_known_when_it_comes_again_p3() {
    let mut world = forwarding();
    let (day, month) = (86_400, 30 * 86_400);
    world.retention.default = Keep::For(std::time::Duration::from_secs(day));
    let posted = message(&world, |message| message.header.data.time_to_live = None);
    let event = in_transit(&world, &posted, None);
    world.drive(&event);
    world.deliver();
    world.pass(month);
    let delivery = world.deliveries().remove(0);
    let (id, destination, message_id) = (delivery.id, delivery.destination, delivery.message_id);
    let subject = EvidenceSubject::Sent { delivery: id.clone(), destination, message_id };
    world.drive(&Event::Purged { subject, archive: Digest([7; 32]), bytes: 1 });
    assert_eq!(world.logged("delivery.purged"), Some(false));
    world.drive(&event);
    world.deliver();
    let told =
        world.sent.iter().find(|sent| sent.destination.as_str() == ASYNC_BROKER).expect("a MessageError");
    let error = read(&told.sealed).error_list.expect("is an error").errors.remove(0);
    assert_eq!(error.code, ErrorCode::TimeToLiveExpired);
    assert!(world.delivery(&id).purged.is_some(), "it is not passed on again");
    world.check_laws();
}

#[test]
fn a_hop_that_has_no_place_for_messages_is_tried_again_for_whoever_asked_for_an_acknowledgment() {
    fn check(change: impl FnOnce(&mut Message), expected: DeliveryState) {
        let mut world = forwarding();
        let event = in_transit(&world, &message(&world, change), None);
        world.drive(&event);
        let due = world.store.due(&party(AGENCIES[0].1), world.now, 1).expect("the store reads");
        let id = due[0].id.clone();
        world.drive(&Event::Due(id.clone()));
        let outcome = AttemptOutcome::Unserved { reason: "HTTP 301".to_owned() };
        let attempted = Event::Attempted { delivery: id.clone(), attempt: 1, awaits_receipt: false, outcome };
        world.drive(&attempted);
        assert_eq!(world.delivery(&id).state, expected);
        world.check_laws();
    }
    check(|_| {}, DeliveryState::AwaitingAcknowledgment);
    check(|message| message.ack_requested.clear(), DeliveryState::Rejected);
    // The acknowledgment that somebody else waits for.
    let signal = |message: &mut Message| {
        message.ack_requested.clear();
        message.header.service = Service::msh();
        message.header.action = "Acknowledgment".into();
    };
    check(signal, DeliveryState::AwaitingAcknowledgment);
}

//= ebms2 10.1.5 MUST: the From Party of what cannot be passed on and asked for an acknowledgment hears DeliveryFailure
#[test]
fn a_sender_hears_that_his_message_could_not_be_passed_on_p9() {
    fn check(asks: bool) {
        let mut world = forwarding();
        world.unreachable.push(party(AGENCIES[0].1));
        let posted = message(&world, |message| {
            if !asks {
                message.ack_requested.clear();
            }
        });
        let event = in_transit(&world, &posted, None);
        world.drive(&event);
        for _ in 0..6 {
            world.deliver();
            world.pass(70);
        }
        let mut found = world.deliveries();
        found.retain(|delivery| matches!(delivery.purpose, DeliveryPurpose::Transit { .. }));
        assert_eq!(found[0].state, DeliveryState::Expired, "{}", found[0].reason);
        let told: Vec<_> =
            world.sent.iter().filter(|sent| sent.destination.as_str() == ASYNC_BROKER).collect();
        assert_eq!(told.len(), usize::from(asks));
        if let Some(told) = told.first() {
            let error = read(&told.sealed).error_list.expect("is an error").errors.remove(0);
            assert_eq!(error.code, ErrorCode::DeliveryFailure);
        }
        world.check_laws();
    }
    check(true);
    check(false);
}

//= ebms2 4.3 MAY: an intermediary that keeps no connection open refuses SyncReply as not supported
#[test]
fn what_cannot_be_passed_on_is_refused_or_put_off() {
    fn check(change: impl FnOnce(&mut World) -> Posted, expected: Option<ErrorCode>) {
        let mut world = forwarding();
        let posted = change(&mut world);
        let event = in_transit(&world, &posted, None);
        let reply = world.drive(&event);
        let Some(code) = expected else {
            assert_eq!(reply, Some(Reply::Status(503)));
            return;
        };
        assert_eq!(world.drive(&event), Some(Reply::Empty), "again");
        assert_eq!(world.count(ASYNC_BROKER, "MessageError"), 1);
        world.deliver();
        let error = read(&world.sent[0].sealed).error_list.expect("is an error").errors.remove(0);
        assert_eq!(error.code, code);
        assert_eq!(world.count(AGENCIES[0].1, "GOVCBR929"), 0, "P8: nothing of it goes on");
    }
    check(|world| message(world, |message| message.sync_reply = true), Some(ErrorCode::NotSupported));
    check(
        |world| {
            let past = world.now.minus(std::time::Duration::from_secs(1));
            message(world, |message| message.header.data.time_to_live = Some(past))
        },
        Some(ErrorCode::TimeToLiveExpired),
    );
    check(
        |world| {
            world.agree(AGENCIES[0].1, |agreement| agreement.forwards = false);
            message(world, |_| {})
        },
        None,
    );
}

/// The transport envelope of a repeat may differ (digest, 11.2): what is compared is what it says.
#[test]
fn a_repeat_in_another_package_is_the_message_that_was_passed_on_p3() {
    let mut world = forwarding();
    let posted = message(&world, |_| {});
    let first = in_transit(&world, &posted, None);
    let Event::InTransit(mut repeat) = in_transit(&world, &posted, None) else { panic!("in transit") };
    let text = String::from_utf8(repeat.octets.body.held().to_vec()).expect("is text");
    let (_, boundary) = repeat.octets.content_type.split_once("boundary=\"").expect("has a boundary");
    let boundary = boundary.split_once('"').expect("quoted").0.to_owned();
    repeat.octets.body = text.replace(&boundary, "another").into();
    repeat.octets.content_type = repeat.octets.content_type.replace(&boundary, "another").into();
    assert_ne!(repeat.octets.body, posted.arrival(world.now).body);

    world.drive(&first);
    world.deliver();
    let repeat = Event::InTransit(repeat);
    assert_eq!(world.drive(&repeat), Some(Reply::Empty));
    world.deliver();
    assert_eq!(world.count(ASYNC_BROKER, "MessageError"), 0);
    let sent = world.sent.iter().filter(|sent| sent.destination.as_str() == AGENCIES[0].1);
    let bodies: Vec<_> = sent.map(|sent| sent.sealed.body.clone()).collect();
    let came = posted.arrival(world.now).body;
    assert_eq!(bodies, [came.clone(), came], "P6: as it came first");
    world.check_laws();
}

/// Another message under a MessageId that was passed on.
#[test]
fn one_message_id_is_one_message_on_the_way_too_p3() {
    let mut world = forwarding();
    let (one, other) =
        (message(&world, |_| {}), message(&world, |message| message.header.action = "X".into()));
    let events = [&one, &other].map(|posted| in_transit(&world, posted, None));
    world.drive(&events[0]);
    world.drive(&events[1]);
    assert_eq!(world.count(ASYNC_BROKER, "MessageError"), 1);
    assert_eq!(world.owed().iter().filter(|(to, _)| to == AGENCIES[0].1).count(), 1);
}
