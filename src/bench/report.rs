//! What came out: one line for each run, and all of it as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::figures::Percentiles;
use super::floor::Floor;
use crate::model::Timestamp;

/// Every run on one machine.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    at: Timestamp,
    program: String,
    machine: Machine,
    pub(super) runs: Vec<Run>,
}

/// Where it ran.
#[derive(Clone, Debug, Serialize)]
struct Machine {
    processor: String,
    processors: usize,
    memory_kib: u64,
    kernel: String,
    openssl: &'static str,
}

/// What a run sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunKind {
    /// Declarations of unregulated goods.
    Accept,
    /// The worked example with three agencies.
    Cases,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    pub(super) algorithm: String,
    pub(super) kind: RunKind,
    /// Lodgings a second, as scheduled.
    pub(super) rate: u32,
    pub(super) sent: u32,
    /// Lodgings with a verified receipt.
    pub(super) accepted: u32,
    /// What was wrong with the others, and how often.
    pub(super) faults: BTreeMap<String, u32>,
    /// The generator kept its schedule.
    pub(super) valid: bool,
    pub(super) lag_ms: Percentiles,
    /// From the scheduled instant to the whole receipt.
    pub(super) acknowledgment_ms: Percentiles,
    pub(super) accepted_per_second: f64,
    /// Lodgings handed to customs, or cleared.
    pub(super) completed: u32,
    pub(super) completed_per_second: f64,
    /// Signed messages between the gateway and others for each lodging; each costs it one signature and one
    /// verification, of the message or of its receipt.
    pub(super) messages_per_lodging: f64,
    pub(super) gateway_cpu_ms: f64,
    pub(super) partner_cpu_ms: f64,
    /// What those signatures and verifications alone cost.
    pub(super) floor_cpu_ms: f64,
    pub(super) floor: Floor,
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Cases => "cases",
        })
    }
}

impl Run {
    /// Share of the gateway's processor time that its signatures and verifications alone need.
    fn ratio(&self) -> f64 {
        if self.gateway_cpu_ms > 0.0 { self.floor_cpu_ms / self.gateway_cpu_ms } else { 0.0 }
    }

    /// For people, while it goes on.
    pub(super) fn line(&self) -> String {
        let Self { algorithm, kind, rate, accepted_per_second, completed_per_second, .. } = self;
        let p99 = self.acknowledgment_ms.p99;
        format!(
            "{algorithm} {kind} at {rate}/s: {accepted_per_second:.0} accepted/s, {completed_per_second:.1} completed/s, \
             p99 {p99:.1} ms{}",
            if self.valid { "" } else { "; INVALID: the generator fell behind" }
        )
    }

    fn cells(&self) -> Vec<String> {
        let Percentiles { p50, p99, p999, .. } = self.acknowledgment_ms;
        vec![
            self.algorithm.clone(),
            self.kind.to_string(),
            self.rate.to_string(),
            format!("{:.1}", self.accepted_per_second),
            format!("{:.1}", self.completed_per_second),
            format!("{p50:.1} / {p99:.1} / {p999:.1}"),
            format!("{:.1}{}", self.lag_ms.p99, if self.valid { "" } else { " INVALID" }),
            format!("{:.2}", self.gateway_cpu_ms),
            format!("{:.2}", self.floor_cpu_ms),
            format!("{:.2}", self.ratio()),
        ]
    }
}

impl Report {
    pub(super) fn of_this_machine(at: Timestamp) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let machine = Machine {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_kib: memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            openssl: openssl::version::version(),
        };
        let program = format!("gwanmun {}", env!("CARGO_PKG_VERSION"));
        Self { at, program, machine, runs: Vec::new() }
    }

    /// For people.
    pub(super) fn tell(&self, out: &mut dyn Write) -> Result<()> {
        let Machine { processor, processors, memory_kib, kernel, openssl } = &self.machine;
        writeln!(out, "\n{processors} x {processor}, {} MiB, Linux {kernel}, {openssl}", memory_kib / 1024)?;
        writeln!(
            out,
            "generator and partners on the same processors; CPU is the gateway's, for each lodging\n"
        )?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "keys",
            "run",
            "rate/s",
            "accepted/s",
            "completed/s",
            "ack ms p50/p99/p99.9",
            "lag ms p99",
            "CPU ms",
            "crypto floor ms",
            "ratio",
        ]);
        table.add_rows(self.runs.iter().map(Run::cells));
        writeln!(out, "{table}")?;
        for run in self.runs.iter().filter(|run| !run.faults.is_empty()) {
            writeln!(out, "{}: {:?}", run.line(), run.faults)?;
        }
        Ok(())
    }
}
