//! Deliveries: certain, repeated with the same octets, ended in time; receipts that prove something and others.

use std::time::Duration;

use super::super::*;
use super::cases::{answer, lodged, lodging};
use super::world::*;
use crate::model::*;
use crate::security::Verified;
use crate::telemetry::EventCode;

/// The one delivery to a destination with this Action.
fn delivery(world: &World, to: &str, action: &str) -> Delivery {
    let found = world.deliveries().into_iter().find(|d| d.destination.as_str() == to && &*d.action == action);
    found.expect("it is owed")
}

//= ebms2 6.4.3 MUST: a message is sent at most Retries more times
//= ebms2 6.5.4 MUST: what is sent again is the identical message
//= ebms2 6.5.4 MUST: when Retries are spent the application is told that delivery failed
//= ebms2 6.5.7 MUST: the From Party of what was acknowledged and cannot be delivered gets DeliveryFailure
#[test]
fn a_dead_agency_is_tried_again_with_the_same_octets_and_then_given_up_p4_p9() {
    let mut world = World::new();
    let agency = AGENCIES[1].1;
    world.unreachable.push(party(agency));
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    for _ in 0..8 {
        world.deliver();
        world.pass(70);
    }
    let tries: Vec<_> = world.sent.iter().filter(|sent| sent.destination.as_str() == agency).collect();
    assert_eq!(tries.iter().map(|sent| sent.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(tries.iter().all(|sent| sent.sealed == tries[0].sealed));
    assert_eq!(delivery(&world, agency, "GOVCBRX02").state, DeliveryState::Expired);
    assert_eq!(world.case().applications[1].state, ApplicationState::Undeliverable);
    let failure = delivery(&world, BROKER, "MessageError");
    assert_eq!(failure.ref_to_message_id, Some(posted.message.header.data.message_id.clone()));
    assert_eq!(failure.state, DeliveryState::Delivered);
    let others = world.deliveries().into_iter().filter(|d| d.destination.as_str() != agency);
    assert!(others.into_iter().all(|d| d.state == DeliveryState::Delivered), "the others do not wait (P15)");
    world.check_laws();
}

//= ebms2 6.5.4 MUST: nothing is sent again before RetryInterval has passed
#[test]
fn a_delivery_is_not_attempted_before_its_time() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
    world.drive(&Event::Due(id.clone()));
    world.drive(&Event::Due(id.clone()));
    assert_eq!(world.sent.len(), 1, "a second look at the queue sends nothing");
    world.pass(70);
    world.drive(&Event::Due(id.clone()));
    assert_eq!((world.sent.len(), world.delivery(&id).attempts), (2, 2));
}

//= ebms2 6.3.2.5 MUST: a signed acknowledgment has the References of what it acknowledges, compared decoded (S19)
//= ebms2 6.3.1 MUST: where a signed acknowledgment was asked for, an unsigned one counts for nothing
#[test]
fn only_a_receipt_for_these_digests_completes_a_delivery_p4() {
    fn check(change: impl FnOnce(&mut Vec<DigestReference>) -> bool, expected: DeliveryState, event: &str) {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
        world.post(&posted);
        let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
        world.drive(&Event::Due(id.clone()));
        let mut references = world.sent[0].sealed.references.clone();
        let signed = change(&mut references);
        let message = receipt(&world.delivery(&id), references, world.now).verified.message().clone();
        let arrival = response(&world.delivery(&id), message, signed, world.now);
        world.logged.clear();
        world.drive(&Event::Arrived(Box::new(arrival)));
        assert_eq!(world.delivery(&id).state, expected);
        assert!(world.logged(event).is_some(), "{event}");
        world.check_laws();
    }
    check(|_| true, DeliveryState::Delivered, "delivery.delivered");
    check(|_| false, DeliveryState::AwaitingAcknowledgment, "delivery.receipt-refused");
    check(
        |r| {
            r[0].value[0] ^= 1;
            true
        },
        DeliveryState::AwaitingAcknowledgment,
        "delivery.receipt-refused",
    );
    check(
        |r| {
            r.clear();
            true
        },
        DeliveryState::AwaitingAcknowledgment,
        "delivery.receipt-refused",
    );
}

//= ebms2 6.3.2 MAY: an Acknowledgment that rides on a business message completes a delivery
//= ebms2 6.5.2 MUST: an Acknowledgment for something that was never sent is ignored (S19)
#[test]
fn an_acknowledgment_on_a_business_message_is_as_good_as_one_alone_p4() {
    fn check(change: impl FnOnce(&mut Acknowledgment), refused: bool, expected: DeliveryState, event: &str) {
        let mut world = World::new();
        world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
        let id = delivery(&world, AGENCIES[0].1, "GOVCBRX01").id;
        world.drive(&Event::Due(id.clone()));
        let sent = world.sent[0].clone();
        let mut given = Acknowledgment {
            actor: Actor::ToPartyMsh,
            timestamp: world.now,
            ref_to_message_id: world.delivery(&id).message_id,
            from: Vec::new(),
            references: sent.sealed.references,
        };
        change(&mut given);
        let posted = answer(&world, 0, "r0", Outcome::Approved).with(|message| {
            message.acknowledgments.push(given);
            message.header.duplicate_elimination = !refused;
        });
        world.logged.clear();
        let reply = world.post(&posted);
        assert_eq!(world.delivery(&id).state, expected);
        assert!(world.logged(event).is_some(), "{event}");
        assert_eq!(world.stored(&posted).expect("it is kept").accepted, !refused);
        assert_eq!(world.case().applications[0].state == ApplicationState::Created, refused);
        assert_eq!(world.post(&posted), reply);
        assert_eq!(world.delivery(&id).state, expected, "a repeat changes nothing");
        world.check_laws();
    }
    use DeliveryState::{AwaitingAcknowledgment, Delivered};
    check(|_| {}, false, Delivered, "delivery.delivered");
    check(|_| {}, true, Delivered, "delivery.delivered");
    check(
        |given| given.references[0].value[0] ^= 1,
        false,
        AwaitingAcknowledgment,
        "delivery.receipt-refused",
    );
    check(|given| given.references.clear(), false, AwaitingAcknowledgment, "delivery.receipt-refused");
    let nothing = MessageId::new("nothing@sw.example").expect("a MessageId");
    check(|given| given.ref_to_message_id = nothing, false, AwaitingAcknowledgment, "signal.ignored");
}

//= ebms2 4.2.3.2 MUST: warnings that ride on something else are recorded, and what they ride on counts
#[test]
fn warnings_beside_something_else_are_recorded_and_it_counts() {
    let warning = || {
        let error = EbxmlError::new(ErrorCode::Unknown, None, "mind the gap");
        Some(ErrorList { errors: vec![EbxmlError { severity: Severity::Warning, ..error }] })
    };
    let begun = || {
        let mut world = World::new();
        world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
        let id = delivery(&world, AGENCIES[0].1, "GOVCBRX01").id;
        world.drive(&Event::Due(id.clone()));
        let references = world.sent[0].sealed.references.clone();
        world.logged.clear();
        (world, id, references)
    };
    // An Acknowledgment with warnings, and a MessageError of warnings with an Acknowledgment.
    for action in [SignalAction::Acknowledgment, SignalAction::MessageError] {
        let (mut world, id, references) = begun();
        let record = world.delivery(&id);
        let mut message = receipt(&record, references, world.now).verified.message().clone();
        message.header.action = action.as_str().into();
        message.kind = MessageKind::Signal(action);
        message.error_list = warning();
        world.drive(&Event::Arrived(Box::new(response(&record, message, true, world.now))));
        assert_eq!(world.delivery(&id).state, DeliveryState::Delivered, "{action:?}");
        assert_eq!(world.logged("delivery.warning"), Some(false), "{action:?}");
        world.check_laws();
    }
    // A business message with warnings, with and without an Acknowledgment beside them.
    for acknowledges in [true, false] {
        let (mut world, id, references) = begun();
        let given =
            receipt(&world.delivery(&id), references, world.now).verified.message().acknowledgments.clone();
        let posted = answer(&world, 0, "r0", Outcome::Approved).with(|message| {
            message.error_list = warning();
            message.acknowledgments.extend(given.into_iter().filter(|_| acknowledges));
        });
        world.post(&posted);
        assert!(world.stored(&posted).expect("it is kept").accepted);
        assert_eq!(world.delivery(&id).state == DeliveryState::Delivered, acknowledges);
        assert_eq!(world.logged("delivery.warning"), Some(false), "{acknowledges}");
        world.check_laws();
    }
}

//= ebms2 6.5.2 MUST: a repeated Acknowledgment, or one before the HTTP response, is taken once (S19)
#[test]
fn an_acknowledgment_may_overtake_the_response_and_come_again() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
    world.drive(&Event::Due(id.clone()));
    let references = world.sent[0].sealed.references.clone();
    for _ in 0..2 {
        let ack = receipt(&world.delivery(&id), references.clone(), world.now);
        world.drive(&Event::Arrived(Box::new(ack)));
        assert_eq!(world.delivery(&id).state, DeliveryState::Delivered);
    }
    let outcome = AttemptOutcome::Again { reason: "timeout".to_owned(), alarm: false, unsent: false };
    world.drive(&Event::Attempted { delivery: id.clone(), attempt: 1, awaits_receipt: true, outcome });
    assert_eq!(world.delivery(&id).state, DeliveryState::Delivered);
}

