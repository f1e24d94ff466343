//! The simulation (engineering guide, 12): gateway, a broker, three traders, customs, ten agencies and a bank in one process,
//! over a virtual clock, network and disk that are drawn from a seed. Gateway and partners die and start again on what
//! they had kept; each party's clock may step by minutes to days, either way, and is set right when faults stop. Octets of the
//! store flip, its disk is lost, and an operator mends, restores and settles.
//!
//! Real: the engine, the codec, opening and sealing with generated P-256 keys, the rules of `routing-rules/`,
//! and the record formats of the store. Not real: sockets, TLS, SQLite's own files, threads.
//!
//! What a power cut leaves of the real store is another matter, and enumerated: `crash_states`.
//!
//! After each run: the partners' histories (nothing acknowledged is lost; each business message is handed on
//! exactly once, octet for octet; where order is guaranteed, in the order of its numbers, without a gap), the bank's bookings (a fee is booked once when it is paid, and else never; both sides
//! are told once), the conservation law (P2), the audit chain (P18), and everything has ended (P9). A run that fails prints
//! the command that replays it. `SIMULATION_SEED=7` runs one seed and prints its trace, `SIMULATION_SEEDS=100000` (or
//! `make simulate`) runs so many.

mod bank;
mod chance;
mod checks;
mod crash_states;
mod dealings;
mod disk;
mod faults;
mod flips;
mod gateway;
mod looks;
mod network;
mod papers;
mod parties;
mod partner;
mod place;
mod plants;
mod restore;
mod roles;
mod rules;
mod shrink;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use gwanmun::model::{CaseState, DeliveryState};
use gwanmun::store::{CaseFilter, DeliveryFilter, Store as _};

use faults::Faults;
use parties::Who;
use place::Place;
use plants::Plant;
use world::{MOMENTS, Scenario, World};

/// So much of a finding stands in the table of planted faults.
const FINDING_SHOWN: usize = 100;
/// Seeds of a plain test run.
const SEEDS: u64 = 2_000;
/// After so many it is said how far it is.
const TOLD_AFTER: u64 = 500;

/// Runs a scenario to its end and through all checks. A panic is a finding like others.
fn run(scenario: Scenario) -> World {
    let mut world = World::new(scenario);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        world.run();
        // Who is dead gets nothing: that is looked at where somebody is.
        if world.scenario.faults.dead.is_some() { world.check_laws() } else { world.check() }
    }));
    if ended.is_err() {
        world.find("a panic (S24)");
    }
    world
}

