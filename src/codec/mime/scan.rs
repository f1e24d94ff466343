//! Delimiters and part headers: where each part of a multipart body begins and ends (RFC 2046, 5.1).
//!
//! Promises: linear in the body, and within a window of it where it is filed; every delimiter and header line ends as
//! the first delimiter does, in CRLF or in LF; the line break before a delimiter belongs to the delimiter, every other
//! octet to the part. A line that begins with the boundary and is no delimiter is refused, because RFC 2046 lets readers
//! disagree about it. One scanner reads held and filed bodies: where a window ends makes no difference.

use std::ops::Range;

use bytes::{Buf as _, Bytes};
use memchr::{memchr, memmem};

use super::{MimeError, MimeLimits, excerpt};
use crate::model::{Octets, Unreadable};

/// A part as it stands in the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawPart {
    pub(super) fields: HeaderFields,
    /// Its octets, still in their transfer encoding.
    pub(super) body: Range<u64>,
}

/// The header fields that mean something here, unfolded; all others are ignored, in whatever charset they are (ebMS 2.0,
/// 2.1.5).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HeaderFields {
    /// As octets: what stands behind the media type of a payload is of no use to us, and may be anything.
    pub(super) content_type: Option<Vec<u8>>,
    pub(super) content_id: Option<String>,
    pub(super) content_location: Option<String>,
    pub(super) transfer_encoding: Option<String>,
}

impl HeaderFields {
    /// Takes in a field, when it is one of these.
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let known = match name.to_ascii_lowercase().as_str() {
            "content-type" => {
                let is_second = self.content_type.replace(value.to_vec()).is_some();
                return if is_second { Err(twice(name)) } else { Ok(()) };
            }
            "content-id" => &mut self.content_id,
            "content-location" => &mut self.content_location,
            "content-transfer-encoding" => &mut self.transfer_encoding,
            _ => return Ok(()),
        };
        let text = std::str::from_utf8(value).map_err(|_| format!("{} is not text", excerpt(name)))?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("a control character in {}", excerpt(name)));
        }
        if known.replace(text.to_owned()).is_some() { Err(twice(name)) } else { Ok(()) }
    }
}

fn twice(name: &str) -> String {
    format!("{} comes twice", excerpt(name))
}

/// How delimiter and header lines of one package end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    CrLf,
    Lf,
}

impl LineEnd {
    const fn octets(self) -> &'static [u8] {
        match self {
            Self::CrLf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}

/// The parts in order. Preamble and epilogue are ignored.
pub(super) fn parts(boundary: &str, body: &Octets, limits: &MimeLimits) -> Result<Vec<RawPart>, MimeError> {
    parts_within(boundary, body, limits, WINDOW_BYTES)
}

/// The same, with filed octets looked at through a window of this size.
pub(super) fn parts_within(
    boundary: &str,
    body: &Octets,
    limits: &MimeLimits,
    window_bytes: usize,
) -> Result<Vec<RawPart>, MimeError> {
    check_boundary(boundary)?;
    let dashed = format!("--{boundary}");
    let mut parts = Vec::new();
    // Where the part under way begins, and how the first delimiter ended.
    let mut begun: Option<(u64, LineEnd)> = None;
    let mut closed = false;
    let mut search = Search::new(body, dashed.as_bytes(), window_bytes)?;
    while let Some(at) = search.next()? {
        let Some(before) = line_before(search.before(), at)? else { continue };
        let line = delimiter_line(body, at + dashed.len() as u64, limits.header_line_bytes_max)?;
        if closed {
            return Err(MimeError::AfterClose);
        }
        let line_end = begun.map(|(_, line_end)| line_end).or(line.end);
        if [before.end, line.end].iter().any(|end| end.is_some() && *end != line_end) {
            return Err(MimeError::MixedLineEnds);
        }
        if let Some((start, line_end)) = begun {
            if parts.len() == limits.parts_max {
                return Err(MimeError::TooMuch { what: "parts", limit: limits.parts_max });
            }
            // Two delimiters in adjacent lines share their line break: the part between them is empty.
            let content = start..before.start.max(start);
            parts.push(part(parts.len() + 1, body, content, line_end, limits)?);
        }
        begun = line_end.map(|line_end| (line.next, line_end));
        closed = line.closes;
    }
    match (closed, parts.is_empty()) {
        (false, _) => Err(MimeError::Truncated),
        (true, true) => Err(MimeError::Empty),
        (true, false) => Ok(parts),
    }
}

/// Whether a text stands anywhere in a body.
pub(super) fn stands_in(body: &Octets, text: &[u8]) -> Result<bool, Unreadable> {
    Ok(Search::new(body, text, WINDOW_BYTES)?.next()?.is_some())
}

/// Looks for a text in a body from its beginning, one occurrence after the other.
struct Search<'a> {
    body: &'a Octets,
    finder: memmem::Finder<'a>,
    /// What is looked at: all of a held body, some of a filed one.
    window: Bytes,
    window_bytes: usize,
    /// Where the window begins in the body.
    begins: u64,
    /// Where the last occurrence stands in the window, and where the next one may.
    found: usize,
    next: usize,
}

