//! The state of the service as `/api/status` shows it.
//!
//! Names and meanings of the fields are stable: fields may be added, not renamed. Times are ISO 8601 in UTC, spans are
//! seconds, and what is not known or has not happened is `null`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use serde::Serialize;
use uw_websocket_actors::ledger::gap::{Gap, OpenGap};
use uw_websocket_actors::ledger::observed::GapObservation;
use uw_websocket_actors::observation::{
    ConnectionObservation, JoinObservation, LeaseState, Rejection, WriterObservation, lock,
};
use uw_websocket_actors::time::iso_utc;

use super::health::{Reason, health, readiness};
use super::snapshot::{ChannelCounts, Snapshot, depth};

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
    /// The supervisor makes no progress.
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

/// A channel: `received + recovered = stored + duplicate + filtered + quarantined + the sum of dropped + pending`.
#[derive(Debug, Serialize)]
pub struct ChannelStatus<'a> {
    /// Its name.
    pub channel: &'a str,
    /// Events read from the feed.
    pub received: u64,
    /// Events found in the disk queue at the start.
    pub recovered: u64,
    /// Events whose every entry Redis has taken.
    pub stored: u64,
    /// Events that equal one of those shortly before.
    pub duplicate: u64,
    /// Events that were for no target.
    pub filtered: u64,
    /// Events in the quarantine file.
    pub quarantined: u64,
    /// Events that were read and lost, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Events that came and have not ended yet.
    pub pending: u64,
    /// Payloads off the documented shape.
    pub drifted: u64,
    /// Whether the channel is silent far beyond its own cadence, in market hours.
    pub silent: bool,
    /// Age of the newest event.
    pub last_event_age_seconds: Option<f64>,
    /// Whether the equation holds, and every pending event is in memory or on disk; false says that an event was
    /// counted twice or not at all.
    pub conserved: bool,
}

/// A writer.
#[derive(Debug, Serialize)]
pub struct WriterStatus {
    /// The number of its shard.
    pub shard: usize,
    /// What it is doing.
    pub state: &'static str,
    /// Whether Redis took its last transaction or ping.
    pub redis_up: bool,
    /// Batches that wait or are being written.
    pub batches_waiting: u64,
    /// Payload bytes of these batches.
    pub bytes_waiting: u64,
    /// How long senders waited for room in its mailbox, all together.
    pub mailbox_wait_seconds: f64,
    /// Transactions that Redis took.
    pub transactions: u64,
    /// Events in them.
    pub events: u64,
    /// Events in a transaction, on average.
    pub events_per_transaction: Option<f64>,
    /// Transactions that failed and were tried again.
    pub retries: u64,
    /// Transactions whose outcome had to be looked up.
    pub unknown_outcomes: u64,
    /// Half of the events were stored at most this long after their frame was read.
    pub latency_p50_seconds: Option<f64>,
    /// So were 99 % of them. `null` also above the greatest bound of the histogram, 120 s.
    pub latency_p99_seconds: Option<f64>,
    /// Why Redis did not take the last transaction.
    pub last_error: Option<String>,
    /// Its disk queue.
    pub spool: SpoolStatus,
}

/// The disk queue of a writer.
#[derive(Debug, Serialize)]
pub struct SpoolStatus {
    /// Events that Redis has not taken.
    pub events: u64,
    /// What it takes on disk, with what is kept of the events that Redis has taken.
    pub bytes: u64,
    /// Age of the oldest of its events.
    pub oldest_seconds: Option<f64>,
    /// Why the disk does not take appends.
    pub error: Option<String>,
}

/// The gap ledger. A gap has the fields of its entry in Redis.
#[derive(Debug, Serialize)]
pub struct GapStatus {
    /// Gaps that are not in Redis yet.
    pub waiting: u64,
    /// What is missing now.
    pub open: Vec<OpenGap>,
    /// The newest gaps, newest first.
    pub recent: Vec<Gap>,
}

impl GapStatus {
    fn of(gaps: &GapObservation) -> GapStatus {
        GapStatus { waiting: gaps.waiting(), open: gaps.open(), recent: gaps.recent() }
    }
}

// === impl Status ===

