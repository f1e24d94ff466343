//! The inbox of a hosted agency over the API: its officers look and act. Who may do what, and on which version, is
//! decided by `engine`; an act goes in as the message that a connected agency would have posted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admin::json_response;
use super::api;
use super::driver::{DriveError, compute};
use super::receive::{Received, turned_away};
use super::send::content;
use super::shared::{InForce, Shared, now};
use super::show::{Query, Unanswered, list as listed};
use crate::case::{shown_state, version_of};
use crate::codec::xml::XmlLimits;
use crate::engine::{Event, How, Told, compose_act, needs_of_act, parts_of};
use crate::model::{
    Act, Application, ApplicationState, Case, CaseState, Delivery, DeliveryId, Officer, OfficerAct, PartyKey,
    Payload, Realm, Timestamp,
};
use crate::security::{Origin, seal};
use crate::store::{CaseFilter, CorrelationKey, DeliveryFilter, DeliveryLocator, Listing, Needs};
use crate::transport::{Request, Response, StatusCode};

/// Deliveries of a case that are looked through for documents.
const DELIVERIES_MAX: usize = 10_000;

/// An application in one line of the list.
#[derive(Debug, Serialize)]
struct Line {
    application: Arc<str>,
    document: String,
    declaration: Option<Arc<str>>,
    state: ApplicationState,
    officer: Option<Arc<str>>,
    version: String,
    items: usize,
    lodged_at: Timestamp,
    decide_by: Option<Timestamp>,
}

/// What an officer looks at: the list, one application, one of its parts.
pub(super) fn look(shared: &Shared, by: &Officer, steps: &[String], query: Option<&str>) -> Response {
    let mut query = Query::of(query.unwrap_or_default());
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let looked = match steps.as_slice() {
        [] => list(shared, by, &mut query),
        [number] => show(shared, by, number),
        [number, "parts", delivery, part] => octets(shared, by, number, delivery, part),
        _ => Err(Unanswered::Nothing),
    };
    let (how, says) = match looked.and_then(|response| query.finish().map(|()| response)) {
        Ok(response) => return response,
        Err(why @ Unanswered::Wrong(_)) => (How::Refused, why.to_string()),
        Err(why @ Unanswered::Nothing) => (How::Nothing, why.to_string()),
        Err(why @ (Unanswered::Unreadable(_) | Unanswered::Failed(_))) => {
            return json_response(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "says": why.to_string() }));
        }
    };
    api::told(&Told::new(how, says))
}

/// The open applications of the agency, newest case first; with `all=true` those that are decided too.
fn list(shared: &Shared, by: &Officer, query: &mut Query) -> Result<Response, Unanswered> {
    let (limit, all) = (query.limit()?, query.flag("all")?.unwrap_or(false));
    let mut listing = Listing::default();
    for state in [
        CaseState::Collecting,
        CaseState::Ready,
        CaseState::Blocked,
        CaseState::Cleared,
        CaseState::Dismissed,
    ] {
        if !all && matches!(state, CaseState::Cleared | CaseState::Dismissed) {
            continue;
        }
        let agency = Some(by.agency.clone());
        let filter = CaseFilter { state: Some(state), agency, undecided: !all, ..CaseFilter::default() };
        let found = shared.store.cases(&filter, limit)?;
        listing.damaged.extend(found.damaged);
        for summary in found.items {
            let Some(case) = shared.store.case(Realm::Production, &CorrelationKey::Case(summary.id))? else {
                continue;
            };
            let is_open = |a: &&Application| all || !matches!(a.state, ApplicationState::Decided(_));
            let case = &case.value;
            let own = applications(case, &by.agency).filter(is_open);
            listing.items.extend(own.filter_map(|application| Line::of(case, application)));
        }
    }
    listing.items.sort_by_key(|line| std::cmp::Reverse(line.lodged_at));
    listing.items.truncate(limit);
    Ok(listed(listing))
}

impl Line {
    fn of(case: &Case, application: &Application) -> Option<Self> {
        Some(Self {
            application: application.number.clone()?,
            document: application.document.to_string(),
            declaration: case.declaration.clone(),
            state: application.state,
            officer: application.officer.clone(),
            version: version_of(application),
            items: application.items.len(),
            lodged_at: case.opened_at,
            decide_by: application.decide_by,
        })
    }
}

fn applications<'a>(case: &'a Case, agency: &'a PartyKey) -> impl Iterator<Item = &'a Application> {
    case.applications
        .iter()
        .filter(|application| application.party == *agency && application.number.is_some())
}

