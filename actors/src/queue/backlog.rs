//! The content of a queue in order: batches in memory, and stretches of records that are on disk only. Pure.
//!
//! ```text
//!  lent │ on disk, with a copy in memory or without │ in memory alone │ pending
//! ─────┴────────────────────────────────────────────┴─────────────────┴────────▶ newer
//! ```
//!
//! *Pending* batches are on their way to the disk and cannot be lent yet. Nothing else follows them, and nothing on
//! disk follows anything in memory: the oldest is always persisted first.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use uw_websocket_core::event::{EntryId, Event};

use super::batch::{EventBatch, TransactionSize};
use super::held::{Held, Item, Medium, Stretch, raise};
pub use super::held::{Lent, Position, Span};

/// The next content to lend.
#[derive(Debug)]
pub(super) enum Front {
    Lent(Lent),
    /// These records have to be read first.
    OnDisk(Range<u64>),
    /// Nothing, or pending events only.
    Nothing,
}

/// Content that left a queue.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) batch: Arc<EventBatch>,
    /// Number of its first record; `None` if it was in memory only.
    pub(super) record: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Backlog {
    size: TransactionSize,
    pub(super) items: VecDeque<Item>,
    /// Position of the next event accepted.
    next: Position,
    /// Position after the lent events.
    lent: Position,
    /// Memory of the batches ready to be lent, in bytes.
    ready_bytes: usize,
}

impl Backlog {
    /// Creates a backlog of these records, with their numbers as positions.
    pub(super) fn of_records(size: TransactionSize, records: Range<u64>) -> Backlog {
        let next = records.end;
        let mut backlog = Backlog { size, items: VecDeque::new(), next, lent: 0, ready_bytes: 0 };
        backlog.add(Item::OnDisk(Stretch { first: records.start, records }));
        backlog
    }

    /// Accepts events; they are pending.
    pub(super) fn push(&mut self, batch: EventBatch) {
        let first = self.next;
        self.next += batch.len() as u64;
        self.items.push_back(Item::Batch(Held { first, medium: Medium::Pending, batch: Arc::new(batch) }));
    }

