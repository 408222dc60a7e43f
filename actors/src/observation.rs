//! What the actors let others see of themselves: counts and states for tests, health, metrics and the status page.
//!
//! Every value is written by the one actor that it describes, with relaxed atomics, and may be read by any thread. It
//! is never read to decide something on the way of an event. Counts only grow; a depth is the difference of two counts.

mod channel;

pub use channel::{ChannelObservation, DropReason, Fate, Place, Violation};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uw_websocket_core::event::{Channel, ChannelIndex, Topic};
use uw_websocket_core::feed::envelope::Rejection;
use uw_websocket_core::labelled;

use crate::ledger::observed::GapObservation;
use crate::skew;

mod http;
mod lease;
mod redis;

pub use http::{HttpObservation, HttpRefusal};
pub use lease::{LeaseObservation, LeaseState};
pub use redis::{RedisFacts, RedisObservation};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets the number.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Changes one of several numbers that make it up.
    pub fn change(&self, from: u64, to: u64) {
        self.0.fetch_add(to.wrapping_sub(from), Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A moment in Unix microseconds; zero is "never".
#[derive(Debug, Default)]
pub struct Moment(AtomicU64);

impl Moment {
    /// Sets the moment.
    pub fn set(&self, unix_us: u64) {
        self.0.store(unix_us, Relaxed);
    }

    /// Sets the moment to the present.
    pub fn set_now(&self) {
        self.set(unix_micros());
    }

    /// Forgets the moment.
    pub fn clear(&self) {
        self.set(0);
    }

    /// The moment in Unix microseconds, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        match self.0.load(Relaxed) {
            0 => None,
            at => Some(at),
        }
    }
}

/// The wall clock in Unix microseconds.
#[must_use]
pub fn unix_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    skew::skewed(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}

labelled! {
    /// What a connection is doing.
    ConnectionState {
        /// Waits for its next attempt.
        Waiting = "waiting",
        /// Resolves, connects, shakes hands.
        Connecting = "connecting",
        /// Open, with joins that are not acknowledged yet.
        Joining = "joining",
        /// Open, every join acknowledged.
        Live = "live",
        /// Open, but not reading: its writer has no room.
        Blocked = "blocked",
        /// Sends what it has and closes.
        Draining = "draining",
        /// Ended.
        Stopped = "stopped",
    }
}

labelled! {
    /// What a writer is doing.
    WriterState {
        /// Nothing to write.
        Idle = "idle",
        /// A transaction is under way.
        Writing = "writing",
        /// Redis is away or refuses; the writer keeps trying.
        Retrying = "retrying",
        /// Something to write, but Redis has not confirmed the lease.
        AwaitingLease = "awaiting_lease",
        /// Ended.
        Stopped = "stopped",
    }
}

/// A state that its actor sets and others read; `S::ALL` gives it back from its position.
#[derive(Debug)]
pub struct StateCell<S: 'static>(AtomicU8, &'static [S]);

impl<S: Copy + PartialEq> StateCell<S> {
    fn new(all: &'static [S]) -> StateCell<S> {
        StateCell(AtomicU8::new(0), all)
    }

    /// Sets the state.
    pub fn set(&self, state: S) {
        let position = self.1.iter().position(|s| *s == state).unwrap_or_default();
        self.0.store(u8::try_from(position).unwrap_or_default(), Relaxed);
    }

    /// The state.
    #[must_use]
    pub fn get(&self) -> S {
        self.1[usize::from(self.0.load(Relaxed))]
    }
}

/// A join of a connection, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct JoinObservation {
    /// The topic.
    pub topic: String,
    /// Whether the feed acknowledged it in this session.
    pub acknowledged: bool,
    /// What the feed said when it refused it.
    pub refused: Option<String>,
}

