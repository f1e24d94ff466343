//! Checks an archive of evidence about one message with nothing but the gateway's public keys (P18; threats S26, S27).
//!
//! Promises: whatever was changed, removed, put in or swapped is found and named. The manifest is signed by the gateway
//! and names every file. What stands in the files is then shown again without it: each audit entry by its path to the
//! root of a signed head, the octets by the digests in those entries, the keys that counted by an entry of theirs, and
//! each message by its own signature with one of those keys.
//!
//! Says what it cannot show: a message that came unsigned, or a time that only the gateway's clock gives.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use openssl::x509::X509;

use super::audit::AuditKeys;
use super::error::SealError;
use super::inspect::{Capture, Inspection, ReferenceVerdict, inspect};
use super::keystore::SigningKey;
use super::revocation::RevocationLists;
use crate::model::{
    AuditHead, AuditPath, Canonicalization, Deviation, Digest, DigestMethod, DigestReference,
    EvidenceManifest, EvidenceMember, EvidenceSignature, EvidenceSubject, KeyList, KeyUse, MessageKind,
    Octets, PartnerProfile, PartyKey, ProvenEntry, SignatureAlgorithm, SignatureTerms, SignedHead,
    SigningTerms, TimelineEntry, Timestamp, root_by_path,
};

/// Names in an archive.
pub mod names {
    /// In words, for people.
    pub const README: &str = "README.txt";
    /// The signed manifest.
    pub const MANIFEST: &str = "manifest.json";
    /// Its signature.
    pub const SIGNATURE: &str = "manifest.sig.json";
    /// The HTTP entity of the message.
    pub const MESSAGE: &str = "message";
    /// The HTTP entity that we answered a received message with.
    pub const ANSWER: &str = "answer";
    /// The HTTP entity that ended a delivery.
    pub const RECEIPT: &str = "receipt";
    /// The audit entries, with what shows them.
    pub const AUDIT: &str = "audit.json";

    /// The keys that counted from some time on.
    #[must_use]
    pub fn list(digest: &crate::model::Digest) -> String {
        format!("keys/{digest}.txt")
    }

    /// A certificate, DER.
    #[must_use]
    pub fn certificate(digest: &crate::model::Digest) -> String {
        format!("keys/{digest}.der")
    }

    /// A file of revocation lists, PEM.
    #[must_use]
    pub fn revocation(digest: &crate::model::Digest) -> String {
        format!("keys/{digest}.crl.pem")
    }
}

/// Signs a manifest.
///
/// # Errors
/// When OpenSSL cannot sign with this key.
pub fn sign_manifest(key: &SigningKey, manifest: &[u8]) -> Result<EvidenceSignature, SealError> {
    let signature = STANDARD.encode(key.strict().sign(&EvidenceManifest::signed_text(manifest))?);
    Ok(EvidenceSignature { key: key.fingerprint(), signature })
}

/// What is wrong with an archive: which part of it, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {detail}")]
pub struct EvidenceFault {
    /// The file in it, the entry or the head.
    pub what: String,
    /// What is wrong with it.
    pub detail: String,
}

fn fault(what: impl Into<String>, detail: impl Into<String>) -> EvidenceFault {
    EvidenceFault { what: what.into(), detail: detail.into() }
}

/// What an archive was shown to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEvidence {
    /// Its manifest.
    pub manifest: EvidenceManifest,
    /// What is proven, in sentences.
    pub shown: Vec<String>,
    /// What it does not prove, in sentences.
    pub open: Vec<String>,
}

/// Checks the files of an archive, with heads that were kept elsewhere when there are some; each is looked at once.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_evidence(
    members: &BTreeMap<String, Octets>,
    keys: &AuditKeys,
    elsewhere: impl IntoIterator<Item = SignedHead>,
) -> Result<ProvenEvidence, EvidenceFault> {
    let manifest = manifest(members, keys)?;
    let files = Files { members, manifest: &manifest };
    let mut proven = ProvenEvidence { manifest: manifest.clone(), shown: Vec::new(), open: Vec::new() };
    let entries = audit_path(&files, keys, elsewhere, &mut proven)?;
    let subject = &manifest.subject;
    let (about_keys, about): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(_, entry)| entry.octets.keys.is_some());
    for (number, entry) in &about {
        let is_about = entry.message_id.as_ref() == Some(subject.message_id())
            && entry.party.as_ref() == Some(subject.party());
        if !is_about {
            return Err(fault(format!("entry {number}"), "it is about something else than this message"));
        }
    }
    let exchanged = Exchanged { files: &files, keys: &about_keys, entries: &about };
    match subject {
        EvidenceSubject::Received(_) => exchanged.received(&mut proven)?,
        EvidenceSubject::Sent { .. } => exchanged.sent(&mut proven)?,
    }
    Ok(proven)
}

