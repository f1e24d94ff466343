//! By which names a part is found, where an agreement allows more of them.

use super::*;

//= ebms2 3.2.2 MAY: a Reference to something outside the message
//=   deviation: never fetched; MimeProblem (S5)
#[test]
fn a_name_is_one_part_of_the_message_or_nothing() {
    let pair = pair();
    let lenient = agreed(&pair, |agreement| agreement.profile.deviations = Deviation::ALL.into());
    let strict = agreed(&pair, |_| {});
    let check = |trust: &Trust, sealed: &Sealed, code: ErrorCode, at: &str| {
        let trust = Trust { engine: Engine::Own, ..trust.clone() };
        let refused = refusal(opened(&trust, sealed, NOW), at);
        assert_eq!(told(&refused), (code, Some(at)), "{}", refused.text);
    };
    let signature = "/soap:Envelope/soap:Header/ds:Signature";
    use ErrorCode::{MimeProblem, SecurityFailure};
    for uri in ["http://127.0.0.1/decl.xml", "file:///etc/passwd", "decl-2.xml", "../decl-1.xml"] {
        let sealed = located(&pair.trader, "decl-1.xml", uri);
        check(&strict, &sealed, SecurityFailure, signature);
        check(&lenient, &sealed, SecurityFailure, signature);
        // Where nothing is signed, only the Manifest names it.
        let sent = message(&PARTS[..1]);
        let text = encode_envelope(&sent).text.replace("cid:decl-1@trader.example", uri);
        let (content_type, body) = pack(text, &sent.payloads, "seed").expect("readable");
        check(&lenient, &Sealed { content_type, body, references: Vec::new() }, MimeProblem, uri);
    }
    // A cid: names a part by its Content-ID alone.
    let id = "decl-1@trader.example";
    let cid = format!("cid:{id}");
    for engine in ENGINES {
        for trust in [&strict, &lenient] {
            let refused = refusal(
                opened(&Trust { engine, ..trust.clone() }, &located(&pair.trader, id, &cid), NOW),
                "a location by cid:",
            );
            assert_eq!(told(&refused), (MimeProblem, Some(&*cid)), "{engine:?} {}", refused.text);
        }
    }
    // One location for two parts, or one that is a Content-ID.
    let sent = message(&PARTS);
    let text = encode_envelope(&sent).text.replace("cid:phyto-1@trader.example", "both.xml");
    let (content_type, body) = pack(text, &sent.payloads, "seed").expect("readable");
    let sealed = Sealed { content_type, body, references: Vec::new() };
    let both = "\r\nContent-Location: both.xml";
    let sealed = edited(&sealed, "<decl-1@trader.example>", &format!("<decl-1@trader.example>{both}"));
    let sealed = edited(&sealed, "<phyto-1@trader.example>", &format!("<phyto-1@trader.example>{both}"));
    check(&lenient, &sealed, MimeProblem, "both.xml");
    let twice = edited(
        &seal(&sent, None).expect("seals"),
        "Content-ID: <phyto-1@trader.example>",
        "Content-Location: decl-1@trader.example",
    );
    let refused = refusal(opened(&Trust { engine: Engine::Own, ..lenient.clone() }, &twice, NOW), "twice");
    assert_eq!(told(&refused), (MimeProblem, None), "{}", refused.text);
}

//= ebms2 4.1.3 MUST: a part is named once, by one name, in Manifest and signature (S11)
#[test]
fn names_that_several_parts_have_name_none() {
    let pair = pair();
    let lenient = agreed(&pair, |agreement| agreement.profile.deviations = Deviation::ALL.into());
    let trust = Trust { engine: Engine::Own, ..lenient };
    let check = |sealed: &Sealed, expected: Result<(), (ErrorCode, Option<&str>)>| {
        let outcome = opened(&trust, sealed, NOW);
        let outcome = outcome.as_ref().map(|_| ()).map_err(|refused| {
            let (code, at) = told(refused);
            (code, at.map(str::to_owned))
        });
        assert_eq!(outcome, expected.map_err(|(code, at)| (code, at.map(str::to_owned))));
    };
    let signature = Err((ErrorCode::SecurityFailure, Some("/soap:Envelope/soap:Header/ds:Signature")));
    let one = located(&pair.trader, "decl-1.xml", "decl-1.xml");
    check(&one, Ok(()));
    // The root has the name too, or another part: then it is the name of none.
    let start = "Content-Type: text/xml; charset=UTF-8\r\n";
    let root_too =
        |sealed: &Sealed| edited(sealed, start, &format!("{start}Content-Location: decl-1.xml\r\n"));
    let another_too = |sealed: &Sealed| {
        let boundary =
            sealed.content_type.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next());
        let boundary = boundary.expect("a boundary");
        let part = "Content-ID: <b@x>\r\nContent-Location: decl-1.xml\r\n\r\nx";
        let more = format!("\r\n--{boundary}\r\n{part}\r\n--{boundary}--");
        edited(sealed, &format!("\r\n--{boundary}--"), &more)
    };
    check(&root_too(&one), Err((ErrorCode::MimeProblem, None)));
    check(&another_too(&one), Err((ErrorCode::MimeProblem, None)));

    // One part under both of its names, signed twice.
    let sent = message(&PARTS[..1]);
    let key = pair.trader.signing_key();
    let signer = key.strict();
    let envelope = encode_envelope(&sent).text;
    let signed = |uris: &[&str], manifest: &str| {
        let text = envelope.replace("cid:decl-1@trader.example", manifest);
        let at = text.find("</soap:Header>").expect("the header ends");
        let of_uri =
            |uri: &&str| payload_reference((*uri).into(), &sent.payloads[0], &signer).expect("a reference");
        let (text, references) =
            sign(&text, at, uris.iter().map(of_uri).collect(), &signer, Cover::WithoutNextMsh)
                .expect("signs");
        let (content_type, body) = pack(text, &sent.payloads, "seed").expect("readable");
        let sealed = Sealed { content_type, body, references };
        let id = "Content-ID: <decl-1@trader.example>\r\n";
        edited(&sealed, id, &format!("{id}Content-Location: decl-1.xml\r\n"))
    };
    let cid = "cid:decl-1@trader.example";
    check(&signed(&["decl-1.xml"], cid), Ok(()));
    for shared in [root_too(&signed(&["decl-1.xml"], cid)), another_too(&signed(&["decl-1.xml"], cid))] {
        check(&shared, signature.clone());
    }
    check(&root_too(&signed(&[cid], "decl-1.xml")), Err((ErrorCode::MimeProblem, Some("decl-1.xml"))));
    check(&signed(&[cid, "decl-1.xml"], cid), signature);
    check(&signed(&[cid], "decl-1.xml"), Ok(()));
    // The strict agreement knows no Content-Location in the Manifest either.
    let strict = Trust { engine: Engine::Own, ..pair.trust.clone() };
    let refused = refusal(opened(&strict, &signed(&[cid], "decl-1.xml"), NOW), "by location");
    assert_eq!(told(&refused), (ErrorCode::MimeProblem, Some("decl-1.xml")), "{}", refused.text);
    assert!(opened(&strict, &signed(&[cid], cid), NOW).is_ok());
}

