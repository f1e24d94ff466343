//! `ds:Reference`: what a signature covers, and what an Acknowledgment repeats of it (ebMS 2.0, 4.1.3, 6.3.2.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::xml::{Element, XmlWriter, is_white_space};
use super::{DS, SOAP};
use crate::model::{DigestMethod, DigestReference, Transform};

/// The one XPath expression of ebMS 2.0, 4.1.3, in its prescribed spelling.
const ACTOR_FILTER: &str = "not(ancestor-or-self::node()\
    [@soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"]|ancestor-or-self::node()\
    [@soap:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"])";

/// Writes a `ds:Reference`. The prefix `ds` is declared around it.
pub fn encode_reference(writer: &mut XmlWriter, reference: &DigestReference) {
    writer.open("ds:Reference").attribute("URI", &reference.uri);
    if !reference.transforms.is_empty() {
        writer.open("ds:Transforms");
        for transform in &reference.transforms {
            writer.open("ds:Transform").attribute("Algorithm", transform.uri());
            if *transform == Transform::ActorFilter {
                writer.open("ds:XPath").attribute("xmlns:soap", SOAP).text(ACTOR_FILTER).close("ds:XPath");
            }
            writer.close("ds:Transform");
        }
        writer.close("ds:Transforms");
    }
    writer.open("ds:DigestMethod").attribute("Algorithm", reference.method.uri()).close("ds:DigestMethod");
    writer.leaf("ds:DigestValue", &STANDARD.encode(&reference.value)).close("ds:Reference");
}

/// Reads a `ds:Reference` that repeats one: which digest of what, by which named steps. What an XPath in it says is
/// not judged, as nothing is computed from it.
///
/// # Errors
/// A sentence on what is missing, or is no algorithm of the closed profile.
pub fn decode_reference(element: Element<'_>) -> Result<DigestReference, String> {
    let uri = element.attribute("", "URI").ok_or("URI is missing")?;
    let mut children = element.children().peekable();
    let transforms = match children.next_if(|child| child.is(DS, "Transforms")) {
        Some(transforms) => transforms.children().map(transform).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let (Some(method), Some(value), None) = (children.next(), children.next(), children.next()) else {
        return Err("expected Transforms, DigestMethod and DigestValue, and nothing else".to_owned());
    };
    // A receipt with SHA-1 is for somebody else's signature: what we sign never has it, and is compared with this.
    let method = DigestMethod::of_uri(algorithm(method, "DigestMethod")?)
        .ok_or("the DigestMethod is none of SHA-1, SHA-256, SHA-384 and SHA-512")?;
    if !value.is(DS, "DigestValue") || value.children().next().is_some() {
        return Err("expected DigestValue with a value".to_owned());
    }
    let compact: Vec<u8> = value.text().bytes().filter(|octet| !is_white_space(*octet)).collect();
    let value = STANDARD.decode(compact).map_err(|_| "DigestValue is not base64")?;
    Ok(DigestReference { uri: uri.into(), transforms, method, value })
}

fn transform(element: Element<'_>) -> Result<Transform, String> {
    let uri = algorithm(element, "Transform")?;
    Transform::of_uri(uri).ok_or_else(|| "a Transform that is not known".to_owned())
}

fn algorithm<'a>(element: Element<'a>, expected: &str) -> Result<&'a str, String> {
    let algorithm = element.attribute("", "Algorithm").filter(|_| element.is(DS, expected));
    algorithm.ok_or_else(|| format!("expected {expected} with its Algorithm"))
}
