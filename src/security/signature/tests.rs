//! Signatures of both engines: the worked examples of the digest, what the closed profile lets through, and what each engine
//! says of what the other has signed.

use openssl::x509::X509;

use super::super::keystore::KeyRing;
use super::super::samples::Identity;
use super::*;
use crate::ffi::{CanonicalForm, PrivateKey, REFERENCES_MAX, Selection, XmlSec};
use crate::model::{PartnerProfile, PartyKey, SignatureAlgorithm, SignatureTerms, SigningTerms, Timestamp};

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/conformance/samples/", $name)).as_slice()
    };
}

const USER: &[u8] = sample!("user.xml");
const PARTS: [(&str, &[u8]); 2] =
    [("decl-1@trader-0417.example", sample!("p1.xml")), ("phyto-1@trader-0417.example", sample!("p2.bin"))];
const DIGESTS: [&str; 3] = [
    "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo=",
    "YxcNeR6CGom7u/K6cGIfQZqAZFAcdI4jDzfS6b7DWmU=",
    "2S9t0fniYWxcx81QY+nw/ofjP5/x07M187MFhO6nI4s=",
];

fn ring(der: Vec<u8>) -> KeyRing {
    KeyRing::new([(party(), der)]).expect("a ring")
}

fn party() -> PartyKey {
    PartyKey::new("TRADER-0417").expect("a key")
}

fn certified(pem: &[u8]) -> KeyRing {
    ring(X509::from_pem(pem).and_then(|certificate| certificate.to_der()).expect("a certificate"))
}

fn parts(parts: &[(&str, &[u8])]) -> Vec<Part> {
    let part = |(content_id, body): &(&str, &[u8])| {
        let part = MimePart {
            content_id: Some(ContentId::new(*content_id).expect("a Content-ID")),
            content_location: None,
            media_type: "application/xml".into(),
            charset: None,
            body: body.to_vec().into(),
        };
        Part::of(part).expect("it has a Content-ID")
    };
    parts.iter().map(part).collect()
}

/// The verdict of all three ways, which must be the same; with the references and octets that were digested.
fn verdict(
    envelope: &[u8],
    with: &[(&str, &[u8])],
    ring: &KeyRing,
) -> Result<(Vec<DigestReference>, Vec<u8>), SignatureFault> {
    let tree = XmlTree::parse(Bytes::copy_from_slice(envelope), &XmlLimits::ENVELOPE).expect("well-formed");
    let header = tree.root().child(SOAP, "Header").expect("a header");
    let element = header.child(DSIG, "Signature").expect("a signature");
    let signature = Signature::read(element)?;
    let parts = parts(with);
    let signed = Signed { tree: &tree, octets: envelope, signature: &signature, parts: &parts };
    let certificate = ring.certificates_of(&party()).next().expect("a certificate");
    let own = signed.verify(Engine::Own, certificate);
    let kind =
        |outcome: &Result<(), SignatureFault>| outcome.as_ref().map_err(std::mem::discriminant).copied();
    for engine in [Engine::Xmlsec, Engine::Both] {
        let other = signed.verify(engine, certificate);
        if own_only(signature.algorithm) {
            assert!(matches!(other, Err(SignatureFault::Limit(_))), "{engine:?}: {other:?}");
            continue;
        }
        assert_eq!(kind(&other), kind(&own), "{engine:?}: {other:?}, own: {own:?}");
    }
    own?;
    let octets = envelope_octets(tree.root(), &signature).0;
    let actors = signature.filter.map(ActorFilter::actors).unwrap_or_default();
    let form = signature.references.first().and_then(payload_form);
    if form.is_none_or(|form| form == Canonicalization::Xml10) {
        let selection = Selection::Unsigned(&actors);
        let theirs =
            XmlSec::init().and_then(|engine| engine.canonicalize(envelope, CanonicalForm::Xml10, selection));
        assert_eq!(theirs.expect("canonical"), octets, "the engines hash the same octets");
    }
    Ok((signature.references, octets))
}

