//! Reassigns the IDs of unwritten records when a stream in Redis turns out to be above them.
//!
//! Headers are rewritten in place. A crash may tear such a write, so the new headers are first written to
//! `reassign.redo`, with a checksum; the next opening completes what that file contains.
//!
//! ```text
//! redo      crc of the rest u32 | entry …
//! entry     number of the segment u64 | place of the record in it u64 | header length u64 | header
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::error::{Context as _, SpoolError};
use super::format::{RecordStream, View, u64_at};
use super::queue::Spool;
use super::scan::{Met, Span, scan};
use super::segment::{REDO, segment_name};
use crate::event::EntryId;
use crate::ids::{Exhausted, next_id};
use crate::private;

/// Bytes of headers rewritten at a time: some ten thousand records.
const REDO_BYTES: usize = 1024 * 1024;
/// Bytes of a header that a new ID does not change, before and after its checksum.
const UNCHANGED: [std::ops::Range<usize>; 2] = [0..8, 12..34];

/// The result of a reassignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reassigned {
    /// Number of records with a new ID.
    pub count: u64,
    /// The stream's last ID now.
    pub last: EntryId,
}

impl Spool {
    /// Assigns IDs above `last` to the unacknowledged records of a stream from `from_seq` on, except those in
    /// `skip`; a record whose ID is already above keeps it. On return they are on disk to the extent that appended
    /// records are. After a crash or an error midway, the first ones have new IDs; repeating the call gives the
    /// same result.
    pub fn reassign<S: BuildHasher>(
        &mut self,
        from_seq: u64,
        stream: RecordStream<'_>,
        skip: &HashSet<u64, S>,
        last: EntryId,
    ) -> Result<Reassigned, SpoolError> {
        // stored records have their IDs in Redis
        let from_seq = from_seq.max(self.cursor.acknowledged);
        let mut result = Reassigned { count: 0, last };
        let first = self.segments.partition_point(|segment| segment.end <= from_seq);
        for segment in self.segments.range(first..) {
            let path = segment.path(&self.folder);
            let file = File::options().read(true).write(true).open(&path).context("open", &path)?;
            let mark = segment.mark_before(from_seq);
            let span = Span { offset: mark.offset, seq: mark.seq, len: segment.bytes, below: segment.end };
            let mut redo = Redo::new(&self.folder, self.limits.durable);
            let mut outcome = Ok(());
            scan(&file, span, |met| {
                let Met::Record(offset, view) = met else { return ControlFlow::Continue(()) };
                if view.seq < from_seq || skip.contains(&view.seq) {
                    return ControlFlow::Continue(());
                }
                outcome = match rewritten(&view, stream, &mut result) {
                    Ok(Some(header)) => redo.add((segment.first, offset), &header, &file),
                    Ok(None) => Ok(()),
                    Err(exhausted) => Err(exhausted.into()),
                };
                if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .context("read", &path)?;
            let applied = redo.apply(&file);
            outcome.and(applied)?;
        }
        Ok(result)
    }
}

/// Returns the new header of a record of the stream; `None` if its ID stays.
fn rewritten(
    view: &View<'_>,
    stream: RecordStream<'_>,
    result: &mut Reassigned,
) -> Result<Option<Vec<u8>>, Exhausted> {
    if view.channel != stream.channel {
        return Ok(None);
    }
    let Some(destination) = view.destinations().find(|destination| destination.symbol == stream.symbol)
    else {
        return Ok(None);
    };
    result.last = next_id(result.last, view.received_us / 1000)?.max(destination.id);
    if result.last == destination.id {
        return Ok(None);
    }
    result.count += 1;
    Ok(Some(destination.header_with_id(result.last)))
}

/// Headers about to be rewritten. An entry is the segment, the position in it, the length, and the header.
struct Redo<'f> {
    folder: &'f Path,
    is_durable: bool,
    entries: Vec<u8>,
}

impl Redo<'_> {
    fn new(folder: &Path, is_durable: bool) -> Redo<'_> {
        Redo { folder, is_durable, entries: Vec::new() }
    }

    fn add(&mut self, (segment, offset): (u64, u64), header: &[u8], file: &File) -> Result<(), SpoolError> {
        self.entries.extend_from_slice(&segment.to_le_bytes());
        self.entries.extend_from_slice(&offset.to_le_bytes());
        self.entries.extend_from_slice(&(header.len() as u64).to_le_bytes());
        self.entries.extend_from_slice(header);
        if self.entries.len() >= REDO_BYTES { self.apply(file) } else { Ok(()) }
    }

    /// Rewrites the headers in their segment.
    fn apply(&mut self, file: &File) -> Result<(), SpoolError> {
        let path = self.folder.join(REDO);
        if self.entries.is_empty() {
            return Ok(());
        }
        self.write(&path).inspect_err(|_| drop(fs::remove_file(&path))).context("write", &path)?;
        let write = |entry: Entry<'_>| file.write_all_at(entry.header, entry.offset);
        let written = entries(&self.entries).try_for_each(write);
        let synced = written.and_then(|()| if self.is_durable { file.sync_data() } else { Ok(()) });
        synced.and_then(|()| fs::remove_file(&path)).context("rewrite ids as told by", &path)?;
        self.entries.clear();
        Ok(())
    }

    /// Encodes the redo file: the checksum, then the entries.
    fn content(&self) -> Vec<u8> {
        [&crc32fast::hash(&self.entries).to_le_bytes()[..], &self.entries].concat()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        private::write(path, &self.content())?;
        if self.is_durable { File::open(path)?.sync_all() } else { Ok(()) }
    }
}

