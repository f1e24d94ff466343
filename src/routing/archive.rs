//! The deciding files of a rule set as one run of octets, whose SHA-256 is the digest of the set (ruling 17): so a
//! set can be kept, sent and found by its digest, and whoever has it can prove that it is the one.
//!
//! For each file, in order of path: length of the path (eight octets, big-endian), path, length of the file, its
//! octets. Tests are left out.

use std::collections::BTreeMap;

use super::RuleFiles;
use super::ruleset::Base;

/// The files that decide, as octets with the digest of the set.
pub(super) fn archive(files: &RuleFiles, base: &Base) -> Vec<u8> {
    let mut archive = Vec::new();
    for name in base.deciding_files() {
        let octets = files.0.get(name).map(Vec::as_slice).unwrap_or_default();
        for part in [name.as_bytes(), octets] {
            archive.extend_from_slice(&(part.len() as u64).to_be_bytes());
            archive.extend_from_slice(part);
        }
    }
    archive
}

impl RuleFiles {
    /// The files in an archive; `None` when it is none.
    #[must_use]
    pub fn of_archive(mut archive: &[u8]) -> Option<Self> {
        let mut part = || {
            let (length, rest) = archive.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
            let (part, rest) = rest.split_at_checked(length)?;
            archive = rest;
            Some((part, rest.is_empty()))
        };
        let mut files = BTreeMap::new();
        loop {
            let (name, _) = part()?;
            let (octets, ended) = part()?;
            files.insert(std::str::from_utf8(name).ok()?.to_owned(), octets.to_vec());
            if ended {
                return Some(Self(files));
            }
        }
    }
}
