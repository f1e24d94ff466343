//! A practice partner against the wire: an agency's node, and at the other end another node in the gateway's place.
//!
//! Both are real: TLS on loopback, real signatures, journals on disk. What is proved of the partners here is what the
//! end-to-end tests rely on when they ask a journal whether each message was handed on exactly once.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gwanmun::cli::KeyAlgorithm;
use gwanmun::cli::pki::{PracticeOptions, practice};
use gwanmun::config::load_party;
use gwanmun::model::{
    ContentId, ConversationId, Digest, DocumentCode, Payload, Timestamp, role_of_document_code,
};
use gwanmun::practice::{
    Done, Ending, Entry, Journal, Letter, Manners, Node, Outgoing, Partner, Play, Role, Wanted,
};
use gwanmun::transport::{Client, ClientOptions, Post, Tls, TlsContext};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Two ends of one agreement.
struct World {
    directory: tempfile::TempDir,
    sync_reply_mode: &'static str,
    retries: u32,
    /// Where the gateway's end and the agency's end listen.
    ports: [u16; 2],
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("makes a directory");
        let parties = ["gateway", "kfda"].map(str::to_owned).to_vec();
        let options = PracticeOptions { parties, algorithm: KeyAlgorithm::P256, replace: false };
        practice(&directory.path().join("pki"), &options).expect("makes certificates");
        let free = [0; 2].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds"));
        let ports = free.each_ref().map(|listener| listener.local_addr().expect("is bound").port());
        Self { directory, sync_reply_mode: "mshSignalsOnly", retries: 100, ports }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// One end.
    fn partner(&self, name: &str) -> Partner {
        let agency = name == "kfda";
        let [port, peer_port] = if agency { [self.ports[1], self.ports[0]] } else { self.ports };
        let other = if agency { "gateway" } else { "kfda" };
        let key = |name: &str| if name == "kfda" { "AG000000000001" } else { "SW000000000001" };
        let role = |name: &str| if name == "kfda" { "Agency" } else { "SingleWindow" };
        let (to_agency, from_agency) = (
            r#"["RequirementVerification GOVCBRX01"]"#,
            r#"["RequirementVerification GOVCBRX51", "RequirementVerification GOVCBRRBH"]"#,
        );
        let (send, receive) = if agency { (from_agency, to_agency) } else { (to_agency, from_agency) };
        let text = format!(
            r#"
[identity]
party = "{own}"
role = "{own_role}"
domain = "{name}.example"
[listen]
ebms = "127.0.0.1:{port}"
[tls]
certificate = "pki/{name}/tls.pem"
key = "pki/{name}/tls.key"
anchors = ["pki/ca.pem"]
[[signing]]
certificate = "pki/{name}/signing.pem"
key = "pki/{name}/signing.key"
[journal]
directory = "{name}"
[gateway]
key = "{peer}"
name = "{other}"
tls_certificates = ["pki/{other}/tls.pem"]
signing_certificates = ["pki/{other}/signing.pem"]
[[agreement]]
cpa_id = "sw-kfda"
partner_role = "{peer_role}"
endpoint = "https://localhost:{peer_port}/ebms"
sync_reply_mode = "{mode}"
own_algorithm = "ecdsa-sha256"
retries = {retries}
retry_interval = "50ms"
time_to_live = "1h"
send = {send}
receive = {receive}
"#,
            mode = self.sync_reply_mode,
            retries = self.retries,
            own = key(name),
            own_role = role(name),
            peer = key(other),
            peer_role = role(other),
        );
        let path = self.path().join(format!("{name}.toml"));
        fs::write(&path, text).expect("writes");
        Partner::new(load_party(&path).expect("is in order")).expect("has its keys")
    }

    async fn node(&self, name: &str, script: &str) -> Node {
        let role = if name == "kfda" { Role::Agency } else { Role::Broker };
        let script = script.parse().expect("is a script");
        let play = Play { role, script, customs_delay: Duration::ZERO };
        Node::start(self.partner(name), play, Manners::default(), now).await.expect("starts")
    }

