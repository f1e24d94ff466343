//! Whole packages: taken apart, refused by rule and limit, and packed.

use proptest::prelude::*;

use super::*;
use crate::model::filed_for_tests;
use crate::model::{Digest, Payload};

const RELATED: &str = "multipart/related; type=\"text/xml\"; boundary=b; start=\"<s>\"";

/// Root `<s>` with `<e/>`, then a payload `<p>` with `1`; `\n` stands for CRLF.
const PACKAGE: &str = "--b\nContent-Type: text/xml\nContent-ID: <s>\n\n<e/>\n\
                       --b\nContent-Type: a/b\nContent-ID: <p>\n\n1\n--b--\n";

fn octets(text: &str) -> Bytes {
    Bytes::from(text.replace('\n', "\r\n"))
}

/// The parts, root first, as `media type <id> body`; or why there are none.
fn told(content_type: &str, body: &Bytes) -> String {
    match unpack(content_type, &body.clone().into(), &MimeLimits::default()) {
        Ok(package) => {
            let part = |content_id: &Option<ContentId>, media_type: &str, octets: &[u8]| {
                let id = content_id.as_ref().map_or("-", AsRef::as_ref);
                format!("{media_type} <{id}> {:?}", String::from_utf8_lossy(octets))
            };
            let root = &package.root;
            let parts = package.parts.iter().map(|p| part(&p.content_id, &p.media_type, p.body.held()));
            let told = std::iter::once(part(&root.content_id, &root.media_type, &root.body)).chain(parts);
            told.collect::<Vec<_>>().join(", ")
        }
        Err(fault) => fault.to_string(),
    }
}

//= ebms2 2.1.2 MUST: a message without payload is taken as bare text/xml
//= ebms2 2.1.2 MUST: a message with payloads comes as multipart/related
//= ebms2 2.1.2 MUST: the type parameter is the media type of the SOAP part, text/xml
//= ebms2 2.1.2 SHOULD: start names the SOAP part, which need not come first; without it the first part is that
//= ebms2 2.1.2 MUST: a start that names no part is refused
//= ebms2 2.1.3 MUST: the SOAP part is text/xml
//= ebms2 2.1.5 MUST: parameters that are not known, as start-info and action, are ignored
//= ebms2 2.1.6 MUST: a package that is no MIME multipart is refused at the SOAP layer
#[test]
fn a_body_comes_apart_or_is_told_why_not() {
    fn check(content_type: &str, body: &str, expected: &str) {
        assert_eq!(told(content_type, &octets(body)), expected, "{content_type} {body:?}");
    }
    const BOTH: &str = "text/xml <s> \"<e/>\", a/b <p> \"1\"";
    check(RELATED, PACKAGE, BOTH);
    check("text/xml; charset=UTF-8", "<e/>", "text/xml <-> \"<e/>\"");
    check("Multipart/Related;Boundary=b", PACKAGE, BOTH);
    check("multipart/related; boundary=\"b\"; start=s; type=TEXT/XML; action=x; start-info=y", PACKAGE, BOTH);
    // The root need not come first.
    check("multipart/related; boundary=b; start=\" <s> \"", &swapped(), BOTH);
    check("multipart/related; boundary=b", &swapped(), "the SOAP part is \"a/b\", expected text/xml");

    check("", "", "Content-Type: expected a type, found \"\"");
    check(
        "application/soap+xml",
        "<e/>",
        "expected multipart/related or text/xml, found \"application/soap+xml\"",
    );
    check(
        "multipart/mixed; boundary=b",
        PACKAGE,
        "expected multipart/related or text/xml, found \"multipart/mixed\"",
    );
    check(
        "multipart/related; boundary=b; boundary=b",
        PACKAGE,
        "Content-Type: parameter \"boundary\" comes twice",
    );
    check("multipart/related", PACKAGE, "boundary: missing");
    check("multipart/related; boundary=\"\"", PACKAGE, "boundary: empty");
    check("multipart/related; boundary=\"b \"", PACKAGE, "boundary: ends with a space");
    check("multipart/related; boundary=\"b;\"", PACKAGE, "boundary: a character that is not allowed");
    check(
        "multipart/related; boundary=b; type=\"text/html\"",
        PACKAGE,
        "the SOAP part is \"text/html\", expected text/xml",
    );
    check("multipart/related; boundary=b; start=\"<S>\"", PACKAGE, "start \"<S>\" names no part");
    check("multipart/related; boundary=b; start=\"\"", PACKAGE, "start \"\" names no part");

    fn swapped() -> String {
        "--b\nContent-Type: a/b\nContent-ID: <p>\n\n1\n--b\nContent-Type: text/xml\nContent-ID: <s>\n\n<e/>\n--b--\n"
            .to_owned()
    }
}

