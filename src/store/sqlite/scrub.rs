//! Scrubbing: every record and body is read and held against what it says of itself (P12). Nothing is written.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Row, params};

use crate::model::{Approval, Case, Delivery, KeptHead, Realm, Sequence, StoredMessage, Tree};

use super::super::payload::PayloadFiles;
use super::super::prepare::about;
use super::super::record::{Encoded, Envelope, Record, correlation_sum_of, files_of};
use super::super::view::shown;
use super::super::{AuditEntry, Damage, StoreError};
use super::columns::{self, read_encoded, read_link, read_number, read_text};
use super::looks::{Looks, onward};
use super::readers::{Kept, Readers, Reading};
use super::schema::{WITH_APPROVALS, WITH_HEADS, WITH_PIECES, WITH_PURGES, WITH_RECEIPTS, WITH_SEQUENCES};
use super::told::{self, Entries};

/// What a scrub found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) damage: Vec<Damage>,
    /// Files that are set aside, as no record seemed to name them. Once every record was read, and none is damaged, those that
    /// are left here are named by none.
    pub(super) orphans: BTreeSet<String>,
}

/// Reads everything, and has SQLite check its pages and indexes, which is one long look.
pub(super) fn scrub(readers: &Readers, looks: Looks<'_>, bodies: &PayloadFiles) -> Result<Found, StoreError> {
    let mut engine = Found::default();
    let checked = scrub_engine(readers, &mut engine);
    engine.table("pages and indexes", checked)?;
    let mut found = scrub_records(looks, bodies)?;
    found.damage.splice(0..0, engine.damage);
    Ok(found)
}

/// Reads every record and every body.
pub(super) fn scrub_records(mut looks: Looks<'_>, bodies: &PayloadFiles) -> Result<Found, StoreError> {
    let mut found = Found::default();
    found.orphans = found.take(bodies.orphans())?.unwrap_or_default();
    let steps: [(&str, Step); 9] = [
        ("messages", scrub_messages),
        ("cases", scrub_cases),
        ("correlations", scrub_correlations),
        ("deliveries", scrub_deliveries),
        ("receipts", scrub_receipts),
        ("approvals", scrub_approvals),
        ("sequences", scrub_sequences),
        ("audit record", scrub_links),
        ("audit heads", scrub_heads),
    ];
    for (table, step) in steps {
        if !looks.ended {
            let outcome = step(&mut looks, &mut found);
            found.table(table, outcome)?;
        }
    }
    if looks.ended {
        found.orphans.clear();
    }
    Ok(found)
}

