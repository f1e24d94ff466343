//! A practice partner as a process: it listens, takes messages in exactly once, answers with signed
//! acknowledgments, and sends what its role owes until that is acknowledged.
//!
//! Promises: the acknowledgment of a message leaves after its line in the journal is on stable storage; a
//! repeat gets the same octets and nothing else; what was begun before a crash is ended after it. Whatever
//! the gateway sends, a partner answers with an error of the standard or a receipt, never both.

mod kept;
mod owing;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use self::kept::{again, octets_of, read_again};
pub(super) use self::kept::{read_first, received};
use super::arrived;
use super::customs::CustomsMove;
use super::journal::{Entry, Journal, Octets, Place, Posted, Received, Sent};
use super::partner::Partner;
use super::role::{Owed, Play};
use super::script::Script;
use crate::codec::envelope::encode_fault;
use crate::model::{
    Agreement, Digest, EbxmlError, ErrorCode, Message, MessageHeader, MessageId, MessageKind, MessageStatus,
    Octets as Body, Sealed, SignalAction, StatusBody, StatusResponse, SyncReplyMode, Timestamp,
};
use crate::msh::{self, AgePolicy};
use crate::security::{RefusalAnswer, Verified};
use crate::transport::{Content, Request, Response, Server, StatusCode};

/// How a practice partner behaves towards the gateway besides its role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// It takes each message and waits so long before the HTTP answer.
    pub slow: Duration,
    /// It takes connections and requests, and never answers.
    pub dead: bool,
}

/// What a node has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Messages handed on.
    pub handed_on: usize,
    /// Messages of its own whose end is known.
    pub ended: usize,
}

/// A partner that listens.
pub struct Node {
    desk: Arc<Desk>,
    server: Server,
}

/// What handlers and senders share.
struct Desk {
    partner: Partner,
    play: Play,
    manners: Manners,
    journal: Journal,
    /// Every message that was taken in, or is being.
    known: Mutex<BTreeMap<MessageId, Known>>,
    /// Messages of ours whose end is open, and where signals about them go.
    open: Mutex<BTreeMap<MessageId, mpsc::Sender<Verified>>>,
    sending: Mutex<JoinSet<()>>,
    /// What declarations say that customs shall do with them.
    declared: Mutex<BTreeMap<Arc<str>, Script<CustomsMove>>>,
    done: watch::Sender<Done>,
    clock: fn() -> Timestamp,
}

/// How a MessageId stands.
#[derive(Clone, Copy)]
enum Known {
    /// Its line is being written.
    Arriving,
    /// Taken in, with this content, at this place of the journal.
    Taken(Digest, Place),
}

/// What the journal holds that is not done with.
#[derive(Default)]
struct Unfinished {
    known: BTreeMap<MessageId, Known>,
    received: Vec<Received>,
    sent: BTreeMap<MessageId, Sent>,
}