//= ebms2 6.3.2 MUST: an Acknowledgment or an ErrorList of another party counts for nothing (S19)
//= ebms2 6.3.2 MUST: an error after the acknowledgment, or an acknowledgment once more, changes nothing (S19)
#[test]
fn signals_that_are_foreign_or_contradict_one_another_change_nothing_s19() {
    for number in [1, 2, 300] {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
        world.post(&posted);
        let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
        world.drive(&Event::Due(id.clone()));
        let sent = world.delivery(&id);
        let references = world.sent[0].sealed.references.clone();
        let comes = |world: &mut World, arrival: Arrival| {
            world.drive(&Event::Arrived(Box::new(arrival)));
        };
        let foreign = |mut arrival: Arrival| {
            let message = arrival.verified.message().clone();
            arrival.verified = Verified::for_tests(message, party(AGENCIES[0].1), true);
            arrival
        };
        for _ in 0..number {
            let now = world.now;
            comes(&mut world, foreign(receipt(&sent, references.clone(), now)));
            comes(&mut world, foreign(error_about(&sent, Severity::Error, now)));
            comes(&mut world, error_about(&sent, Severity::Warning, now));
            comes(&mut world, receipt(&sent, Vec::new(), now));
            assert_eq!(world.delivery(&id), sent, "nothing of it proves or ends anything");
        }
        let now = world.now;
        comes(&mut world, receipt(&sent, references.clone(), now));
        let settled = world.deliveries();
        assert_eq!(world.delivery(&id).state, DeliveryState::Delivered);
        for _ in 0..number {
            comes(&mut world, error_about(&sent, Severity::Error, now));
            comes(&mut world, receipt(&sent, references.clone(), now));
            comes(&mut world, receipt(&sent, Vec::new(), now));
            comes(&mut world, foreign(error_about(&sent, Severity::Error, now)));
        }
        assert_eq!(world.deliveries(), settled, "{number}");
        world.check_laws();
    }
}

