//! What the command line asks of a running gateway: cases, messages, deliveries, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::warn;

use super::admin::json_response;
use super::payments::in_hand;
use super::shared::Shared;
use super::{evidence, rules, scrub, statistics};
use crate::case::shown_state;
use crate::model::{
    Case, Delivery, DeliveryId, DeliveryState, MessageId, MessageKey, Party, PartyKey, Realm, TimelineEntry,
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
    let mut query = Query::of(query.unwrap_or_default());
    let steps: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let answered = match steps.as_slice() {
        ["cases"] => cases(shared, &mut query),
        ["cases", key] => whole_case(shared, key, &mut query),
        ["cases", key, "timeline"] => timeline(shared, key, &mut query),
        ["audit"] => audit(shared, &mut query),
        ["approvals", number] => approvals(shared, number, &mut query),
        ["messages"] => messages(shared, &mut query),
        ["messages", sender, id] => message(shared, sender, id),
        ["messages", party, id, "evidence"] => evidence::answer(shared, party, id),
        ["deliveries"] => deliveries(shared, &mut query),
        ["deliveries", id] => delivery(shared, id),
        ["conversations"] => conversations(shared, &mut query),
        ["payments"] => payments(shared, &mut query),
        ["parties"] => Ok(parties(shared)),
        ["statistics"] => statistics::statistics(shared, &mut query),
        ["store", "held"] => held(shared, &mut query),
        ["store", "scrub"] => Ok(scrub::show(shared)),
        ["rules"] => Ok(rules::history(shared)),
        ["rules", digest] => rules::show(shared, digest),
        _ => Err(Unanswered::Nothing),
    };
    let (status, told) = match answered.and_then(|response| query.finish().map(|()| response)) {
        Ok(response) => return response,
        Err(why @ Unanswered::Wrong(_)) => (StatusCode::BAD_REQUEST, why.to_string()),
        Err(why @ Unanswered::Nothing) => (StatusCode::NOT_FOUND, why.to_string()),
        Err(why @ (Unanswered::Unreadable(_) | Unanswered::Failed(_))) => {
            (StatusCode::INTERNAL_SERVER_ERROR, why.to_string())
        }
    };
    json_response(status, &json!({ "error": told }))
}

type Answered = Result<Response, Unanswered>;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It asks for what there cannot be.
    #[error("{0}")]
    Wrong(String),
    /// There is nothing of that name.
    #[error("there is nothing of that name")]
    Nothing,
    /// A record cannot be read.
    #[error(transparent)]
    Unreadable(StoreError),
    /// It cannot be told for another reason.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for Unanswered {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error)
    }
}

fn cases(shared: &Shared, query: &mut Query) -> Answered {
    let filter = CaseFilter {
        realm: query.realm()?,
        state: query.take("state")?,
        submitter: query.take("submitter")?,
        agency: query.take("agency")?,
        undecided: false,
    };
    Ok(list(shared.store.cases(&filter, query.limit()?)?))
}

/// A case with the states that are shown: receipts do not write the case, they are read off its deliveries.
fn whole_case(shared: &Shared, key: &str, query: &mut Query) -> Answered {
    let mut case = case(shared, query.realm()?, key)?.value;
    let filter = DeliveryFilter { case: Some(case.id.clone()), ..DeliveryFilter::default() };
    let deliveries = shared.store.deliveries(&filter, LINES_MAX)?.items;
    for application in &mut case.applications {
        let carries = |delivery: &&Delivery| application.sent_as.as_ref() == Some(&delivery.message_id);
        application.state = shown_state(application, deliveries.iter().find(carries));
    }
    Ok(json_response(StatusCode::OK, &case))
}

/// A case of a realm by any key that leads to it; of several the newest.
pub(super) fn case(shared: &Shared, realm: Realm, key: &str) -> Result<Versioned<Case>, Unanswered> {
    let id = shared.store.named_cases(realm, key, 1)?.pop().ok_or(Unanswered::Nothing)?;
    shared.store.case(realm, &CorrelationKey::Case(id))?.ok_or(Unanswered::Nothing)
}

