//! Each of the first syncs of a gateway fails, each in a life of its own (P10): those of a start and of what follows.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;

use super::count;
use super::load::{Load, all_is_proved, answered, clear_log, lodging, nothing_is_lost};
use super::meddled::{injected, meddled, meddled_at};
use super::place::Place;
use crate::correspondent::Correspondent;
use crate::process::{Process, run, until};
use crate::world::{World, attachment};

/// The exit code for a store that failed or cannot be opened.
const STORE_FAILED: i32 = 3;
/// Syncs that fail in a plain run, from the first to the last one.
const SYNCS: u64 = 5;
const LAST: u64 = 200;
/// Who lodge at once.
const SENDERS: usize = 2;
/// What strace saw.
const TRACE: &str = "syncs.trace";

#[tokio::test(flavor = "multi_thread")]
async fn whichever_sync_fails_nothing_is_answered_after_it_and_nothing_is_lost() {
    let world = Arc::new(World::new());
    for partner in ["broker", "customs", "kfda", "kpta", "npqs"] {
        let file = format!("partners/{partner}.toml");
        world.edit(&file, "retries = 60\nretry_interval = \"2s\"", "retries = 1\nretry_interval = \"20m\"");
    }
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let syncs = count("SYNCS", SYNCS);
    let mut place = Place::of("syncs", syncs, "");
    while let Some(next) = place.next(1) {
        let number = 1 + next.start * (LAST - 1) / (syncs - 1).max(1);
        drop(fs::remove_dir_all(&store));
        fs::write(world.path("gateway.log"), "").expect("is ours");
        fs::write(world.path(TRACE), "").expect("is ours");
        let mut gateway = failing(&world, number);
        let load = Load::begin(&world, &broker, SENDERS);
        load.allow(LAST as u32);
        assert_eq!(gateway.ended().await, STORE_FAILED, "sync {number}: {}", gateway.said());
        let posted = load.end().await;
        let said = gateway.said();
        assert!(!said.contains("panicked at"), "S24: {said}");
        let is_in_start = !said.contains("gateway.started");
        let traced = world.read(TRACE);
        let from_failed = traced.lines().skip_while(|line| !line.contains("(INJECTED)"));
        // A store that is not made to its end counts for nothing, and is made anew: its files may be closed as they are.
        // When what stands beside it cannot be synced in a start, the store is closed in order.
        let beside = traced.lines().any(|line| {
            line.contains("(INJECTED)")
                && ["/store/rules", "/store/keys", "/store>"].iter().any(|place| line.contains(place))
        });
        let is_closing = |line: &str| line.contains("/store/mark>") || line.contains("/store/gwanmun.db");
        let counts = |line: &&str| {
            line.contains("sync(")
                && !line.contains("store.making")
                && !(beside && is_in_start && is_closing(line))
        };
        let since: Vec<_> = from_failed.skip(1).filter(counts).collect();
        assert!(traced.contains("(INJECTED)"), "sync {number} fails: {traced}");
        assert!(since.is_empty(), "P10: after sync {number} has failed there is none: {since:#?}");
        if is_in_start {
            assert!(said.contains("error: the store: "), "it says why: {said}");
            assert!(posted.iter().all(|one| one.acknowledgment.is_none()), "nobody is answered");
        }
        let mut gateway = world.serve().await;
        nothing_is_lost(&broker, &posted).await;
        gateway.kill();
        all_is_proved(&world, &store);
        place.reached(next.end, [u64::from(is_in_start)]);
    }
    let (_, [in_starts]) = place.so_far();
    println!("{syncs} failed syncs, {in_starts} of them in a start; nothing lost");
}

