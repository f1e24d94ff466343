//! Refusals: the right error, nothing routed, nothing lost, and a repeat gets the same octets (P8).

use super::super::*;
use super::cases::{application, declaration, lodged, lodging};
use super::world::*;
use crate::codec::catalogue::Catalogue;
use crate::codec::document::schema_findings;
use crate::codec::envelope::{FaultCode, SoapFault};
use crate::model::*;
use crate::msh::{AgePolicy, check_arrival};
use crate::security::{Refusal, RefusalAnswer, RefusalCause};

/// Posts what must be refused; the code of its first error in the record. Nothing else may have changed.
fn refused(world: &mut World, posted: &Posted) -> String {
    let before = (world.owed(), world.cases());
    let first = world.post(posted);
    assert!(matches!(first, Some(Reply::Message(_))), "{first:?}");
    let stored = world.stored(posted).expect("it is kept");
    assert!(!stored.accepted);
    assert_eq!((world.owed(), world.cases()), before);
    assert_eq!(world.post(posted), first, "a repeat gets the same octets");
    assert_eq!(world.logged("message.refused"), Some(false));
    world.check_laws();
    stored.reason
}

#[test]
fn what_a_lodging_may_not_be() {
    fn check(documents: Vec<Document>, expected: &str) {
        let mut world = lodged();
        let posted = world.message(BROKER, "bad", "ImportClearance", "GOVCBR929", documents);
        let reason = refused(&mut world, &posted);
        assert!(reason.starts_with(expected), "{reason}");
    }
    let cancelled = match declaration("2234509000017X") {
        Document::Declaration(declaration) => {
            Document::Declaration(Declaration { function: "1".into(), ..declaration })
        }
        other => other,
    };
    let fresh = || declaration("2234509000017X");
    check(vec![declaration(DECLARATION)], "Inconsistent: declaration number");
    check(vec![fresh(), application(0, "APP-1234509000017X-0")], "Inconsistent: application number");
    check(
        vec![fresh(), application(0, "TWICE"), application(0, "TWICE")],
        "Inconsistent: application number",
    );
    check(vec![fresh(), fresh()], "Inconsistent: beside its declaration");
    check(vec![application(0, "A"), fresh()], "Inconsistent: Action is GOVCBR929");
    check(vec![cancelled], "NotSupported: FunctionCode 1");
    check(vec![], "Inconsistent: the first payload");
    let Document::Declaration(naming) = fresh() else { unreachable!("it is a declaration") };
    let attachments = vec![ContentId::new("scan").expect("a Content-ID")];
    check(
        vec![Document::Declaration(Declaration { attachments, ..naming })],
        "MimeProblem: the document names",
    );
}

//= ebms2 4.2.3.4.1 MUST: each error has a code, a severity, a location and a Description
/// A refusal tells findings twice: as errors to the message service, and as a document (R20) to whoever wrote the
/// refused one, once, in the commit of the refusal (P1, P3).
#[test]
fn every_finding_of_a_document_goes_back_as_errors_and_as_a_document() {
    let mut world = World::new();
    let finding = |line| Finding {
        line,
        path: "/Declaration/ID".to_owned(),
        rule: "xsd:pattern".to_owned(),
        message: "expected 14 characters".to_owned(),
    };
    let posted = lodging(&world, BROKER, "bad", DECLARATION, &[0]);
    let faulty = PartContent::Faulty {
        code: DocumentCode::new("GOVCBR929").expect("a code"),
        number: Some("1234509".to_owned()),
        findings: (1..=3).map(finding).collect(),
    };
    let posted = posted.read_as(vec![faulty, PartContent::Attachment]);
    let first = world.post(&posted);
    assert!(matches!(first, Some(Reply::Message(_))), "{first:?}");
    let stored = world.stored(&posted).expect("it is kept");
    let told = "OtherXml: line 1: /Declaration/ID: expected 14 characters [xsd:pattern] (and 2 more)";
    assert_eq!((stored.accepted, &*stored.reason, world.cases()), (false, told, 0));
    assert_eq!(world.post(&posted), first, "a repeat gets the same octets");
    assert_eq!(world.owed(), [(BROKER.to_owned(), "GOVCBRR20".to_owned())], "and no second report");
    let delivery = &world.deliveries()[0];
    let header = &posted.message.header;
    assert_eq!(delivery.ref_to_message_id.as_ref(), Some(&header.data.message_id));
    assert_eq!(delivery.conversation_id, header.conversation_id);
    let [Part { source: PartSource::Made(report), .. }] = &*delivery.parts else {
        panic!("one document: {:?}", delivery.parts);
    };
    let catalogue = Catalogue::built_in();
    let kind = catalogue.of_code("GOVCBRR20").expect("is known");
    let findings = schema_findings(catalogue, kind, report.as_bytes(), world.now).expect("is XML");
    assert_eq!(findings, [], "{report}");
    assert_eq!(report.matches("<LineNumeric>").count(), 3);
    assert!(report.contains("<ID>1234509</ID>") && report.contains("<Location>/Declaration/ID</Location>"));
    world.check_laws();
}

