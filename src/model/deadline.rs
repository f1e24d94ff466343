//! Deadlines of an application: what was agreed to watch, and what is done when time passes (domain brief, 7.2).
//!
//! Working time is only named here; a calendar reckons it. A deadline reminds, flags and escalates, and never decides.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Timestamp, ValueError};

/// How long something may take, in working time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allowance {
    /// Working time.
    Hours(SignedDuration),
    /// Business days.
    Days(u16),
}

impl FromStr for Allowance {
    type Err = ValueError;

    /// Reads `2h`, `30m` or `3bd`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new("working time such as 2h or 3bd", text);
        if let Some(days) = text.strip_suffix("bd") {
            return days.trim().parse().map(Self::Days).map_err(|_| refuse());
        }
        let time: SignedDuration = text.parse().map_err(|_| refuse())?;
        if time > SignedDuration::ZERO && time <= SignedDuration::from_hours(10_000) {
            Ok(Self::Hours(time))
        } else {
            Err(refuse())
        }
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hours(time) => write!(f, "{time:#}"),
            Self::Days(days) => write!(f, "{days}bd"),
        }
    }
}

impl TryFrom<String> for Allowance {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<Allowance> for String {
    fn from(allowance: Allowance) -> Self {
        allowance.to_string()
    }
}

/// What has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// The agency is to accept the application.
    Accept,
    /// The agency is to decide it.
    Decide,
    /// The applicant is to answer what the agency asked for.
    Answer,
}

impl Term {
    /// The name in rules, reports and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decide => "decide",
            Self::Answer => "answer",
        }
    }
}

/// What is done when a deadline has passed; none of it is an outcome.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LateAction {
    /// `notify:applicant`: a status report to whoever lodged it. Sent for reminders too.
    NotifyApplicant,
    /// `notify:agency`: a status report to the agency. Sent for reminders too.
    NotifyAgency,
    /// `flag:overdue`: the application is shown as overdue, and the case has its event.
    FlagOverdue,
    /// `escalate:NAME`: an alarm that names who is to look at it.
    Escalate(Arc<str>),
}

impl FromStr for LateAction {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once(':') {
            Some(("notify", "applicant")) => Ok(Self::NotifyApplicant),
            Some(("notify", "agency")) => Ok(Self::NotifyAgency),
            Some(("flag", "overdue")) => Ok(Self::FlagOverdue),
            Some(("escalate", name)) if !name.trim().is_empty() => Ok(Self::Escalate(name.into())),
            _ => Err(ValueError::new("notify:applicant, notify:agency, flag:overdue or escalate:NAME", text)),
        }
    }
}

impl fmt::Display for LateAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotifyApplicant => f.write_str("notify:applicant"),
            Self::NotifyAgency => f.write_str("notify:agency"),
            Self::FlagOverdue => f.write_str("flag:overdue"),
            Self::Escalate(name) => write!(f, "escalate:{name}"),
        }
    }
}

impl TryFrom<String> for LateAction {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<LateAction> for String {
    fn from(action: LateAction) -> Self {
        action.to_string()
    }
}

/// The watch over the deadlines of an application: the profile that it was planned with, kept with it so that neither
/// an activation nor a restart changes it, and the duties that follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Name of the profile in the rule set.
    pub profile: Arc<str>,
    /// How long the agency may take to accept.
    pub accept: Allowance,
    /// How long it may take to decide.
    pub decide: Allowance,
    /// How long the applicant may take to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Allowance>,
    /// Shares of `decide` and `answer` at which a reminder is due, per mille, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remind_at: Vec<u16>,
    /// What is done when a deadline has passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_late: Vec<LateAction>,
    /// What is to be done when, and what was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<Duty>,
    /// Since when it is flagged as overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Timestamp>,
}

/// Something that is due at an instant: a reminder, or what follows a deadline. Done at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duty {
    /// Of which deadline.
    pub term: Term,
    /// After which share of it, per mille; the deadline itself is [`Duty::WHOLE`].
    pub share: u16,
    /// When that is.
    pub at: Timestamp,
    /// When it was done, or passed over for a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
}

impl Duty {
    /// The share of a deadline that is all of it.
    pub const WHOLE: u16 = 1000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowances_and_actions_read_back_as_written() {
        for text in ["2h", "30m", "3bd", "0bd", "1h 30m"] {
            let allowance: Allowance = text.parse().expect(text);
            assert_eq!(allowance.to_string().parse(), Ok(allowance), "{text}");
        }
        for text in ["", "h", "-1h", "3d2", "0h", "xbd", "99999bd"] {
            assert!(text.parse::<Allowance>().is_err(), "{text}");
        }
        for text in ["notify:applicant", "notify:agency", "flag:overdue", "escalate:duty-officer"] {
            assert_eq!(text.parse::<LateAction>().map(|action| action.to_string()).as_deref(), Ok(text));
        }
        for text in ["notify:customs", "flag:red", "escalate:", "approve", "escalate"] {
            assert!(text.parse::<LateAction>().is_err(), "{text}");
        }
    }
}