//= ebms2 3.2.2 MAY: a part that the Manifest does not name is dropped from an unsigned message, one without a name too
#[test]
fn a_part_without_a_name_is_dropped_where_others_are() {
    let pair = pair();
    let sent = message(&PARTS[..1]);
    let (content_type, body) =
        pack(encode_envelope(&sent).text, &message(&PARTS).payloads, "seed").expect("readable");
    let more = Sealed { content_type, body, references: Vec::new() };
    let nameless = edited(&more, "Content-ID: <phyto-1@trader.example>\r\n", "");
    let with = |deviations: &[Deviation]| {
        agreed(&pair, |agreement| agreement.profile.deviations = deviations.iter().copied().collect())
    };
    let dropping = [Deviation::UnsignedMessages, Deviation::UnreferencedParts];
    let verified = opened(&with(&dropping), &nameless, NOW).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(verified.message().payloads.len(), 1);
    assert!(verified.deviations().contains(&Deviation::UnreferencedParts));
    let refused = refusal(opened(&with(&dropping[..1]), &nameless, NOW), "a part without a name");
    assert_eq!(told(&refused), (ErrorCode::MimeProblem, None));
    // Beside a signature every part has a name.
    let (content_type, body) =
        pack(text_of(&sealed_by(&pair.trader, &sent)), &message(&PARTS).payloads, "seed").expect("readable");
    let signed = Sealed { content_type, body, references: Vec::new() };
    let signed = edited(&signed, "Content-ID: <phyto-1@trader.example>\r\n", "");
    let refused = refusal(opened(&with(&dropping), &signed, NOW), "a part without a name");
    assert_eq!(told(&refused), (ErrorCode::MimeProblem, None));
}

//= ebms2 3.2.1 MUST: the scheme of a cid URI is read in any case (RFC 3986, 3.1)
#[test]
fn the_scheme_of_a_cid_is_read_in_any_case() {
    let pair = pair();
    let signed_as = |uris: &[&str]| {
        let sent = message(&PARTS[..1]);
        let text = encode_envelope(&sent).text.replace("cid:decl-1@trader.example", uris[0]);
        let at = text.find("</soap:Header>").expect("the header ends");
        let key = pair.trader.signing_key();
        let signer = key.strict();
        let reference = |uri: &&str| payload_reference((*uri).into(), &sent.payloads[0], &signer);
        let signed = uris.iter().map(|uri| reference(uri).expect("a reference")).collect();
        let (text, references) = sign(&text, at, signed, &signer, Cover::WithoutNextMsh).expect("signs");
        let (content_type, body) = pack(text, &sent.payloads, "seed").expect("readable");
        Sealed { content_type, body, references }
    };
    for engine in ENGINES {
        let trust = Trust { engine, ..pair.trust.clone() };
        let verified = opened(&trust, &signed_as(&["CID:decl-1@trader.example"]), NOW);
        let verified = verified.unwrap_or_else(|refusal| panic!("{engine:?} {refusal}"));
        assert_eq!(verified.message().payloads.len(), 1, "{engine:?}");
        let refused =
            refusal(opened(&trust, &signed_as(&["CID:DECL-1@trader.example"]), NOW), "another name");
        assert_eq!(told(&refused).0, ErrorCode::MimeProblem, "{engine:?} {}", refused.text);
        let twice = signed_as(&["cid:decl-1@trader.example", "Cid:decl-1@trader.example"]);
        let refused = refusal(opened(&trust, &twice, NOW), "one part, two References");
        assert_eq!(told(&refused).0, ErrorCode::SecurityFailure, "{engine:?} {}", refused.text);
    }
}
