//! What comes back on the connection under each syncReplyMode, from the gateway and to it, with the acknowledgment in the
//! business response where it is one (ebMS 2.0, 4.3; digest, 10).

use gwanmun::codec::document::write_query;
use gwanmun::model::{Asked, Query};
use gwanmun::practice::{Ending, Entry};
use serde_json::Value;

use crate::correspondent::{Correspondent, now};
use crate::process::{run, until};
use crate::world::{World, document};

/// Agrees another mode with a partner, on both sides.
fn agree(world: &World, name: &str, before: &str, mode: &str) {
    for file in [format!("partners/{name}.toml"), format!("{name}.toml")] {
        let key = |mode: &str| format!("sync_reply_mode = \"{mode}\"");
        world.edit(&file, &key(before), &key(mode));
    }
}

/// Every delivery that answers this message.
async fn answers_to(world: &World, message_id: &str) -> Vec<Value> {
    let mut deliveries = world.list("/deliveries").await;
    deliveries.retain(|delivery| delivery["ref_to_message_id"] == message_id);
    deliveries
}

//= ebms2 4.3 MUST: under none an HTTP 2xx without content comes back, and the acknowledgment by a POST of its own
//= ebms2 4.3 MUST: what comes back on the connection is what the syncReplyMode of the agreement says
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_on_the_connection_as_the_mode_says() {
    let world = World::new();
    let _gateway = world.serve().await;
    let mut before = "mshSignalsOnly";
    for (mode, back, read) in [
        ("mshSignalsOnly", Some("Acknowledgment"), false),
        ("signalsOnly", Some("Acknowledgment"), false),
        ("responseOnly", Some("GOVCBRXS2"), false),
        ("signalsAndResponse", Some("GOVCBRXS2"), true),
        ("none", None, false),
    ] {
        agree(&world, "broker", before, mode);
        before = mode;
        assert!(world.reload().await.status.is_success(), "{mode}");
        let listener = world.play("broker", &[]).await;
        let broker = Correspondent::new(&world, "broker");
        let lodging = world.lodging(1);
        if mode == "mshSignalsOnly" {
            let lodged = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
            broker.ask(&broker.sealed(&lodged)).await;
        }
        let asks = Asked::Status(lodging.declaration.as_str().into());
        let query = write_query(&Query { number: format!("Q-{mode}").into(), issued_at: now(), asks });
        let query = broker.message("GOVCBRXS1", mode, vec![document("GOVCBRXS1", &query)]);
        let id = query.header.data.message_id.as_str().to_owned();
        assert_eq!(query.sync_reply, mode != "none", "{mode}");
        let sealed = broker.sealed(&query);
        let answer = broker.post(&sealed).await;
        assert_eq!(answer.status.as_u16(), if back.is_some() { 200 } else { 202 }, "{mode}");
        let told = back.map(|_| broker.open(&answer));
        let action = told.as_ref().map(|told| told.message().header.action.to_string());
        assert_eq!(action.as_deref(), back, "{mode}");
        if let Some(told) = &told {
            assert!(broker.is_receipt(told, &sealed), "{mode}: {told:?}");
            assert!(!told.message().sync_reply, "{mode}");
        }
        assert_eq!(broker.post(&sealed).await.body, answer.body, "{mode}: P3");
        if let Some(response) = told.filter(|_| read) {
            broker.acknowledge(&response).await;
        }

        // Whoever did not read it there gets it by a POST, once; and the acknowledgment, under none.
        let heard = || {
            let received = world.received("broker").into_iter();
            let answers =
                received.filter(|r| r.ref_to_message_id.as_ref().is_some_and(|to| to.as_str() == id));
            answers.map(|received| received.action.to_string()).collect::<Vec<_>>()
        };
        let deliveries = until(&format!("{mode}: everything is delivered"), async || {
            let deliveries = answers_to(&world, &id).await;
            let expected = if mode == "none" { 2 } else { 1 };
            let delivered = deliveries.iter().filter(|delivery| delivery["state"] == "delivered").count();
            (delivered == expected && deliveries.len() == expected).then_some(deliveries)
        })
        .await;
        let expected: &[&str] = if read { &[] } else { &["GOVCBRXS2"] };
        assert_eq!(heard(), expected, "{mode}: {deliveries:#?}");
        if back == Some("GOVCBRXS2") {
            let attempts = deliveries[0]["attempts"].as_u64().expect("a number");
            assert_eq!(
                attempts == 1,
                read,
                "{mode}: what goes back on the connection is the first transmission"
            );
        }
        drop(listener);
    }
}

