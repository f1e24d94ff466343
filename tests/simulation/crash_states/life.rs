//! The life that is recorded: a whole case of the simulation, played again, commit by commit, on the real store.
//!
//! The batches are those of a calm run: a declaration with a scan that is too large for the database, for customs and three
//! agencies, with notices, results, fees, receipts and resends; and at its end some of it is purged, the scan first. Its body
//! is spooled as it comes in, as larger ones are, and another delivery carries a piece of it (P13): the file goes with the
//! last of them. What the store holds after each batch is told by the in-memory home, which is the model.

use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use gwanmun::model::{
    Attested, Delivery, DeliveryId, Digest, MessageId, Octets, Piece, Purged, Realm, Sealed, StoredMessage,
    TimelineEntry, Timestamp,
};
use gwanmun::store::{
    Batch, CaseFilter, CommitError, CorrelationKey, DeliveryFilter, DeliveryLocator, DeliveryWrite,
    MemoryStore, MessageFilter, MessageWrite, Needs, SqliteStore, Store, StoreOptions, spooled,
};

use crate::disk::SimulatedDisk;
use crate::parties::Who;
use crate::world::{Scenario, World};

/// The place of the store that the child plays on.
pub(super) const PLACE: &str = "GWANMUN_CRASH_STATES_PLACE";
/// The file for what the store holds after each commit.
pub(super) const EXPECTED: &str = "GWANMUN_CRASH_STATES_EXPECTED";
/// The place, for the process that plays the first part and dies.
pub(super) const DYING: &str = "GWANMUN_CRASH_STATES_DYING";
/// What the child says before it plays.
pub(super) const BEGINS: &str = "the life begins";

/// The settings of the store: so short a log that it is copied, and begins again, many times in the life.
pub(super) fn options(directory: &Path) -> StoreOptions {
    StoreOptions { free_bytes_min: 0, log_pages_max: 60, ..StoreOptions::at(directory) }
}

/// Plays the life in three parts, and says what is answered: a process plays the first and dies, another one opens what it
/// left and closes it in order, and opens it once more.
///
/// Each process has keys of its own, with which its batches are signed: so the model is handed on with the store.
pub(super) fn play(place: &Path, expected: &Path) {
    let mut batches = batches();
    say(BEGINS);
    let dying = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "crash_states::child_that_dies", "--nocapture"])
        .envs([(DYING, place), (EXPECTED, expected)])
        .env_remove(PLACE)
        .status()
        .expect("it starts");
    assert_eq!(dying.code(), Some(DIED), "it dies where it should");
    let handed_on = fs::read(model_beside(expected)).expect("it was handed on");
    let model = MemoryStore::open(Box::new(SimulatedDisk::of(handed_on))).expect("it opens");
    let mut held = vec![held_by(&model)];
    let first = first_part(&batches);
    let mut commit_to_model = |batch: &Batch| {
        assert_eq!(commit(&model, batch.clone()), Ok(()));
        held.push(held_by(&model));
    };
    batches[first..].iter().for_each(&mut commit_to_model);
    let purges = purges(&model);
    purges.iter().for_each(commit_to_model);
    batches.extend(purges);
    add_to(expected, &held[1..]);

    let second = batches.len() * 2 / 3;
    for part in [first..second, second..batches.len()] {
        let store = SqliteStore::open(options(place)).expect("it opens");
        assert_eq!(held_by(&store), held[part.start - first], "what was answered is there");
        // A repeat is answered from what is there.
        say(&format!("answered {}", part.start));
        go_on(&store, &batches, part);
    }
}

/// So many batches the process that dies lives through. The log was copied into the database just before the last of them, so
/// that its last act is an answer.
fn first_part(batches: &[Batch]) -> usize {
    batches.len() / 3 + 1
}

/// Plays the first part, hands the model on, and dies with the store open.
pub(super) fn play_and_die(place: &Path, expected: &Path) {
    let batches = batches();
    let first = 0..first_part(&batches);
    let disk = SimulatedDisk::default();
    let model = MemoryStore::open(Box::new(disk.clone())).expect("an empty disk opens");
    let mut held = vec![held_by(&model)];
    for batch in &batches[first.clone()] {
        assert_eq!(commit(&model, batch.clone()), Ok(()));
        held.push(held_by(&model));
    }
    add_to(expected, &held);
    fs::write(model_beside(expected), disk.octets()).expect("written");
    let store = SqliteStore::open(options(place)).expect("it opens");
    go_on(&store, &batches, first);
    std::process::exit(DIED);
}

