//! A document that its schema has vouched for, read into a value.
//!
//! Promises: names are bound by the document's own namespace, texts are read as `xs:token`, and what a schema lets
//! through that is no value here is a finding, never a panic.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use super::{fee, query};
use crate::codec::schema::{DocumentFamily, DocumentType};
use crate::codec::xml::Element;
use crate::model::{
    ApplicationDocument, ApplicationItem, ContentId, CustomsNotice, Declaration, DeclarationChange,
    DeclarationLine, Document, DocumentCode, Finding, NotApplicable, NoticeDocument, NoticeKind, Outcome,
    Quantity, Realm, ReportedClaim, ReportedDeadline, ReportedEvent, RequirementRow, ResultDocument,
    ResultItem, StatusReport, StatusReportRow, SystemNotice,
};

pub(super) type Read<T> = Result<T, Finding>;

/// The value of a document without findings.
pub(super) fn document(document_type: &DocumentType, root: Element<'_>) -> Read<Document> {
    let code = document_type.code.clone();
    match document_type.family {
        DocumentFamily::Declaration => declaration(root).map(Document::Declaration),
        DocumentFamily::Application => application(code, root).map(Document::Application),
        DocumentFamily::Result => result(code, root).map(Document::Result),
        DocumentFamily::Notice => notice(code, root).map(Document::Notice),
        DocumentFamily::Change => change(code, root).map(Document::Change),
        DocumentFamily::Customs => customs(code, root).map(Document::Customs),
        DocumentFamily::StatusReport => status_report(root).map(Document::StatusReport),
        DocumentFamily::SystemNotice => system_notice(root).map(Document::SystemNotice),
        DocumentFamily::Query => query::query(root).map(Document::Query),
        DocumentFamily::QueryAnswer => query::query_answer(root).map(Document::QueryAnswer),
        DocumentFamily::FeeNotice => fee::notice(root).map(Document::FeeNotice),
        DocumentFamily::PaymentOrder => fee::order(root).map(Document::PaymentOrder),
        DocumentFamily::PaymentConfirmation => fee::confirmation(root).map(Document::PaymentConfirmation),
        DocumentFamily::ValidationReport => Err(fault(root, "it is written here and read by nobody")),
    }
}

fn declaration(root: Element<'_>) -> Read<Declaration> {
    Ok(Declaration {
        number: text(root, "ID")?,
        function: text(root, "FunctionCode")?,
        importer: text_at(root, "Importer/ID"),
        export_from: optional(root, "ExportationCountryCode")?,
        cargo: text_at(root, "Consignment/UCR/ID"),
        bills: children(root, "TransportContractDocument").filter_map(|bill| text_at(bill, "ID")).collect(),
        lines: children(root, "GovernmentAgencyGoodsItem").map(line).collect::<Read<_>>()?,
        attachments: attachments(root)?,
    })
}

fn line(line: Element<'_>) -> Read<DeclarationLine> {
    Ok(DeclarationLine {
        sequence: needed(line, "SequenceNumeric")?,
        hs: needed(line, "Commodity/Classification/ID")?,
        origin: optional(line, "Origin/CountryCode")?,
        usage: optional(line, "UsageCode")?,
        value: optional(line, "CustomsValueAmount")?,
        weight: optional(line, "GoodsMeasure/NetNetWeightMeasure")?,
        count: counted(line)?,
        requirements: children(line, "AdditionalDocument").map(requirement).collect::<Read<_>>()?,
        not_applicable: children(line, "NotApplicableRequirement")
            .map(not_applicable)
            .collect::<Read<_>>()?,
    })
}

fn counted(line: Element<'_>) -> Read<Option<Quantity>> {
    let value = optional(line, "GoodsMeasure/CountQuantity")?;
    Ok(value.zip(unit_of(line, "GoodsMeasure/CountQuantity")).map(|(value, unit)| Quantity { value, unit }))
}

fn requirement(row: Element<'_>) -> Read<RequirementRow> {
    Ok(RequirementRow {
        law: needed(row, "LawCode")?,
        number: text(row, "ID")?,
        quantity: optional(row, "UsedQuantity")?,
        unit: unit_of(row, "UsedQuantity"),
    })
}

fn not_applicable(row: Element<'_>) -> Read<NotApplicable> {
    Ok(NotApplicable {
        law: needed(row, "LawCode")?,
        reason: text(row, "ReasonCode")?,
        text: text_at(row, "ReasonText"),
    })
}

fn application(code: DocumentCode, root: Element<'_>) -> Read<ApplicationDocument> {
    let item = |item| -> Read<ApplicationItem> {
        Ok(ApplicationItem {
            sequence: needed(item, "SequenceNumeric")?,
            hs: needed(item, "Commodity/Classification/ID")?,
        })
    };
    Ok(ApplicationDocument {
        code,
        number: text(root, "ID")?,
        function: text(root, "FunctionCode")?,
        reason: text_at(root, "Reason"),
        items: children(root, "LPCO").map(item).collect::<Read<_>>()?,
        attachments: attachments(root)?,
    })
}

