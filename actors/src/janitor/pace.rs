//! The size of removal calls, and the pauses between them.
//!
//! Redis serves no other client while it removes entries, so a call should stay far below the 5 milliseconds that a
//! reader may notice. The cost of an entry depends on its size (Redis frees nodes of up to 4 KiB) and on the
//! machine: the number of entries follows the duration of the last call.

use std::time::Duration;

/// Target duration of a call: longer ones removed too much, those below half of it could have removed more. A tenth
/// of the acceptable duration, as the next call may meet larger nodes or a busier machine.
const CALL: Duration = Duration::from_micros(500);

/// Minimum limit of a call. If each entry were a node of its own, they would take some two milliseconds.
const FEWEST: u64 = 1_000;

/// Maximum limit of a call, since doubling the last one is a guess. Also the largest node that can be trimmed, by
/// `stream-node-max-entries`: a hundred times Redis' default.
const MOST: u64 = 10_000;

/// Pause after a call as a multiple of its duration: the janitor takes at most a tenth of the time.
const PARTS_FOR_OTHERS: u32 = 9;

/// The number of entries that a call may remove.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    limit: u64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { limit: FEWEST }
    }
}

impl Pace {
    /// Returns the `LIMIT` of the next call. Redis trims whole nodes: after a call that could remove nothing
    /// (`is_stuck`) the first node may exceed the usual limit, and a single node is freed quickly.
    pub(super) fn limit(self, is_stuck: bool) -> u64 {
        if is_stuck { MOST } else { self.limit }
    }

    /// Adapts to the round-trip time of a call. A call that found little to remove says nothing about larger ones.
    pub(super) fn took(&mut self, elapsed: Duration, removed: u64) {
        if elapsed > CALL {
            self.limit = (self.limit / 2).max(FEWEST);
        } else if elapsed < CALL / 2 && removed > self.limit / 2 {
            self.limit = (self.limit * 2).min(MOST);
        }
    }

    /// Returns the pause after a call.
    pub(super) fn pause(elapsed: Duration) -> Duration {
        elapsed * PARTS_FOR_OTHERS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the limit reached by calls with this cost per entry.
    fn settled(nanos_an_entry: u64) -> u64 {
        let mut pace = Pace::default();
        for _ in 0..50 {
            pace.took(Duration::from_nanos(pace.limit * nanos_an_entry), pace.limit);
        }
        pace.limit
    }

    #[test]
    fn a_call_takes_about_as_long_as_it_shall_where_the_cost_of_an_entry_allows() {
        for nanos_an_entry in [30, 100, 400] {
            let call = Duration::from_nanos(settled(nanos_an_entry) * nanos_an_entry);
            assert!(call <= CALL && call >= CALL / 2, "{nanos_an_entry} ns: {call:?}");
        }
    }

    #[test]
    fn the_limit_has_bounds() {
        assert_eq!(settled(1_000_000), FEWEST);
        assert_eq!(settled(0), MOST);
    }

    #[test]
    fn calls_that_found_little_do_not_raise_the_limit() {
        let mut pace = Pace::default();
        pace.took(Duration::ZERO, FEWEST / 2);
        assert_eq!(pace.limit, FEWEST);
    }

    #[test]
    fn a_node_larger_than_the_limit_can_go() {
        assert_eq!(Pace::default().limit(true), MOST);
    }

    proptest! {
        #[test]
        fn the_janitor_takes_a_tenth_of_the_time(micros in 0_u64..10_000_000) {
            let call = Duration::from_micros(micros);
            prop_assert_eq!(call * 10, call + Pace::pause(call));
        }

        #[test]
        fn one_slow_call_makes_the_next_one_smaller(calls in prop::collection::vec(0_u64..3_000, 0..50)) {
            let mut pace = Pace::default();
            for call in calls {
                let before = pace.limit;
                pace.took(Duration::from_micros(call), before);
                prop_assert!((FEWEST..=MOST).contains(&pace.limit));
                prop_assert!(call <= 500 || pace.limit < before || before == FEWEST);
            }
        }
    }
}
