//! Guaranteed order: what comes before its turn is acknowledged, kept and held; what has its turn is handed on, one
//! message at a time and each in a commit of its own (ebMS 2.0, 9; P5).
//!
//! Promises: the messages of a conversation take effect in the order of their numbers, across crashes and restarts;
//! a message that is missing holds up its conversation and no other; and only an operator ends that.

use std::collections::BTreeSet;

use super::arrival::{self, signal_delivery};
use super::audit::{About as _, entry};
use super::decide::{Desk, Inbound};
use super::event::{Arrival, Context};
use super::ids;
use super::refuse;
use super::step::{Draft, How, MessageDraft, MessageOctets, Octets, Reply, ReplyDraft, Step, Told};
use crate::model::{
    Delivery, DeliveryPurpose, DeliveryState, Direction, Early, EbxmlError, ErrorCode, Fate, Gap, GapAct,
    Message, MessageOrder, PartyKey, Sequence, SequenceKey, SequenceNumber, StoredMessage,
};
use crate::msh::{
    OrderFault, Turn, came_early, done, numbered, refused_early, scheduled, settle, taken, turn_of,
};
use crate::store::{Needs, SequenceWrite, View};
use crate::telemetry::EventCode;

/// The conversation of a message whose agreement has order.
pub(super) fn key_of(arrival: &Arrival, context: &Context<'_>) -> Option<SequenceKey> {
    let header = &arrival.verified.message().header;
    let agreement = context.registry.agreement(&header.cpa_id);
    agreement.filter(|agreement| agreement.reliability.message_order).map(|_| SequenceKey {
        direction: Direction::Receive,
        cpa_id: header.cpa_id.clone(),
        conversation_id: header.conversation_id.clone(),
    })
}

/// A user message that was never seen.
pub(super) fn arrived(inbound: &Inbound<'_>) -> Step {
    let Inbound { desk, arrival, .. } = *inbound;
    let faults = arrival::faults(inbound);
    let message = arrival.verified.message();
    let Some((key, order)) = key_of(arrival, desk.context).zip(message.order) else {
        return if faults.is_empty() { arrival::steer(inbound) } else { refuse::stored(inbound, faults) };
    };
    let line = Line::of(desk, key, arrival.verified.party());
    match (turn_of(&line.sequence, order, desk.context.order), faults.is_empty()) {
        (Ok(Turn::Now), is_good) => {
            let step = if is_good { arrival::steer(inbound) } else { refuse::stored(inbound, faults) };
            step.in_line(desk, line, |sequence| taken(sequence, order))
        }
        (Ok(Turn::Later), true) => held(inbound, &line, order)
            .in_line(desk, line, |sequence| came_early(sequence, order.number, early(inbound))),
        (Ok(Turn::Later), false) => refuse::stored(inbound, faults)
            .in_line(desk, line, |sequence| refused_early(sequence, order.number, desk.context.order)),
        (Err(fault), is_good) => {
            let mut step = refuse::stored(inbound, if is_good { vec![fault.report()] } else { faults });
            if is_good {
                step.audit.iter_mut().for_each(|entry| entry.alarm = true);
            }
            match fault {
                // Its sender gives it up and goes on with the next number: nothing waits for this one.
                OrderFault::Full { .. } => step.in_line(desk, line, |sequence| {
                    refused_early(sequence, order.number, desk.context.order)
                }),
                _ => step,
            }
        }
    }
}

/// A message that was held: it has its turn, or an operator has it refused.
pub(super) fn handed_on(desk: Desk<'_>, arrival: &Arrival, key: &SequenceKey) -> Step {
    let line = Line::of(desk, key.clone(), arrival.verified.party());
    let own = arrival.key();
    let Some((known, (number, fate))) = desk.view.message.as_ref().zip(line.ready(&own)) else {
        return Step::default();
    };
    let Some(agreement) = desk.context.registry.agreement(arrival.verified.cpa_id()) else {
        return later(desk, line);
    };
    let inbound = Inbound { desk, arrival, agreement, key: &own, kept: Some(known) };
    let step = match fate {
        // What an earlier version held may be more than is read of one message.
        Fate::Held => match arrival.documents.errors(arrival.verified.message()) {
            none if none.is_empty() => arrival::steer(&inbound),
            errors => refuse::stored(&inbound, errors),
        },
        Fate::Refused | Fate::Passed => {
            let text = "messages of its conversation that come before it did not come";
            refuse::stored(&inbound, vec![EbxmlError::new(ErrorCode::DeliveryFailure, None, text)])
        }
    };
    if step.message.is_none() {
        // It cannot be decided about for now.
        return Step { noted: step.noted, ..later(desk, line) };
    }
    step.in_line(desk, line, |sequence| done(sequence, number))
}

