//! What a message would lead to, were it sent: the very decision of its arrival, of which nothing is kept.

use std::sync::Arc;

use serde::Serialize;

use super::decide::decide;
use super::event::{Context, Event};
use crate::model::{
    AgencyCode, ApplicationState, DocumentCode, EbxmlError, PartyKey, RuleId, Severity, Timestamp,
};
use crate::security::RefusalAnswer;
use crate::store::View;

/// What would come of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foretold {
    /// It would be accepted and steer something.
    pub accepted: bool,
    /// Why not, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Everything that the MessageError would tell.
    pub errors: Vec<EbxmlError>,
    /// To whom something would go at once.
    pub deliveries: Vec<ForetoldDelivery>,
    /// What agencies would have to decide.
    pub applications: Vec<ForetoldApplication>,
}

/// A message that would be owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForetoldDelivery {
    /// To whom.
    pub to: PartyKey,
    /// Its Action.
    pub action: Arc<str>,
}

/// An application as it would stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForetoldApplication {
    /// Agency.
    pub agency: AgencyCode,
    /// Application document.
    pub document: DocumentCode,
    /// Its number; none when the document is missing.
    pub number: Option<Arc<str>>,
    /// Whether the case waits for it.
    pub required: bool,
    /// `blocked` when its document is missing.
    pub state: ApplicationState,
    /// The lines that it is for.
    pub items: Vec<u16>,
    /// The rules that ask for it.
    pub rules: Vec<RuleId>,
    /// When the agency should have decided.
    pub decide_by: Option<Timestamp>,
}

/// What the event of an arriving message would lead to, given the records that it needs.
#[must_use]
pub fn foretell(now: Timestamp, event: &Event, view: &View, context: &Context<'_>) -> Foretold {
    if let Event::Refused(refused) = event {
        let errors = match &refused.refusal.answer {
            RefusalAnswer::Errors(errors) => errors.clone(),
            RefusalAnswer::Http(_) | RefusalAnswer::Fault(_) => Vec::new(),
        };
        let reason = refused.refusal.to_string();
        return Foretold {
            accepted: false,
            reason,
            errors,
            deliveries: Vec::new(),
            applications: Vec::new(),
        };
    }
    let step = decide(now, event, view, context);
    let kept = step.message.as_ref().map(|draft| &draft.record);
    let accepted = kept.is_some_and(|record| record.accepted && !record.quarantined);
    let told = step.audit.iter().chain(&step.noted).next().map(|entry| entry.text.clone());
    let reason = kept.map(|record| record.reason.clone()).or(told).unwrap_or_default();
    let list = step.answer.iter().filter_map(|draft| draft.message.error_list.as_ref());
    let errors = list.flat_map(|list| &list.errors).filter(|error| error.severity == Severity::Error);
    let errors = errors.cloned().collect();
    let deliveries = step.deliveries.iter().filter(|_| accepted).map(|draft| ForetoldDelivery {
        to: draft.delivery.destination.clone(),
        action: draft.delivery.action.clone(),
    });
    let deliveries = deliveries.collect();
    let case = step.case.iter().filter(|_| accepted).flat_map(|write| &write.case.applications);
    let applications = case.map(|application| ForetoldApplication {
        agency: application.agency.clone(),
        document: application.document.clone(),
        number: application.number.clone(),
        required: application.required,
        state: application.state,
        items: application.items.clone(),
        rules: application.rules.clone(),
        decide_by: application.decide_by,
    });
    let applications = applications.collect();
    let reason = if accepted { String::new() } else { reason };
    Foretold { accepted, reason, errors, deliveries, applications }
}
