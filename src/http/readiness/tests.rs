use uw_websocket_core::event::{Channel, Topic};

use super::*;
use std::sync::Arc;

fn ready() -> Observations {
    let topics = [Channel::parse("flow-alerts").unwrap(), Channel::parse("news").unwrap()]
        .map(|channel| Topic { channel, symbol: None });
    let plan = [("flow", &topics[..])];
    let observations = Observations::new(
        "test".to_owned(),
        "0",
        &[Channel::parse("flow-alerts").unwrap()],
        &plan,
        1,
        Arc::default(),
    );
    observations.connections[0].state.set(ConnectionState::Live);
    lock(&observations.connections[0].joins).iter_mut().for_each(|join| join.acknowledged = true);
    observations.writers[0].redis_up.store(true, Relaxed);
    observations.lease.state.set(LeaseState::Held);
    observations
}

fn only_reason(observations: &Observations) -> (ReasonCode, String, String) {
    let mut reasons = readiness(observations, Instant::now());
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let reason = reasons.remove(0);
    (reason.code, reason.subject, reason.detail)
}

#[test]
fn ready_when_nothing_is_missing() {
    assert_eq!(readiness(&ready(), Instant::now()), []);
}

#[test]
fn a_blocked_connection_keeps_its_joins() {
    let observations = ready();
    observations.connections[0].state.set(ConnectionState::Blocked);
    assert_eq!(readiness(&observations, Instant::now()), []);
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
    let reasons = readiness(&observations, Instant::now());
    let summary: Vec<_> = reasons.iter().map(|r| (r.code, &*r.subject, &*r.detail)).collect();
    assert_eq!(
        summary,
        [
            (ReasonCode::Join, "flow-alerts", "not acknowledged on connection flow"),
            (ReasonCode::JoinRefused, "news", "refused on connection flow: unknown channel"),
        ]
    );
}

#[test]
fn joins_not_yet_sent_are_missing() {
    let observations = ready();
    lock(&observations.connections[0].joins).pop();
    let expected = (ReasonCode::Join, "flow".to_owned(), "1 of 2 joins sent".to_owned());
    assert_eq!(only_reason(&observations), expected);
}

#[test]
fn a_closed_connection_is_one_reason_whatever_its_joins() {
    let observations = ready();
    observations.connections[0].state.set(ConnectionState::Waiting);
    *lock(&observations.connections[0].last_error) = Some("401 from the feed".to_owned());
    let detail = "waiting, after: 401 from the feed".to_owned();
    assert_eq!(only_reason(&observations), (ReasonCode::Connection, "flow".to_owned(), detail));
}

#[test]
fn redis_is_missing_per_shard() {
    let observations = ready();
    observations.writers[0].redis_up.store(false, Relaxed);
    let detail = "Redis has taken no write yet".to_owned();
    assert_eq!(only_reason(&observations), (ReasonCode::Redis, "shard 0".to_owned(), detail));
}

#[test]
fn a_failing_disk_is_a_reason_of_its_shard() {
    let observations = ready();
    *lock(&observations.writers[0].spool_fault) = Some("No space left on device".to_owned());
    let detail = "the disk takes no events: No space left on device".to_owned();
    assert_eq!(only_reason(&observations), (ReasonCode::Spool, "shard 0".to_owned(), detail));
    *lock(&observations.writers[0].spool_fault) = None;
    assert_eq!(readiness(&observations, Instant::now()), []);
}

#[test]
fn a_standby_has_no_other_reason() {
    let observations = ready();
    observations.connections[0].state.set(ConnectionState::Waiting);
    observations.writers[0].redis_up.store(false, Relaxed);
    observations.lease.state.set(LeaseState::Standby);
    observations.lease.redis_up.store(true, Relaxed);
    *lock(&observations.lease.owner) = Some("host-1-2af0".to_owned());
    let detail = "standing by: host-1-2af0 holds the lease".to_owned();
    assert_eq!(only_reason(&observations), (ReasonCode::Standby, "lease".to_owned(), detail));
}

#[test]
fn a_standby_without_redis_says_so() {
    let observations = ready();
    observations.lease.state.set(LeaseState::Standby);
    let codes: Vec<_> = readiness(&observations, Instant::now()).iter().map(|reason| reason.code).collect();
    assert_eq!(codes, [ReasonCode::Standby, ReasonCode::Redis]);
}

#[test]
fn not_ready_while_an_actor_waits_for_its_restart() {
    let observations = ready();
    lock(&observations.restarting).insert("connection-flow".to_owned());
    let (code, subject, _) = only_reason(&observations);
    assert_eq!((code, &*subject), (ReasonCode::Restarting, "connection-flow"));
}

#[test]
fn not_ready_while_something_is_stuck() {
    let observations = ready();
    *lock(&observations.stuck) = vec!["data thread".to_owned()];
    let (code, _, detail) = only_reason(&observations);
    assert_eq!(code, ReasonCode::Stalled);
    assert!(detail.contains("data thread"), "{detail}");
}

#[test]
fn not_ready_until_the_lease_is_confirmed() {
    let observations = ready();
    observations.lease.state.set(LeaseState::Unconfirmed);
    assert_eq!(only_reason(&observations).0, ReasonCode::Lease);
}

#[test]
fn not_ready_while_stopping() {
    let observations = ready();
    observations.stopping.store(true, Relaxed);
    assert_eq!(only_reason(&observations).0, ReasonCode::Stopping);
}
