//! A delivery's time has come, and what came of an attempt (P4, P6, P9; docs/states.md).

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::ending;
use super::mailbox;
use super::signal;
use super::step::{DeliveryDraft, Draft, Octets, Step};
use crate::case::DeliveryEnd;
use crate::codec::document::{CancellationTerms, write_cancellation};
use crate::codec::xml::XmlLimits;
use crate::model::{
    self, Agreement, AttemptOutcome, ContentId, Delivery, DeliveryPurpose, DeliveryState, Digest, MessageKey,
    Part, PartSource, Payload, Presence, TimelineEntry, Timestamp,
};
use crate::msh::{
    Ending, Posting, begin_attempt, compose, end_without_receipt, longest_wait, note_failed_attempt,
    service_to_send,
};
use crate::security::payload_of;
use crate::store::{Versioned, View};
use crate::telemetry::EventCode;

pub(super) fn due(desk: Desk<'_>) -> Step {
    let Some(stored) = desk.view.delivery.as_ref().filter(|stored| is_due(desk, &stored.value)) else {
        return Step::default();
    };
    let Some(Under { delivery, agreement, renewed }) = under(desk, &stored.value) else {
        return quarantined(desk, stored, format!("agreement {} is not in force", stored.value.cpa_id));
    };
    let delivery = match begin_attempt(delivery, agreement, desk.now) {
        Ending::Attempt(delivery) => delivery,
        Ending::Kept(delivery) => return kept(desk, delivery, stored, renewed),
        Ending::Expired(delivery) => {
            return ending::ended(desk, delivery, stored.version, DeliveryEnd::Expired);
        }
    };
    let octets = match (delivery.sealed, &desk.view.sealed) {
        (true, Some(sealed)) => Octets::Stored(sealed.clone()),
        (true, None) => return quarantined(desk, stored, "its octets are missing".to_owned()),
        (false, _) => match made(desk, &delivery, agreement) {
            Ok(octets) => octets,
            Err(reason) => return quarantined(desk, stored, reason),
        },
    };
    let mut step = Step::default();
    step.audit.extend(renewed);
    step.attempt(desk.now, &delivery, agreement);
    step.deliveries.push(DeliveryDraft { delivery, based_on: Some(stored.version), octets });
    step
}

/// A delivery as it goes now.
pub(super) struct Under<'a> {
    pub(super) delivery: Delivery,
    /// Under which agreement.
    pub(super) agreement: &'a Agreement,
    /// What is recorded when that is another one than it was made for.
    pub(super) renewed: Option<TimelineEntry>,
}

/// The agreement that a delivery goes under now: its own, or, as long as nobody has seen it, the one that has taken its
/// place. What is sealed names its own for ever, and what has a number in a conversation has it under its own.
pub(super) fn under<'a>(desk: Desk<'a>, delivery: &Delivery) -> Option<Under<'a>> {
    let registry = desk.context.registry;
    let fits = |a: &&Agreement| a.partner == delivery.destination && a.in_force(desk.now);
    if let Some(agreement) = registry.agreement_of(delivery).filter(fits) {
        return Some(Under { delivery: delivery.clone(), agreement, renewed: None });
    }
    if delivery.sealed || delivery.order.is_some() {
        return None;
    }
    let (service, action) = (&delivery.service.value, &delivery.action);
    let newest = registry.agreement_to_send(delivery.realm, &delivery.destination, service, action, desk.now);
    let agreement = newest.filter(fits)?;
    let text = format!("it goes under {}: {} is over", agreement.cpa_id, delivery.cpa_id);
    let renewed = entry(desk.now, EventCode::DeliveryRenewed, text).of_delivery(delivery);
    let service = service_to_send(agreement, service, action);
    let delivery = Delivery { cpa_id: agreement.cpa_id.clone(), service, ..delivery.clone() };
    Some(Under { delivery, agreement, renewed: Some(renewed) })
}

/// What a delivery carries, given the view that was loaded for it with its parts.
///
/// # Errors
/// Why a part cannot be read, in words.
pub fn parts_of(view: &View) -> Result<Vec<Payload>, String> {
    let stored = view.delivery.as_ref().ok_or_else(|| "there is no such delivery".to_owned())?;
    payloads(view, &stored.value)
}

/// The octets of a delivery that has none yet.
pub(super) fn made(desk: Desk<'_>, delivery: &Delivery, agreement: &Agreement) -> Result<Octets, String> {
    let payloads = payloads(desk.view, delivery)?;
    Ok(Octets::Made(Box::new(draft(delivery, agreement, payloads))))
}

/// A delivery whose partner has taken its server down goes into the mailbox; one that is there stays.
fn kept(
    desk: Desk<'_>,
    delivery: Delivery,
    stored: &Versioned<Delivery>,
    renewed: Option<TimelineEntry>,
) -> Step {
    let mut step = Step::default();
    if stored.value.mailbox {
        return step;
    }
    step.audit.extend(renewed);
    let text = "its destination collects from now on";
    step.audit.push(entry(desk.now, EventCode::DeliveryKept, text).of_delivery(&delivery));
    step.change(delivery, stored);
    step
}

