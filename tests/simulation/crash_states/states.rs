//! Every state that a crash may leave at a point of the recording, built in a directory, opened with the real store, and
//! checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gwanmun::model::{Attested, Digest, TimelineEntry};
use gwanmun::store::{AuditVerdict, Batch, SqliteStore, Store as _};

use super::disk::{Disk, File, Image, Node};
use super::life::{commit, held_by, options};
use super::log::Log;
use super::recording::Call;

/// A point at which the power may go.
pub(super) struct Point {
    /// Its place in the recording.
    pub(super) place: usize,
    pub(super) disk: Disk,
    /// Batches that were answered before.
    pub(super) answered: usize,
}

/// The points before every sync, and the end.
pub(super) fn points(calls: &[Call]) -> Vec<Point> {
    let mut disk = Disk::empty();
    let mut answered = 0;
    let mut points = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        if matches!(call, Call::Sync { .. }) {
            points.push(Point { place, disk: disk.clone(), answered });
        }
        disk.apply(call);
        if let Call::Answered(number) = call {
            answered = *number;
        }
    }
    points.push(Point { place: calls.len(), disk, answered });
    points
}

/// A state that a crash leaves: directories, and files with their octets.
#[derive(Clone, Default)]
pub(super) struct State {
    directories: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// A file as a crash may leave it, with what tells it from others to whoever opens the store.
struct Outcome {
    key: String,
    octets: Vec<u8>,
}

impl Point {
    /// Shows every state to `visit` until it says that it is enough. States that the store cannot tell apart are shown
    /// once, but where `all` are asked for; those of one key come together then.
    pub(super) fn each_state(&self, all: bool, visit: &mut dyn FnMut(&str, &State) -> bool) {
        let kept = self.disk.directories.iter().filter(|(_, directory)| !directory.pending.is_empty());
        let kept: Vec<_> = kept.map(|(node, directory)| (*node, directory.outcomes())).collect();
        let mut seen = BTreeSet::new();
        for chosen in product(&kept.iter().map(|(_, outcomes)| outcomes.len()).collect::<Vec<_>>()) {
            let chosen = kept.iter().zip(chosen).map(|((node, outcomes), at)| (*node, outcomes[at].clone()));
            let paths = self.disk.paths(&chosen.collect());
            let (mut state, mut key, mut open) = (State::default(), String::new(), Vec::new());
            for (path, node) in paths {
                let is_unread = is_in_the_making(&path);
                if !is_unread {
                    key += &format!("{} ", path.display());
                }
                let Some(file) = self.disk.files.get(&node) else {
                    state.directories.push(path);
                    continue;
                };
                if is_of_no_account(&path) {
                    continue;
                }
                if file.pending.is_empty() || is_unread {
                    state.files.insert(path, file.durable.to_vec());
                } else {
                    let outcomes = self.outcomes(&path, file, all);
                    open.push((path, outcomes));
                }
            }
            for chosen in product(&open.iter().map(|(_, outcomes)| outcomes.len()).collect::<Vec<_>>()) {
                let mut key = key.clone();
                for ((path, outcomes), at) in open.iter().zip(chosen) {
                    key += &format!("{} ", outcomes[at].key);
                    state.files.insert(path.clone(), outcomes[at].octets.clone());
                }
                if (all || seen.insert(key.clone())) && !visit(&key, &state) {
                    return;
                }
            }
        }
    }

    /// How many changes of a file of the store may be lost; `None` when there are none.
    pub(super) fn pending(&self, name: &str) -> Option<usize> {
        let file = self.find(&Path::new(STORE).join(name))?;
        Some(file.pending.len()).filter(|pending| *pending > 1)
    }

    /// How a crash may leave a file. Those that cannot be told apart stand for each other, but where `all` are asked for.
    fn outcomes(&self, path: &Path, file: &File, all: bool) -> Vec<Outcome> {
        let reader = self.reader(path, file);
        let mut outcomes = BTreeMap::new();
        let mut every = Vec::new();
        for (kept, all_length) in file.outcomes() {
            let image = file.image(&kept, all_length);
            let key = reader.key(&image);
            if all {
                every.push(Outcome { key, octets: image.whole() });
            } else {
                outcomes.entry(key).or_insert_with(|| image.whole());
            }
        }
        every.extend(outcomes.into_iter().map(|(key, octets)| Outcome { key, octets }));
        every
    }

    /// How the store reads a file.
    fn reader(&self, path: &Path, file: &File) -> Reader {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with("-wal") {
            let image = file.image(&[], false);
            let before = if image.from < 32 { None } else { Some(Log::before(&image)) };
            return Reader::Log(before);
        }
        if name.ends_with(".db") {
            let log = path.with_file_name(format!("{name}-wal"));
            let log = self.find(&log).map(|log| Log::before(&log.image(&[], false)));
            let in_log = log.map(|log| log.pages).unwrap_or_default();
            let mut read = file.changed_pages(PAGE);
            read.retain(|page| !in_log.contains(&(*page as u32 + 1)));
            return Reader::Database(read);
        }
        match path.components().rev().nth(2) {
            _ if name == "mark" => Reader::Mark(newest_line(&file.now())),
            Some(bodies) if bodies.as_os_str() == "bodies" => Reader::Payload(name.to_owned()),
            _ => Reader::Other,
        }
    }

