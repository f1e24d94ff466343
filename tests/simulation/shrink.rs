//! A run that failed, told as shortly as it can be: faults are left out one kind after the other, and what is lodged is
//! made less, as long as it still fails.

use crate::faults::Faults;
use crate::world::Scenario;

/// A kind of fault that can be left out of a run, and a part of its work.
type Kind = (&'static str, fn(&mut Scenario));

const KINDS: [Kind; 19] = [
    ("loss", |it| it.faults.loss = 0),
    ("repetition", |it| it.faults.repetition = 0),
    ("lateness", |it| it.faults.lateness = 0),
    ("crash", |it| it.faults.crash = 0),
    ("failed-sync", |it| it.faults.failed_sync = 0),
    ("full-disk", |it| it.faults.full_disk = 0),
    ("unknown-outcome", |it| it.faults.unknown_outcome = 0),
    ("slowness", |it| it.faults.slowness = 0),
    ("partner-crash", |it| it.faults.partner_crash = 0),
    ("bad-manners", |it| it.faults.bad_manners = 0),
    ("forgetting", |it| it.faults.forgetting = 0),
    ("forgery", |it| it.faults.forgery = 0),
    ("outages", |it| it.faults.outages.clear()),
    ("clock-steps", |it| it.faults.clock_steps.clear()),
    ("losses", |it| it.faults.losses.clear()),
    ("flips", |it| it.faults.flips.clear()),
    ("third", |it| it.declarations = it.declarations.min(2)),
    ("second", |it| it.declarations = 1),
    ("changes", |it| it.changes = 0),
];

/// The scenario of a seed without these, by their names.
pub(crate) fn without(seed: u64, left_out: &str) -> Scenario {
    let mut scenario = Scenario::seeded(seed);
    for name in left_out.split(',').filter(|name| !name.is_empty()) {
        let (_, leave_out) = KINDS.iter().find(|(it, _)| *it == name).expect("a kind of fault");
        leave_out(&mut scenario);
    }
    scenario
}

/// What may be left out of a run of a seed so that it still `fails`, and what is left.
pub(crate) fn shrunk(seed: u64, fails: impl Fn(Scenario) -> bool) -> (String, Faults) {
    let mut left_out: Vec<&str> = Vec::new();
    for (name, _) in KINDS {
        let more = [&left_out[..], &[name]].concat();
        if fails(without(seed, &more.join(","))) {
            left_out = more;
        }
    }
    let left_out = left_out.join(",");
    let faults = without(seed, &left_out).faults;
    (left_out, faults)
}
