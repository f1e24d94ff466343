//! Reading: a few connections that can only read, each look in a short transaction of its own, so that what is
//! loaded together is of one instant and the log can be checkpointed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, params};

use crate::model::{
    Approval, ApprovalKey, Case, CaseId, Delivery, DeliveryId, Digest, Filed, MessageKey, Octets, Piece,
    Realm, Sealed, Sequence, SequenceKey, Source, StoredMessage, TimelineEntry,
};

use super::super::lookup::Rows;
use super::super::payload::{PayloadFiles, checked, verified};
use super::super::record::{Encoded, Envelope, Span, correlation_sum};
use super::super::tables::shown_approval;
use super::super::{CorrelationKey, Damage, DeliveryLocator, Entity, Opened, StoreError, Versioned};
use super::chain;
use super::columns::{read_encoded, read_number, read_text};
use super::engine_error;
use super::listing;
use super::opening::tune;
use super::schema::Layout;

/// How the database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Beside whoever writes.
    Shared,
    /// Nobody has it open, and there is no log: nothing is made beside it.
    Still,
    /// Nobody has it open, and there is a log: it is read, its index is made in memory, and it is left as it is.
    Log,
}

/// The reading connections.
pub(super) struct Readers {
    database: PathBuf,
    way: Way,
    bodies: PayloadFiles,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn of(layout: &Layout) -> Self {
        Self::in_way(layout, Way::Shared)
    }

    pub(super) fn in_way(layout: &Layout, way: Way) -> Self {
        Self { database: layout.database(), way, bodies: layout.bodies(), idle: Mutex::new(Vec::new()) }
    }

    /// Reads as of one instant.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&Reading<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.lock().pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        let transaction = connection.unchecked_transaction().map_err(engine_error("beginning to read"))?;
        let found = look(&Reading { connection: &transaction, bodies: &self.bodies });
        transaction.finish().map_err(engine_error("ending to read"))?;
        let mut idle = self.lock();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        found
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let doing = engine_error("opening the database to read");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.way {
            Way::Shared => Connection::open_with_flags(&self.database, flags),
            Way::Still => {
                Connection::open_with_flags(never_changed(&self.database), flags | OpenFlags::SQLITE_OPEN_URI)
            }
            Way::Log => Connection::open_with_flags_and_vfs(&self.database, flags, "unix-none"),
        };
        let connection = connection.map_err(&doing)?;
        if self.way == Way::Log {
            // Without them its index would stand in a file, and closing would copy the log into the database.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(&doing)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&doing)?;
        }
        tune(&connection).map_err(&doing)?;
        Ok(connection)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One look at the database.
pub(super) struct Reading<'a> {
    pub(super) connection: &'a Connection,
    bodies: &'a PayloadFiles,
}

