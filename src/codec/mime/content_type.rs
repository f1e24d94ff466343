//! Content-Type: a media type and its parameters (RFC 2045, 5.1).

use super::excerpt;

/// The media type of a part without Content-Type (RFC 2046, 5.1).
pub(super) const PLAIN: &str = "text/plain";

/// The media type of a part, lower case. Its parameters, a file's name in some charset among them, are of no use to us: they
/// may be anything.
pub(super) fn media_type(octets: &[u8]) -> Result<String, String> {
    let end = octets.iter().position(|octet| matches!(octet, b';' | b'(') || octet.is_ascii_whitespace());
    let text = String::from_utf8_lossy(&octets[..end.unwrap_or(octets.len())]);
    Ok(ContentType::parse(&text)?.media_type)
}

/// A Content-Type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentType {
    media_type: String,
    /// Names in lower case, values unquoted.
    parameters: Vec<(String, String)>,
}

impl ContentType {
    /// Reads the value of a header field; a parameter that comes twice is refused, whatever it says.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim_ascii();
        let (kind, after) = token(rest).ok_or_else(|| refuse("a type", rest))?;
        let after = after.strip_prefix('/').ok_or_else(|| refuse("\"/\"", after))?;
        let (subtype, after) = token(after).ok_or_else(|| refuse("a subtype", after))?;
        let media_type = format!("{kind}/{subtype}").to_ascii_lowercase();
        let mut parameters: Vec<(String, String)> = Vec::new();
        rest = after.trim_ascii_start();
        while !rest.is_empty() {
            rest = rest.strip_prefix(';').ok_or_else(|| refuse("\";\"", rest))?.trim_ascii_start();
            if rest.is_empty() {
                break;
            }
            let (name, after) = token(rest).ok_or_else(|| refuse("a parameter", rest))?;
            let after = after.trim_ascii_start();
            let after = after.strip_prefix('=').ok_or_else(|| refuse("\"=\"", after))?.trim_ascii_start();
            let (value, after) = value(after).ok_or_else(|| refuse("a value", after))?;
            let name = name.to_ascii_lowercase();
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(format!("parameter {:?} comes twice", excerpt(&name)));
            }
            parameters.push((name, value));
            rest = after.trim_ascii_start();
        }
        Ok(Self { media_type, parameters })
    }

    /// Type and subtype, lower case.
    pub(super) fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The value of a parameter, by its name in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn refuse(expected: &str, found: &str) -> String {
    format!("expected {expected}, found {:?}", excerpt(found))
}

/// A token and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !is_token_char(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A value and what follows it. Peers write `type=text/xml` and `start=<id@domain>` without quotes, so that a bare
/// value ends only at white space or a semicolon.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ';' || c.is_ascii_whitespace()).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).filter(|(value, _)| !value.is_empty())?;
        return (!value.contains('"') && is_printable(value)).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return is_printable(&value).then(|| (value, quoted.split_at(at + 1).1)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_printable(value: &str) -> bool {
    !value.chars().any(char::is_control)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_and_parameters_are_read() {
        fn check(text: &str, media_type: &str, parameters: &[(&str, &str)]) {
            let read = ContentType::parse(text).expect(text);
            assert_eq!(read.media_type(), media_type, "{text}");
            let found: Vec<_> = read.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(found, parameters, "{text}");
        }
        check("text/xml", "text/xml", &[]);
        check(" Text/XML ; Charset=UTF-8 ", "text/xml", &[("charset", "UTF-8")]);
        check("text/xml;", "text/xml", &[]);
        check(
            "multipart/related; type=text/xml; boundary=\"a b\"; start=<x@y>",
            "multipart/related",
            &[("type", "text/xml"), ("boundary", "a b"), ("start", "<x@y>")],
        );
        check("a/b; c=\"\\\"\\\\;\"; d=e", "a/b", &[("c", "\"\\;"), ("d", "e")]);
        check("a/b; c=\"\"", "a/b", &[("c", "")]);
        check("a/b; c = d", "a/b", &[("c", "d")]);
        check("application/xop+xml; start-info=x", "application/xop+xml", &[("start-info", "x")]);
    }

    #[test]
    fn what_is_no_content_type_is_refused() {
        fn check(text: &str, fault: &str) {
            assert_eq!(ContentType::parse(text), Err(fault.to_owned()), "{text}");
        }
        check("", "expected a type, found \"\"");
        check("text", "expected \"/\", found \"\"");
        check("text/", "expected a subtype, found \"\"");
        check("text/xml charset=x", "expected \";\", found \"charset=x\"");
        check("text/xml (comment)", "expected \";\", found \"(comment)\"");
        check("text/xml; =x", "expected a parameter, found \"=x\"");
        check("text/xml; charset", "expected \"=\", found \"\"");
        check("text/xml; charset=", "expected a value, found \"\"");
        check("text/xml; charset=\"x", "expected a value, found \"\\\"x\"");
        check("text/xml; charset=a\"b", "expected a value, found \"a\\\"b\"");
        check("text/xml; charset=\"a\u{1}\"", "expected a value, found \"\\\"a\\u{1}\\\"\"");
        check("text/xml; charset=a; Charset=b", "parameter \"charset\" comes twice");
    }
}
