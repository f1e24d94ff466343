//! A body that is too large to hold, written to a file aside while it comes in (P13).
//!
//! Promises: no more than two chunks of it are in memory; it is digested as it is written; where the disk has no room for
//! what is announced, or for what comes, beside what all the others are about to write, it is refused before it takes the
//! last of it (P11); a file that nobody takes over is removed, and one that a crash leaves has the extension `aside`, by
//! which it is known.
//!
//! Does not sync the file: whoever takes it over does, and ends when that fails (P10).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use openssl::sha::Sha256;
use tokio::task::{JoinHandle, spawn_blocking};

/// Where bodies are spooled, and from which size on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// The directory, which is there.
    pub directory: PathBuf,
    /// A body of more octets than these is written to a file.
    pub from_bytes: usize,
    /// Octets that stay free on the disk; what would take them is answered 503.
    pub free_bytes_min: u64,
    /// What whoever reads a spooled body may take in memory of it, at most.
    pub decoded_bytes_max: usize,
}

/// A body in a file of its own, which is removed with this unless somebody takes it over.
#[derive(Debug)]
pub struct Spooled {
    written: Aside,
    sha256: [u8; 32],
}

impl Spooled {
    /// The file, opened to be read, its path, how many octets it has and their SHA-256. Whoever takes it has to remove
    /// it.
    #[must_use]
    pub fn take(mut self) -> (Arc<File>, PathBuf, u64, [u8; 32]) {
        self.written.taken = true;
        let Aside { file, path, bytes, .. } = &self.written;
        (Arc::clone(file), path.clone(), *bytes, self.sha256)
    }

    /// How many octets it has.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.written.bytes
    }
}

/// Why a body is not spooled on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    /// The disk has no room for it.
    #[error("the disk has no room for the body")]
    Full,
    /// The disk does not take it.
    #[error("the body cannot be written: {0}")]
    Disk(io::Error),
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull { Self::Full } else { Self::Disk(error) }
    }
}

/// A body on its way into its file.
pub(super) struct Spooling {
    options: SpoolOptions,
    /// What came since the last chunk was given to be written.
    pending: BytesMut,
    state: State,
}

enum State {
    Idle(Writing),
    Busy(JoinHandle<Result<Writing, SpoolError>>),
    Failed,
}

struct Writing {
    aside: Aside,
    hasher: Sha256,
    reserved: Reserved,
}

/// Room on the disk that is about to be written, given back when this is dropped.
struct Reserved(u64);

/// The file, removed with this unless it is taken.
#[derive(Debug)]
struct Aside {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    taken: bool,
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.taken
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "cannot remove what was spooled");
        }
    }
}

impl Spooling {
    /// Begins a file, when the disk has room for so many octets.
    pub(super) async fn begin(options: &SpoolOptions, announced: u64) -> Result<Self, SpoolError> {
        let options = options.clone();
        let writing = {
            let options = options.clone();
            on_a_thread(move || Writing::begin(&options, announced)).await?
        };
        Ok(Self { options, pending: BytesMut::with_capacity(CHUNK_BYTES), state: State::Idle(writing) })
    }

    /// Takes octets, and waits for the disk when it is behind.
    pub(super) async fn push(&mut self, octets: &[u8]) -> Result<(), SpoolError> {
        self.pending.extend_from_slice(octets);
        if self.pending.len() < CHUNK_BYTES {
            return Ok(());
        }
        let mut writing = self.written().await?;
        let chunk = std::mem::replace(&mut self.pending, BytesMut::with_capacity(CHUNK_BYTES)).freeze();
        let options = self.options.clone();
        self.state = State::Busy(spawn_blocking(move || {
            writing.write(&options, &chunk)?;
            Ok(writing)
        }));
        Ok(())
    }

    /// The whole body.
    pub(super) async fn end(mut self) -> Result<Spooled, SpoolError> {
        let mut writing = self.written().await?;
        let (options, rest) = (self.options, self.pending.freeze());
        on_a_thread(move || {
            writing.write(&options, &rest)?;
            Ok(Spooled { written: writing.aside, sha256: writing.hasher.finish() })
        })
        .await
    }

    /// What is written, once the chunk in hand is.
    async fn written(&mut self) -> Result<Writing, SpoolError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(writing) => Ok(writing),
            State::Busy(busy) => {
                busy.await.map_err(|panicked| SpoolError::Disk(io::Error::other(panicked)))?
            }
            State::Failed => Err(SpoolError::Disk(io::Error::other("it has failed before"))),
        }
    }
}

