//! Applications: one agency, one document, and what became of it (domain brief, 5.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;
use super::{
    AgencyCode, ContentId, Digest, DocumentCode, Fee, LawCode, MessageId, MessageKey, PartyKey, RuleId,
    Timestamp, Watch,
};

/// One application of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Agency code of the rule set.
    pub agency: AgencyCode,
    /// The registered party behind it.
    pub party: PartyKey,
    /// Application document code.
    pub document: DocumentCode,
    /// Result document code that answers it.
    pub result: DocumentCode,
    /// Application number; absent while the document is missing.
    pub number: Option<Arc<str>>,
    /// Declaration lines it is for, ascending.
    pub items: Vec<u16>,
    /// Laws it rests on.
    pub laws: Vec<LawCode>,
    /// Rule rows that planned it; empty when it is voluntary.
    pub rules: Vec<RuleId>,
    /// Whether the join waits for it.
    pub required: bool,
    /// Where it stands.
    pub state: ApplicationState,
    /// MessageId under which the agency got it.
    pub sent_as: Option<MessageId>,
    /// The agency's acceptance number.
    pub acceptance_number: Option<Arc<str>>,
    /// Agency issue time of the newest notice or result that moved `state`.
    pub state_issued_at: Option<Timestamp>,
    /// When the agency should have accepted it.
    pub accept_by: Option<Timestamp>,
    /// When the agency should have decided it.
    pub decide_by: Option<Timestamp>,
    /// Outcome of each item that has one.
    pub outcomes: BTreeMap<u16, ItemOutcome>,
    /// Results received, in order of receipt.
    pub results: Vec<ReceivedResult>,
    /// Notices received, in order of receipt; superseded ones too.
    pub notices: Vec<ReceivedNotice>,
    /// The document as it came: what the gateway makes a request to cancel it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ReceivedPart>,
    /// MessageIds of the versions that the agency got before `sent_as`, oldest first (ruling 22).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<MessageId>,
    /// Items that an amendment took away: what is still said about them is kept and changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_items: Vec<u16>,
    /// The revision from which on no row asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_in: Option<u32>,
    /// The newest request to cancel it; final only when the agency confirms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// When it was first owed to its agency with its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed_at: Option<Timestamp>,
    /// The watch over its deadlines; none when it is voluntary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Who acted on it last, when its agency is hosted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub officer: Option<Arc<str>>,
    /// Fees that its agency asks for it, in order of receipt, with their payments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fees: Vec<Fee>,
}

impl Application {
    /// An application that nobody has sent yet: its document is missing, and no rule asks for it.
    #[must_use]
    pub const fn new(
        agency: AgencyCode,
        party: PartyKey,
        document: DocumentCode,
        result: DocumentCode,
    ) -> Self {
        Self {
            agency,
            party,
            document,
            result,
            number: None,
            items: Vec::new(),
            laws: Vec::new(),
            rules: Vec::new(),
            required: false,
            state: ApplicationState::Blocked,
            sent_as: None,
            acceptance_number: None,
            state_issued_at: None,
            accept_by: None,
            decide_by: None,
            outcomes: BTreeMap::new(),
            results: Vec::new(),
            notices: Vec::new(),
            officer: None,
            fees: Vec::new(),
            source: None,
            former: Vec::new(),
            former_items: Vec::new(),
            released_in: None,
            cancellation: None,
            owed_at: None,
            watch: None,
        }
    }

    /// Since when it is flagged because a deadline of it has passed; not any more once it is final.
    #[must_use]
    pub fn overdue_since(&self) -> Option<Timestamp> {
        let is_final = matches!(self.state, ApplicationState::Decided(_));
        self.watch.as_ref().and_then(|watch| watch.overdue).filter(|_| !is_final)
    }

    /// Rows of the expected set may ask for it: it is neither voluntary nor let go of by an amendment.
    #[must_use]
    pub const fn is_planned(&self) -> bool {
        !self.rules.is_empty() && self.released_in.is_none()
    }

    /// Whether its agency has it, or is to get it, and has not decided.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        match self.state {
            // Its agency has the version before.
            ApplicationState::Blocked => !self.former.is_empty(),
            ApplicationState::Error | ApplicationState::Decided(_) => false,
            _ => true,
        }
    }

    /// Whether it has or had this item.
    #[must_use]
    pub fn has_had(&self, item: u16) -> bool {
        self.items.contains(&item) || self.former_items.contains(&item)
    }

    /// Whether the agency was asked to cancel it, and has not refused to.
    #[must_use]
    pub fn is_to_be_cancelled(&self) -> bool {
        self.cancellation.as_ref().is_some_and(|cancellation| !cancellation.refused)
    }
}

/// A request to cancel an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// MessageId under which the agency gets it.
    pub message_id: MessageId,
    /// When we took it.
    pub requested_at: Timestamp,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The agency has refused it by an error notice.
    #[serde(default)]
    pub refused: bool,
}

/// A payload of a message that we received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedPart {
    /// The message.
    pub message: MessageKey,
    /// The payload in it.
    pub content_id: ContentId,
    /// Its digest when it was accepted.
    pub digest: Digest,
}

/// States of an application (docs/states.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationState {
    /// Planned; its message is not sent yet.
    Created,
    /// Its document is missing.
    Blocked,
    /// Transmitted at least once.
    Sent,
    /// Acknowledged by the agency's MSH.
    Delivered,
    /// Retries or time to live are spent.
    Undeliverable,
    /// Refused by the agency's own checks; may be replaced.
    Error,
    /// Accepted by the agency.
    Accepted,
    /// Under review.
    UnderReview,
    /// The agency wants documents.
    DocumentsRequested,
    /// The agency wants a supplement.
    SupplementRequested,
    /// The agency ordered an inspection.
    InspectionOrdered,
    /// The agency wants its fee.
    FeeRequested,
    /// Final, with the outcome of the worst item.
    Decided(Outcome),
}

