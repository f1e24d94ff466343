//! The two engines against each other over generated envelopes and what becomes of them when somebody changes them.
//!
//! An envelope has prefixes, namespaces, actors, white space, comments, CDATA and references as they fall, and a
//! signature on terms that one agreement or another may have: made by our own engine, or by libxmlsec1 out of a template
//! that is written here. Both engines must accept it. Of every mutation both must say the same, but that ours may refuse
//! more, each time with one of [`NARROWER`]: what the closed profile has no place for.
//!
//! `DIFFERENTIAL_ENVELOPES` is how many, `DIFFERENTIAL_SEED` the first seed. A failing seed prints its envelope.

#![expect(clippy::string_slice, reason = "places are found in the text that is cut there")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::error::SignatureFault;
use super::keystore::{KeyRing, RegisteredCertificate, Signer, SigningKey};
use super::profile::{DSIG, SOAP, Signature};
use super::samples::{Identity, party};
use super::signature::{Cover, Engine, Part, Signed, digest_of, envelope_octets, sign};
use super::xmlsec;
use crate::codec::mime::MimePart;
use crate::codec::xml::{XmlLimits, XmlTree};
use crate::ffi::{CanonicalForm, PrivateKey, Selection, XmlSec};
use crate::model::{
    Actor, Canonicalization, ContentId, DigestMethod, DigestReference, SignatureAlgorithm, SigningTerms,
    Transform,
};

const ENVELOPES: u64 = 1500;
const MUTATIONS: usize = 3;
/// What our engine refuses and libxmlsec1 does not, each for a reason of the closed profile.
const NARROWER: [&str; 8] = [
    // What is left out of the signature stands where only signed content may (digest, 8.5).
    "left out of the signature but stands where only signed content may",
    // Readers disagree about a value that a comment splits (S2, S3).
    "a comment in ",
    // Two readers could take what is signed in canonical form for two documents (P6, P7).
    "a payload with a transform: ",
    // Text between the elements of a signature, which nobody reads.
    "text in ",
    // One place for the signature in the whole document (S1).
    "more than one Signature",
    // SOAP 1.1 has none.
    "a processing instruction is not allowed",
    // libxml2 lets some be malformed.
    "an XML declaration that is not one of XML 1.0",
    // KeyInfo selects a certificate here; libxmlsec1 has its key already.
    "X509Certificate",
];

//= ebms2 4.1.3 MUST: a second implementation of XML Signature says the same of generated envelopes and of every change to them (S1, S2)
#[test]
fn both_engines_say_the_same_of_generated_envelopes() {
    let stage = Stage::new();
    let first = setting("DIFFERENTIAL_SEED", 1);
    let seeds = first..first + setting("DIFFERENTIAL_ENVELOPES", ENVELOPES);
    let (next, tally) = (Mutex::new(seeds), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().expect("no test holds it and fails").next() else { break };
                    let told = stage.run(seed);
                    tally.lock().expect("no test holds it and fails").add(told);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("every thread has ended");
    println!("{tally:?}");
    assert!(
        tally.accepted > 0 && tally.changed_and_accepted > 0 && tally.refused > tally.changed_and_accepted
    );
}

pub(super) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// What became of the envelopes of one seed, or of all.
#[derive(Debug, Default)]
struct Tally {
    /// As they were signed.
    accepted: u64,
    /// Mutations that change nothing that is signed.
    changed_and_accepted: u64,
    /// Mutations that both refuse.
    refused: u64,
    /// Mutations that ours alone refuses, by what it says.
    narrower: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.changed_and_accepted += other.changed_and_accepted;
        self.refused += other.refused;
        for (what, count) in other.narrower {
            *self.narrower.entry(what).or_default() += count;
        }
    }
}

/// Keys of each kind, which are dear to make.
struct Stage {
    keys: Vec<(SigningKey, PrivateKey, KeyRing)>,
}

impl Stage {
    fn new() -> Self {
        use SignatureAlgorithm::{EcdsaSha256, EcdsaSha384, RsaSha256};
        let made = [EcdsaSha256, EcdsaSha384, RsaSha256].map(|algorithm| {
            let identity = Identity::new("SIGNER", algorithm);
            let private = identity.key.private_key_to_pkcs8().expect("PKCS #8");
            let private = PrivateKey::from_pkcs8_der(&private).expect("a private key");
            let ring = KeyRing::new([(party("SIGNER").key, identity.der())]).expect("a ring");
            (identity.signing_key(), private, ring)
        });
        Self { keys: made.into() }
    }

