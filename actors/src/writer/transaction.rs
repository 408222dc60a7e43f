//! From batches of events to the commands of one transaction.
//!
//! For every event one `XADD` with its ID into each of its streams; then, once for each key, the newest event:
//! `ws:latest:` and the cells of `ws:map:`. Only the last `XADD` into a stream carries the cap: inside a transaction
//! nobody sees the stream between.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::store::resp::{Commands, id_text};
use super::streams::{MapSession, Streams};
use crate::event::{EntryId, Event, Outlet};
use crate::messages::EventBatch;
use crate::settings::KeySettings;
use crate::time::iso_utc;

/// What is kept of a command buffer between transactions: a usual transaction of 512 trades.
const KEEP_BYTES: usize = 512 * 1024;

/// Where an event lies: batch, and position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventAt {
    /// Which of the batches.
    pub batch: usize,
    /// Which event of it.
    pub event: usize,
}

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Of which event.
    pub at: EventAt,
    /// Which of its outlets.
    pub outlet: usize,
    /// Under which ID.
    pub id: EntryId,
}

/// The commands of one transaction and what they stand for.
#[derive(Debug, Default)]
pub struct Transaction {
    commands: Commands,
    /// In the order of their commands, which are the first ones after `MULTI`.
    entries: Vec<Entry>,
    /// The positions of the last entry of each stream, once they are encoded.
    lasts: Vec<usize>,
    /// How many transactions have been planned.
    number: u64,
}

/// The event that lies at a place.
#[must_use]
pub fn event_at(batches: &[EventBatch], at: EventAt) -> Option<&Event> {
    batches.get(at.batch)?.events().get(at.event)
}

/// The event and outlet of an entry.
#[must_use]
pub fn outlet_of<'b>(batches: &'b [EventBatch], entry: &Entry) -> Option<(&'b Event, &'b Arc<Outlet>)> {
    let event = event_at(batches, entry.at)?;
    Some((event, event.route.outlets.get(entry.outlet)?))
}

impl Transaction {
    /// Plans all entries of `batches`, in order. Every stream must be known to `streams`. Returns the entries that cannot be
    /// written so, because their IDs are not above the last ones of their streams.
    pub fn plan(&mut self, batches: &[EventBatch], streams: &mut Streams) -> Vec<Entry> {
        self.number += 1;
        self.entries.clear();
        let mut behind = Vec::new();
        for (batch_at, batch) in batches.iter().enumerate() {
            for (event_at, event) in batch.events().iter().enumerate() {
                let at = EventAt { batch: batch_at, event: event_at };
                for (outlet_at, outlet) in event.route.outlets.iter().enumerate() {
                    let entry = Entry { at, outlet: outlet_at, id: event.ids.get(outlet_at) };
                    let rises = streams.slot(outlet).plan(self.number, entry.id);
                    if rises { self.entries.push(entry) } else { behind.push(entry) }
                }
            }
        }
        behind
    }

    /// Plans these entries, in their order.
    pub fn set(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    /// Takes the planned entries out.
    #[must_use]
    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Keeps only the entries that `wanted` says, as after an outcome that was looked up.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Entry) -> bool) {
        self.entries.retain(|entry| wanted(entry));
    }

    /// The entries, in the order of their commands.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The last entry of each stream, as it was encoded.
    pub fn last_entries(&self) -> impl Iterator<Item = Entry> {
        self.lasts.iter().filter_map(|position| self.entries.get(*position)).copied()
    }

    /// The commands that write the entries and the snapshots of their newest events, `MULTI` to `EXEC`.
    pub fn encode(&mut self, batches: &[EventBatch], streams: &mut Streams, keys: &KeySettings) {
        self.commands.clear(KEEP_BYTES);
        self.commands.command(&[b"MULTI"]);
        self.mark_last(batches, streams);
        self.lasts.clear();
        if keys.streams {
            self.encode_entries(batches, streams);
        }
        if keys.snapshots {
            self.encode_snapshots(batches, streams);
        }
        self.commands.command(&[b"EXEC"]);
    }

    /// What [`Transaction::encode`] made.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Notes of each stream which of its entries is the last: it carries the cap, and its event is the newest.
    fn mark_last(&self, batches: &[EventBatch], streams: &mut Streams) {
        for (position, entry) in self.entries.iter().enumerate() {
            if let Some((_, outlet)) = outlet_of(batches, entry) {
                streams.slot(outlet).last_entry = position;
            }
        }
    }

    fn encode_entries(&mut self, batches: &[EventBatch], streams: &mut Streams) {
        for (position, entry) in self.entries.iter().enumerate() {
            let Some((event, outlet)) = outlet_of(batches, entry) else { continue };
            let slot = streams.slot(outlet);
            let head = if slot.last_entry == position {
                self.lasts.push(position);
                &slot.xadd_capped
            } else {
                &slot.xadd
            };
            self.commands
                .begin_encoded(head)
                .arg(id_text(entry.id).as_ref())
                .arg(b"payload")
                .arg(&event.payload);
        }
    }

    fn encode_snapshots(&mut self, batches: &[EventBatch], streams: &mut Streams) {
        let mut received_at = ReceivedAt::default();
        for (position, entry) in self.entries.iter().enumerate() {
            let Some((event, outlet)) = outlet_of(batches, entry) else { continue };
            if streams.slot(outlet).last_entry != position {
                continue;
            }
            let text = received_at.text(event.received_us);
            self.commands.command(&[
                b"HSET",
                outlet.latest.as_bytes(),
                b"payload",
                &event.payload,
                b"received_at",
                text.as_bytes(),
                b"stream_id",
                id_text(entry.id).as_ref(),
            ]);
        }
        self.encode_maps(batches, streams);
    }

    /// The newest row of each cell. Before the first row of a new session the cells of earlier ones are removed; a row
    /// of an earlier session than the map's is left out. Encoding the same entries again gives the same commands.
    fn encode_maps(&mut self, batches: &[EventBatch], streams: &mut Streams) {
        let mut cells: HashMap<(&Arc<str>, &str), &Event, RandomState> = HashMap::default();
        for entry in &self.entries {
            let Some((event, outlet)) = outlet_of(batches, entry) else { continue };
            let (Some(map), Some(cell)) = (&outlet.map, &event.cell) else { continue };
            let slot = streams.slot(outlet);
            let begins_session = match slot.map {
                Some(known) if known.session > cell.session => continue,
                Some(known) if known.session == cell.session => known.begun_by == Some(entry.id),
                _ => true,
            };
            if begins_session {
                slot.map = Some(MapSession { session: cell.session, begun_by: Some(entry.id) });
                cells.retain(|(key, _), _| *key != map);
                self.commands.command(&[b"DEL", map.as_bytes()]);
            }
            cells.insert((map, &cell.field), event);
        }
        for ((map, field), event) in cells {
            self.commands.command(&[b"HSET", map.as_bytes(), field.as_bytes(), &event.payload]);
        }
    }
}

/// Formats receive times by [`iso_utc`], once for the events of one read.
#[derive(Debug, Default)]
struct ReceivedAt {
    unix_us: u64,
    text: String,
}

impl ReceivedAt {
    fn text(&mut self, unix_us: u64) -> &str {
        if self.text.is_empty() || self.unix_us != unix_us {
            self.unix_us = unix_us;
            self.text = iso_utc(unix_us);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests;
