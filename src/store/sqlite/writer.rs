//! Writing: one thread owns the one connection that writes, and commits what waits in groups.
//!
//! It takes the first batch, drains what is waiting behind it up to a limit, and commits all of it with one
//! sync; it waits for nobody. The channel to it is bounded: when it is full the batch is turned away at once
//! (`Full`). Large octets are written to their files by a second thread before their batch gets here.
//!
//! After a failed commit or sync it commits nothing any more and does not even close the connection, because
//! closing would try to sync again (P10).

use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::io::Errno;

use super::super::payload::PayloadFiles;
use super::super::prepare::Prepared;
use super::super::{AuditHead, CommitError, Committed, Done, Stats, StoreError};
use super::StoreOptions;
use super::group;
use super::mark::Mark;
use super::opening::bytes_of;
use super::readers::Readers;
use super::schema::Layout;

/// What the threads of a store know of each other.
#[derive(Default)]
pub(super) struct Shared {
    failed: OnceLock<String>,
    pub(super) disk_low: AtomicBool,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    pub(super) damaged: AtomicU64,
    stats: Mutex<Stats>,
    /// Payload files that lost a record, for whoever sweeps.
    freed: Mutex<Vec<String>>,
}

impl Shared {
    /// Why nothing is committed any more.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// The answer to every batch, once nothing is committed any more.
    pub(super) fn refusal(&self) -> Option<CommitError> {
        self.failure().map(|reason| CommitError::Fatal(reason.to_owned()))
    }

    /// Ends all commits; the first reason stays.
    pub(super) fn fail(&self, reason: String) -> CommitError {
        CommitError::Fatal(self.failed.get_or_init(|| reason).clone())
    }

    pub(super) fn free(&self, digests: Vec<String>) {
        self.freed.lock().unwrap_or_else(PoisonError::into_inner).extend(digests);
    }

