//! Tests of every home of the store: one suite, one simple model, and the bytes of earlier versions.

mod disk;
mod golden;
mod homes;
mod model;
pub(in crate::store) mod sample;
pub(in crate::store) mod suite;

pub(in crate::store) use disk::TestDisk;

use std::sync::mpsc::sync_channel;

use tempfile::TempDir;

use super::{Batch, CommitError, Store, StoreOptions};

/// A directory for a store, in memory where the system has such a place: these tests lose processes and never
/// the disk, so its syncs would only show how busy it is.
pub(in crate::store) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Options for a store in it, however little room it has.
pub(in crate::store) fn options(directory: &TempDir) -> StoreOptions {
    StoreOptions { free_bytes_min: 0, ..StoreOptions::at(directory.path().join("store")) }
}

/// Commits and waits for the answer.
pub(in crate::store) fn commit(store: &dyn Store, batch: Batch) -> Result<(), CommitError> {
    let (tell, told) = sync_channel(1);
    store.commit(batch, Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits")));
    told.recv().expect("done is always called")
}
