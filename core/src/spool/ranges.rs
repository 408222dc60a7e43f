//! Sets of record numbers, stored as ranges.

/// Maximum number of ranges. Each is a place of dropped segments or corrupt bytes, so more are unlikely; beyond,
/// the lowest are forgotten, which at worst reports them again.
const MAX_RANGES: usize = 4096;

/// Disjoint, non-empty, non-adjacent ranges `from..to` in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds the numbers `from..to`.
    pub fn insert(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let start = self.0.partition_point(|range| range.1 < from);
        let end = self.0.partition_point(|range| range.0 <= to);
        let merged = self
            .0
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .fold((from, to), |(from, to), range| (from.min(range.0), to.max(range.1)));
        self.0.splice(start..end, [merged]);
        if self.0.len() > MAX_RANGES {
            self.0.remove(0);
        }
    }

    /// Returns how many numbers of `from..to` are in the set.
    #[must_use]
    pub fn covered(&self, from: u64, to: u64) -> u64 {
        let start = self.0.partition_point(|range| range.1 <= from);
        let within = self.0.iter().skip(start).take_while(|range| range.0 < to);
        within.map(|range| range.1.min(to).saturating_sub(range.0.max(from))).sum()
    }

    /// Whether a number is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.covered(number, number.saturating_add(1)) > 0
    }

    /// Removes all numbers below `below`.
    pub fn forget_below(&mut self, below: u64) {
        self.0.retain(|range| range.1 > below);
        if let Some(first) = self.0.first_mut() {
            first.0 = first.0.max(below);
        }
    }

    /// Iterates over the ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_set_of_its_numbers(
            inserts in proptest::collection::vec((0u64..60, 0u64..12), 0..20),
            below in 0u64..60,
            (from, len) in (0u64..60, 0u64..30),
        ) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (from, len) in inserts {
                ranges.insert(from, from + len);
                set.extend(from..from + len);
            }
            ranges.forget_below(below);
            set.retain(|number| *number >= below);
            prop_assert_eq!(ranges.covered(from, from + len), set.range(from..from + len).count() as u64);
            let numbers: Vec<u64> = ranges.iter().flat_map(|(from, to)| from..to).collect();
            prop_assert_eq!(numbers, set.into_iter().collect::<Vec<_>>());
            prop_assert!(ranges.0.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
