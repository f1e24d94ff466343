//! StatusRequest and StatusResponse (ebMS 2.0, 7.2 and 7.3).

use super::super::xml::Element;
use super::read::{optional, required, value};
use super::{EB, Errors};
use crate::model::{ErrorCode, MessageStatus, StatusBody, StatusResponse};

/// StatusRequest.
pub(super) fn request(element: Element<'_>, errors: &mut Errors) -> Option<StatusBody> {
    required(element, "RefToMessageId", errors).and_then(|e| value(e, errors)).map(StatusBody::Asked)
}

/// StatusResponse. A time beside a status that knows of no message is passed over: it says nothing.
pub(super) fn response(element: Element<'_>, errors: &mut Errors) -> Option<StatusBody> {
    let ref_to_message_id = required(element, "RefToMessageId", errors).and_then(|e| value(e, errors));
    let timestamp = optional(element, "Timestamp", errors).and_then(|e| value(e, errors));
    let status = element.attribute(EB, "messageStatus").map(str::trim_ascii);
    let status = status.and_then(MessageStatus::of_text);
    if status.is_none() {
        errors.push(ErrorCode::OtherXml, element, "eb:messageStatus is none that ebMS 2.0 knows");
    }
    let status = status?;
    let timestamp = timestamp.filter(|_| status.has_time());
    Some(StatusBody::Told(StatusResponse { status, ref_to_message_id: ref_to_message_id?, timestamp }))
}
