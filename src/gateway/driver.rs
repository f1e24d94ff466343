//! One event through the core: load, decide, seal, commit, release (engineering: one message's journey).

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::shared::{InForce, Shared, now};
use crate::engine::{Action, Event, SealedStep, decide, needs};
use crate::model::TimelineEntry;
use crate::security::SealError;
use crate::store::{Batch, CommitError, Committed, StoreError};
use crate::telemetry::EventCode;

/// How often an event is decided anew because somebody wrote in between.
const ROUNDS_MAX: usize = 16;

/// Why an event came to nothing; nothing of it was promised.
#[derive(Debug, thiserror::Error)]
pub(super) enum DriveError {
    /// Worth another try later: the store is full or busy, or the event lost every round.
    #[error("the store is full or busy")]
    Busy,
    /// A record that it needs cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// A message of ours cannot be signed.
    #[error(transparent)]
    Unsealable(#[from] SealError),
    /// The store has failed: nobody is answered, the process ends (P10).
    #[error("the store failed")]
    Fatal,
    /// A defect: the event is given up, the process lives (S24).
    #[error("a panic while deciding")]
    Panicked,
}

/// Carries an event through the core and gives the actions that its commit released.
///
/// # Errors
/// [`DriveError`]; in every case but a fatal one the event may be driven again.
pub(super) async fn drive(shared: &Arc<Shared>, event: Event) -> Result<Vec<Action>, DriveError> {
    let event = Arc::new(event);
    for _ in 0..ROUNDS_MAX {
        if shared.has_failed() {
            return Err(DriveError::Fatal);
        }
        let sealed = compute(shared, {
            let event = Arc::clone(&event);
            move |shared, in_force| decide_and_seal(shared, in_force, &event)
        })
        .await??;
        let (batch, pending) = sealed.split();
        let done = match batch {
            None => None,
            Some(batch) => match commit(shared, batch).await {
                Ok(done) => Some(done),
                Err(CommitError::Conflict(_) | CommitError::Duplicate | CommitError::Unknown) => continue,
                Err(CommitError::Full) => return Err(DriveError::Busy),
                Err(CommitError::Fatal(why)) => {
                    error!(event = EventCode::StoreFailed.code(), reason = why, "the store failed");
                    shared.fail(&why);
                    return Err(DriveError::Fatal);
                }
            },
        };
        return Ok(perform(shared, pending.release(done)));
    }
    Err(DriveError::Busy)
}

/// Runs dear work on a thread of its own, as many at once as there are processors.
///
/// # Errors
/// [`DriveError::Panicked`].
pub(super) async fn compute<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared, &InForce) -> T + Send + 'static,
) -> Result<T, DriveError> {
    let permit = Arc::clone(&shared.processors).acquire_owned().await;
    let shared = Arc::clone(shared);
    let ran = tokio::task::spawn_blocking(move || {
        let outcome = work(&shared, &shared.in_force.load());
        drop(permit);
        outcome
    });
    ran.await.map_err(|fault| {
        error!(event = EventCode::Panicked.code(), reason = %fault, "a task panicked");
        DriveError::Panicked
    })
}

fn decide_and_seal(shared: &Shared, in_force: &InForce, event: &Event) -> Result<SealedStep, DriveError> {
    let context = shared.context(in_force);
    let view = shared.store.load(&needs(event, &context))?;
    Ok(decide(now(), event, &view, &context).seal(&in_force.keys)?)
}

async fn commit(shared: &Shared, batch: Batch) -> Result<Committed, CommitError> {
    let (tell, told) = oneshot::channel();
    let done = move |outcome| {
        // Whoever asked may be gone; the commit stands all the same.
        drop(tell.send(outcome));
    };
    shared.store.commit(batch, Box::new(done));
    told.await.unwrap_or(Err(CommitError::Unknown))
}

/// Does what needs nobody's answer, and gives back what is for the caller: replies and transmissions.
fn perform(shared: &Shared, actions: Vec<Action>) -> Vec<Action> {
    let mut left = Vec::new();
    for action in actions {
        match action {
            Action::Wake(destination) | Action::Ended(destination) => shared.wakes.wake(&destination),
            Action::Log(entry) => log(shared, &entry),
            Action::Reply(_) | Action::Transmit { .. } => left.push(action),
        }
    }
    left
}

/// One line and one count for each entry of the audit record.
fn log(shared: &Shared, entry: &TimelineEntry) {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let party = entry.party.as_ref();
    let in_force = shared.in_force.load();
    let name = party.and_then(|party| in_force.trust.registry.party(party)).map(|party| party.name.clone());
    if let Some(code) = EventCode::of_code(&entry.event) {
        shared.metrics.told(code, name.as_deref().unwrap_or_default());
    }
    macro_rules! line {
        ($level:ident) => {
            $level!(
                event = &*entry.event,
                message_id = text(entry.message_id.as_ref().map(AsRef::as_ref)),
                case_id = text(entry.case.as_ref().map(AsRef::as_ref)),
                delivery = text(entry.delivery.as_ref().map(AsRef::as_ref)),
                partner = text(party.map(AsRef::as_ref)),
                "{}",
                entry.text
            )
        };
    }
    if entry.alarm { line!(warn) } else { line!(info) }
}
