//! The disk: what of a recording is durable, what is pending, and every state that a crash may leave of it.
//!
//! ```text
//! a sync of a file        its earlier writes survive; nothing else does for certain
//! an unsynced write       survives, or not, or torn: each sector of 512 octets by itself, whatever the others do
//! an unsynced length      survives with or without what was written: zeros stand where nothing does
//! a failed sync           what it should have written is read by everybody, and no later sync writes it: it survives, or
//!                         not, until it is written over
//! a name                  made, changed or taken away: survives, or not, until its directory is synced,
//!                         whatever other names do
//! a move                  to another directory: made in that one and gone from the other, each until its own is synced
//! ```
//!
//! This allows more than any journalling file system does. What is pending is only ever added to between two syncs, and
//! what has been answered only grows: so the states just before a sync contain those of every earlier point since the
//! last one, with more to be kept. They are therefore built before every sync, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recording::Call;

/// What a crash tears no write within.
const SECTOR: usize = 512;

/// A file or directory, by its number.
pub(super) type Node = usize;

/// A disk and what is pending on it.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<Node, File>,
    pub(super) directories: BTreeMap<Node, Directory>,
    handles: BTreeMap<u64, Node>,
    next: Node,
}

/// A file.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) durable: Arc<Vec<u8>>,
    /// Changes since its last sync.
    pub(super) pending: Vec<Change>,
    /// So many of them, the first, are of no concern to a sync any more, since one failed.
    taken: usize,
}

/// A change of a file.
#[derive(Clone)]
pub(super) enum Change {
    Write { at: u64, octets: Arc<[u8]> },
    Resize(u64),
}

/// A directory: names that are durable, and changes of them since its last sync.
#[derive(Clone, Default)]
pub(super) struct Directory {
    durable: BTreeMap<String, Node>,
    pub(super) pending: Vec<Named>,
}

/// A change of names.
#[derive(Clone)]
pub(super) enum Named {
    Made(String, Node),
    Renamed(String, String, Node),
    Gone(String),
}

/// The directory that the store is in.
const ROOT: Node = 0;

impl Disk {
    /// An empty disk.
    pub(super) fn empty() -> Self {
        let directories = [(ROOT, Directory::default())].into();
        Self { files: BTreeMap::new(), directories, handles: BTreeMap::new(), next: ROOT + 1 }
    }

    /// What a call does.
    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Answered(_) => {}
            Call::Mkdir(path) => {
                let node = self.made(path);
                self.directories.insert(node, Directory::default());
            }
            Call::Open { path, handle, makes, emptied } => {
                let node = self.find(path).unwrap_or_else(|| {
                    assert!(*makes, "{} is there", path.display());
                    let node = self.made(path);
                    self.files.insert(node, File::default());
                    node
                });
                if *emptied && !self.files[&node].now().whole().is_empty() {
                    self.changed(node, Change::Resize(0));
                }
                self.handles.insert(*handle, node);
            }
            Call::Write { handle, at, octets } => {
                self.changed(self.handles[handle], Change::Write { at: *at, octets: octets.clone() });
            }
            Call::Resize { handle, length } => self.changed(self.handles[handle], Change::Resize(*length)),
            Call::Sync { handle } => self.sync(self.handles[handle]),
            Call::Failed { handle } => {
                let file = self.files.get_mut(&self.handles[handle]).expect("a file");
                file.taken = file.pending.len();
            }
            Call::Rename { from, to } => {
                let node = self.find(from).expect("what is renamed is there");
                if from.parent() == to.parent() {
                    self.named(from, Named::Renamed(name_of(from), name_of(to), node));
                } else {
                    self.named(to, Named::Made(name_of(to), node));
                    self.named(from, Named::Gone(name_of(from)));
                }
            }
            Call::Unlink(path) => self.named(path, Named::Gone(name_of(path))),
        }
    }

    fn sync(&mut self, node: Node) {
        if let Some(file) = self.files.get_mut(&node) {
            file.sync();
        } else if let Some(directory) = self.directories.get_mut(&node) {
            directory.durable = directory.names(|_| true);
            directory.pending.clear();
        }
    }

    fn changed(&mut self, node: Node, change: Change) {
        self.files.get_mut(&node).expect("a file").pending.push(change);
    }

    fn named(&mut self, path: &Path, change: Named) {
        let parent = self.find(path.parent().expect("beneath the root")).expect("its directory is there");
        self.directories.get_mut(&parent).expect("a directory").pending.push(change);
    }

    fn made(&mut self, path: &Path) -> Node {
        let node = self.next;
        self.next += 1;
        self.named(path, Named::Made(name_of(path), node));
        node
    }

    /// What stands under a path now.
    fn find(&self, path: &Path) -> Option<Node> {
        path.iter().try_fold(ROOT, |at, name| {
            let names = self.directories.get(&at)?.names(|_| true);
            names.get(name.to_str()?).copied()
        })
    }

    /// The paths of everything, when of the changes of names in each directory those survive that `kept` says.
    pub(super) fn paths(&self, kept: &BTreeMap<Node, BTreeSet<usize>>) -> BTreeMap<PathBuf, Node> {
        let mut paths = BTreeMap::new();
        let mut left = vec![(PathBuf::new(), ROOT)];
        while let Some((path, node)) = left.pop() {
            let Some(directory) = self.directories.get(&node) else { continue };
            let survives = |place: usize| kept.get(&node).is_some_and(|kept| kept.contains(&place));
            for (name, node) in directory.names(survives) {
                let path = path.join(name);
                paths.insert(path.clone(), node);
                left.push((path, node));
            }
        }
        paths
    }
}

