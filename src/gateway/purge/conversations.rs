//! Conversations of which everything was purged are forgotten.
//!
//! Promises: the records are walked a few at a time, once for thousands of conversations, and no look is
//! longer than it is told to be: where it ends, the walk waits for the next one; a record that cannot be read
//! keeps all of them, as it may be of any; what has changed since its version was read is not forgotten; and
//! a stop is waited for by no walk.
//!
//! What waits is in memory alone: after a restart a walk begins anew, and tells once more what it told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use tracing::error;

use super::{Looked, Page, Place, STOPPED, What, listed_delivery, listed_message, not_found};
use crate::engine::{Event, How, Reply, Told, is_idle, keeps_delivery, keeps_message};
use crate::gateway::driver::{DriveError, compute, drive};
use crate::gateway::shared::{InForce, Shared, now};
use crate::gateway::show::Unanswered;
use crate::model::{SequenceKey, Timestamp};
use crate::store::{Damage, Needs, Store, StoreError};
use crate::telemetry::EventCode;

/// Walks that wait for their next look, each under the number that its place names.
#[derive(Debug)]
pub(in crate::gateway) struct Walks {
    last: u64,
    waiting: BTreeMap<u64, Walk>,
}

impl Walks {
    /// Numbers begin with the instant: a place of another life of the gateway names no walk of this one.
    pub(in crate::gateway) const fn since(at: Timestamp) -> Self {
        Self { last: at.as_millis().cast_unsigned(), waiting: BTreeMap::new() }
    }

    /// The walk that a place is in: no other part's, and none that is to purge what is only looked at.
    fn take(&mut self, from: Place, purges: bool) -> Option<Walk> {
        let is_of = |walk: &Walk| (walk.after, walk.purges) == (from.after, purges);
        let number = from.walk.filter(|number| self.waiting.get(number).is_some_and(is_of))?;
        self.waiting.remove(&number)
    }

    /// Of too many the one goes that waits longest; it begins anew when its turn comes.
    fn keep(&mut self, walk: Walk) -> u64 {
        if self.waiting.len() >= WALKS_MAX {
            self.waiting.pop_first();
        }
        self.last += 1;
        self.waiting.insert(self.last, walk);
        self.last
    }

    /// What one walk has forgotten is told by no other.
    fn forgotten(&mut self, sequence: &SequenceKey) {
        for walk in self.waiting.values_mut() {
            walk.candidates.remove(sequence);
        }
    }
}

/// A walk through everything that is kept, for some conversations: they are listed before the first record is
/// read.
#[derive(Debug)]
struct Walk {
    /// Its conversations come after this one.
    after: u64,
    purges: bool,
    /// So many more are listed for it at most.
    wanted: usize,
    /// The last one that was; nothing when there are no others.
    listed: Option<u64>,
    /// Those that might be forgotten, with the versions that were read before the records were.
    candidates: BTreeMap<SequenceKey, u64>,
    records: Records,
    /// A record that may be of any of them: all that are left are known on.
    kept_by: Option<Damage>,
}

/// Through everything that is kept: messages, then deliveries.
#[derive(Clone, Copy, Debug, Default)]
struct Records {
    deliveries: bool,
    after: u64,
    ended: bool,
}

