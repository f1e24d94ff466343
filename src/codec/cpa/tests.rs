//! What is written reads back, and every mistake is found where it stands.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::model::{DigestMethod, SignatureAlgorithm, SyncReplyMode};

fn party(name: &str, sends: &[&str]) -> PartyTerms {
    let service = Service { value: "ImportClearance".into(), kind: Some("urn:swgw:service".into()) };
    PartyTerms {
        name: name.into(),
        ids: vec![PartyId { value: name.into(), kind: Some("urn:swgw:party".into()) }],
        tls_certificate: Some(format!("TLS of {name}").into_bytes()),
        signing_certificate: format!("key of {name}").into_bytes(),
        digest: DigestMethod::Sha256,
        algorithms: vec![SignatureAlgorithm::RsaSha256],
        sends: sends.iter().map(|action| (service.clone(), Arc::from(*action))).collect(),
    }
}

fn terms() -> CpaTerms {
    CpaTerms {
        id: CpaId::new("swgw-broker-1").expect("a CPAId"),
        start: "2009-01-01T00:00:00Z".parse().expect("an instant"),
        end: "2012-01-01T00:00:00Z".parse().expect("an instant"),
        usual: ChannelTerms {
            roles: ["SingleWindow", "Declarant"].map(|role| Role::new(role).expect("a Role")),
            response_endpoints: [None, None],
            endpoints: ["gateway", "broker"].map(|name| Some(format!("https://{name}.example/ebms").into())),
            sync_reply_mode: SyncReplyMode::MshSignalsOnly,
            ack_requested: Presence::Always,
            ack_signed: Presence::Always,
            duplicate_elimination: Presence::Always,
            message_order: false,
            retries: 3,
            retry_interval: Duration::from_millis(1_500),
            persist_duration: Duration::from_secs(86_400),
        },
        overrides: Vec::new(),
        parties: [party("gateway", &["GOVCBR023", "GOVCBRXS2"]), party("broker", &["GOVCBR929"])],
    }
}

fn read(text: &str) -> Result<Cpa, Vec<String>> {
    let cpa = read_cpa(&Bytes::copy_from_slice(text.as_bytes()));
    cpa.map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_written_reads_back() {
    let cpa = read(&write_cpa(&terms())).expect("reads");
    assert_eq!((cpa.id.as_str(), cpa.status), ("swgw-broker-1", CpaStatus::Agreed));
    assert_eq!((cpa.start, cpa.end), (terms().start, terms().end));
    let [gateway, broker] = terms().parties;
    for (place, written, other) in [(0, &gateway, &broker), (1, &broker, &gateway)] {
        let read = &cpa.parties[place];
        assert_eq!((&read.name, &read.ids), (&written.name, &written.ids));
        let [role] = read.roles.as_slice() else { panic!("one Service, one CollaborationRole") };
        assert_eq!(role.role, terms().usual.roles[place]);
        let actions = |sends: bool| {
            let mut actions: Vec<_> =
                role.bindings.iter().filter(|b| b.sends == sends).map(|b| b.action.clone()).collect();
            actions.sort();
            actions
        };
        let of =
            |party: &PartyTerms| party.sends.iter().map(|(_, action)| action.clone()).collect::<Vec<_>>();
        assert_eq!((actions(true), actions(false)), (of(written), of(other)));
        let channel = &read.channels[&read.signal_channel];
        assert_eq!(&*channel.sync_reply_mode, "mshSignalsOnly");
        assert_eq!(
            channel.transport.endpoints,
            [(format!("https://{}.example/ebms", written.name).into(), "allPurpose".into())]
        );
        let tls = channel.transport.client_certificate.as_deref().and_then(|id| read.certificate(id));
        assert_eq!(tls, written.tls_certificate.as_deref());
        let sender = channel.exchange.sender.as_ref().expect("a sender binding");
        assert_eq!((sender.retries, sender.retry_interval), (Some(3), Some(Duration::from_millis(1_500))));
        assert_eq!(sender.persist_duration, Some(Duration::from_secs(86_400)));
        let signature = sender.signature.as_ref().expect("it signs");
        assert_eq!(&*signature.algorithms[0], SignatureAlgorithm::RsaSha256.uri());
        let certificate = signature.certificate.as_deref().and_then(|id| read.certificate(id));
        assert_eq!(certificate, Some(&*written.signing_certificate));
    }
}

/// Each mistake, and what it is told as; one that the schema finds keeps what comes behind it from being read.
#[test]
fn every_mistake_is_told_where_it_stands() {
    let text = write_cpa(&terms());
    let check = |from: &str, to: &str, expected: &[&str]| {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from} is there");
        let told = read(&edited).expect_err(from);
        assert_eq!(told.len(), expected.len(), "{from} -> {to}: {told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{from} -> {to}: {told}, not {expected}");
        }
    };
    check("2012-01-01T00:00:00Z", "2008-01-01T00:00:00Z", &["/tp:End: it ends at 2008"]);
    check("2012-01-01T00:00:00Z", "soon", &["[xsd:value]"]);
    check(
        "tp:transportId=\"party1-transport\" tp:doc",
        "tp:transportId=\"x\" tp:doc",
        &["names no Transport"],
    );
    check(
        "<tp:ChannelId>party2-channel",
        "<tp:ChannelId>party1-channel",
        &["names no DeliveryChannel of this party"],
    );
    check(
        "defaultMshChannelId=\"party1-channel\"",
        "defaultMshChannelId=\"package\"",
        &["names no DeliveryChannel"],
    );
    check(
        "<tp:OtherPartyActionBinding>party2-",
        "<tp:OtherPartyActionBinding>party3-",
        &["names no binding of the other party"],
    );
    check(
        "tp:action=\"GOVCBR929\"",
        "tp:action=\"GOVCBR930\"",
        &["has Action GOVCBR929, this one GOVCBR930", "has Action GOVCBR930, this one GOVCBR929"],
    );
    check(
        "tp:SigningCertificateRef tp:certId=\"party1-signing\"",
        "tp:SigningCertificateRef tp:certId=\"party2-signing\"",
        &["names no Certificate of this party"],
    );
    check("tp:packageId=\"package\"", "tp:packageId=\"envelope\"", &["\"envelope\" names no Packaging"]);
    check(
        "PackageId=\"package\"",
        "PackageId=\"none\"",
        &["defaultMshPackageId \"none\" names no Packaging"],
    );
    check(
        "tp:idref=\"payload\"",
        "tp:idref=\"package\"",
        &["names no SimplePart, Composite or Encapsulation"],
    );
    check(
        "</tp:TransportClientSecurity>",
        "<tp:ServerSecurityDetailsRef tp:securityId=\"party1-tls\"/></tp:TransportClientSecurity>",
        &["names no SecurityDetails of this party"],
    );
    check("<tp:PersistDuration>PT86400S", "<tp:PersistDuration>PT5S", &["[cpa:persist-duration]"]);
    check("<tp:PersistDuration>PT86400S", "<tp:PersistDuration>P1M", &["is no duration in days"]);
    check("<tp:Retries>3", "<tp:Retries>-3", &["[xsd:value]"]);
    check("tp:syncReplyMode=\"mshSignalsOnly\"", "tp:syncReplyMode=\"sometimes\"", &["[xsd:enumeration]"]);
    check("tp:cpaid=\"swgw-broker-1\" ", "", &["[xsd:missing-attribute]"]);
    check("<tp:Status", "<tp:State", &["[xsd:element]"]);
    check("<?xml", "<!-- x --><?xml", &["[structure:xml]"]);
    check("<tp:Collaboration", "<!DOCTYPE x><tp:Collaboration", &["DOCTYPE"]);
    let key =
        text.split("<ds:X509Certificate>").nth(1).and_then(|rest| rest.split('<').next()).expect("a key");
    check(key, "no base64!", &["[cpa:certificate]"]);
}

