//! What a captured message says, what its signature covers, and whether it would be let in: for people who look at
//! messages (decisions, 4).
//!
//! Promises: the verdict is that of [`open()`](super::open()) itself, under an agreement that lets the message do what it
//! says and knows the signers that the person trusts; digests, canonical form and profile are those that verify
//! arriving messages. Nothing here lets a message in: there is no `Verified` to be had.
//!
//! Does not judge what only the gateway can know: who owns the connection, the agreement, what came before.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::x509::{X509, X509NameRef};
use serde::Serialize;

use super::keystore::KeyRing;
use super::open::{OpenLimits, Origin, Trust, Wire, open};
use super::profile::{DSIG, Signature, Target};
use super::refusal::Refusal;
use super::signature::{
    Engine, canonical_payload, digest_of_part, envelope_octets, may_be_unsigned, payload_form,
};
use crate::codec::canonical::canonicalize;
use crate::codec::envelope::{EnvelopeError, Supplied, decode_envelope};
use crate::codec::mime::{MimeError, MimePart, Package, PartName, unpack};
use crate::codec::xml::{Element, XmlTree};
use crate::model::{
    ActionBinding, Actor, Agreement, ContentId, CpaId, Digest, Direction, EmptyAnswer, Fingerprint, Manifest,
    Message, MessageHeader, Octets, PartnerProfile, Party, PartyKey, PartyKind, Payload, Presence, Registry,
    Reliability, Role, SignatureTerms, SyncReplyMode, Timestamp,
};

/// A captured message and whom the person who looks at it trusts.
#[derive(Debug)]
pub struct Capture<'a> {
    /// HTTP Content-Type.
    pub content_type: &'a str,
    /// HTTP entity.
    pub body: &'a Octets,
    /// Certificates that are trusted to sign it, DER.
    pub signers: &'a [Vec<u8>],
    /// Trust the certificates that the message itself carries as well.
    pub trust_message_certificate: bool,
    /// The profile that it is held against.
    pub profile: PartnerProfile,
    /// What is accepted of signatures.
    pub terms: SignatureTerms,
    /// When it is looked at; at its own Timestamp, when absent.
    pub at: Option<Timestamp>,
}

/// A message taken apart.
#[derive(Debug)]
pub struct Inspection {
    /// What it says, as far as it is a message, with those of its payloads that are there.
    pub message: Option<Message>,
    /// Its parts, the SOAP part first.
    pub parts: Vec<InspectedPart>,
    /// Its signature, when it has one.
    pub signature: Option<InspectedSignature>,
    /// Why it would not be let in.
    pub refusal: Option<Refusal>,
    /// The agreement that it was looked at under, and when: for the checks of the message layer.
    pub looked_at: Option<(Agreement, Timestamp)>,
}

/// One MIME part.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedPart {
    /// Content-ID, without angle brackets.
    pub content_id: Option<ContentId>,
    /// What it is known by as a payload.
    #[serde(skip)]
    pub known_as: Option<ContentId>,
    /// Content-Type without parameters.
    pub media_type: Arc<str>,
    /// Its octets after transfer decoding.
    #[serde(skip)]
    pub body: Octets,
    /// `xlink:role` of the Manifest's Reference to it.
    pub role: Option<Arc<str>>,
    /// The Manifest names it; the SOAP part needs no name.
    pub named: bool,
    /// The signature has a Reference to it; says nothing about its digest.
    pub signed: bool,
}

/// A `ds:Signature` and what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InspectedSignature {
    /// Where it stands.
    pub path: String,
    /// Why it is outside the profile; its digests are not computed then.
    pub outside_profile: Option<String>,
    /// SignatureMethod.
    pub method: String,
    /// The certificates in KeyInfo.
    pub certificates: Vec<InspectedCertificate>,
    /// SHA-256 of the trusted certificate that SignedInfo was signed with.
    pub signed_by: Option<Fingerprint>,
    /// Its References, in their order.
    pub references: Vec<InspectedReference>,
    /// Elements that no digest covers, and whether one may stand there.
    pub left_out: Vec<LeftOut>,
    /// The canonical octets of SignedInfo, which the signature value is of.
    #[serde(skip)]
    pub signed_info: Vec<u8>,
}

/// A certificate that a message carries.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedCertificate {
    /// SHA-256 of its DER octets.
    pub fingerprint: Fingerprint,
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// The end of its validity.
    pub not_after: String,
    /// The person who looks trusts it.
    pub trusted: bool,
}

