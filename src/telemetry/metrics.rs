//! Metrics in Prometheus form (promises and threats, 6).
//!
//! Label values come from two places only: the names registered with [`Metrics::register`], and words of our
//! own source (`&'static str`). A name that is not registered counts as `unregistered`, so no peer can make a
//! new series (S22, P13). Gauges say what their setter last said; this file measures nothing by itself.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::model::AttemptOutcome;
use crate::transport::ServerCounts;

/// The Content-Type of [`Metrics::render`].
pub const METRICS_CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// What came of an attempt to deliver, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attempted {
    /// The peer took the HTTP entity.
    Taken,
    /// Worth another attempt.
    Again,
    /// The peer will not take it as it is.
    GivenUp,
}

impl From<&AttemptOutcome> for Attempted {
    fn from(outcome: &AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Taken => Self::Taken,
            AttemptOutcome::Again { .. } => Self::Again,
            AttemptOutcome::GiveUp { .. } => Self::GivenUp,
        }
    }
}

/// Declares the metrics: name, help text and kind are written once, here.
macro_rules! metrics {
    ($(#[doc = $help:literal] $name:ident: $kind:ty = $new:expr;)+) => {
        /// Everything that is measured.
        pub struct Metrics {
            registry: Registry,
            names: ArcSwap<BTreeSet<Arc<str>>>,
            $(#[doc = $help] $name: $kind,)+
        }

        impl Metrics {
            /// Every metric at zero, and no names registered.
            #[must_use]
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix(PREFIX);
                $(
                    let $name: $kind = $new;
                    let help = $help.trim().trim_end_matches('.');
                    registry.register(stringify!($name), help, $name.clone());
                )+
                Self { registry, names: ArcSwap::default(), $($name,)+ }
            }
        }
    };
}

// Rendering adds the prefix and, to counters, `_total`.
metrics! {
    /// Messages accepted.
    messages_accepted: Family<Partner, Counter> = Family::default();
    /// Messages refused before acceptance.
    messages_refused: Family<Cause, Counter> = Family::default();
    /// Duplicates answered as before.
    messages_duplicated: Family<Partner, Counter> = Family::default();
    /// Messages put in quarantine.
    messages_quarantined: Family<Cause, Counter> = Family::default();
    /// Acknowledgments and errors that fit nothing we sent, or do not verify.
    signals_ignored: Family<Cause, Counter> = Family::default();
    /// Signatures that did not verify.
    signature_failures: Family<Cause, Counter> = Family::default();
    /// Messages accepted with an algorithm that only an exception allows.
    legacy_algorithms_used: Family<Partner, Counter> = Family::default();
    /// Deliveries that reached a terminal state.
    deliveries_ended: Family<Ended, Counter> = Family::default();
    /// Attempts to deliver, by what came of them.
    delivery_attempts: Family<Attempt, Counter> = Family::default();
    /// Retries scheduled.
    delivery_retries_scheduled: Family<Destination, Counter> = Family::default();
    /// Deliveries that have not ended.
    deliveries_pending: Family<Destination, Gauge> = Family::default();
    /// Age of the oldest delivery that has not ended.
    delivery_oldest_pending_seconds: Family<Destination, FloatGauge> = Family::default();
    /// Cases that still expect a result.
    cases_open: Gauge = Gauge::default();
    /// From the whole request to the answer that accepts it.
    acceptance_seconds: Histogram = Histogram::new(seconds_buckets());
    /// From acceptance to the verified acknowledgment of a destination.
    end_to_end_seconds: Histogram = Histogram::new(exponential_buckets(0.01, 4.0, 12));
    /// Duration of a sync of the store.
    store_sync_seconds: Histogram = Histogram::new(seconds_buckets());
    /// Steps committed by one sync.
    store_batch_steps: Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 10));
    /// Size of the store.
    store_size_bytes: Gauge = Gauge::default();
    /// Free space where the store is.
    store_free_bytes: Gauge = Gauge::default();
    /// Space reserved for work already accepted.
    store_reserve_bytes: Gauge = Gauge::default();
    /// Days until a certificate, key or revocation list ends; negative once it has.
    validity_days: Family<Item, FloatGauge> = Family::default();
    /// Entries of the audit chain.
    audit_height_entries: Gauge = Gauge::default();
    /// Age of the last signed checkpoint of the audit chain.
    audit_checkpoint_age_seconds: FloatGauge = Gauge::default();
    /// Largest step or skew of the clock seen.
    clock_skew_seconds: FloatGauge = Gauge::default();
    /// Versions of build, configuration and rules in force.
    version_info: Family<Version, Gauge> = Family::default();
    /// Connections open.
    connections_open: Family<Listener, Gauge> = Family::default();
    /// TLS handshakes in progress.
    handshakes_open: Family<Listener, Gauge> = Family::default();
    /// Connections accepted.
    connections_accepted: Family<Listener, Counter> = Family::default();
    /// Connections closed at a cap.
    connections_refused: Family<Listener, Counter> = Family::default();
    /// TLS handshakes failed or refused.
    handshakes_failed: Family<Listener, Counter> = Family::default();
    /// HTTP requests.
    requests: Family<Listener, Counter> = Family::default();
}

