//! What of a shard outlives its writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;
use uw_websocket_core::event::{ChannelIndex, EntryId, Event, Symbol};
use uw_websocket_core::quarantine::Quarantine;
use uw_websocket_core::routing::home_shard;

use super::Queue;
use super::disk::DiskError;
use super::generations::{Generations, OldQueue};
use super::inbox::Inbox;
use crate::observation::{DropReason, Observations};
use crate::supervisor::Beat;
use crate::writer::poison::Suspects;

/// The ordinals of a channel's events begin above this: below it there is room for those of earlier processes.
pub const FIRST_ORDINAL: u64 = 1 << 32;
/// Records that are read to know duplicates over a restart: as many as the window has of each of the seven channels.
const REMEMBERED_RECORDS: u64 = 700_000;

/// Up to which ID the loss of a stream's entries was entered in the ledger. Whoever holds the lock is the one who writes
/// again what Redis forgot.
pub type Healing = tokio::sync::Mutex<HashMap<Arc<str>, EntryId>>;

/// A shard, as its writer finds it whenever it starts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Which one.
    pub position: usize,
    /// Of how many.
    pub shards: usize,
    /// What is handed over.
    pub inbox: Arc<Inbox>,
    /// What is to be written.
    pub queue: Queue,
    /// Queues of earlier settings that this shard writes first, the oldest generation first.
    pub old: Vec<OldQueue>,
    /// Those of all shards.
    pub generations: Generations,
    /// Events that nobody can write.
    pub quarantine: Arc<Mutex<Quarantine>>,
    /// Events over which a writer has died.
    pub suspects: Arc<Mutex<Suspects>>,
    /// One for all shards.
    pub healing: Arc<Healing>,
    /// Whether what earlier processes left is known.
    pub learnt: Arc<OnceCell<()>>,
}

impl Shard {
    /// More may come, in a new life of the writer.
    pub fn open(&self) {
        self.inbox.open();
        self.queue.open();
    }

    /// Brings to the disk what was handed over and no writer has taken over, as when it is dead at the end of the process.
    /// Cancelling it loses nothing.
    pub async fn settle(&self) {
        self.queue.hurry();
        loop {
            self.queue.keep().await;
            if !self.queue.accept(&self.inbox) {
                return;
            }
        }
    }

    /// Ends what is in memory alone, as at the end of a term; how many events that were.
    #[must_use]
    pub fn abandon(&self) -> u64 {
        // what the disk did not take in time, wherever it is
        while self.queue.accept(&self.inbox) {}
        self.queue.abandon(DropReason::Shutdown)
    }

    /// Learns from what earlier processes left which events came before and which IDs they got; once in a process. Calls
    /// `stored` for those that are stored.
    pub async fn learn(
        &self,
        observations: &Observations,
        beat: &Beat,
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
            memories.tell(&self.queue, observations);
            Ok(())
        };
        self.learnt.get_or_try_init(|| learn).await.copied()
    }

    /// Whether [`Shard::learn`] has been done.
    #[must_use]
    pub fn has_learnt(&self) -> bool {
        self.learnt.initialized()
    }

    /// Visits the events of this shard that any disk keeps, in the order of the queues, with whether they are stored: the
    /// newest of all, or of those that are stored.
    pub async fn visit(
        &self,
        observations: &Observations,
        beat: &Beat,
        with_backlog: bool,
        mut visit: impl FnMut(&Event, bool),
    ) -> Result<(), DiskError> {
        for queue in self.queues() {
            let Some(kept) = beat.during(queue.kept()).await else { continue };
            let mut kept = if with_backlog { kept.with_backlog() } else { kept }.newest(REMEMBERED_RECORDS);
            loop {
                let batches = match beat.during(kept.read()).await {
                    Ok(Some(batches)) => batches,
                    // an old queue that is empty ends, also while it is visited
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

    /// All queues that may keep something of this shard's streams, the oldest first.
    pub fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.generations.queues().iter().map(|old| &old.queue).chain([&self.queue])
    }

    fn is_home_of(&self, event: &Event, observations: &Observations) -> bool {
        let channel = &observations.channel(event.route.channel).channel;
        let symbol = event.route.outlets.first().and_then(|outlet| outlet.symbol.as_ref());
        home_shard(channel, symbol.map(Symbol::as_str), self.shards) == self.position
    }
}

/// The fingerprints of earlier processes' events, in their order.
struct Memories {
    /// How many of each channel.
    counts: Vec<u64>,
    /// Channel, number within it, fingerprint.
    events: Vec<(ChannelIndex, u64, u64)>,
}

impl Memories {
    fn new(observations: &Observations) -> Memories {
        Memories { counts: vec![0; observations.channels.len()], events: Vec::new() }
    }

    fn add(&mut self, channel: ChannelIndex, fingerprint: u64) {
        let count = &mut self.counts[usize::from(channel.0)];
        *count += 1;
        self.events.push((channel, *count, fingerprint));
    }

    /// Puts them right before the next event, which may be a late one of its process.
    fn tell(self, queue: &Queue, observations: &Observations) {
        for (channel, number, fingerprint) in self.events {
            let count = self.counts[usize::from(channel.0)];
            let next = observations.channel(channel).next_ordinal();
            queue.remember(channel, next.saturating_sub(1 + count - number), fingerprint);
        }
    }
}
