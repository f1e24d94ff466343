//! A party that writes whatever a scenario wants it to write, and reads the answer as an honest partner would.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gwanmun::codec::envelope::{decode_envelope, decode_fault};
use gwanmun::codec::mime::{MimeLimits, unpack};
use gwanmun::codec::xml::XmlLimits;
use gwanmun::config::{PartySettings, load_party};
use gwanmun::model::{ConversationId, Digest, EbxmlError, Message, Payload, Sealed, Timestamp};
use gwanmun::msh::{self, Posting};
use gwanmun::practice::Partner;
use gwanmun::security::{SigningKey, Verified, seal};
use gwanmun::transport::{PostResponse, Request, Response, Server, ServerOptions, StatusCode};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::world::World;

pub(crate) struct Correspondent {
    partner: Partner,
    signer: SigningKey,
    endpoint: String,
}

/// What is posted to a correspondent that listens.
pub(crate) struct Listener {
    requests: mpsc::Receiver<Request>,
    _server: Server,
}

impl Listener {
    /// The next one.
    pub(crate) async fn next(&mut self) -> Request {
        let next = timeout(Duration::from_secs(60), self.requests.recv()).await;
        next.expect("is posted in time").expect("somebody listens")
    }
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A signed acknowledgment that repeats every digest of what was sent.
    Acknowledged,
    /// A MessageError: errorCode, location and Description of each error; signed or, to strangers, not.
    Errors { signed: bool, errors: Vec<EbxmlError> },
    /// A SOAP Fault with this code.
    Fault(String),
    /// A bare HTTP status.
    Status(u16),
}

impl Told {
    /// Descriptions are for people; codes and locations are what is promised.
    pub(crate) fn without_words(self) -> Self {
        match self {
            Self::Errors { signed, errors } => {
                let bare = |error| EbxmlError { description: String::new(), ..error };
                Self::Errors { signed, errors: errors.into_iter().map(bare).collect() }
            }
            other => other,
        }
    }
}

impl Correspondent {
    /// A partner of the world as it is.
    pub(crate) fn new(world: &World, name: &str) -> Self {
        Self::with(world, name, world.party(name))
    }

    /// A partner of the world that rehearses.
    pub(crate) fn in_practice(world: &World, name: &str) -> Self {
        let settings = load_party(world.party(name)).expect("is in order");
        Self::of(world, name, settings.in_practice().expect("has an agreement for practice"))
    }

    /// A partner as its file for somebody behind the gateway says it: `NAME-through.toml`.
    pub(crate) fn through(world: &World, name: &str) -> Self {
        Self::with(world, name, &world.path(&format!("{name}-through.toml")))
    }

