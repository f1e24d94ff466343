//! `gwanmun party check`: a partner is reached as a message would reach it, and no message is sent: its agreements, the
//! connection, both certificates, and a Ping that must come back as a verified Pong (ebMS 2.0, 8; digest, 13).
//!
//! Leaves no record and moves no delivery. Under syncReplyMode none the Pong comes by a POST of its own, which shows
//! that the partner reaches us too.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::admin::json_response;
use super::driver::compute;
use super::send::{NotPosted, post, read_response};
use super::shared::{Shared, now};
use crate::engine::{Heard, Says};
use crate::model::{
    Agreement, AttemptOutcome, ConversationId, MessageId, Party, PartyKey, Sealed, derive_id,
};
use crate::msh::ping;
use crate::security::{SealError, seal};
use crate::transport::{PostErrorKind, Response, StatusCode};

/// How long checking a party may take in all, which is less than the command line waits.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);

/// What came of checking one agreement.
#[derive(Debug, Serialize)]
struct Checked {
    cpa_id: String,
    endpoint: String,
    /// Every step was taken.
    reached: bool,
    steps: Vec<Taken>,
}

/// One step, in the order in which a message would take it. The first that fails is the last.
#[derive(Debug, Serialize)]
struct Taken {
    step: &'static str,
    ok: bool,
    says: String,
}

/// Checks every agreement with the party of this name or box number.
pub(super) async fn check(shared: &Arc<Shared>, called: &str) -> Response {
    let in_force = shared.in_force.load_full();
    let registry = &in_force.trust.registry;
    let Some(party) = registry.parties().find(|party| party.key.as_str() == called || *party.name == *called)
    else {
        return json_response(StatusCode::NOT_FOUND, &json!({ "error": "there is no party of that name" }));
    };
    let mut agreements = Vec::new();
    let until = Instant::now() + CHECK_DEADLINE;
    for agreement in registry.agreements().filter(|agreement| agreement.partner == party.key) {
        agreements.push(check_agreement(shared, party, agreement, until).await);
    }
    let reached = !agreements.is_empty() && agreements.iter().all(|checked| checked.reached);
    let told = json!({
        "party": party.key, "name": party.name, "reached": reached, "agreements": agreements,
    });
    json_response(StatusCode::OK, &told)
}

async fn check_agreement(
    shared: &Arc<Shared>,
    party: &Party,
    agreement: &Agreement,
    until: Instant,
) -> Checked {
    let mut steps = Vec::new();
    let reached = take_steps(shared, party, agreement, until, &mut steps).await;
    if let Err((step, says)) = &reached {
        steps.push(Taken { step, ok: false, says: says.clone() });
    }
    Checked {
        cpa_id: agreement.cpa_id.to_string(),
        endpoint: agreement.endpoint.as_deref().unwrap_or("mailbox").to_owned(),
        reached: reached.is_ok(),
        steps,
    }
}

