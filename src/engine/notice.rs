//! A notice of an agency: it moves the application unless a newer one or a result was there, and is relayed
//! (domain brief, 5.2).

use super::arrival::{Decided, Decline, accept};
use super::audit::entry;
use super::decide::Inbound;
use super::documents::at;
use super::find::{Answered, answered};
use super::lodge::subject;
use super::owe::about_case;
use crate::case::{self, NoticeEffect};
use crate::model::{Document, ErrorCode, NoticeDocument};
use crate::routing::EnvelopeRule;
use crate::store::{CaseWrite, CorrelationKey};
use crate::telemetry::EventCode;

pub(super) fn notice(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let (payload, document) = subject(inbound)?;
    let Document::Notice(document) = document else {
        let text = "the first document of this Action is no notice of an agency";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    let (stored, index, version) = match answered(inbound, document.application.as_ref()) {
        Answered::Application(stored, index, version) => (stored, index, version),
        Answered::Nothing => {
            return Err(Decline::Quarantine("a notice about no application we know".to_owned()));
        }
        Answered::Contradiction(reason) => return Err(Decline::Quarantine(reason)),
    };
    let mut changed = stored.value.clone();
    let message_id = inbound.key.message_id.clone();
    let application = &mut changed.applications[index];
    let effect = case::apply_notice(application, version, document, message_id, inbound.arrival.received_at);
    let how = match effect {
        NoticeEffect::Moved => "",
        NoticeEffect::Superseded => "; something newer was there, nothing changes",
        NoticeEffect::Information => "; for information",
        NoticeEffect::CancellationRefused => "; the agency does not cancel it",
        NoticeEffect::FormerVersion => "; about a version that was replaced, nothing changes",
    };
    let number = application.number.as_deref().unwrap_or_default();
    let text =
        format!("{} on {} {number}: {}{how}", application.agency, application.document, told(document));
    let moved = about_case(entry(inbound.desk.now, EventCode::ApplicationNotice, text), inbound, &changed.id);
    case::settle(&mut changed, inbound.desk.now);
    let mut step = accept(inbound, Some(&changed.id));
    step.audit.push(moved);
    step.relay(inbound, &changed, &rule.relay);
    let correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

fn told(document: &NoticeDocument) -> String {
    match &document.remarks {
        Some(remarks) => format!("{} ({remarks})", document.notice.as_str()),
        None => document.notice.as_str().to_owned(),
    }
}
