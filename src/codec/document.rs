//! Business documents, octets to values and back (domain brief, 3, 4 and 5.2).
//!
//! Promises: a document is bounded before it is read and parsed once; it is either a value or all of its
//! findings at once (form, codes, structure), in document order and at most 100; what a schema says is never
//! checked twice by hand. What the writers write is valid against its schema and reads back as the value.
//!
//! Does not judge whether a document fits its message, its sender or its case, and keeps of a document only what
//! steers something: the octets are passed on as received (ruling 2).

mod application;
mod cancellation;
mod fee;
mod query;
mod read;
mod write;
mod writer;

use bytes::Bytes;

use super::catalogue::Catalogue;
use super::checks;
use super::code_lists::day_of;
use super::schema::{DocumentFamily, DocumentType};
use super::xml::{Element, NodeId, XmlError, XmlLimits, XmlTree};
use crate::ffi::FINDINGS_MAX;
use crate::model::{Document, DocumentCode, Finding, Timestamp};

pub use application::write_application;
pub use cancellation::{CancellationTerms, write_cancellation};
pub use fee::{write_fee_notice, write_payment_confirmation, write_payment_order};
pub use query::{write_query, write_query_answer};
pub use write::{
    RefusedDocument, Signatory, write_change, write_customs_notice, write_declaration, write_notice,
    write_notice_by, write_result, write_result_by, write_status_report, write_system_notice,
    write_validation_report,
};

/// Reads a document of the kind that `code` names, which came at this instant: codes are those of its day.
///
/// # Errors
/// Everything that is wrong with it, in document order, at most 100 findings.
pub fn read_document(
    catalogue: &Catalogue,
    code: &DocumentCode,
    octets: &[u8],
    at: Timestamp,
) -> Result<Document, Vec<Finding>> {
    let Some(document_type) = catalogue.of_code(code.as_str()) else {
        return Err(vec![of_whole("structure:unknown-document", format!("no schema here is for {code}"))]);
    };
    if document_type.family == DocumentFamily::ValidationReport {
        let message = format!("{code} is written by the Single Window and taken from nobody");
        return Err(vec![of_whole("structure:own-document", message)]);
    }
    let tree = parse(octets).map_err(|error| vec![finding_of_xml(&error)])?;
    let root = tree.root();
    if !root.is(&document_type.namespace, &document_type.root) {
        return Err(vec![of_root(catalogue, document_type, root)]);
    }
    let mut findings = document_type.findings(octets, &tree, catalogue.code_lists(), day_of(at));
    checks::check(catalogue.checks(), document_type, root, &mut findings);
    if findings.is_empty() {
        return read::document(document_type, root).map_err(|finding| vec![finding]);
    }
    sort_as_in_document(&mut findings, &tree);
    findings.truncate(FINDINGS_MAX);
    Err(findings)
}

/// The code of the document that these octets are by their root element; `None` for anything else.
#[must_use]
pub fn document_code_of_root(catalogue: &Catalogue, octets: &[u8]) -> Option<DocumentCode> {
    let tree = parse(octets).ok()?;
    let (namespace, local) = tree.root().name();
    catalogue.of_root(namespace, local).map(|document_type| document_type.code.clone())
}

/// The number that a document calls itself by, as far as it can be read and reported.
#[must_use]
pub fn number_of_root(octets: &[u8]) -> Option<String> {
    let tree = parse(octets).ok()?;
    let number = read::text_at(tree.root(), "ID")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/');
    let shaped = (1..=NUMBER_CHARS_MAX).contains(&number.len())
        && number.starts_with(|first: char| first.is_ascii_alphanumeric())
        && number.bytes().all(plain);
    shaped.then(|| number.to_string())
}

/// Characters of the number of a document (`DocumentNumberType` of `common-1.xsd`).
const NUMBER_CHARS_MAX: usize = 64;

/// Everything in which a document that came at this instant breaks its schema, and every code that it may not use; for
/// documents that are written here and read by nobody.
///
/// # Errors
/// Why it is no XML document.
pub fn schema_findings(
    catalogue: &Catalogue,
    document_type: &DocumentType,
    octets: &[u8],
    at: Timestamp,
) -> Result<Vec<Finding>, XmlError> {
    let tree = parse(octets)?;
    Ok(document_type.findings(octets, &tree, catalogue.code_lists(), day_of(at)))
}

fn parse(octets: &[u8]) -> Result<XmlTree, XmlError> {
    XmlTree::parse(Bytes::copy_from_slice(octets), &XmlLimits::DOCUMENT)
}

/// A finding about a document as a whole.
fn of_whole(rule: &str, message: String) -> Finding {
    Finding { line: 1, path: "/".to_owned(), rule: rule.to_owned(), message }
}

fn finding_of_xml(error: &XmlError) -> Finding {
    let (line, rule, message) = match error {
        XmlError::TooMuch { line, what, limit } => (*line, "limit", format!("more than {limit} {what}")),
        XmlError::Encoding { .. } => (1, "encoding", error.to_string()),
        XmlError::Doctype { line } => (*line, "doctype", "a DOCTYPE is not allowed".to_owned()),
        XmlError::ProcessingInstruction { line } => {
            (*line, "processing-instruction", "a processing instruction is not allowed".to_owned())
        }
        XmlError::NotWellFormed { line, fault } => (*line, "well-formed", fault.clone()),
        XmlError::Namespace { line, fault } => (*line, "namespace", fault.clone()),
    };
    Finding { line: line.max(1), ..of_whole(&format!("structure:{rule}"), message) }
}

/// The finding about a root element that belongs to another document, or to none.
fn of_root(catalogue: &Catalogue, expected: &DocumentType, root: Element<'_>) -> Finding {
    let (namespace, local) = root.name();
    let found = match catalogue.of_root(namespace, local) {
        Some(other) => format!("that of {}", other.code),
        None => format!("{local:?} in {namespace:?}"),
    };
    let DocumentType { code, namespace, root: local, .. } = expected;
    let message = format!("the root of {code} is {local:?} in {namespace:?}, and this is {found}");
    Finding { line: root.line(), path: root.path(), ..of_whole("structure:root", message) }
}

/// By line, and on one line by the element that they are about.
fn sort_as_in_document(findings: &mut [Finding], tree: &XmlTree) {
    findings.sort_by_cached_key(|finding| (finding.line, place(tree, &finding.path)));
}

/// The element that a path names, or whose attribute it names.
fn place(tree: &XmlTree, path: &str) -> Option<NodeId> {
    let steps = path.split('/').skip(2).take_while(|step| !step.starts_with('@'));
    let element = steps.into_iter().try_fold(tree.root(), |element, step| {
        let (name, position) = step.trim_end_matches(']').split_once('[').unwrap_or((step, "1"));
        let before = position.parse::<usize>().ok()?.checked_sub(1)?;
        element.children().filter(|child| child.name().1 == name).nth(before)
    })?;
    Some(element.id())
}

#[cfg(test)]
mod tests;