fn result(code: DocumentCode, root: Element<'_>) -> Read<ResultDocument> {
    let item = |item| -> Read<ResultItem> {
        Ok(ResultItem {
            sequence: needed(item, "SequenceNumeric")?,
            outcome: outcome(item, "Outcome")?,
            approval: text_at(item, "ID"),
            laws: children(item, "LawCode").map(value).collect::<Read<_>>()?,
            quantity: optional(item, "ApprovedQuantity")?,
            unit: unit_of(item, "ApprovedQuantity"),
            reason: text_at(item, "Reason"),
        })
    };
    let application = child(root, "Declaration")?;
    Ok(ResultDocument {
        code,
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        application: text_at(application, "ID"),
        applicant: text_at(application, "Agent/ID"),
        outcome: outcome(root, "Status/NameCode")?,
        valid_until: optional(application, "EffectiveDateTime")?,
        remarks: joined(additional_information(root)),
        items: children(application, "LPCO").map(item).collect::<Read<_>>()?,
    })
}

fn notice(code: DocumentCode, root: Element<'_>) -> Read<NoticeDocument> {
    let errors = children(root, "Error").map(|error| {
        let of_field = ["SectionName", "TagName"].iter().filter_map(|name| text_at(error, name));
        let field = of_field.collect::<Vec<_>>().join(" ");
        let description = text_at(error, "Description").unwrap_or_default();
        if field.is_empty() { description.to_string() } else { format!("{field}: {description}") }
    });
    Ok(NoticeDocument {
        code,
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        application: text_at(root, "Declaration/ID"),
        notice: notice_kind(root),
        acceptance_number: text_at(root, "Declaration/FunctionalReferenceID"),
        deadline: optional(root, "ExpirationDateTime")?,
        remarks: joined(errors.chain(additional_information(root))),
    })
}

/// What a notice says; a status that is not known counts as accepted (domain brief, 5.2).
fn notice_kind(root: Element<'_>) -> NoticeKind {
    let Some(status) = text_at(root, "Status/NameCode") else { return NoticeKind::Error };
    if at(root, "Inspection").is_some() {
        return NoticeKind::InspectionOrdered;
    }
    NOTICE_STATUSES
        .iter()
        .find(|(code, _)| *code == &*status)
        .map_or(NoticeKind::Accepted, |(_, notice)| *notice)
}

/// Statuses of a notice (RBH), the codes of `schemas/code-lists/notice-status.csv`.
pub(super) const NOTICE_STATUSES: [(&str, NoticeKind); 7] = [
    ("A01", NoticeKind::Accepted),
    ("A02", NoticeKind::UnderReview),
    ("D01", NoticeKind::SupplementRequested),
    ("F01", NoticeKind::FeeRequested),
    ("I01", NoticeKind::InspectionOrdered),
    ("Z01", NoticeKind::DocumentsRequested),
    ("Z05", NoticeKind::CustomsDone),
];

fn change(code: DocumentCode, root: Element<'_>) -> Read<DeclarationChange> {
    Ok(DeclarationChange {
        code,
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        declaration: text(root, "Declaration/ID")?,
        sequence: optional(root, "SequenceNumeric")?,
        reason: text_at(root, "Reason/Code"),
        text: text_at(root, "Reason/Text"),
    })
}

/// Every notice of customs has its status or reason code in one of three places, if any, and a reason in words
/// where it has no code.
fn customs(code: DocumentCode, root: Element<'_>) -> Read<CustomsNotice> {
    let status = ["Status/NameCode", "Reason/Code", "SupplementKindCode"];
    let reason = at(root, "Reason").filter(|reason| reason.children().next().is_none());
    Ok(CustomsNotice {
        code,
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        declaration: text(root, "Declaration/ID")?,
        status: status.iter().find_map(|path| text_at(root, path)),
        remarks: joined(reason.map(token).into_iter().chain(additional_information(root))),
    })
}

