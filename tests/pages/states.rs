//! The tables of docs/states.md against the enums: each state has its row, and no row is about anything else. Each row about
//! bad input names tests that are there.

use std::collections::BTreeSet;

use crate::sources::{is_a_test, sources};
use gwanmun::model::{ApplicationState, CaseState, DeliveryState, FeeState, PaymentState};

const STATES: &str = include_str!("../../docs/states.md");

/// The states in the first column of the first table after a heading.
fn rows(heading: &str) -> Vec<String> {
    let (_, after) = STATES.split_once(heading).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let table =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let first = table.skip(2).filter_map(|line| line.split('|').nth(1));
    first.flat_map(|cell| cell.split(',')).map(|state| state.trim().to_owned()).collect()
}

fn check(heading: &str, states: impl IntoIterator<Item = &'static str>) {
    let found = rows(heading);
    let distinct: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(distinct.len(), found.len(), "{heading}: a state stands twice in {found:?}");
    assert_eq!(distinct, states.into_iter().collect::<BTreeSet<_>>(), "{heading}");
}

#[test]
fn every_state_has_its_row_and_every_row_its_state() {
    check("## Delivery:", DeliveryState::ALL.map(DeliveryState::as_str));
    check("## Application:", ApplicationState::ALL.map(ApplicationState::as_str));
    check("## Fee:", FeeState::ALL.map(FeeState::as_str));
    check("## Payment:", PaymentState::ALL.map(PaymentState::as_str));
    check("## Case:", CaseState::ALL.map(CaseState::as_str));
}

#[test]
fn every_row_about_bad_input_names_tests_that_are_there() {
    let (_, after) = STATES.split_once("## Bad input").expect("there is such a table");
    let rows: Vec<&str> = after.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let sources = sources();
    for row in &rows {
        let shown_by = row.split('|').nth(4).unwrap_or_else(|| panic!("no test: {row}"));
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            assert!(is_a_test(name, &sources), "there is no test {name}: {row}");
        }
    }
    assert!(rows.len() >= 20, "{} rows", rows.len());
}
