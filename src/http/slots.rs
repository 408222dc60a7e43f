//! Bounds the number of connections of a listener.
//!
//! At the limit a new connection evicts the one that has waited longest for its client: for the head of a request, for
//! a read of the response, or for the close. It is refused only if every other one is being served.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Slots {
    capacity: usize,
    taken: RefCell<Vec<Rc<State>>>,
}

/// The slot of a connection, freed on drop.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Rc<Slots>,
    state: Rc<State>,
}

/// A slot for a new connection.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) slot: Slot,
    /// Whether another connection was evicted for it.
    pub(super) has_evicted: bool,
}

#[derive(Debug)]
struct State {
    /// When the connection began to wait for its client, if it does.
    waiting_since: Cell<Option<Instant>>,
    is_evicted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Rc<Slots> {
        Rc::new(Slots { capacity, taken: RefCell::default() })
    }

    /// Takes a slot for a connection that waits for its client from `now` on; `None` if all are taken by connections that
    /// are being served.
    pub(super) fn take(self: &Rc<Slots>, now: Instant) -> Option<Admission> {
        let state = Rc::new(State {
            waiting_since: Cell::new(Some(now)),
            is_evicted: Cell::new(false),
            waker: RefCell::default(),
        });
        let slot = Slot { slots: Rc::clone(self), state: Rc::clone(&state) };
        let has_evicted = self.taken.borrow().len() >= self.capacity;
        if has_evicted && !self.evict() {
            return None;
        }
        self.taken.borrow_mut().push(state);
        Some(Admission { slot, has_evicted })
    }

    /// Evicts the connection that has waited longest for its client; `false` if none waits.
    pub(super) fn evict(&self) -> bool {
        let mut taken = self.taken.borrow_mut();
        let waiting = taken.iter().enumerate().filter(|(_, state)| state.waiting_since.get().is_some());
        let oldest = waiting.min_by_key(|(_, state)| state.waiting_since.get()).map(|(at, _)| at);
        let Some(evicted) = oldest.map(|at| taken.swap_remove(at)) else { return false };
        evicted.is_evicted.set(true);
        if let Some(waker) = evicted.waker.take() {
            waker.wake();
        }
        true
    }
}

impl Slot {
    /// Sets when the connection began to wait for its client; `None` while it is being served.
    pub(super) fn wait_since(&self, since: Option<Instant>) {
        self.state.waiting_since.set(since);
    }

    /// Fails once the connection is evicted; until then registers the task to be woken at that moment.
    pub(super) fn check(&self, context: &Context<'_>) -> io::Result<()> {
        if self.state.is_evicted.get() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut waker = self.state.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.borrow_mut().retain(|state| !Rc::ptr_eq(state, &self.state));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn is_evicted(slot: &Slot) -> bool {
        slot.check(&Context::from_waker(Waker::noop())).is_err()
    }

    #[test]
    fn the_one_that_waits_longest_is_evicted() {
        let (slots, start) = (Slots::new(3), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let [first, second, third] = [1, 2, 3].map(|n| slots.take(at(n)).unwrap().slot);
        first.wait_since(None);
        third.wait_since(Some(at(1)));
        let fourth = slots.take(at(4)).unwrap();
        assert!(fourth.has_evicted);
        assert_eq!([&first, &second, &third].map(is_evicted), [false, false, true]);
        drop(third);
        let fifth = slots.take(at(5)).unwrap().slot;
        assert_eq!([&first, &second, &fifth].map(is_evicted), [false, true, false]);
    }

    #[test]
    fn a_connection_being_served_is_never_evicted() {
        let slots = Slots::new(1);
        let served = slots.take(Instant::now()).unwrap().slot;
        served.wait_since(None);
        assert!(slots.take(Instant::now()).is_none());
        drop(served);
        assert!(slots.take(Instant::now()).is_some_and(|admission| !admission.has_evicted));
    }
}