    fn journal(&self, name: &str) -> Vec<Entry> {
        Journal::entries_from(&Journal::path_in(&self.path().join(name)), 0).expect("is read").0
    }

    /// What a node has handed on: action and what the document says.
    fn handed_on(&self, name: &str) -> Vec<(String, String)> {
        let received = |entry| match entry {
            Entry::Received(received) => Some((received.action.to_string(), received.says)),
            _ => None,
        };
        self.journal(name).into_iter().filter_map(received).collect()
    }
}

#[allow(clippy::disallowed_methods, reason = "certificates are valid around the time of the test")]
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

async fn until(node: &Node, enough: impl FnMut(&Done) -> bool) {
    timeout(Duration::from_secs(20), node.done().wait_for(enough))
        .await
        .expect("in time")
        .expect("the node lives");
}

fn application(partner: &Partner) -> Outgoing {
    let text = fs::read("tests/samples/documents/X01/herbs.xml").expect("is there");
    let body = Bytes::from(text);
    let code = DocumentCode::new("GOVCBRX01").expect("is a code");
    let letter = Letter {
        message_id: partner.fresh_id().expect("is random"),
        conversation_id: ConversationId::new("X01-20091201-0001").expect("is an id"),
        ref_to_message_id: None,
        service: "RequirementVerification".into(),
        action: code.as_str().into(),
        payloads: vec![Payload {
            content_id: ContentId::new("x01@gateway.example").expect("is an id"),
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&code).into()),
            digest: Digest::of(&body),
            body: body.into(),
        }],
        acknowledgments: Vec::new(),
        order: None,
    };
    partner.seal(letter, now()).expect("is sealed")
}

async fn deliver(partner: &Partner, outgoing: &Outgoing) -> Ending {
    let (_nobody, signals) = mpsc::channel(1);
    partner.deliver(outgoing, signals, Wanted::Receipt, false, now).await.expect("is under an agreement").how
}

