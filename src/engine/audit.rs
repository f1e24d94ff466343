//! Entries of the audit record, put together in one style.

use crate::model::{Attested, CaseId, Delivery, MessageId, MessageKey, PartyKey, TimelineEntry, Timestamp};
use crate::telemetry::EventCode;

/// An entry that says what happened; about whom is added by the others.
pub(super) fn entry(at: Timestamp, event: EventCode, text: impl Into<String>) -> TimelineEntry {
    TimelineEntry {
        at,
        event: event.code().into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text: text.into(),
        alarm: false,
        octets: Attested::default(),
    }
}

/// About whom an entry is.
pub(super) trait About: Sized {
    /// About a message that was received.
    fn of_message(self, key: &MessageKey) -> Self;
    /// About a delivery, its destination and its case.
    fn of_delivery(self, delivery: &Delivery) -> Self;
    /// About a case.
    fn of_case(self, case: &CaseId) -> Self;
    /// About a party.
    fn of_party(self, party: Option<&PartyKey>) -> Self;
    /// About a MessageId whose sender is not established.
    fn of_message_id(self, message_id: Option<&MessageId>) -> Self;
    /// An operator should look at it.
    fn alarm_if(self, alarm: bool) -> Self;
}

impl About for TimelineEntry {
    fn of_message(self, key: &MessageKey) -> Self {
        Self { party: Some(key.sender.clone()), message_id: Some(key.message_id.clone()), ..self }
    }

    fn of_delivery(self, delivery: &Delivery) -> Self {
        Self {
            case: delivery.case.clone(),
            party: Some(delivery.destination.clone()),
            message_id: Some(delivery.message_id.clone()),
            delivery: Some(delivery.id.clone()),
            ..self
        }
    }

    fn of_case(self, case: &CaseId) -> Self {
        Self { case: Some(case.clone()), ..self }
    }

    fn of_party(self, party: Option<&PartyKey>) -> Self {
        Self { party: party.cloned(), ..self }
    }

    fn of_message_id(self, message_id: Option<&MessageId>) -> Self {
        Self { message_id: message_id.cloned(), ..self }
    }

    fn alarm_if(self, alarm: bool) -> Self {
        Self { alarm, ..self }
    }
}
