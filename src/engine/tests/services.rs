//! What an MSH does for another MSH: acknowledges as the next one on the way, answers Ping and StatusRequest, hears
//! what is answered to its own.

use std::time::Duration;

use super::super::*;
use super::cases::lodging;
use super::world::*;
use crate::codec::envelope::decode_envelope;
use crate::codec::xml::XmlLimits;
use crate::model::*;
use crate::msh;
use crate::security::Verified;

/// The message that an answer on the connection is, and whether it is signed.
fn read(reply: Option<Reply>) -> (Message, bool) {
    let Some(Reply::Message(sealed)) = reply else { panic!("no message: {reply:?}") };
    read_sealed(&sealed)
}

fn read_sealed(sealed: &Sealed) -> (Message, bool) {
    let envelope = decode_envelope(sealed.body.held(), None, &XmlLimits::ENVELOPE).expect("is an envelope");
    (envelope.message, envelope.signature.is_some())
}

//= ebms2 10.1.1 MUST: one Acknowledgment for each AckRequested, with its actor
//= ebms2 10.1.1 MUST: an intermediate Acknowledgment says by From who gives it
//= ebms2 10.1.4 MUST: a signed acknowledgment of a hop travels alone, by a POST where the To Party owes one too
#[test]
fn what_is_asked_of_the_next_msh_is_answered_beside_what_the_to_party_owes() {
    fn check(to_party: Option<bool>, next: bool, expected: (bool, &[Actor]), apart: bool) {
        let mut world = World::new();
        world.agree(BROKER, |agreement| {
            agreement.reliability.ack_requested = Presence::PerMessage;
            agreement.reliability.ack_signed = to_party.unwrap_or(true);
        });
        let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|message| {
            let asked = |signed| AckRequested { actor: Actor::ToPartyMsh, signed };
            message.ack_requested = to_party.map(asked).into_iter().collect();
        });
        let mut arrival = posted.arrival(world.now);
        arrival.verified = arrival.verified.asking_next_msh(next);
        let reply = world.drive(&Event::Arrived(Box::new(arrival)));
        let (answer, signed) = read(reply.clone());
        let actors: Vec<_> = answer.acknowledgments.iter().map(|given| given.actor).collect();
        assert_eq!((&*answer.header.action, answer.error_list.is_none()), ("Acknowledgment", true));
        assert_eq!((signed, actors.as_slice()), expected, "{to_party:?} {next}");
        assert!(world.stored(&posted).expect("it is kept").accepted, "nobody signed it: it decides nothing");
        for given in &answer.acknowledgments {
            assert_eq!(given.ref_to_message_id, posted.message.header.data.message_id);
            assert_eq!(given.from, [world.own_id()], "an intermediate one says who gives it");
        }
        assert_eq!(world.post(&posted), reply, "a repeat gets the same octets, asked or not (P3)");
        assert_eq!(world.count(BROKER, "Acknowledgment"), usize::from(apart), "{to_party:?} {next}");
        world.deliver();
        let is_signal =
            |sent: &&Transmission| world.delivery(&sent.delivery).purpose == DeliveryPurpose::Signal;
        if let Some(sent) = world.sent.iter().find(is_signal) {
            let (hop, signed) = read_sealed(&sent.sealed);
            let given: Vec<_> = hop.acknowledgments.iter().map(|given| given.references.len()).collect();
            assert!(hop.is_receipt_of_hop() && signed, "{hop:?}");
            assert_eq!(given, [posted.message.references.len()]);
        }
        world.check_laws();
    }
    use Actor::{NextMsh, ToPartyMsh};
    check(Some(true), false, (true, &[ToPartyMsh, NextMsh]), false);
    check(Some(false), false, (false, &[ToPartyMsh, NextMsh]), false);
    check(None, false, (false, &[NextMsh]), false);
    check(Some(true), true, (true, &[ToPartyMsh]), true);
    check(Some(false), true, (false, &[ToPartyMsh]), true);
    check(None, true, (true, &[NextMsh]), false);
}