//= ebms2 2.1.2 MUST: preamble and epilogue are ignored
//= ebms2 2.1.2 MUST: white space behind a boundary is no part of it
//= ebms2 2.1.2 MUST: the line break before a boundary belongs to it, every other octet to the part
//= ebms2 2.1.6 MUST: a package without its closing boundary is refused
//= ebms2 2.1.6 MUST: lines that end in different ways in one package are refused
//=   deviation: two readers would take such a package apart differently (S10)
#[test]
fn delimiters_are_lines_and_nothing_else() {
    // `from` in PACKAGE becomes `to`.
    fn check(from: &str, to: &str, expected: &str) {
        assert!(PACKAGE.contains(from), "{from:?}");
        let body = PACKAGE.replacen(from, to, 1).replace('\n', "\r\n").replace('\u{240A}', "\n");
        assert_eq!(told(RELATED, &Bytes::from(body)), expected, "{from:?} -> {to:?}");
    }
    let with = |body: &str| format!("text/xml <s> \"<e/>\", a/b <p> {body:?}");
    const MIXED: &str = "delimiter and header lines end in different ways";
    // ␊ is a bare LF.
    check("--b\n", "preamble\n--b\n", &with("1"));
    check("--b--\n", "--b--", &with("1"));
    check("--b--\n", "--b--\nepilogue", &with("1"));
    check("--b--\n", "--b-- \t\n", &with("1"));
    check("<e/>\n--b\n", "<e/>\n--b \t\n", &with("1"));
    check("\n1\n", "\n\n1\n\n", &with("\r\n1\r\n"));
    check("\n1\n", "\n␊1␊\n", &with("\n1\n"));
    check("\n1\n", "\n--B\n", &with("--B"));
    check("\n1\n", "\nx--b\n", &with("x--b"));
    check("\n1\n", "\n--\n", &with("--"));
    check("\n1\n--b--", "\n\n--b--", &with(""));
    check("\n1\n--b--", "\n--b--", &with(""));

    check("--b--\n", "", "the closing boundary is missing");
    check("--b--\n", "--b", "the closing boundary is missing");
    check("--b--\n", "--b\n", "the closing boundary is missing");
    check("--b--\n", "--b-\n", "a line begins with the boundary but is no delimiter");
    check("\n1\n", "\n--bc\n", "a line begins with the boundary but is no delimiter");
    check("\n1\n", "\n--b--c\n", "a line begins with the boundary but is no delimiter");
    check("--b--\n", "--b--\n--b--\n", "a delimiter behind the closing boundary");
    check("--b--\n", "--b--\n--b\n\nx\n", "a delimiter behind the closing boundary");
    check("--b\nContent-Type: text", "--b--\nContent-Type: text", "a delimiter behind the closing boundary");
    check("1\n--b--", "1␊--b--", MIXED);
    check("1\n--b--", "1\r--b--", MIXED);
    check("--b\nContent-Type: a", "--b␊Content-Type: a", MIXED);
    check("--b--\n", "--b--␊", MIXED);
    check("--b\n", "preamble␊--b\n", MIXED);
    check("a/b\n", "a/b␊", MIXED);
    check("<p>\n\n", "<p>␊\n", MIXED);
    check("a/b\n", "a/b\rX: y\n", MIXED);
}

//= ebms2 2.1.2 MAY: delimiter and header lines may all end in a bare LF
#[test]
fn lines_may_all_end_in_lf() {
    let body = Bytes::from_static(PACKAGE.as_bytes());
    assert_eq!(told(RELATED, &body), "text/xml <s> \"<e/>\", a/b <p> \"1\"");
    let payload = PACKAGE.replace("\n1\n", "\n1\r\n2\n");
    assert_eq!(told(RELATED, &payload.into()), "text/xml <s> \"<e/>\", a/b <p> \"1\\r\\n2\"");
}

