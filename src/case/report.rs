//! Status reports (XS2): what the broker and customs are told about a case as a whole.

use std::sync::Arc;

use super::deadline::Late;
use crate::model::{
    Application, ApplicationState, Case, Duty, EventKind, JoinEvent, ReportedClaim, ReportedDeadline,
    StatusReport, StatusReportRow, Term, Timestamp,
};

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportEvent {
    /// The lodging was accepted; something about it is worth telling at once.
    Lodged,
    /// A join event.
    Join(EventKind),
    /// The broker's amendment took force: a new revision.
    Amended,
    /// The broker's withdrawal took force.
    Withdrawn,
    /// An approval lapsed, in a case that was not collected anyway.
    Lapsed,
    /// An approval that was held before covers a requirement no more, in a case that was not collected anyway.
    ApprovalUndone,
    /// A deadline of an application comes near, or has passed.
    Deadline {
        /// Place of the application in the case.
        application: usize,
        /// What has the deadline.
        term: Term,
        /// Which share of it is used up, per mille.
        share: u16,
        /// When that was.
        at: Timestamp,
    },
}

impl From<&Late> for ReportEvent {
    fn from(late: &Late) -> Self {
        let Duty { term, share, at, .. } = late.duty;
        Self::Deadline { application: late.application, term, share, at }
    }
}

impl From<&JoinEvent> for ReportEvent {
    fn from(event: &JoinEvent) -> Self {
        Self::Join(event.kind)
    }
}

impl ReportEvent {
    /// Its name in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lodged => "lodged",
            Self::Amended => "amended",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
            Self::ApprovalUndone => "approval_undone",
            Self::Join(EventKind::FirstResult) => "first_result",
            Self::Join(EventKind::AllCollected { .. }) => "all_collected",
            Self::Join(EventKind::Reopened) => "reopened",
            Self::Join(EventKind::Overdue { .. }) | Self::Deadline { share: Duty::WHOLE, .. } => "overdue",
            Self::Deadline { .. } => "reminder",
        }
    }
}

/// The report of an event in this revision and round. Its number follows from them and from the outcome, so that
/// a repeated report is known as one. `None` for a case without a declaration.
#[must_use]
pub fn status_report(case: &Case, event: ReportEvent, at: Timestamp) -> Option<StatusReport> {
    let declaration = case.declaration.clone()?;
    let name = event.as_str();
    let outcome: Option<Arc<str>> = match event {
        ReportEvent::Join(EventKind::AllCollected { favourable: true }) => Some("favourable".into()),
        ReportEvent::Join(EventKind::AllCollected { favourable: false }) => Some("unfavourable".into()),
        _ => None,
    };
    let mut number = format!("{declaration}-{}-{}-{}", case.revision, case.round, name.replace('_', "-"));
    if let Some(outcome) = &outcome {
        // After a restore what was collected may come to another: who knows the one has still to hear the other.
        number.push_str(&format!("-{outcome}"));
    }
    let mut deadline = None;
    if matches!(event, ReportEvent::Lapsed | ReportEvent::ApprovalUndone) {
        // Approvals may end one after the other.
        number.push_str(&format!("-{}", at.as_millis() / 1000));
    }
    if event == ReportEvent::ApprovalUndone {
        // And several at once, each of which leaves one more claim unverified.
        number.push_str(&format!("-{}", case.unverified.len()));
    }
    if let ReportEvent::Deadline { application, term, at: since, .. } = event {
        // The same deadline may begin anew: the instant tells one from the other.
        number.push_str(&format!("-{application}-{}-{}", term.as_str(), since.as_millis() / 1000));
        deadline = case.applications.get(application).and_then(|about| reported(about, term));
    }
    Some(StatusReport {
        number: number.into(),
        realm: case.realm,
        issued_at: at,
        declaration: Some(declaration),
        case: case.id.clone().into(),
        revision: case.revision,
        event: name.into(),
        outcome,
        state: None,
        customs_status: None,
        deadline,
        applications: case.applications.iter().map(row).collect(),
        claims: claims(case),
        timeline: Vec::new(),
    })
}

