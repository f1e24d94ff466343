//! What brokers take back and replace, what lapses: withdrawal, cancellation, new versions (domain brief, 5.2 and
//! 5.3; rulings 20 to 24).

use super::super::*;
use super::cases::{answer, application, lodged, result};
use super::world::*;
use crate::case::next_lapse;
use crate::model::*;

/// A broker's withdrawal of a declaration.
fn withdrawal(world: &World, from: &str, id: &str, declaration: &str) -> Posted {
    let document = Document::Change(DeclarationChange {
        code: code("GOVCBR5BF"),
        number: id.into(),
        issued_at: "2009-12-01T01:10:00Z".parse().expect("an instant"),
        declaration: declaration.into(),
        sequence: None,
        reason: Some("84".into()),
        text: Some("Pests were found".into()),
    });
    world.message(from, id, "ImportClearance", "GOVCBR5BF", vec![document])
}

/// A further document for an application, with this FunctionCode.
fn further(world: &World, agency: usize, id: &str, number: &str, function: &str) -> Posted {
    let Document::Application(mut document) = application(agency, number) else { panic!("it is one") };
    document.function = function.into();
    document.reason = (function == "1").then(|| "The goods go back".into());
    let action = document.code.to_string();
    let document = vec![Document::Application(document)];
    world.message(BROKER, id, "RequirementVerification", &action, document)
}

fn number(agency: usize) -> String {
    format!("APP-{DECLARATION}-{agency}")
}

/// A result of an agency that names no message of ours, issued this many minutes after two.
fn decided(world: &World, agency: usize, id: &str, minutes: u64, outcome: Outcome) -> Posted {
    let number = number(agency);
    let mut document = result(agency, id, Some(&number), outcome);
    document.issued_at = document.issued_at.plus(std::time::Duration::from_secs(60 * minutes));
    let action = document.code.to_string();
    let document = vec![Document::Result(document)];
    world.message(AGENCIES[agency].1, id, "RequirementVerification", &action, document)
}

fn notice(world: &World, agency: usize, id: &str, kind: NoticeKind) -> Posted {
    let number = number(agency);
    let action = if kind == NoticeKind::Error { "GOVCBRRBG" } else { "GOVCBRRBH" };
    let document = Document::Notice(NoticeDocument {
        code: code(action),
        number: id.into(),
        issued_at: "2009-12-01T01:30:00Z".parse().expect("an instant"),
        application: Some(number.into()),
        notice: kind,
        acceptance_number: None,
        deadline: None,
        remarks: None,
    });
    world.message(AGENCIES[agency].1, id, "RequirementVerification", action, vec![document])
}

pub(super) fn states(world: &World) -> Vec<&'static str> {
    world.case().applications.iter().map(|application| application.state.as_str()).collect()
}

/// What the refusal of a message says.
pub(super) fn refusal(posted: &Posted, world: &mut World) -> String {
    assert!(matches!(world.post(posted), Some(Reply::Message(_) | Reply::Empty)), "it is answered");
    let stored = world.stored(posted).expect("it is kept with its refusal");
    assert!(!stored.accepted && !stored.quarantined);
    stored.reason
}

#[test]
fn a_withdrawal_takes_force_at_once_and_agencies_are_asked_to_cancel() {
    let mut world = lodged();
    world.post(&decided(&world, 1, "R1", 0, Outcome::Approved));
    world.post(&notice(&world, 2, "E2", NoticeKind::Error));
    let before = world.owed().len();
    world.post(&withdrawal(&world, BROKER, "w1", DECLARATION));
    let case = world.case();
    assert_eq!(case.state, CaseState::Withdrawn);
    assert_eq!(case.withdrawal.map(|w| w.reason.to_string()).as_deref(), Some("84"));
    assert_eq!(states(&world), ["created", "approved", "error"], "a cancellation is a request");
    assert_eq!(world.count(CUSTOMS, "GOVCBR5BF"), 1, "customs is told");
    assert_eq!(world.count(AGENCIES[0].1, "GOVCBRX01"), 2, "who has not decided is asked");
    assert_eq!((world.count(AGENCIES[1].1, "GOVCBRX02"), world.count(AGENCIES[2].1, "GOVCBRX03")), (1, 1));
    assert_eq!(world.owed().len(), before + 3, "and the broker gets a report");
    world.deliver();
    let sent = world
        .sent
        .iter()
        .find(|sent| world.delivery(&sent.delivery).purpose == DeliveryPurpose::Cancellation { index: 0 });
    let octets = String::from_utf8_lossy(sent.expect("it was sent").sealed.body.held()).into_owned();
    for part in [
        "<FunctionCode>1</FunctionCode>",
        "<Reason>declaration 1234509000017X is withdrawn: Pests were found</Reason>",
        "<IssueDateTime>2009-12-01T01:10:00Z</IssueDateTime>",
        "<ID>APP-1234509000017X-0</ID>",
    ] {
        assert!(octets.contains(part), "{part} in {octets}");
    }
    let cancelled = world.case().applications[0].cancellation.clone().expect("it is to be cancelled");
    world.post(&decided(&world, 0, "R0", 5, Outcome::Cancelled).in_answer_to(&cancelled.message_id));
    assert_eq!((states(&world)[0], world.case().state), ("cancelled", CaseState::Withdrawn));
    assert_eq!((world.count(CUSTOMS, "GOVCBRX51"), world.count(BROKER, "GOVCBRX51")), (1, 1));
    world.check_laws();
}