/// Runs many scenarios on every core; gives those of whose run `keep` says so, in no order.
fn run_all<T: Send>(scenarios: Vec<Scenario>, keep: impl Fn(World) -> Option<T> + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let kept = Mutex::new(Vec::new());
    let work = || {
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if let Some(found) = keep(run(scenario.clone())) {
                kept.lock().expect("nothing panics while it is held").push(found);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    kept.into_inner().expect("nothing panics while it is held")
}

/// A run that failed: its seed and where the gateway died, its findings, what it says.
type Failure = ((u64, Option<u64>), String, String);

fn failure(world: World) -> Option<Failure> {
    let run = (world.scenario.seed, world.scenario.faults.crash_at);
    (!world.findings.is_empty()).then(|| (run, world.findings.join("; "), told(&world)))
}

/// What a failed run says: its findings, the end of its trace, how to see all of it.
fn told(world: &World) -> String {
    let (seed, trace) = (world.scenario.seed, &world.trace);
    let end = trace[trace.len().saturating_sub(40)..].join("\n");
    let replay = match world.scenario.faults.crash_at {
        Some(point) => {
            format!("SIMULATION_POINT={point} cargo test --test simulation every_point -- --nocapture")
        }
        None => format!("SIMULATION_SEED={seed} cargo test --test simulation every_seed -- --nocapture"),
    };
    format!("{:#?}\n{:#?}\n{end}\nreplay: {replay}", world.scenario, world.findings)
}

/// What all failed runs say: each in a line, the first in full.
fn all_told(mut failed: Vec<Failure>) -> String {
    failed.sort();
    let line = |((seed, point), findings, _): &Failure| {
        let point = point.map(|point| format!(", point {point}"));
        format!("seed {seed}{}: {findings}\n", point.unwrap_or_default())
    };
    let lines: String = failed.iter().map(line).collect();
    format!("{} runs failed:\n{lines}the first:\n{}", failed.len(), failed.first().map_or("", |it| &it.2))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// One run, with all of its trace.
fn replay(scenario: Scenario) {
    let world = run(scenario);
    println!("{:#?}\n{}", world.scenario, world.trace.join("\n"));
    assert_eq!(world.findings, [""; 0]);
}

#[test]
fn every_seed_keeps_the_promises() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let left_out = std::env::var("SIMULATION_WITHOUT").unwrap_or_default();
        return replay(shrink::without(seed, &left_out));
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (place, begin) = Place::of_this_program();
    let (mut last, watch, simulated) = (begin, Watch::begin(), AtomicU64::new(0));
    let met = Mutex::new(BTreeMap::<_, u64>::new());
    while last < seeds {
        let to = seeds.min(last + TOLD_AFTER);
        let failed = run_all((last + 1..=to).map(Scenario::seeded).collect(), |world| {
            simulated.fetch_add(world.lasted().as_secs(), Ordering::Relaxed);
            let mut met = met.lock().expect("nothing panics while it is held");
            world.met.iter().for_each(|moment| *met.entry(*moment).or_default() += 1);
            drop(met);
            failure(world)
        });
        if !failed.is_empty() {
            let story = short_story(failed.iter().map(|((seed, _), ..)| *seed).min().expect("one failed"));
            panic!("{}\n{story}", all_told(failed));
        }
        last = to;
        place.reached(last);
        let (rate, ratio) = watch.rates(last - begin, simulated.load(Ordering::Relaxed));
        println!("{last} of {seeds} seeds: {rate:.0} in a second, {ratio:.0} s of theirs in one of ours");
    }
    place.forget();
    let met = met.into_inner().expect("nothing panics while it is held");
    met.iter().for_each(|(moment, seeds)| println!("{seeds:>6} seeds met {moment}"));
    assert!(
        last - begin < SEEDS || MOMENTS.iter().all(|moment| met.contains_key(moment)),
        "only {met:?} was met"
    );
}

/// A run of a seed that fails, with as little in it as it needs to fail.
fn short_story(seed: u64) -> String {
    let (left_out, faults) = shrink::shrunk(seed, |scenario| !run(scenario).findings.is_empty());
    let world = run(shrink::without(seed, &left_out));
    let end = world.trace[world.trace.len().saturating_sub(40)..].join("\n");
    format!(
        "the same, made short: SIMULATION_SEED={seed} SIMULATION_WITHOUT={left_out} \
         cargo test --test simulation every_seed -- --nocapture\n{faults:?}\n{end}\n{:#?}",
        world.findings
    )
}

/// How fast seeds are run.
struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "this is about real time")]
    fn begin() -> Self {
        Self(Instant::now())
    }

    /// Seeds in a second, and seconds that they lasted in one.
    fn rates(&self, seeds: u64, simulated: u64) -> (f64, f64) {
        let seconds = self.0.elapsed().as_secs_f64();
        (seeds as f64 / seconds, simulated as f64 / seconds)
    }
}

#[test]
fn a_run_that_fails_is_made_short() {
    let planted = |scenario| Scenario { plant: Some(Plant::RetriedSync), ..scenario };
    let fails = |scenario| !run(planted(scenario)).findings.is_empty();
    let (left_out, faults) = shrink::shrunk(1, fails);
    assert!(fails(shrink::without(1, &left_out)), "it fails without {left_out} too");
    assert!(faults.failed_sync > 0, "there is no failed sync to try again without one");
    assert!(left_out.split(',').count() > 5, "most of what goes wrong has nothing to do with it: {left_out}");
}

#[test]
fn a_calm_run_goes_all_the_way_round() {
    let world = calm_with_a_fee();
    assert_eq!(world.findings, [""; 0], "{}", told(&world));
    for who in [Who::Broker, Who::Customs, Who::Kfda, Who::Npqs, Who::Kpta] {
        assert_ne!(world.partners[&who].handed_on.len(), 0, "{}", who.name());
    }
}

/// The first calm run in which an agency asks a fee, and the bank books it.
fn calm_with_a_fee() -> World {
    let mut calm = (1..=20).map(|seed| run(Scenario::calm(seed)));
    calm.find(|world| !world.bank.bookings().is_empty()).expect("an agency asks a fee in one of two")
}

