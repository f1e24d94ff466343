//! After a restore nobody knows what was sent since the backup was made: what was open then is held back, and an operator
//! says of each what becomes of it (P20). An acknowledgment that proves a receipt settles one too, as ever (P4).
//!
//! What is made after a restore may have been made before it, under the same MessageId and in other octets. A destination
//! that knows it acknowledges what it had, or refuses what it gets: that is no end of any kind, and an operator says which.

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::event::{Event, Settle};
use super::signal;
use super::step::{DeliveryDraft, How, Octets, Reply, ReplyDraft, Step, Told};
use crate::case::SLACK;
use crate::model::{Agreement, Approval, Delivery, DeliveryState, Outcome, Timestamp};
use crate::msh::CLOCK_STEP_MAX;
use crate::store::Versioned;
use crate::telemetry::EventCode;

/// A delivery that was open in the backup. One that has ended, or is held already, stays as it is.
pub(super) fn withheld(desk: Desk<'_>, why: &str) -> Step {
    let mut step = Step::default();
    let open = desk.view.delivery.as_ref().filter(|stored| {
        matches!(stored.value.state, DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment)
    });
    if let Some(stored) = open {
        let held = Delivery { state: DeliveryState::Held, reason: why.to_owned(), ..stored.value.clone() };
        step.settle(stored, held);
        step.audit.push(entry(desk.now, EventCode::DeliveryWithheld, why).of_delivery(&stored.value));
    }
    step
}

/// Whether the store that was lost may have done this too, before the one in its place was restored: its time had come by then,
/// or it was under way. What it leads to may have been sent.
pub(super) fn may_have_been_done(desk: Desk<'_>, event: &Event) -> bool {
    let Some(restored) = desk.context.restored else { return false };
    let case = desk.view.case.as_ref().map(|stored| &stored.value);
    let due = match event {
        Event::CaseDue(_) => case.and_then(|case| case.due),
        Event::ApprovalDue(key) => desk.view.approvals.get(key).and_then(|stored| match stored.value.due {
            Some(Timestamp::EPOCH) => lapsed_at(&stored.value),
            due => due,
        }),
        Event::HandedOn { sequence, .. } => {
            desk.view.sequences.get(sequence).and_then(|stored| stored.value.due)
        }
        Event::Charged { order, .. } => case.and_then(|case| {
            let fees = case.applications.iter().flat_map(|application| &application.fees);
            let ordered = fees.flat_map(|fee| &fee.payments).find(|payment| *payment.order == **order);
            ordered.map(|payment| payment.ordered_at)
        }),
        _ => None,
    };
    due.is_some_and(|due| due <= restored)
}

/// When the last item of an approval lapsed: cases hear of that one after the other, and each at once.
fn lapsed_at(approval: &Approval) -> Option<Timestamp> {
    let lapsed = approval.items.values().filter(|item| item.outcome == Outcome::Lapsed);
    lapsed.filter_map(|item| item.valid_until).max().map(|end| end.plus(SLACK))
}

/// Whether a destination may know MessageIds of ours from before a restore: it keeps them for PersistDuration, and our
/// clock may have stepped.
pub(super) fn may_be_known(desk: Desk<'_>, agreement: &Agreement) -> bool {
    let memory = agreement.reliability.persist_duration + CLOCK_STEP_MAX;
    desk.context.restored.is_some_and(|at| desk.now < at.plus(memory))
}

/// A destination has said something about a MessageId of ours that fits what it may have got under it before a restore: the
/// delivery waits for an operator, with an alarm. None when it is not under way.
pub(super) fn in_doubt(desk: Desk<'_>, stored: &Versioned<Delivery>, told: &str) -> Option<Step> {
    let is_open =
        matches!(stored.value.state, DeliveryState::Pending | DeliveryState::AwaitingAcknowledgment);
    is_open.then(|| {
        let why =
            format!("its destination may have had it before the store was restored, in other octets: {told}");
        let mut step = Step::default();
        let withheld = entry(desk.now, EventCode::DeliveryWithheld, &why).of_delivery(&stored.value);
        step.audit.push(withheld.alarm_if(true));
        step.settle(stored, Delivery { state: DeliveryState::Held, reason: why, ..stored.value.clone() });
        step
    })
}

/// An operator says what becomes of a delivery that is held.
pub(super) fn settled(desk: Desk<'_>, how: Settle, by: &str, reason: &str) -> Step {
    let mut step = Step::default();
    let told = match &desk.view.delivery {
        None => Told::new(How::Nothing, "there is no such delivery"),
        Some(stored) if stored.value.state != DeliveryState::Held => {
            Told::new(How::Conflict, format!("it is not held, it is {}", stored.value.state.as_str()))
        }
        Some(stored) => {
            let Delivery { message_id, destination, .. } = &stored.value;
            let (why, delivery) = (format!("{by}: {reason}"), stored.value.clone());
            let text = match how {
                Settle::Send => {
                    // In a mailbox `due` is its end, which stays. Else it is tried as often as what is new.
                    let due = if delivery.mailbox { delivery.due } else { desk.now };
                    step.audit.push(entry(desk.now, EventCode::DeliveryReleased, why).of_delivery(&delivery));
                    let (state, reason) = (DeliveryState::Pending, String::new());
                    step.settle(stored, Delivery { state, due, reason, attempts: 0, ..delivery });
                    format!("{message_id} goes to {destination}")
                }
                Settle::Delivered => {
                    step.audit.push(entry(desk.now, EventCode::DeliverySettled, &why).of_delivery(&delivery));
                    step.settle(
                        stored,
                        Delivery { state: DeliveryState::Delivered, reason: why, ..delivery },
                    );
                    format!("{message_id} counts as delivered to {destination}")
                }
                Settle::Rejected => {
                    step = signal::rejected(desk, stored, why);
                    format!("{message_id} counts as rejected by {destination}")
                }
            };
            step.wake.insert(destination.clone());
            Told::new(How::Done, text)
        }
    };
    step.reply = ReplyDraft::Ready(Reply::Told(told));
    step
}

impl Step {
    /// What is owed by this step is held from the beginning: it may have been sent before the store was restored.
    pub(super) fn withhold(&mut self, desk: Desk<'_>) {
        let made = self.deliveries.iter_mut().filter(|draft| draft.based_on.is_none());
        let made = made.map(|draft| &mut draft.delivery);
        for delivery in made.filter(|delivery| delivery.state == DeliveryState::Pending) {
            delivery.state = DeliveryState::Held;
            delivery.reason = "it may have been sent before the store was restored".to_owned();
            let withheld = entry(desk.now, EventCode::DeliveryWithheld, &delivery.reason);
            self.audit.push(withheld.of_delivery(delivery));
        }
    }

    fn settle(&mut self, stored: &Versioned<Delivery>, delivery: Delivery) {
        let based_on = Some(stored.version);
        self.deliveries.push(DeliveryDraft { delivery, based_on, octets: Octets::Kept });
    }
}