//= ebms2 4.3 MUST: a business response that a partner gives on our connection is taken as a message, its Acknowledgment as our receipt
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_reads_a_business_response_on_its_own_connection() {
    let world = World::new();
    agree(&world, "kfda", "mshSignalsOnly", "responseOnly");
    let _gateway = world.serve().await;
    let _kfda = world.play("kfda", &["--script", "ACCEPT,0s;APPROVE,100ms"]).await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let lodged = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    broker.ask(&broker.sealed(&lodged)).await;

    let sent = until("KFDA has approved, and all that it said is taken", async || {
        let messages = world.list("/messages").await;
        let taken =
            messages.iter().filter(|it| it["key"]["sender"] == "AG000000000001" && it["accepted"] == true);
        let mut actions: Vec<_> = taken.filter_map(|message| message["header"]["action"].as_str()).collect();
        actions.sort_unstable();
        let deliveries = world.list("/deliveries").await;
        let sent = deliveries.into_iter().find(|delivery| delivery["action"] == "GOVCBRX01");
        let sent = sent.filter(|delivery| delivery["state"] == "delivered");
        sent.filter(|_| actions == ["GOVCBRRBH", "GOVCBRX51"])
    })
    .await;
    assert_eq!(sent["attempts"], 1, "{sent:#}");
    let [application] = &world.received("kfda")[..] else { panic!("one application") };
    let answered = String::from_utf8_lossy(&application.answer.body).into_owned();
    assert!(answered.contains(">GOVCBRRBH<") && answered.contains("Acknowledgment "), "{answered}");
    // Our acknowledgment of what came on our connection goes by a POST; the second message's on its own connection.
    let ended = until("KFDA has both receipts", async || {
        let entries = world.journal("kfda");
        let ended = entries.iter().filter_map(|entry| match entry {
            Entry::Ended(ended) => Some(ended.how),
            _ => None,
        });
        Some(ended.collect::<Vec<_>>()).filter(|ended| ended.len() == 2)
    })
    .await;
    assert_eq!(ended, [Ending::Acknowledged; 2]);
    let acknowledged = until("our acknowledgment is posted", async || {
        let mut deliveries = world.list("/deliveries").await;
        deliveries.retain(|d| d["action"] == "Acknowledgment" && d["destination"] == "AG000000000001");
        (deliveries.len() == 1 && deliveries[0]["state"] == "delivered").then_some(deliveries.len())
    })
    .await;
    assert_eq!(acknowledged, 1);
}

/// `gwanmun send` prints a response that comes with its receipt, and nobody has to listen.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_reads_and_acknowledges_a_response_on_its_connection() {
    let world = World::new();
    agree(&world, "broker", "mshSignalsOnly", "signalsAndResponse");
    let _gateway = world.serve().await;
    let send = |arguments: &[&str]| {
        let ran = run(&world.path(""), [&["send", "--config", "broker.toml"], arguments].concat());
        let (out, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{arguments:?}: {out}{told}");
        out.into_owned()
    };
    let examples = ["929", "X01", "X02", "FR2"].map(|name| format!("examples/{name}.xml"));
    let mut files: Vec<&str> = examples.iter().map(String::as_str).collect();
    files.push("examples/phytosanitary-certificate.pdf");
    let lodged = send(&files);
    assert!(lodged.starts_with("acknowledged after"), "{lodged}");
    let text = world.read("examples/929.xml");
    let declaration = text.split("<ID>").nth(1).and_then(|rest| rest.split('<').next()).expect("a number");
    let status = send(&["--query", declaration]);
    assert!(status.contains(&format!("declaration  {declaration}")), "{status}");
    send(&["--ping"]);
    let mut responses = world.list("/deliveries").await;
    responses.retain(|delivery| delivery["action"] == "GOVCBRXS2" && delivery["state"] == "delivered");
    let attempts: Vec<_> = responses.iter().map(|delivery| delivery["attempts"].as_u64()).collect();
    assert_eq!(attempts, [Some(1)], "its receipt was posted before the command ended");
}

/// Where no acknowledgment is ever requested, a verified response says that the request is taken: it is sent once.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_takes_a_response_without_a_receipt_where_none_is_agreed() {
    for mode in ["responseOnly", "signalsAndResponse"] {
        let world = World::new();
        agree(&world, "broker", "mshSignalsOnly", mode);
        for file in ["partners/broker.toml", "broker.toml"] {
            // One more transmission would follow a second after the first.
            world.edit(file, "retries = 60", "ack_requested = \"never\"\nretries = 1");
        }
        let _gateway = world.serve().await;
        let send = |arguments: &[&str]| {
            let ran = run(&world.path(""), [&["send", "--config", "broker.toml"], arguments].concat());
            let (out, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            assert!(ran.status.success(), "{mode}: {arguments:?}: {out}{told}");
            out.into_owned()
        };
        let lodged = send(&["examples/929.xml", "examples/X01.xml"]);
        assert!(lodged.starts_with("taken by the gateway after"), "{mode}: {lodged}");
        assert!(lodged.contains("no acknowledgment is agreed"), "{mode}: {lodged}");
        let text = world.read("examples/929.xml");
        let declaration =
            text.split("<ID>").nth(1).and_then(|rest| rest.split('<').next()).expect("a number");
        let status = send(&["--query", declaration]);
        assert!(status.contains(&format!("declaration  {declaration}")), "{mode}: {status}");
        let settings = world.settings().to_str().expect("is text").to_owned();
        let exported = run(&world.path(""), ["audit", "export", "audit.jsonl", "--config", &settings]);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        let audit = world.read("audit.jsonl");
        let told = |event: &str| audit.matches(event).count();
        assert!(told("message.accepted") == 2 && told("message.duplicate") == 0, "{mode}: {audit}");
    }
}
