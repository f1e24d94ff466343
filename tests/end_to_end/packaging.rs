//! Packages as other products write them, octet for octet, through the real listener (ebMS 2.0, 2.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gwanmun::model::{EbxmlError, ErrorCode, Sealed};
use gwanmun::security::seal;

use crate::correspondent::Told;
use crate::golden::{Charset, Encoding, Package, Stage, percent_encoded};

//= ebms2 2.1.2 MUST: packages of other products are taken apart to what was signed, whatever their habits
//= ebms2 2.1.3.2 MUST: a SOAP part in base64, quoted-printable or UTF-16 is what was signed
//= ebms2 2.1.4 MUST: a payload is named by a percent-encoded cid or, where the profile allows it, by Content-Location
#[tokio::test(flavor = "multi_thread")]
async fn packages_as_others_write_them_are_acknowledged() {
    let stage = Stage::new().await;
    let mut serial = 10;
    let mut check = async |what: &str, habit: fn(&mut Package)| {
        serial += 1;
        let mut package = stage.package(serial);
        habit(&mut package);
        let sealed = package.sealed(&stage);
        let answer = stage.broker.post(&sealed).await;
        assert_eq!(stage.broker.read(&answer, &sealed), Told::Acknowledged, "{what}: {:?}", answer.body);
    };
    check("as plain as can be", |_| {}).await;
    check("parameters without quotes, start without brackets", |p| {
        p.outer = "multipart/related; type=text/xml; boundary=B_1; start=soap@broker.example".into();
        p.boundary = "B_1".into();
    })
    .await;
    check("names and values in any case, parameters that mean nothing here", |p| {
        p.outer = "Multipart/Related;TYPE=\"Text/XML\";start-info=\"x\";action=\"a\";Boundary=\"B 1\";Start=\"<soap@broker.example>\"".into();
        p.boundary = "B 1".into();
    })
    .await;
    check("start names the last part", |p| p.root_at = usize::MAX).await;
    check("start names a part in the middle", |p| p.root_at = 1).await;
    check("no start", |p| p.outer = "multipart/related; type=\"text/xml\"; boundary=\"=_B-1\"".into()).await;
    check("no type", |p| {
        p.outer = "multipart/related; boundary=\"=_B-1\"; start=\"<soap@broker.example>\"".into();
    })
    .await;
    check("SOAP part in base64", |p| p.root_encoding = Encoding::Base64).await;
    check("SOAP part in quoted-printable", |p| p.root_encoding = Encoding::QuotedPrintable).await;
    check("SOAP part named binary", |p| p.root_encoding = Encoding::Named("binary")).await;
    check("SOAP part named 8bit", |p| p.root_encoding = Encoding::Named("8BIT")).await;
    check("SOAP part named 7bit", |p| p.root_encoding = Encoding::Named("7bit")).await;
    check("payloads in base64", |p| p.payload_encoding = Encoding::Base64).await;
    check("payloads in quoted-printable", |p| p.payload_encoding = Encoding::QuotedPrintable).await;
    check("everything in base64", |p| {
        (p.root_encoding, p.payload_encoding) = (Encoding::Base64, Encoding::Base64);
    })
    .await;
    check("UTF-16, least octet first", |p| {
        p.charset = Charset::Utf16(u16::to_le_bytes);
        p.root_type = "text/xml; charset=UTF-16".into();
        p.declaration = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n".into();
    })
    .await;
    check("UTF-16, most octet first, nowhere declared, in base64", |p| {
        p.charset = Charset::Utf16(u16::to_be_bytes);
        p.root_encoding = Encoding::Base64;
        p.root_type = "text/xml".into();
        p.declaration = String::new();
    })
    .await;
    check("UTF-8 with its mark", |p| p.charset = Charset::Utf8WithMark).await;
    check("charset in quotes and small letters", |p| p.root_type = "text/xml; charset=\"utf-8\"".into())
        .await;
    check("charset nowhere", |p| {
        p.root_type = "text/xml".into();
        p.declaration = "<?xml version='1.0'?>".into();
    })
    .await;
    check("preamble and epilogue", |p| {
        p.preamble = "This is a MIME message.\r\n-- \r\n--not the boundary\r\n".into();
        p.epilogue = "\r\nand goodbye\r\n--\r\n".into();
    })
    .await;
    check("no line end behind the last boundary", |p| p.last_line = String::new()).await;
    check("white space behind every boundary", |p| p.padding = " \t ".into()).await;
    check("folded header fields", |p| {
        p.root_type = "text/xml;\r\n\tcharset=UTF-8".into();
        p.payload_header = "X-Folded: a\r\n b\r\n\tc\r\nContent-Description:\r\n of the goods\r\n".into();
    })
    .await;
    check("field names in any case, and fields that mean nothing here", |p| {
        p.id_name = "CONTENT-id".into();
        p.payload_header =
            "MIME-Version: 1.0\r\nContent-Disposition: attachment; filename=\"a;b\"\r\nX-Mailer: \u{e9}\r\n"
                .into();
    })
    .await;
    check("Content-ID without brackets", |p| p.brackets = ("", "")).await;
    check("white space around the Content-ID", |p| p.brackets = ("  <", ">  ")).await;
    check("lines that end in LF alone", |p| p.line_end = "\n").await;
    check("a boundary that begins with two hyphens", |p| p.set_boundary("--B-1")).await;
    check("a boundary that is two hyphens", |p| p.set_boundary("--")).await;
    check("a boundary that ends with two hyphens", |p| p.set_boundary("B--")).await;
    check("a boundary of 70 characters", |p| p.set_boundary(&format!("=_'()+,-./:?{}", "B".repeat(58))))
        .await;
    check("lines of the payload that look like boundaries", |p| {
        p.attachment = b"\r\n--=_B-\r\n--\r\nx--=_B-1\r\n".to_vec()
    })
    .await;
    check("a payload that ends in line breaks", |p| p.attachment = b"1\r\n\r\n".to_vec()).await;
    check("an empty payload", |p| p.attachment = Vec::new()).await;
    check("every octet there is", |p| p.attachment = (0..=255).collect()).await;
    check("every octet there is, in base64", |p| {
        p.attachment = (0..=255).collect();
        p.payload_encoding = Encoding::Base64;
    })
    .await;
    check("a payload that is a package of its own", |p| {
        p.attachment_type = "multipart/mixed; boundary=\"=_B-2\"".into();
        p.attachment = b"--=_B-2\r\nContent-ID: <soap@broker.example>\r\n\r\n1\r\n--=_B-2--\r\n".to_vec();
    })
    .await;
    check("cid with everything percent-encoded", |p| p.cid = percent_encoded).await;
    check("cid in capitals", |p| p.cid = |id| format!("CID:{id}")).await;
    check("a parameter without its value on a payload", |p| {
        p.attachment_type = "application/pdf; name=".into()
    })
    .await;
    check("a Content-ID that a URI cannot hold", |p| {
        p.id = |at| format!("part {at}%+\u{ed55}@broker.example")
    })
    .await;
    stage.told("message.deviates", 0).await;
    check("parts by Content-Location", |p| {
        (p.id_name, p.brackets) = ("Content-Location".into(), ("", ""));
        p.id = |at| format!("http://broker.example/part/{at}.xml");
        p.cid = |location| location.to_owned();
    })
    .await;
    check("parts by a relative Content-Location", |p| {
        (p.id_name, p.brackets) = ("content-location".into(), ("", ""));
        p.id = |at| format!("part-{at}.xml");
        p.cid = |location| location.to_owned();
    })
    .await;
    stage.told("message.deviates", 2).await;
    stage.told("content-location", 2).await;
}

