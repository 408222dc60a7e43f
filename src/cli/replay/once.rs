//! Sends an event that is in several streams once, as the vendor does.
//!
//! The copies of an event of a global channel (its full stream and the streams of its symbols) are close to each other
//! in the order of IDs. A copy is the same payload from *another* stream: a repetition within one stream was received
//! twice.

use std::collections::VecDeque;

use foldhash::HashMap;
use foldhash::HashMapExt as _;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Number of events remembered: copies have the same receive time, and a millisecond has fewer events.
const REMEMBERED: usize = 4096;

/// The latest events, with the stream in which each was first seen.
pub(super) struct Once {
    streams: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Once {
    pub(super) fn new() -> Once {
        Once { streams: HashMap::new(), order: VecDeque::new() }
    }

    /// Returns whether this is not a copy of an event seen in another stream of the channel.
    pub(super) fn is_first(&mut self, channel: &str, stream: &str, payload: &[u8]) -> bool {
        let event = xxh3_64_with_seed(payload, xxh3_64_with_seed(channel.as_bytes(), 0));
        let stream = xxh3_64_with_seed(stream.as_bytes(), 0);
        if let Some(first) = self.streams.get(&event) {
            return *first == stream;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.streams.remove(&oldest);
        }
        self.order.push_back(event);
        self.streams.insert(event, stream);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_in_other_streams_are_left_out_and_repeats_are_not() {
        let mut once = Once::new();
        for (stream, payload, expected) in [
            ("news", "a", true),
            ("news:QQQ", "a", false),
            ("news:SPY", "a", false),
            ("news", "a", true),
            ("news:SPY", "a", false),
            ("news:SPY", "b", true),
            ("news", "b", false),
        ] {
            assert_eq!(once.is_first("news", stream, payload.as_bytes()), expected, "{stream} {payload}");
        }
        assert!(once.is_first("flow-alerts", "flow-alerts", b"a"), "another channel");
    }

    #[test]
    fn memory_is_bounded() {
        let mut once = Once::new();
        for n in 0..2 * REMEMBERED {
            assert!(once.is_first("news", "news", n.to_string().as_bytes()));
        }
        assert_eq!((once.streams.len(), once.order.len()), (REMEMBERED, REMEMBERED));
    }
}
