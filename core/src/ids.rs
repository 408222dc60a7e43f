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
use crate::tables::MAX_STREAMS;

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

/// Assigns IDs before Redis has been consulted. Conflicts show when events are written; a stream that turns out to
/// be ahead is [raised](Numbering::raise).
///
/// The last IDs of a bounded number of streams are cached. Beyond it, streams that are not ahead of the clock are
/// forgotten and continue above the highest of their IDs.
#[derive(Debug)]
pub struct Numbering {
    /// Lower bound of all IDs: the highest that an earlier process assigned, or that was forgotten.
    base: EntryId,
    last: HashMap<Arc<str>, EntryId, RandomState>,
    max_streams: usize,
    forgotten: u64,
}

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering::above(EntryId::default())
    }
}

impl Numbering {
    /// Starts above `base` in every stream.
    #[must_use]
    pub fn above(base: EntryId) -> Numbering {
        Numbering { base, last: HashMap::default(), max_streams: MAX_STREAMS, forgotten: 0 }
    }

    /// Bounds the number of cached streams.
    #[must_use]
    pub fn bounded(self, max_streams: usize) -> Numbering {
        Numbering { max_streams, ..self }
    }

    /// Returns the number of streams forgotten since the last call.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Assigns the IDs of an event. If none is left the last one is repeated, which Redis rejects.
    pub fn number(&mut self, event: &mut Event) {
        let received_ms = event.received_us / 1000;
        self.bound(received_ms);
        let ids = event.route.destinations.iter().map(|destination| {
            let last = self.last.entry_ref(&*destination.stream).or_insert(self.base);
            *last = next_id(*last, received_ms).unwrap_or(*last);
            *last
        });
        event.ids = ids.collect();
    }

    /// Forgets the streams that are not ahead of `now_ms` if there are too many. One that another client has moved
    /// ahead must not take all others along, unless nothing else makes room.
    pub fn bound(&mut self, now_ms: u64) {
        let known = self.last.len();
        if known <= self.max_streams {
            return;
        }
        let base = &mut self.base;
        let mut forget = |is_forgotten: &dyn Fn(EntryId) -> bool| {
            self.last.retain(|_, last| {
                let is_kept = !is_forgotten(*last);
                *base = if is_kept { *base } else { (*base).max(*last) };
                is_kept
            });
            self.last.len()
        };
        if forget(&|last| last.ms <= now_ms) > self.max_streams / 2 {
            forget(&|_| true);
        }
        self.forgotten += (known - self.last.len()) as u64;
    }

    /// Continues a stream above `last`.
    pub fn raise(&mut self, stream: &Arc<str>, last: EntryId) {
        let known = self.last.entry_ref(&**stream).or_insert(self.base);
        *known = (*known).max(last);
    }
}

#[cfg(test)]
mod tests;
