//! The engine against the worked examples of the digest, against forgeries, and against itself.

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509;

use super::*;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/conformance/samples/", $name)).as_slice()
    };
}

const USER: &[u8] = sample!("user.xml");
const PARTS: [Part<'static>; 2] =
    [("decl-1@trader-0417.example", sample!("p1.xml")), ("phyto-1@trader-0417.example", sample!("p2.bin"))];
const NEXT: [&str; 2] =
    ["urn:oasis:names:tc:ebxml-msg:actor:nextMSH", "http://schemas.xmlsoap.org/soap/actor/next"];
const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";

fn engine() -> &'static XmlSec {
    XmlSec::init().expect("libxmlsec1 starts")
}

fn certified(pem: &[u8]) -> PublicKey {
    let certificate = X509::from_pem(pem).expect("a certificate");
    let key = certificate.public_key().and_then(|key| key.public_key_to_der()).expect("a public key");
    PublicKey::from_spki_der(&key).expect("a public key")
}

fn trader() -> PublicKey {
    certified(sample!("trader.crt"))
}

fn verify(envelope: &[u8]) -> Result<VerifiedSignature, XmlSecError> {
    engine().verify(envelope, &PARTS, &trader())
}

/// `USER` with `from` replaced, which must be in it.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(USER);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

mod samples {
    use super::*;

    #[test]
    fn the_signed_user_message_covers_envelope_and_both_payloads() {
        let verified = verify(USER).expect("verifies");
        assert_eq!(verified.method, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256");
        let envelope = [profile::ENVELOPED, profile::XPATH, C14N].map(str::to_owned).to_vec();
        let expected = [
            ("", envelope, "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo="),
            ("cid:decl-1@trader-0417.example", vec![], "YxcNeR6CGom7u/K6cGIfQZqAZFAcdI4jDzfS6b7DWmU="),
            ("cid:phyto-1@trader-0417.example", vec![], "2S9t0fniYWxcx81QY+nw/ofjP5/x07M187MFhO6nI4s="),
        ]
        .map(|(uri, transforms, digest)| VerifiedReference {
            uri: uri.to_owned(),
            transforms,
            digest_method: "http://www.w3.org/2001/04/xmlenc#sha256".to_owned(),
            digest: openssl::base64::decode_block(digest).expect("base64"),
        });
        assert_eq!(verified.references, expected);
    }

    #[test]
    fn octets_with_crlf_as_they_came_over_http_verify() {
        let body = String::from_utf8_lossy(sample!("user.mime"));
        let root = body.split("\r\n\r\n").nth(1).and_then(|rest| rest.split("\r\n--=_sw-0417-0001").next());
        let root = root.expect("a root part");
        assert!(root.contains("\r\n"));
        verify(root.as_bytes()).expect("verifies");
    }

    #[test]
    fn verdicts_on_the_other_samples() {
        verify(sample!("ok1.xml")).expect("line ends are CRLF");
        verify(sample!("ok2.xml")).expect("the SyncReply, addressed to the next actor, was taken out");
        // `eb:signed` of AckRequested, which goes to the toPartyMSH, is "false" where "true" was signed.
        assert_eq!(verify(sample!("neg1.xml")), Err(XmlSecError::Digest(String::new())));
        let ack = sample!("ack.xml");
        let verified = engine().verify(ack, &[], &certified(sample!("gateway.crt"))).expect("verifies");
        assert_eq!(verified.references.len(), 1);
        assert_eq!(engine().verify(ack, &[], &trader()), Err(XmlSecError::Value));
    }

    #[test]
    fn the_filtered_envelope_has_the_octets_that_were_digested() {
        fn check(envelope: &[u8], length: usize, digest: &str) {
            let octets = engine()
                .canonicalize(envelope, CanonicalForm::Xml10, Selection::Unsigned(&NEXT))
                .expect("canonical");
            assert_eq!(octets.len(), length);
            let digested = hash(MessageDigest::sha256(), &octets).expect("SHA-256");
            assert_eq!(openssl::base64::encode_block(&digested), digest);
        }
        check(USER, 1676, "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo=");
        check(sample!("ok1.xml"), 1676, "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo=");
        check(sample!("ok2.xml"), 1676, "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo=");
        check(sample!("ack.xml"), 2645, "DNE9mAF3kBysAIa1SKpYWyN8oxzE1ivSv3opQgmzC6c=");
    }
}

mod forgeries {
    use super::*;

