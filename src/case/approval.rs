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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::amendment::{HELD, Key, items_of, reshape};
use super::deadline::SLACK;
use crate::model::{
    AgencyCode, Application, Approval, ApprovalKey, ApprovedItem, Case, CaseId, CaseState, Decimal,
    Declaration, DeclarationLine, DocumentCode, Drawn, Held, Holder, ItemOutcome, LawCode, Outcome, PartyKey,
    PlannedRow, Quantity, Realm, RequirementRow, ResultDocument, Spent, Timestamp, Unverified, Watch,
};
use crate::routing::Plan;

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
    #[error("more declarations than {CHARGES_MAX} lines rest on it at present")]
    Crowded,
    #[error("it would do, but another approval that the line cites for this law does not")]
    WithAnother,
}

/// Which requirements approvals satisfy, and which that are cited do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) held: Vec<Held>,
    pub(super) unverified: Vec<Unverified>,
}

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
    for at in 0..rows.len() {
        let row = rows[at].clone();
        let Some(line) = citing.get(&row.line).filter(|_| row.removed.is_none()) else { continue };
        let cited: Vec<_> = line.requirements.iter().filter(|claim| claim.law == row.law).collect();
        let key = (row.line, row.law.clone(), row.agency.clone());
        let template = templates.get(&(row.agency.clone(), row.document.clone()));
        let Some(template) = template.filter(|_| !cited.is_empty() && seen.insert(key)) else { continue };
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
        match verify(approval, claim, claims) {
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
    claim: &RequirementRow,
    claims: Claims<'_>,
) -> Result<(Quantity, Decimal), ClaimFault> {
    if !approval.holder.is(claims.declared.importer.as_ref(), claims.submitter) {
        return Err(ClaimFault::OtherHolder);
    }
    let items: Vec<&ApprovedItem> = approval.items.values().collect();
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
    let left = approved.less(approval.used(&claim.law, &wanted.unit));
    if left < wanted.value {
        let left = Quantity { value: left, unit: wanted.unit.clone() };
        return Err(ClaimFault::NotEnough { left, wanted });
    }
    if approval.charges.len() >= CHARGES_MAX {
        return Err(ClaimFault::Crowded);
    }
    Ok((wanted, approved))
}

/// What a case did to the account of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// What was done.
    pub how: Moved,
    /// Line of the case.
    pub line: u16,
    /// Law.
    pub law: LawCode,
    /// How much.
    pub quantity: Quantity,
}

/// How an account moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The case uses it.
    Charged,
    /// The case uses it no more.
    Returned,
    /// The case is cleared: it is used up.
    Spent,
}

/// Brings the account of an approval in line with a case: what it uses, as long as it is open. A charge that stays keeps
/// its place. What is then more than is approved is marked to be undone.
pub fn account(approval: &mut Approval, case: &Case) -> Vec<Movement> {
    let mut wanted = used_by(approval, case);
    let gone = if case.state == CaseState::Cleared { Moved::Spent } else { Moved::Returned };
    let mut movements = Vec::new();
    let mut spent = Vec::new();
    approval.charges.retain(|charge| {
        if charge.case != case.id {
            return true;
        }
        let same = |wanted: &Drawn| Drawn { undo: charge.undo, ..wanted.clone() } == *charge;
        if let Some(at) = wanted.iter().position(same) {
            wanted.swap_remove(at);
            return true;
        }
        if gone == Moved::Spent {
            spent.push((charge.law.clone(), charge.quantity.clone()));
        }
        movements.push(moved(gone, charge));
        false
    });
    spent.into_iter().for_each(|(law, quantity)| spend(approval, law, quantity));
    wanted.sort_by(|a, b| (a.line, &a.law).cmp(&(b.line, &b.law)));
    movements.extend(wanted.iter().map(|charge| moved(Moved::Charged, charge)));
    approval.charges.extend(wanted);
    if !movements.is_empty() {
        mark(approval);
    }
    movements
}

fn moved(how: Moved, charge: &Drawn) -> Movement {
    Movement { how, line: charge.line, law: charge.law.clone(), quantity: charge.quantity.clone() }
}

fn spend(approval: &mut Approval, law: LawCode, quantity: Quantity) {
    let same = |spent: &&mut Spent| spent.law == law && spent.quantity.unit == quantity.unit;
    match approval.spent.iter_mut().find(same) {
        Some(spent) => spent.quantity.value = spent.quantity.value.saturating_add(quantity.value),
        None => approval.spent.push(Spent { law, quantity }),
    }
}

