//! Delimiters and part headers: where each part of a multipart body begins and ends (RFC 2046, 5.1).
//!
//! Promises: linear in the body; every delimiter and header line ends as the first delimiter does, in CRLF or
//! in LF; the line break before a delimiter belongs to the delimiter, every other octet to the part. A line that
//! begins with the boundary and is no delimiter is refused, because RFC 2046 lets readers disagree about it.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::{MimeError, MimeLimits, excerpt};

/// A part as it stands in the body.
#[derive(Debug)]
pub(super) struct RawPart {
    pub(super) fields: HeaderFields,
    /// Its octets, still in their transfer encoding.
    pub(super) body: Range<usize>,
}

/// The header fields that mean something here, unfolded; all others are ignored (ebMS 2.0, 2.1.5).
#[derive(Debug, Default)]
pub(super) struct HeaderFields {
    pub(super) content_type: Option<String>,
    pub(super) content_id: Option<String>,
    pub(super) content_location: Option<String>,
    pub(super) transfer_encoding: Option<String>,
}

impl HeaderFields {
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name.to_ascii_lowercase().as_str() {
            "content-type" => Some(&mut self.content_type),
            "content-id" => Some(&mut self.content_id),
            "content-location" => Some(&mut self.content_location),
            "content-transfer-encoding" => Some(&mut self.transfer_encoding),
            _ => None,
        }
    }
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
pub(super) fn parts(boundary: &str, body: &[u8], limits: &MimeLimits) -> Result<Vec<RawPart>, MimeError> {
    check_boundary(boundary)?;
    let dashed = format!("--{boundary}");
    let mut parts = Vec::new();
    // Where the part under way begins, and how the first delimiter ended.
    let mut begun: Option<(usize, LineEnd)> = None;
    let mut closed = false;
    for at in memmem::find_iter(body, dashed.as_bytes()) {
        let Some(before) = line_before(body, at)? else { continue };
        let line = delimiter_line(body, at + dashed.len())?;
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
    start: usize,
    /// `None` where the body begins.
    end: Option<LineEnd>,
}

/// The line break before `at`; `None` when no line begins there. The body begins a line without one.
fn line_before(body: &[u8], at: usize) -> Result<Option<Before>, MimeError> {
    match body.get(..at).unwrap_or_default() {
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
    next: usize,
}

/// The delimiter line whose boundary ends at `at`: perhaps two hyphens, perhaps white space, a line end.
fn delimiter_line(body: &[u8], at: usize) -> Result<DelimiterLine, MimeError> {
    let rest = body.get(at..).unwrap_or_default();
    let (closes, padded) = match rest.strip_prefix(b"--") {
        Some(padded) => (true, padded),
        None => (false, rest),
    };
    let padding = padded.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let next = at + (rest.len() - padded.len()) + padding;
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
    body: &[u8],
    content: Range<usize>,
    line_end: LineEnd,
    limits: &MimeLimits,
) -> Result<RawPart, MimeError> {
    let refuse = |fault: String| MimeError::Header { part: number, fault };
    let mut fields = HeaderFields::default();
    let mut header = Header { octets: body.get(content.clone()).unwrap_or_default(), at: 0, line_end };
    let mut count = 0;
    while let Some(field) = header.next_field(limits.header_line_bytes_max)? {
        count += 1;
        if count > limits.header_count_max {
            return Err(MimeError::TooMuch {
                what: "header fields in a part",
                limit: limits.header_count_max,
            });
        }
        let text =
            std::str::from_utf8(&field).map_err(|_| refuse("a header field that is not text".to_owned()))?;
        let (name, value) = text
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(|| refuse(format!("no header field: {:?}", excerpt(text))))?;
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(refuse(format!("a control character in {}", excerpt(name))));
        }
        if let Some(known) = fields.field(name)
            && known.replace(value.trim_ascii().to_owned()).is_some()
        {
            return Err(refuse(format!("{} comes twice", excerpt(name))));
        }
    }
    Ok(RawPart { fields, body: content.start + header.at..content.end })
}

/// Reads header fields up to and with the empty line behind them. A part that ends before it has no body.
struct Header<'a> {
    octets: &'a [u8],
    at: usize,
    line_end: LineEnd,
}

impl<'a> Header<'a> {
    /// The next field, its folded lines joined.
    fn next_field(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, MimeError> {
        let mut field = Vec::new();
        loop {
            let line = self.line()?;
            if field.len() + line.len() > bytes_max {
                return Err(MimeError::TooMuch { what: "octets in a header field", limit: bytes_max });
            }
            field.extend_from_slice(line);
            let more = matches!(self.octets.get(self.at), Some(b' ' | b'\t')) && !field.is_empty();
            if !more {
                return Ok((!field.is_empty()).then_some(field));
            }
        }
    }

    /// The next line without its end; a part may end instead of a line.
    fn line(&mut self) -> Result<&'a [u8], MimeError> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let length = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let line = rest.get(..length).unwrap_or_default();
        self.at += length;
        let text = if length == 0 || !line.ends_with(b"\n") {
            line
        } else {
            line.strip_suffix(self.line_end.octets()).ok_or(MimeError::MixedLineEnds)?
        };
        if memchr(b'\r', text).is_some() { Err(MimeError::MixedLineEnds) } else { Ok(text) }
    }
}
