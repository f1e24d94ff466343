//! A partner's journal: what it received and handed on, what it sent, how that ended. One file of JSON lines,
//! append-only and synced.
//!
//! Promises: one line takes a message in, with its duplicate key and the answer that every repeat gets, so
//! that a message is handed on exactly once however often the process dies; a line that was torn by a crash
//! was never promised to anybody and is cut off. Appends that come together share a sync.
//!
//! The journal grows for as long as the practice lasts: it is a record for people and tests, not a store.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::model::{ConversationId, CpaId, Digest, DigestReference, MessageId, Timestamp};

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// A business message was taken in and handed on.
    Received(Received),
    /// A message of our own was made; from here on it is sent until its end is known.
    Sent(Sent),
    /// A message of our own is done with.
    Ended(Ended),
    /// The gateway posted a signal about a message that a command sent, which is to read it here.
    Signal(Posted),
}

/// A message that was taken in and handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// When.
    pub time: Timestamp,
    /// MessageId.
    pub message_id: MessageId,
    /// RefToMessageId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_to_message_id: Option<MessageId>,
    /// ConversationId.
    pub conversation_id: ConversationId,
    /// Service.
    pub service: Arc<str>,
    /// Action.
    pub action: Arc<str>,
    /// Number of its document, where it has one that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Arc<str>>,
    /// Number of the application or declaration that the document is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Arc<str>>,
    /// What the document says, in a word or two.
    pub says: String,
    /// SHA-256 of its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The document itself, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Arc<str>>,
    /// Everything else that came with it: Content-ID and digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<(Arc<str>, Digest)>,
    /// What a repeat of the message shares with it.
    pub content: Digest,
    /// The answer that it and every repeat gets.
    pub answer: Octets,
}

/// A message of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// When it was made.
    pub time: Timestamp,
    /// MessageId.
    pub message_id: MessageId,
    /// RefToMessageId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_to_message_id: Option<MessageId>,
    /// ConversationId.
    pub conversation_id: ConversationId,
    /// CPAId.
    pub cpa_id: CpaId,
    /// Action.
    pub action: Arc<str>,
    /// Number of its document.
    pub document: Arc<str>,
    /// Number of the application or declaration that the document is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Arc<str>>,
    /// What the document says, in a word or two.
    pub says: String,
    /// The received message that it answers.
    pub cause: MessageId,
    /// The octets of every attempt.
    pub sealed: Octets,
    /// What its signature covers; a receipt must repeat it.
    pub references: Vec<DigestReference>,
}

/// A signal that came by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// When.
    pub time: Timestamp,
    /// The message that it is about.
    pub about: MessageId,
    /// The signal as it came.
    pub octets: Octets,
}

/// The end of a message of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub time: Timestamp,
    /// MessageId.
    pub message_id: MessageId,
    /// How.
    pub how: Ending,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How a message of our own ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A verified acknowledgment of its digests came.
    Acknowledged,
    /// The gateway refused it.
    Refused,
    /// Its retries are spent.
    Expired,
    /// The gateway took it, and nothing more is heard of that here.
    Taken,
}

/// HTTP entity of a message, so that it can be sent again octet for octet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Octets {
    /// Content-Type.
    pub content_type: Arc<str>,
    /// Body, in base 64.
    #[serde(with = "base64_text")]
    pub body: Vec<u8>,
}

/// Where a line stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    at: u64,
    length: usize,
}

/// An open journal; one process at a time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    lines: Option<mpsc::Sender<Line>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Line {
    octets: Vec<u8>,
    done: oneshot::Sender<io::Result<Place>>,
}

impl Journal {
    /// The journal file in a partner's directory.
    #[must_use]
    pub fn path_in(directory: &Path) -> PathBuf {
        directory.join("journal.jsonl")
    }

