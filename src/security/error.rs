//! What is wrong with a signature, a key, a message to be sealed, or a stored payload.
//!
//! A vocabulary for our log; what a peer hears of it is decided by [`super::Refusal`].

use std::sync::Arc;

use crate::codec::xml::XmlError;
use crate::model::{ContentId, PartyKey, Unreadable};

/// Why a signature does not prove what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// Outside the closed profile; nothing was computed.
    #[error("the signature is outside the profile: {0}")]
    Profile(String),
    /// SignedInfo was not signed with this key.
    #[error("the signature value is not of this key and SignedInfo")]
    Value,
    /// What this reference names is not what was signed.
    #[error("the digest of {0:?} is not the signed one")]
    Digest(Arc<str>),
    /// A reference names a part that is not there.
    #[error("no part is there for {0:?}")]
    MissingPart(Arc<str>),
    /// An element that the signature leaves out stands where it could steer something.
    #[error("{0} is left out of the signature but stands where only signed content may")]
    Uncovered(String),
    /// One engine verifies what the other refuses.
    #[error("the engines disagree: own {own}, xmlsec {xmlsec}")]
    Disagreement {
        /// What our own engine says.
        own: String,
        /// What libxmlsec1 says.
        xmlsec: String,
    },
    /// Past a bound of the second engine, which is asked because the settings say so.
    #[error("past a bound of the second engine: {0}")]
    Limit(String),
    /// The second engine could not be asked.
    #[error("the second engine cannot be asked: {0}")]
    Engine(String),
    /// A part that is filed cannot be read.
    #[error("a part cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
}

/// A certificate or key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A file that cannot be read.
    #[error("{file} cannot be read: {why}")]
    File {
        /// Which one.
        file: String,
        /// What the system says.
        why: String,
    },
    /// Octets that are no certificate or key.
    #[error("{whose}: expected {expected}")]
    NotA {
        /// Whose it should be.
        whose: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A key outside the profile.
    #[error("{whose}: a signing key is RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519, found {found}")]
    Algorithm {
        /// Whose it is.
        whose: String,
        /// What it is.
        found: String,
    },
    /// A certificate that says that it is not for signing.
    #[error("{whose}: the certificate's key usage allows neither digitalSignature nor nonRepudiation")]
    Usage {
        /// Whose it is.
        whose: String,
    },
    /// A key and a certificate that do not belong together.
    #[error("{whose}: the private key is not that of the certificate")]
    Pair {
        /// Whose they are.
        whose: String,
    },
    /// One certificate for two parties.
    #[error("the certificate {fingerprint} is registered for both {first} and {second}")]
    Shared {
        /// SHA-256 of its DER octets.
        fingerprint: String,
        /// The one party.
        first: PartyKey,
        /// The other one.
        second: PartyKey,
    },
}

/// Why a message of ours cannot be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// OpenSSL could not sign.
    #[error("the message cannot be signed: {0}")]
    Sign(String),
    /// What was encoded does not read back: it is larger than we would accept ourselves.
    #[error("the encoded envelope does not read back: {0}")]
    Envelope(#[from] XmlError),
    /// The envelope has no place for a signature.
    #[error("the encoded envelope has no place for its signature")]
    Place,
    /// The Manifest does not name this payload.
    #[error("the Manifest does not name the payload {0}")]
    Manifest(ContentId),
    /// There is no key of ours for the algorithm that the agreement names.
    #[error("there is no signing key for {0}")]
    NoKey(&'static str),
    /// A payload that is filed cannot be read.
    #[error("a payload cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
}

/// Why a payload of a stored message is not handed out (P12).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The stored octets are no package any more.
    #[error("the stored message does not read back: {0}")]
    Package(String),
    /// It has no such part.
    #[error("the stored message has no part {0}")]
    Missing(ContentId),
    /// Its octets are other ones than those that were accepted.
    #[error("the part {0} has another digest than the one that was accepted")]
    Digest(ContentId),
}
