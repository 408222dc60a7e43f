//! The gap ledger: every interval in which a channel was not received, and every event that was read and lost, is
//! written exactly once to the stream `<p>:ws:gaps`, including across crashes of the process and outages of Redis.
//!
//! [`gap`] has the vocabulary. Connections report the course of their sessions to the [`tracker`], from which
//! [`coverage`] derives gaps; other actors note lost events, and [`losses`] merges consecutive ones into a gap. Once
//! per second the [`recorder`] ticks: closed gaps join the [`queue`], the full state ([`checkpoint`]), including open
//! gaps, is saved in the [`checkpoint_store`], and then the [`publisher`] writes the queue to Redis.
//!
//! Exactly once: a gap leaves the tracker and enters the queue in the same replacement of the state; its ID is in the
//! state before it is sent; it leaves the queue only after Redis has confirmed it. The latest confirmed entries stay in
//! the state on disk ([`written`]): on every new connection, those that Redis has lost are written again.

pub mod checkpoint;
pub mod checkpoint_store;
pub mod coverage;
pub mod gap;
pub mod left_queue;
pub mod losses;
pub mod observed;
pub mod publisher;
pub mod queue;
pub mod recorder;
pub mod tracker;
pub mod written;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uw_websocket_core::time::iso_utc;

use actix::prelude::*;
use checkpoint::Checkpoint;
use checkpoint::succession::{LedgerBeginning, Ours};
use checkpoint_store::{CheckpointError, CheckpointStore};
use coverage::Covered;
use left_queue::LeftQueues;
use publisher::GapPublisher;
use recorder::{GapRecorder, RecorderProgress};
use slog::{Logger, error, info, warn};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracker::GapTracker;
use uw_websocket_core::plan::ConnectionPlan;

use crate::error_chain::ErrorChain;
use crate::future_times;
use crate::lease::gate::LeaseGate;
use crate::observation::{Distrust, Observations};
use crate::queue::progress::StorageProgress;
use crate::queue::shard::Shard;
use crate::wall_clock::unix_micros;
use crate::writer::store::address::Address;

/// Time by which an instance has stopped to be the owner after it last held the lease, in microseconds: a later event
/// is of its successor.
const OVERLAP: u64 = 4_000_000;
/// Interval between two ticks, and so between two signs of life.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// The locations of the ledger's state.
#[derive(Debug)]
pub struct Places {
    /// The folder of `state.json`; `None` with `SPOOL_MODE=off`.
    pub folder: Option<std::path::PathBuf>,
    /// Redis.
    pub address: Address,
    /// `KEY_PREFIX`.
    pub prefix: String,
    /// Folders with the states of instances that have ended, whose disk queues become ours.
    pub peers: Vec<std::path::PathBuf>,
}

/// Opens the ledger at startup: reads the state left by the previous process and derives the state of the connections'
/// topics. Unreadable state is logged and never aborts startup. Redis is read and written only as `gate` permits.
/// `shards` have what is received and not stored.
pub async fn open(
    places: Places,
    (plans, shards): (&[ConnectionPlan], &[Shard]),
    gate: LeaseGate,
    observations: &Arc<Observations>,
    log: Logger,
) -> GapRecorder {
    let peers: Vec<Checkpoint> = places
        .peers
        .iter()
        .filter_map(|peer| known(CheckpointStore::new(peer.clone()).read(), None, observations, &log))
        .collect();
    let checkpoints = places.folder.map(CheckpointStore::new);
    let on_disk = checkpoints
        .as_ref()
        .and_then(|checkpoints| known(checkpoints.read(), Some(checkpoints), observations, &log));
    let has_redis = gate.may_write();
    let mut progress = RecorderProgress::default();
    let mut in_redis = None;
    if has_redis {
        let copy = checkpoint_store::read_copy(&places.address, &places.prefix).await;
        progress.has_met = !matches!(copy, Err(CheckpointError::Redis(_)));
        in_redis = known(copy, None, observations, &log);
    }
    let future = in_redis.as_mut().map_or(0, |life| life.hold_back(unix_micros()));
    future_times::note(observations, &log, ("ws:ledger", future), || true);
    let topics: Vec<Vec<String>> =
        plans.iter().map(|plan| plan.topics.iter().map(ToString::to_string).collect()).collect();
    let now = unix_micros();
    let own = Ours::new(&observations.instance, on_disk.as_ref());
    let was_succeeded = in_redis.as_ref().is_some_and(|life| !own.is_of(life));
    let ours = own.clone().with(&peers);
    let left = in_redis.as_mut().filter(|life| !ours.is_of(life)).map(|life| {
        life.is_of_another();
        (life.instance.clone(), life.left_queue())
    });
    // what a peer received is not late: it was the owner until now
    let late = own.late(was_succeeded, if left.is_some() { now } else { own.held_at() + OVERLAP });
    let on_disk = peers.into_iter().fold(on_disk, |disk, peer| Checkpoint::newest(disk, Some(peer)));
    let LedgerBeginning { begun_at, topics, over, waiting, followed, written, left: mut queues, stored_to } =
        if let Some(life) = Checkpoint::newest(on_disk, in_redis) {
            info!(log, "ledger continued";
                "instance" => &life.instance, "alive_at" => iso_utc(life.alive_at), "clean" => life.clean,
                "waiting" => life.waiting.len());
            life.succeed(&topics, now)
        } else {
            info!(log, "ledger begun"; "redis" => has_redis);
            LedgerBeginning::first(&topics, now)
        };
    // the queue of another instance is not in ours
    let stored_to = if left.is_some() { now } else { stored_to.unwrap_or(now) };
    if let Some((instance, Some(queue))) = left {
        warn!(log, "disk queue left by another instance"; "instance" => &instance, "events" => queue.events,
            "from" => iso_utc(queue.from_us));
        queues.insert(instance, queue);
    }
    let tracker = GapTracker::new(topics, Arc::clone(observations)).begun_at(begun_at);
    tracker.set_late(late);
    tracker.set_knows_late(progress.has_met);
    for gap in over {
        tracker.record(gap);
    }
    let (observations, publisher) =
        (Arc::clone(observations), GapPublisher::new(places.address, &places.prefix));
    GapRecorder {
        tracker,
        checkpoints,
        publisher,
        gate,
        waiting,
        followed,
        written,
        ours,
        left: queues,
        stored: StorageProgress::new(shards.to_vec(), stored_to),
        observations,
        log,
        progress,
    }
}

