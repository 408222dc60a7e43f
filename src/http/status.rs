//! The status served at `/api/status`.
//!
//! Names and meanings of the fields are stable: fields may be added, not renamed. Times are ISO 8601 in UTC, durations
//! are seconds, and anything unknown or not yet occurred is `null`.

mod parts;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde::Serialize;
use uw_websocket_actors::observation::{
    ChannelObservation, LeaseState, MasterObservation, Observations, RedisFacts,
};
use uw_websocket_actors::sync::lock;
use uw_websocket_core::calendar::{self, Products};
use uw_websocket_core::time::iso_utc;

use self::parts::{ArchiveStatus, ChannelStatus, ConnectionStatus, WriterStatus, totals};
use super::health::health;
use super::history::{History, STEP};
use super::last_minute::LastMinute;
use super::readiness::{Reason, readiness};
use super::snapshot::{Snapshot, resident_bytes};

/// The service.
#[derive(Debug, Serialize)]
pub(super) struct Status<'s> {
    #[serde(flatten)]
    service: &'s Observations,
    /// Time of this status.
    now: String,
    uptime_seconds: Option<f64>,
    state: ServiceState,
    /// Whether `/readyz` returns 200.
    ready: bool,
    /// The reasons if not ready.
    reasons: Vec<Reason>,
    /// The same as in `redis`.
    redis_up: bool,
    redis: RedisStatus<'s>,
    market: MarketStatus,
    totals: BTreeMap<&'static str, u64>,
    /// Whether the counts of every channel balance.
    conserved: bool,
    /// The length of a step of the rates.
    history_step_seconds: u64,
    /// Time of the latest event of any channel.
    last_event_at: Option<String>,
    connections: Vec<ConnectionStatus<'s>>,
    /// The configured channels.
    channels: Vec<ChannelStatus<'s>>,
    /// The writers, one per shard.
    writers: Vec<WriterStatus<'s>>,
    /// The archive; `null` without one.
    archive: Option<ArchiveStatus<'s>>,
    /// Resident memory of the process.
    resident_bytes: Option<u64>,
}

/// A summary of the service's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ServiceState {
    /// Everything is joined, and Redis accepts writes.
    Ready,
    /// Something is missing, and the service is recovering.
    NotReady,
    /// The supervisor or an actor it watches makes no progress.
    Stalled,
    /// The service is shutting down.
    Stopping,
    /// Another instance holds the lease; this one stands by.
    Standby,
}

/// Redis itself, as of some seconds ago; facts that it does not report are `null`.
#[derive(Debug, Serialize)]
struct RedisStatus<'s> {
    /// Whether it accepts the writes of every shard; in stand-by, whether it answers.
    up: bool,
    #[serde(flatten)]
    facts: RedisFacts,
    /// The master, and the Sentinels that name it.
    master: &'s MasterObservation,
    /// Memory that the settings may require; `null` if unbounded.
    forecast_bytes: Option<u64>,
}

/// The exchange, according to its calendar: regular sessions only.
#[derive(Debug, Serialize)]
struct MarketStatus {
    /// `open`, `holiday` on a weekday without a session, else `closed`.
    state: &'static str,
    /// Time of the next change of state.
    until: Option<String>,
    /// Whether any product that is joined trades, also in extended hours.
    trading: bool,
    /// Time at which that changes.
    trading_changes: Option<String>,
}

impl<'s> Status<'s> {
    /// Derives the status from the snapshot.
    pub(super) fn of(snapshot: &'s Snapshot<'_>, history: &History, latencies: &LastMinute) -> Status<'s> {
        let observations = snapshot.observations;
        let reasons = readiness(observations, Instant::now());
        let redis_up = observations.redis_up();
        let newest = snapshot.channels.iter().filter_map(|channel| channel.last_event_at.get()).max();
        let connection = |connection| ConnectionStatus::of(connection, snapshot);
        let channel = |(n, counts)| ChannelStatus::of(counts, history.rates(n), snapshot);
        let writer = |(n, writer)| {
            WriterStatus::of(n, writer, history.writing(n), &latencies.latencies(n, writer), snapshot)
        };
        Status {
            service: observations,
            now: iso_utc(snapshot.now),
            uptime_seconds: snapshot.age(&observations.started_at),
            state: ServiceState::of(observations, reasons.is_empty()),
            ready: reasons.is_empty(),
            reasons,
            redis_up,
            redis: RedisStatus {
                up: redis_up,
                facts: lock(&observations.redis.facts).clone(),
                master: &observations.redis.master,
                forecast_bytes: observations.redis.forecast_bytes.get().copied(),
            },
            market: MarketStatus::at(snapshot.now / 1_000, &observations.products()),
            totals: totals(&snapshot.channels),
            conserved: snapshot.channels.iter().all(ChannelObservation::is_conserved),
            history_step_seconds: STEP.as_secs(),
            last_event_at: newest.map(iso_utc),
            connections: observations.connections.iter().map(connection).collect(),
            channels: snapshot.channels.iter().enumerate().map(channel).collect(),
            writers: observations.writers.iter().enumerate().map(writer).collect(),
            archive: ArchiveStatus::of(snapshot),
            resident_bytes: resident_bytes(),
        }
    }
}

impl MarketStatus {
    fn at(unix_ms: u64, products: &Products) -> MarketStatus {
        MarketStatus {
            trading: products.is_trading(unix_ms),
            trading_changes: products.next_change(unix_ms).map(|at| iso_utc(at * 1_000)),
            state: calendar::market_state(unix_ms).word(),
            until: calendar::market_state_until(unix_ms).map(|at| iso_utc(at * 1_000)),
        }
    }
}

impl ServiceState {
    fn of(observations: &Observations, ready: bool) -> ServiceState {
        if health(observations, Instant::now()).is_err() {
            ServiceState::Stalled
        } else if observations.stopping.load(Relaxed) {
            ServiceState::Stopping
        } else if observations.lease.state.get() == LeaseState::Standby {
            ServiceState::Standby
        } else if ready {
            ServiceState::Ready
        } else {
            ServiceState::NotReady
        }
    }
}
