//! Walks over the whole store: the audit chain, the conservation law, and every record and body (P2, P12, P18).
//!
//! They read in many short looks, so that the log can be checkpointed meanwhile and the gateway goes on.

use rusqlite::types::Value;
use rusqlite::{Row, params};

use crate::model::{Approval, Case, Delivery, DeliveryId, PartyKey, Realm, StoredMessage};

use super::super::account::Accounting;
use super::super::audit::Walk;
use super::super::record::{Encoded, Record, correlation_sum_of};
use super::super::view::shown;
use super::super::{AuditHead, AuditVerdict, Conservation, Damage, StoreError};
use super::columns::{self, read_encoded, read_number, read_text};
use super::listing::{links, state_of};
use super::readers::{Kept, Readers, Reading};

/// Walks the audit chain.
pub(super) fn verify_audit(readers: &Readers, marked: AuditHead) -> Result<AuditVerdict, StoreError> {
    let mut walk = Walk::through(marked);
    let mut first = 0;
    loop {
        let chunk = readers.read(|reading| links(reading, first, CHUNK))?;
        let Some(last) = chunk.last() else { return Ok(walk.end()) };
        first = last.sequence + 1;
        if let Some(verdict) = chunk.iter().find_map(|link| walk.take(link)) {
            return Ok(verdict);
        }
    }
}

