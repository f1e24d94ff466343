//! Backups, the loss of the disk, and the operator (P20): he makes backups beside the running gateway, restores the last one
//! when the disk is lost or damaged, settles what is held after that, and has partners send again what the backup cannot have.
//!
//! A backup is the journal as of one instant. What the shell does at the first start on a restored store is done here in its
//! order: the entry `store.restored`, every open delivery held, and only then anything else.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use gwanmun::engine::{Event, Ready, Settle, decide, needs};
use gwanmun::model::{Attested, AuditHead, Delivery, DeliveryId, DeliveryState, TimelineEntry, Timestamp};
use gwanmun::store::{AuditVerdict, Batch, DeliveryFilter, MemoryStore, MessageFilter, Store, StoreError};

use crate::disk::{Kept, SimulatedDisk};
use crate::gateway::commit;
use crate::parties::{Who, keys};
use crate::partner::{Fate, Partner};
use crate::plants::Plant;
use crate::world::{
    FLIP_QUARANTINED, Happening, JOURNAL_REFUSED, KNOWN_FROM_BEFORE, RESTORED_WITH_OPEN, World,
};

/// What is there beside the gateway.
#[derive(Default)]
pub(crate) struct Backups {
    last: Option<Backup>,
    /// What the store was restored from, until that has had its consequences.
    restored: Option<Backup>,
    /// There is no store that the gateway could start on.
    pub(crate) is_lost: bool,
    /// How often one was restored.
    pub(crate) restores: u32,
    /// Deliveries that were open in the backup: nobody has said yet what becomes of them.
    withheld: BTreeSet<DeliveryId>,
    /// Heads of the audit record, as they are kept elsewhere, in the order in which they were taken.
    heads: Vec<AuditHead>,
    /// What each restore took away.
    taken_away: Vec<TakenAway>,
    operator_comes: bool,
    /// What the store was restored to, as long as partners have not sent again all that came after it.
    since: Option<Timestamp>,
    /// What is to be sent again, in the order in which it was written; the first is on its way.
    again: VecDeque<(Who, usize)>,
}

#[derive(Clone)]
struct Backup {
    octets: Vec<u8>,
    made_at: Timestamp,
    head: AuditHead,
    /// How many heads were kept when it was made.
    heads: usize,
}

/// A restore took away what a store had come to since its backup: the entry beyond that many says so, and the record has no
/// head that was taken in between.
struct TakenAway {
    entries: u64,
    heads: Range<usize>,
}

impl Backup {
    fn open(&self) -> MemoryStore {
        let disk = SimulatedDisk::of(self.octets.clone());
        MemoryStore::open(Box::new(disk)).expect("a backup is whole")
    }
}

impl World {
    /// The operator makes a backup, unless there is something that he has to mend first.
    pub(crate) fn back_up(&mut self) {
        if !self.gateway.is_alive() || !self.rot.is_empty() || self.has_lost_a_message() {
            return;
        }
        let Some(head) = self.audit_head() else { return };
        self.backups.heads.push(head);
        let (octets, made_at) = (self.gateway.disk.octets(), self.now);
        let heads = self.backups.heads.len();
        self.backups.last = Some(Backup { octets, made_at, head, heads });
        self.note(format!("a backup is made, of {} audit entries", head.sequence));
    }

    fn audit_head(&self) -> Option<AuditHead> {
        match self.gateway.store().verify_audit().expect("the store can be read") {
            AuditVerdict::Intact(head) => Some(head),
            AuditVerdict::Broken { .. } => None,
        }
    }

    /// Whether a message was accepted that steers nothing, because it could not be read in its turn: no command lets it
    /// go again.
    pub(crate) fn has_lost_a_message(&self) -> bool {
        let filter = MessageFilter { quarantined: Some(true), ..MessageFilter::default() };
        let found = self.gateway.store().messages(&filter, usize::MAX).expect("the store can be read");
        !found.items.is_empty()
    }

    /// The last backup, opened beside the running gateway.
    pub(crate) fn last_backup(&self) -> Option<MemoryStore> {
        self.backups.last.as_ref().map(Backup::open)
    }

