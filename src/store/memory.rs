//! The in-memory home: the same records and the same behaviour over a [`Disk`] that a simulation owns.
//!
//! The state is maps of encoded records, rebuilt from a journal: a commit appends one frame, syncs, applies
//! it and calls `done`, all on the caller's thread. Deterministic: no thread, no clock, no hash map.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{
    Approval, Case, CaseId, CaseSummary, ChainEntry, Delivery, DeliveryId, KeptHead, MessageId, MessageKey,
    PartyKey, Realm, Sealed, Sequence, SequenceKey, StoredMessage, Timestamp,
};

use super::account::Accounting;
use super::audit::{Link, Walk};
use super::journal::{self, Change};
use super::lookup::{self, Rows, answer_to, or_damaged};
use super::prepare::{Prepared, about};
use super::record::Encoded;
use super::tables::{Tables, shown_approval, unsealed};
use super::{
    AuditEntry, AuditVerdict, Batch, Between, CaseFilter, CommitError, Committed, Conservation,
    CorrelationKey, Damage, DeliveryFilter, DeliveryLocator, Disk, Done, DueApproval, DueCase, DueDelivery,
    DueSequence, Entity, Health, Listing, Looked, MessageFilter, Needs, Opened, Place, Queue, Stats, Store,
    StoreError, Versioned, View, Walked,
};

/// The in-memory home.
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

struct Inner {
    disk: Box<dyn Disk>,
    /// Octets of whole frames on the disk, and their number.
    length: u64,
    frames: u64,
    failed: Option<String>,
    rows: Tables,
    /// Deliveries that could not be read: they are left out of what is due, so that others flow (P12).
    unreadable: BTreeSet<DeliveryId>,
    stats: Stats,
}

