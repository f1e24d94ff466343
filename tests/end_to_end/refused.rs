//! Bad input: each kind is refused with the error, fault or status of the standard; nothing of it is routed, nothing
//! else is lost, and the gateway goes on serving.

use std::time::Duration;

use bytes::Bytes;
use gwanmun::model::{Actor, CpaId, Digest, EbxmlError, Message, Payload, Sealed};
use gwanmun::security::seal;

use crate::connection::Connection;
use crate::correspondent::{Correspondent, Told, now};
use crate::forgery::{attributed, element, nested, repacked, replaced, truncated, with_block};
use crate::process::Process;
use crate::world::{World, document};

const HEADER: &str = "/soap:Envelope/soap:Header/eb:MessageHeader";
const SIGNATURE: &str = "/soap:Envelope/soap:Header/ds:Signature";
const BODY_BYTES_MAX: usize = 1_000_000;

/// A faulty declaration and what is told about it.
macro_rules! sample {
    ($name:literal) => {
        (
            include_str!(concat!("../samples/documents/929/", $name, ".xml")),
            include_str!(concat!("../samples/documents/929/", $name, ".findings")),
        )
    };
}

//= ebms2 B.2.7 MUST: TLS with certificates of both sides
//= ebms2 4.2.3.4.2 MUST: a TLS client that is not the From party is SecurityFailure
#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_impostors() {
    let stage = Stage::new().await;
    let Stage { world, broker, .. } = &stage;
    let kfda = Correspondent::new(world, "kfda");

    let sealed = broker.sealed(&stage.fresh());
    let expired = Correspondent::with_tls_of(world, "broker", "wrong/expired");
    assert!(expired.try_post(&sealed).await.is_err(), "an expired certificate ends the handshake");
    let foreign = Correspondent::with_tls_of(world, "broker", "wrong/foreign");
    assert!(
        foreign.try_post(&sealed).await.is_err(),
        "a certificate of another authority ends the handshake"
    );
    stage.unmoved("no handshake").await;

    let unregistered = Correspondent::with_tls_of(world, "broker", "wrong/unregistered");
    stage.check("unregistered", &unregistered, &sealed, Told::Status(403)).await;
    let from = format!("{HEADER}/eb:From/eb:PartyId");
    let impostor = unsigned_errors(&[("SecurityFailure", &from)]);
    stage.check("TLS party and From party differ", &kfda, &sealed, impostor).await;

    let unsigned = seal(&stage.fresh(), None).expect("is packed");
    let security_failure = errors(&[("SecurityFailure", SIGNATURE)]);
    stage.check("unsigned", broker, &unsigned, security_failure).await;
    let security_failure = errors(&[("SecurityFailure", SIGNATURE)]);
    let of_kfda = kfda.sealed(&stage.fresh());
    stage.check("signed by another registered party", broker, &of_kfda, security_failure).await;
    stage.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_on_the_way() {
    let stage = Stage::new().await;
    let broker = &stage.broker;
    let check = async |what, sealed: &Sealed, expected| stage.check(what, broker, sealed, expected).await;
    let message = stage.fresh();
    let (sealed, declared) = (broker.sealed(&message), cid(&message.payloads[0]));

    let changed = replaced(&sealed, "<ID>COSU8001234567</ID>", "<ID>COSU8001234568</ID>");
    check("payload changed", &changed, errors(&[("SecurityFailure", &declared)])).await;
    let changed = replaced(&sealed, "</eb:ConversationId>", "1</eb:ConversationId>");
    check("header changed", &changed, errors(&[("SecurityFailure", SIGNATURE)])).await;

    let header = element(&sealed, "eb:MessageHeader");
    let place = format!("{HEADER}[2]");
    let second = errors(&[("SecurityFailure", &*place)]);
    check("a second MessageHeader", &with_block(&sealed, &header), second).await;
    let next = format!("<eb:MessageHeader soap:actor=\"{}\" ", Actor::NEXT_MSH);
    let left_out = header.replacen("<eb:MessageHeader ", &next, 1);
    // It is one header too many, and it may not be left out of the signature.
    let place = format!("{HEADER}[2]");
    let twice = errors(&[("SecurityFailure", &*place); 2]);
    check("a second MessageHeader for a next MSH", &with_block(&sealed, &left_out), twice).await;
    let inside = format!("<x:a xmlns:x=\"urn:x\" soap:actor=\"{}\">{header}</x:a>", Actor::NEXT_MSH);
    let place = "/soap:Envelope/soap:Header/a/eb:MessageHeader";
    let hidden = errors(&[("SecurityFailure", place)]);
    check("a second MessageHeader inside an excluded actor", &with_block(&sealed, &inside), hidden).await;

    let stray = Payload { role: None, ..document("GOVCBRX03", "<Stray/>") };
    let more: Vec<_> = message.payloads.iter().cloned().chain([stray.clone()]).collect();
    let place = cid(&stray);
    check("part not in the Manifest", &repacked(&sealed, &more), errors(&[("MimeProblem", &place)])).await;
    let (last, fewer) = message.payloads.split_last().expect("there are some");
    let place = cid(last);
    check("Manifest entry without part", &repacked(&sealed, fewer), errors(&[("MimeProblem", &place)])).await;
    stage.serves().await;
}

