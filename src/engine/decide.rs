//! Every decision, in one match over what can happen.

use super::event::{Arrival, Context, Event};
use super::step::Step;
use super::{
    again, announce, approval, arrival, deadline, due, mailbox, officer, order, pay, purge, reconcile,
    refuse, signal, transit,
};
use crate::model::{Agreement, MessageKey, MessageKind, Realm, Timestamp};
use crate::store::{KnownMessage, View};

/// What is on the desk while an event is decided.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) now: Timestamp,
    pub(super) view: &'a View,
    pub(super) context: &'a Context<'a>,
}

impl Desk<'_> {
    /// The realm that the event belongs to, as its records were loaded: nothing of the other one is on the desk.
    pub(super) const fn realm(&self) -> Realm {
        self.view.realm
    }
}

/// What an event leads to, given the records that it needs.
#[must_use]
pub fn decide(now: Timestamp, event: &Event, view: &View, context: &Context<'_>) -> Step {
    let desk = Desk { now, view, context };
    let mut step = match event {
        Event::Arrived(arrival) => match arrival.verified.message().kind {
            MessageKind::User => arrival::user_message(desk, arrival),
            MessageKind::Signal(action) => signal::arrived(desk, arrival, action),
        },
        Event::HandedOn { arrival, sequence } => order::handed_on(desk, arrival, sequence),
        Event::Unopenable { sequence, reason, .. } => order::unopenable(desk, sequence, reason),
        Event::OrderDue(sequence) => order::due(desk, sequence),
        Event::GapSettled { sequence, act } => order::settled(desk, sequence, act),
        Event::InTransit(in_transit) => transit::passed_on(desk, in_transit),
        Event::Refused(refused) => refuse::refused(desk, refused),
        Event::Due(_) => due::due(desk),
        Event::Unsealable { reason, .. } => due::unsealable(desk, reason),
        Event::Damaged { reason, .. } => due::damaged(desk, reason),
        Event::Attempted { attempt, outcome, .. } => due::attempted(desk, *attempt, outcome),
        Event::ApprovalDue(key) => approval::approval_due(desk, key),
        Event::CaseDue(_) => deadline::case_due(desk),
        Event::PaymentDue(_) => pay::due(desk),
        Event::Charged { key, order, attempt, outcome, .. } => {
            pay::charged(desk, (key, order), *attempt, outcome)
        }
        Event::Hurried { by, reason, .. } => pay::hurried(desk, by, reason),
        Event::Acted { arrival, act } => officer::acted(desk, arrival, act),
        Event::Fetched { by, .. } => mailbox::fetched(desk, by),
        Event::Confirmed { by, receipt, .. } => mailbox::confirmed(desk, by, receipt.as_deref()),
        Event::Again { by, reason, .. } => again::asked_for(desk, by, reason),
        Event::Withheld { why, .. } => reconcile::withheld(desk, why),
        Event::Settled { how, by, reason, .. } => reconcile::settled(desk, *how, by, reason),
        Event::Purged { subject, archive, bytes } => purge::purged(desk, subject, *archive, *bytes),
        Event::Forgotten { sequence, version } => purge::forgotten(desk, sequence, *version),
        Event::Holding { on, held, by, reason } => purge::holding(desk, on, *held, by, reason),
        Event::Announced(announcement) => announce::announce(desk, announcement),
    };
    step.keep_time(desk);
    step.keep_approvals(desk);
    if reconcile::may_have_been_done(desk, event) {
        step.withhold(desk);
    }
    step.name_case(event);
    step
}

/// A message on the desk, with what it was sent under.
#[derive(Clone, Copy)]
pub(super) struct Inbound<'a> {
    pub(super) desk: Desk<'a>,
    pub(super) arrival: &'a Arrival,
    pub(super) agreement: &'a Agreement,
    pub(super) key: &'a MessageKey,
    /// What is known of it when it was accepted before, and held until now.
    pub(super) kept: Option<&'a KnownMessage>,
}
