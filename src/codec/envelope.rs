//! The SOAP part: ebMS 2.0 header, signals and Manifest, to a [`Message`] and back (ebMS 2.0, 2.3, 3 to 7).
//!
//! Promises: one parse, and everything read comes from that tree; the closed profile of promises-and-threats 2.1
//! holds for what is returned: every ebMS element in its place, none twice, `soap:actor` only where it may stand
//! (digest, 8.5), values whole. Faults of the SOAP layer and errors of the header are told apart (digest, 9.5), and
//! errors name their place. All are held against the schema: a user message that breaks it is refused, a signal of a
//! careless peer is read when the fields that matter are there, and what it breaks is told (digest, 4.4).
//!
//! Does not: verify a signature, know agreements, or look at payloads: nothing here is trusted before
//! `security::open` says so.

mod partial;
mod read;
mod reference;
mod rules;
mod signal;
mod soap;
mod status;
mod structure;
mod write;

use bytes::Bytes;

use self::structure::Blocks;
use super::schema::envelope_findings;
use super::xml::{Element, NodeId, XmlLimits, XmlTree};
use crate::model::{EbxmlError, ErrorCode, Message, Service};

pub use partial::{PartialHeader, Supplied};
pub use reference::{decode_reference, encode_reference};
use soap::SoapLayer;
pub use soap::{FaultCode, SoapFault, decode_fault, encode_fault};
pub use write::{EncodedEnvelope, encode_envelope};

/// A SOAP part that keeps the closed profile.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// What was parsed: a signature is verified on it, nothing is parsed again.
    pub tree: XmlTree,
    /// What it says; payloads and references are still empty.
    pub message: Message,
    /// The one `ds:Signature`, directly in the SOAP Header.
    pub signature: Option<NodeId>,
    /// What the To Party answers when that is us: a header block for it must be understood, and is not. Who is only on
    /// the way has nothing to understand of it (ebMS 2.0, 2.3.10).
    pub not_understood: Option<SoapFault>,
    /// In what a signal breaks the schema, whose fields that matter could be read all the same (digest, 4.4). Nothing of
    /// a user message.
    pub schema_findings: Vec<EbxmlError>,
}

/// Why a SOAP part is refused, and so how its sender hears of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Wrong at the SOAP layer: answered with a fault.
    #[error("{0}")]
    Fault(SoapFault),
    /// Wrong in what ebMS says: answered with a MessageError to `header`.
    #[error("{}", told(errors))]
    Errors {
        /// What could be read of the header to answer to, when it names its message.
        header: Option<Box<PartialHeader>>,
        /// What is wrong, at least one.
        errors: Vec<EbxmlError>,
    },
}

fn told(errors: &[EbxmlError]) -> String {
    let tell = |error: &EbxmlError| {
        format!("{} at {}: {}", error.code, error.location.as_deref().unwrap_or("?"), error.description)
    };
    errors.iter().map(tell).collect::<Vec<_>>().join("; ")
}

/// Reads a SOAP part as its To Party; `charset` is the parameter of its Content-Type.
///
/// # Errors
/// [`EnvelopeError`]: a fault, or every error of the first check that finds one.
pub fn decode_envelope(
    octets: &Bytes,
    charset: Option<&str>,
    limits: &XmlLimits,
) -> Result<Envelope, EnvelopeError> {
    let mut envelope = decode_for_anyone(octets, charset, limits)?;
    match envelope.not_understood.take() {
        Some(fault) => Err(EnvelopeError::Fault(fault)),
        None => Ok(envelope),
    }
}

