//! Queues that an earlier process with another number of shards, or with a disk queue where there is none now, left behind.
//!
//! Each is written by one of today's writers, generation by generation, and no writer writes anything newer before all of
//! them are empty: a stream may have been at home in any of them and may be at home with any writer now.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::Queue;
use crate::observation::lock;

/// A queue that was left behind.
#[derive(Clone, Debug)]
pub struct OldQueue {
    /// What is in it came before what is in one of a later generation.
    pub generation: u64,
    /// The queue.
    pub queue: Queue,
}

/// The old queues of all shards. Outlives the writers.
#[derive(Clone, Debug, Default)]
pub struct Generations(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// All of them, the oldest generation first.
    queues: Vec<OldQueue>,
    /// Generation and name of those that are not empty yet.
    left: Mutex<BTreeSet<(u64, Arc<str>)>>,
}

impl Generations {
    /// These, in the order of their generations, are left.
    #[must_use]
    pub fn new(queues: Vec<OldQueue>) -> Generations {
        let left = queues.iter().map(OldQueue::key).collect();
        Generations(Arc::new(Shared { queues, left: Mutex::new(left) }))
    }

    /// All of them, the oldest generation first.
    #[must_use]
    pub fn queues(&self) -> &[OldQueue] {
        &self.0.queues
    }

    /// Whether all that is older is empty, what other writers write too.
    #[must_use]
    pub fn is_turn_of(&self, generation: u64) -> bool {
        lock(&self.0.left).first().is_none_or(|(oldest, _)| *oldest >= generation)
    }

    /// This one is empty.
    pub fn finish(&self, old: &OldQueue) {
        lock(&self.0.left).remove(&old.key());
    }

    /// Whether all are empty.
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
    use crate::samples::old_queue;

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
