//! A lodging opens a case: the declaration to customs, each application to its agency, in one commit (rulings 1
//! to 4, 12, 19).

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::decide::Inbound;
use super::documents::{PartContent, at};
use super::enclose::{how_placed, keys_of_application, number_is_taken, owe_application, place};
use super::ids;
use super::join::Cause;
use super::owe::{Owed, customs, name_of, received};
use super::step::Step;
use crate::case::{self, Claims, Lodging, ReportEvent};
use crate::model::{
    Application, ApplicationDocument, ApplicationState, Case, CaseState, ContentId, ConversationId,
    Declaration, DeliveryId, DeliveryPurpose, Document, EbxmlError, ErrorCode, Message, Part, PartyKey,
    Payload, Realm, RuleId, TimelineEntry,
};
use crate::routing::{Addressee, EnvelopeRule};
use crate::store::{CaseWrite, CorrelationKey};
use crate::telemetry::EventCode;

/// FunctionCode of an original document.
const ORIGINAL: &str = "9";

pub(super) fn lodge(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let desk = inbound.desk;
    let message = inbound.arrival.verified.message();
    let submission = Submission::read(inbound)?;
    let declaration = submission.declaration;
    let mut plan = desk.plan(declaration).map_err(|fault| fault.refuse(submission.payload))?;
    let id = ids::case_opened_by(inbound.key);
    let claims = Claims {
        case: &id,
        realm: desk.realm(),
        submitter: &inbound.key.sender,
        declared: declaration,
        now: desk.now,
    };
    let (held, unverified) = case::hold(&mut plan, claims, &mut desk.approvals());
    let agreements: Vec<_> = plan.applications.iter().map(|planned| planned.cpa_id.clone()).collect();
    let to_customs = customs(desk).filter(|_| rule.also_to.contains(&Addressee::Customs));
    let declared = to_customs
        .map(|to| (to, ids::forwarded("declaration", inbound.key, &submission.payload.content_id, to)));
    let mut opened = case::lodge(Lodging {
        id,
        realm: desk.realm(),
        key: inbound.key.clone(),
        conversation_id: message.header.conversation_id.clone(),
        at: desk.now,
        declared: declaration.clone(),
        declared_as: declared.as_ref().map(|(_, id)| desk.context.own.message_id(id)),
        plan,
        held,
        unverified,
    });
    let mut placed = Vec::new();
    let mut errors = Vec::new();
    for (payload, document) in &submission.applications {
        match place(inbound, &mut opened, payload, document) {
            Ok(place) => placed.push((place, *payload, *document)),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(Decline::Refuse(errors));
    }
    let events = case::settle(&mut opened, desk.now);

    let mut step = accept(inbound, Some(&opened.id));
    step.audit.extend(told_of_opening(inbound, &opened));
    if let Some((to, id)) = declared {
        step.owe_declaration(inbound, &opened, &submission, to, id);
    }
    for (place, payload, document) in placed {
        let cpa_id = agreements.get(place.index()).cloned().flatten();
        let named =
            message.payloads.iter().filter(|payload| document.attachments.contains(&payload.content_id));
        let parts = std::iter::once(payload).chain(named);
        let parts = parts.map(|payload| received(inbound.key, payload)).collect();
        let place = (place.index(), how_placed(place));
        owe_application(&mut step, inbound, &opened, place, cpa_id.as_ref(), (payload, document), parts);
    }
    let is_blocked = |a: &Application| a.state == ApplicationState::Blocked;
    let is_told = opened.state == CaseState::Ready || !opened.unverified.is_empty();
    if is_told || opened.applications.iter().any(is_blocked) {
        step.report(desk, &opened, ReportEvent::Lodged, Addressee::Applicant);
    }
    step.tell_unverified(desk, &opened);
    step.tell_join(desk, &opened, &events, Cause::Message(inbound.key));
    let correlations = correlations(inbound, &opened);
    step.case = Some(CaseWrite { case: opened, based_on: None, correlations });
    Ok(step)
}

impl Step {
    fn owe_declaration(
        &mut self,
        inbound: &Inbound<'_>,
        case: &Case,
        submission: &Submission<'_>,
        to: &PartyKey,
        id: DeliveryId,
    ) {
        let header = &inbound.arrival.verified.message().header;
        let number = ConversationId::new(submission.declaration.number.clone());
        let owed = Owed {
            id,
            case: Some(&case.id),
            purpose: DeliveryPurpose::Declaration,
            to,
            cpa_id: None,
            conversation_id: number.unwrap_or_else(|_| case.conversation_id.clone()),
            ref_to_message_id: None,
            service: &header.service.value,
            action: &header.action,
            parts: submission.parts_of_declaration(inbound),
        };
        self.owe(inbound.desk, owed);
    }
}

/// What a lodging holds.
struct Submission<'a> {
    payload: &'a Payload,
    declaration: &'a Declaration,
    applications: Vec<(&'a Payload, &'a ApplicationDocument)>,
}

