//! Listening: who gets a connection, how many, and how it all ends.
//!
//! A [`Server`] owns its listener and every connection's task. Handshakes in progress, connections in total and
//! connections of one certificate are capped, each by its own count, so that neither strangers nor one partner
//! take what the others need (P15, S14). Past a cap a connection is closed at once: waiting would let whoever
//! hoards decide for everybody else.
//!
//! [`Server::shutdown`] stops accepting, lets the requests in hand be answered, and at the deadline ends the
//! rest. Dropping a server ends everything at once; that is always safe, only less polite (P14).

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::body::{BodyLimits, Budget};
use super::caps::{Counters, PeerSlot, ServerCounts, Slot};
use super::connection::{self, Handler, Peer, Service, Session};
use super::error::{TransportError, chain};
use super::events;
use super::gate::GateLimits;
use super::spool::SpoolOptions;
use super::tls::{Refusal, Tls, der_sha256};

/// Every cap and deadline of a server. What happens at each is written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Connections in total; one more is closed at once.
    pub connections_max: usize,
    /// Connections with one certificate; one more is closed after its handshake.
    pub connections_per_peer_max: usize,
    /// Handshakes in progress; one more is closed at once.
    pub handshakes_max: usize,
    /// For the TLS handshake; then the connection is closed.
    pub handshake_deadline: Duration,
    /// From the handshake or the first octet of a request to the end of its head; then the connection is
    /// closed.
    pub header_deadline: Duration,
    /// Header fields of a request; one more is answered 431.
    pub header_count_max: usize,
    /// Octets of a request's head; more are answered 431.
    pub header_bytes_max: usize,
    /// Octets of a request's body; more are answered 413, at once when announced by Content-Length.
    pub body_bytes_max: usize,
    /// Octets of all bodies in hand together that are in memory; more are answered 503.
    pub body_bytes_in_flight_max: usize,
    /// Where bodies are written that are too large to hold. Without it all of them are held.
    pub spool: Option<SpoolOptions>,
    /// For a whole body; then the answer is 408.
    pub body_deadline: Duration,
    /// The slowest pace of a body over each `body_pace_window`; below it the answer is 408.
    pub body_bytes_per_second_min: u64,
    /// The time over which the pace of a body is measured.
    pub body_pace_window: Duration,
    /// For a response to be taken by the peer; then the connection is closed.
    pub response_deadline: Duration,
    /// Between an answer and the next request; then the connection is closed.
    pub idle_deadline: Duration,
    /// The age at which a kept-alive connection ends, so that certificates are looked at anew.
    pub connection_age_max: Duration,
    /// The methods that are served; others are answered 405.
    pub methods: Vec<Method>,
    /// The Retry-After of our own 503.
    pub retry_after: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_peer_max: 64,
            handshakes_max: 128,
            handshake_deadline: Duration::from_secs(10),
            header_deadline: Duration::from_secs(10),
            header_count_max: 64,
            header_bytes_max: 16 * 1024,
            body_bytes_max: 20 * 1024 * 1024,
            body_bytes_in_flight_max: 256 * 1024 * 1024,
            spool: None,
            body_deadline: Duration::from_secs(120),
            body_bytes_per_second_min: 1024,
            body_pace_window: Duration::from_secs(10),
            response_deadline: Duration::from_secs(30),
            idle_deadline: Duration::from_secs(60),
            connection_age_max: Duration::from_secs(3600),
            methods: vec![Method::POST],
            retry_after: Duration::from_secs(5),
        }
    }
}

impl ServerOptions {
    pub(super) const fn gate_limits(&self) -> GateLimits {
        GateLimits {
            header_deadline: self.header_deadline,
            idle_deadline: self.idle_deadline,
            response_deadline: self.response_deadline,
            header_bytes_max: self.header_bytes_max,
        }
    }

    pub(super) const fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            bytes_max: self.body_bytes_max,
            deadline: self.body_deadline,
            bytes_per_second_min: self.body_bytes_per_second_min,
            pace_window: self.body_pace_window,
        }
    }
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Whole,
    /// The deadline passed with this many connections still open; they were cut.
    Cut {
        /// How many.
        connections: usize,
    },
}

/// A listener with its connections.
pub struct Server {
    address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    on_drop: AbortOnDrop,
    counts: Arc<dyn Fn() -> ServerCounts + Send + Sync>,
    counters: Arc<Counters>,
}

