//! What an agreement and its profile let through beside the strict terms, and that it lets through nothing else.

mod names;
mod on_the_way;
mod repeats;

use super::*;

/// The same trust, with other terms in the agreement.
pub(super) fn agreed(pair: &Pair, change: impl Fn(&mut Agreement)) -> Trust {
    let agreements = pair.trust.registry.agreements().cloned().map(|mut agreement| {
        change(&mut agreement);
        agreement
    });
    let registry = Registry::new(pair.trust.registry.parties().cloned(), agreements);
    Trust { registry: Arc::new(registry), ..pair.trust.clone() }
}

fn opened(trust: &Trust, sealed: &Sealed, now: &str) -> Result<Verified, Refusal> {
    let wire = Wire {
        content_type: &sealed.content_type,
        body: &sealed.body,
        origin: Origin::Connection(Some(tls(TRADER))),
    };
    open(&wire, trust, instant(now))
}

const ENGINES: [Engine; 3] = [Engine::Own, Engine::Xmlsec, Engine::Both];

//= ebms2 4.1.3 MUST: an algorithm that is not agreed is refused before it is computed, and good signatures with it (S4, S6)
#[test]
fn the_strict_agreement_refuses_good_signatures_on_other_terms() {
    let rsa = Pair::new(SignatureAlgorithm::RsaSha256);
    let ec = pair();
    let strict = SigningTerms::strict(SignatureAlgorithm::RsaSha256);
    let check = |pair: &Pair, terms: SigningTerms, expected: &str| {
        let key = pair.trader.signing_key();
        let sealed = seal(&message(&PARTS[..1]), Some(Signer { key: &key, terms })).expect("seals");
        for engine in ENGINES {
            let trust = Trust { engine, ..pair.trust.clone() };
            let refused = refusal(opened(&trust, &sealed, NOW), expected);
            assert_eq!(refused.cause, RefusalCause::SignatureProfile, "{engine:?} {}", refused.text);
            assert!(refused.text.contains(expected), "{engine:?} {expected}: {}", refused.text);
            assert_eq!(told(&refused).0, ErrorCode::SecurityFailure);
        }
    };
    for algorithm in SignatureAlgorithm::ALL {
        use SignatureAlgorithm as A;
        let pair = match algorithm {
            A::RsaSha256 | A::EcdsaSha256 => continue,
            A::EcdsaSha384 | A::EcdsaSha512 => &ec,
            A::Ed25519 => &Pair::new(algorithm),
            _ => &rsa,
        };
        check(pair, SigningTerms { algorithm, ..strict }, algorithm.uri());
    }
    for digest in [DigestMethod::Sha1, DigestMethod::Sha384, DigestMethod::Sha512] {
        check(&rsa, SigningTerms { digest, ..strict }, digest.uri());
    }
    for canonicalization in [Canonicalization::Xml11, Canonicalization::Exclusive] {
        check(&rsa, SigningTerms { canonicalization, ..strict }, canonicalization.uri());
    }
    check(&rsa, SigningTerms { payload_transforms: true, ..strict }, "a transform of a payload");
}

//= ebms2 4.1.3 MUST: a Reference names the message or one of its parts, and no HMAC or unknown algorithm is computed (S4, S5)
#[test]
fn the_strict_agreement_refuses_hostile_references_and_methods() {
    let pair = pair();
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let check = |from: &str, to: &str, expected: &str| {
        let sealed = edited(&sealed, from, to);
        for engine in ENGINES {
            let refused = refusal(opened(&Trust { engine, ..pair.trust.clone() }, &sealed, NOW), to);
            assert_eq!(refused.cause, RefusalCause::SignatureProfile, "{engine:?} {to}: {}", refused.text);
            assert!(refused.text.contains(expected), "{engine:?} {to}: {}", refused.text);
        }
    };
    for uri in ["file:///etc/passwd", "http://127.0.0.1/", "decl.xml", "../decl.xml", "#hdr", "cid:"] {
        check("URI=\"cid:decl-1@trader.example\"", &format!("URI=\"{uri}\""), "no part of the message");
    }
    for method in
        ["2000/09/xmldsig#hmac-sha1", "2001/04/xmldsig-more#hmac-sha256", "2000/09/xmldsig#dsa-sha1"]
    {
        check("2001/04/xmldsig-more#ecdsa-sha256", method, "SignatureMethod");
    }
    check("2001/04/xmlenc#sha256", "2001/04/xmldsig-more#md5", "DigestMethod");
}

