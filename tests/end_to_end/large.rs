//! A large attachment is received, digested, stored, forwarded to three agencies and acknowledged while the gateway's
//! memory stays small (P13): `make bench-large` prints it at full size, the plain run holds a smaller one to the same.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use gwanmun::model::{Digest, Payload};
use openssl::sha::Sha256;
use serde_json::Value;
use tokio::time::Instant;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::purged::bodies;
use crate::world::{Lodging, World, attachment};

/// Size of the attachment in a plain run.
const LARGE_MIB: u64 = 64;
/// What the gateway may have resident at most, whatever the size (P13).
const MEMORY_MIB_MAX: u64 = 128;
const AGENCIES: [&str; 3] = ["kfda", "npqs", "kpta"];
const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_attachment_goes_to_three_agencies_in_little_memory_p13() {
    let mib = std::env::var("LARGE_MIB").map_or(LARGE_MIB, |text| text.parse().expect("a number"));
    let stage = Stage::new(mib + 16).await;
    let floor = stage.floor(mib);
    let large = stage.file("survey.pdf", mib);
    let lodging = enclosed(stage.world.lodging(1), vec![large.clone()]);
    let before = memory_mib(&stage.gateway);

    let message = stage.broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    let sealed = stage.broker.sealed(&message);
    let began = Instant::now();
    assert_eq!(stage.broker.ask(&sealed).await, Told::Acknowledged);
    let received = began.elapsed();
    stage.wait_for(&[large]).await;
    let forwarded = began.elapsed();
    let memory = memory_mib(&stage.gateway);
    let rate = |octets: u64, time: std::time::Duration| octets as f64 / time.as_secs_f64();
    println!(
        "{mib} MiB: received and acknowledged in {:.1} s = {:.0} MiB/s, {:.2} of what the disk and SHA-256 alone do \
         ({floor:.0} MiB/s); at three agencies after {:.1} s = {:.0} MiB/s in all; memory {memory} MiB at most, \
         {before} MiB before",
        received.as_secs_f64(),
        rate(mib, received),
        rate(mib, received) / floor,
        forwarded.as_secs_f64(),
        rate(4 * mib, forwarded),
    );
    assert!(memory < MEMORY_MIB_MAX, "P13: {memory} MiB for {mib} MiB");
    stage.leave_tidy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parts_of_a_megabyte_go_through_in_little_memory_p13() {
    let stage = Stage::new(128).await;
    // With the envelope and four documents they are as many parts as a message may have.
    let parts: Vec<_> = (0..95).map(|number| stage.file(&format!("page-{number}.pdf"), 1)).collect();
    let lodging = enclosed(stage.world.lodging(1), parts.clone());
    let message = stage.broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(stage.broker.ask(&stage.broker.sealed(&message)).await, Told::Acknowledged);
    stage.wait_for(&parts).await;
    let memory = memory_mib(&stage.gateway);
    assert!(memory < MEMORY_MIB_MAX, "P13: {memory} MiB");
    stage.leave_tidy().await;
}

/// It is sealed over what was received, so that an octet of that which changed is found while it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn damage_behind_a_large_delivery_is_handed_on_to_nobody_p12() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let scan = attachment("scan.pdf", "application/pdf", &[b'%'; 3 * MIB]);
    let lodging = enclosed(world.lodging(1), vec![scan.clone()]);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    let delivery = async |is: fn(&Value) -> bool| {
        let deliveries = world.list("/deliveries").await;
        deliveries.into_iter().find(|delivery| delivery["destination"] == "AG000000000001" && is(delivery))
    };
    until("it was sealed, and nobody took it", async || delivery(|found| found["sealed"] == true).await)
        .await;
    let body = bodies(&world).pop().expect("it stands in a file");
    let change = || {
        let file = File::options().read(true).write(true).open(&body).expect("is there");
        let mut octet = [0];
        file.read_exact_at(&mut octet, 2 << 20).expect("readable");
        file.write_all_at(&[octet[0] ^ 1], 2 << 20).expect("written");
    };
    change();
    let _kfda = world.play("kfda", &[]).await;
    let kept =
        until("it waits for an operator", async || delivery(|found| found["state"] == "quarantined").await)
            .await;
    assert!(kept["reason"].as_str().expect("text").contains("damaged"), "{kept}");
    assert_eq!(world.received("kfda").len(), 0, "P12");
    assert!(gateway.said().contains("delivery.quarantined"), "{}", gateway.said());

    change();
    let settings = world.settings().to_str().expect("is text").to_owned();
    let id = kept["id"].as_str().expect("text");
    let again = ["delivery", "again", id, "--reason", "the file was mended", "--config", &settings];
    let told = run(&world.path("."), again);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    until("the agency has it", async || {
        let received = world.received("kfda");
        let has = |(_, digest): &(_, Digest)| *digest == scan.digest;
        received.iter().flat_map(|entry| &entry.attachments).any(has).then_some(())
    })
    .await;
    gateway.kill();
}

