//! Approvals: what an agency has approved under a number, and how much of it declarations have used (domain brief,
//! 4.2 and 5.3; rulings 13, 19, 20).
//!
//! A result with an approved quantity makes one. It is a record of its own, so that declarations that rest on it at
//! the same time are told apart by its version, and none of its quantity is used twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;
use super::{AgencyCode, CaseId, DocumentCode, LawCode, Outcome, PartyKey, Realm, Timestamp, Watch};

/// What an approval is found by: the agency, and its number of it, in one realm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ApprovalKey {
    /// The realm: what was approved in practice satisfies nothing in production.
    #[serde(default, skip_serializing_if = "Realm::is_production")]
    pub realm: Realm,
    /// The party of the agency.
    pub agency: PartyKey,
    /// Requirement number, as declarations cite it.
    pub number: Arc<str>,
}

impl fmt::Display for ApprovalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let practice = if self.realm.is_practice() { "practice/" } else { "" };
        write!(f, "{practice}{}/{}", self.agency, self.number)
    }
}

/// How much of something, in a unit of UN/ECE Recommendation 20.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quantity {
    /// How much.
    pub value: Decimal,
    /// Of which unit, such as `KGM`.
    pub unit: Arc<str>,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.unit)
    }
}

/// What an agency has approved under one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The agency, and its number of it.
    pub key: ApprovalKey,
    /// Whose it is.
    pub holder: Holder,
    /// The case whose result stated it last.
    pub case: CaseId,
    /// What is approved, by item of that result.
    pub items: BTreeMap<u16, ApprovedItem>,
    /// What cases that have not ended use of it, in the order in which they began to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Drawn>,
    /// What cleared cases have used of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<Spent>,
    /// When something is next to be done about it by itself; the epoch when that is at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
}

impl Approval {
    /// How much of it is approved under a law in a unit, by the items that pass `is`.
    #[must_use]
    pub fn approved(&self, law: &LawCode, unit: &str, is: impl Fn(&ApprovedItem) -> bool) -> Decimal {
        let items = self.items.values().filter(|item| {
            item.outcome.is_approval() && item.laws.contains(law) && &*item.quantity.unit == unit && is(item)
        });
        items.fold(Decimal::default(), |sum, item| sum.saturating_add(item.quantity.value))
    }

    /// How much of it is used under a law in a unit, by cases that are open and by cleared ones.
    #[must_use]
    pub fn used(&self, law: &LawCode, unit: &str) -> Decimal {
        let charged = self.charges.iter().map(|charge| (&charge.law, &charge.quantity));
        let spent = self.spent.iter().map(|spent| (&spent.law, &spent.quantity));
        let of = charged.chain(spent).filter(|(of, quantity)| *of == law && &*quantity.unit == unit);
        of.fold(Decimal::default(), |sum, (_, quantity)| sum.saturating_add(quantity.value))
    }

    /// Every law and unit that it is for, or was used under.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<(LawCode, Arc<str>)> {
        let items = self.items.values();
        let items =
            items.flat_map(|item| item.laws.iter().map(|law| (law.clone(), item.quantity.unit.clone())));
        let charged = self.charges.iter().map(|charge| (charge.law.clone(), charge.quantity.unit.clone()));
        let spent = self.spent.iter().map(|spent| (spent.law.clone(), spent.quantity.unit.clone()));
        items.chain(charged).chain(spent).collect()
    }
}

impl fmt::Display for Approval {
    /// What it is for and what is left of it, such as `law 05: 400 of 1000 KGM left`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (law, unit)) in self.accounts().into_iter().enumerate() {
            let approved = self.approved(&law, &unit, |_| true);
            let left = approved.less(self.used(&law, &unit));
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}law {law}: {left} of {approved} {unit} left")?;
        }
        Ok(())
    }
}

/// Whose an approval is, as far as its result and the declaration that it was asked for with say so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The importer of that declaration: clearance id or business number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importer: Option<Arc<str>>,
    /// The applicant that the result names: business number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applicant: Option<Arc<str>>,
    /// Who lodged that declaration, or is registered under that number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyKey>,
}