    fn run(&self, seed: u64) -> Tally {
        let mut chance = Chance(seed);
        let (key, private, ring) = &self.keys[chance.below(self.keys.len())];
        let certificate = ring.certificates_of(&party("SIGNER").key).next().expect("is there");
        let terms = any_terms(&mut chance, key);
        let parts = any_parts(&mut chance);
        let (envelope, at) = any_envelope(&mut chance);
        let signed = if chance.one_in(2) {
            let payloads = parts.iter().map(|(id, body)| reference(&terms, id, body)).collect();
            sign(&envelope, at, payloads, &Signer { key, terms }, Cover::WithoutNextMsh)
                .map(|(text, _)| text)
                .expect("signs")
        } else {
            let template = any_template(&mut chance, &terms, &parts, key);
            let template = [&envelope[..at], &template, &envelope[at..]].concat();
            let parts: Vec<_> = parts.iter().map(|(id, body)| (id.as_str(), body.as_slice())).collect();
            let engine = XmlSec::init().expect("libxmlsec1 starts");
            let signed = engine.sign(template.as_bytes(), &parts, private);
            let signed = signed.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{template}"));
            String::from_utf8(signed).expect("UTF-8")
        };
        let mut tally = Tally::default();
        let (own, second) = verdicts(&signed, &parts, certificate);
        assert_eq!((&own, &second), (&Ok(()), &Ok(())), "seed {seed}:\n{signed}");
        tally.accepted += 1;
        for _ in 0..MUTATIONS {
            let (text, parts) = mutated(&mut chance, &signed, &parts);
            match verdicts(&text, &parts, certificate) {
                (Ok(()), Ok(())) => tally.changed_and_accepted += 1,
                (Err(_), Err(_)) => tally.refused += 1,
                (Err(own), Ok(())) => {
                    let known = NARROWER.iter().find(|known| own.contains(**known));
                    let known =
                        known.unwrap_or_else(|| panic!("seed {seed}: only ours refuses: {own}\n{text}"));
                    *tally.narrower.entry(known).or_default() += 1;
                }
                (Ok(()), Err(second)) => panic!("seed {seed}: only libxmlsec1 refuses: {second}\n{text}"),
            }
        }
        tally
    }
}

/// What each engine says, ours by our tree and libxmlsec1 by its own.
fn verdicts(
    text: &str,
    parts: &[(String, Vec<u8>)],
    certificate: &RegisteredCertificate,
) -> (Result<(), String>, Result<(), String>) {
    let raw: Vec<_> = parts.iter().map(|(id, body)| (id.as_str(), body.as_slice())).collect();
    let parts: Vec<Part> = parts.iter().filter_map(|(id, body)| Part::of(mime_part(id, body))).collect();
    // libxmlsec1 is asked without us, and then about what we have read.
    let alone = XmlSec::init().and_then(|engine| engine.verify(text.as_bytes(), &raw, &certificate.second));
    let alone = alone.map(|_| ()).map_err(|error| error.to_string());
    let tree = match XmlTree::parse(Bytes::copy_from_slice(text.as_bytes()), &XmlLimits::ENVELOPE) {
        Ok(tree) => tree,
        Err(error) => return (Err(format!("not read: {error}")), alone),
    };
    let element = tree.root().child(SOAP, "Header").and_then(|header| header.child(DSIG, "Signature"));
    let Some(element) = element else { return (Err("no Signature".to_owned()), alone) };
    let signature = match Signature::read(element) {
        Ok(signature) => signature,
        Err(fault) => return (Err(fault.to_string()), alone),
    };
    let signed = Signed { tree: &tree, octets: text.as_bytes(), signature: &signature, parts: &parts };
    let own = signed.verify(Engine::Own, certificate);
    if own.is_ok() && alone.is_ok() {
        // What both accept they have read alike: the references, and the octets of the envelope.
        assert_eq!(xmlsec::verify(&signed, certificate), Ok(()), "{text}");
        let form = signature.references.iter().find(|reference| reference.uri.is_empty());
        if form.is_some_and(|form| form.transforms.last() == Some(&Transform::CanonicalXml)) {
            let actors = signature.filter.map(|filter| filter.actors().to_vec()).unwrap_or_default();
            let (form, selection) = (CanonicalForm::Xml10, Selection::Unsigned(&actors));
            let theirs =
                XmlSec::init().and_then(|engine| engine.canonicalize(text.as_bytes(), form, selection));
            let octets = envelope_octets(tree.root(), &signature).0;
            assert!(theirs.expect("canonical") == octets, "other octets of\n{text}");
        }
    }
    let both = signed.verify(Engine::Both, certificate);
    assert_eq!(own.is_ok() && alone.is_ok(), both.is_ok(), "{own:?}, {alone:?}, both: {both:?}\n{text}");
    assert!(!matches!(both, Err(SignatureFault::Engine(_))), "{both:?}");
    (own.map_err(|fault| fault.to_string()), alone)
}

