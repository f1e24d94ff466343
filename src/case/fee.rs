//! Fees of an application and their payment at a bank (domain brief, 5.5): what is asked, what is ordered, what the bank
//! is told when, and what its answers do.
//!
//! Promises: a fee has one payment under way at most, and once the bank has booked one it has no other; what the bank
//! is told names the fee, so that the bank books it once, whatever is repeated; a payment that is under way ends by the
//! bank's word alone, whatever becomes of its application meanwhile; silence decides nothing.

use std::sync::Arc;
use std::time::Duration;

use super::notice::{NoticeEffect, apply_notice};
use super::version::Version;
use crate::model::{
    Application, ApplicationState, Bank, Case, CaseState, Charge, ChargeOutcome, Digest, DocumentCode, Fee,
    FeeNotice, FeeState, MessageId, MessageKey, Money, NoticeDocument, NoticeKind, Payment, PaymentOrder,
    PaymentState, PaymentTerms, Timestamp, payment_key,
};

/// Fees that an agency may ask for one application.
pub const FEES_MAX: usize = 100;
/// Orders that a fee may have: all but the last one refused by the bank.
pub const ORDERS_MAX: usize = 50;
/// Characters of what the bank says that are kept (`TextType` of `common-1.xsd`).
pub const REASON_CHARS_MAX: usize = 1000;

/// What a fee notice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeeEffect {
    /// The fee is noted; as a notice it did this.
    Noted(NoticeEffect),
    /// It came before.
    Repeated,
    /// Its number is that of another fee of the agency.
    OtherOctets,
    /// The application has [`FEES_MAX`].
    TooMany,
}

/// How a fee notice came.
#[derive(Clone, Debug)]
pub struct IncomingFee<'a> {
    /// The notice.
    pub notice: &'a FeeNotice,
    /// Its code.
    pub code: &'a DocumentCode,
    /// Digest of its octets.
    pub digest: Digest,
    /// MessageId that it came under.
    pub message_id: MessageId,
    /// When.
    pub received_at: Timestamp,
}

/// Applies a fee notice about this version of an application. As a notice it takes its place in the order of all of
/// them; the fee is there to be paid also when a newer notice was, and is void when there is nothing to pay it for.
pub fn apply_fee_notice(
    application: &mut Application,
    version: Version,
    incoming: IncomingFee<'_>,
) -> FeeEffect {
    let IncomingFee { notice, code, digest, message_id, received_at } = incoming;
    if let Some(known) = application.fees.iter().find(|fee| fee.number == notice.number) {
        return if known.digest == digest { FeeEffect::Repeated } else { FeeEffect::OtherOctets };
    }
    if application.fees.len() >= FEES_MAX {
        return FeeEffect::TooMany;
    }
    let is_over = version == Version::Former || matches!(application.state, ApplicationState::Decided(_));
    let said = NoticeDocument {
        code: code.clone(),
        number: notice.number.clone(),
        issued_at: notice.issued_at,
        application: Some(notice.application.clone()),
        notice: NoticeKind::FeeRequested,
        acceptance_number: None,
        deadline: Some(notice.due_by),
        remarks: Some(format!("{} for {}", notice.price, notice.reason).into()),
    };
    let effect = apply_notice(application, version, &said, message_id.clone(), received_at);
    application.fees.push(Fee {
        number: notice.number.clone(),
        message_id,
        digest,
        issued_at: notice.issued_at,
        received_at,
        price: notice.price.clone(),
        payee: notice.payee.clone(),
        due_by: notice.due_by,
        reason: notice.reason.clone(),
        state: if is_over { FeeState::Void } else { FeeState::Open },
        payments: Vec::new(),
    });
    FeeEffect::Noted(effect)
}

