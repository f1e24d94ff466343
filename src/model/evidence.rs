//! What an archive of evidence about one message says of itself, and the list of keys that counted when the message
//! came or went (P18; threat S27).
//!
//! Pure values: what they are about is gathered by the gateway, and checked by `security` without it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DeliveryId, Digest, Fingerprint, MessageId, MessageKey, PartyKey, SignedHead, Timestamp};

/// What an archive has in it, signed by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceManifest {
    /// The form of the archive.
    pub form: u32,
    /// Whose gateway made it.
    pub gateway: PartyKey,
    /// When it was made, by the gateway's clock.
    pub made_at: Timestamp,
    /// What it is about.
    pub subject: EvidenceSubject,
    /// Who sent it and signed it, when it is no message of ours but one that was passed on (ebMS 2.0, 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_on_for: Option<PartyKey>,
    /// Everything else that is in it, but the signature of this.
    pub members: Vec<EvidenceMember>,
}

impl EvidenceManifest {
    /// The form that this version writes.
    pub const FORM: u32 = 1;

    /// The octets that the signature of a manifest is over, which begin as nothing else that is signed begins.
    #[must_use]
    pub fn signed_text(manifest: &[u8]) -> Vec<u8> {
        [b"gwanmun evidence 1\n", manifest].concat()
    }
}

/// The message that an archive is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceSubject {
    /// A message that we received.
    Received(MessageKey),
    /// A message that we owe, or owed, to somebody.
    Sent {
        /// The name of its delivery.
        delivery: DeliveryId,
        /// To whom.
        destination: PartyKey,
        /// Its MessageId.
        message_id: MessageId,
    },
}

impl EvidenceSubject {
    /// The party at the other end.
    #[must_use]
    pub const fn party(&self) -> &PartyKey {
        match self {
            Self::Received(key) => &key.sender,
            Self::Sent { destination, .. } => destination,
        }
    }

    /// The MessageId.
    #[must_use]
    pub const fn message_id(&self) -> &MessageId {
        match self {
            Self::Received(key) => &key.message_id,
            Self::Sent { message_id, .. } => message_id,
        }
    }
}

impl fmt::Display for EvidenceSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.party(), self.message_id())
    }
}

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceMember {
    /// Its name.
    pub name: String,
    /// SHA-256 of its octets.
    pub sha256: Digest,
    /// How many they are.
    pub bytes: u64,
    /// The HTTP Content-Type, of an HTTP entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Arc<str>>,
}

/// The signature of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSignature {
    /// SHA-256 of the certificate of the key that signed.
    pub key: Fingerprint,
    /// The signature over [`EvidenceManifest::signed_text`], base64.
    pub signature: String,
}

/// The entries of the audit record about a message, each shown to be in the tree of a signed head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPath {
    /// The entries, in order.
    pub entries: Vec<ProvenEntry>,
    /// The heads that they are shown by.
    pub heads: Vec<SignedHead>,
}

/// An entry with what shows that it is in the tree of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEntry {
    /// Its number.
    pub number: u64,
    /// The hash of the entry before it.
    pub previous: Digest,
    /// Its text.
    pub text: String,
    /// How many entries the head speaks for that it is shown by.
    pub head: u64,
    /// From its leaf to the root, nearest first (RFC 6962, 2.1.1).
    pub path: Vec<Digest>,
}

/// What a key or list of a [`KeyList`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyUse {
    /// A certificate that we sign with.
    Own,
    /// A certificate that a partner may sign with.
    Signing,
    /// A certificate that a partner may come with or answer with on connections.
    Tls,
    /// A file of revocation lists.
    Revocation,
}

impl KeyUse {
    const ALL: [Self; 4] = [Self::Own, Self::Signing, Self::Tls, Self::Revocation];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Signing => "signing",
            Self::Tls => "tls",
            Self::Revocation => "revocation",
        }
    }
}

/// The keys and revocation lists that count from an instant on, by their SHA-256: a line each, sorted, so that the same
/// keys make the same octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyList(BTreeSet<(KeyUse, PartyKey, Digest)>);

impl KeyList {
    /// Adds one; a revocation list is ours.
    pub fn add(&mut self, of: KeyUse, party: PartyKey, digest: Digest) {
        self.0.insert((of, party, digest));
    }

    /// Adds those of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Those of one use and party.
    pub fn of<'a>(&'a self, of: KeyUse, party: &'a PartyKey) -> impl Iterator<Item = Digest> + 'a {
        self.0.iter().filter(move |(found, owner, _)| *found == of && owner == party).map(|line| line.2)
    }

    /// Those of one use, whoever's they are.
    pub fn all_of(&self, of: KeyUse) -> impl Iterator<Item = Digest> + '_ {
        self.0.iter().filter(move |(found, ..)| *found == of).map(|line| line.2)
    }

    /// Whose there are, each as often as it has some.
    pub fn parties(&self) -> impl Iterator<Item = &PartyKey> {
        self.0.iter().map(|(_, party, _)| party)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FIRST_LINE)?;
        self.0.iter().try_for_each(|(of, party, digest)| {
            f.write_char('\n')?;
            write!(f, "{} {digest} {party}", of.as_str())
        })?;
        f.write_char('\n')
    }
}

impl FromStr for KeyList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(format!("it does not begin with {FIRST_LINE:?}"));
        }
        let read = |line: &str| {
            let (of, rest) = line.split_once(' ')?;
            let (digest, party) = rest.split_once(' ')?;
            let of = KeyUse::ALL.into_iter().find(|known| known.as_str() == of)?;
            Some((of, PartyKey::new(party).ok()?, digest.parse().ok()?))
        };
        lines
            .map(|line| read(line).ok_or_else(|| format!("{line:?} is no line of it")))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

const FIRST_LINE: &str = "gwanmun keys 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_reads_back_and_is_the_same_whatever_the_order() {
        let party = |key: &str| PartyKey::new(key).expect("a key");
        let lines = [
            (KeyUse::Signing, party("AG2"), Digest([2; 32])),
            (KeyUse::Revocation, party("HUB"), Digest([4; 32])),
            (KeyUse::Own, party("HUB"), Digest([1; 32])),
            (KeyUse::Tls, party("AG2"), Digest([3; 32])),
        ];
        let (mut forth, mut back) = (KeyList::default(), KeyList::default());
        lines.iter().cloned().for_each(|(of, party, digest)| forth.add(of, party, digest));
        lines.iter().rev().cloned().for_each(|(of, party, digest)| back.add(of, party, digest));
        assert_eq!(forth.to_string(), back.to_string());
        assert_eq!(forth.to_string().parse(), Ok(forth.clone()));
        assert_eq!(forth.of(KeyUse::Signing, &party("AG2")).collect::<Vec<_>>(), [Digest([2; 32])]);
        assert_eq!(forth.of(KeyUse::Signing, &party("HUB")).count(), 0);
        for bad in ["", "gwanmun keys 2\n", "gwanmun keys 1\nown x HUB\n", "gwanmun keys 1\nmine\n"] {
            assert!(bad.parse::<KeyList>().is_err(), "{bad:?}");
        }
    }
}
