//! From the backlog to Redis, in order, one transaction in flight.
//!
//! A transaction is written again until its fate is known: a refusal wrote nothing, an unanswered one is looked up, and
//! an entry that Redis refuses by itself is looked up too before it gets a new ID or is put into quarantine. While Redis is
//! away the backlog grows, on the disk if there is one.
//!
//! Before the first write over a new connection it is made sure that Redis still has what it had
//! (`heal`). What an event needs when its ID cannot be written any more is in `renumber`,
//! what becomes of one that nobody can write in [`poison`](super::poison).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slog::Logger;
use tokio::time::sleep;

use super::adoption::Adoption;
use super::backlog::{Backlog, Next, Range};
use super::damages;
use super::disk::{Disk, Standing};
use super::heal::{Healing, Memory};
use super::ids::Numbering;
use super::outage::{Outage, RETRY_FIRST, RETRY_MAX};
use super::poison::{Fates, Poison};
use super::replay::Replay;
use super::snapshots::Snapshots;
use super::store::fault::{Refusal, StoreFault};
use super::store::{Refused, Store};
use super::streams::Streams;
use super::transaction::{Entry, Transaction, outlet_of};
use crate::backoff::Backoff;
use crate::event::EntryId;
use crate::events;
use crate::fault::ChildFaults;
use crate::lease::gate::LeaseGate;
use crate::ledger::book::GapBook;
use crate::messages::EventBatch;
use crate::observation::{DropReason, Fate, Observations, WriterObservation, WriterState};
use crate::sampled::Sampled;
use crate::settings::{KeySettings, Retention};
use crate::spool::Damage;
use crate::supervisor::Beat;

/// While other shards write what was left in old queues, they are looked at this often.
const ADOPTION_LOOK: Duration = Duration::from_millis(20);
/// How often a wait proves progress.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// New IDs that an entry gets at most, against somebody who writes ever higher ones at the same time.
const MAX_NEW_IDS: u32 = 8;
/// Events read from the disk at once: some transactions, so that Redis does not wait for each.
pub(super) const READ_EVENTS: usize = 2048;
/// The same in bytes.
pub(super) const READ_BYTES: u64 = 4 * 1024 * 1024;

/// Everything that writes for one writer.
pub struct Drain {
    /// What is ready to be written; its end is the end of the drain.
    pub backlog: Backlog,
    /// The disk queue of the shard, unless it is off.
    pub disk: Option<Disk>,
    /// What an earlier process left in other disk queues.
    pub adoption: Adoption,
    /// Whose turn it is to heal.
    pub healing: Healing,
    /// From records to events.
    pub replay: Replay,
    /// Gives the IDs of what comes later.
    pub numbering: Rc<RefCell<Numbering>>,
    /// Redis.
    pub store: Store,
    /// Where stored events are entered for the hashes, if these are kept.
    pub snapshots: Option<Snapshots>,
    /// What is written.
    pub keys: KeySettings,
    /// How long it stays there.
    pub retention: Retention,
    /// Whether anything may be written.
    pub gate: LeaseGate,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Where losses are entered.
    pub gaps: GapBook,
    /// What cannot be written.
    pub poison: Poison,
    /// Which shard this is.
    pub shard: usize,
    /// Proves progress.
    pub beat: Beat,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Names the shard.
    pub log: Logger,
    /// The state between transactions.
    pub state: DrainState,
}

/// What a drain remembers between transactions; fresh at each start.
pub struct DrainState {
    pub(super) streams: Streams,
    pub(super) transaction: Transaction,
    /// Whether a try of the present transaction went unanswered: only then may a refused entry be there already.
    pub(super) is_in_doubt: bool,
    /// Records below this one may have been written by an earlier life; with the disk they belong to.
    pub(super) doubtful: Vec<(Disk, u64)>,
    /// The connection over which Redis was last seen to have everything.
    pub(super) healed: u64,
    pub(super) memory: Memory,
    /// The last entries that Redis took of the present batches.
    pub(super) written: HashMap<Arc<str>, EntryId, RandomState>,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    pub(super) outage: Option<Outage>,
    pub(super) asked_at: Option<Instant>,
    pub(super) passed_ids: Sampled,
    pub(super) disk_faults: Sampled,
}

