//! The gap ledger: every interval in which a channel was not received, and every event that was read and is lost, is
//! written to the stream `<p>:ws:gaps`, once, also over the death of the process and an absent Redis.
//!
//! [`gap`] is the vocabulary. Connections tell the [`book`] how their sessions go, and [`coverage`] makes gaps of that;
//! others note lost events, and [`losses`] makes one gap of those that follow each other. Once a second the [`clerk`]
//! turns the page: what has ended joins the [`queue`], the state of everything ([`life`]), also of what has not, is kept
//! on the [`shelf`], and then the [`post`] takes what waits to Redis.
//!
//! Exactly once: a gap leaves the book and enters the queue in one and the same replacement of the state; its id is in
//! the state before it is sent; it leaves the queue only after Redis has it. The newest of those that have left it stay in
//! the state on disk ([`written`]): over each new connection Redis gets again what it has forgotten of them.

pub mod book;
pub mod clerk;
pub mod coverage;
pub mod gap;
pub mod life;
pub mod losses;
pub mod observed;
pub mod post;
pub mod queue;
pub mod shelf;
pub mod written;

use std::sync::Arc;
use std::time::Duration;
use uw_websocket_core::time::iso_utc;

use actix::prelude::*;
use book::GapBook;
use clerk::{Clerk, Progress};
use coverage::Covered;
use life::{Beginning, Life};
use post::Post;
use shelf::{Shelf, ShelfError};
use slog::{Logger, error, info, warn};
use tokio::sync::Mutex;
use uw_websocket_core::plan::ConnectionPlan;

use crate::error_chain::ErrorChain;
use crate::lease::gate::LeaseGate;
use crate::observation::{Distrust, Observations, unix_micros};
use crate::writer::store::link::Address;

/// Between two turns, and so between two signs of life.
const TURN_EVERY: Duration = Duration::from_secs(1);

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
) -> Clerk {
    let shelf = places.folder.map(Shelf::new);
    let on_disk = shelf.as_ref().and_then(|shelf| known(shelf.read(), Some(shelf), observations, &log));
    let has_redis = gate.may_write();
    let mut in_redis = if has_redis {
        known(shelf::read_copy(&places.address, &places.prefix).await, None, observations, &log)
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
        if let Some(life) = Life::newest(on_disk, in_redis) {
            info!(log, "ledger continued";
                "instance" => &life.instance, "alive_at" => iso_utc(life.alive_at), "clean" => life.clean,
                "waiting" => life.waiting.len());
            life.succeed(&topics, unix_micros())
        } else {
            info!(log, "ledger begun"; "redis" => has_redis);
            Beginning::first(&topics)
        };
    let book = GapBook::new(topics, Arc::clone(observations));
    for gap in over {
        book.record(gap);
    }
    let (observations, post) = (Arc::clone(observations), Post::new(places.address, &places.prefix));
    let progress = Progress::default();
    Clerk { book, shelf, post, gate, waiting, followed, written, observations, log, progress }
}

/// Reads what is missing now according to what the service has left or keeps: for a person, without touching it. A state
/// on disk that cannot be read matters only where there is none in Redis: who looks need not have the service's rights.
pub async fn look(places: Places, now: u64) -> Result<Vec<Covered>, ShelfError> {
    let on_disk = places.folder.map_or(Ok(None), |folder| Shelf::new(folder).read());
    let mut in_redis = shelf::read_copy(&places.address, &places.prefix).await?;
    in_redis.as_mut().map(|life| life.hold_back(now));
    let on_disk = on_disk.or_else(|error| if in_redis.is_some() { Ok(None) } else { Err(error) })?;
    Ok(Life::newest(on_disk, in_redis).map_or_else(Vec::new, |life| life.missing(now)))
}

fn known(
    read: Result<Option<Life>, ShelfError>,
    shelf: Option<&Shelf>,
    observations: &Observations,
    log: &Logger,
) -> Option<Life> {
    read.unwrap_or_else(|error| {
        if matches!(error, ShelfError::TooLarge { .. }) {
            observations.distrusted(Distrust::TooLarge).add(1);
        }
        error!(log, "state of the ledger not readable"; ErrorChain::new(&error));
        if let (ShelfError::Unusable { .. }, Some(shelf)) = (&error, shelf) {
            // if that fails too, the next write replaces it
            shelf.set_aside().ok();
        }
        None
    })
}

/// The actor.
pub struct Ledger {
    clerk: Arc<Mutex<Clerk>>,
    turn: SpawnHandle,
}

impl Ledger {
    /// The actor that lets this clerk work.
    #[must_use]
    pub fn new(clerk: Clerk) -> Ledger {
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
        context.run_interval(TURN_EVERY, Ledger::turn);
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
