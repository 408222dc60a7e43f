//! Before the first write over a new connection: what Redis has forgotten is written again.
//!
//! A Redis that was restarted without persistence, or with a file a second old, or replaced by a replica that was behind,
//! has taken entries that it no longer has. Each stream's last ID shows it. Records stay on the disk for a while after they
//! were stored, so that these are written again, under their own IDs and in order; what is no longer on the disk is lost
//! and is entered in the gap ledger. Doing it twice does no harm.
//!
//! What is kept of a stream may lie in old queues of several generations besides the shard's own. So a writer looks at all
//! of them, the oldest first, and one writer at a time: whoever comes next finds it done.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

use super::backlog::Range;
use super::disk::Disk;
use super::drain::{BEAT, Drain, READ_BYTES, READ_EVENTS};
use super::poison::{Key, key_of};
use super::store::fault::{Refusal, StoreFault};
use super::transaction::{Entry, EventAt, Transaction, outlet_of};
use crate::calendar::retention_cutoff;
use crate::event::{EntryId, Family};
use crate::events;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::messages::EventBatch;
use crate::observation::unix_micros;

/// Streams that are asked for at once.
const ASKED_AT_ONCE: usize = 512;

/// What is remembered of stored entries over connections.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The highest ID that earlier lives wrote to each stream.
    earlier: HashMap<Arc<str>, EntryId, RandomState>,
    /// The highest ID of each stream that is no longer on any disk, as far as earlier lives know.
    removed: HashMap<Arc<str>, EntryId, RandomState>,
    /// Records among which is one that Redis cannot read, and such records; by queue and number.
    singly: HashSet<Key, RandomState>,
    unreadable: HashSet<Key, RandomState>,
}

/// Lets one writer heal at a time. Outlives the writers.
#[derive(Clone, Debug, Default)]
pub struct Healing(Arc<Mutex<Noted>>);

/// Up to which ID the loss of a stream's entries was entered in the ledger.
type Noted = HashMap<Arc<str>, EntryId, RandomState>;

/// Streams that Redis has fewer entries of than it had, with the last IDs that they have and had.
type Shortened = HashMap<Arc<str>, (EntryId, EntryId), RandomState>;

/// What is kept cannot be read; the log says why.
struct Unreadable;

impl Drain {
    /// Sees to it that Redis has what it had when it was last connected; false if the lease ran out before that was done.
    pub(super) async fn heal(&mut self) -> Result<bool, StoreFault> {
        let connection = self.store.connect().await?;
        if connection == self.state.healed {
            return Ok(true);
        }
        if self.keys.streams {
            // what is found missing over this connection must be written over it: Redis may lose more before the next one
            self.store.pin(true);
            let healed = self.heal_over_this_connection().await;
            self.store.pin(false);
            if !healed? {
                return Ok(false);
            }
        }
        self.state.healed = connection;
        self.state.memory.singly.clear();
        Ok(true)
    }

    async fn heal_over_this_connection(&mut self) -> Result<bool, StoreFault> {
        let healing = self.healing.clone();
        let mut noted = self.turn_to_heal(&healing).await;
        if self.state.healed == 0 {
            self.recall().await;
        }
        let shortened = self.shortened().await?;
        if shortened.is_empty() {
            return Ok(true);
        }
        let kept = self.all_kept().await;
        self.note_lost(&shortened, &mut noted);
        self.write_again(&shortened, kept, &mut noted).await
    }

