//! Officers of a hosted agency: their acts are documents on the road of every document, one of two at once wins, and
//! each is in the record with its name.

use super::super::*;
use super::cases::lodging;
use super::world::*;
use crate::case::version_of;
use crate::codec::catalogue::Catalogue;
use crate::model::*;
use crate::security::Verified;
use crate::store::Store as _;

const AGENCY: &str = AGENCIES[0].1;
const NUMBER: &str = "APP-1234509000017X-0";

/// A world with an application that lies in the inbox of the first agency.
fn lodged() -> World {
    let mut world = World::new();
    world.agree(AGENCY, |agreement| {
        agreement.endpoint = None;
        agreement.hosted = true;
    });
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    world.deliver();
    world
}

fn officer(name: &str, role: OfficerRole, agency: &str) -> Officer {
    Officer { name: name.into(), role, agency: party(agency), tls_certificates: Vec::new() }
}

fn kim() -> Officer {
    officer("kim", OfficerRole::Officer, AGENCY)
}

fn version(world: &World) -> String {
    version_of(&world.case().applications[0])
}

fn decision(outcome: Outcome) -> Act {
    Act::Decide {
        outcome: Some(outcome),
        valid_until: None,
        remarks: Some("by the book".into()),
        items: Vec::new(),
    }
}

/// What an officer does on the version that is there now.
fn by(world: &World, by: Officer, act: Act) -> OfficerAct {
    OfficerAct { by, application: NUMBER.into(), version: version(world).into(), act }
}

/// The event of an act, composed on the records as they are; or what the officer hears at once.
fn composed(world: &World, act: OfficerAct) -> Result<Event, Told> {
    let view = world.store.load(&needs_of_act(&act)).expect("the store loads");
    let message = compose_act(world.now, &act, &view, &world.context(), Catalogue::built_in())?;
    let documents = read_documents(
        Catalogue::built_in(),
        &Verified::for_tests(message.clone(), act.by.agency.clone(), true),
        world.now,
    )
    .expect("in memory");
    let arrival = Posted::of(act.by.agency.clone(), message, documents).arrival(world.now);
    Ok(Event::Acted { arrival: Box::new(arrival), act })
}

fn drive(world: &mut World, event: &Event) -> Told {
    match world.drive(event).expect("an officer is answered") {
        Reply::Told(told) => told,
        other => panic!("{other:?}"),
    }
}

fn act(world: &mut World, act: OfficerAct) -> Told {
    world.pass(1);
    composed(world, act).map_or_else(|told| told, |event| drive(world, &event))
}

/// Entries of the audit record that name an officer.
fn officers_acts(world: &World) -> Vec<String> {
    let entries = world.store.audit(1, 1000).expect("the store reads").items;
    entries.into_iter().filter(|e| &*e.entry.event == "officer.acted").map(|e| e.entry.text).collect()
}

#[test]
fn an_inbox_has_what_is_owed_to_its_agency_with_the_commit_that_owes_it_p4() {
    let world = lodged();
    let delivery = world.deliveries().into_iter().find(|delivery| delivery.destination.as_str() == AGENCY);
    let delivery = delivery.expect("it is owed");
    assert_eq!(
        (delivery.state, delivery.attempts, &*delivery.action),
        (DeliveryState::Delivered, 0, "GOVCBRX01")
    );
    assert!(world.sent.iter().all(|sent| sent.destination.as_str() != AGENCY));
    world.check_laws();
}

#[test]
fn what_officers_do_moves_relays_and_joins_like_what_is_posted() {
    let mut world = lodged();
    let state = |world: &World| world.case().applications[0].state;
    let deadline = world.now.plus(std::time::Duration::from_secs(86_400));
    let acts = [
        (Act::Take, ApplicationState::Accepted),
        (Act::Supplement { deadline, reason: "the label".into() }, ApplicationState::SupplementRequested),
        (Act::Inspect { remarks: Some("Busan, pier 3".into()) }, ApplicationState::InspectionOrdered),
        (decision(Outcome::Approved), ApplicationState::Decided(Outcome::Approved)),
    ];
    for (what, expected) in acts {
        let told = by(&world, kim(), what);
        let told = act(&mut world, told);
        assert_eq!((told.how, state(&world)), (How::Done, expected), "{}", told.text);
        assert_eq!(told.version, Some(version(&world)), "who goes on knows the version");
    }
    assert_eq!(world.count(BROKER, "GOVCBRRBH"), 3, "notices go to the applicant");
    assert_eq!(
        (world.count(BROKER, "GOVCBRX51"), world.count(CUSTOMS, "GOVCBRX51")),
        (1, 1),
        "results to both"
    );
    let events = world.case().events;
    assert!(
        events.iter().any(|event| event.kind == EventKind::FirstResult),
        "the join counts it: {events:?}"
    );
    let application = &world.case().applications[0];
    assert_eq!(application.officer.as_deref(), Some("kim"));
    assert!(application.acceptance_number.is_some(), "who takes it gives it a number");
    let acts = officers_acts(&world);
    assert_eq!(acts.len(), 4);
    assert!(acts.iter().all(|text| text.starts_with("kim (officer): ")), "{acts:?}");
    world.check_laws();
}

