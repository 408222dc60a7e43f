//! Damage found on disk. It is reported, counted and skipped; it never stops the queue.

use std::collections::BTreeMap;
use std::ops::Range;

crate::labelled! {
    /// The kind of damage.
    DamageKind {
        /// Incomplete record at the end of the newest segment: the process or machine failed during a write.
        /// Truncated.
        TornTail = "torn_tail",
        /// Corrupt bytes within a segment. Reading continues after them.
        BadBytes = "bad_bytes",
        /// Records are missing between two segments or before the first one.
        MissingSegment = "missing_segment",
        /// Records covered by the last cursor are missing at the end.
        MissingTail = "missing_tail",
        /// Records were dropped for lack of space, possibly without a report before the process ended.
        Dropped = "dropped",
        /// A segment of a later version, moved to the salvage folder whole.
        NewerVersion = "newer_version",
        /// The cursor is unreadable: all records present count as unacknowledged. Repeated writes are harmless.
        BadCursor = "bad_cursor",
        /// `removed` is unreadable: losses of removed records in Redis can no longer be detected.
        BadRemoved = "bad_removed",
        /// An unknown file, left alone.
        ForeignFile = "foreign_file",
        /// The salvage folder has reached its bound; the oldest copy was deleted, or cannot be.
        AsideFull = "aside_full",
    }
}

/// A single occurrence of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its kind.
    pub kind: DamageKind,
    /// File name within the shard's folder.
    pub file: String,
    /// Offset in the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Unacknowledged events lost and not reported before; `None` if the number is unknown.
    pub events: Option<u64>,
    /// Their record numbers, if known.
    pub records: Vec<Range<u64>>,
    /// Receive time of the last valid record before it, in Unix microseconds.
    pub from_us: Option<u64>,
    /// Receive time of the next valid record after it, in Unix microseconds.
    pub to_us: Option<u64>,
    /// Affected channels, as far as known, with the known number of events of each.
    pub channels: BTreeMap<String, u64>,
    /// Description for logs and people.
    pub detail: String,
}

impl Damage {
    /// Creates damage without lost events.
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

    /// Subtracts events that are not lost after all, by channel.
    pub fn spare(&mut self, events: &BTreeMap<String, u64>) {
        self.events = self.events.map(|lost| lost.saturating_sub(events.values().sum()));
        for (channel, spared) in events {
            if let Some(lost) = self.channels.get_mut(channel) {
                *lost = lost.saturating_sub(*spared);
            }
        }
    }

    /// Whether events are lost, or may be.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.events != Some(0)
    }
}
