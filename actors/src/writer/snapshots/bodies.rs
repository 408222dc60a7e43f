//! The bodies of REST that are held in memory, so that an event costs no reading and parsing of all the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::event::{RestKey, Symbol};
use uw_websocket_core::snapshots::{Body, Hash, Receipt, Unreadable, Untranslatable};

use super::pending::RestEvent;

/// Memory of all bodies of a service at most; beyond it those go that have had no event for longest. A session's series
/// of a ticker has half a megabyte, the others some dozens of kilobytes.
pub(super) const MAX_HELD: usize = 48 * 1024 * 1024;
/// A body without events is let go after this long: later than the fetcher, whose pass takes 98.5 s, can put an older answer
/// back.
const IDLE: Duration = Duration::from_secs(300);

/// The bodies of a shard, by their keys.
#[derive(Debug)]
pub(super) struct Bodies {
    held: HashMap<Arc<str>, Held, RandomState>,
    max_bytes: usize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Held {
    body: Body,
    ticker: Symbol,
    /// The stream beside it, by whose name it is due.
    pub(super) stream: Arc<str>,
    last_event: Instant,
    /// Whether the key holds no hash at all.
    is_other_type: bool,
}

/// What was found at a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No hash, or one with neither field.
    Nothing,
    /// Its two fields; of one that is missing, nothing.
    Hash(Hash),
    /// Something that is no hash.
    OtherType,
    /// A body that is too large to be read.
    TooLarge {
        /// When it was fetched, or what stands for that.
        fetched_at: String,
    },
}

impl Bodies {
    /// Of one of so many shards.
    pub(super) fn new(shards: usize) -> Bodies {
        Bodies { held: HashMap::default(), max_bytes: MAX_HELD / shards.max(1) }
    }

    pub(super) fn get(&mut self, key: &str) -> Option<&mut Held> {
        self.held.get_mut(key)
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.held.contains_key(key)
    }

    /// Holds the body of the outlet with this stream, of which it is not known yet what Redis has.
    pub(super) fn hold(&mut self, rest: &RestKey, stream: Arc<str>, now: Instant) {
        let held = Held {
            body: Body::new(rest.endpoint, rest.symbol.as_str(), rest.may_create),
            ticker: rest.symbol.clone(),
            stream,
            last_event: now,
            is_other_type: false,
        };
        self.held.insert(Arc::clone(&rest.key), held);
    }

    /// Lets go of one.
    pub(super) fn forget(&mut self, key: &str) {
        self.held.remove(key);
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = Arc<str>> {
        self.held.keys().cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Lets go of those that are idle, and of others while they take too much memory. Returns what the rest takes.
    pub(super) fn bound(&mut self, now: Instant) -> usize {
        self.held.retain(|_, held| now.saturating_duration_since(held.last_event) < IDLE);
        let mut bytes: usize = self.held.values().map(|held| held.body.bytes()).sum();
        while bytes > self.max_bytes
            && let Some((key, held)) = self.held.iter().min_by_key(|(_, held)| held.last_event)
        {
            bytes -= held.body.bytes();
            let key = Arc::clone(key);
            self.held.remove(&key);
        }
        bytes
    }
}

impl Held {
    /// `fetched_at` as it was last seen in the hash or written there.
    pub(super) fn seen(&self) -> &str {
        self.body.seen()
    }

    /// Whether what was seen of the key has changed.
    pub(super) fn has_changed(&self, fetched_at: Option<&str>, is_other_type: bool) -> bool {
        self.is_other_type != is_other_type || fetched_at.unwrap_or_default() != self.seen()
    }

    /// Takes in what is at the key. An error, once for each unreadable body in a row, says why it is left alone.
    pub(super) fn found(&mut self, found: &Found, now_us: i64) -> Result<(), Unreadable> {
        let was_foreign = self.body.is_foreign();
        self.is_other_type = *found == Found::OtherType;
        let taken = match found {
            Found::Nothing => self.body.found_at(now_us, self.ticker.as_str(), None),
            Found::Hash(hash) => {
                self.body.found_at(now_us, self.ticker.as_str(), Some((&hash.payload, &hash.fetched_at)))
            }
            Found::TooLarge { fetched_at } => Err(self.body.found_too_large(fetched_at)),
            // no body is empty
            Found::OtherType => self.body.found_at(now_us, self.ticker.as_str(), Some(("", ""))),
        };
        if was_foreign { Ok(()) } else { taken }
    }

    /// Takes an event in.
    pub(super) fn add(&mut self, event: &RestEvent, now: Instant) -> Result<(), Untranslatable> {
        self.last_event = now;
        let payload = std::str::from_utf8(&event.payload).unwrap_or_default();
        self.body.add(payload, Receipt::new(event.received_us, event.id))
    }

    /// How many times that were taken in since the last call claimed to be of the future.
    pub(super) fn take_ahead(&mut self) -> u64 {
        self.body.take_ahead()
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.body.is_foreign()
    }

    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.body.bytes()
    }

    /// Whether nothing has changed since the hash was written or read.
    pub(super) fn is_settled(&self) -> bool {
        self.body.is_settled()
    }

    /// What the hash is to hold, if it does not hold that already.
    pub(super) fn wanted(&mut self) -> Option<Hash> {
        self.body.wanted()
    }

    /// The hash holds what was wanted.
    pub(super) fn written(&mut self, hash: &Hash) {
        self.body.written(hash);
    }
}