/// The conservation law holds the rows of deliveries against the record by these words, which stand in `store::account`
/// (P2).
#[test]
fn the_record_tells_how_a_delivery_goes_on_in_the_words_of_the_law_p2() {
    for (event, word) in [
        (EventCode::DeliveryDelivered, "delivery.delivered"),
        (EventCode::DeliveryRejected, "delivery.rejected"),
        (EventCode::DeliveryExpired, "delivery.expired"),
        (EventCode::DeliveryCreated, "delivery.created"),
        (EventCode::DeliveryAgain, "delivery.again"),
        (EventCode::DeliveryReleased, "delivery.released"),
        (EventCode::DeliverySettled, "delivery.settled"),
        (EventCode::DeliveryQuarantined, "delivery.quarantined"),
        (EventCode::DeliveryKept, "delivery.kept"),
        (EventCode::DeliveryWithheld, "delivery.withheld"),
    ] {
        assert_eq!(event.code(), word);
    }
}

//= ebms2 6.5.2 MAY: an Acknowledgment after the final failure is recorded and changes nothing (S19)
#[test]
fn a_receipt_after_the_end_is_recorded_and_ends_nothing() {
    let mut world = World::new();
    world.unreachable.push(party(CUSTOMS));
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    for _ in 0..6 {
        world.deliver();
        world.pass(70);
    }
    let expired = delivery(&world, CUSTOMS, "GOVCBR929");
    assert_eq!(expired.state, DeliveryState::Expired);
    let sent = world.sent.iter().find(|sent| sent.delivery == expired.id).expect("it was sent").clone();
    world.logged.clear();
    world.drive(&Event::Arrived(Box::new(receipt(&expired, sent.sealed.references, world.now))));
    assert_eq!(world.logged("delivery.late-receipt"), Some(false));
    assert_eq!(world.delivery(&expired.id).state, DeliveryState::Expired);
}

