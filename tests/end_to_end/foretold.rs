//! A broker has its documents checked without lodging them: all findings at once, or where everything would go; and
//! nothing is kept of it.

use serde_json::Value;

use crate::process::run;
use crate::world::World;

/// What `gwanmun send --check` says of these files, and whether they would be accepted.
fn checked(world: &World, files: &[&str]) -> (Value, bool) {
    let arguments = ["send", "--config", "broker.toml", "--check", "--json"];
    let ran = run(&world.path(""), arguments.iter().chain(files));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{files:?}: {said}"));
    (value, ran.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_come_of_documents_is_told_and_nothing_is_kept() {
    let world = World::new();
    let _gateway = world.serve().await;
    for payload in &world.lodging(1).payloads {
        let name = payload.content_id.as_str().split('@').next().expect("has a name");
        world.write(name, std::str::from_utf8(payload.body.held()).expect("is text"));
    }
    let certificate = "phytosanitary-certificate.pdf";
    let all = ["GOVCBR929.xml", "GOVCBRX01.xml", "GOVCBRX02.xml", "GOVCBRFR2.xml", certificate];
    let (told, well) = checked(&world, &all);
    assert!(well, "{told}");
    let of = |key: &str, field: &str| {
        let list = told[key].as_array().expect("is a list").iter();
        list.map(|one| one[field].as_str().expect(field).to_owned()).collect::<Vec<_>>()
    };
    for action in ["GOVCBR929", "GOVCBRX01", "GOVCBRX02", "GOVCBRFR2"] {
        assert!(of("deliveries", "action").contains(&action.to_owned()), "{action} would go out: {told}");
    }
    assert_eq!(of("applications", "agency").len(), 3);

    // One is missing: that would be accepted, and is told.
    let (told, well) = checked(&world, &["GOVCBR929.xml", "GOVCBRX01.xml", "GOVCBRFR2.xml"]);
    let states = told["applications"].as_array().expect("is a list").iter().map(|one| &one["state"]);
    assert!(well && states.into_iter().any(|state| state == "blocked"), "{told}");

    // Two mistakes in two documents come at once, as they would in the MessageError.
    world.edit("GOVCBR929.xml", "<FunctionCode>9</FunctionCode>", "<FunctionCode>nine</FunctionCode>");
    world.edit("GOVCBRX01.xml", "<FunctionCode>9</FunctionCode>", "<FunctionCode>nine</FunctionCode>");
    let (told, well) = checked(&world, &all);
    let errors = told["errors"].as_array().expect("is a list");
    let places: Vec<_> = errors.iter().filter_map(|error| error["location"].as_str()).collect();
    assert!(!well && told["accepted"] == false);
    for place in ["cid:GOVCBR929.xml@broker.practice", "cid:GOVCBRX01.xml@broker.practice"] {
        assert!(places.contains(&place), "{place}: {told}");
    }
    for list in ["/cases", "/messages", "/deliveries"] {
        assert_eq!(world.list(list).await, Vec::<Value>::new(), "{list}: nothing is kept");
    }
}
