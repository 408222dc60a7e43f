//! A writer and its disk queue, as the status shows them.

use serde::Serialize;
use uw_websocket_actors::observation::{Latency, WriterObservation, lock};

use crate::http::history::Writing;
use crate::http::snapshot::Snapshot;

/// A writer.
#[derive(Debug, Serialize)]
pub(super) struct WriterStatus<'s> {
    /// The number of its shard.
    shard: usize,
    #[serde(flatten)]
    writer: &'s WriterObservation,
    /// Batches that wait or are being written.
    batches_waiting: u64,
    /// Payload bytes of these batches.
    bytes_waiting: u64,
    /// Events that Redis took a second, in the last whole step.
    rate_per_second: Option<f64>,
    /// Events in a transaction, on average.
    events_per_transaction: Option<f64>,
    /// Half of the events were stored at most this long after their frame was read.
    latency_p50_seconds: Option<f64>,
    /// So were 99 % of them. `null` also above the greatest bound of the histogram, 120 s.
    latency_p99_seconds: Option<f64>,
    spool: SpoolStatus,
}

/// The disk queue of a writer.
#[derive(Debug, Serialize)]
struct SpoolStatus {
    /// Events that Redis has not taken.
    events: u64,
    /// What it takes on disk, with what is kept of the events that Redis has taken.
    bytes: u64,
    /// Age of the oldest of its events.
    oldest_seconds: Option<f64>,
    /// Events that were appended to it.
    appended: u64,
    /// Half of them were on disk at most this long after their frame was read.
    append_p50_seconds: Option<f64>,
    /// So were 99 % of them. `null` also above the greatest bound of the histogram, 120 s.
    append_p99_seconds: Option<f64>,
    /// In how many seconds it is empty, if it goes on shrinking as in the last whole step; `null` while it does not.
    drain_seconds: Option<f64>,
    /// Why the disk does not take appends.
    error: Option<String>,
}

impl<'s> WriterStatus<'s> {
    pub(super) fn of(
        shard: usize,
        writer: &'s WriterObservation,
        writing: Option<Writing>,
        snapshot: &Snapshot<'_>,
    ) -> WriterStatus<'s> {
        let (transactions, events) = (writer.transactions.get(), writer.events.get());
        WriterStatus {
            shard,
            writer,
            batches_waiting: writer.batches_waiting(),
            bytes_waiting: writer.bytes_waiting(),
            rate_per_second: writing.map(|writing| writing.rate),
            events_per_transaction: (transactions > 0).then(|| events as f64 / transactions as f64),
            latency_p50_seconds: quantile(&writer.latency, 0.5),
            latency_p99_seconds: quantile(&writer.latency, 0.99),
            spool: SpoolStatus::of(writer, writing, snapshot),
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
            oldest_seconds: snapshot.age(&writer.spool_oldest),
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
