//! Places under a cap, and what a server counts.
//!
//! A place is taken before work begins and given back when its holder is dropped, however that comes about, so
//! no path can leak one (P13, P15).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::events;

/// What a server has done and has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Connections open now, handshakes included.
    pub connections_open: usize,
    /// Handshakes in progress now.
    pub handshakes_open: usize,
    /// Connections accepted since the start.
    pub connections_accepted: u64,
    /// Connections closed because of a cap.
    pub connections_refused: u64,
    /// Handshakes that failed, were refused or timed out.
    pub handshakes_failed: u64,
    /// Requests whose head was taken, answered by us or by the handler.
    pub requests: u64,
}

/// Everything a server counts.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) open: AtomicUsize,
    pub(super) handshakes: AtomicUsize,
    pub(super) accepted: AtomicU64,
    refused: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    by_certificate: Mutex<BTreeMap<[u8; 32], usize>>,
}

impl Counters {
    pub(super) fn refuse(&self, cap: &'static str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(event = events::CONNECTION_REFUSED, cap, "connection refused at a cap");
    }

    pub(super) fn read(&self, requests: u64) -> ServerCounts {
        ServerCounts {
            connections_open: self.open.load(Ordering::Acquire),
            handshakes_open: self.handshakes.load(Ordering::Acquire),
            connections_accepted: self.accepted.load(Ordering::Relaxed),
            connections_refused: self.refused.load(Ordering::Relaxed),
            handshakes_failed: self.handshakes_failed.load(Ordering::Relaxed),
            requests,
        }
    }
}

/// One place under a cap, given back when dropped.
pub(super) struct Slot {
    pub(super) counters: Arc<Counters>,
    count: fn(&Counters) -> &AtomicUsize,
}

impl Slot {
    pub(super) fn take(
        counters: &Arc<Counters>,
        count: fn(&Counters) -> &AtomicUsize,
        max: usize,
    ) -> Option<Self> {
        count(counters)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < max).then_some(taken + 1))
            .ok()?;
        Some(Self { counters: Arc::clone(counters), count })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        (self.count)(&self.counters).fetch_sub(1, Ordering::AcqRel);
    }
}

/// One connection of a certificate, given back when dropped.
pub(super) struct PeerSlot {
    counters: Arc<Counters>,
    der_sha256: [u8; 32],
}

impl PeerSlot {
    pub(super) fn take(counters: &Arc<Counters>, der_sha256: [u8; 32], max: usize) -> Option<Self> {
        let mut taken = counters.by_certificate.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.entry(der_sha256).or_default();
        if *of_peer >= max {
            return None;
        }
        *of_peer += 1;
        Some(Self { counters: Arc::clone(counters), der_sha256 })
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let mut taken = self.counters.by_certificate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_peer) = taken.get_mut(&self.der_sha256) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.remove(&self.der_sha256);
            }
        }
    }
}