/// Looks at so many conversations and records; at the end of the records forgets the conversations of which
/// everything was purged when it is to, or tells them.
pub(super) async fn some(
    shared: &Arc<Shared>,
    from: Place,
    limit: usize,
    purges: bool,
) -> Result<Page, Unanswered> {
    let failed = |error: DriveError| Unanswered::Failed(error.to_string());
    let walks = || shared.walks.lock().unwrap_or_else(PoisonError::into_inner);
    let stops = || *shared.draining.borrow();
    let waiting = walks().take(from, purges);
    let mut walk = waiting.unwrap_or_else(|| Walk::new(from.after, purges));
    let mut looked = Vec::new();
    let mut left = limit.max(1);
    while left > 0 && !walk.has_read() && !stops() {
        let some = left.min(AT_ONCE);
        left -= some;
        let read = compute(shared, move |shared, in_force| walk.on(shared, in_force, some)).await;
        let (on, told) = read.map_err(failed)??;
        walk = on;
        looked.extend(told);
    }
    let mut left = left.min(AT_ONCE);
    while left > 0
        && walk.has_read()
        && !stops()
        && let Some((sequence, version)) = walk.candidates.pop_first()
    {
        left -= 1;
        let what = sequence.clone();
        let forgotten = match &walk.kept_by {
            Some(damage) => Err(damage.to_string()),
            None if purges => forget(shared, Event::Forgotten { sequence, version }).await,
            None => Ok(()),
        };
        if purges && forgotten.is_ok() {
            walks().forgotten(&what);
        }
        looked.push(Looked::conversation(what, forgotten));
    }
    let stopped = stops();
    let next = if stopped {
        // Whoever asks again would only ask in vain.
        let known = |key| Looked::conversation(key, Err(STOPPED.to_owned()));
        looked.extend(walk.candidates.into_keys().map(known));
        None
    } else if walk.has_read() && walk.candidates.is_empty() {
        walk.listed.map(|after| Place { after, walk: None, ..from })
    } else {
        Some(Place { walk: Some(walks().keep(walk)), ..from })
    };
    Ok(Page { looked, next, stopped })
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
        // It goes on.
        Ok(Some(Reply::Told(Told { text, .. }))) => return Err(text),
        Ok(_) => "nothing was decided".to_owned(),
        Err(error) => error.to_string(),
    };
    error!(event = EventCode::PurgeFailed.code(), reason = %why, "a conversation is known on for now");
    Err(why)
}

impl Walk {
    const fn new(after: u64, purges: bool) -> Self {
        Self {
            after,
            purges,
            wanted: CONVERSATIONS,
            listed: Some(after),
            candidates: BTreeMap::new(),
            records: Records { deliveries: false, after: 0, ended: false },
            kept_by: None,
        }
    }

    /// The last one of those that are still to be listed for it.
    fn lists_after(&self) -> Option<u64> {
        self.listed.filter(|_| self.wanted > 0)
    }

    /// No record is left that could keep one of its conversations, or none of them to be kept.
    fn has_read(&self) -> bool {
        let has_ended = self.records.ended || self.candidates.is_empty() || self.kept_by.is_some();
        self.lists_after().is_none() && has_ended
    }

    /// So many conversations or records further at most; told is what is known on.
    fn on(
        mut self,
        shared: &Shared,
        in_force: &InForce,
        limit: usize,
    ) -> Result<(Self, Vec<Looked>), StoreError> {
        let told = match self.lists_after() {
            Some(after) => self.list(shared, after, limit)?,
            None => self.read(shared, in_force, limit)?,
        };
        Ok((self, told))
    }

    /// Takes conversations that wait for nothing; told are the others.
    fn list(&mut self, shared: &Shared, after: u64, limit: usize) -> Result<Vec<Looked>, StoreError> {
        let store = &*shared.store;
        let listed = store.kept_sequences(after, limit.min(self.wanted))?;
        self.wanted -= listed.len().min(self.wanted);
        self.listed = listed.last().map(|(number, _)| *number);
        let mut told = Vec::new();
        for (number, key) in listed {
            let key = match key {
                Ok(key) => key,
                Err(damage) => {
                    told.push(Looked::damaged(damage));
                    continue;
                }
            };
            let needs = Needs { sequences: BTreeSet::from([key.clone()]), ..Needs::default() };
            let why = match store.load(&needs).map(|mut view| view.sequences.remove(&key)) {
                Ok(Some(stored)) => match is_idle(&stored.value) {
                    Ok(()) => {
                        self.candidates.insert(key, stored.version);
                        continue;
                    }
                    Err(why) => why,
                },
                Ok(None) if is_listed(store, number)? => {
                    told.push(Looked::damaged(not_found("sequence", number)));
                    continue;
                }
                // Forgotten meanwhile, as other records never are.
                Ok(None) => continue,
                Err(error) => error.to_string(),
            };
            told.push(Looked::conversation(key, Err(why)));
        }
        Ok(told)
    }

