//! Posting over kept-alive mutual TLS.
//!
//! Promises: a deadline for every wait and a cap for every count (S20); redirects are never followed; the
//! server's certificate must be trusted, and, where the caller names parties, be one of theirs *before*
//! anything is sent; its digest comes back with the response. A connection is used by one exchange at a time
//! and goes back to the pool only after a complete response. A request is written twice only when it is
//! certain that nothing of it left the first time.
//!
//! Does not retry, does not judge a status, does not know what it carries.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use openssl::ssl::SslVersion;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_openssl::SslStream;

use super::body::{BodyError, BodyLimits, hold};
use super::content::{Content, ContentBody};
use super::error::{PostError, PostErrorKind, TransportError, chain};
use super::tls::{Tls, TlsContext, der_sha256};

/// Every cap and deadline of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// For a free connection, resolving the name, and the TCP connection.
    pub connect_deadline: Duration,
    /// For the TLS handshake.
    pub handshake_deadline: Duration,
    /// From the last time that octets of the request were taken, or its beginning, to the end of the response's head.
    pub response_deadline: Duration,
    /// The slowest pace at which the peer may take a request as a whole, behind a `response_deadline` of grace; zero for
    /// none. So a request of so many octets ends, whoever takes one of them now and then.
    pub request_bytes_per_second_min: u64,
    /// For the body of the response.
    pub body_deadline: Duration,
    /// Octets of the body of a response.
    pub body_bytes_max: usize,
    /// Header fields of a response.
    pub header_count_max: usize,
    /// Octets of the head of a response.
    pub header_bytes_max: usize,
    /// Connections to one host and port; further posts wait, within `connect_deadline`.
    pub connections_per_host_max: usize,
    /// How long a connection without work is kept. Less than what servers keep theirs, so that it is us who close.
    pub idle_deadline: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_deadline: Duration::from_secs(10),
            handshake_deadline: Duration::from_secs(10),
            response_deadline: Duration::from_secs(60),
            request_bytes_per_second_min: 64 * 1024,
            body_deadline: Duration::from_secs(60),
            body_bytes_max: 20 * 1024 * 1024,
            header_count_max: 64,
            header_bytes_max: 16 * 1024,
            connections_per_host_max: 16,
            idle_deadline: Duration::from_secs(20),
        }
    }
}

/// Where to post: `https://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: Arc<str>,
    port: u16,
    path: Arc<str>,
}

impl std::str::FromStr for Endpoint {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        let refuse = || TransportError::Endpoint { found: text.chars().take(200).collect() };
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let authority = uri.authority().ok_or_else(refuse)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') || host.is_empty() {
            return Err(refuse());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        // However it is written, it is one host (RFC 3986, 6.2.2.1).
        let host = host.to_ascii_lowercase();
        Ok(Self { host: host.into(), port: authority.port_u16().unwrap_or(443), path: path.into() })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

impl Endpoint {
    /// Another path, percent-encoded, at the same host and port.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// A path below it: one more step, of characters that need no escape.
    #[must_use]
    pub fn below(&self, step: &str) -> Self {
        self.at(&format!("{}/{step}", self.path.trim_end_matches('/')))
    }

    fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// What to post.
#[derive(Debug)]
pub struct Post<'a> {
    /// The Content-Type.
    pub content_type: &'a str,
    /// The SOAPAction, with its quotes.
    pub soap_action: &'a str,
    /// The body.
    pub body: Content,
    /// SHA-256 of the DER octets of the certificates of the party this is for: with any other certificate at
    /// the other end nothing is sent. Empty to send to whoever is trusted.
    pub parties: &'a [[u8; 32]],
}

/// A request that carries no message: a question or an act of a client of ours.
#[derive(Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The Content-Type of the body, where there is one.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: Content,
    /// As in [`Post::parties`].
    pub parties: &'a [[u8; 32]],
}

/// An HTTP response, whatever its status.
#[derive(Clone, Debug)]
pub struct PostResponse {
    /// The status.
    pub status: StatusCode,
    /// The Content-Type, if there is one that is text.
    pub content_type: Option<String>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// SHA-256 of the DER octets of the certificate the server proved to hold.
    pub peer_certificate_der_sha256: [u8; 32],
}

