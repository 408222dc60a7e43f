//! The latest entries confirmed by Redis, for rewriting those that it loses: after a restart without its data or with a
//! log that is a second old, or after failover to a lagging replica.

use std::collections::VecDeque;
use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uw_websocket_core::event::EntryId;

use super::gap::{Gap, moment};

/// Maximum number of entries kept: a day's with an outage every few minutes, and some 100 KiB of a state that is
/// replaced once per second.
pub const MAX_WRITTEN: usize = 256;
/// Time for which an entry is kept, in microseconds: a daily reader of the ledger has seen it by then.
const KEPT_FOR: u64 = 24 * 3_600 * 1_000_000;

/// The entries, oldest first; their IDs increase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    entries: VecDeque<WrittenGap>,
    /// The highest ID of the entries no longer kept.
    #[serde(with = "id", default, skip_serializing_if = "is_zero")]
    left: EntryId,
}

/// A written entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenGap {
    /// The ID.
    #[serde(with = "id")]
    pub id: EntryId,
    /// The time of Redis' confirmation, in Unix microseconds.
    #[serde(with = "moment")]
    at: u64,
    /// Its fields.
    pub gap: Gap,
}

impl Written {
    /// Adds an entry confirmed by Redis at `now`; drops those that are too old or too many.
    pub fn push(&mut self, id: EntryId, gap: Gap, now: u64) {
        // a stream that was removed manually restarts, possibly below future IDs that it had
        self.entries.retain(|entry| entry.id < id);
        self.entries.push_back(WrittenGap { id, at: now, gap });
        self.bound(now);
    }

    fn bound(&mut self, now: u64) {
        let is_old = |entry: &WrittenGap| now.saturating_sub(entry.at) > KEPT_FOR;
        while self.entries.len() > MAX_WRITTEN || self.entries.front().is_some_and(is_old) {
            let Some(entry) = self.entries.pop_front() else { return };
            self.left = self.left.max(entry.id);
        }
    }

    /// Returns the entries missing from a stream with this last ID.
    #[must_use]
    pub fn above(&self, last: EntryId) -> Vec<WrittenGap> {
        self.entries.iter().filter(|entry| entry.id > last).cloned().collect()
    }

    /// Returns whether a stream with this last ID has lost entries that are no longer kept.
    #[must_use]
    pub fn has_lost_older(&self, last: EntryId) -> bool {
        last < self.left
    }

    /// Returns whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && is_zero(&self.left)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(id: &EntryId) -> bool {
    *id == EntryId::default()
}

mod id {
    use super::{Deserialize, Deserializer, Display, EntryId, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<EntryId, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::gap::GapReason;
    use uw_websocket_core::event::Family;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    fn gap(n: u64) -> Gap {
        Gap::new(Family::News, vec!["news".into()], (n, n), GapReason::Crash)
    }

    fn ids(entries: &[WrittenGap]) -> Vec<u64> {
        entries.iter().map(|entry| entry.id.ms).collect()
    }

    #[test]
    fn what_a_stream_does_not_have_is_what_is_above_its_last_id() {
        let mut written = Written::default();
        assert!(written.is_empty());
        (1..=3).for_each(|n| written.push(id(n), gap(n), n));
        assert_eq!(ids(&written.above(EntryId::default())), [1, 2, 3]);
        assert_eq!(ids(&written.above(id(2))), [3]);
        assert!(written.above(id(3)).is_empty() && !written.has_lost_older(EntryId::default()));
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Written>(&json).unwrap(), written);
    }

    #[test]
    fn the_newest_are_kept_for_a_day_and_what_left_is_known() {
        let mut written = Written::default();
        let count = MAX_WRITTEN as u64;
        (1..=count + 1).for_each(|n| written.push(id(n), gap(n), 0));
        assert_eq!(written.above(EntryId::default()).len(), MAX_WRITTEN);
        assert_eq!(
            (written.has_lost_older(EntryId::default()), written.has_lost_older(id(1))),
            (true, false)
        );
        written.push(id(count + 2), gap(0), KEPT_FOR + 1);
        assert_eq!(ids(&written.above(EntryId::default())), [count + 2]);
        assert!(written.has_lost_older(id(count)) && !written.has_lost_older(id(count + 1)));
    }
}
