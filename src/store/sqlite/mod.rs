//! The home of one node: SQLite with a write-ahead log, synced at every commit, which concurrent batches share.
//!
//! Readable by any SQLite tool while it runs. On a local file system only. A store of an earlier format is upgraded
//! in one transaction when it is opened (P19).

mod backup;
mod beside;
mod chain;
mod columns;
mod due;
mod group;
mod inspection;
mod listing;
mod looks;
mod mark;
mod opening;
mod proofs;
mod readers;
mod schema;
mod scrub;
mod told;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use serde::Deserialize;

use crate::model::{
    Case, CaseId, CaseSummary, ChainEntry, Delivery, DeliveryId, KeptHead, MessageId, MessageKey, PartyKey,
    Realm, Sealed, Sequence, SequenceKey, StoredMessage, Timestamp,
};

use super::audit::Link;
use super::lookup::{self, Rows};
use super::payload::Blob;
use super::prepare::Prepared;
use super::{
    AuditEntry, AuditVerdict, Batch, Between, CaseFilter, CommitError, Conservation, CorrelationKey, Damage,
    DeliveryFilter, DeliveryLocator, Done, DueApproval, DueCase, DueDelivery, DueSequence, Entity, Health,
    Listing, Looked, MessageFilter, Needs, Opened, Queue, Stats, Store, StoreError, Versioned, View, Walked,
};

pub use backup::Manifest;
pub use inspection::{Contents, Inspection};
use looks::Looks;
use mark::Mark;
use opening::{audit_head, check_library, connect};
use readers::Readers;
use schema::{Layout, Lock};
use scrub::Found;
use writer::{FileWriter, Job, Place, Shared, Turn, Work, Writer, free_bytes};

/// Where the store is and what its limits are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreOptions {
    /// Its directory, on a local file system. Made when it is missing or empty.
    pub directory: PathBuf,
    /// Batches that may wait for the writing thread; one more is turned away as `Full`.
    #[serde(default = "StoreOptions::waiting_batches_max")]
    pub waiting_batches_max: usize,
    /// Octets of bodies that may wait for it; a batch beyond is turned away as `Full`.
    #[serde(default = "StoreOptions::waiting_bytes_max")]
    pub waiting_bytes_max: usize,
    /// Batches that share a commit at most.
    #[serde(default = "StoreOptions::group_batches_max")]
    pub group_batches_max: usize,
    /// Octets of bodies after which a commit takes in no further batch.
    #[serde(default = "StoreOptions::group_bytes_max")]
    pub group_bytes_max: usize,
    /// Free octets on the disk below which new messages are turned away as `Full` (P11).
    #[serde(default = "StoreOptions::free_bytes_min")]
    pub free_bytes_min: u64,
    /// Pages of 8 KB in the write-ahead log after which it is copied into the database.
    #[serde(default = "StoreOptions::log_pages_max")]
    pub log_pages_max: i64,
}

impl StoreOptions {
    /// The defaults, in this directory.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            waiting_batches_max: Self::waiting_batches_max(),
            waiting_bytes_max: Self::waiting_bytes_max(),
            group_batches_max: Self::group_batches_max(),
            group_bytes_max: Self::group_bytes_max(),
            free_bytes_min: Self::free_bytes_min(),
            log_pages_max: Self::log_pages_max(),
        }
    }

    const fn waiting_batches_max() -> usize {
        1024
    }

    const fn waiting_bytes_max() -> usize {
        64 << 20
    }

    const fn group_batches_max() -> usize {
        256
    }

    const fn group_bytes_max() -> usize {
        4 << 20
    }

    const fn free_bytes_min() -> u64 {
        256 << 20
    }

    const fn log_pages_max() -> i64 {
        8000
    }
}

/// The home of one node.
pub struct SqliteStore {
    upgraded_from: Option<u32>,
    layout: Layout,
    options: StoreOptions,
    shared: Arc<Shared>,
    readers: Readers,
    /// Deliveries that could not be read: they are left out of what is due, so that others flow (P12).
    unreadable: Mutex<BTreeSet<DeliveryId>>,
    channels: Option<Channels>,
    threads: Vec<JoinHandle<()>>,
    _lock: Lock,
}

