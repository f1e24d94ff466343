//! The mailbox: what waits is given out the same every time, and only a receipt takes it away.

use super::super::*;
use super::cases::lodging;
use super::deliveries::renew;
use super::world::*;
use crate::model::*;
use crate::store::{AuditEntry, Store as _};

/// A world in which the broker and the first agency have no server.
fn without_servers() -> World {
    let mut world = World::new();
    for partner in [BROKER, AGENCIES[0].1] {
        world.agree(partner, |agreement| agreement.endpoint = None);
    }
    world
}

/// The application that waits for the first agency.
fn waiting(world: &mut World) -> Delivery {
    world.room = 8;
    let posted = lodging(world, BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    let is_it = |delivery: &Delivery| delivery.destination.as_str() == AGENCIES[0].1;
    world.deliveries().into_iter().find(is_it).expect("it is owed")
}

fn fetch(world: &mut World, id: &DeliveryId, by: &str) -> Reply {
    let event = Event::Fetched { delivery: id.clone(), by: party(by) };
    world.drive(&event).expect("whoever fetches is answered")
}

fn confirm(world: &mut World, id: &DeliveryId, by: &str, receipt: Option<Arrival>) -> (How, String) {
    let event = Event::Confirmed { delivery: id.clone(), by: party(by), receipt: receipt.map(Box::new) };
    match world.drive(&event).expect("whoever confirms is answered") {
        Reply::Told(Told { how, text, .. }) => (how, text),
        other => panic!("{other:?}"),
    }
}

fn entries(world: &World) -> Vec<AuditEntry> {
    world.store.audit(1, 1000).expect("the store reads").items
}

#[test]
fn what_waits_is_given_out_the_same_until_a_verified_receipt_comes_p4() {
    let mut world = without_servers();
    let agency = AGENCIES[0].1;
    let id = waiting(&mut world).id;
    world.pass(1000);
    world.deliver();
    let kept = world.delivery(&id);
    assert_eq!((kept.state, kept.attempts, kept.mailbox), (DeliveryState::Pending, 0, true));
    assert!(world.sent.iter().all(|sent| sent.destination.as_str() != agency), "nothing is posted");
    let never = confirm(&mut world, &id, agency, None);
    assert_eq!(never.0, How::Conflict, "{}", never.1);

    let Reply::Message(octets) = fetch(&mut world, &id, agency) else { panic!("the octets come") };
    assert_eq!(fetch(&mut world, &id, agency), Reply::Message(octets.clone()));
    assert_eq!(world.delivery(&id).state, DeliveryState::Pending, "it stays until it is confirmed");
    for (what, by, how) in [("of another party", BROKER, How::Nothing), ("of no party", "XX1", How::Nothing)]
    {
        let told = fetch(&mut world, &id, by);
        assert!(matches!(&told, Reply::Told(told) if told.how == how), "{what}: {told:?}");
        assert_eq!(confirm(&mut world, &id, by, None).0, how, "{what}");
    }
    let bare = confirm(&mut world, &id, agency, None);
    assert!(bare.0 == How::Refused && bare.1.contains("signed Acknowledgment"), "{bare:?}");
    let mut wrong = octets.references.clone();
    wrong[0].value[0] ^= 1;
    let wrong = receipt(&kept, wrong, world.now);
    assert_eq!(confirm(&mut world, &id, agency, Some(wrong)).0, How::Refused);
    let mut other = kept.clone();
    other.message_id = MessageId::new("other@sw.example").expect("a MessageId");
    let other = receipt(&other, octets.references.clone(), world.now);
    assert_eq!(confirm(&mut world, &id, agency, Some(other)).0, How::Refused);
    assert_eq!(world.delivery(&id).state, DeliveryState::Pending);

    let good = || receipt(&kept, octets.references.clone(), kept.created_at);
    assert_eq!(confirm(&mut world, &id, agency, Some(good())).0, How::Done);
    assert_eq!(world.delivery(&id).state, DeliveryState::Delivered);
    let written = entries(&world).len();
    assert_eq!(
        confirm(&mut world, &id, agency, Some(good())).0,
        How::Done,
        "a second time: the same outcome"
    );
    assert_eq!(entries(&world).len(), written, "and it is written once");
    let gone = fetch(&mut world, &id, agency);
    assert!(matches!(gone, Reply::Told(Told { how: How::Gone, .. })), "{gone:?}");
    world.check_laws();
}

#[test]
fn an_acknowledgment_that_is_posted_counts_as_well_p4() {
    let mut world = without_servers();
    let id = waiting(&mut world).id;
    let Reply::Message(octets) = fetch(&mut world, &id, AGENCIES[0].1) else { panic!("the octets come") };
    let posted = receipt(&world.delivery(&id), octets.references, world.now);
    world.drive(&Event::Arrived(Box::new(posted)));
    assert_eq!(world.delivery(&id).state, DeliveryState::Delivered);
}

#[test]
fn what_nobody_collects_ends_and_the_submitter_finds_that_in_its_own_mailbox_p9() {
    let mut world = without_servers();
    let id = waiting(&mut world).id;
    fetch(&mut world, &id, AGENCIES[0].1);
    world.pass(3600 + 3600);
    world.deliver();
    assert_eq!(
        world.delivery(&id).state,
        DeliveryState::Pending,
        "a clock that stepped an hour ends nothing"
    );
    world.pass(1);
    world.deliver();
    let ended = world.delivery(&id);
    assert_eq!((ended.state, ended.attempts), (DeliveryState::Expired, 0), "{}", ended.reason);
    assert_eq!(world.case().applications[0].state, ApplicationState::Undeliverable);
    let failure = world.deliveries().into_iter().find(|delivery| &*delivery.action == "MessageError");
    let failure = failure.expect("the submitter is told");
    assert!(failure.mailbox && failure.destination.as_str() == BROKER);
    // A signal gets no receipt: that its party confirms it is enough.
    assert!(matches!(fetch(&mut world, &failure.id, BROKER), Reply::Message(_)));
    assert_eq!(confirm(&mut world, &failure.id, BROKER, None).0, How::Done);
    assert_eq!(world.delivery(&failure.id).state, DeliveryState::Delivered);
    world.check_laws();
}

#[test]
fn the_agreement_says_what_a_receipt_is() {
    fn check(change: impl Fn(&mut Agreement), expected: How) {
        let mut world = without_servers();
        world.agree(AGENCIES[0].1, change);
        let id = waiting(&mut world).id;
        fetch(&mut world, &id, AGENCIES[0].1);
        assert_eq!(confirm(&mut world, &id, AGENCIES[0].1, None).0, expected);
        world.check_laws();
    }
    check(|_| {}, How::Refused);
    check(|agreement| agreement.reliability.ack_signed = false, How::Done);
    check(|agreement| agreement.reliability.ack_requested = Presence::Never, How::Done);
}

/// After a restore: what was fetched before it is settled by its receipt as ever, and nothing is given out meanwhile.
#[test]
fn what_is_held_is_settled_by_its_receipt_p20() {
    fn held(fetched: bool, ack_signed: bool) -> (World, Delivery, Vec<DigestReference>) {
        let mut world = without_servers();
        world.agree(AGENCIES[0].1, |agreement| agreement.reliability.ack_signed = ack_signed);
        let id = waiting(&mut world).id;
        let references = match fetched.then(|| fetch(&mut world, &id, AGENCIES[0].1)) {
            Some(Reply::Message(octets)) => octets.references,
            _ => Vec::new(),
        };
        world.drive(&Event::Withheld { delivery: id.clone(), why: "restored".into() });
        let delivery = world.delivery(&id);
        assert_eq!(delivery.state, DeliveryState::Held);
        let kept = fetch(&mut world, &id, AGENCIES[0].1);
        assert!(matches!(&kept, Reply::Told(told) if told.how == How::Conflict), "{kept:?}");
        (world, delivery, references)
    }
    fn check(world: &mut World, about: &Delivery, given: Option<Arrival>, expected: (How, DeliveryState)) {
        let (how, text) = confirm(world, &about.id, AGENCIES[0].1, given);
        assert_eq!((how, world.delivery(&about.id).state), expected, "{text}");
        world.check_laws();
    }
    use DeliveryState::{Delivered, Held, Rejected};

    let (mut world, delivery, references) = held(true, true);
    let mut other = references.clone();
    other[0].value[0] ^= 1;
    let proves = |world: &World| Some(receipt(&delivery, references.clone(), world.now));
    let proves_nothing = receipt(&delivery, other, world.now);
    check(&mut world, &delivery, None, (How::Refused, Held));
    check(&mut world, &delivery, Some(proves_nothing), (How::Refused, Held));
    for _ in 0..2 {
        let given = proves(&world);
        check(&mut world, &delivery, given, (How::Done, Delivered));
    }

    let (mut world, delivery, _) = held(true, true);
    let error = error_about(&delivery, Severity::Error, world.now);
    check(&mut world, &delivery, Some(error), (How::Done, Rejected));

    // Where no more is agreed than that its party confirms it.
    let (mut world, delivery, _) = held(true, false);
    check(&mut world, &delivery, None, (How::Done, Delivered));

    // The store knows no octets that the receipt could be of.
    let (mut world, delivery, _) = held(false, true);
    let given = receipt(&delivery, Vec::new(), world.now);
    check(&mut world, &delivery, Some(given), (How::Conflict, Held));
    check(&mut world, &delivery, None, (How::Conflict, Held));
}

#[test]
fn an_error_message_of_the_destination_ends_it() {
    let mut world = without_servers();
    let delivery = waiting(&mut world);
    fetch(&mut world, &delivery.id, AGENCIES[0].1);
    let error = error_about(&delivery, Severity::Error, world.now);
    assert_eq!(confirm(&mut world, &delivery.id, AGENCIES[0].1, Some(error)).0, How::Done);
    assert_eq!(world.delivery(&delivery.id).state, DeliveryState::Rejected);
    world.check_laws();
}

#[test]
fn who_takes_a_server_down_collects_from_then_on() {
    let mut world = World::new();
    let (agency, delivery) = (AGENCIES[0].1, waiting(&mut world));
    assert_eq!(delivery.attempts, 1, "it left with its commit");
    world.agree(agency, |agreement| agreement.endpoint = None);
    world.pass(70);
    let sent = world.sent.len();
    world.drive(&Event::Due(delivery.id.clone()));
    let kept = world.delivery(&delivery.id);
    assert!(kept.mailbox && kept.state == DeliveryState::Pending && world.sent.len() == sent);
    assert!(matches!(fetch(&mut world, &delivery.id, agency), Reply::Message(_)));
    world.check_laws();
}

/// P12, S24: an operator hears of it once, and whoever fetches hears that it will not come.
#[test]
fn what_can_never_be_sealed_is_given_up_when_it_is_fetched() {
    let mut world = without_servers();
    let id = waiting(&mut world).id;
    let event = Event::Unsealable { delivery: id.clone(), reason: "there is no key".to_owned() };
    let told = world.drive(&event).expect("whoever fetches is answered");
    assert!(matches!(&told, Reply::Told(Told { how: How::Conflict, .. })), "{told:?}");
    let given_up = world.delivery(&id);
    assert_eq!(given_up.state, DeliveryState::Quarantined);
    assert!(given_up.reason.contains("there is no key"), "{}", given_up.reason);
    let later = fetch(&mut world, &id, AGENCIES[0].1);
    assert!(matches!(later, Reply::Told(Told { how: How::Gone, .. })), "{later:?}");
    world.check_laws();
}

/// Renewal without downtime, for who collects: what nobody fetched goes over to the newer agreement, and what was fetched
/// names the older one, which is over.
#[test]
fn what_waits_goes_over_to_a_renewed_agreement_when_it_is_fetched() {
    let agency = AGENCIES[0].1;
    for fetched_before in [false, true] {
        let mut world = without_servers();
        renew(&mut world, agency, 100, 50);
        let id = waiting(&mut world).id;
        if fetched_before {
            assert!(matches!(fetch(&mut world, &id, agency), Reply::Message(_)));
        }
        world.pass(200);
        let Reply::Message(octets) = fetch(&mut world, &id, agency) else { panic!("the octets come") };
        let delivery = world.delivery(&id);
        let named = format!(">{}</eb:CPAId>", delivery.cpa_id);
        assert!(String::from_utf8_lossy(octets.body.held()).contains(&named), "{delivery:?}");
        assert_eq!(delivery.cpa_id == cpa(agency), fetched_before, "{delivery:?}");
        assert_eq!(delivery.state, DeliveryState::Pending);
        let renewed = entries(&world).iter().filter(|e| *e.entry.event == *"delivery.renewed").count();
        assert_eq!(renewed, usize::from(!fetched_before));
        world.check_laws();
    }
}
