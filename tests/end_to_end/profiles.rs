//! One message of each kind of partner that a profile is named for, with the habits of the digest (18): written and signed
//! by hand, octet for octet, with OpenSSL for the arithmetic and nothing of our encoder. Each is taken under its profile,
//! and refused under the strict one where it deviates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::{X509, X509NameBuilder};

use crate::connection::Connection;
use crate::correspondent::{Listener, now};
use crate::golden::{C14N, DS, EB, SOAP, Stage, XLINK, XPATH};
use crate::world::World;

/// Three names for a partner in Norway, one each for the others.
const OTHER_IDS: &str = "other_ids = [\"urn:osb:oin 00000001234567890000\", \
    \"urn:nhs:names:partyType:ocs+serviceInstance YES-0000806\", \"HER 90001\", \"orgnummer 987654321\", \
    \"ENH 987654322\", \"zz 2.16.840.1.114222.4.1.1\"]\n";

/// What is agreed with each, under its profile and, as `strict-…`, under the strict one.
struct Terms {
    cpa_id: &'static str,
    profile: &'static str,
    own_id: &'static str,
    receive: &'static str,
    more: &'static str,
}

const TERMS: [Terms; 6] = [
    Terms {
        cpa_id: "dk-reliable-signed",
        profile: "digikoppeling",
        own_id: "urn:osb:oin 00000009876543210000",
        receive: "urn:osb:services:osb:melding$1.0 indienen",
        more: "sync_reply_mode = \"none\"\n",
    },
    Terms {
        cpa_id: "dk-reliable",
        profile: "digikoppeling-plain",
        own_id: "urn:osb:oin 00000009876543210000",
        receive: "urn:osb:services:osb:melding$1.0 indienen",
        more: "sync_reply_mode = \"none\"\nack_signed = false\n",
    },
    Terms {
        cpa_id: "S3024519A3110234",
        profile: "nhs-spine",
        own_id: "urn:nhs:names:partyType:ocs+serviceInstance YEA-801248",
        receive: "urn:nhs:names:services:pds PRPA_IN040000UK15",
        more: "ack_signed = false\n",
    },
    Terms {
        cpa_id: "90001_90002",
        profile: "norwegian-health",
        own_id: "HER 90002",
        receive: "Innsending Melding",
        more: "service_type = \"string\"\n",
    },
    Terms {
        cpa_id: "90001_90002_old",
        profile: "norwegian-health",
        own_id: "HER 90002",
        receive: "Innsending Melding",
        more: "service_type = \"string\"\nsha1_until = \"9999-01-01T00:00:00Z\"\n",
    },
    Terms {
        cpa_id: "2.16.840.1.114222.4.1.2.2.16.840.1.114222.4.1.1",
        profile: "phinms",
        own_id: "zz 2.16.840.1.114222.4.1.2",
        receive: "defaultservice defaultaction",
        more: "service_type = \"string\"\nack_signed = false\n",
    },
];

