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

use slog::{error, warn};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::MutexGuard;
use tokio::time::sleep;
use uw_websocket_core::calendar::retention_cutoff;
use uw_websocket_core::event::{EntryId, Family};
use uw_websocket_core::ids::next_id;
use uw_websocket_core::settings::{KeySettings, Retention};

use super::scope::{BEAT, Scope};
use super::store::fault::{Refusal, StoreFault};
use super::store::{Connection, EntryStatus};
use super::streams::Entry;
use super::streams::{Plan, SlotIndex, Streams};
use super::transaction::Transaction;
use crate::error_chain::ErrorChain;
use crate::fault::FaultPoint;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::observation::unix_micros;
use crate::queue::backlog::{Lent, Position};
use crate::queue::batch::EventBatch;
use crate::queue::shard::Shard;
use crate::queue::{Kept, Queue, Stored};
use crate::sampled::Sampled;

/// Maximum number of streams per query.
const ASKED_AT_ONCE: usize = 512;

/// The ID by stream up to which losses are recorded in the gap ledger.
type Noted = std::collections::HashMap<Arc<str>, EntryId>;

/// Streams with lost entries: their last ID in Redis, and our knowledge of them.
type Shortened = HashMap<Arc<str>, (EntryId, Stored), RandomState>;

/// A record by queue and number.
type Key = (Arc<str>, u64);

/// The result of placing a batch.
#[derive(Debug)]
pub enum Placed {
    /// Entries to write, in order; all others are stored or given up. With the last stored ID of each stream of the
    /// latter.
    Ready(Vec<Entry>, Vec<(SlotIndex, EntryId)>),
    /// Some entries got new IDs: the batch has to be lent again.
    Renumbered,
    /// Entries that are behind their streams and cannot get new IDs, or not again.
    Stuck(Vec<Entry>),
}

/// The knowledge of Redis of one writer's life.
pub struct Reconciler {
    shard: Shard,
    keys: KeySettings,
    retention: Retention,
    /// Streams, with last IDs as of the present connection.
    pub streams: Streams,
    /// Events of the shard's own queue before this position may have been written already.
    doubt: Position,
    unreadable: Unreadable,
    passed_ids: Sampled,
    scope: Scope,
}

/// Records over which Redis closed the connection, and the poison among them, which is in quarantine.
#[derive(Debug, Default)]
struct Unreadable {
    suspects: HashSet<Key>,
    named: HashSet<Key>,
}

impl Reconciler {
    /// Creates the state of a new writer: a previous one may have written everything present.
    #[must_use]
    pub fn new(shard: Shard, keys: KeySettings, retention: Retention, scope: Scope) -> Reconciler {
        Reconciler {
            doubt: shard.queue.end(),
            shard,
            keys,
            retention,
            streams: Streams::default(),
            unreadable: Unreadable::default(),
            passed_ids: Sampled::default(),
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

    /// Whether an event may have been written before. Always true for events of earlier processes.
    fn is_doubtful(&self, queue: &Queue, at: Position) -> bool {
        queue.name() != self.shard.queue.name() || at < self.doubt
    }

    // --- before a write ---------------------------------------------------------------------------------------------

    /// Determines which `wanted` entries of a batch have to be written. Assigns new IDs if `renumbers`.
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

    /// Assigns higher IDs to an entry and all later ones of its stream, except stored ones of its batch.
    async fn renumber(&mut self, queue: &Queue, lent: &Lent, entry: &Entry, stored: &[Entry]) {
        let (event, outlet) = entry.of(&lent.batch);
        let above = self.streams.last(entry.stream);
        if self.passed_ids.is_due(Instant::now()) {
            warn!(self.scope.log, "stream ahead"; "stream" => &outlet.stream, "last_id" => %above);
        }
        // an event may be stored in one of its streams and behind in another
        let of_stream = stored.iter().filter(|stored| stored.stream == entry.stream);
        let skip = of_stream.map(|stored| lent.first + stored.at as u64).collect();
        self.scope.beat.during(queue.reassign((event.route.channel, outlet), skip, above)).await;
    }

    /// Queries the last IDs of streams that are unknown on this connection.
    async fn ask_for_unknown(
        &mut self,
        connection: &mut Connection,
        batch: &EventBatch,
    ) -> Result<(), StoreFault> {
        let unknown = self.streams.unknown(batch);
        let names: Vec<Arc<str>> = unknown.iter().map(|at| Arc::clone(&self.streams.get(*at).key)).collect();
        for (stream, last) in unknown.into_iter().zip(self.last_ids(connection, &names).await?) {
            self.streams.learn(stream, last);
        }
        Ok(())
    }

    /// Returns the last IDs of streams, in order.
    async fn last_ids(
        &self,
        connection: &mut Connection,
        names: &[Arc<str>],
    ) -> Result<Vec<EntryId>, StoreFault> {
        let mut lasts = Vec::with_capacity(names.len());
        for names in names.chunks(ASKED_AT_ONCE) {
            self.scope.beat.beat();
            lasts.extend(connection.last_ids(names).await?);
        }
        Ok(lasts)
    }

    /// Returns the stored ones among entries not above their streams' last IDs.
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

    // --- over a new connection --------------------------------------------------------------------------------------

    /// Ensures that Redis has what it had on the last connection.
    pub async fn restore(&mut self, connection: &mut Connection) -> Result<(), StoreFault> {
        self.streams.forget_lasts();
        if !self.keys.streams {
            return Ok(());
        }
        let healing = Arc::clone(&self.shard.healing);
        let mut noted = self.turn_to_heal(&healing).await;
        let mut kept = Vec::new();
        for queue in self.shard.queues() {
            let kept_by_it = self.scope.beat.during(queue.kept()).await;
            kept.extend(kept_by_it.map(|kept| (queue.clone(), kept)));
        }
        let shortened = self.shortened(connection).await?;
        if shortened.is_empty() {
            return Ok(());
        }
        self.note_lost(&shortened, &mut noted);
        self.write_again(connection, &shortened, kept, &mut noted).await?;
        self.unreadable.suspects.clear();
        Ok(())
    }

    /// Serialises restoring: records of a stream may be in old queues of several generations besides the shard's
    /// own. The next writer finds the work done.
    async fn turn_to_heal<'h>(&self, healing: &'h tokio::sync::Mutex<Noted>) -> MutexGuard<'h, Noted> {
        loop {
            self.scope.beat.beat();
            tokio::select! {
                turn = healing.lock() => return turn,
                () = sleep(BEAT) => {}
            }
        }
    }

