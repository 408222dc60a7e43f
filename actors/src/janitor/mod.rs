//! The janitor: removes what is older than `STREAM_RETENTION`, in the background.
//!
//! Once a minute it walks over all keys of the service, whoever wrote them and when:
//!
//! * entries of event streams from before the limit are trimmed, whole nodes of the stream at a time (`XTRIM … MINID ~`),
//!   so that up to a node of older ones stays;
//! * a stream whose last entry is from before the limit is removed, and with it its consumer groups;
//! * so is the hash of a newest event, and a strike map, whose newest event is from before the limit or gone.
//!
//! A key is looked at and removed in one script: an event that is written meanwhile is either seen by it or begins the
//! key anew. The gap ledger, the status and whatever is not named as our keys are is left alone.
//!
//! Redis is asked for little at a time and has nine times as long for others in between. Nothing waits for
//! the janitor; what a round could not do, because Redis was away or another instance took over, the next one does.

mod keys;
mod pace;
mod sweep;

use std::time::Duration;
use uw_websocket_core::time::millis;

use actix::prelude::*;
use slog::{info, warn};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use uw_websocket_core::calendar::retention_cutoff;
use uw_websocket_core::settings::Retention;

use self::pace::Pace;
use self::sweep::Sweep;
pub use self::sweep::{JanitorParts, Swept};
use crate::observation::unix_micros;
use crate::sampled::Sampled;
use crate::writer::store::Store;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// Between two rounds: entries live for hours, so a minute more is nothing, and a round over a few dozen keys costs
/// Redis less than a millisecond.
const ROUND_EVERY: Duration = Duration::from_secs(60);

/// Why a round ended early.
#[derive(Debug, Error)]
pub enum SweepError {
    /// Redis is away, refuses a command, or does not answer.
    #[error("redis did not do it: {0}")]
    Redis(#[from] StoreFault),
}

/// Makes rounds, one after another.
pub struct Sweeper {
    parts: JanitorParts,
    pace: Pace,
    failures: Sampled,
}

/// The actor.
pub struct Janitor(Option<Sweeper>);

// === impl Sweeper ===

impl Sweeper {
    /// A sweeper that has made no round yet.
    #[must_use]
    pub fn new(parts: JanitorParts) -> Sweeper {
        Sweeper { parts, pace: Pace::default(), failures: Sampled::default() }
    }

    /// Makes a round at a time, in Unix milliseconds, and tells of it; what went is counted also where the round failed.
    pub async fn round(&mut self, now_ms: u64) -> Result<Swept, SweepError> {
        let began = Instant::now();
        let mut swept = Swept::default();
        let ended = self.sweep(now_ms, &mut swept).await;
        if swept != Swept::default() {
            info!(self.parts.log, "old entries removed";
                "streams" => swept.streams, "entries" => swept.entries, "keys" => swept.keys,
                "elapsed_ms" => millis(began.elapsed()));
        }
        if let Err(error) = &ended
            && self.failures.is_due(Instant::now().into_std())
        {
            warn!(self.parts.log, "age limit not applied"; "error" => %error);
        }
        ended.map(|()| swept)
    }

    async fn sweep(&mut self, now_ms: u64, swept: &mut Swept) -> Result<(), SweepError> {
        if self.parts.retention == Retention::Off || !(self.parts.may_write)() {
            return Ok(());
        }
        let mut store = Store::new(self.parts.address.clone());
        // what is removed is gone: a clock that is ahead on one of the two machines shall not empty the streams
        let seconds = time_of(&mut store).await?;
        let now_ms = now_ms.min(seconds.saturating_mul(1000));
        let Some(cutoff_ms) = retention_cutoff(self.parts.retention, now_ms) else { return Ok(()) };
        let (parts, pace) = (&self.parts, &mut self.pace);
        Ok(Sweep { store: &mut store, parts, pace, cutoff_ms, swept }.run().await?)
    }
}

/// The clock of Redis, in Unix seconds.
async fn time_of(store: &mut Store) -> Result<u64, StoreFault> {
    let (mut question, mut seconds) = (Commands::default(), 0);
    question.command(&[b"TIME"]);
    store
        .ask(&question, |reply| {
            let stated = match &reply {
                Reply::Array(Some(parts)) => match parts.first() {
                    Some(Reply::Bulk(Some(text))) => std::str::from_utf8(text).ok(),
                    _ => None,
                },
                _ => None,
            };
            seconds =
                stated.and_then(|text| text.parse().ok()).ok_or_else(|| StoreFault::answered(&reply))?;
            Ok(())
        })
        .await?;
    Ok(seconds)
}

// === impl Janitor ===

impl Janitor {
    /// A janitor that begins with a round at its start.
    #[must_use]
    pub fn new(parts: JanitorParts) -> Janitor {
        Janitor(Some(Sweeper::new(parts)))
    }
}

impl Actor for Janitor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(mut sweeper) = self.0.take() else { return };
        let rounds = async move {
            loop {
                // a failed round has been told of, and the next one does its work
                sweeper.round(unix_micros() / 1000).await.ok();
                sleep(ROUND_EVERY).await;
            }
        };
        context.spawn(rounds.into_actor(self));
    }
}
