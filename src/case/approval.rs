//! Approvals that are held already (domain brief, 4.2 and 5.3; rulings 13, 19, 20): what a declaration may rest on, how
//! much of it is used, and what follows when an approval ends.
//!
//! A line cites an approval by number. It satisfies the line's requirement when it is of the agency that the rules ask,
//! of the importer of the declaration, for the law and in the unit of the citation, in force, and enough of it is left:
//! charged in line order, a requirement as a whole or not at all. Goods that need it under two laws use it under each.
//! How much of an approval a line uses is the declarant's statement, as a not-applicable row is; customs judges it.
//!
//! The goods that an approval was asked for use it first: by the net weight of their line or its count in the unit of
//! the approval; where the line says neither, they use all of it. A case that is withdrawn or dismissed gives
//! back what it used, a cleared one has spent it.

mod account;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::amendment::{HELD, Key, items_of};
use crate::model::{
    AgencyCode, Application, Approval, ApprovalKey, ApprovedItem, CaseId, Decimal, Declaration,
    DeclarationLine, DocumentCode, Drawn, Held, LawCode, Outcome, PartyKey, PlannedRow, Quantity, Realm,
    RequirementRow, Timestamp, Unverified, Watch,
};
use crate::routing::Plan;

pub use account::{Moved, Movement, account, lapse_approval, undo};
pub use statement::{Conflicting, stated, superseded};

/// Charges of open cases that one approval takes at most, so that its record stays small.
pub const CHARGES_MAX: usize = 1000;

/// Approvals by agency and number.
pub type Approvals = BTreeMap<ApprovalKey, Approval>;

/// Who cites approvals, and when.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// The case.
    pub case: &'a CaseId,
    /// Its realm.
    pub realm: Realm,
    /// Who lodged it.
    pub submitter: &'a PartyKey,
    /// The declaration.
    pub declared: &'a Declaration,
    /// When it is taken.
    pub now: Timestamp,
}

/// Why an approval that a line cites does not satisfy its requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClaimFault {
    #[error("no approval of this number that states a quantity is known here")]
    Unknown,
    #[error("it is no approval of {0}, which the rules ask here")]
    OtherAgency(AgencyCode),
    #[error("it was given to another importer")]
    OtherHolder,
    #[error("its result does not say under which law")]
    NoLaw,
    #[error("it is for law {0}")]
    OtherLaw(String),
    #[error("the line does not say how much of it is used")]
    NoQuantity,
    #[error("it is in {0}, the line uses {1}")]
    OtherUnit(String, Arc<str>),
    #[error("it is {}", .0.as_str())]
    Ended(Outcome),
    #[error("it was valid until {0}")]
    Expired(Timestamp),
    #[error("not enough is left of it: {left}, and the line uses {wanted}")]
    NotEnough { left: Quantity, wanted: Quantity },
    #[error("{CHARGES_MAX} lines of declarations that are open rest on it already, and it takes no more")]
    Crowded,
    #[error("the rules ask {0} for {1} documents under this law, and it does not say which it stands for")]
    Ambiguous(AgencyCode, usize),
    #[error("it would do, but another approval that the line cites for this law does not")]
    WithAnother,
}

/// Which requirements approvals satisfy, and which that are cited do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) held: Vec<Held>,
    pub(super) unverified: Vec<Unverified>,
}

/// Documents by line, law and agency.
type Documents = BTreeMap<(u16, LawCode, AgencyCode), BTreeSet<DocumentCode>>;

/// What an application would be that an approval makes unnecessary.
pub(super) type Templates = BTreeMap<Key, Template>;

/// As much of a planned application as is needed to plan it again.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) party: PartyKey,
    pub(super) result: DocumentCode,
    pub(super) watch: Option<Watch>,
}

impl Template {
    pub(super) fn application(&self, (agency, document): &Key) -> Application {
        let (party, result) = (self.party.clone(), self.result.clone());
        let watch = self.watch.clone();
        Application { watch, ..Application::new(agency.clone(), party, document.clone(), result) }
    }
}

