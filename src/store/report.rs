//! What operators read: lists, the timeline of a case, counts, and whether the store is well.
//!
//! A damaged record never hides its neighbours: it is listed beside them as [`Damage`] (P12).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::model::{
    Application, ApplicationState, ApprovalKey, AuditHead, Case, CaseId, CaseState, CaseSummary, Delivery,
    DeliveryId, DeliveryState, Digest, PartyKey, Realm, SequenceKey, StoredMessage, TimelineEntry, Timestamp,
};

use super::Damage;

/// Which cases to list, newest first. The default lists all of production.
#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    /// Of this realm.
    pub realm: Realm,
    /// In this state.
    pub state: Option<CaseState>,
    /// Lodged by this party.
    pub submitter: Option<PartyKey>,
    /// With an application for this party.
    pub agency: Option<PartyKey>,
    /// Where one for that party is not decided.
    pub undecided: bool,
}

/// Which received messages to list, newest first. The default lists all.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Sent by this party.
    pub sender: Option<PartyKey>,
    /// Of this case.
    pub case: Option<CaseId>,
    /// Accepted, or refused.
    pub accepted: Option<bool>,
    /// Accepted but steered nowhere.
    pub quarantined: Option<bool>,
}

/// Which deliveries to list, oldest first. The default lists all.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Of this case.
    pub case: Option<CaseId>,
    /// To this party.
    pub destination: Option<PartyKey>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Made after this one.
    pub after: Option<DeliveryId>,
}

impl CaseFilter {
    pub(super) fn takes(&self, case: &Case) -> bool {
        self.realm == case.realm
            && self.state.is_none_or(|state| case.state == state)
            && self.submitter.as_ref().is_none_or(|party| case.submitter.as_ref() == Some(party))
            && self.agency.as_ref().is_none_or(|party| {
                case.applications.iter().any(|application| {
                    application.party == *party
                        && application.number.is_some()
                        && !(self.undecided && matches!(application.state, ApplicationState::Decided(_)))
                })
            })
    }
}

impl MessageFilter {
    pub(super) fn takes(&self, message: &StoredMessage) -> bool {
        self.sender.as_ref().is_none_or(|party| message.key.sender == *party)
            && self.case.as_ref().is_none_or(|case| message.case.as_ref() == Some(case))
            && self.accepted.is_none_or(|accepted| message.accepted == accepted)
            && self.quarantined.is_none_or(|quarantined| message.quarantined == quarantined)
    }
}

impl DeliveryFilter {
    /// Whether it takes this one, wherever in the list it stands.
    pub(super) fn takes(&self, delivery: &Delivery) -> bool {
        self.case.as_ref().is_none_or(|case| delivery.case.as_ref() == Some(case))
            && self.destination.as_ref().is_none_or(|party| delivery.destination == *party)
            && self.state.is_none_or(|state| delivery.state == state)
    }
}

/// The line of a case in a list.
pub(super) fn summary(case: &Case) -> CaseSummary {
    let decided = |a: &&Application| matches!(a.state, ApplicationState::Decided(_));
    CaseSummary {
        id: case.id.clone(),
        realm: case.realm,
        declaration: case.declaration.clone(),
        submitter: case.submitter.clone(),
        state: case.state,
        opened_at: case.opened_at,
        overdue: case.applications.iter().filter(|a| a.overdue_since().is_some()).count(),
        decided: (case.applications.iter().filter(decided).count(), case.applications.len()),
    }
}

/// What stands at a place of a walk through the store; damaged, where it cannot be read what it is.
pub type Walked<K> = (u64, Result<K, Damage>);

/// A list as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Records that would stand here and are damaged.
    pub damaged: Vec<Damage>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { items: Vec::new(), damaged: Vec::new() }
    }
}

/// How far a walk over the store is, between two of its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it is looking at.
    pub at: &'static str,
    /// Records that it has looked at.
    pub records: u64,
}

/// Hears how far a walk over the store is. It may rest there, and ends the walk with [`ControlFlow::Break`].
pub type Between<'a> = &'a mut dyn FnMut(Looked) -> ControlFlow<()>;

/// A delivery whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// The delivery.
    pub id: DeliveryId,
    /// Since when.
    pub due: Timestamp,
    /// Transmissions begun so far.
    pub attempts: u32,
}

/// Which cases to go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Of this realm.
    pub realm: Realm,
    /// From this instant on.
    pub from: Timestamp,
    /// Before this one.
    pub until: Timestamp,
    /// By this submitter alone.
    pub submitter: Option<PartyKey>,
}