impl Reading<'_> {
    /// The first row of a query.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> T,
    ) -> Result<Option<T>, StoreError> {
        let doing = engine_error("reading");
        let mut statement = self.connection.prepare_cached(sql).map_err(&doing)?;
        statement.query_row(values, |row| Ok(read(row))).optional().map_err(doing)
    }

    /// Every row of a query.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl Fn(&Row<'_>) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let doing = engine_error("reading");
        let mut statement = self.connection.prepare_cached(sql).map_err(&doing)?;
        let rows = statement.query_map(values, |row| Ok(read(row))).map_err(&doing)?;
        rows.collect::<Result<_, _>>().map_err(doing)
    }

    /// Octets of a row, from the row or from their file, checked.
    pub(super) fn octets(&self, what: &str, kept: &Kept) -> Result<Octets, StoreError> {
        match &kept.inline {
            Some(octets) => verified(|| what.to_owned(), octets.clone(), &kept.digest),
            None => self.bodies.read(what, &kept.digest),
        }
    }

    /// Octets that stand partly in the row and partly in files, checked as they are read.
    fn joined(&self, what: &str, spans: &[Span], kept: &Kept) -> Result<Octets, StoreError> {
        let damaged =
            |detail: &str| StoreError::Damaged(Damage { what: what.to_owned(), detail: detail.to_owned() });
        let mut held = kept.inline.clone().unwrap_or_default();
        // However many ranges there are of it, a file is opened once.
        let mut opened: BTreeMap<Digest, Arc<dyn Source>> = BTreeMap::new();
        let pieces = spans.iter().map(|span| match span {
            Span::Held(bytes) if *bytes <= held.len() => Ok(Piece::Held(held.split_to(*bytes))),
            Span::Held(_) => Err(damaged("its octets are too few")),
            Span::Filed { file, start, bytes } => {
                let source = match opened.get(file) {
                    Some(source) => Arc::clone(source),
                    None => {
                        let whole = self.bodies.open(what, &file.to_string())?;
                        opened.insert(*file, Arc::clone(whole.source()));
                        Arc::clone(whole.source())
                    }
                };
                let filed = Filed::of(source, *start, *bytes);
                filed.map(Piece::Filed).ok_or_else(|| damaged("its file is too short"))
            }
        });
        let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
        let digest = kept.digest.parse().map_err(|_| damaged("its digest is none"))?;
        Ok(Octets::kept(pieces, digest))
    }

    /// Whether there is a payload file of this name, and not only one that is set aside.
    pub(super) fn has_file(&self, digest: &str) -> bool {
        self.bodies.has(digest)
    }

    /// Whether a query has a row.
    pub(super) fn has(&self, sql: &str, values: impl Params) -> Result<bool, StoreError> {
        Ok(self.one(sql, values, |_| ())?.is_some())
    }

    /// The number of the row of a delivery.
    pub(super) fn number_of_delivery(&self, id: &DeliveryId) -> Result<Option<u64>, StoreError> {
        let found =
            self.one("SELECT number FROM delivery WHERE id = ?", [id.as_str()], |row| read_number(row, 0))?;
        Ok(found.map(|number| number.unwrap_or(-1).cast_unsigned()))
    }

    /// Whether a record names the payload file with this digest.
    pub(super) fn is_named(&self, digest: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM body WHERE digest = ?1 AND octets IS NULL \
                   UNION ALL SELECT 1 FROM response WHERE digest = ?1 AND octets IS NULL \
                   UNION ALL SELECT 1 FROM sealed WHERE digest = ?1 AND octets IS NULL \
                   UNION ALL SELECT 1 FROM receipt WHERE digest = ?1 AND octets IS NULL \
                   UNION ALL SELECT 1 FROM piece WHERE file = ?1";
        Ok(self.one(sql, [digest], |_| ())?.is_some())
    }

    /// The digests of all octets that stand in files, by the tables themselves: an index may be damaged.
    pub(super) fn payload_files(&self) -> Result<Vec<String>, StoreError> {
        let mut named = Vec::new();
        for (table, sql) in [
            ("body", "SELECT digest FROM body NOT INDEXED WHERE octets IS NULL"),
            ("response", "SELECT digest FROM response NOT INDEXED WHERE octets IS NULL"),
            ("sealed", "SELECT digest FROM sealed NOT INDEXED WHERE octets IS NULL"),
            ("receipt", "SELECT digest FROM receipt NOT INDEXED WHERE octets IS NULL"),
            ("piece", "SELECT file FROM piece NOT INDEXED"),
        ] {
            // A store of an earlier format has not all of them.
            if self.one("SELECT 1 FROM sqlite_master WHERE name = ?", [table], |_| ())?.is_some() {
                named.extend(self.all(sql, [], |row| read_text(row, 0))?);
            }
        }
        named.sort_unstable();
        named.dedup();
        Ok(named)
    }

    /// The files that the octets of this row stand in beside it, as they are kept from being swept.
    pub(super) fn files_of(&self, home: &str, owner: i64) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT file FROM piece WHERE home = ? AND owner = ?";
        Ok(self.all(sql, params![home, owner], |row| read_text(row, 0))?.into_iter().collect())
    }

    /// The same octets, every one of them read.
    pub(super) fn checked_octets(&self, what: &str, kept: &Kept) -> Result<Octets, StoreError> {
        self.octets(what, kept).and_then(|octets| checked(what, octets))
    }

    /// What is sealed, every octet of it read.
    pub(super) fn checked_unseal(
        &self,
        what: &str,
        key: &str,
        row: &(Encoded, Kept),
    ) -> Result<Sealed, StoreError> {
        let sealed = self.unseal(what, key, row)?;
        checked(what, sealed.body.clone())?;
        Ok(sealed)
    }

    pub(super) fn unseal(&self, what: &str, key: &str, row: &(Encoded, Kept)) -> Result<Sealed, StoreError> {
        let Envelope { content_type, references, spans } = row.0.decode(key)?;
        let body = match spans.as_slice() {
            [] => self.octets(what, &row.1)?,
            spans => self.joined(what, spans, &row.1)?,
        };
        Ok(Sealed { content_type, body, references })
    }
}

/// Where octets are kept.
pub(super) struct Kept {
    pub(super) digest: String,
    pub(super) inline: Option<Bytes>,
}

