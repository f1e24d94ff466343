//! Octets whose time is over: archived, verified, purged by the real program, and known for ever (P2, P3, P12, P18).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use gwanmun::model::{Digest, Sealed};

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::World;

/// Lets two years pass for everything that a stopped store holds: what its records and their columns say of time, with the
/// checksums that go with it.
pub(crate) fn age(store: &Path) {
    const TWO_YEARS: i64 = 2 * 365 * 86_400_000;
    let disk = rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    for (table, kind, key, time) in [
        ("message", "message", "sender || '/' || message_id", "received_at"),
        ("delivery", "delivery", "id", "created_at"),
    ] {
        let sql = format!("SELECT number, {key}, form, version, record FROM {table}");
        let mut statement = disk.prepare(&sql).expect("is SQL");
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, u32>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, String>(4)?,
            ))
        });
        let rows: Vec<_> = rows.expect("rows").collect::<Result<_, _>>().expect("readable");
        for (number, key, form, version, record) in rows {
            let mut value: Value = serde_json::from_str(&record).expect("is JSON");
            let at: jiff::Timestamp = value[time].as_str().expect(time).parse().expect("an instant");
            let then = at.as_millisecond() - TWO_YEARS;
            let earlier = jiff::Timestamp::from_millisecond(then).expect("an instant");
            value[time] = json!(format!("{earlier:.3}"));
            let text = value.to_string();
            let checksum = checksum([kind, &key, &text], form, version);
            let sql = format!("UPDATE {table} SET record = ?, checksum = ?, {time} = ? WHERE number = ?");
            disk.execute(&sql, (text, checksum, then, number)).expect("is written");
        }
    }
}

/// The checksum of a record: over its kind, its key and its text, and the form and version of it.
pub(crate) fn checksum(parts: [&str; 3], form: u32, version: i64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(&form.to_be_bytes());
    hasher.update(&version.cast_unsigned().to_be_bytes());
    hasher.finalize()
}

/// What a command of the program says, one JSON value.
pub(crate) fn told(world: &World, arguments: &[&str]) -> Value {
    let settings = world.settings().to_str().expect("is text").to_owned();
    let ran = run(&world.path("."), arguments.iter().copied().chain(["--config", &settings, "--json"]));
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("is JSON")
}

pub(crate) fn archives(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let below = entries.map(|entry| entry.expect("an entry").path());
    below.flat_map(|path| if path.is_dir() { archives(&path) } else { vec![path] }).collect()
}

/// Whatever of a store stands in files of its own.
pub(crate) fn bodies(world: &World) -> Vec<PathBuf> {
    archives(&world.settings().with_file_name("store").join("bodies"))
}

/// Appends to the settings of a stopped gateway.
pub(crate) fn retain(world: &World) {
    let settings = fs::read_to_string(world.settings()).expect("settings");
    let with = settings + "\n[retention]\ndefault = \"30 days\"\narchive = \"archive\"\n";
    fs::write(world.settings(), with).expect("written");
}

