//! Writes the hashes when they are due, and looks whether the fetcher has put an older body back.
//!
//! The fetcher writes bodies with a plain `HSET` at any time and knows nothing of us. So ours are written by a script that
//! compares `fetched_at` with what was last seen before it writes. If somebody else has written meanwhile, the events are
//! merged into that and the write is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::warn;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::bodies::Bodies;
use super::budget::{Budget, Haste};
use super::hashes::Sessions;
use super::pending::{News, RestEvent};
use super::questions::key_fault;
use super::script::BodyScript;
use super::table::Snapshots;
use crate::backoff::Backoff;
use crate::fault::FaultPoint;
use crate::observation::{SnapshotKind, SnapshotObservation, SnapshotTrouble};
use crate::sampled::Sampled;
use crate::writer::scope::Scope;
use crate::writer::store::Store;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// How often the bodies are looked at for a late write of the fetcher: it is to be healed within two seconds, also when a
/// look has to be repeated.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is taken out of what waits at once.
const MAX_AT_ONCE: usize = 2 * 1024 * 1024;
/// Sent at once: Redis reads so much of a client before it turns to the next one, and a larger body goes alone.
pub(super) const CHUNK: usize = 256 * 1024;
/// Events that are merged before others get their turn on this thread: some hundred microseconds.
const MERGED_AT_ONCE: usize = 64;
/// Between tries while Redis is away or refuses.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// How often a wait proves progress.
const BEAT: Duration = Duration::from_secs(1);

/// Writes the hashes of a shard.
pub struct Flush {
    pub(super) snapshots: Snapshots,
    pub(super) store: Store,
    pub(super) scope: Scope,
    pub(super) sessions: Sessions,
    pub(super) bodies: Bodies,
    /// Over which connection all this is known.
    pub(super) connection: u64,
    pub(super) script: BodyScript,
    pub(super) looked_at: Instant,
    pub(super) budget: Budget,
    /// Bodies that wait for it.
    pub(super) owed: Vec<Arc<str>>,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    pub(super) refused: Sampled,
    pub(super) untranslatable: Sampled,
    pub(super) ahead: Sampled,
    pub(super) faults: Sampled,
}

/// What is to be done next.
enum Work {
    Write(Vec<News>),
    Look,
    Owed,
    End,
}

impl Flush {
    /// Of what waits in `snapshots`, one of so many shards.
    #[must_use]
    pub fn new(snapshots: Snapshots, store: Store, shards: usize, scope: Scope) -> Flush {
        Flush {
            snapshots,
            store,
            scope,
            sessions: Sessions::default(),
            bodies: Bodies::new(shards),
            connection: 0,
            script: BodyScript::default(),
            looked_at: Instant::now(),
            budget: Budget::full(Instant::now()),
            owed: Vec::new(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
            rng: fastrand::Rng::new(),
            refused: Sampled::default(),
            untranslatable: Sampled::default(),
            ahead: Sampled::default(),
            faults: Sampled::default(),
        }
    }

    /// Writes until nothing comes any more and all is written, or the lease is lost.
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
            // these two first, or a busy feed, of which something is always due, would put them off
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

    /// Does it, as often as it takes.
    async fn until_done(&mut self, work: Work) {
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
            let Err(fault) = done else { return self.backoff.reset() };
            // of what was under way nobody knows whether it was written
            self.sessions.clear();
            if self.faults.is_due(Instant::now()) {
                warn!(self.scope.log, "snapshots wait for redis";
                    "reason" => fault.label(), "error" => %fault);
            }
            sleep(self.backoff.next(&mut self.rng)).await;
        }
    }

