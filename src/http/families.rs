//! The metric families: those declared by the parts of the service, and those computed from several values.

use std::sync::LazyLock;
use std::time::Instant;

use uw_websocket_actors::ledger::observed::GapObservation;
use uw_websocket_actors::observation::{
    ArchiveObservation, ChannelObservation, ConnectionObservation, EndpointObservation, FillObservation,
    HttpObservation, JanitorObservation, Latency, LeaseState, MasterObservation, Metric, MetricKind,
    MetricValue, Observations, RestObservation, SnapshotObservation, WriterObservation,
};
use uw_websocket_actors::sync::lock;
use uw_websocket_actors::wall_clock::unix_micros;
use uw_websocket_core::calendar::{MarketState, market_state};
use uw_websocket_core::request_budget::Purpose;
use uw_websocket_core::rest_endpoint::RestEndpoint;

use super::readiness::readiness;
use super::snapshot::{Snapshot, resident_bytes};

/// A metric family.
pub struct MetricFamily {
    /// The name in the exposition.
    pub name: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// The label names of its series.
    pub labels: Vec<&'static str>,
    /// The help text, without a final period.
    pub help: &'static str,
    read: ReadMetric,
}

/// A value per part, with the label value that names the part; empty if no label does.
type ByPart<T> = Vec<(String, T)>;

/// Reads the metric of each part.
type ReadMetric = Box<dyn Fn(&Snapshot<'_>) -> ByPart<MetricValue> + Send + Sync>;

/// The parts of a kind.
type PartsOf<P> = for<'s> fn(&'s Snapshot<'_>) -> ByPart<&'s P>;

/// Every family, in the order of the exposition: along the path of an event first, then the service as a whole.
pub static FAMILIES: LazyLock<Vec<MetricFamily>> = LazyLock::new(|| {
    let channels = ChannelObservation::metrics().chain(&OF_CHANNEL);
    let connections = ConnectionObservation::metrics().chain(&OF_CONNECTION);
    let writers = WriterObservation::metrics().chain(&OF_WRITER);
    let service = Observations::metrics().chain(&OF_SERVICE);
    let per_channel = each(Some("channel"), channels, |snapshot| {
        snapshot.channels.iter().map(|channel| (channel.channel.to_string(), channel)).collect()
    });
    let per_connection = each(Some("connection"), connections, |snapshot| {
        let connections = snapshot.observations.connections.iter();
        connections.map(|connection| (connection.name.clone(), connection)).collect()
    });
    let per_shard = each(Some("shard"), writers, shards);
    let of_snapshots = each(Some("shard"), SnapshotObservation::metrics(), |snapshot| {
        shards(snapshot).into_iter().map(|(shard, writer)| (shard, &writer.snapshots)).collect()
    });
    let of_gaps = each(None, GapObservation::metrics(), |snapshot| only(&snapshot.observations.gaps));
    let archive = ArchiveObservation::metrics().chain(&OF_ARCHIVE);
    let of_archive = each(None, archive, |snapshot| only(&snapshot.observations.archive));
    let of_fills = each(None, FillObservation::metrics(), |snapshot| only(&snapshot.observations.fills));
    let of_janitor =
        each(None, JanitorObservation::metrics(), |snapshot| only(&snapshot.observations.janitor));
    let of_http = each(None, HttpObservation::metrics(), |snapshot| only(&snapshot.observations.http));
    let per_endpoint = each(Some("endpoint"), EndpointObservation::metrics(), |snapshot| {
        let rest = &snapshot.observations.rest;
        let endpoints = RestEndpoint::ALL.iter().map(|endpoint| (endpoint.label(), rest.endpoint(*endpoint)));
        let used = endpoints.filter(|(_, counts)| counts.requests() > 0);
        used.map(|(label, counts)| (label.to_owned(), counts)).collect()
    });
    let of_rest = each(None, OF_REST.iter(), |snapshot| only(&*snapshot.observations.rest));
    let of_master =
        each(None, MasterObservation::metrics(), |snapshot| only(&snapshot.observations.redis.master));
    let of_service = each(None, service, |snapshot| only(snapshot.observations));
    [
        per_channel,
        per_connection,
        per_shard,
        of_snapshots,
        of_archive,
        of_fills,
        of_gaps,
        of_janitor,
        of_master,
        of_http,
        per_endpoint,
        of_rest,
        of_service,
    ]
    .into_iter()
    .flatten()
    .collect()
});

fn each<P: 'static>(
    label: Option<&'static str>,
    metrics: impl Iterator<Item = &'static Metric<P>>,
    parts: PartsOf<P>,
) -> Vec<MetricFamily> {
    let family = |metric: &'static Metric<P>| MetricFamily {
        name: metric.name,
        kind: metric.kind,
        labels: label.into_iter().chain(metric.label).collect(),
        help: metric.help,
        read: Box::new(move |snapshot| {
            parts(snapshot).into_iter().map(|(name, part)| (name, (metric.read)(part))).collect()
        }),
    };
    metrics.map(family).collect()
}

