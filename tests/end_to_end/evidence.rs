//! The evidence about one message, from a running gateway to a verifier that has the archive and a certificate and
//! nothing else: no gateway, no store, no settings (P18; threats S26, S27).

use std::collections::BTreeMap;
use std::fs;

use gwanmun::codec::archive::{pack, unpack};
use gwanmun::model::Octets;
use rustix::process::Signal;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{run, until};
use crate::world::World;

/// Whether an archive verifies, and what is told of it.
fn verify(world: &World, archive: &str, certificate: &str) -> (bool, String) {
    let verified = run(&world.path("elsewhere"), ["audit", "verify", archive, "--key", certificate]);
    let told = [verified.stdout, verified.stderr].concat();
    (verified.status.success(), String::from_utf8_lossy(&told).into_owned())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_exported_both_ways_and_checked_without_the_gateway_p18() {
    let world = World::new();
    let settings = world.settings().to_str().expect("is text").to_owned();
    let mut gateway = world.serve().await;
    let kfda = world.play("kfda", &["--script", "REVIEW,0s"]).await;
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    let delivered = until("an agency has acknowledged", async || {
        let deliveries = world.list("/deliveries").await;
        deliveries.into_iter().find(|delivery| delivery["state"] == "delivered")
    })
    .await;
    let refused = broker.message("GOVCBR929", "again", Vec::new());
    assert!(matches!(broker.ask(&broker.sealed(&refused)).await, Told::Errors { signed: true, .. }));

    fs::create_dir(world.path("elsewhere")).expect("is made");
    let own = fs::read_to_string(world.settings()).expect("settings");
    let (_, signing) = own.split_once("[[signing]]").expect("a key to sign with");
    let named = signing.lines().find(|line| line.starts_with("certificate")).expect("its certificate");
    let named = world.settings().with_file_name("").join(named.split('"').nth(1).expect("a path"));
    fs::copy(named, world.path("elsewhere/gateway.pem")).expect("copied");

    let messages = world.list("/messages").await;
    let key = |accepted: bool| {
        let of = |message: &&Value| message["accepted"] == accepted && message["key"]["sender"] != "KFDA";
        let message = messages.iter().rev().find(of).expect("is kept");
        format!("{}/{}", text(&message["key"], "sender"), text(&message["key"], "message_id"))
    };
    let sent = format!("{}/{}", text(&delivered, "destination"), text(&delivered, "message_id"));
    for (key, archive) in [(key(true), "lodging.tar"), (key(false), "refused.tar"), (sent, "application.tar")]
    {
        let to = world.path("elsewhere").join(archive);
        let to = to.to_str().expect("is text");
        let arguments = ["message", "export", &key, "--to", to, "--config", &settings];
        let exported = run(&world.path("."), arguments);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        let again = run(&world.path("."), arguments);
        assert!(!again.status.success(), "what is there is not written over");
    }
    let none = ["message", "export", "KFDA/nothing@here", "--to", "none.tar", "--config", &settings];
    let none = run(&world.path("."), none);
    assert!(!none.status.success() && !world.path("none.tar").exists());

    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    drop(kfda);
    fs::remove_dir_all(world.settings().with_file_name("store")).expect("the store is gone");

    for (archive, says) in [
        ("lodging.tar", "our answer to it"),
        ("refused.tar", "our answer to it"),
        ("application.tar", "the receipt of"),
    ] {
        let (intact, told) = verify(&world, archive, "gateway.pem");
        assert!(intact && told.contains(says) && !told.contains("not shown"), "{archive}: {told} (P18)");
    }
    let octets = fs::read(world.path("elsewhere/application.tar")).expect("is there");
    let whole = unpack(&octets.clone().into()).expect("an archive");
    let readme = String::from_utf8_lossy(whole["README.txt"].held());
    assert!(
        readme.contains("delivery.delivered") && readme.contains("Its delivery is delivered"),
        "{readme}"
    );

    let check = |what: &str, change: &dyn Fn(&mut BTreeMap<String, Octets>), says: &str| {
        let mut files = whole.clone();
        change(&mut files);
        let packed =
            pack(files.iter().map(|(name, octets)| (name.as_str(), octets.clone()))).expect("packed");
        fs::write(world.path("elsewhere/tampered.tar"), packed.held()).expect("written");
        let (intact, told) = verify(&world, "tampered.tar", "gateway.pem");
        assert!(!intact && told.contains(says), "{what}: {told} (P18, S26)");
    };
    let flip = |files: &mut BTreeMap<String, Octets>, name: &str| {
        let mut octets = files[name].held().to_vec();
        let middle = octets.len() / 2;
        octets[middle] ^= 1;
        files.insert(name.to_owned(), octets.into());
    };
    for name in whole.keys().filter(|name| !name.starts_with("manifest")) {
        check("an octet", &|files| flip(files, name), &format!("{name}: its octets are not"));
    }
    check("the manifest", &|files| flip(files, "manifest.json"), "manifest");
    check("no receipt", &|files| drop(files.remove("receipt")), "receipt: it is missing");
    check(
        "put in",
        &|files| drop(files.insert("answer".to_owned(), files["receipt"].clone())),
        "answer: the manifest",
    );
    fs::write(world.path("elsewhere/cut.tar"), &octets[..octets.len() / 2]).expect("written");
    let (intact, told) = verify(&world, "cut.tar", "gateway.pem");
    assert!(!intact, "{told}");
    let other = world.path("pki/broker/signing.pem");
    let (intact, told) = verify(&world, "application.tar", other.to_str().expect("is text"));
    assert!(!intact && told.contains("none of the keys that are trusted"), "{told} (S4)");
}
