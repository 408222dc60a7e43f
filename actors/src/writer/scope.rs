//! What all loops of one life of a writer work with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, warn};

use super::snapshots::table::Snapshots;
use crate::fault::ChildFaults;
use crate::lease::gate::LeaseGate;
use crate::ledger::book::GapBook;
use crate::observation::{Distrust, Observations, WriterObservation};
use crate::sampled::Sampled;
use crate::supervisor::Beat;

/// How often a wait proves progress.
pub const BEAT: Duration = Duration::from_secs(1);

/// What a loop works with; each has its own beat.
#[derive(Clone)]
pub struct Scope {
    /// Which shard it is.
    pub shard: usize,
    /// Whether anything may be written.
    pub gate: LeaseGate,
    /// Where losses are entered.
    pub gaps: GapBook,
    /// Where stored events are entered for the hashes, if these are kept.
    pub snapshots: Option<Snapshots>,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Proves progress.
    pub beat: Beat,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Names the shard.
    pub log: Logger,
}

impl Scope {
    /// What others see of the writer.
    #[must_use]
    pub fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// Counts times that claimed to be of the future, and says so once in a while.
    pub fn note_ahead(&self, times: u64, place: &str, said: &mut Sampled) {
        self.observations.distrusted(Distrust::Future).add(times);
        if times > 0 && said.is_due(Instant::now()) {
            warn!(self.log, "time of the future"; "place" => place, "times" => times);
        }
    }
}
