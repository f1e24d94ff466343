//! Two gateways, each the other's partner, exchange every combination of agreement parameters over mutual TLS: answers on
//! the connection or by themselves, acknowledgments none, unsigned and signed, DuplicateElimination, MessageOrder, how
//! it is signed, and 0, 1 or 5 payloads, each of them both ways. What the standard forbids is put in force on neither
//! side.
//!
//! KFDA gives both of them results for an applicant who is behind the other one. So each passes results on to the other,
//! octet for octet, and from there they come into the mailbox of the applicant.
//!
//! Both are started once; what is agreed changes under them by a reload.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gwanmun::codec::archive::unpack as files_of;
use gwanmun::codec::envelope::{Envelope, decode_envelope};
use gwanmun::codec::mime::{MimeLimits, unpack};
use gwanmun::codec::xml::XmlLimits;
use gwanmun::model::{Octets, Payload, Timestamp};
use gwanmun::transport::{LocalClient, LocalResponse};
use openssl::base64::encode_block;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::{World, attachment, document};

/// Where the second gateway keeps what is its own.
const SECOND: &str = "second.toml";
/// What KFDA has for the second gateway.
const KFDA_AT_SECOND: &str = "kfda-second.toml";
/// Us, at the second gateway.
const HUB: &str = "SW000000000001";
/// Who has results to give.
const KFDA: &str = "AG000000000001";
/// NPQS, which the second gateway is.
const NPQS: &str = "AG000000000002";
/// The applicant behind us, and the number that documents name him by; at the second gateway that is us.
const BROKER: (&str, &str) = ("BR123450000001", "1208143211");
/// The applicant behind the second gateway, and his number; here that is the second gateway.
const TRADER: (&str, &str) = ("BR123450000002", "2208143218");
/// What travels between the two.
const RESULT: &str = "GOVCBRX51";
/// A rule set that knows nothing but results, and passes them on to their applicants.
const RULES: &str = "format = \"swgw-rules/1\"
id = \"results\"
revision = \"1\"
time_zone = \"UTC\"
hours = \"09:00..18:00\"
weekend = [\"Saturday\", \"Sunday\"]
tables = [\"requirements.csv\"]

[envelope.result]
match = { service = \"RequirementVerification\", action = [\"GOVCBRX51\"] }
then = { pipeline = \"result\", relay = [\"applicant\"] }
";

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

    fn agreement(&self, roles: [&str; 2], endpoint: &str, actions: &str) -> String {
        let presence = |is: bool| if is { "always" } else { "never" };
        let [own_role, partner_role] = roles;
        format!(
            "\n[[agreement]]\ncpa_id = \"swgw-npqs-2\"\nown_role = \"{own_role}\"\n\
             partner_role = \"{partner_role}\"\nendpoint = \"{endpoint}\"\n\
             sync_reply_mode = \"{}\"\nack_requested = \"{}\"\nack_signed = {}\n\
             duplicate_elimination = \"{}\"\nmessage_order = {}\n{}\nretries = 60\nretry_interval = \"2s\"\n\
             time_to_live = \"1h\"\nsend = [{actions}]\nreceive = [{actions}]\n",
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
    /// Who is behind it.
    applicant: &'static str,
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
        let answer = self.client.get(path).await.expect("answers");
        let listed: Value = serde_json::from_slice(&answer.body).expect("is JSON");
        listed.as_array().expect("is a list").clone()
    }

    /// What it sends to the other one of the so many newest results of KFDA, oldest first.
    async fn passed_on(&self, results: usize) -> Vec<Value> {
        let given = self.list(&format!("/messages?sender={KFDA}&limit={results}")).await;
        let cases: BTreeSet<_> = given.iter().filter_map(|message| message["case"].as_str()).collect();
        let mut deliveries = Vec::new();
        for case in cases {
            let of_case = format!("/deliveries?case={case}&destination={}", self.other);
            deliveries.extend(self.list(&of_case).await);
        }
        deliveries.sort_by_key(created_at);
        deliveries
    }

    /// Messages that came from the other one, of the newest ones.
    async fn received(&self) -> Vec<Value> {
        self.list(&format!("/messages?sender={}&limit=20", self.other)).await
    }

    /// How many parts of a message the applicant finds in his mailbox.
    async fn in_mailbox(&self, message: &Value) -> usize {
        let case = message["case"].as_str().expect("it has a case");
        let of_case = format!("/deliveries?case={case}&destination={}", self.applicant);
        let mut waiting = self.list(&of_case).await;
        let of_message = |delivery: &Value| {
            let parts = delivery["parts"].as_array().expect("parts");
            parts.iter().any(|part| part["source"]["received"]["message"] == message["key"])
        };
        waiting.retain(of_message);
        let [delivery] = &waiting[..] else { panic!("{message}: {waiting:#?}") };
        assert_eq!(
            (&delivery["mailbox"], &delivery["state"]),
            (&true.into(), &"pending".into()),
            "{delivery}"
        );
        delivery["parts"].as_array().expect("parts").len()
    }

    /// These cases, each of which one message opened, in the order in which the messages were handed on.
    async fn opened(&self, cases: &[String]) -> Vec<String> {
        let mut newest = self.list("/cases?limit=30").await;
        newest.reverse();
        let ids = newest.iter().map(|case| case["id"].as_str().expect("an id").to_owned());
        ids.filter(|id| cases.contains(id)).collect()
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
        let address = |file: &str, key: &str| {
            let text = world.read(file);
            let line = text.lines().find(|line| line.starts_with(key)).expect("listens").to_owned();
            line.split('"').nth(1).expect("an address").to_owned()
        };
        let [first, second] = ["gwanmun.toml", "npqs.toml"].map(|file| address(file, "ebms"));
        // KFDA does not listen here.
        let apis = [address("gwanmun.toml", "api"), address("kfda.toml", "ebms")];
        let settings = world.read("gwanmun.toml");
        let settings = settings.split("[payment]").next().expect("the rest");
        let settings = settings
            .lines()
            .filter(|line| !line.starts_with("admin"))
            .map(|line| if line.starts_with("directory") { with_another(line) } else { line.to_owned() })
            .collect::<Vec<_>>()
            .join("\n")
            .replace(HUB, NPQS)
            .replace("\"SingleWindow\"", "\"Agency\"")
            .replace("gateway.practice", "npqs.practice")
            .replace("pki/gateway", "pki/npqs")
            .replace("rsa/gateway", "rsa/npqs")
            .replace(&first, &second)
            .replace(&apis[0], &apis[1])
            .replace("run/gwanmun.sock", "second/gwanmun.sock");
        for directory in ["second", "second/rules", "second/partners"] {
            std::fs::create_dir_all(world.path(directory)).expect("is made");
        }
        world.write(SECOND, &settings);
        // Neither is anybody's Single Window: results are all that they know what to do with.
        world.write("second/rules/ruleset.toml", RULES);
        let header = world.read("rules/requirements.csv").lines().next().expect("a header").to_owned();
        world.write("second/rules/requirements.csv", &format!("{header}\n"));
        world.edit("gwanmun.toml", "/rules\"", "/second/rules\"");

        let known_hub = known(HUB, "hub", BROKER.1, "gateway");
        let known_npqs = known(NPQS, "NPQS", TRADER.1, "npqs").replace("../../", "../");
        let kfda = world.read("partners/kfda.toml");
        world.write("second/partners/kfda.toml", &kfda.replace("../pki", "../../pki"));
        let broker = collects(&world.read("partners/broker.toml"));
        world.write("partners/broker.toml", &broker);
        // His certificates are nobody's here: he only has to be somebody.
        let trader = broker.replace(BROKER.0, TRADER.0).replace(BROKER.1, TRADER.1);
        world.write("second/partners/trader.toml", &trader.replace("../pki", "../../pki"));
        let kfda = world.read("kfda.toml");
        let kfda = kfda.replace(HUB, NPQS).replace("pki/gateway", "pki/npqs").replace(&first, &second);
        world.write(KFDA_AT_SECOND, &kfda);

        let gateway = |socket: &str, other, applicant| Gateway {
            client: LocalClient::new(&world.path(socket)),
            other,
            applicant,
        };
        Self {
            hub: gateway("run/gwanmun.sock", NPQS, BROKER.0),
            npqs: gateway("second/gwanmun.sock", HUB, TRADER.0),
            endpoint: format!("https://{}/ebms", second.replace("127.0.0.1", "localhost")),
            known_hub,
            known_npqs,
        }
    }

    /// Writes down something else on both sides.
    fn agree(&self, world: &World, terms: &Terms) {
        let actions = format!("\"RequirementVerification {RESULT}\", \"Test Test\"");
        let agreement = terms.agreement(["SingleWindow", "Agency"], &self.endpoint, &actions);
        world.write("partners/npqs.toml", &format!("{}{agreement}", self.known_npqs));
        let agreement = terms.agreement(["Agency", "SingleWindow"], world.endpoint(), &actions);
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

    /// A message that `from` has sent, and what the other one has of it: once, the same octets, acknowledged as agreed,
    /// and all of it in the mailbox of its applicant. Gives the case that it belongs to there.
    async fn compare(
        &self,
        terms: &Terms,
        from: &Gateway,
        to: &Gateway,
        delivery: &Value,
        parts: usize,
    ) -> String {
        let id = delivery["message_id"].as_str().expect("text");
        let mut received = to.received().await;
        received.retain(|message| message["key"]["message_id"] == id);
        let [message] = &received[..] else { panic!("{terms:?}: {received:#?}") };
        assert_eq!(message["accepted"], true, "{terms:?}: {message}");
        assert!(message["held"] != true && message["quarantined"] != true, "{terms:?}: {message}");
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
        assert_eq!((payloads, to.in_mailbox(message).await), (parts, parts), "{terms:?}: P2");
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
        message["case"].as_str().expect("it has a case").to_owned()
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

/// A party as one of the two has it, that documents name by this number.
fn known(key: &str, name: &str, number: &str, keys: &str) -> String {
    format!(
        "[party]\nkey = \"{key}\"\nname = \"{name}\"\nkind = \"declarant\"\nbusiness_number = \"{number}\"\n\
         tls_certificates = [\"../../pki/{keys}/tls.pem\"]\n\
         signing_certificates = [\"../../pki/{keys}/signing.pem\", \"../../rsa/{keys}/signing.pem\"]\n"
    )
}

/// A partner file in which nothing is posted to its party, with the first of its agreements alone.
fn collects(file: &str) -> String {
    let agreements: Vec<_> = file.split("[[agreement]]").take(2).collect();
    let first = agreements.join("[[agreement]]");
    let lines = first.lines().map(|line| if line.starts_with("endpoint") { "mailbox = true" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// A result for the applicant with this number, and so many attachments.
fn result(number: u32, application: u32, applicant: &str, attachments: usize) -> Vec<Payload> {
    let text = include_str!("../samples/documents/X51/conditional.xml");
    let text = text
        .replace("20091202142000124", &format!("2009120214{number:07}"))
        .replace("X01-20091201-0001", &format!("X01-20091201-{application:04}"))
        .replace(BROKER.1, applicant);
    let pages = (0..attachments).map(|number| {
        attachment(&format!("page-{number}.pdf"), "application/pdf", format!("%PDF-1.4 {number}").as_bytes())
    });
    std::iter::once(document(RESULT, &text)).chain(pages).collect()
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
    let kfda = [
        Correspondent::new(&world, "kfda"),
        Correspondent::at(&world, "kfda", KFDA_AT_SECOND, &two.endpoint),
    ];
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
    for (serial, terms) in (1..).zip(&allowed) {
        two.agree(&world, terms);
        for gateway in [&two.hub, &two.npqs] {
            gateway.act("/reload").await;
        }
        // No payload.
        two.hub.check(terms).await;
        two.npqs.check(terms).await;
        // One payload, and five; from both at once.
        let (to_npqs, to_hub) =
            tokio::join!(give(&kfda[0], terms, TRADER.1, serial), give(&kfda[1], terms, BROKER.1, serial));
        assert_eq!(to_npqs, to_hub);
        tokio::join!(
            arrive(&two, terms, [&two.hub, &two.npqs], to_npqs),
            arrive(&two, terms, [&two.npqs, &two.hub], to_hub)
        );
    }
}

/// KFDA gives a gateway results for an applicant: one alone, and one with four attachments; where order is kept, more of
/// those in one conversation. Gives how many they are.
async fn give(kfda: &Correspondent, terms: &Terms, applicant: &str, serial: u32) -> usize {
    let with_attachments: u32 = if terms.order { 4 } else { 1 };
    let alone = (10 * serial, 10 * serial, 0);
    let more = (1..=with_attachments).map(|number| (10 * serial + number, 10 * serial + 1, 4));
    let results: Vec<_> = std::iter::once(alone).chain(more).collect();
    for (number, application, attachments) in &results {
        let payloads = result(*number, *application, applicant, *attachments);
        let sealed = kfda.sealed(&kfda.message(RESULT, &format!("X01-{application}"), payloads));
        assert_eq!(kfda.ask(&sealed).await, Told::Acknowledged, "{terms:?}");
    }
    results.len()
}

/// What one of the two was given has come to the other one, as agreed.
async fn arrive(two: &Two, terms: &Terms, [from, to]: [&Gateway; 2], count: usize) {
    let sent = delivered(from, terms, count).await;
    let mut cases = Vec::new();
    for (delivery, parts) in sent.iter().zip([1, 5, 5, 5, 5]) {
        cases.push(two.compare(terms, from, to, delivery, parts).await);
    }
    if terms.order {
        let numbers =
            sent[1..].iter().map(|delivery| delivery["order"]["number"].as_u64()).collect::<Vec<_>>();
        assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3)], "{terms:?}");
        assert_eq!(to.opened(&cases[1..]).await, cases[1..], "{terms:?}: P5");
    }

    // The same octets again are answered, and are no second message.
    let before = to.received().await;
    let again = &sent[sent.len() - 1];
    let id = again["id"].as_str().expect("text");
    from.act(&format!("/deliveries/{id}/again?reason=test")).await;
    until(&format!("{terms:?}: it is delivered again"), async || {
        let sent = from.passed_on(count).await;
        let delivery = sent.iter().find(|delivery| delivery["id"] == id)?;
        (delivery["state"] == "delivered" && delivery["again"] == 1).then_some(())
    })
    .await;
    assert_eq!(to.received().await, before, "{terms:?}: P3");
    two.compare(terms, from, to, again, 5).await;
}

/// Waits until everything that a gateway passes on of the newest results is delivered, which is so many messages.
async fn delivered(gateway: &Gateway, terms: &Terms, count: usize) -> Vec<Value> {
    until(&format!("{terms:?}: {count} to {} are delivered", gateway.other), async || {
        let sent = gateway.passed_on(count).await;
        (sent.len() == count && sent.iter().all(|delivery| delivery["state"] == "delivered")).then_some(sent)
    })
    .await
}
