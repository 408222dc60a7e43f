//! Pending content of the hashes, shared: added by the committer, taken by the flush.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};
use uw_websocket_core::channel::Frame;
use uw_websocket_core::event::Event;
use uw_websocket_core::tables::share;

use super::pending::{Entered, News, NewsOrigin, Pending};
use crate::observation::{Observations, SnapshotObservation, SnapshotTrouble};
use crate::queue::batch::EventBatch;

/// Maximum bytes pending per shard before events wait for room: a wave of gex rows of some symbols. At twice as much,
/// which a single batch or the events of an earlier process may reach, events continue without their hashes.
const MAX_PENDING: usize = 8 * 1024 * 1024;
/// The same limit over all shards together.
const PENDING_OF_ALL: usize = 16 * 1024 * 1024;
/// Maximum wait of events for room before they continue without their hashes: streams have priority. A healthy
/// Redis writes all of it in a fraction of a second.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);
/// Share of the time that events may wait for room in the long run, as a divisor: a feed that names new symbols
/// without end slows the streams by a tenth, not to the pace of the hashes.
const TIME_PER_WAIT: u32 = 10;

/// Time after which content that Redis refused is tried again. A key of another type does not heal by itself; a proxy
/// that cannot reach its server does.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// Maximum time for pending content at shutdown; the next process finds the rest in the disk queue.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Pending content, shared by the committer, which adds it, and the flush, which writes it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshots(Rc<Shared>);

/// The time for which events may still wait for room.
#[derive(Clone, Copy, Debug)]
struct Patience {
    left: Duration,
    at: Instant,
}

impl Patience {
    fn at(&self, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at) / TIME_PER_WAIT;
        (self.left + earned).min(ROOM_PATIENCE)
    }

    fn spend(&mut self, began: Instant, now: Instant) {
        self.left = self.at(began).saturating_sub(now.saturating_duration_since(began));
        self.at = now;
    }
}

#[derive(Debug)]
struct Shared {
    pending: RefCell<Pending>,
    max_bytes: usize,
    patience: Cell<Patience>,
    /// Wakes the flush.
    came: Notify,
    /// Wakes the committer.
    taken: Notify,
    /// Time of closing.
    closed_at: Cell<Option<Instant>>,
    closed: Notify,
    observations: Arc<Observations>,
    shard: usize,
}

impl Snapshots {
    /// Creates the pending content of a shard. Each key is written at most once per `interval`.
    #[must_use]
    pub fn new(interval: Duration, observations: Arc<Observations>, shard: usize) -> Snapshots {
        Snapshots(Rc::new(Shared {
            pending: RefCell::new(Pending::new(interval)),
            max_bytes: MAX_PENDING.min(share(PENDING_OF_ALL, observations.writers.len())),
            patience: Cell::new(Patience { left: ROOM_PATIENCE, at: Instant::now() }),
            came: Notify::new(),
            taken: Notify::new(),
            closed_at: Cell::new(None),
            closed: Notify::new(),
            observations,
            shard,
        }))
    }

    /// Adds the stored events of a batch; without room they are counted and skipped.
    pub fn stored(&self, batch: &EventBatch, has_room: bool, is_stored: impl Fn(usize) -> bool) {
        if !has_room {
            return self.observed().troubles.of(SnapshotTrouble::Skipped).add(batch.len() as u64);
        }
        let events = batch.events().iter().enumerate();
        self.enter(NewsOrigin::Stored, events.filter(|(at, _)| is_stored(*at)).map(|(_, event)| event));
    }