//= ebms2 4.1.3 MUST: what an agreement names beside the strict terms verifies, and tells what deviates
#[test]
fn what_is_agreed_opens() {
    let algorithms = SignatureAlgorithm::agreeable();
    for (algorithm, digest) in
        algorithms.zip(DigestMethod::agreeable().collect::<Vec<_>>().into_iter().cycle())
    {
        let pair = Pair::new(algorithm);
        let key = pair.trader.signing_key();
        let trust = agreed(&pair, |agreement| {
            agreement.signature.accepted = vec![algorithm];
            agreement.signature.digests = vec![digest];
            agreement.signature.canonicalizations = Canonicalization::ALL.to_vec();
            agreement.profile.deviations.insert(Deviation::PayloadTransforms);
        });
        for canonicalization in Canonicalization::ALL {
            for payload_transforms in [false, true] {
                let terms = SigningTerms { algorithm, digest, canonicalization, payload_transforms };
                let sealed = seal(&message(&PARTS[..1]), Some(Signer { key: &key, terms })).expect("seals");
                let verified = opened(&Trust { engine: Engine::Own, ..trust.clone() }, &sealed, NOW)
                    .unwrap_or_else(|refusal| panic!("{terms:?} {refusal}"));
                let transformed = verified.deviations().contains(&Deviation::PayloadTransforms);
                assert_eq!(
                    (transformed, verified.deviations().len()),
                    (payload_transforms, usize::from(payload_transforms))
                );
            }
        }
    }
}

//= ebms2 3.1.1.2 MAY: the Role is that of the Action, where an agreement knows several; a signal has any of them
#[test]
fn a_role_is_that_of_its_action() {
    let pair = pair();
    let sent = message(&PARTS[..1]);
    let (service, action) = (sent.header.service.value.clone(), sent.header.action.clone());
    let other = |actions: Vec<(Direction, Arc<str>, Arc<str>)>| {
        agreed(&pair, |agreement| {
            let (own_role, partner_role) = (role("Authority"), role("Applicant"));
            let terms = Agreement { own_role, partner_role, ..agreement.clone() };
            agreement.overrides = vec![Override { actions: actions.clone(), agreement: terms }];
        })
    };
    let of_action = other(vec![(Direction::Receive, service.clone(), action.clone())]);
    let of_another = other(vec![(Direction::Receive, service.clone(), "Another".into())]);
    let sent_by = |message: &Message, from: &str, to: &str| {
        let mut message = message.clone();
        message.header.from.role = Some(role(from));
        message.header.to.role = Some(role(to));
        sealed_by(&pair.trader, &message)
    };
    let usual = sent_by(&sent, "Declarant", "SingleWindow");
    let others = sent_by(&sent, "Applicant", "Authority");
    assert!(opened(&of_action, &others, NOW).is_ok() && opened(&of_another, &usual, NOW).is_ok());
    for (trust, sealed) in [(&of_action, &usual), (&of_another, &others)] {
        let refused = refusal(opened(trust, sealed, NOW), "the Role of another Action");
        assert_eq!((refused.cause, told(&refused).0), (RefusalCause::NotAgreed, ErrorCode::Inconsistent));
    }
    let mixed = sent_by(&sent, "Applicant", "SingleWindow");
    assert!(refusal(opened(&of_action, &mixed, NOW), "mixed").text.contains("To another Role"));

    let mut ping = message(&[]);
    (ping.kind, ping.manifest) = (MessageKind::Signal(SignalAction::Ping), None);
    (ping.header.service, ping.header.action) = (Service::msh(), "Ping".into());
    (ping.sync_reply, ping.ack_requested) = (false, Vec::new());
    for (from, to) in [("Declarant", "SingleWindow"), ("Applicant", "Authority")] {
        assert!(opened(&of_action, &sent_by(&ping, from, to), NOW).is_ok(), "{from}");
    }
    refusal(opened(&of_action, &sent_by(&ping, "Inspector", "Authority"), NOW), "nobody's");
}

