//! A notice of customs: relayed to the applicant; cleared and dismissed end the case (domain brief, 5.4; ruling
//! 24).

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::decide::Inbound;
use super::documents::at;
use super::lodge::subject;
use super::owe::about_case;
use crate::case::{self, CustomsEffect};
use crate::model::{Document, ErrorCode};
use crate::routing::EnvelopeRule;
use crate::store::{CaseWrite, CorrelationKey};
use crate::telemetry::EventCode;

pub(super) fn notice(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let (payload, document) = subject(inbound)?;
    let Document::Customs(document) = document else {
        let text = "the first document of this Action is no notice of customs";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    let Some(stored) = &inbound.desk.view.case else {
        let reason = format!("a notice about declaration {}, which nobody lodged here", document.declaration);
        return Err(Decline::Quarantine(reason));
    };
    let mut changed = stored.value.clone();
    let effect = case::apply_customs_notice(&mut changed, document);
    let (how, alarm) = match effect {
        CustomsEffect::Cleared { early: false } => ("; the case is cleared", false),
        CustomsEffect::Cleared { early: true } => ("; the case is cleared although it was not ready", true),
        CustomsEffect::Dismissed => ("; the declaration is dismissed", false),
        CustomsEffect::Noted => ("", false),
        CustomsEffect::Refuses => ("; it refuses what took force here when it was accepted", true),
        CustomsEffect::Contradicts => ("; it contradicts the end that the case had before", true),
    };
    let status = document.status.as_deref().map(|status| format!(" {status}")).unwrap_or_default();
    let remarks = document.remarks.as_deref().map(|remarks| format!(" ({remarks})")).unwrap_or_default();
    let text = format!("{}{status}{remarks}{how}", document.code);
    let told = entry(inbound.desk.now, EventCode::CustomsNotice, text).alarm_if(alarm);
    let mut step = accept(inbound, Some(&changed.id));
    step.audit.push(about_case(told, inbound, &changed.id));
    step.relay(inbound, &changed, &rule.relay);
    let correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}
