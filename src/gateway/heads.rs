//! Signs the audit record: a head over all of it each minute or each so many entries, none while nothing changed
//! (P18; threat S26).
//!
//! Off the way of every commit: new entries are read back, each is compared with the chain, and the head is committed
//! by itself. A head may be late, and then it is told; nothing waits for one. Each is also appended to a file that the
//! operator names and ships away: from there a store that was rolled back is known.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::error;

use super::reconcile::restored;
use super::shared::{InForce, Shared, now};
use crate::config::AuditSettings;
use crate::model::{AuditHead, KeptHead, PartyKey, SignedHead, Timestamp, Tree, TreeHead};
use crate::security::sign_head;
use crate::store::{Batch, CommitError, Store, StoreError};
use crate::telemetry::EventCode;

/// How often it looks whether a head is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries, or heads, that are read at once.
const CHUNK: usize = 1000;
/// Heads of one look, which a stop waits for; a record that was never signed is signed within a few looks.
const HEADS_MAX: usize = 64;
/// Octets at the end of the file of heads in which its last line stands.
const LINE_BYTES_MAX: u64 = 4096;

/// How far the record is signed. Who asks never waits for who signs.
#[derive(Default)]
pub(super) struct Heads {
    work: Mutex<Work>,
    told: Mutex<Standing>,
}

/// What an operator is told.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// Entries that a signed head speaks for.
    pub(super) signed: u64,
    /// When it was signed.
    pub(super) signed_at: Option<Timestamp>,
    /// What is wrong.
    pub(super) trouble: Option<String>,
}

#[derive(Default)]
struct Work {
    grown: Option<Grown>,
    /// The file that heads were last appended to, and how many entries the last one there speaks for.
    outside: Option<(PathBuf, u64)>,
}

/// The last head, and the tree that the next one grows from.
struct Grown {
    tree: Tree,
    chain: AuditHead,
    signed_at: Option<Timestamp>,
    since: Instant,
}

impl Heads {
    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        locked(&self.told).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why no head could be signed or shipped.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadFault {
    #[error("the audit record cannot be read: {0}")]
    Unreadable(#[from] StoreError),
    #[error("audit entry {0} does not follow from the entries before it: the store was changed")]
    Broken(u64),
    #[error(
        "the audit record is signed as that of {signed}, and [gateway] party is {own}: one record has one gateway; take the \
         change back, or begin with an empty store"
    )]
    AnotherGateway { signed: PartyKey, own: PartyKey },
    #[error("a head cannot be signed: {0}")]
    Unsigned(String),
    #[error("a head cannot be committed: {0}")]
    Uncommitted(String),
    #[error("the store failed: {0}")]
    StoreFailed(String),
    #[error("{}: {error}", file.display())]
    Outside { file: PathBuf, error: io::Error },
    #[error(
        "{} knows a head of {entries} entries of the store that was lost: audit entry {number} says that this one was restored \
         from a backup; keep the file, move it away, and a new one is begun",
        file.display()
    )]
    Restored { file: PathBuf, entries: u64, number: u64 },
    #[error(
        "{} knows a head of {entries} entries that the store does not have: the store was rolled back or changed",
        file.display()
    )]
    RolledBack { file: PathBuf, entries: u64 },
}

impl HeadFault {
    const fn event(&self) -> EventCode {
        match self {
            Self::Broken(_) | Self::RolledBack { .. } => EventCode::AuditTampered,
            Self::StoreFailed(_) => EventCode::StoreFailed,
            _ => EventCode::AuditHeadFailed,
        }
    }
}

/// Signs what is due, until the gateway drains.
pub(super) async fn keep_heads(shared: Arc<Shared>) {
    while !*shared.draining.borrow() && !shared.has_failed() {
        look(&shared, false).await;
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = shared.drain_begins() => {}
        }
    }
}

/// Signs all that is not signed yet: the last thing before a stop.
pub(super) async fn sign_the_rest(shared: Arc<Shared>) {
    if !shared.has_failed() {
        look(&shared, true).await;
    }
}

