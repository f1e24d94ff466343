//! Every rule of the closed profile, one change to a good message each; and messages written and read back.

use proptest::prelude::*;

use super::super::schema::envelope_findings;
use super::*;
use crate::model::{
    AckRequested, Acknowledgment, Actor, DigestMethod, DigestReference, ErrorList, Manifest, MessageData,
    MessageId, MessageKind, MessageOrder, MessageStatus, OrderStatus, PartyId, PartyRef, Reference, Role,
    Severity, SignalAction, StatusBody, StatusResponse, Timestamp, Transform,
};

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

const NEXT: &str = r#"soap:actor="http://schemas.xmlsoap.org/soap/actor/next""#;
const NEXT_MSH: &str = r#"soap:actor="urn:oasis:names:tc:ebxml-msg:actor:nextMSH""#;
const BLOCK: &str = r#"eb:version="2.0" soap:mustUnderstand="1""#;
const SIGNATURE: &str = r#"<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>"#;

/// `""` when it is accepted; `Code: text` of a fault; `code place` of each error, `-` before them when there is no
/// header to answer to.
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
            format!("{}{}", if header.is_some() { "" } else { "- " }, errors.join(", "))
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

//= ebms2 2.2 MUST: an XML declaration may be there
//= ebms2 2.3 MUST: no DOCTYPE and no processing instruction in the envelope
//= ebms2 2.3.1 MUST: Envelope has Header and then Body, and nothing else
//= ebms2 2.3.1 MUST: an Envelope of another SOAP version is answered with VersionMismatch
//= ebms2 4.2.1 MUST: what is not XML or not SOAP is answered with a SOAP fault and no ErrorList
#[test]
fn the_soap_layer_answers_with_faults() {
    assert_eq!(told(USER), "");
    check("<soap:Envelope", "<?xml version=\"1.0\"?><soap:Envelope", "");
    check(
        "http://schemas.xmlsoap.org/soap/envelope/",
        "http://www.w3.org/2003/05/soap-envelope",
        "VersionMismatch: expected an Envelope of SOAP 1.1, in the namespace \
         http://schemas.xmlsoap.org/soap/envelope/",
    );
    check("</soap:Envelope>", "", "Client: line 18: the document ends before its elements do");
    check("<soap:Envelope", "<!DOCTYPE a><soap:Envelope", "Client: line 1: a DOCTYPE is not allowed");
    check("<soap:Body>", "<soap:Body><?a?>", "Client: line 15: a processing instruction is not allowed");
    check("urn:b", "&b;", "Client: line 5: the reference \"b\" stands for no character");
    assert_eq!(told("<a/>"), "Client: expected a soap:Envelope");
    const TWO: &str = "Client: expected soap:Header and soap:Body in soap:Envelope, and nothing else";
    check("</soap:Envelope>", "<soap:Body/></soap:Envelope>", TWO);
    check("</soap:Envelope>", "<x:x/></soap:Envelope>", TWO);
    check("<soap:Header>", "<soap:Header/><soap:Header>", TWO);
    const ORDER: &str = "Client: expected soap:Header and then soap:Body in soap:Envelope";
    let swapped =
        format!("{}<soap:Body/><soap:Header/></soap:Envelope>", USER.split_once('\n').expect("lines").0);
    assert_eq!(told(&swapped), ORDER);
    check("<soap:Body>", "<soap:Body>x", "Client: text in /soap:Envelope/soap:Body");
    check("<soap:Header>", "<soap:Header>x", "Client: text in /soap:Envelope/soap:Header");
    check("<soap:Body>", "<soap:Body><soap:Fault/>", "Client: a SOAP fault is no message to us");
}

//= ebms2 2.1.3.2 MUST: charset parameter, encoding declaration and octets do not contradict one another
#[test]
fn a_charset_must_be_what_the_octets_are() {
    fn check(charset: &str, accepted: bool) {
        let read = decode_envelope(&Bytes::from_static(USER.as_bytes()), Some(charset), &XmlLimits::ENVELOPE);
        let is_fault = matches!(&read, Err(EnvelopeError::Fault(fault)) if fault.code == FaultCode::Client);
        assert_eq!((read.is_ok(), is_fault), (accepted, !accepted), "{charset}");
    }
    check("utf-8", true);
    check("us-ascii", true);
    check("UTF-16", false);
    check("iso-8859-1", false);
}

//= ebms2 2.3.9 MUST: a block with mustUnderstand 1 that is not understood ends the message with a MustUnderstand fault
//= ebms2 2.3.9 MUST: mustUnderstand is 0 or 1
//= ebms2 2.3.10 MUST: the MSH acts as next, as nextMSH and, without actor, as the end
//= ebms2 2.3.11 MUST: the MSH acts as toPartyMSH
//= ebms2 2.3.10 MUST: a block for another actor is let be
#[test]
fn a_block_that_must_be_understood_and_is_not_ends_the_message() {
    fn check_block(block: &str, expected: &str) {
        check("<soap:Header>", &format!("<soap:Header>{block}"), expected);
    }
    const FOREIGN: &str = "MustUnderstand: the header block /soap:Envelope/soap:Header/x is not understood";
    check_block("<x:x/>", "");
    check_block("<x:x soap:mustUnderstand='0'/>", "");
    check_block("<x:x soap:mustUnderstand='1'/>", FOREIGN);
    check_block("<x:x soap:mustUnderstand='1' soap:actor=''/>", FOREIGN);
    check_block(&format!("<x:x soap:mustUnderstand='1' {NEXT}/>"), FOREIGN);
    check_block(&format!("<x:x soap:mustUnderstand='1' {NEXT_MSH}/>"), FOREIGN);
    check_block(
        "<x:x soap:mustUnderstand='1' soap:actor='urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH'/>",
        FOREIGN,
    );
    check_block("<x:x soap:mustUnderstand='1' soap:actor='urn:another'/>", "");
    check_block(
        "<eb:Via soap:mustUnderstand='1'/>",
        "MustUnderstand: the header block /soap:Envelope/soap:Header/eb:Via is not understood",
    );
    check_block("<eb:Via soap:mustUnderstand='0'/>", "OtherXml H/eb:Via");
    check_block(
        "<x:x soap:mustUnderstand='true'/>",
        "Client: soap:mustUnderstand of /soap:Envelope/soap:Header/x is neither 0 nor 1",
    );
}

