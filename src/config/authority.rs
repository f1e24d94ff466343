//! `AUTHORITY.toml`: a practice authority for time stamps: where it listens, what it shows, what it stamps with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault::{ConfigFault, Faults};
use super::party::with_usable_tls;
use super::reader::{Section, TomlFile};
use super::settings::{address, tls};
use crate::codec::time_stamp::ObjectId;
use crate::transport::TlsFiles;

/// Everything that `AUTHORITY.toml` says.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// Where it listens, over mutual TLS.
    pub listen: SocketAddr,
    /// Its certificate, and whom it lets connect.
    pub tls: TlsFiles,
    /// The certificate that it stamps with, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The policy that its time stamps are given under.
    pub policy: ObjectId,
    /// The directory of its serial numbers.
    pub directory: PathBuf,
}

/// Reads an authority's file.
///
/// # Errors
/// Every mistake, in order of place.
pub fn load_authority(path: &Path) -> Result<AuthoritySettings, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = read(path, &mut faults);
    with_usable_tls(path, settings, |settings| &settings.tls, faults)
}

fn read(path: &Path, faults: &mut Faults) -> Option<AuthoritySettings> {
    let file = TomlFile::read(path, faults)?;
    let table = file.parse(faults);
    let mut root = Section::root(&file, &table);
    let mut section = root.table("listen", faults);
    let listen = section.required("api", address, faults);
    section.finish(faults);
    let tls = tls(root.table("tls", faults), faults);
    let mut section = root.table("time_stamp", faults);
    let (certificate, key) = (section.file("certificate", faults), section.file("key", faults));
    let policy = section.required("policy", str::parse, faults);
    let directory = section.path("directory", faults);
    section.finish(faults);
    root.finish(faults);
    Some(AuthoritySettings {
        listen: listen?,
        tls: tls?,
        certificate: certificate?,
        key: key?,
        policy: policy?,
        directory: directory?,
    })
}
