//! A broker withdraws a declaration (5BF): it takes force at once, customs gets the document, and every agency that
//! has not decided is asked to cancel (domain brief, 5.3; rulings 21, 23, 24).

use super::arrival::{Decided, Decline, accept};
use super::audit::entry;
use super::cancel::Cause;
use super::decide::Inbound;
use super::documents::at;
use super::enclose::alone;
use super::lodge::subject;
use super::owe::about_case;
use crate::case::{self, ReportEvent};
use crate::codec::catalogue::Catalogue;
use crate::model::{Case, DeclarationChange, Document, ErrorCode, Payload, Withdrawal};
use crate::routing::{Addressee, EnvelopeRule};
use crate::store::{CaseWrite, CorrelationKey, Versioned};
use crate::telemetry::EventCode;

pub(super) fn withdraw(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let desk = inbound.desk;
    let (payload, document) = subject(inbound)?;
    let Document::Change(DeclarationChange {
        reason: Some(reason),
        number,
        declaration,
        issued_at,
        text,
        ..
    }) = document
    else {
        let text = "the first document of this Action is no withdrawal of a declaration";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    alone(inbound)?;
    let stored = own_case(inbound, payload, declaration)?;
    let mut changed = stored.value.clone();
    let withdrawal =
        Withdrawal { key: inbound.key.clone(), number: number.clone(), reason: reason.clone(), at: desk.now };
    let outstanding = case::withdraw(&mut changed, withdrawal)
        .map_err(|fault| Decline::refuse(ErrorCode::Inconsistent, at(payload), fault.to_string()))?;
    let mut step = accept(inbound, Some(&changed.id));
    let meaning = Catalogue::built_in()
        .code_lists()
        .get("withdrawal-reason")
        .and_then(|list| list.meaning(reason))
        .unwrap_or_default();
    let words = text.as_deref().unwrap_or(meaning);
    let told = format!("declaration {declaration} is withdrawn, reason {reason}: {words}");
    step.audit.push(about_case(entry(desk.now, EventCode::CaseWithdrawn, told), inbound, &changed.id));
    step.relay(inbound, &changed, &rule.relay);
    let reason = format!("declaration {declaration} is withdrawn: {words}");
    let cause = Cause { key: inbound.key, issued_at: *issued_at, reason: &reason };
    let mut correlations = vec![CorrelationKey::Received(inbound.key.clone())];
    for index in outstanding {
        correlations.extend(step.ask_to_cancel(inbound, &mut changed, index, &cause));
    }
    step.report(desk, &changed, ReportEvent::Withdrawn, Addressee::Applicant);
    step.case = Some(CaseWrite { case: changed, based_on: Some(stored.version), correlations });
    Ok(step)
}

/// The sender's case of a declaration. One answer for a number that nobody lodged and for another broker's: who
/// asks about a stranger's declaration learns nothing.
pub(super) fn own_case<'a>(
    inbound: &Inbound<'a>,
    payload: &Payload,
    declaration: &str,
) -> Result<&'a Versioned<Case>, Decline> {
    let own = |stored: &&Versioned<Case>| stored.value.submitter.as_ref() == Some(&inbound.key.sender);
    inbound.desk.view.case.as_ref().filter(own).ok_or_else(|| {
        let text = format!("you have lodged no declaration {declaration} here");
        Decline::refuse(ErrorCode::Inconsistent, at(payload), text)
    })
}