impl Directory {
    fn names(&self, survives: impl Fn(usize) -> bool) -> BTreeMap<String, Node> {
        let mut names = self.durable.clone();
        for (_, change) in self.pending.iter().enumerate().filter(|(place, _)| survives(*place)) {
            match change {
                Named::Made(name, node) => drop(names.insert(name.clone(), *node)),
                Named::Renamed(from, to, node) => {
                    names.remove(from);
                    names.insert(to.clone(), *node);
                }
                Named::Gone(name) => drop(names.remove(name)),
            }
        }
        names
    }

    /// Which changes of names may survive: any of them. Where there are many, they are the names of a store in the making,
    /// which has no name yet by which it could be opened, and is cleared away unread: none, the first, all but the last,
    /// and all stand for the rest.
    pub(super) fn outcomes(&self) -> Vec<BTreeSet<usize>> {
        let count = self.pending.len();
        if count > NAMES_MAX {
            return [0, 1, count - 1, count].map(|kept| (0..kept).collect()).to_vec();
        }
        subsets(count).map(|kept| kept.into_iter().collect()).collect()
    }
}

/// A piece of a change that a crash does not tear.
struct Piece<'a> {
    /// The place of its change among those that are pending.
    change: usize,
    at: usize,
    octets: &'a [u8],
}

/// For each piece of what is pending, whether it survives.
pub(super) type Kept = Vec<bool>;

/// A file as a crash leaves it: what is durable, with a part of it replaced.
pub(super) struct Image {
    durable: Arc<Vec<u8>>,
    /// Where the part that may differ from what is durable begins.
    pub(super) from: usize,
    part: Vec<u8>,
    length: usize,
}

impl Image {
    /// These octets of it, when it is so long.
    pub(super) fn get(&self, at: usize, count: usize) -> Option<Vec<u8>> {
        let end = at + count;
        if end > self.length {
            return None;
        }
        let within = |octets: &[u8], from: usize, to: usize| -> Vec<u8> {
            octets.get(from..to.min(octets.len())).unwrap_or_default().to_vec()
        };
        let behind = self.from + self.part.len();
        let mut octets = Vec::with_capacity(count);
        if at < self.from {
            octets = within(&self.durable, at, end.min(self.from));
        }
        if end > self.from && at < behind {
            octets.extend(within(&self.part, at.max(self.from) - self.from, end.min(behind) - self.from));
        }
        if end > behind {
            octets.extend(within(&self.durable, at.max(behind), end));
        }
        let missing = count - octets.len();
        octets.extend_from_slice(&vec![0; missing]);
        Some(octets)
    }

    /// All of it.
    pub(super) fn whole(&self) -> Vec<u8> {
        let mut whole = vec![0; self.length];
        let mut fill = |at: usize, octets: &[u8]| {
            let end = self.length.min(at + octets.len());
            if at < end {
                whole[at..end].copy_from_slice(&octets[..end - at]);
            }
        };
        fill(0, &self.durable);
        fill(self.from, &self.part);
        whole
    }
}