//= ebms2 4.2.3.4.1 MUST: an AckRequested that the agreement does not have is NotSupported
#[test]
fn an_agreement_without_acknowledgments_has_none_of_a_hop_either() {
    let mut world = World::new();
    world.agree(BROKER, |agreement| agreement.reliability.ack_requested = Presence::Never);
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0]).with(|m| m.ack_requested.clear());
    let mut arrival = posted.arrival(world.now);
    arrival.verified = arrival.verified.asking_next_msh(false);
    let (answer, signed) = read(world.drive(&Event::Arrived(Box::new(arrival))));
    let errors = answer.error_list.expect("is refused").errors;
    assert_eq!((errors.len(), &errors[0].code, signed), (1, &ErrorCode::NotSupported, true));
    assert!(!world.stored(&posted).expect("it is kept").accepted);
    world.check_laws();
}

/// What a party asks under its agreement: about a message, or whether we are there.
fn question(world: &World, from: &str, id: &str, about: Option<&MessageId>) -> Message {
    let agreement = world.registry.agreement(&cpa(from)).expect("there is one");
    let message_id = MessageId::new(format!("{id}@{from}")).expect("a MessageId");
    let conversation = ConversationId::new("questions").expect("a ConversationId");
    let mut message = match about {
        None => msh::ping(agreement, message_id, conversation, world.now),
        Some(about) => msh::status_request(agreement, message_id, conversation, about.clone(), world.now),
    };
    std::mem::swap(&mut message.header.from, &mut message.header.to);
    message
}

fn arrival(message: Message, from: &str, signed: bool, now: Timestamp) -> Event {
    Event::Arrived(Box::new(Arrival {
        verified: Verified::for_tests(message, party(from), signed),
        documents: Documents::default(),
        content_type: "text/xml".into(),
        body: bytes::Bytes::new().into(),
        received_at: now,
        waiting: true,
    }))
}

//= ebms2 8.2 MAY: a Ping is answered with a Pong that names it
//= ebms2 8 MUST: a Pong swaps From and To and keeps the ConversationId
//= ebms2 8 MUST: Ping and Pong are not stored and not acknowledged
#[test]
fn a_ping_is_answered_on_the_connection_and_leaves_no_record() {
    for signed in [true, false] {
        let mut world = World::new();
        world.agree(BROKER, |agreement| agreement.reliability.ack_signed = signed);
        let ping = question(&world, BROKER, "ping", None);
        let (pong, pong_signed) = read(world.drive(&arrival(ping.clone(), BROKER, false, world.now)));
        assert_eq!((pong.kind, pong_signed), (MessageKind::Signal(SignalAction::Pong), signed));
        assert_eq!(pong.header.data.ref_to_message_id, Some(ping.header.data.message_id));
        assert_eq!((pong.header.from.ids, pong.header.to.ids), (ping.header.to.ids, ping.header.from.ids));
        assert_eq!(pong.header.conversation_id, ping.header.conversation_id);
        assert_eq!(world.logged("signal.answered"), Some(false));
        assert_eq!((world.deliveries().len(), world.stored_messages()), (0, 0));
        world.check_laws();
    }
}

//= ebms2 3.1.6.4 MUST: a question that comes after its TimeToLive is answered with TimeToLiveExpired
//= ebms2 3.1.6.4 MUST: a signal that answers is taken after its TimeToLive
//=   deviation: no error answers an answer, and what it says of a message stays true
#[test]
fn a_question_is_answered_up_to_its_time_to_live() {
    let millis = |after: u64| Duration::from_millis(after);
    for (after, is_late) in [(0, false), (1, true), (86_400_000 * 365, true)] {
        for about in [None, Some(MessageId::new("m@b").expect("a MessageId"))] {
            let mut world = World::new();
            let mut question = question(&world, BROKER, "late", about.as_ref());
            question.header.data.time_to_live = Some(world.now.minus(millis(after)));
            let (answer, _) = read(world.drive(&arrival(question.clone(), BROKER, true, world.now)));
            let errors = answer.error_list.map(|list| list.errors).unwrap_or_default();
            let codes: Vec<_> = errors.iter().map(|error| &error.code).collect();
            let expected: &[&ErrorCode] = if is_late { &[&ErrorCode::TimeToLiveExpired] } else { &[] };
            assert_eq!(codes, expected, "{} {after}", question.header.action);
            assert!(
                errors.iter().all(|e| e.location.as_deref().is_some_and(|at| at.ends_with("eb:TimeToLive")))
            );
            assert_eq!(answer.header.data.ref_to_message_id, Some(question.header.data.message_id));
            assert_eq!(world.logged("message.refused"), is_late.then_some(false));
            assert_eq!((world.deliveries().len(), world.stored_messages()), (0, 0));
            world.check_laws();
        }
    }
}

