//! What the key columns of a row repeat from its record, and how rows are read without trusting them.
//!
//! The writer fills the columns from here and a scrub compares them with it, so there is one answer only.

use rusqlite::Row;
use rusqlite::types::Value;

use crate::model::{
    Approval, Case, ConversationId, CpaId, Delivery, Direction, KeptHead, Sequence, SequenceKey,
    StoredMessage,
};

use super::super::audit::Link;
use super::super::record::Encoded;
use super::super::tables::is_scheduled;

/// `sender, message_id, received_at, accepted, quarantined, case_id, purged`.
pub(super) fn message(record: &StoredMessage) -> [Value; 7] {
    [
        text(record.key.sender.as_str()),
        text(record.key.message_id.as_str()),
        Value::Integer(record.received_at.as_millis()),
        Value::Integer(record.accepted.into()),
        Value::Integer(record.quarantined.into()),
        record.case.as_ref().map_or(Value::Null, |case| text(case.as_str())),
        Value::Integer(record.purged.is_some().into()),
    ]
}

/// `id, realm, state, submitter, opened_at, due, payment_due`.
pub(super) fn case(record: &Case) -> [Value; 7] {
    [
        text(record.id.as_str()),
        text(record.realm.as_str()),
        text(record.state.as_str()),
        record.submitter.as_ref().map_or(Value::Null, |party| text(party.as_str())),
        Value::Integer(record.opened_at.as_millis()),
        record.due.map_or(Value::Null, |due| Value::Integer(due.as_millis())),
        record.payment_due.map_or(Value::Null, |due| Value::Integer(due.as_millis())),
    ]
}

/// `id, destination, message_id, case_id, state, due, attempts, created_at, purged`.
pub(super) fn delivery(record: &Delivery) -> [Value; 9] {
    [
        text(record.id.as_str()),
        text(record.destination.as_str()),
        text(record.message_id.as_str()),
        record.case.as_ref().map_or(Value::Null, |case| text(case.as_str())),
        text(record.state.as_str()),
        if is_scheduled(record.state) { Value::Integer(record.due.as_millis()) } else { Value::Null },
        Value::Integer(record.attempts.into()),
        Value::Integer(record.created_at.as_millis()),
        Value::Integer(record.purged.is_some().into()),
    ]
}

/// `entries`.
pub(super) fn head(record: &KeptHead) -> [Value; 1] {
    [Value::Integer(record.signed.head.entries.cast_signed())]
}

/// `realm, agency, text, due`.
pub(super) fn approval(record: &Approval) -> [Value; 4] {
    [
        text(record.key.realm.as_str()),
        text(record.key.agency.as_str()),
        text(&record.key.number),
        record.due.map_or(Value::Null, |due| Value::Integer(due.as_millis())),
    ]
}

/// `direction, cpa_id, conversation_id, early, due`.
pub(super) fn sequence(record: &Sequence) -> [Value; 5] {
    [
        text(record.key.direction.as_str()),
        text(record.key.cpa_id.as_str()),
        text(record.key.conversation_id.as_str()),
        Value::Integer(i64::try_from(record.ahead()).unwrap_or(i64::MAX)),
        record.due.map_or(Value::Null, |due| Value::Integer(due.as_millis())),
    ]
}

/// The key of a sequence from its `direction, cpa_id, conversation_id`, which begin at column `first`.
pub(super) fn read_sequence_key(row: &Row<'_>, first: usize) -> Option<SequenceKey> {
    let direction = read_text(row, first);
    let direction = [Direction::Send, Direction::Receive].into_iter().find(|d| d.as_str() == direction)?;
    Some(SequenceKey {
        direction,
        cpa_id: CpaId::new(read_text(row, first + 1)).ok()?,
        conversation_id: ConversationId::new(read_text(row, first + 2)).ok()?,
    })
}

/// `version, form, checksum, record`.
pub(super) fn encoded(record: &Encoded) -> [Value; 4] {
    [
        Value::Integer(record.version.cast_signed()),
        Value::Integer(record.form.into()),
        Value::Integer(record.checksum.into()),
        text(&record.text),
    ]
}

/// The record whose `version, form, checksum, record` begin at column `first`. Damage of any kind makes it a
/// record whose checksum is wrong.
pub(super) fn read_encoded(row: &Row<'_>, first: usize) -> Encoded {
    let number = |at| read_number(row, at).unwrap_or(-1);
    Encoded {
        version: number(first).cast_unsigned(),
        form: u32::try_from(number(first + 1)).unwrap_or(u32::MAX),
        checksum: u32::try_from(number(first + 2)).unwrap_or(0),
        text: read_text(row, first + 3),
    }
}

/// The audit entry whose `number, form, checksum, record, hash` begin at column 0.
pub(super) fn read_link(row: &Row<'_>) -> Link {
    let number = |at| read_number(row, at).unwrap_or(-1);
    Link {
        sequence: number(0).cast_unsigned(),
        form: u32::try_from(number(1)).unwrap_or(u32::MAX),
        checksum: u32::try_from(number(2)).unwrap_or(0),
        text: read_text(row, 3),
        hash: read_text(row, 4),
    }
}

/// The text in a column; what is damaged becomes a text that no checksum fits.
pub(super) fn read_text(row: &Row<'_>, at: usize) -> String {
    let octets = row.get_ref(at).ok().and_then(|value| value.as_bytes().ok());
    String::from_utf8_lossy(octets.unwrap_or_default()).into_owned()
}

/// The number in a column, when it is one.
pub(super) fn read_number(row: &Row<'_>, at: usize) -> Option<i64> {
    row.get_ref(at).ok().and_then(|value| value.as_i64().ok())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
