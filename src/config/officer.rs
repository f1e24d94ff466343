//! `OFFICER.toml`: what an officer of a hosted agency needs to reach the inbox: a certificate, and where it is.

use std::path::Path;

use super::fault::{ConfigFault, Faults};
use super::party::api_endpoint;
use super::reader::{Section, TomlFile};
use super::settings::tls;
use crate::transport::{Endpoint, TlsContext, TlsFiles};

/// Everything that `OFFICER.toml` says.
#[derive(Clone, Debug)]
pub struct OfficerSettings {
    /// The officer's TLS certificate, and whom to trust.
    pub tls: TlsFiles,
    /// Where the gateway's API is.
    pub api: Endpoint,
}

/// Reads an officer's file.
///
/// # Errors
/// Every mistake, in order of place.
pub fn load_officer(path: &Path) -> Result<OfficerSettings, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = read(path, &mut faults);
    if let Some(settings) = &settings
        && let Err(error) = TlsContext::load(&settings.tls)
    {
        let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
        faults.add(path, (1, 1), format!("[tls] {error}"), remedy);
    }
    match (settings, faults.into_list()) {
        (Some(settings), faults) if faults.is_empty() => Ok(settings),
        (_, faults) => Err(faults),
    }
}

fn read(path: &Path, faults: &mut Faults) -> Option<OfficerSettings> {
    let file = TomlFile::read(path, faults)?;
    let table = file.parse(faults);
    let mut root = Section::root(&file, &table);
    let mut section = root.table("api", faults);
    let api = section.required("endpoint", api_endpoint, faults);
    section.finish(faults);
    let tls = tls(root.table("tls", faults), faults);
    root.finish(faults);
    Some(OfficerSettings { tls: tls?, api: api? })
}
