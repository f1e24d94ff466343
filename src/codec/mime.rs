//! The MIME package around a message: SOAP with attachments in `multipart/related`, or a bare `text/xml`
//! (ebMS 2.0, 2.1; RFC 2046, 2387, 2392; S10 to S12).
//!
//! Promises: one pass over the received octets, bounded by [`MimeLimits`]; a part is a slice of the body where its
//! transfer encoding is identity, a range of the file where the body is filed (P13); a package that two readers could take apart in two ways is refused. Payloads
//! are octets: a payload that is itself multipart is not looked into, so that nothing nests.
//!
//! Does not: resolve the Manifest (that is `security::open`), read message bodies of other media types, or fetch
//! anything.

mod content_type;
mod pack;
mod scan;
mod transfer;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use self::content_type::{ContentType, PLAIN, media_type};
use self::scan::{HeaderFields, RawPart};
use super::xml::XmlLimits;
use crate::model::{ContentId, Octets, Unreadable};

pub use pack::pack;

/// Bounds of one package; what lies past a bound is refused before it is read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MimeLimits {
    /// Parts, the SOAP part among them.
    pub parts_max: usize,
    /// Header fields of one part.
    pub header_count_max: usize,
    /// Octets of one header field, its folded lines together.
    pub header_line_bytes_max: usize,
    /// Octets of the SOAP part after transfer decoding.
    pub root_bytes_max: usize,
    /// Octets of all parts of a filed body whose transfer encoding is to be undone, which is done in memory. In a held body
    /// they are in memory already.
    pub encoded_bytes_max: usize,
}

impl Default for MimeLimits {
    fn default() -> Self {
        Self {
            parts_max: 100,
            header_count_max: 64,
            header_line_bytes_max: 8192,
            root_bytes_max: XmlLimits::ENVELOPE.bytes_max,
            encoded_bytes_max: 20 * 1024 * 1024,
        }
    }
}

/// One part of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MimePart<Body = Octets> {
    /// Content-ID, without angle brackets.
    pub content_id: Option<ContentId>,
    /// Content-Location, where no other part has the same.
    pub content_location: Option<Arc<str>>,
    /// Content-Type without parameters, lower case.
    pub media_type: Arc<str>,
    /// The `charset` parameter of Content-Type; of the SOAP part alone.
    pub charset: Option<Arc<str>>,
    /// The octets after transfer decoding.
    pub body: Body,
}

impl MimePart {
    /// Whether this is what the name names.
    #[must_use]
    pub fn is(&self, name: &PartName) -> bool {
        match name {
            PartName::ContentId(id) => self.content_id.as_ref() == Some(id),
            PartName::Location(location) => self.content_location.as_ref() == Some(location),
        }
    }

    /// What a part is known by once it is a payload: its Content-ID, else its Content-Location.
    #[must_use]
    pub fn known_as(&self) -> Option<ContentId> {
        let location = || ContentId::new(self.content_location.as_deref()?).ok();
        self.content_id.clone().or_else(location)
    }
}

/// What a URI in Manifest or signature names: a part of the same message, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartName {
    /// By `cid:` (RFC 2392).
    ContentId(ContentId),
    /// By Content-Location, compared as text: relative names have no base here (RFC 2557).
    Location(Arc<str>),
}

impl PartName {
    /// The part that a URI can name. A URI with a fragment names none.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        let uri = uri.trim_ascii();
        if without_cid(uri).is_some() {
            return content_id_of_uri(uri).map(Self::ContentId);
        }
        let plain = !uri.is_empty() && uri.chars().all(|c| c.is_ascii_graphic() && c != '#');
        plain.then(|| Self::Location(uri.into()))
    }
}

/// A message package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The SOAP part, which is always in memory.
    pub root: MimePart<Bytes>,
    /// The others, in MIME order.
    pub parts: Vec<MimePart>,
}

