//! Every state that a power cut may leave of the real store, at every point of a message's whole life (P1, P2, P14, P18).
//!
//! A case of the simulation is played on the real store by a process under strace: received, accepted, routed, sent,
//! acknowledged, answered, relayed, joined and at last purged, with payloads in files, one spooled and carried on in a piece, checkpoints that let the log begin
//! again, the death of the process, an orderly stop, and a start after each. `recording` is what it asked of its disk, `disk` is what may be left of that, `states` builds
//! each such state in a directory, opens it with the real store, and checks: it opens by itself; it holds exactly what the
//! in-memory model holds after some number of whole batches, none of those that were answered missing; the conservation law,
//! the audit chain and every checksum hold; and it takes more.
//!
//! Not every subset of every sector is opened. Of what is left out each state reads like one that is opened, because
//!
//! - frames of the log count up to the first whose chained checksum is wrong. A frame with any sector missing is such a
//!   frame, so a log with holes reads like the log before its first hole; for every sector there is a state that lacks it
//!   alone;
//! - while pages are copied from the log into the database, they are read from the log;
//! - a file aside is swept, and a payload is read against the digest that names it;
//! - of the two lines of the mark the newer one counts, and passes wherever an older and a newer one do;
//! - a store in the making is cleared away unread.
//!
//! `states_that_pass_for_equal_are_equal` opens states that these arguments leave out. Why strace and not a file layer of
//! SQLite: `docs/decisions.md`.

mod disk;
mod flips;
mod life;
mod log;
mod plants;
mod recording;
mod states;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;

use gwanmun::model::Digest;

use plants::{FailedSync, Plant};
use recording::Call;
use states::points;

/// A life as it was recorded.
struct Recorded {
    calls: Vec<Call>,
    /// What the store holds after each number of batches.
    expected: Vec<Digest>,
}

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    let root = states::place();
    let expected = root.path().with_extension("expected");
    let place = root.path().join(states::STORE);
    let variables = [(life::PLACE, &*place), (life::EXPECTED, &*expected)];
    let calls = recording::record("crash_states::child_that_lives_the_life", root.path(), &variables);
    let lines = fs::read_to_string(&expected).expect("the child wrote it");
    for gone in [&life::model_beside(&expected), &expected] {
        fs::remove_file(gone).expect("it is there");
    }
    let expected = lines.lines().map(|line| line.parse().expect("a digest")).collect();
    Recorded { calls, expected }
});

/// The child: lives the life. Does nothing when it runs as a plain test.
#[test]
fn child_that_lives_the_life() {
    if let (Some(place), Some(expected)) = (named(life::PLACE), named(life::EXPECTED)) {
        life::play(&place, &expected);
    }
}

/// The path that a variable names, where there is one.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var(variable).ok().map(PathBuf::from)
}

/// Its child: dies with the store open.
#[test]
fn child_that_dies() {
    if let (Some(place), Some(expected)) = (named(life::DYING), named(life::EXPECTED)) {
        life::play_and_die(&place, &expected);
    }
}

#[test]
fn every_state_that_a_crash_leaves_is_whole() {
    whole_in_every_state(&RECORDED.calls);
}

/// A process dies after the sync of a commit failed, which is therefore not answered; but whoever reads sees it, and the next
/// start answers a repeat from it. From then on no power cut takes it away (P1, P10).
#[test]
fn what_a_failed_sync_left_is_durable_before_it_is_answered_p1_p10() {
    let FailedSync { calls, settled } = plants::failed_sync(&RECORDED.calls);
    whole_in_every_state(&calls);
    assert!(settled.len() > 1, "the log is written again, and synced");
    for missing in settled {
        let mut planted = calls.clone();
        planted.remove(missing);
        let lost = points(&planted).iter().filter(|point| point.place > missing).any(|point| {
            let mut lost = false;
            point.each_state(false, &mut |_, state| {
                lost = state.check(point, &RECORDED.expected).is_err();
                !lost
            });
            lost
        });
        assert!(lost, "without call {missing} a power cut takes what was answered");
    }
}

fn whole_in_every_state(calls: &[Call]) {
    let points = points(calls);
    let (next, states, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            point.each_state(false, &mut |_, state| {
                states.fetch_add(1, Ordering::Relaxed);
                if let Err(finding) = state.check(point, &RECORDED.expected) {
                    failed.lock().expect("no panic").push(format!("before call {}: {finding}", point.place));
                }
                true
            });
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let (calls, states) = (calls.len(), states.into_inner());
    let batches = RECORDED.expected.len() - 1;
    println!("{batches} batches, {calls} crash points, built at {} of them: {states} states", points.len());
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "{} states: {:#?}", failed.len(), &failed[..failed.len().min(20)]);
    assert!(batches > 30 && states > points.len(), "more than one state is left at most points");
}

#[test]
fn states_that_pass_for_equal_are_equal() {
    let points = points(&RECORDED.calls);
    let of_file = |name: &str| {
        let pending = points.iter().filter_map(|point| Some((point.pending(name)?, point)));
        pending.min_by_key(|(pending, _)| *pending).map(|(_, point)| point).expect("there is such a point")
    };
    // The smallest commit, and the smallest copy of the log into the database.
    for name in ["gwanmun.db-wal", "gwanmun.db"] {
        let point = of_file(name);
        let mut held = BTreeMap::new();
        let mut states = 0;
        point.each_state(true, &mut |key, state| {
            states += 1;
            if states % EVERY == 0 || !held.contains_key(key) {
                let found = state.check(point, &RECORDED.expected).expect("it is whole");
                assert_eq!(*held.entry(key.to_owned()).or_insert(found), found, "{name}: {key}");
            }
            true
        });
        println!("{name}: {states} states, {} of them told apart", held.len());
        assert!(states > 100);
    }
}

/// Of states that pass for equal one in so many is opened: the plain run is to be short.
const EVERY: usize = 7;

/// `make planted` shows its table.
#[test]
fn a_planted_disk_fault_is_found() {
    println!("{:<24} {:>6}  found by", "planted in the store", "states");
    for plant in Plant::ALL {
        let (calls, from) = plant.plant(&RECORDED.calls);
        let (mut states, mut found) = (0, None);
        for point in points(&calls).iter().filter(|point| point.place >= from) {
            point.each_state(false, &mut |_, state| {
                states += 1;
                found = state.check(point, &RECORDED.expected).err();
                found.is_none() && states < STATES_MAX
            });
            if found.is_some() || states >= STATES_MAX {
                break;
            }
        }
        let Some(found) = found else { panic!("{plant:?} is not found in {states} states") };
        println!(
            "{:<24} {states:>6}  {}",
            format!("{plant:?}"),
            found.split(": ").next().unwrap_or_default()
        );
    }
}

/// The log has its name for good before anything is committed into it: what SQLite does about that, and how it went, is of no
/// account (P10).
#[test]
fn the_name_of_the_log_rests_on_no_sync_of_sqlite_p10() {
    let (calls, from) = plants::without_sync_of_sqlite(&RECORDED.calls);
    let (mut states, mut failed) = (0, Vec::new());
    for point in points(&calls).iter().filter(|point| point.place >= from) {
        point.each_state(false, &mut |_, state| {
            states += 1;
            failed.extend(state.check(point, &RECORDED.expected).err());
            states < STATES_MAX
        });
        if states >= STATES_MAX {
            break;
        }
    }
    assert!(failed.is_empty() && states > 100, "of {states} states: {failed:#?}");
}

/// A planted fault that has not shown in so many states is not found.
const STATES_MAX: usize = 300;
