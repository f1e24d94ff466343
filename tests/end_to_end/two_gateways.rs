//! Two gateways, each the other's partner, exchange every combination of agreement parameters over mutual TLS: answers on
//! the connection or by themselves, acknowledgments none, unsigned and signed, DuplicateElimination, MessageOrder, how
//! it is signed, and 0, 1 or 5 payloads. What the standard forbids is put in force on neither side.
//!
//! Both are started once; what is agreed changes under them by a reload.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gwanmun::codec::archive::unpack as files_of;
use gwanmun::codec::envelope::{Envelope, decode_envelope};
use gwanmun::codec::mime::{MimeLimits, unpack};
use gwanmun::codec::xml::XmlLimits;
use gwanmun::model::{Digest, Octets, Payload, Timestamp};
use gwanmun::transport::{LocalClient, LocalResponse};
use openssl::base64::encode_block;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::{World, attachment};

/// Where the second gateway keeps what is its own.
const SECOND: &str = "second.toml";
/// Us, at the second gateway.
const HUB: &str = "SW000000000001";
/// NPQS, which the second gateway is.
const NPQS: &str = "AG000000000002";

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Terms {
    signed_by: &'static str,
    sync_reply_mode: &'static str,
    /// Whether acknowledgments are signed; none when nobody asks for any.
    ack: Option<bool>,
    duplicate_elimination: bool,
    order: bool,
}

/// How it is signed: as the strict profile has it, and in two other ways; the last one with an RSA key.
const SIGNED_BY: [&str; 3] = [
    "own_algorithm = \"ecdsa-sha256\"",
    "profile = \"standard\"\nown_algorithm = \"ecdsa-sha512\"\nown_digest = \"sha512\"\n\
     own_canonicalization = \"exclusive\"\nown_payload_transforms = true",
    "profile = \"standard\"\nown_algorithm = \"rsa-pss-sha384\"\nown_digest = \"sha384\"\n\
     own_canonicalization = \"c14n11\"",
];

/// The whole product.
fn combinations() -> impl Iterator<Item = Terms> {
    let mut all = Vec::new();
    for signed_by in SIGNED_BY {
        for sync_reply_mode in ["none", "mshSignalsOnly"] {
            for ack in [None, Some(false), Some(true)] {
                for duplicate_elimination in [false, true] {
                    for order in [false, true] {
                        all.push(Terms { signed_by, sync_reply_mode, ack, duplicate_elimination, order });
                    }
                }
            }
        }
    }
    all.into_iter()
}

impl Terms {
    /// Order demands DuplicateElimination and AckRequested, and no SyncReply.
    fn is_allowed(&self) -> bool {
        !self.order || (self.sync_reply_mode == "none" && self.ack.is_some() && self.duplicate_elimination)
    }

    fn agreement(&self, roles: [&str; 2], endpoint: &str, actions: [&str; 2]) -> String {
        let presence = |is: bool| if is { "always" } else { "never" };
        let [own_role, partner_role] = roles;
        let [send, receive] = actions;
        format!(
            "\n[[agreement]]\ncpa_id = \"swgw-npqs-2\"\nown_role = \"{own_role}\"\n\
             partner_role = \"{partner_role}\"\nendpoint = \"{endpoint}\"\n\
             sync_reply_mode = \"{}\"\nack_requested = \"{}\"\nack_signed = {}\n\
             duplicate_elimination = \"{}\"\nmessage_order = {}\n{}\nretries = 60\nretry_interval = \"2s\"\n\
             time_to_live = \"1h\"\nsend = [{send}]\nreceive = [{receive}]\n",
            self.sync_reply_mode,
            presence(self.ack.is_some()),
            self.ack.unwrap_or_default(),
            presence(self.duplicate_elimination),
            self.order,
            self.signed_by,
        )
    }

    /// What `gwanmun party check` says of a message that tests the way.
    const fn receipt_of_test(&self) -> &'static str {
        match self.ack {
            None => "it was taken; no acknowledgment is agreed",
            Some(false) => "acknowledged, not signed, as agreed",
            Some(true) => "acknowledged, signed and verified",
        }
    }
}

/// One of the two, as its operator has it.
struct Gateway {
    client: LocalClient,
    /// Who the other one is.
    other: &'static str,
}

impl Gateway {
    async fn post(&self, path: &str) -> LocalResponse {
        self.client.post(path, "application/json", Bytes::new()).await.expect("answers")
    }

