//! Lines by file, until they are written together.

use std::collections::BTreeMap;

use super::checkpoint::StreamPosition;
use super::line::ArchiveLine;
use super::path::{FilePath, HourClock};
use crate::time::IsoClock;

/// Bytes of lines that are written together at the latest: some ten thousand events, and as much memory.
pub const FRAME_BYTES: usize = 8 * 1024 * 1024;

/// The lines of the next frames, by file, and the positions that follow them.
#[derive(Debug, Default)]
pub struct Frames {
    lines: BTreeMap<FilePath, Vec<u8>>,
    hours: HourClock,
    times: IsoClock,
    bytes: usize,
    events: u64,
    rows: u64,
    fetched: BTreeMap<String, StreamPosition>,
}

impl Frames {
    /// Adds an event, or a fetched row, to the file of its hour.
    pub fn push(&mut self, line: &ArchiveLine<'_>) {
        let (date, hour) = self.hours.place(line.filed_us());
        let (is_fetched, channel, before) = (line.is_fetched(), line.channel(), self.bytes);
        let is_of_file = |path: &FilePath| {
            (path.date, path.is_fetched, &*path.channel, path.hour) == (date, is_fetched, channel, hour)
        };
        // a handful of files are open at a time
        let open = self.lines.iter_mut().find(|(path, _)| is_of_file(path)).map(|(_, lines)| lines);
        let lines = match open {
            Some(lines) => lines,
            None => {
                self.lines.entry(FilePath { date, is_fetched, channel: channel.into(), hour }).or_default()
            }
        };
        let start = lines.len();
        line.write_by(&mut self.times, lines);
        self.bytes = before + (lines.len() - start);
        *(if is_fetched { &mut self.rows } else { &mut self.events }) += 1;
    }

    /// Sets how far the fetched rows of a topic are among the lines.
    pub fn advance(&mut self, topic: &str, position: StreamPosition) {
        self.fetched.insert(topic.to_owned(), position);
    }

    /// Iterates over the topics whose fetched rows are among the lines.
    pub fn advanced(&self) -> impl Iterator<Item = (&String, StreamPosition)> {
        self.fetched.iter().map(|(topic, position)| (topic, *position))
    }

    /// Returns the bytes of all lines.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Returns the number of fetched rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether they are to be written now.
    #[must_use]
    pub fn are_full(&self) -> bool {
        self.bytes >= FRAME_BYTES
    }

    /// Iterates over the lines of each file.
    pub fn iter(&self) -> impl Iterator<Item = (&FilePath, &[u8])> {
        self.lines.iter().filter(|(_, lines)| !lines.is_empty()).map(|(path, lines)| (path, lines.as_slice()))
    }

    /// Forgets all lines and positions. Files that had lines keep as much memory for the next.
    pub fn clear(&mut self) {
        self.lines.retain(|_, lines| !lines.is_empty());
        for lines in self.lines.values_mut() {
            lines.shrink_to_fit();
            lines.clear();
        }
        self.fetched.clear();
        (self.bytes, self.events, self.rows) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryId;

    fn push(frames: &mut Frames, topic: &str, received_us: u64) {
        let payload = br#"{"a":1}"#.as_slice().into();
        frames.push(&ArchiveLine { received_us, topic: topic.into(), id: EntryId::default(), payload });
    }

    #[test]
    fn lines_are_grouped_by_day_channel_and_hour_in_their_order() {
        const HOUR: u64 = 3_600_000_000;
        let (mut frames, noon) = (Frames::default(), 1_767_373_200_000_000);
        for (topic, at) in
            [("price:SPY", noon), ("news", noon), ("price:QQQ", noon + 1), ("price:SPY", noon + HOUR)]
        {
            push(&mut frames, topic, at);
        }
        let shown: Vec<_> = frames.iter().map(|(path, lines)| (path.to_string(), lines.len())).collect();
        let line = frames.bytes() / 4;
        let names: Vec<&str> = shown.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            names,
            [
                "2026-01-02/news/12.jsonl.zst",
                "2026-01-02/price/12.jsonl.zst",
                "2026-01-02/price/13.jsonl.zst"
            ]
        );
        assert!(shown[1].1 > line && frames.events() == 4);
        assert_eq!(shown.iter().map(|(_, bytes)| bytes).sum::<usize>(), frames.bytes());
        frames.clear();
        assert!(frames.is_empty() && frames.bytes() == 0 && frames.iter().next().is_none());
    }

    #[test]
    fn frames_are_full_at_their_bound() {
        let mut frames = Frames::default();
        while !frames.are_full() {
            push(&mut frames, "price:SPY", 0);
        }
        assert!(frames.bytes() < FRAME_BYTES + 200);
    }
}
