//! Signs the heads of the audit record, and checks an export of it with nothing but public keys (P18; threat S26).
//!
//! Promises: the first entry that is missing, moved, changed or put in is named; a record whose chain was computed
//! anew is found by the first head that was signed over the old one; one that was cut off or rolled back is found by
//! heads that were kept elsewhere, one that was restored from a backup by the entry that says so. A time stamp counts only with the certificates of its authority, and only over a head
//! of this record. Nothing in the export adds trust to itself.
//!
//! Does not find entries that were rewritten after the last head that anybody kept: it says how many are not signed.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::x509::X509;

use super::error::{KeyError, SealError};
use super::keystore::{SigningKey, VerifyingKey, check_usage, instant};
use super::time_stamp::{TimeStampAuthority, TimeStampFault, claimed, imprint};
use crate::model::{
    AuditHead, ChainEntry, Digest, ExportLine, Fingerprint, HeadStamp, SignedHead, TimelineEntry, Timestamp,
    Tree, TreeHead,
};

/// Signs a head.
///
/// # Errors
/// When OpenSSL cannot sign with this key.
pub fn sign_head(key: &SigningKey, head: TreeHead) -> Result<SignedHead, SealError> {
    let signature = STANDARD.encode(key.strict().sign(head.text().as_bytes())?);
    Ok(SignedHead { head, key: key.fingerprint(), signature })
}

/// The public keys that heads may be signed with.
#[derive(Debug, Default)]
pub struct AuditKeys(BTreeMap<Fingerprint, HeadKey>);

#[derive(Debug)]
struct HeadKey {
    key: VerifyingKey,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl AuditKeys {
    /// Adds the certificates in a PEM file; `whose` names it in errors.
    ///
    /// # Errors
    /// [`KeyError`] when there is none in it, or one that the profile does not allow.
    pub fn add_pem(&mut self, whose: &str, pem: &[u8]) -> Result<(), KeyError> {
        let not_a =
            |_: ErrorStack| KeyError::NotA { whose: whose.to_owned(), expected: "certificates in PEM" };
        let certificates = X509::stack_from_pem(pem).map_err(not_a)?;
        if certificates.is_empty() {
            return Err(KeyError::NotA { whose: whose.to_owned(), expected: "certificates in PEM" });
        }
        certificates.iter().try_for_each(|certificate| self.add(whose, certificate))
    }

    /// Adds one certificate, DER.
    ///
    /// # Errors
    /// [`KeyError`] when it is none, or one that the profile does not allow.
    pub fn add_der(&mut self, whose: &str, der: &[u8]) -> Result<(), KeyError> {
        let not_a = |_: ErrorStack| KeyError::NotA { whose: whose.to_owned(), expected: "a certificate" };
        self.add(whose, &X509::from_der(der).map_err(not_a)?)
    }

    fn add(&mut self, whose: &str, certificate: &X509) -> Result<(), KeyError> {
        let not_a = |_: ErrorStack| KeyError::NotA { whose: whose.to_owned(), expected: "a certificate" };
        check_usage(whose, certificate)?;
        let key = HeadKey {
            key: VerifyingKey::new(whose, certificate.public_key().map_err(not_a)?)?,
            not_before: instant(certificate.not_before()).map_err(not_a)?,
            not_after: instant(certificate.not_after()).map_err(not_a)?,
        };
        self.0.insert(Digest::of(&certificate.to_der().map_err(not_a)?), key);
        Ok(())
    }

    /// Whether one of these keys signed this head, when its certificate was valid.
    pub(super) fn check(&self, signed: &SignedHead) -> Result<(), String> {
        let SignedHead { head, key, signature } = signed;
        self.verifies(key, head.at, head.text().as_bytes(), signature)
    }

    /// Whether the key of this fingerprint signed these octets at a time when its certificate was valid; why not.
    pub(super) fn verifies(
        &self,
        key: &Fingerprint,
        at: Timestamp,
        octets: &[u8],
        signature: &str,
    ) -> Result<(), String> {
        let Some(HeadKey { key, not_before, not_after }) = self.0.get(key) else {
            return Err(format!("it is signed with {key}, which is none of the keys that are trusted"));
        };
        if at < *not_before || at > *not_after {
            return Err(format!("it was signed at {at}, when the certificate of its key was not valid"));
        }
        let value = STANDARD.decode(signature).unwrap_or_default();
        if key.verifies(key.usual(), octets, &value) {
            Ok(())
        } else {
            Err("its signature is not of its key and what it says".to_owned())
        }
    }
}

/// What is wrong with an export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// An entry that does not follow from those before it.
    #[error("entry {number}: {detail}")]
    Entry {
        /// Its number: everything before it is as it was.
        number: u64,
        /// What is wrong.
        detail: String,
    },
    /// A signed head, in the export or from elsewhere, that cannot be relied on.
    #[error("the head of {entries} entries: {detail}")]
    Head {
        /// How many entries it speaks for.
        entries: u64,
        /// What is wrong.
        detail: String,
    },
    /// Entries that a head speaks for are not those that were signed.
    #[error("entries {first} to {last}: {detail}")]
    Rewritten {
        /// The first one that may be another.
        first: u64,
        /// The last one that the head speaks for.
        last: u64,
        /// Which head says so.
        detail: String,
    },
    /// Entries that a head from elsewhere speaks for are not there.
    #[error("entry {first}: it and all up to {last} are missing: {detail}")]
    CutOff {
        /// The first that is missing.
        first: u64,
        /// The last one that is known to have been there.
        last: u64,
        /// Which head says so.
        detail: String,
    },
    /// A head from elsewhere is of a store that was lost, and this one was restored.
    #[error(
        "the head of {entries} entries, signed at {at}, is of a store that was lost: entry {number} says that this one was \
         restored from a backup of the {} entries before it; whoever knows that it was gives --restored {number}", number - 1
    )]
    Restored {
        /// The entry that says that the store was restored.
        number: u64,
        /// How many entries the head speaks for.
        entries: u64,
        /// When it was signed.
        at: Timestamp,
    },
    /// A time stamp that cannot be relied on.
    #[error("entry {number}: the time stamp over the head of {entries} entries: {detail}")]
    TimeStamp {
        /// The entry that it stands in.
        number: u64,
        /// How many entries its head speaks for.
        entries: u64,
        /// What is wrong.
        detail: String,
    },
    /// No signature covers anything.
    #[error("no signed head speaks for any entry: that the record is whole cannot be known")]
    Unsigned,
    /// No export, or one of another form.
    #[error("line {line}: {detail}")]
    Form {
        /// Which line.
        line: u64,
        /// What is wrong.
        detail: String,
    },
}

