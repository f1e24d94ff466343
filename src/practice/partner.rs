//! One partner's side of the wire: it writes, seals, posts and sends again until a verified signed receipt is
//! there (ebMS 2.0, 6.5), and opens what the gateway answers.
//!
//! Remembers nothing: [`Node`](super::Node) keeps a journal, `gwanmun send` a person.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use openssl::rand::rand_bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::journal::Ending;
use super::numbers::{Numbered, Numbers, Turn};
use super::outcome::{Attempt, Outcome, Wanted, again_or_end};
use crate::codec::envelope::decode_fault;
use crate::config::PartySettings;
use crate::model::{
    Acknowledgment, Agreement, ConversationId, CpaId, EbxmlError, Fingerprint, Message, MessageId,
    MessageKind, MessageOrder, Octets, Payload, Sealed, Severity, Timestamp, derive_id,
};
use crate::msh::{self, Posting, ResponseContent};
use crate::security::{
    self, KeyRing, OpenLimits, Origin, Refusal, Signer, SigningKeys, Trust, Verified, Wire,
};
use crate::transport::{Call, Client, ClientOptions, Content, Endpoint, Post, PostResponse, Tls, TlsContext};

/// A partner that can speak to its gateway.
pub struct Partner {
    settings: PartySettings,
    trust: Trust,
    keys: SigningKeys,
    numbers: Numbers,
    tls: Tls,
    client: Client,
}

/// What to write to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// MessageId.
    pub message_id: MessageId,
    /// ConversationId.
    pub conversation_id: ConversationId,
    /// RefToMessageId.
    pub ref_to_message_id: Option<MessageId>,
    /// Service.
    pub service: Arc<str>,
    /// Action.
    pub action: Arc<str>,
    /// The document, then what goes with it.
    pub payloads: Vec<Payload>,
    /// Receipts that ride on it, when it goes back on the connection of what it answers.
    pub acknowledgments: Vec<Acknowledgment>,
    /// Its place in the conversation, where the agreement has an order; see [`Partner::seal_in_order`].
    pub order: Option<MessageOrder>,
}

/// A message ready to be sent, again and again the same.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its MessageId.
    pub message_id: MessageId,
    /// The agreement it is sent under.
    pub cpa_id: CpaId,
    /// Its octets.
    pub sealed: Sealed,
}

impl Partner {
    /// Reads keys and certificates.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(settings: PartySettings) -> Result<Self> {
        let tls = Tls::new(TlsContext::load(&settings.tls)?);
        let files: Vec<_> =
            settings.signing.iter().map(|files| (files.certificate.clone(), files.key.clone())).collect();
        let keys = SigningKeys::load(&files)?;
        let ring = KeyRing::new(settings.partners.signing_certificates.iter().cloned())?;
        let trust = Trust {
            registry: Arc::new(settings.partners.registry.clone()),
            keys: Arc::new(ring),
            engine: security::Engine::Own,
            own_ids: settings.identity.ids.clone(),
            limits: OpenLimits::default(),
        };
        let client = Client::new(tls.clone(), ClientOptions::default());
        let numbers = Numbers::of(settings.directory.clone());
        Ok(Self { settings, trust, keys, numbers, tls, client })
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &PartySettings {
        &self.settings
    }

