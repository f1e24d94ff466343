//! A whole ebMS message: header, signals, Manifest and payloads.

use std::sync::Arc;

use super::{
    AckRequested, Acknowledgment, Actor, ContentId, Digest, DigestReference, ErrorList, Manifest,
    MessageHeader, MessageOrder, Octets, SignalAction, StatusBody, SyncReplyMode,
};

/// An ebMS 2.0 message, decoded from the wire or about to be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// MessageHeader.
    pub header: MessageHeader,
    /// Signal or user message (digest, section 5).
    pub kind: MessageKind,
    /// SyncReply is present.
    pub sync_reply: bool,
    /// MessageOrder.
    pub order: Option<MessageOrder>,
    /// AckRequested elements, at most one for each actor.
    pub ack_requested: Vec<AckRequested>,
    /// Acknowledgment elements, stand-alone or piggybacked.
    pub acknowledgments: Vec<Acknowledgment>,
    /// ErrorList.
    pub error_list: Option<ErrorList>,
    /// Manifest.
    pub manifest: Option<Manifest>,
    /// StatusRequest or StatusResponse.
    pub status: Option<StatusBody>,
    /// Payloads in Manifest order.
    pub payloads: Vec<Payload>,
    /// The `ds:Reference`s that its signature covers, in order; empty when it is not signed.
    pub references: Vec<DigestReference>,
}

impl Message {
    /// Whether it is the Acknowledgment of a hop, and nothing else (ebMS 2.0, 10.1.4).
    #[must_use]
    pub fn is_receipt_of_hop(&self) -> bool {
        matches!(&self.acknowledgments[..], [only] if only.actor == Actor::NextMsh)
            && self.kind == MessageKind::Signal(SignalAction::Acknowledgment)
    }

    /// Whether SyncReply is missing under this syncReplyMode (ebMS 2.0, 4.3.1). A response that came back on the connection
    /// asks for no other one.
    #[must_use]
    pub fn lacks_sync_reply(&self, mode: SyncReplyMode) -> bool {
        let is_response = mode.returns_response() && self.header.data.ref_to_message_id.is_some();
        self.kind == MessageKind::User && mode != SyncReplyMode::None && !self.sync_reply && !is_response
    }

    /// What a repeat of this message shares with it and nothing else does (P3): a digest over what its signature
    /// covers, and over the payloads as they are where that covers less: their canonical form, or nothing of them.
    #[must_use]
    pub fn content_digest(&self, signed: bool) -> Digest {
        let mut hasher = openssl::sha::Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        for reference in &self.references {
            part(reference.uri.as_bytes());
            part(&reference.value);
        }
        if self.references.is_empty() {
            part(format!("{:?}{:?}{:?}", self.header, self.error_list, self.acknowledgments).as_bytes());
            part(format!("{:?}{:?}", self.status, self.order).as_bytes());
        }
        let of_octets =
            |reference: &DigestReference| reference.uri.is_empty() || reference.transforms.is_empty();
        if !signed || !self.references.iter().all(of_octets) {
            for payload in &self.payloads {
                part(payload.content_id.as_str().as_bytes());
                part(payload.media_type.as_bytes());
                part(&payload.digest.0);
            }
        }
        Digest(hasher.finish())
    }
}

/// What a message is, decided by Service and Action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A message with a business Service.
    User,
    /// A message of the MSH itself.
    Signal(SignalAction),
}

/// A payload: one MIME part that the Manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its Content-ID.
    pub content_id: ContentId,
    /// Content-Type without parameters, lower case.
    pub media_type: Arc<str>,
    /// `xlink:role` of its Reference.
    pub role: Option<Arc<str>>,
    /// Its octets after transfer decoding: a view of the received body where the encoding is identity.
    pub body: Octets,
    /// SHA-256 of `body`.
    pub digest: Digest,
}

impl Payload {
    /// Whether its media type is one of XML (RFC 7303).
    #[must_use]
    pub fn is_xml(&self) -> bool {
        matches!(&*self.media_type, "application/xml" | "text/xml") || self.media_type.ends_with("+xml")
    }
}
