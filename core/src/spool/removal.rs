//! Removal from disk: acknowledged segments after a while, unacknowledged ones when space is needed.
//!
//! **Removal**: first `cursor` and `removed` are replaced by renames, then segments are deleted, oldest first. A
//! crash in between leaves an extra segment, never an unreported loss. On a full disk the first segment is deleted
//! before, since otherwise space could never be freed.
//!
//! **Dropping**: the numbers are first recorded as `dropping`. On opening, those not found are reported as
//! [`super::DamageKind::Dropped`], and those still on disk are delivered. The next cursor marks them `absent`: by
//! then the caller has recorded the loss. Damage follows the same rule: it is reported on every opening until a
//! cursor has been written.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::cursor::{REMOVED, encode_removed, merge_removed};
use super::dropped::Dropped;
use super::error::{Context as _, SpoolError};
use super::queue::{Limits, Spool};
use super::ranges::Ranges;
use super::records::Summary;
use super::retain::Retain;
use super::segment::Segment;
use crate::event::EntryId;

/// Asked to remove more segments than exist.
const GONE: SpoolError = SpoolError::Contradiction("removal of an unknown segment");

/// The result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of segments removed.
    pub segments: u64,
    /// Bytes freed.
    pub bytes: u64,
}

impl Spool {
    /// Removes segments whose records have all been acknowledged and need no longer be retained.
    pub fn sweep(&mut self, now: Instant, retain: impl Into<Retain>) -> Result<Swept, SpoolError> {
        let retain = retain.into();
        // on a quiet feed no append seals it
        let limits = self.limits;
        let is_due = |newest: &Segment| newest.acknowledged_at.is_some() && limits.is_due(newest, now);
        if self.writing.is_some() && self.segments.back().is_some_and(is_due) {
            self.seal();
        }
        let is_over = |segment: &Segment| {
            segment.acknowledged_at.is_some_and(|at| retain.is_over(at, now)) && !self.holding.holds(segment)
        };
        let sealed = self.segments.len() - usize::from(self.writing.is_some());
        let count = self.segments.iter().take(sealed).take_while(|segment| is_over(segment)).count();
        self.remove_first(count)
    }

    /// Makes room for `needed` bytes by removing acknowledged segments, oldest first, held ones included.
    pub(super) fn make_room(&mut self, needed: u64) -> Result<(), SpoolError> {
        let max_bytes = self.limits.max_bytes;
        let mut surplus = (self.bytes + Limits::room(needed)).saturating_sub(max_bytes);
        if surplus == 0 {
            return Ok(());
        }
        let mut count = 0;
        for segment in self.segments.iter().take_while(|segment| segment.acknowledged_at.is_some()) {
            if surplus == 0 {
                break;
            }
            surplus = surplus.saturating_sub(segment.bytes);
            count += 1;
        }
        if surplus > 0 {
            return Err(SpoolError::Full { needed, max_bytes });
        }
        self.remove_first(count).map(drop)
    }

    /// Removes all acknowledged segments; returns whether there were any.
    pub(super) fn remove_acknowledged(&mut self) -> Result<bool, SpoolError> {
        let count = self.segments.iter().take_while(|segment| segment.acknowledged_at.is_some()).count();
        self.remove_first(count).map(|swept| swept.segments > 0)
    }

