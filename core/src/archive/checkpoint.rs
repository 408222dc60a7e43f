//! What is archived: how far each disk queue, and how long each file was then. Everything after that is written again.
//!
//! ```text
//! a title, then `queue IDENTITY ARCHIVED LAST_US NAME` …, `fetched ID ADDED TOPIC` …, `file LENGTH PATH` …, `crc` of the
//! lines above
//! ```
//!
//! A file that is about to be written is listed before, with its length. After a crash in between it is cut to that
//! length, and the records from the position on are archived again: each is in the archive once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::path::FilePath;
use crate::event::EntryId;
use crate::sealed::{Loaded, load, sealed};

/// File name of the checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
const TITLE: &str = "uw-websocket archive checkpoint 1";
/// Maximum number of listed files: the open hours of all channels of a usual configuration, twice. Beyond it those of
/// the oldest hours are not listed between two writes, which costs one more checkpoint when they are written again.
const MAX_FILES: usize = 64;

/// How far a disk queue is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivePosition {
    /// Distinguishes the folder of the queue from another one that had its name before.
    pub identity: String,
    /// The name of the queue's folder, for people.
    pub name: String,
    /// All records below this number are archived or known to be missing.
    pub archived: u64,
    /// Receive time of the last record archived, in Unix microseconds; 0 without one.
    pub last_us: u64,
}

/// How far a stream of fetched rows is archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamPosition {
    /// The ID of the last entry that is archived, or known to be missing.
    pub id: EntryId,
    /// The number of entries that the stream had had with it.
    pub added: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ArchiveCheckpoint {
    pub positions: Vec<ArchivePosition>,
    /// By topic.
    pub fetched: BTreeMap<String, StreamPosition>,
    /// Lengths of the files written last.
    pub files: BTreeMap<FilePath, u64>,
}

impl ArchiveCheckpoint {
    pub(super) fn encode(&self) -> String {
        let mut body = String::new();
        for ArchivePosition { identity, name, archived, last_us } in &self.positions {
            // writing to a `String` cannot fail
            writeln!(body, "queue {identity} {archived} {last_us} {name}").ok();
        }
        for (topic, StreamPosition { id, added }) in &self.fetched {
            writeln!(body, "fetched {id} {added} {topic}").ok();
        }
        for (path, length) in &self.files {
            writeln!(body, "file {length} {path}").ok();
        }
        sealed(TITLE, &body)
    }

    pub(super) fn load(folder: &Path) -> Loaded<ArchiveCheckpoint> {
        load(&folder.join(CHECKPOINT), TITLE, ArchiveCheckpoint::parse)
    }

    fn parse(body: &str) -> Option<ArchiveCheckpoint> {
        let mut checkpoint = ArchiveCheckpoint::default();
        for line in body.lines() {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "queue" => {
                    let mut words = rest.splitn(4, ' ');
                    let identity = words.next()?.to_owned();
                    let (archived, last_us) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                    let name = words.next()?.to_owned();
                    checkpoint.positions.push(ArchivePosition { identity, name, archived, last_us });
                }
                "fetched" => {
                    let mut words = rest.splitn(3, ' ');
                    let (id, added) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                    checkpoint.fetched.insert(words.next()?.to_owned(), StreamPosition { id, added });
                }
                "file" => {
                    let (length, path) = rest.split_once(' ')?;
                    checkpoint.files.insert(FilePath::parse(Path::new(path))?, length.parse().ok()?);
                }
                _ => return None,
            }
        }
        Some(checkpoint)
    }

    /// Forgets the files of the oldest hours beyond the bound, except those that `is_kept` names.
    pub(super) fn bound(&mut self, is_kept: impl Fn(&FilePath) -> bool) {
        let mut surplus = self.files.len().saturating_sub(MAX_FILES);
        let mut hours: Vec<_> = self.files.keys().filter(|path| !is_kept(path)).cloned().collect();
        hours.sort_by_key(|path| (path.date, path.hour));
        for path in hours {
            if surplus == 0 {
                break;
            }
            self.files.remove(&path);
            surplus -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(hour: u8) -> FilePath {
        FilePath { date: 20_000, is_fetched: hour == 10, channel: "price".into(), hour }
    }

    fn checkpoint() -> ArchiveCheckpoint {
        let position = |name: &str, archived| ArchivePosition {
            identity: "0123456789abcdef".to_owned(),
            name: name.to_owned(),
            archived,
            last_us: 7,
        };
        ArchiveCheckpoint {
            positions: vec![position("shard-0-of-2", 0), position("shard-1-of-2", u64::MAX)],
            fetched: [(
                "option_trades:SPY".to_owned(),
                StreamPosition { id: EntryId { ms: 7, seq: 1 }, added: 9 },
            )]
            .into(),
            files: (9..12).map(|hour| (file(hour), u64::from(hour))).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ArchiveCheckpoint::load(folder.path()), Loaded::Missing));
        let (path, text) = (folder.path().join(CHECKPOINT), checkpoint().encode().into_bytes());
        fs::write(&path, &text).unwrap();
        assert!(
            matches!(ArchiveCheckpoint::load(folder.path()), Loaded::Whole(read) if read == checkpoint())
        );
        for at in 0..text.len() {
            let mut flipped = text.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(matches!(ArchiveCheckpoint::load(folder.path()), Loaded::Bad(_)), "byte {at}");
            fs::write(&path, &text[..at]).unwrap();
            assert!(matches!(ArchiveCheckpoint::load(folder.path()), Loaded::Bad(_)), "cut at {at}");
        }
    }

    #[test]
    fn beyond_the_bound_the_oldest_hours_are_forgotten_and_not_those_being_written() {
        let mut checkpoint = ArchiveCheckpoint::default();
        for n in 0..100 {
            let path = FilePath {
                date: 20_000 + n / 24,
                is_fetched: false,
                channel: "price".into(),
                hour: u8::try_from(n % 24).unwrap(),
            };
            checkpoint.files.insert(path, 1);
        }
        let oldest = FilePath { date: 20_000, is_fetched: false, channel: "price".into(), hour: 0 };
        checkpoint.bound(|path| *path == oldest);
        assert_eq!(checkpoint.files.len(), MAX_FILES);
        assert!(checkpoint.files.contains_key(&oldest) && !checkpoint.files.contains_key(&file(1)));
        let newest = FilePath { date: 20_004, hour: 3, ..oldest };
        assert!(checkpoint.files.contains_key(&newest));
    }
}
