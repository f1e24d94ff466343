//! The worked examples of ebMS 2.0 messages: each is taken apart and decodes to what it says.

use bytes::Bytes;
use gwanmun::codec::envelope::{Envelope, decode_envelope};
use gwanmun::codec::mime::{MimeLimits, Package, unpack};
use gwanmun::codec::xml::XmlLimits;
use gwanmun::model::{
    AckRequested, Acknowledgment, Actor, Digest, DigestMethod, DigestReference, EbxmlError, ErrorCode,
    Manifest, MessageData, MessageHeader, MessageId, MessageKind, MessageStatus, PartyId, PartyRef,
    Reference, Role, Service, Severity, SignalAction, StatusBody, StatusResponse, Timestamp, Transform,
};

macro_rules! sample {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("samples/", $name)))
    };
}

const USER_CONTENT_TYPE: &str = "multipart/related; type=\"text/xml\"; boundary=\"=_sw-0417-0001\"; \
                                 start=\"<soap@trader-0417.example>\"";

fn decoded(octets: &Bytes) -> Envelope {
    decode_envelope(octets, Some("UTF-8"), &XmlLimits::ENVELOPE).expect("a sample keeps every rule")
}

#[test]
fn the_user_message_comes_apart_without_a_copy_of_its_binary_parts() {
    let http = sample!("user.http");
    let blank = http.windows(4).position(|window| window == b"\r\n\r\n").expect("a header ends");
    let header = String::from_utf8(http.slice(..blank).to_vec()).expect("a header is ASCII");
    let content_type = header
        .lines()
        .find_map(|line| line.strip_prefix("Content-Type: "))
        .expect("the request has a Content-Type");
    assert_eq!(content_type, USER_CONTENT_TYPE);
    check(content_type, &http.slice(blank + 4..));
    check(USER_CONTENT_TYPE, &sample!("user.mime"));

    fn check(content_type: &str, body: &Bytes) {
        let Package { root, parts } =
            unpack(content_type, &body.clone().into(), &MimeLimits::default()).expect("a package");
        assert_eq!(root.content_id.as_ref().map(AsRef::as_ref), Some("soap@trader-0417.example"));
        assert_eq!((&*root.media_type, root.charset.as_deref()), ("text/xml", Some("UTF-8")));
        let told: Vec<_> = parts
            .iter()
            .map(|part| {
                (
                    part.content_id.as_ref().expect("it has one").as_str(),
                    &*part.media_type,
                    part.body.held().len(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("decl-1@trader-0417.example", "application/xml", 155),
                ("phyto-1@trader-0417.example", "application/pdf", 62)
            ]
        );
        assert_eq!([parts[0].body.held(), parts[1].body.held()], [&sample!("p1.xml"), &sample!("p2.bin")]);
        // Identity encoding is a view of the received octets, base64 is not.
        let received = body.as_ptr_range();
        assert!(received.contains(&root.body.as_ptr()) && received.contains(&parts[0].body.held().as_ptr()));
        assert_eq!(
            Digest::of(parts[0].body.held()).0,
            *base64("YxcNeR6CGom7u/K6cGIfQZqAZFAcdI4jDzfS6b7DWmU=")
        );
        assert_eq!(
            Digest::of(parts[1].body.held()).0,
            *base64("2S9t0fniYWxcx81QY+nw/ofjP5/x07M187MFhO6nI4s=")
        );
        check_user(&decoded(&root.body), true, true);
    }
}

//= ebms2 3.1 MUST: every element of MessageHeader is read to its value, whatever the prefixes
#[test]
fn the_user_messages_decode_to_what_they_say() {
    check_user(&decoded(&sample!("user.xml")), true, true);
    check_user(&decoded(&sample!("ok1.xml")), true, true);
    check_user(&decoded(&sample!("ok2.xml")), false, true);
    // Only its signature is wrong.
    check_user(&decoded(&sample!("neg1.xml")), true, false);
}

fn check_user(envelope: &Envelope, sync_reply: bool, ack_signed: bool) {
    let message = &envelope.message;
    let data = MessageData {
        message_id: id("20240611-093000-0001@trader-0417.example"),
        timestamp: at("2024-06-11T09:30:00Z"),
        ref_to_message_id: None,
        time_to_live: Some(at("2024-06-11T10:30:00Z")),
    };
    let service = Service { value: "Declaration".into(), kind: Some("urn:example:sw:services".into()) };
    let mut header = header(true, service, "Submit", data);
    header.duplicate_elimination = true;
    assert_eq!(message.header, header);
    assert_eq!(message.kind, MessageKind::User);
    assert_eq!(message.sync_reply, sync_reply);
    assert_eq!(message.ack_requested, [AckRequested { actor: Actor::ToPartyMsh, signed: ack_signed }]);
    let references = vec![
        Reference {
            href: "cid:decl-1@trader-0417.example".into(),
            role: Some("urn:example:sw:doc:declaration".into()),
            schemas: vec!["urn:example:sw:declaration:1".into()],
            description: Some("Import declaration".into()),
        },
        Reference {
            href: "cid:phyto-1@trader-0417.example".into(),
            role: None,
            schemas: vec![],
            description: None,
        },
    ];
    assert_eq!(message.manifest, Some(Manifest { references }));
    assert!(message.acknowledgments.is_empty() && message.error_list.is_none());
    assert!(message.payloads.is_empty() && message.references.is_empty());
    let signature = envelope.signature.and_then(|id| envelope.tree.element(id)).expect("it is signed");
    assert_eq!(signature.path(), "/soap:Envelope/soap:Header/ds:Signature");
}

//= ebms2 6.3.2 MUST: an Acknowledgment of another MSH is read: time, message, References
#[test]
fn the_acknowledgment_decodes_to_what_it_says() {
    let envelope = decoded(&sample!("ack.xml"));
    let reference = |uri: &str, transforms: &[Transform], value: &str| DigestReference {
        uri: uri.into(),
        transforms: transforms.to_vec(),
        method: DigestMethod::Sha256,
        value: base64(value).to_vec(),
    };
    let transforms = [Transform::EnvelopedSignature, Transform::ActorFilter, Transform::CanonicalXml];
    let acknowledgment = Acknowledgment {
        actor: Actor::ToPartyMsh,
        timestamp: at("2024-06-11T09:30:01Z"),
        ref_to_message_id: id("20240611-093000-0001@trader-0417.example"),
        from: vec![party("SW-GATEWAY")],
        references: vec![
            reference("", &transforms, "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo="),
            reference("cid:decl-1@trader-0417.example", &[], "YxcNeR6CGom7u/K6cGIfQZqAZFAcdI4jDzfS6b7DWmU="),
            reference("cid:phyto-1@trader-0417.example", &[], "2S9t0fniYWxcx81QY+nw/ofjP5/x07M187MFhO6nI4s="),
        ],
    };
    assert_eq!(envelope.message.acknowledgments, [acknowledgment]);
    assert_eq!(envelope.message.kind, MessageKind::Signal(SignalAction::Acknowledgment));
    let data = MessageData {
        message_id: id("7c1f0f5e-2d0a-4a7e-9d55-0f6f4f1d8a01@sw-gateway.example"),
        timestamp: at("2024-06-11T09:30:02Z"),
        ref_to_message_id: Some(id("20240611-093000-0001@trader-0417.example")),
        time_to_live: None,
    };
    assert_eq!(envelope.message.header, header(false, Service::msh(), "Acknowledgment", data));
    assert!(envelope.signature.is_some());
}

//= ebms2 4.2.3 MUST: an ErrorList of another MSH is read: codes, severities, locations, Descriptions
#[test]
fn the_message_error_decodes_to_what_it_says() {
    let envelope = decoded(&sample!("err.xml"));
    assert_eq!(envelope.message.kind, MessageKind::Signal(SignalAction::MessageError));
    let errors = vec![
        EbxmlError::new(
            ErrorCode::SecurityFailure,
            "cid:phyto-1@trader-0417.example".to_owned(),
            "Digest of payload does not match its signed reference",
        ),
        EbxmlError {
            severity: Severity::Warning,
            ..EbxmlError::new(
                ErrorCode::OtherXml,
                "#xpointer(/soap:Envelope/soap:Header/eb:MessageHeader/eb:Description)".to_owned(),
                "",
            )
        },
    ];
    assert_eq!(envelope.message.error_list.map(|list| list.errors), Some(errors));
    let data = envelope.message.header.data;
    assert_eq!(data.ref_to_message_id, Some(id("20240611-093000-0002@trader-0417.example")));
    assert!(envelope.signature.is_none());
}

//= ebms2 7.1.2 MUST: StatusResponse and Pong of another MSH are read
#[test]
fn status_response_and_pong_are_signals() {
    fn check(octets: &Bytes, action: SignalAction, ref_to_message_id: &str, status: Option<StatusResponse>) {
        let message = decoded(octets).message;
        assert_eq!(message.kind, MessageKind::Signal(action));
        assert_eq!(message.header.data.ref_to_message_id, Some(id(ref_to_message_id)));
        assert_eq!(message.status, status.map(StatusBody::Told));
        assert!(message.manifest.is_none() && message.ack_requested.is_empty() && !message.sync_reply);
    }
    let told = StatusResponse {
        status: MessageStatus::Processed,
        ref_to_message_id: id("20240611-093000-0001@trader-0417.example"),
        timestamp: Some(at("2024-06-11T09:30:01Z")),
    };
    check(&sample!("status.xml"), SignalAction::StatusResponse, "q-0001@trader-0417.example", Some(told));
    check(&sample!("pong.xml"), SignalAction::Pong, "ping-0007@trader-0417.example", None);
}

fn header(inbound: bool, service: Service, action: &str, data: MessageData) -> MessageHeader {
    let side = |name: &str, role: &str| PartyRef {
        ids: vec![party(name)],
        role: Some(Role::new(role).expect("a role")),
    };
    let (trader, gateway) = (side("TRADER-0417", "Submitter"), side("SW-GATEWAY", "SingleWindow"));
    let (from, to) = if inbound { (trader, gateway) } else { (gateway, trader) };
    MessageHeader {
        from,
        to,
        cpa_id: "urn:example:sw:cpa:TRADER-0417:SW-GATEWAY:1".parse().expect("a CPAId"),
        conversation_id: "24ZZ000417A1".parse().expect("a ConversationId"),
        service,
        action: action.into(),
        data,
        duplicate_elimination: false,
        descriptions: vec![],
    }
}

fn party(name: &str) -> PartyId {
    PartyId { value: name.into(), kind: Some("urn:example:sw:party".into()) }
}

fn id(text: &str) -> MessageId {
    text.parse().expect("a MessageId")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a dateTime")
}

fn base64(text: &str) -> Box<[u8; 32]> {
    use ::base64::Engine as _;
    let octets = ::base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    octets.into_boxed_slice().try_into().expect("a SHA-256 digest")
}
