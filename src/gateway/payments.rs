//! Payments that are under way, for operators and metrics: also those of rehearsals, which say so.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::shared::{Shared, now};
use crate::model::{AgencyCode, Case, CaseId, Money, PaymentState, Realm, Timestamp, payment_key};
use crate::store::{CorrelationKey, DueCase, Listing, StoreError};

/// Cases that metrics look through for the oldest order: of more, it is that of the ones that are due first.
const METRICS_CASES_MAX: usize = 500;

/// A payment in one line.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// What the bank knows it by.
    key: Arc<str>,
    case: CaseId,
    declaration: Option<Arc<str>>,
    agency: AgencyCode,
    application: Option<Arc<str>>,
    fee: Arc<str>,
    order: Arc<str>,
    price: Money,
    state: PaymentState,
    ordered_at: Timestamp,
    attempts: u32,
    due: Timestamp,
    reason: String,
    late: bool,
    practice: bool,
}

/// Payments that are under way, by when the bank is next asked, of so many cases.
pub(super) fn in_hand(shared: &Shared, limit: usize) -> Result<Listing<Line>, StoreError> {
    let mut listing = Listing::default();
    for DueCase { id, .. } in shared.store.scheduled_payments(limit)? {
        // By its own name a case is found in either realm.
        match shared.store.case(Realm::Production, &CorrelationKey::Case(id)) {
            Ok(found) => listing.items.extend(found.iter().flat_map(|stored| lines(&stored.value))),
            Err(StoreError::Damaged(damage)) => listing.damaged.push(damage),
            Err(error) => return Err(error),
        }
    }
    Ok(listing)
}

/// How many there are, and the age of the oldest order.
pub(super) fn counted(shared: &Shared) -> Result<(u64, Duration), StoreError> {
    let lines = in_hand(shared, METRICS_CASES_MAX)?.items;
    let oldest = lines.iter().map(|line| line.ordered_at).min();
    Ok((lines.len() as u64, oldest.map(|at| now().since(at)).unwrap_or_default()))
}

fn lines(case: &Case) -> impl Iterator<Item = Line> {
    case.applications.iter().flat_map(move |application| {
        application.fees.iter().filter_map(move |fee| {
            let payment = fee.under_way()?;
            Some(Line {
                key: payment_key(&application.party, &fee.number),
                case: case.id.clone(),
                declaration: case.declaration.clone(),
                agency: application.agency.clone(),
                application: application.number.clone(),
                fee: fee.number.clone(),
                order: payment.order.clone(),
                price: fee.price.clone(),
                state: payment.state,
                ordered_at: payment.ordered_at,
                attempts: payment.attempts,
                due: payment.due,
                reason: payment.reason.clone(),
                late: payment.late,
                practice: case.realm.is_practice(),
            })
        })
    })
}
