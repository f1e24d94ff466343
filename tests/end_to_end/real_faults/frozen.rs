//! The gateway is stopped where it stands and let go on (SIGSTOP, SIGCONT), and its disk stalls: senders hear nothing in
//! time and come again, and afterwards everything has happened once (P3, P4, P14).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{interval, timeout};

use super::count;
use super::load::{
    AGAIN, Load, PARTNERS, all_is_handed_on_once, all_is_proved, answered, clear_log, lodging,
    nothing_is_lost, nothing_panicked, play,
};
use super::place::Place;
use crate::correspondent::Correspondent;
use crate::process::{Process, until};
use crate::world::World;

/// Stops of a plain run.
const STOPS: u64 = 12;
/// It is stopped when it has said so many lines more; every fourth time in its start, when it has opened one of these.
const LINES: [usize; 6] = [1, 5, 9, 2, 17, 30];
const BEGUN: [&str; 3] = ["store/lock", "gwanmun.db-wal", "gateway.log"];
/// Each stop lasts until a sender has waited for so many seconds in vain.
const PATIENCE: u64 = 1;
/// Some stops last until others than that sender have given up, too: none of a plain run.
const LONG_STOPS: u64 = 0;
const LONG_PATIENCE: u64 = 150;
/// So many are played in one world, which is checked whole after them.
const STOPS_OF_A_WORLD: u64 = 40;
const SENDERS: usize = 3;
/// Serials of what is posted beside the load.
const BESIDE: u32 = 500_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_anywhere_and_let_go_on_loses_nothing_and_does_nothing_twice() {
    let stops = count("STOPS", STOPS);
    let long = [count("LONG_STOPS", LONG_STOPS), count("LONG_SECONDS", LONG_PATIENCE)];
    let mut place = Place::of("stops", stops, &format!("{long:?}"));
    while let Some(next) = place.next(STOPS_OF_A_WORLD) {
        let done = next.end;
        let counted = stopped_in_each(next, stops).await;
        place.reached(done, counted);
    }
    let (stops, [in_starts, lodgings]) = place.so_far();
    println!("{stops} stops, {in_starts} of them in a start; {lodgings} lodgings, none lost, none twice");
}

/// A world with these stops, of so many in all, checked whole at its end; gives how many were in a start, and how many
/// lodgings there were.
async fn stopped_in_each(next: Range<u64>, stops: u64) -> [u64; 2] {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let _running = play(&world, &PARTNERS).await;
    let load = Load::begin(&world, &broker, SENDERS);
    let settings = world.settings().to_str().expect("is text").to_owned();
    let start = || Process::start(world.path("gateway.log"), ["serve", "--config", &settings]);
    let (mut gateway, mut in_starts, mut beside) = (start(), 0, Vec::new());
    for stop in next {
        let place = usize::try_from(stop % LINES.len() as u64).expect("is small");
        if stop % 4 == 3 {
            gateway.kill();
            nothing_panicked(&world);
            clear_log(&world);
            gateway = start();
        }
        load.allow(1);
        let lines = |gateway: &Process| gateway.said().lines().count();
        let (from, before) = (lines(&gateway), load.acknowledged());
        until("it has done something", async || {
            gateway.check();
            let has_begun = stop % 4 == 3 && gateway.has_open(BEGUN[place % BEGUN.len()]);
            let has_gone_on = lines(&gateway) >= from + LINES[place] || load.acknowledged() > before;
            (has_begun || has_gone_on).then_some(())
        })
        .await;
        in_starts += u64::from(!gateway.said().contains("gateway.started"));
        gateway.signal(Signal::STOP);
        let mut one = lodging(&world, &broker, BESIDE + u32::try_from(stop).expect("is small"), Vec::new());
        let mut ticks = interval(AGAIN);
        let in_vain = async {
            loop {
                ticks.tick().await;
                assert_eq!(answered(&broker, &one.sealed).await, None, "who stands answers nobody");
            }
        };
        // That it ends is what a stop is.
        drop::<Result<(), _>>(timeout(length_of(stop, stops), in_vain).await);
        gateway.signal(Signal::CONT);
        one.acknowledgment =
            until("it goes on", async || answered(&broker, &one.sealed).await.map(Some)).await;
        beside.push(one);
    }
    let mut posted = load.end().await;
    posted.append(&mut beside);
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
    [in_starts, posted.len() as u64]
}

/// How long a stop lasts. The long ones are spread over all, and do not all find the gateway at the same work.
fn length_of(stop: u64, stops: u64) -> Duration {
    let every = stops / count("LONG_STOPS", LONG_STOPS).max(1);
    let is_long = every > 0 && count("LONG_STOPS", LONG_STOPS) > 0 && stop % every == stop / every % every;
    Duration::from_secs(if is_long { count("LONG_SECONDS", LONG_PATIENCE) } else { PATIENCE })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stalls_answers_nobody_early_and_everything_goes_on_after_it() {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let _running = play(&world, &PARTNERS).await;
    let mut gateway = world.serve().await;
    let load = Load::begin(&world, &broker, SENDERS);
    // Of these some have gone all their way, and some are anywhere on it.
    load.allow(8);
    until("some are acknowledged", async || (load.acknowledged() > 3).then_some(())).await;

    let (id, stall) = (gateway.id().to_string(), format!("inject=fsync,fdatasync:delay_enter={STALL}s"));
    let arguments = ["-f", "-qq", "-o", "/dev/null", "-p", &id, "-e", "trace=fsync,fdatasync", "-e", &stall];
    let mut strace = Process::start_other("strace", world.path("strace.log"), arguments);
    let is_traced = async || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        (!status.contains("TracerPid:\t0")).then_some(())
    };
    until("strace is attached", is_traced).await;
    let mut one = lodging(&world, &broker, BESIDE, Vec::new());
    let early = timeout(Duration::from_secs(PATIENCE), answered(&broker, &one.sealed)).await;
    assert!(matches!(early, Err(_) | Ok(None)), "P1: somebody is answered before the disk has it: {early:?}");
    assert!(!world.ask_text("/live").await.is_empty(), "operators are answered meanwhile");

    strace.kill();
    one.acknowledgment = until("it goes on", async || answered(&broker, &one.sealed).await.map(Some)).await;
    until("all are acknowledged", async || (load.acknowledged() == 8).then_some(())).await;
    gateway.check();
    let mut posted = load.end().await;
    posted.push(one);
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
}

/// So long takes a sync of the disk that stalls: longer than any sender waits here.
const STALL: u64 = 600;
