//! Every sample under `tests/samples/documents`, a folder for each document code: valid ones read to their
//! values, invalid ones, which have a `.findings` file beside them, give exactly the findings in it, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use gwanmun::codec::catalogue::Catalogue;
use gwanmun::codec::document::{document_code_of_root, read_document, schema_findings};
use gwanmun::codec::schema::DocumentFamily;
use gwanmun::codec::xml::{XmlLimits, XmlTree};
use gwanmun::model::{
    ApplicationDocument, Asked, ContentId, Declaration, Document, DocumentCode, Finding, PaymentConfirmation,
    PaymentOutcome, StatusReport, Timestamp,
};

#[test]
fn invalid_samples_give_exactly_their_findings() {
    let mut checked = 0;
    for sample in samples().into_iter().filter(|sample| sample.expected.is_some()) {
        let found: Vec<String> = sample.findings().iter().map(ToString::to_string).collect();
        let expected: Vec<&str> = sample.expected.iter().flat_map(|text| text.lines()).collect();
        assert!(!expected.is_empty(), "{}: an empty list of findings proves nothing", sample.path.display());
        assert_eq!(found, expected, "{}", sample.path.display());
        checked += 1;
    }
    assert!(checked >= 40, "{checked} samples");
}

#[test]
fn valid_samples_have_no_findings_and_are_known_by_their_root() {
    let mut of_code = BTreeMap::new();
    for sample in samples().into_iter().filter(|sample| sample.expected.is_none()) {
        assert_eq!(sample.findings(), [], "{}", sample.path.display());
        assert_eq!(
            document_code_of_root(Catalogue::built_in(), &sample.octets),
            Some(sample.code.clone()),
            "{}",
            sample.path.display()
        );
        *of_code.entry(sample.code).or_insert(0) += 1;
    }
    for document_type in Catalogue::built_in().types() {
        assert!(of_code.contains_key(&document_type.code), "no valid sample of {}", document_type.code);
    }
}

#[test]
fn valid_samples_read_to_their_values() {
    let mut expected: BTreeMap<&str, &str> = VALUES.into_iter().collect();
    for sample in samples().into_iter().filter(|sample| sample.expected.is_none()) {
        let name = sample.name();
        let read = read_document(Catalogue::built_in(), &sample.code, &sample.octets, came());
        let Ok(document) = read else { continue };
        assert_eq!(Some(gist(&document).as_str()), expected.remove(&*name), "{name}");
    }
    assert_eq!(expected, BTreeMap::new(), "samples that are missing or do not read");
}

/// Domain brief, 2: sixteen application forms and seventeen results, and 4: what else is exchanged.
#[test]
fn there_are_thirty_three_requirement_documents_and_those_around_them() {
    let of = |family| Catalogue::built_in().types().filter(move |found| found.family == family).count();
    assert_eq!((of(DocumentFamily::Application), of(DocumentFamily::Result)), (16, 17));
    for code in [
        "929", "R20", "R99", "RBG", "RBH", "5GZ", "5GV", "5EM", "5EN", "023", "R21", "5FE", "5FK", "5BF",
        "5BG", "INF", "XS2", "XF1", "XF2", "XF3",
    ] {
        assert!(Catalogue::built_in().of_code(&format!("GOVCBR{code}")).is_some(), "{code}");
    }
}

/// Every type and group says what it means, every field of an agency's own part also where it comes from, and every
/// code list that is named is there.
#[test]
fn every_type_of_every_schema_is_documented() {
    const XS: &str = "http://www.w3.org/2001/XMLSchema";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut types = 0;
    for path in entries(&root).into_iter().filter(|path| path.extension().is_some_and(|e| e == "xsd")) {
        let octets = fs::read(&path).expect("a schema can be read").into();
        let tree = XmlTree::parse(octets, &XmlLimits::DOCUMENT).expect("a schema is well-formed");
        for element in tree.root().descendants() {
            let name = element.attribute("", "name").unwrap_or_default();
            let words = element
                .child(XS, "annotation")
                .and_then(|note| note.child(XS, "documentation"))
                .map(|note| note.text().trim().to_owned())
                .unwrap_or_default();
            let place = format!("{}:{}: {name}", path.display(), element.line());
            if ["simpleType", "complexType", "group"].iter().any(|kind| element.is(XS, kind))
                && !name.is_empty()
            {
                types += 1;
                assert!(words.chars().count() > 10, "{place}: {words:?}");
            }
            let holder = element.parent().and_then(|sequence| sequence.parent());
            let own = holder.is_some_and(|holder| holder.attribute("", "name") == Some("DetailType"));
            if own && element.is(XS, "element") {
                let origin =
                    ["Published.", "Reconstructed.", "Ours."].iter().any(|word| words.contains(word));
                assert!(words.chars().count() > 10 && origin, "{place}: {words:?}");
            }
            if element.is(XS, "appinfo") && element.attribute("", "source") == Some("urn:swgw:code-list") {
                let list = element.text().trim().to_owned();
                assert!(Catalogue::built_in().code_lists().get(&list).is_some(), "{place}: {list}");
            }
        }
    }
    assert!(types > 150, "{types} types");
}

