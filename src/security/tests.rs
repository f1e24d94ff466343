//! `open` and `seal` against each other, against the worked examples of the digest, and against forgeries.

mod agreed;
mod answered;
mod revoked;

use std::sync::Arc;

use bytes::Bytes;
use openssl::x509::X509;
use openssl::x509::extension::KeyUsage;

use super::keystore::Signer;
use super::samples::*;
use super::signature::{Cover, payload_reference, sign};
use super::*;
use crate::codec::envelope::encode_envelope;
use crate::codec::mime::pack;
use crate::model::*;

const DECLARATION: &[u8] = b"<Declaration/>";
const PHYTO: &[u8] = b"%PDF-1.4 \r\n\0\xFF";
const PARTS: [(&str, &[u8]); 2] = [("decl-1@trader.example", DECLARATION), ("phyto-1@trader.example", PHYTO)];

fn pair() -> Pair {
    Pair::new(SignatureAlgorithm::EcdsaSha256)
}

fn sealed_by(identity: &Identity, message: &Message) -> Sealed {
    seal(message, Some(identity.signing_key().strict())).expect("seals")
}

/// A sealed message with `from` replaced in its octets, where it must stand.
fn edited(sealed: &Sealed, from: &str, to: &str) -> Sealed {
    let at = memchr::memmem::find(sealed.body.held(), from.as_bytes()).unwrap_or_else(|| panic!("no {from}"));
    let body = [&sealed.body.held()[..at], to.as_bytes(), &sealed.body.held()[at + from.len()..]].concat();
    Sealed { body: body.into(), ..sealed.clone() }
}

/// A message whose envelope is changed before it is signed, with other references and parts than its own.
fn forged(
    identity: &Identity,
    message: &Message,
    change: impl Fn(String) -> String,
    signed: &[Payload],
    packed: &[Payload],
) -> Sealed {
    let text = change(encode_envelope(message).text);
    let at = text.find("</soap:Header>").expect("the header ends");
    let key = identity.signing_key();
    let signer = key.strict();
    let payloads = signed
        .iter()
        .map(|p| payload_reference(format!("cid:{}", p.content_id).into(), p, &signer).expect("a reference"));
    let (text, references) =
        sign(&text, at, payloads.collect(), &signer, Cover::WithoutNextMsh).expect("signs");
    let (content_type, body) = pack(text, packed, "seed").expect("readable");
    Sealed { content_type, body, references }
}

/// An Acknowledgment of the trader that stands alone, without references.
fn acknowledgment_of(message_id: &str) -> Message {
    let message_id = MessageId::new(message_id).expect("an id");
    let mut signal = message(&[]);
    signal.header.service = Service::msh();
    signal.header.action = "Acknowledgment".into();
    signal.header.data.time_to_live = None;
    signal.header.data.ref_to_message_id = Some(message_id.clone());
    signal.header.duplicate_elimination = false;
    signal.kind = MessageKind::Signal(SignalAction::Acknowledgment);
    (signal.sync_reply, signal.ack_requested) = (false, Vec::new());
    signal.acknowledgments = vec![Acknowledgment {
        actor: Actor::ToPartyMsh,
        timestamp: instant(NOW),
        ref_to_message_id: message_id,
        from: vec![party_id(TRADER)],
        references: Vec::new(),
    }];
    signal
}

fn refusal(outcome: Result<Verified, Refusal>, what: &str) -> Refusal {
    match outcome {
        Ok(verified) => panic!("{what} was let in: {:?}", verified.message()),
        Err(refusal) => refusal,
    }
}

/// The one error that the peer hears.
fn told(refusal: &Refusal) -> (ErrorCode, Option<&str>) {
    match &refusal.answer {
        RefusalAnswer::Errors(errors) => (errors[0].code.clone(), errors[0].location.as_deref()),
        other => panic!("expected errors, found {other:?}"),
    }
}

