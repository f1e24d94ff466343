//! How far a conversation has come: known as long as anything in it is, and forgotten with the last of it
//! (P5, P12).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rusqlite::Row;
use rustix::process::Signal;
use serde_json::{Value, json};

use gwanmun::transport::LocalClient;

use crate::connection::Connection;
use crate::correspondent::{Correspondent, Told};
use crate::process::{run, until};
use crate::purged::{age, checksum, retain, told};
use crate::world::World;

/// What goes to npqs goes in order.
fn with_order(world: &World) {
    for file in ["partners/npqs.toml", "npqs.toml"] {
        let none = "sync_reply_mode = \"none\"";
        world.edit(file, none, &format!("{none}\nmessage_order = true"));
    }
}

/// So many notices to npqs, each in a conversation of its own; gives the deliveries, once they are over.
async fn noticed(world: &World, notices: usize) -> Vec<Value> {
    let operator = LocalClient::new(&world.path("run/gwanmun.sock"));
    for notice in 0..notices {
        let path = format!("/notices?to=AG000000000002&text=works+{notice}&reason=test");
        let sent = operator.post(&path, "application/json", bytes::Bytes::new()).await.expect("answers");
        assert!(sent.status.is_success(), "{}", String::from_utf8_lossy(&sent.body));
    }
    until("all are delivered", async || {
        let mut deliveries = world.list("/deliveries").await;
        deliveries.retain(|delivery| delivery["state"] == "delivered" && delivery["order"].is_object());
        (deliveries.len() == notices).then_some(deliveries)
    })
    .await
}

async fn known(world: &World) -> usize {
    world.ask("/conversations?all=true").await.as_array().expect("a list").len()
}

/// One look for conversations: what it tells, and where the round goes on.
async fn looked(world: &World, place: &Value, purges: bool, limit: usize) -> (Vec<Value>, Value) {
    let operator = LocalClient::new(&world.path("run/gwanmun.sock"));
    let at = place.as_object().expect("a place");
    let named: String = at.iter().map(|(name, value)| format!("{name}={value}&")).collect();
    let path = format!("/store/purge?{named}limit={limit}");
    let page = match purges {
        true => operator.post(&path, "application/json", bytes::Bytes::new()).await,
        false => operator.get(&path).await,
    };
    let page: Value = serde_json::from_slice(&page.expect("answers").body).expect("is JSON");
    let looked = page["looked"].as_array().unwrap_or_else(|| panic!("{page}"));
    (looked.clone(), page["next"].clone())
}

/// The looks for conversations from a place on, each with what it told.
async fn walked(world: &World, from: Value, purges: bool, limit: usize) -> Vec<BTreeSet<String>> {
    let (mut place, mut looks) = (from, Vec::new());
    while place.is_object() {
        let (told, next) = looked(world, &place, purges, limit).await;
        looks.push(told.iter().map(Value::to_string).collect());
        place = next;
    }
    looks
}

/// How far a conversation has come is known as long as anything in it is, and forgotten with the last of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_forgotten_with_what_went_in_it_p5() {
    let world = World::new();
    let store = world.settings().with_file_name("store");
    with_order(&world);
    let mut gateway = world.serve().await;
    let _npqs = world.play("npqs", &[]).await;
    let delivered = noticed(&world, 1).await.remove(0);
    assert_eq!(known(&world).await, 1);
    let id = delivered["id"].as_str().expect("text");
    let hold = ["store", "hold", "--delivery", id, "--reason", "a court asks"];
    assert!(told(&world, &hold)["told"].as_str().expect("text").contains("is held"));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    age(&store);
    retain(&world);

    let mut gateway = world.serve().await;
    let purged = told(&world, &["store", "purge"]);
    assert_eq!(purged["conversations"], json!({ "gone": 0, "kept": 1 }), "{purged}");
    let dry = told(&world, &["store", "purge", "--dry-run", "--kept"]);
    assert!(dry.to_string().contains(&format!("delivery {id} of it was not purged")), "{dry}");
    let lift = ["store", "hold", "--lift", "--delivery", id, "--reason", "it was closed"];
    assert!(told(&world, &lift)["told"].as_str().expect("text").contains("held no more"));
    // Either this or the round that the gateway makes by itself.
    told(&world, &["store", "purge"]);
    until("the conversation is forgotten", async || (known(&world).await == 0).then_some(())).await;
    assert!(gateway.said().contains("conversation.forgotten"), "{}", gateway.said());
    // A kill brings nothing of it back.
    gateway.kill();
    drop(gateway);
    let mut gateway = world.serve().await;
    assert_eq!(known(&world).await, 0);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    let verified = run(&world.path("."), ["store", "verify", store.to_str().expect("is text")]);
    assert!(verified.status.success(), "P2, P12: {}", String::from_utf8_lossy(&verified.stdout));
}