impl Opened {
    pub(super) fn takes(&self, case: &Case) -> bool {
        let by = self.submitter.as_ref().is_none_or(|submitter| case.submitter.as_ref() == Some(submitter));
        by && case.realm == self.realm && (self.from..self.until).contains(&case.opened_at)
    }
}

/// A case about which something is to be done by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCase {
    /// The case.
    pub id: CaseId,
    /// When.
    pub due: Timestamp,
}

/// An approval about which something is to be done by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueApproval {
    /// The approval.
    pub key: ApprovalKey,
    /// When.
    pub due: Timestamp,
}

/// A sequence about which something is to be done by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSequence {
    /// The sequence.
    pub key: SequenceKey,
    /// When.
    pub due: Timestamp,
}

/// One destination's open deliveries, counted from the key columns: the time is that of what is open, not of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Deliveries in each open state that has any.
    pub open: BTreeMap<DeliveryState, u64>,
    /// Creation time of the oldest of them.
    pub oldest: Option<Timestamp>,
}

/// An entry of the audit record with its place in the chain (P18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// What happened.
    pub entry: TimelineEntry,
    /// SHA-256 over the hash before it, its number and its text.
    pub hash: Digest,
}

/// What came of walking the audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every entry follows from the one before it.
    Intact(AuditHead),
    /// The first entry that does not.
    Broken {
        /// Its number.
        sequence: u64,
        /// What is wrong with it.
        detail: String,
    },
}

/// The conservation law, computed from every record, independent of all counters (P2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conservation {
    /// The law for each destination.
    pub destinations: BTreeMap<PartyKey, Account>,
    /// Deliveries that are not accounted for, and records that contradict each other.
    pub faults: Vec<String>,
}

impl Conservation {
    /// Whether nothing is lost.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults.is_empty() && self.destinations.values().all(Account::balances)
    }
}

/// One destination's side of the law: created = the sum of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Deliveries that were ever made, as their rows or the audit record know them.
    pub created: u64,
    /// Acknowledged.
    pub delivered: u64,
    /// Waiting for their time.
    pub pending: u64,
    /// Waiting for an acknowledgment.
    pub awaiting: u64,
    /// Kept back by an operator.
    pub held: u64,
    /// Refused by the destination.
    pub rejected: u64,
    /// Time to live or retries spent.
    pub expired: u64,
    /// Needs an operator.
    pub quarantined: u64,
}

impl Account {
    /// Whether both sides are equal.
    #[must_use]
    pub const fn balances(&self) -> bool {
        let open = self.pending + self.awaiting + self.held;
        self.created == open + self.delivered + self.rejected + self.expired + self.quarantined
    }

    pub(super) const fn count(&mut self, state: DeliveryState) {
        match state {
            DeliveryState::Pending => self.pending += 1,
            DeliveryState::AwaitingAcknowledgment => self.awaiting += 1,
            DeliveryState::Held => self.held += 1,
            DeliveryState::Delivered => self.delivered += 1,
            DeliveryState::Rejected => self.rejected += 1,
            DeliveryState::Expired => self.expired += 1,
            DeliveryState::Quarantined => self.quarantined += 1,
        }
    }
}

/// Whether the store takes commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Why it takes no commits any more, once it has failed (P10).
    pub failed: Option<String>,
    /// The disk is below its mark: new messages are refused (P11).
    pub disk_low: bool,
    /// Free octets on its disk, where it knows.
    pub free_bytes: Option<u64>,
}

/// Plain counters since the store was opened, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches committed.
    pub batches: u64,
    /// Commits, each with one sync: fewer than batches when they share.
    pub commits: u64,
    /// Batches refused for a conflict or as duplicates.
    pub refused: u64,
    /// Batches turned away because the store was full or busy.
    pub full: u64,
    /// Records that were found damaged when read.
    pub damaged: u64,
    /// Batches in a commit: how many commits had at most [`Stats::GROUP_BOUNDS`] batches; the last has no bound.
    pub group_sizes: [u64; 9],
    /// Time of a commit: how many took at most [`Stats::COMMIT_MICROS_BOUNDS`]; the last has no bound.
    pub commit_times: [u64; 11],
    /// Sum of those times, in microseconds.
    pub commit_micros: u64,
    /// Batches waiting now.
    pub waiting: u64,
    /// Octets of the database and its log.
    pub file_bytes: u64,
}

impl Stats {
    /// Upper bounds of [`Stats::group_sizes`].
    pub const GROUP_BOUNDS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
    /// Upper bounds of [`Stats::commit_times`], in microseconds.
    pub const COMMIT_MICROS_BOUNDS: [u64; 10] =
        [250, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 100_000, 500_000, 2_000_000];
}