    /// Opens the journal of a directory, made if it is not there, and tells every entry with its place.
    ///
    /// # Errors
    /// When another process has it open, it cannot be read or written, or a line in its midst is damaged.
    pub fn open(directory: &Path, mut tell: impl FnMut(Entry, Place)) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = Self::path_in(directory);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        keep(&file)?;
        let end = replay(&file, &mut tell)?;
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_lines(&mut file, end, waiting))?;
        Ok(Self { path, lines: Some(lines), writer: Some(writer) })
    }

    /// Whether a process has the journal of a directory open: a listener that notes there what comes.
    #[must_use]
    pub fn is_kept(directory: &Path) -> bool {
        let file = File::open(Self::path_in(directory));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }

    /// Appends an entry; returns once it is on stable storage.
    ///
    /// # Errors
    /// When it cannot be written. Nothing may be promised then.
    pub async fn append(&self, entry: &Entry) -> io::Result<Place> {
        let mut octets = serde_json::to_vec(entry)?;
        octets.push(b'\n');
        let (done, written) = oneshot::channel();
        let closed = || io::Error::other("the journal is closed");
        let lines = self.lines.as_ref().ok_or_else(closed)?;
        lines.send(Line { octets, done }).await.map_err(|_| closed())?;
        written.await.map_err(|_| closed())?
    }

    /// Reads one entry again.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, place: Place) -> io::Result<Entry> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(place.at))?;
        let mut line = vec![0; place.length];
        file.read_exact(&mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// The whole entries of a journal file from an offset on, and the offset behind them. For readers beside
    /// the process that writes; a file that is not there yet is empty.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn entries_from(path: &Path, offset: u64) -> io::Result<(Vec<Entry>, u64)> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), offset)),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut entries = Vec::new();
        let end = replay(&file, &mut |entry, _| entries.push(entry))?;
        Ok((entries, offset + end))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has written nothing more; there is nobody left to tell.
            drop(writer.join());
        }
    }
}

/// Locks a journal for its process alone. Who only asks whether it is kept holds a shared lock meanwhile, for
/// a moment: that is waited for.
fn keep(file: &File) -> io::Result<()> {
    for _ in 0..PROBES_MAX {
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(());
        }
        if flock(file, FlockOperation::NonBlockingLockShared).is_err() {
            break;
        }
        std::thread::sleep(PROBE);
    }
    Err(io::Error::other("another practice partner has this journal open"))
}

/// Tells every whole line from where the file stands; returns the offset behind the last, counted from there.
fn replay(file: &File, tell: &mut impl FnMut(Entry, Place)) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut at, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok(at);
        }
        let entry = serde_json::from_slice(&line)
            .map_err(|error| io::Error::other(format!("damaged at octet {at}: {error}")))?;
        tell(entry, Place { at, length });
        at += length as u64;
    }
}

/// Writes what waits, syncs once, tells everybody; until the last sender is gone or the disk fails.
fn write_lines(file: &mut File, mut end: u64, mut waiting: mpsc::Receiver<Line>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < WAITING_MAX
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        let octets: Vec<u8> = group.iter().flat_map(|line| line.octets.iter().copied()).collect();
        let written = file.write_all(&octets).and_then(|()| file.sync_data());
        for line in group {
            let place = Place { at: end, length: line.octets.len() };
            end += line.octets.len() as u64;
            let told = match &written {
                Ok(()) => Ok(place),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // Who no longer waits need not be told.
            drop(line.done.send(told));
        }
        if written.is_err() {
            return;
        }
    }
}

