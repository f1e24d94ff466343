//! Conversations of which everything was purged are forgotten.
//!
//! Promises: the records are walked a few at a time, once for thousands of conversations; a record that cannot be read
//! keeps all of them, as it may be of any (one whose very key cannot be read is not listed: the scrub finds it); and what
//! has changed since its version was read is not forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// Looks at some conversations, and forgets those of which everything was purged when it is to.
pub(super) async fn some(shared: &Arc<Shared>, from: Place, purges: bool) -> Result<Page, Unanswered> {
    let failed = |error: crate::gateway::driver::DriveError| Unanswered::Failed(error.to_string());
    let found = compute(shared, move |shared, _| candidates(shared, from)).await;
    let (mut page, mut candidates) = found.map_err(failed)??;
    let mut walk = Walk::default();
    while !candidates.is_empty() && !walk.ended {
        if *shared.draining.borrow() {
            // A stop is no failure: they are looked at again after the next start.
            candidates.clear();
            break;
        }
        let walked = compute(shared, move |shared, in_force| walk.on(shared, in_force)).await;
        let (next, kept) = walked.map_err(failed)??;
        walk = next;
        for Kept { what, by } in kept {
            let keys = what.map_or_else(|| candidates.keys().cloned().collect(), |key| vec![key]);
            for key in keys.into_iter().filter(|key| candidates.remove(key).is_some()) {
                page.looked.push(Looked::conversation(key, Err(by.clone())));
            }
        }
    }
    for (sequence, version) in candidates {
        let what = sequence.clone();
        let forgotten = match purges {
            true => forget(shared, Event::Forgotten { sequence, version }).await,
            false => Ok(()),
        };
        page.looked.push(Looked::conversation(what, forgotten));
    }
    Ok(page)
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

/// Some conversations: those that wait for something, with why, and those that do not.
fn candidates(shared: &Shared, from: Place) -> Result<(Page, Candidates), Unanswered> {
    let listed = shared.store.kept_sequences(from.after, CONVERSATIONS)?;
    let next = listed.last().map(|(number, _)| Place { after: *number, ..from });
    let mut page = Page { looked: Vec::new(), next };
    let mut candidates = Candidates::new();
    for (_, key) in listed {
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
        page.looked.push(Looked::conversation(key, Err(why)));
    }
    Ok((page, candidates))
}

/// What is known on, and why.
struct Kept {
    /// Every one, where it cannot be read which.
    what: Option<SequenceKey>,
    by: String,
}

/// Through everything that is kept: messages, then deliveries.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    deliveries: bool,
    after: u64,
    ended: bool,
}

impl Walk {
    /// A few records further, with what each of them keeps known.
    fn on(self, shared: &Shared, in_force: &InForce) -> Result<(Self, Vec<Kept>), Unanswered> {
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
            for (number, id) in store.kept_deliveries(self.after, RECORDS)? {
                last = Some(number);
                read.push(of_delivery(id));
            }
        } else {
            for (number, message) in store.kept_messages(self.after, RECORDS)? {
                last = Some(number);
                read.push(of_message(message));
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
