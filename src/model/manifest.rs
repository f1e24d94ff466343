//! Manifest (ebMS 2.0, 3.2) and the roles by which a submission names its documents.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::DocumentCode;

/// Manifest: every payload of the message, in the order the application sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Reference, at least one.
    pub references: Vec<Reference>,
}

/// Reference of a Manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// `xlink:href`: `cid:` and the Content-ID of a part.
    pub href: Arc<str>,
    /// `xlink:role`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
    /// Schema locations; hints that are never fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<Arc<str>>,
    /// Description in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Arc<str>>,
}

const ROLE_PREFIX: &str = "urn:swgw:doc:";

/// The document code that an `xlink:role` of the form `urn:swgw:doc:<code>` names.
#[must_use]
pub fn document_code_of_role(role: &str) -> Option<DocumentCode> {
    role.strip_prefix(ROLE_PREFIX).and_then(|code| code.parse().ok())
}

/// The `xlink:role` that names this document code.
#[must_use]
pub fn role_of_document_code(code: &DocumentCode) -> String {
    format!("{ROLE_PREFIX}{code}")
}