    /// The disk is lost, or an octet of it flips where no start can do without; the operator restores the last backup.
    pub(crate) fn disk_is_lost(&mut self) {
        let Some(backup) = self.backups.last.as_ref().filter(|_| !self.backups.is_lost) else { return };
        let (whole, entries) = (backup.octets.len() as u64, backup.head.sequence);
        let head = self.gateway.is_alive().then(|| self.audit_head()).flatten();
        self.gateway.life = None;
        self.gateway.disk.lose_power(Kept::All);
        // The end of the journal may be one that a crash tore: the real store has a mark beside it.
        let flips = head.is_some_and(|head| head.sequence > entries) && self.chance.one_in(2);
        self.backups.heads.extend(head);
        if flips {
            self.gateway.disk.flip(self.chance.below(whole));
            match MemoryStore::open(Box::new(self.gateway.disk.clone())) {
                Err(StoreError::Damaged(_)) => {
                    self.met.insert(JOURNAL_REFUSED);
                    self.note("an octet of the journal flips, and the gateway does not start");
                }
                _ => self.find("a store with a flipped octet in its journal opens (P12)"),
            }
        } else {
            self.note("the disk of the gateway is lost");
        }
        self.take_out_of_service();
    }

    /// The operator moves the store away, and restores the last backup after a while.
    pub(crate) fn take_out_of_service(&mut self) {
        self.gateway.life = None;
        self.backups.is_lost = true;
        // By then nothing of the lost gateway is on its way any more.
        let after = self.chance.millis(30_000, 120_000);
        self.plan(after, Happening::Restore);
    }

    /// The operator restores the last backup, and asks partners to send again what they sent since.
    pub(crate) fn restore(&mut self) {
        let backup = self.backups.last.clone().expect("nothing is lost before there is one");
        let made_at = backup.made_at;
        self.note(format!("the backup of {} audit entries is restored", backup.head.sequence));
        self.gateway.disk.lose_power(Kept::Nothing);
        self.gateway.disk.replace(backup.octets.clone());
        self.rot.clear();
        self.transmissions.clear();
        let open = open_deliveries(&backup.open());
        if !open.is_empty() {
            self.met.insert(RESTORED_WITH_OPEN);
        }
        let heads = backup.heads..self.backups.heads.len();
        self.backups.taken_away.push(TakenAway { entries: backup.head.sequence, heads });
        self.backups.withheld = open.into_iter().map(|delivery| delivery.id).collect();
        self.backups.restored = Some(backup);
        self.backups.is_lost = false;
        self.backups.restores += 1;
        self.partners.values_mut().for_each(Partner::hear_of_restore);
        let since = self.backups.since.map_or(made_at, |since| since.min(made_at));
        self.backups.since = Some(since);
        self.backups.again.clear();
        let after = self.chance.millis(10_000, 90_000);
        self.plan(after, Happening::SendAgain);
        self.start_gateway();
        self.call_operator();
    }

    /// What the first start on a restored store does before anything else; whether the gateway lived through it.
    pub(crate) fn hold_back(&mut self) -> bool {
        let Some(Backup { made_at, head, .. }) = self.backups.restored.clone() else { return true };
        let plant = self.gateway.plant;
        let is_said = self
            .restored_at()
            .is_some_and(|(number, _)| number > head.sequence || plant == Some(Plant::RestoreToldOnce));
        if !is_said && plant != Some(Plant::SilentRestore) {
            let entry = TimelineEntry {
                at: self.clock(Who::Gateway),
                event: TimelineEntry::STORE_RESTORED.into(),
                case: None,
                party: None,
                message_id: None,
                delivery: None,
                text: format!("restored from the backup of {made_at}, of {} entries", head.sequence),
                alarm: false,
                octets: Attested::default(),
            };
            let batch = Batch { audit: vec![entry], ..Batch::default() };
            commit(self.gateway.store(), batch).expect("nothing is wrong with the disk");
        }
        for delivery in open_deliveries(self.gateway.store()) {
            if plant == Some(Plant::Reconciliation) {
                break;
            }
            if self.dies_here("while it holds back what a restore leaves open") {
                return false;
            }
            let event = Event::Withheld { delivery: delivery.id, why: "restored".into() };
            let (site, store) = (self.gateway.site.clone(), self.gateway.store());
            let context = site.context(None);
            let view = store.load(&needs(&event, &context)).expect("a backup is whole");
            let step = decide(self.clock(Who::Gateway), &event, &view, &context);
            let sealed = step.seal(keys(Who::Gateway)).expect("nothing is sealed");
            if let Ready::Commit(batch, _) = sealed.split() {
                commit(store, *batch).expect("nothing is wrong with the disk");
            }
        }
        self.backups.restored = None;
        true
    }