/// Why a payment order is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// The case has no such application, or that has no such fee.
    #[error("no fee {fee} is asked for an application {application} of yours")]
    Unknown {
        /// Number of the fee.
        fee: Arc<str>,
        /// Number of the application.
        application: Arc<str>,
    },
    /// The fee came for nothing that it could be paid for.
    #[error("fee {0} is void: it came when its application was decided or replaced")]
    Void(Arc<str>),
    /// It is paid.
    #[error("fee {fee} was paid already, by order {order} under the bank's reference {reference}")]
    Paid {
        /// Number of the fee.
        fee: Arc<str>,
        /// The order that paid it.
        order: Arc<str>,
        /// The bank's reference.
        reference: Arc<str>,
    },
    /// Its payment is under way.
    #[error("fee {fee} is being paid already, by order {order}")]
    UnderWay {
        /// Number of the fee.
        fee: Arc<str>,
        /// The order that pays it.
        order: Arc<str>,
    },
    /// The bank has refused an order of this number.
    #[error("order {0} was refused by the bank; a new order needs a number of its own")]
    UsedBefore(Arc<str>),
    /// It orders another amount, or in another currency.
    #[error("fee {fee} is {price}, and the order pays {paid}")]
    OtherAmount {
        /// Number of the fee.
        fee: Arc<str>,
        /// What is asked.
        price: Money,
        /// What is ordered.
        paid: Money,
    },
    /// The agency has decided.
    #[error("application {number} is {}: no fee of it can be ordered any more", .state.as_str())]
    Decided {
        /// Number of the application.
        number: Arc<str>,
        /// Where it stands.
        state: ApplicationState,
    },
    /// The case has ended.
    #[error("the case is {}: no fee of it can be ordered any more", .0.as_str())]
    Ended(CaseState),
    /// The fee has [`ORDERS_MAX`].
    #[error("fee {0} was ordered {ORDERS_MAX} times, which is the most; ask its agency for a new fee notice")]
    TooMany(Arc<str>),
}

/// Takes a payment order, and gives the place of its application. The payment is due at once.
///
/// # Errors
/// [`OrderFault`]; the case is then unchanged.
pub fn order_payment(
    case: &mut Case,
    order: &PaymentOrder,
    ordered_by: MessageKey,
    now: Timestamp,
) -> Result<usize, OrderFault> {
    let unknown = || OrderFault::Unknown { fee: order.fee.clone(), application: order.application.clone() };
    let state = case.state;
    let numbered = |a: &Application| a.number.as_ref() == Some(&order.application);
    let index = case.applications.iter().position(numbered).ok_or_else(unknown)?;
    let application = &mut case.applications[index];
    let fee = application.fees.iter_mut().find(|fee| fee.number == order.fee).ok_or_else(unknown)?;
    let of_fee = fee.number.clone();
    if let Some(paid) = fee.payments.iter().find(|payment| payment.state == PaymentState::Paid) {
        let reference = paid.reference.clone().unwrap_or_default();
        return Err(OrderFault::Paid { fee: of_fee, order: paid.order.clone(), reference });
    }
    if let Some(payment) = fee.under_way() {
        return Err(OrderFault::UnderWay { fee: of_fee, order: payment.order.clone() });
    }
    if fee.payments.iter().any(|payment| payment.order == order.number) {
        return Err(OrderFault::UsedBefore(order.number.clone()));
    }
    if state.is_end() {
        return Err(OrderFault::Ended(state));
    }
    if let ApplicationState::Decided(_) = application.state {
        return Err(OrderFault::Decided { number: order.application.clone(), state: application.state });
    }
    if fee.state == FeeState::Void {
        return Err(OrderFault::Void(of_fee));
    }
    if fee.price != order.price {
        let (price, paid) = (fee.price.clone(), order.price.clone());
        return Err(OrderFault::OtherAmount { fee: of_fee, price, paid });
    }
    if fee.payments.len() >= ORDERS_MAX {
        return Err(OrderFault::TooMany(of_fee));
    }
    fee.state = FeeState::Ordered;
    fee.payments.push(Payment {
        order: order.number.clone(),
        ordered_by,
        ordered_at: now,
        payer: order.payer.clone(),
        state: PaymentState::Pending,
        bank: None,
        attempts: 0,
        due: now,
        reason: String::new(),
        reference: None,
        ended_at: None,
        late: false,
    });
    Ok(index)
}

