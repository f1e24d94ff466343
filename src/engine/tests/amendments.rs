//! Amendments: only those hear of one whose rows changed, and what was decided about the rest stays (domain brief,
//! 5.3; rulings 18, 21 to 24).

use super::super::*;
use super::cases::{answer, application, declaration, from_customs, result};
use super::changes::{refusal, states};
use super::rules::later_rules;
use super::world::*;
use crate::model::*;

const HERBS: &str = "1211901000";
const NUTS: &str = "0801110000";
const POTATOES: &str = "0701100000";

/// The declaration with these lines.
fn declared(lines: &[&str], function: &str) -> Document {
    let Document::Declaration(mut document) = declaration(DECLARATION) else { panic!("it is one") };
    let line = document.lines[0].clone();
    document.function = function.into();
    document.lines = (1..)
        .zip(lines)
        .map(|(sequence, hs)| DeclarationLine {
            count: None,
            sequence,
            hs: hs.parse().expect("an HS code"),
            ..line.clone()
        })
        .collect();
    Document::Declaration(document)
}

/// The application to an agency, for these items.
fn form(agency: usize, number: &str, items: &[u16], function: &str) -> Document {
    let Document::Application(mut document) = application(agency, number) else { panic!("it is one") };
    let hs = document.items[0].hs;
    document.function = function.into();
    document.items = items.iter().map(|item| ApplicationItem { sequence: *item, hs }).collect();
    Document::Application(document)
}

fn amendment(world: &World, from: &str, id: &str, sequence: u32, with: Vec<Document>) -> Posted {
    let change = Document::Change(DeclarationChange {
        code: code("GOVCBR5FE"),
        number: id.into(),
        issued_at: "2009-12-01T01:20:00Z".parse().expect("an instant"),
        declaration: DECLARATION.into(),
        sequence: Some(sequence),
        reason: None,
        text: Some("As found".into()),
    });
    let documents = std::iter::once(change).chain(with).collect();
    world.message(from, id, "ImportClearance", "GOVCBR5FE", documents)
}

/// Herbs on line 1, nuts on line 2: KFDA and NPQS look at both, NVRQS at the herbs.
fn two_lines() -> World {
    let mut world = World::new();
    let documents = vec![
        declared(&[HERBS, NUTS], "9"),
        form(0, "APP-0", &[1, 2], "9"),
        form(1, "APP-1", &[1, 2], "9"),
        form(2, "APP-2", &[1], "9"),
    ];
    let posted = world.message(BROKER, "lodging", "ImportClearance", "GOVCBR929", documents);
    world.post(&posted);
    world.deliver();
    assert_eq!(states(&world), ["created"; 3]);
    world
}

fn approve(world: &mut World, agency: usize) {
    let posted = answer(world, agency, &format!("r{agency}"), Outcome::Approved);
    world.post(&posted);
}

fn events(world: &World) -> Vec<(u32, u32, EventKind)> {
    world.case().events.iter().map(|event| (event.revision, event.round, event.kind)).collect()
}

