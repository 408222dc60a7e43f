//! Validation of a document, since other programs may write to Redis.

use uw_websocket_core::time::hold_back;

use super::super::gap::{MAX_NAME, MAX_TOPICS};
use super::super::left_queue::MAX_LEFT;
use super::{Checkpoint, Kept, LifeError};

impl Checkpoint {
    /// Rejects names and numbers of topics beyond the bounds, since names end up in logs and gaps.
    pub(super) fn checked(self) -> Result<Checkpoint, LifeError> {
        if self.instance.len() > MAX_NAME {
            return Err(LifeError::Foreign("its `instance` is longer than any name"));
        }
        if self.topics.len() > MAX_TOPICS || self.topics.keys().any(|topic| topic.len() > MAX_NAME) {
            return Err(LifeError::Foreign("it has more topics than can be joined, or longer ones"));
        }
        let left = self.left.iter();
        if left.clone().count() > MAX_LEFT || left.into_iter().any(|(name, _)| name.len() > MAX_NAME) {
            return Err(LifeError::Foreign("it names more queues than instances can leave, or longer names"));
        }
        Ok(self)
    }

    /// Replaces times in the future with `now`; returns the number of times replaced.
    pub fn hold_back(&mut self, now: u64) -> u64 {
        let mut ahead = 0;
        let mut hold = |at: &mut u64| ahead += u64::from(hold_back(at, now));
        hold(&mut self.alive_at);
        hold(&mut self.begun_at);
        self.followed.values_mut().for_each(&mut hold);
        for kept in self.topics.values_mut() {
            if let Kept::Missing { since, .. } = kept {
                hold(since);
            }
        }
        hold(&mut self.held_at);
        if let Some(unstored) = &mut self.unstored {
            hold(&mut unstored.stored_to);
        }
        for queue in self.left.queues_mut() {
            hold(&mut queue.from_us);
            hold(&mut queue.to_us);
        }
        for gap in self.ending.iter_mut().chain(self.waiting.gaps_mut()) {
            hold(&mut gap.from_us);
            hold(&mut gap.to_us);
        }
        ahead
    }
}
