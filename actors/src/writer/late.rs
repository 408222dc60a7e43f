//! The late events of the lent batch: those received before another instance was the owner.
//!
//! They are stored behind what that instance stored, each once, and the ledger has their interval before the first of them
//! is sent. So whoever finds one in its stream, after the death of the writer that sent it, need not ask whether it is recorded.

use std::collections::BTreeSet;

use super::streams::Entry;
use crate::ledger::left_queue::{Late, LateTally};
use crate::ledger::tracker::GapTracker;
use crate::queue::backlog::{Lent, Position};

/// What the ledger says of late events.
const DETAIL: &str = "received before another instance was the owner, stored behind what that one stored";

/// The late events of the lent batch, by their index.
#[derive(Debug, Default)]
pub struct LateEvents {
    first: Position,
    /// Events that are announced to the ledger.
    announced: BTreeSet<usize>,
    /// Number of the latest announcement.
    announcement: u64,
    /// Entries, by event and destination, that another instance has stored.
    doubles: BTreeSet<(usize, usize)>,
}

impl LateEvents {
    fn of(&mut self, lent: &Lent) -> &mut LateEvents {
        if self.first != lent.first {
            *self = LateEvents { first: lent.first, ..LateEvents::default() };
        }
        self
    }

    /// Notes the entries that another instance has stored.
    pub fn found(&mut self, lent: &Lent, doubles: BTreeSet<(usize, usize)>) {
        self.of(lent).doubles = doubles;
    }

    /// Announces the late events among entries to be sent, each once; returns the number of the announcement.
    pub fn announce(&mut self, lent: &Lent, late: Late, entries: &[Entry], gaps: &GapTracker) -> u64 {
        let this = self.of(lent);
        let mut tally = LateTally::default();
        for entry in entries {
            let (event, _) = entry.of(&lent.batch);
            if event.received_us < late.before && this.announced.insert(entry.at) {
                tally.add(event);
            }
        }
        if !tally.is_empty() {
            this.announcement = gaps.announce(&tally, DETAIL);
        }
        this.announcement
    }

    /// Whether another instance has stored the event.
    #[must_use]
    pub fn is_double(&self, at: usize) -> bool {
        !self.announced.contains(&at) && self.doubles.range((at, 0)..=(at, usize::MAX)).next().is_some()
    }
}
