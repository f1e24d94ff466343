//! A whole set of files, and every mistake that may be made in it.

use std::fs;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509Name};

use super::*;
use crate::model::{
    Canonicalization, CpaId, Deviation, DigestMethod, Direction, PartnerProfile, PartyId, PartyKey,
    PartyKind, Reliability, SignatureAlgorithm, SignatureTerms, SigningTerms, SyncReplyMode, Timestamp,
};

const SETTINGS: &str = r#"
[gateway]
party = "SW000000000001"
role = "SingleWindow"
domain = "sw.example"

[listen]
ebms = "127.0.0.1:8443"
admin = "127.0.0.1:9443"
socket = "run/gwanmun.sock"

[tls]
certificate = "own.pem"
key = "own.key"
anchors = ["own.pem"]

[[signing]]
certificate = "own.pem"
key = "own.key"

[store]
directory = "store"

[rules]
directory = "rules"

[partners]
directory = "partners"

[limits]
body_bytes_max = 1_000_000
message_age_max = "2 days"
"#;

const KFDA: &str = r#"
[party]
key = "AG000000000001"
name = "KFDA"
kind = "agency"
tls_certificates = ["../kfda.pem"]
signing_certificates = ["../kfda.pem"]

[[agreement]]
cpa_id = "sw-kfda"
partner_role = "Agency"
endpoint = "https://127.0.0.1:18443/ebms"
sync_reply_mode = "none"
send = ["RequirementVerification GOVCBRX01"]
receive = ["urn:swgw:service:requirement GOVCBRX51"]
retries = 5
retry_interval = "10s"
own_algorithm = "ecdsa-sha256"
"#;

const RULES: &str = r#"
format = "swgw-rules/1"
id = "none"
revision = "1"
time_zone = "Asia/Seoul"
tables = ["rows.csv"]

[agency]
KFDA = { party = "AG000000000001", cpa = "sw-kfda", mode = "system" }
"#;

const ROWS: &str = "id,from,until,hs,law,agency,application,result\n";

const PARTY: &str = r#"
[identity]
party = "AG000000000001"
role = "Agency"
domain = "kfda.example"

[listen]
ebms = "127.0.0.1:18443"

[tls]
certificate = "kfda.pem"
key = "kfda.key"
anchors = ["own.pem"]

[[signing]]
certificate = "kfda.pem"
key = "kfda.key"

[journal]
directory = "kfda"

[gateway]
key = "SW000000000001"
name = "gateway"
tls_certificates = ["own.pem"]
signing_certificates = ["own.pem"]

[[agreement]]
cpa_id = "sw-kfda"
partner_role = "SingleWindow"
endpoint = "https://127.0.0.1:8443/ebms"
send = ["RequirementVerification GOVCBRX51"]
receive = ["RequirementVerification GOVCBRX01"]
"#;

/// A directory with everything in order.
fn world() -> tempfile::TempDir {
    let world = tempfile::tempdir().expect("makes a directory");
    for directory in ["partners", "rules"] {
        fs::create_dir(world.path().join(directory)).expect("makes it");
    }
    for name in ["own", "kfda", "other"] {
        let (certificate, key) = certificate(name);
        fs::write(world.path().join(format!("{name}.pem")), certificate).expect("writes");
        fs::write(world.path().join(format!("{name}.key")), key).expect("writes");
    }
    fs::write(world.path().join("gwanmun.toml"), SETTINGS).expect("writes");
    fs::write(world.path().join("partners/kfda.toml"), KFDA).expect("writes");
    fs::write(world.path().join("rules/ruleset.toml"), RULES).expect("writes");
    fs::write(world.path().join("rules/rows.csv"), ROWS).expect("writes");
    world
}

fn certificate(name: &str) -> (Vec<u8>, Vec<u8>) {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("is known");
    let key = PKey::from_ec_key(EcKey::generate(&curve).expect("generates")).expect("wraps");
    let mut subject = X509Name::builder().expect("starts");
    subject.append_entry_by_text("CN", name).expect("sets");
    let subject = subject.build();
    let mut builder = X509::builder().expect("starts");
    builder.set_version(2).expect("sets");
    builder.set_subject_name(&subject).expect("sets");
    builder.set_issuer_name(&subject).expect("sets");
    builder.set_pubkey(&key).expect("sets");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("is a time")).expect("sets");
    builder.set_not_after(&Asn1Time::days_from_now(9).expect("is a time")).expect("sets");
    builder.sign(&key, MessageDigest::sha256()).expect("signs");
    let pem = builder.build().to_pem().expect("encodes");
    (pem, key.private_key_to_pem_pkcs8().expect("encodes"))
}

