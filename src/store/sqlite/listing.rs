//! Lists, answered from the indexes; each record in a list is checked as it is read.

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};

use crate::model::{
    Case, CaseId, CaseSummary, Delivery, DeliveryId, DeliveryState, MessageId, MessageKey, PartyKey, Realm,
    Sequence, SequenceKey, StoredMessage,
};

use super::super::lookup::or_damaged;
use super::super::record::{Encoded, Record};
use super::super::report::summary;
use super::super::{CaseFilter, Damage, DeliveryFilter, Listing, MessageFilter, Opened, StoreError, Walked};
use super::columns::{read_encoded, read_number, read_sequence_key, read_text};
use super::looks::onward;
use super::readers::{Readers, Reading};

/// Sequences; those alone in which messages came before their turn, held or refused.
pub(super) fn sequences(
    reading: &Reading<'_>,
    early: bool,
    limit: usize,
) -> Result<Listing<Sequence>, StoreError> {
    let sql = if early {
        "SELECT version, form, checksum, record, direction, cpa_id, conversation_id FROM sequence \
         WHERE early > 0 ORDER BY number LIMIT ?"
    } else {
        "SELECT version, form, checksum, record, direction, cpa_id, conversation_id FROM sequence \
         ORDER BY number LIMIT ?"
    };
    let read = |row: &Row<'_>| (read_encoded(row, 0), [4, 5, 6].map(|at| read_text(row, at)).join(" "));
    let mut listing = Listing::default();
    for (record, key) in reading.all(sql, params![limit_of(limit)], read)? {
        or_damaged(record.decode(&key), &mut listing)?;
    }
    Ok(listing)
}

/// Sequences, after this place.
pub(super) fn kept_sequences(
    reading: &Reading<'_>,
    after: u64,
    limit: usize,
) -> Result<Vec<Walked<SequenceKey>>, StoreError> {
    let sql = "SELECT number, direction, cpa_id, conversation_id FROM sequence WHERE number > ? \
               ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| walked(row, "sequence", read_sequence_key(row, 1));
    reading.all(sql, params![number_of(after), limit_of(limit)], read)
}

/// What stands at the number that a row begins with. The number is the row's own: without it there is no row.
fn walked<K>(row: &Row<'_>, kind: &str, key: Option<K>) -> Walked<K> {
    let number = read_number(row, 0).map_or(u64::MAX, i64::cast_unsigned);
    let damage = || Damage { what: format!("{kind} {number}"), detail: "its key cannot be read".to_owned() };
    (number, key.ok_or_else(damage))
}

pub(super) fn named_cases(
    reading: &Reading<'_>,
    realm: Realm,
    text: &str,
    limit: usize,
) -> Result<Vec<CaseId>, StoreError> {
    let sql = "SELECT id FROM cases WHERE realm = ?3 \
               AND (id = ?1 OR id IN (SELECT case_id FROM correlation WHERE text = ?1)) \
               ORDER BY number DESC LIMIT ?2";
    let read = |row: &Row<'_>| CaseId::new(read_text(row, 0)).ok();
    let values = params![text, limit_of(limit), realm.as_str()];
    Ok(reading.all(sql, values, read)?.into_iter().flatten().collect())
}

/// The cases of a span, after this instant and number; gives where the next look goes on, when there is more.
pub(super) fn some_cases(
    reading: &Reading<'_>,
    opened: &Opened,
    (from, after): (i64, i64),
    visit: &mut dyn FnMut(Case),
) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT version, form, checksum, record, id, opened_at, number FROM cases \
               WHERE (opened_at, number) > (?1, ?2) AND opened_at < ?3 AND (?4 IS NULL OR submitter = ?4) \
               AND realm = ?6 ORDER BY opened_at, number LIMIT ?5";
    let read =
        |row: &Row<'_>| (read_encoded(row, 0), read_text(row, 4), read_number(row, 5), read_number(row, 6));
    let submitter = opened.submitter.as_ref().map(PartyKey::as_str);
    let values =
        params![from, after, opened.until.as_millis(), submitter, limit_of(CHUNK), opened.realm.as_str()];
    let rows = reading.all(sql, values, read)?;
    let cases = rows.iter().filter_map(|(record, id, ..)| record.decode::<Case>(id).ok());
    cases.filter(|case| opened.takes(case)).for_each(visit);
    Ok(rows.last().and_then(|(.., opened_at, number)| Some(((*opened_at)?, (*number)?))))
}

