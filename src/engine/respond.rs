//! The business response on the connection of its request (ebMS 2.0, 4.3; digest, 10).
//!
//! Under `responseOnly` and `signalsAndResponse` what a message is answered with at once goes back on its connection,
//! with its Acknowledgment in the same message: a query's answer, the status of a lodging whose applications are all
//! there. What people decide is not waited for: then the Acknowledgment goes back alone, and the response comes by a POST of
//! its own when it is there. The response is a delivery like any other, whose first attempt this is: until its receipt comes
//! it is sent again, octet for octet, and a repeat of the request gets it as its first answer. Where no receipt is agreed it
//! ends with that: who did not read it asks again, and gets it.

use super::audit::{About as _, entry};
use super::decide::Inbound;
use super::due::{awaits_receipt, draft, payload};
use super::step::{DeliveryDraft, Octets, ReplyDraft, Step};
use crate::model::{
    Acknowledgment, DeliveryPurpose, DeliveryState, ErrorList, MessageKind, Payload, Severity, SignalAction,
};
use crate::msh::{Ending, begin_attempt, end_without_receipt};
use crate::telemetry::EventCode;

/// Lets the response of a step go back on the connection, where that is agreed and it is there.
pub(super) fn on_the_connection(inbound: &Inbound<'_>, step: &mut Step) {
    let Inbound { desk, arrival, agreement, .. } = *inbound;
    if !agreement.sync_reply_mode.returns_response() || !arrival.waiting {
        return;
    }
    let Some((acknowledgments, error_list)) = said(step) else { return };
    let found = step.deliveries.iter().enumerate().find_map(|(at, draft)| {
        responds(inbound, draft).then(|| made_here(draft)).flatten().map(|payloads| (at, payloads))
    });
    let Some((at, payloads)) = found else { return };
    let before = step.deliveries[at].delivery.clone();
    // The terms of what is answered say how it is answered; those of the answer, how it is sent.
    let Some(terms) = desk.context.registry.agreement_of(&before) else { return };
    let Ending::Attempt(delivery) = begin_attempt(before, terms, desk.now) else { return };
    let mut response = draft(&delivery, terms, payloads);
    // Nothing comes back on a response.
    response.message.sync_reply = false;
    response.message.acknowledgments = acknowledgments;
    response.message.error_list = error_list;
    let text = "it goes back on the connection of what it answers, with its acknowledgment";
    step.audit.push(entry(desk.now, EventCode::DeliveryAttempted, text).of_delivery(&delivery));
    let delivery = match awaits_receipt(&delivery, Some(terms)) {
        true => delivery,
        false => {
            let delivered = end_without_receipt(delivery);
            let entry = entry(desk.now, EventCode::DeliveryDelivered, &delivered.reason);
            step.audit.push(entry.of_delivery(&delivered));
            delivered
        }
    };
    step.deliveries[at] = DeliveryDraft { delivery, based_on: None, octets: Octets::Answer };
    step.answer = Some(response);
    step.reply = ReplyDraft::Answer;
}

/// What the answer of the step says, when it can ride on a response: no error can.
fn said(step: &Step) -> Option<(Vec<Acknowledgment>, Option<ErrorList>)> {
    let Some(answer) = step.answer.as_ref().map(|draft| &draft.message) else {
        return Some((Vec::new(), None));
    };
    let is_error = answer.error_list.as_ref().is_some_and(|list| list.highest_severity() == Severity::Error);
    let is_receipt =
        matches!(answer.kind, MessageKind::Signal(SignalAction::Acknowledgment | SignalAction::MessageError));
    (is_receipt && !is_error).then(|| (answer.acknowledgments.clone(), answer.error_list.clone()))
}

/// Whether a delivery answers the message, to its sender and under its agreement.
fn responds(inbound: &Inbound<'_>, draft: &DeliveryDraft) -> bool {
    let delivery = &draft.delivery;
    let header = &inbound.arrival.verified.message().header;
    draft.based_on.is_none()
        && delivery.state == DeliveryState::Pending
        && !delivery.mailbox
        && delivery.purpose != DeliveryPurpose::Signal
        && delivery.destination == inbound.key.sender
        && delivery.cpa_id == inbound.agreement.cpa_id
        && delivery.ref_to_message_id.as_ref() == Some(&header.data.message_id)
}

/// Its payloads, when all of them are of our making.
fn made_here(draft: &DeliveryDraft) -> Option<Vec<Payload>> {
    let elsewhere = |_: &_, _: &_, _: &_| Err("it is not of our making".to_owned());
    draft.delivery.parts.iter().map(|part| payload(part, elsewhere).ok()).collect()
}
