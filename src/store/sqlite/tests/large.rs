//! Octets that are too large to hold: written once as they come in, read where they stand from then on (P13).

use std::fs::{self, File};
use std::sync::Arc;

use bytes::Bytes;

use super::opening::files;
use super::*;
use crate::model::{Delivery, Digest, Octets, Piece, Purged, StoredMessage};
use crate::store::{DeliveryWrite, MessageWrite, NewMessage, spooled};

/// A body that was spooled to this store.
fn body(store: &SqliteStore, fill: u8) -> Octets {
    let octets = vec![fill; 2 << 20];
    let path = store.spool_directory().expect("it has one").join(format!("{fill}.aside"));
    fs::write(&path, &octets).expect("written");
    spooled(Arc::new(File::open(&path).expect("there")), path, octets.len() as u64, Digest::of(&octets))
}

/// A message with that body, and a delivery that is sealed over the middle of it.
fn forwards(number: u32, body: &Octets) -> Batch {
    let middle = body.slice(1000..2_000_000).expect("readable");
    let held = |text: &'static str| Piece::Held(Bytes::from_static(text.as_bytes()));
    let pieces = [held("before")].into_iter().chain(middle.pieces()).chain([held("behind")]);
    let package = Octets::joined(pieces.collect()).expect("readable");
    let mut batch = makes(delivery(number, "kfda"));
    batch.deliveries[0].delivery.sealed = true;
    batch.deliveries[0].sealed = Some(crate::model::Sealed { body: package, ..sample::sealed("") });
    batch.message = Some(NewMessage { body: body.clone(), ..new_message("broker", number, "") });
    batch
}

fn bodies(options: &StoreOptions) -> Vec<PathBuf> {
    files(&options.directory.join("bodies")).into_keys().collect()
}

fn sealed(store: &SqliteStore, number: u32) -> Octets {
    let needs =
        Needs { delivery: Some(DeliveryLocator::Id(delivery_id(number))), sealed: true, ..Needs::default() };
    store.load(&needs).expect("readable").sealed.expect("is there").body
}

#[test]
fn what_is_forwarded_of_a_large_body_is_copied_nowhere() {
    let (_directory, options) = place();
    let store = open(&options);
    let large = body(&store, 7);
    let batch = forwards(1, &large);
    let expected = [&b"before"[..], &[7; 2_000_000 - 1000], b"behind"].concat();
    assert_eq!(commit(&store, batch.clone()), Ok(()));
    assert_eq!(commit(&store, batch), Err(CommitError::Duplicate));
    drop(large);
    drop(body(&store, 8));
    assert_eq!(bodies(&options).len(), 1, "written once; what nobody commits is gone");
    drop(store);

    let store = open(&options);
    let package = sealed(&store, 1);
    assert!(package.as_held().is_none() && package.held_bytes() == 12, "P13");
    assert_eq!(package.read(usize::MAX).expect("whole"), expected, "P6");
    assert_eq!(store.scrub().expect("readable"), []);
    let to = options.directory.with_extension("backup");
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    let made = looked.back_up(&to, sample::at(1), &mut |_| ControlFlow::Continue(()));
    assert_eq!(made.expect("made").1, [], "P20");
    let copy = open(&StoreOptions { directory: Manifest::store_of(&to), ..options });
    assert_eq!(sealed(&copy, 1).read(usize::MAX).expect("whole"), expected);
}

#[test]
fn a_large_body_that_changed_is_found_and_never_given_whole() {
    let (_directory, options) = place();
    let store = open(&options);
    let large = body(&store, 7);
    assert_eq!(commit(&store, forwards(1, &large)), Ok(()));
    drop(large);
    let [file] = &bodies(&options)[..] else { panic!("one file") };
    let mut octets = fs::read(file).expect("readable");
    octets[1_000_000] ^= 1;
    fs::write(file, &octets).expect("changed");
    let given: Vec<_> = sealed(&store, 1).checked().collect();
    assert!(given.last().expect("something").is_err(), "P12");
    let named: Vec<_> = store.scrub().expect("readable").into_iter().map(|damage| damage.what).collect();
    assert_eq!(named, ["body of message broker/1@broker", "octets of delivery delivery-1"], "P12");
    fs::remove_file(file).expect("it was there");
    let needs =
        Needs { delivery: Some(DeliveryLocator::Id(delivery_id(1))), sealed: true, ..Needs::default() };
    assert!(matches!(store.load(&needs), Err(StoreError::Damaged(_))), "P12");
}

