//! Octets that flip in the store of the running gateway (P12): each is found, told, and served to nobody; the operator mends it
//! from the last backup, or restores that.
//!
//! Bodies and sealed octets he copies back, as a payload file is, and lets go what was quarantined for them. Where a record is
//! damaged, or the backup has no such octets, or a message was given up in its turn, only the backup as a whole helps: what
//! it cannot have is sent again. So nothing stays quarantined for ever.

use gwanmun::model::{Delivery, DeliveryState};
use gwanmun::store::{
    CaseFilter, DeliveryFilter, DeliveryLocator, MemoryStore, MessageFilter, Needs, Place, Store as _,
    StoreError, View, flipped,
};

use crate::gateway::Stage;
use crate::world::{FLIP_MENDED, FLIP_RESTORED, Happening, World};

/// An octet that is not what it was.
#[derive(Clone, Debug)]
pub(crate) struct Flip {
    pub(crate) place: Place,
    pub(crate) bit: u64,
}

impl World {
    /// An octet flips, somewhere.
    pub(crate) fn octet_flips(&mut self) {
        if !self.gateway.is_alive() || !self.rot.is_empty() || self.last_backup().is_none() {
            return;
        }
        let Some(place) = self.place_to_flip() else { return };
        let bit = self.chance.below(1 << 20);
        if self.gateway.store().flip(&place, bit) {
            self.note(format!("an octet flips: {place:?}"));
            self.rot.push(Flip { place, bit });
            let after = self.chance.millis(5_000, 90_000);
            self.plan(after, Happening::Scrub);
        }
    }

    fn place_to_flip(&mut self) -> Option<Place> {
        let store = self.gateway.store();
        let deliveries = store.deliveries(&DeliveryFilter::default(), usize::MAX);
        let deliveries = deliveries.expect("the store can be read").items;
        let messages =
            store.messages(&MessageFilter::default(), usize::MAX).expect("the store can be read").items;
        let cases = store.cases(&CaseFilter::default(), usize::MAX).expect("the store can be read").items;
        // A record that is about to be written over is as good as new.
        let handlings = self.gateway.life.iter().flat_map(|life| life.handlings.values());
        let is_written = handlings.clone().any(|handling| matches!(handling.stage, Stage::Commit(..)));
        let is_open = |delivery: &&Delivery| delivery.state != DeliveryState::Delivered;
        let mut places: Vec<_> = match self.chance.below(if is_written { 4 } else { 6 }) {
            0 => deliveries.iter().filter(is_open).map(|it| Place::Octets(it.id.clone())).collect(),
            1 => deliveries.iter().map(|it| Place::Octets(it.id.clone())).collect(),
            2 | 3 => messages.iter().map(|it| Place::Body(it.key.clone())).collect(),
            4 => cases.iter().map(|it| Place::Case(it.id.clone())).collect(),
            _ => {
                let records = deliveries.iter().map(|it| Place::Delivery(it.id.clone()));
                records.chain(messages.iter().map(|it| Place::Message(it.key.clone()))).collect()
            }
        };
        let places_in_all = places.len() as u64;
        let chosen = usize::try_from(self.chance.below(places_in_all)).expect("a place in the list");
        (!places.is_empty()).then(|| places.swap_remove(chosen))
    }

    /// A round of the scrub, and what the operator does about what it names.
    pub(crate) fn scrub(&mut self) {
        if self.rot.is_empty() {
            return;
        }
        if !self.gateway.is_alive() {
            let after = self.chance.millis(5_000, 30_000);
            return self.plan(after, Happening::Scrub);
        }
        let found = self.gateway.store().scrub().expect("the store can be read");
        if found.is_empty() {
            self.find(format!("no scrub finds {:?} (P12)", self.rot));
        }
        let is_mendable =
            |flip: &Flip| self.last_backup().is_some_and(|backup| has_octets(&backup, &flip.place));
        if !self.has_lost_a_message() && self.rot.iter().all(is_mendable) {
            self.note("the operator mends it from the backup");
            for flip in std::mem::take(&mut self.rot) {
                self.gateway.store().flip(&flip.place, flip.bit);
            }
            self.met.insert(FLIP_MENDED);
            self.call_operator();
        } else {
            self.note("the operator gives the store up");
            self.met.insert(FLIP_RESTORED);
            self.take_out_of_service();
        }
    }

    /// A store that has just been opened has what the disk has.
    pub(crate) fn rot_again(&self) {
        for flip in &self.rot {
            assert!(self.gateway.store().flip(&flip.place, flip.bit), "it was committed: {flip:?}");
        }
    }

    /// Planted: what is needed, as if nobody compared a digest or a checksum.
    pub(crate) fn load_unchecked(&self, needs: &Needs) -> Result<View, StoreError> {
        // A record that is no text of its kind is read by nobody.
        if !self.rot.iter().all(|flip| matches!(flip.place, Place::Body(_) | Place::Octets(_))) {
            return self.gateway.store().load(needs);
        }
        // The same once more puts it right.
        self.rot_again();
        let view = self.gateway.store().load(needs);
        self.rot_again();
        let mut view = view?;
        for flip in &self.rot {
            if let (Place::Octets(id), Some(sealed)) = (&flip.place, &mut view.sealed)
                && view.delivery.as_ref().is_some_and(|delivery| delivery.value.id == *id)
            {
                sealed.body = flip.of(sealed.body.held()).into();
            }
            if let Place::Body(key) = &flip.place
                && let Some(entity) = view.bodies.get_mut(key)
            {
                entity.body = flip.of(entity.body.held()).into();
            }
        }
        Ok(view)
    }
}

impl Flip {
    fn of(&self, octets: &[u8]) -> bytes::Bytes {
        flipped(octets, self.bit).into()
    }
}

/// Whether a backup has the octets of a place.
fn has_octets(backup: &MemoryStore, place: &Place) -> bool {
    match place {
        Place::Body(key) => matches!(backup.body(key), Ok(Some(_))),
        Place::Octets(id) => {
            let delivery = Some(DeliveryLocator::Id(id.clone()));
            let view = backup.load(&Needs { delivery, sealed: true, ..Needs::default() });
            view.is_ok_and(|view| view.sealed.is_some())
        }
        Place::Message(_) | Place::Delivery(_) | Place::Case(_) => false,
    }
}
