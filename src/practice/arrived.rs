//! Octets that a partner holds in memory or, when they are many, reads where they stand: the body of a request in the
//! file that it was spooled to, and what it sends in its own.
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

/// The octets of a file that is sent: as they are while they leave, where no document has so many.
///
/// # Errors
/// When it cannot be read.
pub(super) fn octets_of_file(path: &Path) -> std::io::Result<Octets> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() <= XmlLimits::DOCUMENT.bytes_max as u64 {
        return Ok(std::fs::read(path)?.into());
    }
    let (mut sha256, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK_BYTES]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        sha256.update(chunk.get(..read).unwrap_or_default());
        bytes += read as u64;
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
