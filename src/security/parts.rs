//! The parts beside the envelope: which of them the Manifest names and the signature covers, which are dropped, and which
//! refuse the message (digest, 7; S11).
//!
//! Promises: a payload is named, once, and signed where the message is; nothing is dropped of what is signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::open::{Covered, mime_problem, security_failure};
use super::refusal::{Refusal, RefusalCause};
use super::signature::Part;
use crate::codec::envelope::Envelope;
use crate::codec::mime::{MimePart, PartName};
use crate::model::{
    Agreement, ContentId, Deviation, Digest, DigestReference, EbxmlError, ErrorCode, Message, MessageKind,
    Payload,
};

/// Whether a signal's parts and its Manifest are dropped: they are no part of a signal, and some peers tell more in them.
/// What is signed is never dropped.
pub(super) fn drops_parts(
    envelope: &Envelope,
    parts: &[MimePart],
    agreement: &Agreement,
    deviations: &mut BTreeSet<Deviation>,
) -> Result<bool, Refusal> {
    let message = &envelope.message;
    let has_manifest = message.manifest.is_some();
    if message.kind == MessageKind::User || parts.is_empty() && !has_manifest {
        return Ok(false);
    }
    if envelope.signature.is_none() && agreement.profile.allows(Deviation::SignalParts) {
        deviations.insert(Deviation::SignalParts);
        return Ok(true);
    }
    if has_manifest {
        let told = "must not appear in a signal";
        let error = EbxmlError::new(ErrorCode::Inconsistent, MANIFEST.to_owned(), told);
        let text = format!("Inconsistent at {MANIFEST}: {told}");
        return Err(Refusal::errors(RefusalCause::Envelope, &message.header, vec![error], text));
    }
    Ok(false)
}

/// The parts beside the envelope, each of which can be named, and by a name of its own. One without a name is dropped
/// where parts that the Manifest does not name are.
pub(super) fn parts_of(
    parts: Vec<MimePart>,
    envelope: &Envelope,
    agreement: &Agreement,
    deviations: &mut BTreeSet<Deviation>,
) -> Result<Vec<Part>, Refusal> {
    let header = &envelope.message.header;
    let is_unsigned = envelope.signature.is_none() && envelope.message.kind == MessageKind::User;
    let may_be_dropped = is_unsigned && agreement.profile.allows(Deviation::UnreferencedParts);
    let (mut known, mut named) = (BTreeSet::new(), Vec::new());
    for part in parts {
        match Part::of(part) {
            Some(part) if known.insert(part.known_as.clone()) => named.push(part),
            Some(_) => {
                let told = "the Content-Location of a part is another's Content-ID";
                return Err(mime_problem(header, None, told));
            }
            None if may_be_dropped => {
                deviations.insert(Deviation::UnreferencedParts);
            }
            None => {
                let told = "a part without a Content-ID or Content-Location of its own";
                return Err(mime_problem(header, None, told));
            }
        }
    }
    Ok(named)
}

/// The payloads in the order of the Manifest: every entry has its part, every part its entry and its signature
/// (digest, 7; S11). Two entries for one part are one payload. Each with the URI that names it.
pub(super) fn payloads(
    message: &Message,
    parts: Vec<Part>,
    covered: &Option<Covered>,
    agreement: &Agreement,
    deviations: &mut BTreeSet<Deviation>,
) -> Result<Vec<(Arc<str>, Payload)>, Refusal> {
    let header = &message.header;
    let unsigned = covered.is_none() && deviations.contains(&Deviation::UnsignedMessages);
    let mut payloads = Vec::new();
    let mut named = vec![false; parts.len()];
    for reference in message.manifest.iter().flat_map(|manifest| &manifest.references) {
        let href = &*reference.href;
        if is_of_another_message(href) && agreement.profile.allows(Deviation::MidReferences) {
            deviations.insert(Deviation::MidReferences);
            continue;
        }
        let name = PartName::of_uri(href)
            .ok_or_else(|| mime_problem(header, Some(href), "the reference is to no part of the message"))?;
        if matches!(name, PartName::Location(_)) {
            if !agreement.profile.allows(Deviation::ContentLocation) {
                return Err(mime_problem(header, Some(href), "the reference is to no part of the message"));
            }
            deviations.insert(Deviation::ContentLocation);
        }
        let Some(at) = parts.iter().position(|part| part.is(&name)) else {
            return Err(mime_problem(header, Some(href), "the message has no such part"));
        };
        if std::mem::replace(&mut named[at], true) {
            continue;
        }
        let part = &parts[at];
        let is_signed =
            covered.as_ref().is_some_and(|covered| covered.parts.iter().any(|name| part.is(name)));
        if !is_signed && !unsigned {
            let text = format!("the part {} is not signed", part.known_as);
            return Err(security_failure(RefusalCause::Manifest, header, href, text).with_alarm());
        }
        let payload = Payload {
            digest: part.body.digest(),
            content_id: part.known_as.clone(),
            media_type: part.media_type.clone(),
            role: reference.role.clone(),
            body: part.body.clone(),
        };
        payloads.push((reference.href.clone(), payload));
    }
    match parts.iter().zip(named).find(|(_, named)| !named) {
        None => Ok(payloads),
        Some(_) if unsigned && agreement.profile.allows(Deviation::UnreferencedParts) => {
            deviations.insert(Deviation::UnreferencedParts);
            Ok(payloads)
        }
        Some((part, _)) => {
            let at = part.content_id.as_ref().map_or_else(|| part.known_as.to_string(), ContentId::uri);
            Err(mime_problem(header, Some(&at), "the Manifest does not name this part"))
        }
    }
}

/// Whether a URI names another message, or a part of one (RFC 2392).
fn is_of_another_message(href: &str) -> bool {
    href.trim_ascii().split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("mid"))
}

/// A digest over the digests that a message has of itself, and over its parts as they are: whether the Manifest names
/// them, and what of them is signed, is for the To Party to see.
pub(super) fn content_of(references: &[DigestReference], parts: &[Part]) -> Digest {
    let mut hasher = openssl::sha::Sha256::new();
    let mut add = |name: &str, value: &[u8]| {
        for octets in [name.as_bytes(), value] {
            hasher.update(&(octets.len() as u64).to_be_bytes());
            hasher.update(octets);
        }
    };
    references.iter().for_each(|reference| add(&reference.uri, &reference.value));
    let in_order: BTreeMap<_, _> = parts.iter().map(|part| (part.known_as.as_str(), &part.body)).collect();
    in_order.into_iter().for_each(|(name, body)| add(name, &body.digest().0));
    Digest(hasher.finish())
}

const MANIFEST: &str = "/soap:Envelope/soap:Body/eb:Manifest";