#[test]
fn a_package_without_parts_is_empty() {
    assert_eq!(told(RELATED, &octets("--b--\n")), "no part");
    assert_eq!(told(RELATED, &octets("")), "the closing boundary is missing");
    assert_eq!(told("text/xml", &octets("")), "text/xml <-> \"\"");
}

//= ebms2 2.1.4 MUST: header names of a part are read in any case, folded or not
//= ebms2 2.1.4 MUST: a Content-ID is read with or without angle brackets and white space
//= ebms2 2.1.5 MUST: header fields that are not known are ignored without error
//= ebms2 2.1.6 MUST: two parts with one Content-ID are refused
//= ebms2 2.1.6 MUST: a header field that comes twice in a part is refused
#[test]
fn part_headers_mean_one_thing() {
    fn check(header: &str, expected: &str) {
        let body = octets(&PACKAGE.replace("Content-Type: a/b\nContent-ID: <p>\n", header));
        let expected = match expected.strip_prefix('=') {
            Some(part) => format!("text/xml <s> \"<e/>\", {part}"),
            None => expected.to_owned(),
        };
        assert_eq!(told(RELATED, &body), expected, "{header:?}");
    }
    check("", "=text/plain <-> \"1\"");
    check("content-TYPE:A/B;c=d\nContent-Id:p\n", "=a/b <p> \"1\"");
    check("Content-ID: < p@q >\n", "=text/plain <p@q> \"1\"");
    check("Content-ID:\n <p>\nX-Other: \u{e9}\nMIME-Version: 1.0\n", "=text/plain <p> \"1\"");
    check("Content-Type: a/b;\n\tc=d\n", "=a/b <-> \"1\"");
    check("Content-ID: <P%2B+p>\n", "=text/plain <P%2B+p> \"1\"");
    check("Content-Transfer-Encoding: Base64\n", "part 2: not base64: its length or padding");
    check("Content-Transfer-Encoding: gzip\n", "part 2: Content-Transfer-Encoding \"gzip\" is not known");

    check("Content-ID: <s>\n", "two parts have the Content-ID \"s\"");
    check("Content-ID: <p>\ncontent-id: <p>\n", "part 2: content-id comes twice");
    check("Content-Type: a/b\nContent-Type: a/b\n", "part 2: Content-Type comes twice");
    check("Content-ID: <>\n", "part 2: Content-ID \"<>\"");
    check("Content-ID: <p\n", "part 2: Content-ID \"<p\"");
    check("Content-ID: p>\n", "part 2: Content-ID \"p>\"");
    check("Content-ID:\n", "part 2: Content-ID \"\"");
    check("Content-Type: a\n", "part 2: Content-Type: expected \"/\", found \"\"");
    check(" Content-ID: <p>\n", "part 2: no header field: \" Content-ID: <p>\"");
    check("Content-ID : <p>\n", "part 2: no header field: \"Content-ID : <p>\"");
    check("no field\n", "part 2: no header field: \"no field\"");
    check(": x\n", "part 2: no header field: \": x\"");
    check("X: a\0b\n", "part 2: a control character in X");
}