//= ebms2 4.1.3 MUST: SHA-1 is accepted until the day that the agreement names, and told
#[test]
fn sha1_ends_on_its_day() {
    let pair = Pair::new(SignatureAlgorithm::RsaSha256);
    let key = pair.trader.signing_key();
    let strict = SigningTerms::strict(SignatureAlgorithm::RsaSha256);
    let trust = agreed(&pair, |agreement| agreement.signature.sha1_until = Some(instant(NOW)));
    let own = Trust { engine: Engine::Own, ..trust.clone() };
    let before = "2024-06-11T09:30:00Z";
    assert_eq!(instant(NOW).as_millis() - instant(before).as_millis(), 1000);
    for terms in [
        SigningTerms { algorithm: SignatureAlgorithm::RsaSha1, ..strict },
        SigningTerms { digest: DigestMethod::Sha1, ..strict },
    ] {
        let sealed = seal(&message(&PARTS), Some(Signer { key: &key, terms })).expect("seals");
        let verified = opened(&own, &sealed, before).expect("one second before");
        assert_eq!(verified.deviations().iter().collect::<Vec<_>>(), [&Deviation::Sha1]);
        for past in [NOW, "2024-06-11T09:30:02Z"] {
            let refused = refusal(opened(&own, &sealed, past), past);
            assert_eq!(refused.cause, RefusalCause::SignatureProfile, "{}", refused.text);
        }
        // libxmlsec1 is not asked about SHA-1: where it must agree, the day does not help.
        for engine in [Engine::Xmlsec, Engine::Both] {
            let refused = refusal(opened(&Trust { engine, ..trust.clone() }, &sealed, before), before);
            assert_eq!(refused.cause, RefusalCause::Engine, "{}", refused.text);
        }
    }
}

