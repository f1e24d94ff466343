//! Payments come due: the bank is asked about each, a few at a time, and what it says is decided (P1, P9).
//!
//! What is due stands in the store, so that a restart changes nothing, and nothing here grows with what waits. An attempt
//! is committed before the bank is asked; a crash between any two lines costs one more request under the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::driver::{DriveError, compute, drive};
use super::shared::{Shared, now};
use crate::engine::Event;
use crate::model::{CaseId, ChargeOutcome, Timestamp};
use crate::store::{DueCase, StoreError};
use crate::telemetry::EventCode;

/// Cases whose payments the bank is asked about at once.
const IN_HAND_MAX: usize = 8;
/// The longest wait for the next look: what a step of the clock costs.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long it rests when the store cannot be read, or an event came to nothing.
const REST: Duration = Duration::from_secs(1);

/// When the next payment comes due.
pub(super) struct PaymentAgenda {
    next_millis: AtomicI64,
    bell: Notify,
}

impl Default for PaymentAgenda {
    fn default() -> Self {
        Self { next_millis: AtomicI64::new(i64::MAX), bell: Notify::new() }
    }
}

impl PaymentAgenda {
    /// A payment comes due then; whoever waits for a later one hears of it.
    pub(super) fn schedule(&self, at: Timestamp) {
        if at.as_millis() < self.next_millis.fetch_min(at.as_millis(), Ordering::Relaxed) {
            self.bell.notify_one();
        }
    }
}

/// Has the bank asked about every payment whose time comes, until the gateway drains.
pub(super) async fn keep_payments(shared: Arc<Shared>) {
    let mut teller = Teller {
        shared: Arc::clone(&shared),
        in_hand: BTreeSet::new(),
        left_out: BTreeSet::new(),
        asking: JoinSet::new(),
        tasks: BTreeMap::new(),
        look_at: Instant::now(),
    };
    while !*shared.draining.borrow() && !shared.has_failed() {
        tokio::select! {
            Some(ended) = teller.asking.join_next_with_id(), if !teller.asking.is_empty() => teller.ended(ended),
            () = shared.payments.bell.notified() => teller.look_at = Instant::now(),
            () = sleep_until(teller.look_at) => teller.look_at = teller.look().await,
            () = shared.drain_begins() => {}
        }
    }
    // What the bank was asked is heard to its end: it costs a request less at the next start.
    while let Some(ended) = teller.asking.join_next_with_id().await {
        teller.ended(ended);
    }
}

struct Teller {
    shared: Arc<Shared>,
    in_hand: BTreeSet<CaseId>,
    /// Cases that cannot be read: others go on (P12).
    left_out: BTreeSet<CaseId>,
    asking: JoinSet<Result<(), DriveError>>,
    tasks: BTreeMap<task::Id, CaseId>,
    look_at: Instant,
}

impl Teller {
    /// Takes in hand what is due and has room; gives the instant of the next look.
    async fn look(&mut self) -> Instant {
        let room = IN_HAND_MAX.saturating_sub(self.in_hand.len());
        if room == 0 {
            return Instant::now() + LONGEST_SLEEP;
        }
        // What is scheduled from here on rings, also when the look below does not see it yet.
        self.shared.payments.next_millis.store(i64::MAX, Ordering::Relaxed);
        let (looked_at, limit) = (now(), room + self.in_hand.len() + self.left_out.len());
        let beyond = looked_at.plus(self.shared.longest_payment_wait());
        let looked = compute(&self.shared, move |shared, _| {
            // However many others wait before it, what a clock that was set back has left behind is found.
            let mut found = shared.store.stalled_payments(beyond, limit)?;
            found.extend(shared.store.scheduled_payments(limit)?);
            Ok::<_, StoreError>(found)
        });
        let scheduled = match looked.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(event = EventCode::StoreUnreadable.code(), reason = %error, "what is due cannot be read");
                return Instant::now() + REST;
            }
            Err(_) => return Instant::now() + REST,
        };
        let mut until = LONGEST_SLEEP;
        for DueCase { id, due } in scheduled {
            if self.in_hand.contains(&id) || self.left_out.contains(&id) {
                continue;
            }
            if due > looked_at && due <= beyond {
                self.shared.payments.next_millis.fetch_min(due.as_millis(), Ordering::Relaxed);
                until = until.min(due.since(looked_at));
                continue;
            }
            if self.in_hand.len() == IN_HAND_MAX {
                break;
            }
            let (shared, case) = (Arc::clone(&self.shared), id.clone());
            let handle = self.asking.spawn(async move { ask(&shared, case).await });
            self.tasks.insert(handle.id(), id.clone());
            self.in_hand.insert(id);
        }
        Instant::now() + until
    }

    fn ended(&mut self, ended: Result<(task::Id, Result<(), DriveError>), JoinError>) {
        let (task, asked) = match ended {
            Ok(ended) => ended,
            Err(fault) => {
                error!(event = EventCode::Panicked.code(), reason = %fault, "a payment panicked");
                (fault.id(), Err(DriveError::Panicked))
            }
        };
        let case = self.tasks.remove(&task);
        self.look_at = Instant::now();
        let Some(case) = case else { return };
        self.in_hand.remove(&case);
        if let Err(error) = asked {
            let (event, case_id) = (EventCode::GatewayDriveFailed.code(), case.as_str());
            warn!(event, case_id, reason = %error, "a payment could not be decided now");
            if matches!(error, DriveError::Unreadable(StoreError::Damaged(_)) | DriveError::Panicked) {
                self.left_out.insert(case);
            }
            self.look_at = Instant::now() + REST;
        }
    }
}

/// What is due about the payments of a case: decided, asked, and what the bank said decided again.
async fn ask(shared: &Arc<Shared>, case: CaseId) -> Result<(), DriveError> {
    let released = drive(shared, Event::PaymentDue(case.clone())).await?;
    for (realm, attempt, charge) in released.charges {
        let bank = shared.in_force.load().bank(realm, &charge.bank);
        let outcome = match bank {
            Some(bank) => bank.charge(&charge).await,
            None => {
                let reason = format!("the settings do not name bank {} any more", charge.bank);
                ChargeOutcome::Again { reason, alarm: true }
            }
        };
        shared.metrics.charge(&outcome);
        let (key, order) = (charge.key, charge.order);
        drive(shared, Event::Charged { case: case.clone(), key, order, attempt, outcome }).await?;
    }
    Ok(())
}