fn shards<'s>(snapshot: &'s Snapshot<'_>) -> ByPart<&'s WriterObservation> {
    (0..).zip(&snapshot.observations.writers).map(|(n, writer): (u32, _)| (n.to_string(), writer)).collect()
}

fn only<P>(part: &P) -> ByPart<&P> {
    vec![(String::new(), part)]
}

impl MetricFamily {
    /// Returns the current values.
    pub(super) fn read(&self, snapshot: &Snapshot<'_>) -> ByPart<MetricValue> {
        (self.read)(snapshot)
    }
}

const fn gauge<P: 'static>(name: &'static str, help: &'static str, read: fn(&P) -> MetricValue) -> Metric<P> {
    Metric { name, kind: MetricKind::Gauge, label: None, help, read }
}

fn flag(is_so: bool) -> MetricValue {
    MetricValue::Whole(u64::from(is_so))
}

static OF_CHANNEL: [Metric<ChannelObservation>; 1] =
    [gauge("uw_ws_events_pending", "Events received or recovered that have no outcome yet", |channel| {
        MetricValue::Whole(channel.pending())
    })];

static OF_CONNECTION: [Metric<ConnectionObservation>; 1] =
    [gauge("uw_ws_connection_joins", "Joins acknowledged in the current session", |connection| {
        MetricValue::Whole(connection.joined() as u64)
    })];

static OF_WRITER: [Metric<WriterObservation>; 4] = [
    gauge(
        "uw_ws_mailbox_batches",
        "Batches in the inbox of a shard, not yet taken over by its queue",
        |writer| MetricValue::Whole(writer.batches_waiting()),
    ),
    gauge("uw_ws_mailbox_bytes", "Bytes of memory of these batches", |writer| {
        MetricValue::Whole(writer.bytes_waiting())
    }),
    gauge(
        "uw_ws_spool_oldest_seconds",
        "Age of the oldest event in the disk queue; 0 if it is empty",
        |writer| {
            let age = writer.spool_oldest.get().map_or(0, |at| unix_micros().saturating_sub(at));
            MetricValue::Real(age as f64 / 1e6)
        },
    ),
    gauge("uw_ws_spool_up", "1 while the disk accepts the events of a shard, else 0", |writer| {
        flag(lock(&writer.spool_fault).is_none())
    }),
];

static OF_ARCHIVE: [Metric<ArchiveObservation>; 1] = [gauge(
    "uw_ws_archive_up",
    "1 while the archive can be written, else 0; absent without one",
    |archive| {
        if archive.is_on.get() { flag(lock(&archive.fault).is_none()) } else { MetricValue::Absent }
    },
)];

static OF_REST: [Metric<RestObservation>; 1] = [gauge(
    "uw_ws_rest_budget_remaining",
    "REST requests to fill gaps that may begin at once; 0 also while REST waits for the vendor",
    |rest| rest.remaining(Purpose::Fill).map_or(MetricValue::Absent, |left| MetricValue::Whole(left.into())),
)];

static OF_SERVICE: [Metric<Observations>; 7] = [
    Metric {
        name: "uw_ws_store_latency_seconds",
        kind: MetricKind::Histogram,
        label: None,
        help: "Time from reading a frame to the reply from Redis; one observation per event",
        read: |observations| {
            let all = Latency::default();
            observations.writers.iter().for_each(|writer| all.add(&writer.latency));
            MetricValue::Histogram(all)
        },
    },
    gauge(
        "uw_ws_market_open",
        "1 during a trading session of the exchange, according to its calendar",
        |_| flag(market_state(unix_micros() / 1000) == MarketState::Open),
    ),
    gauge(
        "uw_ws_redis_up",
        "1 while Redis accepts the writes of every shard or, in stand-by, answers; else 0",
        |observations| flag(observations.redis_up()),
    ),
    gauge("uw_ws_ready", "1 while `/readyz` returns 200, else 0", |observations| {
        flag(readiness(observations, Instant::now()).is_empty())
    }),
    gauge(
        "uw_ws_lease_held",
        "1 while this instance is the owner; 0 in stand-by or while Redis has not confirmed ownership",
        |observations| flag(observations.lease.state.get() == LeaseState::Held),
    ),
    Metric {
        label: Some("version"),
        ..gauge(
            "uw_ws_build_info",
            "Always 1; the label is the version of the service",
            |observations: &Observations| MetricValue::ByLabel(vec![(observations.version.into(), 1)]),
        )
    },
    gauge(
        "uw_ws_process_resident_memory_bytes",
        "Resident memory of the process; absent where the system does not report it",
        |_| resident_bytes().map_or(MetricValue::Absent, MetricValue::Whole),
    ),
];
