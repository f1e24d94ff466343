//! What comes of the certificates of a CPA: those of the partner that are over, or registered for something else, and
//! those of ours that are not ours.

use openssl::x509::extension::KeyUsage;

use super::{NOW, import, import_among, import_with, instant, registered, terms};
use crate::codec::cpa::{CpaTerms, PartyTerms, write_cpa};
use crate::model::{Digest, PartyKey, Registry, SignatureAlgorithm};
use crate::security::samples::{Identity, VALIDITY, key};

/// A certificate of the partner that is valid so long.
fn valid(from: &str, until: &str) -> Vec<u8> {
    let key = key(SignatureAlgorithm::EcdsaSha256);
    Identity::with("BR123450000001", key, KeyUsage::new().digital_signature(), (from, until)).der()
}

/// The CPA whose partner connects and signs with these.
fn with(tls: Vec<u8>, signing: Vec<u8>) -> CpaTerms {
    let mut terms = terms();
    let [_, partner] = &mut terms.parties;
    (partner.tls_certificate, partner.signing_certificate) = (Some(tls), signing);
    terms
}

/// What is found wrong with certificates, and nothing else is.
fn told(outcome: Result<super::Imported, Vec<String>>) -> Vec<String> {
    let Err(told) = outcome else { return Vec::new() };
    assert!(told.iter().all(|told| told.ends_with("[cpa:certificate]")), "{told:#?}");
    told
}

#[test]
fn a_partner_whose_certificates_are_over_is_not_imported() {
    let (good, over) = (|| valid(VALIDITY.0, VALIDITY.1), || valid(VALIDITY.0, "2030-05-31T23:59:59Z"));
    let check = |tls: Vec<u8>, signing: Vec<u8>, start: &str, expected: &[&str]| {
        let told = told(import(&write_cpa(&CpaTerms { start: instant(start), ..with(tls, signing) })));
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        assert!(told.iter().zip(expected).all(|(told, expected)| told.contains(expected)), "{told:#?}");
    };
    let (past, future) = ("2029-01-01T00:00:00Z", "2031-01-01T00:00:00Z");
    let (tls, signing) =
        ("\"party2-tls\" has ended at 2030-05-31", "\"party2-signing\" has ended at 2030-05-31");
    check(good(), good(), past, &[]);
    check(over(), good(), past, &[tls]);
    check(good(), over(), past, &[signing]);
    check(over(), over(), past, &[signing, tls]);
    // The end is the last instant, and an agreement starts with what is valid then.
    check(valid(VALIDITY.0, NOW), good(), past, &["has ended at 2030-06-01"]);
    check(valid(VALIDITY.0, "2030-06-01T00:00:01Z"), good(), past, &[]);
    check(valid(VALIDITY.0, future), good(), future, &["ends at 2031-01-01T00:00:00Z, before the agreement"]);
    check(valid(VALIDITY.0, future), good(), past, &[]);
}

/// Of one that is to come it is told when, unless the agreement is to come as well.
#[test]
fn a_certificate_of_the_partner_that_is_to_come_is_noted() {
    let begin = "2031-01-01T00:00:00Z";
    for (start, noted) in [("2029-01-01T00:00:00Z", 1), (begin, 0)] {
        let next = with(valid(VALIDITY.0, VALIDITY.1), valid(begin, VALIDITY.1));
        let imported = import(&write_cpa(&CpaTerms { start: instant(start), ..next })).expect("can be kept");
        let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes.len(), noted, "{notes:?}");
        assert!(notes.iter().all(|note| note.contains("\"party2-signing\" begins at 2031")), "{notes:?}");
    }
}

/// The partner would take somebody else for us.
#[test]
fn certificates_of_ours_are_ours() {
    let terms = terms();
    let text = write_cpa(&terms);
    let [PartyTerms { tls_certificate: Some(tls), signing_certificate: signing, .. }, _] = &terms.parties
    else {
        panic!("we connect with one")
    };
    let (tls, signing) = (Digest::of(tls), Digest::of(signing));
    let check = |own: [Digest; 2], expected: &[(&str, Digest)]| {
        let told = told(import_with(&text, &Registry::default(), own));
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (what, found) in expected {
            let has = |told: &String| told.contains(what) && told.contains(&found.to_string());
            assert!(told.iter().any(has), "{what}: {told:#?}");
        }
    };
    let other = Digest([7; 32]);
    let connects = ("\"party1-tls\", which is not that of [tls]", tls);
    let signs = ("\"party1-signing\", which is not that of [[signing]]", signing);
    check([tls, signing], &[]);
    check([other, signing], &[connects]);
    check([tls, other], &[signs]);
    check([signing, tls], &[connects, signs]);
}

/// Who is registered connects and signs with what is registered for just that.
#[test]
fn a_registered_partner_has_each_certificate_in_the_list_of_its_use() {
    let terms = terms();
    let text = write_cpa(&terms);
    let known = registered(&terms.parties[1]);
    let (tls, signing) = (known.tls_certificates.clone(), known.signing_certificates.clone());
    let check = |[tls, signing]: [&[Digest]; 2], expected: &[&str]| {
        let (tls_certificates, signing_certificates) = (tls.to_vec(), signing.to_vec());
        let party = crate::model::Party {
            key: PartyKey::new("BOX9").expect("a key"),
            tls_certificates,
            signing_certificates,
            ..known.clone()
        };
        let told = told(import_among(&text, &Registry::new([party], [])));
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        assert!(told.iter().zip(expected).all(|(told, expected)| told.contains(expected)), "{told:#?}");
    };
    let both = [tls.clone(), signing.clone()].concat();
    let connects = "\"party2-tls\" is not registered under tls_certificates of BOX9";
    let signs = "\"party2-signing\" is not registered under signing_certificates of BOX9";
    check([&tls, &signing], &[]);
    check([&both, &both], &[]);
    check([&both, &[]], &[signs]);
    check([&[], &both], &[connects]);
    check([&signing, &tls], &[signs, connects]);
}
