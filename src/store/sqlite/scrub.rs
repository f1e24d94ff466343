//! Walks over the whole store: the audit chain, the conservation law, and every record and body (P2, P12, P18).
//!
//! They read in many short looks, so that the log can be checkpointed meanwhile and the gateway goes on; between two
//! looks somebody hears how far they are, and may rest or end them. Nothing is written.

use std::ops::ControlFlow;

use rusqlite::types::Value;
use rusqlite::{Row, params};

use crate::model::{
    Approval, Case, Delivery, DeliveryId, KeptHead, PartyKey, Realm, Sequence, StoredMessage, Tree,
};

use super::super::account::Accounting;
use super::super::audit::{Link, Walk};
use super::super::record::{Encoded, Envelope, Record, correlation_sum_of, files_of};
use super::super::view::shown;
use super::super::{AuditEntry, AuditHead, AuditVerdict, Between, Conservation, Damage, Looked, StoreError};
use super::Contents;
use super::columns::{self, read_encoded, read_number, read_text};
use super::listing::{links, state_of};
use super::readers::{Kept, Readers, Reading};
use super::schema::{
    FORMAT, WITH_APPROVALS, WITH_HEADS, WITH_PIECES, WITH_PURGES, WITH_RECEIPTS, WITH_SEQUENCES,
};

/// A walk in short looks.
pub(super) struct Looks<'a> {
    readers: &'a Readers,
    /// The format of the tables that are looked at.
    format: u32,
    /// Rows in one look.
    rows: usize,
    between: Between<'a>,
    records: u64,
    ended: bool,
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
    fn goes_on(&mut self, at: &'static str, records: usize) -> bool {
        self.records += records as u64;
        self.ended |= (self.between)(Looked { at, records: self.records }) == ControlFlow::Break(());
        !self.ended
    }

    /// Visits every link of the audit record.
    fn links(
        &mut self,
        mut visit: impl FnMut(&Link) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut first = 0;
        loop {
            let chunk = self.readers.read(|reading| links(reading, first, self.rows))?;
            let Some(last) = chunk.last() else { return Ok(()) };
            first = last.sequence + 1;
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
    fn each<T>(
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
            after = last;
            if !self.goes_on(at, count) {
                return Ok(());
            }
        }
    }
}

