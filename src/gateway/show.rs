//! What the command line asks of a running gateway: cases, messages, deliveries, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use tracing::warn;

use super::admin::json_response;
use super::shared::Shared;
use crate::model::{
    Case, CaseId, CaseState, DeliveryId, DeliveryState, MessageId, MessageKey, PartyKey, TimelineEntry,
};
use crate::store::{
    CaseFilter, CorrelationKey, DeliveryFilter, DeliveryLocator, Listing, MessageFilter, Needs, StoreError,
    Versioned,
};
use crate::telemetry::EventCode;
use crate::transport::{Response, StatusCode};

/// Lines of a list when nobody says how many.
const LINES: usize = 100;
/// Lines of a list at most.
const LINES_MAX: usize = 10_000;

/// Answers a question.
pub(super) fn show(shared: &Shared, path: &str, query: Option<&str>) -> Response {
    let query = parameters(query.unwrap_or_default());
    let steps: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let answered = match steps.as_slice() {
        ["cases"] => cases(shared, &query),
        ["cases", key] => {
            case(shared, key).map(|found| found.map(|case| json_response(StatusCode::OK, &case.value)))
        }
        ["cases", key, "timeline"] => timeline(shared, key),
        ["messages"] => messages(shared, &query),
        ["messages", sender, id] => message(shared, sender, id),
        ["deliveries"] => deliveries(shared, &query),
        ["deliveries", id] => delivery(shared, id),
        _ => Ok(None),
    };
    match answered {
        Ok(Some(response)) => response,
        Ok(None) => {
            json_response(StatusCode::NOT_FOUND, &json!({ "error": "there is nothing of that name" }))
        }
        Err(error) => {
            json_response(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() }))
        }
    }
}

type Answered = Result<Option<Response>, StoreError>;

fn cases(shared: &Shared, query: &Query) -> Answered {
    let filter = CaseFilter { state: case_state(query), submitter: party(query, "submitter") };
    Ok(Some(list(shared.store.cases(&filter, limit(query))?)))
}

/// A case by its id, its declaration number or the number of one of its applications.
fn case(shared: &Shared, key: &str) -> Result<Option<Versioned<Case>>, StoreError> {
    let by_id = CaseId::new(key).ok().map(CorrelationKey::Case);
    let numbers = [CorrelationKey::Declaration(key.into()), CorrelationKey::Application(key.into())];
    for key in by_id.into_iter().chain(numbers) {
        if let Some(found) = shared.store.case(&key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn timeline(shared: &Shared, key: &str) -> Answered {
    let Some(found) = case(shared, key)? else { return Ok(None) };
    let listing = shared.store.timeline(&found.value.id)?;
    let entries: Vec<TimelineEntry> = listing.items.into_iter().map(|entry| entry.entry).collect();
    Ok(Some(list(Listing { items: entries, damaged: listing.damaged })))
}

fn messages(shared: &Shared, query: &Query) -> Answered {
    let flag = |name: &str| query.get(name).map(|text| text == "true");
    let filter = MessageFilter {
        sender: party(query, "sender"),
        case: query.get("case").and_then(|text| CaseId::new(text.as_str()).ok()),
        accepted: flag("accepted"),
        quarantined: flag("quarantined"),
    };
    Ok(Some(list(shared.store.messages(&filter, limit(query))?)))
}

fn message(shared: &Shared, sender: &str, id: &str) -> Answered {
    let (Ok(sender), Ok(message_id)) = (PartyKey::new(sender), MessageId::new(id)) else { return Ok(None) };
    let needs = Needs { message: Some(MessageKey { sender, message_id }), ..Needs::default() };
    Ok(shared.store.load(&needs)?.message.map(|known| {
        let answer = known.response.map(|sealed| {
            json!({ "content_type": sealed.content_type, "text": String::from_utf8_lossy(&sealed.body) })
        });
        json_response(StatusCode::OK, &json!({ "message": known.record, "answer": answer }))
    }))
}

fn deliveries(shared: &Shared, query: &Query) -> Answered {
    let filter = DeliveryFilter {
        case: query.get("case").and_then(|text| CaseId::new(text.as_str()).ok()),
        destination: party(query, "destination"),
        state: query
            .get("state")
            .and_then(|text| DeliveryState::ALL.into_iter().find(|state| state.as_str() == text)),
    };
    Ok(Some(list(shared.store.deliveries(&filter, limit(query))?)))
}

fn delivery(shared: &Shared, id: &str) -> Answered {
    let Ok(id) = DeliveryId::new(id) else { return Ok(None) };
    let needs = Needs { delivery: Some(DeliveryLocator::Id(id)), ..Needs::default() };
    Ok(shared.store.load(&needs)?.delivery.map(|found| json_response(StatusCode::OK, &found.value)))
}

/// A list as JSON; what is damaged is told in the log, and hides nothing else (P12).
fn list<T: Serialize>(listing: Listing<T>) -> Response {
    for damage in &listing.damaged {
        warn!(event = EventCode::StoreUnreadable.code(), reason = %damage, "a record is left out of a list");
    }
    json_response(StatusCode::OK, &listing.items)
}

type Query = BTreeMap<String, String>;

fn limit(query: &Query) -> usize {
    query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(LINES).min(LINES_MAX)
}

fn party(query: &Query, name: &str) -> Option<PartyKey> {
    query.get(name).and_then(|text| PartyKey::new(text.as_str()).ok())
}

fn case_state(query: &Query) -> Option<CaseState> {
    const STATES: [CaseState; 6] = [
        CaseState::Collecting,
        CaseState::Ready,
        CaseState::Blocked,
        CaseState::Cleared,
        CaseState::Dismissed,
        CaseState::ResultOnly,
    ];
    query.get("state").and_then(|text| STATES.into_iter().find(|state| state.as_str() == text))
}

fn parameters(query: &str) -> Query {
    let pair = |text: &str| text.split_once('=').map(|(name, value)| (decoded(name), decoded(value)));
    query.split('&').filter_map(pair).collect()
}

/// Percent-decoding (RFC 3986, 2.1); what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded() {
        assert_eq!(decoded("a%40b%2Fc%"), "a@b/c%");
        let query = parameters("state=cleared&submitter=BR%31&x");
        assert_eq!(case_state(&query), Some(CaseState::Cleared));
        assert_eq!(party(&query, "submitter"), PartyKey::new("BR1").ok());
        assert_eq!(limit(&query), LINES);
    }
}