//= ebms2 4.2.3.2 MUST: an ErrorList of severity Error ends the delivery it is about
//= ebms2 4.2.3.2 MUST: an ErrorList of severity Warning does not
#[test]
fn an_error_ends_a_delivery_and_a_warning_does_not() {
    fn check(severity: Severity, expected: DeliveryState, failures: usize, state: ApplicationState) {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
        world.post(&posted);
        let id = delivery(&world, AGENCIES[0].1, "GOVCBRX01").id;
        world.drive(&Event::Due(id.clone()));
        for _ in 0..2 {
            world.drive(&Event::Arrived(Box::new(error_about(&world.delivery(&id), severity, world.now))));
        }
        assert_eq!(world.delivery(&id).state, expected);
        assert_eq!(world.count(BROKER, "MessageError"), failures);
        assert_eq!(world.case().applications[0].state, state);
        world.check_laws();
    }
    check(Severity::Error, DeliveryState::Rejected, 1, ApplicationState::Error);
    check(Severity::Warning, DeliveryState::AwaitingAcknowledgment, 0, ApplicationState::Created);
}

//= ebms2 6.5.4 MAY: what the peer will never take is given up at once, and the From Party told
#[test]
fn what_the_peer_will_never_take_is_given_up_at_once() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
    world.drive(&Event::Due(id.clone()));
    let outcome = AttemptOutcome::GiveUp { reason: "SOAP fault Client".to_owned() };
    world.drive(&Event::Attempted { delivery: id.clone(), attempt: 1, awaits_receipt: true, outcome });
    assert_eq!(world.delivery(&id).state, DeliveryState::Rejected);
    assert_eq!(world.count(BROKER, "MessageError"), 1);
}

#[test]
fn a_result_counts_although_the_delivery_expired() {
    let mut world = World::new();
    world.unreachable.push(party(AGENCIES[0].1));
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    for _ in 0..6 {
        world.deliver();
        world.pass(70);
    }
    assert_eq!(world.case().applications[0].state, ApplicationState::Undeliverable);
    world.unreachable.clear();
    let result = answer(&world, 0, "r0", Outcome::Approved);
    world.post(&result);
    assert_eq!(world.case().applications[0].state, ApplicationState::Decided(Outcome::Approved));
}

//= ebms2 4.3.1 MUST: under syncReplyMode none the acknowledgment comes by a message of its own
//= ebms2 6.5.3 MUST: RefToMessageId of an Acknowledgment is the MessageId it acknowledges
//= ebms2 6.5.6 MUST: a duplicate gets the stored first response, octet for octet, asynchronously too
#[test]
fn under_sync_reply_mode_none_the_answer_is_a_delivery_and_a_repeat_sends_it_again_p3() {
    let mut world = World::new();
    let posted = lodging(&world, ASYNC_BROKER, "lodging", DECLARATION, &[0]);
    assert_eq!(world.post(&posted), Some(Reply::Empty));
    world.deliver();
    let ack = delivery(&world, ASYNC_BROKER, "Acknowledgment");
    assert_eq!((ack.state, ack.attempts), (DeliveryState::Delivered, 1));
    assert_eq!(ack.ref_to_message_id, Some(posted.message.header.data.message_id.clone()));
    let owed = world.owed();
    world.pass(5);
    assert_eq!(world.post(&posted), Some(Reply::Empty));
    assert_eq!(world.delivery(&ack.id).state, DeliveryState::Pending);
    world.deliver();
    let sent: Vec<_> = world.sent.iter().filter(|sent| sent.delivery == ack.id).collect();
    assert_eq!((sent.len(), &sent[0].sealed), (2, &sent[1].sealed));
    assert_eq!(world.owed(), owed);
    world.check_laws();
}