    async fn act(&self, path: &str) -> Value {
        let answer = self.post(path).await;
        assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).expect("is JSON")
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let answer = self.client.get(&format!("{path}?limit=10000")).await.expect("answers");
        let listed: Value = serde_json::from_slice(&answer.body).expect("is JSON");
        listed.as_array().expect("is a list").clone()
    }

    /// Messages to the other one, which are no signals, oldest first.
    async fn sent(&self) -> Vec<Value> {
        let mut deliveries = self.list("/deliveries").await;
        deliveries.retain(|d| d["destination"] == self.other && d["purpose"]["kind"] != "signal");
        deliveries.sort_by_key(created_at);
        deliveries
    }

    /// What came from the other one.
    async fn received(&self) -> Vec<Value> {
        let mut messages = self.list("/messages").await;
        messages.retain(|message| message["key"]["sender"] == self.other);
        messages
    }

    /// The numbers of these messages in the order in which they were handed on: what came early was accepted before that,
    /// to be held.
    async fn handed_on(&self, messages: &[Value]) -> Vec<Option<u64>> {
        let told = self.client.get("/audit?limit=10000").await.expect("answers");
        let told: Value = serde_json::from_slice(&told.body).expect("is JSON");
        let entries = told["entries"].as_array().expect("a list").iter();
        let entries = entries.map(|entry| -> Value {
            serde_json::from_str(entry["text"].as_str().expect("text")).expect("is JSON")
        });
        let number = |entry: Value| {
            let event = entry["event"].as_str()?;
            let mut messages = messages.iter();
            let message = messages.find(|message| message["message_id"] == entry["message_id"])?;
            ["message.handed-on", "message.accepted"]
                .contains(&event)
                .then(|| message["order"]["number"].as_u64())
        };
        let mut numbers: Vec<_> = entries.filter_map(number).collect();
        numbers.reverse();
        let mut handed_on: Vec<_> = Vec::new();
        for number in numbers {
            if !handed_on.contains(&number) {
                handed_on.insert(0, number);
            }
        }
        handed_on
    }

    /// The evidence about a message between the two: each file of the archive.
    async fn evidence(&self, message_id: &str) -> BTreeMap<String, Octets> {
        let path = format!("/messages/{}/{message_id}/evidence", self.other);
        let answer = self.client.get(&path).await.expect("answers");
        assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        files_of(&answer.body.into()).expect("is an archive")
    }

    /// Pinged, tested without a payload, acknowledged, asked about: everything that can be had as agreed.
    async fn check(&self, terms: &Terms) {
        let before = self.act(&format!("/parties/{}/check", self.other)).await;
        assert_eq!(before["reached"], true, "{terms:?}: {before:#}");
        let steps = before["agreements"][0]["steps"].as_array().expect("steps");
        let test = steps.iter().find(|step| step["step"] == "message").expect("it was sent");
        let says = test["says"].as_str().expect("text");
        assert!(says.starts_with(terms.receipt_of_test()), "{terms:?}: {says}");
    }
}

/// Both, and what the second one has in place of NPQS.
struct Two {
    hub: Gateway,
    npqs: Gateway,
    /// Where the second one listens.
    endpoint: String,
    /// Each party as the other has it, without an agreement.
    known_hub: String,
    known_npqs: String,
}

