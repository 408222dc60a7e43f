//! The way into a shard: where batches lie between a connection and the queue. It outlives all actors, so that nothing
//! that was handed over dies with one.
//!
//! Each connection has a lane that it fills. When a batch is full, or the connection has taken in what its socket had, it
//! is *delivered*, if there is room, and the writer is told by a [`Delivery`]. Room has a bound in batches and in bytes;
//! without room lanes go on filling up to their own bound, and only then must their connections stop reading. Lanes are
//! served in turn, so no connection starves another.
//!
//! Small batches are joined to the one before them, up to a transaction's size: a feed that trickles while the disk is
//! full takes room by its bytes and not by its wake-ups.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actix::Recipient;
use tokio::sync::{Notify, watch};
use uw_websocket_core::event::{Event, ReadAt};

use super::batch::{EventBatch, TransactionSize};
use crate::messages::Delivery;
use crate::observation::{Observations, WriterObservation, lock};

/// What is delivered at most, in bytes, whatever the number of batches: the largest wave of gex rows seen (4 000 rows of
/// 1 KiB) four times.
pub const CAPACITY_BYTES: usize = 16 * 1024 * 1024;

/// What all inboxes together hold: with the frames being read and the transactions being written the service stays well
/// below the 256 MiB that it promises, however many shards it has.
const TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// What a lane holds back, in bytes, before its connection stops reading; one chunk of frames may come on top.
const LANE_BYTES: usize = 1024 * 1024;

/// The inbox of one shard.
#[derive(Debug)]
pub struct Inbox {
    shard: usize,
    size: TransactionSize,
    capacity: Capacity,
    held: Mutex<Held>,
    /// Whether a writer has served it: from then on what is delivered is soon on disk.
    served: watch::Sender<bool>,
    /// Wakes connections that wait for room.
    room: Notify,
    observations: Arc<Observations>,
}

#[derive(Clone, Copy, Debug)]
struct Capacity {
    batches: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    lanes: Vec<Waiting>,
    /// The lane that is looked at first.
    turn: usize,
    /// The oldest first.
    delivered: VecDeque<EventBatch>,
    bytes: usize,
    /// The number of the next delivery.
    number: u64,
    writer: Option<Recipient<Delivery>>,
    is_closed: bool,
}

/// What a lane holds back.
#[derive(Debug, Default)]
struct Waiting {
    /// In order; only the last one is being filled.
    batches: VecDeque<EventBatch>,
    events: usize,
    bytes: usize,
    /// Since when its first batch waits for room.
    since: Option<Instant>,
}

impl Inbox {
    /// An inbox for so many connections. It holds `capacity` delivered batches and [`CAPACITY_BYTES`], or less when there
    /// are many shards.
    #[must_use]
    pub fn new(
        shard: usize,
        connections: usize,
        capacity: usize,
        size: TransactionSize,
        observations: Arc<Observations>,
    ) -> Arc<Inbox> {
        let bytes = CAPACITY_BYTES.min(TOTAL_BYTES / observations.writers.len().max(1));
        Arc::new(Inbox {
            shard,
            size,
            capacity: Capacity { batches: capacity.max(1), bytes },
            held: Mutex::new(Held {
                lanes: (0..connections).map(|_| Waiting::default()).collect(),
                turn: 0,
                delivered: VecDeque::new(),
                bytes: 0,
                number: 0,
                writer: None,
                is_closed: false,
            }),
            served: watch::Sender::new(false),
            room: Notify::new(),
            observations,
        })
    }

    /// From now on this writer is told of deliveries. What was delivered before it lived is there for it to take.
    pub fn serve(&self, writer: Recipient<Delivery>) {
        lock(&self.held).writer = Some(writer);
        self.served.send_replace(true);
    }

    /// Waits until a writer serves it.
    pub async fn served(&self) {
        // the sender is our own, so that the wait cannot fail
        drop(self.served.subscribe().wait_for(|served| *served).await);
    }

    /// More may come.
    pub fn open(&self) {
        lock(&self.held).is_closed = false;
    }

    /// Nothing comes any more: no connection is left.
    pub fn close(&self) {
        lock(&self.held).is_closed = true;
    }

