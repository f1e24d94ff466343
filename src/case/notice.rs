//! Notices of an agency (domain brief, 5.2): they overtake each other, and none overwrites a final outcome.

use super::version::Version;
use crate::model::{
    Application, ApplicationState, MessageId, NoticeDocument, NoticeKind, ReceivedNotice, Timestamp,
};

/// What a notice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEffect {
    /// It says where the application stands now.
    Moved,
    /// A newer one, or a final outcome, was there already.
    Superseded,
    /// It moves nothing by its nature, or is about a request to cancel.
    Information,
    /// The agency refuses to cancel the application.
    CancellationRefused,
    /// It is about a version that was replaced.
    FormerVersion,
}

/// Applies a notice about this version of an application: the agency's issue time orders, the order of receipt breaks ties, and superseded ones stay
/// in the history.
pub fn apply_notice(
    application: &mut Application,
    version: Version,
    notice: &NoticeDocument,
    message_id: MessageId,
    received_at: Timestamp,
) -> NoticeEffect {
    let moves = |kind: NoticeKind| state_of(kind).is_some();
    let counted = application.notices.iter().filter(|n| moves(n.notice) && !n.superseded);
    let newest = counted.map(|n| n.issued_at).max();
    let is_final = matches!(application.state, ApplicationState::Decided(_));
    let superseded =
        version != Version::Current || is_final || newest.is_some_and(|newest| notice.issued_at < newest);
    if !superseded || application.acceptance_number.is_none() {
        let number = notice.acceptance_number.clone();
        application.acceptance_number = number.or(application.acceptance_number.take());
    }
    application.notices.push(ReceivedNotice {
        notice: notice.notice,
        message_id,
        issued_at: notice.issued_at,
        received_at,
        remarks: notice.remarks.clone(),
        deadline: notice.deadline,
        superseded,
    });
    match version {
        Version::Current => {}
        Version::Former => return NoticeEffect::FormerVersion,
        Version::Cancellation if notice.notice != NoticeKind::Error => return NoticeEffect::Information,
        Version::Cancellation => {
            if let Some(cancellation) = &mut application.cancellation {
                cancellation.refused = true;
            }
            return NoticeEffect::CancellationRefused;
        }
    }
    match state_of(notice.notice) {
        None => NoticeEffect::Information,
        Some(_) if superseded => NoticeEffect::Superseded,
        Some(state) => {
            application.state = state;
            application.state_issued_at = Some(notice.issued_at);
            NoticeEffect::Moved
        }
    }
}

/// The state that a notice tells; none when it is information only.
const fn state_of(notice: NoticeKind) -> Option<ApplicationState> {
    Some(match notice {
        NoticeKind::Error => ApplicationState::Error,
        NoticeKind::Accepted => ApplicationState::Accepted,
        NoticeKind::UnderReview => ApplicationState::UnderReview,
        NoticeKind::DocumentsRequested => ApplicationState::DocumentsRequested,
        NoticeKind::SupplementRequested => ApplicationState::SupplementRequested,
        NoticeKind::InspectionOrdered => ApplicationState::InspectionOrdered,
        NoticeKind::FeeRequested => ApplicationState::FeeRequested,
        NoticeKind::CustomsDone => return None,
    })
}
