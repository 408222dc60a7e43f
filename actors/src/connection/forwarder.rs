//! Delivers the events of a connection to the inboxes of the shards, through one lane per shard.
//!
//! A lane collects what the connection reads from its socket in one go and is flushed then, so an idle feed adds no
//! latency. The contents of a lane belong to the inbox and survive the connection.

use uw_websocket_core::event::{Event, ReadAt};

use crate::queue::inbox::Lane;

/// The lanes from one connection to all shards.
#[derive(Debug)]
pub struct Forwarder {
    /// Lanes by shard.
    lanes: Vec<Lane>,
}

impl Forwarder {
    /// Creates a forwarder from lanes, indexed by shard.
    #[must_use]
    pub fn new(lanes: Vec<Lane>) -> Forwarder {
        Forwarder { lanes }
    }

    /// Adds an event. Check [`Forwarder::has_room`] before each chunk.
    ///
    /// # Panics
    /// If the event was routed for another number of shards: a defect, since it could not be delivered.
    pub fn push(&self, event: Event, read_at: ReadAt) {
        self.lanes[event.route.shard].push(event, read_at);
    }

    /// Delivers as much as the inboxes have room for.
    pub fn flush(&self) {
        self.lanes.iter().for_each(Lane::flush);
    }

    /// Whether all lanes have room: which ones a chunk needs is not known beforehand.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lanes.iter().all(Lane::has_room)
    }

    /// Waits until all lanes have room. Cancel safe.
    pub async fn room(&self) {
        for lane in &self.lanes {
            lane.room().await;
        }
    }
}

#[cfg(test)]
mod tests;
