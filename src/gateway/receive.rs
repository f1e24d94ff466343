//! A POST comes in: opened, decided, committed; only then answered (P1).
//!
//! Wrong paths and content types are answered here, methods and sizes by the listener. A message is in hand from its
//! first octet read to its answer made, also when its sender hangs up meanwhile; when as many are in hand as may be,
//! the next one is told to come again at once (P13).

use std::future::pending;
use std::sync::Arc;

use tracing::{Instrument as _, info_span, warn};

use super::driver::{DriveError, compute, drive};
use super::send::{SOAP_ACTION, content};
use super::shared::{InForce, Shared, now};
use crate::codec::envelope::{SoapFault, encode_fault};
use crate::engine::{Arrival, Event, InTransit, Refused, Reply, read_documents};
use crate::model::{Deviation, Digest, Octets, Sealed, Timestamp};
use crate::security::{Opened, Origin, Refusal, Wire, open_or_forward};
use crate::store::spooled;
use crate::telemetry::EventCode;
use crate::transport::{Request, Response, Spooled, StatusCode};

/// Media type of envelopes and faults.
const XML: &str = "text/xml; charset=UTF-8";
/// What an ebMS message may come as (ebMS 2.0, B.2); the codec looks closer.
const MEDIA_TYPES: [&str; 2] = ["multipart/related", "text/xml"];

/// The status of a refusal that says nothing to a signal that must not be answered.
const TAKEN: u16 = 202;

/// A message as it came over the wire, as a request or in a response.
pub(super) struct Received {
    pub(super) content_type: Arc<str>,
    pub(super) body: Octets,
    pub(super) origin: Origin,
    pub(super) received_at: Timestamp,
    /// A requester waits for an answer on this connection.
    pub(super) waiting: bool,
    /// It was posted with another SOAPAction than the binding has (ebMS 2.0, B.2.2).
    pub(super) other_soap_action: bool,
}

impl Received {
    /// What comes in now to an address of its own, for which the binding has no SOAPAction; who sent it waits.
    pub(super) fn asked(content_type: Arc<str>, body: Octets, origin: Origin) -> Self {
        Self { content_type, body, origin, received_at: now(), waiting: true, other_soap_action: false }
    }

    /// Opens it and reads its documents: dear, and without a look at the store.
    pub(super) fn open(self, in_force: &InForce) -> Event {
        let Self { content_type, body, origin, received_at, waiting, other_soap_action } = self;
        let wire = Wire { content_type: &content_type, body: &body, origin };
        let opened = open_or_forward(&wire, &in_force.trust, received_at);
        let opened = match other_soap_action {
            true => opened.and_then(|opened| opened.with_other_soap_action(&in_force.trust, received_at)),
            false => opened,
        };
        match opened {
            Ok(Opened::Elsewhere(transit)) => {
                let octets = Sealed { content_type, body, references: Vec::new() };
                Event::InTransit(Box::new(InTransit { transit, octets, received_at, waiting }))
            }
            Ok(Opened::Here(verified)) => {
                let documents = match read_documents(&in_force.catalogue, &verified, received_at) {
                    Ok(documents) => documents,
                    Err(fault) => {
                        let refusal = Refusal::unreadable(&fault);
                        return Event::Refused(Box::new(Refused { refusal, body, received_at, waiting }));
                    }
                };
                Event::Arrived(Box::new(Arrival {
                    verified,
                    documents,
                    content_type,
                    body,
                    received_at,
                    waiting,
                }))
            }
            Err(refusal) => Event::Refused(Box::new(Refused { refusal, body, received_at, waiting })),
        }
    }
}

