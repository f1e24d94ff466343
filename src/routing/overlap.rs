//! Rows held against each other: which contradict, cover or overlap each other, and what exceptions leave of them
//! (domain brief, 7.4; rulings 5, 16).
//!
//! Two sets of goods that share a code share one at which either begins, so rows are only held against the rows that
//! hold such a code of theirs: long tables are checked in a second, not in a minute.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Faults, Place};
use super::goods::shown;
use super::index::GoodsIndex;
use super::table::{Requirement, Rows};
use crate::model::{DocumentCode, Timing};

/// Tells all of it. Contradictions are errors, the rest is worth a look.
pub(super) fn check(rows: &Rows, faults: &mut Faults) {
    contradictory(rows, faults);
    let required = GoodsIndex::of(rows.requirements.iter().map(|row| &row.when.goods));
    subsumed(rows, &required, faults);
    overlapping(rows, &required, faults);
    let excepted = GoodsIndex::of(rows.exceptions.iter().map(|row| &row.when.goods));
    unreachable(rows, &excepted, faults);
    idle(rows, faults);
}

/// Where another row stands, as told beside a row.
pub(super) fn seen_from(place: &Place, other: &Place) -> String {
    if place.file == other.file {
        format!("line {}", other.line)
    } else {
        format!("{} line {}", other.file, other.line)
    }
}

/// What a row plans, but for its profile: the latest one of a merge holds.
fn outcome(row: &Requirement) -> (&DocumentCode, &DocumentCode, Timing) {
    (&row.application, &row.result, row.timing)
}

/// Ruling 5: same agency, law and conditions, overlapping dates, but another application, result or timing.
fn contradictory(rows: &Rows, faults: &mut Faults) {
    let mut groups: BTreeMap<_, Vec<&Requirement>> = BTreeMap::new();
    for row in &rows.requirements {
        groups.entry((&row.agency, &row.law, row.when.undated())).or_default().push(row);
    }
    for group in groups.values() {
        for (at, row) in group.iter().enumerate() {
            let contradicts =
                |other: &&&Requirement| outcome(other) != outcome(row) && row.when.meet_in_time(&other.when);
            for other in group.iter().take(at).filter(contradicts) {
                let line = seen_from(&row.place, &other.place);
                let message = format!("{} contradicts {} in {line}", row.id, other.id);
                faults.error(&row.place, message, "make their dates or conditions exclude each other");
            }
        }
    }
}

/// Rows that another one covers. Whatever covers a row holds any code of it, so only rows that hold one such code
/// are looked at.
fn subsumed(rows: &Rows, index: &GoodsIndex, faults: &mut Faults) {
    for row in &rows.requirements {
        let Some(code) = row.when.goods.some_code() else { continue };
        let others = index.holding(code).into_iter().map(|at| &rows.requirements[at]);
        let mut wider = others.filter(|other| other.place != row.place && is_subsumed(row, other));
        if let Some(wider) = wider.next() {
            let line = seen_from(&row.place, &wider.place);
            let message = format!("{} adds nothing to {} in {line}, which covers it", row.id, wider.id);
            faults.warning(&row.place, message, "remove it");
        }
    }
}

/// Whether `wider` asks for the same wherever `row` does. Of two equal rows the later one is told.
fn is_subsumed(row: &Requirement, wider: &Requirement) -> bool {
    let same = row.agency == wider.agency
        && row.law == wider.law
        && outcome(row) == outcome(wider)
        && row.profile == wider.profile;
    let equal = || wider.when.are_within(&row.when) && wider.place < row.place;
    same && row.when.are_within(&wider.when) && (!wider.when.are_within(&row.when) || equal())
}

/// Rows of one agency and law that meet on some goods: each pair once, told at the later one.
fn overlapping(rows: &Rows, index: &GoodsIndex, faults: &mut Faults) {
    let mut pairs: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (at, row) in rows.requirements.iter().enumerate() {
        let codes: BTreeSet<u64> =
            row.when.goods.borders().filter(|code| row.when.goods.holds(*code)).collect();
        for code in codes {
            let meets = |other: &usize| {
                let other = &rows.requirements[*other];
                row.agency == other.agency && row.law == other.law
            };
            for other in index.holding(code).into_iter().filter(|other| *other != at).filter(meets) {
                pairs.entry((at.min(other), at.max(other))).or_insert(code);
            }
        }
    }
    for ((first, second), code) in pairs {
        let (first, second) = (&rows.requirements[first], &rows.requirements[second]);
        let (earlier, later) = if first.place <= second.place { (first, second) } else { (second, first) };
        let same = outcome(earlier) == outcome(later);
        // Another profile for some of the goods is what merging is for; equal conditions are told as contradiction,
        // covered rows as such.
        let told = if same {
            earlier.profile != later.profile || is_subsumed(earlier, later) || is_subsumed(later, earlier)
        } else {
            earlier.when.undated() == later.when.undated()
        };
        if told || !earlier.when.meet_beside_goods(&later.when) {
            continue;
        }
        let line = seen_from(&later.place, &earlier.place);
        let asks = if same { "the same" } else { "something else" };
        let message = format!(
            "{} overlaps {} in {line}, which asks for {asks} where goods are as {}",
            later.id,
            earlier.id,
            shown(code)
        );
        faults.warning(&later.place, message, "let one of them exclude what the other is for");
    }
}

/// Requirements that an exception always takes away.
fn unreachable(rows: &Rows, index: &GoodsIndex, faults: &mut Faults) {
    for row in &rows.requirements {
        let Some(code) = row.when.goods.some_code() else { continue };
        let mut others = index.holding(code).into_iter().map(|at| &rows.exceptions[at]);
        if let Some(exception) = others.find(|e| e.takes_away(row) && row.when.are_within(&e.when)) {
            let line = seen_from(&row.place, &exception.place);
            let message =
                format!("{} never counts: exception {} in {line} always takes it away", row.id, exception.id);
            faults.warning(&row.place, message, "narrow the exception, or remove the row");
        }
    }
}

/// Exceptions that have nothing to take away.
fn idle(rows: &Rows, faults: &mut Faults) {
    for exception in &rows.exceptions {
        let meets = |row: &Requirement| {
            exception.takes_away(row)
                && row.when.meet_beside_goods(&exception.when)
                && row.when.goods.meets(&exception.when.goods)
        };
        if !rows.requirements.iter().any(meets) {
            let message = format!("exception {} takes nothing away: no requirement meets it", exception.id);
            faults.warning(&exception.place, message, "correct its goods, law or agency, or remove it");
        }
    }
}
