//! Why a message is not let in, and what its sender hears of it.
//!
//! The two must not be mixed: the peer hears little, and strangers hear nothing (digest, 9.3, 19.20); our log keeps
//! all of it (promises-and-threats 2.3).

use crate::codec::envelope::{FaultCode, SoapFault};
use crate::model::{EbxmlError, MessageHeader, PartyKey, SignalAction};

/// A message that is not let in. Nothing of it is used but what stands here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", cause.label())]
pub struct Refusal {
    /// What the peer hears.
    pub answer: RefusalAnswer,
    /// The MessageHeader when it could be read. Not verified: good for an answer and for the log.
    pub header: Option<Box<MessageHeader>>,
    /// The registered party that owns the connection.
    pub party: Option<PartyKey>,
    /// Which rule it broke.
    pub cause: RefusalCause,
    /// The detail, for our log.
    pub text: String,
    /// Somebody should look: forged, altered, or our engines disagree.
    pub alarm: bool,
}

/// What the peer of a refused message hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalAnswer {
    /// A bare HTTP status: to strangers, and to signals that must not be answered (digest, 9.3).
    Http(u16),
    /// A SOAP Fault (digest, 9.5).
    Fault(SoapFault),
    /// A MessageError to the header, which is there.
    Errors(Vec<EbxmlError>),
}

impl Refusal {
    /// A refusal that answers with a SOAP Fault.
    pub(super) fn fault(cause: RefusalCause, code: FaultCode, told: &str, text: String) -> Self {
        let answer = RefusalAnswer::Fault(SoapFault { code, text: told.to_owned() });
        Self { answer, header: None, party: None, cause, text, alarm: false }
    }

    /// A refusal that answers a header with these errors, unless a message like this one is never answered.
    pub(super) fn errors(
        cause: RefusalCause,
        header: &MessageHeader,
        errors: Vec<EbxmlError>,
        text: String,
    ) -> Self {
        let answer = if is_answerable(header) { RefusalAnswer::Errors(errors) } else { TAKEN };
        Self { answer, header: Some(Box::new(header.clone())), party: None, cause, text, alarm: false }
    }

    pub(super) fn with_alarm(self) -> Self {
        Self { alarm: true, ..self }
    }
}

/// Errors never answer what is itself an answer (digest, 9.3): nobody waits for it, and two handlers would go on
/// for ever.
fn is_answerable(header: &MessageHeader) -> bool {
    let signal = header.service.is_msh().then(|| SignalAction::of_action(&header.action)).flatten();
    !matches!(
        signal,
        Some(
            SignalAction::Acknowledgment
                | SignalAction::MessageError
                | SignalAction::StatusResponse
                | SignalAction::Pong
        )
    )
}

/// The HTTP entity was received, which is all that it says (digest, 16).
const TAKEN: RefusalAnswer = RefusalAnswer::Http(202);

/// The rules by which messages are refused, in the order in which they are applied (digest, 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCause {
    /// The TLS certificate is nobody's, or there is none.
    UnknownPeer,
    /// Not a MIME package within the limits.
    Mime,
    /// Not a SOAP envelope within the limits.
    Soap,
    /// Header or body are outside the closed profile of the envelope.
    Envelope,
    /// From is not the party that owns the connection.
    Identity,
    /// CPAId names no agreement with this party that is in force.
    UnknownAgreement,
    /// To is somebody else.
    NotAddressedToUs,
    /// The agreement does not know this Role, Service or Action.
    NotAgreed,
    /// No signature where there must be one.
    Unsigned,
    /// The signature is outside the closed profile, or made by an algorithm that is not agreed.
    SignatureProfile,
    /// The signer's certificate is not registered for this party.
    UnknownSigner,
    /// The signer's certificate is not valid now.
    SignerValidity,
    /// The signature does not verify.
    Signature,
    /// The two engines disagree, or the second one does not work.
    Engine,
    /// Parts, Manifest and signature do not name the same payloads.
    Manifest,
}

impl RefusalCause {
    /// The label in metrics and audit entries.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::UnknownPeer => "unknown-peer",
            Self::Mime => "mime",
            Self::Soap => "soap",
            Self::Envelope => "envelope",
            Self::Identity => "identity",
            Self::UnknownAgreement => "unknown-agreement",
            Self::NotAddressedToUs => "not-addressed-to-us",
            Self::NotAgreed => "not-agreed",
            Self::Unsigned => "unsigned",
            Self::SignatureProfile => "signature-profile",
            Self::UnknownSigner => "unknown-signer",
            Self::SignerValidity => "signer-validity",
            Self::Signature => "signature",
            Self::Engine => "engine",
            Self::Manifest => "manifest",
        }
    }
}