/// One application: what is known of it, and every document that the agency has got for it.
fn show(shared: &Shared, by: &Officer, number: &str) -> Result<Response, Unanswered> {
    let (case, application, deliveries) = found(shared, by, number)?;
    let carries = |delivery: &&Delivery| application.sent_as.as_ref() == Some(&delivery.message_id);
    let state = shown_state(&application, deliveries.iter().find(carries));
    let mut documents = Vec::new();
    for delivery in &deliveries {
        for (place, payload) in (1..).zip(parts(shared, &delivery.id)?) {
            let is_text = payload.media_type.ends_with("xml");
            let octets = is_text.then(|| payload.body.read(XmlLimits::DOCUMENT.bytes_max).ok()).flatten();
            let text = octets.as_ref().and_then(|octets| std::str::from_utf8(octets).ok());
            documents.push(json!({
                "part": format!("{}/{place}", delivery.id), "action": delivery.action, "came": delivery.created_at,
                "name": payload.content_id, "media_type": payload.media_type, "bytes": payload.body.bytes(),
                "text": text,
            }));
        }
    }
    let version = version_of(&application);
    let mut record = serde_json::to_value(&application).unwrap_or_default();
    if let Value::Object(fields) = &mut record {
        fields.insert("state".to_owned(), serde_json::to_value(state).unwrap_or_default());
    }
    let told = json!({
        "version": version, "declaration": case.declaration, "lodged_at": case.opened_at, "case_state": case.state,
        "application": record, "documents": documents,
    });
    Ok(json_response(StatusCode::OK, &told))
}

/// One part, octet for octet.
fn octets(
    shared: &Shared,
    by: &Officer,
    number: &str,
    delivery: &str,
    part: &str,
) -> Result<Response, Unanswered> {
    let (_, _, deliveries) = found(shared, by, number)?;
    let place = part.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
    let delivery = deliveries.iter().find(|known| known.id.as_str() == delivery);
    let (Some(delivery), Some(place)) = (delivery, place) else { return Err(Unanswered::Nothing) };
    let payload = parts(shared, &delivery.id)?.into_iter().nth(place).ok_or(Unanswered::Nothing)?;
    Ok(Response::new(StatusCode::OK, &*payload.media_type, content(&payload.body)))
}

/// An application of the officer's agency, its case, and what the agency got for it.
fn found(
    shared: &Shared,
    by: &Officer,
    number: &str,
) -> Result<(Case, Application, Vec<Delivery>), Unanswered> {
    // Officers work in production: in practice somebody else plays their agency.
    let key = CorrelationKey::Application(number.into());
    let case = shared.store.case(Realm::Production, &key)?.ok_or(Unanswered::Nothing)?.value;
    let is_it = |application: &&Application| application.number.as_deref() == Some(number);
    let application = applications(&case, &by.agency).find(is_it).cloned().ok_or(Unanswered::Nothing)?;
    let (case_id, destination) = (Some(case.id.clone()), Some(by.agency.clone()));
    let filter = DeliveryFilter { case: case_id, destination, ..DeliveryFilter::default() };
    let mut deliveries = shared.store.deliveries(&filter, DELIVERIES_MAX)?.items;
    deliveries.retain(|delivery| delivery.conversation_id.as_str() == number);
    Ok((case, application, deliveries))
}

fn parts(shared: &Shared, delivery: &DeliveryId) -> Result<Vec<Payload>, Unanswered> {
    let delivery = Some(DeliveryLocator::Id(delivery.clone()));
    let view = shared.store.load(&Needs { delivery, parts_of_delivery: true, ..Needs::default() })?;
    parts_of(&view).map_err(Unanswered::Wrong)
}

/// The body of an act.
#[derive(Debug, Deserialize)]
struct Body {
    version: Arc<str>,
    #[serde(flatten)]
    act: Act,
}

/// An act: composed, sealed with the agency's key, opened like what is posted, and driven.
pub(super) async fn act(shared: Arc<Shared>, by: Officer, number: &str, request: &Request) -> Response {
    let Body { version, act } = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return api::told(&Told::new(How::Refused, format!("the body is no act: {error}"))),
    };
    let act = OfficerAct { by, application: number.into(), version, act };
    let _begun = shared.under_way.begin();
    let written = compute(&shared, move |shared, in_force| write(shared, in_force, act)).await;
    match written.and_then(|written| written) {
        Ok(Written::Event(event)) => api::act(shared, *event).await,
        Ok(Written::Told(told)) => api::told(&told),
        Err(error) => {
            let answer = turned_away(&shared, &error);
            answer.unwrap_or_else(|| Response::empty(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

enum Written {
    Event(Box<Event>),
    Told(Told),
}

fn write(shared: &Shared, in_force: &InForce, act: OfficerAct) -> Result<Written, DriveError> {
    let now = now();
    let schedule = in_force.schedule.load();
    let context = in_force.context(schedule.rules(now));
    let view = shared.store.load(&needs_of_act(&act))?;
    let message = match compose_act(now, &act, &view, &context, &in_force.catalogue) {
        Ok(message) => message,
        Err(told) => return Ok(Written::Told(told)),
    };
    let agreement = context.registry.agreement(&message.header.cpa_id);
    let keys = in_force.hosted.get(&act.by.agency);
    let signer = keys.zip(agreement).and_then(|(keys, agreement)| keys.strict_signer(&agreement.signature));
    let Some(signer) = signer else {
        let text = format!("there is no key of {} any more that its agreement accepts", act.by.agency);
        return Ok(Written::Told(Told::new(How::Refused, text)));
    };
    let sealed = seal(&message, Some(signer))?;
    let received = Received {
        content_type: sealed.content_type,
        body: sealed.body,
        origin: Origin::Inbox(act.by.agency.clone()),
        received_at: now,
        waiting: true,
        other_soap_action: false,
    };
    Ok(match received.open(in_force) {
        Event::Arrived(arrival) => Written::Event(Box::new(Event::Acted { arrival, act })),
        other => Written::Event(Box::new(other)),
    })
}
