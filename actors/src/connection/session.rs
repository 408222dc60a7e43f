//! One open socket as a state machine: what is due when, and what an answer means.
//!
//! Knows no socket and no clock: the shell tells it the time and does what is [`Due`].
//!
//! * **Joins** go out one by one, [`JOIN_PACE`] apart; one without an answer is repeated after [`REJOIN_FIRST`] and
//!   then every [`REJOIN_NEXT`]. A join that the feed refuses is repeated at the same pace: a plan can be upgraded.
//! * **Pings** go out once an interval; no pong within the next interval means a dead peer.
//! * **Silence** of a socket that carries steady families and has delivered before means a dead feed, in market hours.
//!   Only these count: a night without events says nothing at the open, when every trade is wanted.
//! * While the shell does not read (its writer has no room) the last two checks rest.

use std::time::{Duration, Instant};

/// Between two joins: no rate limit is documented, and clients in production pace theirs so.
pub const JOIN_PACE: Duration = Duration::from_millis(10);
/// The first repetition of a join without an answer. Answers take some 50 ms.
pub const REJOIN_FIRST: Duration = Duration::from_secs(30);
/// Every later repetition.
pub const REJOIN_NEXT: Duration = Duration::from_secs(60);
/// Longest silence of a steady socket in market hours.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(75);
/// While nothing else is due, the shell comes back after this long to prove its progress.
const IDLE: Duration = Duration::from_secs(1);

/// What the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send the join of the topic at this position.
    Join(usize),
    /// Send a ping.
    Ping,
    /// The peer is dead: close and connect again.
    Dead(Death),
}

/// How a peer that did not close turned out to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// A ping was not answered within its interval.
    NoPong,
    /// No event for [`SILENCE_LIMIT`] in market hours.
    Silence,
}

/// What an acknowledgement was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The join is acknowledged now.
    Joined,
    /// It was before.
    Again,
    /// There is no such join.
    Unknown,
}

/// An open socket.
#[derive(Debug)]
pub struct Session {
    joins: Vec<Join>,
    next_join_at: Instant,
    ping_interval: Duration,
    next_ping_at: Instant,
    pong_due_at: Option<Instant>,
    /// The last event, once there was one, or the last time at which the market was closed.
    last_event_at: Option<Instant>,
    is_steady: bool,
    paused: bool,
}

#[derive(Debug)]
struct Join {
    topic: Box<str>,
    acknowledged: bool,
    /// When it is to be sent (again).
    due_at: Instant,
    sent: u32,
    /// How often it had been sent when it was last refused.
    refused: u32,
}

