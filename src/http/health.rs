//! Whether the service lives, and whether it does its work: two questions with different answers.
//!
//! Health asks for a restart of the process when it fails, so it looks at the supervisor alone: a feed or a Redis that
//! is away is not cured by a restart. Readiness tells people and alerts what is missing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;
use uw_websocket_actors::observation::{
    ConnectionObservation, ConnectionState, LeaseState, Observations, WriterObservation, lock,
};

/// How old the supervisor's last round may be. Rounds come once a second; a busy machine may delay a few of them.
pub const ROUND_AGE_LIMIT: Duration = Duration::from_secs(10);

/// The supervisor makes no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the supervisor has made no round for {} s, the limit is {} s", idle.as_secs(), ROUND_AGE_LIMIT.as_secs())]
pub struct Stalled {
    /// Since its last round or, before the first, since the start.
    pub idle: Duration,
}

/// Why the service is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What sort of thing is missing.
    pub kind: ReasonKind,
    /// Which one: a connection's name, a topic, a shard.
    pub subject: String,
    /// What is known about it, for people.
    pub detail: String,
}

/// What sort of thing is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// The service is ending.
    Stopping,
    /// Another instance holds the lease.
    Standby,
    /// Redis has not confirmed that the lease is ours.
    Lease,
    /// A connection has no open socket.
    Connection,
    /// A join is not acknowledged.
    Join,
    /// The feed refused a join.
    JoinRefused,
    /// Redis does not take the writes of a shard.
    Redis,
    /// The disk does not take the appends of a shard.
    Spool,
}

/// Whether the supervisor makes progress.
///
/// # Errors
/// Its last round is older than [`ROUND_AGE_LIMIT`].
pub fn health(observations: &Observations, now: Instant) -> Result<(), Stalled> {
    let idle = now.saturating_duration_since(*lock(&observations.supervisor_round_at));
    if idle > ROUND_AGE_LIMIT { Err(Stalled { idle }) } else { Ok(()) }
}

/// Why the service is not ready; empty when every join is acknowledged, the lease is held, Redis and the disk take writes
/// and nothing is ending. One that stands by has no other reason: it joins and writes nothing.
#[must_use]
pub fn readiness(observations: &Observations) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if observations.stopping.load(Relaxed) {
        reasons.push(Reason::new(ReasonKind::Stopping, "service", "the service is ending"));
    }
    match observations.lease.state.get() {
        LeaseState::Held => {}
        LeaseState::Unconfirmed => {
            let detail = "Redis has not confirmed that no other instance is the owner";
            reasons.push(Reason::new(ReasonKind::Lease, "lease", detail));
        }
        LeaseState::Standby => {
            let owner = lock(&observations.lease.owner).clone().unwrap_or_default();
            let detail = format!("standing by: {owner} holds the lease");
            reasons.push(Reason::new(ReasonKind::Standby, "lease", detail));
            return reasons;
        }
    }
    for connection in &observations.connections {
        connection_reasons(connection, &mut reasons);
    }
    for (shard, writer) in observations.writers.iter().enumerate() {
        reasons.extend(redis_reason(shard, writer));
        reasons.extend(spool_reason(shard, writer));
    }
    reasons
}

fn connection_reasons(connection: &ConnectionObservation, reasons: &mut Vec<Reason>) {
    let state = connection.state.get();
    if !is_open(state) {
        let detail = match &*lock(&connection.last_error) {
            Some(error) => format!("{state}, after: {error}"),
            None => state.to_string(),
        };
        reasons.push(Reason::new(ReasonKind::Connection, &connection.name, detail));
        return;
    }
    let joins = lock(&connection.joins);
    for join in joins.iter().filter(|join| !join.acknowledged) {
        let (kind, detail) = match &join.refused {
            Some(answer) => {
                (ReasonKind::JoinRefused, format!("refused on connection {}: {answer}", connection.name))
            }
            None => (ReasonKind::Join, format!("not acknowledged on connection {}", connection.name)),
        };
        reasons.push(Reason::new(kind, &join.topic, detail));
    }
    if joins.len() < connection.expected {
        let detail = format!("{} of {} joins sent", joins.len(), connection.expected);
        reasons.push(Reason::new(ReasonKind::Join, &connection.name, detail));
    }
}

fn redis_reason(shard: usize, writer: &WriterObservation) -> Option<Reason> {
    if writer.redis_up.load(Relaxed) {
        return None;
    }
    let detail = match &*lock(&writer.last_error) {
        Some(error) => format!("Redis takes no writes: {error}"),
        None => "Redis has taken no write yet".to_owned(),
    };
    Some(Reason::new(ReasonKind::Redis, format!("shard {shard}"), detail))
}

fn spool_reason(shard: usize, writer: &WriterObservation) -> Option<Reason> {
    let error = lock(&writer.spool_fault).clone()?;
    Some(Reason::new(
        ReasonKind::Spool,
        format!("shard {shard}"),
        format!("the disk takes no events: {error}"),
    ))
}

/// Whether joins can stand in this state. A blocked connection has its joins; what blocks it is a writer's reason.
fn is_open(state: ConnectionState) -> bool {
    match state {
        ConnectionState::Joining | ConnectionState::Live | ConnectionState::Blocked => true,
        ConnectionState::Waiting
        | ConnectionState::Connecting
        | ConnectionState::Draining
        | ConnectionState::Stopped => false,
    }
}

// === impl Reason ===

