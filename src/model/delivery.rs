//! Deliveries: one message owed to one destination, and the octets that go over the wire.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CaseId, ContentId, ConversationId, CpaId, DeliveryId, Digest, DigestReference, DocumentCode, LegalHold,
    MessageHeader, MessageId, MessageKey, MessageOrder, Octets, PartyKey, Purged, Realm, ReceivedPart,
    Service, Timestamp,
};

/// One message owed to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name; follows from the message that caused it, so that a replay cannot make a second one.
    pub id: DeliveryId,
    /// Whether it is a rehearsal, as its case is.
    #[serde(default, skip_serializing_if = "Realm::is_production")]
    pub realm: Realm,
    /// The case it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// What it is for.
    pub purpose: DeliveryPurpose,
    /// The registered party that gets it.
    pub destination: PartyKey,
    /// CPAId of the message.
    pub cpa_id: CpaId,
    /// MessageId of the message: the same for every attempt.
    pub message_id: MessageId,
    /// ConversationId of the message.
    pub conversation_id: ConversationId,
    /// RefToMessageId of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_to_message_id: Option<MessageId>,
    /// Service of the message.
    pub service: Service,
    /// Action of the message.
    pub action: Arc<str>,
    /// What it carries, in Manifest order.
    pub parts: Vec<Part>,
    /// When it came into being: the Timestamp of the message.
    pub created_at: Timestamp,
    /// TimeToLive of the message.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// Transmissions begun so far.
    pub attempts: u32,
    /// Earliest instant of its next event: first sending, resend, or end.
    pub due: Timestamp,
    /// Its octets have been made and stored.
    pub sealed: bool,
    /// It is never posted: it waits in the mailbox of its destination until it is collected and confirmed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mailbox: bool,
    /// MessageOrder of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<MessageOrder>,
    /// How often it was sent anew after its end, because somebody asked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: u32,
    /// Attempts in which for certain nothing left.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unsent: u32,
    /// Why it stands where it stands, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What keeps its octets from being purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<LegalHold>,
    /// Its octets and its receipt were purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<Purged>,
}

impl Delivery {
    /// The message of this party that it passes on, or that asked for it.
    #[must_use]
    pub fn caused_by(&self, party: &PartyKey) -> Option<&MessageKey> {
        self.parts.iter().find_map(|part| match &part.source {
            PartSource::Received { message, .. } | PartSource::Cancellation { asked_by: message, .. } => {
                Some(message).filter(|message| message.sender == *party)
            }
            PartSource::Made(_) => None,
        })
    }

    /// Whether its destination may have it although nothing proves it: its octets have gone out for a receipt.
    #[must_use]
    pub const fn may_have_arrived(&self) -> bool {
        let is_handed_on = !matches!(self.purpose, DeliveryPurpose::Transit { .. });
        is_handed_on && (self.attempts > self.unsent || self.mailbox && self.sealed)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What a delivery is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DeliveryPurpose {
    /// The import declaration, to customs.
    Declaration,
    /// A requirement application, to its agency; `index` counts the applications of the case.
    Application {
        /// Place in [`Case::applications`](super::Case::applications).
        index: usize,
    },
    /// A request to cancel an application, to its agency; `index` counts the applications of the case.
    Cancellation {
        /// Place in [`Case::applications`](super::Case::applications).
        index: usize,
    },
    /// A document of one party, passed on to another.
    Relay,
    /// A status report of our own: a join event or what is missing.
    StatusReport,
    /// A service notice of the operator.
    Announcement,
    /// What is wrong with a document that was refused (R20), to whoever sent it.
    ValidationReport,
    /// What the bank said of a payment order (XF3).
    PaymentConfirmation,
    /// A message of one party for another, passed on as it came: we are only on its way.
    Transit {
        /// Who sent it.
        from: PartyKey,
        /// Its sender asked for an acknowledgment, and hears when it cannot be passed on.
        acknowledged: bool,
        /// What a repeat shares with it. None in what was stored before there was any: only the octets tell then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Digest>,
    },
    /// A signal that travels by itself (asynchronous Acknowledgment or MessageError).
    Signal,
}

/// States of a delivery (docs/states.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// To be sent when due.
    Pending,
    /// An attempt was begun; leaves by a verified acknowledgment or error, or when `due` passes.
    AwaitingAcknowledgment,
    /// Kept back by an operator.
    Held,
    /// A verified acknowledgment names it and its digests.
    Delivered,
    /// The destination refused it.
    Rejected,
    /// Its time to live or its retries are spent.
    Expired,
    /// Cannot be sent as it is; needs an operator.
    Quarantined,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::AwaitingAcknowledgment,
        Self::Held,
        Self::Delivered,
        Self::Rejected,
        Self::Expired,
        Self::Quarantined,
    ];

