//! Whom an approval is taken from and given to when its number, its case or its item changes: nothing of it is used
//! twice, and nothing is lost (domain brief, 5.3; rulings 13, 19, 20, 21; P3).

use super::approvals::{Line, POTATOES, amendment, approved, customs, decimal, declared, lodging};
use super::cases::{application, result};
use super::world::*;
use crate::model::*;

const UNASKED: &str = "9706900000";

/// What the first agency says, in answer to what it has got, about the items of the application of this case.
fn says(
    world: &World,
    (declaration, number): (&str, &str),
    outcome: Outcome,
    items: &[(u16, Option<&str>, &str)],
) -> Posted {
    let case = world.case_of(declaration);
    let application = &case.applications[0];
    let mut document = result(0, number, application.number.as_deref(), outcome);
    document.issued_at = world.now;
    let item = |(sequence, approval, quantity): &(u16, Option<&str>, &str)| ResultItem {
        sequence: *sequence,
        outcome,
        approval: approval.map(Into::into),
        laws: vec!["05".parse().expect("a law")],
        quantity: Some(decimal(quantity)),
        unit: Some("KGM".into()),
        reason: None,
    };
    document.items = items.iter().map(item).collect();
    let id = format!("{declaration}-{number}");
    let documents = vec![Document::Result(document)];
    let posted = world.message(AGENCIES[0].1, &id, "RequirementVerification", "GOVCBRX51", documents);
    posted.in_answer_to(application.sent_as.as_ref().expect("it was sent"))
}

/// A world with a declaration of 600 kg of potatoes that the agency has got an application for.
fn applied() -> World {
    let mut world = World::new();
    world.post(&lodging(&world, "D1", &[(POTATOES, &[])], vec![application(0, "APP-1")]));
    world.deliver();
    world
}

fn used(world: &World, number: &str) -> Decimal {
    world.approval(number).used(&"05".parse().expect("a law"), "KGM")
}

/// Whether a declaration that cites so much of this approval rests on it.
fn rests(world: &mut World, declaration: &str, number: &str, quantity: &str) -> bool {
    let cites = [("05", number, quantity)];
    let posted = lodging(world, declaration, &[(POTATOES, &cites)], vec![]);
    world.post(&posted);
    world.case_of(declaration).state == CaseState::Ready
}

#[test]
fn a_revocation_that_repeats_the_quantity_takes_back_what_was_approved() {
    let mut world = applied();
    let approved = says(&world, ("D1", "A-1"), Outcome::Approved, &[(1, None, "1000")]);
    world.post(&approved);
    assert!(rests(&mut world, "D2", "A-1", "400"));
    world.pass(60);
    let revoked = says(&world, ("D1", "R-2"), Outcome::Revoked, &[(1, None, "1000")]);
    world.post(&revoked);
    world.keep_agenda();
    assert_eq!(world.case_of("D2").state, CaseState::Collecting);
    assert!(!rests(&mut world, "D3", "A-1", "1"), "{:?}", world.approval("A-1"));
    world.check_laws();
}

#[test]
fn an_item_that_is_approved_under_another_number_is_not_approved_under_both() {
    let mut world = applied();
    let approved = says(&world, ("D1", "R-1"), Outcome::Approved, &[(1, Some("A-1"), "1000")]);
    world.post(&approved);
    assert!(rests(&mut world, "D2", "A-1", "400"));
    world.pass(60);
    let anew = says(&world, ("D1", "R-2"), Outcome::Approved, &[(1, Some("A-2"), "800")]);
    world.post(&anew);
    world.keep_agenda();
    assert_eq!(world.case_of("D2").state, CaseState::Collecting, "it has to cite the new number");
    assert!(!rests(&mut world, "D3", "A-1", "1"));
    assert_eq!(used(&world, "A-2"), decimal("600"));
    assert!(rests(&mut world, "D4", "A-2", "200"));
    world.check_laws();
}

#[test]
fn a_number_of_another_importer_stays_his_whatever_case_names_it() {
    let mut world = applied();
    let approved = says(&world, ("D1", "R-1"), Outcome::Approved, &[(1, Some("A-1"), "1000")]);
    world.post(&approved);
    assert!(rests(&mut world, "D2", "A-1", "400"));
    let Document::Declaration(mut other) = declared("D9", "9", &[(POTATOES, &[])]) else {
        panic!("it is one")
    };
    other.importer = Some("9999900009".into());
    let documents = vec![Document::Declaration(other), application(0, "APP-9")];
    let posted = world.message(BROKER, "lodging-D9", "ImportClearance", "GOVCBR929", documents);
    world.post(&posted);
    world.deliver();
    let before = world.approval("A-1");
    world.logged.clear();
    let conflicting = says(&world, ("D9", "R-9"), Outcome::Approved, &[(1, Some("A-1"), "500")]);
    world.post(&conflicting);
    world.keep_agenda();
    assert_eq!(world.logged("approval.stated"), Some(true), "an operator hears of it");
    assert_eq!(world.approval("A-1"), before);
    assert_eq!(world.case_of("D2").state, CaseState::Ready);
    world.check_laws();
}

