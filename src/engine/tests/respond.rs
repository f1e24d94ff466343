//! What comes back on the connection under each syncReplyMode (ebMS 2.0, 4.3; digest, 10).

use super::super::*;
use super::cases::{lodged, lodging};
use super::reliability::override_terms;
use super::world::*;
use crate::model::*;

/// The broker asks where his declaration stands, which can be answered at once.
fn query(world: &World) -> Posted {
    let asks = Asked::Status(DECLARATION.into());
    let query = Query { number: "Q-1".into(), issued_at: world.now, asks };
    world.message(BROKER, "query", "Status", "GOVCBRXS1", vec![Document::Query(query)])
}

fn answer_of(world: &World) -> Delivery {
    let mut found = world.deliveries();
    found.retain(|delivery| delivery.action.starts_with("GOVCBRXS"));
    found.retain(|d| d.ref_to_message_id.as_ref().is_some_and(|id| id.as_str().starts_with("query")));
    found.pop().expect("it is answered")
}

//= ebms2 4.3 MUST: under mshSignalsOnly and signalsOnly the acknowledgment comes back on the connection, the response by a POST
//= ebms2 4.3 MUST: under responseOnly and signalsAndResponse the response comes back on the connection, with the acknowledgment in it
//= ebms2 6.3.2 MAY: an Acknowledgment rides on a business response, under the signature of that
//= ebms2 6.5.6 MUST: a duplicate gets the business response that was its first answer, octet for octet
#[test]
fn what_can_be_answered_at_once_comes_back_as_the_mode_says() {
    fn check(mode: SyncReplyMode, expected: &str, state: DeliveryState) {
        let mut world = lodged();
        world.agree(BROKER, |agreement| agreement.sync_reply_mode = mode);
        let posted = query(&world);
        let posted = posted.with(|message| message.sync_reply = mode != SyncReplyMode::None);
        let reply = world.post(&posted);
        let told = match &reply {
            Some(Reply::Message(sealed)) => {
                let message = read(sealed);
                let [given] = &message.acknowledgments[..] else { panic!("{mode:?}: one of them") };
                assert_eq!(given.ref_to_message_id, posted.message.header.data.message_id, "{mode:?}");
                let digests = |references: &[DigestReference]| {
                    references.iter().map(|r| r.value.clone()).collect::<Vec<_>>()
                };
                assert_eq!(digests(&given.references), digests(&posted.message.references), "{mode:?}");
                assert!(!message.sync_reply && !sealed.references.is_empty(), "{mode:?}: it is signed");
                message.header.action.to_string()
            }
            Some(Reply::Empty) => "nothing".to_owned(),
            other => panic!("{mode:?}: {other:?}"),
        };
        assert_eq!(told, expected, "{mode:?}");
        let response = answer_of(&world);
        assert_eq!(response.state, state, "{mode:?}");
        assert_eq!(world.post(&posted), reply, "{mode:?}: P3");
        // What was not read comes again by a POST, octet for octet, until its receipt does.
        world.pass(70);
        let before = world.sent.len();
        world.deliver();
        let sent = world.sent[before..].iter().find(|sent| sent.delivery == response.id).expect("it is sent");
        if let (Some(Reply::Message(sealed)), true) = (&reply, mode.returns_response()) {
            assert_eq!((&sent.sealed, sent.attempt), (sealed, 2), "{mode:?}: P4");
        }
        assert_eq!(world.delivery(&response.id).state, DeliveryState::Delivered, "{mode:?}");
        world.check_laws();
    }
    use SyncReplyMode::{MshSignalsOnly, None, ResponseOnly, SignalsAndResponse, SignalsOnly};
    check(None, "nothing", DeliveryState::Pending);
    check(MshSignalsOnly, "Acknowledgment", DeliveryState::Pending);
    check(SignalsOnly, "Acknowledgment", DeliveryState::Pending);
    check(ResponseOnly, "GOVCBRXS2", DeliveryState::AwaitingAcknowledgment);
    check(SignalsAndResponse, "GOVCBRXS2", DeliveryState::AwaitingAcknowledgment);
}

