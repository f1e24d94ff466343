//! What partners ask (XS1), and the answers that are about no case (XS3).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    AgencyCode, CountryCode, DocumentCode, HsCode, LawCode, MessageId, Month, RuleId, StatisticsRow,
    Timestamp, UsageCode,
};

/// A query (XS1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The asker's number of it.
    pub number: Arc<str>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// What is asked.
    pub asks: Asked,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Where a case stands that any of its keys names.
    Status(Arc<str>),
    /// Which laws, agencies and documents goods need.
    Requirements {
        /// HS code, which may be short.
        hs: HsCode,
        /// Country of origin; open when left out.
        origin: Option<CountryCode>,
        /// Usage; open when left out.
        usage: Option<UsageCode>,
        /// When they would be declared; now when left out.
        at: Option<Timestamp>,
    },
    /// A message of ours to the asker, once more.
    Redelivery(MessageId),
    /// The asker's own applications of a month; of this one when left out.
    Statistics(Option<Month>),
}

/// An answer that is about no case (XS3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryAnswer {
    /// Number of this answer.
    pub number: Arc<str>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Number of the query.
    pub query: Arc<str>,
    /// What goods need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<RequirementAnswer>,
    /// Lines of statistics, by agency and document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<StatisticsRow>,
}

/// A requirement that goods can meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementAnswer {
    /// Law.
    pub law: LawCode,
    /// Agency.
    pub agency: AgencyCode,
    /// Application document.
    pub application: DocumentCode,
    /// Result document.
    pub result: DocumentCode,
    /// Rule row.
    pub rule: RuleId,
    /// What must hold besides, in words; exceptions that may take it away too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Arc<str>>,
}
