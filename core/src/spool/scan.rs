//! Finds the records in the bytes of a segment, however damaged.
//!
//! A scan yields valid records and bad stretches. A stretch begins where a record is expected and ends at the next
//! position with the magic, valid checksums and a possible number. All reads that must tolerate damage go through
//! here.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;

use memchr::memmem;

use super::format::{MAGIC, MAX_RECORD, Parsed, View, parse};

/// Bytes per read: few system calls, and little memory for each of the folders read concurrently.
const BLOCK: usize = 1024 * 1024;
/// Block size for reading a damaged disk: an unreadable block costs only the records in it.
const SECTOR: usize = 4096;

/// An item of a scan.
pub(super) enum Met<'b> {
    /// A valid record and its offset.
    Record(u64, View<'b>),
    /// A stretch without a valid record.
    Bad(Stretch),
}

/// Bytes that are not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub offset: u64,
    pub len: u64,
    /// The expected number of its first record.
    pub expected: u64,
    /// The number of the next valid record; `None` at the end of the file.
    pub next: Option<u64>,
    /// Channel of its first record, if the header is valid.
    pub channel: Option<String>,
}

/// The range to scan.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Offset of the first record.
    pub offset: u64,
    /// Number of the first record.
    pub seq: u64,
    /// End of the segment.
    pub len: u64,
    /// First number of the next segment; records with it, or a higher one, are remains of a failed write.
    pub below: u64,
}

/// Passes the records and bad stretches of a span to `meet` in order, until it breaks.
pub(super) fn scan(
    file: &File,
    span: Span,
    mut meet: impl FnMut(Met<'_>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut window = Window { file, len: span.len, block: Vec::new(), start: 0 };
    let (mut at, mut expected, mut want) = (span.offset, span.seq, 1);
    let mut bad: Option<Stretch> = None;
    while at < window.len {
        let len = window.len;
        let bytes = window.at(at, want)?;
        if bytes.is_empty() {
            break;
        }
        want = 1;
        let parsed = parse(bytes);
        match parsed {
            Parsed::Record(view) if (expected..span.below).contains(&view.seq) => {
                let mut stretch = bad.take();
                if view.seq > expected && stretch.is_none() {
                    stretch = Some(Stretch { offset: at, len: 0, expected, next: None, channel: None });
                }
                if let Some(stretch) = stretch {
                    let len = at - stretch.offset;
                    if meet(Met::Bad(Stretch { len, next: Some(view.seq), ..stretch })).is_break() {
                        return Ok(());
                    }
                }
                expected = view.seq + 1;
                let size = view.size() as u64;
                if meet(Met::Record(at, view)).is_break() {
                    return Ok(());
                }
                at += size;
            }
            Parsed::Short(size) if at + size as u64 <= len => want = size,
            parsed => {
                bad.get_or_insert_with(|| Stretch {
                    offset: at,
                    len: 0,
                    expected,
                    next: None,
                    channel: channel_of(&parsed, bytes),
                });
                at += next_magic(bytes);
            }
        }
    }
    if let Some(stretch) = bad {
        let len = window.len.saturating_sub(stretch.offset);
        return match meet(Met::Bad(Stretch { len, ..stretch })) {
            // nothing follows the end
            ControlFlow::Continue(()) | ControlFlow::Break(()) => Ok(()),
        };
    }
    Ok(())
}

/// Returns the distance to the next possible beginning of a record after the first byte.
fn next_magic(bytes: &[u8]) -> u64 {
    let behind = bytes.get(1..).unwrap_or_default();
    let last_may_be_half = bytes.len() - usize::from(behind.last() == Some(&MAGIC[0]));
    memmem::find(behind, &MAGIC).map_or(last_may_be_half.max(1), |found| found + 1) as u64
}

/// Returns the channel of a record with a valid header whose payload is corrupt or incomplete.
fn channel_of(parsed: &Parsed<'_>, bytes: &[u8]) -> Option<String> {
    match parsed {
        Parsed::BadPayload(view) => Some(view.channel.to_owned()),
        Parsed::Short(_) => match super::format::parse_header(bytes) {
            Parsed::Record(view) => Some(view.channel.to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// A sliding window over a file.
struct Window<'f> {
    file: &'f File,
    len: u64,
    block: Vec<u8>,
    /// Offset of the block in the file.
    start: u64,
}

impl Window<'_> {
    /// Returns the bytes from `at`: at least `want`, or all up to the end of the file.
    fn at(&mut self, at: u64, want: usize) -> io::Result<&[u8]> {
        let want = want.min(MAX_RECORD).min(usize::try_from(self.len - at).unwrap_or(usize::MAX));
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let skip = match skip {
            Some(skip) if skip + want <= self.block.len() => skip,
            _ => {
                let size = want.max(BLOCK).min(usize::try_from(self.len - at).unwrap_or(usize::MAX));
                self.block.resize(size, 0);
                self.start = at;
                let read = read_readable(self.file, &mut self.block, at)?;
                self.block.truncate(read);
                self.len = if read < size { at + read as u64 } else { self.len };
                0
            }
        };
        Ok(self.block.get(skip..).unwrap_or_default())
    }
}

/// Fills `block` from the file; returns the bytes read. Unreadable sectors read as zeros, which are not a record.
pub(super) fn read_readable(file: &File, block: &mut [u8], at: u64) -> io::Result<usize> {
    match read_full(file, block, at) {
        Err(error) if is_bad_sector(&error) => {}
        other => return other,
    }
    let mut read = 0;
    for sector in block.chunks_mut(SECTOR) {
        match read_full(file, sector, at + read as u64) {
            Ok(n) if n < sector.len() => return Ok(read + n),
            Err(error) if !is_bad_sector(&error) => return Err(error),
            Err(_) => sector.fill(0),
            Ok(_) => {}
        }
        read += sector.len();
    }
    Ok(read)
}

fn read_full(file: &File, block: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = block.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// `EIO` means that the sector is lost; any other error concerns the whole file.
fn is_bad_sector(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}
