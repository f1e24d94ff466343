//! The SOAP layer: what is answered with a fault, and what must be understood.

use super::*;

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

//= ebms2 2.3 MAY: soap:encodingStyle stands on any element of SOAP, and means nothing here
#[test]
fn an_encoding_style_is_let_be() {
    let style = |uris: &str| format!("soap:encodingStyle=\"{uris}\"");
    let usual = "http://schemas.xmlsoap.org/soap/encoding/";
    for uris in [usual, "", &format!("{usual} http://example.org/a")] {
        check("<soap:Envelope ", &format!("<soap:Envelope {} ", style(uris)), "");
        check("<soap:Header>", &format!("<soap:Header {}>", style(uris)), "");
        check("<soap:Body>", &format!("<soap:Body {}>", style(uris)), "");
        check("<eb:MessageHeader ", &format!("<eb:MessageHeader {} ", style(uris)), "");
        check("<eb:Manifest ", &format!("<eb:Manifest {} ", style(uris)), "");
    }
    let unknown = "OtherXml /soap:Envelope/@unknown";
    check("<soap:Envelope ", "<soap:Envelope soap:unknown=\"x\" ", unknown);
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
