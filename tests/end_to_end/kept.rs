//! Anyone can check the store: beside the running gateway, after it was killed, on a copy, and when an octet of it has
//! changed; and the gateway looks for damage by itself (P2, P12, P18).

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use gwanmun::model::{Delivery, DeliveryId, DeliveryState, MessageId};
use gwanmun::store::{Batch, DeliveryFilter, DeliveryWrite, SqliteStore, Store as _, StoreOptions};
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{run, until};
use crate::world::World;

/// What `gwanmun store verify` says of a directory, and its exit code.
fn verified(world: &World, store: &Path) -> (Value, Option<i32>) {
    let store = store.to_str().expect("is text");
    let out = run(&world.path("."), ["store", "verify", store, "--json"]);
    let told = serde_json::from_slice(&out.stdout);
    (told.unwrap_or_else(|error| panic!("{error}: {out:?}")), out.status.code())
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes it");
    for entry in fs::read_dir(from).expect("is a directory") {
        let path = entry.expect("is readable").path();
        let to = to.join(path.file_name().expect("has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copies");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_proved_beside_its_gateway_and_after_its_death_and_a_changed_octet_is_named() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let mut gateway = world.serve().await;
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads.clone());
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);

    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let (told, code) = verified(&world, &store);
    assert_eq!(
        (&told["running"], &told["proved"], code),
        (&Value::Bool(true), &Value::Bool(true), Some(0)),
        "{told}"
    );
    let settings = world.settings().to_str().expect("is text");
    let backup = world.path("backup");
    let to = backup.to_str().expect("is text");
    let out = run(&world.path("."), ["store", "backup", to, "--config", settings]);
    assert_eq!(out.status.code(), Some(0), "P20: {out:?}");
    let (told, code) = verified(&world, &backup);
    assert_eq!((&told["running"], code), (&Value::Bool(false), Some(0)), "P20: {told}");
    let out = run(&world.path("."), ["store", "backup", to, "--config", settings]);
    assert_eq!(out.status.code(), Some(1), "there is one already: {out:?}");
    fs::write(backup.join("store").join("mark"), "no mark").expect("writes");
    let (told, code) = verified(&world, &backup);
    assert_eq!(
        (told["findings"].as_array().map(Vec::len), code),
        (Some(2), Some(1)),
        "a changed backup: {told}"
    );

    gateway.kill();
    let killed = world.path("killed");
    copy(&store, &killed);

    for store in [&store, &killed] {
        let (told, code) = verified(&world, store);
        assert_eq!((&told["running"], code), (&Value::Bool(false), Some(0)), "{told}");
        let destinations = told["destinations"].as_array().expect("is a list");
        let created: u64 = destinations.iter().filter_map(|account| account["created"].as_u64()).sum();
        assert!(created >= 3, "P2: one for each agency: {told}");
    }

    let out = run(&world.path("."), ["store", "stats", "--config", settings]);
    let text = String::from_utf8(out.stdout).expect("is text");
    assert!(out.status.success() && text.contains("messages       1\n"), "{text}");

    // What was acknowledged last stands in the log alone: without log and mark nothing tells that it is missing.
    let bare = world.path("bare");
    copy(&killed.join("bodies"), &bare.join("bodies"));
    fs::copy(killed.join("gwanmun.db"), bare.join("gwanmun.db")).expect("copies");
    let (told, code) = verified(&world, &bare);
    assert_eq!((&told["proved"], code), (&Value::Bool(false), Some(1)), "P2: {told}");
    let finding = &told["findings"][0];
    let wrong = finding["wrong"].as_str().unwrap_or_default();
    assert!(finding["proof"] == "mark" && wrong.contains("that none followed is not proved"), "{told}");

    // SQLite drops what follows the first damaged frame of a log, and says nothing: the mark does.
    let log = killed.join("gwanmun.db-wal");
    let octets = fs::read(&log).expect("there is a log");
    fs::write(&log, &octets[..octets.len() / 2]).expect("writes");
    let (told, code) = verified(&world, &killed);
    assert_eq!((&told["findings"][0]["proof"], code), (&Value::from("audit"), Some(1)), "P18: {told}");

    // A stop copies the log into the database; nothing stands in the log alone.
    let mut gateway = world.serve().await;
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.ended().await, 0);
    fs::remove_file(store.join("gwanmun.db-wal")).or_else(absent).expect("removes it");
    assert_eq!(verified(&world, &store).1, Some(0));
    let database = store.join("gwanmun.db");
    let mut octets = fs::read(&database).expect("is readable");
    let text = lodging.declaration.as_bytes();
    // Some of its places may be what a page does not use any more, which nobody reads.
    let places: Vec<_> = octets
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text)
        .map(|(at, _)| at)
        .collect();
    places.iter().for_each(|at| octets[*at] ^= 1);
    fs::write(&database, octets).expect("writes");
    let (told, code) = verified(&world, &store);
    assert_eq!(code, Some(1), "P12: {told}");
    let finding = &told["findings"][0];
    assert!(finding["about"].as_str().is_some_and(|about| !about.is_empty()), "{told}");
    assert!(finding["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{told}");
    let out = run(&world.path("."), ["store", "verify", "--config", settings]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("NOT proved"), "{out:?}");
    assert_eq!(run(&world.path("."), ["store", "verify"]).status.code(), Some(2), "wrong usage");
}

