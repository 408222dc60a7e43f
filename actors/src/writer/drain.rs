//! From the backlog to Redis, in order, one transaction in flight.
//!
//! A transaction is written again until its fate is known: a refusal wrote nothing, an unanswered one is looked up, and
//! an entry that Redis refuses by itself is looked up too before it gets a new ID or is given up. While Redis is away
//! the batches stay here with their credits, the mailbox fills, and the connections stop reading.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use slog::Logger;
use tokio::time::sleep;

use super::backlog::Backlog;
use super::store::fault::{Refusal, StoreFault};
use super::store::{EntryStatus, Refused, Store};
use super::streams::Streams;
use super::transaction::{Entry, EventAt, Transaction, outlet_of};
use crate::backoff::Backoff;
use crate::calendar::SessionClock;
use crate::connection::facts::Facts;
use crate::event::Outlet;
use crate::events;
use crate::fault::ChildFaults;
use crate::lease::gate::{LeaseGate, LeaseLost};
use crate::messages::EventBatch;
use crate::observation::{DropReason, Observations, WriterObservation, WriterState, lock, unix_micros};
use crate::sampled::Sampled;
use crate::settings::KeySettings;
use crate::supervisor::Beat;

/// Between tries while Redis is away: soon enough that a restart of Redis is hardly noticed, and seldom enough that a
/// long outage costs nothing.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A lasting outage is logged again after this long.
const OUTAGE_LOG_EVERY: Duration = Duration::from_secs(30);
/// Without events, Redis is asked this often whether it takes writes.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How often a wait proves progress.
const BEAT: Duration = Duration::from_secs(1);
/// New IDs that an entry gets at most, against somebody who writes ever higher ones at the same time.
const MAX_NEW_IDS: u32 = 8;

/// Everything one writer works with.
pub struct Drain {
    /// Batches in the order of their arrival; its end is the end of the drain.
    pub backlog: Backlog,
    /// Redis.
    pub store: Store,
    /// What is written.
    pub keys: KeySettings,
    /// Whether anything may be written.
    pub gate: LeaseGate,
    /// What others see.
    pub observations: Arc<Observations>,
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
    streams: Streams,
    transaction: Transaction,
    /// Whether a try of the present transaction went unanswered: only then may a refused entry be there already.
    is_in_doubt: bool,
    sessions: SessionClock,
    backoff: Backoff,
    rng: fastrand::Rng,
    outage: Option<Outage>,
    asked_at: Option<Instant>,
    refused_events: Sampled,
    refused_snapshots: Sampled,
    passed_ids: Sampled,
}

struct Outage {
    since: Instant,
    logged_at: Instant,
    tries: u64,
    label: &'static str,
}

impl Default for DrainState {
    fn default() -> DrainState {
        DrainState {
            streams: Streams::default(),
            transaction: Transaction::default(),
            is_in_doubt: false,
            sessions: SessionClock::default(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
            rng: fastrand::Rng::new(),
            outage: None,
            asked_at: None,
            refused_events: Sampled::default(),
            refused_snapshots: Sampled::default(),
            passed_ids: Sampled::default(),
        }
    }
}

/// Events that were given up, and why.
type Lost = HashMap<EventAt, DropReason, RandomState>;

impl Drain {
    /// Writes until the backlog is closed and empty.
    pub async fn run(mut self) {
        self.probe().await;
        while let Some(batches) = self.next_batches().await {
            self.observed().state.set(WriterState::Writing);
            self.write(batches).await;
            self.observed().state.set(WriterState::Idle);
            self.state.streams.bound();
            if let Some(fault) = self.faults.step() {
                fault.strike().await;
                return;
            }
        }
        self.observed().state.set(WriterState::Stopped);
    }

    fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    /// The batches of the next transaction; `None` at the end.
    async fn next_batches(&mut self) -> Option<Vec<EventBatch>> {
        loop {
            self.beat.beat();
            tokio::select! {
                biased;
                batches = self.backlog.next() => return batches,
                () = sleep(BEAT) => {}
            }
            self.probe_when_due().await;
        }
    }

    async fn probe_when_due(&mut self) {
        if self.state.asked_at.is_none_or(|asked| asked.elapsed() >= PROBE_EVERY) {
            self.probe().await;
        }
    }

    /// Asks once whether Redis takes writes.
    async fn probe(&mut self) {
        self.state.asked_at = Some(Instant::now());
        match self.store.probe(&self.keys.prefix).await {
            Ok(()) => self.is_up(),
            Err(fault) => self.is_down(&fault),
        }
    }

