//! The embedded XML Schemas: which document has which code, root and schema, and what an envelope or a
//! document breaks in it.
//!
//! Promises: local compiled schemas only (S5, S9); each compiled once, at its first use or by
//! [`compile_schemas`]; findings carry line, path, a stable rule id and a plain sentence.
//!
//! Does not bound a document: callers have read the octets by `codec::xml` before.
//! A new document type is a schema file and a row of `DOCUMENT_TYPES`.

use std::sync::LazyLock;

use super::shape::Shape;
use super::xml::{USUAL_PREFIXES, XmlTree};
use crate::ffi::{FINDINGS_MAX, Schema, SchemaFiles, SchemaFinding};
use crate::model::{DocumentCode, Finding};

/// An embedded file: path below `schemas/`, octets.
macro_rules! file {
    ($path:literal) => {
        ($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/", $path)))
    };
}

/// A kind of business document: its code, its root element, its schema.
#[derive(Debug)]
pub struct DocumentType {
    /// Document code as in Action and TypeCode, such as `GOVCBR929`.
    pub code: &'static str,
    /// The name in its namespace `urn:swgw:doc:<name>:1` and of its schema file `<name>-1.xsd`.
    pub name: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// Local name of its root element.
    pub root: &'static str,
    /// What it is for.
    pub family: DocumentFamily,
    schema: LazyLock<Schema>,
    shape: LazyLock<Shape>,
}

/// What a document is for: decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Pre-validation errors (R20), made by the gateway.
    ValidationReport,
}

impl DocumentType {
    /// Its code as a value.
    #[must_use]
    pub fn document_code(&self) -> DocumentCode {
        self.code.parse().expect("codes of the table are plain text")
    }

    /// Everything in which a document breaks its schema, and every code that its list does not know, by line.
    /// The tree is that of the same octets.
    #[must_use]
    pub fn findings(&self, octets: &[u8], tree: &XmlTree) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.schema.validate(octets).into_iter().map(finding).collect();
        for finding in findings.iter_mut().filter(|finding| is_of_a_value(&finding.rule)) {
            if let Some(meaning) = self.shape.meaning(&finding.path) {
                finding.message = format!("{}; expected: {meaning}", finding.message);
            }
        }
        let mut codes = Vec::new();
        self.shape.check_codes(tree.root(), &mut codes);
        codes.retain(|code| findings.iter().all(|finding| finding.path != code.path));
        findings.extend(codes);
        findings.sort_by_key(|finding| finding.line);
        findings.truncate(FINDINGS_MAX);
        findings
    }

    #[cfg(test)]
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// Every document type, in order of family and code.
#[must_use]
pub fn document_types() -> &'static [DocumentType] {
    &DOCUMENT_TYPES
}

/// The document type whose root is this element.
#[must_use]
pub fn document_type_of_root(namespace: &str, local: &str) -> Option<&'static DocumentType> {
    DOCUMENT_TYPES.iter().find(|document| document.namespace == namespace && document.root == local)
}

/// The document type with this code.
#[must_use]
pub fn document_type_of_code(code: &str) -> Option<&'static DocumentType> {
    DOCUMENT_TYPES.iter().find(|document| document.code == code)
}

/// Everything in which a SOAP envelope with ebMS 2.0 elements breaks its schema.
#[must_use]
pub fn envelope_findings(octets: &[u8]) -> Vec<Finding> {
    ENVELOPE.validate(octets).into_iter().map(finding).collect()
}

/// Compiles every schema now, so that the first message does not wait for it.
pub fn compile_schemas() {
    LazyLock::force(&ENVELOPE);
    for document in &DOCUMENT_TYPES {
        LazyLock::force(&document.schema);
        LazyLock::force(&document.shape);
    }
}

fn shape(file: &'static [u8]) -> Shape {
    const PARTS: (&str, &[u8]) = file!("parts-1.xsd");
    const COMMON: (&str, &[u8]) = file!("common-1.xsd");
    Shape::read(file, PARTS.1, COMMON.1)
}

fn compile(entry: &str) -> Schema {
    Schema::compile(entry, FILES, &USUAL_PREFIXES)
        .expect("embedded schemas compile; a test compiles each of them")
}

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

