//! The gate between a socket and the HTTP parser: one request at a time, framed in one way only.
//!
//! hyper resolves a request with both Content-Length and Transfer-Encoding silently, as RFC 9112 allows; threat
//! S13 asks for a refusal. So the gate holds the head of each request back until it is complete, checks how
//! its body is delimited, and lets through the head and exactly that body. An ambiguous head, and a request
//! sent before the answer to the last one, are replaced by octets no HTTP parser takes: hyper answers 400 and
//! closes. The gate also keeps the deadlines that hyper has no setting for: complete head, idle connection,
//! response written (S14).
//!
//! Does not parse HTTP otherwise: what it lets through is still hyper's to judge.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long the gate waits, and for how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateLimits {
    /// From the first octet of a request (or the handshake) to the end of its head.
    pub(super) header_deadline: Duration,
    /// From an answer to the first octet of the next request.
    pub(super) idle_deadline: Duration,
    /// From the first time the peer does not take our octets to the time it has taken all, or the next mebibyte.
    pub(super) response_deadline: Duration,
    /// Octets of a head after which hyper gets it unfinished, to refuse it.
    pub(super) header_bytes_max: usize,
}

/// Whether a request was let through and the answer to it is not made yet. The gate says when it begins, the
/// service when it ends.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    is: AtomicBool,
    gate: Mutex<Option<Waker>>,
}

impl InFlight {
    /// The answer is made, or nobody wants it any more: the gate may wait for the next request.
    pub(super) fn end(&self) {
        self.is.store(false, Ordering::Release);
        if let Some(gate) = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take() {
            gate.wake();
        }
    }

    fn begin(&self) {
        self.is.store(true, Ordering::Release);
    }

    fn is(&self) -> bool {
        self.is.load(Ordering::Acquire)
    }

    /// Whether it is; when it is, its end wakes the gate, since hyper does not poll again what once was pending.
    fn poll(&self, cx: &Context<'_>) -> bool {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.is()
    }
}

/// A stream whose reading side is the gate.
pub(super) struct Gate<S> {
    stream: S,
    limits: GateLimits,
    in_flight: Arc<InFlight>,
    framing: Framing,
    /// Octets read and not let through.
    held: BytesMut,
    /// How many of the held octets may pass.
    released: usize,
    /// How many of the held octets were searched for the end of the head.
    searched: usize,
    answered_before: bool,
    waiting: Option<(Wait, Pin<Box<Sleep>>)>,
    writing: Option<Pin<Box<Sleep>>>,
    /// Octets of the response that the peer has taken since.
    taken: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Head,
    Idle,
}

impl<S> Gate<S> {
    pub(super) fn new(stream: S, limits: GateLimits, in_flight: Arc<InFlight>) -> Self {
        Self {
            stream,
            limits,
            in_flight,
            framing: Framing::Head,
            held: BytesMut::new(),
            released: 0,
            searched: 0,
            answered_before: false,
            waiting: None,
            writing: None,
            taken: 0,
        }
    }

    /// Whether the peer may still be sending something that nobody will read.
    pub(super) fn is_mid_request(&self) -> bool {
        self.framing != Framing::Head || !self.held.is_empty()
    }

    /// Decides about the held octets of a head, if there is enough to decide.
    fn judge_head(&mut self) {
        let blank = self.held.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        self.held.advance(blank);
        self.searched = self.searched.saturating_sub(blank);
        if self.held.is_empty() {
            return;
        }
        if self.in_flight.is() {
            return self.refuse("a request sent before the answer to the last one");
        }
        let Some(end) = head_end(&self.held, self.searched) else {
            self.searched = self.held.len();
            if self.held.len() > self.limits.header_bytes_max {
                self.release(self.held.len(), Framing::Opaque);
            }
            return;
        };
        match framing_of(self.held.get(..end).unwrap_or_default()) {
            Ok(framing) => {
                self.release(end, framing);
                self.answered_before = true;
                self.in_flight.begin();
            }
            Err(cause) => self.refuse(cause),
        }
    }

    fn refuse(&mut self, cause: &'static str) {
        tracing::info!(event = super::events::REQUEST_REFUSED, status = 400, cause, "request refused");
        self.held.clear();
        self.held.extend_from_slice(NOT_HTTP);
        self.release(self.held.len(), Framing::Opaque);
    }

    fn release(&mut self, octets: usize, framing: Framing) {
        self.released = octets;
        self.searched = 0;
        self.framing = framing;
        self.waiting = None;
    }

