//! What crosses two actors: a batch of events on its way from a connection to a writer.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};

use crate::event::{Event, ReadAt};
use crate::observation::{DropReason, Fate, Observations, Place};
use crate::writer::backlog::{Range, TransactionSize};
use crate::writer::disk::{Disk, Ticket};
use crate::writer::mailbox::Credit;

/// Events of one shard in the order of their arrival, sealed by one connection.
///
/// A batch answers for its events: whoever lets go of it without having stored or dropped them on purpose has lost
/// them in memory, and that is counted (as `shutdown` when the process ends, as `crash` otherwise). Once they are on
/// disk, the disk queue answers for them, and a batch is but a copy.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub struct EventBatch {
    events: Vec<Event>,
    payloads: Blocks,
    /// Memory that the events take.
    bytes: usize,
    /// What they come to on the wire: each payload once for every stream.
    weight: usize,
    /// When the first of the events was read.
    read_at: ReadAt,
    on_disk: OnceCell<OnDisk>,
    /// While the disk queue is asked to take it.
    ticket: RefCell<Option<Ticket>>,
    credit: RefCell<Option<Credit>>,
    /// Whether it was settled.
    ended: Cell<bool>,
    observations: Arc<Observations>,
}

impl EventBatch {
    /// An empty batch whose events were read from `read_at` on.
    #[must_use]
    pub fn new(read_at: ReadAt, observations: Arc<Observations>) -> EventBatch {
        EventBatch {
            events: Vec::new(),
            payloads: Blocks::default(),
            bytes: 0,
            weight: 0,
            read_at,
            on_disk: OnceCell::new(),
            ticket: RefCell::new(None),
            credit: RefCell::new(None),
            ended: Cell::new(false),
            observations,
        }
    }

    /// An empty batch for events that are read from disk, where they stay until they are settled.
    #[must_use]
    pub fn from_disk(on_disk: OnDisk, read_at: ReadAt, observations: Arc<Observations>) -> EventBatch {
        let batch = EventBatch::new(read_at, observations);
        batch.on_disk.get_or_init(|| on_disk);
        batch
    }

    /// Adds the event of the next record, which counts already.
    pub fn add_read(&mut self, event: Event) {
        self.bytes += event.payload.len() + size_of::<Event>();
        self.weight += event.payload.len() * event.route.outlets.len();
        self.events.push(event);
    }

    /// Takes an event in; from here on it counts as received and has its
    /// ordinal. Its payload is copied into memory of the batch: a slice of
    /// what was read would keep the whole block that the socket was read into, however long the event waits.
    pub fn push(&mut self, mut event: Event) {
        event.payload = self.payloads.copy(&event.payload);
        event.ordinal = self.observations.channel(event.route.channel).receive();
        self.add_read(event);
    }

    /// The events, first come first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Memory that the events take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each payload once for every stream that it goes to, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Appends the events of a later batch and takes over the room of their bytes; the place of the batch itself is
    /// free again.
    pub fn absorb(&mut self, mut later: EventBatch) {
        self.events.append(&mut later.events);
        self.bytes += later.bytes;
        self.weight += later.weight;
        match (self.credit.get_mut(), later.credit.take()) {
            (Some(credit), Some(other)) => credit.absorb(other),
            (credit @ None, other) => *credit = other,
            (Some(_), None) => {}
        }
    }

    /// When the first of the events was read.
    #[must_use]
    pub fn read_at(&self) -> ReadAt {
        self.read_at
    }

    /// Lends the batch the room that it takes in a writer's mailbox; its end gives the room back.
    pub fn lend(&mut self, credit: Credit) {
        *self.credit.get_mut() = Some(credit);
    }

    /// Takes the room back, as when the batch could not be delivered.
    pub fn take_credit(&self) -> Option<Credit> {
        self.credit.take()
    }

    /// Ends the batch: `fate` says of each event, by its position, what became of it.
    pub fn settle(&self, fate: impl Fn(usize) -> Fate) {
        if self.ended.replace(true) {
            return;
        }
        let place = if self.on_disk.get().is_some() { Place::Disk } else { Place::Memory };
        for (position, event) in self.events.iter().enumerate() {
            self.observations.channel(event.route.channel).end(place, fate(position), 1);
        }
        self.credit.take();
    }

    /// Whether it was settled.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// The disk queue is asked to take it, and has answered with a `None`.
    pub fn board(&self, ticket: Option<Ticket>) {
        *self.ticket.borrow_mut() = ticket;
    }

    /// All its events are on disk: from here on the disk queue answers for them, and the room in the mailbox is free.
    pub fn spooled(&self, on_disk: OnDisk) {
        self.board(None);
        if self.on_disk.set(on_disk).is_ok() {
            for event in &self.events {
                self.observations.channel(event.route.channel).spool(1);
            }
        }
        self.credit.take();
    }

    /// Where its first event is on disk; the others follow it there. `None` while the batch is in memory alone.
    #[must_use]
    pub fn on_disk(&self) -> Option<&OnDisk> {
        self.on_disk.get()
    }

    /// The records of its events, if they are on disk.
    #[must_use]
    pub fn range(&self) -> Option<Range> {
        let OnDisk { disk, first } = self.on_disk.get().cloned()?;
        Some(Range { disk, from: first, to: first + self.events.len() as u64 })
    }

