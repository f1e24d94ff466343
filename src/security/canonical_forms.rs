//! Our canonical forms against those of libxml2, octet by octet, over generated documents: each form of the whole and of
//! subtrees.
//!
//! A document has namespaces that are declared, declared anew and undeclared, attributes of one local name in several
//! namespaces, attributes of `xml:`, comments in and around the root, CDATA, every way to write white space, and either
//! encoding, as they fall. Processing instructions and relative namespace names are in none: our parser refuses them.
//!
//! `DIFFERENTIAL_TREES` is how many, `DIFFERENTIAL_SEED` the first seed. A failing seed prints its document.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;

use super::differential::{Chance, setting};
use crate::codec::canonical::{canonicalize, has_outer_base};
use crate::codec::xml::{XmlLimits, XmlTree};
use crate::ffi::{CanonicalForm, Selection, XmlSec};
use crate::model::Canonicalization;

const TREES: u64 = 1000;
/// Subtrees of each document that are held against theirs.
const SUBTREES: usize = 3;

//= ebms2 4.1.3 MUST: a second implementation of canonical XML 1.0, 1.1 and exclusive gives the same octets of generated documents
#[test]
fn canonical_forms_are_those_of_libxml2() {
    let first = setting("DIFFERENTIAL_SEED", 1);
    let mut tally = Tally::default();
    for seed in first..first + setting("DIFFERENTIAL_TREES", TREES) {
        let mut chance = Chance(seed);
        let document = any_document(&mut chance);
        let octets = match chance.below(12) {
            0 => in_utf_16(&document, u16::to_be_bytes),
            1 => in_utf_16(&document, u16::to_le_bytes),
            _ => document.clone().into(),
        };
        let told = format!("seed {seed}: {document}");
        compare(&told, &mut chance, &octets, &mut tally);
    }
    println!("{tally:?}");
    assert!(tally.whole > 0 && tally.subtrees > tally.whole && tally.outer_base < tally.subtrees);
}

#[derive(Debug, Default)]
struct Tally {
    whole: u64,
    subtrees: u64,
    /// Subtrees whose form 1.1 joins `xml:base` attributes, which ours does not offer.
    outer_base: u64,
}

fn compare(told: &str, chance: &mut Chance, octets: &[u8], tally: &mut Tally) {
    let tree = XmlTree::parse(Bytes::copy_from_slice(octets), &XmlLimits::ENVELOPE)
        .unwrap_or_else(|error| panic!("{error}: {told}"));
    let elements: Vec<_> = tree.root().descendants().collect();
    let places = (0..SUBTREES).map(|_| Some(chance.below(elements.len())));
    for place in std::iter::once(None).chain(places.collect::<Vec<_>>()) {
        for form in Canonicalization::ALL {
            let apex = elements[place.unwrap_or_default()];
            if place.is_some() && form == Canonicalization::Xml11 && has_outer_base(apex) {
                tally.outer_base += 1;
                continue;
            }
            let ours = canonicalize(form, apex, &|_| false);
            let selection = place.map_or(Selection::Whole, Selection::Subtree);
            let theirs = XmlSec::init()
                .and_then(|engine| engine.canonicalize(octets, of_libxml2(form), selection))
                .unwrap_or_else(|error| panic!("{error}: {told}"));
            assert!(
                ours == theirs,
                "{form:?} {selection:?}\n{told}\nours   {}\ntheirs {}",
                String::from_utf8_lossy(&ours),
                String::from_utf8_lossy(&theirs)
            );
            match place {
                None => tally.whole += 1,
                Some(_) => tally.subtrees += 1,
            }
        }
    }
}

const fn of_libxml2(form: Canonicalization) -> CanonicalForm {
    match form {
        Canonicalization::Xml10 => CanonicalForm::Xml10,
        Canonicalization::Xml11 => CanonicalForm::Xml11,
        Canonicalization::Exclusive => CanonicalForm::Exclusive,
    }
}

fn in_utf_16(document: &str, octets: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let document = document.replace("UTF-8", "UTF-16");
    let units = std::iter::once(0xfeff).chain(document.encode_utf16());
    units.flat_map(octets).collect()
}

fn any_document(chance: &mut Chance) -> String {
    let mut out = String::new();
    out.push_str(chance.pick(&[
        "",
        "<?xml version=\"1.0\"?>",
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\" ?>",
    ]));
    around(chance, &mut out);
    element(chance, &mut out, 0, &mut vec![("", "")]);
    around(chance, &mut out);
    out
}

/// What stands before and behind the root.
fn around(chance: &mut Chance, out: &mut String) {
    for _ in 0..chance.below(3) {
        out.push_str(chance.pick(&["\n", "\r\n", " ", "<!-- around -->", "<!---->", "<!--\r\n<a&b>-->"]));
    }
}

