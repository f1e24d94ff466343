//! The mark: the last audit entry that was committed, kept outside the write-ahead log.
//!
//! SQLite silently drops every frame after a damaged one, and everything when the log is gone; the mark is how
//! that is noticed at the next start. It is written after each commit and before anybody is answered, into two
//! slots in turn, and synced only now and then: it may lag behind after a power loss, but is never ahead of what
//! was durable. A third slot has the length of the database when all of the log was last copied into it: it never
//! shrinks, and the log, which says how long it is to be, does not tell that its end is missing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::{AuditHead, StoreError};

/// The mark beside a database.
pub(super) struct Mark {
    file: File,
    path: PathBuf,
    slot: u64,
    head: AuditHead,
    database_bytes: u64,
}

impl Mark {
    /// Makes the mark of an empty store, durably but for its name.
    pub(super) fn make(path: &Path) -> Result<(), StoreError> {
        Self::make_at(path, AuditHead::EMPTY)
    }

    /// The same, of a store that has this entry.
    pub(super) fn make_at(path: &Path, head: AuditHead) -> Result<(), StoreError> {
        let file = File::create(path).map_err(|source| failed("making", path, source))?;
        let mut mark =
            Self { file, path: path.to_owned(), slot: 0, head: AuditHead::EMPTY, database_bytes: 0 };
        mark.write(head).and_then(|()| mark.sync()).map_err(|source| failed("making", path, source))
    }

    /// Opens the mark and reads it. One that an operator has removed is made anew: that is how a loss is
    /// accepted.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || File::options().read(true).write(true).open(path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(path)?;
                open()
            }
            other => other,
        };
        let file = file.map_err(|source| failed("opening", path, source))?;
        let (slot, head) = newest_slot(&file, path)?;
        let database_bytes = read_length(&file).unwrap_or_default();
        Ok(Self { file, path: path.to_owned(), slot: 1 - slot, head, database_bytes })
    }

    /// The entry that the mark at this place remembers, if there is a mark. Changes nothing.
    pub(super) fn look(path: &Path) -> Result<Option<AuditHead>, StoreError> {
        match File::open(path) {
            Ok(file) => newest_slot(&file, path).map(|(_, head)| Some(head)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("opening", path, source)),
        }
    }

    /// How long the database is at least by the mark at this place, in octets; 0 when that is not known. Changes nothing.
    pub(super) fn look_at_length(path: &Path) -> u64 {
        File::open(path).ok().and_then(|file| read_length(&file)).unwrap_or_default()
    }

    /// The entry that it remembers.
    pub(super) const fn head(&self) -> AuditHead {
        self.head
    }

    /// Remembers another entry; unsynced.
    pub(super) fn write(&mut self, head: AuditHead) -> io::Result<()> {
        let line = summed(&format!("{:020} {} ", head.sequence, head.hash));
        self.file.write_all_at(line.as_bytes(), self.slot * SLOT_BYTES)?;
        self.slot = 1 - self.slot;
        self.head = head;
        Ok(())
    }

    /// How long the database is at least, in octets; 0 when that is not known.
    pub(super) const fn database_bytes(&self) -> u64 {
        self.database_bytes
    }

    /// Remembers how long the database is, all of which is durable; unsynced.
    pub(super) fn write_length(&mut self, bytes: u64) -> io::Result<()> {
        self.file.write_all_at(summed(&format!("{bytes:020} ")).as_bytes(), LENGTH_SLOT * SLOT_BYTES)?;
        self.database_bytes = bytes;
        Ok(())
    }

    /// Makes it durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Files { doing, path: path.to_owned(), source }
}

/// The slot that was written last, with what it says.
fn newest_slot(file: &File, path: &Path) -> Result<(u64, AuditHead), StoreError> {
    let slots = [0, 1].map(|slot| read_slot(file, slot));
    let newest = slots.iter().enumerate().filter_map(|(slot, head)| Some((slot as u64, (*head)?)));
    newest.max_by_key(|(_, head)| head.sequence).ok_or_else(|| {
        let reason = "its mark is damaged; verify the audit record and remove the mark by hand".to_owned();
        StoreError::NotAStore { path: path.to_owned(), reason }
    })
}

fn read_slot(file: &File, slot: u64) -> Option<AuditHead> {
    let text = read_line(file, slot, LINE_BYTES)?;
    let (sequence, hash) = text.split_once(' ')?;
    Some(AuditHead { sequence: sequence.parse().ok()?, hash: hash.parse().ok()? })
}

fn read_length(file: &File) -> Option<u64> {
    read_line(file, LENGTH_SLOT, LENGTH_LINE_BYTES)?.parse().ok()
}

/// A line with its checksum.
fn summed(text: &str) -> String {
    format!("{text}{:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// The text of a line whose checksum is right.
fn read_line(file: &File, slot: u64, bytes: usize) -> Option<String> {
    let mut line = vec![0; bytes];
    file.read_exact_at(&mut line, slot * SLOT_BYTES).ok()?;
    let line = std::str::from_utf8(&line).ok()?.strip_suffix('\n')?;
    let (text, checksum) = line.split_at_checked(line.len() - 8)?;
    let is_whole = u32::from_str_radix(checksum, 16).ok()? == crc32fast::hash(text.as_bytes());
    is_whole.then(|| text.trim_end().to_owned())
}

/// Slots are in different sectors, so that a torn write spoils one of them at most.
const SLOT_BYTES: u64 = 4096;
/// A number of 20 digits, a digest, a checksum, and what stands between and after them.
const LINE_BYTES: usize = 20 + 1 + 64 + 1 + 8 + 1;
/// The slot of the length of the database.
const LENGTH_SLOT: u64 = 2;
/// A number of 20 digits, a checksum, and what stands between and after them.
const LENGTH_LINE_BYTES: usize = 20 + 1 + 8 + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let directory = crate::store::tests::directory();
        let path = directory.path().join("mark");
        Mark::make(&path).expect("made");
        let (first, second) = (AuditHead::EMPTY.then("a"), AuditHead::EMPTY.then("a").then("b"));
        let mut mark = Mark::open(&path).expect("opened");
        assert_eq!(mark.head(), AuditHead::EMPTY);
        mark.write(first).expect("written");
        mark.write(second).expect("written");
        assert_eq!(Mark::open(&path).expect("opened").head(), second);

        let newest = 1 - mark.slot;
        mark.file.write_all_at(b"torn", newest * SLOT_BYTES).expect("written");
        assert_eq!(Mark::open(&path).expect("opened").head(), first, "a torn slot is passed over");
        mark.file.write_all_at(b"torn", (1 - newest) * SLOT_BYTES).expect("written");
        assert!(Mark::open(&path).is_err(), "without a whole slot nothing is known");
    }

    #[test]
    fn a_torn_length_is_none() {
        let directory = crate::store::tests::directory();
        let path = directory.path().join("mark");
        Mark::make(&path).expect("made");
        let mut mark = Mark::open(&path).expect("opened");
        assert_eq!(mark.database_bytes(), 0);
        mark.write_length(81_920).expect("written");
        assert_eq!(Mark::open(&path).expect("opened").database_bytes(), 81_920);
        mark.file.write_all_at(b"1", LENGTH_SLOT * SLOT_BYTES).expect("written");
        assert_eq!(Mark::open(&path).expect("opened").database_bytes(), 0);
    }
}
