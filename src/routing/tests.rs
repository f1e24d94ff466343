//! Whole rule directories: the worked example, every mistake of the check, and what must not change a plan.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Declaration, DeclarationLine};

macro_rules! files {
    ($($name:literal)+) => {
        RuleFiles(BTreeMap::from([$((
            $name.to_owned(),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/routing-rules/kr-import/", $name)).to_vec(),
        )),+]))
    };
}

/// The rule directory of the repository, tests and all.
fn worked_example() -> RuleFiles {
    files! {
        "ruleset.toml" "requirements.csv" "except.csv" "calendars/kr.csv"
        "tests/herbs.toml" "tests/animals.toml" "tests/goods.toml"
    }
}

fn codes(list: &str, code: &str) -> bool {
    match list {
        "country" => code.len() == 2 && code != "QQ",
        "law" => code.len() == 2 && code != "99",
        "document" => code.starts_with("GOVCBR") && code != "GOVCBRX99",
        _ => !code.starts_with("77"),
    }
}

const KNOWN: Known<'_> = Known { codes: &codes, registry: None };

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn declaration(lines: &[(&str, &str, &str)]) -> Declaration {
    let line = |(at, (hs, origin, usage)): (usize, &(&str, &str, &str))| DeclarationLine {
        count: None,
        sequence: u16::try_from(at + 1).expect("few lines"),
        hs: hs.parse().expect(hs),
        origin: origin.parse().ok(),
        usage: usage.parse().ok(),
        value: None,
        weight: None,
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    Declaration {
        number: "12345260000011".into(),
        function: "9".into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: lines.iter().enumerate().map(line).collect(),
        attachments: Vec::new(),
    }
}

#[test]
fn the_worked_example_has_no_fault_and_passes_its_tests() {
    let files = worked_example();
    let (rules, warnings) = RuleSet::load(&files, &KNOWN).expect("it is in order");
    assert_eq!(warnings, []);
    let report = rules.run_tests(&files);
    assert!(report.passed(), "{report:#?}");
    assert_eq!(report.never_exercised, [], "every row is exercised");
    assert!(report.outcomes.len() >= 15);
}

#[test]
fn a_plan_says_who_what_and_by_when() {
    let (rules, _) = RuleSet::load(&worked_example(), &KNOWN).expect("it is in order");
    let plan = rules.plan(&declaration(&[("0201300000", "BR", "SALE")]), at("2009-12-01T10:00:00+09:00"));
    let [application] = plan.applications.as_slice() else { panic!("one application: {plan:?}") };
    assert_eq!(application.cpa_id.as_ref().map(CpaId::as_str), Some("swgw-nvrqs-2"));
    assert_eq!(application.result.as_str(), "GOVCBRX53");
    assert!(application.required);
    // On equal keys the profile with the latest decide applies (ruling 11).
    assert_eq!(application.profile.as_deref(), Some("lab"));
    assert_eq!(application.accept_by, Some(at("2009-12-01T12:00:00+09:00")));
    assert_eq!(application.decide_by, Some(at("2009-12-15T10:00:00+09:00")));
    assert_eq!(plan.rows.len(), 2);
    assert_eq!(plan.rule_set, rules.digest());

    let plan = rules.plan(&declaration(&[("0201300000", "US", "SALE")]), at("2009-12-01T10:00:00+09:00"));
    let near = &plan.trace[0].near;
    assert_eq!(
        near.iter().map(|(id, why)| (id.as_str(), &**why)).collect::<Vec<_>>(),
        [("animal-fmd", "origin")]
    );
}

#[test]
fn envelopes_are_taken_by_at_most_one_rule() {
    let (rules, _) = RuleSet::load(&worked_example(), &KNOWN).expect("it is in order");
    let check = |service: &str, action: &str, role: &str, expected: Option<Pipeline>| {
        let role = Role::new(role).ok();
        let (from, cpa) = ("BR123450000001".parse().expect("a party"), "c".parse().expect("a CPAId"));
        let query = EnvelopeQuery { service, action, from_role: role.as_ref(), from: &from, cpa: &cpa };
        assert_eq!(rules.envelope(&query).map(|rule| rule.pipeline), expected, "{service} {action} {role:?}");
    };
    check("ImportClearance", "GOVCBR929", "Declarant", Some(Pipeline::Lodge));
    check("ImportClearance", "GOVCBR929", "Agency", None);
    check("ImportClearance", "GOVCBR929", "", None);
    check("RequirementVerification", "GOVCBRX04", "Declarant", Some(Pipeline::Application));
    check("RequirementVerification", "GOVCBRX54", "Agency", Some(Pipeline::Result));
    check("RequirementVerification", "GOVCBRFS7", "Agency", Some(Pipeline::Result));
    check("RequirementVerification", "GOVCBRRBH", "Agency", Some(Pipeline::Notice));
    check("ImportClearance", "GOVCBR023", "Customs", Some(Pipeline::CustomsNotice));
    check("Payment", "GOVCBRXF1", "Agency", Some(Pipeline::Fee));
    check("Payment", "GOVCBRXF2", "Declarant", Some(Pipeline::Payment));
    check("Payment", "GOVCBRXF3", "Agency", None);
}

/// The worked example with one text replaced.
fn changed(file: &str, from: &str, to: &str) -> RuleFiles {
    let mut files = worked_example();
    let octets = files.0.get_mut(file).expect(file);
    let text = String::from_utf8(octets.clone()).expect("UTF-8");
    assert!(text.contains(from), "{file} holds {from}");
    *octets = text.replacen(from, to, 1).into_bytes();
    files
}

/// The line of the worked rule set that holds a text first.
fn line_of(text: &str) -> usize {
    let files = worked_example();
    let ruleset = String::from_utf8_lossy(&files.0["ruleset.toml"]).into_owned();
    ruleset.lines().position(|line| line.contains(text)).expect(text) + 1
}

#[test]
fn every_mistake_is_told_with_its_place() {
    fn check(file: &str, from: &str, to: &str, place: (usize, usize), message: &str) {
        let faults = match RuleSet::load(&changed(file, from, to), &KNOWN) {
            Ok((_, warnings)) => warnings,
            Err(faults) => faults,
        };
        let told = faults.iter().any(|fault| {
            fault.file == file && (fault.line, fault.column) == place && fault.message.contains(message)
        });
        let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(told, "{to:?}: {message} at {file} {place:?}, found {found:#?}");
    }
    let toml = |from, to, place, message| check("ruleset.toml", from, to, place, message);
    // Envelope rules come and go: what stands among or behind them is found by its text.
    let on = |text: &str, column| (line_of(text), column);
    check("ruleset.toml", "swgw-rules/1", "swgw-rules/9", (3, 10), "is not known");
    toml("id = \"kr-import\"\n", "", (1, 1), "id is missing");
    toml("Asia/Seoul", "Asia/Soul", (6, 13), "no time zone");
    toml("09:00..18:00", "18:00..09:00", (8, 9), "are no hours");
    toml("\"Saturday\"", "\"Samstag\"", (9, 12), "is no day");
    toml("kr.csv", "jp.csv", (7, 12), "there is no file");
    toml("\"except.csv\"", "\"exempt.csv\"", (10, 31), "there is no table");
    toml("FMD = [\"BR\"", "FMD = [\"QQ\"", (13, 8), "is no country");
    toml("0302..0308", "0308..0302", (16, 12), "is empty");
    toml("accept = \"2h\"", "accept = \"2x\"", (21, 20), "is not working time");
    toml("[0.5, 0.8, 1.0]", "[5.0]", (21, 71), "no list of shares");
    toml("notify:applicant", "approve:applicant", (21, 99), "is no action");
    toml("mode = \"system\"", "mode = \"magic\"", (25, 64), "is not known");
    toml("[\"0201..0210\", \"1601..1602\"]", "[]", (18, 1), "the class meat names no goods");
    toml("[\"0201..0210\", \"1601..1602\"]", "[\"!0201\"]", (18, 1), "the class meat names no goods");
    toml("\"0201..0210\"", "\"7701\"", (18, 9), "is not in the HS table");
    toml("[\"BR\", \"CN\", \"IN\", \"VN\"]", "[]", (13, 1), "the group FMD is empty");
    toml("ignore_timing = [2]", "ignore_timing = [1]", on("ignore_timing", 17), "always count");
    toml(
        "on_unfavourable = \"wait\"",
        "on_unfavourable = \"report\"",
        on("on_unfavourable", 19),
        "is not known",
    );
    toml("cpa = \"swgw-kfda-3\", ", "", (25, 1), "KFDA has no agreement");
    toml("profile = \"lab\" }", "profile = \"slow\" }", (25, 84), "there is no profile slow");
    toml(
        "pipeline = \"lodge\", also_to",
        "pipeline = \"loge\", also_to",
        on("also_to", 21),
        "there is no pipeline",
    );
    toml("also_to = [\"customs\"]", "also_to = [\"custom\"]", on("also_to", 41), "is no addressee");
    toml("complete = \"all\"", "complete = \"most\"", on("complete =", 12), "is not known");
    toml("ignore_timing = [2]", "ignore_timing = [4]", on("ignore_timing", 17), "no list of timings");
    toml(
        "from_role = \"Declarant\" }\nthen = { pipeline = \"lodge\"",
        "from_rolle = \"Declarant\" }\nthen = { pipeline = \"lodge\"",
        on("\"GOVCBR929\"", 64),
        "unknown key from_rolle",
    );
    toml(
        "\"prefix:GOVCBRX0\"",
        "\"prefix:GOVCBRX0\", \"GOVCBR929\"",
        on("[envelope.lodge-import]", 11),
        "take the same envelopes",
    );
    toml("[class]\n", "[class]\nempty = [\"01\"]\n", (16, 1), "nothing uses the class empty");
    toml("[groups.origin]\n", "[groups.origin]\nEU = [\"DE\"]\n", (13, 1), "nothing uses the group EU");
    toml("tables = ", "tables = = ", (10, 10), "extra `=`");

    let csv = |from, to, place, message| check("requirements.csv", from, to, place, message);
    csv("id,from", "id,form", (1, 4), "unknown column");
    csv("GOVCBRX51,1,,processed food", "GOVCBRX51,1,", (2, 1), "cells under 14 columns");
    csv("plant,2006-03-02", "plant,2006-02-30", (5, 7), "is no date");
    csv("plant,2006-03-02", "plant,20060302", (5, 7), "is no date");
    csv("plant,2006-03-02", "pl\u{1}ant,2006-03-02", (5, 1), "expected a rule id");
    csv("@FMD", ";", (7, 49), "empty item");
    csv("9018..9022", "9018..9022;", (12, 20), "empty item");
    csv("2009-07-01,2010-01-01", "2010-07-01,2010-01-01", (7, 23), "ends before it begins");
    csv("4401..4409;1209", "4409..4401;1209", (5, 19), "is empty");
    csv("4401..4409;1209", "4401..4409;12O9", (5, 30), "HS code");
    csv("9018..9022", "7701", (12, 20), "is not in the HS table");
    csv("fresh-produce,,!RD", "fresh-product,,!RD", (3, 27), "there is no class");
    csv("@FMD", "@FMP", (7, 49), "there is no group");
    csv("@FMD", "QQ", (7, 49), "is no country");
    csv("@FMD", "CN;!CN", (7, 49), "can never match");
    csv("3303..3307", "3303..3307;!33", (11, 22), "can never match");
    csv("!RD,05", "!R&D,05", (2, 116), "is no usage");
    csv("!RD,01", "RND,01", (10, 36), "is no usage");
    csv(",70,KPTA", ",99,KPTA", (11, 36), "there is no law");
    csv(",70,KPTA", ",70,KTPA", (11, 39), "there is no agency");
    csv(",70,KPTA", ",,KPTA", (11, 36), "law is empty");
    csv("GOVCBRX06", "GOVCBRX99", (12, 43), "there is no document");
    csv("GOVCBRX56,1", "GOVCBRX56,7", (12, 63), "timing");
    csv("1,lab,temporary", "1,labor,temporary", (7, 86), "there is no profile");
    csv("device,", "drug,", (12, 1), "stands in line 10 too");
    csv("3303..3307", "", (11, 1), "no condition at all");
    csv("date illustrative", "=1+1", (9, 76), "formula");
    csv("date illustrative", "a \"stray\" quote", (9, 76), "stray quote");
    csv("device,", "device\t,", (12, 7), "a tab");
    csv("8509;8516;9019.10,,,,23,KTL", "9018..9022,,,,72,KMDIA", (13, 1), "contradicts device");
    csv(
        "electric,2007-02-01,,8509;8516;9019.10,,,,23,KTL,GOVCBRX11,GOVCBRX61",
        "electric,2007-02-01,,9018,,,,72,KMDIA,GOVCBRX06,GOVCBRX56",
        (13, 1),
        "adds nothing to device",
    );
    csv(
        "cosmetic,2006-03-02,,3303..3307,,,,70,KPTA,GOVCBRFR2,GOVCBRFS7",
        "cosmetic,2006-03-02,,3303..3307,,,,70,KPTA,GOVCBRFR2,GOVCBRX51",
        (11, 54),
        "expects GOVCBR",
    );
    csv(
        "cosmetic,2006-03-02,,3303..3307,,,,70,KPTA,GOVCBRFR2,GOVCBRFS7",
        "cosmetic,2006-03-02,,1211;3001..3006,,,!RD,01,KPTA,GOVCBRX11,GOVCBRX61",
        (11, 1),
        "contradicts drug in line 10",
    );
    csv("id,from", "\u{FEFF}id,from", (1, 1), "byte order mark");
    csv("note\n", "note\r\n", (1, 86), "CRLF line ends");

    let except = |from, to, place, message| check("except.csv", from, to, place, message);
    except(",2009-12-01,", ",,", (2, 23), "until is empty");
    except("kitchen appliances shown at a trade fair and taken back", "", (2, 64), "reason is empty");
    except(",05,KFDA,", ",,,", (2, 56), "neither law nor agency");
    except(",hs,", ",hs,hs,", (1, 18), "stands twice");
    // Rows against each other.
    let row = "electric,2007-02-01,,8509;8516;9019.10,,,,23,KTL,GOVCBRX11,GOVCBRX61,1,,";
    let csv =
        |to: &str, place, message| check("requirements.csv", row, &format!("{row}\n{to}"), place, message);
    csv(
        "more,2007-02-01,,8508..8510,,,,23,KTL,GOVCBRX11,GOVCBRX61,1,,",
        (14, 1),
        "more overlaps electric in line 13, which asks for the same where goods are as 8509",
    );
    csv(
        "more,2007-02-01,,8509,,,,23,KTL,GOVCBRX06,GOVCBRX56,1,,",
        (14, 1),
        "more overlaps electric in line 13, which asks for something else where goods are as 8509",
    );
    csv("more,2007-02-01,,8509,,,,23,KTL,GOVCBRX11,GOVCBRX61,2,,", (14, 1), "which asks for something else");
    csv(
        "more,2007-02-01,,8509,,CN,,23,KTL,GOVCBRX11,GOVCBRX61,1,,",
        (14, 1),
        "more adds nothing to electric in line 13",
    );
    csv(
        "more,2007-02-01,,8509;8516;9019.10,,,,23,KTL,GOVCBRX11,GOVCBRX61,2,,",
        (14, 1),
        "more contradicts electric in line 13",
    );
    csv(
        "more,2009-11-01,2009-12-01,8509.80,,,OWN,05,KFDA,GOVCBRX01,GOVCBRX51,1,,",
        (14, 1),
        "more never counts: exception trade-fair in except.csv line 2 always takes it away",
    );
    except("8509.80;8516.79", "8501", (2, 1), "exception trade-fair takes nothing away");
    except(",OWN,05,KFDA", ",OWN,05,KTL", (2, 1), "exception trade-fair takes nothing away");
    except("trade-fair,", "drug,", (2, 1), "id drug stands in requirements.csv line 10 too");
    toml(
        "[join.import-case]",
        "[join.other]\npipeline = \"lodge\"\n[join.import-case]",
        on("[join.import-case]", 7),
        "other is for the same cases as import-case",
    );
    toml(
        "pipeline = \"lodge\", also_to = [\"customs\"]",
        "pipeline = \"application\"",
        on("[join.import-case]", 7),
        "no envelope rule leads to the join import-case",
    );

    check("calendars/kr.csv", "2010-01-01", "2009-12-25", (3, 1), "stands twice");
    check("calendars/kr.csv", "2010-01-01", "01.01.2010", (3, 1), "is no date");
}

#[test]
fn agreements_are_held_against_the_registry_when_there_is_one() {
    let registry = Registry::default();
    let known = Known { registry: Some(&registry), ..KNOWN };
    let faults = RuleSet::load(&worked_example(), &known).expect_err("nobody is registered");
    assert_eq!(
        faults.iter().filter(|fault| fault.message.contains("no agreement that is registered")).count(),
        7
    );
}

#[test]
fn a_document_of_two_agencies_belongs_to_neither() {
    let of = |files: &RuleFiles| {
        let (rules, _) = RuleSet::load(files, &KNOWN).expect("it is in order");
        let target = rules.agency_of_document(&"GOVCBRX06".parse().expect("a code"));
        target.map(|target| target.agency.to_string())
    };
    assert_eq!(of(&worked_example()).as_deref(), Some("KMDIA"));
    let shared = changed("requirements.csv", "KTL,GOVCBRX11,GOVCBRX61", "KTL,GOVCBRX06,GOVCBRX56");
    assert_eq!(of(&shared), None);
}

#[test]
fn rows_after_clearance_are_not_counted_with_or_without_a_join() {
    let after = changed("requirements.csv", "GOVCBRX56,1", "GOVCBRX56,2");
    let mut without = after.clone();
    let text = String::from_utf8(after.0["ruleset.toml"].clone()).expect("UTF-8");
    let text = text.split("[join.").next().expect("a part").to_owned();
    without.0.insert("ruleset.toml".into(), text.into_bytes());
    for files in [after, without] {
        let (rules, _) = RuleSet::load(&files, &KNOWN).expect("it is in order");
        let plan = rules.plan(&declaration(&[("9018909011", "DE", "SALE")]), at("2009-12-01T10:00:00+09:00"));
        assert_eq!(plan.applications.iter().map(|a| a.required).collect::<Vec<_>>(), [false], "ruling 12");
    }
}

#[test]
fn rule_tests_tell_only_differences() {
    let files = changed("tests/herbs.toml", "rules = [\"plant\"]", "rules = [\"planet\"]");
    let (rules, _) = RuleSet::load(&files, &KNOWN).expect("tests are not rules");
    let report = rules.run_tests(&files);
    let failed: Vec<_> = report.outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].place, "tests/herbs.toml:1");
    assert_eq!(failed[0].differences, ["NPQS GOVCBRX02: rules [\"plant\"], expected [\"planet\"]"]);

    let files = changed("tests/herbs.toml", "usage = \"RD\"", "use = \"RD\"");
    let report = rules.run_tests(&files);
    assert!(report.faults.iter().any(|fault| fault.message.contains("unknown key use")), "{report:?}");
    assert!(!report.passed());
}

