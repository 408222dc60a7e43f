//! The channels, connections, writers with their disk queues, and the archive in the status.

use std::collections::BTreeMap;

use serde::Serialize;
use uw_websocket_actors::observation::{
    ArchiveObservation, Buckets, ChannelObservation, ConnectionObservation, JoinObservation,
    WriterObservation, quantile,
};
use uw_websocket_actors::sync::lock;

use crate::http::history::Writing;
use crate::http::last_minute::Latencies;
use crate::http::snapshot::Snapshot;

/// A channel: `received + recovered = stored + duplicate + filtered + quarantined + the sum of dropped + pending`.
#[derive(Debug, Serialize)]
pub(super) struct ChannelStatus<'s> {
    channel: &'s str,
    #[serde(flatten)]
    counts: &'s ChannelObservation,
    pending: u64,
    /// Events received per second in the last complete step of [`STEP`](crate::http::history::STEP).
    rate_per_second: Option<f64>,
    /// The same for each of the last steps, oldest first.
    rates: Vec<Option<f64>>,
    /// Age of the latest event.
    last_event_age_seconds: Option<f64>,
    /// Whether the equation holds and every pending event is in memory or on disk; `false` means that an event was
    /// counted twice or not at all.
    conserved: bool,
}

/// The sums over all channels, which satisfy the same equation, by the names of [`ChannelObservation::books`].
pub(super) fn totals(channels: &[ChannelObservation]) -> BTreeMap<&'static str, u64> {
    let mut totals = BTreeMap::new();
    for (name, events) in channels.iter().flat_map(ChannelObservation::books) {
        *totals.entry(name).or_default() += events;
    }
    totals
}

impl<'s> ChannelStatus<'s> {
    pub(super) fn of(
        counts: &'s ChannelObservation,
        rates: Vec<Option<f64>>,
        snapshot: &Snapshot<'_>,
    ) -> ChannelStatus<'s> {
        ChannelStatus {
            channel: counts.channel.name(),
            counts,
            pending: counts.pending(),
            rate_per_second: rates.last().copied().flatten(),
            rates,
            last_event_age_seconds: snapshot.age(&counts.last_event_at),
            conserved: counts.is_conserved(),
        }
    }
}

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

/// A writer.
#[derive(Debug, Serialize)]
pub(super) struct WriterStatus<'s> {
    /// The number of the shard.
    shard: usize,
    #[serde(flatten)]
    writer: &'s WriterObservation,
    /// Batches waiting or being written.
    batches_waiting: u64,
    /// Payload bytes of these batches.
    bytes_waiting: u64,
    /// Age of the oldest event not yet confirmed by Redis, in memory or on disk.
    oldest_waiting_seconds: Option<f64>,
    /// Events confirmed by Redis per second, in the last complete step.
    rate_per_second: Option<f64>,
    /// Average number of events per transaction.
    events_per_transaction: Option<f64>,
    /// Events confirmed by Redis in the last minute, which the latencies are of.
    stored_last_minute: u64,
    /// Median time from reading a frame to storing its event.
    latency_p50_seconds: Option<f64>,
    /// The 99th percentile. `null` also above the greatest bound of the histogram, 120 s.
    latency_p99_seconds: Option<f64>,
    spool: SpoolStatus,
}

/// The disk queue of a writer.
#[derive(Debug, Serialize)]
struct SpoolStatus {
    /// Events not yet confirmed by Redis.
    events: u64,
    /// Size on disk, including the retained events that Redis has already confirmed.
    bytes: u64,
    /// The maximum of `bytes`; 0 without a disk queue.
    limit_bytes: u64,
    /// Age of the oldest event.
    oldest_seconds: Option<f64>,
    /// Events appended.
    appended: u64,
    /// Events appended in the last minute, which the latencies are of.
    appended_last_minute: u64,
    /// Median time from reading a frame to the event being on disk.
    append_p50_seconds: Option<f64>,
    /// The 99th percentile. `null` also above the greatest bound of the histogram, 120 s.
    append_p99_seconds: Option<f64>,
    /// Seconds until the queue is empty if it keeps shrinking as in the last complete step; `null` while it does not.
    drain_seconds: Option<f64>,
    /// Seconds until `limit_bytes` is reached if the queue keeps growing as in the last complete step; `null` while it
    /// does not.
    full_seconds: Option<f64>,
    /// Why the disk does not accept appends.
    error: Option<String>,
}

