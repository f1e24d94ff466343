//! An agency without a system: a case whose plant quarantine is hosted goes from lodging to clearance with the command
//! line as its officers, and of two officers who decide at once one wins (domain brief, 5.5).

use std::process::Output;

use serde_json::Value;

use crate::process::{run, until};
use crate::world::World;

/// Hosts NPQS: its signing key is the gateway's to use, kim and lee work in its inbox.
fn host_npqs(world: &World) {
    let partner = world.read("partners/npqs.toml");
    let is_of_a_system = |line: &&str| {
        let keys = ["tls_certificates", "signing_certificates", "endpoint", "sync_reply_mode"];
        keys.iter().any(|key| line.starts_with(key))
    };
    let mut hosted: String =
        partner.lines().filter(|line| !is_of_a_system(line)).map(|line| format!("{line}\n")).collect();
    hosted.push_str(
        "[hosted]\ncertificate = \"../pki/npqs/signing.pem\"\nkey = \"../pki/npqs/signing.key\"\n\
         [[officer]]\nname = \"kim\"\nrole = \"officer\"\ntls_certificates = [\"../pki/wrong/unregistered/tls.pem\"]\n\
         [[officer]]\nname = \"lee\"\nrole = \"supervisor\"\ntls_certificates = [\"../pki/npqs/tls.pem\"]\n",
    );
    world.write("partners/npqs.toml", &hosted);
    let row = "cpa = \"swgw-npqs-2\", mode = \"system\"";
    world.edit("rules/ruleset.toml", row, &row.replace("system", "hosted"));
    let broker = world.read("broker.toml");
    let api = broker.lines().skip_while(|line| *line != "[api]").nth(1).expect("names the API");
    for (officer, pki) in [("kim", "wrong/unregistered"), ("lee", "npqs"), ("nobody", "kfda")] {
        let text = format!(
            "[api]\n{api}\n[tls]\ncertificate = \"pki/{pki}/tls.pem\"\nkey = \"pki/{pki}/tls.key\"\n\
             anchors = [\"pki/ca.pem\"]\n"
        );
        world.write(&format!("{officer}.toml"), &text);
    }
}

fn inbox(world: &World, officer: &str, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().expect("a command");
    let config = format!("{officer}.toml");
    let all = ["inbox", command, "--config", &config, "--json"];
    run(&world.path(""), all.iter().chain(rest))
}

