//! A broker without a server: it lodges, collects everything that comes of it from its mailbox with the command line,
//! and loses nothing when the gateway dies between fetch and confirm (P2, P4, P6).

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::process::{run, until};
use crate::world::World;

/// What `gwanmun mailbox` prints, one JSON value a line; its error text when it fails.
fn mailbox(world: &World, settings: &str, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let (command, ids) = arguments.split_first().expect("a command");
    let all = ["mailbox", command, "--config", settings, "--json"];
    let ran = run(&world.path(""), all.iter().chain(ids));
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    let said = String::from_utf8(ran.stdout).expect("is text");
    Ok(said.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect())
}

fn waiting(world: &World, settings: &str) -> Vec<Value> {
    let listed = mailbox(world, settings, &["list"]).expect("is listed").remove(0);
    listed.as_array().expect("is a list").clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_a_server_collects_everything_once_p2_p4() {
    let world = World::new();
    let endpoint = |text: &str, start: &str| {
        text.lines().find(|line| line.starts_with(start)).expect("is there").to_owned()
    };
    let posted_to = endpoint(&world.read("partners/broker.toml"), "endpoint");
    world.edit("partners/broker.toml", &posted_to, "mailbox = true");
    let listens = endpoint(&world.read("broker.toml"), "ebms");
    world.edit("broker.toml", &format!("[listen]\n{listens}\n"), "");
    let mut gateway = world.serve().await;
    let mut partners = Vec::new();
    for (name, script) in [("kfda", "APPROVE,0s"), ("npqs", "APPROVE,0s"), ("kpta", "REVIEW,0s;APPROVE,1s")] {
        partners.push(world.play(name, &["--script", script]).await);
    }
    partners.push(world.play("customs", &["--customs-delay", "0s"]).await);

    let lodging = world.lodging(1);
    let mut files = Vec::new();
    for (number, payload) in lodging.payloads.iter().enumerate() {
        let name = payload.content_id.as_str().split('@').next().expect("has a name");
        world.write(name, std::str::from_utf8(payload.body.held()).expect("is text"));
        files.insert(number, name.to_owned());
    }
    let sent = run(
        &world.path(""),
        ["send", "--config", "broker.toml"].into_iter().chain(files.iter().map(|f| &**f)),
    );
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

    // The first that waits is fetched; then the gateway dies before it is confirmed.
    let first = until("something waits", async || waiting(&world, "broker.toml").first().cloned()).await;
    let id = text(&first, "id").to_owned();
    mailbox(&world, "broker.toml", &["fetch", &id]).expect("is fetched");
    let message = format!("broker/mailbox/{id}/message");
    let octets = fs::read(world.path(&message)).expect("is kept");
    gateway.kill();
    drop(gateway);
    let _gateway = world.serve().await;
    let again: Vec<_> = waiting(&world, "broker.toml");
    assert!(again.iter().any(|one| text(one, "id") == id), "what nobody confirmed is still there");
    mailbox(&world, "broker.toml", &["fetch", &id]).expect("is fetched again");
    assert_eq!(fs::read(world.path(&message)).expect("is kept"), octets, "the same octets every time");

    // Nobody else sees it, and nobody confirms what was not given out.
    assert_eq!(waiting(&world, "kfda.toml"), Vec::<Value>::new());
    let foreign = mailbox(&world, "kfda.toml", &["fetch", &id]).expect_err("is not theirs");
    assert!(foreign.contains("404") && foreign.contains("nothing of that name"), "{foreign}");
    let unread =
        mailbox(&world, "broker.toml", &["confirm", "never-fetched"]).expect_err("was never fetched");
    assert!(unread.contains("was not fetched"), "{unread}");

    // All of it, until customs has cleared the goods.
    let mut collected = Vec::new();
    until("the goods are cleared", async || {
        collected.extend(mailbox(&world, "broker.toml", &["fetch"]).expect("is fetched"));
        mailbox(&world, "broker.toml", &["confirm"]).expect("is confirmed");
        collected.iter().any(|one| text(one, "action") == "GOVCBR023").then_some(())
    })
    .await;
    // A second confirmation has the same outcome, and what is confirmed is not offered any more.
    mailbox(&world, "broker.toml", &["confirm", &id]).expect("is confirmed again");
    let gone = mailbox(&world, "broker.toml", &["fetch", &id]).expect_err("it is over");
    assert!(gone.contains("410"), "{gone}");
    let of_party = |one: &Value| text(one, "destination") == "BR123450000001";
    until("nothing waits any more", async || {
        mailbox(&world, "broker.toml", &["fetch"]).expect("is fetched");
        mailbox(&world, "broker.toml", &["confirm"]).expect("is confirmed");
        let owed = world.list("/deliveries").await;
        owed.iter().filter(|one| of_party(one)).all(|one| text(one, "state") == "delivered").then_some(())
    })
    .await;
    let owed: Vec<_> = world.list("/deliveries").await.into_iter().filter(of_party).collect();
    assert!(owed.iter().all(|one| one["attempts"] == 0), "nothing was ever posted");
    let of_ids =
        |all: &[Value], key: &str| all.iter().map(|one| text(one, key).to_owned()).collect::<BTreeSet<_>>();
    let kept = of_ids(&collected, "message_id");
    assert!(kept.is_subset(&of_ids(&owed, "message_id")), "nothing that was not owed");
    let results = collected.iter().filter(|one| text(one, "says") == "approved");
    assert_eq!(results.map(|one| text(one, "message_id")).collect::<BTreeSet<_>>().len(), 3);
}
