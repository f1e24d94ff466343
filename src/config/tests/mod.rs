//! A whole set of files, and every mistake that may be made in it.

mod agreements;
mod beside;
mod exported;

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
            "partners/kfda.toml:16:11: profile: \"lenient\" is not strict, standard, digikoppeling, digikoppeling-plain, nhs-spine, norwegian-health or phinms",
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
