//! Batches that have come to a writer and wait for their transaction. The place of a disk queue is here.
//!
//! Small batches are joined to the one before them, up to a transaction's size, and give back their place in the
//! mailbox: a feed that trickles while Redis is away fills the room by its bytes and not by its wake-ups.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::messages::EventBatch;

/// What one transaction takes at most.
#[derive(Clone, Copy, Debug)]
pub struct TransactionSize {
    /// Events.
    pub events: usize,
    /// Payload times the streams that it goes to. An event that is larger makes a transaction of its own.
    pub weight: usize,
}

/// The queue between a writer's shell, which pushes, and its drain, which takes. Both live on one thread.
#[derive(Clone, Debug)]
pub struct Backlog(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    size: TransactionSize,
    batches: RefCell<VecDeque<EventBatch>>,
    arrived: Notify,
    closed: Cell<bool>,
}

impl Backlog {
    /// An empty backlog for transactions of this size.
    #[must_use]
    pub fn new(size: TransactionSize) -> Backlog {
        let (batches, arrived, closed) = (RefCell::default(), Notify::new(), Cell::new(false));
        Backlog(Rc::new(Shared { size, batches, arrived, closed }))
    }

    /// Takes a batch in; gives it back after [`Backlog::close`].
    pub fn push(&self, batch: EventBatch) -> Result<(), EventBatch> {
        if self.0.closed.get() {
            return Err(batch);
        }
        let mut batches = self.0.batches.borrow_mut();
        match batches.back_mut() {
            Some(last) if self.0.size.fits([&*last, &batch]) => last.absorb(batch),
            _ => batches.push_back(batch),
        }
        self.0.arrived.notify_one();
        Ok(())
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.0.closed.set(true);
        self.0.arrived.notify_one();
    }

    /// Whether nothing comes any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// The batches of the next transaction, waiting for the first of them; `None` when the backlog is closed and empty.
    /// Cancelling it loses nothing.
    pub async fn next(&self) -> Option<Vec<EventBatch>> {
        loop {
            let batches = self.take();
            if !batches.is_empty() {
                return Some(batches);
            }
            if self.0.closed.get() {
                return None;
            }
            self.0.arrived.notified().await;
        }
    }

    fn take(&self) -> Vec<EventBatch> {
        let mut batches = self.0.batches.borrow_mut();
        let mut taken: Vec<EventBatch> = batches.pop_front().into_iter().collect();
        while let Some(next) = batches.front() {
            if !self.0.size.fits(taken.iter().chain([next])) {
                break;
            }
            taken.extend(batches.pop_front());
        }
        taken
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
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::observation::Observations;
    use crate::samples::{batch, event, observations, outlet, route};

    const SIZE: TransactionSize = TransactionSize { events: 3, weight: 10 };

    struct World {
        observations: Arc<Observations>,
        backlog: Backlog,
    }

    impl World {
        fn new() -> World {
            World { observations: observations(&["price"], 1), backlog: Backlog::new(SIZE) }
        }

        fn push(&self, payloads: &[&str]) {
            let route = route(0, vec![outlet("price:SPY", 0)]);
            let events = payloads.iter().map(|payload| event(&route, payload, 0));
            self.backlog.push(batch(&self.observations, events)).unwrap();
        }

        /// The payloads of the next transaction, batch by batch.
        fn next(&self) -> Option<Vec<Vec<String>>> {
            let batches = pin!(self.backlog.next()).now_or_never()??;
            let payload = |event: &crate::event::Event| String::from_utf8(event.payload.to_vec()).unwrap();
            Some(batches.iter().map(|batch| batch.events().iter().map(payload).collect()).collect())
        }
    }

    #[test]
    fn small_batches_are_joined_up_to_a_transaction() {
        let world = World::new();
        for payload in ["1", "2", "3", "4"] {
            world.push(&[payload]);
        }
        assert_eq!(world.next(), Some(vec![vec!["1".into(), "2".into(), "3".into()]]));
        assert_eq!(world.next(), Some(vec![vec!["4".into()]]));
        assert_eq!(world.next(), None);
    }

    #[test]
    fn a_transaction_is_bounded_in_weight_but_takes_one_larger_event() {
        let world = World::new();
        world.push(&["123456"]);
        world.push(&["78901"]);
        world.push(&["a payload that is larger than a transaction"]);
        for first in ["123456", "78901", "a payload that is larger than a transaction"] {
            assert_eq!(world.next(), Some(vec![vec![first.to_owned()]]));
        }
    }

    #[test]
    fn what_was_pushed_before_the_end_is_still_taken() {
        let world = World::new();
        world.push(&["1"]);
        world.backlog.close();
        let late = batch(&world.observations, []);
        assert!(world.backlog.push(late).is_err());
        assert_eq!(world.next(), Some(vec![vec!["1".into()]]));
        assert!(pin!(world.backlog.next()).now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_waiting_drain_wakes_for_a_batch_and_for_the_end() {
        let world = World::new();
        let mut waiting = pin!(world.backlog.next());
        assert!(waiting.as_mut().now_or_never().is_none());
        world.push(&["1"]);
        assert!(waiting.as_mut().now_or_never().is_some());
        let mut waiting = pin!(world.backlog.next());
        assert!(waiting.as_mut().now_or_never().is_none());
        world.backlog.close();
        assert!(waiting.as_mut().now_or_never().is_some_and(|batches| batches.is_none()));
    }
}