    fn check(envelope: &[u8], expected: &str) {
        let error = verify(envelope).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?}, found {error:?}");
    }

    #[test]
    fn parts_are_those_that_were_signed() {
        let with = |parts: &[Part<'_>]| engine().verify(USER, parts, &trader()).map(|_| ());
        let [first, second] = PARTS;
        let cid = |part: Part<'_>| part.0.to_owned();
        assert_eq!(with(&[first]), Err(XmlSecError::UnknownPart(cid(second))));
        let changed = (second.0, b"other".as_slice());
        assert_eq!(with(&[first, changed]), Err(XmlSecError::Digest(format!("cid:{}", second.0))));
        let swapped = [(first.0, second.1), (second.0, first.1)];
        assert_eq!(with(&swapped), Err(XmlSecError::Digest(format!("cid:{}", first.0))));
        assert_eq!(with(&[second, ("other", b"x"), first]), Ok(()), "order and company do not matter");
    }

    #[test]
    fn what_was_signed_is_as_it_was() {
        check(&edited("<eb:Action>Submit", "<eb:Action>Cancel"), "digest of \"\"");
        check(&edited("<soap:Body>", "<soap:Body>\n"), "digest of \"\"");
        check(&edited("VG6R1", "VG6R2"), "signature value");
        check(&edited("cid:decl-1@", "cid:decl%2d1@"), "signature value");
        // Text in an element for a next actor is not signed; neither is a comment.
        for unsigned in ["<eb:SyncReply ", "<!-- x --><eb:SyncReply wake=\"1\" "] {
            verify(&edited("<eb:SyncReply ", unsigned)).expect("verifies");
        }
    }

    #[test]
    fn nothing_but_the_one_expression_is_run() {
        let not = "not(ancestor-or-self::node()[@soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"]|";
        let xpath = "an XPath expression that is not that of ebMS 2.0, 4.1.3";
        check(&edited(not, &format!("false() and {not}")), xpath);
        check(&edited("actor/next\"])</ds:XPath>", "actor/other\"])</ds:XPath>"), xpath);
        check(&edited("</ds:XPath>", "<x/></ds:XPath>"), xpath);
        check(&edited("</ds:XPath>", "</ds:XPath><ds:XPath>true()</ds:XPath>"), xpath);
        let soap = "<ds:XPath xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"";
        check(&edited(soap, "<ds:XPath xmlns:soap=\"urn:other\""), xpath);
    }

    #[test]
    fn signatures_outside_the_profile_are_not_computed() {
        let reference = "<ds:Reference URI=\"cid:decl-1@trader-0417.example\">";
        check(&edited(reference, "<ds:Reference URI=\"file:///etc/passwd\">"), "not a part of the message");
        check(&edited(reference, "<ds:Reference URI=\"http://127.0.0.1/\">"), "not a part of the message");
        check(&edited(reference, "<ds:Reference URI=\"#hdr\">"), "not a part of the message");
        check(&edited(reference, "<ds:Reference URI=\"cid:a#xpointer(/)\">"), "not a part of the message");
        check(&edited(reference, "<ds:Reference URI=\"cid:a%zz\">"), "not well-formed");
        check(&edited(reference, "<ds:Reference URI=\"cid:a%00\">"), "not well-formed");
        check(&edited(reference, "<ds:Reference>"), "without URI");
        check(&edited(reference, "<ds:Reference URI=\"cid:phyt%6f-1@trader-0417.example\">"), "one part");
        check(&edited("URI=\"\"", "URI=\"cid:decl-1@trader-0417.example\""), "profile");
        check(&edited("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#rsa-sha1"), "SignatureMethod");
        check(
            &edited("2001/04/xmldsig-more#rsa-sha256", "2001/04/xmldsig-more#hmac-sha256"),
            "SignatureMethod",
        );
        check(&edited("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1"), "DigestMethod");
        check(&edited(C14N, &format!("{C14N}#WithComments")), "CanonicalizationMethod");
        check(&edited("#enveloped-signature", "#base64"), "not enveloped-signature");
        check(&edited("REC-xpath-19991116", "REC-xslt-19991116"), "not in the profile");
        check(&edited("<ds:KeyInfo>", "<ds:KeyInfo><ds:RetrievalMethod URI=\"#k\"/>"), "KeyInfo");
        check(&edited("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object/>"), "more in Signature");
        check(
            &edited(
                "<eb:SyncReply ",
                "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/><eb:SyncReply ",
            ),
            "more than one",
        );
        check(&edited("<soap:Header>", "<soap:Header><x>"), "is not XML");
        check(
            &edited(
                "ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"",
                "ds:Signature xmlns:ds=\"urn:x\"",
            ),
            "no Signature",
        );
        check(&edited("OKmOk18nMI", "OKmOk18n*I"), "not base64");
        let references = reference.to_owned() + "</ds:Reference>";
        check(&edited(reference, &(references.repeat(REFERENCES_MAX) + reference)), "no DigestMethod");
    }

