//! What goods need, asked by HS code: which requirements there are at an instant, and under which conditions (domain
//! brief, 7.4; ruling 8: only here codes may be shorter than ten digits).
//!
//! What the question leaves open stays a condition of the answer; it is not a missing value as in a declaration.

use serde::Serialize;

use super::RuleSet;
use super::condition::{NumberRange, TextSet};
use super::goods::HsRange;
use super::table::Conditions;
use crate::model::{
    AgencyCode, CountryCode, DocumentCode, HsCode, LawCode, RuleId, Timestamp, Timing, UsageCode,
};

/// What is asked about.
#[derive(Clone, Debug)]
pub struct LookupQuery {
    /// HS code of 2 to 10 digits.
    pub hs: HsCode,
    /// Country of origin; open when left out.
    pub origin: Option<CountryCode>,
    /// Usage; open when left out.
    pub usage: Option<UsageCode>,
    /// The instant at which rows must be in force.
    pub at: Timestamp,
}

/// A requirement for the goods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookupRow {
    /// Rule row.
    pub rule: RuleId,
    /// Law.
    pub law: LawCode,
    /// Agency.
    pub agency: AgencyCode,
    /// Application document.
    pub application: DocumentCode,
    /// Result document.
    pub result: DocumentCode,
    /// When it is due.
    pub timing: Timing,
    /// Whether it is for some of the goods of the code only.
    pub partly: bool,
    /// What must hold besides, in words.
    pub conditions: Vec<String>,
    /// Exceptions that may take it away, with their conditions.
    pub exceptions: Vec<LookupException>,
}

/// An exception to a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookupException {
    /// Rule row.
    pub rule: RuleId,
    /// Its reason.
    pub reason: String,
    /// What must hold for it, in words.
    pub conditions: Vec<String>,
}

impl RuleSet {
    /// The requirements that goods of a code can meet, in order of law, agency and row.
    #[must_use]
    pub fn lookup(&self, query: &LookupQuery) -> Vec<LookupRow> {
        let goods = HsRange::of(query.hs);
        let met = self.requirements.iter().filter(|row| goods.meets(&row.when.goods));
        let mut rows: Vec<LookupRow> = met
            .filter_map(|row| {
                let exceptions = self.exceptions.iter().filter(|exception| {
                    exception.takes_away(row) && goods.meets_both(&exception.when.goods, &row.when.goods)
                });
                let exceptions = exceptions.filter_map(|exception| {
                    let mut conditions = exception.when.open(query)?;
                    if !goods.is_within(&exception.when.goods) {
                        conditions.push("it is for some of these goods only".to_owned());
                    }
                    let (rule, reason) = (exception.id.clone(), exception.reason.to_string());
                    Some(LookupException { rule, reason, conditions })
                });
                Some(LookupRow {
                    conditions: row.when.open(query)?,
                    exceptions: exceptions.collect(),
                    partly: !goods.is_within(&row.when.goods),
                    rule: row.id.clone(),
                    law: row.law.clone(),
                    agency: row.agency.clone(),
                    application: row.application.clone(),
                    result: row.result.clone(),
                    timing: row.timing,
                })
            })
            .collect();
        rows.sort_by(|a, b| (&a.law, &a.agency, &a.rule).cmp(&(&b.law, &b.agency, &b.rule)));
        rows
    }
}

impl Conditions {
    /// The conditions that the question leaves open, goods left out; `None` when one of them fails.
    fn open(&self, query: &LookupQuery) -> Option<Vec<String>> {
        let in_force =
            self.from.is_none_or(|from| from <= query.at) && self.until.is_none_or(|until| query.at < until);
        let answered = [
            (&self.origin, query.origin.as_ref().map(CountryCode::as_str)),
            (&self.usage, query.usage.as_ref().map(AsRef::as_ref)),
        ];
        if !in_force || answered.iter().any(|(set, value)| value.is_some() && !set.takes(*value)) {
            return None;
        }
        let texts = [
            ("origin", &self.origin, query.origin.is_none()),
            ("usage", &self.usage, query.usage.is_none()),
            ("export_from", &self.export_from, true),
            ("importer", &self.importer, true),
        ];
        let texts = texts.into_iter().filter(|(_, set, open)| *open && !set.is_any());
        let numbers = [("value", self.value), ("weight", self.weight)];
        let numbers = numbers.into_iter().filter(|(_, range)| !range.is_any());
        let texts = texts.map(|(name, set, _)| format!("{name} is {}", in_words(set)));
        Some(
            texts
                .chain(numbers.map(|(name, range): (_, NumberRange)| format!("{name} is {range}")))
                .collect(),
        )
    }
}

fn in_words(set: &TextSet) -> String {
    let list = |items: &std::collections::BTreeSet<String>| {
        items.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
    };
    match (set.within.is_empty(), set.without.is_empty()) {
        (true, _) => format!("not {}", list(&set.without)),
        (false, true) => list(&set.within),
        (false, false) => format!("{}, but not {}", list(&set.within), list(&set.without)),
    }
}
