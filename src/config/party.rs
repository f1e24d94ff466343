//! `PARTY.toml`: a partner's own side of an exchange with the gateway: who it is, where it listens, what it signs
//! with, who the gateway is, and what is agreed with it.
//!
//! For practice partners and for `gwanmun send`. Says the same as a partner file of the gateway, seen from the
//! other side, and is read by the same rules: every mistake is told at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{ConfigFault, Faults};
use super::partners::Partners;
use super::reader::{Section, TomlFile};
use super::rules;
use super::settings::{Identity, SigningFiles, address, documents, identity, signing, tls, url_path};
use crate::codec::catalogue::Catalogue;
use crate::model::{Agreement, Direction, Party, PartyKind, Realm, Timestamp, ValueError};
use crate::transport::{Endpoint, TlsContext, TlsFiles};

/// Everything that `PARTY.toml` says. Paths are relative to the file until they are read.
#[derive(Debug)]
pub struct PartySettings {
    /// Who this partner is.
    pub identity: Identity,
    /// Where it listens for the gateway, over mutual TLS; a partner without a server collects.
    pub listen: Option<SocketAddr>,
    /// The path that the gateway posts to.
    pub path: Arc<str>,
    /// Its TLS certificate and whom it trusts.
    pub tls: TlsFiles,
    /// The keys it signs with.
    pub signing: Vec<SigningFiles>,
    /// The directory of its journal.
    pub directory: PathBuf,
    /// Where its mailbox at the gateway is.
    pub api: Option<Endpoint>,
    /// The gateway and what is agreed with it.
    pub partners: Partners,
    /// Every kind of document, and the code lists.
    pub catalogue: Arc<Catalogue>,
    /// The realm that it speaks in: production, unless everything that is agreed with it is for practice, or it
    /// [rehearses](Self::in_practice).
    pub realm: Realm,
}

impl PartySettings {
    /// The same, to rehearse; `None` when no agreement is for practice.
    #[must_use]
    pub fn in_practice(self) -> Option<Self> {
        let practice = self.partners.registry.agreements().any(|agreement| agreement.practice);
        practice.then_some(Self { realm: Realm::Practice, ..self })
    }

    /// The gateway at the other end.
    #[must_use]
    pub fn gateway(&self) -> &Party {
        let mut gateways = self.partners.registry.parties_of(PartyKind::SingleWindow);
        gateways.next().expect("a party file without a gateway is not loaded")
    }

    /// The agreement under which this partner sends a Service and Action to the gateway.
    #[must_use]
    pub fn agreement_to_send(&self, service: &str, action: &str, now: Timestamp) -> Option<&Agreement> {
        self.partners.registry.agreement_to_send(self.realm, &self.gateway().key, service, action, now)
    }

    /// The Service under which this partner sends an Action, where it is agreed.
    #[must_use]
    pub fn service_of(&self, action: &str) -> Option<Arc<str>> {
        let registry = &self.partners.registry;
        let agreements = registry.agreements().filter(|agreement| registry.serves(agreement, self.realm));
        let bindings = agreements.flat_map(|agreement| &agreement.actions);
        let mut sent = bindings.filter(|b| b.direction == Direction::Send && *b.action == *action);
        sent.next().map(|binding| binding.service.clone())
    }
}

/// Reads a partner's own file.
///
/// # Errors
/// Every mistake, in order of place.
pub fn load_party(path: &Path) -> Result<PartySettings, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = read(path, &mut faults);
    with_usable_tls(path, settings, |settings| &settings.tls, faults)
}

/// Settings without a mistake, whose certificate and key can be used together.
pub(super) fn with_usable_tls<S>(
    path: &Path,
    settings: Option<S>,
    tls: impl Fn(&S) -> &TlsFiles,
    mut faults: Faults,
) -> Result<S, Vec<ConfigFault>> {
    if let Some(settings) = &settings
        && let Err(error) = TlsContext::load(tls(settings))
    {
        let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
        faults.add(path, (1, 1), format!("[tls] {error}"), remedy);
    }
    match (settings, faults.into_list()) {
        (Some(settings), faults) if faults.is_empty() => Ok(settings),
        (_, faults) => Err(faults),
    }
}

fn read(path: &Path, faults: &mut Faults) -> Option<PartySettings> {
    let file = TomlFile::read(path, faults)?;
    let table = file.parse(faults);
    let mut root = Section::root(&file, &table);
    let identity = identity(root.table("identity", faults), faults);
    let mut section = root.table("listen", faults);
    let listen = section.optional("ebms", address, faults);
    let url_path = section.optional("path", url_path, faults).unwrap_or_else(|| "/ebms".into());
    section.finish(faults);
    let tls = tls(root.table("tls", faults), faults);
    let signing = signing(&mut root, faults);
    let mut section = root.table("journal", faults);
    let directory = section.path("directory", faults);
    section.finish(faults);
    let mut section = root.table("api", faults);
    let api = section.optional("endpoint", api_endpoint, faults);
    section.finish(faults);
    if listen.is_none() && api.is_none() {
        root.add(
            "it neither listens nor collects".to_owned(),
            "add [listen] ebms, or [api] endpoint of a partner without a server",
            faults,
        );
    }
    let catalogue = rules::catalogue(documents(root.table("documents", faults), faults).as_deref(), faults);
    let identity = identity?;
    let partners = Partners::of_party_file(path, &mut root, &identity, faults);
    root.finish(faults);
    let is_production = |agreement: &Agreement| !agreement.practice;
    let produces = partners.registry.agreements().any(is_production);
    Some(PartySettings {
        identity,
        listen,
        path: url_path,
        tls: tls?,
        signing,
        directory: directory?,
        api,
        partners,
        catalogue: catalogue?,
        realm: if produces { Realm::Production } else { Realm::Practice },
    })
}

pub(super) fn api_endpoint(text: &str) -> Result<Endpoint, ValueError> {
    text.parse().map_err(|_| ValueError::new("a URL such as https://host:8444", text))
}
