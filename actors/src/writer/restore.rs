//! Over a new connection Redis may have less than it had: what it has forgotten is written again from the disks.

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

use super::scope::{BEAT, Scope};
use super::store::Connection;
use super::store::fault::{Refusal, StoreFault};
use super::streams::{Entry, Plan, Streams};
use super::transaction::Transaction;
use crate::error_chain::ErrorChain;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::observation::unix_micros;
use crate::queue::batch::EventBatch;
use crate::queue::shard::Shard;
use crate::queue::{Kept, Queue, Stored};
use crate::supervisor::Beat;

/// Streams that are asked for at once.
const ASKED_AT_ONCE: usize = 512;

/// Up to which ID the loss of each stream's entries was entered in the ledger.
type Noted = std::collections::HashMap<Arc<str>, EntryId>;

/// Streams that Redis has fewer entries of than it had: its last ID, and what we know.
type Shortened = HashMap<Arc<str>, (EntryId, Stored), RandomState>;

/// A record, by its queue and number.
type Key = (Arc<str>, u64);

/// Writes again what Redis has lost of a shard's streams.
pub struct Restorer {
    shard: Shard,
    keys: KeySettings,
    retention: Retention,
    unreadable: Unreadable,
    scope: Scope,
}

/// Records over which Redis hung up, and those that were among them: they are in quarantine.
#[derive(Debug, Default)]
struct Unreadable {
    suspects: HashSet<Key>,
    named: HashSet<Key>,
}

impl Restorer {
    /// Of a shard.
    #[must_use]
    pub fn new(shard: Shard, keys: KeySettings, retention: Retention, scope: Scope) -> Restorer {
        Restorer { shard, keys, retention, unreadable: Unreadable::default(), scope }
    }

    /// Writes again what Redis has forgotten and a disk still keeps, and enters the rest in the ledger.
    pub async fn restore(
        &mut self,
        connection: &mut Connection,
        streams: &mut Streams,
    ) -> Result<(), StoreFault> {
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
        self.write_again((connection, streams), &shortened, kept, &mut noted).await?;
        self.unreadable.suspects.clear();
        Ok(())
    }

    /// One writer at a time: what is kept of a stream may lie in old queues of several generations besides the shard's own.
    /// Whoever comes next finds it done.
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
        // a stream that was removed for its age has lost nothing
        let oldest = self.oldest_wanted_ms();
        let known: Vec<(Arc<str>, Stored)> =
            known.into_iter().filter(|(_, stored)| stored.last.ms >= oldest).collect();
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

    /// Enters what cannot be written again in the ledger, once.
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
            self.scope.gaps.note(Gap::new(family, topics, between, GapReason::RedisLost));
        }
    }

    async fn write_again(
        &mut self,
        (connection, streams): (&mut Connection, &mut Streams),
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
                    // its time was over before it could be read
                    self.note_lost(&with(shortened, &gone), noted);
                }
                for (record, batch) in &batches {
                    if !self.scope.gate.may_write() {
                        return Err(StoreFault::Unreachable("the lease is not confirmed".into()));
                    }
                    let place = (queue.name(), *record);
                    written += self.write_batch_again((connection, streams), place, batch, shortened).await?;
                }
            }
        }
        warn!(self.scope.log, "redis had lost entries";
            "streams" => shortened.len(), "written_again" => written);
        Ok(())
    }

    /// What is known of the streams, if records from `from` on have been removed in the meantime.
    async fn gone_since(&self, queue: &Queue, from: u64) -> Option<Vec<(Arc<str>, Stored)>> {
        let now = self.scope.beat.during(queue.kept()).await;
        now.is_none_or(|now| now.from() > from).then(|| queue.stored())
    }

    /// Writes the entries of a batch that Redis does not have; how many they were.
    async fn write_batch_again(
        &mut self,
        (connection, streams): (&mut Connection, &mut Streams),
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
        // their own IDs are above what Redis has of the shortened streams
        let Plan { entries, behind } = streams.plan(batch, is_missing);
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
            transaction.encode(batch, group, streams);
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
                // quarantined before, or somebody wrote higher ids into a stream that was just shortened
                warn!(self.scope.log, "entry not written again";
                    "kind" => refused.refusal.label(), "error" => &refused.text);
            }
            written += group.len() - refused.len().min(group.len());
        }
        if let Some(snapshots) = &self.scope.snapshots {
            // what Redis has forgotten of the streams it may have forgotten of the hashes
            let events = entries.chunk_by(|one, next| one.at == next.at).filter_map(<[_]>::first);
            snapshots.kept(events.map(|entry| entry.of(batch).0));
        }
        Ok(written)
    }
}

/// The last IDs of streams, in their order.
pub async fn last_ids(
    connection: &mut Connection,
    beat: &Beat,
    names: &[Arc<str>],
) -> Result<Vec<EntryId>, StoreFault> {
    let mut lasts = Vec::with_capacity(names.len());
    for names in names.chunks(ASKED_AT_ONCE) {
        beat.beat();
        lasts.extend(connection.last_ids(names).await?);
    }
    Ok(lasts)
}

impl Unreadable {
    /// Redis has hung up over one of these. All begins anew over another connection: then they go one by one, and the one that
    /// it is over is left out.
    fn note(&mut self, entries: &[Entry], key: impl Fn(usize) -> Key) {
        let is_one = entries.iter().all(|entry| Some(entry.at) == entries.first().map(|first| first.at));
        let keys = entries.iter().map(|entry| key(entry.at));
        if is_one { self.named.extend(keys) } else { self.suspects.extend(keys) }
    }
}

/// Nobody knows which entries can still be written: none, then.
fn all_gone(shortened: &Shortened) -> Shortened {
    let gone = |(stream, (last, stored)): (&Arc<str>, &(EntryId, Stored))| {
        (Arc::clone(stream), (*last, Stored { unkept: stored.last, ..*stored }))
    };
    shortened.iter().map(gone).collect()
}

/// The same streams with what is known of them now.
fn with(shortened: &Shortened, now: &[(Arc<str>, Stored)]) -> Shortened {
    let known = |(stream, stored): &(Arc<str>, Stored)| {
        let (last, _) = shortened.get(stream)?;
        Some((Arc::clone(stream), (*last, *stored)))
    };
    now.iter().filter_map(known).collect()
}
