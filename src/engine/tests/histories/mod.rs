//! Generated histories of a case, played through the real engine and store and through an independent model, which
//! must agree after every event (domain brief, 5; P3, P4).
//!
//! `CASE_HISTORIES` is how many, `CASE_SEED` the first seed. A failing seed prints its history.

mod model;
mod play;

use std::collections::BTreeSet;

use play::Player;

/// How many histories `make test` plays.
const HISTORIES: u64 = 150;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a whole number"))
}

#[test]
fn the_engine_and_a_plain_model_agree_over_generated_histories() {
    let first = setting("CASE_SEED", 1);
    let mut moves = BTreeSet::new();
    for seed in first..first + setting("CASE_HISTORIES", HISTORIES) {
        moves.extend(Player::new(seed).play());
    }
    assert!(moves.len() > 50, "the histories reach little: {moves:?}");
}
