//! Refusals: kept with their MessageError when the message was authenticated, else only recorded (P8; ebMS 2.0,
//! 4.2; promises-and-threats, 2.3: strangers hear little).

use super::arrival::{ITS_CAUSE_AGAIN, kept, signal_delivery};
use super::audit::{About as _, entry};
use super::decide::{Desk, Inbound};
use super::documents::PartContent;
use super::event::Refused;
use super::ids;
use super::owe::Owed;
use super::step::{Draft, Octets, Reply, ReplyDraft, Step};
use crate::codec::document::{RefusedDocument, write_validation_report};
use crate::codec::envelope::{FaultCode, SoapFault};
use crate::model::{
    Agreement, Delivery, DeliveryId, DeliveryPurpose, Digest, DocumentCode, EbxmlError, ErrorCode, Message,
    MessageHeader, Part, PartSource, PartyKey, SyncReplyMode, role_of_document_code,
};
use crate::msh::message_error;
use crate::security::{RefusalAnswer, Verified};
use crate::store::Versioned;
use crate::telemetry::EventCode;

/// A verified message that is not acceptable: its MessageError is kept as its answer, and nothing else of it is
/// used. What is wrong with its documents is owed besides, as a document (R20) where that is agreed.
pub(super) fn stored(inbound: &Inbound<'_>, errors: Vec<EbxmlError>) -> Step {
    let Inbound { desk, arrival, agreement, key, kept: known } = *inbound;
    let header = &arrival.verified.message().header;
    let reason = told(&errors);
    let mut step = Step::default();
    let id = if known.is_some() { ids::answer_after_hold(key) } else { ids::answer_to(key) };
    let message_id = desk.context.own.message_id(&id);
    let answer = message_error(header, &agreement.own(), message_id, errors, desk.now);
    step.audit.push(entry(desk.now, EventCode::MessageRefused, &reason).of_message(key));
    step.message = Some(kept(inbound, None, false, &reason));
    match known {
        None => step.answer_with(inbound, answer, true),
        Some(_) => step.answer_after_hold(inbound, answer),
    }
    step.report_findings(inbound);
    step
}

impl Step {
    /// An R20 for each faulty document of the message, in one delivery that leaves with the refusal: a MessageError is
    /// for the message service, and the broker's own software wants each position as data.
    fn report_findings(&mut self, inbound: &Inbound<'_>) {
        let Inbound { desk, arrival, key, .. } = *inbound;
        let message = arrival.verified.message();
        let header = &message.header;
        let (registry, service) = (desk.context.registry, &header.service.value);
        let (sender, report) = (&key.sender, VALIDATION_REPORT);
        if registry.agreement_to_send(desk.realm(), sender, service, report, desk.now).is_none() {
            return;
        }
        let (id, domain) = (ids::validation_report(key), &desk.context.own.domain);
        let code = DocumentCode::new(VALIDATION_REPORT).expect("the code is plain text");
        let parts = message.payloads.iter().zip(arrival.documents.parts());
        let faulty = parts.filter_map(|(payload, content)| match content {
            PartContent::Faulty { code, number, findings } => {
                let (number, content_id) = (number.as_deref(), &payload.content_id);
                Some(RefusedDocument { number, code, content_id, findings })
            }
            _ => None,
        });
        let parts: Vec<_> = (1..)
            .zip(faulty)
            .map(|(place, refused)| {
                let text = write_validation_report(&format!("{id}.{place}"), desk.now, refused);
                Part {
                    content_id: ids::content_id_of(&id, place, domain),
                    media_type: "application/xml".into(),
                    role: Some(role_of_document_code(&code).into()),
                    source: PartSource::Made(text.into()),
                }
            })
            .collect();
        if parts.is_empty() {
            return;
        }
        self.owe(
            desk,
            Owed {
                id,
                case: None,
                purpose: DeliveryPurpose::ValidationReport,
                to: &key.sender,
                cpa_id: Some(&inbound.agreement.cpa_id),
                conversation_id: header.conversation_id.clone(),
                ref_to_message_id: Some(header.data.message_id.clone()),
                service,
                action: VALIDATION_REPORT,
                parts,
            },
        );
    }
}

const VALIDATION_REPORT: &str = "GOVCBRR20";

/// Other content under a key that is taken: refused with an alarm; its key stays with the first message.
pub(super) fn conflict(inbound: &Inbound<'_>) -> Step {
    let Inbound { desk, key, .. } = *inbound;
    let error = EbxmlError::new(
        ErrorCode::Inconsistent,
        Some("/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:MessageId".to_owned()),
        "this MessageId was used before, for another message",
    );
    let text = "its MessageId was used before, for another message; nothing of this one was used";
    let mut step = Step::default();
    step.audit.push(entry(desk.now, EventCode::MessageConflict, text).of_message(key).alarm_if(true));
    refuse_by_content(inbound, &mut step, error);
    step
}

/// The same message again, after its answer was purged: the duplicate memory outlives both, so that it is known for what
/// it is, and nothing of it is taken (P3).
pub(super) fn too_late(inbound: &Inbound<'_>) -> Step {
    let Inbound { desk, key, .. } = *inbound;
    let error = EbxmlError::new(
        ErrorCode::TimeToLiveExpired,
        Some("/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:Timestamp".to_owned()),
        "this message came before, longer ago than its answer is kept",
    );
    let mut step = Step::default();
    let text = "it came before, and its answer was purged; nothing changes";
    step.noted.push(entry(desk.now, EventCode::MessageDuplicate, text).of_message(key));
    refuse_by_content(inbound, &mut step, error);
    step
}

