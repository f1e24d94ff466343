//! What people call a document: what it says in a word or two, its number, what it is about, its code.

use std::sync::Arc;

use crate::model::{Document, DocumentCode, PaymentOutcome};

/// What a document says, in a word or two.
#[must_use]
pub fn gist(document: &Document) -> String {
    match document {
        Document::Declaration(declaration) => format!("{} line(s)", declaration.lines.len()),
        Document::Application(application) => format!("{} item(s)", application.items.len()),
        Document::Result(result) => result.outcome.as_str().to_owned(),
        Document::Notice(notice) => serde_json::to_value(notice.notice)
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned))
            .unwrap_or_default(),
        Document::Change(change) => change.reason.as_deref().unwrap_or("amendment").to_owned(),
        Document::Customs(notice) => match &notice.status {
            Some(status) => format!("status {status}"),
            None => "accepted".to_owned(),
        },
        Document::StatusReport(report) => match &report.outcome {
            Some(outcome) => format!("{} {outcome}", report.event),
            None => report.event.to_string(),
        },
        Document::SystemNotice(notice) => notice.text.to_string(),
        Document::Query(query) => format!("query {}", query.number),
        Document::QueryAnswer(answer) => format!("answer to {}", answer.query),
        Document::FeeNotice(notice) => format!("fee {} of {}", notice.number, notice.price),
        Document::PaymentOrder(order) => format!("pays {} for fee {}", order.price, order.fee),
        Document::PaymentConfirmation(confirmation) => match confirmation.outcome {
            PaymentOutcome::Paid { .. } => format!("fee {} paid", confirmation.fee),
            PaymentOutcome::Refused { .. } => format!("fee {} refused", confirmation.fee),
        },
    }
}

/// The number of the application or declaration that a document is about.
#[must_use]
pub fn about(document: &Document) -> Option<Arc<str>> {
    match document {
        Document::Declaration(_)
        | Document::Application(_)
        | Document::SystemNotice(_)
        | Document::Query(_) => None,
        Document::Result(result) => result.application.clone(),
        Document::Notice(notice) => notice.application.clone(),
        Document::Change(change) => Some(change.declaration.clone()),
        Document::Customs(notice) => Some(notice.declaration.clone()),
        Document::StatusReport(report) => report.declaration.clone(),
        Document::QueryAnswer(answer) => Some(answer.query.clone()),
        Document::FeeNotice(notice) => Some(notice.application.clone()),
        Document::PaymentOrder(order) => Some(order.application.clone()),
        Document::PaymentConfirmation(confirmation) => Some(confirmation.application.clone()),
    }
}

/// The number that a document is known by.
#[must_use]
pub fn number_of(document: &Document) -> Arc<str> {
    match document {
        Document::Declaration(declaration) => &declaration.number,
        Document::Application(application) => &application.number,
        Document::Result(result) => &result.number,
        Document::Notice(notice) => &notice.number,
        Document::Change(change) => &change.number,
        Document::Customs(notice) => &notice.number,
        Document::StatusReport(report) => &report.number,
        Document::SystemNotice(notice) => &notice.number,
        Document::Query(query) => &query.number,
        Document::QueryAnswer(answer) => &answer.number,
        Document::FeeNotice(notice) => &notice.number,
        Document::PaymentOrder(order) => &order.number,
        Document::PaymentConfirmation(confirmation) => &confirmation.number,
    }
    .clone()
}

pub(super) fn code(text: &str) -> DocumentCode {
    text.parse().expect("document codes of this directory are plain text")
}
