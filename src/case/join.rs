//! The join (domain brief, 5.3, rulings 18 to 20): stored rows are counted, and what they come to is said once.

use crate::model::{Application, ApplicationState, Case, CaseState, EventKind, JoinEvent, Timestamp};

/// Counts the required applications, moves the case where they say it stands, and returns the events that this
/// is the first time for: `first_result` once per revision, `all_collected` and `reopened` once per revision and
/// round. A reopening starts a new round. An ended case stays ended.
pub fn settle(case: &mut Case, at: Timestamp) -> Vec<JoinEvent> {
    if case.state.is_end() {
        return Vec::new();
    }
    let before = case.events.len();
    let state = stand(case);
    let rests_on_approvals = case.held.iter().any(|held| held.counts);
    if required(case).next().is_none() && !rests_on_approvals {
        case.state = state;
        return Vec::new();
    }
    if required(case).any(|application| !application.outcomes.is_empty())
        && !case.events.iter().any(|e| e.revision == case.revision && e.kind == EventKind::FirstResult)
    {
        emit(case, EventKind::FirstResult, at);
    }
    if matches!(case.state, CaseState::Ready | CaseState::Blocked) && state != case.state {
        case.round += 1;
        emit(case, EventKind::Reopened, at);
    }
    if state != CaseState::Collecting && !is_reported(case) {
        emit(case, EventKind::AllCollected { favourable: state == CaseState::Ready }, at);
    }
    case.state = state;
    case.events.split_at(before).1.to_vec()
}

/// Counts the rows of a new revision: what was collected before it and is not any more is reopened in its first
/// round, and its events are all told anew (ruling 18).
pub fn settle_amended(case: &mut Case, at: Timestamp) -> Vec<JoinEvent> {
    let before = case.events.len();
    let was = std::mem::replace(&mut case.state, CaseState::Collecting);
    if matches!(was, CaseState::Ready | CaseState::Blocked) && stand(case) == CaseState::Collecting {
        emit(case, EventKind::Reopened, at);
    }
    settle(case, at);
    case.events.split_at(before).1.to_vec()
}

/// Where the required applications say that the case stands.
fn stand(case: &Case) -> CaseState {
    match (required(case).all(is_collected), required(case).all(is_favourable)) {
        (false, _) => CaseState::Collecting,
        (true, true) => CaseState::Ready,
        (true, false) => CaseState::Blocked,
    }
}

fn required(case: &Case) -> impl Iterator<Item = &Application> {
    case.applications.iter().filter(|application| application.required)
}

fn emit(case: &mut Case, kind: EventKind, at: Timestamp) {
    case.events.push(JoinEvent { revision: case.revision, round: case.round, kind, at });
}

/// Whether this round of this revision has had its `all_collected`.
fn is_reported(case: &Case) -> bool {
    let this_round = |e: &&JoinEvent| e.revision == case.revision && e.round == case.round;
    case.events.iter().filter(this_round).any(|e| matches!(e.kind, EventKind::AllCollected { .. }))
}

fn is_collected(application: &Application) -> bool {
    matches!(application.state, ApplicationState::Decided(outcome) if outcome.is_collected())
}

fn is_favourable(application: &Application) -> bool {
    matches!(application.state, ApplicationState::Decided(outcome) if outcome.is_favourable())
}