/// What an export was shown to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Entries in it.
    pub entries: u64,
    /// How many of them, the first ones, a verified head speaks for.
    pub signed: u64,
    /// Verified heads, those from elsewhere included.
    pub heads: u64,
    /// When the last of them was signed.
    pub signed_at: Timestamp,
    /// Heads from elsewhere that are of a store that was lost before this one was restored, as was accepted.
    pub lost: u64,
    /// What time stamps show.
    pub stamps: Stamps,
}

/// What the time stamps in an export were shown to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// Those that count.
    pub verified: u64,
    /// How many entries, the first ones, they speak for.
    pub entries: u64,
    /// When those entries were there at the latest, by the clock of the authority.
    pub at: Option<Timestamp>,
    /// Those that cannot be judged: no certificate of an authority was given, or the head is not in the export.
    pub open: u64,
}

/// Checks an export line by line.
pub struct AuditVerifier<'a> {
    keys: &'a AuditKeys,
    /// Heads from elsewhere whose entries have not come yet.
    elsewhere: BTreeMap<u64, Vec<SignedHead>>,
    /// Entries that say that the store was restored, and when.
    restores: BTreeMap<u64, Timestamp>,
    /// Those of them that are known to be true.
    accepted: BTreeSet<u64>,
    lost: u64,
    gateways: BTreeSet<String>,
    lines: u64,
    chain: AuditHead,
    tree: Tree,
    heads: u64,
    signed: Option<(u64, Timestamp)>,
    authority: Option<&'a TimeStampAuthority>,
    /// What a time stamp over each of the last heads is over, and when the head was signed.
    stampable: BTreeMap<u64, (Digest, Timestamp)>,
    stamps: Stamps,
}

impl<'a> AuditVerifier<'a> {
    /// A verifier that trusts these keys.
    #[must_use]
    pub fn new(keys: &'a AuditKeys) -> Self {
        Self {
            keys,
            elsewhere: BTreeMap::new(),
            restores: BTreeMap::new(),
            accepted: BTreeSet::new(),
            lost: 0,
            gateways: BTreeSet::new(),
            lines: 0,
            chain: AuditHead::EMPTY,
            tree: Tree::default(),
            heads: 0,
            signed: None,
            authority: None,
            stampable: BTreeMap::new(),
            stamps: Stamps::default(),
        }
    }

    /// Knows that the store was restored, as this entry says: a head of the store that was lost is no fault.
    #[must_use]
    pub fn with_restored(mut self, number: u64) -> Self {
        self.accepted.insert(number);
        self
    }

    /// Compares a head that was kept where the store is not, when its last entry comes. As few as that are kept: give
    /// each before that entry, not all of them before the first line.
    ///
    /// # Errors
    /// [`AuditFault::Head`] when it is not signed with one of the keys, or its entry has come already.
    pub fn keep_to(&mut self, signed: SignedHead) -> Result<(), AuditFault> {
        self.check_turn(&signed)?;
        self.elsewhere.entry(signed.head.entries).or_default().push(signed);
        Ok(())
    }

