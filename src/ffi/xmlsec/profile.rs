//! The shape of a signature that libxmlsec1 is given at all; checked before any of it is computed.
//!
//! Promises: one `ds:Signature` directly in `soap:Header`; SignedInfo with one `URI=""` reference and
//! `cid:` references to parts in hand, each once; transforms and algorithms from the closed lists below; no
//! `ds:Object`, no key retrieval, no HMAC. Status alone proves nothing: a signature over an expression that
//! selects no node verifies too.
//!
//! Does not check certificates, who signed, or that every payload is signed: `security` does.
//!
//! Implements ebMS 2.0, 4.1.3, and the bounds of its XML Signature profile.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::libxml2::{Document, Node};
use super::filter::{ActorSet, EXCLUDED_MAX};
use super::raw::{self, GetKlass};
use super::{DSIG, Part, SOAP, XmlSecError};

/// The most references in one signature: one for each part that a message may have.
pub const REFERENCES_MAX: usize = 100;

/// The largest part that is parsed because its reference has a canonicalization; others are only hashed.
pub const XML_PART_BYTES_MAX: usize = 4 << 20;

pub(super) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(super) const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";

/// Canonicalizations, all without comments.
pub(super) const CANONICALIZATIONS: [(&str, GetKlass); 3] = [
    ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", raw::xmlSecTransformInclC14NGetKlass),
    ("http://www.w3.org/2006/12/xml-c14n11", raw::xmlSecTransformInclC14N11GetKlass),
    ("http://www.w3.org/2001/10/xml-exc-c14n#", raw::xmlSecTransformExclC14NGetKlass),
];

pub(super) const DIGEST_METHODS: [(&str, GetKlass); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", raw::xmlSecOpenSSLTransformSha256GetKlass),
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", raw::xmlSecOpenSSLTransformSha384GetKlass),
    ("http://www.w3.org/2001/04/xmlenc#sha512", raw::xmlSecOpenSSLTransformSha512GetKlass),
];

pub(super) const SIGNATURE_METHODS: [(&str, GetKlass); 6] = [
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", raw::xmlSecOpenSSLTransformRsaSha256GetKlass),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", raw::xmlSecOpenSSLTransformRsaSha384GetKlass),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", raw::xmlSecOpenSSLTransformRsaSha512GetKlass),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", raw::xmlSecOpenSSLTransformEcdsaSha256GetKlass),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", raw::xmlSecOpenSSLTransformEcdsaSha384GetKlass),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", raw::xmlSecOpenSSLTransformEcdsaSha512GetKlass),
];

/// A signature within the profile.
#[derive(Debug)]
pub(super) struct Signature<'d> {
    pub(super) element: Node<'d>,
    pub(super) method: String,
    pub(super) references: Vec<Reference>,
}

/// A reference within the profile.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) uri: String,
    pub(super) digest_method: String,
    /// Empty in a template.
    pub(super) digest: Vec<u8>,
}

/// What the values in a signature must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// There, to be verified.
    Given,
    /// Empty, to be made.
    Empty,
}

/// Finds the signature of an envelope and holds it against the profile.
pub(super) fn read<'d>(
    document: &'d Document,
    parts: &[Part<'_>],
    values: Values,
) -> Result<Signature<'d>, XmlSecError> {
    let element = find(document)?;
    let mut children = element.children();
    let signed_info = expect(children.next(), "SignedInfo")?;
    let value = expect(children.next(), "SignatureValue")?;
    check_filled(value, values, "SignatureValue")?;
    if let Some(key_info) = children.next() {
        check_key_info(expect(Some(key_info), "KeyInfo")?)?;
    }
    if children.next().is_some() {
        return refuse("more in Signature than SignedInfo, SignatureValue and KeyInfo");
    }

    let mut children = signed_info.children();
    algorithm(expect(children.next(), "CanonicalizationMethod")?, &CANONICALIZATIONS)?;
    let method = expect(children.next(), "SignatureMethod")?;
    let method = algorithm(childless(method)?, &SIGNATURE_METHODS)?;
    let references = children
        .take(REFERENCES_MAX + 1)
        .map(|reference| read_reference(expect(Some(reference), "Reference")?, parts, values))
        .collect::<Result<Vec<_>, _>>()?;
    check_targets(&references)?;
    Ok(Signature { element, method, references })
}