/// A declaration with a scan that stands in a file goes from lodging to clearance; the gateway still runs.
async fn cleared(world: &World, scan_bytes: usize) -> (Process, Correspondent, Sealed, String) {
    let gateway = world.serve().await;
    let mut partners = Vec::new();
    for name in ["kfda", "npqs", "kpta"] {
        partners.push(world.play(name, &["--script", "APPROVE,0s"]).await);
    }
    partners.push(world.play("customs", &["--customs-delay", "0s"]).await);
    partners.push(world.play("broker", &[]).await);
    let broker = Correspondent::new(world, "broker");
    let mut lodging = world.lodging(1);
    // A scan that stands in a file.
    let scan = lodging.payloads.last_mut().expect("an attachment");
    scan.body = vec![b'%'; scan_bytes].into();
    scan.digest = Digest::of(scan.body.held());
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    let sealed = broker.sealed(&message);
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);
    until("the case is cleared and everything is delivered", async || {
        let cases = world.list("/cases").await;
        let deliveries = world.list("/deliveries").await;
        let over = deliveries.iter().all(|delivery| delivery["state"] == "delivered");
        (over && cases.iter().any(|case| case["state"] == "cleared")).then_some(())
    })
    .await;
    (gateway, broker, sealed, lodging.declaration)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_archived_and_purged_and_known_for_ever_p3_p18() {
    let world = World::new();
    let store = world.settings().with_file_name("store");
    let (mut gateway, broker, sealed, declaration) = cleared(&world, 3 << 20).await;
    let hold = ["store", "hold", &declaration, "--reason", "a court asks"];
    assert!(told(&world, &hold)["told"].as_str().expect("text").contains("is held"));
    let dry = told(&world, &["store", "purge", "--dry-run", "--kept"]);
    assert_eq!(dry["gone"], 0, "everything is kept for ever by default: {dry}");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());

    age(&store);
    let settings = fs::read_to_string(world.settings()).expect("settings");
    let without = settings.clone() + "\n[retention]\ndefault = \"30 days\"\n";
    fs::write(world.settings(), without).expect("written");
    let file = world.settings().to_str().expect("is text").to_owned();
    let refused = run(&world.path("."), ["check", "--config", &file]);
    let says = String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && says.contains("archive is missing"), "{says}");
    fs::write(world.settings(), settings).expect("written");
    retain(&world);
    let directory = world.settings().with_file_name("archive");
    assert_eq!(bodies(&world).len(), 1, "what came stands in one file, and all that went on is made of it");

    let mut gateway = world.serve().await;
    let dry = told(&world, &["store", "purge", "--dry-run", "--kept"]);
    assert!(dry.to_string().contains("its case is held since"), "{dry}");
    assert_eq!((dry["gone"].as_u64(), archives(&directory).len()), (Some(0), 0), "{dry}");
    let lift = ["store", "hold", "--lift", &declaration, "--reason", "it was closed"];
    assert!(told(&world, &lift)["told"].as_str().expect("text").contains("held no more"));
    let dry = told(&world, &["store", "purge", "--dry-run"]);
    let over = dry["gone"].as_u64().expect("a number");
    assert!(over > 8, "messages and deliveries of the case: {dry}");
    assert!(!bodies(&world).is_empty(), "a dry run purges nothing");

    // Killed in the middle of it: what went stays gone, what did not is whole.
    let purging = {
        let (directory, file) = (world.path("."), file.clone());
        std::thread::spawn(move || run(&directory, ["store", "purge", "--config", &file]))
    };
    until("an archive is there", async || (!archives(&directory).is_empty()).then_some(())).await;
    gateway.kill();
    drop(purging.join());
    let verified = run(&world.path("."), ["store", "verify", store.to_str().expect("is text")]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    // Several at once, beside the round of the gateway itself.
    let mut gateway = world.serve().await;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| told(&world, &["store", "purge"]));
        }
    });
    let dry = told(&world, &["store", "purge", "--dry-run", "--kept"]);
    assert_eq!(dry["gone"], 0, "{dry}");
    assert!(bodies(&world).is_empty(), "no file of a payload is left");
    let purged = told(&world, &["store", "stats"]).to_string();
    assert!(purged.contains("messages purged"), "{purged}");

    // A repeat is known, and turned away; its evidence is in the archive.
    match broker.ask(&sealed).await {
        Told::Errors { signed: true, errors } => assert_eq!(errors[0].code.as_str(), "TimeToLiveExpired"),
        other => panic!("{other:?}: never taken as new (P3)"),
    }
    assert_eq!(world.list("/cases").await.len(), 1);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    let verified = run(&world.path("."), ["store", "verify", store.to_str().expect("is text")]);
    assert!(verified.status.success(), "P2, P12: {}", String::from_utf8_lossy(&verified.stdout));
    let found = archives(&directory);
    assert!(found.len() as u64 >= over, "{} archives of {over}", found.len());
    let certificate = fs::read_to_string(world.settings()).expect("settings");
    let (_, signing) = certificate.split_once("[[signing]]").expect("a key to sign with");
    let line = signing.lines().find(|line| line.starts_with("certificate")).expect("its certificate");
    let key = world.settings().with_file_name("").join(line.split('"').nth(1).expect("a path"));
    for archive in found {
        let arguments =
            ["audit", "verify", archive.to_str().expect("text"), "--key", key.to_str().expect("text")];
        let verified = run(&world.path("."), arguments);
        assert!(verified.status.success(), "P18: {}", String::from_utf8_lossy(&verified.stderr));
    }
    let kept: BTreeSet<_> = archives(&directory)
        .iter()
        .map(|path| Digest::of(&fs::read(path).expect("readable")).to_string())
        .collect();
    let named = named(&store);
    assert!(
        named.len() as u64 >= over && named.is_subset(&kept),
        "the archives are those that the records name"
    );
}

