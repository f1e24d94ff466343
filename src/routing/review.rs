//! What may be asked about a set that can be used: which rows have ended, and what an official list has that no row
//! asks for (domain brief, 7.4). Warnings, all of them; they depend on the day, or on a list beside the set.

use super::fault::Faults;
use super::goods::{HsRange, number_of};
use super::reader::TextFile;
use super::table::day;
use super::{Known, RuleFault, RuleSet};
use crate::model::{HsCode, Timestamp};

/// Columns that an official list must have; `from` and `until` may be there, others are not read.
const OFFICIAL: [&str; 2] = ["hs", "law"];

impl RuleSet {
    /// Rows that are not in force any more at an instant, told at their `until`.
    #[must_use]
    pub fn ended(&self, at: Timestamp) -> Vec<RuleFault> {
        let mut faults = Faults::default();
        let requirements = self.requirements.iter().map(|row| (&row.id, &row.when, &row.until_place));
        let exceptions = self.exceptions.iter().map(|row| (&row.id, &row.when, &row.until_place));
        for (id, when, place) in requirements.chain(exceptions) {
            if when.until.is_some_and(|until| until <= at) {
                let remedy = "remove it; cases keep the rules that they were planned with";
                faults.warning(place, format!("{id} has ended"), remedy);
            }
        }
        faults.into_list()
    }

    /// What of an official list no row asks for: rows of HS code and law, in force at an instant, to which no
    /// requirement of that law is in force for those goods.
    #[must_use]
    pub fn gaps(&self, name: &str, octets: &[u8], known: &Known<'_>, at: Timestamp) -> Vec<RuleFault> {
        let mut faults = Faults::default();
        let Some(file) = TextFile::read(name, octets, &mut faults) else { return faults.into_list() };
        let mut rows = file.csv(&mut faults).into_iter();
        let header = rows.next().unwrap_or_default();
        let column = |name: &str| header.iter().position(|cell| cell.text == name);
        for name in OFFICIAL.iter().filter(|name| column(name).is_none()) {
            faults.error(&file.place(0), format!("there is no column {name}"), "name it in the header line");
        }
        let [Some(hs), Some(law)] = OFFICIAL.map(column) else { return faults.into_list() };
        for row in rows {
            let (Some(hs), Some(law)) = (row.get(hs), row.get(law)) else {
                let message = format!("{} cells under {} columns", row.len(), header.len());
                faults.error(&row[0].place, message, "give every column a cell");
                continue;
            };
            if !(known.codes)("law", &law.text) {
                faults.error(
                    &law.place,
                    format!("there is no law {:?}", law.text),
                    "write its two-digit code",
                );
                continue;
            }
            let Ok(code) = hs.text.parse::<HsCode>() else {
                faults.error(&hs.place, format!("{:?} is no HS code", hs.text), "write 2 to 10 digits");
                continue;
            };
            let mut date = |column: &str| {
                let at = header.iter().position(|cell| cell.text == column)?;
                let cell = row.get(at).filter(|cell| !cell.text.is_empty())?;
                let date = day(&cell.text);
                if date.is_none() {
                    let message = format!("{:?} is no date", cell.text);
                    faults.error(&cell.place, message, "write it as 2009-12-25");
                }
                date.map(|date| self.base.calendar.start_of(date))
            };
            let (from, until) = (date("from"), date("until"));
            let in_force = from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until);
            if in_force && !self.asks(code, &law.text, at) {
                let message = format!("no row asks for law {} where goods are as {}", law.text, hs.text);
                faults.warning(&hs.place, message, "add a requirement, or say why there is none");
            }
        }
        faults.into_list()
    }

    /// Whether a requirement of this law is in force for all goods of this code.
    fn asks(&self, code: HsCode, law: &str, at: Timestamp) -> bool {
        let rows =
            self.required_goods.holding(number_of(code)).into_iter().map(|row| &self.requirements[row]);
        let mut rows = rows.filter(|row| {
            row.law.as_str() == law
                && row.when.from.is_none_or(|from| from <= at)
                && row.when.until.is_none_or(|until| at < until)
        });
        rows.any(|row| HsRange::of(code).is_within(&row.when.goods))
    }
}