/// A `ds:Reference` and what it covers.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedReference {
    /// URI as written.
    pub uri: String,
    /// Transforms, by URI.
    pub transforms: Vec<String>,
    /// DigestMethod.
    pub method: String,
    /// DigestValue as written.
    pub expected: String,
    /// The digest that was computed, base64.
    pub found: Option<String>,
    /// How many octets were digested.
    pub octets: Option<u64>,
    /// What it says of the message.
    pub verdict: ReferenceVerdict,
    /// The octets themselves.
    #[serde(skip)]
    pub digested: Octets,
}

/// What a Reference says of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceVerdict {
    /// The octets are those that were signed.
    Matches,
    /// The octets are other ones.
    Differs,
    /// The message has no such part.
    MissingPart,
    /// Outside the profile: not computed.
    NotComputed,
}

/// An element that no digest covers.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Where it stands.
    pub path: String,
    /// It may be left out there: it steers nothing.
    pub allowed: bool,
}

/// Takes a captured message apart.
#[must_use]
pub fn inspect(capture: &Capture<'_>) -> Inspection {
    let limits = OpenLimits::default();
    let package = unpack(capture.content_type, capture.body, &limits.mime);
    let tree = package.as_ref().ok().and_then(|p| XmlTree::parse(p.root.body.clone(), &limits.xml).ok());
    let mut message = None;
    let mut header = None;
    let mut is_whole = true;
    if let Ok(package) = &package {
        match decode_envelope(&package.root.body, package.root.charset.as_deref(), &limits.xml) {
            Ok(envelope) => {
                header = Some(envelope.message.header.clone());
                message = Some(envelope.message);
            }
            Err(EnvelopeError::Errors { header: Some(read), .. }) => {
                is_whole = read.clone().whole().is_some();
                header = read.completed(supplied());
            }
            Err(EnvelopeError::Errors { header: None, .. }) => {}
            Err(EnvelopeError::Fault(_)) => {}
        }
    }
    let element = tree.as_ref().and_then(signature_of);
    let mut signers = capture.signers.to_vec();
    let held = element.map(certificates_of).unwrap_or_default();
    if capture.trust_message_certificate {
        signers.extend(held.iter().cloned());
    }
    let key = PartyKey::new("the sender").expect("the text is plain");
    let (keys, unusable) = ring_of(&key, &signers);
    let manifest = message.as_ref().and_then(|message| message.manifest.as_ref());
    let signature = element.map(|element| {
        let parts = package.as_ref().map(|p| p.parts.as_slice()).unwrap_or_default();
        signature(element, parts, &keys, &key, &held)
    });
    let payloads = package.as_ref().map(|package| payloads(&package.parts, manifest)).unwrap_or_default();
    let parts = parts_of(package, manifest, signature.as_ref());
    if let Some(message) = &mut message {
        message.payloads = payloads;
    }

    let at = capture.at.or(header.as_ref().map(|header| header.data.timestamp));
    let at = at.unwrap_or(Timestamp::from_millis(0));
    let ids = header.as_ref().map(|header| header.from.ids.clone()).unwrap_or_default();
    let agreement = header.as_ref().map(|header| agreement_for(capture, header, message.as_ref(), &key));
    let party = Party {
        key,
        name: "the sender".into(),
        kind: PartyKind::Declarant,
        ids,
        business_number: None,
        tls_certificates: vec![CONNECTION],
        signing_certificates: Vec::new(),
        plays: None,
    };
    let trust = Trust {
        registry: Arc::new(Registry::new([party], agreement.clone())),
        keys: Arc::new(keys),
        engine: Engine::Own,
        own_ids: Vec::new(),
        limits,
    };
    let wire = Wire {
        content_type: capture.content_type,
        body: capture.body,
        origin: Origin::Connection(Some(CONNECTION)),
    };
    let mut refusal = open(&wire, &trust, at).err();
    if let (Some(refusal), Some(why)) = (&mut refusal, unusable) {
        refusal.text = format!("{}; {why}", refusal.text);
    }
    // What was supplied for the answer is not what the message says.
    if let Some(refusal) = refusal.as_mut().filter(|_| !is_whole) {
        refusal.header = None;
    }
    Inspection { message, parts, signature, refusal, looked_at: agreement.map(|agreement| (agreement, at)) }
}

/// What stands for a field that cannot be read: nobody is answered.
fn supplied() -> Supplied {
    let (from, to, received_at) = (Vec::new(), Vec::new(), Timestamp::EPOCH);
    Supplied { from, to, cpa_id: CpaId::new("unread").ok(), received_at }
}

/// The connection that the message is taken to have come over.
const CONNECTION: Fingerprint = Digest([0; 32]);

