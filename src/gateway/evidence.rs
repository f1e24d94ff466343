//! Evidence about one message: everything that was kept of it, in one archive that proves itself (P18; threats S26, S27).
//!
//! Gathered from the store: the octets both ways, the audit entries about it, each with its path to a signed head, and
//! the keys that counted. Signed with the gateway's first key. `security::verify_evidence` says what it proves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::heads;
use super::keys::{Keys, KeysError};
use super::send::content;
use super::shared::{Shared, now};
use super::show::Unanswered;
use crate::codec::archive::pack;
use crate::model::{
    AuditHead, AuditPath, ChainEntry, Delivery, DeliveryPurpose, Digest, EvidenceManifest, EvidenceMember,
    EvidenceSubject, KeyList, KeyUse, MessageId, MessageKey, Octets, PartyKey, ProvenEntry, Purged,
    SignedHead, StoredMessage, TimelineEntry, Timestamp, Tree, Witness,
};
use crate::security::{SigningKey, names, sign_manifest};
use crate::store::{DeliveryLocator, Needs, Store, StoreError};
use crate::telemetry::EventCode;
use crate::transport::{Response, StatusCode};

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum EvidenceError {
    /// There is no such message.
    #[error("there is no message {0}")]
    Nothing(String),
    /// The store does not give what belongs into it.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
    /// The keys that counted are not there.
    #[error("the keys that counted then: {0}")]
    Keys(#[from] KeysError),
    /// Something was recorded of it after the last head was signed.
    #[error("no signed head speaks for audit entry {0} yet")]
    NotSignedYet(u64),
    /// The audit record does not lead to a signed head.
    #[error("{0}")]
    Record(String),
    /// Its octets are not here any more: they were archived before.
    #[error("its octets were purged at {at}; its evidence is in [retention] archive, with SHA-256 {archive}")]
    Purged {
        /// When.
        at: Timestamp,
        /// Of its archive.
        archive: Digest,
    },
    /// It cannot be signed or packed.
    #[error("it cannot be made: {0}")]
    Unmade(String),
}

/// So often what belongs to a message is gathered anew because more of it was recorded meanwhile.
const GATHERINGS_MAX: usize = 5;

/// Where evidence is gathered, and who signs it.
pub(super) struct Archivist<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) keys: &'a Keys,
    pub(super) key: &'a SigningKey,
    pub(super) gateway: &'a PartyKey,
}

/// `GET /messages/PARTY/ID/evidence`: what it proves is signed first.
pub(super) fn answer(shared: &Shared, party: &str, id: &str) -> Result<Response, Unanswered> {
    let (Ok(party), Ok(message_id)) = (PartyKey::new(party), MessageId::new(id)) else {
        return Err(Unanswered::Nothing);
    };
    let in_force = shared.in_force.load();
    let key = in_force.keys.keys().next();
    let key = key.ok_or_else(|| Unanswered::Failed("there is no [[signing]] key".to_owned()))?;
    let keys = Keys::of_store(&in_force.settings.store.directory);
    let gateway = &in_force.settings.identity.key;
    let archivist = Archivist { store: &*shared.store, keys: &keys, key, gateway };
    let gathered = || {
        heads::sign_all(shared).map_err(|error| Unanswered::Failed(error.to_string()))?;
        Ok::<_, Unanswered>(archivist.archive(&party, &message_id, now()))
    };
    let mut archive = gathered()?;
    for _ in 1..GATHERINGS_MAX {
        if !matches!(archive, Err(EvidenceError::NotSignedYet(_))) {
            break;
        }
        archive = gathered()?;
    }
    match archive {
        Ok((_, octets)) => Ok(Response::new(StatusCode::OK, "application/x-tar", content(&octets))),
        Err(EvidenceError::Nothing(_)) => Err(Unanswered::Nothing),
        Err(EvidenceError::Unreadable(error)) => Err(Unanswered::Unreadable(error)),
        Err(error) => Err(Unanswered::Failed(error.to_string())),
    }
}