static ENVELOPE: LazyLock<Schema> = LazyLock::new(|| compile("ebms/msg-header-2_0.xsd"));

macro_rules! document_types {
    ($($family:ident $code:literal $root:literal $name:literal;)*) => {
        static DOCUMENT_TYPES: [DocumentType; [$($code),*].len()] = [$(DocumentType {
            code: concat!("GOVCBR", $code),
            name: $name,
            namespace: concat!("urn:swgw:doc:", $name, ":1"),
            root: $root,
            family: DocumentFamily::$family,
            schema: LazyLock::new(|| compile(concat!($name, "-1.xsd"))),
            shape: LazyLock::new(|| {
                shape(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/", $name, "-1.xsd")))
            }),
        }),*];

        const FILES: SchemaFiles = &[
            file!("ebms/msg-header-2_0.xsd"),
            file!("ebms/soap-envelope.xsd"),
            file!("ebms/xmldsig-core.xsd"),
            file!("ebms/xlink.xsd"),
            file!("ebms/xml.xsd"),
            file!("common-1.xsd"),
            file!("parts-1.xsd"),
            $((
                concat!($name, "-1.xsd"),
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/", $name, "-1.xsd")),
            )),*
        ];
    };
}

document_types! {
    Declaration      "929" "Declaration" "ImportDeclaration";
    Application      "FR2" "Declaration" "StandardClearanceReport";
    Application      "X01" "Declaration" "FoodImportReport";
    Application      "X02" "Declaration" "PlantQuarantineApplication";
    Application      "X03" "Declaration" "AnimalQuarantineApplication";
    Application      "X04" "Declaration" "FisheryInspectionApplication";
    Application      "X06" "Declaration" "DeviceClearanceReport";
    Application      "X11" "Declaration" "ElectricalSafetyCheck";
    Result           "FS7" "Response"    "StandardClearanceReceipt";
    Result           "X51" "Response"    "FoodImportCertificate";
    Result           "X52" "Response"    "PlantQuarantineCertificate";
    Result           "X53" "Response"    "AnimalQuarantineCertificate";
    Result           "X54" "Response"    "FisheryInspectionCertificate";
    Result           "X56" "Response"    "DeviceClearanceReceipt";
    Result           "X61" "Response"    "ElectricalSafetyConfirmation";
    Notice           "RBG" "Response"    "RequirementErrorNotice";
    Notice           "RBH" "Response"    "ProcessingStatusNotice";
    Change           "5BF" "Declaration" "WithdrawalApplication";
    Change           "5FE" "Declaration" "AmendmentApplication";
    Customs          "023" "Response"    "ProcessingResultNotice";
    Customs          "5BG" "Response"    "WithdrawalResult";
    Customs          "5EM" "Response"    "InspectionOrder";
    Customs          "5EN" "Response"    "InspectionCancellation";
    Customs          "5FK" "Response"    "AmendmentResult";
    Customs          "5GV" "Response"    "SupplementRequest";
    Customs          "5GZ" "Response"    "PendingReasonNotice";
    Customs          "R21" "Response"    "DismissalNotice";
    Customs          "R99" "Response"    "AcceptanceNotice";
    StatusReport     "XS2" "Response"    "StatusReport";
    SystemNotice     "INF" "Response"    "SystemNotice";
    ValidationReport "R20" "Response"    "ValidationReport";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_compiles_and_every_code_and_root_is_one_type_s9() {
        compile_schemas();
        for (at, document) in document_types().iter().enumerate() {
            let same = |found: Option<&DocumentType>| found.map(|d| d.name) == Some(document.name);
            assert!(same(document_type_of_code(document.code)), "{}", document.code);
            assert!(same(document_type_of_root(document.namespace, document.root)), "{}", document.name);
            assert_eq!(document.document_code().as_str(), document.code);
            assert!(document_types().iter().skip(at + 1).all(|other| other.name != document.name));
        }
        assert!(document_type_of_code("GOVCBR999").is_none());
        assert!(document_type_of_root("urn:swgw:doc:ImportDeclaration:1", "Response").is_none());
    }
}
