//! Receiving a body whole: capped, in time, at a decent pace, within what all bodies together may take in memory; a
//! large one into a file, where there is a place for it.
//!
//! Serves both directions: request bodies in the server, response bodies in the client (P13; threats S13, S14,
//! S20). Does not look into the octets and never decodes a Content-Encoding.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use super::spool::{HELD_BYTES, SpoolError, SpoolOptions, Spooled, Spooling};

/// What one body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Octets.
    pub(super) bytes_max: usize,
    /// From the first wait to the last octet.
    pub(super) deadline: Duration,
    /// The slowest pace, measured over each `pace_window`; zero for none.
    pub(super) bytes_per_second_min: u64,
    /// The time over which the pace is measured.
    pub(super) pace_window: Duration,
}

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// More octets than allowed.
    #[error("the body exceeds {0} octets")]
    TooLarge(usize),
    /// The deadline passed, or the pace fell below the least.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// All bodies together take what they may.
    #[error("too many octets are being received at once")]
    Overloaded,
    /// The disk does not take it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Header fields after the body.
    #[error("the body is followed by trailer fields")]
    Trailers,
    /// The connection or its framing broke.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// The octets that all bodies in hand may take together.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes_max) })
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.budget
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes))
            .map_err(|_| BodyError::Overloaded)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back what is above this.
    fn shrink_to(&mut self, bytes: usize) {
        let more = self.bytes.saturating_sub(bytes);
        self.budget.left.fetch_add(more, Ordering::AcqRel);
        self.bytes -= more;
    }
}

/// A body that arrived whole.
#[derive(Debug)]
pub(super) enum Received {
    /// In memory.
    Held(Bytes),
    /// In a file.
    Spooled(Spooled),
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

/// Receives `body` whole, in memory.
pub(super) async fn hold<B>(body: B, limits: &BodyLimits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    match receive(body, limits, None, None).await? {
        Received::Held(octets) => Ok(octets),
        Received::Spooled(_) => unreachable!("there is no place to spool to"),
    }
}

/// Receives `body` whole. `share` grows with the octets in memory that arrived, not with those announced; what is more
/// than a place to spool to lets be held goes there.
pub(super) async fn receive<B>(
    mut body: B,
    limits: &BodyLimits,
    mut share: Option<&mut Share>,
    spool: Option<&SpoolOptions>,
) -> Result<Received, BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > limits.bytes_max as u64 {
        return Err(BodyError::TooLarge(limits.bytes_max));
    }
    let mut collected = Collected::default();
    let mut bytes = 0;
    let mut pace = Pace::start(limits);
    // What the disk has no room for is refused before its sender is asked for it.
    let mut spooling = match spool.filter(|options| announced > options.from_bytes as u64) {
        Some(options) => Some(begin_spooling(options, announced, &mut share).await?),
        None => None,
    };
    while let Some(frame) = next_frame(&mut body, &mut pace, bytes).await? {
        let Ok(octets) = frame.into_data() else {
            return Err(BodyError::Trailers);
        };
        bytes += octets.len();
        if bytes > limits.bytes_max {
            return Err(BodyError::TooLarge(limits.bytes_max));
        }
        if spooling.is_none()
            && let Some(options) = spool.filter(|options| bytes > options.from_bytes)
        {
            let mut begun = begin_spooling(options, 0, &mut share).await?;
            begun.push(&std::mem::take(&mut collected).into_bytes()).await?;
            spooling = Some(begun);
        }
        match &mut spooling {
            Some(spooling) => spooling.push(&octets).await?,
            None => {
                if let Some(share) = &mut share {
                    share.grow(octets.len())?;
                }
                collected.push(octets);
            }
        }
    }
    match spooling {
        Some(spooling) => {
            let spooled = spooling.end().await?;
            if let (Some(share), Some(options)) = (&mut share, spool) {
                share.shrink_to(0);
                share.grow(bytes.min(options.decoded_bytes_max))?;
            }
            Ok(Received::Spooled(spooled))
        }
        None => Ok(Received::Held(collected.into_bytes())),
    }
}