    /// Connects if need be. Another Redis may answer over a new connection, or the same one with less than it had.
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
        self.write_hashes(news).await?;
        self.write_bodies(news).await?;
        self.snapshots.written(news.iter().map(|news| &news.outlet.stream), Instant::now());
        Ok(())
    }

    async fn write_hashes(&mut self, news: &[News]) -> Result<(), StoreFault> {
        let unknown: Vec<&News> = news.iter().filter(|news| self.sessions.must_look(news)).collect();
        let known = self.newest_of(&unknown).await?;
        let mut known = unknown.iter().zip(known);
        let mut next = known.next();
        let (mut commands, mut cells, mut latest) = (Commands::default(), 0, 0);
        for news in news {
            let mut is_news = true;
            if let Some((unknown, known_here)) = &next
                && std::ptr::eq(**unknown, news)
            {
                is_news = self.sessions.learn(news, known_here);
                next = known.next();
            }
            if !is_news {
                continue;
            }
            cells += self.sessions.write(news, &mut commands);
            latest += u64::from(news.newest.is_some());
            if commands.bytes().len() >= CHUNK {
                self.send(&commands).await?;
                commands.clear(CHUNK);
            }
        }
        self.send(&commands).await?;
        self.observed().writes.of(SnapshotKind::Map).add(cells as u64);
        self.observed().writes.of(SnapshotKind::Latest).add(latest);
        Ok(())
    }

    /// Sends commands; what is refused for a reason of its key's is counted and left out.
    async fn send(&mut self, commands: &Commands) -> Result<(), StoreFault> {
        let mut refused = Vec::new();
        self.store
            .ask(commands, |reply| {
                let replies = if let Reply::Array(Some(replies)) = &reply { &replies[..] } else { &[] };
                for reply in std::iter::once(&reply).chain(replies) {
                    if let Reply::Error(text) = reply {
                        refused.push(key_fault(text)?);
                    }
                }
                Ok(())
            })
            .await?;
        for text in &refused {
            self.note_refused(text);
        }
        Ok(())
    }

    pub(super) fn note_refused(&mut self, text: &str) {
        self.observed().troubles.of(SnapshotTrouble::Refused).add(1);
        if self.refused.is_due(Instant::now()) {
            warn!(self.scope.log, "snapshot refused"; "error" => text);
        }
    }

    async fn write_bodies(&mut self, news: &[News]) -> Result<(), StoreFault> {
        let now = Instant::now();
        let mut events: Vec<(Arc<str>, &[RestEvent])> = Vec::new();
        let mut unknown: Vec<Arc<str>> = Vec::new();
        for news in news {
            let Some(rest) = news.outlet.rest.as_ref().filter(|_| !news.rows.is_empty()) else { continue };
            if !self.bodies.holds(&rest.key) {
                self.bodies.hold(rest, Arc::clone(&news.outlet.stream), now);
                unknown.push(Arc::clone(&rest.key));
            }
            events.push((Arc::clone(&rest.key), &news.rows));
        }
        if let Err(fault) = self.read(&unknown).await {
            // not to be taken for known
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

    /// Writes bodies that waited for the budget.
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

    /// These bodies were written: they rest for the interval.
    fn rest(&mut self, written: &[Arc<str>]) {
        let stream = |key: &Arc<str>| Some(Arc::clone(&self.bodies.get(key)?.stream));
        let streams: Vec<Arc<str>> = written.iter().filter_map(stream).collect();
        self.snapshots.written(&streams, Instant::now());
    }

    fn bound_bodies(&mut self) {
        let bytes = self.bodies.bound(Instant::now());
        self.observed().held_bytes.set(bytes as u64);
    }

    /// Merges events into a body.
    pub(super) async fn merge(&mut self, key: &str, events: &[RestEvent], counts: bool) {
        let now = Instant::now();
        for some in events.chunks(MERGED_AT_ONCE) {
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

    /// Looks whether somebody else has written the bodies, and brings them up to date.
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
        // those that were put off
        let unsettled =
            keys.into_iter().filter(|key| self.bodies.get(key).is_some_and(|held| !held.is_settled()));
        let unsettled = unsettled.collect();
        let written = self.settle(unsettled, &[], Haste::WhenAffordable).await?;
        self.rest(&written);
        Ok(())
    }
}
