//! Our own engine: verifies and makes `ds:Signature` over an envelope and its payloads (ebMS 2.0, 4.1.3).
//!
//! Promises: one pass of Canonical XML over the tree that is read afterwards (P7), each payload digested once, and
//! the signature value checked before any of it, but for what was filed and digested as it came in; every element
//! that is left out of the digest stands where unsigned content may stand (digest, 8.5). [`Engine`] chooses who
//! does the hashing.

use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use openssl::hash::{Hasher, MessageDigest, hash};

use super::actor_filter::ActorFilter;
use super::error::{SealError, SignatureFault};
use super::keystore::{RegisteredCertificate, Signer};
use super::profile::{DSIG, SOAP, Signature, Target};
use super::xmlsec;
use crate::codec::canonical::canonicalize;
use crate::codec::envelope::encode_reference;
use crate::codec::mime::{MimePart, PartName};
use crate::codec::xml::{Element, Encoding, XmlLimits, XmlTree, XmlWriter};
use crate::ffi::XML_PART_BYTES_MAX;
use crate::model::{
    Canonicalization, ContentId, Digest, DigestMethod, DigestReference, Octets, Payload, Transform,
};

/// Who verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Our own engine.
    #[default]
    Own,
    /// libxmlsec1; what is read must be what it hashed.
    Xmlsec,
    /// Both; disagreement is a refusal and an alarm.
    Both,
}

/// A message whose signature is to be verified.
pub(super) struct Signed<'a> {
    /// The envelope as it is read.
    pub(super) tree: &'a XmlTree,
    /// The envelope as it came.
    pub(super) octets: &'a [u8],
    /// Its signature, within the profile.
    pub(super) signature: &'a Signature<'a>,
    /// The other parts.
    pub(super) parts: &'a [Part],
}

/// A part of a message, digested at most once.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What it is known by once it is a payload: its Content-ID, else its Content-Location.
    pub(super) known_as: ContentId,
    /// Its Content-ID.
    pub(super) content_id: Option<ContentId>,
    /// Its Content-Location.
    pub(super) location: Option<Arc<str>>,
    pub(super) media_type: Arc<str>,
    pub(super) body: Octets,
}

impl Part {
    /// The part, when anything can name it.
    pub(super) fn of(part: MimePart) -> Option<Self> {
        let known_as = part.known_as()?;
        let MimePart { content_id, content_location: location, media_type, body, .. } = part;
        Some(Self { known_as, content_id, location, media_type, body })
    }

    /// Whether this is what the name names.
    pub(super) fn is(&self, name: &PartName) -> bool {
        match name {
            PartName::ContentId(id) => self.content_id.as_ref() == Some(id),
            PartName::Location(location) => self.location.as_ref() == Some(location),
        }
    }
}