#[test]
fn a_set_in_order_is_what_it_says() {
    let world = world();
    let loaded = load(&world.path().join("gwanmun.toml")).expect("is in order");
    let settings = loaded.settings;
    assert_eq!(settings.identity.key.as_str(), "SW000000000001");
    assert_eq!(settings.server.body_bytes_max, 1_000_000);
    assert_eq!(settings.client.request_bytes_per_second_min, 65_536);
    assert_eq!(settings.age.age_max.as_secs(), 2 * 86_400);
    assert_eq!(settings.store.directory, world.path().join("store"));
    let registry = loaded.partners.registry;
    let kfda = registry.party(&PartyKey::new("AG000000000001").expect("a key")).expect("is registered");
    assert_eq!((&*kfda.name, kfda.kind), ("KFDA", PartyKind::Agency));
    let agreement = registry.agreement(&CpaId::new("sw-kfda").expect("a CPAId")).expect("is there");
    assert!(agreement.allows(Direction::Send, "RequirementVerification", "GOVCBRX01"));
    assert!(!agreement.allows(Direction::Send, "RequirementVerification", "GOVCBRX51"));
    let types: Vec<_> = agreement.actions.iter().map(|binding| binding.service_type.as_deref()).collect();
    assert_eq!(types, [Some("urn:swgw:service"), None], "a Service that is no URI has our type of names");
    assert_eq!(agreement.sync_reply_mode, SyncReplyMode::None);
    assert_eq!(agreement.own_role.as_str(), "SingleWindow");
    assert_eq!(agreement.reliability.retries, 5);
    assert_eq!(loaded.partners.signing_certificates.len(), 1);
    assert_eq!(loaded.keys.validity().count(), 1);
    assert_eq!(loaded.rules.id(), "none");
    let socket = socket_of(&world.path().join("gwanmun.toml")).expect("is read");
    assert_eq!(socket, world.path().join("run/gwanmun.sock"));
}

#[test]
fn an_agreement_adds_to_its_profile_and_the_strict_one_is_what_it_has_without() {
    let signature = |lines: &str| {
        let world = world();
        let path = world.path().join("partners/kfda.toml");
        let text = fs::read_to_string(&path).expect("is there");
        fs::write(&path, format!("{text}{lines}")).expect("writes");
        let registry = load(&world.path().join("gwanmun.toml")).expect("is in order").partners.registry;
        let agreement = registry.agreement(&CpaId::new("sw-kfda").expect("a CPAId")).expect("is there");
        (agreement.signature.clone(), agreement.profile.clone())
    };
    let strict = SignatureTerms::strict(SignatureAlgorithm::EcdsaSha256);
    assert_eq!(signature(""), (strict.clone(), PartnerProfile::strict()));
    let (terms, profile) = signature(
        "profile = \"nhs-spine\"\nown_digest = \"sha512\"\nown_canonicalization = \"exclusive\"\n\
         own_payload_transforms = true\naccepted_algorithms = [\"ed25519\"]\naccepted_digests = [\"sha384\"]\n\
         accepted_canonicalizations = [\"c14n11\"]\nsha1_until = \"2027-01-01T00:00:00Z\"\n",
    );
    assert_eq!(&*profile.name, "nhs-spine");
    assert!(profile.allows(Deviation::MissingRole) && !profile.allows(Deviation::NoActorFilter));
    let expected = SignatureTerms {
        own: SigningTerms {
            digest: DigestMethod::Sha512,
            canonicalization: Canonicalization::Exclusive,
            payload_transforms: true,
            ..strict.own
        },
        accepted: vec![SignatureAlgorithm::Ed25519],
        digests: vec![DigestMethod::Sha384],
        canonicalizations: vec![Canonicalization::Xml11],
        sha1_until: Some("2027-01-01T00:00:00Z".parse().expect("an instant")),
    };
    assert_eq!(terms, expected);
}

/// What no certificate of a partner can sign by, and a list of nothing, are mistakes and not silence.
#[test]
fn an_agreement_accepts_what_its_partner_can_sign_with() {
    let partner = |lines: &str| {
        let world = world();
        let path = world.path().join("partners/kfda.toml");
        let text = fs::read_to_string(&path).expect("is there");
        fs::write(&path, format!("{text}{lines}\n")).expect("writes");
        told(&world)
    };
    let nothing = |partner: &str| format!("accepts no algorithm that a certificate of {partner} can sign by");
    for (lines, expected) in [
        ("accepted_algorithms = [\"ed25519\"]", Some(nothing("AG000000000001"))),
        ("accepted_algorithms = [\"rsa-sha256\"]", Some(nothing("AG000000000001"))),
        ("profile = \"phinms\"", None),
        ("accepted_algorithms = [\"ecdsa-sha512\"]", None),
        ("accepted_algorithms = []", Some("accepted_algorithms names nothing".to_owned())),
        ("accepted_digests = []", Some("accepted_digests names nothing".to_owned())),
        ("accepted_canonicalizations = []", Some("accepted_canonicalizations names nothing".to_owned())),
    ] {
        let told = partner(lines);
        assert_eq!(told.is_empty(), expected.is_none(), "{lines}: {told:?}");
        if let Some(expected) = expected {
            assert!(told.iter().any(|fault| fault.contains(&expected)), "{lines}: {told:?}");
        }
    }
}

