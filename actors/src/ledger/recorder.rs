//! The periodic work of the ledger: collect gaps from the tracker, save the checkpoint, publish the queue to Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, error, warn};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use uw_websocket_core::time::iso_utc;

use super::checkpoint::succession::{LedgerBeginning, Ours};
use super::checkpoint::{Checkpoint, Predecessors};
use super::checkpoint_store::{CheckpointError, CheckpointStore};
use super::coverage::open_gaps;
use super::gap::Gap;
use super::left_queue::{LeftQueues, Unstored};
use super::publisher::{GapPublisher, PostError, Published};
use super::queue::GapQueue;
use super::tracker::GapTracker;
use super::written::Written;
use crate::error_chain::ErrorChain;
use crate::future_times;
use crate::lease::gate::LeaseGate;
use crate::log_throttle::LogThrottle;
use crate::observation::{ChannelObservation, Observations};
use crate::queue::progress::StorageProgress;
use crate::wall_clock::unix_micros;
use crate::writer::store::Identity;

/// Maximum number of gaps written per tick: a backlog is written within seconds without holding up Redis.
const AT_ONCE: usize = 100;
/// Maximum duration of the work with Redis per tick; the next sign of life waits for it.
const REDIS_PATIENCE: Duration = Duration::from_secs(2);
/// Maximum wait for the disk; the state is then still copied to Redis.
const DISK_PATIENCE: Duration = Duration::from_secs(1);
/// Ticks that skip Redis after a failure, so that a hanging Redis does not delay the signs of life for long.
const REDIS_REST: u32 = 3;

/// The state and the collaborators of the ledger.
#[derive(Debug)]
pub struct GapRecorder {
    /// The tracker to which the actors report.
    pub tracker: GapTracker,
    /// The store on disk; `None` with `SPOOL_MODE=off`.
    pub checkpoints: Option<CheckpointStore>,
    /// The stream.
    pub publisher: GapPublisher,
    /// Whether anything may be written to Redis.
    pub gate: LeaseGate,
    /// Gaps not yet in Redis.
    pub waiting: GapQueue,
    /// The processes whose state was taken over.
    pub followed: Predecessors,
    /// Entries confirmed by Redis.
    pub written: Written,
    /// The processes whose disk queue is ours.
    pub ours: Ours,
    /// Queues of other instances that wait on their disks.
    pub left: LeftQueues,
    /// Up to when everything received is stored.
    pub stored: StorageProgress,
    /// The published state.
    pub observations: Arc<Observations>,
    /// The logger.
    pub log: Logger,
    /// The progress of the work.
    pub progress: RecorderProgress,
}

/// The progress of the recorder's work.
#[derive(Debug, Default)]
pub struct RecorderProgress {
    /// Whether the copy of the state that the previous owner left in Redis was read, which must precede its
    /// replacement.
    pub has_met: bool,
    writing: Option<JoinHandle<Result<(), CheckpointError>>>,
    /// The connection, and the server's identity, for which all confirmed entries were verified to be present.
    restored_over: Option<(u64, Identity)>,
    rest: u32,
    /// The latest announcement of late events in the state at hand.
    announced: u64,
    is_closed: bool,
    /// Whether the last attempt to write to Redis failed.
    has_failed: bool,
    unspooled: LogThrottle,
    refused: LogThrottle,
}

impl GapRecorder {
    /// Runs a tick at a time in Unix microseconds. Cancel-safe: the gaps taken from the tracker are in the queue.
    pub async fn tick(&mut self, now: u64) {
        if self.progress.is_closed {
            return;
        }
        let mut life = self.look(now, false);
        self.keep(&mut life, DISK_PATIENCE).await;
        if self.progress.rest > 0 && self.progress.has_met {
            self.progress.rest -= 1;
        } else if !matches!(timeout(REDIS_PATIENCE, self.write(&mut life)).await, Ok(true)) {
            self.progress.rest = REDIS_REST;
        }
    }

    /// Runs the last tick, when nothing is received any more. Disk and Redis have `patience` each; gaps that Redis does
    /// not accept wait for the next process.
    pub async fn close(&mut self, now: u64, patience: Duration) {
        self.progress.is_closed = true;
        self.tracker.close(now);
        let mut life = self.look(now, true);
        self.keep(&mut life, patience).await;
        let has_waited = !self.waiting.is_empty();
        let is_written = matches!(timeout(patience, self.write(&mut life)).await, Ok(true));
        if is_written && has_waited && !self.disk_hangs() {
            self.keep(&mut life, patience).await;
        }
    }

