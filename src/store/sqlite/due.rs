//! What is due and what waits, answered from partial indexes: nothing that is finished is passed over.

use std::collections::BTreeMap;

use rusqlite::{Params, Row, params};

use crate::model::{ApprovalKey, CaseId, DeliveryId, DeliveryState, PartyKey, Realm, Timestamp};

use super::super::{DueApproval, DueCase, DueDelivery, DueSequence, Queue, StoreError};
use super::columns::{read_number, read_sequence_key, read_text};
use super::listing::limit_of;
use super::readers::Reading;

/// What is due by `now`. A row whose name is damaged is left to the scrub.
pub(super) fn due(
    reading: &Reading<'_>,
    destination: &PartyKey,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<DueDelivery>, StoreError> {
    let sql = "SELECT id, due, attempts FROM delivery WHERE destination = ? AND due <= ? \
               ORDER BY due, number LIMIT ?";
    let rows = reading.all(sql, params![destination.as_str(), now.as_millis(), limit_of(limit)], read_due)?;
    Ok(rows.into_iter().flatten().collect())
}

/// What is to be posted and due later than `beyond`, latest first; few rows are ever looked at.
pub(super) fn stalled(
    reading: &Reading<'_>,
    destination: &PartyKey,
    beyond: Timestamp,
    limit: usize,
) -> Result<Vec<DueDelivery>, StoreError> {
    let sql = "SELECT id, due, attempts FROM delivery WHERE destination = ? AND due > ? \
               AND json_extract(record, '$.mailbox') IS NULL ORDER BY due DESC, number DESC LIMIT ?";
    let values = params![destination.as_str(), beyond.as_millis(), limit_of(limit)];
    Ok(reading.all(sql, values, read_due)?.into_iter().flatten().collect())
}

fn read_due(row: &Row<'_>) -> Option<DueDelivery> {
    Some(DueDelivery {
        id: DeliveryId::new(read_text(row, 0)).ok()?,
        due: Timestamp::from_millis(read_number(row, 1)?),
        attempts: u32::try_from(read_number(row, 2)?).ok()?,
    })
}

/// Cases that are scheduled. A row whose name is damaged is left to the scrub.
pub(super) fn scheduled_cases(reading: &Reading<'_>, limit: usize) -> Result<Vec<DueCase>, StoreError> {
    let sql = "SELECT id, due FROM cases WHERE due IS NOT NULL ORDER BY due, number LIMIT ?";
    due_cases(reading, sql, params![limit_of(limit)])
}

/// Cases with a payment that is under way.
pub(super) fn scheduled_payments(reading: &Reading<'_>, limit: usize) -> Result<Vec<DueCase>, StoreError> {
    let sql = "SELECT id, payment_due FROM cases WHERE payment_due IS NOT NULL \
               ORDER BY payment_due, number LIMIT ?";
    due_cases(reading, sql, params![limit_of(limit)])
}

/// Those of them that are due later than `beyond`, latest first.
pub(super) fn stalled_payments(
    reading: &Reading<'_>,
    beyond: Timestamp,
    limit: usize,
) -> Result<Vec<DueCase>, StoreError> {
    let sql = "SELECT id, payment_due FROM cases WHERE payment_due IS NOT NULL AND payment_due > ? \
               ORDER BY payment_due DESC, number DESC LIMIT ?";
    due_cases(reading, sql, params![beyond.as_millis(), limit_of(limit)])
}

fn due_cases(
    reading: &Reading<'_>,
    sql: &'static str,
    values: impl Params,
) -> Result<Vec<DueCase>, StoreError> {
    let read = |row: &Row<'_>| {
        let due = Timestamp::from_millis(read_number(row, 1)?);
        Some(DueCase { id: CaseId::new(read_text(row, 0)).ok()?, due })
    };
    let rows = reading.all(sql, values, read)?;
    Ok(rows.into_iter().flatten().collect())
}

/// Approvals that are scheduled. A row whose name is damaged is left to the scrub.
pub(super) fn scheduled_approvals(
    reading: &Reading<'_>,
    limit: usize,
) -> Result<Vec<DueApproval>, StoreError> {
    let sql =
        "SELECT agency, text, due, realm FROM approval WHERE due IS NOT NULL ORDER BY due, number LIMIT ?";
    let read = |row: &Row<'_>| {
        let due = Timestamp::from_millis(read_number(row, 2)?);
        let agency = PartyKey::new(read_text(row, 0)).ok()?;
        let realm =
            if read_text(row, 3) == Realm::Practice.as_str() { Realm::Practice } else { Realm::Production };
        Some(DueApproval { key: ApprovalKey { realm, agency, number: read_text(row, 1).into() }, due })
    };
    let rows = reading.all(sql, params![limit_of(limit)], read)?;
    Ok(rows.into_iter().flatten().collect())
}

/// Sequences that are scheduled. A row whose name is damaged is left to the scrub.
pub(super) fn scheduled_sequences(
    reading: &Reading<'_>,
    limit: usize,
) -> Result<Vec<DueSequence>, StoreError> {
    let sql = "SELECT direction, cpa_id, conversation_id, due FROM sequence WHERE due IS NOT NULL \
               ORDER BY due, number LIMIT ?";
    let read = |row: &Row<'_>| {
        let due = Timestamp::from_millis(read_number(row, 3)?);
        Some(DueSequence { key: read_sequence_key(row, 0)?, due })
    };
    let rows = reading.all(sql, params![limit_of(limit)], read)?;
    Ok(rows.into_iter().flatten().collect())
}

/// Jumps from destination to destination and to what is open there: what is finished is not passed over.
pub(super) fn queues(reading: &Reading<'_>) -> Result<BTreeMap<PartyKey, Queue>, StoreError> {
    let destinations = "WITH RECURSIVE each_one(destination) AS (\
         SELECT min(destination) FROM delivery UNION ALL \
         SELECT (SELECT min(destination) FROM delivery WHERE destination > each_one.destination) \
         FROM each_one WHERE each_one.destination IS NOT NULL) \
         SELECT destination FROM each_one WHERE destination IS NOT NULL";
    let of_state = "SELECT count(*), min(created_at) FROM delivery WHERE destination = ? AND state = ?";
    let mut queues = BTreeMap::new();
    let named = |row: &Row<'_>| PartyKey::new(read_text(row, 0)).ok();
    for destination in reading.all(destinations, [], named)?.into_iter().flatten() {
        let mut queue = Queue::default();
        for state in DeliveryState::OPEN {
            let values = params![destination.as_str(), state.as_str()];
            let found = reading.one(of_state, values, |row| (read_number(row, 0), read_number(row, 1)))?;
            if let Some((Some(count @ 1..), Some(oldest))) = found {
                queue.open.insert(state, count.cast_unsigned());
                let oldest = Timestamp::from_millis(oldest);
                queue.oldest = Some(queue.oldest.map_or(oldest, |known| known.min(oldest)));
            }
        }
        queues.insert(destination, queue);
    }
    Ok(queues)
}
