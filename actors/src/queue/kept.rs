//! Reads back the records on a queue's disk.

use std::sync::{Arc, Mutex};

use super::batch::EventBatch;
use super::disk::{Disk, DiskError, DiskPosition};
use super::record_decoder::RecordDecoder;
use crate::sync::lock;

/// Maximum number of events per read: several transactions, so that Redis need not wait for each.
const READ_EVENTS: usize = 1024;
/// Maximum bytes per read.
const READ_BYTES: u64 = 1024 * 1024;

/// Reads the records of a disk queue as batches of events.
#[derive(Debug)]
pub struct DiskReader {
    disk: Disk,
    decoder: Mutex<RecordDecoder>,
}

impl DiskReader {
    /// Creates a reader of a disk.
    #[must_use]
    pub fn new(disk: Disk, decoder: RecordDecoder) -> DiskReader {
        DiskReader { disk, decoder: Mutex::new(decoder) }
    }

    /// Returns the disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Returns the number of routes that left the decoder's cache since the last call.
    pub fn take_forgotten(&self) -> u64 {
        lock(&self.decoder).take_forgotten()
    }

    /// Reads records; returns batches with the numbers of their first records, and the number to continue from.
    pub async fn read(&self, from: u64, end: u64) -> Result<(Vec<(u64, EventBatch)>, u64), DiskError> {
        let chunk = self.disk.read(from, READ_EVENTS, READ_BYTES).wait().await??;
        let records = chunk.records.into_iter().filter(|record| record.seq < end);
        let batches = lock(&self.decoder).batches(records);
        Ok((batches, if chunk.next_seq > from { chunk.next_seq.min(end) } else { end }))
    }
}

/// The stored records that a disk still keeps, in order.
#[derive(Debug)]
pub struct Kept {
    reader: Arc<DiskReader>,
    from: u64,
    to: u64,
    /// All records below this number are stored.
    acknowledged: u64,
    next: u64,
    /// Whether the queue knows what is stored in all streams of these records.
    is_complete: bool,
}

impl Kept {
    /// Creates the range of stored records at a position of `reader`'s disk.
    #[must_use]
    pub fn new(reader: Arc<DiskReader>, standing: &DiskPosition, is_complete: bool) -> Kept {
        let (from, to) = (standing.kept_from, standing.acknowledged);
        Kept { reader, from, to, acknowledged: to, next: standing.next, is_complete }
    }

    /// Extends the range to records not stored yet.
    #[must_use]
    pub fn with_backlog(self) -> Kept {
        Kept { to: self.next, ..self }
    }

    /// Limits the range to the newest `max` records.
    #[must_use]
    pub fn newest(self, max: u64) -> Kept {
        Kept { from: self.from.max(self.to.saturating_sub(max)), ..self }
    }

    /// Whether the queue knows what is stored in all streams of these records; if not, Redis has to be asked.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether a record is stored.
    #[must_use]
    pub fn is_stored(&self, record: u64) -> bool {
        record < self.acknowledged
    }

    /// Returns the number of the next record to read.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Reads the next batches, with the numbers of their first records; `None` after the last.
    pub async fn read(&mut self) -> Result<Option<Vec<(u64, EventBatch)>>, DiskError> {
        if self.from >= self.to {
            return Ok(None);
        }
        let (batches, next) = self.reader.read(self.from, self.to).await?;
        self.from = next;
        Ok(Some(batches))
    }
}
