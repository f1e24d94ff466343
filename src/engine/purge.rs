//! When octets go, and what keeps them: their age, the duplicate memory, a case that is not over, a legal hold (P3, P9).
//!
//! Decided here, for the list that an operator looks at and for the purge itself, by the same rules. The record of a
//! message stays for ever, and with it its duplicate key: what comes again is known again. What goes are octets: the
//! message, its answer, what was sent, its receipt; and only after an archive of them was written and verified, which is
//! the shell's to do.
//!
//! How far a conversation has come goes too, once everything in it went: not before the last message of it could come
//! again, since none is purged before that, and never while one is held.

use std::sync::Arc;
use std::time::Duration;

use super::audit::{About as _, entry};
use super::decide::Desk;
use super::event::{Context, Hold, Holding};
use super::step::{DeliveryDraft, How, Octets, Reply, ReplyDraft, Step, Told};
use crate::model::{
    Agreement, Case, CpaId, Delivery, DeliveryState, Digest, Direction, DocumentCode, EvidenceSubject, Fate,
    Keep, LegalHold, Purged, Sequence, SequenceKey, StoredMessage, Timestamp, document_code_of_role,
};
use crate::store::{CaseWrite, Forgotten, MessageWrite, Unchanged, View};
use crate::telemetry::EventCode;

/// A step of our clock never purges early (P9).
const CLOCK_STEP: Duration = Duration::from_secs(3600);

/// Why octets stay, in words for an operator; nothing when they are to go.
///
/// # Errors
/// Why they stay.
pub fn is_over(
    now: Timestamp,
    subject: &EvidenceSubject,
    view: &View,
    context: &Context<'_>,
) -> Result<(), String> {
    match subject {
        EvidenceSubject::Received(_) => {
            let record = view.message.as_ref().map(|known| &known.record);
            let record = record.ok_or_else(|| "there is no such message".to_owned())?;
            message_is_over(now, record, context)?;
        }
        EvidenceSubject::Sent { .. } => {
            let delivery = view.delivery.as_ref().map(|stored| &stored.value);
            delivery_is_over(now, delivery.ok_or_else(|| "there is no such delivery".to_owned())?, context)?;
            if let Some(answered) = &view.answered {
                is_settled(&answered.value, "the message that it answers is")?;
            }
        }
    }
    match &view.case {
        Some(case) => case_is_over(&case.value, view),
        None => Ok(()),
    }
}

fn message_is_over(now: Timestamp, record: &StoredMessage, context: &Context<'_>) -> Result<(), String> {
    gone(record.purged.as_ref())?;
    is_settled(record, "it is")?;
    let kinds = record.documents.iter().map(DocumentCode::as_str).chain([&*record.header.action]);
    // Which documents are in it is not known of one of an earlier version: any may be.
    let kept = match record.documents.is_empty() {
        true => context.retention.longest(),
        false => context.retention.of(kinds),
    };
    aged(now, record.received_at, kept, &record.header.cpa_id, context)
}

/// No operator has to do anything about a message, it does not wait for its turn, and no hold is on it.
fn is_settled(record: &StoredMessage, is: &str) -> Result<(), String> {
    held(record.hold.as_ref(), is)?;
    if record.quarantined {
        return Err(format!("{is} quarantined: an operator has to look at it"));
    }
    if record.held {
        return Err(format!("{is} held until what comes before it in its conversation has come"));
    }
    Ok(())
}

fn delivery_is_over(now: Timestamp, delivery: &Delivery, context: &Context<'_>) -> Result<(), String> {
    gone(delivery.purged.as_ref())?;
    held(delivery.hold.as_ref(), "it is")?;
    if !has_ended(delivery.state) {
        return Err(format!("its delivery is {}", delivery.state.as_str()));
    }
    if !delivery.sealed {
        return Err("it has no octets of its own".to_owned());
    }
    let codes: Vec<_> =
        delivery.parts.iter().filter_map(|part| document_code_of_role(part.role.as_deref()?)).collect();
    let kinds = codes.iter().map(DocumentCode::as_str).chain([&*delivery.action]);
    aged(now, delivery.created_at, context.retention.of(kinds), &delivery.cpa_id, context)
}

/// How long something may come again and has to be known: as long as the agreement says, under whatever terms of it, and
/// never shorter than what the age rule still lets in (P3).
fn known_for(cpa_id: &CpaId, context: &Context<'_>) -> Duration {
    let longest = |agreement: &Agreement| agreement.terms().map(|on| on.reliability.persist_duration).max();
    let persists = match context.registry.agreement(cpa_id) {
        Some(agreement) => longest(agreement),
        // A partner without its agreement might come again under any of them.
        None => context.registry.agreements().filter_map(longest).max(),
    };
    persists.unwrap_or_default().max(context.age.age_max + context.age.skew_max)
}

