//! Merges the entries of many streams in the order of their IDs.
//!
//! Each stream is a lane filled page by page. An entry is emitted only if no lane can still supply an earlier one: an
//! empty lane that may have more entries is *hungry*, and delays all others until it is supplied. When no lane is
//! hungry and all are empty, all existing entries have been emitted. Memory is bounded by the supplied pages; the order
//! within a lane is exact, and entries with equal IDs are emitted in the order of their lanes.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use uw_websocket_core::event::EntryId;

/// The lanes.
#[derive(Debug)]
pub struct Merge<E> {
    lanes: Vec<Lane<E>>,
    /// The first entry of every non-empty lane.
    heads: BinaryHeap<Reverse<(EntryId, usize)>>,
    hungry: BTreeSet<usize>,
}

#[derive(Debug)]
struct Lane<E> {
    waiting: VecDeque<(EntryId, E)>,
    /// The ID after which the next page begins.
    after: EntryId,
    /// Whether there may be more after the waiting entries.
    has_more: bool,
    is_closed: bool,
}

impl<E> Default for Merge<E> {
    fn default() -> Merge<E> {
        Merge { lanes: Vec::new(), heads: BinaryHeap::new(), hungry: BTreeSet::new() }
    }
}

impl<E> Merge<E> {
    /// Adds a hungry lane that begins after an ID; returns its number. Numbers increase from 0.
    pub fn add(&mut self, after: EntryId) -> usize {
        self.lanes.push(Lane { waiting: VecDeque::new(), after, has_more: true, is_closed: false });
        let lane = self.lanes.len() - 1;
        self.hungry.insert(lane);
        lane
    }

    /// Closes a lane; its waiting entries are still emitted.
    pub fn close(&mut self, lane: usize) {
        self.lanes[lane].is_closed = true;
        self.hungry.remove(&lane);
    }

    /// Returns the lanes that must be supplied before anything is emitted.
    pub fn hungry(&self) -> impl Iterator<Item = usize> {
        self.hungry.iter().copied()
    }

    /// Returns the open lanes.
    pub fn open(&self) -> impl Iterator<Item = usize> {
        self.lanes.iter().enumerate().filter(|(_, lane)| !lane.is_closed).map(|(number, _)| number)
    }

    /// Makes every open lane hungry: whether they are complete is no longer known.
    pub fn doubt(&mut self) {
        for (number, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_closed) {
            lane.has_more = true;
            if lane.waiting.is_empty() {
                self.hungry.insert(number);
            }
        }
    }

    /// Returns the ID after which the next page of a lane begins.
    #[must_use]
    pub fn after(&self, lane: usize) -> EntryId {
        self.lanes[lane].after
    }

    /// Adds a page to a lane. `has_more` means that entries may follow it. Entries whose IDs do not increase are
    /// omitted.
    pub fn supply(&mut self, lane: usize, page: impl IntoIterator<Item = (EntryId, E)>, has_more: bool) {
        let supplied = &mut self.lanes[lane];
        if supplied.is_closed {
            return;
        }
        let was_empty = supplied.waiting.is_empty();
        for (id, entry) in page {
            if id > supplied.after {
                supplied.after = id;
                supplied.waiting.push_back((id, entry));
            }
        }
        supplied.has_more = has_more;
        if let (true, Some((id, _))) = (was_empty, supplied.waiting.front()) {
            self.heads.push(Reverse((*id, lane)));
        }
        if supplied.waiting.is_empty() && has_more {
            self.hungry.insert(lane);
        } else {
            self.hungry.remove(&lane);
        }
    }

    /// Passes over the entries of a lane up to an ID, which cannot be read.
    pub fn pass(&mut self, lane: usize, id: EntryId) {
        let lane = &mut self.lanes[lane];
        lane.after = lane.after.max(id);
    }