impl Signed<'_> {
    /// Verifies with this certificate's key.
    pub(super) fn verify(
        &self,
        engine: Engine,
        certificate: &RegisteredCertificate,
    ) -> Result<(), SignatureFault> {
        self.check_names()?;
        // A key of another kind made no signature of this algorithm, whoever is asked.
        if !certificate.key.fits(self.signature.algorithm) {
            return Err(SignatureFault::Value);
        }
        let own = || verify(self, certificate);
        let second = || xmlsec::verify(self, certificate);
        match engine {
            Engine::Own => own(),
            // libxml2 parsed for itself: only when our tree has the digest that it verified, it is the same content.
            Engine::Xmlsec => second().and_then(|()| self.check_digests()),
            Engine::Both => match own() {
                // Who cannot sign does not get as far as libxml2, and neither does what our narrower profile refuses: a
                // payload with a processing instruction, for one.
                Err(fault @ (SignatureFault::Value | SignatureFault::Profile(_))) => Err(fault),
                own => match (own, second()) {
                    (Ok(()), Ok(())) => Ok(()),
                    (_, Err(fault @ (SignatureFault::Engine(_) | SignatureFault::Limit(_)))) => Err(fault),
                    (Err(fault), Err(_)) => Err(fault),
                    (own, second) => {
                        Err(SignatureFault::Disagreement { own: verdict(&own), xmlsec: verdict(&second) })
                    }
                },
            },
        }
    }

    /// A location names a part of this message, and nothing else ever (S5); no part is named twice, also not by two
    /// names (S11).
    fn check_names(&self) -> Result<(), SignatureFault> {
        let mut named = vec![false; self.parts.len()];
        for target in &self.signature.targets {
            let Target::Part(name) = target else { continue };
            match (self.parts.iter().position(|part| part.is(name)), name) {
                (Some(at), _) if std::mem::replace(&mut named[at], true) => {
                    return Err(SignatureFault::Profile("two References to one part".to_owned()));
                }
                (None, PartName::Location(location)) => {
                    let what = format!("a reference to {location:?}, which is not one part of the message");
                    return Err(SignatureFault::Profile(what));
                }
                // A Content-ID that is missing is told when the digests are compared.
                (Some(_), _) | (None, PartName::ContentId(_)) => {}
            }
        }
        Ok(())
    }

    /// Every part that is signed in canonical form is XML within our bounds, before libxml2 sees it (S6, S8).
    pub(super) fn check_transformed(&self) -> Result<(), SignatureFault> {
        for (target, reference) in self.signature.targets.iter().zip(&self.signature.references) {
            if let Target::Part(name) = target
                && payload_form(reference).is_some()
                && let Some(part) = self.parts.iter().find(|part| part.is(name))
            {
                payload_tree(&part.body)?;
            }
        }
        Ok(())
    }

    /// Every reference has the digest of what it names.
    fn check_digests(&self) -> Result<(), SignatureFault> {
        for (target, reference) in self.signature.targets.iter().zip(&self.signature.references) {
            let digest = match target {
                Target::Envelope => digest_of(reference.method, &self.covered_envelope()?)?,
                Target::Part(name) => {
                    let part = self.parts.iter().find(|part| part.is(name));
                    let part = part.ok_or_else(|| SignatureFault::MissingPart(reference.uri.clone()))?;
                    match (payload_form(reference), reference.method) {
                        (Some(form), method) => digest_of(method, &canonical_payload(form, &part.body)?)?,
                        (None, method) => digest_of_part(method, &part.body)?,
                    }
                }
            };
            let same =
                digest.len() == reference.value.len() && openssl::memcmp::eq(&digest, &reference.value);
            if !same {
                return Err(SignatureFault::Digest(reference.uri.clone()));
            }
        }
        Ok(())
    }

    fn covered_envelope(&self) -> Result<Vec<u8>, SignatureFault> {
        let (octets, left_out) = envelope_octets(self.tree.root(), self.signature);
        if left_out.len() > LEFT_OUT_MAX {
            return Err(SignatureFault::Profile("too many elements for the next actor".to_owned()));
        }
        match left_out.into_iter().find(|element| !may_be_unsigned(*element)) {
            Some(element) => Err(SignatureFault::Uncovered(element.path())),
            None => Ok(octets),
        }
    }
}

/// The octets of an envelope that its signature's digest is of, and the elements that its filter leaves out of them.
pub(super) fn envelope_octets<'a>(
    root: Element<'a>,
    signature: &Signature<'_>,
) -> (Vec<u8>, Vec<Element<'a>>) {
    let (own, filter) = (signature.element.id(), signature.filter);
    let of_envelope = signature.references.iter().find(|reference| reference.uri.is_empty());
    let form = of_envelope.and_then(payload_form).unwrap_or(Canonicalization::Xml10);
    let left_out = RefCell::new(Vec::new());
    let octets = canonicalize(form, root, &|element| {
        let excluded = filter.is_some_and(|filter| filter.excludes(element));
        if excluded {
            left_out.borrow_mut().push(element);
        }
        excluded || element.id() == own
    });
    (octets, left_out.into_inner())
}

/// What a message without signature is known by, and what a signed receipt for it repeats: the references that one of
/// ours would have, computed over the message as it came (ebMS 2.0, 6.3.2.5; digest, 8.4; P3).
pub(super) fn references_of_unsigned(
    root: Element<'_>,
    payloads: &[(Arc<str>, Payload)],
) -> Vec<DigestReference> {
    let sha256 = |uri: &Arc<str>, transforms, digest: Digest| DigestReference {
        uri: uri.clone(),
        transforms,
        method: DigestMethod::Sha256,
        value: digest.0.to_vec(),
    };
    let envelope =
        canonicalize(Canonicalization::Xml10, root, &|element| ActorFilter::OURS.excludes(element));
    let transforms = Cover::WithoutNextMsh.transforms(Canonicalization::Xml10);
    let of_envelope = sha256(&"".into(), transforms, Digest::of(&envelope));
    let of_payloads = payloads.iter().map(|(uri, payload)| sha256(uri, Vec::new(), payload.digest));
    std::iter::once(of_envelope).chain(of_payloads).collect()
}

/// What of an envelope a signature of ours covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// All but what is for the next MSH or SOAP's next node (ebMS 2.0, 4.1.3).
    WithoutNextMsh,
    /// All of it (ebMS 2.0, 10.1.4).
    Whole,
}

impl Cover {
    /// The transforms of an envelope reference of ours.
    fn transforms(self, form: Canonicalization) -> Vec<Transform> {
        match self {
            Self::WithoutNextMsh => {
                vec![Transform::EnvelopedSignature, Transform::ActorFilter, form.transform()]
            }
            Self::Whole => vec![Transform::EnvelopedSignature, form.transform()],
        }
    }

