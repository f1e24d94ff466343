//! Records to test with: small, valid, and the same every time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::{
    Approval, ApprovalKey, ApprovedItem, Attested, Case, CaseId, CaseState, ContentId, ConversationId, CpaId,
    Delivery, DeliveryId, DeliveryPurpose, DeliveryState, Digest, DigestMethod, DigestReference, Direction,
    Drawn, Early, Fate, Holder, MessageData, MessageHeader, MessageId, MessageKey, Outcome, Part, PartSource,
    PartyId, PartyKey, PartyRef, Quantity, Realm, Sealed, Sequence, SequenceKey, Service, StoredMessage,
    TimelineEntry, Timestamp, Transform,
};
use crate::store::{CorrelationKey, NewMessage};

pub(in crate::store) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_718_098_200_000).plus(Duration::from_secs(seconds))
}

pub(in crate::store) fn party(name: &str) -> PartyKey {
    PartyKey::new(name).expect("a party key")
}

pub(in crate::store) fn message_id(text: impl Into<Arc<str>>) -> MessageId {
    MessageId::new(text).expect("a MessageId")
}

pub(in crate::store) fn case_id(number: u32) -> CaseId {
    CaseId::new(format!("case-{number}")).expect("a case id")
}

pub(in crate::store) fn delivery_id(number: u32) -> DeliveryId {
    DeliveryId::new(format!("delivery-{number}")).expect("a delivery id")
}

pub(in crate::store) fn message_key(sender: &str, number: u32) -> MessageKey {
    MessageKey { sender: party(sender), message_id: message_id(format!("{number}@{sender}")) }
}

fn conversation(number: u32) -> ConversationId {
    ConversationId::new(format!("conversation-{number}")).expect("a ConversationId")
}

fn service(value: &str) -> Service {
    Service { value: value.into(), kind: Some("urn:swgw:service".into()) }
}

fn party_ref(name: &str) -> PartyRef {
    PartyRef { ids: vec![PartyId { value: name.into(), kind: Some("urn:swgw:party".into()) }], role: None }
}

/// A lodging that was accepted.
pub(in crate::store) fn stored(sender: &str, number: u32) -> StoredMessage {
    let key = message_key(sender, number);
    StoredMessage {
        header: MessageHeader {
            from: party_ref(sender),
            to: party_ref("gateway"),
            cpa_id: CpaId::new("cpa").expect("a CPAId"),
            conversation_id: conversation(number),
            service: service("ImportClearance"),
            action: "GOVCBR929".into(),
            data: MessageData {
                message_id: key.message_id.clone(),
                timestamp: at(0),
                ref_to_message_id: None,
                time_to_live: None,
            },
            duplicate_elimination: true,
            descriptions: vec![],
        },
        received_at: at(u64::from(number)),
        content_digest: Digest::of(key.to_string().as_bytes()),
        accepted: true,
        quarantined: false,
        held: false,
        order: None,
        case: None,
        content_type: "multipart/related; boundary=b".into(),
        reason: String::new(),
        answered: true,
        documents: Vec::new(),
        hold: None,
        purged: None,
        realm: Realm::Production,
        key,
    }
}

pub(in crate::store) fn new_message(sender: &str, number: u32, body: impl Into<Bytes>) -> NewMessage {
    NewMessage {
        record: stored(sender, number),
        body: body.into().into(),
        response: Some(sealed(format!("answer to {number}"))),
    }
}

pub(in crate::store) fn sealed(body: impl Into<Bytes>) -> Sealed {
    let body = body.into();
    let reference = DigestReference {
        uri: "".into(),
        transforms: vec![Transform::EnvelopedSignature, Transform::ActorFilter, Transform::CanonicalXml],
        method: DigestMethod::Sha256,
        value: Digest::of(&body).0.to_vec(),
    };
    Sealed { content_type: "text/xml".into(), body: body.into(), references: vec![reference] }
}

