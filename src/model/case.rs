//! Cases: one declaration and all its applications (domain brief, 5.3), and the record of what happened.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    AgencyCode, Application, ApprovalKey, CaseId, ConversationId, Declaration, DeliveryId, Digest,
    DocumentCode, HeadStamp, Held, LawCode, LegalHold, MessageId, MessageKey, PartyKey, Realm, RuleId,
    Timestamp, Unverified,
};

/// One declaration and all its applications. Also holds a result that nobody asked for (`declaration` absent).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Our name for it.
    pub id: CaseId,
    /// Whether it is a rehearsal. Its keys lead to it in this realm only.
    #[serde(default, skip_serializing_if = "Realm::is_production")]
    pub realm: Realm,
    /// Declaration number; absent in a result-only record.
    pub declaration: Option<Arc<str>>,
    /// Who lodged it; absent in a result-only record whose applicant is not registered.
    pub submitter: Option<PartyKey>,
    /// The lodging, or the result that opened a result-only record.
    pub opened_by: MessageKey,
    /// ConversationId of the lodging.
    pub conversation_id: ConversationId,
    /// Acceptance time of the lodging: the instant the rules were applied at.
    pub opened_at: Timestamp,
    /// 1 at lodging, one more for each amendment.
    pub revision: u32,
    /// 1 at first, one more for each reopening within a revision.
    pub round: u32,
    /// Where it stands.
    pub state: CaseState,
    /// The declaration has been handed to customs under this MessageId.
    pub declared_as: Option<MessageId>,
    /// Digest of the rule set it was planned with.
    pub rule_set: Option<Digest>,
    /// The expected set: a row for each requirement of a line.
    pub expected: Vec<PlannedRow>,
    /// Why lines were routed as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<RuleTrace>,
    /// Its applications, required and voluntary.
    pub applications: Vec<Application>,
    /// Join events that have been reported.
    pub events: Vec<JoinEvent>,
    /// Last status or reason that customs told, such as `13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customs_status: Option<Arc<str>>,
    /// Issue time of the newest notice of customs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customs_issued_at: Option<Timestamp>,
    /// When customs cleared the goods, or something else ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When something is next to be done about it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When the bank is next to be asked about a payment of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_due: Option<Timestamp>,
    /// Its withdrawal, when the broker has withdrawn it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<Withdrawal>,
    /// The declaration as it counts now; absent in a result-only record, and in cases of the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declaration>,
    /// Its amendments, in order: the first made revision 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amendments: Vec<Amended>,
    /// Its requirements that approvals satisfy which were held before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
    /// Approvals that lines claim to rest on and that satisfy nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<Unverified>,
    /// What keeps the octets of its messages from being purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<LegalHold>,
}

impl Case {
    /// Every approval that it rests on, and that a result of it stated.
    #[must_use]
    pub fn approvals(&self) -> BTreeSet<ApprovalKey> {
        let stated = self.applications.iter().flat_map(|application| {
            let numbers = application.outcomes.values().filter_map(|outcome| outcome.approval.clone());
            numbers.map(|number| ApprovalKey { realm: self.realm, agency: application.party.clone(), number })
        });
        self.held.iter().map(|held| held.approval.clone()).chain(stated).collect()
    }
}

/// An amendment that took force (5FE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amended {
    /// The message that it came in.
    pub key: MessageKey,
    /// The broker's number of it.
    pub number: Arc<str>,
    /// When it took force: when we accepted it (ruling 21).
    pub at: Timestamp,
}

/// What a broker said when he withdrew a declaration (5BF).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The message that it came in.
    pub key: MessageKey,
    /// The broker's number of it.
    pub number: Arc<str>,
    /// Reason code, such as `84`.
    pub reason: Arc<str>,
    /// When it took force: when we accepted it (ruling 21).
    pub at: Timestamp,
}

/// States of a case (docs/states.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// Waiting for agencies.
    Collecting,
    /// Every required item is favourable.
    Ready,
    /// Everything is collected, something is unfavourable.
    Blocked,
    /// Cleared by customs.
    Cleared,
    /// Dismissed by customs.
    Dismissed,
    /// Withdrawn by the broker.
    Withdrawn,
    /// A result without an application.
    ResultOnly,
}