    /// Whether a payload file lost a record, or its batch was refused, since the last sweep.
    pub(super) fn has_freed(&self) -> bool {
        !self.freed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The payload files that lost a record, or whose batch was refused, since this was asked last.
    pub(super) fn take_freed(&self) -> Vec<String> {
        std::mem::take(&mut *self.freed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock());
    }

    pub(super) fn stats(&self) -> Stats {
        let waiting = self.waiting.load(Ordering::Relaxed) as u64;
        let damaged = self.damaged.load(Ordering::Relaxed);
        Stats { waiting, damaged, ..self.lock().clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the batches that wait, given back when this is dropped.
pub(super) struct Place {
    bytes: usize,
    shared: Arc<Shared>,
}

impl Place {
    /// A place for a batch with so many octets, when no more than `bytes_max` wait with it. One that waits
    /// alone always fits.
    pub(super) fn take(shared: &Arc<Shared>, bytes: usize, bytes_max: usize) -> Option<Self> {
        let fits = |waiting: usize| {
            let together = waiting.saturating_add(bytes);
            (waiting == 0 || together <= bytes_max).then_some(together)
        };
        shared.waiting_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Self { bytes, shared: shared.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A batch on its way, and who hears what became of it.
///
/// Its place is given back before `done` hears, so that whoever commits again from there, or right after, is
/// not turned away for what has ended.
pub(super) struct Job {
    pub(super) batch: Prepared,
    done: Option<Done>,
    place: Option<Place>,
}

impl Job {
    pub(super) fn new(batch: Prepared, done: Done, place: Place) -> Self {
        Self { batch, done: Some(done), place: Some(place) }
    }

    /// Gives its place back: it does not wait any more.
    fn leave(&mut self) {
        self.place = None;
    }

    pub(super) fn answer(mut self, outcome: Result<(), CommitError>) {
        self.tell(outcome.map(|()| Committed::after_sync()));
    }

    fn tell(&mut self, outcome: Result<Committed, CommitError>) {
        self.leave();
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }
}

impl Drop for Job {
    /// A job that is dropped without an answer was in the hands of a thread that panicked: whether it was
    /// committed is not known (P17).
    fn drop(&mut self) {
        self.tell(Err(CommitError::Unknown));
    }
}

/// What the thread that commits does, one after the other.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are batches: a box would be one allocation more for each commit"
)]
pub(super) enum Turn {
    /// Commits a batch, with others that wait.
    Batch(Job),
    /// Says that everything before it was committed or refused.
    Reached(SyncSender<()>),
}

impl Turn {
    pub(super) fn into_job(self) -> Option<Job> {
        if let Self::Batch(job) = self { Some(job) } else { None }
    }
}

/// What the thread of the files does, one after the other.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are batches: a box would be one allocation more for each commit"
)]
pub(super) enum Work {
    /// Writes the files of a batch, and hands it on.
    Batch(Job),
    /// Removes those of these files that no record names.
    Sweep(Vec<String>, SyncSender<Result<u64, StoreError>>),
}

impl Work {
    pub(super) fn into_job(self) -> Option<Job> {
        if let Self::Batch(job) = self { Some(job) } else { None }
    }
}

/// The thread that writes the files of large octets, and removes those that were purged: the only one that does either,
/// so that no file goes whose batch is on its way.
pub(super) struct FileWriter {
    pub(super) bodies: PayloadFiles,
    pub(super) readers: Readers,
    pub(super) next: SyncSender<Turn>,
    pub(super) shared: Arc<Shared>,
}

impl FileWriter {
    pub(super) fn run(self, work: &Receiver<Work>) {
        for work in work {
            let job = match work {
                Work::Batch(job) => job,
                Work::Sweep(freed, done) => {
                    // Who asked may be gone; what is swept stays swept.
                    drop(done.send(self.sweep(&freed)));
                    continue;
                }
            };
            if let Some(refusal) = self.shared.refusal() {
                job.answer(Err(refusal));
                continue;
            }
            let written = job.batch.filed().try_for_each(|blob| self.bodies.write(blob));
            match written {
                Ok(()) => {
                    if let Err(refused) = self.next.send(Turn::Batch(job))
                        && let Some(job) = refused.0.into_job()
                    {
                        job.answer(Err(self.shared.fail("the writing thread has ended".to_owned())));
                    }
                }
                Err(error) if is_want_of_room(&error) => job.answer(Err(CommitError::Full)),
                Err(error) => job.answer(Err(self.shared.fail(format!("writing a body: {error}")))),
            }
        }
    }
}

impl FileWriter {
    /// Once every batch whose files were written before is committed or refused, what no record names belongs to nobody.
    fn sweep(&self, freed: &[String]) -> Result<u64, StoreError> {
        let ended =
            || StoreError::Engine { doing: "sweeping", reason: "the writing thread has ended".to_owned() };
        let (tell, reached) = sync_channel(1);
        self.next.send(Turn::Reached(tell)).map_err(|_| ended())?;
        reached.recv().map_err(|_| ended())?;
        let mut swept = 0;
        for digest in freed {
            if !self.readers.read(|reading| reading.is_named(digest))? {
                swept += u64::from(self.bodies.remove(digest)?);
            }
        }
        Ok(swept)
    }
}

/// Whether octets or descriptors are missing, of which there may be some again: nothing is believed of a file whose writing
/// failed, and no sync has (P11, P13).
fn is_want_of_room(error: &io::Error) -> bool {
    let descriptors = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    let is_of_descriptors = error.raw_os_error().is_some_and(|code| descriptors.contains(&code));
    is_of_descriptors || error.kind() == io::ErrorKind::StorageFull
}

/// The thread that commits.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) head: AuditHead,
    pub(super) mark: Mark,
    pub(super) layout: Layout,
    pub(super) options: StoreOptions,
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn run(mut self, turns: &Receiver<Turn>) {
        while let Ok(first) = turns.recv() {
            let mut turn = Some(first);
            let (mut group, mut bytes) = (Vec::new(), 0);
            let mut reached = None;
            while let Some(next) = turn.take() {
                match next {
                    Turn::Batch(job) => {
                        bytes += job.batch.bytes;
                        group.push(job);
                        if group.len() < self.options.group_batches_max
                            && bytes < self.options.group_bytes_max
                        {
                            turn = turns.try_recv().ok();
                        }
                    }
                    Turn::Reached(tell) => reached = Some(tell),
                }
            }
            match self.shared.refusal() {
                _ if group.is_empty() => {}
                None => self.commit(group),
                Some(refusal) => group.into_iter().for_each(|job| job.answer(Err(refusal.clone()))),
            }
            if let Some(tell) = reached {
                // Who waits for it may be gone.
                tell.send(()).unwrap_or_default();
            }
        }
        self.close();
    }

    fn commit(&mut self, mut group: Vec<Job>) {
        self.turn_away_when_low(&mut group);
        if group.is_empty() {
            return;
        }
        let began = stopwatch();
        let mut freed = Vec::new();
        let batches = group.iter().map(|job| &job.batch);
        let outcomes = group::commit(&self.connection, batches, &mut self.head, &mut freed)
            .map_err(|error| format!("commit: {error}"))
            .and_then(|outcomes| self.remember().map(|()| outcomes));
        let took = began.elapsed();
        match outcomes {
            Ok(outcomes) => {
                self.shared.count(|stats| count_commit(stats, &outcomes, took));
                self.shared.free(freed);
                // All of them, before the first hears: it may commit again at once.
                group.iter_mut().for_each(Job::leave);
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    job.answer(outcome);
                }
                if let Err(reason) = self.checkpoint_when_long() {
                    self.shared.fail(reason);
                }
            }
            Err(reason) => {
                let failed = self.shared.fail(reason);
                group.into_iter().for_each(|job| job.answer(Err(failed.clone())));
            }
        }
    }

    /// Below its mark the disk is for what was accepted already (P11).
    fn turn_away_when_low(&self, group: &mut Vec<Job>) {
        let free = free_bytes(&self.layout.directory);
        let low = free.is_some_and(|free| free < self.options.free_bytes_min);
        self.shared.disk_low.store(low, Ordering::Relaxed);
        if low {
            for job in group.extract_if(.., |job| job.batch.is_intake()) {
                self.shared.count(|stats| stats.full += 1);
                job.answer(Err(CommitError::Full));
            }
        }
    }

    fn remember(&mut self) -> Result<(), String> {
        self.mark.write(self.head).map_err(|error| format!("writing {}: {error}", self.mark.path().display()))
    }

    fn checkpoint_when_long(&mut self) -> Result<(), String> {
        let pages: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
            .map_err(|error| format!("looking at the log: {error}"))?;
        if pages < self.options.log_pages_max { Ok(()) } else { self.checkpoint() }
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        copy_log(&self.connection, &mut self.mark, &self.layout).map(drop)
    }

    fn close(mut self) {
        let failed = self.shared.failure().is_some();
        if failed || self.checkpoint().is_err() {
            mem::forget(self.connection);
        }
    }
}

/// Copies the log into the database; says whether all of it is there, which the mark then knows the length of.
pub(super) fn copy_log(connection: &Connection, mark: &mut Mark, layout: &Layout) -> Result<bool, String> {
    let path = mark.path().display().to_string();
    mark.sync().map_err(|error| format!("syncing {path}: {error}"))?;
    let pages = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], pages);
    let (in_log, copied) = checkpoint.map_err(|error| format!("checkpoint: {error}"))?;
    // Another process that copies it just now keeps us from knowing: then both are -1.
    if in_log != copied || in_log < 0 {
        return Ok(false);
    }
    let bytes = bytes_of(&layout.database()).map_err(|error| format!("the database: {error}"))?;
    mark.write_length(bytes).map_err(|error| format!("writing {path}: {error}"))?;
    Ok(true)
}

fn count_commit(stats: &mut Stats, outcomes: &[Result<(), CommitError>], took: Duration) {
    let committed = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    stats.batches += committed;
    stats.refused += outcomes.len() as u64 - committed;
    stats.commits += 1;
    stats.commit_micros = stats.commit_micros.saturating_add(micros);
    stats.group_sizes[Stats::GROUP_BOUNDS.partition_point(|bound| *bound < outcomes.len() as u64)] += 1;
    stats.commit_times[Stats::COMMIT_MICROS_BOUNDS.partition_point(|bound| *bound < micros)] += 1;
}

/// Free octets for us on the disk of this directory, where the system tells.
pub(super) fn free_bytes(directory: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a sync takes is a figure for operators; nothing is decided by it"
)]
fn stopwatch() -> Instant {
    Instant::now()
}
