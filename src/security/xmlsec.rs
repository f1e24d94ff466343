//! The second engine: libxmlsec1 behind the interface of our own.
//!
//! Promises the same as [`super::signature`]: what it verifies is the signature that the profile read, reference by
//! reference. Does not read anything for anybody: the tree stays ours.
//!
//! Does not know RSA-PSS and Ed25519, which libxmlsec1 1.2.37 lacks, and is not asked about SHA-1 or about parts by
//! their Content-Location: settings that need either are refused when they are read ([`own_engine_only`]), and a
//! message that needs what it does not know is refused as past its bounds.

use bytes::Bytes;

use super::error::SignatureFault;
use super::keystore::RegisteredCertificate;
use super::profile::{Signature, Target};
use super::signature::Signed;
use crate::codec::mime::PartName;
use crate::ffi::{Part, XmlSec, XmlSecError};
use crate::model::{
    ContentId, Deviation, DigestMethod, PartnerProfile, SignatureAlgorithm, SignatureTerms, Timestamp,
};

/// Verifies with this certificate's key.
pub(super) fn verify(signed: &Signed<'_>, certificate: &RegisteredCertificate) -> Result<(), SignatureFault> {
    if let Some(what) = unknown(signed.signature) {
        return Err(SignatureFault::Limit(what.to_owned()));
    }
    signed.check_transformed()?;
    let parts = in_memory(signed)?;
    let parts: Vec<Part<'_>> = parts.iter().map(|(id, body)| (id.as_str(), body.as_ref())).collect();
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

/// The parts that can be named, all of them in memory, where libxmlsec1 reads them.
fn in_memory<'a>(signed: &Signed<'a>) -> Result<Vec<(&'a ContentId, Bytes)>, SignatureFault> {
    let with_id = signed.parts.iter().filter_map(|part| Some((part.content_id.as_ref()?, &part.body)));
    let mut room = PARTS_BYTES_MAX;
    let read = with_id.map(|(id, body)| {
        let is_held = body.as_held().is_some();
        if !is_held && body.bytes() > room as u64 {
            return Err(SignatureFault::Limit(format!("more than {PARTS_BYTES_MAX} octets in filed parts")));
        }
        let octets = body.read(usize::MAX)?;
        room -= if is_held { 0 } else { octets.len() };
        Ok((id, octets))
    });
    read.collect()
}

/// What an agreement accepts from `now` on that only our own engine verifies.
pub fn own_engine_only(
    terms: &SignatureTerms,
    profile: &PartnerProfile,
    now: Timestamp,
) -> Vec<&'static str> {
    let algorithms = terms.accepted.iter().filter(|algorithm| !knows(**algorithm));
    let algorithms = algorithms.map(|algorithm| algorithm.as_str());
    let sha1 = terms.sha1_until.filter(|until| now < *until).map(|_| "sha1_until");
    let location = profile.allows(Deviation::ContentLocation).then_some("content-location");
    algorithms.chain(sha1).chain(location).collect()
}

/// Whether libxmlsec1 is asked about it.
const fn knows(algorithm: SignatureAlgorithm) -> bool {
    use SignatureAlgorithm as A;
    match algorithm {
        A::RsaSha256 | A::RsaSha384 | A::RsaSha512 | A::EcdsaSha256 | A::EcdsaSha384 | A::EcdsaSha512 => true,
        A::RsaPssSha256 | A::RsaPssSha384 | A::RsaPssSha512 | A::Ed25519 | A::RsaSha1 => false,
    }
}

/// What in a signature it does not know.
fn unknown(signature: &Signature<'_>) -> Option<&'static str> {
    if !knows(signature.algorithm) {
        return Some(signature.algorithm.uri());
    }
    let sha1 = signature.references.iter().find(|reference| reference.method == DigestMethod::Sha1);
    let by_location = |target: &Target| matches!(target, Target::Part(PartName::Location(_)));
    sha1.map(|reference| reference.method.uri())
        .or_else(|| signature.targets.iter().any(by_location).then_some("a part by its Content-Location"))
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

/// Octets of parts that were filed and are read into memory for libxmlsec1.
const PARTS_BYTES_MAX: usize = 20 * 1024 * 1024;
