//! `OFFICER.toml`: what an officer of a hosted agency needs to reach the inbox: a certificate, and where it is.

use std::path::Path;

use super::fault::{ConfigFault, Faults};
use super::party::{api_endpoint, with_usable_tls};
use super::reader::{Section, TomlFile};
use super::settings::tls;
use crate::transport::{Endpoint, TlsFiles};

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
    with_usable_tls(path, settings, |settings| &settings.tls, faults)
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
