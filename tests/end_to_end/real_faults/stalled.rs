//! A disk that stalls in a start, and under a message that is being decided: nobody is answered early, operators are answered
//! meanwhile, and everything goes on when the disk does (P1, P2, P14).

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use gwanmun::model::Sealed;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::load::{PARTNERS, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_is_lost, play};
use crate::correspondent::Correspondent;
use crate::process::{PROGRAM, Process, until};
use crate::world::World;

/// So long takes a call to the disk that stalls: longer than anybody waits here.
const STALL: u64 = 600;
/// So long a sender waits in vain.
const PATIENCE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_disk_that_stalls_answers_nobody_and_goes_on_with_it() {
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let mut posted = Vec::new();
    // A store that is made, and one that holds what is owed.
    for life in 1..=2 {
        let mut one = lodging(&world, &broker, life, Vec::new());
        let mut gateway = stalled(&world);
        // A start on a store that is there may have nothing to sync: then the first message meets the disk.
        stalls(&mut gateway, &broker, &one.sealed).await;
        assert_eq!(store.exists(), life == 2, "life {life}: a store that is not whole has no name");
        let tracer = tracer(&gateway).expect("it is traced");
        kill_process(Pid::from_raw(tracer).expect("a process"), Signal::KILL).expect("was started here");
        gateway = world.ready(gateway).await;
        one.acknowledgment =
            until("it goes on", async || answered(&broker, &one.sealed).await.map(Some)).await;
        posted.push(one);
        gateway.kill();
    }
    let _running = play(&world, &PARTNERS).await;
    let mut gateway = world.serve().await;
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_stalls_under_a_decision_holds_it_up_and_loses_nothing() {
    let world = Arc::new(World::new());
    let broker = Correspondent::new(&world, "broker");
    let _running = play(&world, &PARTNERS).await;
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let mut first = world.serve().await;
    let mut posted = vec![lodging(&world, &broker, 1, Vec::new())];
    posted[0].acknowledgment = answered(&broker, &posted[0].sealed).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    first.kill();
    // A process that has read nothing of it yet.
    let mut gateway = world.serve().await;
    let (id, stall) = (gateway.id().to_string(), format!("inject=pread64:delay_enter={STALL}s"));
    let files = ["gwanmun.db", "gwanmun.db-wal"].map(|name| store.join(name).display().to_string());
    let [database, log] = &files;
    let arguments = [
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-p",
        &id,
        "-P",
        database,
        "-P",
        log,
        "-e",
        "trace=pread64",
        "-e",
        &stall,
    ];
    let mut strace = Process::start_other("strace", world.path("strace.log"), arguments);
    until("strace is attached", async || tracer(&gateway)).await;
    // A repeat is known from what is stored, and a new message is not: both are looked up.
    let mut one = lodging(&world, &broker, 2, Vec::new());
    stalls(&mut gateway, &broker, &one.sealed).await;
    is_unanswered(&broker, &posted[0].sealed).await;
    assert!(!world.ask_text("/live").await.is_empty(), "operators are answered meanwhile");
    strace.kill();
    one.acknowledgment = until("it goes on", async || answered(&broker, &one.sealed).await.map(Some)).await;
    posted.push(one);
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &store);
}

/// The gateway, whose every sync takes so long.
fn stalled(world: &World) -> Process {
    let stall = format!("inject=fsync,fdatasync:delay_enter={STALL}s");
    let settings = world.settings().to_str().expect("is text");
    // The tracer stands aside: the process is the gateway's.
    let traced = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &stall];
    let arguments = traced.into_iter().chain([PROGRAM, "serve", "--config", settings]);
    Process::start_other("strace", world.path("gateway.log"), arguments)
}

/// Waits until a thread of the gateway stands in a call for as long as somebody who posts has patience.
async fn stalls(gateway: &mut Process, broker: &Correspondent, sealed: &Sealed) {
    let standing = |gateway: &Process| -> BTreeSet<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", gateway.id())).expect("it runs").flatten();
        let stands = |thread: &fs::DirEntry| {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            status.contains("State:\tt (tracing stop)")
        };
        threads.filter(stands).map(|thread| thread.file_name().to_string_lossy().into_owned()).collect()
    };
    until("the disk stalls", async || {
        gateway.check();
        let before = standing(gateway);
        is_unanswered(broker, sealed).await;
        standing(gateway).iter().any(|thread| before.contains(thread)).then_some(())
    })
    .await;
}

/// Who posts it has no answer while he waits.
async fn is_unanswered(broker: &Correspondent, sealed: &Sealed) {
    let early = timeout(PATIENCE, answered(broker, sealed)).await;
    assert!(matches!(early, Err(_) | Ok(None)), "P1: somebody is answered before the disk is: {early:?}");
}

/// Which process traces it.
fn tracer(gateway: &Process) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:\t"))?;
    line.parse().ok().filter(|tracer| *tracer != 0)
}
