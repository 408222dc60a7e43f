//! Writes the queue to Redis in order, with one transaction in flight: a loop over what the
//! [session](super::session) allows.
//!
//! ```text
//! Away ──open──▶ Connected ──reconcile──▶ Reconciled ──place, write, acknowledge──▶ Reconciled …
//!   ▲                                          │
//!   └───── a fault, or no answer ──────────────┘        another server: back to Connected
//! ```
//!
//! A lent batch is retried until its outcome is known: a refused transaction wrote nothing, an unanswered one is
//! looked up by the [`Reconciler`], and a single refused entry gets a new ID or is [quarantined](super::poison).
//! While Redis is unavailable the queue grows.

use slog::{error, info};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::ahead::write_ahead;
use super::attempt::{Attempt, Work};
use super::outage::{RETRY_MAX, RedisOutage};
use super::poison::Poison;
use super::reconciler::{Placed, Ready, Reconciler};
use super::scope::{BEAT, WriterScope};
use super::session::{Connected, LOOK_EVERY, Reconciled, RedisSession};
use super::store::address::Address;
use super::store::fault::StoreFault;
use crate::error_chain::ErrorChain;
use crate::fault::FaultPoint;
use crate::observation::{Outcome, Table, WriterState};
use crate::queue::backlog::Lent;
use crate::queue::disk::DiskError;
use crate::queue::shard::Shard;
use crate::queue::{Next, Queue};

/// Polling interval while other shards write old queues.
const OLD_LOOK: Duration = Duration::from_millis(20);
/// Interval between looks at a batch that a node of a cluster holds up; Redis is asked nothing.
const HELD_LOOK: Duration = Duration::from_millis(50);
/// Maximum number of times a batch's entries get new IDs, against another client that concurrently writes ever
/// higher ones.
const MAX_NEW_IDS: u32 = 8;

/// The committer of one writer.
pub struct Committer {
    /// The shard to write.
    pub shard: Shard,
    /// Address of Redis.
    pub address: Address,
    /// The session with Redis.
    pub session: RedisSession,
    /// The known state of Redis.
    pub reconciler: Reconciler,
    /// Events that cannot be written.
    pub poison: Poison,
    /// The present outage of Redis, if there is one.
    pub outage: RedisOutage,
    /// Shared parts of the writer's loops.
    pub scope: WriterScope,
    /// State between attempts.
    pub work: Work,
}

/// The service is shutting down, and unwritten events are safe on disk.
#[derive(Debug)]
struct Left;

impl Committer {
    /// Writes until no more events come and all are written, or until the service shuts down and the rest is safe
    /// on disk.
    pub async fn run(mut self) {
        self.look().await;
        if matches!(self.write_everything().await, Err(Left)) && self.may_leave() {
            info!(self.scope.log, "backlog left on disk");
        }
        self.scope.observed().state.set(WriterState::Stopped);
    }

    async fn write_everything(&mut self) -> Result<(), Left> {
        // older queues first, and all of them before newer events: a stream may have moved from any shard to any
        // other
        let (generations, own) = (self.shard.generations.clone(), self.shard.queue.clone());
        for old in self.shard.old.clone() {
            while !generations.is_turn_of(old.generation) {
                self.pause(OLD_LOOK).await?;
            }
            self.drain(&old.queue).await?;
            generations.finish(&old);
        }
        while !generations.are_over() {
            self.pause(OLD_LOOK).await?;
        }
        self.drain(&own).await
    }

    /// Writes a queue until no more events come.
    async fn drain(&mut self, queue: &Queue) -> Result<(), Left> {
        (self.work.renumbered, self.work.singly_below) = ((0, 0), 0);
        self.work.forget_ahead();
        loop {
            match self.peek(queue).await {
                Ok(Next::Write(lent)) => self.write(queue, &lent).await?,
                Ok(Next::End) => return Ok(()),
                Err(error) => self.disk_failed(&error).await?,
            }
            self.note_losses(queue);
        }
    }

    /// Waits for the next batch, and checks Redis meanwhile.
    async fn peek(&mut self, queue: &Queue) -> Result<Next, DiskError> {
        // a single future: a disk slower than a heartbeat would otherwise be asked repeatedly
        let mut next = std::pin::pin!(queue.peek());
        loop {
            self.scope.beat.beat();
            tokio::select! {
                biased;
                next = &mut next => return next,
                () = sleep(BEAT) => self.look_when_due().await,
            }
        }
    }

