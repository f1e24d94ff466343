//! Messages of one party for another: passed on as they came (ebMS 2.0, 10; digest, 15). We are on their way and no end
//! of it: nothing is eliminated, ordered, opened as a case, or answered in the name of the To Party.
//!
//! Promises: what is passed on is, octet for octet, what was received; it is on stable storage before anybody hears that
//! it was taken (P1); the hop is tried again like every delivery, and a sender who asked for an acknowledgment hears when
//! it ends badly (P9). The hop ends when the next MSH takes the HTTP entity: the receipt is for the From Party, who
//! sends again when none comes, and then it is passed on again.

use super::arrival::{ITS_CAUSE_AGAIN, signal_delivery};
use super::audit::{About as _, entry};
use super::decide::Desk;
use super::event::InTransit;
use super::ids;
use super::owe::name_of;
use super::refuse::{Once, id_of_content};
use super::step::{Draft, Octets, Reply, ReplyDraft, Step};
use crate::model::{
    Actor, Agreement, Delivery, DeliveryId, DeliveryPurpose, DeliveryState, EbxmlError, ErrorCode,
    MessageKey, MessageKind, Realm, SyncReplyMode,
};
use crate::msh::{acknowledge_hop, set_out};
use crate::store::{DeliveryLocator, Needs};
use crate::telemetry::EventCode;

/// The delivery that passed it on before, with its octets; and what it was answered with.
pub(super) fn needs(in_transit: &InTransit) -> Needs {
    Needs {
        delivery: Some(DeliveryLocator::Id(id_of(in_transit))),
        sealed: true,
        refusal: Some(refusal_id(in_transit)),
        wanted: Some(DeliveryLocator::Id(ids::hop(&id_of(in_transit)))),
        ..Needs::default()
    }
}

/// A message that is for another party.
pub(super) fn passed_on(desk: Desk<'_>, in_transit: &InTransit) -> Step {
    let transit = &in_transit.transit;
    let registry = desk.context.registry;
    let agreement = |party| registry.agreement_to_forward(party, desk.now);
    let Some((back, onward)) = agreement(transit.from()).zip(agreement(transit.to())) else {
        let mut step = Step::default();
        step.reply_if(in_transit.waiting, Reply::Status(503));
        return step;
    };
    if let Some(error) = fault(desk, in_transit) {
        return refused(desk, in_transit, back, error);
    }
    let mut step = Step::default();
    match &desk.view.delivery {
        None => {
            let delivery = delivery(desk, in_transit, onward);
            step.add_delivery(desk, delivery, Octets::Came(in_transit.octets.clone()));
        }
        Some(stored) if stored.value.purged.is_some() => {
            let error = EbxmlError::new(
                ErrorCode::TimeToLiveExpired,
                "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:Timestamp".to_owned(),
                "this message was passed on before, longer ago than it is kept",
            );
            return refused(desk, in_transit, back, error);
        }
        Some(stored) if !is_repeat(desk, in_transit, &stored.value) => {
            let error = EbxmlError::new(
                ErrorCode::Inconsistent,
                "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:MessageId".to_owned(),
                "this MessageId was used before, for another message",
            );
            return refused(desk, in_transit, back, error);
        }
        // On its way: its sender only hears so again.
        Some(stored) if !stored.value.state.is_terminal() => {}
        // No duplicate is eliminated on the way.
        Some(stored) => {
            step.rearm(desk, onward, stored, "it came again and is passed on again");
        }
    }
    step.reply_if(in_transit.waiting, Reply::Empty);
    step.acknowledge_hop(desk, in_transit, back);
    step
}

/// Whether this is what was passed on, in whatever package it comes.
fn is_repeat(desk: Desk<'_>, in_transit: &InTransit, stored: &Delivery) -> bool {
    match &stored.purpose {
        DeliveryPurpose::Transit { content: Some(content), .. } => content == in_transit.transit.content(),
        _ => desk.view.sealed.as_ref().is_some_and(|sealed| sealed.body == in_transit.octets.body),
    }
}

/// What keeps a message from being passed on.
fn fault(desk: Desk<'_>, in_transit: &InTransit) -> Option<EbxmlError> {
    let message = in_transit.transit.message();
    let header = "/soap:Envelope/soap:Header";
    if let Some(limit) = message.header.data.time_to_live.filter(|limit| desk.now > *limit) {
        let at = format!("{header}/eb:MessageHeader/eb:MessageData/eb:TimeToLive");
        let text = format!("TimeToLive {limit} had passed when the message was to be passed on");
        return Some(EbxmlError::new(ErrorCode::TimeToLiveExpired, at, text));
    }
    let text = "the answer of another party does not come back on this connection: it is passed on by itself";
    let at = format!("{header}/eb:SyncReply");
    message.sync_reply.then(|| EbxmlError::new(ErrorCode::NotSupported, at, text))
}

