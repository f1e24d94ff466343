//! What a step writes and what a decision may read; SQLite and an in-memory home for it.
//!
//! Promises: a batch is on stable storage, whole, before its `done` hears so (P1); the duplicate key is
//! decided inside the transaction (P3); a failed sync ends all commits (P10); an outcome that is not known is
//! called so (P17); damage is found on reading and stays with its record (P12); every entry of the audit
//! record hangs on the one before it (P18); a store of a newer version is left alone (P19); and one call
//! checks that nothing is lost (P2).
//!
//! Does not decide anything about a message, and has no verbs like get and put: no engine's type gets out.

mod account;
mod audit;
mod batch;
mod disk;
mod error;
mod flip;
mod journal;
mod lookup;
mod memory;
mod payload;
mod prepare;
mod record;
mod report;
mod sqlite;
mod tables;
mod view;

#[cfg(test)]
mod tests;

pub use batch::{
    ApprovalWrite, Batch, CaseWrite, Committed, DeliveryWrite, Done, Forgotten, MessageWrite, NewMessage,
    SequenceWrite, Unchanged,
};
pub use disk::Disk;
pub use error::{CommitError, Conflict, Damage, StoreError};
pub use flip::{Place, flipped};
pub use memory::MemoryStore;
pub use payload::{filed, spooled};
pub use report::{
    Account, AuditEntry, AuditVerdict, Between, CaseFilter, Conservation, DeliveryFilter, DueApproval,
    DueCase, DueDelivery, DueSequence, Health, Listing, Looked, MessageFilter, Opened, Queue, Stats, Walked,
};
pub use sqlite::{Contents, Inspection, Manifest, SqliteStore, StoreOptions};
pub use view::{
    Acknowledged, CorrelationKey, DeliveryLocator, Entity, KnownMessage, Needs, Reference, Versioned, View,
};

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use crate::model::AuditHead;

use crate::model::{
    Case, CaseId, CaseSummary, ChainEntry, Delivery, DeliveryId, KeptHead, MessageId, MessageKey, PartyKey,
    Realm, Sealed, Sequence, SequenceKey, StoredMessage, Timestamp,
};

/// A home for the gateway's records. One behaviour, whatever is behind it.
///
/// Reads are short and see everything that was committed before they began.
pub trait Store: Send + Sync {
    /// Loads what an event needs, all of it as of one instant.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a record that was asked for is damaged; other records are not affected.
    fn load(&self, needs: &Needs) -> Result<View, StoreError>;

    /// Commits a batch: whole and durable, or not at all. `done` is called exactly once, after the sync, on
    /// this thread or another; batches that wait together share a sync, a lone one waits for nobody.
    fn commit(&self, batch: Batch, done: Done);

    /// Deliveries to a destination that are pending or awaiting an acknowledgment and whose time has come by
    /// `now`, earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn due(
        &self,
        destination: &PartyKey,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError>;

    /// Deliveries to a destination that are to be posted, and are due later than `beyond`, latest first. Asked with an
    /// instant that no schedule gives, these were planned by a clock that has been set back since (P9). What waits in a
    /// mailbox is none of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn stalled(
        &self,
        destination: &PartyKey,
        beyond: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError>;

    /// When the next delivery to a destination is due.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn next_due(&self, destination: &PartyKey) -> Result<Option<Timestamp>, StoreError>;

    /// Cases about which something is to be done at an instant by itself, earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scheduled_cases(&self, limit: usize) -> Result<Vec<DueCase>, StoreError>;

    /// Cases of which a payment is under way, by when the bank is next asked, earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scheduled_payments(&self, limit: usize) -> Result<Vec<DueCase>, StoreError>;

    /// Those of them whose bank is next asked later than `beyond`, latest first. Asked with an instant that no interval
    /// gives, these were planned by a clock that has been set back since (P9).
    ///
    /// # Errors
    /// When the store cannot be read.
    fn stalled_payments(&self, beyond: Timestamp, limit: usize) -> Result<Vec<DueCase>, StoreError>;

    /// Approvals about which something is to be done at an instant by itself, earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scheduled_approvals(&self, limit: usize) -> Result<Vec<DueApproval>, StoreError>;

    /// Sequences about which something is to be done at an instant by itself, earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scheduled_sequences(&self, limit: usize) -> Result<Vec<DueSequence>, StoreError>;

    /// Sequences in the order of making: all of them, or those in which messages came before their turn, held
    /// or refused.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn sequences(&self, early: bool, limit: usize) -> Result<Listing<Sequence>, StoreError>;

    /// Sequences by the order in which they were made, after this place; each with its own.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn kept_sequences(&self, after: u64, limit: usize) -> Result<Vec<Walked<SequenceKey>>, StoreError>;

    /// Cases, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn cases(&self, filter: &CaseFilter, limit: usize) -> Result<Listing<CaseSummary>, StoreError>;