//= ebms2 3.1.6.4 MUST: a message past its TimeToLive is answered with TimeToLiveExpired
//= ebms2 6.4.1 SHOULD: DuplicateElimination that contradicts the CPA is Inconsistent
//= ebms2 6.3.1 MUST: AckRequested that the CPA demands is there
//= ebms2 4.3.1 MUST: SyncReply is there where syncReplyMode is not none
#[test]
fn what_the_agreement_and_the_clock_forbid() {
    fn check(change: impl FnOnce(&mut Message), expected: &str) {
        let mut world = World::new();
        let posted = lodging(&world, BROKER, "bad", DECLARATION, &[0]).with(change);
        let reason = refused(&mut world, &posted);
        assert!(reason.starts_with(expected), "{reason}");
    }
    check(|m| m.header.data.time_to_live = Some(Timestamp::EPOCH), "TimeToLiveExpired");
    check(|m| m.header.data.timestamp = Timestamp::EPOCH, "TimeToLiveExpired");
    check(
        |m| m.header.duplicate_elimination = false,
        "Inconsistent: the agreement demands DuplicateElimination",
    );
    check(|m| m.ack_requested.clear(), "Inconsistent: the agreement demands AckRequested");
    check(|m| m.sync_reply = false, "Inconsistent: the agreement has syncReplyMode");
}