/// A message that is ready cannot be opened any more: it waits for an operator, and no other for it.
pub(super) fn unopenable(desk: Desk<'_>, key: &SequenceKey, reason: &str) -> Step {
    let Some(known) = desk.view.message.as_ref() else { return Step::default() };
    let own = &known.record.key;
    let line = Line::of(desk, key.clone(), &own.sender);
    let Some((number, _)) = line.ready(own) else { return Step::default() };
    let reason = format!("it was held, and cannot be opened any more: {reason}");
    let mut step = Step::default();
    let told = entry(desk.now, EventCode::MessageQuarantined, &reason).of_message(own);
    step.audit.push(told.alarm_if(true));
    let record = StoredMessage { held: false, quarantined: true, reason, ..known.record.clone() };
    step.message = Some(MessageDraft { record, octets: MessageOctets::Kept(known.version) });
    step.in_line(desk, line, |sequence| done(sequence, number))
}

/// A message has been missing for as long as may be quiet: operators hear of it, and nothing else happens.
pub(super) fn due(desk: Desk<'_>, key: &SequenceKey) -> Step {
    let stored = desk.view.sequences.get(key);
    let Some(stored) = stored.filter(|stored| stored.value.due.is_some_and(|due| due <= desk.now)) else {
        return Step::default();
    };
    let line = Line { sequence: stored.value.clone(), based_on: Some(stored.version) };
    if line.sequence.ready().is_some() || line.sequence.ahead() == 0 {
        return Step::default();
    }
    let SequenceKey { conversation_id, cpa_id, .. } = key;
    let text = match (line.sequence.held().len(), line.sequence.next) {
        (0, missing) => format!(
            "conversation {conversation_id} under {cpa_id}: number {missing} has not come, and later ones were refused"
        ),
        (held, missing) => format!(
            "{held} message(s) of conversation {conversation_id} under {cpa_id} are held: number {missing} has not come"
        ),
    };
    let told = entry(desk.now, EventCode::OrderGap, text).of_party(Some(&line.sequence.partner));
    let step = Step { audit: vec![told.alarm_if(true)], ..Step::default() };
    step.in_line(desk, line, |sequence| Sequence { told: Some(sequence.next), ..sequence })
}

/// An operator settles a gap.
pub(super) fn settled(desk: Desk<'_>, key: &SequenceKey, act: &GapAct) -> Step {
    let mut step = Step::default();
    let stored = desk.view.sequences.get(key);
    let told = match stored.map(|stored| (stored, settle(stored.value.clone(), act.how))) {
        None => {
            Told::new(How::Nothing, "nothing was received in such a conversation under such an agreement")
        }
        Some((_, None)) => Told::new(How::Conflict, "nothing is held in this conversation"),
        Some((stored, Some(sequence))) => {
            let (held, missing) = (stored.value.held().len(), stored.value.next);
            let what = match act.how {
                Gap::Release => "handed on",
                Gap::Refuse => "refused",
            };
            let text = match held {
                0 => format!("number {missing} is not waited for any longer, and nothing was held for it"),
                _ => format!("{held} message(s) that were held for number {missing} are {what}"),
            };
            let why = format!("{text}; {}: {}", act.by, act.reason);
            let told = entry(desk.now, EventCode::OrderSettled, why).of_party(Some(&stored.value.partner));
            step.audit.push(told);
            let line = Line { sequence: stored.value.clone(), based_on: Some(stored.version) };
            step = step.in_line(desk, line, |_| sequence);
            Told::new(How::Done, text)
        }
    };
    step.reply = ReplyDraft::Ready(Reply::Told(told));
    step
}

/// A sequence as it was loaded, or a new one.
struct Line {
    sequence: Sequence,
    based_on: Option<u64>,
}

impl Line {
    fn of(desk: Desk<'_>, key: SequenceKey, partner: &PartyKey) -> Self {
        match desk.view.sequences.get(&key) {
            Some(stored) => Self { sequence: stored.value.clone(), based_on: Some(stored.version) },
            None => {
                let new = Sequence::new(key, partner.clone()).beginning(desk.now);
                Self { sequence: new, based_on: None }
            }
        }
    }

    /// The number of this message and what becomes of it, when it is the one that is ready.
    fn ready(&self, message: &crate::model::MessageKey) -> Option<(SequenceNumber, Fate)> {
        let (number, early) = self.sequence.ready()?;
        (self.sequence.message(early) == *message).then_some((number, early.fate))
    }
}