//= ebms2 8.2 MUST: under syncReplyMode none the Pong comes by a POST of its own
#[test]
fn under_sync_reply_mode_none_a_pong_travels_by_itself_and_comes_again_as_it_was() {
    let mut world = World::new();
    let ping = question(&world, ASYNC_BROKER, "ping", None);
    for _ in 0..2 {
        let reply = world.drive(&arrival(ping.clone(), ASYNC_BROKER, true, world.now));
        assert_eq!(reply, Some(Reply::Empty));
        world.deliver();
        world.pass(1);
    }
    assert_eq!(world.owed(), [(ASYNC_BROKER.to_owned(), "Pong".to_owned())]);
    assert_eq!((world.sent.len(), &world.sent[0].sealed), (2, &world.sent[1].sealed));
    assert_eq!(read_sealed(&world.sent[0].sealed).0.header.data.ref_to_message_id.as_ref(), {
        Some(&ping.header.data.message_id)
    });
    world.check_laws();
}

//= ebms2 7.1 SHOULD: the status of a message that is stored is told
//= ebms2 7.1.2 MUST: StatusResponse names the StatusRequest in MessageData and the message in its Body
//= ebms2 7.3.2 MUST: Timestamp stands in a StatusResponse for Received and Processed, and for nothing else
//= ebms2 7.3.3 MUST: messageStatus is Received, Processed, NotRecognized or UnAuthorized as the message stands
//= ebms2 7.1.3 MAY: only the sender of a message hears of it; for others it was never sent
#[test]
fn a_status_is_told_to_who_sent_the_message_and_to_nobody_else() {
    use MessageStatus::{NotRecognized, Processed, Received, UnAuthorized};
    let mut world = World::new();
    let accepted = lodging(&world, BROKER, "accepted", DECLARATION, &[0, 1, 2]);
    world.post(&accepted);
    let received_at = world.now;
    let refused = lodging(&world, BROKER, "refused", DECLARATION, &[0]);
    world.post(&refused);
    assert!(!world.stored(&refused).expect("it is kept").accepted);
    world.pass(60);

    let mut asked = 0;
    let mut check = |from: &str, about: &MessageId, signed, expected: MessageStatus| {
        asked += 1;
        let request = question(&world, from, &format!("status-{asked}"), Some(about));
        let reply = world.drive(&arrival(request.clone(), from, signed, world.now));
        let (response, response_signed) = read(reply);
        assert!(response_signed);
        assert_eq!(response.header.data.ref_to_message_id, Some(request.header.data.message_id));
        let timestamp = expected.has_time().then_some(received_at);
        let ref_to_message_id = about.clone();
        let told = StatusResponse { status: expected, ref_to_message_id, timestamp };
        assert_eq!(response.status, Some(StatusBody::Told(told)), "{from} {about}");
    };
    let about = |posted: &Posted| posted.message.header.data.message_id.clone();
    check(BROKER, &about(&accepted), true, Processed);
    check(BROKER, &about(&refused), true, Received);
    check(BROKER, &id("never-sent"), true, NotRecognized);
    // Somebody else's message is told as one that nobody sent.
    check(CUSTOMS, &about(&accepted), true, NotRecognized);
    // Who cannot show that the question is its own hears nothing about anything.
    check(BROKER, &about(&accepted), false, UnAuthorized);
    check(BROKER, &id("never-sent"), false, UnAuthorized);
    assert_eq!(world.logged("signal.answered"), Some(false));
    world.check_laws();
}

