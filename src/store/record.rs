//! How a record is kept: the JSON text of its value, its form, its version and a checksum over all of it.
//!
//! The text is plain JSON so that any SQLite tool can read it. The checksum also covers the kind and the key
//! of the record, so that text in the wrong row is damage as well (P12). `form` counts the ways of writing
//! that records had so far, of whatever kind: every one of them stays readable, and what a record may say is
//! bound to the format of the store (P19, `tests/golden.rs`).

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{
    Approval, Case, Delivery, Digest, DigestReference, KeptHead, Realm, Sealed, Sequence, StoredMessage,
};

use super::{CorrelationKey, Damage, StoreError};

/// The form in which records are written, where a later one has nothing more to say.
pub(super) const FORM: u32 = 1;
/// What is sealed may stand in several places.
const WITH_SPANS: u32 = 2;
/// A sequence knows numbers that are passed over: a version that did not read them would wait for them for ever.
const WITH_REFUSED: u32 = 3;
/// The newest form.
pub(super) const NEWEST_FORM: u32 = WITH_REFUSED;

/// A kind of record.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Its name, which is part of what the checksum covers.
    const KIND: &'static str;

    /// The form that this value is written in: the earliest that can say it.
    fn form(&self) -> u32 {
        FORM
    }
}

impl Record for StoredMessage {
    const KIND: &'static str = "message";
}

impl Record for Case {
    const KIND: &'static str = "case";
}

impl Record for Delivery {
    const KIND: &'static str = "delivery";
}

impl Record for Approval {
    const KIND: &'static str = "approval";
}

impl Record for Sequence {
    const KIND: &'static str = "sequence";

    fn form(&self) -> u32 {
        if self.refused.is_empty() { FORM } else { WITH_REFUSED }
    }
}

impl Record for KeptHead {
    const KIND: &'static str = "audit head";
}

/// What is kept of a [`Sealed`] beside its octets.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Envelope {
    pub(super) content_type: std::sync::Arc<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<DigestReference>,
    /// Where its octets stand, in order, when some of them are ranges of payload files. A file is the body of a received
    /// message, which its record names as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) spans: Vec<Span>,
}

/// Octets in one place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Span {
    /// So many of those that the row holds.
    Held(usize),
    /// A range of a payload file.
    Filed {
        /// SHA-256 of the file.
        file: Digest,
        /// Where it begins.
        start: u64,
        /// How many octets.
        bytes: u64,
    },
}

impl Record for Envelope {
    const KIND: &'static str = "sealed";

    fn form(&self) -> u32 {
        if self.spans.is_empty() { FORM } else { WITH_SPANS }
    }
}

impl Envelope {
    /// Of what is sealed; `spans` says where its octets stand.
    pub(super) fn of(sealed: &Sealed, spans: Vec<Span>) -> Self {
        Self { content_type: sealed.content_type.clone(), references: sealed.references.clone(), spans }
    }
}

/// The payload files that these are ranges of.
pub(super) fn files_of(spans: &[Span]) -> BTreeSet<String> {
    let file = |span: &Span| match span {
        Span::Filed { file, .. } => Some(file.to_string()),
        Span::Held(_) => None,
    };
    spans.iter().filter_map(file).collect()
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) form: u32,
    pub(super) version: u64,
    pub(super) checksum: u32,
    pub(super) text: String,
}

impl Encoded {
    /// Encodes `value`, which is found under `key`.
    pub(super) fn of<R: Record>(value: &R, key: &str, version: u64) -> Self {
        let text =
            serde_json::to_string(value).expect("a model value is JSON: its map keys are text or numbers");
        let mut encoded = Self { form: value.form(), version, checksum: 0, text };
        encoded.checksum = encoded.sum(R::KIND, key);
        encoded
    }

