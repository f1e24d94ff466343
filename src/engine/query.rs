//! What a partner asks (XS1): where a case stands, what goods need, a message once more, figures of its own. Accepted
//! like every message, and answered by a delivery (domain brief, 5.3 and 6).
//!
//! Only a party of a case hears of it, an agency of its own applications alone; to anybody else a case that there is
//! and one that there is not are the same.

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::decide::Inbound;
use super::documents::at;
use super::ids;
use super::lodge::subject;
use super::owe::{Owed, STATUS, STATUS_REPORT};
use super::step::Step;
use crate::case;
use crate::codec::document::{write_query_answer, write_status_report};
use crate::model::{
    Asked, Case, CaseId, Delivery, DeliveryPurpose, Document, DocumentCode, ErrorCode, Part, PartSource,
    PartyKey, PartyKind, Payload, Query, QueryAnswer, ReportedEvent, RequirementAnswer, TimelineEntry,
    derive_id, role_of_document_code,
};
use crate::routing::{LookupQuery, LookupRow};
use crate::store::Versioned;
use crate::telemetry::EventCode;

const QUERY_ANSWER: &str = "GOVCBRXS3";

/// What explains a case to a party of it: steps of the case, not how our deliveries fare.
const EXPLAINING: [&str; 9] = [
    "case.",
    "application.",
    "result.",
    "customs.",
    "deadline.reminded",
    "deadline.passed",
    "payment.ordered",
    "payment.paid",
    "payment.refused",
];

