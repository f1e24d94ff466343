//! An archive of a few named files in the form of `tar` (POSIX ustar), which every system can open.
//!
//! Written for evidence: plain names, no owners, no times, so that the same files make the same octets. Read as
//! strictly: what is no plain file of a plain name, comes twice, or passes the limits is an error, and nothing is ever
//! unpacked to a disk.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use tar::{Archive, Builder, EntryType, Header};

/// Files in an archive at most.
pub const MEMBERS_MAX: usize = 1000;
/// Octets in one of them at most.
pub const MEMBER_BYTES_MAX: u64 = 256 << 20;

/// Why octets are no archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The octets are no tar file, or it is cut off.
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
}

/// Puts files into an archive, in this order.
///
/// # Errors
/// When a name is none that can be read back.
pub fn pack<'a>(members: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, ArchiveError> {
    let mut builder = Builder::new(Vec::new());
    for (name, octets) in members {
        if !is_plain(name) {
            return Err(ArchiveError::Kind(name.to_owned()));
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o444);
        header.set_size(octets.len() as u64);
        builder.append_data(&mut header, name, octets).map_err(form)?;
    }
    builder.into_inner().map_err(form)
}

/// The files of an archive by their names.
///
/// # Errors
/// [`ArchiveError`].
pub fn unpack(octets: &[u8]) -> Result<BTreeMap<String, Bytes>, ArchiveError> {
    let mut archive = Archive::new(octets);
    let mut members = BTreeMap::new();
    for entry in archive.entries().map_err(form)?.raw(true) {
        let mut entry = entry.map_err(form)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != EntryType::Regular || !is_plain(&name) {
            return Err(ArchiveError::Kind(name));
        }
        let size = entry.header().entry_size().map_err(form)?;
        if size > MEMBER_BYTES_MAX || members.len() == MEMBERS_MAX {
            return Err(ArchiveError::Limit(name));
        }
        let mut read = Vec::new();
        entry.read_to_end(&mut read).map_err(form)?;
        if read.len() as u64 != size {
            return Err(ArchiveError::Form(format!("{name} is cut off")));
        }
        if members.insert(name.clone(), Bytes::from(read)).is_some() {
            return Err(ArchiveError::Twice(name));
        }
    }
    if members.is_empty() {
        return Err(ArchiveError::Form("there is nothing in it".to_owned()));
    }
    Ok(members)
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

/// Where a header says what it is (POSIX.1-1988, ustar).
const MAGIC_AT: usize = 257;
/// What fits into a header.
const NAME_BYTES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_and_the_same_files_make_the_same_octets() {
        let files: [(&str, &[u8]); 3] =
            [("README.txt", b"read me"), ("keys/ab.der", &[0; 513]), ("empty", b"")];
        let packed = pack(files).expect("packed");
        assert_eq!(packed, pack(files).expect("packed"));
        assert!(is_archive(&packed));
        assert!(!is_archive(b"{\"export\":{}}"));
        let members = unpack(&packed).expect("an archive");
        let found: Vec<_> = members.iter().map(|(name, octets)| (name.as_str(), &octets[..])).collect();
        assert_eq!(found, [files[0], files[2], files[1]]);
    }

    #[test]
    fn what_is_no_archive_of_plain_files_is_told() {
        for name in ["", "/etc/passwd", "../x", "a//b", "a\\b", ".hidden", "a b", &"n".repeat(101)] {
            assert_eq!(pack([(name, &b"x"[..])]), Err(ArchiveError::Kind(name.to_owned())), "{name:?}");
        }
        let twice = pack([("a", &b"1"[..]), ("a", &b"2"[..])]).expect("packed");
        assert_eq!(unpack(&twice), Err(ArchiveError::Twice("a".to_owned())));
        let whole = pack([("a", &[7; 2000][..])]).expect("packed");
        for cut in [0, 100, 511, 600, 2500] {
            assert!(matches!(unpack(&whole[..cut]), Err(ArchiveError::Form(_))), "cut at {cut}");
        }
        assert!(matches!(unpack(&[1; 1024]), Err(ArchiveError::Form(_))));
        let mut link = Builder::new(Vec::new());
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        link.append_link(&mut header, "a", "/etc/passwd").expect("made");
        let link = link.into_inner().expect("made");
        assert_eq!(unpack(&link), Err(ArchiveError::Kind("a".to_owned())));
        let many = |count: usize| {
            let names: Vec<_> = (0..count).map(|number| number.to_string()).collect();
            pack(names.iter().map(|name| (name.as_str(), &b""[..]))).expect("packed")
        };
        assert_eq!(unpack(&many(MEMBERS_MAX)).map(|members| members.len()), Ok(MEMBERS_MAX));
        assert_eq!(unpack(&many(MEMBERS_MAX + 1)), Err(ArchiveError::Limit("1000".to_owned())));
    }
}
