//! A signal arrives, alone or on a user message: an acknowledgment completes a delivery only when it proves that the
//! very message was received; an error ends it (P4; ebMS 2.0, 4.2, 6.5.3); Ping and StatusRequest are answered (7, 8).

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::ending;
use super::event::Arrival;
use super::reconcile;
use super::service;
use super::step::{DeliveryDraft, Octets, Reply, Says, Step};
use crate::case::DeliveryEnd;
use crate::model::{
    Acknowledgment, Delivery, DeliveryPurpose, DeliveryState, ErrorCode, ErrorList, Message, MessageId,
    MessageKind, Sealed, Severity, SignalAction, StatusBody, TimelineEntry,
};
use crate::msh::{ReceiptFault, check_receipt};
use crate::store::Versioned;
use crate::telemetry::EventCode;

pub(super) fn arrived(desk: Desk<'_>, arrival: &Arrival, action: SignalAction) -> Step {
    let mut step = match action {
        SignalAction::Acknowledgment => {
            let mut step = acknowledged(desk, arrival, sent(desk));
            step.join(warned(desk, arrival, desk.view.delivery.as_ref().map(|stored| &stored.value)));
            step
        }
        SignalAction::MessageError => errors(desk, arrival),
        SignalAction::Ping | SignalAction::StatusRequest => {
            match desk.context.registry.agreement(arrival.verified.cpa_id()) {
                Some(agreement) => return service::asked(desk, arrival, agreement, action),
                None => Step::default(),
            }
        }
        SignalAction::Pong => service::heard(desk, arrival, Says::Pong),
        SignalAction::StatusResponse => match &arrival.verified.message().status {
            Some(StatusBody::Told(told)) => service::heard(desk, arrival, Says::Status(told.clone())),
            _ => Step::default(),
        },
    };
    step.reply_if(arrival.waiting, Reply::Empty);
    step
}

/// The delivery that a signal is about, with the octets that went out.
fn sent(desk: Desk<'_>) -> Option<(&Versioned<Delivery>, Option<&Sealed>)> {
    desk.view.delivery.as_ref().map(|stored| (stored, desk.view.sealed.as_ref()))
}

/// The message of ours that a signal is about: what the Acknowledgment names, else what the header names.
/// `None` also when the two differ, so that it matches nothing (digest, 6).
pub(super) fn answered(message: &Message) -> Option<&MessageId> {
    let in_header = message.header.data.ref_to_message_id.as_ref();
    match (message.acknowledgments.first(), in_header) {
        (Some(named), Some(in_header)) if named.ref_to_message_id != *in_header => None,
        (Some(named), _) => Some(&named.ref_to_message_id),
        (None, in_header) => in_header,
    }
}

/// The Acknowledgment that a user message carries beside what it says (digest, 10). Its RefToMessageId is its own: that
/// of the header is what the message itself answers.
pub(super) fn piggybacked(message: &Message) -> Option<&Acknowledgment> {
    message.acknowledgments.first().filter(|_| message.kind == MessageKind::User)
}

/// What a user message acknowledges beside what it says. A verified Acknowledgment is as good here as alone: the
/// message's own signature covers it, and its references are held against what was sent in the same way.
pub(super) fn acknowledged_beside(desk: Desk<'_>, arrival: &Arrival) -> Step {
    if piggybacked(arrival.verified.message()).is_none() {
        return Step::default();
    }
    let found = desk.view.acknowledged.as_ref();
    acknowledged(desk, arrival, found.map(|found| (&found.delivery, found.sealed.as_ref())))
}

/// The warnings that a user message carries beside what it says, about the message that it answers (digest, 9.4, 10).
pub(super) fn warned_beside(desk: Desk<'_>, arrival: &Arrival) -> Step {
    let message = arrival.verified.message();
    let answers = message.header.data.ref_to_message_id.as_ref();
    let found = desk.view.acknowledged.as_ref().map(|found| &found.delivery.value);
    let about = found.filter(|delivery| Some(&delivery.message_id) == answers);
    warned(desk, arrival, about)
}

