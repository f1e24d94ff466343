//! What a CPA becomes, and each term that keeps it from becoming anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ImportOptions, Imported, import_cpa};
use crate::codec::cpa::{ChannelOverride, ChannelTerms, CpaTerms, PartyTerms, read_cpa, write_cpa};
use crate::config::Identity;
use crate::model::{
    CpaId, DigestMethod, PartyId, PartyKey, PartyKind, Presence, Role, Service, SignatureAlgorithm,
    SyncReplyMode, Timestamp,
};
use crate::security::samples;

const NOW: &str = "2010-06-01T00:00:00Z";

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn party(key: &str, role: &str, sends: &[&str]) -> PartyTerms {
    let service = Service { value: "ImportClearance".into(), kind: Some("urn:swgw:service".into()) };
    let der = || samples::Identity::new(key, SignatureAlgorithm::EcdsaSha256).der();
    PartyTerms {
        name: key.into(),
        ids: vec![PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) }],
        role: Role::new(role).expect("a Role"),
        tls_certificate: Some(der()),
        signing_certificate: der(),
        digest: DigestMethod::Sha256,
        algorithms: vec![SignatureAlgorithm::EcdsaSha256],
        sends: sends.iter().map(|action| (service.clone(), Arc::from(*action))).collect(),
    }
}

fn usual() -> ChannelTerms {
    let endpoint = || Some("https://host.example:8443/ebms".into());
    ChannelTerms {
        endpoints: [endpoint(), endpoint()],
        sync_reply_mode: SyncReplyMode::MshSignalsOnly,
        ack_requested: Presence::Always,
        ack_signed: true,
        duplicate_elimination: Presence::Always,
        message_order: false,
        retries: 3,
        retry_interval: Duration::from_secs(60),
        persist_duration: Duration::from_secs(86_400),
    }
}

fn terms() -> CpaTerms {
    CpaTerms {
        id: CpaId::new("swgw-broker-1").expect("a CPAId"),
        start: instant("2009-01-01T00:00:00Z"),
        end: instant("2012-01-01T00:00:00Z"),
        usual: usual(),
        overrides: Vec::new(),
        parties: [
            party("SW000000000001", "SingleWindow", &["GOVCBR023", "GOVCBRXS2"]),
            party("BR123450000001", "Declarant", &["GOVCBR929"]),
        ],
    }
}

