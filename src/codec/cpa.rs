//! CPA documents (CPPA 2.0): what two parties agree on, as partners hand it around.
//!
//! Promises: a document that breaks the schema, leads a reference nowhere, or contradicts itself is told with every
//! finding and read not at all; what is written here can be read here.
//!
//! Does not know which of the two parties we are, nor what of it this gateway does: see `config::cpa`. Process
//! specifications, signatures and XML encryption are let through unread, and of packaging all but its references (digest,
//! 17).

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{CpaId, PartyId, Presence, Role, Service, Timestamp};

pub use read::read_cpa;
pub use write::{ChannelOverride, ChannelTerms, CpaTerms, PartyTerms, write_cpa};

/// Namespace of CPPA 2.0; every element and attribute of its own is in it.
const TP: &str = "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd";

/// A CPA whose references all lead somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpa {
    /// `cpaid`: the CPAId of every message under it.
    pub id: CpaId,
    /// How far the agreement has come.
    pub status: CpaStatus,
    /// In force from this instant on.
    pub start: Timestamp,
    /// In force until just before this instant.
    pub end: Timestamp,
    /// The two PartyInfos.
    pub parties: [CpaParty; 2],
    /// Where its Signature stands; nothing verifies it.
    pub signature: Option<Place>,
    /// Where its ConversationConstraints stand; nothing keeps them.
    pub constraints: Option<Place>,
}

/// How far an agreement has come: only what is agreed or signed binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpaStatus {
    /// Still being negotiated.
    Proposed,
    /// Agreed.
    Agreed,
    /// Agreed, and the document itself is signed.
    Signed,
}

/// Where something stands in the document, for findings about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Path of the element.
    pub path: String,
}

/// One PartyInfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpaParty {
    /// `partyName`.
    pub name: Arc<str>,
    /// Its PartyIds.
    pub ids: Vec<PartyId>,
    /// The Roles that it acts in.
    pub roles: Vec<CollaborationRole>,
    /// DER octets of its certificates by `certId`.
    pub certificates: BTreeMap<Arc<str>, Vec<u8>>,
    /// Its channels by `channelId`, with what they refer to.
    pub channels: BTreeMap<Arc<str>, DeliveryChannel>,
    /// The channel of signals.
    pub signal_channel: Arc<str>,
    /// Signals that it takes over channels of their own.
    pub overrides: Vec<SignalChannel>,
    /// Where its first SecurityDetails stand, which say whom it trusts; nothing is trusted by them.
    pub trusts: Option<Place>,
    /// Where it stands.
    pub place: Place,
}

/// OverrideMshActionBinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalChannel {
    /// The Action of the signal.
    pub action: Arc<str>,
    /// `channelId`.
    pub channel: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// A Role, a Service and the Actions of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollaborationRole {
    /// The Role.
    pub role: Role,
    /// The Service.
    pub service: Service,
    /// The Actions, those nested in others too.
    pub bindings: Vec<CpaBinding>,
    /// Where it stands.
    pub place: Place,
}

/// An Action that the party sends or receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpaBinding {
    /// `id`.
    pub id: Arc<str>,
    /// The party sends it; it receives it otherwise.
    pub sends: bool,
    /// Action.
    pub action: Arc<str>,
    /// It stands in another one: it comes back on the same connection.
    pub nested: bool,
    /// The binding of the other party that it meets.
    pub other: Option<Arc<str>>,
    /// Its channels, in order of preference; at least one.
    pub channels: Vec<Arc<str>>,
    /// `isNonRepudiationRequired`: the message is signed.
    pub signed: Option<bool>,
    /// `isNonRepudiationReceiptRequired`: the Acknowledgment is signed.
    pub receipt_signed: Option<bool>,
    /// `isConfidential` is `persistent`, alone or not: the message itself is encrypted.
    pub confidential: bool,
    /// What else is asked of the business process, by the name of its attribute.
    pub of_process: Vec<&'static str>,
    /// Where it stands.
    pub place: Place,
}

/// MessagingCharacteristics, Transport and DocExchange of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryChannel {
    /// `syncReplyMode` as written; `none` when it is not.
    pub sync_reply_mode: Arc<str>,
    /// AckRequested.
    pub ack_requested: Presence,
    /// Whether the Acknowledgment is signed.
    pub ack_signature_requested: Presence,
    /// DuplicateElimination.
    pub duplicate_elimination: Presence,
    /// Who acknowledges; the To Party MSH when nothing is said.
    pub actor: Option<Arc<str>>,
    /// How octets travel.
    pub transport: CpaTransport,
    /// How messages are kept and signed.
    pub exchange: DocExchange,
    /// Where it stands.
    pub place: Place,
}

/// A Transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpaTransport {
    /// `certId` of the certificate it connects with.
    pub client_certificate: Option<Arc<str>>,
    /// `certId` of the certificate it answers with.
    pub server_certificate: Option<Arc<str>>,
    /// URL and `type` of each Endpoint.
    pub endpoints: Vec<(Arc<str>, Arc<str>)>,
    /// It asks for HTTP authentication.
    pub http_authentication: bool,
    /// The protocol that messages come in by.
    pub protocol: Option<Arc<str>>,
    /// How either end of it is secured.
    pub security: Vec<CpaTls>,
    /// Where it stands.
    pub place: Place,
}

/// TransportClientSecurity or TransportServerSecurity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpaTls {
    /// TransportSecurityProtocol, such as `TLS`.
    pub protocol: Arc<str>,
    /// Its `version`.
    pub version: Option<Arc<str>>,
    /// It names EncryptionAlgorithms.
    pub ciphers: bool,
    /// Where it stands.
    pub place: Place,
}

/// A DocExchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocExchange {
    /// What holds for messages that the party sends.
    pub sender: Option<CpaMessaging>,
    /// What holds for messages that it receives.
    pub receiver: Option<CpaMessaging>,
}

/// ebXMLSenderBinding or ebXMLReceiverBinding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpaMessaging {
    /// Retries.
    pub retries: Option<u32>,
    /// RetryInterval.
    pub retry_interval: Option<Duration>,
    /// MessageOrderSemantics is `Guaranteed`.
    pub ordered: bool,
    /// PersistDuration.
    pub persist_duration: Option<Duration>,
    /// SenderNonRepudiation or ReceiverNonRepudiation.
    pub signature: Option<CpaSignature>,
    /// It has a digital envelope: payloads are encrypted.
    pub encrypted: bool,
    /// Where it stands.
    pub place: Place,
}

/// What signatures are made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpaSignature {
    /// URI of the digest.
    pub hash: Arc<str>,
    /// URIs of the signature, in order of preference.
    pub algorithms: Vec<Arc<str>>,
    /// `certId` of the certificate it signs with; a receiver names none.
    pub certificate: Option<Arc<str>>,
}

impl CpaParty {
    /// The certificate of this `certId`, DER.
    #[must_use]
    pub fn certificate(&self, cert_id: &str) -> Option<&[u8]> {
        self.certificates.get(cert_id).map(Vec::as_slice)
    }
}
