//! The bounded queue of gaps waiting to be written, in order.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uw_websocket_core::event::EntryId;

use super::gap::Gap;
use uw_websocket_core::time::hold_back;

/// Maximum number of waiting gaps: an hour without Redis in which each of ten connections is lost once per minute. They
/// are written to disk once per second, at most half a megabyte. Beyond it, the oldest ones of a kind are merged.
pub const MAX_WAITING: usize = 600;

/// The gaps, oldest first; those with an ID precede those without.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GapQueue(VecDeque<Queued>);

/// A waiting gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The ID of its entry, once assigned: from then on it may be in Redis.
    #[serde(with = "entry_id", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EntryId>,
    /// The number of gaps that it stands for.
    pub stands_for: u32,
    /// The gap.
    pub gap: Gap,
}

impl Queued {
    /// Returns the gap as it is to be written: a merged one states the number of gaps.
    #[must_use]
    pub fn to_write(&self) -> Gap {
        let gap = self.gap.clone();
        if self.stands_for < 2 {
            return gap;
        }
        let detail = format!("{} gaps in one; the last: {}", self.stands_for, gap.detail);
        gap.with_detail(detail)
    }
}

impl GapQueue {
    /// Adds a gap. If there are too many, merges the two oldest of one kind without an ID.
    pub fn push(&mut self, gap: Gap) {
        self.0.push_back(Queued { id: None, stands_for: 1, gap });
        if self.0.len() > MAX_WAITING {
            self.merge_oldest();
        }
    }

    /// Adds the gaps of another queue.
    pub fn append(&mut self, other: GapQueue) {
        self.0.extend(other.0);
        // those with IDs first, in their order
        self.0.make_contiguous().sort_by_key(|queued| (queued.id.is_none(), queued.id));
        while self.0.len() > MAX_WAITING && self.merge_oldest() {}
    }

    /// Assigns IDs above `last` to the oldest gaps without one, so that at most `limit` have one. An ID is the end of
    /// its gap if the IDs then still increase.
    pub fn number(&mut self, last: EntryId, limit: usize) {
        let numbered = self.0.iter().filter_map(|queued| queued.id).max();
        let mut last = numbered.map_or(last, |id| id.max(last));
        for queued in self.0.iter_mut().take(limit).filter(|queued| queued.id.is_none()) {
            let wanted = EntryId { ms: queued.gap.to_us / 1000, seq: 0 };
            last = if wanted > last { wanted } else { after(last) };
            queued.id = Some(last);
        }
    }

    /// Returns whether one of the first `limit` has no ID.
    #[must_use]
    pub fn needs_ids(&self, limit: usize) -> bool {
        self.0.iter().take(limit).any(|queued| queued.id.is_none())
    }

    /// Removes all IDs: none of these gaps is in Redis, and the stream has passed their IDs.
    pub fn forget_ids(&mut self) {
        for queued in &mut self.0 {
            queued.id = None;
        }
    }

    /// Removes the IDs above the stream's last one if any of them lies in the future: all later IDs would have to
    /// exceed it. Returns the number of future IDs.
    pub fn forget_future_ids(&mut self, last: EntryId, now_us: u64) -> u64 {
        let is_future = |id: &EntryId| id.ms > last.ms && hold_back(&mut id.ms.saturating_mul(1000), now_us);
        let future = self.0.iter().filter_map(|queued| queued.id).filter(is_future).count();
        if future > 0 {
            for queued in self.0.iter_mut().filter(|queued| queued.id > Some(last)) {
                queued.id = None;
            }
        }
        future as u64
    }

    /// Returns the gaps for changing their times.
    pub(super) fn gaps_mut(&mut self) -> impl Iterator<Item = &mut Gap> {
        self.0.iter_mut().map(|queued| &mut queued.gap)
    }

    /// Returns the oldest gap.
    #[must_use]
    pub fn first(&self) -> Option<&Queued> {
        self.0.front()
    }

    /// Removes the oldest gap.
    pub fn pop(&mut self) -> Option<Queued> {
        self.0.pop_front()
    }

    /// Iterates over all gaps, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.0.iter()
    }

    /// Returns the number of gaps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `false` if no two are of one kind; there are fewer kinds than [`MAX_WAITING`].
    fn merge_oldest(&mut self) -> bool {
        let is_free = |queued: &Queued| queued.id.is_none();
        for position in 0..self.0.len() {
            if !is_free(&self.0[position]) {
                continue;
            }
            let like = |other: &Queued| is_free(other) && other.gap.is_like(&self.0[position].gap);
            if let Some(next) = self.0.iter().skip(position + 1).position(like)
                && let Some(other) = self.0.remove(position + 1 + next)
            {
                let queued = &mut self.0[position];
                queued.gap.absorb(other.gap);
                queued.stands_for = queued.stands_for.saturating_add(other.stands_for);
                return true;
            }
        }
        false
    }
}