impl Session {
    /// A socket that has just been opened, with its topics in the order of joining. `is_steady` says whether its
    /// silence in market hours means anything.
    #[must_use]
    pub fn new<'t>(
        topics: impl IntoIterator<Item = &'t str>,
        is_steady: bool,
        ping_interval: Duration,
        now: Instant,
    ) -> Session {
        let join =
            |topic: &str| Join { topic: topic.into(), acknowledged: false, due_at: now, sent: 0, refused: 0 };
        Session {
            joins: topics.into_iter().map(join).collect(),
            next_join_at: now,
            ping_interval,
            next_ping_at: now + ping_interval,
            pong_due_at: None,
            last_event_at: None,
            is_steady,
            paused: false,
        }
    }

    /// The next thing to do at `now`, counted as done; ask again until there is none.
    pub fn due(&mut self, now: Instant, market_is_open: bool) -> Option<Due> {
        if !market_is_open {
            self.last_event_at = self.last_event_at.map(|_| now);
        }
        if !self.paused {
            if self.pong_due_at.is_some_and(|at| at <= now) {
                return Some(Due::Dead(Death::NoPong));
            }
            let is_silent = self.last_event_at.is_some_and(|at| now.duration_since(at) >= SILENCE_LIMIT);
            if self.is_steady && is_silent {
                return Some(Due::Dead(Death::Silence));
            }
            if self.next_ping_at <= now {
                self.next_ping_at = now + self.ping_interval;
                self.pong_due_at.get_or_insert(now + self.ping_interval);
                return Some(Due::Ping);
            }
        }
        if self.next_join_at > now {
            return None;
        }
        let position = self.joins.iter().position(|join| !join.acknowledged && join.due_at <= now)?;
        let join = self.joins.get_mut(position)?;
        join.due_at = now + if join.sent == 0 { REJOIN_FIRST } else { REJOIN_NEXT };
        join.sent += 1;
        self.next_join_at = now + JOIN_PACE;
        Some(Due::Join(position))
    }

    /// When to ask [`Session::due`] again at the latest.
    #[must_use]
    pub fn next_due_at(&self, now: Instant) -> Instant {
        let joins_at = self
            .joins
            .iter()
            .filter(|join| !join.acknowledged)
            .map(|join| join.due_at.max(self.next_join_at));
        let ping_at = (!self.paused).then_some(self.next_ping_at);
        let answer_at = self.pong_due_at.filter(|_| !self.paused);
        let earliest = joins_at.chain(ping_at).chain(answer_at).fold(now + IDLE, Instant::min);
        earliest.max(now)
    }

    /// The topic at a position.
    #[must_use]
    pub fn topic(&self, position: usize) -> &str {
        self.joins.get(position).map_or("", |join| &join.topic)
    }

    /// How often a topic was joined in this session.
    #[must_use]
    pub fn times_sent(&self, position: usize) -> u32 {
        self.joins.get(position).map_or(0, |join| join.sent)
    }

    /// The feed acknowledged a join.
    pub fn acknowledge(&mut self, topic: &str) -> Acknowledged {
        match self.joins.iter_mut().find(|join| &*join.topic == topic) {
            None => Acknowledged::Unknown,
            Some(join) if join.acknowledged => Acknowledged::Again,
            Some(join) => {
                join.acknowledged = true;
                Acknowledged::Joined
            }
        }
    }

    /// The feed refused a join. Whether that counts: it is the first refusal since the join was sent last, and the join
    /// is not acknowledged. A join that was repeated although it had worked is refused too ("already joined").
    pub fn refuse(&mut self, topic: &str) -> bool {
        let Some(join) = self.joins.iter_mut().find(|join| &*join.topic == topic) else { return false };
        let counts = !join.acknowledged && join.refused < join.sent;
        join.refused = join.sent;
        counts
    }

    /// Whether every join is acknowledged.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joins.iter().all(|join| join.acknowledged)
    }

    /// An event came.
    pub fn event(&mut self, now: Instant) {
        self.last_event_at = Some(now);
    }

    /// A pong came.
    pub fn pong(&mut self) {
        self.pong_due_at = None;
    }

    /// The shell stops reading: what does not come now says nothing about the peer.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// The shell reads again: the checks begin anew.
    pub fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.paused) {
            self.pong_due_at = None;
            self.next_ping_at = now + self.ping_interval;
            self.last_event_at = self.last_event_at.map(|_| now);
        }
    }
}

