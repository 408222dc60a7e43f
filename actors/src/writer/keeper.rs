//! Between *incoming* and *ready*: duplicates out, IDs on, and, as `SPOOL_MODE` says, onto the disk first.
//!
//! * `always`: every batch is appended to the disk queue before the drain sees it.
//! * `off`: memory alone.
//!
//! A disk that fails is gone round through memory and tried again. What is ready in memory has a bound; behind it come
//! ranges on the disk, and where there is no disk, [`WhenFull`] decides.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::Logger;
use tokio::time::sleep;

use super::backlog::{Backlog, InFlight};
use super::disk::{Disk, DiskError, Ticket};
use super::ids::Numbering;
use crate::duplicates::Duplicates;
use crate::event::{Event, Symbol};
use crate::events;
use crate::ledger::book::GapBook;
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::messages::{EventBatch, OnDisk};
use crate::observation::{DropReason, Fate, Observations, Place, lock};
use crate::sampled::Sampled;
use crate::settings::{SpoolMode, SpoolSettings, WhenFull};
use crate::spool::{Records, SpoolError};
use crate::supervisor::Beat;

/// What is appended at once: some milliseconds of work for the disk's thread, so that nobody waits longer behind it.
const APPEND_BYTES: usize = 2 * 1024 * 1024;
/// What is ready in memory, of one shard: two transactions of the largest weight, so that the drain never waits for the
/// disk while Redis keeps up.
const READY_BYTES: usize = 8 * 1024 * 1024;
/// The same of all shards together.
const READY_BYTES_OF_ALL: usize = 32 * 1024 * 1024;
/// A disk that failed is tried again this often, and a full one looked at.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// How often a wait proves progress.
const BEAT: Duration = Duration::from_secs(1);

/// Everything that keeps events for one writer.
pub struct Keeper {
    /// What comes in and what is ready.
    pub backlog: Backlog,
    /// The disk queue, unless it is off.
    pub disk: Option<Disk>,
    /// How it is used.
    pub settings: SpoolSettings,
    /// Gives the IDs.
    pub numbering: Rc<RefCell<Numbering>>,
    /// Finds repeated events.
    pub duplicates: Duplicates,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Where losses are entered.
    pub gaps: GapBook,
    /// Which shard this is.
    pub shard: usize,
    /// Proves progress.
    pub beat: Beat,
    /// Names the shard.
    pub log: Logger,
    /// The state between batches.
    pub state: KeeperState,
}

/// What a keeper remembers between batches.
#[derive(Debug, Default)]
pub struct KeeperState {
    records: Records,
    /// The number of the next record.
    next: u64,
    /// Since when the disk fails, and when it was tried last.
    failing: Option<(Instant, Instant)>,
    failures: Sampled,
    losses: Sampled,
}

impl KeeperState {
    /// The next record that is appended gets this number.
    #[must_use]
    pub fn from(next: u64) -> KeeperState {
        KeeperState { next, ..KeeperState::default() }
    }
}

impl Keeper {
    /// Keeps what comes in until nothing comes any more.
    pub async fn run(mut self) {
        while let Some(batches) = self.next_incoming().await {
            let batches: Vec<EventBatch> =
                batches.into_iter().filter_map(|batch| self.take_in(batch)).collect();
            self.keep(batches).await;
        }
        // what is in memory alone would end with the process
        if self.disk.is_some() && !self.backlog.is_safe() {
            self.spill().await;
        }
        self.backlog.complete();
    }

    async fn next_incoming(&mut self) -> Option<Vec<EventBatch>> {
        loop {
            self.beat.beat();
            tokio::select! {
                biased;
                batches = self.backlog.incoming(APPEND_BYTES) => return batches,
                // though nothing comes, Redis may have gone away, or the disk may have come back
                () = sleep(BEAT) => if self.disk.is_some() && !self.backlog.is_safe() {
                    return Some(Vec::new());
                }
            }
        }
    }

    /// A batch without its duplicates and with its IDs; none if nothing is left.
    fn take_in(&mut self, mut batch: EventBatch) -> Option<EventBatch> {
        let duplicates = &mut self.duplicates;
        batch.remove_duplicates(|event| {
            duplicates.is_duplicate(event.route.channel, event.ordinal, &event.payload)
        });
        let mut numbering = self.numbering.borrow_mut();
        batch.events_mut().iter_mut().for_each(|event| numbering.number(event));
        (!batch.events().is_empty()).then_some(batch)
    }

    async fn keep(&mut self, batches: Vec<EventBatch>) {
        match self.settings.mode {
            SpoolMode::Off => self.keep_in_memory(batches).await,
            SpoolMode::Always => self.keep_on_disk(batches).await,
        }
    }