/// The signers that can be used, and why another one cannot.
fn ring_of(key: &PartyKey, signers: &[Vec<u8>]) -> (KeyRing, Option<String>) {
    let mut unusable = None;
    let usable = signers.iter().filter(|der| match KeyRing::new([(key.clone(), der.to_vec())]) {
        Ok(_) => true,
        Err(error) => {
            unusable = Some(error.to_string());
            false
        }
    });
    let ring = KeyRing::new(usable.map(|der| (key.clone(), der.clone())).collect::<Vec<_>>());
    (ring.unwrap_or_default(), unusable)
}

/// An agreement that lets a message do what it says.
fn agreement_for(
    capture: &Capture<'_>,
    header: &MessageHeader,
    message: Option<&Message>,
    partner: &PartyKey,
) -> Agreement {
    let role = |role: &Option<Role>| role.clone().unwrap_or_else(|| Role::new("any").expect("plain text"));
    let asked = message.into_iter().flat_map(|m| &m.ack_requested).find(|a| a.actor == Actor::ToPartyMsh);
    let is_synchronous = message.is_some_and(|message| message.sync_reply);
    Agreement {
        cpa_id: header.cpa_id.clone(),
        partner: partner.clone(),
        partner_ids: header.from.ids.clone(),
        partner_role: role(&header.from.role),
        own_ids: header.to.ids.clone(),
        own_role: role(&header.to.role),
        start: None,
        end: None,
        endpoint: None,
        response_endpoint: None,
        hosted: false,
        forwards: false,
        practice: false,
        actions: vec![ActionBinding {
            direction: Direction::Receive,
            service: header.service.value.clone(),
            service_type: header.service.kind.clone(),
            action: header.action.clone(),
        }],
        sync_reply_mode: if is_synchronous { SyncReplyMode::MshSignalsOnly } else { SyncReplyMode::None },
        empty_answer: EmptyAnswer::default(),
        reliability: Reliability {
            duplicate_elimination: Presence::PerMessage,
            ack_requested: Presence::PerMessage,
            message_order: message.is_some_and(|message| message.order.is_some()),
            ack_signed: asked.is_some_and(|asked| asked.signed),
            ack_signed_per_message: false,
            retries: 0,
            retry_interval: Duration::ZERO,
            persist_duration: Duration::ZERO,
            time_to_live: Duration::ZERO,
        },
        signature: capture.terms.clone(),
        profile: capture.profile.clone(),
        window: 1,
        overrides: Vec::new(),
    }
}

/// What the Manifest names, in its order, as far as it is there.
fn payloads(parts: &[MimePart], manifest: Option<&Manifest>) -> Vec<Payload> {
    let mut payloads: Vec<Payload> = Vec::new();
    for reference in manifest.iter().flat_map(|manifest| &manifest.references) {
        let part =
            PartName::of_uri(&reference.href).and_then(|name| parts.iter().find(|part| part.is(&name)));
        let Some((part, content_id)) = part.and_then(|part| Some((part, part.known_as()?))) else { continue };
        if payloads.iter().all(|known| known.content_id != content_id) {
            payloads.push(Payload {
                digest: part.body.digest(),
                content_id,
                media_type: part.media_type.clone(),
                role: reference.role.clone(),
                body: part.body.clone(),
            });
        }
    }
    payloads
}

fn parts_of(
    package: Result<Package, MimeError>,
    manifest: Option<&Manifest>,
    signature: Option<&InspectedSignature>,
) -> Vec<InspectedPart> {
    let Ok(package) = package else { return Vec::new() };
    let references = signature.map(|signature| signature.references.as_slice()).unwrap_or_default();
    let names = |uri: &str, part: &MimePart| PartName::of_uri(uri).is_some_and(|name| part.is(&name));
    let root = InspectedPart {
        content_id: package.root.content_id,
        known_as: None,
        media_type: package.root.media_type,
        body: package.root.body.into(),
        role: None,
        named: true,
        signed: references.iter().any(|reference| reference.uri.is_empty()),
    };
    let part = |part: MimePart| {
        let named = manifest.iter().flat_map(|m| &m.references).find(|r| names(&r.href, &part));
        InspectedPart {
            role: named.and_then(|reference| reference.role.clone()),
            named: named.is_some(),
            signed: references.iter().any(|reference| names(&reference.uri, &part)),
            known_as: part.known_as(),
            content_id: part.content_id,
            media_type: part.media_type,
            body: part.body,
        }
    };
    std::iter::once(root).chain(package.parts.into_iter().map(part)).collect()
}

/// The first `ds:Signature`, wherever it stands.
fn signature_of(tree: &XmlTree) -> Option<Element<'_>> {
    tree.root().descendants().find(|element| element.is(DSIG, "Signature"))
}

