//! What the users of a queue share, and what they do under its lock.

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
use crate::observation::{DropReason, Fate, Place, lock};

/// Whoever has the disk's turn for so long may stand still, as on a blocked thread. At the end of the process others bring its
/// events to the disk, and have little time.
const TURN_PATIENCE: Duration = Duration::from_millis(50);
/// Records on disk alone that are still written at the end of the process: what comes within a moment of a busy feed, and
/// takes Redis less than a second. More is a backlog, and the next process has it as well.
pub(super) const WRITTEN_AT_END: u64 = 65_536;
/// What a committer is to do.
#[derive(Debug)]
pub enum Next {
    /// Write these.
    Write(Lent),
    /// Nothing is left that is to be written.
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
    /// Rings when something was appended, answered or acknowledged.
    pub changed: Arc<Notify>,
    /// Whose turn it is to have the disk changed. Fair: new IDs for a stream do not wait for the end of a busy feed. It is a
    /// matter of order alone: that one thing is asked at a time, the state sees to.
    pub turn: tokio::sync::Mutex<()>,
}

/// Whether something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    /// More may come.
    Live,
    /// The shard is closing: nobody waits for room any more.
    Closing,
    /// Nothing comes any more, and a backlog on the disk is left to the next process.
    Closed,
    /// An earlier process left it: nothing comes, and all of it is to be written.
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
    /// Events that no record can hold: a few, for a frame has at most 4 MiB.
    pub unrecordable: VecDeque<(Event, Unrecordable)>,
}

impl Shared {
    pub(super) fn disk(&self) -> Option<&Disk> {
        self.reader.as_deref().map(DiskReader::disk)
    }

    /// Events of which a copy is in memory are not lost by damage.
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

    pub(super) fn change_supply(&self, supply: Supply) {
        let mut state = lock(&self.state);
        if state.supply != Supply::Old {
            state.supply = supply;
        }
        self.changed.notify_waiters();
    }

    /// A stream's name as the disk queue has it: without the prefix.
    pub(super) fn name_of(&self, stream: &Arc<str>) -> Arc<str> {
        stream.strip_prefix(&*self.prefix).map_or_else(|| Arc::clone(stream), Arc::from)
    }

    /// Ends the duplicates of a batch.
    pub(super) fn leave_out_duplicates(&self, state: &mut State, batch: &mut EventBatch) {
        let mut marks = state.duplicates.mark(batch.events().iter().map(Arrival::from)).iter();
        batch.retain(|event| {
            let is_duplicate = marks.next().is_some_and(|is_duplicate| *is_duplicate);
            if is_duplicate {
                self.books.channel(event.route.channel).end(Place::Memory, Fate::Duplicate, 1);
            }
            !is_duplicate
        });
    }

    /// Takes out what no record can hold: it is no fault of the disk.
    pub(super) fn leave_out_unrecordable(&self, state: &mut State, batch: &mut EventBatch) {
        if self.reader.is_none() {
            return;
        }
        batch.retain(|event| {
            let channel = self.books.channel(event.route.channel).channel.name();
            let checked = Records::check(channel, event.route.outlets.len(), &event.payload);
            checked.map_err(|error| state.unrecordable.push_back((event.clone(), error))).is_ok()
        });
    }

    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        timeout(TURN_PATIENCE, self.turn.lock()).await.ok()
    }

    /// Waits until the disk has answered what it was asked.
    pub(super) async fn answered(&self) {
        loop {
            // from here on no change is missed
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

    /// Goes on bringing what was taken over to where it may be lent from. Nothing is asked of the disk at the moment.
    pub(super) fn step(self: &Arc<Self>) -> (Step, bool) {
        let shared = Arc::clone(self);
        let collect = || -> super::disk::Collect { Box::new(move |records| shared.collect(records)) };
        self.persist(&mut lock(&self.state), |persistence, work| persistence.step(work, collect))
    }

    /// Applies the answer to what the disk was asked, if it has come.
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

    /// Gives the disk's thread, when it comes to that, what it does not have.
    pub(super) fn collect(&self, records: &mut Records) -> Result<(), Unrecordable> {
        let batches = {
            let State { backlog, persistence, .. } = &mut *lock(&self.state);
            persistence.collect(backlog, records)
        };
        // not while others wait for the lock
        batches.iter().flat_map(|batch| batch.events()).try_for_each(|event| self.record(records, event))
    }

    pub(super) fn record(&self, records: &mut Records, event: &Event) -> Result<(), Unrecordable> {
        let channel = &self.books.channel(event.route.channel).channel;
        let outlets = event.route.outlets.iter().zip(event.ids.as_slice());
        let outlets = outlets.map(|(outlet, id)| (outlet.symbol.as_ref().map(Symbol::as_str), *id));
        records.push(channel.name(), event.received_us, outlets, &event.payload)
    }

    /// What is to be written next, or the records that are to be read for it; `None` while there is nothing.
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
                // also what was there and could not be read
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

/// Batches between the inbox and the backlog. Nothing awaits there and nothing is known that panics; should it all the same,
/// they are lost, and that is counted and on record.
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
