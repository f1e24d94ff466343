//! Production and practice: two realms that never meet (domain brief, 5.5: practice mode).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a message, a case or a delivery counts. Numbers and other keys are found within one realm only: the same
/// declaration number may be lodged in both, and neither ever touches the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Realm {
    /// What has effect.
    #[default]
    Production,
    /// A rehearsal: the declaration has FunctionCode 53 (UN/EDIFACT 1225: test), or the agreement is for practice.
    Practice,
}

impl Realm {
    /// FunctionCode of a document that is a test (UN/EDIFACT 1225).
    pub const TEST: &'static str = "53";

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Production => Self::Practice,
            Self::Practice => Self::Production,
        }
    }

    /// Whether it is that of practice.
    #[must_use]
    pub const fn is_practice(self) -> bool {
        matches!(self, Self::Practice)
    }

    /// Whether it is that of production. For records, which do not write it.
    #[must_use]
    pub const fn is_production(&self) -> bool {
        matches!(self, Self::Production)
    }

    /// The name in the store, on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Practice => "practice",
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
