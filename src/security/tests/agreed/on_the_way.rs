//! What is for another registered party: passed on as its sender said it, and only as far as it is ours to judge.

use super::*;

const BOTH: [&str; 2] = [TRADER, OTHER];

/// Opens what comes over the connection of a party, where these parties have messages passed on.
fn open_with(pair: &Pair, forwards: &[&str], from: &str, sealed: &Sealed) -> Result<Opened, Refusal> {
    let trust = agreed(pair, |agreement| {
        agreement.forwards = forwards.contains(&agreement.partner.as_str());
    });
    let wire = Wire {
        content_type: &sealed.content_type,
        body: &sealed.body,
        origin: Origin::Connection(Some(tls(from))),
    };
    assert!(
        !matches!(open(&wire, &trust, instant(NOW)), Ok(verified) if verified.message().header.to.ids == [party_id(OTHER)])
    );
    open_or_forward(&wire, &trust, instant(NOW))
}

fn passed_on(pair: &Pair, sealed: &Sealed) -> Transit {
    match open_with(pair, &BOTH, TRADER, sealed) {
        Ok(Opened::Elsewhere(transit)) => transit,
        other => panic!("{other:?}"),
    }
}

fn refused(pair: &Pair, forwards: &[&str], from: &str, sealed: &Sealed) -> RefusalCause {
    match open_with(pair, forwards, from, sealed) {
        Err(refusal) => refusal.cause,
        Ok(opened) => panic!("{opened:?}"),
    }
}

/// A message for the other party, under an agreement that is none of ours.
fn onward(parts: &[(&str, &[u8])]) -> Message {
    let mut onward = message(parts);
    onward.header.to.ids = vec![party_id(OTHER)];
    onward.header.cpa_id = CpaId::new("between the two").expect("an id");
    onward
}

/// An Acknowledgment for the other party.
fn acknowledgment() -> Message {
    let mut receipt = acknowledgment_of("m@gateway.example");
    receipt.header.to.ids = vec![party_id(OTHER)];
    receipt
}

//= ebms2 10 MUST: what is for another registered party is passed on where both agree, and only as its sender signed it
#[test]
fn what_is_for_another_party_is_passed_on_where_both_agree_s21() {
    let pair = pair();
    let onward = onward(&PARTS);
    let sealed = sealed_by(&pair.trader, &onward);
    let transit = passed_on(&pair, &sealed);
    assert_eq!((transit.from().as_str(), transit.to().as_str()), (TRADER, OTHER));
    assert_eq!(transit.message().header, onward.header);
    let refused = |forwards: &[&str], from: &str, sealed: &Sealed| refused(&pair, forwards, from, sealed);
    assert_eq!(refused(&[TRADER], TRADER, &sealed), RefusalCause::UnknownAgreement, "not agreed with both");
    assert_eq!(refused(&[OTHER], TRADER, &sealed), RefusalCause::UnknownAgreement);
    assert_eq!(refused(&BOTH, OTHER, &sealed), RefusalCause::Identity, "S4: From is who connects");
    let mut from_elsewhere = onward.clone();
    from_elsewhere.header.from.ids = vec![party_id("somebody")];
    let from_elsewhere = sealed_by(&pair.trader, &from_elsewhere);
    assert_eq!(refused(&BOTH, TRADER, &from_elsewhere), RefusalCause::Identity, "S21: no second hop");
    let mut to_nobody = onward.clone();
    to_nobody.header.to.ids = vec![party_id("nobody")];
    let to_nobody = sealed_by(&pair.trader, &to_nobody);
    assert_eq!(refused(&BOTH, TRADER, &to_nobody), RefusalCause::UnknownAgreement);
    let of_forger = sealed_by(&Identity::new("forger", SignatureAlgorithm::EcdsaSha256), &onward);
    assert_eq!(refused(&BOTH, TRADER, &of_forger), RefusalCause::UnknownSigner, "P7");
    // What is for us stays here, whatever is agreed.
    let ours = open_with(&pair, &BOTH, TRADER, &sealed_by(&pair.trader, &message(&PARTS)));
    assert!(matches!(ours, Ok(Opened::Here(_))));
}