impl Holder {
    /// Whether a declaration may rest on it: that of its importer, known by his number, whoever lodges it. Where one of
    /// them names no importer, the same party must have lodged both.
    #[must_use]
    pub fn is(&self, importer: Option<&Arc<str>>, submitter: &PartyKey) -> bool {
        let numbers = [&self.importer, &self.applicant];
        match importer {
            Some(importer) if numbers.iter().any(|number| number.as_ref() == Some(importer)) => true,
            Some(_) if self.importer.is_some() => false,
            _ => self.party.as_ref() == Some(submitter),
        }
    }

    /// Whether the two cannot be the same: they name different importers, or different applicants. A clearance id and a
    /// business number say nothing of each other.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let differ = |one: &Option<Arc<str>>, other: &Option<Arc<str>>| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| one != other)
        };
        differ(&self.importer, &other.importer) || differ(&self.applicant, &other.applicant)
    }

    /// Whether it is known to be given to another importer than this one.
    #[must_use]
    pub fn is_another(&self, importer: Option<&Arc<str>>) -> bool {
        self.importer.as_ref().zip(importer).is_some_and(|(own, importer)| own != importer)
    }
}

/// One item of an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedItem {
    /// What was decided; nothing can rest on it once that is no approval.
    pub outcome: Outcome,
    /// Laws that it satisfies.
    pub laws: Vec<LawCode>,
    /// ApprovedQuantity.
    pub quantity: Quantity,
    /// Agency issue time of the result that said so last.
    pub issued_at: Timestamp,
    /// Validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// The goods that it was asked for are cleared, and what they use of it is spent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleared: bool,
}

/// What a line of a case uses of an approval, under one law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The case.
    pub case: CaseId,
    /// Its line.
    pub line: u16,
    /// The law. Goods that need an approval under two laws use it under each.
    pub law: LawCode,
    /// How much.
    pub quantity: Quantity,
    /// These are the goods that the approval was asked for.
    #[serde(default)]
    pub own: bool,
    /// The approval does not cover it any more: its case is to hear of it.
    #[serde(default)]
    pub undo: bool,
}

/// What cleared cases have used of an approval, under one law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The law.
    pub law: LawCode,
    /// How much.
    pub quantity: Quantity,
}

/// A requirement of a line that is satisfied by an approval; part of the case that rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Declaration line.
    pub line: u16,
    /// Law.
    pub law: LawCode,
    /// Agency that the rules ask.
    pub agency: AgencyCode,
    /// The application that would be needed without it.
    pub document: DocumentCode,
    /// What it rests on.
    pub approval: ApprovalKey,
    /// How much of it the line uses.
    pub quantity: Quantity,
    /// How much was approved when it was verified, of this law and unit.
    pub of: Decimal,
    /// Whether the join counts the requirement.
    pub counts: bool,
    /// Result document code that would answer the application.
    pub result: DocumentCode,
    /// The watch that the application would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
}

/// An approval that a line claims to rest on and that does not satisfy its requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unverified {
    /// Declaration line.
    pub line: u16,
    /// Law.
    pub law: LawCode,
    /// The number that the line cites.
    pub number: Arc<str>,
    /// Why it does not, in words.
    pub why: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_its_importers_and_without_a_number_its_lodgers() {
        let party = |key: &str| PartyKey::new(key).expect("a party");
        let check =
            |importer: Option<&str>, applicant: Option<&str>, lodged: Option<&str>, expected: bool| {
                let number = |text: Option<&str>| text.map(Into::into);
                let holder = Holder {
                    importer: number(importer),
                    applicant: number(applicant),
                    party: Some(party("BR1")),
                };
                let submitter = party(if expected { "BR1" } else { "BR2" });
                let is = holder.is(number(lodged).as_ref(), &submitter);
                assert_eq!(is, expected, "{holder:?} {lodged:?}");
            };
        check(Some("A"), None, Some("A"), true);
        check(Some("A"), None, Some("B"), false);
        check(Some("A"), Some("B"), Some("B"), true);
        check(None, Some("B"), Some("C"), false);
        check(None, None, Some("A"), true);
        check(None, None, None, true);
        check(Some("A"), None, None, false);
        let holder = Holder { importer: Some("A".into()), applicant: None, party: Some(party("BR1")) };
        assert!(holder.is(Some(&"A".into()), &party("BR2")), "an importer may change his broker");
        assert!(!holder.is(Some(&"B".into()), &party("BR1")), "a broker lodges for many");
    }
}
