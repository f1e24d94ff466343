//! The mailbox of a partner without a server: it fetches what waits for it, and confirms (P4, P6; domain brief, 3:
//! store and collect).
//!
//! Fetching changes nothing but that the octets are made, once: whoever fetches again gets them again, and what
//! nobody confirmed is still there after any crash. The confirmation is the receipt: where a receipt is agreed it is a
//! signed Acknowledgment, judged on the same road as one that is posted; else that of the party which the connection
//! vouches for.

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::due::{Under, awaits_receipt, made, quarantined, under};
use super::event::Arrival;
use super::signal;
use super::step::{DeliveryDraft, How, Reply, ReplyDraft, Step, Told};
use crate::model::{Delivery, DeliveryState, MessageKind, PartyKey, Registry, SignalAction};
use crate::store::Versioned;
use crate::telemetry::EventCode;

/// The octets, the same every time.
pub(super) fn fetched(desk: Desk<'_>, by: &PartyKey) -> Step {
    let stored = match waiting(desk, by) {
        Ok(stored) => stored,
        Err(told) => return answered(told),
    };
    let delivery = &stored.value;
    if delivery.state == DeliveryState::Held {
        return answered(kept_back());
    }
    if delivery.state.is_terminal() {
        return answered(Told::new(How::Gone, is_over(delivery)));
    }
    if let Some(sealed) = desk.view.sealed.as_ref().filter(|_| delivery.sealed) {
        let mut step = Step { reply: ReplyDraft::Ready(Reply::Message(sealed.clone())), ..Step::default() };
        step.noted
            .push(entry(desk.now, EventCode::DeliveryFetched, "fetched once more").of_delivery(delivery));
        return step;
    }
    let Some(Under { delivery, agreement, renewed }) = under(desk, delivery) else {
        return given_up(desk, stored, format!("agreement {} is not in force", delivery.cpa_id));
    };
    if delivery.sealed {
        return given_up(desk, stored, "its octets are missing".to_owned());
    }
    match made(desk, &delivery, agreement) {
        Ok(octets) => {
            let mut step = Step { reply: ReplyDraft::Delivery(delivery.id.clone()), ..Step::default() };
            let text = format!("{} was fetched from the mailbox", delivery.action);
            step.audit.extend(renewed);
            step.audit.push(entry(desk.now, EventCode::DeliveryFetched, text).of_delivery(&delivery));
            let based_on = Some(stored.version);
            step.deliveries.push(DeliveryDraft { delivery, based_on, octets });
            step
        }
        Err(reason) => given_up(desk, stored, reason),
    }
}

/// The receipt of what was fetched, which settles also what an operator keeps back: it was fetched before that, or
/// posted before its destination collected. The same confirmation again finds the delivery done, and changes
/// nothing.
pub(super) fn confirmed(desk: Desk<'_>, by: &PartyKey, receipt: Option<&Arrival>) -> Step {
    let stored = match waiting(desk, by) {
        Ok(stored) => stored,
        Err(told) => return answered(told),
    };
    let delivery = &stored.value;
    if delivery.state == DeliveryState::Delivered {
        return answered(Told::new(How::Done, "it was confirmed before; nothing changes"));
    }
    if delivery.state.is_terminal() {
        return answered(Told::new(How::Gone, is_over(delivery)));
    }
    if !delivery.sealed {
        let never = "it was never fetched: fetch it, keep it, then confirm it";
        let is_held = delivery.state == DeliveryState::Held;
        return answered(if is_held { kept_back() } else { Told::new(How::Conflict, never) });
    }
    match receipt {
        Some(receipt) => by_receipt(desk, delivery, receipt),
        None => by_itself(desk, stored),
    }
}

/// What a signal says of the delivery is decided as if it had been posted.
fn by_receipt(desk: Desk<'_>, delivery: &Delivery, receipt: &Arrival) -> Step {
    let message = receipt.verified.message();
    let refused = |text: &str| answered(Told::new(How::Refused, text));
    if signal::answered(message) != Some(&delivery.message_id) {
        return refused("the receipt is about another message");
    }
    let MessageKind::Signal(action @ (SignalAction::Acknowledgment | SignalAction::MessageError)) =
        message.kind
    else {
        return refused("the receipt is neither an Acknowledgment nor a MessageError");
    };
    let mut step = signal::arrived(desk, receipt, action);
    let text = step.audit.first().map_or_else(String::new, |entry| entry.text.clone());
    let about = step.deliveries.iter().find(|draft| draft.delivery.id == delivery.id);
    let how = match about.map(|draft| draft.delivery.state) {
        None => How::Refused,
        // An operator says what it means.
        Some(DeliveryState::Held) => How::Conflict,
        Some(_) => How::Done,
    };
    step.reply = ready(Told::new(how, text));
    step
}

/// Without a signal the connection vouches for who confirms, where no more is agreed.
fn by_itself(desk: Desk<'_>, stored: &Versioned<Delivery>) -> Step {
    let delivery = &stored.value;
    if owes_signed_receipt(delivery, desk.context.registry) {
        let text = format!("agreement {} wants a signed Acknowledgment as its receipt", delivery.cpa_id);
        return answered(Told::new(How::Refused, text));
    }
    let reason = "confirmed by its destination, from the mailbox".to_owned();
    let delivered = Delivery { state: DeliveryState::Delivered, reason, ..delivery.clone() };
    let mut step = answered(Told::new(How::Done, "confirmed"));
    let told = entry(desk.now, EventCode::DeliveryDelivered, delivered.reason.clone());
    step.audit.push(told.of_delivery(&delivered));
    step.change(delivered, stored);
    step
}

/// Whether only a signed Acknowledgment completes the delivery.
#[must_use]
pub fn owes_signed_receipt(delivery: &Delivery, registry: &Registry) -> bool {
    let agreement = registry.agreement_of(delivery);
    agreement.is_none_or(|agreement| agreement.reliability.ack_signed) && awaits_receipt(delivery, agreement)
}

/// The delivery, if it is one of this party's mailbox.
fn waiting<'a>(desk: Desk<'a>, by: &PartyKey) -> Result<&'a Versioned<Delivery>, Told> {
    let stored = desk.view.delivery.as_ref();
    let own = stored.filter(|stored| stored.value.mailbox && stored.value.destination == *by);
    own.ok_or_else(|| Told::new(How::Nothing, "there is nothing of that name in your mailbox"))
}

fn kept_back() -> Told {
    Told::new(How::Conflict, "an operator keeps it back for now")
}

fn is_over(delivery: &Delivery) -> String {
    let reason = if delivery.reason.is_empty() { "confirmed" } else { &delivery.reason };
    format!("it is {}: {reason}", delivery.state.as_str())
}

/// It cannot be made: an operator has to look, and whoever fetches hears so.
pub(super) fn given_up(desk: Desk<'_>, stored: &Versioned<Delivery>, reason: String) -> Step {
    let mut step = quarantined(desk, stored, reason);
    step.reply = ready(Told::new(How::Conflict, "it cannot be given out as it is; an operator was told"));
    step
}

fn answered(told: Told) -> Step {
    Step { reply: ready(told), ..Step::default() }
}

const fn ready(told: Told) -> ReplyDraft {
    ReplyDraft::Ready(Reply::Told(told))
}