#[test]
fn the_digest_names_what_decides() {
    let digest = |files: &RuleFiles| RuleSet::load(files, &KNOWN).expect("in order").0.digest();
    let own = digest(&worked_example());
    assert_eq!(own, digest(&changed("tests/herbs.toml", "herb fans", "herb goes")), "tests are left out");
    assert_ne!(own, digest(&changed("requirements.csv", "edible", "eatable")));
    assert_ne!(own, digest(&changed("calendars/kr.csv", "Christmas Day", "Christmas")));
    assert_ne!(own, digest(&changed("ruleset.toml", "2009-12-01", "2009-12-02")));
}

#[test]
fn an_archive_has_the_digest_of_its_set_and_gives_the_files_back() {
    let files = worked_example();
    let (rules, _) = RuleSet::load(&files, &KNOWN).expect("in order");
    let archive = rules.archive();
    assert_eq!(crate::model::Digest::of(archive), rules.digest());
    let back = RuleFiles::of_archive(archive).expect("is one");
    let names: Vec<_> = back.0.keys().map(String::as_str).collect();
    assert_eq!(names, ["calendars/kr.csv", "except.csv", "requirements.csv", "ruleset.toml"], "no tests");
    assert_eq!(RuleSet::load(&back, &KNOWN).expect("in order").0.digest(), rules.digest());
    for length in [0, 1, 7, 8, 20, archive.len() - 1] {
        assert_eq!(RuleFiles::of_archive(&archive[..length]), None, "{length} octets of it are none");
    }
}

