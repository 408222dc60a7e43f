//! Whether the thread that the children share still runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix_rt::ArbiterHandle;

/// The thread of the children, and whether it still runs what it is given.
#[derive(Debug)]
pub(super) struct DataThread {
    arbiter: ArbiterHandle,
    /// Set by the last probe when it runs.
    probe: Arc<AtomicBool>,
    silent_rounds: u32,
}

/// What a round finds out about the data thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadHealth {
    /// It ran the last probe.
    Runs,
    /// The last probe has not run, for so many rounds.
    Silent(u32),
    /// It runs nothing any more.
    Ended,
}

impl DataThread {
    pub(super) fn new(arbiter: ArbiterHandle) -> DataThread {
        // a probe that ran before the first round
        DataThread { arbiter, probe: Arc::new(AtomicBool::new(true)), silent_rounds: 0 }
    }

    /// Looks at the last probe and sends the next; one probe at a time is on its way.
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
