//! What no single cell shows: rows that contradict, repeat or cover each other, and names that nothing uses (domain
//! brief, 7.4; rulings 5, 16).

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Faults;
use super::reader::TextFile;
use super::ruleset::Base;
use super::table::{Requirement, Rows};
use super::{RuleFiles, RuleId};

/// Rows held against each other.
pub(super) fn rows(rows: &Rows, faults: &mut Faults) {
    let mut ids: BTreeMap<&RuleId, usize> = BTreeMap::new();
    let exceptions = rows.exceptions.iter().map(|row| (&row.id, &row.place));
    for (id, place) in rows.requirements.iter().map(|row| (&row.id, &row.place)).chain(exceptions) {
        if let Some(line) = ids.insert(id, place.line) {
            faults.error(place, format!("id {id} stands in line {line} too"), "give each row its own id");
        }
    }
    // Rows only meet where agency and law are the same: held against each other within those groups.
    let mut groups: BTreeMap<_, Vec<&Requirement>> = BTreeMap::new();
    for row in &rows.requirements {
        groups.entry((&row.agency, &row.law)).or_default().push(row);
    }
    for group in groups.values() {
        for (at, row) in group.iter().enumerate() {
            for other in group.iter().take(at).filter(|other| row.when.meet_in_time(&other.when)) {
                conflict(row, other, faults);
            }
            if let Some(wider) = group.iter().find(|other| other.id != row.id && is_subsumed(row, other)) {
                let message = format!("{} adds nothing to {}, which covers it", row.id, wider.id);
                faults.warning(&row.place, message, "remove it");
            }
        }
    }
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
fn conflict(row: &Requirement, other: &Requirement, faults: &mut Faults) {
    let outcome = |row: &Requirement| (row.application.clone(), row.result.clone(), row.timing);
    if row.when.are_for_the_same(&other.when) && outcome(row) != outcome(other) {
        let message = format!("{} contradicts {} in line {}", row.id, other.id, other.place.line);
        faults.error(&row.place, message, "make their dates or conditions exclude each other");
    }
}

/// Whether `wider` asks for the same wherever `row` does. Of two equal rows the later one is told.
fn is_subsumed(row: &Requirement, wider: &Requirement) -> bool {
    let same = row.application == wider.application
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