/// A delivery that cannot be sealed waits for an operator, unless somebody sealed it meanwhile.
pub(super) fn unsealable(desk: Desk<'_>, reason: &str) -> Step {
    // What waits in a mailbox is asked for before its time.
    let is_asked_for = |delivery: &Delivery| {
        is_due(desk, delivery) || delivery.mailbox && delivery.state == DeliveryState::Pending
    };
    let stored = desk.view.delivery.as_ref();
    match stored.filter(|stored| is_asked_for(&stored.value) && !stored.value.sealed) {
        Some(stored) if stored.value.mailbox => {
            mailbox::given_up(desk, stored, format!("it cannot be sealed: {reason}"))
        }
        Some(stored) => quarantined(desk, stored, format!("it cannot be sealed: {reason}")),
        None => Step::default(),
    }
}

/// A delivery whose octets, or what they are made of, are not as they were stored waits for an operator, whoever has seen
/// them before.
pub(super) fn damaged(desk: Desk<'_>, reason: &str) -> Step {
    let is_open = |delivery: &Delivery| {
        matches!(delivery.state, DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment)
    };
    match desk.view.delivery.as_ref().filter(|stored| is_open(&stored.value)) {
        Some(stored) if stored.value.mailbox => mailbox::given_up(desk, stored, reason.to_owned()),
        Some(stored) => quarantined(desk, stored, reason.to_owned()),
        None => Step::default(),
    }
}

/// What came of an attempt. A report about an attempt that is not the last one is old news.
pub(super) fn attempted(desk: Desk<'_>, attempt: u32, outcome: &AttemptOutcome) -> Step {
    let Some(stored) = desk.view.delivery.as_ref().filter(|stored| stored.value.attempts == attempt) else {
        return Step::default();
    };
    let delivery = &stored.value;
    match outcome {
        AttemptOutcome::Taken => taken(desk, stored, None),
        AttemptOutcome::Unclear { reason } => {
            let agreement = desk.context.registry.agreement_of(delivery);
            match awaits_receipt(delivery, agreement) {
                true => failed(desk, stored, outcome, reason, true),
                false => taken(desk, stored, Some(reason)),
            }
        }
        AttemptOutcome::Unserved { reason } => {
            let agreement = desk.context.registry.agreement_of(delivery);
            match is_counted_on(delivery, agreement) {
                true => failed(desk, stored, outcome, reason, true),
                false => given_up(desk, stored, outcome, reason),
            }
        }
        AttemptOutcome::Again { reason, alarm, .. } => failed(desk, stored, outcome, reason, *alarm),
        AttemptOutcome::GiveUp { reason } => given_up(desk, stored, outcome, reason),
    }
}

/// No other attempt would fare better.
fn given_up(desk: Desk<'_>, stored: &Versioned<Delivery>, outcome: &AttemptOutcome, reason: &str) -> Step {
    match note_failed_attempt(stored.value.clone(), outcome) {
        Some(_) => signal::rejected(desk, stored, reason.to_owned()),
        None => Step::default(),
    }
}

/// The peer took it: the end, where no receipt is awaited. What it said beside that is logged.
fn taken(desk: Desk<'_>, stored: &Versioned<Delivery>, said: Option<&str>) -> Step {
    let delivery = &stored.value;
    let agreement = desk.context.registry.agreement_of(delivery);
    if delivery.state != DeliveryState::AwaitingAcknowledgment || awaits_receipt(delivery, agreement) {
        return Step::default();
    }
    let delivered = end_without_receipt(delivery.clone());
    let mut step = Step::default();
    let text = match said {
        None => delivered.reason.clone(),
        Some(said) => format!("{}; its answer is no message: {said}", delivered.reason),
    };
    step.audit.push(entry(desk.now, EventCode::DeliveryDelivered, text).of_delivery(&delivered));
    step.change(delivered, stored);
    step
}

/// The attempt brought nothing: the delivery waits for what may come still, and for its next one.
fn failed(
    desk: Desk<'_>,
    stored: &Versioned<Delivery>,
    outcome: &AttemptOutcome,
    reason: &str,
    alarm: bool,
) -> Step {
    let Some(failed) = note_failed_attempt(stored.value.clone(), outcome) else { return Step::default() };
    let mut step = Step::default();
    let text = format!("attempt {}: {reason}", failed.attempts);
    let entry = entry(desk.now, EventCode::DeliveryFailedAttempt, text).of_delivery(&failed);
    step.audit.push(entry.alarm_if(alarm));
    step.change(failed, stored);
    step
}

impl Step {
    /// The delivery, whose attempt has begun, is transmitted once that is committed.
    pub(super) fn attempt(&mut self, now: Timestamp, delivery: &Delivery, agreement: &Agreement) {
        let text =
            format!("transmission {} of at most {}", delivery.attempts, agreement.reliability.retries + 1);
        self.audit.push(entry(now, EventCode::DeliveryAttempted, text).of_delivery(delivery));
        let awaits_receipt = awaits_receipt(delivery, Some(agreement));
        let endpoint = agreement.endpoint_of(delivery.ref_to_message_id.is_some());
        self.transmit.insert(delivery.id.clone(), (awaits_receipt, endpoint.cloned()));
    }

