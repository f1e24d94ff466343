//! HTTP and TLS sockets: bytes, deadlines, caps. No opinion about messages.
//!
//! [`Server`] answers HTTP/1.1 over mutual TLS, over TCP on loopback, or over a unix socket, and hands every
//! request whole to a [`Handler`]. [`Client`] posts and calls over kept-alive mutual TLS. Both promise that nothing a
//! peer does makes them wait or grow without bound (P13, P15; threats S13 to S16, S20): every wait has a
//! deadline and every count a cap, named in [`ServerOptions`] and [`ClientOptions`].
//!
//! Not here: which party a certificate belongs to, which content types are spoken, what an answer means.
//! The floor gives the SHA-256 of the peer's certificate; who that is, the floors above know.

mod body;
mod caps;
mod client;
mod connection;
mod content;
mod error;
mod gate;
mod local;
mod server;
mod spool;
mod tls;

pub use caps::ServerCounts;
pub use client::{Call, Client, ClientOptions, Endpoint, Post, PostResponse};
pub use connection::{Handler, Peer, Request, Response};
pub use content::{Content, Streamed};
pub use error::{PostError, PostErrorKind, TransportError};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use local::{LocalClient, LocalResponse};
pub use server::{Drained, Server, ServerOptions};
pub use spool::{SpoolOptions, Spooled};
pub use tls::{Tls, TlsContext, TlsFiles};

/// The codes of the events this floor logs; `telemetry` documents each with cause and remedy.
pub mod events {
    /// A TLS handshake failed or was refused; a certificate at fault is named by serial and cause.
    pub const TLS_REFUSED: &str = "transport.tls-refused";
    /// A connection was closed because a cap was reached.
    pub const CONNECTION_REFUSED: &str = "transport.connection-refused";
    /// A request was refused before the handler saw it.
    pub const REQUEST_REFUSED: &str = "transport.request-refused";
    /// A connection ended by a fault of the peer or the network.
    pub const CONNECTION_BROKEN: &str = "transport.connection-broken";
    /// The listener could not accept a connection.
    pub const ACCEPT_FAILED: &str = "transport.accept-failed";
    /// A handler or a connection panicked; the request got status 500 or none.
    pub const PANICKED: &str = "transport.panicked";
}

#[cfg(test)]
mod tests;
