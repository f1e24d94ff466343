//! Code lists: `schemas/code-lists/*.csv`, embedded, and the check of a value against one.
//!
//! Which element is checked against which list stands in the schemas (`xs:appinfo` of source
//! `urn:swgw:code-list`, read by `codec::shape`); what counts as known stands in `LISTS`; the codes
//! are data. An unknown code is told with the nearest known one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A code list.
#[derive(Debug)]
pub struct CodeList {
    /// Its name, as in `code-list:<name>`.
    pub name: &'static str,
    acceptance: Acceptance,
    codes: BTreeMap<&'static str, &'static str>,
}

/// When a code counts as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acceptance {
    /// When it is listed.
    Listed,
    /// When its first two characters are listed: HS codes, by their chapter.
    ListedPrefix,
    /// When it is listed, or its first two characters are a country: places.
    ListedOrCountry,
    /// Always; the list only names some.
    Any,
}

impl CodeList {
    /// What the code means; `None` when it is not listed.
    #[must_use]
    pub fn meaning(&self, code: &str) -> Option<&'static str> {
        self.codes.get(code).copied()
    }

    /// Whether a document may use the code.
    #[must_use]
    pub fn accepts(&self, code: &str) -> bool {
        let prefix = code.get(..2).unwrap_or(code);
        match self.acceptance {
            Acceptance::Any => true,
            Acceptance::Listed => self.codes.contains_key(code),
            Acceptance::ListedPrefix => self.codes.contains_key(prefix),
            Acceptance::ListedOrCountry => {
                self.codes.contains_key(code) || code_list("country").is_some_and(|list| list.accepts(prefix))
            }
        }
    }

    /// A sentence about a code that is not accepted, with the nearest code of the list.
    #[must_use]
    pub fn refusal(&self, code: &str) -> String {
        let nearest =
            self.nearest(code).map(|(code, meaning)| format!("; the nearest is {code} ({meaning})"));
        format!("{code:?} is not in the code list {}{}", self.name, nearest.unwrap_or_default())
    }

    /// The listed code that is the likeliest slip away: fewest changes; of several, the one that shares most at
    /// either end, then the first.
    fn nearest(&self, code: &str) -> Option<(&'static str, &'static str)> {
        let shared = |listed: &str| {
            let alike = |(a, b): &(u8, u8)| a == b;
            let ahead = code.bytes().zip(listed.bytes()).take_while(alike).count();
            ahead.max(code.bytes().rev().zip(listed.bytes().rev()).take_while(alike).count())
        };
        let order = |listed: &str| (changes(code, listed), Reverse(shared(listed)));
        self.codes.iter().min_by_key(|(listed, _)| order(listed)).map(|(code, meaning)| (*code, *meaning))
    }
}

/// The code list of this name.
#[must_use]
pub fn code_list(name: &str) -> Option<&'static CodeList> {
    CODE_LISTS.get(name)
}

/// Every code list, by name.
pub fn code_lists() -> impl Iterator<Item = &'static CodeList> {
    CODE_LISTS.values()
}

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

static CODE_LISTS: LazyLock<BTreeMap<&'static str, CodeList>> = LazyLock::new(|| {
    let read = |&(name, acceptance, text): &(&'static str, Acceptance, &'static str)| {
        let codes = text.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(row).collect();
        (name, CodeList { name, acceptance, codes })
    };
    LISTS.iter().map(read).collect()
});

/// Code and name of a line; our files quote a field as a whole and never have a quote or line end in one.
fn row(line: &'static str) -> Option<(&'static str, &'static str)> {
    let (code, rest) = line.split_once(',')?;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(',').next()?,
    };
    Some((code, name))
}

macro_rules! lists {
    ($($name:literal $acceptance:ident,)*) => {
        const LISTS: &[(&str, Acceptance, &str)] = &[$((
            $name,
            Acceptance::$acceptance,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/code-lists/", $name, ".csv")),
        )),*];
    };
}

lists! {
    "agency" Any,
    "amendment-status" Listed,
    "country" Listed,
    "currency" Listed,
    "dismissal-reason" Listed,
    "document-name" Listed,
    "hs" ListedPrefix,
    "incoterm" Listed,
    "law" Listed,
    "location" ListedOrCountry,
    "notice-status" Any,
    "package" Listed,
    "payment-method" Listed,
    "pending-reason" Listed,
    "processing-status" Listed,
    "supplement-kind" Listed,
    "transport-mode" Listed,
    "unit" Listed,
    "usage" Listed,
    "withdrawal-reason" Listed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_or_told_with_the_nearest() {
        fn check(list: &str, code: &str, refusal: Option<&str>) {
            let list = code_list(list).expect("a list of the table");
            let found = (!list.accepts(code)).then(|| list.refusal(code));
            assert_eq!(found.as_deref(), refusal, "{code}");
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
    fn every_file_reads_whole() {
        for (name, _, text) in LISTS {
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count() - 1;
            let list = code_list(name).expect("a list of the table");
            assert_eq!(list.codes.len(), lines, "{name}: a code twice, or a line without a name");
            assert!(list.codes.iter().all(|(code, name)| !code.is_empty() && !name.is_empty()), "{name}");
        }
        assert_eq!(code_list("country").map(|list| list.codes.len()), Some(249));
        let chapters = code_list("hs").map(|list| list.codes.keys().filter(|code| code.len() == 2).count());
        assert_eq!(chapters, Some(96));
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
