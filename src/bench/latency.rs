//! Latencies, kept one by one in microseconds, so that percentiles are exact.

use serde::Serialize;
use std::time::Duration;

/// Most latencies that are kept: ten minutes at 100,000 a second would be more; later ones are left out.
const KEPT_MAX: usize = 20_000_000;

/// Latencies of one run.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    micros: Vec<u32>,
}

/// Percentiles in milliseconds; all 0 without a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50: f64,
    /// Nineteen of twenty are at most this.
    pub p95: f64,
    /// Ninety-nine of a hundred are at most this.
    pub p99: f64,
}

impl Latency {
    /// Takes one in.
    pub fn add(&mut self, latency: Duration) {
        if self.micros.len() < KEPT_MAX {
            self.micros
                .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The percentiles of all so far.
    #[must_use]
    pub fn percentiles(mut self) -> Percentiles {
        self.micros.sort_unstable();
        // The nearest rank: the smallest value that at least this share does not exceed.
        let of = |per_cent: usize| {
            let rank = (self.micros.len() * per_cent).div_ceil(100);
            let value = rank.checked_sub(1).and_then(|place| self.micros.get(place));
            value.map_or(0.0, |&micros| f64::from(micros) / 1_000.0)
        };
        Percentiles {
            p50: of(50),
            p95: of(95),
            p99: of(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let mut latency = Latency::default();
        assert_eq!(latency.clone().percentiles(), Percentiles::default());
        for ms in (1..=200).rev() {
            latency.add(Duration::from_millis(ms));
        }
        let expected = Percentiles {
            p50: 100.0,
            p95: 190.0,
            p99: 198.0,
        };
        assert_eq!(latency.percentiles(), expected);
    }
}
