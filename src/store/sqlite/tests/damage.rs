//! Damage: found when it is read, contained in its record, named by the scrub (P12, P18), and a log that lost
//! its end is noticed at the next start.

use std::fs;

use super::opening::files;
use super::*;
use crate::model::{Digest, Direction, KeptHead, Tree};
use crate::store::tests::suite::kept_head;
use crate::store::{CorrelationKey, Damage, DeliveryWrite, Walked};

/// A store with three messages, a case and a delivery for each; the third with large octets.
pub(super) fn filled(options: &StoreOptions) -> SqliteStore {
    let store = open(options);
    for number in 1..=3 {
        let fill = if number == 3 { 300_000 } else { 10 };
        let mut batch = makes(delivery(number, "kfda"));
        batch.message = Some(new_message("broker", number, vec![number as u8; fill]));
        batch.deliveries[0].delivery.sealed = true;
        batch.deliveries[0].sealed = Some(sample::sealed(vec![number as u8 + 100; fill]));
        let case = sample::case(number);
        let mut correlations = sample::keys(&case);
        correlations.push(CorrelationKey::Declaration(format!("{number}").into()));
        batch.case = Some(CaseWrite { case, based_on: None, correlations });
        batch.audit[0].case = Some(sample::case_id(number));
        batch.approvals = vec![ApprovalWrite { approval: sample::approval(number), based_on: None }];
        assert_eq!(commit(&store, batch), Ok(()));
    }
    store
}

fn needs(number: u32) -> Needs {
    Needs {
        message: Some(sample::message_key("broker", number)),
        case: vec![CorrelationKey::Declaration(format!("{number}").into())],
        delivery: Some(DeliveryLocator::Id(delivery_id(number))),
        approvals: [sample::approval(number).key.number].into(),
        case_of_delivery: false,
        versions: false,
        sealed: true,
        parts_of_delivery: true,
        ..Needs::default()
    }
}

#[test]
fn damage_stays_with_its_record() {
    fn check(sql: &str, what: &str) {
        let (_directory, options) = place();
        let store = filled(&options);
        assert_eq!(raw(&options.directory).execute(sql, []).expect("changed"), 1, "{sql}");
        match store.load(&needs(2)) {
            Err(StoreError::Damaged(damage)) => assert_eq!(damage.what, what, "{sql} (P12)"),
            other => panic!("{sql}: {other:?}"),
        }
        for number in [1, 3] {
            let view = store.load(&needs(number)).expect("others are served");
            assert_eq!(view.bodies[&sample::message_key("broker", number)].body.held()[0], number as u8);
        }
        let due = store.due(&party("kfda"), sample::at(99), 10).expect("readable");
        let due: Vec<_> = due.into_iter().map(|due| due.id).collect();
        // What is damaged beside it keeps it from no attempt: whoever makes that one gives it up, and says so.
        let is_its_own = what.ends_with("delivery-2");
        let left: &[_] = if is_its_own { &[1, 3] } else { &[1, 2, 3] };
        assert_eq!(due, left.iter().copied().map(delivery_id).collect::<Vec<_>>(), "P9: {sql}");
        assert_eq!(store.stats().damaged, 1);
        let scrubbed: Vec<_> =
            store.scrub().expect("readable").into_iter().map(|damage| damage.what).collect();
        assert_eq!(scrubbed, [what], "{sql}");
    }
    let message = "message broker/2@broker";
    check("UPDATE message SET record = replace(record, 'GOVCBR929', 'GOVCBR930') WHERE number = 2", message);
    check("UPDATE message SET checksum = checksum + 1 WHERE number = 2", message);
    check("UPDATE message SET record = CAST(x'ff00ff' AS TEXT) WHERE number = 2", message);
    check("UPDATE body SET octets = x'00' WHERE owner = 2", "body of message broker/2@broker");
    check("UPDATE body SET digest = 'x' WHERE owner = 2", "body of message broker/2@broker");
    check("UPDATE body SET octets = NULL WHERE owner = 2", "body of message broker/2@broker");
    check("UPDATE response SET octets = x'00' WHERE owner = 2", "answer to broker/2@broker");
    check("DELETE FROM response WHERE owner = 2", "answer to broker/2@broker");
    check("UPDATE cases SET record = '{}' WHERE number = 2", "case case-2");
    check("UPDATE cases SET version = 7 WHERE number = 2", "case case-2");
    check("UPDATE correlation SET case_id = 'case-1' WHERE text = '2'", "correlation declaration 2");
    check(
        "UPDATE delivery SET record = replace(record, 'pending', 'held') WHERE number = 2",
        "delivery delivery-2",
    );
    check("UPDATE sealed SET record = '' WHERE owner = 2", "sealed delivery-2");
    check("UPDATE sealed SET octets = x'00' WHERE owner = 2", "octets of delivery delivery-2");
    check("DELETE FROM sealed WHERE owner = 2", "octets of delivery delivery-2");
    check(
        "UPDATE approval SET record = replace(record, '1000', '9000') WHERE number = 2",
        "approval kfda/approval-2",
    );
    check("UPDATE approval SET version = 3 WHERE number = 2", "approval kfda/approval-2");
}

