//! Settings in, checked values out: what a node is, whom it knows, under which terms.
//!
//! Promises: every mistake of every file is told at once, with file, line, column and remedy; a set with a mistake
//! is no set, so a reload with one leaves what is in force alone.

mod authority;
mod bank;
pub mod cpa;
mod fault;
mod officer;
mod partners;
mod party;
mod practice;
mod profiles;
mod reader;
mod rules;
mod settings;
mod terms;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::catalogue::Catalogue;
use crate::model::{Agreement, Deviation, PartyKey, Timestamp};
use crate::routing::RuleSet;
use crate::security::{Engine, KeyRing, RevocationLists, SigningKeys, TimeStampAuthority, own_engine_only};
use crate::transport::TlsContext;

pub use authority::{AuthoritySettings, load_authority};
pub use bank::{BankSettings, load_bank};
pub use fault::{ConfigFault, SettingsMistaken, SettingsRefused};
pub use officer::{OfficerSettings, load_officer};
pub use partners::{Candidate, Partners};
pub use party::{PartySettings, load_party};
pub use profiles::{NamedProfile, profile, profiles};
pub use rules::{read_catalogue, read_rules};
pub use settings::{
    AuditSettings, Identity, Listen, PaymentSettings, RetentionSettings, ScrubSettings, Settings,
    SigningFiles, TimeStampSettings,
};

use fault::Faults;

/// Everything that a gateway runs on, checked as a whole.
pub struct Loaded {
    /// `gwanmun.toml`.
    pub settings: Settings,
    /// The partner files.
    pub partners: Partners,
    /// Every kind of document, and the code lists.
    pub catalogue: Arc<Catalogue>,
    /// The rule directory.
    pub rules: Arc<RuleSet>,
    /// What it shows on connections, and whom it lets connect.
    pub tls: TlsContext,
    /// What it signs with.
    pub signing: SigningKeys,
    /// What its partners sign with.
    pub keys: KeyRing,
    /// What it signs with in the name of hosted agencies.
    pub hosted: BTreeMap<PartyKey, SigningKeys>,
    /// What it shows the bank, and whom it trusts there.
    pub bank: Option<TlsContext>,
    /// The same of the bank of rehearsals.
    pub practice_bank: Option<TlsContext>,
    /// What the authority for time stamps is shown, and whose time stamps count.
    pub time_stamps: Option<(TlsContext, TimeStampAuthority)>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Reads settings, keys, partners and rules.
///
/// # Errors
/// Every mistake, in order of file and place.
pub fn load(path: &Path) -> Result<Loaded, Vec<ConfigFault>> {
    load_with(path, None)
}

/// The same as if a partner file were in its place already.
///
/// # Errors
/// Every mistake, in order of file and place.
pub fn load_with(path: &Path, candidate: Option<&Candidate<'_>>) -> Result<Loaded, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let loaded = read(path, candidate, &mut faults);
    match (loaded, faults.into_list()) {
        (Some(loaded), faults) if faults.is_empty() => Ok(loaded),
        (_, faults) => Err(faults),
    }
}

/// Reads settings and partners, and nothing that rests on them: what a new partner is added to, whatever rules say of it.
///
/// # Errors
/// Every mistake, in order of file and place.
pub fn load_partners(path: &Path) -> Result<(Settings, Partners), Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = Settings::read(path, &mut faults);
    let partners = settings.as_ref().map(|s| Partners::read(&s.partners, None, &s.identity, &mut faults));
    match (settings, partners, faults.into_list()) {
        (Some(settings), Some(partners), faults) if faults.is_empty() => Ok((settings, partners)),
        (_, _, faults) => Err(faults),
    }
}

fn read(path: &Path, candidate: Option<&Candidate<'_>>, faults: &mut Faults) -> Option<Loaded> {
    let settings = Settings::read(path, faults)?;
    let tls = TlsContext::load(&settings.tls).map_err(|error| {
        let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
        faults.add(path, (1, 1), format!("[tls] {error}"), remedy);
    });
    let bank = bank_tls("payment", path, settings.payment.as_ref(), faults);
    let practice_bank = bank_tls("practice_payment", path, settings.practice_payment.as_ref(), faults);
    let time_stamps = time_stamps(path, settings.audit.time_stamp.as_ref(), faults);
    let signing = signing_keys(path, &settings, faults);
    let partners = Partners::read(&settings.partners, candidate, &settings.identity, faults);
    let revoked = RevocationLists::load(&settings.tls.revocation_lists).map_err(|error| {
        // What TLS cannot read is told by it.
        if tls.is_ok() {
            faults.add(path, (1, 1), format!("[tls] {error}"), "write the file again, as PEM".to_owned());
        }
    });
    let keys = revoked.ok().and_then(|revoked| partners_keys(&settings, &partners, &revoked, faults));
    if let Some(signing) = &signing {
        check_algorithms(&settings, &partners, signing, faults);
    }
    if let Some(keys) = &keys {
        check_certificates(&settings, &partners, keys, faults);
    }
    check_engine(&settings, &partners, faults);
    check_api(path, &settings, &partners, faults);
    let hosted = hosted_keys(&settings, &partners, faults);
    // With a mistake among the partners, what rules say of them could not be judged; nor of documents with one there.
    let registry = faults.is_empty().then_some(&partners.registry);
    let catalogue = rules::catalogue(settings.documents.as_deref(), faults)?;
    let rules = rules::load(&settings.rules, &catalogue, registry, faults);
    if let Some(rules) = rules.as_ref().filter(|_| faults.is_empty()) {
        practice::check(&settings.partners, &partners.registry, rules, faults);
    }
    Some(Loaded {
        tls: tls.ok()?,
        signing: signing?,
        keys: keys?,
        catalogue,
        rules: rules?,
        settings,
        partners,
        hosted,
        bank: bank?,
        practice_bank: practice_bank?,
        time_stamps: time_stamps?,
    })
}

