//! The SOAP 1.1 layer: Envelope, Header, Body, mustUnderstand, and faults (SOAP 1.1, 4; digest, 3 and 9.5).

use std::fmt;

use bytes::Bytes;

use super::super::xml::{Element, XmlLimits, XmlTree, XmlWriter};
use super::SOAP;
use super::structure::is_known_block;
use crate::model::Actor;

/// A SOAP fault: what is wrong below ebMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoapFault {
    /// `faultcode`.
    pub code: FaultCode,
    /// `faultstring`.
    pub text: String,
}

impl SoapFault {
    /// A fault that the sender must mend.
    #[must_use]
    pub fn client(text: impl Into<String>) -> Self {
        Self { code: FaultCode::Client, text: text.into() }
    }

    /// A fault of ours: the sender may come again.
    #[must_use]
    pub fn server(text: impl Into<String>) -> Self {
        Self { code: FaultCode::Server, text: text.into() }
    }
}

impl fmt::Display for SoapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SOAP fault {}: {}", self.code.as_str(), self.text)
    }
}

/// The fault codes of SOAP 1.1, 4.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// The message is wrong.
    Client,
    /// The receiver could not; the same message may succeed later.
    Server,
    /// A header block that must be understood is not.
    MustUnderstand,
    /// The Envelope is in another namespace.
    VersionMismatch,
}

impl FaultCode {
    const ALL: [Self; 4] = [Self::Client, Self::Server, Self::MustUnderstand, Self::VersionMismatch];

    /// Its local name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Server => "Server",
            Self::MustUnderstand => "MustUnderstand",
            Self::VersionMismatch => "VersionMismatch",
        }
    }
}

/// The envelope that carries a fault.
#[must_use]
pub fn encode_fault(fault: &SoapFault) -> String {
    let mut writer = XmlWriter::document();
    writer.open("soap:Envelope").attribute("xmlns:soap", SOAP).open("soap:Body").open("soap:Fault");
    writer.leaf("faultcode", &format!("soap:{}", fault.code.as_str()));
    writer.leaf("faultstring", &fault.text);
    writer.close("soap:Fault").close("soap:Body").close("soap:Envelope");
    writer.finish()
}

/// The fault in a response, when it is one. A code of the peer's own counts as `Server`: the message may come
/// again. Its text is cut to a length that a log can take.
#[must_use]
pub fn decode_fault(octets: &Bytes) -> Option<SoapFault> {
    const TEXT_CHARS_MAX: usize = 500;
    let tree = XmlTree::parse(octets.clone(), &XmlLimits::ENVELOPE).ok()?;
    let envelope = Some(tree.root()).filter(|root| root.is(SOAP, "Envelope"))?;
    let fault = envelope.child(SOAP, "Body")?.child(SOAP, "Fault")?;
    let code = fault.child("", "faultcode").map(Element::text).unwrap_or_default();
    let local = code.trim_ascii().rsplit(':').next().and_then(|local| local.split('.').next());
    let code = FaultCode::ALL.into_iter().find(|known| Some(known.as_str()) == local);
    let text = fault.child("", "faultstring").map(Element::text).unwrap_or_default();
    Some(SoapFault {
        code: code.unwrap_or(FaultCode::Server),
        text: text.trim_ascii().chars().take(TEXT_CHARS_MAX).collect(),
    })
}

/// The SOAP layer of an ebMS envelope.
pub(super) struct SoapLayer<'a> {
    pub(super) header: Element<'a>,
    pub(super) body: Element<'a>,
    /// What is wrong when we are the To Party: a block for that must be understood, and is not.
    pub(super) not_understood: Option<SoapFault>,
}

/// Header and Body of an ebMS envelope: exactly these two, in this order, with nothing for the next node that we must
/// understand and do not.
pub(super) fn header_and_body(tree: &XmlTree) -> Result<SoapLayer<'_>, SoapFault> {
    let envelope = tree.root();
    match envelope.name() {
        (SOAP, "Envelope") => {}
        (_, "Envelope") => {
            let text = format!("expected an Envelope of SOAP 1.1, in the namespace {SOAP}");
            return Err(SoapFault { code: FaultCode::VersionMismatch, text });
        }
        _ => return Err(SoapFault::client("expected a soap:Envelope")),
    }
    let children: Vec<Element<'_>> = envelope.children().take(3).collect();
    let [header, body] = children.as_slice() else {
        return Err(SoapFault::client(
            "expected soap:Header and soap:Body in soap:Envelope, and nothing else",
        ));
    };
    if !header.is(SOAP, "Header") || !body.is(SOAP, "Body") {
        return Err(SoapFault::client("expected soap:Header and then soap:Body in soap:Envelope"));
    }
    for element in [envelope, *header, *body] {
        if element.has_own_text() {
            return Err(SoapFault::client(format!("text in {}", element.path())));
        }
    }
    if body.child(SOAP, "Fault").is_some() {
        return Err(SoapFault::client("a SOAP fault is no message to us"));
    }
    let mut not_understood = None;
    for block in header.children() {
        match check_understood(block)? {
            Some((Addressee::NextNode, fault)) => return Err(fault),
            Some((Addressee::ToParty, fault)) => not_understood = not_understood.or(Some(fault)),
            None => {}
        }
    }
    Ok(SoapLayer { header: *header, body: *body, not_understood })
}

/// Whom a header block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressee {
    /// Whoever the message comes to, on its way or at its end.
    NextNode,
    /// Its end.
    ToParty,
}

/// SOAP 1.1, 4.2.3: a block that must be understood, and is not, ends the message at the node that it is meant for.
fn check_understood(block: Element<'_>) -> Result<Option<(Addressee, SoapFault)>, SoapFault> {
    let must = match block.attribute(SOAP, "mustUnderstand") {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => {
            return Err(SoapFault::client(format!(
                "soap:mustUnderstand of {} is neither 0 nor 1",
                block.path()
            )));
        }
    };
    let addressee = match block.attribute(SOAP, "actor") {
        Some(Actor::SOAP_NEXT | Actor::NEXT_MSH) => Addressee::NextNode,
        None | Some("" | Actor::TO_PARTY_MSH) => Addressee::ToParty,
        Some(_) => return Ok(None),
    };
    let fault = || {
        let text = format!("the header block {} is not understood", block.path());
        SoapFault { code: FaultCode::MustUnderstand, text }
    };
    Ok((must && !is_known_block(block)).then(|| (addressee, fault())))
}
