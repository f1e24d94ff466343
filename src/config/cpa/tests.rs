//! What a CPA becomes, and each term that keeps it from becoming anything.

mod certificates;
mod channels;
mod told;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ImportOptions, Imported, Own, import_cpa};
use crate::codec::cpa::{ChannelOverride, ChannelTerms, CpaTerms, PartyTerms, read_cpa, write_cpa};
use crate::config::Identity;
use crate::model::{
    CpaId, Digest, DigestMethod, Party, PartyId, PartyKey, PartyKind, Presence, Registry, Role, Service,
    SignatureAlgorithm, SyncReplyMode, Timestamp,
};
use crate::security::samples;

const NOW: &str = "2030-06-01T00:00:00Z";

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn party(key: &str, sends: &[&str]) -> PartyTerms {
    let service = Service { value: "ImportClearance".into(), kind: Some("urn:swgw:service".into()) };
    let der = || samples::Identity::new(key, SignatureAlgorithm::EcdsaSha256).der();
    PartyTerms {
        name: key.into(),
        ids: vec![PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) }],
        tls_certificate: Some(der()),
        signing_certificate: der(),
        digest: DigestMethod::Sha256,
        algorithms: vec![SignatureAlgorithm::EcdsaSha256],
        sends: sends.iter().map(|action| (service.clone(), Arc::from(*action))).collect(),
    }
}

fn role(name: &str) -> Role {
    Role::new(name).expect("a Role")
}

fn usual() -> ChannelTerms {
    let endpoint = || Some("https://host.example:8443/ebms".into());
    ChannelTerms {
        roles: ["SingleWindow", "Declarant"].map(role),
        endpoints: [endpoint(), endpoint()],
        response_endpoints: [None, None],
        sync_reply_mode: SyncReplyMode::MshSignalsOnly,
        ack_requested: Presence::Always,
        ack_signed: Presence::Always,
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
        start: instant("2029-01-01T00:00:00Z"),
        end: instant("2032-01-01T00:00:00Z"),
        usual: usual(),
        overrides: Vec::new(),
        parties: [
            party("SW000000000001", &["GOVCBR023", "GOVCBRXS2"]),
            party("BR123450000001", &["GOVCBR929"]),
        ],
    }
}

fn import(text: &str) -> Result<Imported, Vec<String>> {
    import_among(text, &Registry::default())
}

fn import_among(text: &str, registered: &Registry) -> Result<Imported, Vec<String>> {
    let cpa = read_cpa(&Bytes::copy_from_slice(text.as_bytes())).expect("the CPA reads");
    let us = cpa.parties.iter().find(|party| party.ids.contains(&own_id()));
    let ours = |id: &str| us.and_then(|us| us.certificate(id)).map_or(Digest([0; 32]), Digest::of);
    import_with(text, registered, [ours("party1-tls"), ours("party1-signing")])
}

fn own_id() -> PartyId {
    PartyId { value: "SW000000000001".into(), kind: Some("urn:swgw:party".into()) }
}

/// Imports as the gateway that has these certificates, for connections and for signatures.
fn import_with(
    text: &str,
    registered: &Registry,
    [tls, signing]: [Digest; 2],
) -> Result<Imported, Vec<String>> {
    let cpa = read_cpa(&Bytes::copy_from_slice(text.as_bytes())).expect("the CPA reads");
    let key = PartyKey::new("SW000000000001").expect("a box number");
    let identity = Identity { key, ids: vec![own_id()], role: None, domain: "gateway.example".into() };
    let own = Own { identity: &identity, tls, signing: vec![signing] };
    let options =
        ImportOptions { kind: PartyKind::Declarant, name: Some("Broker".to_owned()), business_number: None };
    let imported = import_cpa(&cpa, &own, registered, &options, instant(NOW));
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
start = "2029-01-01T00:00:00Z"
end = "2032-01-01T00:00:00Z"
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
    assert!(import(&text.replace("2032-01-01T00:00:00Z", "9999-12-31T23:59:59")).is_ok(), "it never ends");
    check("2032-01-01T00:00:00Z", "2030-06-01T00:00:00Z", "dates", "it has ended");
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
}