/// A pool of mutual TLS connections. Dropping it, or [`Client::close`], ends them.
pub struct Client {
    tls: Tls,
    options: ClientOptions,
    hosts: Mutex<BTreeMap<HostPort, Arc<Host>>>,
    /// The tasks that drive the connections.
    driving: Mutex<JoinSet<()>>,
}

type HostPort = (Arc<str>, u16);

struct Host {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// A connection after the handshake.
struct Secured {
    stream: SslStream<TcpStream>,
    der_sha256: [u8; 32],
    context: Arc<TlsContext>,
}

struct Connection {
    sender: SendRequest<ContentBody>,
    der_sha256: [u8; 32],
    context: Arc<TlsContext>,
    idle_since: Instant,
}

impl Client {
    /// A client with no connections yet.
    #[must_use]
    pub fn new(tls: Tls, options: ClientOptions) -> Self {
        Self { tls, options, hosts: Mutex::default(), driving: Mutex::default() }
    }

    /// Posts and returns the whole response.
    ///
    /// # Errors
    /// [`PostError`] when no complete response came.
    pub async fn post(&self, endpoint: &Endpoint, post: Post<'_>) -> Result<PostResponse, PostError> {
        let handed = Arc::default();
        let parties = post.parties;
        let request = http_request(endpoint, post, &handed)?;
        self.exchange(endpoint, request, &handed, parties).await
    }

    /// Calls and returns the whole response.
    ///
    /// # Errors
    /// [`PostError`] when no complete response came.
    pub async fn call(&self, endpoint: &Endpoint, call: Call<'_>) -> Result<PostResponse, PostError> {
        let mut request =
            Request::builder().method(call.method).uri(&*endpoint.path).header(HOST, endpoint.authority());
        if let Some(content_type) = call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let handed = Arc::default();
        let request = request.body(ContentBody::of(call.body, Arc::clone(&handed))).map_err(not_http)?;
        self.exchange(endpoint, request, &handed, call.parties).await
    }

    /// Makes a new connection, whatever is idle, and keeps it for what is sent next: one whose server has not refused our
    /// certificate either.
    ///
    /// # Errors
    /// [`PostError`] when there is none by `until`; its kind says how far it came.
    pub async fn reach(
        &self,
        endpoint: &Endpoint,
        parties: &[[u8; 32]],
        until: Instant,
    ) -> Result<(), PostError> {
        let host = self.host(endpoint);
        let _permit = self.permit(&host, Some(until)).await?;
        let mut secured = self.secure(endpoint, Some(until)).await?;
        is_of(&secured.der_sha256, parties, endpoint)?;
        judged(&mut secured.stream, until).await?;
        keep(&host, self.speak(secured).await?).await;
        Ok(())
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        mut request: Request<ContentBody>,
        handed: &AtomicU64,
        parties: &[[u8; 32]],
    ) -> Result<PostResponse, PostError> {
        let bytes = request.body().size_hint().lower();
        let host = self.host(endpoint);
        let _permit = self.permit(&host, None).await?;
        // Each idle connection that turns out to be gone costs one turn; then a new one is made.
        loop {
            let (mut connection, reused) = match self.idle(&host) {
                Some(connection) => (connection, true),
                None => (self.speak(self.secure(endpoint, None).await?).await?, false),
            };
            is_of(&connection.der_sha256, parties, endpoint)?;
            let sent = connection.sender.try_send_request(request);
            let answered = self.answered(sent, handed, bytes).await;
            let mut failed = match answered {
                Ok(Ok(response)) => return self.finish(&host, connection, response).await,
                Ok(Err(failed)) => failed,
                Err(elapsed) => return Err(PostError::new(PostErrorKind::Timeout, elapsed)),
            };
            match failed.take_message() {
                Some(unsent) if reused => request = unsent,
                _ => return Err(PostError::of_hyper(failed.error())),
            }
        }
    }

    /// What comes of a request of so many octets. As long as the peer takes the next octets of its body within the
    /// deadline, and all of it at a decent pace, it is waited for.
    async fn answered<T>(
        &self,
        sent: impl Future<Output = T>,
        handed: &AtomicU64,
        bytes: u64,
    ) -> Result<T, Elapsed> {
        let mut sent = pin!(sent);
        let mut taking = Taking::begin(&self.options, bytes, Instant::now());
        loop {
            match timeout_at(taking.until(), &mut sent).await {
                Ok(answered) => return Ok(answered),
                Err(_) => taking.goes_on(handed.load(Ordering::Relaxed), Instant::now())?,
            }
        }
    }

