//! The closed profile of `ds:Signature`: what a signature must look like before anything of it is computed
//! (promises-and-threats 2.1; digest, 8.3; ebMS 2.0, 4.1.3).
//!
//! Promises: one SignedInfo, SignatureValue and KeyInfo at most; one reference to the envelope with the transforms
//! of the standard and one for each payload; algorithms from closed lists; no Object, no key retrieval, no HMAC, no
//! comment, no reference to anything outside the message (S2 to S6). [`Signature::read`] knows every form that some
//! agreement may allow; [`Signature::check_agreed`] allows what this agreement does, and names what of it deviates
//! from the strict profile.
//!
//! Does not know the InclusiveNamespaces of exclusive canonicalization: a parameter of any algorithm is refused.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::actor_filter::ActorFilter;
use super::error::SignatureFault;
use super::signature::payload_form;
use crate::codec::canonical::has_outer_base;
use crate::codec::mime::PartName;
use crate::codec::xml::{Children, Element};
use crate::ffi::REFERENCES_MAX;
use crate::model::{
    Canonicalization, Deviation, Digest, DigestMethod, DigestReference, Fingerprint, PartnerProfile,
    SignatureAlgorithm, SignatureTerms, Timestamp, Transform,
};

pub(super) const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub(super) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// A signature within the profile; nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) element: Element<'a>,
    pub(super) signed_info: Element<'a>,
    pub(super) algorithm: SignatureAlgorithm,
    /// The form of SignedInfo.
    pub(super) canonicalization: Canonicalization,
    /// None leaves nothing out but the signature itself.
    pub(super) filter: Option<ActorFilter>,
    /// As they stand in SignedInfo.
    pub(super) references: Vec<DigestReference>,
    /// What each of them names.
    pub(super) targets: Vec<Target>,
    pub(super) value: Vec<u8>,
    /// The certificates that KeyInfo carries.
    pub(super) certificates: Vec<Fingerprint>,
}

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Envelope,
    Part(PartName),
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
        let method = algorithm(expect(children.next(), "CanonicalizationMethod")?)?;
        let Some(canonicalization) = Canonicalization::of_uri(method) else {
            return refuse(&format!("CanonicalizationMethod {method:?}"));
        };
        if canonicalization == Canonicalization::Xml11 && has_outer_base(signed_info) {
            return refuse("xml:base around a SignedInfo in Canonical XML 1.1");
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
            if read.target == Target::Envelope && filter.replace(read.filter).is_some() {
                return refuse("two References to the envelope");
            }
            targets.push(read.target);
            references.push(read.reference);
        }
        let Some(filter) = filter else { return refuse("no Reference to the envelope") };
        if targets.iter().collect::<BTreeSet<_>>().len() != targets.len() {
            return refuse("two References to one part");
        }
        Ok(Self {
            element,
            signed_info,
            algorithm,
            canonicalization,
            filter,
            references,
            targets,
            value,
            certificates,
        })
    }

    /// What of it is outside the strict profile, when all of that is agreed.
    pub(super) fn check_agreed(
        &self,
        terms: &SignatureTerms,
        profile: &PartnerProfile,
        now: Timestamp,
    ) -> Result<BTreeSet<Deviation>, SignatureFault> {
        let not_agreed =
            |what: &str, uri: &str| SignatureFault::Profile(format!("{what} {uri} is not agreed"));
        let mut deviations = BTreeSet::new();
        let mut deviates = |deviation: Deviation, what: &str| {
            deviations.insert(deviation);
            if profile.allows(deviation) { Ok(()) } else { refuse(what) }
        };
        if !terms.accepts(self.algorithm, now) {
            return Err(not_agreed("SignatureMethod", self.algorithm.uri()));
        }
        let mut sha1 = self.algorithm.is_sha1();
        let mut forms = vec![self.canonicalization];
        if self.filter.is_none() {
            deviates(Deviation::NoActorFilter, "an envelope reference without the XPath of ebMS 2.0, 4.1.3")?;
        }
        for (target, reference) in self.targets.iter().zip(&self.references) {
            if !terms.accepts_digest(reference.method, now) {
                return Err(not_agreed("DigestMethod", reference.method.uri()));
            }
            sha1 |= reference.method == DigestMethod::Sha1;
            match target {
                // Without one, Canonical XML 1.0 is what the envelope is digested in.
                Target::Envelope => forms.push(payload_form(reference).unwrap_or(Canonicalization::Xml10)),
                Target::Part(_) => forms.extend(payload_form(reference)),
            }
            if matches!(target, Target::Part(PartName::Location(_))) {
                let what = format!(
                    "a reference to {:?}, which is no part of the message by Content-ID",
                    excerpt(&reference.uri)
                );
                deviates(Deviation::ContentLocation, &what)?;
            }
            if matches!(target, Target::Part(_)) && !reference.transforms.is_empty() {
                deviates(Deviation::PayloadTransforms, "a transform of a payload")?;
            }
        }
        if let Some(form) = forms.into_iter().find(|form| !terms.canonicalizations.contains(form)) {
            return Err(not_agreed("the canonical form", form.uri()));
        }
        if sha1 {
            deviations.insert(Deviation::Sha1);
        }
        Ok(deviations)
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
                (Target::Envelope, filter, transforms)
            }
            ("", None) => return refuse("a Reference to the envelope without Transforms"),
            (part, Some(transforms)) => {
                (Target::Part(part_of(part)?), None, vec![payload_transform(transforms)?])
            }
            (part, None) => (Target::Part(part_of(part)?), None, Vec::new()),
        };
        let method = algorithm(expect(children.next(), "DigestMethod")?)?;
        let Some(method) = DigestMethod::of_uri(method) else {
            return refuse(&format!("DigestMethod {method:?}"));
        };
        let value = decoded(expect(children.next(), "DigestValue")?)?;
        if children.next().is_some() {
            return refuse("more in Reference than Transforms, DigestMethod and DigestValue");
        }
        if value.len() != method.octets() {
            return refuse(&format!("a DigestValue that is not of {}", method.uri()));
        }
        let reference = DigestReference { uri: uri.into(), transforms, method, value };
        Ok(Self { reference, target, filter })
    }
}

