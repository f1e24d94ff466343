//! Approvals in the steps of the engine: stated by results, charged and given back with the case that uses them, and
//! undone in the cases that rest on them, one case a commit (domain brief, 5.3; rulings 13, 19, 20; P3, P9).

use std::collections::BTreeSet;

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::join::Cause;
use super::step::Step;
use crate::case::{self, Approvals, Moved, ReportEvent};
use crate::model::{Application, ApprovalKey, Case, ResultDocument};
use crate::routing::Addressee;
use crate::store::{ApprovalWrite, CaseWrite, Versioned};
use crate::telemetry::EventCode;

impl Desk<'_> {
    /// The approvals that were loaded, to try charges on.
    pub(super) fn approvals(&self) -> Approvals {
        self.view.approvals.iter().map(|(key, stored)| (key.clone(), stored.value.clone())).collect()
    }
}

/// The time of an approval has come: items lapse, or the next case that rests on what is over hears of it. A crash
/// before the commit leaves all of that to be done, one after it nothing (docs/states.md).
pub(super) fn approval_due(desk: Desk<'_>, key: &ApprovalKey) -> Step {
    let mut step = Step::default();
    let Some(stored) = desk.view.approvals.get(key) else { return step };
    let mut approval = stored.value.clone();
    if case::lapse_approval(&mut approval, desk.now) {
        let text = format!("approval {} is over", key.number);
        step.audit.push(entry(desk.now, EventCode::ApprovalLapsed, text).of_party(Some(&key.agency)));
    }
    if let Some(found) = &desk.view.case {
        let mut changed = found.value.clone();
        let undone = case::undo(&mut changed, &approval);
        if undone.is_empty() {
            // It has ended, or does not rest on it any more: the charge is all that is left of it.
            approval.charges.retain(|charge| !(charge.undo && charge.case == changed.id));
            case::lapse_approval(&mut approval, desk.now);
        } else {
            let events = case::settle(&mut changed, desk.now);
            for held in &undone {
                let (line, law, number) = (held.line, &held.law, &held.approval.number);
                let text = format!("line {line} does not rest on {number} any more: law {law} stands again");
                let told = entry(desk.now, EventCode::ApprovalUndone, text).of_case(&changed.id);
                step.audit.push(told.of_party(Some(&held.approval.agency)));
            }
            step.tell_join(desk, &changed, &events, Cause::Time);
            if events.is_empty() {
                step.report(desk, &changed, ReportEvent::ApprovalUndone, Addressee::Applicant);
            }
            step.case =
                Some(CaseWrite { case: changed, based_on: Some(found.version), correlations: Vec::new() });
        }
    }
    if approval != stored.value {
        step.approvals.insert(key.clone(), ApprovalWrite { approval, based_on: Some(stored.version) });
    }
    step
}

impl Step {
    /// Keeps what a result that took force says of approvals under the numbers that it names or has named.
    pub(super) fn state_approvals(
        &mut self,
        desk: Desk<'_>,
        before: Option<&Case>,
        (case, index): (&Case, usize),
        document: &ResultDocument,
    ) {
        let application = &case.applications[index];
        self.supersede(desk, before.and_then(|before| before.applications.get(index)), (case, application));
        let numbers = application.outcomes.values().filter_map(|outcome| outcome.approval.clone());
        for number in numbers.collect::<BTreeSet<_>>() {
            let key = ApprovalKey { realm: case.realm, agency: application.party.clone(), number };
            let known = desk.view.approvals.get(&key);
            let as_it_is = self.approvals.get(&key).map(|draft| &draft.approval);
            let as_it_is = as_it_is.or(known.map(|known| &known.value));
            let stated = case::stated(as_it_is, case, index, &key.number, document);
            let told = |text: String| {
                let told = entry(desk.now, EventCode::ApprovalStated, text).of_case(&case.id);
                told.of_party(Some(&key.agency))
            };
            match stated {
                Err(case::Conflicting) => {
                    let text =
                        format!("approval {} is another importer's; nothing of it changes", key.number);
                    self.audit.push(told(text).alarm_if(true));
                }
                Ok(Some(approval)) if known.map(|known| &known.value) != Some(&approval) => {
                    self.audit.push(told(format!("approval {}: {}", key.number, approval)));
                    let based_on = known.map(|known| known.version);
                    self.approvals.insert(key, ApprovalWrite { approval, based_on });
                }
                Ok(_) => {}
            }
        }
    }

    /// Takes items back from the approvals under whose numbers they were decided before.
    fn supersede(
        &mut self,
        desk: Desk<'_>,
        before: Option<&Application>,
        (case, application): (&Case, &Application),
    ) {
        let Some(before) = before else { return };
        let numbers: BTreeSet<_> =
            before.outcomes.values().filter_map(|outcome| outcome.approval.clone()).collect();
        for number in numbers {
            let key = ApprovalKey { realm: case.realm, agency: application.party.clone(), number };
            let Some(known) = desk.view.approvals.get(&key) else { continue };
            let rest = case::superseded(&known.value, before, application);
            if known.value.case == case.id && rest != known.value {
                let text = format!("approval {}: {rest}; items of it have another number now", key.number);
                let told = entry(desk.now, EventCode::ApprovalStated, text).of_case(&case.id);
                self.audit.push(told.of_party(Some(&key.agency)));
                self.approvals.insert(key, ApprovalWrite { approval: rest, based_on: Some(known.version) });
            }
        }
    }

    /// Records what lines cite in vain.
    pub(super) fn tell_unverified(&mut self, desk: Desk<'_>, case: &Case) {
        for claim in &case.unverified {
            let text = format!("line {}, law {}: {}: {}", claim.line, claim.law, claim.number, claim.why);
            self.audit.push(entry(desk.now, EventCode::ApprovalUnverified, text).of_case(&case.id));
        }
    }

    /// Brings the approvals that were loaded in line with the case that the step writes, in the same commit.
    pub(super) fn keep_approvals(&mut self, desk: Desk<'_>) {
        let Some(write) = &self.case else { return };
        let mut drafts = std::mem::take(&mut self.approvals);
        for (key, Versioned { value, version }) in &desk.view.approvals {
            let loaded = || ApprovalWrite { approval: value.clone(), based_on: Some(*version) };
            drafts.entry(key.clone()).or_insert_with(loaded);
        }
        for (key, mut draft) in drafts {
            for movement in case::account(&mut draft.approval, &write.case) {
                let (code, how) = match movement.how {
                    Moved::Charged => (EventCode::ApprovalCharged, "uses"),
                    Moved::Returned => (EventCode::ApprovalReturned, "gives back"),
                    Moved::Spent => (EventCode::ApprovalSpent, "has used up"),
                };
                let (line, law, quantity) = (movement.line, movement.law, movement.quantity);
                let text = format!("line {line} {how} {quantity} of approval {}, law {law}", key.number);
                let told = entry(desk.now, code, text).of_case(&write.case.id);
                self.audit.push(told.of_party(Some(&key.agency)));
            }
            if desk.view.approvals.get(&key).map(|stored| &stored.value) != Some(&draft.approval) {
                self.approvals.insert(key, draft);
            }
        }
    }
}