impl<'a> Status<'a> {
    /// The status at the moment of the snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot<'a>) -> Status<'a> {
        let observations = snapshot.observations;
        let reasons = readiness(observations);
        let started_at = observations.started_at.get();
        Status {
            instance: &observations.instance,
            version: observations.version,
            now: iso_utc(snapshot.now),
            started_at: started_at.map(iso_utc),
            uptime_seconds: started_at.map(|at| snapshot.seconds_since(at)),
            state: ServiceState::of(snapshot, reasons.is_empty()),
            ready: reasons.is_empty(),
            reasons,
            lease: LeaseStatus {
                state: observations.lease.state.get().label(),
                owner: lock(&observations.lease.owner).clone(),
            },
            redis_up: observations.redis_up(),
            last_event_at: snapshot
                .channels
                .iter()
                .filter_map(|counts| counts.last_event_at)
                .max()
                .map(iso_utc),
            connections: observations.connections.iter().map(|c| ConnectionStatus::of(c, snapshot)).collect(),
            channels: snapshot.channels.iter().map(|counts| ChannelStatus::of(counts, snapshot)).collect(),
            writers: observations
                .writers
                .iter()
                .enumerate()
                .map(|(n, w)| WriterStatus::of(n, w, snapshot))
                .collect(),
            restarts: lock(&observations.restarts).clone(),
            rejected: Rejection::ALL
                .iter()
                .map(|kind| (kind.label(), observations.rejected(*kind).get()))
                .collect(),
            gaps: GapStatus::of(&observations.gaps),
            log_records_dropped: observations.log_records_dropped.load(Relaxed),
            resident_bytes: snapshot.resident_bytes,
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

impl<'a> ConnectionStatus<'a> {
    fn of(connection: &'a ConnectionObservation, snapshot: &Snapshot<'_>) -> ConnectionStatus<'a> {
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

impl<'a> ChannelStatus<'a> {
    fn of(counts: &ChannelCounts<'a>, snapshot: &Snapshot<'_>) -> ChannelStatus<'a> {
        ChannelStatus {
            channel: counts.channel,
            received: counts.received,
            recovered: counts.recovered,
            stored: counts.stored,
            duplicate: counts.duplicate,
            filtered: counts.filtered,
            quarantined: counts.quarantined,
            dropped: counts.dropped.iter().map(|(reason, events)| (reason.label(), *events)).collect(),
            pending: counts.pending,
            drifted: counts.drifted,
            silent: counts.silent,
            last_event_age_seconds: counts.last_event_at.map(|at| snapshot.seconds_since(at)),
            conserved: counts.conserved && counts.violations == 0,
        }
    }
}

impl WriterStatus {
    fn of(shard: usize, writer: &WriterObservation, snapshot: &Snapshot<'_>) -> WriterStatus {
        let (transactions, events) = (writer.transactions.get(), writer.events.get());
        let quantile = |q| writer.latency.quantile(q).filter(|bound| bound.is_finite()); // JSON has no infinity
        WriterStatus {
            shard,
            state: writer.state.get().label(),
            redis_up: writer.redis_up.load(Relaxed),
            batches_waiting: depth(&writer.batches_in, &writer.batches_out),
            bytes_waiting: depth(&writer.bytes_in, &writer.bytes_out),
            mailbox_wait_seconds: writer.mailbox_wait_us.get() as f64 / 1e6,
            transactions,
            events,
            events_per_transaction: (transactions > 0).then(|| events as f64 / transactions as f64),
            retries: writer.retries.get(),
            unknown_outcomes: writer.unknown_outcomes.get(),
            latency_p50_seconds: quantile(0.5),
            latency_p99_seconds: quantile(0.99),
            last_error: lock(&writer.last_error).clone(),
            spool: SpoolStatus::of(writer, snapshot),
        }
    }
}

impl SpoolStatus {
    fn of(writer: &WriterObservation, snapshot: &Snapshot<'_>) -> SpoolStatus {
        SpoolStatus {
            events: writer.spool_events.get(),
            bytes: writer.spool_bytes.get(),
            oldest_seconds: writer.spool_oldest.get().map(|at| snapshot.seconds_since(at)),
            error: lock(&writer.spool_fault).clone(),
        }
    }
}
