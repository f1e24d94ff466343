//! Fees that agencies ask for, and their payment at a bank (domain brief, 5.5).
//!
//! A fee and its payments stand with their application: who orders, who decides the application and what the bank
//! answers then meet in one record, and of two orders at once one wins.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CurrencyCode, Decimal, Digest, MessageId, MessageKey, PartyKey, Timestamp, derive_id};

/// An amount of a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// How much.
    pub amount: Decimal,
    /// Of what (ISO 4217).
    pub currency: CurrencyCode,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// An account at a bank, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankAccount {
    /// Whose it is.
    pub name: Arc<str>,
    /// Its number.
    pub account: Arc<str>,
}

/// A fee that an agency asks for one of its applications (XF1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// The agency's number of its notice: with the agency it names the fee for ever.
    pub number: Arc<str>,
    /// MessageId that the notice came under.
    pub message_id: MessageId,
    /// Digest of the notice: the same number with other octets is an alarm.
    pub digest: Digest,
    /// Agency issue time.
    pub issued_at: Timestamp,
    /// When we received it.
    pub received_at: Timestamp,
    /// How much is to be paid.
    pub price: Money,
    /// To whom.
    pub payee: BankAccount,
    /// Until when; nothing is decided when that passes.
    pub due_by: Timestamp,
    /// What for, in words.
    pub reason: Arc<str>,
    /// Where it stands.
    pub state: FeeState,
    /// Its payments, in the order in which they were ordered; only the last one can be under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
}

/// States of a fee (docs/states.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeState {
    /// It can be ordered.
    Open,
    /// A payment of it is under way.
    Ordered,
    /// The bank has booked its payment.
    Paid,
    /// It came for an application that was decided, or for a version that was replaced: it is nobody's to pay.
    Void,
}

impl FeeState {
    /// Every state, in the order of docs/states.md.
    pub const ALL: [Self; 4] = [Self::Open, Self::Ordered, Self::Paid, Self::Void];

    /// The name in the store, on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ordered => "ordered",
            Self::Paid => "paid",
            Self::Void => "void",
        }
    }
}

/// A payment that the submitter has ordered (XF2), and what the bank says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The submitter's number of his order.
    pub order: Arc<str>,
    /// The message that it came in.
    pub ordered_by: MessageKey,
    /// When we took it.
    pub ordered_at: Timestamp,
    /// Whose account pays.
    pub payer: BankAccount,
    /// Where it stands.
    pub state: PaymentState,
    /// The bank that was asked; none before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<Arc<str>>,
    /// How often the bank was asked.
    pub attempts: u32,
    /// When the bank is next asked, while it is under way.
    pub due: Timestamp,
    /// Why it is not paid: what the bank said, or why the bank said nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The bank's own reference of its booking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<str>>,
    /// When the bank booked it, by its clock; when it refused, by ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// An operator was told that it waits for too long.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// States of a payment (docs/states.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Ordered; the bank was not asked yet.
    Pending,
    /// The bank was asked, and what it did is not known yet.
    Asked,
    /// The bank has booked it.
    Paid,
    /// The bank has refused it.
    Refused,
}

impl PaymentState {
    /// Every state, in the order of docs/states.md.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Asked, Self::Paid, Self::Refused];

    /// Whether the bank has still to say what became of it.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Pending | Self::Asked)
    }

    /// The name in the store, on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Asked => "asked",
            Self::Paid => "paid",
            Self::Refused => "refused",
        }
    }
}

impl Fee {
    /// Its payment that is under way.
    #[must_use]
    pub fn under_way(&self) -> Option<&Payment> {
        self.payments.last().filter(|payment| payment.state.is_under_way())
    }

    /// The same, to change it.
    pub fn under_way_mut(&mut self) -> Option<&mut Payment> {
        self.payments.last_mut().filter(|payment| payment.state.is_under_way())
    }
}

