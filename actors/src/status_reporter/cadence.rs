//! Detects silences of a channel that deserve a warning: those far beyond its observed cadence.

use std::time::{Duration, Instant};

/// Minimum number of arrivals before a cadence is trusted.
const ENOUGH: u32 = 20;
/// A silence is reported from this many times the longest interval seen …
const FACTOR: u32 = 5;
/// … and from this length on: gex waves arrive every 10 to 30 s.
const SHORTEST: Duration = Duration::from_secs(60);

/// The arrivals of one channel, checked once per second.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    /// The last count, and the time since which it is unchanged.
    seen: Option<(u64, Instant)>,
    changes: u32,
    longest: Duration,
    is_warned: bool,
}

/// A silence that deserves a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    /// The duration so far.
    pub(super) lasted: Duration,
    /// The longest interval before it.
    pub(super) usual: Duration,
}

impl Cadence {
    /// Checks the number of arrivals so far. While `is_expected` is false (the market is closed, the socket is not
    /// open), silence is not significant and does not affect the cadence. A silence is reported once.
    pub(super) fn look(&mut self, arrivals: u64, is_expected: bool, now: Instant) -> Option<Silence> {
        let Some((count, since)) = self.seen.filter(|_| is_expected) else {
            self.seen = Some((arrivals, now));
            self.is_warned = false;
            return None;
        };
        let lasted = now.saturating_duration_since(since);
        if arrivals != count {
            if self.changes > 0 {
                self.longest = self.longest.max(lasted);
            }
            self.changes = self.changes.saturating_add(1);
            self.seen = Some((arrivals, now));
            self.is_warned = false;
            return None;
        }
        let is_long = lasted >= SHORTEST.max(self.longest * FACTOR);
        if self.changes < ENOUGH || !is_long || self.is_warned {
            return None;
        }
        self.is_warned = true;
        Some(Silence { lasted, usual: self.longest })
    }

    /// Returns whether the current silence has been reported.
    #[must_use]
    pub(super) fn is_silent(&self) -> bool {
        self.is_warned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A channel with an arrival every ten seconds, and the time of the last one.
    fn steady() -> (Cadence, Instant) {
        let start = Instant::now();
        let mut cadence = Cadence::default();
        for n in 0..=40 {
            assert_eq!(cadence.look(n, true, start + second(10 * n)), None);
        }
        (cadence, start + second(400))
    }

    #[test]
    fn a_silence_far_beyond_the_cadence_is_reported_once() {
        let (mut cadence, last) = steady();
        assert_eq!(cadence.look(40, true, last + second(59)), None);
        let silence = Some(Silence { lasted: second(60), usual: second(10) });
        assert_eq!(cadence.look(40, true, last + second(60)), silence);
        assert!(cadence.is_silent());
        assert_eq!(cadence.look(40, true, last + second(61)), None);
        assert_eq!(cadence.look(41, true, last + second(62)), None);
        assert!(!cadence.is_silent());
    }

    #[test]
    fn the_longest_interval_seen_is_usual() {
        let (mut cadence, last) = steady();
        assert_eq!(cadence.look(41, true, last + second(50)), None);
        assert_eq!(cadence.look(41, true, last + second(50 + 249)), None);
        assert!(cadence.look(41, true, last + second(50 + 250)).is_some());
    }

    #[test]
    fn silence_means_nothing_while_none_is_expected_or_little_is_known() {
        let (mut cadence, last) = steady();
        assert_eq!(cadence.look(40, false, last + second(4000)), None);
        assert_eq!(cadence.look(40, true, last + second(4001)), None);
        assert!(cadence.look(40, true, last + second(4100)).is_some());
        assert_eq!(cadence.look(40, false, last + second(4101)), None);
        assert!(!cadence.is_silent());
        let mut young = Cadence::default();
        assert_eq!(young.look(0, true, last), None);
        assert_eq!(young.look(1, true, last + second(1)), None);
        assert_eq!(young.look(1, true, last + second(1000)), None);
    }
}