/// Warnings beside something else: recorded with what they are about, and nothing waits for less. A signal about nothing
/// of ours leaves no record.
fn warned(desk: Desk<'_>, arrival: &Arrival, about: Option<&Delivery>) -> Step {
    let message = arrival.verified.message();
    let Some(list) = &message.error_list else { return Step::default() };
    match about {
        Some(delivery) => {
            recorded(entry(desk.now, EventCode::DeliveryWarning, told(list)).of_delivery(delivery))
        }
        None if message.kind == MessageKind::User => {
            let answers = message.header.data.ref_to_message_id.as_ref();
            let about = answers.map_or_else(String::new, |answers| format!("about {answers}: "));
            let text = format!("{about}{}", told(list));
            recorded(entry(desk.now, EventCode::DeliveryWarning, text).of_message(&arrival.key()))
        }
        None => noted(desk, arrival, &told(list)),
    }
}

/// What the first Acknowledgment of a message says of the delivery that it names, with the octets that went out.
fn acknowledged(
    desk: Desk<'_>,
    arrival: &Arrival,
    found: Option<(&Versioned<Delivery>, Option<&Sealed>)>,
) -> Step {
    let verified = &arrival.verified;
    let Some(acknowledgment) = verified.message().acknowledgments.first() else { return Step::default() };
    let Some((stored, sealed)) = found else {
        // A message that tests the way is no delivery; who sent it may still wait.
        return match answered(verified.message()) {
            Some(_) => service::heard(desk, arrival, Says::Acknowledged(acknowledgment.clone())),
            None => noted(desk, arrival, NOTHING_OF_OURS),
        };
    };
    let delivery = &stored.value;
    if delivery.state == DeliveryState::Delivered || delivery.purged.is_some() {
        return noted(desk, arrival, "an acknowledgment once more");
    }
    let agreement = desk.context.registry.agreement_of(delivery);
    let agreement = agreement.filter(|agreement| agreement.cpa_id == *verified.cpa_id());
    let sent = sealed.map(|sealed| sealed.references.as_slice());
    let (Some(agreement), Some(sent)) = (agreement, sent) else {
        return refused_receipt(
            desk,
            delivery,
            "it came under another agreement, or before anything was sent",
        );
    };
    if let Err(fault) = check_receipt(acknowledgment, verified.is_signed(), agreement, sent) {
        let is_known = fault == ReceiptFault::OtherDigests && reconcile::may_be_known(desk, agreement);
        let in_doubt = is_known.then(|| reconcile::in_doubt(desk, stored, &fault.to_string())).flatten();
        return in_doubt.unwrap_or_else(|| refused_receipt(desk, delivery, &fault.to_string()));
    }
    // What was quarantined after it was sent arrived all the same.
    if delivery.state.is_terminal() && delivery.state != DeliveryState::Quarantined {
        let text = format!("acknowledged after it was {}", delivery.state.as_str());
        return recorded(entry(desk.now, EventCode::DeliveryLateReceipt, text).of_delivery(delivery));
    }
    let mut step = Step::default();
    let way = if delivery.mailbox {
        "from the mailbox".to_owned()
    } else {
        format!("after {} transmission(s)", delivery.attempts)
    };
    let text = format!("acknowledged at {} {way}", acknowledgment.timestamp);
    step.audit.push(entry(desk.now, EventCode::DeliveryDelivered, text).of_delivery(delivery));
    let delivered = Delivery { state: DeliveryState::Delivered, reason: String::new(), ..delivery.clone() };
    let based_on = Some(stored.version);
    step.receipts.insert(delivered.id.clone(), as_it_came(arrival));
    step.deliveries.push(DeliveryDraft { delivery: delivered, based_on, octets: Octets::Kept });
    step
}

