//! Keys, certificates and parties for tests: made on the spot, never stored.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{AuthorityKeyIdentifier, CrlNumber, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509CrlBuilder, X509Name, X509Ref, X509RevokedBuilder};

use super::{Engine, KeyRing, OpenLimits, Origin, Refusal, SigningKey, Trust, Verified, Wire, open};
use crate::model::{
    AckRequested, ActionBinding, Actor, Agreement, ContentId, ConversationId, CpaId, Digest, Direction,
    EmptyAnswer, Fingerprint, Manifest, Message, MessageData, MessageHeader, MessageId, MessageKind,
    PartnerProfile, Party, PartyId, PartyKey, PartyKind, PartyRef, Payload, Presence, Reference, Registry,
    Reliability, Role, Sealed, Service, SignatureAlgorithm, SignatureTerms, SyncReplyMode, Timestamp,
};

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// When the certificates of tests begin and end.
pub(crate) const VALIDITY: (&str, &str) = ("2024-01-01T00:00:00Z", "2044-01-01T00:00:00Z");

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// A key for this algorithm; over P-384 when it digests with SHA-384.
pub(crate) fn key(algorithm: SignatureAlgorithm) -> PKey<Private> {
    let on = |curve| {
        EcGroup::from_curve_name(curve).and_then(|group| EcKey::generate(&group)).and_then(PKey::from_ec_key)
    };
    match algorithm {
        SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::EcdsaSha512 => on(Nid::X9_62_PRIME256V1),
        SignatureAlgorithm::EcdsaSha384 => on(Nid::SECP384R1),
        SignatureAlgorithm::Ed25519 => PKey::generate_ed25519(),
        _ => Rsa::generate(2048).and_then(PKey::from_rsa),
    }
    .expect("a key")
}

impl Identity {
    /// A signing identity of this name.
    pub(crate) fn new(name: &str, algorithm: SignatureAlgorithm) -> Self {
        Self::with(name, key(algorithm), KeyUsage::new().digital_signature(), VALIDITY)
    }

    pub(crate) fn with(name: &str, key: PKey<Private>, usage: &KeyUsage, (start, end): (&str, &str)) -> Self {
        let make = || {
            let mut subject = X509Name::builder()?;
            subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
            let subject = subject.build();
            let at = |text| Asn1Time::from_unix(instant(text).as_millis() / 1000);
            let mut builder = X509::builder()?;
            builder.set_version(2)?;
            builder.set_serial_number(&*BigNum::from_u32(1)?.to_asn1_integer()?)?;
            builder.set_subject_name(&subject)?;
            builder.set_issuer_name(&subject)?;
            builder.set_pubkey(&key)?;
            builder.set_not_before(&*at(start)?)?;
            builder.set_not_after(&*at(end)?)?;
            builder.append_extension(usage.build()?)?;
            let is_ed25519 = key.id() == Id::ED25519;
            builder.sign(&key, if is_ed25519 { MessageDigest::null() } else { MessageDigest::sha256() })?;
            Ok::<_, openssl::error::ErrorStack>(builder.build())
        };
        let certificate = make().expect("a certificate");
        Self { certificate, key }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.certificate.to_der().expect("DER")
    }

    pub(crate) fn signing_key(&self) -> SigningKey {
        let certificate = self.certificate.to_pem().expect("PEM");
        let key = self.key.private_key_to_pem_pkcs8().expect("PEM");
        SigningKey::from_pem("a test", &certificate, &key).expect("a signing key")
    }
}

/// A revocation list of an issuer with these certificates on it, PEM; of the month before the instant of tests.
pub(crate) fn revocation_list(issuer: &Identity, revoked: &[&X509Ref]) -> String {
    let at = |text| Asn1Time::from_unix(instant(text).as_millis() / 1000);
    let subject = issuer.certificate.subject_name();
    let make = || {
        let mut list = X509CrlBuilder::new()?;
        list.set_issuer_name(subject)?;
        list.set_last_update(&*at("2024-06-01T00:00:00Z")?)?;
        list.set_next_update(&*at("2024-07-01T00:00:00Z")?)?;
        for certificate in revoked {
            let mut entry = X509RevokedBuilder::new()?;
            entry.set_serial_number(certificate.serial_number())?;
            entry.set_revocation_date(&*at("2024-06-02T00:00:00Z")?)?;
            list.add_revoked(entry.build())?;
        }
        // A list tells its issuer by a key identifier, which a certificate that signs itself need not have.
        let mut named = X509::builder()?;
        named.set_pubkey(&issuer.key)?;
        named.set_subject_name(subject)?;
        let identifier = SubjectKeyIdentifier::new().build(&named.x509v3_context(None, None))?;
        named.append_extension(identifier)?;
        named.sign(&issuer.key, MessageDigest::sha256())?;
        let (named, of) = (named.build(), X509::builder()?);
        let context = of.x509v3_context(Some(&named), None);
        list.append_extension(AuthorityKeyIdentifier::new().keyid(true).build(&context)?)?;
        list.append_extension(CrlNumber::new(BigNum::from_u32(1)?)?.build()?)?;
        list.sign(&issuer.key, MessageDigest::sha256())?;
        list.build()?.to_pem()
    };
    String::from_utf8(make().expect("a revocation list")).expect("PEM is text")
}

/// A trader and the gateway, who have registered each other, and what the trader sends.
pub(crate) struct Pair {
    pub(crate) trader: Identity,
    pub(crate) trust: Trust,
}

pub(crate) const TRADER: &str = "AG000000000417";
pub(crate) const OTHER: &str = "AG000000000418";
pub(crate) const GATEWAY: &str = "SW000000000001";
pub(crate) const CPA: &str = "urn:swgw:cpa:417:1";
pub(crate) const NOW: &str = "2024-06-11T09:30:01Z";