type FloatGauge = Gauge<f64, AtomicU64>;

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Makes these the names that may be labels: partners, destinations, certificates. Series of other names
    /// stay until the next start.
    pub fn register(&self, names: impl IntoIterator<Item = Arc<str>>) {
        self.names.store(Arc::new(names.into_iter().collect()));
    }

    /// A message of this partner was accepted.
    pub fn accepted(&self, partner: &str) {
        self.messages_accepted.get_or_create(&Partner { partner: self.label(partner) }).inc();
    }

    /// A message was refused.
    pub fn refused(&self, cause: &'static str) {
        self.messages_refused.get_or_create(&Cause { cause }).inc();
    }

    /// A duplicate was answered as before.
    pub fn duplicated(&self, partner: &str) {
        self.messages_duplicated.get_or_create(&Partner { partner: self.label(partner) }).inc();
    }

    /// A message was put in quarantine.
    pub fn message_quarantined(&self, cause: &'static str) {
        self.messages_quarantined.get_or_create(&Cause { cause }).inc();
    }

    /// An acknowledgment or error list was ignored.
    pub fn signal_ignored(&self, cause: &'static str) {
        self.signals_ignored.get_or_create(&Cause { cause }).inc();
    }

    /// A signature did not verify.
    pub fn signature_failed(&self, cause: &'static str) {
        self.signature_failures.get_or_create(&Cause { cause }).inc();
    }

    /// A message was accepted with an algorithm that only an exception allows.
    pub fn legacy_algorithm_used(&self, partner: &str) {
        self.legacy_algorithms_used.get_or_create(&Partner { partner: self.label(partner) }).inc();
    }

    /// A delivery ended with a verified acknowledgment.
    pub fn delivered(&self, destination: &str) {
        self.ended(destination, "delivered");
    }

    /// A delivery ended with the destination's refusal.
    pub fn rejected(&self, destination: &str) {
        self.ended(destination, "rejected");
    }

    /// A delivery ran out of time or retries.
    pub fn expired(&self, destination: &str) {
        self.ended(destination, "expired");
    }

    /// A delivery was put in quarantine.
    pub fn quarantined(&self, destination: &str) {
        self.ended(destination, "quarantined");
    }

    /// An attempt to deliver ended.
    pub fn attempt(&self, destination: &str, outcome: impl Into<Attempted>) {
        let outcome = match outcome.into() {
            Attempted::Taken => "taken",
            Attempted::Again => "again",
            Attempted::GivenUp => "given-up",
        };
        let labels = Attempt { destination: self.label(destination), outcome };
        self.delivery_attempts.get_or_create(&labels).inc();
    }

    /// Another attempt was scheduled.
    pub fn retry_scheduled(&self, destination: &str) {
        self.delivery_retries_scheduled
            .get_or_create(&Destination { destination: self.label(destination) })
            .inc();
    }

    /// What waits for a destination, and the age of the oldest.
    pub fn pending(&self, destination: &str, deliveries: u64, oldest: Duration) {
        let labels = Destination { destination: self.label(destination) };
        self.deliveries_pending.get_or_create(&labels).set(signed(deliveries));
        self.delivery_oldest_pending_seconds.get_or_create(&labels).set(oldest.as_secs_f64());
    }

    /// How many cases still expect a result.
    pub fn cases_open(&self, cases: u64) {
        self.cases_open.set(signed(cases));
    }

    /// How long it took to accept a message.
    pub fn acceptance_seconds(&self, took: Duration) {
        self.acceptance_seconds.observe(took.as_secs_f64());
    }

    /// How long it took from acceptance to a destination's acknowledgment.
    pub fn end_to_end_seconds(&self, took: Duration) {
        self.end_to_end_seconds.observe(took.as_secs_f64());
    }

    /// How long a sync took, and how many steps it committed.
    pub fn synced(&self, took: Duration, steps: usize) {
        self.store_sync_seconds.observe(took.as_secs_f64());
        self.store_batch_steps.observe(steps as f64);
    }

    /// Size of the store, free space around it, and the reserve, in octets.
    pub fn store_space(&self, size: u64, free: u64, reserve: u64) {
        self.store_size_bytes.set(signed(size));
        self.store_free_bytes.set(signed(free));
        self.store_reserve_bytes.set(signed(reserve));
    }

    /// Days until a registered certificate, key or revocation list ends.
    pub fn validity_days(&self, item: &str, days: f64) {
        self.validity_days.get_or_create(&Item { item: self.label(item) }).set(days);
    }

    /// Length of the audit chain and age of its last checkpoint.
    pub fn audit(&self, entries: u64, checkpoint_age: Duration) {
        self.audit_height_entries.set(signed(entries));
        self.audit_checkpoint_age_seconds.set(checkpoint_age.as_secs_f64());
    }

    /// A step or skew of the clock; the largest is kept.
    pub fn clock_skew(&self, skew: Duration) {
        let inner = self.clock_skew_seconds.inner();
        // Bits of non-negative floats are ordered as the floats are.
        inner.fetch_max(skew.as_secs_f64().to_bits(), Ordering::Relaxed);
    }

    /// The versions in force; those before are forgotten.
    pub fn versions(&self, build: &str, configuration: &str, rules: &str) {
        self.version_info.clear();
        let labels = Version {
            build: build.to_owned(),
            configuration: configuration.to_owned(),
            rules: rules.to_owned(),
        };
        self.version_info.get_or_create(&labels).set(1);
    }

    /// What a listener has done and has in hand.
    pub fn listener(&self, listener: &'static str, counts: &ServerCounts) {
        let labels = Listener { listener };
        self.connections_open.get_or_create(&labels).set(signed(counts.connections_open as u64));
        self.handshakes_open.get_or_create(&labels).set(signed(counts.handshakes_open as u64));
        for (family, count) in [
            (&self.connections_accepted, counts.connections_accepted),
            (&self.connections_refused, counts.connections_refused),
            (&self.handshakes_failed, counts.handshakes_failed),
            (&self.requests, counts.requests),
        ] {
            family.get_or_create(&labels).inner().fetch_max(count, Ordering::Relaxed);
        }
    }

    /// Everything, in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }

    fn ended(&self, destination: &str, state: &'static str) {
        let labels = Ended { destination: self.label(destination), state };
        self.deliveries_ended.get_or_create(&labels).inc();
    }

    fn label(&self, name: &str) -> Label {
        let names = self.names.load();
        Label(names.get(name).cloned().unwrap_or_else(|| UNREGISTERED.into()))
    }
}