    /// Records a gap that stands for `count` gaps in the log, the counts and the status.
    fn record(&self, gap: &Gap, count: u32) {
        self.observations.gaps.record(gap.clone(), count);
        warn!(self.log, "gap recorded"; "family" => gap.family.name(), "reason" => gap.reason.label(),
            "seconds" => gap.seconds(), "events" => gap.events, "channels" => gap.channels.join(","));
    }

    /// Takes the closed gaps from the tracker and builds the checkpoint.
    fn look(&mut self, now: u64, clean: bool) -> Checkpoint {
        let tracked = self.tracker.tick(now);
        for ended in tracked.ended.iter() {
            self.record(&ended.to_write(), ended.stands_for);
        }
        self.waiting.append(tracked.ended);
        self.progress.announced = tracked.announced;
        self.observations.gaps.show(open_gaps(&tracked.topics), self.waiting.len());
        let mut life = Checkpoint::new(&self.observations.instance, now);
        life.clean = clean;
        life.begun_at = self.tracker.begun_us();
        life.followed.clone_from(&self.followed);
        life.set(tracked.topics, tracked.ending);
        self.look_at_queues(&mut life);
        life
    }

    /// Notes in the checkpoint what is stored, and which queues are waited for.
    fn look_at_queues(&mut self, life: &mut Checkpoint) {
        let now = life.alive_at;
        let stored_to = self.stored.look(now, life.clean);
        let events = self.observations.channels.iter().map(ChannelObservation::pending).sum();
        life.unstored = Some(Unstored { stored_to, events, on_disk: self.checkpoints.is_some() });
        if self.tracker.late().is_some_and(|late| stored_to > late.before) {
            self.tracker.set_late(None);
            self.ours.is_stored();
        }
        if self.tracker.late().is_none() {
            self.ours.names().for_each(|instance| self.left.remove(instance));
        }
        self.tracker.take_back().iter().for_each(|instance| self.left.remove(instance));
        for (instance, queue) in self.left.give_up(now) {
            warn!(self.log, "disk queue of another instance given up"; "instance" => instance,
                "events" => queue.events, "from" => iso_utc(queue.from_us));
        }
        self.observations.gaps.show_left(&self.left);
        life.left.clone_from(&self.left);
        life.late = self.tracker.late();
        if self.gate.may_write() {
            self.ours.holds_the_lease(now);
        }
        life.held_at = self.ours.held_at();
    }

    /// Saves the checkpoint on disk, with the current queue.
    async fn keep(&mut self, life: &mut Checkpoint, patience: Duration) {
        let Some(disk) = self.checkpoints.clone() else { return };
        // one write at a time, in order: that of a cancelled tick or a hanging disk comes first
        if !self.is_written(patience).await {
            return;
        }
        std::mem::swap(&mut life.written, &mut self.written);
        let json = self.json(life);
        std::mem::swap(&mut life.written, &mut self.written);
        match json {
            Ok(json) => self.progress.writing = Some(spawn_blocking(move || disk.write(&json))),
            Err(error) => return self.note_unspooled(&error.into()),
        }
        self.is_written(patience).await;
    }

    /// Waits until no write to the disk is in progress; returns `false` after a timeout.
    async fn is_written(&mut self, patience: Duration) -> bool {
        let Some(writing) = &mut self.progress.writing else { return true };
        let written = timeout(patience, writing).await;
        if written.is_ok() {
            self.progress.writing = None;
        }
        match written {
            Ok(Ok(Err(error))) => self.note_unspooled(&error),
            Err(_) => self.note_unspooled(&CheckpointError::Hangs),
            // a runtime that shuts down cancels its writes
            Ok(Ok(Ok(())) | Err(_)) => {}
        }
        !self.disk_hangs()
    }

    /// Returns whether the last write is still in progress.
    fn disk_hangs(&self) -> bool {
        self.progress.writing.is_some()
    }

    fn note_unspooled(&mut self, error: &CheckpointError) {
        if self.progress.unspooled.is_due(Instant::now()) {
            error!(self.log, "state of the ledger not kept"; ErrorChain::new(error));
        }
    }

    fn json(&mut self, life: &mut Checkpoint) -> Result<Vec<u8>, serde_json::Error> {
        // moved in and out instead of copied
        std::mem::swap(&mut life.waiting, &mut self.waiting);
        let json = life.to_json();
        std::mem::swap(&mut life.waiting, &mut self.waiting);
        json
    }

