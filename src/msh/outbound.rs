//! One delivery's life (ebMS 2.0, 6.5.1, 6.5.4; docs/states.md): begun attempts, failures, ends.
//!
//! An attempt is counted and committed as AwaitingAcknowledgment *before* the octets leave, so that a crash in
//! between grants no extra try, and an acknowledgment that overtakes the HTTP response finds its delivery.

use crate::model::{Agreement, AttemptOutcome, Delivery, DeliveryState, Timestamp};

use super::retry::resend_at;

/// What becomes of a delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes out (again); commit it, then transmit.
    Attempt(Delivery),
    /// Its retries or its TimeToLive are spent without a receipt.
    Expired(Delivery),
}

/// A delivery whose time has come: another attempt, or its end.
#[must_use]
pub fn begin_attempt(mut delivery: Delivery, agreement: &Agreement, now: Timestamp) -> Ending {
    let spent = delivery.attempts > agreement.reliability.retries;
    if spent || now > delivery.expires_at {
        let why = if spent { "its retries are spent" } else { "its TimeToLive has passed" };
        let last =
            if delivery.reason.is_empty() { String::new() } else { format!("; last: {}", delivery.reason) };
        delivery.reason =
            format!("{why} after {} transmission(s) without a verified receipt{last}", delivery.attempts);
        delivery.state = DeliveryState::Expired;
        return Ending::Expired(delivery);
    }
    delivery.attempts += 1;
    delivery.due = resend_at(&delivery.id, delivery.attempts, now, agreement.reliability.retry_interval);
    delivery.state = DeliveryState::AwaitingAcknowledgment;
    Ending::Attempt(delivery)
}

/// A failed attempt, for the record: the next one comes when `due` passes. `None` when there is nothing to
/// record: the receipt is still awaited, or has come meanwhile.
#[must_use]
pub fn note_failed_attempt(mut delivery: Delivery, outcome: &AttemptOutcome) -> Option<Delivery> {
    if delivery.state != DeliveryState::AwaitingAcknowledgment {
        return None;
    }
    match outcome {
        AttemptOutcome::Taken => return None,
        AttemptOutcome::Again { reason, .. } => delivery.reason.clone_from(reason),
        AttemptOutcome::GiveUp { reason } => {
            delivery.reason.clone_from(reason);
            delivery.state = DeliveryState::Rejected;
        }
    }
    Some(delivery)
}

/// A delivery that asks for no acknowledgment ends with the first transmission that the peer took.
#[must_use]
pub fn end_without_receipt(mut delivery: Delivery) -> Delivery {
    delivery.state = DeliveryState::Delivered;
    delivery.reason = "taken by the peer; no acknowledgment asked for".to_owned();
    delivery
}
