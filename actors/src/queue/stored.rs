//! The entries stored in Redis by stream, so that losses in Redis can be detected.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use uw_websocket_core::event::EntryId;
use uw_websocket_core::tables::keep_highest;

/// The entries of a stream stored in Redis.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// The highest ID.
    pub last: EntryId,
    /// The highest ID on no disk, which cannot be rewritten.
    pub unspooled: EntryId,
}

/// The stored entries of a bounded number of a queue's streams: beyond it, the half with the lowest IDs is forgotten.
#[derive(Debug)]
pub(super) struct StoredStreams {
    streams: HashMap<Arc<str>, Stored, RandomState>,
    max: usize,
    forgotten: u64,
    /// Records below this number may belong to forgotten streams.
    incomplete_below: u64,
}

impl StoredStreams {
    pub(super) fn new(max: usize) -> StoredStreams {
        StoredStreams { streams: HashMap::default(), max, forgotten: 0, incomplete_below: 0 }
    }

    /// Records a stored entry; one not `kept` on a disk cannot be rewritten. `next_record` is above all records of the
    /// queue.
    pub(super) fn note(&mut self, stream: &Arc<str>, id: EntryId, is_kept: bool, next_record: u64) {
        if self.streams.len() >= self.max && !self.streams.contains_key(stream) {
            self.forgotten += keep_highest(&mut self.streams, self.max / 2, |stored| stored.last);
            self.incomplete_below = next_record;
        }
        let stored = self.streams.entry(Arc::clone(stream)).or_default();
        stored.last = stored.last.max(id);
        if !is_kept {
            stored.unspooled = stored.unspooled.max(id);
        }
    }

    /// Whether streams of a record were forgotten.
    pub(super) fn is_incomplete_from(&self, record: u64) -> bool {
        record < self.incomplete_below
    }

    /// Returns the number of streams forgotten since the last call.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Records that no entry can be rewritten any more.
    pub(super) fn disk_is_gone(&mut self) {
        self.streams.values_mut().for_each(|stored| stored.unspooled = stored.last);
    }

    /// Returns all streams.
    #[must_use]
    pub(super) fn all(&self) -> Vec<(Arc<str>, Stored)> {
        self.streams.iter().map(|(stream, stored)| (Arc::clone(stream), *stored)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_streams_are_kept_and_the_records_of_the_others_are_known() {
        let mut stored = StoredStreams::new(100);
        let id = |ms| EntryId { ms, seq: 0 };
        for n in 0..100 {
            stored.note(&format!("price:S{n}").into(), id(n), true, n + 1);
        }
        assert!(!stored.is_incomplete_from(0));
        stored.note(&"price:SPY".into(), id(100), true, 101);
        assert_eq!((stored.all().len(), stored.take_forgotten()), (51, 50));
        assert_eq!(stored.all().iter().map(|(_, stored)| stored.last).min(), Some(id(50)));
        assert!(stored.is_incomplete_from(100) && !stored.is_incomplete_from(101));
    }
}
