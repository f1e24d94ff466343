//! The audit record: a chain of hashes over every entry, so that a changed, missing or inserted one shows
//! (P18; threat S26).
//!
//! The hash of an entry is SHA-256 over the hash before it, its number (eight octets, big-endian) and its
//! text, which is the JSON that is stored ([`AuditHead::then`]). Does not sign: the heads that are kept beside the
//! entries are made elsewhere, off the way of a commit.

use crate::model::{ChainEntry, MessageId, TimelineEntry, TreeHead};

use super::record::FORM;
use super::{AuditEntry, AuditHead, AuditVerdict, Damage, StoreError};

/// The text of an entry, as it is stored and hashed.
pub(super) fn entry_text(entry: &TimelineEntry) -> String {
    serde_json::to_string(entry).expect("an entry is JSON: it has no maps")
}

/// An entry as a home keeps it. The checksum lets one entry be read without its neighbours (P12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) sequence: u64,
    pub(super) form: u32,
    pub(super) checksum: u32,
    pub(super) text: String,
    pub(super) hash: String,
}

impl Link {
    /// The link that makes `head` out of the head before it.
    pub(super) fn of(head: AuditHead, text: String) -> Self {
        let hash = head.hash.to_string();
        let mut link = Self { sequence: head.sequence, form: FORM, checksum: 0, text, hash };
        link.checksum = link.sum();
        link
    }

    pub(super) fn decode(&self) -> Result<AuditEntry, StoreError> {
        let damaged = |detail: String| {
            StoreError::Damaged(Damage { what: format!("audit entry {}", self.sequence), detail })
        };
        if self.checksum != self.sum() {
            return Err(damaged(format!("checksum {:08x}, expected {:08x}", self.checksum, self.sum())));
        }
        if self.form > FORM {
            return Err(StoreError::Newer { found: self.form, known: FORM });
        }
        let hash = self.hash.parse().map_err(|error| damaged(format!("its hash: {error}")))?;
        let entry = serde_json::from_str(&self.text).map_err(|error| damaged(error.to_string()))?;
        Ok(AuditEntry { sequence: self.sequence, entry, hash })
    }

    /// Whether it is about a message.
    pub(super) fn names(&self, message_id: &MessageId) -> bool {
        self.decode().is_ok_and(|entry| entry.entry.message_id.as_ref() == Some(message_id))
    }

    /// As it is kept, whether damaged or not: whoever asks computes the hash anew.
    pub(super) fn into_kept(self) -> ChainEntry {
        ChainEntry { number: self.sequence, hash: self.hash, text: self.text }
    }

    fn sum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.sequence.to_be_bytes());
        hasher.update(&self.form.to_be_bytes());
        hasher.update(self.text.as_bytes());
        hasher.update(self.hash.as_bytes());
        hasher.finalize()
    }
}

/// Walks a chain link by link. It must lead through `marked`, an entry that is known from elsewhere, and through the last
/// entry of each head that was signed.
pub(super) struct Walk {
    head: AuditHead,
    marked: AuditHead,
}

impl Walk {
    pub(super) const fn through(marked: AuditHead) -> Self {
        Self { head: AuditHead::EMPTY, marked }
    }

    /// Takes the next link: `Some` verdict when it does not follow.
    pub(super) fn take(&mut self, link: &Link) -> Option<AuditVerdict> {
        let expected = self.head.then(&link.text);
        let broken =
            |sequence, detail: &str| Some(AuditVerdict::Broken { sequence, detail: detail.to_owned() });
        if link.sequence != expected.sequence {
            return broken(expected.sequence, "the entry is missing");
        }
        if link.hash != expected.hash.to_string() {
            return broken(link.sequence, "its hash does not follow from its text and the entry before");
        }
        if expected.sequence == self.marked.sequence && expected != self.marked {
            return broken(link.sequence, "the chain was rewritten: its hash is not the one that was marked");
        }
        self.head = expected;
        None
    }

    /// Holds a head that was signed over so many entries as were taken against them: `Some` verdict when it is of others.
    pub(super) fn pass(&self, signed: &TreeHead) -> Option<AuditVerdict> {
        let TreeHead { entries: sequence, chain, .. } = signed;
        (*chain != self.head.hash).then(|| AuditVerdict::Broken {
            sequence: *sequence,
            detail: format!("the chain was rewritten: audit head {sequence} was signed over another hash"),
        })
    }

    /// The verdict when every link followed; `beyond` is a head that was signed over more entries than there are.
    pub(super) fn end(self, beyond: Option<&TreeHead>) -> AuditVerdict {
        let sequence = self.head.sequence + 1;
        if self.head.sequence < self.marked.sequence {
            let detail = format!("entries up to {} are missing", self.marked.sequence);
            return AuditVerdict::Broken { sequence, detail };
        }
        if let Some(TreeHead { entries, .. }) = beyond {
            let detail =
                format!("entries up to {entries} are missing: audit head {entries} was signed over them");
            return AuditVerdict::Broken { sequence, detail };
        }
        AuditVerdict::Intact(self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(texts: &[&str]) -> Vec<Link> {
        let mut head = AuditHead::EMPTY;
        let link = |text: &&str| {
            head = head.then(text);
            Link::of(head, (*text).to_owned())
        };
        texts.iter().map(link).collect()
    }

    #[test]
    fn the_first_entry_that_does_not_follow_is_named() {
        fn check(what: &str, change: fn(&mut Vec<Link>), first_bad: Option<u64>) {
            let mut links = chain(&["a", "b", "c", "d"]);
            let last = links.last().expect("four links");
            let mut walk =
                Walk::through(AuditHead { sequence: 4, hash: last.hash.parse().expect("a digest") });
            change(&mut links);
            let found = match links.iter().find_map(|link| walk.take(link)).unwrap_or_else(|| walk.end(None))
            {
                AuditVerdict::Intact(_) => None,
                AuditVerdict::Broken { sequence, .. } => Some(sequence),
            };
            assert_eq!(found, first_bad, "{what} (P18)");
        }
        check("untouched", |_| (), None);
        check("changed text", |links| links[1].text = "B".to_owned(), Some(2));
        check("changed hash", |links| links[2].hash = links[1].hash.clone(), Some(3));
        check("removed", |links| drop(links.remove(1)), Some(2));
        check("swapped", |links| links.swap(1, 2), Some(2));
        check("cut off", |links| links.truncate(3), Some(4));
        check("all removed", Vec::clear, Some(1));
        check("rewritten from the middle", |links| *links = chain(&["a", "b", "x", "d"]), Some(4));
    }
}