#[test]
fn only_the_agencies_whose_rows_changed_hear_of_an_amendment() {
    let mut world = two_lines();
    (0..3).for_each(|agency| approve(&mut world, agency));
    assert_eq!(world.case().state, CaseState::Ready);
    let before = world.owed();
    // Line 2 becomes potatoes: NPQS has nothing to do with it any more, KFDA sees other goods, NVRQS hears nothing.
    let with = vec![declared(&[HERBS, POTATOES], "5"), form(0, "APP-0", &[1, 2], "5")];
    let posted = amendment(&world, BROKER, "a1", 1, with);
    world.post(&posted);
    let case = world.case();
    assert_eq!((case.revision, case.state), (2, CaseState::Collecting));
    assert_eq!(states(&world), ["created", "approved", "approved"]);
    assert!(case.applications[0].outcomes.contains_key(&1), "what was decided about the herbs stays");
    assert_eq!(case.applications[1].items, [1]);
    let mut told = world.owed();
    for known in before {
        let at = told.iter().position(|found| *found == known).expect("nothing is taken back");
        told.remove(at);
    }
    let mut expected = vec![
        (AGENCIES[0].1, "GOVCBRX01"), // the new version
        (AGENCIES[1].1, "GOVCBRX02"), // its approval of the nuts is let go
        (BROKER, "GOVCBRXS2"),        // amended
        (BROKER, "GOVCBRXS2"),        // reopened
        (BROKER, "GOVCBRXS2"),        // first_result
        (CUSTOMS, "GOVCBR5FE"),
        (CUSTOMS, "GOVCBRXS2"),
        (CUSTOMS, "GOVCBRXS2"),
    ];
    expected.sort_unstable();
    assert_eq!(told.iter().map(|(to, action)| (&**to, &**action)).collect::<Vec<_>>(), expected);
    let amended = world.deliveries().into_iter().find(|d| &*d.action == "GOVCBR5FE").expect("it is owed");
    let roles: Vec<_> = amended.parts.iter().filter_map(|part| part.role.as_deref()).collect();
    assert_eq!(roles, ["urn:swgw:doc:GOVCBR5FE", "urn:swgw:doc:GOVCBR929"], "customs gets no application");
    world.deliver();
    let let_go = world.sent.iter().rev().find(|sent| sent.destination.as_str() == AGENCIES[1].1);
    let octets = String::from_utf8_lossy(let_go.expect("it was sent").sealed.body.held()).into_owned();
    assert!(octets.contains("<FunctionCode>1</FunctionCode>"), "{octets}");
    assert!(octets.contains("<Reason>declaration 1234509000017X is amended: As found</Reason>"), "{octets}");
    assert!(octets.contains("<SequenceNumeric>2</SequenceNumeric>"), "{octets}");
    assert!(!octets.contains("<SequenceNumeric>1</SequenceNumeric>"), "only what is let go is named");
    let posted = answer(&world, 0, "r9", Outcome::Approved);
    world.post(&posted);
    assert_eq!(world.case().state, CaseState::Ready);
    let second: Vec<_> = events(&world).into_iter().filter(|(revision, ..)| *revision == 2).collect();
    let all = EventKind::AllCollected { favourable: true };
    assert_eq!(second, [(2, 1, EventKind::Reopened), (2, 1, EventKind::FirstResult), (2, 1, all)]);
    world.check_laws();
}

#[test]
fn what_is_missing_after_an_amendment_comes_later_and_results_for_the_old_version_change_nothing() {
    let mut world = two_lines();
    let old = world.case().applications[0].sent_as.clone().expect("it was sent");
    let posted = amendment(&world, BROKER, "a1", 1, vec![declared(&[HERBS, POTATOES], "4")]);
    world.post(&posted);
    assert_eq!(states(&world), ["blocked", "created", "created"]);
    let mut late = result(0, "R-old", Some("APP-0"), Outcome::Rejected);
    late.items = vec![ResultItem {
        unit: None,
        laws: Vec::new(),
        sequence: 2,
        outcome: Outcome::Rejected,
        quantity: None,
        reason: None,
        approval: None,
    }];
    let late = vec![Document::Result(late)];
    let late = world.message(AGENCIES[0].1, "old", "RequirementVerification", "GOVCBRX51", late);
    world.post(&late.in_answer_to(&old));
    assert_eq!(states(&world)[0], "blocked");
    assert_eq!((world.count(CUSTOMS, "GOVCBRX51"), world.count(BROKER, "GOVCBRX51")), (1, 1), "relayed");
    // NPQS has crossed the amendment: what it says of the nuts is kept, what it says of the herbs counts.
    let mut crossing = result(1, "R-cross", Some("APP-1"), Outcome::Approved);
    let item = |sequence| ResultItem {
        unit: None,
        laws: Vec::new(),
        sequence,
        outcome: Outcome::Approved,
        quantity: None,
        reason: None,
        approval: None,
    };
    crossing.items = vec![item(1), item(2)];
    let crossing = vec![Document::Result(crossing)];
    let posted = world.message(AGENCIES[1].1, "cross", "RequirementVerification", "GOVCBRX52", crossing);
    let current = world.case().applications[1].sent_as.clone().expect("it was sent");
    world.post(&posted.in_answer_to(&current));
    assert_eq!(states(&world)[1], "approved");
    let replacement = vec![form(0, "APP-0", &[1, 2], "5")];
    let posted = world.message(BROKER, "late", "RequirementVerification", "GOVCBRX01", replacement);
    world.post(&posted);
    assert_eq!(states(&world)[0], "created");
    world.check_laws();
}