/// The answer to a message that is not kept under its key, which is taken: the same message again gets the same.
fn refuse_by_content(inbound: &Inbound<'_>, step: &mut Step, error: EbxmlError) {
    let Inbound { desk, arrival, agreement, key, .. } = *inbound;
    let once = Once {
        known: Some((agreement, &key.sender)),
        id: id_by_content(&arrival.verified),
        before: desk.view.refusal.as_ref(),
        waiting: arrival.waiting,
    };
    step.refuse_once(desk, once, &arrival.verified.message().header, vec![error]);
}

/// What security turned away; which answer it may have is settled there.
pub(super) fn refused(desk: Desk<'_>, refused: &Refused) -> Step {
    let refusal = &refused.refusal;
    let header = refusal.header.as_deref();
    let mut step = Step::default();
    let entry =
        entry(desk.now, EventCode::MessageRefused, refusal.to_string()).of_party(refusal.party.as_ref());
    let message_id = header.map(|header| &header.data.message_id);
    step.audit.push(entry.of_message_id(message_id).alarm_if(refusal.alarm));
    match (&refusal.answer, header) {
        (RefusalAnswer::Http(status), _) => step.reply_if(refused.waiting, Reply::Status(*status)),
        (RefusalAnswer::Fault(fault), _) => step.reply_if(refused.waiting, Reply::Fault(fault.clone())),
        (RefusalAnswer::Errors(errors), Some(header)) => {
            let (service, action) = (&header.service.value, &header.action);
            let agreement = desk.context.registry.agreement_to_receive(&header.cpa_id, service, action);
            let known = refusal.party.as_ref().and_then(|party| {
                agreement.filter(|agreement| agreement.partner == *party).map(|agreement| (agreement, party))
            });
            let id = id_of(refused).unwrap_or_else(|| {
                let stranger = &desk.context.own.key;
                ids::refusal_of(stranger, &header.data.message_id, &refused.body.digest().to_string())
            });
            let before = desk.view.delivery.as_ref();
            let once = Once { known, id, before, waiting: refused.waiting };
            step.refuse_once(desk, once, header, errors.clone());
        }
        (RefusalAnswer::Errors(_), None) => {
            let text = "the message has no header that an error message could answer".to_owned();
            step.reply_if(refused.waiting, Reply::Fault(SoapFault { code: FaultCode::Client, text }));
        }
    }
    step
}

/// The id of the error message for what security turned away, when the party is known and it could be read.
pub(super) fn id_of(refused: &Refused) -> Option<DeliveryId> {
    let (party, header) = (refused.refusal.party.as_ref()?, refused.refusal.header.as_ref()?);
    Some(ids::refusal_of(party, &header.data.message_id, &refused.body.digest().to_string()))
}

/// The id of the answer to a message that is not kept under its key, of what it says: the same message again gets the
/// same answer, another one its own.
pub(super) fn id_by_content(verified: &Verified) -> DeliveryId {
    let content = verified.message().content_digest(verified.is_signed());
    id_of_content(verified.party(), verified.message(), content)
}

/// The same for a message of this party whose content has this digest.
pub(super) fn id_of_content(party: &PartyKey, message: &Message, content: Digest) -> DeliveryId {
    ids::refusal_of(party, &message.header.data.message_id, &content.to_string())
}

/// An answer that no duplicate asks for again: whom it is for, and what went before.
pub(super) struct Once<'a> {
    /// Under which agreement it goes to whom; strangers have none.
    pub(super) known: Option<(&'a Agreement, &'a PartyKey)>,
    /// Its name, should it travel by itself.
    pub(super) id: DeliveryId,
    /// The delivery of that name that was made before.
    pub(super) before: Option<&'a Versioned<Delivery>>,
    /// A requester waits for it.
    pub(super) waiting: bool,
}

impl Step {
    /// A MessageError that no duplicate asks for again.
    pub(super) fn refuse_once(
        &mut self,
        desk: Desk<'_>,
        once: Once<'_>,
        header: &MessageHeader,
        errors: Vec<EbxmlError>,
    ) {
        let own = once.known.map_or_else(|| desk.context.own.party_ref(), |(agreement, _)| agreement.own());
        let answer = message_error(header, &own, desk.context.own.message_id(&once.id), errors, desk.now);
        let signed = once.known.is_some();
        self.answer_once(desk, once, answer, signed);
    }

    /// On the connection, or, to a party whose agreement has syncReplyMode none, as a delivery. The same cause again
    /// sends the same octets again.
    pub(super) fn answer_once(&mut self, desk: Desk<'_>, once: Once<'_>, answer: Message, signed: bool) {
        let Once { known, id, before, waiting } = once;
        let signing = known.filter(|_| signed).map(|(agreement, _)| agreement.signature.own);
        match known {
            Some((agreement, party)) if agreement.sync_reply_mode == SyncReplyMode::None => {
                self.reply_if(waiting, Reply::Empty);
                if let Some(stored) = before.filter(|stored| stored.value.id == id) {
                    return self.rearm(desk, agreement, stored, ITS_CAUSE_AGAIN);
                }
                let delivery = signal_delivery(desk, id, agreement, party.clone(), &answer);
                let draft = Draft { message: answer, signing };
                self.add_delivery(desk, delivery, Octets::Made(Box::new(draft)));
            }
            _ if waiting => {
                self.answer = Some(Draft { message: answer, signing });
                self.reply = ReplyDraft::Answer;
            }
            _ => {}
        }
    }
}

/// Errors in one line for the record.
fn told(errors: &[EbxmlError]) -> String {
    let first = errors.first().map_or("", |error| error.description.as_str());
    let code = errors.first().map_or("", |error| error.code.as_str());
    match errors.len() {
        0 | 1 => format!("{code}: {first}"),
        more => format!("{code}: {first} (and {} more)", more - 1),
    }
}
