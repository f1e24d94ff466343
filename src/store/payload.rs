//! Octets by their SHA-256: small ones stand in the database, large ones in files named by it.
//!
//! A file is written aside, synced, renamed and its directory synced before the record that names it is
//! committed; so a record never names a file that is not there, and a file that no record names is an orphan
//! of a crash. The next start sets it aside, as it asks an index, of which a bit may have flipped; once a scrub has walked all
//! records and none of them names it, it goes. A body that was spooled as it came in is such a file already: it gets its name
//! when it is committed, and goes when nobody commits it (P13). Every reading checks the digest, of what is too large to
//! be read at once as it goes: wrong octets are never served whole (P12).

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::model::{Digest, Filed, Octets, Piece, Source, Unreadable};

use super::record::{Span, files_of};
use super::{Damage, StoreError};

/// Octets up to this size stand in the database. Between 8 KB and 1 MB files begin to be the faster home.
pub(super) const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Octets in files up to this size are read at once; more are read where and when they are needed.
const READ_BYTES_MAX: u64 = 1 << 20;

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

    /// Whether any of them stand in files.
    pub(super) fn is_filed(&self) -> bool {
        self.has_own_file() || self.octets.as_held().is_none()
    }

    /// Whether they go to a file of their own, or are one.
    pub(super) fn has_own_file(&self) -> bool {
        match self.octets.as_held() {
            Some(octets) => octets.len() > INLINE_BYTES_MAX,
            None => BodyFile::of(&self.octets).is_some(),
        }
    }

    /// Where they stand, when some are in memory and others are ranges of files; nothing when they are in one place.
    pub(super) fn spans(&self) -> Vec<Span> {
        if self.octets.as_held().is_some() || BodyFile::of(&self.octets).is_some() {
            return Vec::new();
        }
        let span = |piece| match piece {
            Piece::Held(octets) => Span::Held(octets.len()),
            Piece::Filed(filed) => {
                let (file, start, bytes) = (filed.source().digest(), filed.start(), filed.bytes());
                Span::Filed { file, start, bytes }
            }
        };
        self.octets.pieces().map(span).collect()
    }

    /// The files that some of them are ranges of.
    pub(super) fn files(&self) -> BTreeSet<String> {
        files_of(&self.spans())
    }

    /// Every file that has any of them, once it is kept.
    pub(super) fn named(&self) -> Vec<String> {
        if self.has_own_file() { vec![self.digest.to_string()] } else { self.files().into_iter().collect() }
    }

    /// What the row holds of them: all that is small, all that is in memory beside ranges of files; nothing of what has
    /// a file of its own.
    pub(super) fn inline(&self) -> Option<Bytes> {
        if self.has_own_file() {
            return None;
        }
        if let Some(octets) = self.octets.as_held() {
            return Some(octets.clone());
        }
        let held = self.octets.pieces().filter_map(|piece| match piece {
            Piece::Held(octets) => Some(octets),
            Piece::Filed(_) => None,
        });
        Some(held.flatten().collect())
    }

    /// The octets, where all of them are in memory.
    pub(super) fn held(&self) -> &Bytes {
        self.octets.held()
    }
}

/// Octets that came in and were written to a file aside. A commit syncs the file and gives it its name; else it is removed
/// when nobody holds them any more.
#[must_use]
pub fn spooled(file: Arc<File>, path: PathBuf, bytes: u64, digest: Digest) -> Octets {
    Octets::of_file(Arc::new(BodyFile { file, bytes, digest, aside: Mutex::new(Some(path)) }))
}

/// The octets of a file that stands elsewhere, which is read once, to digest it; a small one is held.
///
/// # Errors
/// When it cannot be read.
pub fn filed(path: &Path) -> io::Result<Octets> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() <= READ_BYTES_MAX {
        return fs::read(path).map(Octets::from);
    }
    let (bytes, digest) = digest_of(&mut file)?;
    let file = BodyFile { file: Arc::new(file), bytes, digest, aside: Mutex::new(None) };
    Ok(Octets::of_file(Arc::new(file)))
}

/// How many octets follow in a file, and their SHA-256.
pub(super) fn digest_of(file: &mut File) -> io::Result<(u64, Digest)> {
    let mut hasher = openssl::sha::Sha256::new();
    let (mut octets, mut total) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let count = file.read(&mut octets)?;
        let Some(read) = octets.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        total += count as u64;
    }
    Ok((total, Digest(hasher.finish())))
}

/// A file of octets.
#[derive(Debug)]
struct BodyFile {
    file: Arc<File>,
    bytes: u64,
    digest: Digest,
    /// Its path, as long as it is not named by its digest.
    aside: Mutex<Option<PathBuf>>,
}