    /// Attempts once to write the lent batch, and waits after a failure.
    async fn write(&mut self, queue: &Queue, lent: &Lent) -> Result<(), Left> {
        // an old queue may be as large as the disk
        let is_old = queue.name() != self.shard.queue.name();
        if lent.is_on_disk && (is_old || self.outage.is_present()) && self.may_leave() {
            return Err(Left);
        }
        self.scope.faults.reach(FaultPoint::Peeked).await;
        let mut session = self.ready().await?;
        let is_held = self.work.held == Some(lent.first) && session.is_partial();
        let tried = if is_held {
            Err(session.connection().away_fault())
        } else {
            self.commit(&mut session, queue, lent).await
        };
        let is_held = tried.is_err() && self.work.held == Some(lent.first);
        if is_held {
            write_ahead(&mut self.attempt(queue, lent), &mut session, queue).await;
        }
        if session.is_usable() {
            self.session = RedisSession::Reconciled(session);
        }
        match tried {
            Ok(()) => Ok(()),
            Err(fault) => self.retry_later(&fault, if is_held { HELD_LOOK } else { RETRY_MAX }).await,
        }
    }

    // --- Redis ------------------------------------------------------------------------------------------------------

    /// Waits for the lease and a reconciled connection.
    async fn ready(&mut self) -> Result<Reconciled, Left> {
        loop {
            self.scope.beat.beat();
            self.wait_for_lease().await?;
            match self.advance().await {
                // this may have outlasted the confirmation of the lease
                Ok(()) if self.scope.gate.may_write() => match std::mem::take(&mut self.session) {
                    RedisSession::Reconciled(session) => return Ok(session),
                    other => self.session = other,
                },
                Ok(()) => {}
                Err(fault) => self.retry_later(&fault, RETRY_MAX).await?,
            }
        }
    }

    /// Advances the session by one state.
    async fn advance(&mut self) -> Result<(), StoreFault> {
        self.session.drop_closed();
        self.session = match std::mem::take(&mut self.session) {
            RedisSession::Away => {
                let session = Connected::open(&self.address, &self.scope.beat).await?;
                // a name may lead elsewhere after each outage
                let peer = session.peer();
                if self.work.peer != peer {
                    self.work.peer = peer;
                    info!(self.scope.log, "redis connected"; "address" => &self.work.peer);
                }
                RedisSession::Connected(session)
            }
            RedisSession::Connected(session) => {
                self.work.forget_ahead();
                RedisSession::Reconciled(session.reconcile(&mut self.reconciler).await?)
            }
            RedisSession::Reconciled(session) if session.is_to_be_looked_at() => {
                session.look(&mut self.reconciler).await?
            }
            RedisSession::Reconciled(session) if session.has_away() => session.find_away().await,
            reconciled @ RedisSession::Reconciled(_) => reconciled,
        };
        Ok(())
    }

