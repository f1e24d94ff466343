//! What practice customs does with a declaration, and with what changes one: a script such as
//! `ACCEPT,0s;INSPECT,1s;WAIVE,1s;COLLECTED;CLEAR,2s` behind `SIM:` in a remark of the document.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::script::Script;
use crate::model::{DeclarationChange, ValueError};

/// A move of customs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomsMove {
    /// It sends a document with this code and, where the document has one, this status or reason.
    Tell {
        /// The word that it is called by.
        word: &'static str,
        /// Document code.
        code: &'static str,
        /// Status or reason.
        status: Option<Arc<str>>,
    },
    /// It waits until every agency has answered; what follows is told then.
    Collected,
}

/// A move and how long after the one before it.
pub(super) type Planned = (Duration, usize, CustomsMove);

/// What is told when a declaration has come: all of its script until `COLLECTED`, or that it is accepted.
pub(super) fn when_declared(script: Option<&Script<CustomsMove>>, delay: Duration) -> Vec<Planned> {
    match script {
        Some(script) => moves(script, Part::BeforeCollected),
        None => vec![(delay, 0, tell("ACCEPT"))],
    }
}

/// What is told when every agency has answered: what its script has for then, or clearance where all agreed;
/// nothing more where the script has an end of its own before.
pub(super) fn when_collected(
    script: Option<&Script<CustomsMove>>,
    favourable: bool,
    delay: Duration,
) -> Vec<Planned> {
    let usual = || match favourable {
        true => tell("CLEAR"),
        false => tell("PEND@15"),
    };
    match script {
        Some(script) if script.steps().iter().any(|step| step.action == CustomsMove::Collected) => {
            moves(script, Part::AfterCollected)
        }
        Some(script) if script.steps().iter().any(|step| step.action.ends()) => Vec::new(),
        _ => vec![(delay, 0, usual())],
    }
}

/// What is told of an amendment or a withdrawal: its own script, or that it is approved.
pub(super) fn when_changed(
    change: &DeclarationChange,
    script: Option<&Script<CustomsMove>>,
    delay: Duration,
) -> Vec<Planned> {
    let result = if change.reason.is_some() { "GOVCBR5BG" } else { "GOVCBR5FK" };
    let planned = match script {
        Some(script) => moves(script, Part::BeforeCollected),
        None => vec![(delay, 0, tell("GRANT"))],
    };
    let answers =
        |(_, _, action): &Planned| matches!(action, CustomsMove::Tell { code, .. } if *code == ANSWER);
    let planned = planned.into_iter().filter(answers);
    let with_code = |(after, step, action)| match action {
        CustomsMove::Tell { word, status, .. } => {
            (after, step, CustomsMove::Tell { word, code: result, status })
        }
        CustomsMove::Collected => (after, step, action),
    };
    planned.map(with_code).collect()
}

impl CustomsMove {
    /// Whether nothing is to be decided about the declaration any more.
    fn ends(&self) -> bool {
        matches!(self, Self::Tell { word: "CLEAR" | "DISMISS", .. })
    }
}

/// A part of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    BeforeCollected,
    AfterCollected,
}

/// The moves of a part, each with the time since its beginning and its place in the whole script.
fn moves(script: &Script<CustomsMove>, part: Part) -> Vec<Planned> {
    let mut at = Part::BeforeCollected;
    let mut after = Duration::ZERO;
    let mut planned = Vec::new();
    for (step, next) in script.steps().iter().enumerate() {
        after += next.after;
        if next.action == CustomsMove::Collected {
            (at, after) = (Part::AfterCollected, Duration::ZERO);
        } else if at == part {
            planned.push((after, step, next.action.clone()));
        }
    }
    planned
}

fn tell(word: &str) -> CustomsMove {
    word.parse().expect("the words of this file are known")
}

impl FromStr for CustomsMove {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new(EXPECTED, text);
        if text == COLLECTED {
            return Ok(Self::Collected);
        }
        let (name, status) = text.split_once('@').map_or((text, None), |(name, status)| (name, Some(status)));
        let (word, code, usual) = WORDS.iter().find(|(word, ..)| *word == name).ok_or_else(refuse)?;
        let is_code = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if status.is_some_and(|status| !is_code(status) || usual.is_none()) {
            return Err(refuse());
        }
        Ok(Self::Tell { word, code, status: status.or(*usual).map(Into::into) })
    }
}

impl fmt::Display for CustomsMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collected => f.write_str(COLLECTED),
            Self::Tell { word, status: None, .. } => f.write_str(word),
            Self::Tell { word, status: Some(status), .. } => write!(f, "{word}@{status}"),
        }
    }
}

