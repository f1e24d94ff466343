//! The catalogue: every kind of business document that is known, with its schema, and the code lists.
//!
//! It is data. The program carries the files of `schemas/`; an operator's directory may add to them while the program
//! stays as it is: a row in `documents.csv` and a schema make a document, a row in `code-lists/<name>.csv` makes a code,
//! one in `checks.csv` a check (domain brief, 1: the list of agencies grows). Such a directory is taken whole or not at
//! all, with every mistake of it told; its schemas are compiled before the catalogue is one.
//!
//! A document belongs to a family, and the family says how it is read: no reader knows a form by its name. What a
//! family is read from must be in the schema, and is checked here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::checks::{self, Check};
use super::code_lists::{self, CodeLists};
use super::csv::{Cell, rows};
use super::schema::{Basis, Compiled, DocumentFamily, DocumentType, EMBEDDED, envelope_schema};
use crate::ffi::SchemaFiles;
use crate::model::DocumentCode;

/// Every kind of document, and the code lists.
#[derive(Debug)]
pub struct Catalogue {
    types: Vec<Arc<DocumentType>>,
    by_code: BTreeMap<String, usize>,
    by_namespace: BTreeMap<String, usize>,
    lists: CodeLists,
    checks: Vec<Check>,
}

/// One mistake in a file of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueFault {
    /// The file, below the directory.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl CatalogueFault {
    /// Faults that are told of one file.
    pub(super) const MAX: usize = 100;

    pub(super) fn new(
        file: &str,
        (line, column): (usize, usize),
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self { file: file.to_owned(), line, column, message, remedy }
    }

    /// About a field.
    pub(super) fn at(file: &str, cell: &Cell, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(file, (cell.line, cell.column), message, remedy)
    }
}

impl fmt::Display for CatalogueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, remedy } = self;
        write!(f, "{file}:{line}:{column}: {message}; {remedy}")
    }
}

impl Catalogue {
    /// What the program carries. Its schemas are compiled at their first use, or by [`make_ready`](Self::make_ready).
    #[must_use]
    pub fn built_in() -> &'static Arc<Self> {
        static BUILT_IN: LazyLock<Arc<Catalogue>> = LazyLock::new(|| {
            let mut faults = Vec::new();
            let mut lists = CodeLists::default();
            add_code_lists(&mut lists, &EMBEDDED, &mut faults);
            let types = document_types(&EMBEDDED, &EMBEDDED, &mut faults);
            let checks = checks::read(CHECKS, &EMBEDDED[CHECKS], &mut faults);
            assert!(faults.is_empty(), "embedded files have no fault; a test reads them: {faults:?}");
            let types = types.into_iter().map(|(_, found)| Arc::new(found)).collect();
            Arc::new(Catalogue::of(types, lists, checks))
        });
        &BUILT_IN
    }

    /// What the program carries and the files of a directory, by their path below it.
    ///
    /// # Errors
    /// Every mistake, in order of file and place.
    pub fn extended(files: &BTreeMap<String, Bytes>) -> Result<Self, Vec<CatalogueFault>> {
        let built_in = Self::built_in();
        let mut faults = Vec::new();
        let mut lists = built_in.lists.clone();
        add_code_lists(&mut lists, files, &mut faults);
        let mut together = (**EMBEDDED).clone();
        for (name, octets) in files.iter().filter(|(name, _)| name.ends_with(SCHEMA)) {
            if EMBEDDED.contains_key(name) {
                let message = "the program carries a schema of this name";
                faults.push(CatalogueFault::new(name, (1, 1), message, "give the document another name"));
            } else {
                together.insert(name.clone(), octets.clone());
            }
        }
        let added = document_types(files, &Arc::new(together), &mut faults);
        for (row, added) in &added {
            check_added(row, added, built_in, &lists, &mut faults);
        }
        let mut all_checks = built_in.checks.clone();
        if let Some(octets) = files.get(CHECKS) {
            let more = checks::read(CHECKS, octets, &mut faults);
            let known = |code: &&str| {
                built_in.of_code(code).is_some()
                    || added.iter().any(|(_, added)| added.code.as_str() == *code)
            };
            for code in more.iter().flat_map(Check::codes).filter(|code| !known(code)) {
                let message = format!("there is no document {code}");
                faults.push(CatalogueFault::new(
                    CHECKS,
                    (1, 1),
                    message,
                    "name documents, or families of them",
                ));
            }
            all_checks.extend(more);
        }
        for name in files.keys() {
            let used = name == DOCUMENTS
                || name == CHECKS
                || name == code_lists::INDEX
                || (name.starts_with(code_lists::CODES) && name.ends_with(".csv"))
                || added.iter().any(|(_, added)| added.compiled.entry() == name);
            if !used {
                let message = "nothing names this file";
                let remedy = format!("name it in {DOCUMENTS}, or remove it");
                faults.push(CatalogueFault::new(name, (1, 1), message, remedy));
            }
        }
        if !faults.is_empty() {
            faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
            return Err(faults);
        }
        let mut types = built_in.types.clone();
        types.extend(added.into_iter().map(|(_, added)| Arc::new(added)));
        Ok(Self::of(types, lists, all_checks))
    }

    fn of(mut types: Vec<Arc<DocumentType>>, lists: CodeLists, checks: Vec<Check>) -> Self {
        types.sort_by(|a, b| (a.family, &a.code).cmp(&(b.family, &b.code)));
        let places = || types.iter().enumerate();
        let by_code = places().map(|(at, found)| (found.code.to_string(), at)).collect();
        let by_namespace = places().map(|(at, found)| (found.namespace.clone(), at)).collect();
        Self { types, by_code, by_namespace, lists, checks }
    }

    /// Every kind of document, in order of family and code.
    pub fn types(&self) -> impl Iterator<Item = &DocumentType> {
        self.types.iter().map(|found| &**found)
    }

    /// The kind of document with this code.
    #[must_use]
    pub fn of_code(&self, code: &str) -> Option<&DocumentType> {
        self.by_code.get(code).map(|at| &*self.types[*at])
    }

    /// The kind of document whose root is this element.
    #[must_use]
    pub fn of_root(&self, namespace: &str, local: &str) -> Option<&DocumentType> {
        let found = self.by_namespace.get(namespace).map(|at| &*self.types[*at]);
        found.filter(|found| found.root == local)
    }

    /// What documents owe beyond their schemas and the codes in them.
    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The code lists.
    #[must_use]
    pub fn code_lists(&self) -> &CodeLists {
        &self.lists
    }

    /// Whether documents of some day may use a code of a list; of the list `document`, whether there is such a kind.
    /// For the check of rules.
    #[must_use]
    pub fn knows(&self, list: &str, code: &str) -> bool {
        match list {
            "document" => self.of_code(code).is_some(),
            list => self.lists.accepts(list, code, None),
        }
    }

    /// Compiles every schema now, so that the first message does not wait for it.
    pub fn make_ready(&self) {
        envelope_schema();
        for found in &self.types {
            found.compiled.compile().expect("a test compiles each embedded schema");
            found.compiled.shape(&self.lists).expect("a test reads each embedded schema");
        }
    }
}

