//! MessageHeader and Manifest, element by element (ebMS 2.0, 3.1 and 3.2).
//!
//! Promises: a field that comes once is read whole; one that comes twice, or with elements in it, is an error, also
//! in a signal that no schema has seen.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use super::super::mime::PartName;
use super::super::xml::{Element, XML_NAMESPACE};
use super::partial::{PartialData, PartialHeader};
use super::structure::is_left_out;
use super::{EB, Errors, XLINK};
use crate::model::{
    ErrorCode, Manifest, MessageHeader, PartyId, PartyRef, Reference, Service, SignalAction, ValueError,
};

/// What an answer to a refused message goes back to: the first header that names its message, before all others of those
/// that a signature could cover. One without Service or Action is known by what it carries, so that no error answers an
/// error, and nothing answers an answer (digest, 9.3).
pub(super) fn header_to_answer(soap_header: Element<'_>) -> Option<PartialHeader> {
    // One list for all of them: it is full soon, and what is not kept costs nothing.
    let mut ignored = Errors::default();
    let mut of_kind = |left_out| {
        let mut headers =
            children(soap_header, "MessageHeader").filter(move |header| is_left_out(*header) == left_out);
        headers.find_map(|element| partial_header(element, &mut ignored))
    };
    let mut header = of_kind(false).or_else(|| of_kind(true))?;
    if let Some(action) = answers(soap_header, &header) {
        header.service = Some(Service::msh());
        header.action = Some(action.as_str().into());
    }
    Some(header)
}

/// The signal that a header is of which is itself an answer, as far as what stands there leaves no other choice.
fn answers(soap_header: Element<'_>, header: &PartialHeader) -> Option<SignalAction> {
    let is_error = |list: Element<'_>| list.attribute(EB, "highestSeverity") != Some("Warning");
    if soap_header.child(EB, "ErrorList").is_some_and(is_error) {
        return Some(SignalAction::MessageError);
    }
    match (&header.service, &header.action) {
        // Only signals have these names.
        (None, Some(action)) => SignalAction::of_action(action).filter(|signal| signal.is_answer()),
        // Of what has no Action, a Ping and a StatusRequest refer to nothing.
        (Some(service), None) if service.is_msh() => {
            let refers = header.data.ref_to_message_id.is_some();
            (refers || soap_header.child(EB, "Acknowledgment").is_some())
                .then_some(SignalAction::Acknowledgment)
        }
        _ => None,
    }
}

/// MessageHeader; what is wrong with it goes to `errors`, and it is still there when all of it could be read.
pub(super) fn header(element: Element<'_>, errors: &mut Errors) -> Option<MessageHeader> {
    partial_header(element, errors)?.whole()
}

fn partial_header(element: Element<'_>, errors: &mut Errors) -> Option<PartialHeader> {
    let from = required(element, "From", errors).and_then(|from| party(from, errors));
    let to = required(element, "To", errors).and_then(|to| party(to, errors));
    let cpa_id = required(element, "CPAId", errors).and_then(|e| value(e, errors));
    let conversation_id = required(element, "ConversationId", errors).and_then(|e| value(e, errors));
    let service = required(element, "Service", errors).and_then(|e| service(e, errors));
    let action = required(element, "Action", errors).and_then(|e| plain(e, errors));
    let data = required(element, "MessageData", errors).and_then(|e| message_data(e, errors));
    let duplicate_elimination = optional(element, "DuplicateElimination", errors).is_some();
    let descriptions = children(element, "Description").map(described).collect();
    let data = data?;
    Some(PartialHeader {
        from,
        to,
        cpa_id,
        conversation_id,
        service,
        action,
        data,
        duplicate_elimination,
        descriptions,
    })
}

fn message_data(element: Element<'_>, errors: &mut Errors) -> Option<PartialData> {
    let message_id = required(element, "MessageId", errors).and_then(|e| value(e, errors));
    let timestamp = required(element, "Timestamp", errors).and_then(|e| value(e, errors));
    let ref_to_message_id = optional(element, "RefToMessageId", errors).and_then(|e| value(e, errors));
    let time_to_live = optional(element, "TimeToLive", errors).and_then(|e| value(e, errors));
    Some(PartialData { message_id: message_id?, timestamp, ref_to_message_id, time_to_live })
}

fn party(element: Element<'_>, errors: &mut Errors) -> Option<PartyRef> {
    let ids = party_ids(element, errors);
    let role = optional(element, "Role", errors).and_then(|e| value(e, errors));
    (!ids.is_empty()).then_some(PartyRef { ids, role })
}

/// The PartyIds in From or To: at least one, each `eb:type` at most once (ebMS 2.0, 3.1.1.1).
pub(super) fn party_ids(element: Element<'_>, errors: &mut Errors) -> Vec<PartyId> {
    let mut ids: Vec<PartyId> = Vec::new();
    let mut kinds = BTreeSet::new();
    for child in children(element, "PartyId") {
        let Some((value, kind)) = typed_name(child, errors) else { continue };
        if kind.is_some() && !kinds.insert(kind.clone()) {
            errors.push(ErrorCode::Inconsistent, child, "two PartyIds of one type");
        }
        ids.push(PartyId { value, kind });
    }
    if children(element, "PartyId").next().is_none() {
        errors.push(ErrorCode::OtherXml, element, "eb:PartyId is missing");
    }
    ids
}