/// What was purged after the backup is there whole after a restore, and so are the archives that the lost store made: it goes
/// again, and nothing that was archived is written over.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_archived_before_a_restore_stays_and_the_same_goes_again_p18_p20() {
    let world = World::new();
    let store = world.settings().with_file_name("store");
    let (mut gateway, ..) = cleared(&world, 10).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    age(&store);
    let settings = world.settings().to_str().expect("is text").to_owned();
    let backup = world.path("backup").display().to_string();
    let done = |arguments: &[&str]| {
        let ran = run(&world.path("."), arguments);
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    done(&["store", "backup", &backup, "--config", &settings]);
    retain(&world);
    let directory = world.settings().with_file_name("archive");
    let octets = || {
        let read = |path: PathBuf| (Digest::of(&fs::read(&path).expect("readable")).to_string(), path);
        archives(&directory).into_iter().map(read).collect::<BTreeMap<_, _>>()
    };

    let mut gateway = world.serve().await;
    told(&world, &["store", "purge"]);
    gateway.kill();
    let (before, named_before) = (octets(), named(&store));
    assert!(before.len() > 8 && named_before.iter().all(|archive| before.contains_key(archive)));
    fs::rename(&store, world.path("lost")).expect("is moved away");
    done(&["store", "restore", &backup, "--config", &settings]);

    let mut gateway = world.serve().await;
    told(&world, &["store", "purge"]);
    let dry = told(&world, &["store", "purge", "--dry-run", "--kept"]);
    assert_eq!(dry["gone"], 0, "it all went again: {dry}");
    // Another start and another round make no more of them.
    gateway.kill();
    let mut gateway = world.serve().await;
    told(&world, &["store", "purge"]);
    gateway.kill();
    let after = octets();
    assert!(before.keys().all(|archive| after.contains_key(archive)), "what was archived stays");
    assert!(named(&store).iter().all(|archive| after.contains_key(archive)), "as the records name it");
    assert_eq!(after.len(), before.len() + named(&store).len(), "each once of either store");
    for path in after.into_values() {
        let archive = path.to_str().expect("is text");
        done(&["audit", "verify", archive, "--key", "pki/gateway/signing.pem"]);
    }
    all_is_proved(&store);
}

fn all_is_proved(store: &Path) {
    let verified = run(store, ["store", "verify", store.to_str().expect("is text")]);
    assert!(verified.status.success(), "P2, P12: {}", String::from_utf8_lossy(&verified.stdout));
}

/// The archives that the records of a store name.
pub(crate) fn named(store: &Path) -> BTreeSet<String> {
    let disk = rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    let sql = "SELECT json_extract(record, '$.purged.archive') FROM message WHERE purged = 1 \
               UNION SELECT json_extract(record, '$.purged.archive') FROM delivery WHERE purged = 1";
    let mut statement = disk.prepare(sql).expect("is SQL");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("readable")
}

