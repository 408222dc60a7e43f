//! Tracks, stream by stream, what Redis has and where to continue above it.
//!
//! * On each new connection, [`Reconciler::restore`]: a Redis that was restarted without persistence or with a file
//!   one second old, or replaced by a lagging replica, has lost stored entries, which each stream's last ID shows.
//!   Records stay on disk for a while after storage, so these are rewritten with their own IDs and in order;
//!   whatever is no longer on disk is lost and recorded in the gap ledger. Idempotent.
//! * Before each write, [`Reconciler::place`]: a stream's last ID is queried if unknown (on a new connection, after
//!   an unknown outcome, after a refused ID). Entries not above it are stored already, if they may have been
//!   written before; otherwise they get new IDs, and with them the whole backlog of their stream: in order, and on
//!   disk before anything is sent, so that after a kill -9 the records state the ID to look for.
//!
//! Nothing here assumes that two streams are on one server.

use slog::warn;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uw_websocket_core::event::EntryId;
use uw_websocket_core::ids::next_id;
use uw_websocket_core::settings::{KeySettings, Retention};
use uw_websocket_core::tables::{MAX_STREAMS, share};

use super::late::LateEvents;
use super::overlap::Overlap;
use super::replicas::Replicas;
use super::restore::{Restorer, last_ids};
use super::scope::WriterScope;
use super::store::address::Address;
use super::store::fault::StoreFault;
use super::store::replication::ServerInfo;
use super::store::{EntryStatus, RedisConnection};
use super::streams::Entry;
use super::streams::{Plan, SlotIndex, Streams};
use crate::fault::{FaultKind, FaultPoint};
use crate::ledger::left_queue::Late;
use crate::log_throttle::LogThrottle;
use crate::queue::Queue;
use crate::queue::backlog::{Lent, Position};
use crate::queue::batch::EventBatch;
use crate::queue::shard::Shard;

/// Maximum time for the announcement of late events before it is asked for again: the ledger needs milliseconds, and more only
/// if Redis does not take its state.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);

/// The result of placing a batch.
#[derive(Debug)]
pub enum Placed {
    /// Entries to write, in order; all others are stored, given up or, of a stream whose node is away, left out.
    Ready(Ready),
    /// Some entries got new IDs: the batch has to be lent again.
    Renumbered,
    /// Entries that are behind their streams and cannot get new IDs, or not again.
    Stuck(Vec<Entry>),
}

/// A batch that can be written.
#[derive(Debug, Default)]
pub struct Ready {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// The last stored ID of each stream of which entries are stored.
    pub stored: Vec<(SlotIndex, EntryId)>,
    /// Whether entries were left out because the node of their stream is away.
    pub is_partial: bool,
}

/// The knowledge of Redis of one writer's life.
pub struct Reconciler {
    shard: Shard,
    keys: KeySettings,
    /// Streams, with last IDs as of the present connection.
    pub streams: Streams,
    /// Events of the shard's own queue before this position may have been written already.
    doubt: Position,
    restorer: Restorer,
    /// What another instance has stored in our place.
    overlap: Overlap,
    /// The late events of the lent batch.
    pub late: LateEvents,
    passed_ids: LogThrottle,
    lookups: LogThrottle,
    /// What replicas have.
    pub replicas: Replicas,
    scope: WriterScope,
}

impl Reconciler {
    /// Creates the state of a new writer: a previous one may have written everything present.
    #[must_use]
    pub fn new(
        shard: Shard,
        keys: KeySettings,
        retention: Retention,
        address: &Address,
        scope: WriterScope,
    ) -> Reconciler {
        let horizon = Arc::clone(&shard.replicated);
        Reconciler {
            replicas: Replicas::new(horizon, address.has_replicas(), Instant::now()),
            doubt: shard.queue.end(),
            restorer: Restorer::new(
                shard.clone(),
                keys.clone(),
                retention,
                address.cluster().is_some(),
                scope.clone(),
            ),
            streams: Streams::default().bounded(share(MAX_STREAMS, shard.shards)),
            shard,
            keys,
            overlap: Overlap::new(Arc::clone(&scope.observations), scope.beat.clone(), scope.log.clone()),
            late: LateEvents::default(),
            passed_ids: LogThrottle::default(),
            lookups: LogThrottle::default(),
            scope,
        }
    }

