//! Duplicates (ebMS 2.0, 6.5.2, 6.5.6; P3): the key is the authenticated sender and its MessageId.

use crate::model::{Digest, StoredMessage};

/// How an arriving message stands to what is known under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Never seen.
    New,
    /// The same message again: the stored answer is the answer.
    Repeat,
    /// Another message under a MessageId that is taken: refused, with an alarm.
    Conflict,
}

/// How a message with this content stands to what is stored under its key.
#[must_use]
pub fn standing_of(known: Option<&StoredMessage>, content: &Digest) -> Standing {
    match known {
        None => Standing::New,
        Some(stored) if same_content(&stored.content_digest, content) => Standing::Repeat,
        Some(_) => Standing::Conflict,
    }
}

fn same_content(stored: &Digest, arrived: &Digest) -> bool {
    openssl::memcmp::eq(&stored.0, &arrived.0)
}
