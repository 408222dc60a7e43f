//! The state of the service as `/api/status` shows it.
//!
//! Names and meanings of the fields are stable: fields may be added, not renamed. Times are ISO 8601 in UTC, spans are
//! seconds, and what is not known or has not happened is `null`.

mod channel;
mod connection;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde::Serialize;
use uw_websocket_actors::calendar;
use uw_websocket_actors::ledger::gap::{Gap, GapReason, OpenGap};
use uw_websocket_actors::ledger::observed::GapObservation;
use uw_websocket_actors::observation::{Distrust, LeaseState, Observations, RedisFacts, Rejection, lock};
use uw_websocket_actors::time::iso_utc;

pub use self::channel::{ChannelStatus, Totals};
pub use self::connection::ConnectionStatus;
pub use self::writer::{SpoolStatus, WriterStatus};
use super::health::health;
use super::history::{History, STEP};
use super::readiness::{Reason, readiness};
use super::snapshot::Snapshot;

/// The service.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    /// Names this process, as `instance` does in Redis.
    pub instance: &'a str,
    /// The service's version.
    pub version: &'a str,
    /// When this status was made.
    pub now: String,
    /// When the process started.
    pub started_at: Option<String>,
    /// How long the process runs.
    pub uptime_seconds: Option<f64>,
    /// All of it in a word.
    pub state: ServiceState,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<Reason>,
    /// Which of several instances is the owner.
    pub lease: LeaseStatus,
    /// Whether Redis takes the writes of every shard; in stand-by whether it answers.
    pub redis_up: bool,
    /// Redis itself.
    pub redis: RedisStatus,
    /// The exchange.
    pub market: MarketStatus,
    /// The counts of all channels together.
    pub totals: Totals,
    /// Whether the books of every channel balance.
    pub conserved: bool,
    /// The length of a step of the rates.
    pub history_step_seconds: u64,
    /// When the newest event of any channel came.
    pub last_event_at: Option<String>,
    /// The connections of the plan.
    pub connections: Vec<ConnectionStatus<'a>>,
    /// The channels of the settings.
    pub channels: Vec<ChannelStatus<'a>>,
    /// The writers, one a shard.
    pub writers: Vec<WriterStatus>,
    /// Starts of an actor after its first, by its name.
    pub restarts: BTreeMap<String, u64>,
    /// Frames that are no events, by kind.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Values from outside that were not taken as they were, by kind.
    pub distrusted: BTreeMap<&'static str, u64>,
    /// The gap ledger.
    pub gaps: GapStatus,
    /// Log records lost because the log could not keep up.
    pub log_records_dropped: u64,
    /// Resident memory of the process.
    pub resident_bytes: Option<u64>,
}

/// The state of the service in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Everything joined, Redis takes writes.
    Ready,
    /// Something is missing, and the service is at it.
    NotReady,
    /// The supervisor, or something that it watches, makes no progress.
    Stalled,
    /// The service is ending.
    Stopping,
    /// Another instance holds the lease; this one waits.
    Standby,
}

/// The lease.
#[derive(Debug, Serialize)]
pub struct LeaseStatus {
    /// What this instance is.
    pub state: &'static str,
    /// The owner that it stands by for.
    pub owner: Option<String>,
}

/// Redis itself, as it was some seconds ago; what it does not tell is `null`.
#[derive(Debug, Serialize)]
pub struct RedisStatus {
    /// Whether it takes the writes of every shard; in stand-by whether it answers.
    pub up: bool,
    /// Its version.
    pub version: Option<String>,
    /// The memory that it uses.
    pub used_bytes: Option<u64>,
    /// The most that it may use; `null` also when nothing limits it.
    pub max_bytes: Option<u64>,
    /// What it does at the limit.
    pub max_policy: Option<String>,
    /// What the settings can come to; `null` when they have no bound.
    pub forecast_bytes: Option<u64>,
}

/// The exchange, by its calendar: regular sessions only.
#[derive(Debug, Serialize)]
pub struct MarketStatus {
    /// `open`, `holiday` on a weekday without a session, else `closed`.
    pub state: &'static str,
    /// When the state next changes.
    pub until: Option<String>,
}

