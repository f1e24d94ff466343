//! Octets of a message: held in memory, filed, or a row of pieces of both kinds.
//!
//! Promises: octets always have their SHA-256 without being read for it, but for held ones, which are digested when it
//! is first asked for; equal digests and lengths are equal octets; what is filed is read in bounded pieces, by a
//! handle that the shell made, and whoever reads all of it hears when it is not what was filed (P12, P13).
//!
//! Does not open, write or name a file: a [`Source`] is all it knows.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use openssl::sha::Sha256;

use super::Digest;

/// A file that can be read at any place, for as long as somebody has this handle.
pub trait Source: Any + Send + Sync + fmt::Debug {
    /// SHA-256 of all of it.
    fn digest(&self) -> Digest;

    /// How many octets it has.
    fn bytes(&self) -> u64;

    /// Fills `into` with what stands from `at` on.
    ///
    /// # Errors
    /// [`Unreadable`] when not all of it can be read.
    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Unreadable>;
}

/// Filed octets cannot be read, or are not those that were filed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Octets with their SHA-256.
#[derive(Clone)]
pub struct Octets {
    pieces: Pieces,
    digest: OnceLock<Digest>,
}

/// The common case needs no list.
#[derive(Clone)]
enum Pieces {
    Held(Bytes),
    Row { row: Arc<[Piece]>, bytes: u64 },
}

/// Octets that stand in one place.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Held(Bytes),
    /// In a file.
    Filed(Filed),
}

/// A range of a file.
#[derive(Clone)]
pub struct Filed {
    source: Arc<dyn Source>,
    start: u64,
    bytes: u64,
}

impl Filed {
    /// This range of the file; `None` when it has not so many octets.
    #[must_use]
    pub fn of(source: Arc<dyn Source>, start: u64, bytes: u64) -> Option<Self> {
        let fits = start.checked_add(bytes).is_some_and(|end| end <= source.bytes());
        fits.then_some(Self { source, start, bytes })
    }

    /// The file.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Where in the file it begins.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// How many octets it has.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is the file from its first octet to its last.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.start == 0 && self.bytes == self.source.bytes()
    }

    fn read(&self, at: u64, bytes: usize) -> Result<Bytes, Unreadable> {
        let mut octets = BytesMut::zeroed(bytes);
        self.source.read_at(self.start + at, &mut octets)?;
        Ok(octets.freeze())
    }
}

/// Which file it is, and not by which handle it is read.
impl fmt::Debug for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets from {} on of {}", self.bytes, self.start, self.source.digest())
    }
}

impl Piece {
    /// How many octets it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Held(octets) => octets.len() as u64,
            Self::Filed(filed) => filed.bytes,
        }
    }

    /// Some of its octets from `at` on, at most `most`, and of a file no more than a chunk.
    fn some(&self, at: u64, most: usize) -> Result<Bytes, Unreadable> {
        let left = self.bytes().saturating_sub(at);
        let most = usize::try_from(left).map_or(most, |left| most.min(left));
        match self {
            // It is in memory, so its places fit there too.
            Self::Held(octets) => {
                let at = octets.len() - usize::try_from(left).unwrap_or(octets.len());
                Ok(octets.slice(at..at + most))
            }
            Self::Filed(filed) => filed.read(at, most.min(CHUNK_BYTES)),
        }
    }

    fn part(&self, range: Range<u64>) -> Self {
        match self {
            Self::Held(octets) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(octets.len());
                Self::Held(octets.slice(place(range.start)..place(range.end)))
            }
            Self::Filed(Filed { source, start, .. }) => Self::Filed(Filed {
                source: Arc::clone(source),
                start: start + range.start,
                bytes: range.end - range.start,
            }),
        }
    }
}

impl Octets {
    /// All of a file.
    #[must_use]
    pub fn of_file(source: Arc<dyn Source>) -> Self {
        let (digest, bytes) = (source.digest(), source.bytes());
        Self::kept(vec![Piece::Filed(Filed { source, start: 0, bytes })], digest)
    }