impl<'a> Search<'a> {
    fn new(body: &'a Octets, text: &'a [u8], window_bytes: usize) -> Result<Self, Unreadable> {
        let window = match body.as_held() {
            Some(octets) => octets.clone(),
            None => body.window(0, window_bytes)?,
        };
        let finder = memmem::Finder::new(text);
        Ok(Self { body, finder, window, window_bytes, begins: 0, found: 0, next: 0 })
    }

    /// The place of the next occurrence.
    fn next(&mut self) -> Result<Option<u64>, Unreadable> {
        let length = self.finder.needle().len();
        loop {
            let rest = self.window.get(self.next..).unwrap_or_default();
            if let Some(at) = self.finder.find(rest) {
                self.found = self.next + at;
                self.next = self.found + length;
                return Ok(Some(self.begins + self.found as u64));
            }
            let end = self.begins + self.window.len() as u64;
            if end >= self.body.bytes() {
                return Ok(None);
            }
            // An occurrence may begin in this window and end in the next one, and what stands before it counts.
            let next = self.next.max(self.window.len().saturating_sub(length - 1));
            let kept = next.saturating_sub(LINE_END_BYTES_MAX);
            self.begins += kept as u64;
            self.next = next - kept;
            self.window =
                self.body.window(self.begins, self.window_bytes.max(length + LINE_END_BYTES_MAX + 1))?;
        }
    }

    /// What stands right before the occurrence, as much of it as a line end may take.
    fn before(&self) -> &[u8] {
        self.window.get(self.found.saturating_sub(LINE_END_BYTES_MAX)..self.found).unwrap_or_default()
    }
}

/// RFC 2046, 5.1.1: 1 to 70 characters of a set, not ending with a space.
fn check_boundary(boundary: &str) -> Result<(), MimeError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    match boundary {
        "" => Err(MimeError::Boundary("empty")),
        _ if boundary.len() > 70 => Err(MimeError::Boundary("longer than 70 characters")),
        _ if !boundary.bytes().all(allowed) => Err(MimeError::Boundary("a character that is not allowed")),
        _ if boundary.ends_with(' ') => Err(MimeError::Boundary("ends with a space")),
        _ => Ok(()),
    }
}

/// The line break before a delimiter.
struct Before {
    start: u64,
    /// `None` where the body begins.
    end: Option<LineEnd>,
}

/// The line break that the octets before `at` end with; `None` when no line begins there. The body begins a line without
/// one.
fn line_before(before: &[u8], at: u64) -> Result<Option<Before>, MimeError> {
    match before {
        [] => Ok(Some(Before { start: 0, end: None })),
        [.., b'\r', b'\n'] => Ok(Some(Before { start: at - 2, end: Some(LineEnd::CrLf) })),
        [.., b'\n'] => Ok(Some(Before { start: at - 1, end: Some(LineEnd::Lf) })),
        [.., b'\r'] => Err(MimeError::MixedLineEnds),
        _ => Ok(None),
    }
}

/// The rest of a delimiter line.
struct DelimiterLine {
    closes: bool,
    /// `None` where the body ends, which only the closing delimiter may.
    end: Option<LineEnd>,
    next: u64,
}

