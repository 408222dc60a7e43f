//! The in-memory state of a segment file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::cursor::{Removed, merge_removed};
use super::format::{RecordStream, SEGMENT_HEADER};
use super::records::{Mark, Records, Summary};
use crate::event::EntryId;

/// File name of an ID rewrite in progress.
pub(super) const REDO: &str = "reassign.redo";

const ENDING: &str = ".seg";
/// Number of digits in a segment's name, so that names sort like numbers.
const DIGITS: usize = 20;

/// The in-memory state of a segment.
#[derive(Debug)]
pub(super) struct Segment {
    /// Number of its first record, which is also its name.
    pub first: u64,
    /// Number after its last record.
    pub end: u64,
    /// Valid length; a failed write may have left more.
    pub bytes: u64,
    pub created: Instant,
    /// Time at which all its records were acknowledged.
    pub acknowledged_at: Option<Instant>,
    pub summary: Summary,
    /// Positions of some of its records, in order.
    pub marks: Vec<Mark>,
    /// The highest ID stored from it, by stream.
    pub last_ids: HashMap<Arc<str>, EntryId>,
    /// Scratch space for stream names.
    name: String,
}

impl Segment {
    /// Creates a segment without records.
    pub(super) fn empty(first: u64, now: Instant) -> Segment {
        Segment {
            first,
            end: first,
            bytes: SEGMENT_HEADER as u64,
            created: now,
            acknowledged_at: None,
            summary: Summary::default(),
            marks: vec![Mark { seq: first, offset: SEGMENT_HEADER as u64 }],
            last_ids: HashMap::new(),
            name: String::new(),
        }
    }

    /// Accounts for records appended to it.
    pub(super) fn extend(&mut self, records: &Records) {
        let at = self.bytes;
        self.marks.extend(records.marks.iter().map(|mark| Mark { offset: at + mark.offset, ..*mark }));
        self.summary.add(&records.summary);
        self.bytes += records.bytes().len() as u64;
        self.end = records.next_seq();
        self.acknowledged_at = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Returns the nearest known position at or before a record.
    pub(super) fn mark_before(&self, seq: u64) -> Mark {
        let after = self.marks.partition_point(|mark| mark.seq <= seq);
        let mark = after.checked_sub(1).and_then(|at| self.marks.get(at)).copied();
        mark.unwrap_or(Mark { seq: self.first, offset: SEGMENT_HEADER as u64 })
    }

    /// Records the last IDs of acknowledged records.
    pub(super) fn note_lasts(&mut self, last_ids: &[(Arc<str>, EntryId)]) {
        for (stream, id) in last_ids {
            match self.last_ids.get_mut(stream) {
                Some(last) => *last = (*last).max(*id),
                None => drop(self.last_ids.insert(Arc::clone(stream), *id)),
            }
        }
    }

    /// Records the ID of an acknowledged record.
    pub(super) fn note_last(&mut self, stream: RecordStream<'_>, id: EntryId) {
        self.name.clear();
        // writing to a `String` cannot fail
        write!(self.name, "{stream}").ok();
        match self.last_ids.get_mut(self.name.as_str()) {
            Some(last) => *last = (*last).max(id),
            None => drop(self.last_ids.insert(Arc::from(self.name.as_str()), id)),
        }
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(segment_name(self.first))
    }
}

/// Treats the records of the oldest segments as removed while there are more than `max` last IDs: should Redis lose
/// them, that is recorded although they can be rewritten, which is better than the reverse. Returns the number of
/// streams forgotten.
pub(super) fn bound_last_ids<'s>(
    segments: impl IntoIterator<Item = &'s mut Segment>,
    removed: &mut Removed,
    max: usize,
) -> u64 {
    let segments: Vec<&mut Segment> = segments.into_iter().collect();
    let mut streams: usize = segments.iter().map(|segment| segment.last_ids.len()).sum();
    let mut forgotten = 0;
    for segment in segments {
        if streams <= max {
            break;
        }
        let last_ids = std::mem::take(&mut segment.last_ids);
        streams -= last_ids.len();
        forgotten += merge_removed(removed, last_ids.iter(), max);
    }
    forgotten
}

pub(super) fn segment_name(first: u64) -> String {
    format!("{first:0DIGITS$}{ENDING}")
}

/// Parses the number in a segment's name.
pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    let valid = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| valid)
}
