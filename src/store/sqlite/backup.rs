//! A backup of a store, also while a gateway writes to it (P20).
//!
//! ```text
//! BACKUP/manifest.json   format, audit head, every file with its octets and SHA-256
//!        store/          a store like any other, as of one instant
//! ```
//!
//! Promises: the database is copied within one look, so it is of one instant, and the payload files that its records name
//! are copied after that: a file is there before the record that names it. The mark is made anew from the copied audit
//! record. No payload file is removed meanwhile: what a purge frees goes after the backup. All is built aside, synced, and
//! renamed into its place: after a crash there is a whole backup or none. Nothing in the store is changed; as long as the
//! database is copied its log grows.
//!
//! Does not prove what it copies: that is for a verification of the backup, which reads it as it will be restored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use serde::{Deserialize, Serialize};

use super::super::payload::{Blob, checked, digest_of, sync_directory};
use super::super::{AuditHead, Between, Damage, Looked, StoreError};
use super::beside;
use super::engine_error;
use super::mark::Mark;
use super::proofs::last_link;
use super::readers::{Readers, Reading};
use super::schema::Layout;
use crate::model::{Digest, Timestamp};

/// What a backup holds, as its maker wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// When it was begun.
    pub made_at: Timestamp,
    /// Format of the tables.
    pub format: u32,
    /// Entries of the audit record.
    pub audit_entries: u64,
    /// Hash of the last one.
    pub audit_hash: Digest,
    /// Every file below `store`, with its octets and their SHA-256.
    pub files: BTreeMap<String, (u64, Digest)>,
}

impl Manifest {
    /// The manifest of the backup in this directory; `None` when there is none, as beside a store that is no backup.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read(backup: &Path) -> Result<Option<Self>, StoreError> {
        Self::of_file(backup, MANIFEST)
    }

    /// Where the store of a backup is.
    #[must_use]
    pub fn store_of(backup: &Path) -> PathBuf {
        backup.join(STORE)
    }

    /// Makes the backup the store at a place where none is, whole or not at all; each file is held against the manifest.
    /// The store remembers where it comes from until [`Manifest::forget_restored`].
    ///
    /// # Errors
    /// When it is no backup or a changed one, something stands there already, or the disk fails.
    pub fn restore(backup: &Path, to: &Path) -> Result<Self, StoreError> {
        let not_a_backup = |reason: String| StoreError::NotAStore { path: backup.to_owned(), reason };
        let manifest = Self::read(backup)?.ok_or_else(|| not_a_backup("it has no manifest".to_owned()))?;
        if !(Layout { directory: to.to_owned() }).is_vacant()? {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(failed("restoring to", to)(source));
        }
        let mut aside = to.to_owned().into_os_string();
        aside.push(".making");
        let copy = Layout { directory: aside.into() };
        clear(&copy.directory)?;
        fs::create_dir_all(&copy.directory).map_err(failed("making", &copy.directory))?;
        copy.bodies().make().map_err(failed("making", &copy.directory))?;
        for name in manifest.files.keys() {
            let (from, to) = (Self::store_of(backup).join(name), copy.directory.join(name));
            let directory = to.parent().unwrap_or(&copy.directory);
            fs::create_dir_all(directory).map_err(failed("making", directory))?;
            fs::copy(&from, &to)
                .and_then(|_| File::open(&to)?.sync_all())
                .and_then(|()| sync_directory(directory))
                .map_err(failed("restoring", &from))?;
        }
        if let Some(damage) = manifest.differs(&copy.directory)?.first() {
            return Err(not_a_backup(format!("{}: {}", damage.what, damage.detail)));
        }
        copy.check_format()?;
        write_synced(&copy.directory.join(RESTORED), &manifest.as_json())?;
        sync_directory(&copy.directory).map_err(failed("syncing", &copy.directory))?;
        fs::rename(&copy.directory, to).map_err(failed("restoring to", to))?;
        sync_parent(to)?;
        Ok(manifest)
    }

    /// The backup that a store was restored from, as long as nobody has drawn the conclusions.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn of_restored(store: &Path) -> Result<Option<Self>, StoreError> {
        Self::of_file(store, RESTORED)
    }

    /// The conclusions are drawn.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget_restored(store: &Path) -> Result<(), StoreError> {
        let path = store.join(RESTORED);
        fs::remove_file(&path).and_then(|()| sync_directory(store)).map_err(failed("removing", &path))
    }

    fn of_file(directory: &Path, name: &str) -> Result<Option<Self>, StoreError> {
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(octets) => serde_json::from_slice(&octets).map(Some).map_err(|error| {
                let reason = format!("{name} is damaged: {error}");
                StoreError::NotAStore { path: directory.to_owned(), reason }
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Files { doing: "reading", path, source }),
        }
    }

    fn as_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest is JSON: its keys are text")
    }

    /// Compares every file with what was written; names those that are changed, gone, or were not there.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn check(&self, backup: &Path) -> Result<Vec<Damage>, StoreError> {
        self.differs(&Self::store_of(backup))
    }

    fn differs(&self, store: &Path) -> Result<Vec<Damage>, StoreError> {
        let found = listed(store)?;
        let names: BTreeSet<_> = self.files.keys().chain(found.keys()).collect();
        let wrong = names.into_iter().filter_map(|name| {
            let detail = match (self.files.get(name), found.get(name)) {
                (Some(written), Some(found)) if written == found => return None,
                (Some(_), Some(_)) => "its octets are not those that were written",
                (Some(_), None) => "it is gone",
                (None, _) => "it is not in the manifest",
            };
            Some(Damage { what: format!("file {name}"), detail: detail.to_owned() })
        });
        Ok(wrong.collect())
    }
}