/// A signed CPA is read, and that it is signed; an activity of the process needs no name (CPPA 2.0).
#[test]
fn a_signature_is_let_through_and_told() {
    let text = write_cpa(&terms());
    assert_eq!(read(&text).expect("reads").signature, None);
    let one = "<ds:Signature><ds:SignedInfo/><ds:SignatureValue>AA==</ds:SignatureValue></ds:Signature>";
    let signed = |signatures: &str| {
        let end = "</tp:CollaborationProtocolAgreement>";
        let comment = "<tp:Comment xml:lang=\"en\">x</tp:Comment>";
        read(&text.replace(end, &format!("{signatures}{comment}{end}"))).map(|cpa| cpa.signature)
    };
    for count in 1..=3 {
        let within = format!("<tp:Signature>{}</tp:Signature>", one.repeat(count));
        for (signatures, path) in [(within, "/tp:Signature"), (one.repeat(count), "/ds:Signature")] {
            let place = signed(&signatures).unwrap_or_else(|told| panic!("{count}: {told:?}"));
            assert!(place.is_some_and(|place| place.path.contains(path)), "{signatures}");
        }
    }
    for wrong in [
        "<tp:Signature/>".to_owned(),
        format!("<tp:Signature>{}</tp:Signature>", one.repeat(4)),
        format!("<tp:Signature>{one}</tp:Signature>").repeat(2),
        "<tp:Signature><tp:Comment>x</tp:Comment></tp:Signature>".to_owned(),
    ] {
        assert!(signed(&wrong).is_err(), "{wrong}");
    }
    let (context, end) = (
        "<tp:ActionContext tp:binaryCollaboration=\"b\" tp:businessTransactionActivity=\"a\" \
         tp:requestOrResponseAction=\"r\"><tp:CollaborationActivity/></tp:ActionContext>",
        "<tp:ChannelId>",
    );
    assert!(read(&text.replacen(end, &format!("{context}{end}"), 1)).is_ok(), "an activity without a name");
}

/// At its bound and past it: what is longer is not parsed.
#[test]
fn a_document_past_its_bound_is_not_read() {
    let text = write_cpa(&terms());
    let padded = |octets: usize| format!("{text}{}", " ".repeat(octets - text.len()));
    assert!(read(&padded(1 << 20)).is_ok());
    for octets in [(1 << 20) + 1, 64 << 20] {
        let told = read(&padded(octets)).expect_err("too long");
        assert!(told[0].contains("1048576"), "{told:?}");
    }
}
