//! A fee is paid: the submitter orders it (XF2), the bank is asked until it says what became of it, agency and broker hear
//! that (XF3; domain brief, 5.5).
//!
//! Promises: an order that is accepted is a payment that the bank will be asked for, in the same commit (P1); an attempt
//! is counted before the bank is asked (P9); every attempt at a fee, by whatever order, has the key of that fee, so that
//! the bank books it once whatever is repeated or lost, and goes to the bank of the first attempt (P3); nothing but the bank's word ends a payment; the bank
//! of production hears of no rehearsal.

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::decide::{Desk, Inbound};
use super::documents::at;
use super::enclose::conversation_of;
use super::fee::PAYMENT;
use super::ids;
use super::lodge::subject;
use super::owe::{Owed, about_case};
use super::step::{How, Reply, ReplyDraft, Step, Told};
use crate::case::{self, ChargeEffect, Look, OrderFault};
use crate::codec::document::write_payment_confirmation;
use crate::model::{
    Application, Case, ChargeOutcome, ConversationId, DeliveryPurpose, Document, DocumentCode, ErrorCode,
    Fee, MessageId, Part, PartSource, PartyKey, Payment, PaymentConfirmation, PaymentOutcome, PaymentTerms,
    Realm, TimelineEntry, derive_id, role_of_document_code,
};
use crate::store::{CaseWrite, CorrelationKey, Versioned};
use crate::telemetry::EventCode;

const CONFIRMATION: &str = "GOVCBRXF3";