/// A declaration has at most 999 lines (domain brief, 4.1); what is said of longer ones says where they are too long, and
/// does not grow with them.
#[test]
fn a_declaration_of_999_lines_is_read_and_the_thousandth_is_a_finding() {
    let check = |lines: u32| read_document(Catalogue::built_in(), &declaration(), &of_lines(lines), came());
    match check(999) {
        Ok(Document::Declaration(read)) => assert_eq!(read.lines.len(), 999),
        other => panic!("999 lines are a declaration: {other:?}"),
    }
    for lines in [1_000, 5_000] {
        let findings = check(lines).expect_err("too many lines");
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|finding| finding.contains("GovernmentAgencyGoodsItem[1000]")), "{told:#?}");
        assert!(told.len() <= 100, "{lines} lines give {} findings", told.len());
    }
}

fn declaration() -> DocumentCode {
    DocumentCode::new("GOVCBR929").expect("a code")
}

/// A declaration of computers with its line so many times, and totals to match.
fn of_lines(count: u32) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/cases/14-computers/929.xml");
    let text = fs::read_to_string(path).expect("can be read");
    let text = text.replace(">1047150000<", ">1047150<").replace(">83772000<", ">83772<");
    let (line, end) = ("  <GovernmentAgencyGoodsItem>", "</Declaration>");
    let (head, rest) = text.split_once(line).expect("has a line");
    let rest = rest.trim_end().strip_suffix(end).expect("ends with its root");
    let many = |amount: u64| (amount * u64::from(count)).to_string();
    let mut out = ["1047150", "900000", "83772", "3150"].iter().fold(head.to_owned(), |head, amount| {
        head.replace(&format!(">{amount}<"), &format!(">{}<", many(amount.parse().expect("a number"))))
    });
    out = out.replace("<GoodsItemQuantity>1<", &format!("<GoodsItemQuantity>{count}<"));
    for number in 1..=count {
        out.push_str(line);
        out.push_str(&rest.replace("<SequenceNumeric>1<", &format!("<SequenceNumeric>{number}<")));
    }
    out.push_str(end);
    out.into_bytes()
}

/// A valid sample with one thing changed, and the one finding that follows: near misses of each requirement document and
/// of the declaration (`tests/samples/near-misses.csv`). Each check of `schemas/checks.csv` has one.
#[test]
fn near_misses_give_the_finding_of_their_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut table =
        csv::Reader::from_path(root.join("tests/samples/near-misses.csv")).expect("the table can be read");
    let (mut of_code, mut rules, mut wrong) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for row in table.deserialize() {
        let row: NearMiss = row.expect("a row has its columns");
        let path = root.join(format!("tests/samples/documents/{}.xml", row.sample));
        let text = fs::read_to_string(path).expect(&row.sample);
        let mutated = text.replacen(&row.replace, &row.with, 1);
        assert_ne!(mutated, text, "{}: there is no {:?}", row.sample, row.replace);
        let code: DocumentCode =
            format!("GOVCBR{}", row.sample.split('/').next().unwrap_or_default()).parse().expect("a code");
        let findings = read_document(Catalogue::built_in(), &code, mutated.as_bytes(), came());
        let told = findings.err().unwrap_or_default();
        let told: Vec<_> = told.iter().map(|finding| (&*finding.rule, &*finding.path)).collect();
        if told != [(&*row.rule, &*row.path)] {
            wrong.push(format!("{}: {:?} for {:?} gives {told:?}", row.sample, row.with, row.replace));
        }
        *of_code.entry(code).or_insert(0) += 1;
        rules.insert(row.rule);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let families = [DocumentFamily::Declaration, DocumentFamily::Application, DocumentFamily::Result];
    for document in Catalogue::built_in().types().filter(|document| families.contains(&document.family)) {
        let count = of_code.get(&document.code).copied().unwrap_or_default();
        assert!(count >= 5, "{count} near misses of {}", document.code);
    }
    let checks = fs::read_to_string(root.join("schemas/checks.csv")).expect("can be read");
    for id in
        checks.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(|line| line.split(',').next())
    {
        assert!(rules.contains(id), "no near miss of {id}");
    }
}