    /// Returns the position of the next event accepted.
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// Returns the position of the oldest event; that of the next one accepted if there is none.
    pub(super) fn first(&self) -> Position {
        self.items.front().map_or(self.next, Item::first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns when the oldest event in memory was received, in Unix microseconds; `None` if it is on disk only.
    pub(super) fn oldest_us(&self) -> Option<u64> {
        match self.items.front()? {
            Item::Batch(held) => held.batch.events().first().map(|event| event.received_us),
            Item::OnDisk(_) => None,
        }
    }

    /// Whether everything is on disk.
    pub(super) fn is_safe(&self) -> bool {
        self.items.back().is_none_or(Item::is_on_disk)
    }

    /// Returns the number of records left; `None` if anything is in memory.
    pub(super) fn left_on_disk(&self) -> Option<u64> {
        self.items.iter().map(Item::records_without_copy).sum()
    }

    /// Returns the memory of the batches ready to be lent, in bytes.
    pub(super) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Returns the memory of the oldest pending batch, in bytes.
    pub(super) fn pending_bytes(&self) -> Option<usize> {
        self.held().find(|held| held.medium == Medium::Pending).map(|held| held.batch.bytes())
    }

    /// Iterates over the batches not on disk, oldest first, up to `max_bytes`, but at least one if there is any.
    pub(super) fn unspooled(&self, max_bytes: usize) -> impl Iterator<Item = (Span, &Arc<EventBatch>)> {
        let mut bytes = 0;
        self.held()
            .filter(|held| !held.is_on_disk())
            .take_while(move |held| {
                let is_first = bytes == 0;
                bytes += held.batch.bytes();
                is_first || bytes <= max_bytes
            })
            .map(|held| (held.span(), &held.batch))
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.items.iter().filter_map(|item| match item {
            Item::Batch(held) => Some(held),
            Item::OnDisk(_) => None,
        })
    }

    /// Marks events that were in memory only as records from `record` on. Copies are retained up to `max_ready`
    /// bytes. Calls `kept` for each batch still present; returns the number after the last record of those that
    /// have left meanwhile.
    pub(super) fn appended(
        &mut self,
        spans: &[Span],
        mut record: u64,
        max_ready: usize,
        mut kept: impl FnMut(&EventBatch),
    ) -> Option<u64> {
        let at = self.items.iter().position(|item| !item.is_on_disk()).unwrap_or(self.items.len());
        let mut rest = self.items.split_off(at).into_iter().peekable();
        let mut left = None;
        for span in spans {
            let is_here = |item: &Item| matches!(item, Item::Batch(held) if held.first == span.first);
            if let Some(Item::Batch(held)) = rest.next_if(is_here) {
                kept(&held.batch);
                if held.medium != Medium::Pending {
                    self.ready_bytes -= held.batch.bytes();
                }
                let held = Held { medium: Medium::Disk(record), ..held };
                let has_room = self.ready_bytes + held.batch.bytes() <= max_ready;
                self.add(if has_room || self.is_lent(&held) {
                    Item::Batch(held)
                } else {
                    Item::OnDisk(held.stretch(record))
                });
            } else {
                left = Some(record + span.len);
            }
            record += span.len;
        }
        self.items.extend(rest);
        left
    }

    /// Makes the oldest pending batch ready to be lent without the disk.
    pub(super) fn bridge(&mut self) {
        let Some(at) = self.items.iter().position(Item::is_pending) else { return };
        let rest = self.items.split_off(at);
        for (place, item) in rest.into_iter().enumerate() {
            match item {
                Item::Batch(held) if place == 0 => {
                    self.add(Item::Batch(Held { medium: Medium::Memory, ..held }));
                }
                other => self.items.push_back(other),
            }
        }
    }

    /// Lends the next content.
    pub(super) fn lend(&mut self) -> Front {
        match self.items.front() {
            Some(Item::Batch(held)) if held.medium != Medium::Pending => {
                let lent =
                    Lent { first: held.first, batch: Arc::clone(&held.batch), is_on_disk: held.is_on_disk() };
                self.lent = lent.end();
                Front::Lent(lent)
            }
            Some(Item::OnDisk(stretch)) => Front::OnDisk(stretch.records.clone()),
            Some(Item::Batch(_)) | None => Front::Nothing,
        }
    }

    /// Inserts the batches read from the next records, `from` up to `next`. Ignored if the backlog has changed
    /// since: then they are read again.
    pub(super) fn put_read(&mut self, from: u64, batches: Vec<(u64, EventBatch)>, next: u64) {
        let Some(Item::OnDisk(stretch)) = self.items.front() else { return };
        if stretch.records.start != from {
            return;
        }
        let stretch = stretch.clone();
        let rest = stretch.behind(next);
        self.items.pop_front();
        if !rest.records.is_empty() {
            self.items.push_front(Item::OnDisk(rest));
        }
        for (record, batch) in batches.into_iter().rev() {
            self.ready_bytes += batch.bytes();
            let first = stretch.position_of(record);
            let held = Held { first, medium: Medium::Disk(record), batch: Arc::new(batch) };
            self.items.push_front(Item::Batch(held));
        }
    }

    /// Removes the batch lent at this position.
    pub(super) fn acknowledge(&mut self, first: Position) -> Option<Left> {
        match self.items.front() {
            Some(Item::Batch(held)) if held.first == first => {}
            _ => return None,
        }
        let Some(Item::Batch(held)) = self.items.pop_front() else { return None };
        self.ready_bytes -= held.batch.bytes();
        Some(Left { record: held.record(), batch: held.batch })
    }

    /// Returns the number after the last lent record.
    pub(super) fn lent_records(&self) -> u64 {
        let lent = self.held().take_while(|held| self.is_lent(held));
        lent.filter_map(|held| Some(held.record()? + held.batch.len() as u64)).last().unwrap_or_default()
    }

    fn is_lent(&self, held: &Held) -> bool {
        held.first < self.lent
    }

    /// Drops the copies of records on disk, except lent ones.
    pub(super) fn forget_copies(&mut self) {
        self.forget(|held, lent| held.first >= lent);
    }

    /// Drops all copies of records on disk, for instance when those were changed.
    pub(super) fn forget_all_copies(&mut self) {
        self.forget(|_, _| true);
    }

    fn forget(&mut self, which: impl Fn(&Held, Position) -> bool) {
        let lent = self.lent;
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Batch(held)
                    if which(&held, lent)
                        && let Some(record) = held.record() =>
                {
                    self.ready_bytes -= held.batch.bytes();
                    self.add(Item::OnDisk(held.stretch(record)));
                }
                Item::OnDisk(stretch) => self.add(Item::OnDisk(stretch)),
                held @ Item::Batch(_) => self.items.push_back(held),
            }
        }
    }

