//! Records about to be written: encoded immediately, into a buffer reused by the next batch.

use std::collections::BTreeMap;

use super::error::Unrecordable;
use super::format;
use crate::event::EntryId;

/// Interval of indexed records: a search reads at most 200 KiB of usual records.
const MARK_EVERY: u64 = 256;

/// The position of a record in the batch or segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub seq: u64,
    pub offset: u64,
}

/// Consecutive encoded records. Reuse it: its buffer grows to the largest batch and is kept.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    first_seq: u64,
    len: u64,
    pub(super) summary: Summary,
    pub(super) marks: Vec<Mark>,
}

/// Counts of a segment or a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// Events by channel. A shard has few channels, and consecutive events mostly share one.
    pub channels: Vec<(String, u64)>,
    /// Oldest and newest receive time, in Unix microseconds.
    pub times: Option<(u64, u64)>,
}

impl Records {
    /// Creates an empty batch that starts with number 0.
    #[must_use]
    pub fn new() -> Records {
        Records::default()
    }

    /// Clears the batch; the next record has the number `first_seq`, which is [`super::Spool::next_seq`].
    pub fn clear(&mut self, first_seq: u64) {
        self.bytes.clear();
        self.marks.clear();
        self.summary.clear();
        self.first_seq = first_seq;
        self.len = 0;
    }

    /// Checks that a record can hold an event with this many destinations of valid symbols.
    pub fn check(channel: &str, destinations: usize, payload: &[u8]) -> Result<(), Unrecordable> {
        format::check(channel, destinations, payload)
    }

    /// Adds an event. An destination without a symbol is the channel's full stream. On error nothing is added.
    pub fn push<'o>(
        &mut self,
        channel: &str,
        received_us: u64,
        destinations: impl Iterator<Item = (Option<&'o str>, EntryId)>,
        payload: &[u8],
    ) -> Result<(), Unrecordable> {
        let mark = Mark { seq: self.next_seq(), offset: self.bytes.len() as u64 };
        format::encode(&mut self.bytes, (mark.seq, received_us), channel, destinations, payload)?;
        if is_marked(mark.seq) {
            self.marks.push(mark);
        }
        self.summary.count(channel, 1);
        self.summary.at(received_us);
        self.len += 1;
        Ok(())
    }

    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the encoded records.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of the first record.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Returns the number after the last record.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.len
    }
}

impl Summary {
    fn clear(&mut self) {
        for (_, count) in &mut self.channels {
            *count = 0;
        }
        self.times = None;
    }

    pub(super) fn count(&mut self, channel: &str, events: u64) {
        match self.channels.iter_mut().find(|(name, _)| name == channel) {
            Some((_, count)) => *count += events,
            None => self.channels.push((channel.to_owned(), events)),
        }
    }

    pub(super) fn at(&mut self, received_us: u64) {
        let (oldest, newest) = self.times.unwrap_or((received_us, received_us));
        self.times = Some((oldest.min(received_us), newest.max(received_us)));
    }

    pub(super) fn add(&mut self, other: &Summary) {
        for (channel, count) in other.channels.iter().filter(|(_, count)| *count > 0) {
            self.count(channel, *count);
        }
        for us in other.times.into_iter().flat_map(|(oldest, newest)| [oldest, newest]) {
            self.at(us);
        }
    }

    /// Returns how many more events of each channel there are than in `other`.
    pub(super) fn less(&self, other: &Summary) -> BTreeMap<String, u64> {
        let of = |channel: &str| {
            other.channels.iter().find(|(name, _)| name == channel).map_or(0, |found| found.1)
        };
        let surplus =
            |(channel, events): &(String, u64)| (channel.clone(), events.saturating_sub(of(channel)));
        self.channels.iter().map(surplus).filter(|(_, events)| *events > 0).collect()
    }
}

/// Whether the record's position is indexed.
pub(super) fn is_marked(seq: u64) -> bool {
    seq.is_multiple_of(MARK_EVERY)
}