/// The delimiter line whose boundary ends at `at`: perhaps two hyphens, perhaps white space, a line end.
fn delimiter_line(body: &Octets, at: u64, bytes_max: usize) -> Result<DelimiterLine, MimeError> {
    let rest = body.window(at, bytes_max + 2 * LINE_END_BYTES_MAX)?;
    let (closes, padded) = match rest.strip_prefix(b"--") {
        Some(padded) => (true, padded),
        None => (false, &*rest),
    };
    let padding = padded.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    if padding > bytes_max {
        return Err(MimeError::TooMuch { what: "octets in a delimiter line", limit: bytes_max });
    }
    let next = at + (rest.len() - padded.len() + padding) as u64;
    match padded.get(padding..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(DelimiterLine { closes, end: Some(LineEnd::CrLf), next: next + 2 }),
        [b'\n', ..] => Ok(DelimiterLine { closes, end: Some(LineEnd::Lf), next: next + 1 }),
        [] if closes => Ok(DelimiterLine { closes, end: None, next }),
        [] => Err(MimeError::Truncated),
        _ => Err(MimeError::AmbiguousBoundary),
    }
}

/// Header and body of the part that stands at `content`.
fn part(
    number: usize,
    body: &Octets,
    content: Range<u64>,
    line_end: LineEnd,
    limits: &MimeLimits,
) -> Result<RawPart, MimeError> {
    let refuse = |fault: String| MimeError::Header { part: number, fault };
    let mut fields = HeaderFields::default();
    let mut header = Header { body, at: content.start, end: content.end, line_end, seen: Bytes::new() };
    let mut count = 0;
    while let Some(field) = header.next_field(limits.header_line_bytes_max)? {
        count += 1;
        if count > limits.header_count_max {
            return Err(MimeError::TooMuch {
                what: "header fields in a part",
                limit: limits.header_count_max,
            });
        }
        let no_field = || refuse(format!("no header field: {:?}", excerpt(&String::from_utf8_lossy(&field))));
        let colon = memchr(b':', &field).ok_or_else(no_field)?;
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(no_field)?;
        if value.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
            return Err(refuse(format!("a control character in {}", excerpt(name))));
        }
        fields.take(name, value.trim_ascii()).map_err(refuse)?;
    }
    Ok(RawPart { fields, body: header.at..content.end })
}

/// Reads header fields up to and with the empty line behind them. A part that ends before it has no body.
struct Header<'a> {
    body: &'a Octets,
    at: u64,
    end: u64,
    line_end: LineEnd,
    /// What was read from there on.
    seen: Bytes,
}

impl Header<'_> {
    /// The next field, its folded lines joined.
    fn next_field(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, MimeError> {
        let mut field = Vec::new();
        loop {
            let line = self.line(bytes_max)?;
            if field.len() + line.len() > bytes_max {
                return Err(MimeError::TooMuch { what: "octets in a header field", limit: bytes_max });
            }
            field.extend_from_slice(&line);
            let more = !field.is_empty() && matches!(self.window(1)?.first(), Some(b' ' | b'\t'));
            if !more {
                return Ok((!field.is_empty()).then_some(field));
            }
        }
    }

    /// The next line without its end, or, when it is longer, more than `bytes_max` of it; a part may end instead of a
    /// line.
    fn line(&mut self, bytes_max: usize) -> Result<Bytes, MimeError> {
        let rest = self.window(bytes_max + LINE_END_BYTES_MAX)?;
        let end = memchr(b'\n', &rest);
        if end.is_none() && rest.len() > bytes_max {
            return Ok(rest);
        }
        let length = end.map_or(rest.len(), |at| at + 1);
        let line = rest.slice(..length);
        self.at += length as u64;
        self.seen.advance(length);
        let text = if line.ends_with(b"\n") {
            let text = line.strip_suffix(self.line_end.octets()).ok_or(MimeError::MixedLineEnds)?;
            line.slice(..text.len())
        } else {
            line
        };
        if memchr(b'\r', &text).is_some() { Err(MimeError::MixedLineEnds) } else { Ok(text) }
    }

    /// What comes next of the part. So much is read of a filed body at once that many lines are in it.
    fn window(&mut self, bytes: usize) -> Result<Bytes, Unreadable> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let bytes = bytes.min(left);
        if self.seen.len() < bytes {
            self.seen = self.body.window(self.at, left.min(bytes.max(HEADER_BYTES)))?;
        }
        Ok(self.seen.slice(..bytes))
    }
}

/// How much of a filed body is looked at at once.
const WINDOW_BYTES: usize = 256 * 1024;
/// How much of a header is read at once.
const HEADER_BYTES: usize = 32 * 1024;
const LINE_END_BYTES_MAX: usize = 2;
