//! Reads a shard's whole folder without changing anything: the first half of recovery, and all that the tools need.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::cursor::{CURSOR, Cursor, Loaded, REMOVED, Removed, load_removed};
use super::damage::{Damage, DamageKind};
use super::error::{Context as _, SpoolError};
use super::format::{SEGMENT_HEADER, SegmentHeader, View};
use super::listing::{Listed, Listing, below};
use super::ranges::Ranges;
use super::records::{Mark, is_marked};
use super::scan::{Met, Span, Stretch, scan};
use super::segment::{Segment, bound_last_ids, segment_name};
use crate::event::EntryId;
use crate::tables::{MAX_STREAMS, keep_highest};

/// The action of recovery upon damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing.
    None,
    /// Copy the bad bytes to the salvage folder.
    Copy,
    /// Copy the bad bytes to the salvage folder and truncate the file before them.
    Cut,
    /// Copy the bad bytes to the salvage folder and delete the file, which has no other content.
    Discard,
    /// Move the file to the salvage folder.
    MoveAway,
    /// Rewrite the header of the segment, whose first record has this number.
    NewHeader(u64),
}

/// Damage, its remedy, and whether it was reported before.
#[derive(Debug)]
pub(super) struct Finding {
    pub damage: Damage,
    pub remedy: Remedy,
    pub is_known: bool,
}

/// The content of a folder.
pub(super) struct Examined {
    pub cursor: Cursor,
    pub has_cursor: bool,
    pub removed: Removed,
    /// Number of streams whose last ID was forgotten.
    pub forgotten: u64,
    pub listing: Listing,
    pub segments: Vec<Segment>,
    pub findings: Vec<Finding>,
    /// Missing numbers that are unacknowledged or still kept.
    pub gaps: Ranges,
    pub next_seq: u64,
    pub unacknowledged: BTreeMap<String, u64>,
    pub highest_id: EntryId,
    /// Bad bytes at the end of the previous file, or a file that is not read: the number of records lost is known
    /// only when the next record is found.
    open: Option<(Damage, Remedy)>,
    /// Receive time of the last valid record.
    last_us: Option<u64>,
    /// Index of the first finding that lacks the time of the next valid record.
    untimed: usize,
}

impl Examined {
    pub(super) fn read(folder: &Path, now: Instant) -> Result<Examined, SpoolError> {
        let mut listing = Listing::read(folder)?;
        let files = std::mem::take(&mut listing.segments);
        let mut examined = Examined {
            cursor: Cursor::default(),
            has_cursor: false,
            removed: Removed::new(),
            forgotten: 0,
            listing,
            segments: Vec::new(),
            findings: Vec::new(),
            gaps: Ranges::default(),
            next_seq: 0,
            unacknowledged: BTreeMap::new(),
            highest_id: EntryId::default(),
            open: None,
            last_us: None,
            untimed: 0,
        };
        let first = files.first().map(|file| file.first);
        examined.small_files(folder, first);
        examined.next_seq = examined.cursor.acknowledged.min(first.unwrap_or(u64::MAX));
        for (nth, file) in files.iter().enumerate() {
            match examined.file(folder, file, below(&files, nth), now) {
                // removed meanwhile by a running service: its records are acknowledged or dropped
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.context("read", &folder.join(segment_name(file.first)))?,
            }
        }
        examined.finish();
        Ok(examined)
    }

    /// Without a position, everything from the first record on counts as unacknowledged.
    fn small_files(&mut self, folder: &Path, oldest: Option<u64>) {
        for name in std::mem::take(&mut self.listing.foreign) {
            self.odd(DamageKind::ForeignFile, &name, "is not a file of the disk queue");
        }
        let bad = match Cursor::load(folder) {
            Loaded::Whole(cursor) => {
                (self.cursor, self.has_cursor) = (cursor, true);
                None
            }
            Loaded::Missing => oldest.map(|_| "is missing".to_owned()),
            Loaded::Bad(reason) => Some(reason),
        };
        if !self.has_cursor {
            let oldest = oldest.unwrap_or(0);
            self.cursor = Cursor { acknowledged: oldest, end: oldest, ..Cursor::default() };
        }
        if let Some(reason) = bad {
            self.odd(DamageKind::BadCursor, CURSOR, &format!("{reason}; all records are written again"));
        }
        match load_removed(folder) {
            Loaded::Whole(removed) => self.removed = removed,
            Loaded::Missing => {}
            Loaded::Bad(reason) => self.odd(DamageKind::BadRemoved, REMOVED, &reason),
        }
        self.untimed = self.findings.len();
    }