//= ebms2 6.5.1 MUST: a response on the connection ends with that where no AckRequested is agreed
#[test]
fn a_response_without_receipt_goes_back_once_p4() {
    for mode in [SyncReplyMode::ResponseOnly, SyncReplyMode::SignalsAndResponse] {
        let mut world = lodged();
        world.agree(BROKER, |agreement| {
            agreement.sync_reply_mode = mode;
            agreement.reliability.ack_requested = Presence::Never;
        });
        let posted = query(&world).with(|message| {
            message.sync_reply = true;
            message.ack_requested.clear();
        });
        let reply = world.post(&posted);
        let Some(Reply::Message(sealed)) = &reply else { panic!("{mode:?}: {reply:?}") };
        assert_eq!(*read(sealed).header.action, *"GOVCBRXS2", "{mode:?}");
        let response = answer_of(&world);
        assert_eq!(response.state, DeliveryState::Delivered, "{mode:?}");
        for _ in 0..6 {
            world.pass(70);
            world.deliver();
        }
        assert!(world.sent.iter().all(|sent| sent.delivery != response.id), "{mode:?}: nothing goes again");
        assert_eq!(world.post(&posted), reply, "{mode:?}: P3");
        world.check_laws();
    }
}

/// The terms of the query say how it is answered; those of the answer, whether it is acknowledged (P4).
#[test]
fn a_response_goes_back_under_the_terms_of_its_own_action_p4() {
    for mode in [SyncReplyMode::ResponseOnly, SyncReplyMode::SignalsAndResponse] {
        let mut world = lodged();
        world.agree(BROKER, |agreement| agreement.sync_reply_mode = mode);
        override_terms(&mut world, BROKER, Direction::Receive, ("Status", "GOVCBRXS1"), |terms| {
            terms.reliability.ack_requested = Presence::Never;
        });
        let posted = query(&world).with(|message| {
            message.sync_reply = true;
            message.ack_requested.clear();
        });
        let Some(Reply::Message(sealed)) = world.post(&posted) else { panic!("{mode:?}: it is answered") };
        assert!(!read(&sealed).ack_requested.is_empty(), "{mode:?}");
        assert_eq!(answer_of(&world).state, DeliveryState::AwaitingAcknowledgment, "{mode:?}");
    }
}

//= ebms2 4.3 MAY: where the response is not there yet the acknowledgment comes back alone, and the response later by a POST
//= ebms2 4.2.4.1 MUST: an error goes back alone, in no response
#[test]
fn what_people_decide_is_not_waited_for() {
    let mut world = World::new();
    world.agree(BROKER, |agreement| agreement.sync_reply_mode = SyncReplyMode::ResponseOnly);
    let told = |world: &mut World, posted: &Posted| match world.post(posted) {
        Some(Reply::Message(sealed)) => read(&sealed).header.action.to_string(),
        other => panic!("{other:?}"),
    };
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    assert_eq!(told(&mut world, &posted), "Acknowledgment");
    let again = lodging(&world, BROKER, "again", DECLARATION, &[0]);
    assert_eq!(told(&mut world, &again), "MessageError");
}

//= ebms2 4.3 MUST: a response that comes back on the connection is taken as a message, and acknowledged by a POST
//= ebms2 4.3.1 MUST: SyncReply is there where syncReplyMode is not none, but on a response that came back on the connection
#[test]
fn a_response_on_our_connection_is_acknowledged_by_a_post() {
    fn check(waiting: bool, answers: bool, sync_reply: bool, accepted: bool, posted_apart: usize) {
        let mut world = lodged();
        world.agree(AGENCIES[0].1, |agreement| agreement.sync_reply_mode = SyncReplyMode::ResponseOnly);
        let sent = world.case().applications[0].sent_as.clone().expect("it was sent");
        let notice = super::cases::notice(&world, 0, "n0", NoticeKind::Accepted).with(|message| {
            message.header.data.ref_to_message_id = answers.then_some(sent);
            message.sync_reply = sync_reply;
        });
        let arrival = Arrival { waiting, ..notice.arrival(world.now) };
        world.drive(&Event::Arrived(Box::new(arrival)));
        let row = (waiting, answers, sync_reply);
        assert_eq!(world.stored(&notice).is_some_and(|record| record.accepted), accepted, "{row:?}");
        assert_eq!(world.count(AGENCIES[0].1, "Acknowledgment"), posted_apart, "{row:?}");
        world.check_laws();
    }
    check(true, true, true, true, 0);
    check(false, true, false, true, 1);
    check(false, true, true, true, 1);
    check(true, false, false, false, 0);
}