/// Approvals of this number, of whichever agency.
fn approvals(shared: &Shared, number: &str, query: &mut Query) -> Answered {
    let needs = Needs { realm: query.realm()?, approvals: [number.into()].into(), ..Needs::default() };
    let found: Vec<_> = shared.store.load(&needs)?.approvals.into_values().map(|found| found.value).collect();
    if found.is_empty() { Err(Unanswered::Nothing) } else { Ok(json_response(StatusCode::OK, &found)) }
}

/// Entries of the audit record after the one with number `beyond`, as they are kept, and the heads among them.
fn audit(shared: &Shared, query: &mut Query) -> Answered {
    let beyond = query.number("beyond")?.unwrap_or_default();
    // The heads first: one that speaks for entries that are not there is left when there are no more entries.
    let heads = shared.store.heads(beyond, LINES_MAX)?.into_iter().map(|head| head.signed);
    let entries = shared.store.chain(beyond.saturating_add(1), query.limit()?)?;
    let last = entries.last().map(|entry| entry.number);
    let heads: Vec<_> = heads.filter(|signed| last.is_none_or(|last| signed.head.entries <= last)).collect();
    Ok(json_response(StatusCode::OK, &json!({ "entries": entries, "heads": heads })))
}

fn timeline(shared: &Shared, key: &str, query: &mut Query) -> Answered {
    let listing = shared.store.timeline(&case(shared, query.realm()?, key)?.value.id)?;
    let entries: Vec<TimelineEntry> = listing.items.into_iter().map(|entry| entry.entry).collect();
    Ok(list(Listing { items: entries, damaged: listing.damaged }))
}

fn messages(shared: &Shared, query: &mut Query) -> Answered {
    let filter = MessageFilter {
        sender: query.take("sender")?,
        case: query.take("case")?,
        accepted: query.flag("accepted")?,
        quarantined: query.flag("quarantined")?,
    };
    Ok(list(shared.store.messages(&filter, query.limit()?)?))
}

fn message(shared: &Shared, sender: &str, id: &str) -> Answered {
    let (Ok(sender), Ok(message_id)) = (PartyKey::new(sender), MessageId::new(id)) else {
        return Err(Unanswered::Nothing);
    };
    let needs = Needs { message: Some(MessageKey { sender, message_id }), ..Needs::default() };
    let known = shared.store.load(&needs)?.message.ok_or(Unanswered::Nothing)?;
    let answer = known.response.map(|sealed| {
        let text = sealed.body.as_held().map(|octets| String::from_utf8_lossy(octets).into_owned());
        json!({ "content_type": sealed.content_type, "text": text })
    });
    Ok(json_response(StatusCode::OK, &json!({ "message": known.record, "answer": answer })))
}

fn deliveries(shared: &Shared, query: &mut Query) -> Answered {
    let filter = DeliveryFilter {
        case: query.take("case")?,
        destination: query.take("destination")?,
        state: query.take("state")?,
        ..DeliveryFilter::default()
    };
    Ok(list(shared.store.deliveries(&filter, query.limit()?)?))
}

/// What is held after the delivery `after`, oldest first, and what is damaged among it: nobody settles what no list shows.
fn held(shared: &Shared, query: &mut Query) -> Answered {
    let filter = DeliveryFilter {
        destination: query.take("destination")?,
        state: Some(DeliveryState::Held),
        after: query.take("after")?,
        ..DeliveryFilter::default()
    };
    let Listing { items, damaged } = shared.store.deliveries(&filter, query.limit()?)?;
    let damaged: Vec<_> = damaged.iter().map(ToString::to_string).collect();
    Ok(json_response(StatusCode::OK, &json!({ "held": items, "damaged": damaged })))
}

fn conversations(shared: &Shared, query: &mut Query) -> Answered {
    let all = query.flag("all")?.unwrap_or_default();
    Ok(list(shared.store.sequences(!all, query.limit()?)?))
}

fn payments(shared: &Shared, query: &mut Query) -> Answered {
    Ok(list(in_hand(shared, query.limit()?)?))
}

