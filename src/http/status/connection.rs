//! The connections in the status.

use serde::Serialize;
use uw_websocket_actors::observation::{ConnectionObservation, JoinObservation};
use uw_websocket_actors::sync::lock;

use crate::http::snapshot::Snapshot;

/// A connection.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionStatus<'s> {
    #[serde(flatten)]
    connection: &'s ConnectionObservation,
    /// Age of the current session.
    session_seconds: Option<f64>,
    /// Age of the latest frame of any kind.
    last_frame_age_seconds: Option<f64>,
    /// Age of the latest event of the current session.
    last_event_age_seconds: Option<f64>,
    /// Joins acknowledged in the current session.
    joined: usize,
    joins: Vec<JoinObservation>,
}

impl<'s> ConnectionStatus<'s> {
    pub(super) fn of(connection: &'s ConnectionObservation, snapshot: &Snapshot<'_>) -> ConnectionStatus<'s> {
        let joins = lock(&connection.joins).clone();
        ConnectionStatus {
            connection,
            session_seconds: snapshot.age(&connection.session_since),
            last_frame_age_seconds: snapshot.age(&connection.last_frame_at),
            last_event_age_seconds: snapshot.age(&connection.last_event_at),
            joined: joins.iter().filter(|join| join.acknowledged).count(),
            joins,
        }
    }
}
