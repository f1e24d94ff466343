//! Octets by their SHA-256: small ones stand in the database, large ones in files named by it.
//!
//! A file is written aside, synced, renamed and its directory synced before the record that names it is
//! committed; so a record never names a file that is not there, and a file that no record names is an orphan
//! of a crash, swept at the next start. Every reading checks the digest: wrong octets are never served (P12).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::model::{Digest, Octets};

use super::{Damage, StoreError};

/// Octets up to this size stand in the database. Between 8 KB and 1 MB files begin to be the faster home.
pub(super) const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Octets with their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) octets: Octets,
}

impl Blob {
    pub(super) fn of(octets: Octets) -> Self {
        Self { digest: octets.digest(), octets }
    }

    /// Whether they go to a file.
    pub(super) fn is_large(&self) -> bool {
        self.octets.bytes() > INLINE_BYTES_MAX as u64
    }

    /// The octets, where all of them are in memory.
    pub(super) fn held(&self) -> &Bytes {
        self.octets.held()
    }
}

/// These octets, when they are those that were written.
pub(super) fn verified(
    what: impl FnOnce() -> String,
    octets: Bytes,
    digest: &str,
) -> Result<Octets, StoreError> {
    let octets = Octets::from(octets);
    let found = octets.digest().to_string();
    if found == digest {
        return Ok(octets);
    }
    let detail = format!("its octets have digest {found}, expected {digest}");
    Err(StoreError::Damaged(Damage { what: what(), detail }))
}

/// The directory of payload files: 256 directories by the first octet of the digest.
#[derive(Clone, Debug)]
pub(super) struct PayloadFiles {
    root: PathBuf,
}

impl PayloadFiles {
    pub(super) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the directories, durably.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::create_dir(&self.root)?;
        for first in 0..=u8::MAX {
            fs::create_dir(self.root.join(format!("{first:02x}")))?;
        }
        sync_directory(&self.root)
    }

    /// Writes octets so that they survive a crash from here on. Writing what is there already mends it.
    pub(super) fn write(&self, blob: &Blob) -> io::Result<()> {
        let path = self.path(&blob.digest.to_string());
        let aside = path.with_extension(ASIDE);
        let written = write_aside(&aside, blob.held());
        if written.is_err() {
            // Best effort: a file that is left aside is swept at the next start.
            drop(fs::remove_file(&aside));
        }
        written?;
        fs::rename(&aside, &path)?;
        path.parent().map_or(Ok(()), sync_directory)
    }

    /// The octets with this digest, not yet checked.
    pub(super) fn read(&self, digest: &str) -> io::Result<Bytes> {
        fs::read(self.path(digest)).map(Bytes::from)
    }

    /// Removes every file that `is_named` by no record, and what a crash left half written.
    pub(super) fn sweep(
        &self,
        mut is_named: impl FnMut(&str) -> Result<bool, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut swept = 0;
        for path in self.files("sweeping") {
            let path = path?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_named(name)? {
                fs::remove_file(&path).map_err(failed("sweeping", &path))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Removes one file; gives whether it was there.
    pub(super) fn remove(&self, digest: &str) -> Result<bool, StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("sweeping", &path)(error)),
        }
    }

    /// Shows every file by its name, with its octets.
    pub(super) fn each(&self, mut visit: impl FnMut(&str, u64)) -> Result<(), StoreError> {
        for path in self.files("reading") {
            let path = path?;
            let bytes = path.metadata().map_err(failed("reading", &path))?.len();
            visit(path.file_name().and_then(|name| name.to_str()).unwrap_or_default(), bytes);
        }
        Ok(())
    }

    /// Every file.
    fn files(&self, doing: &'static str) -> impl Iterator<Item = Result<PathBuf, StoreError>> {
        entries(&self.root, doing).into_iter().flat_map(move |directory| match directory {
            Ok(directory) => entries(&directory, doing),
            Err(error) => vec![Err(error)],
        })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.root.join(digest.get(..2).unwrap_or_default()).join(digest)
    }
}

/// What stands in a directory.
fn entries(directory: &Path, doing: &'static str) -> Vec<Result<PathBuf, StoreError>> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed(doing, directory))).collect()
        }
        Err(source) => vec![Err(failed(doing, directory)(source))],
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Files { doing, path, source }
}

fn write_aside(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(octets)?;
    file.sync_data()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Extension of a file that is being written.
const ASIDE: &str = "aside";

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, PayloadFiles) {
        let directory = crate::store::tests::directory();
        let files = PayloadFiles::at(directory.path().join("bodies"));
        files.make().expect("the directories");
        (directory, files)
    }

    #[test]
    fn octets_read_back_and_changed_ones_are_refused() {
        let (_directory, files) = files();
        let blob = Blob::of(Bytes::from_static(b"a large body").into());
        let digest = blob.digest.to_string();
        files.write(&blob).expect("written");
        let read = || verified(|| "body".to_owned(), files.read(&digest).expect("a file"), &digest);
        assert_eq!(read().expect("whole"), blob.octets);

        fs::write(files.path(&digest), b"a larger body").expect("changed");
        assert!(matches!(read(), Err(StoreError::Damaged(_))), "P12");
        files.write(&blob).expect("written again");
        assert_eq!(read().expect("mended"), blob.octets);
    }

    #[test]
    fn what_no_record_names_is_swept() {
        let (_directory, files) = files();
        let [kept, orphan] = [b"kept", b"lost"].map(|octets| Blob::of(Bytes::from_static(octets).into()));
        files.write(&kept).expect("written");
        files.write(&orphan).expect("written");
        let half = files.path(&kept.digest.to_string()).with_extension(ASIDE);
        fs::write(&half, b"ke").expect("written");
        let name = kept.digest.to_string();
        assert_eq!(files.sweep(|named| Ok(named == name)).expect("swept"), 2);
        assert!(!half.exists());
        assert_eq!(&files.read(&name).expect("still there"), kept.held());
        assert!(files.read(&orphan.digest.to_string()).is_err());
    }
}
