//! What makes a message of a kind, and which elements may appear together (ebMS 2.0, 5; digest, 5 and 6).

use super::super::xml::Element;
use super::structure::Blocks;
use super::{EB, Errors};
use crate::model::{
    Actor, ErrorCode, ErrorList, Message, MessageHeader, MessageKind, Service, Severity, SignalAction,
};

/// `eb:version` is 2.0 wherever it stands (ebMS 2.0, 2.3.8). That it stands everywhere is the schema's matter.
pub(super) fn check_versions(blocks: &Blocks<'_>, errors: &mut Errors) {
    for element in blocks.all() {
        if element.attribute(EB, "version").is_some_and(|version| version.trim_ascii() != "2.0") {
            let location = format!("{}/@eb:version", element.path());
            errors.push_at(ErrorCode::NotSupported, location, "only version 2.0 is supported");
        }
    }
}

/// What the message is: Service and Action say so, and a signal has the element that it is about.
pub(super) fn kind(header: &MessageHeader, blocks: &Blocks<'_>, errors: &mut Errors) -> Option<MessageKind> {
    let at = |local| blocks.message_header.child(EB, local).unwrap_or(blocks.message_header);
    if !header.service.is_msh() {
        return Some(MessageKind::User);
    }
    if *header.service.value != *Service::MSH {
        errors.push(ErrorCode::ValueNotRecognized, at("Service"), "a Service that is reserved and not known");
        return None;
    }
    let Some(action) = SignalAction::of_action(&header.action) else {
        errors.push(ErrorCode::ValueNotRecognized, at("Action"), "the Service of the MSH has no such Action");
        return None;
    };
    let (subject, name) = match action {
        SignalAction::Acknowledgment => (blocks.acknowledgments.first().copied(), "eb:Acknowledgment"),
        SignalAction::MessageError => (blocks.error_list, "eb:ErrorList"),
        SignalAction::StatusRequest => (blocks.status_request, "eb:StatusRequest"),
        SignalAction::StatusResponse => (blocks.status_response, "eb:StatusResponse"),
        SignalAction::Ping | SignalAction::Pong => return Some(MessageKind::Signal(action)),
    };
    if subject.is_none() {
        errors.push(ErrorCode::Inconsistent, at("Action"), format!("{name} is missing"));
    }
    Some(MessageKind::Signal(action))
}

/// The table of elements that exclude one another.
pub(super) fn check_together(message: &Message, blocks: &Blocks<'_>, errors: &mut Errors) {
    let severity = message.error_list.as_ref().map(ErrorList::highest_severity);
    let signal = match message.kind {
        MessageKind::Signal(action) => Some(action),
        MessageKind::User => None,
    };
    let is_error = severity == Some(Severity::Error);
    let is_message_error = signal == Some(SignalAction::MessageError);
    let ack_requested = blocks.ack_requested.first().copied();
    let Blocks { error_list, manifest, status_request, status_response, .. } = *blocks;

    let mut exclude = |holds: bool, element: Option<Element<'_>>, with: &str| {
        if let Some(element) = element.filter(|_| holds) {
            errors.push(ErrorCode::Inconsistent, element, format!("must not appear {with}"));
        }
    };
    exclude(is_error, manifest, "with an ErrorList of severity Error");
    exclude(is_error, ack_requested, "with an ErrorList of severity Error");
    exclude(is_message_error && !is_error, ack_requested, "in a MessageError");
    exclude(is_error && !is_message_error, error_list, "with severity Error but in a MessageError");
    exclude(status_request.is_some(), error_list, "with StatusRequest");
    exclude(status_response.is_some() && is_error, error_list, "with StatusResponse and severity Error");
    exclude(status_request.is_some(), status_response, "with StatusRequest");
    // That of an Acknowledgment is for the profile of its sender to judge: some peers tell more in it.
    exclude(signal.is_some_and(|signal| signal != SignalAction::Acknowledgment), manifest, "in a signal");
    exclude(signal != Some(SignalAction::StatusRequest), status_request, "but in a StatusRequest");
    exclude(signal != Some(SignalAction::StatusResponse), status_response, "but in a StatusResponse");
    exclude(signal == Some(SignalAction::Acknowledgment), ack_requested, "in an Acknowledgment");
    exclude(blocks.message_order.is_some(), blocks.sync_reply, "with MessageOrder");
    exclude(signal.is_some(), blocks.message_order, "in a signal");
    check_order(message, blocks, errors);
    check_reference(message, signal, blocks, errors);
}

/// Order is kept only of what is acknowledged, and eliminated when it comes twice (ebMS 2.0, 9).
fn check_order(message: &Message, blocks: &Blocks<'_>, errors: &mut Errors) {
    let Some(order) = blocks.message_order.filter(|_| message.kind == MessageKind::User) else { return };
    if !message.header.duplicate_elimination {
        errors.push(ErrorCode::Inconsistent, order, "MessageOrder demands DuplicateElimination");
    }
    if !message.ack_requested.iter().any(|asked| asked.actor == Actor::ToPartyMsh) {
        errors.push(ErrorCode::Inconsistent, order, "MessageOrder demands AckRequested of the To Party MSH");
    }
}

/// RefToMessageId of signals (digest, 6). A peer that leaves it out of an Acknowledgment still says in that
/// element what it acknowledges (digest, 19.27).
fn check_reference(
    message: &Message,
    signal: Option<SignalAction>,
    blocks: &Blocks<'_>,
    errors: &mut Errors,
) {
    let at = blocks.message_header.child(EB, "MessageData").unwrap_or(blocks.message_header);
    let reference = message.header.data.ref_to_message_id.as_ref();
    match signal {
        Some(SignalAction::Acknowledgment) => {
            let acknowledged = message.acknowledgments.iter().map(|ack| &ack.ref_to_message_id);
            if reference.is_some_and(|reference| acknowledged.into_iter().any(|id| id != reference)) {
                errors.push(ErrorCode::Inconsistent, at, "RefToMessageId is not the acknowledged MessageId");
            }
        }
        Some(SignalAction::MessageError | SignalAction::StatusResponse | SignalAction::Pong)
            if reference.is_none() =>
        {
            errors.push(ErrorCode::Inconsistent, at, "RefToMessageId is missing");
        }
        _ => {}
    }
}
