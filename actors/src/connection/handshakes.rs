//! The handshakes of all connections: their limit per minute, as each is one HTTP request charged to the token, and
//! the news of each success.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::sync::lock;

/// The period of the limit.
const WINDOW: Duration = Duration::from_secs(60);

/// Assigns start times to handshakes, in the order of requests, and announces which succeed.
#[derive(Debug)]
pub struct Handshakes {
    per_minute: usize,
    /// The latest `per_minute` start times assigned, in order.
    reserved: Mutex<VecDeque<Instant>>,
    /// The number of handshakes accepted.
    accepted: watch::Sender<u64>,
}

impl Handshakes {
    /// Allows `per_minute` handshakes, at least one, in any minute.
    #[must_use]
    pub fn new(per_minute: u32) -> Handshakes {
        Handshakes {
            per_minute: per_minute.max(1) as usize,
            reserved: Mutex::default(),
            accepted: watch::Sender::new(0),
        }
    }

    /// Announces that the feed accepted a handshake.
    pub fn note_accepted(&self) {
        self.accepted.send_modify(|accepted| *accepted += 1);
    }

    /// Returns a receiver that changes with each handshake accepted from now on, of any connection.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.accepted.subscribe()
    }

    /// Reserves the earliest start time from `now` on within the limit, used or not: complete other waits before
    /// reserving.
    pub fn reserve(&self, now: Instant) -> Instant {
        let mut reserved = lock(&self.reserved);
        let is_full = reserved.len() == self.per_minute;
        let free_at = if is_full { reserved.pop_front().map(|oldest| oldest + WINDOW) } else { None };
        let turn = free_at.map_or(now, |free_at| free_at.max(now));
        reserved.push_back(turn);
        turn
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_ones_begin_at_once_and_the_next_when_a_minute_has_passed() {
        let limiter = Handshakes::new(2);
        let now = Instant::now();
        assert_eq!(limiter.reserve(now), now);
        assert_eq!(limiter.reserve(now), now);
        assert_eq!(limiter.reserve(now), now + WINDOW);
        let much_later = now + 3 * WINDOW;
        assert_eq!(limiter.reserve(much_later), much_later);
    }

    proptest! {
        #[test]
        fn turns_are_in_order_and_no_minute_has_more_than_the_limit(
            per_minute in 1_u32..5, pauses in proptest::collection::vec(0_u64..40_000, 1..60)
        ) {
            let limiter = Handshakes::new(per_minute);
            let mut now = Instant::now();
            let mut turns = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                turns.push(limiter.reserve(now));
                prop_assert!(turns.last() >= Some(&now));
            }
            prop_assert!(turns.is_sorted());
            for minute in turns.windows(per_minute as usize + 1) {
                prop_assert!(minute[per_minute as usize].duration_since(minute[0]) >= WINDOW);
            }
        }
    }
}