/// A chunk of cases in each look, so that no look holds the log back for long.
pub(super) fn each_case(
    readers: &Readers,
    opened: &Opened,
    visit: &mut dyn FnMut(Case),
) -> Result<(), StoreError> {
    let mut next = Some((opened.from.as_millis(), i64::MIN));
    while let Some(from) = next {
        next = readers.read(|reading| some_cases(reading, opened, from, visit))?;
    }
    Ok(())
}

/// Cases in one look.
const CHUNK: usize = 256;

/// The newest cases that a filter takes. Whether an application is decided its record alone says: then a chunk of cases
/// is gone through in each look, until there are as many as are wanted.
pub(super) fn cases(
    readers: &Readers,
    filter: &CaseFilter,
    limit: usize,
) -> Result<Listing<CaseSummary>, StoreError> {
    let (chunk, mut before) = (if filter.undecided { CHUNK } else { limit }, None);
    let mut listing = Listing::default();
    let is_full = |listing: &Listing<CaseSummary>| listing.items.len() + listing.damaged.len() >= limit;
    while !is_full(&listing) {
        let rows = readers.read(|reading| newest_cases(reading, filter, before, chunk))?;
        let is_last = rows.len() < chunk;
        before = rows.last().and_then(|(.., number)| *number);
        for (record, id, _) in rows {
            let read = record.decode::<Case>(&id);
            let is_other = filter.undecided && read.as_ref().is_ok_and(|case| !filter.takes(case));
            if is_other {
                continue;
            }
            or_damaged(read.map(|case| summary(&case)), &mut listing)?;
            if is_full(&listing) {
                break;
            }
        }
        if is_last || before.is_none() {
            break;
        }
    }
    Ok(listing)
}

/// Cases by what the indexes know of a filter, newest first, before this number.
fn newest_cases(
    reading: &Reading<'_>,
    filter: &CaseFilter,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<(Encoded, String, Option<i64>)>, StoreError> {
    let mut query = Query::new("SELECT version, form, checksum, record, id, number FROM cases");
    query.equal("realm", Some(filter.realm.as_str()));
    query.equal("state", filter.state.map(|state| state.as_str()));
    query.equal("submitter", filter.submitter.as_ref().map(PartyKey::as_str));
    // An application has its conversation with its agency, which leads to its case.
    let of_agency = match filter.realm {
        Realm::Production => {
            "id IN (SELECT case_id FROM correlation WHERE kind = 'conversation' AND party = ?)"
        }
        Realm::Practice => {
            "id IN (SELECT case_id FROM correlation WHERE kind = 'practice.conversation' AND party = ?)"
        }
    };
    query.condition(of_agency, filter.agency.as_ref().map(PartyKey::as_str));
    query.condition("number < ?", before);
    query.rows(reading, "number DESC", limit, |row| {
        (read_encoded(row, 0), read_text(row, 4), read_number(row, 5))
    })
}

pub(super) fn messages(
    reading: &Reading<'_>,
    filter: &MessageFilter,
    limit: usize,
) -> Result<Listing<StoredMessage>, StoreError> {
    let mut query = Query::new("SELECT version, form, checksum, record, sender, message_id FROM message");
    query.equal("sender", filter.sender.as_ref().map(PartyKey::as_str));
    query.equal("case_id", filter.case.as_ref().map(CaseId::as_str));
    query.equal("accepted", filter.accepted);
    query.equal("quarantined", filter.quarantined);
    query.records(reading, "number DESC", limit, |row| format!("{}/{}", read_text(row, 4), read_text(row, 5)))
}

pub(super) fn deliveries(
    reading: &Reading<'_>,
    filter: &DeliveryFilter,
    limit: usize,
) -> Result<Listing<Delivery>, StoreError> {
    let mut query = Query::new("SELECT version, form, checksum, record, id FROM delivery");
    query.equal("case_id", filter.case.as_ref().map(CaseId::as_str));
    query.equal("destination", filter.destination.as_ref().map(PartyKey::as_str));
    query.equal("state", filter.state.map(DeliveryState::as_str));
    let after = filter.after.as_ref().map(DeliveryId::as_str);
    query.condition("number > (SELECT number FROM delivery WHERE id = ?)", after);
    query.records(reading, "number", limit, |row| read_text(row, 4))
}

/// Messages that were not purged, after this place.
pub(super) fn kept_messages(
    reading: &Reading<'_>,
    after: u64,
    limit: usize,
) -> Result<Vec<Walked<MessageKey>>, StoreError> {
    let sql = "SELECT number, sender, message_id FROM message WHERE purged = 0 AND number > ? ORDER BY number LIMIT ?";
    let key = |row: &Row<'_>| {
        let sender = PartyKey::new(read_text(row, 1)).ok()?;
        Some(MessageKey { sender, message_id: MessageId::new(read_text(row, 2)).ok()? })
    };
    let read = |row: &Row<'_>| walked(row, "message", key(row));
    forward(after, reading.all(sql, params![number_of(after), limit_of(limit)], read)?)
}

