//! Faults that are planted in the recording: a sync that was never called.
//! What is left is what a build without that sync would have asked of the disk, so the product holds no switch for it. Each is planted once
//! in the life, where a build would have it everywhere: that is harder to find. So with what is done in a wrong order.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::recording::Call;

/// Which sync is missing in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    /// A commit is not synced.
    Commit,
    /// The database is not synced before the log that was copied into it begins again.
    Checkpoint,
    /// The name of the log is not synced: not by us, and not by SQLite.
    LogName,
    /// The file of a payload is not synced.
    Payload,
    /// The name of a payload is not synced.
    PayloadName,
    /// The file that a body was spooled to is not synced before it gets its name.
    Body,
    /// Its name is not.
    BodyName,
    /// The directories of payloads are not synced when the store is made.
    PayloadDirectories,
    /// The names in a new store are not synced before it gets its own.
    NewStore,
    /// The name of a new store is not synced.
    StoreName,
    /// The mark of a new store is not synced.
    NewMark,
    /// The header of a log that begins again is not synced before its frames are written.
    LogHeader,
    /// A commit is answered before it is synced.
    AnsweredFirst,
    /// The record of a payload is committed before its file is there.
    RecordFirst,
    /// The mark is written before what it marks is synced.
    MarkFirst,
    /// The file of what is purged goes before the commit that purges it is synced.
    GoneFirst,
}

impl Plant {
    pub(super) const ALL: [Self; 16] = [
        Self::Commit,
        Self::Checkpoint,
        Self::LogName,
        Self::Payload,
        Self::PayloadName,
        Self::Body,
        Self::BodyName,
        Self::PayloadDirectories,
        Self::NewStore,
        Self::StoreName,
        Self::NewMark,
        Self::LogHeader,
        Self::AnsweredFirst,
        Self::RecordFirst,
        Self::MarkFirst,
        Self::GoneFirst,
    ];

    /// The recording with the fault in it, and from where on it differs.
    pub(super) fn plant(self, calls: &[Call]) -> (Vec<Call>, usize) {
        let paths = Paths::of(calls);
        let sync_of = |path: &str| paths.find(calls, 0, |call, at| is_sync(call) && at == Path::new(path));
        let first_commit = calls.iter().position(|call| *call == Call::Answered(1)).expect("it is answered");
        let commit_sync = || paths.rfind(calls, first_commit, |call, at| is_sync(call) && is_log(at));
        let mut planted = calls.to_vec();
        let place = match self {
            Self::Commit => without(&mut planted, commit_sync()),
            Self::Checkpoint => without(&mut planted, sync_of("store/gwanmun.db")),
            Self::LogName => {
                // The later one first: places before it stay.
                let (of_sqlite, ours) = (last_sync_of_store(&paths, calls), sync_of("store"));
                assert_ne!(of_sqlite, ours, "SQLite makes one of its own");
                without(&mut planted, of_sqlite);
                without(&mut planted, ours)
            }
            Self::Payload => {
                let (file, _) = syncs_of_file(&paths, calls, |at| !is_spooled(at));
                without(&mut planted, file)
            }
            Self::PayloadName => {
                let (_, name) = syncs_of_file(&paths, calls, |at| !is_spooled(at));
                without(&mut planted, name)
            }
            Self::Body => {
                let (file, _) = syncs_of_file(&paths, calls, is_spooled);
                without(&mut planted, file)
            }
            Self::BodyName => {
                let (_, name) = syncs_of_file(&paths, calls, is_spooled);
                without(&mut planted, name)
            }
            Self::PayloadDirectories => without(&mut planted, sync_of("store.making/bodies")),
            Self::NewStore => {
                // SQLite syncs the directory of its log too: the last one is ours.
                let ours = |call: &Call, at: &Path| is_sync(call) && at == Path::new("store.making");
                without(&mut planted, paths.rfind(calls, calls.len(), ours))
            }
            Self::StoreName => without(&mut planted, sync_of("")),
            Self::NewMark => without(&mut planted, sync_of("store.making/mark")),
            Self::LogHeader => without(&mut planted, log_header_sync(&paths, calls)),
            Self::AnsweredFirst => put(&mut planted, first_commit..first_commit + 1, commit_sync()),
            Self::RecordFirst => {
                let (begin, end) = payload(&paths, calls);
                put(&mut planted, begin..end, first_commit + 1)
            }
            Self::MarkFirst => {
                let of_mark = |call: &Call, at: &Path| is_write(call) && at == Path::new("store/mark");
                let mark = paths.find(calls, 0, of_mark);
                let first_frame = paths.find(calls, 0, |call, at| is_write(call) && is_log(at));
                put(&mut planted, mark..mark + 1, first_frame)
            }
            Self::GoneFirst => {
                let goes = |call: &Call| matches!(call, Call::Unlink(path) if path.starts_with("store/bodies") && !is_aside(path));
                let gone = calls.iter().position(goes).expect("a payload is purged");
                let purged = calls[..gone].iter().rposition(|call| matches!(call, Call::Answered(_)));
                let purged = purged.expect("its purge was answered before");
                let commit = paths.rfind(calls, purged, |call, at| is_sync(call) && is_log(at));
                put(&mut planted, gone..gone + 1, commit)
            }
        };
        (planted, place)
    }
}