/// What a case uses of an approval.
fn used_by(approval: &Approval, case: &Case) -> Vec<Drawn> {
    if case.state.is_end() {
        return Vec::new();
    }
    let charge = |line, law: &LawCode, quantity: &Quantity, own| Drawn {
        case: case.id.clone(),
        line,
        law: law.clone(),
        quantity: quantity.clone(),
        own,
        undo: false,
    };
    let held = case.held.iter().filter(|held| held.approval == approval.key);
    let mut used: Vec<_> = held.map(|held| charge(held.line, &held.law, &held.quantity, false)).collect();
    for application in case.applications.iter().filter(|a| a.party == approval.key.agency) {
        for (item, outcome) in &application.outcomes {
            let is_its =
                outcome.outcome.is_approval() && outcome.approval.as_ref() == Some(&approval.key.number);
            let line =
                case.declared.as_ref().and_then(|d| d.lines.iter().find(|line| line.sequence == *item));
            let known = approval.items.get(item).filter(|_| approval.case == case.id);
            let approved = known.map(|known| known.quantity.clone()).or_else(|| quantity_of(outcome));
            if let (true, Some(line), Some(approved)) = (is_its, line, approved) {
                let quantity = goods_of(line, &approved);
                used.extend(
                    laws_of(case, application, *item).iter().map(|law| charge(*item, law, &quantity, true)),
                );
            }
        }
    }
    used
}

/// How much of an approval the goods use that it was asked for.
fn goods_of(line: &DeclarationLine, approved: &Quantity) -> Quantity {
    let counted = line.count.as_ref().filter(|count| count.unit == approved.unit).map(|count| count.value);
    let weighed = line.weight.filter(|_| &*approved.unit == KILOGRAM);
    let value = counted.or(weighed).unwrap_or(approved.value).min(approved.value);
    Quantity { value, unit: approved.unit.clone() }
}

const KILOGRAM: &str = "KGM";

fn quantity_of(outcome: &ItemOutcome) -> Option<Quantity> {
    let unit = outcome.unit.clone().unwrap_or_else(|| KILOGRAM.into());
    outcome.quantity.map(|value| Quantity { value, unit })
}

/// The laws that an item was decided under: those of the result, else those that asked for it.
fn laws_of(case: &Case, application: &Application, item: u16) -> Vec<LawCode> {
    let named = application.outcomes.get(&item).map(|outcome| outcome.laws.clone()).unwrap_or_default();
    if !named.is_empty() {
        return named;
    }
    let asking = case.expected.iter().filter(|row| {
        let of_application = row.agency == application.agency && row.document == application.document;
        of_application && row.line == item && row.removed.is_none()
    });
    let asking: BTreeSet<_> = asking.map(|row| row.law.clone()).collect();
    if asking.is_empty() { application.laws.clone() } else { asking.into_iter().collect() }
}

/// A result states an approval under a number that another importer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflicting;

/// What a result that took force says of its approval of this number; `None` when it states none. Items of the same
/// case are stated one by one; a result of another case that is newer states the approval as a whole.
///
/// # Errors
/// [`Conflicting`].
pub fn stated(
    known: Option<&Approval>,
    case: &Case,
    index: usize,
    number: &Arc<str>,
    document: &ResultDocument,
) -> Result<Option<Approval>, Conflicting> {
    let application = &case.applications[index];
    let outcomes = application.outcomes.iter().filter(|(item, outcome)| {
        let is_listed =
            document.items.is_empty() || document.items.iter().any(|listed| listed.sequence == **item);
        is_listed && outcome.issued_at == document.issued_at && outcome.approval.as_ref() == Some(number)
    });
    let outcomes: BTreeMap<u16, &ItemOutcome> = outcomes.map(|(item, outcome)| (*item, outcome)).collect();
    if outcomes.is_empty() {
        return Ok(None);
    }
    let items = outcomes.iter().filter(|(_, outcome)| outcome.outcome.is_approval());
    let items = items.filter_map(|(item, outcome)| {
        let laws = laws_of(case, application, *item);
        let quantity = quantity_of(outcome)?;
        let (outcome, issued_at, valid_until) = (outcome.outcome, outcome.issued_at, outcome.valid_until);
        Some((*item, ApprovedItem { outcome, laws, quantity, issued_at, valid_until }))
    });
    let items: BTreeMap<u16, ApprovedItem> = items.collect();
    let holder = holder(case, document);
    let Some(known) = known else {
        let key =
            ApprovalKey { realm: case.realm, agency: application.party.clone(), number: number.clone() };
        let made = Approval {
            key,
            holder,
            case: case.id.clone(),
            items,
            charges: Vec::new(),
            spent: Vec::new(),
            due: None,
        };
        return Ok((!made.items.is_empty()).then_some(made));
    };
    if known.holder.importer.is_some()
        && holder.importer.is_some()
        && known.holder.importer != holder.importer
    {
        return Err(Conflicting);
    }
    let mut after = known.clone();
    if known.case == case.id {
        for (item, outcome) in outcomes {
            restate(&mut after, item, outcome, items.get(&item));
        }
    } else if known.items.values().all(|item| item.issued_at <= document.issued_at) {
        if items.is_empty() {
            let worst = outcomes.values().map(|outcome| outcome.outcome).min();
            for item in after.items.values_mut() {
                item.outcome = worst.unwrap_or(item.outcome);
                item.issued_at = document.issued_at;
            }
        } else {
            after.items = items;
            after.case = case.id.clone();
        }
    }
    mark(&mut after);
    Ok(Some(after))
}