/// A file that is not there is as good as removed.
fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_by_the_running_gateway_when_it_is_asked_and_by_itself() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let mut gateway = world.serve().await;
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads.clone());
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);

    let settings = world.settings().to_str().expect("is text");
    let scrub = || run(&world.path("."), ["store", "scrub", "--config", settings, "--json"]);
    let told = |out: &std::process::Output| -> Value {
        serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{error}: {out:?}"))
    };
    let out = scrub();
    let well = told(&out);
    assert_eq!((out.status.code(), &well["damaged"]), (Some(0), &Value::Array(vec![])), "{well}");
    assert!(well["records"].as_u64() >= Some(10), "{well}");

    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let disk = rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    let change = |by: &str| {
        let sql = format!("UPDATE message SET checksum = checksum {by}");
        assert_eq!(disk.execute(&sql, []).expect("changes it"), 1);
    };
    change("+ 1");
    let out = scrub();
    let found = told(&out);
    assert_eq!(
        (out.status.code(), found["damaged"].as_array().map(Vec::len)),
        (Some(1), Some(1)),
        "P12: {found}"
    );
    let what = found["damaged"][0]["what"].as_str().expect("is named");
    assert!(what.starts_with("message BR"), "{what}");
    let ready = world.ask("/ready").await;
    assert_eq!(ready["warnings"][0]["reason"], "store-damaged", "others flow: {ready}");
    assert!(world.ask_text("/metrics").await.contains("gwanmun_store_damaged_records 1"));
    assert!(gateway.said().contains("store.damaged"));

    // What is mended is forgotten; and without being asked the gateway comes round to it.
    change("- 1");
    assert_eq!(scrub().status.code(), Some(0));
    assert!(world.ask_text("/metrics").await.contains("gwanmun_store_damaged_records 0"));
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.ended().await, 0);
    world.edit(
        "gwanmun.toml",
        "[store]\n",
        "[store]\nscrub_interval = \"1s\"\nscrub_records_per_second = 1000\n",
    );
    let _gateway = world.serve().await;
    change("+ 1");
    until("the gateway has found it by itself", async || {
        let ready = world.ask("/ready").await;
        (ready["warnings"][0]["reason"] == "store-damaged").then_some(())
    })
    .await;
}

