//! A service notice of the operator goes to some partners or to all, as a signed delivery each (INF; domain brief, 6: a
//! visible service status).

use super::audit::entry;
use super::decide::Desk;
use super::event::Announcement;
use super::ids;
use super::owe::{Owed, STATUS, name_of};
use super::step::{How, Reply, ReplyDraft, Step, Told};
use crate::codec::document::write_system_notice;
use crate::model::{
    ConversationId, DeliveryPurpose, DocumentCode, Part, PartSource, PartyKey, SystemNotice,
    role_of_document_code,
};
use crate::telemetry::EventCode;

const SYSTEM_NOTICE: &str = "GOVCBRINF";

pub(super) fn announce(desk: Desk<'_>, announcement: &Announcement) -> Step {
    let registry = desk.context.registry;
    let may_hear = |party: &PartyKey| {
        registry.agreement_to_send(desk.realm(), party, STATUS, SYSTEM_NOTICE, desk.now).is_some()
    };
    let named = announcement.to.iter().filter(|party| !may_hear(party)).map(PartyKey::as_str);
    let unreachable: Vec<_> = named.collect();
    if !unreachable.is_empty() {
        let who = unreachable.join(", ");
        let why = format!("no agreement lets {STATUS} {SYSTEM_NOTICE} go to {who}; nobody was told");
        return answered(Told::new(How::Conflict, why));
    }
    let all: Vec<_> = registry.parties().map(|party| party.key.clone()).filter(|key| may_hear(key)).collect();
    let to = if announcement.to.is_empty() { &all } else { &announcement.to };
    if to.is_empty() {
        let why = format!("no agreement lets {STATUS} {SYSTEM_NOTICE} go to anybody");
        return answered(Told::new(How::Conflict, why));
    }
    let names: Vec<_> = to.iter().map(|party| name_of(desk, party).to_string()).collect();
    let Announcement { number, text, by, reason, .. } = announcement;
    let told = format!("{by}: {reason}; notice {number} to {}: {text}", names.join(", "));
    let text = format!("notice {number} goes to {}", names.join(", "));
    let mut step = answered(Told::new(How::Done, text));
    step.audit.push(entry(desk.now, EventCode::NoticeSent, told));
    for party in to {
        step.owe_notice(desk, announcement, party);
    }
    step
}

fn answered(told: Told) -> Step {
    Step { reply: ReplyDraft::Ready(Reply::Told(told)), ..Step::default() }
}

impl Step {
    fn owe_notice(&mut self, desk: Desk<'_>, announcement: &Announcement, party: &PartyKey) {
        let code = DocumentCode::new(SYSTEM_NOTICE).expect("the code is plain text");
        let id = ids::notice(&announcement.number, party);
        let notice = SystemNotice {
            number: announcement.number.clone(),
            issued_at: desk.now,
            text: announcement.text.clone(),
        };
        let part = Part {
            content_id: ids::content_id(&id, &desk.context.own.domain),
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&code).into()),
            source: PartSource::Made(write_system_notice(&notice).into()),
        };
        self.owe(
            desk,
            Owed {
                conversation_id: ConversationId::new(announcement.number.clone())
                    .expect("the shell numbers notices in plain text"),
                id,
                case: None,
                purpose: DeliveryPurpose::Announcement,
                to: party,
                cpa_id: None,
                ref_to_message_id: None,
                service: STATUS,
                action: SYSTEM_NOTICE,
                parts: vec![part],
            },
        );
    }
}