fn gone(purged: Option<&Purged>) -> Result<(), String> {
    purged.map_or(Ok(()), |purged| Err(format!("it was purged at {}", purged.at)))
}

fn held(hold: Option<&LegalHold>, what: &str) -> Result<(), String> {
    hold.map_or(Ok(()), |hold| Err(format!("{what} {hold}")))
}

/// Nothing more is sent by itself, and an operator has nothing to do about it.
const fn has_ended(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Delivered | DeliveryState::Rejected | DeliveryState::Expired)
}

fn aged(
    now: Timestamp,
    since: Timestamp,
    (keep, kind): (Keep, Option<&str>),
    cpa_id: &CpaId,
    context: &Context<'_>,
) -> Result<(), String> {
    let kind = kind.unwrap_or("everything else");
    let Keep::For(kept_for) = keep else { return Err(format!("{kind} is kept for ever")) };
    let known_for = known_for(cpa_id, context);
    let until = since.plus(kept_for.max(known_for)).plus(CLOCK_STEP);
    match now < until {
        false => Ok(()),
        true if known_for > kept_for => Err(format!("a repeat of it must be answered until {until}")),
        true => Err(format!("the retention of {kind} lasts until {until}")),
    }
}

fn case_is_over(case: &Case, view: &View) -> Result<(), String> {
    held(case.hold.as_ref(), "its case is")?;
    if !case.state.is_end() {
        return Err(format!("its case is {}", case.state.as_str()));
    }
    if case.due.is_some() || case.payment_due.is_some() {
        return Err("something is still to be done about its case".to_owned());
    }
    match &view.open {
        Some(delivery) => Err(format!("delivery {delivery} of its case is not over")),
        None => Ok(()),
    }
}

/// Whether a conversation itself has nothing to wait for.
///
/// # Errors
/// Why it has to be known on.
pub fn is_idle(sequence: &Sequence) -> Result<(), String> {
    let waits = sequence.early.values().find(|early| early.fate != Fate::Passed);
    match (waits, sequence.due) {
        (Some(early), _) => Err(format!("message {} of it is held", early.message_id)),
        (None, Some(due)) => Err(format!("something is to be done in it at {due}")),
        (None, None) => Ok(()),
    }
}

/// The conversation that a received message keeps known.
#[must_use]
pub fn keeps_message(record: &StoredMessage) -> Option<SequenceKey> {
    let kept = record.order.filter(|_| record.purged.is_none());
    kept.map(|_| SequenceKey {
        direction: Direction::Receive,
        cpa_id: record.header.cpa_id.clone(),
        conversation_id: record.header.conversation_id.clone(),
    })
}

/// The conversation that a delivery keeps known. One that ended before it had octets is never purged: it does as long as
/// what has some would. And one that did not arrive does for ever: its partner waits for it, and refuses whatever begins anew.
#[must_use]
pub fn keeps_delivery(now: Timestamp, delivery: &Delivery, context: &Context<'_>) -> Option<SequenceKey> {
    let sealed = Delivery { sealed: true, ..delivery.clone() };
    let is_over = match delivery.sealed {
        true => delivery.purged.is_some(),
        false => delivery_is_over(now, &sealed, context).is_ok(),
    };
    let is_over = is_over && delivery.state == DeliveryState::Delivered;
    delivery.order.filter(|_| !is_over).map(|_| SequenceKey {
        direction: Direction::Send,
        cpa_id: delivery.cpa_id.clone(),
        conversation_id: delivery.conversation_id.clone(),
    })
}

/// A conversation is forgotten, unless something came or went in it since the shell saw that everything had been purged:
/// that has changed its version.
pub(super) fn forgotten(desk: Desk<'_>, key: &SequenceKey, version: u64) -> Step {
    let mut step = Step::default();
    let stored = desk.view.sequences.get(key);
    let idle = match stored.filter(|stored| stored.version == version) {
        Some(stored) => is_idle(&stored.value).map(|()| stored.value.partner.clone()),
        None => Err("something came or went in it meanwhile".to_owned()),
    };
    step.reply = match idle {
        Ok(partner) => {
            let SequenceKey { direction, cpa_id, conversation_id } = key;
            let way = match direction {
                Direction::Send => "sent",
                Direction::Receive => "received",
            };
            let text = format!(
                "everything that was {way} in conversation {conversation_id} under {cpa_id} was purged; \
                 how far it had come is forgotten"
            );
            let entry = entry(desk.now, EventCode::ConversationForgotten, text);
            step.audit.push(entry.of_party(Some(&partner)));
            step.forgotten = Some(Forgotten { key: key.clone(), based_on: version });
            told(How::Done, "it is forgotten")
        }
        Err(why) => told(How::Conflict, why),
    };
    step
}