/// Who does not want the answer has the message all the same: it can be handed on, held or purged.
#[test]
fn an_answer_that_is_gone_keeps_its_message_from_nobody_p12() {
    let (_directory, options) = place();
    let store = filled(&options);
    let gone = raw(&options.directory).execute("DELETE FROM response WHERE owner = 2", []).expect("changed");
    assert_eq!(gone, 1);
    let message = Needs { message: Some(sample::message_key("broker", 2)), ..Needs::default() };
    assert!(
        matches!(store.load(&message), Err(StoreError::Damaged(_))),
        "P3: a repeat gets that one or none"
    );
    let known = store.load(&Needs { without_answer: true, ..message }).expect("readable").message;
    assert_eq!(known.expect("it is there").record, sample::stored("broker", 2));
}

#[test]
fn what_is_mended_comes_due_again_once_it_was_decided_about() {
    let (_directory, options) = place();
    let store = filled(&options);
    let change =
        |sql: &str| assert_eq!(raw(&options.directory).execute(sql, []).expect("changed"), 1, "{sql}");
    let due = || {
        let due = store.due(&party("kfda"), sample::at(99), 10).expect("readable");
        due.into_iter().map(|due| due.id).collect::<Vec<_>>()
    };
    change("UPDATE sealed SET digest = 'x' || digest WHERE owner = 2");
    assert!(matches!(store.load(&needs(2)), Err(StoreError::Damaged(_))), "P12");
    change("UPDATE sealed SET digest = substr(digest, 2) WHERE owner = 2");
    assert_eq!(due(), [delivery_id(1), delivery_id(3)], "nobody said that it is mended");
    let stored = store.load(&needs(2)).expect("readable").delivery.expect("there");
    let write =
        DeliveryWrite { delivery: stored.value, based_on: Some(stored.version), sealed: None, receipt: None };
    assert_eq!(commit(&store, Batch { deliveries: vec![write], ..Batch::default() }), Ok(()));
    assert_eq!(due(), [delivery_id(1), delivery_id(2), delivery_id(3)], "P9");
}

/// One file that cannot be opened keeps the scrub from nothing behind it.
#[test]
fn a_file_that_cannot_be_read_is_damage_and_all_others_are_read_p12() {
    let (_directory, options) = place();
    let store = filled(&options);
    let bodies = files(&options.directory.join("bodies"));
    for path in bodies.keys() {
        fs::remove_file(path).expect("removed");
        // A name that leads to itself cannot be opened, and is there.
        std::os::unix::fs::symlink(path, path).expect("made");
    }
    let sql = "UPDATE approval SET version = version + 1 WHERE number = 2";
    assert_eq!(raw(&options.directory).execute(sql, []).expect("changed"), 1);
    let found: Vec<_> = store.scrub().expect("readable").into_iter().map(|damage| damage.what).collect();
    assert_eq!(found.len(), bodies.len() + 1, "{found:?}");
    assert!(found.iter().any(|what| what.starts_with("approval ")), "{found:?}");
}