//= ebms2 2.1.5 MUST: what is ignored is ignored in any charset: other fields, and parameters of a payload's Content-Type
#[test]
fn octets_that_are_no_text_hurt_where_they_mean_something() {
    // `from` in PACKAGE becomes these octets.
    fn check(from: &str, to: &[u8], expected: &str) {
        let body = octets(PACKAGE);
        let at = memchr::memmem::find(&body, from.as_bytes()).expect(from);
        let body = [&body[..at], to, &body[at + from.len()..]].concat().into();
        let expected = match expected.strip_prefix('=') {
            Some(part) => format!("text/xml <s> \"<e/>\", {part}"),
            None => expected.to_owned(),
        };
        assert_eq!(told(RELATED, &body), expected, "{to:?}");
    }
    const FINE: &str = "=a/b <p> \"1\"";
    check(
        "Content-ID: <p>",
        b"Content-Disposition: attachment; filename=\"Gr\xFC\x80e\"\r\nContent-ID: <p>",
        FINE,
    );
    check("Content-Type: text/xml", b"X: \xFF\r\nContent-Type: text/xml", FINE);
    check("a/b", b"a/b; name=\"Gr\xFC\xDFe.pdf\"", FINE);
    check("a/b", b"a/b; name=", FINE);
    check("a/b", b"A/B; c=\"d; c=e; c", FINE);
    check("a/b", b"a/b (a comment)", FINE);
    check("a/b", b"a/b name=x", FINE);

    check("a/b", b"a/\xFC; c=d", "part 2: Content-Type: expected a subtype, found \"\u{fffd}\"");
    check("a/b", b"a/b@c", "part 2: Content-Type: expected \";\", found \"@c\"");
    check("a/b", b"; c=d", "part 2: Content-Type: expected a type, found \"\"");
    check("a/b", b"a/b; c=\x01", "part 2: a control character in Content-Type");
    check("text/xml", b"text/xml; charset=\xFC", "part 1: Content-Type is not text");
    check("text/xml", b"text/xml; charset", "part 1: Content-Type: expected \"=\", found \"\"");
    check(
        "text/xml",
        b"text/xml; charset=a; charset=b",
        "part 1: Content-Type: parameter \"charset\" comes twice",
    );
    check("<p>", b"<p\xFC>", "part 2: Content-ID is not text");
    check("<p>", "<p\u{85}>".as_bytes(), "part 2: a control character in Content-ID");
    check("Content-ID: <p>", b"Content-Location: \xFC", "part 2: Content-Location is not text");
    let encoding = b"Content-Transfer-Encoding: 8bit\xFC\r\nContent-ID: <p>";
    check("Content-ID: <p>", encoding, "part 2: Content-Transfer-Encoding is not text");
    check("Content-ID: <p>", b"X\xFC: a", "part 2: no header field: \"X\u{fffd}: a\"");
}

//= ebms2 2.1.6 MAY: parts, header fields and the SOAP part are bounded (S10)
#[test]
fn limits_hold_at_the_limit_one_past_it_and_far_past_it_s10_s12() {
    let limits = MimeLimits {
        parts_max: 3,
        header_count_max: 4,
        header_line_bytes_max: 30,
        root_bytes_max: 5,
        encoded_bytes_max: 4,
    };
    let check = |content_type: &str, body: String, expected: Option<(&'static str, usize)>| {
        let expected = expected.map(|(what, limit)| MimeError::TooMuch { what, limit });
        for body in [Octets::from(octets(&body)), filed_for_tests(&octets(&body))] {
            let refused = unpack(content_type, &body, &limits).err();
            assert_eq!(refused, expected, "{content_type} {body:?}");
        }
    };
    let parts = |count: usize| {
        let payloads = "--b\n\n1\n".repeat(count - 1);
        format!("--b\nContent-Type: text/xml\nContent-ID: <s>\n\n<e/>\n{payloads}--b--\n")
    };
    check(RELATED, parts(3), None);
    check(RELATED, parts(4), Some(("parts", 3)));
    check(RELATED, parts(1000), Some(("parts", 3)));
    let fields = |count: usize| {
        let payload = format!("--b\n{}\n1\n--b--\n", "X: y\n".repeat(count));
        PACKAGE.split_once("--b\nContent-Type: a").expect("a second part").0.to_owned() + &payload
    };
    check(RELATED, fields(4), None);
    check(RELATED, fields(5), Some(("header fields in a part", 4)));
    check(RELATED, fields(1000), Some(("header fields in a part", 4)));
    let long = |octets: usize| PACKAGE.replace("<p>\n", &format!("<p>\nX: {}\n", "y".repeat(octets - 3)));
    check(RELATED, long(30), None);
    check(RELATED, long(31), Some(("octets in a header field", 30)));
    check(RELATED, long(5000), Some(("octets in a header field", 30)));
    let folded =
        |lines: usize| PACKAGE.replace("<p>\n", &format!("<p>\nX:{}\n", "\n 12345678".repeat(lines)));
    check(RELATED, folded(3), None);
    check(RELATED, folded(4), Some(("octets in a header field", 30)));
    check(RELATED, folded(5000), Some(("octets in a header field", 30)));
    let root = |octets: usize| PACKAGE.replace("<e/>", &"x".repeat(octets));
    check(RELATED, root(5), None);
    check(RELATED, root(6), Some(("octets in the SOAP part", 5)));
    check(RELATED, root(5_000_000), Some(("octets in the SOAP part", 5)));
    check("text/xml", "x".repeat(5), None);
    check("text/xml", "x".repeat(6), Some(("octets in the SOAP part", 5)));
    check("text/xml", "x".repeat(5_000_000), Some(("octets in the SOAP part", 5)));
    let padded = |octets: usize| PACKAGE.replace("\n--b--\n", &format!("\n--b--{}\n", " ".repeat(octets)));
    check(RELATED, padded(30), None);
    check(RELATED, padded(31), Some(("octets in a delimiter line", 30)));
    check(RELATED, padded(5000), Some(("octets in a delimiter line", 30)));
    let decoding = MimeLimits { encoded_bytes_max: 8, ..MimeLimits::default() };
    let encoded = |texts: &[&str]| {
        let (before, _) = PACKAGE.split_once("--b\nContent-Type: a").expect("a second part");
        let part = |text: &&str| format!("--b\nContent-Transfer-Encoding: base64\n\n{text}\n");
        let body = format!("{before}{}--b--\n", texts.iter().map(part).collect::<String>());
        let package = unpack(RELATED, &filed_for_tests(&octets(&body)), &decoding)?;
        Ok(package.parts.iter().map(|part| part.body.bytes()).sum::<u64>())
    };
    let too_much = Err(MimeError::TooMuch { what: "octets in parts with a transfer encoding", limit: 8 });
    assert_eq!(encoded(&["YWJjYWJj"]), Ok(6));
    assert_eq!(encoded(&["YWJjYWJj\n"]), too_much, "what is filed is decoded in memory");
    assert_eq!(encoded(&["YWJj", "YWJj"]), Ok(6));
    assert_eq!(encoded(&["YWJj", "YWJj\n"]), too_much, "all of it together (S12)");
    assert_eq!(encoded(&[&"YWJj".repeat(100_000)]), too_much);
    assert_eq!(encoded(&["YWJj", "YWJj", ""]), Ok(6));
    let boundary = |octets: usize| format!("multipart/related; boundary={}", "b".repeat(octets));
    assert_eq!(told(&boundary(70), &octets("")), "the closing boundary is missing");
    for longer in [71, 100_000] {
        assert_eq!(told(&boundary(longer), &octets("")), "boundary: longer than 70 characters");
    }
}

