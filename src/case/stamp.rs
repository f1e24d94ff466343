//! The version of an application, for whoever decides on what was seen of it.

use crate::model::{Application, Payment, PaymentState, derive_id};

/// A word that changes with everything that is said and done about the application. Its deadlines are not part of it, nor
/// is how often a bank was asked: neither takes a decision out of anybody's hands.
///
/// # Panics
/// Never: an application is plain data.
#[must_use]
pub fn version_of(application: &Application) -> String {
    let mut said = Application { watch: None, accept_by: None, decide_by: None, ..application.clone() };
    for payment in said.fees.iter_mut().flat_map(|fee| &mut fee.payments).filter(|p| p.state.is_under_way()) {
        let Payment { ordered_at, .. } = *payment;
        *payment = Payment {
            state: PaymentState::Pending,
            attempts: 0,
            due: ordered_at,
            reason: String::new(),
            late: false,
            ..payment.clone()
        };
    }
    let record = serde_json::to_string(&said).expect("an application is plain data");
    let mut version = derive_id(&["version", &record]);
    version.truncate(VERSION_CHARS);
    version
}

/// Enough to tell the versions of one application apart.
const VERSION_CHARS: usize = 12;