#[test]
fn of_two_officers_who_decide_at_once_one_wins_and_the_other_hears_what_happened() {
    let mut world = lodged();
    let lee = officer("lee", OfficerRole::Supervisor, AGENCY);
    let first = composed(&world, by(&world, kim(), decision(Outcome::Approved))).expect("can be done");
    let second = composed(&world, by(&world, lee, decision(Outcome::Rejected))).expect("can be done");
    assert_eq!(drive(&mut world, &first).how, How::Done);
    let before = world.deliveries().len();
    let told = drive(&mut world, &second);
    assert_eq!(told.how, How::Conflict);
    assert!(told.text.contains("approved, by kim"), "{}", told.text);
    assert_eq!(world.case().applications[0].state, ApplicationState::Decided(Outcome::Approved));
    assert_eq!((world.case().applications[0].results.len(), world.deliveries().len()), (1, before));
    // The answer was lost, and the client acts again: it was done, and nothing changes.
    let again = drive(&mut world, &first);
    assert_eq!(again.how, How::Done);
    assert_eq!((officers_acts(&world).len(), world.deliveries().len()), (1, before));
    world.check_laws();
}

#[test]
fn roles_say_who_may_do_what() {
    let mut world = lodged();
    let viewer = officer("park", OfficerRole::Viewer, AGENCY);
    let lee = || officer("lee", OfficerRole::Officer, AGENCY);
    let supervisor = || officer("choi", OfficerRole::Supervisor, AGENCY);
    let stranger = officer("han", OfficerRole::Supervisor, AGENCIES[1].1);
    let mut check = |who: Officer, what: Act, expected: How| {
        let name = who.name.clone();
        let what = by(&world, who, what);
        let told = act(&mut world, what);
        assert_eq!(told.how, expected, "{name}: {}", told.text);
    };
    check(viewer, Act::Take, How::Forbidden);
    check(stranger, Act::Take, How::Nothing);
    check(kim(), Act::Take, How::Done);
    check(lee(), decision(Outcome::Approved), How::Conflict);
    check(supervisor(), Act::Take, How::Done);
    check(kim(), decision(Outcome::Approved), How::Conflict);
    check(supervisor(), decision(Outcome::Approved), How::Done);
    check(supervisor(), Act::Inspect { remarks: None }, How::Conflict);
    check(supervisor(), decision(Outcome::Revoked), How::Done);
    assert_eq!(world.case().applications[0].state, ApplicationState::Decided(Outcome::Revoked));
    world.check_laws();
}

#[test]
fn an_act_that_a_connected_agency_could_not_do_is_refused_and_kept() {
    let mut world = lodged();
    let item = ResultItem {
        unit: None,
        laws: Vec::new(),
        sequence: 7,
        outcome: Outcome::Approved,
        quantity: None,
        reason: None,
        approval: None,
    };
    let what = Act::Decide { outcome: None, valid_until: None, remarks: None, items: vec![item] };
    let what = by(&world, kim(), what);
    let told = act(&mut world, what);
    assert_eq!(told.how, How::Refused);
    assert!(told.text.contains("has no item 7"), "{}", told.text);
    assert_eq!(world.case().applications[0].state, ApplicationState::Created);
    assert!(officers_acts(&world)[0].ends_with("which was refused"));
    world.check_laws();
}

#[test]
fn what_officers_approve_can_be_cited() {
    let check = |approval: Option<&str>| {
        let mut world = lodged();
        let item = ResultItem {
            unit: None,
            laws: Vec::new(),
            sequence: 1,
            outcome: Outcome::Approved,
            quantity: "1000".parse().ok(),
            reason: None,
            approval: approval.map(Into::into),
        };
        let what = Act::Decide { outcome: None, valid_until: None, remarks: None, items: vec![item] };
        let what = by(&world, kim(), what);
        let told = act(&mut world, what);
        assert_eq!(told.how, How::Done, "{}", told.text);
        let number = world.case().applications[0].outcomes[&1].approval.clone().expect("it has a number");
        assert!(number.len() <= 20, "{number}: a requirement row takes 20 characters");
        assert!(approval.is_none_or(|given| given == &*number), "{number}");
        assert_eq!(world.approval(&number).items[&1].quantity.to_string(), "1000 KGM");
    };
    check(None);
    check(Some("KFDA-2009-17"));
}