/// One connection.
#[derive(Debug)]
pub struct ConnectionObservation {
    /// Its name: the family, numbered when the family needs several.
    pub name: String,
    /// What it is doing.
    pub state: StateCell<ConnectionState>,
    /// Handshakes tried.
    pub attempts: Count,
    /// Sessions that ended without our wish.
    pub disconnects: Count,
    /// Handshakes refused with 401 or 403.
    pub refused: Count,
    /// Handshakes accepted.
    pub accepted: Count,
    /// When the present session was opened.
    pub session_since: Moment,
    /// When the newest frame of any kind came.
    pub last_frame_at: Moment,
    /// When the newest event came in the present session.
    pub last_event_at: Moment,
    /// Why the last session or attempt ended.
    pub last_error: Mutex<Option<String>>,
    /// Whether its silence in market hours means something.
    pub is_steady: bool,
    /// The channels that it carries, each at least once.
    pub channels: Vec<Channel>,
    /// Joins that the plan gives it.
    pub expected: usize,
    /// Its joins in the present session.
    pub joins: Mutex<Vec<JoinObservation>>,
}

impl ConnectionObservation {
    fn new(name: &str, topics: &[Topic]) -> ConnectionObservation {
        let join =
            |topic: &Topic| JoinObservation { topic: topic.to_string(), acknowledged: false, refused: None };
        ConnectionObservation {
            name: name.to_owned(),
            state: StateCell::new(ConnectionState::ALL),
            attempts: Count::default(),
            disconnects: Count::default(),
            refused: Count::default(),
            accepted: Count::default(),
            session_since: Moment::default(),
            last_frame_at: Moment::default(),
            last_event_at: Moment::default(),
            last_error: Mutex::new(None),
            is_steady: topics.iter().any(|topic| topic.channel.family().is_steady()),
            channels: topics.iter().map(|topic| topic.channel.clone()).collect(),
            expected: topics.len(),
            joins: Mutex::new(topics.iter().map(join).collect()),
        }
    }

    /// Joins acknowledged in the present session.
    #[must_use]
    pub fn joined(&self) -> usize {
        lock(&self.joins).iter().filter(|join| join.acknowledged).count()
    }
}

/// Upper bounds of the latency histograms in seconds: from a fast local batch to the end of a Redis restart. They are
/// narrow up to 10 ms, for an event is promised to be on disk within 5.
pub const LATENCY_BOUNDS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.004, 0.005, 0.007_5, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0,
    5.0, 30.0, 120.0,
];

/// A histogram over [`LATENCY_BOUNDS`].
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [Count; LATENCY_BOUNDS.len() + 1],
    sum_us: Count,
}

impl Latency {
    /// Counts `n` observations of `elapsed`.
    pub fn observe(&self, elapsed: Duration, n: u64) {
        let seconds = elapsed.as_secs_f64();
        let bucket =
            LATENCY_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        self.buckets[bucket].add(n);
        self.sum_us.add(n.saturating_mul(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)));
    }

    /// Observations per bucket, not cumulated; the last one is above every bound.
    #[must_use]
    pub fn buckets(&self) -> Vec<u64> {
        self.buckets.iter().map(Count::get).collect()
    }

    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Count::get).sum()
    }

    /// Sum of all observations in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us.get() as f64 / 1e6
    }

    /// The upper bound in seconds of the bucket that holds the `q`-quantile; `None` without observations.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let buckets = self.buckets();
        let total: u64 = buckets.iter().sum();
        let mut seen = 0;
        for (bucket, bound) in buckets.iter().zip(LATENCY_BOUNDS.iter().copied().chain([f64::INFINITY])) {
            seen += bucket;
            if total > 0 && seen as f64 >= q * total as f64 {
                return Some(bound);
            }
        }
        None
    }
}