/// Enveloped-signature, the actor filter, which somebody may leave away, and a canonicalization: Canonical XML 1.0 is
/// implied when it is missing.
fn envelope_transforms(
    element: Element<'_>,
) -> Result<(Option<ActorFilter>, Vec<Transform>), SignatureFault> {
    let mut children = structure(element)?.peekable();
    let enveloped = expect(children.next(), "Transform")?;
    if algorithm(enveloped)? != Transform::EnvelopedSignature.uri() {
        return refuse("an envelope reference whose first transform is not enveloped-signature");
    }
    let mut transforms = vec![Transform::EnvelopedSignature];
    let is_canonicalization = |element: &Element<'_>| {
        element.attribute("", "Algorithm").is_some_and(|uri| Canonicalization::of_uri(uri).is_some())
    };
    let filter = match children.next_if(|next| !is_canonicalization(next)) {
        None => None,
        Some(filter) => {
            let Some(filter) = actor_filter(expect(Some(filter), "Transform")?)? else {
                return refuse(
                    "an envelope reference whose second transform is not the XPath of ebMS 2.0, 4.1.3",
                );
            };
            transforms.push(Transform::ActorFilter);
            Some(filter)
        }
    };
    if let Some(last) = children.next() {
        transforms.push(canonicalization(
            last,
            "an envelope reference whose last transform is no canonicalization",
        )?);
    }
    if children.next().is_some() {
        refuse("more transforms than the standard's")
    } else {
        Ok((filter, transforms))
    }
}

fn actor_filter(transform: Element<'_>) -> Result<Option<ActorFilter>, SignatureFault> {
    let children: Vec<_> = structure(transform)?.collect();
    Ok(match (transform.attribute("", "Algorithm"), children.as_slice()) {
        (Some(algorithm), [xpath])
            if algorithm == Transform::ActorFilter.uri()
                && xpath.is(DSIG, "XPath")
                && xpath.children().next().is_none() =>
        {
            ActorFilter::read(*xpath)
        }
        _ => None,
    })
}

/// The one transform that a payload may have.
fn payload_transform(element: Element<'_>) -> Result<Transform, SignatureFault> {
    let mut children = structure(element)?;
    let Some(only) = children.next() else { return refuse("Transforms without a Transform") };
    let transform = canonicalization(only, "a transform of a payload that is no canonicalization")?;
    if children.next().is_some() { refuse("more than one transform of a payload") } else { Ok(transform) }
}

fn canonicalization(element: Element<'_>, otherwise: &str) -> Result<Transform, SignatureFault> {
    match Canonicalization::of_uri(algorithm(expect(Some(element), "Transform")?)?) {
        Some(form) => Ok(form.transform()),
        None => refuse(otherwise),
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

/// The part that the URI of a reference names; without the white space around it that readers forgive elsewhere, so
/// that both engines find the same part.
fn part_of(uri: &str) -> Result<PartName, SignatureFault> {
    match PartName::of_uri(uri).filter(|_| uri.trim() == uri) {
        Some(name) => Ok(name),
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