/// However much is kept, one look at it is as short as it is told to be, and many of them find what one
/// finds.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_in_short_looks_finds_what_a_long_one_finds_p5() {
    const NOTICES: usize = 5;
    let world = World::new();
    let store = world.settings().with_file_name("store");
    with_order(&world);
    let mut gateway = world.serve().await;
    let _npqs = world.play("npqs", &[]).await;
    noticed(&world, NOTICES).await;
    let conversations = known(&world).await;
    let begin = || json!({ "conversations": true });
    let all = |looks: &[BTreeSet<String>]| looks.iter().flatten().cloned().collect::<BTreeSet<_>>();
    let (long, short) = (walked(&world, begin(), false, 1000).await, walked(&world, begin(), false, 1).await);
    assert_eq!(all(&long).len(), conversations, "{long:?}");
    assert_eq!(all(&long), all(&short));
    assert!(short.len() > NOTICES && long.len() < NOTICES, "{} and {}", long.len(), short.len());

    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    age(&store);
    retain(&world);
    let mut gateway = world.serve().await;
    // The octets go first, whoever purges them; then short looks are enough to forget what is left.
    until("all octets went", async || {
        let deliveries = world.list("/deliveries").await;
        deliveries.iter().all(|delivery| delivery["purged"].is_object()).then_some(())
    })
    .await;
    let (told, place) = looked(&world, &begin(), true, 1).await;
    walked(&world, begin(), true, 1).await;
    assert_eq!(known(&world).await, 0, "{}", gateway.said());
    // What one walk forgot is known on for no other.
    let rest = if place.is_object() { walked(&world, place, true, 1).await } else { Vec::new() };
    assert!(told.is_empty() && rest.iter().all(BTreeSet::is_empty), "{told:?} {rest:?}");
    // A place of another life of the gateway is none of this one: the walk begins anew.
    assert!(all(&walked(&world, json!({ "conversations": true, "walk": 7 }), false, 1).await).is_empty());
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
}

/// A purge that a stop interrupts says so: a walk tells what it has not looked for, and nobody is sent on to ask again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_walk_p5() {
    let world = World::new();
    with_order(&world);
    retain(&world);
    world.edit("gwanmun.toml", "drain_deadline = \"5s\"", "drain_deadline = \"30s\"");
    let mut gateway = world.serve().await;
    let _npqs = world.play("npqs", &[]).await;
    noticed(&world, 2).await;
    let (_, place) = looked(&world, &json!({ "conversations": true }), false, 2).await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    let sealed = broker.sealed(&message);
    let (first, rest) = sealed.body.held().split_at(sealed.body.held().len() / 2);
    let mut connection = Connection::open(&world).await;
    connection.begin(&world, &sealed.content_type, sealed.body.held().len()).await;
    assert!(connection.send(first).await, "a half is taken");
    gateway.signal(Signal::TERM);
    gateway.says("gateway.draining").await;

    let (left, next) = looked(&world, &place, false, 1000).await;
    assert_eq!((left.len(), &next), (2, &Value::Null), "{left:?}");
    let is_stopped = |told: &Value| told["why"] == "the gateway is being stopped";
    assert!(left.iter().all(is_stopped), "{left:?}");
    for purge in [&["store", "purge"][..], &["store", "purge", "--dry-run"]] {
        let purged = told(&world, purge);
        assert_eq!((&purged["stopped"], &purged["kept"]), (&json!(true), &json!(0)), "{purged}");
    }
    assert!(connection.send(rest).await, "it still waits for what is in hand");
    drop(connection.status().await);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
}

/// Flips one bit of a text where a table of a stopped store has it, in the file itself: its index keeps the
/// old one. Gives the text that stands there now, which is as good as the other.
fn flip(store: &Path, table: &str, column: &str, text: &str) -> String {
    let file = store.join("gwanmun.db");
    let disk = || rusqlite::Connection::open(&file).expect("opens");
    disk().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("all is in the file");
    let bit = text.bytes().position(|octet| (octet ^ 1).is_ascii_alphanumeric()).expect("a letter or digit");
    let (octets, wanted) = (fs::read(&file).expect("readable"), text.as_bytes());
    let places = octets.windows(wanted.len()).enumerate().filter(|(_, found)| *found == wanted);
    for (at, _) in places {
        let mut flipped = octets.clone();
        flipped[at + bit] ^= 1;
        fs::write(&file, &flipped).expect("written");
        let sql = format!("SELECT count(*) FROM {table} NOT INDEXED WHERE {column} = ?");
        if disk().query_row(&sql, [text], |row| row.get::<_, i64>(0)).is_ok_and(|left| left == 0) {
            return String::from_utf8_lossy(&flipped[at..at + wanted.len()]).into_owned();
        }
    }
    panic!("{text} stands nowhere in {table}");
}