impl<'s> WriterStatus<'s> {
    pub(super) fn of(
        shard: usize,
        writer: &'s WriterObservation,
        writing: Option<Writing>,
        latencies: &Latencies,
        snapshot: &Snapshot<'_>,
    ) -> WriterStatus<'s> {
        let (transactions, events) = (writer.transactions.get(), writer.events.get());
        WriterStatus {
            shard,
            writer,
            batches_waiting: writer.batches_waiting(),
            bytes_waiting: writer.bytes_waiting(),
            oldest_waiting_seconds: [&writer.memory_oldest, &writer.spool_oldest]
                .into_iter()
                .filter_map(|at| snapshot.age(at))
                .reduce(f64::max),
            rate_per_second: writing.map(|writing| writing.rate),
            events_per_transaction: (transactions > 0).then(|| events as f64 / transactions as f64),
            stored_last_minute: latencies.stored.iter().sum(),
            latency_p50_seconds: shown(&latencies.stored, 0.5),
            latency_p99_seconds: shown(&latencies.stored, 0.99),
            spool: SpoolStatus::of(writer, writing, &latencies.appended, snapshot),
        }
    }
}

impl SpoolStatus {
    fn of(
        writer: &WriterObservation,
        writing: Option<Writing>,
        latencies: &Buckets,
        snapshot: &Snapshot<'_>,
    ) -> SpoolStatus {
        let events = writer.spool_events.get();
        let (bytes, limit_bytes) = (writer.spool_bytes.get(), writer.spool_limit.get());
        let growth = writing.map(|writing| -writing.drained);
        let drained = growth.map(|growth| -growth).filter(|drained| *drained > 0.0);
        let grown = growth.filter(|grown| *grown > 0.0 && events > 0 && limit_bytes > 0);
        let bytes_each = bytes as f64 / events.max(1) as f64;
        SpoolStatus {
            events,
            bytes,
            limit_bytes,
            oldest_seconds: snapshot.age(&writer.spool_oldest),
            appended: writer.append_latency.count(),
            appended_last_minute: latencies.iter().sum(),
            append_p50_seconds: shown(latencies, 0.5),
            append_p99_seconds: shown(latencies, 0.99),
            drain_seconds: drained.filter(|_| events > 0).map(|drained| events as f64 / drained),
            full_seconds: grown.map(|grown| limit_bytes.saturating_sub(bytes) as f64 / (grown * bytes_each)),
            error: lock(&writer.spool_fault).clone(),
        }
    }
}

/// JSON has no infinity: a quantile above every bound is `None`.
fn shown(latencies: &Buckets, q: f64) -> Option<f64> {
    quantile(latencies, q).filter(|bound| bound.is_finite())
}

/// The archive.
#[derive(Debug, Serialize)]
pub(super) struct ArchiveStatus<'s> {
    #[serde(flatten)]
    archive: &'s ArchiveObservation,
    /// Time since the last write.
    written_seconds: Option<f64>,
    /// How many more days like its largest one have room; `null` before there is one.
    room_days: Option<f64>,
}

impl<'s> ArchiveStatus<'s> {
    pub(super) fn of(snapshot: &'s Snapshot<'_>) -> Option<ArchiveStatus<'s>> {
        let archive = &snapshot.observations.archive;
        let largest = archive.largest_day_bytes.get();
        archive.is_on.get().then(|| ArchiveStatus {
            archive,
            written_seconds: snapshot.age(&archive.written_at),
            room_days: (largest > 0).then(|| archive.room.get() as f64 / largest as f64),
        })
    }
}