/// Settles what is held, or lists it.
fn reconcile(world: &World, arguments: &[&str]) -> Value {
    let settings = world.settings().to_str().expect("is text");
    let arguments = [&["store", "reconcile", "--config", settings, "--json"], arguments].concat();
    let out = run(&world.path("."), arguments);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    serde_json::from_slice(&out.stdout).expect("is JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_store_sends_nothing_of_before_until_it_is_told_p20() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let mut gateway = world.serve().await;
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads.clone());
    let sealed = broker.sealed(&message);
    let answer = broker.post(&sealed).await;
    let settings = world.settings().to_str().expect("is text");
    let backup = world.path("backup");
    let backup = backup.to_str().expect("is text");
    let cli =
        |command: &str| run(&world.path("."), ["store", command, backup, "--config", settings]).status.code();
    assert_eq!(cli("backup"), Some(0));
    gateway.kill();
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    assert_eq!(cli("restore"), Some(1), "a store is there");
    fs::rename(&store, world.path("lost")).expect("moves");
    assert_eq!(cli("restore"), Some(0));
    assert_eq!(cli("restore"), Some(1), "a store is there");
    assert_eq!(verified(&world, &store).1, Some(0));

    let mut kfda = world.play("kfda", &["--script", "ACCEPT,0s"]).await;
    for life in 1..=2 {
        gateway = world.serve().await;
        let ready = world.ask("/ready").await;
        assert_eq!(ready["warnings"][0]["reason"], "reconciling", "{life}: {ready}");
        let states: Vec<_> =
            world.list("/deliveries").await.iter().map(|it| it["state"].to_string()).collect();
        assert!(states.len() >= 3 && states.iter().all(|state| state == "\"held\""), "{life}: {states:?}");
        assert_eq!(broker.post(&sealed).await.body, answer.body, "{life}: P3");
        gateway.kill();
    }
    assert!(world.received("kfda").is_empty(), "nothing was sent in two lives");
    assert_eq!(gateway.said().matches("store.restored").count(), 1, "all was held once");

    let _gateway = world.serve().await;
    let held = reconcile(&world, &[]);
    let held = held["held"].as_array().expect("is a list");
    let to_customs = held.iter().find(|it| it["destination"].as_str().is_some_and(|to| to.starts_with("CU")));
    let to_customs = to_customs.and_then(|it| it["id"].as_str()).expect("the declaration");
    assert_eq!(reconcile(&world, &["--delivered", "--reason", "they have it", to_customs])["settled"], 1);
    assert_eq!(reconcile(&world, &["--send", "--destination", "KFDA", "--reason", "asked"])["settled"], 1);
    until("KFDA has its application", async || world.received("kfda").first().map(drop)).await;
    assert_eq!(reconcile(&world, &["--send", "--all", "--reason", "asked"])["settled"], held.len() - 2);
    let ready = world.ask("/ready").await;
    assert_eq!(ready["warnings"], Value::Array(vec![]), "{ready}");
    kfda.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_held_is_listed_and_settled_and_what_is_damaged_is_told_p20() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let mut gateway = world.serve().await;
    let lodging = world.lodging(1);
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);
    gateway.kill();
    let place = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let options = StoreOptions { free_bytes_min: 0, ..StoreOptions::at(&place) };
    let store = SqliteStore::open(options).expect("opens");
    let owed = store.deliveries(&DeliveryFilter::default(), 1).expect("readable").items.remove(0);
    let held = (0..MANY).map(|number| {
        let delivery = Delivery {
            id: DeliveryId::new(format!("held-{number}")).expect("an id"),
            message_id: MessageId::new(format!("held-{number}@gateway")).expect("a MessageId"),
            case: None,
            state: DeliveryState::Held,
            ..owed.clone()
        };
        DeliveryWrite { delivery, based_on: None, sealed: None, receipt: None }
    });
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let batch = Batch { deliveries: held.collect(), ..Batch::default() };
    store.commit(batch, Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits")));
    assert_eq!(told.recv().expect("is always told"), Ok(()));
    drop(store);
    let tool = rusqlite::Connection::open(place.join("gwanmun.db")).expect("opens");
    let damages = "UPDATE delivery SET record = '{}' WHERE id = 'held-7'";
    assert_eq!(tool.execute(damages, []).expect("is changed"), 1);
    tool.close().expect("closed");

    let _gateway = world.serve().await;
    let all = reconcile(&world, &[]);
    let ids: BTreeSet<_> =
        all["held"].as_array().expect("is a list").iter().map(|it| it["id"].to_string()).collect();
    assert_eq!(ids.len(), MANY - 1, "more than one answer of the gateway has");
    let [damaged] = &all["damaged"].as_array().expect("is a list")[..] else { panic!("{}", all["damaged"]) };
    assert!(damaged.as_str().is_some_and(|text| text.contains("delivery held-7")), "{damaged}");
    let settings = world.settings().to_str().expect("is text");
    let told = run(&world.path("."), ["store", "reconcile", "--config", settings]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains(&format!("held-{}", MANY - 1)), "the last one is shown");
    let end = format!("{} deliveries are held\ndamaged record: delivery held-7", MANY - 1);
    assert!(told.contains(&end), "{told}");

    let settled = reconcile(&world, &["--delivered", "--all", "--reason", "they have it"]);
    assert_eq!(settled["settled"], MANY - 1);
    assert_eq!(settled["damaged"], all["damaged"]);
    assert_eq!(reconcile(&world, &[])["held"], Value::Array(vec![]));
}

/// More deliveries than the command asks for at a time.
const MANY: usize = 1_003;
