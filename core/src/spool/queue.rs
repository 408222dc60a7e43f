//! The queue: appending, acknowledging, the position, and syncing.

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
use super::hold::Holding;
use super::records::Records;
use super::segment::{Segment, bound_last_ids};
use crate::event::EntryId;
use crate::private;

/// Maximum number of sealed segments waiting for sync. If syncing falls further behind, the append syncs the oldest
/// itself, which bounds open files and what a power cut can lose.
const MAX_UNSYNCED: usize = 8;

/// Bounds of a queue, and its durability.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size at which a segment is sealed.
    pub segment_bytes: u64,
    /// Age at which a segment is sealed.
    pub segment_age: Duration,
    /// Maximum size of all segments.
    pub max_bytes: u64,
    /// Whether files are to be synced; if not, [`Spool::take_dirty`] returns nothing.
    pub durable: bool,
    /// Maximum number of streams with a last ID, of acknowledged records on disk and again of removed ones.
    pub max_streams: usize,
}

/// The disk queue of one shard, owned by one thread of one process.
///
/// # Guarantees
///
/// - Whatever [`Spool::append`] has accepted survives the end of the process at any instruction. It is read back
///   byte for byte, in order, each record once.
/// - Nothing found on disk prevents opening, and nothing missing or damaged goes unreported: it is a [`Damage`]
///   with the number of lost events, as far as record numbers show it. A damaged record that is readable again
///   later, as after a transient disk fault, is delivered even though it was reported.
/// - All records and segments have checksums (CRC32).
/// - A record reaches the page cache in one write; no operation waits for the disk except [`Spool::sync`] and, if
///   syncing falls behind, an append.
/// - The queue never exceeds [`Limits::max_bytes`]. When it is full, the owner chooses: wait on
///   [`SpoolError::Full`], or shed load with [`Spool::drop_oldest`].
/// - Space is reclaimed by deleting whole segments. There is no compaction and no reuse of files, although reuse
///   would more than halve the cost of an append: an earlier release would report the remains of old records as
///   damage.
/// - Memory per segment: some 100 bytes, and an index of 16 bytes per 256 records. The last IDs of
///   [`Limits::max_streams`] of acknowledged segments, and of as many of removed records. Open files: the folder, the
///   newest segment, the one being read, and up to nine that wait for sync.
///
/// # Operation
///
/// **Append** writes a batch to the end of the newest segment, or of a new one if that is due. A failed write is
/// truncated; if even that fails, the segment is sealed, and recovery identifies the remains by their numbers.
///
/// **Acknowledge** advances the position in memory; [`Spool::persist_cursor`] writes it to disk. After a crash in
/// between, acknowledged records are delivered again, so writes must be idempotent, and they are.
///
/// # Not supported
///
/// - **Power loss** loses what was not synced. With `durable`, [`Spool::take_dirty`] returns the files to sync at an
///   interval, except sealed segments already acknowledged; [`Spool::sync`] syncs immediately. Checksums and numbers
///   reveal a loss if a later record or the cursor is there; the loss of the last records after the last cursor is not
///   detected. The small files are not synced before they are renamed: after a power cut they may be stale or corrupt,
///   which costs repeated writes only.
/// - **NFS** and other file systems without working locks and atomic renames; Windows.
/// - Two processes in one folder: [`super::SpoolLock`] prevents that; [`Spool::open`] does not take it. Reading
///   ([`super::Survey`], [`super::visit_records`]) needs no lock.
#[derive(Debug)]
pub struct Spool {
    pub(super) folder: PathBuf,
    pub(super) dir: File,
    pub(super) limits: Limits,
    /// In the order of their record numbers.
    pub(super) segments: VecDeque<Segment>,
    /// The newest segment, unless it is sealed.
    pub(super) writing: Option<File>,
    pub(super) next_seq: u64,
    /// The next content of the cursor file.
    pub(super) cursor: Cursor,
    pub(super) removed: Removed,
    /// Number of streams whose last ID was forgotten, and not yet returned.
    pub(super) forgotten: u64,
    /// Total size of all segments.
    pub(super) bytes: u64,
    /// Position after the last read.
    pub(super) place: Option<Place>,
    /// Damage found and not yet returned.
    pub(super) found: Vec<Damage>,
    /// The channel of the last record read, shared with the next one if equal.
    pub(super) last_channel: Arc<str>,
    /// Receive time and number of the oldest unacknowledged record.
    pub(super) oldest: Option<(u64, u64)>,
    pub(super) unsynced: Unsynced,
    pub(super) holding: Holding,
}

/// Files written that may not survive a power cut.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// With the number after the last record of each.
    sealed: VecDeque<(u64, File)>,
    newest: bool,
    pub(super) dir: bool,
}

/// A position in an open file.
#[derive(Debug)]
pub(super) struct Place {
    /// The first number of the segment.
    pub(super) first: u64,
    pub(super) file: File,
    pub(super) seq: u64,
    pub(super) offset: u64,
}

