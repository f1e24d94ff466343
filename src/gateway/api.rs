//! The listener for those who work with a client of ours and not with an MSH: JSON over mutual TLS. Parties without a
//! server collect from their mailbox, officers of hosted agencies work in the inbox, and any party may ask what would come
//! of a message.
//!
//! Who calls is the registered party, or the officer, whose certificate the connection proved, asked anew for each request (S15). What
//! an act comes to is decided in the core; here it becomes a status and a line of JSON.

use std::sync::Arc;

use serde_json::json;

use super::admin::{json_response, on_a_thread};
use super::driver::{drive, drive_delivery};
use super::receive::{answer, finds_no_room, in_hand, turned_away};
use super::shared::Shared;
use super::show::decoded;
use super::{foretell, inbox, mailbox};
use crate::engine::{Event, How, Reply, Told};
use crate::model::{Digest, PartyKey};
use crate::transport::{Method, Request, Response, StatusCode};

/// Answers one request.
pub(super) async fn serve(shared: Arc<Shared>, request: Request) -> Response {
    let certificate = request.peer.certificate_der_sha256().map(Digest);
    let in_force = shared.in_force.load_full();
    let registry = &in_force.trust.registry;
    let party = certificate.and_then(|certificate| registry.party_by_tls(&certificate));
    let officer = certificate.and_then(|certificate| registry.officer_by_tls(&certificate));
    let path = request.path.clone();
    let steps: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    match (steps.as_slice(), party, officer) {
        (["mailbox", steps @ ..], Some(party), _) => {
            let by = party.key.clone();
            match (&request.method, steps) {
                (&Method::GET, []) => {
                    on_a_thread(move || mailbox::list(&shared, &by, request.query.as_deref())).await
                }
                (&Method::GET, [id]) => mailbox::fetch(shared, by, id).await,
                (&Method::POST, [id, "confirm"]) => mailbox::confirm(shared, by, id, request).await,
                _ => Response::empty(StatusCode::NOT_FOUND),
            }
        }
        (["check"], Some(_), _) if request.method == Method::POST => foretell::check(shared, request).await,
        (["inbox", steps @ ..], _, Some(officer)) => {
            let by = officer.clone();
            match (&request.method, steps) {
                (&Method::GET, _) => {
                    let steps: Vec<String> = steps.iter().map(|&step| step.to_owned()).collect();
                    on_a_thread(move || inbox::look(&shared, &by, &steps, request.query.as_deref())).await
                }
                (&Method::POST, [number]) => inbox::act(shared, by, number, &request).await,
                _ => Response::empty(StatusCode::NOT_FOUND),
            }
        }
        _ => Response::empty(StatusCode::FORBIDDEN),
    }
}

/// Has an act decided and committed, in a task of its own; only then is it answered (P1).
pub(super) async fn act(shared: Arc<Shared>, event: Event) -> Response {
    if let Some(later) = finds_no_room(&shared, &event) {
        return later;
    }
    let acting = Arc::clone(&shared);
    let work = async move {
        let fetched = match &event {
            Event::Fetched { delivery, .. } => Some(delivery.clone()),
            _ => None,
        };
        let driven = match fetched.clone() {
            Some(delivery) => drive_delivery(&acting, event, delivery).await,
            None => drive(&acting, event).await,
        };
        match (driven.map(|released| released.reply), fetched) {
            (Ok(Some(Reply::Message(sealed))), Some(delivery)) => {
                mailbox::given_out(&acting, delivery, &sealed).await
            }
            (Ok(Some(reply)), _) => Some(answer(&acting, reply)),
            (Ok(None), _) => Some(Response::empty(StatusCode::ACCEPTED)),
            (Err(error), _) => turned_away(&acting, &error),
        }
    };
    in_hand(&shared, work).await
}

/// What came of an act, as a status and in words.
pub(super) fn told(told: &Told) -> Response {
    let status = match told.how {
        How::Done => StatusCode::OK,
        How::Nothing => StatusCode::NOT_FOUND,
        How::Forbidden => StatusCode::FORBIDDEN,
        How::Gone => StatusCode::GONE,
        How::Conflict => StatusCode::CONFLICT,
        How::Refused => StatusCode::UNPROCESSABLE_ENTITY,
    };
    json_response(
        status,
        &json!({ "done": told.how == How::Done, "says": told.text, "version": told.version }),
    )
}

/// There is nothing of that name for this party.
pub(super) fn nothing(by: &PartyKey) -> Response {
    told(&Told::new(How::Nothing, format!("there is nothing of that name for {by}")))
}
