//! The command line's way to the running gateway: HTTP/1.1 over its unix socket.
//!
//! One connection a request, one deadline for all of it, a cap on the answer. Who may open the socket is the file
//! system's to say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::body::{BodyLimits, hold};
use super::error::{PostError, PostErrorKind};

/// A client of the admin socket.
#[derive(Clone, Debug)]
pub struct LocalClient {
    socket: PathBuf,
    deadline: Duration,
    body_bytes_max: usize,
}

/// What the gateway answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl LocalClient {
    /// A client of the socket at this path.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), deadline: DEADLINE, body_bytes_max: BODY_BYTES_MAX }
    }

    /// Asks for `path`, percent-encoded and with its query.
    ///
    /// # Errors
    /// [`PostError`] when no complete response came.
    pub async fn get(&self, path: &str) -> Result<LocalResponse, PostError> {
        self.ask(Method::GET, path, None, Bytes::new()).await
    }

    /// Posts to `path`.
    ///
    /// # Errors
    /// [`PostError`] when no complete response came.
    pub async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<LocalResponse, PostError> {
        self.ask(Method::POST, path, Some(content_type), body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<LocalResponse, PostError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request =
            request.body(Full::new(body)).map_err(|e| PostError::new(PostErrorKind::Protocol, e))?;
        timeout(self.deadline, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(PostError::new(PostErrorKind::Timeout, "no response in time")))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<LocalResponse, PostError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| PostError::new(PostErrorKind::Connect, format!("{}: {e}", self.socket.display())))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| PostError::of_hyper(&e))?;
        let exchanging = async {
            let response = sender.send_request(request).await.map_err(|e| PostError::of_hyper(&e))?;
            let (head, body) = response.into_parts();
            let limits = BodyLimits {
                bytes_max: self.body_bytes_max,
                deadline: self.deadline,
                bytes_per_second_min: 0,
                pace_window: self.deadline,
            };
            let body = hold(body, &limits).await.map_err(|e| PostError::new(PostErrorKind::Closed, e))?;
            Ok(LocalResponse { status: head.status, body })
        };
        // The connection makes progress only while it is polled beside the exchange.
        tokio::pin!(exchanging);
        tokio::select! {
            answered = &mut exchanging => answered,
            ended = connection => match ended {
                Ok(()) => exchanging.await,
                Err(error) => Err(PostError::of_hyper(&error)),
            },
        }
    }
}

const DEADLINE: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
