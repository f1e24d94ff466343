//! Mistakes in the files: all told at once, and what is in force stays in force.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{PROGRAM, run};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_mistakes_is_no_set() {
    let world = World::new();
    let _gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let accepts = async |serial| {
        let lodging = world.lodging(serial);
        let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged, "lodging {serial}");
    };
    accepts(1).await;
    assert_eq!(checked(&world), (0, Vec::new()));

    let good = [SETTINGS, RULES, CERTIFICATE].map(|file| (file, world.read(file)));
    world.edit(SETTINGS, "drain_deadline = \"5s\"", "drain_deadline = \"soon\"\ncolour = \"blue\"");
    world.edit(RULES, "3001..3006", "3001..3OO6");
    world.write(CERTIFICATE, "-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n");
    let (code, faults) = checked(&world);
    assert_eq!(code, 4, "the exit code for settings with mistakes");
    let files: Vec<_> = faults.iter().map(|fault| text(fault, "file")).collect();
    for (file, count) in [("gwanmun.toml", 2), ("requirements.csv", 1), ("kfda/signing.pem", 1)] {
        let found = files.iter().filter(|path| path.ends_with(file)).count();
        assert!(found >= count, "{file}: {faults:#?}");
    }
    for fault in &faults {
        let placed = fault["line"].as_u64() > Some(0) && fault["column"].as_u64() > Some(0);
        assert!(placed && !text(fault, "message").is_empty() && !text(fault, "remedy").is_empty(), "{fault}");
    }

    let answer = world.reload().await;
    let told: Value = serde_json::from_slice(&answer.body).expect("is JSON");
    assert_eq!(
        (answer.status.as_u16(), &told["faults"]),
        (422, &Value::from(faults)),
        "a reload tells the same"
    );
    accepts(2).await;

    for (file, text) in good {
        world.write(file, &text);
    }
    assert_eq!(world.reload().await.status.as_u16(), 200);
    accepts(3).await;
}

