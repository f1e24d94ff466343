//! When octets are to go, and everything that keeps them (P3, P9).

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::*;
use super::cases::{answer, from_customs, lodging};
use super::world::*;
use crate::model::*;
use crate::store::Store as _;

const DAY: u64 = 86_400;
/// What an archive would be called.
const ARCHIVE: Digest = Digest([7; 32]);

/// A case that customs cleared, whose deliveries are all over; everything is kept a month.
fn ended() -> (World, MessageKey) {
    let mut world = World::new();
    world.retention = Retention { default: days(30), documents: BTreeMap::new() };
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    world.deliver();
    for agency in [0, 1, 2] {
        let result = answer(&world, agency, &format!("result-{agency}"), Outcome::Approved);
        world.post(&result);
        world.deliver();
    }
    let cleared = from_customs(&world, "cleared", "GOVCBR023", "13");
    world.post(&cleared);
    world.deliver();
    (world, posted.key())
}

const fn days(days: u64) -> Keep {
    Keep::For(Duration::from_secs(days * DAY))
}

fn verdict(world: &World, subject: &EvidenceSubject) -> Result<(), String> {
    let view = world.store.load(&needs_of_purge(subject)).expect("the store loads");
    is_over(world.now, subject, &view, &world.context())
}

fn purge(world: &mut World, subject: &EvidenceSubject) -> Result<String, String> {
    told(world.drive(&Event::Purged { subject: subject.clone(), archive: ARCHIVE, bytes: 12 }))
}

fn hold(world: &mut World, on: &Holding, held: Hold) -> Result<String, String> {
    told(world.drive(&Event::Holding {
        on: on.clone(),
        held,
        by: "uid 1".into(),
        reason: "a court asks".into(),
    }))
}

fn told(reply: Option<Reply>) -> Result<String, String> {
    match reply {
        Some(Reply::Told(Told { how: How::Done, text, .. })) => Ok(text),
        Some(Reply::Told(Told { text, .. })) => Err(text),
        other => panic!("an act is answered, not with {other:?}"),
    }
}

fn sent(delivery: &Delivery) -> EvidenceSubject {
    EvidenceSubject::Sent {
        delivery: delivery.id.clone(),
        destination: delivery.destination.clone(),
        message_id: delivery.message_id.clone(),
    }
}