#[test]
fn a_walk_tells_of_what_it_cannot_name_and_goes_on_behind_it_p12() {
    let (_directory, options) = place();
    let store = filled(&options);
    for number in 1..=3 {
        let sequence = sample::sequence(Direction::Receive, number).beginning(sample::at(1));
        let sequences = vec![SequenceWrite { sequence, based_on: None }];
        assert_eq!(commit(&store, Batch { sequences, ..Batch::default() }), Ok(()));
    }
    for (table, column) in [("message", "sender"), ("delivery", "id"), ("sequence", "direction")] {
        let sql = format!("UPDATE {table} SET {column} = '' WHERE number = 2");
        assert_eq!(raw(&options.directory).execute(&sql, []).expect("changed"), 1, "{sql}");
    }
    fn walk<K>(some: impl Fn(u64) -> Vec<Walked<K>>) -> Vec<Option<String>> {
        let (mut after, mut told) = (0, Vec::new());
        while let Some((place, found)) = some(after).pop() {
            told.push(found.err().map(|damage| damage.what));
            after = place;
        }
        told
    }
    let without = |what: &str| [None, Some(what.to_owned()), None];
    let messages = walk(|after| store.kept_messages(after, 1).expect("readable"));
    assert_eq!(messages, without("message 2"));
    let deliveries = walk(|after| store.kept_deliveries(after, 1).expect("readable"));
    assert_eq!(deliveries, without("delivery 2"));
    let sequences = walk(|after| store.kept_sequences(after, 1).expect("readable"));
    assert_eq!(sequences, without("sequence 2"));
}

#[test]
fn a_damaged_file_is_never_served() {
    let (_directory, options) = place();
    let store = filled(&options);
    let bodies = files(&options.directory.join("bodies"));
    assert_eq!(bodies.len(), 2);
    for path in bodies.keys() {
        fs::write(path, b"something else").expect("changed");
    }
    assert!(matches!(store.load(&needs(3)), Err(StoreError::Damaged(_))), "P12");
    let found: Vec<_> = store.scrub().expect("readable").into_iter().map(|damage| damage.what).collect();
    assert_eq!(found, ["body of message broker/3@broker", "octets of delivery delivery-3"]);
    for path in bodies.keys() {
        fs::remove_file(path).expect("removed");
    }
    assert_eq!(store.scrub().expect("readable").len(), 2);
    assert!(store.load(&needs(1)).is_ok());
}

#[test]
fn key_columns_that_differ_from_their_record_are_found() {
    fn check(sql: &str, what: &str, holds: bool) {
        let (_directory, options) = place();
        let store = filled(&options);
        assert_eq!(raw(&options.directory).execute(sql, []).expect("changed"), 1, "{sql}");
        let found = store.scrub().expect("readable");
        let detail = "its key columns differ from its record".to_owned();
        assert_eq!(found, [Damage { what: what.to_owned(), detail }], "{sql} (P12)");
        assert_eq!(store.conservation().expect("readable").holds(), holds, "{sql} (P2)");
    }
    check("UPDATE delivery SET state = 'delivered' WHERE number = 2", "delivery delivery-2", false);
    check("UPDATE delivery SET due = NULL WHERE number = 2", "delivery delivery-2", true);
    check("UPDATE cases SET state = 'ready' WHERE number = 2", "case case-2", true);
    check("UPDATE approval SET due = 1 WHERE number = 2", "approval kfda/approval-2", true);
    check("UPDATE message SET accepted = 0 WHERE number = 2", "message broker/2@broker", true);
}

