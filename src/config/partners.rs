//! The partner files: one party and its agreements a file, made into the [`Registry`] that is in force.
//!
//! Promises that no key, PartyId, certificate or CPAId belongs to two parties, so that the registry never has to
//! choose (P6).

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::x509::X509;

use super::fault::Faults;
use super::reader::{Section, TomlFile};
use super::settings::{BOX_NUMBER_TYPE, Identity, SigningFiles, plain, signing_files};
use super::terms::{
    USUAL, binding, check_order, empty_answer, endpoint, instant, overrides, reliability, signature,
    sync_reply_mode, word,
};
use crate::model::{
    AgencyCode, Agreement, CpaId, Digest, Direction, Fingerprint, Officer, OfficerRole, Party, PartyId,
    PartyKey, PartyKind, Plays, Registry, Reliability, Role, SyncReplyMode, ValueError,
};

/// Partner files in a directory.
const FILES_MAX: usize = 50_000;

/// The partners in force.
#[derive(Debug, Default)]
pub struct Partners {
    /// Parties and agreements.
    pub registry: Registry,
    /// DER octets of the certificates that partners sign with.
    pub signing_certificates: Vec<(PartyKey, Vec<u8>)>,
    /// DER octets of the certificates of their connections.
    pub tls_certificates: Vec<(PartyKey, Vec<u8>)>,
    /// What we sign with in the name of each hosted agency.
    pub hosted: Vec<(PartyKey, SigningFiles)>,
    /// The file of each partner.
    pub files: BTreeMap<PartyKey, PathBuf>,
}

/// A partner file that is not in its place yet.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its place.
    pub file: &'a Path,
    /// Where its text is, in the same directory.
    pub text_at: &'a Path,
}

/// What is taken, by what, and where that was said.
struct Claims<K>(BTreeMap<K, String>);

/// Everything that may be claimed once.
struct Claimed {
    keys: Claims<PartyKey>,
    names: Claims<Arc<str>>,
    ids: Claims<PartyId>,
    certificates: Claims<Fingerprint>,
    agreements: Claims<CpaId>,
    parts: Claims<Arc<str>>,
}

impl Partners {
    /// Reads every `*.toml` of a directory, in order of name; one that is to take the place of another, or to come to
    /// them, as if it were there.
    pub(super) fn read(
        directory: &Path,
        candidate: Option<&Candidate<'_>>,
        own: &Identity,
        faults: &mut Faults,
    ) -> Self {
        let mut reading = Reading::new(own);
        let mut files = files(directory, faults);
        if let Some(Candidate { file, .. }) = candidate
            && let Err(place) = files.binary_search_by(|path| path.as_path().cmp(file))
        {
            files.insert(place, file.to_path_buf());
        }
        for path in &files {
            let candidate = candidate.filter(|candidate| candidate.file == path);
            reading.file(path, candidate.map_or(path, |candidate| candidate.text_at), faults);
        }
        if files.is_empty() {
            let remedy = "add a file for each partner".to_owned();
            faults.add(directory, (1, 1), "there is no partner".to_owned(), remedy);
        }
        reading.finish()
    }

    /// Reads what a partner's own file says of the gateway: who it is, and what is agreed with it.
    pub(super) fn of_party_file(
        path: &Path,
        root: &mut Section<'_>,
        own: &Identity,
        faults: &mut Faults,
    ) -> Self {
        let mut reading = Reading::new(own);
        let section = root.table("gateway", faults);
        let gateway = reading.party(path, section, Some(PartyKind::SingleWindow), None, faults);
        reading.agreements(path, root, gateway, false, faults);
        reading.finish()
    }
}

struct Reading<'a> {
    own: &'a Identity,
    claimed: Claimed,
    parties: Vec<Party>,
    agreements: Vec<Agreement>,
    signing_certificates: Vec<(PartyKey, Vec<u8>)>,
    tls_certificates: Vec<(PartyKey, Vec<u8>)>,
    hosted: Vec<(PartyKey, SigningFiles)>,
    officers: Vec<Officer>,
    files: BTreeMap<PartyKey, PathBuf>,
}

