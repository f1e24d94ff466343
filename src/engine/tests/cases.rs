//! Whole cases: lodge, answer in every order, clear; what is missing, what comes late, what nobody asked for.

use super::super::*;
use super::world::*;
use crate::model::*;

pub(super) fn declaration(number: &str) -> Document {
    let line = DeclarationLine {
        count: None,
        sequence: 1,
        hs: "1211901000".parse().expect("an HS code"),
        origin: "CN".parse().ok(),
        usage: None,
        value: None,
        weight: None,
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    Document::Declaration(Declaration {
        number: number.into(),
        function: "9".into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: vec![line],
        attachments: Vec::new(),
    })
}

/// The application to the agency with this place in the world's list.
pub(super) fn application(agency: usize, number: &str) -> Document {
    let item = ApplicationItem { sequence: 1, hs: "1211901000".parse().expect("an HS code") };
    Document::Application(ApplicationDocument {
        code: code(&format!("GOVCBRX0{}", AGENCIES[agency].2)),
        number: number.into(),
        function: "9".into(),
        reason: None,
        items: vec![item],
        attachments: Vec::new(),
    })
}

pub(super) fn result(
    agency: usize,
    number: &str,
    application: Option<&str>,
    outcome: Outcome,
) -> ResultDocument {
    ResultDocument {
        code: code(&format!("GOVCBRX5{}", AGENCIES[agency].2)),
        number: number.into(),
        issued_at: "2009-12-01T02:00:00Z".parse().expect("an instant"),
        application: application.map(Into::into),
        applicant: Some("1234500001".into()),
        outcome,
        valid_until: None,
        remarks: None,
        items: Vec::new(),
    }
}

pub(super) fn lodging(world: &World, from: &str, id: &str, number: &str, agencies: &[usize]) -> Posted {
    let mut documents = vec![declaration(number)];
    documents.extend(agencies.iter().map(|agency| application(*agency, &format!("APP-{number}-{agency}"))));
    world.message(from, id, "ImportClearance", "GOVCBR929", documents)
}

/// A world with a case of three applications that everybody has got.
pub(super) fn lodged() -> World {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    assert!(matches!(world.post(&posted), Some(Reply::Message(_))));
    world.deliver();
    world
}

/// What an agency posts for its application of the case, in answer to what it got.
pub(super) fn answer(world: &World, agency: usize, id: &str, outcome: Outcome) -> Posted {
    let case = world.case();
    let application = &case.applications[agency];
    let number = application.number.as_deref();
    let document = Document::Result(result(agency, &format!("R-{id}"), number, outcome));
    let action = application.result.to_string();
    let posted = world.message(AGENCIES[agency].1, id, "RequirementVerification", &action, vec![document]);
    posted.in_answer_to(application.sent_as.as_ref().expect("it was sent"))
}

pub(super) fn notice(world: &World, agency: usize, id: &str, kind: NoticeKind) -> Posted {
    let case = world.case();
    let document = Document::Notice(NoticeDocument {
        code: code("GOVCBRRBH"),
        number: id.into(),
        issued_at: "2009-12-01T01:30:00Z".parse().expect("an instant"),
        application: case.applications[agency].number.clone(),
        notice: kind,
        acceptance_number: None,
        deadline: None,
        remarks: None,
    });
    world.message(AGENCIES[agency].1, id, "RequirementVerification", "GOVCBRRBH", vec![document])
}

pub(super) fn from_customs(world: &World, id: &str, action: &str, status: &str) -> Posted {
    let document = Document::Customs(CustomsNotice {
        code: code(action),
        number: id.into(),
        issued_at: "2009-12-01T03:00:00Z".parse().expect("an instant"),
        declaration: DECLARATION.into(),
        status: Some(status.into()),
        remarks: None,
    });
    world.message(CUSTOMS, id, "ImportClearance", action, vec![document])
}

fn is_delivered(world: &World) -> bool {
    world.deliveries().iter().all(|delivery| delivery.state == DeliveryState::Delivered)
}

#[test]
fn a_declaration_goes_all_the_way_round_in_every_order_p1_p2() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = lodged();
        assert_eq!(world.case().state, CaseState::Collecting);
        assert_eq!(world.deliveries().len(), 4);
        for (nth, agency) in order.into_iter().enumerate() {
            let accepted = notice(&world, agency, &format!("n{agency}"), NoticeKind::Accepted);
            assert!(matches!(world.post(&accepted), Some(Reply::Message(_))));
            let posted = answer(&world, agency, &format!("r{agency}"), Outcome::Approved);
            assert!(matches!(world.post(&posted), Some(Reply::Message(_))));
            world.deliver();
            let reports = if nth == 2 { 2 } else { 1 };
            assert_eq!(
                (world.count(CUSTOMS, "GOVCBRXS2"), world.count(BROKER, "GOVCBRXS2")),
                (reports, reports)
            );
        }
        assert_eq!(world.case().state, CaseState::Ready);
        let collected = world.case().events.iter().filter(|e| e.kind != EventKind::FirstResult).count();
        assert_eq!(collected, 1);
        world.post(&from_customs(&world, "c1", "GOVCBR023", "13"));
        world.deliver();
        assert_eq!(world.case().state, CaseState::Cleared);
        assert!(is_delivered(&world));
        for (_, _, number) in AGENCIES {
            let action = format!("GOVCBRX5{number}");
            assert_eq!((world.count(CUSTOMS, &action), world.count(BROKER, &action)), (1, 1));
        }
        assert_eq!((world.count(BROKER, "GOVCBRRBH"), world.count(BROKER, "GOVCBR023")), (3, 1));
        assert_eq!(world.deliveries().len(), 4 + 3 + 6 + 4 + 1);
        world.check_laws();
    }
}

