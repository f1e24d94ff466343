//! How long octets are kept, what holds them back, and what is left to say when they are gone (P3; promises, 6).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digest, Timestamp};

/// How long something is kept; the later the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// So long from when it came or was made.
    For(Duration),
    /// Until somebody says otherwise.
    #[default]
    Forever,
}

/// How long the octets of messages are kept, by the kinds of documents in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// What no other line is about.
    pub default: Keep,
    /// By document code or Action.
    pub documents: BTreeMap<Arc<str>, Keep>,
}

impl Retention {
    /// The longest of those of these kinds, and which kind asks for it.
    #[must_use]
    pub fn of<'a>(&self, kinds: impl IntoIterator<Item = &'a str>) -> (Keep, Option<&'a str>) {
        let each =
            kinds.into_iter().map(|kind| (*self.documents.get(kind).unwrap_or(&self.default), Some(kind)));
        each.max_by_key(|(keep, _)| *keep).unwrap_or((self.default, None))
    }

    /// The longest of all, and which kind asks for it.
    #[must_use]
    pub fn longest(&self) -> (Keep, Option<&str>) {
        let each = self.documents.iter().map(|(kind, keep)| (*keep, Some(&**kind)));
        each.chain([(self.default, None)]).max_by_key(|(keep, _)| *keep).unwrap_or((self.default, None))
    }

    /// Whether everything is kept for ever.
    #[must_use]
    pub fn is_forever(&self) -> bool {
        self.default == Keep::Forever && self.documents.values().all(|keep| *keep == Keep::Forever)
    }
}

/// What keeps octets from being purged, whatever their age, until an operator lifts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalHold {
    /// Since when.
    pub at: Timestamp,
    /// Who set it, in words.
    pub by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

impl fmt::Display for LegalHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held since {} by {}: {}", self.at, self.by, self.reason)
    }
}

/// What is left of octets that were purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// When.
    pub at: Timestamp,
    /// SHA-256 of the archive of evidence that was written and verified before.
    pub archive: Digest,
    /// Octets that were freed.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_several_kinds_is_kept_as_long_as_the_longest_asks() {
        let days = |days: u64| Keep::For(Duration::from_secs(days * 86_400));
        let retention = Retention {
            default: days(30),
            documents: [("GOVCBR929", days(1825)), ("GOVCBRX01", days(7)), ("GOVCBRXP9", Keep::Forever)]
                .into_iter()
                .map(|(kind, keep)| (kind.into(), keep))
                .collect(),
        };
        let check = |kinds: &[&'static str], keep: Keep, by: Option<&str>| {
            assert_eq!(retention.of(kinds.iter().copied()), (keep, by), "{kinds:?}");
        };
        check(&["GOVCBR929", "GOVCBRX01"], days(1825), Some("GOVCBR929"));
        check(&["GOVCBRX01"], days(7), Some("GOVCBRX01"));
        check(&["GOVCBRX01", "Acknowledgment"], days(30), Some("Acknowledgment"));
        check(&["GOVCBRX01", "GOVCBRXP9", "GOVCBR929"], Keep::Forever, Some("GOVCBRXP9"));
        check(&[], days(30), None);
        assert_eq!(retention.longest(), (Keep::Forever, Some("GOVCBRXP9")));
        assert!(!retention.is_forever());
        assert!(Retention::default().is_forever());
    }
}
