//! Octets whose time is over go: decided by the core, archived and verified before, in small batches beside
//! everything else (P3; promises, 6).
//!
//! For each message: the archive of its evidence is written aside, synced, renamed, its directory synced; it
//! is read back from the disk and verified as anybody would; only then the core decides once more, and one
//! commit removes the octets and keeps the record. A crash in between leaves an archive too many, never an
//! octet too few, and nothing comes back: a payload file that no record names is swept at the next start.
//! After a restore the archive of a lost store may be there already: it stays beside the new one.
//!
//! Last in a round are conversations: those of which every message and delivery was found purged are
//! forgotten. What comes or goes in one meanwhile gives it another version, and it stays.

mod archive;
mod conversations;

pub(super) use conversations::Walks;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::acts::{act, reason};
use super::admin::json_response;
use super::driver::{compute, drive};
use super::heads;
use super::shared::{InForce, Shared, now};
use super::show::{Query, Unanswered};
use crate::engine::{Event, Hold, Holding, How, Reply, Told, is_over, needs_of_purge};
use crate::model::{
    Delivery, DeliveryId, EvidenceSubject, MessageId, MessageKey, PartyKey, SequenceKey, StoredMessage,
};
use crate::store::{Damage, DeliveryLocator, Needs, Store, StoreError};
use crate::telemetry::EventCode;
use crate::transport::{Request, Response, StatusCode};

/// Where a round goes on: first through messages, then through deliveries, then through conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Every message was looked at.
    #[serde(default)]
    deliveries: bool,
    /// And every delivery.
    #[serde(default)]
    conversations: bool,
    /// After this one.
    #[serde(default)]
    after: u64,
    /// Within a walk that is under way here. One that is not known any more begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walk: Option<u64>,
}

/// What is looked at.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// A message or delivery, for its octets.
    Subject(EvidenceSubject),
    /// A conversation, for how far it has come.
    Conversation(SequenceKey),
    /// A record of which cannot be read what it is: it stays.
    Damaged(String),
}

/// One of them, and what becomes of it.
#[derive(Clone, Debug, Serialize)]
struct Looked {
    #[serde(flatten)]
    what: What,
    /// It is to go, or went.
    over: bool,
    /// Why they stay.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    /// How many they are, of what goes.
    bytes: u64,
}

impl Looked {
    fn damaged(damage: Damage) -> Self {
        Self { what: What::Damaged(damage.what), over: false, why: damage.detail, bytes: 0 }
    }

    fn stays(&mut self, why: String) {
        (self.over, self.why) = (false, why);
    }
}

/// Some of them, and where the round goes on.
#[derive(Default)]
struct Page {
    looked: Vec<Looked>,
    next: Option<Place>,
    /// The gateway is being stopped: what would come next is not looked at.
    stopped: bool,
}

/// Purges round after round, until the gateway drains.
pub(super) async fn keep_purging(shared: Arc<Shared>) {
    let mut place = None;
    let mut next = Instant::now();
    while !*shared.draining.borrow() && !shared.has_failed() {
        let settings = shared.in_force.load().settings.retention.clone();
        if place.is_none() && Instant::now() >= next {
            place = settings.archive.is_some().then(Place::default);
            next = Instant::now() + settings.interval;
        }
        let began = Instant::now();
        if let Some(from) = place {
            let limit = if from.conversations { RECORDS } else { PAGE };
            place = match some(&shared, from, limit, true).await {
                Ok(page) => page.next,
                Err(why) => {
                    // The next round looks again.
                    error!(event = EventCode::PurgeFailed.code(), reason = %why, "a round of purging ended early");
                    None
                }
            };
        } else if let Err(why) = sweep(&shared).await {
            error!(event = EventCode::PurgeFailed.code(), reason = %why, "files that nothing names stay for now");
        }
        tokio::select! {
            () = sleep(rest(place, began.elapsed())) => {}
            () = shared.drain_begins() => {}
        }
    }
}

/// How long to rest after a look that took so long. Inside a round no longer than three times that: there is
/// a look for every few of millions of records, and no new round begins before the last of them. Inside a
/// walk no longer than that once: while it goes on, what comes in keeps conversations from being forgotten.
fn rest(next: Option<Place>, took: Duration) -> Duration {
    match next {
        Some(Place { walk: Some(_), .. }) => took.min(REST),
        Some(_) => took.saturating_mul(3).min(REST),
        None => REST,
    }
}