    /// These pieces, one behind the other, which were digested before.
    #[must_use]
    pub fn kept(pieces: Vec<Piece>, digest: Digest) -> Self {
        let pieces = match <[Piece; 1]>::try_from(pieces) {
            Ok([Piece::Held(octets)]) => Pieces::Held(octets),
            Ok(piece) => Pieces::Row { bytes: piece[0].bytes(), row: piece.into() },
            Err(row) => Pieces::Row { bytes: row.iter().map(Piece::bytes).sum(), row: row.into() },
        };
        Self { pieces, digest: digest.into() }
    }

    /// These pieces, one behind the other. What is filed is read once, to digest it.
    ///
    /// # Errors
    /// [`Unreadable`] when that fails.
    pub fn joined(pieces: Vec<Piece>) -> Result<Self, Unreadable> {
        let made = Self::kept(pieces, Digest([0; 32]));
        let digest = match &made.pieces {
            Pieces::Held(_) => OnceLock::new(),
            Pieces::Row { .. } => sha256(made.chunks())?.into(),
        };
        Ok(Self { digest, ..made })
    }

    /// This range of them. What is filed is read once, to digest it.
    ///
    /// # Errors
    /// [`Unreadable`] when that fails.
    ///
    /// # Panics
    /// When they do not have this range.
    pub fn slice(&self, range: Range<u64>) -> Result<Self, Unreadable> {
        assert!(range.start <= range.end && range.end <= self.bytes(), "the range is one of these octets");
        if range == (0..self.bytes()) {
            return Ok(self.clone());
        }
        let mut begins = 0;
        let mut within = Vec::new();
        for piece in self.pieces() {
            let ends = begins + piece.bytes();
            if range.start < ends && begins < range.end {
                within.push(piece.part(range.start.max(begins) - begins..range.end.min(ends) - begins));
            }
            begins = ends;
        }
        if within.is_empty() {
            return Ok(Bytes::new().into());
        }
        Self::joined(within)
    }

    /// How many there are.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.pieces {
            Pieces::Held(octets) => octets.len() as u64,
            Pieces::Row { bytes, .. } => *bytes,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// SHA-256 of them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| match &self.pieces {
            Pieces::Held(octets) => Digest::of(octets),
            Pieces::Row { .. } => unreachable!("pieces are digested when they are put in a row"),
        })
    }

    /// All of them, when they are in memory in one piece.
    #[must_use]
    pub const fn as_held(&self) -> Option<&Bytes> {
        match &self.pieces {
            Pieces::Held(octets) => Some(octets),
            Pieces::Row { .. } => None,
        }
    }

    /// All of them, which are in memory in one piece: for who made them so.
    ///
    /// # Panics
    /// When they are not.
    #[must_use]
    pub const fn held(&self) -> &Bytes {
        self.as_held().expect("who asks knows that they are in memory")
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let (one, row) = match &self.pieces {
            Pieces::Held(octets) => (Some(Piece::Held(octets.clone())), &[][..]),
            Pieces::Row { row, .. } => (None, &**row),
        };
        one.into_iter().chain(row.iter().cloned())
    }

    /// Octets that they take in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let held = self.pieces().map(|piece| match piece {
            Piece::Held(octets) => octets.len(),
            Piece::Filed(_) => 0,
        });
        held.sum()
    }

    /// All of them in memory. What was filed is checked.
    ///
    /// # Errors
    /// [`Unreadable`] when there are more than `bytes_max`, or they are not what was filed.
    pub fn read(&self, bytes_max: usize) -> Result<Bytes, Unreadable> {
        let bytes = usize::try_from(self.bytes()).unwrap_or(usize::MAX);
        if bytes > bytes_max {
            return Err(Unreadable(format!("{bytes} octets, at most {bytes_max} are read at once")));
        }
        if let Some(octets) = self.as_held() {
            return Ok(octets.clone());
        }
        let mut all = BytesMut::with_capacity(bytes);
        for chunk in self.checked() {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }

    /// Some of them from `at` on: at most `most`, and at least one where there is any. What is filed is not checked.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn some(&self, at: u64, most: usize) -> Result<Bytes, Unreadable> {
        let mut begins = 0;
        for piece in self.pieces() {
            let ends = begins + piece.bytes();
            if at < ends {
                return piece.some(at - begins, most);
            }
            begins = ends;
        }
        Ok(Bytes::new())
    }

    /// So many of them from `at` on, or as many as there are. What is filed is not checked.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn window(&self, at: u64, bytes: usize) -> Result<Bytes, Unreadable> {
        let first = self.some(at, bytes)?;
        if first.len() == bytes || at + first.len() as u64 >= self.bytes() {
            return Ok(first);
        }
        let mut window = BytesMut::from(&first[..]);
        while window.len() < bytes {
            let more = self.some(at + window.len() as u64, bytes - window.len())?;
            if more.is_empty() {
                break;
            }
            window.extend_from_slice(&more);
        }
        Ok(window.freeze())
    }

    /// All of them in order, what is filed in chunks, and unchecked.
    #[must_use]
    pub fn chunks(&self) -> Chunks {
        Chunks { octets: self.clone(), at: 0 }
    }

    /// The same, checked: the last chunk comes only when all of them together are what they should be (P12).
    #[must_use]
    pub fn checked(&self) -> Checked {
        let hasher = self.as_held().is_none().then(Sha256::new);
        Checked { chunks: self.chunks(), hasher }
    }
}

