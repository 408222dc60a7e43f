//! What Redis has taken of each stream, so that a loss of Redis can be seen.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use uw_websocket_core::event::EntryId;

/// Streams whose last stored ID is remembered at most; beyond it all are forgotten, and what Redis loses of them is not
/// noticed. Twice what routers remember.
const MAX_STREAMS: usize = 32_768;

/// What is known of a stream's entries that Redis has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// The highest.
    pub last: EntryId,
    /// The highest of those that are on no disk, so that they cannot be written again.
    pub unkept: EntryId,
}

/// The streams of a queue.
#[derive(Debug, Default)]
pub(super) struct StoredStreams(HashMap<Arc<str>, Stored, RandomState>);

impl StoredStreams {
    /// Redis has taken an entry; one that is not `kept` on a disk cannot be written again.
    pub(super) fn note(&mut self, stream: &Arc<str>, id: EntryId, is_kept: bool) {
        if self.0.len() >= MAX_STREAMS && !self.0.contains_key(stream) {
            self.0.clear();
        }
        let stored = self.0.entry_ref(&**stream).or_default();
        stored.last = stored.last.max(id);
        if !is_kept {
            stored.unkept = stored.unkept.max(id);
        }
    }

    /// Nothing can be written again any more.
    pub(super) fn disk_is_gone(&mut self) {
        self.0.values_mut().for_each(|stored| stored.unkept = stored.last);
    }

    /// All of them.
    #[must_use]
    pub(super) fn all(&self) -> Vec<(Arc<str>, Stored)> {
        self.0.iter().map(|(stream, stored)| (Arc::clone(stream), *stored)).collect()
    }
}
