//! Deadlines and what follows from time passing alone: reminders, flags, escalation; never an outcome (domain brief,
//! 7.2; P9).
//!
//! What is watched stands with the application ([`Watch`]), so that neither an activation of rules nor a restart
//! changes it. Its duties are instants, planned when the agency gets the application, asks for something, or has got
//! its answer. Each is done at most once, and that is recorded in the same commit. A duty is acted on [`SLACK`] after
//! its instant: our clock may have stepped, and nobody is reminded or called late before it is so.

use std::time::Duration;

use crate::model::{
    Application, ApplicationState, Case, Duty, EventKind, JoinEvent, LateAction, Term, Timestamp, Watch,
};
use crate::routing::RuleSet;

/// How long after its instant a duty is acted on: the step of our clock that brings nothing forward (P9).
pub const SLACK: Duration = Duration::from_secs(3600);

/// A duty whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Place of the application in the case.
    pub application: usize,
    /// Which deadline, which share of it, and when that was.
    pub duty: Duty,
    /// What is to be done about it now; nothing that was done before.
    pub actions: Vec<LateAction>,
}

/// Notes when the stages of a case were reached that nothing else in it tells (statistics).
pub fn note_stages(case: &mut Case, now: Timestamp) {
    for application in &mut case.applications {
        let owed = application.state == ApplicationState::Created;
        application.owed_at = application.owed_at.or(owed.then_some(now));
    }
    let ended = case.state.is_end();
    case.ended_at = case.ended_at.or(ended.then_some(now));
}

/// Plans the duties that begin with a change of a case: `accept` and `decide` when the agency gets the application, or
/// another version of it; `answer` when the agency asks for something; `decide` anew when it has got that.
pub fn watch_change(before: Option<&Case>, after: &mut Case, rules: &RuleSet, now: Timestamp) {
    for (index, application) in after.applications.iter_mut().enumerate() {
        let before = before.and_then(|case| case.applications.get(index));
        let Some(mut watch) = application.watch.take() else { continue };
        let was = before.map(|before| before.state);
        let sent_anew = before.is_none_or(|before| before.sent_as != application.sent_as);
        if application.state == ApplicationState::Created
            && (was != Some(ApplicationState::Created) || sent_anew)
        {
            application.accept_by = plan(&mut watch, Term::Accept, rules, now);
            application.decide_by = plan(&mut watch, Term::Decide, rules, now);
        } else if application.state.awaits_answer() {
            let notices = before.map_or(0, |before| before.notices.len());
            let asked = application.notices.iter().skip(notices).rfind(|notice| !notice.superseded);
            if let Some(asked) = asked {
                match asked.deadline {
                    Some(deadline) => plan_until(&mut watch, now, deadline),
                    None => drop(plan(&mut watch, Term::Answer, rules, now)),
                }
            }
        } else if was.is_some_and(ApplicationState::awaits_answer) && waits_for_decision(application.state) {
            application.decide_by = plan(&mut watch, Term::Decide, rules, now);
        }
        application.watch = Some(watch);
    }
}

/// The instant at which something is next to be done about a case by itself.
#[must_use]
pub fn next_duty(case: &Case) -> Option<Timestamp> {
    let open = case.applications.iter().filter(|_| is_open(case)).filter_map(|application| {
        let watch = application.watch.as_ref()?;
        open_duties(application, watch).map(|duty| duty.at).min()
    });
    open.min().map(|at| at.plus(SLACK))
}

/// Does what is due: notes it in the case, flags, and says what is to be told to whom. Of several duties of one
/// deadline the last one speaks for the others, so that a long stop ends in no storm.
pub fn act(case: &mut Case, now: Timestamp) -> Vec<Late> {
    if !is_open(case) {
        return Vec::new();
    }
    let mut acted = Vec::new();
    for (index, application) in case.applications.iter_mut().enumerate() {
        let Some(mut watch) = application.watch.take() else { continue };
        for term in [Term::Accept, Term::Decide, Term::Answer] {
            let is_due = |duty: &&Duty| duty.term == term && duty.at.plus(SLACK) <= now;
            let due: Vec<Duty> = open_duties(application, &watch).filter(is_due).cloned().collect();
            let Some(last) = due.iter().max_by_key(|duty| duty.share).cloned() else { continue };
            for duty in watch.duties.iter_mut().filter(|duty| due.contains(duty)) {
                duty.done = Some(now);
            }
            let mut actions = watch.on_late.clone();
            actions.retain(|action| match action {
                LateAction::NotifyApplicant | LateAction::NotifyAgency => true,
                LateAction::Escalate(_) => last.share == Duty::WHOLE,
                LateAction::FlagOverdue => {
                    last.share == Duty::WHOLE
                        && flag(&mut watch, &mut case.events, (case.revision, case.round), index, now)
                }
            });
            acted.push(Late { application: index, duty: last, actions });
        }
        application.watch = Some(watch);
    }
    acted
}

/// Flags an application as overdue; the event is told once for each revision.
fn flag(
    watch: &mut Watch,
    events: &mut Vec<JoinEvent>,
    (revision, round): (u32, u32),
    application: usize,
    at: Timestamp,
) -> bool {
    watch.overdue.get_or_insert(at);
    let kind = EventKind::Overdue { application };
    let is_new = !events.iter().any(|event| event.revision == revision && event.kind == kind);
    if is_new {
        events.push(JoinEvent { revision, round, kind, at });
    }
    is_new
}

/// Begins a deadline, in place of what was planned for it before; gives when it ends.
fn plan(watch: &mut Watch, term: Term, rules: &RuleSet, now: Timestamp) -> Option<Timestamp> {
    let allowance = match term {
        Term::Accept => watch.accept,
        Term::Decide => watch.decide,
        Term::Answer => watch.answer?,
    };
    let at = |share| rules.working_time(now, allowance, share);
    begin(watch, term, at);
    at(Duty::WHOLE)
}

/// Begins the deadline that an agency has set for an answer.
fn plan_until(watch: &mut Watch, now: Timestamp, deadline: Timestamp) {
    let whole = deadline.since(now);
    begin(watch, Term::Answer, |share| match share {
        Duty::WHOLE => Some(deadline),
        share => Some(now.plus(whole * u32::from(share) / u32::from(Duty::WHOLE))),
    });
}

fn begin(watch: &mut Watch, term: Term, at: impl Fn(u16) -> Option<Timestamp>) {
    watch.duties.retain(|duty| duty.term != term);
    if watch.on_late.is_empty() {
        return;
    }
    let reminders = watch.remind_at.iter().copied().filter(|share| *share < Duty::WHOLE);
    let reminders = reminders.filter(|_| term != Term::Accept).chain([Duty::WHOLE]);
    let duties = reminders.filter_map(|share| Some(Duty { term, share, at: at(share)?, done: None }));
    watch.duties.extend(duties.collect::<Vec<_>>());
}

/// The duties of an application that time can still bring due, as it stands.
fn open_duties<'a>(application: &Application, watch: &'a Watch) -> impl Iterator<Item = &'a Duty> {
    let state = application.state;
    watch.duties.iter().filter(move |duty| {
        duty.done.is_none()
            && match duty.term {
                Term::Accept => state == ApplicationState::Created,
                Term::Decide => waits_for_decision(state),
                Term::Answer => state.awaits_answer(),
            }
    })
}

const fn waits_for_decision(state: ApplicationState) -> bool {
    matches!(
        state,
        ApplicationState::Created
            | ApplicationState::Accepted
            | ApplicationState::UnderReview
            | ApplicationState::InspectionOrdered
    )
}

const fn is_open(case: &Case) -> bool {
    !case.state.is_end()
}
