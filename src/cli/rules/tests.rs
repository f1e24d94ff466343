//! The commands on the worked example and on copies of it with one thing changed.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    rules: RulesArgs,
}

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/routing-rules/kr-import");

/// What a command says, and what it fails with.
fn told(arguments: &[&str]) -> (String, Option<String>) {
    let mut out = Vec::new();
    let line = Line::try_parse_from([&["rules"], arguments].concat()).expect("is a command");
    let failed = line.rules.run(&mut out).err().map(|error| format!("{error:#}"));
    (String::from_utf8(out).expect("is text"), failed)
}

/// A copy of the worked example with one text replaced.
fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("makes a directory");
    for (path, octets) in read_rules(Path::new(EXAMPLE)).expect("is readable").0 {
        let text = String::from_utf8(octets).expect("is text");
        let text = if path == file { text.replacen(from, to, 1) } else { text };
        let path = copy.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("makes it");
        fs::write(path, text).expect("writes");
    }
    copy
}

fn path(directory: &tempfile::TempDir) -> &str {
    directory.path().to_str().expect("is text")
}

#[test]
fn the_worked_example_is_in_order_and_passes_its_tests() {
    let (out, failed) = told(&["check", EXAMPLE, "--at", "2009-11-30T10:00:00+09:00"]);
    assert_eq!(failed, None, "{out}");
    assert!(
        out.starts_with("kr-import 2009-12-01 can be used: 12 requirements, 0 warning(s), digest "),
        "{out}"
    );
    let (out, failed) = told(&["check", EXAMPLE, "--at", "2010-01-01T00:00:00+09:00"]);
    assert_eq!(failed, None, "{out}");
    let ended = [
        "except.csv:2:23: warning: trade-fair has ended",
        "requirements.csv:7:23: warning: animal-fmd has ended",
    ];
    for (line, ended) in out.lines().zip(ended) {
        assert!(line.starts_with(&format!("{EXAMPLE}/{ended}; remove it")), "{line}");
    }
    assert!(out.contains(" 2 warning(s), "), "{out}");
    let (out, failed) = told(&["test", EXAMPLE]);
    assert_eq!(failed, None, "{out}");
    assert!(out.ends_with(" tests passed, 13 of 13 rows exercised\n") && out.lines().count() == 1, "{out}");
}

#[test]
fn mistakes_are_told_with_their_place_for_people_and_machines() {
    let broken = changed("requirements.csv", ",KMDIA,", ",KMDA,");
    let (out, failed) = told(&["check", path(&broken)]);
    let fault = format!("{}/requirements.csv:12:", path(&broken));
    assert!(out.contains(&fault) && out.contains(": error: "), "{out}");
    assert_eq!(failed, Some(format!("1 error(s) in {}", path(&broken))), "{out}");
    let (out, failed) = told(&["check", "--json", path(&broken)]);
    let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
    assert_eq!(read["faults"][0]["line"], 12, "{out}");
    assert!(failed.is_some() && read["rule_set"].is_null());
    for command in [&["test", path(&broken)][..], &["explain", path(&broken), "--line", "1211901000"]] {
        assert!(told(command).1.is_some_and(|failed| failed.contains("cannot be used")), "{command:?}");
    }
    assert!(told(&["check", "/nowhere"]).1.is_some_and(|failed| failed.contains("cannot be read")));
}

