//! What has come to a writer and is not written yet, in its order.
//!
//! Batches come in through the writer's shell, wait in *incoming* until the [keeper](super::keeper) has taken care of them,
//! and are then *ready* for the [drain](super::drain). What is ready lies in memory, up to a bound; behind it, or between
//! it, are ranges of records that are on the disk alone.
//!
//! Small batches are joined to the one before them, up to a transaction's size, and give back their place in the
//! mailbox: a feed that trickles while Redis is away fills the room by its bytes and not by its wake-ups.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use super::disk::Disk;
use crate::event::Event;
use crate::messages::EventBatch;

/// What one transaction takes at most.
#[derive(Clone, Copy, Debug)]
pub struct TransactionSize {
    /// Events.
    pub events: usize,
    /// Payload times the streams that it goes to. An event that is larger makes a transaction of its own.
    pub weight: usize,
}

/// Records that are on the disk alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// Of which queue.
    pub disk: Disk,
    /// The first one.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
}

/// What the drain is to write next.
#[derive(Debug)]
pub enum Next {
    /// These batches.
    Batches(Vec<EventBatch>),
    /// What is read from here; the rest of it is to be [given back](Backlog::give_back).
    Range(Range),
}

#[derive(Debug)]
enum Item {
    Batch(EventBatch),
    Range(Range),
}

/// The queue between a writer's shell, its keeper and its drain. All live on one thread.
#[derive(Clone, Debug)]
pub struct Backlog(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    size: TransactionSize,
    incoming: RefCell<VecDeque<EventBatch>>,
    ready: RefCell<VecDeque<Item>>,
    /// Of the batches in `ready`.
    ready_bytes: Cell<usize>,
    came: Notify,
    readied: Notify,
    taken: Notify,
    closed: Cell<bool>,
    complete: Cell<bool>,
    in_flight: RefCell<Option<InFlight>>,
    /// Whether Redis is away or refuses.
    in_trouble: Cell<bool>,
    /// How often records that were ready have been dropped.
    drops: Cell<u64>,
}

/// What the drain is writing.
pub type InFlight = Rc<Vec<EventBatch>>;

impl Backlog {
    /// An empty backlog for transactions of this size.
    #[must_use]
    pub fn new(size: TransactionSize) -> Backlog {
        Backlog(Rc::new(Shared {
            size,
            incoming: RefCell::default(),
            ready: RefCell::default(),
            ready_bytes: Cell::new(0),
            came: Notify::new(),
            readied: Notify::new(),
            taken: Notify::new(),
            closed: Cell::new(false),
            complete: Cell::new(false),
            in_flight: RefCell::new(None),
            in_trouble: Cell::new(false),
            drops: Cell::new(0),
        }))
    }

    /// Takes a batch in; gives it back after [`Backlog::close`].
    pub fn push(&self, batch: EventBatch) -> Result<(), EventBatch> {
        if self.is_closed() {
            return Err(batch);
        }
        let mut incoming = self.0.incoming.borrow_mut();
        match incoming.back_mut() {
            Some(last) if self.0.size.fits([&*last, &batch]) => last.absorb(batch),
            _ => incoming.push_back(batch),
        }
        self.0.came.notify_one();
        Ok(())
    }

    /// Nothing comes in any more.
    pub fn close(&self) {
        self.0.closed.set(true);
        self.0.came.notify_one();
        self.0.readied.notify_one();
    }

    /// Whether nothing comes in any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Waits for batches that have come in, and takes them up to some memory, at least one; `None` after the last.
    /// Cancelling it loses nothing.
    pub async fn incoming(&self, max_bytes: usize) -> Option<Vec<EventBatch>> {
        loop {
            let came = self.take_incoming(max_bytes);
            if !came.is_empty() {
                return Some(came);
            }
            if self.is_closed() {
                return None;
            }
            self.0.came.notified().await;
        }
    }

