//! A broker rehearses: the same declaration in production and in practice, and every word of the tables of
//! docs/operations.md, each with the outcome that stands there (domain brief, 5.5).

use std::collections::BTreeMap;

use gwanmun::model::Payload;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::{Lodging, World, document};

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// A row of a table of words.
struct Row {
    word: String,
    /// The document code that is sent.
    sent: String,
    /// Where the application or case stands then.
    state: String,
}

/// The rows between two marks.
fn rows(mark: &str) -> Vec<Row> {
    let mark = format!("<!-- words of {mark} -->");
    let table = OPERATIONS.split(&mark).nth(1).expect("the table is there");
    let quoted = |cell: &str| cell.split('`').nth(1).expect("a word in quotes").to_owned();
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = lines
        .map(|line| {
            let cells: Vec<_> = line.split('|').collect();
            Row { word: quoted(cells[1]), sent: quoted(cells[2]), state: quoted(cells[3]) }
        })
        .collect();
    assert!(!rows.is_empty());
    rows
}

/// The lodging with a script in a remark of one of its documents.
fn with_script(lodging: Lodging, code: &str, script: &str) -> Lodging {
    let remark = format!("<AdditionalInformation><Content>SIM:{script}</Content></AdditionalInformation>");
    let payloads = lodging.payloads.into_iter().map(|payload| {
        let Some(role) = payload.role.as_deref().filter(|role| role.ends_with(code)) else { return payload };
        let text = std::str::from_utf8(payload.body.held()).expect("is text");
        // Remarks stand before attachments, and those before lines or items.
        let places = ["<AttachedDocument>", "<GoodsItemQuantity>", "<LPCO>"];
        let before = places.into_iter().find(|place| text.contains(place)).expect("has items");
        let remark = remark.clone();
        let text = match before {
            "<AttachedDocument>" if role.ends_with("929") => {
                text.replacen("<GoodsItemQuantity>", &format!("{remark}<GoodsItemQuantity>"), 1)
            }
            _ => text.replacen(before, &format!("{remark}{before}"), 1),
        };
        document(code, &text)
    });
    Lodging { declaration: lodging.declaration, payloads: payloads.collect() }
}

async fn lodge(broker: &Correspondent, lodging: &Lodging) {
    let conversation = format!("practice-{}", lodging.declaration);
    let message = broker.message("GOVCBR929", &conversation, lodging.payloads.clone());
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged, "{}", lodging.declaration);
}

async fn stage(world: &World) -> Vec<Process> {
    vec![
        world.serve().await,
        world.play("broker", &[]).await,
        world.play("practice-customs", &["--customs-delay", "0s"]).await,
        world.play("practice-agencies", &["--script", "APPROVE,0s"]).await,
    ]
}

/// Waits until a question has an answer of which this is true.
async fn shown(world: &World, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(what, async || Some(world.ask(path).await).filter(|value| is(value))).await
}