/// Answers one request. Runs in a task of its own, so that a sender who hangs up cuts nothing short.
pub(super) async fn receive(shared: Arc<Shared>, path: Arc<str>, request: Request) -> Response {
    if request.path != *path {
        return Response::empty(StatusCode::NOT_FOUND);
    }
    let Some(origin) = proved(&request) else {
        return Response::empty(StatusCode::FORBIDDEN);
    };
    let Some(content_type) = content_type(&request) else {
        return Response::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let other_soap_action = request.header("soapaction") != Some(SOAP_ACTION);
    let body = body_of(request);
    let received =
        Received { content_type, body, origin, received_at: now(), waiting: true, other_soap_action };
    let taking = Arc::clone(&shared);
    in_hand(&shared, async move { take(&taking, received).await }).await
}

/// Has something taken in a task of its own, when there is room for it; none is no answer.
pub(super) async fn in_hand(
    shared: &Shared,
    work: impl Future<Output = Option<Response>> + Send + 'static,
) -> Response {
    let Ok(permit) = Arc::clone(&shared.in_hand).try_acquire_owned() else {
        return overloaded(shared, "as many messages are in hand as may be");
    };
    if *shared.draining.borrow() {
        return overloaded(shared, "the gateway is stopping");
    }
    let task = tokio::spawn(async move {
        let response = work.await;
        drop(permit);
        response
    });
    match task.await {
        Ok(Some(response)) => response,
        // The store has failed: the connection ends with the process (P10).
        Ok(None) => pending().await,
        Err(fault) if fault.is_cancelled() => pending().await,
        Err(_) => Response::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The body of a request, in memory or in the file that it was spooled to.
fn body_of(request: Request) -> Octets {
    match request.spooled.map(Spooled::take) {
        None => request.body.into(),
        Some((file, path, bytes, sha256)) => spooled(file, path, bytes, Digest(sha256)),
    }
}

/// Whom the connection of a request proved: the TLS certificate of its other end.
pub(super) fn proved(request: &Request) -> Option<Origin> {
    request.peer.certificate_der_sha256().map(|certificate| Origin::Connection(Some(Digest(certificate))))
}

/// The Content-Type, when it is one of those that messages come as and nothing is done to the body after it.
pub(super) fn content_type(request: &Request) -> Option<Arc<str>> {
    let content_type = request.header("content-type")?;
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let known = MEDIA_TYPES.iter().any(|known| media_type.eq_ignore_ascii_case(known));
    let encoded = request.headers.contains_key("content-encoding");
    (known && !encoded).then(|| content_type.into())
}

/// The answer to a message, or none: once the store has failed, nobody hears anything.
async fn take(shared: &Arc<Shared>, received: Received) -> Option<Response> {
    let began = tokio::time::Instant::now();
    let _begun = shared.under_way.begin();
    let event = match compute(shared, move |_, in_force| received.open(in_force)).await {
        Ok(event) => event,
        Err(error) => return turned_away(shared, &error),
    };
    if let Some(later) = finds_no_room(shared, &event) {
        return Some(later);
    }
    let span = span_of(&event);
    tell_deviations(shared, &event);
    let empty = empty_answer(shared, &event);
    match drive(shared, event).instrument(span).await {
        Ok(released) => {
            if released.accepted {
                shared.metrics.acceptance_seconds(began.elapsed());
            }
            Some(match released.reply {
                None | Some(Reply::Empty | Reply::Status(TAKEN)) => Response::empty(empty),
                Some(reply) => answer(shared, reply),
            })
        }
        Err(error) => turned_away(shared, &error),
    }
}

/// The status that says "taken" and nothing else, as the agreement that a message comes under has it.
fn empty_answer(shared: &Shared, event: &Event) -> StatusCode {
    let in_force = shared.in_force.load();
    let registry = &in_force.trust.registry;
    let agreement = match event {
        Event::Arrived(arrival) => registry.agreement(arrival.verified.cpa_id()),
        Event::InTransit(in_transit) => {
            registry.agreement_to_forward(in_transit.transit.from(), in_transit.received_at)
        }
        Event::Refused(refused) => {
            let refusal = &refused.refusal;
            let named = refusal.header.as_ref().and_then(|header| registry.agreement(&header.cpa_id));
            named.filter(|agreement| Some(&agreement.partner) == refusal.party.as_ref())
        }
        _ => None,
    };
    let answer = agreement.map(|agreement| agreement.empty_answer).unwrap_or_default();
    StatusCode::from_u16(answer.status()).expect("is one of 2xx")
}

/// The answer to what is new while the disk is low. Signals, and confirmations from a mailbox, are about what is
/// accepted already, and end it (P11).
pub(super) fn finds_no_room(shared: &Shared, event: &Event) -> Option<Response> {
    let is_new = match event {
        Event::Arrived(arrival) => !arrival.verified.message().header.service.is_msh(),
        Event::Refused(refused) => {
            refused.refusal.header.as_ref().is_some_and(|header| !header.service.is_msh())
        }
        Event::InTransit(_) | Event::Acted { .. } => true,
        _ => false,
    };
    (is_new && shared.store.health().disk_low).then(|| overloaded(shared, "the disk is low"))
}

/// Logs and counts what the profile of a partner was needed for, in the message's span: of what is for us and of what is
/// passed on.
pub(super) fn tell_deviations(shared: &Shared, event: &Event) {
    let (party, deviations) = match event {
        Event::Arrived(arrival) | Event::Confirmed { receipt: Some(arrival), .. } => {
            (arrival.verified.party(), arrival.verified.deviations())
        }
        Event::InTransit(in_transit) => (in_transit.transit.from(), in_transit.transit.deviations()),
        _ => return,
    };
    let _entered = span_of(event).entered();
    for deviation in deviations {
        let code =
            if *deviation == Deviation::Sha1 { EventCode::MessageSha1 } else { EventCode::MessageDeviates };
        let in_force = shared.in_force.load();
        let name = in_force.trust.registry.party(party).map_or("", |party| &*party.name);
        shared.metrics.told(code, name);
        shared.metrics.deviates(*deviation, name);
        warn!(
            event = code.code(),
            partner = name,
            deviation = deviation.as_str(),
            detail = detail_of(event, *deviation),
            "not as the standard has it"
        );
    }
}

/// What a signal breaks of the schema; the other words say themselves what they mean.
fn detail_of(event: &Event, deviation: Deviation) -> Option<String> {
    let verified = match event {
        Event::Arrived(arrival) | Event::Confirmed { receipt: Some(arrival), .. } => &arrival.verified,
        _ => return None,
    };
    let first = verified.schema_findings().first().filter(|_| deviation == Deviation::SignalSchema)?;
    Some(format!("{} {}", first.location.as_deref().unwrap_or("?"), first.description))
}

/// The span that every line about the message stands in.
fn span_of(event: &Event) -> tracing::Span {
    let header = match event {
        Event::Arrived(arrival) | Event::Confirmed { receipt: Some(arrival), .. } => {
            Some(&arrival.verified.message().header)
        }
        Event::InTransit(in_transit) => Some(&in_transit.transit.message().header),
        Event::Refused(refused) => refused.refusal.header.as_deref(),
        _ => None,
    };
    let Some(header) = header else { return tracing::Span::none() };
    info_span!(
        "message",
        message_id = header.data.message_id.as_str(),
        conversation_id = header.conversation_id.as_str(),
        cpa_id = header.cpa_id.as_str(),
    )
}

pub(super) fn answer(shared: &Shared, reply: Reply) -> Response {
    match reply {
        Reply::Message(sealed) => Response::new(StatusCode::OK, &*sealed.content_type, content(&sealed.body)),
        Reply::Empty => Response::empty(StatusCode::ACCEPTED),
        Reply::Fault(fault) => Response::new(StatusCode::INTERNAL_SERVER_ERROR, XML, encode_fault(&fault)),
        Reply::Told(told) => super::api::told(&told),
        Reply::Status(503) => come_again(shared),
        Reply::Status(status) => {
            Response::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// The answer when nothing could be decided: the sender comes again. None when the store has failed.
pub(super) fn turned_away(shared: &Shared, error: &DriveError) -> Option<Response> {
    match error {
        DriveError::Fatal => None,
        DriveError::Busy => Some(overloaded(shared, &error.to_string())),
        DriveError::Unreadable(_) | DriveError::Unsealable(_) | DriveError::Panicked => {
            warn!(event = EventCode::GatewayDriveFailed.code(), reason = %error, "a message was turned away");
            let fault = SoapFault::server("the message cannot be taken now");
            Some(Response::new(StatusCode::INTERNAL_SERVER_ERROR, XML, encode_fault(&fault)))
        }
    }
}

pub(super) fn overloaded(shared: &Shared, why: &str) -> Response {
    warn!(event = EventCode::IntakeOverloaded.code(), reason = why, "a message was turned away");
    come_again(shared)
}

fn come_again(shared: &Shared) -> Response {
    Response::overloaded(shared.in_force.load().settings.server.retry_after)
}