/// A record that cannot be read, for whatever reason, is told of, keeps every conversation, and keeps nothing
/// behind it from going.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_told_and_keeps_every_conversation_p12() {
    let world = World::new();
    let store = world.settings().with_file_name("store");
    with_order(&world);
    let mut gateway = world.serve().await;
    let npqs = world.play("npqs", &[]).await;
    let delivered = noticed(&world, 2).await;
    // Nothing of it comes any more: the conversations are those that there are.
    drop(npqs);
    let ids = delivered.iter().map(|delivery| delivery["id"].as_str().expect("text").to_owned());
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    let disk = || rusqlite::Connection::open(store.join("gwanmun.db")).expect("opens");
    let number = |id: &str| -> i64 {
        disk().query_row("SELECT number FROM delivery WHERE id = ?", [id], |row| row.get(0)).expect("a row")
    };
    // The one that is kept comes first.
    let id = ids.min_by_key(|id| number(id)).expect("two notices");
    let number = number(&id);
    let hold = ["store", "hold", "--delivery", &id, "--reason", "a court asks"];
    assert!(told(&world, &hold)["told"].as_str().expect("text").contains("is held"));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    age(&store);
    retain(&world);

    let change = |sql: String| assert_eq!(disk().execute(&sql, []).expect("changed"), 1, "{sql}");
    let sql = "SELECT record, version, form FROM delivery WHERE number = ?";
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?));
    let (record, version, form) = disk().query_row(sql, [number], read).expect("a row");
    let of_form = |form: u32| {
        let checksum = checksum(["delivery", &id, &record], form, version);
        change(format!("UPDATE delivery SET form = {form}, checksum = {checksum} WHERE number = {number}"));
    };
    let named = |id: &str| change(format!("UPDATE delivery SET id = '{id}' WHERE number = {number}"));
    let sql = "SELECT sender, message_id FROM message WHERE number = 1";
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let (sender, message_id) = disk().query_row(sql, [], read).expect("the lodging");
    let sent = |sender: &str| change(format!("UPDATE message SET sender = '{sender}' WHERE number = 1"));
    let delivery = format!("delivery {number}");

    of_form(99);
    kept_by(&world, &delivery, "has format 99").await;
    let sql = "SELECT count(*) FROM delivery WHERE purged = 1";
    let purged: i64 = disk().query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(purged, 1, "the notice behind it went");
    of_form(form);
    let other = flip(&store, "delivery", "id", &id);
    kept_by(&world, &delivery, "nothing is found by its key").await;
    assert_eq!(flip(&store, "delivery", "id", &other), id);
    named("");
    kept_by(&world, &delivery, "its key cannot be read").await;
    named(&id);
    let other = flip(&store, "message", "message_id", &message_id);
    kept_by(&world, "message 1", "nothing is found by its key").await;
    assert_eq!(flip(&store, "message", "message_id", &other), message_id);
    sent("");
    kept_by(&world, "message 1", "its key cannot be read").await;
    sent(&sender);

    let sql = "SELECT number, conversation_id FROM sequence ORDER BY number LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let (number, conversation) = disk().query_row(sql, [], read).expect("a conversation");
    let other = flip(&store, "sequence", "conversation_id", &conversation);
    let mut gateway = world.serve().await;
    told_as_damaged(&world, &format!("sequence {number}"), "nothing is found by its key");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    assert_eq!(flip(&store, "sequence", "conversation_id", &other), conversation);

    let mut gateway = world.serve().await;
    told(&world, &["store", "purge"]);
    assert!(gateway.said().contains("conversation.forgotten"), "mended: {}", gateway.said());
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
}

/// A life of the gateway in which this record is told of, with why, and every conversation is known on.
async fn kept_by(world: &World, what: &str, why: &str) {
    let mut gateway = world.serve().await;
    let conversations = known(world).await;
    let purged = told(world, &["store", "purge"]);
    let all = json!({ "gone": 0, "kept": conversations });
    assert_eq!(purged["conversations"], all, "{what} {why}: {purged}");
    told_as_damaged(world, what, why);
    // It keeps all of them at once, and they are told no faster for it.
    let looks = walked(world, json!({ "conversations": true }), false, 1).await;
    assert!(looks.iter().all(|told| told.len() <= 1), "{what} {why}: {looks:?}");
    assert_eq!(looks.iter().flatten().count(), conversations, "{what} {why}: {looks:?}");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
}

fn told_as_damaged(world: &World, what: &str, why: &str) {
    let dry = told(world, &["store", "purge", "--dry-run", "--kept"]);
    let mut rows = dry["messages"].as_array().expect("rows").iter();
    let row = rows.find(|row| row["way"] == "damaged" && row["message"] == what);
    let said = row.and_then(|row| row["why"].as_str()).unwrap_or_else(|| panic!("{what} {why}: {dry}"));
    assert!(said.contains(why), "{what} {why}: {said}");
}