impl Two {
    fn prepare(world: &World) -> Self {
        with_another_key(world);
        let line = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("ebms")).expect("listens").to_owned();
            line.split('"').nth(1).expect("an address").to_owned()
        };
        let (first, npqs) = (world.read("gwanmun.toml"), world.read("npqs.toml"));
        let (own, other) = (line(&npqs), line(&first));
        let settings = first.split("[payment]").next().expect("the rest");
        let settings = settings.lines().filter(|line| !line.starts_with("api") && !line.starts_with("admin"));
        let settings = settings
            .map(|line| if line.starts_with("directory") { with_another(line) } else { line.to_owned() })
            .collect::<Vec<_>>()
            .join("\n")
            .replace(HUB, NPQS)
            .replace("\"SingleWindow\"", "\"Agency\"")
            .replace("gateway.practice", "npqs.practice")
            .replace("pki/gateway", "pki/npqs")
            .replace("rsa/gateway", "rsa/npqs")
            .replace(&other, &own)
            .replace("run/gwanmun.sock", "second/gwanmun.sock");
        for directory in ["second", "second/rules", "second/partners"] {
            std::fs::create_dir_all(world.path(directory)).expect("is made");
        }
        world.write(SECOND, &settings);
        // It is nobody's Single Window: no rule says what to do with anything.
        world.write(
            "second/rules/ruleset.toml",
            "format = \"swgw-rules/1\"\nid = \"none\"\nrevision = \"1\"\ntime_zone = \"UTC\"\n\
             hours = \"09:00..18:00\"\nweekend = [\"Saturday\", \"Sunday\"]\ntables = [\"requirements.csv\"]\n",
        );
        let header = world.read("rules/requirements.csv").lines().next().expect("a header").to_owned();
        world.write("second/rules/requirements.csv", &format!("{header}\n"));
        let known_hub = format!(
            "[party]\nkey = \"{HUB}\"\nname = \"hub\"\nkind = \"declarant\"\n\
             tls_certificates = [\"../../pki/gateway/tls.pem\"]\n\
             signing_certificates = [\"../../pki/gateway/signing.pem\", \"../../rsa/gateway/signing.pem\"]\n"
        );
        let known_npqs = world.read("partners/npqs.toml");
        let known_npqs = known_npqs.split("[[agreement]]").next().expect("the party").replace(
            "[\"../pki/npqs/signing.pem\"]",
            "[\"../pki/npqs/signing.pem\", \"../rsa/npqs/signing.pem\"]",
        );
        let gateway = |socket: &str, other| Gateway { client: LocalClient::new(&world.path(socket)), other };
        Self {
            hub: gateway("run/gwanmun.sock", NPQS),
            npqs: gateway("second/gwanmun.sock", HUB),
            endpoint: format!("https://{}/ebms", own.replace("127.0.0.1", "localhost")),
            known_hub,
            known_npqs,
        }
    }

    /// Writes down something else on both sides.
    fn agree(&self, world: &World, terms: &Terms) {
        let verification = ["GOVCBRX02", "GOVCBRX52", "GOVCBRRBH", "GOVCBRRBG"]
            .map(|code| format!("\"RequirementVerification {code}\""));
        let [application, result, ..] = &verification;
        let (hub_sends, npqs_sends) = (
            format!("{application}, \"Status GOVCBRINF\", \"Test Test\""),
            format!("{result}, {}, \"Status GOVCBRINF\", \"Test Test\"", verification[2..].join(", ")),
        );
        let actions = [&*hub_sends, &npqs_sends];
        let agreement = terms.agreement(["SingleWindow", "Agency"], &self.endpoint, actions);
        world.write("partners/npqs.toml", &format!("{}{agreement}", self.known_npqs));
        let actions = [&*npqs_sends, &hub_sends];
        let agreement = terms.agreement(["Agency", "SingleWindow"], world.endpoint(), actions);
        world.write("second/partners/hub.toml", &format!("{}{agreement}", self.known_hub));
    }

    async fn serve_second(&self, world: &World) -> Process {
        let settings = world.path(SECOND);
        let arguments = ["serve", "--config", settings.to_str().expect("is text")];
        let mut gateway = Process::start(world.path("second.log"), arguments);
        until("the second gateway is ready", async || {
            gateway.check();
            self.npqs.client.get("/ready").await.ok().filter(|answer| answer.status.is_success())
        })
        .await;
        gateway
    }

    /// A message that `from` has sent, and what the other one has of it: once, the same octets, acknowledged as agreed.
    async fn compare(&self, terms: &Terms, from: &Gateway, to: &Gateway, delivery: &Value, parts: usize) {
        let id = delivery["message_id"].as_str().expect("text");
        let mut received = to.received().await;
        received.retain(|message| message["key"]["message_id"] == id);
        let [message] = &received[..] else { panic!("{terms:?}: {received:#?}") };
        assert_eq!(message["accepted"], true, "{terms:?}: {message}");
        assert_ne!(message["held"], true, "{terms:?}: {message}");
        assert_eq!(message["order"], delivery["order"], "{terms:?}");
        assert_eq!(delivery["order"].is_object(), terms.order, "{terms:?}: {delivery}");

        let (sent, got) = (from.evidence(id).await, to.evidence(id).await);
        assert_eq!(sent["message"], got["message"], "{terms:?}: P6");
        assert_eq!(sent.get("receipt"), got.get("answer"), "{terms:?}: P4");
        let (envelope, payloads) = read(sent["message"].held(), message["content_type"].as_str());
        let asked: Vec<_> = envelope.message.ack_requested.iter().map(|asked| asked.signed).collect();
        let header = &envelope.message.header;
        assert_eq!(asked, terms.ack.into_iter().collect::<Vec<_>>(), "{terms:?}");
        assert_eq!(header.duplicate_elimination, terms.duplicate_elimination, "{terms:?}");
        assert_eq!(envelope.message.sync_reply, terms.sync_reply_mode != "none", "{terms:?}");
        assert_eq!(payloads, parts, "{terms:?}");
        assert_eq!(sent.contains_key("receipt"), terms.ack.is_some(), "{terms:?}");
        if let Some(receipt) = sent.get("receipt") {
            let (answer, _) = read(receipt.held(), None);
            let signed = terms.ack.unwrap_or_default();
            assert_eq!(answer.signature.is_some(), signed, "{terms:?}");
            let [given] = &answer.message.acknowledgments[..] else { panic!("{terms:?}: {answer:?}") };
            assert_eq!(given.ref_to_message_id.as_str(), id, "{terms:?}");
            // Of the envelope and of each payload, where a digest is signed at all.
            assert_eq!(given.references.len(), if signed { parts + 1 } else { 0 }, "{terms:?}");
            let text = String::from_utf8_lossy(sent["message"].held());
            for reference in &given.references {
                let digest = format!("<ds:DigestValue>{}<", encode_block(&reference.value));
                assert!(text.contains(&digest), "{terms:?}: {digest}");
            }
        }
    }
}