/// A gateway that has agreed all of it with the broker, who signs with RSA.
struct Scene {
    stage: Stage,
    heard: Listener,
    key: PKey<Private>,
    /// The certificate, DER in base64.
    certificate: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let own = world.read("broker.toml");
        let listens = own.lines().find(|line| line.starts_with("ebms = ")).expect("listens");
        let address = listens.split('"').nth(1).expect("an address").to_owned();
        let (key, certificate) = rsa();
        let pem = certificate.to_pem().expect("is written");
        world.write("pki/broker/rsa.pem", std::str::from_utf8(&pem).expect("is text"));
        let file = "partners/broker.toml";
        let with_rsa = |line: &str| line.replace(']', ", \"../pki/broker/rsa.pem\"]");
        let signing = world.read(file);
        let signing =
            signing.lines().find(|line| line.starts_with("signing_certificates")).expect("has them");
        world.edit(file, signing, &with_rsa(signing));
        world.edit(file, "[[agreement]]\n", &format!("{OTHER_IDS}\n[[agreement]]\n"));
        let mut text = world.read(file);
        for Terms { cpa_id, profile, own_id, receive, more } in &TERMS {
            for (cpa_id, profile, more) in [
                (cpa_id.to_string(), *profile, more.to_string()),
                (format!("strict-{cpa_id}"), "strict", without_sha1(more)),
            ] {
                text += &format!(
                    "\n[[agreement]]\ncpa_id = \"{cpa_id}\"\nprofile = \"{profile}\"\nown_role = \"Receiver\"\n\
                     partner_role = \"Sender\"\nendpoint = \"https://localhost:{}/ebms\"\n\
                     own_algorithm = \"ecdsa-sha256\"\nother_own_ids = [\"{own_id}\"]\nreceive = [\"{receive}\"]\n{more}",
                    address.rsplit(':').next().expect("a port")
                );
            }
        }
        world.write(file, &text);
        let stage = Stage::over(world).await;
        let heard = stage.broker.listen(address.parse().expect("an address")).await;
        let certificate = STANDARD.encode(certificate.to_der().expect("is written"));
        Self { stage, heard, key, certificate }
    }

    /// Posts octets, and gives all of the answer.
    async fn post(&self, head: &str, body: &[u8]) -> String {
        let mut connection = Connection::open(&self.stage.world).await;
        let length = body.len();
        let head = format!(
            "POST /ebms HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n"
        );
        connection.send(&[head.as_bytes(), body].concat()).await;
        connection.rest().await
    }

    /// The signature over these references, in this canonical form, with a digest and the key's algorithm.
    fn signature(&self, terms: &Signing, references: &[(&str, &[u8])]) -> String {
        let Signing { canonical, method, message_digest, digest_method, .. } = terms;
        let mut info = format!(
            "<ds:CanonicalizationMethod Algorithm=\"{canonical}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod>"
        );
        for (uri, octets) in references {
            let transforms = if uri.is_empty() {
                format!(
                    "<ds:Transforms><ds:Transform Algorithm=\"{DS}enveloped-signature\"></ds:Transform>{XPATH}\
                     <ds:Transform Algorithm=\"{canonical}\"></ds:Transform></ds:Transforms>"
                )
            } else {
                String::new()
            };
            let value = STANDARD.encode(hash(*message_digest, octets).expect("hashes"));
            info += &format!(
                "<ds:Reference URI=\"{uri}\">{transforms}<ds:DigestMethod Algorithm=\"{digest_method}\">\
                 </ds:DigestMethod><ds:DigestValue>{value}</ds:DigestValue></ds:Reference>"
            );
        }
        let context = terms.in_scope;
        let octets = format!("<ds:SignedInfo xmlns:ds=\"{DS}\"{context}>{info}</ds:SignedInfo>");
        let mut signer = Signer::new(*message_digest, &self.key).expect("a signer");
        let value = STANDARD.encode(signer.sign_oneshot_to_vec(octets.as_bytes()).expect("signs"));
        format!(
            "<ds:Signature xmlns:ds=\"{DS}\"><ds:SignedInfo>{info}</ds:SignedInfo><ds:SignatureValue>{value}\
             </ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data>\
             </ds:KeyInfo></ds:Signature>",
            self.certificate
        )
    }
}

/// How one of them signs.
struct Signing {
    canonical: &'static str,
    /// What the canonical form of SignedInfo declares besides.
    in_scope: &'static str,
    method: &'static str,
    message_digest: MessageDigest,
    digest_method: &'static str,
}

fn without_sha1(more: &str) -> String {
    more.lines().filter(|line| !line.starts_with("sha1_until")).map(|line| format!("{line}\n")).collect()
}

/// A key of a partner, and a certificate of itself for it.
fn rsa() -> (PKey<Private>, X509) {
    let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "broker rsa").expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("a certificate");
    builder.set_version(2).expect("a version");
    let serial = BigNum::from_u32(7).and_then(|number| number.to_asn1_integer()).expect("a number");
    builder.set_serial_number(&serial).expect("a number");
    builder.set_subject_name(&name).expect("a name");
    builder.set_issuer_name(&name).expect("a name");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("today")).expect("a day");
    builder.set_not_after(&Asn1Time::days_from_now(30).expect("a month")).expect("a day");
    builder.set_pubkey(&key).expect("a key");
    builder.sign(&key, MessageDigest::sha256()).expect("signs");
    (key, builder.build())
}