//= ebms2 3.1.4 MAY: a Service has whatever type both parties agree, also one that is a URI
/// One type for every Service of an agreement is kept; several, or none for what is no URI, are told.
#[test]
fn the_type_of_services_is_kept() {
    let text = write_cpa(&terms());
    let (named, typed) = (">ImportClearance<", "tp:type=\"urn:swgw:service\"");
    let digikoppeling = text.replace(named, ">urn:osb:ImportClearance<");
    let digikoppeling = digikoppeling.replace(typed, "tp:type=\"urn:osb:services\"");
    for text in [text.replace(typed, "tp:type=\"urn:osb:services\""), digikoppeling] {
        let imported = import(&text).expect("can be kept").agreement;
        assert!(imported.contains("\nservice_type = \"urn:osb:services\"\n"), "{imported}");
    }
    let as_it_is_here = text.replace(named, ">urn:osb:ImportClearance<").replace(typed, "");
    assert!(!import(&as_it_is_here).expect("a URI needs none").agreement.contains("service_type"));

    let told = import(&text.replace(named, ">Import Clearance<")).expect_err("would be read as another");
    assert!(told.iter().any(|told| told.contains("a Service with white space")), "{told:#?}");

    let mut two = terms();
    let other = Service { value: "Payment".into(), kind: Some("string".into()) };
    two.parties[0].sends.push((other, "GOVCBRXF3".into()));
    let told = import(&write_cpa(&two)).expect_err("there are two types");
    assert!(
        told.iter().any(|told| told.contains("has the type ") && told.ends_with("[cpa:service]")),
        "{told:#?}"
    );
    let told = import(&text.replace(typed, "")).expect_err("it is no URI");
    assert!(told.iter().any(|told| told.contains("has no type and is no URI")), "{told:#?}");
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
        ChannelTerms { ack_requested: Presence::Never, ack_signed: Presence::Never, retries: 0, ..usual() },
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

/// What a CPA says of names, Roles, channels and Endpoints that are several, a partner file says too.
#[test]
fn several_names_roles_channels_and_endpoints_are_kept() {
    let id = |kind: Option<&str>, value: &str| PartyId { value: value.into(), kind: kind.map(Into::into) };
    let mut terms = terms();
    terms.parties[0].ids.push(id(Some("urn:duns"), "880000001"));
    terms.parties[1].ids.insert(0, id(Some("orgnummer"), "990000001"));
    terms.parties[1].ids.push(id(None, "urn:broker:one"));
    let elsewhere = |name: &str| Some(format!("https://{name}.example/ebms").into());
    terms.usual.response_endpoints[1] = elsewhere("answers");
    let report = ChannelTerms { roles: ["Customs", "Reporter"].map(role), ..terms.usual.clone() };
    let signals = ChannelTerms {
        endpoints: [usual().endpoints[0].clone(), elsewhere("signals")],
        response_endpoints: [None, None],
        ..usual()
    };
    let signal = |action: &str| (0, Service::MSH.into(), action.into());
    terms.overrides = vec![
        ChannelOverride { actions: vec![(0, "ImportClearance".into(), "GOVCBRXS2".into())], terms: report },
        ChannelOverride { actions: vec![signal("Pong"), signal("Acknowledgment")], terms: signals },
    ];
    let response = "<tp:Endpoint tp:uri=\"https://answers.example/ebms\" tp:type=\"response\"/>";
    let error = response.replace("response", "error");
    let written = write_cpa(&terms);
    assert!(written.contains(response) && written.contains(&error), "{written}");
    assert!(!import(&written).expect("can be kept").agreement.contains("MessageError"), "it is an answer");
    let text = written.replace(&error, "");
    let imported = import(&text).expect("can be kept");
    let ids = "\nother_ids = [\"orgnummer 990000001\", \"urn:broker:one\"]\n";
    assert!(imported.head.contains(ids), "{}", imported.head);
    let (_, told) = imported.agreement.split_once("cpa_id = \"swgw-broker-1\"\n").expect("begins with it");
    let (head, overrides) = told.split_once("\n\n[[agreement.override]]\n").expect("there are some");
    for line in [
        "other_own_ids = [\"urn:duns 880000001\"]",
        "own_role = \"SingleWindow\"",
        "partner_role = \"Declarant\"",
        "endpoint = \"https://host.example:8443/ebms\"",
        "response_endpoint = \"https://answers.example/ebms\"",
    ] {
        assert!(head.lines().any(|told| told == line), "{line}: {head}");
    }
    assert_eq!(
        overrides,
        "send = [\"ImportClearance GOVCBRXS2\"]\nown_role = \"Customs\"\npartner_role = \"Reporter\"\n\n\
         [[agreement.override]]\nsignals = [\"MessageError\"]\nendpoint = \"https://host.example:8443/ebms\"\n\n\
         [[agreement.override]]\nsignals = [\"Acknowledgment\", \"Pong\"]\nendpoint = \"https://signals.example/ebms\"\n",
        "an Endpoint for everything is where errors go, if there is none for them"
    );
    // Endpoints by what is posted there.
    let of = |kind: &str| text.replace(response, &response.replace("response", kind));
    let imported = import(&of("error")).expect("can be kept");
    let errors = "signals = [\"MessageError\"]\nendpoint = \"https://answers.example/ebms\"\n";
    assert!(imported.agreement.contains(errors) && !imported.agreement.contains("response_endpoint"));
    let imported = import(&of("request")).expect("can be kept");
    assert!(
        imported
            .agreement
            .contains("\nendpoint = \"https://answers.example/ebms\"\nresponse_endpoint = \"https://host")
    );
    let imported = import(&of("login")).expect("nobody logs in here");
    assert!(!imported.agreement.contains("answers.example"), "{}", imported.agreement);
    let wrong = import(
        &text
            .replace("tp:type=\"allPurpose\"", "tp:type=\"login\"")
            .replace(response, &response.replace("response", "login")),
    );
    assert!(
        wrong.expect_err("nothing to post to").iter().any(|told| told.contains("no Endpoint but for login"))
    );
    let wrong = import(&text.replace("tp:action=\"Pong\"", "tp:action=\"Pang\"")).expect_err("no signal");
    assert!(wrong[0].contains("\"Pang\" is no signal: Acknowledgment, "), "{wrong:#?}");
}

/// One Action in two Roles has two sets of terms, and there is room for one.
#[test]
fn an_action_in_two_roles_is_told() {
    let text = write_cpa(&terms());
    let (before, rest) = text.split_once("<tp:CollaborationRole>").expect("is there");
    let (role, after) = rest.split_once("</tp:CollaborationRole>").expect("ends");
    let second = role
        .replace("tp:name=\"SingleWindow\"", "tp:name=\"Customs\"")
        .replace("tp:id=\"party1-", "tp:id=\"again-");
    let twice = format!(
        "{before}<tp:CollaborationRole>{role}</tp:CollaborationRole><tp:CollaborationRole>{second}</tp:CollaborationRole>{after}"
    );
    let told = import(&twice).expect_err("which of them is it");
    let expected = "ImportClearance GOVCBR023 goes the same way in other Roles or over another channel too";
    assert!(told.iter().any(|told| told.contains(expected) && told.ends_with("[cpa:role]")), "{told:#?}");
}

/// A registered partner is found by any of its PartyIds, and has to be known by all of them.
/// A party as it is registered, with the certificates that it has in a CPA.
fn registered(party: &PartyTerms) -> Party {
    Party {
        key: PartyKey::new(&*party.name).expect("a box number"),
        name: party.name.clone(),
        kind: PartyKind::Declarant,
        ids: party.ids.clone(),
        business_number: None,
        tls_certificates: party.tls_certificate.iter().map(|der| Digest::of(der)).collect(),
        signing_certificates: vec![Digest::of(&party.signing_certificate)],
        plays: None,
    }
}

#[test]
fn a_registered_partner_is_found_by_any_of_its_names() {
    let id = |kind: &str, value: &str| PartyId { value: value.into(), kind: Some(kind.into()) };
    let names = [id("urn:swgw:party", "BR123450000001"), id("urn:duns", "880000001")];
    let mut terms = terms();
    terms.parties[1].ids = names.to_vec();
    let registered = |key: &str, ids: &[PartyId]| Party {
        key: PartyKey::new(key).expect("a box number"),
        ids: ids.to_vec(),
        ..registered(&terms.parties[1])
    };
    let import = |parties: Vec<Party>| import_among(&write_cpa(&terms), &Registry::new(parties, []));
    let imported = import(vec![registered("BOX9", &names)]).expect("is known by both");
    assert_eq!(imported.party.as_str(), "BOX9");
    let told = import(vec![registered("BOX9", &names[1..])]).expect_err("is known by one");
    assert!(
        told[0].contains("write other_ids = [\"urn:swgw:party BR123450000001\"] under [party]"),
        "{told:#?}"
    );
    let two = vec![registered("BOX8", &names[..1]), registered("BOX9", &names[1..])];
    let told = import(two).expect_err("two parties");
    assert!(told.iter().any(|told| told.contains("those of several parties here: BOX8, BOX9")), "{told:#?}");
}

/// A PartyId that cannot be written, and one that a file system would take for a path (S22).
#[test]
fn a_name_is_written_as_it_is_or_told() {
    let check = |value: &str, kind: Option<&str>, expected: Result<&str, &str>| {
        let mut terms = terms();
        terms.parties[1].ids = vec![PartyId { value: value.into(), kind: kind.map(Into::into) }];
        match (import(&write_cpa(&terms)), expected) {
            (Ok(imported), Ok(file)) => {
                assert!(
                    imported.file == file || file.is_empty() && imported.file.starts_with("party-"),
                    "{value}: {}",
                    imported.file
                );
                let names =
                    imported.certificates.iter().map(|certificate| &certificate.file).chain([&imported.file]);
                for name in names {
                    assert!(!name.contains(['/', '\\']) && !name.starts_with('.'), "{name}");
                }
            }
            (Err(told), Err(expected)) => {
                assert!(told.iter().any(|told| told.contains(expected)), "{told:#?}")
            }
            (found, _) => panic!("{value}: {found:#?}"),
        }
    };
    check("BR123450000001", Some("urn:swgw:party"), Ok("BR123450000001.toml"));
    check("../../etc/passwd", Some("urn:swgw:party"), Ok(""));
    check(".hidden", Some("urn:swgw:party"), Ok(""));
    check(&"1".repeat(64), Some("urn:swgw:party"), Ok(&format!("{}.toml", "1".repeat(64))));
    check(&"1".repeat(65), Some("urn:swgw:party"), Ok(""));
    check("urn:broker:one", None, Err("no PartyId of it has a type"));
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