/// An envelope, and how many payloads there are beside it.
fn read(body: &Bytes, content_type: Option<&str>) -> (Envelope, usize) {
    let content_type = content_type.unwrap_or("text/xml; charset=UTF-8");
    let package = unpack(content_type, &body.clone().into(), &MimeLimits::default()).expect("is a package");
    let envelope = decode_envelope(&package.root.body, None, &XmlLimits::ENVELOPE).expect("is an envelope");
    (envelope, package.parts.len())
}

fn created_at(delivery: &Value) -> Timestamp {
    let text = delivery["created_at"].as_str().expect("an instant");
    text.parse().expect("an instant")
}

/// Another directory of the same name.
fn with_another(line: &str) -> String {
    let name = line.split('"').nth(1).and_then(|path| path.rsplit('/').next()).expect("a directory");
    format!("directory = \"second/{name}\"")
}

/// Gives each of the two an RSA key beside the one that it has.
fn with_another_key(world: &World) {
    let arguments = ["pki", "practice", "rsa", "--party", "gateway", "--party", "npqs", "--algorithm", "rsa"];
    let made = run(&world.path(""), arguments);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let rsa = "[[signing]]\ncertificate = \"rsa/gateway/signing.pem\"\nkey = \"rsa/gateway/signing.key\"\n\n[store]";
    world.edit("gwanmun.toml", "[store]", rsa);
}

/// The documents of a declaration with one application, to NPQS, which has four attachments.
fn lodging(world: &World, serial: u32) -> (String, Vec<Payload>) {
    let lodging = world.lodging(serial);
    let is = |payload: &Payload, code: &str| payload.role.as_deref().is_some_and(|role| role.ends_with(code));
    let mut payloads = lodging.payloads;
    payloads.retain(|payload| payload.role.is_none() || is(payload, "929") || is(payload, "X02"));
    let x02 = payloads.iter_mut().find(|payload| is(payload, "X02")).expect("is lodged");
    let text = String::from_utf8(x02.body.held().to_vec()).expect("is text");
    let (before, rest) = text.split_once("<AttachedDocument>").expect("has one");
    let (one, after) = rest.split_once("</AttachedDocument>").expect("ends");
    let more: String = (1..4)
        .map(|number| {
            let one = one.replace("phytosanitary-certificate.pdf", &format!("page-{number}.pdf"));
            format!("<AttachedDocument>{one}</AttachedDocument>")
        })
        .collect();
    let text = format!("{before}<AttachedDocument>{one}</AttachedDocument>{more}{after}");
    *x02 = with_text(x02, text);
    let pages = (1..4).map(|number| {
        attachment(&format!("page-{number}.pdf"), "application/pdf", format!("%PDF-1.4 {number}").as_bytes())
    });
    payloads.extend(pages);
    (lodging.declaration, payloads)
}

fn with_text(payload: &Payload, text: String) -> Payload {
    Payload { digest: Digest::of(text.as_bytes()), body: Bytes::from(text).into(), ..payload.clone() }
}

/// Every one of them that the standard allows: 42 agreements, one after the other between the same two gateways; and the
/// 30 that it forbids.
//= ebms2 6.6 MUST: two gateways exchange messages under every combination of reliable messaging, order and signature
//= ebms2 9.1 MUST: an agreement with order and without DuplicateElimination or AckRequested, or with SyncReply, is not put in force
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_understand_each_other_under_every_agreement() {
    let world = World::new();
    let two = Two::prepare(&world);
    two.agree(&world, &combinations().next().expect("there are some"));
    let _hub = world.serve().await;
    let _npqs = two.serve_second(&world).await;
    let broker = Correspondent::new(&world, "broker");
    let (allowed, forbidden): (Vec<_>, Vec<_>) = combinations().partition(Terms::is_allowed);
    assert_eq!((allowed.len(), forbidden.len()), (42, 30));
    for terms in &forbidden {
        two.agree(&world, terms);
        for gateway in [&two.hub, &two.npqs] {
            let answer = gateway.post("/reload").await;
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(
                answer.status.as_u16() == 422 && told.contains("\"message_order with"),
                "{terms:?}: {told}"
            );
        }
    }
    let mut seen = Seen::default();
    for (serial, terms) in (1..).zip(&allowed) {
        exchange(&world, &two, &broker, serial, terms, &mut seen).await;
    }
}

