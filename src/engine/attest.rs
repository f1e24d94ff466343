//! What the entries of a step vouch for: the digest of every run of octets that its commit keeps, so that the signed
//! audit record says of stored octets that they are those of then (P18).

use crate::model::{Attested, TimelineEntry};
use crate::store::{DeliveryWrite, NewMessage};

/// Has the entry about a message that is kept vouch for it and its answer.
pub(super) fn message(entries: &mut [TimelineEntry], message: &NewMessage) {
    let key = &message.record.key;
    let about = entries.iter_mut().find(|entry| {
        entry.delivery.is_none()
            && entry.message_id.as_ref() == Some(&key.message_id)
            && entry.party.as_ref() == Some(&key.sender)
    });
    if let Some(entry) = about {
        let answer = message.response.as_ref().map(|answer| answer.body.digest());
        entry.octets = Attested { received: Some(message.body.digest()), answer, ..Attested::default() };
    }
}

/// Has the last entry about a delivery vouch for the octets that are made for it, and for its receipt.
pub(super) fn delivery(entries: &mut [TimelineEntry], write: &DeliveryWrite) {
    let sent = write.sealed.as_ref().map(|sealed| sealed.body.digest());
    let receipt = write.receipt.as_ref().map(|receipt| receipt.body.digest());
    if sent.is_none() && receipt.is_none() {
        return;
    }
    let about = entries.iter_mut().rev().find(|entry| entry.delivery.as_ref() == Some(&write.delivery.id));
    if let Some(entry) = about {
        entry.octets = Attested { sent, receipt, ..Attested::default() };
    }
}