#[test]
fn without_an_agreement_a_delivery_waits_for_an_operator() {
    let mut world = lodged();
    let posted = answer(&world, 0, "r0", Outcome::Approved);
    let without: Vec<_> =
        world.registry.agreements().filter(|a| a.partner.as_str() != CUSTOMS).cloned().collect();
    world.registry = Registry::new(world.registry.parties().cloned().collect::<Vec<_>>(), without);
    world.post(&posted);
    assert_eq!(delivery(&world, CUSTOMS, "GOVCBRX51").state, DeliveryState::Quarantined);
    assert_eq!(delivery(&world, BROKER, "GOVCBRX51").state, DeliveryState::Pending);
    assert_eq!(world.logged("delivery.quarantined"), Some(true));
    world.check_laws();
}

#[test]
fn what_cannot_be_sealed_waits_for_an_operator_instead_of_coming_due_for_ever_p9() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
    world.drive(&Event::Unsealable { delivery: id.clone(), reason: "there is no signing key".to_owned() });
    assert_eq!(world.delivery(&id).state, DeliveryState::Quarantined);
    world.deliver();
    assert_eq!(world.delivery(&id).attempts, 0);
    world.check_laws();
}

/// Before it was sent or after: nothing more leaves by itself, and once it is mended an operator lets it go.
#[test]
fn what_is_damaged_waits_for_an_operator_who_lets_it_go_p12() {
    for sent in [false, true] {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
        world.post(&posted);
        let id = delivery(&world, CUSTOMS, "GOVCBR929").id;
        if sent {
            world.drive(&Event::Due(id.clone()));
            assert_eq!(world.delivery(&id).state, DeliveryState::AwaitingAcknowledgment);
        }
        let attempts = world.delivery(&id).attempts;
        let damaged = Event::Damaged { delivery: id.clone(), reason: "its octets differ".to_owned() };
        world.drive(&damaged);
        assert_eq!(world.logged("delivery.quarantined"), Some(true));
        let kept = world.delivery(&id);
        assert_eq!((kept.state, &*kept.reason), (DeliveryState::Quarantined, "its octets differ"));
        world.drive(&damaged);
        world.deliver();
        assert_eq!(world.delivery(&id), kept, "P9: it comes due no more");

        let again = Event::Again { delivery: id.clone(), by: "uid 1".into(), reason: "mended".into() };
        assert!(matches!(world.drive(&again), Some(Reply::Told(Told { how: How::Done, .. }))));
        assert_eq!(world.delivery(&id).state, DeliveryState::Pending);
        world.drive(&Event::Due(id.clone()));
        let gone = world.delivery(&id);
        assert_eq!((gone.state, gone.again), (DeliveryState::AwaitingAcknowledgment, 0));
        assert!(gone.attempts > attempts || sent);
        world.check_laws();
    }
}

