//! Looking at a store without opening it: a stopped one, a copy, or one that a gateway has open right now.
//!
//! Promises: nothing in the directory is changed, not a byte and not a name: no upgrade, no checkpoint, no mark, no
//! index of the log beside it. What a killed gateway left in its log is read from the log. While a stopped store is
//! looked at, no gateway can open it.
//!
//! A read-only connection of SQLite would not do: in this mode it makes files beside the database, or rewrites the index
//! of the log. So a database without a log is opened as one that nobody changes, and one with a log without locks, its
//! index in our memory; both only when no gateway has it. Beside a running gateway we are an ordinary reader.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::model::{ChainEntry, KeptHead, Timestamp};

use super::super::audit::Link;
use super::super::payload::ORPHAN_NAME;
use super::super::{AuditHead, AuditVerdict, Between, Conservation, Damage, StoreError};
use super::backup::{self, Manifest};
use super::beside;
use super::chain;
use super::looks::Looks;
use super::mark::Mark;
use super::opening;
use super::proofs;
use super::readers::{Readers, Way};
use super::schema::{FORMAT, Holder, Layout, Lock, WITH_HEADS};
use super::scrub;

/// A store that is looked at.
pub struct Inspection {
    layout: Layout,
    format: u32,
    readers: Readers,
    is_running: bool,
    /// Keeps gateways out of a store that is not running.
    _lock: Option<Lock>,
}

/// What a store holds, by its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows of each table.
    pub rows: Vec<(&'static str, u64)>,
    /// Cases by state.
    pub cases: Vec<(String, u64)>,
    /// Deliveries by destination and state.
    pub deliveries: Vec<(String, String, u64)>,
    /// Octets of the database.
    pub database_bytes: u64,
    /// Octets of its log.
    pub log_bytes: u64,
    /// Files of large payloads.
    pub payload_files: u64,
    /// Octets in them.
    pub payload_bytes: u64,
}

impl Inspection {
    /// Looks at the store in this directory.
    ///
    /// # Errors
    /// When it is no store, of a newer version, or cannot be read.
    pub fn of(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let layout = Layout { directory: directory.into() };
        let format = layout.check_format()?;
        let (is_running, lock) = match layout.look_at_lock()? {
            Holder::Gateway => (true, None),
            Holder::Nobody(lock) => (false, lock),
        };
        let way = match layout.log().try_exists() {
            _ if is_running => Way::Shared,
            Ok(true) => Way::Log,
            _ => Way::Still,
        };
        let readers = Readers::in_way(&layout, way);
        Ok(Self { layout, format, readers, is_running, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.layout.directory
    }

    /// The format of its tables.
    #[must_use]
    pub const fn format(&self) -> u32 {
        self.format
    }

    /// The format that this version writes; a store of an earlier one is upgraded when a gateway opens it (P19).
    #[must_use]
    pub const fn newest_format() -> u32 {
        FORMAT
    }

    /// Whether a gateway has it open.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.is_running
    }

    /// The audit entry that its mark remembers; `None` when the mark is gone.
    ///
    /// # Errors
    /// When the mark is damaged or cannot be read.
    pub fn mark(&self) -> Result<Option<AuditHead>, StoreError> {
        Mark::look(&self.layout.mark())
    }

    /// Checks the conservation law from every record (P2).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn conservation(&self, between: Between<'_>) -> Result<Conservation, StoreError> {
        proofs::conservation(self.looks(between))
    }

    /// Reads every record, every body, every page and every index, and names what is damaged (P12).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scrub(&self, between: Between<'_>) -> Result<Vec<Damage>, StoreError> {
        let mut found = scrub::scrub(&self.readers, self.looks(between), &self.layout.bodies())?.damage;
        found.extend(beside::damaged(&self.layout.directory));
        if let Err(short) = opening::check_length(&self.layout, Mark::look_at_length(&self.layout.mark())) {
            found.push(Damage { what: "database".to_owned(), detail: short.to_string() });
        }
        Ok(found)
    }

    /// Walks the audit record, which must lead through this entry (P18).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn verify_audit(&self, marked: AuditHead, between: Between<'_>) -> Result<AuditVerdict, StoreError> {
        proofs::verify_audit(self.looks(between), marked)
    }

    /// The last entry of the audit record as it stands there, unproved.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.readers.read(proofs::last_link)
    }

    /// Entries of the audit record after this one as they are kept, nothing checked, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn chain(&self, beyond: u64, limit: usize) -> Result<Vec<ChainEntry>, StoreError> {
        let links = self.readers.read(|reading| chain::links(reading, beyond.saturating_add(1), limit))?;
        Ok(links.into_iter().map(Link::into_kept).collect())
    }

    /// Signed heads that speak for more than `beyond` entries, in order; none in a format that had none.
    ///
    /// # Errors
    /// When the store cannot be read, or one of them is damaged.
    pub fn heads(&self, beyond: u64, limit: usize) -> Result<Vec<KeptHead>, StoreError> {
        if self.format < WITH_HEADS {
            return Ok(Vec::new());
        }
        self.readers.read(|reading| chain::heads(reading, beyond, limit))
    }

    /// Files of payloads that no record names: what a crash left behind, set aside when the store is opened and removed by a
    /// scrub that finds nothing damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn orphans(&self) -> Result<u64, StoreError> {
        let named =
            self.readers.read(|reading| Ok(reading.payload_files()?.into_iter().collect::<BTreeSet<_>>()))?;
        let mut orphans = 0;
        let is_named = |name: &str| named.contains(name.strip_suffix(ORPHAN_NAME).unwrap_or(name));
        self.layout.bodies().each(|name, _| orphans += u64::from(!is_named(name)))?;
        Ok(orphans)
    }

    /// Makes a backup at a place where nothing is, as of one instant (P20); gives its manifest, and the payloads that
    /// are damaged in the store itself and could not be copied.
    ///
    /// # Errors
    /// When something stands there, or the backup cannot be written whole: then there is none.
    pub fn back_up(
        &self,
        to: &Path,
        made_at: Timestamp,
        between: Between<'_>,
    ) -> Result<(Manifest, Vec<Damage>), StoreError> {
        backup::back_up(&self.layout, &self.readers, to, made_at, between)
    }

    /// Counts what it holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn contents(&self) -> Result<Contents, StoreError> {
        let size = |path: PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
        let mut contents = self.readers.read(|reading| proofs::contents(reading, self.format))?;
        contents.database_bytes = size(self.layout.database());
        contents.log_bytes = size(self.layout.log());
        self.layout.bodies().each(|_, bytes| {
            contents.payload_files += 1;
            contents.payload_bytes += bytes;
        })?;
        Ok(contents)
    }

    fn looks<'a>(&'a self, between: Between<'a>) -> Looks<'a> {
        Looks::of(&self.readers, between).in_format(self.format)
    }
}