//= ebms2 4.1.3 MUST: a signature has one Reference for the envelope and one for each payload
//= ebms2 3.2.2 MUST: the payloads of a message are those that its Manifest names, in its order
#[test]
fn what_is_sealed_opens_at_the_partner() {
    for algorithm in [SignatureAlgorithm::RsaSha256, SignatureAlgorithm::EcdsaSha256] {
        let mut pair = Pair::new(algorithm);
        for parts in [&PARTS[..], &PARTS[..1], &[]] {
            let sent = message(parts);
            let sealed = sealed_by(&pair.trader, &sent);
            for engine in [Engine::Own, Engine::Xmlsec, Engine::Both] {
                pair.trust.engine = engine;
                let verified = pair.open(&sealed).unwrap_or_else(|refusal| panic!("{engine:?} {refusal}"));
                assert_eq!((verified.party().as_str(), verified.cpa_id().as_str()), (TRADER, CPA));
                assert!(verified.is_signed());
                let received = verified.message();
                assert_eq!(received.references, sealed.references);
                assert_eq!(received.references.len(), 1 + parts.len());
                assert_eq!(*received, Message { references: sealed.references.clone(), ..sent.clone() });
            }
            for (content_id, body) in parts {
                let content_id = ContentId::new(*content_id).expect("an id");
                let stored = |digest| payload_of(&sealed.content_type, &sealed.body, &content_id, &digest);
                assert_eq!(stored(Digest::of(body)), Ok(body.to_vec().into()), "P6");
                assert_eq!(stored(Digest::of(b"")), Err(PayloadError::Digest(content_id.clone())), "P12");
            }
        }
    }
}

//= ebms2 6.3.2 MAY: From of an Acknowledgment says who gives it
//= ebms2 3.1.1.2 MAY: Role may be absent in a signal
//= ebms2 4.2.4.1 MUST: a forged acknowledgment is not answered
#[test]
fn signals_open_signed_or_not() {
    let pair = pair();
    let mut signal = acknowledgment_of("m@gateway.example");
    signal.acknowledgments[0].references = sealed_by(&pair.trader, &message(&PARTS)).references;
    let signed = pair.open(&sealed_by(&pair.trader, &signal)).expect("opens");
    assert!(signed.is_signed());
    assert_eq!(signed.message().acknowledgments, signal.acknowledgments);
    let unsigned = pair.open(&seal(&signal, None).expect("seals")).expect("opens");
    assert!(!unsigned.is_signed() && unsigned.message().references.is_empty());
    // A signal may come without Role.
    signal.header.from.role = None;
    signal.header.to.role = None;
    assert!(pair.open(&sealed_by(&pair.trader, &signal)).is_ok());

    // A forged acknowledgment is never answered (digest, 9.3).
    let forged = edited(&sealed_by(&pair.trader, &signal), "09:30:01Z", "09:30:02Z");
    let refused = refusal(pair.open(&forged), "a forged acknowledgment");
    assert_eq!(
        (refused.cause, refused.answer, refused.alarm),
        (RefusalCause::Signature, RefusalAnswer::Http(202), true)
    );
}

//= ebms2 4.2.4.1.1 MAY: a sender that cannot be identified hears nothing but a status
#[test]
fn strangers_hear_a_status_and_nothing_else() {
    let pair = pair();
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    for peer in [None, Some(tls("nobody"))] {
        for body in [sealed.body.clone(), Bytes::from_static(b"no message").into()] {
            let wire =
                Wire { content_type: &sealed.content_type, body: &body, origin: Origin::Connection(peer) };
            let refused = refusal(open(&wire, &pair.trust, instant(NOW)), "a stranger's message");
            assert_eq!(
                (refused.cause, &refused.answer),
                (RefusalCause::UnknownPeer, &RefusalAnswer::Http(403))
            );
            assert_eq!((refused.header, refused.party), (None, None));
        }
    }
}

#[test]
fn a_hosted_agency_speaks_from_its_inbox_and_over_no_connection() {
    let pair = pair();
    let mut trust = pair.trust.clone();
    let parties = pair.trust.registry.parties().cloned().map(|mut party| {
        party.tls_certificates.clear();
        party
    });
    trust.registry = Arc::new(Registry::new(parties, pair.trust.registry.agreements().cloned()));
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let opened = |origin| {
        let wire = Wire { content_type: &sealed.content_type, body: &sealed.body, origin };
        open(&wire, &trust, instant(NOW))
            .map(|verified| verified.party().clone())
            .map_err(|refused| refused.cause)
    };
    let key = PartyKey::new(TRADER).expect("a key");
    assert_eq!(opened(Origin::Inbox(key.clone())), Ok(key));
    // Its signing key proves no connection, and no inbox speaks for another (S15).
    let signing = Digest::of(&pair.trader.der());
    assert_eq!(opened(Origin::Connection(Some(signing))), Err(RefusalCause::UnknownPeer));
    let other = PartyKey::new(OTHER).expect("a key");
    assert_eq!(opened(Origin::Inbox(other)), Err(RefusalCause::Identity));
}

