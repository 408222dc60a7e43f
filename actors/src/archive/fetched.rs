//! Fetched rows on their way from the filler to the archive: the only thing that the two threads share.
//!
//! The filler hands over what Redis has, in the order of each stream. What finds no room here, or was handed over and not
//! archived when a process ended, it reads from the stream again, from the archive's position on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use uw_websocket_core::archive::StreamPosition;
use uw_websocket_core::event::EntryId;

use crate::sync::lock;

/// Maximum number of bytes handed over and not taken: eight batches of the filler. Beyond it they are read again later.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Maximum number of topics: that of the filler's jobs.
pub const MAX_TOPICS: usize = 4_096;

/// The way.
#[derive(Debug, Default)]
pub struct FetchedRows(Mutex<Way>);

#[derive(Debug, Default)]
struct Way {
    /// Whether the archive is open, and its positions are known.
    is_open: bool,
    topics: BTreeMap<String, Stand>,
    parts: VecDeque<FetchedPart>,
    bytes: usize,
}

/// How far a topic's stream is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The last entry handed over; `None` while nothing is known of the stream.
    pub position: Option<StreamPosition>,
    /// The number of entries that the stream had lost when a filler of this process first wrote to it.
    begin: Option<u64>,
    /// Entries that this process has written behind the position.
    pub unread: u64,
    /// Whether that is everything that the stream has.
    pub is_level: bool,
}

/// Consecutive entries of a topic's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchedPart {
    /// The topic.
    pub topic: String,
    /// The entries.
    pub rows: Vec<(EntryId, Bytes)>,
    /// The position behind them.
    pub position: StreamPosition,
    /// What the stream no longer has before them.
    pub loss: Option<RowLoss>,
}

/// Rows that left Redis before the archive had them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowLoss {
    /// Their number, where Redis counts.
    pub rows: Option<u64>,
    /// The times of writing between which they were written, in Unix microseconds.
    pub between: (u64, u64),
}

impl FetchedPart {
    fn bytes(&self) -> usize {
        self.rows.iter().map(|(_, row)| row.len()).sum()
    }
}

impl Way {
    fn has_room(&self) -> bool {
        self.is_open && self.bytes < MAX_BYTES
    }

    fn stand_of(&mut self, topic: &str) -> Option<&mut Stand> {
        if !self.topics.contains_key(topic) && self.topics.len() < MAX_TOPICS {
            self.topics.insert(topic.to_owned(), Stand::default());
        }
        self.topics.get_mut(topic)
    }
}

impl Stand {
    /// Returns the position before all entries that the stream had at first.
    fn start(&self) -> Option<StreamPosition> {
        self.begin.map(|added| StreamPosition { id: EntryId::default(), added })
    }
}

impl FetchedRows {
    // --- the filler ---------------------------------------------------------------------------------------------------

    /// Begins a filler's life: what another one left in the streams is not known.
    pub fn begin(&self) {
        lock(&self.0).topics.values_mut().for_each(|stand| stand.is_level = false);
    }

    /// Returns how far a topic is handed over, and notes that it has rows; `None` while the archive is not open, or beyond
    /// [`MAX_TOPICS`].
    pub fn stand(&self, topic: &str) -> Option<Stand> {
        let mut way = lock(&self.0);
        let is_open = way.is_open;
        way.stand_of(topic).copied().filter(|_| is_open)
    }

    /// Whether it is not known which entries a topic's stream had lost before this process wrote to it.
    #[must_use]
    pub fn is_new(&self, topic: &str) -> bool {
        lock(&self.0).stand_of(topic).is_some_and(|stand| stand.begin.is_none() && stand.position.is_none())
    }

    /// Notes how many entries a topic's stream has lost before this process writes to it: what it loses from now on is the
    /// archive's loss, whether or not that is open.
    pub fn begin_topic(&self, topic: &str, lost: u64) {
        if let Some(stand) = lock(&self.0).stand_of(topic) {
            stand.begin = Some(lost);
            stand.position = stand.start();
        }
    }

    /// Whether there is no place for a topic.
    #[must_use]
    pub fn is_full_without(&self, topic: &str) -> bool {
        lock(&self.0).stand_of(topic).is_none()
    }

    /// Returns the topics whose streams may have more than is handed over.
    #[must_use]
    pub fn behind(&self) -> Vec<String> {
        let way = lock(&self.0);
        let behind = way.topics.iter().filter(|(_, stand)| !stand.is_level);
        behind.map(|(topic, _)| topic.clone()).filter(|_| way.is_open).collect()
    }

    /// Whether the archive is open, and takes what is handed over.
    #[must_use]
    pub fn has_room(&self) -> bool {
        lock(&self.0).has_room()
    }