#[test]
fn what_is_over_goes_and_stays_known_and_everything_else_says_why_it_is_kept() {
    let (mut world, key) = ended();
    let subject = EvidenceSubject::Received(key.clone());
    let kept = |world: &World, says: &str| {
        let why = verdict(world, &subject).expect_err(says);
        assert!(why.contains(says), "{why}");
    };
    // Whatever is asked, a repeat that the age rule still lets in is answered as before.
    let let_in = 7 * DAY + 300 + 3600;
    let keeps = std::mem::replace(&mut world.retention.default, Keep::For(Duration::from_secs(1)));
    world.agree(BROKER, |agreement| agreement.reliability.persist_duration = Duration::from_secs(1));
    world.pass(let_in - 1);
    kept(&world, "a repeat of it must be answered until");
    world.pass(1);
    assert_eq!(verdict(&world, &subject), Ok(()));
    world.retention.default = keeps;

    world.pass(30 * DAY - let_in);
    kept(&world, "the retention of");
    world.pass(3599);
    kept(&world, "the retention of");
    world.pass(1);
    assert_eq!(verdict(&world, &subject), Ok(()), "at its time, and an hour for a step of our clock (P9)");

    // Kinds of documents, each by its own line, in the message and not only in its Action.
    world.retention.documents.insert("GOVCBRX01".into(), days(1825));
    kept(&world, "the retention of GOVCBRX01");
    world.retention.documents.insert("GOVCBR929".into(), Keep::Forever);
    kept(&world, "GOVCBR929 is kept for ever");
    world.retention.documents.clear();
    // The duplicate memory is never too short, whatever the retention says.
    world.retention.default = Keep::For(Duration::from_secs(1));
    world.agree(BROKER, |agreement| agreement.reliability.persist_duration = Duration::from_secs(60 * DAY));
    kept(&world, "a repeat of it must be answered until");
    world.agree(BROKER, |agreement| agreement.reliability.persist_duration = Duration::from_secs(DAY));
    assert_eq!(verdict(&world, &subject), Ok(()));
    // Nor under the terms of any Action of the agreement.
    world.agree(BROKER, |agreement| {
        let mut other = agreement.clone();
        other.reliability.persist_duration = Duration::from_secs(60 * DAY);
        let action = (Direction::Receive, "ImportClearance".into(), "GOVCBR5FE".into());
        agreement.overrides = vec![Override { actions: vec![action], agreement: other }];
    });
    kept(&world, "a repeat of it must be answered until");
    world.agree(BROKER, |agreement| agreement.overrides.clear());
    assert_eq!(verdict(&world, &subject), Ok(()));

    let answering = world.deliveries().into_iter().find(|delivery| {
        let refers = delivery.ref_to_message_id.as_ref() == Some(&key.message_id);
        refers && delivery.destination == key.sender
    });
    let answering = sent(&answering.expect("the broker heard of it"));
    for on in [Holding::Case(world.case().id), Holding::Message(key.clone())] {
        assert!(hold(&mut world, &on, Hold::Set).is_ok());
        assert!(hold(&mut world, &on, Hold::Set).is_err_and(|why| why.contains("already")));
        assert_eq!(world.logged("hold.set"), Some(false), "S23");
        kept(&world, "by uid 1: a court asks");
        assert!(verdict(&world, &answering).is_err_and(|why| why.contains("a court asks")), "{on:?}");
        assert!(purge(&mut world, &subject).is_err_and(|why| why.contains("a court asks")));
        assert!(hold(&mut world, &on, Hold::Lifted).is_ok());
        assert_eq!(world.logged("hold.lifted"), Some(false), "S23");
        assert_eq!(verdict(&world, &subject), Ok(()));
    }
    let nothing = Holding::Case(CaseId::new("nothing").expect("an id"));
    assert!(hold(&mut world, &nothing, Hold::Set).is_err_and(|why| why.contains("nothing of that name")));

    assert!(purge(&mut world, &subject).is_ok_and(|told| told.contains(&ARCHIVE.to_string())));
    assert_eq!(world.logged("message.purged"), Some(false));
    assert!(world.store.body(&key).expect("readable").is_none());
    kept(&world, "it was purged at");
    assert!(purge(&mut world, &subject).is_err(), "once");
    world.check_laws();
}

#[test]
fn what_is_not_over_is_kept_whatever_its_age() {
    let mut world = World::new();
    world.retention = Retention { default: days(1), documents: BTreeMap::new() };
    world.unreachable.push(party(AGENCIES[0].1));
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    world.deliver();
    world.pass(400 * DAY);
    let subject = EvidenceSubject::Received(posted.key());
    let kept = |world: &World, says: &str| {
        let why = verdict(world, &subject).expect_err(says);
        assert!(why.contains(says), "{why}");
    };
    kept(&world, "its case is collecting");
    let cleared = from_customs(&world, "cleared", "GOVCBR023", "13");
    world.post(&cleared);
    kept(&world, "of its case is not over");
    let open =
        world.deliveries().into_iter().find(|delivery| !delivery.state.is_terminal()).expect("one is open");
    assert!(verdict(&world, &sent(&open)).is_err_and(|why| why.starts_with("its delivery is")));
    world.unreachable.clear();
    world.deliver();
    world.deliver();
    let over = world.deliveries().into_iter().all(|delivery| delivery.state.is_terminal());
    assert_eq!(verdict(&world, &subject).is_ok(), over, "its deliveries are over, and so is it");
}

