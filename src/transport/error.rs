//! What can go wrong before and during transport, as a vocabulary.
//!
//! [`TransportError`] is ours to repair: settings, files, ports. [`PostError`] is what came of one attempt to
//! post. It does not say what to do about it; the caller sorts by [`PostErrorKind`], never by text.

use std::io;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;

/// A server or client that cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: expected {expected}: {cause}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What stood in the way.
        cause: String,
    },
    /// The private key does not belong to the certificate.
    #[error("the private key {key} does not belong to the certificate {certificate}",
        key = key.display(), certificate = certificate.display())]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// Neither a trust anchor nor a pinned certificate: no peer could ever connect.
    #[error("expected at least one trust anchor or pinned certificate, found none")]
    NothingTrusted,
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A listener without TLS must stay on this machine.
    #[error("expected a loopback address for a listener without TLS, found {found}")]
    NotLoopback {
        /// The address that was asked for.
        found: std::net::SocketAddr,
    },
    /// An address to post to that is none.
    #[error("expected an address like https://host:port/path, found {found:?}")]
    Endpoint {
        /// What stood there.
        found: String,
    },
    /// OpenSSL refused a setting.
    #[error("tls: {0}")]
    Tls(#[from] ErrorStack),
}

impl TransportError {
    pub(super) fn content(path: &Path, expected: &'static str, cause: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), expected, cause: cause.to_string() }
    }
}

/// Where an attempt to post ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostErrorKind {
    /// No connection: name not resolved, refused, unreachable, not made in time.
    Connect,
    /// The handshake did not end in time.
    Handshake,
    /// The handshake failed, or a certificate was refused by us or by the peer.
    Tls,
    /// The peer's certificate is trusted but is not one of those the caller demanded. Nothing was sent.
    WrongParty,
    /// A deadline passed once there was a connection.
    Timeout,
    /// The connection ended before the answer was complete.
    Closed,
    /// The answer exceeds a cap.
    TooLarge,
    /// The answer is not HTTP, or the request could not be written as HTTP.
    Protocol,
    /// The octets to send could not be read as they are sent.
    Unreadable,
}

impl PostErrorKind {
    /// A word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Tls => "tls",
            Self::WrongParty => "wrong-party",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::TooLarge => "too-large",
            Self::Protocol => "protocol",
            Self::Unreadable => "unreadable",
        }
    }
}

/// An attempt to post that brought no HTTP response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", kind.as_str())]
pub struct PostError {
    /// Where it ended.
    pub kind: PostErrorKind,
    /// What happened, for people.
    pub text: String,
}

impl PostError {
    pub(super) fn new(kind: PostErrorKind, text: impl ToString) -> Self {
        Self { kind, text: text.to_string() }
    }

    /// Sorts what hyper reports by looking for the fault beneath it.
    pub(super) fn of_hyper(error: &hyper::Error) -> Self {
        let kind = match cause::<openssl::ssl::Error>(error) {
            Some(tls) if tls.ssl_error().is_some() => PostErrorKind::Tls,
            _ if error.is_parse_too_large() => PostErrorKind::TooLarge,
            _ if cause::<BrokenOff>(error).is_some() => PostErrorKind::Unreadable,
            _ if error.is_parse() || error.is_user() => PostErrorKind::Protocol,
            _ => PostErrorKind::Closed,
        };
        Self::new(kind, chain(error))
    }
}

/// A body that ended before its end, because its next octets could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BrokenOff(pub(super) io::Error);

/// The first cause of type `E` beneath `error`, also inside an I/O error.
fn cause<'e, E: std::error::Error + 'static>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inside.and_then(|inner| inner.downcast_ref::<E>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error and its causes on one line, none said twice.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}
