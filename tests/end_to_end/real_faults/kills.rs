//! The gateway dies by SIGKILL again and again, under load, at all sorts of moments; also while it starts.

use std::ops::Range;
use std::sync::Arc;

use super::count;
use super::load::{
    Load, PARTNERS, all_is_handed_on_once, all_is_proved, clear_log, nothing_is_lost, nothing_panicked, play,
};
use super::place::Place;
use crate::correspondent::Correspondent;
use crate::process::{Process, until};
use crate::world::World;

/// Cycles of a plain run.
const KILLS: u64 = 500;
/// It dies when it has said so many lines since its start; when it is none, in it, when it has opened its database.
const LINES: [usize; 8] = [0, 1, 6, 9, 14, 22, 35, 5];
/// So many are played in one world, which is checked whole after them: a run that is broken off loses no more.
const CYCLES_OF_A_WORLD: u64 = 500;
/// What is lodged in a cycle.
const LODGED: u32 = 1;
/// Who lodge at once.
const SENDERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_done_twice_however_often_the_gateway_is_killed_under_load() {
    let mut place = Place::of("kills", count("KILLS", KILLS), "");
    while let Some(cycles) = place.next(CYCLES_OF_A_WORLD) {
        let done = cycles.end;
        let counted = killed_in_each(cycles).await;
        place.reached(done, counted);
    }
    let (kills, [in_starts, lodgings]) = place.so_far();
    println!("{kills} kills, {in_starts} of them in a start; {lodgings} lodgings, none lost, none twice");
}

/// A world in which the gateway dies in each of these cycles, checked whole at its end; gives how often it died in a start,
/// and how many lodgings there were.
async fn killed_in_each(cycles: Range<u64>) -> [u64; 2] {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let mut running = play(&world, &PARTNERS).await;
    let load = Load::begin(&world, &broker, SENDERS);
    let settings = world.settings().to_str().expect("is text");
    let mut in_starts = 0;
    for cycle in cycles {
        clear_log(&world);
        load.allow(LODGED);
        let mut gateway = Process::start(world.path("gateway.log"), ["serve", "--config", settings]);
        let place = usize::try_from(cycle % LINES.len() as u64).expect("is small");
        // The last cycles have nothing to wait for when all is done: what is quiet is killed as it is.
        let before = load.acknowledged();
        until("it has done something", async || {
            gateway.check();
            let enough = match LINES[place] {
                0 => gateway.has_open("gwanmun.db"),
                lines => gateway.said().lines().count() >= lines,
            };
            (enough || load.acknowledged() > before + LODGED).then_some(())
        })
        .await;
        in_starts += u64::from(!gateway.said().contains("gateway.started"));
        gateway.kill();
        nothing_panicked(&world);
    }
    clear_log(&world);
    let mut gateway = world.serve().await;
    let posted = load.end().await;
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
    for partner in &mut running {
        partner.check();
    }
    [in_starts, posted.len() as u64]
}
