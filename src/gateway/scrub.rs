//! Damage is looked for before it is needed (P12): a slow scrub of the whole store, one round after another, and one at
//! once when an operator asks.
//!
//! Promises: a round reads in short looks of a few records and rests between them as the settings say; it writes
//! nothing, keeps nobody waiting, and ends when the gateway stops. One that has read everything and found no record damaged
//! removes the payload files that a start set aside, unless a backup copies just then. What it finds is told in the log, in a metric and
//! in readiness until a later round finds it mended. A damaged record is quarantined by every reading of it anyway: it is
//! served to nobody, and all others flow.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::admin::json_response;
use super::shared::{Shared, now};
use crate::model::Timestamp;
use crate::store::{Damage, Looked};
use crate::telemetry::EventCode;
use crate::transport::{Response, StatusCode};

/// What is known of the rounds.
#[derive(Default)]
pub(super) struct Scrub {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    /// The number of the round that is under way, or was last.
    round: u64,
    /// Where it is.
    under_way: Option<Looked>,
    /// The last round that an operator waits for.
    asked: Option<u64>,
    last: Option<Round>,
    /// What the last round found that could read the store.
    damaged: Vec<Damage>,
}

/// A round that came to its end.
#[derive(Clone)]
struct Round {
    number: u64,
    began: Timestamp,
    ended: Timestamp,
    records: u64,
    /// What is damaged; or why the store could not be read.
    found: Result<Vec<Damage>, String>,
}

impl Scrub {
    /// What the last round that could read the store found damaged; nothing before the first.
    pub(super) fn damaged(&self) -> Vec<Damage> {
        self.state().damaged.clone()
    }

    /// Asks for a round that begins from here on; gives its number.
    fn ask(&self) -> u64 {
        let mut state = self.state();
        let next = state.round + 1;
        state.asked = Some(next);
        drop(state);
        self.bell.notify_one();
        next
    }

    /// The number of the round that begins now, and whether somebody waits for it.
    fn begin(&self) -> (u64, bool) {
        let mut state = self.state();
        state.round += 1;
        state.under_way = Some(Looked { at: "records", records: 0 });
        (state.round, state.asked.is_some())
    }

    /// Whether somebody waits for a round.
    fn is_asked(&self) -> bool {
        self.state().asked.is_some()
    }