/// The last key of a table is no text any more: as text it stands before itself, and a walk that begins behind what it read
/// would read it for ever.
#[test]
fn a_key_that_leads_nowhere_ends_a_walk_and_is_named_p12() {
    let (_directory, options) = place();
    drop(filled(&options));
    let last =
        "SELECT kind || party || text FROM correlation ORDER BY kind DESC, party DESC, text DESC LIMIT 1";
    let tool = raw(&options.directory);
    let last: String = tool.query_row(last, [], |row| row.get(0)).expect("there are some");
    tool.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("copied");
    tool.close().expect("closed");
    let path = options.directory.join("gwanmun.db");
    let mut octets = fs::read(&path).expect("readable");
    let at =
        octets.windows(last.len()).position(|octets| octets == last.as_bytes()).expect("it stands there");
    octets[at] |= 0x80;
    fs::write(&path, octets).expect("written");
    let found = open(&options).scrub().expect("readable");
    let backward = "correlations cannot be read any further: its keys are out of order";
    assert!(found.iter().any(|damage| damage.detail == backward), "{found:?}");
}

#[test]
fn a_delivery_that_is_lost_breaks_the_law() {
    fn check(sql: &str, created: u64, faults: usize) {
        let (_directory, options) = place();
        let store = filled(&options);
        raw(&options.directory).execute_batch(sql).expect("changed");
        let law = store.conservation().expect("readable");
        assert!(!law.holds(), "{sql} (P2)");
        assert_eq!((law.destinations[&party("kfda")].created, law.faults.len()), (created, faults), "{sql}");
    }
    check("DELETE FROM sealed WHERE owner = 2; DELETE FROM delivery WHERE number = 2", 3, 1);
    check("UPDATE delivery SET record = '' WHERE number = 2", 3, 1);
}

#[test]
fn a_changed_audit_record_is_found_and_named() {
    fn check(sql: &str, first_bad: u64, unreadable: usize) {
        let (_directory, options) = place();
        let store = filled(&options);
        assert_eq!(raw(&options.directory).execute(sql, []).expect("changed"), 1, "{sql}");
        match store.verify_audit().expect("readable") {
            AuditVerdict::Broken { sequence, .. } => assert_eq!(sequence, first_bad, "{sql} (P18)"),
            intact @ AuditVerdict::Intact(_) => panic!("{sql}: {intact:?}"),
        }
        assert_eq!(store.audit(1, 10).expect("readable").damaged.len(), unreadable, "{sql}");
        assert_eq!(store.timeline(&sample::case_id(1)).expect("readable").items.len(), 1, "others are read");
    }
    check("UPDATE audit SET record = replace(record, 'happened', 'HAPPENED') WHERE number = 2", 2, 1);
    check("UPDATE audit SET hash = (SELECT hash FROM audit WHERE number = 1) WHERE number = 2", 2, 1);
    check("DELETE FROM audit WHERE number = 2", 2, 0);
    check("DELETE FROM audit WHERE number = 3", 3, 0);
    check("UPDATE audit SET number = 4 WHERE number = 3", 3, 1);
}

