//! Messages written and signed by hand, octet for octet: with OpenSSL for the arithmetic, and nothing of our encoder,
//! our MIME or our canonical form. The envelope is written in canonical form, so that what is hashed is what is written.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gwanmun::model::{DigestMethod, DigestReference, Sealed, Transform};
use openssl::ec::EcKey;
use openssl::ecdsa::EcdsaSig;
use openssl::sha::sha256;

use crate::correspondent::{Correspondent, now};
use crate::process::Process;
use crate::world::World;

/// A gateway and a broker whose agreement has the profile `standard`.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) broker: Correspondent,
    _gateway: Process,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::of("profile = \"standard\"\n").await
    }

    /// The same with other terms.
    pub(crate) async fn of(terms: &str) -> Self {
        let world = World::new();
        let agreement = "cpa_id = \"swgw-broker-1\"\n";
        world.edit("partners/broker.toml", agreement, &format!("{agreement}{terms}"));
        Self::over(world).await
    }

    /// The same in a world as it is.
    pub(crate) async fn over(world: World) -> Self {
        let gateway = world.serve().await;
        let broker = Correspondent::new(&world, "broker");
        Self { world, broker, _gateway: gateway }
    }

    /// A lodging that is in order, and one attachment more.
    pub(crate) fn package(&self, serial: u32) -> Package {
        let lodging = self.world.lodging(serial);
        // X02 names an attachment by the Content-ID that our own broker gives it.
        let payloads = lodging.payloads.iter().filter(|payload| !payload.content_id.as_str().contains("X02"));
        let payloads =
            payloads.filter_map(|payload| Some((payload.role.clone()?, payload.body.held().clone())));
        Package {
            serial,
            conversation: lodging.declaration,
            documents: payloads.map(|(role, body)| (role.to_string(), body)).collect(),
            attachment: b"%PDF-1.4\n".to_vec(),
            attachment_type: "application/pdf".into(),
            outer:
                "multipart/related; type=\"text/xml\"; boundary=\"=_B-1\"; start=\"<soap@broker.example>\""
                    .into(),
            boundary: "=_B-1".into(),
            root_type: "text/xml; charset=UTF-8".into(),
            declaration: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".into(),
            charset: Charset::Utf8,
            root_encoding: Encoding::None,
            payload_encoding: Encoding::None,
            payload_header: String::new(),
            root_at: 0,
            id_name: "Content-ID".into(),
            brackets: ("<", ">"),
            id: |at| format!("part-{at}@broker.example"),
            cid: |id| format!("cid:{}", id.bytes().map(escaped).collect::<String>()),
            preamble: String::new(),
            padding: String::new(),
            close: "--".into(),
            last_line: "\r\n".into(),
            epilogue: String::new(),
            line_end: "\r\n",
            stray: false,
            without_manifest: false,
            signed_cid: None,
            blocks: vec![SYNC_REPLY],
            changes: Vec::new(),
            behind: Box::new(|body| body),
            signer: "broker",
        }
    }

    pub(crate) fn ping(&self) -> String {
        let header =
            message_header("urn:oasis:names:tc:ebxml-msg:service", "Ping", "ping-1@broker.example", "ping");
        envelope(&[&header], "")
    }

    /// So often an event was told of the broker.
    pub(crate) async fn told(&self, event: &str, times: u32) {
        let metrics = self.world.ask_text("/metrics").await;
        let found: u32 = metrics
            .lines()
            .filter(|line| line.contains(&format!("\"{event}\"")) && line.contains("Broker"))
            .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok()).expect("a count"))
            .sum();
        assert_eq!(found, times, "{event}: {metrics}");
    }
}

/// A message and the habits of who packs it.
pub(crate) struct Package {
    pub(crate) serial: u32,
    pub(crate) conversation: String,
    /// Role and octets.
    pub(crate) documents: Vec<(String, Bytes)>,
    pub(crate) attachment: Vec<u8>,
    pub(crate) attachment_type: String,
    pub(crate) outer: String,
    pub(crate) boundary: String,
    pub(crate) root_type: String,
    pub(crate) declaration: String,
    pub(crate) charset: Charset,
    pub(crate) root_encoding: Encoding,
    pub(crate) payload_encoding: Encoding,
    /// Fields that each payload has besides.
    pub(crate) payload_header: String,
    /// Where the SOAP part stands among the others.
    pub(crate) root_at: usize,
    pub(crate) id_name: String,
    pub(crate) brackets: (&'static str, &'static str),
    pub(crate) id: fn(usize) -> String,
    /// The URI that names an id.
    pub(crate) cid: fn(&str) -> String,
    pub(crate) preamble: String,
    /// Behind each boundary.
    pub(crate) padding: String,
    /// Behind the last one.
    pub(crate) close: String,
    pub(crate) last_line: String,
    pub(crate) epilogue: String,
    pub(crate) line_end: &'static str,
    /// One part more, which nothing names.
    pub(crate) stray: bool,
    /// The Manifest is not there.
    pub(crate) without_manifest: bool,
    /// The URI that names an id in the signature, where it is another one than in the Manifest.
    pub(crate) signed_cid: Option<fn(&str) -> String>,
    /// Blocks that no signature covers.
    pub(crate) blocks: Vec<&'static str>,
    /// What is done to the envelope before it is signed, in canonical form as it is.
    pub(crate) changes: Vec<Box<dyn Fn(String) -> String>>,
    /// What is done to the whole body after that.
    pub(crate) behind: Box<dyn Fn(String) -> String>,
    /// Whose key signs it; empty for none.
    pub(crate) signer: &'static str,
}

