//! What comes of sending a message: one attempt, and the end of them.

use super::journal::Ending;
use crate::model::{Agreement, AttemptOutcome, Presence};
use crate::security::Verified;

/// How a message of ours ended.
#[derive(Debug)]
pub struct Outcome {
    /// How.
    pub how: Ending,
    /// Why, in words.
    pub reason: String,
    /// The business response that came back on the connection, with the receipt in it where one is asked.
    pub response: Option<Box<Verified>>,
}

/// What a message is sent until.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its verified receipt.
    Receipt,
    /// The gateway has it: where no receipt is asked, or nobody here hears of it.
    Taken,
}

impl Wanted {
    /// What a message under this agreement is sent until, where its receipt is heard.
    #[must_use]
    pub fn under(agreement: &Agreement) -> Self {
        match agreement.reliability.ack_requested {
            Presence::Never => Self::Taken,
            Presence::Always | Presence::PerMessage => Self::Receipt,
        }
    }
}

/// What one attempt came to.
pub(super) enum Attempt {
    /// The gateway has it, and has said no more than this, which is no message.
    Taken(Option<String>),
    /// It is over.
    Ended(Ending, String),
    /// It is over, with a receipt that came on this response.
    Answered(Box<Verified>),
    /// The gateway has it, and answers it without a receipt.
    Responded(Box<Verified>),
    /// Not yet.
    Again(String),
}

impl Attempt {
    /// The outcome; why there is none yet.
    pub(super) fn over(self, wanted: Wanted) -> Result<Outcome, String> {
        match self {
            Self::Taken(said) if wanted == Wanted::Taken => {
                Ok(Outcome { how: Ending::Taken, reason: said.unwrap_or_default(), response: None })
            }
            Self::Taken(said) => Err(said.unwrap_or_else(|| "taken, not acknowledged".to_owned())),
            Self::Responded(response) if wanted == Wanted::Taken => {
                Ok(Outcome { how: Ending::Taken, reason: String::new(), response: Some(response) })
            }
            Self::Responded(_) => Err("answered, not acknowledged".to_owned()),
            Self::Ended(how, reason) => Ok(Outcome { how, reason, response: None }),
            Self::Answered(response) => {
                Ok(Outcome { how: Ending::Acknowledged, reason: String::new(), response: Some(response) })
            }
            Self::Again(reason) => Err(reason),
        }
    }
}

pub(super) fn again_or_end(outcome: AttemptOutcome) -> Attempt {
    match outcome {
        AttemptOutcome::Taken => Attempt::Taken(None),
        AttemptOutcome::Unclear { reason } => Attempt::Taken(Some(reason)),
        AttemptOutcome::Unserved { reason } | AttemptOutcome::Again { reason, .. } => Attempt::Again(reason),
        AttemptOutcome::GiveUp { reason } => Attempt::Ended(Ending::Refused, reason),
    }
}
