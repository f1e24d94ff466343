//! The closed profile of `ds:Signature`: what a signature must look like before anything of it is computed
//! (promises-and-threats 2.1; digest, 8.3; ebMS 2.0, 4.1.3).
//!
//! Promises: one SignedInfo, SignatureValue and KeyInfo at most; one reference to the envelope with the transforms
//! of the standard and one without transforms for each payload; Canonical XML 1.0, SHA-256, and RSA or ECDSA with
//! SHA-256; no Object, no key retrieval, no HMAC, no comment, no reference to anything outside the message (S2 to
//! S6).
//!
//! A payload with a transform is refused: its octets would not be what was signed, and octets are what is handed
//! on (P6). So is an envelope without the actor filter: nobody needs it, and one profile is enough.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::actor_filter::ActorFilter;
use super::error::SignatureFault;
use crate::codec::mime::content_id_of_uri;
use crate::codec::xml::{Children, Element};
use crate::ffi::REFERENCES_MAX;
use crate::model::{
    ContentId, Digest, DigestMethod, DigestReference, Fingerprint, SignatureAlgorithm, Transform,
};

pub(super) const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A signature within the profile; nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) element: Element<'a>,
    pub(super) signed_info: Element<'a>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) filter: ActorFilter,
    /// As they stand in SignedInfo.
    pub(super) references: Vec<DigestReference>,
    /// The same ones, by what they name.
    pub(super) targets: Vec<(Target, Digest)>,
    pub(super) value: Vec<u8>,
    /// The certificates that KeyInfo carries.
    pub(super) certificates: Vec<Fingerprint>,
}

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Envelope,
    Part(ContentId),
}

impl<'a> Signature<'a> {
    /// Holds a `ds:Signature` against the profile.
    pub(super) fn read(element: Element<'a>) -> Result<Self, SignatureFault> {
        check_place(element)?;
        check_comments(element)?;
        let mut children = structure(element)?;
        let signed_info = expect(children.next(), "SignedInfo")?;
        let value = decoded(expect(children.next(), "SignatureValue")?)?;
        let certificates = match children.next() {
            Some(key_info) => certificates(expect(Some(key_info), "KeyInfo")?)?,
            None => Vec::new(),
        };
        if children.next().is_some() {
            return refuse("more in Signature than SignedInfo, SignatureValue and KeyInfo");
        }

        let mut children = structure(signed_info)?;
        let canonicalization = algorithm(expect(children.next(), "CanonicalizationMethod")?)?;
        if canonicalization != Transform::CanonicalXml.uri() {
            return refuse(&format!("CanonicalizationMethod {canonicalization:?}"));
        }
        let method = algorithm(expect(children.next(), "SignatureMethod")?)?;
        let Some(algorithm) = SignatureAlgorithm::of_uri(method) else {
            return refuse(&format!("SignatureMethod {method:?}"));
        };
        let (mut references, mut targets, mut filter) = (Vec::new(), Vec::new(), None);
        for child in children {
            if references.len() == REFERENCES_MAX {
                return refuse("too many References");
            }
            let read = Reference::read(expect(Some(child), "Reference")?)?;
            if read.filter.is_some() && filter.replace(read.filter).is_some() {
                return refuse("two References to the envelope");
            }
            targets.push((read.target, read.digest));
            references.push(read.reference);
        }
        let Some(filter) = filter.flatten() else { return refuse("no Reference to the envelope") };
        let distinct: BTreeSet<_> = targets.iter().map(|(target, _)| target).collect();
        if distinct.len() != targets.len() {
            return refuse("two References to one part");
        }
        Ok(Self { element, signed_info, algorithm, filter, references, targets, value, certificates })
    }
}

/// The only `ds:Signature` of the document, directly in the SOAP header.
fn check_place(element: Element<'_>) -> Result<(), SignatureFault> {
    let header = element.parent().filter(|parent| parent.is(SOAP, "Header"));
    let envelope = header.and_then(Element::parent).filter(|parent| parent.is(SOAP, "Envelope"));
    let Some(envelope) = envelope.filter(|envelope| envelope.parent().is_none()) else {
        return refuse("a Signature that is not directly in the SOAP Header");
    };
    let signatures = envelope.descendants().filter(|e| e.is(DSIG, "Signature")).count();
    if signatures == 1 { Ok(()) } else { refuse("more than one Signature") }
}

/// Comments are no part of any value here, but readers disagree about what is left when one stands inside (S2, S3):
/// libxmlsec1 refuses what our tree reads whole. Nobody needs one in a signature, so there is none.
fn check_comments(signature: Element<'_>) -> Result<(), SignatureFault> {
    match signature.descendants().find(|element| element.has_own_comment()) {
        None => Ok(()),
        Some(element) => refuse(&format!("a comment in {}", element.name().1)),
    }
}

/// A reference within the profile.
struct Reference {
    reference: DigestReference,
    target: Target,
    digest: Digest,
    /// Of the envelope's.
    filter: Option<ActorFilter>,
}