    async fn turn_to_heal<'h>(&self, healing: &'h Healing) -> MutexGuard<'h, Noted> {
        loop {
            self.beat.beat();
            tokio::select! {
                turn = healing.0.lock() => return turn,
                () = sleep(BEAT) => {}
            }
        }
    }

    /// What is kept in the disk queues of what was stored.
    async fn all_kept(&mut self) -> Vec<Range> {
        let disks: Vec<Disk> =
            self.adoption.all().iter().map(|old| old.disk.clone()).chain(self.disk.clone()).collect();
        let mut all = Vec::with_capacity(disks.len());
        for disk in disks {
            all.extend(self.kept(disk).await);
        }
        all
    }

    /// The same of one, and what is no longer kept. A queue that has ended keeps nothing.
    async fn kept(&mut self, disk: Disk) -> Option<Range> {
        let standing = self.beat.during(disk.standing()).await.ok()?;
        let prefix = self.keys.stream_prefix();
        for (name, id) in standing.removed {
            let removed = self.state.memory.removed.entry(format!("{prefix}{name}").into()).or_default();
            *removed = (*removed).max(id);
        }
        Some(Range { disk, from: standing.kept_from, to: standing.acknowledged })
    }

    /// Learns from the disk what earlier lives wrote.
    async fn recall(&mut self) {
        for mut kept in self.all_kept().await {
            while let Ok(Some(batches)) = self.read_kept(&mut kept).await {
                for event in batches.iter().flat_map(EventBatch::events) {
                    for (outlet, id) in event.route.outlets.iter().zip(event.ids.as_slice()) {
                        let earlier = &mut self.state.memory.earlier;
                        let highest = earlier.entry_ref(&*outlet.stream).or_default();
                        *highest = (*highest).max(*id);
                    }
                }
            }
        }
        let Memory { earlier, removed, .. } = &mut self.state.memory;
        for (stream, id) in removed.iter() {
            let highest = earlier.entry_ref(&**stream).or_default();
            *highest = (*highest).max(*id);
        }
    }

    /// The next batches of what is kept; `None` after the last.
    async fn read_kept(&mut self, kept: &mut Range) -> Result<Option<Vec<EventBatch>>, Unreadable> {
        if kept.from >= kept.to {
            return Ok(None);
        }
        self.beat.beat();
        let chunk = match self.beat.during(kept.disk.read(kept.from, READ_EVENTS, READ_BYTES)).await {
            Ok(chunk) => chunk,
            Err(error) => {
                events::spool_unreadable(&self.log, &error);
                return Err(Unreadable);
            }
        };
        self.note_damages(&kept.disk, &chunk.damages);
        let records = chunk.records.into_iter().filter(|record| record.seq < kept.to).collect();
        kept.from = if chunk.next_seq > kept.from { chunk.next_seq } else { kept.to };
        Ok(Some(self.replay.batches(&kept.disk, records)))
    }

    async fn shortened(&mut self) -> Result<Shortened, StoreFault> {
        let mut written = self.state.memory.earlier.clone();
        for (stream, slot) in self.state.streams.written() {
            let highest = written.entry_ref(&**stream).or_default();
            *highest = (*highest).max(slot.written);
        }
        // a stream that was removed for its age has lost nothing
        let oldest = self.oldest_wanted_ms();
        let written: Vec<(Arc<str>, EntryId)> =
            written.into_iter().filter(|(_, id)| id.ms >= oldest).collect();
        let mut shortened = Shortened::default();
        for streams in written.chunks(ASKED_AT_ONCE) {
            self.beat.beat();
            let names: Vec<&str> = streams.iter().map(|(stream, _)| &**stream).collect();
            for ((stream, written), last) in streams.iter().zip(self.store.last_ids(&names).await?) {
                if last < *written {
                    shortened.insert(Arc::clone(stream), (last, *written));
                }
            }
        }
        Ok(shortened)
    }

    fn oldest_wanted_ms(&self) -> u64 {
        retention_cutoff(self.retention, unix_micros() / 1000).unwrap_or_default()
    }

    /// Enters what cannot be written again in the ledger, once.
    fn note_lost(&mut self, shortened: &Shortened, noted: &mut Noted) {
        let now = unix_micros() / 1000;
        let (oldest, prefix) = (self.oldest_wanted_ms(), self.keys.stream_prefix());
        let mut gaps: BTreeMap<Family, (Vec<String>, u64, u64)> = BTreeMap::new();
        for (stream, (last, _)) in shortened {
            let unkept = self.state.streams.unkept(stream);
            let gone = self.state.memory.removed.get(stream).copied().unwrap_or_default().max(unkept);
            let noted = noted.entry_ref(&**stream).or_default();
            if gone <= (*last).max(*noted) || gone.ms < oldest {
                continue;
            }
            *noted = gone;
            let topic = stream.strip_prefix(&prefix).unwrap_or(stream);
            let family = family_of(topic);
            // behind an ID of the future the times of IDs say nothing
            let to = gone.ms.min(now);
            let from = if last.ms > to { oldest } else { last.ms.max(oldest) };
            let gap = gaps.entry(family).or_insert_with(|| (Vec::new(), from, to));
            gap.0.push(topic.to_owned());
            (gap.1, gap.2) = (gap.1.min(from), gap.2.max(to));
        }
        for (family, (mut topics, from, to)) in gaps {
            topics.sort_unstable();
            // the last millisecond belongs to it
            let between = (from * 1000, (to + 1) * 1000);
            self.gaps.note(Gap::new(family, topics, between, GapReason::RedisLost));
        }
    }

    async fn write_again(
        &mut self,
        shortened: &Shortened,
        kept: Vec<Range>,
        noted: &mut Noted,
    ) -> Result<bool, StoreFault> {
        let mut written = 0;
        for mut kept in kept {
            let mut from = kept.from;
            loop {
                let batches = match self.read_kept(&mut kept).await {
                    Ok(Some(batches)) => batches,
                    Ok(None) => break,
                    Err(Unreadable) => {
                        self.give_up(shortened, noted);
                        break;
                    }
                };
                if self.kept(kept.disk.clone()).await.is_none_or(|now| now.from > from) {
                    // its time was over before it could be read
                    self.note_lost(shortened, noted);
                }
                from = kept.from;
                for batch in batches {
                    if !self.gate.may_write() {
                        return Ok(false);
                    }
                    written += self.write_batch_again(&[batch], shortened).await?;
                }
            }
        }
        events::redis_healed(&self.log, shortened.len(), written);
        Ok(true)
    }

    /// The disk does not give back what it keeps: nobody knows of which streams.
    fn give_up(&mut self, shortened: &Shortened, noted: &mut Noted) {
        for (stream, (_, written)) in shortened {
            let removed = self.state.memory.removed.entry_ref(&**stream).or_default();
            *removed = (*removed).max(*written);
        }
        self.note_lost(shortened, noted);
    }

    /// Writes the entries of a batch that Redis does not have; how many they were.
    async fn write_batch_again(
        &mut self,
        batch: &[EventBatch],
        shortened: &Shortened,
    ) -> Result<usize, StoreFault> {
        let mut entries = Vec::new();
        for (event_at, event) in batch.iter().flat_map(EventBatch::events).enumerate() {
            let at = EventAt { batch: 0, event: event_at };
            for (outlet_at, outlet) in event.route.outlets.iter().enumerate() {
                let id = event.ids.get(outlet_at);
                let entry = Entry { at, outlet: outlet_at, id };
                let unreadable = &self.state.memory.unreadable;
                if !unreadable.is_empty()
                    && key_of(batch, entry.at).is_some_and(|seq| unreadable.contains(&seq))
                {
                    continue;
                }
                if shortened.get(&outlet.stream).is_some_and(|(last, _)| id > *last) {
                    entries.push(entry);
                }
            }
        }
        if entries.is_empty() {
            return Ok(0);
        }
        for entry in &entries {
            if let Some((_, outlet)) = outlet_of(batch, entry) {
                let slot = self.state.streams.slot(outlet);
                slot.last = slot.last.max(entry.id);
            }
        }
        let is_suspect = |entry: &Entry| {
            key_of(batch, entry.at).is_some_and(|seq| self.state.memory.singly.contains(&seq))
        };
        let singly = !self.state.memory.singly.is_empty() && entries.iter().any(is_suspect);
        let mut written = 0;
        for group in entries.chunk_by(|one, next| !singly || one.at == next.at) {
            let answer = self.write_entries_again(batch, group.to_vec()).await;
            if matches!(answer, Err(StoreFault::Refused { refusal: Refusal::Unreadable, .. })) {
                self.suspect(batch, group);
            }
            written += answer?;
        }
        if let Some(snapshots) = &self.snapshots {
            // what Redis has forgotten of the streams it may have forgotten of the hashes
            let events = entries.chunk_by(|one, next| one.at == next.at).filter_map(<[_]>::first);
            snapshots.kept(events.filter_map(|entry| Some(outlet_of(batch, entry)?.0)));
        }
        Ok(written)
    }

    /// Redis has hung up over one of these, which is in quarantine. All begins anew over another connection: then they go one by
    /// one, and the one that it is over is left out.
    fn suspect(&mut self, batch: &[EventBatch], entries: &[Entry]) {
        let Memory { singly, unreadable, .. } = &mut self.state.memory;
        let is_one = entries.iter().all(|entry| Some(entry.at) == entries.first().map(|first| first.at));
        let suspects = if is_one { unreadable } else { singly };
        suspects.extend(entries.iter().filter_map(|entry| key_of(batch, entry.at)));
    }

    async fn write_entries_again(
        &mut self,
        batch: &[EventBatch],
        entries: Vec<Entry>,
    ) -> Result<usize, StoreFault> {
        self.beat.beat();
        let count = entries.len();
        let mut transaction = Transaction::default();
        transaction.set(entries);
        transaction.encode(batch, &mut self.state.streams, &self.keys);
        let refused = self.store.transact(transaction.commands()).await?;
        if let Some(refused) = refused.first() {
            // quarantined before, or somebody wrote higher ids into a stream that was just shortened
            events::not_healed(&self.log, refused.refusal, &refused.text);
        }
        Ok(count - refused.len().min(count))
    }
}
