//! An archive of a few named files in the form of `tar` (POSIX ustar), which every system can open.
//!
//! Written for evidence: plain names, no owners, no times, so that the same files make the same octets. Read as
//! strictly: what is no plain file of a plain name, comes twice, passes the limits or stands between the files is an error,
//! and nothing is ever unpacked to a disk.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::BytesMut;
use tar::{EntryType, Header};

use crate::model::{Octets, Piece, Unreadable};

/// Files in an archive at most.
pub const MEMBERS_MAX: usize = 1000;
/// Octets in one of them at most.
pub const MEMBER_BYTES_MAX: u64 = 8 << 30;

/// Why octets are no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The octets are no tar file as we write one, or it is cut off.
    #[error("it is no archive: {0}")]
    Form(String),
    /// Something in it is no plain file.
    #[error("{0:?} in it is no plain file of a plain name")]
    Kind(String),
    /// A file is in it twice.
    #[error("{0} is in it twice")]
    Twice(String),
    /// There is too much in it.
    #[error("there are more than {MEMBERS_MAX} files in it, or {0} is larger than {MEMBER_BYTES_MAX} octets")]
    Limit(String),
    /// It stands in a file that cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// Puts files into an archive, in this order. Of what is filed nothing is copied.
///
/// # Errors
/// When a name is none that can be read back, or what is filed cannot be read.
pub fn pack<'a>(members: impl IntoIterator<Item = (&'a str, Octets)>) -> Result<Octets, ArchiveError> {
    let mut pieces = Vec::new();
    let mut held = BytesMut::new();
    for (name, octets) in members {
        if !is_plain(name) {
            return Err(ArchiveError::Kind(name.to_owned()));
        }
        held.extend_from_slice(&header(name, octets.bytes())?);
        for piece in octets.pieces() {
            match piece {
                Piece::Held(octets) => held.extend_from_slice(&octets),
                filed @ Piece::Filed(_) => {
                    pieces.push(Piece::Held(held.split().freeze()));
                    pieces.push(filed);
                }
            }
        }
        held.extend_from_slice(&BLOCK_OF_ZEROS[..padding(octets.bytes())]);
    }
    held.extend_from_slice(&BLOCK_OF_ZEROS);
    held.extend_from_slice(&BLOCK_OF_ZEROS);
    pieces.push(Piece::Held(held.freeze()));
    Ok(Octets::joined(pieces)?)
}

fn header(name: &str, bytes: u64) -> Result<[u8; BLOCK_BYTES], ArchiveError> {
    let mut header = Header::new_ustar();
    header.set_path(name).map_err(form)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o444);
    header.set_size(bytes);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// The files of an archive by their names. Of what is filed nothing is copied.
///
/// # Errors
/// [`ArchiveError`].
pub fn unpack(octets: &Octets) -> Result<BTreeMap<String, Octets>, ArchiveError> {
    let mut members = BTreeMap::new();
    let mut at = 0;
    loop {
        let block = octets.window(at, BLOCK_BYTES)?;
        let block: &[u8; BLOCK_BYTES] =
            block.as_ref().try_into().map_err(|_| ArchiveError::Form("it is cut off".to_owned()))?;
        if *block == BLOCK_OF_ZEROS {
            break;
        }
        let header = Header::from_byte_slice(block);
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        if !is_archive(block) || header.cksum().map_err(form)? != checksum(block) {
            return Err(ArchiveError::Form(format!("what stands at {at} is no header of a file")));
        }
        if header.entry_type() != EntryType::Regular || !is_plain(&name) {
            return Err(ArchiveError::Kind(name));
        }
        let size = header.entry_size().map_err(form)?;
        if size > MEMBER_BYTES_MAX || members.len() == MEMBERS_MAX {
            return Err(ArchiveError::Limit(name));
        }
        let begins = at + BLOCK_BYTES as u64;
        at = begins + size + padding(size) as u64;
        if at > octets.bytes() {
            return Err(ArchiveError::Form(format!("{name} is cut off")));
        }
        let member = octets.slice(begins..begins + size)?;
        if octets.window(begins + size, padding(size))?.iter().any(|octet| *octet != 0) {
            return Err(ArchiveError::Form(format!("something stands behind {name}")));
        }
        if members.insert(name.clone(), member).is_some() {
            return Err(ArchiveError::Twice(name));
        }
    }
    if members.is_empty() {
        return Err(ArchiveError::Form("there is nothing in it".to_owned()));
    }
    // Some tools fill up to a record of twenty blocks.
    let behind = octets.bytes() - at;
    let rest = octets.window(at, RECORD_BYTES)?;
    if behind < 2 * BLOCK_BYTES as u64 || behind > RECORD_BYTES as u64 || rest.iter().any(|octet| *octet != 0)
    {
        return Err(ArchiveError::Form("it does not end as an archive does".to_owned()));
    }
    Ok(members)
}

/// The sum of a header, its own field counted as spaces (POSIX.1-1988, ustar).
fn checksum(block: &[u8; BLOCK_BYTES]) -> u32 {
    let octet = |(at, octet): (usize, &u8)| if CHECKSUM_AT.contains(&at) { 32 } else { u32::from(*octet) };
    block.iter().enumerate().map(octet).sum()
}

/// From the end of a file to the next block.
const fn padding(bytes: u64) -> usize {
    (bytes.wrapping_neg() % BLOCK_BYTES as u64) as usize
}