    #[test]
    fn limits_hold_before_anything_is_parsed_or_digested_s5() {
        let room =
            |octets: usize| format!("<eb:SyncReply>{}</eb:SyncReply><eb:SyncReply ", "x".repeat(octets));
        let fill = ENVELOPE_BYTES_MAX - USER.len() - "<eb:SyncReply></eb:SyncReply>".len();
        check(&edited("<eb:SyncReply ", &room(fill)), "digest of");
        check(&edited("<eb:SyncReply ", &room(fill + 1)), "larger than");
        check(&edited("<soap:Envelope", "<!DOCTYPE soap:Envelope><soap:Envelope"), "document type");
        let next = "<x soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"/>";
        let more = |count: usize| next.repeat(count) + "<eb:SyncReply ";
        verify(&edited("<eb:SyncReply ", &more(filter::EXCLUDED_MAX - 1))).expect("verifies");
        check(&edited("<eb:SyncReply ", &more(filter::EXCLUDED_MAX)), "too many elements");
    }
}

mod signing {
    use super::*;

    /// Key pairs with the fragment of a method that goes with them.
    fn pairs() -> Vec<(&'static str, PrivateKey, PublicKey)> {
        let rsa = Rsa::generate(2048).and_then(PKey::from_rsa).expect("an RSA key");
        let p256 = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
        let ec = EcKey::generate(&p256).and_then(PKey::from_ec_key).expect("a P-256 key");
        [("rsa-sha256", rsa), ("ecdsa-sha256", ec)]
            .into_iter()
            .map(|(method, key)| {
                let private = key.private_key_to_pkcs8().expect("PKCS #8");
                let public = key.public_key_to_der().expect("SubjectPublicKeyInfo");
                let private = PrivateKey::from_pkcs8_der(&private).expect("a private key");
                (method, private, PublicKey::from_spki_der(&public).expect("a public key"))
            })
            .collect()
    }

    /// `USER` with empty values.
    fn template(method: &str) -> String {
        let mut text = String::from_utf8_lossy(USER).replace("#rsa-sha256", &format!("#{method}"));
        for name in ["DigestValue", "SignatureValue"] {
            let (open, close) = (format!("<ds:{name}>"), format!("</ds:{name}>"));
            let mut emptied = String::new();
            for piece in text.split_inclusive(&close) {
                match piece.split_once(&open) {
                    Some((before, _)) => emptied.extend([before, &open, &close]),
                    None => emptied.push_str(piece),
                }
            }
            text = emptied;
        }
        text
    }

    #[test]
    fn what_is_signed_verifies_and_stays_as_it_was() {
        for (method, private, public) in pairs() {
            let signed = engine().sign(template(method).as_bytes(), &PARTS, &private).expect("signs");
            let verified = engine().verify(&signed, &PARTS, &public).expect("verifies");
            assert!(verified.method.ends_with(method));
            let digests = |signature: VerifiedSignature| {
                signature.references.into_iter().map(|reference| reference.digest).collect::<Vec<_>>()
            };
            assert_eq!(digests(verified), digests(verify(USER).expect("verifies")));
            let text = String::from_utf8(signed).expect("UTF-8");
            let certificate = |text: &str| text.split("X509Certificate>").nth(1).map(str::to_owned);
            assert_eq!(certificate(&text), certificate(&String::from_utf8_lossy(USER)));
            let broken = text.replace("Declaration</eb:Service>", "Decoration</eb:Service>");
            assert_eq!(
                engine().verify(broken.as_bytes(), &PARTS, &public),
                Err(XmlSecError::Digest(String::new()))
            );
        }
    }

