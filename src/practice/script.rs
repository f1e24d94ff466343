//! What a practice partner does with a document, and when: a script such as `ACCEPT,0s;D01,3s;APPROVE,10s`.
//! The words of agencies are here; those of customs are in `customs`.
//!
//! The same text works on the command line, for every application, and in a remark of an application behind
//! `SIM:`, for that one. Each delay counts from the move before it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::{Decimal, NoticeKind, Outcome, ValueError, parse_duration};

/// The moves of a partner, in the order in which they are sent: of an agency, unless others are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script<M = Move>(Vec<Step<M>>);

/// One move after a delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<M = Move> {
    /// Since the move before, or since the application came.
    pub after: Duration,
    /// What is sent then.
    pub action: M,
}

/// What an agency can send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// A processing-status or error notice.
    Notice(NoticeKind),
    /// A fee notice; what follows waits until it is paid.
    Fee(Decimal),
    /// A result.
    Result {
        /// The outcome of the items named, or of the whole.
        outcome: Outcome,
        /// The items it is for, the others being approved; none for the whole.
        items: Vec<u16>,
    },
}

impl<M> Script<M> {
    /// The moves.
    #[must_use]
    pub fn steps(&self) -> &[Step<M>] {
        &self.0
    }
}

impl<M: FromStr<Err = ValueError>> Script<M> {
    /// The script in a remark of this document, where it has one.
    #[must_use]
    pub fn of_document(text: &str) -> Option<Result<Self, ValueError>> {
        let (_, after) = text.split_once(MARK)?;
        let script = after.split(['<', '\n']).next().unwrap_or_default();
        Some(script.parse())
    }
}

impl Default for Script {
    /// Accepted at once, under review, approved: as in the demo.
    fn default() -> Self {
        "ACCEPT,300ms;REVIEW,500ms;APPROVE,1200ms".parse().expect("the default is a script")
    }
}

impl<M: FromStr<Err = ValueError>> FromStr for Script<M> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let moves = text.strip_prefix(MARK).unwrap_or(text);
        if moves.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let steps = moves.split(';').map(Step::from_str).collect::<Result<Vec<_>, _>>()?;
        if steps.len() > STEPS_MAX {
            return Err(ValueError::new("at most 100 moves", text));
        }
        Ok(Self(steps))
    }
}

impl<M: FromStr<Err = ValueError>> FromStr for Step<M> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, after) = text.split_once(',').unwrap_or((text, "0s"));
        Ok(Self { after: parse_duration(after)?, action: name.trim().parse()? })
    }
}

impl FromStr for Move {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new(EXPECTED, text);
        let (name, items) = text.split_once('@').unwrap_or((text, ""));
        if name == FEE {
            let amount = if items.is_empty() { USUAL_FEE } else { items };
            return amount.parse().map(Self::Fee).map_err(|_| refuse());
        }
        if let Some((_, kind)) = NOTICES.iter().find(|(word, _)| *word == name) {
            return if items.is_empty() { Ok(Self::Notice(*kind)) } else { Err(refuse()) };
        }
        let (_, outcome) = RESULTS.iter().find(|(word, _)| *word == name).ok_or_else(refuse)?;
        let items = items.split('+').filter(|item| !item.is_empty());
        let items = items.map(str::parse).collect::<Result<Vec<u16>, _>>().map_err(|_| refuse())?;
        Ok(Self::Result { outcome: *outcome, items })
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notice(kind) => f.write_str(word_of(&NOTICES, kind)),
            Self::Fee(amount) => write!(f, "{FEE}@{amount}"),
            Self::Result { outcome, items } => {
                f.write_str(word_of(&RESULTS, outcome))?;
                let items: Vec<String> = items.iter().map(u16::to_string).collect();
                if items.is_empty() { Ok(()) } else { write!(f, "@{}", items.join("+")) }
            }
        }
    }
}

fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    let found = words.iter().find(|(_, known)| known == value);
    found.expect("the table has a word for every value").0
}

const MARK: &str = "SIM:";
const STEPS_MAX: usize = 100;
const FEE: &str = "FEE";
const USUAL_FEE: &str = "30000";
const EXPECTED: &str = "ACCEPT, REVIEW, Z01, D01, INSPECT, ERROR, Z05, FEE@AMOUNT, APPROVE, CONDITIONAL, REJECT, EXCLUDE, \
                        CANCEL, REVOKE or LAPSE, a result with @ITEM+ITEM where it is for these items only";
const NOTICES: [(&str, NoticeKind); 7] = [
    ("ACCEPT", NoticeKind::Accepted),
    ("REVIEW", NoticeKind::UnderReview),
    ("Z01", NoticeKind::DocumentsRequested),
    ("D01", NoticeKind::SupplementRequested),
    ("INSPECT", NoticeKind::InspectionOrdered),
    ("ERROR", NoticeKind::Error),
    ("Z05", NoticeKind::CustomsDone),
];
const RESULTS: [(&str, Outcome); 7] = [
    ("APPROVE", Outcome::Approved),
    ("CONDITIONAL", Outcome::ApprovedConditional),
    ("REJECT", Outcome::Rejected),
    ("EXCLUDE", Outcome::NotApplicable),
    ("CANCEL", Outcome::Cancelled),
    ("REVOKE", Outcome::Revoked),
    ("LAPSE", Outcome::Lapsed),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_say_what_is_sent_and_when() {
        fn check(text: &str, expected: Option<&[(&str, u64)]>) {
            let read = text.parse::<Script>().ok();
            let told = read.map(|script| {
                let told = |step: &Step| {
                    (step.action.to_string(), u64::try_from(step.after.as_millis()).expect("is short"))
                };
                script.steps().iter().map(told).collect::<Vec<_>>()
            });
            let expected = expected
                .map(|moves| moves.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect::<Vec<_>>());
            assert_eq!(told, expected, "{text}");
        }
        check("SIM:D01,3s;APPROVE,10s", Some(&[("D01", 3000), ("APPROVE", 10_000)]));
        check("APPROVE", Some(&[("APPROVE", 0)]));
        check("REJECT@2+3,50ms", Some(&[("REJECT@2+3", 50)]));
        check("APPROVE,0s;ACCEPT,1s", Some(&[("APPROVE", 0), ("ACCEPT", 1000)]));
        check("FEE,1s;FEE@12.5", Some(&[("FEE@30000", 1000), ("FEE@12.5", 0)]));
        check("FEE@much", None);
        check("", Some(&[]));
        check("ACCEPT@1", None);
        check("REJECT@x", None);
        check("APPROVE,soon", None);
        check("PERHAPS,1s", None);
        check("APPROVE;;", None);
        check(&["REVIEW"; 101].join(";"), None);
    }

    #[test]
    fn a_remark_of_a_document_is_a_script() {
        let remark = "<AdditionalInformation><Content>SIM:REJECT,2s</Content></AdditionalInformation>";
        let script = Script::<Move>::of_document(remark).expect("there is one").expect("it can be read");
        assert_eq!(script, "REJECT,2s".parse().expect("is a script"));
        assert!(Script::<Move>::of_document("<Content>none</Content>").is_none());
        assert!(
            Script::<Move>::of_document("<Content>SIM:NONSENSE</Content>").expect("there is one").is_err()
        );
    }
}
