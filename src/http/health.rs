//! Liveness: whether the supervisor and the actors it watches make progress.
//!
//! The caller may end an unhealthy process, so an unavailable feed or Redis does not count: a restart would not bring
//! it back. Those are reported by [`readiness`](super::readiness).

use std::time::{Duration, Instant};

use thiserror::Error;
use uw_websocket_actors::observation::Observations;
use uw_websocket_actors::sync::lock;

/// Maximum age of the supervisor's last round. There is one round per second; a busy machine may delay a few.
pub const ROUND_AGE_LIMIT: Duration = Duration::from_secs(10);

/// Why the service is not healthy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unhealthy {
    /// The supervisor makes no progress.
    #[error("the supervisor has made no round for {} s, the limit is {} s", idle.as_secs(), ROUND_AGE_LIMIT.as_secs())]
    Stalled {
        /// Time since its last round or, before the first, since startup.
        idle: Duration,
    },
    /// The supervisor sees no progress in these.
    #[error("no progress of {}: replaced within seconds, or the process ends", names.join(", "))]
    Stuck {
        /// Their names.
        names: Vec<String>,
    },
}

/// Checks that the supervisor, the data thread and every child make progress.
///
/// # Errors
/// The supervisor's last round is older than [`ROUND_AGE_LIMIT`], or something is stuck.
pub fn health(observations: &Observations, now: Instant) -> Result<(), Unhealthy> {
    let idle = now.saturating_duration_since(*lock(&observations.supervisor_round_at));
    if idle > ROUND_AGE_LIMIT {
        return Err(Unhealthy::Stalled { idle });
    }
    let names = lock(&observations.stuck).clone();
    if names.is_empty() { Ok(()) } else { Err(Unhealthy::Stuck { names }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn observations() -> Observations {
        Observations::new("test".to_owned(), "0", &[], &[], 0, Arc::default())
    }

    #[test]
    fn healthy_while_rounds_are_young() {
        let observations = observations();
        let round = Instant::now();
        *lock(&observations.supervisor_round_at) = round;
        assert_eq!(health(&observations, round + Duration::from_secs(10)), Ok(()));
        let stalled = health(&observations, round + Duration::from_secs(11)).unwrap_err();
        assert_eq!(stalled, Unhealthy::Stalled { idle: Duration::from_secs(11) });
        assert_eq!(stalled.to_string(), "the supervisor has made no round for 11 s, the limit is 10 s");
    }

    #[test]
    fn before_the_first_round_the_start_counts() {
        let before = Instant::now();
        let observations = observations();
        assert_eq!(health(&observations, before + ROUND_AGE_LIMIT), Ok(()));
        let after = Instant::now() + ROUND_AGE_LIMIT + Duration::from_secs(1);
        assert!(health(&observations, after).is_err());
    }

    #[test]
    fn what_is_stuck_is_named() {
        let observations = observations();
        *lock(&observations.stuck) = vec!["writer-0".to_owned(), "connection-flow".to_owned()];
        let unhealthy = health(&observations, Instant::now()).unwrap_err();
        assert!(unhealthy.to_string().starts_with("no progress of writer-0, connection-flow"), "{unhealthy}");
        lock(&observations.stuck).clear();
        assert_eq!(health(&observations, Instant::now()), Ok(()));
    }
}
