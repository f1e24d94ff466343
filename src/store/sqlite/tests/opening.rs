//! Opening and making: what is refused, and that refusing changes nothing (P19).

use std::collections::BTreeMap;
use std::fs;

use super::damage::copy_store;
use super::*;
use crate::model::{Digest, Purged, StoredMessage};
use crate::store::MessageWrite;
use crate::store::record::Encoded;

/// Every file below a directory with its octets.
pub(super) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "x")), Ok(()));
    drop(store);
    let tool = raw(&options.directory);
    tool.pragma_update(None, "user_version", schema::FORMAT + 1).expect("changed");
    tool.close().expect("closed");
    let before = files(&options.directory);
    let refused = SqliteStore::open(options.clone());
    assert!(matches!(refused, Err(StoreError::Newer { found: 11, known: 10 })), "P19");
    assert_eq!(before, files(&options.directory), "P19: nothing changed");
}

/// A newer version was killed before its log was copied into the database, which therefore has the format from before.
#[test]
fn a_store_of_which_only_the_log_is_newer_is_refused_p19() {
    let (_directory, options) = place();
    drop(open(&options));
    let tool = raw(&options.directory);
    tool.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
    tool.pragma_update(None, "user_version", schema::FORMAT + 1).expect("changed");
    let killed = StoreOptions { directory: options.directory.with_extension("killed"), ..options.clone() };
    copy_store(&options.directory, &killed.directory);
    drop(tool);
    let before = files(&killed.directory);
    let layout = schema::Layout { directory: killed.directory.clone() };
    assert_eq!(layout.check_format().expect("a store"), schema::FORMAT, "the database does not know it");
    assert!(matches!(SqliteStore::open(killed.clone()), Err(StoreError::Newer { found: 11, known: 10 })));
    let after = files(&killed.directory);
    for name in ["gwanmun.db", "gwanmun.db-wal", "mark"] {
        let path = killed.directory.join(name);
        assert_eq!(before[&path], after[&path], "P19: nothing changed");
    }
}

/// Versions of format 9 open what the database calls format 9, and would write records without what is new in them.
#[test]
fn a_store_of_format_9_is_refused_by_its_versions_from_its_upgrade_on_p19() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "x")), Ok(()));
    drop(store);
    as_format_9(&options);
    let layout = schema::Layout { directory: options.directory.clone() };
    let store = open(&options);
    assert_eq!(store.upgraded_from(), Some(9));
    assert_eq!(
        layout.check_format().expect("a store"),
        10,
        "while its log is there as well: it may be killed"
    );
    assert_eq!(store.scrub().expect("readable"), []);
    assert_eq!(commit(&store, receives(2, "y")), Ok(()));
    drop(store);

    // Killed between the upgrade and the copy of its log: the next start has the rest of it to do.
    as_format_9(&options);
    let tool = raw(&options.directory);
    tool.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
    tool.pragma_update(None, "user_version", 10).expect("changed");
    let killed = StoreOptions { directory: options.directory.with_extension("killed"), ..options.clone() };
    copy_store(&options.directory, &killed.directory);
    drop(tool);
    let layout = schema::Layout { directory: killed.directory.clone() };
    assert_eq!(layout.check_format().expect("a store"), 9, "only the log knows");
    fs::create_dir_all(killed.directory.join("bodies")).expect("made");
    let store = open(&killed);
    assert_eq!(layout.check_format().expect("a store"), 10);
    assert_eq!(store.scrub().expect("readable"), []);
    assert!(store.conservation().expect("readable").holds(), "P2");
}

#[test]
fn a_backup_of_format_9_is_restored_and_upgraded_p19_p20() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "x")), Ok(()));
    drop(store);
    as_format_9(&options);
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    let backup = options.directory.with_extension("backup");
    let (manifest, damaged) =
        looked.back_up(&backup, sample::at(1), &mut |_| ControlFlow::Continue(())).expect("made");
    assert_eq!((manifest.format, damaged), (9, vec![]));
    drop(looked);
    let restored =
        StoreOptions { directory: options.directory.with_extension("restored"), ..options.clone() };
    Manifest::restore(&backup, &restored.directory).expect("restored");
    let store = open(&restored);
    assert_eq!(store.upgraded_from(), Some(9), "P19");
    assert_eq!(store.scrub().expect("readable"), []);
    let body = store.body(&sample::message_key("broker", 1)).expect("readable").expect("there");
    assert_eq!(body.body, b"x".to_vec().into());
}

