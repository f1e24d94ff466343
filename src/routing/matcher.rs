//! The one matcher: which rows a line hits, which exceptions it meets, and which rows it nearly hits (domain brief,
//! 7.2; ruling 14).

use super::table::Conditions;
use crate::model::{CountryCode, Declaration, DeclarationLine, Timestamp};

/// What a row's conditions are held against.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) declaration: &'a Declaration,
    pub(super) line: &'a DeclarationLine,
    /// The line's code as a number.
    pub(super) goods: u64,
    pub(super) at: Timestamp,
}

/// What comes of a row's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All hold: a hit.
    Holds,
    /// All but this one: a near miss.
    HoldsBut(&'static str),
    /// Several fail.
    Fails,
}

/// The document that a declaration is.
pub(super) const DECLARATION: &str = "GOVCBR929";

impl Conditions {
    /// Whether the conditions hold, goods left out: those are the index's. A second one that fails ends the look.
    pub(super) fn judge(&self, subject: &Subject<'_>) -> Verdict {
        let Subject { declaration, line, at, .. } = subject;
        let in_force =
            || self.from.is_none_or(|from| from <= *at) && self.until.is_none_or(|until| *at < until);
        let origin = || self.origin.takes(line.origin.as_ref().map(CountryCode::as_str));
        let export_from =
            || self.export_from.takes(declaration.export_from.as_ref().map(CountryCode::as_str));
        let usage = || self.usage.takes(line.usage.as_ref().map(AsRef::as_ref));
        let doc = || self.doc.takes(Some(DECLARATION));
        let importer = || self.importer.takes(declaration.importer.as_deref());
        let value = || self.value.takes(line.value);
        let weight = || self.weight.takes(line.weight);
        let checks: [(&'static str, &dyn Fn() -> bool); 8] = [
            ("dates", &in_force),
            ("origin", &origin),
            ("export_from", &export_from),
            ("usage", &usage),
            ("doc", &doc),
            ("importer", &importer),
            ("value", &value),
            ("weight", &weight),
        ];
        let mut failing = checks.into_iter().filter(|(_, holds)| !holds()).map(|(name, _)| name);
        match (failing.next(), failing.next()) {
            (None, _) => Verdict::Holds,
            (Some(only), None) => Verdict::HoldsBut(only),
            (Some(_), Some(_)) => Verdict::Fails,
        }
    }

    /// Whether whatever meets these conditions certainly meets the `other` ones.
    pub(super) fn are_within(&self, other: &Self) -> bool {
        let from = other.from.is_none_or(|limit| self.from.is_some_and(|from| from >= limit));
        let until = other.until.is_none_or(|limit| self.until.is_some_and(|until| until <= limit));
        from && until
            && self.goods.is_within(&other.goods)
            && self.origin.is_within(&other.origin)
            && self.export_from.is_within(&other.export_from)
            && self.usage.is_within(&other.usage)
            && self.doc.is_within(&other.doc)
            && self.importer.is_within(&other.importer)
            && self.value.is_within(other.value)
            && self.weight.is_within(other.weight)
    }

    /// Whether something meets both, goods left out.
    pub(super) fn meet_beside_goods(&self, other: &Self) -> bool {
        self.meet_in_time(other)
            && self.origin.meets(&other.origin)
            && self.export_from.meets(&other.export_from)
            && self.usage.meets(&other.usage)
            && self.doc.meets(&other.doc)
            && self.importer.meets(&other.importer)
            && self.value.meets(other.value)
            && self.weight.meets(other.weight)
    }

    /// Whether some instant is in both windows.
    pub(super) fn meet_in_time(&self, other: &Self) -> bool {
        let begins_before = |a: &Self, b: &Self| match (a.from, b.until) {
            (Some(from), Some(until)) => from < until,
            _ => true,
        };
        begins_before(self, other) && begins_before(other, self)
    }

    /// All but the dates, in the one order that makes equal conditions compare equal.
    pub(super) fn undated(&self) -> Self {
        Self { from: None, until: None, goods: self.goods.clone().sorted(), ..self.clone() }
    }
}