/// What the strict profile says of a signature, with no key and no part at hand to compute anything with.
fn outside(envelope: &[u8]) -> Result<(), SignatureFault> {
    let tree = XmlTree::parse(Bytes::copy_from_slice(envelope), &XmlLimits::ENVELOPE).expect("well-formed");
    let header = tree.root().child(SOAP, "Header").expect("a header");
    let signature = Signature::read(header.child(DSIG, "Signature").expect("a signature"))?;
    let strict = SignatureTerms::strict(SignatureAlgorithm::RsaSha256);
    let deviations = signature.check_agreed(&strict, &PartnerProfile::strict(), Timestamp::from_millis(0))?;
    assert!(deviations.is_empty());
    Ok(())
}

//= ebms2 4.1.3 MUST: every canonical form and digest that a signature needs is agreed, the implied one too (S4)
#[test]
fn each_form_and_digest_of_a_signature_is_agreed() {
    use Canonicalization::{Exclusive, Xml10, Xml11};
    let outcome = |envelope: &[u8], canonicalizations: &[Canonicalization]| {
        let tree =
            XmlTree::parse(Bytes::copy_from_slice(envelope), &XmlLimits::ENVELOPE).expect("well-formed");
        let header = tree.root().child(SOAP, "Header").expect("a header");
        let signature = Signature::read(header.child(DSIG, "Signature").expect("a signature"))?;
        let terms = SignatureTerms {
            canonicalizations: canonicalizations.to_vec(),
            ..SignatureTerms::strict(SignatureAlgorithm::RsaSha256)
        };
        signature.check_agreed(&terms, &PartnerProfile::strict(), Timestamp::from_millis(0)).map(|_| ())
    };
    let method =
        |form: Canonicalization| format!("<ds:CanonicalizationMethod Algorithm=\"{}\"/>", form.uri());
    let transform = |form: Canonicalization| format!("<ds:Transform Algorithm=\"{}\"/>", form.uri());
    let text = String::from_utf8_lossy(USER);
    assert!(text.contains(&method(Xml10)) && text.contains(&transform(Xml10)));
    for signed_info in Canonicalization::ALL {
        for envelope in [Some(Xml10), Some(Xml11), Some(Exclusive), None] {
            let edited = text.replacen(&method(Xml10), &method(signed_info), 1);
            let edited = edited.replacen(&transform(Xml10), &envelope.map(transform).unwrap_or_default(), 1);
            let needed = [signed_info, envelope.unwrap_or(Xml10)];
            assert_eq!(outcome(edited.as_bytes(), &needed), Ok(()), "{signed_info:?} {envelope:?}");
            for missing in needed {
                let others: Vec<_> =
                    Canonicalization::ALL.into_iter().filter(|form| *form != missing).collect();
                let refused = outcome(edited.as_bytes(), &others).expect_err("is not agreed").to_string();
                let expected = format!("{} is not agreed", missing.uri());
                assert!(refused.contains(&expected), "{signed_info:?} {envelope:?}: {refused}");
            }
        }
    }
    // The digest of one reference alone.
    let reference = "<ds:Reference URI=\"cid:phyto-1@trader-0417.example\">";
    let (before, after) = text.split_once(reference).expect("the reference");
    let after = after.replacen(DigestMethod::Sha256.uri(), DigestMethod::Sha512.uri(), 1).replacen(
        DIGESTS[2],
        &STANDARD.encode([0; 64]),
        1,
    );
    let refused =
        outcome([before, reference, &after].concat().as_bytes(), &[Xml10]).expect_err("is not agreed");
    assert!(refused.to_string().contains("DigestMethod"), "{refused}");
    // Canonical XML 1.1 would join an xml:base around it, which is not done here.
    let based = text.replacen("<soap:Header", "<soap:Header xml:base=\"http://example/\"", 1);
    assert_eq!(outcome(based.as_bytes(), &[Xml10]), Ok(()));
    let based = based.replacen(&method(Xml10), &method(Xml11), 1);
    let refused = outcome(based.as_bytes(), &[Xml10, Xml11]).expect_err("is not done");
    assert!(refused.to_string().contains("xml:base"), "{refused}");
}