/// The recording without the sync of the directory that SQLite makes itself, and from where on it differs.
pub(super) fn without_sync_of_sqlite(calls: &[Call]) -> (Vec<Call>, usize) {
    let mut planted = calls.to_vec();
    let place = without(&mut planted, last_sync_of_store(&Paths::of(calls), calls));
    (planted, place)
}

/// A recording in which the sync of the last commit before a process dies has failed.
pub(super) struct FailedSync {
    pub(super) calls: Vec<Call>,
    /// What the next start does about it: each write of the log, and its sync.
    pub(super) settled: Vec<usize>,
}

/// The recording up to the first answer after the next start's own, when the last commit of the process that dies was neither
/// synced nor answered.
pub(super) fn failed_sync(calls: &[Call]) -> FailedSync {
    let paths = Paths::of(calls);
    let opens = |path: &Path| path == Path::new("store/lock");
    let starts = |from| paths.find(calls, from, |call, at| matches!(call, Call::Open { .. }) && opens(at));
    let next_start = starts(starts(0) + 1);
    let is_answer = |call: &Call| matches!(call, Call::Answered(_));
    let answer = calls[..next_start].iter().rposition(is_answer).expect("it lived before");
    let changes = |call: &Call| is_write(call) || is_sync(call);
    assert!(!calls[answer..next_start].iter().any(changes), "its last act was an answer");
    let sync = paths.rfind(calls, answer, |call, at| is_sync(call) && is_log(at));
    let again = next_start + calls[next_start..].iter().position(is_answer).expect("it answers repeats");
    assert_eq!(calls[again], calls[answer], "of all that is there");
    let next = again + 1 + calls[again + 1..].iter().position(is_answer).expect("it goes on");
    let of_log = |place: &usize| paths.is(calls, *place, |call, at| changes(call) && is_log(at));
    let settled_at = (next_start..again).find(|place| of_log(place) && is_sync(&calls[*place]));
    let settled_at = settled_at.expect("the next start syncs the log");
    let settled: Vec<_> = (next_start..=settled_at).filter(of_log).collect();

    let Call::Sync { handle } = calls[sync] else { unreachable!("it is one") };
    let mut planted = calls[..=next].to_vec();
    planted.splice(sync..=answer, [Call::Failed { handle }]);
    FailedSync { calls: planted, settled: settled.into_iter().map(|place| place - (answer - sync)).collect() }
}

/// The last sync of the store's directory before anything is answered.
fn last_sync_of_store(paths: &Paths, calls: &[Call]) -> usize {
    let first_commit = calls.iter().position(|call| *call == Call::Answered(1)).expect("it is answered");
    paths.rfind(calls, first_commit, |call, at| is_sync(call) && at == Path::new("store"))
}

/// Which file each call is about.
struct Paths(Vec<Option<PathBuf>>);

impl Paths {
    fn of(calls: &[Call]) -> Self {
        let opened = |handle: u64| {
            calls.iter().find_map(|call| match call {
                Call::Open { path, handle: of, .. } if *of == handle => Some(path.clone()),
                _ => None,
            })
        };
        let about = |call: &Call| match call {
            Call::Open { path, .. } => Some(path.clone()),
            Call::Write { handle, .. }
            | Call::Resize { handle, .. }
            | Call::Sync { handle }
            | Call::Failed { handle } => opened(*handle),
            Call::Mkdir(_) | Call::Rename { .. } | Call::Unlink(_) | Call::Answered(_) => None,
        };
        Self(calls.iter().map(about).collect())
    }