#[test]
fn what_crosses_a_cancellation_wins_by_issue_time() {
    // The cancellation is confirmed at the fifth minute.
    for (minute, expected) in [(4, "cancelled"), (5, "approved"), (6, "approved")] {
        for confirmed_first in [true, false] {
            let mut world = lodged();
            world.post(&further(&world, 0, "c1", &number(0), "1"));
            let confirmed = decided(&world, 0, "C", 5, Outcome::Cancelled);
            let crossing = decided(&world, 0, "A", minute, Outcome::Approved);
            let order = if confirmed_first { [&confirmed, &crossing] } else { [&crossing, &confirmed] };
            for posted in order {
                world.post(posted);
            }
            // At equal times the later receipt wins (ruling 23).
            let expected = if minute == 5 && !confirmed_first { "cancelled" } else { expected };
            assert_eq!(states(&world)[0], expected, "{minute} {confirmed_first}");
        }
    }
}

#[test]
fn a_broker_cancels_in_his_own_words_and_the_agency_may_refuse() {
    let mut world = lodged();
    world.post(&notice(&world, 0, "n0", NoticeKind::UnderReview));
    let posted = further(&world, 0, "c1", &number(0), "1");
    world.post(&posted);
    let cancellation = world.case().applications[0].cancellation.clone().expect("it is to be cancelled");
    assert_eq!(cancellation.reason.as_deref(), Some("The goods go back"));
    let owed = world.deliveries();
    let owed = owed.iter().find(|d| d.message_id == cancellation.message_id).expect("it is owed");
    assert_eq!(owed.ref_to_message_id, world.case().applications[0].sent_as);
    assert_eq!(owed.conversation_id.as_str(), number(0));
    assert!(
        matches!(&owed.parts[0].source, PartSource::Received { message, .. } if *message == posted.key())
    );
    let no = notice(&world, 0, "no", NoticeKind::Error).in_answer_to(&cancellation.message_id);
    world.post(&no);
    let application = world.case().applications[0].clone();
    assert_eq!(application.state, ApplicationState::UnderReview, "the application itself is not refused");
    assert!(application.cancellation.is_some_and(|cancellation| cancellation.refused));
    world.post(&decided(&world, 0, "R0", 0, Outcome::Approved));
    let text = refusal(&further(&world, 0, "c2", &number(0), "1"), &mut world);
    assert!(text.contains("is approved: there is nothing to cancel"), "{text}");
    let text = refusal(&further(&world, 0, "c3", "NO-SUCH-1", "1"), &mut world);
    assert!(text.contains("no application of this case has number NO-SUCH-1"), "{text}");
    world.check_laws();
}

#[test]
fn what_cannot_be_withdrawn_gets_one_clear_answer() {
    let mut world = lodged();
    let unknown = refusal(&withdrawal(&world, BROKER, "w1", "1234509000018X"), &mut world);
    assert!(unknown.contains("you have lodged no declaration 1234509000018X here"), "{unknown}");
    let stranger = refusal(&withdrawal(&world, ASYNC_BROKER, "w2", DECLARATION), &mut world);
    assert!(stranger.contains("you have lodged no declaration 1234509000017X here"), "{stranger}");
    assert_eq!(world.case().state, CaseState::Collecting);
    world.post(&withdrawal(&world, BROKER, "w3", DECLARATION));
    let again = refusal(&withdrawal(&world, BROKER, "w4", DECLARATION), &mut world);
    assert!(again.contains("the case is withdrawn: nothing about it can be changed any more"), "{again}");
    let late = refusal(&further(&world, 2, "a1", "LATE-1", "9"), &mut world);
    assert!(late.contains("the case is withdrawn: no application is taken any more"), "{late}");
    world.check_laws();
}