/// The octets go: their archive was written and verified.
pub(super) fn purged(desk: Desk<'_>, subject: &EvidenceSubject, archive: Digest, bytes: u64) -> Step {
    let mut step = Step::default();
    if let Err(why) = is_over(desk.now, subject, desk.view, desk.context) {
        step.reply = told(How::Conflict, why);
        return step;
    }
    let purged = Purged { at: desk.now, archive, bytes };
    let text = format!("{bytes} octets were purged; their evidence is the archive {archive}");
    match subject {
        EvidenceSubject::Received(key) => {
            let known = desk.view.message.as_ref().expect("what is over was loaded");
            let record = StoredMessage { purged: Some(purged), ..known.record.clone() };
            let entry = entry(desk.now, EventCode::MessagePurged, &text).of_message(key);
            step.audit.push(match &record.case {
                Some(case) => entry.of_case(case),
                None => entry,
            });
            step.changed = Some(MessageWrite { record, based_on: known.version });
        }
        EvidenceSubject::Sent { .. } => {
            let stored = desk.view.delivery.as_ref().expect("what is over was loaded");
            let delivery = Delivery { purged: Some(purged), ..stored.value.clone() };
            step.audit.push(entry(desk.now, EventCode::DeliveryPurged, &text).of_delivery(&delivery));
            let based_on = Some(stored.version);
            step.deliveries.push(DeliveryDraft { delivery, based_on, octets: Octets::Kept });
        }
    }
    // A hold that is set meanwhile, or a result that comes, is a conflict, and this is decided again.
    let case = desk.view.case.as_ref().map(|case| Unchanged::Case(case.value.id.clone(), case.version));
    let answered = desk.view.answered.as_ref();
    let answered = answered.map(|answered| Unchanged::Message(answered.value.key.clone(), answered.version));
    step.unchanged = case.into_iter().chain(answered).collect();
    step.reply = told(How::Done, text);
    step
}

/// An operator sets a hold, or lifts it.
pub(super) fn holding(desk: Desk<'_>, on: &Holding, held: Hold, by: &str, reason: &Arc<str>) -> Step {
    let mut step = Step::default();
    let hold = LegalHold { at: desk.now, by: by.into(), reason: reason.clone() };
    let (event, word) = match held {
        Hold::Set => (EventCode::HoldSet, "held"),
        Hold::Lifted => (EventCode::HoldLifted, "held no more"),
    };
    let next = (held == Hold::Set).then_some(hold);
    let text = format!("{by}: {reason}");
    let (case, message, delivery) = (&desk.view.case, &desk.view.message, &desk.view.delivery);
    let done = match (on, case, message, delivery) {
        (Holding::Case(_), Some(stored), ..) if stored.value.hold.is_some() != next.is_some() => {
            let case = Case { hold: next, ..stored.value.clone() };
            step.audit.push(entry(desk.now, event, text).of_case(&case.id));
            let told = format!("case {} is {word}", case.id);
            step.case = Some(CaseWrite { case, based_on: Some(stored.version), correlations: Vec::new() });
            Ok(told)
        }
        (Holding::Message(key), _, Some(known), _) if known.record.hold.is_some() != next.is_some() => {
            let record = StoredMessage { hold: next, ..known.record.clone() };
            step.audit.push(entry(desk.now, event, text).of_message(key));
            step.changed = Some(MessageWrite { record, based_on: known.version });
            Ok(format!("message {key} is {word}"))
        }
        (Holding::Delivery(id), .., Some(stored)) if stored.value.hold.is_some() != next.is_some() => {
            let delivery = Delivery { hold: next, ..stored.value.clone() };
            step.audit.push(entry(desk.now, event, text).of_delivery(&delivery));
            let based_on = Some(stored.version);
            step.deliveries.push(DeliveryDraft { delivery, based_on, octets: Octets::Kept });
            Ok(format!("delivery {id} is {word}"))
        }
        (Holding::Case(_), None, ..)
        | (Holding::Message(_), _, None, _)
        | (Holding::Delivery(_), .., None) => Err(Told::new(How::Nothing, "there is nothing of that name")),
        _ => Err(Told::new(How::Conflict, format!("it is {word} already"))),
    };
    step.reply = match done {
        Ok(text) => told(How::Done, text),
        Err(told) => ReplyDraft::Ready(Reply::Told(told)),
    };
    step
}

fn told(how: How, text: impl Into<String>) -> ReplyDraft {
    ReplyDraft::Ready(Reply::Told(Told::new(how, text)))
}
