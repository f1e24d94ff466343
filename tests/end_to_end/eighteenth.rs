//! An eighteenth agency with forms of its own: files and nothing else. Its documents, its code list, a row of the rule
//! table, its party and agreement come into a running gateway by a reload; then one case with it goes all the way round.

use std::net::TcpListener;

use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::{World, document};

/// What the agency brings: forms, code lists, a row of the rule table.
const FILES: [(&str, &str); 6] = [
    ("documents.csv", include_str!("../samples/eighteenth-agency/documents/documents.csv")),
    ("code-lists.csv", include_str!("../samples/eighteenth-agency/documents/code-lists.csv")),
    ("code-lists/agency.csv", include_str!("../samples/eighteenth-agency/documents/code-lists/agency.csv")),
    (
        "code-lists/radio-service.csv",
        include_str!("../samples/eighteenth-agency/documents/code-lists/radio-service.csv"),
    ),
    (
        "RadioEquipmentCheck-1.xsd",
        include_str!("../samples/eighteenth-agency/documents/RadioEquipmentCheck-1.xsd"),
    ),
    (
        "RadioEquipmentConfirmation-1.xsd",
        include_str!("../samples/eighteenth-agency/documents/RadioEquipmentConfirmation-1.xsd"),
    ),
];
const ROW: &str = include_str!("../samples/eighteenth-agency/requirements-row.csv");
const DECLARATION: &str = include_str!("../samples/eighteenth-agency/929.xml");
const APPLICATION: &str = include_str!("../samples/eighteenth-agency/X18.xml");

