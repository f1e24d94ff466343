//! Code lists: which codes a document may use, on which days, and what they mean.
//!
//! The lists are data: `schemas/code-lists.csv` names each with its source and version and says which codes count as
//! known, `schemas/code-lists/<name>.csv` has the codes with the days on which they may be used. A directory of
//! documents may add lists and codes, and end a code by giving it anew. Which element is checked against which list
//! stands in the schemas (`xs:appinfo` of source `urn:swgw:code-list`, read by `codec::shape`). A code that may not be
//! used is told with the nearest one that may.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::Offset;

use super::catalogue::CatalogueFault;
use super::csv::{Cell, rows};
use crate::model::Timestamp;

/// The day of an instant where codes are made: Korea, which keeps one offset all year.
#[must_use]
pub fn day_of(at: Timestamp) -> Date {
    Offset::constant(9).to_datetime(at.to_jiff()).date()
}

/// A code list.
#[derive(Clone, Debug)]
pub struct CodeList {
    /// Its name, as in `code-list:<name>`.
    pub name: String,
    /// Who publishes the codes.
    pub source: String,
    /// Which version of the source is followed.
    pub version: String,
    acceptance: Acceptance,
    codes: BTreeMap<String, Code>,
}

/// A code of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Code {
    meaning: String,
    /// The first day on which it may be used; open when none.
    from: Option<Date>,
    /// The first day on which it may be used no more.
    until: Option<Date>,
}

/// When a code counts as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acceptance {
    /// When it is listed.
    Listed,
    /// When it is listed, or its first two characters are: HS codes, by their chapter.
    ListedPrefix,
    /// When it is listed, or its first two characters are a country: places.
    ListedOrCountry,
    /// Always; the list only names some.
    Any,
}

impl Acceptance {
    const WORDS: [(&str, Self); 4] = [
        ("listed", Self::Listed),
        ("prefix", Self::ListedPrefix),
        ("country", Self::ListedOrCountry),
        ("any", Self::Any),
    ];
}

impl Code {
    fn counts_on(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day < until)
    }

    fn counts(&self, day: Option<Date>) -> bool {
        day.is_none_or(|day| self.counts_on(day))
    }
}

impl CodeList {
    /// What the code means; `None` when it is not listed.
    #[must_use]
    pub fn meaning(&self, code: &str) -> Option<&str> {
        self.codes.get(code).map(|code| code.meaning.as_str())
    }

    /// How many codes it has.
    #[must_use]
    pub fn codes_count(&self) -> usize {
        self.codes.len()
    }

    /// The listed code that is the likeliest slip away and may be used: fewest changes; of several, the one that
    /// shares most at either end, then the first.
    fn nearest(&self, code: &str, day: Date) -> Option<(&str, &str)> {
        let shared = |listed: &str| {
            let alike = |(a, b): &(u8, u8)| a == b;
            let ahead = code.bytes().zip(listed.bytes()).take_while(alike).count();
            ahead.max(code.bytes().rev().zip(listed.bytes().rev()).take_while(alike).count())
        };
        let order = |listed: &str| (changes(code, listed), Reverse(shared(listed)));
        let usable = self.codes.iter().filter(|(_, code)| code.counts_on(day));
        let nearest = usable.min_by_key(|(listed, _)| order(listed));
        nearest.map(|(code, Code { meaning, .. })| (code.as_str(), meaning.as_str()))
    }

    /// Takes in the rows of a file of codes; one that is there already is replaced.
    fn add(&mut self, file: &str, octets: &[u8], faults: &mut Vec<CatalogueFault>) {
        let mut seen = BTreeMap::new();
        for [code, meaning, from, until] in rows(file, octets, ["code", "name", "from", "until"], faults) {
            if code.text.is_empty() || meaning.text.is_empty() {
                faults.push(CatalogueFault::at(
                    file,
                    &code,
                    "a code or its meaning is missing",
                    "write both",
                ));
            }
            if seen.insert(code.text.clone(), code.line).is_some() {
                let message = format!("{} stands twice", code.text);
                faults.push(CatalogueFault::at(file, &code, message, "keep one row"));
            }
            let (first, end) = (date(file, &from, faults), date(file, &until, faults));
            if first.zip(end).is_some_and(|(first, end)| end <= first) {
                faults.push(CatalogueFault::at(
                    file,
                    &until,
                    "it ends before it begins",
                    "write a later day",
                ));
            }
            self.codes.insert(code.text, Code { meaning: meaning.text, from: first, until: end });
        }
    }
}