impl Server {
    /// Serves HTTP/1.1 over mutual TLS.
    ///
    /// # Errors
    /// [`TransportError::Listen`].
    pub async fn tls<H: Handler>(
        address: SocketAddr,
        tls: Tls,
        options: ServerOptions,
        handler: H,
    ) -> Result<Self, TransportError> {
        let listener = TcpListener::bind(address).await.map_err(|e| listen_error(&address, e))?;
        let bound = listener.local_addr().map_err(|e| listen_error(&address, e))?;
        Ok(Self::start(Listener::Tls(listener, tls), Some(bound), options, handler))
    }

    /// Serves HTTP/1.1 without TLS on a loopback address.
    ///
    /// # Errors
    /// [`TransportError::NotLoopback`] or [`TransportError::Listen`].
    pub async fn loopback<H: Handler>(
        address: SocketAddr,
        options: ServerOptions,
        handler: H,
    ) -> Result<Self, TransportError> {
        if !address.ip().is_loopback() {
            return Err(TransportError::NotLoopback { found: address });
        }
        let listener = TcpListener::bind(address).await.map_err(|e| listen_error(&address, e))?;
        let bound = listener.local_addr().map_err(|e| listen_error(&address, e))?;
        Ok(Self::start(Listener::Loopback(listener), Some(bound), options, handler))
    }

    /// Serves HTTP/1.1 on a unix socket that only our user (and root) can open. A socket left by a process that is
    /// gone is replaced.
    ///
    /// # Errors
    /// [`TransportError::Listen`], also when somebody still listens there.
    pub async fn unix<H: Handler>(
        path: &Path,
        options: ServerOptions,
        handler: H,
    ) -> Result<Self, TransportError> {
        let listener = bind_unix(path).await.map_err(|e| listen_error(&path.display(), e))?;
        let socket = Socket { listener, path: path.to_owned() };
        Ok(Self::start(Listener::Unix(socket), None, options, handler))
    }

    /// The address it listens on, where it is one of TCP.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What it has done and has in hand.
    #[must_use]
    pub fn counts(&self) -> ServerCounts {
        (self.counts)()
    }

    /// Stops accepting, ends idle connections, lets requests in hand be answered; cuts what is left at the
    /// deadline.
    pub async fn shutdown(mut self, deadline: Duration) -> Drained {
        self.stop.send_replace(true);
        let drained = match timeout(deadline, &mut self.accepting).await {
            Ok(_) => Drained::Whole,
            Err(_) => Drained::Cut { connections: self.counters.open.load(Ordering::Acquire) },
        };
        drop(self.on_drop);
        drained
    }

    fn start<H: Handler>(
        listener: Listener,
        address: Option<SocketAddr>,
        options: ServerOptions,
        handler: H,
    ) -> Self {
        let budget = Budget::new(options.body_bytes_in_flight_max);
        let service = Arc::new(Service { handler, options, budget, requests: AtomicU64::new(0) });
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = watch::channel(false);
        let counts = {
            let (service, counters) = (Arc::clone(&service), Arc::clone(&counters));
            Arc::new(move || counters.read(service.requests.load(Ordering::Relaxed)))
        };
        let accepting = tokio::spawn(accept_all(listener, service, Arc::clone(&counters), stopped));
        let on_drop = AbortOnDrop(accepting.abort_handle());
        Self { address, stop, accepting, on_drop, counts, counters }
    }
}

enum Listener {
    Tls(TcpListener, Tls),
    Loopback(TcpListener),
    Unix(Socket),
}

enum Accepted {
    Tls(TcpStream, SocketAddr, Tls),
    Loopback(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tls(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Tls(stream, address, tls.clone()))
            }
            Self::Loopback(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Accepted::Loopback(stream, address))
            }
            Self::Unix(socket) => Ok(Accepted::Unix(socket.listener.accept().await?.0)),
        }
    }
}