fn id(text: &str) -> MessageId {
    MessageId::new(text).expect("a MessageId")
}

//= ebms2 7.1 MUST: StatusResponse and Pong to our own questions are heard and change nothing
#[test]
fn what_is_answered_to_a_question_of_ours_is_told_and_changes_nothing() {
    let mut world = World::new();
    let header = question(&world, CUSTOMS, "x", None).header;
    let (own, now) = (header.from.clone(), world.now);
    let asked = MessageHeader {
        data: MessageData { message_id: id("ours@sw"), ..header.data.clone() },
        ..header.clone()
    };
    let told = StatusResponse {
        status: MessageStatus::Processed,
        ref_to_message_id: id("theirs"),
        timestamp: Some(now),
    };
    let error = EbxmlError::new(ErrorCode::NotSupported, None, "no Ping here");
    let sent = Message { header: asked.clone(), ..question(&world, CUSTOMS, "x", None) };
    let acknowledged = msh::acknowledge(&sent, &own, id("d"), true, now);
    let receipt = acknowledged.acknowledgments[0].clone();
    let answers = [
        (acknowledged, Says::Acknowledged(receipt), "signal.ignored"),
        (msh::pong(&asked, &own, id("a"), now), Says::Pong, "signal.heard"),
        (msh::status_response(&asked, &own, id("b"), told.clone(), now), Says::Status(told), "signal.heard"),
        (
            msh::message_error(&asked, &own, id("c"), vec![error], now),
            Says::Errors("NotSupported: no Ping here".to_owned()),
            "signal.ignored",
        ),
    ];
    for (message, says, event) in answers {
        assert_eq!(world.drive(&arrival(message, CUSTOMS, true, now)), Some(Reply::Empty));
        let heard = Heard { about: id("ours@sw"), by: party(CUSTOMS), signed: true, says };
        assert_eq!(std::mem::take(&mut world.heard), [heard]);
        assert_eq!(world.logged(event), Some(false));
    }
    assert_eq!((world.deliveries().len(), world.stored_messages()), (0, 0));
    world.check_laws();
}

/// P1, P3: what tests the way is ours like any message, and goes no further.
#[test]
fn a_message_that_tests_the_way_is_kept_and_acknowledged_and_goes_to_nobody() {
    let (service, action) = msh::TEST;
    for from in [BROKER, ASYNC_BROKER, CUSTOMS, AGENCIES[0].1] {
        let mut world = World::new();
        let posted = lodging(&world, from, "test", DECLARATION, &[]).with(|message| {
            message.header.service.value = service.into();
            message.header.action = action.into();
            message.payloads.clear();
            message.manifest = None;
        });
        assert!(msh::is_test(&posted.message));
        let reply = world.post(&posted);
        let answer = match reply.clone() {
            Some(Reply::Empty) => {
                world.deliver();
                world.sent[0].sealed.clone()
            }
            Some(Reply::Message(sealed)) => sealed,
            other => panic!("{other:?}"),
        };
        let (receipt, signed) = read_sealed(&answer);
        let about = &posted.message.header.data.message_id;
        assert_eq!((&receipt.acknowledgments[0].ref_to_message_id, signed), (about, true), "{from}");
        let stored = world.stored(&posted).expect("it is kept");
        assert!(stored.accepted && !stored.quarantined && stored.case.is_none(), "{stored:?}");
        assert!(world.owed().iter().all(|(_, action)| action == "Acknowledgment"), "{:?}", world.owed());
        assert_eq!(world.post(&posted), reply, "a repeat gets the same octets");
        assert_eq!(world.stored_messages(), 1);
        world.check_laws();
    }
}

/// A document under the name of a test is no test: it is not lost by it.
#[test]
fn a_test_that_carries_something_goes_the_way_of_every_message() {
    let (service, action) = msh::TEST;
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "test", DECLARATION, &[0]).with(|message| {
        message.header.service.value = service.into();
        message.header.action = action.into();
    });
    world.post(&posted);
    assert!(world.stored(&posted).expect("it is kept").quarantined, "no rule knows it: a person looks");
    world.check_laws();
}
