//! The entries stored in Redis by stream, so that losses in Redis can be detected.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::event::EntryId;

/// Maximum number of streams whose last stored ID is kept: twice what routers cache. Beyond it all are forgotten,
/// and their losses in Redis are not detected.
const MAX_STREAMS: usize = 32_768;

/// The entries of a stream stored in Redis.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// The highest ID.
    pub last: EntryId,
    /// The highest ID on no disk, which cannot be rewritten.
    pub unspooled: EntryId,
}

/// The stored entries of a queue's streams.
#[derive(Debug, Default)]
pub(super) struct StoredStreams(HashMap<Arc<str>, Stored, RandomState>);

impl StoredStreams {
    /// Records a stored entry; one not `kept` on a disk cannot be rewritten.
    pub(super) fn note(&mut self, stream: &Arc<str>, id: EntryId, is_kept: bool) {
        if self.0.len() >= MAX_STREAMS && !self.0.contains_key(stream) {
            self.0.clear();
        }
        let stored = self.0.entry_ref(&**stream).or_default();
        stored.last = stored.last.max(id);
        if !is_kept {
            stored.unspooled = stored.unspooled.max(id);
        }
    }

    /// Records that no entry can be rewritten any more.
    pub(super) fn disk_is_gone(&mut self) {
        self.0.values_mut().for_each(|stored| stored.unspooled = stored.last);
    }

    /// Returns all streams.
    #[must_use]
    pub(super) fn all(&self) -> Vec<(Arc<str>, Stored)> {
        self.0.iter().map(|(stream, stored)| (Arc::clone(stream), *stored)).collect()
    }
}