/// The authority for time stamps, when there is one; none when it cannot be used, which is told.
#[expect(clippy::option_option, reason = "no authority is one thing, one that cannot be used another")]
fn time_stamps(
    path: &Path,
    settings: Option<&TimeStampSettings>,
    faults: &mut Faults,
) -> Option<Option<(TlsContext, TimeStampAuthority)>> {
    let Some(settings) = settings else { return Some(None) };
    let mut tell = |why: &dyn fmt::Display| {
        let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
        faults.add(path, (1, 1), format!("[audit.time_stamp] {why}"), remedy);
    };
    let tls = TlsContext::load(&settings.tls).map_err(|error| tell(&error)).ok();
    let mut authority = Some(TimeStampAuthority::new(settings.policy.clone()));
    for file in &settings.authorities {
        let whose = file.display().to_string();
        let read = fs::read(file).map_err(|error| tell(&format_args!("authorities: {whose}: {error}")));
        let added = read.ok().zip(authority.take()).and_then(|(pem, mut authority)| {
            let added = authority.add_pem(&whose, &pem);
            added.map_err(|error| tell(&format_args!("authorities: {error}"))).ok().map(|()| authority)
        });
        authority = added;
    }
    tls.zip(authority).map(Some)
}

/// What a bank is shown, when there is one; none when it cannot be used, which is told.
#[expect(clippy::option_option, reason = "no bank is one thing, one that cannot be reached another")]
fn bank_tls(
    section: &str,
    path: &Path,
    payment: Option<&PaymentSettings>,
    faults: &mut Faults,
) -> Option<Option<TlsContext>> {
    let Some(payment) = payment else { return Some(None) };
    let loaded = TlsContext::load(&payment.tls).map_err(|error| {
        let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
        faults.add(path, (1, 1), format!("[{section}] {error}"), remedy);
    });
    loaded.ok().map(Some)
}

/// Our own keys; each that cannot be used is told.
fn signing_keys(path: &Path, settings: &Settings, faults: &mut Faults) -> Option<SigningKeys> {
    let files: Vec<_> = settings.signing.iter().map(|files| (&files.certificate, &files.key)).collect();
    for pair in &files {
        if let Err(error) = SigningKeys::load(&[*pair]) {
            let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
            faults.add(path, (1, 1), format!("[[signing]] {error}"), remedy);
        }
    }
    SigningKeys::load(&files).ok()
}

/// What partners sign with; each certificate that cannot be used is told.
fn partners_keys(
    settings: &Settings,
    partners: &Partners,
    revoked: &RevocationLists,
    faults: &mut Faults,
) -> Option<KeyRing> {
    for certificate in &partners.signing_certificates {
        if let Err(error) = KeyRing::new(iter::once(certificate.clone())) {
            let remedy = "ask the partner for a certificate within the profile".to_owned();
            faults.add(&settings.partners, (1, 1), format!("signing_certificates: {error}"), remedy);
        }
    }
    KeyRing::with_revoked(partners.signing_certificates.iter().cloned(), revoked).ok()
}

/// What an agreement says we sign with must be there to sign with.
fn check_algorithms(settings: &Settings, partners: &Partners, signing: &SigningKeys, faults: &mut Faults) {
    for agreement in partners.registry.agreements() {
        let algorithm = agreement.signature.own.algorithm;
        if signing.key(algorithm).is_none() {
            let message = format!(
                "agreement {} wants us to sign with {}, and no [[signing]] key does",
                agreement.cpa_id,
                algorithm.uri()
            );
            let remedy = "add such a key, or change own_algorithm".to_owned();
            faults.add(&settings.partners, (1, 1), message, remedy);
        }
    }
}

