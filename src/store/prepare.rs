//! A batch made ready for a home on the caller's thread: encoded, summed and hashed, so that the thread that
//! commits for everybody only writes.

use crate::model::{CaseId, KeptHead, Sealed, TimelineEntry};

use super::audit::entry_text;
use super::payload::Blob;
use super::record::{Encoded, Envelope};
use super::{
    ApprovalWrite, Batch, CaseWrite, CorrelationKey, DeliveryWrite, Forgotten, MessageWrite, NewMessage,
    SequenceWrite, Unchanged,
};

/// A batch, ready to be written.
pub(super) struct Prepared {
    pub(super) message: Option<PreparedMessage>,
    pub(super) changed: Option<PreparedChange>,
    pub(super) case: Option<PreparedCase>,
    pub(super) unchanged: Vec<Unchanged>,
    pub(super) deliveries: Vec<PreparedDelivery>,
    pub(super) approvals: Vec<PreparedApproval>,
    pub(super) sequences: Vec<PreparedSequence>,
    pub(super) forgotten: Option<Forgotten>,
    pub(super) audit: Vec<PreparedEntry>,
    pub(super) head: Option<PreparedHead>,
    /// Octets of bodies in it, for the limits of what waits and of a group.
    pub(super) bytes: usize,
}

pub(super) struct PreparedMessage {
    pub(super) new: NewMessage,
    pub(super) encoded: Encoded,
    pub(super) body: Blob,
    pub(super) response: Option<PreparedSealed>,
}

pub(super) struct PreparedChange {
    pub(super) write: MessageWrite,
    pub(super) encoded: Encoded,
}

pub(super) struct PreparedCase {
    pub(super) write: CaseWrite,
    pub(super) encoded: Encoded,
}

pub(super) struct PreparedApproval {
    pub(super) write: ApprovalWrite,
    pub(super) encoded: Encoded,
}

pub(super) struct PreparedSequence {
    pub(super) write: SequenceWrite,
    pub(super) encoded: Encoded,
}

pub(super) struct PreparedDelivery {
    pub(super) write: DeliveryWrite,
    pub(super) encoded: Encoded,
    pub(super) sealed: Option<PreparedSealed>,
    pub(super) receipt: Option<PreparedSealed>,
}

#[derive(Clone, Debug)]
pub(super) struct PreparedSealed {
    pub(super) encoded: Encoded,
    pub(super) blob: Blob,
}

/// A signed head by how many entries it speaks for.
pub(super) struct PreparedHead {
    pub(super) entries: u64,
    pub(super) encoded: Encoded,
}

pub(super) struct PreparedEntry {
    pub(super) case: Option<CaseId>,
    /// What an entry of no case is found by: the message that it names, else its event.
    pub(super) about: Option<String>,
    pub(super) text: String,
}

impl Prepared {
    pub(super) fn of(batch: Batch) -> Self {
        let bytes = batch.octets();
        Self {
            message: batch.message.map(PreparedMessage::of),
            changed: batch.changed.map(PreparedChange::of),
            case: batch.case.map(PreparedCase::of),
            unchanged: batch.unchanged,
            deliveries: batch.deliveries.into_iter().map(PreparedDelivery::of).collect(),
            approvals: batch.approvals.into_iter().map(PreparedApproval::of).collect(),
            sequences: batch.sequences.into_iter().map(PreparedSequence::of).collect(),
            forgotten: batch.forgotten,
            audit: batch.audit.into_iter().map(PreparedEntry::of).collect(),
            head: batch.head.as_ref().map(PreparedHead::of),
            bytes,
        }
    }

    /// The octets that go to files, or stand in some.
    pub(super) fn filed(&self) -> impl Iterator<Item = &Blob> {
        let message = self.message.iter();
        let received = message.flat_map(|m| [Some(&m.body), m.response.as_ref().map(|r| &r.blob)]);
        let sealed = self.deliveries.iter().flat_map(|d| d.sealed.iter().chain(&d.receipt)).map(|s| &s.blob);
        received.flatten().chain(sealed).filter(|blob| blob.is_filed())
    }

    /// Whether it takes in something new from outside, which a low disk does not allow (P11). Signals are about
    /// messages that are ours already.
    pub(super) fn is_intake(&self) -> bool {
        self.message.as_ref().is_some_and(|message| !message.new.record.header.service.is_msh())
    }
}

impl PreparedMessage {
    fn of(new: NewMessage) -> Self {
        let key = new.record.key.to_string();
        Self {
            encoded: Encoded::of(&new.record, &key, 1),
            body: Blob::of(new.body.clone()),
            response: new.response.as_ref().map(|response| PreparedSealed::of(response, &key)),
            new,
        }
    }
}

impl PreparedChange {
    fn of(write: MessageWrite) -> Self {
        let key = write.record.key.to_string();
        Self { encoded: Encoded::of(&write.record, &key, write.based_on + 1), write }
    }
}

impl PreparedCase {
    fn of(mut write: CaseWrite) -> Self {
        write.correlations.retain(|key| !matches!(key, CorrelationKey::Case(_)));
        let version = write.based_on.unwrap_or(0) + 1;
        Self { encoded: Encoded::of(&write.case, write.case.id.as_str(), version), write }
    }
}

impl PreparedApproval {
    fn of(write: ApprovalWrite) -> Self {
        let version = write.based_on.unwrap_or(0) + 1;
        let key = write.approval.key.to_string();
        Self { encoded: Encoded::of(&write.approval, &key, version), write }
    }
}

impl PreparedSequence {
    fn of(write: SequenceWrite) -> Self {
        let begun = write.sequence.since.and_then(|at| u64::try_from(at.as_millis()).ok());
        let version = write.based_on.map_or_else(|| begun.unwrap_or(1).max(1), |version| version + 1);
        let key = write.sequence.key.to_string();
        Self { encoded: Encoded::of(&write.sequence, &key, version), write }
    }
}

impl PreparedDelivery {
    fn of(write: DeliveryWrite) -> Self {
        let version = write.based_on.unwrap_or(0) + 1;
        let key = write.delivery.id.as_str();
        Self {
            encoded: Encoded::of(&write.delivery, key, version),
            sealed: write.sealed.as_ref().map(|sealed| PreparedSealed::of(sealed, key)),
            receipt: write.receipt.as_ref().map(|receipt| PreparedSealed::of(receipt, key)),
            write,
        }
    }
}

impl PreparedSealed {
    fn of(sealed: &Sealed, key: &str) -> Self {
        let blob = Blob::of(sealed.body.clone());
        Self { encoded: Encoded::of(&Envelope::of(sealed, blob.spans()), key, 1), blob }
    }
}

impl PreparedHead {
    fn of(head: &KeptHead) -> Self {
        let entries = head.signed.head.entries;
        Self { entries, encoded: Encoded::of(head, &entries.to_string(), 1) }
    }
}

impl PreparedEntry {
    fn of(entry: TimelineEntry) -> Self {
        Self { text: entry_text(&entry), about: about(&entry), case: entry.case }
    }
}

/// What an entry of no case is found by.
pub(super) fn about(entry: &TimelineEntry) -> Option<String> {
    let named = || entry.message_id.as_ref().map_or_else(|| entry.event.to_string(), ToString::to_string);
    entry.case.is_none().then(named)
}