impl<'a> Reading<'a> {
    fn new(own: &'a Identity) -> Self {
        let claimed = Claimed {
            keys: Claims(BTreeMap::from([(own.key.clone(), THIS_NODE.to_owned())])),
            names: Claims(BTreeMap::new()),
            ids: Claims(own.ids.iter().map(|id| (id.clone(), THIS_NODE.to_owned())).collect()),
            certificates: Claims(BTreeMap::new()),
            agreements: Claims(BTreeMap::new()),
            parts: Claims(BTreeMap::new()),
        };
        Self {
            own,
            claimed,
            parties: Vec::new(),
            agreements: Vec::new(),
            signing_certificates: Vec::new(),
            tls_certificates: Vec::new(),
            hosted: Vec::new(),
            officers: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    fn finish(self) -> Partners {
        Partners {
            registry: Registry::new(self.parties, self.agreements).with_officers(self.officers),
            signing_certificates: self.signing_certificates,
            tls_certificates: self.tls_certificates,
            hosted: self.hosted,
            files: self.files,
        }
    }

    fn file(&mut self, path: &Path, text_at: &Path, faults: &mut Faults) {
        let Some(file) = TomlFile::read_as(path, text_at, faults) else { return };
        let table = file.parse(faults);
        let mut root = Section::root(&file, &table);
        let mut section = root.table("party", faults);
        let kind = section.required("kind", party_kind, faults);
        let hosted = root.has("hosted").then(|| signing_files(root.table("hosted", faults), faults));
        if hosted.is_some() && kind.is_some_and(|kind| kind != PartyKind::Agency) {
            section.add("only an agency can be hosted".to_owned(), "write kind = \"agency\"", faults);
        }
        let party = self.party(path, section, kind, hosted.as_ref().map(Option::as_ref), faults);
        self.officers(path, &mut root, party.as_ref(), hosted.is_some(), faults);
        if let (Some(party), Some(Some(files))) = (&party, &hosted) {
            self.hosted.push((party.key.clone(), files.clone()));
        }
        self.agreements(path, &mut root, party, hosted.is_some(), faults);
        root.finish(faults);
    }

    /// Who works in the inbox of a hosted agency.
    fn officers(
        &mut self,
        path: &Path,
        root: &mut Section<'_>,
        party: Option<&Party>,
        hosted: bool,
        faults: &mut Faults,
    ) {
        let sections = root.tables("officer", faults);
        if hosted && sections.is_empty() {
            root.add("nobody works in its inbox".to_owned(), "add an [[officer]]", faults);
        }
        for mut section in sections {
            let name = section.required("name", plain, faults);
            let role = section.required("role", officer_role, faults);
            let place = section.place();
            let certificates = certificates("tls_certificates", &mut section, faults);
            if !hosted {
                section.add(
                    "an officer, and the agency is not hosted".to_owned(),
                    "add [hosted], or take it away",
                    faults,
                );
            }
            section.finish(faults);
            let (Some(name), Some(role), Some(party)) = (name, role, party) else { continue };
            let by = path.display().to_string();
            let tls_certificates: Vec<_> = certificates.iter().map(|der| Digest::of(der)).collect();
            for certificate in &tls_certificates {
                if let Some(what) = self.claimed.certificates.claim("certificate", *certificate, &by) {
                    faults.add(path, place, what, "a certificate is registered once".to_owned());
                }
            }
            self.officers.push(Officer { name, role, agency: party.key.clone(), tls_certificates });
        }
    }

    /// The agreements of a file with the party that it names.
    fn agreements(
        &mut self,
        path: &Path,
        root: &mut Section<'_>,
        party: Option<Party>,
        hosted: bool,
        faults: &mut Faults,
    ) {
        let sections = root.tables("agreement", faults);
        if sections.is_empty() {
            root.add("there is no [[agreement]]".to_owned(), "add what is agreed with the partner", faults);
        }
        for section in sections {
            self.agreement(path, section, party.as_ref(), hosted, faults);
        }
        self.parties.extend(party);
    }

    fn party(
        &mut self,
        path: &Path,
        mut section: Section<'_>,
        kind: Option<PartyKind>,
        hosted: Option<Option<&SigningFiles>>,
        faults: &mut Faults,
    ) -> Option<Party> {
        let key = section.required("key", |text| PartyKey::new(text), faults);
        let kind_of_id = section.optional("type", plain, faults).unwrap_or_else(|| BOX_NUMBER_TYPE.into());
        let other_ids = section.list("other_ids", party_id, faults);
        let name = section.required("name", plain, faults);
        let business_number = section.optional("business_number", plain, faults);
        let plays = self.plays(path, &mut section, kind, hosted.is_some(), faults);
        let place = section.place();
        // Nobody connects in the name of a hosted agency: we sign with its key, from its inbox.
        let (tls, signing) = match hosted {
            Some(files) => {
                (Vec::new(), files.map_or_else(Vec::new, |files| certificates_of(&files.certificate, faults)))
            }
            None => (
                certificates("tls_certificates", &mut section, faults),
                certificates("signing_certificates", &mut section, faults),
            ),
        };
        section.finish(faults);
        let (key, name) = (key?, name?);
        let party = Party {
            ids: iter::once(PartyId { value: key.as_str().into(), kind: Some(kind_of_id) })
                .chain(other_ids)
                .collect(),
            tls_certificates: tls.iter().map(|der| Digest::of(der)).collect(),
            signing_certificates: signing.iter().map(|der| Digest::of(der)).collect(),
            key: key.clone(),
            name: name.clone(),
            kind: kind?,
            business_number,
            plays: plays?,
        };
        let by = path.display().to_string();
        let mut twice = |what: Option<String>| {
            if let Some(what) = what {
                faults.add(path, place, what, "a party is registered once".to_owned());
            }
        };
        self.files.entry(key.clone()).or_insert_with(|| path.to_owned());
        twice(self.claimed.keys.claim("party", key.clone(), &by));
        twice(self.claimed.names.claim("name", name, &by));
        for id in &party.ids {
            twice(self.claimed.ids.claim("PartyId", id.clone(), &by));
        }
        let mut own_certificates: Vec<_> =
            party.tls_certificates.iter().chain(&party.signing_certificates).copied().collect();
        own_certificates.sort_unstable();
        own_certificates.dedup();
        for certificate in own_certificates {
            twice(self.claimed.certificates.claim("certificate", certificate, &by));
        }
        self.signing_certificates.extend(signing.into_iter().map(|der| (key.clone(), der)));
        self.tls_certificates.extend(tls.into_iter().map(|der| (key.clone(), der)));
        Some(party)
    }

    /// What a party plays in practice: `customs`, agencies by their codes, or `*` for all that nobody else plays.
    /// `None` when it is told wrongly.
    fn plays(
        &mut self,
        path: &Path,
        section: &mut Section<'_>,
        kind: Option<PartyKind>,
        hosted: bool,
        faults: &mut Faults,
    ) -> Option<Option<Plays>> {
        if !section.has("plays") {
            return Some(None);
        }
        let place = section.place();
        let parts = section.list("plays", plain, faults);
        let by = path.display().to_string();
        for part in &parts {
            if let Some(what) = self.claimed.parts.claim("part in practice", part.clone(), &by) {
                faults.add(path, place, what, "one party plays it".to_owned());
            }
        }
        let only = |word: &str| matches!(&parts[..], [only] if **only == *word);
        let wrong = match kind? {
            _ if hosted => "a hosted agency plays nothing: its officers work in production",
            PartyKind::Declarant | PartyKind::SingleWindow => "only an agency and customs play something",
            PartyKind::Customs if only(CUSTOMS) => return Some(Some(Plays::Customs)),
            PartyKind::Customs => "customs plays customs, and nothing else",
            PartyKind::Agency if only(OTHERS) => return Some(Some(Plays::OtherAgencies)),
            PartyKind::Agency => {
                let agencies = parts.iter().filter(|part| ![OTHERS, CUSTOMS].contains(&&***part));
                let agencies: Result<Vec<_>, _> =
                    agencies.map(|part| AgencyCode::new(part.clone())).collect();
                match agencies {
                    Ok(agencies) if agencies.len() == parts.len() && !parts.is_empty() => {
                        return Some(Some(Plays::Agencies(agencies)));
                    }
                    _ => "plays is neither a list of agency codes nor \"*\" alone",
                }
            }
        };
        section.add(wrong.to_owned(), "see docs/operations.md, Practice", faults);
        None
    }

    fn agreement(
        &mut self,
        path: &Path,
        mut section: Section<'_>,
        party: Option<&Party>,
        hosted: bool,
        faults: &mut Faults,
    ) {
        let cpa_id = section.required("cpa_id", |text| CpaId::new(text), faults);
        let partner_role = section.required("partner_role", |text| Role::new(text), faults);
        let own_role = section.optional("own_role", |text| Role::new(text), faults);
        let collects = section.flag("mailbox", false, faults);
        let practice = section.flag("practice", false, faults);
        let forwards = section.flag("forwards", false, faults);
        if forwards && (hosted || collects) {
            let message = "forwards, and the partner is not posted to".to_owned();
            section.add(message, "take it away: only who has an endpoint has messages passed on", faults);
        }
        if let Some(party) = party {
            check_practice(&section, party, practice, faults);
        }
        let response_endpoint = section.optional("response_endpoint", endpoint, faults);
        let endpoint = section.optional("endpoint", endpoint, faults);
        if section.has("response_endpoint") && !section.has("endpoint") {
            let message = "an endpoint for answers, and none for anything else".to_owned();
            section.add(message, "add endpoint, or take response_endpoint away", faults);
        }
        match (section.has("endpoint"), collects) {
            (false, false) if hosted => {}
            (true, _) | (_, true) if hosted => section.add(
                "a hosted agency is reached in its inbox".to_owned(),
                "take endpoint and mailbox away",
                faults,
            ),
            (false, false) => section.add(
                "there is neither an endpoint nor a mailbox".to_owned(),
                "add endpoint, or mailbox = true for a partner without a server",
                faults,
            ),
            (true, true) => section.add(
                "there is an endpoint and a mailbox".to_owned(),
                "a partner collects, or it is posted to: take one away",
                faults,
            ),
            _ => {}
        }
        let start = section.optional("start", instant, faults);
        let end = section.optional("end", instant, faults);
        let sync_reply_mode = section.optional("sync_reply_mode", sync_reply_mode, faults);
        let sync_reply_mode = sync_reply_mode.unwrap_or(SyncReplyMode::MshSignalsOnly);
        let empty_answer = section.optional("empty_answer", empty_answer, faults).unwrap_or_default();
        let message_order = section.flag("message_order", false, faults);
        let usual = Reliability { message_order, ..USUAL };
        let reliability = reliability(&mut section, &usual, faults);
        check_order(&section, &reliability, sync_reply_mode, hosted, faults);
        let (signature, profile) = signature(&mut section, faults);
        let window = section.number("window", 8, 1, faults);
        let place = section.place();
        let mut actions = section.list("send", |text| binding(Direction::Send, text), faults);
        actions.extend(section.list("receive", |text| binding(Direction::Receive, text), faults));
        if actions.is_empty() {
            section.add("nothing may be sent or received".to_owned(), "add send or receive actions", faults);
        }
        if let Some(kind) = section.optional("service_type", plain, faults) {
            actions.iter_mut().for_each(|bound| bound.service_type = Some(kind.clone()));
        }
        let others = section.tables("override", faults);
        let other_own_ids = section.list("other_own_ids", party_id, faults);
        for id in &other_own_ids {
            if let Some(what) = self.claimed.ids.claim("PartyId", id.clone(), THIS_NODE)
                && !self.claimed.ids.is_of(id, THIS_NODE)
            {
                faults.add(path, place, what, "a PartyId names one party".to_owned());
            }
        }
        let own_role = own_role.or_else(|| self.own.role.clone());
        if own_role.is_none() {
            section.add("our role is not known".to_owned(), "add own_role, or [gateway] role", faults);
        }
        section.finish(faults);
        let way = endpoint.is_some() || collects || hosted;
        let (Some(cpa_id), Some(partner_role), Some(own_role), Some(party), true) =
            (cpa_id, partner_role, own_role, party, way)
        else {
            return;
        };
        let by = path.display().to_string();
        if let Some(what) = self.claimed.agreements.claim("cpa_id", cpa_id.clone(), &by) {
            faults.add(path, place, what, "a CPAId names one agreement".to_owned());
        }
        let mut agreement = Agreement {
            cpa_id,
            partner: party.key.clone(),
            partner_ids: party.ids.clone(),
            partner_role,
            own_ids: self.own.ids.iter().cloned().chain(other_own_ids).collect(),
            own_role,
            start,
            end,
            endpoint,
            response_endpoint,
            hosted,
            forwards,
            practice,
            actions,
            sync_reply_mode,
            empty_answer,
            reliability,
            signature,
            profile,
            window,
            overrides: Vec::new(),
        };
        agreement.overrides = overrides(others, &agreement, party.kind, faults);
        self.agreements.push(agreement);
    }
}

impl<K: Ord> Claims<K> {
    /// Claims something; what stands in the way, if it is taken.
    fn claim(&mut self, what: &str, key: K, by: &str) -> Option<String> {
        let taken = self.0.get(&key).map(|by| format!("this {what} is already that of {by}"));
        self.0.entry(key).or_insert_with(|| by.to_owned());
        taken
    }

    fn is_of(&self, key: &K, by: &str) -> bool {
        self.0.get(key).is_some_and(|taken| taken == by)
    }
}

/// A party that plays something takes part in nothing else; and no other agency or customs takes part in practice.
fn check_practice(section: &Section<'_>, party: &Party, practice: bool, faults: &mut Faults) {
    let is_played_with = matches!(party.kind, PartyKind::Agency | PartyKind::Customs);
    match (party.plays.is_some(), practice) {
        (true, false) => section.add(
            "a production agreement, and the party plays in practice".to_owned(),
            "write practice = true, or take [party] plays away",
            faults,
        ),
        (false, true) if is_played_with => section.add(
            "an agreement for practice, and the party plays nothing in it".to_owned(),
            "add [party] plays, or take practice away",
            faults,
        ),
        _ => {}
    }
}

/// Who claims what is ours.
const THIS_NODE: &str = "this node";
/// What customs plays.
const CUSTOMS: &str = "customs";
/// Every agency that nobody else plays.
const OTHERS: &str = "*";

/// DER octets of the certificates under a key, at least one.
pub(super) fn certificates(
    key: &'static str,
    section: &mut Section<'_>,
    faults: &mut Faults,
) -> Vec<Vec<u8>> {
    let files = section.files(key, faults);
    if files.is_empty() {
        section.add(format!("{key} names no certificate"), "name at least one PEM file", faults);
    }
    files.iter().flat_map(|file| certificates_of(file, faults)).collect()
}

fn files(directory: &Path, faults: &mut Faults) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut files = match listed {
        Ok(files) => files,
        Err(error) => {
            let remedy = "name a readable directory".to_owned();
            faults.add(directory, (1, 1), format!("cannot be read: {error}"), remedy);
            return Vec::new();
        }
    };
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    if files.len() > FILES_MAX {
        let message = format!("there are more than {FILES_MAX} partner files");
        faults.add(directory, (1, 1), message, "remove those not in use".to_owned());
        files.truncate(FILES_MAX);
    }
    files
}

/// DER octets of the certificates in a PEM file.
fn certificates_of(path: &Path, faults: &mut Faults) -> Vec<Vec<u8>> {
    let read = std::fs::read(path).map_err(|error| error.to_string()).and_then(|pem| {
        let certificates = X509::stack_from_pem(&pem).map_err(|_| "is no PEM certificate".to_owned())?;
        let ders = certificates.iter().map(|certificate| certificate.to_der().map_err(|e| e.to_string()));
        ders.collect::<Result<Vec<_>, _>>()
    });
    let read = read.and_then(|ders| if ders.is_empty() { Err("holds none".to_owned()) } else { Ok(ders) });
    read.unwrap_or_else(|why| {
        let remedy = "put the partner's certificate there, PEM".to_owned();
        faults.add(path, (1, 1), format!("as a certificate: {why}"), remedy);
        Vec::new()
    })
}

/// A further PartyId: `type value`, or a URI without type (ebMS 2.0, 3.1.1.1).
fn party_id(text: &str) -> Result<PartyId, ValueError> {
    match text.split_once(' ') {
        Some((kind, value)) if !kind.is_empty() && !value.trim().is_empty() => {
            Ok(PartyId { value: value.trim().into(), kind: Some(kind.into()) })
        }
        None if text.contains(':') => Ok(PartyId { value: text.into(), kind: None }),
        _ => Err(ValueError::new("a type and a PartyId with a space between, or a URI", text)),
    }
}

fn party_kind(text: &str) -> Result<PartyKind, ValueError> {
    let words =
        [("declarant", PartyKind::Declarant), ("agency", PartyKind::Agency), ("customs", PartyKind::Customs)];
    word(text, "declarant, agency or customs", &words)
}

fn officer_role(text: &str) -> Result<OfficerRole, ValueError> {
    let words = [OfficerRole::Viewer, OfficerRole::Officer, OfficerRole::Supervisor];
    word(text, "viewer, officer or supervisor", &words.map(|role| (role.as_str(), role)))
}
