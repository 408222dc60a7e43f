//! Observations of the actors: counts and states for tests, health, metrics and the status page.
//!
//! Every value is written by the actor that it describes, with relaxed atomics, and may be read by any thread. Event
//! processing never depends on it. Counts only grow; a depth is the difference of two counts.
//!
//! A value is declared once, in the struct of its part of the service, from which metrics, their documentation and the
//! status are derived, see [`Metric`].

mod archive;
mod bounds;
pub(crate) mod cells;
mod channel;
mod connection;
mod fills;
mod http;
mod latency;
mod lease;
pub(crate) mod metric;
mod redis;
mod rest;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::Serialize;
use uw_websocket_core::calendar::Products;
use uw_websocket_core::event::{Channel, ChannelIndex, Topic};
use uw_websocket_core::feed::envelope::Rejection;

use crate::ledger::observed::GapObservation;
use crate::sync::lock;
use cells::unlocked;
use metric::observed;

pub use archive::ArchiveObservation;
pub use bounds::{Distrust, Table};
pub use cells::{Count, CountsBy, Flag, Gauge, Micros, Moment, StateCell};
pub use channel::{ChannelObservation, Cut, DropReason, Outcome, Place, Violation};
pub use connection::{ConnectionObservation, ConnectionState, JoinObservation};
pub use fills::FillObservation;
pub use http::{HttpObservation, HttpRefusal};
pub use latency::{Buckets, LATENCY_BOUNDS, Latency, quantile};
pub use lease::{LeaseObservation, LeaseState};
pub use metric::{Metric, MetricKind, MetricValue};
pub use redis::{MasterObservation, MasterState, RedisFacts, RedisObservation};
pub use rest::{EndpointObservation, RestObservation, RestResult};
pub use writer::{SnapshotKind, SnapshotObservation, SnapshotTrouble, WriterObservation, WriterState};

observed! {
    /// The janitor.
    #[derive(Debug, Default)]
    pub struct JanitorObservation {
        /// Stream entries removed because of their age.
        pub trimmed_entries: Count = "uw_ws_trimmed_entries_total",
        /// Entire streams and hashes removed because of their age.
        pub removed_keys: Count = "uw_ws_removed_keys_total",
    }
}

observed! {
    /// The observations of the service.
    #[derive(Debug, Serialize)]
    pub struct Observations {
        /// The name of this process in Redis and on the status page.
        pub instance: String,
        /// The service's version.
        pub version: &'static str,
        /// Frames that could not be decoded as events.
        rejected: CountsBy<Rejection> = "uw_ws_frames_rejected_total" by "kind",
        /// External values not accepted as they were: `too_large` and `unreadable` ones are left alone, `future` times
        /// count as now.
        distrusted: CountsBy<Distrust> = "uw_ws_distrusted_total" by "kind",
        /// Streams, routes and bodies that left a table of the service because there were too many: the feed names more
        /// symbols than a market has.
        forgotten: CountsBy<Table> = "uw_ws_forgotten_total" by "table",
        /// Restarts of an actor; absent before the first.
        #[serde(serialize_with = "unlocked")]
        pub restarts: Mutex<BTreeMap<String, u64>> = "uw_ws_actor_restarts_total" by "actor",
        /// Log records lost because the log output could not keep up.
        #[serde(serialize_with = "AtomicU64::serialize")]
        pub log_records_dropped: Arc<AtomicU64> = "uw_ws_log_records_dropped_total",
        /// Unix time at which the process started.
        pub started_at: Moment = "uw_ws_process_start_time_seconds",
        /// One per configured channel, in the order of the settings.
        #[serde(skip)]
        pub channels: Vec<ChannelObservation>,
        /// One per planned connection.
        #[serde(skip)]
        pub connections: Vec<ConnectionObservation>,
        /// One per shard.
        #[serde(skip)]
        pub writers: Vec<WriterObservation>,
        /// Whether this instance is the owner.
        pub lease: LeaseObservation,
        /// Redis itself.
        #[serde(skip)]
        pub redis: RedisObservation,
        /// The janitor.
        #[serde(skip)]
        pub janitor: JanitorObservation,
        /// The archive.
        #[serde(skip)]
        pub archive: ArchiveObservation,
        /// The gap ledger.
        pub gaps: GapObservation,
        /// The fills of gaps.
        pub fills: FillObservation,
        /// The HTTP server.
        #[serde(skip)]
        pub http: HttpObservation,
        /// The REST requests; a client shares them.
        #[serde(skip)]
        pub rest: Arc<RestObservation>,
        /// Time of the supervisor's last round; before the first, of the start of the process. It determines health,
        /// hence the monotonic clock.
        #[serde(skip)]
        pub supervisor_round_at: Mutex<Instant>,
        /// Children that crashed and are waiting to be restarted; their observations are those of their last life.
        #[serde(skip)]
        pub restarting: Mutex<BTreeSet<String>>,
        /// Children, or the thread shared by all of them, without progress; set before the supervisor acts on it.
        #[serde(skip)]
        pub stuck: Mutex<Vec<String>>,
        /// Whether the service is shutting down.
        #[serde(skip)]
        pub stopping: AtomicBool,
    }
}