const COLLECTED: &str = "COLLECTED";
/// The answer to a change, by the code of which it is known later which one.
const ANSWER: &str = "answer";
const EXPECTED: &str = "ACCEPT, PEND, SUPPLEMENT, INSPECT, WAIVE, STATUS, CLEAR, DISMISS or COLLECTED, in a change GRANT, \
                        CONSIDER or REFUSE; with @CODE where another status or reason is meant";
/// Word, document, and the status or reason that it has when no other is named.
const WORDS: [(&str, &str, Option<&str>); 11] = [
    ("ACCEPT", "GOVCBRR99", None),
    ("PEND", "GOVCBR5GZ", Some("01")),
    ("SUPPLEMENT", "GOVCBR5GV", Some("2")),
    ("INSPECT", "GOVCBR5EM", None),
    ("WAIVE", "GOVCBR5EN", None),
    ("STATUS", "GOVCBR023", Some("12")),
    ("CLEAR", "GOVCBR023", Some("13")),
    ("DISMISS", "GOVCBRR21", Some("99")),
    ("GRANT", ANSWER, Some("06")),
    ("CONSIDER", ANSWER, Some("10")),
    ("REFUSE", ANSWER, Some("08")),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(planned: Vec<Planned>) -> Vec<(u128, String)> {
        planned.into_iter().map(|(after, _, action)| (after.as_millis(), action.to_string())).collect()
    }

    #[test]
    fn customs_plays_what_the_declaration_says_and_else_the_usual() {
        let delay = Duration::from_millis(20);
        let check = |script: Option<&str>, declared: &[(u128, &str)], collected: &[(u128, &str)]| {
            let script = script.map(|text| text.parse().expect("is a script"));
            let own = |expected: &[(u128, &str)]| {
                expected.iter().map(|(at, word)| (*at, (*word).to_owned())).collect::<Vec<_>>()
            };
            assert_eq!(told(when_declared(script.as_ref(), delay)), own(declared));
            assert_eq!(told(when_collected(script.as_ref(), true, delay)), own(collected));
        };
        check(None, &[(20, "ACCEPT")], &[(20, "CLEAR@13")]);
        check(Some("ACCEPT;PEND,5ms"), &[(0, "ACCEPT"), (5, "PEND@01")], &[(20, "CLEAR@13")]);
        check(Some("DISMISS@02"), &[(0, "DISMISS@02")], &[]);
        check(
            Some("ACCEPT;COLLECTED;PEND@19,5ms;CLEAR@14,5ms"),
            &[(0, "ACCEPT")],
            &[(5, "PEND@19"), (10, "CLEAR@14")],
        );
        check(Some("COLLECTED"), &[], &[]);
        check(Some(""), &[], &[(20, "CLEAR@13")]);
        assert_eq!(told(when_collected(None, false, delay)), [(20, "PEND@15".to_owned())]);
    }

    #[test]
    fn changes_are_granted_unless_they_say_otherwise() {
        let check = |reason: Option<&str>, script: Option<&str>, expected: &[(&str, Option<&str>)]| {
            let change = DeclarationChange {
                code: "GOVCBR5FE".parse().expect("is a code"),
                number: "1".into(),
                issued_at: crate::model::Timestamp::EPOCH,
                declaration: "1".into(),
                sequence: None,
                reason: reason.map(Into::into),
                text: None,
            };
            let script = script.map(|text| text.parse().expect("is a script"));
            let planned = when_changed(&change, script.as_ref(), Duration::ZERO);
            let told: Vec<_> = planned
                .iter()
                .map(|(_, _, action)| match action {
                    CustomsMove::Tell { code, status, .. } => (*code, status.as_deref()),
                    CustomsMove::Collected => ("", None),
                })
                .collect();
            assert_eq!(told, expected);
        };
        check(None, None, &[("GOVCBR5FK", Some("06"))]);
        check(Some("84"), None, &[("GOVCBR5BG", Some("06"))]);
        check(
            Some("84"),
            Some("CONSIDER;REFUSE,1s"),
            &[("GOVCBR5BG", Some("10")), ("GOVCBR5BG", Some("08"))],
        );
        check(None, Some("GRANT@02;CLEAR"), &[("GOVCBR5FK", Some("02"))]);
    }

    #[test]
    fn words_that_are_none_are_refused() {
        for text in
            ["RELEASE", "PEND@", "PEND@x", "PEND@123", "ACCEPT@1", "CLEAR,soon", "COLLECTED@1", "clear"]
        {
            assert!(text.parse::<Script<CustomsMove>>().is_err(), "{text}");
        }
    }
}
