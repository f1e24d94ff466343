//! The audit record from outside: its chain, the Merkle tree over it, the heads that are signed, and the lines of
//! an export (P18; threat S26; RFC 6962, 2.1).
//!
//! The chain says that nothing before an entry has changed; the tree over it lets a signed head speak for every
//! entry of it, and later for one without the others. A leaf is the chain's hash of an entry, so that it binds the
//! entry, its number and all that came before. A tree that grows keeps one hash for each bit of its size: adding an
//! entry costs no more than that, however long the record is.
//!
//! Pure values: signing and verifying are `security`'s, keeping is `store`'s.

use serde::{Deserialize, Serialize};

use super::{Digest, Fingerprint, PartyKey, Timestamp};

/// The last entry of the audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number; 0 when there is no entry.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
}

impl AuditHead {
    /// The head of a record without entries.
    pub const EMPTY: Self = Self { sequence: 0, hash: Digest([0; 32]) };

    /// The head after one more entry with this text.
    #[must_use]
    pub fn then(self, text: &str) -> Self {
        let mut hasher = openssl::sha::Sha256::new();
        let sequence = self.sequence + 1;
        hasher.update(&self.hash.0);
        hasher.update(&sequence.to_be_bytes());
        hasher.update(text.as_bytes());
        Self { sequence, hash: Digest(hasher.finish()) }
    }
}

/// A Merkle tree that grows: the roots of its complete subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    peaks: Vec<Digest>,
}