#[test]
fn a_hold_that_is_set_meanwhile_keeps_what_was_decided_to_go() {
    let (mut world, key) = ended();
    world.pass(31 * DAY);
    let subject = EvidenceSubject::Received(key);
    let decided = world.decided(&Event::Purged { subject: subject.clone(), archive: ARCHIVE, bytes: 1 });
    let case = world.case().id;
    assert!(hold(&mut world, &Holding::Case(case), Hold::Set).is_ok());
    assert!(world.commit(decided).is_err(), "it was decided on a case that is another now");
    assert!(verdict(&world, &subject).is_err());
}

/// Of what has no case, and is held only with what it answers.
#[test]
fn what_answers_a_message_is_held_with_it_whenever_the_hold_is_set() {
    let mut world = World::new();
    world.retention = Retention { default: days(30), documents: BTreeMap::new() };
    let posted = lodging(&world, ASYNC_BROKER, "lodging", DECLARATION, &[0]);
    world.post(&posted);
    world.deliver();
    let cleared = from_customs(&world, "cleared", "GOVCBR023", "14");
    world.post(&cleared);
    world.deliver();
    world.pass(31 * DAY);
    let acknowledgment =
        world.deliveries().into_iter().find(|delivery| &*delivery.action == "Acknowledgment");
    let acknowledgment = acknowledgment.expect("it travelled by itself");
    assert_eq!(acknowledgment.case, None);
    let subject = sent(&acknowledgment);
    assert_eq!(verdict(&world, &subject), Ok(()));
    let decided = world.decided(&Event::Purged { subject: subject.clone(), archive: ARCHIVE, bytes: 1 });
    let on = Holding::Message(posted.key());
    assert!(hold(&mut world, &on, Hold::Set).is_ok());
    assert!(verdict(&world, &subject).is_err_and(|why| why.contains("the message that it answers is held")));
    assert!(world.commit(decided).is_err(), "it was decided on a message that is another now");
    assert!(hold(&mut world, &on, Hold::Lifted).is_ok());
    let on = Holding::Delivery(acknowledgment.id.clone());
    assert!(hold(&mut world, &on, Hold::Set).is_ok());
    assert!(purge(&mut world, &subject).is_err_and(|why| why.contains("a court asks")));
    assert!(hold(&mut world, &on, Hold::Lifted).is_ok());
    assert!(purge(&mut world, &subject).is_ok());
    world.check_laws();
}

#[test]
fn what_waits_for_its_turn_is_kept_whatever_its_age_p5() {
    let mut world = World::new();
    world.retention = Retention { default: days(1), documents: BTreeMap::new() };
    world.agree(ASYNC_BROKER, |agreement| agreement.reliability.message_order = true);
    let number = |number| SequenceNumber::new(number).expect("in range");
    let early = lodging(&world, ASYNC_BROKER, "early", DECLARATION, &[0]).with(|message| {
        message.order = Some(MessageOrder { number: number(1), status: OrderStatus::Continue });
    });
    world.post(&early);
    world.deliver();
    world.pass(400 * DAY);
    let subject = EvidenceSubject::Received(early.key());
    assert!(
        verdict(&world, &subject).is_err_and(|why| why.starts_with("it is held until what comes before"))
    );
    let acknowledgment =
        world.deliveries().into_iter().find(|delivery| &*delivery.action == "Acknowledgment");
    let answer = verdict(&world, &sent(&acknowledgment.expect("it was acknowledged")));
    assert!(answer.is_err_and(|why| why.starts_with("the message that it answers is held until")));
}