//= ebms2 3.1 MUST: a message has exactly one MessageHeader
//= ebms2 2.3.7 MUST: an ebMS element stands once, and only where the specification puts it
//= ebms2 2.3.5 MUST: elements of other namespaces may stand beside those of ebMS
//= ebms2 2.3.7 MUST: elements of the ebMS namespace that are not known are refused
//= ebms2 6.3.1 MUST: two AckRequested are for two actors
//= ebms2 4.1.3 MUST: an element that the signature leaves out stands nowhere but in the Header (digest 8.5, a to f)
//= ebms2 4.1.1 MAY: one Signature in the Header
//=   deviation: the meaning of a second one is undefined, so it is refused (S3)
#[test]
fn every_element_stands_once_and_in_its_place_s1() {
    let in_header =
        |xml: &str, expected: &str| check("<soap:Header>", &format!("<soap:Header>{xml}"), expected);
    let in_body = |xml: &str, expected: &str| check("<soap:Body>", &format!("<soap:Body>{xml}"), expected);
    let header = |attributes: &str| format!("<eb:MessageHeader {BLOCK} {attributes}/>");
    // Digest, 8.5: (a) to (f).
    in_header(&header(NEXT), "SecurityFailure H/eb:MessageHeader[1], SecurityFailure H/eb:MessageHeader[2]");
    in_body(
        &format!("<eb:Manifest eb:version='2.0' {NEXT_MSH}><eb:Reference xlink:href='cid:q'/></eb:Manifest>"),
        "SecurityFailure B/eb:Manifest[1], SecurityFailure B/eb:Manifest[2]",
    );
    check(
        "<eb:Reference ",
        &format!("<eb:Reference xlink:href='cid:q' {NEXT}/><eb:Reference "),
        "SecurityFailure B/eb:Manifest/eb:Reference[1]",
    );
    in_header(
        &format!(
            "<eb:Acknowledgment {BLOCK} {NEXT_MSH}><eb:Timestamp>2024-06-11T09:30:00Z</eb:Timestamp>\
             <eb:RefToMessageId>n</eb:RefToMessageId></eb:Acknowledgment>"
        ),
        "",
    );
    check(
        "<eb:From>",
        &format!("<eb:From><eb:PartyId eb:type='u' {NEXT}>B</eb:PartyId>"),
        "SecurityFailure H/eb:MessageHeader/eb:From/eb:PartyId[1]",
    );
    let commented = USER.replace("eb:type=\"t\">A<", "eb:type=\"t\">A<!-- -->B<");
    let read =
        decode_envelope(&Bytes::from(commented), None, &XmlLimits::ENVELOPE).expect("comments are nothing");
    assert_eq!(&*read.message.header.from.ids[0].value, "AB");

    in_header(&header(""), "- SecurityFailure H/eb:MessageHeader[2]");
    in_header(
        &header("soap:actor='urn:x'"),
        "- SecurityFailure H/eb:MessageHeader[1], SecurityFailure H/eb:MessageHeader[2]",
    );
    check(
        "<eb:MessageHeader ",
        &format!("<eb:MessageHeader {NEXT_MSH} "),
        "- SecurityFailure H/eb:MessageHeader",
    );
    check(
        "<eb:MessageHeader ",
        "<eb:MessageHeader soap:actor='urn:oasis:names:tc:ebxml-msg:service:nextMSH' ",
        "- SecurityFailure H/eb:MessageHeader",
    );
    check("<eb:MessageHeader ", "<eb:MessageHeader soap:actor='' ", "");
    in_body(&header(""), "SecurityFailure B/eb:MessageHeader");
    in_header(&format!("<x:x>{}</x:x>", header("")), "SecurityFailure H/x/eb:MessageHeader");
    check("<soap:Body>", &format!("<soap:Body {NEXT}>"), "SecurityFailure B");
    check("<soap:Header>", &format!("<soap:Header {NEXT}>"), "SecurityFailure H");
    check("<eb:CPAId>", &format!("<eb:CPAId {NEXT_MSH}>"), "SecurityFailure H/eb:MessageHeader/eb:CPAId");
    in_header(&format!("<x:x {NEXT}/>"), "");
    in_header(&format!("<x:x><x:y {NEXT}/></x:x>"), "SecurityFailure H/x/y");
    in_header("<eb:Manifest eb:version='2.0'/>", "SecurityFailure H/eb:Manifest");
    in_header("<eb:Extra/>", "OtherXml H/eb:Extra");
    in_body("<eb:Extra/>", "OtherXml B/eb:Extra");
    in_body("<x:x/>", "");
    in_body("<x xmlns='http://www.w3.org/2001/XInclude'/>", "SecurityFailure B/x");
    in_header(&format!("<eb:SyncReply {BLOCK} {NEXT}/>"), "SecurityFailure H/eb:SyncReply[2]");
    in_header(&format!("<eb:AckRequested {BLOCK} eb:signed='1' {NEXT_MSH}/>"), "");
    in_header(
        &format!("<eb:AckRequested {BLOCK} eb:signed='1' soap:actor=''/>"),
        "Inconsistent H/eb:AckRequested[2]",
    );
    in_header(
        &format!(
            "<eb:AckRequested {BLOCK} eb:signed='1' {NEXT_MSH}/><eb:AckRequested {BLOCK} eb:signed='1' {NEXT}/>"
        ),
        "SecurityFailure H/eb:AckRequested[3]",
    );
    // S3.
    in_header(&format!("{SIGNATURE}{SIGNATURE}"), "SecurityFailure H/ds:Signature[2]");
    in_body(SIGNATURE, "SecurityFailure B/ds:Signature");
    in_header(&format!("<x:x>{SIGNATURE}</x:x>"), "SecurityFailure H/x/ds:Signature");
    in_header(
        "<ds:Signature xmlns:ds='http://www.w3.org/2000/09/xmldsig#' soap:actor='http://schemas.xmlsoap.org/soap/actor/next'/>",
        "SecurityFailure H/ds:Signature",
    );
    // S2.
    check("eb:id=\"m\"", "eb:id=\"h\"", "SecurityFailure B/eb:Manifest");
    check("eb:id=\"m\"", "xml:id=\"h\"", "SecurityFailure B/eb:Manifest");
    check(up_to("<eb:MessageHeader", "<eb:SyncReply"), "", "- OtherXml H");
}

