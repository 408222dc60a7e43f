//! A connection, as the status shows it.

use serde::Serialize;
use uw_websocket_actors::observation::{ConnectionObservation, JoinObservation, lock};

use crate::http::snapshot::Snapshot;

/// A connection.
#[derive(Debug, Serialize)]
pub struct ConnectionStatus<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is doing.
    pub state: &'static str,
    /// Handshakes tried.
    pub attempts: u64,
    /// Handshakes accepted.
    pub accepted: u64,
    /// Handshakes refused with 401 or 403.
    pub refused: u64,
    /// Sessions that ended without our wish.
    pub disconnects: u64,
    /// Age of the present session.
    pub session_seconds: Option<f64>,
    /// Age of the newest frame of any kind.
    pub last_frame_age_seconds: Option<f64>,
    /// Age of the newest event of the present session.
    pub last_event_age_seconds: Option<f64>,
    /// Joins acknowledged in the present session.
    pub joined: usize,
    /// Joins of the plan.
    pub expected: usize,
    /// The joins one by one.
    pub joins: Vec<JoinObservation>,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
}

impl<'a> ConnectionStatus<'a> {
    pub(super) fn of(connection: &'a ConnectionObservation, snapshot: &Snapshot<'_>) -> ConnectionStatus<'a> {
        let age = |at: Option<u64>| at.map(|at| snapshot.seconds_since(at));
        let joins = lock(&connection.joins).clone();
        ConnectionStatus {
            name: &connection.name,
            state: connection.state.get().label(),
            attempts: connection.attempts.get(),
            accepted: connection.accepted.get(),
            refused: connection.refused.get(),
            disconnects: connection.disconnects.get(),
            session_seconds: age(connection.session_since.get()),
            last_frame_age_seconds: age(connection.last_frame_at.get()),
            last_event_age_seconds: age(connection.last_event_at.get()),
            joined: joins.iter().filter(|join| join.acknowledged).count(),
            expected: connection.expected,
            joins,
            last_error: lock(&connection.last_error).clone(),
        }
    }
}
