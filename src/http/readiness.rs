//! Readiness: whether the service is fully working, and otherwise the reasons, for people and alerts.
//!
//! Each reason has a stable code for programs, the affected subject, the known details and advice.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde::{Serialize, Serializer};
use uw_websocket_actors::observation::{
    ConnectionObservation, ConnectionState, LeaseState, Observations, WriterObservation,
};
use uw_websocket_actors::sync::lock;
use uw_websocket_core::labelled;

use super::health::health;

/// Why the service is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The kind of reason.
    pub code: ReasonCode,
    /// The subject: a connection's name, a topic, a shard.
    pub subject: String,
    /// The known details.
    pub detail: String,
    /// The remedy.
    pub advice: &'static str,
}

labelled! {
    /// The kinds of reasons. The labels are stable: new ones may be added, none renamed.
    ReasonCode {
        /// The service is shutting down.
        Stopping = "stopping",
        /// The supervisor or an actor it watches makes no progress.
        Stalled = "stalled",
        /// An actor crashed and is waiting to be restarted.
        Restarting = "restarting",
        /// Another instance holds the lease.
        Standby = "standby",
        /// Redis has not confirmed that the lease is ours.
        Lease = "lease",
        /// A connection is not open.
        Connection = "connection",
        /// A join is not acknowledged.
        Join = "join",
        /// The feed refused a join.
        JoinRefused = "join_refused",
        /// Redis does not accept the writes of a shard or, in stand-by, does not answer.
        Redis = "redis",
        /// The disk does not accept the appends of a shard.
        Spool = "spool",
    }
}

impl ReasonCode {
    /// Returns the meaning, for the documentation.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            ReasonCode::Stopping => "the service is shutting down",
            ReasonCode::Stalled => "the supervisor or an actor it watches makes no progress",
            ReasonCode::Restarting => "an actor crashed and is waiting to be restarted",
            ReasonCode::Standby => "another instance is the owner",
            ReasonCode::Lease => "Redis has not confirmed that this instance is the owner",
            ReasonCode::Connection => "a connection is not open",
            ReasonCode::Join => "the feed has not acknowledged a join",
            ReasonCode::JoinRefused => "the feed refused a join",
            ReasonCode::Redis => "Redis takes no writes or, in stand-by, does not answer",
            ReasonCode::Spool => "the disk takes no events",
        }
    }

    /// Returns the remedy.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            ReasonCode::Stopping => {
                "nothing: the process manager that stopped it decides whether it restarts"
            }
            ReasonCode::Stalled => {
                "wait 30 s: the actor is replaced, or the process exits with code 70; then report it"
            }
            ReasonCode::Restarting => {
                "nothing: it restarts within 10 s; report the `actor crashed` log record, which states the cause"
            }
            ReasonCode::Standby => {
                "nothing: it takes over when the owner stops; to force a takeover, stop the owner"
            }
            ReasonCode::Lease => {
                "make sure that Redis is reachable; after a kill -9 the old lease expires within 15 s"
            }
            ReasonCode::Connection => {
                "nothing for a transient error: it reconnects automatically; on 401 or 403 check the token"
            }
            ReasonCode::Join => {
                "wait: it is retried after 30 s and then every minute; if it persists, join fewer channels per socket"
            }
            ReasonCode::JoinRefused => {
                "check the name of the channel, and that the token's subscription includes it"
            }
            ReasonCode::Redis => {
                "bring Redis back or resolve the error it reports; meanwhile events wait in the disk queue"
            }
            ReasonCode::Spool => {
                "free disk space or fix the permissions; meanwhile events bypass the disk through memory"
            }
        }
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// Returns the reasons why the service is not ready; none if every join is acknowledged, the lease is held, Redis and
/// the disk accept writes, and nothing is shutting down or stuck. In stand-by, joins and writers are not considered.
#[must_use]
pub fn readiness(observations: &Observations, now: Instant) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if observations.stopping.load(Relaxed) {
        reasons.push(Reason::new(ReasonCode::Stopping, "service", "the service is shutting down"));
    }
    if let Err(unhealthy) = health(observations, now) {
        reasons.push(Reason::new(ReasonCode::Stalled, "supervisor", unhealthy.to_string()));
    }
    for actor in &*lock(&observations.restarting) {
        reasons.push(Reason::new(ReasonCode::Restarting, actor, "crashed and is waiting to be restarted"));
    }
    match observations.lease.state.get() {
        LeaseState::Held => {}
        LeaseState::Unconfirmed => {
            let mut detail = "Redis has not confirmed that no other instance is the owner".to_owned();
            if let Some(error) = &*lock(&observations.lease.last_error) {
                detail.push_str(": ");
                detail.push_str(error);
            }
            reasons.push(Reason::new(ReasonCode::Lease, "lease", detail));
        }
        LeaseState::Standby => {
            let owner = lock(&observations.lease.owner).clone().unwrap_or_default();
            let detail = format!("standing by: {owner} holds the lease");
            reasons.push(Reason::new(ReasonCode::Standby, "lease", detail));
            if !observations.lease.redis_up.load(Relaxed) {
                let detail = "Redis does not answer, so the state of the owner is unknown";
                reasons.push(Reason::new(ReasonCode::Redis, "lease", detail));
            }
            return reasons;
        }
    }
    for connection in &observations.connections {
        connection_reasons(connection, &mut reasons);
    }
    for (shard, writer) in observations.writers.iter().enumerate() {
        reasons.extend(redis_reason(shard, writer));
        if let Some(error) = &*lock(&writer.snapshots.fault) {
            let detail = format!("Redis takes no hashes: {error}");
            reasons.push(Reason::new(ReasonCode::Redis, format!("snapshots of shard {shard}"), detail));
        }
        reasons.extend(spool_reason(shard, writer));
    }
    if let Some(error) = observations.gaps.fault() {
        reasons.push(Reason::new(ReasonCode::Redis, "ledger", format!("Redis takes no gaps: {error}")));
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
        reasons.push(Reason::new(ReasonCode::Connection, &connection.name, detail));
        return;
    }
    let joins = lock(&connection.joins);
    for join in joins.iter().filter(|join| !join.acknowledged) {
        let (kind, detail) = match &join.refused {
            Some(answer) => {
                (ReasonCode::JoinRefused, format!("refused on connection {}: {answer}", connection.name))
            }
            None => (ReasonCode::Join, format!("not acknowledged on connection {}", connection.name)),
        };
        reasons.push(Reason::new(kind, &join.topic, detail));
    }
    if joins.len() < connection.expected {
        let detail = format!("{} of {} joins sent", joins.len(), connection.expected);
        reasons.push(Reason::new(ReasonCode::Join, &connection.name, detail));
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
    Some(Reason::new(ReasonCode::Redis, format!("shard {shard}"), detail))
}

fn spool_reason(shard: usize, writer: &WriterObservation) -> Option<Reason> {
    let error = lock(&writer.spool_fault).clone()?;
    Some(Reason::new(
        ReasonCode::Spool,
        format!("shard {shard}"),
        format!("the disk takes no events: {error}"),
    ))
}

/// Returns whether joins can be acknowledged in this state. A blocked connection keeps its joins; the writer that
/// blocks it has its own reason.
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
    fn new(code: ReasonCode, subject: impl Into<String>, detail: impl Into<String>) -> Reason {
        Reason { code, subject: subject.into(), detail: detail.into(), advice: code.advice() }
    }
}

#[cfg(test)]
mod tests;