/// Neither signature nor SyncReply, and the acknowledgment on the connection all the same, not signed either.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_with_the_habits_of_phinms_is_understood() {
    let stage = Stage::of("profile = \"phinms\"\nack_signed = false\n").await;
    let mut message = stage.broker.message("Test", "phinms", Vec::new());
    message.sync_reply = false;
    message.ack_requested.iter_mut().for_each(|asked| asked.signed = false);
    let answer = stage.broker.post(&seal(&message, None).expect("can be sealed")).await;
    let told = stage.broker.open(&answer);
    let [given] = &told.message().acknowledgments[..] else { panic!("{:?}", told.message()) };
    assert_eq!((&given.ref_to_message_id, told.is_signed()), (&message.header.data.message_id, false));
    stage.told("unsigned-messages", 1).await;
    stage.told("missing-sync-reply", 1).await;
}

//= ebms2 2.1.6 MUST: a package that no two readers would read alike is refused, at the SOAP layer or by MimeProblem
#[tokio::test(flavor = "multi_thread")]
async fn packages_that_are_none_are_refused() {
    let stage = Stage::new().await;
    let check = async |what: &str, expected: Told, habit: &dyn Fn(&mut Package)| {
        let mut package = stage.package(10);
        habit(&mut package);
        let sealed = package.sealed(&stage);
        let told = stage.broker.ask(&sealed).await;
        assert_eq!(told.without_words(), expected, "{what}");
    };
    let fault = || Told::Fault("Client".into());
    check("no multipart/related", Told::Status(415), &|p| p.outer = p.outer.replace("related", "mixed"))
        .await;
    check("no boundary", fault(), &|p| p.outer = "multipart/related; type=\"text/xml\"".into()).await;
    check("another boundary than the body's", fault(), &|p| p.outer = p.outer.replace("=_B-1", "=_B-2"))
        .await;
    check("type that is not that of the SOAP part", fault(), &|p| {
        p.outer = p.outer.replace("text/xml", "text/html")
    })
    .await;
    check("a SOAP part of another type", fault(), &|p| p.root_type = "application/xml".into()).await;
    check("start that names no part", fault(), &|p| p.outer = p.outer.replace("soap@", "soup@")).await;
    check("start that names a payload", fault(), &|p| p.outer = p.outer.replace("soap@", "part-0@")).await;
    check("no last boundary", fault(), &|p| p.close = String::new()).await;
    check("a boundary behind the last one", fault(), &|p| {
        p.epilogue = "\r\n--=_B-1\r\n\r\nx\r\n--=_B-1--\r\n".into()
    })
    .await;
    check("two parts with one Content-ID", fault(), &|p| p.id = |_| "part@broker.example".into()).await;
    check("a payload with the Content-ID of the SOAP part", fault(), &|p| {
        p.id = |_| "soap@broker.example".into()
    })
    .await;
    check("a transfer encoding that nobody knows", fault(), &|p| p.root_encoding = Encoding::Named("x-gzip"))
        .await;
    check("charset UTF-16 and octets in UTF-8", fault(), &|p| {
        p.root_type = "text/xml; charset=UTF-16".into()
    })
    .await;
    check("charset US-ASCII and octets that are not", fault(), &|p| {
        p.root_type = "text/xml; charset=us-ascii".into()
    })
    .await;
    check("charset UTF-8 and octets in UTF-16", fault(), &|p| p.charset = Charset::Utf16(u16::to_le_bytes))
        .await;
    check("UTF-16 declared, and octets in UTF-8", fault(), &|p| {
        p.declaration = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>".into();
    })
    .await;
    check("ISO-8859-1 declared, and octets in UTF-8", fault(), &|p| {
        p.declaration = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>".into();
    })
    .await;
    check("charset and declaration that contradict each other", fault(), &|p| {
        p.charset = Charset::Utf16(u16::to_le_bytes);
        p.root_type = "text/xml; charset=UTF-16".into();
    })
    .await;
    check("UTF-16 without its mark", fault(), &|p| {
        p.charset = Charset::Utf16WithoutMark;
        p.root_type = "text/xml; charset=UTF-16".into();
        p.declaration = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>".into();
    })
    .await;
    let problem = |at: &str| Told::Errors {
        signed: true,
        errors: vec![EbxmlError::new(
            ErrorCode::MimeProblem,
            Some(at.to_owned()).filter(|at| !at.is_empty()),
            "",
        )],
    };
    check("a part that nothing names", problem("cid:stray@broker.example"), &|p| p.stray = true).await;
    check("a part without a name", problem(""), &|p| p.id_name = "X-ID".into()).await;
    check("a cid of no part", problem("cid:part%2D0%40broker.example.net"), &|p| {
        p.cid = |id| format!("{}.net", percent_encoded(id));
    })
    .await;
    check("a cid in other letters", problem("cid:PART-0@BROKER.EXAMPLE"), &|p| {
        p.cid = |id| format!("cid:{}", id.to_uppercase());
    })
    .await;
    assert_eq!(stage.world.list("/messages").await.len(), 0, "nothing of it is kept");
}