//= ebms2 4.1.3 MAY: a partner profile lets a partner do what the strict one refuses, one deviation at a time, and told
#[test]
fn a_deviation_opens_where_its_profile_allows_it_and_nowhere_else() {
    use Deviation::{
        ContentLocation, MidReferences, MissingRefToMessageId, MissingRole, NoActorFilter, PayloadTransforms,
        SignalParts, SignalSchema, UnreferencedParts, UnsignedMessages,
    };
    let pair = pair();
    let check = |sealed: &Sealed, needed: &[Deviation], signed: bool| {
        let needed: std::collections::BTreeSet<_> = needed.iter().copied().collect();
        for engine in ENGINES {
            let with = |deviations: std::collections::BTreeSet<Deviation>| {
                let trust = agreed(&pair, |agreement| agreement.profile.deviations = deviations.clone());
                opened(&Trust { engine, ..trust }, sealed, NOW)
            };
            for one in &needed {
                let others = Deviation::ALL.into_iter().filter(|other| other != one).collect();
                refusal(with(others), one.as_str());
            }
            // libxmlsec1 is not asked about parts by their Content-Location: settings that would need it are refused.
            if engine != Engine::Own && needed.contains(&ContentLocation) {
                let refused = refusal(with(needed.clone()), "a part by its Content-Location");
                assert_eq!(refused.cause, RefusalCause::Engine, "{engine:?} {}", refused.text);
                continue;
            }
            let verified =
                with(needed.clone()).unwrap_or_else(|refusal| panic!("{engine:?} {needed:?} {refusal}"));
            assert_eq!((verified.deviations(), verified.is_signed()), (&needed, signed), "{engine:?}");
        }
    };
    let sent = message(&PARTS[..1]);
    check(&seal(&sent, None).expect("seals"), &[UnsignedMessages], false);
    let mut without_role = sent.clone();
    without_role.header.from.role = None;
    check(&sealed_by(&pair.trader, &without_role), &[MissingRole], true);
    let (content_type, body) =
        pack(encode_envelope(&sent).text, &message(&PARTS).payloads, "seed").expect("readable");
    let more = Sealed { content_type, body, references: Vec::new() };
    check(&more, &[UnsignedMessages, UnreferencedParts], false);
    check(&located(&pair.trader, "decl-1.xml", "decl-1.xml"), &[ContentLocation], true);
    // An Acknowledgment that tells more, in parts and in a Manifest.
    let signal = encode_envelope(&acknowledgment_of("m@gateway.example")).text;
    let package = |text: &str, payloads: &[Payload]| {
        let (content_type, body) = pack(text.to_owned(), payloads, "seed").expect("readable");
        Sealed { content_type, body, references: Vec::new() }
    };
    check(&package(&signal, &sent.payloads), &[SignalParts], false);
    let (_, manifest) = text_of(&seal(&sent, None).expect("seals"))
        .split_once("<soap:Body>")
        .map(|(before, body)| (before.to_owned(), body.to_owned()))
        .expect("a Body");
    let (manifest, _) = manifest.split_once("</soap:Body>").expect("it ends");
    let (before, _) = signal.split_once("<soap:Body").expect("a Body");
    let told = format!("{before}<soap:Body>{manifest}</soap:Body></soap:Envelope>");
    let told =
        told.replacen("<soap:Envelope ", "<soap:Envelope xmlns:xlink=\"http://www.w3.org/1999/xlink\" ", 1);
    check(&package(&told, &sent.payloads), &[SignalParts], false);
    check(&package(&told, &[]), &[SignalParts], false);
    // A careless Acknowledgment, whose fields that matter are there (digest, 4.4 and 19.27).
    let without = |what: &str| {
        assert!(signal.contains(what), "{what} stands in {signal}");
        package(&signal.replacen(what, "", 1), &[])
    };
    check(&without(" soap:mustUnderstand=\"1\""), &[SignalSchema], false);
    let own = "<eb:RefToMessageId>m@gateway.example</eb:RefToMessageId>";
    check(&without(own), &[MissingRefToMessageId], false);
    // A Manifest that names another message, and a part of this one.
    let large = "<eb:Manifest eb:version=\"2.0\"><eb:Reference xlink:type=\"simple\" xlink:href=\"MID:large@trader.example\"/>";
    let named = |text: String| text.replace("<eb:Manifest eb:version=\"2.0\">", large);
    let (content_type, body) =
        pack(named(encode_envelope(&sent).text), &sent.payloads, "seed").expect("readable");
    let large = Sealed { content_type, body, references: Vec::new() };
    check(&large, &[UnsignedMessages, MidReferences], false);
    check(&forged(&pair.trader, &sent, named, &sent.payloads, &sent.payloads), &[MidReferences], true);

    // What our own signatures never are is signed by libxmlsec1.
    let c14n = Canonicalization::Xml10.uri();
    let (before, rest) = text_of(&sealed_by(&pair.trader, &sent))
        .split_once("<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\">")
        .map(|(before, rest)| (before.to_owned(), rest.to_owned()))
        .expect("the filter");
    let after = rest.split_once("</ds:Transform>").expect("its end").1;
    check(
        &signed_by_libxmlsec1(&pair.trader, &[before.as_str(), after].concat(), &sent),
        &[NoActorFilter],
        true,
    );
    let reference = "<ds:Reference URI=\"cid:decl-1@trader.example\">";
    let transformed = text_of(&sealed_by(&pair.trader, &sent)).replace(
        reference,
        &format!("{reference}<ds:Transforms><ds:Transform Algorithm=\"{c14n}\"/></ds:Transforms>"),
    );
    check(&signed_by_libxmlsec1(&pair.trader, &transformed, &sent), &[PayloadTransforms], true);
}

//= ebms2 4.3.1 MUST: SyncReply is missing only where the profile of the agreement allows it, and that is counted
#[test]
fn a_missing_sync_reply_is_counted_where_it_is_allowed_and_missing() {
    let pair = pair();
    let check = |mode: SyncReplyMode, sync_reply: bool, allowed: bool, expected: bool| {
        let trust = agreed(&pair, |agreement| {
            agreement.sync_reply_mode = mode;
            let deviation = allowed.then_some(Deviation::MissingSyncReply);
            agreement.profile.deviations = deviation.into_iter().collect();
        });
        let sent = Message { sync_reply, ..message(&PARTS) };
        let verified =
            opened(&trust, &sealed_by(&pair.trader, &sent), NOW).expect("what is missing is judged later");
        let expected: Vec<_> = expected.then_some(&Deviation::MissingSyncReply).into_iter().collect();
        assert_eq!(
            verified.deviations().iter().collect::<Vec<_>>(),
            expected,
            "{mode:?} {sync_reply} {allowed}"
        );
    };
    check(SyncReplyMode::MshSignalsOnly, false, true, true);
    check(SyncReplyMode::MshSignalsOnly, false, false, false);
    check(SyncReplyMode::MshSignalsOnly, true, true, false);
    check(SyncReplyMode::None, false, true, false);
}

/// The envelope of a sealed message.
fn text_of(sealed: &Sealed) -> String {
    let package = crate::codec::mime::unpack(&sealed.content_type, &sealed.body, &Default::default())
        .expect("a package");
    String::from_utf8(package.root.body.to_vec()).expect("UTF-8")
}