#[test]
fn octets_that_are_no_message_are_answered_with_a_fault() {
    let pair = pair();
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let check = |sealed: &Sealed, cause| {
        let refused = refusal(pair.open(sealed), "no message");
        assert_eq!(refused.cause, cause, "{}", refused.text);
        let RefusalAnswer::Fault(fault) = &refused.answer else { panic!("{:?}", refused.answer) };
        assert!(fault.text.contains(&refused.text), "its sender is known and hears why: {}", fault.text);
    };
    check(&edited(&sealed, "Content-ID: <phyto-1", "Content-ID: <decl-1"), RefusalCause::Mime);
    check(&edited(&sealed, "Content-ID: <phyto-1", "Content-ID <phyto-1"), RefusalCause::Mime);
    let other_type = Sealed { content_type: "text/plain".into(), ..sealed.clone() };
    check(&other_type, RefusalCause::Mime);
    check(&edited(&sealed, "<soap:Body>", "<soap:Body"), RefusalCause::Soap);
    check(&edited(&sealed, "<soap:Envelope", "<!DOCTYPE x><soap:Envelope"), RefusalCause::Soap);
}

//= ebms2 3.1.2 MUST: an unknown CPAId is answered with ValueNotRecognized
//=   deviation: the text names NotRecognized, which is in no table of codes
//= ebms2 3.1.2 MUST: a CPAId holds for its two parties, from its start to its end
//= ebms2 3.1.2 MAY: From, To, Role, Service and Action that contradict the CPA are Inconsistent
//= ebms2 3.1.1 MUST: To names us, or the answer is ValueNotRecognized
//= ebms2 3.1.1 MUST: all PartyIds of From name the one party
//= ebms2 3.1.4 MUST: a Service that is not known is answered with ValueNotRecognized
//= ebms2 3.1.5 MUST: an Action that is not known is answered with ValueNotRecognized
//= ebms2 4.1.4.7 MUST: the party of the connection is the From party
#[test]
fn parties_agreements_and_actions_are_those_that_are_registered() {
    let pair = pair();
    let check = |change: &dyn Fn(&mut Message), cause, code: ErrorCode, alarm| {
        let mut message = message(&PARTS);
        change(&mut message);
        let refused = refusal(pair.open(&sealed_by(&pair.trader, &message)), cause_label(cause));
        assert_eq!((refused.cause, refused.alarm), (cause, alarm), "{}", refused.text);
        assert_eq!(told(&refused).0, code);
        assert_eq!(refused.party.as_ref().map(PartyKey::as_str), Some(TRADER));
        assert_eq!(refused.header.as_deref(), Some(&message.header));
    };
    fn cause_label(cause: RefusalCause) -> &'static str {
        cause.label()
    }
    use ErrorCode::{Inconsistent, SecurityFailure, ValueNotRecognized};
    use RefusalCause::{Identity, NotAddressedToUs, NotAgreed, UnknownAgreement};
    check(&|m| m.header.from.ids = vec![party_id(OTHER)], Identity, SecurityFailure, true);
    check(&|m| m.header.from.ids = vec![party_id("nobody")], Identity, SecurityFailure, true);
    check(
        &|m| m.header.from.ids.push(PartyId { kind: Some("urn:other".into()), ..party_id(OTHER) }),
        Identity,
        SecurityFailure,
        true,
    );
    let cpa = |id: &str| CpaId::new(id).expect("an id");
    check(&|m| m.header.cpa_id = cpa("unknown"), UnknownAgreement, ValueNotRecognized, false);
    check(&|m| m.header.cpa_id = cpa("other"), UnknownAgreement, ValueNotRecognized, true);
    check(&|m| m.header.to.ids = vec![party_id(OTHER)], NotAddressedToUs, ValueNotRecognized, false);
    check(&|m| m.header.from.role = Some(role("Customs")), NotAgreed, Inconsistent, false);
    check(&|m| m.header.from.role = None, NotAgreed, Inconsistent, false);
    check(&|m| m.header.to.role = Some(role("Customs")), NotAgreed, Inconsistent, false);
    let service = |value: &str| Service { value: value.into(), kind: None };
    check(&|m| m.header.service = service("urn:swgw:export"), NotAgreed, ValueNotRecognized, false);
    check(&|m| m.header.action = "amend".into(), NotAgreed, ValueNotRecognized, false);

    // The connection is another registered party's.
    let refused =
        refusal(pair.open_from(OTHER, &sealed_by(&pair.trader, &message(&PARTS))), "a stolen message");
    assert_eq!((refused.cause, told(&refused).0), (Identity, SecurityFailure));
    // The agreement has ended.
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let wire = Wire {
        content_type: &sealed.content_type,
        body: &sealed.body,
        origin: Origin::Connection(Some(tls(TRADER))),
    };
    let refused = refusal(open(&wire, &pair.trust, instant("2025-01-01T00:00:00Z")), "a late message");
    assert_eq!(refused.cause, UnknownAgreement);
}