impl Reason {
    fn new(kind: ReasonKind, subject: impl Into<String>, detail: impl Into<String>) -> Reason {
        Reason { kind, subject: subject.into(), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use uw_websocket_actors::event::{Channel, Topic};

    fn ready() -> Observations {
        let topics = [Channel::FlowAlerts, Channel::News].map(|channel| Topic { channel, symbol: None });
        let plan = [("flow", &topics[..])];
        let observations =
            Observations::new("test".to_owned(), "0", &[Channel::FlowAlerts], &plan, 1, Arc::default());
        observations.connections[0].state.set(ConnectionState::Live);
        lock(&observations.connections[0].joins).iter_mut().for_each(|join| join.acknowledged = true);
        observations.writers[0].redis_up.store(true, Relaxed);
        observations.lease.state.set(LeaseState::Held);
        observations
    }

    fn only_reason(observations: &Observations) -> (ReasonKind, String, String) {
        let mut reasons = readiness(observations);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        let reason = reasons.remove(0);
        (reason.kind, reason.subject, reason.detail)
    }

    #[test]
    fn healthy_while_rounds_are_young() {
        let observations = ready();
        let round = Instant::now();
        *lock(&observations.supervisor_round_at) = round;
        assert_eq!(health(&observations, round + Duration::from_secs(10)), Ok(()));
        let stalled = health(&observations, round + Duration::from_secs(11)).unwrap_err();
        assert_eq!(stalled.idle, Duration::from_secs(11));
        assert_eq!(stalled.to_string(), "the supervisor has made no round for 11 s, the limit is 10 s");
    }

    #[test]
    fn before_the_first_round_the_start_counts() {
        let before = Instant::now();
        let observations = ready();
        assert_eq!(health(&observations, before + ROUND_AGE_LIMIT), Ok(()));
        let after = Instant::now() + ROUND_AGE_LIMIT + Duration::from_secs(1);
        assert!(health(&observations, after).is_err());
    }

    #[test]
    fn ready_when_nothing_is_missing() {
        assert_eq!(readiness(&ready()), []);
    }

    #[test]
    fn a_blocked_connection_keeps_its_joins() {
        let observations = ready();
        observations.connections[0].state.set(ConnectionState::Blocked);
        assert_eq!(readiness(&observations), []);
    }

    #[test]
    fn each_missing_join_is_named() {
        let observations = ready();
        {
            let mut joins = lock(&observations.connections[0].joins);
            joins[0].acknowledged = false;
            joins[1].acknowledged = false;
            joins[1].refused = Some("unknown channel".to_owned());
        }
        let reasons = readiness(&observations);
        let summary: Vec<_> = reasons.iter().map(|r| (r.kind, &*r.subject, &*r.detail)).collect();
        assert_eq!(
            summary,
            [
                (ReasonKind::Join, "flow-alerts", "not acknowledged on connection flow"),
                (ReasonKind::JoinRefused, "news", "refused on connection flow: unknown channel"),
            ]
        );
    }

    #[test]
    fn joins_not_yet_sent_are_missing() {
        let observations = ready();
        lock(&observations.connections[0].joins).pop();
        let expected = (ReasonKind::Join, "flow".to_owned(), "1 of 2 joins sent".to_owned());
        assert_eq!(only_reason(&observations), expected);
    }

    #[test]
    fn a_closed_connection_is_one_reason_whatever_its_joins() {
        let observations = ready();
        observations.connections[0].state.set(ConnectionState::Waiting);
        *lock(&observations.connections[0].last_error) = Some("401 from the feed".to_owned());
        let detail = "waiting, after: 401 from the feed".to_owned();
        assert_eq!(only_reason(&observations), (ReasonKind::Connection, "flow".to_owned(), detail));
    }

    #[test]
    fn redis_is_missing_per_shard() {
        let observations = ready();
        observations.writers[0].redis_up.store(false, Relaxed);
        let detail = "Redis has taken no write yet".to_owned();
        assert_eq!(only_reason(&observations), (ReasonKind::Redis, "shard 0".to_owned(), detail));
    }

    #[test]
    fn a_failing_disk_is_a_reason_of_its_shard() {
        let observations = ready();
        *lock(&observations.writers[0].spool_fault) = Some("No space left on device".to_owned());
        let detail = "the disk takes no events: No space left on device".to_owned();
        assert_eq!(only_reason(&observations), (ReasonKind::Spool, "shard 0".to_owned(), detail));
        *lock(&observations.writers[0].spool_fault) = None;
        assert_eq!(readiness(&observations), []);
    }

    #[test]
    fn a_standby_has_no_other_reason() {
        let observations = ready();
        observations.connections[0].state.set(ConnectionState::Waiting);
        observations.writers[0].redis_up.store(false, Relaxed);
        observations.lease.state.set(LeaseState::Standby);
        *lock(&observations.lease.owner) = Some("host-1-2af0".to_owned());
        let detail = "standing by: host-1-2af0 holds the lease".to_owned();
        assert_eq!(only_reason(&observations), (ReasonKind::Standby, "lease".to_owned(), detail));
    }

    #[test]
    fn not_ready_until_the_lease_is_confirmed() {
        let observations = ready();
        observations.lease.state.set(LeaseState::Unconfirmed);
        assert_eq!(only_reason(&observations).0, ReasonKind::Lease);
    }

    #[test]
    fn not_ready_while_stopping() {
        let observations = ready();
        observations.stopping.store(true, Relaxed);
        assert_eq!(only_reason(&observations).0, ReasonKind::Stopping);
    }
}
