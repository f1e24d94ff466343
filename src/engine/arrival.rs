//! A user message arrives: a repeat, a refusal, a quarantine, or accepted into its pipeline (P1, P3, P8).

use std::collections::BTreeSet;

use super::audit::{About as _, entry};
use super::decide::{Desk, Inbound};
use super::event::Arrival;
use super::owe::customs;
use super::step::{DeliveryDraft, Draft, MessageDraft, MessageOctets, Octets, Reply, ReplyDraft, Step};
use super::{
    amend, customs as customs_notice, enclose, fee, ids, lodge, notice, order, pay, practice, query, refuse,
    respond, result, signal, withdraw,
};
use crate::model::{
    Agreement, CaseId, Delivery, DeliveryId, DeliveryPurpose, DeliveryState, DocumentCode, EbxmlError,
    ErrorCode, Message, PartyKey, Sealed, StoredMessage, SyncReplyMode, document_code_of_role,
};
use crate::msh::{
    Standing, acknowledge, acknowledge_hop, acknowledge_hop_beside, check_arrival, check_next_msh, is_test,
    set_out, standing_of, wants_acknowledgment,
};
use crate::routing::{Addressee, EnvelopeRule, Pipeline};
use crate::store::Versioned;
use crate::telemetry::EventCode;

/// Why a pipeline does not take a message.
#[derive(Debug)]
pub(super) enum Decline {
    /// The sender can mend it: these errors go back, and nothing of it is used.
    Refuse(Vec<EbxmlError>),
    /// It is ours, and steers nothing until an operator has looked.
    Quarantine(String),
}

impl Decline {
    /// A refusal with one error.
    pub(super) fn refuse(code: ErrorCode, location: Option<String>, text: impl Into<String>) -> Self {
        Self::Refuse(vec![EbxmlError::new(code, location, text)])
    }
}

/// What a pipeline comes to.
pub(super) type Decided = Result<Step, Decline>;

pub(super) fn user_message(desk: Desk<'_>, arrival: &Arrival) -> Step {
    let (verified, key) = (&arrival.verified, arrival.key());
    let header = &verified.message().header;
    let (service, action) = (&header.service.value, &header.action);
    let Some(agreement) = desk.context.registry.agreement_to_receive(&header.cpa_id, service, action) else {
        return Step::unavailable(desk, arrival, "its agreement was withdrawn while it was under way");
    };
    let inbound = Inbound { desk, arrival, agreement, key: &key, kept: None };
    let message = verified.message();
    let known = desk.view.message.as_ref();
    match standing_of(known.map(|known| &known.record), &message.content_digest(verified.is_signed())) {
        Standing::New => {
            let mut step = order::arrived(&inbound);
            // What it acknowledges is said and signed, also when the rest of it is refused; but not before it is kept.
            if step.message.is_some() {
                step.join(signal::acknowledged_beside(desk, arrival));
                step.join(signal::warned_beside(desk, arrival));
                respond::on_the_connection(&inbound, &mut step);
            }
            step
        }
        Standing::Repeat => repeat(&inbound, known.and_then(|known| known.response.clone())),
        Standing::Conflict => refuse::conflict(&inbound),
    }
}

/// What is wrong with a message that was never seen.
pub(super) fn faults(inbound: &Inbound<'_>) -> Vec<EbxmlError> {
    let Inbound { desk, arrival, agreement, .. } = *inbound;
    let verified = &arrival.verified;
    let message = verified.message();
    let mut errors = check_arrival(message, agreement, desk.now, desk.context.age);
    errors.extend(check_next_msh(verified.asked_of_next_msh(), agreement));
    if errors.is_empty() { arrival.documents.errors(message) } else { errors }
}

