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

use super::event::EventCode;
use crate::model::{AttemptOutcome, ChargeOutcome, Deviation};
use crate::transport::ServerCounts;

/// The Content-Type of [`Metrics::render`].
pub const METRICS_CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// What came of an attempt to deliver, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attempted {
    /// The peer took the HTTP entity.
    Taken,
    /// It took it, and answered with what is no message.
    Unclear,
    /// An HTTP server that has no place for messages there.
    Unserved,
    /// Worth another attempt.
    Again,
    /// The peer will not take it as it is.
    GivenUp,
}

impl From<&AttemptOutcome> for Attempted {
    fn from(outcome: &AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Taken => Self::Taken,
            AttemptOutcome::Unclear { .. } => Self::Unclear,
            AttemptOutcome::Unserved { .. } => Self::Unserved,
            AttemptOutcome::Again { .. } => Self::Again,
            AttemptOutcome::GiveUp { .. } => Self::GivenUp,
        }
    }
}

/// What a store has done since the start, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Steps committed.
    pub steps: u64,
    /// Syncs, fewer than steps where they share one.
    pub syncs: u64,
    /// Time of those syncs, in microseconds.
    pub sync_micros: u64,
    /// Steps turned away.
    pub turned_away: u64,
    /// Steps that wait now.
    pub waiting: u64,
    /// Its size in octets.
    pub size_bytes: u64,
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
    /// Entries of the audit record, by event and by the partner they are about.
    events: Family<Told, Counter> = Family::default();
    /// Messages that are not as the standard has them and were taken, by what they needed of a profile and by partner.
    message_deviations: Family<Deviates, Counter> = Family::default();
    /// Attempts to deliver, by what came of them.
    delivery_attempts: Family<Attempt, Counter> = Family::default();
    /// Deliveries that have not ended.
    deliveries_pending: Family<Destination, Gauge> = Family::default();
    /// Deliveries that are held since a restore.
    deliveries_held: Family<Destination, Gauge> = Family::default();
    /// Age of the oldest delivery that has not ended.
    delivery_oldest_pending_seconds: Family<Destination, FloatGauge> = Family::default();
    /// Attempts to have the bank book a payment, by what came of them.
    payment_attempts: Family<Charged, Counter> = Family::default();
    /// Payments that are under way.
    payments_in_hand: Gauge = Gauge::default();
    /// Age of the oldest payment order that the bank has not answered.
    payment_oldest_in_hand_seconds: FloatGauge = FloatGauge::default();
    /// From the whole request to the answer that accepts it.
    acceptance_seconds: Histogram = Histogram::new(seconds_buckets());
    /// Steps committed to the store.
    store_steps: Counter = Counter::default();
    /// Syncs of the store; fewer than steps where they share one.
    store_syncs: Counter = Counter::default();
    /// Time that those syncs took together.
    store_sync_microseconds: Counter = Counter::default();
    /// Steps turned away because the store was full or busy.
    store_turned_away: Counter = Counter::default();
    /// Entries of the audit record.
    audit_entries: Gauge = Gauge::default();
    /// How many of them a signed head speaks for.
    audit_signed_entries: Gauge = Gauge::default();
    /// Age of the last signed head while there are entries that it does not speak for.
    audit_head_age_seconds: FloatGauge = FloatGauge::default();
    /// Age of the last time stamp over a head while there are heads that it does not speak for.
    audit_time_stamp_age_seconds: FloatGauge = FloatGauge::default();
    /// Steps that wait for the store.
    store_waiting: Gauge = Gauge::default();
    /// Size of the store.
    store_size_bytes: Gauge = Gauge::default();
    /// Records that the last scrub of the store found damaged.
    store_damaged_records: Gauge = Gauge::default();
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

    /// An entry of the audit record became durable.
    pub fn told(&self, event: EventCode, partner: &str) {
        self.events.get_or_create(&Told { event: event.code(), partner: self.label(partner) }).inc();
    }

    /// A message needed what only its profile allows.
    pub fn deviates(&self, deviation: Deviation, partner: &str) {
        let labels = Deviates { deviation: deviation.as_str(), partner: self.label(partner) };
        self.message_deviations.get_or_create(&labels).inc();
    }

    /// An attempt to deliver ended.
    pub fn attempt(&self, destination: &str, outcome: impl Into<Attempted>) {
        let outcome = match outcome.into() {
            Attempted::Taken => "taken",
            Attempted::Unclear => "unclear",
            Attempted::Unserved => "unserved",
            Attempted::Again => "again",
            Attempted::GivenUp => "given-up",
        };
        let labels = Attempt { destination: self.label(destination), outcome };
        self.delivery_attempts.get_or_create(&labels).inc();
    }

    /// What waits for a destination, and the age of the oldest.
    pub fn pending(&self, destination: &str, deliveries: u64, oldest: Duration) {
        let labels = Destination { destination: self.label(destination) };
        self.deliveries_pending.get_or_create(&labels).set(signed(deliveries));
        self.delivery_oldest_pending_seconds.get_or_create(&labels).set(oldest.as_secs_f64());
    }

    /// What is held since a restore, for a destination.
    pub fn held(&self, destination: &str, deliveries: u64) {
        let labels = Destination { destination: self.label(destination) };
        self.deliveries_held.get_or_create(&labels).set(signed(deliveries));
    }

    /// An attempt to have the bank book a payment ended.
    pub fn charge(&self, outcome: &ChargeOutcome) {
        let outcome = match outcome {
            ChargeOutcome::Paid { .. } => "paid",
            ChargeOutcome::Refused { .. } => "refused",
            ChargeOutcome::Again { .. } => "again",
        };
        self.payment_attempts.get_or_create(&Charged { outcome }).inc();
    }

    /// How many payments are under way, and the age of the oldest order among them.
    pub fn payments(&self, in_hand: u64, oldest: Duration) {
        self.payments_in_hand.set(signed(in_hand));
        self.payment_oldest_in_hand_seconds.set(oldest.as_secs_f64());
    }

    /// How far the audit record goes, how far it is signed, and how long it has been waiting for its next head.
    pub fn audit(&self, entries: u64, signed: u64, head_age: Duration) {
        self.audit_entries.set(self::signed(entries));
        self.audit_signed_entries.set(self::signed(signed));
        self.audit_head_age_seconds.set(head_age.as_secs_f64());
    }

    /// How long the audit record has been waiting for its next time stamp.
    pub fn time_stamp(&self, age: Duration) {
        self.audit_time_stamp_age_seconds.set(age.as_secs_f64());
    }

    /// How long it took to accept a message.
    pub fn acceptance_seconds(&self, took: Duration) {
        self.acceptance_seconds.observe(took.as_secs_f64());
    }

    /// What the store counts.
    pub fn store(&self, stats: &StoreCounts) {
        for (counter, count) in [
            (&self.store_steps, stats.steps),
            (&self.store_syncs, stats.syncs),
            (&self.store_sync_microseconds, stats.sync_micros),
            (&self.store_turned_away, stats.turned_away),
        ] {
            counter.inner().fetch_max(count, Ordering::Relaxed);
        }
        self.store_waiting.set(signed(stats.waiting));
        self.store_size_bytes.set(signed(stats.size_bytes));
    }

    /// How many records the last scrub found damaged.
    pub fn damaged(&self, records: usize) {
        self.store_damaged_records.set(signed(records as u64));
    }

    /// The versions in force; those before are forgotten.
    pub fn versions(&self, build: &str, rules: &str) {
        self.version_info.clear();
        let labels = Version { build: build.to_owned(), rules: rules.to_owned() };
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
struct Told {
    event: &'static str,
    partner: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Deviates {
    deviation: &'static str,
    partner: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    destination: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    destination: Label,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Charged {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    build: String,
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
                m.told(EventCode::MessageAccepted, "KFDA");
                m.told(EventCode::DeliveryExpired, "NPQS");
                m.deviates(Deviation::MissingRole, "KFDA");
                m.attempt("KFDA", &AttemptOutcome::Taken);
                m.pending("KFDA", 3, Duration::from_millis(1500));
                m.charge(&ChargeOutcome::Refused { reason: "no funds".into() });
                m.payments(2, Duration::from_millis(2500));
                m.acceptance_seconds(Duration::from_millis(3));
                m.store(&StoreCounts { steps: 7, syncs: 4, ..StoreCounts::default() });
                m.store(&StoreCounts { steps: 9, syncs: 5, ..StoreCounts::default() });
                m.damaged(2);
                m.versions("0.1.0", "old");
                m.versions("0.1.0", "new");
                m.listener(
                    "msh",
                    &ServerCounts { requests: 5, connections_open: 2, ..ServerCounts::default() },
                );
            },
            &[
                "gwanmun_events_total{event=\"message.accepted\",partner=\"KFDA\"} 1",
                "gwanmun_events_total{event=\"delivery.expired\",partner=\"NPQS\"} 1",
                "gwanmun_message_deviations_total{deviation=\"missing-role\",partner=\"KFDA\"} 1",
                "gwanmun_delivery_attempts_total{destination=\"KFDA\",outcome=\"taken\"} 1",
                "gwanmun_deliveries_pending{destination=\"KFDA\"} 3",
                "gwanmun_delivery_oldest_pending_seconds{destination=\"KFDA\"} 1.5",
                "gwanmun_payment_attempts_total{outcome=\"refused\"} 1",
                "gwanmun_payments_in_hand 2",
                "gwanmun_payment_oldest_in_hand_seconds 2.5",
                "gwanmun_acceptance_seconds_bucket{le=\"0.004\"} 1",
                "gwanmun_acceptance_seconds_bucket{le=\"0.002\"} 0",
                "gwanmun_store_steps_total 9",
                "gwanmun_store_syncs_total 5",
                "gwanmun_store_damaged_records 2",
                "gwanmun_version_info{build=\"0.1.0\",rules=\"new\"} 1",
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
            metrics.told(EventCode::MessageAccepted, stranger);
        }
        let series: Vec<_> = metrics
            .render()
            .lines()
            .filter(|line| line.contains("events_total{"))
            .map(str::to_owned)
            .collect();
        assert_eq!(
            series,
            [r#"gwanmun_events_total{event="message.accepted",partner="unregistered"} 4"#],
            "S22"
        );
    }
}
