//! Cases, approvals and conversations come due: each is driven through the core when its time has come (P9).
//!
//! What is due stands in the store, so that a restart changes nothing; here is only when to look next. A look costs
//! one entry of an index, and nothing waits in memory.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

use super::driver::{DriveError, compute, drive};
use super::receive::Received;
use super::shared::{InForce, Shared, now};
use crate::engine::Event;
use crate::model::{ApprovalKey, CaseId, SequenceKey, Timestamp, Unreadable};
use crate::security::Origin;
use crate::store::{Entity, Needs, StoreError};
use crate::telemetry::EventCode;

/// Cases, approvals, and conversations, of one look.
const PLACES_MAX: usize = 64;
/// The longest wait for the next look: what a step of the clock costs.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long it rests when the store cannot be read, or an event came to nothing.
const REST: Duration = Duration::from_secs(1);

/// Something that comes due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scheduled {
    Case(CaseId),
    Approval(ApprovalKey),
    Sequence(SequenceKey),
}

impl Scheduled {
    /// Drives it through the core.
    async fn drive(&self, shared: &Arc<Shared>) -> Result<(), DriveError> {
        let _begun = shared.under_way.begin();
        let event = match self {
            Self::Case(id) => Event::CaseDue(id.clone()),
            Self::Approval(key) => Event::ApprovalDue(key.clone()),
            Self::Sequence(key) => {
                let key = key.clone();
                compute(shared, move |shared, in_force| due_in(shared, in_force, key)).await??
            }
        };
        drive(shared, event).await.map(drop)
    }
}

/// What has come due in a conversation: the message that is ready, opened again as it is stored, or its gap.
fn due_in(shared: &Shared, in_force: &InForce, key: SequenceKey) -> Result<Event, StoreError> {
    let needs = Needs { sequences: [key.clone()].into(), ..Needs::default() };
    let sequence = shared.store.load(&needs)?.sequences.remove(&key).map(|stored| stored.value);
    let ready = sequence.as_ref().and_then(|s| s.ready().map(|(_, early)| (s.message(early), early)));
    let Some((message, early)) = ready else { return Ok(Event::OrderDue(key)) };
    let unopenable = |reason| Event::Unopenable { message: message.clone(), sequence: key.clone(), reason };
    Ok(match shared.store.body(&message) {
        Ok(Some(Entity { content_type, body })) => {
            // As it was when it was acknowledged, whatever its size (P12).
            if let Some(Unreadable(why)) = body.checked().find_map(Result::err) {
                return Ok(unopenable(why));
            }
            let (origin, received_at) = (Origin::Stored(message.sender.clone()), early.received_at);
            let (waiting, other_soap_action) = (false, false);
            let received = Received { content_type, body, origin, received_at, waiting, other_soap_action };
            match received.open(in_force) {
                Event::Arrived(arrival) => Event::HandedOn { arrival, sequence: key },
                Event::Refused(refused) => unopenable(refused.refusal.to_string()),
                _ => unopenable("it opens to something else".to_owned()),
            }
        }
        Ok(None) => unopenable("its octets are missing".to_owned()),
        Err(StoreError::Damaged(damage)) => unopenable(damage.to_string()),
        Err(error) => return Err(error),
    })
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Case(id) => write!(f, "case {id}"),
            Self::Approval(key) => write!(f, "approval {key}"),
            Self::Sequence(key) => write!(f, "conversation {} under {}", key.conversation_id, key.cpa_id),
        }
    }
}

/// When the next of them comes due.
pub(super) struct Agenda {
    next_millis: AtomicI64,
    bell: Notify,
}

impl Default for Agenda {
    fn default() -> Self {
        Self { next_millis: AtomicI64::new(i64::MAX), bell: Notify::new() }
    }
}

impl Agenda {
    /// Something comes due then; whoever waits for a later one hears of it.
    pub(super) fn schedule(&self, at: Timestamp) {
        if at.as_millis() < self.next_millis.fetch_min(at.as_millis(), Ordering::Relaxed) {
            self.bell.notify_one();
        }
    }
}

/// Drives everything whose time comes, until the gateway drains.
pub(super) async fn keep_agenda(shared: Arc<Shared>) {
    let mut left_out = BTreeSet::new();
    while !*shared.draining.borrow() && !shared.has_failed() {
        let wait = look(&shared, &mut left_out).await;
        tokio::select! {
            () = shared.agenda.bell.notified() => {}
            () = sleep(wait) => {}
            () = shared.drain_begins() => {}
        }
    }
}

/// Drives what is due; gives how long to wait for the next look. What cannot be read is left out from then on,
/// so that others go on (P12).
async fn look(shared: &Arc<Shared>, left_out: &mut BTreeSet<Scheduled>) -> Duration {
    // What is scheduled from here on rings, also when the look below does not see it yet.
    shared.agenda.next_millis.store(i64::MAX, Ordering::Relaxed);
    let (looked_at, places) = (now(), PLACES_MAX + left_out.len());
    let looked = compute(shared, move |shared, _| scheduled(shared, places));
    let scheduled = match looked.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            warn!(event = EventCode::StoreUnreadable.code(), reason = %error, "what is due cannot be read");
            return REST;
        }
        Err(_) => return REST,
    };
    let mut rest = Duration::ZERO;
    let mut driven = 0;
    for (due, scheduled) in scheduled {
        if left_out.contains(&scheduled) {
            continue;
        }
        if due > looked_at {
            shared.agenda.next_millis.fetch_min(due.as_millis(), Ordering::Relaxed);
            return if driven > 0 { rest } else { due.since(looked_at).min(LONGEST_SLEEP) };
        }
        driven += 1;
        if let Err(error) = scheduled.drive(shared).await {
            warn!(
                event = EventCode::GatewayDriveFailed.code(),
                about = %scheduled,
                reason = %error,
                "what is due could not be decided now"
            );
            if matches!(error, DriveError::Unreadable(StoreError::Damaged(_)) | DriveError::Panicked) {
                left_out.insert(scheduled);
            }
            rest = REST;
        }
    }
    // All of them were due, and there may be more; or there was none.
    if driven > 0 { rest } else { LONGEST_SLEEP }
}

/// What is scheduled, earliest first.
fn scheduled(shared: &Shared, places: usize) -> Result<Vec<(Timestamp, Scheduled)>, StoreError> {
    let cases =
        shared.store.scheduled_cases(places)?.into_iter().map(|due| (due.due, Scheduled::Case(due.id)));
    let approvals = shared.store.scheduled_approvals(places)?;
    let approvals = approvals.into_iter().map(|due| (due.due, Scheduled::Approval(due.key)));
    let sequences = shared.store.scheduled_sequences(places)?;
    let sequences = sequences.into_iter().map(|due| (due.due, Scheduled::Sequence(due.key)));
    let mut scheduled: Vec<_> = cases.chain(approvals).chain(sequences).collect();
    scheduled.sort_by_key(|(due, _)| *due);
    Ok(scheduled)
}
