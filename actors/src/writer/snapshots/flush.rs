//! Writes the hashes when they are due, and detects older bodies restored by the fetcher.
//!
//! The fetcher writes bodies with a plain `HSET` at any time, without coordination. Ours are therefore written by a
//! script that first compares `fetched_at` with the last seen value. If another client has written meanwhile, the
//! events are merged into its body and the write is retried.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::warn;
use tokio::task::yield_now;
use tokio::time::sleep;
use uw_websocket_core::tables::{MAX_STREAMS, share};

use super::bodies::Bodies;
use super::budget::{Budget, Haste};
use super::hashes::Sessions;
use super::pending::{News, RestEvent};
use super::script::BodyScript;
use super::table::Snapshots;
use crate::backoff::Backoff;
use crate::fault::FaultPoint;
use crate::log_throttle::LogThrottle;
use crate::observation::{SnapshotObservation, SnapshotTrouble, Table};
use crate::sync::lock;
use crate::writer::scope::WriterScope;
use crate::writer::store::Store;
use crate::writer::store::fault::StoreFault;

/// Interval at which bodies are checked for late writes of the fetcher, which have to be reconciled within two
/// seconds, even if a check is repeated.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Maximum bytes taken from the pending content at a time.
const MAX_AT_ONCE: usize = 2 * 1024 * 1024;
/// Bytes sent at once: the amount that Redis reads from a client before it turns to the next; a larger body is sent
/// alone.
pub(super) const CHUNK: usize = 256 * 1024;
/// Events merged before other tasks of this thread run: some hundred microseconds.
const MERGED_AT_ONCE: usize = 64;
/// Delays between attempts while Redis is unavailable or refuses.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Interval at which a wait proves progress.
const BEAT: Duration = Duration::from_secs(1);

/// Writes the hashes of a shard.
pub struct Flush {
    pub(super) snapshots: Snapshots,
    pub(super) store: Store,
    pub(super) scope: WriterScope,
    pub(super) sessions: Sessions,
    pub(super) bodies: Bodies,
    /// The connection that this state refers to.
    pub(super) connection: u64,
    pub(super) script: BodyScript,
    pub(super) looked_at: Instant,
    pub(super) budget: Budget,
    /// Bodies waiting for the budget.
    pub(super) owed: Vec<Arc<str>>,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    pub(super) refused: LogThrottle,
    pub(super) full: LogThrottle,
    pub(super) untranslatable: LogThrottle,
    pub(super) ahead: LogThrottle,
    pub(super) faults: LogThrottle,
}

/// The next task.
enum Work {
    Write(Vec<News>),
    Look,
    Owed,
    End,
}