    /// Examines one file; records numbered `below` or higher are remains of a failed write.
    fn file(&mut self, folder: &Path, listed: &Listed, below: u64, now: Instant) -> io::Result<()> {
        let name = segment_name(listed.first);
        let file = File::open(folder.join(&name))?;
        let span = Span { offset: SEGMENT_HEADER as u64, seq: listed.first, len: listed.len, below };
        let reason = match listed.header {
            SegmentHeader::Ours(first) if first == listed.first => return self.records(&file, span, now),
            SegmentHeader::Ours(first) => (DamageKind::BadBytes, format!("its header states record {first}")),
            SegmentHeader::Newer { version, .. } => {
                (DamageKind::NewerVersion, format!("has format version {version}"))
            }
            // its name states the first number
            SegmentHeader::Bad if listed.first >= self.next_seq && has_records(&file, span)? => {
                let mut damage = Damage::new(DamageKind::BadBytes, name, "the header of the segment is bad");
                damage.bytes = SEGMENT_HEADER as u64;
                self.findings.push(Finding {
                    damage,
                    remedy: Remedy::NewHeader(listed.first),
                    is_known: false,
                });
                return self.records(&file, span, now);
            }
            SegmentHeader::Bad => (DamageKind::BadBytes, "has neither a header nor records".to_owned()),
        };
        self.reach(listed.first);
        let damage = Damage { bytes: listed.len, ..Damage::new(reason.0, name, reason.1) };
        let is_bad = listed.header == SegmentHeader::Bad;
        self.open = Some((damage, if is_bad { Remedy::Discard } else { Remedy::MoveAway }));
        Ok(())
    }

    /// Examines the records of a file and the bad bytes between them.
    fn records(&mut self, file: &File, span: Span, now: Instant) -> io::Result<()> {
        self.reach(span.seq);
        let mut reading = Reading::new(span.seq, self.cursor.acknowledged, now);
        scan(file, span, |met| {
            reading.take(met);
            ControlFlow::Continue(())
        })?;
        if let Some(first_us) = reading.first_us {
            for finding in self.findings.iter_mut().skip(self.untimed) {
                finding.damage.to_us = finding.damage.to_us.or(Some(first_us));
            }
        }
        for (stretch, from_us, to_us) in reading.stretches {
            let damage = Damage {
                from_us: from_us.or(self.last_us),
                to_us,
                ..damage_of(DamageKind::BadBytes, reading.segment.first, &stretch)
            };
            match stretch.next {
                Some(next) => self.gap((stretch.expected, next), damage, Remedy::Copy),
                None if reading.segment.is_empty() => self.open = Some((damage, Remedy::Discard)),
                None => self.open = Some((damage, Remedy::Cut)),
            }
        }
        self.untimed = self.findings.len();
        self.next_seq = reading.segment.end.max(span.seq);
        self.last_us = reading.last_us.or(self.last_us);
        for (channel, events) in reading.unacknowledged {
            *self.unacknowledged.entry(channel).or_default() += events;
        }
        self.highest_id = self.highest_id.max(reading.highest_id);
        self.forgotten += reading.forgotten;
        match reading.segment {
            empty if empty.is_empty() && self.open.is_some() => {}
            empty if empty.is_empty() => self.listing.leftovers.push(segment_name(empty.first)),
            segment => self.segments.push(segment),
        }
        self.forgotten += bound_last_ids(&mut self.segments, &mut self.removed, MAX_STREAMS);
        Ok(())
    }

    /// Advances to the next valid file, which begins with `seq`; numbers in between are missing.
    fn reach(&mut self, seq: u64) {
        let from = self.next_seq;
        match self.open.take() {
            Some((damage, remedy)) => self.gap((from, seq.max(from)), damage, remedy),
            None if seq > from => {
                let detail = format!("records {from} to {} are missing", seq - 1);
                self.gap((from, seq), Damage::new(DamageKind::MissingSegment, "", detail), Remedy::None);
            }
            None => {}
        }
        self.next_seq = from.max(seq);
    }

    /// Finishes after the last file. The cursor may reveal that there were more records.
    fn finish(&mut self) {
        let (from, end) = (self.next_seq, self.cursor.end.max(self.next_seq));
        match self.open.take() {
            Some((mut damage, remedy)) => {
                if matches!(remedy, Remedy::Cut | Remedy::Discard) {
                    damage.kind = DamageKind::TornTail;
                }
                self.gap((from, end), damage, remedy);
                if let Some(finding) = self.findings.last_mut().filter(|_| from == end) {
                    finding.damage.events = None;
                }
            }
            None if end > from => {
                let detail = format!("records {from} to {} are missing at the end", end - 1);
                self.gap((from, end), Damage::new(DamageKind::MissingTail, "", detail), Remedy::None);
            }
            None => {}
        }
        self.next_seq = end;
    }