struct Channels {
    batches: SyncSender<Turn>,
    large: SyncSender<Work>,
}

impl SqliteStore {
    /// Opens the store, or makes one where there is nothing; reads back what must hold and sets orphans aside.
    ///
    /// # Errors
    /// When it is in use, of a newer version, no store, has lost committed entries, or the disk fails.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_tuned(options, |_| Ok(()))
    }

    fn open_tuned(
        options: StoreOptions,
        tune: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self, StoreError> {
        check_library(rusqlite::version_number(), rusqlite::version())?;
        let layout = Layout { directory: options.directory.clone() };
        if layout.is_vacant()? {
            layout.make()?;
        }
        let format = layout.check_format()?;
        let lock = layout.lock()?;
        let mut mark = Mark::open(&layout.mark())?;
        opening::check_length(&layout, mark.database_bytes())?;
        opening::settle_log(&layout)?;
        let connection = connect(&layout)?;
        let upgraded_from = schema::upgrade(&connection)?;
        tune(&connection).map_err(engine_error("opening the database"))?;
        let head = audit_head(&connection, mark.head())?;
        layout.keep_name_of_log()?;
        if format < schema::FORMAT {
            opening::keep_format(&connection, &mut mark, &layout)?;
        }
        let readers = Readers::of(&layout);
        if let Some(_held) = layout.lock_to_sweep()? {
            readers.read(|reading| layout.bodies().sweep(|digest| reading.is_named(digest)))?;
        }
        let shared = Arc::new(Shared::default());
        let (batches, jobs) = sync_channel(options.waiting_batches_max);
        let (large, large_jobs) = sync_channel(options.waiting_batches_max);
        let files = FileWriter {
            bodies: layout.bodies(),
            readers: Readers::of(&layout),
            next: batches.clone(),
            shared: shared.clone(),
        };
        let writer = Writer {
            connection,
            head,
            mark,
            layout: layout.clone(),
            options: options.clone(),
            shared: shared.clone(),
        };
        let threads = vec![
            spawn("store-files", move || files.run(&large_jobs))?,
            spawn("store-writer", move || writer.run(&jobs))?,
        ];
        let channels = Some(Channels { batches, large });
        let unreadable = Mutex::default();
        Ok(Self {
            upgraded_from,
            layout,
            options,
            shared,
            readers,
            unreadable,
            channels,
            threads,
            _lock: lock,
        })
    }

    /// The format that it had, when this opening upgraded it (P19).
    #[must_use]
    pub const fn upgraded_from(&self) -> Option<u32> {
        self.upgraded_from
    }

    /// Counts damage, and leaves a delivery that cannot be read itself out of what is due from now on.
    fn notice<T>(
        &self,
        outcome: Result<T, StoreError>,
        delivery: Option<&DeliveryLocator>,
    ) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(damage)) = &outcome {
            self.shared.damaged.fetch_add(1, Ordering::Relaxed);
            if let Some(DeliveryLocator::Id(id)) = delivery
                && damage.is_of_delivery(id)
            {
                self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
            }
        }
        outcome
    }

    /// Files that a batch brought along, and that nothing names because it was refused, are free to be swept.
    fn freeing(&self, batch: &Prepared, done: Done) -> Done {
        let files: Vec<_> = batch.filed().flat_map(Blob::named).collect();
        if files.is_empty() {
            return done;
        }
        let shared = Arc::clone(&self.shared);
        Box::new(move |outcome| {
            let refused = [CommitError::Full, CommitError::Duplicate];
            let is_refused =
                |error: &CommitError| refused.contains(error) || matches!(error, CommitError::Conflict(_));
            if outcome.as_ref().is_err_and(is_refused) {
                shared.free(files);
            }
            done(outcome);
        })
    }

    /// What a scrub found, and what is wrong beside the database. Files that were set aside go once every record was read, none
    /// is damaged, and none names them.
    fn scrubbed(&self, found: Found) -> Result<Vec<Damage>, StoreError> {
        let Found { mut damage, orphans } = found;
        // None goes while a backup copies.
        let held = if damage.is_empty() && !orphans.is_empty() { self.layout.lock_to_sweep()? } else { None };
        if held.is_some() {
            let bodies = self.layout.bodies();
            orphans.iter().try_for_each(|orphan| bodies.remove_orphan(orphan))?;
        }
        damage.extend(beside::damaged(&self.layout.directory));
        Ok(damage)
    }

    fn unreadable(&self) -> BTreeSet<DeliveryId> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SqliteStore {
    /// Commits what waits, then closes.
    fn drop(&mut self) {
        self.channels = None;
        // A `done` may hold the last handle to the store: its thread ends by itself and cannot wait for itself.
        let others = self.threads.drain(..).filter(|thread| thread.thread().id() != thread::current().id());
        // A thread that panicked has answered `Unknown` for what it held; there is nothing left to tell.
        others.for_each(|thread| drop(thread.join()));
    }
}