fn after(id: EntryId) -> EntryId {
    match id.seq.checked_add(1) {
        Some(seq) => EntryId { seq, ..id },
        None => EntryId { ms: id.ms.saturating_add(1), seq: 0 },
    }
}

mod entry_id {
    use super::{Deserialize, Deserializer, EntryId, Serializer};

    #[allow(clippy::ref_option, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(id: &Option<EntryId>, to: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => to.collect_str(id),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<EntryId>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse()).transpose().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::gap::GapReason;
    use uw_websocket_core::event::Family;

    fn gap(family: Family, from_us: u64, to_us: u64) -> Gap {
        Gap::new(family, vec![family.name().to_owned()], (from_us, to_us), GapReason::Disconnect)
    }

    fn id(ms: u64, seq: u64) -> EntryId {
        EntryId { ms, seq }
    }

    #[test]
    fn ids_rise_above_the_last_one_and_are_the_end_of_the_gap_where_they_can() {
        let mut queue = GapQueue::default();
        for to_ms in [5, 9, 7, 20] {
            queue.push(gap(Family::Gex, 0, to_ms * 1000));
        }
        queue.number(id(6, 3), 3);
        let ids = |queue: &GapQueue| queue.iter().map(|queued| queued.id).collect::<Vec<_>>();
        assert_eq!(ids(&queue), [Some(id(6, 4)), Some(id(9, 0)), Some(id(9, 1)), None]);
        assert!(!queue.needs_ids(3) && queue.needs_ids(4));
        queue.number(id(0, 0), 4);
        assert_eq!(ids(&queue)[3], Some(id(20, 0)));
        queue.forget_ids();
        queue.number(id(30, u64::MAX), 1);
        assert_eq!(ids(&queue), [Some(id(31, 0)), None, None, None]);
    }

    #[test]
    fn ids_of_a_future_that_the_stream_has_not_reached_are_taken_away() {
        let (day, year) = (24 * 3_600_000, 365 * 24 * 3_600_000);
        let ids = |last: EntryId| {
            let mut queue = GapQueue::default();
            for to_ms in [day, day + 1, year] {
                queue.push(gap(Family::Gex, 0, to_ms * 1000));
            }
            queue.number(id(0, 0), 3);
            let future = queue.forget_future_ids(last, 2 * day * 1000);
            (future, queue.iter().map(|queued| queued.id.map(|id| id.ms)).collect::<Vec<_>>())
        };
        assert_eq!(ids(id(day, 0)), (1, vec![Some(day), None, None]));
        assert_eq!(ids(id(year, 0)), (0, vec![Some(day), Some(day + 1), Some(year)]));
    }

    #[test]
    fn a_merged_gap_says_how_many_it_stands_for() {
        let mut queue = GapQueue::default();
        queue.push(gap(Family::News, 0, 1).with_events(2));
        for n in 0..u64::try_from(MAX_WAITING).unwrap() {
            queue.push(gap(Family::Gex, n * 10, n * 10 + 5).with_events(1).with_detail("cut"));
        }
        assert_eq!(queue.len(), MAX_WAITING);
        assert_eq!(queue.first().unwrap().to_write().detail, "");
        let merged = queue.iter().nth(1).unwrap().to_write();
        assert_eq!((merged.from_us, merged.to_us, merged.events), (0, 15, Some(2)));
        assert_eq!(merged.detail, "2 gaps in one; the last: cut");
    }

    #[test]
    fn a_queue_comes_back_from_its_json() {
        let mut queue = GapQueue::default();
        queue.push(gap(Family::News, 0, 1_000_000));
        queue.push(gap(Family::Gex, 0, 2_000_000).with_events(2));
        queue.number(id(0, 0), 1);
        let json = serde_json::to_string(&queue).unwrap();
        let back: GapQueue = serde_json::from_str(&json).unwrap();
        assert_eq!(back.0, queue.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_bound_holds_and_no_moment_and_no_event_is_lost(
            gaps in proptest::collection::vec((0_usize..6, 0_u64..1000, 0_u64..100, 0_u64..5), 0..MAX_WAITING * 2),
            numbered in 0_usize..10,
        ) {
            let mut queue = GapQueue::default();
            for (position, (family, from, length, events)) in gaps.iter().enumerate() {
                queue.push(gap(Family::ALL[*family], *from, from + length).with_events(*events));
                if position == 20 { queue.number(id(0, 0), numbered); }
            }
            prop_assert!(queue.len() <= MAX_WAITING);
            let events = |queued: &Queued| queued.gap.events.unwrap();
            prop_assert_eq!(queue.iter().map(events).sum::<u64>(), gaps.iter().map(|gap| gap.3).sum::<u64>());
            prop_assert_eq!(queue.iter().map(|q| u64::from(q.stands_for)).sum::<u64>(), gaps.len() as u64);
            for (family, from, length, _) in &gaps {
                let covers = |queued: &Queued| queued.gap.family == Family::ALL[*family]
                    && queued.gap.from_us <= *from && queued.gap.to_us >= from + length;
                prop_assert!(queue.iter().any(covers));
            }
        }
    }
}
