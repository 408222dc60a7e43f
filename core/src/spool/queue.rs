//! The queue itself: appending at its end, acknowledging at its beginning, and its position.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cursor::{self, CURSOR, Cursor, Removed};
use super::damage::Damage;
use super::error::{Context as _, SpoolError};
use super::format::{SEGMENT_HEADER, segment_header};
use super::records::Records;
use super::segment::Segment;
use crate::event::EntryId;
use crate::private;

/// Sealed segments that wait to be synced. Whoever syncs is far behind when there are more; then the append waits for
/// the oldest, so that neither open files nor what a power cut takes grow without a bound.
const MAX_UNSYNCED: usize = 8;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment that has reached this is sealed.
    pub segment_bytes: u64,
    /// A segment that has reached this age is sealed.
    pub segment_age: Duration,
    /// All segments together.
    pub max_bytes: u64,
    /// Whether files are to be synced at all: without, [`Spool::take_dirty`] has nothing to give.
    pub durable: bool,
}

/// The disk queue of one shard. One thread of one process has it; see the module for what it promises.
#[derive(Debug)]
pub struct Spool {
    pub(super) folder: PathBuf,
    pub(super) dir: File,
    pub(super) limits: Limits,
    /// In the order of their numbers.
    pub(super) segments: VecDeque<Segment>,
    /// The newest segment, while records are appended to it.
    pub(super) writing: Option<File>,
    pub(super) next_seq: u64,
    /// What the cursor's file will say when it is next written.
    pub(super) cursor: Cursor,
    pub(super) removed: Removed,
    /// Bytes of all segments.
    pub(super) bytes: u64,
    /// Where the last read ended.
    pub(super) place: Option<Place>,
    /// Damage that was met and not yet handed over.
    pub(super) found: Vec<Damage>,
    /// The channel of the last record read: the next one is mostly the same.
    pub(super) last_channel: Arc<str>,
    /// The receive time of the oldest unacknowledged record, and which that was.
    pub(super) oldest: Option<(u64, u64)>,
    pub(super) unsynced: Unsynced,
}

/// What was written and is not certain to survive a power cut.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// With the number behind the last record of each.
    sealed: VecDeque<(u64, File)>,
    newest: bool,
    pub(super) dir: bool,
}

/// The place of a record in an open file.
#[derive(Debug)]
pub(super) struct Place {
    /// The segment.
    pub(super) first: u64,
    pub(super) file: File,
    pub(super) seq: u64,
    pub(super) offset: u64,
}

