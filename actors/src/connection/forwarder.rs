//! From the events of a connection to the mailboxes of the writers: one lane a shard.
//!
//! A lane fills a batch and sends it as soon as the connection has taken in what the socket had, so that an idle feed
//! waits for nothing. When a mailbox has no room, the lane goes on filling its one batch up to the bound, and only
//! then must the connection stop reading.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::event::{Event, ReadAt};
use crate::messages::EventBatch;
use crate::observation::Observations;
use crate::writer::mailbox::MailboxSender;

/// Payload that a lane holds back at most while its mailbox has no room.
const LANE_MAX_BYTES: usize = 1024 * 1024;

/// The lanes of a connection.
#[derive(Debug)]
pub struct Forwarder {
    lanes: Vec<Lane>,
    max_events: usize,
    observations: Arc<Observations>,
}

#[derive(Debug)]
struct Lane {
    sender: MailboxSender,
    filling: Option<EventBatch>,
}

impl Lane {
    fn is_full(&self, max_events: usize) -> bool {
        let filling = self.filling.as_ref();
        filling.is_some_and(|batch| batch.events().len() >= max_events || batch.bytes() >= LANE_MAX_BYTES)
    }

    fn try_send(&mut self) {
        self.filling = self.filling.take().and_then(|batch| self.sender.try_send(batch).err());
    }
}

impl Forwarder {
    /// A forwarder to `senders`, one a shard, in batches of at most `max_events`.
    #[must_use]
    pub fn new(senders: Vec<MailboxSender>, max_events: usize, observations: Arc<Observations>) -> Forwarder {
        let lanes = senders.into_iter().map(|sender| Lane { sender, filling: None }).collect();
        Forwarder { lanes, max_events: max_events.max(1), observations }
    }

    /// Takes an event in. Only called while [`Forwarder::has_room`].
    pub fn push(&mut self, event: Event, read_at: ReadAt) {
        let Some(lane) = self.lanes.get_mut(event.route.shard) else { return };
        let observations = &self.observations;
        let batch = lane.filling.get_or_insert_with(|| EventBatch::new(read_at, Arc::clone(observations)));
        batch.push(event);
        if lane.is_full(self.max_events) {
            lane.try_send();
        }
    }

    /// Sends what can be sent without waiting.
    pub fn flush(&mut self) {
        for lane in &mut self.lanes {
            lane.try_send();
        }
    }

    /// Whether any event can be taken in: it is not known beforehand which lane it will need.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.lanes.iter().any(|lane| lane.is_full(self.max_events))
    }

    /// Whether events wait here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.filling.is_none())
    }

    /// Waits until one more waiting batch was sent; for ever if none waits. Cancelling it is safe, but gives up the
    /// place in the queue for room.
    pub async fn send_one(&mut self) {
        let mut waiting: Vec<_> = self
            .lanes
            .iter_mut()
            .filter(|lane| lane.filling.is_some())
            .map(|lane| Box::pin(lane.sender.send(&mut lane.filling)))
            .collect();
        let any = poll_fn(|context| {
            let is_done = waiting.iter_mut().any(|sent| sent.as_mut().poll(context).is_ready());
            if is_done { Poll::Ready(()) } else { Poll::Pending }
        });
        pin!(any).await;
    }
}

#[cfg(test)]
mod tests;
