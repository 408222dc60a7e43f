//! The limiter of the process: its handshakes and REST requests take their turns from one budget.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use tokio::time;
use uw_websocket_core::request_budget::{
    BudgetVerdict, FillsOfDay, NotNow, Now, Pause, Purpose, RequestBudget, RequestId, RequestLimits,
    UnfitFills,
};

use crate::sync::lock;
use crate::wall_clock::unix_micros;

/// Longest pause that a REST request waits out for its turn; a longer one is returned to the caller, who has other work.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The budget, shared by the actors of the process.
#[derive(Debug)]
pub struct RequestLimiter {
    budget: Mutex<RequestBudget>,
    /// The turn of REST: fair, so that requests are sent in the order in which they were asked for.
    rest: Arc<tokio::sync::Mutex<()>>,
}

/// The turn of a handshake. Dropped with its outcome, or when it is given up.
#[derive(Debug)]
pub struct HandshakeTurn {
    limiter: Arc<RequestLimiter>,
    id: RequestId,
    start: Instant,
}

/// The turn of a REST request, the only one in flight. Dropped without a verdict if the request is given up.
#[derive(Debug)]
pub struct RestTurn {
    limiter: Arc<RequestLimiter>,
    id: RequestId,
    _turn: OwnedMutexGuard<()>,
}

/// The present moment, also by a paused clock of a test.
fn now() -> Now {
    Now { at: time::Instant::now().into_std(), unix_ms: unix_micros() / 1_000 }
}

impl RequestLimiter {
    /// Creates the limiter.
    #[must_use]
    pub fn new(limits: RequestLimits) -> Arc<RequestLimiter> {
        Arc::new(RequestLimiter { budget: Mutex::new(RequestBudget::new(limits)), rest: Arc::default() })
    }

    /// Reserves the earliest turn from `now` on for a handshake.
    pub fn handshake(self: &Arc<Self>, now: Instant) -> HandshakeTurn {
        let (id, start) = lock(&self.budget).handshake(now);
        HandshakeTurn { limiter: Arc::clone(self), id, start }
    }

    /// Waits for the turn of a REST request. Returns a pause that is longer than a minute instead.
    pub async fn rest(self: &Arc<Self>, purpose: Purpose) -> Result<RestTurn, NotNow> {
        let turn = Arc::clone(&self.rest).lock_owned().await;
        loop {
            let asked = lock(&self.budget).rest(purpose, now());
            match asked {
                Ok(id) => return Ok(RestTurn { limiter: Arc::clone(self), id, _turn: turn }),
                Err(NotNow { retry_in, why }) if why == Pause::Window || retry_in <= LONGEST_WAIT => {
                    time::sleep(retry_in).await;
                }
                Err(refused) => return Err(refused),
            }
        }
    }

    /// Returns the requests for fills of the day, with one that begins now; `None` if the day's are used.
    #[must_use]
    pub fn fills_with_next(&self) -> Option<FillsOfDay> {
        lock(&self.budget).fills_with_next(now().unix_ms)
    }

    /// Goes on with the requests for fills that another process has counted; see [`RequestBudget::restore_fills`].
    pub fn restore_fills(&self, before: FillsOfDay) -> Result<(), UnfitFills> {
        lock(&self.budget).restore_fills(before, now().unix_ms)
    }

    /// Returns the number of REST requests that may begin at once, as far as is known.
    #[must_use]
    pub fn remaining(&self, purpose: Purpose) -> u32 {
        lock(&self.budget).remaining(purpose, now())
    }
}

impl HandshakeTurn {
    /// Returns the time at which it may begin.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }
}

impl Drop for HandshakeTurn {
    fn drop(&mut self) {
        lock(&self.limiter.budget).settle(self.id, now().at);
    }
}

impl RestTurn {
    /// Notes that the head of the answer has come, so that the vendor has counted the request.
    pub fn counted(&self) {
        lock(&self.limiter.budget).settle(self.id, now().at);
    }

    /// Ends the request with its verdict. Returns what REST now waits for, if anything.
    #[must_use]
    pub fn finish(self, verdict: &BudgetVerdict) -> Option<NotNow> {
        lock(&self.limiter.budget).finish(self.id, verdict, now(), fastrand::f64())
    }
}

impl Drop for RestTurn {
    fn drop(&mut self) {
        lock(&self.limiter.budget).abandon(self.id, now().at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { per_minute: 3, rest_per_minute: 2, fills_per_day: 100 };

    #[tokio::test(start_paused = true)]
    async fn requests_take_their_turns_in_order_and_one_that_is_given_up_ends() {
        let limiter = RequestLimiter::new(LIMITS);
        let begun = time::Instant::now();
        let first = limiter.rest(Purpose::Fill).await.unwrap();
        let others: Vec<_> = (0..3)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move {
                    drop(limiter.rest(Purpose::Fill).await.unwrap());
                    begun.elapsed().as_secs()
                })
            })
            .collect();
        time::sleep(Duration::from_secs(5)).await;
        drop(first);
        let mut ends = Vec::new();
        for other in others {
            ends.push(other.await.unwrap());
        }
        assert_eq!(ends, [5, 65, 65]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_is_returned_and_its_last_minute_waited_for() {
        let limiter = RequestLimiter::new(LIMITS);
        let turn = limiter.rest(Purpose::Fill).await.unwrap();
        assert!(turn.finish(&BudgetVerdict::Unauthorised).is_some());
        assert_eq!(limiter.remaining(Purpose::Fill), 0);
        let refused = limiter.rest(Purpose::Fill).await.unwrap_err();
        assert_eq!((refused.why, refused.retry_in), (Pause::Unauthorised, Duration::from_secs(300)));
        time::sleep(Duration::from_secs(250)).await;
        let begun = time::Instant::now();
        assert!(limiter.rest(Purpose::Fill).await.is_ok());
        assert_eq!(begun.elapsed().as_secs(), 50);
    }
}