/// Whether an answer acknowledges a message, in octets that nothing of ours has read.
fn acknowledges(answer: &str, message_id: &str, signed: bool) {
    let reference = format!("<eb:RefToMessageId>{message_id}</eb:RefToMessageId>");
    assert!(answer.contains("<eb:Action>Acknowledgment</eb:Action>"), "{answer}");
    // In MessageData and in Acknowledgment.
    assert_eq!(answer.matches(&reference).count(), 2, "{answer}");
    assert_eq!(answer.contains("<ds:SignatureValue>"), signed, "{answer}");
}

fn refuses(answer: &str, code: &str) {
    assert!(answer.contains("<eb:Action>MessageError</eb:Action>"), "{answer}");
    assert!(answer.contains(&format!("eb:errorCode=\"{code}\"")), "{answer}");
}

/// Digikoppeling, reliable and signed: OINs, no Service type, exclusive canonical form and SHA-512, everything
/// asynchronous, the acknowledgment signed and alone. And reliable alone, which nobody signs.
#[tokio::test(flavor = "multi_thread")]
async fn digikoppeling_is_understood_signed_and_plain() {
    let mut scene = Scene::new().await;
    let terms = Signing {
        canonical: "http://www.w3.org/2001/10/xml-exc-c14n#",
        in_scope: "",
        method: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        message_digest: MessageDigest::sha512(),
        digest_method: "http://www.w3.org/2001/04/xmlenc#sha512",
    };
    let payload = b"<melding xmlns=\"urn:voorbeeld\">1</melding>";
    let mut serial = 0;
    let mut message = |scene: &Scene, cpa_id: &str, signed: bool| {
        serial += 1;
        let id = format!("20261130-{serial}@overheid.example");
        // As the exclusive form has it: each namespace declared where it is used first, and nowhere else.
        let header = format!(
            "<eb:MessageHeader xmlns:eb=\"{EB}\" soap:mustUnderstand=\"1\" eb:version=\"2.0\">\
             <eb:From><eb:PartyId eb:type=\"urn:osb:oin\">00000001234567890000</eb:PartyId><eb:Role>Sender</eb:Role></eb:From>\
             <eb:To><eb:PartyId eb:type=\"urn:osb:oin\">00000009876543210000</eb:PartyId><eb:Role>Receiver</eb:Role></eb:To>\
             <eb:CPAId>{cpa_id}</eb:CPAId><eb:ConversationId>{id}</eb:ConversationId>\
             <eb:Service>urn:osb:services:osb:melding$1.0</eb:Service><eb:Action>indienen</eb:Action>\
             <eb:MessageData><eb:MessageId>{id}</eb:MessageId><eb:Timestamp>{}</eb:Timestamp></eb:MessageData>\
             <eb:DuplicateElimination></eb:DuplicateElimination></eb:MessageHeader>\
             <eb:AckRequested xmlns:eb=\"{EB}\" soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\" \
             soap:mustUnderstand=\"1\" eb:signed=\"{signed}\" eb:version=\"2.0\"></eb:AckRequested>",
            now()
        );
        let envelope = |signature: &str| {
            format!(
                "<soap:Envelope xmlns:soap=\"{SOAP}\"><soap:Header>{header}{signature}</soap:Header><soap:Body>\
                 <eb:Manifest xmlns:eb=\"{EB}\" eb:version=\"2.0\"><eb:Reference xmlns:xlink=\"{XLINK}\" \
                 xlink:href=\"cid:melding@overheid.example\" xlink:type=\"simple\"></eb:Reference></eb:Manifest>\
                 </soap:Body></soap:Envelope>"
            )
        };
        let covered = envelope("");
        let references = [("", covered.as_bytes()), ("cid:melding@overheid.example", &payload[..])];
        let signature = if signed { scene.signature(&terms, &references) } else { String::new() };
        let body = format!(
            "--MIMEBoundary\r\nContent-Type: text/xml; charset=UTF-8\r\nContent-ID: <ebms@overheid.example>\r\n\r\n{}\r\n\
             --MIMEBoundary\r\nContent-Type: application/xml\r\nContent-ID: <melding@overheid.example>\r\n\r\n{}\r\n\
             --MIMEBoundary--\r\n",
            envelope(&signature),
            String::from_utf8_lossy(payload)
        );
        (id, body)
    };
    let head = "Content-Type: multipart/related; boundary=\"MIMEBoundary\"; type=\"text/xml\"; \
                start=\"<ebms@overheid.example>\"\r\nSOAPAction: \"ebXML\"\r\n";
    for (cpa_id, signed, code) in
        [("dk-reliable-signed", true, "SecurityFailure"), ("dk-reliable", false, "SecurityFailure")]
    {
        let (id, body) = message(&scene, cpa_id, signed);
        let answer = scene.post(head, body.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        let told = scene.heard.next().await;
        let told = String::from_utf8_lossy(&told.body).into_owned();
        acknowledges(&told, &id, signed);
        if signed {
            let digest = STANDARD.encode(hash(MessageDigest::sha512(), payload).expect("hashes"));
            assert!(told.contains(&digest), "{told}");
        }
        let (_, body) = message(&scene, &format!("strict-{cpa_id}"), signed);
        let answer = scene.post(head, body.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        refuses(&String::from_utf8_lossy(&scene.heard.next().await.body), code);
    }
    scene.stage.told("unsigned-messages", 1).await;
    scene.stage.told("message.deviates", 1).await;
}

/// NHS Spine, forward reliable: no signature, no Role, UUIDs in capitals, a SOAPAction of the interaction, a foreign
/// element in each Reference, and one that names another message by `mid:`.
#[tokio::test(flavor = "multi_thread")]
async fn nhs_spine_is_understood() {
    let scene = Scene::new().await;
    let message = |cpa_id: &str, id: &str| {
        format!(
            "----=_MIME-Boundary\r\nContent-Id: <ebXMLHeader@spine.nhs.uk>\r\nContent-Type: text/xml; charset=UTF-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <SOAP:Envelope xmlns:SOAP=\"{SOAP}\" xmlns:eb=\"{EB}\" xmlns:xlink=\"{XLINK}\" \
             xmlns:hl7ebxml=\"urn:hl7-org:transport/ebxml/DSTUv1.0\">\r\n<SOAP:Header>\r\n\
             <eb:MessageHeader eb:version=\"2.0\" SOAP:mustUnderstand=\"1\">\r\n\
             <eb:From><eb:PartyId eb:type=\"urn:nhs:names:partyType:ocs+serviceInstance\">YES-0000806</eb:PartyId></eb:From>\r\n\
             <eb:To><eb:PartyId eb:type=\"urn:nhs:names:partyType:ocs+serviceInstance\">YEA-801248</eb:PartyId></eb:To>\r\n\
             <eb:CPAId>{cpa_id}</eb:CPAId><eb:ConversationId>{id}</eb:ConversationId>\r\n\
             <eb:Service>urn:nhs:names:services:pds</eb:Service><eb:Action>PRPA_IN040000UK15</eb:Action>\r\n\
             <eb:MessageData><eb:MessageId>{id}</eb:MessageId><eb:Timestamp>{}</eb:Timestamp></eb:MessageData>\r\n\
             <eb:DuplicateElimination/>\r\n</eb:MessageHeader>\r\n\
             <eb:AckRequested eb:version=\"2.0\" SOAP:mustUnderstand=\"1\" eb:signed=\"false\" \
             SOAP:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"/>\r\n\
             <eb:SyncReply eb:version=\"2.0\" SOAP:mustUnderstand=\"1\" \
             SOAP:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"/>\r\n</SOAP:Header>\r\n<SOAP:Body>\r\n\
             <eb:Manifest eb:version=\"2.0\" SOAP:mustUnderstand=\"1\">\r\n\
             <eb:Reference xlink:href=\"cid:payload@spine.nhs.uk\"><eb:Schema eb:version=\"1.0\" \
             eb:location=\"http://www.nhsia.nhs.uk/schemas/HL7-Message.xsd\"/>\
             <eb:Description xml:lang=\"en\">PDS</eb:Description>\
             <hl7ebxml:Payload style=\"HL7\" encoding=\"XML\" version=\"3.0\"/></eb:Reference>\r\n\
             <eb:Reference xlink:href=\"mid:4C4E6A52-0B8B-4B8C-8B1F-7C4F7B3C9E01\"/>\r\n\
             </eb:Manifest>\r\n</SOAP:Body>\r\n</SOAP:Envelope>\r\n\
             ----=_MIME-Boundary\r\nContent-Id: <payload@spine.nhs.uk>\r\n\
             Content-Type: application/xml; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             <PRPA_IN040000UK15 xmlns=\"urn:hl7-org:v3\"/>\r\n----=_MIME-Boundary--\r\n",
            now()
        )
    };
    let head = "Content-Type: multipart/related; boundary=\"--=_MIME-Boundary\"; type=\"text/xml\"; \
                start=\"<ebXMLHeader@spine.nhs.uk>\"\r\nSOAPAction: urn:nhs:names:services:pds/PRPA_IN040000UK15\r\n";
    let id = "C614484E-4B10-499A-9ACD-5D645CFACF61";
    let answer = scene.post(head, message("S3024519A3110234", id).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    acknowledges(&answer, id, false);
    for deviation in ["unsigned-messages", "missing-role", "mid-references", "soap-action"] {
        scene.stage.told(deviation, 1).await;
    }
    scene.stage.told("message.deviates", 4).await;
    let id = "C614484E-4B10-499A-9ACD-5D645CFACF62";
    let answer = scene.post(head, message("strict-S3024519A3110234", id).as_bytes()).await;
    refuses(&answer, "Inconsistent");
    scene.stage.told("message.deviates", 4).await;
}

/// Norwegian health: three PartyIds, a Service of type `string`, the handler's name in Description, everything in base64, an
/// enveloped document of CMS, one certificate in the signature. Old systems sign with SHA-1, where a day is agreed.
#[tokio::test(flavor = "multi_thread")]
async fn norwegian_health_is_understood() {
    let scene = Scene::new().await;
    let in_scope: &'static str = " xmlns:eb=\"http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd\" \
         xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"";
    let sha256 = Signing {
        canonical: C14N,
        in_scope,
        method: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        message_digest: MessageDigest::sha256(),
        digest_method: "http://www.w3.org/2001/04/xmlenc#sha256",
    };
    let sha1 = Signing {
        method: "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        message_digest: MessageDigest::sha1(),
        digest_method: "http://www.w3.org/2000/09/xmldsig#sha1",
        ..sha256
    };
    let payload = [0x30, 0x80, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];
    let message = |cpa_id: &str, id: &str, terms: &Signing| {
        let header = format!(
            "<eb:MessageHeader soap:mustUnderstand=\"1\" eb:version=\"2.0\"><eb:From>\
             <eb:PartyId eb:type=\"HER\">90001</eb:PartyId><eb:PartyId eb:type=\"orgnummer\">987654321</eb:PartyId>\
             <eb:PartyId eb:type=\"ENH\">987654322</eb:PartyId><eb:Role>Sender</eb:Role></eb:From>\
             <eb:To><eb:PartyId eb:type=\"HER\">90002</eb:PartyId><eb:Role>Receiver</eb:Role></eb:To>\
             <eb:CPAId>{cpa_id}</eb:CPAId><eb:ConversationId>{id}</eb:ConversationId>\
             <eb:Service eb:type=\"string\">Innsending</eb:Service><eb:Action>Melding</eb:Action>\
             <eb:MessageData><eb:MessageId>{id}</eb:MessageId><eb:Timestamp>{}</eb:Timestamp></eb:MessageData>\
             <eb:DuplicateElimination></eb:DuplicateElimination>\
             <eb:Description xml:lang=\"no\">Meldingstjener 3.1</eb:Description></eb:MessageHeader>\
             <eb:AckRequested soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\" soap:mustUnderstand=\"1\" \
             eb:signed=\"true\" eb:version=\"2.0\"></eb:AckRequested>",
            now()
        );
        let envelope = |more: &str| {
            format!(
                "<soap:Envelope{in_scope}><soap:Header>{header}{more}</soap:Header><soap:Body>\
                 <eb:Manifest eb:version=\"2.0\"><eb:Reference xlink:href=\"cid:fagmelding@nhn.example\" \
                 xlink:type=\"simple\"></eb:Reference></eb:Manifest></soap:Body></soap:Envelope>"
            )
        };
        let covered = envelope("");
        let references = [("", covered.as_bytes()), ("cid:fagmelding@nhn.example", &payload[..])];
        let sync_reply = "<eb:SyncReply soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\" \
                          soap:mustUnderstand=\"1\" eb:version=\"2.0\"></eb:SyncReply>";
        let text = envelope(&(sync_reply.to_owned() + &scene.signature(terms, &references)));
        let lines = |octets: &[u8]| {
            let text = STANDARD.encode(octets);
            let lines: Vec<_> = text.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
            lines.join("\r\n")
        };
        format!(
            "--next\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nContent-ID: <soap@nhn.example>\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--next\r\n\
             Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\
             Content-ID: <fagmelding@nhn.example>\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--next--\r\n",
            lines(text.as_bytes()),
            lines(&payload)
        )
    };
    let head = "Content-Type: multipart/related; type=\"text/xml\"; boundary=\"next\"; start=\"<soap@nhn.example>\"\r\n\
                SOAPAction: \"ebXML\"\r\n";
    let answer = scene.post(head, message("90001_90002", "1@nhn.example", &sha256).as_bytes()).await;
    acknowledges(&answer, "1@nhn.example", true);
    // It deviates in nothing: the strict profile takes it too.
    let answer = scene.post(head, message("strict-90001_90002", "2@nhn.example", &sha256).as_bytes()).await;
    acknowledges(&answer, "2@nhn.example", true);
    scene.stage.told("message.deviates", 0).await;
    let answer = scene.post(head, message("90001_90002_old", "3@nhn.example", &sha1).as_bytes()).await;
    acknowledges(&answer, "3@nhn.example", true);
    scene.stage.told("message.sha1", 1).await;
    for cpa_id in ["90001_90002", "strict-90001_90002_old"] {
        let answer = scene.post(head, message(cpa_id, "4@nhn.example", &sha1).as_bytes()).await;
        refuses(&answer, "SecurityFailure");
    }
    scene.stage.told("message.sha1", 1).await;
}

/// PHINMS: CPAId `TO.FROM`, Service of type `string`, `start` without brackets, no SyncReply although the answer comes back on
/// the connection, no signature, more in the Manifest and in a part of its own; its acknowledgments have such a part too.
#[tokio::test(flavor = "multi_thread")]
async fn phinms_is_understood() {
    let scene = Scene::new().await;
    let cpa_id = "2.16.840.1.114222.4.1.2.2.16.840.1.114222.4.1.1";
    let package = |cpa_id: &str, service: &str, action: &str, id: &str, more: [&str; 3], parts: &str| {
        let [reference, blocks, body] = more;
        format!(
            "------=_Part_7\r\nContent-Type: text/xml\r\nContent-ID: ebxml-envelope@phinms\r\n\r\n\
             <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soap-env:Envelope xmlns:soap-env=\"{SOAP}\" xmlns:eb=\"{EB}\" \
             xmlns:xlink=\"{XLINK}\" xmlns:bsns=\"urn:phinms:bsns\"><soap-env:Header>\
             <eb:MessageHeader eb:version=\"2.0\" soap-env:mustUnderstand=\"1\">\
             <eb:From><eb:PartyId eb:type=\"zz\">2.16.840.1.114222.4.1.1</eb:PartyId><eb:Role>Sender</eb:Role></eb:From>\
             <eb:To><eb:PartyId eb:type=\"zz\">2.16.840.1.114222.4.1.2</eb:PartyId><eb:Role>Receiver</eb:Role></eb:To>\
             <eb:CPAId>{cpa_id}</eb:CPAId><eb:ConversationId>{id}</eb:ConversationId>{service}\
             <eb:Action>{action}</eb:Action><eb:MessageData><eb:MessageId>{id}</eb:MessageId>\
             <eb:Timestamp>{}</eb:Timestamp>{reference}</eb:MessageData><eb:DuplicateElimination/></eb:MessageHeader>\
             {blocks}</soap-env:Header><soap-env:Body>{body}</soap-env:Body></soap-env:Envelope>\r\n{parts}\
             ------=_Part_7\r\nContent-Type: text/xml\r\nContent-ID: <status@phinms>\r\n\r\n\
             <response><msh_response><status>none</status></msh_response></response>\r\n------=_Part_7--\r\n",
            now()
        )
    };
    let user = |cpa_id: &str, id: &str| {
        let blocks = "<eb:AckRequested eb:version=\"2.0\" soap-env:mustUnderstand=\"1\" eb:signed=\"false\" \
                      soap-env:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"/>";
        let body = "<eb:Manifest eb:version=\"2.0\"><eb:Reference xlink:type=\"simple\" xlink:href=\"cid:file@phinms\" \
                    xlink:role=\"urn:phinms:file\"/><bsns:record recordId=\"7\"/></eb:Manifest>";
        let part = "------=_Part_7\r\nContent-Type: application/octet-stream\r\nContent-ID: <file@phinms>\r\n\
                    Content-Disposition: attachment; filename=\"hl7.txt\"\r\n\r\nMSH|^~\\&|\r\n";
        let service = "<eb:Service eb:type=\"string\">defaultservice</eb:Service>";
        package(cpa_id, service, "defaultaction", id, ["", blocks, body], part)
    };
    let head = "Content-Type: multipart/related; type=\"text/xml\"; boundary=\"----=_Part_7\"; \
                start=\"ebxml-envelope@phinms\"\r\nSOAPAction: \"ebXML\"\r\n";
    let id = "1196100000001@2.16.840.1.114222.4.1.1";
    let answer = scene.post(head, user(cpa_id, id).as_bytes()).await;
    acknowledges(&answer, id, false);
    for deviation in ["unsigned-messages", "missing-sync-reply", "unreferenced-parts"] {
        scene.stage.told(deviation, 1).await;
    }
    scene.stage.told("message.deviates", 3).await;
    let strict = format!("strict-{cpa_id}");
    let answer = scene.post(head, user(&strict, "1196100000002@2.16.840.1.114222.4.1.1").as_bytes()).await;
    refuses(&answer, "SecurityFailure");

    // Its acknowledgment of something: there is nothing to answer, and nothing of it is refused but where it is strict.
    let signal = |cpa_id: &str, id: &str| {
        let of = "something@gateway.example";
        let reference = format!("<eb:RefToMessageId>{of}</eb:RefToMessageId>");
        let blocks = format!(
            "<eb:Acknowledgment eb:version=\"2.0\" soap-env:mustUnderstand=\"1\"><eb:Timestamp>{}</eb:Timestamp>\
             {reference}</eb:Acknowledgment>",
            now()
        );
        let service = "<eb:Service>urn:oasis:names:tc:ebxml-msg:service</eb:Service>";
        package(cpa_id, service, "Acknowledgment", id, [&reference, &blocks, ""], "")
    };
    for (cpa_id, told) in [(cpa_id, 1), (&*strict, 1)] {
        let answer = scene.post(head, signal(cpa_id, "1196100000003@phinms").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        scene.stage.told("signal-parts", told).await;
    }
    let refused = scene.stage.world.ask_text("/metrics").await;
    assert!(
        refused.lines().any(|line| line.contains("\"message.refused\"") && line.ends_with(" 2")),
        "{refused}"
    );
}
