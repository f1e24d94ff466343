//! The forms in which people have captured messages: raw HTTP, a MIME entity with or without its header, bare XML.
//!
//! Gives the Content-Type and the entity as a receiver would have had them. Does not take the entity apart: that is
//! `codec::mime`.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::Form;

/// A captured message as a receiver would have had it.
#[derive(Debug)]
pub(super) struct Captured {
    /// What it was captured as.
    pub(super) form: Form,
    /// The request or status line.
    pub(super) start_line: Option<String>,
    /// HTTP or MIME header fields around the entity.
    pub(super) fields: Vec<(String, String)>,
    /// Content-Type; guessed from the entity where the capture has none.
    pub(super) content_type: String,
    /// The entity, out of its chunks.
    pub(super) body: Bytes,
    /// What is wrong with the frame.
    pub(super) faults: Vec<String>,
}

/// Reads a capture in this form; in the one it looks like, when none is given.
pub(super) fn read(octets: Bytes, form: Option<Form>) -> Result<Captured> {
    match form.or_else(|| guess(&octets)) {
        Some(Form::Http) => http(&octets),
        Some(Form::Mime) => mime(&octets),
        Some(Form::Xml) => Ok(xml(octets)),
        None => bail!("it looks like no HTTP message, MIME entity or XML; say --http, --mime or --xml"),
    }
}

/// The form that octets look like.
fn guess(octets: &[u8]) -> Option<Form> {
    let first_line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let first_line = String::from_utf8_lossy(first_line);
    let field = first_line.split_once(':').map(|(name, _)| name);
    let is_token =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if [&b"<"[..], b"\xEF\xBB\xBF<", b"\xFE\xFF", b"\xFF\xFE"].iter().any(|start| octets.starts_with(start)) {
        Some(Form::Xml)
    } else if first_line.starts_with("HTTP/1.") || first_line.trim_end().ends_with("HTTP/1.1") {
        Some(Form::Http)
    } else if first_line.starts_with("--") || field.is_some_and(is_token) {
        Some(Form::Mime)
    } else if octets.trim_ascii_start().starts_with(b"<") {
        Some(Form::Xml)
    } else {
        None
    }
}

fn http(octets: &Bytes) -> Result<Captured> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let is_response = octets.starts_with(b"HTTP/");
    let (start_line, length, fields) = if is_response {
        let mut response = httparse::Response::new(&mut fields);
        let status = response.parse(octets).context("the HTTP header")?;
        let line = format!("{} {}", response.code.unwrap_or_default(), response.reason.unwrap_or_default());
        (line, status, &*response.headers)
    } else {
        let mut request = httparse::Request::new(&mut fields);
        let status = request.parse(octets).context("the HTTP header")?;
        let line = format!("{} {}", request.method.unwrap_or_default(), request.path.unwrap_or_default());
        (line, status, &*request.headers)
    };
    let httparse::Status::Complete(length) = length else { bail!("the HTTP header has no end") };
    let fields = fields
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).trim().to_owned()));
    let fields: Vec<_> = fields.collect();
    let mut faults = Vec::new();
    let mut body = octets.slice(length..);
    let chunked = value(&fields, "Transfer-Encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    if chunked {
        body = unchunked(&body, &mut faults)?;
    } else if let Some(claimed) = value(&fields, "Content-Length") {
        match claimed.parse::<usize>() {
            Ok(claimed) if claimed < body.len() => {
                faults.push(format!("{} octets are behind the entity", body.len() - claimed));
                body.truncate(claimed);
            }
            Ok(claimed) if claimed > body.len() => {
                faults.push(format!("Content-Length is {claimed}, only {} octets are here", body.len()));
            }
            Ok(_) => {}
            Err(_) => faults.push(format!("Content-Length {claimed:?} is no number")),
        }
    }
    if let Some(coding) = value(&fields, "Content-Encoding") {
        faults.push(format!("Content-Encoding {coding:?} is not supported"));
    }
    let content_type = value(&fields, "Content-Type").context("the HTTP header has no Content-Type")?;
    let content_type = content_type.to_owned();
    Ok(Captured { form: Form::Http, start_line: Some(start_line), fields, content_type, body, faults })
}