/// Whether octets begin as an archive does.
#[must_use]
pub fn is_archive(beginning: &[u8]) -> bool {
    beginning.get(MAGIC_AT..).is_some_and(|rest| rest.starts_with(b"ustar"))
}

/// Letters, digits, `.`, `-`, with `/` between: nothing that means something to a file system.
fn is_plain(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-'))
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(plain)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn form(error: std::io::Error) -> ArchiveError {
    ArchiveError::Form(error.to_string())
}

const BLOCK_BYTES: usize = 512;
const BLOCK_OF_ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
const RECORD_BYTES: usize = 20 * BLOCK_BYTES;
/// Where the sum of a header stands in it.
const CHECKSUM_AT: Range<usize> = 148..156;
/// Where a header says what it is (POSIX.1-1988, ustar).
const MAGIC_AT: usize = 257;
/// What fits into a header.
const NAME_BYTES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::filed_for_tests;

    fn packed(files: &[(&str, &[u8])]) -> Octets {
        pack(files.iter().map(|(name, octets)| (*name, octets.to_vec().into()))).expect("packed")
    }

    fn unpacked(octets: &[u8]) -> Result<usize, ArchiveError> {
        unpack(&octets.to_vec().into()).map(|members| members.len())
    }

    #[test]
    fn what_was_packed_is_unpacked_and_the_same_files_make_the_same_octets() {
        let files: [(&str, &[u8]); 4] =
            [("README.txt", b"read me"), ("keys/ab.der", &[0; 513]), ("empty", b""), ("whole", &[7; 1024])];
        let whole = packed(&files);
        assert_eq!(whole, packed(&files));
        assert!(is_archive(whole.held()));
        assert!(!is_archive(b"{\"export\":{}}"));
        // Wherever the files stand, and wherever the archive stands.
        let filed =
            pack(files.iter().map(|(name, octets)| (*name, filed_for_tests(octets)))).expect("packed");
        assert!(filed.as_held().is_none() && filed == whole, "P13");
        for archive in [&whole, &filed, &filed_for_tests(whole.held())] {
            let members = unpack(archive).expect("an archive");
            let found: Vec<_> = members
                .iter()
                .map(|(name, octets)| (name.as_str(), octets.read(usize::MAX).expect("readable")))
                .collect();
            let found: Vec<_> = found.iter().map(|(name, octets)| (*name, &octets[..])).collect();
            assert_eq!(found, [files[0], files[2], files[1], files[3]]);
        }
    }

    /// Written by the library, which knows nothing of this reader.
    #[test]
    fn an_archive_that_another_tool_packed_again_is_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o600);
        builder.append_data(&mut header, "a.txt", &b"abc"[..]).expect("made");
        let mut theirs = builder.into_inner().expect("made");
        theirs.resize(RECORD_BYTES, 0);
        assert_eq!(unpacked(&theirs), Ok(1));
    }

    #[test]
    fn what_is_no_archive_of_plain_files_is_told() {
        for name in ["", "/etc/passwd", "../x", "a//b", "a\\b", ".hidden", "a b", &"n".repeat(101)] {
            let refused = pack([(name, b"x".to_vec().into())]);
            assert_eq!(refused, Err(ArchiveError::Kind(name.to_owned())), "{name:?}");
        }
        let form = |octets: &[u8]| assert!(matches!(unpacked(octets), Err(ArchiveError::Form(_))), "S27");
        let twice = packed(&[("a", b"1"), ("a", b"2")]);
        assert_eq!(unpacked(twice.held()), Err(ArchiveError::Twice("a".to_owned())));
        let whole = packed(&[("a", &[7; 2000])]).held().to_vec();
        for cut in [0, 100, 511, 600, 2500, 2560, 3072, 3583] {
            form(&whole[..cut]);
        }
        form(&[1; 1024]);
        // Nothing stands where a reader would not look: in the padding, in the end, behind it, in the header.
        for at in [2512, 2559, 2560, 3583, 0, 300] {
            let mut changed = whole.clone();
            changed[at] = b'x';
            form(&changed);
        }
        form(&[&whole[..], b"x"].concat());
        form(&[&whole[..], &[0; RECORD_BYTES]].concat());
        let mut link = tar::Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        link.append_link(&mut header, "a", "/etc/passwd").expect("made");
        let link = link.into_inner().expect("made");
        assert_eq!(unpacked(&link), Err(ArchiveError::Kind("a".to_owned())));
        let many = |count: usize| {
            let names: Vec<_> = (0..count).map(|number| number.to_string()).collect();
            packed(&names.iter().map(|name| (name.as_str(), &b""[..])).collect::<Vec<_>>())
        };
        assert_eq!(unpacked(many(MEMBERS_MAX).held()), Ok(MEMBERS_MAX));
        let refused = unpacked(many(MEMBERS_MAX + 1).held());
        assert_eq!(refused, Err(ArchiveError::Limit("1000".to_owned())));
    }

    #[test]
    fn a_file_may_have_so_many_octets_and_no_more() {
        let says = |bytes: u64| {
            let refused = unpacked(&header("a", bytes).expect("made"));
            matches!(refused, Err(ArchiveError::Limit(_)))
        };
        assert!(!says(MEMBER_BYTES_MAX), "at the limit: it is only cut off");
        assert!(says(MEMBER_BYTES_MAX + 1) && says(u64::MAX / 2));
    }
}
