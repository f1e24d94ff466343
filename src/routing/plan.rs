//! What a declaration needs: rows of the expected set, and one application for each agency and document (domain
//! brief, 7.2; rulings 5, 11 to 13).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::load::{Met, RuleSet};
use super::table::Requirement;
use super::{LooksAt, Pipeline, Plan, PlannedApplication};
use crate::model::{
    AgencyCode, Allowance, Declaration, DeclarationLine, DocumentCode, PlannedRow, RuleTrace, Timestamp,
    Timing, Watch,
};

impl RuleSet {
    /// What a declaration that is accepted `at` this instant needs.
    #[must_use]
    pub fn plan(&self, declaration: &Declaration, at: Timestamp) -> Plan {
        let mut rows = Vec::new();
        let mut trace = Vec::new();
        let ignored = self.ignored_timings();
        let mut merged: BTreeMap<(&AgencyCode, &DocumentCode), Vec<(u16, &Requirement)>> = BTreeMap::new();
        for line in &declaration.lines {
            let met = self.meet(declaration, line, at);
            for hit in &met.hits {
                let removed = removal(&met, hit, line);
                if removed.is_none() {
                    merged.entry((&hit.agency, &hit.application)).or_default().push((line.sequence, hit));
                }
                rows.push(PlannedRow {
                    line: line.sequence,
                    law: hit.law.clone(),
                    agency: hit.agency.clone(),
                    document: hit.application.clone(),
                    rule: hit.id.clone(),
                    removed,
                    counts: !ignored.contains(&hit.timing),
                });
            }
            trace.push(RuleTrace {
                line: line.sequence,
                hit: met.hits.iter().map(|row| row.id.clone()).collect(),
                near: met.near.iter().map(|(row, failing)| (row.id.clone(), (*failing).into())).collect(),
            });
        }
        let applications = merged
            .into_iter()
            .filter_map(|((agency, document), rows)| self.application(agency, document, &rows, at))
            .collect();
        Plan { rule_set: self.digest(), rows, applications, trace }
    }

    /// One application out of the rows that ask for it; required if any of them counts (ruling 12).
    fn application(
        &self,
        agency: &AgencyCode,
        document: &DocumentCode,
        rows: &[(u16, &Requirement)],
        at: Timestamp,
    ) -> Option<PlannedApplication> {
        let target = &self.base.agencies.get(agency)?.value;
        let ignored = self.ignored_timings();
        let items: BTreeSet<u16> = rows.iter().map(|(line, _)| *line).collect();
        let laws: BTreeSet<_> = rows.iter().map(|(_, row)| row.law.clone()).collect();
        let rules: BTreeSet<_> = rows.iter().map(|(_, row)| row.id.clone()).collect();
        let default = target.profile.as_ref().map(|(name, _)| name);
        // Working time is dear to reckon: once for each profile, not for each row and line.
        let profiles: BTreeSet<_> =
            rows.iter().filter_map(|(_, row)| row.profile.as_ref().or(default)).collect();
        let latest = profiles
            .into_iter()
            .filter_map(|profile| self.deadlines(profile, at))
            .max_by_key(|(name, deadlines)| (*deadlines, Reverse(name.clone())));
        let (profile, deadlines) = latest.map_or((None, Deadlines::default()), |(name, d)| (Some(name), d));
        Some(PlannedApplication {
            agency: agency.clone(),
            party: target.party.clone(),
            cpa_id: target.cpa_id.clone(),
            document: document.clone(),
            result: rows.first()?.1.result.clone(),
            items: items.into_iter().collect(),
            laws: laws.into_iter().collect(),
            rules: rules.into_iter().collect(),
            required: rows.iter().any(|(_, row)| !ignored.contains(&row.timing)),
            watch: profile.as_deref().and_then(|name| self.watch(name)),
            profile,
            accept_by: deadlines.accept,
            decide_by: deadlines.decide,
        })
    }

    /// What is watched under this profile; its duties begin when the agency gets the application.
    fn watch(&self, profile: &str) -> Option<Watch> {
        let found = &self.base.profiles.get(profile)?.value;
        Some(Watch {
            profile: profile.into(),
            accept: found.accept,
            decide: found.decide,
            answer: found.answer,
            remind_at: found.remind_at.clone(),
            on_late: found.on_late.clone(),
            duties: Vec::new(),
            overdue: None,
        })
    }

    /// The time zone of its dates and working time.
    #[must_use]
    pub const fn time_zone(&self) -> &TimeZone {
        &self.base.calendar.zone
    }

    /// When this share of an allowance, per mille, is used up in working time; `None` past the end of the calendar.
    #[must_use]
    pub fn working_time(&self, start: Timestamp, allowance: Allowance, per_mille: u16) -> Option<Timestamp> {
        self.base.calendar.share(start, allowance, per_mille)
    }

    /// Rows with these timings do not count.
    fn ignored_timings(&self) -> &[Timing] {
        self.join(Pipeline::Lodge).map_or(&[Timing::After][..], |join| join.ignore_timing.as_slice())
    }

    /// Which fields some row looks at.
    #[must_use]
    pub fn looks_at(&self) -> LooksAt {
        let requirements = self.requirements.iter().map(|row| &row.when);
        let all = requirements.chain(self.exceptions.iter().map(|row| &row.when));
        all.fold(LooksAt::default(), |looks_at, when| LooksAt {
            value: looks_at.value || !when.value.is_any(),
            weight: looks_at.weight || !when.weight.is_any(),
            importer: looks_at.importer || !when.importer.is_any(),
            export_from: looks_at.export_from || !when.export_from.is_any(),
        })
    }

    fn deadlines(&self, profile: &str, at: Timestamp) -> Option<(Arc<str>, Deadlines)> {
        let found = &self.base.profiles.get(profile)?.value;
        let by = |allowance| self.base.calendar.deadline(at, allowance);
        let deadlines = Deadlines {
            decide: by(found.decide),
            accept: by(found.accept),
            answer: found.answer.and_then(by),
        };
        Some((profile.into(), deadlines))
    }
}

/// The latest `decide` applies; ties fall to `accept`, then `answer` (ruling 11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Deadlines {
    decide: Option<Timestamp>,
    accept: Option<Timestamp>,
    answer: Option<Timestamp>,
}

/// Why a row that matches needs no application on this line: an exception, or the declarant's own statement. A
/// claimed approval removes nothing here: it is only claimed until a stored result verifies it (ruling 13).
fn removal(met: &Met<'_>, hit: &Requirement, line: &DeclarationLine) -> Option<Arc<str>> {
    let excepted = met.exceptions.iter().find(|exception| exception.takes_away(hit));
    if let Some(exception) = excepted {
        return Some(format!("exception {}: {}", exception.id, exception.reason).into());
    }
    let declared = line.not_applicable.iter().find(|row| row.law == hit.law)?;
    let text = declared.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    Some(format!("declared not applicable, reason {}{text}", declared.reason).into())
}
