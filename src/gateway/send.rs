//! Deliveries go out: one sender for each destination, woken by commits and by due times (P4, P15).
//!
//! What was committed with its first attempt comes by the lane. Everything else that is due is read from the store's
//! index, a window at a time: nothing here grows with the queue, and a destination that is dead or slow keeps nobody
//! else waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::driver::{DriveError, compute, drive, drive_delivery};
use super::lanes::{Lane, Transmission};
use super::receive::{Received, tell_deviations};
use super::shared::{Shared, now};
use crate::codec::envelope::decode_fault;
use crate::engine::Event;
use crate::model::{
    AttemptOutcome, DeliveryId, Digest, Octets, Party, PartyKey, Registry, Sealed, Unreadable,
};
use crate::msh::{ResponseContent, judge_response};
use crate::security::{Origin, RefusalCause};
use crate::store::StoreError;
use crate::telemetry::EventCode;
use crate::transport::{Content, Endpoint, Post, PostError, PostErrorKind, PostResponse};

/// How long a sender rests when the store cannot be read, or an event came to nothing.
const REST: Duration = Duration::from_secs(1);
/// How long a sender sleeps when nothing is due that it knows of: what a step of the clock or a lost bell costs.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How soon it looks again while what is due is in hand and its attempt not yet committed.
const SETTLING: Duration = Duration::from_millis(250);
/// SOAPAction of every message (ebMS 2.0, B.2.2).
pub(super) const SOAP_ACTION: &str = "\"ebXML\"";