impl Default for DrainState {
    fn default() -> DrainState {
        DrainState {
            streams: Streams::default(),
            transaction: Transaction::default(),
            is_in_doubt: false,
            doubtful: Vec::new(),
            healed: 0,
            memory: Memory::default(),
            written: HashMap::default(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
            rng: fastrand::Rng::new(),
            outage: None,
            asked_at: None,
            passed_ids: Sampled::default(),
            disk_faults: Sampled::default(),
        }
    }
}

impl DrainState {
    /// An earlier life may have written the records of this queue below a position.
    pub fn may_have_written(&mut self, disk: &Disk, below: u64) {
        self.doubtful.push((disk.clone(), below));
    }
}

/// The service ends, and what is not written is safe on the disk.
#[derive(Debug)]
pub(super) struct Left;

/// How a transaction went.
enum Sent {
    /// Redis has taken all but these.
    Except(Vec<(Entry, Refused)>),
    /// Redis cannot read it and hangs up.
    Unreadable(String),
}

impl Drain {
    /// Writes until the backlog is complete and empty, or until the service ends and the rest is safe on the disk.
    pub async fn run(mut self) {
        self.probe().await;
        let ended = self.write_everything().await;
        if matches!(ended, Err(Left)) {
            events::backlog_left(&self.log);
            // a lease that was lost: what is in memory alone ends with the term
            let in_flight = self.backlog.in_flight();
            for batch in in_flight.iter().flat_map(|batches| batches.iter()) {
                if batch.on_disk().is_none() {
                    batch.settle(|_| Fate::Dropped(DropReason::Shutdown));
                }
            }
        }
        self.backlog.set_in_flight(None);
        self.poison.note(&self.gaps);
        self.observed().state.set(WriterState::Stopped);
    }

    async fn write_everything(&mut self) -> Result<(), Left> {
        // older queues first, and all of them before anything new: a stream may have moved from any to any other
        for old in self.adoption.disks().to_vec() {
            while !self.adoption.is_turn_of(old.generation) {
                self.pause(ADOPTION_LOOK).await?;
            }
            // one that has ended is empty
            let standing = self.beat.during(old.disk.standing()).await.ok();
            if let Some(Standing { acknowledged: from, next: to, .. }) = &standing {
                self.state.may_have_written(&old.disk, *to);
                self.backlog.give_back(Vec::new(), Range { disk: old.disk.clone(), from: *from, to: *to });
            }
            while let Some(next) = self.backlog.take_of(&old.disk) {
                self.leave_rest(&next)?;
                self.write_next(next).await?;
            }
            if let Some(standing) = standing {
                // also what was there and could not be read
                old.disk.acknowledge(standing.next, []);
            }
            self.adoption.finish(&old);
        }
        while !self.adoption.is_over() {
            self.pause(ADOPTION_LOOK).await?;
        }
        while let Some(next) = self.next().await {
            self.leave_rest(&next)?;
            self.write_next(next).await?;
        }
        Ok(())
    }

    async fn write_next(&mut self, next: Next) -> Result<(), Left> {
        let batches = match next {
            Next::Batches(batches) => Rc::new(batches),
            Next::Range(range) => return self.read(range).await,
        };
        self.backlog.set_in_flight(Some(Rc::clone(&batches)));
        self.observed().state.set(WriterState::Writing);
        self.write(&batches).await?;
        self.backlog.set_in_flight(None);
        self.observed().state.set(WriterState::Idle);
        self.state.streams.bound();
        if let Some(fault) = self.faults.step() {
            fault.strike().await;
        }
        Ok(())
    }

    pub(super) fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// At the end of the service, what is in memory is still written if Redis is there; what is on the disk alone stays
    /// there for the next process.
    fn leave_rest(&self, next: &Next) -> Result<(), Left> {
        let may_stay = match next {
            Next::Batches(batches) => {
                self.state.outage.is_some() && batches.iter().all(|batch| batch.on_disk().is_some())
            }
            Next::Range(_) => true,
        };
        if may_stay && self.may_leave() { Err(Left) } else { Ok(()) }
    }

    /// Whether the service ends and everything is safe on the disk.
    pub(super) fn may_leave(&self) -> bool {
        self.backlog.is_complete() && self.backlog.is_safe()
    }

    /// What is to be written next; `None` at the end.
    async fn next(&mut self) -> Option<Next> {
        loop {
            self.beat.beat();
            tokio::select! {
                biased;
                next = self.backlog.next() => return next,
                () = sleep(BEAT) => {}
            }
            self.poison.note_when_due(&self.gaps);
            self.probe_when_due().await;
        }
    }

