//! What can go wrong with the store, as words that callers branch on.
//!
//! Reading fails with [`StoreError`], writing with [`CommitError`]. Neither lets a type of an engine through.

use std::fmt;
use std::path::PathBuf;

use crate::model::{ApprovalKey, CaseId, DeliveryId, Digest, MessageKey, SequenceKey, Timestamp};

use super::CorrelationKey;

/// Why something could not be read, opened or made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// One record is not what was written; it is quarantined, every other one is served (P12).
    #[error("{0}")]
    Damaged(Damage),
    /// The store was written by a newer version; nothing was changed (P19).
    #[error("the store has format {found}, this version reads up to {known}: use the newer version")]
    Newer {
        /// Format of the store, or of one of its records.
        found: u32,
        /// Newest format that this version reads.
        known: u32,
    },
    /// Entries that were committed are gone: the mark beside the database remembers them.
    #[error(
        "the store lost committed entries: its mark says audit entry {marked}, {found}; restore a backup or \
         remove the mark by hand to accept the loss"
    )]
    Behind {
        /// Audit entry that was committed, by the mark.
        marked: u64,
        /// What stands there instead.
        found: String,
    },
    /// The database file has lost its end.
    #[error(
        "{} has {found} octets and had {expected}, its end is missing, unless somebody \
         vacuumed it; restore a backup, or remove the mark by hand",
        path.display()
    )]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Octets that it had, all of them synced.
        expected: u64,
        /// Octets that it has.
        found: u64,
    },
    /// Another process has it open.
    #[error("the store at {} is in use by another process", path.display())]
    InUse {
        /// Directory of the store.
        path: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} is not a store: {reason}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was missing or strange.
        reason: String,
    },
    /// The database library is too old to be trusted.
    #[error("SQLite {found} is older than {needed}, which mends a corruption of the write-ahead log")]
    OldLibrary {
        /// Version in use.
        found: &'static str,
        /// Oldest version that is good enough.
        needed: &'static str,
    },
    /// Octets that were purged after their time.
    #[error("the octets of {what} were purged at {at}; the archive {archive} has them")]
    Purged {
        /// Whose octets.
        what: String,
        /// When.
        at: Timestamp,
        /// SHA-256 of the archive of their evidence.
        archive: Digest,
    },
    /// The database engine failed.
    #[error("{doing}: {reason}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// The file system failed.
    #[error("{doing} {}: {source}", path.display())]
    Files {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A record whose bytes are not those that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which record: its kind and its key, such as `delivery d3x…`.
    pub what: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Damage {
    /// Whether it is of this delivery itself, or of its octets: then nobody can send it. What else was asked for with
    /// it keeps it from no attempt, and whoever makes that one hears of the damage (P9).
    pub(super) fn is_of_delivery(&self, id: &DeliveryId) -> bool {
        ["delivery", "sealed", "octets of delivery"].iter().any(|kind| self.what == format!("{kind} {id}"))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged record: {}: {}", self.what, self.detail)
    }
}

/// Why a batch was not committed. In every case but [`Unknown`](Self::Unknown) nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody wrote in between: load and decide again.
    #[error("conflict: {0}")]
    Conflict(Conflict),
    /// The message is stored already: load and decide again, as for a duplicate (P3).
    #[error("the message is stored already")]
    Duplicate,
    /// Too much is waiting, or the disk is low (P11): answer that it is worth another try.
    #[error("the store is full or busy")]
    Full,
    /// It is not known whether the batch was committed: read back by key, then decide (P17).
    #[error("the outcome of the commit is unknown")]
    Unknown,
    /// A sync or commit failed, now or earlier: nothing is committed any more, stop and exit (P10).
    #[error("the store failed: {0}")]
    Fatal(String),
}

/// What a batch was decided on that is not so any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The case has another version, or exists although it must not.
    Case {
        /// The case.
        id: CaseId,
        /// The version that is stored.
        found: Option<u64>,
    },
    /// The key leads to another case already.
    Correlation {
        /// The key.
        key: CorrelationKey,
        /// The case it leads to.
        owner: CaseId,
    },
    /// The delivery has another version, or exists although it must not.
    Delivery {
        /// The delivery.
        id: DeliveryId,
        /// The version that is stored.
        found: Option<u64>,
    },
    /// The approval has another version, or exists although it must not.
    Approval {
        /// The approval.
        key: ApprovalKey,
        /// The version that is stored.
        found: Option<u64>,
    },
    /// The sequence has another version, or exists although it must not.
    Sequence {
        /// The sequence.
        key: SequenceKey,
        /// The version that is stored.
        found: Option<u64>,
    },
    /// The received message has another version, or is missing.
    Message {
        /// The message.
        key: MessageKey,
        /// The version that is stored.
        found: Option<u64>,
    },
    /// Another delivery has this destination and MessageId.
    MessageId {
        /// The delivery that has it.
        owner: DeliveryId,
    },
    /// The delivery is sealed already; what is sealed never changes (P4).
    Sealed {
        /// The delivery.
        id: DeliveryId,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |found: &Option<u64>| found.map_or("missing".to_owned(), |v| format!("at version {v}"));
        match self {
            Self::Case { id, found } => write!(f, "case {id} is {}", version(found)),
            Self::Correlation { key, owner } => write!(f, "{key} leads to case {owner}"),
            Self::Delivery { id, found } => write!(f, "delivery {id} is {}", version(found)),
            Self::Approval { key, found } => write!(f, "approval {key} is {}", version(found)),
            Self::Sequence { key, found } => write!(f, "sequence {key} is {}", version(found)),
            Self::Message { key, found } => write!(f, "message {key} is {}", version(found)),
            Self::MessageId { owner } => write!(f, "delivery {owner} has this destination and MessageId"),
            Self::Sealed { id } => write!(f, "delivery {id} is sealed already"),
        }
    }
}
