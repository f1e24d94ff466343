//! Whole cases under `tests/samples/cases`: twenty declarations with all their applications, one to forty lines, none to
//! six agencies, and between them every agency of `routing-rules/kr-agencies`.
//!
//! Each document is valid, the rules plan exactly the applications that `case.toml` names, and played all at once by
//! the real gateway and a process for each agency, every case ends where it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gwanmun::codec::catalogue::Catalogue;
use gwanmun::codec::document::{document_code_of_root, read_document};
use gwanmun::config::read_rules;
use gwanmun::model::{Document, DocumentCode, Timestamp};
use gwanmun::routing::{Known, RuleSet};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    at: String,
    end: String,
    #[serde(default)]
    application: Vec<Expected>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Expected {
    agency: String,
    document: String,
    number: String,
    items: Vec<u16>,
    laws: Vec<String>,
    rules: Vec<String>,
    end: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<(PathBuf, Case)> {
    let directory = root().join("tests/samples/cases");
    let entries =
        fs::read_dir(directory).expect("is a directory").map(|entry| entry.expect("is an entry").path());
    let mut paths: Vec<_> = entries.collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path.join("case.toml")).expect("has a case.toml");
        let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, case)
    };
    paths.into_iter().map(read).collect()
}

/// Every document of a case that is XML, read.
fn documents(case: &Path, at: Timestamp) -> Vec<(DocumentCode, Document)> {
    let catalogue = Catalogue::built_in();
    let entries = fs::read_dir(case).expect("is a directory").map(|entry| entry.expect("is an entry").path());
    let read = |path: PathBuf| {
        let octets = fs::read(&path).expect("can be read");
        let code = document_code_of_root(catalogue, &octets).expect("has a root that is known");
        let document = read_document(catalogue, &code, &octets, at);
        (code, document.unwrap_or_else(|findings| panic!("{}: {findings:?}", path.display())))
    };
    entries.filter(|path| path.extension().is_some_and(|e| e == "xml")).map(read).collect()
}

#[test]
fn the_rules_plan_what_each_case_says_and_its_documents_are_valid() {
    let files = read_rules(&root().join("routing-rules/kr-agencies")).expect("can be read");
    let known = Known { codes: &|list, code| Catalogue::built_in().knows(list, code), registry: None };
    let (rules, _) = RuleSet::load(&files, &known).expect("can be used");
    let cases = cases();
    assert_eq!(cases.len(), 20);
    let (mut agencies, mut lines, mut widest) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (path, case) in &cases {
        let name = path.display();
        assert!(!case.title.is_empty(), "{name}");
        let at = case.at.parse().expect("an instant");
        let documents = documents(path, at);
        let declaration = documents.iter().find_map(|(_, document)| match document {
            Document::Declaration(declaration) => Some(declaration),
            _ => None,
        });
        let declaration = declaration.expect("has a declaration");
        lines.insert(declaration.lines.len());
        let plan = rules.plan(declaration, at);
        let planned: Vec<_> = plan
            .applications
            .iter()
            .map(|a| {
                let laws: Vec<_> = a.laws.iter().map(ToString::to_string).collect();
                let rules: Vec<_> = a.rules.iter().map(ToString::to_string).collect();
                (a.agency.to_string(), a.document.to_string(), a.items.clone(), laws, rules)
            })
            .collect();
        let expected: Vec<_> = case
            .application
            .iter()
            .map(|a| (a.agency.clone(), a.document.clone(), a.items.clone(), a.laws.clone(), a.rules.clone()))
            .collect();
        assert_eq!(planned, expected, "{name}");
        let mut enclosed: Vec<_> = documents
            .iter()
            .filter_map(|(code, document)| match document {
                Document::Application(application) => Some((
                    code.to_string(),
                    application.number.to_string(),
                    application.items.iter().map(|item| item.sequence).collect::<Vec<_>>(),
                )),
                _ => None,
            })
            .collect();
        let mut named: Vec<_> = case
            .application
            .iter()
            .map(|a| (a.document.clone(), a.number.clone(), a.items.clone()))
            .collect();
        enclosed.sort();
        named.sort();
        assert_eq!(enclosed, named, "{name}");
        let end = match case.application.as_slice() {
            [] => "ready",
            some if some.iter().any(|a| a.end == "rejected") => "blocked",
            _ => "cleared",
        };
        assert_eq!(case.end, end, "{name}");
        widest = widest.max(case.application.len());
        agencies.extend(case.application.iter().map(|a| a.agency.clone()));
    }
    assert_eq!((agencies.len(), widest), (17, 6), "{agencies:?}");
    assert_eq!((lines.first(), lines.last()), (Some(&1), Some(&40)));
}

/// P1, P3, P6 with seventeen agencies at work at once.
#[test]
fn every_case_ends_where_it_says_with_a_process_for_each_agency() {
    let directory = tempfile::tempdir().expect("makes a directory");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_gwanmun"));
    demo.current_dir(root()).args(["demo", "--json", "--algorithm", "p256", "--deadline", "5m"]);
    demo.args(["--rules", "routing-rules/kr-agencies", "--cases", "tests/samples/cases", "--directory"]);
    let output = demo.arg(directory.path()).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ended: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let ended = ended.as_array().expect("a list").iter();
    let ended: Vec<_> = ended.map(|case| (case["name"].as_str(), case["state"].as_str())).collect();
    let cases = cases();
    let expected: Vec<_> = cases
        .iter()
        .map(|(path, case)| (path.file_name().and_then(|name| name.to_str()), Some(case.end.as_str())))
        .collect();
    assert_eq!(ended, expected);
}
