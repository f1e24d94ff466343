//! The documents that partners write, with the codec's own writers.

use std::time::Duration;

use bytes::Bytes;
use gwanmun::codec::catalogue::Catalogue;
use gwanmun::codec::document::{
    Signatory, read_document, write_application, write_change, write_customs_notice, write_declaration,
    write_fee_notice, write_notice, write_payment_order, write_result,
};
use gwanmun::model::{
    ApplicationDocument, ApplicationItem, BankAccount, ContentId, CustomsNotice, Declaration,
    DeclarationChange, DeclarationLine, Digest, Document, DocumentCode, FeeNotice, Money, NoticeDocument,
    NoticeKind, Outcome, Payload, PaymentOrder, ResultDocument, Timestamp, role_of_document_code,
};

/// A document code.
pub(crate) fn code(text: &str) -> DocumentCode {
    DocumentCode::new(text).expect("a document code")
}

/// A document as a payload.
pub(crate) fn document(code_of: &str, id: &str, text: String) -> Payload {
    let body = Bytes::from(text);
    Payload {
        content_id: ContentId::new(format!("{id}@documents.example")).expect("a Content-ID"),
        media_type: "application/xml".into(),
        role: Some(role_of_document_code(&code(code_of)).into()),
        digest: Digest::of(&body),
        body: body.into(),
    }
}

/// A payload that is no document, of so many octets at least.
pub(crate) fn attachment(id: &str, bytes_min: usize) -> Payload {
    let mut body = format!("%PDF-1.7 {id}\r\n--not a boundary\r\n");
    body.extend(std::iter::repeat_n('%', bytes_min.saturating_sub(body.len())));
    let body = Bytes::from(body);
    Payload {
        content_id: ContentId::new(format!("{id}@documents.example")).expect("a Content-ID"),
        media_type: "application/pdf".into(),
        role: None,
        digest: Digest::of(&body),
        body: body.into(),
    }
}

/// The same document with other octets.
pub(crate) fn altered(payload: &Payload) -> Payload {
    let body = Bytes::from([&payload.body.held()[..], b"<!-- altered -->"].concat());
    Payload { digest: Digest::of(&body), body: body.into(), ..payload.clone() }
}

/// A declaration; with a bill when one has been found since.
pub(crate) fn declaration(
    number: &str,
    function: &str,
    (hs, origin): (&str, &str),
    bill: Option<&str>,
    now: Timestamp,
) -> Payload {
    let line = DeclarationLine {
        count: None,
        sequence: 1,
        hs: hs.parse().expect("an HS code"),
        origin: origin.parse().ok(),
        usage: None,
        value: None,
        weight: None,
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    let declaration = Declaration {
        number: number.into(),
        function: function.into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: bill.map(Into::into).into_iter().collect(),
        lines: vec![line],
        attachments: Vec::new(),
    };
    document("GOVCBR929", &format!("{number}.{function}"), write_declaration(&declaration, now))
}

/// The amendment of a declaration, or, with a reason, its withdrawal.
pub(crate) fn change(declaration: &str, reason: Option<&str>, now: Timestamp) -> Payload {
    let of = if reason.is_some() { "GOVCBR5BF" } else { "GOVCBR5FE" };
    let change = DeclarationChange {
        code: code(of),
        number: format!("V{declaration}").into(),
        issued_at: now,
        declaration: declaration.into(),
        sequence: reason.is_none().then_some(1),
        reason: reason.map(Into::into),
        text: None,
    };
    document(of, &format!("V{declaration}"), write_change(&change))
}

/// An application of a trader, by its business number.
pub(crate) fn application(
    of: &str,
    (number, function): (&str, &str),
    hs: &str,
    applicant: &str,
    now: Timestamp,
) -> Payload {
    let item = ApplicationItem { sequence: 1, hs: hs.parse().expect("an HS code") };
    let application = ApplicationDocument {
        code: code(of),
        number: number.into(),
        function: function.into(),
        reason: None,
        items: vec![item],
        attachments: Vec::new(),
    };
    document(of, &format!("{number}.{function}"), write_application(&application, applicant, now))
}

/// A result about an application of a trader.
pub(crate) fn result(
    of: &str,
    number: &str,
    (application, applicant): (&str, &str),
    outcome: Outcome,
    now: Timestamp,
) -> Payload {
    let result = ResultDocument {
        code: code(of),
        number: number.into(),
        issued_at: now,
        application: Some(application.into()),
        applicant: Some(applicant.into()),
        outcome,
        valid_until: None,
        remarks: None,
        items: Vec::new(),
    };
    document(of, number, write_result(Catalogue::built_in(), &result))
}

pub(crate) fn notice(number: &str, application: &str, kind: NoticeKind, now: Timestamp) -> Payload {
    let notice = NoticeDocument {
        code: code("GOVCBRRBH"),
        number: number.into(),
        issued_at: now,
        application: Some(application.into()),
        notice: kind,
        acceptance_number: None,
        deadline: None,
        remarks: None,
    };
    document("GOVCBRRBH", number, write_notice(&notice))
}

/// The one price of everything.
fn price() -> Money {
    Money { amount: "30000".parse().expect("a number"), currency: "KRW".parse().expect("a currency") }
}

fn account(number: &str) -> BankAccount {
    BankAccount { name: "somebody".into(), account: number.into() }
}

pub(crate) fn fee_notice(number: &str, application: &str, now: Timestamp) -> Payload {
    let notice = FeeNotice {
        number: number.into(),
        issued_at: now,
        application: application.into(),
        price: price(),
        payee: account("011-17"),
        due_by: now.plus(Duration::from_secs(7 * 86_400)),
        reason: "Laboratory test".into(),
    };
    document("GOVCBRXF1", number, write_fee_notice(&notice, Signatory { agency: "Agency", officer: None }))
}

pub(crate) fn payment_order(number: &str, application: &str, fee: &str, now: Timestamp) -> Payload {
    let order = PaymentOrder {
        number: number.into(),
        issued_at: now,
        application: application.into(),
        fee: fee.into(),
        price: price(),
        payer: account("088-22"),
    };
    document("GOVCBRXF2", number, write_payment_order(&order))
}

pub(crate) fn customs_notice(
    of: &str,
    number: &str,
    declaration: &str,
    status: Option<&str>,
    now: Timestamp,
) -> Payload {
    let notice = CustomsNotice {
        code: code(of),
        number: number.into(),
        issued_at: now,
        declaration: declaration.into(),
        status: status.map(Into::into),
        remarks: None,
    };
    document(of, number, write_customs_notice(&notice))
}

/// What a handed-on message is about.
pub(crate) fn read(action: &str, payload: &Payload) -> Result<Document, String> {
    let at = "2009-12-01T10:00:00+09:00".parse().expect("an instant");
    read_document(Catalogue::built_in(), &code(action), payload.body.held(), at)
        .map_err(|findings| format!("{findings:?}"))
}
