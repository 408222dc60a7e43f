//! A batch of events of one shard, in order of arrival.

use bytes::{Bytes, BytesMut};

use uw_websocket_core::event::{Event, ReadAt};

/// Limits of one transaction.
#[derive(Clone, Copy, Debug)]
pub struct TransactionSize {
    /// Maximum number of events.
    pub events: usize,
    /// Maximum payload bytes, counted once per stream. A larger event forms its own transaction.
    pub weight: usize,
}

/// Events of one shard in order of arrival. Plain data without a drop effect: the holder accounts for them.
#[derive(Clone, Debug)]
pub struct EventBatch {
    events: Vec<Event>,
    payloads: Blocks,
    /// Memory of the events, in bytes.
    bytes: usize,
    /// Payload bytes on the wire: each payload once per stream.
    weight: usize,
    /// Time at which the earliest event was read.
    read_at: ReadAt,
}

impl EventBatch {
    /// Creates an empty batch of events read from `read_at` on.
    #[must_use]
    pub fn new(read_at: ReadAt) -> EventBatch {
        EventBatch { events: Vec::new(), payloads: Blocks::default(), bytes: 0, weight: 0, read_at }
    }

    /// Adds an event and copies its payload into the batch's memory: a slice would retain the whole socket read
    /// block for as long as the event waits.
    pub fn push(&mut self, mut event: Event) {
        event.payload = self.payloads.copy(&event.payload);
        self.push_shared(event);
    }

    /// Adds an event whose payload shares memory with its neighbours, as after a read from disk.
    pub fn push_shared(&mut self, event: Event) {
        self.bytes += bytes_of(&event);
        self.weight += weight_of(&event);
        self.events.push(event);
    }

    /// Returns the events in order of arrival.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the events, for assigning IDs.
    pub fn events_mut(&mut self) -> &mut [Event] {
        &mut self.events
    }

    /// Returns the number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the memory of the events in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the time at which the first event was read.
    #[must_use]
    pub fn read_at(&self) -> ReadAt {
        self.read_at
    }

    /// Whether it has reached the size of a transaction.
    #[must_use]
    pub fn is_sealed(&self, size: TransactionSize) -> bool {
        self.events.len() >= size.events || self.weight >= size.weight
    }

    /// Whether both fit into one transaction.
    #[must_use]
    pub fn fits_before(&self, next: &EventBatch, size: TransactionSize) -> bool {
        self.events.len() + next.events.len() <= size.events && self.weight + next.weight <= size.weight
    }

    /// Appends the events of a later batch, which another connection may have read earlier.
    pub fn absorb(&mut self, mut later: EventBatch) {
        if later.read_at.unix_us < self.read_at.unix_us {
            self.read_at = later.read_at;
        }
        self.events.append(&mut later.events);
        self.bytes += later.bytes;
        self.weight += later.weight;
    }

    /// Retains the events for which `is_kept` returns true; called once per event, in order.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&Event) -> bool) {
        let EventBatch { events, bytes, weight, .. } = self;
        events.retain(|event| {
            let keeps = is_kept(event);
            if !keeps {
                *bytes -= bytes_of(event);
                *weight -= weight_of(event);
            }
            keeps
        });
    }
}

/// Memory of a destination with its keys. Routes with one destination are cached and shared; one with several belongs
/// to its event.
const DESTINATION_BYTES: usize = 640;

fn bytes_of(event: &Event) -> usize {
    let more = event.route.destinations.len().saturating_sub(1);
    event.payload.len() + size_of::<Event>() + more * DESTINATION_BYTES
}

fn weight_of(event: &Event) -> usize {
    event.payload.len() * event.route.destinations.len()
}

/// Size of a batch's first block; a single event of any channel fits.
const FIRST_BLOCK: usize = 4 * 1024;
/// Maximum block size; blocks double up to it: few allocations, and little waste in the last one.
const LARGEST_BLOCK: usize = 64 * 1024;

/// Memory for the payloads of one batch, in blocks.
#[derive(Clone, Debug)]
struct Blocks {
    block: BytesMut,
    next: usize,
}

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks { block: BytesMut::new(), next: FIRST_BLOCK }
    }
}

impl Blocks {
    fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.block.capacity() < payload.len() {
            self.block = BytesMut::with_capacity(self.next.max(payload.len()));
            self.next = (self.next * 2).min(LARGEST_BLOCK);
        }
        self.block.extend_from_slice(payload);
        self.block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::batch;
    use uw_websocket_core::fixtures::{destination, event, route};

    /// Three events with 6 bytes in total.
    fn three() -> EventBatch {
        let route = route(0, vec![destination("price:SPY", 0)]);
        batch(["1", "22", "333"].map(|payload| event(&route, payload, 0)))
    }

    #[test]
    fn a_batch_counts_its_events_and_bytes() {
        let batch = three();
        assert_eq!((batch.len(), batch.weight), (3, 6));
        assert_eq!(batch.bytes(), 6 + 3 * size_of::<Event>());
    }

    #[test]
    fn payloads_are_copied_whole_into_few_blocks() {
        let mut blocks = Blocks::default();
        let payloads: Vec<Vec<u8>> = (0_u8..250).map(|n| vec![n; usize::from(n) * 11 % 3000]).collect();
        let large = vec![7; LARGEST_BLOCK * 3];
        let copies: Vec<Bytes> =
            payloads.iter().chain([&large]).map(|payload| blocks.copy(payload)).collect();
        assert!(payloads.iter().chain([&large]).zip(&copies).all(|(payload, copy)| payload == copy));
        let neighbours = copies.windows(2).filter(|pair| pair[0].as_ptr_range().end == pair[1].as_ptr());
        assert!(neighbours.count() > 220);
    }

    #[test]
    fn an_absorbed_batch_goes_on_in_the_one_before_it() {
        let (mut batch, later) = (three(), three());
        let (bytes, weight) = (batch.bytes() + later.bytes(), batch.weight + later.weight);
        batch.absorb(later);
        assert_eq!((batch.len(), batch.bytes(), batch.weight), (6, bytes, weight));
    }

    #[test]
    fn what_is_not_kept_takes_no_room() {
        let mut batch = three();
        batch.retain(|event| event.payload.len() != 2);
        assert_eq!((batch.len(), batch.weight), (2, 4));
        assert_eq!(batch.bytes(), 4 + 2 * size_of::<Event>());
    }
}
