//! The parts of a backlog: batches in memory, and runs of records that are on disk only.

use std::ops::Range;
use std::sync::Arc;

use uw_websocket_core::event::{EntryId, Event};
use uw_websocket_core::ids::next_id;

use super::batch::{EventBatch, TransactionSize};

/// The position of an event in its queue; consecutive over all accepted events, whatever medium they are on.
pub type Position = u64;

/// A run of events of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first position.
    pub first: Position,
    /// The number of events.
    pub len: u64,
}

/// The oldest events of a queue, lent to be written; they remain in it until acknowledged.
#[derive(Clone, Debug)]
pub struct Lent {
    /// Position of the first event.
    pub first: Position,
    /// The events; at most one transaction.
    pub batch: Arc<EventBatch>,
    /// Whether all of them are on disk.
    pub is_on_disk: bool,
}

impl Lent {
    /// Returns the position after the last event.
    #[must_use]
    pub fn end(&self) -> Position {
        self.first + self.batch.len() as u64
    }
}

#[derive(Debug)]
pub(super) enum Item {
    Batch(Held),
    OnDisk(Stretch),
}

#[derive(Debug)]
pub(super) struct Held {
    pub first: Position,
    pub medium: Medium,
    pub batch: Arc<EventBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Pending,
    Memory,
    /// With the number of its first record.
    Disk(u64),
}

/// A run of records that are on disk only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub first: Position,
    pub records: Range<u64>,
}

impl Item {
    /// Returns its records on disk, with or without a copy in memory.
    pub(super) fn stretch(&self) -> Option<Stretch> {
        match self {
            Item::Batch(held) => held.record().map(|record| held.stretch(record)),
            Item::OnDisk(stretch) => Some(stretch.clone()),
        }
    }

    pub(super) fn first(&self) -> Position {
        match self {
            Item::Batch(held) => held.first,
            Item::OnDisk(stretch) => stretch.first,
        }
    }

    /// Returns the position after it.
    pub(super) fn end(&self) -> Position {
        match self {
            Item::Batch(held) => held.first + held.batch.len() as u64,
            Item::OnDisk(stretch) => stretch.position_of(stretch.records.end),
        }
    }

    /// Returns the number of its records if they are on disk only.
    pub(super) fn records_without_copy(&self) -> Option<u64> {
        match self {
            Item::OnDisk(stretch) => Some(stretch.records.end - stretch.records.start),
            Item::Batch(_) => None,
        }
    }

    pub(super) fn is_on_disk(&self) -> bool {
        match self {
            Item::Batch(held) => held.is_on_disk(),
            Item::OnDisk(_) => true,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Item::Batch(held) if held.medium == Medium::Pending)
    }
}

impl Held {
    pub(super) fn record(&self) -> Option<u64> {
        match self.medium {
            Medium::Disk(record) => Some(record),
            Medium::Pending | Medium::Memory => None,
        }
    }

    pub(super) fn is_on_disk(&self) -> bool {
        self.record().is_some()
    }

    pub(super) fn span(&self) -> Span {
        Span { first: self.first, len: self.batch.len() as u64 }
    }

    pub(super) fn stretch(&self, record: u64) -> Stretch {
        Stretch { first: self.first, records: record..record + self.batch.len() as u64 }
    }

    /// Merges the next batch if both are contiguous on one medium, fit into a transaction, and this one is not
    /// shared; otherwise returns it.
    pub(super) fn absorb(&mut self, next: Held, size: TransactionSize) -> Option<Held> {
        let len = self.batch.len() as u64;
        let goes_on = match (self.medium, next.medium) {
            (Medium::Memory, Medium::Memory) => true,
            (Medium::Disk(record), Medium::Disk(next)) => record + len == next,
            _ => false,
        };
        if !goes_on || self.first + len != next.first || !self.batch.fits_before(&next.batch, size) {
            return Some(next);
        }
        let Some(batch) = Arc::get_mut(&mut self.batch) else { return Some(next) };
        match Arc::try_unwrap(next.batch) {
            Ok(later) => {
                batch.absorb(later);
                None
            }
            Err(shared) => Some(Held { batch: shared, ..next }),
        }
    }
}

impl Stretch {
    pub(super) fn position_of(&self, record: u64) -> Position {
        self.first + (record - self.records.start)
    }

    pub(super) fn record_of(&self, position: Position) -> Option<u64> {
        let record = self.records.start + position.checked_sub(self.first)?;
        self.records.contains(&record).then_some(record)
    }

    /// Returns the remainder from a record on.
    pub(super) fn behind(&self, record: u64) -> Stretch {
        let start = record.clamp(self.records.start, self.records.end);
        Stretch { first: self.position_of(start), records: start..self.records.end }
    }

    pub(super) fn goes_on_in(&self, next: &Stretch) -> bool {
        self.records.end == next.records.start && self.position_of(self.records.end) == next.first
    }
}

/// Raises the event's ID in a stream above `last` if necessary; returns the resulting last ID. If no ID is left the
/// event keeps its own, which Redis rejects.
pub(super) fn raise(event: &mut Event, stream: &str, last: EntryId) -> EntryId {
    let Some(destination) =
        event.route.destinations.iter().position(|destination| &*destination.stream == stream)
    else {
        return last;
    };
    let own = event.ids.get(destination);
    if own > last {
        return own;
    }
    let Ok(id) = next_id(last, event.received_us / 1000) else { return last };
    event.ids.set(destination, id);
    id
}