/// What was accepted is deliverable (P2): what has no canonical form within our bounds is signed by its octets.
#[test]
fn payloads_are_signed_in_canonical_form_where_they_have_one() {
    let key = Identity::new("US", SignatureAlgorithm::EcdsaSha256).signing_key();
    let terms = SigningTerms { payload_transforms: true, ..key.strict_terms() };
    let signer = Signer { key: &key, terms };
    let check = |media_type: &str, body: &[u8], canonical: Option<&[u8]>| {
        let payload = Payload {
            content_id: ContentId::new("a@b").expect("a Content-ID"),
            media_type: media_type.into(),
            role: None,
            body: Bytes::copy_from_slice(body).into(),
            digest: Digest::of(body),
        };
        let reference = payload_reference("cid:a@b".into(), &payload, &signer).expect("a reference");
        let excerpt = String::from_utf8_lossy(&body[..body.len().min(40)]);
        assert_eq!(reference.transforms.len(), usize::from(canonical.is_some()), "{media_type} {excerpt}");
        assert_eq!(reference.value, Digest::of(canonical.unwrap_or(body)).0, "{media_type} {excerpt}");
    };
    let canonical = Some(b"<a></a>".as_slice());
    for media_type in ["text/xml", "application/xml", "application/soap+xml"] {
        check(media_type, b"<a/>", canonical);
    }
    for media_type in ["application/pdf", "application/notxml", "text/plain", ""] {
        check(media_type, b"<a/>", None);
    }
    let long = [b"<a>".as_slice(), &[b' '; XML_PART_BYTES_MAX], b"</a>"].concat();
    let wide: String = (0..129).map(|n| format!(" a{n}=''")).collect();
    let wide = format!("<a{wide}/>");
    let utf_16: Vec<u8> =
        std::iter::once(0xFEFF).chain("<a/>".encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for body in [
        b"<a><?x?></a>".as_slice(),
        b"<!DOCTYPE a><a/>",
        b"<a><!-- x --></a>",
        b"<!-- x --><a/>",
        b"<a/><!---->",
        b"no XML",
        b"",
        &long,
        wide.as_bytes(),
        &utf_16,
    ] {
        check("application/xml", body, None);
    }
}

/// What libxmlsec1 1.2.37 does not know, or is not asked about.
fn own_only(algorithm: SignatureAlgorithm) -> bool {
    use SignatureAlgorithm as A;
    matches!(algorithm, A::RsaPssSha256 | A::RsaPssSha384 | A::RsaPssSha512 | A::Ed25519 | A::RsaSha1)
}

/// `USER` with `from` replaced, which must be in it.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(USER);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

//= ebms2 4.1.3 MUST: the Reference with empty URI covers the whole envelope but the Signature and what is for next actors
//= ebms2 4.1.3 MUST: a payload Reference is digested over the octets of its part
#[test]
fn the_worked_examples_verify_with_the_known_octets_and_digests() {
    let trader = certified(sample!("trader.crt"));
    for envelope in [USER, sample!("ok1.xml"), sample!("ok2.xml")] {
        let (references, octets) = verdict(envelope, &PARTS, &trader).expect("verifies");
        let digests: Vec<String> = references.iter().map(|r| STANDARD.encode(&r.value)).collect();
        assert_eq!((octets.len(), digests.as_slice()), (1676, DIGESTS.map(str::to_owned).as_slice()));
        assert_eq!(
            references[0].transforms,
            [Transform::EnvelopedSignature, Transform::ActorFilter, Transform::CanonicalXml]
        );
    }
    let gateway = certified(sample!("gateway.crt"));
    let (references, octets) = verdict(sample!("ack.xml"), &[], &gateway).expect("verifies");
    assert_eq!((octets.len(), references.len()), (2645, 1));
    assert_eq!(STANDARD.encode(&references[0].value), "DNE9mAF3kBysAIa1SKpYWyN8oxzE1ivSv3opQgmzC6c=");

    assert_eq!(verdict(sample!("neg1.xml"), &PARTS, &trader), Err(SignatureFault::Digest("".into())));
    assert_eq!(verdict(sample!("ack.xml"), &[], &trader), Err(SignatureFault::Value));
}

//= ebms2 4.1.3 MUST: each digest is compared, that of every payload too
//= ebms2 4.1.3 MUST: what is for the next actor may change without breaking the signature
#[test]
fn what_was_signed_is_as_it_was() {
    let trader = certified(sample!("trader.crt"));
    let check = |envelope: &[u8], with: &[(&str, &[u8])], expected: Result<(), SignatureFault>| {
        assert_eq!(verdict(envelope, with, &trader).map(|_| ()), expected);
    };
    let digest = |uri: &str| Err(SignatureFault::Digest(uri.into()));
    check(&edited("<eb:Action>Submit", "<eb:Action>Cancel"), &PARTS, digest(""));
    check(&edited("<soap:Body>", "<soap:Body>\n"), &PARTS, digest(""));
    check(&edited("VG6R1", "VG6R2"), &PARTS, Err(SignatureFault::Value));
    check(&edited("href=\"cid:decl-1@", "href=\"cid:decl%2d1@"), &PARTS, digest(""));
    check(&edited("URI=\"cid:decl-1@", "URI=\"cid:decl%2d1@"), &PARTS, Err(SignatureFault::Value));
    let [first, second] = PARTS;
    let cid = |part: (&str, &[u8])| format!("cid:{}", part.0);
    check(USER, &[first], Err(SignatureFault::MissingPart(cid(second).into())));
    check(USER, &[first, (second.0, b"other")], digest(&cid(second)));
    check(USER, &[(first.0, second.1), (second.0, first.1)], digest(&cid(first)));
    check(USER, &[second, ("other", b"x"), first], Ok(()));
    // What goes to a next actor is not signed; neither is a comment.
    for unsigned in ["<eb:SyncReply ", "<!-- x --><eb:SyncReply wake=\"1\" "] {
        check(&edited("<eb:SyncReply ", unsigned), &PARTS, Ok(()));
    }
}

//= ebms2 4.1.3 MUST: what no signature covers steers nothing (P7, S1)
#[test]
fn unsigned_elements_stand_only_where_nothing_is_read() {
    let trader = certified(sample!("trader.crt"));
    let next = "soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"";
    let next_msh = "soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"";
    let check = |place: &str, injected: &str, covered: bool| {
        let envelope = edited(place, &format!("{injected}{place}"));
        let tree = XmlTree::parse(envelope.clone().into(), &XmlLimits::ENVELOPE).expect("well-formed");
        let element = tree.root().child(SOAP, "Header").and_then(|h| h.child(DSIG, "Signature"));
        let signature = Signature::read(element.expect("a signature")).expect("within the profile");
        let parts = parts(&PARTS);
        let signed = Signed { tree: &tree, octets: &envelope, signature: &signature, parts: &parts };
        let certificate = trader.certificates_of(&party()).next().expect("a certificate");
        for engine in [Engine::Own, Engine::Xmlsec] {
            let outcome = signed.verify(engine, certificate);
            let expected =
                matches!((&outcome, covered), (Ok(()), true) | (Err(SignatureFault::Uncovered(_)), false));
            assert!(expected, "{engine:?} {injected}: {outcome:?}");
        }
    };
    check("<eb:MessageHeader ", &format!("<eb:MessageHeader {next}/>"), false);
    check("<eb:Manifest ", &format!("<eb:Manifest {next_msh}/>"), false);
    check("<eb:Reference ", &format!("<eb:Reference {next}/>"), false);
    check("<eb:PartyId ", &format!("<eb:PartyId {next}>X</eb:PartyId>"), false);
    check("<eb:MessageData>", &format!("<x {next}/>"), false);
    check("</soap:Body>", &format!("<x {next}/>"), false);
    check("</soap:Header>", &format!("<eb:ErrorList {next}/>"), false);
    check("</soap:Header>", &format!("<eb:MessageOrder {next_msh}/>"), false);
    check("</soap:Header>", &format!("<eb:Acknowledgment {next_msh}/>"), true);
    let block = format!("<x xmlns=\"urn:x\" {next}/>");
    check("</soap:Header>", &block, true);
    // The SyncReply is one of those that are left out.
    for (count, verdict) in [(LEFT_OUT_MAX - 1, true), (LEFT_OUT_MAX, false)] {
        let envelope = edited("</soap:Header>", &format!("{}</soap:Header>", block.repeat(count)));
        assert_eq!(super::tests::verdict(&envelope, &PARTS, &trader).is_ok(), verdict, "{count}");
    }
}

//= ebms2 4.1.3 MUST: a Reference names the message or one of its parts; nothing else is opened (S5)
//= ebms2 4.1.3 MUST: the transforms of the envelope are enveloped-signature, the XPath of the specification and Canonical XML
//= ebms2 4.1.1 MUST: Signature has one SignedInfo, one SignatureValue and no Object (S3)
//= ebms2 4.1.3 MUST: an algorithm that is not allowed is refused before it is computed (S4, S6)
#[test]
fn signatures_outside_the_profile_are_not_computed() {
    outside(USER).expect("within the profile");
    let check = |from: &str, to: &str, expected: &str| {
        let error = outside(&edited(from, to)).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?}, found {error:?}");
    };
    let reference = "<ds:Reference URI=\"cid:decl-1@trader-0417.example\">";
    for elsewhere in
        ["file:///etc/passwd", "http://127.0.0.1/", "#hdr", "cid:a#xpointer(/)", "cid:a%zz", "cid:"]
    {
        let to = format!("<ds:Reference URI=\"{elsewhere}\">");
        check(reference, &to, "no part of the message");
    }
    check(reference, "<ds:Reference>", "without URI");
    check(reference, "<ds:Reference URI=\"cid:phyt%6f-1@trader-0417.example\">", "one part");
    check("<ds:Reference URI=\"\">", "<ds:Reference URI=\"cid:x\">", "a transform of a payload");
    let c14n = "<ds:Transforms><ds:Transform Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"/>";
    check(reference, &format!("{reference}{c14n}</ds:Transforms>"), "a transform of a payload");
    for method in
        ["2000/09/xmldsig#rsa-sha1", "2000/09/xmldsig#hmac-sha1", "2001/04/xmldsig-more#hmac-sha256"]
    {
        check("2001/04/xmldsig-more#rsa-sha256", method, "SignatureMethod");
    }
    check("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1", "not of http://www.w3.org/2000/09/xmldsig#sha1");
    check("2001/04/xmlenc#sha256", "2001/04/xmldsig-more#md5", "DigestMethod");
    check("xml-c14n-20010315\"", "xml-c14n-20010315#WithComments\"", "CanonicalizationMethod");
    check("xmldsig#enveloped-signature", "xmldsig#base64", "first transform");
    check("REC-xpath-19991116", "REC-xslt-19991116", "second transform");
    check("<ds:XPath ", "<ds:XPath xmlns:soap=\"urn:x\"/><ds:XPath ", "second transform");
    check(">not(ancestor", ">false() and not(ancestor", "second transform");
    check(
        "</ds:Transforms>",
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"/></ds:Transforms>",
        "more transforms",
    );
    check("<ds:KeyInfo>", "<ds:KeyInfo><ds:RetrievalMethod URI=\"#k\"/>", "KeyInfo");
    check("</ds:KeyInfo>", "</ds:KeyInfo><ds:Object/>", "more in Signature");
    check(
        "</ds:SignatureValue>",
        "</ds:SignatureValue><ds:SignatureValue>AA==</ds:SignatureValue>",
        "no KeyInfo",
    );
    check("<ds:SignedInfo>", "<ds:SignedInfo/><ds:SignedInfo>", "no SignatureValue");
    check("<ds:SignedInfo>", "<ds:SignedInfo>text", "text in SignedInfo");
    check("<ds:DigestValue>", "<ds:DigestValue><x/>", "DigestValue with more than text");
    check("<ds:DigestValue>", "<ds:DigestValue>AAAA", "not of http://www.w3.org/2001/04/xmlenc#sha256");
    check("<ds:DigestValue>", "<ds:DigestValue>*", "not base64");
    check("<ds:SignatureValue>", "<ds:SignatureValue><x/>", "SignatureValue with more than text");
    // Where a comment splits a value, readers disagree about what it is (S2, S3).
    for (before, after) in [
        ("<ds:DigestValue>OKmOk18n", "MI+K1Zu7"),
        ("<ds:SignatureValue>VG6R1ER5", "YqrEgYgz"),
        ("<ds:X509Certificate>MIIDNjCC", "Ah6gAwIB"),
        (">not(", "ancestor-or-self"),
        ("<ds:SignedInfo>", ""),
        ("<ds:KeyInfo>", ""),
        ("<ds:SignatureValue>", ""),
    ] {
        check(&format!("{before}{after}"), &format!("{before}<!-- x -->{after}"), "a comment in");
    }
    check("#rsa-sha256\"/>", "#rsa-sha256\"><!----></ds:SignatureMethod>", "a comment in SignatureMethod");
    let method = "#rsa-sha256\"/>";
    let truncated = "#rsa-sha256\"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:SignatureMethod>";
    check(method, truncated, "a parameter in SignatureMethod");
    let more = "<x xmlns=\"urn:x\"><ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/></x>";
    check("</soap:Header>", &format!("{more}</soap:Header>"), "more than one Signature");
    let many = format!(
        "{reference}<ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
        <ds:DigestValue>{}</ds:DigestValue></ds:Reference>",
        DIGESTS[0]
    );
    check(reference, &format!("{}{reference}", many.repeat(100)), "too many References");
}

