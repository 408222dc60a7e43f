//! Reads the stored records of a queue from its files, on another thread than the queue's own: it takes no lock, asks
//! nothing, and changes nothing.
//!
//! Records below the position in the cursor file are complete and do not change. Only their segments may be removed.
//!
//! The first read of a process begins at the start of a segment, which costs 8 ms of a processor if the segment is full.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::error::{Context as _, SpoolError};
use super::format::SEGMENT_HEADER;
use super::scan::{Met, Span, scan};
use super::segment::{parse_segment_name, segment_name};
use super::survey::RecordView;

/// Bytes read of a segment at a time.
const BLOCK: u64 = 1024 * 1024;

/// An item met by a follower.
#[derive(Debug)]
pub enum Followed<'b> {
    /// The next record.
    Record(RecordView<'b>),
    /// Records `from..to` that are not there: removed, never stored, or damaged.
    Missing {
        /// The first number.
        from: u64,
        /// The number after the last.
        to: u64,
    },
}

/// A reader of a queue's stored records.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    place: Option<Place>,
}

/// A position in an open segment; it can be read even after it was removed.
#[derive(Debug)]
struct Place {
    file: File,
    /// The first number of the segment.
    first: u64,
    offset: u64,
    seq: u64,
}

/// Passes an item to the caller; breaks if it is refused.
type Visit<'v> = &'v mut dyn FnMut(Followed<'_>) -> ControlFlow<()>;

impl Follower {
    /// Creates a reader of a shard's folder.
    #[must_use]
    pub fn new(folder: &Path) -> Follower {
        Follower { folder: folder.to_owned(), place: None }
    }

    /// Passes what is stored from `from` up to `below` to `visit`, in order, until about `max_bytes` of payload have been
    /// read; returns the number to continue from. An item for which `visit` breaks is not passed over.
    pub fn read(
        &mut self,
        from: u64,
        below: u64,
        max_bytes: usize,
        mut visit: impl FnMut(Followed<'_>) -> ControlFlow<()>,
    ) -> Result<u64, SpoolError> {
        let (mut next, mut bytes) = (from, 0);
        while next < below && bytes < max_bytes {
            let Some(mut place) = self.place_of(&mut next, below, &mut visit)? else { return Ok(next) };
            let begin = next;
            let flow = loop {
                let offset = place.offset;
                let flow = self.scan(&mut place, &mut next, below, &mut |followed| {
                    if let Followed::Record(record) = &followed {
                        bytes += record.payload().len();
                    }
                    visit(followed)
                })?;
                // a block may have only records before the next one
                if flow.is_break() || next > begin || place.offset == offset {
                    break flow;
                }
            };
            if flow.is_break() {
                return Ok(next);
            }
            if next > begin {
                place.seq = next;
                self.place = Some(place);
            } else if self.pass(&mut next, below, &mut visit)?.is_break() {
                return Ok(next);
            }
        }
        Ok(next)
    }

    /// Returns the position of the next record: the end of the last read, or the beginning of the segment that may have
    /// it. `None` if it is missing, and that is refused or reaches up to `below`.
    fn place_of(
        &mut self,
        next: &mut u64,
        below: u64,
        visit: Visit<'_>,
    ) -> Result<Option<Place>, SpoolError> {
        if let Some(place) = self.place.take().filter(|place| place.seq == *next) {
            return Ok(Some(place));
        }
        let firsts = self.firsts()?;
        let before = firsts.iter().copied().filter(|first| first <= next).max();
        let after = firsts.iter().copied().filter(|first| first > next).min();
        let mut found = None;
        for first in before.into_iter().chain(after).filter(|first| *first < below) {
            found = self.open(first)?;
            if found.is_some() {
                break;
            }
        }
        let to = found.as_ref().map_or(below, |place| place.first);
        if to > *next {
            if visit(Followed::Missing { from: *next, to }).is_break() {
                return Ok(None);
            }
            *next = to;
        }
        Ok(found)
    }

    /// Goes on behind the end of a segment: the next one begins with this number, or with a later one.
    fn pass(&mut self, next: &mut u64, below: u64, visit: Visit<'_>) -> Result<ControlFlow<()>, SpoolError> {
        let later = self.firsts()?.into_iter().filter(|first| first >= next).min();
        let to = later.unwrap_or(below).min(below);
        if to > *next {
            if visit(Followed::Missing { from: *next, to }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            *next = to;
        } else {
            self.place = self.open(to)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Opens a segment at its beginning; `None` if it was removed meanwhile.
    fn open(&self, first: u64) -> Result<Option<Place>, SpoolError> {
        let path = self.folder.join(segment_name(first));
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => {
                let file = file.context("open", &path)?;
                Ok(Some(Place { file, first, offset: SEGMENT_HEADER as u64, seq: first }))
            }
        }
    }

    /// Reads one block on in a segment, from the place up to `below`. Records before `next` are passed over. Breaks if an
    /// item is refused.
    fn scan(
        &self,
        place: &mut Place,
        next: &mut u64,
        below: u64,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, SpoolError> {
        let len = place.file.metadata().context("look into", &self.folder)?.len();
        // records with the numbers of the next segment are remains of a failed write
        let end = self.firsts()?.into_iter().filter(|first| *first > place.first).min().unwrap_or(u64::MAX);
        let span = Span { offset: place.offset, seq: place.seq, len, below: end };
        let (mut offset, mut seq, mut flow) = (place.offset, place.seq, ControlFlow::Continue(()));
        scan(&place.file, span, |met| {
            let (at, view) = match met {
                Met::Record(at, view) if view.seq < below => (at, view),
                Met::Record(..) => return ControlFlow::Break(()),
                // what follows tells how many records are missing
                Met::Bad(_) => return ControlFlow::Continue(()),
            };
            if view.seq > *next {
                flow = visit(Followed::Missing { from: *next, to: view.seq });
                if flow.is_break() {
                    return flow;
                }
                *next = view.seq;
            }
            if view.seq == *next {
                flow = visit(Followed::Record(RecordView::stored(view)));
                if flow.is_break() {
                    return flow;
                }
                *next = view.seq + 1;
            }
            (offset, seq) = (at + view.size() as u64, view.seq + 1);
            let is_enough = *next >= below || offset >= place.offset + BLOCK;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .context("read a segment of", &self.folder)?;
        (place.offset, place.seq) = (offset, seq);
        Ok(flow)
    }

    fn firsts(&self) -> Result<Vec<u64>, SpoolError> {
        let entries = fs::read_dir(&self.folder).context("read", &self.folder)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| parse_segment_name(&name)).collect())
    }
}
