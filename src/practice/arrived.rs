//! The body of a request, which a partner holds in memory or, when it is large, reads where it was spooled to.
//!
//! Promises: the file has no name any more once it is here, and goes with the last who reads it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

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

/// A payload that may be a document, in memory.
pub(super) fn document_octets(payload: &Payload) -> Option<bytes::Bytes> {
    payload.body.read(XmlLimits::DOCUMENT.bytes_max).ok()
}

/// A file without a name.
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

/// A body of more octets is spooled.
const HELD_BYTES_MAX: usize = 1 << 20;
/// A larger body is answered 413.
const BODY_BYTES_MAX: usize = 4 << 30;