impl<'a> Submission<'a> {
    /// The parts of the message, or everything that forbids to take it.
    fn read(inbound: &Inbound<'a>) -> Result<Self, Decline> {
        let message = inbound.arrival.verified.message();
        let (payload, document) = subject(inbound)?;
        let Document::Declaration(declaration) = document else {
            return Err(Decline::refuse(
                ErrorCode::Inconsistent,
                at(payload),
                "the first document of a lodging is the import declaration",
            ));
        };
        original(inbound.desk.realm(), payload, &declaration.function)?;
        let mut submission = Self { payload, declaration, applications: Vec::new() };
        let mut errors = Vec::new();
        let taken = &inbound.desk.view.taken;
        if taken.contains_key(&CorrelationKey::Declaration(declaration.number.clone())) {
            let text = format!("declaration number {} was lodged before", declaration.number);
            errors.push(EbxmlError::new(ErrorCode::Inconsistent, at(payload), text));
        }
        for (payload, content) in message.payloads.iter().zip(inbound.arrival.documents.parts()).skip(1) {
            match content {
                PartContent::Attachment => {}
                PartContent::Document { document, .. } => match &**document {
                    Document::Application(application) => {
                        let realm = inbound.desk.realm();
                        if let Err(Decline::Refuse(more)) = original(realm, payload, &application.function) {
                            errors.extend(more);
                        }
                        if taken.contains_key(&CorrelationKey::Application(application.number.clone())) {
                            errors.push(number_is_taken(payload, &application.number));
                        }
                        submission.applications.push((payload, application));
                    }
                    _ => errors.push(EbxmlError::new(
                        ErrorCode::Inconsistent,
                        at(payload),
                        "beside its declaration a lodging holds requirement applications and attachments only",
                    )),
                },
                PartContent::Unknown(code) => errors.push(EbxmlError::new(
                    ErrorCode::ValueNotRecognized,
                    at(payload),
                    format!("document code {code} is not known here"),
                )),
                // Arrival has refused faulty documents before.
                PartContent::Faulty { .. } => {}
            }
        }
        let documents = submission.applications.iter().map(|(p, d)| (*p, d.attachments.as_slice()));
        let documents = std::iter::once((payload, declaration.attachments.as_slice())).chain(documents);
        errors.extend(missing_attachments(message, documents));
        if errors.is_empty() { Ok(submission) } else { Err(Decline::Refuse(errors)) }
    }

    /// The declaration, the attachments that it names, and those that no document names (ruling 1).
    fn parts_of_declaration(&self, inbound: &Inbound<'_>) -> Vec<Part> {
        let message = inbound.arrival.verified.message();
        let is_document = |payload: &Payload| {
            payload.content_id == self.payload.content_id
                || self.applications.iter().any(|(p, _)| p.content_id == payload.content_id)
        };
        let of_an_agency =
            |id: &ContentId| self.applications.iter().any(|(_, document)| document.attachments.contains(id));
        let mut parts = vec![received(inbound.key, self.payload)];
        let others = message.payloads.iter().filter(|payload| !is_document(payload));
        let own = others
            .filter(|p| self.declaration.attachments.contains(&p.content_id) || !of_an_agency(&p.content_id));
        parts.extend(own.map(|payload| received(inbound.key, payload)));
        parts
    }
}

