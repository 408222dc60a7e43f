//! State machine of one open socket: schedules joins, pings and checks, and interprets answers.
//!
//! Knows neither socket nor clock: the listener passes the time and carries out what is [`Due`].
//!
//! * **Joins** are sent one by one, [`JOIN_PACE`] apart; an unanswered one is repeated after [`REJOIN_FIRST`] and
//!   then every [`REJOIN_NEXT`]. A refused join is repeated at the same pace: a plan can be upgraded.
//! * **Pings** are sent once per interval; no pong within the next interval means a dead peer.
//! * While the listener does not read (its writer has no room) the check for pongs is suspended.
//!
//! Silence is the matter of [`super::silence`].

use std::time::{Duration, Instant};

/// Interval between two joins: no rate limit is documented; production clients use the same.
pub const JOIN_PACE: Duration = Duration::from_millis(10);
/// Delay before the first repetition of an unanswered join. Answers take some 50 ms.
pub const REJOIN_FIRST: Duration = Duration::from_secs(30);
/// Delay between later repetitions.
pub const REJOIN_NEXT: Duration = Duration::from_secs(60);
/// Maximum wait of the listener, so that it proves progress.
const IDLE: Duration = Duration::from_secs(1);

/// A task of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send the join of the topic at this index.
    Join(usize),
    /// Send a ping.
    Ping,
    /// The peer is dead, as no pong came within the interval of a ping: close and reconnect.
    Dead,
}

/// The effect of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The first acknowledgement of the join.
    Joined,
    /// A repeated acknowledgement.
    Again,
    /// The topic is not joined here.
    Unknown,
}

/// The session of one open socket.
#[derive(Debug)]
pub struct FeedSession {
    joins: Vec<Join>,
    next_join_at: Instant,
    ping_interval: Duration,
    next_ping_at: Instant,
    pong_due_at: Option<Instant>,
    paused: bool,
}

#[derive(Debug)]
struct Join {
    topic: Box<str>,
    acknowledged: bool,
    /// Time of the next send.
    due_at: Instant,
    sent: u32,
    /// Value of `sent` at the last refusal.
    refused: u32,
}

impl FeedSession {
    /// Creates the session of a newly opened socket, with topics in join order.
    #[must_use]
    pub fn new<'t>(
        topics: impl IntoIterator<Item = &'t str>,
        ping_interval: Duration,
        now: Instant,
    ) -> FeedSession {
        let join =
            |topic: &str| Join { topic: topic.into(), acknowledged: false, due_at: now, sent: 0, refused: 0 };
        FeedSession {
            joins: topics.into_iter().map(join).collect(),
            next_join_at: now,
            ping_interval,
            next_ping_at: now + ping_interval,
            pong_due_at: None,
            paused: false,
        }
    }

    /// Returns the next task due at `now` and marks it done; call again until `None`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if !self.paused {
            if self.pong_due_at.is_some_and(|at| at <= now) {
                return Some(Due::Dead);
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

    /// Returns the latest time for the next call of [`FeedSession::due`].
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

    /// Returns the topic at an index; empty if out of range.
    #[must_use]
    pub fn topic(&self, position: usize) -> &str {
        self.joins.get(position).map_or("", |join| &join.topic)
    }

    /// Returns how often a topic's join was sent in this session.
    #[must_use]
    pub fn times_sent(&self, position: usize) -> u32 {
        self.joins.get(position).map_or(0, |join| join.sent)
    }

    /// Records the acknowledgement of a join.
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

    /// Records the refusal of a join; returns whether it counts: the first refusal since the last send, of a join
    /// not acknowledged. Repeating a join that had succeeded is refused too ("already joined").
    pub fn refuse(&mut self, topic: &str) -> bool {
        let Some(join) = self.joins.iter_mut().find(|join| &*join.topic == topic) else { return false };
        let counts = !join.acknowledged && join.refused < join.sent;
        join.refused = join.sent;
        counts
    }

    /// Whether all joins are acknowledged.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joins.iter().all(|join| join.acknowledged)
    }

    /// Records a pong.
    pub fn pong(&mut self) {
        self.pong_due_at = None;
    }

    /// Suspends the checks while the listener does not read: missing data proves nothing about the peer.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Restarts the checks when the listener reads again.
    pub fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.paused) {
            self.pong_due_at = None;
            self.next_ping_at = now + self.ping_interval;
        }
    }
}

/// Returns the message that joins a topic.
#[must_use]
pub fn join_frame(topic: &str) -> String {
    serde_json::json!({ "channel": topic, "msg_type": "join" }).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING: Duration = Duration::from_secs(20);

    fn session(topics: &[&'static str], now: Instant) -> FeedSession {
        FeedSession::new(topics.iter().copied(), PING, now)
    }

    fn all_due(session: &mut FeedSession, now: Instant) -> Vec<Due> {
        std::iter::from_fn(|| session.due(now)).take(100).collect()
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
        assert_eq!(session.due(again.checked_sub(Duration::from_millis(1)).unwrap()), Some(Due::Ping));
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
        assert_eq!(session.due(start), Some(Due::Join(0)));
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
        assert_eq!(session.due(start + PING * 2 + PING.mul_f64(0.99)), None);
        assert_eq!(session.due(start + 3 * PING), Some(Due::Dead));
    }

    #[test]
    fn a_pause_rests_the_checks_and_a_resume_begins_them_anew() {
        let start = Instant::now();
        let mut session = session(&[], start);
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
                prop_assert!(due.len() < 10 || due.contains(&Due::Dead));
                if due.iter().any(|due| matches!(due, Due::Dead)) { break; }
                if pong { session.pong(); }
                if ack { session.acknowledge("b"); }
            }
        }
    }
}