fn service(element: Element<'_>, errors: &mut Errors) -> Option<Service> {
    let (value, kind) = typed_name(element, errors)?;
    Some(Service { value, kind })
}

/// A value with its `eb:type`; without one it must be a URI (ebMS 2.0, 3.1.1.1 and 3.1.4.1).
fn typed_name(element: Element<'_>, errors: &mut Errors) -> Option<(Arc<str>, Option<Arc<str>>)> {
    let value = plain(element, errors)?;
    let kind = element.attribute(EB, "type").map(|kind| Arc::from(kind.trim_ascii()));
    if kind.is_none() && !is_uri(&value) {
        errors.push(ErrorCode::Inconsistent, element, "without eb:type this must be a URI");
    }
    Some((value, kind))
}

/// Manifest.
pub(super) fn manifest(element: Element<'_>, errors: &mut Errors) -> Manifest {
    let references: Vec<Reference> =
        children(element, "Reference").filter_map(|child| reference(child, errors)).collect();
    if children(element, "Reference").next().is_none() {
        errors.push(ErrorCode::OtherXml, element, "eb:Reference is missing");
    }
    Manifest { references }
}

fn reference(element: Element<'_>, errors: &mut Errors) -> Option<Reference> {
    let Some(href) = element.attribute(XLINK, "href").map(str::trim_ascii) else {
        errors.push(ErrorCode::OtherXml, element, "xlink:href is missing");
        return None;
    };
    // Nothing outside the message is ever opened (digest, 7); which names a partner may use is in its agreement.
    if PartName::of_uri(href).is_none() {
        let text = "expected the URI of a part of this message";
        errors.push_at(ErrorCode::MimeProblem, href.chars().take(EXCERPT_CHARS_MAX).collect(), text);
    }
    let english = |e: &Element<'_>| {
        e.attribute(XML_NAMESPACE, "lang").is_some_and(|lang| lang.split('-').next() == Some("en"))
    };
    let description =
        children(element, "Description").find(english).or_else(|| children(element, "Description").next());
    Some(Reference {
        href: href.into(),
        role: element.attribute(XLINK, "role").map(Arc::from),
        schemas: children(element, "Schema")
            .filter_map(|schema| schema.attribute(EB, "location"))
            .map(Arc::from)
            .collect(),
        description: description.map(|description| described(description).0),
    })
}

/// A text for people and its language.
pub(super) fn described(element: Element<'_>) -> (Arc<str>, Arc<str>) {
    let lang = element.attribute(XML_NAMESPACE, "lang").unwrap_or_default();
    (element.text().trim_ascii().into(), lang.into())
}

/// The ebMS children with this name.
pub(super) fn children<'a>(parent: Element<'a>, local: &str) -> impl Iterator<Item = Element<'a>> {
    parent.children().filter(move |child| child.is(EB, local))
}

/// The one child with this name.
pub(super) fn required<'a>(parent: Element<'a>, local: &str, errors: &mut Errors) -> Option<Element<'a>> {
    let child = optional(parent, local, errors);
    if child.is_none() {
        errors.push(ErrorCode::OtherXml, parent, format!("eb:{local} is missing"));
    }
    child
}

/// The child with this name, if there is one; two are an error.
pub(super) fn optional<'a>(parent: Element<'a>, local: &str, errors: &mut Errors) -> Option<Element<'a>> {
    let mut found = children(parent, local);
    let first = found.next();
    if let Some(second) = found.next() {
        errors.push(ErrorCode::OtherXml, second, format!("eb:{local} comes twice"));
    }
    first
}

/// The text of an element as a value of the model.
pub(super) fn value<T: FromStr<Err = ValueError>>(element: Element<'_>, errors: &mut Errors) -> Option<T> {
    let text = plain(element, errors)?;
    let value: Result<T, ValueError> = text.parse();
    value.map_err(|fault| errors.push(ErrorCode::OtherXml, element, fault.to_string())).ok()
}

/// The text of an element: one line, without surrounding white space.
pub(super) fn plain(element: Element<'_>, errors: &mut Errors) -> Option<Arc<str>> {
    const BYTES_MAX: usize = 512;
    let text = element.text();
    let text = text.trim_ascii();
    let fault = if element.children().next().is_some() {
        "an element in a value"
    } else if text.is_empty() {
        "a value is missing"
    } else if text.len() > BYTES_MAX {
        "a value of more than 512 octets"
    } else if text.chars().any(char::is_control) {
        "a control character in a value"
    } else {
        return Some(text.into());
    };
    errors.push(ErrorCode::OtherXml, element, fault);
    None
}

/// An absolute URI (RFC 3986, 3): a scheme, a colon, and something that can stand in a URI.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme && !rest.is_empty() && rest.chars().all(|c| !c.is_whitespace() && !"<>\"{}|\\^`".contains(c))
}

/// How much of a foreign text an error repeats.
const EXCERPT_CHARS_MAX: usize = 200;