    async fn shortened(&self, connection: &mut Connection) -> Result<Shortened, StoreFault> {
        let mut known: HashMap<Arc<str>, Stored, RandomState> = HashMap::default();
        for (stream, stored) in self.shard.queues().flat_map(Queue::stored) {
            let all = known.entry(stream).or_default();
            (all.last, all.unkept) = (all.last.max(stored.last), all.unkept.max(stored.unkept));
        }
        // a stream removed because of its age has lost nothing
        let oldest = self.oldest_wanted_ms();
        let known: Vec<(Arc<str>, Stored)> =
            known.into_iter().filter(|(_, stored)| stored.last.ms >= oldest).collect();
        let mut shortened = Shortened::default();
        let names: Vec<Arc<str>> = known.iter().map(|(stream, _)| Arc::clone(stream)).collect();
        for ((stream, stored), last) in known.into_iter().zip(self.last_ids(connection, &names).await?) {
            if last < stored.last {
                shortened.insert(stream, (last, stored));
            }
        }
        Ok(shortened)
    }

    fn oldest_wanted_ms(&self) -> u64 {
        retention_cutoff(self.retention, unix_micros() / 1000).unwrap_or_default()
    }

    /// Records in the gap ledger, once, what cannot be rewritten.
    fn note_lost(&self, shortened: &Shortened, noted: &mut Noted) {
        let now = unix_micros() / 1000;
        let (oldest, prefix) = (self.oldest_wanted_ms(), self.keys.stream_prefix());
        let mut gaps: BTreeMap<Family, (Vec<String>, u64, u64)> = BTreeMap::new();
        for (stream, (last, Stored { unkept: gone, .. })) in shortened {
            let noted = noted.entry(Arc::clone(stream)).or_default();
            if *gone <= (*last).max(*noted) || gone.ms < oldest {
                continue;
            }
            *noted = *gone;
            let topic = stream.strip_prefix(&prefix).unwrap_or(stream);
            let family = family_of(topic);
            // times in IDs mean nothing after an ID of the future
            let to = gone.ms.min(now);
            let from = if last.ms > to { oldest } else { last.ms.max(oldest) };
            let gap = gaps.entry(family).or_insert_with(|| (Vec::new(), from, to));
            gap.0.push(topic.to_owned());
            (gap.1, gap.2) = (gap.1.min(from), gap.2.max(to));
        }
        for (family, (mut topics, from, to)) in gaps {
            topics.sort_unstable();
            // the range includes the last millisecond
            let between = (from * 1000, (to + 1) * 1000);
            self.scope.gaps.note(Gap::new(family, topics, between, GapReason::RedisLost));
        }
    }