#[test]
fn each_addressee_gets_its_document_with_the_attachments_that_are_its_own() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1]);
    let id = |name: &str| ContentId::new(name).expect("a Content-ID");
    let mut parts = posted.documents.parts().to_vec();
    for (part, names) in parts.iter_mut().zip([vec![], vec![id("label"), id("both")], vec![id("both")]]) {
        if let PartContent::Document { document, .. } = part
            && let Document::Application(application) = &mut **document
        {
            application.attachments = names;
        }
    }
    parts.extend([PartContent::Attachment, PartContent::Attachment, PartContent::Attachment]);
    let posted = posted.with(|message| {
        for name in ["label", "both", "invoice"] {
            let body = bytes::Bytes::from(name.to_owned());
            let digest = Digest::of(&body);
            let media_type = "application/pdf".into();
            let reference = Reference {
                href: format!("cid:{name}").into(),
                role: None,
                schemas: Vec::new(),
                description: None,
            };
            message.manifest.get_or_insert_default().references.push(reference);
            message.payloads.push(Payload {
                content_id: id(name),
                media_type,
                role: None,
                body: body.into(),
                digest,
            });
        }
    });
    world.post(&posted.read_as(parts));
    let carried = |to: &str, action: &str| {
        let parts = delivery(&world, to, action).parts;
        parts.into_iter().map(|part| part.content_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(carried(CUSTOMS, "GOVCBR929"), ["0.lodging@BR123450000001", "invoice"]);
    assert_eq!(carried(AGENCIES[0].1, "GOVCBRX01"), ["1.lodging@BR123450000001", "label", "both"]);
    assert_eq!(carried(AGENCIES[1].1, "GOVCBRX02"), ["2.lodging@BR123450000001", "both"]);
}

//= ebms2 3.2 MUST: each payload is named by the Manifest of the message that it is sent on with
/// Payloads may come under a Content-Location, or a Content-ID that is careless: what was accepted is deliverable (P2).
#[test]
fn a_payload_of_any_name_is_sent_on() {
    let mut world = World::new();
    let names = ["decl%201.xml", "http://broker.example/a(1).xml", "<x> \"y\"", "label", "a#b?c&d"];
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]);
    let mut parts = posted.documents.parts().to_vec();
    parts.extend(names.map(|_| PartContent::Attachment));
    let mut posted = posted.with(|message| {
        for name in names {
            let body = bytes::Bytes::from(name.to_owned());
            let (digest, content_id) = (Digest::of(&body), ContentId::new(name).expect("a name"));
            let media_type = "application/pdf".into();
            let reference = Reference {
                href: content_id.uri().into(),
                role: None,
                schemas: Vec::new(),
                description: None,
            };
            message.manifest.get_or_insert_default().references.push(reference);
            message.payloads.push(Payload { content_id, media_type, role: None, body: body.into(), digest });
        }
    });
    // As it came: the names stand where a partner may put them.
    posted.name_by_location(&names);
    world.post(&posted.read_as(parts));
    world.deliver();
    let to_customs = delivery(&world, CUSTOMS, "GOVCBR929");
    assert_eq!(to_customs.state, DeliveryState::Delivered, "{}", to_customs.reason);
    let sent = world.sent.iter().find(|sent| sent.delivery == to_customs.id).expect("it was sent");
    let package =
        crate::codec::mime::unpack(&sent.sealed.content_type, &sent.sealed.body, &Default::default());
    let bodies: Vec<_> = package.expect("a package").parts.into_iter().map(|part| part.body).collect();
    assert_eq!(bodies[1..], names.map(crate::model::Octets::from), "P6");
    let kept: Vec<_> = to_customs.parts.iter().map(|part| part.content_id.as_str()).collect();
    assert_eq!((kept[1], kept[4], kept[5]), (names[0], names[3], names[4]));
    assert!(kept[2].ends_with("@part") && kept[3].ends_with("@part") && kept[2] != kept[3], "{kept:?}");
    world.check_laws();
}

#[test]
fn a_clock_that_is_set_back_stalls_nothing_p9() {
    let mut world = World::new();
    // Made by a clock that is an hour fast.
    world.pass(3600);
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    world.now = world.now.minus(Duration::from_secs(3600));
    assert!(world.deliveries().iter().all(|delivery| delivery.due > world.now.plus(Duration::from_secs(66))));
    world.deliver_stalled();
    assert!(world.deliveries().iter().all(|delivery| delivery.state == DeliveryState::Delivered));
    // A wait that the schedule gives is waited for.
    world.unreachable.push(party(BROKER));
    let accepted = super::cases::notice(&world, 0, "n0", NoticeKind::Accepted);
    world.post(&accepted);
    world.deliver();
    let waiting = |world: &World| {
        let deliveries = world.deliveries();
        deliveries.into_iter().find(|delivery| delivery.state == DeliveryState::AwaitingAcknowledgment)
    };
    let before = waiting(&world).expect("it is to be sent again");
    world.deliver_stalled();
    assert_eq!(waiting(&world), Some(before));
    world.check_laws();
}

