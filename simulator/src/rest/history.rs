//! The events of the feed, whether or not a socket got them.

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value;

use super::times;

/// Bookkeeping of an event besides its payload, in bytes.
const ENTRY_BYTES: usize = 96;
/// Fields that hold the time of an event.
const TIME_FIELDS: [&str; 4] = ["executed_at", "timestamp", "time", "tape_time"];
/// Fields that hold the symbol of an event.
const SYMBOL_FIELDS: [&str; 4] = ["underlying_symbol", "ticker", "symbol", "sym"];

/// The channel and symbol of an event; the symbol is empty for a channel without symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) channel: String,
    pub(crate) symbol: String,
}

/// An event that the feed generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Its number, from 1 over all channels.
    pub number: u64,
    /// Its channel.
    pub channel: String,
    /// Its symbol; empty for a channel without symbols.
    pub symbol: String,
    /// Its time in Unix microseconds.
    pub time_us: u64,
    /// Whether REST calls it cancelled.
    pub is_canceled: bool,
    /// Whether no socket was sent it.
    pub is_unsent: bool,
    /// Its payload as a socket gets it.
    pub payload: Vec<u8>,
}

impl Generated {
    /// Returns the `id` of the payload, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let payload: Value = serde_json::from_slice(&self.payload).ok()?;
        payload.get("id")?.as_str().map(str::to_owned)
    }
}

/// An event of the history.
#[derive(Debug)]
pub(crate) struct HistoryEntry {
    pub(crate) number: u64,
    pub(crate) origin: Rc<Origin>,
    /// Unix microseconds; of a channel that has whole seconds, whole seconds.
    pub(crate) time_us: u64,
    /// Unix microseconds from which REST knows it.
    pub(crate) known_us: u64,
    pub(crate) is_canceled: bool,
    pub(crate) is_unsent: bool,
    pub(crate) payload: Box<[u8]>,
}

impl HistoryEntry {
    /// Newest first, and later made ones first within an instant.
    fn order(&self) -> (std::cmp::Reverse<u64>, std::cmp::Reverse<u64>) {
        (std::cmp::Reverse(self.time_us), std::cmp::Reverse(self.number))
    }

    /// Parses the payload; the feed makes objects only.
    pub(crate) fn event(&self) -> serde_json::Map<String, Value> {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// Which events REST holds back or calls cancelled, each with its period in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities {
    /// Every n-th event is known this many microseconds after its time.
    pub(crate) late: Option<(u64, u64)>,
    /// Every n-th event is cancelled.
    pub(crate) cancel: Option<u64>,
    /// Every n-th event is followed by so many of the same instant.
    pub(crate) crowd: Option<(u64, u64)>,
}

/// The newest events of the feed, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct FeedHistory {
    entries: VecDeque<HistoryEntry>,
    bytes: usize,
    limit: usize,
    forgotten: u64,
    pub(crate) oddities: Oddities,
}

/// Which events an answer is made of.
#[derive(Clone, Debug)]
pub(crate) struct Selection<'a> {
    pub(crate) channels: &'a [&'a str],
    /// Empty for all.
    pub(crate) symbols: &'a [String],
    /// The first instant, in Unix microseconds.
    pub(crate) from_us: u64,
    /// The first instant after the last one.
    pub(crate) before_us: u64,
    /// The present.
    pub(crate) now_us: u64,
}

impl FeedHistory {
    pub(crate) fn new(limit: usize) -> FeedHistory {
        FeedHistory { entries: VecDeque::new(), bytes: 0, limit, forgotten: 0, oddities: Oddities::default() }
    }

