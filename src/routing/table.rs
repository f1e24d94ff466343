//! The decision tables: `requirements.csv` and `except.csv`, one row a requirement or an exception (domain brief,
//! 7.2, 7.3; ruling 9).

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;

use super::condition::{NumberRange, TextSet};
use super::fault::{Faults, Place};
use super::goods::{Goods, HsRange};
use super::matcher::DECLARATION;
use super::reader::{Cell, TextFile};
use super::ruleset::{Base, check_country, check_hs, timing};
use super::{Known, RuleId};
use crate::model::{AgencyCode, DocumentCode, LawCode, Timestamp, Timing, ValueError};

/// When a row holds, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conditions {
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) goods: Goods,
    pub(super) origin: TextSet,
    pub(super) export_from: TextSet,
    pub(super) usage: TextSet,
    pub(super) doc: TextSet,
    pub(super) importer: TextSet,
    pub(super) value: NumberRange,
    pub(super) weight: NumberRange,
}

/// A requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    pub(super) id: RuleId,
    pub(super) place: Place,
    pub(super) until_place: Place,
    pub(super) application_place: Place,
    pub(super) result_place: Place,
    pub(super) when: Conditions,
    pub(super) law: LawCode,
    pub(super) agency: AgencyCode,
    pub(super) application: DocumentCode,
    pub(super) result: DocumentCode,
    pub(super) timing: Timing,
    pub(super) profile: Option<String>,
}

/// An exception: takes requirements away from a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) id: RuleId,
    pub(super) place: Place,
    pub(super) until_place: Place,
    pub(super) when: Conditions,
    pub(super) law: Option<LawCode>,
    pub(super) agency: Option<AgencyCode>,
    pub(super) reason: Arc<str>,
}

impl Exception {
    /// Whether a requirement of this law and agency is what it takes away.
    pub(super) fn takes_away(&self, row: &Requirement) -> bool {
        self.law.as_ref().is_none_or(|law| *law == row.law)
            && self.agency.as_ref().is_none_or(|agency| *agency == row.agency)
    }
}

/// All rows of all tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) requirements: Vec<Requirement>,
    pub(super) exceptions: Vec<Exception>,
}

const MATCHERS: [&str; 9] =
    ["hs", "class", "origin", "export_from", "usage", "doc", "importer", "value", "weight"];
const REQUIREMENT: [&str; 10] =
    ["id", "from", "until", "law", "agency", "application", "result", "timing", "profile", "note"];
const EXCEPTION: [&str; 6] = ["id", "from", "until", "law", "agency", "reason"];
/// How many of them, from the left, are lists.
const LISTS: usize = 7;
/// Usage codes (ruling 7).
const USAGES: [&str; 3] = ["SALE", "OWN", "RD"];

/// Reads one table. One with a column `reason` holds exceptions.
pub(super) fn read(file: TextFile<'_>, base: &Base, known: &Known<'_>, rows: &mut Rows, faults: &mut Faults) {
    let mut lines = file.csv(faults).into_iter();
    let Some(header) = lines.next() else {
        faults.error(&file.place(0), "the table is empty", "add a header line with the column names");
        return;
    };
    let is_exception = header.iter().any(|cell| cell.text == "reason");
    let own: &[&str] = if is_exception { &EXCEPTION } else { &REQUIREMENT };
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, cell) in header.iter().enumerate() {
        let name = own.iter().chain(&MATCHERS).find(|name| **name == cell.text);
        match name {
            Some(name) if columns.insert(name, at).is_none() => {}
            Some(_) => faults.error(&cell.place, format!("column {} stands twice", cell.text), "remove one"),
            None => {
                let names = own.iter().chain(&MATCHERS).copied().collect::<Vec<_>>().join(", ");
                faults.error(
                    &cell.place,
                    format!("unknown column {:?}", cell.text),
                    format!("known: {names}"),
                );
            }
        }
    }
    for name in own.iter().filter(|name| !matches!(**name, "timing" | "profile" | "note")) {
        if !columns.contains_key(name) {
            faults.error(&file.place(0), format!("there is no column {name}"), "add it to the header line");
        }
    }
    for line in lines {
        if line.len() != header.len() {
            let message = format!("{} cells under {} columns", line.len(), header.len());
            faults.error(&line[0].place, message, "give every column a cell");
            continue;
        }
        let row = Row { cells: &line, columns: &columns, base, known };
        row.check_cells(faults);
        if is_exception {
            rows.exceptions.extend(row.exception(faults));
        } else {
            rows.requirements.extend(row.requirement(faults));
        }
    }
}

