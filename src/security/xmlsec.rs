//! The second engine: libxmlsec1 behind the interface of our own.
//!
//! Promises the same as [`super::signature`]: what it verifies is the signature that the profile read, reference by
//! reference. Does not read anything for anybody: the tree stays ours.

use super::error::SignatureFault;
use super::keystore::RegisteredCertificate;
use super::signature::Signed;
use crate::ffi::{Part, XmlSec, XmlSecError};

/// Verifies with this certificate's key.
pub(super) fn verify(signed: &Signed<'_>, certificate: &RegisteredCertificate) -> Result<(), SignatureFault> {
    let parts: Vec<Part<'_>> =
        signed.parts.iter().map(|part| (part.content_id.as_str(), part.body.as_ref())).collect();
    let verified = XmlSec::init()
        .and_then(|engine| engine.verify(signed.octets, &parts, &certificate.second))
        .map_err(fault)?;
    let as_read = verified.method == signed.signature.algorithm.uri()
        && verified.references.len() == signed.signature.references.len()
        && verified.references.iter().zip(&signed.signature.references).all(|(verified, read)| {
            verified.uri == *read.uri
                && verified.digest_method == read.method.uri()
                && verified.digest == read.value
        });
    if as_read {
        Ok(())
    } else {
        Err(SignatureFault::Profile("libxmlsec1 verified another signature than was read".to_owned()))
    }
}

fn fault(error: XmlSecError) -> SignatureFault {
    match error {
        XmlSecError::Value => SignatureFault::Value,
        XmlSecError::Digest(uri) => SignatureFault::Digest(uri.into()),
        XmlSecError::UnknownPart(content_id) => {
            SignatureFault::MissingPart(format!("cid:{content_id}").into())
        }
        XmlSecError::TooLarge => SignatureFault::Limit(error.to_string()),
        XmlSecError::Library(_) | XmlSecError::Key(_) => SignatureFault::Engine(error.to_string()),
        XmlSecError::Malformed { .. }
        | XmlSecError::DocumentType
        | XmlSecError::Unsigned
        | XmlSecError::Profile(_)
        | XmlSecError::Refused(_) => SignatureFault::Profile(error.to_string()),
    }
}
