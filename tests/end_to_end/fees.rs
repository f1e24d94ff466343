//! A fee from its notice to its confirmation, with the bank as a process of its own: a fee is never paid twice, also when
//! gateway or bank die by SIGKILL between the booking and its record (domain brief, 5.5; P1, P3).

use std::path::Path;
use std::process::Output;

use gwanmun::practice::{Ledger, LedgerEntry, Received};
use rustix::process::Signal;
use serde_json::Value;

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::World;

/// What the agency with the fee does: it goes on when that is paid.
const SCRIPT: &str = "ACCEPT,0s;FEE@30000,0s;REVIEW,0s;APPROVE,0s";

/// A world whose gateway asks the bank again soon, with a lodging, a broker and the agency that asks the fee.
async fn asked(bank: &[&str]) -> (World, Vec<Process>, Process, Option<Process>) {
    let world = World::new();
    let hasty = "retry_interval = \"100ms\"\nretry_interval_max = \"200ms\"\n";
    world.edit("gwanmun.toml", "retry_interval = \"2s\"\n", hasty);
    let bank = match bank {
        ["none"] => None,
        manners => Some(world.play_bank(manners).await),
    };
    let gateway = world.serve().await;
    let mut running = vec![world.play("broker", &[]).await];
    running.push(world.play("kfda", &["--script", SCRIPT]).await);
    let broker = Correspondent::new(&world, "broker");
    let lodging = world.lodging(1);
    let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
    assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);
    (world, running, gateway, bank)
}

/// The first message with this Action that a partner handed on.
async fn heard(world: &World, name: &str, action: &str) -> Received {
    until(&format!("{name} hears {action}"), async || {
        world.received(name).into_iter().find(|entry| &*entry.action == action)
    })
    .await
}

fn count(world: &World, name: &str, action: &str) -> usize {
    world.received(name).iter().filter(|entry| &*entry.action == action).count()
}

/// Orders the payment of the fee that the broker has heard of, with the ordinary command.
fn order(world: &World, fee: &Received, number: &str, amount: &str, account: &str) -> Output {
    let (notice, application) = (fee.document.as_deref().expect("numbered"), fee.about.as_deref());
    let application = application.expect("is about one");
    let text = format!(
        "<Declaration xmlns=\"urn:swgw:doc:PaymentOrder:1\"><TypeCode>GOVCBRXF2</TypeCode><ID>{number}</ID>\
         <IssueDateTime>2026-01-01T10:00:00+09:00</IssueDateTime><Declaration><ID>{application}</ID></Declaration>\
         <FeeNoticeID>{notice}</FeeNoticeID><FeeAmount currencyID=\"KRW\">{amount}</FeeAmount>\
         <Payer><Name>Broker</Name><AccountID>{account}</AccountID></Payer></Declaration>"
    );
    world.write("XF2.xml", &text);
    run(&world.path(""), ["send", "--config", "broker.toml", "XF2.xml"])
}

fn ordered(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn refused(output: &Output, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(why), "{told}");
}

fn bookings(ledger: &Path) -> Vec<LedgerEntry> {
    let entries = Ledger::entries(ledger).expect("is readable").into_iter();
    entries.filter(|entry| matches!(entry, LedgerEntry::Booked { .. })).collect()
}

