//! The quarantine file: events that Redis will never take, with the reason, for a person to look at.
//!
//! One JSON object a line, appended by one write. A line that a crash or a full disk has torn stays as it is, is closed
//! by the next one, and is passed over by readers: its event was not acknowledged, so it comes again. An event that is
//! there already, by stream and id, is not written a second time. A person may move the file away or empty it at any time.
//!
//! Nothing is made or read before the first poison event. One value serves the process: it writes without a lock.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::event::EntryId;
use crate::private;
use crate::time::iso_utc;

/// The file's name in the folder of the disk queue.
pub const FILE: &str = "quarantine.jsonl";

/// The file's size at most: some 80 000 trades. Poison in such numbers is one cause many times over, and a person who
/// has not looked at the first thousands will not miss the rest; the disk belongs to the queue.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Appends to the quarantine file of a folder.
#[derive(Debug)]
pub struct Quarantine {
    folder: PathBuf,
    max_bytes: u64,
    /// Fingerprints of the entries that are in the file; `None` before the first poison event.
    known: Option<HashSet<u64, FixedState>>,
}

/// An event to be put into quarantine.
#[derive(Clone, Copy, Debug)]
pub struct Poison<'e> {
    /// When it was given up, in Unix microseconds.
    pub at_us: u64,
    /// Why.
    pub reason: &'e str,
    /// The name of its channel.
    pub channel: &'e str,
    /// The streams that it was for, and its id in each.
    pub entries: &'e [(&'e str, EntryId)],
    /// When its frame was read, in Unix microseconds.
    pub received_us: u64,
    /// Its payload as it came.
    pub payload: &'e [u8],
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quarantined {
    /// When the event was given up, ISO 8601 in UTC.
    pub at: String,
    /// Why.
    pub reason: String,
    /// Its channel.
    pub channel: String,
    /// The entries that it was to be.
    pub streams: Vec<StreamEntry>,
    /// When its frame was read.
    pub received_at: String,
    /// Its payload; a text where it is not JSON.
    pub payload: Box<RawValue>,
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEntry {
    /// The stream's key.
    pub stream: String,
    /// The entry's id.
    pub id: String,
}

/// What is in the file.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The events, the oldest first.
    pub events: Vec<Quarantined>,
    /// Lines that are torn or not ours.
    pub unreadable: usize,
}

/// Why an event is not in quarantine.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// There is no room.
    #[error("the quarantine file {} is full: {MAX_BYTES} bytes; look at it and move it away", .0.display())]
    Full(PathBuf),
    /// The system refuses.
    #[error("cannot {action} the quarantine file {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Quarantine {
    /// The quarantine of a folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: &Path) -> Quarantine {
        Quarantine { folder: folder.to_owned(), max_bytes: MAX_BYTES, known: None }
    }

    /// Sees to it that the event is in the file.
    pub fn put(&mut self, poison: &Poison<'_>) -> Result<(), QuarantineError> {
        let path = self.folder.join(FILE);
        let (file, length) = self.open(&path).map_err(failed("open", &path))?;
        self.put_into(&file, length, poison)
    }

    fn put_into(&mut self, file: &File, length: u64, poison: &Poison<'_>) -> Result<(), QuarantineError> {
        let path = self.folder.join(FILE);
        let known = match &mut self.known {
            Some(known) => known,
            none => none.insert(entries_in(file, length).map_err(failed("read", &path))?),
        };
        let keys = poison.entries.iter().map(|(stream, id)| key(stream, &id.to_string()));
        if keys.clone().any(|key| known.contains(&key)) {
            return Ok(());
        }
        let line = line(poison, is_torn(file, length).map_err(failed("read", &path))?)
            .map_err(failed("write", &path))?;
        if length + line.len() as u64 > self.max_bytes {
            return Err(QuarantineError::Full(path));
        }
        append(file, length, &line).map_err(failed("write", &path))?;
        known.extend(keys);
        Ok(())
    }

    /// The file, which may be another than the last time, and its length.
    fn open(&self, path: &Path) -> io::Result<(File, u64)> {
        private::create_folder(&self.folder)?;
        let file = private::options().create(true).read(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }
}

/// What is in the quarantine file of a folder; nothing if there is none.
pub fn list(folder: &Path) -> Result<Listing, QuarantineError> {
    let path = folder.join(FILE);
    let mut listing = Listing::default();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(listing),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(failed("read", &path))?;
        match serde_json::from_slice(&line) {
            Ok(event) => listing.events.push(event),
            Err(_) if line.is_empty() => {}
            Err(_) => listing.unreadable += 1,
        }
    }
    Ok(listing)
}

/// The entries of all lines that can be read.
fn entries_in(file: &File, length: u64) -> io::Result<HashSet<u64, FixedState>> {
    #[derive(Deserialize)]
    struct Entries {
        streams: Vec<StreamEntry>,
    }
    let mut known = HashSet::default();
    for line in BufReader::new(file.take(length)).split(b'\n') {
        let entries = serde_json::from_slice::<Entries>(&line?);
        let streams = entries.into_iter().flat_map(|entries| entries.streams);
        known.extend(streams.map(|entry| key(&entry.stream, &entry.id)));
    }
    Ok(known)
}

/// A fingerprint of an entry: the set of all of them must not take the memory of the file.
fn key(stream: &str, id: &str) -> u64 {
    xxh3_64(format!("{stream} {id}").as_bytes())
}

/// Whether the last line has no end.
fn is_torn(file: &File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn line(poison: &Poison<'_>, after_torn: bool) -> io::Result<Vec<u8>> {
    let entry = |(stream, id): &(&str, EntryId)| StreamEntry { stream: (*stream).into(), id: id.to_string() };
    let quarantined = Quarantined {
        at: iso_utc(poison.at_us),
        reason: poison.reason.to_owned(),
        channel: poison.channel.to_owned(),
        streams: poison.entries.iter().map(entry).collect(),
        received_at: iso_utc(poison.received_us),
        payload: payload(poison.payload)?,
    };
    let mut line = if after_torn { vec![b'\n'] } else { Vec::new() };
    serde_json::to_writer(&mut line, &quarantined)?;
    line.push(b'\n');
    Ok(line)
}

/// The payload as a JSON value on one line: itself, or a text of it.
fn payload(bytes: &[u8]) -> io::Result<Box<RawValue>> {
    let text = String::from_utf8_lossy(bytes);
    // between the tokens of a JSON value all blanks are alike, and within them there is no end of a line
    match RawValue::from_string(text.replace(['\n', '\r'], " ")) {
        Ok(value) => Ok(value),
        Err(_) => Ok(to_raw_value(&text)?),
    }
}

/// Writes the line whole, or leaves the file as it was.
fn append(mut file: &File, length: u64, line: &[u8]) -> io::Result<()> {
    file.write_all(line).inspect_err(|_| {
        // where even that fails the line is torn, and the next one closes it
        file.set_len(length).ok();
    })
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl Fn(io::Error) -> QuarantineError + 'p {
    move |source| QuarantineError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