/// An element within its bounds; `scope` has the prefixes around it, the nearest last.
fn element<'a>(chance: &mut Chance, out: &mut String, depth: usize, scope: &mut Vec<(&'a str, &'a str)>) {
    let around = scope.len();
    let declared = declarations(chance, scope);
    let in_scope = in_force(scope);
    let (prefix, _) = in_scope[chance.below(in_scope.len())];
    let local = chance.pick(&["a", "b", "c-d", "e.f", "한글", "Z"]);
    let name = if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") };
    let mut attributes: Vec<String> = declared
        .into_iter()
        .map(|(prefix, uri)| {
            let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
            format!("{name}={}", quoted(chance, uri))
        })
        .collect();
    any_attributes(chance, &in_scope, &mut attributes);
    if chance.one_in(9) {
        // No other element has it: this one begins elsewhere.
        let id = format!("한{}", out.len());
        attributes.push(format!("xml:id={}", quoted(chance, &id)));
    }
    for at in (1..attributes.len()).rev() {
        attributes.swap(at, chance.below(at + 1));
    }
    write!(out, "<{name}").expect(ENDLESS);
    for attribute in attributes {
        write!(out, "{}{attribute}", chance.pick(&[" ", "\n", "\t ", "\r\n  "])).expect(ENDLESS);
    }
    out.push_str(chance.pick(&["", "", " ", "\n"]));
    let children = if depth >= DEPTH_MAX { 0 } else { chance.below(6) };
    if children == 0 && chance.one_in(2) {
        out.push_str("/>");
    } else {
        out.push('>');
        for _ in 0..children {
            match chance.below(2) {
                0 => element(chance, out, depth + 1, scope),
                _ => out.push_str(chance.pick(&TEXTS)),
            }
        }
        write!(out, "</{name}{}>", chance.pick(&["", "", " ", "\n"])).expect(ENDLESS);
    }
    scope.truncate(around);
}

/// What an element declares: anything for any prefix once, and nothing for the default one.
fn declarations<'a>(chance: &mut Chance, scope: &mut Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut declared = Vec::new();
    for prefix in ["", "p", "q", "r", "Q", "한"] {
        if chance.one_in(4) {
            let names = ["urn:1", "urn:2", "http://b.example/a?b=c#d", "urn:%ED%95%9C", ""];
            let uri = chance.pick(if prefix.is_empty() { &names } else { &names[..4] });
            declared.push((prefix, uri));
        }
    }
    scope.extend(&declared);
    declared
}

/// Each prefix with its nearest declaration.
fn in_force<'a>(scope: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (prefix, uri) in scope.iter().rev() {
        if !found.iter().any(|(known, _)| known == prefix) {
            found.push((prefix, uri));
        }
    }
    found
}

/// Attributes, none twice by namespace and local name.
fn any_attributes(chance: &mut Chance, in_scope: &[(&str, &str)], attributes: &mut Vec<String>) {
    let mut there = BTreeSet::new();
    for _ in 0..chance.below(6) {
        let (prefix, uri) = in_scope[chance.below(in_scope.len())];
        let local = chance.pick(&["a", "b", "c-d", "한", "Z", "lang"]);
        // Without prefix it is in no namespace.
        let uri = if prefix.is_empty() { "" } else { uri };
        if there.insert((uri, local)) {
            let name = if prefix.is_empty() { local.to_owned() } else { format!("{prefix}:{local}") };
            attributes.push(format!("{name}={}", any_value(chance)));
        }
    }
    for (name, values) in [
        ("lang", ["ko", "en-GB", ""]),
        ("space", ["default", "preserve", "default"]),
        ("base", ["http://b.example/", "x/y", "../z"]),
        ("other", ["1", "&lt;", "&#10;"]),
    ] {
        if chance.one_in(9) {
            let value = chance.pick(&values);
            attributes.push(format!("xml:{name}={}", quoted(chance, value)));
        }
    }
}

fn any_value(chance: &mut Chance) -> String {
    let value: String = (0..chance.below(5)).map(|_| chance.pick(&VALUES)).collect();
    quoted(chance, &value)
}

fn quoted(chance: &mut Chance, value: &str) -> String {
    let quote = chance.pick(&["\"", "'"]);
    format!("{quote}{value}{quote}")
}

const DEPTH_MAX: usize = 5;
const TEXTS: [&str; 30] = [
    "x",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "&#9;",
    "&#10;",
    "&#13;",
    "&#xD;",
    "&#x20;",
    "&amp;",
    "&lt;",
    "&gt;",
    ">",
    "&quot;",
    "\"'",
    "&#38;lt;",
    "]",
    "<![CDATA[<&>\"]]>",
    "<![CDATA[]]>",
    "<![CDATA[ \r\n\r]]>",
    "<![CDATA[&#13;]]>",
    "<!-- c -->",
    "<!---->",
    "한글",
    "&#xD55C;",
    "\u{1f600}",
    "&#x1F600;",
    "\u{85}\u{a0}\u{2028}\u{feff}",
];
const VALUES: [&str; 22] = [
    "x",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "&#9;",
    "&#10;",
    "&#13;",
    "&#x20;",
    "&amp;",
    "&lt;",
    "&gt;",
    ">",
    "&quot;",
    "&apos;",
    "&#38;amp;",
    "한",
    "&#xD55C;",
    "&#x1F600;",
    "\u{85}\u{a0}\u{2028}",
];
const ENDLESS: &str = "a String takes any text";