/// The same of one that its destination collects. What is seen before the head leaves is told; what is found while the
/// octets leave breaks the answer off; both are an alarm, and it waits for an operator.
#[tokio::test(flavor = "multi_thread")]
async fn damage_behind_a_large_delivery_in_a_mailbox_is_told_p12() {
    let world = World::new();
    let file = world.read("partners/kfda.toml");
    let posted_to = file.lines().find(|line| line.starts_with("endpoint")).expect("is there");
    world.edit("partners/kfda.toml", posted_to, "mailbox = true");
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let scan = attachment("scan.pdf", "application/pdf", &[b'%'; 3 * MIB]);
    let lodging = enclosed(world.lodging(1), vec![scan.clone()]);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    let delivery = async || {
        let deliveries = world.list("/deliveries").await;
        deliveries.into_iter().find(|delivery| delivery["action"] == "GOVCBRX01").expect("is owed")
    };
    let id = delivery().await["id"].as_str().expect("text").to_owned();
    let fetch = || run(&world.path(""), ["mailbox", "fetch", "--config", "kfda.toml", &id]);
    let fetched = || {
        let fetched = fetch();
        assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    };
    let refused = async || {
        let fetched = fetch();
        assert_eq!(fetched.status.code(), Some(1), "{fetched:?}");
        let kept = delivery().await;
        assert_eq!(kept["state"], "quarantined", "{kept}");
        assert!(kept["reason"].as_str().expect("text").contains("damaged"), "{kept}");
        String::from_utf8_lossy(&fetched.stderr).into_owned()
    };
    let settings = world.settings().to_str().expect("is text").to_owned();
    let mended = || {
        let again = ["delivery", "again", &id, "--reason", "the file was mended", "--config", &settings];
        let told = run(&world.path("."), again);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    };
    fetched();
    let part = format!("kfda/mailbox/{id}/part-2.pdf");
    assert_eq!(std::fs::metadata(world.path(&part)).expect("is kept").len(), 3 << 20);

    // One octet in its middle.
    let body = bodies(&world).pop().expect("it stands in a file");
    let file = File::options().read(true).write(true).open(&body).expect("is there");
    let mut octet = [0];
    file.read_exact_at(&mut octet, 2 << 20).expect("readable");
    file.write_all_at(&[octet[0] ^ 1], 2 << 20).expect("written");
    std::fs::remove_dir_all(world.path("kfda/mailbox")).expect("is there");
    let why = refused().await;
    assert!(!world.path("kfda/mailbox").exists(), "P12: {why}");
    let alarms = gateway.said().matches("delivery.quarantined").count();
    assert_eq!(alarms, 1, "{}", gateway.said());
    file.write_all_at(&octet, 2 << 20).expect("written");
    mended();
    fetched();

    // Its end is gone.
    let long = file.metadata().expect("is there").len();
    let mut end = vec![0; MIB];
    file.read_exact_at(&mut end, long - MIB as u64).expect("readable");
    file.set_len(long - MIB as u64).expect("is cut");
    let why = refused().await;
    assert!(why.contains("409") && why.contains("it cannot be given out as it is"), "{why}");
    file.write_all_at(&end, long - MIB as u64).expect("written");
    mended();
    fetched();
    gateway.kill();
}

/// `gwanmun send` reads a file of more octets than a document may have once to digest it, and again while it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_sends_a_large_file_as_it_stands_p13() {
    let stage = Stage::new(20).await;
    let large = stage.file("phytosanitary-certificate.pdf", 17);
    let Stage { world, .. } = &stage;
    let examples = ["929", "X01", "X02", "FR2"].map(|name| format!("examples/{name}.xml"));
    let mut arguments = vec!["send", "--config", "broker.toml", "--json"];
    arguments.extend(examples.iter().map(String::as_str));
    arguments.push("phytosanitary-certificate.pdf");
    let sent = run(&world.path(""), arguments);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let receipt: Value = serde_json::from_slice(&sent.stdout).expect("is JSON");
    assert!(receipt["acknowledged_at"].is_string(), "{receipt}");
    assert_eq!(receipt["documents"][4]["digest"], *large.digest.to_string(), "{receipt}");
    until("the agency that the certificate is for has it", async || {
        let received = world.received("npqs");
        let mut all = received.iter().flat_map(|entry| &entry.attachments);
        all.any(|(_, digest)| *digest == large.digest).then_some(())
    })
    .await;
}

