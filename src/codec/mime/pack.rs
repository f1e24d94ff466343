//! A message package out (ebMS 2.0, 2.1).
//!
//! Promises: the same message and seed give the same octets; the boundary stands in no part; no octet of a
//! payload is changed, and none that is filed is copied: the package has the range of the file in its place (P13).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::ROOT_TYPE;
use super::scan::stands_in;
use crate::model::{Octets, Payload, Piece, Unreadable, derive_id};

/// Content-Type and body of the package of this envelope, in UTF-8, and these payloads. The seed is the MessageId;
/// what is drawn from it are the boundary and the Content-ID of the SOAP part. Without payloads the envelope goes
/// alone.
///
/// # Errors
/// [`Unreadable`], of a payload that is filed.
pub fn pack(
    envelope: impl Into<Bytes>,
    payloads: &[Payload],
    seed: &str,
) -> Result<(Arc<str>, Octets), Unreadable> {
    let envelope = envelope.into();
    if payloads.is_empty() {
        return Ok((format!("{ROOT_TYPE}; charset=UTF-8").into(), envelope.into()));
    }
    let boundary = boundary(&envelope, payloads, seed)?;
    let start = format!("soap.{boundary}@package");
    let content_type =
        format!("multipart/related; type=\"{ROOT_TYPE}\"; boundary=\"{boundary}\"; start=\"<{start}>\"");

    let held: usize = payloads.iter().map(|payload| payload.body.held_bytes() + HEADER_BYTES).sum();
    let mut body =
        Body { row: Vec::new(), held: BytesMut::with_capacity(envelope.len() + held + HEADER_BYTES) };
    body.push_part(&boundary, "text/xml; charset=UTF-8", &start, &envelope.into());
    for payload in payloads {
        body.push_part(&boundary, &payload.media_type, payload.content_id.as_str(), &payload.body);
    }
    body.held.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body.end_held();
    Ok((content_type.into(), Octets::joined(body.row)?))
}

/// A body that is being put together.
struct Body {
    row: Vec<Piece>,
    /// What stands behind the row, in memory.
    held: BytesMut,
}

impl Body {
    fn push_part(&mut self, boundary: &str, media_type: &str, content_id: &str, octets: &Octets) {
        let header = format!(
            "--{boundary}\r\n\
             Content-Type: {media_type}\r\n\
             Content-ID: <{content_id}>\r\n\
             Content-Transfer-Encoding: binary\r\n\
             \r\n"
        );
        self.held.extend_from_slice(header.as_bytes());
        for piece in octets.pieces() {
            match piece {
                Piece::Held(octets) => self.held.extend_from_slice(&octets),
                filed @ Piece::Filed(_) => {
                    self.end_held();
                    self.row.push(filed);
                }
            }
        }
        self.held.extend_from_slice(b"\r\n");
    }

    fn end_held(&mut self) {
        if !self.held.is_empty() {
            self.row.push(Piece::Held(self.held.split().freeze()));
        }
    }
}

/// The first of the boundaries that follow from the seed which neither a part nor a Content-ID holds.
fn boundary(envelope: &[u8], payloads: &[Payload], seed: &str) -> Result<String, Unreadable> {
    let is_free = |boundary: &str| {
        let is_in = |octets: &[u8]| memmem::find(octets, boundary.as_bytes()).is_some();
        if is_in(envelope) || payloads.iter().any(|payload| is_in(payload.content_id.as_str().as_bytes())) {
            return Ok(false);
        }
        for payload in payloads {
            if stands_in(&payload.body, boundary.as_bytes())? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    for attempt in 0_u64.. {
        let boundary = derive_id(&["boundary", seed, &attempt.to_string()]);
        if is_free(&boundary)? {
            return Ok(boundary);
        }
    }
    unreachable!("finitely many octets hold finitely many boundaries")
}

/// About what the delimiter and header of a part take.
const HEADER_BYTES: usize = 256;