//= ebms2 4.2.3 MUST: an error message is signed where the sender is authenticated, and names code and location
#[tokio::test(flavor = "multi_thread")]
async fn not_as_agreed() {
    let stage = Stage::new().await;
    let broker = &stage.broker;
    let check = async |what, message: &Message, expected| {
        stage.check(what, broker, &broker.sealed(message), expected).await;
    };
    let mut message = stage.fresh();
    message.header.cpa_id = CpaId::new("swgw-nobody-1").expect("is an id");
    let unknown = unsigned_errors(&[("ValueNotRecognized", &format!("{HEADER}/eb:CPAId"))]);
    check("unknown agreement", &message, unknown).await;
    let mut message = stage.fresh();
    message.header.service.value = "ExportClearance".into();
    let unknown = errors(&[("ValueNotRecognized", &format!("{HEADER}/eb:Service"))]);
    check("Service not agreed", &message, unknown).await;
    let mut message = stage.fresh();
    message.header.action = "GOVCBR830".into();
    let unknown = errors(&[("ValueNotRecognized", &format!("{HEADER}/eb:Action"))]);
    check("Action not agreed", &message, unknown).await;

    let mut message = stage.fresh();
    message.header.data.timestamp = now().minus(Duration::from_secs(120));
    message.header.data.time_to_live = Some(now().minus(Duration::from_secs(60)));
    let late = errors(&[("TimeToLiveExpired", &format!("{HEADER}/eb:MessageData/eb:TimeToLive"))]);
    let sealed = broker.sealed(&message);
    stage.check_kept("TimeToLive passed", broker, &sealed, late).await;
    stage.serves().await;
}

//= ebms2 4.2.1 MUST: a message that cannot be read gets a Client fault with status 500
#[tokio::test(flavor = "multi_thread")]
async fn not_readable() {
    let stage = Stage::new().await;
    let broker = &stage.broker;
    let sealed = broker.sealed(&stage.fresh());
    let check = async |what, sealed: &Sealed| stage.check(what, broker, sealed, client_fault()).await;
    check("DOCTYPE", &replaced(&sealed, "<soap:Envelope ", "<!DOCTYPE a><soap:Envelope ")).await;
    check("300-deep nesting", &with_block(&sealed, &nested(300))).await;
    check("50,000 attributes", &with_block(&sealed, &attributed(50_000))).await;
    check("truncated multipart", &truncated(&sealed)).await;
    let elsewhere = sealed.content_type.replace("start=\"<", "start=\"<not.");
    check("wrong start", &Sealed { content_type: elsewhere.into(), ..sealed.clone() }).await;

    let endpoint = stage.world.endpoint();
    let length = BODY_BYTES_MAX + 1;
    let mut connection = Connection::open(&stage.world).await;
    connection.announce(&stage.world, "text/xml", length, "").await;
    let status = connection.status().await;
    assert_eq!(status, "HTTP/1.1 413 Payload Too Large", "{length} octets to {endpoint}");
    stage.unmoved("body over the limit").await;
    let mut message = stage.fresh();
    let octets = Bytes::from(vec![b'A'; BODY_BYTES_MAX - 20_000]);
    let big = message.payloads.last_mut().expect("there are some");
    (big.digest, big.body) = (Digest::of(&octets), octets.into());
    let below = broker.sealed(&message);
    assert!(below.body.held().len() < BODY_BYTES_MAX);
    assert_eq!(broker.ask(&below).await, Told::Acknowledged, "a body below the limit is none over it");
}

//= ebms2 4.2.3 MAY: a payload that breaks its business schema is told by OtherXml at its cid
#[tokio::test(flavor = "multi_thread")]
async fn documents_with_faults() {
    let stage = Stage::new().await;
    let broker = &stage.broker;
    let check = async |what: &str, text: &str, findings: Option<&str>| {
        let mut message = stage.fresh();
        let faulty = document("GOVCBR929", text);
        let place = cid(&faulty);
        message.payloads[0] = faulty;
        let sealed = broker.sealed(&message);
        let Told::Errors { signed: true, errors } = stage.kept(what, broker, &sealed).await else {
            panic!("{what}: no signed MessageError");
        };
        assert_eq!(stage.reports(&message).await, 1, "{what}: the findings are owed as a document too, once");
        for error in &errors {
            assert_eq!(
                (error.code.as_str(), error.location.as_deref()),
                ("OtherXml", Some(&*place)),
                "{what}"
            );
        }
        if let Some(findings) = findings {
            let told: Vec<_> = errors.iter().map(|error| error.description.as_str()).collect();
            assert_eq!(told, findings.lines().collect::<Vec<_>>(), "{what}");
        }
    };
    let three = sample!("three-findings");
    assert_eq!(three.1.lines().count(), 3);
    check("three findings, all reported", three.0, Some(three.1)).await;
    let codes = sample!("unknown-codes");
    check("codes that are in no code list", codes.0, Some(codes.1)).await;
    let doctype = sample!("doctype");
    check("DOCTYPE", doctype.0, Some(doctype.1)).await;
    check("300-deep nesting", &nested(300), None).await;
    check("50,000 attributes", &attributed(50_000), None).await;
    stage.serves().await;
}