/// What went back on a connection was transmitted once. Where no receipt is asked and no Retries are agreed that
/// is all there is; a Retry that is agreed and that nobody takes is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_back_on_a_connection_without_retries_counts_as_taken() {
    for (retries, begun, expected) in [
        (0, true, Ending::Taken),
        (0, false, Ending::Expired),
        (1, true, Ending::Expired),
        (1, false, Ending::Expired),
    ] {
        let world = World { retries, ..World::new() };
        let sender = world.partner("gateway");
        let outgoing = application(&sender);
        for (wanted, expected) in [(Wanted::Taken, expected), (Wanted::Receipt, Ending::Expired)] {
            let (_nobody, signals) = mpsc::channel(1);
            let outcome = sender.deliver(&outgoing, signals, wanted, begun, now).await;
            let outcome = outcome.expect("is under an agreement");
            assert_eq!(outcome.how, expected, "{retries}, {begun}, {wanted:?}: {}", outcome.reason);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agency_takes_an_application_once_and_answers_by_its_script() {
    let world = World::new();
    let gateway = world.node("gateway", "").await;
    let agency = world.node("kfda", "ACCEPT;REVIEW,10ms;APPROVE,10ms").await;
    let sender = world.partner("gateway");
    let outgoing = application(&sender);
    assert_eq!(deliver(&sender, &outgoing).await, Ending::Acknowledged, "P4");
    until(&gateway, |done| done.handed_on == 3).await;
    assert_eq!(deliver(&sender, &outgoing).await, Ending::Acknowledged, "a repeat gets its receipt again");
    let handed_on = |name| {
        let mut all = world.handed_on(name);
        all.sort();
        all
    };
    let told = |all: &[(&str, &str)]| {
        all.iter().map(|(action, says)| ((*action).to_owned(), (*says).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(handed_on("kfda"), told(&[("GOVCBRX01", "1 item(s)")]), "P3");
    let answers = [("GOVCBRRBH", "accepted"), ("GOVCBRRBH", "under_review"), ("GOVCBRX51", "approved")];
    assert_eq!(handed_on("gateway"), told(&answers));
    agency.stop(Duration::from_secs(1)).await;
    gateway.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_stored_receipt_octet_for_octet_also_after_a_restart() {
    let world = World::new();
    let agency = world.node("kfda", "").await;
    let sender = world.partner("gateway");
    let outgoing = application(&sender);
    let answer = |at: u16| {
        let files = sender.settings().tls.clone();
        let client =
            Client::new(Tls::new(TlsContext::load(&files).expect("loads")), ClientOptions::default());
        let (content_type, body) =
            (outgoing.sealed.content_type.clone(), outgoing.sealed.body.held().clone());
        async move {
            let endpoint = format!("https://localhost:{at}/ebms").parse().expect("is an endpoint");
            let post = Post {
                content_type: &content_type,
                soap_action: "\"ebXML\"",
                body: body.into(),
                parties: &[],
            };
            client.post(&endpoint, post).await.expect("is answered").body
        }
    };
    let first = answer(world.ports[1]).await;
    assert_eq!(answer(world.ports[1]).await, first);
    agency.stop(Duration::from_secs(1)).await;
    let agency = world.node("kfda", "").await;
    assert_eq!(answer(world.ports[1]).await, first, "ebMS 2.0, 6.5.3");
    assert_eq!(world.handed_on("kfda").len(), 1);
    agency.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_owed_before_a_restart_is_sent_after_it() {
    let world = World::new();
    // Nobody listens where the answers go, so that they are open when the agency stops.
    let agency = world.node("kfda", "APPROVE").await;
    let sender = world.partner("gateway");
    assert_eq!(deliver(&sender, &application(&sender)).await, Ending::Acknowledged);
    agency.stop(Duration::from_secs(1)).await;
    let gateway = world.node("gateway", "").await;
    let agency = world.node("kfda", "APPROVE").await;
    until(&gateway, |done| done.handed_on == 1).await;
    assert_eq!(world.handed_on("gateway"), [("GOVCBRX51".to_owned(), "approved".to_owned())]);
    agency.stop(Duration::from_secs(1)).await;
    gateway.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_travel_by_themselves_where_the_agreement_says_so() {
    let world = World { sync_reply_mode: "none", ..World::new() };
    let gateway = world.node("gateway", "").await;
    let agency = world.node("kfda", "ACCEPT;APPROVE").await;
    let sender = world.partner("gateway");
    let endpoint = format!("https://localhost:{}/ebms", world.ports[1]);
    let taken = sender.post_to(&endpoint, &application(&sender).sealed).await.expect("is taken");
    assert_eq!((taken.status.as_u16(), taken.body.len()), (202, 0), "digest, 10");
    until(&agency, |done| done.ended == 2).await;
    let ended = world.journal("kfda").into_iter().filter_map(|entry| match entry {
        Entry::Ended(ended) => Some(ended.how),
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), [Ending::Acknowledged; 2]);
    agency.stop(Duration::from_secs(1)).await;
    gateway.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_message_under_a_known_id_is_refused() {
    let world = World::new();
    let agency = world.node("kfda", "").await;
    let sender = world.partner("gateway");
    let outgoing = application(&sender);
    assert_eq!(deliver(&sender, &outgoing).await, Ending::Acknowledged);
    let mut letter = Letter {
        message_id: outgoing.message_id.clone(),
        conversation_id: ConversationId::new("another").expect("is an id"),
        ref_to_message_id: None,
        service: "RequirementVerification".into(),
        action: "GOVCBRX01".into(),
        payloads: Vec::new(),
        acknowledgments: Vec::new(),
        order: None,
    };
    let body = Bytes::from_static(b"<Declaration/>");
    letter.payloads.push(Payload {
        content_id: ContentId::new("x01@gateway.example").expect("is an id"),
        media_type: "application/xml".into(),
        role: None,
        digest: Digest::of(&body),
        body: body.into(),
    });
    let other = sender.seal(letter, now()).expect("is sealed");
    assert_eq!(deliver(&sender, &other).await, Ending::Refused, "digest, 11.3");
    assert_eq!(world.handed_on("kfda").len(), 1);
    agency.stop(Duration::from_secs(1)).await;
}
