//! Deliveries go out: one sender for each destination, woken by commits and by due times (P4, P15).
//!
//! What is due is read from the store's index, a window at a time: nothing here grows with the queue, and a
//! destination that is dead or slow keeps nobody else waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::driver::{DriveError, compute, drive};
use super::shared::{Shared, now};
use crate::codec::envelope::decode_fault;
use crate::engine::{Action, Arrival, Event, read_documents};
use crate::model::{AttemptOutcome, CpaId, DeliveryId, Digest, PartyKey, Sealed};
use crate::msh::{ResponseContent, Window, judge_response};
use crate::security::{Wire, open};
use crate::telemetry::EventCode;
use crate::transport::{Endpoint, Post, PostResponse};

/// How long a sender rests when the store cannot be read, or an event came to nothing.
const REST: Duration = Duration::from_secs(1);
/// How long a sender sleeps when nothing is due that it knows of.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// SOAPAction of every message (ebMS 2.0, B.2.2).
const SOAP_ACTION: &str = "\"ebXML\"";

/// Runs a sender for every destination that is ever woken, until the gateway drains.
pub(super) async fn send_all(shared: Arc<Shared>) {
    let mut senders = JoinSet::new();
    let mut known = BTreeSet::new();
    loop {
        for (destination, bell) in shared.wakes.bells() {
            if known.insert(destination.clone()) {
                senders.spawn(Sender::new(Arc::clone(&shared), destination, bell).run());
            }
        }
        tokio::select! {
            () = shared.wakes.newcomers.notified() => {}
            () = shared.drain_begins() => break,
            Some(ended) = senders.join_next(), if !senders.is_empty() => {
                if let Err(fault) = ended {
                    error!(event = EventCode::Panicked.code(), reason = %fault, "a sender panicked");
                    shared.fail("a sender of deliveries ended by a panic");
                }
            }
        }
    }
    while senders.join_next().await.is_some() {}
}

/// What came of one attempt, for the window.
enum Left {
    /// The peer took it, or nothing had to be sent.
    Taken,
    /// The peer could not be reached or did not take it.
    Failed,
    /// The event could not be decided now.
    Undecided,
}

struct Sender {
    shared: Arc<Shared>,
    destination: PartyKey,
    bell: Arc<Notify>,
    window: Window,
    in_hand: BTreeSet<DeliveryId>,
    attempts: JoinSet<(DeliveryId, Left)>,
    /// Deliveries by the task that has them, should it panic.
    tasks: BTreeMap<tokio::task::Id, DeliveryId>,
}

impl Sender {
    fn new(shared: Arc<Shared>, destination: PartyKey, bell: Arc<Notify>) -> Self {
        let in_force = shared.in_force.load();
        let agreements = in_force.trust.registry.agreements();
        let limit = agreements.filter(|a| a.partner == destination).map(|a| a.window).max().unwrap_or(1);
        drop(in_force);
        Self {
            shared,
            destination,
            bell,
            window: Window::new(limit),
            in_hand: BTreeSet::new(),
            attempts: JoinSet::new(),
            tasks: BTreeMap::new(),
        }
    }

    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        while !*shared.draining.borrow() && !shared.has_failed() {
            let wake_at = self.fill().await;
            tokio::select! {
                () = self.bell.notified() => {}
                () = sleep_until(wake_at) => {}
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                    if self.ended(ended) {
                        sleep_until(Instant::now() + REST).await;
                    }
                }
                () = shared.drain_begins() => {}
            }
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Takes in hand what is due and has room; gives the instant of the next look.
    async fn fill(&mut self) -> Instant {
        let room = usize::try_from(self.window.room()).unwrap_or(usize::MAX);
        if room == 0 {
            return Instant::now() + LONGEST_SLEEP;
        }
        let destination = self.destination.clone();
        let limit = room + self.in_hand.len();
        // One instant for both questions: what falls due between two would be neither taken nor waited for.
        let looked_at = now();
        let looked = compute(&self.shared, move |shared, _| {
            let due = shared.store.due(&destination, looked_at, limit)?;
            let next = shared.store.next_due(&destination)?;
            Ok::<_, crate::store::StoreError>((due, next))
        });
        let (due, next) = match looked.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(event = EventCode::StoreUnreadable.code(), reason = %error, "what is due cannot be read");
                return Instant::now() + REST;
            }
            Err(_) => return Instant::now() + REST,
        };
        let fresh: Vec<_> =
            due.into_iter().filter(|due| !self.in_hand.contains(&due.id)).take(room).collect();
        for due in fresh {
            self.window.take();
            self.in_hand.insert(due.id.clone());
            let (shared, id) = (Arc::clone(&self.shared), due.id.clone());
            let handle = self.attempts.spawn(async move {
                let left = attempt(&shared, id.clone()).await;
                (id, left)
            });
            self.tasks.insert(handle.id(), due.id);
        }
        let until = next.map_or(LONGEST_SLEEP, |due| due.since(looked_at).min(LONGEST_SLEEP));
        // Something due that is in hand already comes back by itself when its attempt ends.
        if until.is_zero() { Instant::now() + LONGEST_SLEEP } else { Instant::now() + until }
    }

    /// Gives a delivery's place back; whether to rest before the next look.
    fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, (DeliveryId, Left)), tokio::task::JoinError>,
    ) -> bool {
        let (task, left) = match ended {
            Ok((task, (_, left))) => (task, left),
            Err(fault) => {
                error!(event = EventCode::AttemptPanicked.code(), reason = %fault, "an attempt panicked");
                (fault.id(), Left::Undecided)
            }
        };
        if let Some(id) = self.tasks.remove(&task) {
            self.in_hand.remove(&id);
        }
        match left {
            Left::Taken => self.window.succeeded(),
            Left::Failed | Left::Undecided => self.window.failed(),
        }
        matches!(left, Left::Undecided)
    }
}

