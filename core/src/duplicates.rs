//! Which events have come before.
//!
//! An event is a duplicate if it equals, byte for byte, one of the last [`WINDOW`] events of its channel, and its symbol
//! is the same: a `price` does not say whose it is, so those of two tickers may have equal payloads. The symbol is that
//! of the event's route ([`crate::event::Route::symbol`]), which a record on disk tells as well; in a full stream the
//! payload alone decides. Events are told apart by a keyed 64-bit fingerprint: that one in so many is taken for another
//! happens once in 10^14 events.
//!
//! A shard sees a part of a channel's events, yet the window is one of the whole channel: every event brings its
//! ordinal, its position among all events of the channel, and an entry is in the window by its ordinal. So a shard
//! remembers its part alone, and all shards together remember one window.
//!
//! A window is a ring of entries, the oldest first, and a table of chains through it, newest first, as compressors have
//! them: an entry that leaves the ring is in no chain any more without being looked for, so nothing ever has to be
//! removed from the table, and nothing pauses.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::event::{Channel, ChannelIndex, Event};

/// So many events before it an event is compared with. The feed repeats itself within seconds, after a reconnect; this
/// is minutes of the busiest channel. A full window takes 2.1 MB.
pub const WINDOW: u32 = 100_000;

/// Entries that leave a window when one enters, at most: it shrinks when its channel's events go to other shards, and
/// no single event pays for that.
const MAX_LEAVING: usize = 2;

/// Chains of a window at first; they double with its entries.
const FIRST_CHAINS: usize = 256;

/// What one shard knows of the events that came before.
#[derive(Debug)]
pub struct Duplicates {
    seed: u64,
    /// One for each channel; `None` for those that may repeat themselves.
    windows: Vec<Option<Window>>,
    /// Of the events being marked; empty otherwise.
    told: Vec<Told>,
    /// Of the events marked last.
    marks: Vec<bool>,
}

/// An event that may have come before.
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

/// An event by what it is told by.
#[derive(Debug)]
struct Told {
    channel: ChannelIndex,
    ordinal: u64,
    fingerprint: u64,
}

impl Duplicates {
    /// Knows no event yet. The seed is to be chosen at random, so that nobody can make events that look equal.
    ///
    /// Only of the channels that are known in detail it is known that their events have an identity: an id, or a key with
    /// a time. Those of others may repeat rightly: two trades of one size at one price in one moment are two trades, and a
    /// volatility may come back to what it was.
    #[must_use]
    pub fn new<'c>(seed: u64, channels: impl IntoIterator<Item = &'c Channel>) -> Duplicates {
        let window = |channel: &Channel| channel.spec().map(|_| Window::default());
        let windows = channels.into_iter().map(window).collect();
        Duplicates { seed, windows, told: Vec::new(), marks: Vec::new() }
    }

    /// Whether each of the events, in their order, equals one of the last [`WINDOW`] of its channel. From here on they are
    /// themselves among the last.
    pub fn mark<'e>(&mut self, events: impl IntoIterator<Item = Arrival<'e>>) -> &[bool] {
        let mut told = std::mem::take(&mut self.told);
        told.extend(events.into_iter().map(|event| Told {
            channel: event.channel,
            ordinal: event.ordinal,
            fingerprint: self.fingerprint(event.symbol, event.payload),
        }));
        self.marks.clear();
        // In a pass of its own: a look-up waits for memory, and the processor overlaps the waits of several that follow each
        // other. Hashing a payload between two of them is too much work to look past.
        for Told { channel, ordinal, fingerprint } in told.drain(..) {
            let is_duplicate = self.window(channel).is_some_and(|window| window.put(fingerprint, ordinal));
            self.marks.push(is_duplicate);
        }
        self.told = told;
        &self.marks
    }

    /// What an event is told by: its payload and the symbol of its route. `None` is a channel's full stream.
    #[must_use]
    pub fn fingerprint(&self, symbol: Option<&str>, payload: &[u8]) -> u64 {
        let of_payload = xxh3_64_with_seed(payload, self.seed);
        symbol.map_or(of_payload, |symbol| xxh3_64_with_seed(symbol.as_bytes(), of_payload))
    }

    /// Takes an event in that was seen in an earlier life, the oldest first.
    pub fn remember(&mut self, channel: ChannelIndex, ordinal: u64, fingerprint: u64) {
        if let Some(window) = self.window(channel) {
            window.put(fingerprint, ordinal);
        }
    }

    fn window(&mut self, channel: ChannelIndex) -> Option<&mut Window> {
        self.windows.get_mut(usize::from(channel.0))?.as_mut()
    }

    /// Memory that the windows take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.windows.iter().flatten().map(Window::bytes).sum()
    }
}

/// An event of the window.
#[derive(Clone, Copy, Debug)]
struct Entry {
    fingerprint: u64,
    /// The lower half of the ordinal: ages are exact up to 2^32 events, and nothing stays here for so long.
    ordinal: u32,
    /// The number of the next older entry of its chain, if that is still in the ring.
    older: u32,
}

/// The events of one channel that one shard has seen.
#[derive(Debug)]
struct Window {
    /// The oldest first.
    ring: VecDeque<Entry>,
    /// The number of the oldest entry of the ring. Entries are numbered as they come, modulo 2^32.
    first: u32,
    /// The number of the newest entry of each chain, if that is still in the ring. Their count is a power of two.
    chains: Vec<u32>,
}

impl Default for Window {
    fn default() -> Window {
        // the number before the first one is in no ring
        Window { ring: VecDeque::new(), first: 1, chains: Vec::new() }
    }
}

impl Window {
    /// Takes an event in and says whether an equal one is in the window.
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

    /// The ordinal of the newest entry with this fingerprint.
    fn newest(&self, fingerprint: u64) -> Option<u32> {
        let mut at = self.position(*self.chains.get(self.chain(fingerprint))?);
        loop {
            let entry = self.ring.get(at)?;
            if entry.fingerprint == fingerprint {
                return Some(entry.ordinal);
            }
            let older = self.position(entry.older);
            if older >= at {
                // an old number that is used again
                return None;
            }
            at = older;
        }
    }

    /// Makes room in ring and chains for an entry.
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
            // by itself the ring would grow beyond the window
            self.ring.reserve_exact(entries.max(FIRST_CHAINS).min(WINDOW as usize - entries));
        }
        if entries >= self.chains.len() {
            self.lengthen();
        }
    }

    /// Doubles the chains.
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

    /// Where the entry of a number is in the ring, if it is there.
    fn position(&self, number: u32) -> usize {
        number.wrapping_sub(self.first) as usize
    }

    /// The chain of a fingerprint.
    fn chain(&self, fingerprint: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "a mask of its lower bits is taken")]
        let low = fingerprint as usize;
        low & self.chains.len().wrapping_sub(1)
    }

    fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Entry>() + self.chains.capacity() * size_of::<u32>()
    }
}

/// How many events lie between two ordinals. Either may be the later one: events of several connections overtake each
/// other on their way to a shard.
fn age(then: u32, now: u32) -> u32 {
    now.wrapping_sub(then).min(then.wrapping_sub(now))
}

#[cfg(test)]
mod tests;
