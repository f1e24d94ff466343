//! An application document finds its place in a case and is owed to its agency, with the lodging or after it
//! (rulings 1, 3, 4).

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::cancel::cancel;
use super::decide::Inbound;
use super::documents::{PartContent, at};
use super::ids;
use super::lodge::{original, subject};
use super::owe::{Owed, received};
use super::replace::{replace, source_of};
use super::step::Step;
use crate::case::{self, EncloseFault, Enclosed, Place};
use crate::model::{
    Application, ApplicationDocument, Case, ConversationId, CpaId, DeliveryId, DeliveryPurpose, Document,
    EbxmlError, ErrorCode, Part, Payload,
};
use crate::store::{CaseWrite, CorrelationKey};
use crate::telemetry::EventCode;

/// Where applications go.
pub(super) const REQUIREMENTS: &str = "RequirementVerification";

/// An application that comes after its lodging, in the same conversation (ruling 3).
pub(super) fn late_application(inbound: &Inbound<'_>) -> Decided {
    let desk = inbound.desk;
    let (payload, document) = subject(inbound)?;
    let Document::Application(document) = document else {
        return Err(Decline::refuse(
            ErrorCode::Inconsistent,
            at(payload),
            "the first document of this Action is no requirement application",
        ));
    };
    alone(inbound)?;
    let conversation = || Some("/soap:Envelope/soap:Header/eb:MessageHeader/eb:ConversationId".to_owned());
    let Some(stored) = desk.view.case.as_ref().filter(|stored| is_lodged_by(&stored.value, inbound)) else {
        let text = "no case of this sender has this ConversationId";
        return Err(Decline::refuse(ErrorCode::Inconsistent, conversation(), text));
    };
    if stored.value.state.is_end() {
        let text = format!("the case is {}: no application is taken any more", stored.value.state.as_str());
        return Err(Decline::refuse(ErrorCode::Inconsistent, conversation(), text));
    }
    match &*document.function {
        "1" => return cancel(inbound, stored, payload, document),
        "4" | "5" => return replace(inbound, stored, payload, document),
        function => original(desk.realm(), payload, function)?,
    }
    let mut changed = stored.value.clone();
    let number = CorrelationKey::Application(document.number.clone());
    if desk.view.taken.get(&number).is_some_and(|owner| *owner != changed.id) {
        return Err(Decline::Refuse(vec![number_is_taken(payload, &document.number)]));
    }
    let place =
        place(inbound, &mut changed, payload, document).map_err(|error| Decline::Refuse(vec![error]))?;
    case::settle(&mut changed, desk.now);
    let mut step = accept(inbound, Some(&changed.id));
    let target = desk.agency_of_document(&document.code);
    let cpa_id = target.and_then(|target| target.cpa_id);
    let message = inbound.arrival.verified.message();
    let parts = message.payloads.iter().map(|payload| received(inbound.key, payload)).collect();
    let place = (place.index(), how_placed(place));
    owe_application(&mut step, inbound, &changed, place, cpa_id.as_ref(), (payload, document), parts);
    let mut correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    correlations.extend(keys_of_application(&changed.applications[place.0]));
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

/// Places a document in the case; the error that goes back when it has no place.
pub(super) fn place(
    inbound: &Inbound<'_>,
    case: &mut Case,
    payload: &Payload,
    document: &ApplicationDocument,
) -> Result<Place, EbxmlError> {
    let context = inbound.desk.context;
    let target = inbound.desk.agency_of_document(&document.code);
    let sent_as = context.own.message_id(&id_of_application(inbound, payload));
    let source = source_of(inbound, payload);
    let enclosed = Enclosed { document, sent_as: &sent_as, source: &source, target: target.as_ref() };
    case::enclose(case, enclosed).map_err(|fault| {
        let code = match fault {
            EncloseFault::KnownNumber(_) => ErrorCode::Inconsistent,
            EncloseFault::NoAgency(_) => ErrorCode::ValueNotRecognized,
        };
        EbxmlError::new(code, at(payload), fault.to_string())
    })
}

/// Why a document goes where it goes, in words.
pub(super) const fn how_placed(place: Place) -> &'static str {
    match place {
        Place::Planned(_) => "a rule asks for it",
        Place::Corrected(_) => "it replaces what the agency refused",
        Place::Voluntary(_) => "voluntary",
    }
}

/// Owes an application to its agency, and says how it came to be.
pub(super) fn owe_application(
    step: &mut Step,
    inbound: &Inbound<'_>,
    case: &Case,
    (index, how): (usize, &str),
    cpa_id: Option<&CpaId>,
    (payload, document): (&Payload, &ApplicationDocument),
    parts: Vec<Part>,
) {
    let desk = inbound.desk;
    let application = &case.applications[index];
    let agency = &application.agency;
    let text = format!("{} {} for {agency}: {how}", document.code, document.number);
    step.audit.push(
        entry(desk.now, EventCode::ApplicationEnclosed, text).of_message(inbound.key).of_case(&case.id),
    );
    step.owe(
        desk,
        Owed {
            id: id_of_application(inbound, payload),
            case: Some(&case.id),
            purpose: DeliveryPurpose::Application { index },
            to: &application.party,
            cpa_id,
            conversation_id: conversation_of(case, application),
            ref_to_message_id: application.former.last().cloned(),
            service: REQUIREMENTS,
            action: document.code.as_str(),
            parts,
        },
    );
}

/// Keys that lead from an application to its case.
pub(super) fn keys_of_application(application: &Application) -> Vec<CorrelationKey> {
    let mut keys = Vec::new();
    keys.extend(application.sent_as.clone().map(CorrelationKey::Sent));
    if let Some(number) = &application.number {
        keys.push(CorrelationKey::Application(number.clone()));
        let conversation = ConversationId::new(number.clone()).ok();
        keys.extend(conversation.map(|id| CorrelationKey::Conversation(application.party.clone(), id)));
    }
    keys
}

pub(super) fn number_is_taken(payload: &Payload, number: &str) -> EbxmlError {
    let text = format!("application number {number} is in another case already");
    EbxmlError::new(ErrorCode::Inconsistent, at(payload), text)
}

pub(super) fn id_of_application(inbound: &Inbound<'_>, payload: &Payload) -> DeliveryId {
    let own = &inbound.desk.context.own.key;
    ids::forwarded("application", inbound.key, &payload.content_id, own)
}

/// The conversation with an agency: the application number.
pub(super) fn conversation_of(case: &Case, application: &Application) -> ConversationId {
    let number = application.number.clone().and_then(|number| ConversationId::new(number).ok());
    number.unwrap_or_else(|| case.conversation_id.clone())
}

/// Beside its one application a late message holds attachments only; all of them go with it.
pub(super) fn alone(inbound: &Inbound<'_>) -> Result<(), Decline> {
    let message = inbound.arrival.verified.message();
    let parts = message.payloads.iter().zip(inbound.arrival.documents.parts()).skip(1);
    let others = parts.filter(|(_, content)| **content != PartContent::Attachment).map(|(payload, _)| {
        let text = "beside its application the message holds attachments only";
        EbxmlError::new(ErrorCode::Inconsistent, at(payload), text)
    });
    let errors: Vec<_> = others.collect();
    if errors.is_empty() { Ok(()) } else { Err(Decline::Refuse(errors)) }
}

fn is_lodged_by(case: &Case, inbound: &Inbound<'_>) -> bool {
    case.declaration.is_some() && case.submitter.as_ref() == Some(&inbound.key.sender)
}
