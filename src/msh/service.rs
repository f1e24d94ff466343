//! What handlers ask of each other about themselves: Ping, and the message status service (ebMS 2.0, 7 and 8;
//! digest, 12 and 13), and a message that tests the way.
//!
//! Nothing reliable rests on the first two: neither asks for an acknowledgment, is repeated, or is remembered.

use super::acknowledgment::answer;
use super::compose::{Posting, compose, service_to_send};
use crate::model::{
    Agreement, ConversationId, Delivery, DeliveryState, Message, MessageData, MessageHeader, MessageId,
    MessageKind, MessageOrder, MessageStatus, PartyRef, Service, SignalAction, StatusBody, StatusResponse,
    StoredMessage, SyncReplyMode, Timestamp,
};

/// A Ping to the partner of an agreement (8.1).
#[must_use]
pub fn ping(
    agreement: &Agreement,
    message_id: MessageId,
    conversation_id: ConversationId,
    now: Timestamp,
) -> Message {
    question(agreement, SignalAction::Ping, message_id, conversation_id, now)
}

/// The Pong that answers a Ping with this header (8.2).
#[must_use]
pub fn pong(header: &MessageHeader, own: &PartyRef, message_id: MessageId, now: Timestamp) -> Message {
    answer(header, own, SignalAction::Pong, message_id, now)
}

/// A StatusRequest about a message that we sent to the partner of an agreement (7.1).
#[must_use]
pub fn status_request(
    agreement: &Agreement,
    message_id: MessageId,
    conversation_id: ConversationId,
    about: MessageId,
    now: Timestamp,
) -> Message {
    let question = question(agreement, SignalAction::StatusRequest, message_id, conversation_id, now);
    Message { status: Some(StatusBody::Asked(about)), ..question }
}

/// Service and Action of a user message that tests the way to a partner: it has no payload, is signed, kept and
/// acknowledged like any user message, and is handed to nobody. The agreement names it like any Action.
pub const TEST: (&str, &str) = ("Test", "Test");

/// A message that tests the way to the partner of an agreement, in a conversation of its own.
#[must_use]
pub fn test_message(
    agreement: &Agreement,
    message_id: MessageId,
    conversation_id: ConversationId,
    now: Timestamp,
) -> Message {
    let (service, action) = TEST;
    let posting = Posting {
        message_id,
        conversation_id,
        ref_to_message_id: None,
        service: service_to_send(agreement, service, action),
        action: action.into(),
        timestamp: now,
        time_to_live: now.plus(agreement.reliability.time_to_live),
        order: agreement.reliability.message_order.then_some(MessageOrder::BEGIN),
    };
    compose(agreement, posting, Vec::new())
}

/// Whether a user message does nothing but test the way.
#[must_use]
pub fn is_test(message: &Message) -> bool {
    let header = &message.header;
    let named = (&*header.service.value, &*header.action) == TEST;
    named && message.kind == MessageKind::User && message.payloads.is_empty()
}

/// The StatusResponse that answers a StatusRequest with this header (7.1).
#[must_use]
pub fn status_response(
    header: &MessageHeader,
    own: &PartyRef,
    message_id: MessageId,
    told: StatusResponse,
    now: Timestamp,
) -> Message {
    let signal = answer(header, own, SignalAction::StatusResponse, message_id, now);
    Message { status: Some(StatusBody::Told(told)), ..signal }
}

/// What a party hears about a message that it asks for (7.1.3; digest, 12). `known` is what is stored under the asking
/// party's own key: only who sent a message hears of it, and the same is said of a message of somebody else as of one
/// that nobody ever sent. Who cannot show that the question is its own is `UnAuthorized`, whatever it asks about.
///
/// `Processed` means accepted into its pipeline. A message that was refused or quarantined is stored and was handed to
/// nobody: `Received`.
#[must_use]
pub fn status_of(about: &MessageId, known: Option<&StoredMessage>, entitled: bool) -> StatusResponse {
    let status = match known.filter(|_| entitled) {
        _ if !entitled => MessageStatus::UnAuthorized,
        None => MessageStatus::NotRecognized,
        Some(stored) if stored.accepted && !stored.quarantined && !stored.held => MessageStatus::Processed,
        Some(_) => MessageStatus::Received,
    };
    let received_at = known.map(|stored| stored.received_at);
    let timestamp = received_at.filter(|_| status.has_time());
    StatusResponse { status, ref_to_message_id: about.clone(), timestamp }
}

/// What its sender hears about a message for another party: `Forwarded` once the next MSH has taken it (7.1.3; digest, 12).
#[must_use]
pub fn status_of_passed_on(delivery: &Delivery) -> StatusResponse {
    let status = match delivery.state {
        DeliveryState::Delivered => MessageStatus::Forwarded,
        _ => MessageStatus::Received,
    };
    let (ref_to_message_id, timestamp) = (delivery.message_id.clone(), Some(delivery.created_at));
    StatusResponse { status, ref_to_message_id, timestamp }
}

/// A signal that asks something; its answer comes back as the agreement has signals come back.
fn question(
    agreement: &Agreement,
    action: SignalAction,
    message_id: MessageId,
    conversation_id: ConversationId,
    now: Timestamp,
) -> Message {
    Message {
        header: MessageHeader {
            from: agreement.own(),
            to: agreement.partner(),
            cpa_id: agreement.cpa_id.clone(),
            conversation_id,
            service: Service::msh(),
            action: action.as_str().into(),
            data: MessageData { message_id, timestamp: now, ref_to_message_id: None, time_to_live: None },
            duplicate_elimination: false,
            descriptions: Vec::new(),
        },
        kind: MessageKind::Signal(action),
        sync_reply: agreement.sync_reply_mode != SyncReplyMode::None,
        order: None,
        ack_requested: Vec::new(),
        acknowledgments: Vec::new(),
        error_list: None,
        status: None,
        manifest: None,
        payloads: Vec::new(),
        references: Vec::new(),
    }
}