#[derive(serde::Deserialize)]
struct NearMiss {
    sample: String,
    replace: String,
    with: String,
    rule: String,
    path: String,
}

/// What each valid sample says, by its path without `.xml`.
const VALUES: [(&str, &str); 70] = [
    (
        "XF1/laboratory-test",
        "F-20091201-0381 2009-12-01T05:00:00Z for X01-20091201-0001: 30000 KRW to 011-17-000381 until 2009-12-08T09:00:00Z, Laboratory test of one lot",
    ),
    (
        "XF2/laboratory-test",
        "PO-20091201-0001 2009-12-01T06:00:00Z for X01-20091201-0001: 30000 KRW of F-20091201-0381 from 088-22-114477",
    ),
    (
        "XF3/paid",
        "pc-7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd 2009-12-01T06:00:02Z for X01-20091201-0001: 30000 KRW of F-20091201-0381 by PO-20091201-0001 paid as B-000001 2009-12-01T06:00:01Z",
    ),
    (
        "XF3/refused",
        "pc-7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd 2009-12-01T06:00:02Z for X01-20091201-0001: 30000 KRW of F-20091201-0381 by PO-20091201-0001 refused, The account does not cover the amount",
    ),
    ("023/cleared", "GOVCBR023 20091203150000090 2009-12-03T06:00:00Z for 1234509000017X: 13, -"),
    ("023/selected", "GOVCBR023 20091201104000091 2009-12-01T01:30:00Z for 1234509000017X: 19, -"),
    (
        "5BF/quarantine-failed",
        "GOVCBR5BF W-20091202-0001 2009-12-02T00:15:00Z for 1234509000017X: - 84, Plant quarantine found pests; the goods go back",
    ),
    ("5BG/approved", "GOVCBR5BG 20091202110000007 2009-12-02T02:00:00Z for 1234509000017X: 06, -"),
    ("5EM/inspection", "GOVCBR5EM 20091201120000005 2009-12-01T01:30:00Z for 1234509000017X: -, -"),
    (
        "5EN/cancelled",
        "GOVCBR5EN 20091201120000006 2009-12-01T01:30:00Z for 1234509000017X: -, Selected by mistake",
    ),
    (
        "5FE/weight",
        "GOVCBR5FE A-20091202-0001 2009-12-02T00:15:00Z for 1234509000017X: 1 -, Weight as found when the goods were carried in",
    ),
    (
        "5FK/refused",
        "GOVCBR5FK 20091202110000007 2009-12-02T02:00:00Z for 1234509000017X: 08, The weight does not agree with the manifest",
    ),
    (
        "5GV/certificate-of-origin",
        "GOVCBR5GV 20091201120000003 2009-12-01T01:30:00Z for 1234509000017X: 2, The certificate of origin is missing",
    ),
    ("5GZ/not-yet-approved", "GOVCBR5GZ 20091201110000002 2009-12-01T01:30:00Z for 1234509000017X: 18, -"),
    (
        "929/held-approvals",
        "1234509000033K 9 1208143211 US; 1 0805100000 US SALE - 18000.5 holds 12 NPQS-2009-004711 18000.5 KGM; 2 8516791000 CN RD - - not 23 Z Sample for the certification test itself not 05 B -",
    ),
    (
        "929/herbs",
        "1234509000017X 9 1208143211 CN; 1 1211901000 CN SALE 16754400 1200; with invoice@broker.example",
    ),
    ("929/unregulated", "1234509000025A 9 1208143211 -; 1 7318150000 US - - -"),
    ("FR2/herbs", "GOVCBRFR2 S091201001AAH 9; 1 1211901000"),
    (
        "FS7/receipt",
        "GOVCBRFS7 20091203093000044 2009-12-03T00:30:00Z for S091201001AAH of 1208143211: approved until -, -; 1 approved - -",
    ),
    (
        "R21/filed-twice",
        "GOVCBRR21 20091201120000004 2009-12-01T01:30:00Z for 1234509000017X: 01, The same goods were declared under 1234509000009C",
    ),
    (
        "R99/accepted",
        "GOVCBRR99 20091201103000001 2009-12-01T01:30:00Z for 1234509000017X: -, Documents are to be kept for five years",
    ),
    (
        "RBG/two-errors",
        "GOVCBRRBG 20091201110500780 2009-12-01T02:05:00Z for X01-20091201-0001 as 20091201-X01-0381: error until -, 제조업소 ManufacturerRegistrationID: The registration has ended; The product code is missing",
    ),
    (
        "RBH/accepted",
        "GOVCBRRBH 20091201110500771 2009-12-01T02:05:00Z for X01-20091201-0001 as 20091201-X01-0381: accepted until 2009-12-15T09:00:00Z, -",
    ),
    (
        "RBH/customs-done",
        "GOVCBRRBH 20091204090000776 2009-12-04T00:00:00Z for X01-20091201-0001 as 20091201-X01-0381: customs_done until -, -",
    ),
    (
        "RBH/documents-wanted",
        "GOVCBRRBH 20091201140000773 2009-12-01T05:00:00Z for X01-20091201-0001 as 20091201-X01-0381: documents_requested until 2009-12-15T09:00:00Z, -",
    ),
    (
        "RBH/inspection-ordered",
        "GOVCBRRBH 20091201160000775 2009-12-01T07:00:00Z for X01-20091201-0001 as 20091201-X01-0381: inspection_ordered until -, -",
    ),
    (
        "RBH/supplement-wanted",
        "GOVCBRRBH 20091201150000774 2009-12-01T06:00:00Z for X01-20091201-0001 as 20091201-X01-0381: supplement_requested until 2009-12-15T09:00:00Z, Name the manufacturer as it is registered",
    ),
    (
        "RBH/under-review",
        "GOVCBRRBH 20091201130000772 2009-12-01T04:00:00Z for X01-20091201-0001 as 20091201-X01-0381: under_review until -, -",
    ),
    ("X01/cancellation", "GOVCBRX01 X01-20091201-0001 1 because Goods are sent back; 1 1211901000"),
    ("X01/herbs", "GOVCBRX01 X01-20091201-0001 9; 1 1211901000"),
    (
        "X02/herbs",
        "GOVCBRX02 X02-20091201-0001 9; 1 1211901000; with phytosanitary-certificate@broker.example",
    ),
    ("X03/pork", "GOVCBRX03 X03-20091201-0001 9; 1 0203291000"),
    ("X04/pollack", "GOVCBRX04 X04-20091201-0001 9; 1 0303670000"),
    ("X06/instruments", "GOVCBRX06 X06-20091201-0001 9; 1 9018909011"),
    ("X11/toasters", "GOVCBRX11 X11-20091201-0001 9; 1 8516791000"),
    ("X07/implants", "GOVCBRX07 X07-20091201-0001 9; 1 9021290000"),
    ("X08/vaccine", "GOVCBRX08 X08-20091201-0001 9; 1 3002300000"),
    ("X09/helmets", "GOVCBRX09 X09-20091201-0001 9; 1 6506100000"),
    ("X10/detergent", "GOVCBRX10 X10-20091201-0001 9; 1 3402200000"),
    ("X12/dolls", "GOVCBRX12 X12-20091201-0001 9; 1 9503003919"),
    ("X14/babies-garments", "GOVCBRX14 X14-20091201-0001 9; 1 6111200000"),
    ("X15/leather-coats", "GOVCBRX15 X15-20091201-0001 9; 1 4203101000"),
    ("X16/titanium-dioxide", "GOVCBRX16 X16-20091201-0001 9; 1 3206110000"),
    ("X17/refrigerant", "GOVCBRX17 X17-20091201-0001 9; 1 2903450000"),
    (
        "X57/implants",
        "GOVCBRX57 20091203113000057 2009-12-03T02:30:00Z for X07-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X58/vaccine",
        "GOVCBRX58 20091203113000058 2009-12-03T02:30:00Z for X08-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X59/helmets",
        "GOVCBRX59 20091203113000059 2009-12-03T02:30:00Z for X09-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X60/detergent",
        "GOVCBRX60 20091203113000060 2009-12-03T02:30:00Z for X10-20091201-0001 of 1208143211: rejected until -, The test report is of another product; 1 rejected - The test report is of another product",
    ),
    (
        "X62/dolls",
        "GOVCBRX62 20091203113000062 2009-12-03T02:30:00Z for X12-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X63/television-sets",
        "GOVCBRX63 20091203113000063 2009-12-03T02:30:00Z for X11-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X64/babies-garments",
        "GOVCBRX64 20091203113000064 2009-12-03T02:30:00Z for X14-20091201-0001 of 1208143211: approved_conditional until -, The label of each garment is to be seen before sale; 1 approved_conditional - -",
    ),
    (
        "X65/leather-coats",
        "GOVCBRX65 20091203113000065 2009-12-03T02:30:00Z for X15-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X66/titanium-dioxide",
        "GOVCBRX66 20091203113000066 2009-12-03T02:30:00Z for X16-20091201-0001 of 1208143211: not_applicable until -, -; 1 not_applicable - -",
    ),
    (
        "X67/refrigerant",
        "GOVCBRX67 20091203113000067 2009-12-03T02:30:00Z for X17-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved - -",
    ),
    (
        "X51/approved",
        "GOVCBRX51 20091202142000123 2009-12-02T05:20:00Z for X01-20091201-0001 of 1208143211: approved until 2010-12-01T14:59:59Z, -; 1 approved 1200 -",
    ),
    (
        "X51/conditional",
        "GOVCBRX51 20091202142000124 2009-12-02T05:20:00Z for X01-20091201-0001 of 1208143211: approved_conditional until -, Not to be distributed before the result of the laboratory test is known",
    ),
    (
        "X51/without-application",
        "GOVCBRX51 20091202142000125 2009-12-02T05:20:00Z for - of 1208143211: approved until -, -",
    ),
    (
        "X52/passed",
        "GOVCBRX52 20091202160500871 2009-12-02T07:05:00Z for X02-20091201-0001 of 1208143211: approved until -, -; 1 approved - -",
    ),
    (
        "X52/refused-item",
        "GOVCBRX52 20091202160500872 2009-12-02T05:20:00Z for X02-20091201-0001 of 1208143211: rejected until -, Live larvae were found; 1 approved - -; 2 rejected - Live larvae of Plodia interpunctella",
    ),
    (
        "X53/approved",
        "GOVCBRX53 20091203110000009 2009-12-02T05:20:00Z for X03-20091201-0001 of 1208143211: approved until -, -; 1 approved - -",
    ),
    (
        "X54/not-applicable",
        "GOVCBRX54 20091203113000011 2009-12-02T05:20:00Z for X04-20091201-0001 of 1208143211: not_applicable until -, -",
    ),
    (
        "X56/cancelled",
        "GOVCBRX56 20091203113000012 2009-12-02T05:20:00Z for X06-20091201-0001 of 1208143211: cancelled until -, -",
    ),
    (
        "X61/revoked",
        "GOVCBRX61 20091203113000013 2009-12-02T05:20:00Z for X11-20091201-0001 of 1208143211: revoked until -, -",
    ),
    (
        "INF/works",
        "INF-1259629202000-7 2009-12-01T01:00:02Z: Works on Sunday, 02:00 to 04:00: messages are answered 503",
    ),
    ("XS1/goods", "Q-1259629202002 2009-12-01T01:00:02Z: requirements of 1211901000 CN SALE"),
    ("XS1/status", "Q-1259629202000 2009-12-01T01:00:02Z: status of 1234509000017X"),
    (
        "XS3/goods",
        "7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd 2009-12-01T01:00:03Z to Q-1259629202002; 05 KFDA GOVCBRX01 GOVCBRX51 food-produce usage is not RD",
    ),
    (
        "XS2/all-collected",
        "case-1.1.1.all-collected 2009-12-01T01:00:02Z for 1234509000017X in case-1.1: all_collected favourable; KFDA GOVCBRX01 X01-20091201-0001 created -; NPQS GOVCBRX02 - blocked Send GOVCBRX02 in the same conversation",
    ),
    (
        "XS2/claims",
        "case-1.1.1.claims 2009-12-01T01:00:02Z for 1234509000017X in case-1.1: lodged -; KFDA GOVCBRX01 X01-20091201-0001 created -; NPQS GOVCBRX02 - blocked Send GOVCBRX02 in the same conversation",
    ),
    (
        "XS2/lodged",
        "case-1.1.1.lodged 2009-12-01T01:00:02Z for 1234509000017X in case-1.1: lodged -; KFDA GOVCBRX01 X01-20091201-0001 created -; NPQS GOVCBRX02 - blocked Send GOVCBRX02 in the same conversation",
    ),
];

