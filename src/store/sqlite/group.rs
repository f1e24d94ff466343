//! One group of batches in one transaction. A conflict or a duplicate of one does not fail its neighbours: the
//! group is written again, each batch in a savepoint of its own. Few are refused, and a savepoint copies every
//! page that its batch changes.
//!
//! Whether a batch may be written is decided by the writing itself: a unique key that is taken, a version that
//! is not there any more (P3). Nothing is looked up first.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, params, params_from_iter};

use crate::model::{CaseId, DeliveryId, KeptHead, MessageKey, Realm, SequenceKey};

use super::super::audit::Link;
use super::super::prepare::{
    Prepared, PreparedApproval, PreparedCase, PreparedChange, PreparedDelivery, PreparedHead,
    PreparedMessage, PreparedSealed, PreparedSequence,
};
use super::super::record::correlation_sum;
use super::super::{AuditHead, CommitError, Conflict, CorrelationKey, Forgotten, Unchanged};
use super::columns;

/// Why a batch, or the whole transaction, is not written.
pub(super) enum Refusal {
    /// This batch only.
    Batch(CommitError),
    /// The engine failed: everything ends (P10).
    Engine(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

/// Commits a group. Gives what became of each batch, moves `head` to the last audit entry, and adds to `freed`
/// the files of payloads that lost a record. After an error the transaction is given up, which in a write-ahead
/// log needs no sync.
pub(super) fn commit<'a>(
    connection: &Connection,
    group: impl Iterator<Item = &'a Prepared> + Clone,
    head: &mut AuditHead,
    freed: &mut Vec<String>,
) -> rusqlite::Result<Vec<Result<(), CommitError>>> {
    let freed_before = freed.len();
    let outcomes = all(connection, group.clone(), head, freed).or_else(|refusal| match refusal {
        Refusal::Engine(error) => Err(error),
        Refusal::Batch(_) => {
            run(connection, "ROLLBACK")?;
            freed.truncate(freed_before);
            each(connection, group, head, freed)
        }
    });
    if outcomes.is_err() {
        // The engine may have given it up already; then there is nothing to roll back.
        drop(run(connection, "ROLLBACK"));
    }
    outcomes
}

/// Commits the whole group, or nothing of it.
fn all<'a>(
    connection: &Connection,
    group: impl Iterator<Item = &'a Prepared>,
    head: &mut AuditHead,
    freed: &mut Vec<String>,
) -> Result<Vec<Result<(), CommitError>>, Refusal> {
    run(connection, "BEGIN IMMEDIATE")?;
    let mut next = *head;
    let mut outcomes = Vec::new();
    for batch in group {
        next = write(connection, batch, next, freed)?;
        outcomes.push(Ok(()));
    }
    run(connection, "COMMIT")?;
    *head = next;
    Ok(outcomes)
}

/// Commits those of a group that are not refused.
fn each<'a>(
    connection: &Connection,
    group: impl Iterator<Item = &'a Prepared>,
    head: &mut AuditHead,
    freed: &mut Vec<String>,
) -> rusqlite::Result<Vec<Result<(), CommitError>>> {
    run(connection, "BEGIN IMMEDIATE")?;
    let mut next = *head;
    let mut outcomes = Vec::new();
    for batch in group {
        run(connection, "SAVEPOINT batch")?;
        let outcome = match write(connection, batch, next, freed) {
            Ok(moved) => {
                next = moved;
                Ok(())
            }
            Err(Refusal::Batch(refusal)) => {
                run(connection, "ROLLBACK TO batch")?;
                Err(refusal)
            }
            Err(Refusal::Engine(error)) => return Err(error),
        };
        run(connection, "RELEASE batch")?;
        outcomes.push(outcome);
    }
    run(connection, "COMMIT")?;
    *head = next;
    Ok(outcomes)
}

