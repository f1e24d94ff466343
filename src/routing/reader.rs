//! The files of a rule directory as text, read with the place of every value: TOML key by key, CSV cell by cell.
//!
//! Does not know what keys and columns mean. Every mistake of form is told, and reading goes on behind it.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Faults, Place};

/// A file of the directory.
#[derive(Clone, Copy)]
pub(super) struct TextFile<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl<'a> TextFile<'a> {
    /// The text of a file; tells what is no UTF-8, and the marks and line ends that editors leave (ruling 16).
    pub(super) fn read(name: &'a str, octets: &'a [u8], faults: &mut Faults) -> Option<Self> {
        let start = Place::start_of(name);
        let text = match std::str::from_utf8(octets) {
            Ok(text) => text,
            Err(fault) => {
                let message = format!("octet {} is not UTF-8", fault.valid_up_to());
                faults.error(&start, message, "save the file as UTF-8");
                return None;
            }
        };
        let text = text.strip_prefix('\u{FEFF}').map_or(text, |rest| {
            faults.warning(&start, "it begins with a byte order mark", "save it without");
            rest
        });
        if let Some(at) = text.find('\r') {
            faults.warning(&Place::of(name, text, at), "it has CRLF line ends", "save it with LF line ends");
        }
        Some(Self { name, text })
    }

    /// Where an octet of it stands.
    pub(super) fn place(self, at: usize) -> Place {
        Place::of(self.name, self.text, at)
    }

    /// Its tables, as far as its syntax can be read.
    pub(super) fn toml(self, faults: &mut Faults) -> DeTable<'a> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            faults.error(&self.place(at), error.message(), "correct the TOML syntax");
        }
        document.into_inner()
    }

    /// Its rows of cells; the first is the header.
    pub(super) fn csv(self, faults: &mut Faults) -> Vec<Vec<Cell>> {
        let mut rows = Vec::new();
        let start = Place::start_of(self.name);
        for (line, content) in (1..).zip(self.text.lines()) {
            let content = content.trim_end_matches('\r');
            let place = Place { line, ..start.clone() };
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if let Some(at) = content.find('\t') {
                let place = Place { column: column_at(content, at), ..place };
                faults.error(&place, "a tab", "separate cells with commas");
                continue;
            }
            rows.extend(cells(content, &place, faults));
        }
        rows
    }
}

/// A cell of a table, without white space around it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Where the cell begins, right behind its comma.
    pub(super) place: Place,
    /// Characters of white space and quote before the text.
    before: usize,
}

impl Cell {
    /// The items of a list cell, separated by `;`.
    pub(super) fn items(&self) -> impl Iterator<Item = &str> {
        self.text.split(';').map(str::trim).filter(|item| !item.is_empty())
    }

    /// The same, each with its place.
    pub(super) fn placed_items(&self) -> impl Iterator<Item = (Place, &str)> {
        let mut at = self.before;
        self.text.split(';').filter_map(move |item| {
            let space = item.chars().take_while(|c| c.is_whitespace()).count();
            let place = self.place.further(at + space);
            at += item.chars().count() + 1;
            Some((place, item.trim())).filter(|(_, item)| !item.is_empty())
        })
    }
}

fn column_at(line: &str, at: usize) -> usize {
    line.get(..at).unwrap_or(line).chars().count() + 1
}

/// The cells of one line, read by the `csv` library; where each begins is found beside it.
fn cells(line: &str, place: &Place, faults: &mut Faults) -> Option<Vec<Cell>> {
    let starts = cell_starts(line);
    let stray = |start: &usize| {
        let cell = line.get(*start..).unwrap_or_default();
        let end = starts.iter().find(|next| *next > start).map_or(cell.len(), |next| next - start - 1);
        let cell = cell.get(..end).unwrap_or_default().trim();
        let quotes = cell.matches('"').count();
        quotes > 0
            && !(cell.len() >= 2 && cell.starts_with('"') && cell.ends_with('"') && quotes.is_multiple_of(2))
    };
    if let Some(start) = starts.iter().find(|start| stray(start)) {
        let place = Place { column: column_at(line, *start), ..place.clone() };
        faults.error(&place, "a stray quote", "quote a whole cell, and double a quote inside it");
        return None;
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    let record = reader.records().next()?.ok()?;
    let cell = |(at, text): (usize, &str)| {
        let start = starts.get(at).copied().unwrap_or_default();
        let written = line.get(start..).unwrap_or_default();
        let before = written.chars().take_while(|c| *c == '"' || c.is_whitespace()).count();
        let place = Place { column: column_at(line, start), ..place.clone() };
        Cell { text: text.to_owned(), place, before }
    };
    Some(record.iter().enumerate().map(cell).collect())
}

/// Where the cells of a line begin, in octets.
fn cell_starts(line: &str) -> Vec<usize> {
    let mut quoted = false;
    let mut starts = vec![0];
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => starts.push(at + 1),
            _ => {}
        }
    }
    starts
}

