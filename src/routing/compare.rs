//! Two rule sets held against each other: what their files say differently, and what a declaration would get
//! differently (domain brief, 7.4).
//!
//! The text is compared row by row and key by key, so that order, white space and comments are no change. Behaviour
//! is what somebody outside sees: applications, the lines and laws in them, deadlines, joins; ids of rows are not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::fault::Faults;
use super::reader::TextFile;
use super::{Pipeline, PlannedApplication, RuleFiles, RuleSet};
use crate::model::{AgencyCode, Declaration, DocumentCode, Timestamp};

/// What happened to a row, a key or an application from the one set to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the newer one has it.
    Added,
    /// Only the older one has it.
    Removed,
    /// Both have it, with other values.
    Changed(Vec<ValueChange>),
}

/// A value that is another one now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// Column, or key of the plan.
    pub key: String,
    /// In the older set; empty when it is not there.
    pub before: String,
    /// In the newer set.
    pub after: String,
}

/// A row of a table, or a key of the ruleset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextChange {
    /// File in the rule directory.
    pub file: String,
    /// Id of the row, or path of the key.
    pub entry: String,
    /// What happened to it.
    pub change: Change,
}

/// An application that a declaration would get differently, or its join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanChange {
    /// Agency and application document; `join` for the join.
    pub what: String,
    /// What happened to it.
    pub change: Change,
}

impl fmt::Display for Change {
    /// What is behind the name of the thing: empty when it was added or removed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Changed(values) = self else { return Ok(()) };
        for (at, ValueChange { key, before, after }) in values.iter().enumerate() {
            let space = if at == 0 { "" } else { "; " };
            write!(f, "{space}{key} {before:?} -> {after:?}")?;
        }
        Ok(())
    }
}

impl Change {
    /// `+`, `-` or `~`.
    #[must_use]
    pub const fn sign(&self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed(_) => '~',
        }
    }
}

impl RuleSet {
    /// What the files of a newer set say differently from those of this one.
    #[must_use]
    pub fn text_changes(&self, own: &RuleFiles, newer: &Self, files: &RuleFiles) -> Vec<TextChange> {
        let changes = changes(&self.entries(own), &newer.entries(files));
        changes.into_iter().map(|((file, entry), change)| TextChange { file, entry, change }).collect()
    }

    /// What a declaration that is accepted `at` this instant would get differently from a newer set.
    #[must_use]
    pub fn plan_changes(&self, newer: &Self, declaration: &Declaration, at: Timestamp) -> Vec<PlanChange> {
        let plans = [self, newer].map(|rules| rules.outcomes(declaration, at));
        let changes = changes(&plans[0], &plans[1]);
        changes.into_iter().map(|(what, change)| PlanChange { what, change }).collect()
    }

    /// Every row and key of the deciding files, with its values.
    fn entries(&self, files: &RuleFiles) -> BTreeMap<(String, String), BTreeMap<String, String>> {
        let mut entries = BTreeMap::new();
        let mut quiet = Faults::default();
        for name in self.base.deciding_files() {
            let Some(octets) = files.0.get(name) else { continue };
            let Some(file) = TextFile::read(name, octets, &mut quiet) else { continue };
            if std::path::Path::new(name).extension().is_some_and(|extension| extension == "toml") {
                let table: toml::Table = toml::from_str(file.text).unwrap_or_default();
                let mut values = BTreeMap::new();
                flatten("", &toml::Value::Table(table), &mut values);
                let of = |(key, value): (String, String)| {
                    ((name.to_owned(), key), BTreeMap::from([("value".to_owned(), value)]))
                };
                entries.extend(values.into_iter().map(of));
                continue;
            }
            let mut rows = file.csv(&mut quiet).into_iter();
            let header = rows.next().unwrap_or_default();
            let key = header.iter().position(|cell| cell.text == "id").unwrap_or_default();
            for row in rows {
                let Some(id) = row.get(key).map(|cell| cell.text.clone()) else { continue };
                let cells = header.iter().zip(&row).filter(|(_, cell)| !cell.text.is_empty());
                let cells = cells.map(|(column, cell)| (column.text.clone(), cell.text.clone())).collect();
                entries.insert((name.to_owned(), id), cells);
            }
        }
        entries
    }

    /// What somebody outside sees of a plan: by agency and document, and the join.
    fn outcomes(
        &self,
        declaration: &Declaration,
        at: Timestamp,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let plan = self.plan(declaration, at);
        let name = |agency: &AgencyCode, document: &DocumentCode| format!("{agency} {document}");
        let of = |application: &PlannedApplication| {
            (name(&application.agency, &application.document), values_of(application))
        };
        let mut outcomes: BTreeMap<_, _> = plan.applications.iter().map(of).collect();
        if plan.applications.iter().any(|application| application.required)
            && let Some(join) = self.join(Pipeline::Lodge)
        {
            outcomes.insert("join".to_owned(), BTreeMap::from([("name".to_owned(), join.id.to_string())]));
        }
        outcomes
    }
}

fn values_of(application: &PlannedApplication) -> BTreeMap<String, String> {
    fn list<T: ToString>(items: &[T]) -> String {
        items.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
    }
    let by = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let PlannedApplication { party, cpa_id, result, items, laws, required, accept_by, decide_by, .. } =
        application;
    let values = [
        ("party", party.to_string()),
        ("agreement", cpa_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("result", result.to_string()),
        ("lines", list(items)),
        ("laws", list(laws)),
        ("counted", if *required { "yes" } else { "no" }.to_owned()),
        ("accept by", by(*accept_by)),
        ("decide by", by(*decide_by)),
    ];
    values
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// The leaves of a TOML value by their paths; lists are leaves.
fn flatten(path: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        leaf => drop(into.insert(path.to_owned(), leaf.to_string())),
    }
}

fn changes<K: Ord + Clone>(
    before: &BTreeMap<K, BTreeMap<String, String>>,
    after: &BTreeMap<K, BTreeMap<String, String>>,
) -> Vec<(K, Change)> {
    let keys: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    let change = |key: &K| match (before.get(key), after.get(key)) {
        (Some(before), Some(after)) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            let value =
                |values: &BTreeMap<String, String>, name| values.get(name).cloned().unwrap_or_default();
            let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
            let changed: Vec<ValueChange> = changed
                .map(|name| ValueChange {
                    key: name.clone(),
                    before: value(before, name),
                    after: value(after, name),
                })
                .collect();
            (!changed.is_empty()).then_some(Change::Changed(changed))
        }
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        (None, None) => None,
    };
    keys.into_iter().filter_map(|key| Some((key.clone(), change(key)?))).collect()
}
