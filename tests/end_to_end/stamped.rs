//! Time stamps over the heads of the audit record, by an authority that is a process of its own: one that is away delays
//! nothing, one that is not trusted counts for nothing, and what one says is checked by anybody (P18; threat S26).

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::World;

/// A world whose gateway has its heads stamped, on the port that its bank would have.
struct Stamped {
    world: World,
    broker: Correspondent,
}

impl Stamped {
    fn new(authorities: &str) -> Self {
        let world = World::new();
        let settings = fs::read_to_string(world.settings()).expect("settings");
        let (_, bank) = settings.split_once("https://localhost:").expect("a bank");
        let (port, _) = bank.split_once('/').expect("its port");
        let audit = format!(
            "\n[audit]\nhead_interval = \"1s\"\n\n[audit.time_stamp]\nurl = \"https://localhost:{port}/tsr\"\n\
             anchors = [\"pki/ca.pem\"]\nauthorities = [\"{authorities}\"]\ninterval = \"1s\"\nretry_interval = \"1s\"\n"
        );
        let authority = format!(
            "[listen]\napi = \"127.0.0.1:{port}\"\n\n[tls]\ncertificate = \"pki/bank/tls.pem\"\nkey = \"pki/bank/tls.key\"\n\
             anchors = [\"pki/ca.pem\"]\n\n[time_stamp]\ncertificate = \"pki/time-stamp.pem\"\nkey = \"pki/time-stamp.key\"\n\
             policy = \"1.3.6.1.4.1.99999.1\"\ndirectory = \"authority\"\n"
        );
        fs::write(world.settings(), settings + &audit).expect("written");
        world.write("authority.toml", &authority);
        let broker = Correspondent::new(&world, "broker");
        Self { world, broker }
    }

    async fn authority(&self) -> Process {
        let config = self.world.path("authority.toml");
        let arguments = ["practice", "--role", "authority", "--config", config.to_str().expect("is text")];
        let mut authority = Process::start(self.world.path("authority.log"), arguments);
        authority.says("the authority listens on").await;
        authority
    }

    async fn lodge(&self, serial: u32) {
        let lodging = self.world.lodging(serial);
        let message = self.broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        assert_eq!(self.broker.ask(&self.broker.sealed(&message)).await, Told::Acknowledged);
    }

    /// Waits until readiness warns of this, or of no missing time stamp any more.
    async fn warned(&self, of: Option<&str>) {
        until(&format!("readiness warns of {of:?}"), async || {
            let ready = self.world.ask("/ready").await;
            let warnings = ready["warnings"].as_array().expect("a list").iter();
            let mut found = warnings.filter(|warning| warning["reason"] == "audit-not-time-stamped");
            let found = found.next().map(|warning| warning["detail"].to_string());
            match (of, found) {
                (None, None) => Some(()),
                (Some(of), Some(found)) => found.contains(of).then_some(()),
                _ => None,
            }
        })
        .await;
    }

    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.world.ask_text("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
        line.rsplit(' ').next().expect("a value").parse().expect("a number")
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.world.path(inside)
    }

    fn export(&self, to: &str) {
        let store = self.path("store");
        let arguments = ["audit", "export", to, "--store", store.to_str().expect("is text")];
        let exported = run(&self.path("."), arguments);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    }

