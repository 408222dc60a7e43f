//! Reads streams page by page within a bound, whatever other clients have written to them.
//!
//! Scripts, which could query lengths first, are not available to users who may only read. A page that is too large is
//! read in smaller ones instead, and of an entry that is too large only the ID: it precedes the fields in the reply.

use uw_websocket_core::event::EntryId;

use super::Store;
use super::fault::StoreFault;
use super::resp::{Bound, Commands, Reply, id_text};

/// Maximum wire size of an entry: the largest message of the feed has 4 MiB, with the names around it a little more.
pub const MAX_ENTRY: usize = 5 * 1024 * 1024;
/// Minimum wire size of a page, so that usual entries are not read one by one.
const MIN_PAGE: usize = 64 * 1024;
/// Maximum elements of a page: entries with some fields each.
const MAX_ITEMS: usize = 64 * 1024;
/// Ranges queried at once.
const ASKED_AT_ONCE: usize = 100;
/// Divisor of the number of entries after a page that was too large.
const SMALLER: usize = 8;

/// A range of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRange<'r> {
    key: &'r str,
    after: EntryId,
    until: Option<EntryId>,
    count: usize,
    bytes: usize,
    is_backwards: bool,
}

/// An entry: its ID, and names and values of its fields in turn.
pub type StreamEntry = (EntryId, Vec<Vec<u8>>);

/// A page of a stream.
#[derive(Debug, Default)]
pub struct StreamPage {
    /// Its entries.
    pub entries: Vec<StreamEntry>,
    /// The ID of the entry after them, if it is larger than [`MAX_ENTRY`] and was not read.
    pub too_large: Option<EntryId>,
    /// Whether there may be more in the range.
    pub has_more: bool,
}

impl<'r> StreamRange<'r> {
    /// Creates the range of `key` after an ID and up to another one; `None` is the end of the stream. A page of it has
    /// at most `count` entries; one of more than `bytes`, which is raised to a minimum and lowered to [`MAX_ENTRY`], is
    /// read in smaller ones.
    #[must_use]
    pub fn new(
        key: &'r str,
        after: EntryId,
        until: Option<EntryId>,
        (count, bytes): (usize, usize),
    ) -> StreamRange<'r> {
        StreamRange { key, after, until, count, bytes, is_backwards: false }
    }

    /// Reads the range in descending order: from the first ID, exclusive, down to the other one.
    #[must_use]
    pub fn backwards(self) -> StreamRange<'r> {
        StreamRange { is_backwards: true, ..self }
    }

    fn ask(&self, count: usize) -> Commands {
        let mut question = Commands::default();
        let (after, until) = (format!("({}", self.after), self.until.map(id_text));
        let (name, end) = if self.is_backwards { (&b"XREVRANGE"[..], b"-") } else { (&b"XRANGE"[..], b"+") };
        let until = until.as_ref().map_or(&end[..], AsRef::as_ref);
        let count = count.to_string();
        question.command(&[name, self.key.as_bytes(), after.as_bytes(), until, b"COUNT", count.as_bytes()]);
        question
    }

    fn bytes(&self) -> usize {
        self.bytes.clamp(MIN_PAGE, MAX_ENTRY)
    }
}

