//! From the events of a connection into the inboxes of the shards: one lane a shard.
//!
//! A lane is filled while the connection takes in what its socket had, and is flushed then, so that an idle feed waits for
//! nothing. What is in a lane is the inbox's: the connection may die.

use uw_websocket_core::event::{Event, ReadAt};

use crate::queue::inbox::Lane;

/// The lanes of a connection.
#[derive(Debug)]
pub struct Forwarder {
    /// One for each shard, in their order.
    lanes: Vec<Lane>,
}

impl Forwarder {
    /// A forwarder into these lanes, one for each shard, in their order.
    #[must_use]
    pub fn new(lanes: Vec<Lane>) -> Forwarder {
        Forwarder { lanes }
    }

    /// Takes an event in. The caller looks at [`Forwarder::has_room`] before each chunk.
    ///
    /// # Panics
    /// If the event was routed for another number of shards: a defect, by which it would go nowhere.
    pub fn push(&self, event: Event, read_at: ReadAt) {
        self.lanes[event.route.shard].push(event, read_at);
    }

    /// Delivers what there is room for.
    pub fn flush(&self) {
        self.lanes.iter().for_each(Lane::flush);
    }

    /// Whether a chunk of events can be taken in: it is not known beforehand which lanes it will need.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lanes.iter().all(Lane::has_room)
    }

    /// Waits until a chunk of events can be taken in. Cancelling it is safe.
    pub async fn room(&self) {
        for lane in &self.lanes {
            lane.room().await;
        }
    }
}

#[cfg(test)]
mod tests;
