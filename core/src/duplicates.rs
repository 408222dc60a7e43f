//! Duplicate detection.
//!
//! An event is a duplicate if it equals, byte for byte, one of the last [`WINDOW`] events of its channel with the
//! same symbol. The symbol is part of the comparison because a `price` does not name its ticker, so two tickers may
//! have equal payloads. It is the symbol of the event's route ([`crate::event::Route::symbol`]), which disk records
//! hold too; in a full stream only the payload is compared. Events are compared by a keyed 64-bit fingerprint; a
//! false match occurs once in 10^14 events.
//!
//! The window spans the whole channel although a shard sees only some of its events: each event carries its
//! ordinal, its position among all events of the channel, and window membership is decided by ordinals. Each shard
//! stores its share only, and all shards together one window.
//!
//! A window is a ring of entries, oldest first, and a table of hash chains through it, newest first, as in
//! compressors: an entry that leaves the ring drops out of its chain without a lookup, so the table needs no
//! removals and there are no pauses.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::event::{Channel, ChannelIndex, Event};

/// Number of preceding events that an event is compared with. The feed repeats itself within seconds of a
/// reconnect; this covers minutes of the busiest channel. A full window takes 2.1 MB.
pub const WINDOW: u32 = 100_000;

/// Maximum number of entries evicted per insertion. A window shrinks when its channel's events move to other
/// shards; the bound spreads that cost over many events.
const MAX_LEAVING: usize = 2;

/// Initial number of chains; it doubles with the entries.
const FIRST_CHAINS: usize = 256;

/// The windows of one shard.
#[derive(Debug)]
pub struct Duplicates {
    seed: u64,
    /// One per channel; `None` for channels that may repeat legitimately.
    windows: Vec<Option<Window>>,
    /// Scratch space of [`Duplicates::mark`]; empty otherwise.
    told: Vec<Told>,
    /// Result of the last [`Duplicates::mark`].
    marks: Vec<bool>,
}

/// An event to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'e> {
    /// Its channel.
    pub channel: ChannelIndex,
    /// Its position among all events of the channel.
    pub ordinal: u64,
    /// The symbol of its route.
    pub symbol: Option<&'e str>,
    /// Its payload.
    pub payload: &'e [u8],
}

impl<'e> From<&'e Event> for Arrival<'e> {
    fn from(event: &'e Event) -> Arrival<'e> {
        let Event { route, payload, ordinal, .. } = event;
        Arrival { channel: route.channel, ordinal: *ordinal, symbol: route.symbol(), payload }
    }
}

/// An event's fingerprint and position.
#[derive(Debug)]
struct Told {
    channel: ChannelIndex,
    ordinal: u64,
    fingerprint: u64,
}

impl Duplicates {
    /// Creates empty windows. Choose the seed at random, so that colliding events cannot be crafted.
    ///
    /// Only channels whose events have an identity get a window ([`Channel::has_identity`]). Events of others may
    /// repeat legitimately: two trades of equal size and price at the same time are two trades, and a volatility
    /// may return to an earlier value.
    #[must_use]
    pub fn new<'c>(seed: u64, channels: impl IntoIterator<Item = &'c Channel>) -> Duplicates {
        let window = |channel: &Channel| channel.has_identity().then(Window::default);
        let windows = channels.into_iter().map(window).collect();
        Duplicates { seed, windows, told: Vec::new(), marks: Vec::new() }
    }

    /// Adds the events in order and returns for each whether it equals one of the last [`WINDOW`] of its channel.
    pub fn mark<'e>(&mut self, events: impl IntoIterator<Item = Arrival<'e>>) -> &[bool] {
        let mut told = std::mem::take(&mut self.told);
        told.extend(events.into_iter().map(|event| Told {
            channel: event.channel,
            ordinal: event.ordinal,
            fingerprint: self.fingerprint(event.symbol, event.payload),
        }));
        self.marks.clear();
        // A separate pass: lookups wait for memory, and the processor overlaps the waits of consecutive ones.
        // Hashing a payload in between is too much work for it to look past.
        for Told { channel, ordinal, fingerprint } in told.drain(..) {
            let is_duplicate = self.window(channel).is_some_and(|window| window.put(fingerprint, ordinal));
            self.marks.push(is_duplicate);
        }
        self.told = told;
        &self.marks
    }

    /// Computes the fingerprint of a payload and the symbol of its route; `None` is a channel's full stream.
    #[must_use]
    pub fn fingerprint(&self, symbol: Option<&str>, payload: &[u8]) -> u64 {
        let of_payload = xxh3_64_with_seed(payload, self.seed);
        symbol.map_or(of_payload, |symbol| xxh3_64_with_seed(symbol.as_bytes(), of_payload))
    }

    /// Adds an event seen by an earlier process. Call it in order, oldest first.
    pub fn remember(&mut self, channel: ChannelIndex, ordinal: u64, fingerprint: u64) {
        if let Some(window) = self.window(channel) {
            window.put(fingerprint, ordinal);
        }
    }

    fn window(&mut self, channel: ChannelIndex) -> Option<&mut Window> {
        self.windows.get_mut(usize::from(channel.0))?.as_mut()
    }

    /// Returns the memory of all windows in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.windows.iter().flatten().map(Window::bytes).sum()
    }
}