/// The octets that belong to a message, with their Content-Types, and what says where to look further.
struct Kept {
    subject: EvidenceSubject,
    passed_on_for: Option<PartyKey>,
    entities: Vec<(&'static str, Arc<str>, Octets)>,
    entries: Vec<ChainEntry>,
    told: String,
}

impl Archivist<'_> {
    /// The archive about the message that a party sent under this MessageId, or that we sent it.
    pub(super) fn archive(
        &self,
        party: &PartyKey,
        message_id: &MessageId,
        made_at: Timestamp,
    ) -> Result<(EvidenceSubject, Octets), EvidenceError> {
        let kept = match self.received(party, message_id)? {
            Some(kept) => kept,
            None => self
                .sent(party, message_id)?
                .ok_or_else(|| EvidenceError::Nothing(format!("{party}/{message_id}")))?,
        };
        let Kept { subject, passed_on_for, entities, mut entries, told } = kept;
        let mut files = Vec::new();
        let counted = self.keys_at(&entries)?;
        let parties = [Some(subject.party()), passed_on_for.as_ref()].into_iter().flatten();
        for (name, digest) in self.keys_of(&counted, parties)? {
            files.push((name, None, self.keys.get(digest)?.into()));
        }
        entries.extend(counted);
        entries.sort_by_key(|entry| entry.number);
        let path = self.audit_path(&entries)?;
        let readme = readme(&subject, &told, &entities, &path, self.gateway, made_at);
        let json = |value: Result<Vec<u8>, serde_json::Error>| {
            value.map_err(|error| EvidenceError::Unmade(error.to_string()))
        };
        files.insert(0, (names::AUDIT.to_owned(), None, json(serde_json::to_vec_pretty(&path))?.into()));
        for (name, content_type, octets) in entities.into_iter().rev() {
            files.insert(0, (name.to_owned(), Some(content_type), octets));
        }
        files.insert(0, (names::README.to_owned(), None, readme.into()));
        let member = |(name, content_type, octets): &(String, Option<Arc<str>>, Octets)| EvidenceMember {
            name: name.clone(),
            sha256: octets.digest(),
            bytes: octets.bytes(),
            content_type: content_type.clone(),
        };
        let manifest = EvidenceManifest {
            form: EvidenceManifest::FORM,
            gateway: self.gateway.clone(),
            made_at,
            subject: subject.clone(),
            passed_on_for,
            members: files.iter().map(member).collect(),
        };
        let manifest = json(serde_json::to_vec_pretty(&manifest))?;
        let signature =
            sign_manifest(self.key, &manifest).map_err(|error| EvidenceError::Unmade(error.to_string()))?;
        let signature = json(serde_json::to_vec_pretty(&signature))?;
        let members = [(names::MANIFEST, manifest.into()), (names::SIGNATURE, signature.into())];
        let files = files.iter().map(|(name, _, octets)| (name.as_str(), octets.clone()));
        let packed = pack(files.chain(members));
        Ok((subject, packed.map_err(|error| EvidenceError::Unmade(error.to_string()))?))
    }

    fn received(&self, party: &PartyKey, message_id: &MessageId) -> Result<Option<Kept>, EvidenceError> {
        let key = MessageKey { sender: party.clone(), message_id: message_id.clone() };
        let needs = Needs { message: Some(key.clone()), ..Needs::default() };
        let Some(known) = self.store.load(&needs)?.message else { return Ok(None) };
        let record = known.record;
        gone(record.purged.as_ref())?;
        let body = self.store.body(&key)?.ok_or_else(|| EvidenceError::Nothing(key.to_string()))?;
        let mut entities = vec![(names::MESSAGE, body.content_type, body.body)];
        if let Some(answer) = known.response {
            entities.push((names::ANSWER, answer.content_type, answer.body));
        }
        let subject = EvidenceSubject::Received(key);
        let entries = self.entries(&subject, record.case.as_ref(), |entry| entry.delivery.is_none())?;
        let told = told_of_received(&record);
        Ok(Some(Kept { subject, passed_on_for: None, entities, entries, told }))
    }

    fn sent(&self, party: &PartyKey, message_id: &MessageId) -> Result<Option<Kept>, EvidenceError> {
        let locator = DeliveryLocator::Sent { destination: party.clone(), message_id: message_id.clone() };
        let needs = Needs { delivery: Some(locator), sealed: true, ..Needs::default() };
        let view = self.store.load(&needs)?;
        let Some(delivery) = view.delivery.map(|stored| stored.value) else { return Ok(None) };
        gone(delivery.purged.as_ref())?;
        let sealed = view.sealed.ok_or_else(|| {
            let why =
                format!("delivery {} has no octets of its own: it was never sent over the wire", delivery.id);
            EvidenceError::Record(why)
        })?;
        let mut entities = vec![(names::MESSAGE, sealed.content_type, sealed.body)];
        if let Some(receipt) = self.store.receipt(&delivery.id)? {
            entities.push((names::RECEIPT, receipt.content_type, receipt.body));
        }
        let subject = EvidenceSubject::Sent {
            delivery: delivery.id.clone(),
            destination: party.clone(),
            message_id: message_id.clone(),
        };
        let of = |entry: &TimelineEntry| entry.delivery.as_ref() == Some(&delivery.id);
        let entries = self.entries(&subject, delivery.case.as_ref(), of)?;
        let passed_on_for = match &delivery.purpose {
            DeliveryPurpose::Transit { from, .. } => Some(from.clone()),
            _ => None,
        };
        let told = told_of_sent(&delivery, passed_on_for.as_ref());
        Ok(Some(Kept { subject, passed_on_for, entities, entries, told }))
    }

