//! Versions of an application: a document that replaces or changes one that its agency has, and which of them an
//! answer is about (domain brief, 5.2; rulings 22, 23).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::result::conclude;
use crate::model::{
    Application, ApplicationDocument, ApplicationState, Case, MessageId, PlannedRow, ReceivedPart,
};

/// What an agency's document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The application as it stands.
    Current,
    /// The request to cancel it.
    Cancellation,
    /// A version that was replaced: its answers are kept and change nothing.
    Former,
}

/// The version of an application that a MessageId of ours names; none when it names nothing of it.
#[must_use]
pub fn version_named(application: &Application, sent: &MessageId) -> Option<Version> {
    let cancellation = application.cancellation.as_ref();
    if application.sent_as.as_ref() == Some(sent) {
        Some(Version::Current)
    } else if cancellation.is_some_and(|cancellation| cancellation.message_id == *sent) {
        Some(Version::Cancellation)
    } else {
        application.former.contains(sent).then_some(Version::Former)
    }
}

/// Why a document cannot replace an application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceFault {
    /// No application of the case has its number.
    #[error("no application of this case has number {0}")]
    UnknownNumber(Arc<str>),
    /// It is another form.
    #[error("application {0} is another form")]
    OtherForm(Arc<str>),
    /// The agency has decided.
    #[error("application {number} is {}: only one that is not decided can be replaced", .state.as_str())]
    Decided {
        /// Its number.
        number: Arc<str>,
        /// Where it stands.
        state: ApplicationState,
    },
}

/// Replaces (FunctionCode 5) or changes (4) the application with the number of the document, which its agency has
/// not decided. What the agency asked for is answered by it: the application waits for the agency again. Returns its
/// place in the case.
///
/// # Errors
/// [`ReplaceFault`]; the case is then unchanged.
pub fn replace(
    case: &mut Case,
    document: &ApplicationDocument,
    sent_as: &MessageId,
    source: ReceivedPart,
) -> Result<usize, ReplaceFault> {
    let number = || document.number.clone();
    let numbered = case.applications.iter().position(|a| a.number.as_ref() == Some(&document.number));
    let index = numbered.ok_or_else(|| ReplaceFault::UnknownNumber(number()))?;
    let required: BTreeSet<u16> = {
        let application = &case.applications[index];
        // Another application may have taken its place: rows ask for that one.
        let asks = |row: &&PlannedRow| {
            application.is_planned()
                && row.removed.is_none()
                && (&row.agency, &row.document) == (&application.agency, &application.document)
        };
        case.expected.iter().filter(asks).map(|row| row.line).collect()
    };
    let application = &mut case.applications[index];
    if application.document != document.code {
        return Err(ReplaceFault::OtherForm(number()));
    }
    if let state @ ApplicationState::Decided(_) = application.state {
        return Err(ReplaceFault::Decided { number: number(), state });
    }
    let items: BTreeSet<u16> = document.items.iter().map(|item| item.sequence).collect();
    application.items = required.union(&items).copied().collect();
    let kept = &application.items;
    application.outcomes.retain(|item, _| kept.contains(item));
    application.former.extend(application.sent_as.replace(sent_as.clone()));
    application.former.extend(application.cancellation.take().map(|cancellation| cancellation.message_id));
    application.source = Some(source);
    conclude(application, ApplicationState::Created);
    Ok(index)
}
