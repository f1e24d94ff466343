//! Lapse: the validity of an approval passes before clearance (domain brief, 5.2; ruling 20).
//!
//! It is an event of its own, which time brings; nothing lapses by being looked at. An item that has lapsed keeps the
//! issue time of its approval, so that the agency's extension, a newer result, approves it again. As all that time
//! alone does it waits for [`SLACK`](super::deadline::SLACK): a clock that was set forward takes no approval away (P9).

use super::deadline::SLACK;
use crate::model::{Application, ApplicationState, Case, ItemOutcome, Outcome, Timestamp};

/// When the next item of the case lapses, if nothing else happens before. `None` when nothing can: the case has
/// ended, or no approval in it has an end.
#[must_use]
pub fn next_lapse(case: &Case) -> Option<Timestamp> {
    if case.state.is_end() {
        return None;
    }
    let items = case.applications.iter().flat_map(|application| application.outcomes.values());
    items.filter_map(lapses_at).min()
}

/// Lets every item lapse whose time has come by `now`, and returns the places of the applications that this moved.
pub fn lapse(case: &mut Case, now: Timestamp) -> Vec<usize> {
    if case.state.is_end() {
        return Vec::new();
    }
    let applications = case.applications.iter_mut().enumerate();
    applications.filter_map(|(index, application)| lapse_items(application, now).then_some(index)).collect()
}

fn lapse_items(application: &mut Application, now: Timestamp) -> bool {
    let mut moved = false;
    for item in application.outcomes.values_mut() {
        if lapses_at(item).is_some_and(|end| end <= now) {
            item.outcome = Outcome::Lapsed;
            moved = true;
        }
    }
    if let ApplicationState::Decided(outcome) = &mut application.state {
        let worst = application.outcomes.values().map(|item| item.outcome).min();
        *outcome = worst.unwrap_or(*outcome);
    }
    moved
}

/// When an approval that holds is over for us.
fn lapses_at(item: &ItemOutcome) -> Option<Timestamp> {
    item.valid_until.filter(|_| item.outcome.is_approval()).map(|end| end.plus(SLACK))
}