    /// The entry that says that the store was restored, by its number, and when that was.
    pub(crate) fn restored_at(&self) -> Option<(u64, Timestamp)> {
        let store = self.gateway.store();
        let said =
            store.last_of_event(TimelineEntry::STORE_RESTORED, u64::MAX).expect("the store can be read")?;
        let entries = store.audit(said.number, 1).expect("the store can be read").items;
        entries.first().map(|found| (said.number, found.entry.at))
    }

    /// Partners send again what was answered since the backup was made, and then what they wrote meanwhile: in the order in
    /// which it was written, one after the other, as nothing may come before what it rests on. By the right time: Timestamps of
    /// clocks that were off put a result before its application, which then steers nothing.
    pub(crate) fn send_again(&mut self) {
        let Some(since) = self.backups.since.filter(|_| !self.backups.is_lost) else { return };
        let partners = self.partners.values_mut();
        let mut again: Vec<_> = partners
            .flat_map(|partner| {
                let who = partner.who;
                partner.forget_answers(since).into_iter().map(move |(at, place)| (at, who, place))
            })
            .collect();
        again.sort();
        self.note(format!("{} messages are to be sent again", again.len()));
        self.backups.again = again.into_iter().map(|(_, who, place)| (who, place)).collect();
        self.send_next_again();
    }

    /// What a partner posted is answered: the next may be sent again.
    pub(crate) fn is_answered_again(&mut self, who: Who, place: usize) {
        if self.backups.again.front() == Some(&(who, place)) {
            self.send_next_again();
        }
    }

    fn send_next_again(&mut self) {
        while let Some((who, place)) = self.backups.again.front().copied() {
            if self.partners[&who].posted[place].fate == Fate::Open {
                return self.insist(who, place);
            }
            self.backups.again.pop_front();
        }
        self.note("all is sent again");
        self.backups.since = None;
    }

    /// Whether a partner was asked to wait with what it has written: until all is sent again, but for what has its turn.
    pub(crate) fn is_to_wait(&self, who: Who, place: usize) -> bool {
        let has_its_turn = self.backups.again.front() == Some(&(who, place));
        self.backups.is_lost || self.backups.since.is_some() && !has_its_turn
    }

    /// Whether what was acknowledged is known to the gateway: not while the store is lost, or partners are to send again.
    pub(crate) fn is_known_to_gateway(&self) -> bool {
        !self.backups.is_lost && self.backups.since.is_none()
    }

    /// A delivery goes out.
    pub(crate) fn check_is_settled(&mut self, delivery: &DeliveryId) {
        if self.backups.withheld.contains(delivery) {
            self.find(format!(
                "{delivery}, which was open in the backup, goes out before anybody says so (P20)"
            ));
        }
    }

    /// What the log says is for the operator.
    pub(crate) fn hear_alarm(&mut self, entry: &TimelineEntry) {
        match &*entry.event {
            "delivery.withheld" if self.backups.restores == 0 => {
                self.find(format!("{:?} is withheld, and nothing was restored (P9)", entry.message_id));
            }
            "delivery.withheld" => {}
            "delivery.quarantined" if !self.may_be_damaged() => {
                self.find(format!("{:?} is quarantined, and nothing is damaged", entry.message_id));
            }
            "delivery.quarantined" => {
                self.met.insert(FLIP_QUARANTINED);
            }
            _ => return,
        }
        self.call_operator();
    }

