//! An application is to be cancelled: at the broker's word, in his own document (FunctionCode 1), or because its
//! declaration is withdrawn (domain brief, 5.2 rule 6; rulings 2, 23). It is a request: the agency's answer decides.

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::decide::Inbound;
use super::documents::at;
use super::enclose::{REQUIREMENTS, conversation_of};
use super::ids;

use super::owe::{Owed, about_case, received};
use super::step::Step;
use crate::case::{self, Release};
use crate::model::{
    Application, ApplicationDocument, Cancellation, Case, DeliveryId, DeliveryPurpose, ErrorCode, MessageKey,
    Part, PartSource, Payload, Timestamp, role_of_document_code,
};
use crate::store::{CaseWrite, CorrelationKey, Versioned};
use crate::telemetry::EventCode;

/// The broker's own cancellation: passed on to the agency as it came.
pub(super) fn cancel(
    inbound: &Inbound<'_>,
    stored: &Versioned<Case>,
    payload: &Payload,
    document: &ApplicationDocument,
) -> Decided {
    let desk = inbound.desk;
    let refuse = |text: String| Decline::refuse(ErrorCode::Inconsistent, at(payload), text);
    let mut changed = stored.value.clone();
    let numbered = |a: &Application| a.number.as_ref() == Some(&document.number);
    let Some(index) = changed.applications.iter().position(numbered) else {
        return Err(refuse(format!("no application of this case has number {}", document.number)));
    };
    let application = &mut changed.applications[index];
    if application.document != document.code {
        return Err(refuse(format!("application {} is another form", document.number)));
    }
    let id = ids::forwarded("cancellation", inbound.key, &payload.content_id, &application.party);
    let cancellation = Cancellation {
        message_id: desk.context.own.message_id(&id),
        requested_at: desk.now,
        reason: document.reason.clone(),
        refused: false,
    };
    case::cancel(application, cancellation).map_err(|fault| refuse(fault.to_string()))?;
    let mut step = accept(inbound, Some(&changed.id));
    let message = inbound.arrival.verified.message();
    let parts = message.payloads.iter().map(|payload| received(inbound.key, payload)).collect();
    step.owe_cancellation(inbound, &changed, index, id, parts);
    let mut correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    correlations.extend(key_of_cancellation(&changed.applications[index]));
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

/// Why, and when, the gateway asks to cancel an application by itself.
pub(super) struct Cause<'a> {
    pub(super) key: &'a MessageKey,
    pub(super) issued_at: Timestamp,
    pub(super) reason: &'a str,
}

impl Step {
    /// Asks the agency of an application to cancel it.
    pub(super) fn ask_to_cancel(
        &mut self,
        inbound: &Inbound<'_>,
        case: &mut Case,
        index: usize,
        cause: &Cause<'_>,
    ) -> Option<CorrelationKey> {
        let cancellation = self.demand(inbound, case, index, &[], cause)?;
        case::cancel(&mut case.applications[index], cancellation).ok()?;
        key_of_cancellation(&case.applications[index])
    }

    /// Owes an agency the request to cancel its application, or these items of it, in a document made from the
    /// application. Where the gateway does not know the document an operator has to ask.
    fn demand(
        &mut self,
        inbound: &Inbound<'_>,
        case: &Case,
        index: usize,
        items: &[u16],
        cause: &Cause<'_>,
    ) -> Option<Cancellation> {
        let desk = inbound.desk;
        let application = &case.applications[index];
        let number = application.number.clone().unwrap_or_default();
        let Some(of) = application.source.clone() else {
            let text = format!("{} must be asked to cancel {number} by hand", application.agency);
            let told = entry(desk.now, EventCode::ApplicationCancellation, text).alarm_if(true);
            self.audit.push(about_case(told, inbound, &case.id));
            return None;
        };
        let id = ids::cancellation(cause.key, &number);
        let part = Part {
            content_id: ids::content_id(&id, &desk.context.own.domain),
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&application.document).into()),
            source: PartSource::Cancellation {
                of,
                asked_by: cause.key.clone(),
                issued_at: cause.issued_at,
                reason: cause.reason.into(),
                items: items.to_vec(),
            },
        };
        self.owe_cancellation(inbound, case, index, id.clone(), vec![part]);
        Some(Cancellation {
            message_id: desk.context.own.message_id(&id),
            requested_at: desk.now,
            reason: Some(cause.reason.into()),
            refused: false,
        })
    }

    /// Tells an agency what an amendment takes from its application: all of it, or items.
    pub(super) fn release(
        &mut self,
        inbound: &Inbound<'_>,
        case: &mut Case,
        release: &Release,
        cause: &Cause<'_>,
    ) -> Option<CorrelationKey> {
        let items = if release.whole { &[][..] } else { &release.items };
        let cancellation = self.demand(inbound, case, release.index, items, cause)?;
        let key = CorrelationKey::Sent(cancellation.message_id.clone());
        let application = &mut case.applications[release.index];
        if release.whole {
            application.cancellation = Some(cancellation);
        } else {
            // What the agency says about items that are gone changes nothing.
            application.former.push(cancellation.message_id);
        }
        Some(key)
    }

    fn owe_cancellation(
        &mut self,
        inbound: &Inbound<'_>,
        case: &Case,
        index: usize,
        id: DeliveryId,
        parts: Vec<Part>,
    ) {
        let desk = inbound.desk;
        let application = &case.applications[index];
        let (agency, number) = (&application.agency, application.number.as_deref().unwrap_or_default());
        let text = format!("{agency} is asked to cancel {} {number}", application.document);
        let told = entry(desk.now, EventCode::ApplicationCancellation, text);
        self.audit.push(about_case(told, inbound, &case.id));
        let target = desk.agency_of_document(&application.document);
        self.owe(
            desk,
            Owed {
                id,
                case: Some(&case.id),
                purpose: DeliveryPurpose::Cancellation { index },
                to: &application.party,
                cpa_id: target.as_ref().and_then(|target| target.cpa_id.as_ref()),
                conversation_id: conversation_of(case, application),
                ref_to_message_id: application.sent_as.clone(),
                service: REQUIREMENTS,
                action: application.document.as_str(),
                parts,
            },
        );
    }
}

/// The key that leads from the agency's answer to the case.
fn key_of_cancellation(application: &Application) -> Option<CorrelationKey> {
    let cancellation = application.cancellation.as_ref()?;
    Some(CorrelationKey::Sent(cancellation.message_id.clone()))
}
