//! One connection: requests in, answers out, until the peer, a deadline or a stop ends it.
//!
//! Promises: a request is checked by its head (method, announced size) before any of its body is read or
//! asked for; the handler sees it whole or not at all; a panic of the handler is status 500 and nothing more
//! (S24); an answer that ends the connection reaches a peer that is still sending.
//!
//! Answers of its own, always closing: 400 ambiguous or broken framing and trailers (S13), 405, 408, 413, 431
//! and 503 with Retry-After. Content types, and who may send what, are the handler's to judge.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::body::{BodyError, Budget, Received, Share, receive};
use super::content::{Content, ContentBody};
use super::error::chain;
use super::events;
use super::gate::{Gate, InFlight};
use super::server::ServerOptions;
use super::spool::Spooled;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A peer that proved by mutual TLS to hold this certificate's key.
    Certificate {
        /// SHA-256 of the certificate's DER octets.
        der_sha256: [u8; 32],
        /// Where it connects from.
        address: SocketAddr,
    },
    /// Somebody on this machine, over TCP.
    Loopback {
        /// Where it connects from.
        address: SocketAddr,
    },
    /// A process of this user on this machine, over the unix socket.
    Local {
        /// The user id, where the system tells.
        uid: Option<u32>,
    },
}

impl Peer {
    /// SHA-256 of the DER octets of the certificate it proved to hold, if it came by mutual TLS.
    #[must_use]
    pub const fn certificate_der_sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Certificate { der_sha256, .. } => Some(*der_sha256),
            Self::Loopback { .. } | Self::Local { .. } => None,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificate { address, .. } | Self::Loopback { address } => write!(f, "{address}"),
            Self::Local { uid: Some(uid) } => write!(f, "uid {uid}"),
            Self::Local { uid: None } => f.write_str("local"),
        }
    }
}

/// A request that arrived whole.
#[derive(Debug)]
pub struct Request {
    /// Who sent it.
    pub peer: Peer,
    /// One of the methods in [`ServerOptions::methods`].
    pub method: Method,
    /// The path as sent, percent-encoded.
    pub path: String,
    /// What followed `?`, percent-encoded.
    pub query: Option<String>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, with no encoding undone; empty when it was spooled.
    pub body: Bytes,
    /// The body, when it is too large to hold, on a listener that spools.
    pub spooled: Option<Spooled>,
}

impl Request {
    /// A header field's value as text; none when it is absent, repeated, or not ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }
}

/// What a handler answers.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The Content-Type, where there is a body.
    pub content_type: Option<String>,
    /// Further header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Content,
}

impl Response {
    /// A response with a body.
    #[must_use]
    pub fn new(status: StatusCode, content_type: impl Into<String>, body: impl Into<Content>) -> Self {
        Self { status, content_type: Some(content_type.into()), headers: Vec::new(), body: body.into() }
    }

    /// A response without a body.
    #[must_use]
    pub const fn empty(status: StatusCode) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Content::Held(Bytes::new()) }
    }

    /// A response with a line of text.
    #[must_use]
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// Status 503: come again after this time (P11, P13).
    #[must_use]
    pub fn overloaded(retry_after: Duration) -> Self {
        Self::empty(StatusCode::SERVICE_UNAVAILABLE)
            .with_header(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)))
    }

    /// This response with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn closing(self) -> Self {
        self.with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    fn into_http(self) -> http::Response<ContentBody> {
        let mut response = http::Response::new(ContentBody::of(self.body, Arc::default()));
        *response.status_mut() = self.status;
        if let Some(content_type) = self.content_type.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// Answers requests. Any `Fn(Request) -> impl Future<Output = Response>` is one.
///
/// The future is dropped when the peer goes away before the answer; what must happen regardless belongs
/// elsewhere than in it.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request.
    fn serve(&self, request: Request) -> impl Future<Output = Response> + Send;
}

impl<F, Answer> Handler for F
where
    F: Fn(Request) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response> + Send,
{
    fn serve(&self, request: Request) -> impl Future<Output = Response> + Send {
        self(request)
    }
}

/// What every connection of a server has in common.
pub(super) struct Service<H> {
    pub(super) handler: H,
    pub(super) options: ServerOptions,
    pub(super) budget: Arc<Budget>,
    pub(super) requests: AtomicU64,
}

/// What one connection knows of itself.
pub(super) struct Session {
    pub(super) peer: Peer,
    /// Whether the TLS context it was made under is still in force.
    pub(super) is_fresh: Box<dyn Fn() -> bool + Send + Sync>,
}