/// Deliveries of earlier agreements, by their ids.
#[derive(Default)]
struct Seen {
    hub: BTreeSet<String>,
    npqs: BTreeSet<String>,
}

/// Messages of every kind in both directions under one agreement.
async fn exchange(
    world: &World,
    two: &Two,
    broker: &Correspondent,
    serial: u32,
    terms: &Terms,
    seen: &mut Seen,
) {
    two.agree(world, terms);
    for gateway in [&two.hub, &two.npqs] {
        gateway.act("/reload").await;
    }
    // No payload.
    two.hub.check(terms).await;
    two.npqs.check(terms).await;
    // One payload, and five; where order is kept, more of them in one conversation.
    for gateway in [&two.hub, &two.npqs] {
        gateway.act(&format!("/notices?to={}&text=works&reason=test", gateway.other)).await;
    }
    let (declaration, payloads) = lodging(world, serial);
    let lodged = broker.sealed(&broker.message("GOVCBR929", &declaration, payloads.clone()));
    assert_eq!(broker.ask(&lodged).await, Told::Acknowledged, "{terms:?}");
    let newer = if terms.order { 3 } else { 0 };
    for _ in 0..newer {
        let mut enclosed = payloads[1..].to_vec();
        let text = std::str::from_utf8(enclosed[0].body.held()).expect("is text");
        let text = text.replacen("<FunctionCode>9<", "<FunctionCode>5<", 1);
        enclosed[0] = with_text(&enclosed[0], text);
        let again = broker.sealed(&broker.message("GOVCBRX02", &declaration, enclosed));
        assert_eq!(broker.ask(&again).await, Told::Acknowledged, "{terms:?}");
    }
    let sent = delivered(&two.npqs, terms, &seen.npqs, 1).await;
    two.compare(terms, &two.npqs, &two.hub, &sent[0], 1).await;
    let sent = delivered(&two.hub, terms, &seen.hub, 2 + newer).await;
    two.compare(terms, &two.hub, &two.npqs, &sent[0], 1).await;
    for delivery in &sent[1..] {
        two.compare(terms, &two.hub, &two.npqs, delivery, 5).await;
    }
    if terms.order {
        let numbers =
            sent[1..].iter().map(|delivery| delivery["order"]["number"].as_u64()).collect::<Vec<_>>();
        assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3)], "{terms:?}");
        assert_eq!(two.npqs.handed_on(&sent[1..]).await, numbers, "{terms:?}: P5");
    }

    // The same octets again are answered, and are no second message.
    let before = two.npqs.received().await.len();
    let again = &sent[sent.len() - 1];
    let id = again["id"].as_str().expect("text");
    two.hub.act(&format!("/deliveries/{id}/again?reason=test")).await;
    until(&format!("{terms:?}: it is delivered again"), async || {
        let sent = two.hub.sent().await;
        let delivery = sent.iter().find(|delivery| delivery["id"] == id)?;
        (delivery["state"] == "delivered" && delivery["again"] == 1).then_some(())
    })
    .await;
    assert_eq!(two.npqs.received().await.len(), before, "{terms:?}: P3");
    two.compare(terms, &two.hub, &two.npqs, again, 5).await;
    seen.hub.extend(sent.iter().map(|delivery| delivery["id"].to_string()));
    seen.npqs.extend(two.npqs.sent().await.iter().map(|delivery| delivery["id"].to_string()));
}

/// Waits until everything that a gateway has sent since is delivered, which is so many messages.
async fn delivered(gateway: &Gateway, terms: &Terms, seen: &BTreeSet<String>, count: usize) -> Vec<Value> {
    until(&format!("{terms:?}: {count} to {} are delivered", gateway.other), async || {
        let mut sent = gateway.sent().await;
        sent.retain(|delivery| !seen.contains(&delivery["id"].to_string()));
        (sent.len() == count && sent.iter().all(|delivery| delivery["state"] == "delivered")).then_some(sent)
    })
    .await
}