/// The manifest, once its signature holds and it names everything that is there.
fn manifest(members: &BTreeMap<String, Octets>, keys: &AuditKeys) -> Result<EvidenceManifest, EvidenceFault> {
    let file = |name: &str| members.get(name).ok_or_else(|| fault(name, "it is missing"));
    let octets = held(names::MANIFEST, file(names::MANIFEST)?)?;
    let signature = held(names::SIGNATURE, file(names::SIGNATURE)?)?;
    let manifest: EvidenceManifest =
        serde_json::from_slice(&octets).map_err(|error| fault(names::MANIFEST, error.to_string()))?;
    if manifest.form != EvidenceManifest::FORM {
        let (found, known) = (manifest.form, EvidenceManifest::FORM);
        let detail = format!("an archive of form {found}; this program knows {known}");
        return Err(fault(names::MANIFEST, detail));
    }
    let signature: EvidenceSignature =
        serde_json::from_slice(&signature).map_err(|error| fault(names::SIGNATURE, error.to_string()))?;
    let text = EvidenceManifest::signed_text(&octets);
    keys.verifies(&signature.key, manifest.made_at, &text, &signature.signature)
        .map_err(|detail| fault(names::MANIFEST, detail))?;
    let mut named = BTreeSet::from([names::MANIFEST, names::SIGNATURE]);
    for EvidenceMember { name, sha256, bytes, .. } in &manifest.members {
        let octets = file(name)?;
        if octets.digest() != *sha256 || octets.bytes() != *bytes {
            return Err(fault(name.as_str(), "its octets are not those that the manifest names"));
        }
        named.insert(name);
    }
    match members.keys().find(|name| !named.contains(name.as_str())) {
        Some(name) => Err(fault(name.as_str(), "the manifest does not name it: it was put in")),
        None => Ok(manifest),
    }
}

/// The files of an archive whose manifest holds.
struct Files<'a> {
    members: &'a BTreeMap<String, Octets>,
    manifest: &'a EvidenceManifest,
}

impl Files<'_> {
    fn entity(&self, name: &str) -> Result<&Octets, EvidenceFault> {
        self.members.get(name).ok_or_else(|| fault(name, "it is missing"))
    }

    fn get(&self, name: &str) -> Result<Bytes, EvidenceFault> {
        held(name, self.entity(name)?)
    }

    fn content_type(&self, name: &str) -> Result<&str, EvidenceFault> {
        let member = self.manifest.members.iter().find(|member| member.name == name);
        let content_type = member.and_then(|member| member.content_type.as_deref());
        content_type.ok_or_else(|| fault(name, "the manifest does not tell its Content-Type"))
    }

    fn text(&self, name: &str) -> Result<String, EvidenceFault> {
        String::from_utf8(self.get(name)?.into()).map_err(|error| fault(name, error.to_string()))
    }
}

/// What is no message is read at once.
fn held(name: &str, octets: &Octets) -> Result<Bytes, EvidenceFault> {
    octets.read(HELD_BYTES_MAX).map_err(|error| fault(name, error.to_string()))
}

/// Octets of a file of an archive that is no message.
pub const HELD_BYTES_MAX: usize = 64 << 20;

type Entry = (u64, TimelineEntry);

