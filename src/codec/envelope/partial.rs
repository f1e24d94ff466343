//! What can be read of a MessageHeader that breaks a rule: its message is refused, and still answered (digest, 9.5).

use std::sync::Arc;

use crate::model::{
    ConversationId, CpaId, MessageData, MessageHeader, MessageId, PartyId, PartyRef, Service, Timestamp,
};

/// A MessageHeader with what could be read of it. Without MessageId there is none: an error message must name the
/// message in error (ebMS 2.0, 3.1.6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialHeader {
    pub(super) from: Option<PartyRef>,
    pub(super) to: Option<PartyRef>,
    pub(super) cpa_id: Option<CpaId>,
    pub(super) conversation_id: Option<ConversationId>,
    pub(super) service: Option<Service>,
    pub(super) action: Option<Arc<str>>,
    pub(super) data: PartialData,
    pub(super) duplicate_elimination: bool,
    pub(super) descriptions: Vec<(Arc<str>, Arc<str>)>,
}

/// The same of MessageData.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartialData {
    pub(super) message_id: MessageId,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) ref_to_message_id: Option<MessageId>,
    pub(super) time_to_live: Option<Timestamp>,
}

/// What an answer says where the header that it answers cannot be read: what the connection proves, and what is agreed
/// with who owns it.
#[derive(Clone, Debug)]
pub struct Supplied {
    /// The PartyIds of the party that owns the connection.
    pub from: Vec<PartyId>,
    /// Ours.
    pub to: Vec<PartyId>,
    /// The CPAId of an agreement with that party.
    pub cpa_id: Option<CpaId>,
    /// When it came.
    pub received_at: Timestamp,
}

impl PartialHeader {
    /// The header, when everything that must be there could be read.
    #[must_use]
    pub fn whole(self) -> Option<MessageHeader> {
        let PartialData { message_id, timestamp, ref_to_message_id, time_to_live } = self.data;
        Some(MessageHeader {
            from: self.from?,
            to: self.to?,
            cpa_id: self.cpa_id?,
            conversation_id: self.conversation_id?,
            service: self.service?,
            action: self.action?,
            data: MessageData { message_id, timestamp: timestamp?, ref_to_message_id, time_to_live },
            duplicate_elimination: self.duplicate_elimination,
            descriptions: self.descriptions,
        })
    }

    /// The header that an answer goes back to, unless no CPAId is known: what could not be read of it is as supplied, a
    /// conversation that nobody can name is named by its message, and Service and Action, which no answer repeats, are
    /// empty.
    #[must_use]
    pub fn completed(self, supplied: Supplied) -> Option<MessageHeader> {
        let party = |ids| PartyRef { ids, role: None };
        let of_message = || ConversationId::new(self.data.message_id.as_str()).ok();
        let conversation_id = self.conversation_id.clone().or_else(of_message);
        let data = PartialData { timestamp: self.data.timestamp.or(Some(supplied.received_at)), ..self.data };
        let completed = Self {
            from: self.from.or_else(|| Some(party(supplied.from))),
            to: self.to.or_else(|| Some(party(supplied.to))),
            cpa_id: self.cpa_id.or(supplied.cpa_id),
            conversation_id,
            service: self.service.or_else(|| Some(Service { value: "".into(), kind: None })),
            action: self.action.or_else(|| Some("".into())),
            data,
            duplicate_elimination: self.duplicate_elimination,
            descriptions: self.descriptions,
        };
        completed.whole()
    }
}
