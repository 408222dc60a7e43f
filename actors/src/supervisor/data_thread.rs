//! The health check of the children's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix_rt::ArbiterHandle;

use super::processor_wait::ProcessorWait;

/// The children's thread, probed by tasks.
#[derive(Debug)]
pub(super) struct DataThread {
    arbiter: ArbiterHandle,
    /// Set when the last probe runs.
    probe: Arc<AtomicBool>,
    silent_rounds: u32,
    wait: ProcessorWait,
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
        let (probe, wait) = (Arc::new(AtomicBool::new(true)), ProcessorWait::default());
        DataThread { arbiter, probe, silent_rounds: 0, wait }
    }

    /// Returns how long the thread waits for a processor, known from its first probe on.
    pub(super) fn processor_wait(&self) -> ProcessorWait {
        self.wait.clone()
    }

    /// Checks the last probe and sends the next; at most one is pending. Silence is counted if the round counts.
    pub(super) fn check(&mut self, counts: bool) -> ThreadHealth {
        if !self.probe.load(Relaxed) {
            self.silent_rounds = self.silent_rounds.saturating_add(u32::from(counts));
            return if self.arbiter.alive() {
                ThreadHealth::Silent(self.silent_rounds)
            } else {
                ThreadHealth::Ended
            };
        }
        self.silent_rounds = 0;
        self.probe = Arc::default();
        let (probe, wait) = (Arc::clone(&self.probe), self.wait.clone());
        let runs = move || {
            wait.is_of_this_thread();
            probe.store(true, Relaxed);
        };
        if self.arbiter.spawn_fn(runs) { ThreadHealth::Runs } else { ThreadHealth::Ended }
    }
}
