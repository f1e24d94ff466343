//! Open-loop load: messages that were signed before, each sent at its own instant whether or not the ones before it
//! were answered, and timed from that instant, so that a stall is paid by everybody who would have waited.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::clock::now;
use crate::config::PartySettings;
use crate::model::{
    ContentId, ConversationId, Digest, MessageId, Payload, Sealed, derive_id, role_of_document_code,
};
use crate::msh::{self, Posting};
use crate::security::{self, Engine, KeyRing, OpenLimits, Origin, SigningKeys, Trust, Wire};
use crate::transport::{Client, ClientOptions, Content, Endpoint, Post, Tls, TlsContext};

/// A message ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) message_id: MessageId,
    pub(super) sealed: Sealed,
}

/// What became of one message.
#[derive(Clone, Debug)]
pub(super) struct Shot {
    /// How late its sending began.
    pub(super) lag: Duration,
    /// From its instant to the whole answer.
    pub(super) latency: Duration,
    /// The answer, or why there is none.
    pub(super) answer: Result<Answer, String>,
}

/// An HTTP answer with status 200.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    content_type: String,
    body: Bytes,
    peer: Digest,
}

/// The documents of a lodging as text with `{n}` where its numbers go.
#[derive(Clone, Debug)]
pub(super) struct Lodging {
    /// Document code and text.
    pub(super) documents: Vec<(String, String)>,
}

/// The broker, as a source of load.
pub(super) struct Broker {
    settings: PartySettings,
    keys: SigningKeys,
    trust: Trust,
    client: Client,
    endpoint: Endpoint,
}

impl Broker {
    pub(super) fn new(settings: PartySettings, connections: usize) -> Result<Self> {
        let tls = Tls::new(TlsContext::load(&settings.tls)?);
        let files: Vec<_> = settings.signing.iter().map(|f| (&f.certificate, &f.key)).collect();
        let keys = SigningKeys::load(&files)?;
        let ring = KeyRing::new(settings.partners.signing_certificates.iter().cloned())?;
        let trust = Trust {
            registry: Arc::new(settings.partners.registry.clone()),
            keys: Arc::new(ring),
            engine: Engine::Own,
            own_ids: settings.identity.ids.clone(),
            limits: OpenLimits::default(),
        };
        let options = ClientOptions { connections_per_host_max: connections, ..ClientOptions::default() };
        let agreement =
            settings.agreement_to_send(SERVICE, ACTION, now()).context("no agreement to lodge")?;
        let endpoint = agreement.endpoint.as_deref().context("the gateway has no endpoint")?.parse()?;
        Ok(Self { client: Client::new(tls, options), keys, trust, endpoint, settings })
    }

    /// Signs the lodging under numbers that follow from `serial`.
    pub(super) fn sign(&self, lodging: &Lodging, serial: u32) -> Result<Signed> {
        let agreement =
            self.settings.agreement_to_send(SERVICE, ACTION, now()).context("no agreement to lodge")?;
        let number = format!("{serial:06}");
        let domain = &self.settings.identity.domain;
        let at = now();
        let mut payloads = Vec::with_capacity(lodging.documents.len());
        for (code, text) in &lodging.documents {
            let body = Bytes::from(text.replace("{n}", &number));
            payloads.push(Payload {
                content_id: ContentId::new(format!("{code}-{number}@{domain}"))?,
                media_type: "application/xml".into(),
                role: Some(role_of_document_code(&code.parse()?).into()),
                digest: Digest::of(&body),
                body: body.into(),
            });
        }
        let message_id = derive_id(&["bench", &number, &at.as_millis().to_string()]);
        let message_id = MessageId::new(format!("{message_id}@{domain}"))?;
        let posting = Posting {
            message_id: message_id.clone(),
            conversation_id: ConversationId::new(format!("bench-{number}"))?,
            ref_to_message_id: None,
            service: msh::service_to_send(agreement, SERVICE, ACTION),
            action: ACTION.into(),
            timestamp: at,
            time_to_live: at.plus(agreement.reliability.time_to_live),
            order: None,
        };
        let signer = self.keys.signer(agreement.signature.own)?;
        let sealed = security::seal(&msh::compose(agreement, posting, payloads), Some(signer))?;
        Ok(Signed { message_id, sealed })
    }

    /// Sends each message at its instant, `rate` a second, and waits for every answer.
    pub(super) async fn fire(self: &Arc<Self>, messages: &[Signed], rate: f64) -> Result<Vec<Shot>> {
        let start = Instant::now() + LEAD;
        let mut flying = JoinSet::new();
        for (index, message) in messages.iter().enumerate() {
            let instant = start + Duration::from_secs_f64(index as f64 / rate);
            sleep_until(instant).await;
            let (broker, sealed) = (Arc::clone(self), message.sealed.clone());
            flying.spawn(async move {
                let lag = instant.elapsed();
                let answer = broker.post(&sealed).await;
                (index, Shot { lag, latency: instant.elapsed(), answer })
            });
        }
        let mut shots = Vec::with_capacity(messages.len());
        while let Some(landed) = flying.join_next().await {
            shots.push(landed?);
        }
        shots.sort_by_key(|(index, _)| *index);
        Ok(shots.into_iter().map(|(_, shot)| shot).collect())
    }

    async fn post(&self, sealed: &Sealed) -> Result<Answer, String> {
        let parties = self.settings.gateway().tls_digests();
        let Sealed { content_type, body, .. } = sealed;
        let post = Post {
            content_type,
            soap_action: "\"ebXML\"",
            body: Content::of(body.as_held(), body.bytes(), body.checked()),
            parties: &parties,
        };
        let response = self.client.post(&self.endpoint, post).await.map_err(|error| error.to_string())?;
        if response.status.as_u16() != 200 {
            return Err(format!("HTTP {}", response.status));
        }
        let content_type = response.content_type.unwrap_or_default();
        let peer = Digest(response.peer_certificate_der_sha256);
        Ok(Answer { content_type, body: response.body, peer })
    }

    /// Whether the answer is a verified receipt of the very message: looked at after the run, so that it costs the
    /// run nothing.
    pub(super) fn check(&self, message: &Signed, answer: &Answer) -> Result<()> {
        let Answer { content_type, body, peer } = answer;
        let wire = Wire { content_type, body: &body.clone().into(), origin: Origin::Connection(Some(*peer)) };
        let verified = match security::open(&wire, &self.trust, now()) {
            Ok(verified) => verified,
            Err(refusal) => bail!("the answer cannot be opened: {}", refusal.text),
        };
        let agreement = self.settings.partners.registry.agreement(verified.cpa_id());
        let agreement = agreement.context("the answer is under no agreement")?;
        let mut receipts = verified.message().acknowledgments.iter();
        let receipt = receipts.find(|receipt| receipt.ref_to_message_id == message.message_id);
        let Some(receipt) = receipt else {
            let errors = verified.message().error_list.as_ref().map(|list| &list.errors);
            bail!("no receipt: {errors:?}");
        };
        msh::check_receipt(receipt, verified.is_signed(), agreement, &message.sealed.references)?;
        ensure!(verified.is_signed(), "the receipt is not signed");
        Ok(())
    }
}

const SERVICE: &str = "ImportClearance";
const ACTION: &str = "GOVCBR929";
/// Between the signing and the first message.
const LEAD: Duration = Duration::from_millis(50);