    /// Returns the prefix of all keys.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.keys.prefix
    }

    /// Whether streams are written; if not, a transaction is empty and only shows that Redis is available.
    #[must_use]
    pub fn writes_streams(&self) -> bool {
        self.keys.streams
    }

    /// Records that a lent batch is about to be sent: until it has ended it may be in Redis.
    pub fn sends(&mut self, lent: &Lent) {
        self.doubt = self.doubt.max(lent.end());
    }

    /// Announces the late events among entries that are about to be sent; returns whether the ledger has them.
    pub async fn announces(&mut self, lent: &Lent, entries: &[Entry]) -> bool {
        let Some(late) = self.scope.gaps.late() else { return true };
        let announcement = self.late.announce(lent, late, entries, &self.scope.gaps);
        self.scope.beat.during(self.scope.gaps.is_kept(announcement, ANNOUNCED_WITHIN)).await
    }

    /// Whether an event may have been written before. Always true for events of earlier processes.
    fn is_doubtful(&self, queue: &Queue, at: Position) -> bool {
        queue.name() != self.shard.queue.name() || at < self.doubt
    }

    // --- before a write ---------------------------------------------------------------------------------------------

    /// Determines which `wanted` entries of a batch have to be written. Assigns new IDs if `renumbers`.
    pub async fn place(
        &mut self,
        connection: &mut RedisConnection,
        queue: &Queue,
        lent: &Lent,
        renumbers: bool,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Result<Placed, StoreFault> {
        if !self.keys.streams {
            return Ok(Placed::Ready(Ready::default()));
        }
        self.streams.set_reach(connection.reach());
        self.ask_for_unknown(connection, &lent.batch).await?;
        let mut plan = self.streams.plan(&lent.batch, &wanted);
        let mut stored = Vec::new();
        if !plan.behind.is_empty() {
            self.scope.faults.reach(FaultPoint::Reconciling).await;
            stored = self.stored_of(connection, queue, lent, &plan.behind).await?;
        }
        if let Some(late) = self.late() {
            let doubles = self.doubles(connection, (lent, late), &plan, &stored).await?;
            if !doubles.is_empty() {
                let wanted =
                    |at, destination| wanted(at, destination) && !doubles.contains(&(at, destination));
                plan = self.streams.plan(&lent.batch, wanted);
            }
            self.late.found(lent, doubles);
        }
        let Plan { entries, behind, is_partial } = plan;
        let found: HashSet<(usize, usize)> =
            stored.iter().map(|entry| (entry.at, entry.destination)).collect();
        let is_stored = |entry: &Entry| found.contains(&(entry.at, entry.destination));
        let late: Vec<Entry> = behind.into_iter().filter(|entry| !is_stored(entry)).collect();
        if late.is_empty() {
            let stored = stored.iter().map(|entry| (entry.stream, entry.id)).collect();
            return Ok(Placed::Ready(Ready { entries, stored, is_partial }));
        }
        let is_stuck = |entry: &Entry| !renumbers || next_id(self.streams.last(entry.stream), 0).is_err();
        let stuck: Vec<Entry> = late.iter().filter(|entry| is_stuck(entry)).copied().collect();
        if !stuck.is_empty() {
            return Ok(Placed::Stuck(stuck));
        }
        let mut renumbered = HashSet::new();
        for entry in &late {
            if renumbered.insert(entry.stream) {
                self.renumber(queue, lent, entry, &stored).await;
            }
        }
        Ok(Placed::Renumbered)
    }

    /// Returns which events are late; once none is, forgets what they were compared with.
    fn late(&mut self) -> Option<Late> {
        let late = self.scope.gaps.late();
        if late.is_none() && !self.overlap.is_empty() {
            self.overlap.clear();
        }
        late
    }

    /// Returns the entries, by event and destination, that another instance has stored in our place.
    async fn doubles(
        &mut self,
        connection: &mut RedisConnection,
        (lent, late): (&Lent, Late),
        plan: &Plan,
        stored: &[Entry],
    ) -> Result<BTreeSet<(usize, usize)>, StoreFault> {
        self.overlap.read(connection, lent.batch.events(), late).await?;
        let is_double = |entry: &&Entry| {
            let (event, destination) = entry.of(&lent.batch);
            !stored.contains(entry) && self.overlap.has(event, destination, late)
        };
        let entries = plan.entries.iter().chain(&plan.behind).filter(is_double);
        Ok(entries.map(|entry| (entry.at, entry.destination)).collect())
    }

    /// Assigns higher IDs to an entry and all later ones of its stream, except stored ones of its batch.
    async fn renumber(&mut self, queue: &Queue, lent: &Lent, entry: &Entry, stored: &[Entry]) {
        let (event, destination) = entry.of(&lent.batch);
        let above = self.streams.last(entry.stream);
        if self.passed_ids.is_due(Instant::now()) {
            warn!(self.scope.log, "stream ahead"; "stream" => &destination.stream, "last_id" => %above);
        }
        // an event may be stored in one of its streams and behind in another
        let of_stream = stored.iter().filter(|stored| stored.stream == entry.stream);
        let skip = of_stream.map(|stored| lent.first + stored.at as u64).collect();
        self.scope.beat.during(queue.reassign((event.route.channel, destination), skip, above)).await;
    }

    /// Queries the last IDs of streams that are unknown on this connection.
    async fn ask_for_unknown(
        &mut self,
        connection: &mut RedisConnection,
        batch: &EventBatch,
    ) -> Result<(), StoreFault> {
        let unknown = self.streams.unknown(batch);
        let names: Vec<Arc<str>> = unknown.iter().map(|at| Arc::clone(&self.streams.get(*at).key)).collect();
        for (stream, last) in unknown.into_iter().zip(last_ids(connection, &self.scope.beat, &names).await?) {
            self.streams.learn(stream, last);
        }
        Ok(())
    }

    /// Returns the stored ones among entries not above their streams' last IDs.
    async fn stored_of(
        &mut self,
        connection: &mut RedisConnection,
        queue: &Queue,
        lent: &Lent,
        behind: &[Entry],
    ) -> Result<Vec<Entry>, StoreFault> {
        let is_doubtful = |entry: &&Entry| self.is_doubtful(queue, lent.first + entry.at as u64);
        let doubtful: Vec<Entry> = behind.iter().filter(is_doubtful).copied().collect();
        if doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let questions: Vec<_> = doubtful
            .iter()
            .map(|entry| {
                let (event, destination) = entry.of(&lent.batch);
                (&*destination.stream, entry.id, &event.payload[..])
            })
            .collect();
        self.scope.beat.beat();
        let statuses = connection.entry_statuses(&questions).await?;
        let stored: Vec<Entry> = doubtful
            .into_iter()
            .zip(statuses)
            .filter(|(_, status)| *status == EntryStatus::Stored)
            .map(|(entry, _)| entry)
            .collect();
        // after the outage of a node each batch that was written ahead of it is looked up
        if self.lookups.is_due(Instant::now()) {
            warn!(self.scope.log, "transaction looked up"; "stored" => stored.len() == behind.len());
        }
        Ok(stored)
    }

    /// Records what the servers say of their replicas, in answer to a question sent at `asked`; and whether other nodes are
    /// away.
    pub fn note_replicas(&mut self, asked: Instant, servers: &[(String, ServerInfo)], are_away: bool) {
        let replicas = servers.iter().map(|(_, server)| server.replication.replicas).min();
        self.replicas.note(asked, servers, are_away);
        let observed = self.scope.observed();
        observed.replicas.set(replicas.unwrap_or_default() as u64);
        observed.replica_behind.set(self.replicas.behind(Instant::now()).as_secs());
    }

    /// Ensures that Redis has what it had on the last connection.
    pub async fn restore(&mut self, connection: &mut RedisConnection) -> Result<(), StoreFault> {
        self.streams.forget_lasts();
        self.streams.set_reach(connection.reach());
        match self.scope.faults.at(FaultPoint::Restoring) {
            Some(FaultKind::Omit) => return Ok(()),
            Some(fault) => fault.strike_loop(FaultPoint::Restoring).await,
            None => {}
        }
        if self.keys.streams { self.restorer.restore(connection, &mut self.streams).await } else { Ok(()) }
    }
}
