//! What no single cell shows: ids that repeat, results that differ, documents that no agreement lets travel, names
//! that nothing uses (domain brief, 7.4; ruling 16).

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Faults, Place};
use super::overlap::{self, seen_from};
use super::reader::TextFile;
use super::ruleset::Base;
use super::table::{Requirement, Rows};
use super::{Known, RuleFiles, RuleId};
use crate::model::Direction;

/// The Service that applications and results travel under.
const REQUIREMENT_SERVICE: &str = "RequirementVerification";

/// Rows held against each other.
pub(super) fn rows(rows: &Rows, faults: &mut Faults) {
    let mut ids: BTreeMap<&RuleId, &Place> = BTreeMap::new();
    let exceptions = rows.exceptions.iter().map(|row| (&row.id, &row.place));
    for (id, place) in rows.requirements.iter().map(|row| (&row.id, &row.place)).chain(exceptions) {
        if let Some(other) = ids.insert(id, place) {
            let line = seen_from(place, other);
            faults.error(place, format!("id {id} stands in {line} too"), "give each row its own id");
        }
    }
    overlap::check(rows, faults);
    let mut results: BTreeMap<_, &Requirement> = BTreeMap::new();
    for row in &rows.requirements {
        let first = *results.entry((&row.agency, &row.application)).or_insert(row);
        if first.result != row.result {
            let message = format!(
                "{} expects {} for {}, but {} expects {}",
                row.id, row.result, row.application, first.id, first.result
            );
            faults.error(&row.result_place, message, "one application is answered by one kind of result");
        }
    }
}

/// Documents that the agreement with their agency does not let travel: they could be planned and never sent.
pub(super) fn agreements(base: &Base, rows: &Rows, known: &Known<'_>, faults: &mut Faults) {
    let Some(registry) = known.registry else { return };
    for row in &rows.requirements {
        let cpa_id = base.agencies.get(&row.agency).and_then(|agency| agency.value.cpa_id.as_ref());
        let Some(agreement) = cpa_id.and_then(|cpa_id| registry.agreement(cpa_id)) else { continue };
        let documents = [
            (Direction::Send, &row.application, &row.application_place),
            (Direction::Receive, &row.result, &row.result_place),
        ];
        for (direction, code, place) in documents {
            if !agreement.allows(direction, REQUIREMENT_SERVICE, code.as_str()) {
                let message = format!("{code} is not in agreement {} with {}", agreement.cpa_id, row.agency);
                let remedy = format!("add {REQUIREMENT_SERVICE} {code} to the agreement");
                faults.error(place, message, remedy);
            }
        }
    }
}

/// Classes, groups, profiles and agencies that no row names.
pub(super) fn unused_names(files: &RuleFiles, base: &Base, rows: &Rows, faults: &mut Faults) {
    // A name may seem unused only because its user could not be read.
    if faults.has_errors() {
        return;
    }
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
