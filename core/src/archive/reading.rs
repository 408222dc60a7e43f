//! Reads a file of the archive, however damaged.
//!
//! A file is a sequence of Zstandard frames with checksums. What is not a whole frame is skipped up to the next one that
//! is: damage costs the frame that it is in. Of a frame that is cut off at the end of the file the lines before the cut
//! are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use memchr::{memchr, memmem, memrchr};
use zstd::bulk::Decompressor;
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

/// The first bytes of a frame.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Bytes read at a time.
const BLOCK: usize = 1024 * 1024;
/// Maximum size of a frame, and of its lines: twice of what the bound of all frames and the largest event take, escaped.
const MAX_FRAME: usize = 64 * 1024 * 1024;

/// A part of a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its offset in the file.
    pub offset: u64,
    /// Its length in bytes, up to the next frame.
    pub bytes: u64,
    /// Whether the file ends within a frame; otherwise bytes of it are not what was written.
    pub is_cut: bool,
}

/// A file being read.
#[derive(Debug)]
pub struct Reading {
    file: io::Take<File>,
    /// Bytes read ahead, and the offset of the first in the file.
    ahead: Vec<u8>,
    offset: u64,
    is_at_end: bool,
    lines: Vec<u8>,
    found: Vec<Bad>,
}

/// The beginning of the bytes read ahead.
enum Found {
    /// A frame of this length, whose lines are decoded.
    Frame(usize),
    /// The beginning of a frame: more bytes are needed.
    Short,
    Bad,
}

impl Reading {
    /// Opens a file; what is written to it meanwhile is not read, nor anything from `length` on.
    pub fn open(path: &Path, length: Option<u64>) -> io::Result<Reading> {
        let file = File::open(path)?;
        let length = length.unwrap_or(u64::MAX).min(file.metadata()?.len());
        let (ahead, lines, found) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Reading { file: file.take(length), ahead, offset: 0, is_at_end: false, lines, found })
    }

    /// Returns the lines of the next frame, all of them whole; `None` at the end.
    pub fn next_lines(&mut self) -> io::Result<Option<&[u8]>> {
        self.lines.clear();
        let mut bad: Option<u64> = None;
        loop {
            match self.look() {
                Found::Frame(length) => {
                    self.note(bad, false);
                    self.pass(length);
                    return Ok(Some(&self.lines));
                }
                Found::Short if !self.is_at_end => self.read_ahead()?,
                Found::Short if self.ahead.is_empty() => {
                    self.note(bad, false);
                    return Ok(None);
                }
                // a damaged length makes a frame seem longer than the file: others may follow it
                Found::Short
                    if bad.is_none()
                        && memmem::find(self.ahead.get(1..).unwrap_or_default(), &MAGIC).is_none() =>
                {
                    let (begin, whole) = (self.offset, cut_lines(&self.ahead));
                    self.pass(self.ahead.len());
                    self.note(Some(begin), true);
                    self.lines = whole;
                    return Ok((!self.lines.is_empty()).then_some(&self.lines));
                }
                Found::Short | Found::Bad => {
                    bad.get_or_insert(self.offset);
                    let rest = self.ahead.get(1..).unwrap_or_default();
                    // the magic may be cut by the end of the block
                    let kept = if self.is_at_end { 0 } else { MAGIC.len() - 1 };
                    let next = memmem::find(rest, &MAGIC).unwrap_or(rest.len().saturating_sub(kept));
                    self.pass(next + 1);
                }
            }
        }
    }

    /// Takes the parts found since the last call that cannot be read.
    pub fn take_bad(&mut self) -> Vec<Bad> {
        std::mem::take(&mut self.found)
    }

    fn look(&mut self) -> Found {
        if self.ahead.len() < MAGIC.len() {
            let is_begin = MAGIC.starts_with(&self.ahead);
            return if is_begin || !self.is_at_end { Found::Short } else { Found::Bad };
        }
        if !self.ahead.starts_with(&MAGIC) {
            return Found::Bad;
        }
        let Ok(length) = find_frame_compressed_size(&self.ahead) else {
            return if self.ahead.len() < MAX_FRAME { Found::Short } else { Found::Bad };
        };
        let content = get_frame_content_size(&self.ahead).ok().flatten();
        let Some(content) =
            content.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= MAX_FRAME)
        else {
            return Found::Bad;
        };
        let frame = self.ahead.get(..length).unwrap_or_default();
        match Decompressor::new().and_then(|mut decompressor| decompressor.decompress(frame, content)) {
            Ok(lines) => {
                self.lines = lines;
                Found::Frame(length)
            }
            Err(_) => Found::Bad,
        }
    }

    fn read_ahead(&mut self) -> io::Result<()> {
        let limit = BLOCK.max(self.ahead.len()) as u64;
        let read = self.file.by_ref().take(limit).read_to_end(&mut self.ahead)?;
        self.is_at_end = read == 0;
        Ok(())
    }

    fn pass(&mut self, bytes: usize) {
        let bytes = bytes.min(self.ahead.len());
        self.ahead.drain(..bytes);
        self.offset += bytes as u64;
    }

    fn note(&mut self, begin: Option<u64>, is_cut: bool) {
        self.found.extend(begin.map(|offset| Bad { offset, bytes: self.offset - offset, is_cut }));
    }
}

/// Decodes the whole lines of a frame that is cut off.
fn cut_lines(frame: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    if let Ok(decoder) = zstd::stream::read::Decoder::with_buffer(frame) {
        // it fails at the cut, behind what it has decoded
        decoder.single_frame().take(MAX_FRAME as u64).read_to_end(&mut lines).ok();
    }
    lines.truncate(memrchr(b'\n', &lines).map_or(0, |last| last + 1));
    lines
}

/// Iterates over lines without their breaks.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        Some(line)
    })
}
