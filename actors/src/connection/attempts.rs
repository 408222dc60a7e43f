//! When the next attempt of a connection begins: after its pause, which a success of another connection shortens, and
//! within the limit on handshakes.

use std::sync::Arc;
use std::time::Duration;

use slog::{Logger, info};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uw_websocket_core::time::millis;

use super::handshakes::Handshakes;
use super::reconnect::{Pause, ReconnectPolicy};
use super::transport::HandshakeError;
use crate::observation::Observations;
use crate::rest::limiter::HandshakeTurn;
use crate::wall_clock::unix_micros;

/// Maximum time by which connections that wake at once are spread, so that a feed that has just come back does not get
/// all handshakes in one moment.
const SPREAD: Duration = Duration::from_secs(2);

/// Determines when the attempts of one connection begin.
pub struct Attempts {
    handshakes: Arc<Handshakes>,
    policy: ReconnectPolicy,
    pause: Pause,
    /// The turn of the present attempt, until its outcome.
    turn: Option<HandshakeTurn>,
    /// The successes since this connection last tried, or lost its session.
    news: watch::Receiver<u64>,
    observations: Arc<Observations>,
    position: usize,
    rng: fastrand::Rng,
    log: Logger,
}

impl Attempts {
    /// Creates the schedule of the connection at index `position` of `observations`; its first attempt has no pause.
    #[must_use]
    pub fn new(
        handshakes: Arc<Handshakes>,
        policy: ReconnectPolicy,
        observations: Arc<Observations>,
        position: usize,
        log: Logger,
    ) -> Attempts {
        let (news, rng) = (handshakes.news(), fastrand::Rng::new());
        Attempts {
            handshakes,
            policy,
            pause: Pause::default(),
            turn: None,
            news,
            observations,
            position,
            rng,
            log,
        }
    }

    /// Waits until the next attempt may begin. Returns the time waited.
    pub async fn next(&mut self) -> Duration {
        let began = Instant::now();
        self.wait_out_pause(began).await;
        // the pause comes first: a time reserved five minutes ahead would delay all other connections behind it
        let turn = self.handshakes.reserve(Instant::now().into_std());
        let start = Instant::from_std(turn.start());
        self.turn = Some(turn);
        self.show(start);
        sleep_until(start).await;
        self.observations.connections[self.position].next_attempt_at.clear();
        // a success during an attempt that fails counts: the feed returned meanwhile
        self.news = self.handshakes.news();
        began.elapsed()
    }

    /// Notes that the feed accepted the handshake, which ends the pauses of the other connections.
    pub fn accepted(&mut self) {
        self.turn = None;
        self.handshakes.note_accepted();
    }

    /// Notes that the handshake failed. Returns the length of the pause that follows.
    pub fn failed(&mut self, error: &HandshakeError) -> Duration {
        self.turn = None;
        self.pause = self.policy.after_handshake(error, &mut self.rng);
        self.pause.length
    }

    /// Notes that the session was lost after this time. Returns the length of the pause that follows.
    pub fn lost(&mut self, lasted: Duration) -> Duration {
        self.news = self.handshakes.news();
        self.pause = self.policy.after_session(lasted, &mut self.rng);
        self.pause.length
    }

    async fn wait_out_pause(&mut self, began: Instant) {
        let end = began + self.pause.length;
        self.show(end);
        tokio::select! {
            biased;
            () = sleep_until(end) => return,
            // the sender is in `handshakes`, so there is no error
            _ = self.news.changed() => {}
        }
        let earliest = Instant::now().max(began + self.pause.at_least) + SPREAD.mul_f64(self.rng.f64());
        if earliest < end {
            info!(self.log, "retry brought forward"; "retry_in_ms" => millis(earliest - Instant::now()));
            self.show(earliest);
        }
        sleep_until(earliest.min(end)).await;
    }

    /// Publishes the time of the attempt.
    fn show(&self, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        self.observations.connections[self.position]
            .next_attempt_at
            .set(unix_micros() + 1_000 * millis(left));
    }
}

#[cfg(test)]
mod tests {
    use slog::{Discard, o};
    use uw_websocket_core::event::Topic;
    use uw_websocket_core::request_budget::RequestLimits;

    use super::*;
    use crate::rest::limiter::RequestLimiter;

    const MINUTE: Duration = Duration::from_secs(60);

    struct World {
        handshakes: Arc<Handshakes>,
        observations: Arc<Observations>,
    }

