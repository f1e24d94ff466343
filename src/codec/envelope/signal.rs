//! AckRequested, Acknowledgment, ErrorList, SyncReply and MessageOrder (ebMS 2.0, 4.2, 4.3, 6.3, 9).

use std::sync::Arc;

use super::super::xml::Element;
use super::read::{children, described, optional, party_ids, required, value};
use super::structure::actor;
use super::{DS, EB, Errors, decode_reference};
use crate::model::{
    AckRequested, Acknowledgment, Actor, EbxmlError, ErrorCode, ErrorList, MessageOrder, OrderStatus,
    SequenceNumber, Severity,
};

/// AckRequested.
pub(super) fn ack_requested(element: Element<'_>, errors: &mut Errors) -> Option<AckRequested> {
    let actor = actor_of(element, errors);
    let signed = match element.attribute(EB, "signed").map(str::trim_ascii) {
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        _ => {
            errors.push(ErrorCode::OtherXml, element, "eb:signed is neither true nor false");
            None
        }
    };
    Some(AckRequested { actor: actor?, signed: signed? })
}

/// Acknowledgment.
pub(super) fn acknowledgment(element: Element<'_>, errors: &mut Errors) -> Option<Acknowledgment> {
    let actor = actor_of(element, errors);
    let timestamp = required(element, "Timestamp", errors).and_then(|e| value(e, errors));
    let ref_to_message_id = required(element, "RefToMessageId", errors).and_then(|e| value(e, errors));
    let from = optional(element, "From", errors).map(|from| party_ids(from, errors)).unwrap_or_default();
    let mut references = Vec::new();
    for child in element.children().filter(|child| child.is(DS, "Reference")) {
        match decode_reference(child) {
            Ok(reference) => references.push(reference),
            Err(fault) => errors.push(ErrorCode::NotSupported, child, fault),
        }
    }
    Some(Acknowledgment {
        actor: actor?,
        timestamp: timestamp?,
        ref_to_message_id: ref_to_message_id?,
        from,
        references,
    })
}

/// MessageOrder.
pub(super) fn message_order(element: Element<'_>, errors: &mut Errors) -> Option<MessageOrder> {
    let number = required(element, "SequenceNumber", errors)?;
    let status = match number.attribute(EB, "status").map(str::trim_ascii) {
        None | Some("Continue") => Some(OrderStatus::Continue),
        Some("Reset") => Some(OrderStatus::Reset),
        Some(_) => {
            errors.push(ErrorCode::OtherXml, number, "eb:status is neither Reset nor Continue");
            None
        }
    };
    let read: Result<SequenceNumber, _> = number.text().trim_ascii().parse();
    if let Err(fault) = &read {
        errors.push(ErrorCode::OtherXml, number, fault.to_string());
    }
    Some(MessageOrder { number: read.ok()?, status: status? })
}

/// The one of two actors that these elements may be meant for.
fn actor_of(element: Element<'_>, errors: &mut Errors) -> Option<Actor> {
    match actor(element) {
        Actor::TO_PARTY_MSH => Some(Actor::ToPartyMsh),
        Actor::NEXT_MSH => Some(Actor::NextMsh),
        _ => {
            errors.push(
                ErrorCode::ValueNotRecognized,
                element,
                "soap:actor is neither nextMSH nor toPartyMSH",
            );
            None
        }
    }
}

/// ErrorList.
pub(super) fn error_list(element: Element<'_>, errors: &mut Errors) -> Option<ErrorList> {
    let list: Vec<EbxmlError> = children(element, "Error").filter_map(|child| error(child, errors)).collect();
    if children(element, "Error").next().is_none() {
        errors.push(ErrorCode::OtherXml, element, "eb:Error is missing");
    }
    let highest = list.iter().map(|error| error.severity).max()?;
    if severity(element, "highestSeverity", errors)? != highest {
        errors.push(ErrorCode::Inconsistent, element, "eb:highestSeverity is not the highest eb:severity");
    }
    Some(ErrorList { errors: list })
}

fn error(element: Element<'_>, errors: &mut Errors) -> Option<EbxmlError> {
    let severity = severity(element, "severity", errors);
    let Some(code) = element.attribute(EB, "errorCode").map(str::trim_ascii).filter(|code| !code.is_empty())
    else {
        errors.push(ErrorCode::OtherXml, element, "eb:errorCode is missing");
        return None;
    };
    let standard = matches!(element.attribute(EB, "codeContext"), None | Some(CODE_CONTEXT));
    let description = optional(element, "Description", errors).map(described);
    Some(EbxmlError {
        code: if standard { ErrorCode::of_text(code) } else { ErrorCode::Other(Arc::from(code)) },
        severity: severity?,
        location: element.attribute(EB, "location").filter(|place| !place.is_empty()).map(str::to_owned),
        description: description.map(|(text, _)| text.as_ref().to_owned()).unwrap_or_default(),
    })
}

fn severity(element: Element<'_>, attribute: &str, errors: &mut Errors) -> Option<Severity> {
    let text = element.attribute(EB, attribute).map(str::trim_ascii);
    let severity = [Severity::Warning, Severity::Error].into_iter().find(|s| Some(s.as_str()) == text);
    if severity.is_none() {
        errors.push(ErrorCode::OtherXml, element, format!("eb:{attribute} is neither Error nor Warning"));
    }
    severity
}

/// SyncReply is always meant for SOAP's next node (ebMS 2.0, 4.3.1).
pub(super) fn check_sync_reply(element: Element<'_>, errors: &mut Errors) {
    if actor(element) != Actor::SOAP_NEXT {
        errors.push(ErrorCode::ValueNotRecognized, element, "soap:actor is not SOAP's next node");
    }
}

/// The list that error codes are from when `eb:codeContext` does not say (ebMS 2.0, 4.2.3.2.2).
const CODE_CONTEXT: &str = "urn:oasis:names:tc:ebxml-msg:service:errors";
