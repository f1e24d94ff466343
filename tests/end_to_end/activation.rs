//! Rules put in force in a running gateway: at once and at an instant, across SIGKILL, back to older ones, and never
//! with a mistake in them.

use std::fs;

use gwanmun::config;
use gwanmun::store::{SqliteStore, Store};
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::run;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_survives_and_only_another_one_takes_it_back() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    // The digest of the rules that the case of a new lodging is planned with.
    let planned_with = async |serial| {
        let lodging = world.lodging(serial);
        let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
        assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged, "lodging {serial}");
        let case = world.ask(&format!("/cases/{}", lodging.declaration)).await;
        (case["rule_set"].as_str().expect("was planned").to_owned(), lodging.declaration)
    };
    let (first, first_declaration) = planned_with(1).await;
    assert_eq!(history(&world), [format!("in force {first} start")]);

    copy_rules(&world, "next", "plant,2006-03-02,", "plant,2099-03-02,");
    let told = rules(&world, &["activate", "next"], 0);
    assert!(told.starts_with("in force: kr-import "), "{told}");
    let (second, _) = planned_with(2).await;
    assert_ne!(second, first);
    let case = world.ask(&format!("/cases/{first_declaration}")).await;
    assert_eq!(case["rule_set"], *first, "a case keeps its rules");

    gateway.kill();
    gateway = world.serve().await;
    assert_eq!(planned_with(3).await.0, second, "the rule directory did not change: it takes nothing back");

    let told = rules(&world, &["activate", beginning(&first), "--at", "2099-01-01T00:00:00+09:00"], 0);
    assert!(told.starts_with("planned: ") && told.contains(&first), "{told}");
    gateway.kill();
    gateway = world.serve().await;
    let by =
        |digest: &str, state: &str| format!("{state} {digest} uid {}", rustix::process::getuid().as_raw());
    let so_far = [format!("past {first} start"), by(&second, "in force"), by(&first, "planned")];
    assert_eq!(history(&world), so_far);
    assert_eq!(planned_with(4).await.0, second, "its time has not come");

    copy_rules(&world, "wrong", "cpa = \"", "cpa = \"no-");
    let told = rules(&world, &["activate", "wrong"], 4);
    assert!(
        told.starts_with("ruleset.toml:") && told.contains("is no agreement that is registered"),
        "{told}"
    );
    for arguments in [
        &["activate", "next", "--at", "2009-01-01T00:00:00+09:00"][..],
        &["activate", "0123456789"],
        &["activate", "nowhere"],
        &["show", "0123456789"],
    ] {
        rules(&world, arguments, 1);
    }
    assert_eq!(history(&world), so_far, "with a mistake nothing changes");

    world.edit("rules/requirements.csv", "cosmetic,2006-03-02,", "cosmetic,2006-03-03,");
    assert_eq!(world.reload().await.status.as_u16(), 200);
    let (third, _) = planned_with(5).await;
    assert!(third != first && third != second, "a changed directory is activated by a reload");

    let told = rules(&world, &["show", beginning(&second), "--into", "shown"], 0);
    assert!(told.starts_with(&format!("digest {second}\n")), "{told}");
    let text = |file: &str| fs::read_to_string(world.path(file)).expect("is readable");
    for file in ["ruleset.toml", "requirements.csv", "except.csv", "calendars/kr.csv"] {
        assert_eq!(text(&format!("shown/{file}")), text(&format!("next/{file}")), "{file}");
    }
    rules(&world, &["show", beginning(&second), "--into", "shown"], 1);

    gateway.kill();
    let store = config::load(world.settings()).expect("is in order").settings.store;
    let audit = SqliteStore::open(store).expect("opens").audit(0, 10_000).expect("is readable").items;
    let activated: Vec<_> = audit.iter().filter(|entry| &*entry.entry.event == "rules.activated").collect();
    assert_eq!(activated.len(), 4, "the audit record knows every one (P18)");
    let last = &activated[3].entry.text;
    assert!(last.contains(&third) && last.ends_with(&format!("in force was {second}")), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_counts_and_is_damaged_is_not_replaced_unseen() {
    let world = World::new();
    let mut gateway = world.serve().await;
    copy_rules(&world, "next", "plant,2006-03-02,", "plant,2099-03-02,");
    rules(&world, &["activate", "next"], 0);
    let told = rules(&world, &["history", "--json"], 0);
    let told: Value = serde_json::from_str(&told).expect("is JSON");
    let digest = told["items"][1]["activation"]["rules"].as_str().expect("is there").to_owned();
    gateway.kill();
    let store = config::load(world.settings()).expect("is in order").settings.store;
    fs::write(store.directory.join("rules").join(&digest), "damaged").expect("writes");
    let settings = world.settings().to_str().expect("is text");
    let output = run(&world.path("."), ["serve", "--config", settings]);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains(&digest) && told.contains("start with other rules in the rule directory"),
        "{told}"
    );
    world.edit("rules/requirements.csv", "cosmetic,2006-03-02,", "cosmetic,2006-03-03,");
    let _gateway = world.serve().await;
    assert_eq!(history(&world).len(), 3);
}

/// Enough of a digest to name its set.
fn beginning(digest: &str) -> &str {
    digest.get(..12).expect("a digest has 64 digits")
}

/// State, digest and asker of each activation.
fn history(world: &World) -> Vec<String> {
    let told: Value = serde_json::from_str(&rules(world, &["history", "--json"], 0)).expect("is JSON");
    let row = |item: &Value| {
        let text = |value: &Value| value.as_str().expect("is text").to_owned();
        let activation = &item["activation"];
        format!("{} {} {}", text(&item["state"]), text(&activation["rules"]), text(&activation["asked_by"]))
    };
    told["items"].as_array().expect("is a list").iter().map(row).collect()
}

/// What `gwanmun rules` says in the world's directory; it must end with this code.
fn rules(world: &World, arguments: &[&str], code: i32) -> String {
    let settings = world.settings().to_str().expect("is text");
    let output = run(&world.path("."), [&["rules"], arguments, &["--config", settings]].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}\n{told}");
    said
}

/// A copy of the world's rule directory with one text of one of its files replaced.
fn copy_rules(world: &World, name: &str, from: &str, to: &str) {
    fs::create_dir_all(world.path(name).join("calendars")).expect("makes it");
    for file in ["ruleset.toml", "requirements.csv", "except.csv", "calendars/kr.csv"] {
        let text = world.read(&format!("rules/{file}")).replacen(from, to, 1);
        world.write(&format!("{name}/{file}"), &text);
    }
}
