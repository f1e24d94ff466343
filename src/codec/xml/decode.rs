//! Octets of a document to characters: byte order marks, UTF-8 and UTF-16, line ends (XML 1.0, 2.2, 2.11, 4.3.3).
//!
//! Promises: what comes out holds only characters that XML allows, with `\n` as its only line end that was
//! written literally. Does not read the XML declaration; [`check_declared`] compares what it says.

use std::borrow::Cow;

use super::{Encoding, XmlError, is_white_space};

/// The characters of a document, without byte order mark, line ends normalised.
pub(super) fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Encoding), XmlError> {
    let (text, encoding) = match bytes {
        [0xFE, 0xFF, rest @ ..] => (Cow::Owned(utf_16(rest, u16::from_be_bytes)?), Encoding::Utf16),
        [0xFF, 0xFE, rest @ ..] => (Cow::Owned(utf_16(rest, u16::from_le_bytes)?), Encoding::Utf16),
        [0xEF, 0xBB, 0xBF, rest @ ..] => (Cow::Borrowed(utf_8(rest)?), Encoding::Utf8),
        _ if bytes.is_ascii() => (Cow::Borrowed(utf_8(bytes)?), Encoding::Ascii),
        _ => (Cow::Borrowed(utf_8(bytes)?), Encoding::Utf8),
    };
    check_characters(&text)?;
    Ok((normalise_line_ends(text), encoding))
}

/// What an XML declaration or a `charset` parameter names must be what the octets are (ebMS 2.0, 2.1.3.2).
pub(super) fn check_declared(name: &str, actual: Encoding) -> Result<(), XmlError> {
    let agrees = match actual {
        Encoding::Ascii => ["utf-8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known)),
        Encoding::Utf8 => name.eq_ignore_ascii_case("utf-8"),
        Encoding::Utf16 => {
            ["utf-16", "utf-16le", "utf-16be"].iter().any(|known| name.eq_ignore_ascii_case(known))
        }
    };
    let found = match actual {
        Encoding::Ascii | Encoding::Utf8 => "UTF-8",
        Encoding::Utf16 => "UTF-16",
    };
    if agrees {
        Ok(())
    } else {
        let declared: String = name.chars().take(40).collect();
        Err(XmlError::Encoding {
            expected: "an encoding that agrees with its declaration",
            found: format!("{found} octets declared as {declared:?}"),
        })
    }
}

fn utf_8(bytes: &[u8]) -> Result<&str, XmlError> {
    std::str::from_utf8(bytes).map_err(|fault| XmlError::Encoding {
        expected: "UTF-8",
        found: format!("an invalid sequence at octet {}", fault.valid_up_to()),
    })
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, XmlError> {
    let refuse = |found: &str| XmlError::Encoding { expected: "UTF-16", found: found.to_owned() };
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(refuse("an odd number of octets"));
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<String, _>>()
        .map_err(|_| refuse("half of a surrogate pair"))
}

/// XML 1.0, production 2: no control characters but tab and line ends, no U+FFFE and U+FFFF. A second byte
/// order mark cannot begin a document either.
fn check_characters(text: &str) -> Result<(), XmlError> {
    let forbidden_control = |byte: &u8| *byte < 0x20 && !is_white_space(*byte);
    let bytes = text.as_bytes();
    let control = bytes.iter().any(forbidden_control);
    let non_character = memchr::memchr_iter(0xEF, bytes)
        .any(|at| matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])));
    if !control && !non_character && !text.starts_with('\u{FEFF}') {
        return Ok(());
    }
    let line = bytes
        .iter()
        .take_while(|byte| !forbidden_control(byte))
        .filter(|byte| **byte == b'\n')
        .count()
        .saturating_add(1);
    Err(XmlError::NotWellFormed {
        line: if control { u32::try_from(line).unwrap_or(u32::MAX) } else { 0 },
        fault: "a character that XML does not allow".to_owned(),
    })
}

fn normalise_line_ends(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text;
    }
    let mut normal = String::with_capacity(text.len());
    for (index, piece) in text.split('\r').enumerate() {
        // A piece after `\r` that begins with `\n` was `\r\n`: its own `\n` is the line end.
        if index > 0 && !piece.starts_with('\n') {
            normal.push('\n');
        }
        normal.push_str(piece);
    }
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    //= ebms2 2.2.2 MUST: UTF-8, and UTF-16 with its mark, are read
    #[test]
    fn octets_become_characters_or_are_refused() {
        fn check(bytes: &[u8], expected: Option<(&str, Encoding)>) {
            let decoded = decode(bytes).ok();
            let decoded = decoded.as_ref().map(|(text, encoding)| (text.as_ref(), *encoding));
            assert_eq!(decoded, expected, "{bytes:?}");
        }
        check(b"<a/>", Some(("<a/>", Encoding::Ascii)));
        check("<a>é</a>".as_bytes(), Some(("<a>é</a>", Encoding::Utf8)));
        check(b"\xEF\xBB\xBF<a/>", Some(("<a/>", Encoding::Utf8)));
        check(b"\xFF\xFE<\0\x13\x04", Some(("<\u{413}", Encoding::Utf16)));
        check(b"\xFE\xFF\0<\x04\x13", Some(("<\u{413}", Encoding::Utf16)));
        check(b"1\r\n2\r3\r\r\n4\n", Some(("1\n2\n3\n\n4\n", Encoding::Ascii)));
        check(b"\xFE\xFF\0<\x04", None);
        check(b"\xFE\xFF\xD8\x00\0<", None);
        check(b"<\0a\0", None);
        check(b"<a>\xE9</a>", None);
        check(b"<a>\x0B</a>", None);
        check("<a>\u{FFFE}</a>".as_bytes(), None);
        check("<a>\u{FFFD}\u{FEFF}</a>".as_bytes(), Some(("<a>\u{FFFD}\u{FEFF}</a>", Encoding::Utf8)));
        check(b"\xEF\xBB\xBF\xEF\xBB\xBF<a/>", None);
    }

    //= ebms2 2.2.2 MUST: a declared encoding is the real one
    #[test]
    fn a_declared_encoding_must_be_the_real_one() {
        fn check(name: &str, actual: Encoding, expected: bool) {
            assert_eq!(check_declared(name, actual).is_ok(), expected, "{name} {actual:?}");
        }
        check("UTF-8", Encoding::Utf8, true);
        check("utf-8", Encoding::Ascii, true);
        check("us-ascii", Encoding::Ascii, true);
        check("us-ascii", Encoding::Utf8, false);
        check("UTF-16", Encoding::Utf16, true);
        check("UTF-16", Encoding::Ascii, false);
        check("UTF-8", Encoding::Utf16, false);
        check("ISO-8859-1", Encoding::Ascii, false);
    }
}
