//! Observations of a connection.

use std::sync::Mutex;

use serde::Serialize;
use uw_websocket_core::calendar::{Product, Products};
use uw_websocket_core::event::{Channel, Topic};
use uw_websocket_core::labelled;

use super::cells::{Count, Moment, StateCell, unlocked};
use super::metric::observed;
use crate::sync::lock;

labelled! {
    /// The state of a connection.
    ConnectionState {
        /// Waiting for the next attempt.
        Waiting = "waiting",
        /// Resolving, connecting, shaking hands.
        Connecting = "connecting",
        /// Open, with unacknowledged joins.
        Joining = "joining",
        /// Open, every join acknowledged.
        Live = "live",
        /// Open, but not reading because the writer has no room.
        Blocked = "blocked",
        /// Delivering the events already read, and closing.
        Draining = "draining",
        /// Ended.
        Stopped = "stopped",
    }
}

/// A join of a connection, as shown in the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinObservation {
    /// The topic.
    pub topic: String,
    /// Whether the feed acknowledged it in this session.
    pub acknowledged: bool,
    /// The feed's reply if it refused the join.
    pub refused: Option<String>,
}

observed! {
    /// One connection.
    #[derive(Debug, Default, Serialize)]
    pub struct ConnectionObservation {
        /// The name: the family, numbered if the family needs several connections.
        pub name: String,
        /// 1 for the current state of a connection, 0 for all others.
        pub state: StateCell<ConnectionState> = "uw_ws_connection_state" by "state",
        /// Handshakes attempted.
        pub attempts: Count = "uw_ws_connection_attempts_total",
        /// Handshakes accepted.
        pub accepted: Count = "uw_ws_connection_accepted_total",
        /// Handshakes refused with 401 or 403.
        pub refused: Count = "uw_ws_connection_refused_total",
        /// Unexpected disconnects.
        pub disconnects: Count = "uw_ws_connection_disconnects_total",
        /// Time of the next attempt while the connection waits for it.
        pub next_attempt_at: Moment,
        /// Time at which the current session was opened.
        #[serde(skip)]
        pub session_since: Moment,
        /// Time of the latest frame of any kind.
        #[serde(skip)]
        pub last_frame_at: Moment,
        /// Time of the latest event in the current session.
        #[serde(skip)]
        pub last_event_at: Moment,
        /// The products whose silence is significant while they trade.
        #[serde(skip)]
        pub watched: Products,
        /// The channels of the connection with their products, each once.
        #[serde(skip)]
        pub products: Vec<(Channel, Product)>,
        /// The channels of the connection; may contain repetitions.
        #[serde(skip)]
        pub channels: Vec<Channel>,
        /// Joins planned.
        pub expected: usize = "uw_ws_connection_joins_expected",
        /// The joins of the current session.
        #[serde(skip)]
        pub joins: Mutex<Vec<JoinObservation>>,
        /// Why the last session or attempt ended.
        #[serde(serialize_with = "unlocked")]
        pub last_error: Mutex<Option<String>>,
    }
}

/// Returns the products of topics whose events arrive every few seconds while they trade.
fn watched(topics: &[Topic]) -> Products {
    let steady = topics.iter().filter(|topic| topic.channel.family().is_steady());
    steady.map(Topic::product).collect()
}

fn products(topics: &[Topic]) -> Vec<(Channel, Product)> {
    let mut products: Vec<_> = topics.iter().map(|topic| (topic.channel.clone(), topic.product())).collect();
    products.sort_unstable();
    products.dedup();
    products
}

impl ConnectionObservation {
    pub(super) fn new(name: &str, topics: &[Topic]) -> ConnectionObservation {
        let join =
            |topic: &Topic| JoinObservation { topic: topic.to_string(), acknowledged: false, refused: None };
        ConnectionObservation {
            name: name.to_owned(),
            watched: watched(topics),
            products: products(topics),
            channels: topics.iter().map(|topic| topic.channel.clone()).collect(),
            expected: topics.len(),
            joins: Mutex::new(topics.iter().map(join).collect()),
            ..ConnectionObservation::default()
        }
    }

    /// Returns the number of joins acknowledged in the current session.
    #[must_use]
    pub fn joined(&self) -> usize {
        lock(&self.joins).iter().filter(|join| join.acknowledged).count()
    }

    /// Counts the beginning of an attempt; returns its number.
    pub fn attempt_begins(&self) -> u64 {
        self.attempts.add(1);
        self.state.set(ConnectionState::Connecting);
        self.attempts.get()
    }

    /// Notes that a handshake was accepted.
    pub fn session_begins(&self) {
        self.accepted.add(1);
        self.session_since.set_now();
        self.last_event_at.clear();
        *lock(&self.last_error) = None;
        for join in lock(&self.joins).iter_mut() {
            (join.acknowledged, join.refused) = (false, None);
        }
    }

    /// Notes that the session was lost.
    pub fn session_lost(&self, reason: &str) {
        self.disconnects.add(1);
        self.session_since.clear();
        for join in lock(&self.joins).iter_mut() {
            join.acknowledged = false;
        }
        *lock(&self.last_error) = Some(reason.to_owned());
    }

    /// Notes the feed's reply to a join; returns whether anything changed.
    pub fn note_join(&self, topic: &str, acknowledged: bool, refused: Option<String>) -> bool {
        let mut joins = lock(&self.joins);
        let Some(join) = joins.iter_mut().find(|join| join.topic == topic) else { return false };
        let is_news = join.acknowledged != acknowledged || join.refused != refused;
        (join.acknowledged, join.refused) = (acknowledged, refused);
        is_news
    }
}
