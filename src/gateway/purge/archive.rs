//! The archive that what goes leaves behind: evidence, written so that it stands on the disk, and read as
//! anybody would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::codec::archive::unpack;
use crate::gateway::evidence::Archivist;
use crate::gateway::keys::Keys;
use crate::gateway::shared::{InForce, Shared, now};
use crate::model::{AuditPath, Digest, EvidenceManifest, EvidenceSubject, Octets, Timestamp};
use crate::security::{AuditKeys, HELD_BYTES_MAX, names, verify_evidence};
use crate::store::filed;

/// Writes the evidence, reads it back and verifies it; gives its digest, and how many octets it has of the
/// message.
pub(super) fn archive(
    shared: &Shared,
    in_force: &InForce,
    subject: &EvidenceSubject,
) -> Result<(Digest, u64), String> {
    let directory = in_force.settings.retention.archive.as_ref();
    let directory = directory.ok_or_else(|| "[retention] archive is not set".to_owned())?;
    let key = in_force.keys.keys().next().ok_or_else(|| "there is no [[signing]] key".to_owned())?;
    let keys = Keys::of_store(&in_force.settings.store.directory);
    let gateway = &in_force.settings.identity.key;
    let archivist = Archivist { store: &*shared.store, keys: &keys, key, gateway };
    let made = archivist.archive(subject.party(), subject.message_id(), now());
    let (found, octets) = made.map_err(|error| error.to_string())?;
    if found != *subject {
        return Err("another message has its MessageId: it cannot be told by it".to_owned());
    }
    let path = path_of(directory, subject);
    keep_room(shared, in_force, directory, octets.bytes())?;
    set_aside(&path, in_force.restored).map_err(|error| format!("{}: {error}", path.display()))?;
    write(&path, &octets).map_err(|error| format!("{}: {error}", path.display()))?;
    // What counts is what stands on the disk, and what anybody else would say of it.
    let written = filed(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let members = unpack(&written).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut trusted = AuditKeys::default();
    trusted.add_der("our own key", &key.certificate_der()).map_err(|error| error.to_string())?;
    for signed_with in earlier_keys(&members)? {
        let der = keys.get(signed_with).map_err(|error| error.to_string())?;
        trusted.add_der("an earlier key of ours", &der).map_err(|error| error.to_string())?;
    }
    let proven =
        verify_evidence(&members, &trusted, []).map_err(|error| format!("{}: {error}", path.display()))?;
    if proven.manifest.subject != *subject {
        return Err(format!("{} is about another message", path.display()));
    }
    let entities = proven.manifest.members.iter().filter(|member| member.content_type.is_some());
    Ok((written.digest(), entities.map(|member| member.bytes).sum()))
}

/// The keys that signed the heads in an archive: of before a change of keys they are others than today's, and
/// kept beside the store.
fn earlier_keys(members: &BTreeMap<String, Octets>) -> Result<BTreeSet<Digest>, String> {
    let audit = members.get(names::AUDIT).ok_or_else(|| "the archive has no audit path".to_owned())?;
    let audit = audit.read(HELD_BYTES_MAX).map_err(|error| error.to_string())?;
    let path: AuditPath = serde_json::from_slice(&audit).map_err(|error| error.to_string())?;
    Ok(path.heads.iter().map(|signed| signed.key).collect())
}

/// Generated, never taken from the message (S22); the same message has the same.
fn path_of(directory: &Path, subject: &EvidenceSubject) -> PathBuf {
    let way = if matches!(subject, EvidenceSubject::Received(_)) { "received" } else { "sent" };
    let name = Digest::of(format!("{way} {subject}").as_bytes()).to_string();
    directory.join(name.get(..2).unwrap_or_default()).join(format!("{name}.tar"))
}

/// An archive of the same message that the lost store made, before this one was restored, may have what this
/// one never had: the receipt, or entries that a head kept elsewhere speaks for. It stays, under the SHA-256
/// of its octets too (P18, P20).
fn set_aside(path: &Path, restored: Option<Timestamp>) -> io::Result<()> {
    let Some(restored) = restored else { return Ok(()) };
    let octets = match filed(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        octets => octets?,
    };
    let manifest =
        unpack(&octets).ok().and_then(|members| members.get(names::MANIFEST)?.read(HELD_BYTES_MAX).ok());
    let manifest: Option<EvidenceManifest> = manifest.and_then(|octets| serde_json::from_slice(&octets).ok());
    // A purge that is tried again makes its own anew.
    if manifest.is_some_and(|manifest| manifest.made_at >= restored) {
        return Ok(());
    }
    fs::rename(path, path.with_extension(format!("{}.tar", octets.digest())))?;
    // Before the new one has its name: no disk has that one alone.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// On the disk of the store an archive takes no room that is kept for what was accepted (P11).
fn keep_room(shared: &Shared, in_force: &InForce, directory: &Path, bytes: u64) -> Result<(), String> {
    let store = &in_force.settings.store;
    let disk_of = |path: &Path| {
        let there = path.ancestors().find_map(|path| fs::metadata(path).ok());
        there.map(|there| there.dev())
    };
    if disk_of(directory) != disk_of(&store.directory) {
        return Ok(());
    }
    match shared.store.health().free_bytes {
        Some(free) if free.saturating_sub(bytes) < store.free_bytes_min => Err(format!(
            "{} is on the disk of the store, where {free} octets are free and [store] free_bytes_min keeps {}",
            directory.display(),
            store.free_bytes_min
        )),
        _ => Ok(()),
    }
}

/// Aside, synced, renamed, directories synced. What could not be written whole is gone.
fn write(path: &Path, octets: &Octets) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    make_directory(parent)?;
    let aside = path.with_extension("making");
    let written = write_as(&aside, path, octets);
    if written.is_err() {
        // Best effort: the next one of this message is written over it.
        drop(fs::remove_file(&aside));
    }
    written
}

fn write_as(aside: &Path, path: &Path, octets: &Octets) -> io::Result<()> {
    let mut file = File::create(aside)?;
    for chunk in octets.checked() {
        file.write_all(&chunk.map_err(io::Error::other)?)?;
    }
    file.sync_all()?;
    fs::rename(aside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a directory with those that it is in, each name durable.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}