/// Says what a command of ours prints about the running gateway.
fn told(world: &World, arguments: &[&str]) -> String {
    let all = arguments.iter().copied().chain(["--config", "gwanmun.toml"]);
    let ran = run(&world.path(""), all);
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Everybody has heard of one payment, once, and the agency has gone on to its result.
async fn paid_once(world: &World) {
    heard(world, "kfda", "GOVCBRXF3").await;
    heard(world, "broker", "GOVCBRXF3").await;
    until("the agency goes on", async || {
        world.received("broker").iter().any(|entry| &*entry.action == "GOVCBRX51").then_some(())
    })
    .await;
    assert_eq!(bookings(&world.ledger()).len(), 1, "one booking");
    assert_eq!((count(world, "kfda", "GOVCBRXF3"), count(world, "broker", "GOVCBRXF3")), (1, 1));
    assert!(told(world, &["payment", "list", "--json"]).trim() == "[]", "nothing is under way any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_refused_for_want_of_money_ordered_anew_paid_and_never_paid_again() {
    let (world, _running, _gateway, _bank) = asked(&["--without-funds", "000-00-EMPTY"]).await;
    let fee = heard(&world, "broker", "GOVCBRXF1").await;
    let number = fee.document.clone().expect("is numbered");
    refused(&order(&world, &fee, "PO-0", "29999", "088-22-1144"), "and the order pays 29999 KRW");
    ordered(&order(&world, &fee, "PO-1", "30000", "000-00-EMPTY"));
    let no = heard(&world, "broker", "GOVCBRXF3").await;
    assert!(no.text.expect("is text").contains("the account does not cover the amount"));
    refused(&order(&world, &fee, "PO-1", "30000", "088-22-1144"), "a new order needs a number of its own");
    assert_eq!(count(&world, "kfda", "GOVCBRXF3"), 0, "the agency hears of no refusal");

    ordered(&order(&world, &fee, "PO-2", "30000", "088-22-1144"));
    heard(&world, "kfda", "GOVCBRXF3").await;
    heard(&world, "broker", "GOVCBRX51").await;
    refused(&order(&world, &fee, "PO-3", "30000", "088-22-1144"), "was paid already, by order PO-2");
    let booked = bookings(&world.ledger());
    assert_eq!(booked.len(), 1, "{booked:?}");
    let shown = told(&world, &["case", "show", &number]);
    for expected in ["PO-1", "refused", "PO-2", "paid", "B-000001", "30000 KRW"] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    let timeline = told(&world, &["case", "timeline", &number]);
    for event in ["application.fee", "payment.ordered", "payment.asked", "payment.refused", "payment.paid"] {
        assert!(timeline.contains(event), "{event} in {timeline}");
    }
    let metrics = world.ask_text("/metrics").await;
    assert!(metrics.contains("gwanmun_payment_attempts_total{outcome=\"paid\"} 1"), "{metrics}");
    assert!(metrics.contains("gwanmun_payments_in_hand 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_between_booking_and_record_pays_once() {
    // The first answer never comes: whoever asked for it is dead by then.
    let (world, _running, mut gateway, _bank) = asked(&["--bank-script", "DROP"]).await;
    let fee = heard(&world, "broker", "GOVCBRXF1").await;
    ordered(&order(&world, &fee, "PO-1", "30000", "088-22-1144"));
    until("the bank has booked it", async || (bookings(&world.ledger()).len() == 1).then_some(())).await;
    gateway.kill();
    assert_eq!(count(&world, "broker", "GOVCBRXF3"), 0, "nobody has heard of it");
    let _gateway = world.serve().await;
    paid_once(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_dies_between_booking_and_answer_books_once() {
    let (world, _running, _gateway, bank) = asked(&["--bank-script", "DROP"]).await;
    let fee = heard(&world, "broker", "GOVCBRXF1").await;
    ordered(&order(&world, &fee, "PO-1", "30000", "088-22-1144"));
    until("the bank has booked it", async || (bookings(&world.ledger()).len() == 1).then_some(())).await;
    bank.expect("it runs").kill();
    let _bank = world.play_bank(&[]).await;
    paid_once(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bank_is_away_an_order_waits_in_sight_of_the_operator() {
    let (world, _running, gateway, _none) = asked(&["none"]).await;
    let fee = heard(&world, "broker", "GOVCBRXF1").await;
    ordered(&order(&world, &fee, "PO-1", "30000", "088-22-1144"));
    let line = until("it was tried in vain", async || {
        let lines = world.list("/payments").await;
        lines.into_iter().find(|line| line["reason"].as_str().is_some_and(|reason| !reason.is_empty()))
    })
    .await;
    assert_eq!((&line["state"], &line["order"]), (&Value::from("asked"), &Value::from("PO-1")), "{line}");
    refused(&order(&world, &fee, "PO-2", "30000", "088-22-1144"), "is being paid already, by order PO-1");
    assert!(world.ask_text("/metrics").await.contains("gwanmun_payments_in_hand 1"));

    let _bank = world.play_bank(&[]).await;
    let number = fee.document.as_deref().expect("is numbered");
    // It may have been asked by itself before we say so.
    let retried = ["payment", "retry", number, "--reason", "the bank is back", "--config", "gwanmun.toml"];
    let ran = run(&world.path(""), retried);
    let said =
        String::from_utf8_lossy(if ran.status.success() { &ran.stdout } else { &ran.stderr }).into_owned();
    assert!(said.contains("asked about PO-1 at once") || said.contains("no payment of this case"), "{said}");
    paid_once(&world).await;

    // A stop with nothing in hand is a clean one.
    let mut gateway = gateway;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0);
}