#[test]
fn errors_are_told_up_to_a_number() {
    let many = format!("<soap:Header>{}", "<eb:Extra/>".repeat(1000));
    assert_eq!(told(&USER.replace("<soap:Header>", &many)).matches("OtherXml").count(), 32);
}

//= ebms2 3.1 MUST: the parts of MessageHeader stand in their order, each as often as the schema says
//= ebms2 2.3.2 MUST: attributes of ebMS elements are of its namespace
//= ebms2 3.1.6.2 MUST: Timestamp is a dateTime of XML Schema
//= ebms2 6.3.1 MUST: AckRequested says whether it is to be signed
//= ebms2 3.2.1 MUST: a Reference has an xlink:href
//= ebms2 2.3.3 MUST: a foreign element at the end of an ebMS element is ignored and kept
#[test]
fn user_messages_keep_the_schema() {
    check("<eb:CPAId>c</eb:CPAId>\n", "", "- OtherXml H/eb:MessageHeader/eb:ConversationId");
    check("<eb:Action>X</eb:Action>", "<eb:Action/>", "- OtherXml H/eb:MessageHeader/eb:Action");
    check(
        " eb:version=\"2.0\" soap:must",
        " version=\"2.0\" soap:must",
        "OtherXml H/eb:MessageHeader/@version, OtherXml H/eb:MessageHeader",
    );
    check("2024-06-11T09:30:00Z", "yesterday", "- OtherXml H/eb:MessageHeader/eb:MessageData/eb:Timestamp");
    check("eb:signed=\"true\"", "", "OtherXml H/eb:AckRequested");
    check(" xlink:href=\"cid:p@a\"", "", "OtherXml B/eb:Manifest/eb:Reference");
    check("<eb:Reference xlink:href=\"cid:p@a\"/>", "", "OtherXml B/eb:Manifest");
    check("</eb:MessageHeader>", "<x:x/></eb:MessageHeader>", "");
    check("</eb:MessageHeader>", "<eb:Extra/></eb:MessageHeader>", "OtherXml H/eb:MessageHeader/eb:Extra");
}

//= ebms2 2.3.8 MUST: a version other than 2.0 is answered with an error
//= ebms2 3.1.1.1 MUST: a PartyId without type is a URI, or the answer is Inconsistent
//= ebms2 3.1.1.1 MUST: PartyIds of one From or To have different types
//= ebms2 3.1.4.1 MUST: a Service without type is a URI, or the answer is Inconsistent
//= ebms2 3.1.6.1 MUST: MessageId has a value
//= ebms2 3.2.2 MUST: a Reference that names no part of the message is answered with MimeProblem
//= ebms2 4.3 MUST: the actor of SyncReply is next
//= ebms2 6.3.1 MUST: the actor of AckRequested is nextMSH or toPartyMSH
#[test]
fn values_keep_the_rules_that_no_schema_says() {
    check("eb:version=\"2.0\"", "eb:version=\"1.0\"", "NotSupported H/eb:MessageHeader/@eb:version");
    check("eb:id=\"m\" eb:version=\"2.0\"", "eb:version=\"3.0\"", "NotSupported B/eb:Manifest/@eb:version");
    check(">urn:b<", ">b<", "Inconsistent H/eb:MessageHeader/eb:To/eb:PartyId");
    check(">urn:b<", ">1rn:b<", "Inconsistent H/eb:MessageHeader/eb:To/eb:PartyId");
    check(">urn:b<", ">urn:<", "Inconsistent H/eb:MessageHeader/eb:To/eb:PartyId");
    check(">urn:b<", ">urn:a b<", "Inconsistent H/eb:MessageHeader/eb:To/eb:PartyId");
    check(">urn:b<", ">mailto:b@example.org<", "");
    check(" eb:type=\"t\">S<", ">S<", "Inconsistent H/eb:MessageHeader/eb:Service");
    check("<eb:To>", "<eb:To><eb:PartyId>urn:c</eb:PartyId>", "");
    check(
        "<eb:From>",
        "<eb:From><eb:PartyId eb:type='t'>B</eb:PartyId>",
        "Inconsistent H/eb:MessageHeader/eb:From/eb:PartyId[2]",
    );
    check(">m@a<", &format!(">{}<", "m".repeat(512)), "");
    check(
        ">m@a<",
        &format!(">{}<", "m".repeat(513)),
        "- OtherXml H/eb:MessageHeader/eb:MessageData/eb:MessageId",
    );
    check(">m@a<", ">m\n@a<", "- OtherXml H/eb:MessageHeader/eb:MessageData/eb:MessageId");
    check(">m@a<", "> \n m@a <", "");
    check(
        "2024-06-11T09:30:00Z",
        "2024-06-11T24:00:00Z",
        "- OtherXml H/eb:MessageHeader/eb:MessageData/eb:Timestamp",
    );
    check("cid:p@a", "#m", "MimeProblem #m");
    check("cid:p@a", "cid:%ff", "MimeProblem cid:%ff");
    check(NEXT, NEXT_MSH, "ValueNotRecognized H/eb:SyncReply");
    check("eb:signed", &format!("{NEXT} eb:signed"), "ValueNotRecognized H/eb:AckRequested");
    check("eb:signed", "soap:actor='urn:x' eb:signed", "ValueNotRecognized H/eb:AckRequested");
}

