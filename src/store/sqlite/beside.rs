//! What the gateway keeps beside the database: rule sets and keys, in files that are named by the SHA-256 of their octets, and
//! lists of them. The store copies and verifies them, and does not read them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::payload::sync_directory;
use super::super::{Damage, StoreError};
use super::backup::write_synced;
use crate::model::Digest;

/// Names the files whose octets are not those that they are named by, and what cannot be read (P12).
pub(super) fn damaged(store: &Path) -> Vec<Damage> {
    let mut damaged = Vec::new();
    for directory in DIRECTORIES {
        match files(&store.join(directory)) {
            Ok(files) => damaged.extend(files.iter().flatten().filter_map(|path| read(store, path).err())),
            Err(error) => {
                damaged.push(Damage { what: format!("directory {directory}"), detail: error.to_string() });
            }
        }
    }
    damaged
}

/// Copies them durably; names those that are damaged, and copies them as they are.
pub(super) fn copy(store: &Path, to: &Path) -> Result<Vec<Damage>, StoreError> {
    let damaged = damaged(store);
    for directory in DIRECTORIES {
        let to = to.join(directory);
        let Some(files) = files(&store.join(directory))? else { continue };
        fs::create_dir_all(&to).map_err(failed("making", &to))?;
        for path in files {
            if let Some(name) = path.file_name() {
                write_synced(&to.join(name), &fs::read(&path).map_err(failed("reading", &path))?)?;
            }
        }
        sync_directory(&to).map_err(failed("syncing", &to))?;
    }
    Ok(damaged)
}

/// The octets of a file that has its name of them, if it is what was written.
fn read(store: &Path, path: &Path) -> Result<(), Damage> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Ok(written) = name.parse::<Digest>() else { return Ok(()) };
    let what = format!("file {}", path.strip_prefix(store).unwrap_or(path).display());
    match fs::read(path).map(|octets| Digest::of(&octets)) {
        Ok(found) if found == written => Ok(()),
        Ok(found) => Err(Damage { what, detail: format!("its octets have digest {found}") }),
        Err(error) => Err(Damage { what, detail: error.to_string() }),
    }
}

/// The files of a directory; `None` when there is no such directory.
fn files(directory: &Path) -> Result<Option<Vec<PathBuf>>, StoreError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(failed("reading", directory))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("reading", directory))?.path();
        // One that is being written has its name when it is whole.
        if path.is_file() && path.extension().is_none_or(|extension| extension != "aside") {
            files.push(path);
        }
    }
    files.sort();
    Ok(Some(files))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Files { doing, path, source }
}

/// Where the gateway keeps the rule sets that its cases were planned with, and the keys that counted.
const DIRECTORIES: [&str; 2] = ["rules", "keys"];