impl Tree {
    /// The tree of this size with these peaks; `None` when there cannot be such a tree.
    #[must_use]
    pub fn of(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Entries in it.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its complete subtrees.
    #[must_use]
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Adds the entry that has this hash in the chain.
    pub fn push(&mut self, hash: Digest) {
        let mut node = leaf(hash);
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a tree has a peak for each bit of its size");
            node = inner(left, node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Its root: what is signed.
    #[must_use]
    pub fn root(&self) -> Digest {
        let from_the_right = self.peaks.iter().rev().copied();
        from_the_right.reduce(|right, left| inner(left, right)).unwrap_or_else(|| Digest::of(b""))
    }
}

/// A tree that grows past an entry and keeps what shows that the entry is in it (RFC 6962, 2.1.1).
///
/// It begins at the tree of any head before the entry, so that what is read is what lies between two heads, however
/// long the record is.
#[derive(Clone, Debug)]
pub struct Witness {
    tree: Tree,
    number: u64,
    /// The peak that the entry is below, once it has come.
    below: Option<usize>,
    path: Vec<Digest>,
}

impl Witness {
    /// Of the entry with this number, which comes after those of the tree; `None` when it is one of them.
    #[must_use]
    pub fn of(number: u64, tree: Tree) -> Option<Self> {
        (number > tree.size).then_some(Self { tree, number, below: None, path: Vec::new() })
    }

    /// The tree so far.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Adds the entry that has this hash in the chain.
    pub fn push(&mut self, hash: Digest) {
        let mut node = leaf(hash);
        let mut is_above = self.tree.size + 1 == self.number;
        for _ in 0..self.tree.size.trailing_ones() {
            let left = self.tree.peaks.pop().expect("a tree has a peak for each bit of its size");
            if is_above {
                self.path.push(left);
            } else if self.below == Some(self.tree.peaks.len()) {
                self.path.push(node);
                is_above = true;
            }
            node = inner(left, node);
        }
        if is_above {
            self.below = Some(self.tree.peaks.len());
        }
        self.tree.peaks.push(node);
        self.tree.size += 1;
    }

    /// The path from the entry to the root, nearest first; `None` before the entry has come.
    #[must_use]
    pub fn path(&self) -> Option<Vec<Digest>> {
        let (left, rest) = self.tree.peaks.split_at_checked(self.below?)?;
        let right = rest.get(1..)?.iter().rev().copied().reduce(|right, left| inner(left, right));
        Some(self.path.iter().copied().chain(right).chain(left.iter().rev().copied()).collect())
    }
}

/// The root of a tree of `size` entries in which entry `number` has this hash in the chain, by the path that shows it;
/// `None` when no path of that length can (RFC 9162, 2.1.3.2).
#[must_use]
pub fn root_by_path(number: u64, size: u64, hash: Digest, path: &[Digest]) -> Option<Digest> {
    let mut place = number.checked_sub(1)?;
    let mut last = size.checked_sub(1)?;
    if place > last {
        return None;
    }
    let mut node = leaf(hash);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            node = inner(*sibling, node);
            while place % 2 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            node = inner(node, *sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(node)
}

fn leaf(hash: Digest) -> Digest {
    let mut hasher = openssl::sha::Sha256::new();
    hasher.update(&[0]);
    hasher.update(&hash.0);
    Digest(hasher.finish())
}

fn inner(left: Digest, right: Digest) -> Digest {
    let mut hasher = openssl::sha::Sha256::new();
    hasher.update(&[1]);
    hasher.update(&left.0);
    hasher.update(&right.0);
    Digest(hasher.finish())
}

/// What a signature on the audit record says: so many entries, this tree over them, this end of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// Whose record it is.
    pub gateway: PartyKey,
    /// How many entries it speaks for: the first ones.
    pub entries: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// The hash of the last one.
    pub chain: Digest,
    /// When it was signed, by the gateway's clock.
    pub at: Timestamp,
}

impl TreeHead {
    /// The octets that are signed. They begin with a line that no other thing that is signed begins with.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { gateway, entries, root, chain, at } = self;
        format!(
            "gwanmun audit head 1\ngateway {gateway}\nentries {entries}\nroot {root}\nchain {chain}\nat {at}\n"
        )
    }
}

/// A head with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// What it says.
    #[serde(flatten)]
    pub head: TreeHead,
    /// SHA-256 of the certificate of the key that signed.
    pub key: Fingerprint,
    /// The signature over [`TreeHead::text`], base64.
    pub signature: String,
}

impl SignedHead {
    /// The octets that a time stamp is over: what the head says, and its signature.
    #[must_use]
    pub fn stamped_text(&self) -> String {
        let Self { head, key, signature } = self;
        format!("{}key {key}\nsignature {signature}\n", head.text())
    }
}

/// A time stamp over a signed head, as an entry of the record has it (RFC 3161): an authority says that the head was
/// there at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadStamp {
    /// How many entries the head speaks for.
    pub entries: u64,
    /// When, by the authority's clock.
    pub at: Timestamp,
    /// The token over SHA-256 of [`SignedHead::stamped_text`], DER in base64.
    pub token: String,
}

/// A signed head as a store keeps it: with the peaks of its tree, from which the next one grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHead {
    /// The head.
    pub signed: SignedHead,
    /// The peaks of its tree.
    pub peaks: Vec<Digest>,
}

/// An entry of the audit record, octet for octet as it was hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainEntry {
    /// Its number, from 1 without gaps.
    pub number: u64,
    /// Its hash, as it is kept; who reads it computes it anew.
    pub hash: String,
    /// Its text.
    pub text: String,
}

/// A line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportLine {
    /// The first line.
    Export {
        /// The form of the lines that follow.
        form: u32,
        /// When it was made.
        at: Timestamp,
    },
    /// An entry.
    Entry(ChainEntry),
    /// A signed head, after the last entry that it speaks for.
    Head(SignedHead),
}

impl ExportLine {
    /// The form that this version writes.
    pub const FORM: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root as RFC 6962, 2.1 defines it.
    fn defined(hashes: &[Digest]) -> Digest {
        match hashes {
            [] => Digest::of(b""),
            [one] => leaf(*one),
            more => {
                let split = more.len().next_power_of_two() / 2;
                inner(defined(&more[..split]), defined(&more[split..]))
            }
        }
    }