impl Store for SqliteStore {
    fn load(&self, needs: &Needs) -> Result<View, StoreError> {
        let view = self.readers.read(|reading| lookup::load(reading, needs));
        self.notice(view, needs.delivery.as_ref())
    }

    fn commit(&self, batch: Batch, done: Done) {
        if let Some(refusal) = self.shared.refusal() {
            return done(Err(refusal));
        }
        let batch = Prepared::of(batch);
        // What is decided about a delivery that could not be read lets it be tried again.
        {
            let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
            for delivery in &batch.deliveries {
                unreadable.remove(&delivery.write.delivery.id);
            }
        }
        let done = self.freeing(&batch, done);
        let Some(place) = Place::take(&self.shared, batch.bytes, self.options.waiting_bytes_max) else {
            self.shared.count(|stats| stats.full += 1);
            return done(Err(CommitError::Full));
        };
        let job = Job::new(batch, done, place);
        let Some(channels) = &self.channels else { return };
        let refused = if job.batch.filed().next().is_some() {
            channels.large.try_send(Work::Batch(job)).map_err(|refused| match refused {
                TrySendError::Full(work) => (work.into_job(), true),
                TrySendError::Disconnected(work) => (work.into_job(), false),
            })
        } else {
            channels.batches.try_send(Turn::Batch(job)).map_err(|refused| match refused {
                TrySendError::Full(turn) => (turn.into_job(), true),
                TrySendError::Disconnected(turn) => (turn.into_job(), false),
            })
        };
        match refused {
            Ok(()) | Err((None, _)) => {}
            Err((Some(job), true)) => {
                self.shared.count(|stats| stats.full += 1);
                job.answer(Err(CommitError::Full));
            }
            Err((Some(job), false)) => {
                job.answer(Err(self.shared.fail("a thread of the store has ended".to_owned())));
            }
        }
    }

    fn due(
        &self,
        destination: &PartyKey,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let unreadable = self.unreadable();
        let found =
            self.readers.read(|reading| due::due(reading, destination, now, limit + unreadable.len()))?;
        Ok(found.into_iter().filter(|due| !unreadable.contains(&due.id)).take(limit).collect())
    }

    fn stalled(
        &self,
        destination: &PartyKey,
        beyond: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let unreadable = self.unreadable();
        let found = self
            .readers
            .read(|reading| due::stalled(reading, destination, beyond, limit + unreadable.len()))?;
        Ok(found.into_iter().filter(|due| !unreadable.contains(&due.id)).take(limit).collect())
    }

    fn next_due(&self, destination: &PartyKey) -> Result<Option<Timestamp>, StoreError> {
        let unreadable = self.unreadable();
        let ever = Timestamp::from_millis(i64::MAX);
        let found =
            self.readers.read(|reading| due::due(reading, destination, ever, 1 + unreadable.len()))?;
        Ok(found.into_iter().find(|due| !unreadable.contains(&due.id)).map(|due| due.due))
    }

