//! Rule tests: `tests/*.toml` beside the tables, run by the one matcher (domain brief, 7.3; ruling 15).

use std::collections::BTreeSet;

use serde::Serialize;
use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Faults, Place};
use super::reader::{Section, TextFile};
use super::table::Exception;
use super::{Plan, PlannedApplication, RuleFault, RuleFiles, RuleSet};
use crate::model::{Declaration, DeclarationLine, HsCode, NotApplicable, RuleId, Timestamp};

/// What came of the tests of a rule directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SuiteReport {
    /// Each test.
    pub outcomes: Vec<SuiteOutcome>,
    /// Requirements and exceptions of the set.
    pub rows: usize,
    /// Those of them that no test exercises: requirements that none hits, exceptions that take away nothing in any.
    pub never_exercised: Vec<RuleId>,
    /// Mistakes in the test files.
    pub faults: Vec<RuleFault>,
}

impl SuiteReport {
    /// Whether every test passed and every test file could be read.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults.is_empty() && self.outcomes.iter().all(|outcome| outcome.differences.is_empty())
    }
}

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SuiteOutcome {
    /// File and line.
    pub place: String,
    /// Its name.
    pub name: String,
    /// What is not as expected; empty when it passed.
    pub differences: Vec<String>,
}

/// A declaration of a rule test, to be planned by another set.
#[derive(Clone, Debug)]
pub struct Sample {
    /// File and line.
    pub place: String,
    /// Name of the test.
    pub name: String,
    /// The declaration.
    pub declaration: Declaration,
    /// When it is accepted.
    pub at: Timestamp,
}

impl RuleSet {
    /// Runs every test of the directory.
    #[must_use]
    pub fn run_tests(&self, files: &RuleFiles) -> SuiteReport {
        let (cases, faults) = cases(files);
        let mut exercised: BTreeSet<&RuleId> = BTreeSet::new();
        let mut outcomes = Vec::new();
        for case in cases {
            let plan = self.plan(&case.sample.declaration, case.sample.at);
            for line in &case.sample.declaration.lines {
                let met = self.meet(&case.sample.declaration, line, case.sample.at);
                let takes_away =
                    |exception: &&&Exception| met.hits.iter().any(|hit| exception.takes_away(hit));
                exercised.extend(met.hits.iter().map(|row| &row.id));
                exercised.extend(met.exceptions.iter().filter(takes_away).map(|exception| &exception.id));
            }
            let differences = case.differences(&plan);
            let Sample { place, name, .. } = case.sample;
            outcomes.push(SuiteOutcome { place, name, differences });
        }
        let ids = || self.requirement_ids().chain(self.exceptions.iter().map(|exception| &exception.id));
        let never_exercised = ids().filter(|id| !exercised.contains(id)).cloned().collect();
        SuiteReport { outcomes, rows: ids().count(), never_exercised, faults }
    }
}

impl RuleFiles {
    /// The declarations of the tests in it; what cannot be read is left out.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        cases(self).0.into_iter().map(|case| case.sample).collect()
    }
}

/// The tests of a directory, and the mistakes in them.
fn cases(files: &RuleFiles) -> (Vec<Case>, Vec<RuleFault>) {
    let mut faults = Faults::default();
    let mut cases = Vec::new();
    for (name, octets) in files.0.iter().filter(|(name, _)| is_test(name)) {
        let Some(file) = TextFile::read(name, octets, &mut faults) else { continue };
        let table = file.toml(&mut faults);
        let mut root = Section::root(file, &table);
        for section in root.tables("case", &mut faults) {
            cases.extend(Case::read(file, section, &mut faults));
        }
        root.finish(&mut faults);
    }
    (cases, faults.into_list())
}

fn is_test(name: &str) -> bool {
    name.starts_with("tests/") && std::path::Path::new(name).extension().is_some_and(|e| e == "toml")
}

/// One test.
struct Case {
    sample: Sample,
    expect: Vec<Expected>,
}

/// An application that is expected; of it only the keys given are compared.
struct Expected {
    agency: String,
    application: String,
    rules: Option<Vec<String>>,
    laws: Option<Vec<String>>,
    lines: Option<Vec<u16>>,
    required: Option<bool>,
}