/// Takes from a plan what approvals satisfy; `approvals` are charged.
pub fn hold(plan: &mut Plan, claims: Claims<'_>, approvals: &mut Approvals) -> (Vec<Held>, Vec<Unverified>) {
    let templates = plan.applications.iter().map(|planned| {
        let (party, result) = (planned.party.clone(), planned.result.clone());
        let template = Template { party, result, watch: planned.watch.clone() };
        ((planned.agency.clone(), planned.document.clone()), template)
    });
    let Standing { held, unverified } = verify_rows(&mut plan.rows, claims, approvals, &templates.collect());
    if !held.is_empty() {
        let wanted = items_of(&plan.rows);
        let rows = &plan.rows;
        plan.applications.retain_mut(|planned| {
            let Some(items) = wanted.get(&(planned.agency.clone(), planned.document.clone())) else {
                return false;
            };
            let own = |row: &&PlannedRow| {
                row.removed.is_none() && row.agency == planned.agency && row.document == planned.document
            };
            let laws: BTreeSet<_> = rows.iter().filter(own).map(|row| row.law.clone()).collect();
            let rules: BTreeSet<_> = rows.iter().filter(own).map(|row| row.rule.clone()).collect();
            planned.required = rows.iter().filter(own).any(|row| row.counts);
            planned.items = items.keys().copied().collect();
            planned.laws = laws.into_iter().collect();
            planned.rules = rules.into_iter().collect();
            true
        });
    }
    (held, unverified)
}

/// Verifies what lines cite for rows that stand, and marks those that are satisfied as removed.
pub(super) fn verify_rows(
    rows: &mut [PlannedRow],
    claims: Claims<'_>,
    approvals: &mut Approvals,
    templates: &Templates,
) -> Standing {
    let citing = claims.declared.lines.iter().filter(|line| !line.requirements.is_empty());
    let citing: BTreeMap<u16, &DeclarationLine> = citing.map(|line| (line.sequence, line)).collect();
    let mut held: Vec<Held> = Vec::new();
    let mut faults: BTreeMap<(u16, LawCode, Arc<str>), ClaimFault> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let asked = if citing.is_empty() { BTreeMap::new() } else { asked_by_line(rows, templates) };
    let documents = documents_asked(rows, &citing);
    for at in 0..rows.len() {
        let row = rows[at].clone();
        let Some(line) = citing.get(&row.line).filter(|_| row.removed.is_none()) else { continue };
        let cited: Vec<_> = line.requirements.iter().filter(|claim| claim.law == row.law).collect();
        let key = (row.line, row.law.clone(), row.agency.clone());
        let template = templates.get(&(row.agency.clone(), row.document.clone()));
        let Some(template) = template.filter(|_| !cited.is_empty() && seen.insert(key.clone())) else {
            continue;
        };
        let wanted = documents.get(&key).map_or(1, BTreeSet::len);
        if wanted > 1 {
            let fault = || ClaimFault::Ambiguous(row.agency.clone(), wanted);
            faults.extend(
                cited.iter().map(|claim| ((row.line, row.law.clone(), claim.number.clone()), fault())),
            );
            continue;
        }
        let others = asked.get(&(row.line, row.law.clone()));
        match satisfy(&row, &cited, (template, others), claims, approvals) {
            Ok(satisfied) => {
                let cites: Vec<_> = satisfied
                    .iter()
                    .map(|held| format!("{} ({})", held.approval.number, held.quantity))
                    .collect();
                let removed: Arc<str> = format!("{HELD}{}", cites.join(", ")).into();
                let same = |other: &&mut PlannedRow| {
                    other.removed.is_none()
                        && (other.line, &other.law, &other.agency) == (row.line, &row.law, &row.agency)
                };
                rows.iter_mut().filter(same).for_each(|row| row.removed = Some(removed.clone()));
                held.extend(satisfied);
            }
            Err(found) => {
                faults.extend(
                    found.into_iter().map(|(number, fault)| ((row.line, row.law.clone(), number), fault)),
                );
            }
        }
    }
    let is_held = |(line, law, number): &(u16, LawCode, Arc<str>)| {
        held.iter().any(|held| (held.line, &held.law, &held.approval.number) == (*line, law, number))
    };
    let unverified = faults.into_iter().filter(|(claim, _)| !is_held(claim));
    let unverified = unverified.map(|((line, law, number), fault)| Unverified {
        line,
        law,
        number,
        why: fault.to_string().into(),
    });
    Standing { unverified: unverified.collect(), held }
}

