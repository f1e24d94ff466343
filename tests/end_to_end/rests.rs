//! A second declaration rests on what an agency approved for a first: no application, ready at once with what the other
//! agencies say; and when the agency takes it back, its requirement stands again (domain brief, 5.3; rulings 13, 19, 20).

use std::process::Output;

use crate::process::{run, until};
use crate::world::{Lodging, World};

/// What the first agency says of the first application.
fn statement(number: &str, application: &str, issued: &str, outcome: &str, item: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Response xmlns=\"urn:swgw:doc:FoodImportCertificate:1\"><TypeCode>GOVCBRX51</TypeCode><ID>{number}</ID>\
         <IssueDateTime>{issued}</IssueDateTime><Status><NameCode>{outcome}</NameCode></Status>\
         <Authenticator><Name>KFDA</Name></Authenticator><Declaration><ID>{application}</ID>\
         <LPCO><SequenceNumeric>1</SequenceNumeric><Outcome>{outcome}</Outcome>{item}</LPCO></Declaration></Response>\n"
    )
}

fn send(world: &World, partner: &str, lodging: &Lodging, leave_out: &[&str]) -> Output {
    let mut files = Vec::new();
    for payload in &lodging.payloads {
        let name = payload.content_id.as_str().split('@').next().expect("has a name").to_owned();
        if leave_out.iter().all(|left| !name.contains(left)) {
            world.write(&name, std::str::from_utf8(payload.body.held()).expect("is text"));
            files.push(name);
        }
    }
    let config = world.party(partner).to_str().expect("is text");
    run(&world.path(""), ["send", "--config", config].into_iter().chain(files.iter().map(|file| &**file)))
}

fn state_as_agency(world: &World, text: &str) {
    world.write("X51.xml", text);
    let config = world.party("kfda").to_str().expect("is text");
    let sent = run(&world.path(""), ["send", "--config", config, "X51.xml"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_rests_on_the_result_of_another() {
    let world = World::new();
    let _gateway = world.serve().await;
    let mut partners =
        vec![world.play("broker", &[]).await, world.play("kfda", &["--script", "ACCEPT,0s"]).await];
    for name in ["npqs", "kpta"] {
        partners.push(world.play(name, &["--script", "APPROVE,0s"]).await);
    }
    let first = world.lodging(1);
    let sent = send(&world, "broker", &first, &[]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let case = world.ask(&format!("/cases/{}", first.declaration)).await;
    let applications = case["applications"].as_array().expect("is a list");
    let of_kfda = applications.iter().find(|application| application["agency"] == "KFDA").expect("is one");
    let application = of_kfda["number"].as_str().expect("was enclosed").to_owned();
    let quantity = "<ID>KFDA-2026-17</ID><ApprovedQuantity unitCode=\"KGM\">90000</ApprovedQuantity>";
    state_as_agency(
        &world,
        &statement("R-1", &application, "2026-01-01T10:00:00+09:00", "approved", quantity),
    );

    // The second one encloses no application for the food, and says what it rests on.
    let mut second = world.lodging(2);
    let declaration = second.payloads.first_mut().expect("is the declaration");
    let text = std::str::from_utf8(declaration.body.held()).expect("is text");
    let cites = "</DetailedCommodity><AdditionalDocument><CategoryCode>1</CategoryCode><ID>KFDA-2026-17</ID>\
                 <LawCode>05</LawCode><UsedQuantity unitCode=\"KGM\">1200</UsedQuantity></AdditionalDocument>";
    assert!(text.contains("</DetailedCommodity>"), "{text}");
    declaration.body = text.replacen("</DetailedCommodity>", cites, 1).into();
    let sent = send(&world, "broker", &second, &["X01"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let of_second = format!("/cases/{}", second.declaration);
    until("the second case is ready", async || {
        (world.ask(&of_second).await["state"] == "ready").then_some(())
    })
    .await;
    let case = world.ask(&of_second).await;
    let agencies: Vec<_> =
        case["applications"].as_array().expect("is a list").iter().map(|a| &a["agency"]).collect();
    assert_eq!(agencies, ["KPTA", "NPQS"]);
    assert_eq!(case["held"][0]["quantity"]["value"], "1200");

    // What is left of it, for an operator.
    let settings = world.settings().to_str().expect("is text");
    let shown = run(&world.path(""), ["case", "approval", "KFDA-2026-17", "--config", settings]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let second_case = case["id"].as_str().expect("has an id");
    for said in ["KFDA-2026-17 of kfda", "90000", second_case, "what it was asked for", "rests on it"] {
        assert!(shown.to_lowercase().contains(&said.to_lowercase()), "{said} in {shown}");
    }

    // The agency takes it back: both cases hear of it, and the second one's application is wanted after all.
    state_as_agency(&world, &statement("R-2", &application, "2026-01-02T10:00:00+09:00", "revoked", ""));
    until("the second case is reopened", async || {
        (world.ask(&of_second).await["state"] == "collecting").then_some(())
    })
    .await;
    until("the broker hears of it", async || {
        let told = world.received("broker").into_iter().filter(|entry| &*entry.action == "GOVCBRXS2");
        let mut texts = told.filter_map(|entry| entry.text);
        texts.find(|text| text.contains("reopened") && text.contains(&second.declaration)).map(drop)
    })
    .await;
    let case = world.ask(&of_second).await;
    let blocked =
        case["applications"].as_array().expect("is a list").iter().filter(|a| a["state"] == "blocked");
    assert_eq!(blocked.map(|a| &a["agency"]).collect::<Vec<_>>(), ["KFDA"]);
    assert_eq!(case["unverified"][0]["why"], "it is revoked");
}
