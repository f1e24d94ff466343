//! The documents of a message, read once before it is decided about: dear, pure, stateless, so that the shell
//! may do it in parallel (rulings 1, 2; P8).

use bytes::Bytes;

use crate::codec::catalogue::Catalogue;
use crate::codec::document::{document_code_of_root, number_of_root, read_document};
use crate::codec::xml::XmlLimits;
use crate::model::{
    Document, DocumentCode, EbxmlError, ErrorCode, Finding, Message, MessageKind, Payload, Timestamp,
    Unreadable, document_code_of_role,
};
use crate::security::Verified;

/// The most errors that one refusal lists.
const ERRORS_MAX: usize = 100;
/// The most octets of one message that are read as XML, all its parts together.
const DOCUMENTS_BYTES_MAX: u64 = 32 << 20;

/// What each payload of a message is, in Manifest order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    parts: Vec<PartContent>,
    /// The part with which they are more than are read; it and what comes after it was not.
    too_much: Option<(usize, u64)>,
}

/// What a payload is.
#[derive(Clone, Debug, PartialEq)]
pub enum PartContent {
    /// A document without fault.
    Document {
        /// Its code.
        code: DocumentCode,
        /// What it says.
        document: Box<Document>,
    },
    /// A document that breaks its schema, a code list or a check.
    Faulty {
        /// Its code.
        code: DocumentCode,
        /// Its own number, as far as it could be read.
        number: Option<String>,
        /// Everything that is wrong with it, in document order.
        findings: Vec<Finding>,
    },
    /// By its role a document of a kind that no schema here knows.
    Unknown(DocumentCode),
    /// Anything else; passed on unread.
    Attachment,
}

/// Reads the documents of a verified message that came at this instant. A payload is a document when its `xlink:role` says so, else when
/// its root element does; the first one is taken for what Action names, so that its author hears what is wrong. Beyond
/// 32 MiB in all nothing is read, and the message is not accepted.
///
/// # Errors
/// [`Unreadable`], of a payload that is filed.
pub fn read_documents(
    catalogue: &Catalogue,
    verified: &Verified,
    at: Timestamp,
) -> Result<Documents, Unreadable> {
    read_within(DOCUMENTS_BYTES_MAX, catalogue, verified, at)
}

/// The same with another bound.
///
/// # Errors
/// [`Unreadable`], of a payload that is filed.
pub(super) fn read_within(
    bytes_max: u64,
    catalogue: &Catalogue,
    verified: &Verified,
    at: Timestamp,
) -> Result<Documents, Unreadable> {
    read_of_message(bytes_max, catalogue, verified.message(), at)
}

/// The same of a message that people look at, and that nobody has let in.
///
/// # Errors
/// [`Unreadable`], of a payload that is filed.
pub fn look_at_documents(
    catalogue: &Catalogue,
    message: &Message,
    at: Timestamp,
) -> Result<Documents, Unreadable> {
    read_of_message(DOCUMENTS_BYTES_MAX, catalogue, message, at)
}

fn read_of_message(
    bytes_max: u64,
    catalogue: &Catalogue,
    message: &Message,
    at: Timestamp,
) -> Result<Documents, Unreadable> {
    let mut documents = Documents::default();
    if message.kind != MessageKind::User {
        return Ok(documents);
    }
    let mut left = bytes_max;
    let mut named = catalogue.of_code(&message.header.action).map(|named| named.code.clone());
    for (place, payload) in message.payloads.iter().enumerate() {
        let (of_action, of_role) = (named.take(), payload.role.as_deref().and_then(document_code_of_role));
        if of_role.is_none() && of_action.is_none() && !payload.is_xml() {
            documents.parts.push(PartContent::Attachment);
            continue;
        }
        let Some(less) = left.checked_sub(read_of(payload)) else {
            documents.too_much = Some((place, bytes_max));
            break;
        };
        left = less;
        documents.parts.push(read_part(catalogue, payload, (of_role, of_action), at)?);
    }
    Ok(documents)
}

/// A part that its role or the Action says to be a document, or that may be one.
fn read_part(
    catalogue: &Catalogue,
    payload: &Payload,
    (of_role, named): (Option<DocumentCode>, Option<DocumentCode>),
    at: Timestamp,
) -> Result<PartContent, Unreadable> {
    let octets = octets_of(payload)?;
    let of_root = || document_code_of_root(catalogue, &octets).filter(|_| payload.is_xml());
    let Some(code) = of_role.or_else(of_root).or(named) else { return Ok(PartContent::Attachment) };
    if catalogue.of_code(code.as_str()).is_none() {
        return Ok(PartContent::Unknown(code));
    }
    Ok(match read_document(catalogue, &code, &octets, at) {
        Ok(document) => PartContent::Document { code, document: Box::new(document) },
        Err(findings) => {
            let number = number_of_root(&octets);
            PartContent::Faulty { code, number, findings }
        }
    })
}

/// How many octets of a payload [`octets_of`] reads.
fn read_of(payload: &Payload) -> u64 {
    payload.body.bytes().min(XmlLimits::DOCUMENT.bytes_max as u64 + 1)
}

/// What may be a document, in memory; of one that is too large no more than what shows that it is.
fn octets_of(payload: &Payload) -> Result<Bytes, Unreadable> {
    let bytes_max = XmlLimits::DOCUMENT.bytes_max;
    if payload.body.bytes() > bytes_max as u64 {
        return payload.body.window(0, bytes_max + 1);
    }
    payload.body.read(bytes_max)
}

impl Documents {
    /// These parts, in Manifest order.
    #[must_use]
    pub fn of(parts: Vec<PartContent>) -> Self {
        Self { parts, too_much: None }
    }

    /// What each payload is, in Manifest order.
    #[must_use]
    pub fn parts(&self) -> &[PartContent] {
        &self.parts
    }

    /// Every document with the place of its part.
    pub(super) fn documents(&self) -> impl Iterator<Item = (usize, &Document)> {
        self.parts.iter().enumerate().filter_map(|(at, part)| match part {
            PartContent::Document { document, .. } => Some((at, &**document)),
            _ => None,
        })
    }

    /// The first part's document: what the message is about.
    pub(super) fn subject(&self) -> Option<(&DocumentCode, &Document)> {
        match self.parts.first() {
            Some(PartContent::Document { code, document }) => Some((code, document)),
            _ => None,
        }
    }

    /// One error for each finding, located at its part.
    #[must_use]
    pub fn errors(&self, message: &Message) -> Vec<EbxmlError> {
        let parts = message.payloads.iter().zip(&self.parts);
        let errors = parts.filter_map(|(payload, content)| match content {
            PartContent::Faulty { findings, .. } => Some(
                findings
                    .iter()
                    .map(|finding| EbxmlError::new(ErrorCode::OtherXml, at(payload), finding.to_string())),
            ),
            _ => None,
        });
        let too_much = self.too_much.and_then(|(place, bytes_max)| {
            let text =
                format!("with it more than {bytes_max} octets of the message would be read as documents");
            Some(EbxmlError::new(ErrorCode::OtherXml, at(message.payloads.get(place)?), text))
        });
        errors.flatten().chain(too_much).take(ERRORS_MAX).collect()
    }
}

/// A payload as the location of an error.
pub(super) fn at(payload: &Payload) -> Option<String> {
    Some(payload.content_id.uri())
}
