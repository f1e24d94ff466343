//! docs/conformance.md is what the tests say of themselves: one row for each requirement of the standard that a test
//! shows.
//!
//! A test is annotated by the lines directly above it:
//!
//! ```text
//! //= ebms2 6.5.6 MUST: a duplicate gets the stored first response, octet for octet
//! //=  deviation: why it is done otherwise, where it is
//! ```
//!
//! A requirement keeps its id for good: the page is the register, a new requirement of a section gets the next number, and
//! the number of one that went is not given again. The page is written anew by `make conformance`; here it is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::sources::{Source, sources};

const PAGE: &str = "docs/conformance.md";
const MARK: &str = "//= ";
const DEVIATION: &str = "deviation: ";
const LEVELS: [&str; 3] = ["MUST", "SHOULD", "MAY"];

/// Chapters of the standard, by how their sections begin.
const CHAPTERS: [(&str, &str); 14] = [
    ("2.1", "Packaging"),
    ("2", "The SOAP envelope"),
    ("3.1", "MessageHeader"),
    ("3.2", "Manifest"),
    ("4.1", "Security"),
    ("4.2", "Errors"),
    ("4.3", "SyncReply"),
    ("5", "What may stand together"),
    ("6", "Reliable messaging"),
    ("7", "Message status"),
    ("8", "Ping"),
    ("9", "MessageOrder"),
    ("10", "Multi-hop"),
    ("B", "HTTP"),
];

/// One requirement, and the test that shows it.
#[derive(Debug)]
struct Row {
    section: String,
    level: String,
    requirement: String,
    deviation: String,
    test: String,
}

#[test]
fn the_page_is_what_the_tests_say() {
    let rows = annotated();
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let before = fs::read_to_string(&place).unwrap_or_default();
    let page = page_of(&rows, &Register::read(&before));
    if std::env::var_os("CONFORMANCE_PAGE").is_some_and(|what| what == "write") {
        fs::write(&place, page).expect("the page is written");
        return;
    }
    assert!(page == before, "{PAGE} is not what the tests say: `make conformance` writes it anew");
    assert!(rows.len() >= 200, "{} requirements", rows.len());
}

/// The annotations of every test of the project.
fn annotated() -> Vec<Row> {
    let mut rows = Vec::new();
    for Source { name, text } in sources() {
        rows.extend(rows_of(&name, &text));
    }
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert!(
            seen.insert((&row.section, &row.requirement)),
            "{}: said twice: {}",
            row.test,
            row.requirement
        );
    }
    rows
}

/// The annotations of one file, each with the test below it.
fn rows_of(file: &str, text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut waiting, mut is_test) = (0, false);
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        let at = || format!("{file}:{number}");
        if let Some(said) = line.strip_prefix(MARK) {
            match said.strip_prefix(' ') {
                None => {
                    rows.push(
                        row(said)
                            .unwrap_or_else(|| panic!("{}: expected `{MARK}ebms2 SECTION LEVEL: …`", at())),
                    );
                    waiting += 1;
                }
                Some(more) => {
                    let last = rows.last_mut().filter(|_| waiting > 0);
                    let last = last.unwrap_or_else(|| panic!("{}: goes on without a beginning", at()));
                    let reason = more.trim_start().strip_prefix(DEVIATION);
                    reason
                        .unwrap_or_else(|| panic!("{}: expected `{DEVIATION}…`", at()))
                        .clone_into(&mut last.deviation);
                }
            }
        } else if waiting > 0 && line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else if waiting > 0 && !line.starts_with("///") {
            let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let name = name.and_then(|rest| rest.split_once('(')).filter(|_| is_test);
            let (name, _) = name.unwrap_or_else(|| panic!("{}: expected a test below the annotation", at()));
            let from = rows.len() - waiting;
            for row in rows.iter_mut().skip(from) {
                row.test = format!("`{name}` in {file}");
            }
            (waiting, is_test) = (0, false);
        }
    }
    assert_eq!(waiting, 0, "{file}: no test below the last annotation");
    rows
}

/// `ebms2 SECTION LEVEL: requirement`
fn row(said: &str) -> Option<Row> {
    let (head, requirement) = said.split_once(": ")?;
    let [standard, section, level] = <[&str; 3]>::try_from(head.split(' ').collect::<Vec<_>>()).ok()?;
    let known = standard == "ebms2" && LEVELS.contains(&level) && chapter(section).is_some();
    known.then(|| Row {
        section: section.to_owned(),
        level: level.to_owned(),
        requirement: requirement.replace('|', "\\|"),
        deviation: String::new(),
        test: String::new(),
    })
}