impl Reference {
    fn read(element: Element<'_>) -> Result<Self, SignatureFault> {
        let Some(uri) = element.attribute("", "URI") else { return refuse("a Reference without URI") };
        let mut children = structure(element)?.peekable();
        let transforms = children.next_if(|child| child.is(DSIG, "Transforms"));
        let (target, filter, transforms) = match (uri, transforms) {
            ("", Some(transforms)) => {
                let (filter, transforms) = envelope_transforms(transforms)?;
                (Target::Envelope, Some(filter), transforms)
            }
            ("", None) => return refuse("a Reference to the envelope without Transforms"),
            (_, Some(_)) => return refuse("a transform of a payload"),
            (cid, None) => (Target::Part(content_id_of(cid)?), None, Vec::new()),
        };
        let method = algorithm(expect(children.next(), "DigestMethod")?)?;
        if method != DigestMethod::Sha256.uri() {
            return refuse(&format!("DigestMethod {method:?}"));
        }
        let value = decoded(expect(children.next(), "DigestValue")?)?;
        if children.next().is_some() {
            return refuse("more in Reference than Transforms, DigestMethod and DigestValue");
        }
        let Ok(digest) = value.as_slice().try_into().map(Digest) else {
            return refuse("a DigestValue that is not of SHA-256");
        };
        let reference = DigestReference { uri: uri.into(), transforms, method: DigestMethod::Sha256, value };
        Ok(Self { reference, target, digest, filter })
    }
}

/// Enveloped-signature, the actor filter, and Canonical XML, which is implied when it is missing.
fn envelope_transforms(element: Element<'_>) -> Result<(ActorFilter, Vec<Transform>), SignatureFault> {
    let mut children = structure(element)?;
    let enveloped = expect(children.next(), "Transform")?;
    if algorithm(enveloped)? != Transform::EnvelopedSignature.uri() {
        return refuse("an envelope reference whose first transform is not enveloped-signature");
    }
    let filter = expect(children.next(), "Transform")?;
    let filter = match (filter.attribute("", "Algorithm"), structure(filter)?.collect::<Vec<_>>().as_slice())
    {
        (Some(algorithm), [xpath])
            if algorithm == Transform::ActorFilter.uri()
                && xpath.is(DSIG, "XPath")
                && xpath.children().next().is_none() =>
        {
            ActorFilter::read(*xpath)
        }
        _ => None,
    };
    let Some(filter) = filter else {
        return refuse("an envelope reference whose second transform is not the XPath of ebMS 2.0, 4.1.3");
    };
    let mut transforms = vec![Transform::EnvelopedSignature, Transform::ActorFilter];
    if let Some(canonicalization) = children.next() {
        if algorithm(expect(Some(canonicalization), "Transform")?)? != Transform::CanonicalXml.uri() {
            return refuse("an envelope reference whose last transform is not Canonical XML 1.0");
        }
        transforms.push(Transform::CanonicalXml);
    }
    if children.next().is_some() {
        refuse("more transforms than the standard's")
    } else {
        Ok((filter, transforms))
    }
}

/// The certificates in KeyInfo. What else may stand there tells nothing that we use, and must not make anyone
/// fetch or decrypt a key.
fn certificates(key_info: Element<'_>) -> Result<Vec<Fingerprint>, SignatureFault> {
    let mut certificates = Vec::new();
    for child in structure(key_info)? {
        if child.is(DSIG, "X509Data") {
            for certificate in child.children().filter(|e| e.is(DSIG, "X509Certificate")) {
                if certificates.len() == CERTIFICATES_MAX {
                    return refuse("too many certificates in KeyInfo");
                }
                certificates.push(Digest::of(&decoded(certificate)?));
            }
        } else if !child.is(DSIG, "KeyName") && !child.is(DSIG, "KeyValue") {
            return refuse("KeyInfo with more than X509Data, KeyName and KeyValue");
        }
    }
    Ok(certificates)
}

/// The Content-ID that the URI of a reference names; without the white space around it that readers forgive
/// elsewhere, so that both engines find the same part.
fn content_id_of(uri: &str) -> Result<ContentId, SignatureFault> {
    match content_id_of_uri(uri).filter(|_| uri.trim() == uri) {
        Some(content_id) => Ok(content_id),
        None => refuse(&format!("a reference to {:?}, which is no part of the message", excerpt(uri))),
    }
}

/// The children of an element that has no text of its own.
fn structure(element: Element<'_>) -> Result<Children<'_>, SignatureFault> {
    if element.has_own_text() {
        refuse(&format!("text in {}", element.name().1))
    } else {
        Ok(element.children())
    }
}

/// The algorithm that a method or transform without parameters names.
fn algorithm(element: Element<'_>) -> Result<&str, SignatureFault> {
    if structure(element)?.next().is_some() {
        return refuse(&format!("a parameter in {}", element.name().1));
    }
    Ok(element.attribute("", "Algorithm").unwrap_or_default())
}

/// The octets that an element holds in base64, with white space anywhere, and nothing else.
fn decoded(element: Element<'_>) -> Result<Vec<u8>, SignatureFault> {
    let name = element.name().1;
    if element.children().next().is_some() {
        return refuse(&format!("{name} with more than text in it"));
    }
    let text: Vec<u8> = element.text().bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match STANDARD.decode(text) {
        Ok(octets) if !octets.is_empty() => Ok(octets),
        _ => refuse(&format!("{name} that is not base64")),
    }
}

fn expect<'a>(element: Option<Element<'a>>, name: &str) -> Result<Element<'a>, SignatureFault> {
    element
        .filter(|element| element.is(DSIG, name))
        .ok_or_else(|| SignatureFault::Profile(format!("no {name} where one must be")))
}

fn refuse<T>(what: &str) -> Result<T, SignatureFault> {
    Err(SignatureFault::Profile(what.to_owned()))
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A signing certificate with its chain.
const CERTIFICATES_MAX: usize = 8;
