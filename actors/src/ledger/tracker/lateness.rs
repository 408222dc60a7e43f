//! The tracker's knowledge of late events, for the writers.

use super::super::left_queue::Late;
use super::GapTracker;
use crate::sync::lock;

impl GapTracker {
    /// Sets which events of the disk queue are late.
    pub fn set_late(&self, late: Option<Late>) {
        lock(&self.tracked).late = late;
    }

    /// Sets whether it is known which events are late.
    pub(in crate::ledger) fn set_knows_late(&self, knows_late: bool) {
        lock(&self.tracked).knows_late = knows_late;
    }

    /// Whether it is known which events are late. Nothing may be written before: Redis was away when the term began, and
    /// another instance may have been the owner.
    #[must_use]
    pub fn knows_late(&self) -> bool {
        lock(&self.tracked).knows_late
    }

    /// Returns which events of the disk queue are late; `None` once all of those are stored.
    #[must_use]
    pub fn late(&self) -> Option<Late> {
        lock(&self.tracked).late
    }

    /// Notes that everything in the disk queue of a former owner is stored.
    pub fn came_back(&self, instance: String) {
        lock(&self.tracked).back.push(instance);
    }

    /// Takes the former owners whose disk queues have come back.
    pub(in crate::ledger) fn take_back(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.tracked).back)
    }
}
