//! The quarantine file: events that Redis permanently rejects, with the reason, for inspection.
//!
//! Each line is one JSON object, appended by a single write. A line torn by a crash or a full disk stays as it is,
//! is terminated by the next one and skipped by readers: its event was not acknowledged, so it is delivered again.
//! An event already in the file, by stream and ID, is not written again. The file may be moved away or emptied at
//! any time.
//!
//! Nothing is created or read before the first poison event. One value serves the process and writes without a
//! lock.

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

/// File name in the disk queue's folder.
pub const FILE: &str = "quarantine.jsonl";

/// Maximum file size: some 80 000 trades. That many poison events share one cause, so those beyond the first
/// thousands add nothing; the disk space belongs to the queue.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Appends to the quarantine file in a folder.
#[derive(Debug)]
pub struct Quarantine {
    folder: PathBuf,
    max_bytes: u64,
    /// Fingerprints of the entries in the file; `None` before the first poison event.
    known: Option<HashSet<u64, FixedState>>,
}

/// An event to be quarantined.
#[derive(Clone, Copy, Debug)]
pub struct QuarantinedEvent<'e> {
    /// Time of giving up, in Unix microseconds.
    pub at_us: u64,
    /// The cause of giving up, such as the error of Redis.
    pub reason: &'e str,
    /// Channel name.
    pub channel: &'e str,
    /// The destination streams, with its ID in each.
    pub entries: &'e [(&'e str, EntryId)],
    /// Time at which its frame was read, in Unix microseconds.
    pub received_us: u64,
    /// The payload as received.
    pub payload: &'e [u8],
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quarantined {
    /// Time of giving up, ISO 8601 in UTC.
    pub at: String,
    /// The cause of giving up, such as the error of Redis.
    pub reason: String,
    /// Channel name.
    pub channel: String,
    /// The intended stream entries.
    pub streams: Vec<QuarantinedEntry>,
    /// Time at which its frame was read, ISO 8601 in UTC.
    pub received_at: String,
    /// The payload; a JSON string of it if it is not valid JSON or has line breaks.
    pub payload: Box<RawValue>,
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedEntry {
    /// The stream's full key.
    pub stream: String,
    /// `<milliseconds>-<sequence>`.
    pub id: String,
}

/// The content of a quarantine file.
#[derive(Clone, Debug, Default)]
pub struct QuarantineListing {
    /// Events, oldest first.
    pub events: Vec<Quarantined>,
    /// Number of torn or foreign lines.
    pub unreadable: usize,
}

/// The reason why an event was not quarantined.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// The file has reached [`MAX_BYTES`].
    #[error("the quarantine file {} is full: {MAX_BYTES} bytes; inspect it and move it away", .0.display())]
    Full(PathBuf),
    /// An I/O error.
    #[error("cannot {action} the quarantine file {}", .path.display())]
    Io {
        /// The failed operation, a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Quarantine {
    /// Creates the quarantine of a folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: &Path) -> Quarantine {
        Quarantine { folder: folder.to_owned(), max_bytes: MAX_BYTES, known: None }
    }

    /// Ensures that the event is in the file.
    pub fn put(&mut self, poison: &QuarantinedEvent<'_>) -> Result<(), QuarantineError> {
        let path = self.folder.join(FILE);
        let (file, length) = self.open(&path).map_err(failed("open", &path))?;
        self.put_into(&file, length, poison)
    }

    fn put_into(
        &mut self,
        file: &File,
        length: u64,
        poison: &QuarantinedEvent<'_>,
    ) -> Result<(), QuarantineError> {
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

    /// Opens the file, which may have been replaced since the last call; returns it with its length.
    fn open(&self, path: &Path) -> io::Result<(File, u64)> {
        private::create_folder(&self.folder)?;
        let file = private::options().create(true).read(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }
}

/// Reads the quarantine file in a folder; empty if there is none.
pub fn list(folder: &Path) -> Result<QuarantineListing, QuarantineError> {
    let path = folder.join(FILE);
    let mut listing = QuarantineListing::default();
    let file = match private::open(&path) {
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

/// Collects the fingerprints of all readable lines.
fn entries_in(file: &File, length: u64) -> io::Result<HashSet<u64, FixedState>> {
    #[derive(Deserialize)]
    struct Entries {
        streams: Vec<QuarantinedEntry>,
    }
    let mut known = HashSet::default();
    for line in BufReader::new(file.take(length)).split(b'\n') {
        let entries = serde_json::from_slice::<Entries>(&line?);
        let streams = entries.into_iter().flat_map(|entries| entries.streams);
        known.extend(streams.map(|entry| key(&entry.stream, &entry.id)));
    }
    Ok(known)
}

/// Fingerprints an entry: a set of full keys could take as much memory as the file.
fn key(stream: &str, id: &str) -> u64 {
    xxh3_64(format!("{stream} {id}").as_bytes())
}

/// Whether the last line lacks its line feed.
fn is_torn(file: &File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

fn line(poison: &QuarantinedEvent<'_>, after_torn: bool) -> io::Result<Vec<u8>> {
    let entry =
        |(stream, id): &(&str, EntryId)| QuarantinedEntry { stream: (*stream).into(), id: id.to_string() };
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

/// Returns the payload as a JSON value on one line: itself, or a string of it if it would have to change for that.
fn payload(bytes: &[u8]) -> io::Result<Box<RawValue>> {
    let text = String::from_utf8_lossy(bytes);
    match RawValue::from_string(text.to_string()) {
        Ok(value) if value.get().len() == bytes.len() && !text.contains(['\n', '\r']) => Ok(value),
        _ => Ok(to_raw_value(&text)?),
    }
}

/// Writes the whole line, or leaves the file unchanged.
fn append(mut file: &File, length: u64, line: &[u8]) -> io::Result<()> {
    file.write_all(line).inspect_err(|_| {
        // if that fails too, the line is torn and the next one terminates it
        file.set_len(length).ok();
    })
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl Fn(io::Error) -> QuarantineError + 'p {
    move |source| QuarantineError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
