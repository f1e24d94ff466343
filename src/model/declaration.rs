//! Business documents, read: the declaration, applications, results and notices (domain brief, 4).
//!
//! Only what steers something is here; everything else stays in the octets, which are passed on unread.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::application::{NoticeKind, Outcome};
use super::decimal::Decimal;
use super::{
    ContentId, CountryCode, DocumentCode, FeeNotice, HsCode, LawCode, PaymentConfirmation, PaymentOrder,
    Quantity, Query, QueryAnswer, Realm, Timestamp, UsageCode,
};

/// A business document of a kind that the gateway reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// 929.
    Declaration(Declaration),
    /// FR2, X01 to X17.
    Application(ApplicationDocument),
    /// FS7, X51 to X67.
    Result(ResultDocument),
    /// RBH, RBG.
    Notice(NoticeDocument),
    /// 5FE, 5BF.
    Change(DeclarationChange),
    /// R99, R21, 023, 5GZ, 5GV, 5EM, 5EN, 5FK, 5BG.
    Customs(CustomsNotice),
    /// XS2.
    StatusReport(StatusReport),
    /// INF.
    SystemNotice(SystemNotice),
    /// XS1.
    Query(Query),
    /// XS3.
    QueryAnswer(QueryAnswer),
    /// XF1.
    FeeNotice(FeeNotice),
    /// XF2.
    PaymentOrder(PaymentOrder),
    /// XF3.
    PaymentConfirmation(PaymentConfirmation),
}

impl Document {
    /// The code under which it travels, as in Action.
    #[must_use]
    pub fn code(&self) -> DocumentCode {
        let only = |code: &str| DocumentCode::new(code).expect("it is written here, and is plain text");
        match self {
            Self::Declaration(_) => only("GOVCBR929"),
            Self::Application(application) => application.code.clone(),
            Self::Result(result) => result.code.clone(),
            Self::Notice(notice) => notice.code.clone(),
            Self::Change(change) => change.code.clone(),
            Self::Customs(notice) => notice.code.clone(),
            Self::StatusReport(_) => only("GOVCBRXS2"),
            Self::SystemNotice(_) => only("GOVCBRINF"),
            Self::Query(_) => only("GOVCBRXS1"),
            Self::QueryAnswer(_) => only("GOVCBRXS3"),
            Self::FeeNotice(_) => only("GOVCBRXF1"),
            Self::PaymentOrder(_) => only("GOVCBRXF2"),
            Self::PaymentConfirmation(_) => only("GOVCBRXF3"),
        }
    }
}

/// Import declaration (929).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// Declaration number.
    pub number: Arc<str>,
    /// FunctionCode (UN/EDIFACT 1225): 9 original, 5 replace.
    pub function: Arc<str>,
    /// Clearance id or business number of the importer.
    pub importer: Option<Arc<str>>,
    /// ExportationCountryCode.
    pub export_from: Option<CountryCode>,
    /// Cargo control number (UCR).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cargo: Option<Arc<str>>,
    /// Numbers of its master and house bill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bills: Vec<Arc<str>>,
    /// Lines in document order.
    pub lines: Vec<DeclarationLine>,
    /// Content-IDs of the attachments that the declaration names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<ContentId>,
}

/// A line (란) of a declaration: GovernmentAgencyGoodsItem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclarationLine {
    /// SequenceNumeric, 1 to 999.
    pub sequence: u16,
    /// HS code, ten digits.
    pub hs: HsCode,
    /// Origin/CountryCode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<CountryCode>,
    /// UsageCode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageCode>,
    /// CIF value of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// Net weight in kilograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
    /// Count in another unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Quantity>,
    /// Approvals that the declarant already holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<RequirementRow>,
    /// Laws that the declarant says do not apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_applicable: Vec<NotApplicable>,
}

/// Requirement row: an approval that is claimed to be held already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementRow {
    /// Law code.
    pub law: LawCode,
    /// Requirement number.
    pub number: Arc<str>,
    /// Quantity used.
    pub quantity: Option<Decimal>,
    /// Unit of the quantity.
    pub unit: Option<Arc<str>>,
}

/// Not-applicable row: the declarant's statement that a law does not apply to the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplicable {
    /// Law code.
    pub law: LawCode,
    /// A outside scope, B exempt, C waived, Z other.
    pub reason: Arc<str>,
    /// Text for reason Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Arc<str>>,
}

/// Requirement application (FR2, X01 to X17).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationDocument {
    /// TypeCode: the document code with its `GOVCBR`.
    pub code: DocumentCode,
    /// Application number.
    pub number: Arc<str>,
    /// FunctionCode: 9 original, 5 replace, 4 change, 1 cancellation.
    pub function: Arc<str>,
    /// Reason in words, which a cancellation has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// LPCO items in order.
    pub items: Vec<ApplicationItem>,
    /// Content-IDs of the attachments that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<ContentId>,
}

/// Item (LPCO) of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationItem {
    /// SequenceNumeric: the declaration line it is for.
    pub sequence: u16,
    /// HS code.
    pub hs: HsCode,
}

/// Requirement result (FS7, X51 to X67).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultDocument {
    /// TypeCode.
    pub code: DocumentCode,
    /// The agency's own result number.
    pub number: Arc<str>,
    /// IssueDateTime: orders results and notices of one agency.
    pub issued_at: Timestamp,
    /// Number of the application that it answers, when it names one.
    pub application: Option<Arc<str>>,
    /// Business number of the applicant, when it names one.
    pub applicant: Option<Arc<str>>,
    /// Outcome of the whole: of every item when none is listed. Where some are listed, only those are decided.
    pub outcome: Outcome,
    /// Validity of the approval.
    pub valid_until: Option<Timestamp>,
    /// Conditions or reasons in words.
    pub remarks: Option<Arc<str>>,
    /// Per-item outcomes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ResultItem>,
}