    /// Reads what is on the disk alone.
    async fn read(&mut self, range: Range) -> Result<(), Left> {
        let drops = self.backlog.drops();
        let chunk = match self.beat.during(range.disk.read(range.from, READ_EVENTS, READ_BYTES)).await {
            Ok(chunk) => chunk,
            Err(error) => {
                if self.state.disk_faults.is_due(Instant::now()) {
                    events::spool_unreadable(&self.log, &error);
                }
                self.backlog.give_back(Vec::new(), range);
                return self.pause(RETRY_MAX).await;
            }
        };
        if self.backlog.drops() != drops {
            // some of it was dropped meanwhile
            self.backlog.give_back(Vec::new(), range);
            return Ok(());
        }
        self.note_damages(&range.disk, &chunk.damages);
        let records = chunk.records.into_iter().filter(|record| record.seq < range.to).collect();
        let batches = self.replay.batches(&range.disk, records);
        let from = if chunk.next_seq > range.from { chunk.next_seq.min(range.to) } else { range.to };
        self.backlog.give_back(batches, Range { from, ..range });
        Ok(())
    }

    /// Records that the disk does not give back any more.
    pub(super) fn note_damages(&self, disk: &Disk, damages: &[Damage]) {
        damages::settle(damages, disk.folder(), &self.observations, &self.gaps, &self.log);
    }

    async fn write(&mut self, batches: &[EventBatch]) -> Result<(), Left> {
        let mut fates = Fates::default();
        self.state.written.clear();
        self.make_ready().await?;
        self.look_up_streams(batches).await?;
        let behind = self.state.transaction.plan(batches, &mut self.state.streams);
        let mut entries = self.state.transaction.take();
        if self.keys.streams {
            if !behind.is_empty() {
                entries = self.place_behind(batches, entries, behind, &mut fates).await?;
            }
        } else {
            entries.extend(behind);
            entries.sort_unstable_by_key(|entry| (entry.at, entry.outlet));
        }
        self.write_entries(batches, entries, &mut fates).await?;
        self.settle(batches, fates).await;
        Ok(())
    }

    /// Writes entries in one transaction, or event by event where one of them may be poison.
    async fn write_entries(
        &mut self,
        batches: &[EventBatch],
        entries: Vec<Entry>,
        fates: &mut Fates,
    ) -> Result<(), Left> {
        let mut text = None;
        if !self.poison.is_suspicious(batches) {
            self.poison.begin(batches, None);
            text = self.write_group(batches, entries.clone(), fates).await?;
            self.poison.end();
        }
        if text.is_none() && !self.poison.is_suspicious(batches) {
            return Ok(());
        }
        for event in entries.chunk_by(|one, next| one.at == next.at) {
            let Some(first) = event.first() else { continue };
            if self.poison.has_struck_twice(batches, first.at) {
                fates.quarantine(batches, first, "its handling has crashed the writer twice");
                continue;
            }
            self.poison.begin(batches, Some(first.at));
            if let Some(text) = self.write_group(batches, event.to_vec(), fates).await? {
                fates.quarantine(batches, first, &text);
            }
            self.poison.end();
        }
        Ok(())
    }

    /// Writes entries in one transaction until the fate of each is known. Answers with Redis' words if it cannot read it.
    async fn write_group(
        &mut self,
        batches: &[EventBatch],
        entries: Vec<Entry>,
        fates: &mut Fates,
    ) -> Result<Option<String>, Left> {
        self.faults
            .strike_on(entries.iter().filter_map(|entry| Some(&outlet_of(batches, entry)?.0.payload[..])));
        self.state.transaction.set(entries);
        let mut taken: Vec<Entry> = Vec::new();
        for _ in 0..=MAX_NEW_IDS {
            if self.state.transaction.entries().is_empty() {
                return Ok(None);
            }
            let refused = match self.write_transaction(batches).await? {
                Sent::Except(refused) => refused,
                Sent::Unreadable(text) => return Ok(Some(text)),
            };
            self.note_written(batches, &refused);
            let passed = self.passed_by(batches, refused, fates).await?;
            let entries = self.renumber_passed(batches, passed, &mut taken, fates).await?;
            self.state.transaction.set(entries);
        }
        for entry in self.state.transaction.take() {
            fates.quarantine(batches, &entry, "somebody else writes ever higher ids");
        }
        Ok(None)
    }

