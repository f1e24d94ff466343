//! A decided message to the octets that go over the wire: encode, sign, pack (P4: sealed once, sent as stored).
//!
//! Promises: what is sealed here opens at a partner that registered our certificate; payload octets go in as they
//! are (P6), their digests are not computed again.

use std::sync::Arc;

use super::error::{PayloadError, SealError};
use super::keystore::Signer;
use super::signature::{Cover, payload_reference, sign};
use crate::codec::envelope::encode_envelope;
use crate::codec::mime::{MimeLimits, content_id_of_uri, pack, unpack};
use crate::model::{ContentId, Digest, Message, Octets, Payload, Sealed};

/// Makes the octets of a message, signed by `signer` where there is one.
///
/// # Errors
/// [`SealError`] when it cannot be signed.
pub fn seal(message: &Message, signer: Option<Signer<'_>>) -> Result<Sealed, SealError> {
    let envelope = encode_envelope(message);
    let (text, references) = match signer {
        Some(signer) => {
            let payloads =
                message.payloads.iter().map(|p| payload_reference(uri_of(message, p)?, p, &signer));
            let payloads = payloads.collect::<Result<Vec<_>, SealError>>()?;
            // The filter would leave out the very Acknowledgment (ebMS 2.0, 10.1.4).
            let cover = if message.is_receipt_of_hop() { Cover::Whole } else { Cover::WithoutNextMsh };
            sign(&envelope.text, envelope.signature_at, payloads, &signer, cover)?
        }
        None => (envelope.text, Vec::new()),
    };
    let seed = message.header.data.message_id.as_str();
    let (content_type, body) = pack(text, &message.payloads, seed)?;
    Ok(Sealed { content_type, body, references })
}

/// A payload of a stored message, once more, octet for octet (P6), when it still has its digest (P12).
///
/// # Errors
/// [`PayloadError`] when the stored octets are not those that were accepted.
pub fn payload_of(
    content_type: &str,
    body: &Octets,
    content_id: &ContentId,
    digest: &Digest,
) -> Result<Octets, PayloadError> {
    let package = unpack(content_type, body, &MimeLimits::default())
        .map_err(|error| PayloadError::Package(error.to_string()))?;
    let part = package.parts.into_iter().find(|part| part.known_as().as_ref() == Some(content_id));
    let body = part.ok_or_else(|| PayloadError::Missing(content_id.clone()))?.body;
    if body.digest() == *digest { Ok(body) } else { Err(PayloadError::Digest(content_id.clone())) }
}

/// The URI of a payload as the Manifest writes it, which is how the signature should (digest, 8.1).
fn uri_of(message: &Message, payload: &Payload) -> Result<Arc<str>, SealError> {
    let references = message.manifest.iter().flat_map(|manifest| &manifest.references);
    references
        .map(|reference| &reference.href)
        .find(|href| content_id_of_uri(href).as_ref() == Some(&payload.content_id))
        .cloned()
        .ok_or_else(|| SealError::Manifest(payload.content_id.clone()))
}
