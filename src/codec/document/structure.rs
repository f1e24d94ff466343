//! What a document owes beyond the form of its values and the codes in them: numbers that count, numbers that
//! occur once, reasons that must be given. The schemas say each of these rules in words (`schemas/*.xsd`).
//!
//! Promises: also looks at a document that breaks its schema, so that all findings come at once, and is silent
//! where the schema has spoken; does no more work for a hostile document than for its first 100 findings.

use std::collections::BTreeMap;

use super::read::{children, text_at, token};
use crate::codec::schema::DocumentFamily;
use crate::codec::xml::Element;
use crate::ffi::FINDINGS_MAX;
use crate::model::Finding;

/// Adds to the findings of the schema those about structure.
pub(super) fn check(family: DocumentFamily, root: Element<'_>, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    match family {
        DocumentFamily::Declaration => {
            counts(root, "GoodsItemQuantity", LINE, &mut found);
            numbers_occur_once(root, LINE, &mut found);
            for line in children(root, LINE) {
                other_reasons_are_told(line, &mut found);
            }
        }
        DocumentFamily::Application => {
            cancellations_have_a_reason(root, &mut found);
            counts(root, "LoadingListQuantity", ITEM, &mut found);
            numbers_occur_once(root, ITEM, &mut found);
        }
        DocumentFamily::Result => {
            for application in children(root, "Declaration") {
                numbers_occur_once(application, ITEM, &mut found);
            }
        }
        DocumentFamily::Notice
        | DocumentFamily::Change
        | DocumentFamily::Customs
        | DocumentFamily::StatusReport
        | DocumentFamily::SystemNotice
        | DocumentFamily::Query
        | DocumentFamily::QueryAnswer
        | DocumentFamily::ValidationReport => {}
    }
    found.retain(|one| findings.iter().all(|finding| finding.path != one.path));
    findings.extend(found);
}

/// A number that says how many elements follow says how many there are.
fn counts(parent: Element<'_>, number: &str, counted: &str, found: &mut Vec<Finding>) {
    let there = children(parent, counted).count();
    let wrong = children(parent, number).find(|said| token(*said).parse() != Ok(there));
    if let Some(said) = wrong {
        let message = format!("says {:?}, but the number of {counted} is {there}", token(said));
        found.push(finding(said, "count", message));
    }
}

/// A SequenceNumeric names one element among its kind.
fn numbers_occur_once(parent: Element<'_>, numbered: &str, found: &mut Vec<Finding>) {
    let mut first = BTreeMap::new();
    for element in children(parent, numbered) {
        let Some(number) = children(element, "SequenceNumeric").next() else { continue };
        let earlier = *first.entry(token(number)).or_insert(number);
        if found.len() >= FINDINGS_MAX {
            return;
        }
        if earlier.id() != number.id() {
            let (text, line) = (token(number), earlier.line());
            let message = format!("{text:?} is the number of another {numbered}, on line {line}, already");
            found.push(finding(number, "number-twice", message));
        }
    }
}

/// Reason Z of a not-applicable row is told in words.
fn other_reasons_are_told(line: Element<'_>, found: &mut Vec<Finding>) {
    let untold = children(line, "NotApplicableRequirement").filter(|row| {
        text_at(*row, "ReasonCode").as_deref() == Some("Z") && text_at(*row, "ReasonText").is_none()
    });
    let room = FINDINGS_MAX.saturating_sub(found.len());
    found.extend(untold.take(room).map(|row| {
        finding(row, "reason-text", "reason Z, another reason, is told in ReasonText".to_owned())
    }));
}

fn cancellations_have_a_reason(root: Element<'_>, found: &mut Vec<Finding>) {
    let function = children(root, "FunctionCode").next();
    if let Some(function) = function.filter(|f| token(*f) == "1" && children(root, "Reason").next().is_none())
    {
        found.push(finding(function, "reason", "a cancellation (1) gives its Reason".to_owned()));
    }
}

fn finding(element: Element<'_>, rule: &str, message: String) -> Finding {
    Finding { line: element.line(), path: element.path(), rule: format!("structure:{rule}"), message }
}

const LINE: &str = "GovernmentAgencyGoodsItem";
const ITEM: &str = "LPCO";
