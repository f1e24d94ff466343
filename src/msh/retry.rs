//! When a message is sent again (ebMS 2.0, 6.4.3, 6.4.4; P9).

use std::time::Duration;

use crate::model::{DeliveryId, Digest, Timestamp};

/// Share of RetryInterval that jitter may add, as a divisor: a tenth.
const JITTER_DIVISOR: u32 = 10;

/// The earliest instant of the next transmission: at least RetryInterval after this one, and up to a tenth
/// more, so that messages that failed together do not come back together. The jitter follows from delivery
/// and attempt; it never undercuts RetryInterval.
#[must_use]
pub fn resend_at(delivery: &DeliveryId, attempt: u32, now: Timestamp, retry_interval: Duration) -> Timestamp {
    let seed = Digest::of(format!("{delivery}/{attempt}").as_bytes()).0;
    let share = u32::from(u16::from_be_bytes([seed[0], seed[1]]));
    let jitter = (retry_interval / JITTER_DIVISOR).mul_f64(f64::from(share) / f64::from(u16::MAX));
    now.plus(retry_interval + jitter)
}

/// The longest wait that [`resend_at`] gives. What is due further ahead than that was planned by a clock that has been set
/// back since (P9).
#[must_use]
pub fn longest_wait(retry_interval: Duration) -> Duration {
    retry_interval + retry_interval / JITTER_DIVISOR
}

#[cfg(test)]
mod tests {
    use super::*;

    //= ebms2 6.4.4 MUST: RetryInterval is the least wait between transmissions
    #[test]
    fn jitter_never_undercuts_the_interval_and_stays_within_a_tenth() {
        let interval = Duration::from_secs(60);
        let now = Timestamp::from_millis(1_000_000);
        let id = DeliveryId::new("d").expect("an id");
        let waits: Vec<_> = (0..50).map(|n| resend_at(&id, n, now, interval).since(now)).collect();
        assert!(waits.iter().all(|wait| (interval..=interval * 11 / 10).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