fn write(
    connection: &Connection,
    batch: &Prepared,
    mut head: AuditHead,
    freed: &mut Vec<String>,
) -> Result<AuditHead, Refusal> {
    if let Some(message) = &batch.message {
        write_message(connection, message)?;
    }
    if let Some(changed) = &batch.changed {
        change_message(connection, changed, freed)?;
    }
    for unchanged in &batch.unchanged {
        check_unchanged(connection, unchanged)?;
    }
    if let Some(case) = &batch.case {
        write_case(connection, case)?;
    }
    for delivery in &batch.deliveries {
        write_delivery(connection, delivery, freed)?;
    }
    for approval in &batch.approvals {
        write_approval(connection, approval)?;
    }
    for sequence in &batch.sequences {
        write_sequence(connection, sequence)?;
    }
    if let Some(forgotten) = &batch.forgotten {
        forget(connection, forgotten)?;
    }
    for entry in &batch.audit {
        head = head.then(&entry.text);
        let Link { sequence, form, checksum, text, hash } = Link::of(head, entry.text.clone());
        let case = entry.case.as_ref().map(CaseId::as_str);
        run_with(
            connection,
            "INSERT INTO audit (number, case_id, form, checksum, record, hash, about) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![sequence.cast_signed(), case, form, checksum, text, hash, entry.about],
        )?;
    }
    if let Some(signed) = &batch.head {
        write_head(connection, signed)?;
    }
    Ok(head)
}

/// One that is there already stays, as it may stand elsewhere too; one that is damaged is mended.
fn write_head(connection: &Connection, signed: &PreparedHead) -> Result<(), Refusal> {
    let entries = signed.entries.cast_signed();
    let sql = "SELECT version, form, checksum, record FROM head WHERE entries = ?";
    let mut statement = connection.prepare_cached(sql)?;
    let kept = statement.query_row([entries], |row| Ok(columns::read_encoded(row, 0))).optional()?;
    if kept.is_some_and(|kept| kept.decode::<KeptHead>(&signed.entries.to_string()).is_ok()) {
        return Ok(());
    }
    run_with(
        connection,
        "INSERT OR REPLACE INTO head (entries, version, form, checksum, record) VALUES (?, ?, ?, ?, ?)",
        params_from_iter([Value::Integer(entries)].into_iter().chain(columns::encoded(&signed.encoded))),
    )?;
    Ok(())
}

fn write_message(connection: &Connection, message: &PreparedMessage) -> Result<(), Refusal> {
    let columns = columns::message(&message.new.record).into_iter().chain(columns::encoded(&message.encoded));
    let number: Option<i64> = query(
        connection,
        "INSERT INTO message (sender, message_id, received_at, accepted, quarantined, case_id, purged, version, form, \
         checksum, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (sender, message_id) DO NOTHING RETURNING number",
        params_from_iter(columns),
    )?;
    let number = number.ok_or(Refusal::Batch(CommitError::Duplicate))?;
    run_with(
        connection,
        "INSERT INTO body (owner, digest, octets) VALUES (?, ?, ?)",
        params![number, message.body.digest.to_string(), message.body.inline().as_deref()],
    )?;
    if let Some(response) = &message.response {
        write_sealed(connection, "response", number, response)?;
    }
    Ok(())
}

fn change_message(
    connection: &Connection,
    changed: &PreparedChange,
    freed: &mut Vec<String>,
) -> Result<(), Refusal> {
    let key = &changed.write.record.key;
    let columns = columns::message(&changed.write.record).into_iter();
    let columns = columns.chain(columns::encoded(&changed.encoded));
    let version = Value::Integer(changed.write.based_on.cast_signed());
    let number: Option<i64> = query(
        connection,
        "UPDATE message SET received_at = ?3, accepted = ?4, quarantined = ?5, case_id = ?6, purged = ?7, \
         version = ?8, form = ?9, checksum = ?10, record = ?11 \
         WHERE sender = ?1 AND message_id = ?2 AND version = ?12 RETURNING number",
        params_from_iter(columns.chain([version])),
    )?;
    if let Some(number) = number {
        if changed.write.record.purged.is_some() {
            remove(connection, "body", number, freed)?;
            remove(connection, "response", number, freed)?;
        }
        return Ok(());
    }
    let found = message_version(connection, key)?;
    Err(Refusal::Batch(CommitError::Conflict(Conflict::Message { key: key.clone(), found })))
}