/// The documents that rules ask an agency for under a law, on lines that cite approvals.
fn documents_asked(rows: &[PlannedRow], citing: &BTreeMap<u16, &DeclarationLine>) -> Documents {
    let mut documents = Documents::new();
    for row in rows.iter().filter(|row| row.removed.is_none() && citing.contains_key(&row.line)) {
        let key = (row.line, row.law.clone(), row.agency.clone());
        documents.entry(key).or_default().insert(row.document.clone());
    }
    documents
}

/// The parties of the agencies that rules ask for a law on a line.
fn asked_by_line(rows: &[PlannedRow], templates: &Templates) -> BTreeMap<(u16, LawCode), BTreeSet<PartyKey>> {
    let mut asked: BTreeMap<_, BTreeSet<PartyKey>> = BTreeMap::new();
    for row in rows {
        if let Some(template) = templates.get(&(row.agency.clone(), row.document.clone())) {
            asked.entry((row.line, row.law.clone())).or_default().insert(template.party.clone());
        }
    }
    asked
}

/// Charges everything that a line cites for a row, or nothing: each citation then has its fault. What is an approval of
/// another agency that the rules ask for the same law is not for this row.
fn satisfy(
    row: &PlannedRow,
    cited: &[&RequirementRow],
    (template, asked): (&Template, Option<&BTreeSet<PartyKey>>),
    claims: Claims<'_>,
    approvals: &mut Approvals,
) -> Result<Vec<Held>, Vec<(Arc<str>, ClaimFault)>> {
    let mut held: Vec<Held> = Vec::new();
    let mut faults = Vec::new();
    for claim in cited {
        let key =
            ApprovalKey { realm: claims.realm, agency: template.party.clone(), number: claim.number.clone() };
        let Some(approval) = approvals.get_mut(&key) else {
            let of_another = |key: &&ApprovalKey| key.number == claim.number;
            let elsewhere: Vec<_> = approvals.keys().filter(of_another).map(|key| &key.agency).collect();
            if elsewhere.iter().any(|party| asked.is_some_and(|asked| asked.contains(*party))) {
                continue;
            }
            let other = ClaimFault::OtherAgency(row.agency.clone());
            faults
                .push((claim.number.clone(), if elsewhere.is_empty() { ClaimFault::Unknown } else { other }));
            continue;
        };
        match verify(approval, (row.line, claim), claims) {
            Ok((quantity, of)) => {
                approval.charges.push(Drawn {
                    case: claims.case.clone(),
                    line: row.line,
                    law: row.law.clone(),
                    quantity: quantity.clone(),
                    own: false,
                    undo: false,
                });
                held.push(Held {
                    line: row.line,
                    law: row.law.clone(),
                    agency: row.agency.clone(),
                    document: row.document.clone(),
                    approval: key,
                    quantity,
                    of,
                    counts: row.counts,
                    result: template.result.clone(),
                    watch: template.watch.clone(),
                });
            }
            Err(fault) => faults.push((claim.number.clone(), fault)),
        }
    }
    if faults.is_empty() && !held.is_empty() {
        return Ok(held);
    }
    for held in held {
        // The last charge of it is the one made above.
        approvals.get_mut(&held.approval).expect("it was charged above").charges.pop();
        faults.push((held.approval.number, ClaimFault::WithAnother));
    }
    Err(faults)
}

