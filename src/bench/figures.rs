//! Figures of a run: percentiles of latencies, and whether the generator kept its schedule.

use std::time::Duration;

use serde::Serialize;

/// Percentiles of a set of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Percentiles {
    /// Of these durations; zeros when there are none.
    pub(super) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |per_mille: usize| {
            // Nearest rank: the least value that so many of a thousand do not exceed.
            let rank = (durations.len() * per_mille).div_ceil(1000).max(1) - 1;
            durations.get(rank).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
        };
        Self { p50: at(500), p99: at(990), p999: at(999), max: at(1000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        fn check(count: u64, expected: [f64; 4]) {
            let durations = (1..=count).rev().map(Duration::from_millis).collect();
            let Percentiles { p50, p99, p999, max } = Percentiles::of(durations);
            assert_eq!([p50, p99, p999, max], expected, "{count}");
        }
        check(1000, [500.0, 990.0, 999.0, 1000.0]);
        check(100, [50.0, 99.0, 100.0, 100.0]);
        check(1, [1.0; 4]);
        check(0, [0.0; 4]);
    }
}
