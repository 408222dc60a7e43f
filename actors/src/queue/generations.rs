//! Queues left by an earlier process with another number of shards, or with a disk queue where it is now disabled.
//!
//! Each is written by one of the current writers, generation by generation, and no writer writes newer events until
//! all of them are empty: a stream may have belonged to any of them and may now belong to any writer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::Queue;
use crate::sync::lock;

/// An old queue.
#[derive(Clone, Debug)]
pub struct OldQueue {
    /// Its generation; its events precede those of later generations.
    pub generation: u64,
    /// The queue itself.
    pub queue: Queue,
}

/// The old queues of all shards; outlives the writers.
#[derive(Clone, Debug, Default)]
pub struct Generations(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// All old queues, oldest generation first.
    queues: Vec<OldQueue>,
    /// Generation and name of the non-empty ones.
    left: Mutex<BTreeSet<(u64, Arc<str>)>>,
}

impl Generations {
    /// Creates the set from queues in the order of their generations.
    #[must_use]
    pub fn new(queues: Vec<OldQueue>) -> Generations {
        let left = queues.iter().map(OldQueue::key).collect();
        Generations(Arc::new(Shared { queues, left: Mutex::new(left) }))
    }

    /// Returns all old queues, oldest generation first.
    #[must_use]
    pub fn queues(&self) -> &[OldQueue] {
        &self.0.queues
    }

    /// Whether all older generations are empty, including those that other writers write.
    #[must_use]
    pub fn is_turn_of(&self, generation: u64) -> bool {
        lock(&self.0.left).first().is_none_or(|(oldest, _)| *oldest >= generation)
    }

    /// Records that a queue is empty.
    pub fn finish(&self, old: &OldQueue) {
        lock(&self.0.left).remove(&old.key());
    }

    /// Whether all old queues are empty.
    #[must_use]
    pub fn are_over(&self) -> bool {
        lock(&self.0.left).is_empty()
    }
}

impl OldQueue {
    fn key(&self) -> (u64, Arc<str>) {
        (self.generation, Arc::clone(self.queue.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::old_queue;

    #[test]
    fn a_generation_waits_for_all_queues_of_the_ones_before_it() {
        let [first, second, third] = [old_queue(0, "a"), old_queue(0, "b"), old_queue(1, "c")];
        let generations = Generations::new(vec![first.clone(), second.clone(), third.clone()]);
        assert_eq!(generations.queues().len(), 3);
        assert!(generations.is_turn_of(0) && !generations.is_turn_of(1));
        generations.finish(&first);
        assert!(!generations.is_turn_of(1), "another writer has one yet");
        generations.finish(&second);
        assert!(generations.is_turn_of(1) && !generations.are_over());
        generations.finish(&third);
        assert!(generations.are_over() && generations.is_turn_of(2));
    }

    #[test]
    fn nothing_that_was_left_behind_is_over_at_once() {
        assert!(Generations::default().are_over());
    }
}