    /// Number of events that were forgotten because there was no room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Keeps an event of `now_us`.
    pub(crate) fn push(
        &mut self,
        origin: &Rc<Origin>,
        (number, now_us): (u64, u64),
        payload: &[u8],
        is_unsent: bool,
    ) {
        let time_us = if has_whole_seconds(&origin.channel) { now_us - now_us % 1_000_000 } else { now_us };
        let due = |every: u64| number.is_multiple_of(every);
        let late_us = self.oddities.late.filter(|(every, _)| due(*every)).map_or(0, |(_, late_us)| late_us);
        let is_canceled = self.oddities.cancel.is_some_and(due);
        self.bytes += payload.len() + ENTRY_BYTES;
        self.entries.push_back(HistoryEntry {
            number,
            origin: Rc::clone(origin),
            time_us,
            known_us: now_us.saturating_add(late_us),
            is_canceled,
            is_unsent,
            payload: payload.into(),
        });
        while self.bytes > self.limit {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.payload.len() + ENTRY_BYTES;
            self.forgotten += 1;
        }
    }

    /// Keeps an event that was not made by the feed: its time and symbol are those of its payload, where it has them.
    pub(crate) fn push_foreign(
        &mut self,
        topic: &str,
        (number, now_us): (u64, u64),
        payload: &[u8],
        is_unsent: bool,
    ) {
        let (channel, symbol) = topic.split_once(':').unwrap_or((topic, ""));
        let event: Value = serde_json::from_slice(payload).unwrap_or_default();
        let stated = SYMBOL_FIELDS.iter().find_map(|field| event.get(*field)?.as_str());
        let symbol = if symbol.is_empty() { stated.unwrap_or_default() } else { symbol };
        let time_us = TIME_FIELDS.iter().find_map(|field| times::of_payload(event.get(*field)?));
        let origin = Rc::new(Origin { channel: channel.to_owned(), symbol: symbol.to_owned() });
        self.push(&origin, (number, now_us), payload, is_unsent);
        if let (Some(entry), Some(time_us)) = (self.entries.back_mut(), time_us) {
            entry.time_us = time_us;
        }
    }

    /// Returns how many events of the same instant follow an event.
    pub(crate) fn crowd_after(&self, number: u64) -> Option<u64> {
        self.oddities.crowd.filter(|(every, _)| number.is_multiple_of(*every)).map(|(_, rows)| rows)
    }

    /// Replaces the payload of the newest event by its amendment.
    pub(crate) fn amend(&mut self, payload: &[u8]) {
        if let Some(newest) = self.entries.back_mut() {
            self.bytes = self.bytes - newest.payload.len() + payload.len();
            newest.payload = payload.into();
        }
    }

    /// Returns the events of a selection that REST knows by now, newest first.
    pub(crate) fn select(&self, wanted: &Selection<'_>) -> Vec<&HistoryEntry> {
        let mut found: Vec<&HistoryEntry> =
            self.entries.iter().filter(|entry| is_wanted(entry, wanted)).collect();
        found.sort_unstable_by_key(|entry| entry.order());
        found
    }

    /// Returns all events in the order in which they were made.
    pub(crate) fn generated(&self) -> Vec<Generated> {
        let generated = |entry: &HistoryEntry| Generated {
            number: entry.number,
            channel: entry.origin.channel.clone(),
            symbol: entry.origin.symbol.clone(),
            time_us: entry.time_us,
            is_canceled: entry.is_canceled,
            is_unsent: entry.is_unsent,
            payload: entry.payload.to_vec(),
        };
        self.entries.iter().map(generated).collect()
    }
}

fn is_wanted(entry: &HistoryEntry, wanted: &Selection<'_>) -> bool {
    (wanted.from_us..wanted.before_us).contains(&entry.time_us)
        && entry.known_us <= wanted.now_us
        && wanted.channels.contains(&entry.origin.channel.as_str())
        && (wanted.symbols.is_empty() || wanted.symbols.contains(&entry.origin.symbol))
}

/// Whether the times of a channel's events are whole seconds.
fn has_whole_seconds(channel: &str) -> bool {
    matches!(
        channel,
        "gex"
            | "gex_strike"
            | "gex_strike_expiry"
            | "news"
            | "lit_trades"
            | "off_lit_trades"
            | "market_tide"
            | "custom_alerts"
    )
}
