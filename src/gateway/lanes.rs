//! One lane for each destination: its window, its bell, and what was committed together with its first attempt and
//! leaves at once (P4, P15).
//!
//! A place is taken in the window *before* a step counts an attempt, so that what is committed as transmitted has
//! room to be: nothing piles up in memory behind a slow destination.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, Semaphore};

use crate::engine::Places;
use crate::model::{DeliveryId, PartyKey, Sealed};
use crate::msh::Window;

/// A delivery whose attempt is committed: it is to be transmitted now.
#[derive(Debug)]
pub(super) struct Transmission {
    pub(super) delivery: DeliveryId,
    pub(super) attempt: u32,
    pub(super) destination: PartyKey,
    pub(super) endpoint: Option<Arc<str>>,
    pub(super) awaits_receipt: bool,
    pub(super) sealed: Sealed,
}

/// The way to one destination.
pub(super) struct Lane {
    /// Something may be due.
    pub(super) bell: Notify,
    state: Mutex<State>,
    /// Holds as many as the window may ever have places: one that has a place always fits.
    prompt: Sender<Transmission>,
}

struct State {
    window: Window,
    /// More was due at the last look than there was room for: what is newer waits its turn.
    behind: bool,
    /// For the sender that takes the lane up. No place is held before, because nobody would transmit.
    prompted: Option<Receiver<Transmission>>,
    /// The sender has ended: nothing is transmitted any more.
    closed: bool,
}

impl Lane {
    fn new(limit: u32) -> Self {
        let (prompt, prompted) = channel(usize::try_from(limit.max(1)).unwrap_or(Semaphore::MAX_PERMITS));
        let state =
            State { window: Window::new(limit), behind: false, prompted: Some(prompted), closed: false };
        Self { bell: Notify::new(), state: Mutex::new(state), prompt }
    }

    /// What leaves at once, for the one sender of the lane.
    pub(super) fn prompted(&self) -> Option<Receiver<Transmission>> {
        self.lock().prompted.take()
    }

    /// How many more deliveries may be taken in hand now.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.lock().window.room()).unwrap_or(usize::MAX)
    }

    /// Takes up to so many places for what is due.
    pub(super) fn take(&self, wanted: usize) -> usize {
        let mut state = self.lock();
        let granted = state.window.room().min(u32::try_from(wanted).unwrap_or(u32::MAX));
        (0..granted).for_each(|_| state.window.take());
        usize::try_from(granted).unwrap_or(usize::MAX)
    }

    /// A look was made; `behind` when there may be more due than has room.
    pub(super) fn looked(&self, behind: bool) {
        self.lock().behind = behind;
    }

    /// A delivery left the hand. Gives whether more is known to wait for its place.
    pub(super) fn left(&self, taken: bool) -> bool {
        let mut state = self.lock();
        if taken {
            state.window.succeeded();
        } else {
            state.window.failed();
        }
        state.behind
    }

    /// Closes the lane, unless something is in hand or a place is held for what is being committed: that still leaves.
    pub(super) fn close_when_idle(&self) -> bool {
        let mut state = self.lock();
        state.closed = state.window.is_idle();
        state.closed
    }

    /// Places for what does not exist yet; none while older deliveries wait, or when nobody transmits.
    fn hold(&self, wanted: u32) -> u32 {
        let mut state = self.lock();
        let is_served = state.prompted.is_none() && !state.closed;
        let granted = if state.behind || !is_served { 0 } else { state.window.room().min(wanted) };
        (0..granted).for_each(|_| state.window.take());
        granted
    }

    fn give_back(&self, places: u32) {
        let mut state = self.lock();
        (0..places).for_each(|_| state.window.give_back());
        drop(state);
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lanes of every destination that anything was ever due to.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Mutex<BTreeMap<PartyKey, Arc<Lane>>>,
    pub(super) newcomers: Notify,
}

impl Lanes {
    /// The lane to a destination; `limit` is asked for the width of a new one.
    pub(super) fn lane(&self, destination: &PartyKey, limit: impl FnOnce() -> u32) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(destination) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane::new(limit()));
        lanes.insert(destination.clone(), Arc::clone(&lane));
        self.newcomers.notify_one();
        lane
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeMap<PartyKey, Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Places that are held for a step until it is committed; those that it does not use are given back.
#[derive(Default)]
pub(super) struct Held(BTreeMap<PartyKey, (Arc<Lane>, u32)>);

impl Held {
    /// Holds as many of the wanted places as there are.
    pub(super) fn hold(wanted: Places, lane: impl Fn(&PartyKey) -> Arc<Lane>) -> Self {
        let held = wanted.into_iter().filter_map(|(destination, wanted)| {
            let lane = lane(&destination);
            let places = lane.hold(wanted);
            (places > 0).then_some((destination, (lane, places)))
        });
        Self(held.collect())
    }

    /// How many there are at each destination.
    pub(super) fn places(&self) -> Places {
        self.0.iter().map(|(destination, (_, places))| (destination.clone(), *places)).collect()
    }

    /// Gives a transmission to the lane that a place is held in; back, when none is.
    pub(super) fn hand_over(&mut self, transmission: Transmission) -> Option<Transmission> {
        match self.0.get_mut(&transmission.destination).filter(|(_, places)| *places > 0) {
            Some((lane, places)) => {
                // It fits, and somebody is there: a lane with a place that is held is not closed. Were it lost all the
                // same, it would come due again, as after a crash.
                if lane.prompt.try_send(transmission).is_ok() {
                    *places -= 1;
                }
                None
            }
            None => Some(transmission),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.values().filter(|(_, places)| *places > 0).for_each(|(lane, places)| lane.give_back(*places));
    }
}
