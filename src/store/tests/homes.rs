//! The suite on each home, and what is particular to the one in memory.

use super::sample::{at, case, case_id, delivery, delivery_id, message_key, new_message, party, sealed};
use super::suite::{everything, makes, suite};
use super::{TestDisk, commit, directory, options};
use crate::model::{Delivery, Digest, Purged, StoredMessage, Timestamp};
use crate::store::{
    Batch, CaseWrite, CommitError, MemoryStore, MessageWrite, Place, SqliteStore, Store, StoreError,
};

fn memory(disk: &TestDisk) -> MemoryStore {
    MemoryStore::open(Box::new(disk.clone())).expect("it opens")
}

#[test]
fn the_home_in_memory_passes_the_suite_and_knows_it_again() {
    let disk = TestDisk::default();
    let store = memory(&disk);
    suite(&store);
    let known = everything(&store, &[party("due"), party("kfda")]);
    let again = memory(&disk.after_crash(0));
    assert_eq!(known, everything(&again, &[party("due"), party("kfda")]), "P1");
}

#[test]
fn the_home_on_sqlite_passes_the_suite_and_knows_it_again() {
    let directory = directory();
    let open = || SqliteStore::open(options(&directory)).expect("it opens");
    let store = open();
    suite(&store);
    let known = everything(&store, &[party("due"), party("kfda")]);
    drop(store);
    assert_eq!(known, everything(&open(), &[party("due"), party("kfda")]), "P1");
}

#[test]
fn every_commit_is_synced_before_it_is_answered() {
    let disk = TestDisk::default();
    let store = memory(&disk);
    for number in 1..=3 {
        let before = disk.syncs();
        let watched = disk.clone();
        store.commit(
            makes(delivery(number, "kfda")),
            Box::new(move |outcome| {
                assert!(outcome.is_ok());
                assert_eq!((watched.syncs(), watched.unsynced()), (before + 1, 0), "P1");
            }),
        );
    }
}

#[test]
fn a_failed_sync_ends_all_commits() {
    let disk = TestDisk::default();
    let store = memory(&disk);
    assert_eq!(commit(&store, makes(delivery(1, "kfda"))), Ok(()));
    disk.fail_next_sync();
    for number in [2, 3] {
        let outcome = commit(&store, makes(delivery(number, "kfda")));
        assert_eq!(outcome, Err(CommitError::Fatal("medium error".to_owned())), "P10: never synced again");
    }
    assert_eq!(store.health().failed.as_deref(), Some("medium error"));

    // Whatever survived of the second one, the next start finds it whole or not at all.
    for kept in 0..=disk.unsynced() {
        let again = memory(&disk.after_crash(kept));
        let made = again.stats().file_bytes;
        let law = again.conservation().expect("readable");
        let created = law.destinations[&party("kfda")].created;
        assert!(law.holds() && (created == 1 || kept == disk.unsynced()), "{kept} of {made} octets");
        assert_eq!(commit(&again, makes(delivery(9, "kfda"))), Ok(()), "and goes on from there");
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = TestDisk::default();
    let store = memory(&disk);
    disk.set_full(true);
    assert_eq!(commit(&store, makes(delivery(1, "kfda"))), Err(CommitError::Full), "P11");
    disk.set_full(false);
    assert_eq!(commit(&store, makes(delivery(1, "kfda"))), Ok(()));
    assert!(memory(&disk.after_crash(0)).conservation().expect("readable").holds());
}

#[test]
fn damage_in_the_middle_of_a_journal_is_refused() {
    let disk = TestDisk::default();
    let store = memory(&disk);
    let message =
        |number| Batch { message: Some(new_message("broker", number, "a body")), ..Batch::default() };
    assert_eq!(commit(&store, message(1)), Ok(()));
    assert_eq!(commit(&store, message(2)), Ok(()));
    disk.flip(b"a body");
    let refused = MemoryStore::open(Box::new(disk.after_crash(0)));
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "P12");
}

#[test]
fn a_purge_whose_sync_fails_is_the_last_commit() {
    let disk = TestDisk::default();
    let store = memory(&disk);
    let message = new_message("broker", 1, "as it came");
    let key = message.record.key.clone();
    assert_eq!(commit(&store, Batch { message: Some(message.clone()), ..Batch::default() }), Ok(()));
    disk.fail_next_sync();
    let purged = Some(Purged { at: Timestamp::from_millis(0), archive: Digest([1; 32]), bytes: 10 });
    let record = StoredMessage { purged, ..message.record };
    let purge = Batch { changed: Some(MessageWrite { record, based_on: 1 }), ..Batch::default() };
    for batch in [purge, makes(delivery(1, "kfda"))] {
        assert_eq!(commit(&store, batch), Err(CommitError::Fatal("medium error".to_owned())), "P10");
    }
    let again = memory(&disk.after_crash(0));
    let body = again.body(&key).expect("readable").expect("what was not purged durably is whole");
    assert_eq!(body.body, b"as it came".to_vec().into());
    assert_eq!(again.scrub().expect("readable"), []);
}

#[test]
fn a_flipped_bit_stays_with_its_record_until_it_is_put_right_p12() {
    let store = memory(&TestDisk::default());
    let mut batch = makes(Delivery { sealed: true, ..delivery(1, "kfda") });
    batch.deliveries[0].sealed = Some(sealed("what is sent"));
    batch.message = Some(new_message("broker", 1, "what came"));
    batch.case = Some(CaseWrite { case: case(1), based_on: None, correlations: Vec::new() });
    assert_eq!(commit(&store, batch), Ok(()));
    assert_eq!(commit(&store, makes(delivery(2, "kfda"))), Ok(()));
    let (key, id) = (message_key("broker", 1), delivery_id(1));
    let of_message = [Place::Message(key.clone()), Place::Body(key)];
    let others = [Place::Case(case_id(1)), Place::Delivery(id.clone()), Place::Octets(id)];
    for place in of_message.into_iter().chain(others) {
        for bit in [0, 1, 62, 4711] {
            let scrubbed = || store.scrub().expect("it reads").len();
            assert!(store.flip(&place, bit));
            assert_eq!(scrubbed(), 1, "{place:?}, bit {bit}");
            let due = store.due(&party("kfda"), at(9), 9).expect("it keeps no other from its turn");
            assert_eq!(due.len(), 2, "{place:?}");
            let kept = store.kept_deliveries(0, 9).expect("what cannot be read is not gone");
            assert_eq!(kept.len(), 2, "{place:?}");
            assert!(store.flip(&place, bit));
            assert_eq!(scrubbed(), 0, "{place:?}, bit {bit}, once more");
        }
    }
    assert!(!store.flip(&Place::Octets(delivery_id(2)), 0), "nothing is kept there");
}
