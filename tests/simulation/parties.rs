//! Who takes part: names, keys, and the agreements that they have with the gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gwanmun::model::{
    ActionBinding, Agreement, CpaId, Direction, EmptyAnswer, Fingerprint, PartnerProfile, Party, PartyId,
    PartyKey, PartyKind, Presence, Registry, Reliability, Role, SignatureAlgorithm, SignatureTerms,
    SyncReplyMode,
};
use gwanmun::security::{Engine, KeyRing, OpenLimits, SigningKey, SigningKeys, Trust};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509Name};

/// A party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The gateway.
    Gateway,
    /// A broker, who lodges.
    Broker,
    /// A trader, who lodges for itself.
    Trader,
    /// Customs.
    Customs,
    /// The agency for food.
    Kfda,
    /// The agency for plants.
    Npqs,
    /// The agency for drugs.
    Kpta,
    /// The agency for animals.
    Nvrqs,
    /// The association for medical devices.
    Kmdia,
    /// The laboratory for electrical appliances.
    Ktl,
    /// The association for dental devices.
    Kdta,
    /// The association for veterinary drugs.
    Kahpa,
    /// The institute for toys.
    Ktic,
    /// The institute for textiles.
    Katri,
    /// A second trader.
    Importer,
    /// A third one.
    Merchant,
}

impl Who {
    /// Everybody but the gateway.
    pub(crate) const PARTNERS: [Self; 15] = [
        Self::Broker,
        Self::Trader,
        Self::Customs,
        Self::Kfda,
        Self::Npqs,
        Self::Kpta,
        Self::Nvrqs,
        Self::Kmdia,
        Self::Ktl,
        Self::Kdta,
        Self::Kahpa,
        Self::Ktic,
        Self::Katri,
        Self::Importer,
        Self::Merchant,
    ];
    /// Who may lodge.
    pub(crate) const SUBMITTERS: [Self; 4] = [Self::Broker, Self::Trader, Self::Importer, Self::Merchant];
    /// The agencies, with the codes of their application and of their result.
    pub(crate) const AGENCIES: [(Self, &'static str, &'static str); 10] = [
        (Self::Kfda, "GOVCBRX01", "GOVCBRX51"),
        (Self::Npqs, "GOVCBRX02", "GOVCBRX52"),
        (Self::Kpta, "GOVCBRFR2", "GOVCBRFS7"),
        (Self::Nvrqs, "GOVCBRX03", "GOVCBRX53"),
        (Self::Kmdia, "GOVCBRX06", "GOVCBRX56"),
        (Self::Ktl, "GOVCBRX11", "GOVCBRX61"),
        (Self::Kdta, "GOVCBRX07", "GOVCBRX57"),
        (Self::Kahpa, "GOVCBRX08", "GOVCBRX58"),
        (Self::Ktic, "GOVCBRX12", "GOVCBRX62"),
        (Self::Katri, "GOVCBRX14", "GOVCBRX64"),
    ];

