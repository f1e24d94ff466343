//! Settings in, checked values out: what a node is, whom it knows, under which terms.
//!
//! Promises: every mistake of every file is told at once, with file, line, column and remedy; a set with a mistake
//! is no set, so a reload with one leaves what is in force alone.

mod fault;
mod partners;
mod party;
mod reader;
mod settings;

use std::path::{Path, PathBuf};

use crate::transport::TlsContext;

pub use fault::ConfigFault;
pub use partners::Partners;
pub use party::{PartySettings, load_party};
pub use settings::{Identity, Listen, Settings, SigningFiles};

use fault::Faults;

/// A gateway's settings with its partners.
#[derive(Debug)]
pub struct Loaded {
    /// `gwanmun.toml`.
    pub settings: Settings,
    /// The partner files.
    pub partners: Partners,
}

/// Reads settings and partners.
///
/// # Errors
/// Every mistake, in order of file and place.
pub fn load(path: &Path) -> Result<Loaded, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = Settings::read(path, &mut faults);
    if let Some(settings) = &settings
        && let Err(error) = TlsContext::load(&settings.tls)
    {
        let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
        faults.add(path, (1, 1), format!("[tls] {error}"), remedy);
    }
    let partners =
        settings.as_ref().map(|settings| Partners::read(&settings.partners, &settings.identity, &mut faults));
    match (settings, partners, faults.into_list()) {
        (Some(settings), Some(partners), faults) if faults.is_empty() => Ok(Loaded { settings, partners }),
        (_, _, faults) => Err(faults),
    }
}

/// Where operators reach the gateway of these settings, without reading anything else.
///
/// # Errors
/// Every mistake of the file.
pub fn socket_of(path: &Path) -> Result<PathBuf, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = Settings::read(path, &mut faults);
    settings.and_then(|settings| settings.listen.socket).ok_or_else(|| faults.into_list())
}

#[cfg(test)]
mod tests;