#[test]
fn an_agency_that_is_dead_is_given_up_and_holds_up_nobody() {
    let faults = Faults { dead: Some(Who::Npqs), ..Faults::default() };
    let mut world = World::new(Scenario { faults, ..Scenario::calm(2) });
    world.run();
    world.check_laws();
    assert_eq!(world.findings, [""; 0], "{}", told(&world));
    let store = world.gateway.store();
    let deliveries = store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("readable").items;
    for delivery in &deliveries {
        let is_to_the_dead = delivery.destination == Who::Npqs.key();
        let expected = if is_to_the_dead { DeliveryState::Expired } else { DeliveryState::Delivered };
        assert_eq!(delivery.state, expected, "P9: {delivery:?}");
    }
    let decided = world.partners[&Who::Customs].handed_on.iter().filter(|it| it.manifest.is_some());
    let results = decided.filter(|it| *it.header.service.value == *"RequirementVerification").count();
    assert!(results >= 2, "P15: the other two agencies' results reach customs");
    let errors = world.partners[&Who::Broker].errors_heard();
    assert_eq!(errors.len(), 1, "P9: the broker hears of it, once: {errors:?}");
    assert!(errors[0].1.starts_with("DeliveryFailure"), "{errors:?}");
    let case = store.cases(&CaseFilter::default(), 1).expect("readable").items.remove(0);
    assert_eq!((case.state, case.decided), (CaseState::Collecting, (2, 3)));
}

#[test]
fn the_gateway_may_die_at_every_point_of_a_case() {
    let calm = calm_with_a_fee();
    let dies_at = |point| {
        let faults = Faults { crash_at: Some(point), ..Faults::default() };
        Scenario { faults, ..calm.scenario.clone() }
    };
    if let Some(point) = number("SIMULATION_POINT") {
        return replay(dies_at(point));
    }
    let failed = run_all((1..=calm.points).map(dies_at).collect(), failure);
    assert!(failed.is_empty(), "{}", all_told(failed));
}

#[test]
fn the_gateway_may_die_at_every_point_of_an_amendment_and_a_withdrawal() {
    let changed = |seed| Scenario { changes: 1, ..Scenario::calm(seed) };
    let mut kinds = BTreeMap::new();
    for seed in 1..=20 {
        let world = run(changed(seed));
        assert_eq!(world.findings, [""; 0], "{}", told(&world));
        let posted = world.partners[&Who::Broker].posted.iter();
        let mut letters = posted.filter_map(|posted| posted.letter.as_ref());
        let change = letters.find(|letter| ["GOVCBR5FE", "GOVCBR5BF"].contains(&&*letter.action));
        if let (Some(change), Some(began)) = (change, world.lodgings.change_began) {
            let kind = (change.action.clone(), change.payloads.len() > 2);
            kinds.entry(kind).or_insert((seed, began..=world.points));
        }
        if kinds.len() == 3 {
            break;
        }
    }
    assert_eq!(kinds.len(), 3, "an amendment of the header, one of the goods, a withdrawal: {kinds:?}");
    let dies = kinds.into_values().flat_map(|(seed, points)| {
        points.map(move |point| {
            let faults = Faults { crash_at: Some(point), ..Faults::default() };
            Scenario { faults, ..changed(seed) }
        })
    });
    let failed = run_all(dies.collect(), failure);
    assert!(failed.is_empty(), "{}", all_told(failed));
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let [first, second] = [(); 2].map(|()| run(Scenario::seeded(seed)).trace);
        let differs = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

#[test]
fn a_planted_fault_is_found() {
    println!("{:<24} {:>6}  found by", "planted in the gateway", "seeds");
    for plant in Plant::ALL {
        let planted = |seed| run(Scenario { plant: Some(plant), ..plant.scenario(seed) });
        let runs = (1..=200).map(|seed| (seed, planted(seed)));
        let found =
            runs.into_iter().find_map(|(seed, world)| Some((seed, world.findings.into_iter().next()?)));
        let Some((seeds, finding)) = found else { panic!("{plant:?} is found by no seed") };
        assert_eq!(run(plant.scenario(seeds)).findings, [""; 0], "{plant:?}: it is found where it is not");
        let told: String = finding.chars().take(FINDING_SHOWN).collect();
        println!("{:<24} {seeds:>6}  {told}", format!("{plant:?}"));
    }
}
