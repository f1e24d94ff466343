//! `BANK.toml`: a practice bank: where it listens, what it shows, whose orders it takes, where its ledger is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault::{ConfigFault, Faults};
use super::partners::certificates;
use super::party::with_usable_tls;
use super::reader::{Section, TomlFile};
use super::settings::{address, tls};
use crate::model::Digest;
use crate::transport::TlsFiles;

/// Everything that `BANK.toml` says.
#[derive(Clone, Debug)]
pub struct BankSettings {
    /// Where it listens, over mutual TLS.
    pub listen: SocketAddr,
    /// Its certificate, and whom it lets connect.
    pub tls: TlsFiles,
    /// SHA-256 of the DER octets of the certificates whose orders it takes.
    pub clients: Vec<[u8; 32]>,
    /// The directory of its ledger.
    pub directory: PathBuf,
}

/// Reads a bank's file.
///
/// # Errors
/// Every mistake, in order of place.
pub fn load_bank(path: &Path) -> Result<BankSettings, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = read(path, &mut faults);
    with_usable_tls(path, settings, |settings| &settings.tls, faults)
}

fn read(path: &Path, faults: &mut Faults) -> Option<BankSettings> {
    let file = TomlFile::read(path, faults)?;
    let table = file.parse(faults);
    let mut root = Section::root(&file, &table);
    let mut section = root.table("listen", faults);
    let listen = section.required("api", address, faults);
    section.finish(faults);
    let tls = tls(root.table("tls", faults), faults);
    let mut section = root.table("clients", faults);
    let clients = certificates("tls_certificates", &mut section, faults);
    let clients = clients.iter().map(|der| Digest::of(der).0).collect();
    section.finish(faults);
    let mut section = root.table("ledger", faults);
    let directory = section.path("directory", faults);
    section.finish(faults);
    root.finish(faults);
    Some(BankSettings { listen: listen?, tls: tls?, clients, directory: directory? })
}
