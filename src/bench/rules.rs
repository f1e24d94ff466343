//! `gwanmun bench --rules`: what the rule matcher costs on one core, against a plain pass over the same lines.
//!
//! The rows are made up, in the proportions of a long table: tariff lines, headings, ranges with exclusions, classes
//! narrowed by origin. The same rows and lines come out every time. The plain pass is the plan of the same
//! declaration by a rule set whose one row no line meets: what reading the lines costs when there are no rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;

use super::clock::Stopwatch;
use crate::codec::catalogue::Catalogue;
use crate::model::{Declaration, DeclarationLine, Timestamp};
use crate::routing::{Known, RuleFiles, RuleSet};

/// Rows that are made when nobody says how many; as the domain brief, 7.4, asks.
const ROWS: usize = 10_000;
/// Lines of the declaration: as many as one may have.
const LINES: u16 = 999;
/// Each pass is timed this often; the median counts.
const ROUNDS: usize = 51;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RulesFigures {
    /// Requirements and exceptions.
    rows: usize,
    /// Lines of the declaration.
    lines: u16,
    /// Rows that matched, over all lines.
    hits: usize,
    /// Reading, checking and compiling the files, in milliseconds.
    load_ms: f64,
    /// The plan of the declaration, in milliseconds.
    plan_ms: f64,
    /// The plain pass over its lines, in milliseconds.
    plain_ms: f64,
    /// `plan_ms` divided by `plain_ms`.
    ratio: f64,
}

impl RulesFigures {
    /// Measures.
    ///
    /// # Errors
    /// When the rows that are made cannot be used, which is a defect of this file.
    pub(super) fn measure() -> Result<Self> {
        Self::of(ROWS, LINES, ROUNDS)
    }

    fn of(rows: usize, lines: u16, rounds: usize) -> Result<Self> {
        let declaration = declaration(lines);
        let at = "2009-12-01T10:00:00+09:00".parse()?;
        let files = files(rows);
        let watch = Stopwatch::start();
        let rules = load(&files)?;
        let load_ms = watch.elapsed().as_secs_f64() * 1000.0;
        let plain = load(&unmet())?;
        let plan_ms = median_ms(&rules, &declaration, at, rounds);
        let plain_ms = median_ms(&plain, &declaration, at, rounds);
        let hits = rules.plan(&declaration, at).rows.len();
        Ok(Self { rows, lines, hits, load_ms, plan_ms, plain_ms, ratio: plan_ms / plain_ms })
    }

    /// For people.
    pub(super) fn tell(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Self { rows, lines, hits, load_ms, plan_ms, plain_ms, ratio } = self;
        writeln!(out, "rules: {rows} rows, {lines} lines, {hits} hits")?;
        writeln!(out, "load   {load_ms:8.2} ms  read, checked and compiled")?;
        writeln!(out, "plan   {plan_ms:8.2} ms  the whole declaration on one core")?;
        writeln!(out, "plain  {plain_ms:8.2} ms  the same lines against no rules")?;
        writeln!(out, "ratio  {ratio:8.1}     plan / plain")
    }
}

fn load(files: &RuleFiles) -> Result<Arc<RuleSet>> {
    let codes = |list: &str, code: &str| Catalogue::built_in().knows(list, code);
    let loaded = RuleSet::load(files, &Known { codes: &codes, registry: None });
    let loaded = loaded.map_err(|faults| anyhow::anyhow!("{} fault(s): {:?}", faults.len(), faults.first()));
    Ok(loaded.context("the rows that were made")?.0)
}

