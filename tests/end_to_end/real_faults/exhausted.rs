//! The gateway may open no more files and connections than it has: who cannot be answered comes again, what cannot be sent
//! is sent later, and when there is room again everything goes on (P1, P2, P13). And it says so when it cannot start.

use std::sync::Arc;

use gwanmun::model::Payload;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::load::{
    Load, PARTNERS, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_is_lost, play,
};
use crate::correspondent::Correspondent;
use crate::process::{PROGRAM, Process, until};
use crate::world::{World, attachment};

const SENDERS: usize = 4;
/// Lodgings before, while and after there is no descriptor left.
const EACH: u32 = 4;
/// What stands in a file of its own, and not in the database.
const LARGE: usize = 300_000;
/// Serials of what is posted beside the load.
const BESIDE: u32 = 600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_descriptors_loses_nothing_and_goes_on_when_it_has_some() {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let _running = play(&world, &PARTNERS).await;
    let mut gateway = world.serve().await;
    let load = Load::begin(&world, &broker, SENDERS);
    load.allow(EACH);
    until("some are acknowledged", async || (load.acknowledged() == EACH).then_some(())).await;

    // What it has open it keeps; it gets nothing more.
    let pid = Pid::from_raw(i32::try_from(gateway.id()).expect("is small"));
    let before = prlimit(pid, Resource::Nofile, getrlimit(Resource::Nofile)).expect("is ours to limit");
    let none = Rlimit { current: Some(0), ..before };
    prlimit(pid, Resource::Nofile, none).expect("is ours to limit");
    load.allow(EACH);
    let mut large = lodging(&world, &broker, BESIDE, vec![scan()]);
    until("it has met its limit", async || {
        gateway.check();
        large.acknowledgment = answered(&broker, &large.sealed).await;
        let met = gateway.said().matches("Too many open files").count();
        (met > 2 && large.acknowledgment.is_none()).then_some(())
    })
    .await;

    prlimit(pid, Resource::Nofile, before).expect("is ours to limit");
    load.allow(EACH);
    until("the large one is taken", async || {
        gateway.check();
        large.acknowledgment = answered(&broker, &large.sealed).await;
        large.acknowledgment.as_ref().map(drop)
    })
    .await;
    until("all are acknowledged", async || (load.acknowledged() == 3 * EACH).then_some(())).await;
    let mut posted = load.end().await;
    posted.push(large);
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_descriptors_ends_with_the_reason() {
    let world = World::new();
    let settings = world.settings().to_str().expect("is text");
    for descriptors in [9, 12, 15, 18] {
        let script = format!("ulimit -n {descriptors}; exec {PROGRAM} serve --config {settings}");
        let mut gateway = Process::start_other("sh", world.path("gateway.log"), ["-c", &script]);
        assert_ne!(gateway.ended().await, 0, "with {descriptors} descriptors:\n{}", gateway.said());
        let said = gateway.said();
        assert!(said.contains("Too many open files"), "with {descriptors} descriptors:\n{said}");
        assert!(!said.contains("panicked at"), "with {descriptors} descriptors:\n{said}");
    }
    world.serve().await;
}

fn scan() -> Payload {
    attachment("scan.pdf", "application/pdf", &vec![b'%'; LARGE])
}
