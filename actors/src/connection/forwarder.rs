//! From the events of a connection to the mailboxes of the writers: one lane a shard.
//!
//! A lane fills a batch and sends it as soon as the connection has taken in what the socket had, so that an idle feed
//! waits for nothing. When a mailbox has no room, the lane goes on filling up to its bound, and only then must the
//! connection stop reading.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::event::{Event, ReadAt};
use crate::messages::EventBatch;
use crate::observation::Observations;
use crate::writer::backlog::TransactionSize;
use crate::writer::mailbox::MailboxSender;

/// What a lane holds back, in bytes, before the connection stops reading; one chunk of frames may come on top.
const LANE_MAX_BYTES: usize = 1024 * 1024;

/// The lanes of a connection.
#[derive(Debug)]
pub struct Forwarder {
    lanes: Vec<Lane>,
    size: TransactionSize,
    observations: Arc<Observations>,
}

#[derive(Debug)]
struct Lane {
    sender: MailboxSender,
    /// In order; only the last one is being filled.
    waiting: VecDeque<EventBatch>,
}

impl Lane {
    fn push(&mut self, event: Event, size: TransactionSize, begin: impl FnOnce() -> EventBatch) {
        match self.waiting.back_mut() {
            Some(filling) if !filling.is_sealed(size) => filling.push(event),
            _ => {
                let mut batch = begin();
                batch.push(event);
                self.waiting.push_back(batch);
            }
        }
        if self.waiting.back().is_some_and(|filling| filling.is_sealed(size)) {
            self.send_without_waiting();
        }
    }

    fn send_without_waiting(&mut self) {
        while let Some(batch) = self.waiting.pop_front() {
            if let Err(batch) = self.sender.try_send(batch) {
                return self.waiting.push_front(batch);
            }
        }
    }

    fn has_room(&self, max_events: usize) -> bool {
        let events: usize = self.waiting.iter().map(|batch| batch.events().len()).sum();
        let bytes: usize = self.waiting.iter().map(EventBatch::bytes).sum();
        events < max_events && bytes < LANE_MAX_BYTES
    }
}

impl Forwarder {
    /// A forwarder to `senders`, one a shard, in batches that each fit into a transaction of `size`.
    #[must_use]
    pub fn new(
        senders: Vec<MailboxSender>,
        size: TransactionSize,
        observations: Arc<Observations>,
    ) -> Forwarder {
        let lanes = senders.into_iter().map(|sender| Lane { sender, waiting: VecDeque::new() }).collect();
        Forwarder { lanes, size, observations }
    }

    /// Takes an event in. The caller looks at [`Forwarder::has_room`] before each chunk.
    pub fn push(&mut self, event: Event, read_at: ReadAt) {
        let Some(lane) = self.lanes.get_mut(event.route.shard) else { return };
        lane.push(event, self.size, || EventBatch::new(read_at, Arc::clone(&self.observations)));
    }

    /// Sends what can be sent without waiting.
    pub fn flush(&mut self) {
        self.lanes.iter_mut().for_each(Lane::send_without_waiting);
    }

    /// Whether a chunk of events can be taken in: it is not known beforehand which lanes it will need.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lanes.iter().all(|lane| lane.has_room(self.size.events))
    }

    /// Whether no events wait here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    /// Waits until one more waiting batch was sent; for ever if none waits. Cancelling it is safe, but gives up the
    /// place in the queue for room.
    pub async fn send_one(&mut self) {
        let mut sends: Vec<_> = self
            .lanes
            .iter_mut()
            .filter(|lane| !lane.waiting.is_empty())
            .map(|lane| Box::pin(lane.sender.send_first(&mut lane.waiting)))
            .collect();
        let any = poll_fn(|context| {
            let is_done = sends.iter_mut().any(|sent| sent.as_mut().poll(context).is_ready());
            if is_done { Poll::Ready(()) } else { Poll::Pending }
        });
        pin!(any).await;
    }
}

#[cfg(test)]
mod tests;
