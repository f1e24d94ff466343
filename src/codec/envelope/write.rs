//! A message as the text of its SOAP part.
//!
//! Promises: the text is valid against the schema and is read back as the same message; the same message gives
//! the same octets. Signing and packaging come after this.

use super::super::xml::XmlWriter;
use super::{DS, EB, SOAP, XLINK, encode_reference};
use crate::model::{
    AckRequested, Acknowledgment, Actor, ErrorList, Manifest, Message, MessageHeader, MessageOrder,
    OrderStatus, PartyId, PartyRef, StatusBody, StatusResponse,
};

/// A SOAP part without signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEnvelope {
    /// The whole part, in UTF-8.
    pub text: String,
    /// Where in `text` the `ds:Signature` goes: the end of the SOAP Header.
    pub signature_at: usize,
}

/// Writes the SOAP part of a message.
#[must_use]
pub fn encode_envelope(message: &Message) -> EncodedEnvelope {
    let mut writer = XmlWriter::document();
    writer.open("soap:Envelope").attribute("xmlns:soap", SOAP).attribute("xmlns:eb", EB);
    if message.manifest.is_some() {
        writer.attribute("xmlns:xlink", XLINK);
    }
    writer.raw("\n").open("soap:Header").raw("\n");
    message_header(&mut writer, &message.header);
    if message.sync_reply {
        block(&mut writer, "eb:SyncReply")
            .attribute("soap:actor", Actor::SOAP_NEXT)
            .close("eb:SyncReply")
            .raw("\n");
    }
    if let Some(order) = message.order {
        message_order(&mut writer, order);
    }
    message.ack_requested.iter().for_each(|asked| ack_requested(&mut writer, *asked));
    message.acknowledgments.iter().for_each(|given| acknowledgment(&mut writer, given));
    if let Some(list) = &message.error_list {
        error_list(&mut writer, list);
    }
    let signature_at = writer.position();
    writer.close("soap:Header").raw("\n").open("soap:Body");
    if let Some(listed) = &message.manifest {
        manifest(&mut writer, listed);
    }
    if let Some(said) = &message.status {
        status(&mut writer, said);
    }
    writer.close("soap:Body").raw("\n").close("soap:Envelope").raw("\n");
    EncodedEnvelope { text: writer.finish(), signature_at }
}

/// Begins a header block.
fn block<'w>(writer: &'w mut XmlWriter, name: &str) -> &'w mut XmlWriter {
    writer.open(name).attribute("eb:version", VERSION).attribute("soap:mustUnderstand", "1")
}

fn message_header(writer: &mut XmlWriter, header: &MessageHeader) {
    block(writer, "eb:MessageHeader");
    party(writer, "eb:From", &header.from);
    party(writer, "eb:To", &header.to);
    writer.leaf("eb:CPAId", header.cpa_id.as_str());
    writer.leaf("eb:ConversationId", header.conversation_id.as_str());
    typed_name(writer, "eb:Service", &header.service.value, header.service.kind.as_deref());
    writer.leaf("eb:Action", &header.action);
    let data = &header.data;
    writer.open("eb:MessageData");
    writer.leaf("eb:MessageId", data.message_id.as_str());
    writer.leaf("eb:Timestamp", &data.timestamp.to_string());
    if let Some(reference) = &data.ref_to_message_id {
        writer.leaf("eb:RefToMessageId", reference.as_str());
    }
    if let Some(limit) = data.time_to_live {
        writer.leaf("eb:TimeToLive", &limit.to_string());
    }
    writer.close("eb:MessageData");
    if header.duplicate_elimination {
        writer.open("eb:DuplicateElimination").close("eb:DuplicateElimination");
    }
    header.descriptions.iter().for_each(|(text, lang)| description(writer, text, lang));
    writer.close("eb:MessageHeader").raw("\n");
}

fn party(writer: &mut XmlWriter, name: &str, party: &PartyRef) {
    writer.open(name);
    party_ids(writer, &party.ids);
    if let Some(role) = &party.role {
        writer.leaf("eb:Role", role.as_str());
    }
    writer.close(name);
}

fn party_ids(writer: &mut XmlWriter, ids: &[PartyId]) {
    ids.iter().for_each(|id| typed_name(writer, "eb:PartyId", &id.value, id.kind.as_deref()));
}