pub(crate) enum Charset {
    Utf8,
    Utf8WithMark,
    Utf16(fn(u16) -> [u8; 2]),
    Utf16WithoutMark,
}

#[derive(Clone, Copy)]
pub(crate) enum Encoding {
    None,
    Named(&'static str),
    Base64,
    QuotedPrintable,
}

impl Package {
    pub(crate) fn set_boundary(&mut self, boundary: &str) {
        self.boundary = boundary.to_owned();
        self.outer = self.outer.replace("=_B-1", boundary);
    }

    /// Has `from`, which must stand in the envelope, replaced before it is signed.
    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.changes.push(Box::new(move |envelope| {
            assert_eq!(envelope.matches(&from).count(), 1, "{from:?} stands once in {envelope}");
            envelope.replace(&from, &to)
        }));
    }

    /// Has what stands behind `before`, as far as the next tag, replaced before it is signed.
    pub(crate) fn value(&mut self, before: &'static str, value: &str) {
        let value = value.to_owned();
        self.changes.push(Box::new(move |envelope| {
            let (head, rest) = envelope.split_once(before).expect(before);
            let (_, tail) = rest.split_once('<').expect("a tag");
            [head, before, &value, "<", tail].concat()
        }));
    }

    fn changed(&self, envelope: String) -> String {
        self.changes.iter().fold(envelope, |envelope, change| change(envelope))
    }

    /// The octets, signed, and what the receipt must repeat.
    pub(crate) fn sealed(&self, stage: &Stage) -> Sealed {
        let mut payloads: Vec<(String, &str, &[u8])> =
            self.documents.iter().map(|(_, body)| ((self.id)(0), "application/xml", &body[..])).collect();
        payloads.push((String::new(), &self.attachment_type, &self.attachment));
        for (at, payload) in payloads.iter_mut().enumerate() {
            payload.0 = (self.id)(at);
        }
        let (envelope, references) = self.envelope(stage, &payloads);
        let mut parts: Vec<Vec<u8>> = payloads
            .iter()
            .map(|(id, kind, body)| self.part(kind, id, self.payload_encoding, &self.payload_header, body))
            .collect();
        if self.stray {
            parts.push(self.part("text/plain", "stray@broker.example", Encoding::None, "", b"stray"));
        }
        let octets = match self.charset {
            Charset::Utf8 => envelope.into_bytes(),
            Charset::Utf8WithMark => [b"\xEF\xBB\xBF", envelope.as_bytes()].concat(),
            Charset::Utf16(order) => {
                [0xFEFF].into_iter().chain(envelope.encode_utf16()).flat_map(order).collect()
            }
            Charset::Utf16WithoutMark => envelope.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        };
        let header = "Content-ID: <soap@broker.example>\r\n";
        let field = |encoding| match encoding {
            Encoding::None => String::new(),
            Encoding::Named(name) => format!("Content-Transfer-Encoding: {name}\r\n"),
            Encoding::Base64 => "Content-Transfer-Encoding: base64\r\n".to_owned(),
            Encoding::QuotedPrintable => "Content-Transfer-Encoding: quoted-printable\r\n".to_owned(),
        };
        let head = format!("Content-Type: {}\r\n{header}{}\r\n", self.root_type, field(self.root_encoding));
        let root = [self.lines(&head), encoded(self.root_encoding, &octets)].concat();
        parts.insert(self.root_at.min(parts.len()), root);

        let mut body = self.lines(&self.preamble);
        for part in parts {
            body.extend(self.lines(&format!("--{}{}\r\n", self.boundary, self.padding)));
            body.extend(part);
            body.extend(self.lines("\r\n"));
        }
        if !self.close.is_empty() {
            let last = format!("--{}{}{}{}", self.boundary, self.close, self.padding, self.last_line);
            body.extend(self.lines(&(last + &self.epilogue)));
        }
        // Whatever is no text stays as it is.
        let body = match String::from_utf8(body) {
            Ok(text) => (self.behind)(text).into_bytes(),
            Err(other) => other.into_bytes(),
        };
        Sealed { content_type: self.outer.as_str().into(), body: body.into(), references }
    }