/// The only `ds:Signature` directly in `soap:Header`.
fn find(document: &Document) -> Result<Node<'_>, XmlSecError> {
    let envelope = document.root().filter(|root| root.is(SOAP, "Envelope"));
    let header = envelope.and_then(|envelope| envelope.children().find(|child| child.is(SOAP, "Header")));
    let header = header.ok_or(XmlSecError::Unsigned)?;
    let mut signatures = header.children().filter(|child| child.is(DSIG, "Signature"));
    let first = signatures.next().ok_or(XmlSecError::Unsigned)?;
    if signatures.next().is_some() { refuse("more than one Signature in the SOAP Header") } else { Ok(first) }
}

/// The key is never taken from the message; what stands there must not make anyone fetch or decrypt one.
fn check_key_info(key_info: Node<'_>) -> Result<(), XmlSecError> {
    let harmless = |child: Node<'_>| {
        child.is(DSIG, "X509Data") || child.is(DSIG, "KeyName") || child.is(DSIG, "KeyValue")
    };
    if key_info.children().all(harmless) {
        Ok(())
    } else {
        refuse("KeyInfo with more than X509Data or a key")
    }
}

fn read_reference(reference: Node<'_>, parts: &[Part<'_>], values: Values) -> Result<Reference, XmlSecError> {
    let Some(uri) = reference.attribute("", c"URI") else { return refuse("a Reference without URI") };
    let mut children = reference.children().peekable();
    let transforms = children.next_if(|child| child.is(DSIG, "Transforms"));
    let transforms: Vec<_> =
        transforms.into_iter().flat_map(Node::children).take(TRANSFORMS_MAX + 1).collect();
    if uri.is_empty() {
        check_envelope_transforms(&transforms)?;
    } else {
        check_part_transforms(&transforms, part(&uri, parts)?)?;
    }
    let method = expect(children.next(), "DigestMethod")?;
    let digest_method = algorithm(childless(method)?, &DIGEST_METHODS)?;
    let value = check_filled(expect(children.next(), "DigestValue")?, values, "DigestValue")?;
    let Ok(digest) = STANDARD.decode(value) else { return refuse("a DigestValue that is not base64") };
    if children.next().is_some() {
        return refuse("more in Reference than Transforms, DigestMethod and DigestValue");
    }
    Ok(Reference { uri, digest_method, digest })
}

/// Enveloped-signature, then the actor filter and a canonicalization, both of which may be missing.
fn check_envelope_transforms(transforms: &[Node<'_>]) -> Result<(), XmlSecError> {
    let Some((enveloped, rest)) = transforms.split_first() else {
        return refuse("an envelope reference without enveloped-signature");
    };
    if expect(Some(*enveloped), "Transform")?.attribute("", c"Algorithm").as_deref() != Some(ENVELOPED) {
        return refuse("an envelope reference whose first transform is not enveloped-signature");
    }
    childless(*enveloped)?;
    let is_xpath = |transform: &Node<'_>| transform.attribute("", c"Algorithm").as_deref() == Some(XPATH);
    let (filter, rest) = match rest.split_first() {
        Some((first, rest)) if is_xpath(first) => (Some(first), rest),
        _ => (None, rest),
    };
    if let Some(filter) = filter {
        let Some(actors) = ActorSet::read(*filter) else {
            return refuse("an XPath expression that is not that of ebMS 2.0, 4.1.3");
        };
        let root = filter.ancestors_and_self().last().unwrap_or(*filter);
        if actors.elements(root).len() > EXCLUDED_MAX {
            return refuse("too many elements for the next actor");
        }
    }
    check_canonicalization(rest)
}

/// None, or a canonicalization of a part that parses within our limits.
fn check_part_transforms(transforms: &[Node<'_>], octets: &[u8]) -> Result<(), XmlSecError> {
    check_canonicalization(transforms)?;
    if !transforms.is_empty() && Document::parse(octets, XML_PART_BYTES_MAX).is_err() {
        return refuse("a canonicalization of a part that is no XML within the limits");
    }
    Ok(())
}

fn check_canonicalization(transforms: &[Node<'_>]) -> Result<(), XmlSecError> {
    match transforms {
        [] => Ok(()),
        [one] => algorithm(expect(Some(*one), "Transform")?, &CANONICALIZATIONS).map(|_| ()),
        _ => refuse("transforms that are not in the profile"),
    }
}

/// The part that a `cid:` URI names, percent-decoded as libxmlsec1 does.
fn part<'p>(uri: &str, parts: &[Part<'p>]) -> Result<&'p [u8], XmlSecError> {
    let Some(cid) = without_cid(uri).filter(|cid| !cid.contains('#')) else {
        return refuse("a Reference to something that is not a part of the message");
    };
    let Some(cid) = percent_decoded(cid) else { return refuse("a cid: that is not well-formed") };
    let found = parts.iter().find(|(name, _)| *name == cid);
    found.map(|(_, octets)| *octets).ok_or(XmlSecError::UnknownPart(cid))
}