/// What cannot be archived is kept and told, the rest goes; and a purge that is stopped goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_archived_is_kept_and_told_and_the_rest_goes_p12() {
    let world = World::new();
    let store = world.settings().with_file_name("store");
    let directory = world.settings().with_file_name("archive");
    let (mut gateway, ..) = cleared(&world, 400_000).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    age(&store);
    retain(&world);
    // They have one on the disk of the store, where there is none but for what was accepted (P11).
    let settings = fs::read_to_string(world.settings()).expect("settings");
    world.edit("gwanmun.toml", "free_bytes_min = 0\n", "free_bytes_min = 1000000000000000000\n");
    let path = world.settings().to_str().expect("is text");
    let mut gateway = Process::start(world.path("gateway.log"), ["serve", "--config", path]);
    until("its first round says so", async || {
        (gateway.said().contains("is on the disk of the store")).then_some(())
    })
    .await;
    assert!(archives(&directory).is_empty(), "P11");
    gateway.kill();
    fs::write(world.settings(), settings).expect("written");
    fs::write(world.path("gateway.log"), "").expect("is ours");
    // The archives have no place: the round that begins with the gateway tries each message and keeps all.
    fs::write(&directory, "in the way").expect("written");
    let mut gateway = world.serve().await;
    let over = told(&world, &["store", "purge", "--dry-run"])["gone"].as_u64().expect("a number");
    until("the first round has tried everything", async || {
        (gateway.said().matches("purge.failed").count() as u64 >= over).then_some(())
    })
    .await;
    fs::remove_file(&directory).expect("removed");

    // The keys that counted are not there: there is no evidence without them.
    let (keys, away) = (store.join("keys"), store.join("keys.away"));
    fs::rename(&keys, &away).expect("moved");
    let purged = told(&world, &["store", "purge"]);
    assert_eq!((purged["gone"].as_u64(), archives(&directory).len()), (Some(0), 0), "{purged}");
    assert!(gateway.said().contains("the keys that counted then"), "{}", gateway.said());
    fs::rename(&away, &keys).expect("moved back");

    // One octet on the disk is another: its message stays with its damage, and no other does.
    let damaged = bodies(&world).pop().expect("the scan stands in files");
    let mut octets = fs::read(&damaged).expect("readable");
    octets[1000] ^= 1;
    fs::write(&damaged, &octets).expect("written");
    // Stopped in the middle of it, and let go on.
    let purging = {
        let (place, file) = (world.path("."), world.settings().to_str().expect("is text").to_owned());
        std::thread::spawn(move || run(&place, ["store", "purge", "--config", &file, "--json"]))
    };
    until("an archive is there", async || (!archives(&directory).is_empty()).then_some(())).await;
    gateway.signal(Signal::STOP);
    let stopped = archives(&directory).len() as u64;
    gateway.signal(Signal::CONT);
    let purged = purging.join().expect("no panic");
    let purged: Value = serde_json::from_slice(&purged.stdout).expect("is JSON");
    assert!(stopped < over, "{stopped} of {over}: it was in the middle");
    assert_eq!(purged["gone"].as_u64(), Some(over - 1), "{purged}");
    assert!(gateway.said().contains("damaged"), "{}", gateway.said());
    assert_eq!(bodies(&world), std::slice::from_ref(&damaged));
    octets[1000] ^= 1;
    fs::write(&damaged, &octets).expect("written");
    assert_eq!(told(&world, &["store", "purge"])["gone"].as_u64(), Some(1), "whole again, it goes");
    assert!(bodies(&world).is_empty());
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    let verified = run(&world.path("."), ["store", "verify", store.to_str().expect("is text")]);
    assert!(verified.status.success(), "P2, P12: {}", String::from_utf8_lossy(&verified.stdout));
}
