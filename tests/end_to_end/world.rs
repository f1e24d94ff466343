//! A practice world of a scenario's own, made by `gwanmun demo --prepare`: authority, settings, partners, rules,
//! example documents.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use gwanmun::model::{ContentId, Digest, DocumentCode, Payload, role_of_document_code};
use gwanmun::practice::{Entry, Journal, Received};
use gwanmun::transport::{LocalClient, LocalResponse, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, run, until};

pub(crate) struct World {
    plan: Plan,
    // Dropped last: the processes write into it.
    directory: TempDir,
}

#[derive(Deserialize)]
struct Plan {
    gateway: PathBuf,
    socket: PathBuf,
    endpoint: String,
    partners: Vec<Partner>,
    bank: Bank,
}

#[derive(Deserialize)]
struct Bank {
    config: PathBuf,
    ledger: PathBuf,
}

#[derive(Deserialize)]
struct Partner {
    name: String,
    role: String,
    config: PathBuf,
    journal: PathBuf,
}

/// Ports that no other world of this run has: some of its processes start late, and must find theirs free.
fn ports() -> String {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    // Two runs at once on one machine begin at different ones.
    let world = (std::process::id() + WORLDS.fetch_add(1, Ordering::Relaxed)) % (22_500 / PORTS_EACH);
    let first = 10_240 + world * PORTS_EACH;
    format!("{first}-{}", first + PORTS_EACH - 1)
}

/// More than a world takes, should some be taken.
const PORTS_EACH: u32 = 50;

