//! A medium that forgets, under the in-memory home: a simulation names a place, and one bit of what is kept there is another from
//! then on (P12). The same once more puts it right.
//!
//! Checksums and digests stay as they are: nothing here knows of them.

use crate::model::{CaseId, DeliveryId, MessageKey};

use super::payload::Blob;
use super::record::Encoded;
use super::tables::{Tables, message_row_key};

/// Something that the in-memory home keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The record of a received message.
    Message(MessageKey),
    /// Its octets.
    Body(MessageKey),
    /// The record of a case.
    Case(CaseId),
    /// The record of a delivery.
    Delivery(DeliveryId),
    /// Its sealed octets.
    Octets(DeliveryId),
}

/// These octets with one bit changed.
#[must_use]
pub fn flipped(octets: &[u8], bit: u64) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let length = octets.len().max(1) as u64;
    let at = usize::try_from(bit / 8 % length).expect("a place in memory");
    if let Some(octet) = octets.get_mut(at) {
        *octet ^= 1 << (bit % 8);
    }
    octets
}

impl Tables {
    /// Changes one bit of what is kept at a place; false when nothing is.
    pub(super) fn flip(&mut self, place: &Place, bit: u64) -> bool {
        match place {
            Place::Message(key) => self
                .messages
                .get_mut(&message_row_key(key))
                .is_some_and(|row| in_record(&mut row.record, bit)),
            Place::Body(key) => {
                let row = self.messages.get_mut(&message_row_key(key));
                row.and_then(|row| row.body.as_mut()).is_some_and(|body| in_blob(body, bit))
            }
            Place::Case(id) => {
                self.cases.get_mut(id.as_str()).is_some_and(|row| in_record(&mut row.record, bit))
            }
            Place::Delivery(id) => {
                self.deliveries.get_mut(id.as_str()).is_some_and(|row| in_record(&mut row.record, bit))
            }
            Place::Octets(id) => {
                let row = self.deliveries.get_mut(id.as_str());
                row.and_then(|row| row.sealed.as_mut()).is_some_and(|sealed| in_blob(&mut sealed.blob, bit))
            }
        }
    }
}

fn in_blob(blob: &mut Blob, bit: u64) -> bool {
    let octets = blob.held();
    let is_there = !octets.is_empty();
    blob.octets = bytes::Bytes::from(flipped(octets, bit)).into();
    is_there
}

/// In the text, which stays text: another bit of it would not even be read.
fn in_record(record: &mut Encoded, bit: u64) -> bool {
    let mut octets = std::mem::take(&mut record.text).into_bytes();
    let length = octets.len();
    let from = usize::try_from(bit / 7 % length.max(1) as u64).expect("a place in memory");
    let at = (from..length).chain(0..from).find(|at| octets.get(*at).is_some_and(u8::is_ascii));
    let octet = at.and_then(|at| octets.get_mut(at));
    let is_there = octet.map(|octet| *octet ^= 1 << (bit % 7)).is_some();
    record.text = String::from_utf8(octets).expect("ASCII has become ASCII");
    is_there
}
