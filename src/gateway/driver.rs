//! One event through the core: load, decide, seal, commit, release (engineering: one message's journey).

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::lanes::{Held, Transmission};
use super::shared::{InForce, Shared, now};
use crate::engine::{Action, Context, Event, Ready, Reply, SealedStep, Step, decide, needs};
use crate::model::{Charge, DeliveryId, Realm, TimelineEntry};
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
    /// The store has failed, or the process ends already: nobody is answered (P10).
    #[error("the store failed, or the gateway ends")]
    Fatal,
    /// A defect: the event is given up, the process lives (S24).
    #[error("a panic while deciding")]
    Panicked,
}

/// What the commit of an event released for whoever drove it; the rest has been done.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// For the waiting requester.
    pub(super) reply: Option<Reply>,
    /// To be transmitted now, by whoever drove the event that its time had come.
    pub(super) transmission: Option<Transmission>,
    /// What the bank of a realm is to be asked, with the attempt that it is.
    pub(super) charges: Vec<(Realm, u32, Charge)>,
    /// A message became ours.
    pub(super) accepted: bool,
}

/// Carries an event through the core and gives what its commit released.
///
/// # Errors
/// [`DriveError`]; in every case but a fatal one the event may be driven again.
pub(super) async fn drive(shared: &Arc<Shared>, event: Event) -> Result<Released, DriveError> {
    let event = Arc::new(event);
    let _begun = shared.under_way.begin();
    let mut unknown = false;
    for _ in 0..ROUNDS_MAX {
        if shared.has_failed() {
            return Err(DriveError::Fatal);
        }
        let (sealed, mut held) = compute(shared, {
            let event = Arc::clone(&event);
            move |shared, in_force| decide_and_seal(shared, in_force, &event)
        })
        .await??;
        let actions = match sealed.split() {
            // What is answered from the store is answered by one that stands (P10).
            Ready::Act(_) if shared.store_has_failed() => return Err(DriveError::Fatal),
            Ready::Act(actions) => actions,
            Ready::Commit(batch, pending) => match commit(shared, *batch).await {
                Ok(pass) => pending.release(pass),
                Err(CommitError::Conflict(_) | CommitError::Duplicate) => continue,
                Err(CommitError::Unknown) => {
                    unknown = true;
                    continue;
                }
                Err(CommitError::Full) => return Err(DriveError::Busy),
                Err(CommitError::Fatal(why)) => {
                    error!(event = EventCode::StoreFailed.code(), reason = why, "the store failed");
                    shared.fail(&why);
                    return Err(DriveError::Fatal);
                }
            },
        };
        let released = perform(shared, actions, &mut held);
        if unknown {
            // If it was committed after all, this round only saw that: what it left due is looked for as at a start.
            compute(shared, |shared, _| shared.wake_all()).await??;
        }
        return Ok(released);
    }
    Err(DriveError::Busy)
}

/// As [`drive`], for an event of one delivery. As it is, one that cannot be read or sealed can never leave: it is
/// given up, and an operator hears of it (P9, P12, S24).
///
/// # Errors
/// [`DriveError`].
pub(super) async fn drive_delivery(
    shared: &Arc<Shared>,
    event: Event,
    delivery: DeliveryId,
) -> Result<Released, DriveError> {
    match drive(shared, event).await {
        Err(DriveError::Unreadable(StoreError::Damaged(damage))) => {
            drive(shared, Event::Damaged { delivery, reason: damage.to_string() }).await
        }
        Err(error @ (DriveError::Unsealable(_) | DriveError::Panicked)) => {
            let reason = error.to_string();
            drive(shared, Event::Unsealable { delivery, reason }).await
        }
        driven => driven,
    }
}

/// Runs dear work on a thread of its own, as many at once as there are processors.
///
/// # Errors
/// [`DriveError::Panicked`]; [`DriveError::Fatal`] when the process ends before it was begun.
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
        if fault.is_cancelled() {
            return DriveError::Fatal;
        }
        error!(event = EventCode::Panicked.code(), reason = %fault, "a task panicked");
        DriveError::Panicked
    })
}

fn decide_and_seal(
    shared: &Shared,
    in_force: &InForce,
    event: &Event,
) -> Result<(SealedStep, Held), DriveError> {
    // One instant for both: the rules that count at it are those that the event is decided under.
    let now = now();
    let schedule = in_force.schedule.load();
    let context = in_force.context(schedule.rules(now));
    let view = shared.store.load(&needs(event, &context))?;
    let mut step = numbered(shared, decide(now, event, &view, &context), &context)?;
    let held = shared.hold(step.promptable());
    step.begin(now, event, &context, &held.places());
    match step.seal(&in_force.keys) {
        Ok(sealed) => Ok((sealed, held)),
        // What cannot be signed keeps nothing else out: it comes due, and fails, by itself.
        Err(_) => {
            let step = numbered(shared, decide(now, event, &view, &context), &context)?;
            Ok((step.seal(&in_force.keys)?, Held::default()))
        }
    }
}

/// The step, with numbers for what it sends in order.
fn numbered(shared: &Shared, mut step: Step, context: &Context<'_>) -> Result<Step, StoreError> {
    if let Some(needs) = step.needs_numbers(context) {
        step.number(context, &shared.store.load(&needs)?);
    }
    Ok(step)
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

/// Does what needs nobody's answer, and gives back what is for the caller.
fn perform(shared: &Shared, actions: Vec<Action>, held: &mut Held) -> Released {
    let mut released = Released::default();
    for action in actions {
        match action {
            Action::Reply(reply) => released.reply = Some(reply),
            Action::Transmit { delivery, attempt, destination, endpoint, awaits_receipt, sealed } => {
                let transmission =
                    Transmission { delivery, attempt, destination, endpoint, awaits_receipt, sealed };
                released.transmission = held.hand_over(transmission).or(released.transmission);
            }
            Action::Wake(destination) => shared.wake(&destination),
            Action::Schedule(at) => shared.agenda.schedule(at),
            Action::SchedulePayment(at) => shared.payments.schedule(at),
            Action::Charge { realm, attempt, charge, .. } => released.charges.push((realm, attempt, charge)),
            Action::Heard(heard) => shared.questions.answered(heard),
            Action::Log(entry) => {
                released.accepted |= *entry.event == *EventCode::MessageAccepted.code();
                log(shared, &entry);
            }
        }
    }
    released
}

/// One line and one count for each entry of the audit record.
fn log(shared: &Shared, entry: &TimelineEntry) {
    if let Some(code) = EventCode::of_code(&entry.event) {
        shared.metrics.told(code, shared.in_force.load().name_of(entry.party.as_ref()));
    }
    macro_rules! line {
        ($level:ident) => {
            $level!(
                event = &*entry.event,
                message_id = entry.message_id.as_ref().map(|id| id.as_str()),
                case_id = entry.case.as_ref().map(|id| id.as_str()),
                delivery = entry.delivery.as_ref().map(|id| id.as_str()),
                partner = entry.party.as_ref().map(|party| party.as_str()),
                "{}",
                entry.text
            )
        };
    }
    if entry.alarm { line!(warn) } else { line!(info) }
}