/// A store as format 9 had it: its tables are those of format 10.
fn as_format_9(options: &StoreOptions) {
    let tool = raw(&options.directory);
    tool.pragma_update(None, "user_version", 9).expect("as it was");
    tool.close().expect("closed");
}

/// A store as format 1 had it: its cases had no `due`.
pub(super) fn as_format_1(options: &StoreOptions) {
    let tool = raw(&options.directory);
    let back = "DROP TABLE piece; DROP INDEX message_kept; ALTER TABLE message DROP COLUMN purged; DROP INDEX delivery_kept; DROP INDEX delivery_open; \
                ALTER TABLE delivery DROP COLUMN purged; DROP TABLE receipt; DROP INDEX audit_about; ALTER TABLE audit DROP COLUMN about; DROP TABLE sequence; DROP TABLE head; DROP TABLE approval; DROP INDEX cases_practice; ALTER TABLE cases DROP COLUMN realm; DROP INDEX cases_opened; \
                DROP INDEX correlation_text; DROP INDEX cases_due; DROP INDEX cases_payment_due; \
                ALTER TABLE cases DROP COLUMN due; ALTER TABLE cases DROP COLUMN payment_due; \
                PRAGMA user_version = 1;";
    tool.execute_batch(back).expect("as it was");
    tool.close().expect("closed");
}

#[test]
fn a_store_of_the_first_format_is_upgraded_and_said_to_be() {
    let (_directory, options) = place();
    let store = open(&options);
    let case = sample::case(1);
    let opens = CaseWrite { correlations: sample::keys(&case), case, based_on: None };
    assert_eq!(commit(&store, Batch { case: Some(opens), ..receives(1, "x") }), Ok(()));
    assert_eq!(store.upgraded_from(), None);
    drop(store);
    as_format_1(&options);

    let store = open(&options);
    assert_eq!(store.upgraded_from(), Some(1), "P19");
    assert_eq!(store.head_before(u64::MAX).expect("readable"), None, "nothing was signed then");
    let found = store
        .case(Realm::Production, &CorrelationKey::Case(sample::case_id(1)))
        .expect("readable")
        .expect("there");
    assert_eq!(found.value, sample::case(1));
    assert_eq!(store.scrub().expect("readable"), []);
    let mut later = sample::case(1);
    later.due = Some(sample::at(9));
    later.payment_due = Some(sample::at(7));
    let write = CaseWrite { case: later, based_on: Some(1), correlations: vec![] };
    assert_eq!(commit(&store, Batch { case: Some(write), ..Batch::default() }), Ok(()));
    assert_eq!(store.scheduled_cases(9).expect("readable").len(), 1);
    assert_eq!(store.scheduled_payments(9).expect("readable").len(), 1);
    let made = ApprovalWrite { approval: sample::approval(1), based_on: None };
    assert_eq!(commit(&store, Batch { approvals: vec![made], ..Batch::default() }), Ok(()));
    let sequence = Sequence { due: Some(sample::at(5)), ..sample::sequence(Direction::Receive, 1) };
    let made = SequenceWrite { sequence: sequence.clone(), based_on: None };
    assert_eq!(commit(&store, Batch { sequences: vec![made], ..Batch::default() }), Ok(()));
    assert_eq!(store.sequences(false, 9).expect("readable").items, [sequence]);
    drop(store);
    assert_eq!(open(&options).upgraded_from(), None, "once");
}

#[test]
fn a_second_process_is_kept_out() {
    let (_directory, options) = place();
    let store = open(&options);
    assert!(matches!(SqliteStore::open(options.clone()), Err(StoreError::InUse { .. })));
    drop(store);
    open(&options);
}

