//! A party's mailbox over the API: list, fetch, confirm. What may be collected, and what a confirmation counts for, is
//! decided by `engine`.

use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Handle;
use tracing::warn;

use super::admin::json_response;
use super::api::{act, nothing};
use super::driver::{DriveError, compute, drive};
use super::receive::{Received, answer, content_type, proved, tell_deviations, turned_away};
use super::shared::Shared;
use super::show::{Query, list as listed};
use crate::engine::{Event, Reply, owes_signed_receipt};
use crate::model::{
    CaseId, ConversationId, CpaId, Delivery, DeliveryId, DeliveryState, MessageId, Octets, PartyKey, Sealed,
    Timestamp, Unreadable,
};
use crate::store::{DeliveryFilter, Listing};
use crate::telemetry::EventCode;
use crate::transport::{Content, Request, Response, StatusCode};

/// What waits, in one line of the list.
#[derive(Debug, Serialize)]
struct Waiting {
    /// What it is fetched by.
    id: DeliveryId,
    message_id: MessageId,
    /// A rehearsal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    practice: bool,
    conversation_id: ConversationId,
    cpa_id: CpaId,
    service: Arc<str>,
    action: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ref_to_message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<CaseId>,
    created_at: Timestamp,
    /// When it ends if nobody confirms it.
    expires_at: Timestamp,
    /// Its confirmation is a signed Acknowledgment.
    acknowledgment: bool,
}

/// What waits for a party, oldest first.
pub(super) fn list(shared: &Shared, by: &PartyKey, query: Option<&str>) -> Response {
    let mut query = Query::of(query.unwrap_or_default());
    let limit = query.limit().and_then(|limit| query.finish().map(|()| limit));
    let limit = match limit {
        Ok(limit) => limit,
        Err(why) => return Response::text(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let state = Some(DeliveryState::Pending);
    let filter = DeliveryFilter { destination: Some(by.clone()), state, ..DeliveryFilter::default() };
    let in_force = shared.in_force.load();
    match shared.store.deliveries(&filter, limit) {
        Ok(Listing { items, damaged }) => {
            let waiting = items.into_iter().filter(|delivery| delivery.mailbox);
            let waiting = waiting.map(|delivery| {
                let acknowledgment = owes_signed_receipt(&delivery, &in_force.trust.registry);
                Waiting::of(delivery, acknowledgment)
            });
            listed(Listing { items: waiting.collect(), damaged })
        }
        Err(error) => json_response(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

impl Waiting {
    fn of(delivery: Delivery, acknowledgment: bool) -> Self {
        Self {
            id: delivery.id,
            message_id: delivery.message_id,
            practice: delivery.realm.is_practice(),
            conversation_id: delivery.conversation_id,
            cpa_id: delivery.cpa_id,
            service: delivery.service.value,
            action: delivery.action,
            ref_to_message_id: delivery.ref_to_message_id,
            case: delivery.case,
            created_at: delivery.created_at,
            expires_at: delivery.expires_at,
            acknowledgment,
        }
    }
}

/// The octets of a delivery, the same every time.
pub(super) async fn fetch(shared: Arc<Shared>, by: PartyKey, id: &str) -> Response {
    match DeliveryId::new(id) {
        Ok(delivery) => act(shared, Event::Fetched { delivery, by }).await,
        Err(_) => nothing(&by),
    }
}

/// The octets of a delivery on their way to whoever fetches them. Damage takes it out of the mailbox with the alarm that
/// damage behind a posted one raises (P12): what is seen before the head leaves is told in the answer; what is found
/// later breaks it off, with octets missing that were announced.
pub(super) async fn given_out(
    shared: &Arc<Shared>,
    delivery: DeliveryId,
    sealed: &Sealed,
) -> Option<Response> {
    let body = sealed.body.clone();
    let there = match compute(shared, move |_, _| is_there(&body)).await {
        Ok(there) => there,
        Err(error) => return turned_away(shared, &error),
    };
    if let Err(Unreadable(why)) = there {
        return match found_damaged(shared, delivery, &why).await {
            Ok(Some(reply)) => Some(answer(shared, reply)),
            Ok(None) => Some(Response::empty(StatusCode::CONFLICT)),
            Err(error) => turned_away(shared, &error),
        };
    }
    let (runtime, shared) = (Handle::current(), Arc::clone(shared));
    // On the thread that reads them: it is recorded before the connection ends.
    let chunks = sealed.body.checked().inspect(move |chunk| {
        let Err(Unreadable(why)) = chunk else { return };
        if let Err(error) = runtime.block_on(found_damaged(&shared, delivery.clone(), why)) {
            let event = EventCode::GatewayDriveFailed.code();
            warn!(event, reason = %error, "a damaged delivery stays in its mailbox for now");
        }
    });
    let content = Content::of(sealed.body.as_held(), sealed.body.bytes(), chunks);
    Some(Response::new(StatusCode::OK, &*sealed.content_type, content))
}

/// Whether the files that octets stand in are there, and as long as they should be.
fn is_there(octets: &Octets) -> Result<(), Unreadable> {
    let mut end = 0;
    for piece in octets.pieces().filter(|piece| piece.bytes() > 0) {
        end += piece.bytes();
        octets.some(end - 1, 1)?;
    }
    Ok(())
}

/// Its octets are not what was stored: an operator has to look.
async fn found_damaged(
    shared: &Arc<Shared>,
    delivery: DeliveryId,
    why: &str,
) -> Result<Option<Reply>, DriveError> {
    let reason = format!("octets of delivery {delivery} are damaged: {why}");
    drive(shared, Event::Damaged { delivery, reason }).await.map(|released| released.reply)
}

/// The receipt of a delivery: the body is the signal, where there is one.
pub(super) async fn confirm(shared: Arc<Shared>, by: PartyKey, id: &str, request: Request) -> Response {
    let Ok(delivery) = DeliveryId::new(id) else { return nothing(&by) };
    if request.body.is_empty() {
        return act(shared, Event::Confirmed { delivery, by, receipt: None }).await;
    }
    let (Some(content_type), Some(origin)) = (content_type(&request), proved(&request)) else {
        return Response::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let _begun = shared.under_way.begin();
    let received = Received::asked(content_type, request.body.into(), origin);
    let event = match compute(&shared, move |_, in_force| received.open(in_force)).await {
        Ok(Event::Arrived(receipt)) => Event::Confirmed { delivery, by, receipt: Some(receipt) },
        // What was turned away is recorded and answered as if it had been posted.
        Ok(other) => other,
        Err(error) => {
            let answer = turned_away(&shared, &error);
            return answer.unwrap_or_else(|| Response::empty(StatusCode::INTERNAL_SERVER_ERROR));
        }
    };
    tell_deviations(&shared, &event);
    act(shared, event).await
}
