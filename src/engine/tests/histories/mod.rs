//! Generated histories of a case, played through the real engine and store and through an independent model, which
//! must agree after every event (domain brief, 5; P3, P4).
//!
//! `CASE_HISTORIES` is how many, `CASE_SEED` the first seed. A failing seed prints its history.

mod approvals;
mod model;
mod play;

use std::collections::BTreeSet;

use play::Player;

/// How many histories `make test` plays.
const HISTORIES: u64 = 500;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

/// Seeds that taught something. 1578: the document of an application that no rule asks for any more, and that never
/// came, is a voluntary one. 28280: a new version of one that an amendment let go of takes no items of its successor.
#[test]
fn histories_that_once_differed_agree() {
    for seed in [1578, 28280] {
        Player::new(seed).play();
    }
}

#[test]
fn the_engine_and_a_plain_model_agree_over_generated_histories() {
    let first = setting("CASE_SEED", 1);
    let mut moves = BTreeSet::new();
    for seed in first..first + setting("CASE_HISTORIES", HISTORIES) {
        moves.extend(Player::new(seed).play());
    }
    for (of, heading) in [("application", "Moves of an application"), ("case", "Moves of a case")] {
        let found: BTreeSet<_> = moves
            .iter()
            .filter(|(kind, ..)| *kind == of)
            .map(|(_, from, to)| (group(of, from), group(of, to)))
            .collect();
        let unnamed: Vec<_> = found.difference(&documented(heading)).copied().collect();
        assert_eq!(unnamed, [], "{heading} that docs/states.md does not name");
    }
}

/// Declarations that share approvals: nothing is used twice, and nothing rests on what is over.
#[test]
fn the_engine_and_a_plain_account_of_approvals_agree_over_generated_histories() {
    let first = setting("CASE_SEED", 1);
    for seed in first..first + setting("CASE_HISTORIES", HISTORIES) {
        approvals::Player::new(seed).play();
    }
}

/// The moves that docs/states.md names.
fn documented(heading: &str) -> BTreeSet<(&'static str, &'static str)> {
    const STATES: &str = include_str!("../../../../docs/states.md");
    let (_, after) = STATES.split_once(heading).expect("the table has its sentence");
    let rows =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .flat_map(|row| {
            let mut cells = row.split('|').skip(1).map(str::trim);
            let from = cells.next().unwrap_or_default();
            cells.next().unwrap_or_default().split(", ").map(move |to| (from, to))
        })
        .collect()
}

/// A state as the tables of moves call it.
fn group(of: &str, state: &'static str) -> &'static str {
    match (of, state) {
        ("case", state) | (_, state @ ("blocked" | "created" | "error")) => state,
        (
            _,
            "accepted"
            | "under_review"
            | "documents_requested"
            | "supplement_requested"
            | "inspection_ordered"
            | "fee_requested",
        ) => "interim",
        _ => "final",
    }
}