/// SQLite syncs the directory of a log that it has made, and keeps to itself that it failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_log_may_lose_its_name_lets_nobody_be_answered_p10() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let [settings, directory, trace] =
        [world.settings(), &store, &world.path(TRACE)].map(|path| path.to_str().expect("is text").to_owned());
    // After an orderly stop there is no log, and everything else has its name.
    let mut gateway = world.serve().await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "{}", gateway.said());
    clear_log(&world);
    let strace = ["-f", "-qq", "-y", "-P", &directory, "-o", &trace, "-e", "trace=fsync,fdatasync"];
    let inject =
        ["-e", "inject=fsync,fdatasync:error=EIO", crate::process::PROGRAM, "serve", "--config", &settings];
    let arguments = strace.into_iter().chain(inject);
    let mut gateway = Process::start_other("strace", world.path("gateway.log"), arguments);
    until("it has started, or has its end", async || {
        (gateway.said().contains("gateway.started") || gateway.has_ended()).then_some(())
    })
    .await;
    let said = gateway.said();
    assert!(
        !said.contains("gateway.started"),
        "P1: a power cut could take the log of what it answers: {said}"
    );
    assert_eq!(gateway.ended().await, STORE_FAILED, "{said}");
    assert!(said.contains("error: the store: "), "it says why: {said}");
    assert!(world.read(TRACE).contains("/store>"), "it is that of the directory: {}", world.read(TRACE));
    let mut gateway = world.serve().await;
    let mut one = lodging(&world, &broker, 1, Vec::new());
    one.acknowledgment = answered(&broker, &one.sealed).await;
    nothing_is_lost(&broker, &[one]).await;
    gateway.kill();
    all_is_proved(&world, &store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_synced_in_its_file_ends_the_gateway_and_nobody_is_answered_p10() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let mut gateway = world.serve().await;
    // A file of the store from its first megabyte, before anything of it is verified.
    let scan = attachment("scan.pdf", "application/pdf", &vec![b'%'; 3 << 20]);
    let mut one = lodging(&world, &broker, 1, vec![scan]);
    let mut strace = meddled(&world, &gateway, "fsync,fdatasync", "error=EIO").await;
    one.acknowledgment = answered(&broker, &one.sealed).await;
    assert!(one.acknowledgment.is_none(), "nobody is answered");
    assert_eq!(gateway.ended().await, STORE_FAILED, "{}", gateway.said());
    let injected = injected(&world);
    let [failed] = &injected[..] else { panic!("after one that failed there is none: {injected:#?}") };
    assert!(failed.contains("/store/bodies/"), "it is that of the body: {failed}");
    strace.kill();
    let mut gateway = world.serve().await;
    nothing_is_lost(&broker, &[one]).await;
    gateway.kill();
    all_is_proved(&world, &store);
}

/// The log is copied into the database after the answer, and that fails; nobody commits anything more. A repeat is not answered
/// from a store that has failed, and the gateway ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_behind_an_answer_answers_no_repeat_p10() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    world.edit("gwanmun.toml", "free_bytes_min = 0", "free_bytes_min = 0\nlog_pages_max = 1");
    for partner in ["customs", "kfda", "kpta", "npqs"] {
        let file = format!("partners/{partner}.toml");
        world.edit(&file, "retries = 60\nretry_interval = \"2s\"", "retries = 1\nretry_interval = \"20m\"");
    }
    let mut gateway = world.serve().await;
    let mut one = lodging(&world, &broker, 1, Vec::new());
    one.acknowledgment = answered(&broker, &one.sealed).await;
    assert!(one.acknowledgment.is_some());
    until("nothing is due for minutes", async || {
        (gateway.said().matches("delivery.failed-attempt").count() == 4).then_some(())
    })
    .await;
    let mut strace =
        meddled_at(&world, &gateway, &store.join("gwanmun.db"), "fsync,fdatasync", "error=EIO").await;
    let declaration = world.lodging(1).declaration;
    let held = run(&world.path("."), ["store", "hold", &declaration, "--reason", "a court asks"]);
    assert!(held.status.success(), "it was committed before: {held:?}");
    until("the sync of the database has failed", async || (!injected(&world).is_empty()).then_some(())).await;
    assert_eq!(answered(&broker, &one.sealed).await, None, "P10");
    assert_eq!(gateway.ended().await, STORE_FAILED, "{}", gateway.said());
    strace.kill();
    let mut gateway = world.serve().await;
    nothing_is_lost(&broker, &[one]).await;
    gateway.kill();
    all_is_proved(&world, &store);
}

/// A gateway of which the sync with this number fails, counted in each of its threads.
fn failing(world: &World, number: u64) -> Process {
    let trace = world.path(TRACE);
    let settings = world.settings().to_str().expect("is text");
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={number}");
    let strace = [
        "-f",
        "--seccomp-bpf",
        "-y",
        "-o",
        trace.to_str().expect("is text"),
        "-e",
        "trace=fsync,fdatasync",
        "-e",
    ];
    let program = [&*inject, crate::process::PROGRAM, "serve", "--config", settings];
    Process::start_other("strace", world.path("gateway.log"), strace.into_iter().chain(program))
}
