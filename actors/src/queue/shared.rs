//! The shared state of a queue's users, and the operations under its lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slog::Logger;
use tokio::sync::{MutexGuard, Notify};
use tokio::time::timeout;
use uw_websocket_core::duplicates::{Arrival, Duplicates};
use uw_websocket_core::event::{Event, Symbol};
use uw_websocket_core::ids::Numbering;
use uw_websocket_core::spool::{Damage, Records, Unrecordable};

use super::backlog::{Backlog, Front, Lent};
use super::batch::EventBatch;
use super::books::Books;
use super::disk::Disk;
use super::kept::DiskReader;
use super::persistence::{Persistence, Step, Work};
use super::stored::StoredStreams;
use crate::forgetting;
use crate::observation::{DropReason, Outcome, Place, Table};
use crate::sync::lock;

/// Maximum wait for a turn: its holder may hang, for instance on a blocked thread. At the end of the process others
/// persist its events, with little time.
const TURN_PATIENCE: Duration = Duration::from_millis(50);
/// Maximum number of records, on disk only, that are still written at the end of the process: a moment of a busy
/// feed, and less than a second for Redis. More is a backlog, which the next process has as well.
pub(super) const WRITTEN_AT_END: u64 = 65_536;
/// The next task of a committer.
#[derive(Debug)]
pub enum Next {
    /// Write this batch.
    Write(Lent),
    /// Nothing is left to write.
    End,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub name: Arc<str>,
    pub reader: Option<Arc<DiskReader>>,
    pub prefix: String,
    pub books: Books,
    pub log: Logger,
    pub state: Mutex<State>,
    /// Notified after an append, an answer or an acknowledgement.
    pub changed: Arc<Notify>,
    /// Serialises changes of the disk. Fair: a reassignment of IDs does not wait for the end of a busy feed. Only
    /// for order; that one request is in flight at a time is ensured by the state.
    pub turn: tokio::sync::Mutex<()>,
}

/// Whether more events may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    /// More events may be accepted.
    Live,
    /// The shard is closing: appends no longer wait for room.
    Closing,
    /// No more events, and a backlog on disk is left to the next process.
    Closed,
    /// Left by an earlier process: no more events, and all of it is written.
    Old,
}

#[derive(Debug)]
pub(super) struct State {
    pub backlog: Backlog,
    pub supply: Supply,
    pub duplicates: Duplicates,
    pub numbering: Numbering,
    pub persistence: Persistence,
    pub stored: StoredStreams,
    /// Events that do not fit into a record: few, as a frame has at most 4 MiB.
    pub unrecordable: VecDeque<(Event, Unrecordable)>,
}

impl Shared {
    pub(super) fn disk(&self) -> Option<&Disk> {
        self.reader.as_deref().map(DiskReader::disk)
    }

    /// Excludes events with a copy in memory from a damage's losses.
    pub(super) fn spare_copies(&self, damage: &mut Damage) {
        if damage.records.is_empty() {
            return;
        }
        let state = lock(&self.state);
        let mut spared: BTreeMap<String, u64> = BTreeMap::new();
        for event in state.backlog.copies_of(&damage.records) {
            let name = self.books.channel(event.route.channel).channel.name();
            *spared.entry(name.to_owned()).or_default() += 1;
        }
        damage.spare(&spared);
    }

    /// Counts the streams that left the tables of the queue.
    pub(super) fn note_forgotten(&self, state: &mut State) {
        self.note(Table::Ids, state.numbering.take_forgotten());
        self.note(Table::Stored, state.stored.take_forgotten());
    }

    pub(super) fn note(&self, table: Table, forgotten: u64) {
        forgetting::note(&self.books.observations, &self.log, (table, forgotten));
    }

    /// Notes the events of a batch that the archive does not get from the disk: those on it that are not to be archived, or
    /// those to be archived that were never on it.
    pub(super) fn note_unarchived(
        &self,
        disk: &Disk,
        record: Option<u64>,
        batch: &EventBatch,
        is_archived: impl Fn(usize) -> bool,
    ) {
        let Some(first) = record else {
            let skipped = batch.events().iter().enumerate().filter(|(at, _)| is_archived(*at));
            return self.books.skip_archive(skipped.map(|(_, event)| event));
        };
        let others = (0..batch.len()).filter(|at| !is_archived(*at));
        disk.note_unstored(others.map(|at| first + at as u64));
    }

    pub(super) fn change_supply(&self, supply: Supply) {
        let mut state = lock(&self.state);
        if state.supply != Supply::Old {
            state.supply = supply;
        }
        self.changed.notify_waiters();
    }

    /// Publishes the age of the oldest event in memory. That of a queue of earlier settings is on disk.
    pub(super) fn show_oldest(&self, state: &State) {
        if state.supply != Supply::Old {
            self.books.observed().memory_oldest.set(state.backlog.oldest_us().unwrap_or_default());
        }
    }