    fn leaves_out(self, element: Element<'_>) -> bool {
        self == Self::WithoutNextMsh && ActorFilter::OURS.excludes(element)
    }
}

/// The canonicalization among the transforms of a reference; the last one, where there is one.
pub(super) fn payload_form(reference: &DigestReference) -> Option<Canonicalization> {
    reference.transforms.last().and_then(|transform| Canonicalization::of_transform(*transform))
}

/// The canonical form of an XML payload, which some sign in the place of its octets.
pub(super) fn canonical_payload(form: Canonicalization, body: &Octets) -> Result<Vec<u8>, SignatureFault> {
    Ok(canonicalize(form, payload_tree(body)?.root(), &|_| false))
}

/// An XML payload that is signed in canonical form. That form leaves out comments and says nothing of the encoding,
/// while the octets are handed on as they came: what two readers could take for two documents is refused (P6, P7).
fn payload_tree(body: &Octets) -> Result<XmlTree, SignatureFault> {
    let limits = XmlLimits { bytes_max: XML_PART_BYTES_MAX, ..XmlLimits::DOCUMENT };
    let outside = |what: String| Err(SignatureFault::Profile(format!("a payload with a transform: {what}")));
    if body.bytes() > limits.bytes_max as u64 {
        return outside(format!("more than {} octets", limits.bytes_max));
    }
    match XmlTree::parse(body.read(limits.bytes_max)?, &limits) {
        Err(error) => outside(error.to_string()),
        Ok(tree) if tree.has_comment() => outside("a comment, which is not signed".to_owned()),
        Ok(tree) if tree.encoding() == Encoding::Utf16 => outside("UTF-16, expected UTF-8".to_owned()),
        Ok(tree) => Ok(tree),
    }
}

/// The digest of octets.
pub(super) fn digest_of(method: DigestMethod, octets: &[u8]) -> Result<Vec<u8>, SignatureFault> {
    match hash(algorithm(method), octets) {
        Ok(digest) => Ok(digest.to_vec()),
        Err(error) => Err(SignatureFault::Profile(format!("{}: {error}", method.uri()))),
    }
}

fn algorithm(method: DigestMethod) -> MessageDigest {
    match method {
        DigestMethod::Sha256 => MessageDigest::sha256(),
        DigestMethod::Sha384 => MessageDigest::sha384(),
        DigestMethod::Sha512 => MessageDigest::sha512(),
        DigestMethod::Sha1 => MessageDigest::sha1(),
    }
}

/// The digest of a part, which is read in chunks where it is filed.
pub(super) fn digest_of_part(method: DigestMethod, part: &Octets) -> Result<Vec<u8>, SignatureFault> {
    if method == DigestMethod::Sha256 {
        return Ok(part.digest().0.to_vec());
    }
    if let Some(octets) = part.as_held() {
        return digest_of(method, octets);
    }
    let failed = |error| SignatureFault::Profile(format!("{}: {error}", method.uri()));
    let mut hasher = Hasher::new(algorithm(method)).map_err(failed)?;
    for chunk in part.checked() {
        hasher.update(&chunk?).map_err(failed)?;
    }
    Ok(hasher.finish().map_err(failed)?.to_vec())
}

/// SignatureValue first: whoever cannot sign makes us digest SignedInfo alone.
fn verify(signed: &Signed<'_>, certificate: &RegisteredCertificate) -> Result<(), SignatureFault> {
    let signature = signed.signature;
    let signed_info = canonicalize(signature.canonicalization, signature.signed_info, &|_| false);
    if !certificate.key.verifies(signature.algorithm, &signed_info, &signature.value) {
        return Err(SignatureFault::Value);
    }
    signed.check_digests()
}

/// The reference to a payload of ours, by the URI that its Manifest has.
pub(super) fn payload_reference(
    uri: Arc<str>,
    payload: &Payload,
    signer: &Signer<'_>,
) -> Result<DigestReference, SealError> {
    let terms = signer.terms;
    let failed = |fault: SignatureFault| SealError::Sign(fault.to_string());
    // What has no canonical form within our bounds was accepted all the same: it is signed by its octets.
    let canonical = (terms.payload_transforms && payload.is_xml())
        .then(|| canonical_payload(terms.canonicalization, &payload.body).ok());
    if let Some(octets) = canonical.flatten() {
        let value = digest_of(terms.digest, &octets).map_err(failed)?;
        let transforms = vec![terms.canonicalization.transform()];
        return Ok(DigestReference { uri, transforms, method: terms.digest, value });
    }
    let value = digest_of_part(terms.digest, &payload.body).map_err(failed)?;
    Ok(DigestReference { uri, transforms: Vec::new(), method: terms.digest, value })
}