    fn ends(&self, round: Round) {
        let mut state = self.state();
        if state.asked.is_some_and(|asked| asked <= round.number) {
            state.asked = None;
        }
        state.under_way = None;
        if let Ok(damaged) = &round.found {
            state.damaged.clone_from(damaged);
        }
        state.last = Some(round);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Scrubs round after round, until the gateway drains.
pub(super) async fn keep_scrubbing(shared: Arc<Shared>) {
    while !*shared.draining.borrow() && !shared.has_failed() {
        let (number, is_asked) = shared.scrub.begin();
        let (began, scrubbing) = (now(), Arc::clone(&shared));
        let ran = tokio::task::spawn_blocking(move || scrub(&scrubbing, number, is_asked)).await;
        if ran.is_err() {
            warn!(event = EventCode::StoreUnreadable.code(), reason = "a panic", "the scrub came to no end");
            // Who waits for it hears so, and it is not begun again at once.
            let found = Err("reading it came to a panic; see the log".to_owned());
            shared.scrub.ends(Round { number, began, ended: now(), records: 0, found });
        }
        wait(&shared).await;
    }
}

/// Waits until the next round is to begin.
async fn wait(shared: &Shared) {
    while !shared.scrub.is_asked() {
        let interval = shared.in_force.load().settings.scrub.interval;
        tokio::select! {
            // It may have rung for a round that has ended since: then nobody asks any more.
            () = shared.scrub.bell.notified() => {}
            () = sleep(interval) => return,
            () = shared.drain_begins() => return,
        }
    }
}

/// One round.
fn scrub(shared: &Shared, number: u64, is_asked: bool) {
    let (began, mut records, mut was_cut) = (now(), 0, false);
    let found = shared.store.scrub_slowly(&mut |looked| {
        let read = looked.records.saturating_sub(records);
        records = looked.records;
        shared.scrub.state().under_way = Some(looked);
        was_cut = if is_asked {
            !rests(shared, ASKED_REST, || false)
        } else {
            !rests(shared, rest_after(read, shared), || shared.scrub.is_asked())
        };
        if was_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if was_cut {
        return;
    }
    match &found {
        Ok(damaged) => {
            for damage in damaged {
                error!(
                    event = EventCode::StoreDamaged.code(),
                    what = %damage.what,
                    detail = %damage.detail,
                    "a damaged record: it is served to nobody, all others flow (P12)"
                );
            }
            info!(
                event = EventCode::StoreScrubbed.code(),
                records,
                damaged = damaged.len(),
                "every record and every payload was read"
            );
        }
        Err(error) => {
            warn!(event = EventCode::StoreUnreadable.code(), reason = %error, "the store cannot be scrubbed");
        }
    }
    let found = found.map_err(|error| error.to_string());
    shared.scrub.ends(Round { number, began, ended: now(), records, found });
}

/// How long to rest after a look at so many records, so that no more than the settings say are read in a second.
fn rest_after(records: u64, shared: &Shared) -> Duration {
    let per_second = shared.in_force.load().settings.scrub.records_per_second.max(1);
    Duration::from_millis(records.saturating_mul(1000) / per_second)
}

/// Rests; false when the round is to end there: the gateway stops, or it gives way.
fn rests(shared: &Shared, mut rest: Duration, gives_way: impl Fn() -> bool) -> bool {
    let goes_on = || !*shared.draining.borrow() && !shared.has_failed() && !gives_way();
    while goes_on() {
        let slice = rest.min(SLICE);
        if slice.is_zero() {
            return true;
        }
        thread::sleep(slice);
        rest -= slice;
    }
    false
}

/// `POST /store/scrub`: a round begins at once; its number is told.
pub(super) fn ask(shared: &Shared) -> Response {
    json_response(StatusCode::OK, &json!({ "round": shared.scrub.ask() }))
}

/// `GET /store/scrub`: where the round is that is under way, and what the last one found.
pub(super) fn show(shared: &Shared) -> Response {
    let state = shared.scrub.state();
    let under_way = state.under_way.map(|looked| json!({ "at": looked.at, "records": looked.records }));
    let last = state.last.as_ref().map(|round| {
        let (damaged, error) = match &round.found {
            Ok(damaged) => (damaged.iter().map(shown).collect(), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        json!({
            "round": round.number, "began": round.began, "ended": round.ended, "records": round.records,
            "damaged": damaged, "error": error,
        })
    });
    json_response(StatusCode::OK, &json!({ "round": state.round, "under_way": under_way, "last": last }))
}

fn shown(damage: &Damage) -> Value {
    json!({ "what": damage.what, "detail": damage.detail })
}

/// The rest between two looks of a round that somebody waits for: others come in between.
const ASKED_REST: Duration = Duration::from_millis(1);
/// The longest rest after which it is looked whether the round is to end.
const SLICE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(scrub: &Scrub, number: u64) {
        let at = Timestamp::from_millis(0);
        scrub.ends(Round { number, began: at, ended: at, records: 0, found: Ok(Vec::new()) });
    }

    #[test]
    fn who_asks_is_answered_by_a_round_that_began_after_that() {
        let scrub = Scrub::default();
        assert_eq!(scrub.begin(), (1, false));
        assert_eq!((scrub.ask(), scrub.ask()), (2, 2), "the first round has looked at something before");
        ends(&scrub, 1);
        assert!(scrub.is_asked());
        assert_eq!(scrub.begin(), (2, true));
        assert_eq!(scrub.ask(), 3);
        ends(&scrub, 2);
        assert_eq!(scrub.begin(), (3, true), "the second who asks has one of his own");
        ends(&scrub, 3);
        assert!(!scrub.is_asked());
    }
}