impl MemoryStore {
    /// Opens the journal on a disk, or begins one on an empty disk. A frame that a crash tore is cut off.
    ///
    /// # Errors
    /// When the disk fails, something in the middle of the journal is damaged, or it is of a newer version.
    pub fn open(mut disk: Box<dyn Disk>) -> Result<Self, StoreError> {
        let octets = disk.read().map_err(failed("reading"))?;
        let replay = journal::replay(&octets)?;
        let mut length = replay.length;
        if length < octets.len() {
            disk.truncate(length as u64).map_err(failed("truncating"))?;
        }
        if length == 0 {
            let first = journal::first_frame();
            disk.append(&first).map_err(failed("beginning"))?;
            length = first.len();
        }
        disk.sync().map_err(failed("syncing"))?;
        let frames = replay.commits.len() as u64 + 1;
        let mut rows = Tables::default();
        for changes in replay.commits {
            rows.apply(changes)?;
        }
        let inner = Inner {
            disk,
            length: length as u64,
            frames,
            failed: None,
            rows,
            unreadable: BTreeSet::new(),
            stats: Stats::default(),
        };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Changes one bit of what is kept at a place, as a medium does that forgets; false when nothing is kept there.
    pub fn flip(&self, place: &Place, bit: u64) -> bool {
        self.lock().rows.flip(place, bit)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere cannot leave the tables half changed: they change after the sync, in one call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_key(kind: &str, number: u64) -> Damage {
    Damage { what: format!("{kind} {number}"), detail: "its key cannot be read".to_owned() }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Files { doing, path: PathBuf::from("journal"), source }
}

impl Inner {
    fn commit(&mut self, batch: Batch) -> Result<Committed, CommitError> {
        if let Some(reason) = &self.failed {
            return Err(CommitError::Fatal(reason.clone()));
        }
        let prepared = Prepared::of(batch);
        // What is decided about a delivery that could not be read lets it be tried again.
        for delivery in &prepared.deliveries {
            self.unreadable.remove(&delivery.write.delivery.id);
        }
        self.rows.check(&prepared).inspect_err(|_| self.stats.refused += 1)?;
        let changes = Change::all_of(prepared);
        let frame = journal::frame(self.frames, &changes);
        self.write(&frame)?;
        self.frames += 1;
        self.length += frame.len() as u64;
        self.stats.batches += 1;
        self.stats.commits += 1;
        self.stats.group_sizes[0] += 1;
        self.rows.apply(changes).expect("what was encoded a moment ago can be decoded");
        Ok(Committed::after_sync())
    }

    /// What is to happen at a destination, earliest first.
    fn due(&self, destination: &PartyKey) -> impl Iterator<Item = &(Timestamp, u64, DeliveryId)> {
        let due = self.rows.due.get(destination).into_iter().flatten();
        due.filter(|(.., id)| !self.unreadable.contains(id))
    }

    /// A delivery that is scheduled. One that cannot be read keeps no other from its turn: who loads it finds out (P12).
    fn scheduled(&self, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
        match self.rows.delivery(&DeliveryLocator::Id(id.clone())) {
            Err(StoreError::Damaged(_)) => Ok(None),
            row => Ok(row?.map(|row| row.value)),
        }
    }

    /// Appends and syncs. A disk that is full is cut back to where it was; any other failure is final (P10).
    fn write(&mut self, frame: &[u8]) -> Result<(), CommitError> {
        let error = match self.disk.append(frame) {
            Ok(()) => match self.disk.sync() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                match self.disk.truncate(self.length) {
                    Ok(()) => {
                        self.stats.full += 1;
                        return Err(CommitError::Full);
                    }
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        self.failed = Some(reason.clone());
        Err(CommitError::Fatal(reason))
    }
}

impl Store for MemoryStore {
    fn load(&self, needs: &Needs) -> Result<View, StoreError> {
        let mut inner = self.lock();
        let view = lookup::load(&inner.rows, needs);
        if let Err(StoreError::Damaged(damage)) = &view {
            inner.stats.damaged += 1;
            if let Some(DeliveryLocator::Id(id)) = &needs.delivery
                && damage.is_of_delivery(id)
            {
                inner.unreadable.insert(id.clone());
            }
        }
        view
    }

    fn commit(&self, batch: Batch, done: Done) {
        let outcome = self.lock().commit(batch);
        done(outcome);
    }

    fn due(
        &self,
        destination: &PartyKey,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let inner = self.lock();
        let due = inner.due(destination).take_while(|(due, ..)| *due <= now);
        due.take(limit)
            .map(|(due, _, id)| {
                let attempts = inner.scheduled(id)?.map_or(0, |delivery| delivery.attempts);
                Ok(DueDelivery { id: id.clone(), due: *due, attempts })
            })
            .collect()
    }

    fn stalled(
        &self,
        destination: &PartyKey,
        beyond: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let inner = self.lock();
        let due = inner.rows.due.get(destination).into_iter().flatten().rev();
        let mut stalled = Vec::new();
        for (due, _, id) in due.take_while(|(due, ..)| *due > beyond) {
            if stalled.len() < limit
                && !inner.unreadable.contains(id)
                && let Some(delivery) = inner.scheduled(id)?
                && !delivery.mailbox
            {
                stalled.push(DueDelivery { id: id.clone(), due: *due, attempts: delivery.attempts });
            }
        }
        Ok(stalled)
    }

    fn next_due(&self, destination: &PartyKey) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().due(destination).next().map(|(due, ..)| *due))
    }

    fn scheduled_cases(&self, limit: usize) -> Result<Vec<DueCase>, StoreError> {
        let inner = self.lock();
        let due = inner.rows.due_cases.iter().take(limit);
        Ok(due.map(|(due, _, id)| DueCase { id: id.clone(), due: *due }).collect())
    }

    fn scheduled_payments(&self, limit: usize) -> Result<Vec<DueCase>, StoreError> {
        let inner = self.lock();
        let due = inner.rows.due_payments.iter().take(limit);
        Ok(due.map(|(due, _, id)| DueCase { id: id.clone(), due: *due }).collect())
    }

    fn stalled_payments(&self, beyond: Timestamp, limit: usize) -> Result<Vec<DueCase>, StoreError> {
        let inner = self.lock();
        let due = inner.rows.due_payments.iter().rev().take_while(|(due, ..)| *due > beyond).take(limit);
        Ok(due.map(|(due, _, id)| DueCase { id: id.clone(), due: *due }).collect())
    }

    fn scheduled_approvals(&self, limit: usize) -> Result<Vec<DueApproval>, StoreError> {
        let inner = self.lock();
        let due = inner.rows.due_approvals.iter().take(limit);
        Ok(due.map(|(due, _, key)| DueApproval { key: key.clone(), due: *due }).collect())
    }

    fn scheduled_sequences(&self, limit: usize) -> Result<Vec<DueSequence>, StoreError> {
        let inner = self.lock();
        let due = inner.rows.due_sequences.iter().take(limit);
        Ok(due.map(|(due, _, key)| DueSequence { key: key.clone(), due: *due }).collect())
    }

    fn sequences(&self, early: bool, limit: usize) -> Result<Listing<Sequence>, StoreError> {
        let inner = self.lock();
        let mut rows: Vec<_> = inner.rows.sequences.iter().collect();
        rows.sort_by_key(|(_, row)| row.number);
        let mut listing = Listing::default();
        for (key, row) in rows {
            let read = row.record.decode::<Sequence>(&key.to_string());
            let is_meant = |sequence: &Sequence| !early || sequence.ahead() > 0;
            if listing.items.len() + listing.damaged.len() < limit && read.as_ref().map_or(true, is_meant) {
                or_damaged(read, &mut listing)?;
            }
        }
        Ok(listing)
    }

    fn kept_sequences(&self, after: u64, limit: usize) -> Result<Vec<Walked<SequenceKey>>, StoreError> {
        let inner = self.lock();
        let sequences = inner.rows.sequences.iter().filter(|(_, row)| row.number > after);
        let mut sequences: Vec<_> = sequences.map(|(key, row)| (row.number, Ok(key.clone()))).collect();
        sequences.sort_unstable_by_key(|(number, _)| *number);
        sequences.truncate(limit);
        Ok(sequences)
    }

    fn cases(&self, filter: &CaseFilter, limit: usize) -> Result<Listing<CaseSummary>, StoreError> {
        let inner = self.lock();
        let mut rows: Vec<_> = inner.rows.cases.iter().collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.number));
        let mut listing = Listing::default();
        for (id, row) in rows {
            let read = row.record.decode::<Case>(id);
            if listing.items.len() + listing.damaged.len() < limit
                && !read.as_ref().is_ok_and(|c| !filter.takes(c))
            {
                or_damaged(read.map(|case| super::report::summary(&case)), &mut listing)?;
            }
        }
        Ok(listing)
    }

    fn case(&self, realm: Realm, key: &CorrelationKey) -> Result<Option<Versioned<Case>>, StoreError> {
        lookup::case(&self.lock().rows, realm, key)
    }

    fn named_cases(&self, realm: Realm, text: &str, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        self.lock().rows.named(realm, text, limit)
    }

    fn each_case(&self, opened: &Opened, visit: &mut dyn FnMut(Case)) -> Result<(), StoreError> {
        self.lock().rows.each_case(opened, visit)
    }

    fn timeline(&self, case: &CaseId) -> Result<Listing<AuditEntry>, StoreError> {
        let inner = self.lock();
        let mut listing = Listing::default();
        for link in &inner.rows.audit {
            let read = link.decode();
            if read.as_ref().is_ok_and(|entry| entry.entry.case.as_ref() == Some(case)) {
                or_damaged(read, &mut listing)?;
            }
        }
        Ok(listing)
    }

    fn audit(&self, first: u64, limit: usize) -> Result<Listing<AuditEntry>, StoreError> {
        let inner = self.lock();
        let mut listing = Listing::default();
        for link in inner.rows.audit.iter().filter(|link| link.sequence >= first).take(limit) {
            or_damaged(link.decode(), &mut listing)?;
        }
        Ok(listing)
    }

    fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        let inner = self.lock();
        let mut walk = Walk::through(inner.rows.head());
        // One that is damaged is for the scrub to tell.
        let signed = |(entries, record): (&u64, &Encoded)| {
            record.decode::<KeptHead>(&entries.to_string()).ok().map(|kept| kept.signed.head)
        };
        let broken = inner.rows.audit.iter().find_map(|link| {
            let kept = inner.rows.heads.get_key_value(&link.sequence).and_then(signed);
            walk.take(link).or_else(|| kept.and_then(|signed| walk.pass(&signed)))
        });
        let last = inner.rows.audit.last().map_or(0, |link| link.sequence);
        let beyond = inner.rows.heads.range(last + 1..).find_map(signed);
        Ok(broken.unwrap_or_else(|| walk.end(beyond.as_ref())))
    }