//= ebms2 4.3.1 MUST: SyncReply under syncReplyMode none is Inconsistent
//= ebms2 6.4.1 MUST: what the CPA never has must not be there, what it always has must
/// What the agreement says of a module, what the message has, and what is wrong with that.
#[test]
fn each_module_is_there_as_the_agreement_says() {
    type Change<T> = fn(&mut T);
    let world = World::new();
    let lodging = lodging(&world, BROKER, "lodging", DECLARATION, &[]).message;
    let agreed = world.registry.agreement(&lodging.header.cpa_id).expect("is there").clone();
    let check = |agreement: Change<Agreement>, message: Change<Message>, expected: &[(ErrorCode, &str)]| {
        let (mut agreed, mut lodging) = (agreed.clone(), lodging.clone());
        agreement(&mut agreed);
        message(&mut lodging);
        let errors = check_arrival(&lodging, &agreed, world.now, AgePolicy::default());
        let told: Vec<_> =
            errors.iter().map(|error| (error.code.clone(), error.location.as_deref())).collect();
        let expected: Vec<_> = expected.iter().map(|(code, at)| (code.clone(), Some(*at))).collect();
        assert_eq!(told, expected, "{errors:?}");
        assert!(
            errors.iter().all(|error| error.severity == Severity::Error && !error.description.is_empty())
        );
    };
    use ErrorCode::{Inconsistent, TimeToLiveExpired};
    const HEADER: &str = "/soap:Envelope/soap:Header/eb:MessageHeader";
    const ACK: &str = "/soap:Envelope/soap:Header/eb:AckRequested";
    const SYNC: &str = "/soap:Envelope/soap:Header/eb:SyncReply";
    const ELIMINATION: &str = "/soap:Envelope/soap:Header/eb:MessageHeader/eb:DuplicateElimination";
    const TIME_TO_LIVE: &str = "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:TimeToLive";
    const TIMESTAMP: &str = "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:Timestamp";
    let as_it_is: Change<Agreement> = |_| {};
    check(as_it_is, |_| {}, &[]);
    check(as_it_is, |m| m.header.duplicate_elimination = false, &[(Inconsistent, HEADER)]);
    check(|a| a.reliability.duplicate_elimination = Presence::Never, |_| {}, &[(Inconsistent, ELIMINATION)]);
    for has in [(|m| m.header.duplicate_elimination = false) as Change<Message>, |_| {}] {
        check(|a| a.reliability.duplicate_elimination = Presence::PerMessage, has, &[]);
    }
    check(as_it_is, |m| m.ack_requested.clear(), &[(Inconsistent, HEADER)]);
    check(as_it_is, |m| m.ack_requested[0].signed = false, &[(Inconsistent, ACK)]);
    check(|a| a.reliability.ack_signed = false, |_| {}, &[(Inconsistent, ACK)]);
    for has in [(|m| m.ack_requested[0].signed = false) as Change<Message>, |_| {}] {
        check(|a| a.reliability.ack_signed_per_message = true, has, &[]);
    }
    check(|a| a.reliability.ack_requested = Presence::Never, |_| {}, &[(Inconsistent, ACK)]);
    for has in [(|m| m.ack_requested.clear()) as Change<Message>, |_| {}] {
        check(|a| a.reliability.ack_requested = Presence::PerMessage, has, &[]);
    }
    check(as_it_is, |m| m.sync_reply = false, &[(Inconsistent, HEADER)]);
    let may_lack_it: Change<Agreement> = |a| a.profile.deviations = [Deviation::MissingSyncReply].into();
    check(may_lack_it, |m| m.sync_reply = false, &[]);
    check(|a| a.sync_reply_mode = SyncReplyMode::None, |_| {}, &[(Inconsistent, SYNC)]);
    check(|a| a.sync_reply_mode = SyncReplyMode::None, |m| m.sync_reply = false, &[]);
    check(as_it_is, |m| m.header.data.time_to_live = None, &[]);
    check(
        as_it_is,
        |m| m.header.data.time_to_live = Some(Timestamp::EPOCH),
        &[(TimeToLiveExpired, TIME_TO_LIVE)],
    );
    check(as_it_is, |m| m.header.data.timestamp = Timestamp::EPOCH, &[(TimeToLiveExpired, TIMESTAMP)]);
    check(
        as_it_is,
        |m| m.header.data.timestamp = m.header.data.timestamp.plus(std::time::Duration::from_secs(86_400)),
        &[(Inconsistent, TIMESTAMP)],
    );
    // Whatever is wrong is told at once.
    check(
        as_it_is,
        |m| {
            m.sync_reply = false;
            m.ack_requested.clear();
            m.header.duplicate_elimination = false;
            m.header.data.time_to_live = Some(Timestamp::EPOCH);
        },
        &[
            (TimeToLiveExpired, TIME_TO_LIVE),
            (Inconsistent, HEADER),
            (Inconsistent, HEADER),
            (Inconsistent, HEADER),
        ],
    );
}

//= ebms2 6.5.6 MUST: another message under a known MessageId is no duplicate and is refused
#[test]
fn another_message_under_a_known_message_id_is_refused_with_an_alarm_p3() {
    for from in [BROKER, ASYNC_BROKER] {
        let mut world = World::new();
        let first = lodging(&world, from, "lodging", DECLARATION, &[0]);
        let answer = world.post(&first);
        let stored = world.stored(&first);
        let other = lodging(&world, from, "lodging", "2234509000017X", &[0]);
        world.deliver();
        world.logged.clear();
        let refuse = |world: &mut World, posted: &Posted| {
            world.pass(1);
            let reply = world.post(posted);
            world.deliver();
            assert_eq!(world.logged("message.conflict"), Some(true));
            match reply {
                Some(Reply::Message(sealed)) => sealed,
                Some(Reply::Empty) => world.sent.last().expect("it travels by itself").sealed.clone(),
                other => panic!("{other:?}"),
            }
        };
        let [once, twice] = [0, 1].map(|_| refuse(&mut world, &other));
        assert_eq!(message_id(&once), message_id(&twice), "its name follows from what caused it");
        assert_eq!(once == twice, from == ASYNC_BROKER, "what is stored goes out as it is stored");
        let third = lodging(&world, from, "lodging", "3234509000017X", &[0]);
        assert_ne!(message_id(&refuse(&mut world, &third)), message_id(&once));
        let errors = if from == ASYNC_BROKER { 2 } else { 0 };
        assert_eq!(world.count(from, "MessageError"), errors);
        assert_eq!((world.stored(&first), world.cases()), (stored, 1));
        assert_eq!(world.post(&first), answer, "the first keeps its answer");
        world.check_laws();
    }
}

