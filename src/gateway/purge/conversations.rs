//! Conversations of which everything was purged are forgotten.
//!
//! Promises: the records are walked a few at a time, once for thousands of conversations, and no look is longer than it is
//! told to be: where it ends, the walk waits for the next one; a record that cannot be read keeps all of them, as it may be
//! of any; and what has changed since its version was read is not forgotten.
//!
//! What waits is in memory alone: after a restart a walk begins anew, and tells once more what it told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use tracing::error;

use super::{Looked, Page, Place, What};
use crate::engine::{Event, How, Reply, Told, is_idle, keeps_delivery, keeps_message};
use crate::gateway::driver::{compute, drive};
use crate::gateway::shared::{InForce, Shared, now};
use crate::gateway::show::Unanswered;
use crate::model::SequenceKey;
use crate::store::{DeliveryLocator, Needs, StoreError};
use crate::telemetry::EventCode;

/// Conversations that might be forgotten, with the versions that were read before the records were.
type Candidates = BTreeMap<SequenceKey, u64>;

/// Walks that wait for their next look, each under the number that its place names.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Walks {
    last: u64,
    waiting: BTreeMap<u64, Walk>,
}

impl Walks {
    /// Of too many the one goes that waits longest; it begins anew when its turn comes.
    fn keep(&mut self, walk: Walk) -> u64 {
        if self.waiting.len() >= WALKS_MAX {
            self.waiting.pop_first();
        }
        self.last += 1;
        self.waiting.insert(self.last, walk);
        self.last
    }
}

/// A walk through everything that is kept, for some conversations.
#[derive(Debug)]
struct Walk {
    candidates: Candidates,
    records: Records,
    /// Where the round goes on when it is over.
    next: Option<Place>,
}

/// Looks at so many records for some conversations; at its end forgets those of which everything was purged when it is to.
pub(super) async fn some(
    shared: &Arc<Shared>,
    from: Place,
    limit: usize,
    purges: bool,
) -> Result<Page, Unanswered> {
    let failed = |error: crate::gateway::driver::DriveError| Unanswered::Failed(error.to_string());
    let walks = || shared.walks.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = from.walk.and_then(|walk| walks().waiting.remove(&walk));
    let (mut looked, mut walk) = match waiting {
        Some(walk) => (Vec::new(), walk),
        None => compute(shared, move |shared, _| begun(shared, from)).await.map_err(failed)??,
    };
    let mut left = limit.max(1);
    while left > 0 && !walk.is_over() && !*shared.draining.borrow() {
        let (records, some) = (walk.records, left.min(RECORDS));
        left -= some;
        let read = compute(shared, move |shared, in_force| records.on(shared, in_force, some)).await;
        let (records, kept) = read.map_err(failed)??;
        walk.records = records;
        for Kept { what, by } in kept {
            let keys = what.map_or_else(|| walk.candidates.keys().cloned().collect(), |key| vec![key]);
            for key in keys.into_iter().filter(|key| walk.candidates.remove(key).is_some()) {
                looked.push(Looked::conversation(key, Err(by.clone())));
            }
        }
    }
    while left > 0
        && walk.is_over()
        && let Some((sequence, version)) = walk.candidates.pop_first()
    {
        left -= 1;
        let what = sequence.clone();
        let forgotten = match purges {
            true => forget(shared, Event::Forgotten { sequence, version }).await,
            false => Ok(()),
        };
        looked.push(Looked::conversation(what, forgotten));
    }
    let next = match walk.candidates.is_empty() {
        true => walk.next,
        false => Some(Place { walk: Some(walks().keep(walk)), ..from }),
    };
    Ok(Page { looked, next })
}

impl Looked {
    fn conversation(key: SequenceKey, forgotten: Result<(), String>) -> Self {
        let over = forgotten.is_ok();
        Self { what: What::Conversation(key), over, why: forgotten.err().unwrap_or_default(), bytes: 0 }
    }
}

async fn forget(shared: &Arc<Shared>, event: Event) -> Result<(), String> {
    let why = match drive(shared, event).await.map(|released| released.reply) {
        Ok(Some(Reply::Told(Told { how: How::Done, .. }))) => return Ok(()),
        // It goes on, or went already.
        Ok(Some(Reply::Told(Told { text, .. }))) => return Err(text),
        Ok(_) => "nothing was decided".to_owned(),
        Err(error) => error.to_string(),
    };
    error!(event = EventCode::PurgeFailed.code(), reason = %why, "a conversation is known on for now");
    Err(why)
}

