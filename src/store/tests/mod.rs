//! Tests of every home of the store: one suite, one simple model, and the bytes of earlier versions.

mod disk;
mod homes;
pub(in crate::store) mod sample;
pub(in crate::store) mod suite;

pub(in crate::store) use disk::TestDisk;

use std::sync::mpsc::sync_channel;

use super::{Batch, CommitError, Store};

/// Commits and waits for the answer.
pub(in crate::store) fn commit(store: &dyn Store, batch: Batch) -> Result<(), CommitError> {
    let (tell, told) = sync_channel(1);
    store.commit(batch, Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits")));
    told.recv().expect("done is always called")
}
