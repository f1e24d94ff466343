//! What a key store takes and refuses.

use openssl::x509::extension::KeyUsage;

use super::super::samples::{Identity, VALIDITY, instant, key};
use super::*;

fn party(name: &str) -> PartyKey {
    PartyKey::new(name).expect("a key")
}

#[test]
fn what_a_key_signs_its_registered_certificate_verifies() {
    for algorithm in SignatureAlgorithm::ALL {
        let identity = Identity::new("KFDA", algorithm);
        let ring = KeyRing::new([(party("KFDA"), identity.der())]).expect("a ring");
        let signer = identity.signing_key();
        let registered = ring.certificate(&party("KFDA"), &signer.fingerprint()).expect("is registered");
        assert!(ring.certificate(&party("NPQS"), &signer.fingerprint()).is_none(), "it is not theirs");
        let value = signer.sign(algorithm, b"octets").expect("signs");
        let check = |octets: &[u8], value: &[u8]| registered.key.verifies(algorithm, octets, value);
        for other in SignatureAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert!(!registered.key.verifies(other, b"octets", &value), "{algorithm:?} as {other:?}");
        }
        assert!(check(b"octets", &value));
        assert!(!check(b"other octets", &value));
        for wrong in [&value[1..], &[], &[0; 64], &[value.as_slice(), &[0]].concat(), &[255; 256]] {
            assert!(!check(b"octets", wrong), "{} octets", wrong.len());
        }
        assert!(!registered.valid_at(instant("2023-12-31T23:59:59Z")));
        assert!(registered.valid_at(instant(VALIDITY.0)) && registered.valid_at(instant(VALIDITY.1)));
        assert!(!registered.valid_at(instant("2044-01-01T00:00:01Z")));
        assert_eq!(openssl::error::ErrorStack::get().errors().len(), 0, "nothing is left in the queue");
    }
}

#[test]
fn a_signature_that_begins_with_a_zero_octet_does_not_verify_without_it() {
    use SignatureAlgorithm as A;
    for algorithm in [A::RsaSha256, A::RsaPssSha256] {
        let identity = Identity::new("KFDA", algorithm);
        let ring = KeyRing::new([(party("KFDA"), identity.der())]).expect("a ring");
        let registered = ring.certificates_of(&party("KFDA")).next().expect("is registered");
        let signer = identity.signing_key();
        let signed = (0_u32..10_000).map(|number| {
            let octets = number.to_be_bytes();
            (octets, signer.sign(algorithm, &octets).expect("signs"))
        });
        let (octets, value) = signed.into_iter().find(|(_, value)| value[0] == 0).expect("one in 256");
        assert!(registered.key.verifies(algorithm, &octets, &value), "{algorithm:?}");
        assert!(!registered.key.verifies(algorithm, &octets, &value[1..]), "{algorithm:?}");
    }
}

//= ebms2 4.1.3 MUST: a digest is no weaker than the curve that signs it (S4)
#[test]
fn p384_does_not_sign_sha256() {
    use SignatureAlgorithm as A;
    for (curve, expected) in [(A::EcdsaSha256, [true, true, true]), (A::EcdsaSha384, [false, true, true])] {
        let identity = Identity::new("KFDA", curve);
        let ring = KeyRing::new([(party("KFDA"), identity.der())]).expect("a ring");
        let registered = ring.certificates_of(&party("KFDA")).next().expect("is registered");
        let signer = identity.signing_key();
        for (algorithm, expected) in
            [A::EcdsaSha256, A::EcdsaSha384, A::EcdsaSha512].into_iter().zip(expected)
        {
            let value = signer.sign(algorithm, b"octets").expect("signs");
            let verifies = registered.key.verifies(algorithm, b"octets", &value);
            assert_eq!(verifies, expected, "{curve:?} {algorithm:?}");
            let keys = SigningKeys::new(vec![identity.signing_key()]);
            assert_eq!(keys.key(algorithm).is_some(), expected, "{curve:?} {algorithm:?}");
        }
    }
}