fn refused(desk: Desk<'_>, in_transit: &InTransit, back: &Agreement, error: EbxmlError) -> Step {
    let InTransit { transit, waiting, .. } = in_transit;
    let mut step = Step::default();
    let text = format!("for {}: {}", name_of(desk, transit.to()), error.description);
    let told = entry(desk.now, EventCode::MessageRefused, text).of_message(&key_of(in_transit));
    step.audit.push(told);
    let message = transit.message();
    if message.kind != MessageKind::User {
        // A signal is answered with no error (6.5.2).
        step.reply_if(*waiting, Reply::Empty);
        return step;
    }
    let once = Once {
        known: Some((back, transit.from())),
        id: refusal_id(in_transit),
        before: desk.view.refusal.as_ref(),
        waiting: *waiting,
    };
    step.refuse_once(desk, once, &message.header, vec![error]);
    step
}

fn delivery(desk: Desk<'_>, in_transit: &InTransit, onward: &Agreement) -> Delivery {
    let transit = &in_transit.transit;
    let message = transit.message();
    let header = &message.header;
    let ours = desk.now.plus(onward.reliability.time_to_live);
    let acknowledged = message.ack_requested.iter().any(|asked| asked.actor == Actor::ToPartyMsh);
    let delivery = Delivery {
        id: id_of(in_transit),
        realm: Realm::Production,
        case: None,
        purpose: DeliveryPurpose::Transit {
            from: transit.from().clone(),
            acknowledged,
            content: Some(*transit.content()),
        },
        destination: transit.to().clone(),
        cpa_id: onward.cpa_id.clone(),
        message_id: header.data.message_id.clone(),
        conversation_id: header.conversation_id.clone(),
        ref_to_message_id: header.data.ref_to_message_id.clone(),
        service: header.service.clone(),
        action: header.action.clone(),
        parts: Vec::new(),
        created_at: desk.now,
        expires_at: header.data.time_to_live.map_or(ours, |limit| limit.min(ours)),
        state: DeliveryState::Pending,
        attempts: 0,
        due: desk.now,
        sealed: true,
        mailbox: false,
        order: None,
        again: 0,
        unsent: 0,
        hold: None,
        purged: None,
        reason: String::new(),
    };
    set_out(delivery, onward, desk.now)
}

fn id_of(in_transit: &InTransit) -> DeliveryId {
    let transit = &in_transit.transit;
    ids::passed_on(transit.from(), &transit.message().header.data.message_id)
}

/// Of the error that it is answered with: another message under its MessageId gets one of its own.
fn refusal_id(in_transit: &InTransit) -> DeliveryId {
    let transit = &in_transit.transit;
    id_of_content(transit.from(), transit.message(), *transit.content())
}

fn key_of(in_transit: &InTransit) -> MessageKey {
    let transit = &in_transit.transit;
    let message_id = transit.message().header.data.message_id.clone();
    MessageKey { sender: transit.from().clone(), message_id }
}

impl Step {
    /// What the next MSH owes: that the message is stored here, and nothing about the To Party (10.1.4).
    fn acknowledge_hop(&mut self, desk: Desk<'_>, in_transit: &InTransit, back: &Agreement) {
        let InTransit { transit, received_at, waiting, .. } = in_transit;
        let Some(asked) = transit.asked_of_next_msh() else { return };
        let id = ids::hop(&id_of(in_transit));
        let message_id = desk.context.own.message_id(&id);
        let (message, own) = (transit.message(), back.own());
        let answer = acknowledge_hop(message, &own, message_id, asked.signed, *received_at);
        let signing = asked.signed.then_some(back.signature.own);
        if back.sync_reply_mode != SyncReplyMode::None {
            if *waiting {
                self.answer = Some(Draft { message: answer, signing });
                self.reply = ReplyDraft::Answer;
            }
            return;
        }
        match &desk.view.wanted {
            Some(stored) => self.rearm(desk, back, stored, ITS_CAUSE_AGAIN),
            None => {
                let signal = signal_delivery(desk, id, back, transit.from().clone(), &answer);
                let draft = Draft { message: answer, signing };
                self.add_delivery(desk, signal, Octets::Made(Box::new(draft)));
            }
        }
    }
}
