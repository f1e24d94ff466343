//! What a document owes beyond the form of its values and the codes in them: totals, dates, numbers that occur once,
//! reasons that must be given. The checks are data (`schemas/checks.csv`, which says what each word does); this is the
//! closed vocabulary that they are written in.
//!
//! Promises: also looks at a document that breaks its schema, so that all findings come at once, and is silent where
//! something is missing or the schema has spoken; does no more work for a hostile document than for its first 100
//! findings. Is no language: a check names elements and one of the words below, and computes nothing else.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;

use super::catalogue::CatalogueFault;
use super::code_lists::day_of;
use super::csv::rows;
use super::schema::{DocumentFamily, DocumentType};
use super::xml::Element;
use crate::ffi::FINDINGS_MAX;
use crate::model::{Decimal, Finding, Timestamp};

/// A check of certain documents.
#[derive(Clone, Debug)]
pub(super) struct Check {
    id: String,
    documents: Vec<Documents>,
    each: String,
    word: Word,
    of: String,
    against: String,
}

/// Which documents a check is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Documents {
    Family(DocumentFamily),
    Code(String),
}

/// What is checked: see `schemas/checks.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Counts,
    Unique,
    Given,
    Sums,
    SumsBy,
    Covers,
    Within,
    SameUnit,
    NotBefore,
    NotAfter,
    StartsWith,
    CheckCharacter,
}

impl Word {
    const WORDS: [(&str, Self); 12] = [
        ("counts", Self::Counts),
        ("unique", Self::Unique),
        ("given", Self::Given),
        ("sums", Self::Sums),
        ("sums-by", Self::SumsBy),
        ("covers", Self::Covers),
        ("within", Self::Within),
        ("same-unit", Self::SameUnit),
        ("not-before", Self::NotBefore),
        ("not-after", Self::NotAfter),
        ("starts-with", Self::StartsWith),
        ("check-character", Self::CheckCharacter),
    ];
}

/// Reads the rows of a file of checks.
pub(super) fn read(file: &str, octets: &[u8], faults: &mut Vec<CatalogueFault>) -> Vec<Check> {
    let columns = ["id", "documents", "each", "check", "of", "against", "why"];
    let mut checks = Vec::new();
    for [id, documents, each, check, of, against, why] in rows(file, octets, columns, faults) {
        let before = faults.len();
        let mut wrong = |cell, message: String, remedy: &str| {
            faults.push(CatalogueFault::at(file, cell, message, remedy));
        };
        let shaped = id.text.split_once(':').is_some_and(|(kind, name)| is_plain(kind) && is_plain(name));
        if !shaped {
            wrong(&id, format!("{:?} is no id", id.text), "write small letters, a colon, small letters");
        }
        let word = Word::WORDS.iter().find(|(word, _)| *word == check.text).map(|(_, word)| *word);
        if word.is_none() {
            let words = Word::WORDS.map(|(word, _)| word).join(", ");
            wrong(&check, format!("{:?} is no check", check.text), &format!("write one of {words}"));
        }
        let alone = word == Some(Word::CheckCharacter);
        if of.text.is_empty() || against.text.is_empty() != alone {
            wrong(&of, "what is checked, or against what, is missing".to_owned(), "write both paths");
        }
        if word == Some(Word::Given) && !against.text.contains('=') {
            wrong(&against, format!("{:?} is no condition", against.text), "write a path, = and a value");
        }
        if why.text.is_empty() {
            wrong(&why, "it does not say why".to_owned(), "write a sentence for people");
        }
        let named = documents.text.split(';').map(|text| {
            let family = DocumentFamily::WORDS.iter().find(|(word, _)| *word == text);
            family.map_or_else(|| Documents::Code(text.to_owned()), |(_, family)| Documents::Family(*family))
        });
        let check = word.map(|word| Check {
            id: id.text.clone(),
            documents: named.collect(),
            each: each.text.clone(),
            word,
            of: of.text.clone(),
            against: against.text.clone(),
        });
        if faults.len() == before {
            checks.extend(check);
        }
    }
    checks
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

impl Check {
    /// The codes that it names.
    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.documents
            .iter()
            .filter_map(|of| if let Documents::Code(code) = of { Some(&**code) } else { None })
    }

    fn is_for(&self, document: &DocumentType) -> bool {
        self.documents.iter().any(|of| match of {
            Documents::Family(family) => *family == document.family,
            Documents::Code(code) => *code == document.code.as_str(),
        })
    }
}