/// What one side exports is what the other imports: a partner that is taken away and imported from its CPA is agreed
/// with as before, and a CPA with a mistake leaves everything as it is.
#[test]
fn an_agreement_leaves_as_a_cpa_and_comes_back_the_same() {
    let world = World::new();
    let agreement = |arguments: &[&str]| {
        let ran = run(&world.path(""), ["agreement"].iter().chain(arguments).chain(&["--config", SETTINGS]));
        let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8(said).expect("is text"));
        (ran.status.code(), said.concat())
    };
    let listed = || agreement(&["list", "--json"]).1;
    let before = listed();
    let (code, cpa) = agreement(&["export", "swgw-kfda-3", "--endpoint", "https://localhost:9999/ebms"]);
    assert_eq!(code, Some(0), "{cpa}");
    world.write("kfda.xml", &cpa);
    let registered = world.read("partners/kfda.toml");

    // A partner that is there gets no second agreement of that name, and its file stays as it is.
    let (code, told) = agreement(&["import", "kfda.xml"]);
    assert!(code == Some(4) && told.contains("this cpa_id is already that of"), "{code:?} {told}");
    assert_eq!(world.read("partners/kfda.toml"), registered);
    // Under another name it gets it: so an agreement is renewed.
    world.write("renewed.xml", &cpa.replace("swgw-kfda-3", "swgw-kfda-4"));
    let (code, told) = agreement(&["import", "renewed.xml"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(world.read("partners/kfda.toml").starts_with(registered.trim_end()), "the rest stays as it was");
    assert!(listed().contains("swgw-kfda-4"));
    world.write("partners/kfda.toml", &registered);

    // What a killed import has left beside the files is read by nobody, and removed by the next one, which says so.
    std::fs::remove_file(world.path("partners/kfda.toml")).expect("is there");
    world.write("partners/AG000000000001.toml.importing", "[party]\nhalf of i");
    world.write("partners/of-another.pem.importing", "-----BEGIN CERT");
    let files = || {
        let listed = std::fs::read_dir(world.path("partners")).expect("is there");
        let mut files: Vec<_> = listed.map(|entry| entry.expect("an entry").file_name()).collect();
        files.sort();
        files
    };
    let there = files();
    let taken = world.read("partners/broker.toml");
    // A mistake that only shows beside the other partners: the CPAId of another one.
    let (_, cpa_id) = taken.split_once("cpa_id = \"").expect("it has an agreement");
    let cpa_id = cpa_id.split('"').next().expect("it ends");
    world.write("wrong.xml", &cpa.replace("swgw-kfda-3", cpa_id));
    let (code, told) = agreement(&["import", "wrong.xml", "--name", "KFDA"]);
    assert!(code == Some(4) && told.contains("this cpa_id is already that of"), "{code:?} {told}");
    for left in ["AG000000000001.toml.importing", "of-another.pem.importing"] {
        let is_told = |line: &str| line.contains(left) && line.ends_with("it is removed");
        assert!(told.lines().any(is_told), "{told}");
    }
    let without_rest = there.iter().filter(|name| !name.to_string_lossy().ends_with(".importing")).cloned();
    assert_eq!(files(), without_rest.collect::<Vec<_>>(), "neither a file nor a certificate was left");
    world.write("wrong.xml", &cpa.replace("NotGuaranteed", "Guaranteed"));
    let (code, told) = agreement(&["import", "wrong.xml", "--name", "KFDA"]);
    assert!(code == Some(1) && told.contains("Guaranteed goes with syncReplyMode none"), "{code:?} {told}");
    let (code, told) = agreement(&["import", "kfda.xml", "--name", "KFDA"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(checked(&world), (0, Vec::new()));
    // A CPA has a start and an end; the plain format may leave both open.
    let terms = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("\"start\"") && !line.contains("\"end\""));
        let mut lines: Vec<_> = lines.map(|line| line.trim_end_matches(',').to_owned()).collect();
        lines.sort();
        lines
    };
    assert!(terms(&listed()) == terms(&before), "{}\n{before}", listed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_puts_all_of_the_files_in_force_or_nothing() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let lodge = async |serial| {
        let lodging = world.lodging(serial);
        let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        broker.ask(&broker.sealed(&message)).await
    };
    assert_eq!(lodge(1).await, Told::Acknowledged);

    // A good change and a mistake beside it: the good one is not in force either.
    world.edit(BROKER, "\"ImportClearance GOVCBR929\"", "\"ImportClearance GOVCBR830\"");
    world.edit(SETTINGS, "drain_deadline = \"5s\"", "drain_deadline = \"soon\"");
    gateway.signal(Signal::HUP);
    gateway.says("configuration.refused").await;
    assert!(gateway.said().contains("drain_deadline"), "the mistake is told: {}", gateway.said());
    assert_eq!(lodge(2).await, Told::Acknowledged, "the old set is in force");

    world.edit(SETTINGS, "drain_deadline = \"soon\"", "drain_deadline = \"5s\"");
    gateway.signal(Signal::HUP);
    gateway.says("configuration.activated").await;
    let told = lodge(3).await;
    assert!(matches!(told, Told::Errors { signed: true, .. }), "the new set is in force: {told:?}");
    gateway.check();
}

/// A mistake in the settings of a client or a partner ends it as one in the gateway's own does, and is told.
#[test]
fn mistakes_in_any_settings_have_the_exit_code_of_settings() {
    let world = World::new();
    world.write("mistaken.toml", "colour = \"blue\"\n");
    let commands = [
        "inbox list",
        "case list",
        "store stats",
        "mailbox list",
        "send --ping",
        "practice --role agency",
        "practice --role bank",
        "practice --role authority",
    ];
    for command in commands {
        let arguments = command.split(' ').chain(["--config", "mistaken.toml"]);
        let output = run(&world.path("."), arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{command}: {told}");
        assert!(told.contains("mistaken.toml:1:1"), "{command}: {told}");
    }
}

/// Behind `head` a list ends as by SIGPIPE, however it is written.
#[test]
fn a_list_that_nobody_reads_ends_as_by_sigpipe() {
    let world = World::new();
    let lists = [
        "keys list pki",
        "keys list --json pki",
        "party list",
        "party list --json",
        "agreement list --json",
        "pki practice --json other",
    ];
    for command in lists {
        let (reader, writer) = std::io::pipe().expect("is a pipe");
        drop(reader);
        let mut listing = Command::new(PROGRAM);
        listing.args(command.split(' ')).current_dir(world.path(".")).stdout(writer);
        let output = listing.output().expect("runs");
        assert_eq!(output.status.code(), Some(141), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What `gwanmun check` says: its exit code and the mistakes.
fn checked(world: &World) -> (i32, Vec<Value>) {
    let settings = world.settings().to_str().expect("is text");
    let output = run(&world.path("."), ["check", "--json", "--config", settings]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    (output.status.code().expect("ends by itself"), told["faults"].as_array().expect("is a list").clone())
}

fn text<'a>(fault: &'a Value, key: &str) -> &'a str {
    fault[key].as_str().unwrap_or_default()
}

const SETTINGS: &str = "gwanmun.toml";
const BROKER: &str = "partners/broker.toml";
const RULES: &str = "rules/requirements.csv";
const CERTIFICATE: &str = "pki/kfda/signing.pem";