//= ebms2 3.1.3 MUST: all messages of a conversation have its ConversationId
//= ebms2 3.1.6.3 MUST: RefToMessageId names the message that is answered
#[test]
fn every_message_names_its_conversation_and_what_it_answers() {
    let mut world = lodged();
    let posted = answer(&world, 0, "r0", Outcome::Approved);
    world.post(&posted);
    let case = world.case();
    let check = |to: &str, action: &str, conversation: &str, answers: Option<&MessageId>| {
        let deliveries = world.deliveries();
        let found = deliveries.iter().find(|d| d.destination.as_str() == to && &*d.action == action);
        let found = found.expect("it is owed");
        assert_eq!(
            (found.conversation_id.as_str(), found.ref_to_message_id.as_ref()),
            (conversation, answers),
            "{action}"
        );
        assert_eq!(found.message_id.as_str(), format!("{}@sw.example", found.id));
    };
    let lodging = Some(&case.opened_by.message_id);
    check(CUSTOMS, "GOVCBR929", DECLARATION, None);
    check(AGENCIES[0].1, "GOVCBRX01", "APP-1234509000017X-0", None);
    check(CUSTOMS, "GOVCBRX51", DECLARATION, case.declared_as.as_ref());
    check(BROKER, "GOVCBRX51", "submission-BR123450000001", lodging);
    check(CUSTOMS, "GOVCBRXS2", DECLARATION, case.declared_as.as_ref());
    check(BROKER, "GOVCBRXS2", "submission-BR123450000001", lodging);
}

//= ebms2 6.5.6 MUST: a duplicate is not handed on again
#[test]
fn what_every_partner_sends_twice_happens_once_p3() {
    let mut world = World::new();
    let lodging = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    let first = world.post(&lodging);
    world.pass(4000);
    assert_eq!(world.post(&lodging), first, "also after its TimeToLive");
    assert_eq!((world.cases(), world.deliveries().len()), (1, 4));
    for agency in 0..3 {
        let posted = answer(&world, agency, &format!("r{agency}"), Outcome::Approved);
        let first = world.post(&posted);
        let before = world.owed();
        assert!(matches!(first, Some(Reply::Message(_))));
        assert_eq!((world.post(&posted), world.owed()), (first, before));
    }
    assert_eq!(world.count(CUSTOMS, "GOVCBRXS2"), 2);
    world.check_laws();
}