#[test]
fn only_changed_lines_follow_the_rules_of_today() {
    let mut world = two_lines();
    // From now on herbs need no NVRQS, and nuts do.
    world.rules = later_rules(&world.registry);
    let posted = amendment(&world, BROKER, "a1", 1, vec![declared(&[HERBS, NUTS], "5")]);
    world.post(&posted);
    assert_eq!(states(&world), ["created"; 3], "no line changed: nothing does");
    assert_eq!(world.case().revision, 2);
    let posted = amendment(&world, BROKER, "a2", 2, vec![declared(&[HERBS, NUTS, NUTS], "5")]);
    world.post(&posted);
    let items: Vec<_> = world.case().applications.iter().map(|a| a.items.clone()).collect();
    assert_eq!(items, [vec![1, 2, 3], vec![1, 2, 3], vec![1, 3]]);
    assert_eq!(states(&world), ["blocked"; 3], "each is to get a new version");
    world.check_laws();
}

#[test]
fn what_cannot_be_amended_gets_one_clear_answer() {
    let mut world = two_lines();
    let same = || vec![declared(&[HERBS, NUTS], "5")];
    let mut check = |from: &str, id: &str, sequence: u32, with: Vec<Document>, says: &str| {
        let before = world.case();
        let posted = amendment(&world, from, id, sequence, with);
        let told = refusal(&posted, &mut world);
        assert!(told.contains(says), "{told}");
        assert_eq!(world.case(), before);
    };
    check(ASYNC_BROKER, "x1", 1, same(), "you have lodged no declaration 1234509000017X here");
    check(BROKER, "x2", 2, same(), "the next amendment of this declaration has SequenceNumeric 1");
    check(BROKER, "x3", 1, vec![], "with an amendment come the whole amended declaration");
    check(BROKER, "x4", 1, vec![declared(&[HERBS], "9")], "has FunctionCode 5, replace, or 4, change");
    let mut with = same();
    with.push(form(0, "APP-9", &[1], "5"));
    check(BROKER, "x5", 1, with, "no application of this case has number APP-9");
    let mut with = same();
    with.push(form(0, "APP-0", &[1], "1"));
    check(BROKER, "x6", 1, with, "a cancellation travels by itself");
    let posted = from_customs(&world, "c1", "GOVCBR023", "13");
    world.post(&posted);
    let posted = amendment(&world, BROKER, "x7", 1, same());
    let told = refusal(&posted, &mut world);
    assert!(told.contains("the case is cleared: nothing about it can be changed any more"), "{told}");
    world.check_laws();
}

#[test]
fn an_amendment_that_needs_nothing_new_may_end_the_blockade() {
    let mut world = two_lines();
    approve(&mut world, 0);
    approve(&mut world, 1);
    let posted = answer(&world, 2, "r2", Outcome::Rejected);
    world.post(&posted);
    assert_eq!(world.case().state, CaseState::Blocked);
    // Without the herbs NVRQS has nothing to say.
    let posted = amendment(
        &world,
        BROKER,
        "a1",
        1,
        vec![{
            let Document::Declaration(mut document) = declared(&[HERBS, NUTS], "5") else {
                panic!("it is one")
            };
            document.lines.remove(0);
            Document::Declaration(document)
        }],
    );
    world.post(&posted);
    assert_eq!((world.case().state, states(&world)[2]), (CaseState::Ready, "rejected"));
    assert_eq!(world.case().applications[2].released_in, Some(2));
    assert_eq!(world.count(AGENCIES[2].1, "GOVCBRX03"), 1, "a rejection is nothing to let go of");
    let second: Vec<_> = events(&world).into_iter().filter(|(revision, ..)| *revision == 2).collect();
    let all = EventKind::AllCollected { favourable: true };
    assert_eq!(second, [(2, 1, EventKind::FirstResult), (2, 1, all)]);
    world.check_laws();
}