/// A start asks an index which files are named. A bit of it may have flipped: so what it does not name is set aside, and stays
/// until a scrub has read every record.
#[test]
fn a_flipped_bit_in_an_index_takes_no_file_p12() {
    let (directory, options) = place();
    let store = open(&options);
    let large = Batch { message: Some(new_message("broker", 1, vec![1; 300_000])), ..Batch::default() };
    assert_eq!(commit(&store, large), Ok(()));
    let orphan = Batch { message: Some(new_message("broker", 1, vec![2; 300_000])), ..Batch::default() };
    assert_eq!(commit(&store, orphan), Err(CommitError::Duplicate));
    drop(store);
    let digest = Digest::of(&vec![1; 300_000]).to_string();
    let database = fs::read(options.directory.join("gwanmun.db")).expect("readable");
    let places: Vec<_> =
        (0..database.len()).filter(|at| database[*at..].starts_with(digest.as_bytes())).collect();
    assert!(places.len() >= 2, "in the table and in its index: {places:?}");
    let (mut by_index, mut by_table) = (0, 0);
    for place in places {
        let copy = StoreOptions {
            directory: directory.path().join(format!("flipped at {place}")),
            ..options.clone()
        };
        for (path, octets) in files(&options.directory) {
            let path = copy.directory.join(path.strip_prefix(&options.directory).expect("it is below"));
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, octets).expect("written");
        }
        let mut flipped = database.clone();
        flipped[place + 7] ^= 1;
        fs::write(copy.directory.join("gwanmun.db"), flipped).expect("written");
        for start in 1..=2 {
            let before = by_index;
            let store = open(&copy);
            let read = store.body(&sample::message_key("broker", 1));
            let damage = store.scrub().expect("readable");
            assert!(!damage.is_empty(), "flipped at {place}, start {start} (P12)");
            assert_eq!(bodies(&copy).len(), 2, "where anything is damaged, nothing goes: start {start}");
            match read {
                Ok(found) => {
                    assert_eq!(
                        found.expect("there").body,
                        vec![1; 300_000].into(),
                        "flipped at {place} (P1)"
                    );
                    assert!(
                        damage.iter().any(|it| it.detail.contains("was set aside at a start")),
                        "flipped at {place}, start {start}: {damage:?}"
                    );
                    by_index += 1;
                }
                Err(StoreError::Damaged(_)) => by_table += 1,
                Err(error) => panic!("{error}"),
            }
            drop(store);
            if start == 2 && by_index > before {
                raw(&copy.directory).execute_batch("REINDEX").expect("mended");
                let store = open(&copy);
                assert_eq!(store.scrub().expect("readable"), [], "it has its name back");
                assert_eq!(bodies(&copy).len(), 1, "and the orphan goes");
            }
        }
    }
    assert!(by_index == 2 && by_table == 2, "{by_index} by the index, {by_table} by the table");
    let store = open(&options);
    assert_eq!(store.scrub().expect("readable"), []);
    assert_eq!(bodies(&options).len(), 1, "an orphan goes once every record was read");
}

/// What was refused, or cut off by a crash, comes again after the start that set its file aside.
#[test]
fn what_comes_again_after_its_file_was_set_aside_is_no_damage_p3() {
    let (_directory, options) = place();
    let large =
        |number| Batch { message: Some(new_message("broker", number, vec![2; 300_000])), ..Batch::default() };
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "small")), Ok(()));
    assert_eq!(commit(&store, large(1)), Err(CommitError::Duplicate));
    drop(store);
    let store = open(&options);
    assert_eq!(commit(&store, large(2)), Ok(()));
    assert_eq!(bodies(&options).len(), 2, "one is set aside");
    assert_eq!(store.scrub().expect("readable"), []);
    assert_eq!(bodies(&options).len(), 1);
    assert_eq!(
        store.body(&sample::message_key("broker", 2)).expect("readable").expect("there").body,
        vec![2; 300_000].into()
    );
    drop(store);
    // The same once more, and no scrub comes to its end before the next start.
    let path = bodies(&options).remove(0);
    fs::copy(&path, path.with_extension("orphan")).expect("copied");
    let store = open(&options);
    assert_eq!(bodies(&options), [path], "the start knows better");
    assert_eq!(store.scrub().expect("readable"), []);
}