impl BodyFile {
    /// The file that these octets are, when they are all of one.
    fn of(octets: &Octets) -> Option<Filed> {
        let mut pieces = octets.pieces();
        match (pieces.next(), pieces.next()) {
            (Some(Piece::Filed(filed)), None) if filed.is_whole() => Some(filed),
            _ => None,
        }
    }
}

impl Source for BodyFile {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let read = self.file.read_exact_at(into, at);
        read.map_err(|error| Unreadable(format!("its file {}: {error}", self.digest)))
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        let aside = self.aside.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = aside {
            // Best effort: a file that is left aside is swept at the next start.
            drop(fs::remove_file(path));
        }
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

/// The same octets, when all of them can be read and are those that were written.
pub(super) fn checked(what: &str, octets: Octets) -> Result<Octets, StoreError> {
    match octets.checked().find_map(Result::err) {
        None => Ok(octets),
        Some(Unreadable(detail)) => Err(StoreError::Damaged(Damage { what: what.to_owned(), detail })),
    }
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

    /// Writes octets so that they survive a crash from here on. Writing held ones that are there already mends them.
    pub(super) fn write(&self, blob: &Blob) -> io::Result<()> {
        if blob.octets.as_held().is_some() {
            return self.write_file(&blob.octets);
        }
        blob.octets.pieces().try_for_each(|piece| match piece {
            Piece::Held(_) => Ok(()),
            Piece::Filed(filed) => self.keep(filed.source()),
        })
    }

    /// Gives a file its name, so that it survives a crash from here on. Whoever holds it can read it, even if it was swept
    /// meanwhile: then it is written again.
    fn keep(&self, source: &Arc<dyn Source>) -> io::Result<()> {
        let path = self.path(&source.digest().to_string());
        if let Some(file) = (&**source as &dyn Any).downcast_ref::<BodyFile>() {
            let mut aside = file.aside.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(spooled) = &*aside {
                file.file.sync_data()?;
                fs::rename(spooled, &path)?;
                *aside = None;
                return path.parent().map_or(Ok(()), sync_directory);
            }
        }
        if path.exists() {
            return Ok(());
        }
        self.write_file(&Octets::of_file(Arc::clone(source)))
    }

    fn write_file(&self, octets: &Octets) -> io::Result<()> {
        let path = self.path(&octets.digest().to_string());
        let aside = path.with_extension(ASIDE);
        let written = write_aside(&aside, octets);
        if written.is_err() {
            // Best effort: a file that is left aside is swept at the next start.
            drop(fs::remove_file(&aside));
        }
        written?;
        fs::rename(&aside, &path)?;
        path.parent().map_or(Ok(()), sync_directory)
    }

    /// The octets with this digest, checked; those of a large file are checked as they are read.
    pub(super) fn read(&self, what: &str, digest: &str) -> Result<Octets, StoreError> {
        let filed = self.open(what, digest)?;
        if filed.bytes() > READ_BYTES_MAX {
            return Ok(Octets::of_file(Arc::clone(filed.source())));
        }
        let octets = Octets::of_file(Arc::clone(filed.source())).read(usize::MAX);
        let octets = octets
            .map_err(|Unreadable(detail)| StoreError::Damaged(Damage { what: what.to_owned(), detail }))?;
        Ok(octets.into())
    }

    /// All of the file with this digest, unread.
    pub(super) fn open(&self, what: &str, digest: &str) -> Result<Filed, StoreError> {
        let damaged = |detail: String| StoreError::Damaged(Damage { what: what.to_owned(), detail });
        let name = digest.parse().map_err(|_| damaged(format!("its file {digest:?} has no such name")))?;
        let path = self.path(digest);
        let opened = File::open(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => File::open(path.with_extension(ORPHAN)).map_err(|_| error),
            _ => Err(error),
        });
        let opened = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => damaged(format!("its file {digest}: {error}")),
            // It may be there: what is wrong is with us, and passes.
            _ => failed("reading", &path)(error),
        })?;
        let file = BodyFile { file: Arc::new(file), bytes, digest: name, aside: Mutex::new(None) };
        Ok(Filed::of(Arc::new(file), 0, bytes).expect("all of a file is in it"))
    }

    /// Where bodies are spooled that come in: what a crash leaves there is swept at the next start.
    pub(super) fn spool(&self) -> PathBuf {
        self.root.join("00")
    }

    /// Sets every file aside that `is_named` by no record, and removes what a crash left half written. Gives how many there were.
    /// What was set aside before and is named now gets its name back, where it is wanted.
    pub(super) fn sweep(
        &self,
        mut is_named: impl FnMut(&str) -> Result<bool, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut swept = 0;
        for path in self.files("sweeping") {
            let path = path?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let done = if let Some(set_aside) = name.strip_suffix(ORPHAN_NAME) {
                if is_named(set_aside)? {
                    let named = self.path(set_aside);
                    // The octets are the same, but for damage: what bears the name may have been written since.
                    let is_there = named.exists();
                    let put_right = if is_there { fs::remove_file(&path) } else { fs::rename(&path, named) };
                    put_right.map_err(failed("sweeping", &path))?;
                }
                continue;
            } else if name.parse::<Digest>().is_err() {
                fs::remove_file(&path)
            } else if is_named(name)? {
                continue;
            } else {
                fs::rename(&path, path.with_extension(ORPHAN))
            };
            done.map_err(failed("sweeping", &path))?;
            swept += 1;
        }
        Ok(swept)
    }

    /// Whether there is a file of this name, and not only one that is set aside.
    pub(super) fn has(&self, digest: &str) -> bool {
        self.path(digest).exists()
    }

    /// The digests of the files that are set aside.
    pub(super) fn orphans(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut orphans = BTreeSet::new();
        for path in self.files("reading") {
            let path = path?;
            let name = path.file_name().and_then(|name| name.to_str());
            orphans.extend(name.and_then(|name| name.strip_suffix(ORPHAN_NAME)).map(str::to_owned));
        }
        Ok(orphans)
    }

    /// Removes a file that is set aside.
    pub(super) fn remove_orphan(&self, digest: &str) -> Result<(), StoreError> {
        let path = self.path(digest).with_extension(ORPHAN);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("sweeping", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes one file, also where it was set aside before; gives whether it had its name.
    pub(super) fn remove(&self, digest: &str) -> Result<bool, StoreError> {
        let path = self.path(digest);
        self.remove_orphan(digest)?;
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

fn write_aside(path: &Path, octets: &Octets) -> io::Result<()> {
    let mut file = File::create(path)?;
    for chunk in octets.checked() {
        file.write_all(&chunk.map_err(io::Error::other)?)?;
    }
    file.sync_data()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Octets that are digested at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Extension of a file that is being written.
const ASIDE: &str = "aside";
/// Extension of a file that is set aside, because no record seemed to name it.
const ORPHAN: &str = "orphan";
/// How its name ends.
pub(super) const ORPHAN_NAME: &str = ".orphan";

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
        let read = || files.read("body", &digest);
        assert_eq!(read().expect("whole"), blob.octets);

        fs::write(files.path(&digest), b"a larger body").expect("changed");
        assert!(matches!(read(), Err(StoreError::Damaged(_))), "P12");
        files.write(&blob).expect("written again");
        assert_eq!(read().expect("mended"), blob.octets);
    }

    #[test]
    fn what_was_spooled_gets_its_name_or_goes() {
        let (_directory, files) = files();
        let octets = vec![7; 3 << 20];
        let spool = |name: &str| {
            let path = files.spool().join(name).with_extension(ASIDE);
            fs::write(&path, &octets).expect("written");
            let file = Arc::new(File::open(&path).expect("it is there"));
            (path.clone(), spooled(file, path, octets.len() as u64, Digest::of(&octets)))
        };
        let (lost, body) = spool("lost");
        drop(body.clone());
        assert!(lost.exists(), "somebody holds it");
        drop(body);
        assert!(!lost.exists(), "nobody committed it");

        let (aside, body) = spool("kept");
        let blob = Blob::of(body);
        files.write(&blob).expect("named");
        files.write(&blob).expect("named already");
        let digest = blob.digest.to_string();
        drop(blob);
        assert!(!aside.exists() && files.path(&digest).exists());
        let read = || files.read("body", &digest).and_then(|octets| checked("body", octets));
        assert_eq!(read().expect("whole"), octets.clone().into());
        assert!(read().expect("whole").as_held().is_none(), "P13");
        fs::write(files.path(&digest), &octets[1..]).expect("changed");
        assert!(matches!(read(), Err(StoreError::Damaged(_))), "P12");
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
        assert_eq!(files.read("body", &name).expect("still there"), kept.octets);
        let orphaned = orphan.digest.to_string();
        assert!(!files.path(&orphaned).exists());
        assert_eq!(files.read("body", &orphaned).expect("set aside"), orphan.octets, "P12");
        assert_eq!(files.sweep(|named| Ok(named == name)).expect("swept"), 0, "once");
        assert_eq!(files.orphans().expect("listed"), BTreeSet::from([orphaned.clone()]));
        files.remove_orphan(&orphaned).expect("removed");
        assert!(files.read("body", &orphaned).is_err());
    }
}