    /// Text of the package in its line ends.
    fn lines(&self, text: &str) -> Vec<u8> {
        text.replace("\r\n", self.line_end).into_bytes()
    }

    fn part(&self, kind: &str, id: &str, encoding: Encoding, more: &str, body: &[u8]) -> Vec<u8> {
        let (open, close) = self.brackets;
        let encoding_field = match encoding {
            Encoding::None => "",
            Encoding::Named(_) => unreachable!("only of the SOAP part"),
            Encoding::Base64 => "Content-Transfer-Encoding: Base64\r\n",
            Encoding::QuotedPrintable => "content-transfer-encoding: Quoted-Printable\r\n",
        };
        let head = format!(
            "Content-Type: {kind}\r\n{}: {open}{id}{close}\r\n{encoding_field}{more}\r\n",
            self.id_name
        );
        [self.lines(&head), encoded(encoding, body)].concat()
    }

    /// The envelope, written in canonical form, so that what is hashed is what is written.
    fn envelope(&self, stage: &Stage, payloads: &[(String, &str, &[u8])]) -> (String, Vec<DigestReference>) {
        let id = format!("golden-{}@broker.example", self.serial);
        let header = message_header("ImportClearance", "GOVCBR929", &id, &self.conversation);
        let mut manifest = String::from("<eb:Manifest eb:version=\"2.0\">");
        for (at, (id, ..)) in payloads.iter().enumerate() {
            let uri = (self.cid)(id);
            let role =
                self.documents.get(at).map(|(role, _)| format!(" xlink:role=\"{role}\"")).unwrap_or_default();
            write!(
                manifest,
                "<eb:Reference xlink:href=\"{uri}\"{role} xlink:type=\"simple\"></eb:Reference>"
            )
            .expect("a String takes any text");
        }
        manifest.push_str("</eb:Manifest>");
        if self.without_manifest {
            manifest.clear();
        }
        let covered = self.changed(envelope(&[&header, ACK_REQUESTED], &manifest));

        let digest = |uri: &str, transforms: Vec<Transform>, octets: &[u8]| DigestReference {
            uri: uri.into(),
            transforms,
            method: DigestMethod::Sha256,
            value: sha256(octets).to_vec(),
        };
        let of_envelope =
            vec![Transform::EnvelopedSignature, Transform::ActorFilter, Transform::CanonicalXml];
        let mut references = vec![digest("", of_envelope, covered.as_bytes())];
        let cid = self.signed_cid.unwrap_or(self.cid);
        references.extend(payloads.iter().map(|(id, _, body)| digest(&cid(id), Vec::new(), body)));
        let signature =
            if self.signer.is_empty() { String::new() } else { self.signature(stage, &references) };
        let text =
            self.changed(envelope(&[&header, &self.blocks.concat(), ACK_REQUESTED, &signature], &manifest));
        (format!("{}{text}", self.declaration), references)
    }

    fn signature(&self, stage: &Stage, references: &[DigestReference]) -> String {
        let mut info = format!(
            "<ds:CanonicalizationMethod Algorithm=\"{C14N}\"></ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256\"></ds:SignatureMethod>"
        );
        for reference in references {
            let of_envelope = format!(
                "<ds:Transforms><ds:Transform Algorithm=\"{DS}enveloped-signature\"></ds:Transform>{XPATH}\
                 <ds:Transform Algorithm=\"{C14N}\"></ds:Transform></ds:Transforms>"
            );
            let transforms = if reference.uri.is_empty() { of_envelope } else { String::new() };
            write!(
                info,
                "<ds:Reference URI=\"{}\">{transforms}<ds:DigestMethod \
                 Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod><ds:DigestValue>{}\
                 </ds:DigestValue></ds:Reference>",
                reference.uri,
                STANDARD.encode(&reference.value)
            )
            .expect("a String takes any text");
        }
        info.push_str("</ds:SignedInfo>");
        let octets = format!(
            "<ds:SignedInfo xmlns:ds=\"{DS}\" xmlns:eb=\"{EB}\" xmlns:soap=\"{SOAP}\" xmlns:xlink=\"{XLINK}\">{info}"
        );
        let read = |file: &str| stage.world.read(&format!("pki/{}/{file}", self.signer));
        let key = EcKey::private_key_from_pem(read("signing.key").as_bytes()).expect("a key");
        // r and s of P-256, as XML Signature has them.
        let signature = EcdsaSig::sign(&sha256(octets.as_bytes()), &key).expect("signs");
        let halves = [signature.r(), signature.s()].map(|half| half.to_vec_padded(32).expect("32 octets"));
        let value = STANDARD.encode(halves.concat());
        let certificate: String =
            read("signing.pem").lines().filter(|line| !line.starts_with("-----")).collect();
        format!(
            "<ds:Signature xmlns:ds=\"{DS}\"><ds:SignedInfo>{info}<ds:SignatureValue>{value}</ds:SignatureValue>\
             <ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data>\
             </ds:KeyInfo></ds:Signature>"
        )
    }
}