/// Item of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultItem {
    /// SequenceNumeric.
    pub sequence: u16,
    /// Its outcome.
    pub outcome: Outcome,
    /// Number of the approval, as later declarations cite it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Arc<str>>,
    /// ApprovedQuantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Decimal>,
    /// Unit of the quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
    /// Laws that the approval is for; without any it is for those that the item was asked for by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub laws: Vec<LawCode>,
    /// Reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

/// Processing-status or error notice of an agency (RBH, RBG).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeDocument {
    /// TypeCode.
    pub code: DocumentCode,
    /// The agency's number of this notice.
    pub number: Arc<str>,
    /// IssueDateTime.
    pub issued_at: Timestamp,
    /// Number of the application.
    pub application: Option<Arc<str>>,
    /// What it says.
    pub notice: NoticeKind,
    /// The agency's acceptance number.
    pub acceptance_number: Option<Arc<str>>,
    /// Deadline for processing or for a supplement.
    pub deadline: Option<Timestamp>,
    /// Remarks in words.
    pub remarks: Option<Arc<str>>,
}

/// What a broker wants changed about a declaration that is lodged: an amendment (5FE) or its withdrawal (5BF).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclarationChange {
    /// TypeCode.
    pub code: DocumentCode,
    /// The broker's own number of it.
    pub number: Arc<str>,
    /// IssueDateTime.
    pub issued_at: Timestamp,
    /// Declaration number.
    pub declaration: Arc<str>,
    /// Which amendment of the declaration it is, 1 for the first; a withdrawal has none.
    pub sequence: Option<u32>,
    /// Reason code, which a withdrawal has.
    pub reason: Option<Arc<str>>,
    /// Reason in words.
    pub text: Option<Arc<str>>,
}

/// Notice of customs about a declaration (R99, R21, 023, 5GZ, 5GV, 5EM, 5EN, 5FK, 5BG).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomsNotice {
    /// TypeCode.
    pub code: DocumentCode,
    /// Customs' number of this notice.
    pub number: Arc<str>,
    /// IssueDateTime.
    pub issued_at: Timestamp,
    /// Declaration number.
    pub declaration: Arc<str>,
    /// Status or reason code: `13` cleared in 023, `18` and `19` in 5GZ, `08` refused in 5FK and 5BG.
    pub status: Option<Arc<str>>,
    /// Remarks in words.
    pub remarks: Option<Arc<str>>,
}

/// Status report of the gateway (XS2): a join event, or what a case still lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Number of this report: follows from case, revision, round, event and outcome.
    pub number: Arc<str>,
    /// Whether it is about a rehearsal; it then has FunctionCode 53.
    #[serde(default, skip_serializing_if = "Realm::is_production")]
    pub realm: Realm,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Declaration number; a result that nobody asked for has none.
    pub declaration: Option<Arc<str>>,
    /// Case id.
    pub case: Arc<str>,
    /// Revision of the case.
    pub revision: u32,
    /// Event: `lodged`, `first_result`, `all_collected`, `reopened`, `reminder`, `overdue`, `status`.
    pub event: Arc<str>,
    /// `favourable` or `unfavourable`, for `all_collected`.
    pub outcome: Option<Arc<str>>,
    /// State of the case, in answer to a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Arc<str>>,
    /// Last status or reason that customs told, in answer to a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customs_status: Option<Arc<str>>,
    /// The deadline that a `reminder` or `overdue` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<ReportedDeadline>,
    /// One row for each application: agency, document code, number, state, remarks.
    pub applications: Vec<StatusReportRow>,
    /// One row for each approval that a line claims to rest on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ReportedClaim>,
    /// What happened, oldest first, in answer to a query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<ReportedEvent>,
}

/// Something that happened to a case, in a [`StatusReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedEvent {
    /// When.
    pub at: Timestamp,
    /// Event code, such as `application.result`.
    pub event: Arc<str>,
    /// What happened, in words.
    pub text: Arc<str>,
}

/// The deadline that a [`StatusReport`] is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedDeadline {
    /// Agency code.
    pub agency: Arc<str>,
    /// Application document code.
    pub document: DocumentCode,
    /// Application number, when there is one.
    pub number: Option<Arc<str>>,
    /// What has the deadline: `accept`, `decide`, `answer`.
    pub term: Arc<str>,
    /// When it ends, or ended.
    pub at: Timestamp,
}

/// An approval that a line claims to rest on, in a [`StatusReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedClaim {
    /// Declaration line.
    pub line: u16,
    /// Law.
    pub law: LawCode,
    /// Number of the approval.
    pub number: Arc<str>,
    /// Whether it satisfies the requirement.
    pub verified: bool,
    /// What is used of it, or why it does not, in words.
    pub remarks: Arc<str>,
}

/// Service notice of the gateway's operator (INF).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemNotice {
    /// Number of this notice.
    pub number: Arc<str>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// What it says.
    pub text: Arc<str>,
}

/// Row of a [`StatusReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReportRow {
    /// Agency code.
    pub agency: Arc<str>,
    /// Application document code.
    pub document: DocumentCode,
    /// Application number, when there is one.
    pub number: Option<Arc<str>>,
    /// State of the application.
    pub state: Arc<str>,
    /// When its agency should have decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_by: Option<Timestamp>,
    /// Since when it is overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<Timestamp>,
    /// What to do about it, in words.
    pub remarks: Option<Arc<str>>,
}
