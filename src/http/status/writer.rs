//! A writer and its disk queue, as the status shows them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use uw_websocket_actors::observation::{Latency, SnapshotObservation, WriterObservation, lock};

use crate::http::history::Writing;
use crate::http::snapshot::{Snapshot, depth};

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
    /// How long connections waited for room in its inbox, all together.
    pub mailbox_wait_seconds: f64,
    /// Transactions that Redis took.
    pub transactions: u64,
    /// Events in them.
    pub events: u64,
    /// Events that Redis took a second, in the last whole step.
    pub rate_per_second: Option<f64>,
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
    /// The hashes that it keeps fresh.
    pub snapshots: SnapshotStatus,
}

/// The hashes that a writer keeps fresh.
#[derive(Debug, Serialize)]
pub struct SnapshotStatus {
    /// Writes by the kind of hash; of maps, cells.
    pub writes: BTreeMap<&'static str, u64>,
    /// Bodies that were written because somebody else had written older rows.
    pub healed: u64,
    /// What did not go straight, by its kind.
    pub troubles: BTreeMap<&'static str, u64>,
    /// Memory of what waits to be written.
    pub pending_bytes: u64,
    /// Memory of the bodies that are held.
    pub held_bytes: u64,
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
    /// Events that were appended to it.
    pub appended: u64,
    /// Half of them were on disk at most this long after their frame was read.
    pub append_p50_seconds: Option<f64>,
    /// So were 99 % of them. `null` also above the greatest bound of the histogram, 120 s.
    pub append_p99_seconds: Option<f64>,
    /// In how many seconds it is empty, if it goes on shrinking as in the last whole step; `null` while it does not.
    pub drain_seconds: Option<f64>,
    /// Why the disk does not take appends.
    pub error: Option<String>,
}

impl WriterStatus {
    pub(super) fn of(
        shard: usize,
        writer: &WriterObservation,
        writing: Option<Writing>,
        snapshot: &Snapshot<'_>,
    ) -> WriterStatus {
        let (transactions, events) = (writer.transactions.get(), writer.events.get());
        WriterStatus {
            shard,
            state: writer.state.get().label(),
            redis_up: writer.redis_up.load(Relaxed),
            batches_waiting: depth(&writer.batches_in, &writer.batches_out),
            bytes_waiting: depth(&writer.bytes_in, &writer.bytes_out),
            mailbox_wait_seconds: writer.mailbox_wait_us.get() as f64 / 1e6,
            transactions,
            events,
            rate_per_second: writing.map(|writing| writing.rate),
            events_per_transaction: (transactions > 0).then(|| events as f64 / transactions as f64),
            retries: writer.retries.get(),
            unknown_outcomes: writer.unknown_outcomes.get(),
            latency_p50_seconds: quantile(&writer.latency, 0.5),
            latency_p99_seconds: quantile(&writer.latency, 0.99),
            last_error: lock(&writer.last_error).clone(),
            spool: SpoolStatus::of(writer, writing, snapshot),
            snapshots: SnapshotStatus::of(&writer.snapshots),
        }
    }
}

impl SnapshotStatus {
    fn of(snapshots: &SnapshotObservation) -> SnapshotStatus {
        SnapshotStatus {
            writes: BTreeMap::from(snapshots.writes()),
            healed: snapshots.healed.get(),
            troubles: BTreeMap::from(snapshots.troubles()),
            pending_bytes: snapshots.pending_bytes.get(),
            held_bytes: snapshots.held_bytes.get(),
        }
    }
}

impl SpoolStatus {
    fn of(writer: &WriterObservation, writing: Option<Writing>, snapshot: &Snapshot<'_>) -> SpoolStatus {
        let events = writer.spool_events.get();
        let drained = writing.map(|writing| writing.drained).filter(|drained| *drained > 0.0);
        SpoolStatus {
            events,
            bytes: writer.spool_bytes.get(),
            oldest_seconds: writer.spool_oldest.get().map(|at| snapshot.seconds_since(at)),
            appended: writer.append_latency.count(),
            append_p50_seconds: quantile(&writer.append_latency, 0.5),
            append_p99_seconds: quantile(&writer.append_latency, 0.99),
            drain_seconds: drained.filter(|_| events > 0).map(|drained| events as f64 / drained),
            error: lock(&writer.spool_fault).clone(),
        }
    }
}

/// JSON has no infinity: a quantile above every bound is none.
fn quantile(latency: &Latency, q: f64) -> Option<f64> {
    latency.quantile(q).filter(|bound| bound.is_finite())
}