    /// Reads records; told are the conversations that they keep.
    fn read(&mut self, shared: &Shared, in_force: &InForce, limit: usize) -> Result<Vec<Looked>, StoreError> {
        let store = &*shared.store;
        let (at, schedule) = (now(), in_force.schedule.load());
        let context = in_force.context(schedule.rules(at));
        let of_delivery = |(number, id)| {
            let delivery = listed_delivery(store, number, id)?;
            let key = keeps_delivery(at, &delivery, &context);
            Ok(key.map(|key| (key, format!("delivery {} of it was not purged", delivery.id))))
        };
        let of_message = |(number, key)| {
            let record = listed_message(store, number, key)?;
            let key = keeps_message(&record);
            Ok(key.map(|key| (key, format!("message {} of it was not purged", record.key.message_id))))
        };
        let Records { deliveries, after, .. } = self.records;
        let (last, read): (_, Vec<Result<_, Damage>>) = if deliveries {
            let listed = store.kept_deliveries(after, limit)?;
            (listed.last().map(|(number, _)| *number), listed.into_iter().map(of_delivery).collect())
        } else {
            let listed = store.kept_messages(after, limit)?;
            (listed.last().map(|(number, _)| *number), listed.into_iter().map(of_message).collect())
        };
        self.records = match last {
            Some(after) => Records { after, ..self.records },
            None => Records { deliveries: true, after: 0, ended: deliveries },
        };
        let mut told = Vec::new();
        for kept in read {
            match kept {
                Ok(Some((key, by))) if self.candidates.remove(&key).is_some() => {
                    told.push(Looked::conversation(key, Err(by)));
                }
                Ok(_) => {}
                Err(damage) => self.kept_by = Some(damage),
            }
        }
        Ok(told)
    }
}

/// Whether there still is a sequence under this number.
fn is_listed(store: &dyn Store, number: u64) -> Result<bool, StoreError> {
    Ok(store.kept_sequences(number - 1, 1)?.first().is_some_and(|(first, _)| *first == number))
}

/// Conversations that one walk is for.
const CONVERSATIONS: usize = 4096;
/// Records that are read at once, and conversations that one look forgets: each is a commit.
const AT_ONCE: usize = 256;
/// Walks that wait at once.
const WALKS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CpaId, Direction};

    #[test]
    fn a_place_leads_to_its_own_walk_alone() {
        let mut walks = Walks::since(Timestamp::from_millis(1000));
        let number = walks.keep(Walk::new(7, true));
        assert!(number > 1000, "{number}: not one of a life before");
        let place = |after, walk| Place { conversations: true, after, walk, ..Place::default() };
        for (after, walk, purges) in
            [(8, Some(number), true), (7, Some(number), false), (7, Some(number + 1), true), (7, None, true)]
        {
            assert!(walks.take(place(after, walk), purges).is_none(), "{after} {walk:?} {purges}");
        }
        assert!(walks.take(place(7, Some(number)), true).is_some(), "what is not taken stays");
        assert!(walks.take(place(7, Some(number)), true).is_none(), "once");
    }

    #[test]
    fn what_one_walk_forgot_no_other_tells() {
        let sequence = |id: &str| SequenceKey {
            direction: Direction::Send,
            cpa_id: CpaId::new("cpa").expect("valid"),
            conversation_id: crate::model::ConversationId::new(id).expect("valid"),
        };
        let mut walks = Walks::since(Timestamp::from_millis(1));
        let numbers = [false, true].map(|purges| {
            let candidates = BTreeMap::from([(sequence("1"), 1), (sequence("2"), 1)]);
            walks.keep(Walk { candidates, ..Walk::new(0, purges) })
        });
        walks.forgotten(&sequence("1"));
        for number in numbers {
            assert!(walks.waiting[&number].candidates.keys().eq([&sequence("2")]));
        }
    }
}
