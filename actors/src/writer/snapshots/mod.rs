//! The hashes beside the streams: `ws:latest:`, `ws:map:` and the bodies of REST.
//!
//! They are conflated: each key is written at most once in `SNAPSHOT_INTERVAL_MS`, from the newest events, and only after
//! these are in their streams. So they cost little however many events there are, they are never ahead of the streams, and
//! writing them holds up no event: they have a connection of their own. What waits to be written when the process dies is
//! read again from the disk queue by the next one, which keeps stored records for a while.
//!
//! [`pending`] is what waits, [`Flush`] writes it; `hashes` and `bodies` know how.

mod bodies;
mod budget;
mod flush;
mod hashes;
pub mod pending;
mod questions;
mod reading;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};

use crate::event::Event;
use crate::observation::Observations;
use crate::queue::batch::EventBatch;
pub use flush::Flush;
use pending::{Entered, Origin, Pending};

/// What waits to be written at most, by shard: a wave of gex rows of some symbols.
const MAX_PENDING: usize = 8 * 1024 * 1024;
/// How long events wait for room there before they go on without their hashes: the streams come first. A healthy Redis
/// takes all of it in a fraction of a second.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);

/// At the end, what could not be written by then is left to the next process, which finds it in the disk queue.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// What waits, shared by the committer, which enters it, and the flush, which writes it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshots(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    pending: RefCell<Pending>,
    /// Wakes the flush.
    came: Notify,
    /// Wakes the committer.
    taken: Notify,
    /// When nothing came any more.
    closed_at: Cell<Option<Instant>>,
    closed: Notify,
    observations: Arc<Observations>,
    shard: usize,
}

impl Snapshots {
    /// For a shard. Each key is written once in `interval`.
    #[must_use]
    pub fn new(interval: Duration, observations: Arc<Observations>, shard: usize) -> Snapshots {
        Snapshots(Rc::new(Shared {
            pending: RefCell::new(Pending::new(interval)),
            came: Notify::new(),
            taken: Notify::new(),
            closed_at: Cell::new(None),
            closed: Notify::new(),
            observations,
            shard,
        }))
    }

    /// Enters the events of a batch that were stored; without room they are counted and left out.
    pub fn stored(&self, batch: &EventBatch, has_room: bool, is_stored: impl Fn(usize) -> bool) {
        if !has_room {
            let skipped = &self.0.observations.writers[self.0.shard].snapshots.skipped;
            return skipped.add(batch.len() as u64);
        }
        let events = batch.events().iter().enumerate();
        self.enter(Origin::Stored, events.filter(|(at, _)| is_stored(*at)).map(|(_, event)| event));
    }

    /// Enters events that were stored before and may be in the hashes already; in their order.
    pub fn kept<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        self.enter(Origin::Kept, events);
    }

    fn enter<'e>(&self, origin: Origin, events: impl Iterator<Item = &'e Event>) {
        let now = Instant::now();
        let mut pending = self.0.pending.borrow_mut();
        let mut newest: HashMap<&str, Entered<'_>, RandomState> = HashMap::default();
        for event in events {
            for (outlet_at, outlet) in event.route.outlets.iter().enumerate() {
                let entered = (event, outlet, event.ids.get(outlet_at));
                newest.insert(&outlet.stream, entered);
                pending.row(origin, entered, now);
            }
        }
        for newest in newest.into_values() {
            pending.newest(origin, newest, now);
        }
        drop(pending);
        self.note_bytes();
        self.0.came.notify_one();
    }

    /// Waits a while for room; whether there is some.
    pub async fn has_room(&self) -> bool {
        let room = async {
            while self.0.pending.borrow().bytes() > MAX_PENDING {
                self.0.taken.notified().await;
            }
        };
        timeout(ROOM_PATIENCE, room).await.is_ok()
    }

    fn note_bytes(&self) {
        let bytes = self.0.pending.borrow().bytes() as u64;
        self.0.observations.writers[self.0.shard].snapshots.pending_bytes.set(bytes);
    }

    /// Nothing comes any more: what waits is written at once, and the flush ends.
    pub fn close(&self) {
        self.0.closed_at.set(Some(Instant::now()));
        self.0.came.notify_one();
        self.0.closed.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.0.closed_at.get().is_some()
    }

    /// Waits until the time of the end is over.
    async fn end_is_over(&self) {
        let closed_at = loop {
            match self.0.closed_at.get() {
                Some(at) => break at,
                None => self.0.closed.notified().await,
            }
        };
        sleep_until((closed_at + END_PATIENCE).into()).await;
    }
}

#[cfg(test)]
mod tests;