#[test]
fn what_an_official_list_has_and_no_row_asks_for_is_told() {
    let world = tempfile::tempdir().expect("makes a directory");
    let list = world.path().join("list.csv");
    let text = "hs,name,law,from,until\n1211901000,herbs,05,,\n3004909900,drugs,69,2009-01-01,\n\
                9503003919,toys,24,2010-01-01,\n85,appliances,23,,\n0805,citrus,12,,2009-01-01\n";
    fs::write(&list, text).expect("writes");
    let list = list.to_str().expect("is text");
    let check = |extra: &[&str]| {
        let at = ["--at", "2009-11-30T10:00:00+09:00", "--official", list];
        told(&[&["check", EXAMPLE], &at[..], extra].concat())
    };
    let (out, failed) = check(&[]);
    assert_eq!(failed, None, "{out}");
    let gaps: Vec<&str> = out.lines().filter(|line| line.contains("no row asks")).collect();
    assert_eq!(gaps.len(), 2, "{out}");
    assert!(
        gaps[0].starts_with(&format!(
            "{list}:3:1: warning: no row asks for law 69 where goods are as 3004909900"
        ))
    );
    assert!(gaps[1].starts_with(&format!("{list}:5:1: ")), "only some of chapter 85 is asked for: {out}");
    let (out, _) = check(&["--json"]);
    let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
    assert_eq!(read["gaps"][0]["line"], 3, "{out}");
    for (text, fault) in [
        ("hs,name\n", "1:1: error: there is no column law"),
        ("hs,law\n12119O,05\n", "2:1: error: \"12119O\" is no HS code"),
        ("hs,law\n1211,99\n", "2:6: error: there is no law \"99\""),
        ("hs,law,from\n1211,05,1.1.2009\n", "2:9: error: \"1.1.2009\" is no date"),
        ("hs,law\n1211\n", "2:1: error: 1 cells under 2 columns"),
    ] {
        fs::write(list, text).expect("writes");
        let (out, failed) = check(&[]);
        assert!(failed.is_some() && out.starts_with(&format!("{list}:{fault}")), "{fault}: {out}");
    }
}

#[test]
fn mistakes_of_rule_tests_are_told_by_check_too() {
    let broken = changed("tests/herbs.toml", "name =", "nane =");
    let (out, failed) = told(&["check", path(&broken)]);
    assert!(failed.is_some() && out.contains("/tests/herbs.toml:"), "{out}");
}

#[test]
fn a_test_that_fails_is_told_by_its_differences_only() {
    let broken = changed("tests/herbs.toml", "[\"plant\"]", "[\"plants\"]");
    let (out, failed) = told(&["test", path(&broken)]);
    assert!(failed.is_some_and(|failed| failed.starts_with("1 of ")), "{out}");
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("/tests/herbs.toml:") && out.contains("plants"), "{out}");
}

#[test]
fn a_declaration_is_explained_line_by_line() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/documents/929/held-approvals.xml");
    let at = "2009-12-01T10:00:00+09:00";
    let (out, failed) = told(&["explain", EXAMPLE, "--doc", document, "--at", at]);
    assert_eq!(failed, None, "{out}");
    for expected in [
        "line 1 0805100000",
        "hit   plant: law 12 -> NPQS GOVCBRX02",
        "held  law 12 under number NPQS-2009-004711 (claimed, not verified)",
        "hit   electric: law 23 -> KTL GOVCBRX11 (declared not applicable, reason Z",
        "join: import-case: all_collected after 2 required application(s)",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let (out, _) = told(&["explain", "--json", EXAMPLE, "--doc", document, "--at", at]);
    let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
    assert_eq!(read["plan"]["applications"].as_array().map(Vec::len), Some(2), "{out}");
}

#[test]
fn lines_in_short_are_explained_too() {
    let at = "2009-12-01T10:00:00+09:00";
    let (out, failed) = told(&["explain", EXAMPLE, "--line", "0201300000 US", "--at", at]);
    assert_eq!(failed, None, "{out}");
    assert!(out.contains("near  animal-fmd but for origin"), "{out}");
    for line in ["1211", "1211901000 cn", "1211901000 CN SALE more", ""] {
        assert!(Line::try_parse_from(["rules", "explain", EXAMPLE, "--line", line]).is_err(), "{line:?}");
    }
    for arguments in [
        &["explain", EXAMPLE][..],
        &["explain", EXAMPLE, "--line", "1211901000", "--at", "2009-12-01T10:00:00"],
    ] {
        assert!(Line::try_parse_from([&["rules"], arguments].concat()).is_err(), "{arguments:?}");
    }
    assert!(told(&["explain", EXAMPLE, "--line", "7318150000"]).0.contains("join: nothing is required"));
}