    /// Whether the wait for the peer has lasted too long; registers for the wake-up otherwise.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        if self.framing != Framing::Head || self.in_flight.poll(cx) {
            self.waiting = None;
            return Poll::Pending;
        }
        let idle = self.held.is_empty() && self.answered_before;
        let (wait, deadline) = if idle {
            (Wait::Idle, self.limits.idle_deadline)
        } else {
            (Wait::Head, self.limits.header_deadline)
        };
        if self.waiting.as_ref().is_none_or(|(running, _)| *running != wait) {
            self.waiting = Some((wait, Box::pin(tokio::time::sleep_until(Instant::now() + deadline))));
        }
        match &mut self.waiting {
            Some((wait, sleep)) => sleep.as_mut().poll(cx).map(|()| *wait),
            None => Poll::Pending,
        }
    }

    /// A long response has the deadline for each part of it.
    fn note_taken(&mut self, octets: usize) {
        self.taken += octets;
        if self.taken >= TAKEN_BYTES {
            (self.taken, self.writing) = (0, None);
        }
    }

    fn poll_writing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let deadline = self.limits.response_deadline;
        let sleep = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not take the response")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.released > 0 {
                let passing = this.released.min(buf.remaining());
                buf.put_slice(&this.held.split_to(passing));
                this.released -= passing;
                return Poll::Ready(Ok(()));
            }
            match this.framing {
                Framing::Head => {
                    this.judge_head();
                    if this.released > 0 {
                        continue;
                    }
                    let mut octets = [0; READ_BYTES];
                    let mut read = ReadBuf::new(&mut octets);
                    if Pin::new(&mut this.stream).poll_read(cx, &mut read)?.is_pending() {
                        return match ready!(this.poll_waiting(cx)) {
                            // No octets: to hyper the peer has closed, so it closes too.
                            Wait::Idle => Poll::Ready(Ok(())),
                            Wait::Head => Poll::Ready(Err(io::Error::new(
                                io::ErrorKind::TimedOut,
                                "the request head was not complete in time",
                            ))),
                        };
                    }
                    this.held.extend_from_slice(read.filled());
                    if read.filled().is_empty() {
                        this.release(this.held.len(), Framing::Opaque);
                        if this.released == 0 {
                            return Poll::Ready(Ok(()));
                        }
                    }
                }
                _ if !this.held.is_empty() => this.released = this.framing.advance(&this.held),
                _ => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
                    let read = buf.filled().get(before..).unwrap_or_default();
                    let passing = this.framing.advance(read);
                    this.held.extend_from_slice(read.get(passing..).unwrap_or_default());
                    buf.set_filled(before + passing);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Pending => self.poll_writing(cx),
            written => {
                if let Poll::Ready(Ok(octets)) = written {
                    self.note_taken(octets);
                }
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.poll_writing(cx).map_ok(|_| ()),
            flushed => {
                (self.taken, self.writing) = (0, None);
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where in a request the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Head,
    /// A body with this many octets to come.
    Length(u64),
    Chunked(Chunk),
    /// Past what the gate understands: hyper decides, and closes.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { value: u64, in_digits: bool },
    Content(u64),
    ContentEnd,
    Trailer { blank: bool },
}

impl Framing {
    /// Moves past `octets` to the end of the body at most, and says how many of them belong to it.
    fn advance(&mut self, octets: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = octets.get(passed..).filter(|rest| !rest.is_empty()) {
            let (next, taken) = match *self {
                Self::Head => break,
                Self::Opaque => (Self::Opaque, rest.len()),
                Self::Length(left) => {
                    let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    (Self::length(left - taken as u64), taken)
                }
                Self::Chunked(chunk) => chunk.advance(rest),
            };
            *self = next;
            passed += taken;
        }
        passed
    }

    const fn length(octets: u64) -> Self {
        if octets == 0 { Self::Head } else { Self::Length(octets) }
    }
}

impl Chunk {
    const START: Self = Self::Size { value: 0, in_digits: true };

    /// The state after the first of `rest`, or after as much content as `rest` has.
    fn advance(self, rest: &[u8]) -> (Framing, usize) {
        let octet = rest.first().copied().unwrap_or_default();
        let next = match self {
            Self::Content(left) => {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - taken as u64;
                let next = if left == 0 { Self::ContentEnd } else { Self::Content(left) };
                return (Framing::Chunked(next), taken);
            }
            Self::Size { value: 0, .. } if octet == b'\n' => Self::Trailer { blank: true },
            Self::Size { value, .. } if octet == b'\n' => Self::Content(value),
            Self::Size { value, in_digits } => match char::from(octet).to_digit(16).filter(|_| in_digits) {
                Some(digit) => {
                    Self::Size { value: value.saturating_mul(16).saturating_add(u64::from(digit)), in_digits }
                }
                None => Self::Size { value, in_digits: false },
            },
            Self::ContentEnd if octet == b'\n' => Self::START,
            Self::ContentEnd => Self::ContentEnd,
            Self::Trailer { blank: true } if octet == b'\n' => return (Framing::Head, 1),
            Self::Trailer { blank } => Self::Trailer { blank: octet == b'\n' || (blank && octet == b'\r') },
        };
        (Framing::Chunked(next), 1)
    }
}

/// Where the head ends: past the first empty line. The first `searched` octets hold no end.
fn head_end(octets: &[u8], searched: usize) -> Option<usize> {
    // An end may begin in what was searched: three octets at most.
    let from = searched.saturating_sub(3);
    let tail = octets.get(from..)?;
    memchr::memchr_iter(b'\n', tail).find_map(|at| match tail.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// How the body after this head is delimited, or why that is not certain.
fn framing_of(head: &[u8]) -> Result<Framing, &'static str> {
    let mut length = None;
    let mut chunked = false;
    for line in head.split(|octet| *octet == b'\n').skip(1) {
        if line.first().is_some_and(|octet| matches!(octet, b' ' | b'\t')) {
            return Err("a folded header line");
        }
        let mut halves = line.splitn(2, |octet| *octet == b':');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err("a second Content-Length");
            }
            length = Some(decimal(value).ok_or("a Content-Length that is not one decimal number")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("a Transfer-Encoding other than chunked, or a second one");
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err("both Content-Length and Transfer-Encoding"),
        (Some(length), false) => Ok(Framing::length(length)),
        (None, true) => Ok(Framing::Chunked(Chunk::START)),
        (None, false) => Ok(Framing::Head),
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// No method begins with it.
const NOT_HTTP: &[u8] = b"\0\r\n\r\n";
const READ_BYTES: usize = 4096;
/// Octets of a response for which a peer has the deadline anew.
const TAKEN_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_in_one_way_where_its_body_ends() {
        fn check(headers: &str, expected: Result<Framing, ()>) {
            let head = format!("POST /msh HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            assert_eq!(framing_of(head.as_bytes()).map_err(|_| ()), expected, "{headers:?}");
        }
        check("", Ok(Framing::Head));
        check("Content-Length: 0\r\n", Ok(Framing::Head));
        check("content-length:12\r\n", Ok(Framing::Length(12)));
        check("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked(Chunk::START)));
        check("Content-Length: 1\r\nContent-Length: 2\r\n", Err(()));
        check("Content-Length: 1\r\nContent-Length: 1\r\n", Err(()));
        check("Content-Length: 1, 1\r\n", Err(()));
        check("Content-Length: +1\r\n", Err(()));
        check("Content-Length: -1\r\n", Err(()));
        check("Content-Length:\r\n", Err(()));
        check("Content-Length: 99999999999999999999999\r\n", Err(()));
        check("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Err(()));
        check("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", Err(()));
        check("Transfer-Encoding: chunked\r\ncontent-length : 1\r\n", Err(()));
        check("Transfer-Encoding: gzip, chunked\r\n", Err(()));
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Err(()));
        check("X: a\r\n b\r\n", Err(()));
    }

    #[test]
    fn heads_end_at_the_first_empty_line_however_they_arrive() {
        fn check(octets: &str, expected: Option<usize>) {
            for searched in 0..=expected.map_or(octets.len(), |end| end - 1) {
                assert_eq!(head_end(octets.as_bytes(), searched), expected, "{octets:?} from {searched}");
            }
        }
        check("GET / HTTP/1.1\r\n\r\nmore", Some(18));
        check("GET / HTTP/1.1\n\nmore", Some(16));
        check("GET / HTTP/1.1\n\r\nmore", Some(17));
        check("GET / HTTP/1.1\r\nA: b\r\n", None);
        check("GET / HTTP/1.1\r\n\r", None);
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        fn check(framing: Framing, octets: &str, expected: (usize, Framing)) {
            let mut at_once = framing;
            let passed = at_once.advance(octets.as_bytes());
            assert_eq!((passed, at_once), expected, "{octets:?}");
            let mut by_octet = framing;
            let passed: usize = octets.bytes().map(|octet| by_octet.advance(&[octet])).sum();
            assert_eq!((passed, by_octet), expected, "{octets:?} octet by octet");
        }
        let chunked = Framing::Chunked(Chunk::START);
        check(Framing::Length(3), "abcGET", (3, Framing::Head));
        check(Framing::Length(3), "ab", (2, Framing::Length(1)));
        check(chunked, "3\r\nabc\r\n0\r\n\r\nGET", (13, Framing::Head));
        check(chunked, "A;x=9\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET", (30, Framing::Head));
        check(chunked, "3\nabc\n0\n\nGET", (9, Framing::Head));
        check(chunked, "3\r\nab", (5, Framing::Chunked(Chunk::Content(1))));
        check(Framing::Opaque, "anything", (8, Framing::Opaque));
    }
}