/// Every entry, once it is shown to be in the tree of a head that is signed.
fn audit_path(
    files: &Files<'_>,
    keys: &AuditKeys,
    elsewhere: impl IntoIterator<Item = SignedHead>,
    proven: &mut ProvenEvidence,
) -> Result<Vec<Entry>, EvidenceFault> {
    let path: AuditPath = serde_json::from_slice(&files.get(names::AUDIT)?)
        .map_err(|error| fault(names::AUDIT, error.to_string()))?;
    let mut heads = BTreeMap::new();
    for signed in &path.heads {
        let entries = signed.head.entries;
        let wrong = |detail: String| fault(format!("the head of {entries} entries"), detail);
        keys.check(signed).map_err(wrong)?;
        if signed.head.gateway != files.manifest.gateway {
            return Err(wrong(format!("it is of another gateway, {}", signed.head.gateway)));
        }
        heads.insert(entries, signed);
    }
    for kept in elsewhere {
        let (entries, root) = (kept.head.entries, kept.head.root);
        if heads.get(&entries).is_some_and(|signed| signed.head.root != root) {
            let detail = "a head of as many entries that was kept elsewhere has another root";
            return Err(fault(format!("the head of {entries} entries"), detail));
        }
    }
    let mut before = AuditHead::EMPTY;
    let mut entries = Vec::new();
    for ProvenEntry { number, previous, text, head, path } in &path.entries {
        let wrong = |detail: &str| fault(format!("entry {number}"), detail);
        if *number <= before.sequence {
            return Err(wrong("it does not come after the one before it"));
        }
        let signed = heads.get(head).ok_or_else(|| wrong("the head that it is shown by is missing"))?;
        let here = AuditHead { sequence: number - 1, hash: *previous };
        if here.sequence == before.sequence && here.hash != before.hash {
            return Err(wrong("it does not follow from the entry before it"));
        }
        before = here.then(text);
        if root_by_path(*number, *head, before.hash, path) != Some(signed.head.root) {
            let detail =
                "its path does not lead to the root that was signed: it was changed, or is of another record";
            return Err(wrong(detail));
        }
        let entry = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
        entries.push((*number, entry));
    }
    let at = path.heads.iter().map(|signed| signed.head.at).max();
    let (Some(at), Some((last, _))) = (at, entries.last()) else {
        return Err(fault(names::AUDIT, "there is no entry in it that a head speaks for"));
    };
    let count = entries.len();
    proven
        .shown
        .push(format!("{count} audit entries, the last of them {last}, are in the record signed at {at}"));
    Ok(entries)
}

/// The keys that counted at an entry.
struct Counted {
    list: KeyList,
    lists: RevocationLists,
}

impl Counted {
    fn at(files: &Files<'_>, about_keys: &[Entry], number: u64) -> Result<Self, EvidenceFault> {
        let last = about_keys.iter().rev().find(|(keys, _)| *keys <= number);
        let digest = last.and_then(|(_, entry)| entry.octets.keys).ok_or_else(|| {
            fault(format!("entry {number}"), "no audit entry before it says which keys counted")
        })?;
        let name = names::list(&digest);
        if files.entity(&name)?.digest() != digest {
            return Err(fault(name, "its octets are not those that an audit entry vouches for"));
        }
        let list: KeyList = files.text(&name)?.parse().map_err(|why: String| fault(name.as_str(), why))?;
        let mut lists = RevocationLists::default();
        for digest in list.all_of(KeyUse::Revocation) {
            let name = names::revocation(&digest);
            let octets = files.entity(&name)?;
            if octets.digest() != digest {
                return Err(fault(name, "its octets are not those that the list of keys names"));
            }
            lists.add_pem(&files.text(&name)?).map_err(|why| fault(name.as_str(), why.to_string()))?;
        }
        Ok(Self { list, lists })
    }

    /// The certificates of a party that are in the archive, each as the list names it.
    fn certificates(
        &self,
        files: &Files<'_>,
        of: KeyUse,
        party: &PartyKey,
    ) -> Result<Vec<Vec<u8>>, EvidenceFault> {
        let read = |digest: Digest| {
            let name = names::certificate(&digest);
            let octets = files.get(&name)?;
            if Digest::of(&octets) == digest {
                Ok(octets.to_vec())
            } else {
                Err(fault(name, "its octets are not those that the list of keys names"))
            }
        };
        self.list.of(of, party).map(read).collect()
    }

    /// Whether a revocation list of the time has this certificate on it.
    fn is_revoked(&self, der: &[u8]) -> bool {
        X509::from_der(der).is_ok_and(|certificate| self.lists.name(&certificate))
    }
}

/// What went over the wire.
struct Exchanged<'a> {
    files: &'a Files<'a>,
    /// The entries about keys.
    keys: &'a [Entry],
    /// Those about the message.
    entries: &'a [Entry],
}

/// An HTTP entity of the archive, and whose signature it bears.
struct Signed {
    inspection: Inspection,
    by: Option<Digest>,
    /// What its signature does not show.
    open: Vec<String>,
}

