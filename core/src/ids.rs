//! The IDs of stream entries: the receive time in milliseconds and a sequence, strictly rising within a stream.
//!
//! A repeated write of an ID is refused by Redis, which is what makes it harmless. When the clock steps back, or when
//! somebody else wrote a higher ID, the IDs go on from the highest one, and their time part is no longer the receive
//! time.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use thiserror::Error;

use crate::event::{EntryId, Event};

/// No ID is left above the last one of a stream.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("no entry id is left above {last}")]
pub struct Exhausted {
    /// The last ID.
    pub last: EntryId,
}

/// The lowest ID above `last` that is not below the receive time.
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

/// Streams whose last ID is remembered at most. Beyond it all are forgotten and go on above the highest one. Twice what
/// routers remember.
const MAX_REMEMBERED: usize = 32_768;

/// Gives events their IDs before Redis has been seen. What Redis thinks of them shows when they are written; a stream
/// that turns out to be ahead is [raised](Numbering::raise).
#[derive(Debug, Default)]
pub struct Numbering {
    /// Every ID is above this one: the highest that an earlier process gave.
    base: EntryId,
    last: HashMap<Arc<str>, EntryId, RandomState>,
}

impl Numbering {
    /// Goes on above `base` in every stream.
    #[must_use]
    pub fn above(base: EntryId) -> Numbering {
        Numbering { base, last: HashMap::default() }
    }

    /// Gives an event its IDs. Where none is left it repeats the last one, which nobody can write.
    pub fn number(&mut self, event: &mut Event) {
        if self.last.len() > MAX_REMEMBERED {
            self.base = self.last.values().copied().fold(self.base, EntryId::max);
            self.last.clear();
        }
        let received_ms = event.received_us / 1000;
        let ids = event.route.outlets.iter().map(|outlet| {
            let last = self.last.entry_ref(&*outlet.stream).or_insert(self.base);
            *last = next_id(*last, received_ms).unwrap_or(*last);
            *last
        });
        event.ids = ids.collect();
    }

    /// From now on the stream's IDs are above `last`.
    pub fn raise(&mut self, stream: &Arc<str>, last: EntryId) {
        let known = self.last.entry_ref(&**stream).or_insert(self.base);
        *known = (*known).max(last);
    }
}

#[cfg(test)]
mod tests;
