//! The disk fails a sync (P10): nobody hears anything after it, the sync is not tried again, the exit code is 3; the
//! next start takes up what is there. The syncs of the real program are made to fail by strace.

use std::sync::Arc;

use gwanmun::model::{Payload, Sealed};

use crate::correspondent::{Correspondent, Told};
use crate::process::{Process, run, until};
use crate::world::{World, attachment};

/// The exit code for a store that failed or cannot be opened.
const STORE_FAILED: i32 = 3;

/// Who post at once while the disk fails.
const SENDERS: u32 = 4;

//= ebms2 6.1 MUST: what could not be stored is not acknowledged
#[tokio::test(flavor = "multi_thread")]
async fn when_the_log_of_the_database_is_not_synced_nobody_is_answered() {
    nobody_is_answered(1_000, "gwanmun.db-wal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_file_of_a_large_message_is_not_synced_nobody_is_answered() {
    nobody_is_answered(400_000, "bodies/").await;
}

/// Messages of so many octets meet a sync that fails, of a file with this in its name.
async fn nobody_is_answered(octets: usize, syncs: &str) {
    let world = World::new();
    for partner in ["broker", "customs", "kfda", "kpta", "npqs"] {
        let file = format!("partners/{partner}.toml");
        world.edit(&file, "retries = 60\nretry_interval = \"2s\"", "retries = 1\nretry_interval = \"20m\"");
    }
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let mut gateway = world.serve().await;
    let before = lodging(&world, &broker, 1, Vec::new());
    assert_eq!(broker.ask(&before).await, Told::Acknowledged);
    let owed = world.list("/deliveries").await.len();
    until("no partner was reached: nothing is due any more", async || {
        (gateway.said().matches("delivery.failed-attempt").count() == owed).then_some(())
    })
    .await;

    let mut strace = failing_syncs(&world, &gateway);
    strace.says("attached").await;
    let posting: Vec<_> = (1..=SENDERS)
        .map(|place| {
            let large = attachment("scan.pdf", "application/pdf", &vec![b'x'; octets]);
            let sealed = lodging(&world, &broker, 1 + place, vec![large]);
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                let answer = broker.try_post(&sealed).await;
                (sealed, answer)
            })
        })
        .collect();
    let mut unanswered = Vec::new();
    for posting in posting {
        let (sealed, answer) = posting.await.expect("does not panic");
        assert!(answer.is_err(), "P10: somebody was answered: {answer:?}");
        unanswered.push(sealed);
    }
    assert_eq!(gateway.ended().await, STORE_FAILED, "{}", gateway.said());
    assert!(gateway.said().contains("store.failed"), "{}", gateway.said());
    strace.ended().await;
    let traced = world.read(TRACE);
    let tried: Vec<_> = traced.lines().filter(|line| line.contains("sync(")).collect();
    assert_eq!(tried.len(), 1, "P10: no sync is tried again: {traced}");
    assert!(tried[0].contains(syncs) && tried[0].contains("(INJECTED)"), "{syncs}: {traced}");

    let _gateway = world.serve().await;
    assert_eq!(broker.ask(&before).await, Told::Acknowledged, "P1: what was acknowledged is there");
    for sealed in &unanswered {
        assert_eq!(broker.ask(sealed).await, Told::Acknowledged, "what nobody heard of is taken");
    }
}

/// Lets every sync of the running gateway fail from the time at which strace says that it is attached.
fn failing_syncs(world: &World, gateway: &Process) -> Process {
    let (id, trace) = (gateway.id().to_string(), world.path(TRACE));
    let trace = trace.to_str().expect("is text");
    let arguments = ["-f", "-y", "-p", &id, "-o", trace, "-e", SYNCS, "-e", FAIL];
    Process::start_other("strace", world.path("strace.log"), arguments)
}

/// What strace saw.
const TRACE: &str = "syncs.trace";
const SYNCS: &str = "trace=fsync,fdatasync";
const FAIL: &str = "inject=fsync,fdatasync:error=EIO";

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_opened_is_told_by_the_same_exit_code() {
    let world = World::new();
    let mut gateway = world.serve().await;
    let check = |told: &str| {
        let settings = world.settings().to_str().expect("is text");
        let output = run(&world.path("."), ["serve", "--config", settings]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(STORE_FAILED), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    };
    check("is in use by another process");
    gateway.kill();
    world.edit("gwanmun.toml", "[store]\ndirectory = \"", "[store]\ndirectory = \"gwanmun.toml/");
    check("gwanmun.toml");
}

fn lodging(world: &World, broker: &Correspondent, serial: u32, more: Vec<Payload>) -> Sealed {
    let mut lodging = world.lodging(serial);
    lodging.payloads.extend(more);
    broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads))
}