impl Spool {
    /// Returns the number of the next record.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Returns the position: all records below this number are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.cursor.acknowledged
    }

    /// Returns the number of the first record on disk; acknowledged ones are kept for a while.
    #[must_use]
    pub fn kept_from(&self) -> u64 {
        self.segments.front().map_or(self.next_seq, |segment| segment.first)
    }

    /// Returns the total size of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of events neither acknowledged nor dropped nor damaged.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        let (from, to) = (self.cursor.acknowledged, self.next_seq);
        to - from - self.cursor.absent.covered(from, to)
    }

    /// Returns the highest ID of any acknowledged record still on disk, by stream.
    #[must_use]
    pub fn kept(&self) -> HashMap<Arc<str>, EntryId> {
        let mut kept: HashMap<Arc<str>, EntryId> = HashMap::new();
        for (stream, id) in self.segments.iter().flat_map(|segment| &segment.last_ids) {
            let last = kept.entry(Arc::clone(stream)).or_default();
            *last = (*last).max(*id);
        }
        kept
    }

    /// Returns the number of streams forgotten since the last call: should Redis lose their entries, that is not
    /// noticed once their records are removed.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Returns the highest ID of any removed record, by stream.
    #[must_use]
    pub fn removed(&self) -> &Removed {
        &self.removed
    }

    /// Appends all of the records, or none of them. On return they are in the page cache: a killed process loses
    /// none.
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
            // the disk fills up before the limit: acknowledged segments are removed first
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
            return Err(SpoolError::Contradiction("write to an unknown segment"));
        };
        let path = segment.path(&self.folder);
        if let Err(error) = file.write_all_at(records.bytes(), segment.bytes) {
            let is_cut = file.set_len(segment.bytes).is_ok();
            self.writing = Some(file);
            if !is_cut {
                // bytes after its end are never read, and recovery recognises them by their numbers
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
        // a file of this name is the remainder of a failed write: no known segment begins with the next number
        let file = private::create_file(&path).context("create", &path)?;
        if let Err(error) = file.write_all_at(&segment_header(segment.first), 0) {
            // if it remains it is overwritten: the next attempt has the same name
            fs::remove_file(&path).ok();
            return Err(error).context("begin", &path);
        }
        self.bytes += segment.bytes;
        self.segments.push_back(segment);
        self.unsynced.dir = self.limits.durable;
        Ok(file)
    }

    /// Seals the newest segment: no more appends to it.
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
            // the next segment has the same name: remains are overwritten
            fs::remove_file(empty.path(&self.folder)).ok();
        }
    }

    /// Acknowledges all records below `below`, which are stored. `last_ids` has the last ID written per stream since
    /// the last acknowledgement, keyed as [`super::RecordStream`] displays; if that spans segments it applies to
    /// each. The position never moves back.
    pub fn acknowledge(
        &mut self,
        below: u64,
        last_ids: &[(Arc<str>, EntryId)],
        now: Instant,
    ) -> Result<(), SpoolError> {
        if below > self.next_seq {
            return Err(SpoolError::NeverAppended { below, next_seq: self.next_seq });
        }
        let from = self.cursor.acknowledged;
        let below = below.max(from);
        for segment in self.segments.iter_mut().take_while(|segment| segment.first < below) {
            if segment.end > from {
                segment.note_lasts(last_ids);
            }
            if segment.end <= below {
                segment.acknowledged_at.get_or_insert(now);
            }
        }
        self.cursor.acknowledged = below;
        self.forgotten += bound_last_ids(&mut self.segments, &mut self.removed, self.limits.max_streams);
        Ok(())
    }

    /// Writes the cursor file, by a rename. Call it periodically: after a crash, whatever was acknowledged since is
    /// read again. It also marks drops and damage as reported: record those first.
    pub fn persist_cursor(&mut self) -> Result<(), SpoolError> {
        self.cursor.end = self.next_seq;
        self.forget_numbers();
        self.replace(CURSOR, &self.cursor.encode())
    }

    pub(super) fn replace(&mut self, name: &str, content: &str) -> Result<(), SpoolError> {
        cursor::replace(&self.folder, name, content).context("replace", &self.folder.join(name))?;
        self.unsynced.dir = self.limits.durable;
        Ok(())
    }

    /// Returns the files written since the last call, to be synced by another thread: `sync_all` on each makes
    /// everything appended before this call survive a power cut. Empty unless the limits ask for durability.
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

    /// Syncs everything appended.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        let sync = |files: Vec<File>| files.iter().try_for_each(File::sync_all);
        self.take_dirty().and_then(sync).context("sync", &self.folder)
    }

    /// Skips the sync of segments that are acknowledged by the time it is due, so most data never reaches the disk.
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
    /// Whether a segment is due to be sealed.
    pub(super) fn is_due(&self, segment: &Segment, now: Instant) -> bool {
        let is_old = now.saturating_duration_since(segment.created) >= self.segment_age;
        !segment.is_empty() && (segment.bytes >= self.segment_bytes || is_old)
    }

    /// Returns the maximum room that a batch takes.
    pub(super) fn room(needed: u64) -> u64 {
        needed + SEGMENT_HEADER as u64
    }
}
