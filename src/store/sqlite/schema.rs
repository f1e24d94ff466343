//! The tables, the directory they live in, and how both come into being.
//!
//! ```text
//! DIRECTORY/gwanmun.db   the database, with its -wal and -shm while it is open
//!           bodies/ab/…  octets over 256 KB by their SHA-256; `.orphan` what no record seems to name
//!           mark         the last audit entry that was committed, and the length of the database, outside the log
//!           restored     the manifest of the backup that it comes from, until what was open then is held
//!           rules, keys  what the gateway decided and verified with, kept by it
//!           lock         held by the process that has the store open
//!           sweeping     held while payload files are removed, and shared by backups that copy them
//! ```
//!
//! A new store is built beside its place, synced, and renamed into it: after a crash it is there whole or not
//! at all. The format stands in the header of the database file, so that a version that does not know it can
//! refuse without having touched anything (P19).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::StoreError;
use super::super::payload::{PayloadFiles, sync_directory};
use super::engine_error;
use super::mark::Mark;

/// The newest format of the tables that this version reads and writes.
///
/// Its number grows with the tables, and with what a record may say: whoever reads a record without a field of it writes it
/// without (P19; `a_record_gains_nothing_without_a_format_of_its_own_p19`).
pub(super) const FORMAT: u32 = 10;
/// The first format with approvals, and with realms.
pub(super) const WITH_APPROVALS: u32 = 4;
/// The first one with signed heads.
pub(super) const WITH_HEADS: u32 = 5;
/// The first one with an order of messages.
pub(super) const WITH_SEQUENCES: u32 = 6;
/// The first one with receipts.
pub(super) const WITH_RECEIPTS: u32 = 7;
/// The first one in which something can have been purged.
pub(super) const WITH_PURGES: u32 = 8;
/// The first one in which octets can stand partly in files of others.
pub(super) const WITH_PIECES: u32 = 9;

/// Where the parts of a store are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) directory: PathBuf,
}

/// Who has a store open.
pub(super) enum Holder {
    /// A gateway.
    Gateway,
    /// Nobody, and nobody can while this is held.
    Nobody(Option<Lock>),
}

/// A lock on a file, until it is dropped: also where a process that was started meanwhile still has the descriptor, as
/// each has between its fork and its exec.
#[derive(Debug)]
pub(super) struct Lock(pub(super) File);

impl Drop for Lock {
    fn drop(&mut self) {
        // The descriptor goes next, and with it the lock unless somebody else has it.
        self.0.unlock().unwrap_or_default();
    }
}

impl Layout {
    pub(super) fn database(&self) -> PathBuf {
        self.directory.join("gwanmun.db")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("gwanmun.db-wal")
    }

    pub(super) fn bodies(&self) -> PayloadFiles {
        PayloadFiles::at(self.directory.join("bodies"))
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.directory.join("mark")
    }

    /// Makes the name of the log durable, before the first commit goes into it. SQLite does so itself when it
    /// first syncs a log that it has made, but keeps to itself that it failed: then a power cut could take the log
    /// with all that was answered (P1, P10). The log has been there since the first reading, and goes when the
    /// store is closed, not before.
    pub(super) fn keep_name_of_log(&self) -> Result<(), StoreError> {
        sync_directory(&self.directory).map_err(|source| StoreError::Files {
            doing: "syncing",
            path: self.directory.clone(),
            source,
        })
    }