/// Reads one table.
type Step = fn(&mut Looks<'_>, &mut Found) -> Result<(), StoreError>;

/// Reads every entry, holds its columns against it, and looks for what it tells of.
fn scrub_links(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    let column = if looks.format < WITH_RECEIPTS { "NULL" } else { "about" };
    let sql = format!(
        "SELECT number, form, checksum, record, hash, case_id, {column} FROM audit \
         WHERE number > ? ORDER BY number LIMIT ?"
    );
    let format = looks.format;
    let mut told = Entries::of(format);
    let read = |row: &Row<'_>| (read_link(row), read_values::<2>(row, 5));
    looks.each("audit", &sql, read, |reading, (link, keys)| {
        let Some(AuditEntry { sequence, entry, .. }) = found.take(link.decode())? else { return Ok(()) };
        let case = entry.case.as_ref().map(ToString::to_string);
        let about = about(&entry).filter(|_| format >= WITH_RECEIPTS);
        if [case, about].map(|key| key.map_or(Value::Null, Value::Text)) != keys {
            let what = format!("audit entry {sequence}");
            found.damage.push(Damage { what, detail: "its key columns differ from its record".to_owned() });
        }
        found.damage.extend(told.gone(reading, sequence, &entry)?);
        Ok(())
    })
}

/// Reads every signed head, and holds it against the tree that the next one grows from.
fn scrub_heads(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    if looks.format < WITH_HEADS {
        return Ok(());
    }
    let sql = "SELECT entries, version, form, checksum, record FROM head WHERE entries > ? ORDER BY entries LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), read_values::<1>(row, 0));
    looks.each("audit heads", sql, read, |_, (record, keys)| {
        let key = if let Value::Integer(entries) = keys[0] { entries.to_string() } else { String::new() };
        let head = found.record(&record, &key, &keys, |record: &KeptHead| columns::head(record))?;
        if let Some(KeptHead { signed, peaks }) = head
            && Tree::of(signed.head.entries, peaks).is_none_or(|tree| tree.root() != signed.head.root)
        {
            let detail = "it does not go with the tree that it was kept with".to_owned();
            found.damage.push(Damage { what: format!("audit head {key}"), detail });
        }
        Ok(())
    })
}

/// What SQLite itself finds: pages, indexes.
fn scrub_engine(readers: &Readers, found: &mut Found) -> Result<(), StoreError> {
    let faults =
        readers.read(|reading| reading.all("PRAGMA integrity_check(20)", [], |row| read_text(row, 0)))?;
    for fault in faults.into_iter().filter(|fault| fault != "ok") {
        found.damage.push(Damage { what: "database".to_owned(), detail: fault });
    }
    Ok(())
}

fn scrub_messages(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    let purged = if looks.format < WITH_PURGES { "0" } else { "m.purged" };
    let sql = format!(
        "SELECT m.number, m.version, m.form, m.checksum, m.record, m.sender, m.message_id, m.received_at, \
         m.accepted, m.quarantined, m.case_id, {purged}, b.digest, b.octets, \
         r.version, r.form, r.checksum, r.record, r.digest, r.octets, r.owner, b.owner \
         FROM message m LEFT JOIN body b ON b.owner = m.number \
         LEFT JOIN response r ON r.owner = m.number WHERE m.number > ? ORDER BY m.number LIMIT ?"
    );
    let format = looks.format;
    let read = |row: &Row<'_>| {
        let response =
            read_number(row, 20).map(|owner| (owner, (read_encoded(row, 14), Kept::read(row, 18))));
        let body = (Kept::read(row, 12), read_number(row, 21).is_some());
        (read_encoded(row, 1), read_values::<7>(row, 5), body, response)
    };
    looks.each("messages", &sql, read, |reading, (record, keys, (body, is_there), response)| {
        let key = format!("{}/{}", text_of(&keys[0]), text_of(&keys[1]));
        let value = found.record(&record, &key, &keys, |record: &StoredMessage| columns::message(record))?;
        if let Some(value) = &value {
            found.damage.extend(told::gone_of_message(reading, value)?);
        }
        let what = format!("body of message {key}");
        if value.as_ref().is_some_and(|value| value.purged.is_some()) {
            if is_there || response.is_some() {
                found.damage.push(Damage { what, detail: "it is there, though it was purged".to_owned() });
            }
            return Ok(());
        }
        found.take(reading.checked_octets(&what, &body))?;
        found.names(reading, &what, body.file().into_iter());
        let what = format!("answer to {key}");
        if let Some((owner, response)) = response {
            found.sealed(reading, format, &what, &key, ("response", owner), &response)?;
        } else if value.is_some_and(|value| value.answered) {
            found.damage.push(Damage { what, detail: "it is missing".to_owned() });
        }
        Ok(())
    })
}

fn scrub_cases(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    // What a format did not have yet is what its records say by default.
    let of = |since: u32, column: &str, before: &str| {
        if looks.format < since { format!("{before} AS {column}") } else { column.to_owned() }
    };
    let (realm, due) = (of(WITH_APPROVALS, "realm", "'production'"), of(2, "due", "NULL"));
    let payment_due = of(WITH_APPROVALS, "payment_due", "NULL");
    let sql = format!(
        "SELECT number, version, form, checksum, record, id, {realm}, state, submitter, opened_at, {due}, \
         {payment_due} FROM cases WHERE number > ? ORDER BY number LIMIT ?"
    );
    let read = |row: &Row<'_>| (read_encoded(row, 1), read_values::<7>(row, 5));
    looks.each("cases", &sql, read, |reading, (record, keys)| {
        let id = text_of(&keys[0]);
        if let Some(case) = found.record(&record, &id, &keys, |record: &Case| columns::case(record))? {
            found.damage.extend(told::gone_of_case(reading, &case)?);
        }
        Ok(())
    })
}