    /// How many connections wait for work.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.values().map(|host| host.idle.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Ends every connection, also those in use.
    pub async fn close(&self) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut driving = std::mem::take(&mut *self.driving.lock().unwrap_or_else(PoisonError::into_inner));
        driving.shutdown().await;
    }

    fn host(&self, endpoint: &Endpoint) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry((Arc::clone(&endpoint.host), endpoint.port)).or_insert_with(|| {
            let permits = Arc::new(Semaphore::new(self.options.connections_per_host_max));
            Arc::new(Host { permits, idle: Mutex::default() })
        });
        Arc::clone(host)
    }

    async fn permit(&self, host: &Host, until: Option<Instant>) -> Result<OwnedSemaphorePermit, PostError> {
        let permit = Arc::clone(&host.permits).acquire_owned();
        match timeout_at(sooner(self.options.connect_deadline, until), permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                Err(PostError::new(PostErrorKind::Connect, "no free connection to this host in time"))
            }
        }
    }

    /// An idle connection that is still good: open, young enough, made under the TLS context in force.
    fn idle(&self, host: &Host) -> Option<Connection> {
        let mut idle = host.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| {
            connection.sender.is_ready()
                && connection.idle_since.elapsed() < self.options.idle_deadline
                && self.tls.is_current(&connection.context)
        });
        idle.pop()
    }

    async fn secure(&self, endpoint: &Endpoint, until: Option<Instant>) -> Result<Secured, PostError> {
        let stream = timeout_at(sooner(self.options.connect_deadline, until), dial(endpoint))
            .await
            .map_err(|_| PostError::new(PostErrorKind::Connect, "no connection in time"))?
            .map_err(|e| PostError::new(PostErrorKind::Connect, e))?;
        let context = self.tls.current();
        let deadline = sooner(self.options.handshake_deadline, until);
        let (stream, der_sha256) = shake_hands(stream, &context, &endpoint.host, deadline).await?;
        Ok(Secured { stream, der_sha256, context })
    }

    /// HTTP over a connection, which is driven from now on.
    async fn speak(&self, secured: Secured) -> Result<Connection, PostError> {
        let Secured { stream, der_sha256, context } = secured;
        let mut protocol = http1::Builder::new();
        protocol
            .max_headers(self.options.header_count_max)
            .max_header_size(self.options.header_bytes_max)
            .max_buf_size(self.options.header_bytes_max.max(8192));
        let (sender, connection) =
            protocol.handshake(TokioIo::new(stream)).await.map_err(|e| PostError::of_hyper(&e))?;
        let mut driving = self.driving.lock().unwrap_or_else(PoisonError::into_inner);
        while driving.try_join_next().is_some() {}
        driving.spawn(async {
            if let Err(error) = connection.await {
                tracing::debug!(cause = chain(&error), "outgoing connection ended");
            }
        });
        Ok(Connection { sender, der_sha256, context, idle_since: Instant::now() })
    }

    async fn finish(
        &self,
        host: &Host,
        connection: Connection,
        response: http::Response<Incoming>,
    ) -> Result<PostResponse, PostError> {
        let (head, body) = response.into_parts();
        let limits = BodyLimits {
            bytes_max: self.options.body_bytes_max,
            deadline: self.options.body_deadline,
            bytes_per_second_min: 0,
            pace_window: self.options.body_deadline,
        };
        let body = hold(body, &limits).await.map_err(|error| match error {
            BodyError::TooLarge(_) | BodyError::Overloaded | BodyError::Spool(_) => {
                PostError::new(PostErrorKind::TooLarge, error)
            }
            BodyError::TooSlow => PostError::new(PostErrorKind::Timeout, error),
            BodyError::Trailers => PostError::new(PostErrorKind::Protocol, error),
            BodyError::Broken(error) => PostError::of_hyper(&error),
        })?;
        let peer_certificate_der_sha256 = connection.der_sha256;
        keep(host, connection).await;
        Ok(PostResponse {
            status: head.status,
            content_type: head
                .headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            headers: head.headers,
            body,
            peer_certificate_der_sha256,
        })
    }
}

/// Why a request is waited for no longer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Elapsed {
    /// Nothing moved until the deadline.
    #[error("no response in time")]
    Quiet,
    /// The peer takes it, and too slowly.
    #[error("the request is taken too slowly")]
    Slow,
}