/// Computes the conservation law; the audit record first, so that a delivery made meanwhile is no fault.
pub(super) fn conservation(readers: &Readers) -> Result<Conservation, StoreError> {
    let mut accounting = Accounting::default();
    let mut first = 0;
    loop {
        let chunk = readers.read(|reading| links(reading, first, CHUNK))?;
        let Some(last) = chunk.last() else { break };
        first = last.sequence + 1;
        for link in &chunk {
            match link.decode() {
                Ok(entry) => accounting.entry(entry),
                Err(StoreError::Damaged(damage)) => accounting.damaged(&damage, None),
                Err(error) => return Err(error),
            }
        }
    }
    let sql = "SELECT number, version, form, checksum, record, id, destination, state FROM delivery \
               WHERE number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), [5, 6, 7].map(|at| read_text(row, at)));
    each(readers, sql, read, |_, (record, [id, destination, state])| {
        match record.decode::<Delivery>(&id) {
            Ok(delivery) => accounting.row(delivery, &destination, &state),
            Err(StoreError::Damaged(damage)) => {
                let keys =
                    DeliveryId::new(id).ok().zip(PartyKey::new(destination).ok()).zip(state_of(&state));
                accounting.damaged(&damage, keys.map(|((id, destination), state)| (id, destination, state)));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    Ok(accounting.close())
}

/// Reads everything.
pub(super) fn scrub(readers: &Readers) -> Result<Vec<Damage>, StoreError> {
    let mut found = Found(Vec::new());
    scrub_engine(readers, &mut found)?;
    scrub_messages(readers, &mut found)?;
    scrub_cases(readers, &mut found)?;
    scrub_deliveries(readers, &mut found)?;
    scrub_approvals(readers, &mut found)?;
    let mut first = 0;
    loop {
        let chunk = readers.read(|reading| links(reading, first, CHUNK))?;
        let Some(last) = chunk.last() else { break };
        first = last.sequence + 1;
        for link in &chunk {
            found.take(link.decode())?;
        }
    }
    Ok(found.0)
}

/// What SQLite itself finds: pages, indexes.
fn scrub_engine(readers: &Readers, found: &mut Found) -> Result<(), StoreError> {
    let faults =
        readers.read(|reading| reading.all("PRAGMA integrity_check(20)", [], |row| read_text(row, 0)))?;
    for fault in faults.into_iter().filter(|fault| fault != "ok") {
        found.0.push(Damage { what: "database".to_owned(), detail: fault });
    }
    Ok(())
}

fn scrub_messages(readers: &Readers, found: &mut Found) -> Result<(), StoreError> {
    let sql = "SELECT m.number, m.version, m.form, m.checksum, m.record, m.sender, m.message_id, m.received_at, \
               m.accepted, m.quarantined, m.case_id, b.digest, b.octets, \
               r.version, r.form, r.checksum, r.record, r.digest, r.octets, r.owner \
               FROM message m LEFT JOIN body b ON b.owner = m.number \
               LEFT JOIN response r ON r.owner = m.number WHERE m.number > ? ORDER BY m.number LIMIT ?";
    let read = |row: &Row<'_>| {
        let response = read_number(row, 19).map(|_| (read_encoded(row, 13), Kept::read(row, 17)));
        (read_encoded(row, 1), read_values::<6>(row, 5), Kept::read(row, 11), response)
    };
    each(readers, sql, read, |reading, (record, keys, body, response)| {
        let key = format!("{}/{}", text_of(&keys[0]), text_of(&keys[1]));
        found.record(&record, &key, &keys, |record: &StoredMessage| columns::message(record))?;
        found.take(reading.octets(&format!("body of message {key}"), &body))?;
        if let Some(response) = response {
            found.take(reading.unseal(&format!("answer to {key}"), &key, &response))?;
        }
        Ok(())
    })
}

fn scrub_cases(readers: &Readers, found: &mut Found) -> Result<(), StoreError> {
    let sql = "SELECT number, version, form, checksum, record, id, realm, state, submitter, opened_at, due, \
               payment_due FROM cases WHERE number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), read_values::<7>(row, 5));
    each(readers, sql, read, |_, (record, keys)| {
        found.record(&record, &text_of(&keys[0]), &keys, |record: &Case| columns::case(record)).map(drop)
    })?;
    readers.read(|reading| {
        let sql = "SELECT kind, party, text, case_id, checksum FROM correlation";
        let read = |row: &Row<'_>| ([0, 1, 2, 3].map(|at| read_text(row, at)), read_number(row, 4));
        for (parts, checksum) in reading.all(sql, [], read)? {
            if checksum != Some(correlation_sum_of(parts.each_ref().map(String::as_str)).into()) {
                let [kind, party, text, _] = parts;
                let what = format!("correlation {}", shown(&kind, &party, &text));
                found.0.push(Damage { what, detail: "its checksum is wrong".to_owned() });
            }
        }
        Ok(())
    })
}

fn scrub_approvals(readers: &Readers, found: &mut Found) -> Result<(), StoreError> {
    let sql = "SELECT number, version, form, checksum, record, realm, agency, text, due FROM approval \
               WHERE number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), read_values::<4>(row, 5));
    each(readers, sql, read, |_, (record, keys)| {
        let practice = if text_of(&keys[0]) == Realm::Practice.as_str() { "practice/" } else { "" };
        let key = format!("{practice}{}/{}", text_of(&keys[1]), text_of(&keys[2]));
        found.record(&record, &key, &keys, |record: &Approval| columns::approval(record)).map(drop)
    })
}

fn scrub_deliveries(readers: &Readers, found: &mut Found) -> Result<(), StoreError> {
    let sql = "SELECT d.number, d.version, d.form, d.checksum, d.record, d.id, d.destination, d.message_id, \
               d.case_id, d.state, d.due, d.attempts, d.created_at, \
               s.version, s.form, s.checksum, s.record, s.digest, s.octets, s.owner \
               FROM delivery d LEFT JOIN sealed s ON s.owner = d.number \
               WHERE d.number > ? ORDER BY d.number LIMIT ?";
    let read = |row: &Row<'_>| {
        let sealed = read_number(row, 19).map(|_| (read_encoded(row, 13), Kept::read(row, 17)));
        (read_encoded(row, 1), read_values::<8>(row, 5), sealed)
    };
    each(readers, sql, read, |reading, (record, keys, sealed)| {
        let id = text_of(&keys[0]);
        let value = found.record(&record, &id, &keys, |record: &Delivery| columns::delivery(record))?;
        let what = format!("octets of delivery {id}");
        match sealed {
            Some(sealed) => drop(found.take(reading.unseal(&what, &id, &sealed))?),
            None if value.is_some_and(|value| value.sealed) => {
                found.0.push(Damage { what, detail: "they are missing".to_owned() });
            }
            None => {}
        }
        Ok(())
    })
}

/// Damage found so far.
struct Found(Vec<Damage>);

impl Found {
    fn take<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Damaged(damage)) => {
                self.0.push(damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
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
            self.0.push(Damage { what, detail: "its key columns differ from its record".to_owned() });
        }
        Ok(value)
    }
}

/// Visits every row of a query that takes the number to begin after and a limit; the number is column 0.
fn each<T>(
    readers: &Readers,
    sql: &str,
    read: impl Fn(&Row<'_>) -> T,
    mut visit: impl FnMut(&Reading<'_>, T) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = i64::MIN;
    loop {
        let last = readers.read(|reading| {
            let numbered = |row: &Row<'_>| (read_number(row, 0), read(row));
            let mut last = None;
            for (number, row) in reading.all(sql, params![after, CHUNK as i64], numbered)? {
                last = number;
                visit(reading, row)?;
            }
            Ok(last)
        })?;
        let Some(last) = last else { return Ok(()) };
        after = last;
    }
}

fn read_values<const N: usize>(row: &Row<'_>, first: usize) -> [Value; N] {
    std::array::from_fn(|at| row.get(first + at).unwrap_or(Value::Null))
}

fn text_of(value: &Value) -> String {
    if let Value::Text(text) = value { text.clone() } else { String::new() }
}

/// Rows in one look.
const CHUNK: usize = 256;
