//! What a job that was read from Redis may claim: other clients can write there too.

use super::job::{Edges, FillJob, Flaw, MAX_EDGES};
use crate::event::EntryId;
use crate::time::{MAX_AHEAD_US, hold_back};

/// Maximum value of a counter: no day of the market has as many rows, and sums of them do not overflow.
const MAX_COUNT: u64 = 1 << 40;
/// The same for requests: the largest plan's of a day.
const MAX_REQUESTS: u32 = 1_000_000;
/// Digits of a fingerprint.
const DIGITS: usize = 16;

impl FillJob {
    /// Confines a job that was read from Redis to what one of ours can be: times of the future count as now, counters,
    /// edges and texts have their bounds. Returns the number of times that were held back.
    pub fn confine(&mut self, now_us: u64) -> u64 {
        let mut times = vec![
            &mut self.from_us,
            &mut self.to_us,
            &mut self.cursor_us,
            &mut self.next_us,
            &mut self.failing_since_us,
        ];
        let mut counts = vec![&mut self.rows, &mut self.known, &mut self.canceled];
        if let Some(writing) = &mut self.writing {
            times.push(&mut writing.cursor_us);
            counts.extend([&mut writing.rows, &mut writing.known, &mut writing.canceled]);
        }
        times.extend(self.ended.as_mut().map(|ended| &mut ended.at_us));
        for count in counts {
            *count = (*count).min(MAX_COUNT);
        }
        let held = times.into_iter().map(|at| u64::from(hold_back(at, now_us))).sum();
        self.requests = self.requests.min(MAX_REQUESTS);
        if self.edges.as_ref().is_some_and(|edges| edges.fingerprints.len() > MAX_EDGES * DIGITS) {
            self.forget_edges();
        }
        let ended = self.ended.as_mut().and_then(|ended| ended.flaw.as_mut());
        for flaw in ended.into_iter().chain(&mut self.flaw) {
            *flaw = Flaw::new(flaw.reason, &flaw.detail);
        }
        held
    }

    /// Drops the fingerprints of the edges, which count as trimmed from then on.
    pub fn forget_edges(&mut self) {
        self.edges = Some(Edges::new(&[], true));
    }
}

/// Returns whether a reserved ID can be ours in a stream whose last one is `last`: it is not of the future, or it continues
/// what somebody else has begun there.
#[must_use]
pub fn can_be_next(id: EntryId, last: EntryId, now_us: u64) -> bool {
    let latest_ms = (now_us.saturating_add(MAX_AHEAD_US) / 1000).max(last.ms.saturating_add(1));
    id > last && id.ms <= latest_ms
}

/// Returns `first`, or the first ID of the next millisecond if its own one has no room for `rows` consecutive IDs; `None` if
/// there is none.
#[must_use]
pub fn with_room(first: EntryId, rows: u64) -> Option<EntryId> {
    match first.seq.checked_add(rows) {
        Some(_) => Some(first),
        None => Some(EntryId { ms: first.ms.checked_add(1)?, seq: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::{BatchWriting, Ended};
    use super::super::outcome::{FillReason, FillStatus};
    use super::*;

    const NOW: u64 = 1_796_000_000_000_000;
    const MAX: u64 = u64::MAX;

    #[test]
    fn a_job_of_the_future_and_of_infinite_size_is_confined() {
        let id = EntryId { ms: MAX, seq: MAX };
        let flaw = Flaw { reason: FillReason::Budget, detail: "x".repeat(1_000) };
        let mut job = FillJob {
            cursor_us: MAX,
            rows: MAX,
            known: MAX,
            canceled: MAX,
            requests: u32::MAX,
            failures: u32::MAX,
            failing_since_us: MAX,
            next_us: MAX,
            edges: Some(Edges { fingerprints: "f".repeat(MAX_EDGES * DIGITS + 1), are_trimmed: false }),
            writing: Some(BatchWriting { first: id, rows: MAX, canceled: MAX, known: MAX, cursor_us: MAX }),
            flaw: Some(flaw.clone()),
            ended: Some(Ended { id, status: FillStatus::Partial, flaw: Some(flaw), at_us: MAX }),
            ..FillJob::new(id, "price:SPY".into(), (MAX, MAX))
        };
        assert_eq!(job.confine(NOW), 7);
        let times = [job.from_us, job.to_us, job.cursor_us, job.next_us, job.failing_since_us];
        assert_eq!(times, [NOW; 5]);
        assert_eq!(job.edges, Some(Edges::new(&[], true)));
        assert!(job.requests <= MAX_REQUESTS && job.flaw.as_ref().unwrap().detail.len() < 1_000);
        let ended = job.ended.clone().unwrap();
        assert!(ended.at_us == NOW && ended.flaw.unwrap().detail.len() < 1_000);
        // nothing overflows
        job.settle_writing();
        assert!(job.rows + job.known + job.canceled <= 6 * MAX_COUNT && job.cursor_us == NOW);
    }

    #[test]
    fn a_job_of_ours_is_left_as_it_is() {
        let mut job = FillJob::new(EntryId { ms: 7, seq: 0 }, "price:SPY".into(), (NOW - 5, NOW));
        job.next_us = NOW + 120_000_000;
        job.edges = Some(Edges::new(&vec![7; MAX_EDGES], false));
        job.mar(Flaw::new(FillReason::Budget, "x"));
        let before = job.clone();
        assert_eq!((job.confine(NOW), &job), (0, &before));
    }

    #[test]
    fn a_reserved_id_is_of_now_or_continues_the_stream() {
        let id = |ms, seq| EntryId { ms, seq };
        let now_ms = NOW / 1000;
        for (next, last, can_be) in [
            (id(now_ms, 0), id(0, 0), true),
            (id(now_ms, 0), id(now_ms, 0), false),
            (id(now_ms + 300_000, 9), id(0, 0), true),
            (id(now_ms + 300_001, 0), id(0, 0), false),
            (id(MAX, MAX), id(5, 0), false),
            (id(MAX - 1, 3), id(MAX - 1, 2), true),
            (id(MAX - 1, 0), id(MAX - 2, MAX), true),
            (id(MAX, 0), id(MAX - 2, 0), false),
        ] {
            assert_eq!(can_be_next(next, last, NOW), can_be, "{next} after {last}");
        }
    }

    #[test]
    fn consecutive_ids_have_room_in_their_millisecond() {
        let id = |ms, seq| EntryId { ms, seq };
        assert_eq!(with_room(id(5, 7), 250), Some(id(5, 7)));
        assert_eq!(with_room(id(5, MAX - 250), 250), Some(id(5, MAX - 250)));
        assert_eq!(with_room(id(5, MAX - 249), 250), Some(id(6, 0)));
        assert_eq!(with_room(id(MAX, MAX), 1), None);
    }
}
