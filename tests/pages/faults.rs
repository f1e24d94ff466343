//! The table of docs/faults.md: every class of fault and every moment has its cell, every cell a letter of the legend and one
//! line below, every line tests that are there, and the page counts its own cells right.

use std::collections::BTreeMap;

use crate::sources::{is_a_test, sources};

const PAGE: &str = include_str!("../../docs/faults.md");

const CLASSES: [&str; 18] = [
    "kill",
    "power cut",
    "failed sync",
    "full disk",
    "torn write",
    "bit flip",
    "stalled disk",
    "memory or descriptor exhaustion",
    "freeze",
    "clock step",
    "refused, cut or slow network",
    "lying peer",
    "database restart or failover",
    "concurrent duplicate",
    "poison message",
    "missing key or revocation service",
    "restored backup",
    "upgrade",
];

const MOMENTS: [&str; 11] = [
    "receiving",
    "verifying",
    "committing",
    "acked",
    "routed",
    "waiting",
    "sending",
    "peer done",
    "completed",
    "purged",
    "booting",
];

/// Letters of cells that no test shows: not shown, cannot be.
const WITHOUT_TEST: [&str; 2] = ["?", "x"];

/// The cells of the rows of the first table after a heading, with its head.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, after) = PAGE.split_once(heading).unwrap_or_else(|| panic!("no heading {heading:?}"));
    let lines =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    let mut rows: Vec<Vec<_>> = lines.map(cells).collect();
    rows.remove(1);
    rows
}

/// The cells of the grid, by class and moment.
fn grid() -> BTreeMap<(&'static str, &'static str), &'static str> {
    let rows = table("## The table");
    assert_eq!(rows[0][1..], MOMENTS);
    assert_eq!(rows[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), CLASSES);
    let mut grid = BTreeMap::new();
    for row in &rows[1..] {
        assert_eq!(row.len(), 1 + MOMENTS.len(), "{row:?}");
        grid.extend(MOMENTS.iter().zip(&row[1..]).map(|(moment, letter)| ((row[0], *moment), *letter)));
    }
    grid
}

#[test]
fn every_cell_has_one_outcome_of_the_legend() {
    let letters: Vec<_> = table("## Outcomes")[1..].iter().map(|row| row[0]).collect();
    for (cell, letter) in grid() {
        assert!(letters.contains(&letter), "{cell:?}: {letter:?} is not in the legend");
    }
}

#[test]
fn every_cell_has_one_line_and_every_line_names_tests_that_are_there() {
    let (grid, sources) = (grid(), sources());
    let (_, shown) = PAGE.split_once("## Shown by").expect("there are lists");
    for class in CLASSES {
        let heading = format!("\n### {class}\n");
        let (_, after) = shown.split_once(&*heading).unwrap_or_else(|| panic!("no list for {class}"));
        let list = after.split("\n#").next().unwrap_or_default();
        let mut covered = Vec::new();
        for line in list.lines().filter_map(|line| line.strip_prefix("- ")) {
            let (moments, text) = line.split_once(": ").unwrap_or_else(|| panic!("{class}: {line}"));
            let names: Vec<_> = text.split('`').skip(1).step_by(2).collect();
            for moment in moments.split(", ") {
                let letter = grid.get(&(class, moment)).unwrap_or_else(|| panic!("{class}: no {moment}"));
                assert_eq!(WITHOUT_TEST.contains(letter), names.is_empty(), "{class}: {letter}: {line}");
                covered.push(moment);
            }
            for name in names {
                assert!(is_a_test(name, &sources), "{class}: no test {name}");
            }
        }
        covered.sort_by_key(|moment| MOMENTS.iter().position(|it| it == moment));
        assert_eq!(covered, MOMENTS, "{class}: each moment in one line");
    }
}

#[test]
fn the_page_counts_its_cells_right() {
    let grid = grid();
    let count = |letter: &str| grid.values().filter(|it| **it == letter).count();
    let [not_shown, cannot_be] = WITHOUT_TEST.map(count);
    let shown = grid.len() - not_shown - cannot_be;
    let told = format!(
        "Of {} cells {shown} are shown by tests, **{not_shown} are not shown**, and {cannot_be} cannot be.",
        grid.len()
    );
    assert!(PAGE.replace('\n', " ").contains(&told), "the page does not say: {told}");
}
