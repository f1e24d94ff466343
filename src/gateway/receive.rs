//! A POST comes in: opened, decided, committed; only then answered (P1).

use std::sync::Arc;

use tracing::{Instrument as _, info_span, warn};

use super::driver::{DriveError, compute, drive};
use super::shared::{Shared, now};
use crate::codec::envelope::{SoapFault, encode_fault};
use crate::engine::{Action, Arrival, Event, Refused, Reply, read_documents};
use crate::model::Digest;
use crate::security::{Wire, open};
use crate::telemetry::EventCode;
use crate::transport::{Request, Response, StatusCode};

/// Media type of envelopes and faults.
const XML: &str = "text/xml; charset=UTF-8";

/// Answers one request. Runs in a task of its own, so that a sender who hangs up cuts nothing short.
pub(super) async fn receive(shared: Arc<Shared>, path: Arc<str>, request: Request) -> Response {
    if request.path != *path {
        return Response::empty(StatusCode::NOT_FOUND);
    }
    let Some(content_type) = request.header("content-type").map(Arc::<str>::from) else {
        return Response::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let Ok(permit) = Arc::clone(&shared.in_hand).try_acquire_owned() else {
        return overloaded(&shared, "as many messages are in hand as may be");
    };
    if *shared.draining.borrow() || shared.store.health().disk_low {
        return overloaded(&shared, "the disk is low, or the gateway is stopping");
    }
    let task = tokio::spawn(async move {
        let response = take(&shared, content_type, request).await;
        drop(permit);
        response
    });
    task.await.unwrap_or_else(|_| Response::empty(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn take(shared: &Arc<Shared>, content_type: Arc<str>, request: Request) -> Response {
    let (received_at, began) = (now(), tokio::time::Instant::now());
    let opened = compute(shared, move |_, in_force| {
        let peer = request.peer.certificate_der_sha256().map(Digest);
        let wire = Wire { content_type: &content_type, body: &request.body, peer };
        match open(&wire, &in_force.trust, received_at) {
            Ok(verified) => {
                let documents = read_documents(&verified);
                let body = request.body;
                Event::Arrived(Box::new(Arrival {
                    verified,
                    documents,
                    content_type,
                    body,
                    received_at,
                    waiting: true,
                }))
            }
            Err(refusal) => {
                let body = request.body;
                Event::Refused(Box::new(Refused { refusal, body, received_at, waiting: true }))
            }
        }
    });
    let event = match opened.await {
        Ok(event) => event,
        Err(error) => return turned_away(shared, &error),
    };
    let span = span_of(&event);
    let driven = drive(shared, event).instrument(span).await;
    shared.metrics.acceptance_seconds(began.elapsed());
    match driven {
        Ok(actions) => actions
            .into_iter()
            .find_map(|action| answer(shared, action))
            .unwrap_or_else(|| Response::empty(StatusCode::ACCEPTED)),
        Err(error) => turned_away(shared, &error),
    }
}

/// The span that every line about the message stands in.
fn span_of(event: &Event) -> tracing::Span {
    match event {
        Event::Arrived(arrival) => {
            let header = &arrival.verified.message().header;
            info_span!(
                "message",
                message_id = header.data.message_id.as_str(),
                conversation_id = header.conversation_id.as_str(),
                cpa_id = header.cpa_id.as_str(),
            )
        }
        _ => tracing::Span::none(),
    }
}

fn answer(shared: &Shared, action: Action) -> Option<Response> {
    let Action::Reply(reply) = action else { return None };
    Some(match reply {
        Reply::Message(sealed) => Response::new(StatusCode::OK, &*sealed.content_type, sealed.body),
        Reply::Empty => Response::empty(StatusCode::ACCEPTED),
        Reply::Fault(fault) => Response::new(StatusCode::INTERNAL_SERVER_ERROR, XML, encode_fault(&fault)),
        Reply::Status(503) => Response::overloaded(shared.retry_after),
        Reply::Status(status) => {
            Response::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        }
    })
}

/// The answer when nothing could be decided: the sender comes again.
fn turned_away(shared: &Shared, error: &DriveError) -> Response {
    match error {
        DriveError::Busy | DriveError::Fatal => overloaded(shared, &error.to_string()),
        DriveError::Unreadable(_) | DriveError::Unsealable(_) | DriveError::Panicked => {
            warn!(event = EventCode::GatewayDriveFailed.code(), reason = %error, "a message was turned away");
            let fault = SoapFault::server("the message cannot be taken now");
            Response::new(StatusCode::INTERNAL_SERVER_ERROR, XML, encode_fault(&fault))
        }
    }
}

fn overloaded(shared: &Shared, why: &str) -> Response {
    warn!(event = EventCode::IntakeOverloaded.code(), reason = why, "a message was turned away");
    Response::overloaded(shared.retry_after)
}