/// What follows the scheme of a `cid:` URI, in whatever case that is written (RFC 3986, 3.1).
pub(super) fn without_cid(uri: &str) -> Option<&str> {
    uri.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("cid")).map(|(_, rest)| rest)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
                let [Some(high), Some(low)] = digits else { return None };
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok().filter(|text| !text.chars().any(char::is_control))
}

/// Exactly one reference to the envelope, none twice.
fn check_targets(references: &[Reference]) -> Result<(), XmlSecError> {
    if references.len() > REFERENCES_MAX {
        return refuse("too many References");
    }
    if references.iter().filter(|reference| reference.uri.is_empty()).count() != 1 {
        return refuse("not exactly one Reference to the envelope");
    }
    let named = references.iter().map(|r| percent_decoded(without_cid(&r.uri).unwrap_or(&r.uri)));
    let cids: std::collections::BTreeSet<_> = named.collect();
    if cids.len() == references.len() { Ok(()) } else { refuse("two References to one part") }
}

/// The algorithm of a method or transform, if it is in the list.
fn algorithm(node: Node<'_>, known: &[(&str, GetKlass)]) -> Result<String, XmlSecError> {
    match node.attribute("", c"Algorithm") {
        Some(uri) if known.iter().any(|(known, _)| *known == uri) => Ok(uri),
        other => refuse(&format!("{} {:?}", node.name(), other.unwrap_or_default())),
    }
}

/// The text of a value element without white space, which base64 allows anywhere.
fn check_filled(node: Node<'_>, values: Values, name: &str) -> Result<String, XmlSecError> {
    let Some(mut text) = node.only_text() else {
        return refuse(&format!("{name} with more than text in it"));
    };
    text.retain(|c| !c.is_ascii_whitespace());
    match (values, text.is_empty()) {
        (Values::Given, true) => refuse(&format!("an empty {name}")),
        (Values::Empty, false) => refuse(&format!("a template whose {name} is not empty")),
        _ => Ok(text),
    }
}

/// No parameters, such as HMACOutputLength.
fn childless(node: Node<'_>) -> Result<Node<'_>, XmlSecError> {
    if node.children().next().is_none() {
        Ok(node)
    } else {
        refuse(&format!("a parameter in {}", node.name()))
    }
}

fn expect<'d>(node: Option<Node<'d>>, name: &str) -> Result<Node<'d>, XmlSecError> {
    node.filter(|node| node.is(DSIG, name))
        .ok_or_else(|| XmlSecError::Profile(format!("no {name} where one must be")))
}

fn refuse<T>(what: &str) -> Result<T, XmlSecError> {
    Err(XmlSecError::Profile(what.to_owned()))
}

const TRANSFORMS_MAX: usize = 4;
