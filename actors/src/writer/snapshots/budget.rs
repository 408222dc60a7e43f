//! A limit on Redis' time for bodies.
//!
//! While Redis receives a body of one megabyte it serves no other client for some milliseconds. A wave of rows,
//! some megabytes, is written at once; a permanently high rate of large bodies is throttled, so that streams do not
//! wait for them.

use std::time::{Duration, Instant};

/// Long-term limit per shard in bytes per second: at most one in a hundred transactions meets a body.
const BYTES_PER_SECOND: f64 = 512.0 * 1024.0;
/// Maximum burst in bytes: a wave of all strikes of some tickers.
const BURST: f64 = 4.0 * 1024.0 * 1024.0;

/// The bytes that may be written now. A body larger than the rest is still written, and paid off afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn full(now: Instant) -> Budget {
        Budget { left: BURST, at: now }
    }

    /// Whether anything may be written.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        now >= self.opens_at()
    }

    /// Returns the time from which something may be written.
    pub(super) fn opens_at(&self) -> Instant {
        self.at + Duration::from_secs_f64((-self.left / BYTES_PER_SECOND).max(0.0))
    }

    /// Records written bytes.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * BYTES_PER_SECOND;
        self.left = (self.left + earned).min(BURST) - bytes as f64;
        self.at = now;
    }
}

/// Whether a body is written if the budget is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// No: it waits for the budget.
    WhenAffordable,
    /// Yes: another client has restored older rows, or the service is shutting down.
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_goes_at_once_and_what_never_ends_is_slowed_down() {
        let start = Instant::now();
        let mut budget = Budget::full(start);
        let (mut now, mut written) = (start, 0_u64);
        while now < start + Duration::from_secs(60) {
            if budget.is_open(now) {
                budget.spend(1_400_000, now);
                written += 1_400_000;
            }
            if now == start + Duration::from_secs(1) {
                assert!(written > 4 * 1024 * 1024 - 1_400_000, "a burst: {written}");
            }
            now += Duration::from_millis(250);
        }
        let in_the_long_run = 60 * 512 * 1024 + 4 * 1024 * 1024;
        assert!(written.abs_diff(in_the_long_run) < 2 * 1_400_000, "{written}");
        assert!(!budget.is_open(budget.opens_at().checked_sub(Duration::from_millis(1)).unwrap()));
        assert!(budget.is_open(budget.opens_at()));
    }
}