fn scrub_correlations(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    let sql = "SELECT kind, party, text, case_id, checksum FROM correlation \
               WHERE (kind, party, text) > (?, ?, ?) ORDER BY kind, party, text LIMIT ?";
    let read = |row: &Row<'_>| ([0, 1, 2, 3].map(|at| read_text(row, at)), read_number(row, 4));
    let mut after = [String::new(), String::new(), String::new()];
    loop {
        let [kind, party, text] = &after;
        let rows = looks
            .readers
            .read(|reading| reading.all(sql, params![kind, party, text, looks.rows as i64], read))?;
        let Some(([kind, party, text, _], _)) = rows.last().cloned() else { return Ok(()) };
        after = onward(&after, [kind, party, text])?;
        let count = rows.len();
        for (parts, checksum) in rows {
            if checksum != Some(correlation_sum_of(parts.each_ref().map(String::as_str)).into()) {
                let [kind, party, text, _] = parts;
                let what = format!("correlation {}", shown(&kind, &party, &text));
                found.damage.push(Damage { what, detail: "its checksum is wrong".to_owned() });
            }
        }
        if !looks.goes_on("correlations", count) {
            return Ok(());
        }
    }
}

fn scrub_approvals(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    if looks.format < WITH_APPROVALS {
        return Ok(());
    }
    let sql = "SELECT number, version, form, checksum, record, realm, agency, text, due FROM approval \
               WHERE number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), read_values::<4>(row, 5));
    looks.each("approvals", sql, read, |_, (record, keys)| {
        let practice = if text_of(&keys[0]) == Realm::Practice.as_str() { "practice/" } else { "" };
        let key = format!("{practice}{}/{}", text_of(&keys[1]), text_of(&keys[2]));
        found.record(&record, &key, &keys, |record: &Approval| columns::approval(record)).map(drop)
    })
}

fn scrub_sequences(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    if looks.format < WITH_SEQUENCES {
        return Ok(());
    }
    let sql = "SELECT number, version, form, checksum, record, direction, cpa_id, conversation_id, early, due \
               FROM sequence WHERE number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), read_values::<5>(row, 5));
    looks.each("sequences", sql, read, |_, (record, keys)| {
        let key = [0, 1, 2].map(|at| text_of(&keys[at])).join(" ");
        found.record(&record, &key, &keys, |record: &Sequence| columns::sequence(record)).map(drop)
    })
}

fn scrub_receipts(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    if looks.format < WITH_RECEIPTS {
        return Ok(());
    }
    let sql = "SELECT r.owner, r.version, r.form, r.checksum, r.record, r.digest, r.octets, d.id \
               FROM receipt r LEFT JOIN delivery d ON d.number = r.owner WHERE r.owner > ? ORDER BY r.owner LIMIT ?";
    let format = looks.format;
    let read =
        |row: &Row<'_>| (read_number(row, 0), (read_encoded(row, 1), Kept::read(row, 5)), read_text(row, 7));
    looks.each("receipts", sql, read, |reading, (owner, receipt, id)| {
        let (what, owner) = (format!("receipt of delivery {id}"), owner.unwrap_or_default());
        found.sealed(reading, format, &what, &id, ("receipt", owner), &receipt)
    })
}

