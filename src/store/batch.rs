//! What one step writes: all of it or nothing, in one durable commit (engineering guide, 4).
//!
//! A batch names the versions it was decided on; the home compares them inside the transaction.

use crate::model::{
    Approval, Case, CaseId, Delivery, KeptHead, MessageKey, Octets, Sealed, Sequence, SequenceKey,
    StoredMessage, TimelineEntry,
};

use super::{CommitError, CorrelationKey};

/// What one step writes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// A message that was received.
    pub message: Option<NewMessage>,
    /// What a message that was received before has become. Once it says that it was purged, it loses body and answer with
    /// this commit.
    pub changed: Option<MessageWrite>,
    /// The case that the step made or changed.
    pub case: Option<CaseWrite>,
    /// What the step rests on and does not write: each must still have its version.
    pub unchanged: Vec<Unchanged>,
    /// Deliveries that it made or changed. What says that it was purged loses octets and receipt with this commit.
    pub deliveries: Vec<DeliveryWrite>,
    /// Approvals that it made or changed, each at most once.
    pub approvals: Vec<ApprovalWrite>,
    /// Sequences that it made or changed, each at most once.
    pub sequences: Vec<SequenceWrite>,
    /// A sequence that is not known any more with this commit.
    pub forgotten: Option<Forgotten>,
    /// What it adds to the audit record, in order.
    pub audit: Vec<TimelineEntry>,
    /// A signed head over entries that were committed before. One that is there already stays as it is.
    pub head: Option<KeptHead>,
}

/// A message that was received. Its key must be new, else the batch is a [`CommitError::Duplicate`].
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The record.
    pub record: StoredMessage,
    /// HTTP entity as it was received.
    pub body: Octets,
    /// The answer that it got and that every duplicate gets.
    pub response: Option<Sealed>,
}

/// A record that a step rests on, at the version that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// A case.
    Case(CaseId, u64),
    /// A message that was received.
    Message(MessageKey, u64),
}

/// A message that was received before and is changed. Its octets and its answer stay what they are, or are purged.
#[derive(Clone, Debug)]
pub struct MessageWrite {
    /// Its new value.
    pub record: StoredMessage,
    /// The version that was loaded.
    pub based_on: u64,
}

/// A case that is made or changed.
#[derive(Clone, Debug)]
pub struct CaseWrite {
    /// Its new value.
    pub case: Case,
    /// The version that was loaded; `None` when the case must not exist yet.
    pub based_on: Option<u64>,
    /// Keys that lead to this case from now on. A key that leads to another case already is a conflict, but
    /// for one that [moves](CorrelationKey::moves): it leads to the case that it named last. A case is
    /// found by its own id without being told; a [`CorrelationKey::Case`] here has no effect.
    pub correlations: Vec<CorrelationKey>,
}

/// An approval that is made or changed.
#[derive(Clone, Debug)]
pub struct ApprovalWrite {
    /// Its new value.
    pub approval: Approval,
    /// The version that was loaded; `None` when the approval must not exist yet.
    pub based_on: Option<u64>,
}

/// A sequence that is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Which one.
    pub key: SequenceKey,
    /// The version that was loaded.
    pub based_on: u64,
}

/// A sequence that is made or changed. Its first version is the instant at which it begins, so that one that begins anew
/// after it was forgotten never has a version that somebody has read before.
#[derive(Clone, Debug)]
pub struct SequenceWrite {
    /// Its new value.
    pub sequence: Sequence,
    /// The version that was loaded; `None` when the sequence must not exist yet.
    pub based_on: Option<u64>,
}

/// A delivery that is made or changed.
#[derive(Clone, Debug)]
pub struct DeliveryWrite {
    /// Its new value.
    pub delivery: Delivery,
    /// The version that was loaded; `None` when the delivery must not exist yet.
    pub based_on: Option<u64>,
    /// Its octets, once: what is sealed never changes.
    pub sealed: Option<Sealed>,
    /// What ended it, as it came, without references; the newest one is kept.
    pub receipt: Option<Sealed>,
}

impl Batch {
    /// Octets of bodies in it that are in memory, for the limits of a group commit.
    pub(super) fn octets(&self) -> usize {
        let message = self.message.iter();
        let received =
            message.map(|m| m.body.held_bytes() + m.response.as_ref().map_or(0, |r| r.body.held_bytes()));
        let sealed = self
            .deliveries
            .iter()
            .flat_map(|d| d.sealed.iter().chain(&d.receipt))
            .map(|s| s.body.held_bytes());
        received.chain(sealed).sum()
    }
}

/// The pass that lets actions leave: this batch is on stable storage (P1). Only a store makes one.
#[derive(Debug)]
pub struct Committed(());

impl Committed {
    pub(super) const fn after_sync() -> Self {
        Self(())
    }
}

/// Hears what became of a batch: called once, after the sync, on a thread of the store. It must be quick.
pub type Done = Box<dyn FnOnce(Result<Committed, CommitError>) + Send>;
