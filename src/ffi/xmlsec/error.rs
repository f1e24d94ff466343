//! Why libxmlsec1 did not sign or verify.

use super::super::libxml2::ParseFault;
use super::ENVELOPE_BYTES_MAX;

/// Why libxmlsec1 did not sign or verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlSecError {
    /// The library itself cannot be used.
    #[error("libxmlsec1 cannot be used: {0}")]
    Library(&'static str),
    /// Over [`ENVELOPE_BYTES_MAX`].
    #[error("the envelope is larger than {ENVELOPE_BYTES_MAX} octets")]
    TooLarge,
    /// Not well-formed XML with namespaces, or without a canonical form.
    #[error("the envelope is not XML, line {line}: {message}")]
    Malformed {
        /// Line, from 1; 0 when unknown.
        line: u32,
        /// What libxml2 says.
        message: String,
    },
    /// A document type declaration.
    #[error("the envelope has a document type declaration")]
    DocumentType,
    /// No `ds:Signature` directly in `soap:Header`.
    #[error("no Signature in the SOAP Header")]
    Unsigned,
    /// A signature that is not computed at all.
    #[error("the signature is outside the profile: {0}")]
    Profile(String),
    /// A reference to a part that is not there.
    #[error("no part has the Content-ID {0:?}")]
    UnknownPart(String),
    /// Octets that are no key.
    #[error("not a {0} key in DER")]
    Key(&'static str),
    /// The octets of this reference are not those that were signed.
    #[error("the digest of {0:?} is not the signed one")]
    Digest(String),
    /// SignedInfo was not signed with this key.
    #[error("the signature value is not of this key and SignedInfo")]
    Value,
    /// libxmlsec1 gave up, and said this.
    #[error("libxmlsec1 refused: {}", .0.join("; "))]
    Refused(Vec<String>),
}

impl From<ParseFault> for XmlSecError {
    fn from(fault: ParseFault) -> Self {
        match fault {
            ParseFault::TooLarge => Self::TooLarge,
            ParseFault::Malformed(fault) => Self::Malformed { line: fault.line, message: fault.message },
            ParseFault::DocumentType => Self::DocumentType,
        }
    }
}
