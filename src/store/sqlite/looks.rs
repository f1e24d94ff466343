//! Walks in many short looks, so that the log can be checkpointed meanwhile and the gateway goes on; between two looks somebody
//! hears how far they are, and may rest or end them. Nothing is written.

use std::ops::ControlFlow;

use rusqlite::{Row, params};

use super::super::audit::Link;
use super::super::{Between, Looked, StoreError};
use super::chain::links;
use super::columns::read_number;
use super::readers::{Readers, Reading};
use super::schema::FORMAT;

/// Where a walk goes on: behind what it came to. Keys that go back, or stay where they are, as damaged ones do, would lead it
/// around for ever.
pub(super) fn onward<K: Ord>(after: &K, last: K) -> Result<K, StoreError> {
    if last > *after { Ok(last) } else { Err(backward()) }
}

fn backward() -> StoreError {
    StoreError::Engine { doing: "reading", reason: "its keys are out of order".to_owned() }
}

/// A walk in short looks.
pub(super) struct Looks<'a> {
    pub(super) readers: &'a Readers,
    /// The format of the tables that are looked at.
    pub(super) format: u32,
    /// Rows in one look.
    pub(super) rows: usize,
    between: Between<'a>,
    records: u64,
    pub(super) ended: bool,
}

impl<'a> Looks<'a> {
    pub(super) fn of(readers: &'a Readers, between: Between<'a>) -> Self {
        Self { readers, format: FORMAT, rows: ROWS, between, records: 0, ended: false }
    }

    /// At tables of an earlier format.
    pub(super) const fn in_format(self, format: u32) -> Self {
        Self { format, ..self }
    }

    /// With so many rows in one look.
    pub(super) const fn of_rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// After a look at so many records; whether to go on.
    pub(super) fn goes_on(&mut self, at: &'static str, records: usize) -> bool {
        self.records += records as u64;
        self.ended |= (self.between)(Looked { at, records: self.records }) == ControlFlow::Break(());
        !self.ended
    }

    /// Visits every link of the audit record from this one on.
    pub(super) fn links_from(
        &mut self,
        mut first: u64,
        mut visit: impl FnMut(&Link) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        loop {
            let chunk = self.readers.read(|reading| links(reading, first, self.rows))?;
            let Some(last) = chunk.last() else { return Ok(()) };
            first = onward(&first, last.sequence + 1)?;
            for link in &chunk {
                if visit(link)?.is_break() {
                    return Ok(());
                }
            }
            if !self.goes_on("audit", chunk.len()) {
                return Ok(());
            }
        }
    }

    /// Visits every row of a query that takes the number to begin after and a limit; the number is column 0.
    pub(super) fn each<T>(
        &mut self,
        at: &'static str,
        sql: &str,
        read: impl Fn(&Row<'_>) -> T,
        mut visit: impl FnMut(&Reading<'_>, T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let (last, count) = self.readers.read(|reading| {
                let numbered = |row: &Row<'_>| (read_number(row, 0), read(row));
                let found = reading.all(sql, params![after, self.rows as i64], numbered)?;
                let (mut last, count) = (None, found.len());
                for (number, row) in found {
                    last = number;
                    visit(reading, row)?;
                }
                Ok((last, count))
            })?;
            let Some(last) = last else { return Ok(()) };
            after = onward(&after, last)?;
            if !self.goes_on(at, count) {
                return Ok(());
            }
        }
    }
}

/// Rows in one look when nobody says how many.
const ROWS: usize = 256;
