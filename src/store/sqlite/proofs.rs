//! What a store proves of itself: the audit chain (P18) and the conservation law (P2); and what it holds.

use std::ops::ControlFlow;

use rusqlite::Row;

use crate::model::{Delivery, DeliveryId, PartyKey};

use super::super::account::Accounting;
use super::super::audit::Walk;
use super::super::{AuditHead, AuditVerdict, Conservation, StoreError};
use super::Contents;
use super::columns::{read_encoded, read_number, read_text};
use super::listing::state_of;
use super::looks::Looks;
use super::readers::Reading;
use super::schema::{WITH_APPROVALS, WITH_HEADS, WITH_PURGES, WITH_RECEIPTS, WITH_SEQUENCES};

/// Walks the audit chain.
pub(super) fn verify_audit(mut looks: Looks<'_>, marked: AuditHead) -> Result<AuditVerdict, StoreError> {
    let mut walk = Walk::through(marked);
    let mut broken = None;
    looks.links_from(0, |link| {
        broken = walk.take(link);
        Ok(if broken.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(broken.unwrap_or_else(|| walk.end()))
}

/// Computes the conservation law; the audit record first, so that a delivery made meanwhile is no fault.
pub(super) fn conservation(mut looks: Looks<'_>) -> Result<Conservation, StoreError> {
    let mut accounting = Accounting::default();
    let mut behind = 0;
    looks.links_from(0, |link| {
        behind = link.sequence + 1;
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
    if accounting.is_contradicted() {
        looks.links_from(behind, |link| {
            if let Ok(entry) = link.decode() {
                accounting.entry_since(&entry);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(accounting.close())
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