impl Spool {
    /// The number that the next record gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// All records below this number are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.cursor.acknowledged
    }

    /// The number of the first record on disk; acknowledged ones are kept for a while.
    #[must_use]
    pub fn kept_from(&self) -> u64 {
        self.segments.front().map_or(self.next_seq, |segment| segment.first)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many events are neither acknowledged nor dropped nor damaged.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        let (from, to) = (self.cursor.acknowledged, self.next_seq);
        to - from - self.cursor.absent.covered(from, to)
    }

    /// The highest id of any acknowledged record that is still on disk, by stream.
    #[must_use]
    pub fn kept(&self) -> HashMap<Arc<str>, EntryId> {
        let mut kept: HashMap<Arc<str>, EntryId> = HashMap::new();
        for (stream, id) in self.segments.iter().flat_map(|segment| &segment.lasts) {
            let last = kept.entry(Arc::clone(stream)).or_default();
            *last = (*last).max(*id);
        }
        kept
    }

    /// The highest id of any removed record, by stream.
    #[must_use]
    pub fn removed(&self) -> &Removed {
        &self.removed
    }

    /// Writes the records at the end, all or none of them. They are in the page cache when this returns: a killed
    /// process loses none of them.
    pub fn append(&mut self, records: &Records, now: Instant) -> Result<(), SpoolError> {
        if records.is_empty() {
            return Ok(());
        }
        let (first, expected) = (records.first_seq(), self.next_seq);
        if first != expected {
            return Err(SpoolError::OutOfOrder { first, expected });
        }
        self.make_room(records.bytes().len() as u64)?;
        match self.write(records, now) {
            // the disk is full before the limit is reached: what is merely kept goes first
            Err(full) if full.is_full() && self.remove_acknowledged()? => self.write(records, now),
            written => written,
        }
    }

    fn write(&mut self, records: &Records, now: Instant) -> Result<(), SpoolError> {
        if self.segments.back().is_some_and(|newest| self.limits.is_due(newest, now)) {
            self.seal();
        }
        self.bound_unsynced()?;
        let file = match self.writing.take() {
            Some(file) => file,
            None => self.begin_segment(now)?,
        };
        let Some(segment) = self.segments.back_mut() else {
            return Err(SpoolError::Contradiction("it writes to a segment that it does not have"));
        };
        let path = segment.path(&self.folder);
        if let Err(error) = file.write_all_at(records.bytes(), segment.bytes) {
            let is_cut = file.set_len(segment.bytes).is_ok();
            self.writing = Some(file);
            if !is_cut {
                // what is behind its end is never read, and a start knows it by its numbers
                self.seal();
            }
            return Err(error).context("append to", &path);
        }
        segment.extend(records);
        self.bytes += records.bytes().len() as u64;
        self.next_seq = records.next_seq();
        self.writing = Some(file);
        self.unsynced.newest = self.limits.durable;
        Ok(())
    }

    pub(super) fn begin_segment(&mut self, now: Instant) -> Result<File, SpoolError> {
        let segment = Segment::empty(self.next_seq, now);
        let path = segment.path(&self.folder);
        // a file of this name is what a failed write left: no known segment begins with the next number
        let file = private::create_file(&path).context("create", &path)?;
        if let Err(error) = file.write_all_at(&segment_header(segment.first), 0) {
            // if it stays it is overwritten: the next try has the same name
            fs::remove_file(&path).ok();
            return Err(error).context("begin", &path);
        }
        self.bytes += segment.bytes;
        self.segments.push_back(segment);
        self.unsynced.dir = self.limits.durable;
        Ok(file)
    }

    /// Nothing more is appended to the newest segment.
    pub(super) fn seal(&mut self) {
        if let Some(file) = self.writing.take()
            && self.unsynced.newest
        {
            self.unsynced.sealed.push_back((self.next_seq, file));
        }
        self.unsynced.newest = false;
        if self.segments.back().is_some_and(Segment::is_empty)
            && let Some(empty) = self.segments.pop_back()
        {
            self.bytes -= empty.bytes;
            // the next segment has the same name: whatever stays is overwritten
            fs::remove_file(empty.path(&self.folder)).ok();
        }
    }

    /// All records below `below` are stored. `lasts` has the last id of each stream that was written since the last
    /// acknowledgement, under the name that [`super::StreamName`] shows; where that spans segments it counts for each.
    /// What is acknowledged already stays so, and what was never appended cannot be.
    pub fn acknowledge(
        &mut self,
        below: u64,
        lasts: &[(Arc<str>, EntryId)],
        now: Instant,
    ) -> Result<(), SpoolError> {
        if below > self.next_seq {
            return Err(SpoolError::NeverAppended { below, next_seq: self.next_seq });
        }
        let from = self.cursor.acknowledged;
        let below = below.max(from);
        for segment in self.segments.iter_mut().take_while(|segment| segment.first < below) {
            if segment.end > from {
                segment.note_lasts(lasts);
            }
            if segment.end <= below {
                segment.acknowledged_at.get_or_insert(now);
            }
        }
        self.cursor.acknowledged = below;
        Ok(())
    }

    /// Writes the position down, by a rename. Call it now and then: after a crash, what was acknowledged since is read
    /// once more. It also notes for good what was dropped or damaged: put that on record before.
    pub fn persist_cursor(&mut self) -> Result<(), SpoolError> {
        self.cursor.end = self.next_seq;
        self.cursor.absent.forget_below(self.kept_from().min(self.cursor.acknowledged));
        self.replace(CURSOR, &self.cursor.encode())
    }

    pub(super) fn replace(&mut self, name: &str, content: &str) -> Result<(), SpoolError> {
        cursor::replace(&self.folder, name, content).context("replace", &self.folder.join(name))?;
        self.unsynced.dir = self.limits.durable;
        Ok(())
    }

    /// The files that were written since the last call, for another thread to sync: `sync_all` on each makes everything
    /// that was appended before this call survive a power cut. Empty if the limits say that nothing is to be durable.
    pub fn take_dirty(&mut self) -> io::Result<Vec<File>> {
        let mut dirty = Vec::new();
        if let Some(file) = self.writing.as_ref().filter(|_| self.unsynced.newest) {
            dirty.push(file.try_clone()?);
        }
        if self.unsynced.dir {
            dirty.push(self.dir.try_clone()?);
        }
        (self.unsynced.newest, self.unsynced.dir) = (false, false);
        self.forget_stored();
        dirty.extend(self.unsynced.sealed.drain(..).map(|(_, file)| file));
        Ok(dirty)
    }

    /// Syncs everything that was appended.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        let sync = |files: Vec<File>| files.iter().try_for_each(File::sync_all);
        self.take_dirty().and_then(sync).context("sync", &self.folder)
    }

    /// What is acknowledged by the time that it would be synced need not survive a power cut: so most of what is appended
    /// never reaches the platter.
    fn forget_stored(&mut self) {
        let acknowledged = self.cursor.acknowledged;
        self.unsynced.sealed.retain(|(end, _)| *end > acknowledged);
    }

    fn bound_unsynced(&mut self) -> Result<(), SpoolError> {
        self.forget_stored();
        while self.unsynced.sealed.len() > MAX_UNSYNCED {
            let oldest = self.unsynced.sealed.pop_front();
            oldest.map_or(Ok(()), |(_, file)| file.sync_data()).context("sync a segment of", &self.folder)?;
        }
        Ok(())
    }
}

impl Limits {
    /// Whether a segment is to be sealed.
    pub(super) fn is_due(&self, segment: &Segment, now: Instant) -> bool {
        let is_old = now.saturating_duration_since(segment.created) >= self.segment_age;
        !segment.is_empty() && (segment.bytes >= self.segment_bytes || is_old)
    }

    /// The room that a batch takes at most.
    pub(super) fn room(needed: u64) -> u64 {
        needed + SEGMENT_HEADER as u64
    }
}
