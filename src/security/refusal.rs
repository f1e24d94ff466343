//! Why a message is not let in, and what its sender hears of it.
//!
//! The two must not be mixed: the peer hears little, and strangers hear nothing (digest, 9.3, 19.20); our log keeps
//! all of it (promises-and-threats 2.3).

use crate::codec::envelope::{FaultCode, SoapFault};
use crate::model::{EbxmlError, MessageHeader, PartyKey, SignalAction, Unreadable};

/// A message that is not let in. Nothing of it is used but what stands here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", cause.label())]
pub struct Refusal {
    /// What the peer hears.
    pub answer: RefusalAnswer,
    /// The MessageHeader when it names its message; what else of it could not be read is as [`Supplied`] for the answer.
    /// Not verified: good for an answer and for the log.
    ///
    /// [`Supplied`]: crate::codec::envelope::Supplied
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

    /// Of a message that is filed, and cannot be read now: its sender comes again.
    #[must_use]
    pub fn unreadable(fault: &Unreadable) -> Self {
        let told = "the entity cannot be read at this time";
        Self::fault(RefusalCause::Mime, FaultCode::Server, told, fault.to_string())
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
    !signal.is_some_and(SignalAction::is_answer)
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
    /// Posted with another SOAPAction than the binding has.
    SoapAction,
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
    /// The signer's certificate is on a revocation list.
    SignerRevoked,
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
            Self::SoapAction => "soap-action",
            Self::Envelope => "envelope",
            Self::Identity => "identity",
            Self::UnknownAgreement => "unknown-agreement",
            Self::NotAddressedToUs => "not-addressed-to-us",
            Self::NotAgreed => "not-agreed",
            Self::Unsigned => "unsigned",
            Self::SignatureProfile => "signature-profile",
            Self::UnknownSigner => "unknown-signer",
            Self::SignerValidity => "signer-validity",
            Self::SignerRevoked => "signer-revoked",
            Self::Signature => "signature",
            Self::Engine => "engine",
            Self::Manifest => "manifest",
        }
    }

    /// The rule that a message breaks by it, and where the rule stands.
    #[must_use]
    pub const fn rule(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownPeer => ("the TLS certificate is a registered party's", "ebMS 2.0, 4.1.4.3"),
            Self::Mime => ("the entity is one MIME package within the limits", "ebMS 2.0, 2.1; RFC 2387"),
            Self::Soap => ("the root part is one SOAP 1.1 envelope", "ebMS 2.0, 2.2, 2.3; SOAP 1.1, 4"),
            Self::SoapAction => ("SOAPAction is \"ebXML\", in quotes", "ebMS 2.0, B.2.2"),
            Self::Envelope => ("every ebMS element is in its place, once, and valid", "ebMS 2.0, 2.3, 3, 5"),
            Self::Identity => ("From is the party of the connection", "ebMS 2.0, 3.1.1, 4.2.4.1"),
            Self::UnknownAgreement => ("CPAId names an agreement in force", "ebMS 2.0, 3.1.2"),
            Self::NotAddressedToUs => ("To is this party", "ebMS 2.0, 3.1.1"),
            Self::NotAgreed => ("the agreement knows Role, Service and Action", "ebMS 2.0, 3.1.2, 3.1.5"),
            Self::Unsigned => ("a user message is signed", "ebMS 2.0, 4.1"),
            Self::SignatureProfile => ("the signature is as the standard makes it", "ebMS 2.0, 4.1.3"),
            Self::UnknownSigner => ("the signer's certificate is registered", "ebMS 2.0, 4.1.1"),
            Self::SignerValidity => ("the signer's certificate is valid at the time", "ebMS 2.0, 4.1.1"),
            Self::SignerRevoked => ("the signer's certificate is on no revocation list", "ebMS 2.0, 4.1.1"),
            Self::Signature => ("what was signed is what is there", "ebMS 2.0, 4.1.3; XML Signature, 3.2"),
            Self::Engine => ("the signature can be verified within the limits", "XML Signature, 3.2"),
            Self::Manifest => ("Manifest, parts and signature name the same", "ebMS 2.0, 3.2.2, 2.1.4"),
        }
    }
}