/// What a batch rests on is as it was loaded.
fn check_unchanged(connection: &Connection, unchanged: &Unchanged) -> Result<(), Refusal> {
    let conflict = match unchanged {
        Unchanged::Case(id, based_on) => {
            let found = version(connection, "SELECT version FROM cases WHERE id = ?", id.as_str())?;
            (found != Some(*based_on)).then(|| Conflict::Case { id: id.clone(), found })
        }
        Unchanged::Message(key, based_on) => {
            let found = message_version(connection, key)?;
            (found != Some(*based_on)).then(|| Conflict::Message { key: key.clone(), found })
        }
    };
    conflict.map_or(Ok(()), |conflict| Err(Refusal::Batch(CommitError::Conflict(conflict))))
}

/// Removes octets; the files that they stood in are named, for whoever sweeps.
fn remove(
    connection: &Connection,
    home: &'static str,
    owner: i64,
    freed: &mut Vec<String>,
) -> Result<(), Refusal> {
    let sql = format!("DELETE FROM {home} WHERE owner = ? RETURNING digest, octets IS NULL");
    let mut statement = connection.prepare_cached(&sql)?;
    let gone = statement.query_map([owner], |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)))?;
    for gone in gone {
        let (digest, in_file) = gone?;
        freed.extend(in_file.then_some(digest));
    }
    let mut statement =
        connection.prepare_cached("DELETE FROM piece WHERE home = ? AND owner = ? RETURNING file")?;
    for file in statement.query_map(params![home, owner], |row| row.get(0))? {
        freed.push(file?);
    }
    Ok(())
}

fn write_case(connection: &Connection, case: &PreparedCase) -> Result<(), Refusal> {
    let id = &case.write.case.id;
    let columns = columns::case(&case.write.case).into_iter().chain(columns::encoded(&case.encoded));
    let number: Option<i64> = match case.write.based_on {
        None => query(
            connection,
            "INSERT INTO cases (id, realm, state, submitter, opened_at, due, payment_due, version, form, \
             checksum, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO NOTHING RETURNING number",
            params_from_iter(columns),
        ),
        Some(version) => query(
            connection,
            "UPDATE cases SET realm = ?2, state = ?3, submitter = ?4, opened_at = ?5, due = ?6, \
             payment_due = ?7, version = ?8, form = ?9, checksum = ?10, record = ?11 \
             WHERE id = ?1 AND version = ?12 RETURNING number",
            params_from_iter(columns.chain([Value::Integer(version.cast_signed())])),
        ),
    }?;
    if number.is_none() {
        let found = version(connection, "SELECT version FROM cases WHERE id = ?", id.as_str())?;
        return Err(Refusal::Batch(CommitError::Conflict(Conflict::Case { id: id.clone(), found })));
    }
    let realm = case.write.case.realm;
    case.write.correlations.iter().try_for_each(|key| write_correlation(connection, realm, key, id))
}

fn write_approval(connection: &Connection, approval: &PreparedApproval) -> Result<(), Refusal> {
    let key = &approval.write.approval.key;
    let columns = columns::approval(&approval.write.approval).into_iter();
    let columns = columns.chain(columns::encoded(&approval.encoded));
    let number: Option<i64> = match approval.write.based_on {
        None => query(
            connection,
            "INSERT INTO approval (realm, agency, text, due, version, form, checksum, record) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (text, agency, realm) DO NOTHING RETURNING number",
            params_from_iter(columns),
        ),
        Some(version) => query(
            connection,
            "UPDATE approval SET due = ?4, version = ?5, form = ?6, checksum = ?7, record = ?8 \
             WHERE text = ?3 AND agency = ?2 AND realm = ?1 AND version = ?9 RETURNING number",
            params_from_iter(columns.chain([Value::Integer(version.cast_signed())])),
        ),
    }?;
    if number.is_some() {
        return Ok(());
    }
    let sql = "SELECT version FROM approval WHERE text = ? AND agency = ? AND realm = ?";
    let values = params![&*key.number, key.agency.as_str(), key.realm.as_str()];
    let found: Option<i64> = query(connection, sql, values)?;
    let found = found.map(i64::cast_unsigned);
    Err(Refusal::Batch(CommitError::Conflict(Conflict::Approval { key: key.clone(), found })))
}

