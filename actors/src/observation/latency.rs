//! Histograms of event latencies.

use std::time::Duration;

use super::cells::{Count, Micros};

/// Upper bounds of the latency histograms in seconds: from a fast local batch to the duration of a Redis restart. They
/// are narrow up to 10 ms, since events are guaranteed to be on disk within 5 ms.
pub const LATENCY_BOUNDS: [f64; 21] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.004, 0.005, 0.007_5, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];

/// Observations by bucket, not cumulated; the last bucket is above every bound.
pub type Buckets = [u64; LATENCY_BOUNDS.len() + 1];

/// A histogram over [`LATENCY_BOUNDS`].
#[derive(Clone, Debug, Default)]
pub struct Latency {
    buckets: [Count; LATENCY_BOUNDS.len() + 1],
    sum: Micros,
}

impl Latency {
    /// Counts `n` observations of `elapsed`.
    pub fn observe(&self, elapsed: Duration, n: u64) {
        let seconds = elapsed.as_secs_f64();
        let bucket =
            LATENCY_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        self.buckets[bucket].add(n);
        self.sum.add(n.saturating_mul(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)));
    }

    /// Adds all observations of another histogram.
    pub fn add(&self, other: &Latency) {
        for (bucket, count) in self.buckets.iter().zip(other.buckets()) {
            bucket.add(count);
        }
        self.sum.add(other.sum.get());
    }

    /// Returns the observations per bucket.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        std::array::from_fn(|bucket| self.buckets[bucket].get())
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Count::get).sum()
    }

    /// Returns the sum of all observations in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum.seconds()
    }
}

/// Returns the upper bound, in seconds, of the bucket with the `q`-quantile; `None` without observations.
#[must_use]
pub fn quantile(buckets: &Buckets, q: f64) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    let mut seen = 0;
    for (bucket, bound) in buckets.iter().zip(LATENCY_BOUNDS.iter().copied().chain([f64::INFINITY])) {
        seen += bucket;
        if total > 0 && seen as f64 >= q * total as f64 {
            return Some(bound);
        }
    }
    None
}