/// The chapter that a section is in.
fn chapter(section: &str) -> Option<usize> {
    CHAPTERS.iter().position(|(begins, _)| {
        section.strip_prefix(begins).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The ids that are given, by section and requirement; and the highest number that a section ever gave.
#[derive(Default)]
struct Register {
    ids: BTreeMap<(String, String), u32>,
    highest: BTreeMap<String, u32>,
}

const RETIRED: &str = "Ids that are no longer in use: ";

impl Register {
    fn read(page: &str) -> Self {
        let mut register = Self::default();
        for line in page.lines() {
            if let Some(cells) = line.strip_prefix("| ") {
                let cells: Vec<&str> = cells.split(" | ").collect();
                if let [id, _, requirement, ..] = *cells
                    && let Some((section, number)) = numbered(id)
                {
                    register.ids.insert((section.clone(), requirement.to_owned()), number);
                    register.note(section, number);
                }
            } else if let Some(retired) = line.strip_prefix(RETIRED) {
                for (section, number) in retired.split(", ").filter_map(numbered) {
                    register.note(section, number);
                }
            }
        }
        register
    }

    fn note(&mut self, section: String, number: u32) {
        let highest = self.highest.entry(section).or_default();
        *highest = number.max(*highest);
    }
}

/// `6.5.6-2` is the second requirement of section 6.5.6.
fn numbered(id: &str) -> Option<(String, u32)> {
    let (section, number) = id.trim_end_matches('.').rsplit_once('-')?;
    Some((section.to_owned(), number.parse().ok()?))
}

fn page_of(rows: &[Row], register: &Register) -> String {
    let mut highest = register.highest.clone();
    let mut ids: BTreeMap<(&str, u32), &Row> = BTreeMap::new();
    let mut fresh = Vec::new();
    for row in rows {
        match register.ids.get(&(row.section.clone(), row.requirement.clone())) {
            Some(number) => drop(ids.insert((&row.section, *number), row)),
            None => fresh.push(row),
        }
    }
    for row in fresh {
        let number = highest.entry(row.section.clone()).or_default();
        *number += 1;
        ids.insert((&row.section, *number), row);
    }
    let mut page = format!(
        "# Conformance to ebMS 2.0\n\n\
         {} requirements of the *ebXML Message Service Specification 2.0* (ISO/TS 15000-2), each with the test that shows\n\
         it. This page is written from the annotations of the tests (`make conformance`), and a test fails when it is not\n\
         what they say. An id is the section and a number; it is kept for good.\n",
        rows.len()
    );
    for (at, (begins, title)) in CHAPTERS.iter().enumerate() {
        let mut of_chapter: Vec<_> =
            ids.iter().filter(|((section, _), _)| chapter(section) == Some(at)).collect();
        if of_chapter.is_empty() {
            continue;
        }
        of_chapter.sort_by_key(|((section, number), _)| (key_of(section), *number));
        write!(page, "\n## {title} ({begins})\n\n| id | level | requirement | shown by | deviation |\n|---|---|---|---|---|\n")
            .expect("text");
        for ((section, number), row) in of_chapter {
            let Row { level, requirement, test, deviation, .. } = row;
            writeln!(page, "| {section}-{number} | {level} | {requirement} | {test} | {deviation} |")
                .expect("text");
        }
    }
    let retired =
        highest.iter().flat_map(|(section, highest)| (1..=*highest).map(move |number| (&**section, number)));
    let retired: Vec<_> = retired
        .filter(|id| !ids.contains_key(id))
        .map(|(section, number)| format!("{section}-{number}"))
        .collect();
    if !retired.is_empty() {
        write!(page, "\n{RETIRED}{}.\n", retired.join(", ")).expect("text");
    }
    page
}

/// Sections in the order of the standard: 4.2.10 behind 4.2.9, appendices last.
fn key_of(section: &str) -> Vec<(Option<u32>, &str)> {
    section.split('.').map(|piece| (piece.parse().ok(), piece)).collect()
}

#[test]
fn an_id_is_kept_and_never_given_again() {
    let said = |text: &str| rows_of("a.rs", &format!("{text}#[test]\nfn shows() {{}}\n"));
    let requirement = |name: &str| format!("{MARK}ebms2 6.5 MUST: {name}\n");
    let ids = |page: &str| {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| 6"));
        rows.map(|row| row.split(" | ").step_by(2).take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let first = page_of(&said(&(requirement("one") + &requirement("two"))), &Register::default());
    assert_eq!(ids(&first), [".5-1 one", ".5-2 two"]);
    let second = page_of(&said(&(requirement("three") + &requirement("one"))), &Register::read(&first));
    assert_eq!(ids(&second), [".5-1 one", ".5-3 three"]);
    assert!(second.ends_with("Ids that are no longer in use: 6.5-2.\n"), "{second}");
    let third = page_of(&said(&requirement("four")), &Register::read(&second));
    assert_eq!(ids(&third), [".5-4 four"]);
    assert!(third.ends_with(": 6.5-1, 6.5-2, 6.5-3.\n"), "{third}");
}
