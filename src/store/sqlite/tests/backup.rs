//! Backups are of one instant, whole or not there, and a changed one is found (P20).

use std::fs;
use std::ops::ControlFlow;

use super::damage::filled;
use super::inspection::wrong;
use super::opening::files;
use super::*;
use crate::model::{Digest, Purged, StoredMessage};
use crate::store::{Looked, MessageWrite, Needs};

fn on(_: Looked) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn back_up(options: &StoreOptions, to: &Path) -> Result<(Manifest, Vec<Damage>), StoreError> {
    Inspection::of(&options.directory).expect("it can be looked at").back_up(to, sample::at(1), &mut on)
}

#[test]
fn a_backup_beside_a_writing_gateway_is_of_one_instant() {
    let (directory, options) = place();
    let store = filled(&options);
    let to = directory.path().join("backup");
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    let (mut number, mut heard) = (100, Vec::new());
    let made = looked.back_up(&to, sample::at(1), &mut |looked| {
        heard.push(looked.at);
        // What is committed while it is made is not in it, with large octets or without.
        number += 1;
        let large =
            Batch { message: Some(new_message("broker", number, vec![7; 300_001])), ..receives(number, "x") };
        assert_eq!(commit(&store, large), Ok(()));
        ControlFlow::Continue(())
    });
    let (manifest, damaged) = made.expect("made");
    assert_eq!(heard.first(), Some(&"database"), "something was committed while it was copied");
    assert_eq!(heard.last(), Some(&"payload files"));
    assert_eq!((manifest.audit_entries, damaged), (3, vec![]));
    assert_eq!(manifest.check(&to).expect("readable"), []);
    assert_eq!(Manifest::read(&to).expect("readable"), Some(manifest));
    let copy = Inspection::of(Manifest::store_of(&to)).expect("it can be looked at");
    assert_eq!(wrong(&copy), [""; 0], "P2, P12, P18");
    assert_eq!(copy.orphans().expect("readable"), 0, "no payload of a later record");
    assert_eq!(copy.mark().expect("readable"), Some(copy.audit_head().expect("readable")));
    drop(copy);

    let restored = open(&StoreOptions { directory: Manifest::store_of(&to), ..options });
    let body = restored.body(&sample::message_key("broker", 3)).expect("readable").expect("there");
    assert_eq!(body.body, vec![3; 300_000].into());
    assert_eq!(commit(&restored, receives(9, "goes on")), Ok(()));
}

/// Its octets go with the backup that is under way, and from the store after it.
#[test]
fn what_is_purged_while_a_backup_is_made_is_in_it_whole_and_swept_after_it_p20() {
    let (directory, options) = place();
    let store = filled(&options);
    let key = sample::message_key("broker", 3);
    let known = store.load(&Needs { message: Some(key.clone()), ..Needs::default() }).expect("readable");
    let known = known.message.expect("there");
    let purged = Some(Purged { at: sample::at(9), archive: Digest([1; 32]), bytes: 300_000 });
    let record = StoredMessage { purged, ..known.record };
    let mut write = Some(MessageWrite { record, based_on: known.version });
    let to = directory.path().join("backup");
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    let made = looked.back_up(&to, sample::at(1), &mut |looked| {
        if looked.at == "database" && write.is_some() {
            assert_eq!(commit(&store, Batch { changed: write.take(), ..Batch::default() }), Ok(()));
            assert_eq!(store.sweep().expect("told"), 0, "not while the backup is made");
        }
        ControlFlow::Continue(())
    });
    let (_, damaged) = made.expect("made");
    assert_eq!((damaged, write.is_none()), (vec![], true));
    assert_eq!(store.sweep().expect("swept"), 1, "after it");
    assert_eq!(store.body(&key).expect("readable"), None);
    let copy = Inspection::of(Manifest::store_of(&to)).expect("it can be looked at");
    assert_eq!(wrong(&copy), [""; 0], "P2, P12, P18");
    drop(copy);
    let restored = open(&StoreOptions { directory: Manifest::store_of(&to), ..options });
    let body = restored.body(&key).expect("readable").expect("there: it can be purged again");
    assert_eq!(body.body, vec![3; 300_000].into());
}

