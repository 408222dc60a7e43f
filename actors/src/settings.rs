//! The validated settings of the actors, which the service reads from the environment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uw_websocket_core::labelled;
use uw_websocket_core::request_budget::RequestLimits;
use uw_websocket_core::settings::{KeySettings, PlanSettings, Retention, Secret};

use crate::connection::proxy::FeedProxy;
use crate::queue::batch::TransactionSize;
use crate::writer::store::address_map::AddressMap;

/// Access to the feed, and its limits.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// `UNUSUAL_WHALES_WEBSOCKET_URL`, without the token; `ws` or `wss`.
    pub url: url::Url,
    /// `UNUSUAL_WHALES_API_TOKEN`.
    pub token: Secret,
    /// `HTTPS_PROXY`, unless `NO_PROXY` excepts the feed.
    pub proxy: Option<FeedProxy>,
    /// Contents of `TLS_CA_FILE`: an additional trusted root certificate, PEM.
    pub extra_root_pem: Option<Vec<u8>>,
    /// `WEBSOCKET_RECONNECT_SECONDS`: the first delay.
    pub reconnect_first: Duration,
    /// `WEBSOCKET_RECONNECT_MAX_SECONDS`: the cap of the delay.
    pub reconnect_max: Duration,
    /// `WEBSOCKET_PING_SECONDS`: interval between pings, and maximum wait for a pong.
    pub ping_interval: Duration,
}

/// Access to the vendor's REST API.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// `UNUSUAL_WHALES_REST_URL`; `http` or `https`.
    pub url: url::Url,
    /// `UNUSUAL_WHALES_API_TOKEN`.
    pub token: Secret,
    /// `HTTPS_PROXY`, unless `NO_PROXY` excepts the REST API.
    pub proxy: Option<FeedProxy>,
    /// Contents of `TLS_CA_FILE`: an additional trusted root certificate, PEM.
    pub extra_root_pem: Option<Vec<u8>>,
    /// The limits of all requests charged to the token, with those of handshakes.
    pub limits: RequestLimits,
    /// `BACKFILL_MAX_REQUESTS_PER_GAP`.
    pub fill_requests_per_gap: u32,
    /// `ENABLE_BACKFILL`.
    pub backfill: bool,
    /// `ENABLE_AUDIT`.
    pub audit: bool,
}

/// Access to Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `REDIS_URL`; may hold a password.
    pub url: Secret,
    /// Contents of `TLS_CA_FILE`: an additional trusted root certificate, PEM.
    pub extra_root_pem: Option<Vec<u8>>,
    /// `REDIS_ADDRESS_MAP`.
    pub address_map: Arc<AddressMap>,
}

impl RedisSettings {
    /// Returns the access to the Redis of a URL, without certificates and address map.
    #[must_use]
    pub fn of(url: String) -> RedisSettings {
        RedisSettings { url: Secret::new(url), extra_root_pem: None, address_map: Arc::default() }
    }
}

/// The pool of writers.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// `WRITER_SHARDS`, at least 1.
    pub shards: usize,
    /// `WRITER_MAILBOX_CAPACITY`, in batches, at least 1.
    pub mailbox_capacity: usize,
    /// `WRITER_BATCH_MAX_EVENTS`, at least 1.
    pub batch_max_events: usize,
}

/// Maximum wire size of a transaction, except for single larger events: sent in half a second over a 64 Mbit/s link.
const TRANSACTION_WEIGHT: usize = 4 * 1024 * 1024;

impl WriterSettings {
    /// Returns the size limits of a transaction.
    #[must_use]
    pub fn transaction_size(&self) -> TransactionSize {
        TransactionSize { events: self.batch_max_events.max(1), weight: TRANSACTION_WEIGHT }
    }
}

/// The disk queue in front of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// `SPOOL_DIR`: the folder, created if missing.
    pub dir: PathBuf,
    /// `SPOOL_MODE`.
    pub mode: SpoolMode,
    /// `SPOOL_KEEP`: how long a record is retained after Redis has confirmed it.
    pub keep: Duration,
    /// `SPOOL_MAX_BYTES`: the limit for all shards together.
    pub max_bytes: u64,
    /// `SPOOL_WHEN_FULL`.
    pub when_full: WhenFull,
    /// `SPOOL_FSYNC`.
    pub fsync: Fsync,
}

impl SpoolSettings {
    /// Returns the limit for one of this number of shards.
    #[must_use]
    pub fn max_bytes_of_shard(&self, shards: usize) -> u64 {
        self.max_bytes / (shards.max(1) as u64)
    }
}

labelled! {
    /// The events that go to disk.
    SpoolMode {
        /// Every event, before it goes to Redis: one append per batch; a kill -9 loses nothing.
        Always = "always",
        /// None: a kill -9 loses the events waiting in memory, and a long outage of Redis those that do not fit there.
        Off = "off",
    }
}

labelled! {
    /// The policy for a full disk queue.
    WhenFull {
        /// The oldest events are dropped, counted and recorded in the ledger; the feed is still read.
        DropOldest = "drop_oldest",
        /// The sockets are not read until there is room; meanwhile the vendor drops events silently.
        Block = "block",
    }
}

/// When appended data is synced to disk. This only matters for power cuts and kernel crashes: the end of the process
/// loses no appended data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// After each append: a power cut loses nothing, and every batch waits for the disk.
    Always,
    /// At this interval, which is how much a power cut may lose.
    Every(Duration),
    /// At the kernel's discretion: a power cut loses unwritten data, half a minute by default.
    Never,
}

/// The archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// `ARCHIVE_DIR`: the folder, created if missing.
    pub dir: PathBuf,
    /// `ARCHIVE_RETENTION`: trading sessions kept before the current one; `None` is `off`.
    pub sessions: Option<usize>,
    /// `ARCHIVE_MAX_BYTES`.
    pub max_bytes: u64,
}

/// When the supervisor gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartSettings {
    /// `RESTART_INTENSITY`: with more crashes in the period, the supervisor escalates.
    pub intensity: u32,
    /// `RESTART_PERIOD_SECONDS`.
    pub period: Duration,
}

/// The settings of all actors.
#[derive(Clone, Debug)]
pub struct ActorSettings {
    /// The topics to join.
    pub plan: PlanSettings,
    /// The feed.
    pub feed: FeedSettings,
    /// The REST API.
    pub rest: RestSettings,
    /// Redis.
    pub redis: RedisSettings,
    /// The keys.
    pub keys: KeySettings,
    /// How long the data under the keys is kept.
    pub retention: Retention,
    /// The writers.
    pub writers: WriterSettings,
    /// The disk queue.
    pub spool: SpoolSettings,
    /// The archive, if there is one.
    pub archive: Option<ArchiveSettings>,
    /// `SPOOL_PEER_DIRS`: disk queues of other instances, written first at a takeover.
    pub peer_dirs: Vec<PathBuf>,
    /// The supervisor.
    pub restarts: RestartSettings,
}