#[test]
fn the_same_result_under_another_message_id_changes_nothing() {
    let mut world = lodged();
    let posted = answer(&world, 0, "r0", Outcome::Approved);
    world.post(&posted);
    let before = (world.owed(), world.case());
    let again = posted.with(|m| m.header.data.message_id = "again@agency".parse().expect("a MessageId"));
    assert!(matches!(world.post(&again), Some(Reply::Message(_))));
    assert_eq!((world.owed(), world.case()), before);
    let other = answer(&world, 0, "x", Outcome::Rejected);
    let other = other.read_as(vec![PartContent::Document {
        code: code("GOVCBRX51"),
        document: Box::new(Document::Result(result(
            0,
            "R-r0",
            Some("APP-1234509000017X-0"),
            Outcome::Rejected,
        ))),
    }]);
    world.post(&other);
    assert!(world.stored(&other).expect("it is kept").quarantined);
    assert_eq!(world.logged("message.quarantined"), Some(true));
    assert_eq!(world.case(), before.1);
    world.check_laws();
}

#[test]
fn a_missing_document_is_told_and_may_come_later() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1]);
    world.post(&posted);
    assert_eq!(world.case().applications[2].state, ApplicationState::Blocked);
    assert_eq!((world.count(BROKER, "GOVCBRXS2"), world.count(CUSTOMS, "GOVCBRXS2")), (1, 0));
    for agency in 0..2 {
        let posted = answer(&world, agency, &format!("r{agency}"), Outcome::Approved);
        world.post(&posted);
    }
    assert_eq!(world.case().state, CaseState::Collecting, "it counts in the join");
    let late = vec![application(2, "LATE-2")];
    let late = world.message(BROKER, "late", "RequirementVerification", "GOVCBRX03", late);
    world.post(&late);
    assert_eq!(world.count(AGENCIES[2].1, "GOVCBRX03"), 1);
    let posted = answer(&world, 2, "r2", Outcome::Rejected);
    world.post(&posted);
    assert_eq!(world.case().state, CaseState::Blocked);
    world.check_laws();
}

#[test]
fn a_late_application_needs_its_case() {
    let mut world = lodged();
    let mut check = |from: &str, id: &str, number: &str, agency: usize, accepted: bool| {
        let document = vec![application(agency, number)];
        let action = format!("GOVCBRX0{}", AGENCIES[agency].2);
        let posted = world.message(from, id, "RequirementVerification", &action, document);
        world.post(&posted);
        assert_eq!(world.stored(&posted).expect("it is kept").accepted, accepted, "{id}");
    };
    check(BROKER, "voluntary", "V-1", 0, true);
    check(BROKER, "known-number", "APP-1234509000017X-1", 1, false);
    check(ASYNC_BROKER, "no-case", "V-2", 0, false);
    assert_eq!(world.case().applications.len(), 4);
    assert!(!world.case().applications[3].required);
    world.check_laws();
}

#[test]
fn a_lodging_without_requirements_is_ready_at_once() {
    let mut world = World::new();
    let mut screws = declaration(DECLARATION);
    if let Document::Declaration(declaration) = &mut screws {
        declaration.lines[0].hs = "7318150000".parse().expect("an HS code");
    }
    let posted = world.message(BROKER, "lodging", "ImportClearance", "GOVCBR929", vec![screws]);
    world.post(&posted);
    assert_eq!((world.case().state, world.case().events.len()), (CaseState::Ready, 0));
    assert_eq!(world.owed().len(), 2, "the declaration, and a report to the broker");
    assert_eq!(world.count(BROKER, "GOVCBRXS2"), 1);
}

