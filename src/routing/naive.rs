//! The matcher against a naive one: every row of the text held against every line, digit by digit, with nothing of
//! the tree or the conditions in it (domain brief, 7.2 and 7.4; rulings 6 to 8, 14).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::index::GoodsIndex;
use super::{Known, RuleFiles, RuleSet};
use crate::model::{Declaration, DeclarationLine};

/// An item of HS codes: its ends, and whether it excludes.
#[derive(Clone, Debug)]
struct Item {
    low: String,
    high: String,
    excludes: bool,
}

impl Item {
    fn text(&self) -> String {
        let mark = if self.excludes { "!" } else { "" };
        if self.low == self.high {
            format!("{mark}{}", self.low)
        } else {
            format!("{mark}{}..{}", self.low, self.high)
        }
    }

    /// Each end compares at its own length (ruling 8).
    fn holds(&self, code: &str) -> bool {
        code.get(..self.low.len()) >= Some(&self.low) && code.get(..self.high.len()) <= Some(&self.high)
    }
}

/// Ruling 6, read off the text.
fn takes<T>(items: &[T], excludes: impl Fn(&T) -> bool, holds: impl Fn(&T) -> bool) -> bool {
    let named = items.iter().any(|item| !excludes(item));
    (!named || items.iter().any(|item| !excludes(item) && holds(item)))
        && !items.iter().any(|item| excludes(item) && holds(item))
}

/// A row of either table, as its author thinks of it.
#[derive(Clone, Debug)]
struct Row {
    hs: Vec<Item>,
    /// Classes by number, and whether they are excluded.
    classes: Vec<(usize, bool)>,
    /// Countries, and whether they are excluded.
    origin: Vec<(usize, bool)>,
    usage: Vec<(usize, bool)>,
    value: Option<(u32, u32)>,
    /// First day in force and first day no longer in force, in December 2009.
    days: (u32, u32),
    /// What it asks for, or takes away.
    target: usize,
}

const COUNTRIES: [&str; 3] = ["CN", "JP", "US"];
const USAGES: [&str; 3] = ["SALE", "OWN", "RD"];
/// Law and agency; of an exception one of the two may be left open.
const TARGETS: [(&str, &str); 3] = [("05", "A"), ("12", "B"), ("13", "B")];

/// What the generator makes: classes, requirements, exceptions.
#[derive(Clone, Debug)]
struct World {
    classes: Vec<Vec<Item>>,
    requirements: Vec<Row>,
    exceptions: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Line {
    code: String,
    origin: Option<usize>,
    usage: Option<usize>,
    value: Option<u32>,
}

impl Row {
    fn holds_goods(&self, world: &World, code: &str) -> bool {
        let class =
            |number: usize| takes(&world.classes[number], |item| item.excludes, |item| item.holds(code));
        let own = self.hs.iter().map(|item| (item.excludes, item.holds(code)));
        let named = self.classes.iter().map(|(number, excludes)| (*excludes, class(*number)));
        let all: Vec<(bool, bool)> = own.chain(named).collect();
        takes(&all, |(excludes, _)| *excludes, |(_, holds)| *holds)
    }

    /// The conditions that fail, goods left out.
    fn failing(&self, line: &Line, day: u32) -> Vec<&'static str> {
        let listed = |items: &[(usize, bool)], value: Option<usize>| match value {
            Some(value) => takes(items, |item| item.1, |item| item.0 == value),
            None => items.iter().all(|item| item.1),
        };
        let value =
            self.value.is_none_or(|(from, to)| line.value.is_some_and(|value| from <= value && value <= to));
        let checks = [
            ("dates", self.days.0 <= day && day < self.days.1),
            ("origin", listed(&self.origin, line.origin)),
            ("usage", listed(&self.usage, line.usage)),
            ("value", value),
        ];
        checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }

    fn conditions(&self) -> String {
        let list = |items: Vec<String>| items.join(";");
        let named = |items: &[(usize, bool)], names: &[&str]| {
            let name = |(at, excludes): &(usize, bool)| {
                format!("{}{}", if *excludes { "!" } else { "" }, names[*at])
            };
            list(items.iter().map(name).collect())
        };
        format!(
            "2009-12-{:02},2009-12-{:02},{},{},{},{},{}",
            self.days.0,
            self.days.1,
            list(self.hs.iter().map(Item::text).collect()),
            named(&self.classes, &["k0", "k1"]),
            named(&self.origin, &COUNTRIES),
            named(&self.usage, &USAGES),
            self.value.map(|(from, to)| format!("{from}..{to}")).unwrap_or_default(),
        )
    }
}