/// The delivery goes on as if nothing had come; operators see why.
fn refused_receipt(desk: Desk<'_>, delivery: &Delivery, why: &str) -> Step {
    recorded(entry(desk.now, EventCode::DeliveryReceiptRefused, why).of_delivery(delivery).alarm_if(true))
}

fn errors(desk: Desk<'_>, arrival: &Arrival) -> Step {
    let message = arrival.verified.message();
    let is_warning =
        message.error_list.as_ref().is_some_and(|list| list.highest_severity() == Severity::Warning);
    if is_warning && !message.acknowledgments.is_empty() {
        // It warns of what it acknowledges.
        let mut step = acknowledged(desk, arrival, sent(desk));
        step.join(warned(desk, arrival, desk.view.delivery.as_ref().map(|stored| &stored.value)));
        return step;
    }
    let Some((stored, errors)) = desk.view.delivery.as_ref().zip(message.error_list.as_ref()) else {
        // A question of ours is no delivery; who asked it may still wait.
        let text = message.error_list.as_ref().map(told).unwrap_or_default();
        return service::heard(desk, arrival, Says::Errors(text));
    };
    let delivery = &stored.value;
    let text = told(errors);
    if errors.highest_severity() == Severity::Warning {
        return recorded(entry(desk.now, EventCode::DeliveryWarning, text).of_delivery(delivery));
    }
    if delivery.state.is_terminal() || delivery.purpose == DeliveryPurpose::Signal {
        let text = format!("errors after it was {}: {text}", delivery.state.as_str());
        return recorded(entry(desk.now, EventCode::DeliveryWarning, text).of_delivery(delivery));
    }
    if let Some(step) = refused_as_known(desk, stored, errors, &text) {
        return step;
    }
    let mut step = rejected(desk, stored, text);
    step.receipts.insert(delivery.id.clone(), as_it_came(arrival));
    step
}

/// What becomes of a delivery whose MessageId its destination may refuse because it has it, in the octets of before a
/// restore: `Inconsistent` is how an MSH says so, ours too.
fn refused_as_known(
    desk: Desk<'_>,
    stored: &Versioned<Delivery>,
    errors: &ErrorList,
    text: &str,
) -> Option<Step> {
    let agreement = desk.context.registry.agreement_of(&stored.value)?;
    let is_known = errors.errors.iter().any(|error| error.code == ErrorCode::Inconsistent)
        && reconcile::may_be_known(desk, agreement);
    if !is_known {
        return None;
    }
    // It waits for an operator already.
    let warned = || recorded(entry(desk.now, EventCode::DeliveryWarning, text).of_delivery(&stored.value));
    Some(reconcile::in_doubt(desk, stored, text).unwrap_or_else(warned))
}

/// The octets that ended a delivery: what they prove, they prove as they came (P18).
fn as_it_came(arrival: &Arrival) -> Sealed {
    let (content_type, body) = (arrival.content_type.clone(), arrival.body.clone());
    Sealed { content_type, body, references: Vec::new() }
}

/// The destination refused a delivery for good.
pub(super) fn rejected(desk: Desk<'_>, stored: &Versioned<Delivery>, reason: String) -> Step {
    let delivery = Delivery { state: DeliveryState::Rejected, reason, ..stored.value.clone() };
    ending::ended(desk, delivery, stored.version, DeliveryEnd::Rejected)
}

fn told(errors: &ErrorList) -> String {
    let told: Vec<_> = errors.errors.iter().map(|e| format!("{}: {}", e.code, e.description)).collect();
    told.join("; ")
}

fn recorded(entry: TimelineEntry) -> Step {
    Step { audit: vec![entry], ..Step::default() }
}

/// What an acknowledgment is that names no delivery.
pub(super) const NOTHING_OF_OURS: &str = "an acknowledgment of nothing that we sent";

fn noted(desk: Desk<'_>, arrival: &Arrival, text: &str) -> Step {
    let entry = entry(desk.now, EventCode::SignalIgnored, text).of_message(&arrival.key());
    Step { noted: vec![entry], ..Step::default() }
}