    /// Whether anything flips in this run.
    fn may_be_damaged(&self) -> bool {
        let faults = &self.scenario.faults;
        !(faults.flips.is_empty() && faults.losses.is_empty())
    }

    /// Something waits for the operator, who has other things to do.
    pub(crate) fn call_operator(&mut self) {
        if !self.backups.operator_comes {
            self.backups.operator_comes = true;
            let after = self.chance.millis(5_000, 60_000);
            self.plan(after, Happening::Operator);
        }
    }

    /// The operator settles what is held, and lets go what is quarantined once nothing is damaged any more.
    pub(crate) fn operator_looks(&mut self) {
        self.backups.operator_comes = false;
        if !self.gateway.is_alive() {
            return self.call_operator();
        }
        let in_state = |state| DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
        let list = |world: &Self, state| {
            world
                .gateway
                .store()
                .deliveries(&in_state(state), usize::MAX)
                .expect("the store can be read")
                .items
        };
        let (held, quarantined) = (list(self, DeliveryState::Held), list(self, DeliveryState::Quarantined));
        if held.is_empty() && quarantined.is_empty() {
            return;
        }
        let (by, reason) = (Arc::<str>::from("the operator"), Arc::<str>::from("asked"));
        for Delivery { id: delivery, destination, message_id, reason: why, .. } in held {
            // Who eliminates duplicates may be sent it without being asked; who knew it before has it, or says so wrongly.
            let has_it = self.partners[&Who::of(&destination)].has(&message_id);
            let is_known = why.contains("may have had it");
            if has_it && is_known {
                self.met.insert(KNOWN_FROM_BEFORE);
            }
            let is_asked = is_known || self.chance.one_in(2);
            let how = if has_it && is_asked { Settle::Delivered } else { Settle::Send };
            self.note(format!("the operator settles {message_id}: {how:?}"));
            self.backups.withheld.remove(&delivery);
            let (by, reason) = (Arc::clone(&by), Arc::clone(&reason));
            self.handle(Event::Settled { delivery, how, by, reason }, None);
        }
        for Delivery { id: delivery, message_id, .. } in quarantined {
            if self.rot.is_empty() {
                self.note(format!("the operator lets {message_id} go"));
                let (by, reason) = (Arc::clone(&by), Arc::clone(&reason));
                self.handle(Event::Again { delivery, by, reason }, None);
            }
        }
        // And whether that was all.
        self.call_operator();
    }

    /// Each head that is kept elsewhere is on the way of the record, but for those that a restored store cannot have: taken
    /// after its backup was made and before that was restored. There the entry beyond the backup says so (S26).
    pub(crate) fn check_kept_heads(&mut self) {
        if self.backups.heads.is_empty() {
            return;
        }
        let store = self.gateway.store();
        let chain = store.chain(1, usize::MAX).expect("the store can be read");
        let entry = |number: u64| chain.get(usize::try_from(number).expect("a short record").checked_sub(1)?);
        let is_on_the_way = |head: &AuditHead| {
            head.sequence == 0 || entry(head.sequence).is_some_and(|it| it.hash == head.hash.to_string())
        };
        let is_taken_away = |place: usize, head: &AuditHead| {
            self.backups.taken_away.iter().any(|restore| {
                let says = entry(restore.entries + 1)
                    .is_some_and(|entry| entry.text.contains(TimelineEntry::STORE_RESTORED));
                says && restore.heads.contains(&place) && head.sequence > restore.entries
            })
        };
        let rolled_back = self.backups.heads.iter().enumerate();
        let mut rolled_back =
            rolled_back.filter(|(place, head)| !is_on_the_way(head) && !is_taken_away(*place, head));
        if let Some((_, AuditHead { sequence, .. })) = rolled_back.next() {
            let restored = self.restored_at();
            self.find(format!(
                "the record is not that of the head of {sequence} entries, and nothing says why: {restored:?} (S26)"
            ));
        }
    }
}

fn open_deliveries(store: &dyn Store) -> Vec<Delivery> {
    let listed = store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("the store can be read");
    let is_open = |delivery: &Delivery| {
        matches!(delivery.state, DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment)
    };
    listed.items.into_iter().filter(is_open).collect()
}