impl World {
    fn files(&self) -> RuleFiles {
        let mut toml = String::from(
            "format = \"swgw-rules/1\"\nid = \"generated\"\nrevision = \"1\"\ntime_zone = \"Asia/Seoul\"\n\
             tables = [\"r.csv\", \"e.csv\"]\n[agency]\n\
             A = { party = \"AG1\", cpa = \"a\", mode = \"system\" }\nB = { party = \"AG2\", cpa = \"b\", mode = \"system\" }\n[class]\n",
        );
        for (number, items) in self.classes.iter().enumerate() {
            let items: Vec<String> = items.iter().map(Item::text).collect();
            writeln!(toml, "k{number} = {items:?}").expect("a string takes it");
        }
        let head = "from,until,hs,class,origin,usage,value,law,agency";
        let mut required = format!("id,{head},application,result\n");
        let mut excepted = format!("id,{head},reason\n");
        for (number, row) in self.requirements.iter().enumerate() {
            let (law, agency) = TARGETS[row.target];
            writeln!(required, "r{number:03},{},{law},{agency},D{agency},E{agency}", row.conditions())
                .expect("a string takes it");
        }
        for (number, row) in self.exceptions.iter().enumerate() {
            let (law, agency) = [("05", ""), ("", "B"), ("12", "B")][row.target];
            writeln!(excepted, "e{number:03},{},{law},{agency},why", row.conditions())
                .expect("a string takes it");
        }
        let texts = [("ruleset.toml", toml), ("r.csv", required), ("e.csv", excepted)];
        RuleFiles(texts.map(|(name, text)| (name.to_owned(), text.into_bytes())).into_iter().collect())
    }

    /// Loads it without the rows that the check refuses, such as those that could never match.
    fn load(&mut self) -> std::sync::Arc<RuleSet> {
        let known = Known { codes: &|_, _| true, registry: None };
        loop {
            match RuleSet::load(&self.files(), &known) {
                Ok((rules, _)) => return rules,
                Err(faults) => {
                    let mut lines: Vec<(String, usize)> = faults
                        .into_iter()
                        .filter(|fault| fault.severity == super::RuleSeverity::Error)
                        .map(|fault| (fault.file, fault.line - 2))
                        .collect();
                    lines.dedup();
                    for (file, line) in lines.into_iter().rev() {
                        let rows =
                            if file == "r.csv" { &mut self.requirements } else { &mut self.exceptions };
                        rows.remove(line);
                    }
                }
            }
        }
    }
}

/// Few digits, so that codes and prefixes meet often.
fn prefix() -> impl Strategy<Value = String> {
    "[049]{2,10}"
}

fn item() -> impl Strategy<Value = Item> {
    (prefix(), prop::option::weighted(0.4, prefix()), prop::bool::weighted(0.25)).prop_map(
        |(a, b, excludes)| {
            let b = b.unwrap_or_else(|| a.clone());
            // An end may be a prefix of the other: then the shorter one begins earlier and ends later.
            let ordered = format!("{a:0<10}") <= format!("{b:9<10}");
            let (low, high) = if ordered { (a, b) } else { (b, a) };
            Item { low, high, excludes }
        },
    )
}

fn class() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(), 1..5).prop_map(|mut items| {
        items[0].excludes = false;
        items
    })
}

fn listed(kinds: usize) -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((0..kinds, prop::bool::weighted(0.3)), 0..3)
}