    /// Takes the lock that keeps a second process out; held until it is dropped.
    pub(super) fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.directory.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| StoreError::Files { doing: "opening", path, source })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: self.directory.clone() }),
            Err(fs::TryLockError::Error(source)) => {
                Err(StoreError::Files { doing: "locking", path: self.directory.clone(), source })
            }
        }
    }

    /// Keeps backups from beginning while payload files are removed; `None` when one is under way.
    pub(super) fn lock_to_sweep(&self) -> Result<Option<Lock>, StoreError> {
        let path = self.sweeping();
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file =
            file.map_err(|source| StoreError::Files { doing: "opening", path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(StoreError::Files { doing: "locking", path, source }),
        }
    }

    /// Keeps payload files from being removed, where there is a gateway that might.
    pub(super) fn lock_to_copy(&self) -> Result<Option<Lock>, StoreError> {
        let path = self.sweeping();
        match File::open(&path).and_then(|file| file.lock_shared().map(|()| file)) {
            Ok(file) => Ok(Some(Lock(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Files { doing: "locking", path, source }),
        }
    }

    fn sweeping(&self) -> PathBuf {
        self.directory.join("sweeping")
    }

    /// Who has the store open, without making anything. When nobody has, a copy without the file of the lock has no lock
    /// to hold either.
    pub(super) fn look_at_lock(&self) -> Result<Holder, StoreError> {
        let path = self.directory.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody(None)),
            Err(source) => return Err(StoreError::Files { doing: "opening", path, source }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Holder::Nobody(Some(Lock(file)))),
            Err(fs::TryLockError::WouldBlock) => Ok(Holder::Gateway),
            Err(fs::TryLockError::Error(source)) => Err(StoreError::Files { doing: "locking", path, source }),
        }
    }

    /// Whether there is nothing here yet.
    pub(super) fn is_vacant(&self) -> Result<bool, StoreError> {
        match fs::read_dir(&self.directory) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(source) => Err(StoreError::Files { doing: "reading", path: self.directory.clone(), source }),
        }
    }

    /// Makes a new store, whole or not at all.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        let mut aside = self.directory.clone().into_os_string();
        aside.push(".making");
        let aside = Self { directory: aside.into() };
        let files = |doing: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Files { doing, path, source }
        };
        match fs::remove_dir_all(&aside.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(files("clearing", &aside.directory)(error));
            }
            _ => fs::create_dir_all(&aside.directory).map_err(files("making", &aside.directory))?,
        }
        aside.make_database()?;
        File::open(aside.database())
            .and_then(|database| database.sync_all())
            .map_err(files("syncing", &aside.database()))?;
        aside.bodies().make().map_err(files("making", &aside.directory))?;
        Mark::make(&aside.mark())?;
        drop((aside.lock()?, aside.lock_to_sweep()?));
        sync_directory(&aside.directory).map_err(files("syncing", &aside.directory))?;
        fs::rename(&aside.directory, &self.directory).map_err(files("making", &self.directory))?;
        let parent = self.directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        sync_directory(parent).map_err(files("syncing", parent))
    }

    fn make_database(&self) -> Result<(), StoreError> {
        let doing = engine_error("making the database");
        let connection = Connection::open(self.database()).map_err(&doing)?;
        connection.pragma_update(None, "page_size", 8192).map_err(&doing)?;
        // Nothing of it counts before it is whole, so it needs no journal. One in a file would have SQLite sync the directory,
        // and closing a log would have it copied; of both it keeps to itself that they failed (P10).
        connection.pragma_update_and_check(None, "journal_mode", "memory", |_| Ok(())).map_err(&doing)?;
        connection.pragma_update(None, "synchronous", "full").map_err(&doing)?;
        let tables = [TABLES, APPROVAL, HEAD, SEQUENCE, RECEIPT, ABOUT, PURGED, PIECE].concat();
        let whole = format!(
            "BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; {tables} COMMIT;"
        );
        connection.execute_batch(&whole).map_err(&doing)?;
        keep_log(&connection).map_err(&doing)?;
        connection.close().map_err(|(_, error)| doing(error))?;
        self.check_format().map(drop)
    }

    /// Reads the format from the header of the database file, without opening it.
    pub(super) fn check_format(&self) -> Result<u32, StoreError> {
        let not_a_store =
            |reason: &str| StoreError::NotAStore { path: self.directory.clone(), reason: reason.to_owned() };
        let mut header = [0; 72];
        match File::open(self.database()).and_then(|mut file| file.read_exact(&mut header)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_a_store("it is not empty and has no gwanmun.db"));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(not_a_store("gwanmun.db is too short"));
            }
            Err(source) => return Err(StoreError::Files { doing: "reading", path: self.database(), source }),
            Ok(()) => {}
        }
        let number = |at: usize| {
            header
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |octets| u32::from_be_bytes(*octets))
        };
        if !header.starts_with(b"SQLite format 3\0") || number(68) != APPLICATION_ID {
            return Err(not_a_store("gwanmun.db is another kind of file"));
        }
        match number(60) {
            found if found > FORMAT => Err(StoreError::Newer { found, known: FORMAT }),
            found @ 1..=FORMAT => Ok(found),
            found => Err(not_a_store(&format!("gwanmun.db has format {found}, which never was"))),
        }
    }
}

