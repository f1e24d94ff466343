//! The keys and revocation lists that count, kept beside the store as they were, so that evidence has them years later
//! (P18; threat S27).
//!
//! A list names each by its SHA-256; list, certificates and revocation lists are files named by theirs, each once. At a
//! start and a reload that finds other keys than before, an audit entry vouches for the new list: it stands in the
//! record before anything comes or goes with those keys. What was begun with the keys before a reload may be committed after
//! it: so they stay on the list until all of that has ended, and another entry says so.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use bytes::Bytes;

use crate::config::Loaded;
use crate::model::{Attested, Digest, KeyList, KeyUse, TimelineEntry, Timestamp};
use crate::store::{Batch, Store};
use crate::telemetry::EventCode;

/// Why keys cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    /// The file system refuses.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Files {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{} is damaged: its octets are not those that it is named by", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The store does not tell or take what is recorded.
    #[error("the audit record does not take it: {0}")]
    Audit(String),
}

/// The directory of keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    root: PathBuf,
}

impl Keys {
    /// Those of the store in this directory.
    pub(super) fn of_store(directory: &Path) -> Self {
        Self { root: directory.join(DIRECTORY) }
    }

    /// Keeps the keys that settings put in force, and has the audit record vouch for them when they are others than
    /// before. Those that counted before count no more.
    pub(super) fn record(
        &self,
        store: &dyn Store,
        counted: &Counted,
        at: Timestamp,
    ) -> Result<(), KeysError> {
        self.record_list(store, &counted.list, &counted.files, at)
    }

    /// The same, where something that was begun with the keys before may still be committed.
    pub(super) fn record_beside(
        &self,
        store: &dyn Store,
        counted: &Counted,
        at: Timestamp,
    ) -> Result<(), KeysError> {
        let mut list = counted.list.clone();
        // A list that is damaged says nothing; a scrub tells of it.
        let before = self.last(store)?.and_then(|before| self.get(before).ok());
        if let Some(before) = before.and_then(|octets| std::str::from_utf8(&octets).ok()?.parse().ok()) {
            list.extend(before);
        }
        self.record_list(store, &list, &counted.files, at)
    }

    /// The list that the audit record vouched for last.
    fn last(&self, store: &dyn Store) -> Result<Option<Digest>, KeysError> {
        let last = store.last_of_event(EventCode::KeysInForce.code(), u64::MAX >> 1);
        let last = last.map_err(|error| KeysError::Audit(error.to_string()))?;
        let said = last.and_then(|last| serde_json::from_str::<TimelineEntry>(&last.text).ok());
        Ok(said.and_then(|said| said.octets.keys))
    }

    fn record_list(
        &self,
        store: &dyn Store,
        list: &KeyList,
        files: &[Vec<u8>],
        at: Timestamp,
    ) -> Result<(), KeysError> {
        let text = list.to_string();
        let digest = Digest::of(text.as_bytes());
        if self.last(store)? == Some(digest) && self.get(digest).is_ok() {
            return Ok(());
        }
        fs::create_dir_all(&self.root).map_err(failed("made", &self.root))?;
        for octets in files.iter().map(AsRef::as_ref).chain([text.as_bytes()]) {
            self.keep(octets)?;
        }
        File::open(&self.root).and_then(|root| root.sync_all()).map_err(failed("synced", &self.root))?;
        let parent = self.root.parent().unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("synced", parent))?;
        let entry = TimelineEntry {
            at,
            event: EventCode::KeysInForce.code().into(),
            case: None,
            party: None,
            message_id: None,
            delivery: None,
            text: format!("{} keys and revocation lists count from now on, in the list {digest}", list.len()),
            alarm: false,
            octets: Attested { keys: Some(digest), ..Attested::default() },
        };
        let (tell, told) = sync_channel(1);
        let batch = Batch { audit: vec![entry], ..Batch::default() };
        store.commit(batch, Box::new(move |outcome| drop(tell.send(outcome.map(|_| ())))));
        match told.recv() {
            Ok(outcome) => outcome.map_err(|error| KeysError::Audit(error.to_string())),
            Err(_) => Err(KeysError::Audit("the store is gone".to_owned())),
        }
    }

    /// The octets with this digest.
    pub(super) fn get(&self, digest: Digest) -> Result<Bytes, KeysError> {
        let path = self.root.join(digest.to_string());
        let octets = fs::read(&path).map_err(failed("read", &path))?;
        if Digest::of(&octets) == digest { Ok(octets.into()) } else { Err(KeysError::Damaged { path }) }
    }

    /// Aside, synced, renamed: under its name it is whole. One that is there already is mended.
    fn keep(&self, octets: &[u8]) -> Result<(), KeysError> {
        let name = Digest::of(octets).to_string();
        let (path, aside) = (self.root.join(&name), self.root.join(format!("{name}.aside")));
        let written = File::create(&aside).and_then(|mut file| {
            file.write_all(octets)?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        });
        written.map_err(failed("written", &path))
    }
}

/// The keys that count by some settings, and the octets of those that are kept whole.
pub(super) struct Counted {
    list: KeyList,
    files: Vec<Vec<u8>>,
}

/// Those of these settings.
pub(super) fn counted(loaded: &Loaded) -> Result<Counted, KeysError> {
    let own = &loaded.settings.identity.key;
    let (mut list, mut files) = (KeyList::default(), Vec::new());
    for key in loaded.signing.keys() {
        list.add(KeyUse::Own, own.clone(), key.fingerprint());
        files.push(key.certificate_der());
    }
    for (party, der) in &loaded.partners.signing_certificates {
        list.add(KeyUse::Signing, party.clone(), Digest::of(der));
        files.push(der.clone());
    }
    for party in loaded.partners.registry.parties() {
        for certificate in &party.tls_certificates {
            list.add(KeyUse::Tls, party.key.clone(), *certificate);
        }
    }
    for path in &loaded.settings.tls.revocation_lists {
        let octets = fs::read(path).map_err(failed("read", path))?;
        list.add(KeyUse::Revocation, own.clone(), Digest::of(&octets));
        files.push(octets);
    }
    Ok(Counted { list, files })
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    let path = path.to_owned();
    move |source| KeysError::Files { doing, path, source }
}

/// Beside the store, and in its backups.
const DIRECTORY: &str = "keys";