    /// The case that a key leads to in a realm.
    ///
    /// # Errors
    /// When the store cannot be read or the record is damaged.
    fn case(&self, realm: Realm, key: &CorrelationKey) -> Result<Option<Versioned<Case>>, StoreError>;

    /// Cases of a realm that a text leads to, as a [`CorrelationKey`] of any kind and party, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn named_cases(&self, realm: Realm, text: &str, limit: usize) -> Result<Vec<CaseId>, StoreError>;

    /// Shows every case that was opened in a span of time, and by this submitter if one is given, to `visit`. They are
    /// read a few at a time; damaged ones are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn each_case(&self, opened: &Opened, visit: &mut dyn FnMut(Case)) -> Result<(), StoreError>;

    /// What happened to a case, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn timeline(&self, case: &CaseId) -> Result<Listing<AuditEntry>, StoreError>;

    /// Entries of the audit record from number `first` on, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn audit(&self, first: u64, limit: usize) -> Result<Listing<AuditEntry>, StoreError>;

    /// Walks the audit record and names the first entry that does not follow from the one before it (P18).
    ///
    /// # Errors
    /// When the store cannot be read.
    fn verify_audit(&self) -> Result<AuditVerdict, StoreError>;

    /// Entries of the audit record from number `first` on as they are kept, nothing checked, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn chain(&self, first: u64, limit: usize) -> Result<Vec<ChainEntry>, StoreError>;

    /// Entries of this case or of none that name a message, as they are kept, in order. What cannot be read names nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn entries_about(
        &self,
        case: Option<&CaseId>,
        message_id: &MessageId,
    ) -> Result<Vec<ChainEntry>, StoreError>;

    /// The last entry with this event, of no case and no message, among those up to this number.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn last_of_event(&self, event: &str, up_to: u64) -> Result<Option<ChainEntry>, StoreError>;

    /// What ended a delivery, as it came.
    ///
    /// # Errors
    /// When the store cannot be read or the receipt is damaged.
    fn receipt(&self, id: &DeliveryId) -> Result<Option<Sealed>, StoreError>;

    /// The signed head that speaks for the most entries, of those that speak for fewer than `entries` and can be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn head_before(&self, entries: u64) -> Result<Option<KeptHead>, StoreError>;

    /// The number of the last entry of the audit record; 0 when there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn audit_height(&self) -> Result<u64, StoreError>;

    /// Signed heads that speak for more than `beyond` entries, in order. One that is damaged is left out: a later one
    /// speaks for its entries too, and a scrub names it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn heads(&self, beyond: u64, limit: usize) -> Result<Vec<KeptHead>, StoreError>;

    /// Received messages, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn messages(&self, filter: &MessageFilter, limit: usize) -> Result<Listing<StoredMessage>, StoreError>;

    /// Messages whose octets are there, by the order in which they came, after this place; each with its own.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn kept_messages(&self, after: u64, limit: usize) -> Result<Vec<Walked<MessageKey>>, StoreError>;

    /// Deliveries whose octets are there, by the order in which they were made, after this place; each with its own.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn kept_deliveries(&self, after: u64, limit: usize) -> Result<Vec<Walked<DeliveryId>>, StoreError>;

    /// Removes the payload files that purges have freed, as far as no record names them any more; gives how many.
    ///
    /// # Errors
    /// When the disk fails. What is left is swept at the next start.
    fn sweep(&self) -> Result<u64, StoreError>;

    /// The HTTP entity of a received message.
    ///
    /// # Errors
    /// When the store cannot be read or the body is damaged.
    fn body(&self, key: &MessageKey) -> Result<Option<Entity>, StoreError>;

    /// Deliveries, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn deliveries(&self, filter: &DeliveryFilter, limit: usize) -> Result<Listing<Delivery>, StoreError>;

    /// Every destination that something was ever owed to, with what of it is open, counted by state.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn queues(&self) -> Result<BTreeMap<PartyKey, Queue>, StoreError>;

    /// Checks the conservation law from every record (P2). Reads the whole store.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn conservation(&self) -> Result<Conservation, StoreError>;

    /// Reads every record and every body and names what is damaged (P12). Reads the whole store. When nothing is, files of
    /// payloads that were set aside, as no record names them, go.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scrub(&self) -> Result<Vec<Damage>, StoreError>;

    /// The same in short looks at a few records each, without what the engine finds in pages and indexes, which takes
    /// one long look. When `between` ends it, what was found until then.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scrub_slowly(&self, between: Between<'_>) -> Result<Vec<Damage>, StoreError>;

    /// Where bodies are spooled that come in, for [`spooled`]; none where all octets are kept in memory.
    fn spool_directory(&self) -> Option<PathBuf> {
        None
    }

    /// Whether it takes commits.
    fn health(&self) -> Health;

    /// Counters for metrics.
    fn stats(&self) -> Stats;
}