#[test]
fn an_explanation_names_near_misses_claims_and_statements() {
    use crate::model::{NotApplicable, RequirementRow};
    let (rules, _) = RuleSet::load(&worked_example(), &KNOWN).expect("it is in order");
    let mut goods = declaration(&[("1211901000", "CN", "RD")]);
    let line = &mut goods.lines[0];
    let law = |text: &str| text.parse().expect("a law");
    line.not_applicable.push(NotApplicable { law: law("12"), reason: "B".into(), text: None });
    line.requirements.push(RequirementRow {
        law: law("05"),
        number: "N-1".into(),
        quantity: None,
        unit: None,
    });
    let told = rules.explain(&goods, at("2009-12-01T10:00:00+09:00"));
    let line = &told.lines[0];
    assert_eq!(line.hits, ["plant: law 12 -> NPQS GOVCBRX02 (declared not applicable, reason B)"]);
    assert_eq!(line.near, ["drug but for usage", "food-produce but for usage"]);
    assert_eq!(line.claimed, ["law 05 under number N-1 (claimed, not verified)"]);
    assert_eq!(told.join, "nothing is required: ready at once");
}

proptest! {
    #[test]
    fn the_order_of_rows_means_nothing(seed in any::<u64>(), goods in prop::sample::select(vec![
        "1211901000", "0201300000", "0306310000", "8516791000", "1604200000", "9019102000", "3304991000",
    ])) {
        let files = worked_example();
        let text = String::from_utf8(files.0["requirements.csv"].clone()).expect("UTF-8");
        let (header, rows) = text.split_once('\n').expect("a header");
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_by_key(|row| crate::model::Digest::of(format!("{seed}{row}").as_bytes()));
        let mut shuffled = files.clone();
        shuffled.0.insert("requirements.csv".into(), format!("{header}\n{}\n", rows.join("\n")).into_bytes());
        let plan = |files: &RuleFiles| {
            let (rules, _) = RuleSet::load(files, &KNOWN).expect("in order");
            let mut plan = rules.plan(&declaration(&[(goods, "CN", "SALE")]), at("2009-12-01T10:00:00+09:00"));
            plan.rule_set = crate::model::Digest([0; 32]);
            plan
        };
        prop_assert_eq!(plan(&files), plan(&shuffled));
    }
}