#[tokio::test(flavor = "multi_thread")]
async fn an_eighteenth_agency_with_a_new_document_is_data() {
    let world = World::new();
    let gateway = world.serve().await;
    // Before it joins, nobody knows its forms and nothing is required of its goods.
    let stranger = Correspondent::new(&world, "broker");
    let early = DECLARATION.replace("1234509000500X", "1234509000501X");
    let lodged = stranger.message("GOVCBR929", "1234509000501X", vec![document("GOVCBR929", &early)]);
    assert_eq!(stranger.ask(&stranger.sealed(&lodged)).await, Told::Acknowledged);

    join(&world);
    // A directory with a mistake is not put in force: neither its documents nor anything beside them.
    world.edit("documents/documents.csv", "GOVCBRX68,result", "GOVCBRX68,results");
    let (told, faults) = reload(&world).await;
    assert_eq!(told, 422, "{faults:#?}");
    assert!(faults.iter().any(|fault| at(fault, "documents/documents.csv", 4, 11)), "{faults:#?}");
    let output =
        run(&world.path("."), ["check", "--json", "--config", world.settings().to_str().expect("text")]);
    let checked: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(checked["faults"].as_array(), Some(&faults), "`gwanmun check` tells the same");
    world.edit("documents/documents.csv", "GOVCBRX68,results", "GOVCBRX68,result");
    assert_eq!(reload(&world).await.0, 200);

    let mut running = vec![gateway, play(&world).await];
    for name in ["broker", "customs"] {
        running.push(world.play(name, &[]).await);
    }
    let broker = Correspondent::new(&world, "broker");
    // Its code list counts, also the day on which a code ended.
    let ended = vec![
        document("GOVCBR929", &DECLARATION.replace("1234509000500X", "1234509000502X")),
        document("GOVCBRX18", &APPLICATION.replace(">MOBILE<", ">PAGER<")),
    ];
    match broker.ask(&broker.sealed(&broker.message("GOVCBR929", "1234509000502X", ended))).await {
        Told::Errors { errors, .. } => {
            let told: Vec<_> = errors.iter().map(|error| error.description.as_str()).collect();
            let expected = "line 28: /Declaration/LPCO/DetailContents/RadioServiceCode: \"PAGER\" of the code \
                            list radio-service ended on 2009-01-01; the nearest is ";
            assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        }
        told => panic!("{told:?}"),
    }
    let payloads = vec![document("GOVCBR929", DECLARATION), document("GOVCBRX18", APPLICATION)];
    let message = broker.message("GOVCBR929", "1234509000500X", payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    let heard = async |name: &str, what: &str, action: &str, says: &str| {
        until(&format!("{name} hears {what}"), async || {
            let received = world.received(name);
            received.iter().any(|entry| &*entry.action == action && entry.says == says).then_some(())
        })
        .await;
    };
    heard("broker", "the confirmation", "GOVCBRX68", "approved").await;
    heard("customs", "the confirmation", "GOVCBRX68", "approved").await;
    heard("broker", "that the goods are cleared", "GOVCBR023", "status 13").await;
    let cases = world.list("/cases").await;
    let states: Vec<_> = cases.iter().map(|case| case["state"].as_str().unwrap_or_default()).collect();
    assert!(states.contains(&"cleared"), "{cases:#?}");
    running.iter_mut().for_each(Process::check);
}

/// Starts the agency and waits until it listens.
async fn play(world: &World) -> Process {
    let config = world.path("rrl.toml");
    let config = config.to_str().expect("is text");
    let arguments = ["practice", "--role", "agency", "--config", config, "--script", "ACCEPT,0s;APPROVE,0s"];
    let mut agency = Process::start(world.path("rrl.log"), arguments);
    until("the eighteenth agency listens", async || {
        agency.check();
        agency.said().contains("listens on").then_some(())
    })
    .await;
    agency
}

/// Writes the files that make it a partner.
fn join(world: &World) {
    for (name, text) in FILES {
        let path = world.path("documents").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("makes it");
        std::fs::write(path, text).expect("writes");
    }
    let documents = "[documents]\ndirectory = \"documents\"\n\n";
    world.edit("gwanmun.toml", "[rules]", &format!("{documents}[rules]"));
    for partner in ["broker", "customs"] {
        world.edit(&format!("{partner}.toml"), "[journal]", &format!("{documents}[journal]"));
    }
    let rows = world.read("rules/requirements.csv");
    world.write("rules/requirements.csv", &format!("{}\n{ROW}", rows.trim_end()));
    let agency = "[agency]\nRRL = { party = \"AG000000000018\", cpa = \"swgw-rrl-1\", mode = \"system\", profile = \"quick\" }";
    world.edit("rules/ruleset.toml", "[agency]", agency);

    // Its own authority for practice, which both sides come to trust.
    let made = run(&world.path("."), ["pki", "practice", "pki-rrl", "--party", "rrl", "--algorithm", "p256"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    world.edit("gwanmun.toml", "\"pki/ca.pem\"", "\"pki/ca.pem\", \"pki-rrl/ca.pem\"");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
    let kfda_port = between(&world.read("kfda.toml"), "ebms = \"127.0.0.1:", "\"");
    let own = world
        .read("kfda.toml")
        .replace("AG000000000001", "AG000000000018")
        .replace("kfda.practice", "rrl.practice")
        .replace("swgw-kfda-3", "swgw-rrl-1")
        .replace("pki/kfda/", "pki-rrl/rrl/")
        .replace("\"kfda\"", "\"rrl\"")
        .replace("GOVCBRX01", "GOVCBRX18")
        .replace("GOVCBRX51", "GOVCBRX68")
        .replace(&kfda_port, &port.to_string())
        .replace("[journal]", &format!("{documents}[journal]"));
    world.write("rrl.toml", &own);
    let known = world
        .read("partners/kfda.toml")
        .replace("AG000000000001", "AG000000000018")
        .replace("name = \"KFDA\"", "name = \"RRL\"")
        .replace("swgw-kfda-3", "swgw-rrl-1")
        .replace("../pki/kfda/", "../pki-rrl/rrl/")
        .replace("GOVCBRX01", "GOVCBRX18")
        .replace("GOVCBRX51", "GOVCBRX68")
        .replace(&kfda_port, &port.to_string());
    world.write("partners/rrl.toml", &known);
    // The broker may send the new form, broker and customs may be sent the new result.
    let (form, result) = ("\"RequirementVerification GOVCBRX01\"", "\"RequirementVerification GOVCBRX51\"");
    let beside = |action: &str| action.replace("X01", "X18").replace("X51", "X68") + ", " + action;
    for side in ["broker.toml", "partners/broker.toml"] {
        world.edit(side, form, &beside(form));
        world.edit(side, result, &beside(result));
    }
    for side in ["customs.toml", "partners/customs.toml"] {
        world.edit(side, result, &beside(result));
    }
}

/// Status of a reload, and the mistakes that it tells.
async fn reload(world: &World) -> (u16, Vec<Value>) {
    let answer = world.reload().await;
    let told: Value = serde_json::from_slice(&answer.body).expect("is JSON");
    (answer.status.as_u16(), told["faults"].as_array().expect("is a list").clone())
}

fn at(fault: &Value, file: &str, line: u64, column: u64) -> bool {
    fault["file"].as_str().is_some_and(|path| path.ends_with(file))
        && fault["line"].as_u64() == Some(line)
        && fault["column"].as_u64() == Some(column)
        && !fault["remedy"].as_str().unwrap_or_default().is_empty()
}

fn between(text: &str, start: &str, end: &str) -> String {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split_once(end).expect(end).0.to_owned()
}