impl CaseState {
    /// Every state, in the order of docs/states.md.
    pub const ALL: [Self; 7] = [
        Self::Collecting,
        Self::Ready,
        Self::Blocked,
        Self::Cleared,
        Self::Dismissed,
        Self::Withdrawn,
        Self::ResultOnly,
    ];

    /// Whether nothing moves it any more; what comes is relayed and recorded (ruling 24).
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Cleared | Self::Dismissed | Self::Withdrawn | Self::ResultOnly)
    }

    /// The name in the store, on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Cleared => "cleared",
            Self::Dismissed => "dismissed",
            Self::Withdrawn => "withdrawn",
            Self::ResultOnly => "result_only",
        }
    }
}

/// Row of the expected set: one requirement of one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlannedRow {
    /// Declaration line.
    pub line: u16,
    /// Law.
    pub law: LawCode,
    /// Agency.
    pub agency: AgencyCode,
    /// Application document code.
    pub document: DocumentCode,
    /// Rule row that asked for it.
    pub rule: RuleId,
    /// Why it needs no application, such as a not-applicable row or an approval that is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Arc<str>>,
    /// Whether the join counts it: not so when it is for after clearance (ruling 12).
    #[serde(default = "counts")]
    pub counts: bool,
}

/// Rows of the version before all counted as their application did.
const fn counts() -> bool {
    true
}

/// What the matcher found for one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleTrace {
    /// Declaration line.
    pub line: u16,
    /// Rows that matched.
    pub hit: Vec<RuleId>,
    /// Rows that failed on one condition only, with the condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<(RuleId, Arc<str>)>,
}

/// A join event, at most once for each kind, revision and round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinEvent {
    /// Revision it belongs to.
    pub revision: u32,
    /// Round it belongs to.
    pub round: u32,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
}

/// Kinds of join events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The first result of a required application.
    FirstResult,
    /// Every required item has its final outcome.
    AllCollected {
        /// All of them are favourable.
        favourable: bool,
    },
    /// Back from ready or blocked to collecting.
    Reopened,
    /// A deadline of an application has passed; once for each application and revision.
    Overdue {
        /// Place in [`Case::applications`].
        application: usize,
    },
}

/// One entry of the audit record: what changed, about whom, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When, by the gateway's clock.
    pub at: Timestamp,
    /// Stable event code, such as `message.accepted`, `delivery.delivered`, `application.approved`.
    pub event: Arc<str>,
    /// The case it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// The partner it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartyKey>,
    /// The message it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The delivery it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    /// What happened, in words for an operator.
    pub text: String,
    /// Something that an operator should look at.
    #[serde(default)]
    pub alarm: bool,
    /// Octets that were kept with it.
    #[serde(default, skip_serializing_if = "Attested::is_empty")]
    pub octets: Attested,
}

impl TimelineEntry {
    /// The event of the entry that a restored store begins with (P20).
    pub const STORE_RESTORED: &str = "store.restored";

    /// Whether it says that the store was restored from a backup of the entries before it.
    #[must_use]
    pub fn is_restore(&self) -> bool {
        &*self.event == Self::STORE_RESTORED && self.case.is_none() && self.message_id.is_none()
    }
}

/// Octets that an entry of the audit record vouches for, by their SHA-256: whoever has them can show that they are those
/// that were kept in its commit (P18).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The HTTP entity that was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Digest>,
    /// The HTTP entity that it was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Digest>,
    /// The HTTP entity that every attempt of a delivery sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Digest>,
    /// The HTTP entity that ended the delivery: an Acknowledgment, or errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Digest>,
    /// The list of keys that are trusted from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Digest>,
    /// A time stamp over a head of the record, which stands here whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_stamp: Option<HeadStamp>,
}

impl Attested {
    /// Whether it vouches for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A line of `gwanmun case list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseSummary {
    /// Case id.
    pub id: CaseId,
    /// Whether it is a rehearsal.
    #[serde(default)]
    pub realm: Realm,
    /// Declaration number.
    pub declaration: Option<Arc<str>>,
    /// Submitter.
    pub submitter: Option<PartyKey>,
    /// State.
    pub state: CaseState,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Applications that are final, of how many.
    pub decided: (usize, usize),
    /// Applications that are overdue: flagged, and not final.
    #[serde(default)]
    pub overdue: usize,
}
