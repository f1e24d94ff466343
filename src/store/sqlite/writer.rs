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
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::payload::PayloadFiles;
use super::super::prepare::Prepared;
use super::super::{AuditHead, CommitError, Committed, Done, Stats};
use super::StoreOptions;
use super::group;
use super::mark::Mark;

/// What the threads of a store know of each other.
#[derive(Default)]
pub(super) struct Shared {
    failed: OnceLock<String>,
    pub(super) disk_low: AtomicBool,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    pub(super) damaged: AtomicU64,
    stats: Mutex<Stats>,
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

/// The thread that writes the files of large octets.
pub(super) struct FileWriter {
    pub(super) bodies: PayloadFiles,
    pub(super) next: SyncSender<Job>,
    pub(super) shared: Arc<Shared>,
}

impl FileWriter {
    pub(super) fn run(self, jobs: &Receiver<Job>) {
        for job in jobs {
            if let Some(refusal) = self.shared.refusal() {
                job.answer(Err(refusal));
                continue;
            }
            let written = job.batch.large().try_for_each(|blob| self.bodies.write(blob));
            match written {
                Ok(()) => {
                    if let Err(refused) = self.next.send(job) {
                        refused.0.answer(Err(self.shared.fail("the writing thread has ended".to_owned())));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    job.answer(Err(CommitError::Full))
                }
                Err(error) => job.answer(Err(self.shared.fail(format!("writing a body: {error}")))),
            }
        }
    }
}

/// The thread that commits.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) head: AuditHead,
    pub(super) mark: Mark,
    pub(super) directory: PathBuf,
    pub(super) options: StoreOptions,
    pub(super) shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut bytes = first.batch.bytes;
            let mut group = vec![first];
            while group.len() < self.options.group_batches_max && bytes < self.options.group_bytes_max {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.batch.bytes;
                group.push(job);
            }
            match self.shared.refusal() {
                None => self.commit(group),
                Some(refusal) => group.into_iter().for_each(|job| job.answer(Err(refusal.clone()))),
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
        let outcomes = group::commit(&self.connection, group.iter().map(|job| &job.batch), &mut self.head)
            .map_err(|error| format!("commit: {error}"))
            .and_then(|outcomes| self.remember().map(|()| outcomes));
        let took = began.elapsed();
        match outcomes {
            Ok(outcomes) => {
                self.shared.count(|stats| count_commit(stats, &outcomes, took));
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
        let free = free_bytes(&self.directory);
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

    fn checkpoint_when_long(&self) -> Result<(), String> {
        let pages: i64 = self
            .connection
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
            .map_err(|error| format!("looking at the log: {error}"))?;
        if pages < self.options.log_pages_max { Ok(()) } else { self.checkpoint() }
    }

    fn checkpoint(&self) -> Result<(), String> {
        self.mark.sync().map_err(|error| format!("syncing {}: {error}", self.mark.path().display()))?;
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        checkpoint.map_err(|error| format!("checkpoint: {error}"))
    }

    fn close(self) {
        let failed = self.shared.failure().is_some();
        if failed || self.checkpoint().is_err() {
            mem::forget(self.connection);
        }
    }
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
