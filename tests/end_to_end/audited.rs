//! The audit record of a real gateway, from the commit to a verifier that has nothing but a certificate: what was
//! tampered with is found and named (P18; threat S26).

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::correspondent::{Correspondent, Told};
use crate::process::{run, until};
use crate::world::World;

struct Audited {
    world: World,
}

impl Audited {
    fn path(&self, inside: &str) -> PathBuf {
        self.world.path(inside)
    }

    /// Whether an export verifies, and what is told of it.
    fn verify(&self, export: &str, more: &[&str]) -> (bool, String) {
        let certificate = self.certificate();
        let arguments = ["audit", "verify", export, "--key", &certificate];
        let verified = run(&self.path("."), arguments.iter().chain(more));
        let told = [verified.stdout, verified.stderr].concat();
        (verified.status.success(), String::from_utf8_lossy(&told).into_owned())
    }

    /// The certificate of the key that signs, as the settings name it.
    fn certificate(&self) -> String {
        let settings = fs::read_to_string(self.world.settings()).expect("settings");
        let (_, signing) = settings.split_once("[[signing]]").expect("a key to sign with");
        let line = signing.lines().find(|line| line.starts_with("certificate")).expect("its certificate");
        let named = line.split('"').nth(1).expect("a path");
        self.world.settings().with_file_name("").join(named).display().to_string()
    }