/// What libxmlsec1 cannot verify is not agreed where the settings ask it.
#[test]
fn an_agreement_needs_an_engine_that_verifies_all_of_it() {
    let lacking = |what: &str| {
        format!(
            "partners:1:1: agreement sw-kfda accepts {what}, which libxmlsec1 cannot verify: it needs [signature] \
             engine \"own\""
        )
    };
    for (engine, lines, expected) in [
        ("xmlsec", "accepted_algorithms = [\"ecdsa-sha256\", \"rsa-pss-sha256\"]", vec!["rsa-pss-sha256"]),
        ("both", "accepted_algorithms = [\"ecdsa-sha256\", \"ed25519\"]", vec!["ed25519"]),
        ("both", "sha1_until = \"9999-01-01T00:00:00Z\"", vec!["sha1_until"]),
        ("both", "sha1_until = \"2020-01-01T00:00:00Z\"", vec![]),
        ("xmlsec", "sha1_until = \"2020-01-01T00:00:00Z\"", vec![]),
        (
            "both",
            "profile = \"standard\"",
            vec!["content-location", "ed25519", "rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512"],
        ),
        ("both", "profile = \"digikoppeling\"", vec![]),
        ("own", "profile = \"standard\"\nsha1_until = \"9999-01-01T00:00:00Z\"", vec![]),
    ] {
        let world = world();
        for (file, more) in [
            ("gwanmun.toml", format!("\n[signature]\nengine = \"{engine}\"\n")),
            ("partners/kfda.toml", format!("{lines}\n")),
        ] {
            let path = world.path().join(file);
            let text = fs::read_to_string(&path).expect("is there");
            fs::write(&path, text + &more).expect("writes");
        }
        let expected: Vec<_> = expected.into_iter().map(lacking).collect();
        let mut told = told(&world);
        told.sort();
        assert_eq!(told, expected, "{engine} {lines}");
    }
}

/// An exception that is over is told, and the set stays a set: no day that comes keeps a gateway from starting.
#[test]
fn an_exception_that_is_over_is_a_warning() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("an instant");
    for (until, warned) in
        [("2025-12-31T23:59:59Z", true), ("2026-01-01T00:00:00Z", true), ("2026-01-01T00:00:01Z", false)]
    {
        let world = world();
        let file = world.path().join("partners/kfda.toml");
        fs::write(&file, format!("{KFDA}sha1_until = \"{until}\"\n")).expect("writes");
        let loaded = load(&world.path().join("gwanmun.toml")).expect("is in order");
        let told = warnings(&loaded, now);
        assert_eq!(told.len(), usize::from(warned), "{until}: {told:?}");
        if let [only] = told.as_slice() {
            assert!(
                only.file == file && only.message.contains("sw-kfda: sha1_until is over since"),
                "{only}"
            );
        }
    }
}

/// Replaces text in one file of a set in order, and names the faults as `file:line:column: message`.
fn faults(file: &str, change: impl Fn(&str) -> String) -> Vec<String> {
    let world = world();
    let path = world.path().join(file);
    let text = fs::read_to_string(&path).expect("is there");
    let changed = change(&text);
    assert_ne!(text, changed, "the change changes something");
    fs::write(path, changed).expect("writes");
    told(&world)
}

fn told(world: &tempfile::TempDir) -> Vec<String> {
    let Err(faults) = load(&world.path().join("gwanmun.toml")) else { return Vec::new() };
    let root = world.path().display().to_string();
    let line = |fault: ConfigFault| {
        assert!(!fault.remedy.is_empty(), "{fault}");
        let file = fault.file.display().to_string().replace(&format!("{root}/"), "");
        let message = fault.message.replace(&format!("{root}/"), "");
        format!("{file}:{}:{}: {message}", fault.line, fault.column)
    };
    faults.into_iter().map(line).collect()
}