/// One item anew; what does not say a quantity leaves it as it was.
fn restate(approval: &mut Approval, item: u16, outcome: &ItemOutcome, stated: Option<&ApprovedItem>) {
    match (approval.items.get_mut(&item), stated) {
        (_, Some(stated)) => drop(approval.items.insert(item, stated.clone())),
        (Some(known), None) => {
            known.outcome = outcome.outcome;
            known.issued_at = outcome.issued_at;
            known.valid_until = outcome.valid_until;
        }
        (None, None) => {}
    }
}

/// Whose the approvals of a result are.
fn holder(case: &Case, document: &ResultDocument) -> Holder {
    Holder {
        importer: case.declared.as_ref().and_then(|declared| declared.importer.clone()),
        applicant: document.applicant.clone(),
        party: case.submitter.clone(),
    }
}

/// Lets items lapse whose time has come by `now`, with the slack of all that time alone brings (P9); whether any did.
pub fn lapse_approval(approval: &mut Approval, now: Timestamp) -> bool {
    let mut lapsed = false;
    for item in approval.items.values_mut().filter(|item| lapses_at(item).is_some_and(|end| end <= now)) {
        item.outcome = Outcome::Lapsed;
        lapsed = true;
    }
    mark(approval);
    lapsed
}

fn lapses_at(item: &ApprovedItem) -> Option<Timestamp> {
    item.valid_until.filter(|_| item.outcome.is_approval()).map(|end| end.plus(SLACK))
}

/// Marks the charges that are more than what is approved: the goods that it was asked for and what is spent stay, of the
/// others the oldest. Says when something is next to be done: at once, or when an item lapses that cases rest on.
fn mark(approval: &mut Approval) {
    for (law, unit) in approval.accounts() {
        let is_of = |of: &LawCode, quantity: &Quantity| *of == law && quantity.unit == unit;
        let fixed =
            approval.charges.iter().filter(|charge| charge.own && is_of(&charge.law, &charge.quantity));
        let fixed = fixed.map(|charge| &charge.quantity);
        let spent = approval.spent.iter().filter(|spent| is_of(&spent.law, &spent.quantity));
        let fixed = fixed.chain(spent.map(|spent| &spent.quantity));
        let fixed = fixed.fold(Decimal::default(), |sum, quantity| sum.saturating_add(quantity.value));
        let mut left = approval.approved(&law, &unit, |_| true).less(fixed);
        let others = approval.charges.iter_mut().filter(|charge| !charge.own);
        for charge in others.filter(|charge| charge.law == law && charge.quantity.unit == unit) {
            charge.undo = left < charge.quantity.value;
            if !charge.undo {
                left = left.less(charge.quantity.value);
            }
        }
    }
    let is_rested_on = approval.charges.iter().any(|charge| !charge.own);
    let lapse = approval.items.values().filter_map(lapses_at).min().filter(|_| is_rested_on);
    let at_once = approval.charges.iter().any(|charge| charge.undo).then(|| Timestamp::from_millis(0));
    approval.due = at_once.or(lapse);
}

