//! Restores what Redis has lost: on a new connection it may have less than before, and is rewritten from the disks.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slog::{error, warn};
use tokio::sync::MutexGuard;
use tokio::time::sleep;
use uw_websocket_core::calendar::retention_cutoff;
use uw_websocket_core::event::{EntryId, Family};
use uw_websocket_core::settings::{KeySettings, Retention};
use uw_websocket_core::tables::{MAX_STREAMS, keep_highest};

use super::scope::{BEAT, WriterScope};
use super::store::RedisConnection;
use super::store::fault::{Refusal, StoreFault};
use super::streams::{Entry, Plan, Streams};
use super::transaction::Transaction;
use crate::error_chain::ErrorChain;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::observation::Table;
use crate::queue::batch::EventBatch;
use crate::queue::shard::Shard;
use crate::queue::{Kept, Queue, Stored};
use crate::supervisor::Heartbeat;
use crate::wall_clock::unix_micros;

/// Maximum number of streams per query.
const ASKED_AT_ONCE: usize = 512;
/// Maximum number of topics of a gap; of more, it names the channels. An entry of the ledger has some kilobytes then.
const MAX_TOPICS: usize = 256;

/// The ID by stream up to which losses are recorded in the gap ledger.
type Noted = std::collections::HashMap<Arc<str>, EntryId>;

/// Streams with lost entries: their last ID in Redis, and our knowledge of them.
type Shortened = HashMap<Arc<str>, (EntryId, Stored), RandomState>;

/// A record by queue and number.
type Key = (Arc<str>, u64);

/// Restores the entries of a shard's streams that Redis has lost.
pub struct Restorer {
    shard: Shard,
    keys: KeySettings,
    retention: Retention,
    is_cluster: bool,
    unreadable: Unreadable,
    scope: WriterScope,
}

/// Records over which Redis closed the connection, and the poison among them, which is in quarantine.
#[derive(Debug, Default)]
struct Unreadable {
    suspects: HashSet<Key>,
    named: HashSet<Key>,
}

impl Restorer {
    /// Creates the state for a shard.
    #[must_use]
    pub fn new(
        shard: Shard,
        keys: KeySettings,
        retention: Retention,
        is_cluster: bool,
        scope: WriterScope,
    ) -> Restorer {
        Restorer { shard, keys, retention, is_cluster, unreadable: Unreadable::default(), scope }
    }

    /// Rewrites lost entries still on disk, and records the rest in the gap ledger.
    pub async fn restore(
        &mut self,
        connection: &mut RedisConnection,
        streams: &mut Streams,
    ) -> Result<(), StoreFault> {
        let restoring = Arc::clone(&self.shard.restoring);
        let mut noted = self.turn_to_restore(&restoring).await;
        let mut kept = Vec::new();
        for queue in self.shard.queues() {
            let kept_by_it = self.scope.beat.during(queue.kept()).await;
            kept.extend(kept_by_it.map(|kept| (queue.clone(), kept)));
        }
        let shortened = self.shortened(connection, streams).await?;
        // what is stored in streams that were forgotten is read from the disk
        let is_complete = kept.iter().all(|(_, kept)| kept.is_complete());
        if shortened.is_empty() && is_complete {
            return Ok(());
        }
        self.note_lost(&shortened, &mut noted);
        self.write_again((connection, streams), &shortened, kept, &mut noted).await?;
        self.unreadable.suspects.clear();
        Ok(())
    }

