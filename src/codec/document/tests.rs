//! Writers and readers against each other, and documents that no sample file is made for.

use proptest::prelude::*;

use super::*;
use crate::codec::catalogue::Catalogue;
use crate::model::{
    ApplicationDocument, ApplicationItem, CustomsNotice, Declaration, DeclarationChange, DeclarationLine,
    NotApplicable, NoticeDocument, NoticeKind, Outcome, Quantity, Realm, ReportedClaim, ReportedDeadline,
    ReportedEvent, RequirementRow, ResultDocument, ResultItem, StatusReport, StatusReportRow, Timestamp,
};

fn read(code: &str, document: &str) -> Result<Document, Vec<String>> {
    let told = |findings: Vec<Finding>| findings.iter().map(ToString::to_string).collect();
    read_document(Catalogue::built_in(), &code.parse().expect("is a code"), document.as_bytes(), noon())
        .map_err(told)
}

fn check(written: &str, code: &str, value: Document) {
    assert_eq!(read(code, written), Ok(value), "{written}");
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("is a time")
}

fn noon() -> Timestamp {
    time("2009-12-01T03:00:00Z")
}

fn report() -> StatusReport {
    let row = |agency: &str, number: Option<&str>, state: &str, remarks: Option<&str>| StatusReportRow {
        agency: agency.into(),
        document: "GOVCBRX01".parse().expect("is a code"),
        number: number.map(Into::into),
        state: state.into(),
        decide_by: number.map(|_| noon()),
        overdue_since: remarks.map(|_| noon()),
        remarks: remarks.map(Into::into),
    };
    StatusReport {
        number: "1234509000017X-1-1-all-collected".into(),
        realm: Realm::Production,
        issued_at: noon(),
        declaration: Some("1234509000017X".into()),
        case: "case-1".into(),
        revision: 1,
        event: "all_collected".into(),
        outcome: Some("favourable".into()),
        state: None,
        customs_status: None,
        deadline: None,
        timeline: Vec::new(),
        applications: vec![
            row("KFDA", Some("X01-20091201-0001"), "approved_conditional", None),
            row("NPQS", None, "blocked", Some("Send <GOVCBRX02> & more in the same conversation")),
        ],
        claims: Vec::new(),
    }
}

#[test]
fn amendments_and_withdrawals_read_back() {
    let amendment = DeclarationChange {
        code: "GOVCBR5FE".parse().expect("is a code"),
        number: "A-20091202-0001".into(),
        issued_at: noon(),
        declaration: "1234509000017X".into(),
        sequence: Some(2),
        reason: None,
        text: Some("Weight as found".into()),
    };
    let withdrawal = DeclarationChange {
        code: "GOVCBR5BF".parse().expect("is a code"),
        sequence: None,
        reason: Some("84".into()),
        text: None,
        ..amendment.clone()
    };
    for change in [amendment, withdrawal] {
        check(&write_change(&change), change.code.clone().as_str(), Document::Change(change));
    }
}