/// Commits this part, and says what is answered.
fn go_on(store: &SqliteStore, batches: &[Batch], part: Range<usize>) {
    let mut large = None;
    for place in part {
        let batch = as_it_comes(store, batches[place].clone(), &mut large);
        assert_eq!(commit(store, batch), Ok(()));
        say(&format!("answered {}", place + 1));
        store.sweep().expect("what was purged is swept");
    }
}

/// A batch as the gateway has it when bodies like that of the scan are too large to be held: it was spooled, and what
/// carries a piece of it names its file.
fn as_it_comes(store: &SqliteStore, mut batch: Batch, large: &mut Option<Octets>) -> Batch {
    if let Some(message) = batch.message.as_mut().filter(|message| is_large(&message.body)) {
        message.body = spool(store, message.body.held());
        *large = Some(message.body.clone());
    }
    for write in batch.deliveries.iter_mut().filter(|write| write.delivery.id.as_str() == CARRIER) {
        let sealed = write.sealed.as_mut().expect("it is made sealed");
        sealed.body = around_a_piece(large.as_ref().expect("the same process took it in"));
        assert!(sealed.body.as_held().is_none(), "a piece of it stands in the file");
    }
    batch
}

fn is_large(body: &Octets) -> bool {
    body.bytes() > SCAN_BYTES as u64
}

/// Octets in a file aside, unsynced, some at a time: as a body comes in.
fn spool(store: &SqliteStore, octets: &Bytes) -> Octets {
    let directory = store.spool_directory().expect("it has one");
    let path = directory.join(format!("{}-0.aside", std::process::id()));
    let file = fs::File::options().read(true).write(true).create_new(true).open(&path);
    let mut file = file.expect("there is none of this name");
    octets.chunks(SPOOLED_BYTES).for_each(|some| file.write_all(some).expect("written"));
    spooled(Arc::new(file), path, octets.len() as u64, Digest::of(octets))
}

/// A package with a piece of this body.
fn around_a_piece(body: &Octets) -> Octets {
    let held = |text: &'static str| Piece::Held(Bytes::from_static(text.as_bytes()));
    let piece = body.slice(PIECE_AT..SCAN_BYTES as u64).expect("readable");
    let pieces = [held("before")].into_iter().chain(piece.pieces()).chain([held("behind")]);
    Octets::joined(pieces.collect()).expect("readable")
}

/// A delivery that carries a piece of the large body that this batch takes in.
fn carrier(batch: &Batch) -> Option<Batch> {
    let received = batch.message.as_ref().filter(|message| is_large(&message.body))?;
    let like = batch.deliveries.first().expect("something is made of it").delivery.clone();
    let delivery = Delivery {
        id: DeliveryId::new(CARRIER).expect("an id"),
        message_id: MessageId::new("piece@sw.example").expect("a MessageId"),
        case: None,
        sealed: true,
        ..like
    };
    let body = around_a_piece(&received.body).read(usize::MAX).expect("readable");
    let sealed = Sealed { content_type: "text/xml".into(), body: body.into(), references: Vec::new() };
    let created = TimelineEntry {
        delivery: Some(delivery.id.clone()),
        ..entry("delivery.created", "it carries a piece of the large body")
    };
    let write = DeliveryWrite { delivery, based_on: None, sealed: Some(sealed), receipt: None };
    Some(Batch { deliveries: vec![write], audit: vec![created], ..Batch::default() })
}

fn entry(event: &str, text: &str) -> TimelineEntry {
    TimelineEntry {
        at: Timestamp::from_millis(0),
        event: event.into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text: text.to_owned(),
        alarm: false,
        octets: Attested::default(),
    }
}

/// Notes what a store holds after each number of batches.
fn add_to(expected: &Path, held: &[Digest]) {
    let mut file = fs::File::options().create(true).append(true).open(expected).expect("it opens");
    let lines: String = held.iter().map(|digest| format!("{digest}\n")).collect();
    file.write_all(lines.as_bytes()).expect("written");
}

/// The model, as one process hands it on to the next.
pub(super) fn model_beside(expected: &Path) -> PathBuf {
    expected.with_extension("model")
}

/// Every batch of a calm run, in order; behind the one with the scan another delivery that carries a piece of it.
pub(super) fn batches() -> Vec<Batch> {
    let mut world = World::new(Scenario { attachment_bytes: SCAN_BYTES, ..Scenario::calm(1) });
    world.gateway.committed = Some(Vec::new());
    world.run();
    world.check();
    assert_eq!(world.findings, [""; 0], "the life is a good one");
    let batches = world.gateway.committed.take().expect("it was recorded");
    let with_carrier = |batch: Batch| {
        let carrier = carrier(&batch);
        [batch].into_iter().chain(carrier)
    };
    batches.into_iter().flat_map(with_carrier).collect()
}

