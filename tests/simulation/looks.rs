//! What the simulated gateway does when time has passed: it looks at what is due, and hears what came of what it began.

use std::time::Duration;

use gwanmun::case::longest_payment_wait;
use gwanmun::codec::catalogue::Catalogue;
use gwanmun::codec::envelope::decode_fault;
use gwanmun::engine::{Arrival, Event, read_documents};
use gwanmun::model::{AttemptOutcome, ChargeOutcome, DeliveryId, PaymentTerms, SequenceKey, Timestamp};
use gwanmun::msh::{ResponseContent, judge_response};
use gwanmun::security::{Origin, Wire, open};
use gwanmun::store::{Entity, Needs, Store as _, StoreError};

use crate::bank::Asking;
use crate::gateway::Stage;
use crate::network::{Answer, Transmitted};
use crate::parties::Who;
use crate::partner::{self, Response};
use crate::plants::Plant;
use crate::world::{CLOCK_STEP_WHILE_COMMITTING, HANDED_ON_IN_ITS_TURN, World};

/// A sender looks again after so long at the latest.
const LONGEST_SLEEP_MILLIS: u64 = 60_000;
const LONGEST_SLEEP: Duration = Duration::from_millis(LONGEST_SLEEP_MILLIS);
/// Cases of one look at payments: fewer than there may be, as in the shell.
const PAYMENTS_MAX: usize = 2;
/// Conversations of one look: fewer than there may be.
const SEQUENCES_MAX: usize = 2;

impl World {
    /// A delivery that was in hand is so no more.
    pub(crate) fn leave_hand(&mut self, delivery: &DeliveryId, went_well: bool) {
        let Some(life) = &mut self.gateway.life else { return };
        let number = life.number;
        let lane = life.lanes.iter_mut().find(|(_, lane)| lane.in_hand.contains(delivery));
        let Some((who, lane)) = lane else { return };
        lane.in_hand.remove(delivery);
        if went_well {
            lane.window.succeeded()
        } else {
            lane.window.failed()
        }
        let who = *who;
        self.look_at(number, who, self.now);
    }

    /// Plans a look at a destination, unless there is an earlier one.
    pub(crate) fn look_at(&mut self, number: u64, who: Who, at: Timestamp) {
        let Some(life) = &mut self.gateway.life else { return };
        let Some(lane) = life.lanes.get_mut(&who) else { return };
        if lane.look.is_none_or(|planned| at < planned) {
            lane.look = Some(at);
            self.plan_look(number, who, at);
        }
    }

    /// The gateway takes in hand what is due at a destination, as far as its window has room.
    pub(crate) fn gateway_looks(&mut self, number: u64, who: Who) {
        let now = self.clock(Who::Gateway);
        let Some(life) = self.gateway.life.as_mut().filter(|life| life.number == number) else { return };
        let Some(lane) = life.lanes.get_mut(&who) else { return };
        lane.look = None;
        let room = usize::try_from(lane.window.room()).expect("a small window");
        let due = life.store.due(&who.key(), now, room + lane.in_hand.len()).expect("the store can be read");
        let due: Vec<_> =
            due.into_iter().map(|due| due.id).filter(|id| !lane.in_hand.contains(id)).take(room).collect();
        for delivery in &due {
            lane.window.take();
            lane.in_hand.insert(delivery.clone());
        }
        let is_full = lane.window.room() == 0;
        let next = life.store.next_due(&who.key()).expect("the store can be read");
        for delivery in due {
            self.handle(Event::Due(delivery), None);
        }
        let forgets = self.gateway.plant == Some(Plant::Timer);
        // A full window looks again when something leaves the hand.
        if let Some(next) = next.filter(|next| !is_full && (!forgets || *next <= now)) {
            let wait = if next <= now { Duration::from_secs(1) } else { next.since(now) };
            self.look_at(number, who, self.now.plus(wait));
        }
    }

    /// Plans a look at payments, unless there is an earlier one.
    pub(crate) fn look_at_payments(&mut self, number: u64, at: Timestamp) {
        let Some(life) = self.gateway.life.as_mut().filter(|life| life.number == number) else { return };
        if life.payment_look.is_none_or(|planned| at < planned) {
            life.payment_look = Some(at);
            self.plan_look_at_payments(number, at);
        }
    }

    /// The gateway decides about every payment that is due. It may do so while the bank still has its last question:
    /// that is worse than what the shell does, and no worse than what a restart does.
    pub(crate) fn gateway_looks_at_payments(&mut self, number: u64) {
        let now = self.clock(Who::Gateway);
        let Some(life) = self.gateway.life.as_mut().filter(|life| life.number == number) else { return };
        life.payment_look = None;
        let beyond = now.plus(longest_payment_wait(&PaymentTerms::default()));
        let stalled = life.store.stalled_payments(beyond, PAYMENTS_MAX).expect("the store can be read");
        let scheduled = life.store.scheduled_payments(PAYMENTS_MAX).expect("the store can be read");
        let (due, waiting): (Vec<_>, Vec<_>) = scheduled.into_iter().partition(|it| it.due <= now);
        let due: Vec<_> = due.into_iter().chain(stalled).collect();
        let next = waiting.first().map(|it| it.due.since(now));
        let next = if due.is_empty() { next } else { Some(Duration::from_secs(1)) };
        for scheduled in due {
            self.handle(Event::PaymentDue(scheduled.id), None);
        }
        if let Some(wait) = next {
            self.look_at_payments(number, self.now.plus(wait.min(LONGEST_SLEEP)));
        }
    }

