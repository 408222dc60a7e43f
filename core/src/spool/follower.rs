//! Reads the stored records of a queue from its files, on another thread than the queue's own: it takes no lock, asks
//! nothing, and changes nothing.
//!
//! Records below the position in the cursor file are complete and do not change. Only their segments may be removed.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::error::{Context as _, SpoolError};
use super::format::SEGMENT_HEADER;
use super::scan::{Met, Span, scan};
use super::segment::{parse_segment_name, segment_name};
use super::survey::RecordView;

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

impl Follower {
    /// Creates a reader of a shard's folder.
    #[must_use]
    pub fn new(folder: &Path) -> Follower {
        Follower { folder: folder.to_owned(), place: None }
    }

    /// Passes what is stored from `from` up to `below` to `visit`, in order, until about `max_bytes` of payload have been
    /// read; returns the number to continue from.
    pub fn read(
        &mut self,
        from: u64,
        below: u64,
        max_bytes: usize,
        mut visit: impl FnMut(Followed<'_>),
    ) -> Result<u64, SpoolError> {
        let (mut next, mut bytes) = (from, 0);
        while next < below && bytes < max_bytes {
            let mut place = match self.place.take().filter(|place| place.seq == next) {
                Some(place) => place,
                None => match self.open(next, below)? {
                    (first, Some(place)) => {
                        if first > next {
                            visit(Followed::Missing { from: next, to: first });
                            next = first;
                        }
                        place
                    }
                    (first, None) => {
                        visit(Followed::Missing { from: next, to: first });
                        next = first;
                        continue;
                    }
                },
            };
            let begin = next;
            self.scan(&mut place, &mut next, below, |followed| {
                if let Followed::Record(record) = &followed {
                    bytes += record.payload().len();
                }
                visit(followed);
                bytes < max_bytes
            })?;
            if next > begin {
                place.seq = next;
                self.place = Some(place);
            } else {
                // the segment ends here; the next one begins with this number, or with a later one
                next = self.pass(begin, below, &mut visit)?;
            }
        }
        Ok(next)
    }

    /// Finds the first segment that begins after `next` if the one with `next` is read to its end.
    fn pass(
        &mut self,
        next: u64,
        below: u64,
        visit: &mut impl FnMut(Followed<'_>),
    ) -> Result<u64, SpoolError> {
        let later = self.firsts()?.into_iter().filter(|first| *first >= next).min();
        let to = later.unwrap_or(below).min(below);
        if to > next {
            visit(Followed::Missing { from: next, to });
        }
        if to == next {
            let path = self.folder.join(segment_name(next));
            let file = File::open(&path).context("open", &path)?;
            self.place = Some(Place { file, first: next, offset: SEGMENT_HEADER as u64, seq: next });
        }
        Ok(to)
    }

    /// Opens the segment that may have a record, or else the next one: returns its first number if that is higher.
    fn open(&self, next: u64, below: u64) -> Result<(u64, Option<Place>), SpoolError> {
        let firsts = self.firsts()?;
        let at_or_before = firsts.iter().copied().filter(|first| *first <= next).max();
        let after = firsts.iter().copied().filter(|first| *first > next).min();
        for first in at_or_before.into_iter().chain(after) {
            if first >= below {
                break;
            }
            let path = self.folder.join(segment_name(first));
            match File::open(&path) {
                // removed meanwhile
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => {
                    let file = file.context("open", &path)?;
                    let place = Place { file, first, offset: SEGMENT_HEADER as u64, seq: first };
                    return Ok((first.max(next), Some(place)));
                }
            }
        }
        Ok((below, None))
    }

    /// Reads on in a segment, from the place up to `below`, until `visit` returns false. Records before `next` are passed
    /// over.
    fn scan(
        &self,
        place: &mut Place,
        next: &mut u64,
        below: u64,
        mut visit: impl FnMut(Followed<'_>) -> bool,
    ) -> Result<(), SpoolError> {
        let len = place.file.metadata().context("look into", &self.folder)?.len();
        // records with the numbers of the next segment are remains of a failed write
        let end = self.firsts()?.into_iter().filter(|first| *first > place.first).min().unwrap_or(u64::MAX);
        let span = Span { offset: place.offset, seq: place.seq, len, below: end };
        let mut offset = place.offset;
        scan(&place.file, span, |met| {
            let goes_on = match met {
                Met::Record(at, view) if view.seq < below => {
                    let is_wanted = view.seq >= *next;
                    if view.seq > *next {
                        visit(Followed::Missing { from: *next, to: view.seq });
                    }
                    (*next, offset) = ((view.seq + 1).max(*next), at + view.size() as u64);
                    let goes_on = !is_wanted || visit(Followed::Record(RecordView::stored(view)));
                    goes_on && *next < below
                }
                Met::Record(..) => false,
                // what follows tells how many records are missing
                Met::Bad(_) => true,
            };
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .context("read a segment of", &self.folder)?;
        place.offset = offset;
        Ok(())
    }

    fn firsts(&self) -> Result<Vec<u64>, SpoolError> {
        let entries = fs::read_dir(&self.folder).context("read", &self.folder)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| parse_segment_name(&name)).collect())
    }
}