/// Signs an envelope and payloads: the envelope's text with the `ds:Signature` at `at`, which is a place directly in
/// its SOAP header, and what the signature covers.
pub(super) fn sign(
    text: &str,
    at: usize,
    payloads: Vec<DigestReference>,
    signer: &Signer<'_>,
    cover: Cover,
) -> Result<(String, Vec<DigestReference>), SealError> {
    let terms = signer.terms;
    let form = terms.canonicalization;
    let transforms = cover.transforms(form);
    let unknown = vec![0; terms.digest.octets()];
    let mut references =
        vec![DigestReference { uri: "".into(), transforms, method: terms.digest, value: unknown }];
    references.extend(payloads);

    // One parse serves both digests: the envelope's own has a fixed length, so its place is kept open until it is
    // known. The same place in canonical form is found by the tag, which no value can hold.
    let (signature, open) = encode(&references, signer);
    let (before, after) = text.split_at_checked(at).ok_or(SealError::Place)?;
    let mut text = [before, &signature, after].concat();
    let tree = XmlTree::parse(Bytes::from(text.clone()), &XmlLimits::ENVELOPE)?;
    let element = tree.root().child(SOAP, "Header").and_then(|header| header.child(DSIG, "Signature"));
    let element = element.ok_or(SealError::Place)?;
    let signed_info = element.child(DSIG, "SignedInfo").ok_or(SealError::Place)?;
    let envelope = canonicalize(form, tree.root(), &|e| e.id() == element.id() || cover.leaves_out(e));
    let digest = digest_of(terms.digest, &envelope).map_err(|fault| SealError::Sign(fault.to_string()))?;
    let encoded = STANDARD.encode(&digest);
    let mut octets = canonicalize(form, signed_info, &|_| false);
    let place = memchr::memmem::find(&octets, DIGEST_VALUE).ok_or(SealError::Place)? + DIGEST_VALUE.len();
    octets.splice(place..place + encoded.len(), encoded.bytes());
    let value = STANDARD.encode(signer.sign(&octets)?);

    // From the back, so that the first place stays where it is.
    text.insert_str(at + open.value, &value);
    text.replace_range(at + open.digest..at + open.digest + encoded.len(), &encoded);
    if let Some(first) = references.first_mut() {
        first.value = digest;
    }
    Ok((text, references))
}

/// Where a `ds:Signature` waits for what is not known yet.
struct Open {
    /// The envelope's DigestValue, filled with a digest of zeros.
    digest: usize,
    /// The SignatureValue, empty.
    value: usize,
}

fn encode(references: &[DigestReference], signer: &Signer<'_>) -> (String, Open) {
    let mut writer = XmlWriter::fragment();
    writer.open("ds:Signature").attribute("xmlns:ds", DSIG).open("ds:SignedInfo");
    let algorithms = [
        ("ds:CanonicalizationMethod", signer.terms.canonicalization.uri()),
        ("ds:SignatureMethod", signer.terms.algorithm.uri()),
    ];
    for (name, uri) in algorithms {
        writer.open(name).attribute("Algorithm", uri).close(name);
    }
    for reference in references {
        encode_reference(&mut writer, reference);
    }
    writer.close("ds:SignedInfo").open("ds:SignatureValue");
    let value = writer.position();
    writer.text("").close("ds:SignatureValue").open("ds:KeyInfo").open("ds:X509Data");
    writer.leaf("ds:X509Certificate", signer.key.certificate_base64());
    writer.close("ds:X509Data").close("ds:KeyInfo").close("ds:Signature");
    let text = writer.finish();
    let digest = text.find("<ds:DigestValue>").map_or(0, |at| at + DIGEST_VALUE.len());
    (text, Open { digest, value })
}

/// A header block that an intermediary may add or take away (digest, 8.5): it reaches no one's decision.
pub(super) fn may_be_unsigned(element: Element<'_>) -> bool {
    const UNSIGNED_BLOCKS: [&str; 3] = ["SyncReply", "AckRequested", "Acknowledgment"];
    let in_header = element.parent().is_some_and(|parent| parent.is(SOAP, "Header"));
    match element.name() {
        (EBMS, local) => in_header && UNSIGNED_BLOCKS.contains(&local),
        (SOAP | DSIG, _) => false,
        _ => in_header,
    }
}

fn verdict(outcome: &Result<(), SignatureFault>) -> String {
    match outcome {
        Ok(()) => "verifies".to_owned(),
        Err(fault) => fault.to_string(),
    }
}

/// Elements that a signature may leave out: what libxmlsec1 can do in good time, so that both engines agree.
const LEFT_OUT_MAX: usize = 64;
const DIGEST_VALUE: &[u8] = b"<ds:DigestValue>";
const EBMS: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";

#[cfg(test)]
mod tests;