/// A message that nothing is wrong with, and whose turn it is, goes into its pipeline.
pub(super) fn steer(inbound: &Inbound<'_>) -> Step {
    let Inbound { desk, arrival, .. } = *inbound;
    let verified = &arrival.verified;
    let message = verified.message();
    if is_test(message) {
        return accept(inbound, None);
    }
    let Some(rule) = desk.context.envelope(verified) else {
        let (service, action) = (&message.header.service.value, &message.header.action);
        return quarantine(inbound, &format!("no envelope rule knows {service} {action} from this sender"));
    };
    let admitted = practice::admit(inbound);
    if admitted.is_ok() && needs_customs(rule) && customs(desk).is_none() {
        return Step::unavailable(desk, arrival, "no party is registered as customs");
    }
    let decided = admitted.and_then(|()| match rule.pipeline {
        Pipeline::Lodge => lodge::lodge(inbound, rule),
        Pipeline::Application => enclose::late_application(inbound),
        Pipeline::Result => result::result(inbound, rule),
        Pipeline::Notice => notice::notice(inbound, rule),
        Pipeline::CustomsNotice => customs_notice::notice(inbound, rule),
        Pipeline::Amend => amend::amend(inbound, rule),
        Pipeline::Withdraw => withdraw::withdraw(inbound, rule),
        Pipeline::Query => query::query(inbound),
        Pipeline::Fee => fee::notice(inbound, rule),
        Pipeline::Payment => pay::order(inbound),
    });
    match decided {
        Ok(step) => step,
        Err(Decline::Refuse(errors)) => refuse::stored(inbound, errors),
        Err(Decline::Quarantine(reason)) => quarantine(inbound, &reason),
    }
}

fn needs_customs(rule: &EnvelopeRule) -> bool {
    rule.also_to.iter().chain(&rule.relay).any(|to| *to == Addressee::Customs)
}

/// The start of a step that accepts the message: its record and its acknowledgment.
pub(super) fn accept(inbound: &Inbound<'_>, case: Option<&CaseId>) -> Step {
    let mut step = Step::default();
    let verified = &inbound.arrival.verified;
    let header = &verified.message().header;
    let what = format!("{} {}", header.service.value, header.action);
    let (event, mut text) = match inbound.kept {
        None => (EventCode::MessageAccepted, format!("{what} is ours")),
        Some(_) => (EventCode::MessageHandedOn, format!("{what} was held and has its turn")),
    };
    let deviations: Vec<_> = verified.deviations().iter().map(|deviation| deviation.as_str()).collect();
    if !deviations.is_empty() {
        text.push_str(", not as the standard has it: ");
        text.push_str(&deviations.join(", "));
    }
    let entry = entry(inbound.desk.now, event, text).of_message(inbound.key);
    step.audit.push(case.map_or(entry.clone(), |case| entry.of_case(case)));
    step.message = Some(kept(inbound, case, true, ""));
    if inbound.kept.is_none() {
        step.acknowledge(inbound);
    }
    step
}

fn quarantine(inbound: &Inbound<'_>, reason: &str) -> Step {
    let mut step = accept(inbound, None);
    if let Some(draft) = &mut step.message {
        draft.record.quarantined = true;
        reason.clone_into(&mut draft.record.reason);
    }
    let entry = entry(inbound.desk.now, EventCode::MessageQuarantined, reason).of_message(inbound.key);
    step.audit.push(entry.alarm_if(true));
    step
}

/// The record of the message.
pub(super) fn kept(
    inbound: &Inbound<'_>,
    case: Option<&CaseId>,
    accepted: bool,
    reason: &str,
) -> MessageDraft {
    let arrival = inbound.arrival;
    let message = arrival.verified.message();
    let record = StoredMessage {
        key: inbound.key.clone(),
        realm: inbound.desk.realm(),
        header: message.header.clone(),
        received_at: arrival.received_at,
        content_digest: message.content_digest(arrival.verified.is_signed()),
        accepted,
        quarantined: false,
        held: false,
        order: message.order,
        case: case.cloned(),
        content_type: arrival.content_type.clone(),
        reason: reason.to_owned(),
        answered: inbound.kept.is_some_and(|known| known.record.answered),
        documents: documents_in(message),
        hold: None,
        purged: None,
    };
    let octets = match inbound.kept {
        None => MessageOctets::New(arrival.body.clone()),
        Some(known) => MessageOctets::Kept(known.version),
    };
    MessageDraft { record, octets }
}

