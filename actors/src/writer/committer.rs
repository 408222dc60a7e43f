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
use uw_websocket_core::event::EntryId;

use super::outage::{Outage, RETRY_MAX};
use super::poison::Poison;
use super::reconciler::{Placed, Reconciler};
use super::scope::{BEAT, Scope};
use super::session::{Connected, LOOK_EVERY, Reconciled, Session};
use super::store::Refused;
use super::store::fault::{Refusal, StoreFault};
use super::store::link::Address;
use super::streams::Entry;
use super::streams::SlotIndex;
use super::transaction::Transaction;
use crate::error_chain::ErrorChain;
use crate::fault::FaultPoint;
use crate::observation::WriterState;
use crate::queue::backlog::{Lent, Position};
use crate::queue::disk::DiskError;
use crate::queue::shard::Shard;
use crate::queue::{Next, Queue};
use crate::sampled::Sampled;

/// Polling interval while other shards write old queues.
const OLD_LOOK: Duration = Duration::from_millis(20);
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
    pub session: Session,
    /// The known state of Redis.
    pub reconciler: Reconciler,
    /// Events that cannot be written.
    pub poison: Poison,
    /// Outage of Redis.
    pub outage: Outage,
    /// Shared parts of the writer's loops.
    pub scope: Scope,
    /// State between attempts.
    pub work: Work,
}

/// State between attempts.
#[derive(Debug, Default)]
pub struct Work {
    transaction: Transaction,
    /// How often the batch at a position has got new IDs.
    renumbered: (Position, u32),
    /// Events before this position are written one by one: Redis closed the connection over one of them.
    singly_below: Position,
    /// The last entry of the lent batch that Redis stored, by stream.
    taken: Vec<(SlotIndex, EntryId)>,
    looked_at: Option<Instant>,
    disk_faults: Sampled,
}

/// The service is shutting down, and unwritten events are safe on disk.
#[derive(Debug)]
struct Left;

impl Work {
    /// Returns how often the lent batch has got new IDs.
    fn renumberings_of(&self, lent: &Lent) -> u32 {
        if self.renumbered.0 == lent.first { self.renumbered.1 } else { 0 }
    }

