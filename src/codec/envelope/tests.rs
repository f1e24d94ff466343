//! Every rule of the closed profile, one change to a good message each; and messages written and read back.

mod meeting;
mod profile;
mod round_trip;
mod soap;

use super::super::schema::envelope_findings;
use super::*;

const USER: &str = r#"<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:eb="http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:x="urn:x">
<soap:Header>
<eb:MessageHeader eb:id="h" eb:version="2.0" soap:mustUnderstand="1">
<eb:From><eb:PartyId eb:type="t">A</eb:PartyId><eb:Role>r</eb:Role></eb:From>
<eb:To><eb:PartyId>urn:b</eb:PartyId></eb:To>
<eb:CPAId>c</eb:CPAId>
<eb:ConversationId>v</eb:ConversationId>
<eb:Service eb:type="t">S</eb:Service>
<eb:Action>X</eb:Action>
<eb:MessageData><eb:MessageId>m@a</eb:MessageId><eb:Timestamp>2024-06-11T09:30:00Z</eb:Timestamp></eb:MessageData>
</eb:MessageHeader>
<eb:SyncReply eb:version="2.0" soap:mustUnderstand="1" soap:actor="http://schemas.xmlsoap.org/soap/actor/next"/>
<eb:AckRequested eb:version="2.0" soap:mustUnderstand="1" eb:signed="true"/>
</soap:Header>
<soap:Body>
<eb:Manifest eb:id="m" eb:version="2.0"><eb:Reference xlink:href="cid:p@a"/></eb:Manifest>
</soap:Body>
</soap:Envelope>"#;

/// A signal, with a place for what goes into its Header and one for its Body.
const PONG: &str = r#"<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:eb="http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:x="urn:x">
<soap:Header>
<eb:MessageHeader eb:version="2.0" soap:mustUnderstand="1">
<eb:From><eb:PartyId eb:type="t">A</eb:PartyId></eb:From><eb:To><eb:PartyId eb:type="t">B</eb:PartyId></eb:To>
<eb:CPAId>c</eb:CPAId><eb:ConversationId>v</eb:ConversationId>
<eb:Service>urn:oasis:names:tc:ebxml-msg:service</eb:Service><eb:Action>Pong</eb:Action>
<eb:MessageData><eb:MessageId>n@b</eb:MessageId><eb:Timestamp>2024-06-11T09:30:00Z</eb:Timestamp><eb:RefToMessageId>m@a</eb:RefToMessageId></eb:MessageData>
</eb:MessageHeader>
<!--header-->
</soap:Header>
<soap:Body><!--body--></soap:Body>
</soap:Envelope>"#;

const NEXT: &str = r#"soap:actor="http://schemas.xmlsoap.org/soap/actor/next""#;

const NEXT_MSH: &str = r#"soap:actor="urn:oasis:names:tc:ebxml-msg:actor:nextMSH""#;

const BLOCK: &str = r#"eb:version="2.0" soap:mustUnderstand="1""#;

const SIGNATURE: &str = r#"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>"#;

/// `""` when it is accepted; `Code: text` of a fault; `code place` of each error, before them `-` when there is no
/// header to answer to, and `~` when not all of it could be read.
fn told(text: &str) -> String {
    match decode_envelope(&Bytes::copy_from_slice(text.as_bytes()), None, &XmlLimits::ENVELOPE) {
        Ok(_) => String::new(),
        Err(EnvelopeError::Fault(fault)) => format!("{}: {}", fault.code.as_str(), fault.text),
        Err(EnvelopeError::Errors { header, errors }) => {
            let place = |error: &EbxmlError| {
                let location = error.location.clone().unwrap_or_default();
                let location = location.replace("/soap:Envelope/soap:Header", "H");
                format!("{} {}", error.code, location.replace("/soap:Envelope/soap:Body", "B"))
            };
            let errors: Vec<_> = errors.iter().map(place).collect();
            let read = match header.map(|header| header.whole()) {
                None => "- ",
                Some(None) => "~ ",
                Some(Some(_)) => "",
            };
            format!("{read}{}", errors.join(", "))
        }
    }
}

/// USER with one text replaced.
fn check(from: &str, to: &str, expected: &str) {
    check_in(USER, from, to, expected);
}

fn check_in(text: &str, from: &str, to: &str, expected: &str) {
    assert!(text.contains(from), "{from}");
    assert_eq!(told(&text.replacen(from, to, 1)), expected, "{from} -> {to}");
}

/// What stands in USER from one text up to another.
fn up_to(from: &str, to: &str) -> &'static str {
    USER.get(USER.find(from).expect("there")..USER.find(to).expect("there")).expect("ASCII")
}
