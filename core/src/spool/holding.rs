//! Holds stored records for the archive.
//!
//! A segment stays until all of its records are archived, unless the queue needs its room: what was not taken by then is
//! noted by channel, to be counted and recorded, and its numbers are kept until the archive has passed them.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::cursor;
use super::queue::Spool;
use super::ranges::Ranges;
use super::records::Summary;
use super::removal::Dropped;
use super::scan::{Met, Span, scan};
use super::segment::Segment;

/// File name of the folder's identity.
pub(super) const IDENTITY: &str = "identity";

/// What the archive has.
#[derive(Debug)]
pub(super) struct Holding {
    /// All records below this number are archived.
    archived: u64,
    /// All records below this number are taken: in the archiving process, or archived.
    taken: u64,
    untaken: Vec<Dropped>,
}

/// Without an archive nothing is held.
impl Default for Holding {
    fn default() -> Holding {
        Holding { archived: u64::MAX, taken: u64::MAX, untaken: Vec::new() }
    }
}

impl Holding {
    pub(super) fn holds(&self, segment: &Segment) -> bool {
        segment.end > self.archived
    }

    /// Returns the records of a segment that are lost to the archive with it.
    pub(super) fn untaken(&self, segment: &Segment, folder: &Path) -> Option<Dropped> {
        let first = self.taken.max(segment.first);
        if first >= segment.end {
            return None;
        }
        let summary = if first == segment.first {
            segment.summary.clone()
        } else {
            // some of it is taken; if it cannot be read, all of it counts
            summary_from(segment, first, folder).unwrap_or_else(|_| segment.summary.clone())
        };
        let (from_us, to_us) = summary.times.unwrap_or_default();
        let events = summary.channels.into_iter().filter(|(_, events)| *events > 0).collect();
        let (first_seq, last_seq, bytes) = (first, segment.end - 1, segment.bytes);
        Some(Dropped { events, from_us, to_us, first_seq, last_seq, bytes })
    }
}

fn summary_from(segment: &Segment, first: u64, folder: &Path) -> io::Result<Summary> {
    let (mark, mut summary) = (segment.mark_before(first), Summary::default());
    let span = Span { offset: mark.offset, seq: mark.seq, len: segment.bytes, below: segment.end };
    scan(&File::open(segment.path(folder))?, span, |met| {
        if let Met::Record(_, view) = met
            && view.seq >= first
        {
            summary.count(view.channel, 1);
            summary.at(view.received_us);
        }
        ControlFlow::Continue(())
    })?;
    Ok(summary)
}

impl Spool {
    /// Holds the records from `archived` on; those from `taken` on are noted if they are removed nevertheless.
    pub fn hold(&mut self, archived: u64, taken: u64) {
        (self.holding.archived, self.holding.taken) = (archived, taken);
    }

    pub(super) fn note_untaken(&mut self, untaken: Option<Dropped>) {
        if let Some(dropped) = &untaken {
            self.cursor.unstored.insert(dropped.first_seq, dropped.last_seq + 1);
        }
        self.holding.untaken.extend(untaken);
    }

    /// Forgets numbers that are neither on disk nor of use for the archive.
    pub(super) fn forget_numbers(&mut self) {
        let below = self.kept_from().min(self.cursor.acknowledged);
        let is_of_use = |range: &(u64, u64)| range.0 < below && range.1 > self.holding.archived;
        let absent: Vec<(u64, u64)> = self.cursor.absent.iter().filter(is_of_use).collect();
        absent.into_iter().for_each(|(from, to)| self.cursor.unstored.insert(from, to));
        self.cursor.absent.forget_below(below);
        self.cursor.unstored.forget_below(below.min(self.holding.archived));
    }

    /// Takes the held records that were removed because their room was needed.
    pub fn take_untaken(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.holding.untaken)
    }

    /// Notes that acknowledged records are not stored: they are not archived.
    pub fn note_unstored(&mut self, from: u64, to: u64) {
        self.cursor.unstored.insert(from, to);
    }

    /// Returns the numbers that are no entries in Redis: dropped, damaged and quarantined ones.
    #[must_use]
    pub fn not_stored(&self) -> Ranges {
        let mut all = self.cursor.unstored.clone();
        let others = self.cursor.absent.iter().chain(self.cursor.dropping.iter());
        others.for_each(|(from, to)| all.insert(from, to));
        all
    }
}

/// Returns the identity of a shard's folder: `new` if it has none. `None` removes it: without an archive its records go,
/// and a later archive begins with those that are there then.
pub fn identify(folder: &Path, new: Option<&str>) -> io::Result<Option<String>> {
    let path = folder.join(IDENTITY);
    let Some(new) = new else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        };
    };
    match fs::read_to_string(&path) {
        Ok(identity) if is_identity(&identity) => return Ok(Some(identity)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    cursor::replace(folder, IDENTITY, new)?;
    Ok(Some(new.to_owned()))
}

/// 64 bits in hexadecimal digits.
fn is_identity(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
