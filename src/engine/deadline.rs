//! Time alone brings a case on: reminders, flags and escalation of deadlines, in one commit with what they tell (P9;
//! domain brief, 7.2), and the end of approvals (5.2). Nothing else is decided by it.

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::join::Cause;
use super::owe::{STATUS, STATUS_REPORT};
use super::step::Step;
use crate::case::{self, Late, ReportEvent};
use crate::model::{Case, CaseId, Duty, LateAction, PartyKey, Timestamp};
use crate::routing::Addressee;
use crate::store::CaseWrite;
use crate::telemetry::EventCode;

/// What is due about a case. Before its time nothing is, whoever calls.
pub(super) fn case_due(desk: Desk<'_>) -> Step {
    let Some(stored) = &desk.view.case else { return Step::default() };
    let mut changed = stored.value.clone();
    let late = case::act(&mut changed, desk.now);
    let lapsed = case::lapse(&mut changed, desk.now);
    let events = case::settle(&mut changed, desk.now);
    let mut step = Step::default();
    for late in &late {
        step.tell_late(desk, &changed, late);
    }
    step.tell_lapsed(desk, &changed, &lapsed);
    step.tell_join(desk, &changed, &events, Cause::Time);
    if !lapsed.is_empty() && events.is_empty() {
        step.report(desk, &changed, ReportEvent::Lapsed, Addressee::Applicant);
    }
    // Also when nothing was due after all: what the case is indexed under is then mended.
    if changed.due != next_due(&changed) || !late.is_empty() || !lapsed.is_empty() {
        step.case =
            Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations: Vec::new() });
    }
    step
}

/// When the case is next to be looked at: a deadline, or the end of an approval.
fn next_due(case: &Case) -> Option<Timestamp> {
    case::next_duty(case).into_iter().chain(case::next_lapse(case)).min()
}

impl Step {
    /// Plans what time will bring to a changed case, and when it is next to be looked at.
    pub(super) fn keep_time(&mut self, desk: Desk<'_>) {
        let Some(write) = &mut self.case else { return };
        let before = desk.view.case.as_ref().map(|stored| &stored.value);
        let before = before.filter(|before| before.id == write.case.id);
        case::watch_change(before, &mut write.case, desk.context.rules, desk.now);
        case::note_stages(&mut write.case, desk.now);
        write.case.due = next_due(&write.case);
        write.case.payment_due = case::next_payment(&write.case);
    }

    /// Records which approvals are over.
    fn tell_lapsed(&mut self, desk: Desk<'_>, case: &Case, lapsed: &[usize]) {
        for application in lapsed.iter().map(|index| &case.applications[*index]) {
            let number = application.number.as_deref().unwrap_or_default();
            let (agency, document) = (&application.agency, &application.document);
            let text = format!("the approval of {agency} for {document} {number} is over");
            let told = entry(desk.now, EventCode::ApplicationLapsed, text);
            self.audit.push(told.of_case(&case.id).of_party(Some(&application.party)));
        }
    }

    /// Tells those whom the profile names of a deadline, and records it.
    fn tell_late(&mut self, desk: Desk<'_>, case: &Case, late: &Late) {
        let application = &case.applications[late.application];
        let event = ReportEvent::from(late);
        let is_over = late.duty.share == Duty::WHOLE;
        let code = if is_over { EventCode::DeadlinePassed } else { EventCode::DeadlineReminded };
        let number = application.number.as_deref().unwrap_or_default();
        let what = format!("{} {} {number}", application.agency, application.document);
        let term = late.duty.term.as_str();
        let text = if is_over {
            format!("{what}: the time to {term} ended {}", late.duty.at)
        } else {
            format!("{what}: {} % of the time to {term} passed {}", late.duty.share / 10, late.duty.at)
        };
        self.audit.push(entry(desk.now, code, &text).of_case(&case.id).of_party(Some(&application.party)));
        for action in &late.actions {
            match action {
                LateAction::NotifyApplicant => match &case.submitter {
                    Some(submitter) if self.may_tell(desk, &case.id, submitter) => {
                        self.report(desk, case, event, Addressee::Applicant);
                    }
                    _ => {}
                },
                LateAction::NotifyAgency if self.may_tell(desk, &case.id, &application.party) => {
                    self.report_to_agency(desk, case, event, late.application);
                }
                LateAction::NotifyAgency | LateAction::FlagOverdue => {}
                LateAction::Escalate(name) => {
                    let text = format!("for {name}: {text}");
                    let entry = entry(desk.now, EventCode::DeadlineEscalated, text).of_case(&case.id);
                    self.audit.push(entry.of_party(Some(&application.party)).alarm_if(true));
                }
            }
        }
    }

    /// Whether an agreement lets a party hear of it; a party that none does is named to the operator instead.
    fn may_tell(&mut self, desk: Desk<'_>, case: &CaseId, party: &PartyKey) -> bool {
        let registry = desk.context.registry;
        let may = registry.agreement_to_send(desk.realm(), party, STATUS, STATUS_REPORT, desk.now).is_some();
        if !may {
            let text = format!("{party} cannot be told: no agreement lets {STATUS} {STATUS_REPORT} go to it");
            let entry = entry(desk.now, EventCode::DeadlineEscalated, text).of_case(case);
            self.audit.push(entry.of_party(Some(party)).alarm_if(true));
        }
        may
    }
}
