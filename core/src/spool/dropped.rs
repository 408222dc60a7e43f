//! Records that were removed before their time.

use std::collections::BTreeMap;

/// Unacknowledged records dropped for lack of space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Events by channel.
    pub events: BTreeMap<String, u64>,
    /// Oldest receive time, in Unix microseconds; 0 if `events` is empty, since all of them were damaged.
    pub from_us: u64,
    /// Newest receive time, or 0.
    pub to_us: u64,
    /// Number of the first record.
    pub first_seq: u64,
    /// Number of the last record.
    pub last_seq: u64,
    /// Bytes freed.
    pub bytes: u64,
}