impl Node {
    /// Starts listening and goes on with what the journal says is not done with.
    ///
    /// # Errors
    /// When the journal cannot be opened or the address is taken.
    pub async fn start(
        partner: Partner,
        play: Play,
        manners: Manners,
        clock: fn() -> Timestamp,
    ) -> Result<Self> {
        let settings = partner.settings();
        let mut unfinished = Unfinished::default();
        let journal = Journal::open(&settings.directory, |entry, place| unfinished.add(entry, place))
            .with_context(|| format!("the journal in {}", settings.directory.display()))?;
        let (tls, path) = (partner.tls(), settings.path.clone());
        let address =
            settings.listen.context("[listen] ebms is missing: this partner collects, it does not listen")?;
        let desk = Arc::new(Desk {
            partner,
            play,
            manners,
            journal,
            known: Mutex::new(std::mem::take(&mut unfinished.known)),
            open: Mutex::default(),
            sending: Mutex::default(),
            declared: Mutex::default(),
            done: watch::Sender::default(),
            clock,
        });
        let handler = {
            let desk = Arc::clone(&desk);
            move |request: Request| {
                let (desk, path) = (Arc::clone(&desk), path.clone());
                // In a task of its own: a gateway that hangs up, or dies, cuts nothing short.
                let answering = tokio::spawn(async move { desk.answer(request, &path).await });
                async move {
                    let answered = answering.await;
                    answered.unwrap_or_else(|_| Response::empty(StatusCode::INTERNAL_SERVER_ERROR))
                }
            }
        };
        let options = arrived::options(&desk.partner.settings().directory);
        let server = Server::tls(address, tls, options, handler).await?;
        desk.resume(unfinished);
        Ok(Self { desk, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.address()
    }

    /// What it has done since it started, as it goes on.
    #[must_use]
    pub fn done(&self) -> watch::Receiver<Done> {
        self.desk.done.subscribe()
    }

    /// Stops listening and sending. What is not done with goes on after the next start.
    pub async fn stop(self, deadline: Duration) {
        self.server.shutdown(deadline).await;
        let mut sending = std::mem::take(&mut *lock(&self.desk.sending));
        sending.shutdown().await;
    }
}

impl Unfinished {
    fn add(&mut self, entry: Entry, place: Place) {
        match entry {
            Entry::Received(received) => {
                self.known.insert(received.message_id.clone(), Known::Taken(received.content, place));
                self.received.push(received);
            }
            Entry::Sent(sent) => {
                self.sent.insert(sent.message_id.clone(), sent);
            }
            Entry::Signal(_) => {}
            Entry::Ended(ended) => {
                // Its place stays, so that it is not made anew.
                self.sent.entry(ended.message_id).and_modify(|sent| sent.sealed.body.clear());
            }
        }
    }
}

impl Desk {
    /// Goes on after a restart: messages without an end are sent on, answers that were never made are made.
    fn resume(self: &Arc<Self>, mut unfinished: Unfinished) {
        // A response whose request was not taken in before the end went nowhere.
        unfinished.sent.retain(|_, sent| unfinished.known.contains_key(&sent.cause));
        for received in unfinished.received {
            let owed = self.owed_for(read_again(self.catalogue(), &received).as_ref(), &received);
            let missing = owed.into_iter().filter(|owed| {
                let id = self.id_of(&received.message_id, owed.step);
                !unfinished.sent.contains_key(&id)
            });
            for owed in missing {
                self.spawn_owed(owed, &received);
            }
        }
        for sent in unfinished.sent.into_values().filter(|sent| !sent.sealed.body.is_empty()) {
            let desk = Arc::clone(self);
            self.spawn(async move { desk.deliver(sent).await });
        }
    }

    async fn answer(self: Arc<Self>, request: Request, path: &str) -> Response {
        if self.manners.dead {
            std::future::pending::<()>().await;
        }
        let slow = self.manners.slow;
        let answer = self.answer_of(request, path).await;
        sleep(slow).await;
        answer
    }

    async fn answer_of(self: Arc<Self>, request: Request, path: &str) -> Response {
        if request.path != path {
            return Response::empty(StatusCode::NOT_FOUND);
        }
        let Some(content_type) = request.header("content-type").map(str::to_owned) else {
            return Response::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        };
        let now = (self.clock)();
        let peer = request.peer.certificate_der_sha256().map(Digest);
        let Ok(body) = arrived::body_of(request) else {
            return Response::empty(StatusCode::SERVICE_UNAVAILABLE);
        };
        let opening = {
            let (desk, content_type, body) = (Arc::clone(&self), content_type.clone(), body.clone());
            spawn_blocking(move || desk.partner.open_octets(&content_type, &body, peer, now))
        };
        let verified = match opening.await {
            Ok(Ok(verified)) => verified,
            Ok(Err(refusal)) => {
                tracing::warn!(cause = refusal.text, "refused");
                return self.refuse(&refusal.answer, refusal.header.as_deref(), now);
            }
            Err(_) => return Response::empty(StatusCode::INTERNAL_SERVER_ERROR),
        };
        match verified.message().kind {
            MessageKind::Signal(SignalAction::Ping | SignalAction::StatusRequest) => {
                self.answer_question(&verified, now).unwrap_or_else(|error| {
                    tracing::error!(cause = format!("{error:#}"), "a question cannot be answered");
                    Response::empty(StatusCode::SERVICE_UNAVAILABLE)
                })
            }
            MessageKind::Signal(_) => self.take_signal(verified, content_type, &body).await,
            MessageKind::User => self.take(&verified, now).await.unwrap_or_else(|error| {
                tracing::error!(cause = format!("{error:#}"), "a message cannot be taken in");
                Response::empty(StatusCode::SERVICE_UNAVAILABLE)
            }),
        }
    }

    /// A Pong, or what has become of a message of the gateway's (ebMS 2.0, 7 and 8).
    fn answer_question(self: &Arc<Self>, verified: &Verified, now: Timestamp) -> Result<Response> {
        let Message { header, status, .. } = verified.message();
        let agreement = self.partner.agreement(verified.cpa_id())?;
        let errors = msh::check_arrival(verified.message(), agreement, now, AgePolicy::default());
        if !errors.is_empty() {
            return self.error(header, agreement, errors, now);
        }
        let (own, id) = (agreement.own(), self.partner.fresh_id()?);
        let answer = match status {
            Some(StatusBody::Asked(about)) => {
                msh::status_response(header, &own, id, self.status_of(about)?, now)
            }
            _ => msh::pong(header, &own, id, now),
        };
        Ok(self.respond(agreement, self.partner.seal_answer(&answer, agreement)?))
    }

    fn status_of(&self, about: &MessageId) -> Result<StatusResponse> {
        let place = match lock(&self.known).get(about) {
            Some(Known::Taken(_, place)) => Some(*place),
            _ => None,
        };
        let (status, timestamp) = match place.map(|place| self.journal.read(place)).transpose()? {
            Some(Entry::Received(received)) => (MessageStatus::Processed, Some(received.time)),
            _ => (MessageStatus::NotRecognized, None),
        };
        Ok(StatusResponse { status, ref_to_message_id: about.clone(), timestamp })
    }

    /// Hands a signal to whoever sends the message that it is about: us, or a command that reads it in the
    /// journal.
    async fn take_signal(&self, verified: Verified, content_type: String, body: &Body) -> Response {
        let Some(about) = verified.message().header.data.ref_to_message_id.clone() else {
            return Response::empty(StatusCode::ACCEPTED);
        };
        let sender = lock(&self.open).get(&about).cloned();
        if let Some(sender) = sender {
            if sender.send(verified).await.is_err() {
                tracing::debug!("a signal came when its message was done with");
            }
            return Response::empty(StatusCode::ACCEPTED);
        }
        let Some(body) = body.as_held() else { return Response::empty(StatusCode::PAYLOAD_TOO_LARGE) };
        let octets = Octets { content_type: content_type.into(), body: body.to_vec() };
        let posted = Entry::Signal(Posted { time: (self.clock)(), about, octets });
        match self.journal.append(&posted).await {
            Ok(_) => Response::empty(StatusCode::ACCEPTED),
            Err(error) => {
                tracing::error!(cause = error.to_string(), "a signal cannot be noted");
                Response::empty(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Takes a user message in, once, and answers.
    async fn take(self: &Arc<Self>, verified: &Verified, now: Timestamp) -> Result<Response> {
        let message = verified.message();
        let agreement = self.partner.agreement(verified.cpa_id())?;
        let id = &message.header.data.message_id;
        let content = message.content_digest(verified.is_signed());
        let known = {
            let mut all = lock(&self.known);
            let known = all.get(id).copied();
            if known.is_none() {
                all.insert(id.clone(), Known::Arriving);
            }
            known
        };
        match known {
            None => {}
            // The other copy will be done with in a moment.
            Some(Known::Arriving) => return Ok(Response::overloaded(Duration::from_secs(1))),
            Some(Known::Taken(stored, place)) if stored == content => return self.repeat(agreement, place),
            Some(Known::Taken(..)) => {
                let path = Some(
                    "/soap:Envelope/soap:Header/eb:MessageHeader/eb:MessageData/eb:MessageId".to_owned(),
                );
                let text = "the MessageId is taken by another message";
                return self.error(
                    &message.header,
                    agreement,
                    vec![EbxmlError::new(ErrorCode::Inconsistent, path, text)],
                    now,
                );
            }
        }
        let taken = self.take_new(message, agreement, content, now).await;
        if let Err(_) | Ok((_, None)) = &taken {
            lock(&self.known).remove(id);
        }
        let (response, taken) = taken?;
        if let Some(Taken { received, place, owed, response }) = taken {
            lock(&self.known).insert(id.clone(), Known::Taken(content, place));
            self.done.send_modify(|done| done.handed_on += 1);
            let answered = response.as_ref().map(|(step, _)| *step);
            for owed in owed.into_iter().filter(|owed| Some(owed.step) != answered) {
                self.spawn_owed(owed, &received);
            }
            if let Some((_, sent)) = response {
                self.spawn_begun(sent);
            }
        }
        Ok(response)
    }

    /// The answer to a message that is new, and its journal entry if it was taken in.
    async fn take_new(
        self: &Arc<Self>,
        message: &Message,
        agreement: &Agreement,
        content: Digest,
        now: Timestamp,
    ) -> Result<(Response, Option<Taken>)> {
        let errors = msh::check_arrival(message, agreement, now, AgePolicy::default());
        if !errors.is_empty() {
            return Ok((self.error(&message.header, agreement, errors, now)?, None));
        }
        let signed = msh::wants_acknowledgment(message);
        let id = self.partner.id_from(&["acknowledgment", message.header.data.message_id.as_str()]);
        let receipt = msh::acknowledge(message, &agreement.own(), id, signed.unwrap_or_default(), now);
        let mut answer = self.partner.seal_answer(&receipt, agreement)?;
        let document = read_first(self.catalogue(), message, now);
        let mut received = received(message, document.as_ref(), content, octets_of(&answer), now);
        let owed = self.owed_for(document.as_ref(), &received);
        let response = self.response(&owed, agreement, &received, &receipt).filter(|_| signed.is_some());
        if let Some((_, sent)) = &response {
            received.answer = sent.sealed.clone();
            answer = again(&sent.sealed);
            // Before its request: what is sent on after a crash is what was taken in.
            self.journal.append(&Entry::Sent(sent.clone())).await?;
        }
        let place = self.journal.append(&Entry::Received(received.clone())).await?;
        let answered = match signed {
            Some(_) => self.respond(agreement, answer),
            None => Response::empty(StatusCode::ACCEPTED),
        };
        Ok((answered, Some(Taken { received, place, owed, response })))
    }

    /// The stored answer, octet for octet.
    fn repeat(self: &Arc<Self>, agreement: &Agreement, place: Place) -> Result<Response> {
        match self.journal.read(place)? {
            Entry::Received(Received { answer, .. }) => Ok(self.respond(agreement, again(&answer))),
            _ => anyhow::bail!("the journal has changed under us"),
        }
    }

    fn error(
        self: &Arc<Self>,
        header: &MessageHeader,
        agreement: &Agreement,
        errors: Vec<EbxmlError>,
        now: Timestamp,
    ) -> Result<Response> {
        let id = self.partner.fresh_id()?;
        let answer = msh::message_error(header, &agreement.own(), id, errors, now);
        Ok(self.respond(agreement, self.partner.seal_answer(&answer, agreement)?))
    }

    /// A signal on the way that the agreement wants: in the HTTP response, or posted by itself, once; a
    /// repeat of the message brings it again.
    fn respond(self: &Arc<Self>, agreement: &Agreement, signal: Sealed) -> Response {
        if agreement.sync_reply_mode != SyncReplyMode::None {
            return Response::new(
                StatusCode::OK,
                &*signal.content_type,
                Content::of(signal.body.as_held(), signal.body.bytes(), signal.body.checked()),
            );
        }
        let (desk, agreement) = (Arc::clone(self), agreement.clone());
        self.spawn(async move {
            if let Err(error) = desk.partner.post(&agreement, &signal).await {
                tracing::warn!(cause = format!("{error:#}"), "a signal was not taken");
            }
        });
        Response::empty(StatusCode::ACCEPTED)
    }

    /// The answer to a message that could not be opened.
    fn refuse(
        self: &Arc<Self>,
        answer: &RefusalAnswer,
        header: Option<&MessageHeader>,
        now: Timestamp,
    ) -> Response {
        let faulty = Response::empty(StatusCode::INTERNAL_SERVER_ERROR);
        match answer {
            RefusalAnswer::Http(status) => {
                Response::empty(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST))
            }
            RefusalAnswer::Fault(fault) => {
                Response::new(StatusCode::INTERNAL_SERVER_ERROR, XML, encode_fault(fault))
            }
            RefusalAnswer::Errors(errors) => {
                let Some(header) = header else { return faulty };
                let Ok(agreement) = self.partner.agreement(&header.cpa_id) else { return faulty };
                self.error(header, agreement, errors.clone(), now).unwrap_or(faulty)
            }
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut sending = lock(&self.sending);
        while sending.try_join_next().is_some() {}
        sending.spawn(task);
    }
}

/// A message that was taken in.
struct Taken {
    received: Received,
    place: Place,
    owed: Vec<Owed>,
    /// What went back on its connection, by its place among what is owed.
    response: Option<(usize, Sent)>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const XML: &str = "text/xml; charset=UTF-8";
