//! One round over the keys.

use std::sync::Arc;

use slog::Logger;
use tokio::time::{Instant, sleep};
use uw_websocket_core::settings::Retention;

use super::keys::{AgingKey, pattern};
use super::pace::Pace;
use crate::observation::Observations;
use crate::writer::store::Store;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::link::Address;
use crate::writer::store::resp::{Bound, Commands, Reply};

/// What a janitor is made of.
pub struct JanitorParts {
    /// Where Redis is; a round has one connection.
    pub address: Address,
    /// `KEY_PREFIX`.
    pub prefix: String,
    /// `STREAM_RETENTION`.
    pub retention: Retention,
    /// Whether this instance may write to Redis at this moment; asked before every step that may remove something.
    pub may_write: Box<dyn Fn() -> bool>,
    /// Where it counts what went.
    pub observations: Arc<Observations>,
    /// Its log.
    pub log: Logger,
}

/// What a round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Streams that were trimmed.
    pub streams: u64,
    /// Entries that were trimmed.
    pub entries: u64,
    /// Keys that were removed whole.
    pub keys: u64,
}

/// What a `SCAN` looks at: some 100 µs of Redis' time.
const SCAN_COUNT: usize = 500;
/// Longest name that is read; ours are shorter, and others may give keys names of any length.
const MAX_NAME: usize = 512;
/// What a page takes on the wire: a few more keys than were looked at where a table grows.
const PAGE: Bound = Bound { bytes: 16 * SCAN_COUNT * MAX_NAME, items: 16 * SCAN_COUNT };

/// A page of `SCAN` without the names that are longer than `ARGV[4]`.
const SCAN: &str = "\
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local short = {}
for _, name in ipairs(page[2]) do if #name <= tonumber(ARGV[4]) then short[#short + 1] = name end end
return {page[1], short}";

/// Keys that are looked at in one go: some 20 µs each, so a millisecond in all.
const LOOKS: usize = 50;

/// What a look found: neither of the two, where there is nothing to do.
const REMOVED: u64 = 1;
const AGED: u64 = 2;

/// Removes a stream whose last entry is from before the limit; else says whether its first one is.
const LOOK_AT_STREAM: &str = "\
if redis.call('TYPE', KEYS[1]).ok ~= 'stream' then return 0 end
local info, flat = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #flat, 2 do info[flat[at]] = flat[at + 1] end
local function is_old(id) return tonumber(string.match(id, '^%d+')) < tonumber(ARGV[1]) end
if is_old(info['last-generated-id']) then return redis.call('UNLINK', KEYS[1]) end
return info['first-entry'] and is_old(info['first-entry'][1]) and 2 or 0";

/// Removes a hash whose newest event, by the second key, is from before the limit or gone.
const LOOK_AT_SNAPSHOT: &str = "\
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return 0 end
local latest = redis.call('TYPE', KEYS[2]).ok
if latest ~= 'none' then
  local id = latest == 'hash' and redis.call('HGET', KEYS[2], 'stream_id') or ''
  local ms = tonumber(string.match(id, '^%d+') or '')
  if not ms or ms >= tonumber(ARGV[1]) then return 0 end
end
return redis.call('UNLINK', KEYS[1])";

/// A round under way.
pub(super) struct Sweep<'s> {
    pub(super) store: &'s mut Store,
    pub(super) parts: &'s JanitorParts,
    pub(super) pace: &'s mut Pace,
    /// Everything since this moment stays, in Unix milliseconds.
    pub(super) cutoff_ms: u64,
    /// What went so far.
    pub(super) swept: &'s mut Swept,
}

