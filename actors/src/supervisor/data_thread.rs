//! The health check of the children's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix_rt::ArbiterHandle;

/// The children's thread, probed by tasks.
#[derive(Debug)]
pub(super) struct DataThread {
    arbiter: ArbiterHandle,
    /// Set when the last probe runs.
    probe: Arc<AtomicBool>,
    silent_rounds: u32,
}

/// The health of the data thread in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadHealth {
    /// The last probe ran.
    Runs,
    /// The last probe has not run for this many rounds.
    Silent(u32),
    /// The thread accepts no more work.
    Ended,
}

impl DataThread {
    pub(super) fn new(arbiter: ArbiterHandle) -> DataThread {
        // a probe that ran before the first round
        DataThread { arbiter, probe: Arc::new(AtomicBool::new(true)), silent_rounds: 0 }
    }

    /// Checks the last probe and sends the next; at most one is pending.
    pub(super) fn check(&mut self) -> ThreadHealth {
        if !self.probe.load(Relaxed) {
            self.silent_rounds = self.silent_rounds.saturating_add(1);
            return if self.arbiter.alive() {
                ThreadHealth::Silent(self.silent_rounds)
            } else {
                ThreadHealth::Ended
            };
        }
        self.silent_rounds = 0;
        self.probe = Arc::default();
        let probe = Arc::clone(&self.probe);
        if self.arbiter.spawn_fn(move || probe.store(true, Relaxed)) {
            ThreadHealth::Runs
        } else {
            ThreadHealth::Ended
        }
    }
}
