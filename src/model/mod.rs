//! The words of ebMS 2.0 and of the customs trade as values that are always valid.
//!
//! Constructors check once and return [`ValueError`]; past them nothing is checked twice. Nothing here
//! performs I/O, reads a clock or draws a random number: every floor above may use it.

mod act;
mod agreement;
mod application;
mod approval;
mod audit;
mod case;
mod codes;
mod deadline;
mod decimal;
mod declaration;
mod delivery;
mod error_list;
mod evidence;
mod fee;
mod header;
mod ids;
mod manifest;
mod message;
mod octets;
mod order;
mod party;
mod query;
mod realm;
mod retention;
mod signal;
mod signature;
mod statistics;
mod status;
mod time;

pub use act::{Act, OfficerAct};
pub use agreement::{
    ActionBinding, Agreement, Direction, EmptyAnswer, Override, Presence, Reliability, SyncReplyMode,
};
pub use application::{
    Application, ApplicationState, Cancellation, ItemOutcome, NoticeKind, Outcome, ReceivedNotice,
    ReceivedPart, ReceivedResult, Timing,
};
pub use approval::{Approval, ApprovalKey, ApprovedItem, Drawn, Held, Holder, Quantity, Spent, Unverified};
pub use audit::{
    AuditHead, ChainEntry, ExportLine, HeadStamp, KeptHead, SignedHead, Tree, TreeHead, Witness, root_by_path,
};
pub use case::{
    Amended, Attested, Case, CaseState, CaseSummary, EventKind, JoinEvent, PlannedRow, RuleTrace,
    TimelineEntry, Withdrawal,
};
pub use codes::{AgencyCode, CountryCode, CurrencyCode, DocumentCode, HsCode, LawCode, RuleId, UsageCode};
pub use deadline::{Allowance, Duty, LateAction, Term, Watch};
pub use decimal::Decimal;
pub use declaration::{
    ApplicationDocument, ApplicationItem, CustomsNotice, Declaration, DeclarationChange, DeclarationLine,
    Document, NotApplicable, NoticeDocument, ReportedClaim, ReportedDeadline, ReportedEvent, RequirementRow,
    ResultDocument, ResultItem, StatusReport, StatusReportRow, SystemNotice,
};
pub use delivery::{
    AttemptOutcome, Delivery, DeliveryPurpose, DeliveryState, Part, PartSource, Sealed, StoredMessage,
};
pub use error_list::{EbxmlError, ErrorCode, ErrorList, Finding, Severity};
pub use evidence::{
    AuditPath, EvidenceManifest, EvidenceMember, EvidenceSignature, EvidenceSubject, KeyList, KeyUse,
    ProvenEntry,
};
pub use fee::{
    Bank, BankAccount, Charge, ChargeOutcome, Fee, FeeNotice, FeeState, Money, Payment, PaymentConfirmation,
    PaymentOrder, PaymentOutcome, PaymentState, PaymentTerms, payment_key,
};
pub use header::{MessageData, MessageHeader, PartyRef, Service};
pub use ids::{
    CaseId, ContentId, ConversationId, CpaId, DeliveryId, Digest, MessageId, MessageKey, ValueError,
    derive_id,
};
pub use manifest::{Manifest, Reference, document_code_of_role, role_of_document_code};
pub use message::{Message, MessageKind, Payload};
#[cfg(test)]
pub(crate) use octets::filed_for_tests;
pub use octets::{Checked, Chunks, Filed, Octets, Piece, Source, Unreadable};
pub use order::{Early, Fate, Gap, GapAct, MessageOrder, OrderStatus, Sequence, SequenceKey, SequenceNumber};
pub use party::{
    Fingerprint, Officer, OfficerRole, Party, PartyId, PartyKey, PartyKind, Plays, Registry, Role,
};
pub use query::{Asked, Query, QueryAnswer, RequirementAnswer};
pub use realm::Realm;
pub use retention::{Keep, LegalHold, Purged, Retention};
pub use signal::{AckRequested, Acknowledgment, Actor, DigestReference, SignalAction, Transform};
pub use signature::{
    Canonicalization, Deviation, DigestMethod, PartnerProfile, SignatureAlgorithm, SignatureTerms,
    SigningTerms,
};
pub use statistics::{Dimension, Month, Stage, StageTimes, Statistics, StatisticsRow};
pub use status::{MessageStatus, StatusBody, StatusResponse};
pub use time::{Timestamp, format_duration, parse_duration};
