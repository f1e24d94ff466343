//! Octets that are too large to hold: written once as they come in, read where they stand from then on (P13).

use std::fs::{self, File};
use std::sync::Arc;

use bytes::Bytes;

use super::opening::files;
use super::*;
use crate::model::{Digest, Octets, Piece};
use crate::store::{NewMessage, spooled};

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