    /// Box number, name, kind, Role and the agreement with the gateway.
    const fn told(self) -> (&'static str, &'static str, PartyKind, &'static str, &'static str) {
        match self {
            Self::Gateway => ("SW000000000001", "gateway", PartyKind::SingleWindow, "SingleWindow", ""),
            Self::Broker => ("BR123450000001", "broker", PartyKind::Declarant, "Declarant", "swgw-broker-1"),
            Self::Trader => ("IM123450000002", "trader", PartyKind::Declarant, "Declarant", "swgw-trader-1"),
            Self::Importer => {
                ("IM123450000003", "importer", PartyKind::Declarant, "Declarant", "swgw-importer-1")
            }
            Self::Merchant => {
                ("IM123450000004", "merchant", PartyKind::Declarant, "Declarant", "swgw-merchant-1")
            }
            Self::Customs => ("CU000000000001", "customs", PartyKind::Customs, "Customs", "swgw-customs-1"),
            Self::Kfda => ("AG000000000001", "KFDA", PartyKind::Agency, "Agency", "swgw-kfda-3"),
            Self::Npqs => ("AG000000000002", "NPQS", PartyKind::Agency, "Agency", "swgw-npqs-2"),
            Self::Kpta => ("AG000000000243", "KPTA", PartyKind::Agency, "Agency", "swgw-kpta-4"),
            Self::Nvrqs => ("AG000000000003", "NVRQS", PartyKind::Agency, "Agency", "swgw-nvrqs-2"),
            Self::Kmdia => ("AG000000000072", "KMDIA", PartyKind::Agency, "Agency", "swgw-kmdia-1"),
            Self::Ktl => ("AG000000000023", "KTL", PartyKind::Agency, "Agency", "swgw-ktl-1"),
            Self::Kdta => ("AG000000000073", "KDTA", PartyKind::Agency, "Agency", "swgw-kdta-1"),
            Self::Kahpa => ("AG000000000014", "KAHPA", PartyKind::Agency, "Agency", "swgw-kahpa-1"),
            Self::Ktic => ("AG000000000026", "KTIC", PartyKind::Agency, "Agency", "swgw-ktic-1"),
            Self::Katri => ("AG000000000028", "KATRI", PartyKind::Agency, "Agency", "swgw-katri-1"),
        }
    }

    /// Box number.
    pub(crate) fn key(self) -> PartyKey {
        PartyKey::new(self.told().0).expect("a box number")
    }

    /// Short name.
    pub(crate) const fn name(self) -> &'static str {
        self.told().1
    }

    /// The party with this box number.
    pub(crate) fn of(key: &PartyKey) -> Self {
        let found = Self::PARTNERS.into_iter().find(|who| who.told().0 == key.as_str());
        found.unwrap_or(Self::Gateway)
    }

    /// PartyId.
    pub(crate) fn id(self) -> PartyId {
        PartyId { value: self.told().0.into(), kind: Some("urn:swgw:party".into()) }
    }

    /// Role.
    pub(crate) fn role(self) -> Role {
        Role::new(self.told().3).expect("a Role")
    }

    /// The business number of who lodges.
    pub(crate) const fn business_number(self) -> Option<&'static str> {
        match self {
            Self::Broker => Some("1234500001"),
            Self::Trader => Some("1234500002"),
            Self::Importer => Some("1234500003"),
            Self::Merchant => Some("1234500004"),
            _ => None,
        }
    }

    /// Whether it may lodge.
    pub(crate) fn lodges(self) -> bool {
        Self::SUBMITTERS.contains(&self)
    }

    /// The agreement of a partner with the gateway.
    pub(crate) fn cpa_id(self) -> CpaId {
        CpaId::new(self.told().4).expect("a CPAId")
    }

    /// What the gateway sends to a partner (`true`) and gets from it (`false`).
    fn bindings(self) -> Vec<(bool, &'static str, &'static str)> {
        const IMPORT: &str = "ImportClearance";
        const REQUIREMENT: &str = "RequirementVerification";
        const PAYMENT: &str = "Payment";
        let results = |sends| Self::AGENCIES.map(move |(_, _, result)| (sends, REQUIREMENT, result));
        let applications =
            |sends| Self::AGENCIES.map(move |(_, application, _)| (sends, REQUIREMENT, application));
        match self {
            Self::Gateway => Vec::new(),
            Self::Broker | Self::Trader | Self::Importer | Self::Merchant => {
                let mut bindings = vec![
                    (false, IMPORT, "GOVCBR929"),
                    (false, IMPORT, "GOVCBR5FE"),
                    (false, IMPORT, "GOVCBR5BF"),
                    (true, IMPORT, "GOVCBR5FK"),
                    (true, IMPORT, "GOVCBR5BG"),
                    (true, IMPORT, "GOVCBRR99"),
                    (true, IMPORT, "GOVCBR023"),
                    (true, REQUIREMENT, "GOVCBRRBH"),
                    (true, PAYMENT, "GOVCBRXF1"),
                    (false, PAYMENT, "GOVCBRXF2"),
                    (true, PAYMENT, "GOVCBRXF3"),
                    (true, "Status", "GOVCBRXS2"),
                ];
                bindings.extend(applications(false));
                bindings.extend(results(true));
                bindings
            }
            Self::Customs => {
                let mut bindings = vec![
                    (true, IMPORT, "GOVCBR929"),
                    (true, IMPORT, "GOVCBR5FE"),
                    (true, IMPORT, "GOVCBR5BF"),
                    (false, IMPORT, "GOVCBR5FK"),
                    (false, IMPORT, "GOVCBR5BG"),
                    (false, IMPORT, "GOVCBRR99"),
                    (false, IMPORT, "GOVCBR023"),
                    (true, "Status", "GOVCBRXS2"),
                ];
                bindings.extend(results(true));
                bindings
            }
            agency => {
                let own = Self::AGENCIES.into_iter().find(|(who, ..)| *who == agency);
                let (_, application, result) = own.expect("an agency");
                vec![
                    (true, REQUIREMENT, application),
                    (false, REQUIREMENT, result),
                    (false, REQUIREMENT, "GOVCBRRBH"),
                    (false, PAYMENT, "GOVCBRXF1"),
                    (true, PAYMENT, "GOVCBRXF3"),
                ]
            }
        }
    }
}

