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

/// What each payload of a message is, in Manifest order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    parts: Vec<PartContent>,
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
/// its root element does; the first one is taken for what Action names, so that its author hears what is wrong.
///
/// # Errors
/// [`Unreadable`], of a payload that is filed.
pub fn read_documents(
    catalogue: &Catalogue,
    verified: &Verified,
    at: Timestamp,
) -> Result<Documents, Unreadable> {
    let message = verified.message();
    match message.kind {
        MessageKind::User => {
            let named = catalogue.of_code(&message.header.action).map(|named| named.code.clone());
            let named = std::iter::once(named).chain(std::iter::repeat(None));
            let parts = message.payloads.iter().zip(named);
            let read = parts.map(|(part, named)| read_part(catalogue, part, named, at));
            Ok(Documents::of(read.collect::<Result<_, _>>()?))
        }
        MessageKind::Signal(_) => Ok(Documents::default()),
    }
}

fn read_part(
    catalogue: &Catalogue,
    payload: &Payload,
    named: Option<DocumentCode>,
    at: Timestamp,
) -> Result<PartContent, Unreadable> {
    let of_role = payload.role.as_deref().and_then(document_code_of_role);
    if of_role.is_none() && named.is_none() && !payload.is_xml() {
        return Ok(PartContent::Attachment);
    }
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
        Self { parts }
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
    pub(super) fn errors(&self, message: &Message) -> Vec<EbxmlError> {
        let parts = message.payloads.iter().zip(&self.parts);
        let errors = parts.filter_map(|(payload, content)| match content {
            PartContent::Faulty { findings, .. } => Some(
                findings
                    .iter()
                    .map(|finding| EbxmlError::new(ErrorCode::OtherXml, at(payload), finding.to_string())),
            ),
            _ => None,
        });
        errors.flatten().take(ERRORS_MAX).collect()
    }
}

/// A payload as the location of an error.
pub(super) fn at(payload: &Payload) -> Option<String> {
    Some(payload.content_id.uri())
}
