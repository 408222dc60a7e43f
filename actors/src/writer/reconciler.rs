//! Where a writer stands with Redis, stream by stream: what Redis has, and where to resume above it.
//!
//! * Over each new connection, [`Reconciler::restore`]: a Redis that was restarted without persistence, or with a file a
//!   second old, or replaced by a replica that was behind, has taken entries that it no longer has. Each stream's last ID
//!   shows it. Records stay on disk for a while after they were stored, so that these are written again, under their own
//!   IDs and in order; what is no longer on disk is lost and is entered in the gap ledger. Doing it twice does no harm.
//! * Before each write, [`Reconciler::place`]: a stream's last ID is asked for when it is not known (over a new connection,
//!   after an unknown outcome, when Redis refused an ID). Entries that are not above it are stored already, if they may have
//!   been written before, or get new IDs, and with them the whole backlog of their stream: in its order, and on disk before
//!   anything is sent, so that after a kill -9 the records say under which ID to look for each.
//!
//! Nothing here assumes that two streams live on one server.

use slog::warn;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use uw_websocket_core::event::EntryId;
use uw_websocket_core::ids::next_id;
use uw_websocket_core::settings::{KeySettings, Retention};

use super::restore::{Restorer, last_ids};
use super::scope::Scope;
use super::store::fault::StoreFault;
use super::store::{Connection, EntryStatus};
use super::streams::Entry;
use super::streams::{Plan, SlotIndex, Streams};
use crate::fault::FaultPoint;
use crate::queue::Queue;
use crate::queue::backlog::{Lent, Position};
use crate::queue::batch::EventBatch;
use crate::queue::shard::Shard;
use crate::sampled::Sampled;

/// How the entries of a batch stand.
#[derive(Debug)]
pub enum Placed {
    /// These are to be written, in order; all others are stored or given up. With the last stored ID of each stream of those.
    Ready(Vec<Entry>, Vec<(SlotIndex, EntryId)>),
    /// Some got new IDs: the batch is to be lent anew.
    Renumbered,
    /// These have fallen behind their streams and cannot get new IDs, or not once more.
    Stuck(Vec<Entry>),
}

/// What one life of a writer knows of Redis.
pub struct Reconciler {
    shard: Shard,
    keys: KeySettings,
    /// The streams; their last IDs are those of the present connection.
    pub streams: Streams,
    /// Events of the shard's own queue before this position may have been written already.
    doubt: Position,
    restorer: Restorer,
    passed_ids: Sampled,
    scope: Scope,
}

impl Reconciler {
    /// A new life: an earlier one may have written all that is there.
    #[must_use]
    pub fn new(shard: Shard, keys: KeySettings, retention: Retention, scope: Scope) -> Reconciler {
        Reconciler {
            doubt: shard.queue.end(),
            restorer: Restorer::new(shard.clone(), keys.clone(), retention, scope.clone()),
            shard,
            keys,
            streams: Streams::default(),
            passed_ids: Sampled::default(),
            scope,
        }
    }

    /// What all keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.keys.prefix
    }

    /// Whether there are streams at all; if not, a transaction is empty and tells that Redis is there.
    #[must_use]
    pub fn writes_streams(&self) -> bool {
        self.keys.streams
    }

    /// What was lent is about to be sent: until it has ended it may be in Redis.
    pub fn sends(&mut self, lent: &Lent) {
        self.doubt = self.doubt.max(lent.end());
    }

    /// Whether an event may have been written before. What an earlier process left always may.
    fn is_doubtful(&self, queue: &Queue, at: Position) -> bool {
        queue.name() != self.shard.queue.name() || at < self.doubt
    }

    // --- before a write ---------------------------------------------------------------------------------------------

    /// Finds out what of a batch is to be written, but for the entries that are not `wanted`. New IDs are given if `renumbers`.
    pub async fn place(
        &mut self,
        connection: &mut Connection,
        queue: &Queue,
        lent: &Lent,
        renumbers: bool,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Result<Placed, StoreFault> {
        if !self.keys.streams {
            return Ok(Placed::Ready(Vec::new(), Vec::new()));
        }
        self.ask_for_unknown(connection, &lent.batch).await?;
        let Plan { entries, behind } = self.streams.plan(&lent.batch, wanted);
        if behind.is_empty() {
            return Ok(Placed::Ready(entries, Vec::new()));
        }
        self.scope.faults.reach(FaultPoint::Reconciling).await;
        let stored = self.stored_of(connection, queue, lent, &behind).await?;
        let late: Vec<Entry> = behind.into_iter().filter(|entry| !stored.contains(entry)).collect();
        if late.is_empty() {
            let lasts = stored.iter().map(|entry| (entry.stream, entry.id)).collect();
            return Ok(Placed::Ready(entries, lasts));
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

    /// Gives an entry and what is behind it in its stream IDs above the last one, but for those of its batch that are stored.
    async fn renumber(&mut self, queue: &Queue, lent: &Lent, entry: &Entry, stored: &[Entry]) {
        let (event, outlet) = entry.of(&lent.batch);
        let above = self.streams.last(entry.stream);
        if self.passed_ids.is_due(Instant::now()) {
            warn!(self.scope.log, "stream ahead"; "stream" => &outlet.stream, "last_id" => %above);
        }
        // an event may be stored in one of its streams and late in another
        let of_stream = stored.iter().filter(|stored| stored.stream == entry.stream);
        let skip = of_stream.map(|stored| lent.first + stored.at as u64).collect();
        self.scope.beat.during(queue.reassign((event.route.channel, outlet), skip, above)).await;
    }

    /// Learns the last IDs of streams that are not known over this connection.
    async fn ask_for_unknown(
        &mut self,
        connection: &mut Connection,
        batch: &EventBatch,
    ) -> Result<(), StoreFault> {
        let unknown = self.streams.unknown(batch);
        let names: Vec<Arc<str>> = unknown.iter().map(|at| Arc::clone(&self.streams.get(*at).key)).collect();
        for (stream, last) in unknown.into_iter().zip(last_ids(connection, &self.scope.beat, &names).await?) {
            self.streams.learn(stream, last);
        }
        Ok(())
    }

    /// Of entries whose streams have gone past them, those that are stored.
    async fn stored_of(
        &mut self,
        connection: &mut Connection,
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
                let (event, outlet) = entry.of(&lent.batch);
                (&*outlet.stream, entry.id, &event.payload[..])
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
        warn!(self.scope.log, "transaction looked up"; "stored" => stored.len() == behind.len());
        Ok(stored)
    }

    /// Sees to it that Redis has what it had when it was last connected.
    pub async fn restore(&mut self, connection: &mut Connection) -> Result<(), StoreFault> {
        self.streams.forget_lasts();
        if self.keys.streams { self.restorer.restore(connection, &mut self.streams).await } else { Ok(()) }
    }
}