    /// Returns the streams of these batches that have lost entries, including those that were forgotten.
    async fn shortened_of(
        &self,
        connection: &mut RedisConnection,
        batches: &[(u64, EventBatch)],
        shortened: &Shortened,
        streams: &Streams,
    ) -> Result<Shortened, StoreFault> {
        let oldest = self.oldest_wanted_ms();
        let mut highest: HashMap<Arc<str>, EntryId, RandomState> = HashMap::default();
        for event in batches.iter().flat_map(|(_, batch)| batch.events()) {
            for (destination, id) in event.route.destinations.iter().zip(event.ids.as_slice()) {
                // a stream removed because of its age has lost nothing
                let is_asked = id.ms >= oldest && streams.reaches(&destination.stream);
                if is_asked && !shortened.contains_key(&destination.stream) {
                    let known = highest.entry_ref(&*destination.stream).or_default();
                    *known = (*known).max(*id);
                }
            }
        }
        let names: Vec<Arc<str>> = highest.keys().cloned().collect();
        let last_ids = last_ids(connection, &self.scope.beat, &names).await?;
        let mut all = Shortened::default();
        for (stream, last) in names.into_iter().zip(last_ids) {
            if highest.get(&stream).is_some_and(|id| last < *id) {
                all.insert(stream, (last, Stored::default()));
            }
        }
        let events = batches.iter().flat_map(|(_, batch)| batch.events());
        for destination in events.flat_map(|event| &event.route.destinations) {
            if let Some((stream, known)) = shortened.get_key_value(&destination.stream) {
                all.insert(Arc::clone(stream), *known);
            }
        }
        Ok(all)
    }