/// When the bank is next to be asked about a payment of the case.
#[must_use]
pub fn next_payment(case: &Case) -> Option<Timestamp> {
    let fees = case.applications.iter().flat_map(|application| &application.fees);
    fees.filter_map(Fee::under_way).map(|payment| payment.due).min()
}

/// What a look at the payments of a case comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What the bank is asked, with the number of the attempt.
    pub asked: Vec<(u32, Charge)>,
    /// Orders that are due and that nobody can be asked about, with the bank that was asked before.
    pub waiting: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// Counts an attempt at every payment that is due, and says what the bank is asked: committed before it is, so that an
/// answer finds its attempt. What is due further ahead than any attempt is planned by a clock that was set back since:
/// its time has come (P9). A payment that another bank was asked about waits for that one: what it has booked, this one
/// would book again (P3).
pub fn ask_bank(case: &mut Case, bank: Option<&Bank>, now: Timestamp) -> Look {
    let terms = bank.map_or_else(PaymentTerms::default, |bank| bank.terms);
    let stalled = now.plus(longest_payment_wait(&terms));
    let mut look = Look::default();
    for application in &mut case.applications {
        let (agency, number) = (&application.party, application.number.clone().unwrap_or_default());
        for fee in &mut application.fees {
            let key = payment_key(agency, &fee.number);
            let (price, payee) = (fee.price.clone(), fee.payee.clone());
            let purpose = format!("{} {number}: {}", fee.number, fee.reason).into();
            let Some(payment) = fee.under_way_mut() else { continue };
            if payment.due > now && payment.due <= stalled {
                continue;
            }
            let (order, payer) = (payment.order.clone(), payment.payer.clone());
            let asked_before = payment.bank.as_ref();
            let Some(bank) = bank.filter(|bank| asked_before.is_none_or(|before| *before == bank.name))
            else {
                payment.due = now.plus(terms.longest());
                look.waiting.push((order, payment.bank.clone()));
                continue;
            };
            payment.state = PaymentState::Asked;
            payment.bank = Some(bank.name.clone());
            payment.attempts = payment.attempts.saturating_add(1);
            payment.due = ask_again_at(&key, payment.attempts, now, &terms);
            let bank = bank.name.clone();
            look.asked.push((payment.attempts, Charge { bank, key, order, price, payer, payee, purpose }));
        }
    }
    look
}

/// When the bank is asked again: at least RetryInterval after this time and twice as long after each, up to the longest
/// interval; jitter of up to a tenth never undercuts it, and follows from payment and attempt.
fn ask_again_at(key: &str, attempt: u32, now: Timestamp, terms: &PaymentTerms) -> Timestamp {
    let doublings = attempt.saturating_sub(1).min(DOUBLINGS_MAX);
    let wait = terms.retry_interval.saturating_mul(1 << doublings).min(terms.longest());
    let seed = Digest::of(format!("{key}/{attempt}").as_bytes()).0;
    let share = u32::from(u16::from_be_bytes([seed[0], seed[1]]));
    now.plus(wait + (wait / JITTER_DIVISOR).mul_f64(f64::from(share) / f64::from(u16::MAX)))
}

/// The longest wait between two attempts. What is due further ahead than that was planned by a clock that has been set
/// back since (P9).
#[must_use]
pub fn longest_payment_wait(terms: &PaymentTerms) -> Duration {
    terms.longest() + terms.longest() / JITTER_DIVISOR
}

/// Share of an interval that jitter may add, as a divisor.
const JITTER_DIVISOR: u32 = 10;
/// After so many doublings any interval is the longest.
const DOUBLINGS_MAX: u32 = 20;

