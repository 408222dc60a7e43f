//! The way into a writer, bounded by credits.
//!
//! actix bounds a mailbox only for `try_send`, and per clone of the address; so the bound is ours. Every batch holds a
//! [`Credit`] for itself and for its bytes from before it is sent until it is stored or dropped, wherever it is by
//! then. Credits are handed out in the order of asking, so no connection starves.
//!
//! The mailbox outlives its writer: when a writer is restarted, the address is replaced and senders go on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::Recipient;
use actix::prelude::SendError;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

use crate::messages::EventBatch;
use crate::observation::Observations;

/// Events that a mailbox holds, in bytes, whatever the number of batches: the largest wave of gex rows seen (4 000 rows of
/// 1 KiB) four times.
pub const CAPACITY_BYTES: usize = 16 * 1024 * 1024;

/// What all mailboxes together hold: with the frames being read and the transactions being written the service stays well
/// below the 256 MiB that it promises, however many shards it has.
const TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// Bytes are counted in units of this size, because a semaphore counts in `u32`.
const UNIT: usize = 1024;

/// Room in a mailbox for one batch. Dropping it gives the room back.
#[derive(Debug)]
pub struct Credit {
    _batch: OwnedSemaphorePermit,
    /// Given away by [`Credit::absorb`] only.
    units: Option<OwnedSemaphorePermit>,
    bytes: u64,
    shard: usize,
    observations: Arc<Observations>,
}

impl Credit {
    /// Takes over the room of another credit's bytes; its place as a batch is free again.
    pub fn absorb(&mut self, mut other: Credit) {
        self.bytes += std::mem::take(&mut other.bytes);
        match (&mut self.units, other.units.take()) {
            (Some(units), Some(others)) => units.merge(others),
            (units @ None, others) => *units = others,
            (Some(_), None) => {}
        }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        if let Some(writer) = self.observations.writers.get(self.shard) {
            writer.batches_out.add(1);
            writer.bytes_out.add(self.bytes);
        }
    }
}

/// The mailbox of one shard's writer, whichever actor that is at the moment.
#[derive(Debug)]
pub struct Mailbox {
    shard: usize,
    batches: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    units: usize,
    address: watch::Sender<Option<Recipient<EventBatch>>>,
    observations: Arc<Observations>,
}

impl Mailbox {
    /// A mailbox for `capacity` batches and [`CAPACITY_BYTES`], or less when there are many shards.
    #[must_use]
    pub fn new(shard: usize, capacity: usize, observations: Arc<Observations>) -> Arc<Mailbox> {
        let units = CAPACITY_BYTES.min(TOTAL_BYTES / observations.writers.len().max(1)) / UNIT;
        Arc::new(Mailbox {
            shard,
            batches: Arc::new(Semaphore::new(capacity)),
            bytes: Arc::new(Semaphore::new(units)),
            units,
            address: watch::Sender::new(None),
            observations,
        })
    }

    /// Sends from now on to `writer`.
    pub fn serve(&self, writer: Recipient<EventBatch>) {
        self.address.send_replace(Some(writer));
    }

    /// Waits until there was a writer: from then on what is sent is soon on the disk.
    pub async fn served(&self) {
        // the sender is our own, so that the wait cannot fail
        drop(self.address.subscribe().wait_for(Option::is_some).await);
    }

    /// A sender for one connection.
    #[must_use]
    pub fn sender(self: &Arc<Self>) -> MailboxSender {
        let mut address = self.address.subscribe();
        let writer = address.borrow_and_update().clone();
        MailboxSender { mailbox: Arc::clone(self), address, writer }
    }
}

/// One connection's way into a mailbox. Keeps one address: each clone of one would widen the actor's own bound.
#[derive(Debug)]
pub struct MailboxSender {
    mailbox: Arc<Mailbox>,
    address: watch::Receiver<Option<Recipient<EventBatch>>>,
    writer: Option<Recipient<EventBatch>>,
}

impl MailboxSender {
    /// Sends a batch if there is room and a writer; else gives it back.
    pub fn try_send(&mut self, batch: EventBatch) -> Result<(), EventBatch> {
        match self.try_credit(batch.bytes()) {
            Some(credit) => self.deliver(batch, credit),
            None => Err(batch),
        }
    }

    /// Waits for room and for a writer, then sends the first of the `waiting` batches. Cancelling the wait is safe: the
    /// batch stays where it is until it was sent.
    pub async fn send_first(&mut self, waiting: &mut VecDeque<EventBatch>) {
        let mailbox = Arc::clone(&self.mailbox);
        let _wait = Wait { mailbox: &mailbox, since: Instant::now() };
        while let Some(bytes) = waiting.front().map(EventBatch::bytes) {
            let Ok(credit) = self.credit(bytes).await else { return };
            match waiting.pop_front().map(|batch| self.deliver(batch, credit)) {
                Some(Err(batch)) => waiting.push_front(batch),
                Some(Ok(())) | None => return,
            }
            // the writer is gone; the next one will announce itself
            if self.address.changed().await.is_err() {
                return;
            }
            self.writer.clone_from(&self.address.borrow_and_update());
        }
    }

    fn deliver(&mut self, mut batch: EventBatch, credit: Credit) -> Result<(), EventBatch> {
        if self.address.has_changed().unwrap_or(false) {
            self.writer.clone_from(&self.address.borrow_and_update());
        }
        let Some(writer) = &self.writer else { return Err(batch) };
        batch.lend(credit);
        match writer.try_send(batch) {
            Ok(()) => Ok(()),
            Err(SendError::Full(batch) | SendError::Closed(batch)) => {
                drop(batch.take_credit());
                Err(batch)
            }
        }
    }

    fn try_credit(&self, bytes: usize) -> Option<Credit> {
        let batch = Arc::clone(&self.mailbox.batches).try_acquire_owned();
        let units = Arc::clone(&self.mailbox.bytes).try_acquire_many_owned(self.units_of(bytes));
        match (batch, units) {
            (Ok(batch), Ok(units)) => Some(self.lend(batch, units, bytes)),
            (Err(TryAcquireError::NoPermits | TryAcquireError::Closed), _) | (_, Err(_)) => None,
        }
    }

    async fn credit(&self, bytes: usize) -> Result<Credit, AcquireError> {
        let batch = Arc::clone(&self.mailbox.batches).acquire_owned().await?;
        let units = Arc::clone(&self.mailbox.bytes).acquire_many_owned(self.units_of(bytes)).await?;
        Ok(self.lend(batch, units, bytes))
    }

    /// Units of a batch: at least one, and never more than a mailbox has, so that every batch can be sent.
    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT).clamp(1, self.mailbox.units.max(1))).unwrap_or(u32::MAX)
    }

    fn lend(&self, batch: OwnedSemaphorePermit, units: OwnedSemaphorePermit, bytes: usize) -> Credit {
        let bytes = bytes as u64;
        if let Some(writer) = self.mailbox.observations.writers.get(self.mailbox.shard) {
            writer.batches_in.add(1);
            writer.bytes_in.add(bytes);
        }
        Credit {
            _batch: batch,
            units: Some(units),
            bytes,
            shard: self.mailbox.shard,
            observations: Arc::clone(&self.mailbox.observations),
        }
    }
}

/// A wait for room; its end counts it, also when it is cancelled.
struct Wait<'m> {
    mailbox: &'m Mailbox,
    since: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.mailbox.observations.writers.get(self.mailbox.shard) {
            writer.mailbox_wait_us.add(u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests;