/// What a signature may hold, or leave out, in any number is counted: at the bound, one past it and far past it. Both
/// engines count alike.
#[test]
fn a_signature_holds_and_leaves_out_so_much_and_no_more_s6() {
    let check =
        |what: &str, allowed: usize, told: &str, verdict: &dyn Fn(usize) -> Result<(), SignatureFault>| {
            assert_eq!(verdict(allowed), Ok(()), "{what}");
            for number in [allowed + 1, 2000] {
                let fault = verdict(number).expect_err(what);
                assert!(fault.to_string().contains(told), "{number} {what}: {fault}");
            }
        };
    let text = String::from_utf8_lossy(USER);
    let (open, end) = ("<ds:Reference URI=\"cid:decl-1@trader-0417.example\">", "</ds:Reference>");
    let (_, rest) = text.split_once(open).expect("a Reference");
    let reference = [open, rest.split_once(end).expect("its end").0, end].concat();
    check("References", REFERENCES_MAX, "too many References", &|number| {
        let more: String = (3..number).map(|at| reference.replace("decl-1", &format!("p{at}"))).collect();
        outside(&edited(open, &(more + open)))
    });
    let certificate = "<ds:X509Certificate>";
    check("certificates", 8, "too many certificates", &|number| {
        let more = format!("{certificate}AAAA</ds:X509Certificate>").repeat(number - 1);
        outside(&edited(certificate, &(more + certificate)))
    });
    let trader = certified(sample!("trader.crt"));
    check("elements for the next actor", LEFT_OUT_MAX, "too many elements for the next actor", &|number| {
        let next = "<x soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"/>";
        let more = next.repeat(number - 1) + "<eb:SyncReply ";
        verdict(&edited("<eb:SyncReply ", &more), &PARTS, &trader).map(|_| ())
    });
}

