//! When to try again: a pure policy over the ways in which an attempt or a session ends.

use std::time::Duration;

use super::transport::HandshakeError;
use crate::backoff::Backoff;

/// A session that lasted this long was a good one: the delay starts again from its first value. An over-full token is
/// accepted and closed within seconds, so that a mere handshake proves nothing.
pub const GOOD_SESSION: Duration = Duration::from_secs(60);

/// Wait after the token was refused: it needs a person, and asking more often could get it banned.
pub const REFUSED_DELAY: Duration = Duration::from_secs(5 * 60);

/// `Retry-After` is honoured up to this long; beyond it the feed is asked again anyway.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Chooses the delays before the attempts of one connection.
#[derive(Debug)]
pub struct ReconnectPolicy {
    backoff: Backoff,
}

impl ReconnectPolicy {
    /// Delays from `first`, doubling with jitter, to `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> ReconnectPolicy {
        ReconnectPolicy { backoff: Backoff::new(first, max) }
    }

    /// The delay after a session that ended without our wish.
    pub fn after_session(&mut self, lasted: Duration, rng: &mut fastrand::Rng) -> Duration {
        if lasted >= GOOD_SESSION {
            self.backoff.reset();
        }
        self.backoff.next(rng)
    }

    /// The delay after a handshake that failed.
    pub fn after_handshake(&mut self, error: &HandshakeError, rng: &mut fastrand::Rng) -> Duration {
        let backoff = self.backoff.next(rng);
        if error.is_token_refused() {
            return backoff.max(REFUSED_DELAY);
        }
        error.retry_after().map_or(backoff, |wanted| backoff.max(wanted.min(RETRY_AFTER_MAX)))
    }
}