    /// The audit entries about the message.
    fn entries(
        &self,
        subject: &EvidenceSubject,
        case: Option<&crate::model::CaseId>,
        of: impl Fn(&TimelineEntry) -> bool,
    ) -> Result<Vec<ChainEntry>, EvidenceError> {
        let mut entries = self.store.entries_about(case, subject.message_id())?;
        entries.retain(|entry| {
            let read = serde_json::from_str::<TimelineEntry>(&entry.text);
            read.is_ok_and(|entry| entry.party.as_ref() == Some(subject.party()) && of(&entry))
        });
        if entries.is_empty() {
            return Err(EvidenceError::Record(format!("no audit entry is about {subject}")));
        }
        Ok(entries)
    }

    /// The entries that say which keys counted when octets of the message were kept.
    fn keys_at(&self, entries: &[ChainEntry]) -> Result<Vec<ChainEntry>, EvidenceError> {
        let mut counted = BTreeMap::new();
        for entry in entries {
            let vouches =
                serde_json::from_str(&entry.text).is_ok_and(|read: TimelineEntry| !read.octets.is_empty());
            if vouches {
                let last = self.store.last_of_event(EventCode::KeysInForce.code(), entry.number)?;
                let last = last.ok_or_else(|| {
                    let why = "it is of an earlier version, which did not record the keys that counted";
                    EvidenceError::Record(why.to_owned())
                })?;
                counted.insert(last.number, last);
            }
        }
        if counted.is_empty() {
            let why = "it is of an earlier version, whose audit entries do not vouch for octets";
            return Err(EvidenceError::Record(why.to_owned()));
        }
        Ok(counted.into_values().collect())
    }

    /// The lists of keys that counted, and what they name that belongs to this exchange.
    fn keys_of<'p>(
        &self,
        counted: &[ChainEntry],
        parties: impl Iterator<Item = &'p PartyKey> + Clone,
    ) -> Result<BTreeMap<String, Digest>, EvidenceError> {
        let mut named = BTreeMap::new();
        for entry in counted {
            let read: Option<TimelineEntry> = serde_json::from_str(&entry.text).ok();
            let digest = read.and_then(|read| read.octets.keys).ok_or_else(|| {
                EvidenceError::Record(format!("audit entry {} names no list of keys", entry.number))
            })?;
            let list: KeyList =
                String::from_utf8_lossy(&self.keys.get(digest)?).parse().map_err(EvidenceError::Record)?;
            let theirs = parties.clone().flat_map(|party| list.of(KeyUse::Signing, party));
            let certificates = list.of(KeyUse::Own, self.gateway).chain(theirs);
            named.extend(certificates.map(|digest| (names::certificate(&digest), digest)));
            let lists = list.all_of(KeyUse::Revocation);
            named.extend(lists.map(|digest| (names::revocation(&digest), digest)));
            named.insert(names::list(&digest), digest);
        }
        Ok(named)
    }

    /// Each entry with its path to the first head that speaks for it. Read is what lies between that head and the one
    /// before the entry.
    fn audit_path(&self, entries: &[ChainEntry]) -> Result<AuditPath, EvidenceError> {
        let mut path = AuditPath::default();
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let head = self.store.heads(first.number - 1, 1)?.pop();
            let head = head.ok_or(EvidenceError::NotSignedYet(first.number))?;
            let signed = head.signed;
            let here = rest.iter().take_while(|entry| entry.number <= signed.head.entries).count();
            let (of_head, later) = rest.split_at(here);
            rest = later;
            path.entries.extend(self.shown_by(&signed, of_head)?);
            path.heads.push(signed);
        }
        Ok(path)
    }

    fn shown_by(
        &self,
        signed: &SignedHead,
        entries: &[ChainEntry],
    ) -> Result<Vec<ProvenEntry>, EvidenceError> {
        let first = entries.first().map_or(1, |entry| entry.number);
        let before = self.store.head_before(first)?;
        let (tree, mut chain) = match before {
            Some(kept) => {
                let head = kept.signed.head;
                let tree = Tree::of(head.entries, kept.peaks).filter(|tree| tree.root() == head.root);
                let why = || format!("the head of {} entries does not go with its tree", head.entries);
                let tree = tree.ok_or_else(|| EvidenceError::Record(why()))?;
                (tree, AuditHead { sequence: head.entries, hash: head.chain })
            }
            None => (Tree::default(), AuditHead::EMPTY),
        };
        let witness = |entry: &ChainEntry| Witness::of(entry.number, tree.clone());
        let mut witnesses: Vec<_> = entries.iter().filter_map(witness).collect();
        let mut previous = BTreeMap::new();
        while chain.sequence < signed.head.entries {
            let read = self.store.chain(chain.sequence + 1, CHUNK)?;
            let read: Vec<_> =
                read.into_iter().take_while(|entry| entry.number <= signed.head.entries).collect();
            if read.is_empty() {
                return Err(EvidenceError::Record(format!("audit entry {} is missing", chain.sequence + 1)));
            }
            for entry in read {
                previous.insert(chain.sequence + 1, chain.hash);
                chain = chain.then(&entry.text);
                witnesses.iter_mut().for_each(|witness| witness.push(chain.hash));
            }
        }
        let whole = witnesses.iter().all(|witness| witness.tree().root() == signed.head.root);
        if !whole || chain.hash != signed.head.chain {
            let entries = signed.head.entries;
            return Err(EvidenceError::Record(format!(
                "the audit record is not the one that the head of {entries} entries was signed over"
            )));
        }
        let shown = entries.iter().zip(&witnesses).filter_map(|(entry, witness)| {
            Some(ProvenEntry {
                number: entry.number,
                previous: *previous.get(&entry.number)?,
                text: entry.text.clone(),
                head: signed.head.entries,
                path: witness.path()?,
            })
        });
        Ok(shown.collect())
    }
}

