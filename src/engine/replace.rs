//! A new version of an application that its agency has not decided: FunctionCode 5 replaces, 4 changes it. The
//! answer to a supplement that an agency asked for comes this way (domain brief, 5.2).

use super::arrival::{Decided, Decline, accept};
use super::decide::Inbound;
use super::documents::at;
use super::enclose::{id_of_application, keys_of_application, owe_application};
use super::join::Cause;
use super::owe::received;
use crate::case;
use crate::model::{ApplicationDocument, Case, EbxmlError, ErrorCode, Payload, ReceivedPart};
use crate::store::{CaseWrite, CorrelationKey, Versioned};

pub(super) fn replace(
    inbound: &Inbound<'_>,
    stored: &Versioned<Case>,
    payload: &Payload,
    document: &ApplicationDocument,
) -> Decided {
    let desk = inbound.desk;
    let mut changed = stored.value.clone();
    let place =
        renew(inbound, &mut changed, payload, document).map_err(|error| Decline::Refuse(vec![error]))?;
    let events = case::settle(&mut changed, desk.now);
    let mut step = accept(inbound, Some(&changed.id));
    let target = desk.agency_of_document(&document.code);
    let cpa_id = target.and_then(|target| target.cpa_id);
    let message = inbound.arrival.verified.message();
    let parts = message.payloads.iter().map(|payload| received(inbound.key, payload)).collect();
    owe_application(&mut step, inbound, &changed, place, cpa_id.as_ref(), (payload, document), parts);
    step.tell_join(desk, &changed, &events, Cause::Message(inbound.key));
    let mut correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    correlations.extend(keys_of_application(&changed.applications[place.0]));
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

/// Replaces an application of the case; says which, and in words how.
pub(super) fn renew(
    inbound: &Inbound<'_>,
    case: &mut Case,
    payload: &Payload,
    document: &ApplicationDocument,
) -> Result<(usize, &'static str), EbxmlError> {
    let sent_as = inbound.desk.context.own.message_id(&id_of_application(inbound, payload));
    let index = case::replace(case, document, &sent_as, source_of(inbound, payload))
        .map_err(|fault| EbxmlError::new(ErrorCode::Inconsistent, at(payload), fault.to_string()))?;
    Ok((index, "it replaces the version before"))
}

/// Where a document came.
pub(super) fn source_of(inbound: &Inbound<'_>, payload: &Payload) -> ReceivedPart {
    ReceivedPart {
        message: inbound.key.clone(),
        content_id: payload.content_id.clone(),
        digest: payload.digest,
    }
}