/// A partner that must sign has a certificate whose key can, by an algorithm that its agreement accepts.
fn check_certificates(settings: &Settings, partners: &Partners, keys: &KeyRing, faults: &mut Faults) {
    let signed =
        |agreement: &&Agreement| !agreement.hosted && !agreement.profile.allows(Deviation::UnsignedMessages);
    for agreement in partners.registry.agreements().filter(signed) {
        if keys.none_fits(&agreement.partner, &agreement.signature) {
            let message = format!(
                "agreement {} accepts no algorithm that a certificate of {} can sign by",
                agreement.cpa_id, agreement.partner
            );
            let remedy = "add its algorithm to accepted_algorithms".to_owned();
            faults.add(&settings.partners, (1, 1), message, remedy);
        }
    }
}

/// What is no mistake, and yet not as somebody once meant it: an exception whose day has come, a certificate that was
/// revoked. It must not keep a gateway from starting that was in order the day before.
#[must_use]
pub fn warnings(loaded: &Loaded, now: Timestamp) -> Vec<ConfigFault> {
    let mut faults = Faults::default();
    for agreement in loaded.partners.registry.agreements() {
        let until = agreement.signature.sha1_until.filter(|until| *until <= now);
        if let (Some(until), Some(file)) = (until, loaded.partners.files.get(&agreement.partner)) {
            let message =
                format!("agreement {}: sha1_until is over since {until}, SHA-1 is refused", agreement.cpa_id);
            faults.add(file, (1, 1), message, "take sha1_until away".to_owned());
        }
    }
    for (party, fingerprint) in loaded.keys.revoked() {
        if let Some(file) = loaded.partners.files.get(party) {
            let message = format!(
                "signing_certificates: {fingerprint} is on a revocation list, what it signs is refused"
            );
            faults.add(file, (1, 1), message, "ask the partner for another one, and take it away".to_owned());
        }
    }
    faults.into_list()
}

#[allow(
    clippy::disallowed_methods,
    reason = "an exception is over, or not, by the clock of who reads the files"
)]
fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

/// What an agreement lets a partner do, the engine must be able to verify: libxmlsec1 knows less than our own.
fn check_engine(settings: &Settings, partners: &Partners, faults: &mut Faults) {
    if settings.engine == Engine::Own {
        return;
    }
    for agreement in partners.registry.agreements() {
        for what in own_engine_only(&agreement.signature, &agreement.profile, now()) {
            let message = format!(
                "agreement {} accepts {what}, which libxmlsec1 cannot verify: it needs [signature] engine \"own\"",
                agreement.cpa_id
            );
            let remedy = "write engine = \"own\", or have the agreement accept less".to_owned();
            faults.add(&settings.partners, (1, 1), message, remedy);
        }
    }
}

/// What lies in a mailbox or an inbox that nobody can reach stays there.
fn check_api(path: &Path, settings: &Settings, partners: &Partners, faults: &mut Faults) {
    let collects = partners.registry.agreements().find(|agreement| agreement.endpoint.is_none());
    if let (Some(agreement), None) = (collects, settings.listen.api) {
        let what = if agreement.hosted { "an inbox" } else { "a mailbox" };
        let message = format!("agreement {} has {what}, and [listen] api is missing", agreement.cpa_id);
        faults.add(path, (1, 1), message, "add the address of the API that leads to it".to_owned());
    }
}

/// The keys of hosted agencies; each that cannot be used, or is of a kind that its agreements do not accept, is told.
fn hosted_keys(
    settings: &Settings,
    partners: &Partners,
    faults: &mut Faults,
) -> BTreeMap<PartyKey, SigningKeys> {
    let mut hosted = BTreeMap::new();
    for (party, files) in &partners.hosted {
        match SigningKeys::load(&[(&files.certificate, &files.key)]) {
            Ok(keys) => {
                let agreements =
                    partners.registry.agreements().filter(|agreement| agreement.partner == *party);
                for agreement in agreements {
                    // An inbox signs on the strict terms of its key.
                    if keys.strict_signer(&agreement.signature).is_none() {
                        let message =
                            format!("agreement {} does not accept what {party} signs with", agreement.cpa_id);
                        let remedy = "add its algorithm to accepted_algorithms, sha256 to accepted_digests \
                            and c14n to accepted_canonicalizations"
                            .to_owned();
                        faults.add(&settings.partners, (1, 1), message, remedy);
                    }
                }
                hosted.insert(party.clone(), keys);
            }
            Err(error) => {
                let remedy = "see `gwanmun keys list` for what is in the file".to_owned();
                faults.add(&settings.partners, (1, 1), format!("[hosted] of {party}: {error}"), remedy);
            }
        }
    }
    hosted
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

/// Where the store of these settings is, without reading anything else.
///
/// # Errors
/// Every mistake of the file.
pub fn store_of(path: &Path) -> Result<PathBuf, Vec<ConfigFault>> {
    let mut faults = Faults::default();
    let settings = Settings::read(path, &mut faults);
    settings.map(|settings| settings.store.directory).ok_or_else(|| faults.into_list())
}

#[cfg(test)]
mod tests;