    async fn write(&mut self, batches: Vec<EventBatch>) {
        self.look_up_streams(&batches).await;
        let mut lost = Lost::default();
        let mut without_id = self.state.transaction.plan(&batches, &mut self.state.streams);
        let mut new_ids = 0;
        loop {
            for entry in without_id {
                self.give_up(&mut lost, entry.at, Refusal::IdTooSmall, &entry.error.to_string());
            }
            let Ok(refused) = self.write_transaction(&batches).await else {
                // what is only in memory ends with the term
                for batch in batches {
                    batch.settle(|_| Err(DropReason::Shutdown));
                }
                return;
            };
            let passed = self.passed_by(&batches, refused, &mut lost).await;
            if passed.is_empty() {
                break;
            }
            new_ids += 1;
            if new_ids > MAX_NEW_IDS {
                for entry in passed {
                    self.give_up(&mut lost, entry.at, Refusal::IdTooSmall, "somebody else writes higher ids");
                }
                break;
            }
            self.refresh_ids(&batches, &passed).await;
            without_id = self.state.transaction.plan_again(&batches, &passed, &mut self.state.streams);
        }
        self.settle(batches, &lost);
    }

    fn settle(&self, batches: Vec<EventBatch>, lost: &Lost) {
        let observed = self.observed();
        for (batch_at, batch) in batches.into_iter().enumerate() {
            let events = batch.events().len() as u64;
            observed.events.add(events);
            observed.latency.observe(batch.read_at().instant.elapsed(), events);
            batch.settle(|event| {
                lost.get(&EventAt { batch: batch_at, event }).map_or(Ok(()), |reason| Err(*reason))
            });
        }
    }

    /// Writes the planned transaction until its fate is known; returns the entries that Redis refused by themselves.
    async fn write_transaction(
        &mut self,
        batches: &[EventBatch],
    ) -> Result<Vec<(Entry, Refused)>, LeaseLost> {
        self.state.transaction.encode(batches, &mut self.state.streams, &self.keys);
        self.state.is_in_doubt = false;
        loop {
            self.beat.beat();
            self.wait_for_lease().await?;
            match self.store.transact(self.state.transaction.commands()).await {
                Ok(refused) => {
                    self.is_up();
                    self.observed().transactions.add(1);
                    return Ok(self.refused_entries(refused));
                }
                Err(StoreFault::Unanswered(text)) => {
                    self.state.is_in_doubt = true;
                    self.retry_later(&StoreFault::Unanswered(text)).await;
                    if self.was_written(batches).await {
                        self.is_up();
                        self.observed().transactions.add(1);
                        return Ok(Vec::new());
                    }
                    self.state.transaction.encode(batches, &mut self.state.streams, &self.keys);
                }
                Err(fault) => self.retry_later(&fault).await,
            }
        }
    }

    /// Waits until the lease is confirmed; meanwhile tells whether Redis would take writes.
    async fn wait_for_lease(&mut self) -> Result<(), LeaseLost> {
        while !self.gate.may_write() {
            self.beat.beat();
            self.observed().state.set(WriterState::AwaitingLease);
            tokio::select! {
                held = self.gate.wait_until_held() => held?,
                () = sleep(BEAT) => self.probe_when_due().await,
            }
        }
        self.observed().state.set(WriterState::Writing);
        Ok(())
    }

    /// Tells refused entries from refused snapshots; the latter are logged, and the next event will write them again.
    fn refused_entries(&mut self, refused: Vec<Refused>) -> Vec<(Entry, Refused)> {
        let entries = if self.keys.streams { self.state.transaction.entries() } else { &[] };
        let mut refused_entries = Vec::new();
        for refused in refused {
            match entries.get(refused.command) {
                Some(entry) => refused_entries.push((*entry, refused)),
                None => {
                    if self.state.refused_snapshots.is_due(Instant::now()) {
                        events::snapshot_refused(&self.log, &refused.text);
                    }
                }
            }
        }
        refused_entries
    }

    /// Looks up what became of an unanswered transaction and leaves in it only what is still to be written.
    async fn was_written(&mut self, batches: &[EventBatch]) -> bool {
        self.observed().unknown_outcomes.add(1);
        if !self.keys.streams {
            // snapshots alone can be written twice
            return false;
        }
        let last = self.state.transaction.last_entries(batches);
        let statuses = self.statuses(batches, &last).await;
        // an entry that was passed by is written all the same: Redis refuses it by itself, and it is looked up then
        let open: HashSet<&str, RandomState> = last
            .iter()
            .zip(statuses)
            .filter(|(_, status)| *status != EntryStatus::Stored)
            .filter_map(|(entry, _)| Some(&*outlet_of(batches, entry)?.1.stream))
            .collect();
        self.state.transaction.retain(|entry| {
            outlet_of(batches, entry).is_some_and(|(_, outlet)| open.contains(&*outlet.stream))
        });
        events::outcome_looked_up(&self.log, open.is_empty());
        open.is_empty()
    }

    /// Of refused entries those that must get a new ID. The others are stored already, or given up.
    async fn passed_by(
        &mut self,
        batches: &[EventBatch],
        refused: Vec<(Entry, Refused)>,
        lost: &mut Lost,
    ) -> Vec<Entry> {
        let mut passed = Vec::new();
        for (entry, refused) in refused {
            match refused.refusal {
                Refusal::IdTooSmall => passed.push(entry),
                refusal => self.give_up(lost, entry.at, refusal, &refused.text),
            }
        }
        if passed.is_empty() || !self.state.is_in_doubt {
            return passed;
        }
        let statuses = self.statuses(batches, &passed).await;
        let open = passed.iter().zip(statuses).filter(|(_, status)| *status != EntryStatus::Stored);
        open.map(|(entry, _)| *entry).collect()
    }