    /// Brings what is in memory alone to the disk, in its order; false if the disk fails. The disk never has what is newer
    /// than something in memory.
    async fn spill(&mut self) -> bool {
        if self.backlog.is_safe() {
            return true;
        }
        // both at once: what waits is out of the drain's reach until all before it is on the disk
        let in_flight = self.backlog.in_flight();
        let waiting = self.backlog.take_unsafe(usize::MAX);
        let mut works = match &in_flight {
            Some(in_flight) => self.spill_in_flight(in_flight).await,
            None => true,
        };
        for batch in waiting {
            works = works && self.try_append(std::slice::from_ref(&batch)).await;
            if works { self.ready_on_disk(batch) } else { self.backlog.ready(batch) }
        }
        works
    }

    async fn spill_in_flight(&mut self, in_flight: &InFlight) -> bool {
        let in_memory: Vec<&EventBatch> =
            in_flight.iter().filter(|batch| batch.on_disk().is_none() && !batch.has_ended()).collect();
        if in_memory.is_empty() {
            return true;
        }
        let works = self.append(&in_memory).await;
        // what was stored meanwhile need not be written again; there is nothing before it on the disk
        if works
            && in_memory.iter().all(|batch| batch.has_ended())
            && let Some(disk) = &self.disk
        {
            disk.acknowledge(self.state.next, []);
        }
        works
    }

    async fn keep_on_disk(&mut self, batches: Vec<EventBatch>) {
        if self.is_worth_trying() && self.spill().await && self.try_append(&batches).await {
            for batch in batches {
                self.ready_on_disk(batch);
            }
        } else {
            self.keep_in_memory(batches).await;
        }
    }

    fn is_worth_trying(&self) -> bool {
        self.state.failing.is_none_or(|(_, tried_at)| tried_at.elapsed() >= RETRY_EVERY)
    }

    async fn try_append(&mut self, batches: &[EventBatch]) -> bool {
        let batches: Vec<&EventBatch> = batches.iter().collect();
        self.append(&batches).await
    }

    /// Appends batches, making room if need be; false if the disk fails.
    async fn append(&mut self, batches: &[&EventBatch]) -> bool {
        let Some(disk) = self.disk.clone() else { return false };
        if self.state.failing.is_some()
            && let Ok(standing) = self.beat.during(disk.standing()).await
        {
            // what could not be synced has been appended all the same
            self.state.next = standing.next;
        }
        let mut records = std::mem::take(&mut self.state.records);
        records.clear(self.state.next);
        for event in batches.iter().flat_map(|batch| batch.events()) {
            if let Err(error) = self.record(&mut records, event) {
                self.failed(&error);
                return false;
            }
        }
        let appended = loop {
            self.beat.beat();
            let bytes = records.bytes().len() as u64;
            let ticket = Ticket::default();
            for batch in batches {
                batch.board(Some(ticket.clone()));
            }
            let (given_back, appended) = self.beat.during(disk.append(records, ticket)).await;
            for batch in batches {
                batch.board(None);
            }
            records = given_back;
            match appended {
                Err(DiskError::Spool(SpoolError::Full { .. })) if self.make_room(&disk, bytes).await => {}
                appended => break appended,
            }
        };
        if appended.is_ok() {
            let observed = &self.observations.writers[self.shard];
            let mut first = self.state.next;
            for batch in batches {
                let events = batch.events().len() as u64;
                // what was in flight may be stored by now
                if !batch.has_ended() {
                    observed.append_latency.observe(batch.read_at().instant.elapsed(), events);
                    batch.spooled(OnDisk { disk: disk.clone(), first });
                }
                first += events;
            }
            self.state.next = first;
        }
        self.state.records = records;
        match appended {
            Ok(()) => self.works(),
            Err(error) => self.failed(&error),
        }
        self.state.failing.is_none()
    }

    fn record(&self, records: &mut Records, event: &Event) -> Result<(), crate::spool::Unrecordable> {
        let channel = &self.observations.channel(event.route.channel).channel;
        let outlets = event.route.outlets.iter().zip(event.ids.as_slice());
        let outlets = outlets.map(|(outlet, id)| (outlet.symbol.as_ref().map(Symbol::as_str), *id));
        records.push(channel.name(), event.received_us, outlets, &event.payload)
    }