/// Adds to the findings about a document those of its checks.
pub(super) fn check<'a>(
    checks: &'a [Check],
    document: &DocumentType,
    root: Element<'a>,
    findings: &mut Vec<Finding>,
) {
    let mut found = Vec::new();
    for check in checks.iter().filter(|check| check.is_for(document)) {
        // Read once, not for each of the elements.
        let of_root = check.against.strip_prefix('/').and_then(|path| all(root, path).first().copied());
        let mut desk = Desk { check, of_root, found: &mut found };
        for element in all(root, &check.each) {
            if desk.found.len() >= FINDINGS_MAX {
                break;
            }
            desk.check(element);
        }
    }
    found.retain(|one| findings.iter().all(|finding| finding.path != one.path));
    findings.extend(found);
}

/// A check at work.
struct Desk<'a, 'f> {
    check: &'a Check,
    /// What is checked against, when that is from the root.
    of_root: Option<Element<'a>>,
    found: &'f mut Vec<Finding>,
}

impl<'a> Desk<'a, '_> {
    fn check(&mut self, each: Element<'a>) {
        let Check { of, against, .. } = self.check;
        match self.check.word {
            Word::Counts => self.counts(each),
            Word::Unique => self.unique(each),
            Word::Given => self.given(each),
            Word::Sums => self.sums(each),
            Word::SumsBy => self.sums_by(each),
            Word::Covers => self.covers(each),
            Word::Within => self.compare(each, of, against, |desk, one, other| {
                let (most, unit) = (number(other)?, unit(other));
                (unit == self::unit(one) && number(one)? > most)
                    .then(|| desk.add(one, format!("{} is more than {}", shown(one), shown(other))))
            }),
            Word::SameUnit => self.compare(each, of, against, |desk, one, other| {
                (unit(one)? != unit(other)?).then(|| {
                    desk.add(
                        one,
                        format!("is in {}, and {} is in {}", unit_of(one), name(other), unit_of(other)),
                    );
                })
            }),
            Word::NotBefore => self.compare(each, of, against, |desk, one, other| {
                (day(one)? < day(other)?).then(|| {
                    desk.add(one, format!("{} is before {} of {}", shown(one), shown(other), name(other)))
                })
            }),
            Word::NotAfter => self.compare(each, of, against, |desk, one, other| {
                (day(one)? > day(other)?).then(|| {
                    desk.add(one, format!("{} is after {} of {}", shown(one), shown(other), name(other)))
                })
            }),
            Word::StartsWith => self.compare(each, of, against, |desk, one, other| {
                (!token(one).starts_with(&token(other))).then(|| {
                    desk.add(one, format!("{:?} does not begin with {:?}", token(one), token(other)))
                })
            }),
            Word::CheckCharacter => {
                let numbers = self.at(each, of);
                for (number, text) in numbers.into_iter().map(|number| (number, token(number))) {
                    let (said, expected) = (text.chars().last(), check_character(&text));
                    if let Some(expected) =
                        expected.filter(|expected| said != Some(*expected) && said != Some('X'))
                    {
                        self.add(number, format!("the check character of {text:?} is no {expected}"));
                    }
                }
            }
        }
    }

    /// A finding about an element.
    fn add(&mut self, element: Element<'_>, message: impl fmt::Display) {
        if self.found.len() < FINDINGS_MAX {
            let (line, path) = (element.line(), element.path());
            self.found.push(Finding {
                line,
                path,
                rule: self.check.id.clone(),
                message: message.to_string(),
            });
        }
    }

    /// The elements at a path from `each` or from its parent; the one from the root.
    fn at(&self, each: Element<'a>, path: &str) -> Vec<Element<'a>> {
        match path.strip_prefix("../") {
            _ if path.starts_with('/') => self.of_root.into_iter().collect(),
            Some(path) => each.parent().map(|parent| all(parent, path)).unwrap_or_default(),
            None => all(each, path),
        }
    }

    /// Both elements, when they are there.
    fn compare(
        &mut self,
        each: Element<'a>,
        of: &str,
        against: &str,
        judge: impl FnOnce(&mut Self, Element<'a>, Element<'a>) -> Option<()>,
    ) {
        if let (Some(one), Some(other)) = (self.at(each, of).first(), self.at(each, against).first()) {
            judge(self, *one, *other);
        }
    }

    fn counts(&mut self, each: Element<'a>) {
        let there = self.at(each, &self.check.against).len();
        let wrong = self.at(each, &self.check.of).into_iter().find(|said| token(*said).parse() != Ok(there));
        if let Some(said) = wrong {
            let counted = &self.check.against;
            self.add(said, format!("says {:?}, but the number of {counted} is {there}", token(said)));
        }
    }

    fn unique(&mut self, each: Element<'a>) {
        let mut first = BTreeMap::new();
        for element in self.at(each, &self.check.against) {
            let Some(key) =
                self.check.of.split('+').map(|path| all(element, path).first().copied()).collect()
            else {
                continue;
            };
            let key: Vec<Element<'_>> = key;
            let (text, last) =
                (key.iter().map(|part| token(*part)).collect::<Vec<_>>().join(" "), key[key.len() - 1]);
            let earlier = *first.entry(text.clone()).or_insert(last);
            if self.found.len() >= FINDINGS_MAX {
                return;
            }
            if earlier.id() != last.id() {
                let (numbered, line) = (&self.check.against, earlier.line());
                self.add(
                    last,
                    format!("{text:?} is the number of another {numbered}, on line {line}, already"),
                );
            }
        }
    }

    fn given(&mut self, each: Element<'a>) {
        let Some((path, value)) = self.check.against.split_once('=') else { return };
        let holds = self.at(each, path).into_iter().find(|element| token(*element) == value);
        if let Some(holds) = holds.filter(|_| self.at(each, &self.check.of).is_empty()) {
            self.add(holds, format!("{value} of {path} needs {}", self.check.of));
        }
    }

    fn sums(&mut self, each: Element<'a>) {
        let Some(total) = self.at(each, &self.check.of).first().copied() else { return };
        let parts = self.at(each, &self.check.against);
        // A part that is missing somewhere, or is no number, leaves nothing to compare.
        let whole = parts.len() == self.holders(each);
        if let (Some(said), Some(sum)) = (number(total), sum(&parts))
            && whole
            && said != sum
        {
            self.add(
                total,
                format!("{said} is not the sum {sum} over {} {}", parts.len(), self.check.against),
            );
        }
    }

    /// How many elements should hold a part: those at the first step of the path.
    fn holders(&self, each: Element<'a>) -> usize {
        self.at(each, self.check.against.split('/').next().unwrap_or_default()).len()
    }

    fn covers(&mut self, each: Element<'a>) {
        let Some(total) = self.at(each, &self.check.of).first().copied() else { return };
        let parts = self.at(each, &self.check.against);
        let alike = parts.iter().all(|part| unit(*part) == unit(total));
        if let (Some(said), Some(sum)) = (number(total), sum(&parts))
            && alike
            && said < sum
        {
            self.add(total, format!("{said} is less than the sum {sum} of {}", self.check.against));
        }
    }

    fn sums_by(&mut self, each: Element<'a>) {
        let split = |path: &'a str| -> Option<(&'a str, &'a str, &'a str)> {
            let (holder, parts) = path.rsplit_once('/')?;
            let (kind, amount) = parts.split_once('+')?;
            Some((holder, kind, amount))
        };
        let (Some(totals), Some(parts)) = (split(&self.check.of), split(&self.check.against)) else { return };
        let amounts = |(holder, kind, amount): (&str, &str, &str)| -> Option<Vec<(String, Element<'a>)>> {
            let of = |element| Some((token(*all(element, kind).first()?), *all(element, amount).first()?));
            self.at(each, holder).into_iter().map(of).collect()
        };
        let (Some(totals), Some(parts)) = (amounts(totals), amounts(parts)) else { return };
        for (kind, total) in totals {
            let of_kind: Vec<_> =
                parts.iter().filter(|(other, _)| *other == kind).map(|(_, part)| *part).collect();
            if let (Some(said), Some(sum)) = (number(total), sum(&of_kind))
                && !of_kind.is_empty()
                && said != sum
            {
                self.add(total, format!("{said} is not the sum {sum} of {kind} over the lines"));
            }
        }
    }
}