/// Makes a backup at a place where nothing is; gives its manifest, and the files that are damaged in the store itself.
pub(super) fn back_up(
    layout: &Layout,
    readers: &Readers,
    to: &Path,
    made_at: Timestamp,
    between: Between<'_>,
) -> Result<(Manifest, Vec<Damage>), StoreError> {
    if to.symlink_metadata().is_ok() {
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(failed("making a backup at", to)(source));
    }
    let mut aside = to.to_owned().into_os_string();
    aside.push(".making");
    let aside = PathBuf::from(aside);
    clear(&aside)?;
    let copy = Layout { directory: aside.join(STORE) };
    fs::create_dir_all(&copy.directory).map_err(failed("making", &copy.directory))?;
    copy.bodies().make().map_err(failed("making", &copy.directory))?;

    let _kept = layout.lock_to_copy()?;
    let (head, payloads) = readers.read(|reading| {
        // The first reading fixes the instant; everything below is of it.
        let found = (last_link(reading)?, reading.payload_files()?);
        copy_database(reading, &copy.database(), between)?;
        Ok(found)
    })?;
    let format = copy.check_format()?;
    let mut damaged = Vec::new();
    for (count, digest) in payloads.iter().enumerate() {
        let what = format!("payload {digest}");
        let read = layout.bodies().read(&what, digest).and_then(|octets| checked(&what, octets));
        match read {
            Ok(octets) => {
                copy.bodies().write(&Blob::of(octets)).map_err(failed("writing", &copy.directory))?
            }
            Err(StoreError::Damaged(damage)) => damaged.push(damage),
            Err(error) => {
                damaged.push(Damage { what: format!("payload {digest}"), detail: error.to_string() });
            }
        }
        if between(Looked { at: "payload files", records: count as u64 + 1 }).is_break() {
            return Err(given_up("it was ended".to_owned()));
        }
    }
    Mark::make_at(&copy.mark(), head)?;
    drop((copy.lock()?, copy.lock_to_sweep()?));
    damaged.extend(beside::copy(&layout.directory, &copy.directory)?);
    sync_directory(&copy.directory).map_err(failed("syncing", &copy.directory))?;

    let AuditHead { sequence: audit_entries, hash: audit_hash } = head;
    let manifest = Manifest { made_at, format, audit_entries, audit_hash, files: listed(&copy.directory)? };
    write_synced(&aside.join(MANIFEST), &manifest.as_json())?;
    sync_directory(&aside).map_err(failed("syncing", &aside))?;
    fs::rename(&aside, to).map_err(failed("making a backup at", to))?;
    sync_parent(to)?;
    Ok((manifest, damaged))
}

/// Removes what a crash left aside.
fn clear(aside: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("clearing", aside)(error)),
        _ => Ok(()),
    }
}

/// Makes a name durable.
fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_directory(parent).map_err(failed("syncing", parent))
}

/// Copies the database as this look sees it.
fn copy_database(reading: &Reading<'_>, to: &Path, between: Between<'_>) -> Result<(), StoreError> {
    let doing = engine_error("copying the database");
    let mut copy = Connection::open(to).map_err(&doing)?;
    {
        let backup = Backup::new(reading.connection, &mut copy).map_err(&doing)?;
        loop {
            // Within a look the source stays as it is, so that a step never begins anew.
            match backup.step(PAGES).map_err(&doing)? {
                StepResult::Done => break,
                StepResult::More => {}
                // Nobody else knows of the copy.
                other => return Err(given_up(format!("{other:?}"))),
            }
            let progress = backup.progress();
            let pages = u64::from(progress.pagecount.saturating_sub(progress.remaining).unsigned_abs());
            if between(Looked { at: "database", records: pages }).is_break() {
                return Err(given_up("it was ended".to_owned()));
            }
        }
    }
    copy.close().map_err(|(_, error)| doing(error))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failed("syncing", to))
}

fn given_up(reason: String) -> StoreError {
    StoreError::Engine { doing: "making a backup", reason }
}

pub(super) fn write_synced(path: &Path, octets: &[u8]) -> Result<(), StoreError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(octets)?;
        file.sync_all()
    });
    written.map_err(failed("writing", path))
}

/// Every file below a directory, with its octets and their SHA-256.
fn listed(root: &Path) -> Result<BTreeMap<String, (u64, Digest)>, StoreError> {
    let mut listed = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(failed("reading", &directory))? {
            let path = entry.map_err(failed("reading", &directory))?.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            listed.insert(
                name,
                File::open(&path)
                    .and_then(|mut file| digest_of(&mut file))
                    .map_err(failed("reading", &path))?,
            );
        }
    }
    Ok(listed)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Files { doing, path, source }
}

/// In a store that was restored: the manifest of its backup.
const RESTORED: &str = "restored";
const MANIFEST: &str = "manifest.json";
const STORE: &str = "store";
/// Pages copied in a step.
const PAGES: i32 = 16;