impl Writing {
    fn begin(options: &SpoolOptions, announced: u64) -> Result<Self, SpoolError> {
        let mut reserved = Reserved(0);
        reserved.reach(options, announced)?;
        let (file, path) = loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = options.directory.join(format!("{}-{number}.{ASIDE}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => break (file, path),
                // Left by a crash of a process with this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        };
        let aside = Aside { file: Arc::new(file), path, bytes: 0, taken: false };
        Ok(Self { aside, hasher: Sha256::new(), reserved })
    }

    fn write(&mut self, options: &SpoolOptions, octets: &Bytes) -> Result<(), SpoolError> {
        let bytes = octets.len() as u64;
        self.reserved.reach(options, bytes)?;
        (&*self.aside.file).write_all(octets)?;
        self.reserved.written(bytes);
        self.hasher.update(octets);
        self.aside.bytes += bytes;
        Ok(())
    }
}

impl Reserved {
    /// Reserves at least so many octets, when the disk has room for them beside everything that is reserved.
    fn reach(&mut self, options: &SpoolOptions, bytes: u64) -> Result<(), SpoolError> {
        let more = bytes.saturating_sub(self.0);
        let add = |all: u64| all.checked_add(more);
        let before = RESERVED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let all = before.map_err(|_| SpoolError::Full)?.saturating_add(more);
        self.0 += more;
        match free_bytes(&options.directory) {
            Some(free) if free < options.free_bytes_min.saturating_add(all) => Err(SpoolError::Full),
            _ => Ok(()),
        }
    }

    fn written(&mut self, bytes: u64) {
        self.0 -= bytes;
        RESERVED.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Free octets for us on the disk of this directory, where the system tells.
fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    spawn_blocking(work).await.map_err(|panicked| SpoolError::Disk(io::Error::other(panicked)))?
}

/// Names of files are of one process, and each is used once.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// Octets that all bodies are about to write.
static RESERVED: AtomicU64 = AtomicU64::new(0);
/// Extension of a file that is being written.
const ASIDE: &str = "aside";
/// Octets that are written at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// What a body takes in memory while it is spooled: the chunk that is written, and the one that comes in.
pub(super) const HELD_BYTES: usize = 2 * CHUNK_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(free_bytes_min: u64) -> (tempfile::TempDir, SpoolOptions) {
        let directory = tempfile::tempdir().expect("a directory");
        let directory_of = directory.path().to_owned();
        let options =
            SpoolOptions { directory: directory_of, from_bytes: 1, free_bytes_min, decoded_bytes_max: 0 };
        (directory, options)
    }

    fn files(options: &SpoolOptions) -> usize {
        fs::read_dir(&options.directory).expect("readable").count()
    }

    #[tokio::test]
    async fn what_is_spooled_stands_in_a_file_until_it_is_dropped() {
        let (_directory, options) = spool(0);
        let octets: Vec<u8> = (0..CHUNK_BYTES * 3 + 7).map(|at| (at % 251) as u8).collect();
        let spool = async || {
            let mut spooling = Spooling::begin(&options, 0).await.expect("there is room");
            for some in octets.chunks(10_000) {
                spooling.push(some).await.expect("written");
            }
            spooling
        };
        let spooled = spool().await.end().await.expect("written");
        assert_eq!((spooled.bytes(), files(&options)), (octets.len() as u64, 1));
        drop(spooled);
        assert_eq!(files(&options), 0, "nobody took it");
        drop(spool().await.written().await.expect("written"));
        assert_eq!(files(&options), 0, "it broke off");

        let (file, path, bytes, sha256) = spool().await.end().await.expect("written").take();
        drop(file);
        assert_eq!(fs::read(&path).expect("it is there"), octets);
        assert_eq!((bytes, sha256), (octets.len() as u64, openssl::sha::sha256(&octets)));
    }

    #[tokio::test]
    async fn what_the_disk_has_no_room_for_is_refused_at_once() {
        let (_directory, options) = spool(0);
        assert!(Spooling::begin(&options, 1).await.is_ok());
        assert!(matches!(Spooling::begin(&options, u64::MAX).await, Err(SpoolError::Full)), "P11");
        let (_directory, options) = spool(u64::MAX);
        assert!(matches!(Spooling::begin(&options, 0).await, Err(SpoolError::Full)));
        assert_eq!(files(&options), 0);
    }

    #[tokio::test]
    async fn what_others_are_about_to_write_is_not_free_p11() {
        let (_directory, options) = spool(0);
        let free = free_bytes(&options.directory).expect("the system tells");
        let most = Spooling::begin(&options, free / 4 * 3).await.expect("there is room");
        assert!(matches!(Spooling::begin(&options, free / 4 * 3).await, Err(SpoolError::Full)));
        drop(most);
        assert!(Spooling::begin(&options, free / 4 * 3).await.is_ok(), "it is given back");
    }
}