    fn count_renumbering(&mut self, lent: &Lent) {
        self.renumbered = (lent.first, self.renumberings_of(lent) + 1);
    }
}

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
        let tried = self.commit(&mut session, queue, lent).await;
        if session.is_usable() {
            self.session = Session::Reconciled(session);
        }
        match tried {
            Ok(()) => Ok(()),
            Err(fault) => self.retry_later(&fault).await,
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
                    Session::Reconciled(session) => return Ok(session),
                    other => self.session = other,
                },
                Ok(()) => {}
                Err(fault) => self.retry_later(&fault).await?,
            }
        }
    }

    /// Advances the session by one state.
    async fn advance(&mut self) -> Result<(), StoreFault> {
        self.session = match std::mem::take(&mut self.session) {
            Session::Away => Session::Connected(Connected::open(&self.address, &self.scope.beat).await?),
            Session::Connected(session) => {
                Session::Reconciled(session.reconcile(&mut self.reconciler).await?)
            }
            Session::Reconciled(session) if session.is_to_be_looked_at() => {
                session.look(self.reconciler.prefix()).await?
            }
            reconciled @ Session::Reconciled(_) => reconciled,
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
        if matches!(self.session, Session::Away) {
            self.advance().await?;
        }
        match std::mem::take(&mut self.session) {
            Session::Connected(session) => {
                self.session = Session::Connected(session.probe(self.reconciler.prefix()).await?);
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
        while !self.scope.gate.may_write() {
            self.scope.observed().state.set(WriterState::AwaitingLease);
            self.pause(Duration::ZERO).await?;
            let gate = self.scope.gate.clone();
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
    async fn retry_later(&mut self, fault: &StoreFault) -> Result<(), Left> {
        let wait = self.outage.failed(fault);
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

    /// Waits, unless the service shuts down and nothing would be lost.
    async fn pause(&mut self, wait: Duration) -> Result<(), Left> {
        let until = Instant::now() + wait;
        loop {
            self.scope.beat.beat();
            if self.may_leave() {
                return Err(Left);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
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
        let poison = &self.poison;
        let wanted = |at: usize, outlet: usize| !poison.has_given_up(lent.first + at as u64, outlet);
        let renumbers = self.work.renumberings_of(lent) < MAX_NEW_IDS;
        let placed = self.reconciler.place(session.connection(), queue, lent, renumbers, wanted).await?;
        let entries = match placed {
            Placed::Ready(entries, stored) => {
                self.work.taken = stored;
                entries
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
        if !self.write_entries(session, queue, lent, &entries).await? {
            return Ok(());
        }
        self.outage.is_over();
        self.scope.faults.reach(FaultPoint::Answered).await;
        self.acknowledge(queue, lent).await;
        Ok(())
    }

    /// Writes entries in one transaction, or event by event if one of them may be poison. Returns whether every
    /// outcome is known; if not, they have to be placed again.
    async fn write_entries(
        &mut self,
        session: &mut Reconciled,
        queue: &Queue,
        lent: &Lent,
        entries: &[Entry],
    ) -> Result<bool, StoreFault> {
        let name = queue.name();
        if !self.poison.is_suspicious(name, lent) && lent.first >= self.work.singly_below {
            let written = self.write_group(session, queue, lent, entries).await;
            if is_unreadable(&written) {
                self.work.singly_below = lent.end();
            }
            return written;
        }
        let mut all_known = true;
        for event in entries.chunk_by(|one, next| one.at == next.at) {
            let Some(first) = event.first() else { continue };
            let at = lent.first + first.at as u64;
            if self.poison.is_deadly(name, at) {
                self.poison.give_up(lent, first, "its handling has crashed the writer twice");
                continue;
            }
            let written = self.write_group(session, queue, lent, event).await;
            if let Err(StoreFault::Refused { refusal: Refusal::Unreadable, text }) = &written {
                self.poison.give_up(lent, first, text);
            }
            if written? {
                self.poison.acquit(name, at);
            } else {
                all_known = false;
            }
        }
        Ok(all_known)
    }

    /// Writes entries in one transaction; returns whether every outcome is known.
    async fn write_group(
        &mut self,
        session: &mut Reconciled,
        queue: &Queue,
        lent: &Lent,
        entries: &[Entry],
    ) -> Result<bool, StoreFault> {
        if entries.is_empty() && self.reconciler.writes_streams() {
            return Ok(true);
        }
        if !self.scope.gate.may_write() {
            // placing may have outlasted the confirmation of the lease
            return Ok(false);
        }
        {
            let _handling = self.poison.handling(queue.name(), span_of(lent, entries));
            self.scope.faults.strike_on(entries.iter().map(|entry| &entry.of(&lent.batch).0.payload[..]));
            self.work.transaction.encode(&lent.batch, entries, &mut self.reconciler.streams);
        }
        self.reconciler.sends(lent);
        let answer = session.transact(self.work.transaction.commands()).await;
        if matches!(answer, Err(StoreFault::Unanswered(_))) {
            self.scope.observed().unknown_outcomes.add(1);
        }
        let refused = answer?;
        self.scope.observed().transactions.add(1);
        Ok(self.note_answers(lent, entries, &refused))
    }

    /// Records what Redis stored; returns whether every outcome is known.
    fn note_answers(&mut self, lent: &Lent, entries: &[Entry], refused: &[Refused]) -> bool {
        let streams = &mut self.reconciler.streams;
        if refused.is_empty() {
            for entry in self.work.transaction.lasts().iter().map(|at| &entries[*at]) {
                streams.wrote(entry.stream, entry.id);
                self.work.taken.push((entry.stream, entry.id));
            }
            return true;
        }
        let mut refusals = refused.iter().peekable();
        let mut all_known = true;
        for (command, entry) in entries.iter().enumerate() {
            match refusals.next_if(|refused| refused.command == command) {
                None => {
                    streams.wrote(entry.stream, entry.id);
                    self.work.taken.push((entry.stream, entry.id));
                }
                Some(refused) if refused.refusal == Refusal::IdTooSmall => {
                    streams.forget_last(entry.stream);
                    all_known = false;
                }
                Some(refused) => self.poison.give_up(lent, entry, &refused.text),
            }
        }
        all_known
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
        let lasts = self.work.taken.drain(..).map(|(at, id)| (streams.get(at).key.clone(), id)).collect();
        queue.ack(lent, |at| put_away.fate_of(at), lasts);
        for loss in losses {
            self.scope.gaps.note(loss);
        }
        observed.state.set(WriterState::Idle);
        self.scope.faults.reach(FaultPoint::Acknowledged).await;
        if let Some(fault) = self.scope.faults.step() {
            fault.strike().await;
        }
        self.reconciler.streams.bound();
    }

    fn note_losses(&self, queue: &Queue) {
        queue.take_losses().into_iter().for_each(|loss| self.scope.gaps.note(loss));
    }
}

fn is_unreadable<T>(written: &Result<T, StoreFault>) -> bool {
    matches!(written, Err(StoreFault::Refused { refusal: Refusal::Unreadable, .. }))
}

/// Returns the range of positions from the first to the last of these entries.
fn span_of(lent: &Lent, entries: &[Entry]) -> (Position, Position) {
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (lent.first + first.at as u64, lent.first + last.at as u64 + 1),
        _ => (lent.first, lent.first),
    }
}
