//! Detects that the feed refuses the token at startup: a deployment with a wrong token must fail immediately.

use std::time::{Duration, Instant};

use tokio::time::interval;
use uw_websocket_actors::observation::Observations;

/// Interval between checks.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Time without progress after which the remaining connections are assumed to be waiting for the limit on handshakes,
/// which may take minutes: they will be refused like the others.
const OTHERS_WAIT: Duration = Duration::from_secs(10);

/// Waits until the feed has refused the token on every connection that could try, with none accepted before, and
/// returns their number; otherwise never completes. With a token that is revoked later, the service keeps running, not
/// ready.
pub async fn every_connection_refused(observations: &Observations) -> usize {
    let mut checks = interval(CHECK_EVERY);
    let mut watch = Watch::new(Instant::now());
    loop {
        checks.tick().await;
        match watch.look(observations, Instant::now()) {
            Verdict::Refused(connections) => return connections,
            Verdict::Accepted => return std::future::pending().await,
            Verdict::Open => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refused(usize),
    Accepted,
    Open,
}

struct Watch {
    /// The number of connections that have tried, and the time since which it is unchanged.
    tried: (usize, Instant),
}

impl Watch {
    fn new(now: Instant) -> Watch {
        Watch { tried: (0, now) }
    }

    fn look(&mut self, observations: &Observations, now: Instant) -> Verdict {
        let connections = &observations.connections;
        if connections.iter().any(|connection| connection.accepted.get() > 0) {
            return Verdict::Accepted;
        }
        let tried = connections.iter().filter(|connection| connection.attempts.get() > 0).count();
        let refused = connections.iter().filter(|connection| connection.refused.get() > 0).count();
        if tried != self.tried.0 {
            self.tried = (tried, now);
        }
        let others_wait = now.saturating_duration_since(self.tried.1) >= OTHERS_WAIT;
        if refused > 0 && refused == tried && (refused == connections.len() || others_wait) {
            return Verdict::Refused(refused);
        }
        Verdict::Open
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn observations() -> Observations {
        let plan = [("flow", &[][..]), ("prices", &[]), ("gex", &[])];
        Observations::new("test".to_owned(), "0", &[], &plan, 1, Arc::default())
    }

    fn refuse(observations: &Observations, connection: usize) {
        observations.connections[connection].attempts.add(1);
        observations.connections[connection].refused.add(1);
    }

    #[test]
    fn all_are_refused_when_each_was() {
        let (observations, now) = (observations(), Instant::now());
        let mut watch = Watch::new(now);
        for connection in 0..3 {
            assert_eq!(watch.look(&observations, now), Verdict::Open);
            refuse(&observations, connection);
        }
        assert_eq!(watch.look(&observations, now), Verdict::Refused(3));
    }

    #[test]
    fn those_who_cannot_try_for_long_count_as_refused() {
        let (observations, now) = (observations(), Instant::now());
        let mut watch = Watch::new(now);
        assert_eq!(watch.look(&observations, now + OTHERS_WAIT), Verdict::Open, "nobody has tried");
        refuse(&observations, 0);
        let refused_at = now + OTHERS_WAIT;
        assert_eq!(watch.look(&observations, refused_at), Verdict::Open);
        assert_eq!(watch.look(&observations, refused_at + OTHERS_WAIT), Verdict::Refused(1));
        observations.connections[1].attempts.add(1);
        assert_eq!(watch.look(&observations, refused_at + OTHERS_WAIT), Verdict::Open, "one is trying");
        assert_eq!(
            watch.look(&observations, refused_at + 3 * OTHERS_WAIT),
            Verdict::Open,
            "or failed otherwise"
        );
    }

    #[test]
    fn one_that_was_accepted_settles_it() {
        let (observations, now) = (observations(), Instant::now());
        refuse(&observations, 0);
        observations.connections[1].accepted.add(1);
        assert_eq!(Watch::new(now).look(&observations, now + OTHERS_WAIT), Verdict::Accepted);
    }
}