const WAITING_MAX: usize = 256;
/// So often who asks is waited for, and so long each time.
const PROBES_MAX: u32 = 1000;
const PROBE: Duration = Duration::from_millis(1);

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ended(id: &str) -> Entry {
        Entry::Ended(Ended {
            time: Timestamp::from_millis(1_259_629_200_000),
            message_id: MessageId::new(id).expect("is an id"),
            how: Ending::Acknowledged,
            reason: String::new(),
        })
    }

    fn received(id: &str) -> Entry {
        Entry::Received(Received {
            time: Timestamp::from_millis(1_259_629_200_000),
            message_id: MessageId::new(id).expect("is an id"),
            ref_to_message_id: None,
            conversation_id: ConversationId::new("c").expect("is an id"),
            service: "RequirementVerification".into(),
            action: "GOVCBRX01".into(),
            document: Some("X01-1".into()),
            about: None,
            says: "1 item".to_owned(),
            digest: Some(Digest::of(b"document")),
            text: Some("<Declaration/>".into()),
            attachments: vec![("a".into(), Digest::of(b"attachment"))],
            content: Digest::of(b"content"),
            answer: Octets { content_type: "text/xml".into(), body: b"\xff\n".to_vec() },
        })
    }

    fn told(directory: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        Journal::open(directory, |entry, _| entries.push(entry)).map(|_| entries)
    }

    #[tokio::test]
    async fn what_was_appended_is_there_after_a_restart_and_can_be_read_by_place() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let journal = Journal::open(directory.path(), |_, _| panic!("is empty")).expect("opens");
        assert!(told(directory.path()).is_err(), "one process at a time");
        journal.append(&received("one")).await.expect("is written");
        let place = journal.append(&ended("two")).await.expect("is written");
        assert_eq!(journal.read(place).expect("is there"), ended("two"));
        drop(journal);
        assert_eq!(told(directory.path()).expect("opens"), [received("one"), ended("two")]);
    }

    #[test]
    fn who_asks_whether_it_is_kept_is_in_nobodys_way() {
        // Each is opened once: a process that another test starts may hold on to what was open for a moment.
        let directories: Vec<_> = (0..64).map(|_| tempfile::tempdir().expect("makes a directory")).collect();
        let directory = |at: usize| directories.get(at).map(tempfile::TempDir::path);
        let asked = AtomicUsize::new(0);
        for directory in &directories {
            File::create(Journal::path_in(directory.path())).expect("makes a journal");
        }
        let opened: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(directory) = directory(asked.load(Ordering::Relaxed)) {
                    std::hint::black_box(Journal::is_kept(directory));
                }
            });
            let opened = directories.iter().enumerate().map(|(at, directory)| {
                asked.store(at, Ordering::Relaxed);
                Journal::open(directory.path(), |_, _| ())
            });
            let opened = opened.collect();
            asked.store(directories.len(), Ordering::Relaxed);
            opened
        });
        for (opened, directory) in opened.iter().zip(&directories) {
            assert!(opened.is_ok() && Journal::is_kept(directory.path()), "{opened:?}");
        }
    }

    #[tokio::test]
    async fn a_torn_line_is_cut_off_and_a_damaged_one_is_not_passed_over() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let path = Journal::path_in(directory.path());
        let journal = Journal::open(directory.path(), |_, _| ()).expect("opens");
        journal.append(&ended("one")).await.expect("is written");
        drop(journal);
        let whole = std::fs::read(&path).expect("is there");
        let torn = [whole.as_slice(), &whole[..whole.len() / 2]].concat();
        std::fs::write(&path, &torn).expect("writes");
        assert_eq!(told(directory.path()).expect("opens"), [ended("one")]);
        assert_eq!(std::fs::read(&path).expect("is there"), whole);
        std::fs::write(&path, [b"{}\n", whole.as_slice()].concat()).expect("writes");
        assert!(told(directory.path()).is_err());
    }

    #[tokio::test]
    async fn a_reader_beside_the_writer_sees_whole_lines_only() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let path = Journal::path_in(directory.path());
        assert_eq!(Journal::entries_from(&path, 0).expect("is empty"), (Vec::new(), 0));
        let journal = Journal::open(directory.path(), |_, _| ()).expect("opens");
        journal.append(&ended("one")).await.expect("is written");
        let (entries, offset) = Journal::entries_from(&path, 0).expect("is read");
        assert_eq!(entries, [ended("one")]);
        journal.append(&ended("two")).await.expect("is written");
        let (entries, _) = Journal::entries_from(&path, offset).expect("is read");
        assert_eq!(entries, [ended("two")]);
    }
}