    /// Removes records that are no longer on disk.
    pub(super) fn drop_records(&mut self, dropped: Range<u64>) {
        let overlaps = |held: &Held| {
            held.record().is_some_and(|record| {
                record < dropped.end && record + held.batch.len() as u64 > dropped.start
            })
        };
        self.forget(|held, _| overlaps(held));
        for item in std::mem::take(&mut self.items) {
            let Item::OnDisk(stretch) = item else {
                self.items.push_back(item);
                continue;
            };
            let before = stretch.records.start..stretch.records.end.min(dropped.start);
            let behind = stretch.behind(dropped.end);
            for part in [Stretch { records: before, ..stretch }, behind] {
                self.add(Item::OnDisk(part));
            }
        }
    }

    /// Removes the oldest batches that are in memory only and not lent, until `bytes` are free.
    pub(super) fn drop_memory(&mut self, bytes: usize) -> Vec<Arc<EventBatch>> {
        let (mut dropped, mut freed) = (Vec::new(), 0);
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Batch(held)
                    if held.medium == Medium::Memory && !self.is_lent(&held) && freed < bytes =>
                {
                    freed += held.batch.bytes();
                    dropped.push(held.batch);
                }
                other => self.items.push_back(other),
            }
        }
        self.ready_bytes -= freed;
        dropped
    }

    /// Removes everything that is in memory only, as at the end of the process.
    pub(super) fn take_memory(&mut self) -> Vec<Arc<EventBatch>> {
        self.lent = 0;
        while self.items.iter().any(Item::is_pending) {
            self.bridge();
        }
        self.drop_memory(usize::MAX)
    }

    /// Assigns IDs above `last` to a stream's events that are in memory only; an ID already above is kept, and
    /// events in `skip` are left alone. Returns the last ID.
    pub(super) fn renumber(&mut self, stream: &str, skip: &HashSet<Position>, last: EntryId) -> EntryId {
        self.renumber_where(stream, skip, last, |held| !held.is_on_disk())
    }

    /// Like [`Backlog::renumber`], including copies of records, for use when the records cannot be changed.
    pub(super) fn renumber_copies(
        &mut self,
        stream: &str,
        skip: &HashSet<Position>,
        last: EntryId,
    ) -> EntryId {
        self.renumber_where(stream, skip, last, |_| true)
    }

    fn renumber_where(
        &mut self,
        stream: &str,
        skip: &HashSet<Position>,
        mut last: EntryId,
        which: impl Fn(&Held) -> bool,
    ) -> EntryId {
        for item in &mut self.items {
            let Item::Batch(held) = item else { continue };
            let goes_there = |event: &Event| {
                event.route.destinations.iter().any(|destination| &*destination.stream == stream)
            };
            if !which(held) || !held.batch.events().iter().any(goes_there) {
                continue;
            }
            let first = held.first;
            for (position, event) in (first..).zip(Arc::make_mut(&mut held.batch).events_mut()) {
                if !skip.contains(&position) {
                    last = raise(event, stream, last);
                }
            }
        }
        last
    }

    /// Returns the records at these positions.
    pub(super) fn records_of(&self, positions: &HashSet<Position>) -> HashSet<u64> {
        let record = |item: &Item, position: Position| item.stretch()?.record_of(position);
        positions.iter().filter_map(|at| self.items.iter().find_map(|item| record(item, *at))).collect()
    }

    /// Iterates over the events of these records that have a copy in memory.
    pub(super) fn copies_of<'b>(&'b self, records: &'b [Range<u64>]) -> impl Iterator<Item = &'b Event> {
        self.held().filter_map(|held| Some((held.record()?, held))).flat_map(|(record, held)| {
            let numbered = (record..).zip(held.batch.events());
            numbered
                .filter(|(record, _)| records.iter().any(|range| range.contains(record)))
                .map(|(_, event)| event)
        })
    }

    /// Appends an item, merged with the last one if contiguous.
    fn add(&mut self, item: Item) {
        match (self.items.back_mut(), item) {
            (_, Item::OnDisk(stretch)) if stretch.records.is_empty() => {}
            (Some(Item::OnDisk(last)), Item::OnDisk(next)) if last.goes_on_in(&next) => {
                last.records.end = next.records.end;
            }
            (last, Item::Batch(held)) => {
                self.ready_bytes += held.batch.bytes();
                let held = match last {
                    Some(Item::Batch(last)) if last.first >= self.lent => last.absorb(held, self.size),
                    _ => Some(held),
                };
                self.items.extend(held.map(Item::Batch));
            }
            (_, item) => self.items.push_back(item),
        }
    }
}

#[cfg(test)]
mod tests;
