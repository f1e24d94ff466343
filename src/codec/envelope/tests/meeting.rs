//! Which elements go together, and what a signal may be like.

use super::*;
use crate::model::{DigestMethod, Transform};

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
    // Whether that is refused is for the sender's profile to say.
    signal("Acknowledgment", &[ACK], &[MANIFEST], "");
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
    ack("<eb:PartyId eb:type=\"t\">A</eb:PartyId>", "", "~ OtherXml H/eb:MessageHeader/eb:From");
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
        "",
    );
    reference(
        "<r:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#ripemd160'/><r:DigestValue>AA==</r:DigestValue>",
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
