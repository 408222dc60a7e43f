//! Holds stored records for the archive.
//!
//! A segment stays until all of its records are archived, unless the queue needs its room: what was not taken by then is
//! noted by channel, to be counted and recorded, and its numbers are kept until the archive has passed them.

use super::dropped::Dropped;
use super::queue::Spool;
use super::ranges::Ranges;

impl Spool {
    /// Holds the records from `archived` on; those from `taken` on are noted if they are removed nevertheless.
    pub fn hold(&mut self, archived: u64, taken: u64) {
        (self.holding.archived, self.holding.taken) = (archived, taken);
    }

    pub(super) fn note_untaken(&mut self, untaken: Option<Dropped>) {
        if let Some(dropped) = &untaken {
            self.cursor.unstored.insert(dropped.first_seq, dropped.last_seq + 1);
        }
        self.holding.untaken.extend(untaken);
    }

    /// Forgets numbers that are neither on disk nor of use for the archive.
    pub(super) fn forget_numbers(&mut self) {
        let below = self.kept_from().min(self.cursor.acknowledged);
        let is_of_use = |range: &(u64, u64)| range.0 < below && range.1 > self.holding.archived;
        let absent: Vec<(u64, u64)> = self.cursor.absent.iter().filter(is_of_use).collect();
        for (from, to) in absent {
            self.cursor.unstored.insert(from, to);
        }
        self.cursor.absent.forget_below(below);
        self.cursor.unstored.forget_below(below.min(self.holding.archived));
    }

    /// Takes the held records that were removed because their room was needed.
    pub fn take_untaken(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.holding.untaken)
    }

    /// Notes that acknowledged records are not stored: they are not archived.
    pub fn note_unstored(&mut self, from: u64, to: u64) {
        self.cursor.unstored.insert(from, to);
    }

    /// Returns the numbers that are no entries in Redis: dropped, damaged and quarantined ones.
    #[must_use]
    pub fn not_stored(&self) -> Ranges {
        let mut all = self.cursor.unstored.clone();
        let others = self.cursor.absent.iter().chain(self.cursor.dropping.iter());
        for (from, to) in others {
            all.insert(from, to);
        }
        all
    }
}