fn date(file: &str, cell: &Cell, faults: &mut Vec<CatalogueFault>) -> Option<Date> {
    if cell.text.is_empty() {
        return None;
    }
    let date = cell.text.parse();
    if date.is_err() {
        let message = format!("{:?} is no day", cell.text);
        faults.push(CatalogueFault::at(file, cell, message, "write it as 2009-12-25, or nothing"));
    }
    date.ok()
}

/// Every code list. A list keeps its place when others are added, so that schemas may name it by that.
#[derive(Clone, Debug, Default)]
pub struct CodeLists(Vec<CodeList>);

impl CodeLists {
    /// The code list of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&CodeList> {
        self.0.iter().find(|list| list.name == name)
    }

    /// Every code list.
    pub fn iter(&self) -> impl Iterator<Item = &CodeList> {
        self.0.iter()
    }

    /// The place of the list of this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|list| list.name == name)
    }

    /// Whether a document of that day, or of any, may use the code.
    #[must_use]
    pub fn accepts(&self, list: &str, code: &str, day: Option<Date>) -> bool {
        self.get(list).is_some_and(|list| self.takes(list, code, day))
    }

    /// The rule and the sentence about a code that a document of that day may not use; `None` for one that it may.
    pub(super) fn refusal(&self, place: usize, code: &str, day: Date) -> Option<(String, String)> {
        let list = &self.0[place];
        if self.takes(list, code, Some(day)) {
            return None;
        }
        let name = &list.name;
        let message = match list.codes.get(code) {
            Some(Code { until: Some(until), .. }) if *until <= day => {
                format!("{code:?} of the code list {name} ended on {until}")
            }
            Some(Code { from: Some(from), .. }) => {
                format!("{code:?} of the code list {name} begins on {from}")
            }
            _ => format!("{code:?} is not in the code list {name}"),
        };
        let nearest = list.nearest(code, day);
        let nearest = nearest.map(|(code, meaning)| format!("; the nearest is {code} ({meaning})"));
        Some((format!("code-list:{name}"), message + &nearest.unwrap_or_default()))
    }

    fn takes(&self, list: &CodeList, code: &str, day: Option<Date>) -> bool {
        let prefix = code.get(..2).unwrap_or(code);
        let listed = |code: &str| list.codes.get(code).map(|code| code.counts(day));
        match list.acceptance {
            Acceptance::Any => true,
            Acceptance::Listed => listed(code) == Some(true),
            Acceptance::ListedPrefix => listed(code).or_else(|| listed(prefix)) == Some(true),
            Acceptance::ListedOrCountry => {
                listed(code).unwrap_or_else(|| self.accepts("country", prefix, day))
            }
        }
    }

    /// Adds the lists that an index names. Their codes come with [`add_codes`](Self::add_codes).
    pub(super) fn add_lists(&mut self, octets: &[u8], faults: &mut Vec<CatalogueFault>) {
        let columns = ["name", "accepts", "source", "version"];
        for [name, accepts, source, version] in rows(INDEX, octets, columns, faults) {
            let word = Acceptance::WORDS.iter().find(|(word, _)| *word == accepts.text);
            let Some((_, acceptance)) = word else {
                let message = format!("{:?} is no way to accept codes", accepts.text);
                faults.push(CatalogueFault::at(
                    INDEX,
                    &accepts,
                    message,
                    "write listed, prefix, country or any",
                ));
                continue;
            };
            if self.get(&name.text).is_some() {
                let message = format!("there is a code list {} already", name.text);
                faults.push(CatalogueFault::at(INDEX, &name, message, "give it another name"));
                continue;
            }
            if source.text.is_empty() || version.text.is_empty() {
                let message = format!("{} has no source or no version", name.text);
                faults.push(CatalogueFault::at(
                    INDEX,
                    &source,
                    message,
                    "write who publishes it, and which one",
                ));
            }
            self.0.push(CodeList {
                name: name.text,
                source: source.text,
                version: version.text,
                acceptance: *acceptance,
                codes: BTreeMap::new(),
            });
        }
    }

    /// Adds the codes of a file `code-lists/<name>.csv`.
    pub(super) fn add_codes(&mut self, file: &str, octets: &[u8], faults: &mut Vec<CatalogueFault>) {
        let name = file.strip_prefix(CODES).and_then(|file| file.strip_suffix(".csv")).unwrap_or_default();
        match self.place(name) {
            Some(place) => self.0[place].add(file, octets, faults),
            None => {
                let message = format!("there is no code list {name}");
                faults.push(CatalogueFault::new(file, (1, 1), message, format!("name it in {INDEX}")));
            }
        }
    }
}

