//! Taking back: an application is to be cancelled, or the whole declaration is withdrawn (domain brief, 5.2 rule 6
//! and 5.3; rulings 21, 23, 24).
//!
//! A cancellation is a request: the application stays what it is until its agency confirms, by a result whose
//! outcome is cancelled. A withdrawal takes force at once, and every application that is outstanding is to be
//! cancelled.

use std::sync::Arc;

use crate::model::{Application, ApplicationState, Cancellation, Case, CaseState, Withdrawal};

/// Why something cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WithdrawalFault {
    /// The case has ended.
    #[error("the case is {}: nothing about it can be changed any more", .0.as_str())]
    Ended(CaseState),
    /// The agency has decided, or has nothing to cancel.
    #[error("application {number} is {}: there is nothing to cancel", .state.as_str())]
    NotOutstanding {
        /// Its number.
        number: Arc<str>,
        /// Where it stands.
        state: ApplicationState,
    },
}

/// An application is to be cancelled. One whose agency refused its document has nothing to cancel; one that is
/// final stays final (ruling 23). Asking again is allowed: the agency may have refused.
///
/// # Errors
/// [`WithdrawalFault::NotOutstanding`]; nothing is changed then.
pub fn cancel(application: &mut Application, cancellation: Cancellation) -> Result<(), WithdrawalFault> {
    if !application.is_outstanding() {
        let number = application.number.clone().unwrap_or_default();
        return Err(WithdrawalFault::NotOutstanding { number, state: application.state });
    }
    application.cancellation = Some(cancellation);
    Ok(())
}

/// The declaration is withdrawn. Returns the places of the applications that are to be cancelled now: those that
/// are outstanding, and not to be cancelled already.
///
/// # Errors
/// [`WithdrawalFault::Ended`]; nothing is changed then.
pub fn withdraw(case: &mut Case, withdrawal: Withdrawal) -> Result<Vec<usize>, WithdrawalFault> {
    if case.state.is_end() {
        return Err(WithdrawalFault::Ended(case.state));
    }
    case.state = CaseState::Withdrawn;
    case.withdrawal = Some(withdrawal);
    let applications = case.applications.iter().enumerate();
    let outstanding = applications.filter(|(_, a)| a.is_outstanding() && !a.is_to_be_cancelled());
    Ok(outstanding.map(|(index, _)| index).collect())
}