/// See [`Octets::chunks`].
#[derive(Debug)]
pub struct Chunks {
    octets: Octets,
    at: u64,
}

impl Iterator for Chunks {
    type Item = Result<Bytes, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.octets.bytes() {
            return None;
        }
        let chunk = self.octets.some(self.at, usize::MAX);
        // After an error there is nothing more.
        self.at = chunk.as_ref().map_or(u64::MAX, |chunk| self.at + chunk.len() as u64);
        Some(chunk)
    }
}

/// See [`Octets::checked`].
pub struct Checked {
    chunks: Chunks,
    hasher: Option<Sha256>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("chunks", &self.chunks).finish_non_exhaustive()
    }
}

impl Iterator for Checked {
    type Item = Result<Bytes, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = match self.chunks.next() {
            Some(Ok(chunk)) => chunk,
            // None at all may be too few as well.
            None if self.hasher.is_some() => Bytes::new(),
            other => return other,
        };
        let Some(hasher) = &mut self.hasher else { return Some(Ok(chunk)) };
        hasher.update(&chunk);
        if self.chunks.at < self.chunks.octets.bytes() {
            return Some(Ok(chunk));
        }
        let found = Digest(self.hasher.take()?.finish());
        let expected = self.chunks.octets.digest();
        if found == expected {
            return Some(Ok(chunk));
        }
        Some(Err(Unreadable(format!("its octets have digest {found}, expected {expected}"))))
    }
}

fn sha256(chunks: Chunks) -> Result<Digest, Unreadable> {
    let mut hasher = Sha256::new();
    for chunk in chunks {
        hasher.update(&chunk?);
    }
    Ok(Digest(hasher.finish()))
}

impl Default for Octets {
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl<T: Into<Bytes>> From<T> for Octets {
    fn from(octets: T) -> Self {
        Self { pieces: Pieces::Held(octets.into()), digest: OnceLock::new() }
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        match (self.as_held(), other.as_held()) {
            (Some(own), Some(others)) => own == others,
            _ => self.bytes() == other.bytes() && self.digest() == other.digest(),
        }
    }
}

impl Eq for Octets {}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pieces {
            Pieces::Held(octets) => octets.fmt(f),
            Pieces::Row { row, .. } => f.debug_tuple("Octets").field(row).field(&self.digest()).finish(),
        }
    }
}

