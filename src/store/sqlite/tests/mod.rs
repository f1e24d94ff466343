//! What is particular to the home on SQLite: opening, group commit, limits, crashes and damage.

mod backup;
mod crash;
mod damage;
mod inspection;
mod large;
mod opening;
mod proofs;
mod told;

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use super::*;
use crate::model::Direction;
use crate::store::tests::sample::{delivery, delivery_id, new_message, party};
use crate::store::tests::suite::makes;
use crate::store::tests::{commit, directory, options, sample};
use crate::store::{ApprovalWrite, AuditHead, CaseWrite, Conflict, SequenceWrite};

fn place() -> (tempfile::TempDir, StoreOptions) {
    let directory = directory();
    let options = options(&directory);
    (directory, options)
}

fn open(options: &StoreOptions) -> SqliteStore {
    SqliteStore::open(options.clone()).expect("it opens")
}

fn receives(number: u32, body: &'static str) -> Batch {
    Batch { message: Some(new_message("broker", number, body)), ..makes(delivery(number, "kfda")) }
}

/// Commits without waiting.
fn submit(store: &SqliteStore, batch: Batch) -> Receiver<Result<(), CommitError>> {
    let (tell, told) = sync_channel(1);
    store.commit(batch, Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits")));
    told
}

/// Holds the writing thread inside a `done` while `meanwhile` runs.
fn while_the_writer_is_busy<T>(store: &SqliteStore, meanwhile: impl FnOnce() -> T) -> T {
    let (entered, has_entered) = sync_channel(1);
    let (release, released) = sync_channel::<()>(1);
    let hold = move |outcome: Result<_, CommitError>| {
        let is_on_the_writer = outcome.is_ok();
        entered.send(outcome.map(drop)).expect("the test waits");
        // A batch that is turned away is answered on the thread of the test, which must not wait for itself.
        if is_on_the_writer {
            released.recv().expect("the test releases");
        }
    };
    store.commit(makes(delivery(99_999, "nobody")), Box::new(hold));
    assert_eq!(has_entered.recv().expect("done is always called"), Ok(()));
    let outcome = meanwhile();
    release.send(()).expect("the writer waits");
    outcome
}

fn settled(told: &[Receiver<Result<(), CommitError>>]) -> Vec<Result<(), CommitError>> {
    told.iter().map(|told| told.recv().expect("done is always called")).collect()
}

#[test]
fn batches_that_wait_share_a_sync_and_a_lone_one_waits_for_nobody() {
    let (_directory, options) = place();
    let store = open(&options);
    for number in 1..=3 {
        assert_eq!(commit(&store, receives(number, "alone")), Ok(()));
    }
    assert_eq!((store.stats().batches, store.stats().commits), (3, 3));

    let told = while_the_writer_is_busy(&store, || -> Vec<_> {
        (10..60).map(|number| submit(&store, receives(number, "together"))).collect()
    });
    assert!(settled(&told).iter().all(Result::is_ok));
    let stats = store.stats();
    assert_eq!((stats.batches, stats.commits), (3 + 1 + 50, 3 + 1 + 1), "one sync for fifty");
    assert_eq!(stats.group_sizes, [4, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(stats.commit_times.iter().sum::<u64>(), 5);
    assert_eq!(stats.waiting, 0);
}

#[test]
fn a_group_is_cut_at_its_limits() {
    let (_directory, mut options) = place();
    options.group_batches_max = 10;
    let store = open(&options);
    let told = while_the_writer_is_busy(&store, || -> Vec<_> {
        (0..25).map(|number| submit(&store, receives(number, "together"))).collect()
    });
    assert!(settled(&told).iter().all(Result::is_ok));
    assert_eq!(store.stats().commits, 1 + 3);
}

#[test]
fn a_batch_that_is_refused_does_not_fail_its_neighbours() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "first")), Ok(()));
    let stale = CaseWrite { case: sample::case(1), based_on: Some(7), correlations: vec![] };
    let told = while_the_writer_is_busy(&store, || {
        [
            submit(&store, receives(2, "good")),
            submit(&store, receives(1, "duplicate")),
            submit(&store, Batch { case: Some(stale), ..receives(3, "conflict") }),
            submit(&store, receives(2, "duplicate of its neighbour")),
            submit(&store, receives(4, "good")),
        ]
    });
    let conflict = Conflict::Case { id: sample::case_id(1), found: None };
    let duplicate = || Err(CommitError::Duplicate);
    let expected = [Ok(()), duplicate(), Err(CommitError::Conflict(conflict)), duplicate(), Ok(())];
    assert_eq!(settled(&told), expected, "P3");
    assert_eq!((store.stats().commits, store.stats().refused), (3, 3));
    let law = store.conservation().expect("readable");
    assert!(law.holds(), "P2: {law:?}");
    assert_eq!(law.destinations[&party("kfda")].created, 3);
    assert!(
        matches!(store.verify_audit(), Ok(AuditVerdict::Intact(_))),
        "refused entries leave no gap (P18)"
    );
}

#[test]
fn what_is_too_much_is_turned_away_at_once() {
    let (_directory, mut options) = place();
    options.waiting_batches_max = 2;
    let store = open(&options);
    let told =
        while_the_writer_is_busy(&store, || [1, 2, 3].map(|number| submit(&store, receives(number, "x"))));
    assert_eq!(settled(&told), [Ok(()), Ok(()), Err(CommitError::Full)], "one past the limit");
    assert_eq!(store.stats().full, 1);
    assert_eq!(commit(&store, receives(3, "x")), Ok(()), "and later it goes on");
}

