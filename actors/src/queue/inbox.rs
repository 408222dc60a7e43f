//! The inbox of a shard: batches between a connection and the queue. It outlives all actors, so that no handed-over
//! event is lost with one.
//!
//! Each connection fills its own lane. When a batch is full, or the connection has read everything its socket had,
//! it is *delivered* if there is room, and the writer is notified by a [`Delivery`]. Room is bounded in batches and
//! bytes; without room lanes fill up to their own bound, and only then must their connections stop reading. Lanes
//! are served round-robin, so no connection starves another.
//!
//! Small batches are merged into the preceding one, up to the size of a transaction: a slow feed on a full disk
//! takes room by its bytes, not by its wake-ups.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actix::Recipient;
use tokio::sync::{Notify, watch};
use uw_websocket_core::event::{Event, ReadAt};
use uw_websocket_core::tables::share;

use super::batch::{EventBatch, TransactionSize};
use crate::messages::Delivery;
use crate::observation::{Observations, WriterObservation};
use crate::sync::lock;

/// Maximum delivered bytes, whatever the number of batches: four times the largest wave of gex rows seen (4 000
/// rows of 1 KiB).
pub const CAPACITY_BYTES: usize = 16 * 1024 * 1024;

/// Maximum bytes of all inboxes together: with the frames being read and the transactions being written the service
/// stays well below its limit of 256 MiB, whatever the number of shards.
const TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// Maximum bytes in a lane before its connection stops reading; one chunk of frames may be added.
const LANE_BYTES: usize = 1024 * 1024;
/// Maximum bytes in the lanes of all connections to all shards.
const LANES_BYTES: usize = 16 * 1024 * 1024;

/// The inbox of one shard.
#[derive(Debug)]
pub struct Inbox {
    shard: usize,
    size: TransactionSize,
    capacity: Capacity,
    held: Mutex<Held>,
    /// Whether a writer has served it: from then on delivered events are soon on disk.
    served: watch::Sender<bool>,
    /// Wakes connections that wait for room.
    room: Notify,
    observations: Arc<Observations>,
}

#[derive(Clone, Copy, Debug)]
struct Capacity {
    batches: usize,
    bytes: usize,
    lane_bytes: usize,
}

#[derive(Debug)]
struct Held {
    lanes: Vec<Waiting>,
    /// The lane served next.
    turn: usize,
    /// Oldest first.
    delivered: VecDeque<EventBatch>,
    bytes: usize,
    /// Number of the next delivery.
    number: u64,
    writer: Option<Recipient<Delivery>>,
    is_closed: bool,
}

/// The undelivered content of a lane.
#[derive(Debug, Default)]
struct Waiting {
    /// In order; only the last one is still filling.
    batches: VecDeque<EventBatch>,
    events: usize,
    bytes: usize,
    /// Time since which its first batch waits for room.
    since: Option<Instant>,
}

impl Inbox {
    /// Creates an inbox for a number of connections. It holds `capacity` delivered batches and [`CAPACITY_BYTES`],
    /// or less with many shards.
    #[must_use]
    pub fn new(
        shard: usize,
        connections: usize,
        capacity: usize,
        size: TransactionSize,
        observations: Arc<Observations>,
    ) -> Arc<Inbox> {
        let shards = observations.writers.len();
        let bytes = CAPACITY_BYTES.min(share(TOTAL_BYTES, shards));
        let lane_bytes = LANE_BYTES.min(share(LANES_BYTES, shards * connections));
        Arc::new(Inbox {
            shard,
            size,
            capacity: Capacity { batches: capacity.max(1), bytes, lane_bytes },
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

    /// Sets the writer to notify of deliveries. It finds earlier deliveries in the inbox.
    pub fn serve(&self, writer: Recipient<Delivery>) {
        lock(&self.held).writer = Some(writer);
        self.served.send_replace(true);
    }

    /// Waits until a writer has served it.
    pub async fn served(&self) {
        // we own the sender, so the wait cannot fail
        drop(self.served.subscribe().wait_for(|served| *served).await);
    }

    /// Reopens the inbox.
    pub fn open(&self) {
        lock(&self.held).is_closed = false;
    }

    /// Closes the inbox: no connection is left.
    pub fn close(&self) {
        lock(&self.held).is_closed = true;
    }

    /// Whether it is closed and empty.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        let held = lock(&self.held);
        held.is_closed && held.delivered.is_empty() && held.lanes.iter().all(|lane| lane.batches.is_empty())
    }

    /// Returns the time at which the oldest event in it was read, in Unix microseconds.
    #[must_use]
    pub fn oldest_us(&self) -> Option<u64> {
        let held = lock(&self.held);
        let waiting = held.lanes.iter().flat_map(|lane| &lane.batches);
        waiting.chain(&held.delivered).map(|batch| batch.read_at().unix_us).min()
    }

    /// Returns the number of batches that a message may announce, which the writer's mailbox must hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity.batches
    }

    /// Returns the lane of a connection, with the content left by its predecessor.
    #[must_use]
    pub fn lane(self: &Arc<Self>, connection: usize) -> Lane {
        Lane { inbox: Arc::clone(self), connection }
    }

    /// Takes the oldest batches, up to `max_bytes`, but at least one if there is any. Batches in the lanes move up,
    /// including those that a dead connection did not deliver.
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

    /// Delivers from the lanes, round-robin, while there is room.
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
            // full: it handles an earlier message and takes this batch too; closed: its successor starts with the
            // present content
            drop(writer.try_send(Delivery { number: held.number }));
        }
    }
}

impl Held {
    /// An empty inbox accepts a batch of any size.
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

/// One connection's access to the inbox of a shard.
#[derive(Clone, Debug)]
pub struct Lane {
    inbox: Arc<Inbox>,
    connection: usize,
}

impl Lane {
    /// Adds an event. From here on it counts as received, has its ordinal, and is independent of its connection.
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

    /// Delivers the lane's content as far as there is room.
    pub fn flush(&self) {
        self.inbox.move_up(&mut lock(&self.inbox.held));
    }

    /// Whether a chunk of events can be added.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let held = lock(&self.inbox.held);
        let lane = &held.lanes[self.connection];
        lane.events < self.inbox.size.events && lane.bytes < self.inbox.capacity.lane_bytes
    }

    /// Waits until the lane has room. Cancel safe.
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