    fn find(&self, path: &Path) -> Option<&File> {
        let all = self.disk.directories.iter().map(|(node, it)| (*node, (0..it.pending.len()).collect()));
        let all: BTreeMap<Node, BTreeSet<usize>> = all.collect();
        self.disk.paths(&all).get(path).and_then(|node| self.disk.files.get(node))
    }
}

/// What the store reads of a file: two images with one key are one file to it.
enum Reader {
    /// What counts; with the log as far as it cannot have changed.
    Log(Option<Log>),
    /// Of the pages that are not written for certain these do not stand in the log, from which others are read; only the
    /// first sector is looked at before the log is.
    Database(BTreeSet<usize>),
    /// The newer of two lines. It is compared with the entry of its number, and entries never change: so the oldest that
    /// may have survived and the newest stand for those between.
    Mark(Option<Vec<u8>>),
    /// Octets are read against the digest in the name, and what has another name is swept.
    Payload(String),
    Other,
}

impl Reader {
    fn key(&self, image: &Image) -> String {
        match self {
            Self::Log(None) => format!("{:?}", Log::read(image).key(image, 0)),
            Self::Log(Some(before)) => {
                format!("{:?}", before.clone().read_on(image, usize::MAX).key(image, image.from))
            }
            Self::Database(read) => {
                let mut octets = image.get(0, 512).unwrap_or_default();
                let pages = read.iter().map(|page| image.get(page * PAGE, PAGE).unwrap_or_default());
                pages.for_each(|page| octets.extend_from_slice(&page));
                format!("{} {}", octets.len(), Digest::of(&octets))
            }
            Self::Mark(newest) => {
                let length = image.get(8192, LENGTH_LINE).map(|line| Digest::of(&line));
                format!("newest: {}, length: {length:?}", newest_line(image) == *newest)
            }
            Self::Payload(name) => (Digest::of(&image.whole()).to_string() == *name).to_string(),
            Self::Other => Digest::of(&image.whole()).to_string(),
        }
    }
}

/// The line of the mark that is read: numbers have one length, so the newer one is the greater text.
fn newest_line(image: &Image) -> Option<Vec<u8>> {
    let line = |at| image.get(at, MARK_LINE).filter(|line| line.ends_with(b"\n"));
    line(0).max(line(4096))
}

/// What is never read: the locks are empty, and shared memory is cleared by the first who opens the database.
fn is_of_no_account(path: &Path) -> bool {
    path.ends_with("lock")
        || path.ends_with("sweeping")
        || path.to_str().is_some_and(|path| path.ends_with("-shm"))
}

/// What stands in a store that is not made to its end: it is cleared away, whatever it is, and made anew.
fn is_in_the_making(path: &Path) -> bool {
    path.starts_with("store.making") && path.components().count() > 1
}

/// Every choice of one from each of so many.
fn product(counts: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let total: usize = counts.iter().product();
    let counts = counts.to_vec();
    (0..total).map(move |mut number| {
        let digit = |count: &usize| {
            let digit = number % count;
            number /= count;
            digit
        };
        counts.iter().map(digit).collect()
    })
}

impl State {
    /// Builds it in an empty directory.
    pub(super) fn build(&self, root: &Path) {
        for directory in &self.directories {
            fs::create_dir(root.join(directory)).expect("its parent stands before it");
        }
        for (path, octets) in &self.files {
            fs::write(root.join(path), octets).expect("its directory is there");
        }
    }

    /// Opens it and checks everything that must hold. Gives how many batches it holds.
    pub(super) fn check(&self, point: &Point, expected: &[Digest]) -> Result<usize, String> {
        let root = place();
        self.build(root.path());
        let place = root.path().join(STORE);
        let store =
            SqliteStore::open(options(&place)).map_err(|error| format!("it does not open: {error} (P14)"))?;
        let law = store.conservation().map_err(|error| error.to_string())?;
        if !law.holds() {
            return Err(format!("the conservation law is broken (P2): {law:?}"));
        }
        match store.verify_audit() {
            Ok(AuditVerdict::Intact(_)) => {}
            verdict => return Err(format!("the audit record is broken (P18): {verdict:?}")),
        }
        let damage = store.scrub().map_err(|error| error.to_string())?;
        if let Some(damage) = damage.first() {
            return Err(format!("damage: {damage} (P12)"));
        }
        let held = held_by(&store);
        let Some(number) = expected.iter().rposition(|expected| *expected == held) else {
            return Err("what it holds is not the work of any number of whole batches (P1)".to_owned());
        };
        if number < point.answered {
            return Err(format!("{} batches were answered and {number} are there (P1)", point.answered));
        }
        let entry = TimelineEntry {
            at: "2009-12-02T00:00:00Z".parse().expect("an instant"),
            event: "gateway.started".into(),
            case: None,
            party: None,
            message_id: None,
            delivery: None,
            text: "it goes on".to_owned(),
            alarm: false,
            octets: Attested::default(),
        };
        let more = Batch { audit: vec![entry], ..Batch::default() };
        commit(&store, more).map_err(|error| format!("it takes nothing more: {error}"))?;
        Ok(number)
    }
}

/// A directory for a store; in memory where there is such a place, as nothing here loses power.
pub(super) fn place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    place.expect("a directory")
}

/// The name of the store in its place.
pub(super) const STORE: &str = "store";
/// A line of the mark.
const MARK_LINE: usize = 95;
/// Its line with the length of the database.
const LENGTH_LINE: usize = 30;
/// A page of the store.
const PAGE: usize = 8192;
