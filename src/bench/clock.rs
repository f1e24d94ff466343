//! The clocks of a measurement: elapsed time, the calendar, and the processor time of a process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::model::Timestamp;

/// Time since it was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "messages bear the time they are written")]
pub(super) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Processor seconds that a process has used, in user and system mode, from `/proc/PID/stat`.
pub(super) fn cpu_seconds(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    used(&text).with_context(|| format!("{path} is not as proc(5) says"))
}

/// Fields 14 and 15, counted behind the name in parentheses, which may hold anything.
fn used(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// USER_HZ, which Linux keeps at 100 towards user space.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_name() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(used(line), Some(3.0));
        assert_eq!(used("42 nonsense"), None);
        assert!(cpu_seconds(std::process::id()).is_ok());
    }
}