    async fn lodge(&self, broker: &Correspondent, serial: u32) {
        let lodging = self.world.lodging(serial);
        let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_signed_exported_and_checked_with_a_certificate_alone() {
    let audited = Audited { world: World::new() };
    let world = &audited.world;
    let settings = fs::read_to_string(world.settings()).expect("settings");
    let audit = "\n[audit]\nhead_interval = \"1s\"\nhead_entries = 10\nheads_file = \"heads.jsonl\"\n";
    fs::write(world.settings(), settings + audit).expect("written");
    let settings = world.settings().to_str().expect("is text").to_owned();
    let heads = world.settings().with_file_name("heads.jsonl");
    let heads = heads.to_str().expect("is text");
    let broker = Correspondent::new(world, "broker");

    let mut gateway = world.serve().await;
    audited.lodge(&broker, 1).await;
    until("a head is kept outside the store", async || {
        fs::read_to_string(heads).ok().filter(|text| text.lines().count() > 0)
    })
    .await;
    let exported = run(&audited.path("."), ["audit", "export", "before.jsonl", "--config", &settings]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    audited.lodge(&broker, 2).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());

    let store = world.settings().with_file_name("store");
    let store = store.to_str().expect("is text");
    let exported = run(&audited.path("."), ["audit", "export", "whole.jsonl", "--store", store]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let (intact, told) = audited.verify("whole.jsonl", &["--head", heads]);
    assert!(intact && !told.contains("not signed"), "a stop signs everything: {told} (P18)");

    let (intact, told) = audited.verify("before.jsonl", &[]);
    assert!(intact, "an earlier state is whole in itself: {told}");
    let (intact, told) = audited.verify("before.jsonl", &["--head", heads]);
    assert!(!intact && told.contains("rolled back"), "{told} (S26)");

    let kept = fs::read_to_string(heads).expect("readable");
    world.write("last.jsonl", kept.lines().last().expect("a head"));
    let (intact, told) = audited.verify("before.jsonl", &["--head", "last.jsonl"]);
    assert!(!intact && told.contains("rolled back"), "a head without line end counts: {told} (S26)");
    world.write("turned.jsonl", &kept.lines().rev().map(|line| format!("{line}\n")).collect::<String>());
    if kept.lines().count() > 1 {
        let (intact, told) = audited.verify("whole.jsonl", &["--head", "turned.jsonl"]);
        assert!(!intact && told.contains("it stands behind a head of more entries"), "{told}");
    }
    world.write("long.jsonl", &format!("{}{}\n", kept.lines().next().expect("a head"), " ".repeat(4096)));
    let (intact, told) = audited.verify("whole.jsonl", &["--head", "long.jsonl"]);
    assert!(!intact && told.contains("long.jsonl:1: no head: the line is longer than 4096 octets"), "{told}");
    world.write("none.jsonl", "");
    let (intact, told) = audited.verify("whole.jsonl", &["--head", "none.jsonl"]);
    assert!(!intact && told.contains("proves nothing"), "{told}");

    let whole = world.read("whole.jsonl");
    let check = |what: &str, change: &dyn Fn(&mut Vec<String>), says: &str| {
        let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        change(&mut lines);
        world.write("tampered.jsonl", &(lines.join("\n") + "\n"));
        let (intact, told) = audited.verify("tampered.jsonl", &["--head", heads, "--json"]);
        assert!(!intact && told.contains(says), "{what}: {told} (P18, S26)");
    };
    check("edited", &|lines| lines[3] = lines[3].replace("event", "evenT"), "entry 3: its hash");
    check("deleted", &|lines| drop(lines.remove(3)), "entry 3: it is missing");
    check("swapped", &|lines| lines.swap(3, 4), "entry 3: it is missing: entry 4");
    check("put in", &|lines| lines.insert(3, lines[2].clone()), "entry 3: entry 2 stands");
    check("cut off", &|lines| lines.truncate(5), "entry 5: it and all up to");

    // Entries that were cut off in the store itself are shown by the heads that are left there.
    let disk = rusqlite::Connection::open(format!("{store}/gwanmun.db")).expect("opens");
    disk.execute("DELETE FROM audit WHERE number > 2", []).expect("cut off");
    drop(disk);
    let exported = run(&audited.path("."), ["audit", "export", "cut.jsonl", "--store", store]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let (intact, told) = audited.verify("cut.jsonl", &[]);
    assert!(!intact && told.contains("entry 3: it and all up to"), "{told} (P18, S26)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_restored_is_told_apart_from_one_that_was_rolled_back_p20() {
    let audited = Audited { world: World::new() };
    let world = &audited.world;
    let settings = fs::read_to_string(world.settings()).expect("settings");
    let audit = "\n[audit]\nhead_interval = \"1s\"\nheads_file = \"heads.jsonl\"\n";
    fs::write(world.settings(), settings + audit).expect("written");
    let settings = world.settings().to_str().expect("is text").to_owned();
    let broker = Correspondent::new(world, "broker");
    let cli = |command: &str| {
        let done = run(&audited.path("."), ["store", command, "backup", "--config", &settings]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };

    let mut gateway = world.serve().await;
    audited.lodge(&broker, 1).await;
    cli("backup");
    audited.lodge(&broker, 2).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "a stop signs everything:\n{}", gateway.said());
    fs::rename(audited.path("store"), audited.path("lost")).expect("moved");

    // A copy that is put back is a roll-back.
    let copied = std::process::Command::new("cp")
        .args(["-r", "backup/store", "store"])
        .current_dir(audited.path("."))
        .status()
        .expect("cp runs");
    assert!(copied.success());
    let mut gateway = world.serve().await;
    gateway.says("audit.tampered").await;
    gateway.kill();
    fs::remove_dir_all(audited.path("store")).expect("removed");

    // A restore says that it is one.
    cli("restore");
    let before = gateway.said().matches("audit.tampered").count();
    let mut gateway = world.serve().await;
    gateway.says("was restored from a backup; keep the file").await;
    audited.lodge(&broker, 3).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    assert_eq!(gateway.said().matches("audit.tampered").count(), before);

    let exported = run(&audited.path("."), ["audit", "export", "whole.jsonl", "--store", "store"]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let (intact, told) = audited.verify("whole.jsonl", &[]);
    assert!(intact, "{told}");
    let (intact, told) = audited.verify("whole.jsonl", &["--head", "heads.jsonl"]);
    assert!(!intact && told.contains("is of a store that was lost: entry "), "{told} (S26)");
    let (_, number) = told.split_once("--restored ").expect("which entry says so");
    let number: String = number.chars().take_while(char::is_ascii_digit).collect();
    let (intact, told) = audited.verify("whole.jsonl", &["--head", "heads.jsonl", "--restored", &number]);
    assert!(
        intact && told.contains("are of a store that was lost before this one was restored"),
        "{told} (P20)"
    );
    let (intact, told) = audited.verify("whole.jsonl", &["--head", "heads.jsonl", "--restored", "1"]);
    assert!(!intact, "{told} (S26)");
}
