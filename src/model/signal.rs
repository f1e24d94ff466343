//! AckRequested, Acknowledgment and the references that a receipt repeats (ebMS 2.0, 6.3).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DigestMethod, MessageId, PartyId, Timestamp};

/// Which handler an element is meant for (ebMS 2.0, 2.3.10 and 2.3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// The To Party MSH; also what no actor, or an empty one, means.
    ToPartyMsh,
    /// The next MSH on the way.
    NextMsh,
}

impl Actor {
    /// `urn:oasis:names:tc:ebxml-msg:actor:nextMSH`.
    pub const NEXT_MSH: &'static str = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH";
    /// `urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH`.
    pub const TO_PARTY_MSH: &'static str = "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH";
    /// SOAP 1.1's next node.
    pub const SOAP_NEXT: &'static str = "http://schemas.xmlsoap.org/soap/actor/next";

    /// Its URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::ToPartyMsh => Self::TO_PARTY_MSH,
            Self::NextMsh => Self::NEXT_MSH,
        }
    }
}

/// AckRequested (ebMS 2.0, 6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRequested {
    /// Who is asked.
    pub actor: Actor,
    /// The acknowledgment shall be signed and carry references.
    pub signed: bool,
}

/// Acknowledgment (ebMS 2.0, 6.3.2): the named message is stored safely; nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgment {
    /// The actor of the AckRequested that it answers.
    pub actor: Actor,
    /// When the acknowledged message was received.
    pub timestamp: Timestamp,
    /// The acknowledged message.
    pub ref_to_message_id: MessageId,
    /// Who acknowledges; the From of the header when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<PartyId>,
    /// What was received, as the sender signed it (6.3.2.5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<DigestReference>,
}

/// A `ds:Reference` in decoded form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DigestReference {
    /// URI: empty for the envelope, `cid:…` for a payload.
    pub uri: Arc<str>,
    /// Its transforms in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
    /// DigestMethod.
    pub method: DigestMethod,
    /// DigestValue, decoded.
    #[serde(with = "base64_text")]
    pub value: Vec<u8>,
}

/// Transforms that the closed profile allows (promises-and-threats 2.1; ebMS 2.0, 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// Leaves the signature itself out.
    EnvelopedSignature,
    /// The one XPath expression of the standard: leaves out what is meant for next MSH and SOAP's next node.
    ActorFilter,
    /// Canonical XML 1.0 without comments.
    CanonicalXml,
    /// Canonical XML 1.1 without comments.
    #[serde(rename = "canonical-xml-1.1")]
    CanonicalXml11,
    /// Exclusive XML Canonicalization 1.0 without comments.
    ExclusiveCanonicalXml,
}

impl Transform {
    const ALL: [Self; 5] = [
        Self::EnvelopedSignature,
        Self::ActorFilter,
        Self::CanonicalXml,
        Self::CanonicalXml11,
        Self::ExclusiveCanonicalXml,
    ];

    /// The transform of this URI.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transform| transform.uri() == uri)
    }

    /// Its algorithm URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::EnvelopedSignature => "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
            Self::ActorFilter => "http://www.w3.org/TR/1999/REC-xpath-19991116",
            Self::CanonicalXml => "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
            Self::CanonicalXml11 => "http://www.w3.org/2006/12/xml-c14n11",
            Self::ExclusiveCanonicalXml => "http://www.w3.org/2001/10/xml-exc-c14n#",
        }
    }
}

/// The Actions of the MSH's own Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SignalAction {
    /// Acknowledgment (6.3.2).
    Acknowledgment,
    /// MessageError (4.2).
    MessageError,
    /// StatusRequest (7.1).
    StatusRequest,
    /// StatusResponse (7.2).
    StatusResponse,
    /// Ping (8.1).
    Ping,
    /// Pong (8.2).
    Pong,
}

impl SignalAction {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Acknowledgment,
        Self::MessageError,
        Self::StatusRequest,
        Self::StatusResponse,
        Self::Ping,
        Self::Pong,
    ];

    /// The Action text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgment => "Acknowledgment",
            Self::MessageError => "MessageError",
            Self::StatusRequest => "StatusRequest",
            Self::StatusResponse => "StatusResponse",
            Self::Ping => "Ping",
            Self::Pong => "Pong",
        }
    }

    /// The signal of this Action text, compared case-sensitively.
    #[must_use]
    pub fn of_action(action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == action)
    }

    /// Whether it answers another message, so that nothing answers it.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        !matches!(self, Self::Ping | Self::StatusRequest)
    }
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored records hold these words: what the strict profile writes is what format 5 has always had (P19).
    #[test]
    fn the_strict_profile_keeps_its_stored_words() {
        let reference = DigestReference {
            uri: "".into(),
            transforms: vec![Transform::EnvelopedSignature, Transform::ActorFilter, Transform::CanonicalXml],
            method: DigestMethod::Sha256,
            value: vec![0, 1, 2],
        };
        let stored = r#"{"uri":"","transforms":["enveloped-signature","actor-filter","canonical-xml"],"method":"sha256","value":"AAEC"}"#;
        assert_eq!(serde_json::to_string(&reference).expect("words"), stored);
        assert_eq!(serde_json::from_str::<DigestReference>(stored).expect("a reference"), reference);
    }
}