/// One writer and its shard.
#[derive(Debug)]
pub struct WriterObservation {
    /// What it is doing.
    pub state: StateCell<WriterState>,
    /// Whether Redis took the writer's last transaction or ping.
    pub redis_up: AtomicBool,
    /// Why Redis did not.
    pub last_error: Mutex<Option<String>>,
    /// Batches that entered the inbox.
    pub batches_in: Count,
    /// Batches that left it for good.
    pub batches_out: Count,
    /// Payload bytes that entered.
    pub bytes_in: Count,
    /// Payload bytes that left for good.
    pub bytes_out: Count,
    /// Transactions that Redis took.
    pub transactions: Count,
    /// Events in them.
    pub events: Count,
    /// Tries that failed and were repeated.
    pub retries: Count,
    /// Transactions whose outcome was unknown and had to be looked up.
    pub unknown_outcomes: Count,
    /// Microseconds that connections waited for room in the inbox.
    pub mailbox_wait_us: Count,
    /// From the read of a frame to the end of the append to the disk queue.
    pub append_latency: Latency,
    /// From the read of a frame to the reply of Redis.
    pub latency: Latency,
    /// Its hashes.
    pub snapshots: SnapshotObservation,
    /// Events in the disk queue that Redis has not taken.
    pub spool_events: Gauge,
    /// What the disk queue takes, with what is kept of the events that Redis has taken.
    pub spool_bytes: Gauge,
    /// When the oldest of the events in the disk queue came.
    pub spool_oldest: Moment,
    /// Why the disk does not take appends, while it does not.
    pub spool_fault: Mutex<Option<String>>,
}

/// The hashes that a writer keeps fresh.
#[derive(Debug, Default)]
pub struct SnapshotObservation {
    /// Writes of `ws:latest:` hashes.
    pub latest: Count,
    /// Cells of `ws:map:` hashes that were written.
    pub cells: Count,
    /// Writes of `rest:` hashes.
    pub bodies: Count,
    /// Of these, the ones that put newer rows over a late write of the fetcher.
    pub healed: Count,
    /// Writes that were not made because the fetcher had written in between; they were tried again.
    pub conflicts: Count,
    /// Writes that were put off for a second after as many conflicts in a row as are tolerated.
    pub put_off: Count,
    /// Bodies that were found to be of another shape than their endpoint's, and left alone.
    pub unreadable: Count,
    /// Events that cannot become part of a body.
    pub untranslatable: Count,
    /// Writes that Redis refused for a reason of the key's.
    pub refused: Count,
    /// Events whose hashes were not written because too many waited.
    pub skipped: Count,
    /// Memory of the bodies that are held.
    pub held_bytes: Gauge,
    /// Memory of what waits to be written.
    pub pending_bytes: Gauge,
}

