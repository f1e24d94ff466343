//! Content-Transfer-Encoding, undone before any digest (RFC 2045, 6; S12).
//!
//! Promises: identity encodings cost nothing; base64 and quoted-printable are read strictly, so that one text has
//! one meaning; what comes out is never larger than what came in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{MimeError, MimeLimits, excerpt};
use crate::model::Octets;

/// The octets of a part behind its transfer encoding; `left` is what may still be decoded of a filed body.
pub(super) fn decode(
    part: usize,
    encoding: Option<&str>,
    octets: Octets,
    limits: &MimeLimits,
    left: &mut usize,
) -> Result<Octets, MimeError> {
    let name = encoding.unwrap_or("binary").to_ascii_lowercase();
    let refuse = |encoding, fault| MimeError::Encoding { part, encoding, fault };
    match name.as_str() {
        "7bit" | "8bit" | "binary" => Ok(octets),
        "base64" => base64(&text_of(&octets, limits, left)?)
            .map(Octets::from)
            .map_err(|fault| refuse("base64", fault)),
        "quoted-printable" => quoted_printable(&text_of(&octets, limits, left)?)
            .map(Octets::from)
            .map_err(|fault| refuse("quoted-printable", fault)),
        _ => Err(MimeError::UnknownEncoding { part, found: excerpt(&name) }),
    }
}

/// The text of an encoding in memory, where it is decoded.
fn text_of(octets: &Octets, limits: &MimeLimits, left: &mut usize) -> Result<Bytes, MimeError> {
    if let Some(text) = octets.as_held() {
        return Ok(text.clone());
    }
    let limit = limits.encoded_bytes_max;
    let too_much = MimeError::TooMuch { what: "octets in parts with a transfer encoding", limit };
    let bytes = usize::try_from(octets.bytes()).ok();
    *left = bytes.and_then(|bytes| left.checked_sub(bytes)).ok_or(too_much)?;
    Ok(octets.read(limit)?)
}

/// Only the alphabet and line ends; padded; no bits left over. Lines may be of any length.
fn base64(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let compact: Vec<u8> = text.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    STANDARD.decode(compact).map_err(|fault| match fault {
        base64::DecodeError::InvalidByte(..) => "a character outside its alphabet",
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
            "its length or padding"
        }
        base64::DecodeError::InvalidLastSymbol { .. } => "bits left over",
    })
}

/// Only printable ASCII, tab and line ends, no white space before a line end. Small digits in an escape mean what capital
/// ones mean, and are read as RFC 2045, 6.7, lets a decoder.
fn quoted_printable(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const BEFORE_LINE_END: &str = "white space before a line end";
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(out),
            [b'=', b'\r', b'\n', after @ ..] | [b'=', b'\n', after @ ..] => after,
            [b'=', high, low, after @ ..] => {
                let digits = hexadecimal(*high).zip(hexadecimal(*low));
                let (high, low) = digits.ok_or("an escape that is not two hexadecimal digits")?;
                out.push(high << 4 | low);
                after
            }
            [b'=', ..] => return Err("an escape that is cut off"),
            [b'\r', b'\n', after @ ..] => {
                out.extend_from_slice(b"\r\n");
                after
            }
            [b' ' | b'\t', b'\r' | b'\n', ..] | [b' ' | b'\t'] => return Err(BEFORE_LINE_END),
            [octet @ (b'\n' | b'\t' | b' '..=b'~'), after @ ..] => {
                out.push(*octet);
                after
            }
            _ => return Err("a character that must be escaped"),
        }
    }
}

const fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= ebms2 2.1.4 MUST: 7bit, 8bit, binary, base64 and quoted-printable are undone before anything is digested
    //= ebms2 2.1.4 MUST: a transfer encoding that is not known is refused
    #[test]
    fn each_encoding_is_undone_or_refused() {
        fn check(encoding: Option<&str>, text: &[u8], expected: Result<&[u8], &str>) {
            let limits = MimeLimits::default();
            let octets = decode(1, encoding, text.to_vec().into(), &limits, &mut 0);
            let octets = octets.map(|octets| octets.read(usize::MAX).expect("is held"));
            let told = octets.map_err(|fault| fault.to_string());
            assert_eq!(
                told.as_deref().map_err(String::as_str),
                expected,
                "{encoding:?} {:?}",
                String::from_utf8_lossy(text)
            );
        }
        const BASE64: Option<&str> = Some("Base64");
        const QUOTED: Option<&str> = Some("QUOTED-printable");
        for identity in [None, Some("7bit"), Some("8BIT"), Some("binary")] {
            check(identity, b"=3D\0\xFF", Ok(b"=3D\0\xFF"));
        }
        check(Some("x-gzip"), b"", Err("part 1: Content-Transfer-Encoding \"x-gzip\" is not known"));
        check(Some(""), b"", Err("part 1: Content-Transfer-Encoding \"\" is not known"));

        check(BASE64, b"", Ok(b""));
        check(BASE64, b"YWI=", Ok(b"ab"));
        check(BASE64, b"YW\r\nI\n=\r\n", Ok(b"ab"));
        check(BASE64, b"YWI", Err("part 1: not base64: its length or padding"));
        check(BASE64, b"YWI==", Err("part 1: not base64: a character outside its alphabet"));
        check(BASE64, b"YW==YW==", Err("part 1: not base64: a character outside its alphabet"));
        check(BASE64, b"YWJ=", Err("part 1: not base64: bits left over"));
        check(BASE64, b"YW I=", Err("part 1: not base64: a character outside its alphabet"));
        check(BASE64, b"YW-_", Err("part 1: not base64: a character outside its alphabet"));

        check(QUOTED, b"", Ok(b""));
        check(QUOTED, b"a=3Db=\r\n c\r\nd=\n\te\n", Ok(b"a=b c\r\nd\te\n"));
        check(QUOTED, b"=FF=00", Ok(b"\xFF\0"));
        let escape = "part 1: not quoted-printable: an escape that is not two hexadecimal digits";
        check(QUOTED, b"a=3d=fF", Ok(b"a=\xFF"));
        check(QUOTED, b"a=3g", Err(escape));
        check(QUOTED, b"a= \r\n", Err(escape));
        check(QUOTED, b"a=3", Err("part 1: not quoted-printable: an escape that is cut off"));
        check(QUOTED, b"a=", Err("part 1: not quoted-printable: an escape that is cut off"));
        check(QUOTED, b"a \r\n", Err("part 1: not quoted-printable: white space before a line end"));
        check(QUOTED, b"a\t", Err("part 1: not quoted-printable: white space before a line end"));
        check(QUOTED, b"a\rb", Err("part 1: not quoted-printable: a character that must be escaped"));
        check(QUOTED, b"\xC3\xA9", Err("part 1: not quoted-printable: a character that must be escaped"));
    }
}
