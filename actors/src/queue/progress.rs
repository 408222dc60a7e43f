//! Up to when everything that was received is stored.
//!
//! A mark pairs a time with the end of each queue at that time: once all of these events have an outcome, everything
//! received by then is stored. Marks do not depend on the receive times of single events, which may be out of order
//! within a queue, and the records of a large backlog need not be read.

use std::collections::VecDeque;

use super::backlog::Position;
use super::shard::Shard;

/// Maximum time, in microseconds, between the read of a chunk of frames and its events being in an inbox: parsing takes
/// milliseconds, also on a machine with little time.
const IN_HAND: u64 = 1_000_000;
/// Maximum number of marks; beyond it every other one is forgotten, which makes the time coarser while Redis is away.
const MAX_MARKS: usize = 120;

/// Follows the queues of all shards.
#[derive(Debug)]
pub struct StorageProgress {
    shards: Vec<Shard>,
    marks: VecDeque<Mark>,
    stored_to: u64,
}

#[derive(Debug)]
struct Mark {
    at: u64,
    /// The end of each shard's queue.
    ends: Vec<Position>,
}

impl StorageProgress {
    /// Begins with a time up to which everything received is stored, in Unix microseconds.
    #[must_use]
    pub fn new(shards: Vec<Shard>, stored_to: u64) -> StorageProgress {
        StorageProgress { shards, marks: VecDeque::new(), stored_to }
    }

    /// Returns the time up to which everything received is stored; `is_over` if nothing is received any more.
    pub fn look(&mut self, now: u64, is_over: bool) -> u64 {
        let at = if is_over { now } else { now.saturating_sub(IN_HAND) };
        // before the queues: an event that moves there meanwhile is in one of the two
        let oldest = self.shards.iter().filter_map(|shard| shard.inbox.oldest_us()).min();
        let at = oldest.map_or(at, |oldest| at.min(oldest.saturating_sub(1)));
        if self.marks.back().map_or(self.stored_to, |mark| mark.at) < at {
            if self.marks.len() == MAX_MARKS {
                let mut is_kept = false;
                self.marks.retain(|_| {
                    is_kept = !is_kept;
                    is_kept
                });
            }
            let ends = self.shards.iter().map(|shard| shard.queue.end()).collect();
            self.marks.push_back(Mark { at, ends });
        }
        if self.shards.iter().all(|shard| shard.generations.are_over()) {
            let begins: Vec<Position> = self.shards.iter().map(|shard| shard.queue.begin()).collect();
            let is_stored = |mark: &Mark| mark.ends.iter().zip(&begins).all(|(end, begin)| begin >= end);
            while let Some(mark) = self.marks.pop_front_if(|mark| is_stored(mark)) {
                self.stored_to = mark.at;
            }
        }
        self.stored_to
    }
}