/// Purges of messages and of deliveries, as the core decides them when their time is over: the largest first.
fn purges(store: &MemoryStore) -> Vec<Batch> {
    let purged = Some(Purged { at: Timestamp::from_millis(0), archive: Digest([7; 32]), bytes: 1 });
    let entry = |event: &str| entry(event, "its octets were purged");
    let messages = store.messages(&MessageFilter::default(), usize::MAX).expect("readable").items;
    let mut messages: Vec<_> = messages
        .into_iter()
        .map(|message| {
            let body = store.body(&message.key).expect("readable").expect("there");
            (std::cmp::Reverse(body.body.bytes()), message.key)
        })
        .collect();
    messages.sort();
    let of_message = messages.into_iter().map(|(_, key)| {
        let view = store.load(&Needs { message: Some(key), ..Needs::default() }).expect("readable");
        let known = view.message.expect("there");
        let record = StoredMessage { purged: purged.clone(), ..known.record };
        let write = MessageWrite { record, based_on: known.version };
        Batch { changed: Some(write), audit: vec![entry("message.purged")], ..Batch::default() }
    });
    let deliveries = store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("readable").items;
    let of_delivery = deliveries.into_iter().filter(|delivery| delivery.sealed).map(|delivery| {
        let needs = Needs { delivery: Some(DeliveryLocator::Id(delivery.id)), ..Needs::default() };
        let stored = store.load(&needs).expect("readable").delivery.expect("there");
        let delivery = Delivery { purged: purged.clone(), ..stored.value };
        let write = DeliveryWrite { delivery, based_on: Some(stored.version), sealed: None, receipt: None };
        Batch { deliveries: vec![write], audit: vec![entry("delivery.purged")], ..Batch::default() }
    });
    of_message.take(PURGED).chain(of_delivery.take(PURGED)).collect()
}

/// One write to the output, which the recording shows among the writes and syncs.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{text}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent reads");
}

pub(super) fn commit(store: &dyn Store, batch: Batch) -> Result<(), CommitError> {
    let (tell, told) = sync_channel(1);
    store.commit(batch, Box::new(move |outcome| tell.send(outcome.map(drop)).expect("somebody waits")));
    told.recv().expect("done is always called")
}

/// A digest over everything that a store holds, as it can be read.
pub(super) fn held_by(store: &dyn Store) -> Digest {
    let mut text = String::new();
    let mut note = |record: &dyn std::fmt::Debug| text.push_str(&format!("{record:?}\n"));
    for message in store.messages(&MessageFilter::default(), usize::MAX).expect("readable").items {
        let needs = Needs { message: Some(message.key.clone()), ..Needs::default() };
        note(&store.load(&needs).expect("readable").message);
        note(&store.body(&message.key).expect("readable").map(|octets| Digest::of(octets.body.held())));
    }
    for delivery in store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("readable").items {
        let delivery = Some(DeliveryLocator::Id(delivery.id));
        let view = store.load(&Needs { delivery, sealed: true, ..Needs::default() }).expect("readable");
        note(&view.delivery);
        note(&view.sealed.map(|sealed| (sealed.content_type, sealed.references, sealed.body.digest())));
        let receipt = view.delivery.and_then(|stored| store.receipt(&stored.value.id).expect("readable"));
        note(&receipt.map(|receipt| receipt.body.digest()));
    }
    for summary in store.cases(&CaseFilter::default(), usize::MAX).expect("readable").items {
        let by_number = summary.declaration.clone().map(CorrelationKey::Declaration);
        for key in [Some(CorrelationKey::Case(summary.id)), by_number].into_iter().flatten() {
            note(&store.case(Realm::Production, &key).expect("readable"));
        }
    }
    note(&store.scheduled_cases(usize::MAX).expect("readable"));
    note(&store.scheduled_payments(usize::MAX).expect("readable"));
    note(&store.scheduled_approvals(usize::MAX).expect("readable"));
    for who in Who::PARTNERS {
        note(&store.due(&who.key(), Timestamp::from_millis(i64::MAX), usize::MAX).expect("readable"));
    }
    note(&store.audit(1, usize::MAX).expect("readable"));
    Digest::of(text.as_bytes())
}

/// How the process that dies ends.
pub(super) const DIED: i32 = 86;
/// So many messages, and so many deliveries, are purged.
const PURGED: usize = 5;
/// More than what stands in the database.
const SCAN_BYTES: usize = 300_000;
/// Octets of a body that are spooled at a time.
const SPOOLED_BYTES: usize = 64 * 1024;
/// Where the piece begins that is carried.
const PIECE_AT: u64 = 1000;
/// The delivery that carries it.
const CARRIER: &str = "carries-a-piece";