    fn give_up(&mut self, lost: &mut Lost, at: EventAt, refusal: Refusal, text: &str) {
        lost.insert(at, DropReason::Rejected);
        if self.state.refused_events.is_due(Instant::now()) {
            events::event_refused(&self.log, refusal, text);
        }
    }

    async fn statuses(&mut self, batches: &[EventBatch], entries: &[Entry]) -> Vec<EntryStatus> {
        let questions: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let (event, outlet) = outlet_of(batches, entry)?;
                Some((&*outlet.stream, entry.id, &event.payload[..]))
            })
            .collect();
        loop {
            self.beat.beat();
            match self.store.entry_statuses(&questions).await {
                Ok(statuses) => return statuses,
                Err(fault) => self.retry_later(&fault).await,
            }
        }
    }

    /// Learns the last IDs of streams that are seen for the first time.
    async fn look_up_streams(&mut self, batches: &[EventBatch]) {
        let mut unknown: Vec<&Outlet> = Vec::new();
        let mut seen = HashSet::<&str, RandomState>::default();
        for outlet in batches.iter().flat_map(EventBatch::events).flat_map(|event| &event.route.outlets) {
            if !self.state.streams.knows(outlet) && seen.insert(&outlet.stream) {
                unknown.push(outlet);
            }
        }
        self.learn(&unknown).await;
    }

    /// Learns the last IDs of streams whose entries were passed by.
    async fn refresh_ids(&mut self, batches: &[EventBatch], entries: &[Entry]) {
        let mut outlets: Vec<&Outlet> = Vec::new();
        let mut seen = HashSet::<&str, RandomState>::default();
        for (_, outlet) in entries.iter().filter_map(|entry| outlet_of(batches, entry)) {
            if seen.insert(&outlet.stream) {
                if self.state.passed_ids.is_due(Instant::now()) {
                    events::id_passed(&self.log, &outlet.stream);
                }
                outlets.push(outlet);
            }
        }
        self.learn(&outlets).await;
    }

    async fn learn(&mut self, outlets: &[&Outlet]) {
        while !outlets.is_empty() {
            self.beat.beat();
            match self.try_learn(outlets).await {
                Ok(()) => return,
                Err(fault) => self.retry_later(&fault).await,
            }
        }
    }

    async fn try_learn(&mut self, outlets: &[&Outlet]) -> Result<(), StoreFault> {
        let streams: Vec<&str> = outlets.iter().map(|outlet| &*outlet.stream).collect();
        let last_ids = self.store.last_ids(&streams).await?;
        let mapped: Vec<&str> =
            outlets.iter().filter(|outlet| outlet.map.is_some()).map(|outlet| &*outlet.latest).collect();
        let mut newest =
            if mapped.is_empty() { Vec::new() } else { self.store.payloads(&mapped).await? }.into_iter();
        for (outlet, last) in outlets.iter().zip(last_ids) {
            let payload = outlet.map.is_some().then(|| newest.next().flatten()).flatten();
            let session = payload.and_then(|payload| self.session_of(&payload));
            self.state.streams.learn(outlet, last, session);
        }
        Ok(())
    }

    /// The trading session of a gex row.
    fn session_of(&mut self, payload: &[u8]) -> Option<i32> {
        let facts = Facts::read(std::str::from_utf8(payload).ok()?).ok()?;
        let at = u64::try_from(facts.timestamp?).ok()?.min(unix_micros() / 1000);
        Some(self.state.sessions.session_date(at))
    }

    fn is_up(&mut self) {
        self.state.backoff.reset();
        let observed = self.observed();
        observed.redis_up.store(true, Relaxed);
        if let Some(outage) = self.state.outage.take() {
            *lock(&self.observed().last_error) = None;
            events::redis_back(&self.log, outage.since.elapsed(), outage.tries);
        }
    }

    fn is_down(&mut self, fault: &StoreFault) {
        let now = Instant::now();
        let observed = self.observed();
        observed.redis_up.store(false, Relaxed);
        *lock(&observed.last_error) = Some(fault.to_string());
        let outage =
            self.state.outage.get_or_insert(Outage { since: now, logged_at: now, tries: 0, label: "" });
        outage.tries += 1;
        let is_news = outage.label != fault.label();
        if is_news || now.duration_since(outage.logged_at) >= OUTAGE_LOG_EVERY {
            (outage.label, outage.logged_at) = (fault.label(), now);
            events::redis_unavailable(&self.log, fault, now.duration_since(outage.since), outage.tries);
        }
    }

    async fn retry_later(&mut self, fault: &StoreFault) {
        self.is_down(fault);
        let observed = self.observed();
        observed.retries.add(1);
        observed.state.set(WriterState::Retrying);
        let until = Instant::now() + self.state.backoff.next(&mut self.state.rng);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.beat.beat();
            sleep(left.min(BEAT)).await;
        }
        self.observed().state.set(WriterState::Writing);
    }
}
