//! Why a declaration is routed as it is, in words: what `gwanmun rules explain` shows.

use std::sync::Arc;

use serde::Serialize;

use super::{Pipeline, Plan, RuleSet};
use crate::model::{Declaration, Timestamp};

/// A plan with the reasons for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Name and revision of the rule set.
    pub rule_set: String,
    /// The instant that dates are held against.
    pub at: Timestamp,
    /// What the gateway would do.
    pub plan: Plan,
    /// Each line, for people.
    pub lines: Vec<LineExplanation>,
    /// What completes the case.
    pub join: String,
    /// What looks odd.
    pub warnings: Vec<String>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineExplanation {
    /// SequenceNumeric.
    pub line: u16,
    /// HS code.
    pub hs: String,
    /// Rows that match: what each asks for, and why it does not count where it does not.
    pub hits: Vec<String>,
    /// Rows that match but for one condition.
    pub near: Vec<String>,
    /// Approvals that the declarant says to hold: claimed, not verified.
    pub claimed: Vec<String>,
}

impl RuleSet {
    /// The plan of a declaration accepted `at` this instant, with the reasons.
    #[must_use]
    pub fn explain(&self, declaration: &Declaration, at: Timestamp) -> Explanation {
        let plan = self.plan(declaration, at);
        let mut warnings = Vec::new();
        let mut lines = Vec::new();
        // Rows and traces come line by line, as the plan was made.
        let mut rows_left = plan.rows.as_slice();
        for (line, trace) in declaration.lines.iter().zip(&plan.trace) {
            let (rows_here, later) = rows_left.split_at(trace.hit.len());
            rows_left = later;
            let rows = || rows_here.iter();
            for stated in &line.not_applicable {
                let fallen = rows().filter(|row| row.law == stated.law && row.removed.is_some()).count();
                if fallen > 1 {
                    warnings.push(format!(
                        "line {}: the statement about law {} takes {fallen} requirements away",
                        line.sequence, stated.law
                    ));
                }
            }
            let hit = |row: &crate::model::PlannedRow| {
                let removed: Arc<str> =
                    row.removed.as_ref().map(|why| format!(" ({why})").into()).unwrap_or_default();
                format!("{}: law {} -> {} {}{removed}", row.rule, row.law, row.agency, row.document)
            };
            let near = trace.near.iter();
            let claimed = line
                .requirements
                .iter()
                .map(|held| format!("law {} under number {} (claimed, not verified)", held.law, held.number));
            lines.push(LineExplanation {
                line: line.sequence,
                hs: line.hs.to_string(),
                hits: rows().map(hit).collect(),
                near: near.map(|(rule, failing)| format!("{rule} but for {failing}")).collect(),
                claimed: claimed.collect(),
            });
        }
        let required = plan.applications.iter().filter(|application| application.required).count();
        let join = match self.join(Pipeline::Lodge) {
            _ if required == 0 => "nothing is required: ready at once".to_owned(),
            Some(join) => format!("{}: all_collected after {required} required application(s)", join.id),
            None => format!("all_collected after {required} required application(s)"),
        };
        let rule_set = format!("{} {}", self.id(), self.revision());
        Explanation { rule_set, at, plan, lines, join, warnings }
    }
}
