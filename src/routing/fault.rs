//! What is wrong with a rule directory, told so that its author can mend it: file, line, column, remedy.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// One mistake, or one thing worth a look, in a rule directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RuleFault {
    /// Path in the directory.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// An error keeps the set from being used; a warning does not.
    pub severity: RuleSeverity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How bad a [`RuleFault`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSeverity {
    /// The set is not used.
    Error,
    /// The set is used.
    Warning,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            RuleSeverity::Error => "error",
            RuleSeverity::Warning => "warning",
        };
        let Self { file, line, column, message, remedy, .. } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {message}; {remedy}")
    }
}

/// Where something stands in a file of the directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// Line and column of an octet of a text.
    pub(super) fn of(file: &str, text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: file.into(), line, column }
    }

    /// The first character of a file.
    pub(super) fn start_of(file: &str) -> Self {
        Self { file: file.into(), line: 1, column: 1 }
    }

    /// So many characters further on in the line.
    pub(super) fn further(&self, characters: usize) -> Self {
        Self { column: self.column + characters, ..self.clone() }
    }
}

/// The faults found so far: one never hides another.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<RuleFault>);

impl Faults {
    pub(super) fn error(&mut self, place: &Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(place, RuleSeverity::Error, message.into(), remedy.into());
    }

    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(place, RuleSeverity::Warning, message.into(), remedy.into());
    }

    pub(super) fn has_errors(&self) -> bool {
        self.0.iter().any(|fault| fault.severity == RuleSeverity::Error)
    }

    /// In order of file and place.
    pub(super) fn into_list(mut self) -> Vec<RuleFault> {
        self.0.sort();
        self.0.dedup();
        self.0
    }

    fn add(&mut self, place: &Place, severity: RuleSeverity, message: String, remedy: String) {
        let Place { file, line, column } = place.clone();
        self.0.push(RuleFault { file: file.as_ref().to_owned(), line, column, severity, message, remedy });
    }
}