/// The lists and codes among the files.
fn add_code_lists(lists: &mut CodeLists, files: &BTreeMap<String, Bytes>, faults: &mut Vec<CatalogueFault>) {
    if let Some(octets) = files.get(code_lists::INDEX) {
        lists.add_lists(octets, faults);
    }
    let codes =
        files.iter().filter(|(name, _)| name.starts_with(code_lists::CODES) && name.ends_with(".csv"));
    for (name, octets) in codes {
        lists.add_codes(name, octets, faults);
    }
}

/// The rows of the catalogue file, each with its first field.
fn document_types(
    files: &BTreeMap<String, Bytes>,
    schemas: &SchemaFiles,
    faults: &mut Vec<CatalogueFault>,
) -> Vec<(Cell, DocumentType)> {
    let mut types: Vec<(Cell, DocumentType)> = Vec::new();
    let Some(octets) = files.get(DOCUMENTS) else { return types };
    for row in rows(DOCUMENTS, octets, COLUMNS, faults) {
        let first = row[0].clone();
        let Some(found) = document_type(row, schemas, faults) else { continue };
        let taken = types.iter().any(|(_, other)| other.code == found.code || other.name == found.name);
        if taken {
            let message = format!("{} or {} stands twice", found.code, found.name);
            faults.push(CatalogueFault::at(DOCUMENTS, &first, message, "a code and a name are for one row"));
        } else {
            types.push((first, found));
        }
    }
    types
}

