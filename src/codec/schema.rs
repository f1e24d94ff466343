//! Compiled schemas: what an envelope or a document breaks in its own.
//!
//! Promises: local compiled schemas only (S5, S9); each compiled once, at its first use or when its catalogue is made
//! ready; findings carry line, path, a stable rule id and a plain sentence.
//!
//! Does not bound a document: callers have read the octets by `codec::xml` before. Which documents there are is the
//! [catalogue's](super::catalogue) matter.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use jiff::civil::Date;

use super::code_lists::CodeLists;
use super::shape::Shape;
use super::xml::{USUAL_PREFIXES, XmlTree};
use crate::ffi::{FINDINGS_MAX, Schema, SchemaError, SchemaFiles, SchemaFinding};
use crate::model::{DocumentCode, Finding};

/// A kind of business document: its code, its root element, its schema.
#[derive(Debug)]
pub struct DocumentType {
    /// Document code as in Action and TypeCode, such as `GOVCBR929`.
    pub code: DocumentCode,
    /// What it is for.
    pub family: DocumentFamily,
    /// Local name of its root element.
    pub root: String,
    /// The name in its namespace `urn:swgw:doc:<name>:1` and of its schema file `<name>-1.xsd`.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The results that answer it, when it is an application.
    pub answers: Vec<DocumentCode>,
    /// Its name code of UN/EDIFACT 1001, where there is one.
    pub standard: Option<String>,
    /// Where it comes from.
    pub basis: Basis,
    /// What people call it.
    pub title: String,
    pub(super) compiled: Compiled,
}

/// What a document is for: decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentFamily {
    /// Import declaration (929).
    Declaration,
    /// Requirement application (FR2, X01 to X17).
    Application,
    /// Requirement result (FS7, X51 to X67).
    Result,
    /// Notice of an agency (RBH, RBG).
    Notice,
    /// Amendment or withdrawal of a declaration (5FE, 5BF).
    Change,
    /// Notice of customs (R99, R21, 023, 5GZ, 5GV, 5EM, 5EN, 5FK, 5BG).
    Customs,
    /// Status report of the gateway (XS2).
    StatusReport,
    /// Service notice of the gateway's operator (INF).
    SystemNotice,
    /// Query of a partner (XS1).
    Query,
    /// Answer of the gateway to a query that is about no case (XS3).
    QueryAnswer,
    /// Fee notice of an agency (XF1).
    FeeNotice,
    /// Payment order of whoever lodged (XF2).
    PaymentOrder,
    /// Payment confirmation of the gateway (XF3).
    PaymentConfirmation,
    /// Pre-validation errors (R20), made by the gateway.
    ValidationReport,
}

impl DocumentFamily {
    /// Each family and its word in the catalogue.
    pub(super) const WORDS: [(&str, Self); 14] = [
        ("declaration", Self::Declaration),
        ("application", Self::Application),
        ("result", Self::Result),
        ("notice", Self::Notice),
        ("change", Self::Change),
        ("customs", Self::Customs),
        ("status-report", Self::StatusReport),
        ("system-notice", Self::SystemNotice),
        ("query", Self::Query),
        ("query-answer", Self::QueryAnswer),
        ("fee-notice", Self::FeeNotice),
        ("payment-order", Self::PaymentOrder),
        ("payment-confirmation", Self::PaymentConfirmation),
        ("validation-report", Self::ValidationReport),
    ];

    /// Its word in the catalogue.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, family)| *family == self).expect("every family has a word").0
    }
}

/// Where a kind of document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Described in public documents of the real system.
    Published,
    /// Plausible and consistent with those, not documented.
    Reconstructed,
    /// A decision of this project.
    Ours,
}

impl Basis {
    /// Each basis and its word in the catalogue.
    pub(super) const WORDS: [(&str, Self); 3] =
        [("published", Self::Published), ("reconstructed", Self::Reconstructed), ("ours", Self::Ours)];

    /// Its word in the catalogue.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, basis)| *basis == self).expect("every basis has a word").0
    }
}

/// A schema file and what is made of it once.
#[derive(Debug)]
pub(super) struct Compiled {
    entry: String,
    files: SchemaFiles,
    schema: OnceLock<Schema>,
    shape: OnceLock<Shape>,
}

impl Compiled {
    pub(super) fn of(entry: String, files: &SchemaFiles) -> Self {
        let files = Arc::clone(files);
        Self { entry, files, schema: OnceLock::new(), shape: OnceLock::new() }
    }

    /// The entry file.
    pub(super) fn entry(&self) -> &str {
        &self.entry
    }

