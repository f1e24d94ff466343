//! Mistakes in the files: all told at once, and what is in force stays in force.

use rustix::process::Signal;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::run;
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