    async fn look_when_due(&mut self) {
        if self.work.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.look().await;
        }
    }

    /// Without events: checks once whether Redis accepts writes, and reconciles it.
    async fn look(&mut self) {
        self.work.looked_at = Some(Instant::now());
        match self.try_look().await {
            Ok(()) => self.outage.is_over(),
            Err(fault) => drop(self.outage.failed(&fault)),
        }
    }

    async fn try_look(&mut self) -> Result<(), StoreFault> {
        self.session.drop_closed();
        if matches!(self.session, RedisSession::Away) {
            self.advance().await?;
        }
        match std::mem::take(&mut self.session) {
            RedisSession::Connected(session) => {
                self.session = RedisSession::Connected(session.probe(self.reconciler.prefix()).await?);
                // rewriting needs the lease
                if self.scope.gate.may_write() { self.advance().await } else { Ok(()) }
            }
            other => {
                self.session = other;
                self.advance().await
            }
        }
    }

    /// Waits until the lease is confirmed, and meanwhile checks whether Redis would accept writes. If it is lost,
    /// the events belong to a later term.
    async fn wait_for_lease(&mut self) -> Result<(), Left> {
        while !self.scope.gate.may_write() || !self.scope.gaps.knows_late() {
            self.scope.observed().state.set(WriterState::AwaitingLease);
            self.pause(Duration::ZERO).await?;
            let gate = self.scope.gate.clone();
            if gate.may_write() {
                sleep(BEAT / 10).await;
                continue;
            }
            tokio::select! {
                held = gate.wait_until_held() => held.map_err(|_| Left)?,
                () = sleep(BEAT / 10) => self.look_when_due().await,
            }
        }
        self.scope.observed().state.set(WriterState::Writing);
        Ok(())
    }

    /// Waits before the next attempt after a failure of Redis, unless the service shuts down and nothing would be
    /// lost.
    async fn retry_later(&mut self, fault: &StoreFault, most: Duration) -> Result<(), Left> {
        let wait = self.outage.failed(fault).min(most);
        let observed = self.scope.observed();
        observed.retries.add(1);
        observed.state.set(WriterState::Retrying);
        self.pause(wait).await
    }

    async fn disk_failed(&mut self, error: &DiskError) -> Result<(), Left> {
        if self.work.disk_faults.is_due(Instant::now()) {
            error!(self.scope.log, "disk queue unreadable"; ErrorChain::new(error));
        }
        self.pause(RETRY_MAX).await
    }

    /// Whether the service is shutting down and everything is safe on disk.
    fn may_leave(&self) -> bool {
        self.shard.queue.may_be_left()
    }

    /// Waits, unless the service shuts down and nothing would be lost; not any longer once there is another master.
    async fn pause(&mut self, wait: Duration) -> Result<(), Left> {
        let (until, tenure) = (Instant::now() + wait, self.address.tenure());
        loop {
            self.scope.beat.beat();
            if self.may_leave() {
                return Err(Left);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || tenure.is_over() {
                return Ok(());
            }
            sleep(left.min(BEAT / 10)).await;
        }
    }

    // --- one batch --------------------------------------------------------------------------------------------------

    /// Attempts once to commit the lent batch. If this succeeds without an acknowledgement, the batch has to be
    /// lent again.
    async fn commit(
        &mut self,
        session: &mut Reconciled,
        queue: &Queue,
        lent: &Lent,
    ) -> Result<(), StoreFault> {
        let wanted = self.poison.wanted(lent);
        let renumbers = self.work.renumberings_of(lent) < MAX_NEW_IDS;
        let placed = self.reconciler.place(session.connection(), queue, lent, renumbers, wanted).await?;
        let (entries, is_partial) = match placed {
            Placed::Ready(Ready { entries, stored, is_partial }) => {
                self.work.taken = stored;
                (entries, is_partial)
            }
            Placed::Renumbered => {
                self.work.count_renumbering(lent);
                return Ok(());
            }
            Placed::Stuck(entries) => {
                for entry in &entries {
                    let last = self.reconciler.streams.last(entry.stream);
                    self.poison.give_up(lent, entry, &format!("no entry id can be had above {last}"));
                }
                return Ok(());
            }
        };
        self.scope.observed().state.set(WriterState::Writing);
        if !self.attempt(queue, lent).write(session, &entries).await? {
            return Ok(());
        }
        if is_partial {
            self.work.held = Some(lent.first);
            return Err(session.connection().away_fault());
        }
        self.outage.is_over();
        self.scope.faults.reach(FaultPoint::Answered).await;
        self.acknowledge(queue, lent).await;
        Ok(())
    }

    /// Returns an attempt to write a lent batch.
    fn attempt<'a>(&'a mut self, queue: &'a Queue, lent: &'a Lent) -> Attempt<'a> {
        Attempt {
            queue: queue.name(),
            lent,
            poison: &mut self.poison,
            reconciler: &mut self.reconciler,
            work: &mut self.work,
            scope: &self.scope,
        }
    }

    /// Acknowledges a lent batch, all of whose events have ended.
    async fn acknowledge(&mut self, queue: &Queue, lent: &Lent) {
        let (put_away, losses) = self.scope.beat.during(self.poison.put_away(lent, &self.scope.log)).await;
        if let Some(snapshots) = &self.scope.snapshots {
            let has_room = self.scope.beat.during(snapshots.has_room()).await;
            let _handling = self.poison.handling(queue.name(), (lent.first, lent.end()));
            let is_suspicious = self.poison.is_suspicious(queue.name(), lent);
            let is_deadly =
                |at: usize| is_suspicious && self.poison.is_deadly(queue.name(), lent.first + at as u64);
            // an event that kills here is in its stream, and is left out of the hashes
            let is_shown = |at: usize| put_away.is_stored(at) && !is_deadly(at);
            let shown = lent.batch.events().iter().enumerate().filter(|(at, _)| is_shown(*at));
            self.scope.faults.strike_on(shown.map(|(_, event)| &event.payload[..]));
            snapshots.stored(&lent.batch, has_room, is_shown);
        }
        self.poison.forget(queue.name(), lent);
        let observed = self.scope.observed();
        let events = lent.batch.len() as u64;
        observed.events.add(events);
        observed.latency.observe(lent.batch.read_at().instant.elapsed(), events);
        let streams = &self.reconciler.streams;
        let last_ids = self.work.taken.drain(..).map(|(at, id)| (streams.get(at).key.clone(), id)).collect();
        let late = std::mem::take(&mut self.reconciler.late);
        let outcome = |at: usize| match put_away.outcome_of(at) {
            Outcome::Stored if late.is_double(at) => Outcome::Duplicate,
            outcome => outcome,
        };
        queue.ack(lent, outcome, last_ids);
        for loss in losses {
            self.scope.gaps.note(loss);
        }
        observed.state.set(WriterState::Idle);
        self.scope.faults.reach(FaultPoint::Acknowledged).await;
        if let Some(fault) = self.scope.faults.step() {
            fault.strike().await;
        }
        let forgotten = self.reconciler.streams.bound();
        self.scope.note_forgotten(Table::Streams, forgotten);
    }

    fn note_losses(&self, queue: &Queue) {
        queue.take_losses().into_iter().for_each(|loss| self.scope.gaps.note(loss));
    }
}