#[test]
fn a_result_that_nobody_asked_for_is_relayed_all_the_same() {
    let mut world = lodged();
    let before = world.owed().len();
    let unasked = vec![Document::Result(result(0, "U-1", Some("PAPER-1"), Outcome::Approved))];
    let unasked = world.message(AGENCIES[0].1, "u1", "RequirementVerification", "GOVCBRX51", unasked);
    world.post(&unasked);
    assert_eq!(world.logged("result.unasked"), Some(false));
    assert_eq!(world.cases(), 2);
    assert_eq!((world.count(CUSTOMS, "GOVCBRX51"), world.count(BROKER, "GOVCBRX51")), (1, 1));
    assert_eq!(world.owed().len(), before + 2);
    let again = unasked.with(|m| m.header.data.message_id = "u2@agency".parse().expect("a MessageId"));
    world.post(&again);
    assert_eq!((world.cases(), world.owed().len()), (2, before + 2), "its number is known");
    world.deliver();
    assert!(is_delivered(&world));
    world.check_laws();
}

#[test]
fn contradictions_steer_nothing_and_call_an_operator() {
    let mut world = lodged();
    let case = world.case();
    let ours = |agency: usize| case.applications[agency].sent_as.clone().expect("it was sent");
    let result_for = |world: &World, from: usize, id: &str, number: Option<&str>| {
        let document = vec![Document::Result(result(from, id, number, Outcome::Approved))];
        let action = format!("GOVCBRX5{}", AGENCIES[from].2);
        world.message(AGENCIES[from].1, id, "RequirementVerification", &action, document)
    };
    let mut check = |posted: Posted, what: &str| {
        assert!(matches!(world.post(&posted), Some(Reply::Message(_))), "{what}");
        assert!(world.stored(&posted).expect("it is kept").quarantined, "{what}");
        assert_eq!(world.logged("message.quarantined"), Some(true), "{what}");
        assert_eq!(world.case(), case, "{what}");
    };
    let w = lodged();
    check(result_for(&w, 0, "x1", None).in_answer_to(&ours(1)), "another agency's application");
    check(result_for(&w, 0, "x2", Some("APP-1234509000017X-1")), "another agency's number");
    check(result_for(&w, 0, "x3", Some("APP-1234509000017X-1")).in_answer_to(&ours(0)), "two applications");
    check(result_for(&w, 0, "x4", Some("OTHER")).in_answer_to(&ours(0)), "another number");
    let unknown = notice(&w, 0, "x5", NoticeKind::Accepted).read_as(vec![PartContent::Document {
        code: code("GOVCBRRBH"),
        document: Box::new(Document::Notice(NoticeDocument {
            code: code("GOVCBRRBH"),
            number: "x5".into(),
            issued_at: Timestamp::EPOCH,
            application: Some("OTHER".into()),
            notice: NoticeKind::Accepted,
            acceptance_number: None,
            deadline: None,
            remarks: None,
        })),
    }]);
    check(unknown, "a notice about nothing");
    check(w.message(BROKER, "x6", "ImportClearance", "GOVCBR023", vec![]), "no envelope rule");
    world.check_laws();
}

#[test]
fn customs_may_end_a_case_that_still_collects_and_an_operator_sees_it() {
    let mut world = lodged();
    world.post(&from_customs(&world, "c0", "GOVCBR5GZ", "18"));
    assert_eq!((world.case().state, world.logged("customs.notice")), (CaseState::Collecting, Some(false)));
    world.post(&from_customs(&world, "c1", "GOVCBR023", "14"));
    assert_eq!((world.case().state, world.logged("customs.notice")), (CaseState::Cleared, Some(true)));
    let late = answer(&world, 0, "r0", Outcome::Rejected);
    world.post(&late);
    assert_eq!(world.case().state, CaseState::Cleared);
    assert_eq!((world.count(BROKER, "GOVCBRX51"), world.count(BROKER, "GOVCBRXS2")), (1, 0));
    world.check_laws();
}