impl Case {
    fn read<'a>(file: TextFile<'a>, mut section: Section<'a>, faults: &mut Faults) -> Option<Self> {
        let place = format!("{}:{}", section.place.file, section.place.line);
        let name = section.required("name", faults).map(|(text, _)| text.to_owned());
        let at = section.required("at", faults);
        let at = at.filter(|(text, place)| {
            let has_offset = text.get(19..).is_some_and(|rest| rest.contains(['Z', '+', '-']));
            if !has_offset {
                faults.error(
                    place,
                    "an instant without offset",
                    "write one such as 2009-12-01T10:00:00+09:00",
                );
            }
            has_offset
        });
        let at = parsed(at, "write an instant with its offset", faults);
        let importer = section.text("importer", faults).map(|(text, _)| text.into());
        let export_from = section.text("export_from", faults);
        let export_from = parsed(export_from, "write a country", faults);
        let mut lines = Vec::new();
        for mut line in section.tables("lines", faults) {
            let sequence = u16::try_from(lines.len() + 1).unwrap_or(u16::MAX);
            lines.extend(read_line(sequence, &mut line, faults));
            line.finish(faults);
        }
        let mut expect = Vec::new();
        for mut item in section.tables("expect", faults) {
            let agency = item.required("agency", faults).map(|(text, _)| text.to_owned());
            let application = item.required("application", faults).map(|(text, _)| text.to_owned());
            let mut list = |key, faults: &mut Faults| {
                let present = item.take(key).is_some();
                let texts = item.texts(key, faults);
                present.then(|| texts.into_iter().map(|(text, _)| text.to_owned()).collect::<Vec<_>>())
            };
            let (rules, laws) = (list("rules", faults), list("laws", faults));
            let lines = item.take("lines").map(|value| numbers(file, value, faults));
            let required = item.take("required").and_then(|value| value.get_ref().as_bool());
            item.finish(faults);
            if let (Some(agency), Some(application)) = (agency, application) {
                expect.push(Expected { agency, application, rules, laws, lines, required });
            }
        }
        section.finish(faults);
        let declaration = Declaration {
            number: "00000000000000".into(),
            function: "9".into(),
            importer,
            export_from,
            cargo: None,
            bills: Vec::new(),
            lines,
            attachments: Vec::new(),
        };
        Some(Self { sample: Sample { place, name: name?, declaration, at: at? }, expect })
    }

    fn differences(&self, plan: &Plan) -> Vec<String> {
        let mut differences = Vec::new();
        let is = |expected: &Expected, found: &PlannedApplication| {
            expected.agency == found.agency.as_str() && expected.application == found.document.as_str()
        };
        for expected in &self.expect {
            match plan.applications.iter().find(|found| is(expected, found)) {
                Some(found) => differences.extend(expected.differences(found)),
                None => differences.push(format!("missing: {} {}", expected.agency, expected.application)),
            }
        }
        for found in &plan.applications {
            if !self.expect.iter().any(|expected| is(expected, found)) {
                let rules = found.rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                differences.push(format!("not expected: {} {} ({rules})", found.agency, found.document));
            }
        }
        differences
    }
}

impl Expected {
    fn differences(&self, found: &PlannedApplication) -> Vec<String> {
        let texts = |list: Vec<String>| {
            let mut list = list;
            list.sort();
            list
        };
        let mut differences = Vec::new();
        let mut compare = |key: &str, expected: Option<String>, found: String| {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                differences.push(format!(
                    "{} {}: {key} {found}, expected {expected}",
                    self.agency, self.application
                ));
            }
        };
        let named = |list: Vec<String>| format!("{:?}", texts(list));
        compare(
            "rules",
            self.rules.clone().map(named),
            named(found.rules.iter().map(ToString::to_string).collect()),
        );
        compare(
            "laws",
            self.laws.clone().map(named),
            named(found.laws.iter().map(ToString::to_string).collect()),
        );
        compare("lines", self.lines.as_ref().map(|lines| format!("{lines:?}")), format!("{:?}", found.items));
        compare("required", self.required.map(|flag| flag.to_string()), found.required.to_string());
        differences
    }
}

fn read_line(sequence: u16, line: &mut Section<'_>, faults: &mut Faults) -> Option<DeclarationLine> {
    let hs = line.required("hs", faults);
    let hs: Option<HsCode> = parsed(hs, "write ten digits", faults);
    if hs.is_some_and(|code| code.as_str().len() != HsCode::LINE_DIGITS) {
        faults.error(&line.place, "a line's HS code has ten digits", "write ten digits");
    }
    let origin = line.text("origin", faults);
    let origin = parsed(origin, "write a country", faults);
    let usage = line.text("usage", faults);
    let usage = parsed(usage, "write SALE, OWN or RD", faults);
    let value = line.text("value", faults);
    let value = parsed(value, "write a decimal as a string", faults);
    let weight = line.text("weight", faults);
    let weight = parsed(weight, "write a decimal as a string", faults);
    let stated = line.texts("not_applicable", faults);
    let not_applicable = stated
        .into_iter()
        .filter_map(|(law, _)| Some(NotApplicable { law: law.parse().ok()?, reason: "A".into(), text: None }))
        .collect();
    Some(DeclarationLine {
        count: None,
        sequence,
        hs: hs?,
        origin,
        usage,
        value,
        weight,
        requirements: Vec::new(),
        not_applicable,
    })
}

fn parsed<T: std::str::FromStr<Err = crate::model::ValueError>>(
    found: Option<(&str, Place)>,
    remedy: &str,
    faults: &mut Faults,
) -> Option<T> {
    let (text, place) = found?;
    text.parse()
        .map_err(|error: crate::model::ValueError| faults.error(&place, error.to_string(), remedy))
        .ok()
}

fn numbers(file: TextFile<'_>, value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Vec<u16> {
    let items = value.get_ref().as_array().map(|items| items.iter().collect::<Vec<_>>()).unwrap_or_default();
    let number = |item: &Spanned<DeValue<'_>>| item.get_ref().as_integer()?.as_str().parse().ok();
    let read: Vec<Option<u16>> = items.into_iter().map(number).collect();
    if read.iter().any(Option::is_none) || !value.get_ref().is_array() {
        faults.error(&file.place(value.span().start), "this is no list of line numbers", "write [1, 2]");
    }
    read.into_iter().flatten().collect()
}
