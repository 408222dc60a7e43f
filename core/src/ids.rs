//! Stream entry IDs: the receive time in milliseconds and a sequence number, strictly increasing within a stream.
//!
//! Redis rejects a repeated write of an ID, which makes retries harmless. If the clock steps back, or another
//! client has written a higher ID, numbering continues from the highest ID; its time part then differs from the
//! receive time.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use thiserror::Error;

use crate::event::{EntryId, Event};

/// No ID is available above the last one of a stream.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("no entry ID is available above {last}")]
pub struct Exhausted {
    /// The stream's last ID.
    pub last: EntryId,
}

/// Returns the lowest ID above `last` whose time is not before the receive time.
pub fn next_id(last: EntryId, received_ms: u64) -> Result<EntryId, Exhausted> {
    if received_ms > last.ms {
        return Ok(EntryId { ms: received_ms, seq: 0 });
    }
    match (last.seq.checked_add(1), last.ms.checked_add(1)) {
        (Some(seq), _) => Ok(EntryId { ms: last.ms, seq }),
        (None, Some(ms)) => Ok(EntryId { ms, seq: 0 }),
        (None, None) => Err(Exhausted { last }),
    }
}

/// Maximum number of streams whose last ID is cached: twice what routers cache. Beyond it the cache is cleared and
/// all streams continue above the highest ID.
const MAX_REMEMBERED: usize = 32_768;

/// Assigns IDs before Redis has been consulted. Conflicts show when events are written; a stream that turns out to
/// be ahead is [raised](Numbering::raise).
#[derive(Debug, Default)]
pub struct Numbering {
    /// Lower bound of all IDs: the highest that an earlier process assigned.
    base: EntryId,
    last: HashMap<Arc<str>, EntryId, RandomState>,
}

impl Numbering {
    /// Starts above `base` in every stream.
    #[must_use]
    pub fn above(base: EntryId) -> Numbering {
        Numbering { base, last: HashMap::default() }
    }

    /// Assigns the IDs of an event. If none is left the last one is repeated, which Redis rejects.
    pub fn number(&mut self, event: &mut Event) {
        if self.last.len() > MAX_REMEMBERED {
            self.base = self.last.values().copied().fold(self.base, EntryId::max);
            self.last.clear();
        }
        let received_ms = event.received_us / 1000;
        let ids = event.route.destinations.iter().map(|destination| {
            let last = self.last.entry_ref(&*destination.stream).or_insert(self.base);
            *last = next_id(*last, received_ms).unwrap_or(*last);
            *last
        });
        event.ids = ids.collect();
    }

    /// Continues a stream above `last`.
    pub fn raise(&mut self, stream: &Arc<str>, last: EntryId) {
        let known = self.last.entry_ref(&**stream).or_insert(self.base);
        *known = (*known).max(last);
    }
}

#[cfg(test)]
mod tests;