#[test]
fn a_million_delimiters_are_refused_at_the_limit_s10() {
    let body = octets(&"--b\n".repeat(1_000_000));
    assert_eq!(told(RELATED, &body), "more than 100 parts");
}

//= ebms2 2.1.4 MUST: a payload may be of any media type, multipart among them
#[test]
fn a_payload_that_is_multipart_is_octets_s10() {
    let inner = "--c\n\n--c\n\nx\n--c--";
    let body =
        PACKAGE.replace("a/b", "multipart/mixed; boundary=c").replace("\n1\n", &format!("\n{inner}\n"));
    let expected = format!("text/xml <s> \"<e/>\", multipart/mixed <p> {:?}", inner.replace('\n', "\r\n"));
    assert_eq!(told(RELATED, &octets(&body)), expected);
}

//= ebms2 3.2.1 MUST: a cid URI is percent-decoded before it is compared, and compared by case (RFC 2392)
#[test]
fn cid_uris_name_content_ids() {
    fn check(uri: &str, expected: Option<&str>) {
        let content_id = content_id_of_uri(uri);
        assert_eq!(content_id.as_ref().map(ContentId::as_str), expected, "{uri}");
    }
    check("cid:a@b", Some("a@b"));
    check(" cid:a%25b%2Bc+d ", Some("a%b+c+d"));
    check("cid:%ed%95%9c", Some("\u{d55c}"));
    check("CID:A@b", Some("A@b"));
    check("Cid:a", Some("a"));
    check("cid :a", None);
    check("cid:", None);
    check("cid:a%2", None);
    check("cid:a%zz", None);
    check("cid:%ff", None);
    check("cid:a#b", None);
    check("cid:%00", None);
    check("mid:a@b", None);
    check("http://example/a", None);
    check("", None);
}

//= ebms2 2.1.2 MUST: without payload the envelope is sent as text/xml with its charset
#[test]
fn without_payload_the_envelope_goes_alone() {
    let (content_type, body) = pack("<e/>", &[], "seed").expect("readable");
    assert_eq!((&*content_type, &body.held()[..]), ("text/xml; charset=UTF-8", &b"<e/>"[..]));
}