/// What an officer is told, when it went well.
fn told(world: &World, officer: &str, arguments: &[&str]) -> Value {
    let ran = inbox(world, officer, arguments);
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("is JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_agency_decides_from_its_inbox_and_the_goods_are_cleared() {
    let world = World::new();
    host_npqs(&world);
    let _gateway = world.serve().await;
    let mut partners = vec![world.play("broker", &[]).await];
    for name in ["kfda", "kpta"] {
        partners.push(world.play(name, &["--script", "APPROVE,0s"]).await);
    }
    partners.push(world.play("customs", &["--customs-delay", "0s"]).await);
    let lodging = world.lodging(1);
    let mut files = Vec::new();
    for payload in &lodging.payloads {
        let name = payload.content_id.as_str().split('@').next().expect("has a name").to_owned();
        world.write(&name, std::str::from_utf8(payload.body.held()).expect("is text"));
        files.push(name);
    }
    let arguments = ["send", "--config", "broker.toml"].into_iter().chain(files.iter().map(|file| &**file));
    let sent = run(&world.path(""), arguments);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

    // Who is no officer sees nothing; kim sees the application, its document and its attachment.
    let stranger = inbox(&world, "nobody", &["list"]);
    assert!(!stranger.status.success());
    let refused = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(refused.contains("403") && refused.contains("no officer's"), "{refused}");
    let listed = told(&world, "kim", &["list"]);
    let line = &listed.as_array().expect("is a list")[0];
    assert_eq!((listed.as_array().map(Vec::len), text(line, "document")), (Some(1), "GOVCBRX02"));
    assert_eq!(told(&world, "kim", &["list", "--limit", "0"]), Value::Array(Vec::new()));
    let number = text(line, "application").to_owned();
    let shown = told(&world, "kim", &["show", &number, "--save", "saved"]);
    assert_eq!(shown["application"]["state"], "delivered");
    assert!(text(&shown["documents"][0], "text").contains(&number));
    assert!(world.read("saved/part-1.xml").contains(&number), "the octets that the applicant sent (P6)");
    assert!(world.read("saved/part-2.pdf").starts_with("%PDF"), "and the attachment");

    let act = |officer: &str, arguments: &[&str], version: &str| {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--version", version]).collect();
        text(&told(&world, officer, &arguments), "version").to_owned()
    };
    let taken = act("kim", &["take", &number], text(&shown, "version"));
    let deadline = ["--deadline", "2099-12-15T18:00:00+09:00", "--reason", "the certificate is not legible"];
    let supplement: Vec<_> = ["supplement", &number].into_iter().chain(deadline).collect();
    let asked = act("kim", &supplement, &taken);
    let terms =
        ["--amount", "12000", "--payee", "NPQS", "--account", "011-17-000012", "--reason", "one sample"];
    let fee: Vec<_> =
        ["fee", &number].into_iter().chain(terms).chain(["--due", "2099-12-15T18:00:00+09:00"]).collect();
    let billed = act("kim", &fee, &asked);
    let seen = act("kim", &["inspect", &number, "--remarks", "Busan, pier 3"], &billed);
    // An act on what was seen before is refused, and says what happened.
    let stale = inbox(&world, "kim", &["decide", &number, "--outcome", "rejected", "--version", &asked]);
    let why = String::from_utf8_lossy(&stale.stderr).into_owned();
    assert!(
        !stale.status.success() && why.contains("409") && why.contains("inspection_ordered, by kim"),
        "{why}"
    );

    // Two officers decide at once on the same version.
    let decide = |officer: &'static str, outcome: &'static str| {
        let arguments = ["decide", &number, "--outcome", outcome, "--remarks", officer, "--version", &seen];
        inbox(&world, officer, &arguments)
    };
    let (kim, lee) = std::thread::scope(|threads| {
        let kim = threads.spawn(|| decide("kim", "approved"));
        let lee = threads.spawn(|| decide("lee", "approved_conditional"));
        (kim.join().expect("does not panic"), lee.join().expect("does not panic"))
    });
    assert!(kim.status.success() != lee.status.success(), "exactly one wins: {kim:?} {lee:?}");
    let (winner, lost) = if kim.status.success() { ("kim", &lee) } else { ("lee", &kim) };
    let why = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(why.contains("409") && why.contains(&format!("by {winner}")), "{why}");

    until("the goods are cleared", async || {
        world.received("broker").iter().any(|entry| &*entry.action == "GOVCBR023").then_some(())
    })
    .await;
    let received = world.received("broker");
    let of_action =
        |action: &str| received.iter().filter(|entry| &*entry.action == action).collect::<Vec<_>>();
    let results = of_action("GOVCBRX52");
    assert_eq!(results.len(), 1, "one result");
    let document = results[0].text.as_deref().expect("is text");
    assert!(document.contains(&format!("<Name>{winner}</Name>")), "the officer signs for it: {document}");
    let fees = of_action("GOVCBRXF1");
    assert_eq!((fees.len(), fees[0].about.as_deref()), (1, Some(&*number)), "the fee goes the same way");
    assert!(
        fees[0]
            .text
            .as_deref()
            .is_some_and(|text| text.contains("12000") && text.contains("<Name>kim</Name>"))
    );
    let notices = of_action("GOVCBRRBH").iter().filter(|e| e.about.as_deref() == Some(&*number)).count();
    assert_eq!(notices, 3, "accepted, supplement, inspection");
    let timeline = world.ask(&format!("/cases/{}/timeline", lodging.declaration)).await.to_string();
    for said in [
        "kim (officer): take",
        "kim (officer): supplement",
        "kim (officer): fee",
        "kim (officer): inspect",
        "): decide",
    ] {
        assert!(timeline.contains(said), "{said} is in the record");
    }
}
