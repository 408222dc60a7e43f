//! A bound on handshakes a minute, over all connections: each is one HTTP request on the token.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The window that the limit is counted in.
const WINDOW: Duration = Duration::from_secs(60);

/// Hands out the moments at which handshakes may begin.
#[derive(Debug)]
pub struct HandshakeLimiter {
    per_minute: usize,
    /// The newest `per_minute` moments that were handed out, in order.
    reserved: Mutex<VecDeque<Instant>>,
}

impl HandshakeLimiter {
    /// At most `per_minute` handshakes, at least one, in any minute.
    #[must_use]
    pub fn new(per_minute: u32) -> HandshakeLimiter {
        HandshakeLimiter { per_minute: per_minute.max(1) as usize, reserved: Mutex::default() }
    }

    /// The earliest moment from `wanted` on that keeps to the limit. It is taken from now on, used or not.
    pub fn reserve(&self, wanted: Instant) -> Instant {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = if reserved.len() < self.per_minute {
            wanted
        } else {
            reserved.pop_front().map_or(wanted, |oldest| wanted.max(oldest + WINDOW))
        };
        let position = reserved.partition_point(|at| *at <= earliest);
        reserved.insert(position, earliest);
        earliest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_ones_begin_when_they_want() {
        let limiter = HandshakeLimiter::new(2);
        let now = Instant::now();
        assert_eq!(limiter.reserve(now), now);
        assert_eq!(limiter.reserve(now), now);
        assert_eq!(limiter.reserve(now), now + WINDOW);
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_limit(
            per_minute in 1_u32..5, wanted in proptest::collection::vec(0_u64..400_000, 1..60)
        ) {
            let limiter = HandshakeLimiter::new(per_minute);
            let start = Instant::now();
            let mut given: Vec<Instant> = wanted
                .iter()
                .map(|ms| {
                    let wanted = start + Duration::from_millis(*ms);
                    let given = limiter.reserve(wanted);
                    assert!(given >= wanted);
                    given
                })
                .collect();
            given.sort();
            for minute in given.windows(per_minute as usize + 1) {
                prop_assert!(minute[per_minute as usize].duration_since(minute[0]) >= WINDOW);
            }
        }
    }
}
