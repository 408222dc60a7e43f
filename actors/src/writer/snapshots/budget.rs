//! How much of Redis' time the bodies may take.
//!
//! While Redis takes a body of a megabyte it serves nobody else for some milliseconds. A wave of rows is some megabytes, and
//! goes at once; who changes large bodies without end is slowed down, so that streams do not wait for them.

use std::time::{Duration, Instant};

/// What may be written a second by a shard, in the long run: at most one in a hundred transactions meets a body.
const BYTES_PER_SECOND: f64 = 512.0 * 1024.0;
/// What may be written at once after a rest: a wave of all strikes of some tickers.
const BURST: f64 = 4.0 * 1024.0 * 1024.0;

/// What may be written now, in bytes. A body that is larger than what is left is written all the same, and paid for
/// afterwards.
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

    /// From when on something may be written.
    pub(super) fn opens_at(&self) -> Instant {
        self.at + Duration::from_secs_f64((-self.left / BYTES_PER_SECOND).max(0.0))
    }

    /// So much was written.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * BYTES_PER_SECOND;
        self.left = (self.left + earned).min(BURST) - bytes as f64;
        self.at = now;
    }
}

/// Whether a body is written though the budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// It waits until there is some again.
    WhenAffordable,
    /// It is: somebody has put older rows back, or this is the end.
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
