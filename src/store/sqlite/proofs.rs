//! What a store proves of itself: the audit chain (P18) and the conservation law (P2); and what it holds.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use rusqlite::Row;

use crate::model::{Delivery, PartyKey, TreeHead};

use super::super::account::Accounting;
use super::super::audit::Walk;
use super::super::{AuditHead, AuditVerdict, Conservation, StoreError};
use super::Contents;
use super::chain::{audit_height, heads};
use super::columns::{read_encoded, read_link, read_number, read_text};
use super::listing::state_of;
use super::looks::{Looks, onward};
use super::readers::{Readers, Reading};
use super::schema::{WITH_APPROVALS, WITH_HEADS, WITH_PURGES, WITH_RECEIPTS, WITH_SEQUENCES};

/// Walks the audit chain, and holds each head that was signed over it against it on the way.
pub(super) fn verify_audit(mut looks: Looks<'_>, marked: AuditHead) -> Result<AuditVerdict, StoreError> {
    let mut walk = Walk::through(marked);
    let (mut broken, mut last) = (None, 0);
    let mut signed = Signed::of(looks.format);
    let readers = looks.readers;
    looks.links_from(0, |link| {
        last = link.sequence;
        broken = walk.take(link);
        if broken.is_none()
            && let Some(head) = signed.over(readers, last)?
        {
            broken = walk.pass(head);
        }
        Ok(if broken.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    match broken {
        Some(broken) => Ok(broken),
        None => Ok(walk.end(signed.beyond_all(readers)?.as_ref())),
    }
}

/// The signed heads, one after the other. One that is damaged is passed over: the scrub tells of it.
struct Signed {
    format: u32,
    /// The next one, once it was looked for.
    next: Option<Option<TreeHead>>,
}

impl Signed {
    const fn of(format: u32) -> Self {
        Self { format, next: None }
    }

    /// The one over so many entries. Asked with numbers that grow.
    fn over(&mut self, readers: &Readers, entries: u64) -> Result<Option<&TreeHead>, StoreError> {
        if self.next.is_none() || self.next.iter().flatten().any(|next| next.entries < entries) {
            self.next = Some(readers.read(|reading| self.first_beyond(reading, entries - 1))?);
        }
        Ok(self.next.iter().flatten().find(|next| next.entries == entries))
    }

    /// One over more entries than there are. Both are of one instant: entries and heads may be made meanwhile.
    fn beyond_all(&self, readers: &Readers) -> Result<Option<TreeHead>, StoreError> {
        readers.read(|reading| self.first_beyond(reading, audit_height(reading)?))
    }

    fn first_beyond(&self, reading: &Reading<'_>, entries: u64) -> Result<Option<TreeHead>, StoreError> {
        if self.format < WITH_HEADS {
            return Ok(None);
        }
        Ok(heads(reading, entries, 1)?.pop().map(|kept| kept.signed.head))
    }
}

/// Computes the conservation law; the audit record first, so that a delivery made meanwhile is no fault.
pub(super) fn conservation(mut looks: Looks<'_>) -> Result<Conservation, StoreError> {
    let mut accounting = Accounting::default();
    let mut behind = 0;
    let sql =
        "SELECT number, form, checksum, record, hash FROM audit WHERE number > ? ORDER BY number LIMIT ?";
    looks.each("audit", sql, read_link, |reading, link| {
        behind = link.sequence.saturating_add(1);
        match link.decode() {
            Ok(entry) => {
                // A row is there before the entry that names it can be read.
                let named = entry.entry.delivery.as_ref();
                let row = named.map(|delivery| reading.number_of_delivery(delivery)).transpose()?;
                accounting.entry(entry, row.flatten());
            }
            Err(StoreError::Damaged(damage)) => accounting.damaged(&damage, None),
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    let sql = "SELECT number, version, form, checksum, record, id, destination, state FROM delivery \
               WHERE number > ? ORDER BY number LIMIT ?";
    let read =
        |row: &Row<'_>| (read_number(row, 0), read_encoded(row, 1), [5, 6, 7].map(|at| read_text(row, at)));
    looks.each("deliveries", sql, read, |_, (number, record, [id, destination, state])| {
        match record.decode::<Delivery>(&id) {
            Ok(delivery) => {
                accounting.row(number.unwrap_or(-1).cast_unsigned(), delivery, &destination, &state);
            }
            Err(StoreError::Damaged(damage)) => {
                accounting.damaged(&damage, PartyKey::new(destination).ok().zip(state_of(&state)));
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
            Err(_) => below = onward(&Reverse(below), Reverse(number))?.0,
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