#[test]
fn every_mistake_is_told_with_its_place() {
    fn check(file: &str, from: &str, to: &str, expected: &[&str]) {
        let told = faults(file, |text| text.replacen(from, to, 1));
        assert_eq!(told, expected, "{from} -> {to}");
    }
    let settings = "gwanmun.toml";
    check(settings, "domain = \"sw.example\"", "", &["gwanmun.toml:2:1: [gateway] domain is missing"]);
    check(
        settings,
        "role =",
        "rolle =",
        &["gwanmun.toml:4:1: unknown key rolle (string)", "partners/kfda.toml:9:1: our role is not known"],
    );
    check(
        settings,
        "127.0.0.1:9443",
        "0.0.0.0:9443",
        &[
            "gwanmun.toml:9:9: admin: \"0.0.0.0:9443\" is not a loopback address and port such as 127.0.0.1:9443",
        ],
    );
    check(
        settings,
        "certificate = \"own.pem\"",
        "certificate = \"gone.pem\"",
        &["gwanmun.toml:13:15: certificate: \"gone.pem\" is not an existing path"],
    );
    check(
        settings,
        "body_bytes_max = 1_000_000",
        "body_bytes_max = 0",
        &["gwanmun.toml:31:18: body_bytes_max: \"0\" is not a whole number within its bounds"],
    );
    check(
        settings,
        "\"2 days\"",
        "\"soon\"",
        &["gwanmun.toml:32:19: message_age_max: \"soon\" is not duration such as \"30s\""],
    );
    check(
        settings,
        "[store]",
        "[signature]\nengine = \"fast\"\n\n[store]",
        &["gwanmun.toml:22:10: engine: \"fast\" is not own, xmlsec or both"],
    );
    let kfda = "partners/kfda.toml";
    check(
        kfda,
        "own_algorithm = \"ecdsa-sha256\"",
        "",
        &["partners:1:1: agreement sw-kfda wants us to sign with \
             http://www.w3.org/2001/04/xmldsig-more#rsa-sha256, and no [[signing]] key does"],
    );
    check(
        kfda,
        "retries = 5",
        "profile = \"lenient\"",
        &[
            "partners/kfda.toml:16:11: profile: \"lenient\" is not strict, standard, digikoppeling, nhs-spine, norwegian-health or phinms",
        ],
    );
    check(
        kfda,
        "\"ecdsa-sha256\"",
        "\"rsa-sha1\"",
        &[
            "partners:1:1: agreement sw-kfda wants us to sign with \
             http://www.w3.org/2001/04/xmldsig-more#rsa-sha256, and no [[signing]] key does",
            "partners/kfda.toml:18:17: own_algorithm: \"rsa-sha1\" is not rsa-sha256, -384 or -512, rsa-pss-sha256, \
             -384 or -512, ecdsa-sha256, -384 or -512, or ed25519",
        ],
    );
    check(
        "rules/ruleset.toml",
        "\"sw-kfda\"",
        "\"sw-kfda-2\"",
        &["rules/ruleset.toml:9:42: sw-kfda-2 is no agreement that is registered"],
    );
    check(
        kfda,
        "\"agency\"",
        "\"ministry\"",
        &["partners/kfda.toml:5:8: kind: \"ministry\" is not declarant, agency or customs"],
    );
    check(
        kfda,
        "https:",
        "http:",
        &[
            "partners/kfda.toml:12:12: endpoint: \"http://127.0.0.1:18443/ebms\" is not a URL such as https://host:8443/ebms",
        ],
    );
    check(
        kfda,
        "endpoint = \"https://127.0.0.1:18443/ebms\"",
        "",
        &["partners/kfda.toml:9:1: there is neither an endpoint nor a mailbox"],
    );
    check(
        kfda,
        "endpoint =",
        "mailbox = true\nendpoint =",
        &["partners/kfda.toml:9:1: there is an endpoint and a mailbox"],
    );
    check(
        kfda,
        "endpoint = \"https://127.0.0.1:18443/ebms\"",
        "mailbox = true",
        &["gwanmun.toml:1:1: agreement sw-kfda has a mailbox, and [listen] api is missing"],
    );
    check(
        kfda,
        "retry_interval = \"10s\"",
        "retry_interval = \"10 days\"",
        &["partners/kfda.toml:9:1: time_to_live is not longer than all transmissions take"],
    );
    check(
        kfda,
        "\"RequirementVerification GOVCBRX01\"",
        "\"GOVCBRX01\"",
        &["partners/kfda.toml:14:9: send: \"GOVCBRX01\" is not a Service and an Action with a space between"],
    );
    check(
        kfda,
        "AG000000000001",
        "SW000000000001",
        &[
            "partners/kfda.toml:2:1: this party is already that of this node",
            "partners/kfda.toml:2:1: this PartyId is already that of this node",
        ],
    );
}

/// Five retries every ten seconds take a minute with the wait after the last.
//= ebms2 6.4.5 MUST: TimeToLive is longer than (Retries + 1) times RetryInterval, or the agreement is refused
//= ebms2 6.4.6 MUST: PersistDuration is longer than TimeToLive, or the agreement is refused
#[test]
fn what_is_sent_last_is_still_taken_and_what_is_taken_last_still_known() {
    fn check(terms: &str, expected: &[&str]) {
        let with = |text: &str| text.replacen("retries = 5\n", &format!("retries = 5\n{terms}"), 1);
        let told = faults("partners/kfda.toml", with);
        let expected: Vec<_> =
            expected.iter().map(|text| format!("partners/kfda.toml:9:1: {text}")).collect();
        assert_eq!(told, expected, "{terms}");
    }
    let (short, forgets) = (
        "time_to_live is not longer than all transmissions take",
        "persist_duration is not longer than time_to_live",
    );
    check("time_to_live = \"61s\"\n", &[]);
    check("time_to_live = \"60s\"\n", &[short]);
    check("time_to_live = \"1s\"\n", &[short]);
    check("time_to_live = \"61s\"\npersist_duration = \"62s\"\n", &[]);
    check("time_to_live = \"61s\"\npersist_duration = \"61s\"\n", &[forgets]);
    check("time_to_live = \"61s\"\npersist_duration = \"1s\"\n", &[forgets]);
    check("time_to_live = \"60s\"\npersist_duration = \"60s\"\n", &[short, forgets]);
}