/// The TLS certificate of a party, as far as tests need one.
pub(crate) fn tls(party: &str) -> Fingerprint {
    Digest::of(party.as_bytes())
}

pub(crate) fn party(key: &str) -> Party {
    Party {
        key: PartyKey::new(key).expect("a key"),
        name: key.into(),
        kind: PartyKind::Declarant,
        ids: vec![party_id(key)],
        business_number: None,
        tls_certificates: vec![tls(key)],
        signing_certificates: Vec::new(),
        plays: None,
    }
}

pub(crate) fn party_id(key: &str) -> PartyId {
    PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) }
}

pub(crate) fn role(text: &str) -> Role {
    Role::new(text).expect("a Role")
}

pub(crate) fn agreement(cpa_id: &str, partner: &str) -> Agreement {
    let binding = |direction| ActionBinding {
        direction,
        service: "urn:swgw:import".into(),
        service_type: None,
        action: "lodge".into(),
    };
    Agreement {
        cpa_id: CpaId::new(cpa_id).expect("a CPAId"),
        partner: PartyKey::new(partner).expect("a key"),
        partner_ids: vec![party_id(partner)],
        partner_role: role("Declarant"),
        own_ids: vec![party_id(GATEWAY)],
        own_role: role("SingleWindow"),
        start: Some(instant("2024-01-01T00:00:00Z")),
        end: Some(instant("2025-01-01T00:00:00Z")),
        endpoint: Some("https://localhost/ebms".into()),
        response_endpoint: None,
        hosted: false,
        forwards: false,
        practice: false,
        actions: vec![binding(Direction::Receive)],
        sync_reply_mode: SyncReplyMode::MshSignalsOnly,
        empty_answer: EmptyAnswer::default(),
        reliability: Reliability {
            duplicate_elimination: Presence::Always,
            ack_requested: Presence::Always,
            ack_signed: true,
            ack_signed_per_message: false,
            message_order: false,
            retries: 3,
            retry_interval: Duration::from_secs(60),
            persist_duration: Duration::from_secs(86_400),
            time_to_live: Duration::from_secs(3600),
        },
        signature: SignatureTerms::strict(SignatureAlgorithm::EcdsaSha256),
        profile: PartnerProfile::strict(),
        window: 8,
        overrides: Vec::new(),
    }
}

impl Pair {
    pub(crate) fn new(algorithm: SignatureAlgorithm) -> Self {
        let trader = Identity::new(TRADER, algorithm);
        let parties = [party(TRADER), party(OTHER)];
        let trust = Trust {
            registry: Arc::new(Registry::new(parties, [agreement(CPA, TRADER), agreement("other", OTHER)])),
            keys: Arc::new(KeyRing::new([(party(TRADER).key, trader.der())]).expect("a ring")),
            engine: Engine::Both,
            own_ids: vec![party_id(GATEWAY)],
            limits: OpenLimits::default(),
        };
        Self { trader, trust }
    }

    /// Opens it as it came over the trader's connection.
    pub(crate) fn open(&self, sealed: &Sealed) -> Result<Verified, Refusal> {
        self.open_from(TRADER, sealed)
    }

    pub(crate) fn open_from(&self, party: &str, sealed: &Sealed) -> Result<Verified, Refusal> {
        let wire = Wire {
            content_type: &sealed.content_type,
            body: &sealed.body,
            origin: Origin::Connection(Some(tls(party))),
        };
        open(&wire, &self.trust, instant(NOW))
    }
}

/// A user message of the trader with these payloads.
pub(crate) fn message(payloads: &[(&str, &[u8])]) -> Message {
    let payload = |(content_id, body): &(&str, &[u8])| Payload {
        content_id: ContentId::new(*content_id).expect("a Content-ID"),
        media_type: "application/xml".into(),
        role: Some("urn:swgw:doc:GOVCBR929".into()),
        body: Bytes::copy_from_slice(body).into(),
        digest: Digest::of(body),
    };
    let payloads: Vec<Payload> = payloads.iter().map(payload).collect();
    let reference = |payload: &Payload| Reference {
        href: format!("cid:{}", payload.content_id).into(),
        role: payload.role.clone(),
        schemas: Vec::new(),
        description: None,
    };
    let manifest = Manifest { references: payloads.iter().map(reference).collect() };
    Message {
        header: MessageHeader {
            from: PartyRef { ids: vec![party_id(TRADER)], role: Some(role("Declarant")) },
            to: PartyRef { ids: vec![party_id(GATEWAY)], role: Some(role("SingleWindow")) },
            cpa_id: CpaId::new(CPA).expect("a CPAId"),
            conversation_id: ConversationId::new("24ZZ000417A1").expect("an id"),
            service: Service { value: "urn:swgw:import".into(), kind: None },
            action: "lodge".into(),
            data: MessageData {
                message_id: MessageId::new("0001@trader.example").expect("an id"),
                timestamp: instant("2024-06-11T09:30:00Z"),
                ref_to_message_id: None,
                time_to_live: Some(instant("2024-06-11T10:30:00Z")),
            },
            duplicate_elimination: true,
            descriptions: Vec::new(),
        },
        kind: MessageKind::User,
        sync_reply: true,
        order: None,
        ack_requested: vec![AckRequested { actor: Actor::ToPartyMsh, signed: true }],
        acknowledgments: Vec::new(),
        error_list: None,
        status: None,
        manifest: (!payloads.is_empty()).then_some(manifest),
        payloads,
        references: Vec::new(),
    }
}