    #[test]
    fn a_growing_tree_has_the_roots_of_the_definition_and_few_peaks() {
        let mut tree = Tree::default();
        let mut hashes = Vec::new();
        for size in 0..=130_u64 {
            assert_eq!(tree.root(), defined(&hashes), "{size} entries (P18)");
            assert_eq!(tree.peaks().len(), size.count_ones() as usize);
            assert_eq!(Tree::of(size, tree.peaks().to_vec()).as_ref(), Some(&tree));
            assert_eq!(Tree::of(2 * size + 1, tree.peaks().to_vec()), None, "one peak is missing");
            hashes.push(Digest::of(&size.to_be_bytes()));
            tree.push(hashes[hashes.len() - 1]);
        }
    }

    /// The path as RFC 6962, 2.1.1 defines it.
    fn defined_path(place: usize, hashes: &[Digest]) -> Vec<Digest> {
        if hashes.len() < 2 {
            return Vec::new();
        }
        let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
        let (mut path, sibling) = match place.checked_sub(left.len()) {
            None => (defined_path(place, left), defined(right)),
            Some(place) => (defined_path(place, right), defined(left)),
        };
        path.push(sibling);
        path
    }

    #[test]
    fn every_entry_of_every_tree_is_shown_by_the_path_of_the_definition_from_wherever_it_grew() {
        let hashes: Vec<_> = (0..67_u64).map(|number| Digest::of(&number.to_be_bytes())).collect();
        for size in 1..=hashes.len() {
            let root = defined(&hashes[..size]);
            for number in 1..=size {
                let path = defined_path(number - 1, &hashes[..size]);
                // From nothing, from a head in between, from right before it.
                for from in [0, number / 3, number - 1] {
                    let mut tree = Tree::default();
                    hashes[..from].iter().for_each(|hash| tree.push(*hash));
                    let mut witness = Witness::of(number as u64, tree).expect("it comes later");
                    assert_eq!(witness.path(), None, "before it came");
                    hashes[from..size].iter().for_each(|hash| witness.push(*hash));
                    assert_eq!(witness.path().as_ref(), Some(&path), "{number} of {size} from {from} (P18)");
                    assert_eq!(witness.tree().root(), root);
                }
                let by = |number: usize, size: usize, path: &[Digest]| {
                    root_by_path(number as u64, size as u64, hashes[number - 1], path)
                };
                assert_eq!(by(number, size, &path), Some(root), "{number} of {size} (P18)");
                for other in (1..=hashes.len()).filter(|other| *other != size) {
                    let shown = by(number, other, &path);
                    assert_ne!(
                        shown,
                        Some(defined(&hashes[..other])),
                        "{number} of {other} by a path of {size}"
                    );
                }
            }
        }
        assert_eq!(root_by_path(0, 1, hashes[0], &[]), None);
        assert_eq!(root_by_path(2, 1, hashes[0], &[]), None);
        assert_eq!(root_by_path(1, 0, hashes[0], &[]), None);
        assert!(Witness::of(3, Tree::of(3, vec![hashes[0], hashes[1]]).expect("a tree")).is_none());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn no_path_that_was_tampered_with_shows_anything(
            size in 2_usize..400, at in 0_usize..400, change in 0_usize..6, where_to in 0_usize..16
        ) {
            let hashes: Vec<_> = (0..size as u64).map(|number| Digest::of(&number.to_be_bytes())).collect();
            let (place, root) = (at % size, defined(&hashes));
            let mut path = defined_path(place, &hashes);
            let (mut number, mut hash) = (place as u64 + 1, hashes[place]);
            let step = where_to % path.len();
            match change {
                0 => path[step].0[where_to] ^= 1,
                1 => drop(path.remove(step)),
                2 => path.insert(step, root),
                3 if path.len() > 1 => {
                    let next = (step + 1) % path.len();
                    path.swap(step, next);
                }
                4 => number = (number % size as u64) + 1,
                _ => hash.0[where_to] ^= 1,
            }
            proptest::prop_assert_ne!(root_by_path(number, size as u64, hash, &path), Some(root), "P18");
        }
    }
}
