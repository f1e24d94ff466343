//! The clock of the gateway's machine is set, either way, while it works: every step lets the program under a library see
//! another time of day. Within what clocks may differ nobody notices, and no delivery ends by a step (P9).

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::count;
use super::load::{
    Load, PARTNERS, all_is_handed_on_once, all_is_proved, answered, lodging, nothing_is_lost, play,
};
use super::place::Place;
use crate::correspondent::Correspondent;
use crate::process::{PROGRAM, Process, until};
use crate::world::World;

/// Steps of a plain run.
const STEPS: u64 = 12;
/// So many are played in one world, which is checked whole after them.
const STEPS_OF_A_WORLD: u64 = 40;
/// Seconds that the clock is off, in turns: less than what a Timestamp may be ahead (`skew_max`, 300 s) even from one end
/// to the other.
const OFF: [i64; 6] = [140, -140, 0, -140, 140, 0];
/// Half an hour: more than what a Timestamp may be ahead, less than by what a delivery may end.
const FAR: i64 = 1_800;
const SENDERS: usize = 3;
/// Serials of what is posted beside the load.
const BESIDE: u32 = 700_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_under_load_loses_nothing_and_does_nothing_twice_p9() {
    let mut place = Place::of("clock-steps", count("CLOCK_STEPS", STEPS), "");
    while let Some(steps) = place.next(STEPS_OF_A_WORLD) {
        let done = steps.end;
        let lodgings = set_in_each(steps).await;
        place.reached(done, [lodgings]);
    }
    let (steps, [lodgings]) = place.so_far();
    println!("{steps} steps of the clock, {lodgings} lodgings, none lost, none twice");
}

/// A world in which the clock is set in each of these steps, checked whole at its end; gives how many lodgings there were.
async fn set_in_each(steps: Range<u64>) -> u64 {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let _running = play(&world, &PARTNERS).await;
    let clock = Clock::of(&world);
    clock.set(0);
    let (mut gateway, load) = (clock.serve(&world).await, Load::begin(&world, &broker, SENDERS));
    for step in steps.clone() {
        clock.set(OFF[usize::try_from(step).expect("is small") % OFF.len()]);
        if step % 4 == 3 {
            gateway.kill();
            gateway = clock.serve(&world).await;
        }
        let before = load.acknowledged();
        load.allow(2);
        until("it has taken something", async || {
            gateway.check();
            (load.acknowledged() > before).then_some(())
        })
        .await;
    }
    clock.set(0);
    let all = 2 * (steps.end - steps.start);
    until("all are acknowledged", async || (u64::from(load.acknowledged()) == all).then_some(())).await;
    let posted = load.end().await;
    nothing_is_lost(&broker, &posted).await;
    all_is_handed_on_once(&world, &PARTNERS, &posted).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
    posted.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_partner_outlasts_a_clock_that_is_half_an_hour_off_p9() {
    let world = Arc::new(World::new());
    let broker = Arc::new(Correspondent::new(&world, "broker"));
    let (late, early) = PARTNERS.split_last().expect("there are five");
    let _running = play(&world, early).await;
    let clock = Clock::of(&world);
    clock.set(0);
    let mut gateway = clock.serve(&world).await;
    let mut one = lodging(&world, &broker, BESIDE, Vec::new());
    one.acknowledgment = answered(&broker, &one.sealed).await;
    let open = async || {
        let listed = world.list("/deliveries").await;
        listed
            .iter()
            .filter(|it| ["pending", "awaiting_acknowledgment"].iter().any(|s| it["state"] == **s))
            .count()
    };
    until("only what is for the last one is open", async || {
        let said = gateway.said();
        let is_ours = |action: &&str| said.contains(&format!("{action} is ours"));
        let all_answered = ["GOVCBRR99", "GOVCBRX51", "GOVCBRX52"].iter().all(is_ours);
        (all_answered && open().await == 1).then_some(())
    })
    .await;

    for off in [FAR, -FAR, FAR] {
        clock.set(off);
        let attempts = gateway.said().matches("delivery.failed-attempt").count();
        // Whoever starts in a wrong time looks at what is due in it.
        gateway.kill();
        gateway = clock.serve(&world).await;
        if off > 0 {
            until("it has tried in vain", async || {
                (gateway.said().matches("delivery.failed-attempt").count() > attempts).then_some(())
            })
            .await;
        }
        assert_eq!(open().await, 1, "P9: {off} s off, and it still waits");
    }
    clock.set(0);
    gateway.kill();
    gateway = clock.serve(&world).await;
    let _late = play(&world, &[late]).await;
    all_is_handed_on_once(&world, &PARTNERS, &[one]).await;
    gateway.kill();
    all_is_proved(&world, &gwanmun::config::store_of(world.settings()).expect("the settings are in order"));
}

/// What the gateway takes for the time of day: the right time, and so many seconds.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn of(world: &World) -> Self {
        let library = fs::read_dir("/usr/lib").expect("is a directory").flatten();
        let mut library = library.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let library = library.find(|path| path.exists()).expect("libfaketime is there, see `make test-deps`");
        Self { file: world.path("clock"), library }
    }

    /// Sets it; seen by the next look at it.
    fn set(&self, off: i64) {
        let aside = self.file.with_extension("aside");
        fs::write(&aside, format!("{off:+}"))
            .and_then(|()| fs::rename(&aside, &self.file))
            .expect("can be set");
    }

    /// Starts the gateway under it.
    async fn serve(&self, world: &World) -> Process {
        let set = |name: &str, value: &Path| format!("{name}={}", value.display());
        let arguments = [
            set("LD_PRELOAD", &self.library),
            set("FAKETIME_TIMESTAMP_FILE", &self.file),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            PROGRAM.to_owned(),
            "serve".to_owned(),
            "--config".to_owned(),
            world.settings().display().to_string(),
        ];
        let gateway = Process::start_other("env", world.path("gateway.log"), arguments);
        world.ready(gateway).await
    }
}