/// The submitter orders a payment.
pub(super) fn order(inbound: &Inbound<'_>) -> Decided {
    let desk = inbound.desk;
    let (payload, document) = subject(inbound)?;
    let Document::PaymentOrder(document) = document else {
        let text = "the first document of this Action is no payment order";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    if desk.context.bank(desk.realm()).is_none() {
        let text = match desk.realm() {
            Realm::Production => "payments are not taken here: this Single Window has no bank",
            Realm::Practice => {
                "this is practice, and there is no bank here to rehearse with: nothing was ordered"
            }
        };
        return Err(Decline::refuse(ErrorCode::NotSupported, at(payload), text));
    }
    let refuse = |fault: &OrderFault| {
        let code = match fault {
            OrderFault::Unknown { .. } => ErrorCode::ValueNotRecognized,
            _ => ErrorCode::Inconsistent,
        };
        Decline::refuse(code, at(payload), fault.to_string())
    };
    let is_his = |stored: &&Versioned<Case>| stored.value.submitter.as_ref() == Some(&inbound.key.sender);
    let Some(stored) = desk.view.case.as_ref().filter(is_his) else {
        let (fee, application) = (document.fee.clone(), document.application.clone());
        return Err(refuse(&OrderFault::Unknown { fee, application }));
    };
    let mut changed = stored.value.clone();
    let index = case::order_payment(&mut changed, document, inbound.key.clone(), desk.now)
        .map_err(|fault| refuse(&fault))?;
    let text = format!(
        "order {} pays {} for fee {} of {} {}, from account {}",
        document.number,
        document.price,
        document.fee,
        changed.applications[index].agency,
        document.application,
        document.payer.account
    );
    let told = about_case(entry(desk.now, EventCode::PaymentOrdered, text), inbound, &changed.id);
    let mut step = accept(inbound, Some(&changed.id));
    step.audit.push(told);
    let correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

/// The bank is asked what is due. Before its time nothing is, whoever calls.
pub(super) fn due(desk: Desk<'_>) -> Step {
    let mut step = Step::default();
    let Some(stored) = &desk.view.case else { return step };
    let mut changed = stored.value.clone();
    let bank = desk.context.bank(desk.realm());
    let Look { asked, waiting } = case::ask_bank(&mut changed, bank, desk.now);
    if asked.is_empty() && waiting.is_empty() {
        // What the case is indexed under is then mended.
        if changed.payment_due != case::next_payment(&changed) {
            step.case = Some(based_on(stored, changed));
        }
        return step;
    }
    for (attempt, charge) in &asked {
        let text = format!(
            "attempt {attempt} at order {}: {} to {}, key {}",
            charge.order, charge.price, charge.payee.account, charge.key
        );
        step.audit.push(of(stored, entry(desk.now, EventCode::PaymentAsked, text)));
    }
    let section = if desk.realm().is_practice() { "[practice_payment]" } else { "[payment]" };
    for (order, before) in waiting {
        let text = match (before, bank) {
            (Some(before), Some(now)) => format!(
                "order {order} waits: bank {before} was asked, and {section} names {}, which would book it again; \
                 name {before} there until it has answered",
                now.name
            ),
            _ => format!("order {order} waits, and there is no {section} any more: nobody can be asked"),
        };
        step.audit.push(of(stored, entry(desk.now, EventCode::PaymentUnanswered, text)).alarm_if(true));
    }
    step.charges = asked;
    step.case = Some(based_on(stored, changed));
    step
}

/// What came of an attempt.
pub(super) fn charged(
    desk: Desk<'_>,
    (key, order): (&str, &str),
    attempt: u32,
    outcome: &ChargeOutcome,
) -> Step {
    let mut step = Step::default();
    let Some(stored) = &desk.view.case else { return step };
    let mut changed = stored.value.clone();
    let bank = desk.context.bank(desk.realm());
    let alarm_after = bank.map_or_else(PaymentTerms::default, |bank| bank.terms).alarm_after;
    let taken = case::take_answer(&mut changed, (key, order), attempt, outcome, alarm_after, desk.now);
    let Some(effect) = taken else { return step };
    let told = |code, text: String| of(stored, entry(desk.now, code, text));
    match effect {
        ChargeEffect::Paid(of) => {
            let Ordered { application, fee, payment } = Ordered::of(&changed, of);
            let number = application.number.as_deref().unwrap_or_default();
            let reference = payment.reference.clone().unwrap_or_default();
            let text = format!(
                "fee {} of {} {number} is paid: {} by order {order}, bank's reference {reference}",
                fee.number, application.agency, fee.price
            );
            step.audit.push(told(EventCode::PaymentPaid, text));
            let outcome = PaymentOutcome::Paid { reference, at: payment.ended_at.unwrap_or(desk.now) };
            let confirmation = confirmation(desk, key, application, fee, payment, outcome);
            let to_agency = (conversation_of(&changed, application), fee.message_id.clone());
            step.confirm(desk, &changed, key, &confirmation, &application.party, to_agency);
            step.confirm_to_submitter(desk, &changed, key, &confirmation, payment);
        }
        ChargeEffect::Refused(of) => {
            let Ordered { application, fee, payment } = Ordered::of(&changed, of);
            let text = format!("the bank refuses order {order} for fee {}: {}", fee.number, payment.reason);
            step.audit.push(told(EventCode::PaymentRefused, text));
            let outcome = PaymentOutcome::Refused { reason: payment.reason.as_str().into() };
            let confirmation = confirmation(desk, key, application, fee, payment, outcome);
            step.confirm_to_submitter(desk, &changed, key, &confirmation, payment);
        }
        ChargeEffect::Again { of, late } => {
            let Ordered { fee, payment, .. } = Ordered::of(&changed, of);
            let alarm = matches!(outcome, ChargeOutcome::Again { alarm: true, .. });
            let text =
                format!("attempt {attempt} at order {order} for fee {}: {}", fee.number, payment.reason);
            step.audit.push(told(EventCode::PaymentUnanswered, text).alarm_if(alarm));
            if late {
                let (since, fee) = (payment.ordered_at, &fee.number);
                let text =
                    format!("fee {fee} is being paid since {since}, key {key}, and the bank is silent");
                step.audit.push(told(EventCode::PaymentLate, text).alarm_if(true));
            }
        }
    }
    step.case = Some(based_on(stored, changed));
    step
}

/// An operator has the bank asked at once.
pub(super) fn hurried(desk: Desk<'_>, by: &str, reason: &str) -> Step {
    let mut step = Step::default();
    let mut told = Told::new(How::Nothing, "no payment of this case is under way");
    if let Some(stored) = &desk.view.case {
        let mut changed = stored.value.clone();
        let orders = case::hurry(&mut changed, desk.now);
        if !orders.is_empty() {
            let what = format!("the bank is asked about {} at once", orders.join(", "));
            let text = format!("{by}: {reason}; {what}");
            step.audit.push(of(stored, entry(desk.now, EventCode::PaymentHurried, text)));
            step.case = Some(based_on(stored, changed));
            told = Told::new(How::Done, what);
        }
    }
    step.reply = ReplyDraft::Ready(Reply::Told(told));
    step
}

/// A payment with its fee and its application.
struct Ordered<'a> {
    application: &'a Application,
    fee: &'a Fee,
    payment: &'a Payment,
}

impl<'a> Ordered<'a> {
    fn of(case: &'a Case, of: case::Answered) -> Self {
        let application = &case.applications[of.application];
        let fee = &application.fees[of.fee];
        let payment = fee.payments.last().expect("what was answered was ordered");
        Self { application, fee, payment }
    }
}

fn confirmation(
    desk: Desk<'_>,
    key: &str,
    application: &Application,
    fee: &Fee,
    payment: &Payment,
    outcome: PaymentOutcome,
) -> PaymentConfirmation {
    PaymentConfirmation {
        number: derive_id(&["confirmation", key, &payment.order]).into(),
        issued_at: desk.now,
        application: application.number.clone().unwrap_or_default(),
        fee: fee.number.clone(),
        order: payment.order.clone(),
        price: fee.price.clone(),
        outcome,
    }
}

impl Step {
    fn confirm_to_submitter(
        &mut self,
        desk: Desk<'_>,
        case: &Case,
        key: &str,
        confirmation: &PaymentConfirmation,
        payment: &Payment,
    ) {
        let place = (case.conversation_id.clone(), payment.ordered_by.message_id.clone());
        self.confirm(desk, case, key, confirmation, &payment.ordered_by.sender, place);
    }

    /// Owes a party the confirmation, in this conversation and in answer to this message.
    fn confirm(
        &mut self,
        desk: Desk<'_>,
        case: &Case,
        key: &str,
        confirmation: &PaymentConfirmation,
        to: &PartyKey,
        (conversation_id, answers): (ConversationId, MessageId),
    ) {
        let code = DocumentCode::new(CONFIRMATION).expect("the code is plain text");
        let id = ids::confirmation(key, &confirmation.order, to);
        let part = Part {
            content_id: ids::content_id(&id, &desk.context.own.domain),
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&code).into()),
            source: PartSource::Made(write_payment_confirmation(confirmation).into()),
        };
        self.owe(
            desk,
            Owed {
                id,
                case: Some(&case.id),
                purpose: DeliveryPurpose::PaymentConfirmation,
                to,
                cpa_id: None,
                conversation_id,
                ref_to_message_id: Some(answers),
                service: PAYMENT,
                action: CONFIRMATION,
                parts: vec![part],
            },
        );
    }
}

fn of(stored: &Versioned<Case>, entry: TimelineEntry) -> TimelineEntry {
    entry.of_case(&stored.value.id).of_party(stored.value.submitter.as_ref())
}

fn based_on(stored: &Versioned<Case>, case: Case) -> CaseWrite {
    CaseWrite { case, based_on: Some(stored.version), correlations: Vec::new() }
}