/// Every octet of an entry, and every other column of it: the chain names the entry; what stands beside the chain lets the entry
/// be listed as damaged.
#[test]
fn a_flipped_octet_of_an_audit_entry_is_named_wherever_it_is_p18() {
    let (_directory, options) = place();
    let store = filled(&options);
    let disk = raw(&options.directory);
    let broken = || match store.verify_audit().expect("readable") {
        AuditVerdict::Broken { sequence, .. } => Some(sequence),
        AuditVerdict::Intact(_) => None,
    };
    let unreadable = || store.audit(1, 10).expect("readable").damaged.len();
    for column in ["record", "hash"] {
        let whole: String = disk
            .query_row(&format!("SELECT {column} FROM audit WHERE number = 2"), [], |row| row.get(0))
            .expect("it is there");
        let write = |octets: &[u8]| {
            let sql = format!("UPDATE audit SET {column} = CAST(? AS TEXT) WHERE number = 2");
            assert_eq!(disk.execute(&sql, [octets]).expect("written"), 1);
        };
        for at in 0..whole.len() {
            let mut octets = whole.as_bytes().to_vec();
            octets[at] ^= 1 << (at % 8);
            write(&octets);
            assert_eq!((broken(), unreadable()), (Some(2), 1), "{column} at {at} (P18)");
        }
        write(whole.as_bytes());
        assert_eq!((broken(), unreadable()), (None, 0), "{column} is as it was");
    }
    for (column, in_chain) in [("number", true), ("form", false), ("checksum", false)] {
        for bit in 0..if column == "form" { 3 } else { 31 } {
            // Of a number that another entry has SQLite itself says so.
            let flip = |from: &str| {
                let flipped = format!("({column} | {0}) - ({column} & {0})", 1_u64 << bit);
                disk.execute(&format!("UPDATE audit SET {column} = {flipped} WHERE {from}"), [])
            };
            if flip("number = 2").is_err() {
                continue;
            }
            assert_eq!(broken().is_some(), in_chain, "bit {bit} of {column} (P18)");
            assert!(in_chain || unreadable() == 1, "bit {bit} of {column} (P12)");
            flip(if column == "number" { "number NOT IN (1, 3)" } else { "number = 2" }).expect("it is back");
            assert_eq!((broken(), unreadable()), (None, 0), "{column} is as it was");
        }
    }
}

/// Rule sets and keys have their names of their octets.
#[test]
fn a_file_beside_the_database_that_changed_is_named_p12() {
    let (directory, options) = place();
    let store = open(&options);
    let keys = options.directory.join("keys");
    fs::create_dir_all(&keys).expect("made");
    let (whole, changed) = (Digest::of(b"a key").to_string(), Digest::of(b"another").to_string());
    fs::write(keys.join(&whole), b"a key").expect("written");
    fs::write(keys.join(&changed), b"an0ther").expect("written");
    fs::write(keys.join("list"), b"has no such name").expect("written");
    let named = |damage: Vec<Damage>| damage.into_iter().map(|damage| damage.what).collect::<Vec<_>>();
    let expected = [format!("file keys/{changed}")];
    assert_eq!(named(store.scrub().expect("readable")), expected);
    assert_eq!(named(store.scrub_slowly(&mut on).expect("readable")), expected);
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    assert_eq!(named(looked.scrub(&mut on).expect("readable")), expected);
    let made = looked.back_up(&directory.path().join("backup"), sample::at(1), &mut on).expect("made");
    assert_eq!(named(made.1), expected, "P20");
}

#[test]
fn a_log_that_lost_its_end_is_noticed_at_the_next_start() {
    fn check(what: &str, change: fn(&Path), is_refused: bool) {
        let (directory, options) = place();
        let store = filled(&options);
        let copy = directory.path().join("copy");
        copy_store(&options.directory, &copy);
        change(&copy);
        let outcome = SqliteStore::open(StoreOptions::at(copy));
        match outcome {
            Err(StoreError::Behind { marked: 3, .. }) => assert!(is_refused, "{what}"),
            Ok(again) => {
                assert!(!is_refused, "{what}");
                assert_eq!(again.audit(1, 10).expect("readable").items.len(), 3, "P1");
            }
            Err(error) => panic!("{what}: {error}"),
        }
        drop(store);
    }
    check("killed", |_| (), false);
    check("no log", |copy| fs::remove_file(copy.join("gwanmun.db-wal")).expect("removed"), true);
    let halved = |copy: &Path| {
        let log = fs::File::options().write(true).open(copy.join("gwanmun.db-wal")).expect("a log");
        log.set_len(log.metadata().expect("its size").len() / 2).expect("cut");
    };
    check("half a log", halved, true);
    let damaged = |copy: &Path| {
        let path = copy.join("gwanmun.db-wal");
        let mut octets = fs::read(&path).expect("a log");
        octets[5000] ^= 1;
        fs::write(path, octets).expect("written");
    };
    check("a damaged frame", damaged, true);
    let accepted = |copy: &Path| {
        fs::remove_file(copy.join("mark")).expect("removed");
    };
    check("the mark removed by hand", accepted, false);
}