/// What an answer of the bank did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeEffect {
    /// The fee is paid.
    Paid(Answered),
    /// The fee is open again.
    Refused(Answered),
    /// The bank is asked again.
    Again {
        /// The payment.
        of: Answered,
        /// It waits longer than an operator is to leave it, and none was told yet.
        late: bool,
    },
}

/// Whose payment an answer of the bank is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Place of the application in the case.
    pub application: usize,
    /// Place of the fee in the application.
    pub fee: usize,
}

/// Takes what came of an attempt to charge this key for this order; none when the payment is not under way any more, or
/// the answer decides nothing and a later attempt is under way.
pub fn take_answer(
    case: &mut Case,
    (key, order): (&str, &str),
    attempt: u32,
    outcome: &ChargeOutcome,
    alarm_after: Duration,
    now: Timestamp,
) -> Option<ChargeEffect> {
    let places = case.applications.iter().enumerate().find_map(|(application, owner)| {
        let fee = owner.fees.iter().position(|fee| *payment_key(&owner.party, &fee.number) == *key)?;
        Some(Answered { application, fee })
    });
    let of = places?;
    let application = &mut case.applications[of.application];
    let fee = &mut application.fees[of.fee];
    let payment = fee.under_way_mut().filter(|payment| *payment.order == *order)?;
    match outcome {
        ChargeOutcome::Paid { reference, at } => {
            payment.state = PaymentState::Paid;
            payment.reference = Some(reference.clone());
            payment.ended_at = Some(*at);
            payment.reason.clear();
            fee.state = FeeState::Paid;
            go_on(application);
            Some(ChargeEffect::Paid(of))
        }
        ChargeOutcome::Refused { reason } => {
            payment.state = PaymentState::Refused;
            payment.reason = cut(reason);
            payment.ended_at = Some(now);
            fee.state = FeeState::Open;
            Some(ChargeEffect::Refused(of))
        }
        ChargeOutcome::Again { reason, .. } => {
            if payment.attempts != attempt {
                return None;
            }
            payment.reason = cut(reason);
            let late = !payment.late && now.since(payment.ordered_at) >= alarm_after;
            payment.late |= late;
            Some(ChargeEffect::Again { of, late })
        }
    }
}

fn cut(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

/// What waited for a fee goes on when none is owed any more; what a newer notice or a result has moved stays there
/// (domain brief, 5.2).
fn go_on(application: &mut Application) {
    let owes = application.fees.iter().any(|fee| matches!(fee.state, FeeState::Open | FeeState::Ordered));
    if application.state == ApplicationState::FeeRequested && !owes {
        application.state = ApplicationState::UnderReview;
    }
}

/// Lets the bank be asked at once about every payment of the case that is under way; gives their orders.
pub fn hurry(case: &mut Case, now: Timestamp) -> Vec<Arc<str>> {
    let fees = case.applications.iter_mut().flat_map(|application| &mut application.fees);
    let hurried = fees.filter_map(Fee::under_way_mut).map(|payment| {
        payment.due = now;
        payment.order.clone()
    });
    hurried.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartyKey;

    #[test]
    fn intervals_double_up_to_the_longest_and_jitter_never_undercuts_them() {
        let terms = PaymentTerms::default();
        let now = Timestamp::from_millis(1_000_000);
        let key = payment_key(&PartyKey::new("AG000000000001").expect("a party"), "F-1");
        let mut expected = terms.retry_interval;
        for attempt in 1..40 {
            let wait = ask_again_at(&key, attempt, now, &terms).since(now);
            assert!((expected..=expected * 11 / 10).contains(&wait), "{attempt}: {wait:?}");
            assert!(wait <= longest_payment_wait(&terms), "{attempt}");
            expected = (expected * 2).min(terms.longest());
        }
        assert_eq!(expected, terms.retry_interval_max);
        assert!(ask_again_at(&key, u32::MAX, now, &terms) > now);
    }
}