/// Begins to spool a body; its share is from now on what that takes in memory.
async fn begin_spooling(
    options: &SpoolOptions,
    announced: u64,
    share: &mut Option<&mut Share>,
) -> Result<Spooling, BodyError> {
    let begun = Spooling::begin(options, announced).await?;
    if let Some(share) = share {
        share.shrink_to(0);
        share.grow(HELD_BYTES)?;
    }
    Ok(begun)
}

async fn next_frame<B>(
    body: &mut B,
    pace: &mut Pace,
    bytes: usize,
) -> Result<Option<hyper::body::Frame<Bytes>>, BodyError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    loop {
        match timeout_at(pace.check_at(), body.frame()).await {
            Ok(frame) => return Ok(frame.transpose()?),
            Err(_) => pace.check(bytes)?,
        }
    }
}

/// When to look at the clock next, and what must have arrived by then.
struct Pace {
    deadline: Instant,
    window: Duration,
    window_end: Instant,
    bytes_per_window: usize,
    bytes_before: usize,
}

impl Pace {
    fn start(limits: &BodyLimits) -> Self {
        let now = Instant::now();
        let bytes = limits.bytes_per_second_min.saturating_mul(limits.pace_window.as_millis() as u64) / 1000;
        let deadline = now + limits.deadline;
        Self {
            deadline,
            window: limits.pace_window,
            window_end: if bytes == 0 { deadline } else { now + limits.pace_window },
            bytes_per_window: usize::try_from(bytes).unwrap_or(usize::MAX),
            bytes_before: 0,
        }
    }

    fn check_at(&self) -> Instant {
        self.deadline.min(self.window_end)
    }

    fn check(&mut self, bytes: usize) -> Result<(), BodyError> {
        let arrived = bytes - self.bytes_before;
        if self.deadline <= self.window_end || arrived < self.bytes_per_window {
            return Err(BodyError::TooSlow);
        }
        self.bytes_before = bytes;
        self.window_end += self.window;
        Ok(())
    }
}

/// One frame is kept as it came; from the second on they are joined.
#[derive(Default)]
struct Collected {
    first: Bytes,
    joined: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, octets: Bytes) {
        if self.len() == 0 {
            self.first = octets;
        } else {
            let first = std::mem::take(&mut self.first);
            self.joined.extend_from_slice(&first);
            self.joined.extend_from_slice(&octets);
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_what_is_left_and_gives_it_back() {
        let budget = Budget::new(10);
        let mut share = Share::of(&budget);
        assert!(share.grow(10).is_ok());
        assert!(matches!(Share::of(&budget).grow(1), Err(BodyError::Overloaded)));
        drop(share);
        assert!(Share::of(&budget).grow(10).is_ok());
    }

    #[test]
    fn frames_are_joined_in_order() {
        let mut collected = Collected::default();
        for frame in ["", "ab", "c", "", "def"] {
            collected.push(Bytes::from_static(frame.as_bytes()));
        }
        assert_eq!(collected.into_bytes(), "abcdef");
    }

    #[test]
    fn the_pace_is_measured_over_each_window() {
        let limits = BodyLimits {
            bytes_max: 1 << 20,
            deadline: Duration::from_secs(25),
            bytes_per_second_min: 100,
            pace_window: Duration::from_secs(10),
        };
        let mut pace = Pace::start(&limits);
        assert!(pace.check(1000).is_ok(), "the first window had its 1000 octets");
        assert!(pace.check(1999).is_err(), "the second had one too few");
        let mut pace = Pace::start(&limits);
        assert!(pace.check(5000).is_ok());
        assert!(pace.check(9000).is_ok());
        assert!(pace.check(99_999).is_err(), "a good pace does not move the deadline");
    }
}