fn envelope(blocks: &[&str], body: &str) -> String {
    format!(
        "<soap:Envelope xmlns:eb=\"{EB}\" xmlns:soap=\"{SOAP}\" xmlns:xlink=\"{XLINK}\"><soap:Header>{}</soap:Header>\
         <soap:Body>{body}</soap:Body></soap:Envelope>",
        blocks.concat()
    )
}

fn message_header(service: &str, action: &str, id: &str, conversation: &str) -> String {
    let is_user = action != "Ping";
    let (kind, eliminates) = if is_user {
        (" eb:type=\"urn:swgw:service\"", "<eb:DuplicateElimination></eb:DuplicateElimination>")
    } else {
        ("", "")
    };
    let later = now().plus(std::time::Duration::from_secs(3600));
    let ends = if is_user { format!("<eb:TimeToLive>{later}</eb:TimeToLive>") } else { String::new() };
    format!(
        "<eb:MessageHeader soap:mustUnderstand=\"1\" eb:version=\"2.0\">\
         <eb:From><eb:PartyId eb:type=\"urn:swgw:party\">BR123450000001</eb:PartyId><eb:Role>Declarant</eb:Role></eb:From>\
         <eb:To><eb:PartyId eb:type=\"urn:swgw:party\">SW000000000001</eb:PartyId><eb:Role>SingleWindow</eb:Role></eb:To>\
         <eb:CPAId>swgw-broker-1</eb:CPAId><eb:ConversationId>{conversation}</eb:ConversationId>\
         <eb:Service{kind}>{service}</eb:Service><eb:Action>{action}</eb:Action>\
         <eb:MessageData><eb:MessageId>{id}</eb:MessageId><eb:Timestamp>{}</eb:Timestamp>{ends}</eb:MessageData>\
         {eliminates}<eb:Description xml:lang=\"ko\">\u{c218}\u{c785} \u{c2e0}\u{ace0}</eb:Description></eb:MessageHeader>",
        now()
    )
}

/// Octets in a transfer encoding; lines of at most 76 characters.
fn encoded(encoding: Encoding, octets: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::None | Encoding::Named(_) => octets.to_vec(),
        Encoding::Base64 => {
            let text = STANDARD.encode(octets);
            let lines: Vec<&[u8]> = text.as_bytes().chunks(76).collect();
            lines.join(&b"\r\n"[..])
        }
        Encoding::QuotedPrintable => {
            let lines: Vec<String> = octets
                .chunks(25)
                .map(|line| line.iter().map(|octet| format!("={octet:02X}")).collect())
                .collect();
            lines.join("=\r\n").into_bytes()
        }
    }
}

/// What of a Content-ID a URI may not hold, encoded.
fn escaped(octet: u8) -> String {
    if octet.is_ascii_alphanumeric() || b"-_.@".contains(&octet) {
        char::from(octet).to_string()
    } else {
        format!("%{octet:02X}")
    }
}

pub(crate) fn percent_encoded(id: &str) -> String {
    let encode = |octet: u8| {
        if octet.is_ascii_alphanumeric() || octet == b'.' {
            char::from(octet).to_string()
        } else {
            format!("%{octet:02X}")
        }
    };
    format!("cid:{}", id.bytes().map(encode).collect::<String>())
}

pub(crate) const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub(crate) const EB: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";
pub(crate) const XLINK: &str = "http://www.w3.org/1999/xlink";
pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
pub(crate) const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const SYNC_REPLY: &str = "<eb:SyncReply soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\" soap:mustUnderstand=\"1\" eb:version=\"2.0\"></eb:SyncReply>";
pub(crate) const ACK_REQUESTED: &str = "<eb:AckRequested soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\" soap:mustUnderstand=\"1\" eb:signed=\"true\" eb:version=\"2.0\"></eb:AckRequested>";
pub(crate) const XPATH: &str = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(ancestor-or-self::node()[@soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"]|ancestor-or-self::node()[@soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"])</ds:XPath></ds:Transform>";