fn row() -> impl Strategy<Value = Row> {
    let goods = (prop::collection::vec(item(), 0..4), listed(2));
    let value = prop::option::weighted(0.3, (0_u32..50, 0_u32..50));
    (goods, listed(3), listed(3), value, (1_u32..8, 1_u32..12), 0..TARGETS.len()).prop_map(
        |((hs, classes), origin, usage, value, (from, days), target)| Row {
            hs,
            classes,
            origin,
            usage,
            value: value.map(|(from, more)| (from, from + more)),
            days: (from, from + days),
            target,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let rows = |most| prop::collection::vec(row(), 0..most);
    ([class(), class()], rows(60), rows(6)).prop_map(|(classes, requirements, exceptions)| World {
        classes: classes.into(),
        requirements,
        exceptions,
    })
}

fn line() -> impl Strategy<Value = Line> {
    let (origin, usage) = (prop::option::of(0_usize..3), prop::option::of(0_usize..3));
    ("[049]{10}", origin, usage, prop::option::of(0_u32..100)).prop_map(|(code, origin, usage, value)| Line {
        code,
        origin,
        usage,
        value,
    })
}

fn declared(lines: &[Line]) -> Declaration {
    let of = |(sequence, line): (u16, &Line)| DeclarationLine {
        count: None,
        sequence,
        hs: line.code.parse().expect("ten digits"),
        origin: line.origin.map(|at| COUNTRIES[at].parse().expect("a country")),
        usage: line.usage.map(|at| USAGES[at].parse().expect("a usage")),
        value: line.value.map(|value| value.to_string().parse().expect("a decimal")),
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
        lines: (1..).zip(lines).map(of).collect(),
        attachments: Vec::new(),
    }
}

proptest! {
    #[test]
    fn the_matcher_is_the_naive_one_made_fast(
        mut world in world(),
        lines in prop::collection::vec(line(), 1..12),
        day in 1_u32..12,
    ) {
        let rules = world.load();
        let at = format!("2009-12-{day:02}T12:00:00+09:00").parse().expect("an instant");
        let plan = rules.plan(&declared(&lines), at);
        let mut found_rows = plan.rows.iter();
        for (line, trace) in lines.iter().zip(&plan.trace) {
            let mut hits = Vec::new();
            let mut near = Vec::new();
            for (number, row) in world.requirements.iter().enumerate() {
                if !row.holds_goods(&world, &line.code) {
                    continue;
                }
                match row.failing(line, day).as_slice() {
                    [] => hits.push(number),
                    [only] if near.len() < RuleSet::NEAR_MISSES_MAX => near.push((format!("r{number:03}"), *only)),
                    _ => {}
                }
            }
            let told: Vec<_> = trace.near.iter().map(|(id, why)| (id.to_string(), &**why)).collect();
            prop_assert_eq!(told, near, "near misses of {:?}", line);
            prop_assert_eq!(trace.hit.len(), hits.len(), "hits of {:?}: {:?}", line, trace.hit);
            for number in hits {
                let row = found_rows.next().expect("as many rows as hits");
                prop_assert_eq!(row.rule.as_str(), format!("r{number:03}"));
                let (law, agency) = TARGETS[world.requirements[number].target];
                let takes_away = |exception: &&Row| {
                    [law == "05", agency == "B", law == "12"][exception.target]
                        && exception.holds_goods(&world, &line.code)
                        && exception.failing(line, day).is_empty()
                };
                let removed = world.exceptions.iter().position(|exception| takes_away(&exception));
                prop_assert_eq!(
                    row.removed.as_deref().map(str::to_owned),
                    removed.map(|number| format!("exception e{number:03}: why"))
                );
            }
        }
        prop_assert!(found_rows.next().is_none());
    }
}

/// What rows name together stands in the tree once, and what a range spans costs nothing.
#[test]
fn memory_follows_the_files_and_not_what_they_span() {
    let nodes = |hs: &str, rows: usize, items: usize| {
        let class: Vec<String> =
            (0..items).map(|at| format!("{:?}", format!("{:06}", 100_000 + at * 7))).collect();
        let toml = format!(
            "format = \"swgw-rules/1\"\nid = \"g\"\nrevision = \"1\"\ntime_zone = \"Asia/Seoul\"\ntables = [\"r.csv\"]\n\
             agency.A = {{ party = \"AG1\", cpa = \"a\", mode = \"system\" }}\nclass.many = [{}]\n",
            class.join(", ")
        );
        let mut table = "id,from,until,hs,class,law,agency,application,result\n".to_owned();
        for row in 0..rows {
            writeln!(table, "r{row},,,{hs},many,05,A,D,E").expect("a string takes it");
        }
        let texts = [("ruleset.toml", toml), ("r.csv", table)];
        let files = RuleFiles(BTreeMap::from(texts.map(|(name, text)| (name.to_owned(), text.into_bytes()))));
        let (rules, _) =
            RuleSet::load(&files, &Known { codes: &|_, _| true, registry: None }).expect("in order");
        GoodsIndex::of(rules.requirements.iter().map(|row| &row.when.goods)).size()
    };
    let (few_nodes, few_marks) = nodes("", 10, 300);
    let (many_nodes, many_marks) = nodes("", 200, 300);
    assert_eq!(few_nodes, many_nodes, "a class has its nodes once");
    assert_eq!(many_marks - few_marks, 190, "a row that names a class is one mark");
    let (widest, _) = nodes("0000000001..9999999998", 1, 1);
    let (narrow, _) = nodes("01", 1, 1);
    assert!(
        widest - narrow <= 2 * 10 * 10,
        "a range is at most ten prefixes at each digit of each end: {widest}"
    );
}