    impl World {
        fn new(per_minute: u32) -> World {
            let plan: [(&str, &[Topic]); 1] = [("prices", &[])];
            let observations = Observations::new("test".to_owned(), "0", &[], &plan, 1, Arc::default());
            let limits = RequestLimits { per_minute, rest_per_minute: per_minute, fills_per_day: 0 };
            let handshakes = Arc::new(Handshakes::new(RequestLimiter::new(limits)));
            World { handshakes, observations: Arc::new(observations) }
        }

        /// A connection that waits this long, and at least so long.
        fn waiting(&self, length: Duration, at_least: Duration, seed: u64) -> Attempts {
            let policy = ReconnectPolicy::new(MINUTE, MINUTE);
            let log = Logger::root(Discard, o!());
            let (handshakes, observations) = (Arc::clone(&self.handshakes), Arc::clone(&self.observations));
            let attempts = Attempts::new(handshakes, policy, observations, 0, log);
            Attempts { pause: Pause { length, at_least }, rng: fastrand::Rng::with_seed(seed), ..attempts }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_ends_the_pauses_of_the_others_at_different_moments() {
        let world = World::new(100);
        let wait = |seed| {
            let mut attempts = world.waiting(MINUTE, Duration::ZERO, seed);
            tokio::spawn(async move { attempts.next().await })
        };
        let waits: Vec<_> = (0..20).map(wait).collect();
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.handshakes.note_accepted();
        let mut waited = Vec::new();
        for wait in waits {
            waited.push(wait.await.unwrap());
        }
        waited.sort();
        assert!(waited[0] >= Duration::from_secs(5) && waited[19] <= Duration::from_secs(8), "{waited:?}");
        waited.dedup();
        assert!(waited.len() > 15, "they are spread: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_during_an_attempt_that_fails_counts_and_an_earlier_one_does_not() {
        let world = World::new(100);
        world.handshakes.note_accepted();
        let mut attempts = world.waiting(MINUTE, Duration::ZERO, 1);
        assert!(attempts.next().await >= MINUTE);
        world.handshakes.note_accepted();
        let length = attempts.failed(&HandshakeError::Failed(String::new()));
        assert!(length > Duration::from_secs(40) && attempts.next().await <= SPREAD);
        world.handshakes.note_accepted();
        attempts.lost(MINUTE);
        assert!(attempts.next().await > SPREAD, "it succeeded while this one was connected");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_feed_asks_for_is_waited_for_and_no_pause_becomes_longer() {
        let world = World::new(100);
        for (at_least, expected) in [(30, 30..=32), (59, 59..=60), (60, 60..=60)] {
            let mut attempts = world.waiting(MINUTE, Duration::from_secs(at_least), 3);
            world.handshakes.note_accepted();
            let waited = attempts.next().await;
            assert!(expected.contains(&waited.as_secs()), "{at_least}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_the_next_attempt_is_shown_during_the_pause_also_when_it_is_brought_forward() {
        let world = World::new(100);
        let shown = &world.observations.connections[0].next_attempt_at;
        // the wall clock does not follow the paused one
        let seconds_left = || shown.get().map(|at| at.saturating_sub(unix_micros()) / 1_000_000);
        let mut attempts = world.waiting(MINUTE, Duration::ZERO, 1);
        let next = tokio::spawn(async move { attempts.next().await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(seconds_left().is_some_and(|left| (30..=60).contains(&left)), "{:?}", seconds_left());
        world.handshakes.note_accepted();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(seconds_left().is_some_and(|left| left <= 2), "{:?}", seconds_left());
        assert!(next.await.unwrap() <= Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_holds_and_the_time_of_the_attempt_is_shown() {
        let world = World::new(1);
        let shown = &world.observations.connections[0].next_attempt_at;
        world.waiting(Duration::ZERO, Duration::ZERO, 1).next().await;
        assert_eq!(shown.get(), None, "it has begun");
        let mut attempts = world.waiting(Duration::from_secs(5), Duration::ZERO, 1);
        let next = tokio::spawn(async move { attempts.next().await });
        tokio::time::sleep(Duration::from_secs(20)).await;
        // shown when the limit was met, after 5 s; the wall clock does not follow the paused one
        let left = shown.get().unwrap().saturating_sub(unix_micros());
        assert!((45_000_000..=56_000_000).contains(&left), "{left}");
        assert_eq!(next.await.unwrap().as_secs(), 60);
    }
}