/// Why octets are no message package. Parts are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// A Content-Type that does not follow RFC 2045, or says one thing twice.
    #[error("Content-Type: {0}")]
    ContentType(String),
    /// A body that is neither `multipart/related` nor `text/xml`.
    #[error("expected multipart/related or text/xml, found {0:?}")]
    MediaType(String),
    /// A `multipart/related` without a boundary, or with one that RFC 2046 does not allow.
    #[error("boundary: {0}")]
    Boundary(&'static str),
    /// A line that begins with the boundary and goes on: readers disagree whether it is a delimiter.
    #[error("a line begins with the boundary but is no delimiter")]
    AmbiguousBoundary,
    /// A delimiter or header line ends in another way than the first delimiter does.
    #[error("delimiter and header lines end in different ways")]
    MixedLineEnds,
    /// No closing delimiter: the body is cut off.
    #[error("the closing boundary is missing")]
    Truncated,
    /// A delimiter behind the closing one.
    #[error("a delimiter behind the closing boundary")]
    AfterClose,
    /// No part at all.
    #[error("no part")]
    Empty,
    /// A bound of [`MimeLimits`] is passed.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The header of a part breaks a rule.
    #[error("part {part}: {fault}")]
    Header {
        /// Which part.
        part: usize,
        /// What is wrong.
        fault: String,
    },
    /// Two parts have one Content-ID.
    #[error("two parts have the Content-ID {0:?}")]
    DuplicateContentId(ContentId),
    /// The `start` parameter names no part.
    #[error("start {0:?} names no part")]
    WrongStart(String),
    /// The SOAP part is not `text/xml`.
    #[error("the SOAP part is {0:?}, expected text/xml")]
    RootType(String),
    /// A Content-Transfer-Encoding that MIME does not know.
    #[error("part {part}: Content-Transfer-Encoding {found:?} is not known")]
    UnknownEncoding {
        /// Which part.
        part: usize,
        /// What it says.
        found: String,
    },
    /// Octets that are not in the transfer encoding that the part claims.
    #[error("part {part}: not {encoding}: {fault}")]
    Encoding {
        /// Which part.
        part: usize,
        /// What the part claims.
        encoding: &'static str,
        /// What is wrong.
        fault: &'static str,
    },
    /// A filed body cannot be read.
    #[error("the body cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
}

/// Takes a received body apart.
///
/// # Errors
/// [`MimeError`] when it is not exactly one message package within the limits.
pub fn unpack(content_type: &str, body: &Octets, limits: &MimeLimits) -> Result<Package, MimeError> {
    let outer = ContentType::parse(content_type).map_err(MimeError::ContentType)?;
    let (root, parts) = match outer.media_type() {
        ROOT_TYPE => {
            let root = MimePart {
                content_id: None,
                content_location: None,
                media_type: ROOT_TYPE.into(),
                charset: outer.parameter("charset").map(Arc::from),
                body: body.clone(),
            };
            (root, Vec::new())
        }
        "multipart/related" => unpack_related(&outer, body, limits)?,
        other => return Err(MimeError::MediaType(excerpt(other))),
    };
    if root.body.bytes() > limits.root_bytes_max as u64 {
        return Err(MimeError::TooMuch { what: "octets in the SOAP part", limit: limits.root_bytes_max });
    }
    let MimePart { content_id, content_location, media_type, charset, body } = root;
    let body = body.read(limits.root_bytes_max)?;
    Ok(Package { root: MimePart { content_id, content_location, media_type, charset, body }, parts })
}

/// The SOAP part and the others.
fn unpack_related(
    outer: &ContentType,
    body: &Octets,
    limits: &MimeLimits,
) -> Result<(MimePart, Vec<MimePart>), MimeError> {
    if let Some(kind) = outer.parameter("type").filter(|kind| !kind.eq_ignore_ascii_case(ROOT_TYPE)) {
        return Err(MimeError::RootType(excerpt(kind)));
    }
    let boundary = outer.parameter("boundary").ok_or(MimeError::Boundary("missing"))?;
    let raw = scan::parts(boundary, body, limits)?;
    let mut parts = Vec::new();
    let mut content_ids = BTreeSet::new();
    let mut left = limits.encoded_bytes_max;
    for (index, raw) in raw.iter().enumerate() {
        let part = read_part(index + 1, raw, body, limits, &mut left)?;
        if let Some(content_id) = &part.content_id
            && !content_ids.insert(content_id.clone())
        {
            return Err(MimeError::DuplicateContentId(content_id.clone()));
        }
        parts.push(part);
    }
    forget_shared_locations(&mut parts);
    let root = match outer.parameter("start") {
        None => 0,
        Some(start) => parts
            .iter()
            .position(|part| part.content_id.is_some() && part.content_id == content_id(start))
            .ok_or_else(|| MimeError::WrongStart(excerpt(start)))?,
    };
    let (number, fields) = (root + 1, &raw[root].fields);
    let root = parts.remove(root);
    if *root.media_type != *ROOT_TYPE {
        return Err(MimeError::RootType(excerpt(&root.media_type)));
    }
    let charset = charset_of(fields).map_err(|fault| MimeError::Header { part: number, fault })?;
    Ok((MimePart { charset, ..root }, parts))
}

