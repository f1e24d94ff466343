//! An agency asks a fee for one of its applications (XF1): noted with it, a notice like any other, and relayed (domain
//! brief, 5.5).

use super::arrival::{Decided, Decline, accept};
use super::audit::entry;
use super::decide::Inbound;
use super::documents::at;
use super::find::{Answered, answered};
use super::lodge::subject;
use super::owe::about_case;
use crate::case::{self, FEES_MAX, FeeEffect, IncomingFee, NoticeEffect};
use crate::model::{Document, DocumentCode, ErrorCode};
use crate::routing::EnvelopeRule;
use crate::store::{CaseWrite, CorrelationKey};
use crate::telemetry::EventCode;

/// The Service that fees and payments travel under.
pub(super) const PAYMENT: &str = "Payment";
/// Action of a fee notice.
pub(super) const FEE_NOTICE: &str = "GOVCBRXF1";

pub(super) fn notice(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let (payload, document) = subject(inbound)?;
    let Document::FeeNotice(document) = document else {
        let text = "the first document of this Action is no fee notice";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    let (stored, index, version) = match answered(inbound, Some(&document.application)) {
        Answered::Application(stored, index, version) => (stored, index, version),
        Answered::Nothing => {
            return Err(Decline::Quarantine("a fee for no application we know".to_owned()));
        }
        Answered::Contradiction(reason) => return Err(Decline::Quarantine(reason)),
    };
    let taken =
        || Decline::Quarantine(format!("fee number {} was used before, for something else", document.number));
    let key = CorrelationKey::Fee(inbound.key.sender.clone(), document.number.clone());
    if inbound.desk.view.taken.get(&key).is_some_and(|holder| *holder != stored.value.id) {
        return Err(taken());
    }
    let mut changed = stored.value.clone();
    let application = &mut changed.applications[index];
    let incoming = IncomingFee {
        notice: document,
        code: &DocumentCode::new(FEE_NOTICE).expect("the code is plain text"),
        digest: payload.digest,
        message_id: inbound.key.message_id.clone(),
        received_at: inbound.arrival.received_at,
    };
    let elsewhere = application.fees.iter().all(|fee| fee.number != document.number);
    let how = match case::apply_fee_notice(application, version, incoming) {
        FeeEffect::OtherOctets => return Err(taken()),
        // The agency has used the number for another application of this case.
        FeeEffect::Noted(_) if elsewhere && inbound.desk.view.taken.contains_key(&key) => return Err(taken()),
        FeeEffect::TooMany => {
            let text = format!("application {} has {FEES_MAX} fees, which is the most", document.application);
            return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
        }
        FeeEffect::Repeated => {
            let mut step = accept(inbound, Some(&changed.id));
            let text = format!("fee {} came before; nothing changes", document.number);
            let told = entry(inbound.desk.now, EventCode::ApplicationFee, text);
            step.audit.push(about_case(told, inbound, &changed.id));
            return Ok(step);
        }
        FeeEffect::Noted(NoticeEffect::Superseded) => "; something newer was there",
        FeeEffect::Noted(NoticeEffect::FormerVersion) => {
            "; about a version that was replaced, it is nobody's to pay"
        }
        FeeEffect::Noted(_) => "",
    };
    let (agency, code) = (&application.agency, &application.document);
    let text = format!(
        "{agency} asks {} for {code} {}, fee {}, due {}: {}{how}",
        document.price, document.application, document.number, document.due_by, document.reason
    );
    let told = about_case(entry(inbound.desk.now, EventCode::ApplicationFee, text), inbound, &changed.id);
    case::settle(&mut changed, inbound.desk.now);
    let mut step = accept(inbound, Some(&changed.id));
    step.audit.push(told);
    step.relay(inbound, &changed, &rule.relay);
    let correlations = vec![CorrelationKey::Received(inbound.key.clone()), key];
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}
