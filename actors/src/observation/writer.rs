//! Observations of a writer and its shard.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use uw_websocket_core::labelled;

use super::cells::{Count, CountsBy, Gauge, Micros, Moment, StateCell, depth, unlocked};
use super::latency::Latency;
use super::metric::observed;

labelled! {
    /// The state of a writer.
    WriterState {
        /// Nothing to write.
        Idle = "idle",
        /// A transaction is in progress.
        Writing = "writing",
        /// Redis is unavailable or refuses; the writer keeps retrying.
        Retrying = "retrying",
        /// Events are waiting, but Redis has not confirmed the lease.
        AwaitingLease = "awaiting_lease",
        /// Ended.
        Stopped = "stopped",
    }
}

observed! {
    /// One writer and its shard.
    #[derive(Debug, Default, Serialize)]
    pub struct WriterObservation {
        /// 1 for the current state of a writer, 0 for all others.
        pub state: StateCell<WriterState> = "uw_ws_writer_state" by "state",
        /// Whether Redis confirmed the writer's last transaction or ping.
        pub redis_up: AtomicBool,
        /// The last error of Redis.
        #[serde(serialize_with = "unlocked")]
        pub last_error: Mutex<Option<String>>,
        /// Time from reading a frame to completing its append to the disk queue; one observation per event.
        #[serde(skip)]
        pub append_latency: Latency = "uw_ws_append_latency_seconds",
        /// Time from reading a frame to the reply from Redis.
        #[serde(skip)]
        pub latency: Latency,
        /// Time connections spent waiting for room in the inbox of a shard.
        #[serde(rename = "mailbox_wait_seconds")]
        pub mailbox_wait_us: Micros = "uw_ws_mailbox_wait_seconds_total",
        /// Batches delivered to the inbox of a shard.
        #[serde(skip)]
        pub batches_in: Count = "uw_ws_writer_batches_total",
        /// Batches that left the inbox permanently.
        #[serde(skip)]
        pub batches_out: Count,
        /// Bytes of memory of the batches delivered to the inbox of a shard.
        #[serde(skip)]
        pub bytes_in: Count = "uw_ws_writer_bytes_total",
        /// Memory of the batches that left the inbox permanently.
        #[serde(skip)]
        pub bytes_out: Count,
        /// Transactions confirmed by Redis.
        pub transactions: Count = "uw_ws_writer_transactions_total",
        /// Events in these transactions.
        pub events: Count = "uw_ws_writer_events_total",
        /// Failed transactions that were retried.
        pub retries: Count = "uw_ws_writer_retries_total",
        /// Transactions whose outcome had to be looked up in Redis.
        pub unknown_outcomes: Count = "uw_ws_writer_unknown_outcomes_total",
        /// Replicas connected to Redis.
        pub replicas: Gauge = "uw_ws_redis_replicas",
        /// Age in seconds of the oldest writes that no replica has confirmed, as of the last query.
        #[serde(rename = "replica_behind_seconds")]
        pub replica_behind: Gauge = "uw_ws_redis_replica_behind_seconds",
        /// The writer's hashes.
        pub snapshots: SnapshotObservation,
        /// Events in the disk queue not yet confirmed by Redis.
        #[serde(skip)]
        pub spool_events: Gauge = "uw_ws_spool_events",
        /// Size of the disk queue, including the retained events that Redis has already confirmed.
        #[serde(skip)]
        pub spool_bytes: Gauge = "uw_ws_spool_bytes",
        /// Maximum size of the disk queue of a shard; 0 without one.
        #[serde(skip)]
        pub spool_limit: Gauge = "uw_ws_spool_limit_bytes",
        /// Time at which the oldest event in the disk queue was received.
        #[serde(skip)]
        pub spool_oldest: Moment,
        /// Time at which the oldest waiting event was received, if it is in memory.
        #[serde(skip)]
        pub memory_oldest: Moment,
        /// Why the disk does not accept appends; `None` while it does.
        #[serde(skip)]
        pub spool_fault: Mutex<Option<String>>,
    }
}

impl WriterObservation {
    /// Returns the number of batches in the inbox.
    #[must_use]
    pub fn batches_waiting(&self) -> u64 {
        depth(&self.batches_in, &self.batches_out)
    }

    /// Returns the memory of the batches in the inbox, in bytes.
    #[must_use]
    pub fn bytes_waiting(&self) -> u64 {
        depth(&self.bytes_in, &self.bytes_out)
    }
}

labelled! {
    /// A kind of hash kept up to date by a writer.
    SnapshotKind {
        /// `ws:latest:` hashes.
        Latest = "latest",
        /// Cells of `ws:map:` hashes.
        Map = "map",
        /// Bodies under `rest:`.
        Rest = "rest",
    }
}

labelled! {
    /// A problem with writing a hash.
    SnapshotTrouble {
        /// The fetcher had written in between; the write is retried.
        Conflict = "conflict",
        /// The write was put off for a second after the maximum number of consecutive conflicts.
        PutOff = "put_off",
        /// Redis refused the write because of the key.
        Refused = "refused",
        /// The hashes of an event were not written because too many updates were waiting.
        Skipped = "skipped",
        /// A map had as many fields as it may have, and lacks this one.
        Full = "full",
        /// A body had a different shape than its endpoint's, and was left untouched.
        Unreadable = "unreadable",
        /// An event cannot be converted to a part of a body.
        Untranslatable = "untranslatable",
        /// A board was dropped before all its frames were there.
        IncompleteBoard = "incomplete_board",
    }
}

observed! {
    /// The hashes kept up to date by a writer.
    #[derive(Debug, Default, Serialize)]
    pub struct SnapshotObservation {
        /// Writes of `ws:latest:` and `rest:` hashes, and of cells of `ws:map:` hashes.
        pub writes: CountsBy<SnapshotKind> = "uw_ws_snapshot_writes_total" by "kind",
        /// Bodies under `rest:` rewritten because another writer had stored older rows.
        pub healed: Count = "uw_ws_snapshot_healed_total",
        /// Snapshot problems: `conflict` and `put_off` are retried; `refused` by Redis; `unreadable` bodies are left
        /// untouched; `untranslatable` and `skipped` events, cells of a `full` map and those of an `incomplete_board`, are
        /// in their streams only.
        pub troubles: CountsBy<SnapshotTrouble> = "uw_ws_snapshot_troubles_total" by "kind",
        /// Memory of the updates waiting to be written to hashes.
        pub pending_bytes: Gauge = "uw_ws_snapshot_pending_bytes",
        /// Why Redis takes no hashes; `None` while it does.
        #[serde(serialize_with = "unlocked")]
        pub fault: Mutex<Option<String>>,
        /// Memory of the cached REST bodies.
        pub held_bytes: Gauge = "uw_ws_snapshot_held_bytes",
    }
}
