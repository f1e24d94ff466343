//! The audit record as it is kept: its entries, by number, case, message and event, and its signed heads.

use std::cmp::Reverse;

use rusqlite::{Row, params};

use crate::model::{CaseId, KeptHead, MessageId};

use super::super::audit::Link;
use super::super::lookup::or_damaged;
use super::super::record::Encoded;
use super::super::{AuditEntry, Listing, StoreError};
use super::columns::{read_encoded, read_link, read_number};
use super::listing::{limit_of, number_of};
use super::looks::onward;
use super::readers::Reading;

/// The newest entries about a case, oldest first.
pub(super) fn newest_of_timeline(
    reading: &Reading<'_>,
    case: &CaseId,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = "SELECT number, form, checksum, record, hash FROM audit WHERE case_id = ? \
               ORDER BY number DESC LIMIT ?";
    let links = reading.all(sql, params![case.as_str(), limit_of(limit)], read_link)?;
    let mut entries = decoded(links)?.items;
    entries.reverse();
    Ok(entries)
}

pub(super) fn timeline(reading: &Reading<'_>, case: &CaseId) -> Result<Listing<AuditEntry>, StoreError> {
    let sql = "SELECT number, form, checksum, record, hash FROM audit WHERE case_id = ? ORDER BY number";
    decoded(reading.all(sql, [case.as_str()], read_link)?)
}

pub(super) fn audit(
    reading: &Reading<'_>,
    first: u64,
    limit: usize,
) -> Result<Listing<AuditEntry>, StoreError> {
    decoded(links(reading, first, limit)?)
}

/// Entries of the audit record as they are kept.
pub(super) fn links(reading: &Reading<'_>, first: u64, limit: usize) -> Result<Vec<Link>, StoreError> {
    let sql =
        "SELECT number, form, checksum, record, hash FROM audit WHERE number >= ? ORDER BY number LIMIT ?";
    let links = reading.all(sql, params![number_of(first), limit_of(limit)], read_link)?;
    if let Some(last) = links.last() {
        onward(&first, last.sequence.saturating_add(1))?;
    }
    Ok(links)
}

/// Entries of this case or of none that name a message. One that is damaged names nothing.
pub(super) fn links_about(
    reading: &Reading<'_>,
    case: Option<&CaseId>,
    message_id: &MessageId,
) -> Result<Vec<Link>, StoreError> {
    let sql = "SELECT number, form, checksum, record, hash FROM audit WHERE case_id = ?1 \
               UNION ALL SELECT number, form, checksum, record, hash FROM audit WHERE about = ?2 ORDER BY number";
    let values = params![case.map(CaseId::as_str), message_id.as_str()];
    let mut links = reading.all(sql, values, read_link)?;
    links.retain(|link| link.names(message_id));
    Ok(links)
}

/// The last entry of this event that is of no case and names no message, up to this number.
pub(super) fn last_of_event(
    reading: &Reading<'_>,
    event: &str,
    up_to: u64,
) -> Result<Option<Link>, StoreError> {
    let sql = "SELECT number, form, checksum, record, hash FROM audit WHERE about = ? AND number <= ? \
               ORDER BY number DESC LIMIT 1";
    reading.one(sql, params![event, number_of(up_to)], read_link)
}

/// The head that speaks for the most entries below this number. One that is damaged is passed over: an earlier one
/// does as well.
pub(super) fn head_before(reading: &Reading<'_>, entries: u64) -> Result<Option<KeptHead>, StoreError> {
    let sql = "SELECT version, form, checksum, record, entries FROM head WHERE entries < ? \
               ORDER BY entries DESC LIMIT 1";
    let mut below = entries;
    loop {
        let found = reading.one(sql, [number_of(below)], read_head)?;
        let Some((record, entries)) = found else { return Ok(None) };
        match record.decode(&entries) {
            Err(StoreError::Damaged(_)) => {
                below = onward(&Reverse(below), Reverse(entries.parse().unwrap_or_default()))?.0;
            }
            head => return head.map(Some),
        }
    }
}

pub(super) fn audit_height(reading: &Reading<'_>) -> Result<u64, StoreError> {
    let last = reading.one("SELECT max(number) FROM audit", [], |row| read_number(row, 0))?;
    Ok(last.flatten().map_or(0, i64::cast_unsigned))
}

pub(super) fn heads(reading: &Reading<'_>, beyond: u64, limit: usize) -> Result<Vec<KeptHead>, StoreError> {
    let sql = "SELECT version, form, checksum, record, entries FROM head WHERE entries > ? \
               ORDER BY entries LIMIT ?";
    let mut listing = Listing::default();
    let mut beyond = beyond;
    // One that is damaged is the scrub's to tell: the next one speaks for its entries too.
    while listing.items.is_empty() {
        let found = reading.all(sql, params![number_of(beyond), limit_of(limit)], read_head)?;
        let Some((_, last)) = found.last() else { break };
        beyond = onward(&beyond, last.parse().unwrap_or(u64::MAX))?;
        for (record, entries) in found {
            or_damaged(record.decode(&entries), &mut listing)?;
        }
    }
    Ok(listing.items)
}

/// A head as it is kept, and the key that its checksum covers.
fn read_head(row: &Row<'_>) -> (Encoded, String) {
    (read_encoded(row, 0), read_number(row, 4).map_or(0, i64::cast_unsigned).to_string())
}

fn decoded(links: Vec<Link>) -> Result<Listing<AuditEntry>, StoreError> {
    let mut listing = Listing::default();
    for link in links {
        or_damaged(link.decode(), &mut listing)?;
    }
    Ok(listing)
}