/// The entity in a chunked body (RFC 9112, 7.1).
fn unchunked(body: &Bytes, faults: &mut Vec<String>) -> Result<Bytes> {
    let mut entity = Vec::new();
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let size = httparse::parse_chunk_size(rest).map_err(|_| anyhow::anyhow!("a chunk without a size"))?;
        let httparse::Status::Complete((length, size)) = size else {
            faults.push("the last chunk is missing".to_owned());
            break;
        };
        if size == 0 {
            break;
        }
        let start = at + length;
        let size = usize::try_from(size).context("the size of a chunk")?;
        let end = start.checked_add(size).context("the size of a chunk")?;
        entity.extend_from_slice(body.get(start..end.min(body.len())).unwrap_or_default());
        if end > body.len() {
            faults.push("a chunk is cut off".to_owned());
            break;
        }
        at = end + body.get(end..).map_or(0, |rest| if rest.starts_with(b"\r\n") { 2 } else { 1 });
    }
    Ok(entity.into())
}

fn mime(octets: &Bytes) -> Result<Captured> {
    let mut captured = Captured {
        form: Form::Mime,
        start_line: None,
        fields: Vec::new(),
        content_type: String::new(),
        body: octets.clone(),
        faults: Vec::new(),
    };
    if octets.starts_with(b"--") {
        let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let line = std::str::from_utf8(line).context("the first boundary line")?;
        let boundary = line.trim_end().strip_prefix("--").unwrap_or_default();
        ensure!(!boundary.contains(['"', '\\']), "the boundary {boundary:?} cannot be quoted");
        captured.content_type = related(boundary);
        return Ok(captured);
    }
    let mut at = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        at += line.len();
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            captured.body = octets.slice(at..);
            let content_type = value(&captured.fields, "Content-Type");
            captured.content_type = content_type.context("the MIME header has no Content-Type")?.to_owned();
            return Ok(captured);
        }
        match (text.starts_with([' ', '\t']), captured.fields.last_mut(), text.split_once(':')) {
            (true, Some((_, folded)), _) => {
                folded.push(' ');
                folded.push_str(text.trim());
            }
            (false, _, Some((name, value))) => {
                captured.fields.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => bail!("{text:?} is no header field"),
        }
        ensure!(captured.fields.len() <= FIELDS_MAX, "more than {FIELDS_MAX} header fields");
    }
    bail!("the MIME header has no end")
}

fn xml(octets: Bytes) -> Captured {
    Captured {
        form: Form::Xml,
        start_line: None,
        fields: Vec::new(),
        content_type: "text/xml".to_owned(),
        body: octets,
        faults: Vec::new(),
    }
}

impl Captured {
    /// Puts parts beside a bare envelope, as its package would have had them.
    pub(super) fn enclose(&mut self, parts: &[(String, Vec<u8>)]) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        ensure!(self.form == Form::Xml, "--part goes with a bare envelope; this capture has its own parts");
        let mut number = 0;
        let holds = |boundary: &str| {
            let found = |octets: &[u8]| memchr::memmem::find(octets, boundary.as_bytes()).is_some();
            found(&self.body) || parts.iter().any(|(_, octets)| found(octets))
        };
        let boundary = loop {
            let boundary = format!("part-{number}");
            if !holds(&boundary) {
                break boundary;
            }
            number += 1;
        };
        let mut body = format!("--{boundary}\r\nContent-Type: text/xml\r\n\r\n").into_bytes();
        body.extend_from_slice(&self.body);
        for (content_id, octets) in parts {
            let kind = if octets.trim_ascii_start().starts_with(b"<") { "application/xml" } else { BINARY };
            let header =
                format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-ID: <{content_id}>\r\n\r\n");
            body.extend_from_slice(header.as_bytes());
            body.extend_from_slice(octets);
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        self.content_type = related(&boundary);
        self.body = body.into();
        Ok(())
    }
}