#[test]
fn a_document_with_findings_or_of_another_kind_is_not_explained() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/documents/");
    let explain = |name: &str| told(&["explain", EXAMPLE, "--doc", &format!("{samples}{name}")]);
    let (out, failed) = explain("929/three-findings.xml");
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(failed.is_some_and(|failed| failed.contains("3 finding(s)")));
    assert!(explain("X01/herbs.xml").1.is_some_and(|failed| failed.contains("not an import declaration")));
    assert!(explain("929/not-there.xml").1.is_some_and(|failed| failed.contains("cannot read")));
}

const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/documents");

#[test]
fn a_set_does_not_differ_from_itself() {
    let (out, failed) = told(&["diff", EXAMPLE, EXAMPLE, "--fail-on-change"]);
    assert_eq!(failed, None, "{out}");
    assert!(out.starts_with("text: 0 change(s)\nbehaviour: 0 of "), "{out}");
}

#[test]
fn other_applications_deadlines_and_joins_are_told_for_each_declaration() {
    let check = |file: &str, from: &str, to: &str, text: &str, behaviour: &[&str]| {
        let next = changed(file, from, to);
        let (out, failed) = told(&["diff", EXAMPLE, path(&next), "--fail-on-change"]);
        assert!(out.contains(text), "{text}\n{out}");
        assert_eq!(failed.is_some(), !behaviour.is_empty(), "{failed:?}\n{out}");
        for line in behaviour {
            assert!(out.contains(line), "{line}\n{out}");
        }
    };
    let herbs = "  tests/herbs.toml:1 medicinal herb fans out to three agencies\n";
    check("ruleset.toml", "# foot-and-mouth", "# foot and mouth", "text: 0 change(s)", &[]);
    check(
        "requirements.csv",
        "plant,2006-03-02,",
        "plant,2010-03-02,",
        "  ~ requirements.csv plant: from \"2006-03-02\" -> \"2010-03-02\"\n",
        &[herbs, "    - NPQS GOVCBRX02\n"],
    );
    check(
        "requirements.csv",
        "01,KPTA,GOVCBRFR2,GOVCBRFS7,1,",
        "01,KPTA,GOVCBRFR2,GOVCBRFS7,2,",
        "requirements.csv drug: timing \"1\" -> \"2\"",
        &[herbs, "    ~ KPTA GOVCBRFR2: counted \"yes\" -> \"no\"\n"],
    );
    check(
        "ruleset.toml",
        "quick = { accept = \"2h\", decide = \"3bd\"",
        "quick = { accept = \"2h\", decide = \"4bd\"",
        "  ~ ruleset.toml profile.quick.decide: value \"\\\"3bd\\\"\" -> \"\\\"4bd\\\"\"\n",
        &[herbs, "    ~ NPQS GOVCBRX02: decide by \"2009-12-04T01:00:00Z\" -> \"2009-12-07T01:00:00Z\"\n"],
    );
    check(
        "ruleset.toml",
        "[join.import-case]",
        "[join.other-case]",
        "  - ruleset.toml join.import-case.pipeline\n",
        &[herbs, "    ~ join: name \"import-case\" -> \"other-case\"\n"],
    );
}