/// A gateway and three agencies.
struct Stage {
    world: World,
    broker: Correspondent,
    gateway: Process,
    _agencies: Vec<Process>,
}

impl Stage {
    /// The gateway takes bodies of so many MiB.
    async fn new(body_mib: u64) -> Self {
        let world = World::new();
        let text = std::fs::read_to_string(world.settings()).expect("is there");
        let limits = format!("[limits]\nbody_bytes_max = {}\nbody_deadline = \"10m\"\n", body_mib << 20);
        assert!(text.contains("[limits]\n"), "the world has limits of its own");
        std::fs::write(world.settings(), text.replace("[limits]\n", &limits)).expect("is ours");
        let mut agencies = Vec::new();
        for name in AGENCIES {
            agencies.push(world.play(name, &[]).await);
        }
        let gateway = world.serve().await;
        let broker = Correspondent::new(&world, "broker");
        Self { world, broker, gateway, _agencies: agencies }
    }

    /// A file of so many MiB as a payload that no one holds in memory.
    fn file(&self, name: &str, mib: u64) -> Payload {
        let path = self.world.path(name);
        let mut file = File::create_new(&path).expect("a new file");
        let mut block = vec![0; MIB];
        let mut noise = File::open("/dev/urandom").expect("the system has one");
        for _ in 0..mib {
            noise.read_exact(&mut block).expect("is without end");
            file.write_all(&block).expect("there is room");
        }
        let body = gwanmun::store::filed(&path).expect("it is there");
        Payload { digest: body.digest(), body, ..attachment(name, "application/pdf", b"") }
    }

    /// Until every agency has handed on each of these.
    async fn wait_for(&self, parts: &[Payload]) {
        for name in AGENCIES {
            until(&format!("{name} has all of it"), async || {
                let received = self.world.received(name);
                let has = |part: &Payload| {
                    let mut all = received.iter().flat_map(|entry| &entry.attachments);
                    all.any(|(_, digest)| *digest == part.digest)
                };
                parts.iter().all(has).then_some(())
            })
            .await;
        }
    }

    /// MiB in a second that go through SHA-256 and onto this disk, with nothing else to do.
    fn floor(&self, mib: u64) -> f64 {
        let path = self.world.path("floor");
        let mut file = File::create_new(&path).expect("a new file");
        let (block, mut hasher) = (vec![7; MIB], Sha256::new());
        let began = Instant::now();
        for _ in 0..mib {
            hasher.update(&block);
            file.write_all(&block).expect("there is room");
        }
        hasher.finish();
        file.sync_data().expect("it is kept");
        let time = began.elapsed();
        std::fs::remove_file(path).expect("it is there");
        mib as f64 / time.as_secs_f64()
    }

    /// What was received stands in one file, and in no other; every record and octet is sound.
    async fn leave_tidy(mut self) {
        let store = gwanmun::config::store_of(self.world.settings()).expect("the settings are in order");
        let files = bodies(&self.world);
        assert_eq!(files.len(), 1, "one body, written once: {files:?}");
        self.gateway.kill();
        let store =
            gwanmun::store::SqliteStore::open(gwanmun::store::StoreOptions::at(store)).expect("opens");
        assert_eq!(gwanmun::store::Store::scrub(&store).expect("readable"), [], "P12");
    }
}

/// The lodging with these attachments in place of its own, which every application names.
fn enclosed(lodging: Lodging, attachments: Vec<Payload>) -> Lodging {
    let Lodging { declaration, mut payloads } = lodging;
    payloads.pop().expect("the certificate");
    let named: String = attachments
        .iter()
        .map(|part| {
            let id = part.content_id.as_str();
            format!(
                "<AttachedDocument><ContentID>{id}</ContentID><TypeCode>851</TypeCode><Name>A survey</Name>\
                 </AttachedDocument>"
            )
        })
        .collect();
    for payload in payloads.iter_mut().skip(1) {
        let text = std::str::from_utf8(payload.body.held()).expect("is text");
        let text = match text.split_once("<AttachedDocument>") {
            Some((before, rest)) => {
                let (_, after) = rest.split_once("</AttachedDocument>").expect("its end");
                format!("{before}{named}{after}")
            }
            None => text.replacen("<LPCO>", &format!("{named}<LPCO>"), 1),
        };
        *payload = Payload { digest: Digest::of(text.as_bytes()), body: text.into(), ..payload.clone() };
    }
    payloads.extend(attachments);
    Lodging { declaration, payloads }
}

/// What it had resident at most, in MiB.
pub(crate) fn memory_mib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
