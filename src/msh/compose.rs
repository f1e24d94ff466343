//! A user message as the agreement wants it: parties, reliable messaging, SyncReply, Manifest (ebMS 2.0, 3, 6).

use std::sync::Arc;

use crate::model::{
    AckRequested, Actor, Agreement, ConversationId, Direction, Manifest, Message, MessageData, MessageHeader,
    MessageId, MessageKind, MessageOrder, Payload, Presence, Reference, Service, SyncReplyMode, Timestamp,
};

/// What the header of a user message says besides what the agreement settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// MessageId.
    pub message_id: MessageId,
    /// ConversationId.
    pub conversation_id: ConversationId,
    /// RefToMessageId.
    pub ref_to_message_id: Option<MessageId>,
    /// Service.
    pub service: Service,
    /// Action.
    pub action: Arc<str>,
    /// Timestamp.
    pub timestamp: Timestamp,
    /// TimeToLive.
    pub time_to_live: Timestamp,
    /// MessageOrder.
    pub order: Option<MessageOrder>,
}

/// The message that posts these payloads, in this order, under the agreement.
#[must_use]
pub fn compose(agreement: &Agreement, posting: Posting, payloads: Vec<Payload>) -> Message {
    let reference = |payload: &Payload| Reference {
        href: payload.content_id.uri().into(),
        role: payload.role.clone(),
        schemas: Vec::new(),
        description: None,
    };
    let manifest = Manifest { references: payloads.iter().map(reference).collect() };
    let reliability = &agreement.reliability;
    let ack = AckRequested { actor: Actor::ToPartyMsh, signed: reliability.ack_signed };
    Message {
        header: MessageHeader {
            from: agreement.own(),
            to: agreement.partner(),
            cpa_id: agreement.cpa_id.clone(),
            conversation_id: posting.conversation_id,
            service: posting.service,
            action: posting.action,
            data: MessageData {
                message_id: posting.message_id,
                timestamp: posting.timestamp,
                ref_to_message_id: posting.ref_to_message_id,
                time_to_live: Some(posting.time_to_live),
            },
            duplicate_elimination: reliability.duplicate_elimination != Presence::Never,
            descriptions: Vec::new(),
        },
        kind: MessageKind::User,
        sync_reply: agreement.sync_reply_mode != SyncReplyMode::None,
        order: posting.order,
        ack_requested: (reliability.ack_requested != Presence::Never).then_some(ack).into_iter().collect(),
        acknowledgments: Vec::new(),
        error_list: None,
        status: None,
        manifest: (!payloads.is_empty()).then_some(manifest),
        payloads,
        references: Vec::new(),
    }
}

/// The Service as the agreement spells it for a message of ours, with its `type`.
#[must_use]
pub fn service_to_send(agreement: &Agreement, service: &str, action: &str) -> Service {
    let bound = agreement
        .actions
        .iter()
        .find(|b| b.direction == Direction::Send && *b.service == *service && *b.action == *action);
    Service { value: service.into(), kind: bound.and_then(|binding| binding.service_type.clone()) }
}