/// Signs all that is not signed yet, on this thread; what keeps it from that. The file beside the store may have to wait.
pub(super) fn sign_all(shared: &Shared) -> Result<(), HeadFault> {
    match look_now(shared, true) {
        None
        | Some(HeadFault::Outside { .. } | HeadFault::RolledBack { .. } | HeadFault::Restored { .. }) => {
            Ok(())
        }
        Some(fault) => Err(fault),
    }
}

async fn look(shared: &Arc<Shared>, all: bool) {
    let shared = Arc::clone(shared);
    let looked = tokio::task::spawn_blocking(move || drop(look_now(&shared, all)));
    // A panic there is told by the runtime, and the next look begins anew.
    drop(looked.await);
}

fn look_now(shared: &Shared, all: bool) -> Option<HeadFault> {
    if shared.store_has_failed() {
        return None;
    }
    let _begun = shared.under_way.begin();
    let in_force = shared.in_force.load();
    let mut work = locked(&shared.heads.work);
    let trouble = keep(&*shared.store, &in_force, &mut work, all).err();
    let (signed, signed_at) =
        work.grown.as_ref().map_or((0, None), |grown| (grown.tree.size(), grown.signed_at));
    match &trouble {
        // No commit comes after it, and the process ends, also when nobody else commits (P10).
        Some(HeadFault::StoreFailed(why)) => shared.fail(why),
        // The head may be there all the same: the next look goes on from what is read back (P17).
        Some(HeadFault::Uncommitted(_)) => work.grown = None,
        _ => {}
    }
    let told = trouble.as_ref().map(ToString::to_string);
    let standing = Standing { signed, signed_at, trouble: told.clone() };
    let before = std::mem::replace(&mut *locked(&shared.heads.told), standing);
    if let (Some(fault), Some(told)) = (&trouble, told.filter(|told| before.trouble.as_ref() != Some(told))) {
        error!(event = fault.event().code(), reason = %told, "the audit record is not signed as it should be");
    }
    trouble
}

fn keep(store: &dyn Store, in_force: &InForce, work: &mut Work, all: bool) -> Result<(), HeadFault> {
    let audit = &in_force.settings.audit;
    let Work { grown, outside } = work;
    if grown.is_none() {
        *grown = Some(taken_up(store, &in_force.settings.identity.key)?);
    }
    if let Some(grown) = grown {
        let height = store.audit_height()?;
        for _ in 0..HEADS_MAX {
            let open = height.saturating_sub(grown.tree.size());
            match due(audit, open, grown.since.elapsed(), all) {
                0 => break,
                entries => sign(store, in_force, grown, entries)?,
            }
        }
    }
    match &audit.heads_file {
        Some(file) => append(store, file, outside),
        None => Ok(()),
    }
}

/// How many entries the next head speaks for beside those of the last one; none is due yet when it is 0.
fn due(audit: &AuditSettings, open: u64, waited: Duration, all: bool) -> u64 {
    match open {
        _ if all => open,
        _ if open >= audit.head_entries => audit.head_entries,
        _ if waited >= audit.head_interval => open,
        _ => 0,
    }
}

/// Goes on from the last head that can be read and goes with its tree, or from nothing. Heads after it are damaged: a
/// scrub names them, and the next head speaks for their entries too.
fn taken_up(store: &dyn Store, own: &PartyKey) -> Result<Grown, HeadFault> {
    let since = Instant::now();
    let mut below = u64::MAX;
    while let Some(KeptHead { signed: SignedHead { head, .. }, peaks }) = store.head_before(below)? {
        if head.gateway != *own {
            return Err(HeadFault::AnotherGateway { signed: head.gateway, own: own.clone() });
        }
        if let Some(tree) = Tree::of(head.entries, peaks).filter(|tree| tree.root() == head.root) {
            let chain = AuditHead { sequence: head.entries, hash: head.chain };
            return Ok(Grown { tree, chain, signed_at: Some(head.at), since });
        }
        below = head.entries;
    }
    Ok(Grown { tree: Tree::default(), chain: AuditHead::EMPTY, signed_at: None, since })
}

