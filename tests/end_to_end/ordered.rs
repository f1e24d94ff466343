//! Guaranteed order over the wire: what comes early is held over a restart, and handed on when what is missing has come
//! or an operator says so (ebMS 2.0, 9; P5).

use std::process::Output;

use gwanmun::model::{MessageOrder, OrderStatus, Sealed, SequenceNumber};

use crate::correspondent::{Correspondent, Told};
use crate::process::{run, until};
use crate::world::World;

/// The sealed lodging with this number, all in one conversation.
fn lodging(world: &World, broker: &Correspondent, number: u32) -> Sealed {
    let lodging = world.lodging(number);
    let mut message = broker.message("GOVCBR929", "one conversation", lodging.payloads);
    let status = if number == 0 { OrderStatus::Reset } else { OrderStatus::Continue };
    message.order = Some(MessageOrder { number: SequenceNumber::new(number).expect("in range"), status });
    broker.sealed(&message)
}

fn conversation(world: &World, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        run(&world.path(""), [&["conversation"], arguments, &["--json"]].concat());
    let told = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    told
}

/// Waits until so many cases were opened; gives their declarations, oldest first.
async fn opened(world: &World, count: usize) -> Vec<String> {
    let cases = until("the cases are opened", async || {
        Some(world.list("/cases").await).filter(|cases| cases.len() == count)
    })
    .await;
    let declarations = cases.iter().rev().map(|case| case["declaration"].as_str().expect("text").to_owned());
    declarations.collect()
}

//= ebms2 9.1 MUST: what is held is kept over a restart and handed on in order after it
#[tokio::test(flavor = "multi_thread")]
async fn what_came_early_waits_over_a_restart_for_what_is_missing_p5() {
    let world = World::new();
    for file in ["partners/broker.toml", "broker.toml"] {
        world.edit(
            file,
            "sync_reply_mode = \"mshSignalsOnly\"",
            "sync_reply_mode = \"none\"\nmessage_order = true",
        );
    }
    let mut gateway = world.serve().await;
    let broker = Correspondent::new(&world, "broker");
    let sealed: Vec<_> = (0..6).map(|number| lodging(&world, &broker, number)).collect();
    for number in [2, 1] {
        assert_eq!(broker.ask(&sealed[number]).await, Told::Status(202), "{number}");
    }
    let held = conversation(&world, &["list"]);
    assert!(held.contains("\"one conversation\"") && held.contains("\"fate\": \"held\""), "{held}");
    let states = run(&world.path(""), ["message", "list"]);
    assert!(String::from_utf8_lossy(&states.stdout).contains(" held "), "{states:?}");
    gateway.kill();
    let _gateway = world.serve().await;
    assert!(world.list("/cases").await.is_empty());
    assert_eq!(broker.ask(&sealed[0]).await, Told::Status(202));
    let expected = |numbers: &[u32]| -> Vec<String> {
        numbers.iter().map(|number| world.lodging(*number).declaration).collect()
    };
    assert_eq!(opened(&world, 3).await, expected(&[0, 1, 2]));

    // Number 3 is lost; an operator does not wait for it.
    for number in [5, 4] {
        assert_eq!(broker.ask(&sealed[number]).await, Told::Status(202), "{number}");
    }
    let reason = ["--reason", "number 3 is lost"];
    let release = ["release", "swgw-broker-1", "one conversation"];
    let told = conversation(&world, &[&release[..], &reason].concat());
    assert!(told.contains("2 message(s) that were held for number 3 are handed on"), "{told}");
    assert_eq!(opened(&world, 5).await, expected(&[0, 1, 2, 4, 5]));
    assert_eq!(conversation(&world, &["list"]).trim(), "[]");
    let again = run(&world.path(""), [&["conversation"], &release[..], &reason].concat());
    assert!(!again.status.success(), "nothing is held any more");
}

/// `gwanmun send` numbers what it sends, each conversation by itself, also from one command to the next.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_numbers_what_it_sends_p5() {
    let world = World::new();
    for file in ["partners/broker.toml", "broker.toml"] {
        world.edit(
            file,
            "sync_reply_mode = \"mshSignalsOnly\"",
            "sync_reply_mode = \"none\"\nmessage_order = true",
        );
    }
    let _gateway = world.serve().await;
    let _broker = world.play("broker", &[]).await;
    let send = |arguments: &[&str]| {
        let ran = run(&world.path(""), [&["send", "--config", "broker.toml"], arguments].concat());
        let (out, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{arguments:?}: {out}{told}");
        out.into_owned()
    };
    // What is only checked takes no number.
    send(&["--check", "examples/929.xml", "examples/X01.xml"]);
    let lodged = send(&["examples/929.xml", "examples/X01.xml"]);
    assert!(lodged.starts_with("acknowledged after"), "{lodged}");
    let text = world.read("examples/929.xml");
    let declaration = text.split("<ID>").nth(1).and_then(|rest| rest.split('<').next()).expect("a number");
    let later = send(&["--conversation", declaration, "examples/FR2.xml"]);
    assert!(later.starts_with("acknowledged after"), "{later}");
    // The number of the declaration is taken; the message is verified, and its own number counts.
    let again = run(&world.path(""), ["send", "--config", "broker.toml", "examples/929.xml"]);
    let told = String::from_utf8_lossy(&again.stderr);
    let number = "its number 2 counts where the gateway verified the message";
    assert!(!again.status.success() && told.contains("refuses") && told.contains(number), "{told}");
    let status = send(&["--query", declaration]);
    assert!(status.contains(&format!("declaration  {declaration}")), "{status}");
    assert!(send(&["--test"]).starts_with("acknowledged under"));

    let conversations = world.ask("/conversations?all=true").await;
    let received =
        conversations.as_array().expect("a list").iter().filter(|it| it["key"]["direction"] == "receive");
    let of_lodging = received.clone().find(|it| it["key"]["conversation_id"] == declaration);
    assert_eq!(of_lodging.map(|it| &it["next"]), Some(&3.into()), "{conversations:#}");
    assert!(received.count() >= 3, "query and test have their own: {conversations:#}");
    let kept = conversation(&world, &["list"]);
    assert_eq!(kept.trim(), "[]", "nothing is held");
}