//= ebms2 3.1.4 MUST: Services that begin with urn:oasis:names:tc:ebxml-msg:service are reserved
//= ebms2 3.1.5 MUST: an Action of the reserved Service that is not known is answered with ValueNotRecognized
//= ebms2 4.2.3 MUST: a signal carries the element that its Action names
#[test]
fn service_and_action_say_what_a_message_is() {
    let service = |value: &str, action: &str, expected: &str| {
        let text = PONG.replace(Service::MSH, value);
        check_in(&text, "<eb:Action>Pong</eb:Action>", &format!("<eb:Action>{action}</eb:Action>"), expected);
    };
    service(Service::MSH, "Pong", "");
    service(Service::MSH, "Ping", "");
    service(Service::MSH, "pong", "ValueNotRecognized H/eb:MessageHeader/eb:Action");
    service(Service::MSH, "Acknowledgement", "ValueNotRecognized H/eb:MessageHeader/eb:Action");
    service(
        "urn:oasis:names:tc:ebxml-msg:service:x",
        "Pong",
        "ValueNotRecognized H/eb:MessageHeader/eb:Service",
    );
    for action in ["Acknowledgment", "MessageError", "StatusRequest", "StatusResponse"] {
        service(Service::MSH, action, "Inconsistent H/eb:MessageHeader/eb:Action");
    }
    service("urn:oasis:names:tc:other", "Pong", "");
    // Not a signal, however it begins: white space that XML does not strip is part of the value.
    service(
        "\u{a0}urn:oasis:names:tc:ebxml-msg:service",
        "Pong",
        "Inconsistent H/eb:MessageHeader/eb:Service",
    );
}

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

//= ebms2 5 MUST: Manifest does not go with an ErrorList of severity Error
//= ebms2 5 MUST: Manifest does not go with StatusRequest or StatusResponse
//= ebms2 5 MUST: StatusRequest does not go with StatusResponse or ErrorList
//= ebms2 4.2.3 MUST: an ErrorList of severity Error travels in a message of its own
//= ebms2 4.2.3 MAY: an ErrorList of severity Warning may ride on a business message
//= ebms2 6.3.1 MUST: AckRequested does not go with a message that is only an Acknowledgment
//= ebms2 6.3.1 MUST: AckRequested does not go with an error message
//= ebms2 6.3.2 MAY: an Acknowledgment may ride on any message but an error message
//= ebms2 9.2 MUST: SyncReply does not go with MessageOrder
//= ebms2 8.1 MUST: Ping and Pong have no payload
#[test]
fn elements_that_exclude_one_another_do_not_meet() {
    const ERROR: &str = r#"<eb:ErrorList eb:version="2.0" soap:mustUnderstand="1" eb:highestSeverity="Error"><eb:Error eb:errorCode="Unknown" eb:severity="Error"/></eb:ErrorList>"#;
    const ACK: &str = r#"<eb:Acknowledgment eb:version="2.0" soap:mustUnderstand="1"><eb:Timestamp>2024-06-11T09:30:00Z</eb:Timestamp><eb:RefToMessageId>m@a</eb:RefToMessageId></eb:Acknowledgment>"#;
    const ACK_REQUESTED: &str =
        r#"<eb:AckRequested eb:version="2.0" soap:mustUnderstand="1" eb:signed="true"/>"#;
    const MANIFEST: &str =
        r#"<eb:Manifest eb:version="2.0"><eb:Reference xlink:href="cid:p"/></eb:Manifest>"#;
    const ORDER: &str = r#"<eb:MessageOrder eb:version="2.0" soap:mustUnderstand="1"><eb:SequenceNumber>0</eb:SequenceNumber></eb:MessageOrder>"#;
    const REQUEST: &str =
        r#"<eb:StatusRequest eb:version="2.0"><eb:RefToMessageId>m@a</eb:RefToMessageId></eb:StatusRequest>"#;
    const RESPONSE: &str = r#"<eb:StatusResponse eb:version="2.0" eb:messageStatus="NotRecognized"><eb:RefToMessageId>m@a</eb:RefToMessageId></eb:StatusResponse>"#;
    let warning = ERROR.replace("\"Error\"", "\"Warning\"");
    let signal = |action: &str, header: &[&str], body: &[&str], expected: &str| {
        let text = PONG
            .replace(">Pong<", &format!(">{action}<"))
            .replace("<!--header-->", &header.concat())
            .replace("<!--body-->", &body.concat());
        assert_eq!(told(&text), expected, "{action} {header:?} {body:?}");
    };
    let user = |header: &[&str], body: &[&str], expected: &str| {
        let text = USER
            .replace("<soap:Header>", &format!("<soap:Header>{}", header.concat()))
            .replace("</soap:Body>", &format!("{}</soap:Body>", body.concat()));
        assert_eq!(told(&text), expected, "{header:?} {body:?}");
    };
    signal("Acknowledgment", &[ACK], &[], "");
    signal("Acknowledgment", &[ACK, &warning], &[], "");
    signal("Acknowledgment", &[ACK, ACK_REQUESTED], &[], "Inconsistent H/eb:AckRequested");
    signal("Acknowledgment", &[ACK], &[MANIFEST], "Inconsistent B/eb:Manifest");
    signal("Acknowledgment", &[ACK, ERROR], &[], "Inconsistent H/eb:ErrorList");
    signal("MessageError", &[ERROR], &[], "");
    signal("MessageError", &[&warning], &[], "");
    signal("MessageError", &[ERROR, ACK_REQUESTED], &[], "Inconsistent H/eb:AckRequested");
    signal("MessageError", &[&warning, ACK_REQUESTED], &[], "Inconsistent H/eb:AckRequested");
    signal("MessageError", &[ERROR], &[MANIFEST], "Inconsistent B/eb:Manifest, Inconsistent B/eb:Manifest");
    signal(
        "MessageError",
        &[ERROR],
        &[REQUEST],
        "Inconsistent H/eb:ErrorList, Inconsistent B/eb:StatusRequest",
    );
    signal("StatusRequest", &[], &[REQUEST], "");
    signal("StatusRequest", &[&warning], &[REQUEST], "Inconsistent H/eb:ErrorList");
    signal(
        "StatusRequest",
        &[],
        &[REQUEST, RESPONSE],
        "Inconsistent B/eb:StatusResponse, Inconsistent B/eb:StatusResponse",
    );
    signal("StatusRequest", &[], &[REQUEST, MANIFEST], "Inconsistent B/eb:Manifest");
    signal("StatusResponse", &[], &[RESPONSE], "");
    signal("StatusResponse", &[&warning], &[RESPONSE], "");
    signal(
        "StatusResponse",
        &[ERROR],
        &[RESPONSE],
        "Inconsistent H/eb:ErrorList, Inconsistent H/eb:ErrorList",
    );
    signal("Ping", &[], &[MANIFEST], "Inconsistent B/eb:Manifest");
    signal("Pong", &[], &[REQUEST], "Inconsistent B/eb:StatusRequest");

    user(&[ACK, &warning], &[], "");
    user(
        &[ERROR],
        &[],
        "Inconsistent B/eb:Manifest, Inconsistent H/eb:AckRequested, Inconsistent H/eb:ErrorList",
    );
    user(&[], &[REQUEST], "Inconsistent B/eb:StatusRequest");
    user(&[ORDER], &[], "Inconsistent H/eb:SyncReply, Inconsistent H/eb:MessageOrder");
    let sync_reply = up_to("<eb:SyncReply", "<eb:AckRequested");
    check(sync_reply, "", "");
    signal("Ping", &[ORDER], &[], "Inconsistent H/eb:MessageOrder");
}