    /// Its TLS context, for a listener.
    #[must_use]
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// A MessageId that nobody else can make.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn fresh_id(&self) -> Result<MessageId> {
        let mut random = [0; 20];
        rand_bytes(&mut random)?;
        Ok(self.id_from(&[&format!("{random:02x?}")]))
    }

    /// The MessageId that follows from these parts.
    #[must_use]
    pub fn id_from(&self, parts: &[&str]) -> MessageId {
        let Self { settings, .. } = self;
        let id = format!("{}@{}", derive_id(parts), settings.identity.domain);
        MessageId::new(id).expect("base 32 and a host name are plain text")
    }

    /// Writes and seals a letter, with the next number of its conversation where its agreement has an order.
    /// When this succeeds the number is used, whatever becomes of the letter.
    ///
    /// # Errors
    /// When no agreement lets it go, it cannot be signed, or the numbers cannot be read or written.
    pub fn seal_in_order(&self, letter: Letter, now: Timestamp) -> Result<(Outgoing, Option<MessageOrder>)> {
        let Some(turn) = self.turn_of(&letter, now)? else { return Ok((self.seal(letter, now)?, None)) };
        let order = Some(turn.order());
        let outgoing = self.seal(Letter { order, ..letter }, now)?;
        turn.take().context(NUMBERS)?;
        Ok((outgoing, order))
    }

    /// The same, of a letter that is not sent: its number stays free.
    ///
    /// # Errors
    /// When no agreement lets it go, it cannot be signed, or the numbers cannot be read.
    pub fn seal_to_check(&self, letter: Letter, now: Timestamp) -> Result<Outgoing> {
        let order = self.turn_of(&letter, now)?.map(|turn| turn.order());
        self.seal(Letter { order, ..letter }, now)
    }

    fn turn_of(&self, letter: &Letter, now: Timestamp) -> Result<Option<Turn<'_>>> {
        let agreement = self.agreement_to_send(&letter.service, &letter.action, now)?;
        let turn = agreement.reliability.message_order.then(|| {
            self.numbers.turn(Numbered {
                cpa_id: agreement.cpa_id.clone(),
                conversation_id: letter.conversation_id.clone(),
                message_id: letter.message_id.clone(),
            })
        });
        turn.transpose().context(NUMBERS)
    }

    fn agreement_to_send(&self, service: &str, action: &str, now: Timestamp) -> Result<&Agreement> {
        let agreement = self.settings.agreement_to_send(service, action, now);
        agreement.with_context(|| format!("no agreement lets us send {action} of {service}"))
    }

    /// Writes and seals a letter.
    ///
    /// # Errors
    /// When no agreement lets it go, or it cannot be signed.
    pub fn seal(&self, letter: Letter, now: Timestamp) -> Result<Outgoing> {
        let Letter {
            message_id,
            conversation_id,
            ref_to_message_id,
            service,
            action,
            payloads,
            acknowledgments,
            order,
        } = letter;
        let agreement = self.agreement_to_send(&service, &action, now)?;
        let posting = Posting {
            message_id,
            conversation_id,
            ref_to_message_id,
            service: msh::service_to_send(agreement, &service, &action),
            action,
            timestamp: now,
            time_to_live: now.plus(agreement.reliability.time_to_live),
            order,
        };
        let mut message = msh::compose(agreement, posting, payloads);
        // Nothing comes back on what is itself a response.
        message.sync_reply &= acknowledgments.is_empty();
        message.acknowledgments = acknowledgments;
        self.seal_message(&message, agreement)
    }

    /// Seals a user message of this agreement.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn seal_message(&self, message: &Message, agreement: &Agreement) -> Result<Outgoing> {
        let sealed = security::seal(message, Some(self.signer(agreement)?))?;
        let message_id = message.header.data.message_id.clone();
        Ok(Outgoing { message_id, cpa_id: agreement.cpa_id.clone(), sealed })
    }

    /// Seals a signal under this agreement, as the agreement wants it.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn seal_answer(&self, answer: &Message, agreement: &Agreement) -> Result<Sealed> {
        let signer = if agreement.reliability.ack_signed { Some(self.signer(agreement)?) } else { None };
        Ok(security::seal(answer, signer)?)
    }

    /// Opens what came from a peer with this certificate.
    ///
    /// # Errors
    /// [`Refusal`] when it is not from the gateway under an agreement.
    pub fn open(
        &self,
        content_type: &str,
        body: &Bytes,
        peer: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<Verified, Box<Refusal>> {
        self.open_octets(content_type, &body.clone().into(), peer, now)
    }

    /// The same, of octets that may be filed.
    ///
    /// # Errors
    /// [`Refusal`] when it is not from the gateway under an agreement.
    pub fn open_octets(
        &self,
        content_type: &str,
        body: &Octets,
        peer: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<Verified, Box<Refusal>> {
        let wire = Wire { content_type, body, origin: Origin::Connection(peer) };
        security::open(&wire, &self.trust, now).map_err(Box::new)
    }

    /// Sends until what is wanted has come, the gateway refuses, or the retries are spent. `signals` brings a
    /// signal about the message that came by itself. What is `begun` has gone back on a connection, which was
    /// its first transmission. Nobody can tell whether that arrived: where no receipt is asked the message is
    /// posted once more, or counts as taken when no Retries are agreed.
    ///
    /// # Errors
    /// When the agreement is gone.
    pub async fn deliver(
        &self,
        outgoing: &Outgoing,
        mut signals: mpsc::Receiver<Verified>,
        wanted: Wanted,
        begun: bool,
        clock: fn() -> Timestamp,
    ) -> Result<Outcome> {
        let agreement = self.agreement(&outgoing.cpa_id)?;
        let mut last = String::new();
        for transmission in 0..=agreement.reliability.retries {
            let next = Instant::now() + agreement.reliability.retry_interval;
            if !begun || transmission > 0 {
                match self.attempt(outgoing, agreement, clock).await.over(wanted) {
                    Ok(outcome) => return Ok(outcome),
                    Err(reason) => last = reason,
                }
            }
            while let Ok(Some(signal)) = timeout_at(next, signals.recv()).await {
                match self.judge(signal, outgoing, agreement).over(wanted) {
                    Ok(outcome) => return Ok(outcome),
                    Err(reason) => last = reason,
                }
            }
            sleep_until(next).await;
        }
        if begun && wanted == Wanted::Taken && agreement.reliability.retries == 0 && last.is_empty() {
            let reason = "it went back on the connection, and no Retries are agreed".to_owned();
            return Ok(Outcome { how: Ending::Taken, reason, response: None });
        }
        let reason = format!("its retries are spent; last: {last}");
        Ok(Outcome { how: Ending::Expired, reason, response: None })
    }

    /// Acknowledges a response that came back on the connection of its request: by a POST.
    ///
    /// # Errors
    /// When it cannot be signed, or is not taken; the gateway sends the response again then.
    pub async fn acknowledge(&self, response: &Verified, now: Timestamp) -> Result<()> {
        let message = response.message();
        let Some(signed) = msh::wants_acknowledgment(message) else { return Ok(()) };
        let agreement = self.agreement(response.cpa_id())?;
        let id = self.id_from(&["acknowledgment", message.header.data.message_id.as_str()]);
        let receipt = msh::acknowledge(message, &agreement.own(), id, signed, now);
        let answer = self.post(agreement, &self.seal_answer(&receipt, agreement)?).await?;
        anyhow::ensure!(
            answer.status.is_success(),
            "the gateway answers a receipt with HTTP {}",
            answer.status
        );
        Ok(())
    }

    /// Posts once to the gateway.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn post(&self, agreement: &Agreement, sealed: &Sealed) -> Result<PostResponse> {
        let endpoint = agreement.endpoint.as_deref();
        let endpoint = endpoint.with_context(|| format!("agreement {} has no endpoint", agreement.cpa_id))?;
        self.post_to(endpoint, sealed).await
    }

    /// Posts once to some URL of the gateway.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn post_to(&self, endpoint: &str, sealed: &Sealed) -> Result<PostResponse> {
        let endpoint: Endpoint = endpoint.parse()?;
        let parties = self.settings.gateway().tls_digests();
        let Sealed { content_type, body, .. } = sealed;
        let post = Post {
            content_type,
            soap_action: SOAP_ACTION,
            body: Content::of(body.as_held(), body.bytes(), body.checked()),
            parties: &parties,
        };
        Ok(self.client.post(&endpoint, post).await?)
    }

    /// Calls the gateway's listener for clients.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn call(&self, endpoint: &Endpoint, call: Call<'_>) -> Result<PostResponse> {
        Ok(self.client.call(endpoint, call).await?)
    }

    /// Asks the gateway something that is answered on the connection, and opens the answer.
    ///
    /// # Errors
    /// When it cannot be signed or posted, or when what comes back is no verified message.
    pub async fn ask(
        &self,
        question: &Message,
        agreement: &Agreement,
        now: fn() -> Timestamp,
    ) -> Result<Verified> {
        let sealed = self.seal_answer(question, agreement)?;
        let response = self.post(agreement, &sealed).await?;
        let status = response.status;
        if response.body.is_empty() {
            bail!("the gateway answers HTTP {status} and nothing more");
        }
        let peer = crate::model::Digest(response.peer_certificate_der_sha256);
        let content_type = response.content_type.unwrap_or_default();
        self.open(&content_type, &response.body, Some(peer), now()).map_err(|refusal| {
            match decode_fault(&response.body) {
                Some(fault) => anyhow::anyhow!("SOAP fault {}: {}", fault.code.as_str(), fault.text),
                None => anyhow::anyhow!("HTTP {status}, and an answer that is refused: {refusal}"),
            }
        })
    }

    async fn attempt(&self, outgoing: &Outgoing, agreement: &Agreement, clock: fn() -> Timestamp) -> Attempt {
        let response = match self.post(agreement, &outgoing.sealed).await {
            Ok(response) => response,
            Err(error) => return Attempt::Again(format!("{error:#}")),
        };
        let status = response.status.as_u16();
        if response.body.is_empty() {
            return again_or_end(msh::judge_response(status, ResponseContent::Empty));
        }
        let peer = crate::model::Digest(response.peer_certificate_der_sha256);
        let content_type = response.content_type.unwrap_or_default();
        match self.open(&content_type, &response.body, Some(peer), clock()) {
            Ok(verified) => self.judge(verified, outgoing, agreement),
            Err(refusal) => {
                let fault = decode_fault(&response.body);
                let content = match &fault {
                    Some(fault) => ResponseContent::Fault(fault.code.as_str(), &fault.text),
                    None => ResponseContent::Other(&refusal.text),
                };
                again_or_end(msh::judge_response(status, content))
            }
        }
    }

    /// What a verified answer says of a message of ours (P4).
    fn judge(&self, answer: Verified, outgoing: &Outgoing, agreement: &Agreement) -> Attempt {
        let message = answer.message();
        let about_us =
            |acknowledgment: &&Acknowledgment| acknowledgment.ref_to_message_id == outgoing.message_id;
        if let Some(acknowledgment) = message.acknowledgments.iter().find(about_us) {
            let references = &outgoing.sealed.references;
            return match msh::check_receipt(acknowledgment, answer.is_signed(), agreement, references) {
                Ok(()) if message.kind == MessageKind::User => Attempt::Answered(Box::new(answer)),
                Ok(()) => Attempt::Ended(Ending::Acknowledged, String::new()),
                Err(fault) => Attempt::Again(fault.to_string()),
            };
        }
        let refers = message.header.data.ref_to_message_id.as_ref() == Some(&outgoing.message_id);
        match &message.error_list {
            Some(list) if refers && list.errors.iter().any(|e| e.severity == Severity::Error) => {
                let told: Vec<String> = list.errors.iter().map(told).collect();
                Attempt::Ended(Ending::Refused, told.join("\n"))
            }
            _ if refers && message.kind == MessageKind::User => Attempt::Responded(Box::new(answer)),
            _ => Attempt::Again("the answer is about something else".to_owned()),
        }
    }

    /// The agreement with this CPAId.
    ///
    /// # Errors
    /// When there is none.
    pub fn agreement(&self, cpa_id: &CpaId) -> Result<&Agreement> {
        let found = self.settings.partners.registry.agreement(cpa_id);
        found.with_context(|| format!("there is no agreement {cpa_id}"))
    }

    fn signer(&self, agreement: &Agreement) -> Result<Signer<'_>> {
        self.keys.signer(agreement.signature.own).context("there is no such [[signing]] key")
    }
}

/// An error of a MessageError, in a line.
pub(super) fn told(error: &EbxmlError) -> String {
    let place = error.location.as_deref().map_or_else(String::new, |place| format!(" at {place}"));
    format!("{}{place}: {}", error.code, error.description)
}

const SOAP_ACTION: &str = "\"ebXML\"";
const NUMBERS: &str = "the numbers of what we send";
