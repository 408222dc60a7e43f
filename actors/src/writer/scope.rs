//! The shared parts of one writer's loops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::Logger;

use super::snapshots::table::Snapshots;
use crate::fault::ChildFaults;
use crate::forgetting;
use crate::future_times;
use crate::lease::gate::LeaseGate;
use crate::ledger::tracker::GapTracker;
use crate::log_throttle::LogThrottle;
use crate::observation::{Observations, Table, WriterObservation};
use crate::supervisor::Heartbeat;

/// Interval at which a wait proves progress.
pub const BEAT: Duration = Duration::from_secs(1);

/// The parts of a loop; each has its own heartbeat.
#[derive(Clone)]
pub struct WriterScope {
    /// Index of the shard.
    pub shard: usize,
    /// Permission to write, by the lease.
    pub gate: LeaseGate,
    /// Records losses.
    pub gaps: GapTracker,
    /// Receives stored events for the hashes, if those are enabled.
    pub snapshots: Option<Snapshots>,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Proves progress.
    pub beat: Heartbeat,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Logger with the shard's name.
    pub log: Logger,
}

impl WriterScope {
    /// Returns the writer's state and counters.
    #[must_use]
    pub fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// Counts what left a table because the feed names too many symbols.
    pub fn note_forgotten(&self, table: Table, entries: u64) {
        forgetting::note(&self.observations, &self.log, (table, entries));
    }

    /// Counts times in the future, and logs them at intervals.
    pub fn note_ahead(&self, times: u64, place: &str, said: &mut LogThrottle) {
        future_times::note(&self.observations, &self.log, (place, times), || said.is_due(Instant::now()));
    }
}