    /// Records missing numbers, unless reported before; `damage` has their context.
    fn gap(&mut self, (from, to): (u64, u64), mut damage: Damage, remedy: Remedy) {
        let Cursor { acknowledged, absent, dropping, .. } = &self.cursor;
        let unacknowledged = from.max(*acknowledged).min(to);
        let lost = (to - unacknowledged) - absent.covered(unacknowledged, to);
        let is_known = to > from && absent.covered(from, to) == to - from;
        damage.events = Some(lost);
        damage.from_us = damage.from_us.or(self.last_us);
        if lost > 0 && dropping.covered(unacknowledged, to) == lost {
            damage.kind = DamageKind::Dropped;
            damage.detail = format!("records {from} to {} were dropped for want of room", to - 1);
        }
        self.gaps.insert(from, to);
        // acknowledged records may be gone with their segments
        if lost > 0 || !damage.file.is_empty() {
            self.findings.push(Finding { damage, remedy, is_known });
        }
    }

    fn odd(&mut self, kind: DamageKind, file: &str, detail: &str) {
        let damage = Damage::new(kind, file, detail);
        self.findings.push(Finding { damage, remedy: Remedy::None, is_known: false });
    }
}

/// Describes a bad stretch of a segment, without lost events.
pub(super) fn damage_of(kind: DamageKind, first: u64, stretch: &Stretch) -> Damage {
    let detail = format!("{} bytes at {} are not a record", stretch.len, stretch.offset);
    Damage {
        offset: stretch.offset,
        bytes: stretch.len,
        channels: stretch.channel.iter().map(|channel| (channel.clone(), 0)).collect(),
        ..Damage::new(kind, segment_name(first), detail)
    }
}

fn has_records(file: &File, span: Span) -> io::Result<bool> {
    let mut any = false;
    scan(file, span, |met| {
        any = matches!(met, Met::Record(..));
        if any { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(any)
}

/// A segment under examination.
pub(super) struct Reading {
    pub segment: Segment,
    /// Bad stretches with the receive times of the valid records around them.
    pub stretches: Vec<(Stretch, Option<u64>, Option<u64>)>,
    unacknowledged: BTreeMap<String, u64>,
    highest_id: EntryId,
    /// Number of streams whose last ID was forgotten.
    forgotten: u64,
    acknowledged: u64,
    first_us: Option<u64>,
    last_us: Option<u64>,
    now: Instant,
}

impl Reading {
    pub(super) fn new(first: u64, acknowledged: u64, now: Instant) -> Reading {
        Reading {
            segment: Segment::empty(first, now),
            stretches: Vec::new(),
            unacknowledged: BTreeMap::new(),
            highest_id: EntryId::default(),
            forgotten: 0,
            acknowledged,
            first_us: None,
            last_us: None,
            now,
        }
    }

    pub(super) fn take(&mut self, met: Met<'_>) {
        match met {
            Met::Record(offset, view) => self.record(offset, &view),
            Met::Bad(stretch) => self.stretches.push((stretch, self.last_us, None)),
        }
    }

    fn record(&mut self, offset: u64, view: &View<'_>) {
        if let Some((_, _, to_us @ None)) = self.stretches.last_mut() {
            *to_us = Some(view.received_us);
        }
        let segment = &mut self.segment;
        if is_marked(view.seq) {
            segment.marks.push(Mark { seq: view.seq, offset });
        }
        segment.summary.count(view.channel, 1);
        segment.summary.at(view.received_us);
        segment.end = view.seq + 1;
        segment.bytes = offset + view.size() as u64;
        if view.seq >= self.acknowledged {
            match self.unacknowledged.get_mut(view.channel) {
                Some(events) => *events += 1,
                None => drop(self.unacknowledged.insert(view.channel.to_owned(), 1)),
            }
        } else {
            for (stream, id) in view.streams() {
                segment.note_last(stream, id);
            }
            if segment.last_ids.len() >= 2 * MAX_STREAMS {
                self.forgotten += keep_highest(&mut segment.last_ids, MAX_STREAMS, |id| *id);
            }
        }
        let ids = view.destinations().map(|destination| destination.id);
        self.highest_id = ids.fold(self.highest_id, EntryId::max);
        segment.acknowledged_at = (self.acknowledged >= segment.end).then_some(self.now);
        self.first_us = self.first_us.or(Some(view.received_us));
        self.last_us = Some(view.received_us);
    }
}
