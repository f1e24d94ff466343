//! ErrorList and its codes (ebMS 2.0, 4.2.3), and the findings of a document check.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The error codes of ebMS 2.0, 4.2.3.4. A partner's own code is kept as [`ErrorCode::Other`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ErrorCode {
    /// Well-formed and valid, but the value is unknown here.
    ValueNotRecognized,
    /// Used correctly but not supported here.
    NotSupported,
    /// Contradicts other values or the agreement.
    Inconsistent,
    /// Content breaks a rule that no other code covers.
    OtherXml,
    /// Not delivered to its next destination.
    DeliveryFailure,
    /// Arrived after its TimeToLive.
    TimeToLiveExpired,
    /// Signature, authenticity or authority check failed.
    SecurityFailure,
    /// A payload cannot be resolved.
    MimeProblem,
    /// Anything else.
    Unknown,
    /// A code that a partner brought, such as the `NotRecognized` of the standard's own prose.
    Other(Arc<str>),
}

impl ErrorCode {
    const STANDARD: [Self; 9] = [
        Self::ValueNotRecognized,
        Self::NotSupported,
        Self::Inconsistent,
        Self::OtherXml,
        Self::DeliveryFailure,
        Self::TimeToLiveExpired,
        Self::SecurityFailure,
        Self::MimeProblem,
        Self::Unknown,
    ];

    /// The code as the wire spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::ValueNotRecognized => "ValueNotRecognized",
            Self::NotSupported => "NotSupported",
            Self::Inconsistent => "Inconsistent",
            Self::OtherXml => "OtherXml",
            Self::DeliveryFailure => "DeliveryFailure",
            Self::TimeToLiveExpired => "TimeToLiveExpired",
            Self::SecurityFailure => "SecurityFailure",
            Self::MimeProblem => "MimeProblem",
            Self::Unknown => "Unknown",
            Self::Other(code) => code,
        }
    }

    /// The code with this spelling.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self::STANDARD
            .into_iter()
            .find(|code| code.as_str() == text)
            .unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Severity of one error: `Error` ends the message, `Warning` is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Recorded; the conversation goes on.
    Warning,
    /// Unrecoverable for this message.
    Error,
}

impl Severity {
    /// The text of the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

/// One Error of an ErrorList.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EbxmlError {
    /// errorCode.
    pub code: ErrorCode,
    /// severity.
    pub severity: Severity,
    /// location: an XPath into the envelope, or `cid:…` for a payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Description, in English.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl EbxmlError {
    /// An error of severity `Error`.
    #[must_use]
    pub fn new(code: ErrorCode, location: impl Into<Option<String>>, description: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, location: location.into(), description: description.into() }
    }
}

/// ErrorList: at least one error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorList {
    /// The errors in order.
    pub errors: Vec<EbxmlError>,
}

impl ErrorList {
    /// `Error` if at least one error has it.
    #[must_use]
    pub fn highest_severity(&self) -> Severity {
        self.errors.iter().map(|error| error.severity).max().unwrap_or(Severity::Warning)
    }
}

/// One fault of a document, told so that its author can find and mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Line in the document, from 1.
    pub line: u32,
    /// Path of the element, such as `/Declaration/GovernmentAgencyGoodsItem[2]/Commodity`.
    pub path: String,
    /// Stable id of the rule that it breaks: `xsd:<code>`, `code-list:<list>`,
    /// `structure:<what>`, `check:<what>`.
    pub rule: String,
    /// A plain sentence.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {} [{}]", self.line, self.path, self.message, self.rule)
    }
}