#[test]
fn some_actions_of_an_agreement_have_terms_of_their_own() {
    let directory = world();
    let kfda = directory.path().join("partners/kfda.toml");
    let terms = "[[agreement.override]]\nsend = [\"RequirementVerification GOVCBRX01\"]\n\
                 endpoint = \"https://127.0.0.1:18444/ebms\"\nretries = 2\nack_signed = false\n";
    fs::write(&kfda, format!("{KFDA}{terms}")).expect("writes");
    let loaded = load(&directory.path().join("gwanmun.toml")).expect("is in order");
    let agreement = loaded.partners.registry.agreements().next().expect("there is one");
    let application = agreement.on(Direction::Send, "RequirementVerification", "GOVCBRX01");
    assert_eq!(application.endpoint.as_deref(), Some("https://127.0.0.1:18444/ebms"));
    let Reliability { retries, retry_interval, ack_signed, .. } = application.reliability;
    assert_eq!(
        (retries, retry_interval.as_secs(), ack_signed),
        (2, 10, false),
        "what it does not say is as usual"
    );
    assert_eq!(application.sync_reply_mode, SyncReplyMode::None);
    for other in [
        agreement.on(Direction::Receive, "urn:swgw:service:requirement", "GOVCBRX51"),
        agreement.on(Direction::Send, "urn:oasis:names:tc:ebxml-msg:service", "Acknowledgment"),
    ] {
        assert_eq!(other, agreement);
    }

    fn check(terms: &str, expected: &[&str]) {
        let world = world();
        let text = format!("{KFDA}[[agreement.override]]\n{terms}");
        fs::write(world.path().join("partners/kfda.toml"), text).expect("writes");
        let told = told(&world);
        let matches = told.iter().zip(expected).all(|(told, expected)| told.contains(expected));
        assert!(told.len() == expected.len() && matches, "{terms}: {told:#?}");
    }
    let send = "send = [\"RequirementVerification GOVCBRX01\"]\n";
    check("retries = 2\n", &["it is for no Action"]);
    check("send = [\"Payment GOVCBRXF3\"]\n", &["Payment GOVCBRXF3 is not under send or receive"]);
    check(&format!("{send}[[agreement.override]]\n{send}"), &["has other terms twice"]);
    check(&format!("{send}time_to_live = \"1m\"\n"), &["time_to_live is not longer"]);
    check(&format!("{send}endpoint = \"http://127.0.0.1/ebms\"\n"), &["endpoint"]);
    check(&format!("{send}own_algorithm = \"rsa-sha256\"\n"), &["unknown key own_algorithm"]);
    let receive = "receive = [\"urn:swgw:service:requirement GOVCBRX51\"]\n";
    check(&format!("{receive}endpoint = \"https://127.0.0.1:1/ebms\"\n"), &["nothing that is posted there"]);
    check(
        &format!("{receive}response_endpoint = \"https://127.0.0.1:1/ebms\"\n"),
        &["nothing that is posted there"],
    );
    let alone = "signals have an endpoint of their own, and nothing else";
    check("signals = [\"Pong\"]\nretries = 2\n", &[alone]);
    let msh = crate::model::Service::MSH;
    check(&format!("send = [\"{msh} Pong\"]\n"), &["is not under send or receive"]);
    check(&format!("{send}signals = [\"Pong\"]\n"), &[alone]);
    check("signals = [\"Pang\"]\n", &["it is for no Action", "\"Pang\" is not Acknowledgment"]);
    check("signals = [\"Pong\"]\n[[agreement.override]]\nsignals = [\"Pong\"]\n", &["has other terms twice"]);
}

/// A partner that has several names, several Roles and several places to be posted at (CPPA 2.0).
#[test]
fn a_partner_has_several_names_roles_and_endpoints() {
    let directory = world();
    let text = KFDA
        .replace("name = \"KFDA\"", "name = \"KFDA\"\nother_ids = [\"urn:duns 880000001\", \"urn:kfda\"]")
        .replace(
            "sync_reply",
            "response_endpoint = \"https://127.0.0.1:1/a\"\nother_own_ids = [\"urn:duns 1\"]\nsync_reply",
        );
    let text = format!(
        "{text}[[agreement.override]]\nreceive = [\"urn:swgw:service:requirement GOVCBRX51\"]\n\
         own_role = \"Applicant\"\npartner_role = \"Inspector\"\n\
         [[agreement.override]]\nsignals = [\"MessageError\"]\nendpoint = \"https://127.0.0.1:1/e\"\n\
         [[agreement.override]]\nsend = [\"RequirementVerification GOVCBRX01\"]\nendpoint = \"https://127.0.0.1:1/x\"\n"
    );
    fs::write(directory.path().join("partners/kfda.toml"), &text).expect("writes");
    let loaded = load(&directory.path().join("gwanmun.toml")).expect("is in order");
    let registry = &loaded.partners.registry;
    let party = registry.parties().next().expect("there is one");
    let id = |kind: Option<&str>, value: &str| PartyId { value: value.into(), kind: kind.map(Into::into) };
    let [duns, uri] = [id(Some("urn:duns"), "880000001"), id(None, "urn:kfda")];
    assert_eq!(party.ids[1..], [duns.clone(), uri.clone()]);
    for id in [&duns, &uri, &party.ids[0]] {
        assert_eq!(registry.party_by_id(id), Some(party));
    }
    let agreement = registry.agreements().next().expect("there is one");
    assert_eq!((agreement.partner_ids.len(), &agreement.own_ids[1]), (3, &id(Some("urn:duns"), "1")));
    let inspected = agreement.on(Direction::Receive, "urn:swgw:service:requirement", "GOVCBRX51");
    assert_eq!((inspected.own_role.as_str(), inspected.partner_role.as_str()), ("Applicant", "Inspector"));
    assert_eq!((agreement.own_role.as_str(), agreement.partner_role.as_str()), ("SingleWindow", "Agency"));
    let posted = |service: &str, action: &str, is_answer: bool| {
        let url = agreement.on(Direction::Send, service, action).endpoint_of(is_answer);
        url.map(|url| url.rsplit('/').next().unwrap_or_default().to_owned())
    };
    let msh = crate::model::Service::MSH;
    for (service, action, is_answer, expected) in [
        (msh, "Acknowledgment", true, "a"),
        (msh, "MessageError", true, "e"),
        (msh, "Ping", false, "ebms"),
        ("RequirementVerification", "GOVCBRX01", false, "x"),
        ("RequirementVerification", "GOVCBRX01", true, "x"),
        ("RequirementVerification", "another", true, "a"),
    ] {
        assert_eq!(posted(service, action, is_answer).as_deref(), Some(expected), "{action} {is_answer}");
    }

    let check = |from: &str, to: &str, expected: &str| {
        let edited = text.replace(from, to);
        assert_ne!(edited, text, "{from} is there");
        fs::write(directory.path().join("partners/kfda.toml"), edited).expect("writes");
        let told = told(&directory);
        assert!(told.iter().any(|told| told.contains(expected)), "{from} -> {to}: {told:#?}");
    };
    check("\"urn:duns 880000001\"", "\"880000001\"", "other_ids: \"880000001\" is not a type and a PartyId");
    check(
        "\"urn:duns 880000001\"",
        "\"urn:swgw:party SW000000000001\"",
        "this PartyId is already that of this node",
    );
    check("[\"urn:duns 1\"]", "[\"urn:duns 880000001\"]", "this PartyId is already that of");
    check(
        "endpoint = \"https://127.0.0.1:18443/ebms\"",
        "mailbox = true",
        "an endpoint for answers, and none",
    );
}