fn write_sequence(connection: &Connection, sequence: &PreparedSequence) -> Result<(), Refusal> {
    let key = &sequence.write.sequence.key;
    let columns = columns::sequence(&sequence.write.sequence).into_iter();
    let columns = columns.chain(columns::encoded(&sequence.encoded));
    let number: Option<i64> = match sequence.write.based_on {
        None => query(
            connection,
            "INSERT INTO sequence (direction, cpa_id, conversation_id, early, due, version, form, checksum, \
             record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (conversation_id, cpa_id, direction) DO NOTHING RETURNING number",
            params_from_iter(columns),
        ),
        Some(version) => query(
            connection,
            "UPDATE sequence SET early = ?4, due = ?5, version = ?6, form = ?7, checksum = ?8, record = ?9 \
             WHERE conversation_id = ?3 AND cpa_id = ?2 AND direction = ?1 AND version = ?10 \
             RETURNING number",
            params_from_iter(columns.chain([Value::Integer(version.cast_signed())])),
        ),
    }?;
    if number.is_some() {
        return Ok(());
    }
    sequence_conflict(connection, key)
}

fn forget(connection: &Connection, forgotten: &Forgotten) -> Result<(), Refusal> {
    let Forgotten { key, based_on } = forgotten;
    let gone = run_with(
        connection,
        "DELETE FROM sequence WHERE conversation_id = ? AND cpa_id = ? AND direction = ? AND version = ?",
        params![
            key.conversation_id.as_str(),
            key.cpa_id.as_str(),
            key.direction.as_str(),
            based_on.cast_signed()
        ],
    )?;
    if gone > 0 { Ok(()) } else { sequence_conflict(connection, key) }
}

/// Why a sequence was not written: another version of it is stored, or none.
fn sequence_conflict(connection: &Connection, key: &SequenceKey) -> Result<(), Refusal> {
    let sql = "SELECT version FROM sequence WHERE conversation_id = ? AND cpa_id = ? AND direction = ?";
    let values = params![key.conversation_id.as_str(), key.cpa_id.as_str(), key.direction.as_str()];
    let found: Option<i64> = query(connection, sql, values)?;
    let found = found.map(i64::cast_unsigned);
    Err(Refusal::Batch(CommitError::Conflict(Conflict::Sequence { key: key.clone(), found })))
}

fn write_correlation(
    connection: &Connection,
    realm: Realm,
    key: &CorrelationKey,
    id: &CaseId,
) -> Result<(), Refusal> {
    let (kind, party, text) = key.columns(realm);
    let written = run_with(
        connection,
        "INSERT INTO correlation (kind, party, text, case_id, checksum) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (kind, party, text) DO UPDATE SET case_id = excluded.case_id, \
         checksum = excluded.checksum WHERE ?6 OR case_id = excluded.case_id",
        params![kind, party, text, id.as_str(), correlation_sum(realm, key, id.as_str()), key.moves()],
    )?;
    if written > 0 {
        return Ok(());
    }
    let owner: Option<String> = query(
        connection,
        "SELECT case_id FROM correlation WHERE kind = ? AND party = ? AND text = ?",
        params![kind, party, text],
    )?;
    // A damaged name of the owner still means that the key is taken.
    let owner = owner.and_then(|owner| CaseId::new(owner).ok()).unwrap_or_else(|| id.clone());
    Err(Refusal::Batch(CommitError::Conflict(Conflict::Correlation { key: key.clone(), owner })))
}

fn write_delivery(
    connection: &Connection,
    delivery: &PreparedDelivery,
    freed: &mut Vec<String>,
) -> Result<(), Refusal> {
    let value = &delivery.write.delivery;
    let columns = columns::delivery(value).into_iter().chain(columns::encoded(&delivery.encoded));
    let number: Option<i64> = match delivery.write.based_on {
        None => query(
            connection,
            "INSERT INTO delivery (id, destination, message_id, case_id, state, due, attempts, created_at, purged, \
             version, form, checksum, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING RETURNING number",
            params_from_iter(columns),
        ),
        Some(version) => query(
            connection,
            "UPDATE OR IGNORE delivery SET destination = ?2, message_id = ?3, case_id = ?4, state = ?5, \
             due = ?6, attempts = ?7, created_at = ?8, purged = ?9, version = ?10, form = ?11, checksum = ?12, \
             record = ?13 WHERE id = ?1 AND version = ?14 RETURNING number",
            params_from_iter(columns.chain([Value::Integer(version.cast_signed())])),
        ),
    }?;
    let Some(number) = number else {
        return Err(Refusal::Batch(CommitError::Conflict(delivery_conflict(connection, delivery)?)));
    };
    if let Some(sealed) = &delivery.sealed
        && write_sealed(connection, "sealed", number, sealed)? == 0
    {
        return Err(Refusal::Batch(CommitError::Conflict(Conflict::Sealed { id: value.id.clone() })));
    }
    if let Some(receipt) = &delivery.receipt {
        write_sealed(connection, "receipt", number, receipt)?;
    }
    if value.purged.is_some() {
        remove(connection, "sealed", number, freed)?;
        remove(connection, "receipt", number, freed)?;
    }
    Ok(())
}

