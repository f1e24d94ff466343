//! Every reason why an approval is cited in vain, its limits, and which charges stay.

use super::account::{goods_of, mark};
use super::*;
use crate::model::Holder;

fn text<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

fn now() -> Timestamp {
    text("2009-12-01T01:00:00Z")
}

fn item(outcome: Outcome, law: &str, value: &str, unit: &str, until: Option<&str>) -> ApprovedItem {
    ApprovedItem {
        outcome,
        laws: vec![text(law)],
        quantity: Quantity { value: text(value), unit: unit.into() },
        issued_at: now(),
        valid_until: until.map(text),
        cleared: false,
    }
}

fn approval(items: Vec<ApprovedItem>) -> Approval {
    Approval {
        key: ApprovalKey { realm: Realm::Production, agency: text("AG1"), number: "A-1".into() },
        holder: Holder { importer: Some("IMP".into()), applicant: None, party: None },
        case: text("case-0"),
        items: (1..).zip(items).collect(),
        charges: Vec::new(),
        spent: Vec::new(),
        due: None,
    }
}

fn declared(importer: &str) -> Declaration {
    Declaration {
        number: "D".into(),
        function: "9".into(),
        importer: Some(importer.into()),
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: Vec::new(),
        attachments: Vec::new(),
    }
}

fn charge(value: &str, own: bool) -> Drawn {
    let quantity = Quantity { value: text(value), unit: "KGM".into() };
    Drawn { case: text("case-1"), line: 1, law: text("05"), quantity, own, undo: false }
}

#[test]
fn every_reason_is_told_in_words() {
    let check =
        |items: Vec<ApprovedItem>, claim: (&str, Option<&str>, &str), expected: Result<&str, &str>| {
            let (law, quantity, importer) = claim;
            let row = RequirementRow {
                law: text(law),
                number: "A-1".into(),
                quantity: quantity.map(text),
                unit: quantity.map(|_| "KGM".into()),
            };
            let declared = declared(importer);
            let (case, submitter) = (text("case-1"), text("BR1"));
            let claims = Claims {
                case: &case,
                realm: Realm::Production,
                submitter: &submitter,
                declared: &declared,
                now: now(),
            };
            let mut approval = approval(items);
            approval.charges.push(charge("100", false));
            let found = verify(&approval, (1, &row), claims).map(|(_, of)| of.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found.map_err(|fault| fault.to_string()), expected, "{claim:?}");
        };
    let good = |value: &str| item(Outcome::Approved, "05", value, "KGM", None);
    let all = ("05", Some("900"), "IMP");
    check(vec![good("1000")], all, Ok("1000"));
    check(vec![good("600"), good("400")], all, Ok("1000"));
    check(vec![item(Outcome::ApprovedConditional, "05", "1000", "KGM", None)], all, Ok("1000"));
    check(vec![item(Outcome::Approved, "05", "1000", "KGM", Some("2009-12-01T01:00:01Z"))], all, Ok("1000"));
    check(vec![good("1000")], ("05", Some("900"), "OTHER"), Err("it was given to another importer"));
    check(vec![good("1000")], ("12", Some("900"), "IMP"), Err("it is for law 05"));
    let no_law = ApprovedItem { laws: Vec::new(), ..good("1000") };
    check(vec![no_law], all, Err("its result does not say under which law"));
    let untold = "the line does not say how much of it is used";
    check(vec![good("1000")], ("05", None, "IMP"), Err(untold));
    check(vec![good("1000")], ("05", Some("0"), "IMP"), Err(untold));
    check(
        vec![item(Outcome::Approved, "05", "1000", "C62", None)],
        all,
        Err("it is in C62, the line uses KGM"),
    );
    check(vec![item(Outcome::Revoked, "05", "1000", "KGM", None)], all, Err("it is revoked"));
    check(vec![item(Outcome::Rejected, "05", "1000", "KGM", None)], all, Err("it is rejected"));
    let expired = item(Outcome::Approved, "05", "1000", "KGM", Some("2009-12-01T01:00:00Z"));
    check(vec![expired], all, Err("it was valid until 2009-12-01T01:00:00Z"));
    let short = "not enough is left of it: 899.999 KGM, and the line uses 900 KGM";
    check(vec![good("999.999")], all, Err(short));
    let half = item(Outcome::Revoked, "05", "1000", "KGM", None);
    let none = "not enough is left of it: 800 KGM, and the line uses 900 KGM";
    check(vec![half, good("900")], all, Err(none));
}

