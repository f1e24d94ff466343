//! Guaranteed order (ebMS 2.0, 9; P5): what we receive is handed on in it, what we send is numbered in it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::cases::{application, declaration, lodging};
use super::world::*;
use crate::model::*;
use crate::msh::OrderPolicy;
use crate::store::Store as _;

/// A world in which the asynchronous broker has guaranteed order, and what he sends by its MessageId.
struct Ordered {
    world: World,
    posted: BTreeMap<MessageId, Posted>,
}

const CONTINUE: OrderStatus = OrderStatus::Continue;
const RESET: OrderStatus = OrderStatus::Reset;

impl Ordered {
    fn new() -> Self {
        let mut world = World::new();
        world.agree(ASYNC_BROKER, |agreement| agreement.reliability.message_order = true);
        Self { world, posted: BTreeMap::new() }
    }

    /// His lodging with this number in his conversation; each opens a case of its own.
    fn message(&mut self, number: u32) -> Posted {
        self.message_as(&format!("m{number}"), number, if number == 0 { RESET } else { CONTINUE })
    }

    fn message_as(&mut self, id: &str, number: u32, status: OrderStatus) -> Posted {
        let number = SequenceNumber::new(number).expect("in range");
        let documents = vec![declaration(&format!("D-{id}")), application(0, &format!("A-{id}"))];
        let posted = self.world.message(ASYNC_BROKER, id, "ImportClearance", "GOVCBR929", documents);
        let posted = posted.with(|message| message.order = Some(MessageOrder { number, status }));
        self.posted.insert(posted.key().message_id, posted.clone());
        posted
    }

    /// He posts it, and what becomes ready by that is handed on.
    fn post(&mut self, posted: &Posted) {
        assert_eq!(self.world.post(posted), Some(Reply::Empty));
        self.hand_on();
    }

    /// Does what has come due in conversations, as the shell does.
    fn hand_on(&mut self) {
        while let Some(due) = self.world.store.scheduled_sequences(1).expect("the store reads").pop() {
            if due.due > self.world.now {
                break;
            }
            let event = self.event(due.key);
            self.world.drive(&event);
        }
    }

    fn event(&self, key: SequenceKey) -> Event {
        let needs = crate::store::Needs { sequences: [key.clone()].into(), ..Default::default() };
        let mut view = self.world.store.load(&needs).expect("the store reads");
        let sequence = view.sequences.remove(&key).expect("it is scheduled").value;
        match sequence.ready() {
            None => Event::OrderDue(key),
            Some((_, early)) => {
                let arrival = self.posted[&early.message_id].arrival(early.received_at);
                Event::HandedOn { arrival: Box::new(Arrival { waiting: false, ..arrival }), sequence: key }
            }
        }
    }

    fn sequence(&self) -> Sequence {
        let mut found = self.world.store.sequences(false, 9).expect("the store reads").items;
        found.retain(|sequence| sequence.key.direction == Direction::Receive);
        found.pop().expect("something came")
    }

    /// The declarations whose cases were opened, in order.
    fn opened(&self) -> Vec<String> {
        let entries = self.world.store.audit(1, 10_000).expect("the store reads").items;
        let opened = entries.into_iter().filter(|entry| *entry.entry.event == *"case.opened");
        opened
            .map(|entry| {
                let key = crate::store::CorrelationKey::Case(entry.entry.case.expect("of a case"));
                let case = self.world.store.case(Realm::Production, &key).expect("the store reads");
                case.and_then(|case| case.value.declaration).expect("was lodged").to_string()
            })
            .collect()
    }

    /// The error that went to him last.
    fn last_error(&mut self) -> Option<(ErrorCode, String)> {
        self.world.deliver();
        let sent = self.world.sent.iter().rev().filter(|sent| sent.destination.as_str() == ASYNC_BROKER);
        let errors = sent.filter_map(|sent| read(&sent.sealed).error_list);
        let error = errors.flat_map(|list| list.errors).next()?;
        Some((error.code, error.description))
    }

    fn settle(&mut self, how: Gap) -> Option<Reply> {
        let act = GapAct { how, by: "uid 1000".into(), reason: "asked the broker".into() };
        let told = self.world.drive(&Event::GapSettled { sequence: self.sequence().key, act });
        self.hand_on();
        told
    }
}

fn lodged(ids: &[u32]) -> Vec<String> {
    ids.iter().map(|id| format!("D-m{id}")).collect()
}