/// Reads a SOAP part before it is known who its To Party is.
///
/// # Errors
/// As [`decode_envelope`], but for [`Envelope::not_understood`] when it is all that is wrong.
pub fn decode_for_anyone(
    octets: &Bytes,
    charset: Option<&str>,
    limits: &XmlLimits,
) -> Result<Envelope, EnvelopeError> {
    let tree = XmlTree::parse(octets.clone(), limits).map_err(|fault| client(&fault))?;
    if let Some(charset) = charset {
        tree.check_charset(charset).map_err(|fault| client(&fault))?;
    }
    let SoapLayer { header, body, not_understood } =
        soap::header_and_body(&tree).map_err(EnvelopeError::Fault)?;
    let refuse = |errors| match not_understood.clone() {
        Some(fault) => EnvelopeError::Fault(fault),
        None => refuse(read::header_to_answer(header), errors),
    };
    let blocks = Blocks::read(tree.root(), header, body).map_err(refuse)?;

    let mut findings = Errors::default();
    for finding in envelope_findings(octets) {
        let text = format!("line {}: {} [{}]", finding.line, finding.message, finding.rule);
        findings.push_at(ErrorCode::OtherXml, finding.path, text);
    }
    // A careless peer's signal is read leniently, never a user message.
    if !findings.is_empty() && !is_signal(&blocks) {
        return Err(refuse(findings));
    }

    let mut errors = Errors::default();
    let message = read_message(&blocks, &mut errors);
    match message.filter(|_| errors.is_empty()) {
        Some(message) => {
            let signature = blocks.signature.map(Element::id);
            Ok(Envelope { message, signature, tree, not_understood, schema_findings: findings.0 })
        }
        None => Err(refuse(errors)),
    }
}

fn read_message(blocks: &Blocks<'_>, errors: &mut Errors) -> Option<Message> {
    rules::check_versions(blocks, errors);
    let header = read::header(blocks.message_header, errors);
    let ack_requested: Vec<_> =
        blocks.ack_requested.iter().filter_map(|element| signal::ack_requested(*element, errors)).collect();
    let acknowledgments: Vec<_> = blocks
        .acknowledgments
        .iter()
        .filter_map(|element| signal::acknowledgment(*element, errors))
        .collect();
    let error_list = blocks.error_list.and_then(|element| signal::error_list(element, errors));
    let manifest = blocks.manifest.map(|element| read::manifest(element, errors));
    let asked = blocks.status_request.and_then(|element| status::request(element, errors));
    let told = blocks.status_response.and_then(|element| status::response(element, errors));
    if let Some(sync_reply) = blocks.sync_reply {
        signal::check_sync_reply(sync_reply, errors);
    }
    let order = blocks.message_order.and_then(|element| signal::message_order(element, errors));
    let header = header?;
    let kind = rules::kind(&header, blocks, errors)?;
    let message = Message {
        header,
        kind,
        sync_reply: blocks.sync_reply.is_some(),
        order,
        ack_requested,
        acknowledgments,
        error_list,
        manifest,
        status: asked.or(told),
        payloads: Vec::new(),
        references: Vec::new(),
    };
    rules::check_together(&message, blocks, errors);
    Some(message)
}

/// Whether the message says of itself that it is a signal.
fn is_signal(blocks: &Blocks<'_>) -> bool {
    let service = blocks.message_header.child(EB, "Service").map(Element::text);
    service.is_some_and(|service| service.trim_ascii().starts_with(Service::MSH))
}

fn client(fault: &dyn std::error::Error) -> EnvelopeError {
    EnvelopeError::Fault(SoapFault::client(fault.to_string()))
}

fn refuse(header: Option<PartialHeader>, errors: Errors) -> EnvelopeError {
    EnvelopeError::Errors { header: header.map(Box::new), errors: errors.0 }
}

/// What is wrong with an envelope so far. Past a number of errors that nobody would read it takes no more.
#[derive(Debug, Default)]
struct Errors(Vec<EbxmlError>);

impl Errors {
    /// More than a person mends at a time.
    const COUNT_MAX: usize = 32;

    fn push(&mut self, code: ErrorCode, at: Element<'_>, description: impl Into<String>) {
        if self.0.len() < Self::COUNT_MAX {
            self.push_at(code, at.path(), description);
        }
    }

    fn push_at(&mut self, code: ErrorCode, location: String, description: impl Into<String>) {
        if self.0.len() < Self::COUNT_MAX {
            self.0.push(EbxmlError::new(code, location, description));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const EB: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const XLINK: &str = "http://www.w3.org/1999/xlink";

#[cfg(test)]
mod tests;
