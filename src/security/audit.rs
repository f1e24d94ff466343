//! Signs the heads of the audit record, and checks an export of it with nothing but public keys (P18; threat S26).
//!
//! Promises: the first entry that is missing, moved, changed or put in is named; a record whose chain was computed
//! anew is found by the first head that was signed over the old one; one that was cut off or rolled back is found by
//! heads that were kept elsewhere, one that was restored from a backup by the entry that says so. A time stamp counts only
//! with the certificates of its authority, and only over a head of this record. Nothing in the export adds trust to itself.
//!
//! Does not find entries that were rewritten after the last head that anybody kept: it says how many are not signed.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::x509::X509;

use super::certificate::{check_usage, instant};
use super::error::{KeyError, SealError};
use super::keystore::{SigningKey, VerifyingKey};
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
mod tests;