/// Before format 8 a record did not say which documents are in a message.
#[test]
fn what_may_be_of_any_kind_is_kept_as_long_as_the_longest_asks() {
    let (mut world, key) = ended();
    let known = world.store.load(&needs_of_purge(&EvidenceSubject::Received(key.clone())));
    let known = known.expect("the store loads").message.expect("is there");
    assert!(!known.record.documents.is_empty());
    let record = StoredMessage { documents: Vec::new(), ..known.record };
    let write = crate::store::MessageWrite { record, based_on: known.version };
    let batch = crate::store::Batch { changed: Some(write), ..Default::default() };
    assert!(world.commit(batch).is_ok());
    world.pass(31 * DAY);
    let subject = EvidenceSubject::Received(key);
    assert_eq!(verdict(&world, &subject), Ok(()));
    world.retention.documents.insert("GOVCBRX01".into(), days(1825));
    assert!(verdict(&world, &subject).is_err_and(|why| why.contains("the retention of GOVCBRX01")));
}

#[test]
fn a_repeat_of_what_was_purged_is_known_and_turned_away_p3() {
    let (mut world, key) = ended();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    assert_eq!(posted.key(), key);
    world.pass(31 * DAY);
    let (cases, messages) = (world.cases(), world.stored_messages());
    assert!(purge(&mut world, &EvidenceSubject::Received(key)).is_ok());
    let reply = world.post(&posted);
    assert!(matches!(reply, Some(Reply::Message(_))), "a MessageError, {reply:?}");
    assert_eq!((world.cases(), world.stored_messages()), (cases, messages), "nothing of it is taken");
    // Another message under its MessageId is as wrong as ever.
    let other = posted
        .with(|message| message.header.conversation_id = ConversationId::new("another").expect("an id"));
    assert!(matches!(world.post(&other), Some(Reply::Message(_))), "a MessageError");
    assert_eq!(world.logged("message.conflict"), Some(true), "P3");
    assert_eq!((world.cases(), world.stored_messages()), (cases, messages));
    world.check_laws();
}

#[test]
fn what_was_sent_goes_with_its_receipt_and_is_not_sent_again() {
    let (mut world, _) = ended();
    world.pass(31 * DAY);
    let delivery = world.deliveries().into_iter().find(|delivery| delivery.sealed).expect("it was sent");
    let subject = sent(&delivery);
    assert_eq!(verdict(&world, &subject), Ok(()));
    assert!(purge(&mut world, &subject).is_ok());
    assert_eq!(world.logged("delivery.purged"), Some(false));
    assert_eq!(world.store.receipt(&delivery.id).expect("readable"), None);
    let again =
        Event::Again { delivery: delivery.id.clone(), by: "uid 1".into(), reason: "they lost it".into() };
    let again = told(world.drive(&again));
    assert!(again.is_err_and(|why| why.contains("its octets were purged")));
    let state = world.delivery(&delivery.id).state;
    assert_eq!(state, delivery.state, "its record stays (P2)");
    world.check_laws();
}

/// Only what arrived, and has been purged, lets its conversation be forgotten: for what did not arrive its partner waits.
#[test]
fn a_delivery_that_did_not_arrive_keeps_its_conversation_p3() {
    let (world, _) = ended();
    let delivery = world.deliveries().into_iter().find(|delivery| delivery.sealed).expect("one was sent");
    let keeps = |state, is_purged: bool| {
        let gone = Purged { at: world.now, archive: ARCHIVE, bytes: 12 };
        let order = MessageOrder { number: SequenceNumber::FIRST, status: OrderStatus::Reset };
        let purged = is_purged.then_some(gone);
        let delivery = Delivery { state, purged, order: Some(order), ..delivery.clone() };
        keeps_delivery(world.now, &delivery, &world.context()).is_some()
    };
    use DeliveryState::{Delivered, Expired, Quarantined, Rejected};
    for (state, is_purged, expected) in [
        (Delivered, true, false),
        (Delivered, false, true),
        (Expired, true, true),
        (Rejected, true, true),
        (Quarantined, false, true),
    ] {
        assert_eq!(keeps(state, is_purged), expected, "{state:?}, purged: {is_purged}");
    }
}