/// An envelope whose signature libxmlsec1 makes anew, packed with the payloads of the message.
fn signed_by_libxmlsec1(identity: &Identity, text: &str, message: &Message) -> Sealed {
    let mut template = text.to_owned();
    for name in ["ds:DigestValue", "ds:SignatureValue"] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let emptied = template.split_inclusive(&close).map(|piece| match piece.split_once(&open) {
            Some((before, _)) => [before, &open, &close].concat(),
            None => piece.to_owned(),
        });
        template = emptied.collect();
    }
    let key = identity.key.private_key_to_pkcs8().expect("PKCS #8");
    let key = crate::ffi::PrivateKey::from_pkcs8_der(&key).expect("a private key");
    let parts: Vec<_> =
        message.payloads.iter().map(|p| (p.content_id.as_str(), p.body.held().as_ref())).collect();
    let engine = crate::ffi::XmlSec::init().expect("libxmlsec1 starts");
    let signed = engine.sign(template.as_bytes(), &parts, &key).expect("signs");
    let (content_type, body) = pack(signed, &message.payloads, "seed").expect("readable");
    Sealed { content_type, body, references: Vec::new() }
}

/// A message with one part that has a Content-Location and no Content-ID; Manifest and signature name it by `uri`.
fn located(identity: &Identity, location: &str, uri: &str) -> Sealed {
    let sent = message(&PARTS[..1]);
    let text = encode_envelope(&sent).text.replace("cid:decl-1@trader.example", uri);
    let at = text.find("</soap:Header>").expect("the header ends");
    let key = identity.signing_key();
    let signer = key.strict();
    let reference = payload_reference(uri.into(), &sent.payloads[0], &signer).expect("a reference");
    let (text, references) = sign(&text, at, vec![reference], &signer, Cover::WithoutNextMsh).expect("signs");
    let (content_type, body) = pack(text, &sent.payloads, "seed").expect("readable");
    let sealed = Sealed { content_type, body, references };
    edited(&sealed, "Content-ID: <decl-1@trader.example>", &format!("Content-Location: {location}"))
}

/// A trust that takes payload transforms and nothing else that libxmlsec1 does not know.
fn lenient_to_both(pair: &Pair) -> Trust {
    agreed(pair, |agreement| agreement.profile.deviations = [Deviation::PayloadTransforms].into())
}

/// What libxml2 has no bound for is refused before it parses, and who cannot sign gets nothing parsed (S6, S8).
#[test]
fn payloads_reach_the_second_engine_within_our_bounds() {
    let pair = Pair::new(SignatureAlgorithm::RsaSha256);
    let key = pair.trader.signing_key();
    let terms = SigningTerms { payload_transforms: true, ..key.strict_terms() };
    let sealed = seal(&message(&PARTS[..1]), Some(Signer { key: &key, terms })).expect("seals");
    let attributes: String = (0..129).map(|n| format!(" a{n}=\"\"")).collect();
    let wide = edited(&sealed, "<Declaration/>", &format!("<Declaration{attributes}/>"));
    let garbage = |sealed: &Sealed| {
        let text = text_of(sealed);
        let (_, rest) = text.split_once("<ds:SignatureValue>").expect("a value");
        let (value, _) = rest.split_once("</ds:SignatureValue>").expect("its end");
        edited(sealed, value, "AAAA")
    };
    let cause = |sealed: &Sealed, engine: Engine| {
        let refused = refusal(opened(&Trust { engine, ..lenient_to_both(&pair) }, sealed, NOW), "garbage");
        (refused.cause, refused.text)
    };
    for sealed in [wide.clone(), garbage(&wide)] {
        let (found, text) = cause(&sealed, Engine::Xmlsec);
        assert_eq!(found, RefusalCause::SignatureProfile, "{text}");
        assert!(text.contains("128 attributes"), "{text}");
    }
    for engine in [Engine::Own, Engine::Both] {
        assert_eq!(cause(&garbage(&wide), engine).0, RefusalCause::Signature, "{engine:?}");
    }
    // Also where the second engine would say that it does not know the algorithm.
    let terms = SigningTerms { algorithm: SignatureAlgorithm::RsaPssSha256, ..key.strict_terms() };
    let sealed = seal(&message(&PARTS[..1]), Some(Signer { key: &key, terms })).expect("seals");
    let trust = agreed(&pair, |agreement| agreement.signature.accepted = vec![terms.algorithm]);
    let trust = Trust { engine: Engine::Both, ..trust };
    assert_eq!(refusal(opened(&trust, &garbage(&sealed), NOW), "garbage").cause, RefusalCause::Signature);
    assert_eq!(refusal(opened(&trust, &sealed, NOW), "not known").cause, RefusalCause::Engine);
}

