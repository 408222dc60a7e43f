//! The janitor: removes data older than `STREAM_RETENTION` in the background.
//!
//! Once per minute it walks over all keys of the service, regardless of who wrote them and when:
//!
//! * entries of event streams older than the cutoff are trimmed by whole stream nodes (`XTRIM … MINID ~`), so up to
//!   one node of older entries remains;
//! * a stream whose last entry is older is deleted, including its consumer groups; streams of fetched rows are dated by
//!   the time at which these were written;
//! * a newest-event hash or strike map is deleted if the newest event is older or gone.
//!
//! Check and removal of a key are one script, so a concurrent event is either seen by it or recreates the key; only those
//! of a strike map are two, since its newest event may be on another node of a cluster. The gap ledger, the status and keys with other names are left alone. Redis is given small tasks and nine times as
//! long for other clients in between. Nothing waits for the janitor; whatever a round misses, because Redis was
//! unavailable or another instance took over, the next round does.

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
pub use self::sweep::{JanitorParts, Removals};
use crate::log_throttle::LogThrottle;
use crate::wall_clock::unix_micros;
use crate::writer::store::Store;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// Interval between rounds: entries live for hours, so one minute more does not matter, and a round over a few
/// dozen keys costs Redis less than a millisecond.
const ROUND_EVERY: Duration = Duration::from_secs(60);

/// The reason why a round ended early.
#[derive(Debug, Error)]
pub enum SweepError {
    /// Redis is unreachable, returned an error or did not reply.
    #[error("redis did not execute it: {0}")]
    Redis(#[from] StoreFault),
}

/// Runs rounds one after another.
pub struct Sweeper {
    parts: JanitorParts,
    pace: Pace,
    failures: LogThrottle,
}

/// The actor of the janitor.
pub struct Janitor(Option<Sweeper>);

// === impl Sweeper ===

impl Sweeper {
    /// Creates a sweeper that has not run yet.
    #[must_use]
    pub fn new(parts: JanitorParts) -> Sweeper {
        Sweeper { parts, pace: Pace::default(), failures: LogThrottle::default() }
    }

    /// Runs a round at a time in Unix milliseconds and logs it; removals are counted even if the round fails.
    pub async fn round(&mut self, now_ms: u64) -> Result<Removals, SweepError> {
        let began = Instant::now();
        let mut swept = Removals::default();
        let ended = self.sweep(now_ms, &mut swept).await;
        if swept != Removals::default() {
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

    async fn sweep(&mut self, now_ms: u64, swept: &mut Removals) -> Result<(), SweepError> {
        if self.parts.retention == Retention::Off || !(self.parts.may_write)() {
            return Ok(());
        }
        let mut store = Store::new(self.parts.address.clone());
        // removal is final: if either machine's clock is ahead, the streams must not be emptied
        let seconds = time_of(&mut store).await?;
        let now_ms = now_ms.min(seconds.saturating_mul(1000));
        let Some(cutoff_ms) = retention_cutoff(self.parts.retention, now_ms) else { return Ok(()) };
        let (parts, pace) = (&self.parts, &mut self.pace);
        Ok(Sweep { store: &mut store, parts, pace, cutoff_ms, swept }.run().await?)
    }
}

/// Reads Redis' clock, in Unix seconds.
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
    /// Creates a janitor that runs its first round on start.
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
                // a failed round has been logged, and the next one does its work
                sweeper.round(unix_micros() / 1000).await.ok();
                sleep(ROUND_EVERY).await;
            }
        };
        context.spawn(rounds.into_actor(self));
    }
}