//= ebms2 4.1.3 MUST: the key is the one that the agreement has for the party; KeyInfo only selects (S4)
//= ebms2 4.1.3 MUST: a certificate that is expired or not yet valid signs nothing
//= ebms2 4.2.3.4.2 MUST: a signature that is missing, broken or of somebody else is SecurityFailure
#[test]
fn the_signer_is_registered_for_the_party_and_valid_now() {
    let mut pair = pair();
    let message = message(&PARTS);
    let p256 = SignatureAlgorithm::EcdsaSha256;
    let other = Identity::new(OTHER, p256);
    let mut signing = KeyUsage::new();
    signing.digital_signature();
    let expired = ("2023-01-01T00:00:00Z", "2024-06-11T09:30:00Z");
    let expired = Identity::with(TRADER, samples::key(p256), &signing, expired);
    let early = ("2024-06-11T09:30:02Z", "2044-01-01T00:00:00Z");
    let early = Identity::with(TRADER, samples::key(p256), &signing, early);
    let next = Identity::new(TRADER, p256);
    let registered =
        [(TRADER, &pair.trader), (TRADER, &expired), (TRADER, &early), (TRADER, &next), (OTHER, &other)];
    let registered = registered.map(|(key, identity)| (party(key).key, identity.der()));
    pair.trust.keys = Arc::new(KeyRing::new(registered).expect("a ring"));

    let check = |sealed: &Sealed, expected: Option<RefusalCause>| {
        let outcome = pair.open(sealed);
        assert_eq!(outcome.as_ref().err().map(|refusal| refusal.cause), expected, "{outcome:?}");
        if let Err(refused) = outcome {
            assert_eq!(
                told(&refused),
                (ErrorCode::SecurityFailure, Some("/soap:Envelope/soap:Header/ds:Signature"))
            );
        }
    };
    check(&sealed_by(&pair.trader, &message), None);
    check(&sealed_by(&next, &message), None);
    check(&sealed_by(&other, &message), Some(RefusalCause::UnknownSigner));
    check(&sealed_by(&Identity::new(TRADER, p256), &message), Some(RefusalCause::UnknownSigner));
    check(&sealed_by(&expired, &message), Some(RefusalCause::SignerValidity));
    check(&sealed_by(&early, &message), Some(RefusalCause::SignerValidity));
    check(&seal(&message, None).expect("seals"), Some(RefusalCause::Unsigned));

    // KeyInfo only ever selects: without it every key of the party is tried, with another's it proves nothing.
    let key_info = |sealed: &Sealed| {
        let text = String::from_utf8_lossy(sealed.body.held()).into_owned();
        let (_, rest) = text.split_once("<ds:KeyInfo>").expect("KeyInfo");
        format!("<ds:KeyInfo>{}</ds:KeyInfo>", rest.split_once("</ds:KeyInfo>").expect("its end").0)
    };
    let by_next = sealed_by(&next, &message);
    check(&edited(&by_next, &key_info(&by_next), ""), None);
    let by_stranger = sealed_by(&Identity::new(TRADER, p256), &message);
    check(&edited(&by_stranger, &key_info(&by_stranger), ""), Some(RefusalCause::Signature));
    let ours = key_info(&by_next);
    check(&edited(&by_stranger, &key_info(&by_stranger), &ours), Some(RefusalCause::Signature));
}