/// The value of a document in a line: numbers first, then what else steers something.
fn gist(document: &Document) -> String {
    match document {
        Document::Declaration(declaration) => {
            let lines = declaration.lines.iter().map(|line| {
                let held = line.requirements.iter().map(|row| {
                    let quantity = row.quantity.map_or_else(String::new, |quantity| quantity.to_string());
                    format!(
                        " holds {} {} {quantity} {}",
                        row.law,
                        row.number,
                        row.unit.as_deref().unwrap_or_default()
                    )
                });
                let not = line.not_applicable.iter().map(|row| {
                    format!(" not {} {} {}", row.law, row.reason, row.text.as_deref().unwrap_or("-"))
                });
                let fields =
                    [shown(line.origin), shown(line.usage.as_ref()), shown(line.value), shown(line.weight)];
                let fields = fields.join(" ");
                format!("; {} {} {fields}{}", line.sequence, line.hs, held.chain(not).collect::<String>())
            });
            let Declaration { number, function, importer, export_from, .. } = declaration;
            let (importer, export_from) = (shown(importer.as_ref()), shown(*export_from));
            let attached = attached(&declaration.attachments);
            format!("{number} {function} {importer} {export_from}{}{attached}", lines.collect::<String>())
        }
        Document::Application(application) => {
            let items = application.items.iter().map(|item| format!("; {} {}", item.sequence, item.hs));
            let ApplicationDocument { code, number, function, reason, attachments, .. } = application;
            let reason = reason.as_ref().map(|reason| format!(" because {reason}")).unwrap_or_default();
            format!(
                "{code} {number} {function}{reason}{}{}",
                items.collect::<String>(),
                attached(attachments)
            )
        }
        Document::Result(result) => {
            let items = result.items.iter().map(|item| {
                let (quantity, reason) = (shown(item.quantity), shown(item.reason.as_ref()));
                format!("; {} {} {quantity} {reason}", item.sequence, item.outcome.as_str())
            });
            format!(
                "{} {} {} for {} of {}: {} until {}, {}{}",
                result.code,
                result.number,
                result.issued_at,
                shown(result.application.as_ref()),
                shown(result.applicant.as_ref()),
                result.outcome.as_str(),
                shown(result.valid_until),
                shown(result.remarks.as_ref()),
                items.collect::<String>(),
            )
        }
        Document::Notice(notice) => format!(
            "{} {} {} for {} as {}: {} until {}, {}",
            notice.code,
            notice.number,
            notice.issued_at,
            shown(notice.application.as_ref()),
            shown(notice.acceptance_number.as_ref()),
            notice.notice.as_str(),
            shown(notice.deadline),
            shown(notice.remarks.as_ref()),
        ),
        Document::Change(change) => format!(
            "{} {} {} for {}: {} {}, {}",
            change.code,
            change.number,
            change.issued_at,
            change.declaration,
            shown(change.sequence),
            shown(change.reason.as_ref()),
            shown(change.text.as_ref()),
        ),
        Document::Customs(notice) => format!(
            "{} {} {} for {}: {}, {}",
            notice.code,
            notice.number,
            notice.issued_at,
            notice.declaration,
            shown(notice.status.as_ref()),
            shown(notice.remarks.as_ref()),
        ),
        Document::StatusReport(report) => {
            let rows = report.applications.iter().map(|row| {
                let (number, remarks) = (shown(row.number.as_ref()), shown(row.remarks.as_ref()));
                format!("; {} {} {number} {} {remarks}", row.agency, row.document, row.state)
            });
            let StatusReport { number, issued_at, declaration, case, revision, event, outcome, .. } = report;
            let outcome = shown(outcome.as_ref());
            let rows = rows.collect::<String>();
            let declaration = shown(declaration.as_ref());
            format!("{number} {issued_at} for {declaration} in {case}.{revision}: {event} {outcome}{rows}")
        }
        Document::Query(query) => {
            let asks = match &query.asks {
                Asked::Status(key) => format!("status of {key}"),
                Asked::Requirements { hs, origin, usage, .. } => {
                    format!("requirements of {hs} {} {}", shown(*origin), shown(usage.as_ref()))
                }
                Asked::Redelivery(message_id) => format!("again {message_id}"),
                Asked::Statistics(month) => format!("statistics of {}", shown(*month)),
            };
            format!("{} {}: {asks}", query.number, query.issued_at)
        }
        Document::QueryAnswer(answer) => {
            let rows = answer.requirements.iter().map(|row| {
                let (agency, application, result) = (&row.agency, &row.application, &row.result);
                format!(
                    "; {} {agency} {application} {result} {} {}",
                    row.law,
                    row.rule,
                    row.conditions.join(", ")
                )
            });
            let rows = rows.collect::<String>();
            format!("{} {} to {}{rows}", answer.number, answer.issued_at, answer.query)
        }
        Document::FeeNotice(notice) => format!(
            "{} {} for {}: {} to {} until {}, {}",
            notice.number,
            notice.issued_at,
            notice.application,
            notice.price,
            notice.payee.account,
            notice.due_by,
            notice.reason
        ),
        Document::PaymentOrder(order) => format!(
            "{} {} for {}: {} of {} from {}",
            order.number, order.issued_at, order.application, order.price, order.fee, order.payer.account
        ),
        Document::PaymentConfirmation(said) => {
            let outcome = match &said.outcome {
                PaymentOutcome::Paid { reference, at } => format!("paid as {reference} {at}"),
                PaymentOutcome::Refused { reason } => format!("refused, {reason}"),
            };
            let PaymentConfirmation { number, issued_at, application, fee, order, price, .. } = said;
            format!("{number} {issued_at} for {application}: {price} of {fee} by {order} {outcome}")
        }
        Document::SystemNotice(notice) => {
            format!("{} {}: {}", notice.number, notice.issued_at, notice.text)
        }
    }
}