/// A delivery whose time has come: decided, transmitted, and what came of it decided again.
async fn attempt(shared: &Arc<Shared>, delivery: DeliveryId) -> Left {
    let actions = match drive(shared, Event::Due(delivery.clone())).await {
        Err(DriveError::Unsealable(error)) => {
            let reason = error.to_string();
            drive(shared, Event::Unsealable { delivery, reason }).await
        }
        driven => driven,
    };
    let actions = match actions {
        Ok(actions) => actions,
        Err(error) => return undecided(&error),
    };
    for action in actions {
        if let Action::Transmit { delivery, attempt, destination, cpa_id, sealed } = action {
            let outcome = transmit(shared, &destination, &cpa_id, sealed).await;
            shared.metrics.attempt(&name_of(shared, &destination), &outcome);
            let left = if outcome == AttemptOutcome::Taken { Left::Taken } else { Left::Failed };
            let driven = drive(shared, Event::Attempted { delivery, attempt, outcome }).await;
            return driven.map_or_else(|error| undecided(&error), |_| left);
        }
    }
    Left::Taken
}

fn undecided(error: &DriveError) -> Left {
    warn!(event = EventCode::GatewayDriveFailed.code(), reason = %error, "a delivery could not be decided now");
    Left::Undecided
}

fn name_of(shared: &Shared, party: &PartyKey) -> Arc<str> {
    let in_force = shared.in_force.load();
    in_force.trust.registry.party(party).map_or_else(|| "".into(), |party| party.name.clone())
}

/// Posts the octets as they are stored, and has a message in the response decided like any other.
async fn transmit(
    shared: &Arc<Shared>,
    destination: &PartyKey,
    cpa_id: &CpaId,
    sealed: Sealed,
) -> AttemptOutcome {
    let again = |reason: String| AttemptOutcome::Again { reason, alarm: true };
    let (endpoint, parties) = {
        let in_force = shared.in_force.load();
        let registry = &in_force.trust.registry;
        let endpoint = registry.agreement(cpa_id).map(|agreement| agreement.endpoint.clone());
        let parties = registry.party(destination).map(crate::model::Party::tls_digests).unwrap_or_default();
        (endpoint, parties)
    };
    let Some(Ok(endpoint)) = endpoint.map(|url| url.parse::<Endpoint>()) else {
        return again("there is no endpoint to send to".to_owned());
    };
    if parties.is_empty() {
        return again("the destination has no registered certificate".to_owned());
    }
    let post = Post {
        content_type: &sealed.content_type,
        soap_action: SOAP_ACTION,
        body: sealed.body,
        parties: &parties,
    };
    match shared.client.post(&endpoint, post).await {
        Ok(response) => read_response(shared, response).await,
        Err(error) => AttemptOutcome::Again { reason: error.to_string(), alarm: false },
    }
}

async fn read_response(shared: &Arc<Shared>, response: PostResponse) -> AttemptOutcome {
    let status = response.status.as_u16();
    if response.body.is_empty() {
        return judge_response(status, ResponseContent::Empty);
    }
    let received_at = now();
    let opened = compute(shared, move |_, in_force| {
        let content_type: Arc<str> = response.content_type.as_deref().unwrap_or_default().into();
        let peer = Some(Digest(response.peer_certificate_der_sha256));
        let wire = Wire { content_type: &content_type, body: &response.body, peer };
        match open(&wire, &in_force.trust, received_at) {
            Ok(verified) => {
                let documents = read_documents(&verified);
                let body = response.body;
                Ok(Event::Arrived(Box::new(Arrival {
                    verified,
                    documents,
                    content_type,
                    body,
                    received_at,
                    waiting: false,
                })))
            }
            Err(refusal) => Err((decode_fault(&response.body), refusal.text)),
        }
    });
    match opened.await {
        Ok(Ok(event)) => match drive(shared, event).await {
            Ok(_) => judge_response(status, ResponseContent::Message),
            Err(error) => AttemptOutcome::Again { reason: error.to_string(), alarm: false },
        },
        Ok(Err((Some(fault), _))) => {
            judge_response(status, ResponseContent::Fault(fault.code.as_str(), &fault.text))
        }
        Ok(Err((None, why))) => judge_response(status, ResponseContent::Other(&why)),
        Err(error) => AttemptOutcome::Again { reason: error.to_string(), alarm: true },
    }
}
