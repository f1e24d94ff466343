//! Where an application stands while its agency has said nothing (docs/states.md): what its delivery tells.

use crate::model::{Application, ApplicationState, Delivery, DeliveryState};

/// How a delivery of an application ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The agency's MSH refused it.
    Rejected,
    /// Its retries or its TimeToLive are spent.
    Expired,
}

/// The delivery of an application ended badly. Says whether that moved the application: when the agency has
/// spoken, it has the document, whatever became of the receipt.
pub fn end_of_delivery(application: &mut Application, end: DeliveryEnd) -> bool {
    if application.state != ApplicationState::Created {
        return false;
    }
    application.state = match end {
        DeliveryEnd::Rejected => ApplicationState::Error,
        DeliveryEnd::Expired => ApplicationState::Undeliverable,
    };
    true
}

/// The state to show: sent and delivered stand in place of created, read off its delivery, so that receipts
/// need not write the case.
#[must_use]
pub fn shown_state(application: &Application, delivery: Option<&Delivery>) -> ApplicationState {
    match (application.state, delivery) {
        (ApplicationState::Created, Some(delivery)) => match delivery.state {
            DeliveryState::Delivered => ApplicationState::Delivered,
            _ if delivery.attempts > 0 => ApplicationState::Sent,
            _ => ApplicationState::Created,
        },
        (state, _) => state,
    }
}