/// The log says how long the database is to be, so that SQLite reads zeros where its end is missing: the mark knows better.
#[test]
fn a_database_that_lost_its_end_behind_a_log_is_refused_p12() {
    let (directory, options) = place();
    // Each commit is copied into the database; what a reader keeps in the log stays there.
    let store = open(&StoreOptions { log_pages_max: 1, ..options.clone() });
    (1..20).for_each(|number| assert_eq!(commit(&store, receives(number, "x")), Ok(())));
    let reader = raw(&options.directory);
    reader.execute_batch("BEGIN; SELECT count(*) FROM audit;").expect("readable");
    assert_eq!(commit(&store, receives(20, "in the log")), Ok(()));
    let cut = |pages: u64| {
        let copy = directory.path().join(format!("without {pages}"));
        copy_store(&options.directory, &copy);
        let path = copy.join("gwanmun.db");
        let database = fs::File::options().write(true).open(path).expect("a database");
        let length = database.metadata().expect("its length").len();
        database.set_len(length - pages * 8192).expect("cut");
        (copy, length / 8192)
    };
    fs::create_dir_all(directory.path().join("without 0/bodies")).expect("made");
    let (whole, pages) = cut(0);
    assert!(pages > 20 && open(&StoreOptions::at(whole)).scrub().expect("readable").is_empty());
    for missing in 1..pages {
        let (copy, _) = cut(missing);
        let found = Inspection::of(&copy).and_then(|store| store.scrub(&mut on)).expect("readable");
        assert!(found.iter().any(|damage| damage.detail.contains("its end is missing")), "{found:?}");
        let refused = SqliteStore::open(StoreOptions::at(copy)).map(drop);
        assert!(matches!(refused, Err(StoreError::CutShort { .. })), "without {missing} pages: {refused:?}");
    }
}

/// The files as a crash leaves them.
pub(super) fn copy_store(from: &Path, to: &Path) {
    for (path, octets) in files(from) {
        let path = to.join(path.strip_prefix(from).expect("it is below"));
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        if !path.ends_with("gwanmun.db-shm") {
            fs::write(path, octets).expect("written");
        }
    }
}