/// The certificates in KeyInfo, DER.
fn certificates_of(signature: Element<'_>) -> Vec<Vec<u8>> {
    let held = signature.descendants().filter(|element| element.is(DSIG, "X509Certificate"));
    let decoded = held.filter_map(|element| {
        let text: Vec<u8> = element.text().bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(text).ok()
    });
    decoded.collect()
}

fn signature(
    element: Element<'_>,
    parts: &[MimePart],
    keys: &KeyRing,
    signer: &PartyKey,
    held: &[Vec<u8>],
) -> InspectedSignature {
    let mut inspected = InspectedSignature {
        path: element.path(),
        method: described(element, "SignatureMethod"),
        certificates: held.iter().filter_map(|der| certificate(der, keys, signer)).collect(),
        references: element.descendants().filter(|e| e.is(DSIG, "Reference")).map(as_written).collect(),
        ..InspectedSignature::default()
    };
    let read = match Signature::read(element) {
        Ok(read) => read,
        Err(fault) => {
            inspected.outside_profile = Some(fault.to_string());
            return inspected;
        }
    };
    inspected.signed_info = canonicalize(read.canonicalization, read.signed_info, &|_| false);
    let of_the_key = keys.named_certificates_of(signer).find(|(_, certificate)| {
        certificate.key.verifies(read.algorithm, &inspected.signed_info, &read.value)
    });
    inspected.signed_by = of_the_key.map(|(fingerprint, _)| *fingerprint);
    let root = std::iter::successors(Some(element), |element| element.parent()).last().unwrap_or(element);
    let (octets, left_out) = envelope_octets(root, &read);
    inspected.left_out = left_out
        .into_iter()
        .map(|element| LeftOut { path: element.path(), allowed: may_be_unsigned(element) })
        .collect();
    let envelope = Octets::from(octets);
    for ((target, signed), reference) in
        read.targets.iter().zip(&read.references).zip(&mut inspected.references)
    {
        let octets = match target {
            Target::Envelope => Some(envelope.clone()),
            Target::Part(name) => parts.iter().find(|part| part.is(name)).map(|part| part.body.clone()),
        };
        let Some(octets) = octets else {
            reference.verdict = ReferenceVerdict::MissingPart;
            continue;
        };
        let digested = match (target, payload_form(signed)) {
            (Target::Part(_), Some(form)) => canonical_payload(form, &octets).map(Octets::from),
            _ => Ok(octets),
        };
        let Some((octets, found)) =
            digested.and_then(|octets| Ok((octets.clone(), digest_of_part(signed.method, &octets)?))).ok()
        else {
            continue;
        };
        reference.verdict =
            if found == signed.value { ReferenceVerdict::Matches } else { ReferenceVerdict::Differs };
        reference.found = Some(STANDARD.encode(found));
        reference.octets = Some(octets.bytes());
        reference.digested = octets;
    }
    inspected
}

/// A Reference as it stands there.
fn as_written(reference: Element<'_>) -> InspectedReference {
    let transforms = reference.descendants().filter(|element| element.is(DSIG, "Transform"));
    let value = reference.child(DSIG, "DigestValue").map(|value| value.text().trim_ascii().to_owned());
    InspectedReference {
        uri: reference.attribute("", "URI").unwrap_or("(none)").to_owned(),
        transforms: transforms.map(|t| t.attribute("", "Algorithm").unwrap_or_default().to_owned()).collect(),
        method: described(reference, "DigestMethod"),
        expected: value.unwrap_or_default(),
        found: None,
        octets: None,
        verdict: ReferenceVerdict::NotComputed,
        digested: Octets::default(),
    }
}

/// The Algorithm of the method element with this name.
fn described(within: Element<'_>, name: &str) -> String {
    let method = within.descendants().find(|element| element.is(DSIG, name));
    method.and_then(|method| method.attribute("", "Algorithm")).unwrap_or_default().to_owned()
}

fn certificate(der: &[u8], keys: &KeyRing, signer: &PartyKey) -> Option<InspectedCertificate> {
    let certificate = X509::from_der(der).ok()?;
    let fingerprint = Digest::of(der);
    Some(InspectedCertificate {
        fingerprint,
        subject: name(certificate.subject_name()),
        issuer: name(certificate.issuer_name()),
        not_after: certificate.not_after().to_string(),
        trusted: keys.certificate(signer, &fingerprint).is_some(),
    })
}

fn name(name: &X509NameRef) -> String {
    let entry = |entry: &openssl::x509::X509NameEntryRef| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
    };
    name.entries().map(entry).collect::<Vec<_>>().join(", ")
}