fn median_ms(rules: &RuleSet, declaration: &Declaration, at: Timestamp, rounds: usize) -> f64 {
    let mut times: Vec<_> = (0..rounds)
        .map(|_| {
            let watch = Stopwatch::start();
            std::hint::black_box(rules.plan(std::hint::black_box(declaration), at));
            watch.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(rounds / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// A rule set whose one row no line meets: chapter 77 is reserved.
fn unmet() -> RuleFiles {
    directory("unmet,,,7701,,,,05,KFDA,GOVCBRX01,GOVCBRX51\n", None)
}

/// Requirements, one exception to each twenty of them, and the classes that they name.
fn files(rows: usize) -> RuleFiles {
    let (exceptions, requirements) = (rows / 20, rows - rows / 20);
    let mut required = String::new();
    for number in 0..requirements {
        let mut draw = Draw(number as u64 + 1);
        let hs = match number % 10 {
            0..=5 => draw.tariff(6),
            6 => draw.tariff(4),
            7 => {
                let (chapter, heading) = (draw.chapter(), 1 + draw.below(18));
                format!("{chapter:02}{heading:02}..{chapter:02}{:02};!{}", heading + 2, draw.tariff(6))
            }
            8 => draw.tariff(10),
            _ => String::new(),
        };
        let class = if number % 10 == 9 { format!("class-{}", draw.below(CLASSES)) } else { String::new() };
        let origin = if number % 4 == 1 { ["CN", "@SOME", "!JP", "US;VN"][number / 4 % 4] } else { "" };
        let usage = if number % 3 == 0 { "!RD" } else { "" };
        let (law, agency, form) = TARGETS[number % TARGETS.len()];
        writeln!(required, "r{number},2006-03-02,,{hs},{class},{origin},{usage},{law},{agency},{form}")
            .expect("a string takes it");
    }
    let mut excepted = String::new();
    for number in 0..exceptions {
        let mut draw = Draw(number as u64 + 7_000_001);
        let (law, agency, _) = TARGETS[number % TARGETS.len()];
        writeln!(excepted, "e{number},,2010-01-01,{},,,OWN,{law},{agency},made up", draw.tariff(6))
            .expect("a string takes it");
    }
    directory(&required, Some(&excepted))
}

fn directory(required: &str, excepted: Option<&str>) -> RuleFiles {
    let columns = "id,from,until,hs,class,origin,usage,law,agency";
    let mut files = BTreeMap::new();
    let mut toml =
        "format = \"swgw-rules/1\"\nid = \"made-up\"\nrevision = \"1\"\ntime_zone = \"Asia/Seoul\"\n"
            .to_owned();
    let tables =
        if excepted.is_some() { "\"requirements.csv\", \"except.csv\"" } else { "\"requirements.csv\"" };
    writeln!(
        toml,
        "tables = [{tables}]\n[groups.origin]\nSOME = [\"BR\", \"CN\", \"IN\", \"VN\"]\n[profile]"
    )
    .expect("a string takes it");
    writeln!(toml, "quick = {{ accept = \"2h\", decide = \"3bd\" }}\n[agency]").expect("a string takes it");
    for (_, agency, _) in TARGETS {
        writeln!(
            toml,
            "{agency} = {{ party = \"{agency}\", cpa = \"c\", mode = \"system\", profile = \"quick\" }}"
        )
        .expect("a string takes it");
    }
    toml.push_str("[class]\n");
    for number in 0..CLASSES {
        let mut draw = Draw(number + 900_001);
        let items: Vec<String> = (0..20).map(|_| draw.tariff(4)).collect();
        writeln!(toml, "class-{number} = {items:?}").expect("a string takes it");
    }
    files.insert("ruleset.toml".to_owned(), toml.into_bytes());
    files.insert(
        "requirements.csv".to_owned(),
        format!("{columns},application,result\n{required}").into_bytes(),
    );
    files.extend(
        excepted.map(|rows| ("except.csv".to_owned(), format!("{columns},reason\n{rows}").into_bytes())),
    );
    RuleFiles(files)
}

fn declaration(lines: u16) -> Declaration {
    let line = |sequence: u16| {
        let mut draw = Draw(u64::from(sequence) + 40_000_001);
        DeclarationLine {
            count: None,
            sequence,
            hs: draw.tariff(10).parse().expect("ten digits"),
            origin: ["CN", "JP", "US", "DE"][usize::from(sequence) % 4].parse().ok(),
            usage: ["SALE", "OWN", "RD"][usize::from(sequence) % 3].parse().ok(),
            value: None,
            weight: None,
            requirements: Vec::new(),
            not_applicable: Vec::new(),
        }
    };
    Declaration {
        number: "12345092000011".into(),
        function: "9".into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: (1..=lines).map(line).collect(),
        attachments: Vec::new(),
    }
}

const CLASSES: u64 = 40;

/// Law, agency, and the documents that go there and back.
const TARGETS: [(&str, &str, &str); 4] = [
    ("05", "KFDA", "GOVCBRX01,GOVCBRX51"),
    ("12", "NPQS", "GOVCBRX02,GOVCBRX52"),
    ("13", "NVRQS", "GOVCBRX03,GOVCBRX53"),
    ("01", "KPTA", "GOVCBRFR2,GOVCBRFS7"),
];

/// Numbers that look drawn and are the same every time (splitmix64, Steele, Lea and Flood, 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// A chapter of the tariff; 77 has no goods.
    fn chapter(&mut self) -> u64 {
        let chapter = 1 + self.below(96);
        if chapter == 77 { 97 } else { chapter }
    }

    /// A code of so many digits: 96 chapters of 20 headings, 10 subheadings each, 10 lines below each.
    fn tariff(&mut self, digits: usize) -> String {
        let (chapter, heading) = (self.chapter(), 1 + self.below(20));
        let mut code = format!("{chapter:02}{heading:02}{}0{}000", self.below(10), self.below(10));
        code.truncate(digits);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_that_are_made_can_be_used_and_are_met() {
        let figures = RulesFigures::of(400, 999, 1).expect("they can be used");
        assert!(figures.hits > 100, "{figures:?}");
        let mut out = Vec::new();
        figures.tell(&mut out).expect("a vector takes it");
        let text = String::from_utf8(out).expect("is text");
        assert!(text.starts_with(&format!("rules: 400 rows, 999 lines, {} hits\n", figures.hits)), "{text}");
        assert_eq!(RulesFigures::of(400, 999, 1).expect("again").hits, figures.hits, "the same every time");
    }

    #[test]
    fn no_line_meets_the_plain_pass() {
        let at = "2009-12-01T10:00:00+09:00".parse().expect("an instant");
        let plan = load(&unmet()).expect("it can be used").plan(&declaration(LINES), at);
        assert!(plan.rows.is_empty() && plan.trace.len() == usize::from(LINES));
    }
}