/// Where a case stands, for a party that asks; without its timeline.
#[must_use]
pub fn status_answer(case: &Case, number: String, at: Timestamp) -> StatusReport {
    StatusReport {
        number: number.into(),
        realm: case.realm,
        issued_at: at,
        declaration: case.declaration.clone(),
        case: case.id.clone().into(),
        revision: case.revision,
        event: "status".into(),
        outcome: None,
        state: Some(case.state.as_str().into()),
        customs_status: case.customs_status.clone(),
        deadline: None,
        applications: case.applications.iter().map(row).collect(),
        claims: claims(case),
        timeline: Vec::new(),
    }
}

/// The rows of some applications.
#[must_use]
pub fn status_rows(case: &Case, of: impl Fn(&Application) -> bool) -> Vec<StatusReportRow> {
    case.applications.iter().filter(|application| of(application)).map(row).collect()
}

/// The same as far as it concerns one agency: its own application of this place.
#[must_use]
pub fn status_report_for_agency(
    case: &Case,
    event: ReportEvent,
    application: usize,
    at: Timestamp,
) -> Option<StatusReport> {
    let own = row(case.applications.get(application)?);
    status_report(case, event, at).map(|report| StatusReport {
        applications: vec![own],
        claims: Vec::new(),
        ..report
    })
}

fn reported(application: &Application, term: Term) -> Option<ReportedDeadline> {
    let duties = application.watch.iter().flat_map(|watch| &watch.duties);
    let end =
        duties.filter(|duty| duty.term == term && duty.share == Duty::WHOLE).map(|duty| duty.at).next()?;
    Some(ReportedDeadline {
        agency: application.agency.clone().into(),
        document: application.document.clone(),
        number: application.number.clone(),
        term: term.as_str().into(),
        at: end,
    })
}

fn row(application: &Application) -> StatusReportRow {
    StatusReportRow {
        agency: application.agency.clone().into(),
        document: application.document.clone(),
        number: application.number.clone(),
        state: application.state.as_str().into(),
        decide_by: application.decide_by,
        overdue_since: application.overdue_since(),
        remarks: remedy(application).map(Into::into),
    }
}

/// The approvals that lines cite, as far as a requirement asks for one.
fn claims(case: &Case) -> Vec<ReportedClaim> {
    let verified = case.held.iter().map(|held| ReportedClaim {
        line: held.line,
        law: held.law.clone(),
        number: held.approval.number.clone(),
        verified: true,
        remarks: format!("{} of {} {} is used", held.quantity.value, held.of, held.quantity.unit).into(),
    });
    let unverified = case.unverified.iter().map(|claim| ReportedClaim {
        line: claim.line,
        law: claim.law.clone(),
        number: claim.number.clone(),
        verified: false,
        remarks: claim.why.clone(),
    });
    let mut claims: Vec<_> = verified.chain(unverified).collect();
    claims.sort_by_key(|claim| claim.line);
    claims.truncate(CLAIMS_MAX);
    claims
}

/// Rows of that kind in one report, as its schema has it.
const CLAIMS_MAX: usize = 9999;

/// What the submitter should do about it.
fn remedy(application: &Application) -> Option<&'static str> {
    match application.state {
        _ if application.released_in.is_some() => Some("the amended declaration does not need it any more"),
        ApplicationState::Blocked if application.number.is_some() => Some(
            "the amended declaration needs a new version: send one with FunctionCode 5 under the same number",
        ),
        ApplicationState::Blocked => {
            Some("the document is required and was not enclosed: send it in the conversation of the lodging")
        }
        ApplicationState::Error => {
            Some("the agency refused the document: send a corrected one in the conversation of the lodging")
        }
        ApplicationState::Undeliverable => Some("the agency could not be reached; an operator has to act"),
        ApplicationState::DocumentsRequested | ApplicationState::SupplementRequested => {
            Some("the agency waits for documents")
        }
        _ => None,
    }
}
