//! The state of a shard that outlives its writer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;
use tokio::task::yield_now;
use uw_websocket_core::duplicates::WINDOW;
use uw_websocket_core::event::{ChannelIndex, EntryId, Event, Symbol};
use uw_websocket_core::quarantine::Quarantine;
use uw_websocket_core::routing::home_shard;
use uw_websocket_core::tables::share;

use super::Queue;
use super::disk::DiskError;
use super::generations::{Generations, OldQueue};
use super::inbox::Inbox;
use super::replica_horizon::ReplicaHorizon;
use crate::observation::{DropReason, Observations};
use crate::supervisor::Heartbeat;
use crate::writer::poison::Suspects;

/// Lower bound of the ordinals of a channel's events; those of earlier processes are below it.
pub const FIRST_ORDINAL: u64 = 1 << 32;
/// Maximum number of records read to detect duplicates across a restart: a full window for each of the seven
/// channels.
const REMEMBERED_RECORDS: u64 = 700_000;
/// The same limit over the queues of all shards together: full windows take 30 MB.
const REMEMBERED_OF_ALL: usize = 1_400_000;
/// Number of fingerprints that are placed at a time: others run in between.
const REMEMBERED_AT_ONCE: u64 = 1024;

/// The ID by stream up to which losses are recorded in the gap ledger. The holder of the lock rewrites what Redis
/// has lost.
pub type Healing = tokio::sync::Mutex<HashMap<Arc<str>, EntryId>>;

/// A shard, as its writer finds it at each start; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Index of the shard.
    pub position: usize,
    /// Number of shards.
    pub shards: usize,
    /// Delivered events.
    pub inbox: Arc<Inbox>,
    /// Accepted events.
    pub queue: Queue,
    /// Old queues that this shard writes first, oldest generation first.
    pub old: Vec<OldQueue>,
    /// The old queues of all shards.
    pub generations: Generations,
    /// Events that Redis permanently rejects.
    pub quarantine: Arc<Mutex<Quarantine>>,
    /// Events during whose handling a writer died.
    pub suspects: Arc<Mutex<Suspects>>,
    /// Up to when replicas have what was written.
    pub replicated: Arc<ReplicaHorizon>,
    /// Shared by all shards.
    pub restoring: Arc<Healing>,
    /// Whether events of earlier processes have been learnt.
    pub learnt: Arc<OnceCell<()>>,
}

impl Shard {
    /// Reopens the shard for a new writer.
    pub fn open(&self) {
        self.inbox.open();
        self.queue.open();
    }

    /// Persists events that no writer has accepted, for instance if it is dead at the end of the process. Cancel
    /// safe.
    pub async fn settle(&self) {
        self.queue.hurry();
        loop {
            self.queue.keep().await;
            if !self.queue.accept(&self.inbox) {
                return;
            }
        }
    }

    /// Drops the events that are in memory only, as at the end of a leadership term; returns their number.
    #[must_use]
    pub fn abandon(&self) -> u64 {
        // whatever the disk did not accept in time
        while self.queue.accept(&self.inbox) {}
        self.queue.abandon(DropReason::Shutdown)
    }

    /// Learns the events of earlier processes and their IDs, once per process. Calls `stored` for those that are
    /// stored.
    pub async fn learn(
        &self,
        observations: &Observations,
        beat: &Heartbeat,
        mut stored: impl FnMut(&Event),
    ) -> Result<(), DiskError> {
        let learn = async {
            let mut memories = Memories::new(observations);
            self.visit(observations, beat, true, |event, is_stored| {
                memories.add(event.route.channel, self.queue.learn(event, is_stored));
                if is_stored {
                    stored(event);
                }
            })
            .await?;
            memories.tell(&self.queue, observations, beat).await;
            Ok(())
        };
        self.learnt.get_or_try_init(|| learn).await.copied()
    }

    /// Whether [`Shard::learn`] has completed.
    #[must_use]
    pub fn has_learnt(&self) -> bool {
        self.learnt.initialized()
    }

    /// Visits the newest `REMEMBERED_RECORDS` events of each queue's disk that belong to this shard, in the order
    /// of the queues, and whether they are stored; only stored ones unless `with_backlog`.
    pub async fn visit(
        &self,
        observations: &Observations,
        beat: &Heartbeat,
        with_backlog: bool,
        mut visit: impl FnMut(&Event, bool),
    ) -> Result<(), DiskError> {
        let remembered = REMEMBERED_RECORDS.min(share(REMEMBERED_OF_ALL, self.shards) as u64);
        for queue in self.queues() {
            let Some(kept) = beat.during(queue.kept()).await else { continue };
            let mut kept = if with_backlog { kept.with_backlog() } else { kept }.newest(remembered);
            loop {
                let batches = match beat.during(kept.read()).await {
                    Ok(Some(batches)) => batches,
                    // an empty old queue ends, possibly during the visit
                    Ok(None) | Err(DiskError::Ended) => break,
                    Err(error) => return Err(error),
                };
                for (first, batch) in &batches {
                    for (record, event) in (*first..).zip(batch.events()) {
                        if self.is_home_of(event, observations) {
                            visit(event, kept.is_stored(record));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns all queues that may hold events of this shard's streams, oldest first.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.generations.queues().iter().map(|old| &old.queue).chain([&self.queue])
    }

    fn is_home_of(&self, event: &Event, observations: &Observations) -> bool {
        let channel = &observations.channel(event.route.channel).channel;
        let symbol = event.route.destinations.first().and_then(|destination| destination.symbol.as_ref());
        home_shard(channel, symbol.map(Symbol::as_str), self.shards) == self.position
    }
}

/// The fingerprints of events of earlier processes, in order.
struct Memories {
    /// The newest fingerprints by channel, as many as a window has.
    channels: Vec<VecDeque<u64>>,
}

impl Memories {
    fn new(observations: &Observations) -> Memories {
        Memories { channels: vec![VecDeque::new(); observations.channels.len()] }
    }

    fn add(&mut self, channel: ChannelIndex, fingerprint: u64) {
        let fingerprints = &mut self.channels[usize::from(channel.0)];
        if fingerprints.len() == WINDOW as usize {
            fingerprints.pop_front();
        }
        fingerprints.push_back(fingerprint);
    }

    /// Places them directly before the next event, which may be a late one of their process. Others run in between.
    async fn tell(self, queue: &Queue, observations: &Observations, beat: &Heartbeat) {
        for (channel, fingerprints) in (0..).map(ChannelIndex).zip(self.channels) {
            let next = observations.channel(channel).next_ordinal();
            for (age, fingerprint) in (1..=fingerprints.len() as u64).rev().zip(fingerprints) {
                queue.remember(channel, next.saturating_sub(age), fingerprint);
                if age.is_multiple_of(REMEMBERED_AT_ONCE) {
                    beat.beat();
                    yield_now().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fixtures::{observations, queue};
    use crate::settings::WhenFull;

    #[tokio::test]
    async fn others_run_while_full_windows_are_remembered() {
        let observations = observations(&["option_trades"], 1);
        let (queue, beat) = (queue(None, &observations, WhenFull::Block), Heartbeat::default());
        let mut memories = Memories::new(&observations);
        (0..10 * REMEMBERED_AT_ONCE).for_each(|n| memories.add(ChannelIndex(0), n));
        let (is_told, turns) = (Cell::new(false), Cell::new(0));
        let tell = async {
            memories.tell(&queue, &observations, &beat).await;
            is_told.set(true);
        };
        let other = async {
            while !is_told.get() {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        };
        tokio::join!(tell, other);
        assert!(turns.get() >= 10, "{turns:?}");
    }
}
