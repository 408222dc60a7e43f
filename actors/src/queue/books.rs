//! The accounting of a queue: counters of its events, and losses not yet in the gap ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use uw_websocket_core::event::{ChannelIndex, Event};
use uw_websocket_core::spool::Dropped;

use super::batch::EventBatch;
use super::losses;
use crate::ledger::gap::Gap;
use crate::observation::{ChannelObservation, DropReason, Observations, Outcome, Place, WriterObservation};
use crate::sync::lock;

/// The accounting of one queue.
#[derive(Debug)]
pub struct Books {
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Index of the shard that displays the queue.
    pub shard: usize,
    losses: Mutex<Vec<Gap>>,
}

impl Books {
    /// Creates the accounting of a shard's queue.
    #[must_use]
    pub fn new(observations: Arc<Observations>, shard: usize) -> Books {
        Books { observations, shard, losses: Mutex::default() }
    }

    /// Returns the shard's state and counters.
    #[must_use]
    pub fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// Returns the counters of a channel.
    #[must_use]
    pub fn channel(&self, index: ChannelIndex) -> &ChannelObservation {
        self.observations.channel(index)
    }

    /// Records losses for the gap ledger.
    pub fn note(&self, losses: impl IntoIterator<Item = Gap>) {
        lock(&self.losses).extend(losses);
    }

    /// Takes the recorded losses.
    #[must_use]
    pub fn take(&self) -> Vec<Gap> {
        std::mem::take(&mut *lock(&self.losses))
    }

    /// Counts batches that were in memory only as dropped; returns the number of events.
    pub fn drop_batches(&self, batches: &[Arc<EventBatch>], reason: DropReason) -> u64 {
        for batch in batches {
            self.drop_events(batch.events(), reason);
        }
        batches.iter().map(|batch| batch.len() as u64).sum()
    }

    /// Counts events that were in memory only as dropped.
    pub fn drop_events(&self, events: &[Event], reason: DropReason) {
        let mut channels: Vec<(String, u64)> = Vec::new();
        for event in events {
            let channel = self.channel(event.route.channel);
            channel.end(Place::Memory, Outcome::Dropped(reason), 1);
            let name = channel.channel.name();
            match channels.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => channels.push((name.to_owned(), 1)),
            }
        }
        let times = events.iter().map(|event| event.received_us);
        let between = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
        self.note(losses::of_channels(channels, between, reason));
    }

    /// Counts events that are stored without having been on disk: the archive does not get them.
    pub fn skip_archive<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        let (mut channels, mut between): (BTreeMap<String, u64>, _) = (BTreeMap::new(), (u64::MAX, 0));
        for event in events {
            let name = self.channel(event.route.channel).channel.name();
            *channels.entry(name.to_owned()).or_default() += 1;
            between = (between.0.min(event.received_us), between.1.max(event.received_us));
        }
        self.observations.archive.skipped.add(channels.values().sum());
        self.note(losses::of_archive(channels, between));
    }

    /// Counts events that the disk queue dropped to make room, by channel; returns their number.
    pub fn drop_oldest(&self, dropped: Dropped) -> u64 {
        for (name, events) in &dropped.events {
            // all channels found on disk at startup have counters
            if let Some(channel) = self.observations.channel_named(name) {
                channel.end(Place::Disk, Outcome::Dropped(DropReason::SpoolFull), *events);
            }
        }
        let events = dropped.events.values().sum();
        let between = (dropped.from_us, dropped.to_us);
        self.note(losses::of_channels(dropped.events, between, DropReason::SpoolFull));
        events
    }
}