    fn take_incoming(&self, max_bytes: usize) -> Vec<EventBatch> {
        let mut incoming = self.0.incoming.borrow_mut();
        let mut bytes = 0;
        let fits = |batch: &&EventBatch| {
            bytes += batch.bytes();
            bytes <= max_bytes
        };
        let count = incoming.iter().take_while(fits).count().max(1).min(incoming.len());
        incoming.drain(..count).collect()
    }

    /// A batch that may be written.
    pub fn ready(&self, batch: EventBatch) {
        self.0.ready_bytes.set(self.0.ready_bytes.get() + batch.bytes());
        let mut ready = self.0.ready.borrow_mut();
        match ready.back_mut() {
            Some(Item::Batch(last)) if last.is_followed_by(&batch) && self.0.size.fits([&*last, &batch]) => {
                last.absorb(batch);
            }
            _ => ready.push_back(Item::Batch(batch)),
        }
        self.0.readied.notify_one();
    }

    /// Records that may be written and are on the disk alone.
    pub fn ready_on_disk(&self, range: Range) {
        if range.from < range.to {
            push_range(&mut self.0.ready.borrow_mut(), range);
            self.0.readied.notify_one();
        }
    }

    /// Nothing becomes ready any more.
    pub fn complete(&self) {
        self.0.complete.set(true);
        self.0.readied.notify_one();
    }