#[test]
fn a_damaged_case_keeps_no_other_from_hearing_that_an_approval_ends() {
    let (_directory, options) = place();
    let store = filled(&options);
    let mut ends = sample::approval(3);
    ends.charges = [1, 2, 3].map(|case| sample::charge(case, true)).into();
    let write = ApprovalWrite { approval: ends.clone(), based_on: Some(1) };
    assert_eq!(commit(&store, Batch { approvals: vec![write], ..Batch::default() }), Ok(()));
    let damages = |number: u32| {
        let sql = format!("UPDATE cases SET record = '{{}}' WHERE number = {number}");
        assert_eq!(raw(&options.directory).execute(&sql, []).expect("changed"), 1);
    };
    let next = || {
        let needs = Needs { approval_due: Some(ends.key.clone()), ..Needs::default() };
        store.load(&needs).map(|view| view.case.map(|case| case.value.id))
    };
    for number in [1, 2] {
        damages(number);
        assert_eq!(next().expect("others are served (P12)"), Some(sample::case_id(number + 1)));
    }
    damages(3);
    match next() {
        Err(StoreError::Damaged(damage)) => assert_eq!(damage.what, "case case-1"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signed_head_that_is_damaged_is_named() {
    fn check(sql: &str, expected: &[&str]) {
        let (_directory, options) = place();
        let store = filled(&options);
        let (mut tree, mut last) = (Tree::default(), AuditHead::EMPTY.hash);
        for entry in store.chain(1, 3).expect("readable") {
            last = entry.hash.parse().expect("a digest");
            tree.push(last);
        }
        let head = kept_head(AuditHead { sequence: 3, hash: last }, &tree, "signature");
        let signs = |head: &KeptHead| {
            assert_eq!(commit(&store, Batch { head: Some(head.clone()), ..Batch::default() }), Ok(()));
        };
        signs(&head);
        assert_eq!(raw(&options.directory).execute(sql, []).expect("changed"), 1, "{sql}");
        let named = || store.scrub().expect("readable").into_iter().map(|damage| damage.what);
        assert_eq!(named().collect::<Vec<_>>(), expected, "{sql} (P12, P18)");
        // The next start goes on from the head before it, and may sign the same again.
        let again = kept_head(AuditHead { sequence: 3, hash: last }, &tree, "signed again");
        signs(&again);
        let stands = store.heads(2, 1).expect("readable");
        assert_eq!(stands == [head], expected.is_empty(), "{sql}: what is whole stays");
        assert_eq!(stands == [again], !expected.is_empty(), "{sql}: what is damaged is mended");
    }
    check("UPDATE head SET entries = entries", &[]);
    check("UPDATE head SET checksum = checksum + 1", &["audit head 3"]);
    check("UPDATE head SET record = replace(record, 'signature', 'signatur3')", &["audit head 3"]);
    check("UPDATE head SET entries = 2", &["audit head 2"]);
}

/// Until a batch is answered a flip of what was written of it may cost it, and nothing else: as a crash finds the log with a
/// batch that the mark does not know yet.
#[test]
fn an_octet_that_flips_before_anybody_is_answered_costs_at_most_that_batch() {
    let (_directory, options) = place();
    let store = open(&options);
    let at = |name: &str| options.directory.join(name);
    assert_eq!(commit(&store, receives(1, "the first")), Ok(()));
    let (mark, before) = (fs::read(at("mark")).expect("a mark"), fs::metadata(at("gwanmun.db-wal")));
    let before = usize::try_from(before.expect("a log").len()).expect("is small");
    assert_eq!(commit(&store, receives(2, "the second")), Ok(()));
    let log = fs::read(at("gwanmun.db-wal")).expect("a log");
    let database = fs::read(at("gwanmun.db")).expect("a database");
    assert!(log.len() > before, "the second batch is in the log");

    let (mut kept, mut lost) = (0, 0);
    for place in (before..log.len()).step_by(499).chain([log.len()]) {
        let crashed = directory();
        let options = StoreOptions { directory: crashed.path().join("store"), ..options.clone() };
        drop(open(&options));
        let put = |name: &str, octets: &[u8]| fs::write(options.directory.join(name), octets).expect(name);
        let mut flipped = log.clone();
        if let Some(octet) = flipped.get_mut(place) {
            *octet ^= 0x10;
        }
        for (name, octets) in [("gwanmun.db", &database), ("gwanmun.db-wal", &flipped), ("mark", &mark)] {
            put(name, octets);
        }
        let store = open(&options);
        let body =
            |number| store.body(&sample::message_key("broker", number)).expect("readable").map(|it| it.body);
        assert_eq!(body(1), Some(b"the first".to_vec().into()), "flipped at {place} (P1)");
        match body(2) {
            Some(second) => {
                assert_eq!(second, b"the second".to_vec().into(), "flipped at {place} (P12)");
                kept += 1;
            }
            None => lost += 1,
        }
        assert!(store.conservation().expect("readable").holds(), "flipped at {place} (P2)");
        assert!(matches!(store.verify_audit(), Ok(AuditVerdict::Intact(_))), "flipped at {place} (P18)");
        assert_eq!(store.scrub().expect("readable"), [], "flipped at {place} (P12)");
    }
    assert!(kept >= 1 && lost > 10, "{kept} kept, {lost} lost: the log that is whole is kept");
}