/// The requirements of a case that an approval does not cover any more stand again, and their application waits for its
/// document. Returns them; none when the case rests on it no more.
pub fn undo(case: &mut Case, approval: &Approval) -> Vec<Held> {
    if case.state.is_end() {
        return Vec::new();
    }
    let marked = approval.charges.iter().filter(|charge| charge.undo && charge.case == case.id);
    let marked: BTreeSet<_> = marked.map(|charge| (charge.line, charge.law.clone())).collect();
    let is_marked =
        |held: &&Held| held.approval == approval.key && marked.contains(&(held.line, held.law.clone()));
    let lost = case.held.iter().filter(is_marked);
    let lost: BTreeSet<_> = lost.map(|held| (held.line, held.law.clone(), held.agency.clone())).collect();
    let is_lost = |held: &mut Held| lost.contains(&(held.line, held.law.clone(), held.agency.clone()));
    let undone: Vec<Held> = case.held.extract_if(.., is_lost).collect();
    let before = items_of(&case.expected);
    for row in &mut case.expected {
        if lost.contains(&(row.line, row.law.clone(), row.agency.clone())) {
            row.removed = None;
        }
    }
    let unverified = undone.iter().map(|held| Unverified {
        line: held.line,
        law: held.law.clone(),
        number: held.approval.number.clone(),
        why: why_undone(approval, held).into(),
    });
    case.unverified.extend(unverified);
    let lines = case.declared.iter().flat_map(|declared| &declared.lines);
    let there: BTreeSet<u16> = lines.map(|line| line.sequence).collect();
    reshape(case, &before, BTreeMap::new(), &templates(&undone), (&there, &BTreeSet::new()));
    undone
}

