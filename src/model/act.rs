//! What an officer of a hosted agency does with an application (domain brief, 5.5).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BankAccount, Money, Officer, Outcome, ResultItem, Timestamp};

/// An act, and what it was decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficerAct {
    /// Who acts.
    pub by: Officer,
    /// Number of the application.
    pub application: Arc<str>,
    /// The version that the officer saw: an act on another one is a conflict.
    pub version: Arc<str>,
    /// What is done.
    pub act: Act,
}

/// What is done: each becomes the document that a connected agency would send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// The officer takes it on: it is accepted for examination (RBH).
    Take,
    /// The applicant is to supplement it (RBH, D01).
    Supplement {
        /// Until when.
        deadline: Timestamp,
        /// What is wanted.
        reason: Arc<str>,
    },
    /// The goods are inspected (RBH with an inspection).
    Inspect {
        /// When, where, by whom, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remarks: Option<Arc<str>>,
    },
    /// The applicant is to pay a fee (XF1).
    Fee {
        /// How much.
        price: Money,
        /// To whom.
        payee: BankAccount,
        /// Until when.
        due_by: Timestamp,
        /// What for.
        reason: Arc<str>,
    },
    /// It is decided (FS7, X51 to X67).
    Decide {
        /// Of every item that is not listed; without it only those that are listed are decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
        /// Validity of the approval.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_until: Option<Timestamp>,
        /// Conditions or reasons.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remarks: Option<Arc<str>>,
        /// Items with an outcome, a quantity or a reason of their own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        items: Vec<ResultItem>,
    },
}

impl Act {
    /// The name on the command line and in the audit record.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Supplement { .. } => "supplement",
            Self::Inspect { .. } => "inspect",
            Self::Fee { .. } => "fee",
            Self::Decide { .. } => "decide",
        }
    }
}
