//! One round over all keys.

use std::sync::Arc;

use deadpool_redis::Pool;
use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{self, RedisResult};
use slog::Logger;
use tokio::time::{Instant, sleep};
use uw_websocket_core::settings::Retention;

use super::keys::{AgingKey, pattern};
use super::pace::Pace;
use crate::observation::Observations;

/// Parts of a janitor.
pub struct JanitorParts {
    /// Connections to Redis; a round holds one.
    pub pool: Pool,
    /// `KEY_PREFIX`.
    pub prefix: String,
    /// `STREAM_RETENTION`.
    pub retention: Retention,
    /// Whether this instance may write to Redis now; checked before every step that may remove something.
    pub may_write: Box<dyn Fn() -> bool>,
    /// Counts removals.
    pub observations: Arc<Observations>,
    /// Logger of the janitor.
    pub log: Logger,
}

/// The removals of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Streams trimmed.
    pub streams: u64,
    /// Entries trimmed.
    pub entries: u64,
    /// Keys deleted.
    pub keys: u64,
}

/// `COUNT` of a `SCAN`: some 100 µs of Redis' time.
const SCAN_COUNT: usize = 500;

/// Keys checked per pipeline: some 20 µs each, one millisecond in all.
const LOOKS: usize = 50;

/// Results of a check; any other value means that nothing is to be done.
const REMOVED: u64 = 1;
const AGED: u64 = 2;

/// Deletes a stream whose last entry is older than the cutoff; otherwise returns whether its first one is.
const LOOK_AT_STREAM: &str = "\
if redis.call('TYPE', KEYS[1]).ok ~= 'stream' then return 0 end
local info, flat = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #flat, 2 do info[flat[at]] = flat[at + 1] end
local function is_old(id) return tonumber(string.match(id, '^%d+')) < tonumber(ARGV[1]) end
if is_old(info['last-generated-id']) then return redis.call('UNLINK', KEYS[1]) end
return info['first-entry'] and is_old(info['first-entry'][1]) and 2 or 0";

/// Deletes a hash if its newest event, in the second key, is older than the cutoff or gone.
const LOOK_AT_SNAPSHOT: &str = "\
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return 0 end
local latest = redis.call('TYPE', KEYS[2]).ok
if latest ~= 'none' then
  local id = latest == 'hash' and redis.call('HGET', KEYS[2], 'stream_id') or ''
  local ms = tonumber(string.match(id, '^%d+') or '')
  if not ms or ms >= tonumber(ARGV[1]) then return 0 end
end
return redis.call('UNLINK', KEYS[1])";

/// A round in progress.
pub(super) struct Sweep<'s, C> {
    pub(super) connection: &'s mut C,
    pub(super) parts: &'s JanitorParts,
    pub(super) pace: &'s mut Pace,
    /// The cutoff in Unix milliseconds; everything since stays.
    pub(super) cutoff_ms: u64,
    /// Removals so far.
    pub(super) swept: &'s mut Swept,
}

impl<C: ConnectionLike> Sweep<'_, C> {
    /// Walks over all keys; stops early, cleanly, when this instance may no longer write.
    pub(super) async fn run(mut self) -> RedisResult<()> {
        let pattern = pattern(&self.parts.prefix);
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT);
            let asked = Instant::now();
            let (next, page): (u64, Vec<Vec<u8>>) = scan.query_async(self.connection).await?;
            leave_to_others(asked).await;
            let keys: Vec<_> =
                page.iter().filter_map(|key| AgingKey::read(&self.parts.prefix, key)).collect();
            for keys in keys.chunks(LOOKS) {
                if !(self.parts.may_write)() {
                    return Ok(());
                }
                self.look_at(keys).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Deletes keys that are entirely too old, and trims those that are partly so.
    async fn look_at(&mut self, keys: &[AgingKey]) -> RedisResult<()> {
        let mut looks = redis::pipe();
        for key in keys {
            match key {
                AgingKey::Stream(key) => looks.cmd("EVAL").arg(LOOK_AT_STREAM).arg(1).arg(key),
                AgingKey::Snapshot { key, latest } => {
                    looks.cmd("EVAL").arg(LOOK_AT_SNAPSHOT).arg(2).arg(key).arg(latest)
                }
            };
            looks.arg(self.cutoff_ms);
        }
        let asked = Instant::now();
        let found: Vec<u64> = looks.query_async(self.connection).await?;
        leave_to_others(asked).await;
        let removed = found.iter().filter(|found| **found == REMOVED).count() as u64;
        self.swept.keys += removed;
        self.parts.observations.janitor.removed_keys.add(removed);
        for (key, found) in keys.iter().zip(found) {
            if let (AgingKey::Stream(key), AGED) = (key, found) {
                self.trim(key).await?;
            }
        }
        Ok(())
    }

    /// Trims a stream stepwise until nothing more is removed.
    async fn trim(&mut self, key: &str) -> RedisResult<()> {
        let mut trimmed = 0;
        let mut is_stuck = false;
        while (self.parts.may_write)() {
            let mut trim = redis::cmd("XTRIM");
            trim.arg(key).arg("MINID").arg("~").arg(self.cutoff_ms);
            trim.arg("LIMIT").arg(self.pace.limit(is_stuck));
            let asked = Instant::now();
            let step: u64 = trim.query_async(self.connection).await?;
            self.pace.took(asked.elapsed(), step);
            leave_to_others(asked).await;
            trimmed += step;
            self.swept.entries += step;
            self.parts.observations.janitor.trimmed_entries.add(step);
            match step {
                0 if is_stuck => break,
                0 => is_stuck = true,
                _ => is_stuck = false,
            }
        }
        self.swept.streams += u64::from(trimmed > 0);
        Ok(())
    }
}

/// Pauses after a call made at `asked`.
async fn leave_to_others(asked: Instant) {
    sleep(Pace::pause(asked.elapsed())).await;
}