//= ebms2 4.2.3.4.2 MUST: a broken payload is SecurityFailure at its cid
#[test]
fn what_was_signed_is_what_is_read() {
    let pair = pair();
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let check = |from: &str, to: &str, cause, code: ErrorCode, at: &str| {
        let refused = refusal(pair.open(&edited(&sealed, from, to)), to);
        assert_eq!((refused.cause, told(&refused)), (cause, (code, Some(at))), "{to}: {}", refused.text);
    };
    use ErrorCode::{MimeProblem, SecurityFailure};
    use RefusalCause::{Manifest, Signature, SignatureProfile};
    let signature = "/soap:Envelope/soap:Header/ds:Signature";
    let decl = "cid:decl-1@trader.example";
    check("<Declaration/>", "<Declaration />", Signature, SecurityFailure, decl);
    check(
        "<eb:Action>lodge",
        "<eb:Action>amend",
        RefusalCause::NotAgreed,
        ErrorCode::ValueNotRecognized,
        "/soap:Envelope/soap:Header/eb:MessageHeader/eb:Action",
    );
    check("24ZZ000417A1", "24ZZ000417A2", Signature, SecurityFailure, signature);
    check("eb:signed=\"true\"", "eb:signed=\"false\"", Signature, SecurityFailure, signature);
    check("#ecdsa-sha256", "#hmac-sha256", SignatureProfile, SecurityFailure, signature);
    check("#ecdsa-sha256", "#ecdsa-sha1", SignatureProfile, SecurityFailure, signature);
    check("xmlenc#sha256", "xmldsig#sha1", SignatureProfile, SecurityFailure, signature);
    check(
        "Content-ID: <phyto-1",
        "Content-ID: <phyto-2",
        Manifest,
        MimeProblem,
        "cid:phyto-1@trader.example",
    );
}

//= ebms2 3.2.2 MUST: a cid without its part is MimeProblem
//= ebms2 3.2.2 SHOULD: a part that no Reference names is discarded
//=   deviation: refused with MimeProblem, as it is not authenticated (S11)
//= ebms2 3.2.2 MAY: two References may name one part
//= ebms2 2.1.4 MUST: every payload is named in the Manifest
#[test]
fn parts_manifest_and_signature_name_the_same_payloads_s11() {
    let pair = pair();
    let whole = message(&PARTS);
    let [first, second] = <[Payload; 2]>::try_from(whole.payloads.clone()).expect("two payloads");
    let one = message(&PARTS[..1]);
    let both = [first.clone(), second.clone()];
    let same = |text: String| text;
    let check = |sealed: Sealed, cause, code: ErrorCode, at: &str| {
        let refused = refusal(pair.open(&sealed), at);
        assert_eq!((refused.cause, told(&refused)), (cause, (code, Some(at))), "{}", refused.text);
    };
    let manifest = RefusalCause::Manifest;
    let (decl, phyto) = ("cid:decl-1@trader.example", "cid:phyto-1@trader.example");
    // A part that the Manifest does not name, signed or not; one that it names and nobody signed.
    check(forged(&pair.trader, &one, same, &both, &both), manifest, ErrorCode::MimeProblem, phyto);
    let first_only = std::slice::from_ref(&first);
    check(forged(&pair.trader, &one, same, first_only, &both), manifest, ErrorCode::MimeProblem, phyto);
    check(forged(&pair.trader, &whole, same, first_only, &both), manifest, ErrorCode::SecurityFailure, phyto);
    // An entry without part, signed or not.
    check(forged(&pair.trader, &whole, same, &both, first_only), manifest, ErrorCode::MimeProblem, phyto);
    check(
        forged(&pair.trader, &whole, same, first_only, first_only),
        manifest,
        ErrorCode::MimeProblem,
        phyto,
    );
    // Swapped parts.
    let swap = |a: &Payload, b: &Payload| Payload { content_id: a.content_id.clone(), ..b.clone() };
    let swapped = [swap(&first, &second), swap(&second, &first)];
    check(
        forged(&pair.trader, &whole, same, &both, &swapped),
        RefusalCause::Signature,
        ErrorCode::SecurityFailure,
        decl,
    );
    // Two entries for one part are one payload.
    let twice = |text: String| text.replace("phyto-1@", "decl-1@");
    let verified = pair.open(&forged(&pair.trader, &whole, twice, first_only, first_only)).expect("opens");
    assert_eq!(verified.message().payloads, first_only);
}