/// The kinds of documents that the Manifest names, each once.
fn documents_in(message: &Message) -> Vec<DocumentCode> {
    let references = message.manifest.iter().flat_map(|manifest| &manifest.references);
    let codes = references.filter_map(|reference| document_code_of_role(reference.role.as_deref()?));
    codes.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Step {
    /// Takes over what another step does; it must have no message, answer or case of its own.
    pub(super) fn join(&mut self, other: Self) {
        self.deliveries.extend(other.deliveries);
        self.receipts.extend(other.receipts);
        self.audit.extend(other.audit);
        self.noted.extend(other.noted);
        self.wake.extend(other.wake);
    }

    fn acknowledge(&mut self, inbound: &Inbound<'_>) {
        let verified = &inbound.arrival.verified;
        let message = verified.message();
        let own = inbound.agreement.own();
        let message_id = inbound.desk.context.own.message_id(&ids::answer_to(inbound.key));
        let received_at = inbound.arrival.received_at;
        let asked = wants_acknowledgment(message);
        let given = asked.map(|signed| acknowledge(message, &own, message_id.clone(), signed, received_at));
        let signed = asked == Some(true);
        match (given, verified.asked_of_next_msh()) {
            (None, None) => self.reply_if(inbound.arrival.waiting, Reply::Empty),
            (Some(given), None) => self.answer_with(inbound, given, signed),
            // Of the next MSH and the To Party, which are one here: in one message, unless what the next MSH gives is
            // signed, which travels alone (10.1.4).
            (Some(given), Some(hop)) if hop.signed => {
                self.answer_with(inbound, given, signed);
                self.acknowledge_hop_apart(inbound);
            }
            (Some(given), Some(_)) => {
                let answer = acknowledge_hop_beside(given, message, &own, received_at);
                self.answer_with(inbound, answer, signed);
            }
            (None, Some(hop)) => {
                let answer = acknowledge_hop(message, &own, message_id, hop.signed, received_at);
                self.answer_with(inbound, answer, hop.signed);
            }
        }
    }

    /// The signed acknowledgment of a next MSH that is the To Party too: by a POST of its own.
    fn acknowledge_hop_apart(&mut self, inbound: &Inbound<'_>) {
        let Inbound { desk, arrival, agreement, key, .. } = *inbound;
        let id = ids::hop(&ids::answer_to(key));
        let message_id = desk.context.own.message_id(&id);
        let message = arrival.verified.message();
        let hop = acknowledge_hop(message, &agreement.own(), message_id, true, arrival.received_at);
        let delivery = signal_delivery(desk, id, agreement, key.sender.clone(), &hop);
        let draft = Draft { message: hop, signing: Some(agreement.signature.own) };
        self.add_delivery(desk, delivery, Octets::Made(Box::new(draft)));
    }

    /// Answers with a signal: on the connection, or, under syncReplyMode none, as a delivery of its own.
    pub(super) fn answer_with(&mut self, inbound: &Inbound<'_>, answer: Message, signed: bool) {
        let Inbound { desk, arrival, agreement, key, .. } = *inbound;
        let signing = signed.then_some(agreement.signature.own);
        match agreement.sync_reply_mode {
            mode if mode != SyncReplyMode::None && arrival.waiting => self.reply = ReplyDraft::Answer,
            SyncReplyMode::MshSignalsOnly | SyncReplyMode::SignalsOnly => {}
            // A response that came on the connection of its request is answered by a POST.
            SyncReplyMode::None | SyncReplyMode::ResponseOnly | SyncReplyMode::SignalsAndResponse => {
                let id = ids::answer_to(key);
                let delivery = signal_delivery(desk, id, agreement, key.sender.clone(), &answer);
                self.add_delivery(desk, delivery, Octets::Answer);
                self.reply_if(arrival.waiting, Reply::Empty);
            }
        }
        self.answer = Some(Draft { message: answer, signing });
    }

    pub(super) fn reply_if(&mut self, waiting: bool, reply: Reply) {
        if waiting {
            self.reply = ReplyDraft::Ready(reply);
        }
    }

    /// Nothing is decided and nothing kept: the sender shall come again.
    fn unavailable(desk: Desk<'_>, arrival: &Arrival, why: &str) -> Self {
        let mut step = Self::default();
        step.reply_if(arrival.waiting, Reply::Status(503));
        let entry = entry(desk.now, EventCode::MessageDeferred, why).of_message(&arrival.key());
        step.noted.push(entry.alarm_if(true));
        step
    }
}

/// The same message again: the first answer, octet for octet, and nothing else changes (P3). Under syncReplyMode
/// none the delivery of that answer begins anew.
fn repeat(inbound: &Inbound<'_>, response: Option<Sealed>) -> Step {
    let Inbound { desk, arrival, agreement, key, .. } = *inbound;
    if desk.view.message.as_ref().is_some_and(|known| known.record.purged.is_some()) {
        return refuse::too_late(inbound);
    }
    let mut step = Step::default();
    let entry = entry(desk.now, EventCode::MessageDuplicate, "it came before and got its first answer again");
    let entry = entry.of_message(key);
    let by_itself = agreement.sync_reply_mode == SyncReplyMode::None || !arrival.waiting;
    if let Some(stored) = desk.view.delivery.as_ref().filter(|_| by_itself) {
        step.rearm(desk, agreement, stored, ITS_CAUSE_AGAIN);
        step.reply_if(arrival.waiting, Reply::Empty);
        step.audit.push(entry);
    } else {
        step.reply_if(arrival.waiting, response.map_or(Reply::Empty, Reply::Message));
        step.noted.push(entry);
    }
    step
}

impl Step {
    /// Lets a delivery go out once more, as it is stored; of one that had ended the record says so, and why.
    pub(super) fn rearm(
        &mut self,
        desk: Desk<'_>,
        agreement: &Agreement,
        stored: &Versioned<Delivery>,
        why: &str,
    ) {
        if stored.value.state == DeliveryState::Held || stored.value.purged.is_some() {
            return;
        }
        let expires_at = desk.now.plus(agreement.reliability.time_to_live);
        let delivery = set_out(Delivery { expires_at, ..stored.value.clone() }, agreement, desk.now);
        if stored.value.state.is_terminal() {
            self.audit.push(entry(desk.now, EventCode::DeliveryAgain, why).of_delivery(&delivery));
        }
        if delivery.state == DeliveryState::Delivered {
            let told = entry(desk.now, EventCode::DeliveryDelivered, &delivery.reason);
            self.audit.push(told.of_delivery(&delivery));
        }
        self.wake.insert(delivery.destination.clone());
        self.deliveries.push(DeliveryDraft {
            delivery,
            based_on: Some(stored.version),
            octets: Octets::Kept,
        });
    }
}

/// Why a signal goes out once more.
pub(super) const ITS_CAUSE_AGAIN: &str = "what it answers has come again";

/// A delivery of a signal, which is sealed in the same step.
pub(super) fn signal_delivery(
    desk: Desk<'_>,
    id: DeliveryId,
    agreement: &Agreement,
    destination: PartyKey,
    signal: &Message,
) -> Delivery {
    let header = &signal.header;
    let delivery = Delivery {
        id,
        realm: desk.realm(),
        case: None,
        purpose: DeliveryPurpose::Signal,
        destination,
        cpa_id: agreement.cpa_id.clone(),
        message_id: header.data.message_id.clone(),
        conversation_id: header.conversation_id.clone(),
        ref_to_message_id: header.data.ref_to_message_id.clone(),
        service: header.service.clone(),
        action: header.action.clone(),
        parts: Vec::new(),
        created_at: desk.now,
        expires_at: desk.now.plus(agreement.reliability.time_to_live),
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
    set_out(delivery, agreement, desk.now)
}
