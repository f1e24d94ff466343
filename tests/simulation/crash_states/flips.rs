//! Octets of a small store are changed, and its files cut, everywhere (P12): a start or the proofs name it, or it is of no
//! account; and whatever is served is what was stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use gwanmun::store::{
    AuditVerdict, DeliveryFilter, DeliveryLocator, MessageFilter, Needs, SqliteStore, Store,
};

use super::life::{batches, commit, options};
use super::states::{STORE, place};

/// How a file is changed.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// One bit of the octet at this place.
    Flip(usize),
    /// It ends here.
    Cut(usize),
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The store does not open, and says why.
    NotOpened,
    /// It opens, and the proofs name it.
    Named,
    /// Nothing that is ever read has changed.
    OfNoAccount,
    /// It is as bad as can be: this was served.
    Wrong(String),
}

/// Of an octet in so many one bit is changed in a plain run; a file is cut as often.
const STRIDE: usize = 8192;
/// How far it is is told after so many.
const TOLD_AFTER: usize = 1000;

#[test]
fn no_changed_octet_and_no_cut_file_of_a_small_store_is_served_as_if_nothing_were() {
    let root = place();
    let whole = root.path().join(STORE);
    let store = SqliteStore::open(options(&whole)).expect("it opens");
    batches().into_iter().for_each(|batch| assert_eq!(commit(&store, batch), Ok(())));
    let served = served_by(&store).expect("all of it can be read");
    drop(store);

    let stride = std::env::var("FLIP_STRIDE").map_or(STRIDE, |text| text.parse().expect("a number"));
    let mut damages = Vec::new();
    for file in files_beneath(&whole) {
        let length = fs::metadata(whole.join(&file)).expect("it is there").len() as usize;
        for at in (0..length).step_by(stride) {
            // Somewhere in the stride, and not at the same place of every page.
            let within = (at / stride * 1009) % stride;
            damages.push((file.clone(), Damage::Flip((at + within).min(length - 1))));
            damages.push((file.clone(), Damage::Cut(at)));
        }
    }
    let (mut done, mut counts) = (0, [0; 3]);
    for some in damages.chunks(TOLD_AFTER) {
        let outcomes = outcomes_of(some, |(file, damage)| damaged(&whole, file, *damage, &served));
        let wrong: Vec<_> =
            outcomes.iter().zip(some).filter(|(it, _)| matches!(it, Outcome::Wrong(_))).collect();
        assert!(wrong.is_empty(), "P12: {wrong:#?}");
        let all = [Outcome::NotOpened, Outcome::Named, Outcome::OfNoAccount];
        for (count, of) in counts.iter_mut().zip(all) {
            *count += outcomes.iter().filter(|it| **it == of).count();
        }
        done += some.len();
        println!("{done} of {} damages, {} remain", damages.len(), damages.len() - done);
    }
    let [not_opened, named, of_no_account] = counts;
    println!(
        "{done} damages: {not_opened} named by the start, {named} by the proofs, {of_no_account} of no account, \
         0 served wrong"
    );
    assert!(named > 0 && not_opened > 0, "damage is met in both ways");
}

/// What came of each, in their order.
fn outcomes_of<T: Sync>(damages: &[T], outcome: impl Fn(&T) -> Outcome + Sync) -> Vec<Outcome> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(damage) = damages.get(place) else { break };
            let outcome = outcome(damage);
            outcomes.lock().expect("no panic").insert(place, outcome);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    outcomes.into_inner().expect("no panic").into_values().collect()
}

/// Damages a copy, opens it and reads all of it.
fn damaged(whole: &Path, file: &Path, damage: Damage, served: &[(String, String)]) -> Outcome {
    let root = place();
    let copy = root.path().join(STORE);
    copy_all(whole, &copy);
    let path = copy.join(file);
    let mut octets = fs::read(&path).expect("it is there");
    match damage {
        Damage::Flip(at) => octets[at] ^= 1 << (at % 8),
        Damage::Cut(at) => octets.truncate(at),
    }
    fs::write(&path, octets).expect("it is a copy");
    let Ok(store) = SqliteStore::open(options(&copy)) else { return Outcome::NotOpened };
    let law = store.conservation().is_ok_and(|law| law.holds());
    let chain = store.verify_audit().is_ok_and(|verdict| matches!(verdict, AuditVerdict::Intact(_)));
    let whole = store.scrub().is_ok_and(|damage| damage.is_empty());
    let is_named = !(law && chain && whole);
    // What cannot be listed is not served; what is served must be right.
    let now = served_by(&store).unwrap_or_default();
    let wrong = now.iter().find(|record| !served.contains(record));
    match wrong {
        Some((what, _)) => Outcome::Wrong(what.clone()),
        None if is_named => Outcome::Named,
        None if now.len() == served.len() => Outcome::OfNoAccount,
        None => {
            Outcome::Wrong(format!("{} records are missing and nothing says so", served.len() - now.len()))
        }
    }
}

/// Everything that can be read of messages and deliveries, by name; what is refused as damaged is left out.
fn served_by(store: &dyn Store) -> Option<Vec<(String, String)>> {
    let mut served = Vec::new();
    for message in store.messages(&MessageFilter::default(), usize::MAX).ok()?.items {
        let needs = Needs { message: Some(message.key.clone()), ..Needs::default() };
        if let Ok(Some(known)) = store.load(&needs).map(|view| view.message) {
            served.push((format!("message {}", message.key), format!("{known:?}")));
        }
        if let Ok(Some(body)) = store.body(&message.key) {
            let digest = gwanmun::model::Digest::of(body.body.held());
            served.push((format!("body {}", message.key), format!("{} {digest}", body.content_type)));
        }
    }
    for delivery in store.deliveries(&DeliveryFilter::default(), usize::MAX).ok()?.items {
        let name = delivery.id.to_string();
        let needs =
            Needs { delivery: Some(DeliveryLocator::Id(delivery.id)), sealed: true, ..Needs::default() };
        if let Ok(view) = store.load(&needs)
            && let Some(delivery) = view.delivery
        {
            served.push((format!("delivery {name}"), format!("{delivery:?} {:?}", view.sealed)));
        }
    }
    Some(served)
}

fn files_beneath(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                left.push(path);
            } else {
                files.push(path.strip_prefix(root).expect("it is beneath it").to_owned());
            }
        }
    }
    files.sort();
    files
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("its parent is there");
    // The directories of payloads are made anew by whoever opens it; most of them are empty.
    for file in files_beneath(from) {
        fs::create_dir_all(to.join(&file).parent().expect("a place")).expect("made");
        fs::copy(from.join(&file), to.join(&file)).expect("copied");
    }
}
