//! The disk of the gateway: it forgets what was not synced, and fails when it is told to.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use gwanmun::store::Disk;

/// What goes wrong with the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The power goes while the frame is written.
    PowerInAppend,
    /// The power goes when the frame is written and nothing is synced.
    PowerBeforeSync,
    /// The sync fails: what is not synced may be gone, and the next sync would not say so.
    FailedSync,
    /// There is no room.
    Full,
}

/// How much of what was not synced a power loss leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing.
    Nothing,
    /// Half of it, cut anywhere.
    Half,
    /// All of it.
    All,
}

/// A disk with one journal.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    octets: Vec<u8>,
    synced: usize,
    trouble: Option<Trouble>,
    without_power: bool,
    /// From here on it has lost what it said that it could not sync, whatever it says of later syncs.
    lost_from: Option<usize>,
    /// Planted: a sync does nothing and says that it did.
    forgets_syncs: bool,
}

impl SimulatedDisk {
    /// A disk with this journal.
    pub(crate) fn of(octets: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.replace(octets);
        disk
    }

    /// Everything on it.
    pub(crate) fn octets(&self) -> Vec<u8> {
        self.state().octets.clone()
    }

    /// It is another one, with this journal.
    pub(crate) fn replace(&self, octets: Vec<u8>) {
        let mut state = self.state();
        (state.synced, state.octets) = (octets.len(), octets);
    }

    /// One bit of this octet is another from now on.
    pub(crate) fn flip(&self, at: u64) {
        let at = usize::try_from(at).expect("a small disk");
        if let Some(octet) = self.state().octets.get_mut(at) {
            *octet ^= 1 << (at % 8);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it is held")
    }

    /// What the next commit meets.
    pub(crate) fn meets(&self, trouble: Option<Trouble>) {
        self.state().trouble = trouble;
    }

    /// Whether the power is gone: whoever worked with it is dead.
    pub(crate) fn is_without_power(&self) -> bool {
        self.state().without_power
    }

    /// From now on syncs do nothing.
    pub(crate) fn forget_syncs(&self) {
        self.state().forgets_syncs = true;
    }

    /// The disk as the next start finds it.
    pub(crate) fn lose_power(&self, kept: Kept) {
        let mut state = self.state();
        let unsynced = state.octets.len() - state.synced;
        let left = match kept {
            Kept::Nothing => 0,
            Kept::Half => unsynced / 2,
            Kept::All => unsynced,
        };
        let length = (state.synced + left).min(state.lost_from.unwrap_or(usize::MAX));
        state.octets.truncate(length);
        (state.synced, state.trouble, state.without_power) = (length, None, false);
        state.lost_from = None;
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is gone")
}

impl Disk for SimulatedDisk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.state().octets.clone())
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.without_power {
            return Err(no_power());
        }
        let half = &octets[..octets.len() / 2];
        match state.trouble {
            Some(Trouble::PowerInAppend) => {
                state.octets.extend_from_slice(half);
                state.without_power = true;
                Err(no_power())
            }
            Some(Trouble::Full) => {
                state.octets.extend_from_slice(half);
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => {
                state.octets.extend_from_slice(octets);
                Ok(())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state();
        match state.trouble {
            _ if state.without_power => return Err(no_power()),
            Some(Trouble::PowerBeforeSync) => {
                state.without_power = true;
                return Err(no_power());
            }
            // Only this one fails: whoever tries again would believe it.
            Some(Trouble::FailedSync) => {
                state.trouble = None;
                let synced = state.synced;
                state.lost_from.get_or_insert(synced);
                return Err(io::Error::other("medium error"));
            }
            _ => {}
        }
        if !state.forgets_syncs {
            state.synced = state.octets.len();
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.without_power {
            return Err(no_power());
        }
        state.octets.truncate(usize::try_from(length).expect("a small disk"));
        state.synced = state.synced.min(state.octets.len());
        Ok(())
    }
}
