//! Ping and StatusRequest are answered, and what comes back on our own Ping is told to whoever waits for it (ebMS
//! 2.0, 7 and 8; digest, 12 and 13).
//!
//! Answers on the connection leave no record: nothing reliable rests on them, and everybody may ask as often as the
//! caps on connections let it. Under syncReplyMode none an answer is a delivery like any signal. Signed where the
//! agreement has its signals signed.

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::event::Arrival;
use super::refuse::{Once, id_by_content};
use super::signal::{NOTHING_OF_OURS, answered};
use super::step::{Heard, Says, Step};
use crate::model::{Agreement, Message, MessageKey, SignalAction, StatusBody};
use crate::msh::{check_arrival, message_error, pong, status_of, status_of_passed_on, status_response};
use crate::telemetry::EventCode;

/// The message that a StatusRequest asks about, under the key that the asking party would have sent it by.
pub(super) fn asked_about(arrival: &Arrival) -> Option<MessageKey> {
    let sender = arrival.verified.party().clone();
    match &arrival.verified.message().status {
        Some(StatusBody::Asked(about)) => Some(MessageKey { sender, message_id: about.clone() }),
        _ => None,
    }
}

/// A Ping or a StatusRequest; anything else asks for nothing.
pub(super) fn asked(desk: Desk<'_>, arrival: &Arrival, agreement: &Agreement, action: SignalAction) -> Step {
    let verified = &arrival.verified;
    let (header, own) = (&verified.message().header, agreement.own());
    let message_id = desk.context.own.message_id(&id_by_content(verified));
    let errors = check_arrival(verified.message(), agreement, desk.now, desk.context.age);
    if !errors.is_empty() {
        let text = format!("{}: its TimeToLive had passed", action.as_str());
        let answer = message_error(header, &own, message_id, errors, desk.now);
        return answer_with(desk, arrival, agreement, answer, (EventCode::MessageRefused, text));
    }
    let (answer, text) = match (action, asked_about(arrival)) {
        (SignalAction::StatusRequest, Some(key)) => {
            let known = desk.view.message.as_ref().map(|known| &known.record);
            // Without a signature only the connection vouches for the question.
            let entitled = verified.is_signed() || !agreement.reliability.ack_signed;
            let passed_on = desk.view.wanted.as_ref().map(|stored| &stored.value);
            let told = match passed_on.filter(|_| entitled && known.is_none()) {
                Some(delivery) => status_of_passed_on(delivery),
                None => status_of(&key.message_id, known, entitled),
            };
            let text = format!("it asked about {} and heard {}", key.message_id, told.status.as_str());
            (status_response(header, &own, message_id, told, desk.now), text)
        }
        _ => (pong(header, &own, message_id, desk.now), "it asked whether we are there".to_owned()),
    };
    answer_with(desk, arrival, agreement, answer, (EventCode::SignalAnswered, text))
}

fn answer_with(
    desk: Desk<'_>,
    arrival: &Arrival,
    agreement: &Agreement,
    answer: Message,
    (event, text): (EventCode, String),
) -> Step {
    let party = arrival.verified.party();
    let mut step = Step::default();
    step.noted.push(entry(desk.now, event, text).of_message(&arrival.key()));
    let once = Once {
        known: Some((agreement, party)),
        id: id_by_content(&arrival.verified),
        before: desk.view.delivery.as_ref(),
        waiting: arrival.waiting,
    };
    step.answer_once(desk, once, answer, agreement.reliability.ack_signed);
    step
}

/// A Pong, a StatusResponse, an Acknowledgment, or errors about a question of ours, for whoever waits for it; nothing
/// changes.
pub(super) fn heard(desk: Desk<'_>, arrival: &Arrival, says: Says) -> Step {
    let verified = &arrival.verified;
    let header = &verified.message().header;
    let Some(about) = answered(verified.message()).cloned() else { return Step::default() };
    let (event, text) = match &says {
        Says::Errors(errors) => {
            (EventCode::SignalIgnored, format!("errors about nothing that is owed: {errors}"))
        }
        Says::Acknowledged(_) => (EventCode::SignalIgnored, NOTHING_OF_OURS.to_owned()),
        Says::Pong | Says::Status(_) => (EventCode::SignalHeard, format!("{} for {about}", header.action)),
    };
    let entry = entry(desk.now, event, text).of_message(&arrival.key());
    let heard = Heard { about, by: verified.party().clone(), signed: verified.is_signed(), says };
    Step { noted: vec![entry], heard: Some(heard), ..Step::default() }
}