impl SnapshotObservation {
    /// What was written, by the kind of hash.
    #[must_use]
    pub fn writes(&self) -> [(&'static str, u64); 3] {
        [("latest", &self.latest), ("map", &self.cells), ("rest", &self.bodies)]
            .map(|(kind, count)| (kind, count.get()))
    }

    /// What did not go straight, by its kind.
    #[must_use]
    pub fn troubles(&self) -> [(&'static str, u64); 6] {
        [
            ("conflict", &self.conflicts),
            ("put_off", &self.put_off),
            ("refused", &self.refused),
            ("skipped", &self.skipped),
            ("unreadable", &self.unreadable),
            ("untranslatable", &self.untranslatable),
        ]
        .map(|(kind, count)| (kind, count.get()))
    }
}

impl WriterObservation {
    fn new() -> WriterObservation {
        WriterObservation {
            state: StateCell::new(WriterState::ALL),
            redis_up: AtomicBool::new(false),
            last_error: Mutex::new(None),
            batches_in: Count::default(),
            batches_out: Count::default(),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            transactions: Count::default(),
            events: Count::default(),
            retries: Count::default(),
            unknown_outcomes: Count::default(),
            mailbox_wait_us: Count::default(),
            append_latency: Latency::default(),
            latency: Latency::default(),
            snapshots: SnapshotObservation::default(),
            spool_events: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_oldest: Moment::default(),
            spool_fault: Mutex::new(None),
        }
    }
}

/// The janitor.
#[derive(Debug, Default)]
pub struct JanitorObservation {
    /// Entries trimmed for their age.
    pub trimmed_entries: Count,
    /// Keys removed whole for their age.
    pub removed_keys: Count,
}

/// Everything that can be seen of the service.
#[derive(Debug)]
pub struct Observations {
    /// Names this process in Redis and on the status page.
    pub instance: String,
    /// The service's version.
    pub version: &'static str,
    /// When the process started.
    pub started_at: Moment,
    /// One for each channel of the settings, in their order.
    pub channels: Vec<ChannelObservation>,
    /// One for each connection of the plan.
    pub connections: Vec<ConnectionObservation>,
    /// One for each shard.
    pub writers: Vec<WriterObservation>,
    /// Whether this instance is the owner.
    pub lease: LeaseObservation,
    /// Redis itself.
    pub redis: RedisObservation,
    /// The janitor.
    pub janitor: JanitorObservation,
    /// Starts of a child after its first, by its name.
    pub restarts: Mutex<BTreeMap<String, u64>>,
    /// When the supervisor last made its round; before the first, when the process started. Decides whether the service
    /// is healthy, so it is told by the clock that nobody sets.
    pub supervisor_round_at: Mutex<Instant>,
    /// Children that crashed and wait for their restart; what they show of themselves is of their last life.
    pub restarting: Mutex<BTreeSet<String>>,
    /// Children in which the supervisor sees no progress, or the thread of all of them. It says so before it acts.
    pub stuck: Mutex<Vec<String>>,
    /// Whether the service is ending.
    pub stopping: AtomicBool,
    /// Log records lost because the log could not keep up.
    pub log_records_dropped: Arc<AtomicU64>,
    /// The gap ledger.
    pub gaps: GapObservation,
    /// The clients of the HTTP side.
    pub http: HttpObservation,
    rejected: Vec<Count>,
}

impl Observations {
    /// Room for the parts of a service: its channels, the names and topics of its connections, its shards.
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
        Observations {
            instance,
            version,
            started_at,
            channels: channels.iter().cloned().map(ChannelObservation::new).collect(),
            connections: connections
                .iter()
                .map(|(name, topics)| ConnectionObservation::new(name, topics))
                .collect(),
            writers: (0..shards).map(|_| WriterObservation::new()).collect(),
            lease: LeaseObservation::new(),
            redis: RedisObservation::default(),
            janitor: JanitorObservation::default(),
            restarts: Mutex::default(),
            supervisor_round_at: Mutex::new(Instant::now()),
            restarting: Mutex::default(),
            stuck: Mutex::default(),
            stopping: AtomicBool::new(false),
            log_records_dropped,
            gaps: GapObservation::default(),
            http: HttpObservation::default(),
            rejected: Rejection::ALL.iter().map(|_| Count::default()).collect(),
        }
    }

    /// The counts of a channel.
    #[must_use]
    pub fn channel(&self, index: ChannelIndex) -> &ChannelObservation {
        &self.channels[usize::from(index.0)]
    }

    /// The channel of this name, if it is counted.
    #[must_use]
    pub fn channel_named(&self, name: &str) -> Option<&ChannelObservation> {
        self.channels.iter().find(|channel| channel.channel.name() == name)
    }

    /// Frames rejected as `kind`.
    #[must_use]
    pub fn rejected(&self, kind: Rejection) -> &Count {
        &self.rejected[kind as usize]
    }

    /// Every channel whose books do not balance; exact only on the thread that counts, see [`ChannelObservation::audit`].
    #[must_use]
    pub fn audit(&self) -> Vec<Violation> {
        self.channels.iter().filter_map(ChannelObservation::audit).collect()
    }

    /// Whether every writer has Redis; in stand-by, without writers, whether the lease has.
    #[must_use]
    pub fn redis_up(&self) -> bool {
        if self.lease.state.get() == LeaseState::Standby {
            return self.lease.redis_up.load(Relaxed);
        }
        self.writers.iter().all(|writer| writer.redis_up.load(Relaxed))
    }

    /// Counts a start of a child after its first.
    pub fn count_restart(&self, child: &str) {
        *lock(&self.restarts).entry(child.to_owned()).or_default() += 1;
    }
}

/// Locks a mutex of this module; a panic of another holder leaves its plain values readable.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