/// Deliveries that were not purged, after this place.
pub(super) fn kept_deliveries(
    reading: &Reading<'_>,
    after: u64,
    limit: usize,
) -> Result<Vec<Walked<DeliveryId>>, StoreError> {
    let sql = "SELECT number, id FROM delivery WHERE purged = 0 AND number > ? ORDER BY number LIMIT ?";
    let read = |row: &Row<'_>| walked(row, "delivery", DeliveryId::new(read_text(row, 1)).ok());
    forward(after, reading.all(sql, params![number_of(after), limit_of(limit)], read)?)
}

/// What was walked, when it leads on.
fn forward<K>(after: u64, walked: Vec<Walked<K>>) -> Result<Vec<Walked<K>>, StoreError> {
    if let Some((last, _)) = walked.last() {
        onward(&after, *last)?;
    }
    Ok(walked)
}

/// The state with this name.
pub(super) fn state_of(name: &str) -> Option<DeliveryState> {
    DeliveryState::ALL.into_iter().find(|state| state.as_str() == name)
}

/// A query whose conditions depend on a filter.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new(select: &str) -> Self {
        Self { sql: select.to_owned(), values: Vec::new() }
    }

    /// Adds a condition when there is a value for it.
    fn equal<T: Into<Wanted>>(&mut self, column: &str, value: Option<T>) {
        self.condition(&format!("{column} = ?"), value);
    }

    /// The same, with a condition that names the value by its question mark.
    fn condition<T: Into<Wanted>>(&mut self, condition: &str, value: Option<T>) {
        if let Some(value) = value {
            let word = if self.values.is_empty() { "WHERE" } else { "AND" };
            self.sql.push_str(&format!(" {word} {condition}"));
            self.values.push(value.into().0);
        }
    }

    fn rows<T>(
        mut self,
        reading: &Reading<'_>,
        order: &str,
        limit: usize,
        read: impl Fn(&Row<'_>) -> T,
    ) -> Result<Vec<T>, StoreError> {
        self.sql.push_str(&format!(" ORDER BY {order} LIMIT ?"));
        self.values.push(Value::Integer(limit_of(limit)));
        reading.all(&self.sql, params_from_iter(self.values), read)
    }

    /// The records whose `version, form, checksum, record` are the first four columns.
    fn records<R: Record>(
        self,
        reading: &Reading<'_>,
        order: &str,
        limit: usize,
        key: impl Fn(&Row<'_>) -> String,
    ) -> Result<Listing<R>, StoreError> {
        let rows = self.rows(reading, order, limit, |row| (read_encoded(row, 0), key(row)))?;
        let mut listing = Listing::default();
        for (record, key) in rows {
            or_damaged(record.decode(&key), &mut listing)?;
        }
        Ok(listing)
    }
}

/// A value that a filter asks for.
struct Wanted(Value);

impl From<&str> for Wanted {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.to_owned()))
    }
}

impl From<i64> for Wanted {
    fn from(number: i64) -> Self {
        Self(Value::Integer(number))
    }
}

impl From<bool> for Wanted {
    fn from(flag: bool) -> Self {
        Self(Value::Integer(flag.into()))
    }
}

/// A number as the database has it: none there is as large as those that it cannot have.
pub(super) fn number_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