    async fn write_again(
        &mut self,
        connection: &mut Connection,
        shortened: &Shortened,
        kept: Vec<(Queue, Kept)>,
        noted: &mut Noted,
    ) -> Result<(), StoreFault> {
        let mut written = 0;
        for (queue, mut kept) in kept {
            loop {
                let from = kept.from();
                let batches = match self.scope.beat.during(kept.read()).await {
                    Ok(Some(batches)) => batches,
                    Ok(None) => break,
                    Err(error) => {
                        error!(self.scope.log, "disk queue unreadable"; ErrorChain::new(&error));
                        self.note_lost(&all_gone(shortened), noted);
                        break;
                    }
                };
                if let Some(gone) = self.gone_since(&queue, from).await {
                    // its retention ended before it was read
                    self.note_lost(&with(shortened, &gone), noted);
                }
                for (record, batch) in &batches {
                    if !self.scope.gate.may_write() {
                        return Err(StoreFault::Unreachable("the lease is not confirmed".into()));
                    }
                    let place = (queue.name(), *record);
                    written += self.write_batch_again(connection, place, batch, shortened).await?;
                }
            }
        }
        warn!(self.scope.log, "redis had lost entries";
            "streams" => shortened.len(), "written_again" => written);
        Ok(())
    }

    /// Returns the present knowledge of the streams if records from `from` on have been removed meanwhile.
    async fn gone_since(&self, queue: &Queue, from: u64) -> Option<Vec<(Arc<str>, Stored)>> {
        let now = self.scope.beat.during(queue.kept()).await;
        now.is_none_or(|now| now.from() > from).then(|| queue.stored())
    }

    /// Writes the missing entries of a batch; returns their number.
    async fn write_batch_again(
        &mut self,
        connection: &mut Connection,
        (queue, record): (&Arc<str>, u64),
        batch: &EventBatch,
        shortened: &Shortened,
    ) -> Result<usize, StoreFault> {
        let key = |at: usize| (Arc::clone(queue), record + at as u64);
        let unreadable = &self.unreadable;
        let is_missing = |at: usize, outlet: usize| {
            let event = &batch.events()[at];
            let stream = &event.route.outlets[outlet].stream;
            let is_lost = shortened.get(stream).is_some_and(|(last, _)| event.ids.get(outlet) > *last);
            is_lost && (unreadable.named.is_empty() || !unreadable.named.contains(&key(at)))
        };
        // their own IDs are above the last ones of the shortened streams
        let Plan { entries, behind } = self.streams.plan(batch, is_missing);
        let entries: Vec<Entry> = {
            let mut all = [entries, behind].concat();
            all.sort_unstable_by_key(|entry| (entry.at, entry.outlet));
            all
        };
        let singly = !self.unreadable.suspects.is_empty()
            && entries.iter().any(|entry| self.unreadable.suspects.contains(&key(entry.at)));
        let mut written = 0;
        for group in entries.chunk_by(|one, next| !singly || one.at == next.at) {
            self.scope.beat.beat();
            let mut transaction = Transaction::default();
            transaction.encode(batch, group, &mut self.streams);
            let refused = match connection.transact(transaction.commands()).await {
                Ok(refused) => refused,
                Err(fault) => {
                    if matches!(fault, StoreFault::Refused { refusal: Refusal::Unreadable, .. }) {
                        self.unreadable.note(group, key);
                    }
                    return Err(fault);
                }
            };
            if let Some(refused) = refused.first() {
                // quarantined before, or another client wrote higher IDs to a stream just shortened
                warn!(self.scope.log, "entry not written again";
                    "kind" => refused.refusal.label(), "error" => &refused.text);
            }
            written += group.len() - refused.len().min(group.len());
        }
        if let Some(snapshots) = &self.scope.snapshots {
            // entries missing in the streams may be missing in the hashes too
            let events = entries.chunk_by(|one, next| one.at == next.at).filter_map(<[_]>::first);
            snapshots.kept(events.map(|entry| entry.of(batch).0));
        }
        Ok(written)
    }
}

impl Unreadable {
    /// Records that Redis closed the connection over one of these entries. Restoring restarts on another
    /// connection: they are then sent one by one, and the poison is left out.
    fn note(&mut self, entries: &[Entry], key: impl Fn(usize) -> Key) {
        let is_one = entries.iter().all(|entry| Some(entry.at) == entries.first().map(|first| first.at));
        let keys = entries.iter().map(|entry| key(entry.at));
        if is_one { self.named.extend(keys) } else { self.suspects.extend(keys) }
    }
}

/// Treats all entries as lost, when it is unknown which can be rewritten.
fn all_gone(shortened: &Shortened) -> Shortened {
    let gone = |(stream, (last, stored)): (&Arc<str>, &(EntryId, Stored))| {
        (Arc::clone(stream), (*last, Stored { unkept: stored.last, ..*stored }))
    };
    shortened.iter().map(gone).collect()
}

/// Updates the knowledge of the same streams.
fn with(shortened: &Shortened, now: &[(Arc<str>, Stored)]) -> Shortened {
    let known = |(stream, stored): &(Arc<str>, Stored)| {
        let (last, _) = shortened.get(stream)?;
        Some((Arc::clone(stream), (*last, *stored)))
    };
    now.iter().filter_map(known).collect()
}