impl ApplicationState {
    /// Every state, in the order of docs/states.md.
    pub const ALL: [Self; 19] = [
        Self::Blocked,
        Self::Created,
        Self::Sent,
        Self::Delivered,
        Self::Undeliverable,
        Self::Error,
        Self::Accepted,
        Self::UnderReview,
        Self::DocumentsRequested,
        Self::SupplementRequested,
        Self::InspectionOrdered,
        Self::FeeRequested,
        Self::Decided(Outcome::Approved),
        Self::Decided(Outcome::ApprovedConditional),
        Self::Decided(Outcome::NotApplicable),
        Self::Decided(Outcome::Rejected),
        Self::Decided(Outcome::Cancelled),
        Self::Decided(Outcome::Revoked),
        Self::Decided(Outcome::Lapsed),
    ];

    /// Whether the applicant owes the agency an answer, or its fee.
    #[must_use]
    pub const fn awaits_answer(self) -> bool {
        matches!(self, Self::DocumentsRequested | Self::SupplementRequested | Self::FeeRequested)
    }

    /// The name in the store, on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Blocked => "blocked",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undeliverable => "undeliverable",
            Self::Error => "error",
            Self::Accepted => "accepted",
            Self::UnderReview => "under_review",
            Self::DocumentsRequested => "documents_requested",
            Self::SupplementRequested => "supplement_requested",
            Self::InspectionOrdered => "inspection_ordered",
            Self::FeeRequested => "fee_requested",
            Self::Decided(outcome) => outcome.as_str(),
        }
    }
}

/// Final outcomes, worst first (domain brief, 8, ruling 20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Refused.
    Rejected,
    /// An approval taken back.
    Revoked,
    /// An approval whose validity ended.
    Lapsed,
    /// Cancelled at the applicant's request.
    Cancelled,
    /// Approved with conditions.
    ApprovedConditional,
    /// Approved.
    Approved,
    /// Outside the law's scope.
    NotApplicable,
}

impl Outcome {
    /// Whether customs may go on.
    #[must_use]
    pub const fn is_favourable(self) -> bool {
        matches!(self, Self::Approved | Self::ApprovedConditional | Self::NotApplicable)
    }

    /// Whether it is an approval, which can lapse and be rested on.
    #[must_use]
    pub const fn is_approval(self) -> bool {
        matches!(self, Self::Approved | Self::ApprovedConditional)
    }

    /// Whether the join counts it as collected; revoked and lapsed do not.
    #[must_use]
    pub const fn is_collected(self) -> bool {
        !matches!(self, Self::Revoked | Self::Lapsed)
    }

    /// The name in documents, the store and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
            Self::Lapsed => "lapsed",
            Self::Cancelled => "cancelled",
            Self::ApprovedConditional => "approved_conditional",
            Self::Approved => "approved",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// Outcome of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// What was decided.
    pub outcome: Outcome,
    /// ApprovedQuantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Decimal>,
    /// Unit of the quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
    /// Number of the approval that it is part of, when later declarations can cite it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Arc<str>>,
    /// Laws that the result names for it; without any it is for those that asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub laws: Vec<LawCode>,
    /// Reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Agency issue time of the result that said so.
    pub issued_at: Timestamp,
    /// Validity of the approval: when it passes before clearance, the item lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// A result as it was received for an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedResult {
    /// The agency's result number.
    pub number: Arc<str>,
    /// MessageId it came under.
    pub message_id: MessageId,
    /// Agency issue time.
    pub issued_at: Timestamp,
    /// When we received it.
    pub received_at: Timestamp,
    /// Its outcome.
    pub outcome: Outcome,
    /// Digest of its octets: the same number with other octets is an alarm.
    pub digest: Digest,
    /// Validity of the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// It answers a version of the document that had been replaced: it changed nothing (ruling 22).
    #[serde(default)]
    pub of_former_version: bool,
}

/// A notice as it was received for an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedNotice {
    /// What it says.
    pub notice: NoticeKind,
    /// MessageId it came under.
    pub message_id: MessageId,
    /// Agency issue time.
    pub issued_at: Timestamp,
    /// When we received it.
    pub received_at: Timestamp,
    /// Remarks in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remarks: Option<Arc<str>>,
    /// The agency's own deadline for what it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// A newer one or a result was there already, or it is about a former version or a cancellation.
    pub superseded: bool,
}

/// What a notice of an agency says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// RBG: refused by the agency's own checks.
    Error,
    /// RBH "접수": accepted.
    Accepted,
    /// RBH: under review.
    UnderReview,
    /// RBH Z01: documents wanted.
    DocumentsRequested,
    /// RBH D01: supplement wanted.
    SupplementRequested,
    /// RBH with inspection block.
    InspectionOrdered,
    /// XF1: fee wanted.
    FeeRequested,
    /// RBH Z05: customs clearance done; information only.
    CustomsDone,
}

impl NoticeKind {
    /// The name in the store, on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Accepted => "accepted",
            Self::UnderReview => "under_review",
            Self::DocumentsRequested => "documents_requested",
            Self::SupplementRequested => "supplement_requested",
            Self::InspectionOrdered => "inspection_ordered",
            Self::FeeRequested => "fee_requested",
            Self::CustomsDone => "customs_done",
        }
    }
}

/// When a requirement must be met, in relation to clearance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timing {
    /// 1: before clearance.
    #[default]
    Before,
    /// 2: after clearance; sent at once, not counted in the join.
    After,
    /// 3: in real time; counted.
    RealTime,
}
