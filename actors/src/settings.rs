//! What the actors are told at their start. The service reads it from the environment; here are the checked forms.

use std::path::PathBuf;
use std::time::Duration;

use uw_websocket_core::labelled;
use uw_websocket_core::settings::{KeySettings, PlanSettings, Retention, Secret};

use crate::queue::batch::TransactionSize;

/// How to reach the feed and how to live with it.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// `UNUSUAL_WHALES_WEBSOCKET_URL`, without the token; `ws` or `wss`.
    pub url: url::Url,
    /// `UNUSUAL_WHALES_API_TOKEN`.
    pub token: Secret,
    /// Contents of `TLS_CA_FILE`: one more root certificate to trust, PEM.
    pub extra_root_pem: Option<Vec<u8>>,
    /// `WEBSOCKET_RECONNECT_SECONDS`: the first delay.
    pub reconnect_first: Duration,
    /// `WEBSOCKET_RECONNECT_MAX_SECONDS`: the cap of the delay.
    pub reconnect_max: Duration,
    /// `WEBSOCKET_PING_SECONDS`: between pings, and the longest wait for a pong.
    pub ping_interval: Duration,
    /// `RATE_LIMIT_REQUESTS_PER_MINUTE`: handshakes a minute over all connections.
    pub handshakes_per_minute: u32,
}

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `REDIS_URL`; may hold a password.
    pub url: Secret,
    /// Contents of `TLS_CA_FILE`: one more root certificate to trust, PEM.
    pub extra_root_pem: Option<Vec<u8>>,
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

/// What a transaction may come to on the wire, apart from single larger events: it is sent in half a second over a line
/// of 64 Mbit/s.
const TRANSACTION_WEIGHT: usize = 4 * 1024 * 1024;

impl WriterSettings {
    /// What one transaction takes.
    #[must_use]
    pub fn transaction_size(&self) -> TransactionSize {
        TransactionSize { events: self.batch_max_events.max(1), weight: TRANSACTION_WEIGHT }
    }
}

/// The disk queue in front of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// `SPOOL_DIR`: its folder, made when it is missing.
    pub dir: PathBuf,
    /// `SPOOL_MODE`.
    pub mode: SpoolMode,
    /// `SPOOL_KEEP`: how long a record stays after Redis took it.
    pub keep: Duration,
    /// `SPOOL_MAX_BYTES`: what all shards together may take.
    pub max_bytes: u64,
    /// `SPOOL_WHEN_FULL`.
    pub when_full: WhenFull,
    /// `SPOOL_FSYNC`.
    pub fsync: Fsync,
}

impl SpoolSettings {
    /// What one of so many shards may take.
    #[must_use]
    pub fn max_bytes_of_shard(&self, shards: usize) -> u64 {
        self.max_bytes / (shards.max(1) as u64)
    }
}

labelled! {
    /// Which events go to disk.
    SpoolMode {
        /// Every event, before it goes to Redis. The disk pays with an append for each batch; a kill -9 costs nothing.
        Always = "always",
        /// None. A kill -9 costs whatever waits in memory, and a long outage of Redis costs what does not fit there.
        Off = "off",
    }
}

labelled! {
    /// Who suffers when the disk queue is full.
    WhenFull {
        /// The oldest events: they are dropped, counted and entered in the ledger, and the feed is read on.
        DropOldest = "drop_oldest",
        /// The newest events: the sockets are not read until there is room, and the vendor drops silently meanwhile.
        Block = "block",
    }
}

/// When what was appended is forced to the platter. Only a power cut or a crash of the kernel makes a difference: an
/// end of the process alone loses nothing that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// After each append: a power cut costs nothing, and every batch waits for the disk.
    Always,
    /// Once in this time: a power cut costs so much.
    Every(Duration),
    /// When the kernel likes: a power cut costs what it had not written, half a minute by its defaults.
    Never,
}

/// When the supervisor gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartSettings {
    /// `RESTART_INTENSITY`: more crashes than this in the period, and it escalates.
    pub intensity: u32,
    /// `RESTART_PERIOD_SECONDS`.
    pub period: Duration,
}

/// Everything the actors are told.
#[derive(Clone, Debug)]
pub struct ActorSettings {
    /// What is joined.
    pub plan: PlanSettings,
    /// The feed.
    pub feed: FeedSettings,
    /// Redis.
    pub redis: RedisSettings,
    /// The keys.
    pub keys: KeySettings,
    /// How long what is under the keys is kept.
    pub retention: Retention,
    /// The writers.
    pub writers: WriterSettings,
    /// The disk queue.
    pub spool: SpoolSettings,
    /// The supervisor.
    pub restarts: RestartSettings,
}