    /// Serialises restoring: records of a stream may be in old queues of several generations besides the shard's
    /// own. The next writer finds the work done.
    async fn turn_to_restore<'h>(&self, restoring: &'h tokio::sync::Mutex<Noted>) -> MutexGuard<'h, Noted> {
        loop {
            self.scope.beat.beat();
            tokio::select! {
                turn = restoring.lock() => return turn,
                () = sleep(BEAT) => {}
            }
        }
    }

    /// Returns the streams that have lost entries. Those of a node that is away are looked at when it comes.
    async fn shortened(
        &self,
        connection: &mut RedisConnection,
        streams: &Streams,
    ) -> Result<Shortened, StoreFault> {
        let mut known: HashMap<Arc<str>, Stored, RandomState> = HashMap::default();
        for (stream, stored) in self.shard.queues().flat_map(Queue::stored) {
            let all = known.entry(stream).or_default();
            (all.last, all.unspooled) = (all.last.max(stored.last), all.unspooled.max(stored.unspooled));
        }
        // a stream removed because of its age has lost nothing
        let oldest = self.oldest_wanted_ms();
        let known: Vec<(Arc<str>, Stored)> = known
            .into_iter()
            .filter(|(key, stored)| stored.last.ms >= oldest && streams.reaches(key))
            .collect();
        let mut shortened = Shortened::default();
        let names: Vec<Arc<str>> = known.iter().map(|(stream, _)| Arc::clone(stream)).collect();
        for ((stream, stored), last) in
            known.into_iter().zip(last_ids(connection, &self.scope.beat, &names).await?)
        {
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
        let begun = self.scope.gaps.begun_us() / 1000;
        let mut gaps: BTreeMap<Family, (Vec<String>, u64, u64)> = BTreeMap::new();
        for (stream, (last, Stored { unspooled: gone, .. })) in shortened {
            let noted = noted.entry(Arc::clone(stream)).or_default();
            if *gone <= (*last).max(*noted) || gone.ms < oldest {
                continue;
            }
            *noted = *gone;
            let topic = stream.strip_prefix(&prefix).unwrap_or(stream);
            let family = family_of(topic);
            // times in IDs mean nothing after an ID of the future
            let to = gone.ms.min(now);
            let oldest = oldest.max(begun.min(to));
            let from = if last.ms > to { oldest } else { last.ms.max(oldest) };
            let gap = gaps.entry(family).or_insert_with(|| (Vec::new(), from, to));
            gap.0.push(topic.to_owned());
            (gap.1, gap.2) = (gap.1.min(from), gap.2.max(to));
        }
        keep_highest(noted, MAX_STREAMS, |id| *id);
        for (family, (topics, from, to)) in gaps {
            let topics = by_channel_if_many(topics);
            // the range includes the last millisecond
            let between = (from * 1000, (to + 1) * 1000);
            self.scope.gaps.note(Gap::new(family, topics, between, GapReason::RedisLost));
        }
    }

    async fn write_again(
        &mut self,
        (connection, streams): (&mut RedisConnection, &mut Streams),
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
                let more = if kept.is_complete() {
                    None
                } else {
                    Some(self.shortened_of(connection, &batches, shortened, streams).await?)
                };
                let shortened = more.as_ref().unwrap_or(shortened);
                self.scope.note_forgotten(Table::Streams, streams.bound());
                for (record, batch) in &batches {
                    if !self.scope.gate.may_write() {
                        return Err(StoreFault::Unreachable("the lease is not confirmed".into()));
                    }
                    let place = (queue.name(), *record);
                    written += self.write_batch_again((connection, streams), place, batch, shortened).await?;
                }
            }
        }
        if written > 0 || !shortened.is_empty() {
            warn!(self.scope.log, "redis had lost entries";
                "streams" => shortened.len(), "written_again" => written);
        }
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
        (connection, streams): (&mut RedisConnection, &mut Streams),
        (queue, record): (&Arc<str>, u64),
        batch: &EventBatch,
        shortened: &Shortened,
    ) -> Result<usize, StoreFault> {
        let key = |at: usize| (Arc::clone(queue), record + at as u64);
        let unreadable = &self.unreadable;
        let is_missing = |at: usize, destination: usize| {
            let event = &batch.events()[at];
            let stream = &event.route.destinations[destination].stream;
            let is_lost = shortened.get(stream).is_some_and(|(last, _)| event.ids.get(destination) > *last);
            is_lost && (unreadable.named.is_empty() || !unreadable.named.contains(&key(at)))
        };
        // their own IDs are above the last ones of the shortened streams
        let Plan { entries, behind, .. } = streams.plan(batch, is_missing);
        let entries: Vec<Entry> = {
            let mut all = [entries, behind].concat();
            all.sort_unstable_by_key(|entry| (entry.at, entry.destination));
            all
        };
        let singly = !self.unreadable.suspects.is_empty()
            && entries.iter().any(|entry| self.unreadable.suspects.contains(&key(entry.at)));
        let mut written = 0;
        for group in entries.chunk_by(|one, next| !singly || one.at == next.at) {
            self.scope.beat.beat();
            let mut transaction = Transaction::new(self.is_cluster);
            transaction.encode(batch, group, streams);
            let missed = match connection.write(transaction.commands(), transaction.units()).await {
                Ok(missed) => missed,
                Err(fault) => {
                    if matches!(fault, StoreFault::Refused { refusal: Refusal::Unreadable, .. }) {
                        self.unreadable.note(group, key);
                    }
                    return Err(fault);
                }
            };
            if let Some(missed) = missed.iter().find(|missed| !missed.is_about_the_entry()) {
                return Err(missed.fault.clone());
            }
            if let Some(missed) = missed.first() {
                // quarantined before, or another client wrote higher IDs to a stream just shortened
                warn!(self.scope.log, "entry not written again";
                    "kind" => missed.fault.label(), "error" => missed.fault.words());
            }
            written += group.len() - missed.len().min(group.len());
        }
        if let Some(snapshots) = &self.scope.snapshots {
            // entries missing in the streams may be missing in the hashes too
            let events = entries.chunk_by(|one, next| one.at == next.at).filter_map(<[_]>::first);
            snapshots.kept(events.map(|entry| entry.of(batch).0));
        }
        Ok(written)
    }
}

/// Returns the last IDs of streams, in order.
pub async fn last_ids(
    connection: &mut RedisConnection,
    beat: &Heartbeat,
    names: &[Arc<str>],
) -> Result<Vec<EntryId>, StoreFault> {
    let mut last_ids = Vec::with_capacity(names.len());
    for names in names.chunks(ASKED_AT_ONCE) {
        beat.beat();
        last_ids.extend(connection.last_ids(names).await?);
    }
    Ok(last_ids)
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

/// Returns the topics in order; of more than [`MAX_TOPICS`] their channels only.
fn by_channel_if_many(mut topics: Vec<String>) -> Vec<String> {
    if topics.len() > MAX_TOPICS {
        for topic in &mut topics {
            topic.truncate(topic.find(':').unwrap_or(topic.len()));
        }
    }
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// Treats all entries as lost, when it is unknown which can be rewritten.
fn all_gone(shortened: &Shortened) -> Shortened {
    let gone = |(stream, (last, stored)): (&Arc<str>, &(EntryId, Stored))| {
        (Arc::clone(stream), (*last, Stored { unspooled: stored.last, ..*stored }))
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