//= ebms2 9 MUST: MessageOrder does not go without DuplicateElimination
//= ebms2 9 MUST: MessageOrder does not go without AckRequested
//= ebms2 9.1.1 MUST: SequenceNumber is 0 to 99999999, and its status Reset or Continue, which is what it is without one
#[test]
fn order_is_asked_for_only_of_what_is_acknowledged_and_known_again() {
    fn check_order(eliminated: bool, acknowledged: bool, number: &str, expected: &str) {
        let order = format!(
            "<eb:MessageOrder {BLOCK}><eb:SequenceNumber{number}</eb:SequenceNumber></eb:MessageOrder>"
        );
        let mut text = USER.replace(up_to("<eb:SyncReply", "<eb:AckRequested"), &order);
        if eliminated {
            text = text.replace("</eb:MessageHeader>", "<eb:DuplicateElimination/></eb:MessageHeader>");
        }
        if !acknowledged {
            text = text.replace(up_to("<eb:AckRequested", "</soap:Header>"), "");
        }
        assert_eq!(told(&text), expected, "{number} {eliminated} {acknowledged}");
    }
    check_order(true, true, ">0", "");
    check_order(true, true, r#" eb:status="Reset">0"#, "");
    check_order(true, true, r#" eb:status="Continue">99999999"#, "");
    check_order(false, true, ">0", "Inconsistent H/eb:MessageOrder");
    check_order(true, false, ">0", "Inconsistent H/eb:MessageOrder");
    check_order(true, true, ">100000000", "OtherXml H/eb:MessageOrder/eb:SequenceNumber");
    check_order(true, true, ">-1", "OtherXml H/eb:MessageOrder/eb:SequenceNumber");
    check_order(
        true,
        true,
        r#" eb:status="Begin">0"#,
        "OtherXml H/eb:MessageOrder/eb:SequenceNumber/@status",
    );
}

//= ebms2 6.3.2 MUST: an Acknowledgment names the message it answers
//= ebms2 6.3.2.5 MUST: References in an Acknowledgment are read with transforms, method and value
//= ebms2 3.1.6.3 MUST: an error message names the message in error
//= ebms2 4.2.3.2 MUST: highestSeverity is Error when one Error has it
//= ebms2 3.1.6.2 MUST: a Timestamp without zone is UTC
//= ebms2 6.3.2 SHOULD: signals keep the schema
//=   deviation: a signal that breaks it is read where what correlates it can be read
#[test]
fn careless_signals_are_read_and_broken_ones_are_not() {
    const ACK: &str = r#"<eb:Acknowledgment><eb:RefToMessageId>m@a</eb:RefToMessageId><eb:Timestamp>2024-06-11T09:30:00</eb:Timestamp></eb:Acknowledgment>"#;
    let ack = |from: &str, to: &str, expected: &str| {
        let text = PONG.replace(">Pong<", ">Acknowledgment<").replace("<!--header-->", ACK);
        check_in(&text, from, to, expected);
    };
    // No version, no mustUnderstand, another order, no zone.
    ack("2024", "2024", "");
    ack("<eb:RefToMessageId>m@a</eb:RefToMessageId></eb:MessageData>", "</eb:MessageData>", "");
    ack(
        ">m@a</eb:RefToMessageId></eb:MessageData>",
        ">x@a</eb:RefToMessageId></eb:MessageData>",
        "Inconsistent H/eb:MessageHeader/eb:MessageData",
    );
    ack(
        "<eb:RefToMessageId>m@a</eb:RefToMessageId><eb:Timestamp>",
        "<eb:Timestamp>",
        "OtherXml H/eb:Acknowledgment",
    );
    ack(
        "</eb:Acknowledgment>",
        "<eb:RefToMessageId>x</eb:RefToMessageId></eb:Acknowledgment>",
        "OtherXml H/eb:Acknowledgment/eb:RefToMessageId[2]",
    );
    ack(
        "<eb:MessageId>n@b</eb:MessageId>",
        "<eb:MessageId>n@b</eb:MessageId><eb:MessageId>n@c</eb:MessageId>",
        "OtherXml H/eb:MessageHeader/eb:MessageData/eb:MessageId[2]",
    );
    ack(
        "<eb:MessageId>n@b<",
        "<eb:MessageId>n@<x:x/>b<",
        "- OtherXml H/eb:MessageHeader/eb:MessageData/eb:MessageId",
    );
    ack("<eb:PartyId eb:type=\"t\">A</eb:PartyId>", "", "- OtherXml H/eb:MessageHeader/eb:From");
    ack(
        "<eb:Acknowledgment>",
        "<eb:Acknowledgment soap:actor='urn:x'>",
        "ValueNotRecognized H/eb:Acknowledgment",
    );
    ack("2024-06-11T09:30:00<", "2024-06-11<", "OtherXml H/eb:Acknowledgment/eb:Timestamp");
    let reference = |inner: &str, expected: &str| {
        let xml = format!("<r:Reference xmlns:r='{DS}' URI=''>{inner}</r:Reference></eb:Acknowledgment>");
        ack("</eb:Acknowledgment>", &xml, expected);
    };
    const AT: &str = "NotSupported H/eb:Acknowledgment/ds:Reference";
    let method = format!("<r:DigestMethod Algorithm='{}'/>", DigestMethod::Sha256.uri());
    reference(&format!("{method}<r:DigestValue> A\nA== </r:DigestValue>"), "");
    reference(
        &format!(
            "<r:Transforms><r:Transform Algorithm='{}'/></r:Transforms>{method}<r:DigestValue>AA==</r:DigestValue>",
            Transform::CanonicalXml.uri()
        ),
        "",
    );
    reference(&format!("{method}<r:DigestValue>AA=</r:DigestValue>"), AT);
    reference(&method, AT);
    reference(&format!("{method}<r:DigestValue>AA==</r:DigestValue><x:x/>"), AT);
    reference(
        "<r:DigestMethod Algorithm='http://www.w3.org/2000/09/xmldsig#sha1'/><r:DigestValue>AA==</r:DigestValue>",
        AT,
    );
    reference(
        &format!(
            "<r:Transforms><r:Transform Algorithm='x'/></r:Transforms>{method}<r:DigestValue>AA==</r:DigestValue>"
        ),
        AT,
    );

    const ERROR: &str = r#"<eb:ErrorList eb:highestSeverity="Error"><eb:Error eb:errorCode="Unknown" eb:severity="Error"><eb:Description>d</eb:Description></eb:Error></eb:ErrorList>"#;
    let error = |from: &str, to: &str, expected: &str| {
        let text = PONG.replace(">Pong<", ">MessageError<").replace("<!--header-->", ERROR);
        check_in(&text, from, to, expected);
    };
    error("2024", "2024", "");
    error("highestSeverity=\"Error\"", "highestSeverity=\"Warning\"", "Inconsistent H/eb:ErrorList");
    error("severity=\"Error\"><eb:D", "severity=\"Fatal\"><eb:D", "OtherXml H/eb:ErrorList/eb:Error");
    error("eb:errorCode", "errorCode", "OtherXml H/eb:ErrorList/eb:Error");
    error("<eb:RefToMessageId>m@a</eb:RefToMessageId>", "", "Inconsistent H/eb:MessageHeader/eb:MessageData");
}

//= ebms2 4.2.3.4.1 MUST: a code of another codeContext is none of the standard
#[test]
fn a_code_of_another_list_is_not_one_of_the_standard() {
    let xml = "<eb:ErrorList eb:highestSeverity='Warning'><eb:Error eb:codeContext='urn:x' eb:errorCode='SecurityFailure' \
               eb:severity='Warning'/><eb:Error eb:errorCode='NotRecognized' eb:severity='Warning'/></eb:ErrorList>";
    let text = PONG.replace(">Pong<", ">MessageError<").replace("<!--header-->", xml);
    let message = decode_envelope(&Bytes::from(text), None, &XmlLimits::ENVELOPE).expect("a signal").message;
    let codes: Vec<_> =
        message.error_list.expect("there").errors.into_iter().map(|error| error.code).collect();
    assert_eq!(codes, [ErrorCode::Other("SecurityFailure".into()), ErrorCode::Other("NotRecognized".into())]);
}

//= ebms2 4.2.1 MUST: a SOAP fault has unqualified faultcode and faultstring, of the codes of SOAP 1.1
#[test]
fn faults_read_back_as_written() {
    for code in [FaultCode::Client, FaultCode::Server, FaultCode::MustUnderstand, FaultCode::VersionMismatch]
    {
        let fault = SoapFault { code, text: "<a> & \"b\"".to_owned() };
        let octets = Bytes::from(encode_fault(&fault));
        assert_eq!(envelope_findings(&octets), []);
        assert_eq!(decode_fault(&octets), Some(fault));
    }
    fn check(fault: &str, expected: Option<(FaultCode, &str)>) {
        let text = format!("<s:Envelope xmlns:s='{SOAP}'><s:Header/><s:Body>{fault}</s:Body></s:Envelope>");
        let read = decode_fault(&Bytes::from(text)).map(|fault| (fault.code, fault.text));
        assert_eq!(read, expected.map(|(code, text)| (code, text.to_owned())), "{fault}");
    }
    check("<s:Fault><faultcode>s:Client.Auth</faultcode></s:Fault>", Some((FaultCode::Client, "")));
    check(
        "<s:Fault><faultcode> Client </faultcode><faultstring> a </faultstring></s:Fault>",
        Some((FaultCode::Client, "a")),
    );
    check("<s:Fault><faultcode>x:Busy</faultcode></s:Fault>", Some((FaultCode::Server, "")));
    check("<s:Fault/>", Some((FaultCode::Server, "")));
    check("<Fault/>", None);
    check("", None);
    assert_eq!(decode_fault(&Bytes::from_static(b"<html/>")), None);
    assert_eq!(decode_fault(&Bytes::from_static(b"busy")), None);
}

#[test]
fn a_signature_fits_where_the_writer_says() {
    let read =
        decode_envelope(&Bytes::from_static(USER.as_bytes()), None, &XmlLimits::ENVELOPE).expect("good");
    let mut encoded = encode_envelope(&read.message);
    encoded.text.insert_str(encoded.signature_at, SIGNATURE);
    let tree = XmlTree::parse(Bytes::from(encoded.text), &XmlLimits::ENVELOPE).expect("well-formed");
    let header = tree.root().child(SOAP, "Header").expect("there");
    assert!(header.children().last().expect("blocks").is(DS, "Signature"));
}

fn name() -> impl Strategy<Value = String> {
    "[!-~\u{a1}-\u{d7ff}]([ -~\u{a1}-\u{d7ff}\u{10000}-\u{10ffff}]{0,12}[!-~])?"
}

fn uri() -> impl Strategy<Value = String> {
    "urn:[a-z0-9:.-]{1,12}"
}

fn message_id() -> impl Strategy<Value = MessageId> {
    name().prop_map(|text| MessageId::new(text).expect("plain text"))
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_000_i64).prop_map(Timestamp::from_millis)
}

fn party_ids(least: usize) -> impl Strategy<Value = Vec<PartyId>> {
    let typed =
        (name(), uri()).prop_map(|(value, kind)| PartyId { value: value.into(), kind: Some(kind.into()) });
    let untyped = uri().prop_map(|value| PartyId { value: value.into(), kind: None });
    prop::collection::vec(prop_oneof![typed, untyped], least..4).prop_map(|mut ids| {
        let mut kinds = std::collections::BTreeSet::new();
        ids.retain(|id| id.kind.is_none() || kinds.insert(id.kind.clone()));
        ids
    })
}

fn party() -> impl Strategy<Value = PartyRef> {
    (party_ids(1), prop::option::of(name()))
        .prop_map(|(ids, role)| PartyRef { ids, role: role.map(|role| Role::new(role).expect("plain text")) })
}

fn reference() -> impl Strategy<Value = DigestReference> {
    use Transform::{ActorFilter, CanonicalXml, EnvelopedSignature};
    let transforms = prop::sample::subsequence(vec![EnvelopedSignature, ActorFilter, CanonicalXml], 0..=3);
    (prop_oneof![Just(String::new()), uri()], transforms, prop::collection::vec(any::<u8>(), 1..40)).prop_map(
        |(uri, transforms, value)| DigestReference {
            uri: uri.into(),
            transforms,
            method: DigestMethod::Sha256,
            value,
        },
    )
}

fn acknowledgment(ref_to_message_id: MessageId, actor: Actor) -> impl Strategy<Value = Acknowledgment> {
    (instant(), party_ids(0), prop::collection::vec(reference(), 0..4)).prop_map(
        move |(timestamp, from, references)| Acknowledgment {
            actor,
            timestamp,
            ref_to_message_id: ref_to_message_id.clone(),
            from,
            references,
        },
    )
}

fn error_list(severities: Vec<Severity>) -> impl Strategy<Value = ErrorList> {
    let codes = vec![ErrorCode::SecurityFailure, ErrorCode::MimeProblem, ErrorCode::Other("Own".into())];
    let error = (
        prop::sample::select(codes),
        prop::sample::select(severities),
        prop::option::of(name()),
        prop_oneof![Just(String::new()), name()],
    )
        .prop_map(|(code, severity, location, description)| EbxmlError {
            code,
            severity,
            location,
            description,
        });
    prop::collection::vec(error, 1..4).prop_map(|errors| ErrorList { errors })
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let reference = (
        "cid:[a-z0-9@.%2B]{0,1}[a-z@.+]{1,12}".prop_filter("an escape is whole", |href| !href.contains('%')),
        prop::option::of(uri()),
        prop::collection::vec(uri(), 0..3),
        prop::option::of(name()),
    )
        .prop_map(|(href, role, schemas, description)| Reference {
            href: href.into(),
            role: role.map(Into::into),
            schemas: schemas.into_iter().map(Into::into).collect(),
            description: description.map(Into::into),
        });
    prop::collection::vec(reference, 1..4).prop_map(|references| Manifest { references })
}

/// The body of a StatusResponse.
fn status() -> impl Strategy<Value = StatusResponse> {
    (prop::sample::select(MessageStatus::ALL.to_vec()), message_id(), instant()).prop_map(
        |(status, ref_to_message_id, received_at)| StatusResponse {
            status,
            ref_to_message_id,
            timestamp: status.has_time().then_some(received_at),
        },
    )
}

fn order() -> impl Strategy<Value = MessageOrder> {
    let statuses = prop::sample::select(vec![OrderStatus::Reset, OrderStatus::Continue]);
    (0..=99_999_999_u32, statuses)
        .prop_map(|(number, status)| MessageOrder { number: number.try_into().expect("in range"), status })
}

/// A user message or a signal of any kind, with everything that may stand in it.
fn message() -> impl Strategy<Value = Message> {
    let kinds = vec![
        MessageKind::User,
        MessageKind::Signal(SignalAction::Acknowledgment),
        MessageKind::Signal(SignalAction::MessageError),
        MessageKind::Signal(SignalAction::Ping),
        MessageKind::Signal(SignalAction::Pong),
        MessageKind::Signal(SignalAction::StatusRequest),
        MessageKind::Signal(SignalAction::StatusResponse),
    ];
    let data = (message_id(), instant(), message_id(), prop::option::of(instant()));
    let texts =
        (name(), name(), prop_oneof![uri().prop_map(|u| (u, None)), (name(), uri().prop_map(Some))], name());
    let described = prop::collection::vec((name(), "[a-z]{2}(-[A-Z]{2})?"), 0..3);
    let frame = (prop::sample::select(kinds), party(), party(), texts, data, described, any::<[bool; 4]>());
    let acknowledged = message_id().prop_flat_map(|id| {
        (acknowledgment(id.clone(), Actor::ToPartyMsh), acknowledgment(id, Actor::NextMsh))
    });
    let parts = (
        acknowledged,
        error_list(vec![Severity::Warning]),
        error_list(vec![Severity::Warning, Severity::Error]),
        manifest(),
        any::<[bool; 5]>(),
        status(),
        prop::option::of(order()),
    );
    (frame, parts).prop_map(
        |(
            (kind, from, to, (cpa_id, conversation_id, service, action), data, descriptions, flags),
            (acknowledged, warnings, errors, manifest, has, told, order),
        )| {
            use SignalAction::{Acknowledgment as Ack, MessageError, StatusRequest, StatusResponse};
            let is = |signal| kind == MessageKind::Signal(signal);
            let is_user = kind == MessageKind::User;
            let (service, action) = match kind {
                MessageKind::User => {
                    let (value, service_type): (String, Option<String>) = service;
                    (Service { value: value.into(), kind: service_type.map(Into::into) }, action)
                }
                MessageKind::Signal(signal) => (Service::msh(), signal.as_str().to_owned()),
            };
            let (to_party, next) = acknowledged;
            let acknowledgments = match (is(Ack), has[0], has[1]) {
                (true, _, false) | (_, true, false) => vec![to_party],
                (true, _, true) | (_, true, true) => vec![to_party, next],
                (false, false, _) => vec![],
            };
            let ref_to_message_id = match acknowledgments.first() {
                Some(ack) if is(Ack) => Some(ack.ref_to_message_id.clone()),
                _ => (!is_user || has[2]).then_some(data.2),
            };
            let asked = |actor, signed| AckRequested { actor, signed };
            Message {
                header: MessageHeader {
                    from,
                    to,
                    cpa_id: cpa_id.parse().expect("plain text"),
                    conversation_id: conversation_id.parse().expect("plain text"),
                    service,
                    action: action.into(),
                    data: MessageData {
                        message_id: data.0,
                        timestamp: data.1,
                        ref_to_message_id,
                        time_to_live: data.3,
                    },
                    duplicate_elimination: flags[0],
                    descriptions: descriptions.into_iter().map(|(t, l)| (t.into(), l.into())).collect(),
                },
                kind,
                sync_reply: flags[1],
                order: order.filter(|_| is_user && flags[0] && !flags[1] && flags[2]),
                ack_requested: match (is_user, flags[2], flags[3]) {
                    (true, true, signed) => {
                        vec![asked(Actor::ToPartyMsh, signed), asked(Actor::NextMsh, !signed)]
                    }
                    (true, false, signed) => vec![asked(Actor::NextMsh, signed)],
                    (false, ..) => vec![],
                },
                acknowledgments,
                error_list: match (is(MessageError), has[3]) {
                    (true, _) => Some(errors),
                    (false, true) if !is(StatusRequest) => Some(warnings),
                    (false, _) => None,
                },
                manifest: (is_user && has[4]).then_some(manifest),
                status: match kind {
                    MessageKind::Signal(StatusRequest) => Some(StatusBody::Asked(told.ref_to_message_id)),
                    MessageKind::Signal(StatusResponse) => Some(StatusBody::Told(told)),
                    _ => None,
                },
                payloads: vec![],
                references: vec![],
            }
        },
    )
}

proptest! {
    //= ebms2 2.3 MUST: every message that is written keeps the schema and reads back as it was
    /// decode(encode(m)) = m, and what is written is valid.
    #[test]
    fn messages_read_back_as_written(message in message()) {
        let octets = Bytes::from(encode_envelope(&message).text);
        prop_assert_eq!(envelope_findings(&octets), []);
        match decode_envelope(&octets, Some("UTF-8"), &XmlLimits::ENVELOPE) {
            Ok(read) => prop_assert_eq!(read.message, message),
            Err(fault) => prop_assert!(false, "{fault}\n{}", String::from_utf8_lossy(&octets)),
        }
    }
}