fn gone(purged: Option<&Purged>) -> Result<(), EvidenceError> {
    purged.map_or(Ok(()), |purged| Err(EvidenceError::Purged { at: purged.at, archive: purged.archive }))
}

fn told_of_received(record: &StoredMessage) -> String {
    let header = &record.header;
    let standing = match (record.accepted, record.quarantined) {
        (_, true) => "accepted, and kept for an operator",
        (true, false) => "accepted",
        (false, false) => "refused",
    };
    let mut told = format!(
        "{} sent {} {} to this gateway under MessageId {}.\nIt was received at {} and {standing}",
        record.key.sender, header.service.value, header.action, record.key.message_id, record.received_at
    );
    if !record.reason.is_empty() {
        told.push_str(&format!(": {}", record.reason));
    }
    told.push_str(".\n");
    if let Some(case) = &record.case {
        told.push_str(&format!("It belongs to case {case}.\n"));
    }
    told
}

fn told_of_sent(delivery: &Delivery, passed_on_for: Option<&PartyKey>) -> String {
    let Delivery { destination, service, action, message_id, created_at, state, reason, .. } = delivery;
    let of = passed_on_for.map_or(String::new(), |from| format!(" of {from}, as it was signed,"));
    let mut told = format!(
        "This gateway owed {destination} {} {action}{of} under MessageId {message_id}, from {created_at} on.\n\
         Its delivery is {}",
        service.value,
        state.as_str()
    );
    if !reason.is_empty() {
        told.push_str(&format!(": {reason}"));
    }
    told.push_str(".\n");
    if let Some(case) = &delivery.case {
        told.push_str(&format!("It belongs to case {case}.\n"));
    }
    told
}

/// In words: what is in the archive, what happened, how to check it.
fn readme(
    subject: &EvidenceSubject,
    told: &str,
    entities: &[(&'static str, Arc<str>, Octets)],
    path: &AuditPath,
    gateway: &PartyKey,
    made_at: Timestamp,
) -> String {
    let mut text = format!(
        "Evidence about the message {subject}\nmade by the gateway {gateway} at {made_at}\n\n{told}\n"
    );
    text.push_str("What happened, from the audit record of the gateway:\n\n");
    for entry in &path.entries {
        if let Ok(read) = serde_json::from_str::<TimelineEntry>(&entry.text) {
            text.push_str(&format!(
                "  {}  {} {}: {}\n",
                entry.number,
                read.at,
                read.event,
                printable(&read.text)
            ));
        }
    }
    text.push_str("\nThe files:\n\n");
    for (name, content_type, octets) in entities {
        let content_type = printable(content_type);
        text.push_str(&format!(
            "  {name}: {} octets as they went over the wire, {content_type}\n",
            octets.bytes()
        ));
    }
    text.push_str(
        "  audit.json: the audit entries, each with its path to the root of a signed head\n  \
         keys/: the keys and revocation lists that counted when octets were kept\n  \
         manifest.json, manifest.sig.json: every file by its digest, signed by the gateway\n\n\
         To check all of it, with a certificate of the gateway that you trust:\n\n  \
         gwanmun audit verify THIS-ARCHIVE --key CERT.pem\n",
    );
    text
}

/// Text of others, on one line (S22).
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Entries that are read at once.
const CHUNK: usize = 1000;