/// Filed octets that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// These octets as if they were filed, for tests of what reads them.
#[cfg(test)]
pub(crate) fn filed_for_tests(octets: &[u8]) -> Octets {
    tests::filed(octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file in memory.
    #[derive(Debug)]
    struct File(Vec<u8>, Digest);

    impl Source for File {
        fn digest(&self) -> Digest {
            self.1
        }

        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Unreadable> {
            let at = usize::try_from(at).expect("a small file");
            let octets = self.0.get(at..at + into.len()).ok_or_else(|| Unreadable("its end".to_owned()))?;
            into.copy_from_slice(octets);
            Ok(())
        }
    }

    pub(super) fn filed(octets: &[u8]) -> Octets {
        Octets::of_file(Arc::new(File(octets.to_vec(), Digest::of(octets))))
    }

    fn all(octets: &Octets) -> Vec<u8> {
        octets.checked().collect::<Result<Vec<_>, _>>().expect("readable").concat()
    }

    proptest! {
        #[test]
        fn a_row_of_pieces_is_the_octets_that_it_is_made_of(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            cut in any::<[prop::sample::Index; 2]>(),
        ) {
            let whole: Vec<u8> = pieces.iter().flat_map(|(_, octets)| octets.clone()).collect();
            let piece = |(is_held, octets): &(bool, Vec<u8>)| match is_held {
                true => Piece::Held(octets.clone().into()),
                false => filed(octets).pieces().next().expect("one"),
            };
            let row = Octets::joined(pieces.iter().map(piece).collect()).expect("readable");
            prop_assert_eq!(row.bytes(), whole.len() as u64);
            prop_assert_eq!(row.digest(), Digest::of(&whole));
            prop_assert_eq!(&row, &Octets::from(whole.clone()));
            prop_assert_eq!(all(&row), whole.clone());
            let mut cut = cut.map(|cut| cut.index(whole.len() + 1));
            cut.sort_unstable();
            let part = row.slice(cut[0] as u64..cut[1] as u64).expect("readable");
            prop_assert_eq!(all(&part), &whole[cut[0]..cut[1]]);
            prop_assert_eq!(part.digest(), Digest::of(&whole[cut[0]..cut[1]]));
            prop_assert_eq!(&row.window(cut[0] as u64, cut[1] - cut[0]).expect("readable"), &whole[cut[0]..cut[1]]);
        }
    }

    #[test]
    fn what_is_not_what_was_filed_is_never_given_whole() {
        let octets = vec![7; CHUNK_BYTES * 2 + 1];
        let file = File([&octets[1..], &[8]].concat(), Digest::of(&octets));
        let octets = Octets::of_file(Arc::new(file));
        let given: Vec<_> = octets.checked().collect();
        assert_eq!(given.len(), 3, "P12");
        assert!(given[..2].iter().all(Result::is_ok) && given[2].is_err(), "the last chunk is kept back");
        assert!(octets.read(usize::MAX).is_err());
    }

    #[test]
    fn a_file_that_lost_everything_is_not_what_was_filed() {
        let octets = Octets::of_file(Arc::new(File(Vec::new(), Digest::of(b"something"))));
        assert!(octets.read(usize::MAX).is_err(), "P12");
        assert!(octets.checked().any(|chunk| chunk.is_err()));
        assert_eq!(filed(b"").read(0).expect("nothing was filed"), Bytes::new());
    }

    #[test]
    fn no_more_is_read_at_once_than_was_asked_for() {
        let octets = filed(&[1; 100]);
        assert_eq!(octets.read(100).expect("at the limit").len(), 100);
        let told = octets.read(99).expect_err("one past it").to_string();
        assert_eq!(told, "100 octets, at most 99 are read at once");
    }
}