/// P3: it is one message in any package, and whatever is meant for us as the next MSH; another payload makes another.
#[test]
fn what_a_message_says_is_the_same_in_any_package() {
    let pair = pair();
    let sent = onward(&PARTS);
    let sealed = sealed_by(&pair.trader, &sent);
    let content = |sealed: &Sealed| *passed_on(&pair, sealed).content();
    let one = content(&sealed);
    let (_, boundary) = sealed.content_type.split_once("boundary=\"").expect("has a boundary");
    let (boundary, _) = boundary.split_once('"').expect("quoted");
    let content_type = sealed.content_type.replace(boundary, "another").into();
    let mut repackaged = Sealed { content_type, ..sealed.clone() };
    while memchr::memmem::find(repackaged.body.held(), boundary.as_bytes()).is_some() {
        repackaged = edited(&repackaged, boundary, "another");
    }
    assert_eq!(content(&repackaged), one);
    let asking = "<eb:AckRequested eb:version=\"2.0\" soap:mustUnderstand=\"1\" eb:signed=\"false\" \
                  soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"/><eb:AckRequested";
    assert_eq!(content(&edited(&sealed, "<eb:AckRequested", asking)), one);
    let mut others = PARTS;
    others[1].1 = b"another";
    let mut changed = Message { payloads: message(&others).payloads, ..sent.clone() };
    assert_ne!(content(&sealed_by(&pair.trader, &changed)), one);
    changed = sent.clone();
    changed.header.conversation_id = ConversationId::new("another").expect("an id");
    assert_ne!(content(&sealed_by(&pair.trader, &changed)), one);
    // The same of a signal that nobody signed.
    let unsigned = |second: &str| {
        let mut signal = acknowledgment();
        signal.acknowledgments[0].timestamp = instant(&NOW.replace("01Z", second));
        content(&seal(&signal, None).expect("seals"))
    };
    assert_eq!(unsigned("01Z"), unsigned("01Z"));
    assert_ne!(unsigned("01Z"), unsigned("02Z"));
}

//= ebms2 2.3.10 MUST: who is on the way has to understand what is for the next node, and nothing that is for the To Party
#[test]
fn what_only_the_to_party_has_to_judge_is_passed_on() {
    let pair = pair();
    let must = |actor: &str, sent: &Message| {
        let block = format!("<soap:Header><x:x xmlns:x=\"urn:x\" soap:mustUnderstand=\"1\"{actor}/>");
        let change = |text: String| text.replace("<soap:Header>", &block);
        forged(&pair.trader, sent, change, &sent.payloads, &sent.payloads)
    };
    let to_party = " soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"";
    for actor in ["", " soap:actor=\"\"", to_party] {
        passed_on(&pair, &must(actor, &onward(&PARTS)));
        let ours = must(actor, &message(&PARTS));
        assert_eq!(refused(&pair, &BOTH, TRADER, &ours), RefusalCause::Soap, "{actor}: it is for us");
    }
    let next = " soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"";
    assert_eq!(refused(&pair, &BOTH, TRADER, &must(next, &onward(&PARTS))), RefusalCause::Soap);
    // The digests of a receipt are of another's signature.
    let mut receipt = acknowledgment();
    receipt.acknowledgments[0].references = vec![DigestReference {
        uri: "".into(),
        transforms: Vec::new(),
        method: DigestMethod::Sha1,
        value: vec![1; 20],
    }];
    passed_on(&pair, &sealed_by(&pair.trader, &receipt));
}

/// What its sender may do under a profile, or until a day, is told of what is passed on as of everything else.
#[test]
fn what_is_passed_on_says_in_what_it_deviates() {
    let pair = Pair::new(SignatureAlgorithm::RsaSha256);
    let key = pair.trader.signing_key();
    let strict = SigningTerms::strict(SignatureAlgorithm::RsaSha256);
    let check = |signer: Option<Signer<'_>>, expected: &[Deviation]| {
        let sealed = seal(&onward(&PARTS), signer).expect("seals");
        let trust = agreed(&pair, |agreement| {
            agreement.forwards = true;
            agreement.signature.sha1_until = Some(instant("2030-01-01T00:00:00Z"));
            agreement.profile.deviations = [Deviation::UnsignedMessages].into();
        });
        let wire = Wire {
            content_type: &sealed.content_type,
            body: &sealed.body,
            origin: Origin::Connection(Some(tls(TRADER))),
        };
        match open_or_forward(&wire, &Trust { engine: Engine::Own, ..trust }, instant(NOW)) {
            Ok(Opened::Elsewhere(transit)) => {
                assert_eq!(transit.deviations().iter().copied().collect::<Vec<_>>(), expected);
            }
            other => panic!("{other:?}"),
        }
    };
    check(Some(Signer { key: &key, terms: strict }), &[]);
    let sha1 = SigningTerms { digest: DigestMethod::Sha1, ..strict };
    check(Some(Signer { key: &key, terms: sha1 }), &[Deviation::Sha1]);
    check(None, &[Deviation::UnsignedMessages]);
}
