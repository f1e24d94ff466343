//! The gateway inside the process of the test, on a store of the test: what cannot be brought about from outside.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gwanmun::config::{self, load_party};
use gwanmun::gateway::{Gateway, Stopped};
use gwanmun::store::{Disk, MemoryStore};
use gwanmun::transport::{Client, ClientOptions, LocalClient, Post, Tls, TlsContext};
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::world::World;

/// A disk that fails to sync when it is told to, and keeps what it has for the next start.
#[derive(Clone, Default)]
struct TestDisk {
    octets: Arc<Mutex<Vec<u8>>>,
    fails: Arc<AtomicBool>,
}

impl Disk for TestDisk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.octets.lock().expect("nobody panics").clone())
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.octets.lock().expect("nobody panics").extend_from_slice(octets);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.fails.load(Ordering::Acquire) { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.octets.lock().expect("nobody panics").truncate(usize::try_from(length).expect("is small"));
        Ok(())
    }
}

async fn start(world: &World, disk: &TestDisk) -> Gateway {
    let store = MemoryStore::open(Box::new(disk.clone())).expect("opens");
    let loaded = config::load(world.settings()).expect("is in order");
    Gateway::start_on(Arc::new(store), world.settings(), loaded).await.expect("starts")
}

fn lodging(world: &World, broker: &Correspondent, serial: u32) -> gwanmun::model::Sealed {
    let lodging = world.lodging(serial);
    broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_from_a_store_that_has_failed() {
    let (world, disk) = (World::new(), TestDisk::default());
    let gateway = start(&world, &disk).await;
    let broker = Correspondent::new(&world, "broker");
    assert_eq!(broker.ask(&lodging(&world, &broker, 1)).await, Told::Acknowledged);

    disk.fails.store(true, Ordering::Release);
    let second = lodging(&world, &broker, 2);
    let end = async {
        let why = gateway.failed().await;
        drop(gateway);
        why
    };
    let (answer, why) = tokio::join!(broker.try_post(&second), end);
    assert!(answer.is_err(), "P10: {answer:?}");
    assert!(why.contains("the disk is gone"), "{why}");

    disk.fails.store(false, Ordering::Release);
    let gateway = start(&world, &disk).await;
    let first = lodging(&world, &broker, 1);
    assert_ne!(broker.ask(&first).await, Told::Acknowledged, "the declaration of the first start is known");
    let told = broker.ask(&second).await;
    assert_eq!(told, Told::Acknowledged, "what nobody heard of is taken when it comes again");
    assert_eq!(gateway.stop().await, Stopped::Drained);
}

/// Nobody posts, and nothing is due: the head of the audit record is the one commit that meets the failure (P10).
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_cannot_be_synced_ends_the_gateway() {
    let (world, disk) = (World::new(), TestDisk::default());
    let settings = world.read("gwanmun.toml") + "\n[audit]\nhead_interval = \"3s\"\n";
    world.write("gwanmun.toml", &settings);
    let gateway = start(&world, &disk).await;
    disk.fails.store(true, Ordering::Release);
    assert!(gateway.failed().await.contains("the disk is gone"));
}

//= ebms2 B.2.3 MAY: another media type is answered with 415
#[tokio::test(flavor = "multi_thread")]
async fn the_door_knows_its_path_and_its_media_types() {
    let world = World::new();
    let gateway = start(&world, &TestDisk::default()).await;
    let party = load_party(world.party("broker")).expect("is in order");
    let tls = Tls::new(TlsContext::load(&party.tls).expect("is in order"));
    let client = Client::new(tls, ClientOptions::default());
    let check = async |path: &str, content_type: &str, expected: u16| {
        let endpoint = world.endpoint().replace("/ebms", path).parse().expect("is a URL");
        let post = Post { content_type, soap_action: "\"ebXML\"", body: "<a/>".into(), parties: &[] };
        let answer = client.post(&endpoint, post).await.expect("is answered");
        assert_eq!(answer.status.as_u16(), expected, "{path} {content_type}");
    };
    check("/", "text/xml", 404).await;
    check("/ebms/", "text/xml", 404).await;
    check("/ebms", "application/json", 415).await;
    check("/ebms", "text/xmlish", 415).await;
    check("/ebms", "TEXT/XML; charset=UTF-8", 500).await;
    check("/ebms", "multipart/related", 500).await;
    assert_eq!(gateway.stop().await, Stopped::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_hear_what_is_and_what_cannot_be() {
    let world = World::new();
    let gateway = start(&world, &TestDisk::default()).await;
    let broker = Correspondent::new(&world, "broker");
    assert_eq!(broker.ask(&lodging(&world, &broker, 1)).await, Told::Acknowledged);
    let client = LocalClient::new(&world.path("run/gwanmun.sock"));
    let ask = async |path: &str| {
        let answer = client.get(path).await.expect("is answered");
        let text = String::from_utf8(answer.body.to_vec()).expect("is text");
        (answer.status.as_u16(), text)
    };
    assert_eq!(ask("/cases?state=collecting").await.0, 200);
    for path in ["/cases?state=colecting", "/deliveries?stat=pending", "/messages?limit=many"] {
        let (status, told) = ask(path).await;
        assert_eq!(status, 400, "{path}: {told}");
    }
    assert_eq!(ask("/cases/none").await.0, 404);
    let (_, ready) = ask("/ready").await;
    let ready: Value = serde_json::from_str(&ready).expect("is JSON");
    assert_eq!((&ready["ready"], &ready["reasons"]), (&true.into(), &Value::Array(Vec::new())), "{ready}");
    let (_, metrics) = ask("/metrics").await;
    let accepted = "gwanmun_events_total{event=\"message.accepted\",partner=\"Broker\"} 1";
    assert!(metrics.lines().any(|line| line == accepted), "{metrics}");
    assert!(metrics.lines().any(|line| line == "gwanmun_acceptance_seconds_count 1"), "{metrics}");

    world.edit("gwanmun.toml", "[limits]", "[limits]\nbody_bytes_max = 5_000_000");
    let faults = gateway_reload(&world).await;
    assert_eq!(faults, ["[limits] of connections and bodies is not as it was at the start"]);
    world.edit("gwanmun.toml", "body_bytes_max = 5_000_000", "message_age_max = \"3 days\"");
    assert!(gateway_reload(&world).await.is_empty(), "what a reload can change it changes");
    assert_eq!(gateway.stop().await, Stopped::Drained);
    assert!(client.get("/ready").await.is_err(), "a gateway that has stopped is gone");
}

async fn gateway_reload(world: &World) -> Vec<String> {
    let answer = world.reload().await;
    let told: Value = serde_json::from_slice(&answer.body).expect("is JSON");
    let faults = told["faults"].as_array().expect("is a list");
    faults.iter().map(|fault| fault["message"].as_str().expect("is text").to_owned()).collect()
}