/// Signs a head that speaks for so many entries more.
fn sign(store: &dyn Store, in_force: &InForce, grown: &mut Grown, more: u64) -> Result<(), HeadFault> {
    let (mut tree, mut chain) = (grown.tree.clone(), grown.chain);
    let last = chain.sequence + more;
    while chain.sequence < last {
        let left = usize::try_from(last - chain.sequence).unwrap_or(CHUNK);
        let entries = store.chain(chain.sequence + 1, left.min(CHUNK))?;
        if entries.is_empty() {
            return Err(HeadFault::Broken(chain.sequence + 1));
        }
        for entry in entries {
            chain = chain.then(&entry.text);
            if entry.number != chain.sequence || entry.hash != chain.hash.to_string() {
                return Err(HeadFault::Broken(chain.sequence));
            }
            tree.push(chain.hash);
        }
    }
    let gateway = in_force.settings.identity.key.clone();
    let head = TreeHead { gateway, entries: last, root: tree.root(), chain: chain.hash, at: now() };
    let signed_at = Some(head.at);
    let key = in_force.keys.keys().next();
    let key = key.ok_or_else(|| HeadFault::Unsigned("there is no [[signing]] key".to_owned()))?;
    let signed = sign_head(key, head).map_err(|error| HeadFault::Unsigned(error.to_string()))?;
    commit(store, KeptHead { signed, peaks: tree.peaks().to_vec() })?;
    *grown = Grown { tree, chain, signed_at, since: Instant::now() };
    Ok(())
}

fn commit(store: &dyn Store, head: KeptHead) -> Result<(), HeadFault> {
    let (tell, told) = sync_channel(1);
    let batch = Batch { head: Some(head), ..Batch::default() };
    store.commit(batch, Box::new(move |outcome| drop(tell.send(outcome.map(|_| ())))));
    match told.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(CommitError::Fatal(why))) => Err(HeadFault::StoreFailed(why)),
        Ok(Err(error)) => Err(HeadFault::Uncommitted(error.to_string())),
        Err(_) => Err(HeadFault::Uncommitted("the store is gone".to_owned())),
    }
}

/// Appends the heads that the file does not have yet, each a line, and syncs.
fn append(store: &dyn Store, file: &Path, outside: &mut Option<(PathBuf, u64)>) -> Result<(), HeadFault> {
    let failed = |error| HeadFault::Outside { file: file.to_owned(), error };
    let known = outside.take().filter(|(known, _)| known == file).map(|(_, entries)| entries);
    let mut beyond = match known {
        Some(entries) => entries,
        None => taken_up_outside(store, file, failed)?,
    };
    loop {
        let heads = store.heads(beyond, CHUNK)?;
        let Some(last) = heads.last() else { break };
        beyond = last.signed.head.entries;
        let mut lines = String::new();
        for head in &heads {
            lines.push_str(&serde_json::to_string(&head.signed).expect("a head is JSON: it has no maps"));
            lines.push('\n');
        }
        let write = || {
            let mut open = File::options().append(true).create(true).open(file)?;
            open.write_all(lines.as_bytes())?;
            open.sync_data()
        };
        write().map_err(failed)?;
    }
    *outside = Some((file.to_owned(), beyond));
    Ok(())
}