//= ebms2 4.1.3 MUST: blocks that are added for next actors are refused or steer nothing (digest 8.5, both engines)
/// Digest, 8.5: what a standards-conforming verifier lets through.
#[test]
fn injected_elements_are_refused_or_read_as_nothing_s1() {
    let mut pair = pair();
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let text = String::from_utf8_lossy(sealed.body.held()).into_owned();
    let element = |name: &str, actor: &str| {
        let (_, rest) = text.split_once(&format!("<eb:{name} ")).expect("the element");
        let (inner, _) = rest.split_once(&format!("</eb:{name}>")).expect("its end");
        format!("<eb:{name} soap:actor=\"{actor}\" {inner}</eb:{name}>")
    };
    let check = |pair: &Pair, place: &str, injected: &str| {
        for place in [place, "</soap:Header>"] {
            let outcome = pair.open(&edited(&sealed, place, &format!("{injected}{place}")));
            let refused = refusal(outcome, injected);
            let expected = [RefusalCause::Envelope, RefusalCause::Identity];
            assert!(expected.contains(&refused.cause), "{injected}: {refused}");
        }
    };
    for engine in [Engine::Own, Engine::Both] {
        pair.trust.engine = engine;
        for actor in [Actor::SOAP_NEXT, Actor::NEXT_MSH] {
            check(&pair, "<eb:MessageHeader ", &element("MessageHeader", actor));
            check(&pair, "<eb:Manifest ", &element("Manifest", actor));
            let reference =
                format!("<eb:Reference soap:actor=\"{actor}\" xlink:type=\"simple\" xlink:href=\"cid:x\"/>");
            check(&pair, "<eb:Reference ", &reference);
            let party = format!("<eb:PartyId soap:actor=\"{actor}\" eb:type=\"t\">{OTHER}</eb:PartyId>");
            check(&pair, "<eb:PartyId ", &party);
        }
        // An acknowledgment for a next MSH may be there, and is dropped.
        let acknowledgment = format!(
            "<eb:Acknowledgment eb:version=\"2.0\" soap:mustUnderstand=\"1\" soap:actor=\"{}\">\
             <eb:Timestamp>2024-06-11T09:30:00Z</eb:Timestamp><eb:RefToMessageId>m@gateway.example\
             </eb:RefToMessageId></eb:Acknowledgment></soap:Header>",
            Actor::NEXT_MSH
        );
        let injected = edited(&sealed, "</soap:Header>", &acknowledgment);
        assert_eq!(pair.open(&injected).expect("opens").message().acknowledgments, []);
        // A comment splits no value.
        let comment = TRADER.replacen("AG", "AG<!-- -->", 1);
        let commented = edited(&sealed, TRADER, &comment);
        assert_eq!(pair.open(&commented), pair.open(&sealed));
        // Neither several signatures nor one elsewhere.
        let again = format!("{}</soap:Header>", {
            let (_, rest) = text.split_once("<ds:Signature ").expect("a signature");
            let (inner, _) = rest.split_once("</ds:Signature>").expect("its end");
            format!("<ds:Signature {inner}</ds:Signature>")
        });
        let refused = refusal(pair.open(&edited(&sealed, "</soap:Header>", &again)), "two signatures");
        assert!(
            [RefusalCause::Envelope, RefusalCause::SignatureProfile].contains(&refused.cause),
            "{refused}"
        );
    }
}

#[test]
fn an_envelope_past_the_bound_of_the_second_engine_needs_our_own() {
    let mut pair = pair();
    let mut large = message(&PARTS);
    large.header.descriptions = vec![("x".repeat(crate::ffi::ENVELOPE_BYTES_MAX).into(), "en".into())];
    let sealed = sealed_by(&pair.trader, &large);
    pair.trust.engine = Engine::Own;
    assert!(pair.open(&sealed).is_ok());
    for engine in [Engine::Xmlsec, Engine::Both] {
        pair.trust.engine = engine;
        let refused = refusal(pair.open(&sealed), "a large envelope");
        assert_eq!((refused.cause, refused.alarm), (RefusalCause::Engine, false), "{}", refused.text);
    }
}

