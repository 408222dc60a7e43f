//! Observation of the ledger.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::{Serialize, Serializer};

use super::gap::{Gap, GapReason, OpenGap};
use super::left_queue::LeftQueues;
use crate::observation::cells::{Count, CountsBy, Gauge, unlocked};
use crate::observation::metric::observed;
use crate::sync::lock;

/// Number of gaps shown: a screenful; the others are in the stream in Redis.
const RECENT: usize = 20;

observed! {
    /// The state of the ledger, published by its actor.
    #[derive(Debug, Default, Serialize)]
    pub struct GapObservation {
        /// Gaps recorded in the ledger.
        #[serde(rename = "total_by_reason")]
        recorded: CountsBy<GapReason> = "uw_ws_gaps_total" by "reason",
        /// The latest gaps, oldest first.
        #[serde(serialize_with = "newest_first")]
        recent: Mutex<VecDeque<Gap>>,
        /// The topics that are missing now.
        #[serde(serialize_with = "unlocked")]
        open: Mutex<Vec<OpenGap>>,
        /// Why Redis takes no gaps; `None` while it does.
        #[serde(serialize_with = "unlocked")]
        fault: Mutex<Option<String>>,
        /// Gaps not yet written to Redis.
        waiting: Gauge = "uw_ws_gaps_waiting",
        /// Disk queues of former owners that have not come back.
        #[serde(skip)]
        left_queues: Gauge = "uw_ws_left_queues",
        /// Events known to be in these disk queues.
        #[serde(skip)]
        left_events: Gauge = "uw_ws_left_queue_events",
        /// These disk queues, by the name of the former owner.
        #[serde(serialize_with = "unlocked")]
        left: Mutex<LeftQueues>,
    }
}

impl GapObservation {
    /// Sets why Redis takes no gaps.
    pub(super) fn set_fault(&self, fault: Option<String>) {
        *lock(&self.fault) = fault;
    }

    /// Returns why Redis takes no gaps; `None` while it does.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Returns the count of gaps recorded for `reason`.
    #[must_use]
    pub fn recorded(&self, reason: GapReason) -> &Count {
        self.recorded.of(reason)
    }

    /// Returns the latest gaps, latest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Gap> {
        lock(&self.recent).iter().rev().cloned().collect()
    }

    /// The topics that are missing now.
    #[must_use]
    pub fn open(&self) -> Vec<OpenGap> {
        lock(&self.open).clone()
    }

    /// Gaps not yet written to Redis.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.get()
    }

    /// Counts a recorded gap that stands for `count` gaps.
    pub fn record(&self, gap: Gap, count: u32) {
        self.recorded(gap.reason).add(u64::from(count));
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(gap);
    }

    /// Publishes the disk queues of former owners.
    pub fn show_left(&self, left: &LeftQueues) {
        self.left_queues.set(left.iter().count() as u64);
        self.left_events.set(left.iter().map(|(_, queue)| queue.events).sum());
        lock(&self.left).clone_from(left);
    }

    /// Publishes the open gaps and the number of gaps waiting for Redis.
    pub fn show(&self, open: Vec<OpenGap>, waiting: usize) {
        *lock(&self.open) = open;
        self.waiting.set(waiting as u64);
    }
}

fn newest_first<S: Serializer>(gaps: &Mutex<VecDeque<Gap>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lock(gaps).iter().rev())
}