    /// Remembers of each stream the last entry that Redis took.
    fn note_written(&mut self, batches: &[EventBatch], refused: &[(Entry, Refused)]) {
        if !self.keys.streams {
            return;
        }
        let DrainState { streams, transaction, written, .. } = &mut self.state;
        let mut note = |entry: &Entry| {
            let Some((_, outlet)) = outlet_of(batches, entry) else { return };
            let is_kept = batches.get(entry.at.batch).is_some_and(|batch| batch.on_disk().is_some());
            streams.slot(outlet).wrote(entry.id, is_kept);
            written.insert(Arc::clone(&outlet.stream), entry.id);
        };
        if refused.is_empty() {
            transaction.last_entries().for_each(|entry| note(&entry));
        } else {
            let is_refused = |entry: &Entry| {
                refused.iter().any(|(refused, _)| (refused.at, refused.outlet) == (entry.at, entry.outlet))
            };
            transaction.entries().iter().filter(|entry| !is_refused(entry)).for_each(note);
        }
    }

    async fn settle(&mut self, batches: &[EventBatch], fates: Fates) {
        let fates = self.beat.during(self.poison.put_away(fates, &self.gaps, &self.log)).await;
        self.poison.forget(batches);
        if let Some(snapshots) = &self.snapshots {
            snapshots.stored(batches, |batch, event| fates.of(batch, event).is_none()).await;
        }
        let mut stored: Option<Range> = None;
        for (batch_at, batch) in batches.iter().enumerate() {
            let events = batch.events().len() as u64;
            let observed = self.observed();
            observed.events.add(events);
            observed.latency.observe(batch.read_at().instant.elapsed(), events);
            batch.settle(|event| fates.of(batch_at, event).unwrap_or(Fate::Stored));
            stored = batch.range().or(stored);
        }
        // all at once: the queue enters the last ids for the segments that this acknowledges
        let lasts = self.lasts();
        match (stored, &self.disk) {
            (Some(Range { disk, to, .. }), _) => disk.acknowledge(to, lasts),
            // what was never on the disk cannot be written again from there: should Redis lose it, that is to be known
            (None, Some(disk)) => disk.note_unkept(lasts),
            (None, None) => {}
        }
    }

    /// The last entries that Redis took of the present batches, under the names that the disk queue has for streams: without
    /// the prefix.
    fn lasts(&mut self) -> Vec<(Arc<str>, EntryId)> {
        let prefix = self.keys.stream_prefix();
        let written = self.state.written.drain();
        written.map(|(stream, id)| (stream.strip_prefix(&prefix).unwrap_or(&stream).into(), id)).collect()
    }

    /// Writes the planned transaction until its fate is known.
    async fn write_transaction(&mut self, batches: &[EventBatch]) -> Result<Sent, Left> {
        self.state.transaction.encode(batches, &mut self.state.streams, &self.keys);
        self.state.is_in_doubt = false;
        loop {
            self.make_ready().await?;
            // over another connection something may be missing that comes first
            self.store.pin(true);
            let answer = self.store.transact(self.state.transaction.commands()).await;
            self.store.pin(false);
            match answer {
                Ok(refused) => {
                    self.is_up();
                    self.observed().transactions.add(1);
                    return Ok(Sent::Except(self.refused_entries(refused)));
                }
                Err(StoreFault::Unanswered(text)) => {
                    self.state.is_in_doubt = true;
                    self.retry_later(&StoreFault::Unanswered(text)).await?;
                    if self.was_written(batches).await? {
                        self.is_up();
                        self.observed().transactions.add(1);
                        return Ok(Sent::Except(Vec::new()));
                    }
                    self.state.transaction.encode(batches, &mut self.state.streams, &self.keys);
                }
                Err(StoreFault::Refused { refusal: Refusal::Unreadable, text }) => {
                    return Ok(Sent::Unreadable(text));
                }
                Err(fault) => self.retry_later(&fault).await?,
            }
        }
    }

    /// Which entries the refused commands stand for.
    fn refused_entries(&self, refused: Vec<Refused>) -> Vec<(Entry, Refused)> {
        let entries = if self.keys.streams { self.state.transaction.entries() } else { &[] };
        refused.into_iter().filter_map(|refused| Some((*entries.get(refused.command)?, refused))).collect()
    }
}
