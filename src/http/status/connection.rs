//! A connection, as the status shows it.

use serde::Serialize;
use uw_websocket_actors::observation::{ConnectionObservation, JoinObservation, lock};

use crate::http::snapshot::Snapshot;

/// A connection.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionStatus<'s> {
    #[serde(flatten)]
    connection: &'s ConnectionObservation,
    /// Age of the present session.
    session_seconds: Option<f64>,
    /// Age of the newest frame of any kind.
    last_frame_age_seconds: Option<f64>,
    /// Age of the newest event of the present session.
    last_event_age_seconds: Option<f64>,
    /// Joins acknowledged in the present session.
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
