//! The minutes that are not compared.

use std::collections::VecDeque;

use super::{MINUTE_US, kept::KEPT_US};

/// Time before a gap in which an event may have been missed already, in microseconds.
const BEFORE_US: u64 = 5_000_000;
/// Time after a gap in which a join is younger than a minute, in microseconds.
const AFTER_US: u64 = MINUTE_US;
/// Intervals that are kept. Beyond it the two oldest become one, which judges less.
const MAX_INTERVALS: usize = 1_000;

/// Intervals of a topic in which something is known to be missing.
#[derive(Clone, Debug, Default)]
pub struct Blind {
    intervals: VecDeque<(u64, u64)>,
}

impl Blind {
    /// Notes an interval, in Unix microseconds; with its margins it is not judged.
    pub fn note(&mut self, from_us: u64, to_us: u64) {
        let interval = (from_us.saturating_sub(BEFORE_US), to_us.saturating_add(AFTER_US));
        match self.intervals.back_mut() {
            Some(latest) if interval.0 <= latest.1 && interval.0 >= latest.0 => {
                latest.1 = latest.1.max(interval.1);
            }
            _ => self.intervals.push_back(interval),
        }
        if self.intervals.len() > MAX_INTERVALS
            && let (Some(first), Some(second)) = (self.intervals.pop_front(), self.intervals.front_mut())
        {
            *second = (first.0.min(second.0), first.1.max(second.1));
        }
    }

    /// Forgets what no judgement needs any more at `now_us`.
    pub fn forget(&mut self, now_us: u64) {
        self.intervals.retain(|(_, to_us)| *to_us >= now_us.saturating_sub(KEPT_US));
    }

    /// Whether everything from `from_us` to before `to_us` may be judged.
    #[must_use]
    pub fn sees(&self, from_us: u64, to_us: u64) -> bool {
        self.intervals.iter().all(|(from, to)| to_us <= *from || *to <= from_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_blinds_with_its_margins() {
        let mut blind = Blind::default();
        blind.note(100_000_000, 130_000_000);
        blind.note(120_000_000, 140_000_000);
        assert!(blind.sees(0, 95_000_000) && !blind.sees(0, 95_000_001));
        assert!(blind.sees(200_000_000, 300_000_000) && !blind.sees(199_999_999, 300_000_000));
        blind.forget(200_000_001 + KEPT_US);
        assert!(blind.sees(0, u64::MAX));
    }

    #[test]
    fn beyond_the_bound_more_is_blind_not_less() {
        let mut blind = Blind::default();
        (0..2_000_u64).for_each(|n| blind.note(n * 1_000_000_000, n * 1_000_000_000 + 1));
        assert_eq!(blind.intervals.len(), MAX_INTERVALS);
        assert!((0..2_000_u64).all(|n| !blind.sees(n * 1_000_000_000, n * 1_000_000_000 + 1)));
    }
}