#[test]
fn status_reports_read_back() {
    let lodged = StatusReport { event: "lodged".into(), outcome: None, applications: Vec::new(), ..report() };
    let deadline = ReportedDeadline {
        agency: "KFDA".into(),
        document: "GOVCBRX01".parse().expect("is a code"),
        number: Some("X01-20091201-0001".into()),
        term: "decide".into(),
        at: noon(),
    };
    let reminder = StatusReport {
        event: "reminder".into(),
        outcome: None,
        deadline: Some(deadline.clone()),
        ..report()
    };
    let overdue = StatusReport {
        event: "overdue".into(),
        deadline: Some(ReportedDeadline { number: None, ..deadline }),
        ..reminder.clone()
    };
    let event = ReportedEvent { at: noon(), event: "customs.notice".into(), text: "GOVCBR023 13".into() };
    let status = StatusReport {
        event: "status".into(),
        declaration: None,
        state: Some("result_only".into()),
        customs_status: Some("13".into()),
        timeline: vec![event],
        ..lodged.clone()
    };
    let practice = StatusReport { realm: Realm::Practice, ..report() };
    let claim = |line, verified, remarks: &str| ReportedClaim {
        line,
        law: "05".parse().expect("is a law"),
        number: "KFDA-2009-17".into(),
        verified,
        remarks: remarks.into(),
    };
    let claims =
        vec![claim(1, true, "500 of 1000 KGM"), claim(2, false, "no approval of this number is known")];
    let claimed = StatusReport { claims, ..lodged.clone() };
    for report in [report(), lodged, claimed, reminder, overdue, status, practice] {
        check(&write_status_report(&report), "GOVCBRXS2", Document::StatusReport(report));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn status_reports_are_valid_whatever_their_remarks_hold(remarks in any::<String>(), repeat in 1..400_usize) {
        let mut report = report();
        report.applications[1].remarks = Some(remarks.repeat(repeat).into());
        prop_assert!(read("GOVCBRXS2", &write_status_report(&report)).is_ok());
    }
}

#[test]
fn results_of_every_kind_read_back() {
    let results = Catalogue::built_in().types().filter(|document| document.family == DocumentFamily::Result);
    for document in results {
        let full = ResultDocument {
            code: document.code.clone(),
            number: "20091202142000123".into(),
            issued_at: time("2009-12-02T05:20:00.250Z"),
            application: Some("X01-20091201-0001".into()),
            applicant: Some("1208143211".into()),
            outcome: Outcome::Rejected,
            valid_until: Some(time("2010-12-02T05:20:00Z")),
            remarks: Some("Live larvae were found".into()),
            items: vec![
                ResultItem {
                    sequence: 1,
                    outcome: Outcome::Approved,
                    approval: Some("NPQS-2009-004711".into()),
                    laws: vec!["05".parse().expect("is a law"), "73".parse().expect("is a law")],
                    quantity: "1200.5".parse().ok(),
                    unit: Some("C62".into()),
                    reason: None,
                },
                ResultItem {
                    unit: None,
                    laws: Vec::new(),
                    sequence: 2,
                    outcome: Outcome::Rejected,
                    approval: None,
                    quantity: None,
                    reason: Some("Larvae".into()),
                },
            ],
        };
        let bare = ResultDocument {
            application: None,
            applicant: None,
            outcome: Outcome::NotApplicable,
            valid_until: None,
            remarks: None,
            items: Vec::new(),
            ..full.clone()
        };
        for result in [full, bare] {
            check(
                &write_result(Catalogue::built_in(), &result),
                document.code.as_str(),
                Document::Result(result),
            );
        }
    }
}

#[test]
fn notices_of_every_kind_read_back() {
    let kinds = read::NOTICE_STATUSES.map(|(_, notice)| notice);
    for notice in kinds.into_iter().chain([NoticeKind::Error]) {
        let is_error = notice == NoticeKind::Error;
        let code = if is_error { "GOVCBRRBG" } else { "GOVCBRRBH" };
        let full = NoticeDocument {
            code: code.parse().expect("is a code"),
            number: "20091201110500780".into(),
            issued_at: noon(),
            application: Some("X01-20091201-0001".into()),
            notice,
            acceptance_number: Some("A-1".into()),
            deadline: (!is_error).then(|| time("2009-12-15T09:00:00Z")),
            remarks: Some("The product code is missing".into()),
        };
        let said = is_error.then(|| "Refused by the agency's own checks".into());
        let bare = NoticeDocument { acceptance_number: None, deadline: None, remarks: None, ..full.clone() };
        check(&write_notice(&full), code, Document::Notice(full));
        check(&write_notice(&bare), code, Document::Notice(NoticeDocument { remarks: said, ..bare }));
    }
}

#[test]
fn notices_of_customs_read_back() {
    fn check_notice(code: &str, status: Option<&str>, remarks: Option<&str>) {
        let notice = CustomsNotice {
            code: code.parse().expect("is a code"),
            number: "20091203150000090".into(),
            issued_at: noon(),
            declaration: "1234509000017X".into(),
            status: status.map(Into::into),
            remarks: remarks.map(Into::into),
        };
        check(&write_customs_notice(&notice), code, Document::Customs(notice.clone()));
        let bare = CustomsNotice { status: None, remarks: None, ..notice };
        assert_eq!(read(code, &write_customs_notice(&bare)).err(), None, "{code}");
    }
    check_notice("GOVCBRR99", None, Some("Keep the documents"));
    check_notice("GOVCBRR21", Some("01"), Some("Filed twice"));
    check_notice("GOVCBR023", Some("13"), None);
    check_notice("GOVCBR5GZ", Some("18"), Some("KFDA"));
    check_notice("GOVCBR5GV", Some("2"), Some("The certificate of origin is missing"));
    check_notice("GOVCBR5EM", None, Some("Tomorrow at ten"));
    check_notice("GOVCBR5EN", None, Some("Selected by mistake"));
    check_notice("GOVCBR5FK", Some("08"), Some("The weight does not agree with the manifest"));
    check_notice("GOVCBR5BG", Some("06"), None);
    let customs = Catalogue::built_in().types().filter(|document| document.family == DocumentFamily::Customs);
    assert_eq!(customs.count(), 9, "every notice of customs stands above");
}

#[test]
fn declarations_read_back() {
    let line = DeclarationLine {
        count: "40".parse().ok().map(|value| Quantity { value, unit: "C62".into() }),
        sequence: 1,
        hs: "1211901000".parse().expect("is a code"),
        origin: "CN".parse().ok(),
        usage: "SALE".parse().ok(),
        value: "16754400".parse().ok(),
        weight: "1200.125".parse().ok(),
        requirements: vec![RequirementRow {
            law: "12".parse().expect("is a law"),
            number: "NPQS-2009-004711".into(),
            quantity: "3".parse().ok(),
            unit: Some("C62".into()),
        }],
        not_applicable: vec![NotApplicable {
            law: "05".parse().expect("is a law"),
            reason: "Z".into(),
            text: Some("A sample".into()),
        }],
    };
    let bare = DeclarationLine {
        count: None,
        sequence: 999,
        hs: "9706900000".parse().expect("is a code"),
        origin: None,
        usage: None,
        value: None,
        weight: None,
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    let declaration = Declaration {
        number: "1234509000017X".into(),
        function: "9".into(),
        importer: Some("1208143211".into()),
        export_from: "CN".parse().ok(),
        cargo: None,
        bills: Vec::new(),
        lines: vec![line, bare],
        attachments: vec!["invoice@broker.example".parse().expect("is a Content-ID")],
    };
    let written = write_declaration(&declaration, noon());
    check(&written, "GOVCBR929", Document::Declaration(declaration));
}

#[test]
fn applications_of_every_kind_read_back() {
    let item = |sequence| ApplicationItem { sequence, hs: "0203291000".parse().expect("is a code") };
    let applications =
        Catalogue::built_in().types().filter(|document| document.family == DocumentFamily::Application);
    for document in applications {
        for function in ["9", "5", "4", "1"] {
            let application = ApplicationDocument {
                code: document.code.clone(),
                number: "X03-20091201-0001".into(),
                function: function.into(),
                reason: (function == "1").then(|| "The goods go back".into()),
                items: vec![item(2), item(1)],
                attachments: vec!["photo@broker.example".parse().expect("is a Content-ID")],
            };
            let written = write_application(&application, "1208143211", noon());
            check(&written, document.code.as_str(), Document::Application(application));
        }
    }
}

#[test]
fn what_is_no_document_of_the_kind_is_one_finding() {
    fn check(code: &str, document: &str, rule: &str) {
        let findings = read_document(
            Catalogue::built_in(),
            &code.parse().expect("is a code"),
            document.as_bytes(),
            noon(),
        );
        let rules: Vec<String> = findings.err().unwrap_or_default().into_iter().map(|f| f.rule).collect();
        assert_eq!(rules, [rule], "{code} {document}");
    }
    let report = write_status_report(&report());
    check("GOVCBR830", &report, "structure:unknown-document");
    check("GOVCBRR20", &report, "structure:own-document");
    check("GOVCBR929", &report, "structure:root");
    check("GOVCBR929", "", "structure:well-formed");
    check("GOVCBR929", "<?go?><a/>", "structure:processing-instruction");
    check("GOVCBR929", "<a:b/>", "structure:namespace");
    check("GOVCBR929", "<?xml version='1.0' encoding='EUC-KR'?><a/>", "structure:encoding");
    check("GOVCBR929", &"<a>".repeat(XmlLimits::DOCUMENT.depth_max + 1), "structure:limit");
    let own = "urn:swgw:doc:StatusReport:1";
    assert_eq!(
        document_code_of_root(Catalogue::built_in(), report.as_bytes()).as_ref().map(DocumentCode::as_str),
        Some("GOVCBRXS2")
    );
    assert_eq!(
        document_code_of_root(Catalogue::built_in(), format!("<Response xmlns='{own}2'/>").as_bytes()),
        None
    );
    assert_eq!(document_code_of_root(Catalogue::built_in(), b"%PDF-1.4"), None);
}

#[test]
fn prefixes_and_white_space_do_not_matter() {
    let plain = write_status_report(&report());
    let prefixed = plain
        .replace("xmlns=", "xmlns:wco=")
        .replace("</", "</wco:")
        .replace('<', "<wco:")
        .replace("<wco:/wco:", "</wco:")
        .replace("<wco:?", "<?")
        .replace("1234509000017X</", "\n 1234509000017X\t</");
    assert_eq!(read("GOVCBRXS2", &prefixed), Ok(Document::StatusReport(report())), "{prefixed}");
}

#[test]
fn findings_on_one_line_come_in_document_order() {
    let mut report = report();
    report.applications[0].state = "Approved".into();
    report.applications[1].agency = "no agency".into();
    report.case = "".into();
    let written = write_status_report(&report).replace('\n', "");
    let read = read_document(
        Catalogue::built_in(),
        &"GOVCBRXS2".parse().expect("is a code"),
        written.as_bytes(),
        noon(),
    );
    let paths: Vec<String> = read.err().unwrap_or_default().into_iter().map(|finding| finding.path).collect();
    assert_eq!(
        paths,
        ["/Response/CaseID", "/Response/Application[1]/StateCode", "/Response/Application[2]/AgencyCode"],
    );
}

#[test]
fn a_document_of_nothing_but_faults_tells_a_hundred() {
    let items =
        "<LPCO><SequenceNumeric>1</SequenceNumeric><Origin><CountryCode>QQ</CountryCode></Origin></LPCO>";
    let namespace = "urn:swgw:doc:FoodImportReport:1";
    let document = format!("<Declaration xmlns='{namespace}'>{}</Declaration>", items.repeat(50_000));
    let findings = read("GOVCBRX01", &document).err().unwrap_or_default();
    assert_eq!(findings.len(), FINDINGS_MAX);
}

#[test]
fn a_cancellation_of_every_form_is_valid_and_holds_the_items_to_cancel() {
    let item = |sequence| ApplicationItem { sequence, hs: "0203291000".parse().expect("is a code") };
    let applications =
        Catalogue::built_in().types().filter(|document| document.family == DocumentFamily::Application);
    for document in applications {
        let application = ApplicationDocument {
            code: document.code.clone(),
            number: "X03-20091201-0001".into(),
            function: "9".into(),
            reason: None,
            items: vec![item(2), item(1), item(12)],
            attachments: vec!["photo@broker.example".parse().expect("is a Content-ID")],
        };
        let written = write_application(&application, "1208143211", noon());
        let terms =
            CancellationTerms { issued_at: noon(), reason: "Pests < 1 & \"more\"", items: &[12, 2, 999] };
        let cancellation = write_cancellation(written.as_bytes(), terms).expect("it is an application");
        let expected = ApplicationDocument {
            function: "1".into(),
            reason: Some(terms.reason.into()),
            items: vec![item(2), item(12)],
            attachments: Vec::new(),
            ..application
        };
        check(&cancellation, document.code.as_str(), Document::Application(expected));
    }
    let terms = CancellationTerms { issued_at: noon(), reason: "-", items: &[] };
    assert!(write_cancellation(b"%PDF", terms).is_err());
}