/// Reads the open gaps from the state that the service keeps or has left, without modifying it. Unreadable state on
/// disk is an error only if Redis has none: the caller need not have the service's permissions.
pub async fn look(places: Places, now: u64) -> Result<Vec<Covered>, CheckpointError> {
    let on_disk = places.folder.map_or(Ok(None), |folder| CheckpointStore::new(folder).read());
    let mut in_redis = checkpoint_store::read_copy(&places.address, &places.prefix).await?;
    in_redis.as_mut().map(|life| life.hold_back(now));
    let on_disk = on_disk.or_else(|error| if in_redis.is_some() { Ok(None) } else { Err(error) })?;
    Ok(Checkpoint::newest(on_disk, in_redis).map_or_else(Vec::new, |life| life.missing(now)))
}

/// Returns the last owner on our disk, and the time at which it last held the lease, in Unix microseconds; `None` if
/// there was none.
#[must_use]
pub fn last_owner(folder: &Path) -> Option<(String, u64)> {
    let life = CheckpointStore::new(folder.to_owned()).read().ok().flatten()?;
    let held_at = Ours::new("", Some(&life)).held_at();
    Some((life.instance, held_at))
}

/// Reads which disk queues of former owners wait for their instances, as the owner has published it, without our own;
/// `owner` holds the lease. A former owner without a successor is among them.
pub async fn left_queues(places: Places, owner: Option<&str>) -> Result<LeftQueues, CheckpointError> {
    let on_disk = places.folder.and_then(|folder| CheckpointStore::new(folder).read().ok().flatten());
    let copy = checkpoint_store::read_copy(&places.address, &places.prefix).await?;
    let Some(mut life) = copy else { return Ok(LeftQueues::default()) };
    life.hold_back(unix_micros());
    let mut left = std::mem::take(&mut life.left);
    if let Some(queue) = life.left_queue().filter(|queue| queue.events > 0)
        && owner != Some(life.instance.as_str())
    {
        left.insert(life.instance.clone(), queue);
    }
    if let Some(ours) = on_disk {
        left.remove(&ours.instance);
    }
    Ok(left)
}

fn known(
    read: Result<Option<Checkpoint>, CheckpointError>,
    checkpoints: Option<&CheckpointStore>,
    observations: &Observations,
    log: &Logger,
) -> Option<Checkpoint> {
    read.unwrap_or_else(|error| {
        if matches!(error, CheckpointError::TooLarge { .. }) {
            observations.distrusted(Distrust::TooLarge).add(1);
        }
        error!(log, "state of the ledger not readable"; ErrorChain::new(&error));
        if let (CheckpointError::Unusable { .. }, Some(checkpoints)) = (&error, checkpoints) {
            // if that fails too, the next write replaces the document
            checkpoints.set_aside().ok();
        }
        None
    })
}

/// The actor.
pub struct Ledger {
    recorder: Arc<Mutex<GapRecorder>>,
    ticks: SpawnHandle,
}

impl Ledger {
    /// Creates the actor that drives this recorder.
    #[must_use]
    pub fn new(recorder: GapRecorder) -> Ledger {
        Ledger { recorder: Arc::new(Mutex::new(recorder)), ticks: SpawnHandle::default() }
    }
}

/// Ticks once per interval, and when late events are announced.
async fn tick_forever(recorder: Arc<Mutex<GapRecorder>>) {
    let tracker = recorder.lock().await.tracker.clone();
    let mut due = interval(TICK_EVERY);
    // after a tick that hung
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = tracker.announced() => {}
        }
        recorder.lock().await.tick(unix_micros()).await;
    }
}

impl Actor for Ledger {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.ticks = context.spawn(tick_forever(Arc::clone(&self.recorder)).into_actor(self));
    }
}

/// Closes the ledger: records a clean shutdown in the state, and writes the queue if Redis accepts it in time. To be
/// sent once nothing is received any more.
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// Maximum wait for the disk, and for Redis.
    pub patience: Duration,
}

impl Message for Close {
    type Result = ();
}

impl Handler<Close> for Ledger {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, close: Close, context: &mut Context<Self>) -> ResponseFuture<()> {
        // closing would wait for a tick that hangs; dropping it loses nothing
        context.cancel_future(self.ticks);
        let recorder = Arc::clone(&self.recorder);
        Box::pin(async move { recorder.lock().await.close(unix_micros(), close.patience).await })
    }
}