/// How a peer takes a request.
struct Taking {
    began: Instant,
    quiet: Duration,
    bytes: u64,
    bytes_per_second_min: u64,
    /// So many octets were taken when it was looked at last, and when that was.
    taken: u64,
    looked: Instant,
}

impl Taking {
    fn begin(options: &ClientOptions, bytes: u64, now: Instant) -> Self {
        Self {
            began: now,
            quiet: options.response_deadline,
            bytes,
            bytes_per_second_min: options.request_bytes_per_second_min,
            taken: 0,
            looked: now,
        }
    }

    /// When it is to be looked at next.
    fn until(&self) -> Instant {
        let quiet = self.looked + self.quiet;
        self.slow_at().map_or(quiet, |slow| slow.min(quiet))
    }

    /// When what was taken until now is too little; never once all of it was.
    fn slow_at(&self) -> Option<Instant> {
        let is_bound = self.taken < self.bytes && self.bytes_per_second_min > 0;
        is_bound.then(|| {
            let paced = u128::from(self.taken) * 1000 / u128::from(self.bytes_per_second_min);
            let paced = Duration::from_millis(u64::try_from(paced).unwrap_or(u64::MAX / 2));
            self.began + self.quiet + paced
        })
    }

    /// So many octets are taken now, at an instant at which it was to be looked at.
    fn goes_on(&mut self, taken: u64, now: Instant) -> Result<(), Elapsed> {
        if taken == self.taken && self.looked + self.quiet <= now {
            return Err(Elapsed::Quiet);
        }
        if taken > self.taken {
            (self.taken, self.looked) = (taken, now);
        }
        if self.slow_at().is_some_and(|slow| slow <= now) { Err(Elapsed::Slow) } else { Ok(()) }
    }
}

fn http_request(
    endpoint: &Endpoint,
    post: Post<'_>,
    handed: &Arc<AtomicU64>,
) -> Result<Request<ContentBody>, PostError> {
    Request::builder()
        .method(Method::POST)
        .uri(&*endpoint.path)
        .header(HOST, endpoint.authority())
        .header(CONTENT_TYPE, post.content_type)
        .header(SOAP_ACTION, HeaderValue::from_str(post.soap_action).map_err(not_http)?)
        .body(ContentBody::of(post.body, Arc::clone(handed)))
        .map_err(not_http)
}

fn not_http(error: impl std::error::Error) -> PostError {
    PostError::new(PostErrorKind::Protocol, error)
}