impl Exchanged<'_> {
    fn received(&self, proven: &mut ProvenEvidence) -> Result<(), EvidenceFault> {
        let subject = &self.files.manifest.subject;
        let kept = self.entries.iter().find(|(_, entry)| entry.octets.received.is_some());
        let (number, entry) = kept.ok_or_else(|| unvouched(names::MESSAGE))?;
        self.vouched(names::MESSAGE, entry.octets.received, *number)?;
        let message = self.signed(names::MESSAGE, KeyUse::Signing, subject.party(), (*number, entry.at))?;
        self.is_subject(names::MESSAGE, &message)?;
        let (by, at) = (subject.party(), entry.at);
        self.tell(proven, &format!("the message of {by}, received at {at}"), number, &message);
        self.vouched(names::ANSWER, entry.octets.answer, *number)?;
        if entry.octets.answer.is_some() {
            let gateway = &self.files.manifest.gateway;
            let answer = self.signed(names::ANSWER, KeyUse::Own, gateway, (*number, entry.at))?;
            self.answers(names::ANSWER, &answer, &message)?;
            self.tell(proven, "our answer to it", number, &answer);
        }
        Ok(())
    }

    fn sent(&self, proven: &mut ProvenEvidence) -> Result<(), EvidenceFault> {
        let subject = &self.files.manifest.subject;
        let made = self.entries.iter().find(|(_, entry)| entry.octets.sent.is_some());
        let (number, entry) = made.ok_or_else(|| unvouched(names::MESSAGE))?;
        self.vouched(names::MESSAGE, entry.octets.sent, *number)?;
        let manifest = self.files.manifest;
        let (of, by, what) = match &manifest.passed_on_for {
            None => (KeyUse::Own, &manifest.gateway, "our message".to_owned()),
            Some(from) => (KeyUse::Signing, from, format!("the message of {from}, passed on")),
        };
        let message = self.signed(names::MESSAGE, of, by, (*number, entry.at))?;
        self.is_subject(names::MESSAGE, &message)?;
        self.is_between(by, subject.party(), *number, &message, proven)?;
        self.tell(proven, &format!("{what} to {}", subject.party()), number, &message);
        let receipt = self.entries.iter().rev().find(|(_, entry)| entry.octets.receipt.is_some());
        let Some((number, entry)) = receipt else {
            self.vouched(names::RECEIPT, None, 0)?;
            proven.open.push("no receipt of it was kept".to_owned());
            return Ok(());
        };
        self.vouched(names::RECEIPT, entry.octets.receipt, *number)?;
        let receipt = self.signed(names::RECEIPT, KeyUse::Signing, subject.party(), (*number, entry.at))?;
        self.answers(names::RECEIPT, &receipt, &message)?;
        let (from, at) = (subject.party(), entry.at);
        self.tell(proven, &format!("the receipt of {from}, which came at {at}"), number, &receipt);
        Ok(())
    }

    /// A file is there as an entry vouches for it, and is not there when none does.
    fn vouched(&self, name: &str, digest: Option<Digest>, number: u64) -> Result<(), EvidenceFault> {
        match (self.files.members.get(name), digest) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(unvouched(name)),
            (None, Some(_)) => {
                Err(fault(name, format!("it is missing: audit entry {number} vouches for it")))
            }
            (Some(octets), Some(digest)) if octets.digest() == digest => Ok(()),
            (Some(_), Some(_)) => {
                Err(fault(name, format!("its octets are not those that audit entry {number} vouches for")))
            }
        }
    }

    /// A message, once its signature holds with a key that counted.
    fn signed(
        &self,
        name: &str,
        of: KeyUse,
        party: &PartyKey,
        (number, at): (u64, Timestamp),
    ) -> Result<Signed, EvidenceFault> {
        let body = self.files.entity(name)?;
        let counted = Counted::at(self.files, self.keys, number)?;
        let signers = counted.certificates(self.files, of, party)?;
        let capture = Capture {
            content_type: self.files.content_type(name)?,
            body,
            signers: &signers,
            trust_message_certificate: false,
            profile: PartnerProfile { name: "any".into(), deviations: Deviation::ALL.into() },
            terms: every_term(),
            at: Some(at),
        };
        let inspection = inspect(&capture);
        if inspection.message.is_none() {
            return Err(fault(name, "it is no message that can be read"));
        }
        let Some(signature) = &inspection.signature else {
            return Ok(Signed { inspection, by: None, open: Vec::new() });
        };
        if let Some(why) = &signature.outside_profile {
            return Err(fault(name, format!("its signature is outside the profile: {why}")));
        }
        let Some(by) = signature.signed_by else {
            return Err(fault(name, format!("none of the keys of {party} that counted then signed it")));
        };
        if signature.references.iter().any(|reference| reference.verdict != ReferenceVerdict::Matches) {
            return Err(fault(name, "it is not what was signed"));
        }
        if let Some(signer) = signers.iter().find(|der| Digest::of(der) == by)
            && counted.is_revoked(signer)
        {
            return Err(fault(
                name,
                format!("the certificate {by} that signed it was on a revocation list of the time"),
            ));
        }
        let weak = signature.references.iter().map(|reference| &reference.method).chain([&signature.method]);
        let mut open: Vec<_> = weak
            .filter(|method| method.contains("sha1"))
            .map(|method| format!("what {method} covers: such digests can be forged today"))
            .collect();
        let unsigned = inspection.parts.iter().skip(1).filter(|part| !part.signed);
        open.extend(
            unsigned.map(|part| {
                format!("a part of {name}, {:?}: its signature does not cover it", part.content_id)
            }),
        );
        open.dedup();
        Ok(Signed { inspection, by: Some(by), open })
    }

    /// The octets are those of the message that the archive says it is about.
    fn is_subject(&self, name: &str, found: &Signed) -> Result<(), EvidenceFault> {
        let message = found.inspection.message.as_ref();
        let id = message.map(|message| &message.header.data.message_id);
        match id == Some(self.files.manifest.subject.message_id()) {
            true => Ok(()),
            false => Err(fault(name, "it is another message than the archive is about")),
        }
    }

    /// A message names as its From and To Party who the manifest says. Parties have other ids beside the name that
    /// the keys are listed under: an id that is nobody's name is told, and one that is another's is a fault. So it is
    /// not in a signal of ours: it answers From as that was written, by whoever sent it.
    fn is_between(
        &self,
        from: &PartyKey,
        to: &PartyKey,
        number: u64,
        found: &Signed,
        proven: &mut ProvenEvidence,
    ) -> Result<(), EvidenceFault> {
        let Some(message) = &found.inspection.message else { return Ok(()) };
        let listed = Counted::at(self.files, self.keys, number)?.list;
        let names_parties = self.files.manifest.passed_on_for.is_some() || message.kind == MessageKind::User;
        for (what, party, said) in
            [("From", from, &message.header.from.ids), ("To", to, &message.header.to.ids)]
        {
            let is_named = |party: &PartyKey| said.iter().any(|id| *id.value == *party.as_str());
            if is_named(party) {
                continue;
            }
            if let Some(other) = listed.parties().find(|party| is_named(party)).filter(|_| names_parties) {
                let detail = format!("its {what} Party is {other}, and the manifest says {party}");
                return Err(fault(names::MESSAGE, detail));
            }
            let ids: Vec<_> = said.iter().map(|id| &*id.value).collect();
            let ids = ids.join(", ");
            proven.open.push(format!(
                "the message names {ids} as its {what} Party: that this is {party} the gateway alone says"
            ));
        }
        Ok(())
    }

    /// What ends an exchange names the message, and every Acknowledgment with references repeats those that were signed.
    fn answers(&self, name: &str, answer: &Signed, to: &Signed) -> Result<(), EvidenceFault> {
        let id = self.files.manifest.subject.message_id();
        let Some(said) = &answer.inspection.message else { return Ok(()) };
        let names_it = said.header.data.ref_to_message_id.as_ref() == Some(id)
            || said.acknowledgments.iter().any(|given| given.ref_to_message_id == *id);
        if !names_it {
            return Err(fault(name, "it answers another message"));
        }
        let signed = |reference: &DigestReference| {
            let value = STANDARD.encode(&reference.value);
            let of_message = to.inspection.signature.iter().flat_map(|signature| &signature.references);
            of_message.clone().any(|found| found.uri == *reference.uri && found.expected.trim() == value)
        };
        let given = said.acknowledgments.iter().filter(|given| given.ref_to_message_id == *id);
        if !given.flat_map(|given| &given.references).all(signed) {
            return Err(fault(name, "it acknowledges other digests than those of the message"));
        }
        Ok(())
    }

    fn tell(&self, proven: &mut ProvenEvidence, what: &str, number: &u64, found: &Signed) {
        proven.open.extend(found.open.iter().cloned());
        match found.by {
            Some(by) => proven.shown.push(format!("{what}: audit entry {number}, signed with {by}")),
            None => {
                proven.shown.push(format!("{what}: audit entry {number}"));
                proven.open.push(format!("{what} is not signed: the gateway alone says whose it is"));
            }
        }
    }
}

/// Whatever an agreement may have allowed then: that the gateway took it stands in the record, and what is weak is told.
fn every_term() -> SignatureTerms {
    SignatureTerms {
        own: SigningTerms::strict(SignatureAlgorithm::RsaSha256),
        accepted: SignatureAlgorithm::agreeable().collect(),
        digests: DigestMethod::agreeable().collect(),
        canonicalizations: Canonicalization::ALL.into(),
        sha1_until: Some(Timestamp::from_millis(i64::MAX)),
    }
}

fn unvouched(name: &str) -> EvidenceFault {
    fault(name, "no audit entry in the archive vouches for its octets")
}

#[cfg(test)]
mod tests;
