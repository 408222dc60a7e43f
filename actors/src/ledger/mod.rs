//! The gap ledger: every interval in which a channel was not received, and every event that was read and is lost, is
//! written to the stream `<p>:ws:gaps`, once, also over the death of the process and an absent Redis.
//!
//! [`gap`] is the vocabulary. Connections tell the [`tracker`] how their sessions go, and [`coverage`] makes gaps of that;
//! others note lost events, and [`losses`] makes one gap of those that follow each other. Once a second the [`recorder`]
//! turns the page: what has ended joins the [`queue`], the state of everything ([`checkpoint`]), also of what has not, is kept
//! on the [`checkpoint_store`], and then the [`publisher`] takes what waits to Redis.
//!
//! Exactly once: a gap leaves the book and enters the queue in one and the same replacement of the state; its id is in
//! the state before it is sent; it leaves the queue only after Redis has it. The newest of those that have left it stay in
//! the state on disk ([`written`]): over each new connection Redis gets again what it has forgotten of them.

pub mod checkpoint;
pub mod checkpoint_store;
pub mod coverage;
pub mod gap;
pub mod losses;
pub mod observed;
pub mod publisher;
pub mod queue;
pub mod recorder;
pub mod tracker;
pub mod written;

use std::sync::Arc;
use std::time::Duration;
use uw_websocket_core::time::iso_utc;

use actix::prelude::*;
use checkpoint::{Beginning, Checkpoint};
use checkpoint_store::{CheckpointError, CheckpointStore};
use coverage::Covered;
use publisher::GapPublisher;
use recorder::{GapRecorder, Progress};
use slog::{Logger, error, info, warn};
use tokio::sync::Mutex;
use tracker::GapTracker;
use uw_websocket_core::plan::ConnectionPlan;

use crate::error_chain::ErrorChain;
use crate::lease::gate::LeaseGate;
use crate::observation::{Distrust, Observations, unix_micros};
use crate::writer::store::link::Address;

/// Between two turns, and so between two signs of life.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// Where the ledger keeps its state.
#[derive(Debug)]
pub struct Places {
    /// The folder of `state.json`; none with `SPOOL_MODE=off`.
    pub folder: Option<std::path::PathBuf>,
    /// Redis.
    pub address: Address,
    /// `KEY_PREFIX`.
    pub prefix: String,
}

/// Opens the ledger at the start: reads what the process before has left behind, and says how the topics of the
/// connections are. What cannot be known is logged and never ends the start. Redis is asked, and written to, as `gate` says.
pub async fn open(
    places: Places,
    plans: &[ConnectionPlan],
    gate: LeaseGate,
    observations: &Arc<Observations>,
    log: Logger,
) -> GapRecorder {
    let shelf = places.folder.map(CheckpointStore::new);
    let on_disk = shelf.as_ref().and_then(|shelf| known(shelf.read(), Some(shelf), observations, &log));
    let has_redis = gate.may_write();
    let mut in_redis = if has_redis {
        known(checkpoint_store::read_copy(&places.address, &places.prefix).await, None, observations, &log)
    } else {
        None
    };
    if let Some(future) =
        in_redis.as_mut().map(|life| life.hold_back(unix_micros())).filter(|times| *times > 0)
    {
        observations.distrusted(Distrust::Future).add(future);
        warn!(log, "time of the future"; "place" => "ws:ledger", "times" => future);
    }
    let topics: Vec<Vec<String>> =
        plans.iter().map(|plan| plan.topics.iter().map(ToString::to_string).collect()).collect();
    let Beginning { topics, over, waiting, followed, written } =
        if let Some(life) = Checkpoint::newest(on_disk, in_redis) {
            info!(log, "ledger continued";
                "instance" => &life.instance, "alive_at" => iso_utc(life.alive_at), "clean" => life.clean,
                "waiting" => life.waiting.len());
            life.succeed(&topics, unix_micros())
        } else {
            info!(log, "ledger begun"; "redis" => has_redis);
            Beginning::first(&topics)
        };
    let book = GapTracker::new(topics, Arc::clone(observations));
    for gap in over {
        book.record(gap);
    }
    let (observations, post) = (Arc::clone(observations), GapPublisher::new(places.address, &places.prefix));
    let progress = Progress::default();
    GapRecorder { book, shelf, post, gate, waiting, followed, written, observations, log, progress }
}

/// Reads what is missing now according to what the service has left or keeps: for a person, without touching it. A state
/// on disk that cannot be read matters only where there is none in Redis: who looks need not have the service's rights.
pub async fn look(places: Places, now: u64) -> Result<Vec<Covered>, CheckpointError> {
    let on_disk = places.folder.map_or(Ok(None), |folder| CheckpointStore::new(folder).read());
    let mut in_redis = checkpoint_store::read_copy(&places.address, &places.prefix).await?;
    in_redis.as_mut().map(|life| life.hold_back(now));
    let on_disk = on_disk.or_else(|error| if in_redis.is_some() { Ok(None) } else { Err(error) })?;
    Ok(Checkpoint::newest(on_disk, in_redis).map_or_else(Vec::new, |life| life.missing(now)))
}

fn known(
    read: Result<Option<Checkpoint>, CheckpointError>,
    shelf: Option<&CheckpointStore>,
    observations: &Observations,
    log: &Logger,
) -> Option<Checkpoint> {
    read.unwrap_or_else(|error| {
        if matches!(error, CheckpointError::TooLarge { .. }) {
            observations.distrusted(Distrust::TooLarge).add(1);
        }
        error!(log, "state of the ledger not readable"; ErrorChain::new(&error));
        if let (CheckpointError::Unusable { .. }, Some(shelf)) = (&error, shelf) {
            // if that fails too, the next write replaces it
            shelf.set_aside().ok();
        }
        None
    })
}

/// The actor.
pub struct Ledger {
    clerk: Arc<Mutex<GapRecorder>>,
    turn: SpawnHandle,
}

impl Ledger {
    /// The actor that lets this clerk work.
    #[must_use]
    pub fn new(clerk: GapRecorder) -> Ledger {
        Ledger { clerk: Arc::new(Mutex::new(clerk)), turn: SpawnHandle::default() }
    }

    fn turn(&mut self, context: &mut Context<Ledger>) {
        // the turn before is not over: Redis hangs, or the disk
        let Ok(mut clerk) = Arc::clone(&self.clerk).try_lock_owned() else { return };
        let turn = async move { clerk.turn(unix_micros()).await };
        self.turn = context.spawn(turn.into_actor(self));
    }
}

impl Actor for Ledger {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.turn(context);
        context.run_interval(TICK_EVERY, Ledger::turn);
    }
}

/// Closes the ledger: the state says that the process has ended in order, and what waits is written if Redis takes it in
/// time. To be sent when nothing is received any more.
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// Longest wait for the disk, and for Redis.
    pub patience: Duration,
}

impl Message for Close {
    type Result = ();
}

impl Handler<Close> for Ledger {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, close: Close, context: &mut Context<Self>) -> ResponseFuture<()> {
        // a turn that hangs would be waited for; to drop it loses nothing
        context.cancel_future(self.turn);
        let clerk = Arc::clone(&self.clerk);
        Box::pin(async move { clerk.lock().await.close(unix_micros(), close.patience).await })
    }
}