    /// Returns a stream's name in the disk queue: without the prefix.
    pub(super) fn name_of(&self, stream: &Arc<str>) -> Arc<str> {
        stream.strip_prefix(&*self.prefix).map_or_else(|| Arc::clone(stream), Arc::from)
    }

    /// Removes and counts the duplicates of a batch.
    pub(super) fn leave_out_duplicates(&self, state: &mut State, batch: &mut EventBatch) {
        let mut marks = state.duplicates.mark(batch.events().iter().map(Arrival::from)).iter();
        batch.retain(|event| {
            let is_duplicate = marks.next().is_some_and(|is_duplicate| *is_duplicate);
            if is_duplicate {
                self.books.channel(event.route.channel).end(Place::Memory, Outcome::Duplicate, 1);
            }
            !is_duplicate
        });
    }

    /// Removes events that do not fit into a record: that is not a fault of the disk.
    pub(super) fn leave_out_unrecordable(&self, state: &mut State, batch: &mut EventBatch) {
        if self.reader.is_none() {
            return;
        }
        batch.retain(|event| {
            let channel = self.books.channel(event.route.channel).channel.name();
            let checked = Records::check(channel, event.route.destinations.len(), &event.payload);
            checked.map_err(|error| state.unrecordable.push_back((event.clone(), error))).is_ok()
        });
    }

    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        timeout(TURN_PATIENCE, self.turn.lock()).await.ok()
    }

    /// Waits until no answer of the disk is pending.
    pub(super) async fn answered(&self) {
        loop {
            // from here on changes are not missed
            let changed = self.changed.notified();
            {
                let state = &mut *lock(&self.state);
                self.hear(state);
                if !state.persistence.is_asked() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Advances accepted events to where they may be lent from. No request to the disk may be in flight.
    pub(super) fn step(self: &Arc<Self>) -> (Step, bool) {
        let shared = Arc::clone(self);
        let collect = || -> super::disk::Collect { Box::new(move |records| shared.collect(records)) };
        self.persist(&mut lock(&self.state), |persistence, work| persistence.step(work, collect))
    }

    /// Applies the pending answer of the disk, if it has arrived.
    pub(super) fn hear(&self, state: &mut State) {
        if self.persist(state, Persistence::hear) {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn persist<R>(
        &self,
        state: &mut State,
        act: impl FnOnce(&mut Persistence, &mut Work<'_>) -> R,
    ) -> R {
        let State { backlog, supply, numbering, persistence, .. } = state;
        let may_wait = *supply == Supply::Live;
        act(persistence, &mut Work { backlog, numbering, may_wait, books: &self.books, log: &self.log })
    }

    /// Collects the missing records, on the disk's thread.
    pub(super) fn collect(&self, records: &mut Records) -> Result<(), Unrecordable> {
        let batches = {
            let State { backlog, persistence, .. } = &mut *lock(&self.state);
            persistence.collect(backlog, records)
        };
        // outside of the lock
        batches.iter().flat_map(|batch| batch.events()).try_for_each(|event| self.record(records, event))
    }

    pub(super) fn record(&self, records: &mut Records, event: &Event) -> Result<(), Unrecordable> {
        let channel = &self.books.channel(event.route.channel).channel;
        let destinations = event.route.destinations.iter().zip(event.ids.as_slice());
        let destinations =
            destinations.map(|(destination, id)| (destination.symbol.as_ref().map(Symbol::as_str), *id));
        records.push(channel.name(), event.received_us, destinations, &event.payload)
    }

    /// Lends the next batch, or returns the records to read for it; `Ok(None)` if there is nothing.
    pub(super) fn lend(&self) -> Result<Option<Next>, std::ops::Range<u64>> {
        let state = &mut *lock(&self.state);
        self.hear(state);
        if state.persistence.is_changing() {
            return Ok(None);
        }
        let ends = matches!(state.supply, Supply::Closed | Supply::Old) && state.backlog.is_empty()
            || state.supply == Supply::Closed
                && state.backlog.left_on_disk().is_some_and(|records| records > WRITTEN_AT_END);
        if ends {
            if let (Supply::Old, Some(disk)) = (state.supply, self.disk()) {
                // including records that could not be read
                disk.acknowledge(state.persistence.next_record(), []);
            }
            return Ok(Some(Next::End));
        }
        match state.backlog.lend() {
            Front::Lent(lent) => Ok(Some(Next::Write(lent))),
            Front::OnDisk(records) => Err(records),
            Front::Nothing => Ok(None),
        }
    }
}

/// Batches between the inbox and the backlog. Nothing awaits there and no known operation panics; should one do so,
/// they are lost, counted and recorded.
pub(super) struct Transit<'q> {
    pub batches: VecDeque<EventBatch>,
    pub books: &'q Books,
}

impl Drop for Transit<'_> {
    fn drop(&mut self) {
        for batch in self.batches.drain(..) {
            self.books.drop_events(batch.events(), DropReason::Crash);
        }
    }
}