    #[test]
    fn other_templates_and_keys_are_refused() {
        let [rsa, ec] = <[_; 2]>::try_from(pairs()).expect("two pairs");
        let sign = |template: &str, key| engine().sign(template.as_bytes(), &PARTS, key);
        let filled = String::from_utf8_lossy(USER);
        assert_eq!(
            sign(&filled, &rsa.1),
            Err(XmlSecError::Profile("a template whose SignatureValue is not empty".to_owned()))
        );
        assert!(
            matches!(sign(&template("rsa-sha256"), &ec.1), Err(XmlSecError::Refused(why)) if !why.is_empty())
        );
        assert!(matches!(sign(&template("rsa-sha1"), &rsa.1), Err(XmlSecError::Profile(_))));
        let signed = sign(&template("ecdsa-sha256"), &ec.1).expect("signs");
        assert!(matches!(engine().verify(&signed, &PARTS, &rsa.2), Err(XmlSecError::Refused(_))));
        assert_eq!(PublicKey::from_spki_der(b"x").err(), Some(XmlSecError::Key("public")));
        assert_eq!(PrivateKey::from_pkcs8_der(&[]).err(), Some(XmlSecError::Key("private")));
    }

    #[test]
    fn an_xml_part_can_be_signed_by_its_canonical_form() {
        let bare = "<ds:Reference URI=\"cid:decl-1@trader-0417.example\">";
        let with_c14n = format!("{bare}<ds:Transforms><ds:Transform Algorithm=\"{C14N}\"/></ds:Transforms>");
        let template = template("rsa-sha256").replace(bare, &with_c14n);
        let (_, private, public) = pairs().swap_remove(0);
        let signed = engine().sign(template.as_bytes(), &PARTS, &private).expect("signs");
        let [(cid, octets), other] = PARTS;
        let respelled = String::from_utf8_lossy(octets)
            .replace("hs=\"080450\" kg=\"1200\"/>", "kg='1200'\n hs='080450'></Goods>");
        assert_ne!(respelled.as_bytes(), octets);
        let verified =
            engine().verify(&signed, &[(cid, respelled.as_bytes()), other], &public).expect("verifies");
        assert_eq!(verified.references.get(1).map(|r| r.transforms.clone()), Some(vec![C14N.to_owned()]));
        for hostile in ["<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "<a", ""] {
            let outcome = engine().verify(&signed, &[(cid, hostile.as_bytes()), other], &public);
            assert!(matches!(outcome, Err(XmlSecError::Profile(_))), "{hostile}: {outcome:?}");
        }
    }

    #[test]
    fn eight_threads_each_see_their_own_parts() {
        let (_, private, public) = pairs().swap_remove(1);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (private, public) = (&private, &public);
                scope.spawn(move || {
                    for round in 0..20 {
                        let octets = format!("part of thread {thread}, round {round}");
                        let [_, (cid, _)] = PARTS;
                        let parts = [PARTS[0], (cid, octets.as_bytes())];
                        let template = template("ecdsa-sha256");
                        let signed = engine().sign(template.as_bytes(), &parts, private).expect("signs");
                        engine().verify(&signed, &parts, public).expect("verifies");
                        let refused = engine().verify(&signed, &PARTS, public);
                        assert_eq!(refused, Err(XmlSecError::Digest(format!("cid:{cid}"))));
                    }
                });
            }
        });
    }
}

mod canonical {
    use super::*;

    #[test]
    fn a_subtree_takes_the_namespaces_and_xml_attributes_around_it() {
        let octets =
            b"<a xmlns='urn:a' xmlns:p='urn:p' xml:lang='en' k='1'><b><c q='2' p:r='3'/></b><d/></a>";
        let canonical = |place| {
            engine().canonicalize(octets, CanonicalForm::Xml10, Selection::Subtree(place)).expect("canonical")
        };
        assert_eq!(
            String::from_utf8_lossy(&canonical(2)),
            "<c xmlns=\"urn:a\" xmlns:p=\"urn:p\" q=\"2\" xml:lang=\"en\" p:r=\"3\"></c>"
        );
        assert_eq!(
            canonical(0),
            engine().canonicalize(octets, CanonicalForm::Xml10, Selection::Whole).expect("canonical")
        );
        assert_eq!(canonical(9), b"");
    }
}