struct Row<'a> {
    cells: &'a [Cell],
    columns: &'a BTreeMap<&'a str, usize>,
    base: &'a Base,
    known: &'a Known<'a>,
}

impl Row<'_> {
    fn cell(&self, column: &str) -> Option<&Cell> {
        self.columns.get(column).and_then(|at| self.cells.get(*at)).filter(|cell| !cell.text.is_empty())
    }

    fn place(&self) -> &Place {
        &self.cells[0].place
    }

    /// Where the cell of a column begins, also an empty one; the row, when there is no such column.
    fn place_of(&self, column: &str) -> &Place {
        self.columns.get(column).and_then(|at| self.cells.get(*at)).map_or(self.place(), |cell| &cell.place)
    }

    /// What a spreadsheet would take for a formula (ruling 16).
    fn check_cells(&self, faults: &mut Faults) {
        let group = |at: usize| {
            ["origin", "export_from", "importer"].iter().any(|name| self.columns.get(name) == Some(&at))
        };
        for (at, cell) in self.cells.iter().enumerate() {
            let formula =
                cell.text.starts_with(['=', '+', '-']) || (cell.text.starts_with('@') && !group(at));
            if MATCHERS.iter().take(LISTS).any(|name| self.columns.get(name) == Some(&at))
                && !cell.text.is_empty()
                && cell.text.split(';').any(|item| item.trim().is_empty())
            {
                faults.error(&cell.place, "a list with an empty item", "remove the semicolon");
            }
            if formula {
                faults.error(
                    &cell.place,
                    "a cell that a spreadsheet takes for a formula",
                    "begin it otherwise",
                );
            }
        }
    }

    fn requirement(&self, faults: &mut Faults) -> Option<Requirement> {
        let id = self.id(faults);
        let when = self.conditions(faults);
        let law = self.law(faults);
        let agency = self.agency(faults);
        let application = self.document("application", faults);
        let result = self.document("result", faults);
        let timing = self.cell("timing").map_or(Some(Timing::Before), |cell| {
            let timing = timing(&cell.text);
            if timing.is_none() {
                faults.error(&cell.place, format!("timing {:?} is not known", cell.text), "write 1, 2 or 3");
            }
            timing
        });
        let profile = self.cell("profile").map(|cell| {
            if !self.base.profiles.contains_key(&cell.text) {
                let message = format!("there is no profile {}", cell.text);
                faults.error(&cell.place, message, "define it under [profile]");
            }
            cell.text.clone()
        });
        for (name, found) in [("law", law.is_some()), ("agency", agency.is_some())] {
            if !found && self.cell(name).is_none() {
                faults.error(self.place_of(name), format!("{name} is empty"), "fill it in");
            }
        }
        Some(Requirement {
            id: id?,
            place: self.place().clone(),
            until_place: self.place_of("until").clone(),
            application_place: self.place_of("application").clone(),
            result_place: self.place_of("result").clone(),
            when,
            law: law?,
            agency: agency?,
            application: application?,
            result: result?,
            timing: timing?,
            profile,
        })
    }

    fn exception(&self, faults: &mut Faults) -> Option<Exception> {
        let id = self.id(faults);
        let when = self.conditions(faults);
        let (law, agency) = (self.law(faults), self.agency(faults));
        if self.cell("law").is_none() && self.cell("agency").is_none() {
            faults.error(self.place_of("law"), "neither law nor agency", "say what the exception takes away");
        }
        for name in ["until", "reason"] {
            if self.cell(name).is_none() {
                let message = format!("{name} is empty");
                faults.error(self.place_of(name), message, "an exception ends and has a reason");
            }
        }
        let reason = self.cell("reason").map(|cell| cell.text.as_str().into());
        Some(Exception {
            id: id?,
            place: self.place().clone(),
            until_place: self.place_of("until").clone(),
            when,
            law,
            agency,
            reason: reason?,
        })
    }

    fn id(&self, faults: &mut Faults) -> Option<RuleId> {
        let Some(cell) = self.cell("id") else {
            faults.error(self.place_of("id"), "id is empty", "name the row");
            return None;
        };
        value(cell, faults)
    }

    fn law(&self, faults: &mut Faults) -> Option<LawCode> {
        let cell = self.cell("law")?;
        if !(self.known.codes)("law", &cell.text) {
            faults.error(&cell.place, format!("there is no law {:?}", cell.text), "write its two-digit code");
        }
        value(cell, faults)
    }

    fn agency(&self, faults: &mut Faults) -> Option<AgencyCode> {
        let cell = self.cell("agency")?;
        let agency = value(cell, faults)?;
        if !self.base.agencies.contains_key(&agency) {
            faults.error(&cell.place, format!("there is no agency {agency}"), "define it under [agency]");
        }
        Some(agency)
    }

    fn document(&self, column: &str, faults: &mut Faults) -> Option<DocumentCode> {
        let Some(cell) = self.cell(column) else {
            faults.error(self.place_of(column), format!("{column} is empty"), "write a document code");
            return None;
        };
        if !(self.known.codes)("document", &cell.text) {
            let message = format!("there is no document {:?}", cell.text);
            faults.error(&cell.place, message, "write the code of a document that has a schema");
        }
        value(cell, faults)
    }

    fn conditions(&self, faults: &mut Faults) -> Conditions {
        let when = Conditions {
            from: self.date("from", faults),
            until: self.date("until", faults),
            goods: self.goods(faults),
            origin: self.countries("origin", faults),
            export_from: self.countries("export_from", faults),
            usage: self.usages(faults),
            doc: self.texts("doc"),
            importer: self.importers(faults),
            value: self.numbers("value", faults),
            weight: self.numbers("weight", faults),
        };
        let any = when.goods.is_any()
            && [&when.origin, &when.export_from, &when.usage, &when.doc, &when.importer]
                .iter()
                .all(|s| s.is_any())
            && when.value.is_any()
            && when.weight.is_any();
        if any {
            faults.error(self.place(), "the row has no condition at all", "name the goods it is for");
        }
        if when.from.zip(when.until).is_some_and(|(from, until)| from >= until) {
            faults.error(self.place_of("until"), "the row ends before it begins", "correct from or until");
        }
        if when.goods.is_empty() {
            let place = self.cell("hs").or(self.cell("class")).map_or(self.place(), |cell| &cell.place);
            faults.error(place, "no goods are left: the row can never match", "correct hs or class");
        }
        let sets = [
            ("origin", &when.origin),
            ("export_from", &when.export_from),
            ("usage", &when.usage),
            ("doc", &when.doc),
            ("importer", &when.importer),
        ];
        for (name, set) in sets {
            if set.is_contradictory() {
                let message = format!("{name} excludes all that it names: the row can never match");
                faults.error(self.place_of(name), message, format!("correct {name}"));
            }
        }
        if !when.doc.is_contradictory() && !when.doc.takes(Some(DECLARATION)) {
            let message = format!("doc does not take {DECLARATION}: the row can never match");
            faults.error(self.place_of("doc"), message, format!("write {DECLARATION}, or leave it empty"));
        }
        when
    }

    fn date(&self, column: &str, faults: &mut Faults) -> Option<Timestamp> {
        let cell = self.cell(column)?;
        match day(&cell.text) {
            Some(date) => Some(self.base.calendar.start_of(date)),
            None => {
                faults.error(&cell.place, format!("{:?} is no date", cell.text), "write it as 2009-12-25");
                None
            }
        }
    }

    fn goods(&self, faults: &mut Faults) -> Goods {
        let mut goods = Goods::default();
        if let Some(cell) = self.cell("hs") {
            for (place, item) in cell.placed_items() {
                let (excluded, text) = item.strip_prefix('!').map_or((false, item), |rest| (true, rest));
                match HsRange::parse(text) {
                    Ok(range) => {
                        goods.own.add(range, excluded);
                        check_hs(text, &place, self.known, faults);
                    }
                    Err(fault) => faults.error(&place, fault, "write HS codes of 2 to 10 digits, or a..b"),
                }
            }
        }
        if let Some(cell) = self.cell("class") {
            for (place, item) in cell.placed_items() {
                let (excluded, name) = item.strip_prefix('!').map_or((false, item), |rest| (true, rest));
                match self.base.classes.get(name) {
                    Some(class) if excluded => goods.without_classes.push(class.value.clone()),
                    Some(class) => goods.classes.push(class.value.clone()),
                    None => {
                        let message = format!("there is no class {name}");
                        faults.error(&place, message, "define it under [class]");
                    }
                }
            }
        }
        goods
    }

    fn countries(&self, column: &str, faults: &mut Faults) -> TextSet {
        let mut set = TextSet::default();
        let Some(cell) = self.cell(column) else { return set };
        for (place, item) in cell.placed_items() {
            let (excluded, text) = item.strip_prefix('!').map_or((false, item), |rest| (true, rest));
            let into = if excluded { &mut set.without } else { &mut set.within };
            match text.strip_prefix('@') {
                Some(name) => match self.base.origins.get(name) {
                    Some(group) => into.extend(group.value.iter().cloned()),
                    None => {
                        let message = format!("there is no group {name}");
                        faults.error(&place, message, "define it under [groups.origin]");
                    }
                },
                None => {
                    check_country(text, &place, self.known, faults);
                    into.insert(text.to_owned());
                }
            }
        }
        set
    }

    fn importers(&self, faults: &mut Faults) -> TextSet {
        let mut set = TextSet::default();
        let Some(cell) = self.cell("importer") else { return set };
        for (place, item) in cell.placed_items() {
            let (excluded, text) = item.strip_prefix('!').map_or((false, item), |rest| (true, rest));
            let into = if excluded { &mut set.without } else { &mut set.within };
            match text.strip_prefix('@').map(|name| (name, self.base.importers.get(name))) {
                Some((_, Some(group))) => into.extend(group.value.iter().cloned()),
                Some((name, None)) => {
                    let message = format!("there is no group {name}");
                    faults.error(&place, message, "define it under [groups.importer]");
                }
                None => {
                    into.insert(text.to_owned());
                }
            }
        }
        set
    }

    fn usages(&self, faults: &mut Faults) -> TextSet {
        for (place, item) in self.cell("usage").into_iter().flat_map(Cell::placed_items) {
            let code = item.strip_prefix('!').unwrap_or(item);
            if !USAGES.contains(&code) {
                let message = format!("{code:?} is no usage");
                faults.error(&place, message, format!("write {}", USAGES.join(", ")));
            }
        }
        self.texts("usage")
    }

    fn texts(&self, column: &str) -> TextSet {
        let mut set = TextSet::default();
        for item in self.cell(column).into_iter().flat_map(Cell::items) {
            match item.strip_prefix('!') {
                Some(text) => set.without.insert(text.to_owned()),
                None => set.within.insert(item.to_owned()),
            };
        }
        set
    }

    fn numbers(&self, column: &str, faults: &mut Faults) -> NumberRange {
        let Some(cell) = self.cell(column) else { return NumberRange::default() };
        NumberRange::parse(&cell.text).unwrap_or_else(|fault| {
            faults.error(&cell.place, fault, "write a range");
            NumberRange::default()
        })
    }
}

/// The value of a cell; a text that is none is told, so that no row is lost unseen.
fn value<T: FromStr<Err = ValueError>>(cell: &Cell, faults: &mut Faults) -> Option<T> {
    cell.text
        .parse()
        .map_err(|fault: ValueError| faults.error(&cell.place, fault.to_string(), "correct it"))
        .ok()
}

/// A day as 2009-12-25, and nothing that merely begins so.
pub(super) fn day(text: &str) -> Option<Date> {
    let shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    text.parse().ok().filter(|_| shaped)
}