fn mime_part(id: &str, body: &[u8]) -> MimePart {
    MimePart {
        content_id: ContentId::new(id).ok(),
        content_location: None,
        media_type: "application/xml".into(),
        charset: None,
        body: Bytes::copy_from_slice(body).into(),
    }
}

fn reference(terms: &SigningTerms, id: &str, body: &[u8]) -> DigestReference {
    let uri = ContentId::new(id).expect("a Content-ID").uri().into();
    let method = terms.digest;
    DigestReference { uri, transforms: Vec::new(), method, value: digest_of(method, body).expect("a digest") }
}

/// Terms that both engines know and the key can keep.
fn any_terms(chance: &mut Chance, key: &SigningKey) -> SigningTerms {
    use SignatureAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512, RsaSha256, RsaSha384, RsaSha512};
    let algorithms = match key.algorithm() {
        RsaSha256 => vec![RsaSha256, RsaSha384, RsaSha512],
        // No digest is weaker than the curve.
        EcdsaSha384 => vec![EcdsaSha384, EcdsaSha512],
        _ => vec![EcdsaSha256, EcdsaSha384, EcdsaSha512],
    };
    SigningTerms {
        algorithm: chance.pick(&algorithms),
        digest: chance.pick(&[DigestMethod::Sha256, DigestMethod::Sha384, DigestMethod::Sha512]),
        canonicalization: chance.pick(&Canonicalization::ALL),
        payload_transforms: false,
    }
}

fn any_parts(chance: &mut Chance) -> Vec<(String, Vec<u8>)> {
    (0..chance.below(3))
        .map(|at| {
            let id = format!("p{at}{}@x", chance.pick(&["", "+", "%", " b", "\u{e9}"]));
            let body = match chance.below(3) {
                0 => (0..chance.below(60)).map(|_| chance.octet()).collect(),
                1 => "<p:a xmlns:p='urn:p' b=\"1\"><p:c/>\r\n</p:a>".into(),
                _ => "<?xml version='1.0'?>\n<a xmlns='urn:d'><b xmlns=''>&#13;&lt;</b></a>\n".into(),
            };
            (id, body)
        })
        .collect()
}

/// An envelope without signature, and a place for one directly in its Header.
fn any_envelope(chance: &mut Chance) -> (String, usize) {
    let soap = chance.pick(&["soap", "SOAP-ENV", "s", "\u{e9}"]);
    let mut writing = Writing { soap, text: String::new() };
    if chance.one_in(2) {
        writing
            .text
            .push_str(chance.pick(&["<?xml version=\"1.0\"?>", "<?xml version='1.0' encoding='utf-8'?>\n"]));
    }
    if chance.one_in(4) {
        writing.text.push_str("<!-- before -->\n");
    }
    let (open, close) = (format!("<{soap}:"), format!("</{soap}:"));
    write!(writing.text, "{open}Envelope xmlns:{soap}='{SOAP}'").expect(ENDLESS);
    writing.declarations(chance);
    writing.text.push_str(chance.pick(&["", " xml:lang='en'", " xml:space='preserve'", " xml:id='i'"]));
    writing.text.push('>');
    writing.between(chance);
    write!(writing.text, "{open}Header").expect(ENDLESS);
    writing.declarations(chance);
    writing.text.push('>');
    let mut at = None;
    let blocks = 1 + chance.below(4);
    let place = chance.below(blocks + 1);
    for block in 0..=blocks {
        writing.between(chance);
        if block == place {
            at = Some(writing.text.len());
        }
        if block < blocks {
            writing.block(chance);
        }
    }
    writing.between(chance);
    write!(writing.text, "{close}Header>").expect(ENDLESS);
    writing.between(chance);
    write!(writing.text, "{open}Body").expect(ENDLESS);
    writing.declarations(chance);
    writing.text.push('>');
    for _ in 0..chance.below(3) {
        writing.element(chance, 3, None);
    }
    write!(writing.text, "{close}Body>").expect(ENDLESS);
    writing.between(chance);
    write!(writing.text, "{close}Envelope{}>", chance.pick(&["", " ", "\n"])).expect(ENDLESS);
    if chance.one_in(4) {
        writing.text.push_str("\n<!-- behind -->");
    }
    (writing.text, at.expect("a place was drawn"))
}

