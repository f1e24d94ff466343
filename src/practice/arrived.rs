//! Octets that a partner holds in memory or, when they are many, reads where they stand: the body of a
//! request in the file that it was spooled to, and what it sends in its own.
//!
//! Promises: the file of a body has no name any more once it is here, and goes with the last who reads it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use openssl::sha::Sha256;

use crate::codec::mime::MimeLimits;
use crate::codec::xml::XmlLimits;
use crate::model::{Digest, Octets, Payload, Source, Unreadable};
use crate::transport::{Request, ServerOptions, SpoolOptions};

/// How a partner listens: large bodies go to a file in this directory.
pub(super) fn options(directory: &Path) -> ServerOptions {
    let spool = SpoolOptions {
        directory: directory.to_owned(),
        from_bytes: HELD_BYTES_MAX,
        free_bytes_min: 0,
        decoded_bytes_max: MimeLimits::default().encoded_bytes_max,
    };
    ServerOptions { body_bytes_max: BODY_BYTES_MAX, spool: Some(spool), ..ServerOptions::default() }
}

/// The body of a request.
///
/// # Errors
/// When its file cannot be unlinked.
pub(super) fn body_of(request: Request) -> std::io::Result<Octets> {
    let Some(spooled) = request.spooled else { return Ok(request.body.into()) };
    let (file, path, bytes, sha256) = spooled.take();
    std::fs::remove_file(path)?;
    Ok(Octets::of_file(Arc::new(Arrived { file, bytes, digest: Digest(sha256) })))
}

/// The octets of a file that is sent: as they are while they leave, where no document has so many. It is
/// opened once, so that it may be a pipe, as far as its octets are held.
///
/// # Errors
/// When it cannot be read, or not once more although it has to be.
pub(super) fn octets_of_file(path: &Path) -> std::io::Result<Octets> {
    let mut file = File::open(path)?;
    let mut chunk = Vec::new();
    let held_max = XmlLimits::DOCUMENT.bytes_max as u64;
    (&mut file).take(held_max + 1).read_to_end(&mut chunk)?;
    if chunk.len() as u64 <= held_max {
        return Ok(chunk.into());
    }
    if !file.metadata()?.is_file() {
        let text = format!("it has more than {held_max} octets, which only a file can give again");
        return Err(std::io::Error::other(text));
    }
    let (mut sha256, mut bytes, mut read) = (Sha256::new(), 0, chunk.len());
    while read > 0 {
        sha256.update(chunk.get(..read).unwrap_or_default());
        bytes += read as u64;
        chunk.resize(CHUNK_BYTES, 0);
        read = file.read(&mut chunk)?;
    }
    let digest = Digest(sha256.finish());
    Ok(Octets::of_file(Arc::new(Arrived { file: Arc::new(file), bytes, digest })))
}

/// A payload that may be a document, in memory.
pub(super) fn document_octets(payload: &Payload) -> Option<bytes::Bytes> {
    payload.body.read(XmlLimits::DOCUMENT.bytes_max).ok()
}

/// A file that is open.
#[derive(Debug)]
struct Arrived {
    file: Arc<File>,
    bytes: u64,
    digest: Digest,
}

impl Source for Arrived {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.file.read_exact_at(into, at).map_err(|error| Unreadable(error.to_string()))
    }
}

/// So much of a file is read at once to digest it.
const CHUNK_BYTES: usize = 1 << 18;
/// A body of more octets is spooled.
const HELD_BYTES_MAX: usize = 1 << 20;
/// A larger body is answered 413.
const BODY_BYTES_MAX: usize = 4 << 30;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_is_read_whole_held_or_not_and_a_pipe_as_far_as_it_is_held() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let check = |octets: usize, piped: bool, expected: Option<bool>| {
            let path = directory.path().join(format!("{octets}-{piped}"));
            let content: Vec<u8> = (0..octets).map(|at| at as u8).collect();
            let (place, written) = (path.clone(), content.clone());
            if piped {
                mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("makes a pipe");
            }
            let write = move || File::create(place).and_then(|mut file| file.write_all(&written));
            // A pipe is opened when both ends are; who reads no further than it wants breaks it.
            let written = if piped {
                Some(std::thread::spawn(write))
            } else {
                write().expect("writes");
                None
            };
            let read = octets_of_file(&path);
            drop(written.map(|thread| thread.join().expect("no panic")));
            match (read, expected) {
                (Ok(read), Some(held)) => {
                    assert_eq!((read.as_held().is_some(), read.bytes()), (held, octets as u64));
                    assert_eq!(read.digest(), Digest::of(&content));
                    assert_eq!(read.read(octets).expect("is there as it was"), content);
                }
                (read, expected) => assert_eq!(read.is_ok(), expected.is_some(), "{octets}: {read:?}"),
            }
        };
        let most = XmlLimits::DOCUMENT.bytes_max;
        for piped in [false, true] {
            check(0, piped, Some(true));
            check(most, piped, Some(true));
        }
        check(most + 1, false, Some(false));
        check(most + CHUNK_BYTES + 7, false, Some(false));
        check(most + 1, true, None);
    }
}