    fn chain(&self, first: u64, limit: usize) -> Result<Vec<ChainEntry>, StoreError> {
        let inner = self.lock();
        let links = inner.rows.audit.iter().filter(|link| link.sequence >= first).take(limit);
        Ok(links.cloned().map(Link::into_kept).collect())
    }

    fn entries_about(
        &self,
        case: Option<&CaseId>,
        message_id: &MessageId,
    ) -> Result<Vec<ChainEntry>, StoreError> {
        let inner = self.lock();
        let of = |link: &&Link| {
            let decoded = link.decode();
            link.names(message_id)
                && decoded.is_ok_and(|entry| entry.entry.case.as_ref().is_none_or(|of| Some(of) == case))
        };
        Ok(inner.rows.audit.iter().filter(of).cloned().map(Link::into_kept).collect())
    }

    fn last_of_event(&self, event: &str, up_to: u64) -> Result<Option<ChainEntry>, StoreError> {
        let inner = self.lock();
        let of = |link: &&Link| {
            link.sequence <= up_to
                && link.decode().is_ok_and(|entry| about(&entry.entry).as_deref() == Some(event))
        };
        Ok(inner.rows.audit.iter().rev().find(of).cloned().map(Link::into_kept))
    }

    fn receipt(&self, id: &DeliveryId) -> Result<Option<Sealed>, StoreError> {
        let inner = self.lock();
        let receipt = inner.rows.deliveries.get(id.as_str()).and_then(|row| row.receipt.as_ref());
        let what = || format!("receipt of delivery {id}");
        receipt.map(|receipt| unsealed(what, id.as_str(), receipt)).transpose()
    }