    /// Hands over a part that follows `after`. Returns whether it did; otherwise the stream is to be read again.
    pub fn hand_over(&self, part: FetchedPart, after: Option<StreamPosition>, is_level: bool) -> bool {
        let mut way = lock(&self.0);
        let (bytes, has_room) = (part.bytes(), way.has_room());
        let Some(stand) = way.topics.get_mut(&part.topic) else { return false };
        stand.is_level = false;
        if !has_room || stand.position != after {
            return false;
        }
        (stand.position, stand.is_level) = (Some(part.position), is_level);
        if is_level {
            stand.unread = 0;
        }
        way.bytes += bytes;
        way.parts.push_back(part);
        true
    }

    /// Notes that a topic's stream has, or with 0 may have, more entries than are handed over.
    pub fn fall_behind(&self, topic: &str, entries: u64) {
        if let Some(stand) = lock(&self.0).topics.get_mut(topic) {
            stand.is_level = false;
            stand.unread += entries;
        }
    }

    // --- the archive --------------------------------------------------------------------------------------------------

    /// Begins at the positions of an archive; what was handed over before is read again.
    pub fn open(&self, positions: &BTreeMap<String, StreamPosition>) {
        let mut way = lock(&self.0);
        way.topics.values_mut().for_each(|stand| (stand.position, stand.is_level) = (stand.start(), false));
        for (topic, position) in positions {
            way.topics.entry(topic.clone()).or_default().position = Some(*position);
        }
        way.parts.clear();
        (way.bytes, way.is_open) = (0, true);
    }

    /// Closes the way: the archive is gone.
    pub fn close(&self) {
        lock(&self.0).is_open = false;
    }

    /// Takes the next part.
    #[must_use]
    pub fn take(&self) -> Option<FetchedPart> {
        let mut way = lock(&self.0);
        let part = way.parts.pop_front()?;
        way.bytes -= part.bytes();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> StreamPosition {
        StreamPosition { id: EntryId { ms: n, seq: 0 }, added: n }
    }

    fn part(topic: &str, n: u64, size: usize) -> FetchedPart {
        let rows = vec![(at(n).id, Bytes::from(vec![b' '; size]))];
        FetchedPart { topic: topic.into(), rows, position: at(n), loss: None }
    }

    #[test]
    fn a_part_follows_the_one_before_and_what_does_not_is_read_again() {
        let way = FetchedRows::default();
        assert_eq!((way.stand("news"), way.behind()), (None, vec![]), "the archive is not open");
        assert!(!way.hand_over(part("news", 1, 1), None, true));
        way.open(&BTreeMap::from([("price:SPY".to_owned(), at(5))]));
        assert_eq!(way.behind(), ["news", "price:SPY"]);
        assert!(way.hand_over(part("news", 1, 1), None, true));
        assert!(way.hand_over(part("price:SPY", 6, 1), Some(at(5)), true));
        assert_eq!(way.behind(), [""; 0]);
        assert!(!way.hand_over(part("price:SPY", 8, 1), Some(at(7)), true), "one is missing");
        assert_eq!(way.behind(), ["price:SPY"]);
        assert_eq!(
            [way.take(), way.take(), way.take()].map(|part| part.map(|part| part.position.added)),
            [Some(1), Some(6), None]
        );
        // as when the archive's disk was away: what was taken may not have been written
        way.open(&BTreeMap::new());
        assert_eq!(way.stand("price:SPY"), Some(Stand::default()));
        assert!(way.is_new("price:SPY"));
        way.begin_topic("price:SPY", 3);
        way.open(&BTreeMap::new());
        let start = StreamPosition { id: EntryId::default(), added: 3 };
        assert_eq!((way.stand("price:SPY").unwrap().position, way.is_new("price:SPY")), (Some(start), false));
    }

    #[test]
    fn what_is_handed_over_is_bounded() {
        let way = FetchedRows::default();
        way.open(&BTreeMap::new());
        assert!(way.stand("news").is_some());
        let mut last = None;
        let mut handed = 0;
        while way.hand_over(part("news", handed + 1, MAX_BYTES / 8), last, true) {
            handed += 1;
            last = Some(at(handed));
        }
        assert_eq!((handed, way.behind()), (8, vec!["news".to_owned()]));
        assert!(way.take().is_some() && way.hand_over(part("news", handed + 1, 1), last, true));
        for n in 1..MAX_TOPICS {
            assert!(way.stand(&format!("price:{n}")).is_some());
        }
        assert!(way.is_full_without("one-more") && way.stand("one-more").is_none());
    }
}