    /// Those in which something more happens.
    pub const OPEN: [Self; 3] = [Self::Pending, Self::AwaitingAcknowledgment, Self::Held];

    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Rejected | Self::Expired | Self::Quarantined)
    }

    /// The name in the store, on the command line and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::AwaitingAcknowledgment => "awaiting_acknowledgment",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A payload that a delivery will carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Content-ID it will have.
    pub content_id: ContentId,
    /// Content-Type.
    pub media_type: Arc<str>,
    /// `xlink:role`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
    /// Where its octets are.
    pub source: PartSource,
}

/// Where the octets of a [`Part`] come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartSource {
    /// A payload of a message that we received; forwarded octet for octet (P6).
    Received {
        /// The message.
        message: MessageKey,
        /// The payload in it.
        content_id: ContentId,
        /// Its digest when it was accepted.
        digest: Digest,
    },
    /// A document that the gateway made itself.
    Made(Arc<str>),
    /// An application as we received it, turned into the request to cancel it: nothing in it is of our invention.
    Cancellation {
        /// The application.
        of: ReceivedPart,
        /// The message that this follows from.
        asked_by: MessageKey,
        /// When the broker wanted it.
        issued_at: Timestamp,
        /// Why, in the words that the broker gave.
        reason: Arc<str>,
        /// The items to cancel; none are all.
        items: Vec<u16>,
    },
}

impl PartSource {
    /// The received message whose body it needs.
    #[must_use]
    pub const fn message(&self) -> Option<&MessageKey> {
        match self {
            Self::Received { message, .. } => Some(message),
            Self::Cancellation { of, .. } => Some(&of.message),
            Self::Made(_) => None,
        }
    }
}

/// A message as it goes over the wire: sealed once, sent as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// HTTP Content-Type.
    pub content_type: Arc<str>,
    /// HTTP entity.
    pub body: Octets,
    /// What its signature covers; an acknowledgment must repeat it.
    pub references: Vec<DigestReference>,
}

/// A received message that was authenticated: accepted, or refused with a stored answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// The duplicate key.
    pub key: MessageKey,
    /// Whether it is a rehearsal.
    #[serde(default, skip_serializing_if = "Realm::is_production")]
    pub realm: Realm,
    /// Its header.
    pub header: MessageHeader,
    /// When it was received.
    pub received_at: Timestamp,
    /// What a repeat shares with it ([`Message::content_digest`](super::Message::content_digest)).
    pub content_digest: Digest,
    /// Whether it was accepted; refused otherwise.
    pub accepted: bool,
    /// Accepted, but steered nowhere: no rule knows its envelope.
    #[serde(default)]
    pub quarantined: bool,
    /// Accepted, and not handed on yet: messages of its conversation that come before it are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Its MessageOrder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<MessageOrder>,
    /// The case it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// HTTP Content-Type it came with.
    pub content_type: Arc<str>,
    /// Why it was refused or quarantined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// An answer is kept with it, for its repeats (P3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// The kinds of documents in it, by its Manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<DocumentCode>,
    /// What keeps its octets from being purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<LegalHold>,
    /// Its octets and its answer were purged: what is left is this record, and its duplicate key with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<Purged>,
}

/// What came of one attempt to transmit, sorted at the border: accepted, again, give up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The peer took the HTTP entity; the acknowledgment comes, or came, as a message.
    Taken,
    /// The peer took the HTTP entity, and answered with what is no message to us: enough where no acknowledgment is
    /// asked for, and nothing where one is (digest, 16).
    Unclear {
        /// What it answered.
        reason: String,
    },
    /// An HTTP server answered that has no place for messages there: a redirect, or a 4xx that another attempt does not
    /// mend. A configuration fault, here or there: worth another attempt where somebody counts on the message, and the
    /// end of what is sent once (digest, 16).
    Unserved {
        /// What it answered.
        reason: String,
    },
    /// Worth another attempt: no connection, a timeout, or 5xx.
    Again {
        /// What happened.
        reason: String,
        /// Something that an operator should look at.
        alarm: bool,
        /// Nothing of it left: there was no connection to a peer that we know.
        unsent: bool,
    },
    /// The peer will not take this message as it is.
    GiveUp {
        /// What it said.
        reason: String,
    },
}

impl AttemptOutcome {
    /// Whether the peer has the message, as far as can be told: where a receipt is awaited, an answer that is no message
    /// tells nothing.
    #[must_use]
    pub const fn is_taken(&self, awaits_receipt: bool) -> bool {
        match self {
            Self::Taken => true,
            Self::Unclear { .. } => !awaits_receipt,
            Self::Unserved { .. } | Self::Again { .. } | Self::GiveUp { .. } => false,
        }
    }
}