/// Whether an approval covers what a line cites it for: how much the line uses, and how much is approved.
pub(super) fn verify(
    approval: &Approval,
    (line, claim): (u16, &RequirementRow),
    claims: Claims<'_>,
) -> Result<(Quantity, Decimal), ClaimFault> {
    if !approval.holder.is(claims.declared.importer.as_ref(), claims.submitter) {
        return Err(ClaimFault::OtherHolder);
    }
    let items: Vec<&ApprovedItem> = approval.items.values().collect();
    if !items.iter().any(|item| item.outcome.is_approval()) {
        let worst = items.iter().map(|item| item.outcome).min();
        return Err(ClaimFault::Ended(worst.unwrap_or(Outcome::Revoked)));
    }
    let laws: BTreeSet<&LawCode> = items.iter().flat_map(|item| &item.laws).collect();
    if !laws.contains(&claim.law) {
        let named: Vec<_> = laws.iter().map(|law| law.as_str()).collect();
        return Err(if named.is_empty() {
            ClaimFault::NoLaw
        } else {
            ClaimFault::OtherLaw(named.join(", "))
        });
    }
    let wanted = claim.quantity.zip(claim.unit.clone()).filter(|(value, _)| *value > Decimal::default());
    let Some((value, unit)) = wanted else { return Err(ClaimFault::NoQuantity) };
    let wanted = Quantity { value, unit };
    let of_law: Vec<_> = items.into_iter().filter(|item| item.laws.contains(&claim.law)).collect();
    let of_unit: Vec<_> = of_law.iter().filter(|item| item.quantity.unit == wanted.unit).collect();
    if of_unit.is_empty() {
        let units: BTreeSet<_> = of_law.iter().map(|item| &*item.quantity.unit).collect();
        return Err(ClaimFault::OtherUnit(units.into_iter().collect::<Vec<_>>().join(", "), wanted.unit));
    }
    let in_force: Vec<_> = of_unit.iter().filter(|item| item.outcome.is_approval()).collect();
    if in_force.is_empty() {
        let worst = of_unit.iter().map(|item| item.outcome).min();
        return Err(ClaimFault::Ended(worst.unwrap_or(Outcome::Revoked)));
    }
    let is_valid = |item: &ApprovedItem| item.valid_until.is_none_or(|end| claims.now < end);
    if !in_force.iter().any(|item| is_valid(item)) {
        let end = in_force.iter().filter_map(|item| item.valid_until).max();
        return Err(ClaimFault::Expired(end.unwrap_or(claims.now)));
    }
    let approved = approval.approved(&claim.law, &wanted.unit, is_valid);
    // What the goods of the line use, because it was asked for them, is what they rest on now.
    let of_line = approval.charges.iter().filter(|charge| {
        charge.own && (&charge.case, charge.line, &charge.law) == (claims.case, line, &claim.law)
    });
    let of_line = of_line.filter(|charge| charge.quantity.unit == wanted.unit);
    let of_line = of_line.fold(Decimal::default(), |sum, charge| sum.saturating_add(charge.quantity.value));
    let left = approved.less(approval.used(&claim.law, &wanted.unit).less(of_line));
    if left < wanted.value {
        let left = Quantity { value: left, unit: wanted.unit.clone() };
        return Err(ClaimFault::NotEnough { left, wanted });
    }
    if approval.charges.len() >= CHARGES_MAX {
        return Err(ClaimFault::Crowded);
    }
    Ok((wanted, approved))
}

/// How the applications are planned again that approvals make unnecessary.
pub(super) fn templates(held: &[Held]) -> Templates {
    let templates = held.iter().map(|held| {
        let (party, result) = (held.approval.agency.clone(), held.result.clone());
        let template = Template { party, result, watch: held.watch.clone() };
        ((held.agency.clone(), held.document.clone()), template)
    });
    templates.collect()
}