fn shown(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn attached(attachments: &[ContentId]) -> String {
    attachments.iter().map(|content_id| format!("; with {content_id}")).collect()
}

/// A file of `tests/samples/documents`.
struct Sample {
    path: PathBuf,
    code: DocumentCode,
    octets: Vec<u8>,
    /// Its `.findings`, when it is invalid.
    expected: Option<String>,
}

impl Sample {
    /// Its folder and name, such as `929/herbs`.
    fn name(&self) -> String {
        let folder = self.path.parent().and_then(Path::file_name).unwrap_or_default();
        let file = self.path.file_stem().unwrap_or_default();
        format!("{}/{}", folder.display(), file.display())
    }

    /// What reading it finds. Validation reports are read by nobody: of these, what their schema finds.
    fn findings(&self) -> Vec<Finding> {
        let catalogue = Catalogue::built_in();
        let document_type = catalogue.of_code(self.code.as_str()).expect("a folder has the name of a code");
        if document_type.family == DocumentFamily::ValidationReport {
            let findings = schema_findings(catalogue, document_type, &self.octets, came());
            return findings.expect("the sample is well-formed");
        }
        read_document(catalogue, &self.code, &self.octets, came()).err().unwrap_or_default()
    }
}

/// When every sample came.
fn came() -> Timestamp {
    "2009-12-01T10:00:00+09:00".parse().expect("is an instant")
}

fn samples() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/documents");
    let mut samples = Vec::new();
    for folder in entries(&root) {
        let code = folder.file_name().expect("a folder has a name").to_string_lossy();
        let code: DocumentCode = format!("GOVCBR{code}").parse().expect("a folder has the name of a code");
        for path in entries(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "xml")) {
            let octets = fs::read(&path).expect("a sample can be read");
            let expected = fs::read_to_string(path.with_extension("findings")).ok();
            samples.push(Sample { path, code: code.clone(), octets, expected });
        }
    }
    samples
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(directory).expect("the directory of samples can be read");
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.expect("an entry can be read").path()).collect();
    entries.sort();
    entries
}