    fn check_turn(&mut self, signed: &SignedHead) -> Result<(), AuditFault> {
        self.check_signature(signed)?;
        let entries = signed.head.entries;
        if entries > self.chain.sequence {
            return Ok(());
        }
        let detail = "it stands behind a head of more entries: heads that were kept elsewhere are given in their order,                       those of another file in a file of their own";
        Err(AuditFault::Head { entries, detail: detail.to_owned() })
    }

    /// After the last line: what else was kept elsewhere. Only what speaks for the most entries is remembered.
    ///
    /// # Errors
    /// [`AuditFault::Head`] as of [`AuditVerifier::keep_to`].
    pub fn also_kept(&mut self, signed: SignedHead) -> Result<(), AuditFault> {
        self.check_turn(&signed)?;
        if let Some((number, _)) = self.restored_after(&signed)
            && self.accepted.contains(&number)
        {
            self.lost += 1;
            return Ok(());
        }
        let last = self.elsewhere.last_key_value().map_or(0, |(last, _)| *last);
        if signed.head.entries > last {
            // The first one says from where on entries are missing, the last one up to where.
            if self.elsewhere.len() > 1 {
                self.elsewhere.pop_last();
            }
            self.elsewhere.insert(signed.head.entries, vec![signed]);
        }
        Ok(())
    }

    /// Has time stamps of this authority count.
    #[must_use]
    pub const fn with_authority(mut self, authority: &'a TimeStampAuthority) -> Self {
        self.authority = Some(authority);
        self
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// [`AuditFault`], which ends it.
    pub fn take(&mut self, line: &str) -> Result<(), AuditFault> {
        self.lines += 1;
        let form = |line, detail: String| AuditFault::Form { line, detail };
        let read = serde_json::from_str(line).map_err(|error| form(self.lines, error.to_string()))?;
        match read {
            ExportLine::Export { form: found, .. } if self.lines == 1 => match found {
                ExportLine::FORM => Ok(()),
                found => Err(form(
                    1,
                    format!("an export of form {found}; this program knows {}", ExportLine::FORM),
                )),
            },
            _ if self.lines == 1 => Err(form(1, "an export begins with a line that says so".to_owned())),
            ExportLine::Export { .. } => Err(form(self.lines, "another export begins here".to_owned())),
            ExportLine::Entry(entry) => self.take_entry(&entry),
            ExportLine::Head(signed) => self.take_head(&signed),
        }
    }

    /// What was shown, when every line was taken.
    ///
    /// # Errors
    /// When entries that a head speaks for are not there, or no head speaks for any.
    pub fn end(mut self) -> Result<Proven, AuditFault> {
        let entries = self.chain.sequence;
        for signed in std::mem::take(&mut self.elsewhere).into_values().flatten() {
            if !self.is_lost(&signed)? {
                self.elsewhere.entry(signed.head.entries).or_default().push(signed);
            }
        }
        if self.lines == 0 {
            return Err(AuditFault::Form { line: 1, detail: "there is nothing in it".to_owned() });
        }
        if let Some((last, heads)) = self.elsewhere.last_key_value() {
            let at = heads.first().map_or_else(String::new, |signed| signed.head.at.to_string());
            let detail = format!(
                "a head that was kept elsewhere, signed at {at}, speaks for {last} entries: the export was cut off, or \
                 the store rolled back to an earlier state"
            );
            return Err(AuditFault::CutOff { first: entries + 1, last: *last, detail });
        }
        let Some((signed, signed_at)) = self.signed else { return Err(AuditFault::Unsigned) };
        Ok(Proven { entries, signed, heads: self.heads, signed_at, lost: self.lost, stamps: self.stamps })
    }

    /// Entries taken so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.chain.sequence
    }

    fn take_entry(&mut self, entry: &ChainEntry) -> Result<(), AuditFault> {
        let next = self.chain.then(&entry.text);
        let bad = |detail: String| AuditFault::Entry { number: next.sequence, detail };
        if entry.number > next.sequence {
            return Err(bad(format!("it is missing: entry {} stands in its place", entry.number)));
        }
        if entry.number < next.sequence {
            return Err(bad(format!("entry {} stands in its place, moved or put in", entry.number)));
        }
        if entry.hash != next.hash.to_string() {
            return Err(bad("its hash does not follow from its text and the entries before it".to_owned()));
        }
        self.chain = next;
        self.tree.push(next.hash);
        // Few entries say something about the record itself: the others need not be read.
        let told = [STAMPED, RESTORED].iter().any(|told| entry.text.contains(told));
        let told = told.then(|| serde_json::from_str::<TimelineEntry>(&entry.text).ok()).flatten();
        if let Some(TimelineEntry { at, .. }) = told.as_ref().filter(|told| told.is_restore()) {
            self.restores.insert(next.sequence, *at);
        }
        for signed in self.elsewhere.remove(&next.sequence).unwrap_or_default() {
            if self.is_other(&signed) && self.is_lost(&signed)? {
                continue;
            }
            self.compare(&signed, "that was kept elsewhere")?;
        }
        let stamp = told.and_then(|told| told.octets.time_stamp);
        stamp.map_or(Ok(()), |stamp| self.take_stamp(entry.number, &stamp))
    }

