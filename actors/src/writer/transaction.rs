//! Encodes a batch of events as one transaction; for a cluster as one per stream, of which a single entry needs none.
//!
//! Each event is one `XADD` with its ID per stream. Only the last one per stream has the cap: no client sees the
//! stream within a transaction. Without streams a transaction is empty, and only shows that Redis is available.

use super::store::cluster::units::{StreamUnits, Unit};
use super::store::resp::{Commands, id_text};
use super::streams::{Entry, Streams};
use crate::queue::batch::EventBatch;

/// Capacity of the command buffer retained between transactions: a usual transaction of 512 trades.
const KEEP_BYTES: usize = 512 * 1024;

/// The commands of one transaction; its buffer is reused for the next.
#[derive(Debug, Default)]
pub struct Transaction {
    commands: Commands,
    /// Indexes of the last entry of each stream.
    last_ids: Vec<usize>,
    /// The transactions of the streams; `None` for a single server.
    units: Option<StreamUnits>,
}

impl Transaction {
    /// Creates the buffer; of transactions for a cluster if `is_by_stream`.
    #[must_use]
    pub fn new(is_by_stream: bool) -> Transaction {
        Transaction { units: is_by_stream.then(StreamUnits::default), ..Transaction::default() }
    }

    /// Encodes the commands that write these entries of a batch, in order.
    pub fn encode(&mut self, batch: &EventBatch, entries: &[Entry], streams: &mut Streams) {
        for (position, entry) in entries.iter().enumerate() {
            streams.get_mut(entry.stream).last_entry = position;
        }
        self.last_ids.clear();
        self.commands.clear(KEEP_BYTES);
        if self.units.is_some() {
            return self.encode_by_stream(batch, entries, streams);
        }
        self.commands.command(&[b"MULTI"]);
        for (position, entry) in entries.iter().enumerate() {
            self.add(batch, (position, entry), streams);
        }
        self.commands.command(&[b"EXEC"]);
    }

    fn encode_by_stream(&mut self, batch: &EventBatch, entries: &[Entry], streams: &Streams) {
        let mut units = StreamUnits { entries: (0..entries.len()).collect(), units: Vec::new() };
        // stable: in order within a stream
        units.entries.sort_by_key(|at| entries[*at].stream);
        for of_stream in units.entries.chunk_by(|one, next| entries[*one].stream == entries[*next].stream) {
            let Some(first) = of_stream.first() else { continue };
            let (start, count) = (self.commands.bytes().len(), self.commands.count());
            let is_single = of_stream.len() == 1;
            if !is_single {
                self.commands.command(&[b"MULTI"]);
            }
            for at in of_stream {
                self.add(batch, (*at, &entries[*at]), streams);
            }
            if !is_single {
                self.commands.command(&[b"EXEC"]);
            }
            units.units.push(Unit {
                bytes: start..self.commands.bytes().len(),
                replies: self.commands.count() - count,
                slot: Some(streams.get(entries[*first].stream).cluster_slot),
            });
        }
        self.units = Some(units);
    }

    fn add(&mut self, batch: &EventBatch, (position, entry): (usize, &Entry), streams: &Streams) {
        let slot = streams.get(entry.stream);
        let head = if slot.last_entry == position {
            self.last_ids.push(position);
            &slot.xadd_capped
        } else {
            &slot.xadd
        };
        self.commands
            .begin_encoded(head)
            .arg(id_text(entry.id).as_ref())
            .arg(b"payload")
            .arg(&entry.of(batch).0.payload);
    }

    /// Returns the transactions of the streams; `None` if all is one.
    #[must_use]
    pub fn units(&self) -> Option<&StreamUnits> {
        self.units.as_ref()
    }

    /// Returns the encoded commands.
    #[must_use]
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Returns the indexes of the last entry of each stream.
    #[must_use]
    pub fn last_ids(&self) -> &[usize] {
        &self.last_ids
    }
}

#[cfg(test)]
mod tests;