fn scrub_deliveries(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    let purged = if looks.format < WITH_PURGES { "0" } else { "d.purged" };
    let sql = format!(
        "SELECT d.number, d.version, d.form, d.checksum, d.record, d.id, d.destination, d.message_id, \
         d.case_id, d.state, d.due, d.attempts, d.created_at, {purged}, \
         s.version, s.form, s.checksum, s.record, s.digest, s.octets, s.owner \
         FROM delivery d LEFT JOIN sealed s ON s.owner = d.number \
         WHERE d.number > ? ORDER BY d.number LIMIT ?"
    );
    let format = looks.format;
    let read = |row: &Row<'_>| {
        let sealed = read_number(row, 20).map(|owner| (owner, (read_encoded(row, 14), Kept::read(row, 18))));
        (read_encoded(row, 1), read_values::<9>(row, 5), sealed)
    };
    looks.each("deliveries", &sql, read, |reading, (record, keys, sealed)| {
        let id = text_of(&keys[0]);
        let value = found.record(&record, &id, &keys, |record: &Delivery| columns::delivery(record))?;
        if let Some(value) = &value {
            found.damage.extend(told::gone_of_delivery(reading, value)?);
        }
        let what = format!("octets of delivery {id}");
        let purged = value.as_ref().is_some_and(|value| value.purged.is_some());
        match sealed {
            Some(_) if purged => {
                found
                    .damage
                    .push(Damage { what, detail: "they are there, though they were purged".to_owned() });
            }
            Some((owner, sealed)) => {
                found.sealed(reading, format, &what, &id, ("sealed", owner), &sealed)?;
            }
            None if value.is_some_and(|value| value.sealed && !purged) => {
                found.damage.push(Damage { what, detail: "they are missing".to_owned() });
            }
            None => {}
        }
        Ok(())
    })
}

impl Found {
    /// A table that cannot be read any further is damage too, and no reason to leave out the others.
    fn table(&mut self, table: &str, read: Result<(), StoreError>) -> Result<(), StoreError> {
        match read {
            Err(StoreError::Engine { reason, .. }) => {
                let detail = format!("{table} cannot be read any further: {reason}");
                self.damage.push(Damage { what: "database".to_owned(), detail });
                Ok(())
            }
            other => other,
        }
    }

    fn take<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Damaged(damage)) => {
                self.damage.push(damage);
                Ok(None)
            }
            // One file that cannot be read keeps nobody from looking at all others.
            Err(StoreError::Files { path, source, .. }) => {
                self.damage
                    .push(Damage { what: format!("file {}", path.display()), detail: source.to_string() });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes which files a record names: of those that are set aside an index does not know that, but where the same octets
    /// have come again since.
    fn names<'a>(&mut self, reading: &Reading<'_>, what: &str, files: impl Iterator<Item = &'a str>) {
        for file in files {
            if self.orphans.contains(file) && !reading.has_file(file) {
                self.orphans.remove(file);
                let detail =
                    format!("its file {file} was set aside at a start, as an index does not name it");
                self.damage.push(Damage { what: what.to_owned(), detail });
            }
        }
    }

    /// Reads every octet that is sealed, and compares the files it stands in with those that are kept for it.
    fn sealed(
        &mut self,
        reading: &Reading<'_>,
        format: u32,
        what: &str,
        key: &str,
        (home, owner): (&str, i64),
        row: &(Encoded, Kept),
    ) -> Result<(), StoreError> {
        if self.take(reading.checked_unseal(what, key, row))?.is_none() {
            return Ok(());
        }
        let envelope: Envelope = row.0.decode(key)?;
        let pieces = files_of(&envelope.spans);
        self.names(reading, what, row.1.file().filter(|_| pieces.is_empty()).into_iter());
        self.names(reading, what, pieces.iter().map(String::as_str));
        if format < WITH_PIECES {
            return Ok(());
        }
        if reading.files_of(home, owner)? != pieces {
            let detail = "the files that are kept for it are not those that it stands in".to_owned();
            self.damage.push(Damage { what: what.to_owned(), detail });
        }
        Ok(())
    }

    /// Decodes a record and compares its key columns with it.
    fn record<R: Record, const N: usize>(
        &mut self,
        record: &Encoded,
        key: &str,
        keys: &[Value; N],
        expected: impl FnOnce(&R) -> [Value; N],
    ) -> Result<Option<R>, StoreError> {
        let value = self.take(record.decode::<R>(key))?;
        if value.as_ref().is_some_and(|value| expected(value) != *keys) {
            let what = format!("{} {key}", R::KIND);
            self.damage.push(Damage { what, detail: "its key columns differ from its record".to_owned() });
        }
        Ok(value)
    }
}

fn read_values<const N: usize>(row: &Row<'_>, first: usize) -> [Value; N] {
    std::array::from_fn(|at| row.get(first + at).unwrap_or(Value::Null))
}

fn text_of(value: &Value) -> String {
    if let Value::Text(text) = value { text.clone() } else { String::new() }
}