fn typed_name(writer: &mut XmlWriter, name: &str, value: &str, kind: Option<&str>) {
    writer.open(name);
    if let Some(kind) = kind {
        writer.attribute("eb:type", kind);
    }
    writer.text(value).close(name);
}

fn message_order(writer: &mut XmlWriter, order: MessageOrder) {
    let status = match order.status {
        OrderStatus::Reset => "Reset",
        OrderStatus::Continue => "Continue",
    };
    block(writer, "eb:MessageOrder").open("eb:SequenceNumber").attribute("eb:status", status);
    writer.text(&order.number.to_string()).close("eb:SequenceNumber").close("eb:MessageOrder").raw("\n");
}

fn ack_requested(writer: &mut XmlWriter, asked: AckRequested) {
    block(writer, "eb:AckRequested")
        .attribute("soap:actor", asked.actor.uri())
        .attribute("eb:signed", if asked.signed { "true" } else { "false" })
        .close("eb:AckRequested")
        .raw("\n");
}

fn acknowledgment(writer: &mut XmlWriter, given: &Acknowledgment) {
    block(writer, "eb:Acknowledgment").attribute("soap:actor", given.actor.uri());
    if !given.references.is_empty() {
        writer.attribute("xmlns:ds", DS);
    }
    writer.leaf("eb:Timestamp", &given.timestamp.to_string());
    writer.leaf("eb:RefToMessageId", given.ref_to_message_id.as_str());
    if !given.from.is_empty() {
        writer.open("eb:From");
        party_ids(writer, &given.from);
        writer.close("eb:From");
    }
    given.references.iter().for_each(|reference| encode_reference(writer, reference));
    writer.close("eb:Acknowledgment").raw("\n");
}

fn error_list(writer: &mut XmlWriter, list: &ErrorList) {
    block(writer, "eb:ErrorList").attribute("eb:highestSeverity", list.highest_severity().as_str());
    for error in &list.errors {
        writer
            .open("eb:Error")
            .attribute("eb:errorCode", error.code.as_str())
            .attribute("eb:severity", error.severity.as_str());
        if let Some(location) = &error.location {
            writer.attribute("eb:location", location);
        }
        if !error.description.is_empty() {
            description(writer, &error.description, "en");
        }
        writer.close("eb:Error");
    }
    writer.close("eb:ErrorList").raw("\n");
}

fn manifest(writer: &mut XmlWriter, manifest: &Manifest) {
    writer.raw("\n").open("eb:Manifest").attribute("eb:version", VERSION).raw("\n");
    for reference in &manifest.references {
        writer
            .open("eb:Reference")
            .attribute("xlink:type", "simple")
            .attribute("xlink:href", &reference.href);
        if let Some(role) = &reference.role {
            writer.attribute("xlink:role", role);
        }
        for location in &reference.schemas {
            writer.open("eb:Schema").attribute("eb:location", location).close("eb:Schema");
        }
        if let Some(text) = &reference.description {
            description(writer, text, "en");
        }
        writer.close("eb:Reference").raw("\n");
    }
    writer.close("eb:Manifest").raw("\n");
}

fn status(writer: &mut XmlWriter, said: &StatusBody) {
    writer.raw("\n");
    match said {
        StatusBody::Asked(about) => {
            writer.open("eb:StatusRequest").attribute("eb:version", VERSION);
            writer.leaf("eb:RefToMessageId", about.as_str()).close("eb:StatusRequest");
        }
        StatusBody::Told(StatusResponse { status, ref_to_message_id, timestamp }) => {
            writer.open("eb:StatusResponse").attribute("eb:version", VERSION);
            writer.attribute("eb:messageStatus", status.as_str());
            writer.leaf("eb:RefToMessageId", ref_to_message_id.as_str());
            if let Some(received_at) = timestamp {
                writer.leaf("eb:Timestamp", &received_at.to_string());
            }
            writer.close("eb:StatusResponse");
        }
    }
    writer.raw("\n");
}

fn description(writer: &mut XmlWriter, text: &str, lang: &str) {
    writer.open("eb:Description").attribute("xml:lang", lang).text(text).close("eb:Description");
}

const VERSION: &str = "2.0";