/// An error for each attachment that a document names and the message does not hold.
pub(super) fn missing_attachments<'a>(
    message: &Message,
    documents: impl Iterator<Item = (&'a Payload, &'a [ContentId])>,
) -> Vec<EbxmlError> {
    let named = documents.flat_map(|(payload, attachments)| attachments.iter().map(move |id| (payload, id)));
    let missing = named.filter(|(_, id)| message.payloads.iter().all(|payload| payload.content_id != **id));
    let told = missing.map(|(payload, id)| {
        let text = format!("the document names attachment {id}, which the message does not hold");
        EbxmlError::new(ErrorCode::MimeProblem, at(payload), text)
    });
    told.collect()
}

/// The document that the message is about, and its payload.
pub(super) fn subject<'a>(inbound: &Inbound<'a>) -> Result<(&'a Payload, &'a Document), Decline> {
    let message = inbound.arrival.verified.message();
    let subject = message.payloads.first().zip(inbound.arrival.documents.subject());
    let Some((payload, (code, document))) = subject else {
        let location = message.payloads.first().and_then(at);
        let text = format!("the first payload is no document of kind {}", message.header.action);
        return Err(Decline::refuse(ErrorCode::Inconsistent, location, text));
    };
    if code.as_str() != &*message.header.action {
        let text = format!("Action is {}, the first document is {code}", message.header.action);
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    }
    Ok((payload, document))
}

/// A document that replaces nothing; in practice it may say that it is a test.
pub(super) fn original(realm: Realm, payload: &Payload, function: &str) -> Result<(), Decline> {
    if function == ORIGINAL || (realm.is_practice() && function == Realm::TEST) {
        return Ok(());
    }
    if function == Realm::TEST {
        let text =
            "FunctionCode 53, test, in a message that is no practice: its declaration would have to have it";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    }
    let text = format!("FunctionCode {function} is not supported here; {ORIGINAL} is");
    Err(Decline::refuse(ErrorCode::NotSupported, at(payload), text))
}

/// The opening, and each requirement with the rules that fired.
fn told_of_opening(inbound: &Inbound<'_>, case: &Case) -> Vec<TimelineEntry> {
    let (desk, number) = (inbound.desk, case.declaration.as_deref().unwrap_or_default());
    let lodged_by = name_of(desk, &inbound.key.sender);
    let required = case.applications.iter().filter(|application| application.required).count();
    let practice = if case.realm.is_practice() { "practice: " } else { "" };
    let opened =
        format!("{practice}declaration {number}, lodged by {lodged_by}; {required} application(s) required");
    let opened = entry(desk.now, EventCode::CaseOpened, opened).of_message(inbound.key).of_case(&case.id);
    let planned = case.applications.iter().filter(|application| !application.rules.is_empty());
    let planned = planned.map(|application| {
        let rules: Vec<_> = application.rules.iter().map(RuleId::as_str).collect();
        let lines: Vec<_> = application.items.iter().map(u16::to_string).collect();
        let missing =
            if application.state == ApplicationState::Blocked { "; its document is missing" } else { "" };
        let text = format!(
            "{} needs {} for lines {}, by {}{missing}",
            application.agency,
            application.document,
            lines.join(", "),
            rules.join(", ")
        );
        let entry = entry(desk.now, EventCode::ApplicationPlanned, text);
        entry.of_case(&case.id).of_party(Some(&application.party))
    });
    std::iter::once(opened).chain(planned).collect()
}

/// Every key that leads to a new case.
fn correlations(inbound: &Inbound<'_>, case: &Case) -> Vec<CorrelationKey> {
    let mut keys = vec![
        CorrelationKey::Received(inbound.key.clone()),
        CorrelationKey::Conversation(inbound.key.sender.clone(), case.conversation_id.clone()),
    ];
    keys.extend(case.declaration.clone().map(CorrelationKey::Declaration));
    keys.extend(case.declared_as.clone().map(CorrelationKey::Sent));
    for application in &case.applications {
        keys.extend(keys_of_application(application));
    }
    keys
}