    fn scheduled_cases(&self, limit: usize) -> Result<Vec<DueCase>, StoreError> {
        self.readers.read(|reading| due::scheduled_cases(reading, limit))
    }

    fn scheduled_payments(&self, limit: usize) -> Result<Vec<DueCase>, StoreError> {
        self.readers.read(|reading| due::scheduled_payments(reading, limit))
    }

    fn stalled_payments(&self, beyond: Timestamp, limit: usize) -> Result<Vec<DueCase>, StoreError> {
        self.readers.read(|reading| due::stalled_payments(reading, beyond, limit))
    }

    fn scheduled_approvals(&self, limit: usize) -> Result<Vec<DueApproval>, StoreError> {
        self.readers.read(|reading| due::scheduled_approvals(reading, limit))
    }

    fn scheduled_sequences(&self, limit: usize) -> Result<Vec<DueSequence>, StoreError> {
        self.readers.read(|reading| due::scheduled_sequences(reading, limit))
    }

    fn kept_sequences(&self, after: u64, limit: usize) -> Result<Vec<Walked<SequenceKey>>, StoreError> {
        self.readers.read(|reading| listing::kept_sequences(reading, after, limit))
    }

    fn sequences(&self, early: bool, limit: usize) -> Result<Listing<Sequence>, StoreError> {
        self.readers.read(|reading| listing::sequences(reading, early, limit))
    }

    fn cases(&self, filter: &CaseFilter, limit: usize) -> Result<Listing<CaseSummary>, StoreError> {
        listing::cases(&self.readers, filter, limit)
    }

    fn case(&self, realm: Realm, key: &CorrelationKey) -> Result<Option<Versioned<Case>>, StoreError> {
        let case = self.readers.read(|reading| lookup::case(reading, realm, key));
        self.notice(case, None)
    }

    fn named_cases(&self, realm: Realm, text: &str, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        self.readers.read(|reading| listing::named_cases(reading, realm, text, limit))
    }

    fn each_case(&self, opened: &Opened, visit: &mut dyn FnMut(Case)) -> Result<(), StoreError> {
        listing::each_case(&self.readers, opened, visit)
    }

    fn timeline(&self, case: &CaseId) -> Result<Listing<AuditEntry>, StoreError> {
        self.readers.read(|reading| chain::timeline(reading, case))
    }

    fn audit(&self, first: u64, limit: usize) -> Result<Listing<AuditEntry>, StoreError> {
        self.readers.read(|reading| chain::audit(reading, first, limit))
    }

    fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let marked = Mark::open(&self.layout.mark())?.head();
        proofs::verify_audit(Looks::of(&self.readers, &mut on), marked)
    }

    fn chain(&self, first: u64, limit: usize) -> Result<Vec<ChainEntry>, StoreError> {
        let links = self.readers.read(|reading| chain::links(reading, first, limit))?;
        Ok(links.into_iter().map(Link::into_kept).collect())
    }

    fn entries_about(
        &self,
        case: Option<&CaseId>,
        message_id: &MessageId,
    ) -> Result<Vec<ChainEntry>, StoreError> {
        let links = self.readers.read(|reading| chain::links_about(reading, case, message_id))?;
        Ok(links.into_iter().map(Link::into_kept).collect())
    }

    fn last_of_event(&self, event: &str, up_to: u64) -> Result<Option<ChainEntry>, StoreError> {
        let link = self.readers.read(|reading| chain::last_of_event(reading, event, up_to))?;
        Ok(link.map(Link::into_kept))
    }

    fn receipt(&self, id: &DeliveryId) -> Result<Option<Sealed>, StoreError> {
        let receipt = self.readers.read(|reading| readers::receipt(reading, id));
        self.notice(receipt, None)
    }

    fn head_before(&self, entries: u64) -> Result<Option<KeptHead>, StoreError> {
        self.readers.read(|reading| chain::head_before(reading, entries))
    }

    fn audit_height(&self) -> Result<u64, StoreError> {
        self.readers.read(chain::audit_height)
    }

    fn heads(&self, beyond: u64, limit: usize) -> Result<Vec<KeptHead>, StoreError> {
        let heads = self.readers.read(|reading| chain::heads(reading, beyond, limit));
        self.notice(heads, None)
    }

    fn messages(&self, filter: &MessageFilter, limit: usize) -> Result<Listing<StoredMessage>, StoreError> {
        self.readers.read(|reading| listing::messages(reading, filter, limit))
    }

    fn kept_messages(&self, after: u64, limit: usize) -> Result<Vec<Walked<MessageKey>>, StoreError> {
        self.readers.read(|reading| listing::kept_messages(reading, after, limit))
    }

    fn kept_deliveries(&self, after: u64, limit: usize) -> Result<Vec<Walked<DeliveryId>>, StoreError> {
        self.readers.read(|reading| listing::kept_deliveries(reading, after, limit))
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        if !self.shared.has_freed() {
            return Ok(0);
        }
        // What is freed while a backup copies is swept another time.
        let Some(_held) = self.layout.lock_to_sweep()? else { return Ok(0) };
        let freed = self.shared.take_freed();
        let Some(channels) = self.channels.as_ref().filter(|_| !freed.is_empty()) else { return Ok(0) };
        let (tell, told) = sync_channel(1);
        let gone = |_| StoreError::Engine {
            doing: "sweeping",
            reason: "a thread of the store has ended".to_owned(),
        };
        channels.large.send(Work::Sweep(freed, tell)).map_err(|_| gone(()))?;
        told.recv().map_err(|_| gone(()))?
    }

    fn body(&self, key: &MessageKey) -> Result<Option<Entity>, StoreError> {
        let body = self.readers.read(|reading| reading.body(key));
        self.notice(body, None)
    }

    fn deliveries(&self, filter: &DeliveryFilter, limit: usize) -> Result<Listing<Delivery>, StoreError> {
        self.readers.read(|reading| listing::deliveries(reading, filter, limit))
    }

    fn queues(&self) -> Result<BTreeMap<PartyKey, Queue>, StoreError> {
        self.readers.read(due::queues)
    }

    fn conservation(&self) -> Result<Conservation, StoreError> {
        proofs::conservation(Looks::of(&self.readers, &mut on))
    }

    fn scrub(&self) -> Result<Vec<Damage>, StoreError> {
        let bodies = self.layout.bodies();
        self.scrubbed(scrub::scrub(&self.readers, Looks::of(&self.readers, &mut on), &bodies)?)
    }

    fn scrub_slowly(&self, between: Between<'_>) -> Result<Vec<Damage>, StoreError> {
        let looks = Looks::of(&self.readers, between).of_rows(SLOW_ROWS);
        self.scrubbed(scrub::scrub_records(looks, &self.layout.bodies())?)
    }

    fn spool_directory(&self) -> Option<PathBuf> {
        Some(self.layout.bodies().spool())
    }

    fn health(&self) -> Health {
        let free_bytes = free_bytes(&self.layout.directory);
        Health {
            failed: self.shared.failure().map(str::to_owned),
            disk_low: free_bytes.is_some_and(|free| free < self.options.free_bytes_min),
            free_bytes,
        }
    }

    fn stats(&self) -> Stats {
        let size = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        let file_bytes = size(self.layout.database()) + size(self.layout.log());
        Stats { file_bytes, ..self.shared.stats() }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| StoreError::Engine { doing: "starting a thread", reason: error.to_string() })
}

/// Lets a walk go on.
fn on(_: Looked) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Wraps what the engine says.
fn engine_error(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Engine { doing, reason: error.to_string() }
}

/// Records in one look of a slow scrub: with bodies that stand in the database 4 MB at most.
const SLOW_ROWS: usize = 16;
