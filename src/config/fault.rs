//! What is wrong with a settings file, told so that it can be mended: file, line, column, remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One mistake in a settings or partner file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigFault {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, remedy } = self;
        write!(f, "{}:{line}:{column}: {message}; {remedy}", file.display())
    }
}

/// The settings have this many mistakes, which have been told.
#[derive(Debug, thiserror::Error)]
#[error("{0} mistake(s) in the settings; what is in force stays in force")]
pub struct SettingsRefused(pub usize);

/// The settings of one command have mistakes, which this tells.
#[derive(Debug, thiserror::Error)]
#[error("{} mistake(s) in the settings{}", .0.len(), .0.iter().map(|fault| format!("\n{fault}")).collect::<String>())]
pub struct SettingsMistaken(pub Vec<ConfigFault>);

impl SettingsRefused {
    /// The exit code that says so.
    pub const EXIT_CODE: u8 = 4;
}

/// The mistakes found so far: one never hides another.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<ConfigFault>);

impl Faults {
    pub(super) fn add(&mut self, file: &Path, place: (usize, usize), message: String, remedy: String) {
        self.0.push(ConfigFault { file: file.to_owned(), line: place.0, column: place.1, message, remedy });
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn extend(&mut self, faults: impl IntoIterator<Item = ConfigFault>) {
        self.0.extend(faults);
    }

    /// In order of file and place.
    pub(super) fn into_list(mut self) -> Vec<ConfigFault> {
        self.0.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        self.0
    }
}