//= ebms2 9.1 MUST: a message is handed on only after all with lower SequenceNumbers in its conversation
//= ebms2 9.1 MUST: what comes before its turn is stored, acknowledged and held
#[test]
fn what_comes_early_is_acknowledged_held_and_handed_on_in_its_turn_p5() {
    let mut ordered = Ordered::new();
    let [zero, one, two] = [0, 1, 2].map(|number| ordered.message(number));
    ordered.post(&two);
    ordered.post(&one);
    assert!(ordered.opened().is_empty());
    let held = ordered.world.stored(&two).expect("it is kept");
    assert!(held.accepted && held.held && held.case.is_none());
    assert_eq!(ordered.world.count(ASYNC_BROKER, "Acknowledgment"), 2, "P1: they are acknowledged");
    assert_eq!(ordered.world.logged("message.held"), Some(false));
    // Another conversation is not held up.
    let documents = vec![declaration("D-other"), application(0, "A-other")];
    let other = ordered.world.message(ASYNC_BROKER, "other", "ImportClearance", "GOVCBR929", documents);
    let other = other.with(|message| {
        message.header.conversation_id = ConversationId::new("another").expect("plain");
        message.order = Some(MessageOrder { number: SequenceNumber::FIRST, status: RESET });
    });
    assert_eq!(ordered.world.post(&other), Some(Reply::Empty));
    assert_eq!(ordered.opened(), ["D-other"], "P5: a stuck message holds up its own conversation alone");

    ordered.post(&zero);
    assert_eq!(ordered.opened(), ["D-other", "D-m0", "D-m1", "D-m2"]);
    let handed_on = ordered.world.stored(&two).expect("it is kept");
    assert!(handed_on.accepted && !handed_on.held && handed_on.case.is_some());
    assert_eq!(ordered.world.count(ASYNC_BROKER, "Acknowledgment"), 4, "nothing is acknowledged twice");
    // A repeat of what was held gets its first answer again.
    ordered.world.deliver();
    ordered.world.pass(70);
    ordered.post(&two);
    assert_eq!((ordered.opened().len(), ordered.world.count(ASYNC_BROKER, "Acknowledgment")), (4, 4), "P3");
    ordered.world.check_laws();
}

//= ebms2 7.3 MUST: a message that is held is Received, and not Processed
#[test]
fn what_is_held_is_received_and_not_processed() {
    let mut ordered = Ordered::new();
    let one = ordered.message(1);
    ordered.post(&one);
    let record = ordered.world.stored(&one).expect("it is kept");
    let told = crate::msh::status_of(&record.key.message_id, Some(&record), true);
    assert_eq!(told.status, MessageStatus::Received);
}

//= ebms2 9.1 MUST: order that the CPA guarantees is there, and order that it does not is Inconsistent
#[test]
fn order_is_there_where_it_is_agreed_and_nowhere_else() {
    fn check(agreed: bool, order: Option<u32>, expected: Option<ErrorCode>) {
        let mut ordered = Ordered::new();
        ordered.world.agree(ASYNC_BROKER, |agreement| agreement.reliability.message_order = agreed);
        let posted = ordered.message(0).with(|message| {
            message.order = order.map(|number| MessageOrder {
                number: SequenceNumber::new(number).expect("in range"),
                status: RESET,
            });
        });
        assert_eq!(ordered.world.post(&posted), Some(Reply::Empty));
        assert_eq!(ordered.last_error().map(|(code, _)| code), expected, "{agreed} {order:?}");
    }
    check(true, Some(0), None);
    check(false, None, None);
    check(true, None, Some(ErrorCode::Inconsistent));
    check(false, Some(0), Some(ErrorCode::Inconsistent));
}