//= ebms2 2.1.2 MUST: without payload a message is taken as text/xml and as a package of one part
#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_payload_comes_alone_or_in_a_package() {
    let stage = Stage::new().await;
    let ping = stage.ping();
    let one_part = format!(
        "--=_B-1\r\nContent-Type: text/xml\r\nContent-ID: <soap@broker.example>\r\n\r\n{ping}\r\n--=_B-1--\r\n"
    );
    let marked: Vec<u8> =
        [0xFEFF].into_iter().chain(ping.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let base64 = one_part
        .replace("Content-ID", "Content-Transfer-Encoding: base64\r\nContent-ID")
        .replace(&ping, &STANDARD.encode(&ping));
    for (content_type, body) in [
        ("text/xml", ping.clone().into_bytes()),
        ("Text/XML; charset=\"utf-8\"", ping.clone().into_bytes()),
        ("text/xml; charset=UTF-16", marked),
        (
            "multipart/related; type=\"text/xml\"; boundary=\"=_B-1\"; start=\"<soap@broker.example>\"",
            one_part.clone().into_bytes(),
        ),
        ("multipart/related; boundary=\"=_B-1\"", one_part.into_bytes()),
        ("multipart/related; boundary=\"=_B-1\"", base64.into_bytes()),
    ] {
        let sealed = Sealed { content_type: content_type.into(), body: body.into(), references: Vec::new() };
        let answer = stage.broker.post(&sealed).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(
            (answer.status.as_u16(), answer.content_type.as_deref()),
            (200, Some("text/xml; charset=UTF-8")),
            "{content_type}: {text}"
        );
        assert!(text.contains("<eb:Action>Pong</eb:Action>"), "{content_type}: {text}");
        assert!(text.contains("<eb:RefToMessageId>ping-1@broker.example</eb:RefToMessageId>"), "{text}");
    }
}