    fn head_before(&self, entries: u64) -> Result<Option<KeptHead>, StoreError> {
        let inner = self.lock();
        let heads = inner.rows.heads.range(..entries).rev();
        Ok(heads.filter_map(|(entries, record)| record.decode(&entries.to_string()).ok()).next())
    }

    fn audit_height(&self) -> Result<u64, StoreError> {
        Ok(self.lock().rows.head().sequence)
    }

    fn heads(&self, beyond: u64, limit: usize) -> Result<Vec<KeptHead>, StoreError> {
        let inner = self.lock();
        let heads = inner.rows.heads.range(beyond.saturating_add(1)..);
        Ok(heads
            .filter_map(|(entries, record)| record.decode(&entries.to_string()).ok())
            .take(limit)
            .collect())
    }

    fn messages(&self, filter: &MessageFilter, limit: usize) -> Result<Listing<StoredMessage>, StoreError> {
        let inner = self.lock();
        let mut rows: Vec<_> = inner.rows.messages.iter().collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.number));
        let mut listing = Listing::default();
        for (key, row) in rows {
            let read = row.record.decode::<StoredMessage>(&key.join("/"));
            if listing.items.len() + listing.damaged.len() < limit
                && !read.as_ref().is_ok_and(|m| !filter.takes(m))
            {
                or_damaged(read, &mut listing)?;
            }
        }
        Ok(listing)
    }

    fn kept_messages(&self, after: u64, limit: usize) -> Result<Vec<Walked<MessageKey>>, StoreError> {
        let inner = self.lock();
        let kept = inner.rows.messages.iter().filter(|(_, row)| row.body.is_some() && row.number > after);
        let mut kept: Vec<_> = kept
            .map(|([sender, message_id], row)| {
                let sender = PartyKey::new(&**sender).ok();
                let key = sender.zip(MessageId::new(&**message_id).ok());
                let key = key.map(|(sender, message_id)| MessageKey { sender, message_id });
                (row.number, key.ok_or_else(|| without_key("message", row.number)))
            })
            .collect();
        kept.sort_unstable_by_key(|(number, _)| *number);
        kept.truncate(limit);
        Ok(kept)
    }

    fn kept_deliveries(&self, after: u64, limit: usize) -> Result<Vec<Walked<DeliveryId>>, StoreError> {
        let inner = self.lock();
        let kept = inner
            .rows
            .each_delivery()
            .into_iter()
            // What cannot be read may have everything still.
            .filter(|(_, row, read)| {
                row.number > after && read.as_ref().map_or(true, |it| it.purged.is_none())
            })
            .map(|(id, row, _)| {
                (row.number, DeliveryId::new(id).map_err(|_| without_key("delivery", row.number)))
            });
        Ok(kept.take(limit).collect())
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        // What is in memory goes with its record.
        Ok(0)
    }

    fn body(&self, key: &MessageKey) -> Result<Option<Entity>, StoreError> {
        self.lock().rows.body(key)
    }

    fn deliveries(&self, filter: &DeliveryFilter, limit: usize) -> Result<Listing<Delivery>, StoreError> {
        let inner = self.lock();
        let mut listing = Listing::default();
        let mut deliveries = inner.rows.each_delivery().into_iter();
        if let Some(after) = &filter.after {
            deliveries.find(|(id, ..)| *id == after.as_str());
        }
        for (_, _, read) in deliveries {
            if listing.items.len() + listing.damaged.len() < limit
                && !read.as_ref().is_ok_and(|d| !filter.takes(d))
            {
                or_damaged(read, &mut listing)?;
            }
        }
        Ok(listing)
    }

    fn queues(&self) -> Result<BTreeMap<PartyKey, Queue>, StoreError> {
        let inner = self.lock();
        let mut queues = BTreeMap::<PartyKey, Queue>::new();
        for (_, _, read) in inner.rows.each_delivery() {
            if let Ok(delivery) = read {
                let queue = queues.entry(delivery.destination).or_default();
                if !delivery.state.is_terminal() {
                    *queue.open.entry(delivery.state).or_default() += 1;
                    let oldest = queue.oldest.get_or_insert(delivery.created_at);
                    *oldest = delivery.created_at.min(*oldest);
                }
            }
        }
        Ok(queues)
    }

    fn conservation(&self) -> Result<Conservation, StoreError> {
        let inner = self.lock();
        let mut accounting = Accounting::default();
        for link in &inner.rows.audit {
            match link.decode() {
                Ok(entry) => {
                    let named = entry.entry.delivery.as_ref();
                    let row = named.and_then(|delivery| inner.rows.deliveries.get(delivery.as_str()));
                    accounting.entry(entry, row.map(|row| row.number));
                }
                Err(StoreError::Damaged(damage)) => accounting.damaged(&damage, None),
                Err(error) => return Err(error),
            }
        }
        for (_, row, read) in inner.rows.each_delivery() {
            match read {
                Ok(delivery) => {
                    let (destination, state) = (delivery.destination.to_string(), delivery.state);
                    accounting.row(row.number, delivery, &destination, state.as_str());
                }
                Err(StoreError::Damaged(damage)) => accounting.damaged(&damage, None),
                Err(error) => return Err(error),
            }
        }
        Ok(accounting.close())
    }

    fn scrub(&self) -> Result<Vec<Damage>, StoreError> {
        let inner = self.lock();
        let rows = &inner.rows;
        let mut found = Listing::<()>::default();
        for [sender, message_id] in rows.messages.keys() {
            if let (Ok(sender), Ok(message_id)) = (PartyKey::new(&**sender), MessageId::new(&**message_id)) {
                let key = MessageKey { sender, message_id };
                or_damaged(rows.body(&key).map(drop), &mut found)?;
                let answer = rows.response(&key).and_then(|answer| match rows.message(&key) {
                    Ok(Some(message)) => answer_to(&message.value, answer),
                    // The body has told of it.
                    Ok(None) | Err(_) => Ok(answer),
                });
                or_damaged(answer.map(drop), &mut found)?;
            }
        }
        for (id, row) in &rows.cases {
            or_damaged(row.record.decode::<Case>(id).map(drop), &mut found)?;
        }
        for (key, row) in &rows.approvals {
            or_damaged(row.record.decode::<Approval>(&shown_approval(key)).map(drop), &mut found)?;
        }
        for (key, row) in &rows.sequences {
            or_damaged(row.record.decode::<Sequence>(&key.to_string()).map(drop), &mut found)?;
        }
        for (id, row, read) in rows.each_delivery() {
            let is_sealed = read.as_ref().is_ok_and(|delivery| delivery.sealed && delivery.purged.is_none());
            or_damaged(read.map(drop), &mut found)?;
            let what = || format!("octets of delivery {id}");
            match &row.sealed {
                Some(sealed) => or_damaged(unsealed(what, id, sealed).map(drop), &mut found)?,
                None if is_sealed => {
                    found.damaged.push(Damage { what: what(), detail: "they are missing".to_owned() });
                }
                None => {}
            }
            if let Some(receipt) = &row.receipt {
                let what = || format!("receipt of delivery {id}");
                or_damaged(unsealed(what, id, receipt).map(drop), &mut found)?;
            }
        }
        for link in &rows.audit {
            or_damaged(link.decode().map(drop), &mut found)?;
        }
        Ok(found.damaged)
    }

    fn scrub_slowly(&self, between: Between<'_>) -> Result<Vec<Damage>, StoreError> {
        // It has no looks to rest between: it is one.
        if between(Looked { at: "records", records: 0 }).is_break() {
            return Ok(Vec::new());
        }
        self.scrub()
    }

    fn health(&self) -> Health {
        Health { failed: self.lock().failed.clone(), disk_low: false, free_bytes: None }
    }

    fn stats(&self) -> Stats {
        let inner = self.lock();
        Stats { file_bytes: inner.length, ..inner.stats.clone() }
    }
}
