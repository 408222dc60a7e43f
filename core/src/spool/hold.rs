//! How much of the queue the archive has.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::dropped::Dropped;
use super::records::Summary;
use super::scan::{Met, Span, scan};
use super::segment::Segment;

/// The records that the archive has.
#[derive(Debug)]
pub(super) struct Holding {
    /// All records below this number are archived.
    pub(super) archived: u64,
    /// All records below this number are taken: in the archiving process, or archived.
    pub(super) taken: u64,
    pub(super) untaken: Vec<Dropped>,
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