    fn verify(&self, export: &str, more: &[&str]) -> (bool, String) {
        let arguments = ["audit", "verify", export, "--key", "pki/gateway/signing.pem"];
        let verified = run(&self.path("."), arguments.iter().chain(more));
        let told = [verified.stdout, verified.stderr].concat();
        (verified.status.success(), String::from_utf8_lossy(&told).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away_delays_nothing_and_stamps_what_is_there_when_it_is_back() {
    let stamped = Stamped::new("pki/ca.pem");
    let mut gateway = stamped.world.serve().await;
    stamped.lodge(1).await;
    stamped.warned(Some("the authority was not reached")).await;
    stamped.lodge(2).await;
    until("heads go on", async || {
        let all = stamped.metric("gwanmun_audit_entries").await;
        (stamped.metric("gwanmun_audit_signed_entries").await >= all).then_some(())
    })
    .await;
    let age = async || stamped.metric("gwanmun_audit_time_stamp_age_seconds").await;
    assert!(age().await > 0.0, "an operator sees that it waits");

    let entries = async || stamped.metric("gwanmun_audit_entries").await;
    let before = entries().await;
    let mut authority = stamped.authority().await;
    stamped_from(&mut gateway, before).await;
    stamped.warned(None).await;

    // It goes away again in the midst of a life, and comes back.
    authority.kill();
    stamped.lodge(3).await;
    stamped.warned(Some("the authority was not reached")).await;
    let before = entries().await;
    let _authority = stamped.authority().await;
    stamped_from(&mut gateway, before).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());

    stamped.export("whole.jsonl");
    let trusted = ["--authority", "pki/ca.pem", "--require-time-stamps"];
    let (intact, told) = stamped.verify("whole.jsonl", &trusted);
    assert!(intact && told.contains("by an authority ("), "{told} (P18, S26)");
    let (intact, told) = stamped.verify("whole.jsonl", &["--authority", "pki/time-stamp.pem", "--json"]);
    let verdict: Value = serde_json::from_str(&told).expect("JSON");
    let verified = verdict["time_stamps"]["verified"].as_u64().expect("a number");
    assert!(intact && verified >= 2, "by its own certificate: {told}");
    let (intact, told) = stamped.verify("whole.jsonl", &[]);
    assert!(intact && told.contains(&format!("{verified} time stamps were not judged")), "{told}");
    let foreign = ["--authority", "pki/wrong/foreign/ca.pem"];
    let (intact, told) = stamped.verify("whole.jsonl", &foreign);
    assert!(!intact && told.contains("it was not signed by a certificate of the authority"), "{told} (S26)");

    // A restart goes on from what the record says.
    let mut gateway = stamped.world.serve().await;
    stamped.lodge(4).await;
    let before = entries().await;
    stamped_from(&mut gateway, before).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0);
    stamped.export("later.jsonl");
    let (intact, told) = stamped.verify("later.jsonl", &["--authority", "pki/ca.pem", "--json"]);
    let verdict: Value = serde_json::from_str(&told).expect("JSON");
    let shown = |what: &str| verdict["time_stamps"][what].as_f64().expect("a number");
    assert!(
        intact && shown("verified") > verified as f64 && shown("entries") >= before,
        "{told}, {before} before"
    );
}

/// Waits until a time stamp speaks for so many entries.
async fn stamped_from(gateway: &mut Process, entries: f64) {
    until("a time stamp", async || {
        gateway.check();
        let said = gateway.said();
        let mut told = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let speaks =
            |line: &Value| line["event"] == "audit.time-stamped" && line["entries"].as_f64() >= Some(entries);
        told.any(|line| speaks(&line)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_stamp_of_another_authority_is_refused_and_never_kept() {
    let stamped = Stamped::new("pki/wrong/foreign/ca.pem");
    let _authority = stamped.authority().await;
    let mut gateway = stamped.world.serve().await;
    stamped.lodge(1).await;
    stamped.warned(Some("it was not signed by a certificate of the authority")).await;
    // One that gives none under the policy that is asked for.
    stamped.world.edit("gwanmun.toml", "pki/wrong/foreign/ca.pem\"]", "pki/ca.pem\"]\npolicy = \"1.2.3\"");
    assert!(stamped.world.reload().await.status.is_success());
    stamped.warned(Some("rejection, unacceptedPolicy")).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    stamped.export("whole.jsonl");
    assert!(!stamped.world.read("whole.jsonl").contains("time_stamp\\\""), "nothing was kept (S26)");
    let (intact, told) = stamped.verify("whole.jsonl", &["--authority", "pki/ca.pem"]);
    assert!(intact, "{told}");
    let required = ["--authority", "pki/ca.pem", "--require-time-stamps"];
    let (intact, told) = stamped.verify("whole.jsonl", &required);
    assert!(!intact && told.contains("no time stamp in it that counts"), "{told} (S26)");
}