struct Writing {
    soap: &'static str,
    text: String,
}

impl Writing {
    /// A header block; one for a next actor is left out of the signature where it may be.
    fn block(&mut self, chance: &mut Chance) {
        let actor = chance.one_in(3).then(|| {
            chance.pick(&[
                Actor::SOAP_NEXT,
                Actor::NEXT_MSH,
                "urn:oasis:names:tc:ebxml-msg:service:nextMSH",
                "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH",
                "http://schemas.xmlsoap.org/soap/actor/next ",
                "",
            ])
        });
        self.element(chance, 3, actor);
    }

    fn element(&mut self, chance: &mut Chance, depth: usize, actor: Option<&str>) {
        let prefix = chance.pick(&["", "p:", "q:", "eb:"]);
        let name =
            format!("{prefix}{}", chance.pick(&["a", "SyncReply", "b-1", "\u{d55c}", "Acknowledgment"]));
        write!(self.text, "<{name}").expect(ENDLESS);
        // Whatever the prefix is bound to above, here it is bound to something.
        match prefix {
            "p:" => self.text.push_str(chance.pick(&[" xmlns:p='urn:p'", " xmlns:p=\"urn:other\""])),
            "q:" => self.text.push_str(" xmlns:q = 'urn:q'"),
            "eb:" => self.text.push_str(" xmlns:eb='urn:eb'"),
            _ => {}
        }
        self.text.push_str(chance.pick(&["", "", " xmlns='urn:d'", " xmlns=''"]));
        let attributes = [
            " x='1'",
            " y=\"&quot;&apos;&#9;&#10;&#13;&#x41;\"",
            " z='\t a\n>'",
            " xml:lang='ko'",
            " actor='http://schemas.xmlsoap.org/soap/actor/next'",
            " \u{e9}='&lt;&amp;'",
            " r:t='1' xmlns:r='urn:r'",
            " xml:space=\"default\"",
        ];
        for attribute in attributes {
            if chance.one_in(6) {
                self.text.push_str(attribute);
            }
        }
        if let Some(actor) = actor {
            write!(self.text, " {}:actor=\"{actor}\"", self.soap).expect(ENDLESS);
        }
        if chance.one_in(5) {
            self.text.push_str("/>");
            return;
        }
        self.text.push('>');
        for _ in 0..chance.below(4) {
            if depth > 0 && chance.one_in(2) {
                self.element(chance, depth - 1, None);
            } else {
                self.text.push_str(chance.pick(&TEXTS));
            }
        }
        write!(self.text, "</{name}>").expect(ENDLESS);
    }

    /// What may stand between the elements of the envelope.
    fn between(&mut self, chance: &mut Chance) {
        for _ in 0..chance.below(3) {
            self.text.push_str(chance.pick(&["\n", " ", "\r\n", "\t", "<!-- between -->", "&#10;", "\r"]));
        }
    }

    fn declarations(&mut self, chance: &mut Chance) {
        for declaration in
            [" xmlns='urn:d'", " xmlns:p='urn:p'", " xmlns:q=\"urn:q\"", " xmlns:unused='urn:u'"]
        {
            if chance.one_in(4) {
                self.text.push_str(declaration);
            }
        }
    }
}

const TEXTS: [&str; 12] = [
    "text",
    " \n ",
    "\r\n",
    "\r",
    "&amp;&lt;&gt;&quot;&apos;",
    "&#13;&#xA;&#9;",
    "&#xD55C;",
    "<![CDATA[<&>]]>",
    "<![CDATA[]]>",
    "<!-- comment -->",
    "]]&gt;",
    "\u{d55c}\u{ae00}",
];