    fn find(&self, calls: &[Call], from: usize, is_it: impl Fn(&Call, &Path) -> bool) -> usize {
        let mut places = from..calls.len();
        places.find(|place| self.is(calls, *place, &is_it)).expect("there is such a call")
    }

    fn rfind(&self, calls: &[Call], until: usize, is_it: impl Fn(&Call, &Path) -> bool) -> usize {
        let mut places = (0..until).rev();
        places.find(|place| self.is(calls, *place, &is_it)).expect("there is such a call")
    }

    fn is(&self, calls: &[Call], place: usize, is_it: impl Fn(&Call, &Path) -> bool) -> bool {
        self.0[place].as_ref().is_some_and(|path| is_it(&calls[place], path))
    }
}

fn without(calls: &mut Vec<Call>, place: usize) -> usize {
    calls.remove(place);
    place
}

/// Moves calls to another place. Gives from where on the recording differs.
fn put(calls: &mut Vec<Call>, moved: Range<usize>, to: usize) -> usize {
    let (from, count) = (moved.start, moved.len());
    let moved: Vec<_> = calls.drain(moved).collect();
    let to = if to > from { to - count } else { to };
    drop(calls.splice(to..to, moved));
    from.min(to)
}

/// Where the first payload is put in its place: from the file aside to the sync of its name.
fn payload(paths: &Paths, calls: &[Call]) -> (usize, usize) {
    let begin = paths.find(calls, 0, |_, at| is_aside(at));
    let (_, name) = syncs_of_file(paths, calls, |_| true);
    (begin, name + 1)
}

/// The sync of the first such file aside, and that of its name.
fn syncs_of_file(paths: &Paths, calls: &[Call], is_it: impl Fn(&Path) -> bool) -> (usize, usize) {
    let file = paths.find(calls, 0, |call, at| is_sync(call) && is_aside(at) && is_it(at));
    let is_named = |call: &Call, at: &Path| is_sync(call) && at.parent() == Some(Path::new("store/bodies"));
    (file, paths.find(calls, file, is_named))
}

/// The sync of the header of a log that begins again, over one that began with a smaller commit. Without it the old header
/// may survive, and behind it the old first commit and no more, as the frames behind that were written over: a log that
/// was copied long ago begins to count again.
fn log_header_sync(paths: &Paths, calls: &[Call]) -> usize {
    let is_header =
        |call: &Call| matches!(call, Call::Write { at: 0, octets, .. } if octets.len() == LOG_HEADER);
    let begins = |place: &usize| paths.is(calls, *place, |call, at| is_log(at) && is_header(call));
    let headers: Vec<_> = (0..calls.len()).filter(begins).collect();
    let first_commit = |header: usize| {
        let until_answered = calls[header..].iter().take_while(|call| !matches!(call, Call::Answered(_)));
        until_answered.filter(|call| is_write(call)).count()
    };
    let grows = |pair: &&[usize]| first_commit(pair[1]) as i64 - first_commit(pair[0]) as i64;
    let is_one_file = |pair: &&[usize]| {
        let ends = |call: &Call| matches!(call, Call::Unlink(path) if is_log(path));
        !calls[pair[0]..pair[1]].iter().any(ends)
    };
    let begun_again = headers.windows(2).filter(is_one_file);
    let header = begun_again.max_by_key(grows).expect("the log begins again")[1];
    paths.find(calls, header, |call, at| is_sync(call) && is_log(at))
}

fn is_write(call: &Call) -> bool {
    matches!(call, Call::Write { .. })
}

fn is_sync(call: &Call) -> bool {
    matches!(call, Call::Sync { .. })
}

fn is_log(path: &Path) -> bool {
    path == Path::new("store/gwanmun.db-wal")
}

fn is_aside(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "aside")
}

/// Whether a body is spooled to it: one that is written for its record is called by its digest.
fn is_spooled(path: &Path) -> bool {
    is_aside(path) && path.to_str().is_some_and(|path| path.contains('-'))
}

/// The header of a log.
const LOG_HEADER: usize = 32;