/// Looks at no more than so many records, and purges those whose time is over when it is to.
async fn some(shared: &Arc<Shared>, from: Place, limit: usize, purges: bool) -> Result<Page, Unanswered> {
    // Whoever waits looks after the other one is done.
    let _turn = if purges { Some(shared.purging.lock().await) } else { None };
    if from.conversations {
        return conversations::some(shared, from, limit, purges).await;
    }
    let stops = || *shared.draining.borrow();
    if stops() {
        return Ok(Page { stopped: true, ..Page::default() });
    }
    let listed = compute(shared, move |shared, in_force| look(shared, in_force, from, limit)).await;
    let mut page = listed.map_err(|error| Unanswered::Failed(error.to_string()))??;
    if purges && page.looked.iter().any(|looked| looked.over) {
        // What is said of the messages has to be signed before it is archived.
        let signed = compute(shared, |shared, _| heads::sign_all(shared)).await;
        let signed = signed.map_err(|error| Unanswered::Failed(error.to_string()))?;
        signed.map_err(|error| Unanswered::Failed(error.to_string()))?;
    }
    for looked in page.looked.iter_mut().filter(|looked| purges && looked.over) {
        let What::Subject(subject) = &looked.what else { continue };
        if stops() {
            looked.stays(STOPPED.to_owned());
            continue;
        }
        match purge(shared, subject).await {
            Ok(bytes) => looked.bytes = bytes,
            Err(why) => {
                error!(
                    event = EventCode::PurgeFailed.code(),
                    message_id = subject.message_id().as_str(),
                    partner = subject.party().as_str(),
                    reason = %why,
                    "octets whose time is over are kept"
                );
                looked.stays(why);
            }
        }
    }
    if purges {
        sweep(shared).await?;
    }
    Ok(page)
}

/// Removes files that lost their last record, or whose batch was refused.
async fn sweep(shared: &Arc<Shared>) -> Result<(), Unanswered> {
    let swept = compute(shared, |shared, _| shared.store.sweep()).await;
    let swept = swept.map_err(|error| Unanswered::Failed(error.to_string()))?;
    swept.map(drop).map_err(Unanswered::Unreadable)
}

fn look(shared: &Shared, in_force: &InForce, from: Place, limit: usize) -> Result<Page, Unanswered> {
    let at = now();
    let schedule = in_force.schedule.load();
    let context = in_force.context(schedule.rules(at));
    let store = &*shared.store;
    let mut last = None;
    let mut subjects = Vec::new();
    if from.deliveries {
        for (number, kept) in store.kept_deliveries(from.after, limit)? {
            last = Some(number);
            let found = listed_delivery(store, number, kept);
            subjects.push(found.map(|Delivery { id: delivery, destination, message_id, .. }| {
                EvidenceSubject::Sent { delivery, destination, message_id }
            }));
        }
    } else {
        for (number, kept) in store.kept_messages(from.after, limit)? {
            last = Some(number);
            let found = listed_message(store, number, kept);
            subjects.push(found.map(|record| EvidenceSubject::Received(record.key)));
        }
    }
    let next = match last {
        Some(after) => Place { after, ..from },
        None => Place { deliveries: true, conversations: from.deliveries, ..Place::default() },
    };
    let looked = subjects.into_iter().map(|subject| match subject {
        Ok(subject) => {
            let verdict = match store.load(&needs_of_purge(&subject)) {
                Ok(view) => is_over(at, &subject, &view, &context),
                Err(error) => Err(error.to_string()),
            };
            let over = verdict.is_ok();
            Looked { what: What::Subject(subject), over, why: verdict.err().unwrap_or_default(), bytes: 0 }
        }
        Err(damage) => Looked::damaged(damage),
    });
    Ok(Page { looked: looked.collect(), next: Some(next), stopped: false })
}

/// The message that is listed under a number.
fn listed_message(
    store: &dyn Store,
    number: u64,
    key: Result<MessageKey, Damage>,
) -> Result<StoredMessage, Damage> {
    let needs = Needs { message: Some(key?), without_answer: true, ..Needs::default() };
    let found = store.load(&needs).map(|view| view.message.map(|known| known.record));
    listed("message", number, found)
}

/// The delivery that is listed under a number.
fn listed_delivery(
    store: &dyn Store,
    number: u64,
    id: Result<DeliveryId, Damage>,
) -> Result<Delivery, Damage> {
    let needs = Needs { delivery: Some(DeliveryLocator::Id(id?)), ..Needs::default() };
    let found = store.load(&needs).map(|view| view.delivery.map(|stored| stored.value));
    listed("delivery", number, found)
}

/// One that cannot be read for any reason is kept like a damaged one, and those behind it are looked at. None
/// is ever deleted: where nothing is found by the key that is listed, that key is another than was written.
fn listed<T>(kind: &str, number: u64, found: Result<Option<T>, StoreError>) -> Result<T, Damage> {
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(not_found(kind, number)),
        Err(StoreError::Damaged(damage)) => Err(damage),
        Err(error) => Err(Damage { what: format!("{kind} {number}"), detail: error.to_string() }),
    }
}

fn not_found(kind: &str, number: u64) -> Damage {
    Damage { what: format!("{kind} {number}"), detail: "nothing is found by its key".to_owned() }
}