/// Walks the audit chain.
pub(super) fn verify_audit(mut looks: Looks<'_>, marked: AuditHead) -> Result<AuditVerdict, StoreError> {
    let mut walk = Walk::through(marked);
    let mut broken = None;
    looks.links(|link| {
        broken = walk.take(link);
        Ok(if broken.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(broken.unwrap_or_else(|| walk.end()))
}

/// Computes the conservation law; the audit record first, so that a delivery made meanwhile is no fault.
pub(super) fn conservation(mut looks: Looks<'_>) -> Result<Conservation, StoreError> {
    let mut accounting = Accounting::default();
    looks.links(|link| {
        match link.decode() {
            Ok(entry) => accounting.entry(entry),
            Err(StoreError::Damaged(damage)) => accounting.damaged(&damage, None),
            Err(error) => return Err(error),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let sql = "SELECT number, version, form, checksum, record, id, destination, state FROM delivery \
               WHERE number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| (read_encoded(row, 1), [5, 6, 7].map(|at| read_text(row, at)));
    looks.each("deliveries", sql, read, |_, (record, [id, destination, state])| {
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

/// Reads everything, and has SQLite check its pages and indexes, which is one long look.
pub(super) fn scrub(readers: &Readers, looks: Looks<'_>) -> Result<Vec<Damage>, StoreError> {
    let mut found = Found(Vec::new());
    let checked = scrub_engine(readers, &mut found);
    found.table("pages and indexes", checked)?;
    found.0.extend(scrub_records(looks)?);
    Ok(found.0)
}

/// Reads every record and every body.
pub(super) fn scrub_records(mut looks: Looks<'_>) -> Result<Vec<Damage>, StoreError> {
    let mut found = Found(Vec::new());
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
    Ok(found.0)
}

/// The last link as it stands there, of those whose hash can be read: damage keeps nobody from a backup, and a
/// verification names it.
pub(super) fn last_link(reading: &Reading<'_>) -> Result<AuditHead, StoreError> {
    let sql = "SELECT number, hash FROM audit WHERE number < ? ORDER BY number DESC LIMIT 1";
    let mut below = i64::MAX;
    loop {
        let last = reading.one(sql, [below], |row| (read_number(row, 0), read_text(row, 1)))?;
        let Some((Some(number), hash)) = last else { return Ok(AuditHead::EMPTY) };
        match hash.parse() {
            Ok(hash) => return Ok(AuditHead { sequence: number.cast_unsigned(), hash }),
            Err(_) => below = number,
        }
    }
}

/// Rows by table and state.
pub(super) fn contents(reading: &Reading<'_>, format: u32) -> Result<Contents, StoreError> {
    let count = |row: &Row<'_>, at| read_number(row, at).map_or(0, i64::cast_unsigned);
    let mut contents = Contents::default();
    for (name, table, since) in [
        ("messages", "message", 1),
        ("cases", "cases", 1),
        ("deliveries", "delivery", 1),
        ("approvals", "approval", WITH_APPROVALS),
        ("sequences", "sequence", WITH_SEQUENCES),
        ("audit entries", "audit", 1),
        ("audit heads", "head", WITH_HEADS),
        ("receipts", "receipt", WITH_RECEIPTS),
    ] {
        if format >= since {
            let sql = format!("SELECT count(*) FROM {table}");
            contents.rows.push((name, reading.one(&sql, [], |row| count(row, 0))?.unwrap_or_default()));
        }
    }
    for (name, table) in [("messages purged", "message"), ("deliveries purged", "delivery")] {
        if format >= WITH_PURGES {
            let sql = format!("SELECT count(*) FROM {table} WHERE purged = 1");
            contents.rows.push((name, reading.one(&sql, [], |row| count(row, 0))?.unwrap_or_default()));
        }
    }
    let sql = "SELECT state, count(*) FROM cases GROUP BY state ORDER BY state";
    contents.cases = reading.all(sql, [], |row| (read_text(row, 0), count(row, 1)))?;
    let sql = "SELECT destination, state, count(*) FROM delivery GROUP BY destination, state \
               ORDER BY destination, state";
    contents.deliveries =
        reading.all(sql, [], |row| (read_text(row, 0), read_text(row, 1), count(row, 2)))?;
    Ok(contents)
}

/// Reads one table.
type Step = fn(&mut Looks<'_>, &mut Found) -> Result<(), StoreError>;

fn scrub_links(looks: &mut Looks<'_>, found: &mut Found) -> Result<(), StoreError> {
    looks.links(|link| {
        found.take::<AuditEntry>(link.decode())?;
        Ok(ControlFlow::Continue(()))
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
            found.0.push(Damage { what: format!("audit head {key}"), detail });
        }
        Ok(())
    })
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
        let what = format!("body of message {key}");
        if value.as_ref().is_some_and(|value| value.purged.is_some()) {
            if is_there || response.is_some() {
                found.0.push(Damage { what, detail: "it is there, though it was purged".to_owned() });
            }
            return Ok(());
        }
        found.take(reading.checked_octets(&what, &body))?;
        let what = format!("answer to {key}");
        if let Some((owner, response)) = response {
            found.sealed(reading, format, &what, &key, ("response", owner), &response)?;
        } else if value.is_some_and(|value| value.answered) {
            found.0.push(Damage { what, detail: "it is missing".to_owned() });
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
    looks.each("cases", &sql, read, |_, (record, keys)| {
        found.record(&record, &text_of(&keys[0]), &keys, |record: &Case| columns::case(record)).map(drop)
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
        after = [kind, party, text];
        let count = rows.len();
        for (parts, checksum) in rows {
            if checksum != Some(correlation_sum_of(parts.each_ref().map(String::as_str)).into()) {
                let [kind, party, text, _] = parts;
                let what = format!("correlation {}", shown(&kind, &party, &text));
                found.0.push(Damage { what, detail: "its checksum is wrong".to_owned() });
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
        let what = format!("octets of delivery {id}");
        let purged = value.as_ref().is_some_and(|value| value.purged.is_some());
        match sealed {
            Some(_) if purged => {
                found.0.push(Damage { what, detail: "they are there, though they were purged".to_owned() });
            }
            Some((owner, sealed)) => {
                found.sealed(reading, format, &what, &id, ("sealed", owner), &sealed)?;
            }
            None if value.is_some_and(|value| value.sealed && !purged) => {
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
    /// A table that cannot be read any further is damage too, and no reason to leave out the others.
    fn table(&mut self, table: &str, read: Result<(), StoreError>) -> Result<(), StoreError> {
        match read {
            Err(StoreError::Engine { reason, .. }) => {
                let detail = format!("{table} cannot be read any further: {reason}");
                self.0.push(Damage { what: "database".to_owned(), detail });
                Ok(())
            }
            other => other,
        }
    }

    fn take<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Damaged(damage)) => {
                self.0.push(damage);
                Ok(None)
            }
            // One file that cannot be read keeps nobody from looking at all others.
            Err(StoreError::Files { path, source, .. }) => {
                self.0.push(Damage { what: format!("file {}", path.display()), detail: source.to_string() });
                Ok(None)
            }
            Err(error) => Err(error),
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
        if self.take(reading.checked_unseal(what, key, row))?.is_none() || format < WITH_PIECES {
            return Ok(());
        }
        let envelope: Envelope = row.0.decode(key)?;
        if reading.files_of(home, owner)? != files_of(&envelope.spans) {
            let detail = "the files that are kept for it are not those that it stands in".to_owned();
            self.0.push(Damage { what: what.to_owned(), detail });
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
            self.0.push(Damage { what, detail: "its key columns differ from its record".to_owned() });
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

/// Rows in one look when nobody says how many.
const ROWS: usize = 256;
