//! Mistakes in the files: all told at once, and what is in force stays in force.

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
const RULES: &str = "rules/requirements.csv";
const CERTIFICATE: &str = "pki/kfda/signing.pem";
