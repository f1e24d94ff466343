//! Rule directories: read and checked as a whole, matched, planned, explained (domain brief, 7).
//!
//! Promises: octets in, values out; a set with one error is no set; every matching row contributes and the order of
//! rows means nothing; the gateway, `explain` and `test` use the one matcher; a digest names exactly what was
//! decided with.
//!
//! Does not: read files (`config` does), know cases, or decide an outcome: deadlines are only reckoned here.

mod archive;
mod calendar;
mod check;
mod compare;
mod condition;
mod explain;
mod fault;
mod goods;
mod index;
mod load;
mod lookup;
mod matcher;
mod overlap;
mod plan;
mod reader;
mod review;
mod ruleset;
mod suite;
mod table;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::model::{
    AgencyCode, CpaId, Digest, DocumentCode, LawCode, PartyKey, PlannedRow, Registry, Role, RuleId,
    RuleTrace, Timestamp, Timing, Watch,
};

pub use compare::{Change, PlanChange, TextChange, ValueChange};
pub use explain::{Explanation, LineExplanation};
pub use fault::{RuleFault, RuleSeverity};
pub use load::RuleSet;
pub use lookup::{LookupException, LookupQuery, LookupRow};
pub use suite::{Sample, SuiteOutcome, SuiteReport};

/// The files of a rule directory: path with `/` between its parts, and octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFiles(pub BTreeMap<String, Vec<u8>>);

/// What exists outside a rule directory, for its check.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Whether a list knows a code: `country`, `law`, `document` (a schema is there), `hs` (the code, or one below
    /// or above it, is in the table).
    pub codes: &'a dyn Fn(&str, &str) -> bool,
    /// Parties and agreements, when they are known too.
    pub registry: Option<&'a Registry>,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("registry", &self.registry.is_some()).finish_non_exhaustive()
    }
}

/// What of a header decides where a message goes.
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeQuery<'a> {
    /// Service.
    pub service: &'a str,
    /// Action.
    pub action: &'a str,
    /// Role of the sender.
    pub from_role: Option<&'a Role>,
    /// The registered sender.
    pub from: &'a PartyKey,
    /// CPAId.
    pub cpa: &'a CpaId,
}

/// An envelope rule: what is done with messages of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeRule {
    /// Its name in the rule set.
    pub id: Arc<str>,
    /// What is done.
    pub pipeline: Pipeline,
    /// Who else gets the declaration.
    pub also_to: Vec<Addressee>,
    /// Who gets the document passed on.
    pub relay: Vec<Addressee>,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pipeline {
    /// Opens a case.
    Lodge,
    /// An application that follows its declaration.
    Application,
    /// A result of an agency.
    Result,
    /// A notice of an agency.
    Notice,
    /// A notice of customs.
    CustomsNotice,
    /// The withdrawal of a declaration.
    Withdraw,
    /// A question of a partner.
    Query,
    /// The amendment of a declaration.
    Amend,
    /// A fee that an agency asks.
    Fee,
    /// An order to pay one.
    Payment,
}

impl Pipeline {
    fn of_text(text: &str) -> Option<Self> {
        Some(match text {
            "lodge" => Self::Lodge,
            "application" => Self::Application,
            "result" => Self::Result,
            "notice" => Self::Notice,
            "customs-notice" => Self::CustomsNotice,
            "withdraw" => Self::Withdraw,
            "query" => Self::Query,
            "amend" => Self::Amend,
            "fee" => Self::Fee,
            "payment" => Self::Payment,
            _ => return None,
        })
    }
}

/// Somebody in the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addressee {
    /// Who lodged it.
    Applicant,
    /// The customs system.
    Customs,
}

/// When the results of a case are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRule {
    /// Its name in the rule set.
    pub id: Arc<str>,
    /// Whose cases it is for.
    pub pipeline: Pipeline,
    /// Rows with these timings do not count.
    pub ignore_timing: Vec<Timing>,
}

/// The agency behind an application document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgencyTarget {
    /// Agency code of the rule set.
    pub agency: AgencyCode,
    /// The registered party behind it.
    pub party: PartyKey,
    /// The agreement with it; a hosted agency has none.
    pub cpa_id: Option<CpaId>,
    /// The result document that answers the application.
    pub result: DocumentCode,
}

/// An agency of a rule set and the documents that go between it and applicants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgencyForms<'a> {
    /// Agency code.
    pub agency: &'a AgencyCode,
    /// The registered party behind it.
    pub party: &'a PartyKey,
    /// The agreement with it; a hosted agency has none.
    pub cpa_id: Option<&'a CpaId>,
    /// Application documents, each with the result that answers it.
    pub forms: BTreeSet<(&'a DocumentCode, &'a DocumentCode)>,
}

/// Which fields of a declaration, beside HS code, origin and usage, some row of a set looks at. One that none looks
/// at is no matched field: its amendment touches nothing (ruling 21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LooksAt {
    /// Value of a line.
    pub value: bool,
    /// Net weight of a line.
    pub weight: bool,
    /// The importer.
    pub importer: bool,
    /// Country of export.
    pub export_from: bool,
}

/// What a declaration needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Digest of the rule set.
    pub rule_set: Digest,
    /// The expected set.
    pub rows: Vec<PlannedRow>,
    /// The applications, in order of agency and document.
    pub applications: Vec<PlannedApplication>,
    /// Why, line by line.
    pub trace: Vec<RuleTrace>,
}

/// An application that a declaration needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedApplication {
    /// Agency code.
    pub agency: AgencyCode,
    /// The registered party behind it.
    pub party: PartyKey,
    /// The agreement with it; a hosted agency has none.
    pub cpa_id: Option<CpaId>,
    /// Application document code.
    pub document: DocumentCode,
    /// Result document code.
    pub result: DocumentCode,
    /// Declaration lines, ascending.
    pub items: Vec<u16>,
    /// Laws.
    pub laws: Vec<LawCode>,
    /// Rule rows.
    pub rules: Vec<RuleId>,
    /// Whether the join waits for it.
    pub required: bool,
    /// Deadline profile that applies.
    pub profile: Option<Arc<str>>,
    /// What is watched under it.
    #[serde(skip)]
    pub watch: Option<Watch>,
    /// When the agency should have accepted it.
    pub accept_by: Option<Timestamp>,
    /// When the agency should have decided it.
    pub decide_by: Option<Timestamp>,
}
