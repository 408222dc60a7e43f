//! What others see of the ledger.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::gap::{Gap, GapReason, OpenGap};
use crate::observation::{Count, lock};

/// Gaps that are shown: a screen of them; the stream in Redis has the others.
const RECENT: usize = 20;

/// The ledger as its actor shows it.
#[derive(Debug)]
pub struct GapObservation {
    counts: Vec<Count>,
    recent: Mutex<VecDeque<Gap>>,
    open: Mutex<Vec<OpenGap>>,
    waiting: AtomicU64,
}

impl Default for GapObservation {
    fn default() -> GapObservation {
        GapObservation {
            counts: GapReason::ALL.iter().map(|_| Count::default()).collect(),
            recent: Mutex::default(),
            open: Mutex::default(),
            waiting: AtomicU64::new(0),
        }
    }
}

impl GapObservation {
    /// Gaps recorded for `reason`.
    #[must_use]
    pub fn recorded(&self, reason: GapReason) -> &Count {
        &self.counts[reason as usize]
    }

    /// The newest gaps, newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Gap> {
        lock(&self.recent).iter().rev().cloned().collect()
    }

    /// What is missing now.
    #[must_use]
    pub fn open(&self) -> Vec<OpenGap> {
        lock(&self.open).clone()
    }

    /// Gaps that are not in Redis yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// A gap was recorded, which stands for `count` of them.
    pub fn record(&self, gap: Gap, count: u32) {
        self.recorded(gap.reason).add(u64::from(count));
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(gap);
    }

    /// Shows what is missing and how many gaps wait for Redis.
    pub fn show(&self, open: Vec<OpenGap>, waiting: usize) {
        *lock(&self.open) = open;
        self.waiting.store(waiting as u64, Relaxed);
    }
}
