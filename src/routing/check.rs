//! What no single cell shows: rows that contradict, repeat or cover each other, and names that nothing uses (domain
//! brief, 7.4; rulings 5, 16).

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Faults;
use super::index::GoodsIndex;
use super::reader::TextFile;
use super::ruleset::Base;
use super::table::{Requirement, Rows};
use super::{Known, RuleFiles, RuleId};
use crate::model::{Direction, DocumentCode, Timing};

/// The Service that applications and results travel under.
const REQUIREMENT_SERVICE: &str = "RequirementVerification";

/// Rows held against each other.
pub(super) fn rows(rows: &Rows, faults: &mut Faults) {
    let mut ids: BTreeMap<&RuleId, usize> = BTreeMap::new();
    let exceptions = rows.exceptions.iter().map(|row| (&row.id, &row.place));
    for (id, place) in rows.requirements.iter().map(|row| (&row.id, &row.place)).chain(exceptions) {
        if let Some(line) = ids.insert(id, place.line) {
            faults.error(place, format!("id {id} stands in line {line} too"), "give each row its own id");
        }
    }
    conflicts(rows, faults);
    subsumed(rows, faults);
    let mut results: BTreeMap<_, &Requirement> = BTreeMap::new();
    for row in &rows.requirements {
        let first = *results.entry((&row.agency, &row.application)).or_insert(row);
        if first.result != row.result {
            let message = format!(
                "{} expects {} for {}, but {} expects {}",
                row.id, row.result, row.application, first.id, first.result
            );
            faults.error(&row.place, message, "one application is answered by one kind of result");
        }
    }
}

/// Ruling 5: same agency, law and conditions, overlapping dates, but another application, result or timing.
fn conflicts(rows: &Rows, faults: &mut Faults) {
    let mut groups: BTreeMap<_, Vec<&Requirement>> = BTreeMap::new();
    for row in &rows.requirements {
        groups.entry((&row.agency, &row.law, row.when.undated())).or_default().push(row);
    }
    fn outcome(row: &Requirement) -> (&DocumentCode, &DocumentCode, Timing) {
        (&row.application, &row.result, row.timing)
    }
    for group in groups.values() {
        for (at, row) in group.iter().enumerate() {
            let contradicts =
                |other: &&&Requirement| outcome(other) != outcome(row) && row.when.meet_in_time(&other.when);
            for other in group.iter().take(at).filter(contradicts) {
                let message = format!("{} contradicts {} in line {}", row.id, other.id, other.place.line);
                faults.error(&row.place, message, "make their dates or conditions exclude each other");
            }
        }
    }
}

/// Rows that another one covers. Whatever covers a row holds any code of it, so only rows that may hold one such code
/// are looked at.
fn subsumed(rows: &Rows, faults: &mut Faults) {
    let index = GoodsIndex::of(rows.requirements.iter().map(|row| &row.when.goods));
    for row in &rows.requirements {
        let Some(code) = row.when.goods.some_code() else { continue };
        let others = index.holding(code).into_iter().map(|at| &rows.requirements[at]);
        let mut wider = others.filter(|other| other.id != row.id && is_subsumed(row, other));
        if let Some(wider) = wider.next() {
            let message = format!("{} adds nothing to {}, which covers it", row.id, wider.id);
            faults.warning(&row.place, message, "remove it");
        }
    }
}

/// Documents that the agreement with their agency does not let travel: they could be planned and never sent.
pub(super) fn agreements(base: &Base, rows: &Rows, known: &Known<'_>, faults: &mut Faults) {
    let Some(registry) = known.registry else { return };
    for row in &rows.requirements {
        let cpa_id = base.agencies.get(&row.agency).and_then(|agency| agency.value.cpa_id.as_ref());
        let Some(agreement) = cpa_id.and_then(|cpa_id| registry.agreement(cpa_id)) else { continue };
        for (direction, code) in [(Direction::Send, &row.application), (Direction::Receive, &row.result)] {
            if !agreement.allows(direction, REQUIREMENT_SERVICE, code.as_str()) {
                let message = format!("{code} is not in agreement {} with {}", agreement.cpa_id, row.agency);
                let remedy = format!("add {REQUIREMENT_SERVICE} {code} to the agreement");
                faults.error(&row.place, message, remedy);
            }
        }
    }
}

/// Whether `wider` asks for the same wherever `row` does. Of two equal rows the later one is told.
fn is_subsumed(row: &Requirement, wider: &Requirement) -> bool {
    let same = row.agency == wider.agency
        && row.law == wider.law
        && row.application == wider.application
        && row.result == wider.result
        && row.timing == wider.timing
        && row.profile == wider.profile;
    let equal = || wider.when.are_within(&row.when) && wider.place < row.place;
    same && row.when.are_within(&wider.when) && (!wider.when.are_within(&row.when) || equal())
}

/// Classes, groups, profiles and agencies that no row names.
pub(super) fn unused_names(files: &RuleFiles, base: &Base, rows: &Rows, faults: &mut Faults) {
    let mut quiet = Faults::default();
    let mut words: BTreeSet<String> = BTreeSet::new();
    for (name, _) in &base.tables {
        let octets = files.0.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let Some(file) = TextFile::read(name, octets, &mut quiet) else { continue };
        for cell in file.csv(&mut quiet).iter().flatten() {
            words.extend(cell.items().map(|item| item.trim_start_matches('!').to_owned()));
        }
    }
    let profiles: BTreeSet<&str> = rows
        .requirements
        .iter()
        .filter_map(|row| row.profile.as_deref())
        .chain(base.agencies.values().filter_map(|agency| Some(agency.value.profile.as_ref()?.0.as_str())))
        .collect();
    let mut unused = |kind: &str, name: &str, place, used: bool| {
        if !used {
            faults.warning(place, format!("nothing uses the {kind} {name}"), "use it, or remove it");
        }
    };
    for (name, class) in &base.classes {
        unused("class", name, &class.place, words.contains(name));
    }
    for (name, group) in base.origins.iter().chain(&base.importers) {
        unused("group", name, &group.place, words.contains(&format!("@{name}")));
    }
    for (name, profile) in &base.profiles {
        unused("profile", name, &profile.place, profiles.contains(name.as_str()));
    }
    for (code, agency) in &base.agencies {
        unused("agency", code.as_str(), &agency.place, words.contains(code.as_str()));
    }
}