    pub(super) fn change(&mut self, delivery: Delivery, stored: &Versioned<Delivery>) {
        self.deliveries.push(DeliveryDraft {
            delivery,
            based_on: Some(stored.version),
            octets: Octets::Kept,
        });
    }
}

fn is_due(desk: Desk<'_>, delivery: &Delivery) -> bool {
    let scheduled = matches!(delivery.state, DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment);
    scheduled && (delivery.due <= desk.now || is_stalled(desk, delivery))
}

/// A delivery that is due further ahead than any schedule of ours was planned before the clock was set back: its time
/// has come (P9). What waits in a mailbox is due at its end.
fn is_stalled(desk: Desk<'_>, delivery: &Delivery) -> bool {
    let agreement = desk.context.registry.agreement_of(delivery);
    let wait = agreement.map(|agreement| longest_wait(agreement.reliability.retry_interval));
    !delivery.mailbox && wait.is_some_and(|wait| delivery.due > desk.now.plus(wait))
}

/// Whether the delivery completes by a receipt, posted or collected: a signal gets none, nor does a message that asked for none.
pub(super) fn awaits_receipt(delivery: &Delivery, agreement: Option<&Agreement>) -> bool {
    !matches!(delivery.purpose, DeliveryPurpose::Signal | DeliveryPurpose::Transit { .. })
        && agreement.is_none_or(|agreement| agreement.reliability.ack_requested != Presence::Never)
}

/// Whether somebody counts on the delivery, so that a fault of configuration is waited out until it is mended: what ends
/// by a receipt, what its sender awaits one for from beyond the next hop, and signals, ours or passed on, which are what
/// others wait for (P9). The rest is sent as well as may be, and no better.
fn is_counted_on(delivery: &Delivery, agreement: Option<&Agreement>) -> bool {
    match delivery.purpose {
        DeliveryPurpose::Signal => true,
        DeliveryPurpose::Transit { acknowledged, .. } => acknowledged || delivery.service.is_msh(),
        _ => awaits_receipt(delivery, agreement),
    }
}

pub(super) fn quarantined(desk: Desk<'_>, stored: &Versioned<Delivery>, reason: String) -> Step {
    let delivery = Delivery { state: DeliveryState::Quarantined, reason, ..stored.value.clone() };
    let mut step = Step::default();
    let entry = entry(desk.now, EventCode::DeliveryQuarantined, &delivery.reason).of_delivery(&delivery);
    step.audit.push(entry.alarm_if(true));
    step.change(delivery, stored);
    step
}

pub(super) fn draft(delivery: &Delivery, agreement: &Agreement, payloads: Vec<Payload>) -> Draft {
    let posting = Posting {
        message_id: delivery.message_id.clone(),
        conversation_id: delivery.conversation_id.clone(),
        ref_to_message_id: delivery.ref_to_message_id.clone(),
        service: delivery.service.clone(),
        action: delivery.action.clone(),
        timestamp: delivery.created_at,
        time_to_live: delivery.expires_at,
        order: delivery.order,
    };
    let message = compose(agreement, posting, payloads);
    Draft { message, signing: Some(agreement.signature.own) }
}

/// The payloads of a delivery, octet for octet as they were accepted (P6); why not, when a part is damaged (P12).
fn payloads(view: &View, delivery: &Delivery) -> Result<Vec<Payload>, String> {
    let body = |message: &MessageKey, content_id: &ContentId, digest: &Digest| {
        let octets = view.bodies.get(message).ok_or_else(|| format!("message {message} is missing"))?;
        let body = payload_of(&octets.content_type, &octets.body, content_id, digest);
        body.map_err(|fault| format!("part {content_id} of message {message}: {fault}"))
    };
    delivery.parts.iter().map(|part| payload(part, body)).collect()
}

/// A part as a payload; `received` gives the octets of a part that came with a message.
pub(super) fn payload(
    part: &Part,
    received: impl FnOnce(&MessageKey, &ContentId, &Digest) -> Result<model::Octets, String>,
) -> Result<Payload, String> {
    let (body, digest) = match &part.source {
        PartSource::Made(text) => (text.to_string().into(), Digest::of(text.as_bytes())),
        PartSource::Received { message, content_id, digest } => {
            (received(message, content_id, digest)?, *digest)
        }
        PartSource::Cancellation { of, issued_at, reason, items, .. } => {
            let application = received(&of.message, &of.content_id, &of.digest)?;
            let terms = CancellationTerms { issued_at: *issued_at, reason, items };
            let application =
                application.read(XmlLimits::DOCUMENT.bytes_max).map_err(|fault| fault.to_string())?;
            let text = write_cancellation(&application, terms)?;
            (text.clone().into(), Digest::of(text.as_bytes()))
        }
    };
    Ok(Payload {
        content_id: part.content_id.clone(),
        media_type: part.media_type.clone(),
        role: part.role.clone(),
        body,
        digest,
    })
}