impl Flush {
    /// Creates the writer of the pending content of one of `shards` shards.
    #[must_use]
    pub fn new(snapshots: Snapshots, store: Store, shards: usize, scope: WriterScope) -> Flush {
        Flush {
            snapshots,
            store,
            scope,
            sessions: Sessions::new(share(MAX_STREAMS, shards)),
            bodies: Bodies::new(shards),
            connection: 0,
            script: BodyScript::default(),
            looked_at: Instant::now(),
            budget: Budget::full(Instant::now()),
            owed: Vec::new(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
            rng: fastrand::Rng::new(),
            refused: LogThrottle::default(),
            full: LogThrottle::default(),
            untranslatable: LogThrottle::default(),
            ahead: LogThrottle::default(),
            faults: LogThrottle::default(),
        }
    }

    /// Runs until closed and everything is written, or the lease is lost.
    pub async fn run(mut self) {
        loop {
            let work = self.next().await;
            if matches!(work, Work::End) {
                return;
            }
            let snapshots = self.snapshots.clone();
            tokio::select! {
                () = self.until_done(work) => {}
                () = snapshots.end_is_over() => return,
            }
            if self.scope.gate.is_lost() {
                return;
            }
        }
    }

    pub(super) fn observed(&self) -> &SnapshotObservation {
        self.snapshots.observed()
    }

    async fn next(&mut self) -> Work {
        loop {
            self.scope.beat.beat();
            let now = Instant::now();
            let is_closed = self.snapshots.is_closed();
            let look = self.looked_at + LOOK_EVERY;
            // these two come first, or a busy feed, which always has something due, would postpone them forever
            if look <= now && !is_closed {
                self.looked_at = now;
                return Work::Look;
            }
            let is_owed = !self.owed.is_empty();
            if is_owed && (is_closed || self.budget.is_open(now)) {
                return Work::Owed;
            }
            let due = self.snapshots.take_due(now, is_closed, MAX_AT_ONCE);
            if !due.is_empty() {
                return Work::Write(due);
            }
            if is_closed {
                return Work::End;
            }
            let due = self.snapshots.next_due().unwrap_or(now + BEAT);
            let owed = if is_owed { self.budget.opens_at() } else { look };
            let wait = due.min(look).min(owed).saturating_duration_since(now);
            self.snapshots.wait_for_more(wait).await;
        }
    }

    /// Retries a task until it succeeds.
    async fn until_done(&mut self, work: Work) {
        let mut has_failed = false;
        loop {
            self.scope.beat.beat();
            if self.scope.gate.is_lost() {
                return;
            }
            if !self.scope.gate.may_write() {
                sleep(RETRY_FIRST).await;
                continue;
            }
            let done = match &work {
                Work::Write(news) => self.write(news).await,
                Work::Look => self.look().await,
                Work::Owed => self.pay().await,
                Work::End => return,
            };
            self.scope.faults.reach(FaultPoint::SnapshotFlush).await;
            let Err(fault) = done else {
                *lock(&self.observed().fault) = None;
                return self.backoff.reset();
            };
            // a connection that was closed while idle is replaced by the next attempt
            if std::mem::replace(&mut has_failed, true) {
                self.note_fault(&fault);
            }
            // it is unknown whether the content in flight was written
            self.sessions.clear();
            sleep(self.backoff.next(&mut self.rng)).await;
        }
    }

    fn note_fault(&mut self, fault: &StoreFault) {
        *lock(&self.observed().fault) = Some(fault.to_string());
        if self.faults.is_due(Instant::now()) {
            warn!(self.scope.log, "snapshots wait for redis";
                "reason" => fault.label(), "error" => %fault);
        }
    }

    /// Connects if necessary. On a new connection another Redis may respond, or the same one with less than before.
    async fn connect(&mut self) -> Result<(), StoreFault> {
        let connection = self.store.connect().await?;
        if connection != self.connection {
            self.sessions.clear();
            self.connection = connection;
        }
        Ok(())
    }

    async fn write(&mut self, news: &[News]) -> Result<(), StoreFault> {
        self.connect().await?;
        let refused = self.write_hashes(news).await?;
        self.write_bodies(news).await?;
        if !self.snapshots.is_closed() {
            let parts = refused.into_iter().map(|(at, kind)| news[at].part(kind));
            self.snapshots.put_back(parts, Instant::now());
        }
        self.snapshots.written(news.iter().map(|news| &news.destination.stream), Instant::now());
        Ok(())
    }

    async fn write_bodies(&mut self, news: &[News]) -> Result<(), StoreFault> {
        let now = Instant::now();
        let mut events: Vec<(Arc<str>, &[RestEvent])> = Vec::new();
        let mut unknown: Vec<Arc<str>> = Vec::new();
        for news in news {
            let Some(rest) = news.destination.rest.as_ref().filter(|_| !news.rows.is_empty()) else {
                continue;
            };
            if !self.bodies.holds(&rest.key) {
                self.bodies.hold(rest, Arc::clone(&news.destination.stream), now);
                unknown.push(Arc::clone(&rest.key));
            }
            events.push((Arc::clone(&rest.key), &news.rows));
        }
        if let Err(fault) = self.read_new(&unknown).await {
            // must not count as known
            for key in &unknown {
                self.bodies.forget(key);
            }
            return Err(fault);
        }
        for (key, events) in &events {
            self.merge(key, events, true).await;
        }
        let keys = events.iter().map(|(key, _)| Arc::clone(key)).collect();
        let written = self.settle(keys, &events, Haste::WhenAffordable).await;
        self.bound_bodies();
        written.map(drop)
    }

    /// Writes the bodies that waited for the budget.
    async fn pay(&mut self) -> Result<(), StoreFault> {
        self.connect().await?;
        let owed = std::mem::take(&mut self.owed);
        let haste = if self.snapshots.is_closed() { Haste::Now } else { Haste::WhenAffordable };
        let written = match self.settle(owed.clone(), &[], haste).await {
            Ok(written) => written,
            Err(fault) => {
                self.owed = owed;
                return Err(fault);
            }
        };
        self.rest(&written);
        Ok(())
    }

    /// Records that these bodies were written: they are not due for the interval.
    fn rest(&mut self, written: &[Arc<str>]) {
        let stream = |key: &Arc<str>| Some(Arc::clone(&self.bodies.get(key)?.stream));
        let streams: Vec<Arc<str>> = written.iter().filter_map(stream).collect();
        self.snapshots.written(&streams, Instant::now());
    }

    fn bound_bodies(&mut self) {
        let (bytes, evicted) = self.bodies.bound(Instant::now());
        self.observed().held_bytes.set(bytes as u64);
        self.scope.note_forgotten(Table::Bodies, evicted);
    }

    /// Merges events into a body.
    pub(super) async fn merge(&mut self, key: &str, events: &[RestEvent], counts: bool) {
        let now = Instant::now();
        for some in events.chunks(MERGED_AT_ONCE) {
            // after an outage there are thousands
            self.scope.beat.beat();
            let Some(held) = self.bodies.get(key) else { return };
            let merged: Vec<_> = some.iter().filter_map(|event| held.add(event, now).err()).collect();
            let of_the_future = held.take_ahead();
            if counts {
                self.scope.note_ahead(of_the_future, key, &mut self.ahead);
            }
            if let Some(untranslatable) = merged.first().filter(|_| counts) {
                self.observed().troubles.of(SnapshotTrouble::Untranslatable).add(merged.len() as u64);
                if self.untranslatable.is_due(now) {
                    warn!(self.scope.log, "event not in rest body"; "key" => key, "error" => %untranslatable);
                }
            }
            yield_now().await;
        }
    }

    /// Checks whether other clients have written the bodies, and updates those.
    async fn look(&mut self) -> Result<(), StoreFault> {
        self.bound_bodies();
        if self.bodies.is_empty() {
            return Ok(());
        }
        self.connect().await?;
        let keys: Vec<Arc<str>> = self.bodies.keys().collect();
        let changed = self.changed(&keys).await?;
        self.read(&changed).await?;
        let healed = self.settle(changed, &[], Haste::Now).await?;
        self.observed().healed.add(healed.len() as u64);
        self.rest(&healed);
        // postponed ones
        let unsettled =
            keys.into_iter().filter(|key| self.bodies.get(key).is_some_and(|held| !held.is_settled()));
        let unsettled = unsettled.collect();
        let written = self.settle(unsettled, &[], Haste::WhenAffordable).await?;
        self.rest(&written);
        Ok(())
    }
}