/// A table of a TOML file being read: what nobody asks for is a mistake.
pub(super) struct Section<'a> {
    file: TextFile<'a>,
    table: Option<&'a DeTable<'a>>,
    pub(super) place: Place,
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn root(file: TextFile<'a>, table: &'a DeTable<'a>) -> Self {
        Self { file, table: Some(table), place: file.place(0), known: BTreeSet::new() }
    }

    /// A table value as a section.
    pub(super) fn of(file: TextFile<'a>, value: &'a Spanned<DeValue<'a>>, faults: &mut Faults) -> Self {
        let place = file.place(value.span().start);
        let table = value.get_ref().as_table();
        if table.is_none() {
            faults.error(&place, format!("this is {}", value.get_ref().type_str()), "make it a table");
        }
        Self { file, table, place, known: BTreeSet::new() }
    }

    /// A table in it; an empty one when it is absent.
    pub(super) fn table(&mut self, key: &'static str, faults: &mut Faults) -> Self {
        match self.take(key) {
            Some(value) => Self::of(self.file, value, faults),
            None => Self { file: self.file, table: None, place: self.place.clone(), known: BTreeSet::new() },
        }
    }

    /// Every key and value of it, as names that the author chose.
    pub(super) fn named(&self) -> Vec<(&'a str, Place, &'a Spanned<DeValue<'a>>)> {
        let entries = self.table.into_iter().flat_map(DeTable::iter);
        entries
            .map(|(key, value)| (key.get_ref().as_ref(), self.file.place(key.span().start), value))
            .collect()
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&mut self, key: &'static str, faults: &mut Faults) -> Vec<Self> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            let message = format!("{key} is {}", value.get_ref().type_str());
            faults.error(&self.file.place(value.span().start), message, "write a list of tables");
            return Vec::new();
        };
        list.iter().map(|value| Self::of(self.file, value, faults)).collect()
    }

    /// A value that is there, with its place.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        self.table.and_then(|table| table.get(key))
    }

    /// A text that may be there.
    pub(super) fn text(&mut self, key: &'static str, faults: &mut Faults) -> Option<(&'a str, Place)> {
        let value = self.take(key)?;
        let place = self.file.place(value.span().start);
        match value.get_ref().as_str() {
            Some(text) => Some((text, place)),
            None => {
                faults.error(&place, format!("{key} is {}", value.get_ref().type_str()), "write a string");
                None
            }
        }
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, key: &'static str, faults: &mut Faults) -> Option<(&'a str, Place)> {
        if self.table.is_some_and(|table| !table.contains_key(key)) {
            self.known.insert(key);
            faults.error(&self.place, format!("{key} is missing"), format!("add {key} = …"));
            return None;
        }
        self.text(key, faults)
    }

    /// Texts of a list, or the one text that stands in its place.
    pub(super) fn texts(&mut self, key: &'static str, faults: &mut Faults) -> Vec<(&'a str, Place)> {
        self.take(key).map(|value| texts_of(self.file, value, faults)).unwrap_or_default()
    }

    /// Tells every key that nobody took.
    pub(super) fn finish(self, faults: &mut Faults) {
        for (name, place, _) in self.named() {
            if !self.known.contains(name) {
                let known = self.known.iter().copied().collect::<Vec<_>>().join(", ");
                faults.error(&place, format!("unknown key {name}"), format!("known here: {known}"));
            }
        }
    }
}

/// The texts of a list value, or the one text that it is.
pub(super) fn texts_of<'a>(
    file: TextFile<'a>,
    value: &'a Spanned<DeValue<'a>>,
    faults: &mut Faults,
) -> Vec<(&'a str, Place)> {
    if let Some(text) = value.get_ref().as_str() {
        return vec![(text, file.place(value.span().start))];
    }
    let Some(items) = value.get_ref().as_array() else {
        let message = format!("this is {}", value.get_ref().type_str());
        faults.error(&file.place(value.span().start), message, "write a list of strings");
        return Vec::new();
    };
    let mut texts = Vec::new();
    for item in items.iter() {
        let place = file.place(item.span().start);
        match item.get_ref().as_str() {
            Some(text) => texts.push((text, place)),
            None => faults.error(&place, format!("this is {}", item.get_ref().type_str()), "write a string"),
        }
    }
    texts
}
