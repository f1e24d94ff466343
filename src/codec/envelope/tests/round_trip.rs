//! Whatever is written reads back as it was, and keeps the schema.

use proptest::prelude::*;

use super::*;
use crate::model::{
    AckRequested, Acknowledgment, Actor, DigestMethod, DigestReference, ErrorList, Manifest, MessageData,
    MessageHeader, MessageId, MessageKind, MessageOrder, MessageStatus, OrderStatus, PartyId, PartyRef,
    Reference, Role, Severity, SignalAction, StatusBody, StatusResponse, Timestamp, Transform,
};

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
