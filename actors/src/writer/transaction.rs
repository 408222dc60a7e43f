//! Encodes a batch of events as one transaction.
//!
//! Each event is one `XADD` with its ID per stream. Only the last one per stream has the cap: no client sees the
//! stream within a transaction. Without streams a transaction is empty, and only shows that Redis is available.

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
}

impl Transaction {
    /// Encodes the commands that write these entries of a batch, `MULTI` to `EXEC`, in order.
    pub fn encode(&mut self, batch: &EventBatch, entries: &[Entry], streams: &mut Streams) {
        for (position, entry) in entries.iter().enumerate() {
            streams.get_mut(entry.stream).last_entry = position;
        }
        self.last_ids.clear();
        self.commands.clear(KEEP_BYTES);
        self.commands.command(&[b"MULTI"]);
        for (position, entry) in entries.iter().enumerate() {
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
        self.commands.command(&[b"EXEC"]);
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
