//! Looking at a store from outside changes nothing, whatever state it is in, and finds what is wrong (P2, P12, P18, P19).

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;

use super::damage::filled;
use super::opening::{as_format_1, files};
use super::*;
use crate::store::Looked;

fn on(_: Looked) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A copy of everything in a directory.
fn copied(from: &Path, to: &Path) {
    for (path, octets) in files(from) {
        let path = to.join(path.strip_prefix(from).expect("below it"));
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, octets).expect("written");
    }
}

/// Every name below a directory, and the octets of what is a file.
fn everything(directory: &Path) -> (Vec<PathBuf>, BTreeMap<PathBuf, Vec<u8>>) {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut names: Vec<_> = names.collect();
    names.sort();
    (names, files(directory))
}

/// Takes every proof; gives what is wrong.
pub(super) fn wrong(store: &Inspection) -> Vec<String> {
    let mut wrong = Vec::new();
    let marked = store.mark().expect("readable").unwrap_or(AuditHead::EMPTY);
    if let AuditVerdict::Broken { sequence, .. } = store.verify_audit(marked, &mut on).expect("readable") {
        wrong.push(format!("audit entry {sequence} is broken"));
    }
    wrong.extend(store.conservation(&mut on).expect("readable").faults);
    wrong.extend(store.scrub(&mut on).expect("readable").into_iter().map(|damage| damage.what));
    wrong
}

#[test]
fn a_store_in_any_state_is_proved_and_stays_as_it_is() {
    fn check(what: &str, running: bool, deliveries: u64, make: impl FnOnce(&Path, &StoreOptions) -> PathBuf) {
        let (directory, options) = place();
        let looked_at = make(directory.path(), &options);
        let before = everything(&looked_at);
        let store = Inspection::of(&looked_at).expect("it can be looked at");
        assert_eq!(store.is_running(), running, "{what}");
        assert_eq!(wrong(&store), [""; 0], "{what}: P2, P12, P18");
        let law = store.conservation(&mut on).expect("readable");
        assert_eq!(law.destinations[&party("kfda")].created, deliveries, "{what}");
        assert_eq!(store.audit_head().expect("readable").sequence, deliveries, "{what}");
        let contents = store.contents().expect("readable");
        assert_eq!(contents.deliveries, [("kfda".to_owned(), "pending".to_owned(), deliveries)], "{what}");
        assert_eq!(store.orphans().expect("readable"), 0, "{what}");
        assert_eq!(store.chain(1, 9).expect("readable").len() as u64, deliveries - 1, "{what}: P18");
        assert_eq!(store.heads(0, 9).expect("readable"), [], "{what}: P18");
        drop(store);
        assert_eq!(before.0, everything(&looked_at).0, "{what}: the same names");
        assert!(before == everything(&looked_at), "{what}: the same octets");
    }
    check("closed", false, 3, |_, options| {
        drop(filled(options));
        assert!(!options.directory.join("gwanmun.db-wal").exists());
        options.directory.clone()
    });
    let killed = |place: &Path, options: &StoreOptions| {
        let store = filled(options);
        let copy = place.join("copy");
        copied(&options.directory, &copy);
        drop(store);
        assert!(copy.join("gwanmun.db-wal").metadata().expect("a log").len() > 0);
        copy
    };
    check("killed: what was committed stands in the log", false, 3, killed);
    check("a copy without the index of its log", false, 3, |place, options| {
        let copy = killed(place, options);
        fs::remove_file(copy.join("gwanmun.db-shm")).expect("removed");
        copy
    });
    check("a copy without lock and mark, under a strange name", false, 3, |place, options| {
        drop(filled(options));
        let copy = place.join("a copy?of%41 #1");
        copied(&options.directory, &copy);
        fs::remove_file(copy.join("lock")).expect("removed");
        fs::remove_file(copy.join("mark")).expect("removed");
        copy
    });
    check("a killed one that cannot be written", false, 3, |place, options| {
        let copy = killed(place, options);
        for file in files(&copy).keys() {
            fs::set_permissions(file, fs::Permissions::from_mode(0o400)).expect("set");
        }
        copy
    });
    check("of the first format", false, 3, |_, options| {
        drop(filled_without_approvals(options));
        as_format_1(options);
        options.directory.clone()
    });
}

/// What a store of the first format could hold.
fn filled_without_approvals(options: &StoreOptions) -> SqliteStore {
    let store = open(options);
    for number in 1..=3 {
        let case = sample::case(number);
        let opens = CaseWrite { correlations: sample::keys(&case), case, based_on: None };
        assert_eq!(commit(&store, Batch { case: Some(opens), ..receives(number, "x") }), Ok(()));
    }
    store
}