/// Sets that commits go into a log. The statement gives its row before it writes anything, and tells only after it that a
/// sync failed: so it is read to its end (P10).
fn keep_log(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA journal_mode = wal")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Brings a store of an earlier format to the newest one, whole or not at all; says which format it had.
///
/// What this changes stands in the log. Earlier versions look for the format in the database: whoever calls this has the
/// log copied there before anything is written that they do not know (P19).
pub(super) fn upgrade(connection: &Connection) -> Result<Option<u32>, StoreError> {
    let doing = engine_error("upgrading the database");
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&doing)?;
    if found == FORMAT {
        return Ok(None);
    }
    if found > FORMAT {
        // As only the log knows. It stays where it is.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(&doing)?;
        return Err(StoreError::Newer { found, known: FORMAT });
    }
    let steps = UPGRADES.iter().filter(|(from, _)| *from >= found).map(|(_, sql)| *sql);
    let all: String = steps.collect();
    let sql = format!("BEGIN IMMEDIATE;{all}PRAGMA user_version = {FORMAT};COMMIT;");
    connection.execute_batch(&sql).map_err(doing)?;
    Ok(Some(found))
}

/// What each format is turned into the next one by. No case of format 1 has a watch over its deadlines: `due` is
/// filled when a case is written next. Before format 4 everything was production, and nobody paid a fee. No head of the
/// audit record was signed before format 5: the first one that is speaks for everything before it. No message had an
/// order before format 6. Before format 7 no receipt was kept, and an entry of no case was found by its number alone.
/// Before format 8 nothing was purged, and before format 9 no octets stood in a file of others. Format 10 has the tables of
/// format 9: its records may say more.
const UPGRADES: [(u32, &str); 11] = [
    (
        1,
        "ALTER TABLE cases ADD COLUMN due INTEGER; \
         CREATE INDEX cases_due ON cases (due, number) WHERE due IS NOT NULL;",
    ),
    (
        2,
        "CREATE INDEX cases_opened ON cases (opened_at, number); CREATE INDEX correlation_text ON correlation (text);",
    ),
    (
        3,
        "ALTER TABLE cases ADD COLUMN realm TEXT NOT NULL DEFAULT 'production'; \
         CREATE INDEX cases_practice ON cases (number) WHERE realm = 'practice'; \
         ALTER TABLE cases ADD COLUMN payment_due INTEGER; \
         CREATE INDEX cases_payment_due ON cases (payment_due, number) WHERE payment_due IS NOT NULL;",
    ),
    (3, APPROVAL),
    (4, HEAD),
    (5, SEQUENCE),
    (6, RECEIPT),
    (6, ABOUT),
    (
        6,
        "UPDATE audit SET about = coalesce(json_extract(record, '$.message_id'), json_extract(record, '$.event')) \
         WHERE case_id IS NULL AND json_valid(record);",
    ),
    (7, PURGED),
    (8, PIECE),
];

const APPROVAL: &str = "
CREATE TABLE approval (
    number INTEGER PRIMARY KEY,
    realm TEXT NOT NULL,
    agency TEXT NOT NULL,
    text TEXT NOT NULL,
    due INTEGER,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (text, agency, realm)
) STRICT;
CREATE INDEX approval_due ON approval (due, number) WHERE due IS NOT NULL;
";

/// How far conversations have come; `early` counts the messages in `record` that came before their turn, and the runs
/// of refused numbers.
const SEQUENCE: &str = "
CREATE TABLE sequence (
    number INTEGER PRIMARY KEY,
    direction TEXT NOT NULL,
    cpa_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    early INTEGER NOT NULL,
    due INTEGER,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (conversation_id, cpa_id, direction)
) STRICT;
CREATE INDEX sequence_due ON sequence (due, number) WHERE due IS NOT NULL;
CREATE INDEX sequence_early ON sequence (number) WHERE early > 0;
";

