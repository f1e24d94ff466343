//! What makes a repeat the same, where a signature does not say it.

use super::*;

//= ebms2 6.3.2.5 MUST: the receipt for a message without signature has the references that one would have
#[test]
fn an_unsigned_message_is_digested_for_its_receipt() {
    let pair = pair();
    let trust = agreed(&pair, |agreement| agreement.profile.deviations = Deviation::ALL.into());
    let mut sent = message(&PARTS);
    let verified = opened(&trust, &seal(&sent, None).expect("seals"), NOW).expect("opens");
    assert_eq!(verified.message().references, sealed_by(&pair.trader, &sent).references);
    assert!(!verified.is_signed());
    // Without a receipt they still say what a repeat of it is.
    sent.ack_requested.clear();
    let verified = opened(&trust, &seal(&sent, None).expect("seals"), NOW).expect("opens");
    assert_eq!(verified.message().references, sealed_by(&pair.trader, &sent).references);
}

/// Nobody signed an unsigned message: everything of it that steers is compared (P3).
#[test]
fn a_repeat_of_an_unsigned_message_is_the_same_in_everything_that_steers() {
    let pair = pair();
    let trust = agreed(&pair, |agreement| agreement.profile.deviations = Deviation::ALL.into());
    let content = |sealed: &Sealed| {
        let verified = opened(&trust, sealed, NOW).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert!(!verified.is_signed());
        verified.message().content_digest(false)
    };
    for ask in [true, false] {
        let mut sent = message(&PARTS);
        if !ask {
            sent.ack_requested.clear();
        }
        let sealed = seal(&sent, None).expect("seals");
        let known = content(&sealed);
        assert_eq!(content(&sealed), known, "a repeat");
        // The package may be packed anew: parts in another order, with another boundary.
        let (content_type, body) =
            pack(text_of(&sealed), &[sent.payloads[1].clone(), sent.payloads[0].clone()], "another seed")
                .expect("readable");
        assert_eq!(content(&Sealed { content_type, body, references: Vec::new() }), known, "packed anew");
        let other = |from: &str, to: &str| {
            assert_ne!(content(&edited(&sealed, from, to)), known, "{from} -> {to}");
        };
        other("urn:swgw:doc:GOVCBR929", "urn:swgw:doc:GOVCBR930");
        other("<Declaration/>", "<Declaration />");
        other("\r\nContent-Type: application/xml", "\r\nContent-Type: application/pdf");
        other("24ZZ000417A1", "24ZZ000417A2");
        let change = |change: &dyn Fn(&mut Message)| {
            let mut other = sent.clone();
            change(&mut other);
            assert_ne!(content(&seal(&other, None).expect("seals")), known, "{other:?}");
        };
        change(&|message| {
            message.payloads[0].content_id = ContentId::new("other@trader.example").expect("an id");
            message.manifest.as_mut().expect("a manifest").references[0].href =
                "cid:other@trader.example".into();
        });
        change(&|message| message.header.data.time_to_live = None);
        change(&|message| message.header.duplicate_elimination = false);
        change(&|message| {
            message.payloads.swap(0, 1);
            message.manifest.as_mut().expect("a manifest").references.swap(0, 1);
        });
        let asked = AckRequested { actor: Actor::ToPartyMsh, signed: !ask };
        change(&|message| message.ack_requested = vec![asked]);
    }
}

/// The canonical form covers less than the octets that are handed on: a repeat has the same octets (P3, P6, P7).
#[test]
fn what_is_signed_in_canonical_form_is_compared_by_its_octets_too() {
    let pair = pair();
    let trust = agreed(&pair, |agreement| agreement.profile.deviations = Deviation::ALL.into());
    let trust = Trust { engine: Engine::Own, ..trust };
    let key = pair.trader.signing_key();
    let terms = SigningTerms { payload_transforms: true, ..key.strict_terms() };
    let sealed = seal(&message(&PARTS[..1]), Some(Signer { key: &key, terms })).expect("seals");
    let rewritten = edited(&sealed, "<Declaration/>", "<Declaration></Declaration>");
    let [first, second] = [&sealed, &rewritten].map(|sealed| opened(&trust, sealed, NOW).expect("opens"));
    assert_eq!(first.message().references, second.message().references, "the signature is of both");
    assert_ne!(first.message().content_digest(true), second.message().content_digest(true));
    assert_eq!(
        first.message().content_digest(true),
        opened(&trust, &sealed, NOW).expect("opens").message().content_digest(true)
    );

    // What the signature does not cover and a reader could see is refused.
    let check = |text: &str| {
        let hidden = edited(&sealed, "<Declaration/>", text);
        for engine in ENGINES {
            let trust = Trust { engine, ..lenient_to_both(&pair) };
            let refused = refusal(opened(&trust, &hidden, NOW), text);
            assert_eq!(refused.cause, RefusalCause::SignatureProfile, "{engine:?} {text}: {}", refused.text);
        }
    };
    check("<Declaration><!-- of another --></Declaration>");
    check("<!-- of another --><Declaration/>");
    check("<Declaration/><!-- of another -->");
    check("<Declaration><?php x?></Declaration>");
}