    /// Plans a look at conversations, unless there is an earlier one.
    pub(crate) fn look_at_sequences(&mut self, number: u64, at: Timestamp) {
        let Some(life) = self.gateway.life.as_mut().filter(|life| life.number == number) else { return };
        if life.sequence_look.is_none_or(|planned| at < planned) {
            life.sequence_look = Some(at);
            self.plan_look_at_sequences(number, at);
        }
    }

    /// The gateway does what has come due in its conversations: hands on what has its turn, or tells of a gap.
    pub(crate) fn gateway_looks_at_sequences(&mut self, number: u64) {
        let now = self.clock(Who::Gateway);
        let Some(life) = self.gateway.life.as_mut().filter(|life| life.number == number) else { return };
        life.sequence_look = None;
        let scheduled = life.store.scheduled_sequences(SEQUENCES_MAX).expect("the store can be read");
        let (due, waiting): (Vec<_>, Vec<_>) = scheduled.into_iter().partition(|it| it.due <= now);
        let next = waiting.first().map(|it| it.due.since(now));
        let next = if due.is_empty() { next } else { Some(Duration::from_secs(1)) };
        for scheduled in due {
            let event = self.due_in(scheduled.key);
            if matches!(event, Event::HandedOn { .. }) {
                self.met.insert(HANDED_ON_IN_ITS_TURN);
            }
            self.handle(event, None);
        }
        if let Some(wait) = next {
            self.look_at_sequences(number, self.now.plus(wait.min(LONGEST_SLEEP)));
        }
    }

    /// What has come due in a conversation, as the shell finds it.
    fn due_in(&self, key: SequenceKey) -> Event {
        let (store, site) = (self.gateway.store(), &self.gateway.site);
        let needs = Needs { sequences: [key.clone()].into(), ..Needs::default() };
        let mut view = store.load(&needs).expect("the store can be read");
        let sequence = view.sequences.remove(&key).expect("it is scheduled").value;
        let Some((_, early)) = sequence.ready() else { return Event::OrderDue(key) };
        let message = sequence.message(early);
        let unopenable =
            |reason| Event::Unopenable { message: message.clone(), sequence: key.clone(), reason };
        let Entity { content_type, body } = match store.body(&message) {
            Ok(octets) => octets.expect("what is held has octets"),
            Err(StoreError::Damaged(damage)) => return unopenable(damage.to_string()),
            Err(error) => panic!("the disk can be read: {error}"),
        };
        let origin = Origin::Stored(message.sender);
        let wire = Wire { content_type: &content_type, body: &body, origin };
        let verified = open(&wire, &site.trust, early.received_at).expect("it was opened before");
        let received_at = early.received_at;
        let documents = read_documents(Catalogue::built_in(), &verified, received_at).expect("in memory");
        let arrival = Arrival { verified, documents, content_type, body, received_at, waiting: false };
        Event::HandedOn { arrival: Box::new(arrival), sequence: key }
    }

    /// The bank has said something, or nothing in time.
    pub(crate) fn gateway_hears_bank(&mut self, asked: Asking, outcome: ChargeOutcome) {
        let Asking { life, case, attempt, charge, .. } = asked;
        if self.gateway.life.as_ref().is_some_and(|now| now.number == life) {
            let (key, order) = (charge.key, charge.order);
            self.handle(Event::Charged { case, key, order, attempt, outcome }, None);
        }
    }

    /// Its clock shows another time: it sleeps no longer than so long, and looks at what is due by that.
    pub(crate) fn gateway_clock_is_set(&mut self) {
        let Some(life) = &self.gateway.life else { return };
        let number = life.number;
        if life.handlings.values().any(|handling| matches!(handling.stage, Stage::Commit(..))) {
            self.met.insert(CLOCK_STEP_WHILE_COMMITTING);
        }
        for who in Who::PARTNERS {
            let wait = self.chance.millis(0, LONGEST_SLEEP_MILLIS);
            self.look_at(number, who, self.now.plus(wait));
        }
        self.look_at_payments(number, self.now.plus(LONGEST_SLEEP));
        self.look_at_sequences(number, self.now.plus(LONGEST_SLEEP));
    }

    /// What came of a transmission.
    pub(crate) fn gateway_is_answered(&mut self, from: Who, transmitted: Transmitted, answer: Answer) {
        let Transmitted { life, delivery, attempt, awaits_receipt } = transmitted;
        if self.gateway.life.as_ref().is_none_or(|now| now.number != life) {
            return;
        }
        let outcome = match answer {
            Answer::Nothing => {
                AttemptOutcome::Again { reason: "no response".to_owned(), alarm: false, unsent: false }
            }
            Answer::Response(Response { status, entity }) => self.judge(from, status, entity),
        };
        let went_well = outcome.is_taken(awaits_receipt);
        self.handle(Event::Attempted { delivery: delivery.clone(), attempt, awaits_receipt, outcome }, None);
        self.leave_hand(&delivery, went_well);
    }

    fn judge(&mut self, from: Who, status: u16, entity: partner::Entity) -> AttemptOutcome {
        if entity.body.is_empty() {
            return judge_response(status, ResponseContent::Empty);
        }
        if let Some(fault) = decode_fault(&entity.body) {
            return judge_response(status, ResponseContent::Fault(fault.code.as_str(), &fault.text));
        }
        if !entity.content_type.contains("xml") {
            return judge_response(status, ResponseContent::Other("no message"));
        }
        let event = self.opened(from, entity, false);
        self.handle(event, None);
        judge_response(status, ResponseContent::Message)
    }
}