/// A process that is started has every descriptor for an instant: between its fork and its exec.
#[test]
fn a_lock_ends_with_its_holder_whoever_else_has_the_descriptor() {
    let (_directory, options) = place();
    drop(open(&options));
    let layout = schema::Layout { directory: options.directory.clone() };
    let lock = layout.lock().expect("nobody has it");
    let inherited = lock.0.try_clone().expect("as a fork does");
    drop(lock);
    drop(layout.lock().expect("nobody has it any more"));
    drop(inherited);
}

#[test]
fn what_is_no_store_is_left_alone() {
    fn check(name: &str, content: &[u8]) {
        let (_directory, options) = place();
        fs::create_dir(&options.directory).expect("a directory");
        fs::write(options.directory.join(name), content).expect("written");
        let before = files(&options.directory);
        assert!(matches!(SqliteStore::open(options.clone()), Err(StoreError::NotAStore { .. })), "{name}");
        assert_eq!(before, files(&options.directory));
    }
    check("notes.txt", b"something else");
    check("gwanmun.db", b"");
    check("gwanmun.db", &[0; 100]);
    check("gwanmun.db", format!("SQLite format 3\0{}", "\0".repeat(84)).as_bytes());
}

#[test]
fn a_store_is_made_in_an_empty_place_and_after_a_crash_while_making() {
    let (_directory, options) = place();
    fs::create_dir(&options.directory).expect("an empty directory");
    let aside = options.directory.with_extension("making");
    fs::create_dir(&aside).expect("left by a crash");
    fs::write(aside.join("gwanmun.db"), b"half").expect("left by a crash");
    assert_eq!(commit(&open(&options), receives(1, "x")), Ok(()));
    assert!(!aside.exists());
}

#[test]
fn an_old_library_is_refused() {
    fn check(number: i32, accepted: bool) {
        assert_eq!(check_library(number, "x").is_ok(), accepted, "{number}");
    }
    check(3_051_002, false);
    check(3_051_003, true);
    check(3_054_001, true);
    check(rusqlite::version_number(), true);
}

#[test]
fn orphans_of_a_crash_are_swept_and_named_files_stay() {
    let (_directory, options) = place();
    let store = open(&options);
    let large = Batch { message: Some(new_message("broker", 1, vec![1; 300_000])), ..Batch::default() };
    assert_eq!(commit(&store, large.clone()), Ok(()));
    assert_eq!(commit(&store, large), Err(CommitError::Duplicate));
    let orphan = Batch { message: Some(new_message("broker", 1, vec![2; 300_000])), ..Batch::default() };
    assert_eq!(commit(&store, orphan.clone()), Err(CommitError::Duplicate));
    let bodies = || files(&options.directory.join("bodies")).len();
    assert_eq!(bodies(), 2, "the octets of the refused one have no record");
    assert_eq!(store.sweep().expect("swept"), 1, "and go, while those of the first stay (P11)");
    assert_eq!(bodies(), 1);
    assert_eq!(commit(&store, orphan), Err(CommitError::Duplicate));
    assert_eq!(bodies(), 2);
    drop(store);
    let store = open(&options);
    assert_eq!(bodies(), 2, "or are set aside at the next start");
    assert_eq!(store.scrub().expect("readable"), []);
    assert_eq!(bodies(), 1, "and go when a scrub has read every record");
    let body = store.body(&sample::message_key("broker", 1)).expect("readable").expect("there");
    assert_eq!(body.body, vec![1; 300_000].into());
}

#[test]
fn options_have_defaults_and_refuse_what_they_do_not_know() {
    let read = |text: &str| toml::from_str::<StoreOptions>(text);
    let options = read("directory = \"var/store\"").expect("the rest has defaults");
    assert_eq!(format!("{options:?}"), format!("{:?}", StoreOptions::at("var/store")));
    assert!(read("directory = \"var/store\"\nsync = false").is_err(), "P1: no setting weakens it");
}

