//! Every condition of ebMS 2.0, 4.2 with the code, the severity and the location that it is answered with, through the
//! real listener; each message is written and signed by hand.

use std::time::Duration;

use gwanmun::transport::PostResponse;

use crate::correspondent::{Correspondent, now};
use crate::golden::{ACK_REQUESTED, Package, Stage};

const HEADER: &str = "/soap:Envelope/soap:Header";
const MESSAGE_HEADER: &str = "/soap:Envelope/soap:Header/eb:MessageHeader";

//= ebms2 4.2.3.4 MUST: each condition is answered with its code, its severity and its location
//= ebms2 4.2.1 MUST: what is wrong at the SOAP layer is told by a Fault, and everything else by an ErrorList
//= ebms2 3.1.6.3 MAY: a RefToMessageId that nobody knows is taken
//=   deviation: it is kept as it stands, and not reported
#[tokio::test(flavor = "multi_thread")]
async fn every_condition_has_its_code_and_location() {
    let stage = Stage::new().await;
    let (mut serial, mut wrong) = (100, Vec::new());
    let mut check = async |what: &str, expected: String, habit: &dyn Fn(&mut Package)| {
        serial += 1;
        let mut package = stage.package(serial);
        habit(&mut package);
        let answer = stage.broker.post(&package.sealed(&stage)).await;
        let said = said(&answer);
        if said != expected {
            wrong.push(format!("{what}: {said}, expected {expected}"));
        }
        // An answer names what it answers, and the agreement, whatever could be read of its header.
        let text = String::from_utf8_lossy(&answer.body);
        let about = format!("<eb:RefToMessageId>golden-{serial}@broker.example</eb:RefToMessageId>");
        let is_to_it = text.contains(&about) && text.contains("<eb:CPAId>swgw-");
        if !(is_to_it || said.starts_with("fault")) {
            wrong.push(format!("{what}: the answer is to nothing: {text}"));
        }
    };
    // Parties and agreement.
    let told = |code: &str, at: &str| format!("{code} Error {MESSAGE_HEADER}/{at}");
    let acknowledged = || "acknowledged".to_owned();
    check("unknown CPAId", told("ValueNotRecognized", "eb:CPAId"), &|p| {
        p.replace("<eb:CPAId>swgw-broker-1<", "<eb:CPAId>swgw-nobody-1<");
    })
    .await;
    check("a CPAId of somebody else", told("ValueNotRecognized", "eb:CPAId"), &|p| {
        p.replace("<eb:CPAId>swgw-broker-1<", "<eb:CPAId>swgw-kfda-1<");
    })
    .await;
    check("From is another party", told("SecurityFailure", "eb:From/eb:PartyId"), &|p| {
        p.replace(">BR123450000001<", ">AG000000000001<");
    })
    .await;
    check("To is not us", told("ValueNotRecognized", "eb:To/eb:PartyId"), &|p| {
        p.replace(">SW000000000001<", ">SW000000000009<");
    })
    .await;
    check("From has another Role", told("Inconsistent", "eb:From/eb:Role"), &|p| {
        p.replace("<eb:Role>Declarant<", "<eb:Role>Agency<");
    })
    .await;
    check("From has no Role", told("Inconsistent", "eb:From/eb:Role"), &|p| {
        p.replace("<eb:Role>Declarant</eb:Role>", "");
    })
    .await;
    check("To has another Role", told("Inconsistent", "eb:To/eb:Role"), &|p| {
        p.replace("<eb:Role>SingleWindow<", "<eb:Role>Agency<");
    })
    .await;
    check("unknown Service", told("ValueNotRecognized", "eb:Service"), &|p| {
        p.replace(">ImportClearance<", ">ExportClearance<");
    })
    .await;
    check("unknown Action", told("ValueNotRecognized", "eb:Action"), &|p| {
        p.replace(">GOVCBR929<", ">GOVCBR830<");
    })
    .await;
    check("an Action of the other direction", told("ValueNotRecognized", "eb:Action"), &|p| {
        p.replace(">GOVCBR929<", ">GOVCBRR20<");
    })
    .await;
    check("a PartyId without type that is no URI", told("Inconsistent", "eb:From/eb:PartyId"), &|p| {
        p.replace("<eb:PartyId eb:type=\"urn:swgw:party\">BR", "<eb:PartyId>BR");
    })
    .await;
    check("a Service without type that is no URI", told("Inconsistent", "eb:Service"), &|p| {
        p.replace("<eb:Service eb:type=\"urn:swgw:service\">", "<eb:Service>");
    })
    .await;
    check("an unknown Action of the reserved Service", told("ValueNotRecognized", "eb:Action"), &|p| {
        p.replace(" eb:type=\"urn:swgw:service\">ImportClearance<", ">urn:oasis:names:tc:ebxml-msg:service<");
    })
    .await;
    check("a RefToMessageId that nobody knows", acknowledged(), &|p| {
        p.replace(
            "<eb:TimeToLive>",
            "<eb:RefToMessageId>nobody@broker.example</eb:RefToMessageId><eb:TimeToLive>",
        );
    })
    .await;

    // Modules and times.
    let block = |code: &str, at: &str| format!("{code} Error {HEADER}/{at}");
    check("another version", told("NotSupported", "@eb:version"), &|p| {
        p.replace(
            "<eb:MessageHeader soap:mustUnderstand=\"1\" eb:version=\"2.0\">",
            "<eb:MessageHeader soap:mustUnderstand=\"1\" eb:version=\"3.0\">",
        );
    })
    .await;
    check("no DuplicateElimination", block("Inconsistent", "eb:MessageHeader"), &|p| {
        p.replace("<eb:DuplicateElimination></eb:DuplicateElimination>", "");
    })
    .await;
    check("no AckRequested", block("Inconsistent", "eb:MessageHeader"), &|p| {
        p.replace(ACK_REQUESTED, "");
    })
    .await;
    check("AckRequested of another kind", block("Inconsistent", "eb:AckRequested"), &|p| {
        p.replace("eb:signed=\"true\"", "eb:signed=\"false\"");
    })
    .await;
    check("no SyncReply", block("Inconsistent", "eb:MessageHeader"), &|p| p.blocks.clear()).await;
    check("an actor that AckRequested cannot have", block("ValueNotRecognized", "eb:AckRequested"), &|p| {
        p.replace("soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"", "soap:actor=\"urn:x\"");
    })
    .await;
    let past = now().minus(Duration::from_secs(1));
    check("TimeToLive is over", told("TimeToLiveExpired", "eb:MessageData/eb:TimeToLive"), &move |p| {
        p.value("<eb:TimeToLive>", &past.to_string());
    })
    .await;
    let old = now().minus(Duration::from_secs(30 * 86_400));
    check("a Timestamp of last month", told("TimeToLiveExpired", "eb:MessageData/eb:Timestamp"), &move |p| {
        p.value("<eb:Timestamp>", &old.to_string());
    })
    .await;
    let future = now().plus(Duration::from_secs(3000));
    check("a Timestamp to come", told("Inconsistent", "eb:MessageData/eb:Timestamp"), &move |p| {
        p.value("<eb:Timestamp>", &future.to_string());
    })
    .await;
    // What a MessageHeader does not say is no reason to say nothing of it.
    for (what, at, from, to) in [
        ("a From that is empty", "eb:From/eb:PartyId", ">BR123450000001<", "><"),
        ("a To that is empty", "eb:To/eb:PartyId", ">SW000000000001<", "><"),
        ("a CPAId that is empty", "eb:CPAId", ">swgw-broker-1<", "><"),
        ("no CPAId", "eb:ConversationId", "<eb:CPAId>swgw-broker-1</eb:CPAId>", ""),
        ("a CPAId too much", "eb:CPAId[2]", "<eb:CPAId>", "<eb:CPAId>swgw-kfda-1</eb:CPAId><eb:CPAId>"),
        (
            "no Service",
            "eb:Action",
            "<eb:Service eb:type=\"urn:swgw:service\">ImportClearance</eb:Service>",
            "",
        ),
        ("an Action that is empty", "eb:Action", ">GOVCBR929<", "><"),
        ("no Action", "eb:MessageData", "<eb:Action>GOVCBR929</eb:Action>", ""),
    ] {
        check(what, told("OtherXml", at), &|p| p.replace(from, to)).await;
    }
    check("a ConversationId that is empty", told("OtherXml", "eb:ConversationId"), &|p| {
        p.value("<eb:ConversationId>", "");
    })
    .await;
    check("a Timestamp that is none", told("OtherXml", "eb:MessageData/eb:Timestamp"), &|p| {
        p.value("<eb:Timestamp>", "yesterday");
    })
    .await;
    check("no MessageId", "fault soap:Client".to_owned(), &|p| p.value("<eb:MessageId>", "")).await;
    check("a Description without language", told("OtherXml", "eb:Description"), &|p| {
        p.replace("<eb:Description xml:lang=\"ko\">", "<eb:Description>");
    })
    .await;
    check("an element that ebMS 2.0 does not have", block("OtherXml", "eb:Unknown"), &|p| {
        p.replace("</soap:Header>", "<eb:Unknown eb:version=\"2.0\"></eb:Unknown></soap:Header>");
    })
    .await;
    check("a document that breaks its schema", "OtherXml Error cid:part-0@broker.example".to_owned(), &|p| {
        p.documents[0].1 = "<Declaration/>".into();
    })
    .await;
    check("two MessageHeaders", block("SecurityFailure", "eb:MessageHeader[2]"), &|p| {
        p.replace("<soap:Header>", "<soap:Header><eb:MessageHeader></eb:MessageHeader>");
    })
    .await;

    // Signatures and payloads.
    let at = |code: &str, at: &str| format!("{code} Error {at}");
    let signature = format!("{HEADER}/ds:Signature");
    check("no signature", at("SecurityFailure", &signature), &|p| p.signer = "").await;
    check("signed by another party", at("SecurityFailure", &signature), &|p| p.signer = "kfda").await;
    check("changed behind the signature", at("SecurityFailure", &signature), &|p| {
        p.behind = Box::new(|text| text.replace(" eb:signed=\"true\"", " eb:id=\"x\" eb:signed=\"true\""));
    })
    .await;
    check(
        "a payload changed behind the signature",
        at("SecurityFailure", "cid:part-3@broker.example"),
        &|p| {
            p.behind = Box::new(|text| text.replace("%PDF-1.4", "%PDF-1.5"));
        },
    )
    .await;
    check("an algorithm that is not agreed", at("SecurityFailure", &signature), &|p| {
        p.behind =
            Box::new(|text| text.replace("2001/04/xmldsig-more#ecdsa-sha256", "2000/09/xmldsig#dsa-sha1"));
    })
    .await;
    check("a cid without its part", at("MimeProblem", "cid:nowhere@broker.example"), &|p| {
        p.cid = |_| "cid:nowhere@broker.example".into();
        p.documents.clear();
    })
    .await;
    check(
        "a URI that is no part of the message",
        at("MimeProblem", "http://broker.example/declaration.xml"),
        &|p| {
            p.signed_cid = Some(|id| format!("cid:{id}"));
            p.cid = |_| "http://broker.example/declaration.xml".into();
        },
    )
    .await;
    check("payloads without a Manifest", at("MimeProblem", "cid:part-0@broker.example"), &|p| {
        p.without_manifest = true;
    })
    .await;
    check("a part that nothing names", at("MimeProblem", "cid:stray@broker.example"), &|p| p.stray = true)
        .await;

    // What is written in the Header and nobody understands.
    let blocks = "</soap:Header>";
    check("a block that must be understood and is not", "fault soap:MustUnderstand".to_owned(), &|p| {
        p.replace(blocks, "<x:a xmlns:x=\"urn:x\" soap:mustUnderstand=\"1\"></x:a></soap:Header>");
    })
    .await;
    check("a block that need not be", acknowledged(), &|p| {
        p.replace(blocks, "<x:a xmlns:x=\"urn:x\" soap:mustUnderstand=\"0\"></x:a></soap:Header>");
    })
    .await;
    check("SOAP 1.2", "fault soap:VersionMismatch".to_owned(), &|p| {
        p.behind = Box::new(|text| {
            text.replace(
                "http://schemas.xmlsoap.org/soap/envelope/",
                "http://www.w3.org/2003/05/soap-envelope",
            )
        });
    })
    .await;
    check("not well-formed", "fault soap:Client".to_owned(), &|p| {
        p.behind = Box::new(|text| text.replace("</soap:Body>", ""));
    })
    .await;
    check("DOCTYPE", "fault soap:Client".to_owned(), &|p| {
        p.behind = Box::new(|text| text.replace("<soap:Envelope ", "<!DOCTYPE a><soap:Envelope "));
    })
    .await;
    check("no Body", "fault soap:Client".to_owned(), &|p| {
        p.behind = Box::new(|text| {
            let (before, rest) = text.split_once("<soap:Body>").expect("a Body");
            [before, rest.split_once("</soap:Body>").expect("its end").1].concat()
        });
    })
    .await;

    assert_eq!(wrong, Vec::<String>::new());

    // The connection of somebody else.
    let kfda = Correspondent::new(&stage.world, "kfda");
    let stolen = kfda.post(&stage.package(99).sealed(&stage)).await;
    assert_eq!(said(&stolen), told("SecurityFailure", "eb:From/eb:PartyId"));

    // One MessageId, other content.
    let taken = stage.package(1);
    assert_eq!(said(&stage.broker.post(&taken.sealed(&stage)).await), "acknowledged");
    let mut other = stage.package(2);
    other.serial = 1;
    let answer = stage.broker.post(&other.sealed(&stage)).await;
    assert_eq!(said(&answer), told("Inconsistent", "eb:MessageData/eb:MessageId"));
}

/// What an answer says, read as text: nothing of our decoder is asked.
fn said(answer: &PostResponse) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let status = answer.status.as_u16();
    let inside = |text: &str, before: &str, after: &str| {
        let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        found.map(|(found, _)| found.to_owned())
    };
    if let Some(code) = inside(&text, "<faultcode>", "</faultcode>") {
        assert_eq!(status, 500, "the status of a fault");
        return format!("fault {code}");
    }
    if text.is_empty() {
        return format!("status {status}");
    }
    assert_eq!(status, 200, "the status of a message");
    let attribute =
        |error: &str, name: &str| inside(error, &format!("eb:{name}=\"",), "\"").unwrap_or_default();
    let errors: Vec<String> = text
        .split("<eb:Error ")
        .skip(1)
        .map(|error| ["errorCode", "severity", "location"].map(|name| attribute(error, name)).join(" "))
        .collect();
    match errors.as_slice() {
        [] if text.contains("<eb:Action>Acknowledgment</eb:Action>") => "acknowledged".to_owned(),
        [] => format!("something else: {text}"),
        errors => errors.join(", "),
    }
}