fn import(text: &str) -> Result<Imported, Vec<String>> {
    let cpa = read_cpa(&Bytes::copy_from_slice(text.as_bytes())).expect("the CPA reads");
    let key = PartyKey::new("SW000000000001").expect("a box number");
    let ids = vec![PartyId { value: key.as_str().into(), kind: Some("urn:swgw:party".into()) }];
    let own = Identity { key, ids, role: None, domain: "gateway.example".into() };
    let options =
        ImportOptions { kind: PartyKind::Declarant, name: Some("Broker".to_owned()), business_number: None };
    let imported = import_cpa(&cpa, &own, &options, instant(NOW));
    imported.map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_cpa_becomes_a_partner_file() {
    let imported = import(&write_cpa(&terms())).expect("can be kept");
    assert_eq!(imported.party.as_str(), "BR123450000001");
    let [one, other] = &*imported.certificates else { panic!("two certificates") };
    assert!(one.pem.starts_with("-----BEGIN CERTIFICATE-----") && one.fingerprint != other.fingerprint);
    assert!(imported.head.contains(&one.file) && imported.head.contains(&other.file), "{}", imported.head);
    assert!(
        imported
            .head
            .starts_with("[party]\nkey = \"BR123450000001\"\nname = \"Broker\"\nkind = \"declarant\"\n")
    );
    assert_eq!(
        imported.agreement,
        r#"[[agreement]]
cpa_id = "swgw-broker-1"
own_role = "SingleWindow"
partner_role = "Declarant"
endpoint = "https://host.example:8443/ebms"
start = "2009-01-01T00:00:00Z"
end = "2012-01-01T00:00:00Z"
sync_reply_mode = "mshSignalsOnly"
duplicate_elimination = "always"
ack_requested = "always"
ack_signed = true
retries = 3
retry_interval = "1m"
time_to_live = "12h"
persist_duration = "24h"
own_algorithm = "ecdsa-sha256"
accepted_algorithms = ["ecdsa-sha256"]
send = [
  "ImportClearance GOVCBR023",
  "ImportClearance GOVCBRXS2",
]
receive = [
  "ImportClearance GOVCBR929",
]
"#
    );
}

/// What a CPA says of digests, by URI or by name, both sides of the agreement keep.
#[test]
fn a_hash_function_becomes_the_digests_of_the_agreement() {
    let text = write_cpa(&terms());
    for (function, digest) in [
        ("http://www.w3.org/2001/04/xmldsig-more#sha384", "sha384"),
        ("http://www.w3.org/2001/04/xmlenc#sha512", "sha512"),
        ("SHA-512", "sha512"),
    ] {
        let imported = import(&text.replace(DigestMethod::Sha256.uri(), function)).expect("can be kept");
        let expected = format!("\nown_digest = \"{digest}\"\naccepted_digests = [\"{digest}\"]\n");
        assert!(imported.agreement.contains(&expected), "{function}: {}", imported.agreement);
    }
}

/// CPPA has words for more than this gateway keeps; each such term is told, and nothing is imported.
#[test]
fn every_term_that_cannot_be_kept_is_told() {
    let text = write_cpa(&terms());
    let check = |from: &str, to: &str, rule: &str, expected: &str| {
        let edited = text.replace(from, to);
        assert_ne!(edited, text, "{from} is there");
        let told = import(&edited).expect_err(from);
        let rule = format!("[cpa:{rule}]");
        assert!(
            told.iter().any(|told| told.contains(expected) && told.ends_with(&rule)),
            "{from} -> {to}: {told:#?}"
        );
    };
    check("value=\"agreed\"", "value=\"proposed\"", "status", "only proposed");
    check("2012-01-01T00:00:00Z", "2010-06-01T00:00:00Z", "dates", "it has ended");
    check(">SW000000000001<", ">SW000000000009<", "party", "neither party has our PartyId");
    check(
        "isNonRepudiationRequired=\"true\"",
        "isNonRepudiationRequired=\"false\"",
        "signature",
        "steers nothing",
    );
    check("ReceiptRequired=\"true\"", "ReceiptRequired=\"false\"", "receipt", "contradict each other");
    check("NotGuaranteed", "Guaranteed", "order", "Guaranteed goes with syncReplyMode none");
    check("xmlenc#sha256", "xmldsig#sha1", "algorithm", "SHA-384 and SHA-512 are used here");
    check("#ecdsa-sha256", "#rsa-sha1", "algorithm", "none of");
    check(">HTTP<", ">SMTP<", "transport", "over HTTPS");
    check("https://host", "http://host", "endpoint", "is no URL such as");
    check("tp:type=\"urn:swgw:service\"", "tp:type=\"string\"", "service", "has the type string");
}

//= ebms2 4.3.1 MUST: every syncReplyMode of a CPA is read and written
#[test]
fn every_sync_reply_mode_is_kept() {
    for mode in SyncReplyMode::ALL {
        let usual = ChannelTerms { sync_reply_mode: mode, ..usual() };
        let imported = import(&write_cpa(&CpaTerms { usual, ..terms() })).expect("can be kept");
        let line = format!("\nsync_reply_mode = \"{}\"\n", mode.as_str());
        assert!(imported.agreement.contains(&line), "{}", imported.agreement);
    }
}

//= ebms2 9 MUST: MessageOrderSemantics of a CPA is read and written, and is one for all of an agreement
#[test]
fn guaranteed_order_is_kept_of_everything_or_of_nothing() {
    let usual = ChannelTerms { message_order: true, sync_reply_mode: SyncReplyMode::None, ..usual() };
    let text = write_cpa(&CpaTerms { usual, ..terms() });
    let imported = import(&text).expect("can be kept");
    assert!(imported.agreement.contains("\nmessage_order = true\n"), "{}", imported.agreement);
    let (before, after) = text.split_once(">Guaranteed<").expect("is there");
    let told = import(&format!("{before}>NotGuaranteed<{after}")).expect_err("they differ");
    assert!(told.iter().any(|told| told.contains("beside NotGuaranteed")), "{told:#?}");
}

/// A channel of its own for some Actions becomes an override, with what differs and nothing else.
#[test]
fn a_channel_of_its_own_becomes_an_override() {
    fn check(actions: &[(usize, &str)], terms: ChannelTerms, expected: &str) {
        let actions =
            actions.iter().map(|(sender, action)| (*sender, "ImportClearance".into(), (*action).into()));
        let overrides = vec![ChannelOverride { actions: actions.collect(), terms }];
        let imported = import(&write_cpa(&CpaTerms { overrides, ..self::terms() })).expect("can be kept");
        let (_, written) = imported.agreement.split_once("]\n\n[[agreement.override]]\n").unwrap_or_default();
        assert_eq!(written, expected, "{}", imported.agreement);
    }
    let second = || {
        let [own, _] = usual().endpoints;
        [own, Some("https://second.example/ebms".into())]
    };
    let report = [(0, "GOVCBRXS2")];
    check(
        &report,
        ChannelTerms { endpoints: second(), ..usual() },
        "send = [\"ImportClearance GOVCBRXS2\"]\nendpoint = \"https://second.example/ebms\"\n",
    );
    check(
        &report,
        ChannelTerms { ack_requested: Presence::Never, ack_signed: false, retries: 0, ..usual() },
        "send = [\"ImportClearance GOVCBRXS2\"]\nack_requested = \"never\"\nack_signed = false\nretries = 0\n",
    );
    // What the partner sends: how often it does is its own matter.
    check(
        &[(1, "GOVCBR929")],
        ChannelTerms { sync_reply_mode: SyncReplyMode::None, retries: 9, ..usual() },
        "receive = [\"ImportClearance GOVCBR929\"]\nsync_reply_mode = \"none\"\n",
    );
    check(
        &[(0, "GOVCBRXS2"), (1, "GOVCBR929")],
        ChannelTerms { duplicate_elimination: Presence::PerMessage, ..usual() },
        "send = [\"ImportClearance GOVCBRXS2\"]\nreceive = [\"ImportClearance GOVCBR929\"]\n\
         duplicate_elimination = \"perMessage\"\n",
    );
    check(&report, usual(), "");

    let terms = ChannelTerms { endpoints: [usual().endpoints[0].clone(), None], ..usual() };
    let actions = vec![(0, "ImportClearance".into(), "GOVCBRXS2".into())];
    let overrides = vec![ChannelOverride { actions, terms }];
    let told = import(&write_cpa(&CpaTerms { overrides, ..self::terms() })).expect_err("it is neither");
    assert!(told[0].contains("a partner is posted to, or it collects"), "{told:#?}");
}

/// A CPA has no TimeToLive: one is chosen that ends after the last transmission and before the receiver forgets.
/// Three retries every minute take four minutes.
#[test]
fn a_time_to_live_is_found_between_the_transmissions_and_persist_duration() {
    fn check(persist: u64, expected: Result<&str, &str>) {
        let usual = ChannelTerms { persist_duration: Duration::from_secs(persist), ..usual() };
        let kept = CpaTerms { usual, ..terms() };
        match (import(&write_cpa(&kept)), expected) {
            (Ok(imported), Ok(line)) => {
                assert!(imported.agreement.contains(line), "{persist}: {}", imported.agreement);
            }
            (Err(told), Err(text)) => assert!(told.iter().all(|told| told.contains(text)), "{told:#?}"),
            (found, expected) => panic!("{persist}: {found:#?}, expected {expected:?}"),
        }
    }
    let none = "leaves no TimeToLive that ends within it: all transmissions take 4m";
    check(86_400, Ok("\ntime_to_live = \"12h\"\npersist_duration = \"24h\"\n"));
    check(242, Ok("\ntime_to_live = \"4m 1s\"\n"));
    check(241, Err(none));
    check(240, Err(none));
}