/// The gap ledger. A gap has the fields of its entry in Redis.
#[derive(Debug, Serialize)]
pub struct GapStatus {
    /// Gaps that are not in Redis yet.
    pub waiting: u64,
    /// Gaps recorded since the start of the process, by reason.
    pub total_by_reason: BTreeMap<&'static str, u64>,
    /// What is missing now.
    pub open: Vec<OpenGap>,
    /// The newest gaps, newest first.
    pub recent: Vec<Gap>,
}

// === impl Status ===

impl<'a> Status<'a> {
    /// The status at the moment of the snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot<'a>, history: &History) -> Status<'a> {
        let observations = snapshot.observations;
        let reasons = readiness(observations, Instant::now());
        let started_at = observations.started_at.get();
        let newest = snapshot.channels.iter().filter_map(|counts| counts.last_event_at).max();
        let rejected = |kind: &Rejection| (kind.label(), observations.rejected(*kind).get());
        let distrusted = |kind: &Distrust| (kind.label(), observations.distrusted(*kind).get());
        Status {
            instance: &observations.instance,
            version: observations.version,
            now: iso_utc(snapshot.now),
            started_at: started_at.map(iso_utc),
            uptime_seconds: started_at.map(|at| snapshot.seconds_since(at)),
            state: ServiceState::of(snapshot, reasons.is_empty()),
            ready: reasons.is_empty(),
            reasons,
            lease: LeaseStatus::of(observations),
            redis_up: observations.redis_up(),
            redis: RedisStatus::of(observations),
            market: MarketStatus::at(snapshot.now / 1_000),
            totals: Totals::of(&snapshot.channels),
            conserved: snapshot.channels.iter().all(channel::is_conserved),
            history_step_seconds: STEP.as_secs(),
            last_event_at: newest.map(iso_utc),
            connections: observations.connections.iter().map(|c| ConnectionStatus::of(c, snapshot)).collect(),
            channels: (0..)
                .zip(&snapshot.channels)
                .map(|(n, counts)| ChannelStatus::of(counts, history.rates(n), snapshot))
                .collect(),
            writers: (0..)
                .zip(&observations.writers)
                .map(|(n, writer)| WriterStatus::of(n, writer, history.writing(n), snapshot))
                .collect(),
            restarts: lock(&observations.restarts).clone(),
            rejected: Rejection::ALL.iter().map(rejected).collect(),
            distrusted: Distrust::ALL.iter().map(distrusted).collect(),
            gaps: GapStatus::of(&observations.gaps),
            log_records_dropped: observations.log_records_dropped.load(Relaxed),
            resident_bytes: snapshot.resident_bytes,
        }
    }
}

impl LeaseStatus {
    fn of(observations: &Observations) -> LeaseStatus {
        let lease = &observations.lease;
        LeaseStatus { state: lease.state.get().label(), owner: lock(&lease.owner).clone() }
    }
}

impl RedisStatus {
    fn of(observations: &Observations) -> RedisStatus {
        let RedisFacts { version, used_bytes, max_bytes, max_policy } =
            lock(&observations.redis.facts).clone();
        let forecast_bytes = observations.redis.forecast_bytes.get().copied();
        RedisStatus {
            up: observations.redis_up(),
            version,
            used_bytes,
            max_bytes,
            max_policy,
            forecast_bytes,
        }
    }
}

impl MarketStatus {
    fn at(unix_ms: u64) -> MarketStatus {
        MarketStatus {
            state: calendar::market_state(unix_ms).word(),
            until: calendar::market_state_until(unix_ms).map(|at| iso_utc(at * 1_000)),
        }
    }
}

impl GapStatus {
    fn of(gaps: &GapObservation) -> GapStatus {
        let recorded = |reason: &GapReason| (reason.label(), gaps.recorded(*reason).get());
        GapStatus {
            waiting: gaps.waiting(),
            total_by_reason: GapReason::ALL.iter().map(recorded).collect(),
            open: gaps.open(),
            recent: gaps.recent(),
        }
    }
}

impl ServiceState {
    fn of(snapshot: &Snapshot<'_>, ready: bool) -> ServiceState {
        if health(snapshot.observations, Instant::now()).is_err() {
            ServiceState::Stalled
        } else if snapshot.observations.stopping.load(Relaxed) {
            ServiceState::Stopping
        } else if snapshot.observations.lease.state.get() == LeaseState::Standby {
            ServiceState::Standby
        } else if ready {
            ServiceState::Ready
        } else {
            ServiceState::NotReady
        }
    }
}
