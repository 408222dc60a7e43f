//! The files of a shard's folder, and their headers.
//!
//! ```text
//! SPOOL_DIR/
//!   lock                          held by the writing process (flock); contains its PID for people
//!   shard-<i>-of-<n>[-<g>]/       `g` counts the changes of `n`; omitted if zero
//!     <first number, 20 digits>.seg   records with consecutive numbers
//!     cursor                      the position, and the numbers missing on purpose or reported; text
//!     removed                     the highest ID of any removed record, by stream; text
//!     reassign.redo               only while IDs are being rewritten
//!     identity                    distinguishes the folder from a later one of its name; only with an archive
//!     aside/                      the salvage folder: at most 64 MiB of copies, and files of later versions
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::cursor::{CURSOR, REMOVED, TEMPORARY};
use super::error::{Context as _, SpoolError};
use super::format::{SEGMENT_HEADER, SegmentHeader, parse_segment_header};
use super::identity::IDENTITY;
use super::salvage::SALVAGE;
use super::segment::{REDO, parse_segment_name, segment_name};

/// A file named like a segment.
pub(super) struct Listed {
    /// Number in its name.
    pub first: u64,
    pub len: u64,
    pub header: SegmentHeader,
}

#[derive(Default)]
pub(super) struct Listing {
    /// In the order of their numbers.
    pub segments: Vec<Listed>,
    /// Remains of interrupted operations, to be deleted.
    pub leftovers: Vec<String>,
    /// Whether an ID rewrite was interrupted.
    pub has_redo: bool,
    /// Unknown files.
    pub foreign: Vec<String>,
}

impl Listing {
    pub(super) fn read(folder: &Path) -> Result<Listing, SpoolError> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(folder).context("read", folder)? {
            let entry = entry.context("read", folder)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let added = entry.file_type().and_then(|kind| listing.add(folder, name, kind.is_file()));
            match added {
                // removed meanwhile by a running service
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                added => added.context("read", &entry.path())?,
            }
        }
        listing.foreign.sort_unstable();
        listing.segments.sort_unstable_by_key(|file| file.first);
        // segments without a record: the process was killed right after creating them
        while let Some(begun) = listing.segments.pop_if(|last| last.len <= SEGMENT_HEADER as u64) {
            listing.leftovers.push(segment_name(begun.first));
        }
        Ok(listing)
    }

    fn add(&mut self, folder: &Path, name: String, is_file: bool) -> io::Result<()> {
        let is_small = |name: &str| [CURSOR, REMOVED, IDENTITY].contains(&name);
        match parse_segment_name(&name).filter(|_| is_file) {
            Some(first) => {
                let file = File::open(folder.join(&name))?;
                let len = file.metadata()?.len();
                let mut bytes = [0; SEGMENT_HEADER];
                // an unreadable header counts as bad
                let read = file.read_exact_at(&mut bytes, 0);
                let header = read.map_or(SegmentHeader::Bad, |()| parse_segment_header(&bytes));
                self.segments.push(Listed { first, len, header });
            }
            None if is_small(&name) || name == SALVAGE => {}
            None if name == REDO => self.has_redo = true,
            None if name.strip_suffix(TEMPORARY).is_some_and(is_small) => self.leftovers.push(name),
            None => self.foreign.push(name),
        }
        Ok(())
    }
}

/// Returns the upper bound of the `nth` file's numbers: the first number of the next file whose header matches its
/// name.
pub(super) fn below(files: &[Listed], nth: usize) -> u64 {
    let later = files.get(nth + 1..).unwrap_or_default();
    later.iter().find(|file| file.is_certain()).map_or(u64::MAX, |file| file.first)
}

impl Listed {
    /// Whether the header matches the name, in this version or a later one.
    pub(super) fn is_certain(&self) -> bool {
        match self.header {
            SegmentHeader::Ours(first) | SegmentHeader::Newer { first, .. } => first == self.first,
            SegmentHeader::Bad => false,
        }
    }
}
