//! `gwanmun send` under syncReplyMode none: receipts and answers come by a POST of their own, to the partner's listener,
//! where the command reads them; without a listener it says what it knows, and where the rest comes to.

use std::process::Output;

use serde_json::Value;

use crate::process::run;
use crate::world::World;

/// Writes the example documents under numbers of this serial, and gives their files.
fn files(world: &World, serial: u32) -> (String, Vec<String>) {
    let lodging = world.lodging(serial);
    let mut files = Vec::new();
    for payload in &lodging.payloads {
        let name = payload.content_id.as_str().split('@').next().expect("has a name").to_owned();
        world.write(&name, std::str::from_utf8(payload.body.held()).expect("is text"));
        files.push(name);
    }
    (lodging.declaration, files)
}

fn send(world: &World, arguments: &[&str]) -> Output {
    run(&world.path(""), ["send", "--config", "broker.toml"].iter().chain(arguments))
}

/// What was printed, when it went well.
fn told(sent: &Output) -> String {
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    String::from_utf8_lossy(&sent.stdout).into_owned()
}

/// Why it did not go well.
fn refused(sent: &Output) -> String {
    assert_eq!(sent.status.code(), Some(1), "{}", String::from_utf8_lossy(&sent.stdout));
    String::from_utf8_lossy(&sent.stderr).into_owned()
}

//= ebms2 4.3.1 MUST: an acknowledgment that comes by a message of its own counts for the message that it names, and so does an error
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_by_itself_is_heard_where_the_partner_listens_p4() {
    let world = World::new();
    for file in ["broker.toml", "partners/broker.toml"] {
        world.edit(file, "sync_reply_mode = \"mshSignalsOnly\"", "sync_reply_mode = \"none\"");
    }
    let _gateway = world.serve().await;

    // Nobody listens: it is taken, and no more is claimed. What needs an answer is not asked.
    let (first, documents) = files(&world, 1);
    let documents: Vec<_> = documents.iter().map(|file| &**file).collect();
    let text = told(&send(&world, &documents));
    assert!(text.starts_with("taken by the gateway after") && !text.contains("acknowledged"), "{text}");
    assert!(text.contains("posted to our own address, where nobody listens"), "{text}");
    let taken = world.ask(&format!("/cases/{first}")).await;
    assert_eq!(taken["state"], "collecting", "{taken}");
    let why = refused(&send(&world, &["--query", &first]));
    assert!(why.contains("nobody listens"), "{why}");

    // Somebody does: the receipt is waited for, and so is every answer.
    let broker = world.play("broker", &[]).await;
    let (second, documents) = files(&world, 2);
    let documents: Vec<_> = documents.iter().map(|file| &**file).collect();
    let json: Vec<_> = ["--json"].into_iter().chain(documents.iter().copied()).collect();
    let receipt: Value = serde_json::from_str(&told(&send(&world, &json))).expect("is JSON");
    assert!(receipt["acknowledged_at"].is_string() && receipt["taken_at"].is_null(), "{receipt}");
    assert_eq!(receipt["conversation_id"], *second, "{receipt}");
    let id = receipt["message_id"].as_str().expect("text");
    let status = told(&send(&world, &["--status", id]));
    assert!(status.starts_with(&format!("{id} is Processed, received ")), "{status}");
    let status = told(&send(&world, &["--query", &second]));
    assert!(status.contains(&format!("declaration  {second}")), "{status}");
    let test = told(&send(&world, &["--test", "--json"]));
    let test = test.lines().next().expect("a line");
    let test: Value = serde_json::from_str(test).expect("is JSON");
    assert_eq!((&test["acknowledged"], &test["cpa_id"]), (&true.into(), &"swgw-broker-1".into()), "{test}");
    let pong = told(&send(&world, &["--ping"]));
    assert!(pong.starts_with("Pong under swgw-broker-1 after "), "{pong}");

    // What the gateway refuses it says by a POST too.
    let why = refused(&send(&world, &documents));
    assert!(why.contains("Inconsistent") && why.contains("was lodged before"), "{why}");
    drop(broker);
}
