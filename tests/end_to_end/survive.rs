//! The gateway dies by SIGKILL again and again while a case runs: the case completes all the same, and every partner
//! handed each business message on exactly once (P1 to P4, P6).

use std::collections::{BTreeMap, BTreeSet};

use gwanmun::model::Digest;
use gwanmun::practice::{Ending, Entry, Received};

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, until};
use crate::world::{Lodging, World};

/// Agencies that decide quickly, one after the other.
const AGENCIES: [(&str, &str); 3] =
    [("kfda", "ACCEPT,0s;APPROVE,1s"), ("npqs", "ACCEPT,0s;APPROVE,2s"), ("kpta", "ACCEPT,0s;APPROVE,3s")];

#[tokio::test(flavor = "multi_thread")]
async fn a_case_completes_however_often_the_gateway_dies() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let [first_agency, late @ ..] = AGENCIES;
    let mut running = play(&world, &[first_agency]).await;
    let mut gateway = world.serve().await;

    let lodging = world.lodging(1);
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads.clone()));
    let answer = broker.post(&sealed).await;
    assert_eq!(broker.read(&answer, &sealed), Told::Acknowledged);
    restart(&world, &mut gateway).await; // after accept
    assert_eq!(broker.post(&sealed).await.body, answer.body, "the acknowledgment outlives the gateway");

    // Between sends: two agencies are not there yet.
    heard(&world, "kfda", "its application", |entry| entry.action.starts_with("GOVCBRX01")).await;
    restart(&world, &mut gateway).await;
    for (name, script) in late {
        running.push(world.play(name, &["--script", script]).await);
    }
    // Before a result: accepted, not decided.
    heard(&world, "broker", "that an agency has accepted", |entry| entry.says == "accepted").await;
    restart(&world, &mut gateway).await;
    // After a result.
    heard(&world, "broker", "the first result", |entry| entry.says == "approved").await;
    restart(&world, &mut gateway).await;
    // After the last one, before anything is cleared.
    heard(&world, "customs", "that everything is collected", |entry| entry.says.starts_with("all_collected"))
        .await;
    restart(&world, &mut gateway).await;
    heard(&world, "broker", "that the goods are cleared", is_clearance).await;
    completed(&world, &lodging, &mut running).await;
}

//= ebms2 6.1 MUST: after a crash messages are processed as if nothing had happened
#[tokio::test(flavor = "multi_thread")]
async fn a_case_completes_though_the_gateway_dies_at_everything_it_does_first() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let mut running = play(&world, &AGENCIES).await;
    let mut gateway = world.serve().await;
    let lodging = world.lodging(1);
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads.clone()));
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);

    let mut met = BTreeSet::new();
    until("the goods are cleared", async || {
        if !events(&gateway).is_subset(&met) {
            gateway.kill();
            // Also what it did between the look and its death.
            met.extend(events(&gateway));
            gateway = world.serve().await;
        }
        world.received("broker").iter().any(is_clearance).then_some(())
    })
    .await;
    // A life may end between a commit and its line in the log: what happened is what the record holds.
    let timeline = world.ask(&format!("/cases/{}/timeline", lodging.declaration)).await;
    let timeline = timeline.as_array().expect("is a list");
    let recorded: BTreeSet<_> = timeline.iter().filter_map(|entry| entry["event"].as_str()).collect();
    for event in ["delivery.attempted", "delivery.delivered", "application.notice", "application.result"] {
        assert!(recorded.contains(event), "{event} is in the record: {recorded:?}; seen in the log: {met:?}");
    }
    assert!(met.len() > 5, "it died at several events: {met:?}");
    completed(&world, &lodging, &mut running).await;
}

/// Starts broker, customs and these agencies.
async fn play(world: &World, agencies: &[(&str, &str)]) -> Vec<Process> {
    let mut running = vec![world.play("broker", &[]).await];
    running.push(world.play("customs", &["--customs-delay", "100ms"]).await);
    for (name, script) in agencies {
        running.push(world.play(name, &["--script", script]).await);
    }
    running
}

/// The kinds of events that the gateway's log has, over all its lives.
fn events(gateway: &Process) -> BTreeSet<String> {
    let said = gateway.said();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter_map(|line| line["event"].as_str().map(str::to_owned)).collect()
}

fn is_clearance(entry: &Received) -> bool {
    entry.says == "status 13"
}

/// Everything has its end, once.
async fn completed(world: &World, lodging: &Lodging, running: &mut [Process]) {
    // Notices may come after what they announce, and after everything else.
    until("every partner has handed on as much as it shall", async || {
        let has_all = |(partner, expected): &(&str, Counts)| {
            world.received(partner).len() >= expected.iter().map(|(_, count)| count).sum::<usize>()
        };
        EXPECTED.iter().all(has_all).then_some(())
    })
    .await;
    until("every delivery is acknowledged", async || {
        let deliveries = world.list("/deliveries").await;
        deliveries.iter().all(|delivery| delivery["state"] == "delivered").then_some(())
    })
    .await;
    until("every message of a partner has its end", async || {
        PARTNERS.iter().all(|name| open_messages(world, name) == 0).then_some(())
    })
    .await;
    for partner in running {
        partner.check();
    }
    each_handed_on_once(world, &lodging.payloads.iter().map(|payload| payload.digest).collect());
    conserved(world).await;
    let case = world.ask(&format!("/cases/{}", lodging.declaration)).await;
    assert_eq!(case["state"], "cleared", "{case}");
}