fn delivery(shared: &Shared, id: &str) -> Answered {
    let id = DeliveryId::new(id).map_err(|_| Unanswered::Nothing)?;
    let needs = Needs { delivery: Some(DeliveryLocator::Id(id)), ..Needs::default() };
    let found = shared.store.load(&needs)?.delivery.ok_or(Unanswered::Nothing)?;
    Ok(json_response(StatusCode::OK, &found.value))
}

/// The registered parties, by which lists can name them.
fn parties(shared: &Shared) -> Response {
    let in_force = shared.in_force.load();
    let named = |party: &Party| json!({ "key": party.key, "name": party.name, "kind": party.kind });
    json_response(StatusCode::OK, &in_force.trust.registry.parties().map(named).collect::<Vec<_>>())
}

/// A list as JSON; what is damaged is told in the log, and hides nothing else (P12).
pub(super) fn list<T: Serialize>(listing: Listing<T>) -> Response {
    for damage in &listing.damaged {
        warn!(event = EventCode::StoreUnreadable.code(), reason = %damage, "a record is left out of a list");
    }
    json_response(StatusCode::OK, &listing.items)
}

/// What a list is narrowed to. A filter that nobody knows, or of a value that there cannot be, is told: without it
/// the list would be another one than was asked for.
#[derive(Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(query: &str) -> Self {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (decoded(name), decoded(value))
        };
        Self(query.split('&').filter(|text| !text.is_empty()).map(pair).collect())
    }

    /// A value in the words of the model, such as a state or a box number.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Unanswered> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        let read = serde_json::from_value(Value::String(text.clone()));
        read.map(Some).map_err(|error| Unanswered::Wrong(format!("{name} {text:?}: {error}")))
    }

    /// The realm that is asked about: production, unless practice is asked for.
    pub(super) fn realm(&mut self) -> Result<Realm, Unanswered> {
        let practice = self.flag("practice")?.unwrap_or(false);
        Ok(if practice { Realm::Practice } else { Realm::Production })
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Unanswered> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        let flag =
            text.parse().map_err(|_| Unanswered::Wrong(format!("{name} {text:?}: write true or false")));
        flag.map(Some)
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Unanswered> {
        let Some(text) = self.0.remove(name) else { return Ok(None) };
        let number = text.parse().map_err(|_| Unanswered::Wrong(format!("{name} {text:?}: write a number")));
        number.map(Some)
    }

    pub(super) fn limit(&mut self) -> Result<usize, Unanswered> {
        let Some(text) = self.0.remove("limit") else { return Ok(LINES) };
        let limit = text.parse().ok().filter(|limit| *limit <= LINES_MAX);
        limit.ok_or_else(|| Unanswered::Wrong(format!("limit {text:?}: write a number up to {LINES_MAX}")))
    }

    pub(super) fn finish(self) -> Result<(), Unanswered> {
        match self.0.into_keys().next() {
            Some(name) => Err(Unanswered::Wrong(format!("there is no filter {name:?} here"))),
            None => Ok(()),
        }
    }
}

/// Percent-decoding (RFC 3986, 2.1); what is no escape stays as it is.
pub(super) fn decoded(text: &str) -> String {
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
    use crate::model::CaseState;

    #[test]
    fn paths_and_queries_are_decoded() {
        assert_eq!(decoded("a%40b%2Fc%"), "a@b/c%");
        let mut query = Query::of("state=awaiting_acknowledgment&destination=BR%31&accepted=true");
        assert_eq!(query.take("state").ok(), Some(Some(DeliveryState::AwaitingAcknowledgment)));
        assert_eq!(query.take("destination").ok(), Some(PartyKey::new("BR1").ok()));
        assert_eq!(query.flag("accepted").ok(), Some(Some(true)));
        assert_eq!(query.limit().ok(), Some(LINES));
        assert!(query.finish().is_ok());
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        for text in ["state=lost", "stat=ready", "limit=10001", "limit=all", "accepted=yes", "x"] {
            let mut query = Query::of(text);
            let asked = query.take::<CaseState>("state").map(|_| ());
            let asked = asked.and_then(|()| query.flag("accepted").map(|_| ()));
            let asked = asked.and_then(|()| query.limit().map(|_| ())).and_then(|()| query.finish());
            assert!(matches!(asked, Err(Unanswered::Wrong(_))), "{text}: {asked:?}");
        }
    }
}
