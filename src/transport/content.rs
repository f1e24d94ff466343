//! A body on its way out: in memory, or in chunks that are read while it leaves (P13).
//!
//! Promises: its length is known before its first octet leaves; a chunk is read, on a thread for that, while the one
//! before it is written, so that no more than two are in memory; when a chunk cannot be read the body breaks off, and
//! whoever receives it misses octets that were announced.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use super::error::BrokenOff;

/// What is sent.
pub enum Content {
    /// Octets in memory.
    Held(Bytes),
    /// Octets that are read while they leave.
    Streamed(Streamed),
}

/// Octets that are read while they leave.
pub struct Streamed {
    bytes: u64,
    chunks: Chunks,
}

type Chunks = Box<dyn Iterator<Item = io::Result<Bytes>> + Send>;

impl Streamed {
    /// So many octets, in these chunks, which are read on a thread that may block.
    pub fn new(bytes: u64, chunks: impl Iterator<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self { bytes, chunks: Box::new(chunks) }
    }
}

impl Content {
    /// What is in memory as it is; anything else in these chunks.
    pub fn of<E>(
        held: Option<&Bytes>,
        bytes: u64,
        chunks: impl Iterator<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match held {
            Some(octets) => Self::Held(octets.clone()),
            None => Self::Streamed(Streamed::new(bytes, chunks.map(|chunk| chunk.map_err(io::Error::other)))),
        }
    }

    /// How many octets there are.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match self {
            Self::Held(octets) => octets.len() as u64,
            Self::Streamed(streamed) => streamed.bytes,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(octets: T) -> Self {
        Self::Held(octets.into())
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(octets) => octets.fmt(f),
            Self::Streamed(Streamed { bytes, .. }) => write!(f, "{bytes} streamed octets"),
        }
    }
}

/// The same as hyper takes it.
pub(super) struct ContentBody {
    left: u64,
    state: State,
    /// Octets that were handed over, for who waits.
    handed: Arc<AtomicU64>,
}

enum State {
    Held(Bytes),
    Unread(Chunks),
    Reading(JoinHandle<(Chunks, Option<io::Result<Bytes>>)>),
    Ended,
}

impl ContentBody {
    pub(super) fn of(content: Content, handed: Arc<AtomicU64>) -> Self {
        let left = content.bytes();
        let state = match content {
            Content::Held(octets) => State::Held(octets),
            Content::Streamed(streamed) => State::Unread(streamed.chunks),
        };
        Self { left, state, handed }
    }

    fn hand_over(&mut self, octets: Bytes) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(left) = self.left.checked_sub(octets.len() as u64) else {
            return self.break_off(io::Error::other("more octets than were announced"));
        };
        self.left = left;
        self.handed.fetch_add(octets.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(octets))))
    }

    fn break_off(&mut self, error: io::Error) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.state = State::Ended;
        Poll::Ready(Some(Err(BrokenOff(error))))
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Held(octets) if octets.is_empty() => return Poll::Ready(None),
                State::Held(octets) => return self.hand_over(octets),
                State::Unread(_) if self.left == 0 => return Poll::Ready(None),
                State::Unread(chunks) => self.state = State::Reading(read_next(chunks)),
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    match read {
                        Ok((chunks, Some(Ok(octets)))) => {
                            if self.left > octets.len() as u64 {
                                self.state = State::Reading(read_next(chunks));
                            }
                            return self.hand_over(octets);
                        }
                        Ok((_, Some(Err(error)))) => return self.break_off(error),
                        Ok((_, None)) => {
                            return self.break_off(io::Error::other("fewer octets than were announced"));
                        }
                        Err(panicked) => return self.break_off(io::Error::other(panicked)),
                    }
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn read_next(mut chunks: Chunks) -> JoinHandle<(Chunks, Option<io::Result<Bytes>>)> {
    spawn_blocking(move || {
        let chunk = chunks.next();
        (chunks, chunk)
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn sent(content: Content) -> Result<String, String> {
        let mut body = ContentBody::of(content, Arc::default());
        let mut sent = Vec::new();
        while let Some(frame) = body.frame().await {
            let octets = frame.map_err(|error| error.to_string())?.into_data().expect("no trailers");
            sent.extend_from_slice(&octets);
        }
        Ok(String::from_utf8(sent).expect("is text"))
    }

    #[tokio::test]
    async fn chunks_leave_in_order_and_as_many_octets_as_were_announced() {
        async fn check(
            bytes: u64,
            chunks: &[Result<&'static str, &'static str>],
            expected: Result<&str, &str>,
        ) {
            let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.map(Bytes::from)).collect();
            let sent = sent(Content::of(None, bytes, chunks.into_iter())).await;
            assert_eq!(sent.as_deref().map_err(String::as_str), expected);
        }
        check(5, &[Ok("ab"), Ok(""), Ok("cde")], Ok("abcde")).await;
        check(0, &[], Ok("")).await;
        check(1, &[], Err("fewer octets than were announced")).await;
        check(5, &[Ok("ab")], Err("fewer octets than were announced")).await;
        check(1, &[Ok("ab")], Err("more octets than were announced")).await;
        check(5, &[Ok("ab"), Err("the disk")], Err("the disk")).await;
        assert_eq!(sent(Content::from("held")).await.as_deref(), Ok("held"));
    }
}
