//! The metric families: those that the parts of the service declare, and those that are computed from several values.

use std::sync::LazyLock;
use std::time::Instant;

use uw_websocket_actors::calendar::{MarketState, market_state};
use uw_websocket_actors::ledger::observed::GapObservation;
use uw_websocket_actors::observation::{
    ChannelObservation, ConnectionObservation, JanitorObservation, Kind, Latency, LeaseState, Metric,
    Observations, Reading, SnapshotObservation, WriterObservation, lock, unix_micros,
};

use super::readiness::readiness;
use super::snapshot::{Snapshot, resident_bytes};

/// A metric family: one name, its meaning, and how its series are read.
pub struct Family {
    /// The name as it is scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of the labels of each of its series.
    pub labels: Vec<&'static str>,
    /// What it says, without a final period.
    pub help: &'static str,
    read: Box<Read>,
}

/// Reads a metric of each part: the value of the label that names the part, if there is such a label, and the metric.
type Read = dyn Fn(&Snapshot<'_>) -> Vec<(String, Reading)> + Send + Sync;

/// The parts of a kind, each with its name.
type Parts<P> = for<'s> fn(&'s Snapshot<'_>) -> Vec<(String, &'s P)>;

/// Every family, in the order of the answer: the way of an event first, then the service as a whole.
pub static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
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
    let of_janitor =
        each(None, JanitorObservation::metrics(), |snapshot| only(&snapshot.observations.janitor));
    let of_service = each(None, service, |snapshot| only(snapshot.observations));
    [per_channel, per_connection, per_shard, of_snapshots, of_gaps, of_janitor, of_service]
        .into_iter()
        .flatten()
        .collect()
});

fn each<P: 'static>(
    label: Option<&'static str>,
    metrics: impl Iterator<Item = &'static Metric<P>>,
    parts: Parts<P>,
) -> Vec<Family> {
    let family = |metric: &'static Metric<P>| Family {
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

fn shards<'s>(snapshot: &'s Snapshot<'_>) -> Vec<(String, &'s WriterObservation)> {
    (0..).zip(&snapshot.observations.writers).map(|(n, writer): (u32, _)| (n.to_string(), writer)).collect()
}

fn only<P>(part: &P) -> Vec<(String, &P)> {
    vec![(String::new(), part)]
}

impl Family {
    /// The present values, each with the value of the label that names its part.
    pub(super) fn read(&self, snapshot: &Snapshot<'_>) -> Vec<(String, Reading)> {
        (self.read)(snapshot)
    }
}

const fn gauge<P: 'static>(name: &'static str, help: &'static str, read: fn(&P) -> Reading) -> Metric<P> {
    Metric { name, kind: Kind::Gauge, label: None, help, read }
}

fn flag(is_so: bool) -> Reading {
    Reading::Whole(u64::from(is_so))
}

static OF_CHANNEL: [Metric<ChannelObservation>; 1] =
    [gauge("uw_ws_events_pending", "Events that came and have not ended yet", |channel| {
        Reading::Whole(channel.pending())
    })];

static OF_CONNECTION: [Metric<ConnectionObservation>; 1] =
    [gauge("uw_ws_connection_joins", "Joins acknowledged in the present session", |connection| {
        Reading::Whole(connection.joined() as u64)
    })];

static OF_WRITER: [Metric<WriterObservation>; 4] = [
    gauge(
        "uw_ws_mailbox_batches",
        "Batches in the inbox of a shard, which its queue has not taken over",
        |writer| Reading::Whole(writer.batches_waiting()),
    ),
    gauge("uw_ws_mailbox_bytes", "Memory of these batches", |writer| Reading::Whole(writer.bytes_waiting())),
    gauge(
        "uw_ws_spool_oldest_seconds",
        "Age of the oldest event in the disk queue; 0 without one",
        |writer| {
            let age = writer.spool_oldest.get().map_or(0, |at| unix_micros().saturating_sub(at));
            Reading::Real(age as f64 / 1e6)
        },
    ),
    gauge("uw_ws_spool_up", "1 while the disk takes the events of a shard, else 0", |writer| {
        flag(lock(&writer.spool_fault).is_none())
    }),
];

static OF_SERVICE: [Metric<Observations>; 7] = [
    Metric {
        name: "uw_ws_store_latency_seconds",
        kind: Kind::Histogram,
        label: None,
        help: "From the read of a frame to the reply of Redis, one observation an event",
        read: |observations| {
            let all = Latency::default();
            observations.writers.iter().for_each(|writer| all.add(&writer.latency));
            Reading::Histogram(all)
        },
    },
    gauge("uw_ws_market_open", "1 while the exchange has a session, by its calendar", |_| {
        flag(market_state(unix_micros() / 1000) == MarketState::Open)
    }),
    gauge(
        "uw_ws_redis_up",
        "1 while Redis takes the writes of every shard, or answers a stand-by; else 0",
        |observations| flag(observations.redis_up()),
    ),
    gauge("uw_ws_ready", "1 while `/readyz` says 200, else 0", |observations| {
        flag(readiness(observations, Instant::now()).is_empty())
    }),
    gauge(
        "uw_ws_lease_held",
        "1 while this instance is the owner; 0 while it stands by or Redis has not confirmed it",
        |observations| flag(observations.lease.state.get() == LeaseState::Held),
    ),
    Metric {
        label: Some("version"),
        ..gauge("uw_ws_build_info", "1; the version of the service", |observations: &Observations| {
            Reading::ByLabel(vec![(observations.version.into(), 1)])
        })
    },
    gauge(
        "uw_ws_process_resident_memory_bytes",
        "Resident memory of the process; absent where the system does not tell",
        |_| resident_bytes().map_or(Reading::Absent, Reading::Whole),
    ),
];
