//! How long a start takes with many deliveries pending, and whether a store that is full of finished messages is slower
//! than a small one (P14): `make bench-restart` prints it at full size, the plain run holds a small store to the same.
//!
//! The records are those of a lodging that the gateway took, written again under other names by the real store; some of the
//! finished ones as they are when their octets have been purged.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use gwanmun::model::{
    Delivery, DeliveryId, DeliveryState, Digest, MessageId, Octets, PartSource, Purged, StoredMessage,
    TimelineEntry,
};
use gwanmun::store::{
    Batch, CommitError, DeliveryFilter, DeliveryWrite, MessageFilter, Needs, NewMessage, SqliteStore, Store,
    StoreOptions,
};

use tokio::time::Instant;

use crate::correspondent::{Correspondent, Told};
use crate::large::memory_mib;
use crate::process::until;
use crate::world::World;

/// Deliveries that are pending at the start, and messages that are finished, in a plain run; of these so many are purged.
const PENDING: u64 = 2_000;
const FINISHED: u64 = 2_000;
const PURGED: u64 = 500;
/// Finished messages of the store that the full one is compared with.
const SMALL: u64 = 500;
/// With so many deliveries goes one received message.
const DELIVERIES: u64 = 20;
/// Batches under way at once.
const UNDER_WAY: usize = 128;
/// What is asked of a start with a million pending (P14); no less is timed, on machines that do something else meanwhile.
const FULL: u64 = 1_000_000;
const SERVES_WITHIN: Duration = Duration::from_secs(10);
const SENDS_WITHIN: Duration = Duration::from_secs(30);
/// Nothing in memory grows with the queue.
const MEMORY_MIB_MAX: u64 = 192;
/// Acceptances and look-ups that are timed.
const TIMED: u32 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_many_pending_serves_soon_and_sends_soon_p14() {
    let count = |variable: &str, plain| {
        std::env::var(variable).map_or(plain, |text| text.parse::<u64>().expect("a number"))
    };
    let (pending, finished) = (count("PENDING", PENDING), count("FINISHED", FINISHED));
    let (small, purged) = (count("SMALL", SMALL), count("PURGED", PURGED));
    let world = World::new();
    let broker = Correspondent::new(&world, "broker");
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    let mut gateway = world.serve().await;
    let lodging = world.lodging(1);
    let message = broker.message("GOVCBR929", &lodging.declaration, lodging.payloads);
    assert_eq!(broker.ask(&broker.sealed(&message)).await, Told::Acknowledged);
    gateway.kill();

    let mut written = Written::default();
    written.write(&store, small, &Standing::finished());
    let mut gateway = world.serve().await;
    let before = timed(&world, &broker, 100).await;
    gateway.kill();
    written.write(&store, finished.saturating_sub(small + purged), &Standing::finished());
    written.write(&store, purged, &Standing::purged());
    let mut gateway = world.serve().await;
    let after = timed(&world, &broker, 200).await;
    gateway.kill();
    let ratio = |after: Duration, before: Duration| after.as_secs_f64() / before.as_secs_f64();
    println!(
        "{finished} finished messages, {purged} of them purged, against {small}: acceptance {:.1} ms / {:.1} ms = {:.2}, look-up {:.1} ms / {:.1} ms = {:.2}",
        millis(after.0),
        millis(before.0),
        ratio(after.0, before.0),
        millis(after.1),
        millis(before.1),
        ratio(after.1, before.1),
    );

    written.write(&store, pending, &Standing::pending());
    let _customs = world.play("customs", &[]).await;
    let began = Instant::now();
    let gateway = world.serve().await;
    let serves = began.elapsed();
    until("customs gets the first of them", async || (!world.received("customs").is_empty()).then_some(()))
        .await;
    let sends = began.elapsed();
    until("customs gets more of them", async || (world.received("customs").len() > 50).then_some(())).await;
    let memory = memory_mib(&gateway);
    println!(
        "{pending} pending: serves after {:.1} s, first retry after {:.1} s, memory {memory} MiB at most",
        serves.as_secs_f64(),
        sends.as_secs_f64()
    );
    if pending >= FULL {
        assert!(serves < SERVES_WITHIN && sends < SENDS_WITHIN, "P14: {serves:?}, {sends:?}");
    }
    assert!(memory < MEMORY_MIB_MAX, "P13: {memory} MiB");
}