/// A store that was made with the tables of format 7, and filled with records as they were written then.
#[test]
fn a_store_of_the_format_before_is_upgraded_and_its_octets_can_be_purged() {
    let (_directory, options) = place();
    drop(open(&options));
    // The mark and the directories are those of every format.
    let database = options.directory.join("gwanmun.db");
    fs::remove_file(&database).expect("removed");
    fs::File::options()
        .write(true)
        .open(options.directory.join("mark"))
        .and_then(|mark| mark.set_len(8192))
        .expect("no length was marked then");
    let tool = raw(&options.directory);
    tool.pragma_update(None, "page_size", 8192).expect("set");
    tool.pragma_update(None, "journal_mode", "wal").expect("set");
    tool.pragma_update(None, "application_id", 0x4777_616e).expect("set");
    tool.execute_batch(include_str!("format_7.sql")).expect("as it was");
    let mut message = new_message("broker", 1, "as it came");
    // Nothing told then whether there is an answer.
    (message.record.answered, message.response) = (false, None);
    let record = Encoded::of(&message.record, &message.record.key.to_string(), 1);
    let values = rusqlite::params![
        message.record.key.sender.as_str(),
        message.record.key.message_id.as_str(),
        message.record.received_at.as_millis(),
        message.record.accepted,
        message.record.quarantined,
        message.record.case.as_ref().map(|case| case.as_str().to_owned()),
        record.form,
        record.checksum,
        record.text,
    ];
    tool.execute(
        "INSERT INTO message (sender, message_id, received_at, accepted, quarantined, case_id, version, form, checksum, \
         record) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        values,
    )
    .expect("written");
    let digest = Digest::of(b"as it came").to_string();
    tool.execute("INSERT INTO body (owner, digest, octets) VALUES (1, ?, ?)", (digest, &b"as it came"[..]))
        .expect("written");
    tool.close().expect("closed");

    let store = open(&options);
    assert_eq!(store.upgraded_from(), Some(7), "P19");
    assert_eq!(store.scrub().expect("readable"), [], "P12");
    let key = message.record.key.clone();
    assert_eq!(store.body(&key).expect("readable").expect("there").body, b"as it came".to_vec().into());
    assert_eq!(
        store.kept_messages(0, 9).expect("readable"),
        [(1, Ok(key.clone()))],
        "what was there can be purged"
    );
    let purged = Some(Purged { at: sample::at(1), archive: Digest([1; 32]), bytes: 10 });
    let record = StoredMessage { purged, ..message.record };
    let write = MessageWrite { record, based_on: 1 };
    assert_eq!(commit(&store, Batch { changed: Some(write), ..Batch::default() }), Ok(()));
    assert_eq!(store.body(&key).expect("readable"), None);
    drop(store);
    let store = open(&options);
    assert_eq!(store.upgraded_from(), None, "once");
    assert_eq!(store.body(&key).expect("readable"), None, "nothing that went comes back");
    assert_eq!(store.scrub().expect("readable"), []);
}

#[test]
fn a_low_disk_lets_purges_go_on() {
    let (_directory, options) = place();
    let store = open(&options);
    let large = new_message("broker", 1, vec![1; 300_000]);
    assert_eq!(commit(&store, Batch { message: Some(large.clone()), ..Batch::default() }), Ok(()));
    drop(store);
    let low = StoreOptions { free_bytes_min: u64::MAX, ..options.clone() };
    let store = open(&low);
    assert_eq!(commit(&store, receives(2, "x")), Err(CommitError::Full), "P11");
    let purged = Some(Purged { at: sample::at(1), archive: Digest([1; 32]), bytes: 10 });
    let record = StoredMessage { purged, ..large.record };
    let purge = Batch { changed: Some(MessageWrite { record, based_on: 1 }), ..Batch::default() };
    assert_eq!(commit(&store, purge), Ok(()), "P11: it frees what is wanted");
    assert_eq!(store.sweep().expect("swept"), 1);
    assert_eq!(store.sweep().expect("swept"), 0, "once");
    assert_eq!(files(&options.directory.join("bodies")).len(), 0);
}