#[test]
fn a_corpus_of_documents_is_planned_by_both_sets() {
    let next = changed("requirements.csv", "plant,2006-03-02,", "plant,2010-03-02,");
    let corpus = tempfile::tempdir().expect("makes a directory");
    let copied = |name: &str| {
        let to = corpus.path().join(name.replace('/', "-"));
        fs::copy(format!("{DOCUMENTS}/{name}"), to).expect("copies");
    };
    copied("929/held-approvals.xml");
    copied("X01/herbs.xml");
    let directory = corpus.path().to_str().expect("is text");
    let at = "2009-12-01T10:00:00+09:00";
    let diff = ["diff", EXAMPLE, path(&next), "--corpus", directory, "--at", at];
    let (out, failed) = told(&diff);
    assert_eq!(failed, None, "{out}");
    assert!(out.contains(&format!("  {directory}/929-held-approvals.xml\n    - NPQS GOVCBRX02\n")), "{out}");
    assert!(out.ends_with("1 document(s) of the corpus are no declarations\n"), "{out}");
    let (out, _) = told(&[&diff[..], &["--json"]].concat());
    let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
    let here =
        read["behaviour"].as_array().expect("a list").iter().find(|one| one["at"] == "2009-12-01T01:00:00Z");
    assert!(here.is_some() && read["passed_over"] == 1 && read["text"][0]["entry"] == "plant", "{out}");
    copied("929/three-findings.xml");
    let (out, failed) = told(&diff);
    assert!(
        failed.is_some_and(|failed| failed.contains("1 declaration(s) of the corpus cannot be read")),
        "{out}"
    );
    assert!(told(&["diff", EXAMPLE, path(&next), "--corpus", "/nowhere"]).1.is_some());
}

#[test]
fn goods_are_looked_up_by_code_and_what_is_open_stays_a_condition() {
    let at = ["--at", "2009-11-15T10:00:00+09:00"];
    let lookup = |arguments: &[&str]| {
        let (out, failed) = told(&[&["lookup", EXAMPLE], arguments, &at].concat());
        assert_eq!(failed, None, "{out}");
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let herbs = lookup(&["1211.90-1000"]);
    assert_eq!(herbs.len(), 4, "{herbs:#?}");
    assert_eq!(
        herbs[1],
        "01 Pharmaceutical Affairs Act KPTA Korea Pharmaceutical Traders Association GOVCBRFR2 GOVCBRFS7 drug usage is not RD"
    );
    assert!(herbs[3].starts_with("12 ") && herbs[3].ends_with(" plant always"), "{herbs:#?}");
    assert_eq!(
        lookup(&["1211901000", "--usage", "RD"]).len(),
        2,
        "for research only the plant quarantine is left"
    );
    let beef = lookup(&["0201"]);
    assert!(beef.iter().any(|line| line.ends_with("animal-fmd origin is BR or CN or IN or VN")), "{beef:#?}");
    assert_eq!(lookup(&["0201", "--origin", "US"]).len(), 2);
    let kitchen = lookup(&["8516"]);
    let utensil = kitchen.iter().find(|line| line.contains("food-utensil")).expect("is there");
    assert!(
        utensil.contains("some of these goods; not by trade-fair (kitchen appliances shown at a trade fair and taken back) where usage is OWN"),
        "{utensil}"
    );
    assert_eq!(lookup(&["7318"]), ["7318: no requirement; customs only"]);
    let (out, _) = told(&["lookup", EXAMPLE, "0201", "--json", at[0], at[1]]);
    let read: serde_json::Value = serde_json::from_str(&out).expect("is JSON");
    assert_eq!(read["rows"].as_array().map(Vec::len), Some(2), "{out}");
    assert!(Line::try_parse_from(["rules", "lookup", EXAMPLE, "1"]).is_err(), "one digit is no code");
}

#[test]
fn rows_that_no_test_exercises_are_listed_and_may_fail() {
    let next = changed("except.csv", "8509.80;8516.79", "8509.80");
    fs::remove_file(next.path().join("tests/goods.toml")).expect("is there");
    let (out, failed) = told(&["test", path(&next)]);
    assert_eq!(failed, None, "{out}");
    assert!(out.contains("never exercised: trade-fair\n"), "{out}");
    let (out, failed) = told(&["test", path(&next), "--full-coverage"]);
    assert!(failed.is_some_and(|failed| failed.contains("of 13 rows are exercised by no test")), "{out}");
}