fn document_type(
    row: [Cell; 8],
    schemas: &SchemaFiles,
    faults: &mut Vec<CatalogueFault>,
) -> Option<DocumentType> {
    let [code, family, root, name, answers, standard, basis, title] = row;
    let mut wrong = |cell: &Cell, what: &str, remedy: &str| {
        let message = format!("{:?} is no {what}", cell.text);
        faults.push(CatalogueFault::at(DOCUMENTS, cell, message, remedy));
    };
    let code_of = |text: &str| DocumentCode::new(text).ok().filter(|_| is_code(text));
    let found = code_of(&code.text);
    if found.is_none() {
        wrong(&code, "document code", "write GOVCBR and three capital letters or digits");
    }
    let of_family = DocumentFamily::WORDS.iter().find(|(word, _)| *word == family.text);
    if of_family.is_none() {
        wrong(&family, "family", "write application, result, notice or customs");
    }
    let of_basis = Basis::WORDS.iter().find(|(word, _)| *word == basis.text);
    if of_basis.is_none() {
        wrong(&basis, "basis", "write published, reconstructed or ours");
    }
    for (cell, what) in [(&root, "element name"), (&name, "name of a document")] {
        if !is_name(&cell.text) {
            wrong(cell, what, "write a capital letter, then letters and digits");
        }
    }
    let mut results = Vec::new();
    for text in answers.text.split(';').filter(|text| !text.is_empty()) {
        match code_of(text) {
            Some(code) => results.push(code),
            None => wrong(&answers, "list of document codes", "part codes with ;"),
        }
    }
    if title.text.is_empty() {
        wrong(&title, "title", "write what people call it");
    }
    let entry = format!("{}{SCHEMA}", name.text);
    if !schemas.contains_key(&entry) {
        wrong(&name, "document with a schema", &format!("add {entry}"));
    }
    let (Some(code), Some((_, family)), Some((_, basis))) = (found, of_family, of_basis) else { return None };
    (is_name(&name.text) && schemas.contains_key(&entry)).then(|| DocumentType {
        code,
        family: *family,
        root: root.text,
        namespace: format!("urn:swgw:doc:{}:1", name.text),
        name: name.text,
        answers: results,
        standard: Some(standard.text).filter(|text| !text.is_empty()),
        basis: *basis,
        title: title.text,
        compiled: Compiled::of(entry, schemas),
    })
}

/// What a document that an operator adds has to be, besides a good row: new, of a family that is read, and with what
/// its family is read from.
fn check_added(
    row: &Cell,
    added: &DocumentType,
    built_in: &Catalogue,
    lists: &CodeLists,
    faults: &mut Vec<CatalogueFault>,
) {
    let mut of_row = |message: String, remedy: &str| {
        faults.push(CatalogueFault::at(DOCUMENTS, row, message, remedy));
    };
    if built_in.of_code(added.code.as_str()).is_some() {
        of_row(format!("the program knows {} already", added.code), "give it another code");
    }
    let Some((_, paths)) = READ_FROM.iter().find(|(family, _)| *family == added.family) else {
        let word = added.family.word();
        return of_row(format!("a {word} cannot be added"), "write application, result, notice or customs");
    };
    let entry = added.compiled.entry();
    if let Err(error) = added.compiled.compile() {
        faults.extend(error.faults.into_iter().map(|fault| {
            let is_there = added.compiled.has_file(&fault.file);
            let (file, line) = if is_there { (&*fault.file, fault.line) } else { (entry, 1) };
            let line = usize::try_from(line).unwrap_or(1).max(1);
            CatalogueFault::new(file, (line, 1), fault.message, "correct the schema")
        }));
        return;
    }
    let shape = match added.compiled.shape(lists) {
        Ok(shape) => shape,
        Err(message) => {
            faults.push(CatalogueFault::new(entry, (1, 1), message, "write it as schemas/common-1.xsd says"));
            return;
        }
    };
    let (namespace, local) = shape.root();
    if (namespace, local) != (&*added.namespace, &*added.root) {
        let message = format!(
            "it is for {local:?} in {namespace:?}, and its row for {:?} in {:?}",
            added.root, added.namespace
        );
        faults.push(CatalogueFault::new(entry, (1, 1), message, "let schema and row agree"));
    }
    for path in paths.iter().filter(|path| !shape.has(path)) {
        let message = format!("it has no {path}, which every {} is read from", added.family.word());
        faults.push(CatalogueFault::new(entry, (1, 1), message, "take over the groups of parts-1.xsd"));
    }
}

/// The families that can be added, and what each is read from.
const READ_FROM: [(DocumentFamily, &[&str]); 4] = [
    (
        DocumentFamily::Application,
        &[
            "TypeCode",
            "ID",
            "FunctionCode",
            "LoadingListQuantity",
            "Agent/ID",
            "LPCO/SequenceNumeric",
            "LPCO/Commodity/Classification/ID",
        ],
    ),
    (
        DocumentFamily::Result,
        &["TypeCode", "ID", "IssueDateTime", "Status/NameCode", "Declaration/ID", "Declaration/LPCO/Outcome"],
    ),
    (DocumentFamily::Notice, &["TypeCode", "ID", "IssueDateTime", "Declaration/ID"]),
    (DocumentFamily::Customs, &["TypeCode", "ID", "IssueDateTime", "Declaration/ID"]),
];

fn is_code(text: &str) -> bool {
    let free = text.strip_prefix("GOVCBR").unwrap_or_default();
    free.len() == 3 && free.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

const COLUMNS: [&str; 8] = ["code", "family", "root", "name", "answers", "standard", "basis", "title"];
/// The file of the kinds of documents.
const DOCUMENTS: &str = "documents.csv";
/// The file of what documents owe beyond their schemas.
const CHECKS: &str = "checks.csv";
/// How a schema is called after the name of its document.
const SCHEMA: &str = "-1.xsd";

#[cfg(test)]
mod tests;
