//! The sliding window: requests of which the server may count only so many within any minute.

use std::time::{Duration, Instant};

/// The period of the limit.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Identifies a request in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

/// A request, from its start until a minute after the server has counted it at the latest.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: RequestId,
    start: Instant,
    until: Instant,
}

/// The places of the last minute, and those assigned ahead.
///
/// The server counts a request at an unknown moment between its start and its answer. A place is therefore held until a
/// minute after the answer; before that is known, for the longest time that the answer may take. The end only moves
/// forward to an earlier time, so that whatever was assigned on the assumption of the later one remains valid.
#[derive(Debug, Default)]
pub(super) struct Window {
    places: Vec<Place>,
    latest: u64,
}

impl Window {
    /// Returns the earliest time from `now` on at which less than `limit` places, at least one, are taken.
    ///
    /// Places that begin later count as taken: the one who waits has precedence. At any moment, no more than `limit`
    /// are taken: of those that end after the moment of an assignment there were less.
    pub(super) fn free_at(&self, now: Instant, limit: usize) -> Instant {
        let mut ends: Vec<Instant> =
            self.places.iter().map(|place| place.until).filter(|end| *end > now).collect();
        match (ends.len() + 1).checked_sub(limit.max(1)) {
            None | Some(0) => now,
            Some(over) => *ends.select_nth_unstable(over - 1).1,
        }
    }

    /// Takes a place for a request that begins at `start` and is answered, or given up, within `longest`.
    pub(super) fn take(&mut self, now: Instant, start: Instant, longest: Duration) -> RequestId {
        self.places.retain(|place| place.until > now);
        self.latest += 1;
        let id = RequestId(self.latest);
        self.places.push(Place { id, start, until: start + longest + WINDOW });
        id
    }

    /// Notes that a request was answered or given up; one that has not begun leaves its place.
    pub(super) fn settle(&mut self, id: RequestId, now: Instant) {
        self.places.retain(|place| place.id != id || place.start <= now);
        if let Some(place) = self.places.iter_mut().find(|place| place.id == id) {
            place.until = place.until.min(now + WINDOW);
        }
    }

    /// Returns the number of places taken at `now` or later.
    pub(super) fn taken(&self, now: Instant) -> usize {
        self.places.iter().filter(|place| place.until > now).count()
    }
}