/// Archives a message, verifies the archive, and has the core purge it; gives the octets that it freed.
async fn purge(shared: &Arc<Shared>, subject: &EvidenceSubject) -> Result<u64, String> {
    let archived = {
        let subject = subject.clone();
        compute(shared, move |shared, in_force| archive::archive(shared, in_force, &subject)).await
    };
    let (archive, bytes) = archived.map_err(|error| error.to_string())??;
    let event = Event::Purged { subject: subject.clone(), archive, bytes };
    match drive(shared, event).await.map(|released| released.reply) {
        Ok(Some(Reply::Told(Told { how: How::Done, .. }))) => {
            info!(bytes, archive = %archive, "octets were purged");
            Ok(bytes)
        }
        Ok(Some(Reply::Told(Told { text, .. }))) => Err(text),
        Ok(_) => Err("nothing was decided".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// `GET /store/purge?deliveries=…&conversations=…&after=…&walk=…&limit=…`: what would go and why the rest is
/// kept; `POST` purges. One answer looks at no more than `limit` records; only one that a stop cuts short
/// tells more, the conversations that its walk was for.
pub(super) async fn answer(shared: &Arc<Shared>, request: &Request, purges: bool) -> Response {
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let asked = (|| {
        let deliveries = query.flag("deliveries")?.unwrap_or(false);
        let conversations = query.flag("conversations")?.unwrap_or(false);
        let after = query.number("after")?.unwrap_or_default();
        let walk = query.number("walk")?;
        Ok((Place { deliveries, conversations, after, walk }, query.limit()?))
    })();
    let asked = asked.and_then(|asked| query.finish().map(|()| asked));
    let (place, limit) = match asked {
        Ok((place, limit)) if purges && !place.conversations => (place, limit.min(PAGE)),
        Ok(asked) => asked,
        Err(why) => return told(StatusCode::BAD_REQUEST, &why),
    };
    if purges && shared.in_force.load().settings.retention.archive.is_none() {
        let why =
            Unanswered::Wrong("[retention] archive is not set: nothing is purged without it".to_owned());
        return told(StatusCode::CONFLICT, &why);
    }
    // Whoever asked may be gone before it is done: it is done all the same, and nothing else is purged
    // meanwhile.
    let looking = {
        let shared = Arc::clone(shared);
        tokio::spawn(async move { some(&shared, place, limit, purges).await })
    };
    let looked = looking.await.unwrap_or_else(|fault| Err(Unanswered::Failed(fault.to_string())));
    match looked {
        Ok(Page { looked, next, stopped }) => {
            json_response(StatusCode::OK, &json!({ "looked": looked, "next": next, "stopped": stopped }))
        }
        Err(why) => told(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

fn told(status: StatusCode, why: &Unanswered) -> Response {
    json_response(status, &json!({ "error": why.to_string() }))
}

/// `POST /holds?case=KEY|sender=…&message_id=…|delivery=ID&lift=…&reason=…`.
pub(super) async fn hold(shared: &Arc<Shared>, request: &Request) -> Response {
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let read = (|| {
        let held = if query.flag("lift")?.unwrap_or(false) { Hold::Lifted } else { Hold::Set };
        let case: Option<String> = query.take("case")?;
        let sender: Option<PartyKey> = query.take("sender")?;
        let message_id: Option<MessageId> = query.take("message_id")?;
        let delivery: Option<DeliveryId> = query.take("delivery")?;
        let realm = query.realm()?;
        Ok((held, case, sender.zip(message_id), delivery, realm, reason(&mut query)?))
    })();
    let read = read.and_then(|read| query.finish().map(|()| read));
    let (held, case, message, delivery, realm, reason) = match read {
        Ok(read) => read,
        Err(why) => return told(StatusCode::BAD_REQUEST, &why),
    };
    let on = match (case, message, delivery) {
        (Some(key), None, None) => {
            let found = compute(shared, move |shared, _| super::show::case(shared, realm, &key)).await;
            match found {
                Ok(Ok(stored)) => Holding::Case(stored.value.id),
                Ok(Err(why)) => return told(StatusCode::NOT_FOUND, &why),
                Err(error) => {
                    return told(StatusCode::SERVICE_UNAVAILABLE, &Unanswered::Failed(error.to_string()));
                }
            }
        }
        (None, None, Some(delivery)) => Holding::Delivery(delivery),
        (None, Some((sender, message_id)), None) => Holding::Message(MessageKey { sender, message_id }),
        _ => {
            let why = "name a case, a message by sender and message_id, or a delivery".to_owned();
            return told(StatusCode::BAD_REQUEST, &Unanswered::Wrong(why));
        }
    };
    let by = request.peer.to_string().into();
    act(shared, Event::Holding { on, held, by, reason }).await
}

/// Messages in one look; between two looks everybody else goes on.
const PAGE: usize = 32;
/// And records, where nothing is archived.
const RECORDS: usize = 4096;
/// Why what could have gone stays in a stop.
const STOPPED: &str = "the gateway is being stopped";
/// How long a round rests between two looks at most, and between two rounds.
const REST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_rests_in_proportion_to_its_looks() {
        let at = |walk| Some(Place { conversations: true, walk, ..Place::default() });
        let short = Duration::from_millis(7);
        for (next, took, rests) in [
            (at(Some(1)), short, short),
            (at(Some(1)), REST * 2, REST),
            (at(None), short, short * 3),
            (Some(Place::default()), short, short * 3),
            (Some(Place::default()), REST, REST),
            (None, short, REST),
        ] {
            assert_eq!(rest(next, took), rests, "{next:?} {took:?}");
        }
    }
}
