//! The command line's way to the running gateway: HTTP/1.1 over its unix socket.
//!
//! One connection a request, one deadline for all of it, a cap on the answer; what may be large is taken as it comes. Who may open the socket is the file
//! system's to say.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
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

    /// Asks for what may be large: octets of an answer with status 200 go where they are taken, as they come, and none of
    /// them are in the response that is returned. Each of them is waited for as long as for a whole answer.
    ///
    /// # Errors
    /// [`PostError`] when no complete response came, or its octets were not taken.
    pub async fn fetch(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<LocalResponse, PostError> {
        let request = Request::get(path).header(HOST, "localhost").body(Full::new(Bytes::new()));
        let request = request.map_err(|e| PostError::new(PostErrorKind::Protocol, e))?;
        self.exchange(request, async |status, mut body| {
            if status != StatusCode::OK {
                return self.held(body).await;
            }
            loop {
                let frame = timeout(self.deadline, body.frame()).await;
                let frame =
                    frame.map_err(|_| PostError::new(PostErrorKind::Timeout, "no more octets in time"))?;
                let Some(frame) = frame else { return Ok(Bytes::new()) };
                let frame = frame.map_err(|e| PostError::of_hyper(&e))?;
                if let Ok(octets) = frame.into_data() {
                    take(&octets).map_err(|e| PostError::new(PostErrorKind::Closed, e))?;
                }
            }
        })
        .await
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
        timeout(self.deadline, self.exchange(request, async |_, body| self.held(body).await))
            .await
            .unwrap_or_else(|_| Err(PostError::new(PostErrorKind::Timeout, "no response in time")))
    }

    async fn held(&self, body: Incoming) -> Result<Bytes, PostError> {
        let limits = BodyLimits {
            bytes_max: self.body_bytes_max,
            deadline: self.deadline,
            bytes_per_second_min: 0,
            pace_window: self.deadline,
        };
        hold(body, &limits).await.map_err(|e| PostError::new(PostErrorKind::Closed, e))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        read: impl AsyncFnOnce(StatusCode, Incoming) -> Result<Bytes, PostError>,
    ) -> Result<LocalResponse, PostError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| PostError::new(PostErrorKind::Connect, format!("{}: {e}", self.socket.display())))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| PostError::of_hyper(&e))?;
        let exchanging = async {
            let response = timeout(self.deadline, sender.send_request(request))
                .await
                .map_err(|_| PostError::new(PostErrorKind::Timeout, "no response in time"))?
                .map_err(|e| PostError::of_hyper(&e))?;
            let (head, body) = response.into_parts();
            Ok(LocalResponse { status: head.status, body: read(head.status, body).await? })
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
