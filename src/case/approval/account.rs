//! The account of an approval: what open cases use of it, what cleared ones have spent, and what is more than is approved.

use std::collections::{BTreeMap, BTreeSet};

use super::super::amendment::{items_of, reshape};
use super::super::deadline::SLACK;
use super::{ClaimFault, templates};
use crate::model::{
    Application, Approval, ApprovedItem, Case, CaseState, Decimal, DeclarationLine, Drawn, Held, ItemOutcome,
    LawCode, Outcome, Quantity, Spent, Timestamp, Unverified,
};

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
    let mut wanted = if case.state.is_end() { Vec::new() } else { used_by(approval, case) };
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
            spent.push(charge.clone());
        }
        movements.push(moved(gone, charge));
        false
    });
    spend(approval, case, spent);
    if gone == Moved::Spent {
        let late = cleared_before(approval, case);
        movements.extend(late.iter().map(|charge| moved(gone, charge)));
        spend(approval, case, late);
    }
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

/// Keeps what a cleared case has used, and which of the items it was asked for.
fn spend(approval: &mut Approval, case: &Case, charges: Vec<Drawn>) {
    for Drawn { line, law, quantity, own, .. } in charges {
        if let Some(item) = approval.items.get_mut(&line).filter(|_| own && approval.case == case.id) {
            item.cleared = true;
        }
        let same = |spent: &&mut Spent| spent.law == law && spent.quantity.unit == quantity.unit;
        match approval.spent.iter_mut().find(same) {
            Some(spent) => spent.quantity.value = spent.quantity.value.saturating_add(quantity.value),
            None => approval.spent.push(Spent { law, quantity }),
        }
    }
}

/// What goods use whose result came after their clearance.
fn cleared_before(approval: &Approval, case: &Case) -> Vec<Drawn> {
    let mut used = used_by(approval, case);
    used.retain(|charge| {
        let item = approval.items.get(&charge.line).filter(|_| charge.own && approval.case == case.id);
        item.is_some_and(|item| !item.cleared)
    });
    used
}

/// What a case uses of an approval, as long as it is open.
fn used_by(approval: &Approval, case: &Case) -> Vec<Drawn> {
    let charge = |line, law: &LawCode, quantity: &Quantity, own| Drawn {
        case: case.id.clone(),
        line,
        law: law.clone(),
        quantity: quantity.clone(),
        own,
        undo: false,
    };
    let held: Vec<&Held> = case.held.iter().filter(|held| held.approval == approval.key).collect();
    let mut used: Vec<_> =
        held.iter().map(|held| charge(held.line, &held.law, &held.quantity, false)).collect();
    let importer = case.declared.as_ref().and_then(|declared| declared.importer.as_ref());
    let is_another = approval.holder.is_another(importer);
    let own = case.applications.iter().filter(|a| a.party == approval.key.agency && !is_another);
    for application in own {
        for (item, outcome) in &application.outcomes {
            let is_its =
                outcome.outcome.is_approval() && outcome.approval.as_ref() == Some(&approval.key.number);
            let line =
                case.declared.as_ref().and_then(|d| d.lines.iter().find(|line| line.sequence == *item));
            let known = approval.items.get(item).filter(|_| approval.case == case.id);
            let approved = known.map(|known| known.quantity.clone()).or_else(|| quantity_of(outcome));
            if let (true, Some(line), Some(approved)) = (is_its, line, approved) {
                let quantity = goods_of(line, &approved);
                // Goods that rest on the approval that they were approved by use it once.
                let mut laws = laws_of(case, application, *item);
                laws.retain(|law| !held.iter().any(|held| (&held.line, &held.law) == (item, law)));
                used.extend(laws.iter().map(|law| charge(*item, law, &quantity, true)));
            }
        }
    }
    used
}

/// How much of an approval the goods use that it was asked for.
pub(super) fn goods_of(line: &DeclarationLine, approved: &Quantity) -> Quantity {
    let counted = line.count.as_ref().filter(|count| count.unit == approved.unit).map(|count| count.value);
    let weighed = line.weight.filter(|_| &*approved.unit == KILOGRAM);
    let value = counted.or(weighed).unwrap_or(approved.value).min(approved.value);
    Quantity { value, unit: approved.unit.clone() }
}

pub(super) const KILOGRAM: &str = "KGM";

pub(super) fn quantity_of(outcome: &ItemOutcome) -> Option<Quantity> {
    let unit = outcome.unit.clone().unwrap_or_else(|| KILOGRAM.into());
    outcome.quantity.map(|value| Quantity { value, unit })
}

/// The laws that an item was decided under: those of the result, else those that asked for it.
pub(super) fn laws_of(case: &Case, application: &Application, item: u16) -> Vec<LawCode> {
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
pub(super) fn mark(approval: &mut Approval) {
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