impl Observations {
    /// Creates the observations of these channels, connections (names and topics) and shards.
    #[must_use]
    pub fn new(
        instance: String,
        version: &'static str,
        channels: &[Channel],
        connections: &[(&str, &[Topic])],
        shards: usize,
        log_records_dropped: Arc<AtomicU64>,
    ) -> Observations {
        let started_at = Moment::default();
        started_at.set_now();
        let connection = |(name, topics): &(&str, &[Topic])| ConnectionObservation::new(name, topics);
        Observations {
            instance,
            version,
            rejected: CountsBy::default(),
            distrusted: CountsBy::default(),
            forgotten: CountsBy::default(),
            restarts: Mutex::default(),
            log_records_dropped,
            started_at,
            channels: channels.iter().cloned().map(ChannelObservation::new).collect(),
            connections: connections.iter().map(connection).collect(),
            writers: (0..shards).map(|_| WriterObservation::default()).collect(),
            lease: LeaseObservation::default(),
            redis: RedisObservation::default(),
            janitor: JanitorObservation::default(),
            archive: ArchiveObservation::default(),
            gaps: GapObservation::default(),
            fills: FillObservation::default(),
            http: HttpObservation::default(),
            rest: Arc::default(),
            supervisor_round_at: Mutex::new(Instant::now()),
            restarting: Mutex::default(),
            stuck: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Returns the counts of a channel.
    #[must_use]
    pub fn channel(&self, index: ChannelIndex) -> &ChannelObservation {
        &self.channels[usize::from(index.0)]
    }

    /// Returns the counts of the channel of this name, if it is counted.
    #[must_use]
    pub fn channel_named(&self, name: &str) -> Option<&ChannelObservation> {
        self.channels.iter().find(|channel| channel.channel.name() == name)
    }

    /// Returns the count of frames rejected as `kind`.
    #[must_use]
    pub fn rejected(&self, kind: Rejection) -> &Count {
        self.rejected.of(kind)
    }

    /// Returns the count of external values not accepted as they were for this reason.
    #[must_use]
    pub fn distrusted(&self, reason: Distrust) -> &Count {
        self.distrusted.of(reason)
    }

    /// Returns the count of what left a table.
    #[must_use]
    pub fn forgotten(&self, table: Table) -> &Count {
        self.forgotten.of(table)
    }

    /// Returns every channel whose counts do not balance; exact only on the counting thread, see
    /// [`ChannelObservation::audit`].
    #[must_use]
    pub fn audit(&self) -> Vec<Violation> {
        self.channels.iter().filter_map(ChannelObservation::audit).collect()
    }

    /// Returns the products of a channel, as joined.
    #[must_use]
    pub fn products_of(&self, channel: &Channel) -> Products {
        let products = self.connections.iter().flat_map(|connection| &connection.products);
        products.filter(|(of, _)| of == channel).map(|(_, product)| *product).collect()
    }

    /// Returns the products of everything that is joined.
    #[must_use]
    pub fn products(&self) -> Products {
        let products = self.connections.iter().flat_map(|connection| &connection.products);
        products.map(|(_, product)| *product).collect()
    }

    /// Returns whether Redis is available to every writer or, in stand-by, to the lease.
    #[must_use]
    pub fn redis_up(&self) -> bool {
        if self.lease.state.get() == LeaseState::Standby {
            return self.lease.redis_up.load(Relaxed);
        }
        self.writers.iter().all(|writer| writer.redis_up.load(Relaxed))
    }

    /// Counts a restart of a child.
    pub fn count_restart(&self, child: &str) {
        *lock(&self.restarts).entry(child.to_owned()).or_default() += 1;
    }
}