    /// Makes room in a full disk queue, or waits for it; false if there is none to be had.
    async fn make_room(&mut self, disk: &Disk, bytes: u64) -> bool {
        if self.settings.when_full == WhenFull::Block {
            if self.backlog.is_closed() {
                return false;
            }
            self.wait_for_room().await;
            return true;
        }
        // what is in flight may be stored already: it stays
        let in_flight = self.backlog.in_flight();
        let ranges = in_flight.iter().flat_map(|batches| batches.iter()).filter_map(EventBatch::range);
        let protected = ranges.filter(|range| range.disk == *disk).map(|range| range.to).max();
        self.backlog.forget_copies();
        self.backlog.note_drop();
        match self.beat.during(disk.drop_oldest(protected.unwrap_or_default(), bytes)).await {
            Ok(Some(dropped)) => {
                for (channel, events) in &dropped.events {
                    self.count_dropped(channel, *events);
                }
                let channels: Vec<(String, u64)> = dropped.events.into_iter().collect();
                self.note_loss(&channels, (dropped.from_us, dropped.to_us));
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn count_dropped(&self, name: &str, events: u64) {
        let channel = self.observations.channels.iter().find(|channel| channel.channel.name() == name);
        if let Some(channel) = channel {
            channel.end(Place::Disk, Fate::Dropped(DropReason::SpoolFull), events);
        }
    }

    async fn wait_for_room(&self) {
        tokio::select! {
            () = self.backlog.taken() => {}
            () = sleep(RETRY_EVERY) => {}
        }
    }

    /// Keeps batches in memory alone, within its bound.
    async fn keep_in_memory(&mut self, batches: Vec<EventBatch>) {
        'batches: for batch in batches {
            while self.backlog.ready_bytes() > 0
                && self.backlog.ready_bytes() + batch.bytes() > self.ready_bytes()
            {
                self.beat.beat();
                // what is on the disk can be read from there again
                self.backlog.forget_copies();
                if self.backlog.ready_bytes() + batch.bytes() <= self.ready_bytes() {
                    break;
                }
                let drops = self.settings.when_full == WhenFull::DropOldest;
                if drops && self.drop_from_memory(batch.bytes()) {
                    continue;
                }
                if self.backlog.is_closed() {
                    break;
                }
                self.wait_for_room().await;
                // a disk that works again is room too
                if self.can_spool()
                    && self.spill().await
                    && self.try_append(std::slice::from_ref(&batch)).await
                {
                    self.ready_on_disk(batch);
                    continue 'batches;
                }
            }
            self.ready_in_memory(batch);
        }
    }

    fn can_spool(&self) -> bool {
        self.settings.mode != SpoolMode::Off && self.is_worth_trying()
    }

    /// Drops the oldest batches that are in memory alone; false if there are none.
    fn drop_from_memory(&mut self, bytes: usize) -> bool {
        let dropped = self.backlog.take_unsafe(bytes);
        for batch in &dropped {
            batch.settle(|_| Fate::Dropped(DropReason::SpoolFull));
            let times = batch.events().iter().map(|event| event.received_us);
            let (from, to) = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
            let mut channels: Vec<(String, u64)> = Vec::new();
            for event in batch.events() {
                let name = self.observations.channel(event.route.channel).channel.name();
                match channels.iter_mut().find(|(known, _)| known == name) {
                    Some((_, events)) => *events += 1,
                    None => channels.push((name.to_owned(), 1)),
                }
            }
            self.note_loss(&channels, (from, to));
        }
        !dropped.is_empty()
    }

    fn note_loss(&mut self, channels: &[(String, u64)], (from_us, to_us): (u64, u64)) {
        let events: u64 = channels.iter().map(|(_, events)| events).sum();
        if self.state.losses.is_due(Instant::now()) {
            events::spool_full(&self.log, events);
        }
        for (channel, events) in channels {
            let between = (from_us, to_us);
            let gap = Gap::new(family_of(channel), vec![channel.clone()], between, GapReason::SpoolFull);
            self.gaps.note(gap.with_events(*events));
        }
    }

    fn ready_in_memory(&self, batch: EventBatch) {
        drop(batch.take_credit());
        self.backlog.ready(batch);
    }

    /// A batch that is on the disk: its copy stays in memory if there is room.
    fn ready_on_disk(&self, batch: EventBatch) {
        if self.backlog.ready_bytes() + batch.bytes() <= self.ready_bytes() {
            return self.backlog.ready(batch);
        }
        if let Some(range) = batch.range() {
            self.backlog.ready_on_disk(range);
        }
    }

    fn ready_bytes(&self) -> usize {
        READY_BYTES.min(READY_BYTES_OF_ALL / self.observations.writers.len().max(1))
    }

    fn works(&mut self) {
        if let Some((since, _)) = self.state.failing.take() {
            *lock(&self.observations.writers[self.shard].spool_fault) = None;
            events::spool_works_again(&self.log, since.elapsed());
        }
    }

    fn failed<E: std::error::Error + 'static>(&mut self, error: &E) {
        let now = Instant::now();
        let since = self.state.failing.map_or(now, |(since, _)| since);
        self.state.failing = Some((since, now));
        let error = crate::error_chain::ErrorChain::new(error).to_string();
        if self.state.failures.is_due(now) {
            events::spool_fails(&self.log, &error, now.duration_since(since));
        }
        *lock(&self.observations.writers[self.shard].spool_fault) = Some(error);
    }
}