#[test]
fn a_supplement_is_answered_with_a_new_version_and_only_its_results_count() {
    let mut world = lodged();
    let first = world.case().applications[0].sent_as.clone().expect("it was sent");
    world.post(&notice(&world, 0, "n0", NoticeKind::SupplementRequested));
    assert_eq!(states(&world)[0], "supplement_requested");
    world.post(&further(&world, 0, "s1", &number(0), "5"));
    let application = world.case().applications[0].clone();
    assert_eq!((application.state, &application.former), (ApplicationState::Created, &vec![first.clone()]));
    assert_eq!(world.count(AGENCIES[0].1, "GOVCBRX01"), 2);
    let named = decided(&world, 0, "R1", 1, Outcome::Rejected).in_answer_to(&first);
    world.logged.clear();
    world.post(&named);
    assert_eq!(world.logged("application.result"), Some(true), "an operator sees that it changes nothing");
    assert_eq!((world.count(CUSTOMS, "GOVCBRX51"), world.count(BROKER, "GOVCBRX51")), (1, 1), "relayed");
    world.post(&decided(&world, 0, "R2", 2, Outcome::Rejected));
    assert_eq!(states(&world)[0], "created", "the version last acknowledged is the first (ruling 22)");
    world.deliver();
    world.post(&decided(&world, 0, "R3", 3, Outcome::Approved));
    assert_eq!(states(&world)[0], "approved", "now it is the second");
    let former: Vec<_> = world.case().applications[0].results.iter().map(|r| r.of_former_version).collect();
    assert_eq!(former, [true, true, false]);
    let text = refusal(&further(&world, 0, "s2", &number(0), "4"), &mut world);
    assert!(text.contains("is approved: only one that is not decided can be replaced"), "{text}");
    world.check_laws();
}

#[test]
fn an_approval_lapses_by_its_event_only_and_before_clearance_only() {
    let end: Timestamp = "2009-12-05T00:00:00Z".parse().expect("an instant");
    let mut world = lodged();
    for agency in 0..3 {
        let posted = answer(&world, agency, &format!("r{agency}"), Outcome::Approved);
        let Some(PartContent::Document { document, code }) = posted.documents.parts().first().cloned() else {
            panic!("it is a result")
        };
        let Document::Result(mut result) = *document else { panic!("it is a result") };
        result.valid_until = (agency == 0).then_some(end);
        let document = Box::new(Document::Result(result));
        world.post(&posted.read_as(vec![PartContent::Document { code, document }]));
    }
    assert_eq!(world.case().state, CaseState::Ready);
    let over = next_lapse(&world.case()).expect("an approval has an end");
    assert_eq!(over, end.plus(std::time::Duration::from_secs(3600)), "our clock may have stepped");
    assert_eq!(world.case().due, Some(over), "it is in the index of what is due");
    let event = Event::CaseDue(world.case().id);
    world.now = over.minus(std::time::Duration::from_millis(1));
    world.drive(&event);
    assert_eq!(world.case().state, CaseState::Ready, "not before its time");
    world.now = over;
    world.drive(&event);
    assert_eq!((world.case().state, states(&world)[0]), (CaseState::Collecting, "lapsed"));
    assert_eq!(next_lapse(&world.case()), None);
    let before = (world.case(), world.owed());
    world.drive(&event);
    assert_eq!((world.case(), world.owed()), before, "the event again changes nothing");
    world.post(&decided(&world, 0, "R9", 0, Outcome::Approved));
    assert_eq!(world.case().state, CaseState::Ready, "a newer result approves it again");
    world.check_laws();
}

#[test]
fn customs_cannot_refuse_unseen_what_took_force() {
    let mut world = lodged();
    world.post(&withdrawal(&world, BROKER, "w1", DECLARATION));
    for (id, status, alarm) in [("c1", "06", false), ("c2", "08", true)] {
        let document = Document::Customs(CustomsNotice {
            code: code("GOVCBR5BG"),
            number: id.into(),
            issued_at: "2009-12-01T03:00:00Z".parse().expect("an instant"),
            declaration: DECLARATION.into(),
            status: Some(status.into()),
            remarks: None,
        });
        let posted = world.message(CUSTOMS, id, "ImportClearance", "GOVCBR5BG", vec![document]);
        world.logged.clear();
        world.post(&posted);
        assert_eq!(world.logged("customs.notice"), Some(alarm), "{status}");
        assert_eq!(world.case().state, CaseState::Withdrawn);
    }
    assert_eq!(world.count(BROKER, "GOVCBR5BG"), 2);
}