/// A case that collects.
pub(in crate::store) fn case(number: u32) -> Case {
    Case {
        id: case_id(number),
        realm: Realm::Production,
        declaration: Some(format!("declaration-{number}").into()),
        submitter: Some(party("broker")),
        opened_by: message_key("broker", number),
        conversation_id: conversation(number),
        opened_at: at(u64::from(number)),
        revision: 1,
        round: 1,
        state: CaseState::Collecting,
        declared_as: None,
        rule_set: Some(Digest::of(b"rules")),
        expected: vec![],
        trace: vec![],
        applications: vec![],
        events: vec![],
        customs_status: None,
        customs_issued_at: None,
        ended_at: None,
        due: None,
        payment_due: None,
        withdrawal: None,
        declared: None,
        amendments: Vec::new(),
        held: Vec::new(),
        unverified: Vec::new(),
        hold: None,
    }
}

/// The keys that lead to a case for ever.
pub(in crate::store) fn keys(case: &Case) -> Vec<CorrelationKey> {
    let declaration = case.declaration.clone().map(CorrelationKey::Declaration);
    let numbers = case.applications.iter().filter_map(|application| application.number.clone());
    let sent = case.applications.iter().filter_map(|application| application.sent_as.clone());
    let received = std::iter::once(CorrelationKey::Received(case.opened_by.clone()));
    let applications = numbers.map(CorrelationKey::Application).chain(sent.map(CorrelationKey::Sent));
    received.chain(declaration).chain(applications).collect()
}

/// An approval of the agency `kfda` that nothing rests on.
pub(in crate::store) fn approval(number: u32) -> Approval {
    let item = ApprovedItem {
        outcome: Outcome::Approved,
        laws: vec!["05".parse().expect("a law")],
        quantity: Quantity { value: "1000".parse().expect("a decimal"), unit: "KGM".into() },
        issued_at: at(0),
        valid_until: None,
        cleared: false,
    };
    Approval {
        key: ApprovalKey {
            realm: Realm::Production,
            agency: party("kfda"),
            number: format!("approval-{number}").into(),
        },
        holder: Holder { importer: Some("1208143211".into()), applicant: None, party: Some(party("broker")) },
        case: case_id(number),
        items: [(1, item)].into(),
        charges: Vec::new(),
        spent: Vec::new(),
        due: None,
    }
}

/// A conversation with `kfda` in which nothing has come or gone.
pub(in crate::store) fn sequence(direction: Direction, number: u32) -> Sequence {
    let cpa_id = CpaId::new("cpa-kfda").expect("plain");
    let key = SequenceKey { direction, cpa_id, conversation_id: conversation(number) };
    Sequence::new(key, party("kfda"))
}

/// A message that came before its turn.
pub(in crate::store) fn early(number: u32) -> Early {
    Early { message_id: message_key("kfda", number).message_id, received_at: at(1), fate: Fate::Held }
}

/// What a line of a case uses of an approval.
pub(in crate::store) fn charge(case: u32, undo: bool) -> Drawn {
    let quantity = Quantity { value: "10".parse().expect("a decimal"), unit: "KGM".into() };
    Drawn { case: case_id(case), line: 1, law: "05".parse().expect("a law"), quantity, own: false, undo }
}

/// A delivery that is due at once and carries a payload of the message with the same number.
pub(in crate::store) fn delivery(number: u32, destination: &str) -> Delivery {
    let content_id = ContentId::new("document").expect("a Content-ID");
    Delivery {
        id: delivery_id(number),
        realm: Realm::Production,
        case: None,
        purpose: DeliveryPurpose::Application { index: 0 },
        destination: party(destination),
        cpa_id: CpaId::new("cpa").expect("a CPAId"),
        message_id: message_id(format!("out-{number}")),
        conversation_id: conversation(number),
        ref_to_message_id: None,
        service: service("RequirementVerification"),
        action: "GOVCBRX01".into(),
        parts: vec![Part {
            content_id: content_id.clone(),
            media_type: "application/xml".into(),
            role: None,
            source: PartSource::Received {
                message: message_key("broker", number),
                content_id,
                digest: Digest::of(b"document"),
            },
        }],
        created_at: at(u64::from(number)),
        expires_at: at(3600),
        state: DeliveryState::Pending,
        attempts: 0,
        due: at(u64::from(number)),
        sealed: false,
        mailbox: false,
        order: None,
        again: 0,
        unsent: 0,
        hold: None,
        purged: None,
        reason: String::new(),
    }
}

pub(in crate::store) fn entry(event: &str) -> TimelineEntry {
    TimelineEntry {
        at: at(0),
        event: event.into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text: "something happened".to_owned(),
        alarm: false,
        octets: Attested::default(),
    }
}
