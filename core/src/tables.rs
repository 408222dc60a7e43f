//! Bounds of the tables whose keys the feed chooses: streams and routes by symbol.
//!
//! A hostile feed may name a new symbol in every event. What leaves a table is found again where it came from, in
//! Redis, in the disk queue or by rebuilding it: that costs time, but neither memory nor events.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Maximum number of streams in a table, over all shards. A whole market on seven channels has some 20 000 active ones.
/// An entry takes 100 to 400 bytes, depending on the table.
pub const MAX_STREAMS: usize = 32_768;
/// Maximum number of cached routes of all connections, and of those of all disk queues; 700 bytes each.
pub const MAX_ROUTES: usize = 32_768;

/// Returns the part of a bound that each of `parts` has, at least one.
#[must_use]
pub const fn share(bound: usize, parts: usize) -> usize {
    let share = if parts > 1 { bound / parts } else { bound };
    if share == 0 { 1 } else { share }
}

/// Removes the entries with the lowest values beyond `max`; returns their number.
pub fn keep_highest<K: Eq + Hash, V, O: Ord + Copy, S: BuildHasher>(
    entries: &mut HashMap<K, V, S>,
    max: usize,
    order: impl Fn(&V) -> O,
) -> u64 {
    let surplus = entries.len().saturating_sub(max);
    if surplus == 0 {
        return 0;
    }
    if max == 0 {
        entries.clear();
        return surplus as u64;
    }
    let mut values: Vec<O> = entries.values().map(&order).collect();
    let (lower, lowest_kept, _) = values.select_nth_unstable(surplus);
    let lowest_kept = *lowest_kept;
    // IDs of one millisecond may be equal
    let mut equal_surplus = surplus - lower.iter().filter(|value| **value < lowest_kept).count();
    entries.retain(|_, value| match order(value).cmp(&lowest_kept) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal if equal_surplus > 0 => {
            equal_surplus -= 1;
            false
        }
        _ => true,
    });
    entries.shrink_to_fit();
    surplus as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_is_never_nothing() {
        assert_eq!([share(64, 0), share(64, 1), share(64, 3), share(64, 100)], [64, 64, 21, 1]);
    }

    proptest! {
        #[test]
        fn the_highest_are_kept_and_no_more_than_fit(values: Vec<u8>, max in 0_usize..20) {
            let mut entries: HashMap<usize, u8> = values.iter().copied().enumerate().collect();
            let removed = usize::try_from(keep_highest(&mut entries, max, |value| *value)).unwrap();
            prop_assert_eq!(entries.len(), values.len().min(max));
            prop_assert_eq!(removed, values.len() - entries.len());
            let mut expected = values;
            expected.sort_unstable();
            let mut kept: Vec<u8> = entries.into_values().collect();
            kept.sort_unstable();
            prop_assert_eq!(&kept[..], &expected[removed..]);
        }
    }
}
