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
            let stored = self.marks.iter().take_while(|mark| is_stored(mark)).count();
            if let Some(last) = self.marks.drain(..stored).next_back() {
                self.stored_to = last.at;
            }
        }
        self.stored_to
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use uw_websocket_core::fixtures::{RECEIVED_US, destination, event, read_at, route};
    use uw_websocket_core::quarantine::Quarantine;

    use super::*;
    use crate::fixtures::{SIZE, observations, queue};
    use crate::observation::Outcome;
    use crate::queue::Next;
    use crate::queue::generations::Generations;
    use crate::queue::inbox::Inbox;
    use crate::settings::WhenFull;

    const S: u64 = 1_000_000;

    fn shard() -> Shard {
        let observations = observations(&["price"], 1);
        Shard {
            position: 0,
            shards: 1,
            inbox: Inbox::new(0, 1, 8, SIZE, Arc::clone(&observations)),
            queue: queue(None, &observations, WhenFull::Block),
            old: Vec::new(),
            generations: Generations::default(),
            quarantine: Arc::new(Mutex::new(Quarantine::new("nowhere".as_ref()))),
            suspects: Arc::default(),
            replicated: Arc::default(),
            restoring: Arc::default(),
            learnt: Arc::default(),
        }
    }

    #[tokio::test]
    async fn the_time_follows_the_oldest_event_that_has_no_outcome() {
        let shard = shard();
        let mut progress = StorageProgress::new(vec![shard.clone()], 0);
        let (before, at, after) = (RECEIVED_US - 5 * S, RECEIVED_US, RECEIVED_US + 9 * S);
        assert_eq!(progress.look(before, false), before - IN_HAND, "an event may be in hand");
        let lane = shard.inbox.lane(0);
        let route = route(0, vec![destination("price:SPY", 0)]);
        lane.push(event(&route, "{}", 0), read_at());
        assert_eq!(progress.look(after, false), at - 1, "in the inbox");
        lane.flush();
        assert!(shard.queue.accept(&shard.inbox));
        shard.queue.keep().await;
        assert_eq!(progress.look(after + S, false), at - 1, "in the queue");
        assert_eq!(progress.look(after + 2 * S, true), at - 1, "at the end too");
        let Ok(Next::Write(lent)) = shard.queue.peek().await else { panic!("nothing is lent") };
        assert_eq!(progress.look(after + 3 * S, false), at - 1, "lent");
        shard.queue.ack(&lent, |_| Outcome::Stored, Vec::new());
        assert_eq!(progress.look(after + 4 * S, false), after + 3 * S);
        assert_eq!(progress.look(after + 4 * S, true), after + 4 * S, "nothing more is received");
    }

    #[tokio::test]
    async fn an_outage_of_any_length_keeps_few_marks_and_ends_at_once() {
        let shard = shard();
        let mut progress = StorageProgress::new(vec![shard.clone()], 0);
        let lane = shard.inbox.lane(0);
        let route = route(0, vec![destination("price:SPY", 0)]);
        lane.push(event(&route, "{}", 0), read_at());
        lane.flush();
        assert!(shard.queue.accept(&shard.inbox));
        shard.queue.keep().await;
        for second in 1..=1_000 {
            assert_eq!(progress.look(RECEIVED_US + second * S, false), 0);
            assert!(progress.marks.len() <= MAX_MARKS);
        }
        let Ok(Next::Write(lent)) = shard.queue.peek().await else { panic!("nothing is lent") };
        shard.queue.ack(&lent, |_| Outcome::Stored, Vec::new());
        assert_eq!(progress.look(RECEIVED_US + 1_000 * S, false), RECEIVED_US + 999 * S);
    }
}
