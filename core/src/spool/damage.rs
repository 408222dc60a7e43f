//! What is found that should not be so. Damage is reported, counted and passed over; it never stops the queue.

use std::collections::BTreeMap;
use std::ops::Range;

crate::labelled! {
    /// What is wrong.
    DamageKind {
        /// Bytes at the end of the newest segment that are no whole record: the process or the machine went down in the
        /// middle of a write. They were cut off.
        TornTail = "torn_tail",
        /// Bytes within a segment that are not what was written. Reading goes on behind them.
        BadBytes = "bad_bytes",
        /// Records are missing between two segments or before the first one.
        MissingSegment = "missing_segment",
        /// Records that were there when the cursor was last written are missing at the end.
        MissingTail = "missing_tail",
        /// Records were dropped for want of room, but the process ended before it was certain to have said so.
        Dropped = "dropped",
        /// A segment of a later version. It was set aside whole.
        NewerVersion = "newer_version",
        /// The cursor is not readable: all records that are there count as unacknowledged. A repeated write is harmless.
        BadCursor = "bad_cursor",
        /// What removed segments held is not readable: a loss in Redis of removed records cannot be noticed any more.
        BadRemoved = "bad_removed",
        /// A file that is not ours. It was left alone.
        ForeignFile = "foreign_file",
        /// The folder of what was set aside has reached its bound; the oldest copy in it was deleted, or cannot be.
        AsideFull = "aside_full",
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What.
    pub kind: DamageKind,
    /// Name of the file in the shard's folder.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Unacknowledged events that are lost by it and were not reported before; `None` is an unknown number.
    pub events: Option<u64>,
    /// The numbers of their records, where it is known.
    pub records: Vec<Range<u64>>,
    /// Receive time of the last good record before, in Unix microseconds.
    pub from_us: Option<u64>,
    /// Receive time of the next good record after it.
    pub to_us: Option<u64>,
    /// The channels that are concerned, as far as they are known, with how many events of each are known to be.
    pub channels: BTreeMap<String, u64>,
    /// For people.
    pub detail: String,
}

impl Damage {
    /// Damage without lost events.
    pub(super) fn new(kind: DamageKind, file: impl Into<String>, detail: impl Into<String>) -> Damage {
        Damage {
            kind,
            file: file.into(),
            offset: 0,
            bytes: 0,
            events: Some(0),
            records: Vec::new(),
            from_us: None,
            to_us: None,
            channels: BTreeMap::new(),
            detail: detail.into(),
        }
    }

    /// Leaves out events that are not lost by it after all, by channel.
    pub fn spare(&mut self, events: &BTreeMap<String, u64>) {
        self.events = self.events.map(|lost| lost.saturating_sub(events.values().sum()));
        for (channel, spared) in events {
            if let Some(lost) = self.channels.get_mut(channel) {
                *lost = lost.saturating_sub(*spared);
            }
        }
    }

    /// Whether something is broken, rather than odd.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.events != Some(0)
    }
}
