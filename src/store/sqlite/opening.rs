//! Opening: what a start sees to before anything is read, and what it reads back before anything is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::{AuditHead, StoreError};
use super::mark::Mark;
use super::schema::Layout;
use super::writer::copy_log;
use super::{columns, engine_error};

/// Writes the log again where it stands, and syncs it.
///
/// A process that died between a commit and its sync, or whose sync failed, leaves frames that everybody reads and that may
/// be nowhere but in memory. After a failed sync the system takes them for written, and no later sync would bring them to
/// the disk: so they are written once more. Else a repeat would be answered from what a power cut takes away (P1, P10).
/// The octets are those that stand there, so that whatever of them survives a cut is the same log.
pub(super) fn settle_log(layout: &Layout) -> Result<(), StoreError> {
    let path = layout.log();
    match File::options().read(true).write(true).open(&path) {
        Ok(log) => write_again(&log).map_err(|source| StoreError::Files {
            doing: "writing again, to sync it,",
            path,
            source,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::Files { doing: "opening", path, source }),
    }
}

fn write_again(file: &File) -> io::Result<()> {
    let mut octets = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let count = file.read_at(&mut octets, at)?;
        let Some(read) = octets.get(..count).filter(|read| !read.is_empty()) else { break };
        file.write_all_at(read, at)?;
        at += count as u64;
    }
    file.sync_all()
}

/// Refuses a database that is shorter than when all of its log was last copied into it: SQLite, which has its length from
/// the log, would read zeros where the end is missing.
pub(super) fn check_length(layout: &Layout, expected: u64) -> Result<(), StoreError> {
    let path = layout.database();
    let found = bytes_of(&path).map_err(|source| StoreError::Files {
        doing: "reading",
        path: path.clone(),
        source,
    })?;
    if found < expected { Err(StoreError::CutShort { path, expected, found }) } else { Ok(()) }
}

/// How long a file is.
pub(super) fn bytes_of(path: &Path) -> io::Result<u64> {
    path.metadata().map(|metadata| metadata.len())
}

/// The one connection that writes. What its durability rests on is set and read back.
pub(super) fn connect(layout: &Layout) -> Result<Connection, StoreError> {
    let doing = engine_error("opening the database");
    let connection = Connection::open(layout.database()).map_err(&doing)?;
    tune(&connection).map_err(&doing)?;
    for (name, value) in [
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", "0"),
        ("cache_size", "-16384"),
        ("temp_store", "MEMORY"),
    ] {
        connection.pragma_update(None, name, value).map_err(&doing)?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(&doing)?;
    let synchronous: i64 =
        connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(&doing)?;
    if mode != "wal" || synchronous != FULL {
        let reason = format!("journal_mode is {mode} and synchronous {synchronous}, not wal and {FULL}");
        return Err(StoreError::Engine { doing: "making commits durable", reason });
    }
    Ok(connection)
}

/// What every connection has: statements stay prepared, whatever values are bound to them (the library is built
/// with statistics on values, and would plan anew for each), and a lock of another connection is waited for.
pub(super) fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.busy_timeout(LOCK_WAIT)
}

/// Has the database itself know its new format before anything is committed in it: else earlier versions, which look there,
/// would open it as long as only the log knows (P19).
pub(super) fn keep_format(
    connection: &Connection,
    mark: &mut Mark,
    layout: &Layout,
) -> Result<(), StoreError> {
    let failed = |reason| StoreError::Engine { doing: "upgrading the database", reason };
    if copy_log(connection, mark, layout).map_err(failed)? {
        return Ok(());
    }
    Err(failed("another program reads it: end that, then start again".to_owned()))
}

/// The last audit entry, when the one that was marked is where it should be.
pub(super) fn audit_head(connection: &Connection, marked: AuditHead) -> Result<AuditHead, StoreError> {
    let doing = engine_error("reading the audit record");
    let entry = |sql: &str, number: u64| {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([number.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?, columns::read_text(row, 1)))
        })?;
        rows.collect::<Result<Vec<_>, _>>()
    };
    let behind = |found: &str| StoreError::Behind { marked: marked.sequence, found: found.to_owned() };
    if marked.sequence > 0 {
        let at_mark =
            entry("SELECT number, hash FROM audit WHERE number = ?", marked.sequence).map_err(&doing)?;
        match at_mark.first() {
            None => return Err(behind("but it is not there")),
            Some((_, hash)) if *hash != marked.hash.to_string() => {
                return Err(behind("but another entry stands there"));
            }
            Some(_) => {}
        }
    }
    let last = entry(
        "SELECT number, hash FROM audit WHERE number >= ? ORDER BY number DESC LIMIT 1",
        marked.sequence,
    )
    .map_err(&doing)?;
    let Some((number, hash)) = last.into_iter().next() else { return Ok(marked) };
    let hash = hash.parse().map_err(|_| behind("and the last entry has a damaged hash"))?;
    Ok(AuditHead { sequence: number.cast_unsigned(), hash })
}

/// SQLite before 3.51.3 can damage the database when the write-ahead log starts over.
pub(super) fn check_library(number: i32, found: &'static str) -> Result<(), StoreError> {
    if number >= 3_051_003 { Ok(()) } else { Err(StoreError::OldLibrary { found, needed: "3.51.3" }) }
}

/// Octets of the log that are written again at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Prepared statements that each connection keeps.
const STATEMENTS_MAX: usize = 64;
/// How long a connection waits for another's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// What `PRAGMA synchronous` answers for FULL.
const FULL: i64 = 2;
