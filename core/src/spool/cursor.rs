//! The two small files beside the segments: `cursor` and `removed`. Checksummed text, readable by an on-call
//! engineer; written to a temporary file and renamed.
//!
//! ```text
//! cursor    a title, then `acknowledged N`, `end N`, `absent FROM TO` …, `dropping FROM TO` …, `unstored FROM TO` …,
//!           `crc` of the lines above
//! removed   a title, then `ID STREAM` …, `crc` of the lines above
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::ranges::Ranges;
use crate::event::EntryId;
use crate::private;
pub(super) use crate::sealed::Loaded;
use crate::sealed::{load, sealed};
use crate::tables::keep_highest;

/// File name of the position.
pub(super) const CURSOR: &str = "cursor";
/// File name of the last IDs of removed segments.
pub(super) const REMOVED: &str = "removed";
/// Suffix of a file not yet renamed.
pub(super) const TEMPORARY: &str = ".tmp";

/// A shard's position, and the numbers absent from disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// All records below this number are stored.
    pub acknowledged: u64,
    /// Number of the next record at the time of writing. On opening it reveals records missing at the end.
    pub end: u64,
    /// Numbers not on disk whose absence has been reported.
    pub absent: Ranges,
    /// Numbers being dropped: not on disk, or about to be deleted; possibly not yet reported.
    pub dropping: Ranges,
    /// Numbers acknowledged without being stored, such as quarantined ones; only noted for the archive. Beyond the bound
    /// of ranges the archive has the lowest, although Redis does not.
    pub unstored: Ranges,
}

/// The highest ID of any removed record, by stream.
pub(super) type Removed = HashMap<Arc<str>, EntryId>;

impl Cursor {
    const TITLE: &'static str = "uw-websocket spool cursor 1";

    pub(super) fn encode(&self) -> String {
        let mut body = format!("acknowledged {}\nend {}\n", self.acknowledged, self.end);
        let ranges = [("absent", &self.absent), ("dropping", &self.dropping), ("unstored", &self.unstored)];
        for (name, ranges) in ranges {
            for (from, to) in ranges.iter() {
                // writing to a `String` cannot fail
                writeln!(body, "{name} {from} {to}").ok();
            }
        }
        sealed(Self::TITLE, &body)
    }

    pub(super) fn load(folder: &Path) -> Loaded<Cursor> {
        load(&folder.join(CURSOR), Self::TITLE, Cursor::parse)
    }

    fn parse(body: &str) -> Option<Cursor> {
        let (mut cursor, mut acknowledged, mut end) = (Cursor::default(), None, None);
        for line in body.lines() {
            let mut words = line.split(' ');
            let name = words.next()?;
            let from: u64 = words.next()?.parse().ok()?;
            let to: Option<u64> = words.next().map(str::parse).transpose().ok()?;
            match (name, to) {
                ("acknowledged", None) => acknowledged = Some(from),
                ("end", None) => end = Some(from),
                ("absent", Some(to)) => cursor.absent.insert(from, to),
                ("dropping", Some(to)) => cursor.dropping.insert(from, to),
                ("unstored", Some(to)) => cursor.unstored.insert(from, to),
                _ => return None,
            }
        }
        (cursor.acknowledged, cursor.end) = (acknowledged?, end?);
        (cursor.acknowledged <= cursor.end).then_some(cursor)
    }
}

const REMOVED_TITLE: &str = "uw-websocket spool removed 1";

pub(super) fn encode_removed(removed: &Removed) -> String {
    let mut body = String::with_capacity(removed.len() * 48);
    for (stream, id) in removed {
        writeln!(body, "{id} {stream}").ok();
    }
    sealed(REMOVED_TITLE, &body)
}

pub(super) fn load_removed(folder: &Path) -> Loaded<Removed> {
    load(&folder.join(REMOVED), REMOVED_TITLE, |body| {
        let entry = |line: &str| {
            let (id, stream) = line.split_once(' ')?;
            Some((Arc::from(stream), id.parse().ok()?))
        };
        body.lines().map(entry).collect()
    })
}

/// Merges the last IDs of a removed segment, at most `max` in all: those with the lowest IDs are evicted, as Redis has
/// most likely stored them for longest. Returns their number.
pub(super) fn merge_removed<'l>(
    removed: &mut Removed,
    last_ids: impl Iterator<Item = (&'l Arc<str>, &'l EntryId)>,
    max: usize,
) -> u64 {
    let mut evicted = 0;
    for (stream, id) in last_ids {
        match removed.get_mut(stream) {
            Some(last) => *last = (*last).max(*id),
            None => {
                removed.insert(Arc::clone(stream), *id);
            }
        }
        if removed.len() >= 2 * max {
            evicted += keep_highest(removed, max, |id| *id);
        }
    }
    evicted + keep_highest(removed, max, |id| *id)
}

/// Replaces a file atomically: a reader sees either the old content or the new.
pub(super) fn replace(folder: &Path, name: &str, content: &str) -> io::Result<()> {
    let temporary = folder.join(format!("{name}{TEMPORARY}"));
    private::write(&temporary, content.as_bytes())
        .and_then(|()| fs::rename(&temporary, folder.join(name)))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        let mut cursor = Cursor { acknowledged: 7, end: 90, ..Cursor::default() };
        cursor.absent.insert(10, 20);
        cursor.dropping.insert(30, 40);
        cursor.unstored.insert(5, 6);
        cursor
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Cursor::load(folder.path()), Loaded::Missing));
        replace(folder.path(), CURSOR, &cursor().encode()).unwrap();
        assert!(matches!(Cursor::load(folder.path()), Loaded::Whole(read) if read == cursor()));
        let removed: Removed = [(Arc::from("news"), EntryId { ms: 5, seq: 6 })].into();
        replace(folder.path(), REMOVED, &encode_removed(&removed)).unwrap();
        assert!(matches!(load_removed(folder.path()), Loaded::Whole(read) if read == removed));
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_off_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CURSOR);
        let text = cursor().encode().into_bytes();
        for at in 0..text.len() {
            let mut flipped = text.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert!(matches!(Cursor::load(folder.path()), Loaded::Bad(_)), "byte {at}");
            fs::write(&path, &text[..at]).unwrap();
            assert!(matches!(Cursor::load(folder.path()), Loaded::Bad(_)), "cut at {at}");
        }
    }

    #[test]
    fn a_position_that_is_not_all_there_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        for body in
            ["acknowledged 1\n", "end 1\n", "acknowledged 2\nend 1\n", "acknowledged 1\nend 1\nother 1\n"]
        {
            replace(folder.path(), CURSOR, &sealed(Cursor::TITLE, body)).unwrap();
            assert!(matches!(Cursor::load(folder.path()), Loaded::Bad(_)), "{body}");
        }
    }

    #[test]
    fn beyond_the_bound_the_lowest_ids_are_forgotten() {
        let mut removed = Removed::new();
        let streams: Vec<(Arc<str>, EntryId)> =
            (0..1010).map(|n| (Arc::from(format!("price:S{n}")), EntryId { ms: n, seq: 0 })).collect();
        let evicted = merge_removed(&mut removed, streams.iter().map(|(stream, id)| (stream, id)), 100);
        assert_eq!((removed.len(), evicted), (100, 910));
        assert_eq!(removed.values().min(), Some(&EntryId { ms: 910, seq: 0 }));
    }
}
