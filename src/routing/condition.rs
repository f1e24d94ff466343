//! The conditions of a row besides its goods: sets of codes and ranges of numbers (domain brief, 7.2; rulings 6,
//! 7, 10).

use std::collections::BTreeSet;
use std::fmt;

use crate::model::Decimal;

/// A list of texts with exclusions; an empty one takes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextSet {
    pub(super) within: BTreeSet<String>,
    pub(super) without: BTreeSet<String>,
}

impl TextSet {
    pub(super) fn is_any(&self) -> bool {
        self.within.is_empty() && self.without.is_empty()
    }

    /// A missing value meets no positive item and no exclusion (ruling 7).
    pub(super) fn takes(&self, value: Option<&str>) -> bool {
        match value {
            None => self.within.is_empty(),
            Some(value) => {
                (self.within.is_empty() || self.within.contains(value)) && !self.without.contains(value)
            }
        }
    }

    /// Whether everything that it names is excluded again.
    pub(super) fn is_contradictory(&self) -> bool {
        !self.within.is_empty() && self.within.is_subset(&self.without)
    }

    /// Whether some value, or a missing one, is taken by both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let takes_some = |set: &Self, by: &Self| {
            set.within.iter().any(|value| set.takes(Some(value)) && by.takes(Some(value)))
        };
        match (self.within.is_empty(), other.within.is_empty()) {
            (true, true) => true,
            (false, _) => takes_some(self, other),
            (true, false) => takes_some(other, self),
        }
    }

    /// Whether everything that is taken here is certainly taken by `other` too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let without = self.without.is_superset(&other.without)
            || (!self.within.is_empty() && self.within.is_disjoint(&other.without));
        let within =
            other.within.is_empty() || (!self.within.is_empty() && self.within.is_subset(&other.within));
        within && without
    }
}

/// `a..b`, inclusive, either end open (ruling 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NumberRange {
    from: Option<Decimal>,
    to: Option<Decimal>,
}

impl NumberRange {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not a range such as 100..2000, 100.. or ..2000");
        let (from, to) = text.split_once("..").ok_or_else(expected)?;
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| expected()),
        };
        let range = Self { from: end(from)?, to: end(to)? };
        match range {
            Self { from: None, to: None } => Err(expected()),
            Self { from: Some(from), to: Some(to) } if from > to => Err(format!("the range {text} is empty")),
            range => Ok(range),
        }
    }

    pub(super) fn is_any(self) -> bool {
        self == Self::default()
    }

    pub(super) fn takes(self, value: Option<Decimal>) -> bool {
        self.is_any()
            || value.is_some_and(|value| {
                self.from.is_none_or(|from| from <= value) && self.to.is_none_or(|to| value <= to)
            })
    }

    /// Whether some value, or a missing one, is taken by both.
    pub(super) fn meets(self, other: Self) -> bool {
        let begins_in = |a: Self, b: Self| a.from.zip(b.to).is_none_or(|(from, to)| from <= to);
        begins_in(self, other) && begins_in(other, self)
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        let from = other.from.is_none() || self.from.is_some_and(|from| Some(from) >= other.from);
        let to = other.to.is_none_or(|limit| self.to.is_some_and(|to| to <= limit));
        from && to
    }
}

impl fmt::Display for NumberRange {
    /// As a cell writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: Option<Decimal>| end.map(|end| end.to_string()).unwrap_or_default();
        write!(f, "{}..{}", end(self.from), end(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_as_the_rulings_say() {
        fn check(items: &[&str], value: Option<&str>, expected: bool) {
            let mut set = TextSet::default();
            for item in items {
                match item.strip_prefix('!') {
                    Some(text) => set.without.insert(text.to_owned()),
                    None => set.within.insert((*item).to_owned()),
                };
            }
            assert_eq!(set.takes(value), expected, "{items:?} {value:?}");
        }
        check(&[], None, true);
        check(&[], Some("CN"), true);
        check(&["CN"], Some("CN"), true);
        check(&["CN"], Some("JP"), false);
        check(&["CN"], None, false);
        check(&["!RD"], None, true);
        check(&["!RD"], Some("RD"), false);
        check(&["!RD"], Some("SALE"), true);
        check(&["CN", "!CN"], Some("CN"), false);
    }

    #[test]
    fn ranges_are_inclusive_and_may_be_open() {
        fn check(range: &str, value: Option<&str>, expected: Option<bool>) {
            let read = NumberRange::parse(range).ok();
            let value = value.map(|text| text.parse().expect("a decimal"));
            assert_eq!(read.map(|range| range.takes(value)), expected, "{range} {value:?}");
        }
        check("1..2", Some("1"), Some(true));
        check("1..2", Some("2"), Some(true));
        check("1..2", Some("2.001"), Some(false));
        check("..2", Some("-5"), Some(true));
        check("2..", Some("1.999"), Some(false));
        check("1..2", None, Some(false));
        check("..", None, None);
        check("2..1", None, None);
        check("2", None, None);
    }
}