const PREFIX: &str = "gwanmun";
const UNREGISTERED: &str = "unregistered";

/// A registered name, or [`UNREGISTERED`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Label(Arc<str>);

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partner {
    partner: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    destination: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    destination: Label,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    destination: Label,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Item {
    item: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    build: String,
    configuration: String,
    rules: String,
}

/// From half a millisecond to some eight seconds.
fn seconds_buckets() -> Vec<f64> {
    exponential_buckets(0.0005, 2.0, 15).collect()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(measure: impl FnOnce(&Metrics), expected: &[&str]) {
        let metrics = Metrics::new();
        metrics.register(["KFDA".into(), "NPQS".into()]);
        measure(&metrics);
        let text = metrics.render();
        for line in expected {
            assert!(text.lines().any(|rendered| rendered == *line), "{line} in\n{text}");
        }
    }

    #[test]
    fn measurements_are_rendered() {
        check(
            |m| {
                m.accepted("KFDA");
                m.refused("SecurityFailure");
                m.delivered("NPQS");
                m.expired("NPQS");
                m.attempt("KFDA", &AttemptOutcome::Taken);
                m.pending("KFDA", 3, Duration::from_millis(1500));
                m.acceptance_seconds(Duration::from_millis(3));
                m.synced(Duration::from_millis(1), 4);
                m.clock_skew(Duration::from_secs(9));
                m.clock_skew(Duration::from_secs(2));
                m.versions("0.1.0", "7", "old");
                m.versions("0.1.0", "8", "new");
                m.listener(
                    "msh",
                    &ServerCounts { requests: 5, connections_open: 2, ..ServerCounts::default() },
                );
            },
            &[
                "gwanmun_messages_accepted_total{partner=\"KFDA\"} 1",
                "gwanmun_messages_refused_total{cause=\"SecurityFailure\"} 1",
                "gwanmun_deliveries_ended_total{destination=\"NPQS\",state=\"delivered\"} 1",
                "gwanmun_deliveries_ended_total{destination=\"NPQS\",state=\"expired\"} 1",
                "gwanmun_delivery_attempts_total{destination=\"KFDA\",outcome=\"taken\"} 1",
                "gwanmun_deliveries_pending{destination=\"KFDA\"} 3",
                "gwanmun_delivery_oldest_pending_seconds{destination=\"KFDA\"} 1.5",
                "gwanmun_acceptance_seconds_bucket{le=\"0.004\"} 1",
                "gwanmun_acceptance_seconds_bucket{le=\"0.002\"} 0",
                "gwanmun_store_batch_steps_sum 4.0",
                "gwanmun_clock_skew_seconds 9.0",
                "gwanmun_version_info{build=\"0.1.0\",configuration=\"8\",rules=\"new\"} 1",
                "gwanmun_connections_open{listener=\"msh\"} 2",
                "gwanmun_requests_total{listener=\"msh\"} 5",
            ],
        );
    }

    #[test]
    fn strangers_make_no_series_of_their_own() {
        let metrics = Metrics::new();
        metrics.register(["KFDA".into()]);
        for stranger in ["x\"} 1\nforged 1", "KFDA2", "kfda", ""] {
            metrics.accepted(stranger);
        }
        let series: Vec<_> = metrics
            .render()
            .lines()
            .filter(|line| line.contains("accepted_total{"))
            .map(str::to_owned)
            .collect();
        assert_eq!(series, ["gwanmun_messages_accepted_total{partner=\"unregistered\"} 4"], "S22");
    }
}