/// Whether the broker has got a document with this code about a number.
fn heard(world: &World, code: &str, about: &str) -> bool {
    world.received("broker").iter().any(|r| &*r.action == code && r.about.as_deref() == Some(about))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_word_of_the_tables_leads_to_what_stands_beside_it() {
    let world = World::new();
    let _stage = stage(&world).await;
    let broker = Correspondent::in_practice(&world, "broker");
    let mut serial = 0;
    let mut next = || {
        serial += 1;
        world.lodging(serial)
    };
    let mut expected = Vec::new();
    for row in rows("agencies") {
        let lodging = with_script(next(), "GOVCBRX01", &row.word);
        lodge(&broker, &lodging).await;
        expected.push((lodging.declaration, row, true));
    }
    for row in rows("customs") {
        // The plant quarantine keeps silent where customs speaks before it.
        let silent = if row.word.contains("COLLECTED") { "APPROVE" } else { "ACCEPT" };
        let lodging = with_script(with_script(next(), "GOVCBR929", &row.word), "GOVCBRX02", silent);
        lodge(&broker, &lodging).await;
        expected.push((lodging.declaration, row, false));
    }
    for row in rows("changes") {
        let lodging = with_script(next(), "GOVCBRX02", "ACCEPT");
        lodge(&broker, &lodging).await;
        let withdrawal = document("GOVCBR5BF", &withdrawal(&lodging.declaration, &row.word));
        let conversation = format!("practice-{}", lodging.declaration);
        let message = broker.message("GOVCBR5BF", &conversation, vec![withdrawal]);
        assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
        expected.push((lodging.declaration, row, false));
    }
    assert_eq!(expected.len(), 29, "every word that a script knows");
    for (declaration, row, of_agency) in expected {
        let Row { word, sent, state } = row;
        let about = format!("{word} leads to {state}");
        let path = format!("/cases/{declaration}?practice=true");
        let of_kfda = |case: &Value| {
            let all = case["applications"].as_array().expect("has applications").iter();
            all.clone().find(|a| a["document"] == "GOVCBRX01").expect("has X01").clone()
        };
        let is = |case: &Value| {
            let at = if of_agency { &of_kfda(case)["state"] } else { &case["state"] };
            *at == *state || at["decided"] == *state
        };
        let case = shown(&world, &path, &about, is).await;
        let number = match of_agency {
            true => of_kfda(&case)["number"].as_str().expect("has one").to_owned(),
            false => declaration,
        };
        until(&format!("{sent} of {word} is with the broker"), async || {
            heard(&world, &sent, &number).then_some(())
        })
        .await;
    }
    let received = world.received("broker");
    let unmarked = received.iter().filter(|received| {
        let text = received.text.as_deref().unwrap_or_default();
        !text.contains("Practice, without effect") && !text.contains("<FunctionCode>53<")
    });
    assert_eq!(
        unmarked.map(|r| &r.action).collect::<Vec<_>>(),
        Vec::<&std::sync::Arc<str>>::new(),
        "all say so"
    );
    assert_eq!(world.ask("/cases").await, Value::Array(Vec::new()), "nothing of it is in production");
}

/// A withdrawal (5BF) with a script for customs.
fn withdrawal(declaration: &str, script: &str) -> String {
    format!(
        "<Declaration xmlns=\"urn:swgw:doc:WithdrawalApplication:1\"><TypeCode>GOVCBR5BF</TypeCode>\
         <ID>W-{declaration}</ID><IssueDateTime>2026-11-02T10:00:00+09:00</IssueDateTime>\
         <Declaration><ID>{declaration}</ID></Declaration><Reason><Code>84</Code></Reason>\
         <AdditionalInformation><Content>SIM:{script}</Content></AdditionalInformation></Declaration>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_declaration_is_refused_in_practice_and_cleared_in_production() {
    let world = World::new();
    let mut processes = stage(&world).await;
    for name in ["kfda", "npqs", "kpta"] {
        processes.push(world.play(name, &["--script", "APPROVE,0s"]).await);
    }
    processes.push(world.play("customs", &["--customs-delay", "0s"]).await);
    let usual = world.lodging(1);
    let number = usual.declaration.clone();
    let production = Correspondent::new(&world, "broker");
    let message = production.message("GOVCBR929", &number, usual.payloads.clone());
    assert_eq!(production.ask(&production.sealed(&message)).await, Told::Acknowledged);

    // Twice in practice: by the command line under the agreement for it, and by FunctionCode 53 under the usual one.
    let scripted = with_script(usual, "GOVCBRX01", "ACCEPT;REJECT,50ms");
    let names = write(&world, &scripted.payloads);
    let arguments = ["send", "--practice", "--config", "broker.toml"];
    let sent = run(&world.path(""), arguments.into_iter().chain(names.iter().map(|name| &**name)));
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let by_function = world.lodging(2);
    let payloads = by_function.payloads.iter().map(|payload| match payload.role.as_deref() {
        Some("urn:swgw:doc:GOVCBR929") => {
            let text = std::str::from_utf8(payload.body.held()).expect("is text");
            document("GOVCBR929", &text.replacen("<FunctionCode>9<", "<FunctionCode>53<", 1))
        }
        _ => payload.clone(),
    });
    let message = production.message("GOVCBR929", &by_function.declaration, payloads.collect());
    assert_eq!(production.ask(&production.sealed(&message)).await, Told::Acknowledged);

    let of = |number: &str, practice: bool| format!("/cases/{number}?practice={practice}");
    let is = |state: &'static str| move |case: &Value| case["state"] == state;
    let cleared = shown(&world, &of(&number, false), "production is cleared", is("cleared")).await;
    let blocked = shown(&world, &of(&number, true), "practice is refused", is("blocked")).await;
    shown(&world, &of(&by_function.declaration, true), "the other one is cleared", is("cleared")).await;
    assert_ne!(cleared["id"], blocked["id"]);

    // Everybody has what is his, and nothing else.
    let about = |name: &str| {
        let mut counted = BTreeMap::new();
        for received in world.received(name) {
            *counted.entry(received.action.to_string()).or_insert(0) += 1;
        }
        counted
    };
    for (name, action) in [("kfda", "GOVCBRX01"), ("npqs", "GOVCBRX02"), ("kpta", "GOVCBRFR2")] {
        assert_eq!(about(name), BTreeMap::from([(action.to_owned(), 1)]), "{name}");
    }
    let forms = ["GOVCBRFR2", "GOVCBRX01", "GOVCBRX02"].map(|action| (action.to_owned(), 2));
    assert_eq!(about("practice-agencies"), BTreeMap::from(forms));
    assert_eq!(about("customs")["GOVCBR929"], 1);
    assert_eq!(about("practice-customs")["GOVCBR929"], 2);

    // Lists and figures are of production, unless practice is asked for.
    let ids = |listed: &Value| {
        listed.as_array().expect("is a list").iter().map(|c| c["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&world.ask("/cases").await), [cleared["id"].clone()]);
    assert_eq!(ids(&world.ask("/cases?practice=true").await).len(), 2);
    let figures = |rows: &Value| {
        let rows = rows["rows"].as_array().expect("are rows").iter();
        rows.map(|row| (row["applications"].as_u64(), row["approved"].as_u64())).collect::<Vec<_>>()
    };
    assert_eq!(figures(&world.ask("/statistics?by=agency").await), [(Some(1), Some(1)); 3]);
    let practised = figures(&world.ask("/statistics?by=agency&practice=true").await);
    assert_eq!(practised, [(Some(2), Some(1)), (Some(2), Some(2)), (Some(2), Some(2))]);

    let told = run(&world.path(""), ["case", "show", &number, "--practice", "--config", "gwanmun.toml"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("a rehearsal, without effect"), "{told}");
}

/// Writes payloads as files, by their names.
fn write(world: &World, payloads: &[Payload]) -> Vec<String> {
    let written = payloads.iter().map(|payload| {
        let name = payload.content_id.as_str().split('@').next().expect("has a name").to_owned();
        world.write(&name, std::str::from_utf8(payload.body.held()).expect("is text"));
        name
    });
    written.collect()
}