pub(super) fn query(inbound: &Inbound<'_>) -> Decided {
    let (payload, document) = subject(inbound)?;
    let Document::Query(query) = document else {
        let text = "the first document of this Action is no query";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    match &query.asks {
        Asked::Status(key) => status(inbound, payload, query, key),
        Asked::Requirements { hs, origin, usage, at } => {
            let at = at.unwrap_or(inbound.desk.now);
            let goods = LookupQuery { hs: *hs, origin: *origin, usage: usage.clone(), at };
            let rows = inbound.desk.context.rules.lookup(&goods);
            let requirements = rows.into_iter().map(requirement).collect();
            Ok(answered(inbound, query, |answer| QueryAnswer { requirements, ..answer }))
        }
        Asked::Redelivery(message_id) => again(inbound, payload, message_id.as_str()),
        Asked::Statistics(_) => {
            let statistics = inbound.desk.view.statistics.clone().map(|statistics| statistics.rows());
            let statistics = statistics.unwrap_or_default();
            Ok(answered(inbound, query, |answer| QueryAnswer { statistics, ..answer }))
        }
    }
}

fn status(inbound: &Inbound<'_>, payload: &Payload, query: &Query, key: &str) -> Decided {
    let asker = &inbound.key.sender;
    let is_customs =
        inbound.desk.context.registry.party(asker).is_some_and(|party| party.kind == PartyKind::Customs);
    let named = inbound.desk.view.named.iter().find_map(|(case, timeline)| {
        let sees_all = case.submitter.as_ref() == Some(asker) || (is_customs && case.declaration.is_some());
        let has_part = case.applications.iter().any(|application| application.party == *asker);
        (sees_all || has_part).then_some((case, timeline, sees_all))
    });
    let Some((case, timeline, sees_all)) = named else {
        let text = format!("no case of yours is known by {key}");
        return Err(Decline::refuse(ErrorCode::ValueNotRecognized, at(payload), text));
    };
    let mut report = case::status_answer(case, number_of(inbound), inbound.desk.now);
    let explains = |entry: &&TimelineEntry| {
        EXPLAINING.iter().any(|prefix| entry.event.starts_with(prefix))
            && (sees_all || entry.party.as_ref() == Some(asker))
    };
    let told = |entry: &TimelineEntry| ReportedEvent {
        at: entry.at,
        event: entry.event.clone(),
        text: entry.text.as_str().into(),
    };
    report.timeline = timeline.iter().filter(explains).map(told).collect();
    if !sees_all {
        report.applications = case::status_rows(case, |application| application.party == *asker);
        report.claims.clear();
    }
    let mut step = accept(inbound, Some(&case.id));
    step.told_asker(inbound, Some(case), format!("it asked by {key} where the case stands"));
    let text = write_status_report(&report);
    step.answer_query(inbound, query, Some(&case.id), STATUS_REPORT, text);
    Ok(step)
}

fn requirement(row: LookupRow) -> RequirementAnswer {
    let partly = row.partly.then(|| "it is for some of these goods only".to_owned());
    let exceptions = row.exceptions.into_iter().map(|exception| {
        let conditions = exception.conditions.join(", ");
        let when = if conditions.is_empty() { String::new() } else { format!(" when {conditions}") };
        format!("not needed{when}: {}", exception.reason)
    });
    let conditions = partly.into_iter().chain(row.conditions).chain(exceptions).map(Into::into).collect();
    RequirementAnswer {
        law: row.law,
        agency: row.agency,
        application: row.application,
        result: row.result,
        rule: row.rule,
        conditions,
    }
}

fn answered(inbound: &Inbound<'_>, query: &Query, fill: impl FnOnce(QueryAnswer) -> QueryAnswer) -> Step {
    let answer = fill(QueryAnswer {
        number: number_of(inbound).into(),
        issued_at: inbound.desk.now,
        query: query.number.clone(),
        requirements: Vec::new(),
        statistics: Vec::new(),
    });
    let mut step = accept(inbound, None);
    let rows = answer.requirements.len() + answer.statistics.len();
    step.told_asker(inbound, None, format!("query {} is answered with {rows} row(s)", query.number));
    step.answer_query(inbound, query, None, QUERY_ANSWER, write_query_answer(&answer));
    step
}

/// The delivery itself is the answer.
fn again(inbound: &Inbound<'_>, payload: &Payload, message_id: &str) -> Decided {
    let refuse = |why: String| Decline::refuse(ErrorCode::ValueNotRecognized, at(payload), why);
    let desk = inbound.desk;
    // Of the other realm nothing is given out, unless it went under the very agreement that it is asked for under.
    let is_at_hand = |stored: &&Versioned<Delivery>| {
        stored.value.realm == desk.realm() || stored.value.cpa_id == inbound.agreement.cpa_id
    };
    let Some(stored) = desk.view.wanted.as_ref().filter(is_at_hand) else {
        return Err(refuse(format!("nothing was sent to you under MessageId {message_id}")));
    };
    let mut step = accept(inbound, stored.value.case.as_ref());
    let sent = step.send_again(desk, stored, "its destination asked for it");
    sent.map(|()| step).map_err(|why| refuse(format!("{message_id}: {why}")))
}

impl Step {
    fn told_asker(&mut self, inbound: &Inbound<'_>, case: Option<&Case>, text: String) {
        let entry = entry(inbound.desk.now, EventCode::QueryAnswered, text).of_message(inbound.key);
        self.audit.push(case.map_or(entry.clone(), |case| entry.of_case(&case.id)));
    }

    /// Owes the answer to whoever asked, in the conversation of the query.
    fn answer_query(
        &mut self,
        inbound: &Inbound<'_>,
        query: &Query,
        case: Option<&CaseId>,
        action: &str,
        document: String,
    ) {
        let (desk, asker): (_, &PartyKey) = (inbound.desk, &inbound.key.sender);
        let code = DocumentCode::new(action).expect("the code is plain text");
        let id = ids::answer_to_query(inbound.key, &query.number);
        let part = Part {
            content_id: ids::content_id(&id, &desk.context.own.domain),
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&code).into()),
            source: PartSource::Made(document.into()),
        };
        let owed = Owed {
            id,
            case,
            purpose: DeliveryPurpose::StatusReport,
            to: asker,
            cpa_id: Some(&inbound.agreement.cpa_id),
            conversation_id: inbound.arrival.verified.message().header.conversation_id.clone(),
            ref_to_message_id: Some(inbound.key.message_id.clone()),
            service: STATUS,
            action,
            parts: vec![part],
        };
        self.owe(desk, owed);
    }
}

/// A number for the answer that follows from the query's message.
fn number_of(inbound: &Inbound<'_>) -> String {
    derive_id(&["query", inbound.key.sender.as_str(), inbound.key.message_id.as_str()])
}