/// A second agreement with an agency: the first, from `start` on under another CPAId.
pub(super) fn renew(world: &mut World, agency: &str, first_ends: u64, second_starts: u64) {
    let after = |seconds: u64| Some(world.now.plus(Duration::from_secs(seconds)));
    let (end, start) = (after(first_ends), after(second_starts));
    let first = world.registry.agreement(&cpa(agency)).expect("there is one").clone();
    let second = Agreement { cpa_id: CpaId::new("cpa-0-renewed").expect("a CPAId"), start, ..first.clone() };
    let agreements = world.registry.agreements().filter(|a| a.cpa_id != first.cpa_id).cloned();
    let agreements: Vec<_> = agreements.chain([Agreement { end, ..first.clone() }, second]).collect();
    world.registry = Registry::new(world.registry.parties().cloned().collect::<Vec<_>>(), agreements);
}

/// Renewal without downtime: what is made goes under the newest agreement that is in force, what waits unsent goes over
/// to it, and what was sent under the old one ends with that.
#[test]
fn a_renewed_agreement_takes_over_when_it_begins() {
    const RENEWED: &str = "cpa-0-renewed";
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Then {
        Under(&'static str),
        Quarantined,
    }
    use Then::{Quarantined, Under};
    // When the first ends and the second begins, in seconds; when the delivery is made, whether it is sent then, and when
    // it comes due (again). The rules name the first agreement for the agency, and none for customs.
    fn check(periods: (u64, u64), made: u64, sent: bool, due: u64, agency: Then, customs: Then) {
        owed(periods, made, sent, due, (AGENCIES[1].1, "GOVCBRX02"), agency);
        owed(periods, made, sent, due, (CUSTOMS, "GOVCBR929"), customs);
    }
    fn owed(
        periods: (u64, u64),
        made: u64,
        sent: bool,
        due: u64,
        (to, action): (&str, &str),
        expected: Then,
    ) {
        let (first_ends, second_starts) = periods;
        let mut world = World::new();
        renew(&mut world, to, first_ends, second_starts);
        world.pass(made);
        world.unreachable.push(party(to));
        world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]));
        if sent {
            world.deliver();
        }
        world.pass(due - made);
        let id = delivery(&world, to, action).id;
        world.drive(&Event::Due(id.clone()));
        let delivery = world.delivery(&id);
        let told = match delivery.state {
            DeliveryState::Quarantined => Quarantined,
            _ if delivery.cpa_id.as_str() == RENEWED => Under(RENEWED),
            _ => Under("first"),
        };
        let case = format!("{action} {periods:?} {made} {sent} {due}: {delivery:?}");
        assert_eq!(told, expected, "{case}");
        if told != Quarantined {
            let sent = &world.sent.last().expect("it was sent").sealed;
            let named = format!(">{}</eb:CPAId>", delivery.cpa_id);
            assert!(String::from_utf8_lossy(sent.body.held()).contains(&named), "{case}");
        }
        world.check_laws();
    }
    // One after the other.
    check((1000, 1000), 0, false, 10, Under("first"), Under("first"));
    check((1000, 1000), 2000, false, 2000, Under(RENEWED), Under(RENEWED));
    // Both are in force.
    check((1000, 500), 600, false, 600, Under("first"), Under(RENEWED));
    // Made under the first, which ends before it is sent.
    check((100, 50), 0, false, 110, Under(RENEWED), Under(RENEWED));
    check((100, 200), 0, false, 110, Quarantined, Quarantined);
    // Sent under the first: it names that.
    check((100, 50), 0, true, 90, Under("first"), Under("first"));
    check((100, 50), 0, true, 110, Quarantined, Quarantined);
}