#[test]
fn octets_that_wait_are_limited_but_one_batch_always_fits() {
    let (_directory, mut options) = place();
    options.waiting_bytes_max = 100;
    let store = open(&options);
    let large =
        |number| Batch { message: Some(new_message("broker", number, vec![0; 200])), ..Batch::default() };
    assert_eq!(commit(&store, large(1)), Ok(()));
    let told = while_the_writer_is_busy(&store, || [2, 3].map(|number| submit(&store, large(number))));
    assert_eq!(settled(&told), [Ok(()), Err(CommitError::Full)], "P13");
}

#[test]
fn nobody_is_turned_away_for_what_has_ended() {
    let (_directory, mut options) = place();
    options.waiting_bytes_max = 200;
    let store = Arc::new(open(&options));
    let small =
        |number| Batch { message: Some(new_message("broker", number, vec![0; 50])), ..Batch::default() };
    let (tell, told) = sync_channel(1);
    let again = store.clone();
    let commits_again = move |outcome: Result<_, CommitError>| {
        assert!(outcome.is_ok());
        let large = Batch { message: Some(new_message("broker", 3, vec![0; 300])), ..Batch::default() };
        again.commit(large, Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits")));
    };
    let neighbour = while_the_writer_is_busy(&store, || {
        store.commit(small(1), Box::new(commits_again));
        submit(&store, small(2))
    });
    assert_eq!(told.recv(), Ok(Ok(())), "its own group waits no more");
    assert_eq!(settled(&[neighbour]), [Ok(())]);
}

#[test]
fn a_low_disk_refuses_new_messages_and_lets_the_rest_go_on() {
    let (_directory, mut options) = place();
    options.free_bytes_min = u64::MAX;
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "a lodging")), Err(CommitError::Full), "P11");
    assert_eq!(commit(&store, makes(delivery(2, "kfda"))), Ok(()));
    let mut signal = receives(3, "an acknowledgment");
    if let Some(message) = &mut signal.message {
        message.record.header.service = crate::model::Service::msh();
    }
    assert_eq!(commit(&store, signal), Ok(()));
    assert!(store.health().disk_low);
}

#[test]
fn a_failed_commit_ends_all_commits_and_leaves_nothing_of_it() {
    let (_directory, options) = place();
    drop(open(&options));
    let tune = |connection: &Connection| {
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        connection.query_row(&format!("PRAGMA max_page_count = {}", pages + 20), [], |_| Ok(()))
    };
    let store = SqliteStore::open_tuned(options.clone(), tune).expect("it opens");
    let message = |number| Batch {
        message: Some(new_message("broker", number, vec![7; 50_000])),
        ..makes(delivery(number, "kfda"))
    };
    let accepted = (1..100).take_while(|number| commit(&store, message(*number)).is_ok()).count() as u32;
    assert!((1..99).contains(&accepted), "{accepted}");
    for batch in [message(200), Batch::default()] {
        assert!(matches!(commit(&store, batch), Err(CommitError::Fatal(_))), "P10: nothing any more");
    }
    assert!(store.health().failed.is_some());
    drop(store);

    let store = open(&options);
    let law = store.conservation().expect("readable");
    assert!(law.holds());
    assert_eq!(law.destinations[&party("kfda")].created, u64::from(accepted), "P1");
    assert_eq!(commit(&store, message(200)), Ok(()));
}

#[test]
fn the_log_is_copied_into_the_database_when_it_is_long() {
    let (_directory, mut options) = place();
    options.log_pages_max = 20;
    let store = open(&options);
    let size = || std::fs::metadata(options.directory.join("gwanmun.db")).expect("there").len();
    let empty = size();
    for number in 0..50 {
        assert_eq!(commit(&store, receives(number, "x")), Ok(()));
    }
    assert!(size() > empty, "checkpointed while it is open");
    let log = std::fs::metadata(options.directory.join("gwanmun.db-wal")).expect("there").len();
    assert!(log < 100 * 8192, "the log begins again: {log}");
}

#[test]
fn a_batch_in_the_hands_of_a_thread_that_panics_has_an_unknown_outcome() {
    let (tell, told) = sync_channel(1);
    let done: Done = Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits"));
    let place = Place::take(&Arc::default(), 0, 0).expect("it waits alone");
    drop(Job::new(Prepared::of(Batch::default()), done, place));
    assert_eq!(told.recv(), Ok(Err(CommitError::Unknown)), "P17");
}

#[test]
fn the_last_handle_may_be_dropped_by_done() {
    let (_directory, options) = place();
    let store = Arc::new(open(&options));
    let (tell, told) = sync_channel(1);
    let handle = store.clone();
    let (release, released) = sync_channel::<()>(1);
    let done = move |outcome: Result<_, CommitError>| {
        released.recv().expect("the test releases");
        drop(handle);
        tell.send(outcome.is_ok()).expect("the test waits");
    };
    store.commit(makes(delivery(1, "kfda")), Box::new(done));
    drop(store);
    release.send(()).expect("the writer waits");
    assert_eq!(told.recv(), Ok(true));
}

#[test]
fn records_are_plain_for_any_tool() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "x")), Ok(()));
    let tool = raw(&options.directory);
    let text: String = tool
        .query_row("SELECT json_extract(record, '$.action') FROM delivery", [], |row| row.get(0))
        .expect("JSON");
    assert_eq!(text, "GOVCBRX01");
    let view = store.load(&Needs { delivery: Some(DeliveryLocator::Id(delivery_id(1))), ..Needs::default() });
    assert!(view.expect("readable").delivery.is_some());
}

/// A connection past the store, as a tool, or damage, has it.
fn raw(directory: &Path) -> Connection {
    Connection::open(directory.join("gwanmun.db")).expect("a database")
}