impl Store {
    /// Reads the beginnings of ranges, a page each.
    pub async fn pages(&mut self, ranges: &[StreamRange<'_>]) -> Result<Vec<StreamPage>, StoreFault> {
        let mut pages: Vec<StreamPage> = Vec::with_capacity(ranges.len());
        while pages.len() < ranges.len() {
            let asked = &ranges[pages.len()..ranges.len().min(pages.len() + ASKED_AT_ONCE)];
            let mut questions = Commands::default();
            let mut bytes = 0;
            for range in asked {
                questions.append(&range.ask(range.count));
                bytes = bytes.max(range.bytes());
            }
            questions.expect(Bound { bytes, items: MAX_ITEMS });
            let mut counts = asked.iter().map(|range| range.count);
            let answered = self
                .ask(&questions, |reply| {
                    pages.push(page_of(&reply, counts.next().unwrap_or_default())?);
                    Ok(())
                })
                .await;
            match answered {
                Err(StoreFault::TooLarge(_)) => pages.push(self.smaller_page(&ranges[pages.len()]).await?),
                answered => answered?,
            }
        }
        Ok(pages)
    }

    async fn smaller_page(&mut self, range: &StreamRange<'_>) -> Result<StreamPage, StoreFault> {
        let mut count = range.count;
        while count > 1 {
            count = (count / SMALLER).max(1);
            let mut question = range.ask(count);
            let bytes = if count == 1 { MAX_ENTRY } else { range.bytes() };
            question.expect(Bound { bytes, items: MAX_ITEMS });
            let mut page = StreamPage::default();
            let answered = self
                .ask(&question, |reply| {
                    page = page_of(&reply, count)?;
                    Ok(())
                })
                .await;
            match answered {
                Ok(()) => return Ok(StreamPage { has_more: true, ..page }),
                Err(StoreFault::TooLarge(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        let too_large = self.first_text(&range.ask(1)).await?.and_then(|id| id.parse().ok());
        Ok(StreamPage { too_large, has_more: true, ..StreamPage::default() })
    }

    /// Returns the IDs of the first or the last entries of streams; zero for an empty one. The entries may have any
    /// size.
    pub async fn ends(&mut self, keys: &[&str], end: End) -> Result<Vec<EntryId>, StoreFault> {
        let question = |key: &str| {
            let mut question = Commands::default();
            match end {
                End::First => question.command(&[b"XRANGE", key.as_bytes(), b"-", b"+", b"COUNT", b"1"]),
                End::Last => question.command(&[b"XREVRANGE", key.as_bytes(), b"+", b"-", b"COUNT", b"1"]),
            };
            question
        };
        let mut ids = Vec::with_capacity(keys.len());
        while ids.len() < keys.len() {
            let mut questions = Commands::default();
            for key in &keys[ids.len()..keys.len().min(ids.len() + ASKED_AT_ONCE)] {
                questions.append(&question(key));
            }
            questions.expect(Bound { bytes: MIN_PAGE, items: MAX_ITEMS });
            let answered = self
                .ask(&questions, |reply| {
                    ids.push(
                        page_of(&reply, 1)?.entries.first().map_or_else(EntryId::default, |(id, _)| *id),
                    );
                    Ok(())
                })
                .await;
            match answered {
                Err(StoreFault::TooLarge(_)) => {
                    let id = self.first_text(&question(keys[ids.len()])).await?;
                    ids.push(id.and_then(|id| id.parse().ok()).unwrap_or_default());
                }
                answered => answered?,
            }
        }
        Ok(ids)
    }
}

/// An end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The oldest entry.
    First,
    /// The newest entry.
    Last,
}

fn page_of(reply: &Reply<'_>, count: usize) -> Result<StreamPage, StoreFault> {
    let entries = entries_of(reply).ok_or_else(|| StoreFault::answered(reply))?;
    Ok(StreamPage { has_more: entries.len() >= count, entries, too_large: None })
}

/// Parses the entries in a reply. An ID must not default to zero, as reading would restart from the beginning.
#[must_use]
pub fn entries_of(reply: &Reply<'_>) -> Option<Vec<StreamEntry>> {
    let Reply::Array(Some(entries)) = reply else { return None };
    let entry = |entry: &Reply<'_>| {
        let Reply::Array(Some(parts)) = entry else { return None };
        let [Reply::Bulk(Some(id)), fields] = &parts[..] else { return None };
        let fields = match fields {
            Reply::Array(Some(fields)) => &fields[..],
            // an entry deleted while it is read
            _ => &[],
        };
        let bytes = |field: &Reply<'_>| match field {
            Reply::Bulk(Some(text)) => text.to_vec(),
            _ => Vec::new(),
        };
        Some((std::str::from_utf8(id).ok()?.parse().ok()?, fields.iter().map(bytes).collect()))
    };
    entries.iter().map(entry).collect()
}
