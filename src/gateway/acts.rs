//! What an operator has the gateway do, beside asking: send a delivery anew, settle what is held, tell partners something. Each act needs a
//! reason and is decided, committed and audited like every other event (threat S23).

use std::sync::Arc;

use serde_json::json;

use super::admin::json_response;
use super::driver::{compute, drive};
use super::shared::{Shared, now};
use super::show::{self, Query, Unanswered, decoded};
use crate::engine::{Announcement, Event, How, Reply, Told};
use crate::model::{ConversationId, CpaId, DeliveryId, Direction, Gap, GapAct, PartyKey, SequenceKey};
use crate::transport::{Request, Response, StatusCode};

/// Characters of a notice (`TextType` of `common-1.xsd`).
const TEXT_CHARS_MAX: usize = 1000;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// `POST /deliveries/ID/again?reason=…`.
pub(super) async fn send_again(shared: &Arc<Shared>, request: &Request) -> Response {
    let id = request.path.strip_prefix("/deliveries/").and_then(|path| path.strip_suffix("/again"));
    let Some(delivery) = id.and_then(|id| DeliveryId::new(decoded(id)).ok()) else {
        return Response::empty(StatusCode::NOT_FOUND);
    };
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let asked =
        text(&mut query, "reason", REASON_CHARS_MAX).and_then(|reason| query.finish().map(|()| reason));
    match asked {
        Ok(reason) => {
            let by = request.peer.to_string().into();
            act(shared, Event::Again { delivery, by, reason }).await
        }
        Err(why) => refused(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

/// `POST /payments/KEY?reason=…`: the bank is asked at once about what is under way of the case that the key leads to.
pub(super) async fn hurry(shared: &Arc<Shared>, request: &Request) -> Response {
    let key = decoded(request.path.trim_start_matches("/payments/"));
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let asked = query.realm().and_then(|realm| {
        let reason = text(&mut query, "reason", REASON_CHARS_MAX)?;
        query.finish().map(|()| (realm, reason))
    });
    let (realm, reason) = match asked {
        Ok(asked) => asked,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why.to_string()),
    };
    let found = compute(shared, move |shared, _| show::case(shared, realm, &key)).await;
    match found {
        Ok(Ok(stored)) => {
            let by = request.peer.to_string().into();
            act(shared, Event::Hurried { case: stored.value.id, by, reason }).await
        }
        Ok(Err(why)) => refused(StatusCode::NOT_FOUND, &why.to_string()),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// `POST /conversations/CPA/CONVERSATION?as=release|refuse&reason=…`: what becomes of what is held in it.
pub(super) async fn settle_gap(shared: &Arc<Shared>, request: &Request) -> Response {
    let key = request.path.strip_prefix("/conversations/").and_then(|path| path.split_once('/'));
    let key = key.and_then(|(cpa_id, conversation_id)| {
        let cpa_id = CpaId::new(decoded(cpa_id)).ok()?;
        let conversation_id = ConversationId::new(decoded(conversation_id)).ok()?;
        Some(SequenceKey { direction: Direction::Receive, cpa_id, conversation_id })
    });
    let Some(sequence) = key else { return Response::empty(StatusCode::NOT_FOUND) };
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let asked = query.take::<Gap>("as").and_then(|how| Ok((how, reason(&mut query)?)));
    match asked.and_then(|asked| query.finish().map(|()| asked)) {
        Ok((Some(how), reason)) => {
            let act = GapAct { how, by: request.peer.to_string().into(), reason };
            self::act(shared, Event::GapSettled { sequence, act }).await
        }
        Ok((None, _)) => refused(StatusCode::BAD_REQUEST, "as is missing"),
        Err(why) => refused(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

/// `POST /notices?text=…&reason=…&to=BOX,BOX`; without `to` to everybody.
pub(super) async fn announce(shared: &Arc<Shared>, request: &Request) -> Response {
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    match announcement(shared, &mut query, &request.peer.to_string()) {
        Ok(announcement) => act(shared, Event::Announced(Box::new(announcement))).await,
        Err(why) => refused(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

fn announcement(shared: &Shared, query: &mut Query, by: &str) -> Result<Announcement, Unanswered> {
    let to: Option<String> = query.take("to")?;
    let party = |key: &str| PartyKey::new(key).map_err(|error| Unanswered::Wrong(format!("to: {error}")));
    let mut to: Vec<_> = to.iter().flat_map(|to| to.split(',')).map(party).collect::<Result<_, _>>()?;
    to.sort_unstable();
    to.dedup();
    let announcement = Announcement {
        // No other notice of this process has the number, and no other process has the time.
        number: format!("INF-{}-{}", now().as_millis(), shared.questions.number()).into(),
        to,
        text: text(query, "text", TEXT_CHARS_MAX)?,
        by: by.into(),
        reason: text(query, "reason", REASON_CHARS_MAX)?,
    };
    std::mem::take(query).finish().map(|()| announcement)
}

/// The reason of an act.
pub(super) fn reason(query: &mut Query) -> Result<Arc<str>, Unanswered> {
    text(query, "reason", REASON_CHARS_MAX)
}

/// A text that must be there.
fn text(query: &mut Query, name: &str, chars_max: usize) -> Result<Arc<str>, Unanswered> {
    let text: Option<String> = query.take(name)?;
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Unanswered::Wrong(format!("{name} is missing")))?;
    if text.chars().count() > chars_max {
        return Err(Unanswered::Wrong(format!("{name} has more than {chars_max} characters")));
    }
    Ok(text.into())
}

pub(super) async fn act(shared: &Arc<Shared>, event: Event) -> Response {
    match drive(shared, event).await.map(|released| released.reply) {
        Ok(Some(Reply::Told(Told { how: How::Done, text, .. }))) => {
            json_response(StatusCode::OK, &json!({ "told": text }))
        }
        Ok(Some(Reply::Told(Told { how: How::Nothing, text, .. }))) => refused(StatusCode::NOT_FOUND, &text),
        Ok(Some(Reply::Told(Told { text, .. }))) => refused(StatusCode::CONFLICT, &text),
        Ok(_) => Response::empty(StatusCode::NOT_FOUND),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    json_response(status, &json!({ "error": why }))
}