    /// Whether a schema may be made of this file.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Compiles what is not yet.
    ///
    /// # Errors
    /// What is wrong with the schema.
    pub(super) fn compile(&self) -> Result<&Schema, SchemaError> {
        if let Some(schema) = self.schema.get() {
            return Ok(schema);
        }
        let schema = Schema::compile(&self.entry, &self.files, &USUAL_PREFIXES)?;
        Ok(self.schema.get_or_init(|| schema))
    }

    /// Reads what is not yet of what the schema says beyond the form of a value.
    ///
    /// # Errors
    /// What is wrong with the schema, in words.
    pub(super) fn shape(&self, lists: &CodeLists) -> Result<&Shape, String> {
        if let Some(shape) = self.shape.get() {
            return Ok(shape);
        }
        let shape = Shape::read(&self.entry, &self.files, lists)?;
        Ok(self.shape.get_or_init(|| shape))
    }
}

impl DocumentType {
    /// Everything in which a document of that day breaks its schema, and every code that it may not use, by line. The
    /// tree is that of the same octets.
    pub(super) fn findings(
        &self,
        octets: &[u8],
        tree: &XmlTree,
        lists: &CodeLists,
        day: Date,
    ) -> Vec<Finding> {
        let schema = self.compiled.compile().expect(CHECKED);
        let shape = self.compiled.shape(lists).expect(CHECKED);
        let mut findings: Vec<Finding> = schema.validate(octets).into_iter().map(finding).collect();
        for finding in findings.iter_mut().filter(|finding| is_of_a_value(&finding.rule)) {
            if let Some(meaning) = shape.meaning(&finding.path) {
                finding.message = format!("{}; expected: {meaning}", finding.message);
            }
        }
        let mut codes = Vec::new();
        shape.check_codes(tree.root(), lists, day, &mut codes);
        codes.retain(|code| findings.iter().all(|finding| finding.path != code.path));
        findings.extend(codes);
        findings.sort_by_key(|finding| finding.line);
        findings.truncate(FINDINGS_MAX);
        findings
    }
}

const CHECKED: &str = "embedded schemas compile, and others are compiled before their catalogue is one";

/// Everything in which a SOAP envelope with ebMS 2.0 elements breaks its schema.
#[must_use]
pub fn envelope_findings(octets: &[u8]) -> Vec<Finding> {
    envelope_schema().validate(octets).into_iter().map(finding).collect()
}

/// Everything in which a CPA document breaks its schema.
pub(super) fn cpa_findings(octets: &[u8]) -> Vec<Finding> {
    CPA.compile().expect(CHECKED).validate(octets).into_iter().map(finding).collect()
}

/// The schema of envelopes, compiled at its first use.
pub(super) fn envelope_schema() -> &'static Schema {
    ENVELOPE.compile().expect(CHECKED)
}

static ENVELOPE: LazyLock<Compiled> =
    LazyLock::new(|| Compiled::of("ebms/msg-header-2_0.xsd".to_owned(), &EMBEDDED));

static CPA: LazyLock<Compiled> = LazyLock::new(|| Compiled::of("ebms/cpp-cpa-2_0.xsd".to_owned(), &EMBEDDED));

/// The files of `schemas/`: path below it, octets.
pub(super) static EMBEDDED: LazyLock<SchemaFiles> = LazyLock::new(|| {
    const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/schemas.rs"));
    let files = FILES.iter().map(|(name, octets)| ((*name).to_owned(), Bytes::from_static(octets)));
    Arc::new(files.collect::<BTreeMap<_, _>>())
});

fn finding(found: SchemaFinding) -> Finding {
    Finding {
        line: found.line.max(1),
        path: found.path,
        rule: format!("xsd:{}", rule_name(found.code)),
        message: found.message,
    }
}

/// Whether a schema finding is about the form of a value, so that its meaning helps.
fn is_of_a_value(rule: &str) -> bool {
    ["pattern", "enumeration", "value", "length", "min-length", "max-length"]
        .iter()
        .any(|name| rule.strip_prefix("xsd:") == Some(name))
}

/// The name of libxml2's rule; its number where it has none here.
fn rule_name(code: i32) -> String {
    let name = match code {
        0 => "limit",
        1..=999 => "well-formed",
        1824..=1826 => "value",
        1830 => "length",
        1831 => "min-length",
        1832 => "max-length",
        1833 | 1835 => "minimum",
        1834 | 1836 => "maximum",
        1837 => "total-digits",
        1838 => "fraction-digits",
        1839 => "pattern",
        1840 => "enumeration",
        1841..=1843 => "content",
        1845 => "root",
        1854..=1858 | 1861 | 1864 | 1874 => "fixed",
        1866 | 1867 => "attribute",
        1868 => "missing-attribute",
        1871 => "element",
        1877 => "unique",
        _ => return code.to_string(),
    };
    name.to_owned()
}