/// Runs a sender for every destination that is ever woken, until the gateway drains.
pub(super) async fn send_all(shared: Arc<Shared>) {
    let mut senders = JoinSet::new();
    let mut known = BTreeSet::new();
    loop {
        for (destination, lane) in shared.lanes.all() {
            if known.insert(destination.clone())
                && let Some(prompted) = lane.prompted()
            {
                senders.spawn(Sender::new(Arc::clone(&shared), destination, lane).run(prompted));
            }
        }
        tokio::select! {
            () = shared.lanes.newcomers.notified() => {}
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
    lane: Arc<Lane>,
    in_hand: BTreeSet<DeliveryId>,
    attempts: JoinSet<Left>,
    /// Deliveries by the task that has them.
    tasks: BTreeMap<task::Id, DeliveryId>,
    /// The instant of the next look at what is due.
    look_at: Instant,
}

impl Sender {
    fn new(shared: Arc<Shared>, destination: PartyKey, lane: Arc<Lane>) -> Self {
        Self {
            shared,
            destination,
            lane,
            in_hand: BTreeSet::new(),
            attempts: JoinSet::new(),
            tasks: BTreeMap::new(),
            look_at: Instant::now(),
        }
    }

    async fn run(mut self, mut prompted: Receiver<Transmission>) {
        let shared = Arc::clone(&self.shared);
        let lane = Arc::clone(&self.lane);
        while !*shared.draining.borrow() && !shared.has_failed() {
            tokio::select! {
                Some(transmission) = prompted.recv() => self.take_prompted(transmission),
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => self.ended(ended),
                () = lane.bell.notified() => self.look_at = Instant::now(),
                () = sleep_until(self.look_at) => self.look_at = self.look().await,
                () = shared.drain_begins() => {}
            }
        }
        // What is in hand ends, and what is being committed with a place held for it still leaves.
        while !lane.close_when_idle() && !shared.has_failed() {
            tokio::select! {
                Some(transmission) = prompted.recv() => self.take_prompted(transmission),
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => self.ended(ended),
                () = lane.bell.notified() => {}
            }
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Takes in hand what is due and has room; gives the instant of the next look.
    async fn look(&mut self) -> Instant {
        let room = self.lane.room();
        if room == 0 {
            self.lane.looked(true);
            return Instant::now() + LONGEST_SLEEP;
        }
        let destination = self.destination.clone();
        let limit = room + self.in_hand.len();
        // One instant for both questions: what falls due between two would be neither taken nor waited for.
        let looked_at = now();
        let looked = compute(&self.shared, move |shared, _| {
            let beyond = looked_at.plus(shared.longest_wait(&destination));
            let mut due = shared.store.stalled(&destination, beyond, limit)?;
            due.extend(shared.store.due(&destination, looked_at, limit - due.len())?);
            let next = if due.is_empty() { shared.store.next_due(&destination)? } else { Some(looked_at) };
            Ok::<_, StoreError>((due, next))
        });
        let (due, next) = match looked.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                warn!(event = EventCode::StoreUnreadable.code(), reason = %error, "what is due cannot be read");
                return Instant::now() + REST;
            }
            Err(_) => return Instant::now() + REST,
        };
        let may_be_more = due.len() >= limit;
        let fresh: Vec<_> =
            due.into_iter().map(|due| due.id).filter(|id| !self.in_hand.contains(id)).take(room).collect();
        let places = self.lane.take(fresh.len());
        self.lane.looked(may_be_more || places < fresh.len());
        for due in fresh.into_iter().take(places) {
            let (shared, id) = (Arc::clone(&self.shared), due.clone());
            self.spawn(due, async move { attempt(&shared, id).await });
        }
        let until = next.map_or(LONGEST_SLEEP, |due| due.since(looked_at).min(LONGEST_SLEEP));
        // What is due and in hand hides what comes after it, until its attempt is committed.
        Instant::now() + if until.is_zero() { SETTLING } else { until }
    }

    /// Transmits what was committed with its first attempt; the next look finds when it comes due again.
    fn take_prompted(&mut self, transmission: Transmission) {
        let shared = Arc::clone(&self.shared);
        self.spawn(transmission.delivery.clone(), async move { transmit(&shared, transmission).await });
        self.look_soon();
    }

    fn spawn(&mut self, delivery: DeliveryId, work: impl Future<Output = Left> + Send + 'static) {
        let handle = self.attempts.spawn(work);
        self.in_hand.insert(delivery.clone());
        self.tasks.insert(handle.id(), delivery);
    }

    /// Gives a delivery's place back, and looks again when something may wait for it.
    fn ended(&mut self, ended: Result<(task::Id, Left), JoinError>) {
        let (task, left) = match ended {
            Ok(ended) => ended,
            Err(fault) => {
                error!(event = EventCode::AttemptPanicked.code(), reason = %fault, "an attempt panicked");
                (fault.id(), Left::Undecided)
            }
        };
        if let Some(id) = self.tasks.remove(&task) {
            self.in_hand.remove(&id);
        }
        let is_awaited = self.lane.left(matches!(left, Left::Taken));
        match left {
            Left::Undecided => self.look_at = Instant::now() + REST,
            Left::Taken | Left::Failed if is_awaited => self.look_at = Instant::now(),
            Left::Taken | Left::Failed => self.look_soon(),
        }
    }

    fn look_soon(&mut self) {
        self.look_at = self.look_at.min(Instant::now() + SETTLING);
    }
}

/// A delivery whose time has come: decided, transmitted, and what came of it decided again.
async fn attempt(shared: &Arc<Shared>, delivery: DeliveryId) -> Left {
    let released = drive_delivery(shared, Event::Due(delivery.clone()), delivery).await;
    let transmission = match released {
        Ok(released) => released.transmission,
        Err(error) => return undecided(&error),
    };
    match transmission {
        Some(transmission) => transmit(shared, transmission).await,
        None => Left::Taken,
    }
}

/// Transmits a delivery whose attempt is committed, and has decided what came of it.
async fn transmit(shared: &Arc<Shared>, transmission: Transmission) -> Left {
    let outcome = match post_stored(shared, &transmission).await {
        Ok(outcome) => outcome,
        Err(Unreadable(reason)) => {
            let Transmission { delivery, .. } = transmission;
            let driven = drive(shared, Event::Damaged { delivery, reason }).await;
            return driven.map_or_else(|error| undecided(&error), |_| Left::Failed);
        }
    };
    let Transmission { delivery, attempt, destination, awaits_receipt, .. } = transmission;
    shared.metrics.attempt(shared.in_force.load().name_of(Some(&destination)), &outcome);
    let left = if outcome.is_taken(awaits_receipt) { Left::Taken } else { Left::Failed };
    let driven = drive(shared, Event::Attempted { delivery, attempt, awaits_receipt, outcome }).await;
    driven.map_or_else(|error| undecided(&error), |_| left)
}

fn undecided(error: &DriveError) -> Left {
    warn!(event = EventCode::GatewayDriveFailed.code(), reason = %error, "a delivery could not be decided now");
    Left::Undecided
}

/// Posts the octets as they are stored, and has a message in the response decided like any other.
///
/// # Errors
/// When they are not what was stored: the peer did not get all of them.
async fn post_stored(
    shared: &Arc<Shared>,
    transmission: &Transmission,
) -> Result<AttemptOutcome, Unreadable> {
    let Transmission { delivery, destination, endpoint, sealed, .. } = transmission;
    match post(shared, destination, endpoint.as_deref(), sealed).await {
        Ok(response) => Ok(read_response(shared, response).await),
        Err(NotPosted::Unregistered(why)) => {
            Ok(AttemptOutcome::Again { reason: why.to_owned(), alarm: true, unsent: true })
        }
        Err(NotPosted::Failed(PostError { kind: PostErrorKind::Unreadable, text })) => {
            Err(Unreadable(format!("octets of delivery {delivery} are damaged: {text}")))
        }
        Err(NotPosted::Failed(error)) => Ok(no_response(&error)),
    }
}

/// Why nothing came back.
pub(super) enum NotPosted {
    /// What the registry lacks.
    Unregistered(&'static str),
    /// Where it ended.
    Failed(PostError),
}

/// Posts octets to a party at an endpoint of its agreement, and to nobody who cannot show a certificate of that party.
pub(super) async fn post(
    shared: &Shared,
    destination: &PartyKey,
    endpoint: Option<&str>,
    sealed: &Sealed,
) -> Result<PostResponse, NotPosted> {
    let (endpoint, parties) = registered(shared, destination, endpoint)?;
    let post = Post {
        content_type: &sealed.content_type,
        soap_action: SOAP_ACTION,
        body: content(&sealed.body),
        parties: &parties,
    };
    shared.client.post(&endpoint, post).await.map_err(NotPosted::Failed)
}

/// Makes a connection of which [`post`] would make use, by `until`.
pub(super) async fn reach(
    shared: &Shared,
    destination: &PartyKey,
    endpoint: &str,
    until: Instant,
) -> Result<(), NotPosted> {
    let (endpoint, parties) = registered(shared, destination, Some(endpoint))?;
    shared.client.reach(&endpoint, &parties, until).await.map_err(NotPosted::Failed)
}

/// Where a party is posted to, and the certificates of which it has to show one.
fn registered(
    shared: &Shared,
    destination: &PartyKey,
    endpoint: Option<&str>,
) -> Result<(Endpoint, Vec<[u8; 32]>), NotPosted> {
    let party = |registry: &Registry| registry.party(destination).map(Party::tls_digests);
    let parties = party(&shared.in_force.load().trust.registry).unwrap_or_default();
    let Some(Ok(endpoint)) = endpoint.map(|url| url.parse::<Endpoint>()) else {
        return Err(NotPosted::Unregistered("there is no endpoint to send to"));
    };
    if parties.is_empty() {
        return Err(NotPosted::Unregistered("the destination has no registered certificate"));
    }
    Ok((endpoint, parties))
}

/// What is in memory as it is; what is filed from its files, checked as it leaves (P12, P13).
pub(super) fn content(octets: &Octets) -> Content {
    Content::of(octets.as_held(), octets.bytes(), octets.checked())
}

/// A network may have a bad day; what a certificate or a protocol does wrong does not mend itself.
fn no_response(error: &PostError) -> AttemptOutcome {
    use PostErrorKind::{
        Closed, Connect, Handshake, Protocol, Timeout, Tls, TooLarge, Unreadable, WrongParty,
    };
    let alarm = match error.kind {
        Connect | Handshake | Timeout | Closed => false,
        Tls | WrongParty | Protocol | TooLarge | Unreadable => true,
    };
    let unsent = matches!(error.kind, Connect | Handshake | Tls | WrongParty);
    AttemptOutcome::Again { reason: error.to_string(), alarm, unsent }
}

/// What a response says of the attempt; a message in it is decided like any other.
pub(super) async fn read_response(shared: &Arc<Shared>, response: PostResponse) -> AttemptOutcome {
    let status = response.status.as_u16();
    if response.body.is_empty() {
        return judge_response(status, ResponseContent::Empty);
    }
    let body = response.body.clone();
    let _begun = shared.under_way.begin();
    let received = Received {
        content_type: response.content_type.as_deref().unwrap_or_default().into(),
        body: response.body.into(),
        origin: Origin::Connection(Some(Digest(response.peer_certificate_der_sha256))),
        received_at: now(),
        waiting: false,
        other_soap_action: false,
    };
    let opened = compute(shared, move |_, in_force| match received.open(in_force) {
        Event::Refused(refused) => Err((decode_fault(&body), refused.refusal)),
        event => Ok(event),
    });
    let again = |reason, alarm| AttemptOutcome::Again { reason, alarm, unsent: false };
    match opened.await {
        Ok(Ok(event)) => {
            tell_deviations(shared, &event);
            match drive(shared, event).await {
                Ok(_) => judge_response(status, ResponseContent::Message),
                Err(error) => again(error.to_string(), false),
            }
        }
        Ok(Err((Some(fault), _))) => {
            judge_response(status, ResponseContent::Fault(fault.code.as_str(), &fault.text))
        }
        // A message of ebMS that cannot be believed, or not now, may say anything: that the peer took it is not known.
        Ok(Err((None, refusal))) if refusal.header.is_some() || refusal.cause == RefusalCause::Engine => {
            again(format!("HTTP {status} with a message that is refused: {}", refusal.text), true)
        }
        Ok(Err((None, refusal))) => judge_response(status, ResponseContent::Other(&refusal.text)),
        Err(error) => again(error.to_string(), true),
    }
}
