//! What waits to be written, by key: the committer enters it, the flush takes it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};
use uw_websocket_core::event::Event;

use super::pending::{Entered, News, Origin, Pending};
use crate::observation::{Observations, SnapshotObservation, SnapshotTrouble};
use crate::queue::batch::EventBatch;

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
            return self.observed().troubles.of(SnapshotTrouble::Skipped).add(batch.len() as u64);
        }
        let events = batch.events().iter().enumerate();
        self.enter(Origin::Stored, events.filter(|(at, _)| is_stored(*at)).map(|(_, event)| event));
    }

    /// Enters events that were stored before and may be in the hashes already; in their order.
    pub fn kept<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        self.enter(Origin::Kept, events);
    }

    pub(super) fn enter<'e>(&self, origin: Origin, events: impl Iterator<Item = &'e Event>) {
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

    /// Takes what is due out, at most so many bytes; all of it when nothing comes any more.
    #[must_use]
    pub fn take_due(&self, now: Instant, is_closed: bool, max_bytes: usize) -> Vec<News> {
        let due = self.0.pending.borrow_mut().take_due(now, is_closed, max_bytes);
        if !due.is_empty() {
            self.note_bytes();
            self.0.taken.notify_one();
        }
        due
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.0.pending.borrow().next_due()
    }

    /// What belongs to these streams was written then: it rests for the interval.
    pub fn written<'s>(&self, streams: impl IntoIterator<Item = &'s Arc<str>>, now: Instant) {
        let mut pending = self.0.pending.borrow_mut();
        streams.into_iter().for_each(|stream| pending.written(stream, now));
    }

    /// Waits until something comes, at most so long.
    pub async fn wait_for_more(&self, at_most: Duration) {
        timeout(at_most, self.0.came.notified()).await.ok();
    }

    /// What others see of the hashes.
    #[must_use]
    pub fn observed(&self) -> &SnapshotObservation {
        &self.0.observations.writers[self.0.shard].snapshots
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
        self.observed().pending_bytes.set(bytes);
    }

    /// Nothing comes any more: what waits is written at once, and the flush ends.
    pub fn close(&self) {
        self.0.closed_at.set(Some(Instant::now()));
        self.0.came.notify_one();
        self.0.closed.notify_one();
    }

    /// Whether nothing comes any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed_at.get().is_some()
    }

    /// Waits until the time of the end is over.
    pub async fn end_is_over(&self) {
        let closed_at = loop {
            match self.0.closed_at.get() {
                Some(at) => break at,
                None => self.0.closed.notified().await,
            }
        };
        sleep_until((closed_at + END_PATIENCE).into()).await;
    }
}
