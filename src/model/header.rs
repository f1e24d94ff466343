//! MessageHeader (ebMS 2.0, 3.1).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ConversationId, CpaId, MessageId, PartyId, Role, Timestamp};

/// MessageHeader: who sends what to whom under which agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHeader {
    /// From.
    pub from: PartyRef,
    /// To.
    pub to: PartyRef,
    /// CPAId.
    pub cpa_id: CpaId,
    /// ConversationId.
    pub conversation_id: ConversationId,
    /// Service.
    pub service: Service,
    /// Action.
    pub action: Arc<str>,
    /// MessageData.
    pub data: MessageData,
    /// DuplicateElimination is present.
    pub duplicate_elimination: bool,
    /// Description texts with their `xml:lang`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descriptions: Vec<(Arc<str>, Arc<str>)>,
}

/// From or To: one organisation under one or more PartyIds, and its Role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyRef {
    /// PartyId, at least one; each `type` at most once.
    pub ids: Vec<PartyId>,
    /// Role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// Service with its optional `type`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    /// The value; a URI when there is no type.
    pub value: Arc<str>,
    /// `type`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Arc<str>>,
}

impl Service {
    /// The Service of every signal (ebMS 2.0, 3.1.4).
    pub const MSH: &'static str = "urn:oasis:names:tc:ebxml-msg:service";

    /// The Service of signals.
    #[must_use]
    pub fn msh() -> Self {
        Self { value: Self::MSH.into(), kind: None }
    }

    /// Whether this Service is reserved for signals.
    #[must_use]
    pub fn is_msh(&self) -> bool {
        self.value.starts_with(Self::MSH)
    }
}

/// MessageData.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageData {
    /// MessageId.
    pub message_id: MessageId,
    /// Timestamp: when the header was made.
    pub timestamp: Timestamp,
    /// RefToMessageId: the earlier message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_to_message_id: Option<MessageId>,
    /// TimeToLive: latest delivery to the To Party MSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<Timestamp>,
}
