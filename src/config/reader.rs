//! A TOML file read key by key: every mistake is told with its place, and what nobody asked for is one.
//!
//! Does not know what the keys mean.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Faults;
use crate::model::{ValueError, parse_duration};

/// Octets of a settings file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A settings file as text.
pub(super) struct TomlFile {
    path: PathBuf,
    text: String,
}

impl TomlFile {
    /// Reads the file; `None` when it cannot be read, which is told.
    pub(super) fn read(path: &Path, faults: &mut Faults) -> Option<Self> {
        Self::read_as(path, path, faults)
    }

    /// Reads a file beside `path` that is to take its place, and is told of as if it had.
    pub(super) fn read_as(path: &Path, candidate: &Path, faults: &mut Faults) -> Option<Self> {
        let read = || {
            let size = std::fs::metadata(candidate)?.len();
            if size > FILE_BYTES_MAX {
                return Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} octets")));
            }
            std::fs::read_to_string(candidate)
        };
        match read() {
            Ok(text) => Some(Self { path: path.to_owned(), text }),
            Err(error) => {
                let remedy = "name a readable file of UTF-8 text".to_owned();
                faults.add(path, (1, 1), format!("cannot be read: {error}"), remedy);
                None
            }
        }
    }

    /// Its tables as far as the syntax can be read; mistakes in the syntax are told.
    pub(super) fn parse(&self, faults: &mut Faults) -> DeTable<'_> {
        let (document, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let at = self.place(error.span().map_or(0, |span| span.start));
            faults.add(&self.path, at, error.message().to_owned(), "correct the TOML syntax".to_owned());
        }
        document.into_inner()
    }

    /// Line and column of an octet.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// A table being read.
