//! Ids that follow from what they are for: a replay makes the same message, never a second one.

use crate::model::{CaseId, ContentId, DeliveryId, MessageId, MessageKey, PartyKey, derive_id};

/// The case that a message opens.
pub(super) fn case_opened_by(key: &MessageKey) -> CaseId {
    let id = derive_id(&["case", key.sender.as_str(), key.message_id.as_str()]);
    CaseId::new(id).expect("derived ids are plain text")
}

/// The signal that answers a message; as a delivery, when it travels by itself.
pub(super) fn answer_to(key: &MessageKey) -> DeliveryId {
    delivery(&["answer", key.sender.as_str(), key.message_id.as_str()])
}

/// The error message for a message that was acknowledged before its turn, and is refused after all.
pub(super) fn answer_after_hold(key: &MessageKey) -> DeliveryId {
    delivery(&["answer-after-hold", key.sender.as_str(), key.message_id.as_str()])
}

/// The error message for a message whose key is not ours to use: turned away before it was authenticated, or
/// other content under a key that is taken.
pub(super) fn refusal_of(sender: &PartyKey, message_id: &MessageId, content: &str) -> DeliveryId {
    delivery(&["refusal", sender.as_str(), message_id.as_str(), content])
}

/// What a payload of a message is to be delivered as, to one destination.
pub(super) fn forwarded(kind: &str, key: &MessageKey, content_id: &ContentId, to: &PartyKey) -> DeliveryId {
    let (sender, message_id) = (key.sender.as_str(), key.message_id.as_str());
    delivery(&[kind, sender, message_id, content_id.as_str(), to.as_str()])
}

/// The request to cancel an application that follows from a message.
pub(super) fn cancellation(key: &MessageKey, number: &str) -> DeliveryId {
    delivery(&["cancellation", key.sender.as_str(), key.message_id.as_str(), number])
}

/// A status report: once per case, revision, round, event, outcome and destination.
pub(super) fn report(case: &CaseId, number: &str, to: &PartyKey) -> DeliveryId {
    delivery(&["report", case.as_str(), number, to.as_str()])
}

/// The answer to a query: once per query.
pub(super) fn answer_to_query(key: &MessageKey, number: &str) -> DeliveryId {
    delivery(&["query", key.sender.as_str(), key.message_id.as_str(), number])
}

/// What the bank said of an order for this payment: once for each order and destination.
pub(super) fn confirmation(key: &str, order: &str, to: &PartyKey) -> DeliveryId {
    delivery(&["confirmation", key, order, to.as_str()])
}

/// A service notice: once per number and destination.
pub(super) fn notice(number: &str, to: &PartyKey) -> DeliveryId {
    delivery(&["notice", number, to.as_str()])
}

/// What is wrong with the documents of a refused message.
pub(super) fn validation_report(key: &MessageKey) -> DeliveryId {
    delivery(&["validation-report", key.sender.as_str(), key.message_id.as_str()])
}

/// A message of a party that is passed on, to whomever: who asks about it names no more than its MessageId.
pub(super) fn passed_on(from: &PartyKey, message_id: &MessageId) -> DeliveryId {
    delivery(&["transit", from.as_str(), message_id.as_str()])
}

/// The acknowledgment of a hop.
pub(super) fn hop(of: &DeliveryId) -> DeliveryId {
    delivery(&["hop", of.as_str()])
}

/// The notice that a delivery failed.
pub(super) fn failure_of(id: &DeliveryId) -> DeliveryId {
    delivery(&["failure", id.as_str()])
}

/// The MessageId of what a delivery sends (RFC 2822, without angle brackets).
pub(super) fn message_id(id: &DeliveryId, domain: &str) -> MessageId {
    MessageId::new(format!("{id}@{domain}")).expect("a derived id and a host name are plain text")
}

/// The Content-ID of the one document that a delivery of our own carries.
pub(super) fn content_id(id: &DeliveryId, domain: &str) -> ContentId {
    ContentId::new(format!("{id}.document@{domain}")).expect("a derived id and a host name are plain text")
}

/// The Content-ID of one of several documents that a delivery of our own carries.
pub(super) fn content_id_of(id: &DeliveryId, place: usize, domain: &str) -> ContentId {
    ContentId::new(format!("{id}.document.{place}@{domain}"))
        .expect("a derived id and a host name are plain text")
}

/// The Content-ID that a part of a message is sent on with, when what it was known as is none.
pub(super) fn content_id_for(key: &MessageKey, known_as: &ContentId) -> ContentId {
    let id = derive_id(&["part", key.sender.as_str(), key.message_id.as_str(), known_as.as_str()]);
    ContentId::new(format!("{id}@part")).expect("derived ids are plain text")
}

fn delivery(parts: &[&str]) -> DeliveryId {
    DeliveryId::new(derive_id(parts)).expect("derived ids are plain text")
}