/// A TCP connection to the first of the host's addresses that answers.
async fn dial(endpoint: &Endpoint) -> std::io::Result<TcpStream> {
    let addresses = tokio::net::lookup_host((&*endpoint.host, endpoint.port)).await?;
    let addresses: Vec<SocketAddr> = addresses.take(ADDRESSES_MAX).collect();
    let stream = TcpStream::connect(&*addresses).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether who answers is one of those that the caller demands.
fn is_of(der_sha256: &[u8; 32], parties: &[[u8; 32]], endpoint: &Endpoint) -> Result<(), PostError> {
    if parties.is_empty() || parties.contains(der_sha256) {
        return Ok(());
    }
    Err(PostError::new(
        PostErrorKind::WrongParty,
        format!("{} has another certificate", endpoint.authority()),
    ))
}

/// Keeps a connection for what is sent next. It is ready at once when the peer keeps it too, never when it closes it.
async fn keep(host: &Host, mut connection: Connection) {
    connection.idle_since = Instant::now();
    let ready = timeout_at(connection.idle_since + REUSE_WAIT, connection.sender.ready()).await;
    if ready.is_ok_and(|ready| ready.is_ok()) {
        host.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// The end of a time that begins now, or an earlier instant.
fn sooner(deadline: Duration, until: Option<Instant>) -> Instant {
    let end = Instant::now() + deadline;
    until.map_or(end, |until| until.min(end))
}

async fn shake_hands(
    stream: TcpStream,
    context: &TlsContext,
    host: &str,
    deadline: Instant,
) -> Result<(SslStream<TcpStream>, [u8; 32]), PostError> {
    let tls = |text: String| PostError::new(PostErrorKind::Tls, text);
    let (ssl, refusal) = context.connecting(host).map_err(|e| tls(e.to_string()))?;
    let mut stream = SslStream::new(ssl, stream).map_err(|e| tls(e.to_string()))?;
    match timeout_at(deadline, Pin::new(&mut stream).connect()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(match refusal.certificate() {
                Some(refused) => tls(format!(
                    "server certificate refused: {} (serial {}, subject {})",
                    refused.cause, refused.serial, refused.subject
                )),
                None => tls(chain(&error)),
            });
        }
        Err(_) => return Err(PostError::new(PostErrorKind::Handshake, "no TLS handshake in time")),
    }
    let peer = stream.ssl().peer_certificate().ok_or_else(|| tls("no server certificate".to_owned()))?;
    let digest = der_sha256(&peer).map_err(|e| tls(e.to_string()))?;
    Ok((stream, digest))
}

/// Waits for what the server says of our certificate. Under TLS 1.3 it judges it once our part of the handshake has ended,
/// and says so only when it refuses it (RFC 8446, 4.4.2.4 and 6.2); under TLS 1.2 it has done so before.
async fn judged(stream: &mut SslStream<TcpStream>, until: Instant) -> Result<(), PostError> {
    if stream.ssl().version2() != Some(SslVersion::TLS1_3) {
        return Ok(());
    }
    let mut none = [0];
    match timeout_at(sooner(JUDGED_WITHIN, Some(until)), Pin::new(stream).peek(&mut none)).await {
        // It waits for a request, as it should; or says something, which is for HTTP to judge.
        Err(_) | Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let text = format!("it ended the connection once it had our certificate: {}", chain(&error));
            Err(PostError::new(PostErrorKind::Tls, text))
        }
    }
}

const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");
/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;
/// How long a server is given to refuse our certificate after the handshake.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection may take to say that it can be used; it takes no network for that.
const REUSE_WAIT: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// At the pace it goes on however long that takes, below it it ends; what is taken whole may be answered later.
    #[test]
    fn a_request_is_taken_at_a_decent_pace_or_given_up() {
        let options = ClientOptions {
            response_deadline: Duration::from_secs(60),
            request_bytes_per_second_min: 1000,
            ..ClientOptions::default()
        };
        let check = |bytes: u64, taken: &dyn Fn(u64) -> u64, expected: Result<(), (u64, Elapsed)>| {
            let began = Instant::now();
            let mut taking = Taking::begin(&options, bytes, began);
            let mut came = Ok(());
            while (taking.until() - began) <= Duration::from_secs(200) {
                let at = u64::try_from((taking.until() - began).as_millis()).expect("a short time");
                if let Err(elapsed) = taking.goes_on(taken(at).min(bytes), taking.until()) {
                    came = Err((at / 1000, elapsed));
                    break;
                }
            }
            assert_eq!(came, expected);
        };
        // A minute of grace, then a thousand octets a second: just as many, and one in a thousand fewer.
        check(u64::MAX, &|millis| millis.saturating_sub(60_000) + 1, Ok(()));
        check(u64::MAX, &|millis| millis.saturating_sub(60_000) * 999 / 1000 + 50, Err((109, Elapsed::Slow)));
        check(u64::MAX, &|millis| millis / 100, Err((60, Elapsed::Slow)));
        // A good beginning counts.
        check(u64::MAX, &|millis| 100_000 + millis / 1000, Err((160, Elapsed::Slow)));
        // Nothing more comes, of some, of none, and of a request that was taken whole.
        check(u64::MAX, &|millis| millis.min(1), Err((60, Elapsed::Slow)));
        check(u64::MAX, &|_| 0, Err((60, Elapsed::Quiet)));
        check(100_000, &|_| 100_000, Err((120, Elapsed::Quiet)));
        check(0, &|_| 0, Err((60, Elapsed::Quiet)));
    }

    #[test]
    fn endpoints_are_https_addresses() {
        fn check(text: &str, expected: Option<&str>) {
            let read = text.parse::<Endpoint>().ok().map(|endpoint| endpoint.to_string());
            assert_eq!(read.as_deref(), expected, "{text:?}");
        }
        check("https://kfda.example:8443/msh", Some("https://kfda.example:8443/msh"));
        check("https://kfda.example", Some("https://kfda.example:443/"));
        check("https://KFDA.Example/MSH", Some("https://kfda.example:443/MSH"));
        check("https://[::1]:9/msh?x=1", Some("https://[::1]:9/msh?x=1"));
        check("http://kfda.example/msh", None);
        check("https://user:secret@kfda.example/msh", None);
        check("/msh", None);
        check("", None);
    }
}