    /// Takes the next entry and the number of its lane. `None` while a lane is hungry, or if all are empty.
    pub fn next_entry(&mut self) -> Option<(usize, EntryId, E)> {
        if !self.hungry.is_empty() {
            return None;
        }
        let Reverse((_, number)) = self.heads.pop()?;
        let lane = &mut self.lanes[number];
        let (id, entry) = lane.waiting.pop_front()?;
        match lane.waiting.front() {
            Some((next, _)) => self.heads.push(Reverse((*next, number))),
            None if lane.has_more && !lane.is_closed => _ = self.hungry.insert(number),
            None => {}
        }
        Some((number, id, entry))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    fn page(ids: &[u64]) -> Vec<(EntryId, u64)> {
        ids.iter().map(|ms| (id(*ms), *ms)).collect()
    }

    fn drain(merge: &mut Merge<u64>) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| merge.next_entry()).map(|(lane, _, entry)| (lane, entry)).collect()
    }

    #[test]
    fn nothing_comes_out_while_an_earlier_entry_could_come() {
        let mut merge = Merge::default();
        let (a, b) = (merge.add(id(0)), merge.add(id(0)));
        merge.supply(a, page(&[1, 5]), true);
        assert_eq!(drain(&mut merge), []);
        merge.supply(b, page(&[3]), true);
        assert_eq!(drain(&mut merge), [(a, 1), (b, 3)]);
        assert_eq!(merge.hungry().collect::<Vec<_>>(), [b]);
        assert_eq!(merge.after(b), id(3));
        merge.supply(b, page(&[4, 9]), false);
        assert_eq!(drain(&mut merge), [(b, 4), (a, 5)]);
        merge.supply(a, page(&[]), false);
        assert_eq!(drain(&mut merge), [(b, 9)]);
        assert_eq!(merge.hungry().count(), 0);
    }

    #[test]
    fn what_was_there_before_is_not_taken_again() {
        let mut merge = Merge::default();
        let lane = merge.add(id(2));
        merge.supply(lane, page(&[1, 2, 3]), false);
        merge.supply(lane, page(&[3, 4]), false);
        assert_eq!(drain(&mut merge), [(lane, 3), (lane, 4)]);
    }

    #[test]
    fn a_closed_lane_holds_nobody_up() {
        let mut merge = Merge::default();
        let (a, b) = (merge.add(id(0)), merge.add(id(0)));
        merge.supply(a, page(&[2]), true);
        merge.close(b);
        merge.supply(b, page(&[1]), false);
        assert_eq!(drain(&mut merge), [(a, 2)]);
        merge.doubt();
        assert_eq!(merge.hungry().collect::<Vec<_>>(), [a]);
        assert_eq!(merge.open().collect::<Vec<_>>(), [a]);
    }

    proptest! {
        /// For any streams and page sizes, all entries are emitted in order, and each lane in its own order.
        #[test]
        fn everything_comes_out_in_order(
            lanes in prop::collection::vec(prop::collection::btree_set(1_u64..200, 0..40), 1..6),
            size in 1_usize..7,
        ) {
            let mut merge = Merge::default();
            for _ in &lanes {
                merge.add(id(0));
            }
            let mut out = Vec::new();
            loop {
                out.extend(drain(&mut merge));
                let Some(lane) = merge.hungry().next() else { break };
                let after = merge.after(lane).ms;
                let next: Vec<u64> = lanes[lane].iter().copied().filter(|ms| *ms > after).take(size).collect();
                merge.supply(lane, page(&next), next.len() == size);
            }
            let mut all: Vec<(u64, usize)> = lanes
                .iter()
                .enumerate()
                .flat_map(|(lane, entries)| entries.iter().map(move |ms| (*ms, lane)))
                .collect();
            all.sort_unstable();
            let out: Vec<(u64, usize)> = out.into_iter().map(|(lane, ms)| (ms, lane)).collect();
            prop_assert_eq!(out, all);
        }
    }
}