    /// The restore, if there was one, that explains a head from elsewhere which does not fit: it was signed before, and
    /// speaks for entries that the backup did not have.
    fn restored_after(&self, signed: &SignedHead) -> Option<(u64, Timestamp)> {
        let SignedHead { head: TreeHead { entries, at, .. }, .. } = signed;
        let mut restores = self.restores.range(..=*entries).map(|(number, restored)| (*number, *restored));
        restores.find(|(_, restored)| at < restored)
    }

    /// Whether a head from elsewhere which does not fit is explained by a restore that is known to be true.
    fn is_lost(&mut self, signed: &SignedHead) -> Result<bool, AuditFault> {
        let SignedHead { head: TreeHead { entries, at, .. }, .. } = signed;
        let Some((number, _)) = self.restored_after(signed) else { return Ok(false) };
        if !self.accepted.contains(&number) {
            return Err(AuditFault::Restored { number, entries: *entries, at: *at });
        }
        self.lost += 1;
        Ok(true)
    }

    /// Whether a head is not of the entries that are here.
    fn is_other(&self, signed: &SignedHead) -> bool {
        signed.head.root != self.tree.root() || signed.head.chain != self.chain.hash
    }

    /// A time stamp speaks for a head that stands before it; heads up to that one need no other.
    fn take_stamp(&mut self, number: u64, stamp: &HeadStamp) -> Result<(), AuditFault> {
        let HeadStamp { entries, at, token } = stamp;
        let later = self.stampable.split_off(&entries.saturating_add(1));
        let head = std::mem::replace(&mut self.stampable, later).remove(entries);
        let Some((over, signed)) = head else {
            self.stamps.open += 1;
            return Ok(());
        };
        let fault = |detail: String| AuditFault::TimeStamp { number, entries: *entries, detail };
        let told = |error: TimeStampFault| fault(error.to_string());
        let token = STANDARD.decode(token).map_err(|error| fault(error.to_string()))?;
        let says = match self.authority {
            Some(authority) => authority.verify(&token, over, signed).map_err(told)?,
            None => claimed(&token, over, signed).map_err(told)?,
        };
        if says != *at {
            return Err(fault(format!("the entry says {at}, and the token {says}")));
        }
        if self.authority.is_none() {
            self.stamps.open += 1;
            return Ok(());
        }
        let Stamps { verified, open, .. } = self.stamps;
        self.stamps = Stamps { verified: verified + 1, entries: *entries, at: Some(says), open };
        Ok(())
    }

    fn take_head(&mut self, signed: &SignedHead) -> Result<(), AuditFault> {
        self.check_signature(signed)?;
        let (entries, here) = (signed.head.entries, self.chain.sequence);
        if entries > here {
            let detail = format!("the head of {entries} entries stands here in the export");
            return Err(AuditFault::CutOff { first: here + 1, last: entries, detail });
        }
        if entries < here {
            let detail = format!("it stands after entry {here}, where it does not belong");
            return Err(AuditFault::Head { entries, detail });
        }
        self.compare(signed, "in the export")
    }

    fn check_signature(&mut self, signed: &SignedHead) -> Result<(), AuditFault> {
        let entries = signed.head.entries;
        self.keys.check(signed).map_err(|detail| AuditFault::Head { entries, detail })?;
        self.gateways.insert(signed.head.gateway.to_string());
        if self.gateways.len() > 1 {
            let all: Vec<_> = self.gateways.iter().map(String::as_str).collect();
            let detail = format!("heads of several gateways are mixed: {}", all.join(", "));
            return Err(AuditFault::Head { entries, detail });
        }
        Ok(())
    }

    /// Compares what is here with what was signed.
    fn compare(&mut self, signed: &SignedHead, which: &str) -> Result<(), AuditFault> {
        let SignedHead { head: TreeHead { entries, at, .. }, .. } = signed;
        if self.is_other(signed) {
            let first = self.signed.map_or(1, |(signed, _)| signed + 1);
            let detail = format!(
                "they are not those that the head {which}, signed at {at}, speaks for: the record was written anew, or \
                 rolled back and went on differently"
            );
            return Err(AuditFault::Rewritten { first, last: *entries, detail });
        }
        self.heads += 1;
        self.signed = Some((*entries, *at));
        self.stampable.insert(*entries, (imprint(signed), *at));
        if self.stampable.len() > STAMPABLE_MAX {
            self.stampable.pop_first();
        }
        Ok(())
    }
}