fn why_undone(approval: &Approval, held: &Held) -> String {
    if held.approval != approval.key {
        return ClaimFault::WithAnother.to_string();
    }
    let of = approval.items.values();
    let of = of.filter(|item| item.laws.contains(&held.law) && item.quantity.unit == held.quantity.unit);
    match of.map(|item| item.outcome).min() {
        Some(outcome) if !outcome.is_approval() => ClaimFault::Ended(outcome).to_string(),
        _ => "less is approved by it than is used".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T: std::str::FromStr>(text: &str) -> T {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    fn now() -> Timestamp {
        text("2009-12-01T01:00:00Z")
    }

    fn item(outcome: Outcome, law: &str, value: &str, unit: &str, until: Option<&str>) -> ApprovedItem {
        ApprovedItem {
            outcome,
            laws: vec![text(law)],
            quantity: Quantity { value: text(value), unit: unit.into() },
            issued_at: now(),
            valid_until: until.map(text),
        }
    }

    fn approval(items: Vec<ApprovedItem>) -> Approval {
        Approval {
            key: ApprovalKey { realm: Realm::Production, agency: text("AG1"), number: "A-1".into() },
            holder: Holder { importer: Some("IMP".into()), applicant: None, party: None },
            case: text("case-0"),
            items: (1..).zip(items).collect(),
            charges: Vec::new(),
            spent: Vec::new(),
            due: None,
        }
    }

    fn declared(importer: &str) -> Declaration {
        Declaration {
            number: "D".into(),
            function: "9".into(),
            importer: Some(importer.into()),
            export_from: None,
            cargo: None,
            bills: Vec::new(),
            lines: Vec::new(),
            attachments: Vec::new(),
        }
    }

    fn charge(value: &str, own: bool) -> Drawn {
        let quantity = Quantity { value: text(value), unit: "KGM".into() };
        Drawn { case: text("case-1"), line: 1, law: text("05"), quantity, own, undo: false }
    }

    #[test]
    fn every_reason_is_told_in_words() {
        let check =
            |items: Vec<ApprovedItem>, claim: (&str, Option<&str>, &str), expected: Result<&str, &str>| {
                let (law, quantity, importer) = claim;
                let row = RequirementRow {
                    law: text(law),
                    number: "A-1".into(),
                    quantity: quantity.map(text),
                    unit: quantity.map(|_| "KGM".into()),
                };
                let declared = declared(importer);
                let (case, submitter) = (text("case-1"), text("BR1"));
                let claims = Claims {
                    case: &case,
                    realm: Realm::Production,
                    submitter: &submitter,
                    declared: &declared,
                    now: now(),
                };
                let mut approval = approval(items);
                approval.charges.push(charge("100", false));
                let found = verify(&approval, &row, claims).map(|(_, of)| of.to_string());
                let expected = expected.map(str::to_owned).map_err(str::to_owned);
                assert_eq!(found.map_err(|fault| fault.to_string()), expected, "{claim:?}");
            };
        let good = |value: &str| item(Outcome::Approved, "05", value, "KGM", None);
        let all = ("05", Some("900"), "IMP");
        check(vec![good("1000")], all, Ok("1000"));
        check(vec![good("600"), good("400")], all, Ok("1000"));
        check(vec![item(Outcome::ApprovedConditional, "05", "1000", "KGM", None)], all, Ok("1000"));
        check(
            vec![item(Outcome::Approved, "05", "1000", "KGM", Some("2009-12-01T01:00:01Z"))],
            all,
            Ok("1000"),
        );
        check(vec![good("1000")], ("05", Some("900"), "OTHER"), Err("it was given to another importer"));
        check(vec![good("1000")], ("12", Some("900"), "IMP"), Err("it is for law 05"));
        let no_law = ApprovedItem { laws: Vec::new(), ..good("1000") };
        check(vec![no_law], all, Err("its result does not say under which law"));
        let untold = "the line does not say how much of it is used";
        check(vec![good("1000")], ("05", None, "IMP"), Err(untold));
        check(vec![good("1000")], ("05", Some("0"), "IMP"), Err(untold));
        check(
            vec![item(Outcome::Approved, "05", "1000", "C62", None)],
            all,
            Err("it is in C62, the line uses KGM"),
        );
        check(vec![item(Outcome::Revoked, "05", "1000", "KGM", None)], all, Err("it is revoked"));
        check(vec![item(Outcome::Rejected, "05", "1000", "KGM", None)], all, Err("it is rejected"));
        let expired = item(Outcome::Approved, "05", "1000", "KGM", Some("2009-12-01T01:00:00Z"));
        check(vec![expired], all, Err("it was valid until 2009-12-01T01:00:00Z"));
        let short = "not enough is left of it: 899.999 KGM, and the line uses 900 KGM";
        check(vec![good("999.999")], all, Err(short));
        let half = item(Outcome::Revoked, "05", "1000", "KGM", None);
        let none = "not enough is left of it: 800 KGM, and the line uses 900 KGM";
        check(vec![half, good("900")], all, Err(none));
    }

    #[test]
    fn an_approval_takes_a_bounded_number_of_charges() {
        let declared = declared("IMP");
        let (case, submitter) = (text("case-1"), text("BR1"));
        let claims = Claims {
            case: &case,
            realm: Realm::Production,
            submitter: &submitter,
            declared: &declared,
            now: now(),
        };
        let row = RequirementRow {
            law: text("05"),
            number: "A-1".into(),
            quantity: Some(text("1")),
            unit: Some("KGM".into()),
        };
        let mut approval = approval(vec![item(Outcome::Approved, "05", "9000", "KGM", None)]);
        approval.charges = vec![charge("1", false); CHARGES_MAX - 1];
        assert!(verify(&approval, &row, claims).is_ok());
        approval.charges.push(charge("1", false));
        assert_eq!(verify(&approval, &row, claims), Err(ClaimFault::Crowded));
    }

    #[test]
    fn the_goods_it_was_asked_for_and_the_oldest_charges_stay() {
        let check = |approved: &str, expected: [bool; 4], at_once: bool| {
            let mut approval = approval(vec![item(Outcome::Approved, "05", approved, "KGM", None)]);
            approval.charges =
                vec![charge("300", false), charge("400", true), charge("200", false), charge("50", false)];
            mark(&mut approval);
            assert_eq!(approval.charges.iter().map(|c| c.undo).collect::<Vec<_>>(), expected, "{approved}");
            assert_eq!(approval.due.is_some(), at_once, "{approved}");
        };
        check("950", [false; 4], false);
        check("949", [false, false, false, true], true);
        check("760", [false, false, true, false], true);
        check("699", [true, false, false, false], true);
        check("300", [true, false, true, true], true);
    }

    #[test]
    fn goods_use_what_was_approved_for_them_by_weight_or_count_or_all_of_it() {
        let check =
            |weight: Option<&str>, count: Option<(&str, &str)>, approved: (&str, &str), expected: &str| {
                let line = DeclarationLine {
                    sequence: 1,
                    hs: text("0701100000"),
                    origin: None,
                    usage: None,
                    value: None,
                    weight: weight.map(text),
                    count: count.map(|(value, unit)| Quantity { value: text(value), unit: unit.into() }),
                    requirements: Vec::new(),
                    not_applicable: Vec::new(),
                };
                let approved = Quantity { value: text(approved.0), unit: approved.1.into() };
                assert_eq!(goods_of(&line, &approved).value.to_string(), expected, "{approved}");
            };
        check(Some("600"), None, ("1000", "KGM"), "600");
        check(Some("1600"), None, ("1000", "KGM"), "1000");
        check(Some("600"), Some(("40", "C62")), ("100", "C62"), "40");
        check(Some("600"), Some(("40", "C62")), ("100", "LTR"), "100");
        check(None, None, ("1000", "KGM"), "1000");
    }
}