struct Entry<'b> {
    segment: u64,
    offset: u64,
    header: &'b [u8],
}

fn entries(mut rest: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let end = usize::try_from(u64_at(rest, 16)?).ok()?.checked_add(24)?;
        let header = rest.get(24..end)?;
        let entry = Entry { segment: u64_at(rest, 0)?, offset: u64_at(rest, 8)?, header };
        rest = rest.get(end..)?;
        Some(entry)
    })
}

/// Completes an interrupted rewrite. If the rewrite had not begun, the redo file may be incomplete and is ignored.
pub(super) fn redo(folder: &Path) -> io::Result<()> {
    let path = folder.join(REDO);
    let bytes = match private::read(&path, u64::MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes?,
    };
    if let Some((crc, planned)) = bytes.split_first_chunk()
        && *crc == crc32fast::hash(planned).to_le_bytes()
    {
        for entry in entries(planned) {
            let segment = folder.join(segment_name(entry.segment));
            match File::options().read(true).write(true).open(segment) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => finish(&file?, &entry)?,
            }
        }
    }
    fs::remove_file(path)
}

/// Rewrites one header, if its record is still in place. Unreadable bytes are damage, which recovery finds.
fn finish(file: &File, entry: &Entry<'_>) -> io::Result<()> {
    let mut present = vec![0; entry.header.len()];
    let read = file.read_exact_at(&mut present, entry.offset);
    let is_same = |part: &std::ops::Range<usize>| present.get(part.clone()) == entry.header.get(part.clone());
    if read.is_ok() && UNCHANGED.iter().all(is_same) {
        file.write_all_at(entry.header, entry.offset)?;
        file.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the redo file's content for a rewrite of a stream in the newest segment.
    pub(in crate::spool) fn plan_of(spool: &Spool, stream: RecordStream<'_>, last: EntryId) -> Vec<u8> {
        let segment = spool.segments.back().unwrap();
        let file = File::open(segment.path(&spool.folder)).unwrap();
        let (mut redo, mut result) = (Redo::new(&spool.folder, false), Reassigned { count: 0, last });
        let span = Span { offset: 20, seq: segment.first, len: segment.bytes, below: segment.end };
        scan(&file, span, |met| {
            let Met::Record(offset, view) = met else { return ControlFlow::Continue(()) };
            if let Some(header) = rewritten(&view, stream, &mut result).unwrap() {
                redo.add((segment.first, offset), &header, &file).unwrap();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        redo.content()
    }
}