    /// Whether nothing is here and nothing comes any more.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        let held = lock(&self.held);
        held.is_closed && held.delivered.is_empty() && held.lanes.iter().all(|lane| lane.batches.is_empty())
    }

    /// How many batches a message may announce at once: what the writer's mailbox must take.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity.batches
    }

    /// The lane of a connection, also of its next life: what an earlier one filled is still there.
    #[must_use]
    pub fn lane(self: &Arc<Self>, connection: usize) -> Lane {
        Lane { inbox: Arc::clone(self), connection }
    }

    /// Takes the oldest batches out, up to some memory, at least one if there is one. What waits in the lanes moves up, also
    /// what a connection that died did not come to deliver.
    pub(crate) fn take(&self, max_bytes: usize) -> Vec<EventBatch> {
        let mut held = lock(&self.held);
        self.move_up(&mut held);
        let mut bytes = 0;
        let fits = |batch: &&EventBatch| {
            bytes += batch.bytes();
            bytes <= max_bytes
        };
        let count = held.delivered.iter().take_while(fits).count().max(1).min(held.delivered.len());
        let taken: Vec<EventBatch> = held.delivered.drain(..count).collect();
        let bytes = taken.iter().map(EventBatch::bytes).sum::<usize>();
        held.bytes -= bytes;
        let observed = self.observed();
        observed.batches_out.add(taken.len() as u64);
        observed.bytes_out.add(bytes as u64);
        self.move_up(&mut held);
        drop(held);
        if !taken.is_empty() {
            self.room.notify_waiters();
        }
        taken
    }

    fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// Delivers what waits in the lanes, in turn, while there is room.
    fn move_up(&self, held: &mut Held) {
        let lanes = held.lanes.len();
        let mut empty = 0;
        while empty < lanes {
            let at = held.turn % lanes;
            let fits = held.lanes[at].batches.front().map(|next| held.has_room_for(next, self.capacity));
            match fits {
                None => {
                    empty += 1;
                    held.turn = at + 1;
                }
                Some(false) => {
                    held.lanes[at].since.get_or_insert_with(Instant::now);
                    return;
                }
                Some(true) => {
                    empty = 0;
                    self.deliver(held, at);
                    held.turn = at + 1;
                }
            }
        }
    }

    fn deliver(&self, held: &mut Held, lane: usize) {
        let Some(batch) = held.lanes[lane].pop() else { return };
        let observed = self.observed();
        if let Some(since) = held.lanes[lane].since.take() {
            let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            observed.mailbox_wait_us.add(waited);
        }
        observed.bytes_in.add(batch.bytes() as u64);
        held.bytes += batch.bytes();
        match held.delivered.back_mut() {
            Some(last) if last.fits_before(&batch, self.size) => last.absorb(batch),
            _ => {
                observed.batches_in.add(1);
                held.delivered.push_back(batch);
            }
        }
        held.number += 1;
        if let Some(writer) = &held.writer {
            // full: it will hear of an earlier one and take this one too; closed: its next life begins with what is here
            drop(writer.try_send(Delivery { number: held.number }));
        }
    }
}

impl Held {
    /// A batch fits into an empty inbox whatever its size.
    fn has_room_for(&self, batch: &EventBatch, capacity: Capacity) -> bool {
        self.delivered.is_empty()
            || self.delivered.len() < capacity.batches && self.bytes + batch.bytes() <= capacity.bytes
    }
}

impl Waiting {
    fn push(&mut self, batch: EventBatch) {
        self.events += batch.len();
        self.bytes += batch.bytes();
        self.batches.push_back(batch);
    }

    fn pop(&mut self) -> Option<EventBatch> {
        let batch = self.batches.pop_front()?;
        self.events -= batch.len();
        self.bytes -= batch.bytes();
        Some(batch)
    }
}

/// One connection's way into the inbox of a shard.
#[derive(Clone, Debug)]
pub struct Lane {
    inbox: Arc<Inbox>,
    connection: usize,
}

impl Lane {
    /// Takes an event in. From here on it counts as received, has its ordinal, and no longer needs its connection.
    pub fn push(&self, mut event: Event, read_at: ReadAt) {
        let inbox = &*self.inbox;
        event.ordinal = inbox.observations.channel(event.route.channel).receive();
        let mut held = lock(&inbox.held);
        let lane = &mut held.lanes[self.connection];
        match lane.batches.back_mut() {
            Some(filling) if !filling.is_sealed(inbox.size) => {
                let before = filling.bytes();
                filling.push(event);
                lane.bytes += filling.bytes() - before;
                lane.events += 1;
            }
            _ => {
                let mut batch = EventBatch::new(read_at);
                batch.push(event);
                lane.push(batch);
            }
        }
        if lane.batches.back().is_some_and(|filling| filling.is_sealed(inbox.size)) {
            inbox.move_up(&mut held);
        }
    }

    /// Delivers what the lane holds, as far as there is room.
    pub fn flush(&self) {
        self.inbox.move_up(&mut lock(&self.inbox.held));
    }

    /// Whether a chunk of events can be taken in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let held = lock(&self.inbox.held);
        let lane = &held.lanes[self.connection];
        lane.events < self.inbox.size.events && lane.bytes < LANE_BYTES
    }

    /// Waits until something was taken out of the inbox, unless the lane has room. Cancelling it is safe.
    pub async fn room(&self) {
        loop {
            // from here on no change is missed
            let room = self.inbox.room.notified();
            if self.has_room() {
                return;
            }
            room.await;
        }
    }
}

#[cfg(test)]
mod tests;
