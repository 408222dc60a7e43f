//! REST bodies cached in memory, so that an event requires no reading and parsing of the whole body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::event::{RestKey, Symbol};
use uw_websocket_core::snapshots::{Hash, Receipt, RestBody, UnreadableBody, Untranslatable};

use super::pending::RestEvent;

/// Maximum memory of all bodies of the service; beyond it the least recently updated are evicted. A ticker's series
/// of a session has half a megabyte, the others some dozens of kilobytes.
pub(super) const MAX_HELD: usize = 48 * 1024 * 1024;
/// Time without events after which a body is evicted: by then the fetcher, whose pass takes 98.5 s, can no longer
/// restore an older answer.
const IDLE: Duration = Duration::from_secs(300);
/// Memory of a body's entry besides the body.
const ENTRY_BYTES: usize = 512;

/// The bodies of a shard, by key.
#[derive(Debug)]
pub(super) struct Bodies {
    held: HashMap<Arc<str>, Held, RandomState>,
    max_bytes: usize,
}

/// A cached body.
#[derive(Debug)]
pub(super) struct Held {
    body: RestBody,
    ticker: Symbol,
    /// The corresponding stream, which determines when it is due.
    pub(super) stream: Arc<str>,
    last_event: Instant,
    may_create: bool,
    /// Whether the key holds another type than a hash.
    is_other_type: bool,
}

/// The content of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No hash, or one with neither field.
    Nothing,
    /// Both fields; a missing one is empty.
    Hash(Hash),
    /// Another type, or one without permission to read it: what Redis says.
    OtherType(String),
    /// A body too large to be read.
    TooLarge {
        /// Its `fetched_at`, or a placeholder for it.
        fetched_at: String,
    },
}

impl Bodies {
    /// Creates the cache of one of `shards` shards.
    pub(super) fn new(shards: usize) -> Bodies {
        Bodies { held: HashMap::default(), max_bytes: MAX_HELD / shards.max(1) }
    }

    pub(super) fn get(&mut self, key: &str) -> Option<&mut Held> {
        self.held.get_mut(key)
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.held.contains_key(key)
    }

    /// Adds the body of an destination with this stream, before it is read from Redis.
    pub(super) fn hold(&mut self, rest: &RestKey, stream: Arc<str>, now: Instant) {
        let held = Held {
            body: RestBody::new(rest.endpoint, rest.symbol.as_str(), rest.may_create),
            ticker: rest.symbol.clone(),
            stream,
            last_event: now,
            may_create: rest.may_create,
            is_other_type: false,
        };
        self.held.insert(Arc::clone(&rest.key), held);
    }

    /// Evicts a body.
    pub(super) fn forget(&mut self, key: &str) {
        self.held.remove(key);
    }

    /// Iterates over all keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = Arc<str>> {
        self.held.keys().cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Evicts idle bodies, and others while they exceed the memory limit. Returns the memory of the rest, and the
    /// number of the others.
    pub(super) fn bound(&mut self, now: Instant) -> (usize, u64) {
        self.held.retain(|_, held| now.saturating_duration_since(held.last_event) < IDLE);
        let mut bytes: usize = self.held.values().map(Held::bytes).sum();
        if bytes <= self.max_bytes {
            return (bytes, 0);
        }
        let mut oldest: Vec<(Instant, Arc<str>)> =
            self.held.iter().map(|(key, held)| (held.last_event, Arc::clone(key))).collect();
        oldest.sort_unstable();
        let mut evicted = 0;
        for (_, key) in oldest {
            if bytes <= self.max_bytes {
                break;
            }
            bytes -= self.held.remove(&key).map_or(0, |held| held.bytes());
            evicted += 1;
        }
        (bytes, evicted)
    }
}

impl Held {
    /// Returns the hash's `fetched_at` when last read or written.
    pub(super) fn seen(&self) -> &str {
        self.body.seen()
    }

    /// Whether the key differs from what was last seen.
    pub(super) fn has_changed(&self, fetched_at: Option<&str>, is_other_type: bool) -> bool {
        self.is_other_type != is_other_type || fetched_at.unwrap_or_default() != self.seen()
    }

    /// Adopts the content of the key. An error, once per series of unreadable bodies, states why it is left
    /// untouched.
    pub(super) fn found(&mut self, found: &Found, now_us: i64) -> Result<(), UnreadableBody> {
        let was_foreign = self.body.is_foreign();
        self.is_other_type = matches!(found, Found::OtherType(_));
        let taken = match found {
            Found::Nothing => self.body.found_at(now_us, self.ticker.as_str(), None),
            Found::Hash(hash) => {
                self.body.found_at(now_us, self.ticker.as_str(), Some((&hash.payload, &hash.fetched_at)))
            }
            Found::TooLarge { fetched_at } => Err(self.body.found_too_large(fetched_at)),
            // an empty text is never a valid body
            Found::OtherType(_) => self.body.found_at(now_us, self.ticker.as_str(), Some(("", ""))),
        };
        if was_foreign { Ok(()) } else { taken }
    }

    /// Adds an event.
    pub(super) fn add(&mut self, event: &RestEvent, now: Instant) -> Result<(), Untranslatable> {
        self.last_event = now;
        let payload = std::str::from_utf8(&event.payload).unwrap_or_default();
        self.body.add(payload, Receipt::new(event.received_us, event.id))
    }

    /// Returns the number of times read since the last call that were in the future.
    pub(super) fn take_ahead(&mut self) -> u64 {
        self.body.take_ahead()
    }

    /// Whether to create the body if REST has not written one.
    pub(super) fn may_create(&self) -> bool {
        self.may_create
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.body.is_foreign()
    }

    /// Returns the memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        ENTRY_BYTES + self.body.bytes()
    }

    /// Whether nothing has changed since the hash was read or written.
    pub(super) fn is_settled(&self) -> bool {
        self.body.is_settled()
    }

    /// Returns the content to write; `None` if the hash already holds it.
    pub(super) fn wanted(&mut self) -> Option<Hash> {
        self.body.wanted()
    }

    /// Records that the content was written.
    pub(super) fn written(&mut self, hash: &Hash) {
        self.body.written(hash);
    }
}