/// Purges the received message, or the delivery that was made of it.
fn purge(store: &SqliteStore, number: u32, received: bool) {
    let purged = Some(Purged { at: sample::at(9), archive: Digest([1; 32]), bytes: 2 << 20 });
    let needs = Needs {
        message: Some(sample::message_key("broker", number)),
        delivery: Some(DeliveryLocator::Id(delivery_id(number))),
        ..Needs::default()
    };
    let view = store.load(&needs).expect("readable");
    let batch = if received {
        let known = view.message.expect("there");
        let record = StoredMessage { purged, ..known.record };
        Batch { changed: Some(MessageWrite { record, based_on: known.version }), ..Batch::default() }
    } else {
        let stored = view.delivery.expect("there");
        let delivery = Delivery { purged, ..stored.value };
        let write = DeliveryWrite { delivery, based_on: Some(stored.version), sealed: None, receipt: None };
        Batch { deliveries: vec![write], ..Batch::default() }
    };
    assert_eq!(commit(store, batch), Ok(()));
}

#[test]
fn a_file_stays_as_long_as_anything_is_made_of_it() {
    for received_first in [true, false] {
        let (_directory, options) = place();
        let store = open(&options);
        assert_eq!(commit(&store, forwards(1, &body(&store, 7))), Ok(()));
        let expected = sealed(&store, 1).read(usize::MAX).expect("whole");
        purge(&store, 1, received_first);
        assert_eq!(store.sweep().expect("swept"), 0, "P3: the other one stands in it");
        drop(store);
        let store = open(&options);
        assert_eq!(bodies(&options).len(), 1, "nor when the store is opened");
        if received_first {
            assert_eq!(sealed(&store, 1).read(usize::MAX).expect("whole"), expected, "P6");
        }
        assert_eq!(store.scrub().expect("readable"), []);
        purge(&store, 1, !received_first);
        assert_eq!(store.sweep().expect("swept"), 1);
        assert_eq!(bodies(&options).len(), 0, "nothing is made of it any more");
        assert_eq!(store.scrub().expect("readable"), []);
    }
}

/// Somebody reads a body, it is purged, and then commits what is made of it.
#[test]
fn what_is_made_of_a_file_that_was_swept_meanwhile_brings_it_along() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, forwards(1, &body(&store, 7))), Ok(()));
    let read = sealed(&store, 1);
    let expected = read.read(usize::MAX).expect("whole");
    purge(&store, 1, true);
    purge(&store, 1, false);
    assert_eq!(store.sweep().expect("swept"), 1);
    let mut batch = makes(delivery(2, "kfda"));
    batch.deliveries[0].delivery.sealed = true;
    batch.deliveries[0].sealed = Some(crate::model::Sealed { body: read, ..sample::sealed("") });
    assert_eq!(commit(&store, batch), Ok(()));
    assert_eq!(sealed(&store, 2).read(usize::MAX).expect("whole"), expected, "P2, P12");
    assert_eq!(store.scrub().expect("readable"), []);
}

#[test]
fn a_file_that_is_not_kept_for_what_stands_in_it_is_found() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, forwards(1, &body(&store, 7))), Ok(()));
    drop(store);
    let tool = raw(&options.directory);
    assert_eq!(tool.execute("DELETE FROM piece", []).expect("lost"), 1);
    tool.close().expect("closed");
    let found = open(&options).scrub().expect("readable");
    let [damage] = &found[..] else { panic!("one thing is wrong: {found:?}") };
    assert_eq!(damage.what, "octets of delivery delivery-1", "P12");
}

#[test]
fn a_store_of_the_format_before_takes_what_is_large() {
    let (_directory, options) = place();
    let store = open(&options);
    assert_eq!(commit(&store, receives(1, "x")), Ok(()));
    drop(store);
    let tool = raw(&options.directory);
    tool.execute_batch("DROP TABLE piece; PRAGMA user_version = 8;").expect("as it was");
    tool.close().expect("closed");
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    assert_eq!(looked.scrub(&mut |_| ControlFlow::Continue(())).expect("readable"), [], "P19");
    drop(looked);

    let store = open(&options);
    assert_eq!(store.upgraded_from(), Some(8), "P19");
    assert_eq!(commit(&store, forwards(2, &body(&store, 7))), Ok(()));
    assert_eq!(store.scrub().expect("readable"), []);
}