#[test]
fn the_worked_example_opens() {
    let certificate = include_bytes!("../../tests/conformance/samples/trader.crt");
    let certificate = X509::from_pem(certificate).and_then(|c| c.to_der()).expect("a certificate");
    let id = |value: &str| PartyId { value: value.into(), kind: Some("urn:example:sw:party".into()) };
    let trader = Party { ids: vec![id("TRADER-0417")], ..party(TRADER) };
    let mut terms = agreement("urn:example:sw:cpa:TRADER-0417:SW-GATEWAY:1", TRADER);
    (terms.partner_role, terms.own_role) = (role("Submitter"), role("SingleWindow"));
    terms.actions = vec![ActionBinding {
        direction: Direction::Receive,
        service: "Declaration".into(),
        service_type: Some("urn:example:sw:services".into()),
        action: "Submit".into(),
    }];
    let mut pair = pair();
    pair.trust.own_ids = vec![id("SW-GATEWAY")];
    pair.trust.keys = Arc::new(KeyRing::new([(trader.key.clone(), certificate)]).expect("a ring"));
    pair.trust.registry = Arc::new(Registry::new([trader], [terms]));

    let http = include_bytes!("../../tests/conformance/samples/user.http").as_slice();
    let end = memchr::memmem::find(http, b"\r\n\r\n").expect("headers end");
    assert_eq!(&http[end + 4..], include_bytes!("../../tests/conformance/samples/user.mime").as_slice());
    let sealed = Sealed {
        content_type: "multipart/related; type=\"text/xml\"; boundary=\"=_sw-0417-0001\"; \
                       start=\"<soap@trader-0417.example>\""
            .into(),
        body: Bytes::from_static(&http[end + 4..]).into(),
        references: Vec::new(),
    };
    for engine in [Engine::Own, Engine::Xmlsec, Engine::Both] {
        pair.trust.engine = engine;
        let verified = pair.open(&sealed).expect("opens");
        let bodies: Vec<&[u8]> = verified.message().payloads.iter().map(|p| p.body.held().as_ref()).collect();
        assert_eq!(
            bodies,
            [
                include_bytes!("../../tests/conformance/samples/p1.xml").as_slice(),
                include_bytes!("../../tests/conformance/samples/p2.bin").as_slice()
            ]
        );
    }
}

//= ebms2 4.1.3 MUST: no octet can change what is read from a signed message
/// A changed octet is refused or changes nothing that is read; media types of parts are in no signature.
#[test]
fn no_single_octet_changes_what_is_verified_p7() {
    let mut pair = pair();
    let sealed = sealed_by(&pair.trader, &message(&PARTS));
    let without_media_types = |verified: &Verified| {
        let mut message = verified.message().clone();
        message.payloads.iter_mut().for_each(|payload| payload.media_type = "".into());
        message
    };
    let original = without_media_types(&pair.open(&sealed).expect("opens"));
    let mut opened = 0;
    for at in 0..sealed.body.held().len() {
        let flipped = |mask: u8| {
            let mut body = sealed.body.held().to_vec();
            body[at] ^= mask;
            Sealed { body: body.into(), ..sealed.clone() }
        };
        for mask in [1 << (at % 8), 0x20] {
            let sealed = flipped(mask);
            // The engines are held against each other at some places; everywhere it would take minutes.
            pair.trust.engine = if at % 16 == 0 { Engine::Both } else { Engine::Own };
            match pair.open(&sealed) {
                Ok(verified) => {
                    assert_eq!(without_media_types(&verified), original, "octet {at} ^ {mask}");
                    opened += 1;
                }
                Err(refused) => {
                    assert_ne!(refused.cause, RefusalCause::Engine, "octet {at} ^ {mask}: {refused}")
                }
            }
        }
    }
    assert!(
        opened < sealed.body.held().len() / 4,
        "most octets are covered: {opened} of {} are not",
        sealed.body.held().len()
    );
}