/// A gateway that has accepted one lodging, which its deliveries and its acknowledgment show ever after.
struct Stage {
    world: World,
    broker: Correspondent,
    first: Sealed,
    receipt: Bytes,
    deliveries: usize,
    _gateway: Process,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new();
        world.edit("gwanmun.toml", "[limits]\n", &format!("[limits]\nbody_bytes_max = {BODY_BYTES_MAX}\n"));
        let gateway = world.serve().await;
        let broker = Correspondent::new(&world, "broker");
        let lodging = world.lodging(1);
        let first = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
        let answer = broker.post(&first).await;
        assert_eq!(broker.read(&answer, &first), Told::Acknowledged);
        let deliveries = world.list("/deliveries").await.len();
        assert_eq!(deliveries, 4, "customs and three agencies");
        Self { world, broker, first, receipt: answer.body, deliveries, _gateway: gateway }
    }

    /// A lodging that would be accepted.
    fn fresh(&self) -> Message {
        let lodging = self.world.lodging(2);
        self.broker.message("GOVCBR929", &lodging.declaration, lodging.payloads)
    }

    /// Refused, and nothing of it kept but the record that it was.
    async fn check(&self, what: &str, by: &Correspondent, sealed: &Sealed, expected: Told) {
        let answer = by.post(sealed).await;
        assert_eq!(by.read(&answer, sealed).without_words(), expected, "{what}");
        self.unmoved(what).await;
    }

    /// Refused, and kept with its MessageError, which a repeat gets again.
    async fn check_kept(&self, what: &str, by: &Correspondent, sealed: &Sealed, expected: Told) {
        let told = self.kept(what, by, sealed).await;
        assert_eq!(told.without_words(), expected, "{what}");
    }

    async fn kept(&self, what: &str, by: &Correspondent, sealed: &Sealed) -> Told {
        let before = self.refused().await;
        let answer = by.post(sealed).await;
        assert_eq!(by.post(sealed).await.body, answer.body, "{what}: a repeat is told the same");
        assert_eq!(self.refused().await, before + 1, "{what}");
        self.unmoved(what).await;
        by.read(&answer, sealed)
    }

    async fn refused(&self) -> usize {
        let messages = self.world.list("/messages").await;
        messages.iter().filter(|message| message["accepted"] == false).count()
    }

    /// Deliveries that are no reports of findings.
    async fn routed(&self) -> usize {
        let deliveries = self.world.list("/deliveries").await;
        deliveries.iter().filter(|delivery| delivery["action"] != "GOVCBRR20").count()
    }

    /// Reports of findings (R20) that answer this message.
    async fn reports(&self, message: &Message) -> usize {
        let (deliveries, about) =
            (self.world.list("/deliveries").await, message.header.data.message_id.as_str());
        let reports = deliveries.iter().filter(|delivery| delivery["action"] == "GOVCBRR20");
        reports.filter(|delivery| delivery["ref_to_message_id"] == about).count()
    }

    /// Nothing was routed, nothing lost, and what was accepted is still known octet for octet.
    async fn unmoved(&self, what: &str) {
        assert_eq!(self.routed().await, self.deliveries, "{what}: nothing is routed");
        assert_eq!(self.world.list("/cases").await.len(), 1, "{what}: nothing is opened");
        let messages = self.world.list("/messages").await;
        let accepted = messages.iter().filter(|message| message["accepted"] == true).count();
        assert_eq!(accepted, 1, "{what}: nothing is accepted");
        assert_eq!(self.broker.post(&self.first).await.body, self.receipt, "{what}: nothing is forgotten");
    }

    /// What would have been accepted without its fault is accepted.
    async fn serves(&self) {
        let sealed = self.broker.sealed(&self.fresh());
        assert_eq!(self.broker.ask(&sealed).await, Told::Acknowledged);
        assert_eq!(self.routed().await, 2 * self.deliveries);
    }
}

fn errors(places: &[(&str, &str)]) -> Told {
    Told::Errors { signed: true, errors: places.iter().map(error).collect() }
}

fn unsigned_errors(places: &[(&str, &str)]) -> Told {
    Told::Errors { signed: false, errors: places.iter().map(error).collect() }
}

fn error((code, place): &(&str, &str)) -> EbxmlError {
    EbxmlError::new(gwanmun::model::ErrorCode::of_text(code), (*place).to_owned(), "")
}

fn client_fault() -> Told {
    Told::Fault("Client".to_owned())
}

fn cid(payload: &Payload) -> String {
    format!("cid:{}", payload.content_id)
}