#[test]
fn a_number_that_can_have_no_turn_is_refused_with_an_alarm() {
    let mut ordered = Ordered::new();
    for number in [0, 1, 3] {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    let mut check = |id: &str, number: u32, status: OrderStatus, expected: &str| {
        let posted = ordered.message_as(id, number, status);
        ordered.world.logged.clear();
        ordered.post(&posted);
        assert_eq!(ordered.world.logged("message.refused"), Some(true), "{id}");
        let (code, text) = ordered.last_error().expect("he hears of it");
        assert!(code == ErrorCode::Inconsistent && text.contains(expected), "{id}: {text}");
        assert!(ordered.world.stored(&posted).is_some_and(|record| !record.accepted), "{id}");
    };
    check("used", 1, CONTINUE, "SequenceNumber 1 was that of another message");
    check("held", 3, CONTINUE, "SequenceNumber 3 was that of another message");
    check("five", 5, RESET, "begins with SequenceNumber 0");
    check("reset", 0, RESET, "SequenceNumber 2 has not come");
    let two = ordered.message(2);
    ordered.post(&two);
    assert_eq!(ordered.opened(), lodged(&[0, 1, 2, 3]), "none of them changed the order");
    // Now that nothing is missing he may begin anew.
    for (id, number, status) in [("again0", 0, RESET), ("again1", 1, CONTINUE)] {
        let posted = ordered.message_as(id, number, status);
        ordered.post(&posted);
    }
    assert_eq!(ordered.opened()[4..], ["D-again0", "D-again1"]);
}

#[test]
fn a_message_that_is_refused_holds_nothing_up() {
    let mut ordered = Ordered::new();
    let [zero, one, two] = [0, 1, 2].map(|number| ordered.message(number));
    // It asks for what is not agreed: authenticated, and refused before its turn.
    let one = one.with(|message| message.ack_requested.iter_mut().for_each(|asked| asked.signed = false));
    ordered.post(&one);
    ordered.post(&two);
    assert!(ordered.world.stored(&one).is_some_and(|record| !record.accepted));
    ordered.post(&zero);
    assert_eq!(ordered.opened(), lodged(&[0, 2]));
    ordered.world.check_laws();
}

#[test]
fn what_a_pipeline_refuses_in_its_turn_is_told_by_an_error_of_its_own() {
    let mut ordered = Ordered::new();
    let zero = ordered.message(0);
    // The same declaration once more, which is refused when it is handed on.
    let documents = vec![declaration("D-m0"), application(0, "A-twice")];
    let twice = ordered.world.message(ASYNC_BROKER, "twice", "ImportClearance", "GOVCBR929", documents);
    let number = SequenceNumber::new(1).expect("in range");
    let twice = twice.with(|message| message.order = Some(MessageOrder { number, status: CONTINUE }));
    ordered.posted.insert(twice.key().message_id, twice.clone());
    ordered.post(&twice);
    ordered.post(&zero);
    let record = ordered.world.stored(&twice).expect("it is kept");
    assert!(!record.accepted && !record.held, "{record:?}");
    assert!(ordered.last_error().is_some(), "P8: he hears why");
    assert_eq!(ordered.world.count(ASYNC_BROKER, "Acknowledgment"), 2);
    assert_eq!(ordered.world.count(ASYNC_BROKER, "MessageError"), 1);
    let two = ordered.message(2);
    ordered.post(&two);
    assert_eq!(ordered.opened(), lodged(&[0, 2]));
    ordered.world.check_laws();
}

/// P5, P13: at the limit, one past it and far past it; what is missing is taken all the same.
#[test]
fn no_more_is_held_than_may_be() {
    let mut ordered = Ordered::new();
    let most = u32::try_from(OrderPolicy::default().held_messages_max).expect("a small number");
    for number in 1..=most {
        let posted = ordered.message(number);
        ordered.post(&posted);
        assert!(ordered.world.stored(&posted).is_some_and(|record| record.held), "{number}");
    }
    for number in [most + 1, most + 2, most + 1000] {
        let posted = ordered.message(number);
        ordered.post(&posted);
        assert!(ordered.world.stored(&posted).is_some_and(|record| !record.accepted), "{number}");
        assert_eq!(ordered.last_error().map(|(code, _)| code), Some(ErrorCode::DeliveryFailure), "{number}");
    }
    let zero = ordered.message(0);
    ordered.post(&zero);
    assert_eq!(ordered.opened(), lodged(&(0..=most).collect::<Vec<_>>()));

    // What was refused holds nothing up: not what comes after it, nor the same once more under a number of its own.
    for number in [most + 3, most + 4] {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    let again = ordered.message_as("again", most + 1, CONTINUE);
    ordered.post(&again);
    assert_eq!(
        ordered.last_error().map(|(code, _)| code),
        Some(ErrorCode::Inconsistent),
        "its number is used"
    );
    let again = ordered.message_as("anew", most + 5, CONTINUE);
    ordered.post(&again);
    let opened = ordered.opened();
    let expected = [format!("D-m{}", most + 3), format!("D-m{}", most + 4), "D-anew".to_owned()];
    assert_eq!(opened[opened.len() - 3..], expected);
    ordered.world.check_laws();
}

/// P5, P13: what an operator had refused, or was refused as it came, is held no more: as many again can be held, and then
/// no more.
#[test]
fn what_is_refused_makes_room_for_as_many_again() {
    let mut ordered = Ordered::new();
    let most = u32::try_from(OrderPolicy::default().held_messages_max).expect("a small number");
    for number in 1..=most {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    assert!(matches!(ordered.settle(Gap::Refuse), Some(Reply::Told(Told { how: How::Done, .. }))));
    assert_eq!(ordered.sequence().held(), []);
    let faulty = ordered.message(most + 1);
    let faulty =
        faulty.with(|message| message.ack_requested.iter_mut().for_each(|asked| asked.signed = false));
    ordered.post(&faulty);
    assert!(ordered.world.stored(&faulty).is_some_and(|record| !record.accepted));
    assert!(ordered.sequence().early.is_empty(), "{:?}", ordered.sequence());
    let first = most + 2;
    for number in first..first + most {
        let posted = ordered.message(number);
        ordered.post(&posted);
        assert!(ordered.world.stored(&posted).is_some_and(|record| record.held), "{number}");
    }
    let past = ordered.message(first + most);
    ordered.post(&past);
    assert_eq!(ordered.last_error().map(|(code, _)| code), Some(ErrorCode::DeliveryFailure));
    let zero = ordered.message(0);
    ordered.post(&zero);
    let expected: Vec<_> = [0].into_iter().chain(first..first + most).collect();
    assert_eq!(ordered.opened(), lodged(&expected));
    let after = SequenceNumber::new(first + most + 1).expect("in range");
    assert_eq!((ordered.sequence().next, ordered.sequence().refused.len()), (after, 0));
    ordered.world.check_laws();
}

/// P5: one is lost on the way, and the one after it was refused past the most: nothing is held when all else has come, and
/// an operator is told, sees it and goes on.
#[test]
fn what_is_missing_before_a_refused_one_alone_is_seen_and_given_up() {
    let mut ordered = Ordered::new();
    let most = u32::try_from(OrderPolicy::default().held_messages_max).expect("a small number");
    let gaps = |ordered: &Ordered| ordered.world.store.sequences(true, 9).expect("the store reads").items;
    let (lost, refused) = (most + 1, most + 2);
    for number in (1..=most).chain([refused, 0]) {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    assert_eq!(ordered.opened(), lodged(&(0..=most).collect::<Vec<_>>()));
    let gap = ordered.sequence();
    assert_eq!((u32::from(gap.next), gap.held()), (lost, vec![]));
    assert_eq!(gaps(&ordered), [gap]);
    ordered.world.deliver();
    for (wait, told) in [(599, None), (1, Some(true)), (86_400, None)] {
        ordered.world.pass(wait);
        ordered.hand_on();
        assert_eq!(ordered.world.logged("order.gap"), told, "once, though nothing is held");
    }
    let reset = ordered.message_as("reset", 0, RESET);
    ordered.post(&reset);
    assert_eq!(ordered.last_error().map(|(code, _)| code), Some(ErrorCode::Inconsistent), "one is missing");
    assert!(matches!(ordered.settle(Gap::Refuse), Some(Reply::Told(Told { how: How::Conflict, .. }))));

    let Some(Reply::Told(Told { how: How::Done, text, .. })) = ordered.settle(Gap::Release) else {
        panic!("it is given up")
    };
    assert!(text.contains(&format!("number {lost} is not waited for")), "{text}");
    assert_eq!((u32::from(ordered.sequence().next), gaps(&ordered)), (refused + 1, vec![]));
    assert!(matches!(ordered.settle(Gap::Release), Some(Reply::Told(Told { how: How::Conflict, .. }))));
    let anew = ordered.message_as("anew", 0, RESET);
    ordered.post(&anew);
    assert_eq!(ordered.opened().last().map(String::as_str), Some("D-anew"));
    ordered.world.check_laws();
}

/// What was ready when the store was lost may have been handed on there: all of it, and not its first message alone (P20).
#[test]
fn what_was_ready_before_a_restore_leads_to_what_is_held_p20() {
    let mut ordered = Ordered::new();
    for number in [0, 2, 3] {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    let one = ordered.message(1);
    assert_eq!(ordered.world.post(&one), Some(Reply::Empty));
    let before: Vec<_> = ordered.world.deliveries().into_iter().map(|delivery| delivery.id).collect();
    ordered.world.restored = Some(ordered.world.now);
    ordered.world.pass(5);
    ordered.hand_on();
    assert_eq!(ordered.opened(), lodged(&[0, 1, 2, 3]));
    let made: Vec<_> =
        ordered.world.deliveries().into_iter().filter(|delivery| !before.contains(&delivery.id)).collect();
    assert!(made.len() >= 4, "{made:?}");
    assert!(made.iter().all(|delivery| delivery.state == DeliveryState::Held), "{made:?}");
    ordered.world.check_laws();
}

/// P5, P9: time tells operators, once for each number that is missing, and decides nothing.
#[test]
fn a_gap_is_told_after_its_time_and_ended_by_an_operator() {
    let mut ordered = Ordered::new();
    for number in [0, 2, 3, 5] {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    ordered.world.deliver();
    ordered.world.pass(599);
    ordered.hand_on();
    assert_eq!(ordered.world.logged("order.gap"), None);
    ordered.world.pass(1);
    ordered.hand_on();
    assert_eq!(ordered.world.logged("order.gap"), Some(true));
    ordered.world.pass(86_400 * 30);
    ordered.hand_on();
    assert_eq!(ordered.world.logged("order.gap"), None, "once");
    assert_eq!(ordered.opened(), lodged(&[0]), "no silence decides");

    assert!(matches!(ordered.settle(Gap::Release), Some(Reply::Told(Told { how: How::Done, .. }))));
    assert_eq!(ordered.opened(), lodged(&[0, 2, 3]), "and 4 is missing now");
    assert_eq!(ordered.world.logged("order.settled"), Some(false));
    let late = ordered.message(1);
    let late = late.with(|message| {
        message.header.data.timestamp = ordered.world.now;
        message.header.data.time_to_live = None;
    });
    ordered.posted.insert(late.key().message_id, late.clone());
    ordered.post(&late);
    assert_eq!(ordered.last_error().map(|(code, _)| code), Some(ErrorCode::Inconsistent), "it was given up");

    assert!(matches!(ordered.settle(Gap::Refuse), Some(Reply::Told(Told { how: How::Done, .. }))));
    let (code, text) = ordered.last_error().expect("he hears of it");
    assert!(code == ErrorCode::DeliveryFailure, "{text}");
    let refused = &ordered.posted[&MessageId::new(format!("m5@{ASYNC_BROKER}")).expect("plain")];
    let record = ordered.world.stored(refused).expect("it is kept");
    assert!(!record.accepted && !record.held && record.reason.contains("did not come"), "{record:?}");
    assert!(matches!(ordered.settle(Gap::Refuse), Some(Reply::Told(Told { how: How::Conflict, .. }))));
    // What comes next has its turn behind the refused one.
    for number in [4, 6] {
        let posted = ordered.message(number);
        ordered.post(&posted);
    }
    assert_eq!(ordered.opened(), lodged(&[0, 2, 3, 4, 6]));
    ordered.world.check_laws();
}

/// P3, P5: a conversation is known as long as one of its messages is kept or held, and then begins anew: what was sent
/// before that is turned away all the same, whether it came before or not.
//= ebms2 9.1.1 MUST: in a conversation that was forgotten the first message has SequenceNumber 0 with Reset again
#[test]
fn a_conversation_is_forgotten_after_its_messages_and_begins_anew() {
    const DAY: u64 = 86_400;
    let mut ordered = Ordered::new();
    let keep = Keep::For(std::time::Duration::from_secs(30 * DAY));
    ordered.world.retention = Retention { default: keep, documents: BTreeMap::new() };
    // Refused, so that no case keeps them: they have their turn as any other.
    let refused = |posted: Posted| {
        posted.with(|message| message.ack_requested.iter_mut().for_each(|asked| asked.signed = false))
    };
    let [zero, one, two, three] = [0, 1, 2, 3].map(|number| refused(ordered.message(number)));
    let held = ordered.message(4);
    ordered.post(&zero);
    ordered.post(&held);
    let forget = |ordered: &mut Ordered, sooner: u64| {
        let sequence = ordered.sequence().key;
        let needs = crate::store::Needs { sequences: [sequence.clone()].into(), ..Default::default() };
        let version = ordered.world.store.load(&needs).expect("the store reads").sequences[&sequence].version;
        let told = ordered.world.drive(&Event::Forgotten { sequence, version: version - sooner });
        let Some(Reply::Told(Told { how, text, .. })) = told else { panic!("{told:?}") };
        (how == How::Done).then_some(()).ok_or(text)
    };
    // Who keeps it known, as the shell goes through them.
    let kept_by = |ordered: &Ordered| {
        let key = ordered.sequence().key;
        let messages = ordered.world.store.messages(&Default::default(), 99).expect("the store reads").items;
        let mut kept = messages.into_iter().filter(|record| keeps_message(record).as_ref() == Some(&key));
        kept.next().map(|record| record.key.message_id.to_string())
    };
    let why = forget(&mut ordered, 0).expect_err("one is held");
    assert!(why.contains("is held"), "{why}");
    assert!(matches!(ordered.settle(Gap::Refuse), Some(Reply::Told(Told { how: How::Done, .. }))));
    ordered.post(&one);
    ordered.world.deliver();
    let why = forget(&mut ordered, 1).expect_err("something came meanwhile");
    assert!(why.contains("meanwhile"), "{why}");

    ordered.world.pass(31 * DAY);
    for posted in [&held, &zero, &one] {
        assert!(kept_by(&ordered).is_some(), "{} is not purged yet", posted.key());
        let subject = EvidenceSubject::Received(posted.key());
        let told = ordered.world.drive(&Event::Purged { subject, archive: Digest([7; 32]), bytes: 1 });
        assert!(matches!(told, Some(Reply::Told(Told { how: How::Done, .. }))), "{told:?}");
    }
    assert_eq!(kept_by(&ordered), None);
    // One that was on its way for all this time: refused, and still the conversation goes on from where it was.
    ordered.post(&two);
    assert_eq!(ordered.last_error().map(|(code, _)| code), Some(ErrorCode::TimeToLiveExpired));
    assert!(kept_by(&ordered).is_some(), "it came now");
    ordered.world.pass(31 * DAY);
    // That one is missing before the refused ones is told before the conversation goes.
    ordered.hand_on();
    let subject = EvidenceSubject::Received(two.key());
    ordered.world.drive(&Event::Purged { subject, archive: Digest([7; 32]), bytes: 1 });
    assert_eq!((kept_by(&ordered), forget(&mut ordered, 0)), (None, Ok(())));
    assert_eq!(ordered.world.logged("conversation.forgotten"), Some(false));
    assert!(ordered.world.store.sequences(false, 9).expect("the store reads").items.is_empty());

    // Repeats, and one that never came: all of before.
    for posted in [&zero, &one, &two, &three, &held] {
        ordered.post(posted);
        let error = ordered.last_error().map(|(code, _)| code);
        assert_eq!(error, Some(ErrorCode::TimeToLiveExpired), "{}", posted.key());
    }
    assert!(ordered.opened().is_empty(), "P3: none of them takes effect");
    let now = ordered.world.now;
    for (id, number, status) in [("anew0", 0, RESET), ("anew1", 1, CONTINUE)] {
        let posted = ordered.message_as(id, number, status).with(|message| {
            message.header.data.timestamp = now;
            message.header.data.time_to_live = None;
        });
        ordered.post(&posted);
    }
    assert_eq!(ordered.opened(), ["D-anew0", "D-anew1"]);
    assert_eq!(ordered.sequence().next, SequenceNumber::new(2).expect("in range"));
    ordered.world.check_laws();
}

/// P12: what cannot be opened again waits for an operator, and what is behind it goes on.
#[test]
fn what_is_damaged_while_it_is_held_holds_nothing_up() {
    let mut ordered = Ordered::new();
    let [zero, one, two] = [0, 1, 2].map(|number| ordered.message(number));
    ordered.post(&one);
    ordered.post(&two);
    assert_eq!(ordered.world.post(&zero), Some(Reply::Empty));
    let sequence = ordered.sequence().key;
    ordered.world.logged.clear();
    let reason = "damaged record".to_owned();
    ordered.world.drive(&Event::Unopenable { message: one.key(), sequence, reason });
    assert_eq!(ordered.world.logged("message.quarantined"), Some(true));
    ordered.hand_on();
    assert_eq!(ordered.opened(), lodged(&[0, 2]));
    let record = ordered.world.stored(&one).expect("it is kept");
    assert!(record.quarantined && !record.held, "{record:?}");

    // It steered nothing, so that nothing of it is used up: its sender can send the same as a new message, as the operator asks
    // him to. A repeat of the old one is still a repeat.
    ordered.post(&one);
    assert_eq!(ordered.opened(), lodged(&[0, 2]), "P3: a repeat takes no effect");
    let number = SequenceNumber::new(3).expect("in range");
    let anew = one.with(|message| {
        message.header.data.message_id = MessageId::new("anew@broker.example").expect("a MessageId");
        message.order = Some(MessageOrder { number, status: CONTINUE });
    });
    ordered.posted.insert(anew.key().message_id, anew.clone());
    ordered.post(&anew);
    assert_eq!(ordered.opened(), lodged(&[0, 2, 1]));
}

//= ebms2 9.1 MUST: what is sent where order is guaranteed has the next SequenceNumber of its conversation, the same in every attempt
#[test]
fn what_is_sent_is_numbered_as_it_is_owed_p5() {
    let mut world = World::new();
    for party in [AGENCIES[0].1, ASYNC_BROKER] {
        world.agree(party, |agreement| {
            agreement.reliability.message_order = true;
            agreement.sync_reply_mode = SyncReplyMode::None;
        });
    }
    world.unreachable.push(party(AGENCIES[0].1));
    let posted = lodging(&world, ASYNC_BROKER, "lodging", DECLARATION, &[0]).with(|message| {
        message.order = Some(MessageOrder { number: SequenceNumber::FIRST, status: RESET });
    });
    world.post(&posted);
    for to in [AGENCIES[0].1, ASYNC_BROKER] {
        let deliveries = world.deliveries().into_iter().filter(|d| d.destination.as_str() == to);
        let mut told: Vec<_> = deliveries.map(|d| (d.purpose, d.order)).collect();
        told.retain(|(purpose, order)| match purpose {
            DeliveryPurpose::Signal => {
                assert_eq!(*order, None, "signals have no order");
                false
            }
            _ => true,
        });
        for (number, (_, order)) in (0..).zip(&told) {
            let number = SequenceNumber::new(number).expect("in range");
            let status = if number == SequenceNumber::FIRST { RESET } else { CONTINUE };
            assert_eq!(*order, Some(MessageOrder { number, status }), "{to}: {told:?}");
        }
        assert!(!told.is_empty(), "{to}");
    }
    world.deliver();
    world.pass(70);
    world.deliver();
    let sent = world.sent.iter().filter(|sent| sent.destination.as_str() == AGENCIES[0].1);
    let sent: Vec<_> = sent.map(|sent| read(&sent.sealed)).collect();
    assert_eq!((sent.len(), sent[0].order), (2, sent[1].order), "the identical message");
    assert_eq!(sent[0].order.map(|order| order.status), Some(RESET));
    assert!(!sent[0].sync_reply && sent[0].header.duplicate_elimination);
    world.check_laws();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// P3, P5: whatever is lost, repeated or overtaken on the way, and wherever the gateway dies, the messages take
    /// effect once each and in the order of their numbers.
    #[test]
    fn every_history_hands_on_in_order_and_once(
        count in 1_u32..9,
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..40),
    ) {
        let mut ordered = Ordered::new();
        let messages: Vec<_> = (0..count).map(|number| ordered.message(number)).collect();
        for (which, how) in steps {
            let posted = &messages[which.index(messages.len())];
            match how {
                // It is lost on the way.
                0 => {}
                // The gateway dies before it commits.
                1 => ordered.world.only_decide(&Event::Arrived(Box::new(posted.arrival(ordered.world.now)))),
                // It dies after that: nothing is handed on until it is looked for.
                2 => drop(ordered.world.post(posted)),
                // It dies while it hands on.
                3 => {
                    drop(ordered.world.post(posted));
                    let due = ordered.world.store.scheduled_sequences(1).expect("the store reads").pop();
                    if let Some(due) = due.filter(|due| due.due <= ordered.world.now) {
                        let event = ordered.event(due.key);
                        ordered.world.only_decide(&event);
                    }
                }
                _ => ordered.post(posted),
            }
        }
        // Everything is sent again until it is acknowledged.
        for posted in messages.iter().rev() {
            ordered.post(posted);
        }
        prop_assert_eq!(ordered.opened(), lodged(&(0..count).collect::<Vec<_>>()));
        prop_assert!(ordered.sequence().early.is_empty());
        ordered.world.check_laws();
    }
}
