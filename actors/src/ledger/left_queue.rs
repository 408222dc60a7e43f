//! Events that an owner had received and not stored when another instance succeeded it: they wait on its disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uw_websocket_core::event::{ChannelIndex, Event};

use super::gap::moment;

/// Maximum number of queues of other instances remembered, as of previous processes.
pub const MAX_LEFT: usize = 32;
/// Time after which a queue that has not come back is given up, in microseconds: a machine that was away for a week is
/// not expected any more. Its interval stays in the ledger.
pub const GIVEN_UP_AFTER: u64 = 7 * 24 * 3_600 * 1_000_000;

/// The events that a process had not stored at a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unstored {
    /// Everything received by this time was stored, in Unix microseconds.
    #[serde(with = "moment")]
    pub stored_to: u64,
    /// Events received and not stored.
    pub events: u64,
    /// Whether they are on its disk.
    pub on_disk: bool,
}

/// A disk queue that waits for its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftQueue {
    /// Its events at the owner's last sign of life; it may have received more.
    pub events: u64,
    /// Everything received by this time was stored, in Unix microseconds.
    #[serde(rename = "from", with = "moment")]
    pub from_us: u64,
    /// The owner's last sign of life, in Unix microseconds.
    #[serde(rename = "to", with = "moment")]
    pub to_us: u64,
}

/// Queues of other instances, by the name of the last owner on their disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeftQueues(BTreeMap<String, LeftQueue>);

impl LeftQueues {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the queues by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LeftQueue)> + Clone {
        self.0.iter().map(|(instance, queue)| (instance.as_str(), queue))
    }

    /// Returns the queues for changing their times.
    pub(super) fn queues_mut(&mut self) -> impl Iterator<Item = &mut LeftQueue> {
        self.0.values_mut()
    }

    /// Adds the queue of an instance.
    pub fn insert(&mut self, instance: String, queue: LeftQueue) {
        self.0.insert(instance, queue);
    }

    /// Adds queues that another document names.
    pub fn extend(&mut self, other: LeftQueues) {
        self.0.extend(other.0);
    }

    /// Removes the queue of an instance: it is back, and empty.
    pub fn remove(&mut self, instance: &str) {
        self.0.remove(instance);
    }

    /// Takes the queues that are not waited for any more at `now`: those of a week ago, and the oldest beyond
    /// [`MAX_LEFT`].
    #[must_use]
    pub fn give_up(&mut self, now: u64) -> Vec<(String, LeftQueue)> {
        let is_old = |queue: &LeftQueue| now.saturating_sub(queue.to_us) > GIVEN_UP_AFTER;
        let (old, new) = std::mem::take(&mut self.0).into_iter().partition(|(_, queue)| is_old(queue));
        self.0 = new;
        let mut given_up: Vec<(String, LeftQueue)> = Vec::from_iter::<BTreeMap<_, _>>(old);
        while self.0.len() > MAX_LEFT
            && let Some(oldest) = self.0.iter().min_by_key(|(_, queue)| queue.to_us)
        {
            let name = oldest.0.clone();
            given_up.extend(self.0.remove_entry(&name));
        }
        given_up
    }
}

/// Which events of our own queue are late: another instance was the owner after they were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Events received before are late, in Unix microseconds.
    #[serde(with = "moment")]
    pub before: u64,
    /// Time at which we last held the lease before the other instance did: what it stored is later.
    #[serde(with = "moment")]
    pub since: u64,
}

/// Events that are late, by channel: their number, and the earliest and the latest time of receipt.
#[derive(Debug, Default)]
pub struct LateTally(BTreeMap<ChannelIndex, (u64, u64, u64)>);

impl LateTally {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an event.
    pub fn add(&mut self, event: &Event) {
        let received = event.received_us;
        let (events, from, to) = self.0.entry(event.route.channel).or_insert((0, received, received));
        (*events, *from, *to) = (*events + 1, received.min(*from), received.max(*to));
    }

    /// Iterates over the channels.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelIndex, (u64, u64, u64))> {
        self.0.iter().map(|(index, events)| (*index, *events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_waited_for_a_week_and_only_the_newest_are() {
        let mut left = LeftQueues::default();
        for n in 0..=MAX_LEFT as u64 {
            left.insert(format!("{n}"), LeftQueue { events: n, from_us: n, to_us: n });
        }
        let names = |given_up: Vec<(String, LeftQueue)>| given_up.into_iter().map(|(name, _)| name);
        assert_eq!(names(left.give_up(GIVEN_UP_AFTER)).collect::<Vec<_>>(), ["0"]);
        assert_eq!(names(left.give_up(GIVEN_UP_AFTER + 3)).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(left.iter().count(), MAX_LEFT - 2);
        left.remove("3");
        assert!(left.iter().all(|(name, _)| name != "3") && !left.is_empty());
    }
}