/// Why a delivery could not be written.
fn delivery_conflict(connection: &Connection, delivery: &PreparedDelivery) -> Result<Conflict, Refusal> {
    let value = &delivery.write.delivery;
    let found = version(connection, "SELECT version FROM delivery WHERE id = ?", value.id.as_str())?;
    if found != delivery.write.based_on {
        return Ok(Conflict::Delivery { id: value.id.clone(), found });
    }
    let owner: Option<String> = query(
        connection,
        "SELECT id FROM delivery WHERE destination = ? AND message_id = ?",
        params![value.destination.as_str(), value.message_id.as_str()],
    )?;
    let owner = owner.and_then(|owner| DeliveryId::new(owner).ok()).unwrap_or_else(|| value.id.clone());
    Ok(Conflict::MessageId { owner })
}

/// Writes octets that were sealed; 0 when there are some already. A receipt takes the place of an earlier one.
fn write_sealed(
    connection: &Connection,
    home: &'static str,
    owner: i64,
    sealed: &PreparedSealed,
) -> Result<usize, Refusal> {
    let sql = match home {
        "response" => {
            "INSERT INTO response (owner, version, form, checksum, record, digest, octets) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner) DO NOTHING"
        }
        "receipt" => {
            "INSERT OR REPLACE INTO receipt (owner, version, form, checksum, record, digest, octets) \
             VALUES (?, ?, ?, ?, ?, ?, ?)"
        }
        _ => {
            "INSERT INTO sealed (owner, version, form, checksum, record, digest, octets) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner) DO NOTHING"
        }
    };
    let octets = sealed.blob.inline().map_or(Value::Null, |octets| Value::Blob(octets.into()));
    let digest = Value::Text(sealed.blob.digest.to_string());
    let values = [Value::Integer(owner)].into_iter().chain(columns::encoded(&sealed.encoded));
    let written = run_with(connection, sql, params_from_iter(values.chain([digest, octets])))?;
    if written > 0 {
        write_pieces(connection, home, owner, sealed)?;
    }
    Ok(written)
}

/// Keeps the files that octets stand in from being swept as long as these octets are there.
fn write_pieces(
    connection: &Connection,
    home: &'static str,
    owner: i64,
    sealed: &PreparedSealed,
) -> Result<(), Refusal> {
    if home == "receipt" {
        // Of an earlier receipt, whose place it takes.
        run_with(connection, "DELETE FROM piece WHERE home = ? AND owner = ?", params![home, owner])?;
    }
    for file in sealed.blob.files() {
        let sql = "INSERT INTO piece (home, owner, file) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        run_with(connection, sql, params![home, owner, file])?;
    }
    Ok(())
}

fn message_version(connection: &Connection, key: &MessageKey) -> Result<Option<u64>, Refusal> {
    let sql = "SELECT version FROM message WHERE sender = ? AND message_id = ?";
    let found: Option<i64> = query(connection, sql, params![key.sender.as_str(), key.message_id.as_str()])?;
    Ok(found.map(i64::cast_unsigned))
}

fn version(connection: &Connection, sql: &'static str, id: &str) -> Result<Option<u64>, Refusal> {
    let found: Option<i64> = query(connection, sql, [id])?;
    Ok(found.map(i64::cast_unsigned))
}

fn query<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &'static str,
    values: impl Params,
) -> Result<Option<T>, Refusal> {
    Ok(connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?)
}

fn run_with(connection: &Connection, sql: &'static str, values: impl Params) -> Result<usize, Refusal> {
    Ok(connection.prepare_cached(sql)?.execute(values)?)
}

fn run(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