/// How many entries the last head in the file speaks for. A line that a crash tore is cut off. The store must have
/// that head, or, where that is damaged, the entries that it speaks for: else it is not the store that the file was written from, or an earlier state of it. A file that ends in
/// something else proves nothing, so nothing is appended to it.
fn taken_up_outside(
    store: &dyn Store,
    file: &Path,
    failed: impl Fn(io::Error) -> HeadFault,
) -> Result<u64, HeadFault> {
    let Some(line) = last_line(file).map_err(&failed)? else { return Ok(0) };
    let last: SignedHead = serde_json::from_str(&line).map_err(|error| {
        let why = format!("its last line is no head ({error}): take the line out, or move the file away");
        failed(io::Error::new(io::ErrorKind::InvalidData, why))
    })?;
    let entries = last.head.entries;
    let here = store.heads(entries.saturating_sub(1), 1)?.into_iter().next();
    match here {
        Some(here) if here.signed == last => Ok(entries),
        _ if has_entries_of(store, &last.head)? => Ok(entries),
        _ => Err(match restored_after(store, &last)? {
            Some(number) => HeadFault::Restored { file: file.to_owned(), entries, number },
            None => HeadFault::RolledBack { file: file.to_owned(), entries },
        }),
    }
}

/// Whether the record is up to there the one that a head speaks for: the chain ends in what it says.
fn has_entries_of(store: &dyn Store, head: &TreeHead) -> Result<bool, StoreError> {
    let last = store.chain(head.entries, 1)?.into_iter().next();
    Ok(last.is_some_and(|last| last.number == head.entries && last.hash == head.chain.to_string()))
}

/// The entry that says that the store was restored after this head was signed, from a backup without its last entry.
fn restored_after(store: &dyn Store, head: &SignedHead) -> Result<Option<u64>, StoreError> {
    let SignedHead { head: TreeHead { entries, at, .. }, .. } = head;
    let said = restored(store, *entries)?;
    Ok(said.filter(|(_, entry)| *at < entry.at).map(|(number, _)| number))
}

