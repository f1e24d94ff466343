//! What results say of approvals.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{KILOGRAM, laws_of, mark, quantity_of};
use crate::model::{
    Application, Approval, ApprovalKey, ApprovedItem, Case, Decimal, Holder, ItemOutcome, Outcome, Quantity,
    ResultDocument,
};

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
    let items = outcomes.iter().filter_map(|(item, outcome)| {
        let laws = laws_of(case, application, *item);
        // What takes an approval back may overtake it, and approves nothing.
        let nothing = || Quantity { value: Decimal::default(), unit: KILOGRAM.into() };
        let quantity = if outcome.outcome.is_approval() { quantity_of(outcome)? } else { nothing() };
        let (outcome, issued_at, valid_until) = (outcome.outcome, outcome.issued_at, outcome.valid_until);
        Some((*item, ApprovedItem { outcome, laws, quantity, issued_at, valid_until, cleared: false }))
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
    if known.holder.contradicts(&holder) {
        return Err(Conflicting);
    }
    let mut after = known.clone();
    if known.case == case.id {
        for (item, outcome) in outcomes {
            let stated = items.get(&item).filter(|stated| stated.outcome.is_approval());
            restate(&mut after, item, outcome, stated);
        }
    } else if known.items.values().all(|item| item.issued_at <= document.issued_at) {
        if !items.values().any(|item| item.outcome.is_approval()) {
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

/// An approval without the items that a newer result of their case decides under another number: they are not approved
/// under both.
#[must_use]
pub fn superseded(known: &Approval, before: &Application, after: &Application) -> Approval {
    let names = |outcome: &ItemOutcome| outcome.approval.as_ref() == Some(&known.key.number);
    let mut rest = known.clone();
    for (item, outcome) in &after.outcomes {
        let is_gone = before.outcomes.get(item).is_some_and(names) && !names(outcome);
        if let Some(item) = rest.items.get_mut(item).filter(|_| is_gone) {
            item.outcome = Outcome::Revoked;
            item.issued_at = outcome.issued_at;
        }
    }
    mark(&mut rest);
    rest
}

/// One item anew; what does not say a quantity leaves it as it was.
fn restate(approval: &mut Approval, item: u16, outcome: &ItemOutcome, stated: Option<&ApprovedItem>) {
    match (approval.items.get_mut(&item), stated) {
        (known, Some(stated)) => {
            let cleared = known.is_some_and(|known| known.cleared);
            approval.items.insert(item, ApprovedItem { cleared, ..stated.clone() });
        }
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