fn early(inbound: &Inbound<'_>) -> Early {
    let received_at = inbound.arrival.received_at;
    Early { message_id: inbound.key.message_id.clone(), received_at, fate: Fate::Held }
}

/// Acknowledged and stored, and nothing more.
fn held(inbound: &Inbound<'_>, line: &Line, order: MessageOrder) -> Step {
    let mut step = arrival::accept(inbound, None);
    if let Some(draft) = &mut step.message {
        draft.record.held = true;
    }
    let text = format!("it is number {} and held until number {} has come", order.number, line.sequence.next);
    step.audit.push(entry(inbound.desk.now, EventCode::MessageHeld, text).of_message(inbound.key));
    step
}

/// Nothing of it is decided, and it is looked at again after as long as operators are told after.
fn later(desk: Desk<'_>, line: Line) -> Step {
    let mut step = Step::default();
    let due = Some(desk.now.plus(desk.context.order.gap_alarm_after));
    step.write_sequence(Sequence { due, ..line.sequence }, line.based_on);
    step
}

impl Step {
    /// What the step makes of a line, when it keeps a message or settles something.
    fn in_line(mut self, desk: Desk<'_>, line: Line, change: impl FnOnce(Sequence) -> Sequence) -> Self {
        if self.message.is_some() || !self.audit.is_empty() {
            let sequence = scheduled(change(line.sequence), desk.now, desk.context.order);
            self.write_sequence(sequence, line.based_on);
        }
        self
    }

    fn write_sequence(&mut self, sequence: Sequence, based_on: Option<u64>) {
        self.sequences.insert(sequence.key.clone(), SequenceWrite { sequence, based_on });
    }

    /// The answer to a message that was held travels by itself: the first one was its acknowledgment.
    pub(super) fn answer_after_hold(&mut self, inbound: &Inbound<'_>, message: Message) {
        let Inbound { desk, agreement, key, .. } = *inbound;
        let delivery =
            signal_delivery(desk, ids::answer_after_hold(key), agreement, key.sender.clone(), &message);
        let signing = Some(agreement.signature.own);
        self.add_delivery(desk, delivery, Octets::Made(Box::new(Draft { message, signing })));
    }

    /// The records that numbers for what it sends come from; none when nothing of it has an order. They are loaded once it
    /// is known to whom something goes, and their versions are part of what is committed.
    #[must_use]
    pub fn needs_numbers(&self, context: &Context<'_>) -> Option<Needs> {
        let keys = self.deliveries.iter().filter(|draft| draft.based_on.is_none());
        let sequences: BTreeSet<_> = keys.filter_map(|draft| numbered_in(&draft.delivery, context)).collect();
        (!sequences.is_empty()).then(|| Needs { sequences, ..Needs::default() })
    }

    /// Numbers what it sends in the conversations whose agreement has order, in the order in which it is owed.
    pub fn number(&mut self, context: &Context<'_>, view: &View) {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        for draft in deliveries.iter_mut().filter(|draft| draft.based_on.is_none()) {
            let Some(key) = numbered_in(&draft.delivery, context) else { continue };
            let written = self.sequences.remove(&key).map(|write| (write.sequence, write.based_on));
            let stored = view.sequences.get(&key).map(|stored| (stored.value.clone(), Some(stored.version)));
            let (sequence, based_on) = written.or(stored).unwrap_or_else(|| {
                let new = Sequence::new(key, draft.delivery.destination.clone());
                (new.beginning(draft.delivery.created_at), None)
            });
            let (order, sequence) = numbered(sequence);
            draft.delivery.order = Some(order);
            self.write_sequence(sequence, based_on);
        }
        self.deliveries = deliveries;
    }
}

/// The conversation that a delivery is numbered in.
fn numbered_in(delivery: &Delivery, context: &Context<'_>) -> Option<SequenceKey> {
    let agreement = context.registry.agreement(&delivery.cpa_id)?;
    let sent = !matches!(delivery.state, DeliveryState::Quarantined | DeliveryState::Delivered);
    let ours = !matches!(delivery.purpose, DeliveryPurpose::Signal | DeliveryPurpose::Transit { .. });
    let ordered = agreement.reliability.message_order && ours;
    (sent && ordered).then(|| SequenceKey {
        direction: Direction::Send,
        cpa_id: delivery.cpa_id.clone(),
        conversation_id: delivery.conversation_id.clone(),
    })
}