/// An event in a window.
#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: u64,
    /// The lower 32 bits of the ordinal: ages are exact up to 2^32 events, far longer than an entry stays.
    ordinal: u32,
    /// Number of the next older entry of its chain; stale once that has left the ring.
    older: u32,
}

/// The events of one channel seen by one shard.
#[derive(Debug)]
struct Window {
    /// Oldest first.
    ring: VecDeque<Entry>,
    /// Number of the oldest entry of the ring. Entries are numbered in order of arrival, modulo 2^32.
    first: u32,
    /// Number of the newest entry of each chain; stale once that has left the ring. The length is a power of two.
    chains: Vec<u32>,
}

impl Default for Window {
    fn default() -> Window {
        // the number before the first one is never in the ring
        Window { ring: VecDeque::new(), first: 1, chains: Vec::new() }
    }
}

impl Window {
    /// Adds an event; returns whether an equal one is in the window.
    fn put(&mut self, fingerprint: u64, ordinal: u64) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "ages are counted modulo 2^32")]
        let ordinal = ordinal as u32;
        let is_known = self.newest(fingerprint).is_some_and(|newest| age(newest, ordinal) <= WINDOW);
        self.make_room(ordinal);
        let number = self.next_number();
        let chain = self.chain(fingerprint);
        if let Some(newest) = self.chains.get_mut(chain) {
            let older = std::mem::replace(newest, number);
            self.ring.push_back(Entry { fingerprint, ordinal, older });
        }
        is_known
    }

    /// Returns the ordinal of the newest entry with this fingerprint.
    fn newest(&self, fingerprint: u64) -> Option<u32> {
        let mut at = self.position(*self.chains.get(self.chain(fingerprint))?);
        loop {
            let entry = self.ring.get(at)?;
            if entry.fingerprint == fingerprint {
                return Some(entry.ordinal);
            }
            let older = self.position(entry.older);
            if older >= at {
                // a stale number that has been reused
                return None;
            }
            at = older;
        }
    }

    /// Evicts expired entries and grows ring and chains for one more.
    fn make_room(&mut self, ordinal: u32) {
        for _ in 0..MAX_LEAVING {
            let is_past = |oldest: &Entry| age(oldest.ordinal, ordinal) >= WINDOW;
            if self.ring.len() < WINDOW as usize && !self.ring.front().is_some_and(is_past) {
                break;
            }
            self.ring.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        let entries = self.ring.len();
        if entries == self.ring.capacity() {
            // the default growth would exceed the window
            self.ring.reserve_exact(entries.max(FIRST_CHAINS).min(WINDOW as usize - entries));
        }
        if entries >= self.chains.len() {
            self.lengthen();
        }
    }

    /// Doubles the number of chains and relinks all entries.
    fn lengthen(&mut self) {
        self.chains = vec![self.first.wrapping_sub(1); (self.chains.len() * 2).max(FIRST_CHAINS)];
        let mut number = self.first;
        for position in 0..self.ring.len() {
            let Some(fingerprint) = self.ring.get(position).map(|entry| entry.fingerprint) else { break };
            let chain = self.chain(fingerprint);
            if let (Some(newest), Some(entry)) = (self.chains.get_mut(chain), self.ring.get_mut(position)) {
                entry.older = std::mem::replace(newest, number);
            }
            number = number.wrapping_add(1);
        }
    }

    fn next_number(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the ring has at most WINDOW entries")]
        let entries = self.ring.len() as u32;
        self.first.wrapping_add(entries)
    }

    /// Returns the position in the ring; out of range if the entry has left it.
    fn position(&self, number: u32) -> usize {
        number.wrapping_sub(self.first) as usize
    }

    fn chain(&self, fingerprint: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "a mask of its lower bits is taken")]
        let low = fingerprint as usize;
        low & self.chains.len().wrapping_sub(1)
    }

    fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Entry>() + self.chains.capacity() * size_of::<u32>()
    }
}

/// The distance between two ordinals. Either may be the later one: events of several connections overtake each
/// other on their way to a shard.
fn age(then: u32, now: u32) -> u32 {
    now.wrapping_sub(then).min(then.wrapping_sub(now))
}

#[cfg(test)]
mod tests;
