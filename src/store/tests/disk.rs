//! A disk that forgets what was not synced, and fails when it is told to.

use std::io;
use std::sync::{Arc, Mutex};

use crate::store::Disk;

/// What a disk does to the journal on it.
#[derive(Clone, Default)]
pub(in crate::store) struct TestDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    octets: Vec<u8>,
    synced: usize,
    syncs: u64,
    fail_sync: bool,
    full: bool,
}

impl TestDisk {
    /// The disk after a power loss that kept `kept` octets of what was not synced.
    pub(in crate::store) fn after_crash(&self, kept: usize) -> Self {
        let state = self.state.lock().expect("no test panicked with it");
        let length = (state.synced + kept).min(state.octets.len());
        let octets = state.octets[..length].to_vec();
        let state = State { synced: length, octets, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(in crate::store) fn unsynced(&self) -> usize {
        let state = self.state.lock().expect("no test panicked with it");
        state.octets.len() - state.synced
    }

    pub(in crate::store) fn syncs(&self) -> u64 {
        self.state.lock().expect("no test panicked with it").syncs
    }

    pub(in crate::store) fn fail_next_sync(&self) {
        self.state.lock().expect("no test panicked with it").fail_sync = true;
    }

    pub(in crate::store) fn set_full(&self, full: bool) {
        self.state.lock().expect("no test panicked with it").full = full;
    }

    /// Changes an octet, as a failing medium does.
    pub(in crate::store) fn flip(&self, find: &[u8]) {
        let mut state = self.state.lock().expect("no test panicked with it");
        let at = state.octets.windows(find.len()).position(|window| window == find).expect("it is there");
        state.octets[at] ^= 1;
    }
}

impl Disk for TestDisk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.state.lock().expect("no test panicked with it").octets.clone())
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().expect("no test panicked with it");
        if state.full {
            let half = octets.len() / 2;
            state.octets.extend_from_slice(&octets[..half]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.octets.extend_from_slice(octets);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().expect("no test panicked with it");
        // Only the first one fails: whoever tries again would believe it.
        if std::mem::take(&mut state.fail_sync) {
            return Err(io::Error::other("medium error"));
        }
        state.syncs += 1;
        state.synced = state.octets.len();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock().expect("no test panicked with it");
        state.octets.truncate(usize::try_from(length).expect("a small disk"));
        state.synced = state.synced.min(state.octets.len());
        Ok(())
    }
}