    /// Removes the oldest `count` segments, all of them acknowledged.
    fn remove_first(&mut self, count: usize) -> Result<Swept, SpoolError> {
        let mut swept = Swept::default();
        if count == 0 {
            return Ok(swept);
        }
        if count == self.segments.len() {
            self.seal();
        }
        for segment in self.segments.iter().take(count) {
            self.forgotten +=
                merge_removed(&mut self.removed, segment.last_ids.iter(), self.limits.max_streams);
        }
        let mut written = self.note_removal();
        for _ in 0..count {
            match written {
                // on a full disk nothing can be recorded before something is deleted
                Err(error) if !error.is_full() => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let segment = self.segments.front().ok_or(GONE)?;
            let untaken = self.holding.untaken(segment, &self.folder);
            self.delete(segment)?;
            swept.segments += 1;
            swept.bytes += segment.bytes;
            self.bytes -= segment.bytes;
            self.segments.pop_front();
            self.note_untaken(untaken);
            if written.is_err() {
                written = self.note_removal();
            }
        }
        let kept_from = self.kept_from();
        self.place.take_if(|place| place.first < kept_from);
        match written {
            // the next successful write of the position covers it
            Err(error) if !error.is_full() => Err(error),
            Ok(()) | Err(_) => Ok(swept),
        }
    }

    fn note_removal(&mut self) -> Result<(), SpoolError> {
        self.persist_cursor()?;
        self.persist_removed()
    }

    /// Records the last IDs of streams stored without passing through the disk queue: like those of removed
    /// records, they cannot be rewritten.
    pub fn note_unspooled<'l>(&mut self, last_ids: impl IntoIterator<Item = (&'l Arc<str>, &'l EntryId)>) {
        let max = self.limits.max_streams;
        self.forgotten += merge_removed(&mut self.removed, last_ids.into_iter(), max);
    }

    /// Writes `removed` to disk. A removal does so itself.
    pub fn persist_removed(&mut self) -> Result<(), SpoolError> {
        self.replace(REMOVED, &encode_removed(&self.removed))
    }

    /// Drops the oldest whole segments whose records are all unacknowledged and not below `protected_below`, until
    /// `want_bytes` are free or none is left. `None` if there was none. Count and record the loss before the next
    /// call: only until then does a crash report it again, as [`super::DamageKind::Dropped`].
    pub fn drop_oldest(
        &mut self,
        protected_below: u64,
        want_bytes: u64,
    ) -> Result<Option<Dropped>, SpoolError> {
        let protected = protected_below.max(self.cursor.acknowledged);
        let start = self.segments.partition_point(|segment| segment.first < protected);
        let (mut count, mut bytes) = (0, 0);
        for segment in self.segments.range(start..).filter(|segment| !segment.is_empty()) {
            if bytes >= want_bytes && count > 0 {
                break;
            }
            bytes += segment.bytes;
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        if start + count >= self.segments.len() {
            self.seal();
        }
        for segment in self.segments.range(start..start + count) {
            self.cursor.dropping.insert(segment.first, segment.end);
        }
        if let Err(error) = self.persist_cursor()
            && !error.is_full()
        {
            self.cursor.dropping = Ranges::default();
            return Err(error);
        }
        self.drop_noted((start, count))
    }

    fn drop_noted(&mut self, (start, count): (usize, usize)) -> Result<Option<Dropped>, SpoolError> {
        let mut dropped = Vec::new();
        let mut failure = None;
        for _ in 0..count {
            let deleted = self.segments.get(start).ok_or(GONE).and_then(|segment| {
                self.delete(segment)?;
                Ok(segment)
            });
            let segment = match deleted {
                Ok(segment) => segment,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            self.bytes -= segment.bytes;
            self.cursor.absent.insert(segment.first, segment.end);
            dropped.extend(self.segments.remove(start));
        }
        // the caller knows of them from here on, and the next cursor says so
        self.cursor.dropping = Ranges::default();
        (self.place, self.oldest) = (None, None);
        match (total(&dropped), failure) {
            (None, Some(error)) => Err(error),
            // the loss must be reported; the failure recurs with the next call
            (dropped, _) => Ok(dropped),
        }
    }

    fn delete(&self, segment: &Segment) -> Result<(), SpoolError> {
        let path = segment.path(&self.folder);
        match fs::remove_file(&path) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted.context("delete", &path),
        }
    }
}

fn total(segments: &[Segment]) -> Option<Dropped> {
    let (first, last) = (segments.first()?, segments.last()?);
    let mut summary = Summary::default();
    for segment in segments {
        summary.add(&segment.summary);
    }
    let (from_us, to_us) = summary.times.unwrap_or_default();
    Some(Dropped {
        events: summary.channels.into_iter().collect(),
        from_us,
        to_us,
        first_seq: first.first,
        last_seq: last.end.saturating_sub(1),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
    })
}