    /// Decodes the record that was found under `key`.
    pub(super) fn decode<R: Record>(&self, key: &str) -> Result<R, StoreError> {
        let damaged =
            |detail: String| StoreError::Damaged(Damage { what: format!("{} {key}", R::KIND), detail });
        let found = self.sum(R::KIND, key);
        if found != self.checksum {
            return Err(damaged(format!("checksum {:08x}, expected {found:08x}", self.checksum)));
        }
        if self.form > NEWEST_FORM {
            return Err(StoreError::Newer { found: self.form, known: NEWEST_FORM });
        }
        serde_json::from_str(&self.text).map_err(|error| damaged(error.to_string()))
    }

    fn sum(&self, kind: &str, key: &str) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for part in [kind.as_bytes(), key.as_bytes(), self.text.as_bytes()] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.update(&self.form.to_be_bytes());
        hasher.update(&self.version.to_be_bytes());
        hasher.finalize()
    }
}

/// Checksum of a correlation: of the key and of where it leads.
pub(super) fn correlation_sum(realm: Realm, key: &CorrelationKey, case: &str) -> u32 {
    let (kind, party, text) = key.columns(realm);
    correlation_sum_of([kind, party, text, case])
}

/// The same, from the columns of its row.
pub(super) fn correlation_sum_of(columns: [&str; 4]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in columns {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Direction, SequenceNumber};
    use crate::store::tests::sample;

    #[test]
    fn a_record_reads_back_and_no_changed_one_does() {
        let delivery = sample::delivery(1, "kfda");
        let good = Encoded::of(&delivery, delivery.id.as_str(), 3);
        let read = |encoded: &Encoded, key: &str| encoded.decode::<Delivery>(key);
        assert_eq!(read(&good, delivery.id.as_str()).expect("it is whole"), delivery);

        let text = good.text.replace("pending", "pendinG");
        let changed = [
            Encoded { text, ..good.clone() },
            Encoded { version: good.version + 1, ..good.clone() },
            Encoded { form: good.form + 1, ..good.clone() },
            Encoded { checksum: good.checksum ^ 1, ..good.clone() },
        ];
        for bad in changed {
            assert!(matches!(read(&bad, delivery.id.as_str()), Err(StoreError::Damaged(_))), "{bad:?} (P12)");
        }
        assert!(matches!(read(&good, "another key"), Err(StoreError::Damaged(_))));
        assert!(good.decode::<Case>(delivery.id.as_str()).is_err(), "a record of another kind (P12)");
    }

    /// P19: an earlier version takes none for one that it knows, and leaves out of it what it does not know.
    #[test]
    fn a_record_is_of_the_form_that_can_say_it() {
        let plain = sample::sequence(Direction::Receive, 1);
        let key = plain.key.to_string();
        let early = [(SequenceNumber::LAST, sample::early(1))].into();
        let early = Sequence { early, ..plain.clone() };
        let refused = Sequence { refused: [(SequenceNumber::LAST, 2)].into(), ..early.clone() };
        for (sequence, form) in [(plain, FORM), (early, FORM), (refused, WITH_REFUSED)] {
            let encoded = Encoded::of(&sequence, &key, 1);
            assert_eq!(encoded.form, form, "{sequence:?}");
            assert_eq!(encoded.decode::<Sequence>(&key).expect("it is whole"), sequence);
        }
        let whole = Envelope { content_type: "a/b".into(), references: vec![], spans: vec![] };
        let pieces = Envelope { spans: vec![Span::Held(1)], ..whole.clone() };
        assert_eq!((whole.form(), pieces.form()), (FORM, WITH_SPANS));
    }

    #[test]
    fn a_record_of_a_newer_form_is_called_so() {
        let delivery = sample::delivery(1, "kfda");
        let mut newer = Encoded::of(&delivery, "k", 1);
        newer.form = NEWEST_FORM + 1;
        newer.checksum = newer.sum(Delivery::KIND, "k");
        assert!(matches!(newer.decode::<Delivery>("k"), Err(StoreError::Newer { .. })), "P19");
    }
}