/// The step that failed, and why.
type Failed = (&'static str, String);

async fn take_steps(
    shared: &Arc<Shared>,
    party: &Party,
    agreement: &Agreement,
    until: Instant,
    steps: &mut Vec<Taken>,
) -> Result<(), Failed> {
    let mut took = |step: &'static str, says: String| steps.push(Taken { step, ok: true, says });
    if !agreement.in_force(now()) {
        return Err(("agreement", "it is not in force now".to_owned()));
    }
    took("agreement", "it is in force".to_owned());
    if agreement.endpoint.is_none() {
        took("mailbox", "nothing is posted to it: it collects".to_owned());
        return Ok(());
    }
    let (message_id, sealed) = sealed_ping(shared, agreement).await.map_err(|why| ("sign", why))?;
    let answer = shared.questions.ask(message_id);
    let began = Instant::now();
    let posted = timeout_at(until, post(shared, &party.key, &agreement.cpa_id, &sealed)).await;
    let response = match posted {
        Err(_) => return Err(("answer", nothing_in_time())),
        Ok(Ok(response)) => response,
        Ok(Err(NotPosted::Unregistered(why))) => return Err(("agreement", why.to_owned())),
        Ok(Err(NotPosted::Failed(error))) => {
            let step = match error.kind {
                PostErrorKind::Connect => "connect",
                PostErrorKind::Tls | PostErrorKind::WrongParty => "tls",
                _ => "answer",
            };
            return Err((step, error.to_string()));
        }
    };
    took("connect", "it takes connections".to_owned());
    took("tls", "its certificate is trusted and registered, and it takes ours".to_owned());
    let status = response.status;
    match read_response(shared, response).await {
        AttemptOutcome::Taken => took("answer", format!("HTTP {status}")),
        AttemptOutcome::Again { reason, .. } | AttemptOutcome::GiveUp { reason } => {
            return Err(("answer", reason));
        }
    }
    // Under mshSignalsOnly it is there by now.
    let Ok(Ok(heard)) = timeout_at(until, answer).await else { return Err(("pong", nothing_in_time())) };
    let signed = judge(&heard, &party.key, agreement.reliability.ack_signed)?;
    took("pong", format!("{signed}, after {} ms", began.elapsed().as_millis()));
    Ok(())
}

fn nothing_in_time() -> String {
    format!("nothing came within {} s", CHECK_DEADLINE.as_secs())
}

/// Whether it is the Pong of this party, as its agreement wants it.
fn judge(heard: &Heard, party: &PartyKey, ack_signed: bool) -> Result<&'static str, Failed> {
    match &heard.says {
        _ if heard.by != *party => Err(("pong", format!("it came from {}", heard.by))),
        Says::Errors(errors) => Err(("pong", format!("it answers with errors: {errors}"))),
        Says::Status(_) => Err(("pong", "it answers with a StatusResponse".to_owned())),
        Says::Pong if heard.signed => Ok("signed and verified"),
        Says::Pong if ack_signed => {
            Err(("pong", "it is not signed, but the agreement demands it of signals".to_owned()))
        }
        Says::Pong => Ok("not signed, as agreed"),
    }
}

/// A Ping under a MessageId of its own, signed where the agreement has its signals signed.
async fn sealed_ping(shared: &Arc<Shared>, agreement: &Agreement) -> Result<(MessageId, Sealed), String> {
    let (asked_at, number) = (now(), shared.questions.number());
    let agreement = agreement.clone();
    let sealing = compute(shared, move |_, in_force| {
        let (at, number) = (asked_at.to_string(), number.to_string());
        let id = derive_id(&["ping", agreement.cpa_id.as_str(), &at, &number]);
        let id = format!("{id}@{}", in_force.settings.identity.domain);
        let message_id = MessageId::new(id).expect("a derived id and a host name are plain text");
        let conversation = ConversationId::new(message_id.as_str()).expect("so is this");
        let message = ping(&agreement, message_id.clone(), conversation, asked_at);
        let algorithm = agreement.signature.own_algorithm;
        let key = agreement.reliability.ack_signed.then(|| in_force.keys.key(algorithm));
        let key = match key {
            Some(None) => return Err(SealError::NoKey(algorithm.uri())),
            key => key.flatten(),
        };
        Ok((message_id, seal(&message, key)?))
    });
    match sealing.await {
        Ok(Ok(sealed)) => Ok(sealed),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StatusResponse;

    fn party(key: &str) -> PartyKey {
        PartyKey::new(key).expect("a party")
    }

    #[test]
    fn only_the_pong_of_the_party_as_agreed_is_one() {
        fn check(heard: Heard, ack_signed: bool, expected: Result<&str, &str>) {
            let told = judge(&heard, &party("AG1"), ack_signed).map_err(|(_, why)| why);
            match (&told, expected) {
                (Ok(told), Ok(expected)) => assert_eq!(*told, expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                _ => panic!("{told:?}, expected {expected:?}"),
            }
        }
        let message_id = |id: &str| MessageId::new(id).expect("a MessageId");
        let heard = |by: &str, signed, says| Heard { about: message_id("q@sw"), by: party(by), signed, says };
        check(heard("AG1", true, Says::Pong), true, Ok("signed and verified"));
        check(heard("AG1", false, Says::Pong), true, Err("not signed"));
        check(heard("AG1", false, Says::Pong), false, Ok("not signed, as agreed"));
        check(heard("AG2", true, Says::Pong), true, Err("it came from AG2"));
        let errors = Says::Errors("NotSupported: Ping".to_owned());
        check(heard("AG1", true, errors), true, Err("NotSupported"));
        let told = StatusResponse {
            status: crate::model::MessageStatus::NotRecognized,
            ref_to_message_id: message_id("m@sw"),
            timestamp: None,
        };
        check(heard("AG1", true, Says::Status(told)), true, Err("a StatusResponse"));
    }
}
