//! Paces the reads of a busy feed.
//!
//! An event that is read alone wakes the threads on its way to Redis several times, which costs twenty times what the
//! event itself does. On a busy feed events therefore collect in the socket for a moment. A quieter feed never waits.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// Maximum interval per message of a busy feed: 2 500 messages per second.
const BUSY: Duration = Duration::from_micros(400);
/// Minimum rest between two reads of a busy feed. The runtime's timer has a resolution of 1 ms, so that a rest takes
/// between 0.5 and 1.5 ms.
const REST: Duration = Duration::from_micros(500);
/// Maximum messages of a read that is followed by a rest: a faster feed fills its reads without one, and would fill
/// the socket's buffer during a rest.
const FEW: u32 = 16;

/// The pace of a connection's reads.
#[derive(Debug)]
pub(super) struct ReadPace {
    read_at: Instant,
    rests_until: Option<Instant>,
}

impl ReadPace {
    pub(super) fn new(now: Instant) -> ReadPace {
        ReadPace { read_at: now, rests_until: None }
    }

    /// Records a read of a number of messages.
    pub(super) fn read(&mut self, now: Instant, messages: usize) {
        let interval = now.duration_since(std::mem::replace(&mut self.read_at, now));
        let few = u32::try_from(messages).ok().filter(|messages| *messages <= FEW);
        self.rests_until = few.filter(|messages| interval < BUSY * *messages).map(|_| now + REST);
    }

    /// Waits until the next read is due. Cancel safe.
    pub(super) async fn rest(&self) {
        if let Some(until) = self.rests_until.filter(|until| *until > Instant::now()) {
            sleep_until(until.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of `messages` each, `interval` apart; returns whether the last is followed by a rest.
    fn rests(messages: usize, interval: Duration) -> bool {
        let start = Instant::now();
        let mut pace = ReadPace::new(start);
        pace.read(start + Duration::from_secs(1), messages);
        assert!(pace.rests_until.is_none(), "the first read after a pause");
        pace.read(start + Duration::from_secs(1) + interval, messages);
        pace.rests_until.is_some()
    }

    #[test]
    fn only_a_busy_feed_rests() {
        assert!(rests(1, Duration::from_micros(200)));
        assert!(rests(5, Duration::from_millis(1)));
        assert!(!rests(1, Duration::from_millis(1)));
        assert!(!rests(20, Duration::from_millis(50)));
    }

    #[test]
    fn a_read_that_is_full_by_itself_is_followed_by_the_next_at_once() {
        assert!(rests(16, Duration::from_micros(300)));
        assert!(!rests(17, Duration::from_micros(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_ends() {
        let now = Instant::now();
        let mut pace = ReadPace::new(now);
        pace.rest().await;
        pace.read(now, 1);
        assert!(pace.rests_until.is_some());
        pace.rest().await;
    }
}