/// A `ds:Signature` in a spelling of somebody else's, without its values.
fn any_template(
    chance: &mut Chance,
    terms: &SigningTerms,
    parts: &[(String, Vec<u8>)],
    key: &SigningKey,
) -> String {
    let prefix = chance.pick(&["ds:", "", "dsig:"]);
    let space = chance.pick(&["", "\n", " \t", "\r\n  "]);
    let quote = chance.pick(&["\"", "'"]);
    let declared = format!(
        "xmlns{}{}={quote}{DSIG}{quote}",
        if prefix.is_empty() { "" } else { ":" },
        prefix.trim_end_matches(':')
    );
    let method = |name: &str, uri: &str| format!("<{prefix}{name} Algorithm={quote}{uri}{quote}/>{space}");
    let digest = |uri: &str, transforms: String| {
        format!(
            "<{prefix}Reference URI=\"{uri}\">{space}{transforms}{}<{prefix}DigestValue></{prefix}DigestValue>{space}</{prefix}Reference>{space}",
            method("DigestMethod", terms.digest.uri())
        )
    };
    let mut transforms = method("Transform", Transform::EnvelopedSignature.uri());
    if !chance.one_in(6) {
        let filter = any_filter(chance, prefix);
        write!(
            transforms,
            "<{prefix}Transform Algorithm=\"{}\">{filter}</{prefix}Transform>{space}",
            Transform::ActorFilter.uri()
        )
        .expect(ENDLESS);
    }
    if !chance.one_in(6) {
        transforms.push_str(&method("Transform", chance.pick(&Canonicalization::ALL).uri()));
    }
    let wrapped =
        |transforms: &str| format!("<{prefix}Transforms>{space}{transforms}</{prefix}Transforms>{space}");
    let mut references = vec![digest("", wrapped(&transforms))];
    for (id, body) in parts {
        let scheme = if chance.one_in(6) { "CID:" } else { "cid:" };
        let uri: String = std::iter::once(scheme.to_owned())
            .chain(id.bytes().map(|octet| uri_octet(chance, octet)))
            .collect();
        let is_xml = body.starts_with(b"<p:a") || body.starts_with(b"<?xml");
        let transform = if is_xml && chance.one_in(3) {
            wrapped(&method("Transform", chance.pick(&Canonicalization::ALL).uri()))
        } else {
            String::new()
        };
        references.push(digest(&uri, transform));
    }
    if chance.one_in(3) {
        references.reverse();
    }
    let certificate = STANDARD.encode(key.certificate_der());
    let key_info = if chance.one_in(3) {
        String::new()
    } else {
        format!(
            "<{prefix}KeyInfo>{space}<{prefix}X509Data><{prefix}X509Certificate>{certificate}</{prefix}X509Certificate></{prefix}X509Data></{prefix}KeyInfo>{space}"
        )
    };
    format!(
        "<{prefix}Signature {declared}>{space}<{prefix}SignedInfo>{space}{}{}{}</{prefix}SignedInfo>{space}<{prefix}SignatureValue></{prefix}SignatureValue>{space}{key_info}</{prefix}Signature>",
        method("CanonicalizationMethod", terms.canonicalization.uri()),
        method("SignatureMethod", terms.algorithm.uri()),
        references.concat()
    )
}

/// The XPath expression in one of its spellings.
fn any_filter(chance: &mut Chance, prefix: &str) -> String {
    let next_msh = chance.pick(&[Actor::NEXT_MSH, "urn:oasis:names:tc:ebxml-msg:service:nextMSH"]);
    let mut actors = [next_msh, Actor::SOAP_NEXT];
    if chance.one_in(3) {
        actors.reverse();
    }
    let (quote, space, soap) =
        (chance.pick(&["\"", "'", "&quot;"]), chance.pick(&["", " ", "\n\t"]), chance.pick(&["S", "soap"]));
    let steps = actors.map(|actor| {
        format!("ancestor-or-self::node(){space}[@{soap}:actor{space}={space}{quote}{actor}{quote}{space}]")
    });
    format!(
        "<{prefix}XPath xmlns:{soap}=\"{SOAP}\">{space}not({}{space}|{space}{}){space}</{prefix}XPath>",
        steps[0], steps[1]
    )
}

/// An octet of a Content-ID as a URI may have it.
fn uri_octet(chance: &mut Chance, octet: u8) -> String {
    let plain = octet.is_ascii_alphanumeric() || octet == b'@';
    if plain && !chance.one_in(8) { char::from(octet).to_string() } else { format!("%{octet:02X}") }
}