/// The last whole line; what stands behind it is cut off. A file that is not there is made.
fn last_line(path: &Path) -> io::Result<Option<String>> {
    if !path.exists() {
        File::create(path)?.sync_all()?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        return Ok(None);
    }
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = fs::metadata(path)?.len();
    let from = length.saturating_sub(LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let whole = end.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
    if whole < end.len() {
        file.set_len(from + whole as u64)?;
        file.sync_all()?;
    }
    end.truncate(whole);
    let text = String::from_utf8_lossy(&end);
    Ok(text.lines().last().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, TimelineEntry};
    use crate::store::{SqliteStore, StoreOptions};

    fn head(entries: u64) -> KeptHead {
        let gateway = PartyKey::new("HUB").expect("a key");
        let (root, chain) = (Digest([1; 32]), Digest([2; 32]));
        let head = TreeHead { gateway, entries, root, chain, at: Timestamp::from_millis(0) };
        let signed = SignedHead { head, key: Digest([3; 32]), signature: "c2lnbmVk".to_owned() };
        KeptHead { signed, peaks: Vec::new() }
    }

    fn entries_in(file: &Path) -> Vec<u64> {
        let text = fs::read_to_string(file).expect("readable");
        let head = |line| serde_json::from_str::<SignedHead>(line).expect("a whole line").head.entries;
        text.lines().map(head).collect()
    }

    #[test]
    fn each_head_stands_outside_once_whatever_a_crash_left_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, later) = (directory.path().join("heads"), directory.path().join("later"));
        let store = SqliteStore::open(StoreOptions::at(directory.path().join("store"))).expect("opens");
        for entries in [2, 5] {
            commit(&store, head(entries)).expect("committed");
        }
        let mut outside = None;
        append(&store, &file, &mut outside).expect("appended");
        append(&store, &file, &mut outside).expect("nothing new");
        assert_eq!(entries_in(&file), [2, 5]);
        commit(&store, head(9)).expect("committed");
        let whole = fs::read(&file).expect("readable");
        for torn in [0, 1, 40, whole.len() / 2, whole.len() - 1, whole.len()] {
            fs::write(&file, &whole[..torn]).expect("written");
            append(&store, &file, &mut None).expect("appended");
            assert_eq!(entries_in(&file), [2, 5, 9], "cut at {torn}");
        }
        // A reload may name another file: all heads belong there too.
        append(&store, &later, &mut outside).expect("appended");
        assert_eq!(entries_in(&later), [2, 5, 9]);
    }

    #[test]
    fn a_store_that_was_rolled_back_is_told_and_the_file_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("heads");
        let open =
            |name: &str| SqliteStore::open(StoreOptions::at(directory.path().join(name))).expect("opens");
        let (store, earlier) = (open("store"), open("earlier"));
        for entries in [2, 5] {
            commit(&store, head(entries)).expect("committed");
        }
        append(&store, &file, &mut None).expect("appended");
        // What went on since does not hide it.
        for entries in [2, 4, 6] {
            commit(&earlier, head(entries)).expect("committed");
        }
        let told = append(&earlier, &file, &mut None).expect_err("S26");
        assert!(matches!(told, HeadFault::RolledBack { entries: 5, .. }), "{told}");
        assert_eq!(told.event(), EventCode::AuditTampered);
        assert_eq!(entries_in(&file), [2, 5]);
    }

    /// From a backup that was made between the entries and their head, or where the head is damaged.
    #[test]
    fn a_store_with_the_entries_of_the_last_head_outside_is_no_other_store() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("heads");
        let open = |name: &str| {
            let store = SqliteStore::open(StoreOptions::at(directory.path().join(name))).expect("opens");
            for event in ["a", "b"] {
                let batch = Batch { audit: vec![entry(event, 0)], ..Batch::default() };
                assert_eq!(settled(&store, batch), Ok(()));
            }
            store
        };
        let (store, without) = (open("store"), open("without"));
        let chain = store.chain(2, 1).expect("readable")[0].hash.parse().expect("a digest");
        let mut true_head = head(2);
        true_head.signed.head.chain = chain;
        commit(&store, true_head).expect("committed");
        append(&store, &file, &mut None).expect("appended");
        append(&without, &file, &mut None).expect("P20: they are the same entries");
        assert_eq!(entries_in(&file), [2]);
    }

    fn entry(event: &str, at: i64) -> TimelineEntry {
        TimelineEntry {
            at: Timestamp::from_millis(at),
            event: event.into(),
            case: None,
            party: None,
            message_id: None,
            delivery: None,
            text: String::new(),
            alarm: false,
            octets: crate::model::Attested::default(),
        }
    }

    fn settled(store: &dyn Store, batch: Batch) -> Result<(), CommitError> {
        let (tell, told) = sync_channel(1);
        store.commit(batch, Box::new(move |outcome| drop(tell.send(outcome.map(|_| ())))));
        told.recv().expect("told")
    }

    #[test]
    fn a_store_that_was_restored_is_told_apart_from_that() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("heads");
        let open =
            |name: &str| SqliteStore::open(StoreOptions::at(directory.path().join(name))).expect("opens");
        let lost = open("lost");
        for entries in [2, 5] {
            commit(&lost, head(entries)).expect("committed");
        }
        append(&lost, &file, &mut None).expect("appended");
        let check = |name: &str, restored_at: i64, entries_before: usize, expected: Option<u64>| {
            let restored = open(name);
            for number in 0..=entries_before {
                let event = if number == entries_before { TimelineEntry::STORE_RESTORED } else { "x" };
                let batch = Batch { audit: vec![entry(event, restored_at)], ..Batch::default() };
                assert_eq!(settled(&restored, batch), Ok(()));
            }
            let told = append(&restored, &file, &mut None).expect_err("it is another store (S26)");
            let found = if let HeadFault::Restored { number, .. } = told { Some(number) } else { None };
            assert_eq!(found, expected, "{name}: {told}");
            let tampered = told.event() == EventCode::AuditTampered;
            assert_eq!(tampered, expected.is_none(), "P20: {told}");
        };
        check("from a backup of 3 entries, after the head", 1, 3, Some(4));
        check("at the head's own time", 0, 3, None);
        check("from a backup that had the head's entries", 1, 5, None);
    }

    #[test]
    fn a_head_is_due_after_so_many_entries_or_so_long() {
        fn check(open: u64, waited_millis: u64, all: bool, expected: u64) {
            let head_interval = Duration::from_secs(60);
            let audit =
                AuditSettings { head_interval, head_entries: 1000, heads_file: None, time_stamp: None };
            let found = due(&audit, open, Duration::from_millis(waited_millis), all);
            assert_eq!(found, expected, "{open} entries, {waited_millis} ms (P18)");
        }
        check(0, 60_000, false, 0);
        check(999, 59_999, false, 0);
        check(1000, 0, false, 1000);
        check(1001, 0, false, 1000);
        check(1_000_000, 0, false, 1000);
        check(1, 59_999, false, 0);
        check(1, 60_000, false, 1);
        check(999, 60_001, false, 999);
        check(0, 0, true, 0);
        check(1, 0, true, 1);
        check(1_000_000, 0, true, 1_000_000);
    }

    #[test]
    fn a_file_that_ends_in_no_head_is_told_and_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("heads");
        let store = SqliteStore::open(StoreOptions::at(directory.path().join("store"))).expect("opens");
        commit(&store, head(2)).expect("committed");
        append(&store, &file, &mut None).expect("appended");
        let whole = fs::read_to_string(&file).expect("readable");
        for end in ["\n", "{}\n", "kept by me\n"] {
            let edited = whole.clone() + end;
            fs::write(&file, &edited).expect("written");
            let told = append(&store, &file, &mut None).expect_err("what went before is not known (S26)");
            assert!(told.to_string().contains("its last line is no head"), "{told}");
            assert_eq!(fs::read_to_string(&file).expect("readable"), edited);
        }
    }

    /// The heads of trees of these sizes over one record, as they are kept.
    fn grown(gateway: &str, sizes: &[u64]) -> Vec<KeptHead> {
        let (mut tree, mut chain) = (Tree::default(), AuditHead::EMPTY);
        let mut heads = Vec::new();
        for size in 1..=sizes.iter().copied().max().unwrap_or_default() {
            chain = chain.then(&size.to_string());
            tree.push(chain.hash);
            if sizes.contains(&size) {
                let mut kept = head(size);
                kept.signed.head.gateway = PartyKey::new(gateway).expect("a key");
                (kept.signed.head.root, kept.signed.head.chain) = (tree.root(), chain.hash);
                kept.peaks = tree.peaks().to_vec();
                heads.push(kept);
            }
        }
        heads
    }

    #[test]
    fn a_damaged_head_is_passed_over_and_one_of_another_gateway_ends_signing() {
        let directory = tempfile::tempdir().expect("a directory");
        let own = PartyKey::new("HUB").expect("a key");
        let place = directory.path().join("store");
        let store = SqliteStore::open(StoreOptions::at(&place)).expect("opens");
        let mut heads = grown("HUB", &[2, 5, 9]);
        // It goes with another tree than its own.
        heads[1].peaks = heads[0].peaks.clone();
        for head in heads {
            commit(&store, head).expect("committed");
        }
        assert_eq!(taken_up(&store, &own).expect("goes on").tree.size(), 9);
        drop(store);
        let disk = rusqlite::Connection::open(place.join("gwanmun.db")).expect("opens");
        disk.execute("UPDATE head SET checksum = checksum + 1 WHERE entries = 9", []).expect("damaged");
        disk.close().expect("closed");
        let store = SqliteStore::open(StoreOptions::at(&place)).expect("opens");
        assert_eq!(
            taken_up(&store, &own).expect("goes on").tree.size(),
            2,
            "from the last one that is whole"
        );
        assert_eq!(store.heads(0, 9).expect("readable").len(), 2, "an export goes on too");
        let renamed = PartyKey::new("HUB2").expect("a key");
        let told = taken_up(&store, &renamed).err().expect("one record has one gateway").to_string();
        assert!(told.contains("signed as that of HUB, and [gateway] party is HUB2"), "{told}");
    }
}