impl Kept {
    /// From `digest, octets` that begin at column `first`.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Self {
        let octets = row.get_ref(first + 1).ok().and_then(|value| value.as_blob_or_null().ok().flatten());
        Self { digest: read_text(row, first), inline: octets.map(Bytes::copy_from_slice) }
    }

    /// The file of their own that they stand in, when they do.
    pub(super) fn file(&self) -> Option<&str> {
        self.inline.is_none().then_some(&*self.digest)
    }
}

impl Rows for Reading<'_> {
    fn message(&self, key: &MessageKey) -> Result<Option<Versioned<StoredMessage>>, StoreError> {
        let sql = "SELECT version, form, checksum, record FROM message WHERE sender = ? AND message_id = ?";
        let found = self.one(sql, parts(key), |row| read_encoded(row, 0))?;
        found
            .map(|record| Ok(Versioned { value: record.decode(&key.to_string())?, version: record.version }))
            .transpose()
    }

    fn sequence(&self, key: &SequenceKey) -> Result<Option<Versioned<Sequence>>, StoreError> {
        let sql = "SELECT version, form, checksum, record FROM sequence \
                   WHERE conversation_id = ? AND cpa_id = ? AND direction = ?";
        let values = [key.conversation_id.as_str(), key.cpa_id.as_str(), key.direction.as_str()];
        let found = self.one(sql, values, |row| read_encoded(row, 0))?;
        found
            .map(|record| Ok(Versioned { value: record.decode(&key.to_string())?, version: record.version }))
            .transpose()
    }

    fn open(&self, case: &CaseId) -> Result<Option<DeliveryId>, StoreError> {
        let sql = "SELECT id FROM delivery WHERE case_id = ? \
                   AND state NOT IN ('delivered', 'rejected', 'expired') LIMIT 1";
        let found = self.one(sql, [case.as_str()], |row| read_text(row, 0))?;
        let damaged = |id: String| {
            StoreError::Damaged(Damage { what: format!("delivery {id}"), detail: "its id".to_owned() })
        };
        found.map(|id| DeliveryId::new(id.clone()).map_err(|_| damaged(id))).transpose()
    }

    fn response(&self, key: &MessageKey) -> Result<Option<Sealed>, StoreError> {
        let sql = "SELECT r.version, r.form, r.checksum, r.record, r.digest, r.octets \
                   FROM message m JOIN response r ON r.owner = m.number WHERE m.sender = ? AND m.message_id = ?";
        let found = self.one(sql, parts(key), |row| (read_encoded(row, 0), Kept::read(row, 4)))?;
        found.map(|row| self.unseal(&format!("answer to {key}"), &key.to_string(), &row)).transpose()
    }

    fn body(&self, key: &MessageKey) -> Result<Option<Entity>, StoreError> {
        let sql = "SELECT m.version, m.form, m.checksum, m.record, b.digest, b.octets \
                   FROM message m JOIN body b ON b.owner = m.number WHERE m.sender = ? AND m.message_id = ?";
        let found = self.one(sql, parts(key), |row| (read_encoded(row, 0), Kept::read(row, 4)))?;
        let Some((record, kept)) = found else { return Ok(None) };
        let record: StoredMessage = record.decode(&key.to_string())?;
        let body = self.octets(&format!("body of message {key}"), &kept)?;
        Ok(Some(Entity { content_type: record.content_type, body }))
    }

    fn correlated(&self, realm: Realm, key: &CorrelationKey) -> Result<Option<CaseId>, StoreError> {
        if let CorrelationKey::Case(id) = key {
            let found = self.one("SELECT 1 FROM cases WHERE id = ?", [id.as_str()], |_| ())?;
            return Ok(found.map(|()| id.clone()));
        }
        let sql = "SELECT case_id, checksum FROM correlation WHERE kind = ? AND party = ? AND text = ?";
        let (kind, party, text) = key.columns(realm);
        let found = self.one(sql, [kind, party, text], |row| (read_text(row, 0), read_number(row, 1)))?;
        let Some((case, checksum)) = found else { return Ok(None) };
        match CaseId::new(case.as_str()) {
            Ok(id) if checksum == Some(correlation_sum(realm, key, &case).into()) => Ok(Some(id)),
            _ => {
                let detail = "where it leads has a wrong checksum".to_owned();
                Err(StoreError::Damaged(Damage { what: format!("correlation {key}"), detail }))
            }
        }
    }

    fn case(&self, id: &CaseId) -> Result<Option<Versioned<Case>>, StoreError> {
        let sql = "SELECT version, form, checksum, record FROM cases WHERE id = ?";
        let found = self.one(sql, [id.as_str()], |row| read_encoded(row, 0))?;
        found
            .map(|record| Ok(Versioned { value: record.decode(id.as_str())?, version: record.version }))
            .transpose()
    }

    fn delivery(&self, locator: &DeliveryLocator) -> Result<Option<Versioned<Delivery>>, StoreError> {
        let read = |row: &Row<'_>| (read_encoded(row, 0), read_text(row, 4));
        let found = match locator {
            DeliveryLocator::Id(id) => {
                let sql = "SELECT version, form, checksum, record, id FROM delivery WHERE id = ?";
                self.one(sql, [id.as_str()], read)
            }
            DeliveryLocator::Sent { destination, message_id } => {
                let sql = "SELECT version, form, checksum, record, id FROM delivery \
                           WHERE destination = ? AND message_id = ?";
                self.one(sql, [destination.as_str(), message_id.as_str()], read)
            }
        }?;
        found
            .map(|(record, id)| Ok(Versioned { value: record.decode(&id)?, version: record.version }))
            .transpose()
    }

    fn approval(&self, key: &ApprovalKey) -> Result<Option<Versioned<Approval>>, StoreError> {
        let sql = "SELECT version, form, checksum, record FROM approval \
                   WHERE text = ? AND agency = ? AND realm = ?";
        let values = [&*key.number, key.agency.as_str(), key.realm.as_str()];
        let found = self.one(sql, values, |row| read_encoded(row, 0))?;
        found
            .map(|record| Ok(Versioned { value: record.decode(&key.to_string())?, version: record.version }))
            .transpose()
    }

    fn approvals(&self, realm: Realm, number: &str) -> Result<Vec<Versioned<Approval>>, StoreError> {
        let sql = "SELECT version, form, checksum, record, agency FROM approval WHERE text = ? AND realm = ?";
        let found =
            self.all(sql, [number, realm.as_str()], |row| (read_encoded(row, 0), read_text(row, 4)))?;
        let read = found.into_iter().map(|(record, agency)| {
            let key = shown_approval(&(realm, number.to_owned(), agency));
            Ok(Versioned { value: record.decode(&key)?, version: record.version })
        });
        read.collect()
    }

    fn named(&self, realm: Realm, text: &str, limit: usize) -> Result<Vec<CaseId>, StoreError> {
        listing::named_cases(self, realm, text, limit)
    }

    fn timeline(&self, case: &CaseId, limit: usize) -> Result<Vec<TimelineEntry>, StoreError> {
        let entries = chain::newest_of_timeline(self, case, limit)?;
        Ok(entries.into_iter().map(|entry| entry.entry).collect())
    }

    fn each_case(&self, opened: &Opened, visit: &mut dyn FnMut(Case)) -> Result<(), StoreError> {
        let mut next = Some((opened.from.as_millis(), i64::MIN));
        while let Some(from) = next {
            next = listing::some_cases(self, opened, from, visit)?;
        }
        Ok(())
    }

    fn sealed(&self, id: &DeliveryId) -> Result<Option<Sealed>, StoreError> {
        let sql = "SELECT s.version, s.form, s.checksum, s.record, s.digest, s.octets \
                   FROM delivery d JOIN sealed s ON s.owner = d.number WHERE d.id = ?";
        let found = self.one(sql, params![id.as_str()], |row| (read_encoded(row, 0), Kept::read(row, 4)))?;
        found.map(|row| self.unseal(&format!("octets of delivery {id}"), id.as_str(), &row)).transpose()
    }
}

/// What ended a delivery, as it came.
pub(super) fn receipt(reading: &Reading<'_>, id: &DeliveryId) -> Result<Option<Sealed>, StoreError> {
    let sql = "SELECT r.version, r.form, r.checksum, r.record, r.digest, r.octets \
               FROM delivery d JOIN receipt r ON r.owner = d.number WHERE d.id = ?";
    let found = reading.one(sql, params![id.as_str()], |row| (read_encoded(row, 0), Kept::read(row, 4)))?;
    found.map(|row| reading.unseal(&format!("receipt of delivery {id}"), id.as_str(), &row)).transpose()
}

/// The URI of a database that nobody changes (https://sqlite.org/uri.html): every octet that may mean something in it
/// is escaped.
fn never_changed(database: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for octet in database.as_os_str().as_bytes() {
        match octet {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(*octet),
            octet => uri.extend(format!("%{octet:02X}").into_bytes()),
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}

fn parts(key: &MessageKey) -> [&str; 2] {
    [key.sender.as_str(), key.message_id.as_str()]
}

/// Reading connections that are kept open between looks.
const IDLE_MAX: usize = 4;
