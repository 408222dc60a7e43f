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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId { ms, seq }
    }

    #[test]
    fn the_id_is_the_receive_time_while_the_clock_goes_forward() {
        assert_eq!(next_id(id(0, 0), 1000), Ok(id(1000, 0)));
        assert_eq!(next_id(id(1000, 0), 1000), Ok(id(1000, 1)));
        assert_eq!(next_id(id(1000, 7), 1001), Ok(id(1001, 0)));
    }

    #[test]
    fn goes_on_from_the_highest_id_when_the_clock_steps_back() {
        assert_eq!(next_id(id(5000, 3), 1000), Ok(id(5000, 4)));
        assert_eq!(next_id(id(5000, u64::MAX), 1000), Ok(id(5001, 0)));
    }

    #[test]
    fn says_when_no_id_is_left() {
        let last = id(u64::MAX, u64::MAX);
        assert_eq!(next_id(last, 1000), Err(Exhausted { last }));
    }

    proptest! {
        #[test]
        fn ids_rise_strictly_whatever_the_clock_does(start in any::<(u64, u64)>(), clock in proptest::collection::vec(any::<u64>(), 1..50)) {
            let mut last = id(start.0, start.1);
            for now in clock {
                let Ok(next) = next_id(last, now) else {
                    prop_assert_eq!(last, id(u64::MAX, u64::MAX));
                    continue;
                };
                prop_assert!(next > last);
                prop_assert!(next.ms >= now);
                last = next;
            }
        }
    }
}