/// An envelope without signature, and where one goes.
fn unsigned() -> (String, usize) {
    let text = String::from_utf8_lossy(USER).into_owned();
    let (before, rest) = text.split_once("<ds:Signature ").expect("a signature");
    let (_, after) = rest.split_once("</ds:Signature>").expect("its end");
    ([before, after].concat(), before.len())
}

//= ebms2 4.1.3 MUST: what is signed here verifies by libxmlsec1, and what it signs here
#[test]
fn each_engine_verifies_what_the_other_signs() {
    let (text, at) = unsigned();
    let of_terms = SignatureAlgorithm::ALL.into_iter().zip(
        [
            (DigestMethod::Sha256, Canonicalization::Xml10),
            (DigestMethod::Sha384, Canonicalization::Xml11),
            (DigestMethod::Sha512, Canonicalization::Exclusive),
        ]
        .into_iter()
        .cycle(),
    );
    for (algorithm, (digest, canonicalization)) in of_terms {
        let identity = Identity::new("TRADER-0417", algorithm);
        let ring = ring(identity.der());
        let key = identity.signing_key();
        let payload_transforms = false;
        let terms = SigningTerms { algorithm, digest, canonicalization, payload_transforms };
        let signer = Signer { key: &key, terms };
        let payloads = PARTS.map(|(content_id, body)| {
            let method = digest;
            let value = digest_of(method, body).expect("a digest");
            DigestReference { uri: format!("cid:{content_id}").into(), transforms: Vec::new(), method, value }
        });
        let (signed, references) =
            sign(&text, at, payloads.to_vec(), &signer, Cover::WithoutNextMsh).expect("signs");
        if own_only(algorithm) {
            assert_eq!(verdict(signed.as_bytes(), &PARTS, &ring).expect("verifies").0, references);
            continue;
        }
        let (covered, octets) = verdict(signed.as_bytes(), &PARTS, &ring).expect("verifies");
        assert_eq!(covered, references);
        assert!(!octets.is_empty());

        // The same signature, made by libxmlsec1 from ours with its values taken out.
        let mut template = signed.clone();
        for name in ["ds:DigestValue", "ds:SignatureValue"] {
            let (open, close) = (format!("<{name}>"), format!("</{name}>"));
            let emptied = template.split_inclusive(&close).map(|piece| match piece.split_once(&open) {
                Some((before, _)) => [before, &open, &close].concat(),
                None => piece.to_owned(),
            });
            template = emptied.collect();
        }
        let key = identity.key.private_key_to_pkcs8().expect("PKCS #8");
        let key = PrivateKey::from_pkcs8_der(&key).expect("a private key");
        let engine = XmlSec::init().expect("libxmlsec1 starts");
        let theirs = engine.sign(template.as_bytes(), &PARTS, &key).expect("signs");
        assert_eq!(verdict(&theirs, &PARTS, &ring).expect("verifies").0, references);
    }
}

#[test]
fn a_value_in_the_envelope_cannot_take_the_place_of_its_digest() {
    let (text, at) = unsigned();
    let decoy = "&lt;ds:DigestValue>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let text = text.replace("Import declaration", decoy);
    let identity = Identity::new("TRADER-0417", SignatureAlgorithm::EcdsaSha256);
    let key = identity.signing_key();
    let (signed, _) = sign(&text, at, Vec::new(), &key.strict(), Cover::WithoutNextMsh).expect("signs");
    verdict(signed.as_bytes(), &[], &ring(identity.der())).expect("verifies");
    assert!(signed.contains(decoy));
}
