//! Rows that need not be written: events of the live stream, and rows fetched before.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::channel::fill::RowIdentity;

/// Fingerprints with their numbers.
#[derive(Clone, Debug, Default)]
pub struct KnownRows {
    counts: HashMap<u64, u32, RandomState>,
}

impl KnownRows {
    /// Adds an event or a row.
    pub fn add(&mut self, fingerprint: u64) {
        let count = self.counts.entry(fingerprint).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether a row is known; where several events may be equal, each of them makes one row known.
    pub fn take(&mut self, identity: RowIdentity, fingerprint: u64) -> bool {
        match (identity, self.counts.get_mut(&fingerprint)) {
            (RowIdentity::Unique(_), Some(_)) => true,
            (RowIdentity::Shared(_), Some(count)) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Returns the number of different events and rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Returns whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_known_always_and_equal_events_as_often_as_they_came() {
        let mut known = KnownRows::default();
        known.add(1);
        known.add(2);
        known.add(2);
        let unique = [1, 1, 3].map(|row| known.take(RowIdentity::Unique(&[]), row));
        assert_eq!(unique, [true, true, false]);
        let shared = [2, 2, 2].map(|row| known.take(RowIdentity::Shared(&[]), row));
        assert_eq!(shared, [true, true, false]);
        assert!(!known.take(RowIdentity::None, 1));
    }
}
