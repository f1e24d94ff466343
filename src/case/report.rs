//! Status reports (XS2): what the broker and customs are told about a case as a whole.

use crate::model::{
    Application, ApplicationState, Case, EventKind, JoinEvent, StatusReport, StatusReportRow, Timestamp,
};

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportEvent {
    /// The lodging was accepted; something about it is worth telling at once.
    Lodged,
    /// A join event.
    Join(EventKind),
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
            Self::Join(EventKind::FirstResult) => "first_result",
            Self::Join(EventKind::AllCollected { .. }) => "all_collected",
            Self::Join(EventKind::Reopened) => "reopened",
        }
    }
}

/// The report of an event in this revision and round. Its number follows from them, so that a repeated report
/// is known as one. `None` for a case without a declaration.
#[must_use]
pub fn status_report(case: &Case, event: ReportEvent, at: Timestamp) -> Option<StatusReport> {
    let declaration = case.declaration.clone()?;
    let name = event.as_str();
    let outcome = match event {
        ReportEvent::Join(EventKind::AllCollected { favourable: true }) => Some("favourable".into()),
        ReportEvent::Join(EventKind::AllCollected { favourable: false }) => Some("unfavourable".into()),
        _ => None,
    };
    let number = format!("{declaration}-{}-{}-{}", case.revision, case.round, name.replace('_', "-"));
    Some(StatusReport {
        number: number.into(),
        issued_at: at,
        declaration,
        case: case.id.clone().into(),
        revision: case.revision,
        event: name.into(),
        outcome,
        applications: case.applications.iter().map(row).collect(),
    })
}

fn row(application: &Application) -> StatusReportRow {
    StatusReportRow {
        agency: application.agency.clone().into(),
        document: application.document.clone(),
        number: application.number.clone(),
        state: application.state.as_str().into(),
        remarks: remedy(application.state).map(Into::into),
    }
}

/// What the submitter should do about it.
const fn remedy(state: ApplicationState) -> Option<&'static str> {
    match state {
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