/// The MessageId of a message of ours.
fn message_id(sealed: &Sealed) -> String {
    let text = String::from_utf8_lossy(sealed.body.held()).into_owned();
    let id = text.split_once("<eb:MessageId>").and_then(|(_, rest)| rest.split_once("</eb:MessageId>"));
    id.expect("it has one").0.to_owned()
}

#[test]
fn a_result_for_items_that_do_not_exist_goes_back_to_the_agency() {
    let mut world = lodged();
    let mut document = super::cases::result(0, "R", Some("APP-1234509000017X-0"), Outcome::Approved);
    document.items.push(ResultItem {
        unit: None,
        laws: Vec::new(),
        sequence: 9,
        outcome: Outcome::Approved,
        approval: None,
        quantity: None,
        reason: None,
    });
    let document = vec![Document::Result(document)];
    let posted = world.message(AGENCIES[0].1, "r", "RequirementVerification", "GOVCBRX51", document);
    assert_eq!(refused(&mut world, &posted), "Inconsistent: application APP-1234509000017X-0 has no item 9");
}

/// A message that security turned away.
fn turned_away(
    answer: RefusalAnswer,
    header: Option<MessageHeader>,
    party: Option<&str>,
    now: Timestamp,
) -> Event {
    let refusal = Refusal {
        answer,
        header: header.map(Box::new),
        party: party.map(super::world::party),
        cause: RefusalCause::Signature,
        text: "the digest of \"\" is not the signed one".to_owned(),
        alarm: true,
    };
    Event::Refused(Box::new(Refused { refusal, body: "octets".into(), received_at: now, waiting: true }))
}

//= ebms2 4.2.4.1 SHOULD: who can be told hears of an error
#[test]
fn what_security_turned_away_gets_its_answer_and_leaves_an_entry() {
    let error = || RefusalAnswer::Errors(vec![EbxmlError::new(ErrorCode::SecurityFailure, None, "no")]);
    let fault = SoapFault { code: FaultCode::Client, text: "not XML".to_owned() };
    let mut world = World::new();
    let header = lodging(&world, BROKER, "bad", DECLARATION, &[0]).message.header;
    let unknown = MessageHeader { cpa_id: cpa("nobody"), ..header.clone() };
    let mut check =
        |answer: RefusalAnswer, header: Option<MessageHeader>, party: Option<&str>, expected: &str| {
            let event = turned_away(answer, header, party, world.now);
            let told = match world.drive(&event) {
                Some(Reply::Message(_)) => "message".to_owned(),
                other => format!("{other:?}"),
            };
            assert_eq!(told, expected);
            assert_eq!(world.logged("message.refused"), Some(true));
            assert_eq!((world.cases(), world.deliveries().len()), (0, 0));
            world.check_laws();
        };
    check(RefusalAnswer::Http(403), None, None, "Some(Status(403))");
    check(RefusalAnswer::Fault(fault.clone()), None, Some(BROKER), &format!("Some(Fault({fault:?}))"));
    check(error(), Some(header.clone()), Some(BROKER), "message");
    check(error(), Some(unknown), Some(BROKER), "message");
    check(error(), Some(header), None, "message");
}

//= ebms2 4.2.4.2 MUST: under syncReplyMode none an error comes by a message of its own
#[test]
fn an_asynchronous_partner_hears_of_a_refusal_by_a_delivery_of_its_own() {
    let mut world = World::new();
    let header = lodging(&world, ASYNC_BROKER, "bad", DECLARATION, &[0]).message.header;
    let errors = vec![EbxmlError::new(ErrorCode::SecurityFailure, None, "no")];
    for _ in 0..2 {
        let answer = RefusalAnswer::Errors(errors.clone());
        let event = turned_away(answer, Some(header.clone()), Some(ASYNC_BROKER), world.now);
        assert_eq!(world.drive(&event), Some(Reply::Empty));
        world.deliver();
        world.pass(1);
    }
    assert_eq!(world.count(ASYNC_BROKER, "MessageError"), 1);
    assert_eq!((world.sent.len(), &world.sent[0].sealed), (2, &world.sent[1].sealed));
    world.check_laws();
}