/// The file that names the lists.
pub(super) const INDEX: &str = "code-lists.csv";
/// Where the codes are.
pub(super) const CODES: &str = "code-lists/";

/// What it costs to change one code into another: swapping neighbours is the likeliest slip.
fn changes(from: &str, to: &str) -> usize {
    const SWAP: usize = 2;
    const OTHER: usize = 3;
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let first = (0..=to.len()).map(|j| j * OTHER).collect();
    let mut rows: [Vec<usize>; 3] = [vec![0; to.len() + 1], first, vec![0; to.len() + 1]];
    for (i, a) in from.iter().enumerate() {
        let [before_last, last, this] = &mut rows;
        this[0] = (i + 1) * OTHER;
        for (j, b) in to.iter().enumerate() {
            let replaced = last[j] + if a == b { 0 } else { OTHER };
            let mut best = replaced.min(last[j + 1] + OTHER).min(this[j] + OTHER);
            if i > 0 && j > 0 && from[i - 1] == *b && to[j - 1] == *a {
                best = best.min(before_last[j - 1] + SWAP);
            }
            this[j + 1] = best;
        }
        rows.rotate_left(1);
    }
    rows[1][to.len()]
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().expect("is a day")
    }

    fn refusal(lists: &CodeLists, list: &str, code: &str, on: &str) -> Option<String> {
        let place = lists.place(list).expect("a list that is there");
        lists.refusal(place, code, day(on)).map(|(rule, message)| {
            assert_eq!(rule, format!("code-list:{list}"));
            message
        })
    }

    #[test]
    fn codes_are_known_or_told_with_the_nearest() {
        fn check(list: &str, code: &str, expected: Option<&str>) {
            let found = refusal(Catalogue::built_in().code_lists(), list, code, "2009-12-01");
            assert_eq!(found.as_deref(), expected, "{code}");
        }
        check("country", "KR", None);
        check(
            "country",
            "RK",
            Some("\"RK\" is not in the code list country; the nearest is KR (Korea, South)"),
        );
        check("hs", "1211901000", None);
        check("hs", "1299999999", None);
        check(
            "hs",
            "7711901000",
            Some("\"7711901000\" is not in the code list hs; the nearest is 1211901000 (Medicinal herbs)"),
        );
        check(
            "usage",
            "SALES",
            Some("\"SALES\" is not in the code list usage; the nearest is SALE (for sale)"),
        );
        check("location", "KRPUS", None);
        check("location", "KRABC", None);
        check(
            "location",
            "QQABC",
            Some("\"QQABC\" is not in the code list location; the nearest is CNDLC (Dalian)"),
        );
        check("notice-status", "Q99", None);
        check("law", "5", Some("\"5\" is not in the code list law; the nearest is 05 (Food Sanitation Act)"));
    }

    #[test]
    fn a_code_counts_from_its_first_day_to_the_day_before_its_end() {
        let mut lists = CodeLists::default();
        let mut faults = Vec::new();
        lists.add_lists(b"name,accepts,source,version\ncolour,listed,tests,1\n", &mut faults);
        let codes = b"code,name,from,until\nRED,red,2009-01-01,2010-01-01\nREB,rebeccapurple,,\n";
        lists.add_codes("code-lists/colour.csv", codes, &mut faults);
        assert_eq!(faults, []);
        let check = |code: &str, on: &str, expected: Option<&str>| {
            assert_eq!(refusal(&lists, "colour", code, on).as_deref(), expected, "{code} {on}");
        };
        let near = "the nearest is REB (rebeccapurple)";
        check("RED", "2009-01-01", None);
        check("RED", "2009-12-31", None);
        check(
            "RED",
            "2008-12-31",
            Some(&format!("\"RED\" of the code list colour begins on 2009-01-01; {near}")),
        );
        check(
            "RED",
            "2010-01-01",
            Some(&format!("\"RED\" of the code list colour ended on 2010-01-01; {near}")),
        );
        check("REB", "1999-01-01", None);
    }

    /// A document of 2009 may use what counted then and nothing that came later.
    #[test]
    fn the_codes_of_the_program_have_their_days() {
        fn check(list: &str, code: &str, on: &str, accepted: bool) {
            let found = refusal(Catalogue::built_in().code_lists(), list, code, on);
            assert_eq!(found.is_none(), accepted, "{list} {code} {on}: {found:?}");
        }
        check("country", "AN", "2010-12-14", true);
        check("country", "AN", "2010-12-15", false);
        check("country", "SS", "2011-07-08", false);
        check("country", "SS", "2011-07-09", true);
        check("currency", "EEK", "2010-12-31", true);
        check("currency", "EEK", "2011-01-01", false);
        check("incoterm", "DPU", "2009-12-01", false);
        check("law", "88", "2015-06-04", true);
        check("office", "020", "2009-12-01", true);
        check("office", "999", "2009-12-01", false);
    }

    #[test]
    fn mistakes_in_a_list_are_told_with_their_places() {
        let mut lists = CodeLists::default();
        let mut faults = Vec::new();
        let index = b"name,accepts,source,version\na,listed,s,1\na,listed,s,1\nb,maybe,s,1\nc,any,,1\n";
        lists.add_lists(index, &mut faults);
        let codes = b"code,name,from,until\nX,x,soon,\nX,x,,\nY,,,\nZ,z,2010-01-01,2010-01-01\n";
        lists.add_codes("code-lists/a.csv", codes, &mut faults);
        lists.add_codes("code-lists/d.csv", codes, &mut faults);
        let told: Vec<_> = faults.iter().map(|f| format!("{}:{}:{}", f.file, f.line, f.column)).collect();
        let expected = [
            "code-lists.csv:3:1",
            "code-lists.csv:4:3",
            "code-lists.csv:5:7",
            "code-lists/a.csv:2:5",
            "code-lists/a.csv:3:1",
            "code-lists/a.csv:4:1",
            "code-lists/a.csv:5:16",
            "code-lists/d.csv:1:1",
        ];
        assert_eq!(told, expected, "{faults:#?}");
    }

    #[test]
    fn every_list_of_the_program_has_its_codes() {
        for list in Catalogue::built_in().code_lists().iter() {
            assert!(list.codes_count() > 0, "{}", list.name);
        }
        let list = |name| Catalogue::built_in().code_lists().get(name).expect("is there");
        let now = list("country").codes.values().filter(|code| code.counts_on(day("2020-01-01"))).count();
        assert_eq!((list("country").codes_count(), now), (250, 249));
        assert_eq!(list("hs").codes.keys().filter(|code| code.len() == 2).count(), 96);
    }

    #[test]
    fn the_day_is_that_of_korea() {
        let day_at = |text: &str| day_of(text.parse().expect("is an instant"));
        assert_eq!(day_at("2009-12-31T14:59:59Z"), day("2009-12-31"));
        assert_eq!(day_at("2009-12-31T15:00:00Z"), day("2010-01-01"));
    }

    #[test]
    fn a_swap_costs_less_than_another_change() {
        fn check(from: &str, to: &str, expected: usize) {
            assert_eq!(changes(from, to), expected, "{from} {to}");
        }
        check("KR", "KR", 0);
        check("KR", "RK", 2);
        check("SALES", "SALE", 3);
        check("", "AB", 6);
        check("ABC", "", 9);
        check("ABCD", "ACBD", 2);
    }
}
