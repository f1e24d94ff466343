//! Octets changed after they were sealed, as somebody on the way or a careless sender would.

use gwanmun::codec::mime::pack;
use gwanmun::model::{Payload, Sealed};

/// Replaces the one place where `from` stands in the entity.
pub(crate) fn replaced(sealed: &Sealed, from: &str, to: &str) -> Sealed {
    let body = String::from_utf8(sealed.body.held().to_vec()).expect("the samples are text");
    assert_eq!(body.matches(from).count(), 1, "{from:?} stands in one place");
    Sealed { body: body.replace(from, to).into(), ..sealed.clone() }
}

/// Adds a block to the SOAP Header.
pub(crate) fn with_block(sealed: &Sealed, block: &str) -> Sealed {
    replaced(sealed, "</soap:Header>", &format!("{block}</soap:Header>"))
}

/// The element of this name as it stands in the entity, once.
pub(crate) fn element(sealed: &Sealed, name: &str) -> String {
    let body = String::from_utf8(sealed.body.held().to_vec()).expect("the samples are text");
    let (start, end) = (format!("<{name} "), format!("</{name}>"));
    let from = body.find(&start).expect("stands there");
    let length = body.get(from..).and_then(|rest| rest.find(&end)).expect("is closed") + end.len();
    body.get(from..from + length).expect("whole characters").to_owned()
}

/// The same envelope, signature and all, with these parts instead of its own.
pub(crate) fn repacked(sealed: &Sealed, payloads: &[Payload]) -> Sealed {
    let body = String::from_utf8(sealed.body.held().to_vec()).expect("the samples are text");
    let from = body.find("<?xml").expect("the envelope comes first");
    let end = "</soap:Envelope>\n";
    let to = body.find(end).expect("is closed") + end.len();
    let envelope = body.get(from..to).expect("whole characters").to_owned();
    let (content_type, body) = pack(envelope, payloads, "repacked").expect("readable");
    Sealed { content_type, body, ..sealed.clone() }
}

/// The first half of the entity.
pub(crate) fn truncated(sealed: &Sealed) -> Sealed {
    Sealed { body: sealed.body.held().slice(..sealed.body.held().len() / 2).into(), ..sealed.clone() }
}

/// `depth` elements inside each other.
pub(crate) fn nested(depth: usize) -> String {
    format!("<x:a xmlns:x=\"urn:x\">{}{}</x:a>", "<x:a>".repeat(depth - 1), "</x:a>".repeat(depth - 1))
}

/// An element with so many attributes.
pub(crate) fn attributed(count: usize) -> String {
    let attributes: String = (0..count).map(|number| format!(" a{number}=\"\"")).collect();
    format!("<x:a xmlns:x=\"urn:x\"{attributes}/>")
}