/// The `charset` parameter of the SOAP part, whose Content-Type is read whole.
fn charset_of(fields: &HeaderFields) -> Result<Option<Arc<str>>, String> {
    let Some(octets) = &fields.content_type else { return Ok(None) };
    let text = std::str::from_utf8(octets).map_err(|_| "Content-Type is not text".to_owned())?;
    let content_type = ContentType::parse(text).map_err(|fault| format!("Content-Type: {fault}"))?;
    Ok(content_type.parameter("charset").map(Arc::from))
}

/// A Content-Location that several parts have, the SOAP part among them, names none of them (S11).
fn forget_shared_locations(parts: &mut [MimePart]) {
    let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
    for location in parts.iter().filter_map(|part| part.content_location.clone()) {
        if !seen.insert(location.clone()) {
            shared.insert(location);
        }
    }
    for part in parts {
        part.content_location.take_if(|location| shared.contains(location));
    }
}

fn read_part(
    number: usize,
    raw: &RawPart,
    body: &Octets,
    limits: &MimeLimits,
    left: &mut usize,
) -> Result<MimePart, MimeError> {
    let refuse = |fault: String| MimeError::Header { part: number, fault };
    let HeaderFields { content_type, content_id: id, content_location, transfer_encoding } = &raw.fields;
    let media_type = match content_type {
        Some(octets) => media_type(octets).map_err(|fault| refuse(format!("Content-Type: {fault}")))?,
        None => PLAIN.to_owned(),
    };
    let id = match id {
        Some(text) => {
            Some(content_id(text).ok_or_else(|| refuse(format!("Content-ID {:?}", excerpt(text))))?)
        }
        None => None,
    };
    let octets = body.slice(raw.body.clone())?;
    Ok(MimePart {
        content_id: id,
        content_location: content_location.as_deref().map(|location| location.trim_ascii().into()),
        media_type: media_type.into(),
        charset: None,
        body: transfer::decode(number, transfer_encoding.as_deref(), octets, limits, left)?,
    })
}

/// The Content-ID in a header field or a `start` parameter: with angle brackets or, as some peers write it,
/// without them.
fn content_id(text: &str) -> Option<ContentId> {
    let text = text.trim_ascii();
    let inner = match (text.strip_prefix('<'), text.strip_suffix('>')) {
        (Some(_), Some(_)) => text.strip_prefix('<')?.strip_suffix('>')?.trim_ascii(),
        (None, None) => text,
        _ => return None,
    };
    ContentId::new(inner).ok()
}

/// What follows the scheme of a `cid:` URI, in whatever case that is written (RFC 3986, 3.1).
fn without_cid(uri: &str) -> Option<&str> {
    uri.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("cid")).map(|(_, rest)| rest)
}

/// The Content-ID that a `cid:` URI names (RFC 2392): percent-decoded, surrounding white space ignored. `None`
/// for every other URI.
#[must_use]
pub fn content_id_of_uri(uri: &str) -> Option<ContentId> {
    let escaped = without_cid(uri.trim_ascii()).filter(|id| !id.contains('#'))?;
    let mut octets = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            other => other,
        });
    }
    ContentId::new(String::from_utf8(octets).ok()?).ok()
}

/// As much of a foreign text as an error repeats.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Media type of the SOAP part.
const ROOT_TYPE: &str = "text/xml";

#[cfg(test)]
mod tests;