/// Accepts until told to stop, then waits for every connection. Cancelling it aborts them: they live in its
/// `JoinSet`.
async fn accept_all<H: Handler>(
    listener: Listener,
    service: Arc<Service<H>>,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut stopped = stop.clone();
    loop {
        tokio::select! {
            // A server that is gone stops as one that was told to.
            () = connection::told(&mut stopped) => break,
            Some(ended) = connections.join_next() => note_end(ended),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => admit(accepted, &service, &counters, &stop, &mut connections),
                Err(error) => {
                    let cause = chain(&error);
                    tracing::warn!(event = events::ACCEPT_FAILED, cause, "cannot accept a connection");
                    // Out of descriptors, most likely: give the connections in hand time to end.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        note_end(ended);
    }
}

fn admit<H: Handler>(
    accepted: Accepted,
    service: &Arc<Service<H>>,
    counters: &Arc<Counters>,
    stop: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    let Some(open) = Slot::take(counters, |c| &c.open, service.options.connections_max) else {
        counters.refuse("connections_max");
        return;
    };
    let (service, stop) = (Arc::clone(service), stop.clone());
    match accepted {
        Accepted::Tls(stream, address, tls) => {
            let Some(handshake) = Slot::take(counters, |c| &c.handshakes, service.options.handshakes_max)
            else {
                counters.refuse("handshakes_max");
                return;
            };
            connections.spawn(serve_tls(stream, address, tls, service, open, handshake, stop));
        }
        Accepted::Loopback(stream, address) => {
            connections.spawn(serve_plain(stream, Peer::Loopback { address }, service, open, stop));
        }
        Accepted::Unix(stream) => {
            let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
            connections.spawn(serve_plain(stream, Peer::Local { uid }, service, open, stop));
        }
    }
}

async fn serve_plain<S, H>(
    stream: S,
    peer: Peer,
    service: Arc<Service<H>>,
    _open: Slot,
    stop: watch::Receiver<bool>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let session = Session { peer, is_fresh: Box::new(|| true) };
    connection::serve(stream, session, service, stop).await;
}

async fn serve_tls<H: Handler>(
    stream: TcpStream,
    address: SocketAddr,
    tls: Tls,
    service: Arc<Service<H>>,
    open: Slot,
    handshake: Slot,
    stop: watch::Receiver<bool>,
) {
    let context = tls.current();
    let accepted = {
        let mut stop = stop.clone();
        tokio::select! {
            // Whoever has not proved who it is has nothing in hand that a shutdown would wait for.
            () = connection::told(&mut stop) => return,
            accepted = shake_hands(stream, &context, service.options.handshake_deadline) => accepted,
        }
    };
    drop(handshake);
    let (stream, der_sha256) = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => {
            open.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
            refused.log(address);
            if let Some(mut stream) = refused.stream {
                // Lets the alert that names the cause arrive.
                connection::close(stream.get_mut(), true).await;
            }
            return;
        }
    };
    let Some(_share) = PeerSlot::take(&open.counters, der_sha256, service.options.connections_per_peer_max)
    else {
        open.counters.refuse("connections_per_peer_max");
        let mut stream = stream;
        connection::close(&mut stream, false).await;
        return;
    };
    let is_fresh = Box::new(move || tls.is_current(&context));
    let session = Session { peer: Peer::Certificate { der_sha256, address }, is_fresh };
    connection::serve(stream, session, service, stop).await;
}

/// A handshake that did not come about.
struct HandshakeRefused {
    stream: Option<SslStream<TcpStream>>,
    refusal: Option<Refusal>,
    cause: String,
}

impl HandshakeRefused {
    fn log(&self, peer: SocketAddr) {
        let cause = &self.cause;
        match self.refusal.as_ref().and_then(Refusal::certificate) {
            Some(certificate) => tracing::warn!(
                event = events::TLS_REFUSED,
                %peer,
                serial = certificate.serial,
                subject = certificate.subject,
                cause = certificate.cause,
                "client certificate refused",
            ),
            None => tracing::info!(event = events::TLS_REFUSED, %peer, cause, "handshake failed"),
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    context: &super::TlsContext,
    deadline: Duration,
) -> Result<(SslStream<TcpStream>, [u8; 32]), HandshakeRefused> {
    let ours = |e: openssl::error::ErrorStack| HandshakeRefused {
        stream: None,
        refusal: None,
        cause: e.to_string(),
    };
    let (ssl, refusal) = context.accepting().map_err(ours)?;
    let mut stream = SslStream::new(ssl, stream).map_err(ours)?;
    let cause = match timeout(deadline, Pin::new(&mut stream).accept()).await {
        Ok(Ok(())) => {
            let digest = stream.ssl().peer_certificate().and_then(|peer| der_sha256(&peer).ok());
            match digest {
                Some(digest) => return Ok((stream, digest)),
                None => "the peer showed no certificate".to_owned(),
            }
        }
        Ok(Err(error)) => chain(&error),
        Err(_) => "the handshake took too long".to_owned(),
    };
    Err(HandshakeRefused { stream: Some(stream), refusal: Some(refusal), cause })
}

/// A unix socket whose name is removed when we stop listening.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            if !is_socket || UnixStream::connect(path).await.is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn listen_error(address: &impl std::fmt::Display, source: io::Error) -> TransportError {
    TransportError::Listen { address: address.to_string(), source }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(event = events::PANICKED, "a connection's task panicked");
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