/// A party's key and certificate, for TLS and signatures alike.
struct Identity {
    keys: SigningKeys,
    der: Vec<u8>,
    fingerprint: Fingerprint,
}

static IDENTITIES: LazyLock<BTreeMap<Who, Identity>> = LazyLock::new(|| {
    let everybody = Who::PARTNERS.into_iter().chain([Who::Gateway]);
    everybody.map(|who| (who, Identity::new(who.name()))).collect()
});

static KEY_RING: LazyLock<Arc<KeyRing>> = LazyLock::new(|| {
    let certificates = IDENTITIES.iter().map(|(who, identity)| (who.key(), identity.der.clone()));
    Arc::new(KeyRing::new(certificates).expect("every certificate can be used"))
});

impl Identity {
    fn new(name: &str) -> Self {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
        let key = PKey::from_ec_key(EcKey::generate(&curve).expect("a key")).expect("a key");
        let mut subject = X509Name::builder().expect("a name");
        subject.append_entry_by_text("CN", name).expect("a name");
        let subject = subject.build();
        let mut builder = X509::builder().expect("a certificate");
        builder.set_version(2).expect("version 3");
        builder.set_subject_name(&subject).expect("a subject");
        builder.set_issuer_name(&subject).expect("an issuer");
        builder.set_pubkey(&key).expect("a key");
        let day = |text| Asn1Time::from_str(text).expect("a time");
        builder.set_not_before(&day("20000101000000Z")).expect("a begin");
        builder.set_not_after(&day("20400101000000Z")).expect("an end");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        let certificate = builder.build();
        let pem = certificate.to_pem().expect("PEM");
        let key = key.private_key_to_pem_pkcs8().expect("PEM");
        let signing = SigningKey::from_pem(name, &pem, &key).expect("a key of the profile");
        let fingerprint = signing.fingerprint();
        Self { keys: SigningKeys::new(vec![signing]), der: certificate.to_der().expect("DER"), fingerprint }
    }
}

/// A party's keys.
pub(crate) fn keys(who: Who) -> &'static SigningKeys {
    &IDENTITIES[&who].keys
}

/// The one key that a party signs with.
pub(crate) fn signer(who: Who) -> &'static SigningKey {
    keys(who).key(SignatureAlgorithm::EcdsaSha256).expect("everybody has a P-256 key")
}

/// A party's TLS certificate.
pub(crate) fn certificate(who: Who) -> Fingerprint {
    IDENTITIES[&who].fingerprint
}

