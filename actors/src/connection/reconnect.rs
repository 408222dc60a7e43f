//! Reconnect delays: a pure policy over the outcomes of attempts and sessions.

use std::time::Duration;

use super::transport::HandshakeError;
use crate::backoff::Backoff;

/// Minimum duration of a session that resets the delay. A token over its connection limit is accepted and closed
/// within seconds, so a handshake alone proves nothing.
pub const GOOD_SESSION: Duration = Duration::from_secs(60);

/// Delay after the token was rejected: someone must intervene, and frequent retries could get it banned.
pub const REFUSED_DELAY: Duration = Duration::from_secs(5 * 60);

/// Maximum `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// The pause before an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// Its duration if no other connection succeeds meanwhile.
    pub length: Duration,
    /// The part of it that a success of another connection does not shorten.
    pub at_least: Duration,
}

/// The pauses before the attempts of one connection.
#[derive(Debug)]
pub struct ReconnectPolicy {
    backoff: Backoff,
    /// Sessions in a row that were too short to reset the delay.
    short_sessions: u32,
}

impl ReconnectPolicy {
    /// Starts with `first`, doubling with jitter up to `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> ReconnectPolicy {
        ReconnectPolicy { backoff: Backoff::new(first, max), short_sessions: 0 }
    }

    /// Returns the pause after an unexpected disconnect. The first short session in a row may be the end of an outage;
    /// after another one it is this connection that the feed does not want, whatever becomes of the others, and
    /// connections that wake each other would try without end.
    pub fn after_session(&mut self, lasted: Duration, rng: &mut fastrand::Rng) -> Pause {
        if lasted >= GOOD_SESSION {
            self.backoff.reset();
            self.short_sessions = 0;
        } else {
            self.short_sessions = self.short_sessions.saturating_add(1);
        }
        let length = self.backoff.next(rng);
        Pause { length, at_least: if self.short_sessions > 1 { length } else { Duration::ZERO } }
    }

    /// Returns the pause after a failed handshake. What the feed asks for is kept, also if others succeed.
    pub fn after_handshake(&mut self, error: &HandshakeError, rng: &mut fastrand::Rng) -> Pause {
        let wanted = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        let least = if error.is_token_refused() { REFUSED_DELAY } else { Duration::ZERO };
        let at_least = wanted.max(least);
        Pause { length: self.backoff.next(rng).max(at_least), at_least }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(5);
    const MAX: Duration = Duration::from_secs(60);

    fn policy() -> (ReconnectPolicy, fastrand::Rng) {
        (ReconnectPolicy::new(FIRST, MAX), fastrand::Rng::with_seed(11))
    }

    fn refused(status: u16, retry_after: Option<u64>) -> HandshakeError {
        let retry_after = retry_after.map(Duration::from_secs);
        HandshakeError::Refused { status, retry_after, text: String::new() }
    }

    /// Asserts that a delay is within the jitter around `nominal` seconds.
    #[track_caller]
    fn assert_around(pause: Pause, nominal: f64) {
        let bounds = nominal * 0.799..=(nominal * 1.201).min(MAX.as_secs_f64());
        assert!(bounds.contains(&pause.length.as_secs_f64()), "{pause:?} is not around {nominal} s");
    }

    /// A pause that the success of another connection does not shorten.
    fn fixed(length: Duration) -> Pause {
        Pause { length, at_least: length }
    }

    #[test]
    fn delays_double_to_the_cap_over_handshakes_and_short_sessions() {
        let (mut policy, mut rng) = policy();
        assert_around(policy.after_session(Duration::from_secs(59), &mut rng), 5.0);
        assert_around(policy.after_handshake(&HandshakeError::Failed(String::new()), &mut rng), 10.0);
        assert_around(policy.after_session(Duration::ZERO, &mut rng), 20.0);
        assert_around(policy.after_handshake(&refused(503, None), &mut rng), 40.0);
        assert_around(policy.after_session(Duration::from_secs(59), &mut rng), 60.0);
        assert_around(policy.after_session(Duration::from_secs(59), &mut rng), 60.0);
    }

    #[test]
    fn only_a_good_session_starts_the_delays_again() {
        let (mut policy, mut rng) = policy();
        policy.after_session(Duration::ZERO, &mut rng);
        assert_around(policy.after_session(Duration::from_millis(59_999), &mut rng), 10.0);
        assert_around(policy.after_session(GOOD_SESSION, &mut rng), 5.0);
    }

    #[test]
    fn a_refused_token_waits_for_a_person() {
        for status in [401, 403] {
            let (mut policy, mut rng) = policy();
            assert_eq!(policy.after_handshake(&refused(status, None), &mut rng), fixed(REFUSED_DELAY));
            assert_eq!(policy.after_handshake(&refused(status, Some(1)), &mut rng), fixed(REFUSED_DELAY));
            let wanted = Duration::from_secs(1200);
            assert_eq!(policy.after_handshake(&refused(status, Some(1200)), &mut rng), fixed(wanted));
        }
    }

    #[test]
    fn the_servers_wish_is_honoured_within_reason_and_never_shortens_a_delay() {
        let (mut policy, mut rng) = policy();
        let wanted = Duration::from_secs(120);
        assert_eq!(policy.after_handshake(&refused(429, Some(120)), &mut rng), fixed(wanted));
        let pause = policy.after_handshake(&refused(429, Some(1)), &mut rng);
        assert_around(pause, 10.0);
        assert_eq!(pause.at_least, Duration::from_secs(1));
        let longest = policy.after_handshake(&refused(503, Some(u64::MAX)), &mut rng);
        assert_eq!(longest, fixed(RETRY_AFTER_MAX));
    }

    #[test]
    fn an_outage_may_end_early_and_a_connection_that_is_not_wanted_keeps_its_pace() {
        let (mut policy, mut rng) = policy();
        let failed = HandshakeError::Failed(String::new());
        let short = Duration::from_secs(1);
        assert_eq!(policy.after_session(GOOD_SESSION, &mut rng).at_least, Duration::ZERO);
        assert_eq!(policy.after_handshake(&failed, &mut rng).at_least, Duration::ZERO);
        assert_eq!(policy.after_session(short, &mut rng).at_least, Duration::ZERO);
        let again = policy.after_session(short, &mut rng);
        assert_eq!(again, fixed(again.length));
        assert_eq!(policy.after_handshake(&failed, &mut rng).at_least, Duration::ZERO);
        assert_eq!(policy.after_session(GOOD_SESSION, &mut rng).at_least, Duration::ZERO);
        assert_eq!(policy.after_session(short, &mut rng).at_least, Duration::ZERO, "counted anew");
    }
}