//= ebms2 4.1.3 MUST: the strict agreement takes P-256 with SHA-256, and no other curve
#[test]
fn the_strict_agreement_takes_one_curve() {
    let pair = Pair::new(SignatureAlgorithm::EcdsaSha384);
    let key = pair.trader.signing_key();
    let terms = SigningTerms::strict(SignatureAlgorithm::EcdsaSha256);
    let sealed = seal(&message(&PARTS), Some(Signer { key: &key, terms })).expect("seals");
    for engine in ENGINES {
        let refused = refusal(opened(&Trust { engine, ..pair.trust.clone() }, &sealed, NOW), "P-384");
        assert_eq!(refused.cause, RefusalCause::Signature, "{engine:?} {}", refused.text);
    }
}

/// Without KeyInfo every key of the party is tried, also those that cannot have made such a signature.
#[test]
fn keys_of_both_kinds_are_tried() {
    let pair = pair();
    let rsa = Identity::new(TRADER, SignatureAlgorithm::RsaSha256);
    let registered = [&pair.trader, &rsa].map(|identity| (party(TRADER).key, identity.der()));
    let keys = Arc::new(KeyRing::new(registered).expect("a ring"));
    for identity in [&pair.trader, &rsa] {
        let sealed = sealed_by(identity, &message(&PARTS));
        let text = text_of(&sealed);
        let (_, rest) = text.split_once("<ds:KeyInfo>").expect("KeyInfo");
        let key_info =
            format!("<ds:KeyInfo>{}</ds:KeyInfo>", rest.split_once("</ds:KeyInfo>").expect("its end").0);
        for engine in ENGINES {
            let trust = Trust { engine, keys: keys.clone(), ..pair.trust.clone() };
            opened(&trust, &edited(&sealed, &key_info, ""), NOW).unwrap_or_else(|r| panic!("{engine:?} {r}"));
        }
    }
}

//= ebms2 6.3.2 SHOULD: in what a signal breaks the schema is told with it
//= ebms2 B.2.2 MUST: a message with another SOAPAction than "ebXML" is taken where that is agreed, and told
#[test]
fn the_strict_profile_survives_careless_peers_and_tells_of_them() {
    let pair = pair();
    let signal = encode_envelope(&acknowledgment_of("m@gateway.example")).text;
    let careless = |text: &str| Sealed {
        content_type: "text/xml; charset=UTF-8".into(),
        body: text.to_owned().into(),
        references: Vec::new(),
    };
    let deviations = |verified: &Verified| verified.deviations().iter().copied().collect::<Vec<_>>();
    let clean = opened(&pair.trust, &careless(&signal), NOW).expect("is in order");
    assert_eq!((deviations(&clean), clean.schema_findings()), (vec![], &[][..]));
    let text = signal.replacen(" soap:mustUnderstand=\"1\"", "", 1);
    let taken = opened(&pair.trust, &careless(&text), NOW).expect("is survived");
    let [finding] = taken.schema_findings() else { panic!("one: {:?}", taken.schema_findings()) };
    assert_eq!(deviations(&taken), [Deviation::SignalSchema]);
    assert!(finding.description.contains("mustUnderstand"), "{finding:?}");

    let posted = Opened::Here(clean.clone()).with_other_soap_action(&pair.trust, instant(NOW));
    match posted.expect("is survived") {
        Opened::Here(verified) => assert_eq!(deviations(&verified), [Deviation::SoapAction]),
        other => panic!("{other:?}"),
    }
    let nothing = agreed(&pair, |agreement| agreement.profile.deviations.clear());
    let refused = Opened::Here(clean).with_other_soap_action(&nothing, instant(NOW)).expect_err("not agreed");
    assert_eq!(
        (refused.cause, refused.party.as_ref().map(PartyKey::as_str)),
        (RefusalCause::SoapAction, Some(TRADER))
    );
}