    /// Whether `next` can be appended as if they were one: in memory both, or one behind the other on disk.
    #[must_use]
    pub fn is_followed_by(&self, next: &EventBatch) -> bool {
        match (self.range(), next.on_disk.get()) {
            (None, None) => true,
            (Some(range), Some(next)) => range.disk == next.disk && range.to == next.first,
            _ => false,
        }
    }

    /// Whether both are in memory or both on one disk.
    #[must_use]
    pub fn is_beside(&self, other: &EventBatch) -> bool {
        let disk = |batch: &EventBatch| batch.on_disk.get().map(|on_disk| on_disk.disk.clone());
        disk(self) == disk(other)
    }

    /// Whether it is as large as a transaction.
    #[must_use]
    pub fn is_sealed(&self, size: TransactionSize) -> bool {
        self.events.len() >= size.events || self.weight >= size.weight
    }

    /// The events, to give them their IDs.
    pub fn events_mut(&mut self) -> &mut [Event] {
        &mut self.events
    }

    /// Ends the events that are duplicates.
    pub fn remove_duplicates(&mut self, mut is_duplicate: impl FnMut(&Event) -> bool) {
        let EventBatch { events, bytes, weight, observations, .. } = self;
        events.retain(|event| {
            let is_new = !is_duplicate(event);
            if !is_new {
                observations.channel(event.route.channel).end(Place::Memory, Fate::Duplicate, 1);
                *bytes -= event.payload.len() + size_of::<Event>();
                *weight -= event.payload.len() * event.route.outlets.len();
            }
            is_new
        });
    }
}

/// Where a record is.
#[derive(Clone, Debug)]
pub struct OnDisk {
    /// In which queue.
    pub disk: Disk,
    /// Its number there.
    pub first: u64,
}

/// The first block of a batch; a single event of any channel fits.
const FIRST_BLOCK: usize = 4 * 1024;
/// Blocks double up to this size: so few of them that allocating costs nothing, and little left over in the last one.
const LARGEST_BLOCK: usize = 64 * 1024;

/// Memory for the payloads of one batch, block by block.
#[derive(Debug)]
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

impl Drop for EventBatch {
    fn drop(&mut self) {
        // settled, or a copy of what the disk queue still has
        if self.ended.get() || self.on_disk.get().is_some() {
            return;
        }
        if self.ticket.take().is_some_and(|ticket| !ticket.take()) {
            // its writer has died, but the disk queue has it
            self.events.iter().for_each(|event| self.observations.channel(event.route.channel).spool(1));
            return;
        }
        let is_stopping = self.observations.stopping.load(Relaxed);
        let reason = if is_stopping { DropReason::Shutdown } else { DropReason::Crash };
        for event in &self.events {
            self.observations.channel(event.route.channel).end(Place::Memory, Fate::Dropped(reason), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{batch, event, observations, outlet, route};

    /// Observations of one channel and a batch of three of its events, with 6 bytes.
    fn world() -> (Arc<Observations>, EventBatch) {
        let observations = observations(&["price"], 1);
        let route = route(0, vec![outlet("price:SPY", 0)]);
        let batch = batch(&observations, ["1", "22", "333"].map(|payload| event(&route, payload, 0)));
        (observations, batch)
    }

    fn dropped(observations: &Observations) -> [u64; 3] {
        let channel = &observations.channels[0];
        [DropReason::Crash, DropReason::Rejected, DropReason::Shutdown]
            .map(|reason| channel.dropped(reason).get())
    }

    #[test]
    fn a_batch_counts_its_events_and_bytes() {
        let (observations, batch) = world();
        assert_eq!((batch.events().len(), batch.weight()), (3, 6));
        assert_eq!(batch.bytes(), 6 + 3 * size_of::<Event>());
        let channel = &observations.channels[0];
        assert_eq!((channel.received.get(), channel.pending()), (3, 3));
        assert_eq!(batch.events().iter().map(|event| event.ordinal).collect::<Vec<_>>(), [0, 1, 2]);
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
        let (observations, mut batch) = world();
        let later = crate::samples::batch(&observations, [batch.events()[0].clone()]);
        let (bytes, weight) = (batch.bytes() + later.bytes(), batch.weight() + later.weight());
        batch.absorb(later);
        assert_eq!((batch.events().len(), batch.bytes(), batch.weight()), (4, bytes, weight));
        assert_eq!(dropped(&observations), [0, 0, 0]);
        batch.settle(|_| Fate::Stored);
        assert_eq!(observations.channels[0].stored.get(), 4);
    }

    #[test]
    fn a_settled_batch_gives_every_event_its_own_fate() {
        let (observations, batch) = world();
        let rejected = Fate::Dropped(DropReason::Rejected);
        batch.settle(|event| if event == 1 { rejected } else { Fate::Stored });
        let channel = &observations.channels[0];
        assert_eq!((channel.stored.get(), dropped(&observations), channel.pending()), (2, [0, 1, 0], 0));
    }

    #[test]
    fn a_batch_that_is_let_go_of_counts_as_lost() {
        let (observations, batch) = world();
        drop(batch);
        assert_eq!((dropped(&observations), observations.channels[0].pending()), ([3, 0, 0], 0));
        assert_eq!(observations.audit(), []);
    }

    #[test]
    fn a_batch_that_is_let_go_of_at_the_end_counts_as_shut_down() {
        let (observations, batch) = world();
        observations.stopping.store(true, Relaxed);
        drop(batch);
        assert_eq!(dropped(&observations), [0, 0, 3]);
    }
}