const PARTNERS: [&str; 5] = ["broker", "customs", "kfda", "npqs", "kpta"];

/// SIGKILL, and a start on the same directory.
async fn restart(world: &World, gateway: &mut Process) {
    gateway.kill();
    *gateway = world.serve().await;
}

async fn heard(world: &World, partner: &str, what: &str, is_it: impl Fn(&Received) -> bool) {
    until(&format!("{partner} hears {what}"), async || {
        world.received(partner).iter().any(&is_it).then_some(())
    })
    .await;
}

/// Messages of a partner's own whose end is not known.
fn open_messages(world: &World, partner: &str) -> usize {
    let (mut sent, mut ended) = (0, 0);
    for entry in world.journal(partner) {
        match entry {
            Entry::Sent(_) => sent += 1,
            Entry::Ended(end) => {
                assert_eq!(end.how, Ending::Acknowledged, "{partner}: {}", end.reason);
                ended += 1;
            }
            Entry::Received(_) | Entry::Signal(_) => {}
        }
    }
    sent - ended
}

/// What somebody handed on, by what it means, and how often.
type Counts = &'static [(&'static str, usize)];

/// What each partner hands on of a lodging.
const EXPECTED: [(&str, Counts); 5] = [
    (
        "broker",
        &[
            ("GOVCBR023 status 13", 1),
            ("GOVCBRFS7 approved", 1),
            ("GOVCBRR99 accepted", 1),
            ("GOVCBRRBH accepted", 3),
            ("GOVCBRX51 approved", 1),
            ("GOVCBRX52 approved", 1),
            ("GOVCBRXS2 all_collected favourable", 1),
            ("GOVCBRXS2 first_result", 1),
        ],
    ),
    (
        "customs",
        &[
            ("GOVCBR929 1 line(s)", 1),
            ("GOVCBRFS7 approved", 1),
            ("GOVCBRX51 approved", 1),
            ("GOVCBRX52 approved", 1),
            ("GOVCBRXS2 all_collected favourable", 1),
            ("GOVCBRXS2 first_result", 1),
        ],
    ),
    ("kfda", &[("GOVCBRX01 1 item(s)", 1)]),
    ("npqs", &[("GOVCBRX02 1 item(s)", 1)]),
    ("kpta", &[("GOVCBRFR2 1 item(s)", 1)]),
];

/// What each partner handed on: no more, no less, and nothing twice.
fn each_handed_on_once(world: &World, lodged: &BTreeSet<Digest>) {
    let mut passed_on = BTreeSet::new();
    for (partner, expected) in EXPECTED {
        let mut counts = BTreeMap::new();
        for entry in world.received(partner) {
            *counts.entry(format!("{} {}", entry.action, entry.says)).or_insert(0) += 1;
            passed_on.extend(entry.digest);
            passed_on.extend(entry.attachments.iter().map(|(_, digest)| *digest));
        }
        let counts: Vec<_> = counts.iter().map(|(what, count)| (what.as_str(), *count)).collect();
        assert_eq!(counts, expected, "{partner}");
    }
    assert!(lodged.is_subset(&passed_on), "every document and attachment arrived octet for octet");
}

/// What the gateway took in is what partners sent; what it sent is what partners took in.
async fn conserved(world: &World) {
    let (mut sent, mut received) = (BTreeSet::new(), BTreeSet::new());
    for partner in PARTNERS {
        for entry in world.journal(partner) {
            match entry {
                Entry::Sent(entry) => assert!(sent.insert(entry.message_id.to_string())),
                Entry::Received(entry) => {
                    let id = entry.message_id.to_string();
                    assert!(received.insert(id), "{partner} handed {} on twice", entry.message_id);
                }
                Entry::Ended(_) | Entry::Signal(_) => {}
            }
        }
    }
    let ids = |listed: Vec<serde_json::Value>, id: fn(&serde_json::Value) -> &serde_json::Value| {
        let ids = listed.iter().map(|item| id(item).as_str().expect("is an id").to_owned());
        ids.collect::<BTreeSet<_>>()
    };
    let mut deliveries = world.list("/deliveries").await;
    // Partners note no signals.
    deliveries.retain(|delivery| delivery["purpose"]["kind"] != "signal");
    let delivered = ids(deliveries, |delivery| &delivery["message_id"]);
    assert_eq!(delivered, received);
    let taken = ids(world.list("/messages").await, |message| &message["key"]["message_id"]);
    assert_eq!(taken.len(), sent.len() + 1, "the lodging and what partners sent");
    assert!(sent.is_subset(&taken));
}