    /// Adds events stored earlier, in order; the hashes may already hold them.
    pub fn kept<'e>(&self, events: impl Iterator<Item = &'e Event>) {
        self.enter(NewsOrigin::Kept, events);
    }

    pub(super) fn enter<'e>(&self, origin: NewsOrigin, events: impl Iterator<Item = &'e Event>) {
        let now = Instant::now();
        let mut pending = self.0.pending.borrow_mut();
        let mut newest: HashMap<&str, Entered<'_>, RandomState> = HashMap::default();
        let mut skipped = 0;
        let mut not_boards = 0;
        for event in events {
            if pending.bytes() > 2 * self.0.max_bytes {
                skipped += 1;
                continue;
            }
            for (outlet_at, destination) in event.route.destinations.iter().enumerate() {
                let entered = (event, destination, event.ids.get(outlet_at));
                if let Frame::Fragment { key, .. } = destination.frame {
                    not_boards += u64::from(pending.part(origin, key, entered, now).is_err());
                    continue;
                }
                newest.insert(&destination.stream, entered);
                pending.row(origin, entered, now);
            }
        }
        for newest in newest.into_values() {
            pending.newest(origin, newest, now);
        }
        let troubles = &self.observed().troubles;
        troubles.of(SnapshotTrouble::Untranslatable).add(not_boards);
        troubles.of(SnapshotTrouble::IncompleteBoard).add(pending.take_dropped_boards());
        drop(pending);
        self.observed().troubles.of(SnapshotTrouble::Skipped).add(skipped);
        self.note_bytes();
        self.0.came.notify_one();
    }

    /// Takes due content, up to `max_bytes`; all of it after closing.
    #[must_use]
    pub fn take_due(&self, now: Instant, is_closed: bool, max_bytes: usize) -> Vec<News> {
        let due = self.0.pending.borrow_mut().take_due(now, is_closed, max_bytes);
        if !due.is_empty() {
            self.note_bytes();
            self.0.taken.notify_one();
        }
        due
    }

    /// Adds the newest events and cells that could not be written again, to be tried after a pause.
    pub(super) fn put_back(&self, unwritten: impl Iterator<Item = News>, now: Instant) {
        let mut pending = self.0.pending.borrow_mut();
        unwritten.for_each(|news| pending.put_back(news, now + REFUSED_PAUSE));
        drop(pending);
        self.note_bytes();
    }

    /// Returns the time at which content is next due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.0.pending.borrow().next_due()
    }

    /// Records that the hashes of these streams were written: they are not due for the interval.
    pub fn written<'s>(&self, streams: impl IntoIterator<Item = &'s Arc<str>>, now: Instant) {
        let mut pending = self.0.pending.borrow_mut();
        streams.into_iter().for_each(|stream| pending.written(stream, now));
    }

    /// Waits until content is added, at most for `at_most`.
    pub async fn wait_for_more(&self, at_most: Duration) {
        timeout(at_most, self.0.came.notified()).await.ok();
    }

    /// Returns the state and counters of the hashes.
    #[must_use]
    pub fn observed(&self) -> &SnapshotObservation {
        &self.0.observations.writers[self.0.shard].snapshots
    }

    /// Waits a limited time for room; returns whether there is any.
    pub async fn has_room(&self) -> bool {
        let is_full = || self.0.pending.borrow().bytes() > self.0.max_bytes;
        if !is_full() {
            return true;
        }
        let mut patience = self.0.patience.get();
        let began = Instant::now();
        let room = async {
            while is_full() {
                self.0.taken.notified().await;
            }
        };
        let has_room = timeout(patience.at(began), room).await.is_ok();
        patience.spend(began, Instant::now());
        self.0.patience.set(patience);
        has_room
    }

    fn note_bytes(&self) {
        let bytes = self.0.pending.borrow().bytes() as u64;
        self.observed().pending_bytes.set(bytes);
    }

    /// Closes the table: pending content is written immediately, and the flush ends.
    pub fn close(&self) {
        self.0.closed_at.set(Some(Instant::now()));
        self.0.came.notify_one();
        self.0.closed.notify_one();
    }

    /// Whether the table is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed_at.get().is_some()
    }

    /// Waits until the time limit of shutdown has passed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wait_once_and_then_a_tenth_of_the_time() {
        let start = Instant::now();
        let mut patience = Patience { left: ROOM_PATIENCE, at: start };
        let (mut now, mut waited) = (start, Duration::ZERO);
        while now < start + Duration::from_secs(102) {
            let wait = patience.at(now);
            patience.spend(now, now + wait);
            (now, waited) = (now + wait + Duration::from_millis(10), waited + wait);
        }
        assert!(waited > Duration::from_secs(8) && waited < Duration::from_secs(13), "{waited:?}");
    }
}