impl Sweep<'_> {
    /// Goes over all keys; stops early, in good order, when this instance may no longer write.
    pub(super) async fn run(mut self) -> Result<(), StoreFault> {
        let pattern = pattern(&self.parts.prefix);
        let mut cursor = 0;
        loop {
            let asked = Instant::now();
            let (next, keys) = self.page(cursor, &pattern).await?;
            leave_to_others(asked).await;
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

    /// The next keys that grow old, and where to go on.
    async fn page(&mut self, cursor: u64, pattern: &str) -> Result<(u64, Vec<AgingKey>), StoreFault> {
        let (cursor, count, most) = (cursor.to_string(), SCAN_COUNT.to_string(), MAX_NAME.to_string());
        let (cursor, count, most) = (cursor.as_bytes(), count.as_bytes(), most.as_bytes());
        let mut scan = Commands::default();
        scan.command(&[b"EVAL", SCAN.as_bytes(), b"0", cursor, pattern.as_bytes(), count, most]).expect(PAGE);
        let (mut page, prefix) = (None, &self.parts.prefix);
        self.store
            .ask(&scan, |reply| {
                page = Some(page_of(&reply, prefix)?);
                Ok(())
            })
            .await?;
        Ok(page.unwrap_or_default())
    }

    /// Asks for numbers.
    async fn numbers(&mut self, questions: &Commands) -> Result<Vec<u64>, StoreFault> {
        let mut numbers = Vec::with_capacity(questions.count());
        self.store
            .ask(questions, |reply| match reply {
                Reply::Integer(number) => {
                    numbers.push(u64::try_from(number).unwrap_or_default());
                    Ok(())
                }
                reply => Err(StoreFault::answered(&reply)),
            })
            .await?;
        Ok(numbers)
    }

    /// Removes keys that are old as a whole, and trims those that are old in part.
    async fn look_at(&mut self, keys: &[AgingKey]) -> Result<(), StoreFault> {
        let cutoff = self.cutoff_ms.to_string();
        let mut looks = Commands::default();
        for key in keys {
            match key {
                AgingKey::Stream(key) => {
                    let script = LOOK_AT_STREAM.as_bytes();
                    looks.command(&[b"EVAL", script, b"1", key.as_bytes(), cutoff.as_bytes()])
                }
                AgingKey::Snapshot { key, latest } => {
                    let (script, key, latest) =
                        (LOOK_AT_SNAPSHOT.as_bytes(), key.as_bytes(), latest.as_bytes());
                    looks.command(&[b"EVAL", script, b"2", key, latest, cutoff.as_bytes()])
                }
            };
        }
        let asked = Instant::now();
        let found = self.numbers(&looks).await?;
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

    /// Trims a stream step by step, until nothing more goes.
    async fn trim(&mut self, key: &str) -> Result<(), StoreFault> {
        let cutoff = self.cutoff_ms.to_string();
        let mut trimmed = 0;
        let mut is_stuck = false;
        while (self.parts.may_write)() {
            let (mut trim, limit) = (Commands::default(), self.pace.limit(is_stuck).to_string());
            let (key, cutoff) = (key.as_bytes(), cutoff.as_bytes());
            trim.command(&[b"XTRIM", key, b"MINID", b"~", cutoff, b"LIMIT", limit.as_bytes()]);
            let asked = Instant::now();
            let step = self.numbers(&trim).await?.into_iter().sum();
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

/// A page of `SCAN`: where to go on, and of the keys those that grow old.
fn page_of(reply: &Reply<'_>, prefix: &str) -> Result<(u64, Vec<AgingKey>), StoreFault> {
    let Reply::Array(Some(parts)) = reply else { return Err(StoreFault::answered(reply)) };
    let [Reply::Bulk(Some(next)), Reply::Array(Some(keys))] = &parts[..] else {
        return Err(StoreFault::answered(reply));
    };
    let next = std::str::from_utf8(next).ok().and_then(|next| next.parse().ok());
    let keys = keys.iter().filter_map(|key| match key {
        Reply::Bulk(Some(key)) => AgingKey::read(prefix, key),
        _ => None,
    });
    Ok((next.ok_or_else(|| StoreFault::answered(reply))?, keys.collect()))
}

/// Waits after a call that was made at `asked`.
async fn leave_to_others(asked: Instant) {
    sleep(Pace::pause(asked.elapsed())).await;
}
