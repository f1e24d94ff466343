//! What is signed with a certificate that is on a revocation list: refused as it comes in, and left as it was when it
//! was let in before.

use openssl::x509::X509Ref;

use super::*;

/// The pair, where the list of this issuer has these certificates of the trader's on it.
fn revoking(pair: &Pair, registered: &[&Identity], issuer: &Identity, revoked: &[&X509Ref]) -> Trust {
    let mut lists = RevocationLists::default();
    lists.add_pem(&revocation_list(issuer, revoked)).expect("a list");
    let key = party(TRADER).key;
    let certificates = registered.iter().map(|identity| (key.clone(), identity.der()));
    let keys = Arc::new(KeyRing::with_revoked(certificates, &lists).expect("a ring"));
    let trust = agreed::agreed(pair, |agreement| agreement.forwards = true);
    Trust { keys, ..trust }
}

fn opened(trust: &Trust, origin: Origin, sealed: &Sealed) -> Result<Opened, Refusal> {
    let wire = Wire { content_type: &sealed.content_type, body: &sealed.body, origin };
    open_or_forward(&wire, trust, instant(NOW))
}

//= ebms2 4.1.3 MUST: a certificate that is on a revocation list signs nothing
/// Messages, receipts and what is passed on alike; another certificate of the same party is worth what it was.
#[test]
fn what_a_revoked_certificate_signs_is_refused_s16() {
    let pair = pair();
    // Each signs itself, and is its own issuer.
    let next = Identity::new("the next one", SignatureAlgorithm::EcdsaSha256);
    let registered = [&pair.trader, &next];
    let mut onward = message(&PARTS);
    onward.header.to.ids = vec![party_id(OTHER)];
    onward.header.cpa_id = CpaId::new("between the two").expect("an id");
    let none = revoking(&pair, &registered, &pair.trader, &[]);
    let of_another = revoking(&pair, &registered, &next, &[&pair.trader.certificate]);
    let revoked = revoking(&pair, &registered, &pair.trader, &[&pair.trader.certificate]);
    let connection = || Origin::Connection(Some(tls(TRADER)));
    for (what, sent, answered) in [
        ("a message", message(&PARTS), true),
        ("a receipt", acknowledgment_of("m@gateway.example"), false),
        ("what is for another party", onward, true),
    ] {
        let (by_trader, by_next) = (sealed_by(&pair.trader, &sent), sealed_by(&next, &sent));
        for trust in [&none, &of_another] {
            let outcome = opened(trust, connection(), &by_trader);
            // The list of the next one has its serial number, which is that of the trader's too.
            assert!(outcome.is_ok(), "{what}: {outcome:?}");
        }
        let refused = opened(&revoked, connection(), &by_trader).expect_err(what);
        assert_eq!((refused.cause, refused.alarm), (RefusalCause::SignerRevoked, true), "{what}");
        if answered {
            let signature = "/soap:Envelope/soap:Header/ds:Signature";
            assert_eq!(told(&refused), (ErrorCode::SecurityFailure, Some(signature)), "{what}");
        } else {
            assert_eq!(refused.answer, RefusalAnswer::Http(202), "{what}");
        }
        assert!(opened(&revoked, connection(), &by_next).is_ok(), "{what}, signed by the next one");
        let refused = opened(&of_another, connection(), &by_next).expect_err(what);
        assert_eq!(refused.cause, RefusalCause::SignerRevoked, "the list is of its issuer");

        // An inbox asks too; what was let in before, whatever has been revoked since, opens as it did.
        let key = || party(TRADER).key;
        assert!(opened(&revoked, Origin::Inbox(key()), &by_trader).is_err(), "{what}");
        assert!(opened(&revoked, Origin::Stored(key()), &by_trader).is_ok(), "{what}");
    }
    let unrevoked: Vec<_> = revoked.keys.validity().map(|(_, fingerprint, _)| *fingerprint).collect();
    assert_eq!(unrevoked, [Digest::of(&next.der())]);
    let named: Vec<_> = revoked.keys.revoked().map(|(_, fingerprint)| *fingerprint).collect();
    assert_eq!(named, [Digest::of(&pair.trader.der())]);
}

/// Without KeyInfo every certificate of the party is tried, and a revoked one is none of them.
#[test]
fn a_revoked_certificate_is_no_candidate() {
    let pair = pair();
    let next = Identity::new("the next one", SignatureAlgorithm::EcdsaSha256);
    let trust = revoking(&pair, &[&pair.trader, &next], &pair.trader, &[&pair.trader.certificate]);
    let anonymous = |identity: &Identity| {
        let sealed = sealed_by(identity, &message(&PARTS));
        let text = String::from_utf8_lossy(sealed.body.held()).into_owned();
        let (_, rest) = text.split_once("<ds:KeyInfo>").expect("KeyInfo");
        let (inside, _) = rest.split_once("</ds:KeyInfo>").expect("its end");
        edited(&sealed, &format!("<ds:KeyInfo>{inside}</ds:KeyInfo>"), "")
    };
    let outcome = |identity: &Identity| {
        let opened = opened(&trust, Origin::Connection(Some(tls(TRADER))), &anonymous(identity));
        opened.map(drop).map_err(|refused| refused.cause)
    };
    assert_eq!(outcome(&next), Ok(()));
    assert_eq!(outcome(&pair.trader), Err(RefusalCause::Signature));
}