impl File {
    fn sync(&mut self) {
        let written = self.pending.split_off(self.taken);
        let of_write = |change: &Change| match change {
            Change::Write { at, octets } => (*at, at + octets.len() as u64),
            Change::Resize(_) => unreachable!("no log is resized when a sync of it has failed"),
        };
        if self.taken > 0 {
            let over: Vec<_> = written.iter().map(of_write).collect();
            self.pending.retain(|lost| {
                let (from, to) = of_write(lost);
                let is_over = over.iter().any(|(begin, end)| *begin <= from && to <= *end);
                assert!(
                    is_over || over.iter().all(|(begin, end)| *end <= from || to <= *begin),
                    "all or nothing"
                );
                !is_over
            });
            self.taken = self.pending.len();
        }
        let durable = Self { durable: self.durable.clone(), pending: written, taken: 0 }.now().whole();
        self.durable = Arc::new(durable);
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        for (change, pending) in self.pending.iter().enumerate() {
            let Change::Write { at, octets } = pending else {
                pieces.push(Piece { change, at: 0, octets: &[] });
                continue;
            };
            let (mut at, mut left) = (*at as usize, &octets[..]);
            while !left.is_empty() {
                let (now, later) = left.split_at(left.len().min(SECTOR - at % SECTOR));
                pieces.push(Piece { change, at, octets: now });
                (at, left) = (at + now.len(), later);
            }
        }
        pieces
    }

    /// It, when these pieces survive; with all of its `length`, when that survives by itself.
    pub(super) fn image(&self, kept: &[bool], all_length: bool) -> Image {
        let resized = |change: &Change| matches!(change, Change::Resize(_));
        let pieces = self.pieces();
        let from =
            if self.pending.iter().any(resized) { Some(0) } else { pieces.iter().map(|it| it.at).min() };
        let from = from.unwrap_or(self.durable.len());
        let mut length = self.durable.len();
        let end = |piece: &Piece<'_>| piece.at + piece.octets.len();
        let last = pieces.iter().map(end).max().unwrap_or(0).max(from);
        let mut part = vec![0; last - from];
        let durable = self.durable.get(from..last.min(length)).unwrap_or_default();
        part[..durable.len()].copy_from_slice(durable);
        for (piece, _) in pieces.iter().zip(kept).filter(|(_, kept)| **kept) {
            if let Change::Resize(resized) = self.pending[piece.change] {
                length = resized as usize;
                part.get_mut(length..).unwrap_or_default().fill(0);
                continue;
            }
            let at = piece.at - from;
            part[at..at + piece.octets.len()].copy_from_slice(piece.octets);
            length = length.max(end(piece));
        }
        if all_length {
            length = length.max(last);
        }
        Image { durable: self.durable.clone(), from, part, length }
    }

    /// Pages of so many octets that are not written for certain.
    pub(super) fn changed_pages(&self, page: usize) -> BTreeSet<usize> {
        self.pieces().iter().map(|piece| piece.at / page).collect()
    }

    /// Everything that a running process sees.
    pub(super) fn now(&self) -> Image {
        self.image(&vec![true; self.pieces().len()], false)
    }

    /// Which pieces may survive, and whether all of the length does: every prefix of them; all but one change, and one change alone; all but one sector; and
    /// where there are few changes, any of those. What else there is differs from these in nothing that is read: see the
    /// head of the folder.
    pub(super) fn outcomes(&self) -> BTreeSet<(Kept, bool)> {
        let pieces = self.pieces();
        let some = |keep: &dyn Fn(usize, usize) -> bool| -> Kept {
            pieces.iter().enumerate().map(|(place, piece)| keep(place, piece.change)).collect()
        };
        let mut outcomes = BTreeSet::from([some(&|_, _| false)]);
        for piece in 0..pieces.len() {
            outcomes.insert(some(&|it, _| it <= piece));
            outcomes.insert(some(&|it, _| it != piece));
        }
        for change in 0..self.pending.len() {
            outcomes.insert(some(&|_, it| it == change));
            outcomes.insert(some(&|_, it| it != change));
        }
        if self.pending.len() <= CHANGES_MAX {
            outcomes.extend(subsets(self.pending.len()).map(|kept| some(&|_, it| kept.contains(&it))));
        }
        let whole = (0..=self.pending.len()).map(|count| (some(&|_, it| it < count), true));
        whole.chain(outcomes.into_iter().map(|kept| (kept, false))).collect()
    }
}

fn subsets(count: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_u32 << count).map(move |bits| (0..count).filter(|place| bits >> place & 1 == 1).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
}

/// So many changes of names in a directory are tried in any combination.
const NAMES_MAX: usize = 6;
/// So many changes of a file are tried in any combination.
const CHANGES_MAX: usize = 8;
