//! Following one declaration from its lodging to its clearance, by what the partners themselves wrote into their
//! journals: what the gateway says of the case is asked only at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::world::World;

/// A step that the declaration has to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Milestone {
    /// Whose journal shows it.
    pub(super) partner: String,
    /// What is said when it is reached.
    pub(super) told: String,
    sign: Sign,
    reached: bool,
}

/// The journal entry by which a step is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sign {
    /// The Action, or the beginning of several.
    action: String,
    /// Number of the application or declaration that the document is, or is about.
    about: String,
    /// What the document says; anything, when empty.
    says: &'static str,
}

/// An application that was lodged: its agency and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lodged {
    /// The agency's name in the world.
    pub(super) agency: String,
    /// Application number.
    pub(super) number: String,
}

/// Every step of a declaration with these applications, in the usual order.
#[must_use]
pub(super) fn milestones(declaration: &str, applications: &[Lodged]) -> Vec<Milestone> {
    let step = |partner: &str, action: &str, about: &str, says: &'static str, told: String| Milestone {
        partner: partner.to_owned(),
        told,
        sign: Sign { action: action.to_owned(), about: about.to_owned(), says },
        reached: false,
    };
    let mut steps =
        vec![step("customs", "GOVCBR929", declaration, "", "the declaration is at customs".to_owned())];
    for Lodged { agency, number } in applications {
        let name = agency.to_uppercase();
        steps.push(step(agency, "GOVCBR", number, "", format!("application {number} is at {name}")));
    }
    for Lodged { agency, number } in applications {
        let name = agency.to_uppercase();
        steps.push(step("broker", "GOVCBRRBH", number, "accepted", format!("{name} has accepted {number}")));
    }
    for Lodged { agency, number } in applications {
        let name = agency.to_uppercase();
        let decided = format!("{name} has approved {number}: the broker has the result");
        steps.push(step("broker", "GOVCBR", number, "approved", decided));
        let relayed = format!("customs has the result of {name}");
        steps.push(step("customs", "GOVCBR", number, "approved", relayed));
    }
    let collected = "customs knows that everything is collected and favourable";
    steps.push(step("customs", "GOVCBRXS2", declaration, "all_collected favourable", collected.to_owned()));
    let cleared = "customs has cleared the goods: the broker knows";
    steps.push(step("broker", "GOVCBR023", declaration, "status 13", cleared.to_owned()));
    steps
}

/// Reads the journals of a world as they grow.
#[derive(Debug)]
pub(super) struct Follower {
    journals: BTreeMap<String, (PathBuf, u64)>,
    steps: Vec<Milestone>,
}

/// What matters of a journal entry.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    event: String,
    action: Option<String>,
    document: Option<String>,
    about: Option<String>,
    says: Option<String>,
}

impl Follower {
    /// A follower of these steps.
    #[must_use]
    pub(super) fn new(world: &World, steps: Vec<Milestone>) -> Self {
        let journals =
            world.partners.iter().map(|partner| (partner.name.clone(), (partner.journal.clone(), 0)));
        Self { journals: journals.collect(), steps }
    }

    /// The steps that have been reached since it was asked last.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub(super) fn look(&mut self) -> Result<Vec<Milestone>> {
        let mut reached = Vec::new();
        for (partner, (journal, offset)) in &mut self.journals {
            for line in lines_from(journal, offset)? {
                let mut open = self.steps.iter_mut().filter(|s| !s.reached && s.partner == *partner);
                if let Some(step) = open.find(|step| step.sign.is_in(&line)) {
                    step.reached = true;
                    reached.push(step.clone());
                }
            }
        }
        let place = |told: &Milestone| self.steps.iter().position(|step| step.told == told.told);
        reached.sort_by_key(place);
        Ok(reached)
    }

    /// The first step that is still open.
    #[must_use]
    pub(super) fn next(&self) -> Option<&Milestone> {
        self.steps.iter().find(|step| !step.reached)
    }

    /// How many steps there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }
}

impl Sign {
    fn is_in(&self, line: &Line) -> bool {
        let is = |text: &Option<String>, expected: &str| text.as_deref() == Some(expected);
        line.event == "received"
            && line.action.as_deref().is_some_and(|action| action.starts_with(&self.action))
            && (is(&line.document, &self.about) || is(&line.about, &self.about))
            && (self.says.is_empty() || is(&line.says, self.says))
    }
}

/// The whole lines of a journal from an offset on, which moves behind them; a file that is not there yet is empty.
fn lines_from(journal: &Path, offset: &mut u64) -> Result<Vec<Line>> {
    let Ok(mut file) = File::open(journal) else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start(*offset))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    *offset += whole as u64;
    let lines = text.get(..whole).unwrap_or_default().lines();
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("{}: {line}", journal.display())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_reached_once_each_in_whatever_order_they_come() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let journal = directory.path().join("journal.jsonl");
        let steps = milestones("D1", &[Lodged { agency: "kfda".to_owned(), number: "X01-1".to_owned() }]);
        let mut follower =
            Follower { journals: BTreeMap::from([("broker".to_owned(), (journal.clone(), 0))]), steps };
        let mut check = |line: &str, expected: &[&str]| {
            let text = std::fs::read_to_string(&journal).unwrap_or_default();
            std::fs::write(&journal, format!("{text}{line}")).expect("writes");
            let told: Vec<_> = follower.look().expect("reads").into_iter().map(|step| step.told).collect();
            assert_eq!(told, expected, "{line}");
        };
        check("", &[]);
        let approved =
            r#"{"event":"received","action":"GOVCBRX51","document":"R1","about":"X01-1","says":"approved"}"#;
        check(approved, &[]);
        check("\n", &["KFDA has approved X01-1: the broker has the result"]);
        check(&format!("{approved}\n"), &[]);
        let notice =
            r#"{"event":"received","action":"GOVCBRRBH","document":"N1","about":"X01-1","says":"accepted"}"#;
        check(&format!("{notice}\n"), &["KFDA has accepted X01-1"]);
        check("{\"event\":\"sent\",\"action\":\"GOVCBR023\",\"about\":\"D1\",\"says\":\"status 13\"}\n", &[]);
        assert_eq!(follower.next().map(|step| &*step.partner), Some("customs"));
    }
}