    /// Whether nothing becomes ready any more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.0.complete.get()
    }

    /// Memory of the batches that are ready.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        self.0.ready_bytes.get()
    }

    /// Whether nothing is ready.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.0.ready.borrow().is_empty()
    }

    /// Whether everything that is ready or being written is on the disk.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        let in_flight = self.0.in_flight.borrow();
        in_flight.iter().flat_map(|batches| batches.iter()).all(|batch| batch.on_disk().is_some())
            && self.0.ready.borrow().iter().all(|item| match item {
                Item::Batch(batch) => batch.on_disk().is_some(),
                Item::Range(_) => true,
            })
    }

    /// What the drain is writing.
    #[must_use]
    pub fn in_flight(&self) -> Option<InFlight> {
        self.0.in_flight.borrow().clone()
    }

    /// The drain begins to write something, or has ended it.
    pub fn set_in_flight(&self, in_flight: Option<InFlight>) {
        *self.0.in_flight.borrow_mut() = in_flight;
    }

    /// Whether Redis is away or refuses.
    #[must_use]
    pub fn is_in_trouble(&self) -> bool {
        self.0.in_trouble.get()
    }

    /// Redis went away or came back. Its absence is a reason to bring what is in memory to the disk.
    pub fn set_in_trouble(&self, in_trouble: bool) {
        self.0.in_trouble.set(in_trouble);
    }

    /// Records that are ready are about to be dropped: what is being read of them just now is to be read again.
    pub fn note_drop(&self) {
        self.0.drops.set(self.0.drops.get() + 1);
    }

    /// How often [`Backlog::note_drop`] was called.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.0.drops.get()
    }

    /// Waits until the drain has taken something.
    pub async fn taken(&self) {
        self.0.taken.notified().await;
    }

    /// Waits for something to write; `None` when nothing is ready and nothing comes any more. Cancelling it loses nothing.
    pub async fn next(&self) -> Option<Next> {
        loop {
            if let Some(next) = self.take() {
                self.0.taken.notify_one();
                return Some(next);
            }
            if self.0.complete.get() {
                return None;
            }
            self.0.readied.notified().await;
        }
    }

    /// What is to be written next, if it is of this disk.
    #[must_use]
    pub fn take_of(&self, disk: &Disk) -> Option<Next> {
        let is_of = match self.0.ready.borrow().front()? {
            Item::Batch(batch) => batch.on_disk().is_some_and(|on_disk| on_disk.disk == *disk),
            Item::Range(range) => range.disk == *disk,
        };
        is_of.then(|| self.take()).flatten()
    }

    fn take(&self) -> Option<Next> {
        let mut ready = self.0.ready.borrow_mut();
        let mut taken: Vec<EventBatch> = Vec::new();
        loop {
            match ready.pop_front() {
                Some(Item::Batch(next)) => {
                    let is_alike = taken.last().is_none_or(|last| last.is_beside(&next));
                    let fits = taken.is_empty() || self.0.size.fits(taken.iter().chain([&next]));
                    if !(is_alike && fits) {
                        ready.push_front(Item::Batch(next));
                        break;
                    }
                    self.0.ready_bytes.set(self.0.ready_bytes.get().saturating_sub(next.bytes()));
                    taken.push(next);
                }
                Some(Item::Range(range)) if taken.is_empty() => return Some(Next::Range(range)),
                Some(range) => {
                    ready.push_front(range);
                    break;
                }
                None => break,
            }
        }
        (!taken.is_empty()).then_some(Next::Batches(taken))
    }

    /// Puts in front what was read of a range, and the rest of it.
    pub fn give_back(&self, batches: Vec<EventBatch>, rest: Range) {
        let mut ready = self.0.ready.borrow_mut();
        if rest.from < rest.to {
            ready.push_front(Item::Range(rest));
        }
        for batch in batches.into_iter().rev() {
            self.0.ready_bytes.set(self.0.ready_bytes.get() + batch.bytes());
            ready.push_front(Item::Batch(batch));
        }
        self.0.readied.notify_one();
    }

    /// Lets go of the copies of what is on the disk, as when it is changed there.
    pub fn forget_copies(&self) {
        let items = std::mem::take(&mut *self.0.ready.borrow_mut());
        let mut ready = VecDeque::with_capacity(items.len());
        let mut bytes = 0;
        for item in items {
            match item {
                Item::Batch(batch) => {
                    if let Some(range) = batch.range() {
                        push_range(&mut ready, range);
                    } else {
                        bytes += batch.bytes();
                        ready.push_back(Item::Batch(batch));
                    }
                }
                Item::Range(range) => push_range(&mut ready, range),
            }
        }
        self.0.ready_bytes.set(bytes);
        *self.0.ready.borrow_mut() = ready;
    }

    /// Changes the events that are in memory alone, in their order.
    pub fn change(&self, mut change: impl FnMut(&mut Event)) {
        for item in self.0.ready.borrow_mut().iter_mut() {
            if let Item::Batch(batch) = item
                && batch.on_disk().is_none()
            {
                batch.events_mut().iter_mut().for_each(&mut change);
            }
        }
    }

    /// Takes out what is in memory alone, in its order, to bring it to the disk or to drop it: up to `max_bytes`, at least
    /// one batch if there is one.
    #[must_use]
    pub fn take_unsafe(&self, max_bytes: usize) -> Vec<EventBatch> {
        let items = std::mem::take(&mut *self.0.ready.borrow_mut());
        let (mut taken, mut left, mut bytes) = (Vec::new(), VecDeque::with_capacity(items.len()), 0);
        for item in items {
            match item {
                Item::Batch(batch)
                    if batch.on_disk().is_none()
                        && (taken.is_empty() || bytes + batch.bytes() <= max_bytes) =>
                {
                    bytes += batch.bytes();
                    taken.push(batch);
                }
                item => left.push_back(item),
            }
        }
        self.0.ready_bytes.set(self.0.ready_bytes.get().saturating_sub(bytes));
        *self.0.ready.borrow_mut() = left;
        taken
    }
}

/// Adds a range at the end, as one with the range before it if it goes on there.
fn push_range(ready: &mut VecDeque<Item>, range: Range) {
    match ready.back_mut() {
        Some(Item::Range(last)) if last.disk == range.disk && last.to == range.from => last.to = range.to,
        _ => ready.push_back(Item::Range(range)),
    }
}

impl TransactionSize {
    fn fits<'b>(&self, batches: impl IntoIterator<Item = &'b EventBatch>) -> bool {
        let sum = |(events, weight): (usize, usize), batch: &EventBatch| {
            (events + batch.events().len(), weight + batch.weight())
        };
        let (events, weight) = batches.into_iter().fold((0, 0), sum);
        events <= self.events && weight <= self.weight
    }
}

#[cfg(test)]
mod tests;