/// The key that the bank knows the payment of a fee by. It follows from the agency and its number of the fee, and from no
/// order: whoever orders it, however often, the bank books it once.
#[must_use]
pub fn payment_key(agency: &PartyKey, number: &str) -> Arc<str> {
    derive_id(&["payment", agency.as_str(), number]).into()
}

/// A bank that fees are paid at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    /// By which payments know where they were asked: they are asked nowhere else, since another bank has not heard of their
    /// keys (P3).
    pub name: Arc<str>,
    /// When it is asked.
    pub terms: PaymentTerms,
}

/// When the bank is asked again, and when an operator hears that it has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentTerms {
    /// After the first time that it gave no answer; twice as long after each further one.
    pub retry_interval: Duration,
    /// The longest interval.
    pub retry_interval_max: Duration,
    /// How long a payment may be under way before an operator is told, once.
    pub alarm_after: Duration,
}

impl PaymentTerms {
    /// The longest interval, which is never shorter than the first.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.retry_interval_max.max(self.retry_interval)
    }
}

impl Default for PaymentTerms {
    fn default() -> Self {
        Self {
            retry_interval: Duration::from_secs(10),
            retry_interval_max: Duration::from_secs(600),
            alarm_after: Duration::from_secs(900),
        }
    }
}

/// What the bank is asked to do, once for each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The bank.
    pub bank: Arc<str>,
    /// [`payment_key`].
    pub key: Arc<str>,
    /// The order that it is tried for: the bank answers the same order always the same.
    pub order: Arc<str>,
    /// How much.
    pub price: Money,
    /// From whom.
    pub payer: BankAccount,
    /// To whom.
    pub payee: BankAccount,
    /// What for, in words.
    pub purpose: Arc<str>,
}

/// What came of asking the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// It has booked the payment, now or before.
    Paid {
        /// Its own reference.
        reference: Arc<str>,
        /// When, by its clock.
        at: Timestamp,
    },
    /// It will not book it for this order.
    Refused {
        /// Why, in its words.
        reason: Arc<str>,
    },
    /// Nobody knows: it is asked again.
    Again {
        /// Why, in words.
        reason: String,
        /// It does not mend itself: an operator is to look.
        alarm: bool,
    },
}

/// Fee notice of an agency (XF1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeNotice {
    /// The agency's number of it.
    pub number: Arc<str>,
    /// IssueDateTime.
    pub issued_at: Timestamp,
    /// Number of the application.
    pub application: Arc<str>,
    /// How much is to be paid.
    pub price: Money,
    /// To whom.
    pub payee: BankAccount,
    /// Until when.
    pub due_by: Timestamp,
    /// What for, in words.
    pub reason: Arc<str>,
}

/// Payment order of whoever lodged (XF2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentOrder {
    /// His number of it.
    pub number: Arc<str>,
    /// IssueDateTime.
    pub issued_at: Timestamp,
    /// Number of the application.
    pub application: Arc<str>,
    /// The agency's number of its fee notice.
    pub fee: Arc<str>,
    /// How much he pays.
    pub price: Money,
    /// Whose account pays.
    pub payer: BankAccount,
}

/// Payment confirmation of the gateway (XF3): what the bank said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentConfirmation {
    /// Number of it: follows from fee and order.
    pub number: Arc<str>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Number of the application.
    pub application: Arc<str>,
    /// The agency's number of its fee notice.
    pub fee: Arc<str>,
    /// The submitter's number of his order.
    pub order: Arc<str>,
    /// How much.
    pub price: Money,
    /// What became of it.
    pub outcome: PaymentOutcome,
}

/// What the bank said, in a [`PaymentConfirmation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// Booked.
    Paid {
        /// The bank's reference.
        reference: Arc<str>,
        /// When, by the bank's clock.
        at: Timestamp,
    },
    /// Refused.
    Refused {
        /// Why, in the bank's words.
        reason: Arc<str>,
    },
}