/// The documents of one declaration with what three agencies want to see.
pub(crate) struct Lodging {
    /// The declaration's number.
    pub(crate) declaration: String,
    /// The declaration, its applications, an attachment.
    pub(crate) payloads: Vec<Payload>,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("makes a directory");
        let root = directory.path();
        let ports = ports();
        let arguments = ["demo", "--prepare", "--algorithm", "p256", "--ports", &ports, "--directory", "."];
        let made = run(root, arguments);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let plan = serde_json::from_slice(&made.stdout).expect("describes the world");
        Self { plan, directory }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside)
    }

    pub(crate) fn read(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).expect(inside)
    }

    pub(crate) fn write(&self, inside: &str, text: &str) {
        fs::write(self.path(inside), text).expect(inside);
    }

    /// Replaces the first `from` in a file.
    pub(crate) fn edit(&self, inside: &str, from: &str, to: &str) {
        let text = self.read(inside);
        assert!(text.contains(from), "{inside} has no {from:?}");
        self.write(inside, &text.replacen(from, to, 1));
    }

    /// The gateway's settings file.
    pub(crate) fn settings(&self) -> &Path {
        &self.plan.gateway
    }

    /// Where partners post to.
    pub(crate) fn endpoint(&self) -> &str {
        &self.plan.endpoint
    }

    /// The settings file of a partner.
    pub(crate) fn party(&self, name: &str) -> &Path {
        &self.partner(name).config
    }

    /// Starts the gateway and waits until it accepts.
    pub(crate) async fn serve(&self) -> Process {
        let settings = self.settings().to_str().expect("is text");
        self.ready(Process::start(self.path("gateway.log"), ["serve", "--config", settings])).await
    }

    /// Waits until a gateway that was started accepts.
    pub(crate) async fn ready(&self, mut gateway: Process) -> Process {
        let client = LocalClient::new(&self.plan.socket);
        until("the gateway is ready", async || {
            gateway.check();
            client.get("/ready").await.ok().filter(|answer| answer.status.is_success())
        })
        .await;
        gateway
    }

    /// Starts a partner and waits until it listens.
    pub(crate) async fn play(&self, name: &str, manners: &[&str]) -> Process {
        let Partner { role, config, .. } = self.partner(name);
        let config = config.to_str().expect("is text");
        let arguments = ["practice", "--role", role, "--config", config];
        let log = self.path(&format!("{name}.log"));
        let mut partner = Process::start(log, arguments.iter().chain(manners));
        until(&format!("{name} listens"), async || {
            partner.check();
            partner.said().contains("listens on").then_some(())
        })
        .await;
        partner
    }

    /// Starts the bank and waits until it listens.
    pub(crate) async fn play_bank(&self, manners: &[&str]) -> Process {
        let config = self.plan.bank.config.to_str().expect("is text");
        let arguments = ["practice", "--role", "bank", "--config", config];
        let (log, lives) = (self.path("bank.log"), "the bank listens on");
        let before = fs::read_to_string(&log).unwrap_or_default().matches(lives).count();
        let mut bank = Process::start(log, arguments.iter().chain(manners));
        until("the bank listens", async || {
            bank.check();
            (bank.said().matches(lives).count() > before).then_some(())
        })
        .await;
        bank
    }

    /// The file of what the bank has booked and refused.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.plan.bank.ledger.clone()
    }

    /// What a partner handed on, in order.
    pub(crate) fn received(&self, name: &str) -> Vec<Received> {
        let entries = self.journal(name).into_iter();
        entries
            .filter_map(|entry| if let Entry::Received(entry) = entry { Some(entry) } else { None })
            .collect()
    }

    pub(crate) fn journal(&self, name: &str) -> Vec<Entry> {
        Journal::entries_from(&self.partner(name).journal, 0).expect("is readable").0
    }

    /// Asks the running gateway.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let answer = LocalClient::new(&self.plan.socket).get(path).await.expect("answers");
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        serde_json::from_slice(&answer.body).expect("is JSON")
    }

    /// The same, for what is no JSON.
    pub(crate) async fn ask_text(&self, path: &str) -> String {
        let answer = LocalClient::new(&self.plan.socket).get(path).await.expect("answers");
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    /// A list of the running gateway.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let listed = self.ask(&format!("{path}?limit=10000")).await;
        listed.as_array().expect("is a list").clone()
    }

    /// Lets the running gateway read its files anew.
    pub(crate) async fn reload(&self) -> LocalResponse {
        let client = LocalClient::new(&self.plan.socket);
        client.post("/reload", "application/json", Bytes::new()).await.expect("answers")
    }

    /// The example documents under numbers that end in this serial.
    pub(crate) fn lodging(&self, serial: u32) -> Lodging {
        let mut declaration = String::new();
        let mut payloads = Vec::new();
        let mut renamed = Vec::new();
        for name in ["929", "X01", "X02", "FR2"] {
            let text = self.read(&format!("examples/{name}.xml"));
            let number = between(&text, "<ID>", "</ID>");
            let fresh = if name == "929" {
                format!("{}{serial:06}X", number.get(..7).expect("filer and year"))
            } else {
                format!("{}{serial:06}", number.get(..number.len() - 6).expect("ends in a serial"))
            };
            if name == "929" {
                declaration.clone_from(&fresh);
            }
            renamed.push((number.to_owned(), fresh));
            let text = renamed.iter().fold(text, |text, (old, new)| text.replace(old, new));
            payloads.push(document(&format!("GOVCBR{name}"), &text));
        }
        let name = "phytosanitary-certificate.pdf";
        payloads.push(attachment(name, "application/pdf", self.read(&format!("examples/{name}")).as_bytes()));
        Lodging { declaration, payloads }
    }

    fn partner(&self, name: &str) -> &Partner {
        self.plan.partners.iter().find(|partner| partner.name == name).expect(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("the world is kept, with its logs and journals, in {}", self.path("").display());
        }
    }
}

/// A document as a payload of the broker's.
pub(crate) fn document(code: &str, text: &str) -> Payload {
    let code = DocumentCode::new(code).expect("is a code");
    let part = attachment(&format!("{code}.xml"), "application/xml", text.as_bytes());
    Payload { role: Some(role_of_document_code(&code).into()), ..part }
}

/// Anything else as a payload of the broker's.
pub(crate) fn attachment(name: &str, media_type: &str, octets: &[u8]) -> Payload {
    Payload {
        content_id: ContentId::new(format!("{name}@broker.practice")).expect("is a Content-ID"),
        media_type: media_type.into(),
        role: None,
        body: Bytes::copy_from_slice(octets).into(),
        digest: Digest::of(octets),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}