#[test]
fn mistakes_of_all_files_are_told_together() {
    let world = world();
    fs::write(world.path().join("gwanmun.toml"), SETTINGS.replace("127.0.0.1:8443", "8443")).expect("writes");
    assert_eq!(
        told(&world).len(),
        1,
        "partners cannot be read without knowing who we are, but its own is told"
    );
    fs::write(world.path().join("gwanmun.toml"), SETTINGS.replace("own.key", "other.key")).expect("writes");
    fs::write(world.path().join("kfda.pem"), "no certificate").expect("writes");
    let told = told(&world);
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told.iter().any(|fault| fault.starts_with("gwanmun.toml:1:1: [[signing]]")), "{told:#?}");
    assert!(told.iter().any(|fault| fault.starts_with("gwanmun.toml:1:1: [tls]")), "{told:#?}");
    assert!(
        told.iter().any(|fault| fault.starts_with("partners/../kfda.pem:1:1: as a certificate")),
        "{told:#?}"
    );
}

#[test]
fn nothing_belongs_to_two_parties() {
    let world = world();
    let second = KFDA.replace("AG000000000001", "AG000000000002");
    fs::write(world.path().join("partners/second.toml"), second).expect("writes");
    let told = told(&world);
    for what in ["name", "certificate", "cpa_id"] {
        let expected = format!("this {what} is already that of");
        assert!(told.iter().any(|fault| fault.contains(&expected)), "{what}: {told:#?}");
    }
    assert_eq!(told.len(), 3, "P6: {told:#?}");
}

#[test]
fn a_party_file_is_the_same_agreement_from_the_other_side() {
    let world = world();
    let path = world.path().join("party.toml");
    fs::write(&path, PARTY).expect("writes");
    let party = load_party(&path).expect("is in order");
    assert_eq!(party.identity.key.as_str(), "AG000000000001");
    assert_eq!(party.directory, world.path().join("kfda"));
    assert_eq!(party.gateway().kind, PartyKind::SingleWindow);
    assert_eq!(party.service_of("GOVCBRX51").as_deref(), Some("RequirementVerification"));
    let now = "2026-11-29T00:00:00Z".parse().expect("an instant");
    let agreement = party.agreement_to_send("RequirementVerification", "GOVCBRX51", now).expect("is agreed");
    assert_eq!((agreement.own_role.as_str(), agreement.partner_role.as_str()), ("Agency", "SingleWindow"));
    assert!(party.agreement_to_send("RequirementVerification", "GOVCBRX01", now).is_none());

    fs::write(&path, PARTY.replace("[journal]\n", "").replace("role = \"Agency\"", "")).expect("writes");
    let told: Vec<_> = load_party(&path).expect_err("is refused").iter().map(|f| f.message.clone()).collect();
    assert_eq!(
        told,
        ["[journal] directory is missing", "unknown key directory (string)", "our role is not known"]
    );
}

/// A partner file by who it is, with keys of `[party]` and of its agreement that are particular to it.
fn partner(name: &str, kind: &str, party: &str, agreement: &str) -> String {
    let role = if kind == "customs" { "Customs" } else { "Agency" };
    format!(
        "[party]\nkey = \"{name}\"\nname = \"{name}\"\nkind = \"{kind}\"\n{party}\n\
         tls_certificates = [\"../{name}.pem\"]\nsigning_certificates = [\"../{name}.pem\"]\n\
         [[agreement]]\ncpa_id = \"sw-{name}\"\npartner_role = \"{role}\"\nmailbox = true\n{agreement}\n\
         send = [\"RequirementVerification GOVCBRX01\"]\nown_algorithm = \"ecdsa-sha256\"\n"
    )
}

