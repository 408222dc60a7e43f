//! Boards that come in several frames: the rows of one timestamp, complete when they add up to the total that each
//! frame states.
//!
//! A frame is never the state of a board. Frames may arrive in any order, more than once, and with those of the next
//! board between them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::channel::MapKey;
use crate::event::EntryId;
use crate::feed::map_cell::MAX_FIELD;
use crate::time::hold_back;

/// Boards of one ticker that are assembled at the same time: the current one, and the next one whose frames overtake
/// it.
const MAX_ASSEMBLED: usize = 2;
/// Largest board, in rows: several times the largest known, some 17 frames of 1 024 rows.
const MAX_ROWS: usize = 100_000;

/// A frame that is no part of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotABoard(&'static str);

/// A frame of a board as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardFrame {
    /// The payload.
    pub payload: Bytes,
    /// Time of receipt, in Unix microseconds.
    pub received_us: u64,
    /// Its stream entry.
    pub id: EntryId,
}

/// A complete board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The rows' JSON as it came, by map field.
    pub rows: HashMap<Box<str>, Bytes>,
    /// The frame that completed it.
    pub last: BoardFrame,
}

/// The boards of one ticker that are being assembled.
#[derive(Debug, Default)]
pub struct Assembly {
    /// By the timestamp that their frames state.
    parts: BTreeMap<i64, Parts>,
    /// Time of the newest complete board, in Unix milliseconds.
    complete_ms: u64,
    /// Boards that were dropped before they were complete.
    dropped: u64,
}

/// The frames of one board so far.
#[derive(Debug)]
struct Parts {
    total: usize,
    /// Its time, in Unix milliseconds; not in the future.
    at_ms: u64,
    rows: HashMap<Box<str>, Bytes>,
    /// Rows that a frame has more than once.
    repeated: usize,
    /// Memory of the frames that the rows refer to.
    bytes: usize,
}

/// The members of a frame that matter here.
#[derive(Deserialize)]
struct Fields<'p> {
    timestamp: i64,
    total_rows: usize,
    #[serde(borrow)]
    rows: Vec<&'p RawValue>,
}

#[derive(Deserialize)]
struct Key<'p> {
    #[serde(borrow)]
    expiry: Cow<'p, str>,
    #[serde(borrow)]
    strike: Cow<'p, str>,
}

impl Assembly {
    /// Adds a frame of a board with maps by `key`. Returns the board that it completes, unless a newer one is complete.
    ///
    /// # Errors
    /// The frame is no part of a board.
    pub fn add(&mut self, key: MapKey, frame: BoardFrame) -> Result<Option<Board>, NotABoard> {
        let text = std::str::from_utf8(&frame.payload).map_err(|_| NotABoard("it is not UTF-8"))?;
        let fields: Fields<'_> = serde_json::from_str(text)
            .map_err(|_| NotABoard("it lacks `timestamp`, `total_rows` or `rows`"))?;
        if fields.total_rows > MAX_ROWS || fields.rows.len() > fields.total_rows {
            return Err(NotABoard("it has more rows than a board"));
        }
        let rows = rows_of(key, &frame.payload, &fields.rows)?;
        let at_ms = time_of(fields.timestamp, frame.received_us);
        if at_ms < self.complete_ms {
            return Ok(None);
        }
        let parts =
            self.parts.entry(fields.timestamp).or_insert_with(|| Parts::new(fields.total_rows, at_ms));
        if parts.total != fields.total_rows {
            // sent again with another total
            *parts = Parts::new(fields.total_rows, at_ms);
        }
        parts.add(rows, frame.payload.len());
        if parts.rows.len() + parts.repeated < parts.total {
            self.drop_oldest();
            return Ok(None);
        }
        let Some(parts) = self.parts.remove(&fields.timestamp) else { return Ok(None) };
        self.complete_ms = parts.at_ms;
        let before = self.parts.len();
        self.parts.retain(|_, others| others.at_ms >= parts.at_ms);
        self.dropped += (before - self.parts.len()) as u64;
        Ok(Some(Board { rows: parts.rows, last: frame }))
    }

    fn drop_oldest(&mut self) {
        if self.parts.len() > MAX_ASSEMBLED {
            self.drop_one();
        }
    }

    /// Drops the oldest board that is being assembled.
    pub fn drop_one(&mut self) {
        let oldest = self.parts.iter().min_by_key(|(_, parts)| parts.at_ms).map(|(stated, _)| *stated);
        if let Some(oldest) = oldest
            && self.parts.remove(&oldest).is_some()
        {
            self.dropped += 1;
        }
    }

    /// Returns the number of boards dropped incomplete since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Returns the number of boards that are being assembled.
    #[must_use]
    pub fn boards(&self) -> usize {
        self.parts.len()
    }

    /// Returns the memory of the boards that are being assembled, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts.values().map(Parts::bytes).sum()
    }
}

impl Parts {
    fn new(total: usize, at_ms: u64) -> Parts {
        Parts { total, at_ms, rows: HashMap::new(), repeated: 0, bytes: 0 }
    }

    /// Adds the rows of a frame. Rows that another frame had are amendments of those; rows that this frame repeats
    /// count, as they do in its total.
    fn add(&mut self, rows: Vec<(Box<str>, Bytes)>, bytes: usize) {
        self.bytes += bytes;
        let mut seen: HashSet<Box<str>> = HashSet::with_capacity(rows.len());
        for (field, row) in rows {
            let is_repeated = !seen.insert(field.clone());
            let is_amended = self.rows.insert(field, row).is_some();
            self.repeated += usize::from(is_repeated && is_amended);
        }
    }

    fn bytes(&self) -> usize {
        // a table entry and a field of some twenty characters
        self.bytes + self.rows.len() * (2 * size_of::<(Box<str>, Bytes)>() + 32)
    }
}

/// Returns the rows of a frame with their map fields, as slices of its payload.
fn rows_of(key: MapKey, payload: &Bytes, rows: &[&RawValue]) -> Result<Vec<(Box<str>, Bytes)>, NotABoard> {
    let keyed = rows.iter().map(|row| {
        let Key { expiry, strike } =
            serde_json::from_str(row.get()).map_err(|_| NotABoard("a row lacks `expiry` or `strike`"))?;
        let field = match key {
            MapKey::ExpiryAndStrike => format!("{expiry}:{strike}"),
            MapKey::Strike => strike.into_owned(),
            MapKey::Expiry | MapKey::Days => expiry.into_owned(),
        };
        if field.len() > MAX_FIELD {
            return Err(NotABoard("a row has a field that is too long"));
        }
        Ok((field.into(), payload.slice_ref(row.get().as_bytes())))
    });
    keyed.collect()
}

/// Returns the time of a board, in Unix milliseconds. A time in the future is taken as that of its receipt: otherwise
/// no other board would ever be newer.
fn time_of(stated_ms: i64, received_us: u64) -> u64 {
    let mut at_us = u64::try_from(stated_ms).unwrap_or_default().saturating_mul(1000);
    hold_back(&mut at_us, received_us);
    at_us / 1000
}

#[cfg(test)]
mod tests;
