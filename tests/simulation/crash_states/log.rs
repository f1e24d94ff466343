//! SQLite's write-ahead log, as far as opening a database reads it (its file format, section 4): a frame counts when its salts
//! are those of the header and its checksum, which goes on from that of the frame before it, is right; and of those
//! frames the ones up to the last that ends a commit.
//!
//! Two logs whose frames are equal as far as they count are one log to whoever opens the database. That is said here
//! and shown by `states_that_pass_for_equal_are_equal`, which opens logs that differ in the rest.

use std::collections::BTreeSet;

use gwanmun::model::Digest;

use super::disk::Image;

/// As far as a log counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// Where what counts ends.
    pub(super) end: usize,
    /// Pages that it holds.
    pub(super) pages: BTreeSet<u32>,
    at: usize,
    sums: (u32, u32),
    /// Pages of a commit whose end has not come.
    begun: BTreeSet<u32>,
}

impl Log {
    /// Reads a log from its begin.
    pub(super) fn read(image: &Image) -> Self {
        Self::begin(image).read_on(image, usize::MAX)
    }

    /// Reads a log as far as it is before the part of the image that may differ.
    pub(super) fn before(image: &Image) -> Self {
        Self::begin(image).read_on(image, image.from)
    }

    fn begin(image: &Image) -> Self {
        match image.get(0, HEADER).filter(|header| is_header(header)) {
            Some(header) => {
                Self { end: HEADER, at: HEADER, sums: summed((0, 0), &header[..24]), ..Self::default() }
            }
            None => Self::default(),
        }
    }

    /// Reads frames until one does not count, or ends behind `until`.
    pub(super) fn read_on(mut self, image: &Image, until: usize) -> Self {
        let Some(header) = image.get(0, HEADER).filter(|_| self.at > 0) else { return self };
        while self.at + FRAME <= until {
            let Some(frame) = image.get(self.at, FRAME) else { break };
            let sums = summed(summed(self.sums, &frame[..8]), &frame[24..]);
            if frame[8..16] != header[16..24] || (word(&frame, 16), word(&frame, 20)) != sums {
                break;
            }
            (self.at, self.sums) = (self.at + FRAME, sums);
            self.begun.insert(word(&frame, 0));
            if word(&frame, 4) != 0 {
                self.end = self.at;
                self.pages.append(&mut self.begun);
            }
        }
        self
    }

    /// What counts in a log of which everything before `from` is as it was read to here.
    pub(super) fn key(&self, image: &Image, from: usize) -> (usize, Option<Digest>) {
        let changed = self.end.checked_sub(from).and_then(|count| image.get(from, count));
        (self.end, changed.map(|octets| Digest::of(&octets)))
    }
}

fn is_header(header: &[u8]) -> bool {
    word(header, 0) == MAGIC && summed((0, 0), &header[..24]) == (word(header, 24), word(header, 28))
}

fn word(octets: &[u8], at: usize) -> u32 {
    octets[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

/// The checksum of SQLite, over words of little-endian machines.
fn summed((mut one, mut two): (u32, u32), octets: &[u8]) -> (u32, u32) {
    for pair in octets.chunks_exact(8) {
        let [first, second] =
            [0, 4].map(|at| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]));
        one = one.wrapping_add(first).wrapping_add(two);
        two = two.wrapping_add(second).wrapping_add(one);
    }
    (one, two)
}

const HEADER: usize = 32;
/// A frame: its header and a page of the store.
const FRAME: usize = 24 + 8192;
/// A log whose checksums are over little-endian words.
const MAGIC: u32 = 0x377f_0682;
