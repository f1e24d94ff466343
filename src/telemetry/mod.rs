//! Logs and metrics: what an operator sees of the running gateway (promises and threats, 6).
//!
//! One JSON object a line, or lines for people at a terminal; one code per event, each documented with cause
//! and remedy ([`EventCode`]); metrics whose label values come from the registry or from our own source, never
//! from a message (S22). No payload content and no secrets: callers hand over identifiers, not documents.
//!
//! The audit chain is the record; logs are only for reading, and losing a line loses nothing else.

mod event;
mod init;
mod lines;
mod metrics;

pub use event::EventCode;
pub use init::{LogFormat, LogOptions, TelemetryError, init};
pub use metrics::{Attempted, METRICS_CONTENT_TYPE, Metrics, StoreCounts};