/// What the gateway and a partner agree on, as far as runs differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) sync_reply_mode: SyncReplyMode,
    /// What goes either way in a conversation is handed on in the order in which it was sent.
    pub(crate) message_order: bool,
    pub(crate) retries: u32,
    pub(crate) retry_interval: Duration,
    pub(crate) time_to_live: Duration,
    pub(crate) window: u32,
}

/// The gateway's side of the agreement with a partner.
fn agreement(with: Who, terms: &Terms) -> Agreement {
    let binding = |(sends, service, action): (bool, &str, &str)| ActionBinding {
        direction: if sends { Direction::Send } else { Direction::Receive },
        service: service.into(),
        service_type: Some("urn:swgw:service".into()),
        action: action.into(),
    };
    Agreement {
        cpa_id: with.cpa_id(),
        partner: with.key(),
        partner_ids: vec![with.id()],
        partner_role: with.role(),
        own_ids: vec![Who::Gateway.id()],
        own_role: Who::Gateway.role(),
        start: None,
        end: None,
        endpoint: Some(format!("https://{}.example/ebms", with.name()).into()),
        response_endpoint: None,
        hosted: false,
        forwards: false,
        practice: false,
        actions: with.bindings().into_iter().map(binding).collect(),
        sync_reply_mode: terms.sync_reply_mode,
        empty_answer: EmptyAnswer::default(),
        reliability: Reliability {
            duplicate_elimination: Presence::Always,
            ack_requested: Presence::Always,
            ack_signed: true,
            ack_signed_per_message: false,
            message_order: terms.message_order,
            retries: terms.retries,
            retry_interval: terms.retry_interval,
            persist_duration: Duration::from_secs(7 * 86_400),
            time_to_live: terms.time_to_live,
        },
        signature: SignatureTerms::strict(SignatureAlgorithm::EcdsaSha256),
        profile: PartnerProfile::strict(),
        window: terms.window,
        overrides: Vec::new(),
    }
}

/// The partner's side of the same agreement.
pub(crate) fn agreement_of_partner(partner: Who, terms: &Terms) -> Agreement {
    let mut mirrored = agreement(partner, terms);
    mirrored.partner = Who::Gateway.key();
    std::mem::swap(&mut mirrored.partner_ids, &mut mirrored.own_ids);
    std::mem::swap(&mut mirrored.partner_role, &mut mirrored.own_role);
    for binding in &mut mirrored.actions {
        binding.direction = match binding.direction {
            Direction::Send => Direction::Receive,
            Direction::Receive => Direction::Send,
        };
    }
    mirrored
}

fn party(who: Who) -> Party {
    let (_, name, kind, ..) = who.told();
    Party {
        key: who.key(),
        name: name.into(),
        kind,
        ids: vec![who.id()],
        business_number: who.business_number().map(Into::into),
        tls_certificates: vec![certificate(who)],
        signing_certificates: vec![certificate(who)],
        plays: None,
    }
}

/// What the gateway knows of everybody.
pub(crate) fn registry(terms: &BTreeMap<Who, Terms>) -> Registry {
    Registry::new(
        Who::PARTNERS.into_iter().map(party),
        terms.iter().map(|(who, terms)| agreement(*who, terms)),
    )
}

/// Whom `who` trusts, given what it knows of the others.
pub(crate) fn trust(who: Who, registry: Arc<Registry>) -> Trust {
    Trust {
        registry,
        keys: KEY_RING.clone(),
        engine: Engine::Own,
        own_ids: vec![who.id()],
        limits: OpenLimits::default(),
    }
}

/// What a partner knows: the gateway and their agreement.
pub(crate) fn trust_of_partner(partner: Who, terms: &Terms) -> Trust {
    let registry = Registry::new([party(Who::Gateway)], [agreement_of_partner(partner, terms)]);
    trust(partner, Arc::new(registry))
}