fn related(boundary: &str) -> String {
    format!("multipart/related; type=\"text/xml\"; boundary=\"{boundary}\"")
}

fn value<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

const FIELDS_MAX: usize = 100;
const BINARY: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_guessed_from_how_it_begins() {
        let check = |octets: &[u8], form: Option<Form>| assert_eq!(guess(octets), form, "{octets:?}");
        check(b"POST /msh HTTP/1.1\r\n", Some(Form::Http));
        check(b"HTTP/1.1 200 OK\n", Some(Form::Http));
        check(b"--x\r\nContent-Type: text/xml", Some(Form::Mime));
        check(b"Content-Type: text/xml\n\n<", Some(Form::Mime));
        check(b"<soap:Envelope", Some(Form::Xml));
        check(b"\xEF\xBB\xBF<x/>", Some(Form::Xml));
        check(b"\xFF\xFE<\0", Some(Form::Xml));
        check(b"\n <x/>", Some(Form::Xml));
        check(b"PK\x03\x04", None);
        check(b"", None);
    }

    #[test]
    fn the_entity_is_what_a_receiver_had() {
        let check = |octets: &'static [u8], content_type: &str, body: &[u8], faults: &[&str]| {
            let captured = read(Bytes::from_static(octets), None).expect("a capture");
            assert_eq!((captured.content_type.as_str(), &*captured.body), (content_type, body));
            assert_eq!(captured.faults, faults);
        };
        check(
            b"POST / HTTP/1.1\r\ncontent-type: text/xml\r\nContent-Length: 4\r\n\r\n<x/>",
            "text/xml",
            b"<x/>",
            &[],
        );
        let chunked = b"POST / HTTP/1.1\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n\
            2;a=b\r\n<x\r\n2\r\n/>\r\n0\r\n\r\n";
        check(chunked, "text/xml", b"<x/>", &[]);
        let cut = b"HTTP/1.1 200 OK\nContent-Type: text/xml\nTransfer-Encoding: chunked\n\n9\r\n<x/>";
        check(cut, "text/xml", b"<x/>", &["a chunk is cut off"]);
        let short = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 9\r\n\r\n<x/>";
        check(short, "text/xml", b"<x/>", &["Content-Length is 9, only 4 octets are here"]);
        let long = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 3\r\n\r\n<x/>";
        check(long, "text/xml", b"<x/", &["1 octets are behind the entity"]);
        let folded = b"Content-Type: multipart/related;\r\n\tboundary=x\r\n\r\n--x--";
        check(folded, "multipart/related; boundary=x", b"--x--", &[]);
        check(
            b"--x\r\n\r\n\r\n--x--",
            "multipart/related; type=\"text/xml\"; boundary=\"x\"",
            b"--x\r\n\r\n\r\n--x--",
            &[],
        );
    }

    #[test]
    fn a_frame_that_cannot_be_read_says_why() {
        let check = |octets: &'static [u8], form, why: &str| {
            let error = read(Bytes::from_static(octets), form).expect_err(why);
            assert!(format!("{error:#}").contains(why), "expected {why:?}, found {error:#}");
        };
        check(b"GET", None, "say --http, --mime or --xml");
        check(b"POST / HTTP/1.1\r\nHost: x\r\n", None, "no end");
        check(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", None, "no Content-Type");
        check(b"Subject: x\r\n\r\n", None, "no Content-Type");
        check(b"Subject: x", None, "no end");
        check(b"nothing", Some(Form::Mime), "no header field");
        let chunk = b"POST / HTTP/1.1\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        check(chunk, None, "without a size");
    }
}