#[test]
fn the_key_that_signs_is_the_one_that_fits_best() {
    use SignatureAlgorithm as A;
    let [rsa, p256, p384] = [A::RsaSha256, A::EcdsaSha256, A::EcdsaSha384].map(|a| Identity::new("us", a));
    let keys = |identities: &[&Identity]| {
        SigningKeys::new(identities.iter().map(|identity| identity.signing_key()).collect())
    };
    let check = |identities: &[&Identity], algorithm: A, expected: &Identity| {
        let found = keys(identities).key(algorithm).map(SigningKey::fingerprint);
        assert_eq!(found, Some(expected.signing_key().fingerprint()), "{algorithm:?}");
    };
    check(&[&p256, &p384], A::EcdsaSha384, &p384);
    check(&[&p384, &p256], A::EcdsaSha256, &p256);
    check(&[&rsa, &p384, &p256], A::EcdsaSha512, &p384);
    check(&[&p256], A::EcdsaSha384, &p256);
    check(&[&p256, &rsa], A::RsaPssSha512, &rsa);

    let accepting =
        |algorithm: A| SignatureTerms { accepted: vec![algorithm], ..SignatureTerms::strict(A::RsaSha256) };
    let both = keys(&[&rsa, &p256]);
    for (algorithm, expected) in [(A::RsaSha256, &rsa), (A::EcdsaSha256, &p256)] {
        let signer = both.strict_signer(&accepting(algorithm)).expect("one of them");
        let expected = expected.signing_key();
        assert_eq!(
            (signer.key.fingerprint(), signer.terms),
            (expected.fingerprint(), expected.strict_terms())
        );
    }
    assert!(both.strict_signer(&accepting(A::EcdsaSha384)).is_none());
}

//= ebms2 4.1.3 MUST: keys that are too small or of another kind are not registered
#[test]
fn keys_outside_the_profile_are_not_registered() {
    fn check(identity: &Identity, expected: &str) {
        let error = KeyRing::new([(party("KFDA"), identity.der())]).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?}, found {error:?}");
    }
    let signing = || {
        let mut usage = KeyUsage::new();
        usage.digital_signature();
        usage
    };
    let small = openssl::rsa::Rsa::generate(1024).and_then(PKey::from_rsa).expect("a key");
    check(&Identity::with("small", small, &signing(), VALIDITY), "RSA of 1024 bits");
    let p521 = openssl::ec::EcGroup::from_curve_name(Nid::SECP521R1).expect("P-521");
    let p521 = EcKey::generate(&p521).and_then(PKey::from_ec_key).expect("a key");
    check(&Identity::with("P-521", p521, &signing(), VALIDITY), "elliptic curve key of 521 bits");
    let ed448 = PKey::generate_ed448().expect("a key");
    assert_eq!(kind_of(&ed448), None);
    let p256 = key(SignatureAlgorithm::EcdsaSha256);
    let other = Identity::with("other use", p256, KeyUsage::new().key_encipherment(), VALIDITY);
    check(&other, "key usage");
    let unreadable = KeyRing::new([(party("KFDA"), b"no certificate".to_vec())]);
    assert!(matches!(unreadable, Err(KeyError::NotA { .. })));
}

#[test]
fn a_certificate_has_one_owner_and_one_key() {
    let identity = Identity::new("KFDA", SignatureAlgorithm::EcdsaSha256);
    let claims = |other: &str| {
        KeyRing::new([(party("KFDA"), identity.der()), (party(other), identity.der())]).map(|_| ())
    };
    assert_eq!(claims("KFDA"), Ok(()));
    assert!(matches!(claims("NPQS"), Err(KeyError::Shared { .. })));
    let trailing = [identity.der(), vec![0]].concat();
    assert!(matches!(KeyRing::new([(party("KFDA"), trailing)]), Err(KeyError::NotA { .. })));
    let certificate = identity.certificate.to_pem().expect("PEM");
    let other = key(SignatureAlgorithm::EcdsaSha256).private_key_to_pem_pkcs8().expect("PEM");
    assert!(matches!(SigningKey::from_pem("x", &certificate, &other), Err(KeyError::Pair { .. })));
    let missing = SigningKeys::load(&[("/nonexistent.pem", "/nonexistent.key")]);
    assert!(matches!(missing, Err(KeyError::File { .. })));
    assert!(!format!("{:?}", identity.signing_key()).contains("BEGIN"), "S23");
}
