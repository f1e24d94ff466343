//! A message as the journal keeps it, and what is read of that again.

use crate::codec::catalogue::Catalogue;
use crate::codec::document::read_document;
use crate::model::{Digest, Document, Message, MessageHeader, Sealed, Timestamp};
use crate::practice::journal::{Octets, Received};
use crate::practice::{arrived, words};

/// The document of a message, its first payload, as far as it can be read.
pub(in crate::practice) fn read_first(
    catalogue: &Catalogue,
    message: &Message,
    now: Timestamp,
) -> Option<Document> {
    let octets = arrived::document_octets(message.payloads.first()?)?;
    read(catalogue, &message.header.action, &octets, now)
}

pub(super) fn read_again(catalogue: &Catalogue, received: &Received) -> Option<Document> {
    read(catalogue, &received.action, received.text.as_deref()?.as_bytes(), received.time)
}

fn read(catalogue: &Catalogue, action: &str, octets: &[u8], at: Timestamp) -> Option<Document> {
    let code = catalogue.of_code(action)?.code.clone();
    read_document(catalogue, &code, octets, at).ok()
}

/// The journal entry of a message.
pub(in crate::practice) fn received(
    message: &Message,
    read: Option<&Document>,
    content: Digest,
    answer: Octets,
    now: Timestamp,
) -> Received {
    let MessageHeader { conversation_id, service, action, data, .. } = &message.header;
    let document = message.payloads.first();
    let text = document.and_then(arrived::document_octets);
    let text = text.as_ref().and_then(|octets| std::str::from_utf8(octets).ok());
    let attachments = message.payloads.iter().skip(1);
    Received {
        time: now,
        message_id: data.message_id.clone(),
        ref_to_message_id: data.ref_to_message_id.clone(),
        conversation_id: conversation_id.clone(),
        service: service.value.clone(),
        action: action.clone(),
        document: read.map(words::number_of),
        about: read.and_then(words::about),
        says: read.map_or_else(String::new, words::gist),
        digest: document.map(|payload| payload.digest),
        text: text.map(Into::into),
        attachments: attachments
            .map(|payload| (payload.content_id.as_str().into(), payload.digest))
            .collect(),
        content,
        answer,
    }
}

/// Stored octets, to go out once more.
pub(super) fn again(octets: &Octets) -> Sealed {
    let Octets { content_type, body } = octets;
    Sealed { content_type: content_type.clone(), body: body.clone().into(), references: Vec::new() }
}

pub(super) fn octets_of(sealed: &Sealed) -> Octets {
    Octets {
        content_type: sealed.content_type.clone(),
        body: sealed.body.as_held().map(|octets| octets.to_vec()).unwrap_or_default(),
    }
}