    /// Writes the queue and the copy of the state; returns `false` if Redis fails.
    async fn write(&mut self, life: &mut Checkpoint) -> bool {
        if !self.gate.may_write() {
            // another owner may have its own state there
            return true;
        }
        let written = self.try_write(life).await;
        self.observations.gaps.show(self.observations.gaps.open(), self.waiting.len());
        let is_second = std::mem::replace(&mut self.progress.has_failed, written.is_err());
        match &written {
            Ok(()) => self.observations.gaps.set_fault(None),
            // a connection that was closed while idle is replaced by the next attempt
            Err(error) if is_second => self.observations.gaps.set_fault(Some(error.to_string())),
            Err(_) => {}
        }
        // the writers log that Redis is unavailable
        if let Err(PostError::Refused(text)) = &written
            && self.progress.refused.is_due(Instant::now())
        {
            warn!(self.log, "gaps wait for redis"; "error" => text);
        }
        written.is_ok()
    }

    async fn try_write(&mut self, life: &mut Checkpoint) -> Result<(), PostError> {
        // behind a proxy another server may answer on the same connection
        let server = Some(self.publisher.connect().await?);
        if self.progress.restored_over != server {
            self.restore().await?;
            self.progress.restored_over = server;
        }
        if !self.progress.has_met {
            self.meet().await?;
            self.progress.has_met = true;
            self.tracker.set_knows_late(true);
            life.left.clone_from(&self.left);
        }
        if self.waiting.needs_ids(AT_ONCE) {
            let last = self.publisher.last_id().await?;
            self.waiting.number(last, AT_ONCE);
            // an ID is saved before it is used: here, or in the copy below
            if !self.disk_hangs() {
                self.keep(life, DISK_PATIENCE).await;
            }
        }
        let json = match self.json(life) {
            Ok(json) => json,
            Err(error) => {
                // without a copy no ID is saved, and nothing may be sent
                self.note_unspooled(&error.into());
                return Ok(());
            }
        };
        self.publisher.keep(&json).await?;
        self.tracker.kept(self.progress.announced);
        for _ in 0..AT_ONCE {
            let Some((first, id)) = self.waiting.first().and_then(|first| Some((first, first.id?))) else {
                break;
            };
            let gap = first.to_write();
            match self.publisher.send(&gap, id).await? {
                Published::Stored => {
                    self.waiting.pop();
                    self.written.push(id, gap, unix_micros());
                }
                Published::Passed => {
                    // they get IDs above the foreign one at the next tick; none of them was sent
                    self.waiting.forget_ids();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the copy of the state that could not be read when the term began, and continues it if another instance has
    /// been the owner.
    async fn meet(&mut self) -> Result<(), PostError> {
        let copy = match self.publisher.copy().await {
            Ok(copy) => copy.filter(|life| !self.ours.is_of(life)),
            Err(CheckpointError::Redis(text)) => return Err(PostError::Away(text)),
            Err(error) => {
                error!(self.log, "state of the ledger not readable"; ErrorChain::new(&error));
                None
            }
        };
        let Some(mut other) = copy else { return Ok(()) };
        let now = unix_micros();
        future_times::note(&self.observations, &self.log, ("ws:ledger", other.hold_back(now)), || true);
        self.tracker.set_late(self.ours.late(true, now));
        if let Some(queue) = other.left_queue() {
            self.left.insert(other.instance.clone(), queue);
        }
        other.is_of_another();
        if self.ours.has_state() {
            // what it missed since lies in the gap that began with our own last sign of life
            other.leave_topics();
        }
        let LedgerBeginning { over, waiting, followed, left, .. } = other.succeed(&[], now);
        for gap in over {
            self.tracker.record(gap);
        }
        self.waiting.append(waiting);
        self.followed.extend(followed);
        self.left.extend(left);
        Ok(())
    }

    /// Restores confirmed entries that Redis has lost, under their own IDs and in order, so that repeated attempts
    /// write each entry only once.
    async fn restore(&mut self) -> Result<(), PostError> {
        let last = self.publisher.last_id().await?;
        let future = self.waiting.forget_future_ids(last, unix_micros());
        future_times::note(&self.observations, &self.log, ("ids of the ledger", future), || true);
        let missing = self.written.above(last);
        for entry in &missing {
            if self.publisher.send(&entry.gap, entry.id).await? == Published::Passed {
                // another program has just written a higher ID: the rest cannot be written under their own IDs
                break;
            }
        }
        if !missing.is_empty() {
            warn!(self.log, "redis had lost gaps"; "written_again" => missing.len(), "older_lost" => self.written.has_lost_older(last));
        }
        Ok(())
    }
}