#[test]
fn beside_a_gateway_what_it_commits_is_seen_and_a_stopped_store_keeps_gateways_out() {
    let (_directory, options) = place();
    let store = filled(&options);
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    assert!(looked.is_running());
    assert_eq!(wrong(&looked), [""; 0]);
    assert_eq!(commit(&store, receives(4, "later")), Ok(()));
    assert_eq!(looked.audit_head().expect("readable").sequence, 4);
    assert_eq!(wrong(&looked), [""; 0], "an older mark is no fault");
    drop((looked, store));

    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    assert!(!looked.is_running());
    assert!(matches!(SqliteStore::open(options.clone()), Err(StoreError::InUse { .. })));
    drop(looked);
    open(&options);
}

#[test]
fn what_is_wrong_is_named() {
    fn check(sql: &str, expected: &[&str]) {
        let (_directory, options) = place();
        drop(filled(&options));
        let tool = raw(&options.directory);
        tool.execute_batch(sql).expect("changed");
        tool.close().expect("closed");
        let store = Inspection::of(&options.directory).expect("it can be looked at");
        let found = wrong(&store);
        assert_eq!(found.len(), expected.len(), "{sql}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{sql}: {found}, expected {expected}");
        }
    }
    check("DELETE FROM sealed WHERE owner = 2", &["octets of delivery delivery-2"]);
    check(
        "DELETE FROM sealed WHERE owner = 2; DELETE FROM delivery WHERE number = 2",
        &["delivery-2 is in the audit record and nowhere else"],
    );
    check(
        "UPDATE delivery SET state = 'delivered' WHERE number = 1",
        &["delivery-1: its columns say kfda, delivered", "delivery delivery-1"],
    );
    check("UPDATE body SET octets = x'00' WHERE owner = 1", &["body of message broker/1@broker"]);
    check(
        "DELETE FROM audit WHERE number = 3",
        &["audit entry 3 is broken", "delivery-3: no entry of the audit record names it"],
    );
    check("UPDATE correlation SET case_id = 'case-9' WHERE text = '2'", &["correlation"]);
}

#[test]
fn a_payload_file_that_is_gone_or_nobodys_is_noticed() {
    let (_directory, options) = place();
    drop(filled(&options));
    let bodies = options.directory.join("bodies");
    let (file, octets) = files(&bodies).pop_first().expect("a large payload");
    fs::remove_file(&file).expect("removed");
    fs::write(bodies.join("00").join("0".repeat(64)), b"nobody's").expect("written");
    let store = Inspection::of(&options.directory).expect("it can be looked at");
    let found = wrong(&store);
    assert!(found.len() == 1 && found[0].contains('3'), "P12: {found:?}");
    assert_eq!(store.orphans().expect("readable"), 1);
    drop(store);
    fs::write(&file, octets).expect("out of a backup");
    assert_eq!(wrong(&Inspection::of(&options.directory).expect("it can be looked at")), [""; 0]);
}

#[test]
fn what_is_no_store_or_too_new_is_refused() {
    let (directory, options) = place();
    assert!(matches!(Inspection::of(directory.path()), Err(StoreError::NotAStore { .. })));
    assert!(Inspection::of(&options.directory).is_err());
    assert!(!options.directory.exists(), "looking makes nothing");
    drop(open(&options));
    let tool = raw(&options.directory);
    tool.pragma_update(None, "user_version", schema::FORMAT + 1).expect("changed");
    tool.close().expect("closed");
    assert!(matches!(Inspection::of(&options.directory), Err(StoreError::Newer { .. })), "P19");
}

#[test]
fn a_walk_says_how_far_it_is_and_ends_when_it_is_told_to() {
    let (_directory, options) = place();
    let store = filled(&options);
    assert_eq!(raw(&options.directory).execute("UPDATE audit SET checksum = 0", []).expect("changed"), 3);
    let mut heard = Vec::new();
    let found = store.scrub_slowly(&mut |looked| {
        heard.push((looked.at, looked.records));
        ControlFlow::Continue(())
    });
    assert_eq!(found.expect("readable").len(), 3);
    assert_eq!(
        heard.last(),
        Some(&("audit", 24)),
        "messages, cases, correlations, deliveries, approvals, audit"
    );
    let mut looks = 0;
    let found = store.scrub_slowly(&mut |_| {
        looks += 1;
        ControlFlow::Break(())
    });
    assert_eq!((found.expect("readable"), looks), (vec![], 1), "it ended before the audit record");
}