/// Every element at this path of names, all in the namespace of `from`; the element itself for no path.
fn all<'a>(from: Element<'a>, path: &str) -> Vec<Element<'a>> {
    let mut found = vec![from];
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let below = found.iter().flat_map(|element| {
            let namespace = from.name().0;
            element.children().filter(move |child| child.is(namespace, name))
        });
        found = below.collect();
    }
    found
}

/// The text of an element as `xs:token` has it.
fn token(element: Element<'_>) -> String {
    element
        .text()
        .split([' ', '\t', '\r', '\n'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn number(element: Element<'_>) -> Option<Decimal> {
    token(element).parse().ok()
}

/// The sum; none when one of them is no number, or the sum is none any more.
fn sum(parts: &[Element<'_>]) -> Option<Decimal> {
    parts.iter().try_fold(Decimal::default(), |sum, part| sum.checked_add(number(*part)?))
}

/// Unit or currency; where none is written, kilograms and won.
fn unit(element: Element<'_>) -> Option<&str> {
    let usual = [("Measure", "KGM"), ("Amount", "KRW")];
    let usual = usual.iter().find(|(end, _)| element.name().1.ends_with(end)).map(|(_, unit)| *unit);
    element.attribute("", "unitCode").or_else(|| element.attribute("", "currencyID")).or(usual)
}

fn unit_of(element: Element<'_>) -> &str {
    unit(element).unwrap_or_default()
}

/// A value as people read it.
fn shown(element: Element<'_>) -> String {
    let text = token(element);
    unit(element).map_or_else(|| text.clone(), |unit| format!("{text} {unit}"))
}

fn name(element: Element<'_>) -> &str {
    element.name().1
}

/// The day in Korea that an element says, or in which its instant is.
fn day(element: Element<'_>) -> Option<Date> {
    let text = token(element);
    let instant = || text.parse::<Timestamp>().ok().map(day_of);
    if text.len() == "2009-12-01".len() { text.parse().ok() } else { instant() }
}

/// The check character that follows from the characters before the last one: the sum of their values (0 to 9, A to Z as
/// 10 to 35), each times its place from 1, modulo 23, as a letter; I, O and X are left out. Of this project: that there
/// is a check character is published, how it is made is not.
fn check_character(number: &str) -> Option<char> {
    let before = number.strip_suffix(|_: char| true)?;
    let mut sum = 0;
    for (place, character) in (1..).zip(before.chars()) {
        sum += place * character.to_digit(36)?;
    }
    LETTERS.chars().nth(usize::try_from(sum % 23).ok()?)
}

const LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVWYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_character_follows_from_the_others() {
        fn check(number: &str, expected: Option<char>) {
            assert_eq!(check_character(number), expected, "{number}");
        }
        check("1234509000017X", Some('Q'));
        check("1234509000025A", Some('A'));
        check("1234509000033B", Some('K'));
        check("12345_9000033B", None);
        check("", None);
        // A digit that was mistyped, and two neighbours that were swapped, show.
        let number = "1234509000025A";
        for place in 0..13 {
            for digit in b'0'..=b'9' {
                let mut octets = number.as_bytes().to_vec();
                if octets[place] != digit {
                    octets[place] = digit;
                    let changed = String::from_utf8(octets).expect("is text");
                    assert_ne!(check_character(&changed), Some('A'), "{changed}");
                }
            }
        }
        check("1234590000025A", Some('Q'));
    }

    #[test]
    fn mistakes_in_a_file_of_checks_are_told_with_their_places() {
        fn told(row: &str, expected: &[&str]) {
            let text = format!("id,documents,each,check,of,against,why\n{row}\n");
            let mut faults = Vec::new();
            let read = read("checks.csv", text.as_bytes(), &mut faults);
            let places: Vec<_> =
                faults.iter().map(|fault| format!("{}:{}", fault.line, fault.column)).collect();
            assert_eq!(places, expected, "{row}: {faults:?}");
            assert_eq!(read.is_empty(), !expected.is_empty(), "{row}");
        }
        told("check:a,declaration,,sums,A,B/C,why", &[]);
        told("check:a,GOVCBRX01;result,,check-character,ID,,why", &[]);
        told("a,declaration,,sums,A,B,why", &["2:1"]);
        told("check:a,declaration,,adds,A,B,why", &["2:22"]);
        told("check:a,declaration,,sums,A,,why", &["2:27"]);
        told("check:a,declaration,,check-character,A,B,why", &["2:38"]);
        told("check:a,declaration,,given,A,B,why", &["2:30"]);
        told("check:a,declaration,,sums,A,B,", &["2:31"]);
    }
}
