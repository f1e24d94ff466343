//! Notices of customs about a declaration (domain brief, 5.4).

use crate::model::{Case, CaseState, CustomsNotice};

/// What a notice of customs did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomsEffect {
    /// The case is cleared; `early` when agencies were still to answer, which an operator should see.
    Cleared {
        /// The case was not ready.
        early: bool,
    },
    /// The declaration is dismissed.
    Dismissed,
    /// Noted; the case stays where it is.
    Noted,
    /// An end was told for a case that has another one already.
    Contradicts,
    /// An amendment or a withdrawal is refused that took force here when it was accepted (ruling 21).
    Refuses,
}

/// 023 with one of these says that the goods are cleared.
const CLEARED: [&str; 3] = ["13", "14", "15"];

/// 5FK and 5BG with one of these refuse.
const REFUSED: [&str; 2] = ["08", "09"];

/// Applies a notice. Its issue time orders what is shown as the last word of customs; an end is an end,
/// whatever overtook it.
pub fn apply_customs_notice(case: &mut Case, notice: &CustomsNotice) -> CustomsEffect {
    if case.customs_issued_at.is_none_or(|newest| newest <= notice.issued_at) {
        case.customs_issued_at = Some(notice.issued_at);
        case.customs_status.clone_from(&notice.status);
    }
    let status = notice.status.as_deref().unwrap_or_default();
    let end = match notice.code.as_str() {
        "GOVCBR5FK" | "GOVCBR5BG" if REFUSED.contains(&status) => return CustomsEffect::Refuses,
        "GOVCBR023" if CLEARED.contains(&status) => CaseState::Cleared,
        "GOVCBRR21" => CaseState::Dismissed,
        _ => return CustomsEffect::Noted,
    };
    match case.state {
        state if state == end => CustomsEffect::Noted,
        state if state.is_end() => CustomsEffect::Contradicts,
        state => {
            case.state = end;
            match end {
                CaseState::Cleared => CustomsEffect::Cleared { early: state != CaseState::Ready },
                _ => CustomsEffect::Dismissed,
            }
        }
    }
}