/// Median times of an acceptance and of a look-up.
async fn timed(world: &World, broker: &Correspondent, serials: u32) -> (Duration, Duration) {
    let (mut accepted, mut found) = (Vec::new(), Vec::new());
    for serial in serials..serials + TIMED {
        let lodging = world.lodging(serial);
        let sealed = broker.sealed(&broker.message("GOVCBR929", &lodging.declaration, lodging.payloads));
        let began = Instant::now();
        assert_eq!(broker.ask(&sealed).await, Told::Acknowledged);
        accepted.push(began.elapsed());
        let began = Instant::now();
        world.ask(&format!("/cases/{}", lodging.declaration)).await;
        found.push(began.elapsed());
    }
    (median(accepted), median(found))
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How far a message and its delivery have come.
pub(crate) struct Standing {
    state: DeliveryState,
    purged: Option<Purged>,
}

impl Standing {
    pub(crate) const fn pending() -> Self {
        Self { state: DeliveryState::Pending, purged: None }
    }

    const fn finished() -> Self {
        Self { state: DeliveryState::Delivered, purged: None }
    }

    fn purged() -> Self {
        let purged = Purged {
            at: "2026-12-01T00:00:00Z".parse().expect("a time"),
            archive: Digest([7; 32]),
            bytes: 20_000,
        };
        Self { purged: Some(purged), ..Self::finished() }
    }
}

/// What has been written beside what the gateway took.
#[derive(Default)]
pub(crate) struct Written(u64);

impl Written {
    /// Writes so many deliveries to customs, with messages that they come from.
    pub(crate) fn write(&mut self, place: &Path, count: u64, standing: &Standing) {
        let store = SqliteStore::open(StoreOptions::at(place)).expect("it opens");
        let (message, delivery, entries) = original(&store);
        let mut under_way = VecDeque::new();
        let mut left = count;
        while left > 0 {
            // A finished message has one delivery, so that there are as many of both.
            let of_message = if standing.state.is_terminal() { 1 } else { DELIVERIES.min(left) };
            let batch = renamed(&message, &delivery, &entries, (self.0, of_message), standing);
            self.0 += of_message;
            left -= of_message;
            let (tell, told) = sync_channel(1);
            store.commit(batch, Box::new(move |done| tell.send(done.map(drop)).expect("it is waited for")));
            under_way.push_back(told);
            if under_way.len() == UNDER_WAY {
                committed(under_way.pop_front());
            }
            if left % 100_000 < of_message && count >= 100_000 {
                println!("{} of {count} deliveries are {}", count - left, standing.state.as_str());
            }
        }
        under_way.into_iter().map(Some).for_each(committed);
    }
}

fn committed(told: Option<Receiver<Result<(), CommitError>>>) {
    assert_eq!(told.expect("one is under way").recv(), Ok(Ok(())));
}

/// The lodging that the gateway took, what it owes customs, and what the record has of that delivery's begin.
fn original(store: &SqliteStore) -> (NewMessage, Delivery, Vec<TimelineEntry>) {
    let record = store.messages(&MessageFilter::default(), usize::MAX).expect("readable").items;
    let record = record.into_iter().next_back().expect("the first that came");
    let body = store.body(&record.key).expect("readable").expect("is there").body;
    let needs = Needs { message: Some(record.key.clone()), ..Needs::default() };
    let response = store.load(&needs).expect("readable").message.and_then(|known| known.response);
    let deliveries = store.deliveries(&DeliveryFilter::default(), 10).expect("readable").items;
    let delivery = deliveries.into_iter().find(|it| &*it.action == "GOVCBR929").expect("customs is owed it");
    let entries = store.audit(1, 50).expect("readable").items.into_iter().map(|entry| entry.entry);
    let entries = entries.filter(|entry| entry.delivery.as_ref() == Some(&delivery.id)).take(1).collect();
    (NewMessage { record: StoredMessage { case: None, ..record }, body, response }, delivery, entries)
}

/// The same under other names: a message, and so many deliveries that carry parts of it.
fn renamed(
    message: &NewMessage,
    delivery: &Delivery,
    entries: &[TimelineEntry],
    (from, count): (u64, u64),
    Standing { state, purged }: &Standing,
) -> Batch {
    let mut message = message.clone();
    if purged.is_some() {
        (message.body, message.response) = (Octets::default(), None);
    }
    message.record.purged.clone_from(purged);
    message.record.key.message_id = MessageId::new(format!("{from}@bench.example")).expect("a MessageId");
    let key = message.record.key.clone();
    let mut batch = Batch { message: Some(message), ..Batch::default() };
    for number in from..from + count {
        let mut delivery = Delivery {
            id: DeliveryId::new(format!("bench-{number}")).expect("a name"),
            message_id: MessageId::new(format!("out-{number}@bench.example")).expect("a MessageId"),
            case: None,
            state: *state,
            purged: purged.clone(),
            attempts: 0,
            sealed: false,
            ..delivery.clone()
        };
        for part in &mut delivery.parts {
            if let PartSource::Received { message, .. } = &mut part.source {
                message.clone_from(&key);
            }
        }
        let about = |entry: &TimelineEntry| TimelineEntry {
            delivery: Some(delivery.id.clone()),
            case: None,
            ..entry.clone()
        };
        batch.audit.extend(entries.iter().map(about));
        batch.deliveries.push(DeliveryWrite { delivery, based_on: None, sealed: None, receipt: None });
    }
    batch
}