pub(super) struct Section<'a> {
    file: &'a TomlFile,
    table: Option<&'a DeTable<'a>>,
    name: String,
    place: (usize, usize),
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(file: &'a TomlFile, table: &'a DeTable<'a>) -> Self {
        Self { file, table: Some(table), name: String::new(), place: (1, 1), known: BTreeSet::new() }
    }

    /// A table in it; an empty one when it is absent.
    pub(super) fn table(&mut self, key: &'static str, faults: &mut Faults) -> Self {
        let value = self.take(key);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            self.fault(value, format!("{key} is {}", value.get_ref().type_str()), "make it a table", faults);
        }
        let place = value.map_or(self.place, |value| self.file.place(value.span().start));
        Self { file: self.file, table, name: key.to_owned(), place, known: BTreeSet::new() }
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&mut self, key: &'static str, faults: &mut Faults) -> Vec<Self> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.fault(value, format!("{key} is {}", value.get_ref().type_str()), "write [[…]]", faults);
            return Vec::new();
        };
        let section = |value: &'a Spanned<DeValue<'a>>| Self {
            file: self.file,
            table: value.get_ref().as_table(),
            name: key.to_owned(),
            place: self.file.place(value.span().start),
            known: BTreeSet::new(),
        };
        list.iter().map(section).collect()
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> (usize, usize) {
        self.place
    }

    /// Tells a mistake of the table as a whole.
    pub(super) fn add(&self, message: String, remedy: &str, faults: &mut Faults) {
        faults.add(&self.file.path, self.place, message, remedy.to_owned());
    }

    /// Whether a key is there, in order or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A text that must be there and can be read as `T`.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
        faults: &mut Faults,
    ) -> Option<T> {
        if self.table.is_none_or(|table| !table.contains_key(key)) {
            let name = if self.name.is_empty() { String::new() } else { format!("[{}] ", self.name) };
            self.known.insert(key);
            self.add(format!("{name}{key} is missing"), &format!("add {key} = …"), faults);
            return None;
        }
        self.optional(key, read, faults)
    }

    /// A text that may be there and can then be read as `T`.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, ValueError>,
        faults: &mut Faults,
    ) -> Option<T> {
        let value = self.take(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            other => {
                self.fault(value, format!("{key} is {}", other.type_str()), "write a string", faults);
                return None;
            }
        };
        match read(text) {
            Ok(read) => Some(read),
            Err(ValueError { expected, found }) => {
                let message = format!("{key}: {found:?} is not {expected}");
                self.fault(value, message, &format!("write {expected}"), faults);
                None
            }
        }
    }

    /// A duration such as `30s`, or the default.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration, faults: &mut Faults) -> Duration {
        self.optional(key, parse_duration, faults).unwrap_or(default)
    }

    /// A whole number of at least `least`, or the default.
    pub(super) fn number<T: Copy + PartialOrd + std::fmt::Display + std::str::FromStr>(
        &mut self,
        key: &'static str,
        default: T,
        least: T,
        faults: &mut Faults,
    ) -> T {
        let read = |text: &str| {
            let number = text.replace('_', "").parse().ok().filter(|number| *number >= least);
            number.ok_or_else(|| ValueError::new("a whole number within its bounds", text))
        };
        self.optional(key, read, faults).unwrap_or(default)
    }

    /// A truth value, or none of them in one word; or the default.
    pub(super) fn flag_or(
        &mut self,
        key: &'static str,
        word: &str,
        default: Option<bool>,
        faults: &mut Faults,
    ) -> Option<bool> {
        let Some(value) = self.take(key) else { return default };
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            DeValue::String(text) if text == word => None,
            other => {
                let message = match other.as_str() {
                    Some(text) => format!("{key} is {text:?}"),
                    None => format!("{key} is {}", other.type_str()),
                };
                self.fault(value, message, &format!("write true, false or \"{word}\""), faults);
                default
            }
        }
    }

    /// A truth value, or the default.
    pub(super) fn flag(&mut self, key: &'static str, default: bool, faults: &mut Faults) -> bool {
        let Some(value) = self.take(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.fault(
                value,
                format!("{key} is {}", value.get_ref().type_str()),
                "write true or false",
                faults,
            );
            default
        })
    }

    /// Texts of a list; empty when it is absent.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, ValueError>,
        faults: &mut Faults,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.fault(value, format!("{key} is {}", value.get_ref().type_str()), "write a list", faults);
            return Vec::new();
        };
        let mut taken = Vec::with_capacity(items.len());
        for item in items.iter() {
            let text = item.get_ref().as_str();
            match text.ok_or_else(|| ValueError::new("a string", item.get_ref().type_str())).and_then(&read) {
                Ok(read) => taken.push(read),
                Err(ValueError { expected, found }) => {
                    let message = format!("{key}: {found:?} is not {expected}");
                    self.fault(item, message, &format!("write {expected}"), faults);
                }
            }
        }
        taken
    }

    /// A file that must exist, relative to the directory of this one.
    pub(super) fn file(&mut self, key: &'static str, faults: &mut Faults) -> Option<PathBuf> {
        let base = self.directory();
        self.required(key, |text| existing(&base, text), faults)
    }

    /// A file that may be named, and must exist then.
    pub(super) fn optional_file(&mut self, key: &'static str, faults: &mut Faults) -> Option<PathBuf> {
        let base = self.directory();
        self.optional(key, |text| existing(&base, text), faults)
    }

    /// Files that must exist.
    pub(super) fn files(&mut self, key: &'static str, faults: &mut Faults) -> Vec<PathBuf> {
        let base = self.directory();
        self.list(key, |text| existing(&base, text), faults)
    }

    /// A path that need not exist yet.
    pub(super) fn path(&mut self, key: &'static str, faults: &mut Faults) -> Option<PathBuf> {
        let base = self.directory();
        self.required(key, |text| Ok(base.join(text)), faults)
    }

    /// A path that may be named, and need not exist yet.
    pub(super) fn optional_path(&mut self, key: &'static str, faults: &mut Faults) -> Option<PathBuf> {
        let base = self.directory();
        self.optional(key, |text| Ok(base.join(text)), faults)
    }

    /// Tells every key that nobody took.
    pub(super) fn finish(self, faults: &mut Faults) {
        for (key, value) in self.table.into_iter().flat_map(DeTable::iter) {
            let name: &str = key.get_ref();
            if !self.known.contains(name) {
                let known = self.known.iter().copied().collect::<Vec<_>>().join(", ");
                let place = self.file.place(key.span().start);
                let message = format!("unknown key {name} ({})", value.get_ref().type_str());
                faults.add(&self.file.path, place, message, format!("known here: {known}"));
            }
        }
    }

    fn directory(&self) -> PathBuf {
        self.file.path.parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.insert(key);
        self.table.and_then(|table| table.get(key))
    }

    fn fault(&self, value: &Spanned<DeValue<'_>>, message: String, remedy: &str, faults: &mut Faults) {
        faults.add(&self.file.path, self.file.place(value.span().start), message, remedy.to_owned());
    }
}

fn existing(base: &Path, text: &str) -> Result<PathBuf, ValueError> {
    let path = base.join(text);
    if path.exists() { Ok(path) } else { Err(ValueError::new("an existing path", text)) }
}