//= ebms2 6.5.7 MUST: DeliveryFailure names the message in its own agreement and conversation
//= ebms2 4.2.3.4.2 MUST: DeliveryFailure is a Warning where the message was sent and only its receipt is missing
#[test]
fn the_submitter_hears_of_his_message_under_its_agreement_and_in_its_conversation_p9() {
    fn check(change: impl Fn(&mut World), refuses: bool, renewed: bool, expected: Severity) {
        let mut world = two_lines();
        let first = world.registry.agreement(&cpa(BROKER)).expect("there is one").clone();
        let before = Agreement { cpa_id: CpaId::new("a-before").expect("a CPAId"), ..first.clone() };
        let agreements: Vec<_> = world.registry.agreements().cloned().chain([before]).collect();
        world.registry = Registry::new(world.registry.parties().cloned().collect::<Vec<_>>(), agreements);
        change(&mut world);
        // An amendment of the same case, in a conversation of its own.
        let with = vec![declared(&[HERBS, POTATOES], "5"), form(0, "APP-0", &[1, 2], "5")];
        let amended = amendment(&world, BROKER, "a1", 1, with).with(|message| {
            message.header.conversation_id = ConversationId::new("its own").expect("plain");
        });
        world.post(&amended);
        assert!(world.stored(&amended).expect("is kept").accepted);
        if renewed {
            world.agree(BROKER, |agreement| {
                let end = Timestamp::from_millis(0);
                agreement.end = agreement.end.or((agreement.cpa_id.as_str() != "a-before").then_some(end));
            });
        }
        if refuses {
            let id = world
                .deliveries()
                .into_iter()
                .find(|d| d.destination.as_str() == AGENCIES[0].1 && d.state == Pending);
            let id = id.expect("it is owed").id;
            world.drive(&Event::Due(id.clone()));
            let error = error_about(&world.delivery(&id), Severity::Error, world.now);
            world.drive(&Event::Arrived(Box::new(error)));
        }
        for _ in 0..8 {
            world.deliver();
            world.pass(if refuses { 70 } else { 3_700 });
        }
        let told = world.deliveries().into_iter().find(|delivery| &*delivery.action == "MessageError");
        let told = told.expect("he hears of it");
        assert_eq!(told.cpa_id.as_str() == "a-before", renewed, "{told:?}");
        assert_eq!(told.conversation_id.as_str(), "its own");
        assert_eq!(told.ref_to_message_id, Some(amended.key().message_id));
        let sent = world.sent.iter().find(|sent| sent.delivery == told.id).expect("it is sent");
        let errors = read(&sent.sealed).error_list.expect("has errors").errors;
        assert_eq!((&errors[0].code, errors[0].severity), (&ErrorCode::DeliveryFailure, expected));
        world.check_laws();
    }
    use DeliveryState::Pending;
    let dead = |world: &mut World| world.unreachable.push(party(AGENCIES[0].1));
    check(dead, false, false, Severity::Error);
    let mute = |world: &mut World| world.mute.push(party(AGENCIES[0].1));
    check(mute, false, false, Severity::Warning);
    check(mute, false, true, Severity::Warning);
    check(|_| {}, true, false, Severity::Error);
    // It never went out: it was not collected.
    let collects = |world: &mut World| {
        world.agree(AGENCIES[0].1, |agreement| agreement.endpoint = None);
    };
    check(collects, false, false, Severity::Error);
}