#[test]
fn goods_that_were_cleared_before_their_result_came_have_used_it_up_once() {
    let mut world = applied();
    let cleared = customs(&world, "D1", "GOVCBR023", "13");
    world.post(&cleared);
    assert_eq!(world.case_of("D1").state, CaseState::Cleared);
    let mut expect = |number: &str, outcome, quantity: &str, expected: &str| {
        world.pass(60);
        let said = says(&world, ("D1", number), outcome, &[(1, Some("A-1"), quantity)]);
        world.post(&said);
        world.post(&said);
        assert_eq!(used(&world, "A-1"), decimal(expected), "{number}");
    };
    expect("R-1", Outcome::Approved, "1000", "600");
    expect("R-2", Outcome::Approved, "2000", "600");
    expect("R-3", Outcome::Revoked, "2000", "600");
    expect("R-4", Outcome::Approved, "1000", "600");
    assert!(!rests(&mut world, "D2", "A-1", "401"));
    assert!(rests(&mut world, "D3", "A-1", "400"));
    world.check_laws();
}

#[test]
fn goods_that_had_used_it_when_they_were_cleared_do_not_use_it_again() {
    let mut world = applied();
    let approved = says(&world, ("D1", "R-1"), Outcome::Approved, &[(1, Some("A-1"), "1000")]);
    world.post(&approved);
    let cleared = customs(&world, "D1", "GOVCBR023", "13");
    world.post(&cleared);
    world.pass(60);
    let more = says(&world, ("D1", "R-2"), Outcome::Approved, &[(1, Some("A-1"), "1500")]);
    world.post(&more);
    assert_eq!((used(&world, "A-1"), world.approval("A-1").charges.len()), (decimal("600"), 0));
    world.check_laws();
}

#[test]
fn an_item_that_a_new_version_leaves_out_gives_back_what_it_used() {
    let mut world = World::new();
    let with = |function: &str, items: &[u16]| {
        let Document::Application(mut document) = application(0, "APP-1") else { panic!("it is one") };
        let item = document.items[0].clone();
        document.function = function.into();
        document.items =
            items.iter().map(|sequence| ApplicationItem { sequence: *sequence, ..item.clone() }).collect();
        Document::Application(document)
    };
    world.post(&lodging(&world, "D1", &[(POTATOES, &[]), (UNASKED, &[])], vec![with("9", &[1, 2])]));
    world.deliver();
    let approved = says(&world, ("D1", "R-1"), Outcome::Approved, &[(2, Some("A-1"), "1000")]);
    world.post(&approved);
    assert_eq!(used(&world, "A-1"), decimal("600"));
    let replaced = world.message(BROKER, "v2", "RequirementVerification", "GOVCBRX01", vec![with("5", &[1])]);
    let id = world.case_of("D1").conversation_id;
    let replaced = replaced.with(|message| message.header.conversation_id = id);
    world.post(&replaced);
    assert_eq!(world.case_of("D1").applications[0].items, [1]);
    assert_eq!(used(&world, "A-1"), decimal("0"));
    world.check_laws();
}

#[test]
fn an_amendment_may_cite_what_its_own_goods_use() {
    let mut world = applied();
    let approved = says(&world, ("D1", "R-1"), Outcome::Approved, &[(1, Some("A-1"), "1000")]);
    world.post(&approved);
    assert_eq!(used(&world, "A-1"), decimal("600"));
    let lines: [Line<'_>; 1] = [(POTATOES, &[("05", "A-1", "700")])];
    world.post(&amendment(&world, "D1", 1, &lines));
    assert_eq!(world.case_of("D1").unverified, []);
    assert_eq!((world.case_of("D1").held.len(), used(&world, "A-1")), (1, decimal("700")));
    world.keep_agenda();
    assert_eq!((world.case_of("D1").held.len(), used(&world, "A-1")), (1, decimal("700")));
    world.check_laws();
}

#[test]
fn what_a_line_cites_twice_is_used_twice() {
    let mut world = approved();
    let cites = [("05", "A-1", "300"), ("05", "A-1", "200"), ("05", "A-1", "200")];
    world.post(&lodging(&world, "D1", &[(POTATOES, &cites)], vec![]));
    assert_eq!((used(&world, "A-1"), world.case_of("D1").state), (decimal("700"), CaseState::Ready));
    assert!(!rests(&mut world, "D2", "A-1", "301"));
    assert!(rests(&mut world, "D3", "A-1", "300"));
    world.check_laws();
}