//= ebms2 2.1.2 MUST: a boundary that is sent stands in none of its parts
#[test]
fn a_boundary_that_a_part_holds_is_not_taken() {
    let payload = |body: String| Payload {
        content_id: ContentId::new("p").expect("a Content-ID"),
        media_type: "a/b".into(),
        role: None,
        digest: Digest::of(body.as_bytes()),
        body: body.into(),
    };
    let boundary_of = |content_type: &str| {
        ContentType::parse(content_type).expect("ours").parameter("boundary").expect("there").to_owned()
    };
    let (content_type, _) = pack("<e/>", &[payload("1".to_owned())], "seed").expect("readable");
    let first = boundary_of(&content_type);
    let hostile = payload(format!("\r\n--{first}--\r\n"));
    let (content_type, body) = pack("<e/>", std::slice::from_ref(&hostile), "seed").expect("readable");
    assert_ne!(boundary_of(&content_type), first);
    let package = unpack(&content_type, &body, &MimeLimits::default()).expect("ours");
    assert_eq!(package.parts[0].body, hostile.body);
}

proptest! {
    //= ebms2 2.1.2 MUST: what is packed is multipart/related with type and start, and comes apart as it was
    /// What was packed comes apart into the same octets, and packing it again gives the same package.
    #[test]
    fn packages_come_apart_as_they_were_packed(
        envelope in "[ -~\r\n]{0,200}",
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5),
        ids in "[!-;=?-~\u{e9}]{1,20}",
        seed in ".{0,20}",
    ) {
        let payloads: Vec<Payload> = bodies
            .into_iter()
            .enumerate()
            .map(|(index, body)| Payload {
                content_id: ContentId::new(format!("{index}{ids}")).expect("plain text"),
                media_type: "application/octet-stream".into(),
                role: None,
                digest: Digest::of(&body),
                body: body.into(),
            })
            .collect();
        let (content_type, body) = pack(envelope.clone(), &payloads, &seed).expect("readable");
        prop_assert_eq!(pack(envelope.clone(), &payloads, &seed).expect("readable"), (content_type.clone(), body.clone()));
        let package = unpack(&content_type, &body, &MimeLimits::default()).expect("ours");
        prop_assert_eq!(&package.root.body, &envelope);
        prop_assert_eq!(package.root.charset.as_deref(), Some("UTF-8"));
        prop_assert_eq!(package.parts.len(), payloads.len());
        for (part, payload) in package.parts.iter().zip(&payloads) {
            prop_assert_eq!(part.content_id.as_ref(), Some(&payload.content_id));
            prop_assert_eq!(&part.media_type, &payload.media_type);
            prop_assert_eq!(&part.body, &payload.body);
            prop_assert_eq!(content_id_of_uri(&payload.content_id.uri()), part.content_id.clone());
        }
    }

    /// Where a window of a filed body ends makes no difference (S10 to S12).
    #[test]
    fn a_filed_body_comes_apart_as_a_held_one(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "--b", "--b", "--b--", "--", "b", "\r\n", "\r\n", "\n", "\r", "A: b", "Content-ID: <s>", ":", " ", "x",
                "xxxxxxxxxx",
            ]),
            0..60,
        ),
        window_bytes in 1_usize..80,
    ) {
        let body = pieces.concat();
        let limits = MimeLimits { header_line_bytes_max: 12, ..MimeLimits::default() };
        let held = scan::parts("b", &body.clone().into(), &limits);
        let filed = scan::parts_within("b", &filed_for_tests(body.as_bytes()), &limits, window_bytes);
        prop_assert_eq!(held, filed);
    }

    /// No octets make the reader panic.
    #[test]
    fn any_octets_are_taken_apart_or_refused(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "--b", "--", "b", "\r\n", "\n", "\r", "Content-Type: text/xml", "Content-ID: <s>",
                "Content-Transfer-Encoding: quoted-printable", ":", " ", "=", "=3D", "x",
            ]),
            0..60,
        ),
    ) {
        let body = Bytes::from(pieces.concat());
        if let Ok(package) = unpack("multipart/related; boundary=b", &body.clone().into(), &MimeLimits::default()) {
            prop_assert_eq!(&*package.root.media_type, "text/xml");
        }
    }
}
