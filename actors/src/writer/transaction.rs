//! From batches of events to the commands of one transaction.
//!
//! For every event one `XADD` with its ID into each of its streams. Only the last one into a stream carries the cap: inside
//! a transaction nobody sees the stream between. Without streams a transaction is empty, and tells that Redis is there.

use std::sync::Arc;

use super::store::resp::{Commands, id_text};
use super::streams::Streams;
use crate::event::{EntryId, Event, Outlet};
use crate::messages::EventBatch;
use crate::settings::KeySettings;

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

    /// The commands that write the entries, `MULTI` to `EXEC`.
    pub fn encode(&mut self, batches: &[EventBatch], streams: &mut Streams, keys: &KeySettings) {
        self.commands.clear(KEEP_BYTES);
        self.commands.command(&[b"MULTI"]);
        self.mark_last(batches, streams);
        self.lasts.clear();
        if keys.streams {
            self.encode_entries(batches, streams);
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
}

#[cfg(test)]
mod tests;