/// An approval names no form: where rules ask an agency for two under one law, it satisfies neither, and both are wanted.
#[test]
fn an_approval_does_not_choose_between_two_documents_of_its_agency() {
    let row = |document: &str| PlannedRow {
        line: 1,
        law: text("05"),
        agency: text("KFDA"),
        document: text(document),
        rule: text(&document.to_lowercase()),
        removed: None,
        counts: true,
    };
    let template = Template { party: text("AG1"), result: text("GOVCBRX51"), watch: None };
    let held = |documents: &[&str]| {
        let mut rows: Vec<_> = documents.iter().map(|document| row(document)).collect();
        let keys = rows.iter().map(|row| ((row.agency.clone(), row.document.clone()), template.clone()));
        let templates: Templates = keys.collect();
        let mut declared = declared("IMP");
        declared.lines.push(DeclarationLine {
            sequence: 1,
            requirements: vec![RequirementRow {
                law: text("05"),
                number: "A-1".into(),
                quantity: Some(text("10")),
                unit: Some("KGM".into()),
            }],
            hs: text("0701100000"),
            origin: None,
            usage: None,
            value: None,
            weight: None,
            count: None,
            not_applicable: Vec::new(),
        });
        let approval = approval(vec![item(Outcome::Approved, "05", "1000", "KGM", None)]);
        let mut approvals = Approvals::from([(approval.key.clone(), approval)]);
        let (case, submitter) = (text("case-1"), text("BR1"));
        let claims = Claims {
            case: &case,
            realm: Realm::Production,
            submitter: &submitter,
            declared: &declared,
            now: now(),
        };
        let standing = verify_rows(&mut rows, claims, &mut approvals, &templates);
        let removed = rows.iter().filter(|row| row.removed.is_some()).count();
        let why = standing.unverified.first().map(|claim| claim.why.to_string());
        (removed, standing.held.len(), approvals.values().map(|a| a.charges.len()).sum::<usize>(), why)
    };
    assert_eq!(held(&["GOVCBRX01"]), (1, 1, 1, None));
    let why = "the rules ask KFDA for 2 documents under this law, and it does not say which it stands for";
    assert_eq!(held(&["GOVCBRX01", "GOVCBRX04"]), (0, 0, 0, Some(why.to_owned())));
}

#[test]
fn an_approval_takes_a_bounded_number_of_charges() {
    let declared = declared("IMP");
    let (case, submitter) = (text("case-1"), text("BR1"));
    let claims = Claims {
        case: &case,
        realm: Realm::Production,
        submitter: &submitter,
        declared: &declared,
        now: now(),
    };
    let row = RequirementRow {
        law: text("05"),
        number: "A-1".into(),
        quantity: Some(text("1")),
        unit: Some("KGM".into()),
    };
    let mut approval = approval(vec![item(Outcome::Approved, "05", "9000", "KGM", None)]);
    approval.charges = vec![charge("1", false); CHARGES_MAX - 1];
    assert!(verify(&approval, (1, &row), claims).is_ok());
    approval.charges.push(charge("1", false));
    assert_eq!(verify(&approval, (1, &row), claims), Err(ClaimFault::Crowded));
}

#[test]
fn the_goods_it_was_asked_for_and_the_oldest_charges_stay() {
    let check = |approved: &str, expected: [bool; 4], at_once: bool| {
        let mut approval = approval(vec![item(Outcome::Approved, "05", approved, "KGM", None)]);
        approval.charges =
            vec![charge("300", false), charge("400", true), charge("200", false), charge("50", false)];
        mark(&mut approval);
        assert_eq!(approval.charges.iter().map(|c| c.undo).collect::<Vec<_>>(), expected, "{approved}");
        assert_eq!(approval.due.is_some(), at_once, "{approved}");
    };
    check("950", [false; 4], false);
    check("949", [false, false, false, true], true);
    check("760", [false, false, true, false], true);
    check("699", [true, false, false, false], true);
    check("300", [true, false, true, true], true);
}

#[test]
fn goods_use_what_was_approved_for_them_by_weight_or_count_or_all_of_it() {
    let check =
        |weight: Option<&str>, count: Option<(&str, &str)>, approved: (&str, &str), expected: &str| {
            let line = DeclarationLine {
                sequence: 1,
                hs: text("0701100000"),
                origin: None,
                usage: None,
                value: None,
                weight: weight.map(text),
                count: count.map(|(value, unit)| Quantity { value: text(value), unit: unit.into() }),
                requirements: Vec::new(),
                not_applicable: Vec::new(),
            };
            let approved = Quantity { value: text(approved.0), unit: approved.1.into() };
            assert_eq!(goods_of(&line, &approved).value.to_string(), expected, "{approved}");
        };
    check(Some("600"), None, ("1000", "KGM"), "600");
    check(Some("1600"), None, ("1000", "KGM"), "1000");
    check(Some("600"), Some(("40", "C62")), ("100", "C62"), "40");
    check(Some("600"), Some(("40", "C62")), ("100", "LTR"), "100");
    check(None, None, ("1000", "KGM"), "1000");
}