#[test]
fn practice_is_played_by_parties_of_its_own_and_everything_is_played() {
    let world = world();
    for name in ["customs", "player", "stage"] {
        fs::write(world.path().join(format!("{name}.pem")), certificate(name).0).expect("writes");
    }
    let settings = SETTINGS.replace("admin =", "api = \"127.0.0.1:9444\"\nadmin =");
    fs::write(world.path().join("gwanmun.toml"), settings).expect("writes");
    let players = [
        ("customs", partner("customs", "customs", "", "")),
        ("player", partner("player", "agency", "plays = [\"*\"]", "practice = true")),
        ("stage", partner("stage", "customs", "plays = [\"customs\"]", "practice = true")),
    ];
    let lay_out = || {
        for (name, text) in &players {
            fs::write(world.path().join(format!("partners/{name}.toml")), text).expect("writes");
        }
        fs::write(world.path().join("partners/kfda.toml"), KFDA).expect("writes");
    };
    let check = |name: &str, from: &str, to: &str, expected: &[&str]| {
        lay_out();
        let path = world.path().join(format!("partners/{name}.toml"));
        let text = fs::read_to_string(&path).expect("is there");
        assert!(text.contains(from), "{name} has {from}");
        fs::write(&path, text.replacen(from, to, 1)).expect("writes");
        assert_eq!(told(&world), expected, "{name}: {from} -> {to}");
    };
    check("player", "plays", "plays", &[]);
    check(
        "player",
        "practice = true",
        "",
        &["partners/player.toml:8:1: a production agreement, and the party plays in practice"],
    );
    check(
        "kfda",
        "retries = 5",
        "practice = true",
        &["partners/kfda.toml:9:1: an agreement for practice, and the party plays nothing in it"],
    );
    check("player", "\"*\"", "\"NPQS\"", &["partners:1:1: nobody plays agency KFDA in practice"]);
    check("player", "\"*\"", "\"KFDA\"", &[]);
    check(
        "player",
        "[\"*\"]",
        "[]",
        &["partners/player.toml:1:1: plays is neither a list of agency codes nor \"*\" alone"],
    );
    check(
        "player",
        "[\"*\"]",
        "[\"KFDA\", \"*\"]",
        &["partners/player.toml:1:1: plays is neither a list of agency codes nor \"*\" alone"],
    );
    check(
        "stage",
        "\"customs\"]",
        "\"KFDA\"]",
        &["partners/stage.toml:1:1: customs plays customs, and nothing else"],
    );
    check(
        "customs",
        "\n\n",
        "\nplays = [\"customs\"]\n",
        &[
            "partners/customs.toml:8:1: a production agreement, and the party plays in practice",
            "partners/stage.toml:1:1: this part in practice is already that of {customs}",
        ]
        .map(|text| {
            let path = world.path().join("partners/customs.toml").display().to_string();
            text.replace("{customs}", &path.replace(&format!("{}/", world.path().display()), ""))
        })
        .each_ref()
        .map(String::as_str),
    );
    lay_out();
    fs::remove_file(world.path().join("partners/stage.toml")).expect("is there");
    assert_eq!(told(&world), ["partners:1:1: agreement sw-player is for practice, and nobody plays customs"]);
}

/// A bank in `gwanmun.toml`.
const PAYMENT: &str = r#"
[payment]
url = "https://bank.example/payments"
certificate = "own.pem"
key = "own.key"
anchors = ["own.pem"]
retry_interval = "5s"
retry_interval_max = "1m"
alarm_after = "2m"
"#;

#[test]
fn a_bank_is_what_the_settings_say_and_none_without_them() {
    let world = world();
    let path = world.path().join("gwanmun.toml");
    let without = load(&path).expect("is in order");
    assert!(without.settings.payment.is_none() && without.bank.is_none());
    fs::write(&path, format!("{SETTINGS}{PAYMENT}")).expect("writes");
    let loaded = load(&path).expect("is in order");
    let payment = loaded.settings.payment.expect("there is a bank");
    assert_eq!(payment.url.to_string(), "https://bank.example:443/payments");
    let seconds = std::time::Duration::from_secs;
    let expected = crate::model::PaymentTerms {
        retry_interval: seconds(5),
        retry_interval_max: seconds(60),
        alarm_after: seconds(120),
    };
    assert_eq!((payment.bank.terms, payment.response_deadline), (expected, seconds(30)));
    assert_eq!(&*payment.bank.name, "https://bank.example:443/payments", "without a name, its URL");
    assert!(loaded.bank.is_some());
}

#[test]
fn every_mistake_about_a_bank_is_told() {
    fn check(from: &str, to: &str, message: &str) {
        let world = world();
        let path = world.path().join("gwanmun.toml");
        assert!(PAYMENT.contains(from), "{from}");
        fs::write(&path, format!("{SETTINGS}{}", PAYMENT.replacen(from, to, 1))).expect("writes");
        let faults = load(&path).expect_err(message);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|fault| fault.contains(message)), "{message:?} in {told:#?}");
    }
    check("https://bank", "http://bank", "is not a URL such as https://bank.example/payments");
    check("/payments", "/payments?for=swgw", "is not a URL such as https://bank.example/payments");
    check("url = ", "uri = ", "[payment] url is missing");
    check("retry_interval = \"5s\"", "retry_interval = \"2m\"", "not between nothing and retry_interval_max");
    check("retry_interval = \"5s\"", "retry_interval = \"0s\"", "not between nothing and retry_interval_max");
    check("own.key", "kfda.key", "[payment]");
    check("own.key", "missing.key", "is not an existing path");
}

