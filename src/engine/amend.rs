//! A broker amends a declaration (5FE): revision n+1. The message carries the amended declaration whole, and with it
//! or later come the applications that change. Customs gets the amendment and the declaration; of the agencies only
//! those hear of it whose rows changed (domain brief, 5.3; rulings 1, 18, 21 to 24).

use super::arrival::{Decided, Decline, accept};
use super::audit::entry;
use super::cancel::Cause as Asked;
use super::decide::Inbound;
use super::documents::{PartContent, at};
use super::enclose::{how_placed, keys_of_application, number_is_taken, owe_application, place};
use super::ids;
use super::join::Cause;
use super::lodge::{missing_attachments, original, subject};
use super::owe::{Owed, about_case, customs, received};
use super::replace::renew;
use super::step::Step;
use super::withdraw::own_case;
use crate::case::{self, Amendment, ReportEvent, WithdrawalFault};
use crate::model::{
    Amended, ApplicationDocument, ApplicationState, Case, ConversationId, Declaration, DeclarationChange,
    DeliveryPurpose, Document, EbxmlError, ErrorCode, Payload, Realm,
};
use crate::routing::{Addressee, EnvelopeRule};
use crate::store::{CaseWrite, CorrelationKey};
use crate::telemetry::EventCode;

pub(super) fn amend(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let desk = inbound.desk;
    let (payload, document) = subject(inbound)?;
    let refuse = |text: String| Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    let Document::Change(change @ DeclarationChange { sequence: Some(sequence), .. }) = document else {
        return refuse("the first document of this Action is no amendment of a declaration".to_owned());
    };
    let enclosed = Enclosed::read(inbound, change)?;
    let stored = own_case(inbound, payload, &change.declaration)?;
    if stored.value.state.is_end() {
        return refuse(WithdrawalFault::Ended(stored.value.state).to_string());
    }
    if *sequence != stored.value.revision {
        let next = stored.value.revision;
        return refuse(format!("the next amendment of this declaration has SequenceNumeric {next}"));
    }
    let mut changed = stored.value.clone();
    let realm = desk.realm();
    let lines = case::lines_to_plan(&changed, enclosed.declaration, desk.context.rules.looks_at());
    let mut planned = enclosed.declaration.clone();
    planned.lines.retain(|line| lines.planned.contains(&line.sequence));
    let released = case::amend(
        &mut changed,
        Amendment {
            declaration: enclosed.declaration,
            plan: desk.plan(&planned).map_err(|fault| fault.refuse(payload))?,
            lines,
            approvals: &desk.approvals(),
            now: desk.now,
            amended: Amended { key: inbound.key.clone(), number: change.number.clone(), at: desk.now },
        },
    );
    let mut placed = Vec::new();
    let mut errors = Vec::new();
    for (payload, document) in &enclosed.applications {
        let found = match &*document.function {
            function if original(realm, payload, function).is_ok() => {
                place(inbound, &mut changed, payload, document).map(|p| (p.index(), how_placed(p)))
            }
            Realm::TEST => Err(wrong(payload, "FunctionCode 53, test, in an amendment that is no practice")),
            _ => renew(inbound, &mut changed, payload, document),
        };
        match found {
            Ok(place) => placed.push((place, *payload, *document)),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(Decline::Refuse(errors));
    }
    let events = case::settle_amended(&mut changed, desk.now);

    let mut step = accept(inbound, Some(&changed.id));
    step.audit.push(about_case(
        entry(desk.now, EventCode::CaseAmended, told(&changed)),
        inbound,
        &changed.id,
    ));
    if rule.relay.contains(&Addressee::Customs) {
        step.owe_amendment(inbound, &changed, &enclosed);
    }
    let mut correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    let reason = change.text.as_deref().unwrap_or_default();
    let reason = format!("declaration {} is amended: {reason}", change.declaration);
    let asked = Asked { key: inbound.key, issued_at: change.issued_at, reason: &reason };
    for release in released {
        correlations.extend(step.release(inbound, &mut changed, &release, &asked));
    }
    let message = inbound.arrival.verified.message();
    for (place, payload, document) in placed {
        let target = desk.agency_of_document(&document.code);
        let cpa_id = target.and_then(|target| target.cpa_id);
        let named = message.payloads.iter().filter(|p| document.attachments.contains(&p.content_id));
        let parts = std::iter::once(payload).chain(named);
        let parts = parts.map(|payload| received(inbound.key, payload)).collect();
        owe_application(&mut step, inbound, &changed, place, cpa_id.as_ref(), (payload, document), parts);
        correlations.extend(keys_of_application(&changed.applications[place.0]));
    }
    step.report(desk, &changed, ReportEvent::Amended, Addressee::Applicant);
    step.tell_unverified(desk, &changed);
    step.tell_join(desk, &changed, &events, Cause::Message(inbound.key));
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

/// What comes with an amendment.
struct Enclosed<'a> {
    amendment: &'a Payload,
    declaration: &'a Declaration,
    applications: Vec<(&'a Payload, &'a ApplicationDocument)>,
}

impl<'a> Enclosed<'a> {
    /// The parts of the message, or everything that forbids to take it.
    fn read(inbound: &Inbound<'a>, change: &DeclarationChange) -> Result<Self, Decline> {
        let message = inbound.arrival.verified.message();
        let (amendment, _) = subject(inbound)?;
        let mut declarations = Vec::new();
        let mut applications = Vec::new();
        let mut errors = Vec::new();
        for (payload, content) in message.payloads.iter().zip(inbound.arrival.documents.parts()).skip(1) {
            match content {
                PartContent::Document { document, .. } => match &**document {
                    Document::Declaration(declaration) => declarations.push((payload, declaration)),
                    Document::Application(application) => {
                        if &*application.function == "1" {
                            errors.push(wrong(payload, "a cancellation travels by itself"));
                        }
                        let number = CorrelationKey::Application(application.number.clone());
                        let own = inbound.desk.view.case.as_ref().map(|stored| &stored.value.id);
                        let taken = inbound.desk.view.taken.get(&number);
                        if taken.is_some_and(|owner| Some(owner) != own) {
                            errors.push(number_is_taken(payload, &application.number));
                        }
                        applications.push((payload, application));
                    }
                    _ => errors.push(wrong(payload, WHAT_COMES)),
                },
                PartContent::Unknown(code) => {
                    errors.push(wrong(payload, format!("document code {code} is not known here")));
                }
                PartContent::Attachment | PartContent::Faulty { .. } => {}
            }
        }
        let [(payload, declaration)] = declarations[..] else {
            errors.push(wrong(amendment, WHAT_COMES));
            return Err(Decline::Refuse(errors));
        };
        if declaration.number != change.declaration {
            let text =
                format!("it is declaration {}, and {} is amended", declaration.number, change.declaration);
            errors.push(wrong(payload, text));
        }
        if !["4", "5"].contains(&&*declaration.function) {
            errors.push(wrong(payload, "an amended declaration has FunctionCode 5, replace, or 4, change"));
        }
        let documents = applications.iter().map(|(payload, a)| (*payload, a.attachments.as_slice()));
        let documents = std::iter::once((payload, declaration.attachments.as_slice())).chain(documents);
        errors.extend(missing_attachments(message, documents));
        if errors.is_empty() {
            Ok(Self { amendment, declaration, applications })
        } else {
            Err(Decline::Refuse(errors))
        }
    }
}

fn wrong(payload: &Payload, text: impl Into<String>) -> EbxmlError {
    EbxmlError::new(ErrorCode::Inconsistent, at(payload), text)
}

const WHAT_COMES: &str =
    "with an amendment come the whole amended declaration, requirement applications and attachments";

impl Step {
    /// Customs gets the amendment, the declaration, and the attachments that no application names (ruling 1).
    fn owe_amendment(&mut self, inbound: &Inbound<'_>, case: &Case, enclosed: &Enclosed<'_>) {
        let Some(to) = customs(inbound.desk) else { return };
        let message = inbound.arrival.verified.message();
        let is_application = |payload: &Payload| {
            enclosed.applications.iter().any(|(p, document)| {
                p.content_id == payload.content_id || document.attachments.contains(&payload.content_id)
            })
        };
        let own = &enclosed.declaration.attachments;
        let parts = message.payloads.iter().filter(|p| own.contains(&p.content_id) || !is_application(p));
        let number = ConversationId::new(enclosed.declaration.number.clone());
        let owed = Owed {
            id: ids::forwarded("amendment", inbound.key, &enclosed.amendment.content_id, to),
            case: Some(&case.id),
            purpose: DeliveryPurpose::Declaration,
            to,
            cpa_id: None,
            conversation_id: number.unwrap_or_else(|_| case.conversation_id.clone()),
            ref_to_message_id: case.declared_as.clone(),
            service: &message.header.service.value,
            action: &message.header.action,
            parts: parts.map(|payload| received(inbound.key, payload)).collect(),
        };
        self.owe(inbound.desk, owed);
    }
}

/// The revision, and what it lacks.
fn told(case: &Case) -> String {
    let number = case.declaration.as_deref().unwrap_or_default();
    let missing = case.applications.iter().filter(|a| a.required && a.state == ApplicationState::Blocked);
    let missing: Vec<_> = missing.map(|a| format!("{} {}", a.agency, a.document)).collect();
    let lack = if missing.is_empty() { String::new() } else { format!("; missing: {}", missing.join(", ")) };
    format!("declaration {number} is amended: revision {}{lack}", case.revision)
}
