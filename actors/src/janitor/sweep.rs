//! One round over all keys.

use std::sync::Arc;

use slog::Logger;
use tokio::time::{Instant, sleep};
use uw_websocket_core::settings::Retention;

use super::keys::{AgingKey, pattern};
use super::pace::Pace;
use crate::observation::Observations;
use crate::writer::store::Store;
use crate::writer::store::address::Address;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Bound, Commands, Reply};

/// Parts of a janitor.
pub struct JanitorParts {
    /// Address of Redis; a round uses one connection.
    pub address: Address,
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
pub struct Removals {
    /// Streams trimmed.
    pub streams: u64,
    /// Entries trimmed.
    pub entries: u64,
    /// Keys deleted.
    pub keys: u64,
}

/// `COUNT` of a `SCAN`: some 100 µs of Redis' time.
const SCAN_COUNT: usize = 500;
/// Maximum length of a key that is read; ours are shorter, and other clients' keys may have any length.
const MAX_NAME: usize = 512;
/// Maximum wire size of a page: a few more keys than requested while a table grows.
const PAGE: Bound = Bound { bytes: 16 * SCAN_COUNT * MAX_NAME, items: 16 * SCAN_COUNT };

/// A page of `SCAN` without keys longer than `ARGV[4]`.
const SCAN: &str = "\
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local short = {}
for _, name in ipairs(page[2]) do if #name <= tonumber(ARGV[4]) then short[#short + 1] = name end end
return {page[1], short}";

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

/// Returns whether a newest event is older than the cutoff or gone; deletes it then if `ARGV[2]` is 1.
const LOOK_AT_LATEST: &str = "\
local latest = redis.call('TYPE', KEYS[1]).ok
if latest == 'none' then return 2 end
local id = latest == 'hash' and redis.call('HGET', KEYS[1], 'stream_id') or ''
local ms = tonumber(string.match(id, '^%d+') or '')
if not ms or ms >= tonumber(ARGV[1]) then return 0 end
return ARGV[2] == '1' and redis.call('UNLINK', KEYS[1]) or 2";

/// Deletes a hash.
const REMOVE_HASH: &str =
    "return redis.call('TYPE', KEYS[1]).ok == 'hash' and redis.call('UNLINK', KEYS[1]) or 0";

/// A round in progress.
pub(super) struct Sweep<'s> {
    pub(super) store: &'s mut Store,
    pub(super) parts: &'s JanitorParts,
    pub(super) pace: &'s mut Pace,
    /// The cutoff in Unix milliseconds; everything since stays.
    pub(super) cutoff_ms: u64,
    /// Removals so far.
    pub(super) swept: &'s mut Removals,
}

impl Sweep<'_> {
    /// Walks over all keys, of one master of a cluster after the other; stops early, cleanly, when this instance may no
    /// longer write.
    pub(super) async fn run(mut self) -> Result<(), StoreFault> {
        for master in self.parts.address.masters().await? {
            self.walk(&mut Store::new(master)).await?;
        }
        Ok(())
    }

    async fn walk(&mut self, master: &mut Store) -> Result<(), StoreFault> {
        let pattern = pattern(&self.parts.prefix);
        let mut cursor = 0;
        loop {
            let asked = Instant::now();
            let (next, keys) = self.page(master, cursor, &pattern).await?;
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

    /// Reads the next keys subject to retention, and the cursor to continue from.
    async fn page(
        &mut self,
        master: &mut Store,
        cursor: u64,
        pattern: &str,
    ) -> Result<(u64, Vec<AgingKey>), StoreFault> {
        let (cursor, count, most) = (cursor.to_string(), SCAN_COUNT.to_string(), MAX_NAME.to_string());
        let (cursor, count, most) = (cursor.as_bytes(), count.as_bytes(), most.as_bytes());
        let mut scan = Commands::default();
        scan.command(&[b"EVAL", SCAN.as_bytes(), b"0", cursor, pattern.as_bytes(), count, most]).expect(PAGE);
        let (mut page, prefix) = (None, &self.parts.prefix);
        master
            .ask(&scan, |reply| {
                page = Some(page_of(&reply, prefix)?);
                Ok(())
            })
            .await?;
        Ok(page.unwrap_or_default())
    }

    /// Queries integers.
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

    /// Deletes keys that are entirely too old, and trims those that are partly so.
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
                    let is_latest: &[u8] = if key == latest { b"1" } else { b"0" };
                    let (script, latest) = (LOOK_AT_LATEST.as_bytes(), latest.as_bytes());
                    looks.command(&[b"EVAL", script, b"1", latest, cutoff.as_bytes(), is_latest])
                }
            };
        }
        let asked = Instant::now();
        let found = self.numbers(&looks).await?;
        leave_to_others(asked).await;
        self.removed(&found);
        for (key, found) in keys.iter().zip(found) {
            match (key, found) {
                (AgingKey::Stream(key), AGED) => self.trim(key).await?,
                (AgingKey::Snapshot { key, latest }, AGED) if key != latest => self.remove(key).await?,
                _ => {}
            }
        }
        Ok(())
    }

    fn removed(&mut self, found: &[u64]) {
        let removed = found.iter().filter(|found| **found == REMOVED).count() as u64;
        self.swept.keys += removed;
        self.parts.observations.janitor.removed_keys.add(removed);
    }

    /// Deletes a map whose newest event was too old. The two may be on different nodes of a cluster: what an event adds to
    /// the map in the meantime is in its stream, and in the map again with the next one.
    async fn remove(&mut self, key: &str) -> Result<(), StoreFault> {
        if !(self.parts.may_write)() {
            return Ok(());
        }
        let mut remove = Commands::default();
        remove.command(&[b"EVAL", REMOVE_HASH.as_bytes(), b"1", key.as_bytes()]);
        let asked = Instant::now();
        let found = self.numbers(&remove).await?;
        leave_to_others(asked).await;
        self.removed(&found);
        Ok(())
    }

    /// Trims a stream stepwise until nothing more is removed.
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

/// Parses a page of `SCAN`: the next cursor, and the keys subject to retention.
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

/// Pauses after a call made at `asked`.
async fn leave_to_others(asked: Instant) {
    sleep(Pace::pause(asked.elapsed())).await;
}
