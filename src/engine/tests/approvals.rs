//! Declarations that rest on approvals which are held already: verified, charged, given back, undone (domain brief, 4.2
//! and 5.3; rulings 13, 19, 20; P3, P4, P9).

use super::super::{Event, Reply};
use super::cases::{application, declaration, result};
use super::world::*;
use crate::model::*;
use crate::store::{CommitError, Conflict};

pub(super) const POTATOES: &str = "0701100000";
const HERBS: &str = "1211901000";
/// The importer of the declarations here, and the broker's own business number.
const IMPORTER: &str = "1234500001";

pub(super) fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

/// A line of goods, and what it cites: law, number, quantity.
pub(super) type Line<'a> = (&'a str, &'a [(&'a str, &'a str, &'a str)]);

pub(super) fn declared(number: &str, function: &str, lines: &[Line<'_>]) -> Document {
    let Document::Declaration(mut document) = declaration(number) else { panic!("it is one") };
    let bare = document.lines[0].clone();
    document.function = function.into();
    document.importer = Some(IMPORTER.into());
    let line = |(sequence, (hs, cites)): (u16, &Line<'_>)| DeclarationLine {
        sequence,
        hs: hs.parse().expect("an HS code"),
        weight: Some(decimal("600")),
        requirements: cites
            .iter()
            .map(|(law, number, quantity)| RequirementRow {
                law: law.parse().expect("a law"),
                number: (*number).into(),
                quantity: Some(decimal(quantity)),
                unit: Some("KGM".into()),
            })
            .collect(),
        ..bare.clone()
    };
    document.lines = (1..).zip(lines).map(line).collect();
    Document::Declaration(document)
}

pub(super) fn lodging(world: &World, number: &str, lines: &[Line<'_>], with: Vec<Document>) -> Posted {
    let documents = std::iter::once(declared(number, "9", lines)).chain(with).collect();
    world.message(BROKER, &format!("lodging-{number}"), "ImportClearance", "GOVCBR929", documents)
}

/// A result of the first agency about what nobody asked for here.
fn statement(world: &World, id: &str, issued: &str, outcome: Outcome, item: (&str, &str)) -> Posted {
    statement_with(world, id, issued, outcome, item, |_| {})
}

fn statement_with(
    world: &World,
    id: &str,
    issued: &str,
    outcome: Outcome,
    item: (&str, &str),
    change: impl FnOnce(&mut ResultDocument),
) -> Posted {
    let mut document = result(0, &format!("R-{id}"), None, outcome);
    document.issued_at = issued.parse().expect("an instant");
    document.items = vec![ResultItem {
        sequence: 1,
        outcome,
        approval: Some(item.0.into()),
        laws: vec!["05".parse().expect("a law")],
        quantity: (!item.1.is_empty()).then(|| decimal(item.1)),
        unit: Some("KGM".into()),
        reason: None,
    }];
    document.valid_until = "2009-12-02T00:00:00Z".parse().ok();
    change(&mut document);
    world.message(AGENCIES[0].1, id, "RequirementVerification", "GOVCBRX51", vec![Document::Result(document)])
}

/// A world in which the first agency has approved 1000 kg under the number `A-1`.
pub(super) fn approved() -> World {
    let mut world = World::new();
    world.post(&statement(&world, "first", "2009-12-01T00:30:00Z", Outcome::Approved, ("A-1", "1000")));
    assert_eq!(world.logged("approval.stated"), Some(false));
    world
}

pub(super) fn withdrawal(world: &World, number: &str) -> Posted {
    let document = Document::Change(DeclarationChange {
        code: code("GOVCBR5BF"),
        number: format!("W-{number}").into(),
        issued_at: world.now,
        declaration: number.into(),
        sequence: None,
        reason: Some("84".into()),
        text: None,
    });
    world.message(BROKER, &format!("w-{number}"), "ImportClearance", "GOVCBR5BF", vec![document])
}

pub(super) fn amendment(world: &World, number: &str, sequence: u32, lines: &[Line<'_>]) -> Posted {
    let change = Document::Change(DeclarationChange {
        code: code("GOVCBR5FE"),
        number: format!("E-{sequence}").into(),
        issued_at: world.now,
        declaration: number.into(),
        sequence: Some(sequence),
        reason: None,
        text: None,
    });
    let documents = vec![change, declared(number, "5", lines)];
    world.message(BROKER, &format!("e-{number}-{sequence}"), "ImportClearance", "GOVCBR5FE", documents)
}

pub(super) fn customs(world: &World, number: &str, action: &str, status: &str) -> Posted {
    let document = Document::Customs(CustomsNotice {
        code: code(action),
        number: format!("C-{number}").into(),
        issued_at: world.now,
        declaration: number.into(),
        status: Some(status.into()),
        remarks: None,
    });
    world.message(CUSTOMS, &format!("c-{number}"), "ImportClearance", action, vec![document])
}

fn used(world: &World) -> Decimal {
    world.approval("A-1").used(&"05".parse().expect("a law"), "KGM")
}

fn states(world: &World, number: &str) -> Vec<&'static str> {
    world.case_of(number).applications.iter().map(|application| application.state.as_str()).collect()
}

fn kinds(world: &World, number: &str) -> Vec<EventKind> {
    world.case_of(number).events.iter().map(|event| event.kind).collect()
}

const ALL_GOOD: EventKind = EventKind::AllCollected { favourable: true };

#[test]
fn what_approvals_satisfy_needs_no_application_and_is_collected_at_once() {
    let mut world = approved();
    let posted = lodging(&world, "D1", &[(POTATOES, &[("05", "A-1", "400")])], vec![]);
    world.post(&posted);
    let case = world.case_of("D1");
    assert_eq!((case.state, case.applications.len()), (CaseState::Ready, 0));
    assert_eq!(case.expected[0].removed.as_deref(), Some("held approval A-1 (400 KGM)"));
    assert_eq!(kinds(&world, "D1"), [ALL_GOOD], "ruling 19");
    assert_eq!((case.held[0].quantity.value, case.held[0].of), (decimal("400"), decimal("1000")));
    assert_eq!(used(&world), decimal("400"));
    assert_eq!(world.logged("approval.charged"), Some(false));
    assert_eq!((world.count(CUSTOMS, "GOVCBRXS2"), world.count(BROKER, "GOVCBRXS2")), (1, 2));
    // A repeat changes nothing (P3).
    world.post(&posted);
    assert_eq!((used(&world), world.case_of("D1")), (decimal("400"), case));
    world.check_laws();
}

#[test]
fn what_is_cited_in_vain_leaves_the_requirement_and_is_told() {
    let mut world = approved();
    let lines: [Line<'_>; 3] = [
        (POTATOES, &[("05", "A-1", "700")]),
        (POTATOES, &[("05", "A-1", "400")]),
        (HERBS, &[("12", "A-1", "1")]),
    ];
    let with = vec![application(0, "APP-0")];
    world.post(&lodging(&world, "D1", &lines, with));
    let case = world.case_of("D1");
    assert_eq!(case.state, CaseState::Collecting, "it is not refused");
    assert_eq!(used(&world), decimal("700"), "in line order, a row as a whole or not at all (ruling 13)");
    assert_eq!(case.applications[0].items, [1, 2, 3], "what the applicant put in beyond the rows");
    let told: Vec<_> = case.unverified.iter().map(|claim| (claim.line, &*claim.why)).collect();
    let left = "not enough is left of it: 300 KGM, and the line uses 400 KGM";
    assert_eq!(told, [(2, left), (3, "it is no approval of NPQS, which the rules ask here")]);
    assert_eq!(world.logged("approval.unverified"), Some(false));
    let report = world.deliveries().into_iter().find(|delivery| &*delivery.action == "GOVCBRXS2");
    let PartSource::Made(text) = &report.expect("it is told").parts[0].source else {
        panic!("it is made here")
    };
    assert!(text.contains("<StateCode>unverified</StateCode>") && text.contains(left), "{text}");
}

#[test]
fn two_declarations_lodged_at_once_never_use_the_same_rest() {
    let mut world = approved();
    let line: [Line<'_>; 1] = [(POTATOES, &[("05", "A-1", "600")])];
    let postings = [lodging(&world, "D1", &line, vec![]), lodging(&world, "D2", &line, vec![])];
    let events = postings.each_ref().map(|posted| Event::Arrived(Box::new(posted.arrival(world.now))));
    let [first, second] = events.each_ref().map(|event| world.decided(event));
    assert_eq!(
        [&first, &second].map(|batch| batch.case.as_ref().map(|c| c.case.state)),
        [Some(CaseState::Ready); 2]
    );
    assert!(world.commit(first).is_ok());
    let key = world.approval("A-1").key;
    let conflict = CommitError::Conflict(Conflict::Approval { key, found: Some(2) });
    assert_eq!(world.commit(second).map(drop), Err(conflict), "P3");
    world.drive(&events[1]);
    assert_eq!(world.case_of("D2").state, CaseState::Collecting);
    assert!(
        world.case_of("D2").unverified[0].why.contains("400 KGM"),
        "{:?}",
        world.case_of("D2").unverified
    );
    assert_eq!(used(&world), decimal("600"));
}

#[test]
fn what_a_case_used_goes_back_with_it_and_stays_used_when_it_is_cleared() {
    let line: [Line<'_>; 1] = [(POTATOES, &[("05", "A-1", "600")])];
    let check = |end: &dyn Fn(&World) -> Posted, charges: usize, expected: &str, event: &str| {
        let mut world = approved();
        world.post(&lodging(&world, "D1", &line, vec![]));
        world.logged.clear();
        world.post(&end(&world));
        assert!(world.case_of("D1").state.is_end());
        assert_eq!(
            (used(&world), world.approval("A-1").charges.len()),
            (decimal(expected), charges),
            "{event}"
        );
        assert_eq!(world.logged(event), Some(false));
        world.post(&lodging(&world, "D2", &line, vec![]));
        let ready = world.case_of("D2").state == CaseState::Ready;
        assert_eq!(ready, expected == "0", "{event}");
    };
    check(&|world| withdrawal(world, "D1"), 0, "0", "approval.returned");
    check(&|world| customs(world, "D1", "GOVCBRR21", "04"), 0, "0", "approval.returned");
    check(&|world| customs(world, "D1", "GOVCBR023", "13"), 0, "600", "approval.spent");
}

#[test]
fn an_amendment_charges_anew() {
    let mut world = approved();
    world.post(&lodging(
        &world,
        "D1",
        &[(POTATOES, &[("05", "A-1", "600")]), (POTATOES, &[("05", "A-1", "300")])],
        vec![],
    ));
    assert_eq!(used(&world), decimal("900"));
    // What it used itself is free for it: 1000 fit, although 100 were left.
    world.post(&amendment(&world, "D1", 1, &[(POTATOES, &[("05", "A-1", "1000")])]));
    assert_eq!((used(&world), states(&world, "D1").len()), (decimal("1000"), 0));
    assert_eq!(kinds(&world, "D1"), [ALL_GOOD, ALL_GOOD], "told anew in each revision");
    // A claim that does not hold any more: its application is wanted.
    world.post(&amendment(&world, "D1", 2, &[(POTATOES, &[("05", "A-1", "1001")])]));
    assert_eq!((used(&world), states(&world, "D1")), (decimal("0"), vec!["blocked"]));
    assert_eq!(world.case_of("D1").state, CaseState::Collecting);
    assert_eq!(kinds(&world, "D1").last(), Some(&EventKind::Reopened));
    // And one that holds takes the application away again.
    world.post(&amendment(&world, "D1", 3, &[(POTATOES, &[("05", "A-1", "5")])]));
    let case = world.case_of("D1");
    assert_eq!(
        (used(&world), case.state, case.applications[0].released_in),
        (decimal("5"), CaseState::Ready, Some(4))
    );
    world.check_laws();
}

#[test]
fn the_goods_that_an_approval_was_asked_for_use_it_first() {
    let mut world = World::new();
    world.post(&lodging(&world, "D1", &[(POTATOES, &[])], vec![application(0, "APP-0")]));
    world.deliver();
    let sent = world.case_of("D1").applications[0].sent_as.clone().expect("it was sent");
    let answer = |world: &World, id: &str, outcome, approved: Option<&str>| {
        let mut document = result(0, id, Some("APP-0"), outcome);
        document.issued_at = world.now;
        document.items = approved
            .map(|quantity| ResultItem {
                sequence: 1,
                outcome,
                approval: None,
                laws: Vec::new(),
                quantity: Some(decimal(quantity)),
                unit: Some("KGM".into()),
                reason: None,
            })
            .into_iter()
            .collect();
        let documents = vec![Document::Result(document)];
        let posted = world.message(AGENCIES[0].1, id, "RequirementVerification", "GOVCBRX51", documents);
        posted.in_answer_to(&sent)
    };
    world.post(&answer(&world, "A-1", Outcome::Approved, Some("1000")));
    assert_eq!(used(&world), decimal("600"), "the net weight of its line");
    assert_eq!(world.approval("A-1").items[&1].laws, ["05".parse().expect("a law")], "that of the row");
    let rests: [Line<'_>; 1] = [(POTATOES, &[("05", "A-1", "400")])];
    world.post(&lodging(&world, "D2", &rests, vec![]));
    assert_eq!((world.case_of("D2").state, used(&world)), (CaseState::Ready, decimal("1000")));
    // The agency takes it back without saying its number again.
    world.pass(60);
    world.post(&answer(&world, "A-2", Outcome::Revoked, None));
    assert_eq!(states(&world, "D1"), ["revoked"]);
    world.keep_agenda();
    assert_eq!((states(&world, "D2"), used(&world)), (vec!["blocked"], decimal("0")));
    world.check_laws();
}

#[test]
fn a_revocation_reopens_every_case_that_rests_on_it_in_a_commit_of_its_own() {
    let mut world = approved();
    for number in ["D1", "D2", "D3"] {
        world.post(&lodging(&world, number, &[(POTATOES, &[("05", "A-1", "300")])], vec![]));
    }
    world.post(&withdrawal(&world, "D2"));
    let revoked = statement(&world, "second", "2009-12-01T00:50:00Z", Outcome::Revoked, ("A-1", ""));
    world.post(&revoked);
    assert_eq!(states(&world, "D1").len() + states(&world, "D3").len(), 0, "nothing of it is in that commit");
    let key = world.approval_due().expect("it is due at once");
    let reopened = |world: &World| ["D1", "D3"].map(|number| states(world, number) == ["blocked"]);
    // A crash between deciding and committing leaves no trace; each commit does one case.
    drop(world.decided(&Event::ApprovalDue(key.clone())));
    assert_eq!(reopened(&world), [false, false]);
    world.drive(&Event::ApprovalDue(key.clone()));
    assert_eq!((reopened(&world), used(&world)), ([true, false], decimal("300")));
    // The same event, decided before and committed after: the version has gone on.
    let stale = world.decided(&Event::ApprovalDue(key.clone()));
    world.drive(&Event::ApprovalDue(key.clone()));
    assert_eq!((reopened(&world), used(&world)), ([true, true], decimal("0")));
    assert!(world.commit(stale).is_err());
    assert_eq!(world.approval_due(), None);
    world.drive(&Event::ApprovalDue(key));
    assert_eq!(kinds(&world, "D1"), [ALL_GOOD, EventKind::Reopened]);
    assert_eq!(world.case_of("D1").state, CaseState::Collecting);
    assert_eq!(&*world.case_of("D1").unverified[0].why, "it is revoked");
    assert_eq!(world.case_of("D2").state, CaseState::Withdrawn);
    // The application comes, and is decided.
    let late =
        world.message(BROKER, "late", "RequirementVerification", "GOVCBRX01", vec![application(0, "APP-9")]);
    let late = late.with(|message| message.header.conversation_id = world.case_of("D1").conversation_id);
    world.post(&late);
    world.check_laws();
}

#[test]
fn an_approval_lapses_before_clearance_only() {
    let mut world = approved();
    for number in ["D1", "D2"] {
        world.post(&lodging(&world, number, &[(POTATOES, &[("05", "A-1", "300")])], vec![]));
    }
    world.post(&customs(&world, "D1", "GOVCBR023", "13"));
    world.now = "2009-12-02T00:59:00Z".parse().expect("an instant");
    world.keep_agenda();
    assert_eq!(world.case_of("D2").state, CaseState::Ready, "our clock may have stepped (P9)");
    world.post(&lodging(&world, "D3", &[(POTATOES, &[("05", "A-1", "300")])], vec![]));
    assert_eq!(&*world.case_of("D3").unverified[0].why, "it was valid until 2009-12-02T00:00:00Z");
    world.pass(60);
    world.keep_agenda();
    assert_eq!(
        (world.case_of("D1").state, world.case_of("D2").state),
        (CaseState::Cleared, CaseState::Collecting)
    );
    assert_eq!(world.logged("approval.lapsed"), Some(false));
    assert_eq!(
        (used(&world), world.approval_due()),
        (decimal("300"), None),
        "a cleared case keeps what it used"
    );
}

/// What lapsed before a restore the lost store may have told of; what an agency takes back after it, it has not (P20).
#[test]
fn what_lapsed_before_a_restore_is_told_when_an_operator_says_so_p20() {
    let held = |world: &World| {
        let deliveries = world.deliveries().into_iter();
        deliveries.filter(|delivery| delivery.state == DeliveryState::Held).count()
    };
    let mut world = approved();
    world.post(&lodging(&world, "D1", &[(POTATOES, &[("05", "A-1", "300")])], vec![]));
    world.now = "2009-12-02T01:00:00Z".parse().expect("an instant");
    world.restored = Some(world.now);
    let told = world.deliveries().len();
    world.keep_agenda();
    assert_eq!(world.case_of("D1").state, CaseState::Collecting);
    let made = world.deliveries().len() - told;
    assert!(made > 0 && held(&world) == made, "{:?}", world.deliveries());
    world.check_laws();

    let mut world = approved();
    world.post(&lodging(&world, "D1", &[(POTATOES, &[("05", "A-1", "300")])], vec![]));
    world.restored = Some(world.now);
    world.pass(5);
    world.post(&statement(&world, "second", "2009-12-01T00:50:00Z", Outcome::Revoked, ("A-1", "")));
    world.keep_agenda();
    assert_eq!((world.case_of("D1").state, held(&world)), (CaseState::Collecting, 0));
}

#[test]
fn less_than_is_used_undoes_the_newest() {
    let mut world = approved();
    for number in ["D1", "D2", "D3"] {
        world.post(&lodging(&world, number, &[(POTATOES, &[("05", "A-1", "300")])], vec![]));
    }
    world.post(&statement(&world, "less", "2009-12-01T00:50:00Z", Outcome::Approved, ("A-1", "650")));
    world.keep_agenda();
    let ready = ["D1", "D2", "D3"].map(|number| world.case_of(number).state == CaseState::Ready);
    assert_eq!((ready, used(&world)), ([true, true, false], decimal("600")));
    // An older statement that comes late changes nothing.
    world.post(&statement(&world, "older", "2009-12-01T00:40:00Z", Outcome::Revoked, ("A-1", "")));
    world.keep_agenda();
    assert_eq!(used(&world), decimal("600"));
}

#[test]
fn approvals_that_end_in_the_same_second_are_each_told() {
    let mut world = approved();
    world.post(&statement(&world, "other", "2009-12-01T00:30:00Z", Outcome::Approved, ("A-2", "1000")));
    let lines: [Line<'_>; 3] =
        [(POTATOES, &[("05", "A-1", "1")]), (POTATOES, &[("05", "A-2", "1")]), (POTATOES, &[])];
    world.post(&lodging(&world, "D1", &lines, vec![]));
    let told = world.count(BROKER, "GOVCBRXS2");
    for (id, number) in [("r1", "A-1"), ("r2", "A-2")] {
        world.post(&statement(&world, id, "2009-12-01T00:50:00Z", Outcome::Revoked, (number, "")));
    }
    world.keep_agenda();
    assert_eq!((world.count(BROKER, "GOVCBRXS2"), states(&world, "D1")), (told + 2, vec!["blocked"]));
    assert_eq!(world.case_of("D1").applications[0].items, [1, 2, 3]);
    world.check_laws();
}

#[test]
fn an_approval_number_belongs_to_one_importer() {
    let mut world = approved();
    let before = world.approval("A-1");
    let other = ("2009-12-01T00:40:00Z", Outcome::Revoked, ("A-1", ""));
    let posted = statement_with(&world, "other", other.0, other.1, other.2, |document| {
        document.applicant = Some("9999999999".into());
    });
    assert!(matches!(world.post(&posted), Some(Reply::Message(_))), "it is recorded and relayed");
    assert_eq!(world.count(CUSTOMS, "GOVCBRX51"), 2);
    assert_eq!((world.approval("A-1"), world.logged("approval.stated")), (before, Some(true)));
    world.check_laws();
}
