//! One file of the queue, as it is known in memory.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::format::{SEGMENT_HEADER, StreamName};
use super::records::{Mark, Records, Summary};
use crate::event::EntryId;

/// Name of the file with what is being rewritten.
pub(super) const REDO: &str = "reassign.redo";

const ENDING: &str = ".seg";
/// Digits of the number in a segment's name, so that names sort as the numbers do.
const DIGITS: usize = 20;

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first record, which names it.
    pub first: u64,
    /// The number after its last record.
    pub end: u64,
    /// Bytes of it that count; a failed write may have left more.
    pub bytes: u64,
    pub created: Instant,
    /// Since when all its records have been acknowledged.
    pub acknowledged_at: Option<Instant>,
    pub summary: Summary,
    /// Where some of its records are, in rising order.
    pub marks: Vec<Mark>,
    /// The highest id that was stored from it, by stream.
    pub lasts: HashMap<Arc<str>, EntryId>,
    /// For the making of stream names.
    name: String,
}

impl Segment {
    /// A segment that has only its header.
    pub(super) fn empty(first: u64, now: Instant) -> Segment {
        Segment {
            first,
            end: first,
            bytes: SEGMENT_HEADER as u64,
            created: now,
            acknowledged_at: None,
            summary: Summary::default(),
            marks: vec![Mark { seq: first, offset: SEGMENT_HEADER as u64 }],
            lasts: HashMap::new(),
            name: String::new(),
        }
    }

    /// Takes note of records that were written at its end.
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

    /// The nearest known place at or before a record.
    pub(super) fn mark_before(&self, seq: u64) -> Mark {
        let after = self.marks.partition_point(|mark| mark.seq <= seq);
        let mark = after.checked_sub(1).and_then(|at| self.marks.get(at)).copied();
        mark.unwrap_or(Mark { seq: self.first, offset: SEGMENT_HEADER as u64 })
    }

    /// Takes note of the last ids of acknowledged records.
    pub(super) fn note_lasts(&mut self, lasts: &[(Arc<str>, EntryId)]) {
        for (stream, id) in lasts {
            match self.lasts.get_mut(stream) {
                Some(last) => *last = (*last).max(*id),
                None => drop(self.lasts.insert(Arc::clone(stream), *id)),
            }
        }
    }

    /// Takes note of the id of an acknowledged record.
    pub(super) fn note_last(&mut self, stream: StreamName<'_>, id: EntryId) {
        self.name.clear();
        // a `String` takes all
        write!(self.name, "{stream}").ok();
        match self.lasts.get_mut(self.name.as_str()) {
            Some(last) => *last = (*last).max(id),
            None => drop(self.lasts.insert(Arc::from(self.name.as_str()), id)),
        }
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(segment_name(self.first))
    }
}

pub(super) fn segment_name(first: u64) -> String {
    format!("{first:0DIGITS$}{ENDING}")
}

/// The number in a segment's name.
pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    let valid = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| valid)
}