    /// A partner as another file says it, of another gateway.
    pub(crate) fn at(world: &World, name: &str, file: &str, endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), ..Self::with(world, name, &world.path(file)) }
    }

    /// Takes whatever is posted there, until what it gives is dropped.
    pub(crate) async fn listen(&self, address: SocketAddr) -> Listener {
        let (taken, requests) = mpsc::channel(64);
        let take = move |request: Request| {
            let taken = taken.clone();
            async move {
                taken.send(request).await.expect("somebody looks");
                Response::empty(StatusCode::ACCEPTED)
            }
        };
        let server = Server::tls(address, self.partner.tls(), ServerOptions::default(), take).await;
        Listener { requests, _server: server.expect("listens") }
    }

    /// A message that was posted to us, as far as it verifies.
    pub(crate) fn open_request(&self, request: &Request) -> Verified {
        let content_type = request.header("content-type").expect("has a Content-Type");
        let peer = request.peer.certificate_der_sha256().map(Digest);
        self.partner.open(content_type, &request.body, peer, now()).expect("verifies")
    }

    /// A partner whose connections are made with another certificate of the authority.
    pub(crate) fn with_tls_of(world: &World, name: &str, other: &str) -> Self {
        let file = format!("{name}-with-tls-of-{}.toml", other.replace('/', "-"));
        let settings = std::fs::read_to_string(world.party(name)).expect("is there");
        world.write(&file, &settings.replace(&format!("pki/{name}/tls"), &format!("pki/{other}/tls")));
        Self::with(world, name, &world.path(&file))
    }

    fn with(world: &World, name: &str, settings: &Path) -> Self {
        Self::of(world, name, load_party(settings).expect("is in order"))
    }

    fn of(world: &World, name: &str, settings: PartySettings) -> Self {
        let pem = |file: &str| std::fs::read(world.path(&format!("pki/{name}/{file}"))).expect(file);
        let signer = SigningKey::from_pem(name, &pem("signing.pem"), &pem("signing.key")).expect("is a key");
        let partner = Partner::new(settings).expect("has its keys");
        Self { partner, signer, endpoint: world.endpoint().to_owned() }
    }

    /// A message that is in order, under the agreement that lets it go.
    pub(crate) fn message(&self, action: &str, conversation: &str, payloads: Vec<Payload>) -> Message {
        let settings = self.partner.settings();
        let service = settings.service_of(action).expect(action);
        let agreement = settings.agreement_to_send(&service, action, now()).expect(action);
        let posting = Posting {
            message_id: self.partner.fresh_id().expect("there is randomness"),
            conversation_id: ConversationId::new(conversation).expect("is an id"),
            ref_to_message_id: None,
            service: msh::service_to_send(agreement, &service, action),
            action: action.into(),
            timestamp: now(),
            time_to_live: now().plus(agreement.reliability.time_to_live),
            order: None,
        };
        msh::compose(agreement, posting, payloads)
    }

    /// The octets of a message with our signature.
    pub(crate) fn sealed(&self, message: &Message) -> Sealed {
        seal(message, Some(self.signer.strict())).expect("can be signed")
    }

    /// Posts octets over mutual TLS.
    pub(crate) async fn try_post(&self, sealed: &Sealed) -> anyhow::Result<PostResponse> {
        self.partner.post_to(&self.endpoint, sealed).await
    }

    /// The same, when an answer is sure to come.
    pub(crate) async fn post(&self, sealed: &Sealed) -> PostResponse {
        self.try_post(sealed).await.expect("is answered")
    }

    /// Posts, and reads the answer.
    pub(crate) async fn ask(&self, sealed: &Sealed) -> Told {
        let answer = self.post(sealed).await;
        self.read(&answer, sealed)
    }

    /// A message in an answer, as far as it verifies.
    pub(crate) fn open(&self, answer: &PostResponse) -> Verified {
        let content_type = answer.content_type.as_deref().expect("has a Content-Type");
        let peer = Some(Digest(answer.peer_certificate_der_sha256));
        self.partner.open(content_type, &answer.body, peer, now()).expect("verifies")
    }

    /// Acknowledges by a POST what came on the connection.
    pub(crate) async fn acknowledge(&self, response: &Verified) {
        self.partner.acknowledge(response, now()).await.expect("is taken");
    }

    /// Whether these octets were acknowledged, signed and with every digest.
    pub(crate) fn is_receipt(&self, verified: &Verified, sealed: &Sealed) -> bool {
        let agreement = self.partner.agreement(verified.cpa_id()).expect("is ours");
        let [given] = &verified.message().acknowledgments[..] else { return false };
        msh::check_receipt(given, verified.is_signed(), agreement, &sealed.references).is_ok()
    }

    /// What an answer to these octets says.
    pub(crate) fn read(&self, answer: &PostResponse, sealed: &Sealed) -> Told {
        let status = answer.status.as_u16();
        if answer.body.is_empty() {
            return Told::Status(status);
        }
        if let Some(fault) = decode_fault(&answer.body) {
            assert_eq!(status, 500, "the status of a fault");
            return Told::Fault(fault.code.as_str().to_owned());
        }
        assert_eq!(status, 200, "the status of a message");
        let content_type = answer.content_type.as_deref().expect("has a Content-Type");
        let peer = Some(Digest(answer.peer_certificate_der_sha256));
        let Ok(verified) = self.partner.open(content_type, &answer.body, peer, now()) else {
            return unverified(content_type, answer);
        };
        let (message, signed) = (verified.message(), verified.is_signed());
        match message.acknowledgments.first() {
            Some(acknowledgment) => {
                let agreement = self.partner.agreement(verified.cpa_id()).expect("is ours");
                msh::check_receipt(acknowledgment, signed, agreement, &sealed.references)
                    .expect("repeats it");
                Told::Acknowledged
            }
            None => Told::Errors { signed, errors: errors(message) },
        }
    }
}

/// An answer that no agreement covers: it can be read, not believed.
fn unverified(content_type: &str, answer: &PostResponse) -> Told {
    let package =
        unpack(content_type, &answer.body.clone().into(), &MimeLimits::default()).expect("is a package");
    let envelope = decode_envelope(&package.root.body, None, &XmlLimits::ENVELOPE).expect("is an envelope");
    assert_eq!(envelope.signature, None, "a signature that does not verify");
    Told::Errors { signed: false, errors: errors(&envelope.message) }
}

fn errors(message: &Message) -> Vec<EbxmlError> {
    message.error_list.clone().map(|list| list.errors).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "messages of a test are as fresh as any")]
pub(crate) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