/// Serves one connection to its end. Returns soon after `stop` says true, with the request in hand answered.
pub(super) async fn serve<S, H>(
    stream: S,
    session: Session,
    service: Arc<Service<H>>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let peer = session.peer;
    let age_max = service.options.connection_age_max;
    let in_flight = Arc::<InFlight>::default();
    let gate = Gate::new(stream, service.options.gate_limits(), Arc::clone(&in_flight));
    let parser = parser(&service.options);
    let session = Arc::new(session);
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let (service, session, in_flight) =
            (Arc::clone(&service), Arc::clone(&session), Arc::clone(&in_flight));
        Box::pin(async move {
            let answered = Answered(in_flight);
            let response = respond(request, &session, &service).await;
            drop(answered);
            Ok::<_, Infallible>(response.into_http())
        })
    });
    let mut connection = parser.serve_connection(TokioIo::new(gate), answer);

    let mut stopping = pin!(async {
        tokio::select! {
            () = told(&mut stop) => {}
            () = sleep(age_max) => {}
        }
    });
    let mut asked_to_stop = false;
    let ended = poll_fn(|cx| {
        if !asked_to_stop && stopping.as_mut().poll(cx).is_ready() {
            asked_to_stop = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    if let Err(error) = ended {
        let cause = chain(&error);
        tracing::info!(event = events::CONNECTION_BROKEN, %peer, cause, "connection broken");
    }
    let mut gate = connection.into_parts().io.into_inner();
    let lingers = gate.is_mid_request();
    close(&mut gate, lingers).await;
}

/// Until the server is told to stop, or is gone.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    // Either way there is nothing more to wait for.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Ends a connection. A peer that is still sending would lose our last answer to a reset, so what it sends is
/// read and thrown away for a little while.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, lingers: bool) {
    let ending = async {
        stream.shutdown().await?;
        if lingers {
            let mut scrap = [0; 4096];
            let mut left = LINGER_BYTES_MAX;
            while left > 0 {
                match stream.read(&mut scrap).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // The peer may be gone already; then there is nobody left to be polite to.
    if !matches!(timeout(LINGER_DEADLINE, ending).await, Ok(Ok(()))) {
        tracing::trace!("closed without the peer's consent");
    }
}

fn parser(options: &ServerOptions) -> http1::Builder {
    let mut parser = http1::Builder::new();
    parser
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(options.header_count_max)
        .max_header_size(options.header_bytes_max)
        .max_buf_size(options.header_bytes_max.max(PARSER_BUFFER_BYTES));
    parser
}

async fn respond<H: Handler>(
    request: http::Request<Incoming>,
    session: &Session,
    service: &Service<H>,
) -> Response {
    service.requests.fetch_add(1, Ordering::Relaxed);
    let mut share = Share::of(&service.budget);
    match admit(request, session.peer, &service.options, &mut share).await {
        Ok(request) => {
            let response = guarded(service.handler.serve(request)).await;
            if (session.is_fresh)() { response } else { response.closing() }
        }
        Err((response, cause)) => {
            let (peer, status) = (session.peer, response.status.as_u16());
            tracing::info!(event = events::REQUEST_REFUSED, %peer, status, cause, "request refused");
            response.closing()
        }
    }
}

/// The request whole, or the answer that refuses it and why.
async fn admit(
    request: http::Request<Incoming>,
    peer: Peer,
    options: &ServerOptions,
    share: &mut Share,
) -> Result<Request, (Response, String)> {
    let (head, body) = request.into_parts();
    if !options.methods.contains(&head.method) {
        let cause = format!("method {}", head.method);
        return Err((method_not_allowed(&options.methods), cause));
    }
    if body.size_hint().lower() > options.body_bytes_max as u64 {
        let too_large = BodyError::TooLarge(options.body_bytes_max);
        return Err((Response::empty(StatusCode::PAYLOAD_TOO_LARGE), too_large.to_string()));
    }
    let body = receive(body, &options.body_limits(), Some(share), options.spool.as_ref()).await;
    let body = body.map_err(|error| {
        let refusal = match &error {
            BodyError::TooLarge(_) => Response::empty(StatusCode::PAYLOAD_TOO_LARGE),
            BodyError::TooSlow => Response::empty(StatusCode::REQUEST_TIMEOUT),
            BodyError::Overloaded | BodyError::Spool(_) => Response::overloaded(options.retry_after),
            BodyError::Trailers | BodyError::Broken(_) => Response::empty(StatusCode::BAD_REQUEST),
        };
        (refusal, chain(&error))
    })?;
    let (body, spooled) = match body {
        Received::Held(octets) => (octets, None),
        Received::Spooled(spooled) => (Bytes::new(), Some(spooled)),
    };
    Ok(Request {
        peer,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers,
        body,
        spooled,
    })
}

fn method_not_allowed(methods: &[Method]) -> Response {
    let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let refusal = Response::empty(StatusCode::METHOD_NOT_ALLOWED);
    match HeaderValue::from_str(&allowed) {
        Ok(allowed) => refusal.with_header(ALLOW, allowed),
        Err(_) => refusal,
    }
}

/// The handler's answer, or status 500 when it panics.
async fn guarded(answer: impl Future<Output = Response>) -> Response {
    let mut answer = pin!(answer);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))).unwrap_or_else(|_| {
            tracing::error!(event = events::PANICKED, "a request handler panicked");
            std::task::Poll::Ready(Response::empty(StatusCode::INTERNAL_SERVER_ERROR).closing())
        })
    })
    .await
}

/// Tells the gate that the answer is made, also when the answering was given up.
struct Answered(Arc<InFlight>);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.end();
    }
}

const LINGER_DEADLINE: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1 << 20;
/// The least that hyper takes for its buffer.
const PARSER_BUFFER_BYTES: usize = 8192;