/// The same message after somebody changed something.
fn mutated(chance: &mut Chance, text: &str, parts: &[(String, Vec<u8>)]) -> (String, Vec<(String, Vec<u8>)>) {
    let mut parts = parts.to_vec();
    let place = loop {
        let at = chance.below(text.len());
        if text.is_char_boundary(at) {
            break at;
        }
    };
    let (before, rest) = text.split_at(place);
    // The next tag: what is put in front of it stands between elements or in text.
    let (skipped, tail) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
    let insert = |what: &str| [before, skipped, what, tail].concat();
    let changed = match chance.below(16) {
        0 => {
            let mut characters = rest.chars();
            let old = characters.next().unwrap_or('x');
            let new = chance.pick(&['x', '0', ' ', '<', '"', '&', 'A']);
            if new == old { rest.to_owned() } else { [&new.to_string(), characters.as_str()].concat() }
                .as_str()
                .chars()
                .fold(before.to_owned(), |mut all, c| {
                    all.push(c);
                    all
                })
        }
        1 => {
            let mut characters = rest.chars();
            characters.next();
            [before, characters.as_str()].concat()
        }
        2 => insert("<!-- put in -->"),
        3 => insert("\n"),
        4 => insert("&#13;"),
        5 => insert("<![CDATA[]]>"),
        6 => insert("<?pi put in?>"),
        7 => insert("<x:y xmlns:x=\"urn:x\"/>"),
        8 => {
            let actor = chance.pick(&[Actor::SOAP_NEXT, Actor::NEXT_MSH]);
            insert(&format!("<x:y xmlns:x=\"urn:x\" xmlns:soapy=\"{SOAP}\" soapy:actor=\"{actor}\">1</x:y>"))
        }
        9 => text.replacen(chance.pick(&["='", "=\""]), "  =\n\"", 1).replacen(
            "  =\n\"",
            "=\"",
            usize::from(chance.one_in(2)),
        ),
        10 => {
            // An attribute in some start tag.
            let Some(end) = tail.find('>').filter(|end| {
                !tail[..*end].starts_with("</")
                    && !tail[..*end].starts_with("<!")
                    && !tail[..*end].starts_with("<?")
            }) else {
                return (insert(" "), parts);
            };
            let end = if tail[..end].ends_with('/') { end - 1 } else { end };
            let what = chance.pick(&[
                " added=''",
                " xmlns:added='urn:added'",
                " xml:base='http://x/'",
                " xml:lang='fr'",
                " ",
                "\n\t",
            ]);
            [before, skipped, &tail[..end], what, &tail[end..]].concat()
        }
        11 => {
            // The signature once more.
            let Some((start, name)) = ["<ds:Signature ", "<Signature ", "<dsig:Signature "]
                .iter()
                .find_map(|open| Some((text.find(open)?, open.trim_matches(['<', ' ']))))
            else {
                return (insert(" "), parts);
            };
            let close = format!("</{name}>");
            let end = text[start..].find(&close).map_or(text.len(), |end| start + end + close.len());
            insert(&text[start..end])
        }
        12 => text.replacen(
            chance.pick(&[
                "sha256",
                "sha384",
                "sha512",
                "ecdsa",
                "rsa-",
                "exc-c14n#",
                "c14n11",
                "enveloped-signature",
            ]),
            chance.pick(&["sha1", "sha256", "sha512", "hmac-", "rsa-", ""]),
            1,
        ),
        13 => text.replace('\n', "\r\n"),
        14 => {
            // A part other than the signed one.
            let Some(count) = Some(parts.len()).filter(|count| *count > 0) else {
                return (insert(" "), parts);
            };
            let part = &mut parts[chance.below(count)];
            match chance.below(4) {
                0 => part.1.push(b'\n'),
                1 => part.0.push('x'),
                2 => part.1 = String::from_utf8_lossy(&part.1).replace("<!-- c -->", "").into_bytes(),
                _ => part.1.clear(),
            }
            text.to_owned()
        }
        _ => {
            // White space in what is base64, which readers pass over.
            let Some((open, value)) =
                text.split_once(chance.pick(&["DigestValue>", "SignatureValue>", "X509Certificate>"]))
            else {
                return (insert(" "), parts);
            };
            let name = text[open.len()..].split_at(text.len() - open.len() - value.len()).0;
            [open, name, chance.pick(&["\n", " ", "&#13;\n", "A", "="]), value].concat()
        }
    };
    (changed, parts)
}

/// A stream of draws (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("a length")).expect("is below a length")
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub(super) fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const ENDLESS: &str = "a String takes any text";