#[test]
fn a_changed_backup_is_found() {
    fn check(change: fn(&Path), expected: &str) {
        let (directory, options) = place();
        drop(filled(&options));
        let to = directory.path().join("backup");
        let (manifest, _) = back_up(&options, &to).expect("made");
        change(&Manifest::store_of(&to));
        let found: Vec<_> = manifest.check(&to).expect("readable").iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}, expected {expected}");
    }
    check(
        |store| {
            let mut octets = fs::read(store.join("gwanmun.db")).expect("readable");
            octets[5000] ^= 1;
            fs::write(store.join("gwanmun.db"), octets).expect("written");
        },
        "file gwanmun.db: its octets are not those",
    );
    check(|store| fs::remove_file(store.join("mark")).expect("removed"), "file mark: it is gone");
    check(
        |store| fs::write(store.join("gwanmun.db-wal"), b"x").expect("written"),
        "it is not in the manifest",
    );
}

#[test]
fn a_place_that_is_taken_is_left_alone_and_half_a_backup_makes_room() {
    let (directory, options) = place();
    drop(filled(&options));
    let before = files(&options.directory);
    let to = directory.path().join("backup");
    fs::write(&to, b"something").expect("written");
    assert!(back_up(&options, &to).is_err());
    assert_eq!(fs::read(&to).expect("readable"), b"something");
    fs::remove_file(&to).expect("removed");

    let aside = directory.path().join("backup.making");
    fs::create_dir(&aside).expect("left by a crash");
    fs::write(aside.join("manifest.json"), b"{}").expect("left by a crash");
    back_up(&options, &to).expect("made");
    assert!(!aside.exists());
    assert!(before == files(&options.directory), "the store is as it was");
}

#[test]
fn a_payload_that_is_damaged_in_the_store_is_told_and_the_rest_is_kept() {
    let (directory, options) = place();
    drop(filled(&options));
    let (file, _) = files(&options.directory.join("bodies")).pop_first().expect("a large payload");
    fs::write(&file, b"other octets").expect("changed");
    let to = directory.path().join("backup");
    let (_, damaged) = back_up(&options, &to).expect("made");
    assert_eq!(damaged.len(), 1, "P12: {damaged:?}");
    let copy = Inspection::of(Manifest::store_of(&to)).expect("it can be looked at");
    assert_eq!(wrong(&copy).len(), 1, "the backup does not pretend that it is whole");
}

#[test]
fn a_backup_becomes_the_store_whole_or_not_at_all() {
    let (directory, options) = place();
    drop(filled(&options));
    let [to, lost] = ["backup", "lost"].map(|name| directory.path().join(name));
    let (manifest, _) = back_up(&options, &to).expect("made");
    assert!(Manifest::restore(&to, &options.directory).is_err(), "a store is there");
    fs::rename(&options.directory, &lost).expect("moved");
    assert!(Manifest::restore(&lost, &options.directory).is_err(), "no backup");

    let aside = directory.path().join("store.making");
    fs::create_dir(&aside).expect("left by a crash");
    assert_eq!(Manifest::restore(&to, &options.directory).expect("restored"), manifest);
    assert!(!aside.exists());
    let restored = || Manifest::of_restored(&options.directory).expect("readable");
    assert_eq!(wrong(&Inspection::of(&options.directory).expect("it can be looked at")), [""; 0]);
    drop(open(&options));
    assert_eq!(restored(), Some(manifest), "it is remembered until somebody has drawn the conclusions");
    Manifest::forget_restored(&options.directory).expect("forgotten");
    assert_eq!(restored(), None);

    fs::remove_dir_all(&options.directory).expect("removed");
    fs::write(Manifest::store_of(&to).join("mark"), b"changed").expect("written");
    assert!(Manifest::restore(&to, &options.directory).is_err(), "a changed backup");
    assert!(!options.directory.exists());
}