fn status_report(root: Element<'_>) -> Read<StatusReport> {
    let row = |row| -> Read<StatusReportRow> {
        Ok(StatusReportRow {
            agency: text(row, "AgencyCode")?,
            document: needed(row, "TypeCode")?,
            number: text_at(row, "ID"),
            state: text(row, "StateCode")?,
            decide_by: optional(row, "DecideByDateTime")?,
            overdue_since: optional(row, "OverdueSinceDateTime")?,
            remarks: text_at(row, "Remarks"),
        })
    };
    let claim = |claim| -> Read<ReportedClaim> {
        Ok(ReportedClaim {
            line: needed(claim, "SequenceNumeric")?,
            law: needed(claim, "LawCode")?,
            number: text(claim, "ID")?,
            verified: text(claim, "StateCode")?.as_ref() == VERIFIED,
            remarks: text(claim, "Remarks")?,
        })
    };
    let deadline = |deadline| -> Read<ReportedDeadline> {
        Ok(ReportedDeadline {
            agency: text(deadline, "AgencyCode")?,
            document: needed(deadline, "TypeCode")?,
            number: text_at(deadline, "ID"),
            term: text(deadline, "TermCode")?,
            at: needed(deadline, "ExpirationDateTime")?,
        })
    };
    let event = |event| -> Read<ReportedEvent> {
        Ok(ReportedEvent {
            at: needed(event, "DateTime")?,
            event: text(event, "EventName")?,
            text: text(event, "Text")?,
        })
    };
    let is_test = text_at(root, "FunctionCode").is_some_and(|function| *function == *Realm::TEST);
    Ok(StatusReport {
        realm: if is_test { Realm::Practice } else { Realm::Production },
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        declaration: text_at(root, "Declaration/ID"),
        case: text(root, "CaseID")?,
        revision: needed(root, "RevisionNumeric")?,
        event: text(root, "EventCode")?,
        outcome: text_at(root, "OutcomeCode"),
        state: text_at(root, "StateCode"),
        customs_status: text_at(root, "CustomsStatusCode"),
        deadline: at(root, "Deadline").map(deadline).transpose()?,
        applications: children(root, "Application").map(row).collect::<Read<_>>()?,
        claims: children(root, "Claim").map(claim).collect::<Read<_>>()?,
        timeline: children(root, "Event").map(event).collect::<Read<_>>()?,
    })
}

/// StateCode of an approval that satisfies the requirement it is cited for, and of one that does not.
pub(super) const VERIFIED: &str = "verified";
pub(super) const UNVERIFIED: &str = "unverified";

fn system_notice(root: Element<'_>) -> Read<SystemNotice> {
    Ok(SystemNotice {
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        text: joined(additional_information(root)).unwrap_or_default(),
    })
}

/// Content-IDs of the attachments that a document names.
fn attachments(root: Element<'_>) -> Read<Vec<ContentId>> {
    children(root, "AttachedDocument").map(|attached| needed(attached, "ContentID")).collect()
}

fn additional_information(root: Element<'_>) -> impl Iterator<Item = String> {
    children(root, "AdditionalInformation").map(token)
}

/// Texts for people as one; none when there are none.
fn joined(texts: impl Iterator<Item = String>) -> Option<Arc<str>> {
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("; ").into())
}

fn outcome(parent: Element<'_>, path: &str) -> Read<Outcome> {
    let element = child(parent, path)?;
    let text = token(element);
    OUTCOMES
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| fault(element, &format!("{text:?} is no outcome")))
}

const OUTCOMES: [Outcome; 7] = [
    Outcome::Rejected,
    Outcome::Revoked,
    Outcome::Lapsed,
    Outcome::Cancelled,
    Outcome::ApprovedConditional,
    Outcome::Approved,
    Outcome::NotApplicable,
];

/// A value that must be there.
pub(super) fn needed<T: FromStr<Err: Display>>(parent: Element<'_>, path: &str) -> Read<T> {
    value(child(parent, path)?)
}

/// A value that may be missing.
pub(super) fn optional<T: FromStr<Err: Display>>(parent: Element<'_>, path: &str) -> Read<Option<T>> {
    at(parent, path).map(value).transpose()
}

fn value<T: FromStr<Err: Display>>(element: Element<'_>) -> Read<T> {
    token(element).parse().map_err(|error: T::Err| fault(element, &error.to_string()))
}

/// The unit of a quantity, when there is one.
fn unit_of(parent: Element<'_>, path: &str) -> Option<Arc<str>> {
    let unit = at(parent, path)?.attribute("", "unitCode")?;
    Some(collapsed(unit).into())
}

/// A text that must be there.
pub(super) fn text(parent: Element<'_>, path: &str) -> Read<Arc<str>> {
    child(parent, path).map(|element| token(element).into())
}

pub(super) fn child<'a>(parent: Element<'a>, path: &str) -> Read<Element<'a>> {
    at(parent, path).ok_or_else(|| fault(parent, &format!("{path} is missing")))
}

pub(super) fn fault(element: Element<'_>, message: &str) -> Finding {
    Finding {
        line: element.line(),
        path: element.path(),
        rule: "structure:value".to_owned(),
        message: message.to_owned(),
    }
}

/// The first element at this path of names, all in the namespace of `parent`.
pub(super) fn at<'a>(parent: Element<'a>, path: &str) -> Option<Element<'a>> {
    path.split('/').try_fold(parent, |element, name| children(element, name).next())
}

/// The text at a path, when there is an element.
pub(super) fn text_at(parent: Element<'_>, path: &str) -> Option<Arc<str>> {
    at(parent, path).map(|element| token(element).into())
}

/// The children with this name in the namespace of `parent`.
pub(super) fn children<'a>(parent: Element<'a>, name: &str) -> impl Iterator<Item = Element<'a>> {
    let namespace = parent.name().0;
    parent.children().filter(move |child| child.is(namespace, name))
}

/// The text of an element as `xs:token` has it.
pub(super) fn token(element: Element<'_>) -> String {
    collapsed(&element.text())
}

/// A text without white space around it and with single blanks in it.
pub(super) fn collapsed(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for word in text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}
