//! Every element in its place and every value within its rules.

use super::*;

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

    in_header(&header(""), "SecurityFailure H/eb:MessageHeader[2]");
    in_header(
        &header("soap:actor='urn:x'"),
        "SecurityFailure H/eb:MessageHeader[1], SecurityFailure H/eb:MessageHeader[2]",
    );
    check(
        "<eb:MessageHeader ",
        &format!("<eb:MessageHeader {NEXT_MSH} "),
        "SecurityFailure H/eb:MessageHeader",
    );
    check(
        "<eb:MessageHeader ",
        "<eb:MessageHeader soap:actor='urn:oasis:names:tc:ebxml-msg:service:nextMSH' ",
        "SecurityFailure H/eb:MessageHeader",
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
    check("<eb:CPAId>c</eb:CPAId>\n", "", "~ OtherXml H/eb:MessageHeader/eb:ConversationId");
    check("<eb:Action>X</eb:Action>", "<eb:Action/>", "~ OtherXml H/eb:MessageHeader/eb:Action");
    check(
        " eb:version=\"2.0\" soap:must",
        " version=\"2.0\" soap:must",
        "OtherXml H/eb:MessageHeader/@version, OtherXml H/eb:MessageHeader",
    );
    check("2024-06-11T09:30:00Z", "yesterday", "~ OtherXml H/eb:MessageHeader/eb:MessageData/eb:Timestamp");
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
    check("2024-06-11T09:30:00Z", "2024-06-11T24:00:00Z", "");
    const TIMESTAMP: &str = "~ OtherXml H/eb:MessageHeader/eb:MessageData/eb:Timestamp";
    for none in ["2024-06-11T24:00:01Z", "2024-06-11T25:00:00Z", "2024-06-11T23:59:60Z"] {
        check("2024-06-11T09:30:00Z", none, TIMESTAMP);
    }
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