/// The message that joins a topic.
#[must_use]
pub fn join_frame(topic: &str) -> String {
    serde_json::json!({ "channel": topic, "msg_type": "join" }).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING: Duration = Duration::from_secs(20);

    fn session(topics: &[&'static str], now: Instant) -> Session {
        Session::new(topics.iter().copied(), true, PING, now)
    }

    fn all_due(session: &mut Session, now: Instant) -> Vec<Due> {
        std::iter::from_fn(|| session.due(now, true)).take(100).collect()
    }

    #[test]
    fn joins_are_paced_and_repeated_until_they_are_acknowledged() {
        let start = Instant::now();
        let mut session = session(&["a", "b"], start);
        assert_eq!(all_due(&mut session, start), [Due::Join(0)]);
        assert_eq!(session.next_due_at(start), start + JOIN_PACE);
        assert_eq!(all_due(&mut session, start + JOIN_PACE), [Due::Join(1)]);
        assert_eq!(session.acknowledge("a"), Acknowledged::Joined);
        assert_eq!(session.acknowledge("a"), Acknowledged::Again);
        assert_eq!(session.acknowledge("c"), Acknowledged::Unknown);
        assert!(!session.is_joined());

        session.pong();
        let again = start + JOIN_PACE + REJOIN_FIRST;
        assert_eq!(session.due(again.checked_sub(Duration::from_millis(1)).unwrap(), true), Some(Due::Ping));
        session.pong();
        assert_eq!(all_due(&mut session, again), [Due::Join(1)]);
        assert!(!all_due(&mut session, again + REJOIN_FIRST).contains(&Due::Join(1)));
        session.pong();
        assert!(all_due(&mut session, again + REJOIN_NEXT).contains(&Due::Join(1)));
        session.acknowledge("b");
        assert!(session.is_joined());
    }

    #[test]
    fn a_refusal_counts_once_for_each_time_the_join_was_sent_and_never_after_its_acknowledgement() {
        let start = Instant::now();
        let mut session = session(&["a", "b"], start);
        assert!(!session.refuse("a"), "not sent yet");
        assert_eq!(session.due(start, true), Some(Due::Join(0)));
        assert!(session.refuse("a"));
        assert!(!session.refuse("a") && !session.refuse("c"));
        session.pong();
        assert!(all_due(&mut session, start + REJOIN_FIRST).contains(&Due::Join(0)));
        assert!(session.refuse("a"));
        session.pong();
        assert!(all_due(&mut session, start + REJOIN_FIRST + REJOIN_NEXT).contains(&Due::Join(0)));
        session.acknowledge("a");
        assert!(!session.refuse("a"));
    }

    #[test]
    fn a_ping_without_a_pong_within_one_interval_is_death() {
        let start = Instant::now();
        let mut session = session(&[], start);
        assert_eq!(all_due(&mut session, start + PING), [Due::Ping]);
        session.pong();
        assert_eq!(all_due(&mut session, start + 2 * PING), [Due::Ping]);
        assert_eq!(session.due(start + PING * 2 + PING.mul_f64(0.99), true), None);
        assert_eq!(session.due(start + 3 * PING, true), Some(Due::Dead(Death::NoPong)));
    }

    #[test]
    fn silence_is_death_only_in_market_hours_after_an_event_and_on_a_steady_socket() {
        let start = Instant::now();
        let later = start + SILENCE_LIMIT;
        let dead = Some(Due::Dead(Death::Silence));
        let due_of = |is_steady: bool, had_event: bool, open: bool| {
            let mut session = Session::new([], is_steady, Duration::from_secs(1000), start);
            if had_event {
                session.event(start);
            }
            session.due(later, open)
        };
        assert_eq!(due_of(true, true, true), dead);
        assert_eq!(due_of(false, true, true), None);
        assert_eq!(due_of(true, false, true), None);
        assert_eq!(due_of(true, true, false), None);
    }

    #[test]
    fn the_silence_of_the_night_is_not_held_against_the_open() {
        let start = Instant::now();
        let mut session = Session::new([], true, Duration::from_secs(1_000_000), start);
        session.event(start);
        let open = start + Duration::from_secs(17 * 3600);
        assert_eq!(session.due(open, false), None);
        assert_eq!(session.due(open + Duration::from_secs(1), true), None);
        assert_eq!(session.due(open + SILENCE_LIMIT, true), Some(Due::Dead(Death::Silence)));
    }

    #[test]
    fn a_pause_rests_the_checks_and_a_resume_begins_them_anew() {
        let start = Instant::now();
        let mut session = session(&[], start);
        session.event(start);
        assert_eq!(all_due(&mut session, start + PING), [Due::Ping]);
        session.pause();
        let much_later = start + 100 * PING;
        assert_eq!(all_due(&mut session, much_later), []);
        session.resume(much_later);
        assert_eq!(all_due(&mut session, much_later), []);
        assert_eq!(all_due(&mut session, much_later + PING), [Due::Ping]);
    }

    proptest! {
        #[test]
        fn asking_when_told_to_never_misses_and_never_spins(
            steps in proptest::collection::vec((0_u64..90_000, any::<bool>(), any::<bool>()), 1..60)
        ) {
            let mut now = Instant::now();
            let mut session = session(&["a", "b", "c"], now);
            for (wait_ms, pong, ack) in steps {
                let next = session.next_due_at(now);
                prop_assert!(next <= now + IDLE);
                now = next.max(now + Duration::from_millis(wait_ms.min(1000)));
                let due = all_due(&mut session, now);
                prop_assert!(due.len() < 10 || due.contains(&Due::Dead(Death::NoPong)));
                if due.iter().any(|due| matches!(due, Due::Dead(_))) { break; }
                if pong { session.pong(); }
                if ack { session.acknowledge("b"); }
            }
        }
    }
}