#[test]
fn rehearsals_have_a_bank_of_their_own() {
    let world = world();
    let path = world.path().join("gwanmun.toml");
    let practice = PAYMENT.replace("[payment]", "[practice_payment]");
    fs::write(&path, format!("{SETTINGS}{PAYMENT}{practice}")).expect("writes");
    // However it is written.
    let other_spellings = [
        practice.clone(),
        practice.replace("/payments", "/payments/"),
        practice.replace("bank.example", "BANK.Example"),
        practice.replace("bank.example", "bank.example:443"),
    ];
    for practice in other_spellings {
        fs::write(&path, format!("{SETTINGS}{PAYMENT}{practice}")).expect("writes");
        let told = load(&path).expect_err("is one bank for both")[0].to_string();
        assert!(told.contains("[payment] and [practice_payment] are the same bank"), "{told}\n{practice}");
    }
    let practice = practice.replace("bank.example", "practice-bank.example");
    fs::write(&path, format!("{SETTINGS}{PAYMENT}{practice}")).expect("writes");
    let loaded = load(&path).expect("is in order");
    assert!(loaded.practice_bank.is_some() && loaded.settings.practice_payment.is_some());
}

/// `BANK.toml` of a practice bank.
const BANK: &str = r#"
[listen]
api = "127.0.0.1:18444"

[tls]
certificate = "kfda.pem"
key = "kfda.key"
anchors = ["own.pem"]

[clients]
tls_certificates = ["own.pem"]

[ledger]
directory = "bank"
"#;

#[test]
fn a_practice_bank_knows_whose_orders_it_takes() {
    let world = world();
    let path = world.path().join("bank.toml");
    fs::write(&path, BANK).expect("writes");
    let bank = super::load_bank(&path).expect("is in order");
    assert_eq!((bank.clients.len(), bank.directory), (1, world.path().join("bank")));
    fs::write(&path, BANK.replace("tls_certificates", "certificates")).expect("writes");
    assert!(super::load_bank(&path).is_err());
}

/// An authority for time stamps in `gwanmun.toml`.
const TIME_STAMP: &str = r#"
[audit.time_stamp]
url = "https://tsa.example/tsr"
anchors = ["own.pem"]
authorities = ["kfda.pem"]
"#;

#[test]
fn an_authority_for_time_stamps_is_what_the_settings_say() {
    let world = world();
    let path = world.path().join("gwanmun.toml");
    let without = load(&path).expect("is in order");
    assert!(without.settings.audit.time_stamp.is_none() && without.time_stamps.is_none());
    fs::write(&path, format!("{SETTINGS}{TIME_STAMP}")).expect("writes");
    let loaded = load(&path).expect("is in order");
    assert!(loaded.time_stamps.is_some());
    let settings = loaded.settings.audit.time_stamp.expect("there is an authority");
    assert_eq!(settings.tls.certificate, loaded.settings.tls.certificate, "it is shown what partners are");
    let seconds = std::time::Duration::from_secs;
    assert_eq!((settings.interval, settings.retry_interval), (seconds(3600), seconds(60)));
    let deadlines = (settings.connect_deadline, settings.response_deadline, settings.clock_skew_max);
    assert_eq!(deadlines, (seconds(5), seconds(30), seconds(300)));
}

#[test]
fn every_mistake_about_an_authority_for_time_stamps_is_told() {
    fn check(from: &str, to: &str, message: &str) {
        let world = world();
        let path = world.path().join("gwanmun.toml");
        assert!(TIME_STAMP.contains(from), "{from}");
        fs::write(&path, format!("{SETTINGS}{}", TIME_STAMP.replacen(from, to, 1))).expect("writes");
        let faults = load(&path).expect_err(message);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|fault| fault.contains(message)), "{message:?} in {told:#?}");
    }
    check("https://", "http://", "is not a URL such as https://tsa.example/tsr");
    check("url = ", "uri = ", "[time_stamp] url is missing");
    check("anchors", "#", "[audit.time_stamp] trusts nobody to be the authority's server");
    check("authorities", "#", "[audit.time_stamp] authorities is missing");
    check("kfda.pem", "kfda.key", "[audit.time_stamp] authorities: ");
    check("anchors", "policy = \"mine\"\nanchors", "is not an object identifier such as 1.2.410.200001");
    check("anchors", "interval = \"0s\"\nanchors", "interval is nothing");
    check("anchors", "retry_interval = \"0s\"\nanchors", "retry_interval is nothing");
    check("anchors", "certificate = \"own.pem\"\nanchors", "[time_stamp] key is missing");
    check("anchors", "certificate = \"own.pem\"\nkey = \"kfda.key\"\nanchors", "[audit.time_stamp] ");
}

/// `AUTHORITY.toml` of a practice authority.
const AUTHORITY: &str = r#"
[listen]
api = "127.0.0.1:18445"

[tls]
certificate = "kfda.pem"
key = "kfda.key"
anchors = ["own.pem"]

[time_stamp]
certificate = "own.pem"
key = "own.key"
policy = "1.2.410.200001"
directory = "authority"
"#;

#[test]
fn a_practice_authority_knows_what_it_stamps_with() {
    let world = world();
    let path = world.path().join("authority.toml");
    fs::write(&path, AUTHORITY).expect("writes");
    let authority = super::load_authority(&path).expect("is in order");
    assert_eq!(authority.policy.to_string(), "1.2.410.200001");
    assert_eq!(authority.directory, world.path().join("authority"));
    for (from, to) in [("policy = \"1.2", "policy = \"x"), ("own.key", "none.key"), ("directory", "folder")] {
        fs::write(&path, AUTHORITY.replace(from, to)).expect("writes");
        assert!(super::load_authority(&path).is_err(), "{to}");
    }
}
