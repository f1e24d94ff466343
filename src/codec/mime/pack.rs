//! A message package out (ebMS 2.0, 2.1).
//!
//! Promises: the same message and seed give the same octets; the boundary stands in no part; no octet of a
//! payload is changed.

use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

use super::ROOT_TYPE;
use crate::model::{Payload, derive_id};

/// Content-Type and body of the package of this envelope, in UTF-8, and these payloads. The seed is the MessageId;
/// what is drawn from it are the boundary and the Content-ID of the SOAP part. Without payloads the envelope goes
/// alone.
#[must_use]
pub fn pack(envelope: impl Into<Bytes>, payloads: &[Payload], seed: &str) -> (Arc<str>, Bytes) {
    let envelope = envelope.into();
    if payloads.is_empty() {
        return (format!("{ROOT_TYPE}; charset=UTF-8").into(), envelope);
    }
    let boundary = boundary(&envelope, payloads, seed);
    let start = format!("soap.{boundary}@package");
    let content_type =
        format!("multipart/related; type=\"{ROOT_TYPE}\"; boundary=\"{boundary}\"; start=\"<{start}>\"");

    let octets: usize = payloads.iter().map(|payload| payload.body.len() + HEADER_BYTES).sum();
    let mut body = Vec::with_capacity(envelope.len() + octets + HEADER_BYTES);
    push_part(&mut body, &boundary, "text/xml; charset=UTF-8", &start, &envelope);
    for payload in payloads {
        push_part(&mut body, &boundary, &payload.media_type, payload.content_id.as_str(), &payload.body);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (content_type.into(), body.into())
}

fn push_part(body: &mut Vec<u8>, boundary: &str, media_type: &str, content_id: &str, octets: &[u8]) {
    let header = format!(
        "--{boundary}\r\n\
         Content-Type: {media_type}\r\n\
         Content-ID: <{content_id}>\r\n\
         Content-Transfer-Encoding: binary\r\n\
         \r\n"
    );
    body.extend_from_slice(header.as_bytes());
    body.extend_from_slice(octets);
    body.extend_from_slice(b"\r\n");
}

/// The first of the boundaries that follow from the seed which neither a part nor a Content-ID holds.
fn boundary(envelope: &[u8], payloads: &[Payload], seed: &str) -> String {
    let free = |boundary: &String| {
        let is_in = |octets: &[u8]| memmem::find(octets, boundary.as_bytes()).is_some();
        !is_in(envelope)
            && !payloads
                .iter()
                .any(|payload| is_in(&payload.body) || is_in(payload.content_id.as_str().as_bytes()))
    };
    (0_u64..)
        .map(|attempt| derive_id(&["boundary", seed, &attempt.to_string()]))
        .find(free)
        .expect("finitely many octets hold finitely many boundaries")
}

/// About what the delimiter and header of a part take.
const HEADER_BYTES: usize = 256;