/// Signed heads of the audit record; `entries` is how many each speaks for.
const HEAD: &str = "
CREATE TABLE head (
    entries INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
";

/// What ended a delivery, as it came.
const RECEIPT: &str = "
CREATE TABLE receipt (
    owner INTEGER PRIMARY KEY REFERENCES delivery,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX receipt_file ON receipt (digest) WHERE octets IS NULL;
";

/// What an entry of no case is found by: the message that it names, else its event.
const ABOUT: &str = "
ALTER TABLE audit ADD COLUMN about TEXT;
CREATE INDEX audit_about ON audit (about, number) WHERE about IS NOT NULL;
";

/// What was purged is passed over when what might be is looked for.
const PURGED: &str = "
ALTER TABLE message ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_kept ON message (number) WHERE purged = 0;
ALTER TABLE delivery ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX delivery_kept ON delivery (number) WHERE purged = 0;
CREATE INDEX delivery_open ON delivery (case_id) WHERE state NOT IN ('delivered', 'rejected', 'expired');
";

/// Which files octets stand in that have no file of their own: `home` is the table of their row, `owner` its key there.
const PIECE: &str = "
CREATE TABLE piece (
    home TEXT NOT NULL,
    owner INTEGER NOT NULL,
    file TEXT NOT NULL,
    PRIMARY KEY (home, owner, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX piece_file ON piece (file);
";

/// `Gwan`, in the header of the database file.
const APPLICATION_ID: u32 = u32::from_be_bytes(*b"Gwan");

/// `record` is JSON text; `checksum` covers it, its key, `form` and `version`. The other columns repeat what is
/// in the record, for the indexes; a scrub compares them. Instants are milliseconds since the Unix epoch.
/// `due` is there while something is to happen to the delivery, or to be done about the case, by itself; `payment_due`
/// while a bank has to say what became of a payment.
const TABLES: &str = "
CREATE TABLE message (
    number INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    message_id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    case_id TEXT,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (sender, message_id)
) STRICT;
CREATE INDEX message_case ON message (case_id) WHERE case_id IS NOT NULL;
CREATE INDEX message_quarantined ON message (number) WHERE quarantined = 1;

CREATE TABLE body (
    owner INTEGER PRIMARY KEY REFERENCES message,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX body_file ON body (digest) WHERE octets IS NULL;

CREATE TABLE response (
    owner INTEGER PRIMARY KEY REFERENCES message,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX response_file ON response (digest) WHERE octets IS NULL;

CREATE TABLE cases (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    submitter TEXT,
    opened_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    due INTEGER,
    payment_due INTEGER,
    realm TEXT NOT NULL DEFAULT 'production'
) STRICT;
CREATE INDEX cases_practice ON cases (number) WHERE realm = 'practice';
CREATE INDEX cases_due ON cases (due, number) WHERE due IS NOT NULL;
CREATE INDEX cases_payment_due ON cases (payment_due, number) WHERE payment_due IS NOT NULL;
CREATE INDEX cases_opened ON cases (opened_at, number);
CREATE INDEX cases_state ON cases (state, number);
CREATE INDEX cases_submitter ON cases (submitter, number);

CREATE TABLE correlation (
    kind TEXT NOT NULL,
    party TEXT NOT NULL,
    text TEXT NOT NULL,
    case_id TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, party, text)
) STRICT, WITHOUT ROWID;
CREATE INDEX correlation_text ON correlation (text);

CREATE TABLE delivery (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    destination TEXT NOT NULL,
    message_id TEXT NOT NULL,
    case_id TEXT,
    state TEXT NOT NULL,
    due INTEGER,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (destination, message_id)
) STRICT;
CREATE INDEX delivery_due ON delivery (destination, due, number) WHERE due IS NOT NULL;
CREATE INDEX delivery_state ON delivery (destination, state, created_at);
CREATE INDEX delivery_case ON delivery (case_id, number) WHERE case_id IS NOT NULL;

CREATE TABLE sealed (
    owner INTEGER PRIMARY KEY REFERENCES delivery,
    version INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    octets BLOB
) STRICT;
CREATE INDEX sealed_file ON sealed (digest) WHERE octets IS NULL;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    case_id TEXT,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    record TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_case ON audit (case_id, number) WHERE case_id IS NOT NULL;
";