/// What the text of an entry with a time stamp has in it.
const STAMPED: &str = "\"time_stamp\"";
/// And that of one which says that the store was restored.
const RESTORED: &str = TimelineEntry::STORE_RESTORED;
/// Heads that a time stamp may still come for. A stamp is asked for the newest head, and stands in the record a request
/// later.
const STAMPABLE_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::super::samples::{Identity, VALIDITY, instant};
    use super::super::time_stamp::tests::Authority;
    use super::*;
    use crate::model::{Attested, PartyKey, SignatureAlgorithm};

    /// Seven entries in two signed heads, of 3 and of 6: a record, its key, and what was kept elsewhere.
    struct Record {
        identity: Identity,
        lines: Vec<ExportLine>,
    }

    impl Record {
        fn of(algorithm: SignatureAlgorithm, texts: &[&str]) -> Self {
            let identity = Identity::new("HUB", algorithm);
            let lines = lines_of(&identity, texts, 3);
            Self { identity, lines }
        }

        fn keys(&self) -> AuditKeys {
            let mut keys = AuditKeys::default();
            let pem = X509::from_der(&self.identity.der()).and_then(|certificate| certificate.to_pem());
            keys.add_pem("HUB", &pem.expect("a certificate")).expect("a key");
            keys
        }

        fn heads(&self) -> Vec<SignedHead> {
            let head = |line: &ExportLine| match line {
                ExportLine::Head(signed) => Some(signed.clone()),
                _ => None,
            };
            self.lines.iter().filter_map(head).collect()
        }
    }

    fn lines_of(identity: &Identity, texts: &[&str], entries_a_head: u64) -> Vec<ExportLine> {
        let (mut chain, mut tree) = (AuditHead::EMPTY, Tree::default());
        let at = instant(VALIDITY.0);
        let mut lines = vec![ExportLine::Export { form: ExportLine::FORM, at }];
        for text in texts {
            chain = chain.then(text);
            tree.push(chain.hash);
            let (number, hash) = (chain.sequence, chain.hash.to_string());
            lines.push(ExportLine::Entry(ChainEntry { number, hash, text: (*text).to_owned() }));
            if chain.sequence % entries_a_head == 0 {
                let gateway = PartyKey::new("HUB").expect("a key");
                let head = TreeHead { gateway, entries: number, root: tree.root(), chain: chain.hash, at };
                lines.push(ExportLine::Head(sign_head(&identity.signing_key(), head).expect("signed")));
            }
        }
        lines
    }

    fn verify(
        keys: &AuditKeys,
        lines: &[ExportLine],
        elsewhere: Vec<SignedHead>,
    ) -> Result<Proven, AuditFault> {
        verify_with(AuditVerifier::new(keys), lines, elsewhere)
    }

    fn verify_with(
        mut verifier: AuditVerifier<'_>,
        lines: &[ExportLine],
        elsewhere: Vec<SignedHead>,
    ) -> Result<Proven, AuditFault> {
        elsewhere.into_iter().try_for_each(|signed| verifier.keep_to(signed))?;
        for line in lines {
            verifier.take(&serde_json::to_string(line).expect("a line"))?;
        }
        verifier.end()
    }

    const TEXTS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    /// Where entry 5 stands among the lines: after the first line and the head of 3.
    const FIFTH: usize = 6;

    #[test]
    fn what_was_not_touched_is_proven() {
        use SignatureAlgorithm as A;
        for algorithm in [A::RsaSha256, A::EcdsaSha256, A::EcdsaSha384, A::Ed25519] {
            let record = Record::of(algorithm, &TEXTS);
            let proven = verify(&record.keys(), &record.lines, record.heads()).expect("whole");
            assert_eq!((proven.entries, proven.signed, proven.heads), (7, 6, 4), "P18");
        }
    }

    #[test]
    fn each_way_of_tampering_is_found_and_named() {
        let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
        let keys = record.keys();
        // Who tampers, and has no key of ours, but can compute every hash anew.
        let anew = |texts: &[&str]| {
            let mut lines = lines_of(&record.identity, texts, 3);
            for line in &mut lines {
                if let ExportLine::Head(signed) = line {
                    let old = record.heads().into_iter().find(|old| old.head.entries == signed.head.entries);
                    *signed = old.expect("heads of 3 and of 6");
                }
            }
            lines
        };
        let check = |what: &str, change: &dyn Fn(&mut Vec<ExportLine>), says: &str| {
            let mut lines = record.lines.clone();
            change(&mut lines);
            let found = verify(&keys, &lines, record.heads()).expect_err(what).to_string();
            assert!(found.starts_with(says), "{what}: {found} (P18, S26)");
        };
        check("deleted", &|lines| drop(lines.remove(FIFTH)), "entry 5: it is missing");
        check("swapped", &|lines| lines.swap(FIFTH - 1, FIFTH), "entry 4: it is missing: entry 5 stands");
        check("repeated", &|lines| lines.insert(FIFTH, lines[FIFTH - 1].clone()), "entry 5: entry 4 stands");
        check(
            "edited",
            &|lines| {
                if let ExportLine::Entry(entry) = &mut lines[FIFTH] {
                    entry.text = "E".to_owned();
                }
            },
            "entry 5: its hash does not follow",
        );
        check(
            "put in",
            &|lines| {
                let entry = ChainEntry { number: 5, hash: "00".repeat(32), text: "x".to_owned() };
                lines.insert(FIFTH, ExportLine::Entry(entry));
            },
            "entry 5: its hash does not follow",
        );
        check("cut off", &|lines| lines.truncate(FIFTH), "entry 5: it and all up to 6 are missing");
        check("cut off at a head", &|lines| lines.truncate(5), "entry 4: it and all up to 6 are missing");
        check("nothing left", &|lines| lines.truncate(1), "entry 1: it and all up to 6 are missing");
        check("written anew", &|lines| *lines = anew(&["a", "b", "c", "d", "X", "f", "g"]), "entries 4 to 6");
        check(
            "put in and written anew",
            &|lines| *lines = anew(&["a", "x", "b", "c", "d", "e"]),
            "entries 1 to 3",
        );
        check(
            "a head removed, the rest written anew",
            &|lines| {
                *lines = anew(&["a", "b", "c", "d", "X", "f", "g"]);
                lines.retain(|line| !matches!(line, ExportLine::Head(signed) if signed.head.entries == 6));
            },
            "entries 4 to 6",
        );
        check(
            "a head changed",
            &|lines| {
                if let ExportLine::Head(signed) = &mut lines[4] {
                    signed.head.root = Digest([0; 32]);
                }
            },
            "the head of 3 entries: its signature",
        );
        check("a head moved", &|lines| lines.swap(4, 5), "the head of 3 entries: it stands after entry 4");
        check("no first line", &|lines| drop(lines.remove(0)), "line 1: ");
    }

    #[test]
    fn only_a_trusted_key_counts() {
        let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
        let forged = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
        let found = verify(&record.keys(), &forged.lines, vec![]).expect_err("another key (S4)");
        assert!(matches!(found, AuditFault::Head { entries: 3, .. }), "{found}");
        let unsigned: Vec<_> =
            record.lines.iter().filter(|line| !matches!(line, ExportLine::Head(_))).cloned().collect();
        assert_eq!(verify(&record.keys(), &unsigned, vec![]), Err(AuditFault::Unsigned), "P18");
    }

    /// Entries of which the fifth has a time stamp over the head of the first three.
    struct Stamped {
        record: Record,
        authority: Authority,
        head: SignedHead,
        stamp: HeadStamp,
    }

    impl Stamped {
        fn new() -> Self {
            let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
            let authority = Authority::new();
            let head = record.heads().into_iter().find(|signed| signed.head.entries == 3).expect("a head");
            let stamp = stamp_of(&authority, &head);
            Self { record, authority, head, stamp }
        }

        /// The verdict on the record with this entry in it.
        fn verify(&self, by: Option<&TimeStampAuthority>, stamp: &HeadStamp) -> Result<Proven, AuditFault> {
            let texts = ["a", "b", "c", "d", &text_of(stamp), "f", "g"];
            let mut lines = lines_of(&self.record.identity, &texts, 3);
            for line in &mut lines {
                // An ECDSA signature is another each time: the head is the one that was stamped.
                if let ExportLine::Head(signed) = line
                    && signed.head.entries == 3
                {
                    signed.clone_from(&self.head);
                }
            }
            verify_by(&self.record.keys(), by, &lines)
        }
    }

    fn verify_by(
        keys: &AuditKeys,
        by: Option<&TimeStampAuthority>,
        lines: &[ExportLine],
    ) -> Result<Proven, AuditFault> {
        let mut verifier = AuditVerifier::new(keys);
        if let Some(authority) = by {
            verifier = verifier.with_authority(authority);
        }
        verify_with(verifier, lines, vec![])
    }

    /// The text of an entry with this time stamp.
    fn text_of(stamp: &HeadStamp) -> String {
        let entry = TimelineEntry {
            at: stamp.at,
            event: "audit.time-stamped".into(),
            case: None,
            party: None,
            message_id: None,
            delivery: None,
            text: "stamped".to_owned(),
            alarm: false,
            octets: Attested { time_stamp: Some(stamp.clone()), ..Attested::default() },
        };
        serde_json::to_string(&entry).expect("an entry")
    }

    fn stamp_of(authority: &Authority, head: &SignedHead) -> HeadStamp {
        let token = authority.token(head);
        let at = authority.trusted().verify(&token, imprint(head), head.head.at).expect("it counts");
        HeadStamp { entries: head.head.entries, at, token: STANDARD.encode(token) }
    }

    #[test]
    fn a_time_stamp_shows_when_its_entries_were_there() {
        let stamped = Stamped::new();
        let Stamped { authority, stamp, .. } = &stamped;
        let shown = stamped.verify(Some(&authority.trusted()), stamp).expect("whole").stamps;
        assert_eq!(shown, Stamps { verified: 1, entries: 3, at: Some(stamp.at), open: 0 }, "P18, S26");
        let shown = stamped.verify(None, stamp).expect("whole").stamps;
        assert_eq!(shown, Stamps { open: 1, ..Stamps::default() }, "without a certificate it shows nothing");
        let of_none = HeadStamp { entries: 2, ..stamp.clone() };
        let shown = stamped.verify(Some(&authority.trusted()), &of_none).expect("whole").stamps;
        assert_eq!(shown, Stamps { open: 1, ..Stamps::default() }, "its head is not in the export");
    }

    #[test]
    fn a_time_stamp_that_is_not_what_it_says_is_named() {
        let stamped = Stamped::new();
        let Stamped { authority, stamp, head, .. } = &stamped;
        let check = |what: &str, by: &TimeStampAuthority, stamp: &HeadStamp, says: &str| {
            let found = stamped.verify(Some(by), stamp).expect_err(what).to_string();
            let says = format!("entry 5: the time stamp over the head of 3 entries: {says}");
            assert!(found.starts_with(&says), "{what}: {found} (P18, S26)");
        };
        let trusted = authority.trusted();
        let with = |token: String| HeadStamp { token, ..stamp.clone() };
        let mut other = head.clone();
        other.head.root = Digest([7; 32]);
        check("over another head", &trusted, &stamp_of(authority, &other), "it is over other octets");
        other = SignedHead { signature: "c2lnbmVk".to_owned(), ..head.clone() };
        check("over another signature", &trusted, &stamp_of(authority, &other), "it is over other octets");
        let of_another = Authority::new().trusted();
        check(
            "of another authority",
            &of_another,
            stamp,
            "it was not signed by a certificate of the authority",
        );
        check("no token", &trusted, &with(STANDARD.encode("no token")), "it is no time stamp");
        check("no base64", &trusted, &with("?".to_owned()), "");
        let mut octets = STANDARD.decode(&stamp.token).expect("base64");
        *octets.last_mut().expect("octets") ^= 1;
        check(
            "its signature changed",
            &trusted,
            &with(STANDARD.encode(octets)),
            "its signature does not hold",
        );
        let early = HeadStamp { at: stamp.at.minus(std::time::Duration::from_secs(60)), ..stamp.clone() };
        check("the entry says another time", &trusted, &early, "the entry says");
    }

    #[test]
    fn a_time_stamp_is_not_older_than_its_head() {
        let stamped = Stamped::new();
        let Stamped { authority, stamp, head, .. } = &stamped;
        let token = STANDARD.decode(&stamp.token).expect("base64");
        let signed = |later: u64| stamp.at.plus(std::time::Duration::from_secs(later));
        let over = imprint(head);
        assert_eq!(authority.trusted().verify(&token, over, signed(300)), Ok(stamp.at), "clocks differ");
        let found = authority.trusted().verify(&token, over, signed(301)).expect_err("older (S26)");
        assert_eq!(found, TimeStampFault::BeforeHead { at: stamp.at, signed: signed(301) });
    }

    #[test]
    fn a_time_stamp_may_come_some_heads_after_its_own() {
        let (identity, authority) = (Identity::new("HUB", SignatureAlgorithm::EcdsaSha256), Authority::new());
        let record = Record { identity, lines: Vec::new() };
        let check = |heads_before_it: usize, verified: u64, open: u64| {
            let mut lines = lines_of(&record.identity, &vec!["x"; heads_before_it], 1);
            let heads = || {
                lines
                    .iter()
                    .filter_map(|line| if let ExportLine::Head(signed) = line { Some(signed) } else { None })
            };
            let stamp = stamp_of(&authority, heads().next().expect("a head"));
            let chain = AuditHead {
                sequence: heads_before_it as u64,
                hash: heads().next_back().expect("a head").head.chain,
            };
            let text = text_of(&stamp);
            let next = chain.then(&text);
            lines.push(ExportLine::Entry(ChainEntry {
                number: next.sequence,
                hash: next.hash.to_string(),
                text,
            }));
            let shown = verify_by(&record.keys(), Some(&authority.trusted()), &lines).expect("whole").stamps;
            assert_eq!((shown.verified, shown.open), (verified, open), "{heads_before_it} heads before it");
        };
        check(STAMPABLE_MAX, 1, 0);
        check(STAMPABLE_MAX + 1, 0, 1);
    }

    #[test]
    fn a_store_that_was_restored_is_told_apart_from_one_that_was_rolled_back() {
        let lost = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
        let (keys, before) = (lost.keys(), instant(VALIDITY.0));
        let restored = |at: Timestamp| {
            let entry = TimelineEntry {
                at,
                event: TimelineEntry::STORE_RESTORED.into(),
                case: None,
                party: None,
                message_id: None,
                delivery: None,
                text: "restored".to_owned(),
                alarm: false,
                octets: Attested::default(),
            };
            serde_json::to_string(&entry).expect("an entry")
        };
        let at = before.plus(std::time::Duration::from_secs(1));
        let here = lines_of(&lost.identity, &["a", "b", "c", &restored(at), "x", "y", "z"], 3);
        let verifier = || AuditVerifier::new(&keys);
        let found = verify_with(verifier(), &here, lost.heads()).expect_err("told apart (P20, S26)");
        assert_eq!(found, AuditFault::Restored { number: 4, entries: 6, at: before });
        let proven = verify_with(verifier().with_restored(4), &here, lost.heads()).expect("as is known");
        assert_eq!((proven.entries, proven.heads, proven.lost), (7, 3, 1), "the head of 3 is of both");
        verify_with(verifier().with_restored(5), &here, lost.heads()).expect_err("another entry is known");
        // Cut off after it: the heads of the lost store speak for more than is here.
        let short = lines_of(&lost.identity, &["a", "b", "c", &restored(at), "x"], 3);
        let found = verify_with(verifier(), &short, lost.heads()).expect_err("told apart (S26)");
        assert_eq!(found, AuditFault::Restored { number: 4, entries: 6, at: before });
        let proven = verify_with(verifier().with_restored(4), &short, lost.heads()).expect("as is known");
        assert_eq!((proven.entries, proven.lost), (5, 1));
        // What was signed after it is explained by no restore, nor what the backup had.
        let anew = lines_of(&lost.identity, &["a", "b", "c", &restored(before), "x", "y", "z"], 3);
        let found = verify_with(verifier().with_restored(4), &anew, lost.heads()).expect_err("S26");
        assert!(matches!(found, AuditFault::Rewritten { first: 4, last: 6, .. }), "{found}");
        let anew = lines_of(&lost.identity, &["a", "b", "X", &restored(at), "x", "y", "z"], 3);
        let found = verify_with(verifier().with_restored(4), &anew, lost.heads()).expect_err("S26");
        assert!(matches!(found, AuditFault::Rewritten { first: 1, last: 3, .. }), "{found}");
    }

    #[test]
    fn heads_from_elsewhere_are_compared_one_by_one_and_in_their_order() {
        let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
        let (keys, heads) = (record.keys(), record.heads());
        let mut verifier = AuditVerifier::new(&keys);
        for line in &record.lines {
            let next = heads.iter().find(|signed| signed.head.entries == verifier.entries() + 1);
            next.into_iter().try_for_each(|signed| verifier.keep_to(signed.clone())).expect("in time");
            verifier.take(&serde_json::to_string(line).expect("a line")).expect("whole");
        }
        let late = verifier.keep_to(heads[1].clone()).expect_err("its entry has come").to_string();
        assert!(late.starts_with("the head of 6 entries: it stands behind"), "{late}");
        assert_eq!(verifier.end().expect("whole").heads, 4);
        // What is left when the export ends says up to where it was cut off.
        let longer = Record { identity: record.identity, lines: Vec::new() };
        let kept = lines_of(&longer.identity, &["x"; 12], 3);
        let mut verifier = AuditVerifier::new(&keys);
        let begin = ExportLine::Export { form: ExportLine::FORM, at: instant(VALIDITY.0) };
        verifier.take(&serde_json::to_string(&begin).expect("a line")).expect("a beginning");
        let kept = kept
            .into_iter()
            .filter_map(|line| if let ExportLine::Head(signed) = line { Some(signed) } else { None });
        for (at, signed) in kept.enumerate() {
            let taken = if at == 0 { verifier.keep_to(signed) } else { verifier.also_kept(signed) };
            taken.expect("signed");
        }
        let found = verifier.end().expect_err("S26");
        assert!(matches!(found, AuditFault::CutOff { first: 1, last: 12, .. }), "{found}");
    }
}
