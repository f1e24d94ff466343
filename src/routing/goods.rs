//! Sets of goods by HS code: prefixes, inclusive ranges of prefixes, exclusions (domain brief, 7.2; ruling 8).

use std::sync::Arc;

use crate::model::HsCode;

/// One item: every code whose leading digits lie between two prefixes; each end compares at its own length. Kept as
/// the ten-digit codes at its ends: the check of a long table asks for them some hundred million times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HsRange {
    first: u64,
    last: u64,
}

impl HsRange {
    /// Reads `1604`, `1604.20` or `0302..0308`; why not, when it cannot.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let code = |text: &str| text.trim().parse::<HsCode>().map_err(|error| error.to_string());
        let (low, high) = match text.split_once("..") {
            Some((low, high)) => (code(low)?, code(high)?),
            None => (code(text)?, code(text)?),
        };
        let range = Self { first: Self::of(low).first, last: Self::of(high).last };
        if range.first <= range.last { Ok(range) } else { Err(format!("the range {text} is empty")) }
    }

    /// Every code that begins so.
    pub(super) fn of(code: HsCode) -> Self {
        let digits = code.as_str();
        let number = digits.bytes().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        let below = (digits.len()..HsCode::LINE_DIGITS).fold(1, |size, _| size * 10);
        Self { first: number * below, last: number * below + below - 1 }
    }

    /// Whether every code in it is among these goods.
    pub(super) fn is_within(self, goods: &Goods) -> bool {
        let (first, last) = self.bounds();
        let mut borders = goods.borders().chain([first]).filter(|code| (first..=last).contains(code));
        borders.all(|code| goods.holds(code))
    }

    /// Whether some code in it is among these goods.
    pub(super) fn meets(self, goods: &Goods) -> bool {
        self.meets_both(goods, goods)
    }

    /// Whether some code in it is among both.
    pub(super) fn meets_both(self, goods: &Goods, others: &Goods) -> bool {
        let (first, last) = self.bounds();
        let borders = goods.borders().chain(others.borders()).chain([first]);
        let mut borders = borders.filter(|code| (first..=last).contains(code));
        borders.any(|code| goods.holds(code) && others.holds(code))
    }

    /// First and last ten-digit code in it.
    pub(super) const fn bounds(self) -> (u64, u64) {
        (self.first, self.last)
    }

    fn holds(self, code: u64) -> bool {
        (self.first..=self.last).contains(&code)
    }
}

/// A line's code as a number; shorter ones stand for their first code.
pub(super) fn number_of(code: HsCode) -> u64 {
    HsRange::of(code).first
}

/// Ranges with exclusions, as a class or a cell writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HsSet {
    pub(super) within: Vec<HsRange>,
    pub(super) without: Vec<HsRange>,
}

impl HsSet {
    pub(super) fn add(&mut self, range: HsRange, excluded: bool) {
        if excluded { self.without.push(range) } else { self.within.push(range) }
    }

    /// Ruling 6: one positive item matches, or there is none; and no exclusion does.
    pub(super) fn holds(&self, code: u64) -> bool {
        (self.within.is_empty() || self.within.iter().any(|range| range.holds(code)))
            && !self.without.iter().any(|range| range.holds(code))
    }

    /// The same set, its ranges in order.
    pub(super) fn sorted(mut self) -> Self {
        self.within.sort_unstable();
        self.without.sort_unstable();
        self
    }
}

/// The goods of a row: its own ranges and its classes, each class taken as a whole first (ruling 6).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Goods {
    pub(super) own: HsSet,
    pub(super) classes: Vec<Arc<HsSet>>,
    pub(super) without_classes: Vec<Arc<HsSet>>,
}

impl Goods {
    /// Whether the row says nothing about goods.
    pub(super) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn holds(&self, code: u64) -> bool {
        let positive = self.own.within.iter().any(|range| range.holds(code))
            || self.classes.iter().any(|class| class.holds(code));
        let none = self.own.within.is_empty() && self.classes.is_empty();
        let excluded = self.own.without.iter().any(|range| range.holds(code))
            || self.without_classes.iter().any(|class| class.holds(code));
        (none || positive) && !excluded
    }

    /// The same goods written in the one order that makes equal goods compare equal; classes are sorted where they
    /// are defined.
    pub(super) fn sorted(mut self) -> Self {
        self.own = self.own.sorted();
        self.classes.sort_unstable();
        self.without_classes.sort_unstable();
        self
    }

    /// Whether no code at all is held.
    pub(super) fn is_empty(&self) -> bool {
        self.some_code().is_none()
    }

    /// A code that is held, when there is one: tried at every border, where a set can only change.
    pub(super) fn some_code(&self) -> Option<u64> {
        self.borders().find(|code| self.holds(*code))
    }

    /// The codes at which a set of goods can begin or end, the first of all among them.
    pub(super) fn borders(&self) -> impl Iterator<Item = u64> {
        let classes = self.classes.iter().chain(&self.without_classes).map(AsRef::as_ref);
        let ranges =
            std::iter::once(&self.own).chain(classes).flat_map(|set| set.within.iter().chain(&set.without));
        let borders = ranges.flat_map(|range| [range.bounds().0, range.bounds().1 + 1]);
        std::iter::once(0).chain(borders).filter(|code| *code < CODES)
    }

    /// Whether every code here is certainly in `other` too; may say no where it is hard to see.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        if other.is_any() || self == other {
            return true;
        }
        self.borders().chain(other.borders()).all(|code| !self.holds(code) || other.holds(code))
    }

    /// Whether some code is in both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.borders().chain(other.borders()).any(|code| self.holds(code) && other.holds(code))
    }
}

/// A code as people write it: heading, dot, the rest; trailing zeros of a border left out.
pub(super) fn shown(code: u64) -> String {
    let digits = format!("{code:010}");
    let (heading, rest) = digits.split_at(4);
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { heading.to_owned() } else { format!("{heading}.{rest}") }
}

/// How many ten-digit codes there are.
pub(super) const CODES: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &str) -> HsSet {
        let mut set = HsSet::default();
        for item in items.split(';').filter(|item| !item.is_empty()) {
            let (excluded, text) = item.strip_prefix('!').map_or((false, item), |text| (true, text));
            set.add(HsRange::parse(text).expect(text), excluded);
        }
        set
    }

    #[test]
    fn ranges_compare_at_the_length_of_each_end() {
        fn check(items: &str, code: &str, expected: bool) {
            let code = number_of(code.parse().expect("a code"));
            assert_eq!(set(items).holds(code), expected, "{items} {code}");
        }
        check("1604", "1604209000", true);
        check("1604;!1604.20", "1604209000", false);
        check("0302..0308", "0308909000", true);
        check("0302..0308", "0309000000", false);
        check("0302..0303.1", "0303190000", true);
        check("0302..0303.1", "0303200000", false);
        check("!1604", "0101000000", true);
        check("", "0101000000", true);
        assert!(HsRange::parse("0308..0302").is_err());
        assert!(HsRange::parse("1").is_err());
        assert!(HsRange::parse("0302..").is_err());
    }

    #[test]
    fn a_set_without_codes_is_seen() {
        let goods = |items| Goods { own: set(items), ..Goods::default() };
        assert!(goods("1604;!16").is_empty());
        assert!(!goods("1604;!1604.2").is_empty());
        assert!(!goods("").is_empty());
        assert!(goods("1604").is_within(&goods("16")));
        assert!(goods("1604;1605").is_within(&goods("1604..1605")));
        assert!(!goods("16").is_within(&goods("16;!1604")));
    }
}