/// A walk for some conversations; told are those that it is not for, as they wait for something.
fn begun(shared: &Shared, from: Place) -> Result<(Vec<Looked>, Walk), Unanswered> {
    let listed = shared.store.kept_sequences(from.after, CONVERSATIONS)?;
    let next = listed.last().map(|(number, _)| Place { after: *number, walk: None, ..from });
    let mut looked = Vec::new();
    let mut candidates = Candidates::new();
    for (_, key) in listed {
        let key = match key {
            Ok(key) => key,
            Err(damage) => {
                looked.push(Looked::damaged(damage));
                continue;
            }
        };
        let needs = Needs { sequences: BTreeSet::from([key.clone()]), ..Needs::default() };
        let why = match shared.store.load(&needs).map(|mut view| view.sequences.remove(&key)) {
            Ok(Some(stored)) => match is_idle(&stored.value) {
                Ok(()) => {
                    candidates.insert(key, stored.version);
                    continue;
                }
                Err(why) => why,
            },
            Ok(None) => continue,
            // What is damaged is the scrub's to tell.
            Err(error) => error.to_string(),
        };
        looked.push(Looked::conversation(key, Err(why)));
    }
    Ok((looked, Walk { candidates, records: Records::default(), next }))
}

impl Walk {
    /// Nothing is left to look for, or nowhere.
    fn is_over(&self) -> bool {
        self.records.ended || self.candidates.is_empty()
    }
}

/// What is known on, and why.
struct Kept {
    /// Every one, where it cannot be read which.
    what: Option<SequenceKey>,
    by: String,
}

/// Through everything that is kept: messages, then deliveries.
#[derive(Clone, Copy, Debug, Default)]
struct Records {
    deliveries: bool,
    after: u64,
    ended: bool,
}

impl Records {
    /// So many records further at most, with what each of them keeps known.
    fn on(self, shared: &Shared, in_force: &InForce, limit: usize) -> Result<(Self, Vec<Kept>), Unanswered> {
        let store = &shared.store;
        let (at, schedule) = (now(), in_force.schedule.load());
        let context = in_force.context(schedule.rules(at));
        let of_delivery = |id| {
            let needs = Needs { delivery: Some(DeliveryLocator::Id(id)), ..Needs::default() };
            let found = store.load(&needs)?.delivery.map(|stored| stored.value);
            let what = found.as_ref().and_then(|delivery| keeps_delivery(at, delivery, &context));
            Ok::<_, StoreError>(found.zip(what).map(|(delivery, what)| Kept {
                by: format!("delivery {} of it was not purged", delivery.id),
                what: Some(what),
            }))
        };
        let of_message = |message| {
            let needs = Needs { message: Some(message), ..Needs::default() };
            let found = store.load(&needs)?.message.map(|known| known.record);
            let what = found.as_ref().and_then(keeps_message);
            Ok::<_, StoreError>(found.zip(what).map(|(record, what)| Kept {
                by: format!("message {} of it was not purged", record.key.message_id),
                what: Some(what),
            }))
        };
        let mut last = None;
        let mut read = Vec::new();
        if self.deliveries {
            for (number, id) in store.kept_deliveries(self.after, limit)? {
                last = Some(number);
                read.push(id.map_err(StoreError::Damaged).and_then(of_delivery));
            }
        } else {
            for (number, message) in store.kept_messages(self.after, limit)? {
                last = Some(number);
                read.push(message.map_err(StoreError::Damaged).and_then(of_message));
            }
        }
        let mut kept = Vec::new();
        for found in read {
            match found {
                Ok(found) => kept.extend(found),
                Err(StoreError::Damaged(damage)) => kept.push(Kept { what: None, by: damage.to_string() }),
                Err(error) => return Err(error.into()),
            }
        }
        let next = match last {
            Some(after) => Self { after, ..self },
            None => Self { deliveries: true, after: 0, ended: self.deliveries },
        };
        Ok((next, kept))
    }
}

/// Conversations that one walk is for.
const CONVERSATIONS: usize = 4096;
/// Records that are read at once.
const RECORDS: usize = 256;
/// Walks that wait at once.
const WALKS_MAX: usize = 8;
